/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a query: "age desc, name".
 *
 * A document sorts by the smallest of its values where a field is an array and the direction is ascending,
 * by the largest where it is descending; a missing field comes before every value. Documents that are equal
 * in all fields come in the order of their keys, in the direction of the first field.
 */
#ifndef ENGINE_QUERY_ORDER_H
#define ENGINE_QUERY_ORDER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ORDER_FIELDS_MAX = 8,
    ORDER_BYTES_MAX = 16 << 10,
};

struct order_field {
    struct polarys_slice path; /* borrowed from the text that was parsed */
    bool is_descending;
};

struct order {
    struct order_field fields[ORDER_FIELDS_MAX];
    size_t count;
};

/* Borrows from `text`, which may be empty. Errors: BAD_ARGUMENT (details "field": "order_by", "position" and
 * "expected"). */
NODISCARD enum polarys_code order_parse(struct polarys_slice text, struct order *order,
                                        struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
