/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a search asks for, resolved: names, index, text, filter, mask, and the version to read.
 *
 * Invariant: the index was READY at the version read, so its entries are whole there.
 */
#include "engine/search_request.h"

#include "engine/index_internal.h"

_Static_assert((int)SEARCH_TOP_MAX == 10000, "as published in engine_query.h");

/* ---- the index ---- */

static bool path_equals(const struct json_path *a, const struct json_path *b)
{
    if (a->name_count != b->name_count) {
        return false;
    }
    for (size_t i = 0; i < a->name_count; i++) {
        if (!slice_equal(a->names[i], b->names[i])) {
            return false;
        }
    }
    return true;
}

static bool index_has_field(const struct index_definition *index, const struct json_path *field)
{
    for (size_t i = 0; i < index->field_count; i++) {
        if (field == NULL || path_equals(&index->fields[i], field)) {
            return true;
        }
    }
    return false;
}

/* The text index of the field: one of that field alone before others, one that is READY before those. */
static bool is_better(const struct index_definition *a, const struct index_definition *b)
{
    if ((a->field_count == 1) != (b->field_count == 1)) {
        return a->field_count == 1;
    }
    return a->state == INDEX_READY && b->state != INDEX_READY;
}

static enum polarys_code fail_no_index(const struct search_request *request, bool is_ambiguous,
                                       struct polarys_error *err)
{
    const struct polarys_search_options *options = request->options;
    if (is_ambiguous) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT,
                     "table \"%s\" has several text indexes: name the field", options->table);
        polarys_error_detail_set(err, "field", "field");
        return POLARYS_BAD_ARGUMENT;
    }
    return options->field == NULL ? polarys_fail(err, POLARYS_INDEX_NOT_FOUND,
                                                 "table \"%s\" has no text index", options->table)
                                  : polarys_fail(err, POLARYS_INDEX_NOT_FOUND,
                                                 "table \"%s\" has no text index on \"%.100s\"",
                                                 options->table, options->field);
}

/* Looks through the table's indexes. Takes a reference. */
static void index_choose(struct search_request *request, const struct json_path *field,
                         bool *is_ambiguous)
{
    unsigned stripe;
    size_t count;
    struct index_definition *chosen = NULL;
    const struct catalog *catalog = catalog_enter(&request->db->catalog, &stripe);
    struct index_definition *const *indexes =
        catalog_table_indexes(catalog, request->table_id, &count);
    *is_ambiguous = false;
    for (size_t i = 0; i < count; i++) {
        if (indexes[i]->kind != INDEX_TEXT || !index_has_field(indexes[i], field)) {
            continue;
        }
        *is_ambiguous = *is_ambiguous || (chosen != NULL && field == NULL);
        if (chosen == NULL || is_better(indexes[i], chosen)) {
            chosen = indexes[i];
        }
    }
    request->index = chosen == NULL || *is_ambiguous ? NULL : index_definition_ref(chosen);
    request->catalog_version = catalog->version;
    catalog_leave(&request->db->catalog, stripe);
}

static enum polarys_code index_find(struct search_request *request, struct polarys_error *err)
{
    struct json_path field = {0};
    bool is_ambiguous;
    const char *name = request->options->field;
    if (name != NULL) {
        enum polarys_code code = json_path_init(&field, slice_from_text(name), err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    index_choose(request, name == NULL ? NULL : &field, &is_ambiguous);
    json_path_deinit(&field);
    const struct index_definition *index = request->index;
    if (index == NULL) {
        return fail_no_index(request, is_ambiguous, err);
    }
    if (index->state == INDEX_FAILED) {
        return polarys_fail(err, POLARYS_INDEX_NOT_FOUND,
                            "text index \"%s\" could not be built: %s", index->name,
                            index->failure);
    }
    return index->state == INDEX_READY
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_INDEX_BUILDING, "text index \"%s\" is being built",
                              index->name);
}

/*
 * The index was found before the version was taken. At an older one it may not have been READY yet; it may
 * as well have been dropped by a commit that is seen at the version and not in the catalogue.
 */
static enum polarys_code index_check_then(struct search_request *request, struct polarys_error *err)
{
    const struct index_definition *index = request->index;
    bool is_ready = false;
    enum polarys_code code =
        db_index_was_ready(request->db, index, request->snapshot,
                           db_tree_flags(request->options->flags), &is_ready, err);
    if (code != POLARYS_OK || is_ready) {
        return code;
    }
    return request->snapshot >= request->catalog_version
               ? polarys_fail(err, POLARYS_INDEX_NOT_FOUND, "text index \"%s\" was dropped",
                              index->name)
               : polarys_fail(err, POLARYS_INDEX_BUILDING,
                              "text index \"%s\" was not ready yet at version %llu", index->name,
                              (unsigned long long)request->snapshot);
}

/* ---- the rest ---- */

static enum polarys_code names_find(struct search_request *request, struct polarys_error *err)
{
    enum polarys_code code =
        db_database_find(request->db, request->options->database, &request->database_id, err);
    return code == POLARYS_OK
               ? db_table_find(request->db, request->database_id, request->options->table,
                               &request->table_id, NULL, err)
               : code;
}

static enum polarys_code limit_check(struct search_request *request, struct polarys_error *err)
{
    const struct polarys_search_options *options = request->options;
    request->limit = options->limit == 0 ? (uint64_t)SEARCH_LIMIT_DEFAULT : options->limit;
    if (request->limit <= SEARCH_TOP_MAX && options->offset <= SEARCH_TOP_MAX - request->limit) {
        return POLARYS_OK;
    }
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "a search gives at most %d documents, offset included",
                 SEARCH_TOP_MAX);
    polarys_error_detail_set(err, "field", "limit");
    return POLARYS_BAD_ARGUMENT;
}

