/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a query: rows from source or sorter, each judged on the document itself.
 */
#include "engine/query_internal.h"

enum polarys_code query_stop_ask(struct polarys_query *query, struct polarys_error *err)
{
    struct query_stop *stop = &query->stop;
    stop->count++;
    if (stop->count % QUERY_STOP_INTERVAL != 0) {
        return POLARYS_OK;
    }
    if (stop->should_stop != NULL && stop->should_stop(stop->context)) {
        return polarys_fail(err, POLARYS_CANCELLED, "the query was stopped");
    }
    if (query->lease_id == 0) {
        return txn_statement_keep(&query->statement, err);
    }
    uint64_t now_ns = clock_monotonic_ns(query->db->clock);
    if (now_ns - query->leased_ns < UINT64_C(1000000) * DB_SCAN_LEASE_MS / 8) {
        return POLARYS_OK;
    }
    query->leased_ns = now_ns;
    return snapshot_renew(query->db->snapshots, query->lease_id, DB_SCAN_LEASE_MS, err);
}

bool query_is_live(const struct polarys_query *query, const struct query_row *row)
{
    return row->value.expires_at_ms == 0 || row->value.expires_at_ms > query->judged_ms;
}

static uint64_t time_now(const struct polarys_query *query)
{
    return query->is_timed ? clock_monotonic_ns(query->db->clock) : 0;
}

/* The next row of the tree that the transaction has not touched, then those it wrote. */
static enum polarys_code row_next(struct polarys_query *query, struct query_row *row, bool *has_row,
                                  struct polarys_error *err)
{
    bool is_hidden = true;
    enum polarys_code code = POLARYS_OK;
    /* A cursor among the transaction's own documents: the tree was through. */
    bool is_through = query->sorter == NULL && query->from.is_in_overlay;
    if (query->source == NULL && !query->is_in_view && !is_through) {
        code = query_txn_note_source(query, err);
        code = code == POLARYS_OK ? query_source_open(query, err) : code;
    }
    while (code == POLARYS_OK && is_hidden && !query->is_in_view && !is_through) {
        code = query->source->vtable->next(query->source, row, has_row, err);
        if (code != POLARYS_OK || !*has_row) {
            break;
        }
        query->figures.looked++;
        code = query_txn_judge(query, row, &is_hidden, err);
        if (code == POLARYS_OK && !is_hidden) {
            query->is_row_in_view = false;
            return POLARYS_OK;
        }
    }
    if (code != POLARYS_OK) {
        return code;
    }
    query->is_row_in_view = true;
    return query_txn_next(query, row, has_row, err);
}

/* The next row that is live and matches. */
static enum polarys_code match_next(struct polarys_query *query, struct query_row *row,
                                    bool *has_row, struct polarys_error *err)
{
    for (;;) {
        *has_row = false;
        enum polarys_code code = query_stop_ask(query, err);
        uint64_t begun_ns = time_now(query);
        if (code == POLARYS_OK) {
            code = row_next(query, row, has_row, err);
        }
        query->figures.source_ns += time_now(query) - begun_ns;
        if (code != POLARYS_OK || !*has_row) {
            return code;
        }
        if (!query_is_live(query, row)) {
            continue;
        }
        bool is_match = false;
        begun_ns = time_now(query);
        code = evaluation_run(query->evaluation, row->value.is_json, row->value.bytes, &is_match);
        query->figures.filter_ns += time_now(query) - begun_ns;
        if (code != POLARYS_OK) {
            return polarys_fail(err, code, "no memory to look at a document");
        }
        if (is_match) {
            query->figures.matched++;
            return POLARYS_OK;
        }
    }
}

static enum polarys_code fail_sort(const struct polarys_query *query, enum polarys_code code,
                                   struct polarys_error *err)
{
    if (code != POLARYS_MEMORY_LIMIT) {
        return polarys_fail(err, code, "no memory to sort");
    }
    polarys_fail(err, code,
                 "sorting takes more than %llu bytes; an ordered index on the fields of \"%.*s\" "
                 "would give the order without sorting, a limit would keep fewer rows",
                 (unsigned long long)query->memory_max, (int)query->order_text.size,
                 (const char *)query->order_text.data);
    polarys_error_detail_set(err, "limit", "%llu", (unsigned long long)query->memory_max);
    return code;
}

/* Takes every row into the sorter. */
static enum polarys_code sort_all(struct polarys_query *query, struct polarys_error *err)
{
    struct buffer sort_key = {0};
    enum polarys_code code;
    for (;;) {
        struct query_row row;
        bool has_row = false;
        code = match_next(query, &row, &has_row, err);
        if (code != POLARYS_OK || !has_row) {
            break;
        }
        buffer_clear(&sort_key);
        code = evaluation_sort_key(query->evaluation, &sort_key);
        if (code == POLARYS_OK) {
            code = query_sorter_add(query->sorter, buffer_slice(&sort_key), row.key);
        }
        if (code != POLARYS_OK) {
            code = fail_sort(query, code, err);
            break;
        }
    }
    buffer_deinit(&sort_key);
    if (code == POLARYS_OK) {
        query_source_destroy(query->source);
        query->source = NULL;
        query_sorter_finish(query->sorter);
        query->is_sorted = true;
    }
    return code;
}

static enum polarys_code sorted_next(struct polarys_query *query, struct query_row *row,
                                     bool *has_row, struct polarys_error *err)
{
    struct polarys_slice key;
    *has_row = false;
    if (!query->is_sorted) {
        enum polarys_code code = sort_all(query, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    enum polarys_code code = query_stop_ask(query, err);
    if (code != POLARYS_OK || !query_sorter_next(query->sorter, &key)) {
        return code;
    }
    code = query_fetch_seen(query, key, row, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return polarys_fail(err, POLARYS_CORRUPT, "a document went away under its version");
    }
    *has_row = code == POLARYS_OK;
    return code;
}

enum polarys_code query_run_next(struct polarys_query *query, struct query_row *row, bool *has_row,
                                 struct polarys_error *err)
{
    return query->sorter != NULL ? sorted_next(query, row, has_row, err)
                                 : match_next(query, row, has_row, err);
}
