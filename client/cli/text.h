/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as text: JSON strings, base64, and a form that is safe to show on a terminal.
 */
#ifndef CLIENT_CLI_TEXT_H
#define CLIENT_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Length of the UTF-8 sequence at `at`; 0 when it is none (cut, overlong, a surrogate, past U+10FFFF). */
size_t text_utf8_length(const uint8_t *at, size_t size);
/* True for UTF-8 from end to end. */
bool text_is_utf8(const void *bytes, size_t size);

/* Writes a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void text_json_string_write(FILE *to, const void *bytes, size_t size);
/* Writes JSON on one line: white space outside strings is left out only where the text has a line break. */
void text_json_line_write(FILE *to, const void *json, size_t size);
/* Writes what can be shown: control characters and bytes that are no UTF-8 as \n, \t, \xNN; a backslash
 * stays as it is. */
void text_printable_write(FILE *to, const void *bytes, size_t size);
/* Writes a text on one line, what stands between \x01 and \x02 in it in colour or else between asterisks. */
void text_marked_write(FILE *to, const char *text, bool is_coloured);
/* How many columns a printable text takes, counting a character as one. */
size_t text_columns(const char *text);

void text_base64_write(FILE *to, const void *bytes, size_t size);
/* Bytes that base64 text of `size` characters decodes to at most. */
size_t text_base64_room(size_t size);
/* False for text that is no padded base64 (RFC 4648, section 4). */
bool text_base64_decode(const char *text, size_t size, uint8_t *bytes, size_t *bytes_size);

/* Writes hexadecimal digits. */
void text_hex_write(FILE *to, const void *bytes, size_t size);
/* Writes "2026-01-02T03:04:05.678Z". */
void text_time_write(FILE *to, uint64_t unix_ms);
/* Fills "512 B", "1.5 MiB". */
void text_size_format(char *to, size_t to_size, double bytes);

#ifdef __cplusplus
}
#endif

#endif
