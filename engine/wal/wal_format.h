/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment headers, frame headers and file names as bytes: docs/formats/wal.md. Pure functions.
 */
#ifndef ENGINE_WAL_WAL_FORMAT_H
#define ENGINE_WAL_WAL_FORMAT_H

#include "engine/wal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WAL_FORMAT = WAL_FORMAT_VERSION,
    WAL_BLOCK_SIZE = VFS_ALIGNMENT,
    WAL_FRAME_OVERHEAD = WAL_FRAME_HEADER_SIZE + AEAD_TAG_SIZE,
    WAL_HEADER_TAG_OFFSET = 160,
    WAL_ORDINAL_HEADER = 0, /* seals the segment header; frames count from 1 */
    WAL_ORDINAL_FIRST = 1,
    WAL_FILE_SIZE_MAX = WAL_SEGMENT_BYTES_MAX + (128 << 20), /* of any segment file */
};

/* The fields of a segment header. */
struct wal_header {
    uint8_t store_id[STORE_ID_SIZE];
    uint8_t history_id[HISTORY_ID_SIZE];
    uint64_t segment_id;
    uint64_t term;
    uint64_t first_version;
    uint32_t key_id;
    uint8_t salt[AEAD_SALT_SIZE];
    struct wal_position
        predecessor; /* where the log ended before; all zero for the first segment */
    uint64_t file_bytes;
    uint8_t tag[AEAD_TAG_SIZE];
};

/* The fields of a frame header. */
struct wal_frame_header {
    uint32_t crc;
    uint32_t payload_size;
    uint64_t segment_id;
    uint32_t ordinal;
    uint32_t flags;
    uint64_t first_version;
    uint32_t commit_count;
    uint8_t previous_tag[AEAD_TAG_SIZE];
    uint64_t synced_offset;
};

/* Fills the block but for the tag (WAL_HEADER_TAG_OFFSET) and the checksum. */
void wal_header_put(const struct wal_header *header, uint8_t block[WAL_SEGMENT_HEADER_SIZE]);
/* To be called once the tag is in place. */
void wal_header_put_checksum(uint8_t block[WAL_SEGMENT_HEADER_SIZE]);
/* What the tag of a header authenticates. Borrowed from `block`. */
static inline struct polarys_slice wal_header_sealed(const uint8_t *block)
{
    return slice_make(block, WAL_HEADER_TAG_OFFSET);
}
/* Errors: CORRUPT, UNSUPPORTED_FORMAT. Does not authenticate. */
NODISCARD enum polarys_code wal_header_take(const uint8_t block[WAL_SEGMENT_HEADER_SIZE],
                                            struct wal_header *header, struct polarys_error *err);

/* Fills the 64 bytes but for the checksum. */
void wal_frame_header_put(const struct wal_frame_header *header, uint8_t *to);
/* To be called once ciphertext and tag stand behind the header. */
void wal_frame_put_checksum(uint8_t *frame, size_t payload_size);
/* What the tag of a frame authenticates beside the payload. Borrowed from `frame`. */
static inline struct polarys_slice wal_frame_sealed(const uint8_t *frame)
{
    return slice_make(frame + 4, WAL_FRAME_HEADER_SIZE - 4);
}
/* False when the bytes are no header of a frame of `segment_id`. Checks no checksum. */
bool wal_frame_header_take(const uint8_t *from, uint64_t segment_id,
                           struct wal_frame_header *header);
/* REQUIRES: the whole frame is at `frame`. */
bool wal_frame_checksum_matches(const uint8_t *frame, size_t payload_size);

/* Bytes that a frame takes in the file, padding included. */
static inline uint64_t wal_frame_stored_size(uint64_t payload_size)
{
    return (payload_size + WAL_FRAME_OVERHEAD + WAL_BLOCK_SIZE - 1) &
           ~(uint64_t)(WAL_BLOCK_SIZE - 1);
}

/* 000000000001.wal */
void wal_segment_name(uint64_t segment_id, char name[VFS_NAME_MAX]);
/* False when the name is no segment's. */
bool wal_segment_name_take(const char *name, uint64_t *segment_id);
/* spare-000000000001.tmp: written in full and synced. */
void wal_spare_name(uint64_t spare_id, char name[VFS_NAME_MAX]);
bool wal_spare_name_take(const char *name, uint64_t *spare_id);
/* making-000000000001.tmp: being written; deleted when the log is opened. */
void wal_making_name(uint64_t spare_id, char name[VFS_NAME_MAX]);
bool wal_making_name_take(const char *name, uint64_t *spare_id);

/* The subkey of the segment. Errors: those of keyring_derive. */
NODISCARD enum polarys_code wal_segment_key(struct keyring *keyring,
                                            const struct wal_header *header, struct aead_key *key,
                                            struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
