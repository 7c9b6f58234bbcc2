/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks UTF-8 by the table of well-formed byte sequences of the Unicode standard (table 3-7). It
 * never reads beyond the bytes it was given.
 */
#include "service/proto/utf8.h"

#include <string.h>

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The second byte's range depends on the first: no overlong forms, no surrogates, nothing above
 * U+10FFFF. */
static bool second_is_good(uint8_t first, uint8_t second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_continuation(second);
    }
}

/* Bytes of the character that begins at `at`; 0 when it is malformed. */
static size_t character_size(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    size_t size = first < 0x80                     ? 1
                  : first >= 0xc2 && first <= 0xdf ? 2
                  : first >= 0xe0 && first <= 0xef ? 3
                  : first >= 0xf0 && first <= 0xf4 ? 4
                                                   : 0;
    if (size == 0 || size > left || (size > 1 && !second_is_good(first, at[1]))) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if (!is_continuation(at[i])) {
            return 0;
        }
    }
    return size;
}

bool utf8_is_text(struct polarys_slice text)
{
    for (size_t at = 0; at < text.size;) {
        size_t size = character_size(text.data + at, text.size - at);
        if (size == 0 || text.data[at] == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

void utf8_scrub(char *text)
{
    size_t total = strlen(text);
    for (size_t at = 0; at < total;) {
        size_t size = character_size((const uint8_t *)text + at, total - at);
        if (size == 0) {
            text[at] = '?';
            size = 1;
        }
        at += size;
    }
}
