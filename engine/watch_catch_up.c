/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Catching up: the initial snapshot, then the log from a version in the past, until the watch can join the hub.
 *
 * Invariant: a watch is in one worker's hands at a time, for a bounded step; in between it holds no file. It is
 * never cut off here: where its reader is slow, it waits, and the log is not kept for it. All of them together
 * have no more than their share of the memory waiting, and a packet each.
 */
#include <stdlib.h>

#include "engine/wal/log_batch.h"
#include "engine/watch_hub.h"
#include "engine/watch_internal.h"

/* ---- who works on what ---- */

void watch_work_want_locked(struct polarys_watch *watch)
{
    struct watch_hub *hub = watch->hub;
    if (watch->is_in_work) {
        watch->is_work_wanted = true;
        return;
    }
    watch->is_in_work = true;
    watch->next_work = NULL;
    (void)watch_ref(watch); /* the work's */
    if (hub->last_work == NULL) {
        hub->first_work = watch;
    } else {
        hub->last_work->next_work = watch;
    }
    hub->last_work = watch;
    for (size_t i = 0; i < WATCH_WORKERS; i++) {
        if (!hub->workers[i].is_busy) {
            hub->workers[i].is_busy = true;
            executor_submit(hub->call_executor, EXECUTOR_READ, &hub->workers[i].task);
            return;
        }
    }
}

void watch_work_want(struct polarys_watch *watch)
{
    mutex_lock(&watch->hub->mutex);
    if (!watch->is_closed) {
        watch_work_want_locked(watch);
    }
    mutex_unlock(&watch->hub->mutex);
}

static struct polarys_watch *work_take_locked(struct watch_hub *hub)
{
    struct polarys_watch *watch = hub->first_work;
    if (watch != NULL) {
        hub->first_work = watch->next_work;
        hub->last_work = hub->first_work == NULL ? NULL : hub->last_work;
        watch->is_work_wanted = false;
    }
    return watch;
}

/* ---- handing over ---- */

/* Makes a packet of what the builder has and puts it into the queue. */
static enum polarys_code builder_push(struct polarys_watch *watch, struct watch_builder *builder,
                                      struct polarys_error *err)
{
    struct watch_packet *packet;
    if (builder->items.size == 0) {
        return POLARYS_OK;
    }
    enum polarys_code code = watch_builder_seal(builder, &watch->hub->memory_bytes, &packet, err);
    if (code != POLARYS_OK) {
        return code;
    }
    size_t bytes = watch_bytes_of(watch, packet);
    if (bytes > 0 && watch_queue_push(watch, packet, bytes, UINT64_MAX)) {
        watch_notify(watch);
    }
    watch_packet_unref(packet);
    return POLARYS_OK;
}

static void snapshot_flag_set(struct polarys_watch *watch, bool is_snapshot)
{
    mutex_lock(&watch->mutex);
    watch->is_snapshot = is_snapshot;
    watch->taken_ns = clock_monotonic_ns(watch->hub->db->clock);
    mutex_unlock(&watch->mutex);
}

/* ---- the snapshot ---- */

/* A scan goes by names: under the watch's there may be another table by now. */
static enum polarys_code table_check(struct polarys_watch *watch, struct polarys_error *err)
{
    struct polarys_db *db = watch->hub->db;
    uint32_t database_id;
    uint32_t table_id = 0;
    enum polarys_code code = db_database_find(db, watch->database, &database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(db, database_id, watch->table, &table_id, NULL, err);
    }
    if (code == POLARYS_OK && watch_table_ref(database_id, table_id) != watch->table_ref) {
        code =
            polarys_fail(err, POLARYS_TABLE_NOT_FOUND,
                         "table \"%s\" was dropped, and another one made, meanwhile", watch->table);
    }
    return code;
}

