/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of checked JSON objects as values: found by name, and what export writes of them read back.
 */
#ifndef CLIENT_CLI_MEMBER_H
#define CLIENT_CLI_MEMBER_H

#include <stdint.h>

#include "client/cli/json_text.h"
#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MEMBER_TIME_ROOM = 40 /* the text of a time, with its NUL */ };

/* Names are compared as they are written: one with escapes equals none of ours. */
bool member_is(const struct object_member *member, const char *name);
/* The first member of this name; false when there is none, or `text` is no object. */
bool member_find(struct polarys_slice text, const char *name, struct object_member *member);

/* The bytes of a string of base64, into *bytes, which grows (malloc). False when it is none, or there is no
 * memory. */
bool member_base64_take(const struct object_member *member, uint8_t **bytes, size_t *capacity,
                        size_t *size);
/* "2026-01-02T03:04:05Z" as Unix milliseconds. False when it is no such string; `text` is then what it is
 * instead, cut to fit. */
bool member_time_take(const struct object_member *member, char text[MEMBER_TIME_ROOM],
                      uint64_t *unix_ms);

#ifdef __cplusplus
}
#endif

#endif
