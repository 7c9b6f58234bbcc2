/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that sort as JSON values do (docs/formats/index.md).
 *
 * Invariant: no encoding is a prefix of another, so that the bytes of several may follow one another and
 * still sort field by field. A reader of encoded bytes never reads past their end, whatever they are.
 */
#include "engine/document/json_internal.h"

enum {
    TAG_END = 0x01, /* of an array or object: before every value */
    TAG_MISSING = 0x10,
    TAG_NULL = 0x14,
    TAG_FALSE = 0x18,
    TAG_TRUE = 0x1c,
    TAG_NEGATIVE = 0x20,
    TAG_ZERO = 0x21,
    TAG_POSITIVE = 0x22,
    TAG_STRING = 0x30,
    TAG_ARRAY = 0x40,
    TAG_OBJECT = 0x44,

    STRING_END = 0x00,
    STRING_ESCAPE = 0x01, /* then 1 for the byte 0 and 2 for the byte 1 */

    EXPONENT_MIDDLE = 0x80,
    EXPONENT_SHORT_MAX = 60, /* magnitude that a single byte holds */
    EXPONENT_LONG_POSITIVE = 0xe0,
    EXPONENT_LONG_NEGATIVE = 0x20,
    EXPONENT_COUNT_SIZE = 4,
    DIGITS_END = 0x00,
};

/* ---- strings ---- */

static enum polarys_code characters_append(struct polarys_slice characters, struct buffer *to)
{
    /* Each byte takes two at most. */
    enum polarys_code code = buffer_reserve(to, 2 * characters.size);
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t *out = to->data + to->size;
    for (size_t i = 0; i < characters.size; i++) {
        uint8_t byte = characters.data[i];
        if (byte <= STRING_ESCAPE) {
            *out++ = STRING_ESCAPE;
            byte++;
        }
        *out++ = byte;
    }
    to->size = to->data == NULL ? 0 : (size_t)(out - to->data);
    return POLARYS_OK;
}

enum polarys_code json_string_encode_prefix(struct polarys_slice characters, struct buffer *to)
{
    enum polarys_code code = buffer_append_byte(to, TAG_STRING);
    return code == POLARYS_OK ? characters_append(characters, to) : code;
}

enum polarys_code json_string_encode(struct polarys_slice characters, struct buffer *to)
{
    enum polarys_code code = json_string_encode_prefix(characters, to);
    return code == POLARYS_OK ? buffer_append_byte(to, STRING_END) : code;
}

static enum polarys_code raw_string_encode(struct polarys_slice raw, struct buffer *to)
{
    if (!json_has_escape(raw)) {
        return json_string_encode(raw, to);
    }
    struct buffer characters = {0};
    enum polarys_code code = json_unescape(raw, &characters);
    if (code == POLARYS_OK) {
        code = json_string_encode(buffer_slice(&characters), to);
    }
    buffer_deinit(&characters);
    return code;
}

/* ---- numbers ---- */

static enum polarys_code exponent_append(const struct json_decimal *decimal, struct buffer *to)
{
    struct buffer digits = {0};
    bool is_negative;
    enum polarys_code code = json_decimal_exponent(decimal, &digits, &is_negative);
    unsigned value = 0;
    for (size_t i = 0; i < digits.size && i < 2; i++) {
        value = value * 10 + (unsigned)(digits.data[i] - '0');
    }
    if (code == POLARYS_OK && digits.size <= 2 && value <= EXPONENT_SHORT_MAX) {
        unsigned byte = is_negative ? EXPONENT_MIDDLE - value : EXPONENT_MIDDLE + value;
        code = buffer_append_byte(to, (uint8_t)byte);
    } else if (code == POLARYS_OK) {
        uint8_t count[EXPONENT_COUNT_SIZE];
        POLARYS_ASSERT(digits.size <= UINT32_MAX);
        put_u32_be(count, is_negative ? ~(uint32_t)digits.size : (uint32_t)digits.size);
        code =
            buffer_append_byte(to, is_negative ? EXPONENT_LONG_NEGATIVE : EXPONENT_LONG_POSITIVE);
        if (code == POLARYS_OK) {
            code = buffer_append(to, count, sizeof(count));
        }
        for (size_t i = 0; is_negative && i < digits.size; i++) {
            digits.data[i] = (uint8_t)~digits.data[i];
        }
        if (code == POLARYS_OK) {
            code = buffer_append_slice(to, buffer_slice(&digits));
        }
    }
    buffer_deinit(&digits);
    return code;
}

