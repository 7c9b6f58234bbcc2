/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following another store: a copy of it (polarys_db_checkpoint, or files fetched from it) that is opened with
 * options.is_follower, takes in the log that the primary seals, and answers reads at the primary's versions.
 *
 * A follower's log is the primary's, byte for byte. What it has applied was durable here first; readers see whole
 * commits, in order. Writes are refused with NOT_PRIMARY until it is promoted.
 *
 * Threads: the functions that take in the log are called by one thread at a time; reads go on in any.
 */
#ifndef ENGINE_ENGINE_REPLICA_H
#define ENGINE_ENGINE_REPLICA_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_LOG_TAG_SIZE = 16,
    POLARYS_LOG_SEGMENT_HEADER_SIZE = 4096,
    POLARYS_LOG_FRAME_HEADER_SIZE = 64,
    POLARYS_REPLICA_PENDING_BYTES = 4 << 20, /* taken in but not synced; more syncs by itself */
};

/* Where a frame ends: the next one begins there and chains to the tag. All zero: nothing yet. */
struct polarys_log_position {
    uint64_t segment_id;
    uint64_t offset;
    uint8_t tag[POLARYS_LOG_TAG_SIZE];
    uint64_t version; /* of the last commit before it */
};

POLARYS_API bool polarys_db_is_follower(const struct polarys_db *db);

/* The end of the log, in a follower of what was taken in; what is to be sent next begins there. */
POLARYS_API void polarys_log_position_get(struct polarys_db *db,
                                          struct polarys_log_position *position);

/*
 * As polarys_db_checkpoint, and tells where the log of the copy ends: a follower made of the copy goes on
 * from there. end->version is the version that the copy holds. Errors: those of polarys_db_checkpoint.
 */
POLARYS_API NODISCARD enum polarys_code polarys_db_checkpoint_log(struct polarys_db *db,
                                                                  const char *dir,
                                                                  struct polarys_log_position *end,
                                                                  struct polarys_error *err);

/*
 * Takes in a segment's header block, then the frames of the segment in order, each without its padding.
 * Neither durable nor readable until polarys_replica_sync.
 * Errors: CORRUPT, TAMPERED, WRONG_STORE, UNSUPPORTED_FORMAT, HISTORY_DIVERGED (it does not follow here),
 * FOLLOWER_LACKS_KEY, DISK_LOW, NO_MEMORY: nothing was changed; IO: the log is broken; BAD_ARGUMENT: this is
 * no follower.
 */
POLARYS_API NODISCARD enum polarys_code polarys_replica_segment(struct polarys_db *db,
                                                                struct polarys_slice header,
                                                                struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_replica_frame(struct polarys_db *db,
                                                              struct polarys_slice frame,
                                                              struct polarys_error *err);
/* Makes what was taken in durable, then readable. `durable` (may be NULL) is the end of it. Waits for
 * flushes where memory is short. Errors: IO, NO_MEMORY, CORRUPT (what is in a frame makes no sense), those of the tree. */
POLARYS_API NODISCARD enum polarys_code polarys_replica_sync(struct polarys_db *db,
                                                             struct polarys_log_position *durable,
                                                             struct polarys_error *err);

/*
 * Makes the follower a primary of `term`, which has to be above that of its log (0: the next one): a new history
 * begins 2^32 versions on for each term that is passed (65,536 at most). The caller sees to it that no other primary goes on. Errors: BAD_ARGUMENT, IO, DISK_LOW,
 * those of polarys_replica_sync; after IO the store has to be opened again.
 */
POLARYS_API NODISCARD enum polarys_code polarys_replica_promote(struct polarys_db *db,
                                                                uint64_t term,
                                                                struct polarys_error *err);

/*
 * Ends writing on a primary without closing it: every write is refused with NOT_PRIMARY from now on, and from the return on
 * nothing is added to the log, whose end is durable. Reads and tails go on. Waits. Errors: the log's, when what was written
 * could not be made durable; writes are refused all the same.
 */
POLARYS_API NODISCARD enum polarys_code polarys_writes_stop(struct polarys_db *db,
                                                            struct polarys_error *err);
/* Takes that back. REQUIRES: stopped, by one thread. */
POLARYS_API void polarys_writes_resume(struct polarys_db *db);

#ifdef __cplusplus
}
#endif

#endif
