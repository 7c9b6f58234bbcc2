/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing queries: what was asked for is parsed and resolved, a version leased, rows found a way.
 */
#include <stdlib.h>

#include "engine/base/checksum.h"
#include "engine/query_internal.h"

_Static_assert((int)FILTER_BYTES_MAX == (int)POLARYS_FILTER_BYTES_MAX, "as published");
_Static_assert((int)FILTER_TERMS_MAX == (int)POLARYS_FILTER_TERMS_MAX, "as published");
_Static_assert((int)FILTER_DEPTH_MAX == (int)POLARYS_FILTER_DEPTH_MAX, "as published");
_Static_assert((int)ORDER_FIELDS_MAX == (int)POLARYS_ORDER_FIELDS_MAX, "as published");
_Static_assert((int)JSON_MASK_PATHS_MAX == (int)POLARYS_MASK_FIELDS_MAX, "as published");

/* What a cursor has to agree with. */
static enum polarys_code hash_make(struct polarys_query *query,
                                   const struct polarys_query_options *options)
{
    struct buffer bytes = {0};
    uint8_t sizes[8];
    put_u64_le(sizes, options->filter.size);
    enum polarys_code code =
        buffer_reserve(&bytes, POLARYS_ID_SIZE + sizeof(query->prefix) + sizeof(sizes) +
                                   options->filter.size + options->order_by.size);
    code = code == POLARYS_OK
               ? buffer_append(&bytes, polarys_db_store_id(query->db), POLARYS_ID_SIZE)
               : code;
    code = code == POLARYS_OK ? buffer_append(&bytes, query->prefix, sizeof(query->prefix)) : code;
    code = code == POLARYS_OK ? buffer_append(&bytes, sizes, sizeof(sizes)) : code;
    code = code == POLARYS_OK ? buffer_append_slice(&bytes, options->filter) : code;
    code = code == POLARYS_OK ? buffer_append_slice(&bytes, options->order_by) : code;
    query->hash = checksum_hash64(buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return code;
}

/* Filter, order and mask. */
static enum polarys_code language_make(struct polarys_query *query,
                                       const struct polarys_query_options *options,
                                       struct polarys_error *err)
{
    enum polarys_code code = filter_parse(options->filter, &query->filter, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (buffer_append_slice(&query->order_text, options->order_by) != POLARYS_OK ||
        filter_normalise(query->filter, &query->normal) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    code = order_parse(buffer_slice(&query->order_text), &query->order, err);
    if (code == POLARYS_OK && options->read_mask_count > 0) {
        code = json_mask_create(options->read_mask, options->read_mask_count, &query->mask, err);
    }
    if (code == POLARYS_OK) {
        code = evaluator_create(query->filter, &query->order, &query->evaluator, err);
    }
    if (code == POLARYS_OK && (evaluation_create(query->evaluator, &query->evaluation) ||
                               hash_make(query, options) != POLARYS_OK)) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    return code;
}

/* The version that the cursor brings. */
static enum polarys_code version_resume(struct polarys_query *query, struct polarys_error *err)
{
    uint64_t version = query->snapshot;
    enum polarys_code code = polarys_snapshot_acquire(query->db, version, DB_SCAN_LEASE_MS,
                                                      &query->lease_id, &query->snapshot, err);
    if (code == POLARYS_HISTORY_PRUNED || code == POLARYS_FUTURE_VERSION) {
        code = polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                            "version %llu, which the cursor reads, is no longer there",
                            (unsigned long long)version);
    }
    return code;
}

/* The transaction's; or the one asked for, leased. */
static enum polarys_code version_take(struct polarys_query *query,
                                      const struct polarys_query_options *options,
                                      struct polarys_error *err)
{
    const struct txn_statement *statement = &query->statement;
    bool is_newest = options->version == POLARYS_VERSION_NEWEST;
    if (statement->txn != NULL) {
        query->snapshot = statement->version;
        query->judged_ms = statement->judged_ms != 0 ? statement->judged_ms : db_now_ms(query->db);
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_snapshot_acquire(query->db, options->version, DB_SCAN_LEASE_MS,
                                                      &query->lease_id, &query->snapshot, err);
    if (code == POLARYS_OK) {
        query->judged_ms =
            is_newest ? db_now_ms(query->db) : db_version_time_ms(query->db, query->snapshot);
    }
    return code;
}

static enum polarys_code version_choose(struct polarys_query *query,
                                        const struct polarys_query_options *options,
                                        struct polarys_error *err)
{
    enum polarys_code code = query_txn_begin(query, options->txn, err);
    query->leased_ns = clock_monotonic_ns(query->db->clock);
    if (code != POLARYS_OK) {
        return code;
    }
    if (query->from.is_given && query->statement.txn != NULL) {
        /* What is noted has to name the version that is read: the cursor's, if the level allows it. */
        return txn_statement_version_set(&query->statement, query->snapshot, err);
    }
    return query->from.is_given ? version_resume(query, err) : version_take(query, options, err);
}

/* The sorter begins behind the document that the cursor names. */
static enum polarys_code sorter_resume(struct polarys_query *query, struct polarys_error *err)
{
    struct polarys_slice key = buffer_slice(&query->from.key);
    struct query_row row;
    struct buffer sort_key = {0};
    bool is_match = false;
    enum polarys_code code = query_fetch_seen(query, key, &row, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN,
                            "the cursor names a document that is not there");
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = evaluation_run(query->evaluation, row.value.is_json, row.value.bytes, &is_match);
    if (code == POLARYS_OK) {
        code = evaluation_sort_key(query->evaluation, &sort_key);
    }
    if (code == POLARYS_OK) {
        code = query_sorter_begin_after(query->sorter, buffer_slice(&sort_key), key);
    }
    buffer_deinit(&sort_key);
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for a query");
}

static enum polarys_code sorter_make(struct polarys_query *query, struct polarys_error *err)
{
    bool is_descending = query->order.fields[0].is_descending;
    enum polarys_code code =
        query_sorter_create(query->limit, query->memory_max, is_descending, &query->sorter);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for a query");
    }
    return query->from.is_past_any ? sorter_resume(query, err) : POLARYS_OK;
}

enum polarys_code query_source_open(struct polarys_query *query, struct polarys_error *err)
{
    struct polarys_slice after = slice_make(NULL, 0);
    POLARYS_ASSERT(query->source == NULL);
    /* A sorter knows itself where to begin. */
    if (query->from.is_past_any && query->sorter == NULL) {
        after = buffer_slice(&query->from.key);
    }
    switch (query->plan.kind) {
    case PLAN_SCAN:
        return query_index_source_open(query, after, &query->source, err);
    case PLAN_KEYS:
        return query_keys_source_open(query, after, &query->source, err);
    default:
        return query_table_source_open(query, after, &query->source, err);
    }
}

static enum polarys_code position_copy(struct query_position *to, const struct query_position *from,
                                       struct polarys_error *err)
{
    to->is_past_any = from->is_past_any;
    to->is_in_overlay = from->is_in_overlay;
    return buffer_append_slice(&to->key, buffer_slice(&from->key)) == POLARYS_OK
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
}

static enum polarys_code query_prepare(struct polarys_query *query,
                                       const struct polarys_query_options *options,
                                       struct polarys_error *err)
{
    enum polarys_code code =
        db_database_find(query->db, options->database, &query->database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(query->db, query->database_id, options->table, &query->table_id, NULL,
                             err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    tree_key_put_prefix(query->prefix, query->database_id, query->table_id);
    code = language_make(query, options, err);
    if (code == POLARYS_OK && options->cursor.size > 0) {
        code = query_cursor_decode(query, options->cursor, err);
    }
    if (code == POLARYS_OK && query->from.is_past_any) {
        code = position_copy(&query->last, &query->from, err);
    }
    if (code == POLARYS_OK) {
        code = version_choose(query, options, err);
    }
    if (code == POLARYS_OK) {
        code = query_plan_make(query, options, err);
    }
    bool must_sort = query->order.count > 0 && !query->plan.gives_order;
    return code == POLARYS_OK && must_sort ? sorter_make(query, err) : code;
}

enum polarys_code query_rewind(struct polarys_query *query, struct polarys_error *err)
{
    POLARYS_ASSERT(query->sorter == NULL && query->statement.txn == NULL);
    query_source_destroy(query->source);
    query->source = NULL;
    if (!query->last.is_past_any) {
        return POLARYS_OK;
    }
    buffer_clear(&query->from.key);
    return position_copy(&query->from, &query->last, err);
}

enum polarys_code query_create(struct polarys_db *db, const struct polarys_query_options *options,
                               struct polarys_query **out, struct polarys_error *err)
{
    *out = NULL;
    struct polarys_query *query = calloc(1, sizeof(*query));
    if (query == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    query->db = db;
    query->flags = options->flags;
    query->limit = options->limit == 0 ? UINT64_MAX : options->limit;
    query->memory_max =
        options->memory_max == 0 ? (uint64_t)POLARYS_QUERY_MEMORY_DEFAULT : options->memory_max;
    enum polarys_code code = query_prepare(query, options, err);
    if (code != POLARYS_OK) {
        polarys_query_close(query);
        return code;
    }
    *out = query;
    return POLARYS_OK;
}

enum polarys_code polarys_query_open(struct polarys_db *db,
                                     const struct polarys_query_options *options,
                                     struct polarys_query **out, struct polarys_error *err)
{
    *out = NULL;
    /* A transaction is waited for, a cursor's document looked up, an order may have to be made. */
    bool may_wait = options->txn != NULL || options->cursor.size > 0 || options->order_by.size > 0;
    if ((options->flags & POLARYS_READ_MEMORY_ONLY) != 0 && may_wait) {
        return POLARYS_WOULD_BLOCK;
    }
    return query_create(db, options, out, err);
}

/*
 * A cursor that was given out keeps its version for a while. Leases are few: when half of them are held, the
 * history window has to do.
 */
static void lease_leave(struct polarys_query *query)
{
    struct snapshots *snapshots = query->db->snapshots;
    if (query->lease_id == 0) {
        return;
    }
    bool is_wanted = query->has_cursor && !query->is_at_end;
    if (is_wanted) {
        struct snapshots_stats stats;
        snapshots_stats_get(snapshots, &stats); /* looks at every lease */
        is_wanted = stats.lease_count < SNAPSHOTS_MAX / 2;
    }
    /* What has ended meanwhile is for whoever comes back with the cursor to hear. */
    bool is_left = is_wanted && snapshot_renew(snapshots, query->lease_id, POLARYS_QUERY_LEASE_MS,
                                               NULL) == POLARYS_OK;
    if (!is_left) {
        snapshot_release(snapshots, query->lease_id);
    }
}

void polarys_query_close(struct polarys_query *query)
{
    if (query == NULL) {
        return;
    }
    tree_value_release(&query->fetched);
    query_source_destroy(query->source);
    query_sorter_destroy(query->sorter);
    query_plan_deinit(query);
    if (query->statement.txn != NULL) {
        POLARYS_ASSERT(query->lease_id == 0);
        query->lease_id = txn_statement_take_lease(&query->statement);
    }
    query_txn_end(query);
    lease_leave(query);
    evaluation_destroy(query->evaluation);
    evaluator_destroy(query->evaluator);
    json_mask_destroy(query->mask);
    filter_destroy(query->filter);
    buffer_deinit(&query->order_text);
    buffer_deinit(&query->from.key);
    buffer_deinit(&query->last.key);
    buffer_deinit(&query->tree_key);
    buffer_deinit(&query->masked);
    buffer_deinit(&query->cursor);
    free(query);
}
