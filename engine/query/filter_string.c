/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings of filters: the escapes of JSON, and \* for a star that is no wildcard.
 *
 * An escaped surrogate without its partner becomes the three bytes that UTF-8 forbids, as in documents, so
 * that it equals itself there.
 */
#include "engine/query/filter_scan.h"

struct string_reader {
    struct filter_cursor *cursor;
    uint8_t *out;
    size_t size;
    const char **expected;
};

static bool fail(struct string_reader *reader, const char *expected)
{
    *reader->expected = expected;
    return false;
}

static void put(struct string_reader *reader, uint8_t byte)
{
    reader->out[reader->size++] = byte;
}

static void put_character(struct string_reader *reader, uint32_t character)
{
    if (character < 0x80) {
        put(reader, (uint8_t)character);
        return;
    }
    if (character < 0x800) {
        put(reader, (uint8_t)(0xc0 | character >> 6));
    } else if (character < 0x10000) {
        put(reader, (uint8_t)(0xe0 | character >> 12));
        put(reader, (uint8_t)(0x80 | (character >> 6 & 0x3f)));
    } else {
        put(reader, (uint8_t)(0xf0 | character >> 18));
        put(reader, (uint8_t)(0x80 | (character >> 12 & 0x3f)));
        put(reader, (uint8_t)(0x80 | (character >> 6 & 0x3f)));
    }
    put(reader, (uint8_t)(0x80 | (character & 0x3f)));
}

/* Four hexadecimal digits at the cursor, which stays when there are none. */
static bool take_unit(struct filter_cursor *cursor, uint32_t *unit)
{
    if (cursor->end - cursor->at < 4) {
        return false;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = cursor->at[i];
        uint8_t lower = byte | 0x20;
        if (byte >= '0' && byte <= '9') {
            value = value * 16 + (uint32_t)(byte - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value * 16 + (uint32_t)(lower - 'a' + 10);
        } else {
            return false;
        }
    }
    *unit = value;
    cursor->at += 4;
    return true;
}

/* Behind "\u". */
static bool take_unicode(struct string_reader *reader)
{
    struct filter_cursor *cursor = reader->cursor;
    uint32_t unit;
    if (!take_unit(cursor, &unit)) {
        return fail(reader, "four hexadecimal digits");
    }
    if (unit == 0) {
        return fail(reader, "a character other than NUL");
    }
    bool is_high = unit >= 0xd800 && unit < 0xdc00;
    if (is_high && cursor->end - cursor->at >= 6 && cursor->at[0] == '\\' && cursor->at[1] == 'u') {
        struct filter_cursor ahead = *cursor;
        uint32_t low;
        ahead.at += 2;
        if (take_unit(&ahead, &low) && low >= 0xdc00 && low < 0xe000) {
            *cursor = ahead;
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    put_character(reader, unit);
    return true;
}

/* Behind the backslash. */
static bool take_escape(struct string_reader *reader)
{
    static const char from[] = "\"'\\/*bfnrt";
    static const char to[] = "\"'\\/*\b\f\n\r\t";
    struct filter_cursor *cursor = reader->cursor;
    if (filter_take_byte(cursor, 'u')) {
        return take_unicode(reader);
    }
    const char *found = NULL;
    if (cursor->at < cursor->end && *cursor->at != '\0') {
        found = strchr(from, *cursor->at);
    }
    if (found == NULL) {
        return fail(reader, "an escape: \\\" \\' \\\\ \\/ \\* \\b \\f \\n \\r \\t or \\uXXXX");
    }
    put(reader, (uint8_t)to[found - from]);
    cursor->at++;
    return true;
}

/* Bytes of the UTF-8 character at `at`; 0 when it is none. */
static size_t character_size(const uint8_t *at, const uint8_t *end)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
    if (size == 0 || *at > 0xf4 || (size_t)(end - at) < size) {
        return 0;
    }
    if (size == 1) {
        return 1;
    }
    uint32_t character = *at & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        character = character << 6 | (at[i] & 0x3fu);
    }
    bool is_surrogate = character >= 0xd800 && character < 0xe000;
    return character < least[size] || character > 0x10ffff || is_surrogate ? 0 : size;
}

/* One character that is not escaped. */
static bool take_plain(struct string_reader *reader)
{
    struct filter_cursor *cursor = reader->cursor;
    if (*cursor->at < 0x20) {
        return fail(reader, "an escape for a control character");
    }
    size_t size = character_size(cursor->at, cursor->end);
    if (size == 0) {
        return fail(reader, "UTF-8");
    }
    for (size_t i = 0; i < size; i++) {
        put(reader, *cursor->at++);
    }
    return true;
}

static bool take_characters(struct string_reader *reader, uint8_t quote,
                            struct filter_string *string)
{
    struct filter_cursor *cursor = reader->cursor;
    bool is_first = true;
    while (cursor->at < cursor->end && *cursor->at != quote) {
        bool is_star = *cursor->at == '*';
        string->is_open_start = is_first ? is_star : string->is_open_start;
        string->is_open_end = is_star;
        is_first = false;
        bool is_escape = filter_take_byte(cursor, '\\');
        if (is_escape ? !take_escape(reader) : !take_plain(reader)) {
            return false;
        }
    }
    return filter_take_byte(cursor, (char)quote) || fail(reader, "a closing quote");
}

enum polarys_code filter_take_string(struct filter_cursor *cursor, struct arena *arena,
                                     struct filter_string *string, const char **expected)
{
    uint8_t quote = *cursor->at++;
    const uint8_t *close = cursor->at;
    while (close < cursor->end && *close != quote) {
        close += *close == '\\' && cursor->end - close > 1 ? 2 : 1;
    }
    /* No character grows when it is unescaped. */
    struct string_reader reader = {.cursor = cursor, .expected = expected};
    reader.out = arena_alloc(arena, (size_t)(close - cursor->at) + 1);
    if (reader.out == NULL) {
        return POLARYS_NO_MEMORY;
    }
    *string = (struct filter_string){0};
    if (!take_characters(&reader, quote, string)) {
        return POLARYS_BAD_FILTER;
    }
    string->text = slice_make(reader.out, reader.size);
    return POLARYS_OK;
}
