/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation: every path of filter and order in one set, one walk over the document, then the tree of
 * conditions over what was found.
 */
#include "engine/query/evaluate.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/query/evaluate_internal.h"

/* A path of the set belongs to a path of the filter or to a field of the order. */
struct evaluator {
    const struct filter *filter;
    const struct order *order;
    struct filter_check *checks; /* by index of the term, grouped below */
    size_t check_count;          /* initialised so far */
    /* The terms of path i of the filter: by_path[first[i]] up to by_path[first[i + 1]]. */
    size_t *by_path;
    size_t *first;
    size_t filter_path_count;
    size_t path_count;
    struct json_paths *paths;
};

struct evaluation {
    const struct evaluator *evaluator;
    bool *holds;    /* by term: some value satisfies it (a `!=`: its `=`) */
    bool *is_there; /* by path of the filter */
    struct json_value best[ORDER_FIELDS_MAX];
    enum polarys_code code; /* of the walk */
};

/* Counting sort of the terms by their paths. */
static enum polarys_code terms_group(struct evaluator *evaluator)
{
    const struct filter *filter = evaluator->filter;
    size_t count = evaluator->filter_path_count;
    evaluator->by_path = calloc(filter->term_count + 1, sizeof(*evaluator->by_path));
    evaluator->first = calloc(count + 2, sizeof(*evaluator->first));
    if (evaluator->by_path == NULL || evaluator->first == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (size_t i = 0; i < filter->term_count; i++) {
        evaluator->first[filter->terms[i]->field + 2]++;
    }
    for (size_t i = 2; i <= count; i++) {
        evaluator->first[i] += evaluator->first[i - 1];
    }
    for (size_t i = 0; i < filter->term_count; i++) {
        evaluator->by_path[evaluator->first[filter->terms[i]->field + 1]++] = i;
    }
    return POLARYS_OK;
}

static enum polarys_code checks_make(struct evaluator *evaluator)
{
    const struct filter *filter = evaluator->filter;
    evaluator->checks = calloc(filter->term_count + 1, sizeof(*evaluator->checks));
    enum polarys_code code = evaluator->checks == NULL ? POLARYS_NO_MEMORY : POLARYS_OK;
    for (size_t i = 0; i < filter->term_count && code == POLARYS_OK; i++) {
        code = filter_check_init(&evaluator->checks[i], filter->terms[i]);
        evaluator->check_count++;
    }
    return code == POLARYS_OK ? terms_group(evaluator) : code;
}

static enum polarys_code paths_make(struct evaluator *evaluator, struct polarys_error *err)
{
    struct json_path *paths = calloc(evaluator->path_count + 1, sizeof(*paths));
    if (paths == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a filter");
    }
    enum polarys_code code = POLARYS_OK;
    size_t count = 0;
    while (count < evaluator->path_count && code == POLARYS_OK) {
        bool is_of_filter = count < evaluator->filter_path_count;
        struct polarys_slice text =
            is_of_filter ? evaluator->filter->paths[count]
                         : evaluator->order->fields[count - evaluator->filter_path_count].path;
        code = json_path_init(&paths[count], text, err);
        count += code == POLARYS_OK ? 1 : 0;
    }
    if (code == POLARYS_OK) {
        code = json_paths_create(paths, count, &evaluator->paths, err);
    }
    for (size_t i = 0; i < count; i++) {
        json_path_deinit(&paths[i]);
    }
    free(paths);
    return code;
}

enum polarys_code evaluator_create(const struct filter *filter, const struct order *order,
                                   struct evaluator **out, struct polarys_error *err)
{
    static const struct order no_order;
    *out = NULL;
    struct evaluator *evaluator = calloc(1, sizeof(*evaluator));
    if (evaluator == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a filter");
    }
    evaluator->filter = filter;
    evaluator->order = order == NULL ? &no_order : order;
    evaluator->filter_path_count = filter->path_count;
    evaluator->path_count = filter->path_count + evaluator->order->count;
    enum polarys_code code = checks_make(evaluator);
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for a filter");
        goto fail;
    }
    code = paths_make(evaluator, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    *out = evaluator;
    return POLARYS_OK;

fail:
    evaluator_destroy(evaluator);
    return code;
}

void evaluator_destroy(struct evaluator *evaluator)
{
    if (evaluator == NULL) {
        return;
    }
    for (size_t i = 0; i < evaluator->check_count; i++) {
        filter_check_deinit(&evaluator->checks[i]);
    }
    free(evaluator->checks);
    free(evaluator->by_path);
    free(evaluator->first);
    json_paths_destroy(evaluator->paths);
    free(evaluator);
}

enum polarys_code evaluation_create(const struct evaluator *evaluator, struct evaluation **out)
{
    *out = NULL;
    struct evaluation *evaluation = calloc(1, sizeof(*evaluation));
    if (evaluation == NULL) {
        return POLARYS_NO_MEMORY;
    }
    evaluation->evaluator = evaluator;
    evaluation->holds = calloc(evaluator->filter->term_count + 1, sizeof(bool));
    evaluation->is_there = calloc(evaluator->filter_path_count + 1, sizeof(bool));
    if (evaluation->holds == NULL || evaluation->is_there == NULL) {
        evaluation_destroy(evaluation);
        return POLARYS_NO_MEMORY;
    }
    *out = evaluation;
    return POLARYS_OK;
}

void evaluation_destroy(struct evaluation *evaluation)
{
    if (evaluation != NULL) {
        free(evaluation->holds);
        free(evaluation->is_there);
        free(evaluation);
    }
}

/* Keeps the value that the field sorts by. */
static bool order_take(struct evaluation *evaluation, size_t number, const struct json_value *value)
{
    const struct order_field *field = &evaluation->evaluator->order->fields[number];
    struct json_value *best = &evaluation->best[number];
    if (value->type == JSON_MISSING || best->type == JSON_MISSING) {
        *best = best->type == JSON_MISSING ? *value : *best;
        return true;
    }
    int order = 0;
    evaluation->code = json_value_compare(value, best, &order);
    if (evaluation->code == POLARYS_OK && (field->is_descending ? order > 0 : order < 0)) {
        *best = *value;
    }
    return evaluation->code == POLARYS_OK;
}

static bool filter_take(struct evaluation *evaluation, size_t path, const struct json_value *value)
{
    const struct evaluator *evaluator = evaluation->evaluator;
    for (size_t i = evaluator->first[path]; i < evaluator->first[path + 1]; i++) {
        size_t index = evaluator->by_path[i];
        if (evaluation->holds[index]) {
            continue;
        }
        evaluation->code =
            filter_check_holds(&evaluator->checks[index], value, &evaluation->holds[index]);
        if (evaluation->code != POLARYS_OK) {
            return false;
        }
    }
    return true;
}

/* An array is there, and counts as present, whatever is in it. */
static void array_take(struct evaluation *evaluation, size_t path)
{
    const struct evaluator *evaluator = evaluation->evaluator;
    for (size_t i = evaluator->first[path]; i < evaluator->first[path + 1]; i++) {
        size_t index = evaluator->by_path[i];
        if (evaluator->checks[index].term->relation == FILTER_PRESENT) {
            evaluation->holds[index] = true;
        }
    }
}

static bool match_take(void *context, size_t path, enum json_match_kind kind,
                       struct json_value value)
{
    struct evaluation *evaluation = context;
    size_t filter_path_count = evaluation->evaluator->filter_path_count;
    if (path >= filter_path_count) {
        return kind == JSON_MATCH_ARRAY || order_take(evaluation, path - filter_path_count, &value);
    }
    if (kind == JSON_MATCH_ARRAY) {
        evaluation->is_there[path] = true;
        array_take(evaluation, path);
        return true;
    }
    if (value.type == JSON_MISSING) {
        return true;
    }
    evaluation->is_there[path] = true;
    return filter_take(evaluation, path, &value);
}

static bool term_holds(const struct evaluation *evaluation, const struct filter_term *term)
{
    bool holds = evaluation->holds[term->index];
    bool is_negative = term->relation == FILTER_NOT_EQUAL || term->relation == FILTER_NOT_MATCH;
    return is_negative ? evaluation->is_there[term->field] && !holds : holds;
}

static bool node_holds(const struct evaluation *evaluation, const struct filter_node *node)
{
    switch (node->kind) {
    case FILTER_TERM:
        return term_holds(evaluation, node->term);
    case FILTER_NOT:
        return !node_holds(evaluation, node->first);
    default:
        break;
    }
    bool is_and = node->kind == FILTER_AND;
    for (const struct filter_node *each = node->first; each != NULL; each = each->next) {
        if (node_holds(evaluation, each) != is_and) {
            return !is_and;
        }
    }
    return is_and;
}

enum polarys_code evaluation_run(struct evaluation *evaluation, bool is_json,
                                 struct polarys_slice document, bool *is_match)
{
    const struct evaluator *evaluator = evaluation->evaluator;
    const struct filter *filter = evaluator->filter;
    *is_match = filter->root == NULL;
    evaluation->code = POLARYS_OK;
    for (size_t i = 0; i < evaluator->order->count; i++) {
        evaluation->best[i] = (struct json_value){0};
    }
    if (!is_json || evaluator->path_count == 0) {
        return POLARYS_OK;
    }
    memset(evaluation->holds, 0, filter->term_count);
    memset(evaluation->is_there, 0, evaluator->filter_path_count);
    (void)json_paths_extract(evaluator->paths, document, match_take, evaluation);
    if (evaluation->code == POLARYS_OK && filter->root != NULL) {
        *is_match = node_holds(evaluation, filter->root);
    }
    return evaluation->code;
}

enum polarys_code evaluation_sort_key(const struct evaluation *evaluation, struct buffer *to)
{
    const struct order *order = evaluation->evaluator->order;
    for (size_t i = 0; i < order->count; i++) {
        size_t from = to->size;
        enum polarys_code code = json_value_encode(&evaluation->best[i], to);
        if (code != POLARYS_OK) {
            return code;
        }
        for (size_t at = from; order->fields[i].is_descending && at < to->size; at++) {
            to->data[at] = (uint8_t)~to->data[at];
        }
    }
    return POLARYS_OK;
}
