/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-ahead log: segments of chained, sealed frames (docs/formats/wal.md).
 *
 * Invariant: a frame is durable when wal_append returns, and after a crash the log is a prefix of what
 * was appended, ending at a frame, holding at least every frame whose append returned. Segments are
 * pre-written and recycled in place, never hard-linked, never written on again after a reopen.
 *
 * This module knows frames, not what is in them: the payload is a LogBatch that commit/ makes and reads.
 */
#ifndef ENGINE_WAL_WAL_H
#define ENGINE_WAL_WAL_H

#include "engine/base/buffer.h"
#include "engine/base/executor.h"
#include "engine/base/random.h"
#include "engine/crypto/keyring.h"
#include "engine/vfs/vfs.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WAL_FORMAT_VERSION = 1,
    HISTORY_ID_SIZE = 16,
    WAL_FRAME_HEADER_SIZE = 64,
    WAL_SEGMENT_HEADER_SIZE = 4096,
    WAL_SEGMENT_BYTES_MIN = 1 << 20,
    WAL_SEGMENT_BYTES_DEFAULT = 64 << 20,
    WAL_SEGMENT_BYTES_MAX = 1 << 30,
    WAL_FRAME_PAYLOAD_MAX = 64 << 20, /* bytes of plaintext in one frame */
    WAL_SPARE_SEGMENTS_MIN = 2,       /* recycled segments that are kept at least */
    WAL_SPARE_SEGMENTS_MAX = 8,       /* and at most, however many one burst has used */
    WAL_SEGMENTS_MAX = 1 << 16,       /* segments of one log */
    WAL_PINS_MAX =
        64, /* pins counted one by one; any further ones share the lowest place of them all */
};

enum wal_sync_mode {
    WAL_SYNC_AUTO,      /* probed at open: whichever of the others is fastest here */
    WAL_SYNC_FDATASYNC, /* write, then fdatasync */
    WAL_SYNC_DSYNC,     /* O_DSYNC */
    WAL_SYNC_DIRECT,    /* O_DSYNC and O_DIRECT */
};

/* Where a frame ends: the next frame begins at the offset, and chains to the tag. */
struct wal_position {
    uint64_t segment_id;
    uint64_t offset;
    uint8_t tag[AEAD_TAG_SIZE];
};

struct wal_options {
    struct vfs *vfs;
    const char *dir; /* the log's own directory; copied */
    struct keyring *keyring;
    struct random_source *random;
    struct executor *executor; /* segments are prepared there */
    uint64_t segment_bytes;    /* frames larger than this get a segment of their own size */
    enum wal_sync_mode sync_mode;
    uint64_t keep_bytes; /* pruned segments are kept while the log is below this */
    /*
     * The log is a follower's (wal_follow.h): what it holds was durable elsewhere, so nothing in it says that it
     * was durable here. It ends at its first bad place; that is damage only below `follower_durable`, the end that
     * this node is known to have had on stable storage (all zero: none is known).
     */
    bool is_follower;
    struct wal_position follower_durable;
};

/* What a segment says about itself, and what recovery found in it. */
struct wal_segment_info {
    uint64_t segment_id;
    uint64_t first_version;
    uint64_t term;
    uint8_t history_id[HISTORY_ID_SIZE];
    uint32_t key_id;
    uint64_t valid_bytes; /* end of its last good frame */
};

/* One frame as recovery or a reader hands it out. Borrowed: valid during the callback. */
struct wal_frame {
    uint64_t first_version;
    uint32_t commit_count;
    uint32_t flags;
    struct wal_position position; /* of its end */
    uint64_t offset;              /* of its start */
    struct polarys_slice payload; /* plaintext */
    const struct wal_segment_info *segment;
};

/* Ends the walk when it returns anything but POLARYS_OK, which the walk then returns. */
struct wal_visitor {
    enum polarys_code (*frame)(void *context, const struct wal_frame *frame,
                               struct polarys_error *err);
    void *context;
};

/* What recovery found. */
struct wal_recovery {
    uint64_t segment_count;
    uint64_t frame_count;
    uint64_t last_version;  /* of the last good frame that was read; 0 when none was */
    uint64_t term;          /* of the newest segment; 0 when there is none */
    uint64_t first_version; /* from which on its frames go; 0 when there is none */
    uint8_t history_id[HISTORY_ID_SIZE];
    struct wal_position end;
    uint32_t ordinal_next; /* of a frame at `end` */
    uint64_t torn_bytes;   /* bytes of a torn frame that were dropped; one log line says so */
};

struct wal;

/*
 * Reads the log from the segment that holds `from_version` (exclusive: frames wholly at or below it are
 * skipped without being opened where a whole segment can be) to its end, calling the visitor for each
 * frame in order. Writes nothing; safe to run again after a crash at any point. The directory must exist;
 * an empty one is an empty log. A segment is read as far as its successor's header says that it goes.
 *
 * Errors: CORRUPT (details "file": its name in the directory, "offset") when damage lies where evidence
 * shows the log had been synced, or when a segment is missing in the middle; TAMPERED (same details) when
 * bytes that are whole by their checksum do not authenticate; WRONG_STORE; UNSUPPORTED_FORMAT; IO;
 * FILE_NOT_FOUND; those of the visitor.
 */
