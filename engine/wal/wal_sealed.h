/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the sealed bytes of a log that is being appended to, as they lie in its segments: for those who keep
 * the same log elsewhere (wal_follow.h).
 *
 * Invariant: what is handed out is the log itself, without a gap, checked by checksum and chain. Nothing is
 * opened: whoever takes it authenticates it. Memory is one part, however large a frame is. A segment is pinned
 * while it is open, and only then.
 *
 * It decides nothing about what is durable: the caller knows, and says how far to read.
 */
#ifndef ENGINE_WAL_WAL_SEALED_H
#define ENGINE_WAL_WAL_SEALED_H

#include "engine/wal/wal_format.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WAL_SEALED_PART_BYTES_MAX = 1 << 20 };

/* A segment's header block, or a frame without its padding, or a part of a large frame. */
struct wal_sealed_part {
    uint64_t segment_id;
    uint64_t offset;            /* of the frame in its segment; 0: the header */
    struct polarys_slice bytes; /* borrowed: valid until the next call */
    bool is_continued;          /* the frame goes on in the next part */
};

/* A frame of which a part was handed out. */
struct wal_sealed_frame {
    uint64_t size; /* without padding; 0: none is under way */
    uint64_t done;
    uint32_t crc_named;
    uint32_t crc;
    uint64_t last_version;
    uint8_t tag[AEAD_TAG_SIZE];
};

/* One thread at a time. Embedded by its owner; zeroed before open. */
struct wal_sealed {
    struct wal *wal;
    struct wal_position at; /* behind what was handed out; segment 0: before the first header */
    uint64_t version;       /* of the last commit before `at` */
    struct wal_sealed_frame frame;

    /* While open. */
    struct vfs_file *file;
    uint64_t pin_id;
    struct wal_header header;
    uint64_t successor_id;     /* 0: none that is known */
    struct wal_position named; /* the end that the successor names */
    uint64_t version_behind;   /* the successor holds nothing at or below it */

    uint8_t *window; /* bytes [window_start, +window_size) of the file */
    uint64_t window_start;
    size_t window_size;
};

/*
 * Begins at `from`, which is looked up in the log: all zero is the beginning of the store. `until` is the durable
 * end, `until_version` the last version before it. sealed->version is what the log says.
 * Errors: LOG_PRUNED (detail "earliest_segment"), HISTORY_DIVERGED (no frame that ends at `from` with its tag; the
 * details "segment" and "offset" are this log's end of that segment and "common_version" the last version before it, when
 * `from` lies beyond), CORRUPT, IO, NO_MEMORY.
 */
NODISCARD enum polarys_code wal_sealed_open(struct wal_sealed *sealed, struct wal *wal,
                                            const struct wal_position *from,
                                            const struct wal_position *until,
                                            uint64_t until_version, struct polarys_error *err);

/*
 * The next part of what ends at or before `until`; *has_part is false when there is none.
 * Errors: LOG_PRUNED (the segment is gone; detail "earliest_segment"), CORRUPT (details "file", "offset"), IO,
 * NO_MEMORY. After an error the same part is tried again.
 */
NODISCARD enum polarys_code wal_sealed_next(struct wal_sealed *sealed,
                                            const struct wal_position *until,
                                            struct wal_sealed_part *part, bool *has_part,
                                            struct polarys_error *err);

/* Lets go of file, memory and pin; the next call takes them again. Accepts a zeroed one. */
void wal_sealed_pause(struct wal_sealed *sealed);

#ifdef __cplusplus
}
#endif

#endif
