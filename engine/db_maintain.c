/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flush, sync and compaction on request; pruning the log after each flush; waiting for such events.
 */
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/index_internal.h"

/* Of the prune task: it is queued at most once, and runs again when a flush came while it ran. */
enum prune_state { PRUNE_IDLE, PRUNE_QUEUED, PRUNE_RUNNING, PRUNE_AGAIN };

void db_event_signal(struct polarys_db *db)
{
    mutex_lock(&db->event_mutex);
    condition_broadcast(&db->event_condition);
    mutex_unlock(&db->event_mutex);
}

void db_event_wait(struct polarys_db *db, uint64_t timeout_ns)
{
    mutex_lock(&db->event_mutex);
    (void)executor_wait(db->executor, &db->event_condition, &db->event_mutex, timeout_ns);
    mutex_unlock(&db->event_mutex);
}

/* What is not needed: flushed, and out of the history window, from any version of which a watch may resume. */
static uint64_t log_past_version(struct polarys_db *db, uint64_t flushed_version)
{
    struct snapshots_stats snapshots;
    snapshots_stats_get(db->snapshots, &snapshots);
    return snapshots.history_start < flushed_version ? snapshots.history_start : flushed_version;
}

uint64_t db_log_needed_segment(struct polarys_db *db)
{
    struct wal_place place;
    struct wal_stats stats;
    struct polarys_error err = POLARYS_ERROR_INIT;
    wal_stats_get(db->wal, &stats);
    if (stats.segment_count == 0) {
        return 0;
    }
    uint64_t version = log_past_version(db, tree_flushed_version(db->tree));
    return wal_place_find(db->wal, version, &place, &err) == POLARYS_OK ? place.segment_id
                                                                        : stats.oldest_segment_id;
}

/*
 * What is not needed goes. The log of the history window takes more room than the versions do, so
 * history_keep_bytes bounds it by itself.
 */
static enum polarys_code log_prune(struct polarys_db *db, struct polarys_error *err)
{
    uint64_t flushed_version = tree_flushed_version(db->tree);
    enum polarys_code code = wal_prune(db->wal, log_past_version(db, flushed_version), err);
    return code == POLARYS_OK
               ? wal_prune_beyond(db->wal, flushed_version, db->settings.history_keep_bytes, err)
               : code;
}

void db_prune_run(struct task *task)
{
    struct polarys_db *db =
        (struct polarys_db *)((char *)task - offsetof(struct polarys_db, prune_task));
    atomic_store(&db->prune_state, PRUNE_RUNNING);
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (log_prune(db, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "prune the log: %s", err.message);
    }
    db_memory_balance(db);
    unsigned state = PRUNE_RUNNING;
    if (!atomic_compare_exchange_strong(&db->prune_state, &state, PRUNE_IDLE)) {
        POLARYS_ASSERT(state == PRUNE_AGAIN);
        atomic_store(&db->prune_state, PRUNE_QUEUED);
        executor_submit(db->executor, EXECUTOR_FLUSH, &db->prune_task);
    }
}

static void prune_submit(struct polarys_db *db)
{
    unsigned state = atomic_load(&db->prune_state);
    for (;;) {
        unsigned next = state == PRUNE_IDLE      ? PRUNE_QUEUED
                        : state == PRUNE_RUNNING ? PRUNE_AGAIN
                                                 : state;
        if (atomic_compare_exchange_weak(&db->prune_state, &state, next)) {
            if (state == PRUNE_IDLE) {
                executor_submit(db->executor, EXECUTOR_FLUSH, &db->prune_task);
            }
            return;
        }
    }
}

enum polarys_code db_is_durable(void *context, uint64_t version, struct polarys_error *err)
{
    struct polarys_db *db = context;
    enum polarys_code code = POLARYS_OK;
    atomic_fetch_add(&db->callback_count, 1);
    /* What recovery replays comes from the log, and is in it. */
    if (atomic_load(&db->is_log_open) && commit_durable_version(db->commit) < version) {
        code = POLARYS_WOULD_BLOCK;
        if (atomic_load(&db->is_log_failed)) {
            code = polarys_fail(err, POLARYS_IO,
                                "the log failed before version %llu: it is not flushed either",
                                (unsigned long long)version);
        }
    }
    atomic_fetch_sub(&db->callback_count, 1);
    return code;
}

void db_flushed(void *context, uint64_t flushed_version)
{
    struct polarys_db *db = context;
    (void)flushed_version;
    atomic_store(&db->last_flush_ns, clock_monotonic_ns(db->clock));
    db_prune_want(db);
}

void db_prune_want(struct polarys_db *db)
{
    /* Counted first and looked at then, while db_callbacks_end does it the other way round. */
    atomic_fetch_add(&db->callback_count, 1);
    if (atomic_load(&db->is_log_open)) {
        prune_submit(db);
    }
    db_event_signal(db);
    atomic_fetch_sub(&db->callback_count, 1);
}

void db_callbacks_end(struct polarys_db *db)
{
    atomic_store(&db->is_log_open, false);
    while (atomic_load(&db->callback_count) > 0 || atomic_load(&db->prune_state) != PRUNE_IDLE) {
        db_event_wait(db, DB_CLOSE_POLL_MS * UINT64_C(1000000));
    }
}

void db_room_made(void *context)
{
    struct polarys_db *db = context;
    atomic_fetch_add(&db->callback_count, 1);
    if (atomic_load(&db->is_log_open)) {
        commit_wake(db->commit);
    }
    db_event_signal(db);
    atomic_fetch_sub(&db->callback_count, 1);
}

