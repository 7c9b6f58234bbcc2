/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of order_by: paths, each followed by ASC, DESC or nothing, with commas between them.
 */
#include "engine/query/order.h"

#include "engine/query/filter.h"
#include "engine/query/filter_scan.h"

static enum polarys_code fail(const struct filter_cursor *cursor, const char *expected,
                              struct polarys_error *err)
{
    size_t position = filter_position(cursor);
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "order_by: %s is expected at byte %zu", expected,
                 position);
    polarys_error_detail_set(err, "field", "order_by");
    polarys_error_detail_set(err, "position", "%zu", position);
    polarys_error_detail_set(err, "expected", "%s", expected);
    return POLARYS_BAD_ARGUMENT;
}

static enum polarys_code take_field(struct filter_cursor *cursor, struct order_field *field,
                                    struct polarys_error *err)
{
    const char *expected = NULL;
    filter_skip_space(cursor);
    struct filter_cursor start = *cursor;
    if (!filter_take_path(cursor, &field->path, &expected)) {
        return fail(cursor, expected, err);
    }
    if (field->path.size > FILTER_PATH_BYTES_MAX) {
        return fail(&start, "a path of at most 1024 bytes", err);
    }
    filter_skip_space(cursor);
    field->is_descending = filter_take_word(cursor, "DESC");
    if (!field->is_descending && filter_take_word(cursor, "ASC")) {
        field->is_descending = false;
    }
    filter_skip_space(cursor);
    return POLARYS_OK;
}

enum polarys_code order_parse(struct polarys_slice text, struct order *order,
                              struct polarys_error *err)
{
    struct filter_cursor cursor = filter_cursor_make(text);
    *order = (struct order){0};
    if (text.size > ORDER_BYTES_MAX) {
        cursor.at += ORDER_BYTES_MAX;
        return fail(&cursor, "the end (16384 bytes are the limit)", err);
    }
    filter_skip_space(&cursor);
    if (cursor.at == cursor.end) {
        return POLARYS_OK;
    }
    do {
        if (order->count == ORDER_FIELDS_MAX) {
            return fail(&cursor, "the end (8 fields are the limit)", err);
        }
        enum polarys_code code = take_field(&cursor, &order->fields[order->count], err);
        if (code != POLARYS_OK) {
            return code;
        }
        order->count++;
    } while (filter_take_byte(&cursor, ','));
    return cursor.at == cursor.end ? POLARYS_OK
                                   : fail(&cursor, "ASC, DESC, a comma or the end", err);
}
