/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits for one watch: a ring of packets, bounded in bytes, and waking who takes them.
 *
 * Invariant: a watch that was cut off has an empty queue, so a reader that is stuck holds no memory but the
 * packet it is at. `ready` is called at most once between two calls that found nothing.
 */
#include <stdlib.h>

#include "engine/watch_internal.h"

enum {
    QUEUE_CAPACITY_MIN = 8,
    QUEUE_PACKETS_MAX = 1 << 20, /* each is a round of the hub: minutes of them */
    QUEUE_PAUSE_BYTES = 1 << 20, /* who catches up never needs more ahead */
};

static bool queue_grow_locked(struct polarys_watch *watch)
{
    size_t capacity = watch->queue_capacity == 0 ? QUEUE_CAPACITY_MIN : 2 * watch->queue_capacity;
    struct watch_queued *queue =
        capacity > QUEUE_PACKETS_MAX ? NULL : malloc(capacity * sizeof(*queue));
    if (queue == NULL) {
        return false;
    }
    for (size_t i = 0; i < watch->queue_count; i++) {
        queue[i] = watch->queue[(watch->queue_first + i) & (watch->queue_capacity - 1)];
    }
    free(watch->queue);
    watch->queue = queue;
    watch->queue_capacity = capacity;
    watch->queue_first = 0;
    return true;
}

static bool queue_take_locked(struct polarys_watch *watch, struct watch_packet **packet)
{
    if (watch->queue_count == 0) {
        return false;
    }
    struct watch_queued *first = &watch->queue[watch->queue_first];
    *packet = first->packet;
    POLARYS_ASSERT(watch->queue_bytes >= first->bytes);
    watch->queue_bytes -= first->bytes;
    watch->queue_first = (watch->queue_first + 1) & (watch->queue_capacity - 1);
    watch->queue_count--;
    return true;
}

static void queue_clear_locked(struct polarys_watch *watch)
{
    struct watch_packet *packet;
    while (queue_take_locked(watch, &packet)) {
        watch_packet_unref(packet);
    }
}

void watch_queue_deinit(struct polarys_watch *watch)
{
    mutex_lock(&watch->mutex);
    queue_clear_locked(watch);
    mutex_unlock(&watch->mutex);
    free(watch->queue);
}

enum polarys_code watch_fail_too_slow(uint64_t limit, struct polarys_error *err)
{
    enum polarys_code code = polarys_fail(
        err, POLARYS_WATCH_TOO_SLOW, "the watch did not take its events: more than %llu bytes wait",
        (unsigned long long)limit);
    polarys_error_detail_set(err, "limit", "%llu", (unsigned long long)limit);
    return code;
}

/* True when whoever takes was told that there is nothing. */
static bool disarm_locked(struct polarys_watch *watch)
{
    bool was_armed = watch->is_armed;
    watch->is_armed = false;
    return was_armed;
}

static bool end_locked(struct polarys_watch *watch, const struct polarys_error *err)
{
    if (watch->end_code != POLARYS_OK) {
        return false;
    }
    POLARYS_ASSERT(err->code != POLARYS_OK);
    watch->end_code = err->code;
    watch->end_error = *err;
    if (err->code == POLARYS_WATCH_TOO_SLOW) {
        queue_clear_locked(watch);
    }
    return disarm_locked(watch);
}

bool watch_queue_end(struct polarys_watch *watch, const struct polarys_error *err)
{
    mutex_lock(&watch->mutex);
    bool must_notify = end_locked(watch, err);
    mutex_unlock(&watch->mutex);
    return must_notify;
}

bool watch_queue_push(struct polarys_watch *watch, struct watch_packet *packet, size_t bytes,
                      uint64_t limit)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    bool must_notify = false;
    mutex_lock(&watch->mutex);
    if (watch->end_code != POLARYS_OK || watch->is_shut) {
        goto done;
    }
    if (watch->queue_count > 0 && watch->queue_bytes + bytes > limit) {
        (void)watch_fail_too_slow(limit, &err);
        must_notify = end_locked(watch, &err);
        goto done;
    }
    if (watch->queue_count == watch->queue_capacity && !queue_grow_locked(watch)) {
        (void)polarys_fail(&err, POLARYS_NO_MEMORY, "no memory for what waits for a watch");
        must_notify = end_locked(watch, &err);
        goto done;
    }
    size_t at = (watch->queue_first + watch->queue_count) & (watch->queue_capacity - 1);
    atomic_fetch_add_explicit(&packet->reference_count, 1, memory_order_relaxed);
    watch->queue[at] = (struct watch_queued){.packet = packet, .bytes = bytes};
    if (watch->queue_count == 0) {
        watch->taken_ns = clock_monotonic_ns(watch->hub->db->clock);
    }
    watch->queue_count++;
    watch->queue_bytes += bytes;
    must_notify = disarm_locked(watch);

done:
    mutex_unlock(&watch->mutex);
    return must_notify;
}

/* Where a watch that catches up waits for its reader. */
static size_t pause_bytes(const struct polarys_watch *watch)
{
    size_t half = (size_t)(watch->queue_bytes_max / 2);
    return half < QUEUE_PAUSE_BYTES ? half : QUEUE_PAUSE_BYTES;
}

static bool is_full_locked(const struct polarys_watch *watch)
{
    return watch_hub_memory_left(watch->hub) == 0 ||
           (watch->queue_count > 0 && watch->queue_bytes >= pause_bytes(watch));
}

bool watch_queue_is_full(struct polarys_watch *watch)
{
    mutex_lock(&watch->mutex);
    bool is_full = is_full_locked(watch);
    mutex_unlock(&watch->mutex);
    return is_full;
}

bool watch_queue_pause(struct polarys_watch *watch)
{
    mutex_lock(&watch->mutex);
    bool is_granted = watch->is_granted && watch->queue_count == 0;
    bool must_wait = watch->end_code == POLARYS_OK && !is_granted && is_full_locked(watch);
    watch->is_paused = must_wait && watch->queue_count > 0;
    if (must_wait && !watch->is_paused && !watch->is_starved) {
        watch->starved_ns = clock_monotonic_ns(watch->hub->db->clock);
    }
    watch->is_starved = must_wait && !watch->is_paused;
    watch->is_granted = false;
    mutex_unlock(&watch->mutex);
    return must_wait;
}

bool watch_queue_take(struct polarys_watch *watch, struct watch_packet **packet, bool *wants_work)
{
    *wants_work = false;
    mutex_lock(&watch->mutex);
    bool is_taken = queue_take_locked(watch, packet);
    if (is_taken) {
        watch->taken_ns = clock_monotonic_ns(watch->hub->db->clock);
    }
    if (watch->is_paused && watch->queue_bytes <= pause_bytes(watch) / 2) {
        watch->is_paused = false;
        *wants_work = true;
    }
    mutex_unlock(&watch->mutex);
    return is_taken;
}

void watch_notify(struct polarys_watch *watch)
{
    mutex_lock(&watch->mutex);
    bool may_call = !watch->is_shut && watch->ready != NULL;
    while (watch->is_notifying && may_call) {
        (void)executor_wait(watch->hub->executor, &watch->quiet, &watch->mutex, UINT64_C(1000000));
        may_call = !watch->is_shut;
    }
    watch->is_notifying = watch->is_notifying || may_call;
    mutex_unlock(&watch->mutex);
    if (!may_call) {
        return;
    }
    watch->ready(watch->context);
    mutex_lock(&watch->mutex);
    watch->is_notifying = false;
    condition_broadcast(&watch->quiet);
    mutex_unlock(&watch->mutex);
}
