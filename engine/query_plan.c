/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the planner is given: the indexes that may be used at the version read, how large the table is, how
 * many entries lie in a range.
 *
 * Invariant: an index is used only where it is complete: READY at the version read, not only now.
 */
#include <stdlib.h>

#include "engine/index_internal.h"
#include "engine/query_internal.h"

/* Whether the filter says something of the field. */
static bool has_path(const struct polarys_query *query, struct polarys_slice field)
{
    for (size_t i = 0; i < query->filter->path_count; i++) {
        if (slice_equal(query->filter->paths[i], field)) {
            return true;
        }
    }
    return false;
}

/* Whether the first field of the index occurs in filter or order. */
static bool is_relevant(const struct polarys_query *query, const struct index_definition *index)
{
    struct polarys_slice field = slice_make(index->fields[0].text, index->fields[0].text_size);
    return has_path(query, field) ||
           (query->order.count > 0 && slice_equal(query->order.fields[0].path, field));
}

/* Takes the index if it can be used at all. `is_wanted`: whatever the filter says. */
static enum polarys_code index_add(struct polarys_query *query, const struct catalog *catalog,
                                   struct index_definition *index, bool is_wanted,
                                   struct polarys_error *err)
{
    bool is_ready = index->state == INDEX_READY;
    if (!is_ready || index->kind == INDEX_TEXT || (!is_wanted && !is_relevant(query, index))) {
        return POLARYS_OK;
    }
    enum polarys_code code = POLARYS_OK;
    if (!db_index_is_known_ready(query->db, catalog, index, query->snapshot)) {
        code = db_index_was_ready(query->db, index, query->snapshot, db_tree_flags(query->flags),
                                  &is_ready, err);
        if (code == POLARYS_OK && is_ready) {
            __atomic_store_n(&index->ready_version, query->snapshot, __ATOMIC_RELAXED);
        }
    }
    if (code != POLARYS_OK || !is_ready) {
        return code;
    }
    query->indexes[query->index_count++] =
        (struct plan_index){.definition = index_definition_ref(index), .has_several = true};
    return POLARYS_OK;
}

static enum polarys_code forced_check(const struct catalog *catalog, uint32_t table_id,
                                      const char *name, struct polarys_error *err)
{
    const struct index_definition *index =
        catalog_find_index(catalog, table_id, slice_from_text(name));
    if (index == NULL) {
        return polarys_fail(err, POLARYS_INDEX_NOT_FOUND, "there is no index \"%.128s\"", name);
    }
    if (index->state != INDEX_READY) {
        return polarys_fail(err, POLARYS_INDEX_BUILDING, "index \"%s\" is not ready", name);
    }
    if (index->kind == INDEX_TEXT) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "index \"%s\" is for full-text search", name);
        polarys_error_detail_set(err, "field", "use_index");
        return POLARYS_BAD_ARGUMENT;
    }
    return POLARYS_OK;
}

/* Fills query->indexes with those that may be of use. */
static enum polarys_code indexes_gather(struct polarys_query *query, const char *use_index,
                                        struct polarys_error *err)
{
    struct catalog *catalog = catalog_acquire(&query->db->catalog);
    size_t count;
    bool is_forced = use_index != NULL && use_index[0] != '\0';
    struct index_definition *const *indexes =
        catalog_table_indexes(catalog, query->table_id, &count);
    enum polarys_code code =
        is_forced ? forced_check(catalog, query->table_id, use_index, err) : POLARYS_OK;
    if (code == POLARYS_OK && count > 0) {
        query->indexes = calloc(count, sizeof(*query->indexes));
        code = query->indexes == NULL ? polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a plan")
                                      : POLARYS_OK;
    }
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        bool is_wanted = (is_forced && strcmp(indexes[i]->name, use_index) == 0) ||
                         (query->from.is_given && query->from.index_id == indexes[i]->id);
        code = index_add(query, catalog, indexes[i], is_wanted, err);
    }
    catalog_release(catalog);
    return code;
}

/*
 * Whether it matters that a document may have several entries: to an order, to two bounds joined into a range, and to
 * a range in which one document may come twice. To equality of every field it does not.
 */