static enum polarys_code snapshot_begin(struct polarys_watch *watch, struct polarys_error *err)
{
    struct polarys_db *db = watch->hub->db;
    struct polarys_scan_options options = {.database = watch->database,
                                           .table = watch->table,
                                           .prefix = buffer_slice(&watch->prefix),
                                           .flags = POLARYS_READ_NO_FILL};
    enum polarys_code code = polarys_scan_open(db, &options, &watch->scan, err);
    if (code == POLARYS_OK) {
        code = table_check(watch, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    watch->snapshot_version = polarys_scan_version(watch->scan);
    snapshot_flag_set(watch, true);
    /* What a watch gives is durable: so has to be what its snapshot shows. */
    return polarys_db_durable_version(db) < watch->snapshot_version ? commit_sync(db->commit, err)
                                                                    : POLARYS_OK;
}

static enum polarys_code snapshot_finish(struct polarys_watch *watch, struct watch_builder *builder,
                                         struct polarys_error *err)
{
    uint64_t version = watch->snapshot_version;
    enum polarys_code code = watch_builder_add_snapshot_end(
        builder, version, db_version_time_ms(watch->hub->db, version), err);
    if (code == POLARYS_OK) {
        code = builder_push(watch, builder, err);
    }
    polarys_scan_close(watch->scan);
    watch->scan = NULL;
    watch->caught_version = version;
    watch->stage = WATCH_STAGE_CATCH_UP;
    snapshot_flag_set(watch, false);
    return code;
}

/* Gives a step's worth of documents. */
static enum polarys_code snapshot_step(struct polarys_watch *watch, struct watch_builder *builder,
                                       struct polarys_error *err)
{
    enum polarys_code code = watch->scan == NULL ? snapshot_begin(watch, err) : POLARYS_OK;
    for (size_t bytes = 0; code == POLARYS_OK && bytes < WATCH_STEP_BYTES_MAX;) {
        struct polarys_document document;
        bool has_document;
        code = polarys_scan_next(watch->scan, &has_document, &document, err);
        if (code != POLARYS_OK) {
            break;
        }
        if (!has_document) {
            return snapshot_finish(watch, builder, err);
        }
        code = watch_builder_add_document(builder, &document, err);
        if (code == POLARYS_OK && watch_builder_bytes(builder) >= WATCH_PACKET_BYTES) {
            bytes += watch_builder_bytes(builder);
            code = builder_push(watch, builder, err);
            if (watch_queue_is_full(watch)) {
                break;
            }
        }
    }
    return code == POLARYS_OK ? builder_push(watch, builder, err) : code;
}

/* ---- the log ---- */

struct catch_up_frame {
    struct watch_builder *builder;
    uint64_t first_version;
};

static enum polarys_code catch_up_commit(void *context, uint32_t index, uint64_t time_unix_ms,
                                         const struct entry *operations, size_t operation_count,
                                         struct polarys_error *err)
{
    struct catch_up_frame *frame = context;
    bool is_drop = watch_commit_drops(operations, operation_count);
    for (size_t i = 0; i < operation_count; i++) {
        if (get_u64_be(operations[i].key.data) != frame->builder->table_ref) {
            continue;
        }
        enum polarys_code code = watch_builder_add(frame->builder, frame->first_version + index,
                                                   time_unix_ms, &operations[i], is_drop, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

/* Everything up to it is in the queue. */
static void caught_up_to(struct polarys_watch *watch, uint64_t version)
{
    watch->caught_version = version;
    mutex_lock(&watch->mutex);
    watch->delivered_version = version;
    mutex_unlock(&watch->mutex);
}

/* What was read becomes the reader's; at the end of the log, tries to join. */
static enum polarys_code catch_up_settle(struct polarys_watch *watch, struct watch_builder *builder,
                                         bool is_end, struct polarys_error *err)
{
    bool joined = false;
    enum polarys_code code = builder_push(watch, builder, err);
    if (code != POLARYS_OK) {
        return code;
    }
    caught_up_to(watch, feed_reader_version(watch->reader));
    if (is_end) {
        code = watch_hub_join(watch, watch->caught_version, &joined, err);
    }
    if (joined) {
        watch->stage = WATCH_STAGE_JOINED;
        feed_reader_close(watch->reader);
        watch->reader = NULL;
    }
    return code;
}

static enum polarys_code catch_up_read(struct polarys_watch *watch, struct watch_builder *builder,
                                       size_t *bytes, bool *is_end, struct polarys_error *err)
{
    struct feed_frame *frame;
    enum polarys_code code = feed_reader_next(watch->reader, &frame, err);
    *is_end = code == POLARYS_OK && frame == NULL;
    if (code != POLARYS_OK || frame == NULL) {
        return code;
    }
    struct catch_up_frame context = {.builder = builder, .first_version = frame->first_version};
    struct log_batch_visitor visitor = {.commit = catch_up_commit, .context = &context};
    *bytes += frame->payload.size;
    code = log_batch_decode(frame->payload, frame->commit_count, &visitor, err);
    feed_frame_unref(frame);
    return code;
}

static enum polarys_code catch_up_step(struct polarys_watch *watch, struct watch_builder *builder,
                                       struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    size_t bytes = 0;
    int join_count = 0;
    if (watch->reader == NULL) {
        code = feed_reader_open(watch->hub->feed, watch->caught_version, &watch->reader, err);
    }
    for (int i = 0; i < WATCH_STEP_FRAMES_MAX && bytes < WATCH_STEP_BYTES_MAX; i++) {
        bool is_end = false;
        if (code == POLARYS_OK) {
            code = catch_up_read(watch, builder, &bytes, &is_end, err);
        }
        if (code == POLARYS_OK && (is_end || watch_builder_bytes(builder) >= WATCH_PACKET_BYTES)) {
            code = catch_up_settle(watch, builder, is_end, err);
        }
        join_count += is_end ? 1 : 0;
        if (code != POLARYS_OK || watch->stage == WATCH_STAGE_JOINED ||
            join_count == WATCH_STEP_JOINS_MAX ||
            (builder->items.size == 0 && watch_queue_is_full(watch))) {
            break;
        }
    }
    if (code == POLARYS_OK && watch->stage == WATCH_STAGE_CATCH_UP) {
        code = catch_up_settle(watch, builder, false, err);
    }
    if (watch->reader != NULL) {
        feed_reader_pause(watch->reader);
    }
    return code;
}

/* ---- the worker ---- */

static bool has_ended(struct polarys_watch *watch)
{
    mutex_lock(&watch->mutex);
    bool is_ended = watch->end_code != POLARYS_OK || watch->is_shut;
    mutex_unlock(&watch->mutex);
    return is_ended;
}

/* Lets go of what reads for the watch. */
static void work_give_up(struct polarys_watch *watch)
{
    polarys_scan_close(watch->scan);
    feed_reader_close(watch->reader);
    watch->scan = NULL;
    watch->reader = NULL;
    watch->stage = WATCH_STAGE_OVER;
}

/* One step; true when another one is due now. */
static bool work_step(struct polarys_watch *watch)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct watch_builder builder = {.table_ref = watch->table_ref};
    enum polarys_code code = POLARYS_OK;
    if (watch->stage == WATCH_STAGE_JOINED || watch->stage == WATCH_STAGE_OVER) {
        return false;
    }
    if (!has_ended(watch)) {
        if (watch_queue_pause(watch)) {
            return false;
        }
        code = watch->stage == WATCH_STAGE_SNAPSHOT ? snapshot_step(watch, &builder, &err)
                                                    : catch_up_step(watch, &builder, &err);
    }
    watch_builder_deinit(&builder);
    if (code != POLARYS_OK && watch_queue_end(watch, &err)) {
        watch_notify(watch);
    }
    if (has_ended(watch)) {
        work_give_up(watch);
        return false;
    }
    return watch->stage != WATCH_STAGE_JOINED && !watch_queue_pause(watch);
}

/* A watch is put back when it has more to do; true then. */
static void work_finish(struct polarys_watch *watch, bool is_again)
{
    struct watch_hub *hub = watch->hub;
    mutex_lock(&hub->mutex);
    watch->is_in_work = false;
    if (is_again || watch->is_work_wanted) {
        watch_work_want_locked(watch);
    }
    mutex_unlock(&hub->mutex);
    watch_unref(watch);
}

void watch_worker_run(struct task *task)
{
    struct watch_worker *worker =
        (struct watch_worker *)((char *)task - offsetof(struct watch_worker, task));
    struct watch_hub *hub = worker->hub;
    mutex_lock(&hub->mutex);
    struct polarys_watch *watch = work_take_locked(hub);
    mutex_unlock(&hub->mutex);
    if (watch != NULL) {
        bool is_again = work_step(watch);
        work_finish(watch, is_again);
    }
    mutex_lock(&hub->mutex);
    worker->is_busy = hub->first_work != NULL;
    if (worker->is_busy) {
        executor_submit(hub->call_executor, EXECUTOR_READ, &worker->task);
    } else {
        condition_broadcast(&hub->idle);
    }
    mutex_unlock(&hub->mutex);
}
