/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches as callers see them: opening, taking events, closing. See engine_watch.h; watch_internal.h tells how
 * the parts work together.
 *
 * Invariant: events are given in the order of their commits, each commit once: one at or below the resume
 * version is not given again, whichever way it comes.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/watch_hub.h"
#include "engine/watch_internal.h"

/* ---- life ---- */

struct polarys_watch *watch_ref(struct polarys_watch *watch)
{
    unsigned before = atomic_fetch_add(&watch->reference_count, 1);
    POLARYS_ASSERT(before > 0);
    return watch;
}

static void watch_free(struct polarys_watch *watch)
{
    polarys_scan_close(watch->scan);
    feed_reader_close(watch->reader);
    watch_packet_unref(watch->packet);
    watch_queue_deinit(watch);
    watch_filter_destroy(watch->filter);
    buffer_deinit(&watch->prefix);
    buffer_deinit(&watch->prefix_end);
    free(watch->database);
    free(watch->table);
    condition_deinit(&watch->quiet);
    mutex_deinit(&watch->mutex);
    free(watch);
}

void watch_unref(struct polarys_watch *watch)
{
    struct watch_hub *hub = watch->hub;
    unsigned before = atomic_fetch_sub(&watch->reference_count, 1);
    POLARYS_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    bool is_counted = watch->is_closed;
    watch_free(watch);
    if (is_counted) {
        mutex_lock(&hub->mutex);
        POLARYS_ASSERT(hub->live_count > 0);
        hub->live_count--;
        condition_broadcast(&hub->idle);
        mutex_unlock(&hub->mutex);
    }
}

/* The first key behind all that begin with the prefix; left empty when there is none. */
static enum polarys_code prefix_end_make(const struct buffer *prefix, struct buffer *end)
{
    enum polarys_code code = buffer_append_slice(end, buffer_slice(prefix));
    while (end->size > 0 && end->data[end->size - 1] == 0xff) {
        end->size--;
    }
    if (end->size > 0) {
        end->data[end->size - 1]++;
    }
    return code;
}

static enum polarys_code options_check(const struct polarys_watch_options *options,
                                       struct polarys_error *err)
{
    if (options->prefix.size > POLARYS_KEY_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "a prefix has at most %d bytes",
                            POLARYS_KEY_BYTES_MAX);
    }
    if (options->with_snapshot && options->from_version != 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "a watch with a snapshot begins now: from_version must be 0");
    }
    if (options->queue_bytes_max > POLARYS_WATCH_QUEUE_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the queue of a watch has at most %d bytes",
                            POLARYS_WATCH_QUEUE_BYTES_MAX);
    }
    return POLARYS_OK;
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a watch");
}

static enum polarys_code watch_make(struct watch_hub *hub,
                                    const struct polarys_watch_options *options,
                                    struct polarys_watch **out, struct polarys_error *err)
{
    *out = NULL;
    struct polarys_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return fail_memory(err);
    }
    uint64_t progress_ms = options->progress_interval_ms == 0 ? POLARYS_WATCH_PROGRESS_MS_DEFAULT
                                                              : options->progress_interval_ms;
    progress_ms =
        progress_ms < POLARYS_WATCH_PROGRESS_MS_MIN ? POLARYS_WATCH_PROGRESS_MS_MIN : progress_ms;
    watch->hub = hub;
    atomic_init(&watch->reference_count, 1);
    mutex_init(&watch->mutex, MUTEX_RANK_WATCH);
    condition_init(&watch->quiet);
    watch->progress_ns = progress_ms < UINT64_MAX / 1000000 ? progress_ms * 1000000 : UINT64_MAX;
    watch->idle_since_ns = clock_monotonic_ns(hub->db->clock);
    watch->queue_bytes_max = options->queue_bytes_max == 0 ? POLARYS_WATCH_QUEUE_BYTES_DEFAULT
                                                           : options->queue_bytes_max;
    watch->database = strdup(db_database_name(options->database));
    watch->table = strdup(options->table);
    enum polarys_code code = buffer_append_slice(&watch->prefix, options->prefix);
    if (code == POLARYS_OK) {
        code = prefix_end_make(&watch->prefix, &watch->prefix_end);
    }
    if (code != POLARYS_OK || watch->database == NULL || watch->table == NULL) {
        code = fail_memory(err);
    } else if (options->filter.size > 0) {
        code = watch_filter_make(options->filter, &watch->filter, err);
    }
    if (code != POLARYS_OK) {
        watch_free(watch);
        return code;
    }
    *out = watch;
    return POLARYS_OK;
}

