/* SPDX-License-Identifier: Apache-2.0 */
/*
 * polarys_search: runs a search over the tree, and over what a transaction wrote itself.
 *
 * Invariant: a document that the transaction touched is taken from its own writes or not at all. Whatever
 * decides who matches is noted in the transaction before the caller sees a hit: the postings of the
 * search's words, and each document that was looked at. The statistics behind scores are not noted.
 */
#include "engine/search_request.h"

/* ---- what the search core asks ---- */

static enum polarys_code tree_iterate(void *context, struct polarys_slice start,
                                      struct polarys_slice end, struct entry_iterator **out,
                                      struct polarys_error *err)
{
    struct search_request *request = context;
    return tree_iterator_create(request->db->tree, start, end, request->snapshot,
                                db_tree_flags(request->options->flags), out, err);
}

static bool is_touched(const struct search_request *request, struct polarys_slice key)
{
    uint8_t tree_key[TREE_KEY_SIZE_MAX];
    if (request->own == NULL || request->is_own_turn) {
        return false;
    }
    POLARYS_ASSERT(key.size <= USER_KEY_SIZE_MAX);
    tree_key_put_prefix(tree_key, request->database_id, request->table_id);
    memcpy(tree_key + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    return txn_view_touches(request->own, slice_make(tree_key, TREE_KEY_PREFIX_SIZE + key.size));
}

static enum polarys_code accept(void *context, struct polarys_slice key, bool *is_accepted,
                                struct polarys_error *err)
{
    struct search_request *request = context;
    *is_accepted = !is_touched(request, key);
    if (!*is_accepted || request->evaluation == NULL) {
        return POLARYS_OK;
    }
    struct search_document document;
    enum polarys_code code = search_request_fetch(request, key, &document, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = evaluation_run(request->evaluation, document.stored.is_json, document.stored.bytes,
                          is_accepted);
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory to look at a document");
}

static bool should_stop(void *context)
{
    struct search_request *request = context;
    uint64_t now_ns = clock_monotonic_ns(request->db->clock);
    if (request->lease_id != 0 &&
        now_ns - request->leased_ns > UINT64_C(1000000) * DB_SCAN_LEASE_MS / 8) {
        request->leased_ns = now_ns;
        if (snapshot_renew(request->db->snapshots, request->lease_id, DB_SCAN_LEASE_MS, NULL) !=
            POLARYS_OK) {
            return true;
        }
    }
    /* Why it was stopped is asked again at the end. */
    return txn_statement_keep(&request->statement, NULL) != POLARYS_OK ||
           (request->should_stop != NULL && request->should_stop(request->context));
}

/* ---- own writes ---- */

static enum polarys_code own_add(struct search_request *request,
                                 const struct txn_view_entry *written,
                                 struct index_entries *entries, struct search_memory *memory,
                                 struct polarys_error *err)
{
    struct polarys_slice key = slice_make(written->key.data + TREE_KEY_PREFIX_SIZE,
                                          written->key.size - TREE_KEY_PREFIX_SIZE);
    enum polarys_code code = index_entries_make(request->index, key, written->value, entries, err);
    for (size_t i = 0; i < entries->count && code == POLARYS_OK; i++) {
        code = search_memory_put(memory, entries->list[i].key, entries->list[i].value);
        if (code != POLARYS_OK) {
            polarys_fail(err, code, "no memory to search own writes");
        }
    }
    return code;
}

/* Takes in what matches of the transaction's own documents. */
static enum polarys_code own_run(struct search_request *request, struct polarys_error *err)
{
    struct search_memory *memory;
    struct index_entries entries = {0};
    if (request->own == NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = search_memory_create(&memory, err);
    for (size_t i = 0; i < request->own->entry_count && code == POLARYS_OK; i++) {
        if (!request->own->entries[i].is_delete) {
            code = own_add(request, &request->own->entries[i], &entries, memory, err);
        }
    }
    if (code == POLARYS_OK) {
        struct search_view view = search_memory_view(memory);
        request->is_own_turn = true;
        code = search_collector_run(request->collector, &view, err);
    }
    index_entries_deinit(&entries);
    search_memory_destroy(memory);
    return code;
}

/* ---- the whole ---- */

struct range_noting {
    struct txn_statement *statement;
    struct polarys_error *err;
};

static enum polarys_code note_range(void *context, struct polarys_slice start,
                                    struct polarys_slice end)
{
    struct range_noting *noting = context;
    struct commit_range range = {start, end};
    return txn_statement_note_range(noting->statement, range, noting->err);
}

static enum polarys_code request_run(struct search_request *request, struct polarys_error *err)
{
    struct range_noting noting = {&request->statement, err};
    struct search_view view = {.iterate = tree_iterate, .context = request};
    struct search_options options = {
        .database_id = request->database_id,
        .index_id = request->index->id,
        .judged_ms = request->judged_ms,
        .top_max = (size_t)(request->limit + request->options->offset),
        .accept = request->evaluation != NULL || request->own != NULL ? accept : NULL,
        .should_stop = should_stop,
        .context = request,
    };
    enum polarys_code code =
        search_collector_create(request->query, &options, &view, &request->collector, err);
    if (code == POLARYS_OK && request->statement.notes_reads) {
        code = search_query_ranges_each(request->query, request->database_id, request->index->id,
                                        note_range, &noting);
    }
    if (code == POLARYS_OK) {
        code = search_collector_run(request->collector, &view, err);
    }
    code = code == POLARYS_OK ? own_run(request, err) : code;
    if (code == POLARYS_CANCELLED) {
        enum polarys_code over = txn_statement_keep(&request->statement, err);
        return over == POLARYS_OK ? code : over;
    }
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_search(struct polarys_db *db,
                                 const struct polarys_search_options *options,
                                 bool (*stop)(void *context),
                                 bool (*each)(void *context, const struct polarys_search_hit *hit),
                                 void *context, uint64_t *version, uint64_t *total,
                                 struct polarys_error *err)
{
    struct search_request request = {
        .db = db, .options = options, .should_stop = stop, .each = each, .context = context};
    enum polarys_code code = search_request_open(&request, err);
    if (code == POLARYS_OK) {
        code = request_run(&request, err);
    }
    if (code == POLARYS_OK) {
        if (version != NULL) {
            *version = request.snapshot;
        }
        if (total != NULL) {
            *total = search_collector_total(request.collector);
        }
        search_gather_consider(&request);
        code = search_request_show(&request, err);
    }
    search_request_close(&request);
    return code;
}
