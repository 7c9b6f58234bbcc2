/* SPDX-License-Identifier: Apache-2.0 */
/*
 * polarys_search: runs a search over the tree.
 *
 * Invariant: entries of the index and documents are read at one version, under a lease.
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

static enum polarys_code accept(void *context, struct polarys_slice key, bool *is_accepted,
                                struct polarys_error *err)
{
    struct search_request *request = context;
    if (key.size > USER_KEY_SIZE_MAX) {
        return polarys_fail(err, POLARYS_CORRUPT, "a text index names a key that is too long");
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
    return request->should_stop != NULL && request->should_stop(request->context);
}

/* ---- the whole ---- */

static enum polarys_code request_run(struct search_request *request, struct polarys_error *err)
{
    struct search_view view = {.iterate = tree_iterate, .context = request};
    struct search_options options = {
        .database_id = request->database_id,
        .index_id = request->index->id,
        .judged_ms = request->judged_ms,
        .top_max = (size_t)(request->limit + request->options->offset),
        .accept = request->evaluation != NULL ? accept : NULL,
        .should_stop = should_stop,
        .context = request,
    };
    enum polarys_code code =
        search_collector_create(request->query, &options, &view, &request->collector, err);
    if (code == POLARYS_OK) {
        code = search_collector_run(request->collector, &view, err);
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
