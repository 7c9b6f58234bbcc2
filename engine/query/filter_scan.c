/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, words and numbers of filters. Strings are in filter_string.c.
 */
#include "engine/query/filter_scan.h"

struct filter_cursor filter_cursor_make(struct polarys_slice text)
{
    static const uint8_t none[1] = {0};
    const uint8_t *begin = text.size == 0 ? none : text.data;
    return (struct filter_cursor){begin, begin, begin + text.size};
}

void filter_skip_space(struct filter_cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t' ||
                                        *cursor->at == '\n' || *cursor->at == '\r')) {
        cursor->at++;
    }
}

bool filter_is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

static uint8_t upper(uint8_t byte)
{
    return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
}

bool filter_take_word(struct filter_cursor *cursor, const char *word)
{
    const uint8_t *at = cursor->at;
    for (; *word != '\0'; word++, at++) {
        if (at == cursor->end || upper(*at) != (uint8_t)*word) {
            return false;
        }
    }
    /* `android = 1` does not begin with AND, nor does a path such as `and.b`. */
    if (at < cursor->end && (filter_is_name_byte(*at) || *at == '.' || *at == '`')) {
        return false;
    }
    cursor->at = at;
    return true;
}

bool filter_take_byte(struct filter_cursor *cursor, char byte)
{
    if (cursor->at == cursor->end || *cursor->at != (uint8_t)byte) {
        return false;
    }
    cursor->at++;
    return true;
}

/* One name of a path, plain or in backticks. */
static bool take_name(struct filter_cursor *cursor, const char **expected)
{
    const uint8_t *at = cursor->at;
    if (at < cursor->end && *at == '`') {
        const uint8_t *close = memchr(at + 1, '`', (size_t)(cursor->end - at - 1));
        if (close == NULL) {
            cursor->at = cursor->end;
            *expected = "a closing backtick";
            return false;
        }
        if (close == at + 1) {
            *expected = "a name between the backticks";
            return false;
        }
        cursor->at = close + 1;
        return true;
    }
    while (at < cursor->end && filter_is_name_byte(*at)) {
        at++;
    }
    if (at == cursor->at) {
        *expected = "a field name";
        return false;
    }
    cursor->at = at;
    return true;
}

bool filter_take_path(struct filter_cursor *cursor, struct polarys_slice *path,
                      const char **expected)
{
    const uint8_t *start = cursor->at;
    do {
        if (!take_name(cursor, expected)) {
            return false;
        }
    } while (filter_take_byte(cursor, '.'));
    *path = slice_make(start, (size_t)(cursor->at - start));
    return true;
}

static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

bool filter_take_number(struct filter_cursor *cursor, struct polarys_slice *text)
{
    const uint8_t *at = cursor->at;
    const uint8_t *end = cursor->end;
    at += at < end && *at == '-' ? 1 : 0;
    const uint8_t *digits = at;
    at = skip_digits(at, end);
    bool has_leading_zero = at - digits > 1 && *digits == '0';
    if (at == digits || has_leading_zero) {
        return false;
    }
    if (at < end && *at == '.') {
        const uint8_t *fraction = at + 1;
        at = skip_digits(fraction, end);
        if (at == fraction) {
            return false;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-') ? 1 : 0;
        const uint8_t *exponent = at;
        at = skip_digits(at, end);
        if (at == exponent) {
            return false;
        }
    }
    if (at < end && (filter_is_name_byte(*at) || *at == '.')) {
        return false;
    }
    *text = slice_make(cursor->at, (size_t)(at - cursor->at));
    cursor->at = at;
    return true;
}
