/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over checked JSON text: members, elements, and the characters of strings. Nothing here checks
 * syntax; an assertion that fails means that unchecked text came in.
 */
#include "engine/document/json_internal.h"

#include <stdlib.h>
#include <string.h>

struct polarys_slice json_value_trim(struct polarys_slice text)
{
    POLARYS_ASSERT(text.size > 0);
    const uint8_t *end = text.data + text.size;
    const uint8_t *at = json_skip_space(text.data, end);
    while (end > at && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t')) {
        end--;
    }
    return slice_make(at, (size_t)(end - at));
}

enum json_type json_value_type(struct polarys_slice value)
{
    POLARYS_ASSERT(value.size > 0);
    switch (value.data[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* True when one of the eight bytes is a quote or a backslash. */
static bool word_ends_run(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & highs;
}

const uint8_t *json_string_close(const uint8_t *at, const uint8_t *end)
{
    bool has_escape;
    return json_string_close_noting(at, end, &has_escape);
}

const uint8_t *json_string_close_noting(const uint8_t *at, const uint8_t *end, bool *has_escape)
{
    *has_escape = false;
    at++;
    for (;;) {
        uint64_t word;
        while (end - at >= (ptrdiff_t)sizeof(word)) {
            memcpy(&word, at, sizeof(word));
            if (word_ends_run(word)) {
                break;
            }
            at += sizeof(word);
        }
        while (at < end && *at != '"' && *at != '\\') {
            at++;
        }
        POLARYS_ASSERT(at < end);
        if (*at == '"') {
            return at;
        }
        *has_escape = true;
        at += 2;
    }
}

/* What a byte means for finding the end of a value. */
enum byte_class { BYTE_PLAIN, BYTE_QUOTE, BYTE_OPEN, BYTE_CLOSE };
static const uint8_t byte_classes[256] = {
    ['"'] = BYTE_QUOTE, ['{'] = BYTE_OPEN,  ['['] = BYTE_OPEN,
    ['}'] = BYTE_CLOSE, [']'] = BYTE_CLOSE,
};

const uint8_t *json_container_end(const uint8_t *at, const uint8_t *end)
{
    size_t depth = 1;
    for (;;) {
        while (at < end && byte_classes[*at] == BYTE_PLAIN) {
            at++;
        }
        POLARYS_ASSERT(at < end);
        switch (byte_classes[*at]) {
        case BYTE_QUOTE:
            at = json_string_close(at, end) + 1;
            break;
        case BYTE_OPEN:
            depth++;
            at++;
            break;
        default:
            at++;
            if (--depth == 0) {
                return at;
            }
            break;
        }
    }
}

static bool ends_word(uint8_t byte)
{
    return byte == ',' || byte == '}' || byte == ']' || byte == ' ' || byte == '\n' ||
           byte == '\r' || byte == '\t';
}

const uint8_t *json_value_end(const uint8_t *at, const uint8_t *end)
{
    POLARYS_ASSERT(at < end);
    switch (byte_classes[*at]) {
    case BYTE_QUOTE:
        return json_string_close(at, end) + 1;
    case BYTE_OPEN:
        return json_container_end(at + 1, end);
    default:
        while (at < end && !ends_word(*at)) {
            at++;
        }
        return at;
    }
}

struct json_walk json_walk_start(struct polarys_slice value)
{
    POLARYS_ASSERT(value.size >= 2);
    struct json_walk walk = {value.data + 1, value.data + value.size, value.data[0] == '{'};
    return walk;
}

bool json_walk_next(struct json_walk *walk, struct polarys_slice *name, struct polarys_slice *value)
{
    const uint8_t *at = json_skip_space(walk->at, walk->end);
    POLARYS_ASSERT(at < walk->end);
    if (*at == ',') {
        at = json_skip_space(at + 1, walk->end);
    }
    if (*at == '}' || *at == ']') {
        return false;
    }
    *name = slice_make(NULL, 0);
    if (walk->is_object) {
        const uint8_t *close = json_string_close(at, walk->end);
        *name = slice_make(at + 1, (size_t)(close - at - 1));
        at = json_skip_space(close + 1, walk->end);
        POLARYS_ASSERT(*at == ':');
        at = json_skip_space(at + 1, walk->end);
    }
    const uint8_t *end = json_value_end(at, walk->end);
    *value = slice_make(at, (size_t)(end - at));
    walk->at = end;
    return true;
}

bool json_has_escape(struct polarys_slice raw)
{
    return raw.size > 0 && memchr(raw.data, '\\', raw.size) != NULL;
}

static uint32_t hex_unit(const uint8_t *at)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = at[i];
        uint32_t digit =
            byte <= '9' ? (uint32_t)(byte - '0') : (uint32_t)((byte | 0x20) - 'a' + 10);
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t utf8_put(uint8_t *to, uint32_t character)
{
    if (character < 0x80) {
        to[0] = (uint8_t)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (uint8_t)(0xc0 | character >> 6);
        to[1] = (uint8_t)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        to[0] = (uint8_t)(0xe0 | character >> 12);
        to[1] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (character & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | character >> 18);
    to[1] = (uint8_t)(0x80 | (character >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (character & 0x3f));
    return 4;
}

/* The character of the \u escape at `at` (behind "\u"); takes a second escape along when both make one
 * character. *used: bytes from `at`. */
static uint32_t unicode_escape(const uint8_t *at, const uint8_t *end, size_t *used)
{
    uint32_t unit = hex_unit(at);
    *used = 4;
    bool is_high = unit >= 0xd800 && unit < 0xdc00;
    if (!is_high || end - at < 10 || at[4] != '\\' || at[5] != 'u') {
        return unit;
    }
    uint32_t low = hex_unit(at + 6);
    if (low < 0xdc00 || low >= 0xe000) {
        return unit;
    }
    *used = 10;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

static uint8_t simple_escape(uint8_t byte)
{
    switch (byte) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return byte;
    }
}

size_t json_character_take(const uint8_t **at, const uint8_t *end, uint8_t bytes[4])
{
    POLARYS_ASSERT(*at < end);
    const uint8_t *from = *at;
    if (*from != '\\') {
        /* A character of several bytes may come byte by byte: order is by bytes anyway. */
        bytes[0] = *from;
        *at = from + 1;
        return 1;
    }
    POLARYS_ASSERT(end - from >= 2);
    if (from[1] != 'u') {
        bytes[0] = simple_escape(from[1]);
        *at = from + 2;
        return 1;
    }
    POLARYS_ASSERT(end - from >= 6);
    size_t used;
    size_t size = utf8_put(bytes, unicode_escape(from + 2, end, &used));
    *at = from + 2 + used;
    return size;
}

enum polarys_code json_unescape(struct polarys_slice raw, struct buffer *to)
{
    /* Never longer than what it came from. */
    if (buffer_reserve(to, raw.size) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    const uint8_t *at = raw.data;
    const uint8_t *end = raw.size == 0 ? at : at + raw.size;
    uint8_t *out = to->data + to->size;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        POLARYS_ASSERT(end - at >= 2);
        if (at[1] != 'u') {
            *out++ = simple_escape(at[1]);
            at += 2;
            continue;
        }
        POLARYS_ASSERT(end - at >= 6);
        size_t used;
        out += utf8_put(out, unicode_escape(at + 2, end, &used));
        at += 2 + used;
    }
    to->size = raw.size == 0 ? to->size : (size_t)(out - to->data);
    return POLARYS_OK;
}

enum polarys_code json_text(struct polarys_slice raw, struct buffer *scratch,
                            struct polarys_slice *text)
{
    if (!json_has_escape(raw)) {
        *text = raw;
        return POLARYS_OK;
    }
    size_t from = scratch->size;
    enum polarys_code code = json_unescape(raw, scratch);
    *text = slice_make(scratch->data + from, scratch->size - from);
    return code;
}
