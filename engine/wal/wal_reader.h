/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one segment file from its header to the end of its good frames.
 *
 * The reader tells three things apart: a frame; a place where no whole frame of this segment is (the end
 * of the log, a torn tail, or damage: the caller judges by what else it knows); and bytes that are whole
 * by their checksum and yet wrong, which is an error at once.
 */
#ifndef ENGINE_WAL_WAL_READER_H
#define ENGINE_WAL_WAL_READER_H

#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WAL_READ_CHUNK_BYTES = 1 << 20 };

/* One thread at a time. Embedded by its owner; zeroed before open. */
struct wal_reader {
    struct vfs_file *file;
    const char *path; /* borrowed */
    uint64_t file_bytes;
    struct wal_header header;
    struct aead_key key;
    bool is_lenient; /* salvage: a bad place behind a frame must not hide it; set before open */
    bool has_key;    /* without one, frames are checked by checksum and chain only */
    struct wal_segment_info info;

    /* The place of the next frame and what it must say. */
    uint64_t offset;
    uint64_t ordinal;
    uint8_t tag[AEAD_TAG_SIZE];
    uint64_t version_min;
    uint64_t
        torn_bytes;  /* at the place that ended the walk; 0 when nothing of this segment is there */
    bool has_unread; /* wal_reader_resume has passed over bytes that could not be read */

    /* A window of the file in memory; bytes before `offset` may have been decrypted in place. */
    uint8_t *window;
    size_t window_capacity;
    uint64_t window_start;
    size_t window_size;
};

/*
 * Opens the file and checks its header; with `keyring`, authenticates it and holds it against the ring's
 * store id. `path` is borrowed until close. Errors: FILE_NOT_FOUND, CORRUPT, TAMPERED, WRONG_STORE,
 * UNSUPPORTED_FORMAT, IO, NO_MEMORY.
 */
NODISCARD enum polarys_code wal_reader_open(struct wal_reader *reader, struct vfs *vfs,
                                            const char *path, struct keyring *keyring,
                                            struct polarys_error *err);
/* Accepts a zeroed reader. */
void wal_reader_close(struct wal_reader *reader);

/*
 * The next frame, authenticated and decrypted; `*has_frame` is false where none is. Borrowed: valid until
 * the next call. Errors: CORRUPT (a whole frame that does not belong here), TAMPERED, IO, NO_MEMORY.
 */
NODISCARD enum polarys_code wal_reader_next(struct wal_reader *reader, struct wal_frame *frame,
                                            bool *has_frame, struct polarys_error *err);

/*
 * After the walk has ended: looks behind that place for a good frame that says the log was synced beyond
 * it. Errors: IO, NO_MEMORY.
 */
NODISCARD enum polarys_code wal_reader_find_evidence(struct wal_reader *reader, bool *is_found,
                                                     uint64_t *found_offset,
                                                     struct polarys_error *err);

/*
 * For salvage, after the walk has ended or failed: to the next whole, authentic frame of the segment below `limit` (0: the
 * file's end) that may come later in the chain; wal_reader_next then gives it. What lies between is lost. The chain
 * begins anew there: that the frame is this segment's shows the key, what comes before it does not.
 * REQUIRES: opened with a keyring. Errors: NO_MEMORY; bytes that cannot be read are passed over, which has_unread tells.
 */
NODISCARD enum polarys_code wal_reader_resume(struct wal_reader *reader, uint64_t limit,
                                              bool *is_found, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
