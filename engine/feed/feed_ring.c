/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns frames in memory: their references, and the ring of the newest ones.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/feed/feed_internal.h"

static struct feed_frame_box *box_of(struct feed_frame *frame)
{
    return (struct feed_frame_box *)((char *)frame - offsetof(struct feed_frame_box, frame));
}

struct feed_frame *feed_frame_ref(struct feed_frame *frame)
{
    /* Whoever calls holds a reference or the ring's mutex: nothing is to be ordered. */
    unsigned before =
        atomic_fetch_add_explicit(&box_of(frame)->reference_count, 1, memory_order_relaxed);
    POLARYS_ASSERT(before > 0);
    return frame;
}

void feed_frame_unref(struct feed_frame *frame)
{
    if (frame == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub(&box_of(frame)->reference_count, 1);
    POLARYS_ASSERT(before > 0);
    if (before == 1) {
        free(box_of(frame));
    }
}

struct feed_frame *feed_frame_make(uint64_t first_version, uint32_t commit_count,
                                   const struct polarys_slice *pieces, size_t piece_count)
{
    size_t size = 0;
    for (size_t i = 0; i < piece_count; i++) {
        size += pieces[i].size;
    }
    POLARYS_ASSERT(commit_count > 0);
    struct feed_frame_box *box = malloc(sizeof(*box) + size);
    if (box == NULL) {
        return NULL;
    }
    struct feed_frame *frame = &box->frame;
    atomic_init(&box->reference_count, 1);
    frame->first_version = first_version;
    frame->last_version = first_version + commit_count - 1;
    frame->commit_count = commit_count;
    frame->behind = (struct wal_place){0};
    frame->payload = slice_make(box->bytes, size);
    uint8_t *to = box->bytes;
    for (size_t i = 0; i < piece_count; i++) {
        if (pieces[i].size != 0) {
            memcpy(to, pieces[i].data, pieces[i].size);
        }
        to += pieces[i].size;
    }
    return frame;
}

static size_t frame_bytes(const struct feed_frame *frame)
{
    return sizeof(struct feed_frame_box) + frame->payload.size;
}

static struct feed_frame *ring_at_locked(const struct feed *feed, size_t index)
{
    POLARYS_ASSERT(index < feed->ring_count);
    return feed->ring[(feed->ring_first + index) % FEED_RING_FRAMES_MAX];
}

static void ring_drop_first_locked(struct feed *feed)
{
    struct feed_frame *frame = ring_at_locked(feed, 0);
    feed->ring_version = frame->last_version;
    feed->ring_first = (feed->ring_first + 1) % FEED_RING_FRAMES_MAX;
    feed->ring_count--;
    atomic_fetch_sub_explicit(&feed->ring_bytes, frame_bytes(frame), memory_order_relaxed);
    feed_frame_unref(frame);
}

void feed_ring_clear_locked(struct feed *feed)
{
    while (feed->ring_count > 0) {
        ring_drop_first_locked(feed);
    }
    feed->ring_version = atomic_load(&feed->durable_version);
}

void feed_ring_push_locked(struct feed *feed, struct feed_frame *take_frame, uint64_t last_version)
{
    POLARYS_ASSERT(last_version > atomic_load(&feed->durable_version));
    if (take_frame == NULL) {
        feed_ring_clear_locked(feed);
        feed->ring_version = last_version;
        return;
    }
    size_t bytes = frame_bytes(take_frame);
    while (feed->ring_count == FEED_RING_FRAMES_MAX ||
           (feed->ring_count > 0 &&
            atomic_load_explicit(&feed->ring_bytes, memory_order_relaxed) + bytes >
                feed->ring_bytes_max)) {
        ring_drop_first_locked(feed);
    }
    size_t at = (feed->ring_first + feed->ring_count) % FEED_RING_FRAMES_MAX;
    feed->ring[at] = take_frame;
    feed->ring_count++;
    atomic_fetch_add_explicit(&feed->ring_bytes, bytes, memory_order_relaxed);
}

struct feed_frame *feed_ring_find_locked(struct feed *feed, uint64_t version)
{
    POLARYS_ASSERT(version >= feed->ring_version);
    size_t low = 0;
    size_t high = feed->ring_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring_at_locked(feed, middle)->last_version <= version) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == feed->ring_count ? NULL : feed_frame_ref(ring_at_locked(feed, low));
}
