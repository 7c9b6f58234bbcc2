/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the frames of a log that is being appended to, from a version on, segment after segment.
 *
 * Invariant: what is handed out is the log itself, without a gap: a segment is read as far as its successor
 * says that it goes, and a successor has to name the very end that was reached. Nothing behind the end that
 * the caller gives is looked at. A segment is pinned while it is open, and only then: a tail that is paused
 * keeps no file, no memory and no disk space.
 *
 * It decides nothing about what is durable: the caller knows, and says how far to read.
 */
#ifndef ENGINE_WAL_WAL_TAIL_H
#define ENGINE_WAL_WAL_TAIL_H

#include "engine/wal/wal_reader.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Between two frames: where the next one begins and what it has to say. Zeroed: nowhere. */
struct wal_place {
    uint64_t segment_id;
    uint64_t offset; /* 0: at the segment's first frame, and nothing below counts */
    uint32_t ordinal;
    uint64_t version_min;
    uint8_t tag[AEAD_TAG_SIZE];
};

/* One thread at a time. Embedded by its owner; zeroed before init. */
struct wal_tail {
    struct wal *wal;
    struct wal_place place;

    /* While open. */
    bool is_open;
    uint64_t pin_id;
    uint64_t successor_id;     /* 0: none that is known */
    struct wal_position named; /* the end that the successor names */
    uint64_t window_limit;     /* the end when the reader's window was filled; 0: just opened */
    char path[VFS_PATH_MAX];
    struct wal_reader reader;
};

/*
 * The place from which on all commits above `version` are found: the beginning of the segment that holds
 * them. Frames wholly at or below `version` may come first. Any thread.
 * Errors: HISTORY_PRUNED (detail "history_start": the oldest version to start from).
 */
NODISCARD enum polarys_code wal_place_find(struct wal *wal, uint64_t version,
                                           struct wal_place *place, struct polarys_error *err);

/* Where the next frame will lie. REQUIRES: nobody appends, and nothing was appended to the newest segment but
 * by a follower's primary. */
void wal_place_newest(struct wal *wal, uint64_t version_min, struct wal_place *place);

/* The place behind a frame of `payload_size` bytes that ends at `end`, when `place` was the one before it. */
void wal_place_advance(struct wal_place *place, const struct wal_position *end,
                       uint64_t version_next);

void wal_tail_init(struct wal_tail *tail, struct wal *wal, const struct wal_place *place);

/*
 * The next frame that ends at or before `until`, a position that wal_append returned or wal_position_get;
 * *has_frame is false when there is none. Borrowed: valid until the next call. The tail's place is behind it.
 * Errors: HISTORY_PRUNED (the segment is gone; no detail), CORRUPT, TAMPERED (details "file", "offset"), IO,
 * NO_MEMORY. After an error the place is as it was.
 */
NODISCARD enum polarys_code wal_tail_next(struct wal_tail *tail, const struct wal_position *until,
                                          struct wal_frame *frame, bool *has_frame,
                                          struct polarys_error *err);

/* Lets go of file, memory and pin; the next call takes them again. Accepts a zeroed one. */
void wal_tail_pause(struct wal_tail *tail);

#ifdef __cplusplus
}
#endif

#endif
