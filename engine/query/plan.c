/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice among plans: the table, each index in order, a set of keys; with what a sort would cost.
 */
#include "engine/query/plan.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/query/plan_internal.h"

/* A plan that is being weighed. Owns scan and keys. */
struct weighed {
    struct plan_candidate candidate;
    struct plan_scan *scan;
    struct plan_keys *keys;
};

/* Of the documents that a source gives, how many match: what its conditions did not use is guessed. */
static double match_share(const struct filter_node *node)
{
    double share = 1;
    if (node == NULL) {
        return 1;
    }
    switch (node->kind) {
    case FILTER_TERM:
        switch (node->term->relation) {
        case FILTER_EQUAL:
        case FILTER_HAS:
        case FILTER_MATCH:
            return 0.1;
        case FILTER_IN:
            share = 0.1 * (double)node->term->literal_count;
            return share < 0.9 ? share : 0.9;
        case FILTER_PRESENT:
        case FILTER_NOT_EQUAL:
        case FILTER_NOT_MATCH:
            return 0.9;
        default:
            return 0.33;
        }
    case FILTER_NOT:
        return 1 - match_share(node->first);
    case FILTER_AND:
        for (const struct filter_node *each = node->first; each != NULL; each = each->next) {
            share *= match_share(each);
        }
        return share;
    default:
        for (const struct filter_node *each = node->first; each != NULL; each = each->next) {
            share *= 1 - match_share(each);
        }
        return 1 - share;
    }
}

/* The fewest documents that any way is known to look at bounds how many match. */
static double rows_that_match(const struct plan_input *input, double source_rows)
{
    double rows = (double)input->document_count * match_share(input->normal);
    return rows < source_rows ? rows : source_rows;
}

/* Cost of all but opening, when only so much of the source is needed. */
static double cost_limited(const struct plan_input *input, double cost, double rows)
{
    if (input->limit == UINT64_MAX || rows <= (double)input->limit || rows <= 0) {
        return cost;
    }
    return cost * (double)input->limit / rows;
}

static bool wants_order(const struct plan_input *input)
{
    return input->order->count > 0;
}

static double cost_with_sort(const struct plan_input *input, double cost, double rows)
{
    double given = input->limit < rows ? (double)input->limit : rows;
    return cost + rows * PLAN_COST_SORT + given * PLAN_COST_FETCH;
}

static void weighed_deinit(struct weighed *weighed)
{
    plan_scan_destroy(weighed->scan);
    plan_keys_destroy(weighed->keys);
}

/* Notes the candidate, and takes it for the plan if it is the cheapest so far. Takes scan and keys over. */
static void plan_consider(struct plan *plan, struct weighed *take_weighed)
{
    POLARYS_ASSERT(plan->candidate_count < plan->candidate_room);
    size_t number = plan->candidate_count++;
    plan->candidates[number] = take_weighed->candidate;
    if (number > 0 && plan->candidates[plan->chosen].cost <= take_weighed->candidate.cost) {
        weighed_deinit(take_weighed);
        return;
    }
    plan_scan_destroy(plan->scan);
    plan_keys_destroy(plan->keys);
    plan->chosen = number;
    plan->kind = take_weighed->candidate.kind;
    plan->gives_order = take_weighed->candidate.gives_order;
    plan->cost = take_weighed->candidate.cost;
    plan->rows = take_weighed->candidate.rows;
    plan->scan = take_weighed->scan;
    plan->keys = take_weighed->keys;
}

static void table_consider(const struct plan_input *input, struct plan *plan)
{
    double count = (double)input->document_count;
    struct weighed weighed = {.candidate = {.kind = PLAN_TABLE}};
    weighed.candidate.rows = rows_that_match(input, count);
    weighed.candidate.cost = wants_order(input)
                                 ? cost_with_sort(input, count, weighed.candidate.rows)
                                 : cost_limited(input, count, weighed.candidate.rows);
    plan_consider(plan, &weighed);
}

/* The scan of one index, in its order; with an order asked for, giving it or not. */
static enum polarys_code scan_consider(struct planner *planner, const struct plan_terms *terms,
                                       const struct plan_index *index, bool gives_order,
                                       struct plan *plan)
{
    const struct plan_input *input = planner->input;
    struct plan_wish wish = {.index = index};
    struct weighed weighed = {.candidate = {.kind = PLAN_SCAN, .index = index}};
    wish.order_count = gives_order ? input->order->count : 0;
    enum polarys_code code = plan_scan_make(planner, terms, &wish, &weighed.scan);
    bool is_wanted_whole = !gives_order && weighed.scan == NULL &&
                           (input->forced == index || input->must_keep_index == index);
    if (code == POLARYS_OK && is_wanted_whole) {
        code = plan_scan_whole(planner, index, &weighed.scan);
    }
    if (code != POLARYS_OK || weighed.scan == NULL) {
        weighed_deinit(&weighed);
        return code;
    }
    double entries = weighed.scan->entries;
    double rows = rows_that_match(input, entries);
    double cost = entries * (PLAN_COST_ENTRY + PLAN_COST_FETCH);
    double open = (double)weighed.scan->range_count * PLAN_COST_OPEN;
    weighed.candidate.rows = rows;
    weighed.candidate.gives_order = gives_order;
    weighed.candidate.cost = wants_order(input) && !gives_order
                                 ? open + cost_with_sort(input, cost, rows)
                                 : open + cost_limited(input, cost, rows);
    plan_consider(plan, &weighed);
    return POLARYS_OK;
}

