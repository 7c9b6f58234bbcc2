/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what people type: numbers, durations, times, hexadecimal digits, names of levels. Nothing here
 * prints; each function returns false for text that is not what it should be, and takes the text whole.
 */
#ifndef CLIENT_CLI_PARSE_H
#define CLIENT_CLI_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Decimal digits, nothing else. */
bool parse_number(const char *text, uint64_t *number);
/* As parse_number, within [min, max]. */
bool parse_number_between(const char *text, uint64_t min, uint64_t max, uint64_t *number);
/* "500ms", "10s", "5m", "2h", "7d"; without a unit: seconds. At most 100 years. */
bool parse_duration_ms(const char *text, uint64_t *duration_ms);
/* Pairs of hexadecimal digits; *size is the room in `bytes` first, then the bytes read. */
bool parse_hex(const char *text, uint8_t *bytes, size_t *size);
/* "async", "local-sync", "quorum", "quorum-applied". */
bool parse_durability(const char *text, enum polarys_client_durability *durability);
/* "table", "json", "raw". */
bool parse_format(const char *text, enum output_format *format);
/* "primary", "replica", "nearest". */
bool parse_read_policy(const char *text, enum polarys_client_read_policy *policy);
/* "strong", "stable", "local", "session", "at-least=HEX", "version=N", "max-staleness=DURATION" into settings. */
bool parse_consistency(const char *text, struct cli_settings *settings);
/* "2026-01-02T03:04:05Z", with or without a fraction; to Unix milliseconds, finer digits cut off. */
bool parse_time_ms(const char *text, uint64_t *unix_ms);
/* True for 127.x.x.x, localhost, ::1 and unix: endpoints. */
bool parse_endpoint_is_loopback(const char *endpoint);

#ifdef __cplusplus
}
#endif

#endif
