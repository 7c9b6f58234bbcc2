/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For plan*.c: conditions by index, and the sets of keys that answer a filter.
 */
#ifndef ENGINE_QUERY_PLAN_INTERNAL_H
#define ENGINE_QUERY_PLAN_INTERNAL_H

#include "engine/query/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Work of one plan_make. */
struct planner {
    const struct plan_input *input;
    struct json_path *paths; /* of filter->paths */
    struct json_path order_paths[ORDER_FIELDS_MAX];
    struct polarys_error *err;
};

/* Conditions that all have to hold. */
struct plan_terms {
    size_t count;
    const struct filter_term *list[];
};

void plan_scan_destroy(struct plan_scan *scan); /* accepts NULL */
void plan_keys_destroy(struct plan_keys *keys); /* accepts NULL; with all below */
bool plan_path_equal(const struct json_path *a, const struct json_path *b);

/* How a scan is wanted. */
struct plan_wish {
    const struct plan_index *index;
    /* The order that the scan has to give; 0: none. */
    size_t order_count;
};

/*
 * The best scan of an index for conditions that all have to hold (NULL: none); *out is NULL when the index
 * has no use for them. With an order the scan gives it, or *out is NULL. Errors: NO_MEMORY, those of count.
 */
NODISCARD enum polarys_code plan_scan_make(struct planner *planner, const struct plan_terms *terms,
                                           const struct plan_wish *wish, struct plan_scan **out);
/* All entries of the index. */
NODISCARD enum polarys_code plan_scan_whole(struct planner *planner, const struct plan_index *index,
                                            struct plan_scan **out);

/* The cheapest set of keys for a condition; *out is NULL when there is none. Errors: as above. */
NODISCARD enum polarys_code plan_keys_make(struct planner *planner, const struct filter_node *node,
                                           struct plan_keys **out);
double plan_keys_cost(const struct plan_keys *keys);
/* The conditions that are joined by AND at the top: the node alone, or its children. Those that are no
 * single conditions are left out. The caller frees it; NULL when there is no memory. `node` may be NULL. */
struct plan_terms *plan_terms_create(const struct filter_node *node);

#ifdef __cplusplus
}
#endif

#endif
