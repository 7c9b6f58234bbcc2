/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans of one index: which conditions bind its fields, and the ranges of entries that follow.
 *
 * Leading fields are bound by points (equal to one value, or to one of a list), the next one by points, a
 * prefix or a range; further fields are left to the filter. The choice depends on filter, index and
 * has_several alone, never on estimates: a cursor must find the same ranges again.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/query/plan_internal.h"

enum binding_kind {
    BINDING_NONE,
    BINDING_POINTS,
    BINDING_RANGE,
    BINDING_PREFIX,
    BINDING_HAS, /* a string, or any object */
};

/* How one field of the index is bound. */
struct binding {
    enum binding_kind kind;
    const struct filter_term *term; /* POINTS, PREFIX, HAS; the lower end of a range */
    const struct filter_term *high; /* the upper end of a range */
};

/* Work of one plan_scan_make. */
struct builder {
    struct planner *planner;
    const struct plan_terms *terms;
    const struct index_definition *index;
    struct plan_scan *scan;
    struct binding bindings[INDEX_FIELDS_MAX];
    size_t points_count; /* leading fields bound by points */
    size_t bound_count;  /* bound fields */
};

void plan_scan_destroy(struct plan_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    for (size_t i = 0; i < scan->range_count; i++) {
        index_range_deinit(&scan->ranges[i]);
    }
    free(scan->ranges);
    free(scan);
}

bool plan_path_equal(const struct json_path *a, const struct json_path *b)
{
    bool is_equal = a->name_count == b->name_count;
    for (size_t i = 0; i < a->name_count && is_equal; i++) {
        is_equal = slice_equal(a->names[i], b->names[i]);
    }
    return is_equal;
}

static bool is_of_field(const struct builder *builder, const struct filter_term *term, size_t field)
{
    return plan_path_equal(&builder->planner->paths[term->field], &builder->index->fields[field]);
}

static bool is_points(const struct filter_term *term)
{
    bool is_has_of_scalar =
        term->relation == FILTER_HAS && term->literals[0].value.type != JSON_STRING;
    return term->relation == FILTER_EQUAL || term->relation == FILTER_IN || is_has_of_scalar;
}

static bool is_low(const struct filter_term *term)
{
    return term->relation == FILTER_GREATER || term->relation == FILTER_GREATER_EQUAL;
}

static bool is_high(const struct filter_term *term)
{
    return term->relation == FILTER_LESS || term->relation == FILTER_LESS_EQUAL;
}

/* The best points for a field: the fewest values. */
static const struct filter_term *points_find(const struct builder *builder, size_t field)
{
    const struct filter_term *best = NULL;
    for (size_t i = 0; i < builder->terms->count; i++) {
        const struct filter_term *term = builder->terms->list[i];
        if (is_points(term) && is_of_field(builder, term, field) &&
            (best == NULL || term->literal_count < best->literal_count)) {
            best = term;
        }
    }
    return best;
}

/* A range, prefix or `:` for a field that no points bind. */
static struct binding range_find(const struct builder *builder, size_t field)
{
    struct binding found = {BINDING_NONE, NULL, NULL};
    const struct filter_term *prefix = NULL;
    const struct filter_term *has = NULL;
    for (size_t i = 0; i < builder->terms->count; i++) {
        const struct filter_term *term = builder->terms->list[i];
        if (!is_of_field(builder, term, field)) {
            continue;
        }
        if (term->relation == FILTER_MATCH && !term->is_open_start && prefix == NULL) {
            prefix = term;
        } else if (term->relation == FILTER_HAS && has == NULL) {
            has = term;
        } else if (is_low(term) && found.term == NULL) {
            found.term = term;
        } else if (is_high(term) && found.high == NULL) {
            found.high = term;
        }
    }
    if (has != NULL) {
        return (struct binding){BINDING_HAS, has, NULL};
    }
    if (prefix != NULL) {
        return (struct binding){BINDING_PREFIX, prefix, NULL};
    }
    if (found.term == NULL && found.high == NULL) {
        return found;
    }
    found.kind = BINDING_RANGE;
    bool has_both = found.term != NULL && found.high != NULL;
    bool may_join = !builder->scan->index->has_several && has_both &&
                    found.term->literals[0].value.type == found.high->literals[0].value.type;
    if (has_both && !may_join) {
        found.high = NULL; /* the filter asks the other one */
    }
    return found;
}

/* Takes points for leading fields as long as the ranges stay few. `points_max`: fields at most. */
static void points_bind(struct builder *builder, size_t points_max)
{
    size_t ranges = 1;
    while (builder->points_count < points_max) {
        const struct filter_term *term = points_find(builder, builder->points_count);
        if (term == NULL || ranges * term->literal_count > PLAN_RANGES_MAX) {
            return;
        }
        ranges *= term->literal_count;
        builder->bindings[builder->points_count++] = (struct binding){BINDING_POINTS, term, NULL};
        builder->bound_count = builder->points_count;
    }
}

