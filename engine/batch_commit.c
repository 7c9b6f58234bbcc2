/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch on its way: submitted or waited for, prepared again when it conflicts, given a fair turn when it
 * keeps conflicting.
 *
 * Invariant: `done` is called once; after it the batch is the caller's and nothing here touches it. What
 * may take long (reading files, preparing large batches, syncing for a replay) runs on the executor.
 */
#include <string.h>

#include "engine/batch_internal.h"

/* ---- what both ways share ---- */

static enum polarys_code options_take(struct polarys_batch *batch,
                                      const struct polarys_write_options *options,
                                      struct polarys_error *err)
{
    memset(&batch->options, 0, sizeof(batch->options));
    if (options != NULL) {
        batch->options = *options;
    }
    batch->principal_size = 0;
    batch->conflict_count = 0;
    batch->lock_wait_count = 0;
    /* The id has no meaning: in a cycle it is the victim, and silently. */
    batch->lock_owner = (struct lock_owner){.id = batch->options.request_id};
    if (batch->operations.count == 0 && batch->begin_attempt == NULL) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the batch is empty");
    }
    if (batch->options.durability > POLARYS_DURABILITY_LOCAL_SYNC) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown durability");
    }
    const char *principal = batch->options.principal;
    batch->options.principal = NULL; /* borrowed for the call only */
    if (batch->options.has_request_id && principal != NULL) {
        size_t size = strlen(principal);
        if (size > REQUEST_PRINCIPAL_BYTES_MAX) {
            return polarys_fail(err, POLARYS_BAD_ARGUMENT, "a principal has at most %d bytes",
                                REQUEST_PRINCIPAL_BYTES_MAX);
        }
        memcpy(batch->principal, principal, size);
        batch->principal_size = size;
    }
    return POLARYS_OK;
}

static bool wants_sync(const struct polarys_batch *batch)
{
    return batch->options.durability != POLARYS_DURABILITY_ASYNC;
}

static bool replay_is_durable(const struct polarys_batch *batch)
{
    return !wants_sync(batch) ||
           commit_durable_version(batch->db->commit) >= batch->replayed_version;
}

static void result_fill(const struct polarys_batch *batch, struct polarys_write_result *result)
{
    if (batch->writes_nothing && !batch->is_replayed) {
        *result = (struct polarys_write_result){
            .version = batch->read_version,
            .time_unix_ms = db_version_time_ms(batch->db, batch->read_version),
        };
        return;
    }
    *result = (struct polarys_write_result){
        .version = batch->is_replayed ? batch->replayed_version : batch->request.version,
        .time_unix_ms = batch->is_replayed ? db_version_time_ms(batch->db, batch->replayed_version)
                                           : batch->request.time_unix_ms,
        .is_replayed = batch->is_replayed,
        .affected = batch->affected,
    };
}

/* After the commit path's last word on it. */
static void note_outcome(struct polarys_batch *batch, enum polarys_code code)
{
    bool has_committed = code == POLARYS_OK && !batch->is_replayed && !batch->writes_nothing;
    if (has_committed && batch->options.has_request_id && batch->adds_request_id) {
        request_ids_note_added(batch->db);
    }
    if (has_committed && batch->has_record) {
        request_ids_note_added(batch->db);
    }
    if (code == POLARYS_DISK_LOW) {
        db_disk_note_low(batch->db);
    }
}

static enum polarys_code conflict_give_up(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_TXN_CONFLICT, "the commit conflicted %d times",
                        BATCH_ATTEMPTS_MAX);
}

static struct polarys_batch *batch_of_task(struct task *task)
{
    return (struct polarys_batch *)((char *)task - offsetof(struct polarys_batch, task));
}

static struct polarys_batch *batch_of_turn(struct turn *turn)
{
    return (struct polarys_batch *)((char *)turn - offsetof(struct polarys_batch, turn));
}

static struct polarys_batch *batch_of_request(struct commit_request *request)
{
    return (struct polarys_batch *)((char *)request - offsetof(struct polarys_batch, request));
}

