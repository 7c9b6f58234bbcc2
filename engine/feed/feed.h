/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log as a feed: readers that get the durable frames of the log in order, from any version that it
 * still holds, and go on as new ones become durable.
 *
 * Invariant: each reader gets every frame above its version exactly once and in order, none before it is
 * durable and published. Recent frames come from memory, older ones from the segment files; a reader does
 * not notice which.
 *
 * What is written here costs the log role one short lock a frame, and one copy of the frame while there are
 * readers. Frames carry where they lie in their segment, so that who needs the sealed bytes can read them
 * there. What is in a frame is log_batch.h's.
 */
#ifndef ENGINE_FEED_FEED_H
#define ENGINE_FEED_FEED_H

#include "engine/commit/commit.h"
#include "engine/wal/wal_tail.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FEED_RING_FRAMES_MAX = 4096,
    FEED_RING_BYTES_DEFAULT = 8 << 20,
    FEED_COPY_BYTES_MAX = 2 << 20, /* a larger frame is read from its segment */
    FEED_LANDMARKS_MAX = 1024,
    FEED_LANDMARK_BYTES = 1 << 20, /* of log between two landmarks, at least */
    FEED_READERS_MAX = 1 << 16,
};

/* One frame. Shared by whoever holds a reference; never changes. */
struct feed_frame {
    uint64_t first_version;
    uint64_t last_version;
    uint32_t commit_count;
    struct wal_place behind;      /* where the next frame begins */
    struct polarys_slice payload; /* a LogBatch, in plain */
};

struct feed_frame *feed_frame_ref(struct feed_frame *frame);
void feed_frame_unref(struct feed_frame *frame); /* accepts NULL */

struct feed_options {
    struct wal *wal;           /* just opened: nothing was appended yet */
    struct executor *executor; /* wakes readers */
    uint64_t last_version;     /* everything up to it is in the log or older */
    uint64_t ring_bytes;       /* 0: FEED_RING_BYTES_DEFAULT */
};

struct feed;

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code feed_open(const struct feed_options *options, struct feed **out,
                                      struct polarys_error *err);
/* REQUIRES: no reader, no feed_publish to come. Accepts NULL. */
void feed_close(struct feed *feed);

/* A frame is durable and published. The log role only, in order. Quick; never fails. */
void feed_publish(struct feed *feed, const struct commit_frame *frame);

/* Everything up to it can be read. Any thread. */
uint64_t feed_durable_version(struct feed *feed);

/* Bytes of frames kept in memory. Any thread. */
uint64_t feed_memory_bytes(struct feed *feed);

/* The durable end of the log, and the last version before it. Any thread. */
void feed_end_get(struct feed *feed, struct wal_position *end, uint64_t *version);

/* One thread at a time uses a reader. */
struct feed_reader;

/*
 * A reader of the commits above `version`, which may itself not be durable yet. The first frame may hold older
 * commits too: a version may lie within a frame.
 * Errors: HISTORY_PRUNED (detail "history_start"), TOO_MANY_CALLS, NO_MEMORY.
 */
NODISCARD enum polarys_code feed_reader_open(struct feed *feed, uint64_t version,
                                             struct feed_reader **out, struct polarys_error *err);
/*
 * One that reads nothing and is only told of frames above the version that was waited for last: it costs the log
 * role no copies. feed_reader_next is not for it. Errors: TOO_MANY_CALLS, NO_MEMORY.
 */
NODISCARD enum polarys_code feed_watcher_open(struct feed *feed, struct feed_reader **out,
                                              struct polarys_error *err);
/* As feed_reader_wait, for frames above `version`. */
bool feed_watcher_wait(struct feed_reader *reader, uint64_t version, void (*ready)(void *context),
                       void *context);
/* Its callback is not under way when this returns, and is not called any more. Accepts NULL. */
void feed_reader_close(struct feed_reader *reader);

/*
 * The next frame, which the caller unrefs; NULL when the durable end is reached. May read files.
 * Errors: HISTORY_PRUNED (detail "history_start"), CORRUPT, TAMPERED (details "file", "offset"), IO,
 * NO_MEMORY; the same frame is tried again by the next call.
 */
NODISCARD enum polarys_code feed_reader_next(struct feed_reader *reader, struct feed_frame **frame,
                                             struct polarys_error *err);
/* Lets go of file and memory until the next call: for readers that stop for a while. */
void feed_reader_pause(struct feed_reader *reader);
/* Everything up to it was handed out. */
uint64_t feed_reader_version(const struct feed_reader *reader);

/*
 * Calls `ready` once, from the executor, when there is a next frame. False, without arming anything, when there
 * is one already. REQUIRES: not armed.
 */
bool feed_reader_wait(struct feed_reader *reader, void (*ready)(void *context), void *context);

#ifdef __cplusplus
}
#endif

#endif