static enum polarys_code range_add(struct plan_scan *scan, struct index_range **range)
{
    if (scan->range_count == scan->range_capacity) {
        size_t capacity = scan->range_capacity == 0 ? 1 : scan->range_capacity * 2;
        struct index_range *ranges = realloc(scan->ranges, capacity * sizeof(*ranges));
        if (ranges == NULL) {
            return POLARYS_NO_MEMORY;
        }
        scan->ranges = ranges;
        scan->range_capacity = capacity;
    }
    *range = &scan->ranges[scan->range_count++];
    **range = (struct index_range){0};
    return POLARYS_OK;
}

/* One end of a range; a bound that is not given, and no assumption, where there is no condition. */
static struct index_bound bound_of(const struct filter_term *term)
{
    struct index_bound bound = {0};
    if (term != NULL) {
        bound.is_given = true;
        bound.is_inclusive = term->relation == FILTER_LESS_EQUAL ||
                             term->relation == FILTER_GREATER_EQUAL || term->relation == FILTER_HAS;
        bound.value = term->literals[0].value;
    }
    return bound;
}

/* Every object, as the second range of `:`. */
static enum polarys_code objects_add(struct builder *builder, const struct json_value *equal,
                                     struct polarys_error *err)
{
    uint8_t first;
    uint8_t beyond;
    struct index_range *range;
    json_type_bounds(JSON_OBJECT, &first, &beyond);
    enum polarys_code code = range_add(builder->scan, &range);
    if (code != POLARYS_OK) {
        return code;
    }
    code = index_range_equal(builder->index, equal, builder->points_count, range, err);
    if (code != POLARYS_OK) {
        return code;
    }
    buffer_clear(&range->end);
    code = buffer_append_slice(&range->end, buffer_slice(&range->start));
    code = code == POLARYS_OK ? buffer_append_byte(&range->start, first) : code;
    return code == POLARYS_OK ? buffer_append_byte(&range->end, beyond) : code;
}

/* The range, or ranges, under one combination of points. */
static enum polarys_code ranges_under(struct builder *builder, const struct json_value *equal)
{
    const struct index_definition *index = builder->index;
    struct polarys_error *err = builder->planner->err;
    size_t count = builder->points_count;
    struct index_range *range;
    enum polarys_code code = range_add(builder->scan, &range);
    if (code != POLARYS_OK) {
        return code;
    }
    if (builder->bound_count == count) {
        return index_range_equal(index, equal, count, range, err);
    }
    const struct binding *last = &builder->bindings[count];
    if (last->kind == BINDING_PREFIX) {
        return index_range_prefix(index, equal, count, last->term->literals[0].characters, range,
                                  err);
    }
    struct index_bound low = bound_of(last->term);
    struct index_bound high = last->kind == BINDING_HAS ? low : bound_of(last->high);
    code = index_range_between(index, equal, count, &low, &high, range, err);
    return code == POLARYS_OK && last->kind == BINDING_HAS ? objects_add(builder, equal, err)
                                                           : code;
}

/* Every combination of the points, the last field fastest. */
static enum polarys_code ranges_make(struct builder *builder)
{
    size_t at[INDEX_FIELDS_MAX] = {0};
    struct json_value equal[INDEX_FIELDS_MAX];
    for (;;) {
        for (size_t i = 0; i < builder->points_count; i++) {
            equal[i] = builder->bindings[i].term->literals[at[i]].value;
        }
        enum polarys_code code = ranges_under(builder, equal);
        if (code != POLARYS_OK) {
            return code;
        }
        size_t field = builder->points_count;
        while (field > 0 && ++at[field - 1] == builder->bindings[field - 1].term->literal_count) {
            at[--field] = 0;
        }
        if (field == 0) {
            return POLARYS_OK;
        }
    }
}

static int range_order(const void *a, const void *b)
{
    const struct index_range *left = a;
    const struct index_range *right = b;
    int order = slice_compare(buffer_slice(&left->start), buffer_slice(&right->start));
    return order != 0 ? order : slice_compare(buffer_slice(&left->end), buffer_slice(&right->end));
}

