/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub: which watches there are, which of them have joined, and its life.
 *
 * Invariant: every frame above the version with which a watch joined is looked at after it joined. A watch
 * joins only at or above round_version, which the hub raises, under the mutex, before it looks at a frame.
 */
#include "engine/watch_hub.h"

#include <stdlib.h>

#include "engine/watch_internal.h"

enum { HUB_WAIT_NS = 1000000 };

enum polarys_code watch_hub_open(struct polarys_db *db, struct watch_hub **out,
                                 struct polarys_error *err)
{
    *out = NULL;
    POLARYS_ASSERT(db->feed != NULL);
    struct watch_hub *hub = calloc(1, sizeof(*hub));
    if (hub == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for watches");
    }
    hub->db = db;
    hub->feed = db->feed;
    hub->executor = db->executor;
    hub->call_executor = db->call_executor;
    hub->memory_max = db->settings.memory_limit / WATCH_MEMORY_SHARE;
    hub->task.run = watch_hub_run;
    for (size_t i = 0; i < WATCH_WORKERS; i++) {
        hub->workers[i].hub = hub;
        hub->workers[i].task.run = watch_worker_run;
    }
    mutex_init(&hub->mutex, MUTEX_RANK_WATCH_HUB);
    condition_init(&hub->idle);
    *out = hub;
    return POLARYS_OK;
}

static bool is_busy_locked(const struct watch_hub *hub)
{
    bool is_busy = hub->live_count > 0 || hub->task_state != HUB_TASK_IDLE || hub->reader != NULL;
    for (size_t i = 0; i < WATCH_WORKERS; i++) {
        is_busy = is_busy || hub->workers[i].is_busy;
    }
    return is_busy;
}

void watch_hub_stop(struct watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    mutex_lock(&hub->mutex);
    POLARYS_ASSERT(hub->watch_count == 0); /* the contract of polarys_db_close */
    while (is_busy_locked(hub)) {
        (void)executor_wait(hub->executor, &hub->idle, &hub->mutex, HUB_WAIT_NS);
    }
    mutex_unlock(&hub->mutex);
}

void watch_hub_close(struct watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    POLARYS_ASSERT(hub->live_count == 0 && hub->reader == NULL);
    POLARYS_ASSERT(atomic_load(&hub->memory_bytes) == 0);
    condition_deinit(&hub->idle);
    mutex_deinit(&hub->mutex);
    free(hub);
}

/* ---- memory ---- */

uint64_t watch_hub_memory_bytes(const struct watch_hub *hub)
{
    return atomic_load_explicit(&hub->memory_bytes, memory_order_relaxed);
}

uint64_t watch_hub_memory_left(const struct watch_hub *hub)
{
    uint64_t used = watch_hub_memory_bytes(hub);
    return used < hub->memory_max ? hub->memory_max - used : 0;
}

uint64_t watch_hub_limit_locked(const struct watch_hub *hub, const struct polarys_watch *watch)
{
    if (watch_hub_memory_left(hub) > 0) {
        return watch->queue_bytes_max;
    }
    /* The share is used up: whoever holds more than his part of it goes first. */
    uint64_t part = hub->memory_max / (hub->joined_count + 1);
    return part < watch->queue_bytes_max ? part : watch->queue_bytes_max;
}

/* ---- tables ---- */

static struct watch_table **bucket_of(struct watch_hub *hub, uint64_t table_ref)
{
    return &hub->buckets[watch_interest_slot(table_ref) % WATCH_TABLE_BUCKETS];
}

struct watch_table *watch_hub_find_locked(const struct watch_hub *hub, uint64_t table_ref)
{
    struct watch_table *table = hub->buckets[watch_interest_slot(table_ref) % WATCH_TABLE_BUCKETS];
    while (table != NULL && table->table_ref != table_ref) {
        table = table->next;
    }
    return table;
}

