/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open log, as the files of this module share it.
 *
 * Threads: the holder of the log role appends; the executor prepares spares; anyone prunes, pins and
 * asks. The mutex is never held over input or output.
 */
#ifndef ENGINE_WAL_WAL_INTERNAL_H
#define ENGINE_WAL_WAL_INTERNAL_H

#include "engine/base/mutex.h"
#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WAL_QUICK_BYTES = 4 << 20,         /* a segment made in place, because no spare was ready */
    WAL_PREPARE_CHUNK_BYTES = 1 << 20, /* zeros are written in pieces of this size */
    WAL_PREPARE_SYNC_BYTES = 4 << 20,  /* and synced this often: appends share the disk */
    WAL_BUFFER_KEEP_BYTES = 4 << 20,   /* a larger frame's buffer is given back */
    /* Zeros for the next segment are written when this part of the current one is used. */
    WAL_PREPARE_DIVISOR = 2,
    WAL_CALM_PRUNES = 8, /* prunes that used fewer spares, after which one fewer is kept */
};

/* A segment file in use. Guarded by wal.mutex. */
struct wal_segment {
    uint64_t segment_id;
    uint64_t first_version;
    uint64_t last_version; /* 0 when not known: written before this open, or nothing in it yet */
    uint64_t file_bytes;
    uint64_t valid_bytes; /* to the end of its last frame; 0: it is the one being written */
};

struct wal_pin {
    uint64_t pin_id; /* 0: the place is free */
    uint64_t segment_id;
};

/* A file with zeros or stale bytes in it, about to become a segment. */
struct wal_raw_file {
    char name[VFS_NAME_MAX];
    uint64_t file_bytes;
};

struct wal {
    /* Immutable after open. */
    struct wal_options options; /* options.dir is `dir` */
    char *dir;
    uint64_t term;
    uint8_t history_id[HISTORY_ID_SIZE];
    enum wal_sync_mode sync_mode;
    uint64_t probed_sync_ns;

    /* Of the thread that appends. */
    struct vfs_file *file;
    struct aead_key key;
    uint32_t ordinal_next;
    uint64_t version_min; /* of the next frame; a follower's only */
    uint8_t *payload;     /* the last frame in plain; a follower's only */
    size_t payload_capacity;
    uint8_t *buffer; /* VFS_ALIGNMENT-aligned */
    size_t buffer_size;

    struct mutex mutex;
    struct condition prepared; /* is_preparing became false */
    /* Guarded by mutex. */
    struct wal_position end;
    uint64_t end_file_bytes; /* of the segment that `end` is in */
    bool is_broken;
    struct polarys_error broken_error;
    struct wal_segment *segments; /* oldest first; the last one is being written */
    size_t segment_count;
    size_t segment_capacity;
    uint64_t spare_ids[WAL_SPARE_SEGMENTS_MAX]; /* the next one to be used first */
    uint32_t spare_count;
    uint64_t spare_id_next;
    uint32_t begun_count; /* segments begun since a prune last let one go */
    uint32_t burst_count; /* the most of them, of late */
    uint32_t calm_count;  /* prunes since that saw fewer */
    bool is_preparing;
    bool is_closing;
    bool is_disk_low;        /* the last try to get space failed */
    uint64_t disk_low_at_ns; /* when; monotonic */
    bool is_pruning;
    uint64_t retiring_segment_id; /* its name is being taken away; 0: none */
    struct condition retired;     /* it became 0 */
    struct wal_pin pins[WAL_PINS_MAX];
    uint64_t pin_id_next;
    uint64_t shared_pin_count;              /* pins that found no place of their own */
    uint64_t shared_pin_segment_id;         /* the lowest of theirs */
    uint64_t keep_segment_ids[WAL_KEEPERS]; /* segments from here on stay; 0: none */
    struct wal_stats stats;                 /* counters only */

    struct task prepare_task;
};

/* Names found in a log directory; ids ascend. */
struct wal_listing {
    uint64_t *segment_ids;
    size_t segment_count;
    uint64_t *spare_ids;
    size_t spare_count;
    uint64_t *making_ids;
    size_t making_count;
};

/* wal_directory.c. Errors: IO, NO_MEMORY, FILE_NOT_FOUND, TOO_LARGE past WAL_SEGMENTS_MAX. */
NODISCARD enum polarys_code wal_listing_read(struct vfs *vfs, const char *dir,
                                             struct wal_listing *listing,
                                             struct polarys_error *err);