/* Ascending, without empty ones, overlapping ones joined. */
static void ranges_settle(struct plan_scan *scan)
{
    size_t kept = 0;
    qsort(scan->ranges, scan->range_count, sizeof(*scan->ranges), range_order);
    for (size_t i = 0; i < scan->range_count; i++) {
        struct index_range *range = &scan->ranges[i];
        struct index_range *last = kept > 0 ? &scan->ranges[kept - 1] : NULL;
        bool is_empty = index_range_is_empty(range);
        bool is_joined = !is_empty && last != NULL &&
                         slice_compare(buffer_slice(&range->start), buffer_slice(&last->end)) < 0;
        if (is_joined && slice_compare(buffer_slice(&range->end), buffer_slice(&last->end)) > 0) {
            struct buffer end = last->end;
            last->end = range->end;
            range->end = end;
        }
        if (is_empty || is_joined) {
            index_range_deinit(range);
        } else {
            scan->ranges[kept++] = *range;
        }
    }
    scan->range_count = kept;
}

static void used_set(struct builder *builder)
{
    struct plan_scan *scan = builder->scan;
    scan->is_exact = builder->index->kind == INDEX_ORDERED;
    for (size_t i = 0; i < builder->bound_count; i++) {
        const struct binding *binding = &builder->bindings[i];
        scan->is_exact = scan->is_exact && binding->kind != BINDING_HAS;
        if (binding->term != NULL) {
            scan->used[scan->used_count++] = binding->term;
        }
        if (binding->high != NULL) {
            scan->used[scan->used_count++] = binding->high;
        }
    }
}

/* What the kinds of conditions make likely, where nothing is known of the values. */
static double share_guess(const struct builder *builder)
{
    double share = 1;
    for (size_t i = 0; i < builder->bound_count; i++) {
        const struct binding *binding = &builder->bindings[i];
        if (binding->kind == BINDING_POINTS) {
            share *= 0.1 * (double)binding->term->literal_count;
        } else if (binding->kind == BINDING_RANGE) {
            share *= binding->term != NULL && binding->high != NULL ? 0.2 : 0.33;
        } else {
            share *= 0.1;
        }
    }
    return share < 1 ? share : 1;
}

/* A guess where counting was given up: by the statistics, or by how many entries and conditions there are. */
static double entries_guess(const struct builder *builder, double at_least)
{
    const struct plan_input *input = builder->planner->input;
    const struct plan_scan *scan = builder->scan;
    const struct plan_index *index = scan->index;
    double total =
        index->entry_count > 0 ? (double)index->entry_count : (double)input->document_count;
    double guess = 0;
    bool is_whole_key = builder->points_count == builder->index->field_count;
    for (size_t i = 0; i < scan->range_count && guess >= 0 && input->guess != NULL; i++) {
        double more = input->guess(input->context, index, &scan->ranges[i]);
        guess = more < 0 ? more : guess + more;
    }
    if (is_whole_key && index->distinct_count > 0) {
        double average = total / (double)index->distinct_count * (double)scan->range_count;
        guess = guess > average ? guess : average;
    } else if (input->guess == NULL || guess < 0) {
        guess = total * share_guess(builder);
    }
    guess = guess < total ? guess : total;
    return guess > at_least ? guess : at_least;
}

/* True where looking would only tell what is known: few entries at these points, whichever they are. */
static bool is_known_to_be_few(const struct builder *builder)
{
    const struct plan_index *index = builder->scan->index;
    return builder->planner->input->document_count > PLAN_DIVE_MAX &&
           builder->points_count == builder->index->field_count &&
           builder->scan->range_count == 1 &&
           (builder->index->is_unique || index->distinct_count > 0) &&
           entries_guess(builder, 0) <= PLAN_FEW_ENTRIES;
}

/* Counts entries in the first ranges, up to a bound; beyond it guesses. */
static enum polarys_code entries_estimate(struct builder *builder)
{
    const struct plan_input *input = builder->planner->input;
    struct plan_scan *scan = builder->scan;
    uint64_t seen = 0;
    size_t looked = 0;
    if (is_known_to_be_few(builder)) {
        scan->entries = entries_guess(builder, 1);
        return POLARYS_OK;
    }
    while (input->count != NULL && looked < scan->range_count && looked < PLAN_DIVE_RANGES_MAX &&
           seen < PLAN_DIVE_MAX) {
        uint64_t count = 0;
        enum polarys_code code = input->count(input->context, &scan->ranges[looked],
                                              PLAN_DIVE_MAX - seen, &count, builder->planner->err);
        if (code != POLARYS_OK) {
            return code;
        }
        seen += count;
        looked++;
    }
    if (input->count != NULL && seen < PLAN_DIVE_MAX) {
        double share = looked == 0 ? 0 : (double)scan->range_count / (double)looked;
        scan->entries = (double)seen * share;
        return POLARYS_OK;
    }
    scan->entries = entries_guess(builder, (double)seen);
    return POLARYS_OK;
}

