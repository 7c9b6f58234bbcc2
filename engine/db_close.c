/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing: new work is refused, what waits is written, everything is flushed, and the manifest gets a mark
 * that says where the log ends, so that the next open reads none of it.
 *
 * Invariant: whatever fails here, nothing acknowledged is lost: without the mark the log is replayed.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/engine_internal.h"
#include "engine/engine_replica.h"
#include "engine/slots.h"
#include "engine/watch_hub.h"

void db_destroy(struct polarys_db *db)
{
    POLARYS_ASSERT(atomic_load(&db->is_closing));
    db_tick_stop(db);
    db_callbacks_end(db);
    commit_close(db->commit);
    watch_hub_close(db->watches);
    slots_close(db->slots);
    feed_close(db->feed);
    wal_close(db->wal);
    tree_close(db->tree);
    if (db->owns_executors) {
        executor_pool_destroy(db->executor);
    }
    if (db->has_catalog) {
        catalog_holder_deinit(&db->catalog);
    }
    txns_close(db);
    snapshots_close(db->snapshots);
    block_cache_destroy(db->cache);
    keyring_close(db->keyring);
    db_follow_destroy(db);
    db_origins_free(db);
    vfs_lock_release(db->vfs, db->lock);
    turns_deinit(&db->turns);
    condition_deinit(&db->schema_condition);
    mutex_deinit(&db->schema_mutex);
    condition_deinit(&db->event_condition);
    mutex_deinit(&db->event_mutex);
    index_builder_deinit(&db->builder);
    statistics_cache_deinit(&db->statistics);
    free(db);
}

/* Waits until every submitted batch and every wait for a lock was reported. Batches fail fast now, or are
 * written. What a report begins anew, or had not yet left its transaction, is ended by the next round: nobody
 * else ends transactions any more. */
static void pending_wait(struct polarys_db *db)
{
    while (atomic_load(&db->pending_count) > 0) {
        (void)commit_drive(db->commit, 0);
        txns_end_all(db);
        if (atomic_load(&db->pending_count) > 0) {
            db_event_wait(db, DB_CLOSE_POLL_MS * UINT64_C(1000000));
        }
    }
    txns_end_all(db); /* whose last call was still inside in the last round */
}

static enum polarys_code mark_clean(struct polarys_db *db, struct polarys_error *err)
{
    struct manifest_edit edit = {.has_clean = true};
    wal_position_get(db->wal, &edit.clean_position);
    edit.clean_version = commit_published_version(db->commit);
    return tree_manifest_append(db->tree, &edit, err);
}

static enum polarys_code close_steps(struct polarys_db *db, uint32_t timeout_ms,
                                     struct polarys_error *err)
{
    uint64_t deadline_ns =
        timeout_ms == 0 ? 0 : clock_monotonic_ns(db->clock) + timeout_ms * UINT64_C(1000000);
    enum polarys_code code = commit_sync(db->commit, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = db_flush_all(db, deadline_ns, err);
    if (code == POLARYS_WAIT_TIMEOUT) {
        polarys_log(POLARYS_LOG_WARN, "store",
                    "closed before everything was flushed: the next open replays the log");
        return POLARYS_OK;
    }
    if (code != POLARYS_OK) {
        return code;
    }
    commit_drain(db->commit);
    if (polarys_db_is_follower(db)) {
        return POLARYS_OK; /* its next open reads on where the log ends, not where a mark says */
    }
    code = mark_clean(db, err);
    if (code == POLARYS_OK) {
        polarys_log(POLARYS_LOG_INFO, "store", "closed at term %" PRIu64 ", version %" PRIu64,
                    polarys_db_term(db), commit_published_version(db->commit));
    }
    return code;
}

enum polarys_code polarys_db_close(struct polarys_db *db, uint32_t timeout_ms,
                                   struct polarys_error *err)
{
    if (db == NULL) {
        return POLARYS_OK;
    }
    atomic_store(&db->is_closing, true);
    txns_end_all(db);
    pending_wait(db);
    watch_hub_stop(db->watches);
    db_tick_stop(db);
    slots_save(db->slots);
    enum polarys_code code = close_steps(db, timeout_ms, err);
    if (code != POLARYS_OK) {
        code = polarys_wrap(err, code, "close store %.200s", db->dir);
    }
    db_destroy(db);
    return code;
}