/* Sets batch->turn to the stripes it would want; false when it reads nothing or takes no turns. */
static bool turn_make(struct polarys_batch *batch)
{
    if (batch->is_txn) {
        return false;
    }
    batch->turn.stripes = turn_stripes_of(batch->read_keys.items, batch->read_keys.count);
    return batch->turn.stripes != 0;
}

/* ---- submitted ---- */

static void finish(struct polarys_batch *batch, enum polarys_code code)
{
    struct polarys_db *db = batch->db;
    struct polarys_write_result result = {0};
    note_outcome(batch, code);
    batch_uncharge(batch);
    turns_give_back(&db->turns, &batch->turn);
    if (code == POLARYS_OK) {
        result_fill(batch, &result);
        polarys_error_clear(&batch->error);
    }
    batch->is_submitted = false;
    batch->done(batch->done_context, code, &result, &batch->error);
    /* The closer polls this and then frees the store: nothing may follow. */
    atomic_fetch_sub(&db->pending_count, 1);
}

static void advance(struct polarys_batch *batch, unsigned tree_flags);

static void prepare_task(struct task *task)
{
    struct polarys_batch *batch = batch_of_task(task);
    struct polarys_db *db = batch->db;
    /* Held while the log is driven here: the batch itself may be done by then. */
    atomic_fetch_add(&db->pending_count, 1);
    advance(batch, 0);
    (void)commit_drive(db->commit, BATCH_DRIVE_ROUNDS);
    atomic_fetch_sub(&db->pending_count, 1);
}

static void prepare_later(struct polarys_batch *batch)
{
    batch->task.run = prepare_task;
    executor_submit(batch->db->executor, EXECUTOR_READ, &batch->task);
}

static void replay_task(struct task *task)
{
    struct polarys_batch *batch = batch_of_task(task);
    finish(batch, commit_sync(batch->db->commit, &batch->error));
}

static void replay(struct polarys_batch *batch)
{
    if (replay_is_durable(batch)) {
        finish(batch, POLARYS_OK);
        return;
    }
    batch->task.run = replay_task;
    executor_submit(batch->db->call_executor, EXECUTOR_READ, &batch->task);
}

static void turn_granted(struct turn *turn)
{
    prepare_later(batch_of_turn(turn));
}

void batch_resume(struct polarys_batch *batch)
{
    prepare_later(batch);
}

/* True when the batch waits: it goes on when it is granted its turn. */
static bool wait_for_turn(struct polarys_batch *batch)
{
    batch->turn.granted = turn_granted;
    return !turns_take(&batch->db->turns, &batch->turn);
}

static void lock_wait_done(void *context, enum polarys_code code, const struct polarys_error *err)
{
    struct polarys_batch *batch = context;
    code = batch_locks_waited(batch, code);
    if (code != POLARYS_OK) {
        batch->error = *err;
        finish(batch, code);
        return;
    }
    prepare_later(batch); /* much may have changed */
}

static void request_done(struct commit_request *request)
{
    struct polarys_batch *batch = batch_of_request(request);
    if (request->code != POLARYS_TXN_CONFLICT) {
        if (request->code != POLARYS_OK) {
            batch->error = request->error;
        }
        finish(batch, request->code);
        return;
    }
    if (++batch->conflict_count >= BATCH_ATTEMPTS_MAX) {
        finish(batch, conflict_give_up(&batch->error));
        return;
    }
    if (db_schema_park(batch->db, batch)) {
        return;
    }
    if (batch->conflict_count >= BATCH_CONFLICTS_FREE && !batch->turn.is_held && turn_make(batch) &&
        wait_for_turn(batch)) {
        return;
    }
    if (batch->bytes > BATCH_RETRY_INLINE_BYTES || batch->own_read_ranges.count > 0 ||
        batch->own_read_keys.count > BATCH_RETRY_INLINE_KEYS) {
        prepare_later(batch);
    } else {
        advance(batch, TREE_READ_MEMORY_ONLY);
    }
}