static enum polarys_code keys_consider(struct planner *planner, struct plan *plan)
{
    const struct plan_input *input = planner->input;
    struct weighed weighed = {.candidate = {.kind = PLAN_KEYS}};
    if (input->normal == NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = plan_keys_make(planner, input->normal, &weighed.keys);
    if (code != POLARYS_OK || weighed.keys == NULL) {
        weighed_deinit(&weighed);
        return code;
    }
    /* One index alone is better read in its own order, where that is free to choose. */
    double nudge = weighed.keys->kind == PLAN_KEYS_SCAN ? 1 : 0;
    double gather = weighed.keys->entries * (PLAN_COST_ENTRY + PLAN_COST_KEY_SORT) + nudge;
    double rows = rows_that_match(input, weighed.keys->rows);
    double fetch = weighed.keys->rows * PLAN_COST_FETCH;
    weighed.candidate.rows = rows;
    weighed.candidate.index =
        weighed.keys->kind == PLAN_KEYS_SCAN ? weighed.keys->scan->index : NULL;
    weighed.candidate.cost = gather + (wants_order(input) ? cost_with_sort(input, fetch, rows)
                                                          : cost_limited(input, fetch, rows));
    plan_consider(plan, &weighed);
    return POLARYS_OK;
}

/* An order that entries can give: all fields in one direction. */
static bool order_is_even(const struct order *order)
{
    for (size_t i = 1; i < order->count; i++) {
        if (order->fields[i].is_descending != order->fields[0].is_descending) {
            return false;
        }
    }
    return order->count > 0;
}

static enum polarys_code scans_consider(struct planner *planner, struct plan *plan)
{
    const struct plan_input *input = planner->input;
    struct plan_terms *terms = plan_terms_create(input->normal);
    if (terms == NULL) {
        return POLARYS_NO_MEMORY;
    }
    enum polarys_code code = POLARYS_OK;
    bool is_even = order_is_even(input->order);
    for (size_t i = 0; i < input->index_count && code == POLARYS_OK; i++) {
        const struct plan_index *index = &input->indexes[i];
        bool is_left_out = (input->forced != NULL && input->forced != index) ||
                           (input->must_keep_index != NULL && input->must_keep_index != index);
        if (is_left_out) {
            continue;
        }
        if (is_even && !input->must_sort && input->must_keep_index == NULL) {
            code = scan_consider(planner, terms, index, true, plan);
        }
        if (code == POLARYS_OK) {
            code = scan_consider(planner, terms, index, false, plan);
        }
    }
    free(terms);
    return code;
}

static enum polarys_code paths_parse(struct planner *planner)
{
    const struct plan_input *input = planner->input;
    planner->paths = calloc(input->filter->path_count + 1, sizeof(*planner->paths));
    enum polarys_code code = planner->paths == NULL ? POLARYS_NO_MEMORY : POLARYS_OK;
    for (size_t i = 0; i < input->filter->path_count && code == POLARYS_OK; i++) {
        code = json_path_init(&planner->paths[i], input->filter->paths[i], planner->err);
    }
    for (size_t i = 0; i < input->order->count && code == POLARYS_OK; i++) {
        code = json_path_init(&planner->order_paths[i], input->order->fields[i].path, planner->err);
    }
    return code;
}

static void planner_deinit(struct planner *planner)
{
    for (size_t i = 0; planner->paths != NULL && i < planner->input->filter->path_count; i++) {
        json_path_deinit(&planner->paths[i]);
    }
    free(planner->paths);
    for (size_t i = 0; i < planner->input->order->count; i++) {
        json_path_deinit(&planner->order_paths[i]);
    }
}

/* Nothing is cheaper than the scan of one entry, so nothing else is weighed. */
static bool is_single_entry(const struct plan *plan)
{
    return plan->candidate_count > 0 && plan->kind == PLAN_SCAN && plan->scan->range_count == 1 &&
           plan->scan->entries <= 1;
}

static enum polarys_code all_consider(struct planner *planner, struct plan *plan)
{
    const struct plan_input *input = planner->input;
    enum polarys_code code = POLARYS_OK;
    if (input->must_keep_index == NULL && input->forced == NULL) {
        table_consider(input, plan);
    }
    if (!input->is_table_only && !input->must_keep_key_order) {
        code = scans_consider(planner, plan);
    }
    if (code == POLARYS_OK && !input->is_table_only && input->must_keep_index == NULL &&
        !is_single_entry(plan)) {
        code = keys_consider(planner, plan);
    }
    /* A forced index that a cursor in key order cannot use: the table gives the same answer. */
    if (code == POLARYS_OK && plan->candidate_count == 0) {
        table_consider(input, plan);
    }
    return code;
}

enum polarys_code plan_make(const struct plan_input *input, struct plan *plan,
                            struct polarys_error *err)
{
    struct planner planner = {.input = input, .err = err};
    *plan = (struct plan){0};
    /* The table, each index in two ways, a set of keys, the table as what is left. */
    plan->candidate_room = 2 * input->index_count + 3;
    plan->candidates = calloc(plan->candidate_room, sizeof(*plan->candidates));
    enum polarys_code code = plan->candidates == NULL ? POLARYS_NO_MEMORY : paths_parse(&planner);
    if (code == POLARYS_OK) {
        code = all_consider(&planner, plan);
    }
    planner_deinit(&planner);
    if (code != POLARYS_OK) {
        return code == POLARYS_NO_MEMORY ? polarys_fail(err, code, "no memory for a plan") : code;
    }
    plan->is_reverse = plan->gives_order && input->order->fields[0].is_descending;
    plan->source_rows = plan->kind == PLAN_TABLE  ? (double)input->document_count
                        : plan->kind == PLAN_SCAN ? plan->scan->entries
                                                  : plan->keys->rows;
    return POLARYS_OK;
}

void plan_deinit(struct plan *plan)
{
    plan_scan_destroy(plan->scan);
    plan_keys_destroy(plan->keys);
    free(plan->candidates);
    *plan = (struct plan){0};
}
