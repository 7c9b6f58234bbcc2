/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries in a transaction: its version, its own writes on top, and what it has to be told was read.
 *
 * Invariant: a document that the transaction wrote or deleted never comes from the tree; those it wrote come
 * behind all others, in key order, and pass the same filter and the same sort.
 */
#include "engine/query_internal.h"

enum polarys_code query_txn_begin(struct polarys_query *query, struct polarys_txn *txn,
                                  struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    if (txn == NULL) {
        return POLARYS_OK;
    }
    POLARYS_ASSERT(query->statement.txn == NULL && query->view == NULL);
    table_bounds(query->database_id, query->table_id, start, end);
    struct commit_range range = {slice_make(start, sizeof(start)), slice_make(end, sizeof(end))};
    enum polarys_code code = txn_statement_begin(txn, range, query->flags, &query->statement, err);
    if (code == POLARYS_OK && query->statement.database_id != query->database_id) {
        code =
            polarys_fail(err, POLARYS_BAD_ARGUMENT, "the transaction is one of another database");
        polarys_error_detail_set(err, "field", "txn");
    }
    return code == POLARYS_OK ? txn_view_create(&query->statement, query->table_id, query->flags,
                                                &query->view, err)
                              : code;
}

void query_txn_end(struct polarys_query *query)
{
    txn_view_destroy(query->view);
    txn_statement_end(&query->statement);
}

/* The tree key of a document, in the query's own memory. */
static enum polarys_code tree_key_make(struct polarys_query *query, struct polarys_slice key,
                                       struct polarys_slice *tree_key, struct polarys_error *err)
{
    buffer_clear(&query->tree_key);
    enum polarys_code code = buffer_append(&query->tree_key, query->prefix, sizeof(query->prefix));
    code = code == POLARYS_OK ? buffer_append_slice(&query->tree_key, key) : code;
    *tree_key = buffer_slice(&query->tree_key);
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for a query");
}

enum polarys_code query_txn_judge(struct polarys_query *query, const struct query_row *row,
                                  bool *is_hidden, struct polarys_error *err)
{
    struct polarys_slice tree_key;
    *is_hidden = false;
    if (query->statement.txn == NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = tree_key_make(query, row->key, &tree_key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *is_hidden = txn_view_touches(query->view, tree_key);
    /* The ranges of a walk over the table hold its keys; an entry of an index says nothing of the rest of
     * its document. */
    if (*is_hidden || query->plan.kind == PLAN_TABLE) {
        return POLARYS_OK;
    }
    uint64_t version = query_is_live(query, row) ? row->version : 0;
    return txn_statement_note_key(&query->statement, tree_key, version, err);
}

/* Two conditions on a field made one range because no document had several entries. One that has will be
 * outside of the range and match all the same: it comes with a marker. */
static enum polarys_code markers_note(struct polarys_query *query, const struct plan_index *index,
                                      struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE + 1];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    if (index->has_several) {
        return POLARYS_OK;
    }
    POLARYS_ASSERT(index->definition->kind == INDEX_ORDERED);
    index_marker_bounds(index->definition->database_id, index->definition->id, start, end);
    struct commit_range range = {slice_make(start, sizeof(start)), slice_make(end, sizeof(end))};
    return txn_statement_note_range(&query->statement, range, err);
}

static enum polarys_code scan_note(struct polarys_query *query, const struct plan_scan *scan,
                                   struct polarys_error *err)
{
    enum polarys_code code = markers_note(query, scan->index, err);
    for (size_t i = 0; i < scan->range_count && code == POLARYS_OK; i++) {
        struct commit_range range = {buffer_slice(&scan->ranges[i].start),
                                     buffer_slice(&scan->ranges[i].end)};
        code = txn_statement_note_range(&query->statement, range, err);
    }
    return code;
}

static enum polarys_code keys_note(struct polarys_query *query, const struct plan_keys *keys,
                                   struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (keys->kind == PLAN_KEYS_SCAN) {
        return scan_note(query, keys->scan, err);
    }
    for (const struct plan_keys *each = keys->first; each != NULL && code == POLARYS_OK;
         each = each->next) {
        code = keys_note(query, each, err);
    }
    return code;
}

enum polarys_code query_txn_note_source(struct polarys_query *query, struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    if (!query->statement.notes_reads) {
        return POLARYS_OK;
    }
    if (query->plan.kind == PLAN_SCAN) {
        return scan_note(query, query->plan.scan, err);
    }
    if (query->plan.kind == PLAN_KEYS) {
        return keys_note(query, query->plan.keys, err);
    }
    table_bounds(query->database_id, query->table_id, start, end);
    struct commit_range range = {slice_make(start, sizeof(start)), slice_make(end, sizeof(end))};
    return txn_statement_note_range(&query->statement, range, err);
}

static bool row_fill(const struct txn_view_entry *entry, struct query_row *row)
{
    *row = (struct query_row){
        .key = slice_make(entry->key.data + TREE_KEY_PREFIX_SIZE,
                          entry->key.size - TREE_KEY_PREFIX_SIZE),
        .stored = entry->value,
    };
    return stored_value_decode(row->stored, &row->value);
}

enum polarys_code query_txn_next(struct polarys_query *query, struct query_row *row, bool *has_row,
                                 struct polarys_error *err)
{
    *has_row = false;
    if (query->view == NULL) {
        return POLARYS_OK;
    }
    if (!query->is_in_view) {
        struct polarys_slice begin = slice_make(query->prefix, sizeof(query->prefix));
        bool is_behind = query->sorter == NULL && query->from.is_in_overlay;
        if (is_behind) {
            static const uint8_t zero[1] = {0};
            enum polarys_code code =
                tree_key_make(query, buffer_slice(&query->from.key), &begin, err);
            if (code != POLARYS_OK || buffer_append(&query->tree_key, zero, 1) != POLARYS_OK) {
                return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
            }
            begin = buffer_slice(&query->tree_key);
        }
        query->view_at = txn_view_seek(query->view, begin);
        query->is_in_view = true;
    }
    while (query->view_at < query->view->entry_count) {
        const struct txn_view_entry *entry = &query->view->entries[query->view_at++];
        if (!entry->is_delete) {
            *has_row = true;
            return row_fill(entry, row)
                       ? POLARYS_OK
                       : polarys_fail(err, POLARYS_BUG,
                                      "a transaction holds a value of an unknown form");
        }
    }
    return POLARYS_OK;
}

enum polarys_code query_fetch_seen(struct polarys_query *query, struct polarys_slice key,
                                   struct query_row *row, struct polarys_error *err)
{
    struct polarys_slice tree_key;
    if (query->view == NULL) {
        return query_fetch(query, key, row, err);
    }
    enum polarys_code code = tree_key_make(query, key, &tree_key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!txn_view_touches(query->view, tree_key)) {
        return query_fetch(query, key, row, err);
    }
    size_t at = txn_view_seek(query->view, tree_key);
    if (at == query->view->entry_count || query->view->entries[at].is_delete ||
        !slice_equal(query->view->entries[at].key, tree_key)) {
        return POLARYS_KEY_NOT_FOUND;
    }
    return row_fill(&query->view->entries[at], row)
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_BUG, "a transaction holds a value of an unknown form");
}
