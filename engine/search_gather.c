/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering the statistics of text indexes, when a search found that there are none or that they are old, or
 * when somebody asks for them.
 *
 * Invariant: all statistics of an index are written in one commit, of what one version held, and only while
 * the index is the one that was walked and nobody else has gathered meanwhile: its catalogue record and the
 * totals, which every gathering writes, are in the read set.
 *
 * What searches ask for runs on the executor for callers' work, one at a time, and no oftener than an interval
 * allows.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/batch_internal.h"
#include "engine/search_request.h"

enum { GATHER_COMMITS_MAX = 8 }; /* attempts; it was a long walk to get there */

struct gather_task {
    struct polarys_db *db;
    struct index_definition *index; /* referenced */
    struct polarys_batch *batch;
    struct polarys_error *err;
    uint64_t snapshot;
};

static enum polarys_code gather_iterate(void *context, struct polarys_slice start,
                                        struct polarys_slice end, struct entry_iterator **out,
                                        struct polarys_error *err)
{
    const struct gather_task *task = context;
    return tree_iterator_create(task->db->tree, start, end, task->snapshot,
                                TREE_READ_NO_FILL | TREE_READ_AHEAD, out, err);
}

static enum polarys_code gather_emit(void *context, struct polarys_slice key,
                                     struct polarys_slice value)
{
    struct gather_task *task = context;
    return batch_add_system(task->batch, value.size > 0 ? ENTRY_PUT : ENTRY_DELETE, key, value,
                            task->err);
}

static bool gather_should_stop(void *context)
{
    const struct gather_task *task = context;
    return atomic_load(&task->db->is_closing);
}

/* The version of a key's entry at a version of the store; 0: there is none. */
static enum polarys_code entry_version(struct polarys_db *db, struct polarys_slice key,
                                       uint64_t snapshot, uint64_t *version,
                                       struct polarys_error *err)
{
    struct tree_value value = {0};
    enum polarys_code code = tree_get(db->tree, key, snapshot, TREE_READ_NO_FILL, &value, err);
    *version = code == POLARYS_OK ? value.version : 0;
    tree_value_release(&value);
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

/* TXN_CONFLICT when what the batch has read is another at `version` than at the snapshot. */
static enum polarys_code reads_compare(const struct gather_task *task, uint64_t version,
                                       struct polarys_error *err)
{
    const struct polarys_slice *keys = task->batch->own_read_keys.items;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < task->batch->own_read_keys.count && code == POLARYS_OK; i++) {
        uint64_t before;
        uint64_t now;
        code = entry_version(task->db, keys[i], task->snapshot, &before, err);
        if (code == POLARYS_OK) {
            code = entry_version(task->db, keys[i], version, &now, err);
        }
        if (code == POLARYS_OK && before != now) {
            code = polarys_fail(err, POLARYS_TXN_CONFLICT,
                                "text index \"%s\" was changed, or gathered, meanwhile",
                                task->index->name);
        }
    }
    return code;
}

/* The walk may have taken longer than the log role looks back: it is told to look from now on only. */
static enum polarys_code gather_commit(struct gather_task *task, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_TXN_CONFLICT;
    for (int i = 0; i < GATHER_COMMITS_MAX && code == POLARYS_TXN_CONFLICT; i++) {
        uint64_t version = commit_published_version(task->db->commit);
        code = reads_compare(task, version, err);
        if (code != POLARYS_OK) {
            return code;
        }
        code = batch_commit_system(task->batch, version, err);
    }
    return code;
}

static enum polarys_code gather_at(struct gather_task *task, struct polarys_error *err)
{
    struct catalog_record record;
    struct search_view view = {.iterate = gather_iterate, .context = task};
    struct search_gathering gathering = {
        .database_id = task->index->database_id,
        .index_id = task->index->id,
        .emit = gather_emit,
        .should_stop = gather_should_stop,
        .context = task,
    };
    catalog_record_index_key(&record, task->index);
    enum polarys_code code = batch_add_read_key(task->batch, catalog_record_key(&record), err);
    if (code == POLARYS_OK) {
        code = search_statistics_gather(&gathering, &view, err);
    }
    if (code == POLARYS_OK) {
        POLARYS_ASSERT(task->batch->operations.count > 0); /* the totals at least */
        code = batch_add_read_key(task->batch, batch_operations(task->batch)[0].key, err);
    }
    return code == POLARYS_OK ? gather_commit(task, err) : code;
}

static enum polarys_code gather(struct gather_task *task, struct polarys_error *err)
{
    uint64_t lease_id;
    enum polarys_code code = polarys_batch_create(task->db, NULL, &task->batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = polarys_snapshot_acquire(task->db, POLARYS_VERSION_NEWEST, DB_SCAN_LEASE_MS, &lease_id,
                                    &task->snapshot, err);
    if (code == POLARYS_OK) {
        code = gather_at(task, err);
        snapshot_release(task->db->snapshots, lease_id);
    }
    polarys_batch_destroy(task->batch);
    return code;
}

enum polarys_code search_gather_now(struct polarys_db *db, struct index_definition *index,
                                    struct polarys_error *err)
{
    struct gather_task task = {.db = db, .index = index, .err = err};
    POLARYS_ASSERT(index->kind == INDEX_TEXT);
    return gather(&task, err);
}

static void gather_run(void *context)
{
    struct gather_task *task = context;
    struct polarys_db *db = task->db;
    struct polarys_error err = POLARYS_ERROR_INIT;
    task->err = &err;
    enum polarys_code code = gather(task, &err);
    /* A conflict means that the index changed its state: the next search asks again. */
    if (code != POLARYS_OK && code != POLARYS_TXN_CONFLICT && code != POLARYS_CANCELLED &&
        !atomic_load(&db->is_closing)) {
        polarys_log(POLARYS_LOG_WARN, "store", "gather statistics of text index \"%s\": %s",
                    task->index->name, err.message);
    }
    index_definition_unref(task->index);
    free(task);
    atomic_store(&db->search_gathered_ns, clock_monotonic_ns(db->clock));
    atomic_store(&db->is_search_gathering, false);
}

/* Whether so much was committed since that scores may be off. */
static bool is_due(const struct search_request *request)
{
    struct search_basis basis = search_collector_basis(request->collector);
    if (basis.gathered_version == 0) {
        return basis.document_count >= SEARCH_GATHER_DOCUMENTS_MIN;
    }
    uint64_t newest = commit_published_version(request->db->commit);
    return newest - basis.gathered_version > SEARCH_GATHER_DOCUMENTS_MIN + basis.document_count / 4;
}

void search_gather_consider(const struct search_request *request)
{
    struct polarys_db *db = request->db;
    bool is_expected = false;
    uint64_t gathered_ns = atomic_load(&db->search_gathered_ns);
    if (!is_due(request) || !commit_takes_writes(db->commit) ||
        (gathered_ns != 0 &&
         clock_monotonic_ns(db->clock) - gathered_ns < SEARCH_GATHER_INTERVAL_NS) ||
        !atomic_compare_exchange_strong(&db->is_search_gathering, &is_expected, true)) {
        return;
    }
    struct gather_task *task = calloc(1, sizeof(*task));
    if (task != NULL) {
        task->db = db;
        task->index = index_definition_ref(request->index);
        if (polarys_db_execute(db, gather_run, task, NULL) == POLARYS_OK) {
            return;
        }
        index_definition_unref(task->index);
        free(task);
    }
    atomic_store(&db->is_search_gathering, false);
}
