/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable log of a store as it is sealed, for replicas and archives: reading it from a position on, waiting for
 * more, and keeping it.
 *
 * What a reader gives, put together again, is what polarys_replica_segment and polarys_replica_frame
 * (engine_replica.h) take. A follower can be read from as its primary can. Nothing here needs the key: who takes the
 * bytes authenticates them.
 */
#ifndef ENGINE_ENGINE_LOG_H
#define ENGINE_ENGINE_LOG_H

#include "engine/engine_replica.h"
#include "engine/engine_watch.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_LOG_PART_BYTES_MAX = 1 << 20,
    POLARYS_KEYRING_BYTES_MAX = 16 << 20,
};

/* A segment's header block, a frame without its padding, or a part of a large frame. */
struct polarys_log_part {
    uint64_t segment_id;
    uint64_t offset;            /* of the frame in its segment; 0: the header block */
    struct polarys_slice bytes; /* borrowed: valid until the reader's next call */
    bool is_continued;          /* the frame goes on in the next part */
};

/* One thread at a time uses a reader. */
struct polarys_log_reader;

/*
 * Begins at `from`, where a frame of this log has to end; all zero is the beginning of the store. Reads files.
 * Errors: LOG_PRUNED (detail "earliest_segment"); HISTORY_DIVERGED (this log never ended there: details "segment"
 * and "offset" are where it ends in that segment, "common_version", where it is known, the last commit before);
 * TOO_MANY_CALLS, CORRUPT, IO, NO_MEMORY, DRAINING.
 */
POLARYS_API NODISCARD enum polarys_code polarys_log_reader_open(
    struct polarys_db *db, const struct polarys_log_position *from, struct polarys_log_reader **out,
    struct polarys_error *err);
/* REQUIRES before polarys_db_close. The callback of a wait is not under way any more when it returns. Accepts NULL. */
POLARYS_API void polarys_log_reader_close(struct polarys_log_reader *reader);

/*
 * The next part of what is durable; *has_part is false at the durable end. Reads files.
 * Errors: LOG_PRUNED (detail "earliest_segment"), CORRUPT (details "file", "offset"), IO, NO_MEMORY; the same part
 * is tried again by the next call.
 */
POLARYS_API NODISCARD enum polarys_code polarys_log_reader_next(struct polarys_log_reader *reader,
                                                                struct polarys_log_part *part,
                                                                bool *has_part,
                                                                struct polarys_error *err);
/* Behind the last frame that was given whole. */
POLARYS_API void polarys_log_reader_position(const struct polarys_log_reader *reader,
                                             struct polarys_log_position *position);
/* Lets go of file, memory and the hold on the segment until the next call. */
POLARYS_API void polarys_log_reader_pause(struct polarys_log_reader *reader);
/*
 * Calls `ready` once, from a thread of the store, when there is more than the last polarys_log_reader_next saw. False,
 * without arming anything, when there is already. REQUIRES: that call said there was nothing; not armed.
 */
POLARYS_API bool polarys_log_reader_wait(struct polarys_log_reader *reader,
                                         void (*ready)(void *context), void *context);

/* The end of what is durable and can be read. Cheap. */
POLARYS_API void polarys_log_durable_position(struct polarys_db *db,
                                              struct polarys_log_position *position);
/* Id of the oldest segment that is kept; 0 in a follower without log. Cheap. */
POLARYS_API uint64_t polarys_log_earliest_segment(struct polarys_db *db);
/* Bytes of log between two positions, padding included; what is gone counts nothing. Cheap. */
POLARYS_API uint64_t polarys_log_bytes_between(struct polarys_db *db,
                                               const struct polarys_log_position *from,
                                               const struct polarys_log_position *to);
/*
 * Keeps the segments from `segment_id` on until called again, beside the slots (engine_slots.h); 0: none more than those
 * and the store need. What was let go of
 * before stays gone: compare with polarys_log_earliest_segment afterwards.
 */
POLARYS_API void polarys_log_keep_from(struct polarys_db *db, uint64_t segment_id);

/* ---- the log in plain, for change capture ---- */

/* A commit; what it changed is in it. Borrowed: valid until the next call. */
struct polarys_log_commit {
    uint64_t version;
    uint64_t time_unix_ms;
    size_t change_count; /* 0: it changed nothing but internal records */
};

struct polarys_log_change {
    const char *database;
    const char *table;
    enum polarys_watch_event_kind kind; /* PUT, DELETE, DELETE_RANGE or TABLE_DROPPED */
    struct polarys_slice key;           /* DELETE_RANGE: its start */
    struct polarys_slice end_key;       /* DELETE_RANGE: empty: the end of the table */
    struct polarys_value value;         /* PUT */
};

/* One thread at a time uses it. */
struct polarys_log_changes;

/*
 * The durable commits above `version`, in order. Names are those of the time of the commit, as far as the history goes; what
 * was changed in a table that was dropped, and whose name the history no longer has, is left out.
 * Errors: LOG_PRUNED (detail "earliest_segment"), TOO_MANY_CALLS, NO_MEMORY, DRAINING.
 */
POLARYS_API NODISCARD enum polarys_code polarys_log_changes_open(struct polarys_db *db,
                                                                 uint64_t version,
                                                                 struct polarys_log_changes **out,
                                                                 struct polarys_error *err);
/* REQUIRES before polarys_db_close. Accepts NULL. */
POLARYS_API void polarys_log_changes_close(struct polarys_log_changes *changes);
/* The next commit; *has_commit is false at the durable end. Reads files. After an error the next call tries the same
 * commit again. Errors: LOG_PRUNED, CORRUPT, TAMPERED (details "file", "offset"), IO, NO_MEMORY. */
POLARYS_API NODISCARD enum polarys_code polarys_log_changes_next(
    struct polarys_log_changes *changes, struct polarys_log_commit *commit, bool *has_commit,
    struct polarys_error *err);
/* REQUIRES: index < change_count of the commit that was given last. */
POLARYS_API void polarys_log_changes_get(const struct polarys_log_changes *changes, size_t index,
                                         struct polarys_log_change *change);
/* As with a reader of the sealed log. */
POLARYS_API void polarys_log_changes_pause(struct polarys_log_changes *changes);
POLARYS_API bool polarys_log_changes_wait(struct polarys_log_changes *changes,
                                          void (*ready)(void *context), void *context);

/* The keyring as it is on disk, its data keys wrapped; the caller frees *bytes. Reads a file.
 * Errors: IO, NO_MEMORY. */
POLARYS_API NODISCARD enum polarys_code polarys_db_keyring(struct polarys_db *db, uint8_t **bytes,
                                                           size_t *size, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
