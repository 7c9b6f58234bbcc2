/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explaining: the plan of a query as steps, outermost first, with what was estimated and what came of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/query_internal.h"

enum { EXPLAIN_BYTES_MAX = 4 << 20 };

/* Steps that are being put together. Texts are in the arena. */
struct explanation {
    struct polarys_query *query;
    struct arena arena;
    struct polarys_plan_step *steps;
    size_t count;
    size_t capacity;
    bool is_short_of_memory;
};

static const char *text_of(struct explanation *to, struct polarys_slice text)
{
    const char *copy = arena_copy(&to->arena, text);
    to->is_short_of_memory = to->is_short_of_memory || copy == NULL;
    return copy;
}

/* NULL, noted, when there is no memory. Its strings are empty. */
static struct polarys_plan_step *step_add(struct explanation *to, unsigned depth,
                                          const char *operation)
{
    if (to->count == to->capacity) {
        size_t capacity = to->capacity == 0 ? 16 : to->capacity * 2;
        struct polarys_plan_step *steps = realloc(to->steps, capacity * sizeof(*steps));
        if (steps == NULL) {
            to->is_short_of_memory = true;
            return NULL;
        }
        to->steps = steps;
        to->capacity = capacity;
    }
    struct polarys_plan_step *step = &to->steps[to->count++];
    *step = (struct polarys_plan_step){
        .depth = depth, .operation = operation, .index = "", .detail = ""};
    return step;
}

static void scan_add(struct explanation *to, unsigned depth, const struct plan_scan *scan)
{
    struct polarys_plan_step *step = step_add(to, depth, "index_scan");
    struct buffer detail = {0};
    if (step == NULL) {
        return;
    }
    bool has_detail = plan_scan_print(scan, &detail) == POLARYS_OK;
    to->is_short_of_memory = to->is_short_of_memory || !has_detail;
    step->index = text_of(to, slice_from_text(scan->index->definition->name));
    step->detail = text_of(to, buffer_slice(&detail));
    step->estimated_rows = scan->entries;
    step->estimated_cost = scan->entries * PLAN_COST_ENTRY;
    step->actual_rows = scan->read;
    buffer_deinit(&detail);
}

static void keys_add(struct explanation *to, unsigned depth, const struct plan_keys *keys)
{
    if (keys->kind == PLAN_KEYS_SCAN) {
        scan_add(to, depth, keys->scan);
        return;
    }
    struct polarys_plan_step *step =
        step_add(to, depth, keys->kind == PLAN_KEYS_AND ? "intersect" : "union");
    if (step != NULL) {
        step->estimated_rows = keys->rows;
        step->estimated_cost = keys->entries * (PLAN_COST_ENTRY + PLAN_COST_KEY_SORT);
    }
    for (const struct plan_keys *each = keys->first; each != NULL; each = each->next) {
        keys_add(to, depth + 1, each);
    }
}

static void source_add(struct explanation *to, unsigned depth)
{
    const struct polarys_query *query = to->query;
    const struct plan *plan = &query->plan;
    bool is_table = plan->kind == PLAN_TABLE;
    struct polarys_plan_step *step = step_add(to, depth, is_table ? "table_scan" : "fetch");
    if (step == NULL) {
        return;
    }
    step->estimated_rows = plan->source_rows;
    step->estimated_cost = plan->source_rows * (is_table ? 1 : PLAN_COST_FETCH);
    step->actual_rows = query->figures.looked;
    step->actual_ns = query->figures.source_ns;
    if (plan->kind == PLAN_SCAN) {
        step->detail =
            plan->is_reverse ? "in reverse order of the entries" : "in the order of the entries";
        scan_add(to, depth + 1, plan->scan);
    } else if (plan->kind == PLAN_KEYS) {
        step->detail = "in the order of keys";
        keys_add(to, depth + 1, plan->keys);
    }
}

static void filter_add(struct explanation *to, unsigned depth)
{
    struct buffer text = {0};
    struct polarys_plan_step *step = step_add(to, depth, "filter");
    bool has_text = filter_print(to->query->normal, &text) == POLARYS_OK;
    to->is_short_of_memory = to->is_short_of_memory || !has_text;
    if (step != NULL) {
        step->detail = text_of(to, buffer_slice(&text));
        step->estimated_rows = to->query->plan.rows;
        step->actual_rows = to->query->figures.matched;
        step->actual_ns = to->query->figures.filter_ns;
    }
    buffer_deinit(&text);
}

