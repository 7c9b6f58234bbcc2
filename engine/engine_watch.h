/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching a table: every change as it is committed, in order, whole commits, from any version within the
 * history window, also across restarts of the store.
 *
 * A watch reads the log, not the tree: it costs the writers nothing but what the log costs anyway. One that
 * does not keep up is cut off with the version to go on from.
 */
#ifndef ENGINE_ENGINE_WATCH_H
#define ENGINE_ENGINE_WATCH_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_WATCHES_MAX = 10000,
    POLARYS_WATCH_QUEUE_BYTES_DEFAULT = 4 << 20, /* that may wait for one watcher */
    POLARYS_WATCH_QUEUE_BYTES_MAX = 256 << 20,
    POLARYS_WATCH_PROGRESS_MS_DEFAULT = 1000,
    POLARYS_WATCH_PROGRESS_MS_MIN = 100,
    POLARYS_WATCH_SNAPSHOT_STALL_MS =
        60000, /* a snapshot of which nothing is taken for so long ends */
};

enum polarys_watch_event_kind {
    POLARYS_WATCH_PUT,          /* key, value, expiry */
    POLARYS_WATCH_DELETE,       /* key */
    POLARYS_WATCH_DELETE_RANGE, /* key: start, end_key: end (empty: the table's end) */
    POLARYS_WATCH_SNAPSHOT_PUT, /* a document of the initial snapshot; version is the document's own */
    POLARYS_WATCH_SNAPSHOT_END, /* the snapshot is whole; version is the snapshot's */
    POLARYS_WATCH_PROGRESS,     /* every change up to version was given */
    POLARYS_WATCH_TABLE_DROPPED /* with all that was in it; nothing will follow */
};

struct polarys_watch_event {
    enum polarys_watch_event_kind kind;
    uint64_t version;       /* of the commit */
    uint64_t time_unix_ms;  /* of the commit */
    bool is_last_of_commit; /* the commit's last event for this watch */
    struct polarys_slice key;
    struct polarys_slice end_key;
    struct polarys_value value; /* PUT, SNAPSHOT_PUT */
};

struct polarys_watch;

/* Zero-initialise. Everything is copied. */
struct polarys_watch_options {
    const char *database;
    const char *table;
    struct polarys_slice prefix; /* of keys; empty: all */
    /* A filter of docs/query.md. A document written that matches is given as a put, one that does not as a
     * delete, whether or not it matched before; deletes are given always. Empty: none. */
    struct polarys_slice filter;
    uint64_t from_version;    /* changes after it, not above the durable version; 0: from now on */
    bool with_snapshot;       /* first every document there is; from_version must be 0 */
    uint64_t queue_bytes_max; /* 0: the default */
    uint64_t progress_interval_ms; /* a PROGRESS when nothing was given for so long; 0: 1,000 */
};

/*
 * Begins a watch. `ready` (any thread, no lock held; must be quick, and must not close the watch) is called
 * once when there is something to take after polarys_watch_next said there was nothing. It may be NULL for who
 * asks again by himself. polarys_db_close REQUIRES that every watch is closed.
 * Errors: TABLE_NOT_FOUND, BAD_FILTER, BAD_ARGUMENT, FUTURE_VERSION, HISTORY_PRUNED (detail "history_start"),
 * TOO_MANY_CALLS, DRAINING, NO_MEMORY.
 */
POLARYS_API NODISCARD enum polarys_code polarys_watch_open(
    struct polarys_db *db, const struct polarys_watch_options *options,
    void (*ready)(void *context), void *context, struct polarys_watch **out,
    struct polarys_error *err);
/* `ready` is not called after it returns. Accepts NULL. */
POLARYS_API void polarys_watch_close(struct polarys_watch *watch);
/*
 * The next event, borrowed until the next call; *has_event false when none waits. Never blocks. One thread at a
 * time. Errors end the watch: WATCH_TOO_SLOW (detail "resume_version": open again from there; 0: the snapshot
 * was not over, begin anew), HISTORY_PRUNED (detail "history_start"), CORRUPT, TAMPERED, IO, NO_MEMORY; each
 * later call returns the same. After TABLE_DROPPED there is never an event again, and no `ready`.
 */
POLARYS_API NODISCARD enum polarys_code polarys_watch_next(struct polarys_watch *watch,
                                                           bool *has_event,
                                                           struct polarys_watch_event *event,
                                                           struct polarys_error *err);
/* Every event up to this version was given: open again from it and nothing is missed or doubled. 0 before the
 * end of the initial snapshot. The thread that calls polarys_watch_next. */
POLARYS_API uint64_t polarys_watch_resume_version(const struct polarys_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