/*
 * The table's id, and the version up to which everything is durable; a table that was dropped at or below it
 * is not found, although the catalogue may not say so yet.
 */
static enum polarys_code table_find_now(struct polarys_db *db,
                                        const struct polarys_watch_options *options,
                                        uint64_t *table_ref, uint64_t *durable_version,
                                        struct polarys_error *err)
{
    for (;;) {
        uint32_t database_id;
        uint32_t table_id;
        uint64_t catalog_version;
        enum polarys_code code = db_database_find(db, options->database, &database_id, err);
        if (code == POLARYS_OK) {
            code = db_table_find(db, database_id, options->table, &table_id, &catalog_version, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        *table_ref = watch_table_ref(database_id, table_id);
        *durable_version = feed_durable_version(db->feed);
        if (commit_schema_version(db->commit) <= catalog_version) {
            return POLARYS_OK;
        }
        db_schema_wait(db);
    }
}

/* Where the watch begins. */
static enum polarys_code start_find(struct polarys_watch *watch,
                                    const struct polarys_watch_options *options,
                                    struct polarys_error *err)
{
    struct polarys_db *db = watch->hub->db;
    uint64_t durable_version;
    enum polarys_code code = table_find_now(db, options, &watch->table_ref, &durable_version, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint64_t published_version = commit_published_version(db->commit);
    uint64_t newest = durable_version > published_version ? durable_version : published_version;
    if (options->from_version > newest) {
        (void)polarys_fail(err, POLARYS_FUTURE_VERSION,
                           "version %llu is not there yet, the newest is %llu",
                           (unsigned long long)options->from_version, (unsigned long long)newest);
        polarys_error_detail_set(err, "version", "%llu", (unsigned long long)newest);
        return POLARYS_FUTURE_VERSION;
    }
    watch->stage = options->with_snapshot ? WATCH_STAGE_SNAPSHOT : WATCH_STAGE_CATCH_UP;
    if (!options->with_snapshot) {
        watch->caught_version =
            options->from_version == 0 ? durable_version : options->from_version;
        watch->delivered_version = watch->caught_version;
        watch->resume_version = watch->caught_version;
    }
    return POLARYS_OK;
}

static enum polarys_code watch_enlist(struct polarys_watch *watch, struct polarys_error *err)
{
    struct watch_hub *hub = watch->hub;
    mutex_lock(&hub->mutex);
    bool is_full = hub->watch_count >= POLARYS_WATCHES_MAX;
    if (!is_full) {
        hub->watch_count++;
        hub->live_count++;
        watch->next = hub->watches;
        if (hub->watches != NULL) {
            hub->watches->previous = watch;
        }
        hub->watches = watch;
    }
    mutex_unlock(&hub->mutex);
    if (!is_full) {
        return POLARYS_OK;
    }
    (void)polarys_fail(err, POLARYS_TOO_MANY_CALLS, "there are %d watches", POLARYS_WATCHES_MAX);
    polarys_error_detail_set(err, "limit", "%d", POLARYS_WATCHES_MAX);
    return POLARYS_TOO_MANY_CALLS;
}

/* Joins at once where the log ends here, or has a worker catch up. */
static enum polarys_code watch_start(struct polarys_watch *watch, struct polarys_error *err)
{
    bool joined = false;
    enum polarys_code code = POLARYS_OK;
    if (watch->stage == WATCH_STAGE_CATCH_UP &&
        watch->caught_version >= feed_durable_version(watch->hub->feed)) {
        code = watch_hub_join(watch, watch->caught_version, &joined, err);
    } else if (watch->stage == WATCH_STAGE_CATCH_UP) {
        code = feed_reader_open(watch->hub->feed, watch->caught_version, &watch->reader, err);
    }
    if (joined) {
        watch->stage = WATCH_STAGE_JOINED;
    } else if (code == POLARYS_OK) {
        watch_work_want(watch);
    }
    return code;
}

enum polarys_code polarys_watch_open(struct polarys_db *db,
                                     const struct polarys_watch_options *options,
                                     void (*ready)(void *context), void *context,
                                     struct polarys_watch **out, struct polarys_error *err)
{
    *out = NULL;
    struct polarys_watch *watch = NULL;
    if (atomic_load(&db->is_closing)) {
        return polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
    }
    enum polarys_code code = options_check(options, err);
    if (code == POLARYS_OK && options->table == NULL) {
        code = polarys_fail(err, POLARYS_BAD_NAME, "a watch needs the name of a table");
    }
    if (code == POLARYS_OK) {
        code = watch_make(db->watches, options, &watch, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    watch->ready = ready;
    watch->context = context;
    code = start_find(watch, options, err);
    if (code == POLARYS_OK) {
        code = watch_enlist(watch, err);
    }
    if (code != POLARYS_OK) {
        watch_free(watch);
        return code;
    }
    code = watch_start(watch, err);
    if (code != POLARYS_OK) {
        polarys_watch_close(watch);
        return code;
    }
    *out = watch;
    return POLARYS_OK;
}

void polarys_watch_close(struct polarys_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct watch_hub *hub = watch->hub;
    mutex_lock(&hub->mutex);
    POLARYS_ASSERT(!watch->is_closed);
    watch->is_closed = true;
    watch_hub_leave_locked(watch);
    if (watch->previous != NULL) {
        watch->previous->next = watch->next;
    } else {
        hub->watches = watch->next;
    }
    if (watch->next != NULL) {
        watch->next->previous = watch->previous;
    }
    hub->watch_count--;
    if (hub->joined_count == 0 && hub->reader != NULL) {
        watch_hub_kick_locked(hub);
    }
    mutex_unlock(&hub->mutex);
    mutex_lock(&watch->mutex);
    watch->is_shut = true;
    while (watch->is_notifying) {
        (void)executor_wait(hub->executor, &watch->quiet, &watch->mutex, UINT64_C(1000000));
    }
    mutex_unlock(&watch->mutex);
    watch_unref(watch);
}

uint64_t polarys_watch_resume_version(const struct polarys_watch *watch)
{
    return watch->resume_version;
}

/* ---- which events are its own ---- */

static bool range_meets_prefix(const struct polarys_watch *watch, struct polarys_slice start,
                               struct polarys_slice end)
{
    return (watch->prefix_end.size == 0 ||
            slice_compare(start, buffer_slice(&watch->prefix_end)) < 0) &&
           (end.size == 0 || slice_compare(end, buffer_slice(&watch->prefix)) > 0);
}

bool watch_item_matches(const struct polarys_watch *watch, const struct watch_packet *packet,
                        const struct watch_item *item)
{
    struct polarys_slice prefix = buffer_slice(&watch->prefix);
    struct polarys_slice key = watch_item_key(packet, item);
    switch (item->kind) {
    case POLARYS_WATCH_PUT:
    case POLARYS_WATCH_DELETE:
    case POLARYS_WATCH_SNAPSHOT_PUT:
        return key.size >= prefix.size &&
               (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
    case POLARYS_WATCH_DELETE_RANGE:
        return range_meets_prefix(watch, key, watch_item_value(packet, item));
    default:
        return true;
    }
}

size_t watch_bytes_of(const struct polarys_watch *watch, const struct watch_packet *packet)
{
    size_t bytes = 0;
    if (watch->prefix.size == 0) {
        return packet->charged_bytes;
    }
    for (size_t i = 0; i < packet->item_count; i++) {
        const struct watch_item *item = &packet->items[i];
        if (watch_item_matches(watch, packet, item)) {
            bytes += sizeof(*item) + item->key_size + item->value_size;
        }
    }
    return bytes;
}