static bool several_matters(const struct polarys_query *query, const struct index_definition *index)
{
    bool is_equality = query->order.count == 0;
    for (size_t i = 0; i < query->filter->term_count && is_equality; i++) {
        is_equality = query->filter->terms[i]->relation == FILTER_EQUAL;
    }
    for (size_t i = 0; i < index->field_count && is_equality; i++) {
        is_equality =
            has_path(query, slice_make(index->fields[i].text, index->fields[i].text_size));
    }
    return !is_equality;
}

/* Whether any document has several entries: whether there is a marker. */
static enum polarys_code several_ask(struct polarys_query *query, struct plan_index *index,
                                     struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE + 1];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    struct entry_iterator *iterator = NULL;
    POLARYS_ASSERT(index->definition != NULL);
    if (index->definition->kind != INDEX_ORDERED || !several_matters(query, index->definition)) {
        return POLARYS_OK; /* has no markers, or nobody wants to know: several it is */
    }
    index_marker_bounds(index->definition->database_id, index->definition->id, start, end);
    enum polarys_code code = query_range_open(query, slice_make(start, sizeof(start)),
                                              slice_make(end, sizeof(end)), false, &iterator, err);
    if (code == POLARYS_OK) {
        code = iterator->code;
        index->has_several = iterator->is_valid || code != POLARYS_OK;
        if (code != POLARYS_OK && err != NULL) {
            *err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

/* plan_input.count. */
static enum polarys_code entries_count(void *context, const struct index_range *range, uint64_t max,
                                       uint64_t *count, struct polarys_error *err)
{
    struct polarys_query *query = context;
    struct entry_iterator *iterator = NULL;
    *count = 0;
    enum polarys_code code = query_range_open(query, buffer_slice(&range->start),
                                              buffer_slice(&range->end), false, &iterator, err);
    while (code == POLARYS_OK && iterator->is_valid && *count < max) {
        (*count)++;
        entry_iterator_next(iterator);
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (err != NULL) {
            *err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

/* plan_input.guess. */
static double entries_guess(void *context, const struct plan_index *index,
                            const struct index_range *range)
{
    const struct polarys_query *query = context;
    const struct index_statistics *statistics = query->statistics[index - query->indexes];
    return statistics == NULL ? -1
                              : index_statistics_range(statistics, buffer_slice(&range->start),
                                                       buffer_slice(&range->end));
}

/* What was gathered of the indexes. */
static enum polarys_code statistics_take(struct polarys_query *query, struct polarys_error *err)
{
    query->statistics = calloc(query->index_count, sizeof(struct index_statistics *));
    if (query->statistics == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a plan");
    }
    for (size_t i = 0; i < query->index_count; i++) {
        struct plan_index *index = &query->indexes[i];
        struct index_statistics *found = db_statistics_get(query->db, index->definition->id);
        query->statistics[i] = found;
        index->entry_count = found == NULL ? 0 : found->entry_count;
        index->distinct_count = found == NULL ? 0 : found->distinct_count;
    }
    return POLARYS_OK;
}

/* As the statistics have it; 0 where there are none, or of too few to go by. */
static uint64_t documents_known(struct polarys_query *query)
{
    struct index_statistics *found = db_statistics_get(query->db, query->table_id);
    uint64_t count = found == NULL ? 0 : found->entry_count;
    index_statistics_unref(found);
    return count > QUERY_SAMPLE_MAX ? count : 0;
}

/* About how many documents the table has: a few are read, their size is set against that of all. */
static enum polarys_code documents_estimate(struct polarys_query *query, uint64_t *count,
                                            struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    struct entry_iterator *iterator = NULL;
    uint64_t bytes = 0;
    *count = documents_known(query);
    if (*count > 0) {
        return POLARYS_OK;
    }
    table_bounds(query->database_id, query->table_id, start, end);
    struct polarys_slice first = slice_make(start, sizeof(start));
    struct polarys_slice beyond = slice_make(end, sizeof(end));
    enum polarys_code code = query_range_open(query, first, beyond, false, &iterator, err);
    while (code == POLARYS_OK && iterator->is_valid && *count < QUERY_SAMPLE_MAX) {
        (*count)++;
        bytes += iterator->entry.key.size + iterator->entry.value.size + QUERY_ENTRY_OVERHEAD;
        entry_iterator_next(iterator);
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (err != NULL) {
            *err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    if (code != POLARYS_OK || *count < QUERY_SAMPLE_MAX) {
        return code;
    }
    if ((query->flags & POLARYS_READ_MEMORY_ONLY) != 0) {
        return POLARYS_WOULD_BLOCK; /* what follows may open files */
    }
    uint64_t stored = 0;
    struct tree_stats stats;
    code = tree_range_bytes(query->db->tree, first, beyond, &stored, err);
    tree_stats_get(query->db->tree, &stats);
    uint64_t estimate = (stored + stats.memtable_bytes) / (bytes / *count);
    *count = estimate > *count ? estimate : *count;
    return code;
}

static const struct plan_index *index_by_id(const struct polarys_query *query, uint32_t id)
{
    for (size_t i = 0; i < query->index_count; i++) {
        if (query->indexes[i].definition->id == id) {
            return &query->indexes[i];
        }
    }
    return NULL;
}

static const struct plan_index *index_by_name(const struct polarys_query *query, const char *name)
{
    for (size_t i = 0; i < query->index_count; i++) {
        if (strcmp(query->indexes[i].definition->name, name) == 0) {
            return &query->indexes[i];
        }
    }
    return NULL;
}

/* What a cursor and use_index leave to choose. */
static enum polarys_code choice_limit(struct polarys_query *query, const char *use_index,
                                      struct plan_input *input, struct polarys_error *err)
{
    bool is_forced = use_index != NULL && use_index[0] != '\0';
    input->is_table_only = use_index != NULL && !is_forced;
    if (query->from.is_given && query->from.class == QUERY_BY_INDEX) {
        input->must_keep_index = index_by_id(query, query->from.index_id);
        input->is_table_only = false;
        return input->must_keep_index != NULL
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                                  "the index that the cursor goes by is no longer there");
    }
    input->must_keep_key_order = query->from.is_given && query->from.class == QUERY_BY_KEY;
    if (is_forced) {
        input->forced = index_by_name(query, use_index);
        if (input->forced == NULL) {
            return polarys_fail(err, POLARYS_INDEX_BUILDING,
                                "index \"%s\" was not ready at version %llu", use_index,
                                (unsigned long long)query->snapshot);
        }
    }
    return POLARYS_OK;
}

static void class_set(struct polarys_query *query)
{
    query->class = QUERY_BY_KEY;
    if (query->order.count > 0) {
        query->class = QUERY_BY_ORDER;
    } else if (query->plan.kind == PLAN_SCAN) {
        query->class = QUERY_BY_INDEX;
        query->index_id = query->plan.scan->index->definition->id;
    }
}

enum polarys_code query_plan_make(struct polarys_query *query,
                                  const struct polarys_query_options *options,
                                  struct polarys_error *err)
{
    struct plan_input input = {
        .filter = query->filter,
        .normal = query->normal,
        .order = &query->order,
        .limit = query->limit,
        .must_sort = query->view != NULL,
        .count = entries_count,
        .guess = entries_guess,
        .context = query,
    };
    enum polarys_code code = indexes_gather(query, options->use_index, err);
    for (size_t i = 0; i < query->index_count && code == POLARYS_OK; i++) {
        code = several_ask(query, &query->indexes[i], err);
    }
    if (code == POLARYS_OK && query->index_count > 0) {
        code = statistics_take(query, err);
    }
    if (code == POLARYS_OK && query->index_count > 0) {
        code = documents_estimate(query, &input.document_count, err);
    }
    if (code == POLARYS_OK) {
        code = choice_limit(query, options->use_index, &input, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    input.indexes = query->indexes;
    input.index_count = query->index_count;
    code = plan_make(&input, &query->plan, err);
    class_set(query);
    return code;
}

void query_plan_deinit(struct polarys_query *query)
{
    plan_deinit(&query->plan);
    for (size_t i = 0; i < query->index_count; i++) {
        index_definition_unref((struct index_definition *)query->indexes[i].definition);
        if (query->statistics != NULL) {
            index_statistics_unref(query->statistics[i]);
        }
    }
    free((void *)query->statistics);
    free(query->indexes);
}
