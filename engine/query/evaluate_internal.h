/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For evaluate*.c: conditions made ready for comparing, and the comparison of one value with one of them.
 */
#ifndef ENGINE_QUERY_EVALUATE_INTERNAL_H
#define ENGINE_QUERY_EVALUATE_INTERNAL_H

#include "engine/query/filter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A condition with what makes comparing quick. Owned by the evaluator. */
struct filter_check {
    const struct filter_term *term;
    bool is_integer; /* the literal is one, of few digits */
    int64_t integer;
    bool is_plain; /* the literal is a string without a backslash */
    /* IN: the literals in their order. */
    const struct json_value **sorted;
    /* HAS with a string: finds the member of that name. */
    struct json_paths *member;
};

/* Errors: NO_MEMORY. Then, too, filter_check_deinit is to be called. */
NODISCARD enum polarys_code filter_check_init(struct filter_check *check,
                                              const struct filter_term *term);
void filter_check_deinit(struct filter_check *check);

/* Whether one value that is there satisfies it. `!=` is asked as `=` here: its negation, and what is missing,
 * are the evaluator's. Errors: NO_MEMORY. */
NODISCARD enum polarys_code filter_check_holds(const struct filter_check *check,
                                               const struct json_value *value, bool *holds);

#ifdef __cplusplus
}
#endif

#endif
