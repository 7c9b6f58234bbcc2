/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub's task: reads what is new in the log, decodes it once, and hands it to the watches that joined.
 *
 * It rests several times as long as it worked, so that however many watches there are, it takes a bounded part
 * of one processor from the commits: the more there is to do, the more commits one round has.
 */
#include <stdlib.h>

#include "engine/wal/log_batch.h"
#include "engine/watch_hub.h"
#include "engine/watch_internal.h"

enum { ROUND_BUCKETS = 64 };

/* What one round of the hub has read. */
struct watch_round {
    struct watch_hub *hub;
    uint64_t first_version; /* of the frame in hand */
    uint64_t version;       /* read up to it */
    struct watch_builder *builders[ROUND_BUCKETS];
    struct watch_builder *last; /* the one that was found last */
    bool has_items;
};

/* ---- reading ---- */

static struct watch_builder *builder_get(struct watch_round *round, uint64_t table_ref)
{
    if (round->last != NULL && round->last->table_ref == table_ref) {
        return round->last;
    }
    struct watch_builder **bucket =
        &round->builders[watch_interest_slot(table_ref) % ROUND_BUCKETS];
    struct watch_builder *builder = *bucket;
    while (builder != NULL && builder->table_ref != table_ref) {
        builder = builder->next;
    }
    if (builder == NULL) {
        builder = calloc(1, sizeof(*builder));
        if (builder == NULL) {
            return NULL;
        }
        builder->table_ref = table_ref;
        builder->next = *bucket;
        *bucket = builder;
    }
    round->last = builder;
    return builder;
}

static void round_deinit(struct watch_round *round)
{
    for (size_t i = 0; i < ROUND_BUCKETS; i++) {
        while (round->builders[i] != NULL) {
            struct watch_builder *builder = round->builders[i];
            round->builders[i] = builder->next;
            watch_builder_deinit(builder);
            free(builder);
        }
    }
}

static enum polarys_code round_commit(void *context, uint32_t index, uint64_t time_unix_ms,
                                      const struct entry *operations, size_t operation_count,
                                      struct polarys_error *err)
{
    struct watch_round *round = context;
    bool is_drop = watch_commit_drops(operations, operation_count);
    for (size_t i = 0; i < operation_count; i++) {
        uint64_t table_ref = get_u64_be(operations[i].key.data);
        /* Watches that join now come later than this frame: join raised the count before. */
        if (atomic_load_explicit(&round->hub->interests[watch_interest_slot(table_ref)],
                                 memory_order_relaxed) == 0) {
            continue;
        }
        struct watch_builder *builder = builder_get(round, table_ref);
        if (builder == NULL) {
            return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the events of watches");
        }
        enum polarys_code code = watch_builder_add(builder, round->first_version + index,
                                                   time_unix_ms, &operations[i], is_drop, err);
        if (code != POLARYS_OK) {
            return code;
        }
        round->has_items = true;
    }
    return POLARYS_OK;
}

static enum polarys_code round_frame(struct watch_round *round, const struct feed_frame *frame,
                                     struct polarys_error *err)
{
    struct watch_hub *hub = round->hub;
    POLARYS_ASSERT(frame->last_version > round->version);
    struct log_batch_visitor visitor = {.commit = round_commit, .context = round};
    mutex_lock(&hub->mutex);
    hub->round_version = frame->last_version;
    mutex_unlock(&hub->mutex);
    round->first_version = frame->first_version;
    round->version = frame->last_version;
    return log_batch_decode(frame->payload, frame->commit_count, &visitor, err);
}