/* The table's entry, made when it is not there; NULL for lack of memory. */
static struct watch_table *table_get_locked(struct watch_hub *hub, uint64_t table_ref)
{
    struct watch_table *table = watch_hub_find_locked(hub, table_ref);
    if (table != NULL) {
        return table;
    }
    table = calloc(1, sizeof(*table));
    if (table != NULL) {
        struct watch_table **bucket = bucket_of(hub, table_ref);
        table->table_ref = table_ref;
        table->next = *bucket;
        *bucket = table;
    }
    return table;
}

static void table_free_locked(struct watch_hub *hub, struct watch_table *table)
{
    struct watch_table **link = bucket_of(hub, table->table_ref);
    POLARYS_ASSERT(table->first == NULL && table->watch_count == 0);
    while (*link != table) {
        link = &(*link)->next;
    }
    *link = table->next;
    free(table);
}

/* ---- joining and leaving ---- */

/*
 * Begins to read behind `version`, where the first watch is, but not beyond the end of the feed: versions may be
 * published without a frame (a promotion's are), and no other watch could join before there is one.
 */
static enum polarys_code hub_start_locked(struct watch_hub *hub, uint64_t version,
                                          struct polarys_error *err)
{
    uint64_t durable_version = feed_durable_version(hub->feed);
    version = version < durable_version ? version : durable_version;
    enum polarys_code code = feed_reader_open(hub->feed, version, &hub->reader, err);
    if (code == POLARYS_OK) {
        hub->is_armed = false;
        hub->round_version = version;
        atomic_store(&hub->delivered_version, version);
    }
    return code;
}

static void join_locked(struct watch_hub *hub, struct polarys_watch *watch,
                        struct watch_table *table, uint64_t version)
{
    POLARYS_ASSERT(table->table_ref == watch->table_ref && version >= hub->round_version);
    watch->joined = table;
    watch->previous_joined = NULL;
    watch->next_joined = table->first;
    if (table->first != NULL) {
        table->first->previous_joined = watch;
    }
    table->first = watch;
    table->watch_count++;
    hub->joined_count++;
    atomic_fetch_add(&hub->interests[watch_interest_slot(watch->table_ref)], 1);
    mutex_lock(&watch->mutex);
    watch->is_joined = true;
    watch->delivered_version = version;
    mutex_unlock(&watch->mutex);
}

enum polarys_code watch_hub_join(struct polarys_watch *watch, uint64_t version, bool *joined,
                                 struct polarys_error *err)
{
    struct watch_hub *hub = watch->hub;
    enum polarys_code code = POLARYS_OK;
    *joined = false;
    mutex_lock(&hub->mutex);
    POLARYS_ASSERT(watch->joined == NULL);
    if (hub->reader == NULL && !watch->is_closed) {
        code = hub_start_locked(hub, version, err);
    }
    if (code == POLARYS_OK && !watch->is_closed && version >= hub->round_version) {
        struct watch_table *table = table_get_locked(hub, watch->table_ref);
        if (table == NULL) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to watch a table");
        } else {
            join_locked(hub, watch, table, version);
            *joined = true;
        }
    }
    watch_hub_kick_locked(hub);
    mutex_unlock(&hub->mutex);
    return code;
}

void watch_hub_leave_locked(struct polarys_watch *watch)
{
    struct watch_hub *hub = watch->hub;
    struct watch_table *table = watch->joined;
    if (table == NULL) {
        return;
    }
    if (watch->previous_joined != NULL) {
        watch->previous_joined->next_joined = watch->next_joined;
    } else {
        table->first = watch->next_joined;
    }
    if (watch->next_joined != NULL) {
        watch->next_joined->previous_joined = watch->previous_joined;
    }
    watch->joined = NULL;
    POLARYS_ASSERT(table->watch_count > 0 && hub->joined_count > 0);
    table->watch_count--;
    hub->joined_count--;
    atomic_fetch_sub(&hub->interests[watch_interest_slot(watch->table_ref)], 1);
    if (table->watch_count == 0) {
        table_free_locked(hub, table);
    }
}

