/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a document matches a filter, and where it comes in an order.
 *
 * Invariant: one walk over a document answers everything. This is the meaning of the filter language: an
 * index may only leave out documents that would be refused here.
 */
#ifndef ENGINE_QUERY_EVALUATE_H
#define ENGINE_QUERY_EVALUATE_H

#include "engine/query/filter.h"
#include "engine/query/order.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A filter and an order, ready to be used. Immutable: any thread. */
struct evaluator;

/* Borrows `filter` and `order` (NULL: none). Errors: BAD_ARGUMENT (a path), NO_MEMORY. */
NODISCARD enum polarys_code evaluator_create(const struct filter *filter, const struct order *order,
                                             struct evaluator **out, struct polarys_error *err);
void evaluator_destroy(struct evaluator *evaluator); /* accepts NULL */

/* The working memory of one thread. */
struct evaluation;

/* Borrows the evaluator. Errors: NO_MEMORY. */
NODISCARD enum polarys_code evaluation_create(const struct evaluator *evaluator,
                                              struct evaluation **out);
void evaluation_destroy(struct evaluation *evaluation); /* accepts NULL */

/*
 * Looks at a document: checked JSON, or raw bytes (is_json false), which match only the empty filter. Errors:
 * NO_MEMORY.
 */
NODISCARD enum polarys_code evaluation_run(struct evaluation *evaluation, bool is_json,
                                           struct polarys_slice document, bool *is_match);

/*
 * Appends the sort key of the document looked at last: of two, memcmp of the keys (a prefix first) is the
 * order; equal keys are equal in all fields. REQUIRES: the document is still there. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code evaluation_sort_key(const struct evaluation *evaluation,
                                                struct buffer *to);

#ifdef __cplusplus
}
#endif

#endif