/* What the log role does for a flush. */
struct flush_job {
    struct polarys_db *db;
    uint64_t target_version;
};

static enum polarys_code flush_switch(void *context, struct polarys_error *err)
{
    struct flush_job *job = context;
    job->target_version = atomic_load(&job->db->written_version);
    if (job->target_version <= tree_flushed_version(job->db->tree)) {
        job->target_version = 0;
        return POLARYS_OK;
    }
    return tree_memtable_switch(job->db->tree, err);
}

static bool is_past(struct polarys_db *db, uint64_t deadline_ns)
{
    return deadline_ns != 0 && clock_monotonic_ns(db->clock) >= deadline_ns;
}

static enum polarys_code flush_timed_out(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_WAIT_TIMEOUT, "flushing took too long");
}

enum polarys_code db_flush_all(struct polarys_db *db, uint64_t deadline_ns,
                               struct polarys_error *err)
{
    struct flush_job job = {.db = db};
    enum polarys_code code;
    for (;;) {
        code = commit_run_exclusive(db->commit, flush_switch, &job, err);
        if (code != POLARYS_WOULD_BLOCK) {
            break;
        }
        if (is_past(db, deadline_ns)) {
            return flush_timed_out(err);
        }
        db_event_wait(db, UINT64_C(10000000));
    }
    if (code != POLARYS_OK || job.target_version == 0) {
        return code;
    }
    if (deadline_ns == 0) {
        return tree_flush_wait(db->tree, job.target_version, err);
    }
    while (tree_flushed_version(db->tree) < job.target_version) {
        if (is_past(db, deadline_ns)) {
            return flush_timed_out(err);
        }
        db_event_wait(db, UINT64_C(10000000));
    }
    return POLARYS_OK;
}

enum polarys_code polarys_db_sync(struct polarys_db *db, struct polarys_error *err)
{
    return commit_sync(db->commit, err);
}

enum polarys_code polarys_db_flush(struct polarys_db *db, uint64_t *flushed_version,
                                   struct polarys_error *err)
{
    enum polarys_code code = db_flush_all(db, 0, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "flush");
    }
    if (flushed_version != NULL) {
        *flushed_version = tree_flushed_version(db->tree);
    }
    return POLARYS_OK;
}

static enum polarys_code flush_and_compact(struct polarys_db *db, struct polarys_slice start,
                                           struct polarys_slice end, struct polarys_error *err)
{
    enum polarys_code code = db_flush_all(db, 0, err);
    if (code == POLARYS_OK) {
        code = tree_compact_range(db->tree, start, end, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "compact");
}

/* The entries of the table's indexes lie under ids of their own. */
static enum polarys_code compact_indexes(struct polarys_db *db, const char *database,
                                         const char *table, struct polarys_error *err)
{
    struct db_indexes found;
    enum polarys_code code = db_indexes_find(db, database, table, &found, err);
    for (size_t i = 0; i < found.count && code == POLARYS_OK; i++) {
        uint8_t start[TREE_KEY_PREFIX_SIZE];
        uint8_t end[TREE_KEY_PREFIX_SIZE];
        index_bounds(found.database_id, found.list[i]->id, start, end);
        code = tree_compact_range(db->tree, slice_make(start, sizeof(start)),
                                  slice_make(end, sizeof(end)), err);
        if (code != POLARYS_OK) {
            code = polarys_wrap(err, code, "compact index \"%s\"", found.list[i]->name);
        }
    }
    catalog_release(found.catalog);
    return code;
}

enum polarys_code polarys_db_compact(struct polarys_db *db, const char *database, const char *table,
                                     struct polarys_error *err)
{
    struct polarys_slice all = {NULL, 0};
    return table == NULL ? flush_and_compact(db, all, all, err)
                         : polarys_db_compact_range(db, database, table, all, all, err);
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_db_compact_range(struct polarys_db *db, const char *database,
                                           const char *table, struct polarys_slice start,
                                           struct polarys_slice end, struct polarys_error *err)
{
    uint8_t first[TREE_KEY_SIZE_MAX];
    uint8_t last[TREE_KEY_SIZE_MAX];
    uint32_t database_id;
    uint32_t table_id;
    if (start.size > POLARYS_KEY_BYTES_MAX || end.size > POLARYS_KEY_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_KEY, "a bound is longer than a key of %d bytes can be",
                            POLARYS_KEY_BYTES_MAX);
    }
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(db, database_id, table, &table_id, NULL, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    size_t last_size = TREE_KEY_PREFIX_SIZE;
    table_bounds(database_id, table_id, first, last);
    if (start.size > 0) {
        memcpy(first + TREE_KEY_PREFIX_SIZE, start.data, start.size);
    }
    if (end.size > 0) {
        memcpy(last, first, TREE_KEY_PREFIX_SIZE);
        memcpy(last + TREE_KEY_PREFIX_SIZE, end.data, end.size);
        last_size += end.size;
    }
    code = flush_and_compact(db, slice_make(first, TREE_KEY_PREFIX_SIZE + start.size),
                             slice_make(last, last_size), err);
    bool is_whole = start.size == 0 && end.size == 0;
    return code == POLARYS_OK && is_whole ? compact_indexes(db, database, table, err) : code;
}

bool polarys_db_drive(struct polarys_db *db, uint32_t rounds_max)
{
    return commit_drive(db->commit, rounds_max);
}

bool polarys_db_has_log_thread(const struct polarys_db *db)
{
    return commit_role_policy_get(db->commit) == COMMIT_ROLE_THREAD;
}
