/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed as the files of this module share it.
 *
 * The ring holds the newest frames, without a gap, while there are readers: every frame above ring_version is
 * in it. So a reader at or above ring_version reads memory, and one below reads files until it gets there.
 */
#ifndef ENGINE_FEED_FEED_INTERNAL_H
#define ENGINE_FEED_FEED_INTERNAL_H

#include <stdatomic.h>

#include "engine/base/assert.h"
#include "engine/feed/feed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A frame with its references and its payload. */
struct feed_frame_box {
    struct feed_frame frame;
    atomic_uint reference_count;
    uint8_t bytes[];
};

/* A place in the log that some reader or the log role passed: readers that begin later begin there. */
struct feed_landmark {
    uint64_t version; /* of the last commit before the place */
    struct wal_place place;
};

struct feed {
    /* Immutable after open. */
    struct wal *wal;
    struct executor *executor;
    uint64_t ring_bytes_max;

    /* Synchronise themselves. */
    atomic_uint_fast64_t durable_version; /* changed with the mutex held */
    atomic_uint_fast64_t ring_bytes;      /* likewise */

    struct mutex mutex;
    struct condition idle; /* is_dispatching became false */

    /* Guarded by mutex. */
    struct wal_position durable_end;
    struct wal_place place; /* behind the newest durable frame */
    uint64_t ring_version;
    struct feed_frame *ring[FEED_RING_FRAMES_MAX];
    size_t ring_first;
    size_t ring_count;
    struct feed_landmark landmarks[FEED_LANDMARKS_MAX]; /* ascending */
    size_t landmark_count;
    size_t reader_count;
    size_t watcher_count;
    struct feed_reader *first_waiter;
    bool is_dispatching;        /* the task is queued or runs */
    struct feed_reader *called; /* its callback is under way */

    struct task dispatch_task;
};

struct feed_reader {
    /* Immutable. */
    struct feed *feed;
    bool is_watcher; /* reads nothing */

    /* Of the thread that reads. */
    uint64_t version;
    bool has_place;
    struct wal_place place; /* behind what was handed out */
    struct wal_tail tail;   /* in use while files are read */
    bool has_tail;

    /* Guarded by feed->mutex. */
    bool is_armed;
    void (*ready)(void *context);
    void *context;
    struct feed_reader *next_waiter;
};

/* ---- feed_ring.c ---- */

/* Frees every frame of the ring, which then begins at the durable end. REQUIRES: feed->mutex. */
void feed_ring_clear_locked(struct feed *feed);
/* Puts the frame into the ring; gives up old ones for it. `take_frame` NULL: there was no memory, or it is
 * too large, and readers find it in its segment. REQUIRES: feed->mutex, durable_version not moved yet. */
void feed_ring_push_locked(struct feed *feed, struct feed_frame *take_frame, uint64_t last_version);
/* The first frame above `version`, with a reference; NULL when there is none. REQUIRES: feed->mutex,
 * version >= ring_version. */
struct feed_frame *feed_ring_find_locked(struct feed *feed, uint64_t version);
/* NULL for lack of memory. */
struct feed_frame *feed_frame_make(uint64_t first_version, uint32_t commit_count,
                                   const struct polarys_slice *pieces, size_t piece_count);

/* ---- feed_landmark.c ---- */

/* Remembers the place behind `version` unless there is one near. REQUIRES: feed->mutex. */
void feed_landmark_add_locked(struct feed *feed, uint64_t version, const struct wal_place *place);
/* Moves the place on to the last landmark that is at or below the version. REQUIRES: feed->mutex. */
void feed_landmark_use_locked(const struct feed *feed, uint64_t version, struct wal_place *place);

#ifdef __cplusplus
}
#endif

#endif