NODISCARD enum polarys_code wal_recover(const struct wal_options *options, uint64_t from_version,
                                        const struct wal_visitor *visitor,
                                        struct wal_recovery *recovery, struct polarys_error *err);

/*
 * True when the log ends exactly at `position`: no frame follows and no later segment exists. Used to
 * trust a clean-close mark without reading the log.
 */
NODISCARD enum polarys_code wal_ends_at(const struct wal_options *options,
                                        const struct wal_position *position, bool *ends_here,
                                        struct polarys_error *err);

/*
 * Opens the log for appending: opens a new segment after `end` (of wal_recover or of a clean-close mark;
 * all zero for a new store), durably, and starts preparing spares. Makes the directory if it is missing.
 * Existing segments are listed for retention. `end` must lie in the newest segment: frames behind it are
 * cut off for good, for the new segment's header says where its predecessor ends.
 * Errors: IO, DISK_LOW, NO_MEMORY, BAD_ARGUMENT (segment_bytes out of range), BUG (`end` is not in the
 * newest segment).
 */
NODISCARD enum polarys_code wal_open(const struct wal_options *options,
                                     const struct wal_position *end, uint64_t first_version,
                                     uint64_t term, const uint8_t history_id[HISTORY_ID_SIZE],
                                     struct wal **out, struct polarys_error *err);
/* Waits for segment preparation, closes the files; syncs nothing (every append already has). Accepts
 * NULL. */
void wal_close(struct wal *wal);

/*
 * Seals the pieces (one LogBatch between them) as one frame and makes it durable. One thread at a time
 * (the holder of the log role). Opens the next segment when the frame does not fit.
 *
 * Errors: DISK_LOW when no segment can be had; nothing was written and the same versions may be appended
 * later. WAL_FRAME_PAYLOAD_MAX exceeded is BUG. Anything else: the log is broken, every later append
 * fails with the same error, and the process has to recover from what is on disk.
 */
NODISCARD enum polarys_code wal_append(struct wal *wal, uint64_t first_version,
                                       uint32_t commit_count, const struct polarys_slice *pieces,
                                       size_t piece_count, struct wal_position *end,
                                       struct polarys_error *err);

/*
 * False when a frame of `payload_size` bytes would need disk space that was refused a moment ago. A call
 * that finds the disk still low asks for space again in the background. Any thread.
 */
bool wal_has_room(struct wal *wal, size_t payload_size);

/* The end of the log. Any thread. */
void wal_position_get(struct wal *wal, struct wal_position *end);

/*
 * Lets go of segments whose versions are all at or below `version`, beyond keep_bytes and not pinned: they
 * become spares, as many as recent bursts of writes have used, and are removed beyond that. Any thread;
 * runs its input and output in the caller.
 */
enum polarys_code wal_prune(struct wal *wal, uint64_t version, struct polarys_error *err);
/* The same, but never so far that less than `keep_bytes` of log would be left. */
enum polarys_code wal_prune_beyond(struct wal *wal, uint64_t version, uint64_t keep_bytes,
                                   struct polarys_error *err);

/*
 * Keeps every segment from `segment_id` on from being recycled until unpinned; whoever reads segments of
 * an open log by their names needs this, for a recycled file is written on. Any thread; waits, briefly,
 * while such a segment is just being let go of. Segments that were pruned before stay gone: compare with
 * oldest_segment_id of wal_stats_get afterwards.
 */
void wal_pin(struct wal *wal, uint64_t segment_id, uint64_t *pin_id);
void wal_unpin(struct wal *wal, uint64_t pin_id);

enum wal_keeper { WAL_KEEPER_SLOTS, WAL_KEEPER_CALLER, WAL_KEEPERS };

/*
 * Keeps every segment from `segment_id` on, beside the pins, until the keeper calls again; 0: none. It does not wait
 * for one that is just being let go of: a pin afterwards tells. Any thread.
 */
void wal_keep_from(struct wal *wal, enum wal_keeper keeper, uint64_t segment_id);
/* Bytes of log between two positions, headers and padding included; segments that are gone count nothing.
 * Any thread. */
uint64_t wal_bytes_between(struct wal *wal, const struct wal_position *from,
                           const struct wal_position *to);

struct wal_stats {
    uint64_t segment_count;
    uint64_t bytes; /* of the segments in use, padding included */
    uint64_t spare_count;
    uint64_t append_count;
    uint64_t payload_bytes;
    uint64_t written_bytes;  /* frames, padding included */
    uint64_t zeroed_bytes;   /* written ahead of use, where no segment could be recycled */
    uint64_t recycled_count; /* segments that became spares */
    uint64_t sync_ns_total;
    uint64_t sync_ns_max;
    uint64_t oldest_segment_id;
    enum wal_sync_mode sync_mode; /* as probed */
    uint64_t probed_sync_ns;      /* median of the probe's 4 KiB writes */
};
void wal_stats_get(struct wal *wal, struct wal_stats *stats);

/*
 * Walks one segment file for people (log inspection, salvage): calls the visitor for each good frame, and
 * says in `info` how far it is good. With `keyring` NULL frames are checked by CRC and chain only and
 * come with an empty payload. Errors: CORRUPT (file header unreadable), TAMPERED, IO.
 */
NODISCARD enum polarys_code wal_inspect_file(struct vfs *vfs, const char *path,
                                             struct keyring *keyring,
                                             const struct wal_visitor *visitor,
                                             struct wal_segment_info *info,
                                             struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
