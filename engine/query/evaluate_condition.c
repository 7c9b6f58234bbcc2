/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value against one condition. Integers of few digits and strings without escapes, which is nearly
 * everything, take a short way; json_value_compare knows the rest.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/query/evaluate_internal.h"

enum { INTEGER_BYTES_MAX = 18 };

/* False for what is no integer of few digits. */
static bool integer_parse(struct polarys_slice text, int64_t *integer)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.size;
    if (text.size == 0 || text.size > INTEGER_BYTES_MAX) {
        return false;
    }
    bool is_negative = *at == '-';
    at += is_negative ? 1 : 0;
    int64_t value = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        value = value * 10 + (*at - '0');
    }
    *integer = is_negative ? -value : value;
    return true;
}

static int literal_order(const void *a, const void *b)
{
    const struct json_value *const *left = a;
    const struct json_value *const *right = b;
    int order = 0;
    /* Only without memory is there no answer; the search then falls back on looking at each. */
    return json_value_compare(*left, *right, &order) == POLARYS_OK ? order : 0;
}

static bool is_string_without_escape(struct polarys_slice text)
{
    return memchr(text.data, '\\', text.size) == NULL;
}

static enum polarys_code list_sort(struct filter_check *check, const struct filter_term *term)
{
    check->sorted = calloc(term->literal_count, sizeof(struct json_value *));
    if (check->sorted == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (size_t i = 0; i < term->literal_count; i++) {
        check->sorted[i] = &term->literals[i].value;
    }
    qsort(check->sorted, term->literal_count, sizeof(struct json_value *), literal_order);
    return POLARYS_OK;
}

/* The path that is the literal alone, whatever characters it has. */
static enum polarys_code member_make(struct filter_check *check,
                                     const struct filter_literal *literal)
{
    struct polarys_slice name = literal->characters;
    struct json_path path = {.names = &name, .name_count = 1, .text_size = name.size};
    return json_paths_create(&path, 1, &check->member, NULL);
}

enum polarys_code filter_check_init(struct filter_check *check, const struct filter_term *term)
{
    *check = (struct filter_check){.term = term};
    if (term->relation == FILTER_IN) {
        return list_sort(check, term);
    }
    if (term->relation == FILTER_PRESENT) {
        return POLARYS_OK;
    }
    POLARYS_ASSERT(term->literal_count == 1);
    const struct filter_literal *literal = &term->literals[0];
    bool is_string = literal->value.type == JSON_STRING;
    check->is_plain = is_string && is_string_without_escape(literal->characters);
    check->is_integer =
        literal->value.type == JSON_NUMBER && integer_parse(literal->value.text, &check->integer);
    return is_string && term->relation == FILTER_HAS ? member_make(check, literal) : POLARYS_OK;
}

void filter_check_deinit(struct filter_check *check)
{
    free(check->sorted);
    json_paths_destroy(check->member);
    *check = (struct filter_check){0};
}

/* Between the quotes. */
static struct polarys_slice inside(const struct json_value *value)
{
    POLARYS_ASSERT(value->text.size >= 2);
    return slice_make(value->text.data + 1, value->text.size - 2);
}

/* The order of a value and the literal, both of one type. */
static enum polarys_code compare(const struct filter_check *check, const struct json_value *value,
                                 int *order)
{
    const struct filter_literal *literal = &check->term->literals[0];
    int64_t integer;
    if (check->is_integer && integer_parse(value->text, &integer)) {
        *order = (integer > check->integer) - (integer < check->integer);
        return POLARYS_OK;
    }
    if (value->type == JSON_STRING && is_string_without_escape(value->text)) {
        *order = slice_compare(inside(value), literal->characters);
        return POLARYS_OK;
    }
    return json_value_compare(value, &literal->value, order);
}

static enum polarys_code is_equal(const struct filter_check *check, const struct json_value *value,
                                  bool *holds)
{
    const struct filter_literal *literal = &check->term->literals[0];
    if (value->type != literal->value.type) {
        *holds = false;
        return POLARYS_OK;
    }
    if (check->is_plain && slice_equal(inside(value), literal->characters)) {
        *holds = true;
        return POLARYS_OK;
    }
    int order = 0;
    enum polarys_code code = compare(check, value, &order);
    *holds = code == POLARYS_OK && order == 0;
    return code;
}

static enum polarys_code compares(const struct filter_check *check, const struct json_value *value,
                                  bool *holds)
{
    int order = 0;
    *holds = false;
    if (value->type != check->term->literals[0].value.type) {
        return POLARYS_OK;
    }
    enum polarys_code code = compare(check, value, &order);
    switch (check->term->relation) {
    case FILTER_LESS:
        *holds = order < 0;
        break;
    case FILTER_LESS_EQUAL:
        *holds = order <= 0;
        break;
    case FILTER_GREATER:
        *holds = order > 0;
        break;
    default:
        *holds = order >= 0;
        break;
    }
    return code;
}

static enum polarys_code is_in_list(const struct filter_check *check,
                                    const struct json_value *value, bool *holds)
{
    size_t low = 0;
    size_t high = check->term->literal_count;
    *holds = false;
    while (low < high && !*holds) {
        size_t middle = low + (high - low) / 2;
        int order = 0;
        enum polarys_code code = json_value_compare(value, check->sorted[middle], &order);
        if (code != POLARYS_OK) {
            return code;
        }
        *holds = order == 0;
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return POLARYS_OK;
}

static bool member_is_there(void *context, size_t path, enum json_match_kind kind,
                            struct json_value value)
{
    bool *is_there = context;
    (void)path;
    *is_there = *is_there || kind == JSON_MATCH_ARRAY || value.type != JSON_MISSING;
    return !*is_there;
}

static bool ends_with(struct polarys_slice whole, struct polarys_slice end)
{
    return whole.size >= end.size &&
           slice_equal(slice_make(whole.data + whole.size - end.size, end.size), end);
}

static bool contains(struct polarys_slice whole, struct polarys_slice part)
{
    return part.size == 0 || (whole.size >= part.size &&
                              memmem(whole.data, whole.size, part.data, part.size) != NULL);
}

static enum polarys_code matches(const struct filter_check *check, const struct json_value *value,
                                 bool *holds)
{
    const struct filter_term *term = check->term;
    struct polarys_slice part = term->literals[0].characters;
    *holds = false;
    if (value->type != JSON_STRING) {
        return POLARYS_OK;
    }
    struct buffer scratch = {0};
    struct polarys_slice whole;
    enum polarys_code code = json_string_text(value, &scratch, &whole);
    if (code == POLARYS_OK && term->is_open_start && term->is_open_end) {
        *holds = contains(whole, part);
    } else if (code == POLARYS_OK) {
        *holds = term->is_open_end ? slice_starts_with(whole, part) : ends_with(whole, part);
    }
    buffer_deinit(&scratch);
    return code;
}

enum polarys_code filter_check_holds(const struct filter_check *check,
                                     const struct json_value *value, bool *holds)
{
    POLARYS_ASSERT(value->type != JSON_MISSING);
    switch (check->term->relation) {
    case FILTER_HAS:
        if (value->type == JSON_OBJECT && check->member != NULL) {
            *holds = false;
            (void)json_paths_extract(check->member, value->text, member_is_there, holds);
            return POLARYS_OK;
        }
        return is_equal(check, value, holds);
    case FILTER_EQUAL:
    case FILTER_NOT_EQUAL:
        return is_equal(check, value, holds);
    case FILTER_IN:
        return is_in_list(check, value, holds);
    case FILTER_MATCH:
    case FILTER_NOT_MATCH:
        return matches(check, value, holds);
    case FILTER_PRESENT:
        *holds = value->type != JSON_NULL;
        return POLARYS_OK;
    default:
        return compares(check, value, holds);
    }
}