static double rows_given(const struct polarys_query *query)
{
    double rows = query->plan.rows;
    return query->limit != UINT64_MAX && rows > (double)query->limit ? (double)query->limit : rows;
}

/* The steps above the source. */
static void steps_add(struct explanation *to)
{
    const struct polarys_query *query = to->query;
    unsigned depth = 0;
    struct polarys_plan_step *step;
    if (query->limit != UINT64_MAX) {
        char text[24];
        int size = snprintf(text, sizeof(text), "%llu", (unsigned long long)query->limit);
        step = step_add(to, depth++, "limit");
        if (step != NULL) {
            step->detail = text_of(to, slice_make(text, (size_t)size));
            step->estimated_rows = rows_given(query);
            step->actual_rows = query->given;
        }
    }
    if (query->sorter != NULL) {
        step = step_add(to, depth++, "sort");
        if (step != NULL) {
            step->detail = text_of(to, buffer_slice(&query->order_text));
            step->estimated_rows = rows_given(query);
            step->estimated_cost = query->plan.rows * PLAN_COST_SORT;
            step->actual_rows = query->given;
        }
    }
    if (query->normal != NULL) {
        filter_add(to, depth++);
    }
    source_add(to, depth);
    if (to->count > 0) {
        to->steps[0].estimated_cost = query->plan.cost;
        to->steps[0].actual_ns = query->figures.total_ns;
    }
}

/* Appends the plans that lost; returns how many. */
static size_t rejected_add(struct explanation *to)
{
    const struct plan *plan = &to->query->plan;
    size_t from = to->count;
    for (size_t i = 0; i < plan->candidate_count; i++) {
        const struct plan_candidate *candidate = &plan->candidates[i];
        static const char *const operations[] = {"table_scan", "index_scan", "fetch"};
        if (i == plan->chosen) {
            continue;
        }
        struct polarys_plan_step *step = step_add(to, 0, operations[candidate->kind]);
        if (step == NULL) {
            break;
        }
        step->index = candidate->index == NULL
                          ? ""
                          : text_of(to, slice_from_text(candidate->index->definition->name));
        step->detail = candidate->gives_order         ? "gives the order"
                       : candidate->kind != PLAN_KEYS ? ""
                                                      : "a set of keys first";
        step->estimated_rows = candidate->rows;
        step->estimated_cost = candidate->cost;
    }
    return to->count - from;
}

/* Runs the query to its end. */
static enum polarys_code run_all(struct polarys_query *query, struct polarys_error *err)
{
    uint64_t begun_ns = clock_monotonic_ns(query->db->clock);
    enum polarys_code code = POLARYS_OK;
    query->is_timed = true;
    while (query->given < query->limit) {
        struct query_row row;
        bool has_row = false;
        code = query_run_next(query, &row, &has_row, err);
        if (code != POLARYS_OK || !has_row) {
            break;
        }
        query->given++;
    }
    query->figures.total_ns = clock_monotonic_ns(query->db->clock) - begun_ns;
    return code;
}

static enum polarys_code explain(struct polarys_query *query, bool was_run,
                                 void (*each)(void *context, const struct polarys_plan *plan),
                                 void *context, struct polarys_error *err)
{
    struct explanation to = {.query = query};
    arena_init(&to.arena, EXPLAIN_BYTES_MAX);
    steps_add(&to);
    size_t step_count = to.count;
    size_t rejected_count = rejected_add(&to);
    enum polarys_code code = POLARYS_OK;
    if (to.is_short_of_memory) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to explain a query");
    } else {
        struct polarys_plan plan = {
            .steps = to.steps,
            .step_count = step_count,
            .rejected = to.steps + step_count,
            .rejected_count = rejected_count,
            .was_run = was_run,
            .rows = query->given,
            .total_ns = query->figures.total_ns,
        };
        each(context, &plan);
    }
    free(to.steps);
    arena_deinit(&to.arena);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_query_explain(
    struct polarys_db *db, const struct polarys_query_options *options, bool run,
    bool (*should_stop)(void *context), void *context,
    void (*each)(void *context, const struct polarys_plan *plan), struct polarys_error *err)
{
    struct polarys_query *query;
    enum polarys_code code = polarys_query_open(db, options, &query, err);
    if (code != POLARYS_OK) {
        return code;
    }
    query->stop.should_stop = should_stop;
    query->stop.context = context;
    code = run ? run_all(query, err) : POLARYS_OK;
    if (code == POLARYS_OK) {
        code = explain(query, run, each, context, err);
    }
    polarys_query_close(query);
    return code;
}
