/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A follower's log: the bytes that a primary sealed, written at the same place of the same segments.
 *
 * Invariant: every segment of a follower is, up to its end, byte for byte the primary's; padding, which is
 * zeros, is made again. Nothing is sealed here, so no nonce is ever used twice: what a crash tears off is
 * fetched again as it was. Only a promotion, which begins a segment of its own under a new term, makes the log
 * one that is appended to.
 *
 * The handle is the same `struct wal`: retention, pins and readers go on as they are. Between wal_follow_open
 * and wal_follow_promote, wal_append may not be called, and these functions take its place, one thread at a
 * time.
 */
#ifndef ENGINE_WAL_WAL_FOLLOW_H
#define ENGINE_WAL_WAL_FOLLOW_H

#include "engine/wal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens the log where `recovery` (of wal_recover with options->is_follower) found its end; an empty directory is
 * an empty log. options->sync_mode is for the time after a promotion. Errors: as wal_open.
 */
NODISCARD enum polarys_code wal_follow_open(const struct wal_options *options,
                                            const struct wal_recovery *recovery, struct wal **out,
                                            struct polarys_error *err);

/*
 * Begins the segment whose header block the primary sent, durably: WAL_SEGMENT_HEADER_SIZE bytes.
 * Errors: CORRUPT or TAMPERED (the block), WRONG_STORE, UNSUPPORTED_FORMAT, HISTORY_DIVERGED (it does not follow
 * where this log ends: details "segment", "offset" of the end that it names; or its term is below that of the log),
 * FOLLOWER_LACKS_KEY (detail "key_id": its data key is not in the keyring), DISK_LOW (nothing was changed), IO
 * (the log is broken).
 */
NODISCARD enum polarys_code wal_follow_segment(struct wal *wal, struct polarys_slice block,
                                               struct polarys_error *err);

/*
 * Checks the frame (header, ciphertext and tag, without padding) and writes it behind the last one, not yet
 * durably. `frame` is filled as by a reader; its payload is borrowed until the next call.
 * Errors: CORRUPT (checksum, length), TAMPERED, HISTORY_DIVERGED (it is not the frame that follows here), IO (the
 * log is broken), NO_MEMORY. Nothing is written but after IO.
 */
NODISCARD enum polarys_code wal_follow_frame(struct wal *wal, struct polarys_slice bytes,
                                             struct wal_frame *frame, struct polarys_error *err);

/*
 * Checks and opens the frame as wal_follow_frame does, and leaves the log as it is; frame->position is not filled. For
 * who wants to know what comes before it is taken in. Errors: those of wal_follow_frame but IO.
 */
NODISCARD enum polarys_code wal_follow_peek(struct wal *wal, struct polarys_slice bytes,
                                            struct wal_frame *frame, struct polarys_error *err);

/* Makes everything written durable. Any failure breaks the log. */
NODISCARD enum polarys_code wal_follow_sync(struct wal *wal, struct polarys_error *err);

/*
 * Makes the log one that is appended to: syncs it and begins a segment under `term`, which is above that of the
 * log, and `history_id`. Errors: BAD_ARGUMENT (term), and as wal_open; after them nothing may be appended, and the
 * log has to be opened again.
 */
NODISCARD enum polarys_code wal_follow_promote(struct wal *wal, uint64_t first_version,
                                               uint64_t term,
                                               const uint8_t history_id[HISTORY_ID_SIZE],
                                               struct polarys_error *err);

/* The term and history of the newest segment; term 0 before the first. The appending thread only. */
uint64_t wal_term(const struct wal *wal);
const uint8_t *wal_history_id(const struct wal *wal);
/* The smallest version that the next frame may have: a segment without frames says from which on they go. */
uint64_t wal_version_min(const struct wal *wal);

#ifdef __cplusplus
}
#endif

#endif