/* Prepares and submits. */
static void advance(struct polarys_batch *batch, unsigned tree_flags)
{
    struct polarys_db *db = batch->db;
    enum polarys_code code = batch_prepare(batch, tree_flags, &batch->error);
    if (code == POLARYS_WOULD_BLOCK && tree_flags != 0) {
        prepare_later(batch);
        return;
    }
    if (code != POLARYS_OK) {
        finish(batch, code);
        return;
    }
    if (batch->is_replayed) {
        replay(batch);
        return;
    }
    if (batch->writes_nothing) {
        finish(batch, POLARYS_OK);
        return;
    }
    /* Others take turns on what this one reads: it gets in line before it conflicts. */
    if (!batch->turn.is_held && batch->read_keys.count > 0 && turns_exist(&db->turns) &&
        turn_make(batch) && turns_are_wanted(&db->turns, batch->turn.stripes) &&
        wait_for_turn(batch)) {
        return;
    }
    code = batch_locks_wait(batch, lock_wait_done, &batch->error);
    if (code == POLARYS_WOULD_BLOCK) {
        return;
    }
    if (code != POLARYS_OK) {
        finish(batch, code);
        return;
    }
    batch->request.done = request_done;
    commit_submit(db->commit, &batch->request);
}

void polarys_batch_submit(struct polarys_batch *batch, const struct polarys_write_options *options,
                          void (*done)(void *context, enum polarys_code code,
                                       const struct polarys_write_result *result,
                                       const struct polarys_error *err),
                          void *context)
{
    POLARYS_ASSERT(!batch->is_submitted);
    batch->is_submitted = true;
    batch->done = done;
    batch->done_context = context;
    atomic_fetch_add(&batch->db->pending_count, 1);
    enum polarys_code code = options_take(batch, options, &batch->error);
    if (code != POLARYS_OK) {
        finish(batch, code);
        return;
    }
    advance(batch, TREE_READ_MEMORY_ONLY);
}

/* ---- waited for ---- */

static void waiting_turn_granted(struct turn *turn)
{
    struct polarys_batch *batch = batch_of_turn(turn);
    struct polarys_db *db = batch->db;
    /* After the store the waiter may be gone, so wake it under the mutex it waits with. */
    mutex_lock(&db->event_mutex);
    atomic_store(&batch->is_turn_granted, true);
    condition_broadcast(&db->event_condition);
    mutex_unlock(&db->event_mutex);
}

static void event_sleep(struct polarys_batch *batch)
{
    struct polarys_db *db = batch->db;
    mutex_lock(&db->event_mutex);
    while (!atomic_load(&batch->is_turn_granted)) {
        (void)executor_wait(db->executor, &db->event_condition, &db->event_mutex, DB_TICK_NS);
    }
    mutex_unlock(&db->event_mutex);
}

static void turn_wait(struct polarys_batch *batch)
{
    atomic_store(&batch->is_turn_granted, false);
    batch->turn.granted = waiting_turn_granted;
    if (!turns_take(&batch->db->turns, &batch->turn)) {
        event_sleep(batch);
    }
}

static void waiting_lock_done(void *context, enum polarys_code code,
                              const struct polarys_error *err)
{
    struct polarys_batch *batch = context;
    batch->lock_code = batch_locks_waited(batch, code);
    if (batch->lock_code != POLARYS_OK) {
        batch->error = *err;
    }
    waiting_turn_granted(&batch->turn);
}

/* *has_waited: it has to be prepared again. Errors: LOCK_TIMEOUT among others. */
static enum polarys_code lock_wait(struct polarys_batch *batch, bool *has_waited,
                                   struct polarys_error *err)
{
    atomic_store(&batch->is_turn_granted, false);
    enum polarys_code code = batch_locks_wait(batch, waiting_lock_done, err);
    *has_waited = code == POLARYS_WOULD_BLOCK;
    if (!*has_waited) {
        return code;
    }
    event_sleep(batch);
    if (batch->lock_code != POLARYS_OK && err != NULL) {
        *err = batch->error;
    }
    return batch->lock_code;
}

