/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hits of a search as callers see them: documents, masks, highlights.
 */
#include "engine/search_request.h"

/* ---- documents ---- */

/* What the transaction wrote under the key; NULL: nothing. */
static const struct txn_view_entry *own_find(const struct search_request *request,
                                             struct polarys_slice tree_key)
{
    size_t at = txn_view_seek(request->own, tree_key);
    if (request->own == NULL || at == request->own->entry_count) {
        return NULL;
    }
    const struct txn_view_entry *entry = &request->own->entries[at];
    return slice_equal(entry->key, tree_key) ? entry : NULL;
}

static enum polarys_code decode(struct polarys_slice bytes, struct search_document *document,
                                struct polarys_error *err)
{
    return stored_value_decode(bytes, &document->stored)
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
}

enum polarys_code search_request_fetch(struct search_request *request, struct polarys_slice key,
                                       struct search_document *document, struct polarys_error *err)
{
    uint8_t bytes[TREE_KEY_SIZE_MAX];
    POLARYS_ASSERT(key.size <= USER_KEY_SIZE_MAX);
    tree_key_put_prefix(bytes, request->database_id, request->table_id);
    memcpy(bytes + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    struct polarys_slice tree_key = slice_make(bytes, TREE_KEY_PREFIX_SIZE + key.size);
    tree_value_release(&request->fetched);
    request->fetched = (struct tree_value){0};
    *document = (struct search_document){.key = key};
    const struct txn_view_entry *written = own_find(request, tree_key);
    if (written != NULL) {
        POLARYS_ASSERT(!written->is_delete);
        return decode(written->value, document, err);
    }
    enum polarys_code code =
        tree_get(request->db->tree, tree_key, request->snapshot,
                 db_tree_flags(request->options->flags), &request->fetched, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "text index \"%s\" names a document that is not there",
                            request->index->name);
    }
    if (code == POLARYS_OK) {
        document->version = request->fetched.version;
        code = txn_statement_note_key(&request->statement, tree_key, document->version, err);
    }
    return code == POLARYS_OK ? decode(request->fetched.bytes, document, err) : code;
}

/* ---- highlights ---- */

struct highlighting {
    struct search_request *request;
    size_t count;
    enum polarys_code code;
    struct polarys_error *err;
};

static bool highlight_value(void *context, size_t path, enum json_match_kind kind,
                            struct json_value value)
{
    struct highlighting *highlighting = context;
    struct search_request *request = highlighting->request;
    struct buffer scratch = {0};
    struct polarys_slice text;
    (void)path;
    if (kind != JSON_MATCH_VALUE || value.type != JSON_STRING) {
        return true;
    }
    highlighting->code = json_string_text(&value, &scratch, &text);
    if (highlighting->code != POLARYS_OK) {
        polarys_fail(highlighting->err, highlighting->code, "no memory for pieces of a document");
    } else {
        highlighting->code = search_highlight(request->query, text, &request->pieces,
                                              &highlighting->count, highlighting->err);
    }
    buffer_deinit(&scratch);
    return highlighting->code == POLARYS_OK && highlighting->count < SEARCH_HIGHLIGHTS_MAX;
}

/* Fills `pieces`, which has room for SEARCH_HIGHLIGHTS_MAX, borrowed until the next document. */
static enum polarys_code highlights_make(struct search_request *request,
                                         const struct search_document *document,
                                         const char **pieces, size_t *count,
                                         struct polarys_error *err)
{
    struct highlighting highlighting = {.request = request, .err = err};
    buffer_clear(&request->pieces);
    *count = 0;
    if (!request->options->with_highlights || !document->stored.is_json) {
        return POLARYS_OK;
    }
    (void)json_paths_extract(request->index->paths, document->stored.bytes, highlight_value,
                             &highlighting);
    const char *piece = (const char *)request->pieces.data;
    for (size_t i = 0; i < highlighting.count && highlighting.code == POLARYS_OK; i++) {
        pieces[i] = piece;
        piece += strlen(piece) + 1;
    }
    *count = highlighting.count;
    return highlighting.code;
}

/* ---- hits ---- */

static enum polarys_code value_fill(struct search_request *request,
                                    const struct search_document *document,
                                    struct polarys_value *value)
{
    value->kind = document->stored.is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
    value->expires_at_ms = document->stored.expires_at_ms;
    value->bytes = document->stored.bytes;
    if (request->mask == NULL || !document->stored.is_json) {
        return POLARYS_OK;
    }
    buffer_clear(&request->masked);
    enum polarys_code code =
        json_mask_apply(request->mask, document->stored.bytes, &request->masked);
    value->bytes = buffer_slice(&request->masked);
    return code;
}

static enum polarys_code hit_show(struct search_request *request, const struct search_top *top,
                                  bool *goes_on, struct polarys_error *err)
{
    struct search_document document;
    const char *pieces[SEARCH_HIGHLIGHTS_MAX];
    struct polarys_search_hit hit = {.score = top->score, .highlights = pieces};
    enum polarys_code code = search_request_fetch(request, top->document_key, &document, err);
    if (code == POLARYS_OK) {
        code = highlights_make(request, &document, pieces, &hit.highlight_count, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (value_fill(request, &document, &hit.document.value) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a document");
    }
    hit.document.key = document.key;
    hit.document.version = document.version;
    hit.document.commit_time_unix_ms =
        document.version == 0 ? 0 : db_version_time_ms(request->db, document.version);
    *goes_on = request->each(request->context, &hit);
    return POLARYS_OK;
}

enum polarys_code search_request_show(struct search_request *request, struct polarys_error *err)
{
    const struct search_top *tops;
    size_t count = search_collector_finish(request->collector, &tops);
    bool goes_on = true;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = (size_t)request->options->offset; i < count && goes_on && code == POLARYS_OK;
         i++) {
        code = hit_show(request, &tops[i], &goes_on, err);
    }
    return code;
}