/* Accepts a zeroed listing. */
void wal_listing_deinit(struct wal_listing *listing);
/* Reads and decodes a header without authenticating it, and checks that it is that of `segment_id`.
 * Errors: CORRUPT, UNSUPPORTED_FORMAT (details "file", "offset"), IO. */
NODISCARD enum polarys_code wal_header_read(struct vfs *vfs, const char *dir, uint64_t segment_id,
                                            struct wal_header *header, uint64_t *file_bytes,
                                            struct polarys_error *err);
/* Sets the details "file" and "offset" of an error. */
void wal_error_place(struct polarys_error *err, uint64_t segment_id, uint64_t offset);

/* wal_open.c */

/* A handle without files. Errors: BAD_ARGUMENT, NO_MEMORY. */
NODISCARD enum polarys_code wal_alloc(const struct wal_options *options, struct wal **out,
                                      struct polarys_error *err);
/* Makes the directory if it is missing. */
NODISCARD enum polarys_code wal_dir_make(struct wal *wal, struct polarys_error *err);
/* Lists the directory, takes over its spares, and checks that the log ends where the caller says. */
NODISCARD enum polarys_code wal_state_load(struct wal *wal, const struct wal_position *end,
                                           struct polarys_error *err);

/* wal_tail.c. False when the segment is not in the log any more. *successor_id is 0 when it is the newest. */
bool wal_segment_find(struct wal *wal, uint64_t segment_id, uint64_t *successor_id);

/* wal_append.c */

/* Records the failure in `err` as the one that every later append gets. */
enum polarys_code wal_break(struct wal *wal, enum polarys_code code, struct polarys_error *err);

/* wal_segment.c */

/* Makes room in wal->buffer. Errors: NO_MEMORY. */
NODISCARD enum polarys_code wal_buffer_reserve(struct wal *wal, size_t size,
                                               struct polarys_error *err);
/* A file for a segment of at least `bytes_min`: a spare, or one made on the spot.
 * Errors: DISK_LOW, IO, NO_MEMORY. */
NODISCARD enum polarys_code wal_raw_file_take(struct wal *wal, uint64_t bytes_min,
                                              struct wal_raw_file *raw, struct polarys_error *err);
/*
 * Turns the raw file into the segment that follows wal->end and makes it the one that is written.
 * `*is_harmless` says that a failure left the log as it was.
 */
NODISCARD enum polarys_code wal_segment_begin(struct wal *wal, const struct wal_raw_file *raw,
                                              uint64_t first_version, bool *is_harmless,
                                              struct polarys_error *err);
/*
 * The part of it after the header was sealed: `header` as it stands in wal->buffer, and its key, which is
 * copied.
 */
NODISCARD enum polarys_code wal_segment_place(struct wal *wal, const struct wal_raw_file *raw,
                                              const struct wal_header *header,
                                              const struct aead_key *key, bool *is_harmless,
                                              struct polarys_error *err);
/* Flags with which a segment is opened for writing in a mode. */
unsigned wal_sync_mode_flags(enum wal_sync_mode mode);

/* wal_spare.c */

/* Writes `bytes` zeros into the new file making-`spare_id`, and syncs it. Removes it on failure. */
NODISCARD enum polarys_code wal_zeros_write(struct wal *wal, uint64_t spare_id, uint64_t bytes,
                                            struct polarys_error *err);
/* Starts preparing a spare in the background if the next segment would find none. */
void wal_prepare_start(struct wal *wal);
/* True when zeros for the next segment should be written now. REQUIRES: mutex. */
bool wal_prepare_is_due_locked(const struct wal *wal);
/* Removes the spares beyond those that are kept. REQUIRES: is_pruning is the caller's. */
void wal_spares_trim(struct wal *wal);
/* How many spares are kept. REQUIRES: mutex. */
uint32_t wal_spares_kept_locked(const struct wal *wal);
/* A prune lets segments go: what the writes since the last one say about the next burst.
 * REQUIRES: mutex. */
void wal_spares_measure_locked(struct wal *wal);
/* Waits until nothing is being prepared, and keeps it so. */
void wal_prepare_stop(struct wal *wal);
/* Takes over the spares that an earlier run left, and removes what cannot be used. */
NODISCARD enum polarys_code wal_spares_adopt(struct wal *wal, const struct wal_listing *listing,
                                             struct polarys_error *err);

/* Removes a spare that nobody wants; a failure is logged, and the next open tries again. */
void wal_spare_remove(struct wal *wal, uint64_t spare_id);

/* wal_probe.c. Chooses wal->sync_mode by writing zeros into the raw file's body. */
NODISCARD enum polarys_code wal_probe(struct wal *wal, const struct wal_raw_file *raw,
                                      struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