/* Reads what there is, up to the bounds of a round. *is_end: up to the end of the log. */
static enum polarys_code round_read(struct watch_round *round, struct feed_reader *reader,
                                    bool *is_end, struct polarys_error *err)
{
    size_t bytes = 0;
    *is_end = false;
    for (int i = 0; i < WATCH_ROUND_FRAMES_MAX && bytes < WATCH_ROUND_BYTES_MAX; i++) {
        struct feed_frame *frame;
        enum polarys_code code = feed_reader_next(reader, &frame, err);
        if (code == POLARYS_OK && frame == NULL) {
            *is_end = true;
            return POLARYS_OK;
        }
        if (code == POLARYS_OK) {
            bytes += frame->payload.size;
            code = round_frame(round, frame, err);
            feed_frame_unref(frame);
        }
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

/* ---- handing over ---- */

/* Watches to be woken once no lock is held. */
struct ready_list {
    struct polarys_watch *first;
};

static void ready_add(struct ready_list *list, struct polarys_watch *watch)
{
    watch->next_ready = list->first;
    list->first = watch_ref(watch);
}

static void ready_notify(struct ready_list *list)
{
    while (list->first != NULL) {
        struct polarys_watch *watch = list->first;
        list->first = watch->next_ready;
        watch_notify(watch);
        watch_unref(watch);
    }
}

static void packet_hand_over_locked(struct watch_hub *hub, uint64_t table_ref,
                                    struct watch_packet *packet, struct ready_list *list)
{
    struct watch_table *table = watch_hub_find_locked(hub, table_ref);
    struct polarys_watch *watch = table == NULL ? NULL : table->first;
    for (; watch != NULL; watch = watch->next_joined) {
        size_t bytes = watch_bytes_of(watch, packet);
        if (bytes > 0 &&
            watch_queue_push(watch, packet, bytes, watch_hub_limit_locked(hub, watch))) {
            ready_add(list, watch);
        }
    }
}

/* Makes packets of the builders; all or none. */
static enum polarys_code round_seal(struct watch_round *round, struct watch_packet ***packets,
                                    size_t *packet_count, struct polarys_error *err)
{
    size_t capacity = 0;
    *packet_count = 0;
    for (size_t i = 0; i < ROUND_BUCKETS; i++) {
        for (struct watch_builder *b = round->builders[i]; b != NULL; b = b->next) {
            capacity++;
        }
    }
    *packets = calloc(capacity, sizeof(**packets));
    if (*packets == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the events of watches");
    }
    for (size_t i = 0; i < ROUND_BUCKETS; i++) {
        for (struct watch_builder *b = round->builders[i]; b != NULL; b = b->next) {
            enum polarys_code code =
                watch_builder_seal(b, &round->hub->memory_bytes, &(*packets)[*packet_count], err);
            if (code != POLARYS_OK) {
                return code;
            }
            (*packet_count)++;
        }
    }
    return POLARYS_OK;
}

/* Hands what was read to the watches. */
static enum polarys_code round_deliver(struct watch_round *round, struct polarys_error *err)
{
    struct watch_hub *hub = round->hub;
    struct ready_list list = {NULL};
    struct watch_packet **packets = NULL;
    size_t packet_count = 0;
    enum polarys_code code = POLARYS_OK;
    if (round->has_items) {
        code = round_seal(round, &packets, &packet_count, err);
    }
    if (code == POLARYS_OK) {
        size_t index = 0;
        mutex_lock(&hub->mutex);
        for (size_t i = 0; i < ROUND_BUCKETS; i++) {
            for (struct watch_builder *b = round->builders[i]; b != NULL; b = b->next) {
                POLARYS_ASSERT(packets != NULL && index < packet_count);
                packet_hand_over_locked(hub, b->table_ref, packets[index++], &list);
            }
        }
        /* After the packets: whose queue is empty and sees this version has everything up to it. */
        atomic_store(&hub->delivered_version, round->version);
        mutex_unlock(&hub->mutex);
    }
    for (size_t i = 0; i < packet_count; i++) {
        watch_packet_unref(packets[i]);
    }
    free(packets);
    ready_notify(&list);
    return code;
}

/* The log cannot be read: every watch that joined ends. */
static void hub_fail(struct watch_hub *hub, const struct polarys_error *err)
{
    struct ready_list list = {NULL};
    polarys_log(POLARYS_LOG_WARN, "watch", "the watches end: %s", err->message);
    mutex_lock(&hub->mutex);
    for (struct polarys_watch *watch = hub->watches; watch != NULL; watch = watch->next) {
        if (watch->joined == NULL) {
            continue;
        }
        watch_hub_leave_locked(watch);
        if (watch_queue_end(watch, err)) {
            ready_add(&list, watch);
        }
    }
    mutex_unlock(&hub->mutex);
    ready_notify(&list);
}

/* ---- the task ---- */

static void hub_wake(void *context)
{
    struct watch_hub *hub = context;
    mutex_lock(&hub->mutex);
    hub->is_armed = false;
    watch_hub_kick_locked(hub);
    mutex_unlock(&hub->mutex);
}

/* How long to rest after a round that took so long. */
static uint64_t rest_of(uint64_t worked_ns)
{
    uint64_t rest_ns = worked_ns * WATCH_ROUND_REST_FACTOR;
    if (rest_ns < WATCH_ROUND_REST_NS_MIN) {
        return 0;
    }
    return rest_ns < WATCH_ROUND_REST_NS_MAX ? rest_ns : WATCH_ROUND_REST_NS_MAX;
}

/* One round. Returns how long to rest before the next. *has_more: there is something to read already. */
static uint64_t hub_round(struct watch_hub *hub, struct feed_reader *reader, bool *has_more)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct watch_round round = {.hub = hub};
    struct clock *clock = hub->db->clock;
    uint64_t start_ns = clock_monotonic_ns(clock);
    bool is_end = false;
    enum polarys_code code = round_read(&round, reader, &is_end, &err);
    if (code == POLARYS_OK && round.version != 0) {
        code = round_deliver(&round, &err);
    }
    if (code != POLARYS_OK) {
        hub_fail(hub, &err);
    }
    round_deinit(&round);
    *has_more = !is_end;
    return round.has_items ? rest_of(clock_monotonic_ns(clock) - start_ns) : 0;
}

/* The reader to work with; NULL when there is nothing to do. *to_close: nobody needs it any more. */
static struct feed_reader *hub_begin(struct watch_hub *hub, struct feed_reader **to_close)
{
    *to_close = NULL;
    mutex_lock(&hub->mutex);
    hub->task_state = HUB_TASK_RUNNING;
    struct feed_reader *reader = hub->is_armed ? NULL : hub->reader;
    if (hub->joined_count == 0 && hub->reader != NULL) {
        *to_close = hub->reader;
        hub->reader = NULL;
        hub->is_armed = false;
        reader = NULL;
    }
    mutex_unlock(&hub->mutex);
    return reader;
}

/* Waits for more, or comes again. The hub may be freed once this returns. */
static void hub_end(struct watch_hub *hub, struct feed_reader *reader, bool has_more,
                    uint64_t rest_ns)
{
    mutex_lock(&hub->mutex);
    bool is_again = hub->task_state == HUB_TASK_AGAIN || has_more || rest_ns > 0;
    if (reader != NULL && !is_again) {
        hub->is_armed = true;
        if (!feed_reader_wait(reader, hub_wake, hub)) {
            hub->is_armed = false;
            is_again = true;
        }
    }
    hub->task_state = is_again ? HUB_TASK_QUEUED : HUB_TASK_IDLE;
    if (is_again) {
        executor_submit_after(hub->executor, EXECUTOR_READ, &hub->task, rest_ns);
    }
    condition_broadcast(&hub->idle);
    mutex_unlock(&hub->mutex);
}

void watch_hub_run(struct task *task)
{
    struct watch_hub *hub = (struct watch_hub *)((char *)task - offsetof(struct watch_hub, task));
    struct feed_reader *to_close;
    bool has_more = false;
    uint64_t rest_ns = 0;
    struct feed_reader *reader = hub_begin(hub, &to_close);
    feed_reader_close(to_close);
    if (reader != NULL) {
        rest_ns = hub_round(hub, reader, &has_more);
    }
    hub_end(hub, reader, has_more, rest_ns);
}