void watch_hub_kick_locked(struct watch_hub *hub)
{
    switch (hub->task_state) {
    case HUB_TASK_IDLE:
        hub->task_state = HUB_TASK_QUEUED;
        executor_submit(hub->executor, EXECUTOR_READ, &hub->task);
        break;
    case HUB_TASK_RUNNING:
        hub->task_state = HUB_TASK_AGAIN;
        break;
    case HUB_TASK_QUEUED:
    case HUB_TASK_AGAIN:
        break;
    }
}

/* ---- the tick ---- */

/* What the tick finds about one watch. */
static bool tick_watch_locked(struct polarys_watch *watch, uint64_t now_ns, bool *is_stalled)
{
    bool must_notify = false;
    mutex_lock(&watch->mutex);
    bool is_in_the_way = (watch->is_snapshot && watch->is_paused) ||
                         (watch->hub->is_short && watch->queue_count > 0);
    uint64_t stall_ns = POLARYS_WATCH_SNAPSHOT_STALL_MS * UINT64_C(1000000);
    *is_stalled = is_in_the_way && now_ns >= watch->taken_ns + stall_ns;
    if (watch->is_armed && now_ns - watch->idle_since_ns >= watch->progress_ns) {
        watch->is_armed = false;
        must_notify = true;
    }
    mutex_unlock(&watch->mutex);
    return must_notify;
}

/*
 * Watches that wait for memory go on when there is some. When there is none, the one that has waited longest may
 * have one packet: so whoever takes goes on, however many others do not.
 */
static void starved_wake_locked(struct watch_hub *hub)
{
    bool has_memory = watch_hub_memory_left(hub) > 0;
    struct polarys_watch *oldest = NULL;
    uint64_t oldest_ns = 0;
    for (struct polarys_watch *watch = hub->watches; watch != NULL; watch = watch->next) {
        mutex_lock(&watch->mutex);
        bool is_starved = watch->is_starved;
        uint64_t starved_ns = watch->starved_ns;
        mutex_unlock(&watch->mutex);
        if (is_starved && has_memory) {
            watch_work_want_locked(watch);
        } else if (is_starved && (oldest == NULL || starved_ns <= oldest_ns)) {
            oldest = watch;
            oldest_ns = starved_ns;
        }
    }
    hub->is_short = oldest != NULL;
    if (oldest != NULL) {
        mutex_lock(&oldest->mutex);
        oldest->is_granted = true;
        mutex_unlock(&oldest->mutex);
        watch_work_want_locked(oldest);
    }
}

void watch_hub_tick(struct watch_hub *hub)
{
    struct polarys_watch *ready = NULL;
    uint64_t now_ns = clock_monotonic_ns(hub->db->clock);
    mutex_lock(&hub->mutex);
    for (struct polarys_watch *watch = hub->watches; watch != NULL; watch = watch->next) {
        bool is_stalled;
        bool must_notify = tick_watch_locked(watch, now_ns, &is_stalled);
        if (is_stalled) {
            struct polarys_error err = POLARYS_ERROR_INIT;
            (void)polarys_fail(&err, POLARYS_WATCH_TOO_SLOW,
                               "nothing was taken of what waits for a watch for %d s",
                               POLARYS_WATCH_SNAPSHOT_STALL_MS / 1000);
            must_notify = watch_queue_end(watch, &err) || must_notify;
            watch_work_want_locked(watch); /* to give up its lease */
        }
        if (must_notify) {
            watch->next_tick = ready;
            ready = watch_ref(watch);
        }
    }
    starved_wake_locked(hub);
    mutex_unlock(&hub->mutex);
    while (ready != NULL) {
        struct polarys_watch *watch = ready;
        ready = watch->next_tick;
        watch_notify(watch);
        watch_unref(watch);
    }
}