static int digit_take(const uint8_t **at, const uint8_t *end)
{
    if (*at < end && **at == '.') {
        (*at)++;
    }
    return *at < end ? *(*at)++ - '0' : 0;
}

/* Two digits a byte, one more than their value, and an end below all of them. */
static enum polarys_code digits_append(const struct json_decimal *decimal, struct buffer *to)
{
    const uint8_t *at = decimal->digits;
    const uint8_t *end = decimal->digits_end;
    enum polarys_code code = buffer_reserve(to, (size_t)(end - at) / 2 + 2);
    while (code == POLARYS_OK && at < end) {
        int high = digit_take(&at, end);
        int low = digit_take(&at, end);
        code = buffer_append_byte(to, (uint8_t)(high * 10 + low + 1));
    }
    return code == POLARYS_OK ? buffer_append_byte(to, DIGITS_END) : code;
}

static enum polarys_code number_encode(struct polarys_slice text, struct buffer *to)
{
    struct json_decimal decimal = json_decimal_parse(text);
    if (decimal.digits == decimal.digits_end) {
        return buffer_append_byte(to, TAG_ZERO);
    }
    enum polarys_code code =
        buffer_append_byte(to, decimal.is_negative ? TAG_NEGATIVE : TAG_POSITIVE);
    size_t from = to->size;
    if (code == POLARYS_OK) {
        code = exponent_append(&decimal, to);
    }
    if (code == POLARYS_OK) {
        code = digits_append(&decimal, to);
    }
    for (size_t i = from; decimal.is_negative && i < to->size; i++) {
        to->data[i] = (uint8_t)~to->data[i];
    }
    return code;
}

/* ---- arrays and objects ---- */

static enum polarys_code array_encode(struct polarys_slice text, struct buffer *to)
{
    struct json_walk walk = json_walk_start(text);
    struct polarys_slice name;
    struct json_value element;
    enum polarys_code code = buffer_append_byte(to, TAG_ARRAY);
    while (code == POLARYS_OK && json_walk_next(&walk, &name, &element.text)) {
        element.type = json_value_type(element.text);
        code = json_value_encode(&element, to);
    }
    return code == POLARYS_OK ? buffer_append_byte(to, TAG_END) : code;
}