enum polarys_code plan_scan_whole(struct planner *planner, const struct plan_index *index,
                                  struct plan_scan **out)
{
    const struct index_definition *definition = index->definition;
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE + 1];
    uint8_t beyond[TREE_KEY_PREFIX_SIZE];
    size_t end_size = TREE_KEY_PREFIX_SIZE;
    struct index_range *range;
    *out = calloc(1, sizeof(**out));
    if (*out == NULL || range_add(*out, &range) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    (*out)->index = index;
    (*out)->is_exact = true;
    index_bounds(definition->database_id, definition->id, start, end);
    if (definition->kind == INDEX_ORDERED) {
        /* Up to the markers. */
        index_marker_bounds(definition->database_id, definition->id, end, beyond);
        end_size++;
    }
    uint64_t document_count = planner->input->document_count;
    (*out)->entries =
        (double)(index->entry_count > document_count ? index->entry_count : document_count);
    enum polarys_code code = buffer_append(&range->start, start, sizeof(start));
    return code == POLARYS_OK ? buffer_append(&range->end, end, end_size) : code;
}

/* Binds fields so that the scan gives the order; false when it cannot. */
static bool order_bind(struct builder *builder, size_t order_count)
{
    const struct planner *planner = builder->planner;
    const struct index_definition *index = builder->index;
    if (index->kind != INDEX_ORDERED || index->field_count < order_count) {
        return false;
    }
    size_t leading = index->field_count - order_count;
    for (size_t i = 0; i < order_count; i++) {
        if (!plan_path_equal(&planner->order_paths[i], &index->fields[leading + i])) {
            return false;
        }
    }
    points_bind(builder, leading);
    for (size_t i = 0; i < builder->points_count; i++) {
        if (builder->bindings[i].term->literal_count != 1) {
            return false;
        }
    }
    return builder->points_count == leading;
}

/* Binds what can be bound. */
static enum polarys_code fields_bind(struct builder *builder, const struct plan_wish *wish,
                                     bool *is_of_use)
{
    const struct index_definition *index = builder->index;
    *is_of_use = false;
    if (wish->order_count > 0) {
        *is_of_use = order_bind(builder, wish->order_count);
        /* A range would cut off the entries that an array sorts by. */
        if (!*is_of_use || builder->scan->index->has_several) {
            return POLARYS_OK;
        }
    } else {
        points_bind(builder, index->field_count);
    }
    bool is_ordered = index->kind == INDEX_ORDERED;
    if (is_ordered && builder->points_count < index->field_count) {
        struct binding *next = &builder->bindings[builder->points_count];
        *next = range_find(builder, builder->points_count);
        builder->bound_count += next->kind == BINDING_NONE ? 0 : 1;
    }
    bool is_hash_of_use = builder->points_count == index->field_count;
    *is_of_use = *is_of_use || (is_ordered ? builder->bound_count > 0 : is_hash_of_use);
    return POLARYS_OK;
}

enum polarys_code plan_scan_make(struct planner *planner, const struct plan_terms *terms,
                                 const struct plan_wish *wish, struct plan_scan **out)
{
    static const struct plan_terms no_terms;
    bool is_of_use = false;
    *out = NULL;
    struct builder builder = {.planner = planner, .terms = terms == NULL ? &no_terms : terms};
    builder.index = wish->index->definition;
    builder.scan = calloc(1, sizeof(*builder.scan));
    if (builder.scan == NULL) {
        return POLARYS_NO_MEMORY;
    }
    builder.scan->index = wish->index;
    enum polarys_code code = fields_bind(&builder, wish, &is_of_use);
    if (code != POLARYS_OK || !is_of_use) {
        goto done;
    }
    if (builder.bound_count == 0) {
        code = plan_scan_whole(planner, wish->index, out);
        goto done;
    }
    code = ranges_make(&builder);
    if (code != POLARYS_OK) {
        goto done;
    }
    builder.scan->is_point =
        builder.scan->range_count == 1 && builder.points_count == builder.index->field_count;
    ranges_settle(builder.scan);
    used_set(&builder);
    code = entries_estimate(&builder);
    if (code == POLARYS_OK) {
        *out = builder.scan;
        builder.scan = NULL;
    }

done:
    plan_scan_destroy(builder.scan);
    return code;
}

enum polarys_code plan_scan_print(const struct plan_scan *scan, struct buffer *to)
{
    static const char whole[] = "all entries";
    static const char and[] = " AND ";
    enum polarys_code code = POLARYS_OK;
    if (scan->used_count == 0) {
        return buffer_append(to, whole, sizeof(whole) - 1);
    }
    for (size_t i = 0; i < scan->used_count && code == POLARYS_OK; i++) {
        code = i == 0 ? POLARYS_OK : buffer_append(to, and, sizeof(and) - 1);
        code = code == POLARYS_OK ? filter_print_term(scan->used[i], to) : code;
    }
    return code;
}
