/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store does by itself every quarter of a second: share out memory, watch the disk, delete what
 * has expired, flush what has waited too long. One task, which submits itself again until the close.
 */
#include "engine/engine_internal.h"
#include "engine/request_ids.h"
#include "engine/slots.h"
#include "engine/watch_hub.h"

static void save_when_due(struct polarys_db *db, uint64_t now_ns)
{
    uint64_t interval_ms = db->settings.save_interval_ms;
    uint64_t flushed_ns = atomic_load(&db->last_flush_ns);
    if (interval_ms == 0 || now_ns - flushed_ns < interval_ms * UINT64_C(1000000) ||
        atomic_load(&db->written_version) <= tree_flushed_version(db->tree)) {
        return;
    }
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (db_flush_all(db, 0, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "flush after save_interval_ms: %s", err.message);
    }
}

static void tick_do(struct polarys_db *db)
{
    uint64_t now_ns = clock_monotonic_ns(db->clock);
    db_memory_balance(db);
    catalog_holder_reclaim(&db->catalog);
    txns_sweep(db);
    if (db->disk_checked_ns == 0 || now_ns - db->disk_checked_ns >= DB_DISK_CHECK_NS) {
        db->disk_checked_ns = now_ns;
        db_disk_check(db);
        db_memory_trim(db);
    }
    watch_hub_tick(db->watches);
    slots_tick(db->slots, now_ns);
    request_ids_count_once(db);
    if (now_ns - db->swept_ns >= DB_SWEEP_NS && commit_takes_writes(db->commit)) {
        db->swept_ns = now_ns;
        expiry_sweep(db);
    }
    index_build_tick(db, now_ns);
    save_when_due(db, now_ns);
}

static void tick_run(struct task *task)
{
    struct polarys_db *db =
        (struct polarys_db *)((char *)task - offsetof(struct polarys_db, tick_task));
    if (!atomic_load(&db->is_closing) && !atomic_load(&db->is_log_failed)) {
        tick_do(db);
    }
    if (atomic_load(&db->is_closing)) {
        atomic_store(&db->is_tick_over, true);
        return;
    }
    executor_submit_after(db->call_executor, EXECUTOR_READ, &db->tick_task, DB_TICK_NS);
}

void db_tick_start(struct polarys_db *db)
{
    uint64_t now_ns = clock_monotonic_ns(db->clock);
    db->swept_ns = now_ns;
    atomic_store(&db->last_flush_ns, now_ns);
    db->tick_task.run = tick_run;
    atomic_store(&db->is_tick_over, false);
    executor_submit(db->call_executor, EXECUTOR_READ, &db->tick_task);
}

void db_tick_stop(struct polarys_db *db)
{
    POLARYS_ASSERT(atomic_load(&db->is_closing));
    if (db->owns_executors && db->call_executor != NULL) {
        /* Runs a tick that waits for its time at once. */
        executor_pool_destroy(db->call_executor);
        db->call_executor = NULL;
        return;
    }
    index_build_stop(db);
    while (!atomic_load(&db->is_tick_over)) {
        db_event_wait(db, DB_TICK_NS);
    }
}
