/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit path: a queue, the validator, group commit and publication, by whoever holds the log role.
 *
 * Invariant: versions are given out in log order, one a commit, and published in that order. A
 * LOCAL_SYNC commit is reported done, and becomes visible, only when its frame is durable; an ASYNC
 * commit is reported done, and becomes visible, when it is in the log buffer and every LOCAL_SYNC commit
 * before it is durable. So no reader ever sees a LOCAL_SYNC write that a crash could take back.
 *
 * The log role never reads a table file and never waits for anything but the log. What a commit writes
 * was worked out and encoded by the thread that submits it.
 */
#ifndef ENGINE_COMMIT_COMMIT_H
#define ENGINE_COMMIT_COMMIT_H

#include "engine/compaction/tree.h"
#include "engine/wal/log_batch.h"
#include "engine/wal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    COMMIT_QUEUE_COMMITS_MAX = 65536,       /* that wait; past it WRITE_STALL */
    COMMIT_QUEUE_BYTES_MAX = 256 << 20,     /* of encoded commits that wait */
    COMMIT_GROUP_COMMITS_MAX = 8192,        /* in one frame */
    COMMIT_GROUP_BYTES_MAX = 1 << 20,       /* in one frame, unless a single commit is larger */
    COMMIT_ASYNC_BUFFER_BYTES = 1 << 20,    /* ASYNC commits buffered before a frame is written */
    COMMIT_UNSYNCED_VERSIONS_MAX = 1 << 19, /* below the 2^20 that an unclean open skips */
};

enum commit_durability {
    COMMIT_ASYNC,
    COMMIT_LOCAL_SYNC,
};

/* Half-open range of tree keys. */
struct commit_range {
    struct polarys_slice start;
    struct polarys_slice end;
};

/*
 * One commit on its way. Embedded by its owner, left alone from submit until `done` is called. All
 * slices and arrays are borrowed until then.
 */
struct commit_request {
    /* The final effect: at most one point entry a key; range deletes hide only what is older. */
    const struct entry *operations;
    size_t operation_count;
    struct polarys_slice encoded; /* log_commit_encode of the same operations */

    /* Validated: nothing here was written by a commit above read_version. */
    uint64_t read_version;
    const struct polarys_slice *read_keys;
    size_t read_key_count;
    const struct commit_range *read_ranges;
    size_t read_range_count;
    /* The schema version (commit_schema_version) that the preparation went by. */
    uint64_t schema_version;
    bool changes_schema; /* raises the schema version to this commit's version */

    enum commit_durability durability;
    uint64_t
        deadline_ns; /* monotonic; past it the commit is dropped unnumbered (WAIT_TIMEOUT); 0: none */

    /* Called once, from any thread, with no lock held; may submit again. */
    void (*done)(struct commit_request *request);

    /* Results. code: OK; TXN_CONFLICT (conflict_version: prepare again above it); WRITE_STALL, DISK_LOW
     * (with retry_after_ms), WAIT_TIMEOUT, DRAINING (closing), the log's error. */
    enum polarys_code code;
    uint64_t version;
    uint64_t time_unix_ms;
    uint64_t conflict_version;
    struct polarys_error error; /* filled when code is neither OK nor TXN_CONFLICT */

    /* The commit path's own. */
    struct commit_request *next;
    struct commit_waiter *waiter; /* of a sleeping commit_wait */
    size_t entry_bytes;           /* memtable room it needs */
    uint32_t range_delete_count;
    uint32_t wait_state;
    bool waits_for_frame; /* reported when its frame is durable, not before */
};

/* A frame that is in the log durably. Borrowed: valid during the call. */
struct commit_frame {
    uint64_t first_version;
    uint32_t commit_count;
    const struct polarys_slice *pieces; /* one LogBatch between them */
    size_t piece_count;
    struct wal_position end;
};

enum commit_role_policy {
    COMMIT_ROLE_AUTO,   /* inline when the probed sync is quick (<= 1 ms), a thread otherwise */
    COMMIT_ROLE_INLINE, /* whoever calls commit_drive or commit_wait */
    COMMIT_ROLE_THREAD, /* a thread of its own; never under the simulator */
};

struct commit_options {
    struct tree *tree;
    struct wal *wal;
    struct executor *executor;
    enum commit_role_policy role_policy;
    uint64_t sync_interval_ns; /* the longest an ASYNC commit waits for its sync; default 10 ms */
    uint64_t last_version;     /* the next commit gets this + 1 */
    uint64_t last_time_ms;     /* commit times never fall below it */
    uint64_t schema_version;
    bool is_follower; /* every submission gets NOT_PRIMARY, until commit_follow_end */

