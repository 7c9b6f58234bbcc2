/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching a table with libpolarys: every change as it is committed, in order (docs/watch.md).
 *
 * Threads: as in polarys.h; a watch belongs to one thread at a time.
 */
#ifndef CLIENT_POLARYS_WATCH_H
#define CLIENT_POLARYS_WATCH_H

#include "client/polarys.h"

#ifdef __cplusplus
extern "C" {
#endif

enum polarys_client_watch_kind {
    POLARYS_CLIENT_WATCH_UNKNOWN, /* made by a later server */
    POLARYS_CLIENT_WATCH_PUT,
    POLARYS_CLIENT_WATCH_DELETE,       /* or, with a filter: does not match it */
    POLARYS_CLIENT_WATCH_DELETE_RANGE, /* every document of [start, end) */
    POLARYS_CLIENT_WATCH_SNAPSHOT_PUT, /* was there when the watch began */
    POLARYS_CLIENT_WATCH_SNAPSHOT_END, /* everything that was there was given */
    POLARYS_CLIENT_WATCH_PROGRESS, /* nothing happened; everything up to the version was given */
    POLARYS_CLIENT_WATCH_TABLE_DROPPED,
};

/* What it points to is borrowed until the next call. */
struct polarys_client_watch_event {
    enum polarys_client_watch_kind kind;
    bool is_last_of_commit;
    /* key (DELETE_RANGE: the start), value of puts, version and time of the commit. Not to be freed. */
    struct polarys_client_document document;
    const void *end_key; /* DELETE_RANGE; size 0: the end of the table */
    size_t end_key_size;
};

/* Zero-initialise. */
struct polarys_client_watch_options {
    const char *database;
    const char *table;
    const void *prefix; /* of keys; size 0: all */
    size_t prefix_size;
    const char *filter;            /* docs/query.md; NULL: every document */
    uint64_t from_version;         /* changes after it; 0: from now on */
    bool with_snapshot;            /* first every document there is; from_version must be 0 */
    uint32_t progress_interval_ms; /* 0: the server's, 1 s. Below the client's timeout */
    uint32_t reconnect_ms;         /* keeps trying a vanished server for so long; 0: as calls do */
};

struct polarys_client_watch;
/*
 * Begins a watch, which goes on by itself behind a broken connection or a restart of the server: each change is
 * given once. Returns when the server has answered, so what is written afterwards is given. Copies what
 * `options` points to. Errors: NOT_FOUND, INVALID_ARGUMENT, OUT_OF_RANGE/FUTURE_VERSION, and HISTORY_PRUNED
 * (metadata "history_start").
 */
POLARYS_CLIENT_API bool polarys_client_watch_open(
    struct polarys_client *client, const struct polarys_client_watch_options *options,
    struct polarys_client_watch **out, struct polarys_client_error *err);
/*
 * Waits for the next event; a PROGRESS comes when there is none for a while. True with *has_event false is the
 * end: the table was dropped. After false only close is left.
 * Errors: RESOURCE_EXHAUSTED/WATCH_TOO_SLOW (metadata "resume_version"); UNAVAILABLE while a snapshot was given,
 * which cannot be resumed; OUT_OF_RANGE/HISTORY_PRUNED.
 */
POLARYS_CLIENT_API bool polarys_client_watch_next(struct polarys_client_watch *watch,
                                                  bool *has_event,
                                                  struct polarys_client_watch_event *event,
                                                  struct polarys_client_error *err);
/* Everything up to it was given: a later watch from it neither misses nor doubles anything. 0 before the end of
 * the snapshot. */
POLARYS_CLIENT_API uint64_t
polarys_client_watch_resume_version(const struct polarys_client_watch *watch);
/* Ends it. Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_watch_close(struct polarys_client_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