static enum polarys_code language_make(struct search_request *request, struct polarys_error *err)
{
    const struct polarys_search_options *options = request->options;
    enum polarys_code code =
        search_query_parse(options->text, request->index->language, &request->query, err);
    if (code == POLARYS_OK && options->read_mask_count > 0) {
        code = json_mask_create(options->read_mask, options->read_mask_count, &request->mask, err);
    }
    if (code != POLARYS_OK || options->filter.size == 0) {
        return code;
    }
    code = filter_parse(options->filter, &request->filter, err);
    if (code == POLARYS_OK) {
        code = evaluator_create(request->filter, NULL, &request->evaluator, err);
    }
    if (code == POLARYS_OK &&
        evaluation_create(request->evaluator, &request->evaluation) != POLARYS_OK) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a search");
    }
    return code;
}

static enum polarys_code statement_begin(struct search_request *request, struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(request->database_id, request->table_id, start, end);
    struct commit_range range = {slice_make(start, sizeof(start)), slice_make(end, sizeof(end))};
    enum polarys_code code =
        txn_statement_begin(request->options->txn, range, 0, &request->statement, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (request->statement.database_id != request->database_id) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "the transaction is one of another database");
    }
    uint64_t version = request->options->version;
    if (version != POLARYS_VERSION_NEWEST) {
        code = txn_statement_version_set(&request->statement, version, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    request->snapshot = request->statement.version;
    request->judged_ms = request->statement.judged_ms;
    if (request->judged_ms == 0) {
        request->judged_ms = version == POLARYS_VERSION_NEWEST
                                 ? db_now_ms(request->db)
                                 : db_version_time_ms(request->db, version);
    }
    return txn_view_create(&request->statement, request->table_id, 0, &request->own, err);
}

static enum polarys_code version_choose(struct search_request *request, struct polarys_error *err)
{
    uint64_t version = request->options->version;
    if (request->options->txn != NULL) {
        return statement_begin(request, err);
    }
    enum polarys_code code = polarys_snapshot_acquire(request->db, version, DB_SCAN_LEASE_MS,
                                                      &request->lease_id, &request->snapshot, err);
    if (code == POLARYS_OK) {
        request->leased_ns = clock_monotonic_ns(request->db->clock);
        request->judged_ms = version == POLARYS_VERSION_NEWEST
                                 ? db_now_ms(request->db)
                                 : db_version_time_ms(request->db, request->snapshot);
    }
    return code;
}

enum polarys_code search_request_open(struct search_request *request, struct polarys_error *err)
{
    enum polarys_code code = names_find(request, err);
    if (code == POLARYS_OK) {
        code = limit_check(request, err);
    }
    if (code == POLARYS_OK) {
        code = index_find(request, err);
    }
    if (code == POLARYS_OK) {
        code = language_make(request, err);
    }
    if (code == POLARYS_OK) {
        code = version_choose(request, err);
    }
    return code == POLARYS_OK ? index_check_then(request, err) : code;
}

void search_request_close(struct search_request *request)
{
    search_collector_destroy(request->collector);
    tree_value_release(&request->fetched);
    txn_view_destroy(request->own);
    txn_statement_end(&request->statement);
    if (request->lease_id != 0) {
        snapshot_release(request->db->snapshots, request->lease_id);
    }
    evaluation_destroy(request->evaluation);
    evaluator_destroy(request->evaluator);
    filter_destroy(request->filter);
    json_mask_destroy(request->mask);
    search_query_destroy(request->query);
    index_definition_unref(request->index);
    buffer_deinit(&request->masked);
    buffer_deinit(&request->pieces);
}
