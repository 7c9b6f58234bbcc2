/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed's life, what the log role hands over, and waking readers: see feed.h.
 */
#include "engine/feed/feed.h"

#include <stdlib.h>
#include <string.h>

#include "engine/feed/feed_internal.h"

static void dispatch_run(struct task *task);

enum polarys_code feed_open(const struct feed_options *options, struct feed **out,
                            struct polarys_error *err)
{
    *out = NULL;
    struct feed *feed = calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the feed of the log");
    }
    feed->wal = options->wal;
    feed->executor = options->executor;
    feed->ring_bytes_max = options->ring_bytes == 0 ? FEED_RING_BYTES_DEFAULT : options->ring_bytes;
    feed->dispatch_task.run = dispatch_run;
    atomic_init(&feed->durable_version, options->last_version);
    atomic_init(&feed->ring_bytes, 0);
    mutex_init(&feed->mutex, MUTEX_RANK_FEED);
    condition_init(&feed->idle);
    feed->ring_version = options->last_version;
    wal_position_get(feed->wal, &feed->durable_end);
    wal_place_newest(feed->wal, options->last_version + 1, &feed->place);
    *out = feed;
    return POLARYS_OK;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL) {
        return;
    }
    mutex_lock(&feed->mutex);
    POLARYS_ASSERT(feed->reader_count == 0 && feed->watcher_count == 0);
    while (feed->is_dispatching) {
        (void)executor_wait(feed->executor, &feed->idle, &feed->mutex, UINT64_C(1000000));
    }
    feed_ring_clear_locked(feed);
    mutex_unlock(&feed->mutex);
    condition_deinit(&feed->idle);
    mutex_deinit(&feed->mutex);
    free(feed);
}

uint64_t feed_durable_version(struct feed *feed)
{
    return atomic_load(&feed->durable_version);
}

void feed_end_get(struct feed *feed, struct wal_position *end, uint64_t *version)
{
    mutex_lock(&feed->mutex);
    *end = feed->durable_end;
    *version = atomic_load(&feed->durable_version);
    mutex_unlock(&feed->mutex);
}

uint64_t feed_memory_bytes(struct feed *feed)
{
    return atomic_load_explicit(&feed->ring_bytes, memory_order_relaxed);
}

/* A copy for the ring, made with no lock held; NULL when there is none to make. */
static struct feed_frame *frame_copy(const struct commit_frame *frame)
{
    size_t size = 0;
    for (size_t i = 0; i < frame->piece_count; i++) {
        size += frame->pieces[i].size;
    }
    return size > FEED_COPY_BYTES_MAX ? NULL
                                      : feed_frame_make(frame->first_version, frame->commit_count,
                                                        frame->pieces, frame->piece_count);
}

void feed_publish(struct feed *feed, const struct commit_frame *frame)
{
    uint64_t last_version = frame->first_version + frame->commit_count - 1;
    struct feed_frame *copy = NULL;
    mutex_lock(&feed->mutex);
    bool has_readers = feed->reader_count > 0;
    mutex_unlock(&feed->mutex);
    if (has_readers) {
        copy = frame_copy(frame);
    }
    mutex_lock(&feed->mutex);
    wal_place_advance(&feed->place, &frame->end, last_version + 1);
    feed->durable_end = frame->end;
    if (copy != NULL) {
        copy->behind = feed->place;
    }
    feed_ring_push_locked(feed, copy, last_version);
    atomic_store(&feed->durable_version, last_version);
    feed_landmark_add_locked(feed, last_version, &feed->place);
    bool must_dispatch = feed->first_waiter != NULL && !feed->is_dispatching;
    feed->is_dispatching = feed->is_dispatching || must_dispatch;
    mutex_unlock(&feed->mutex);
    if (must_dispatch) {
        executor_submit(feed->executor, EXECUTOR_READ, &feed->dispatch_task);
    }
}

/* Takes a reader that has something to read out of the list; NULL when there is none. */
static struct feed_reader *waiter_take_locked(struct feed *feed)
{
    uint64_t durable_version = atomic_load(&feed->durable_version);
    struct feed_reader **link = &feed->first_waiter;
    while (*link != NULL && (*link)->version >= durable_version) {
        link = &(*link)->next_waiter;
    }
    struct feed_reader *reader = *link;
    if (reader != NULL) {
        POLARYS_ASSERT(reader->is_armed);
        *link = reader->next_waiter;
        reader->is_armed = false;
    }
    return reader;
}

static void dispatch_run(struct task *task)
{
    struct feed *feed = (struct feed *)((char *)task - offsetof(struct feed, dispatch_task));
    mutex_lock(&feed->mutex);
    POLARYS_ASSERT(feed->is_dispatching);
    struct feed_reader *reader;
    while ((reader = waiter_take_locked(feed)) != NULL) {
        feed->called = reader;
        mutex_unlock(&feed->mutex);
        reader->ready(reader->context);
        mutex_lock(&feed->mutex);
        feed->called = NULL;
        condition_broadcast(&feed->idle);
    }
    feed->is_dispatching = false;
    condition_broadcast(&feed->idle);
    mutex_unlock(&feed->mutex);
}