static enum polarys_code object_encode(struct polarys_slice text, struct buffer *to)
{
    struct json_members members;
    enum polarys_code code = json_members_init(&members, text);
    if (code != POLARYS_OK) {
        return code;
    }
    code = buffer_append_byte(to, TAG_OBJECT);
    for (size_t i = 0; i < members.count && code == POLARYS_OK; i++) {
        const struct json_member *member = members.by_name[i];
        struct json_value value = {json_value_type(member->value), member->value};
        code = json_string_encode(member->name, to);
        if (code == POLARYS_OK) {
            code = json_value_encode(&value, to);
        }
    }
    json_members_deinit(&members);
    return code == POLARYS_OK ? buffer_append_byte(to, TAG_END) : code;
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
enum polarys_code json_value_encode(const struct json_value *value, struct buffer *to)
{
    switch (value->type) {
    case JSON_NULL:
        return buffer_append_byte(to, TAG_NULL);
    case JSON_FALSE:
        return buffer_append_byte(to, TAG_FALSE);
    case JSON_TRUE:
        return buffer_append_byte(to, TAG_TRUE);
    case JSON_NUMBER:
        return number_encode(value->text, to);
    case JSON_STRING:
        POLARYS_ASSERT(value->text.size >= 2);
        return raw_string_encode(slice_make(value->text.data + 1, value->text.size - 2), to);
    case JSON_ARRAY:
        return array_encode(value->text, to);
    case JSON_OBJECT:
        return object_encode(value->text, to);
    default:
        return buffer_append_byte(to, TAG_MISSING);
    }
}

/* ---- reading ---- */

void json_type_bounds(enum json_type type, uint8_t *first, uint8_t *beyond)
{
    static const uint8_t firsts[] = {
        [JSON_MISSING] = TAG_MISSING, [JSON_NULL] = TAG_NULL,       [JSON_FALSE] = TAG_FALSE,
        [JSON_TRUE] = TAG_TRUE,       [JSON_NUMBER] = TAG_NEGATIVE, [JSON_STRING] = TAG_STRING,
        [JSON_ARRAY] = TAG_ARRAY,     [JSON_OBJECT] = TAG_OBJECT,
    };
    POLARYS_ASSERT(type <= JSON_OBJECT);
    *first = firsts[type];
    *beyond = (uint8_t)(type == JSON_NUMBER ? TAG_POSITIVE + 1 : firsts[type] + 1);
}

bool json_encoded_type(struct polarys_slice encoded, enum json_type *type)
{
    if (encoded.size == 0) {
        return false;
    }
    for (int i = JSON_MISSING; i <= JSON_OBJECT; i++) {
        uint8_t first;
        uint8_t beyond;
        json_type_bounds((enum json_type)i, &first, &beyond);
        if (encoded.data[0] >= first && encoded.data[0] < beyond) {
            *type = (enum json_type)i;
            return true;
        }
    }
    return false;
}

static bool number_skip(struct cursor *from, bool is_negative)
{
    uint8_t flip = is_negative ? 0xff : 0;
    if (from->at == from->end) {
        return false;
    }
    uint8_t head = *from->at++ ^ flip;
    if (head == EXPONENT_LONG_POSITIVE || head == EXPONENT_LONG_NEGATIVE) {
        if (cursor_left(from) < EXPONENT_COUNT_SIZE) {
            return false;
        }
        uint32_t count = get_u32_be(from->at);
        count = is_negative != (head == EXPONENT_LONG_NEGATIVE) ? ~count : count;
        from->at += EXPONENT_COUNT_SIZE;
        if (cursor_left(from) < count) {
            return false;
        }
        from->at += count;
    }
    const uint8_t *close =
        from->at == from->end ? NULL : memchr(from->at, DIGITS_END ^ flip, cursor_left(from));
    if (close == NULL) {
        return false;
    }
    from->at = close + 1;
    return true;
}

/* Over one value; *depth counts the arrays and objects that are open. False when the bytes are none. */
static bool encoded_step(struct cursor *from, size_t *depth)
{
    if (from->at == from->end) {
        return false;
    }
    uint8_t tag = *from->at++;
    const uint8_t *close;
    switch (tag) {
    case TAG_MISSING:
    case TAG_NULL:
    case TAG_FALSE:
    case TAG_TRUE:
    case TAG_ZERO:
        return true;
    case TAG_NEGATIVE:
    case TAG_POSITIVE:
        return number_skip(from, tag == TAG_NEGATIVE);
    case TAG_STRING:
        close = from->at == from->end ? NULL : memchr(from->at, STRING_END, cursor_left(from));
        from->at = close == NULL ? from->at : close + 1;
        return close != NULL;
    case TAG_ARRAY:
    case TAG_OBJECT:
        (*depth)++;
        return *depth <= JSON_DEPTH_MAX;
    case TAG_END:
        return (*depth)-- > 0;
    default:
        return false;
    }
}

bool json_encoded_take(struct cursor *from, struct polarys_slice *encoded)
{
    const uint8_t *begin = from->at;
    size_t depth = 0;
    do {
        if (!encoded_step(from, &depth)) {
            return false;
        }
    } while (depth > 0);
    *encoded = slice_make(begin, (size_t)(from->at - begin));
    return true;
}