static enum polarys_code replay_waited(struct polarys_batch *batch, struct polarys_error *err)
{
    return replay_is_durable(batch) ? POLARYS_OK : commit_sync(batch->db->commit, err);
}

static enum polarys_code commit_loop(struct polarys_batch *batch, struct polarys_error *err)
{
    struct polarys_db *db = batch->db;
    while (batch->conflict_count < BATCH_ATTEMPTS_MAX) {
        enum polarys_code code = batch_prepare(batch, 0, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (batch->is_replayed) {
            return replay_waited(batch, err);
        }
        if (batch->writes_nothing) {
            return POLARYS_OK;
        }
        bool has_waited;
        code = lock_wait(batch, &has_waited, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (has_waited) {
            continue;
        }
        code = commit_wait(db->commit, &batch->request);
        if (code != POLARYS_TXN_CONFLICT) {
            if (code != POLARYS_OK && err != NULL) {
                *err = batch->request.error;
            }
            return code;
        }
        batch->conflict_count++;
        if (!batch->changes_schema) {
            db_schema_wait(db);
        }
        if (batch->conflict_count >= BATCH_CONFLICTS_FREE && !batch->turn.is_held &&
            turn_make(batch)) {
            turn_wait(batch);
        }
    }
    return conflict_give_up(err);
}

enum polarys_code polarys_batch_commit(struct polarys_batch *batch,
                                       const struct polarys_write_options *options,
                                       struct polarys_write_result *result,
                                       struct polarys_error *err)
{
    POLARYS_ASSERT(!batch->is_submitted);
    batch->is_submitted = true;
    enum polarys_code code = options_take(batch, options, err);
    if (code == POLARYS_OK) {
        code = commit_loop(batch, err);
    }
    note_outcome(batch, code);
    batch_uncharge(batch);
    turns_give_back(&batch->db->turns, &batch->turn);
    batch->is_submitted = false;
    if (result != NULL) {
        *result = (struct polarys_write_result){0};
        if (code == POLARYS_OK) {
            result_fill(batch, result);
        }
    }
    return code;
}

enum polarys_code batch_commit_system(struct polarys_batch *batch, uint64_t read_version,
                                      struct polarys_error *err)
{
    batch->read_version = read_version;
    batch->has_own_read_version = true;
    enum polarys_code code = options_take(batch, NULL, err);
    if (code == POLARYS_OK) {
        code = batch_prepare(batch, 0, err);
    }
    if (code == POLARYS_OK) {
        code = commit_wait(batch->db->commit, &batch->request);
        if (code != POLARYS_OK && code != POLARYS_TXN_CONFLICT) {
            *err = batch->request.error;
        }
    }
    batch_uncharge(batch);
    return code;
}

/* ---- one operation ---- */

static enum polarys_code one_commit(struct polarys_batch *batch,
                                    const struct polarys_write_options *options,
                                    struct polarys_write_result *result, struct polarys_error *err)
{
    enum polarys_code code = polarys_batch_commit(batch, options, result, err);
    polarys_batch_destroy(batch);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_db_put(struct polarys_db *db, const char *database, const char *table,
                                 struct polarys_slice key, const struct polarys_value *value,
                                 const struct polarys_write_options *options,
                                 struct polarys_write_result *result, struct polarys_error *err)
{
    struct polarys_batch *batch;
    enum polarys_code code = polarys_batch_create(db, database, &batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = polarys_batch_put(batch, table, key, value, err);
    if (code != POLARYS_OK) {
        polarys_batch_destroy(batch);
        return code;
    }
    return one_commit(batch, options, result, err);
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_db_delete(struct polarys_db *db, const char *database, const char *table,
                                    struct polarys_slice key,
                                    const struct polarys_write_options *options,
                                    struct polarys_write_result *result, struct polarys_error *err)
{
    struct polarys_batch *batch;
    enum polarys_code code = polarys_batch_create(db, database, &batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = polarys_batch_delete(batch, table, key, false, err);
    if (code != POLARYS_OK) {
        polarys_batch_destroy(batch);
        return code;
    }
    return one_commit(batch, options, result, err);
}
