/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed log outside a store, for archives: what its bytes say without a key, and ending a restore at any
 * version.
 *
 * What is read without a key is checked by checksum and chain only; polarys_replica_segment and
 * polarys_replica_frame authenticate it. All but the last two functions are pure.
 */
#ifndef ENGINE_ENGINE_RESTORE_H
#define ENGINE_ENGINE_RESTORE_H

#include "engine/engine_replica.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { POLARYS_MASTER_KEY_ID_SIZE = 17 }; /* 16 hex digits and a NUL */

/* What the header block of a log segment says. */
struct polarys_log_segment {
    uint8_t store_id[POLARYS_ID_SIZE];
    uint8_t history_id[POLARYS_ID_SIZE];
    uint64_t segment_id;
    uint64_t term;
    uint64_t first_version;
    uint32_t key_id;                   /* of its data key */
    uint8_t tag[POLARYS_LOG_TAG_SIZE]; /* the first frame is chained to it */
    struct polarys_log_position
        predecessor; /* where the log ended before, without version; all zero: nowhere */
};

/* What a frame's header says. */
struct polarys_log_frame {
    uint64_t segment_id;
    uint64_t first_version;
    uint32_t commit_count;
    size_t size;          /* without padding */
    uint64_t stored_size; /* in the segment, padding included */
    uint8_t previous_tag[POLARYS_LOG_TAG_SIZE];
    uint8_t tag[POLARYS_LOG_TAG_SIZE];
};

/* `block` is POLARYS_LOG_SEGMENT_HEADER_SIZE bytes. Errors: CORRUPT, UNSUPPORTED_FORMAT. */
POLARYS_API NODISCARD enum polarys_code polarys_log_segment_read(
    struct polarys_slice block, struct polarys_log_segment *segment, struct polarys_error *err);
/*
 * The frame at the beginning of `bytes`, more of which may follow. Errors: CORRUPT (no whole frame of the
 * segment, or its checksum is wrong).
 */
POLARYS_API NODISCARD enum polarys_code polarys_log_frame_read(struct polarys_slice bytes,
                                                               uint64_t segment_id,
                                                               struct polarys_log_frame *frame,
                                                               struct polarys_error *err);

/* What a keyring says without a master key. */
struct polarys_keyring_summary {
    uint8_t store_id[POLARYS_ID_SIZE];
    char master_key_id[POLARYS_MASTER_KEY_ID_SIZE];
    uint64_t generation; /* how often it has been written */
    uint32_t key_count;
};

/* Errors: CORRUPT, UNSUPPORTED_FORMAT. */
POLARYS_API NODISCARD enum polarys_code polarys_keyring_read(
    struct polarys_slice bytes, struct polarys_keyring_summary *summary, struct polarys_error *err);
/* REQUIRES: polarys_keyring_read takes the bytes. */
POLARYS_API bool polarys_keyring_has(struct polarys_slice bytes, uint32_t key_id);
/* The id of the master key in a file. Errors: FILE_NOT_FOUND, BAD_ARGUMENT, IO. */
POLARYS_API NODISCARD enum polarys_code polarys_master_key_id(const char *path,
                                                              char id[POLARYS_MASTER_KEY_ID_SIZE],
                                                              struct polarys_error *err);

/*
 * Opens the next frame of a follower's log and tells the time of its commits, which all have the same; the log is
 * left as it is. Errors: those of polarys_replica_frame but IO.
 */
POLARYS_API NODISCARD enum polarys_code polarys_restore_time(struct polarys_db *db,
                                                             struct polarys_slice frame,
                                                             uint64_t *time_unix_ms,
                                                             struct polarys_error *err);

/* The time of the newest commit that can be read, at most 100 ms early; 0: not known. */
POLARYS_API uint64_t polarys_restore_newest_time(struct polarys_db *db);

/*
 * Takes in the commits of the next frame up to and with `version`, one of them, and promotes the follower to `term` (0: the
 * next one) as polarys_replica_promote does: for a restore that ends within a frame. Those commits keep
 * their versions; they are in the log of the new term, in a frame of their own, and a crash in the middle leaves a
 * store that is to be thrown away. Errors: BAD_ARGUMENT (the version is not in the frame), those of
 * polarys_replica_frame and polarys_replica_promote.
 */
POLARYS_API NODISCARD enum polarys_code polarys_restore_promote_within(struct polarys_db *db,
                                                                       struct polarys_slice frame,
                                                                       uint64_t version,
                                                                       uint64_t term,
                                                                       struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