    /* Called by the log role after versions up to `version` were published: first for expiry and history
     * (version, time, bytes logged), then whoever feeds on the log. Must be quick. */
    void (*published)(void *context, uint64_t version, uint64_t time_unix_ms, uint64_t bytes);
    /* May be NULL. The frame and all before it are durable (ASYNC commits were published before); after
     * `published`, by the log role, in order. For whoever sends durable frames only. Must be quick. */
    void (*durable)(void *context, const struct commit_frame *frame);
    /* The log failed: nothing more will be committed by this process. Once. */
    void (*failed)(void *context, const struct polarys_error *err);
    void *context;
};

struct commit_path;

/* Errors: NO_MEMORY, IO (a thread could not be started). */
NODISCARD enum polarys_code commit_open(const struct commit_options *options,
                                        struct commit_path **out, struct polarys_error *err);
/* Refuses new commits (DRAINING), then writes and reports all that wait. Idempotent. */
void commit_drain(struct commit_path *path);
/* Drains, then frees. Accepts NULL. */
void commit_close(struct commit_path *path);

/* The policy in force: COMMIT_ROLE_INLINE or COMMIT_ROLE_THREAD. */
enum commit_role_policy commit_role_policy_get(const struct commit_path *path);

/* Queues the request. Never blocks; `done` may be called before it returns. Any thread. With the inline
 * policy somebody has to call commit_drive afterwards. */
void commit_submit(struct commit_path *path, struct commit_request *request);

/*
 * Takes the log role if it is free and does what waits, one group after another, for at most `rounds_max`
 * groups (0: until nothing waits). Returns true when work may remain. Also harmless with the thread
 * policy, where it returns false at once.
 */
bool commit_drive(struct commit_path *path, uint32_t rounds_max);

/* Submits and waits until done (with the inline policy, taking the role when it is free). The request's
 * own `done` is not used. Returns request->code. */
enum polarys_code commit_wait(struct commit_path *path, struct commit_request *request);

/* Makes every version given out so far durable and waits for it. Errors: the log's. */
NODISCARD enum polarys_code commit_sync(struct commit_path *path, struct polarys_error *err);

/* Runs `function` while holding the log role, with nothing unsynced and no group in flight: to switch the
 * memtable, to copy the log's end, to append a mark. Waits its turn. Returns what `function` returns. */
NODISCARD enum polarys_code commit_run_exclusive(
    struct commit_path *path,
    enum polarys_code (*function)(void *context, struct polarys_error *err), void *context,
    struct polarys_error *err);

/* From now on submissions get NOT_PRIMARY; returns when all that were taken before are durable, or have failed. Waits. */
void commit_stop(struct commit_path *path);
/* Takes commit_stop back. REQUIRES: not closing. */
void commit_resume(struct commit_path *path);
/* False on a follower, and while stopped. Cheap. */
bool commit_takes_writes(const struct commit_path *path);

/* ---- a follower's ---- */

bool commit_is_follower(const struct commit_path *path);
/* The frame is durable and its entries are in the tree: makes them readable. schema_version: that of the frame's
 * last change of the catalogue, which was published before; 0: none. REQUIRES: inside commit_run_exclusive. */
void commit_follow_publish(struct commit_path *path, const struct commit_frame *frame,
                           uint64_t time_unix_ms, uint64_t schema_version);
/* From now on commits are taken, above last_version. REQUIRES: inside commit_run_exclusive. */
void commit_follow_end(struct commit_path *path, uint64_t last_version);

/* Work that the role waits for has progressed (tree's room_made, disk space): try again soon. */
void commit_wake(struct commit_path *path);

/* Any thread, cheap. */
uint64_t commit_published_version(const struct commit_path *path);
uint64_t commit_durable_version(const struct commit_path *path);
uint64_t commit_schema_version(const struct commit_path *path);
/* The same, but never behind a version that was published: a catalogue of this version tells all that a snapshot taken
 * before the call can see of the schema. */
uint64_t commit_announced_schema_version(const struct commit_path *path);
/* Primary's time of the newest published commit; 0 before the first. */
uint64_t commit_published_time_ms(const struct commit_path *path);

struct commit_stats {
    uint64_t commit_count;
    uint64_t group_count;
    uint64_t conflict_count;
    uint64_t stall_count;
    uint64_t queue_commits;
    uint64_t queue_bytes;
    uint64_t logged_bytes;
    /* Powers of two of microseconds: bucket i counts syncs of [2^i, 2^(i+1)) µs. */
    uint64_t sync_us_log2[24];
    uint64_t group_size_log2[16];
};
void commit_stats_get(struct commit_path *path, struct commit_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
