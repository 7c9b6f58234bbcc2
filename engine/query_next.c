/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers see of a running query: documents, cursors, counts.
 */
#include "engine/query_internal.h"

static uint64_t commit_time(struct polarys_query *query, uint64_t version)
{
    if (query->timed_version != version) {
        query->timed_version = version;
        query->timed_ms = db_version_time_ms(query->db, version);
    }
    return query->timed_ms;
}

/* The value that is shown: masked, whole or none. */
static enum polarys_code value_fill(struct polarys_query *query, const struct query_row *row,
                                    struct polarys_value *value)
{
    value->kind = row->value.is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
    value->expires_at_ms = row->value.expires_at_ms;
    value->bytes = slice_make(NULL, 0);
    if ((query->flags & POLARYS_READ_KEYS_ONLY) != 0) {
        return POLARYS_OK;
    }
    if (query->mask == NULL) {
        value->bytes = row->value.bytes;
        return POLARYS_OK;
    }
    if (!row->value.is_json) {
        return POLARYS_OK; /* raw bytes have no members */
    }
    buffer_clear(&query->masked);
    enum polarys_code code = json_mask_apply(query->mask, row->value.bytes, &query->masked);
    value->bytes = buffer_slice(&query->masked);
    return code;
}

static enum polarys_code document_fill(struct polarys_query *query, const struct query_row *row,
                                       struct polarys_document *document)
{
    *document = (struct polarys_document){.version = row->version};
    document->commit_time_unix_ms = commit_time(query, row->version);
    enum polarys_code code = value_fill(query, row, &document->value);
    buffer_clear(&query->last.key);
    if (code == POLARYS_OK) {
        code = buffer_append_slice(&query->last.key, row->key);
    }
    query->last.is_past_any = true;
    /* A sorter mixes both: its place is the document's alone. */
    query->last.is_in_overlay = query->sorter == NULL && query->is_row_in_view;
    document->key = buffer_slice(&query->last.key);
    return code;
}

enum polarys_code polarys_query_next(struct polarys_query *query,
                                     bool (*should_stop)(void *context), void *context,
                                     bool *has_document, struct polarys_document *document,
                                     struct polarys_error *err)
{
    struct query_row row;
    *has_document = false;
    bool is_memory_only = (query->flags & POLARYS_READ_MEMORY_ONLY) != 0;
    if (is_memory_only && (query->sorter != NULL || query->statement.txn != NULL)) {
        return POLARYS_WOULD_BLOCK;
    }
    if (query->given == query->limit) {
        return POLARYS_OK;
    }
    query->stop.should_stop = should_stop;
    query->stop.context = context;
    /* However slowly the caller takes its documents: it is using the transaction. */
    enum polarys_code code = txn_statement_keep(&query->statement, err);
    if (code == POLARYS_OK) {
        code = query_run_next(query, &row, has_document, err);
    }
    if (code == POLARYS_WOULD_BLOCK && is_memory_only) {
        /* Whoever may read files goes on behind what was given. */
        *has_document = false;
        code = query_rewind(query, err);
        return code == POLARYS_OK ? POLARYS_WOULD_BLOCK : code;
    }
    if (code != POLARYS_OK || !*has_document) {
        query->is_at_end = code == POLARYS_OK;
        return code;
    }
    code = document_fill(query, &row, document);
    if (code != POLARYS_OK) {
        *has_document = false;
        return polarys_fail(err, code, "no memory for a document");
    }
    query->given++;
    return POLARYS_OK;
}

void polarys_query_flags_set(struct polarys_query *query, unsigned flags)
{
    query->flags = flags;
}

uint64_t polarys_query_version(const struct polarys_query *query)
{
    return query->snapshot;
}

enum polarys_code polarys_query_cursor(struct polarys_query *query, struct polarys_slice *cursor,
                                       struct polarys_error *err)
{
    *cursor = slice_make(NULL, 0);
    if (query_cursor_encode(query) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a cursor");
    }
    query->has_cursor = true;
    *cursor = buffer_slice(&query->cursor);
    return POLARYS_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_query_count(struct polarys_db *db,
                                      const struct polarys_query_options *options,
                                      bool (*should_stop)(void *context), void *context,
                                      uint64_t *version, uint64_t *count, struct polarys_error *err)
{
    struct polarys_query_options plain = *options;
    struct polarys_query *query = NULL;
    plain.order_by = slice_make(NULL, 0);
    plain.cursor = slice_make(NULL, 0);
    plain.read_mask_count = 0;
    plain.limit = 0;
    *count = 0;
    enum polarys_code code = polarys_query_open(db, &plain, &query, err);
    if (code != POLARYS_OK) {
        return code;
    }
    query->stop.should_stop = should_stop;
    query->stop.context = context;
    if (version != NULL) {
        *version = query->snapshot;
    }
    for (;;) {
        struct query_row row;
        bool has_row = false;
        code = query_run_next(query, &row, &has_row, err);
        if (code != POLARYS_OK || !has_row) {
            break;
        }
        (*count)++;
    }
    polarys_query_close(query);
    return code;
}
