/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the postings of terms and prefixes lie.
 *
 * Invariant: a range holds the postings of its terms and nothing else: a zero byte ends a term and is in
 * none, and the byte 0xff is in no UTF-8.
 */
#include "engine/search/search_internal.h"

void search_range_of_term(uint32_t database_id, uint32_t index_id, struct polarys_slice term,
                          struct search_range *range)
{
    range->start_size = search_key_put_term(range->start, database_id, index_id, term);
    range->end_size = range->start_size;
    memcpy(range->end, range->start, range->start_size);
    range->end[range->end_size - 1] = 1;
}

void search_range_of_prefix(uint32_t database_id, uint32_t index_id, struct polarys_slice prefix,
                            struct search_range *range)
{
    search_range_of_term(database_id, index_id, prefix, range);
    range->start_size--; /* without the byte that ends a whole term */
    range->end[range->end_size - 1] = 0xff;
}

/* Where the ranges of a search go. */
struct range_giving {
    uint32_t database_id;
    uint32_t index_id;
    enum polarys_code (*each)(void *context, struct polarys_slice start, struct polarys_slice end);
    void *context;
};

static enum polarys_code node_ranges(const struct search_node *node,
                                     const struct range_giving *giving)
{
    struct search_range range;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < node->term_count && code == POLARYS_OK; i++) {
        if (node->kind == SEARCH_NODE_PREFIX) {
            search_range_of_prefix(giving->database_id, giving->index_id, node->terms[i], &range);
        } else {
            search_range_of_term(giving->database_id, giving->index_id, node->terms[i], &range);
        }
        code = giving->each(giving->context, search_range_start(&range), search_range_end(&range));
    }
    for (const struct search_node *child = node->first; child != NULL && code == POLARYS_OK;
         child = child->next) {
        code = node_ranges(child, giving);
    }
    return code;
}

enum polarys_code search_query_ranges_each(
    const struct search_query *query, uint32_t database_id, uint32_t index_id,
    enum polarys_code (*each)(void *context, struct polarys_slice start, struct polarys_slice end),
    void *context)
{
    struct range_giving giving = {database_id, index_id, each, context};
    return node_ranges(query->root, &giving);
}
