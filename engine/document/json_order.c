/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of JSON values. What is common, short numbers and strings, is compared in place; arrays and
 * objects by their sorting bytes, which defines their order.
 */
#include "engine/document/json_internal.h"

#include <math.h>
#include <stdlib.h>

struct json_value json_value_make(struct polarys_slice text)
{
    struct json_value value = {.text = json_value_trim(text)};
    value.type = json_value_type(value.text);
    return value;
}

static struct polarys_slice string_inside(const struct json_value *value)
{
    POLARYS_ASSERT(value->type == JSON_STRING && value->text.size >= 2);
    return slice_make(value->text.data + 1, value->text.size - 2);
}

/* The bytes of a string's characters, one after another. */
struct byte_source {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t taken[4];
    size_t taken_size;
    size_t taken_used;
};

static struct byte_source source_make(struct polarys_slice raw)
{
    struct byte_source source = {.at = raw.data, .end = raw.data + raw.size};
    return source;
}

/* The next byte, or -1 at the end. */
static int source_next(struct byte_source *source)
{
    if (source->taken_used == source->taken_size) {
        if (source->at == source->end) {
            return -1;
        }
        source->taken_size = json_character_take(&source->at, source->end, source->taken);
        source->taken_used = 0;
    }
    return source->taken[source->taken_used++];
}

static int strings_compare(struct polarys_slice a, struct polarys_slice b)
{
    if (!json_has_escape(a) && !json_has_escape(b)) {
        return slice_compare(a, b);
    }
    struct byte_source left = source_make(a);
    struct byte_source right = source_make(b);
    for (;;) {
        int left_byte = source_next(&left);
        int right_byte = source_next(&right);
        if (left_byte != right_byte || left_byte < 0) {
            return left_byte - right_byte;
        }
    }
}

static enum polarys_code containers_compare(const struct json_value *a, const struct json_value *b,
                                            int *order)
{
    struct buffer left = {0};
    struct buffer right = {0};
    enum polarys_code code = json_value_encode(a, &left);
    if (code == POLARYS_OK) {
        code = json_value_encode(b, &right);
    }
    if (code == POLARYS_OK) {
        *order = slice_compare(buffer_slice(&left), buffer_slice(&right));
    }
    buffer_deinit(&left);
    buffer_deinit(&right);
    return code;
}

enum polarys_code json_value_compare(const struct json_value *a, const struct json_value *b,
                                     int *order)
{
    *order = (a->type > b->type) - (a->type < b->type);
    if (*order != 0) {
        return POLARYS_OK;
    }
    switch (a->type) {
    case JSON_NUMBER:
        return json_number_compare(a->text, b->text, order);
    case JSON_STRING:
        *order = strings_compare(string_inside(a), string_inside(b));
        return POLARYS_OK;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return containers_compare(a, b, order);
    default:
        return POLARYS_OK;
    }
}

bool json_string_starts_with(const struct json_value *value, struct polarys_slice prefix)
{
    if (value->type != JSON_STRING) {
        return false;
    }
    struct polarys_slice raw = string_inside(value);
    if (!json_has_escape(raw)) {
        return slice_starts_with(raw, prefix);
    }
    struct byte_source source = source_make(raw);
    for (size_t i = 0; i < prefix.size; i++) {
        if (source_next(&source) != prefix.data[i]) {
            return false;
        }
    }
    return true;
}

enum polarys_code json_string_text(const struct json_value *value, struct buffer *scratch,
                                   struct polarys_slice *text)
{
    return json_text(string_inside(value), scratch, text);
}

double json_number_approximate(const struct json_value *value)
{
    enum { TEXT_MAX = 64 };
    POLARYS_ASSERT(value->type == JSON_NUMBER);
    char text[TEXT_MAX + 1];
    if (value->text.size <= TEXT_MAX) {
        memcpy(text, value->text.data, value->text.size);
        text[value->text.size] = '\0';
        return strtod(text, NULL);
    }
    /* Seventeen digits decide a double; the exponent is brought along. */
    struct json_decimal decimal = json_decimal_parse(value->text);
    double digits = 0;
    int used = 0;
    for (const uint8_t *at = decimal.digits; at < decimal.digits_end && used < 17; at++) {
        if (*at != '.') {
            digits = digits * 10 + (*at - '0');
            used++;
        }
    }
    double exponent = 0;
    for (size_t i = 0; i < decimal.exponent.size; i++) {
        exponent = exponent * 10 + (decimal.exponent.data[i] - '0');
    }
    exponent = (decimal.is_exponent_negative ? -exponent : exponent) + (double)decimal.shift - used;
    double result = digits == 0 ? 0 : digits * pow(10, exponent);
    return decimal.is_negative ? -result : result;
}
