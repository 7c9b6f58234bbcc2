/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment headers, frame headers and file names as bytes: docs/formats/wal.md.
 *
 * Invariant: what put writes, take reads back; take never trusts a size or a count that it was given.
 */
#include "engine/wal/wal_format.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/base/coding.h"

enum {
    HEADER_MAGIC_SIZE = 8,
    HEADER_FORMAT = 8,
    HEADER_KEY_ID = 12,
    HEADER_STORE_ID = 16,
    HEADER_HISTORY_ID = 32,
    HEADER_SEGMENT_ID = 48,
    HEADER_TERM = 56,
    HEADER_FIRST_VERSION = 64,
    HEADER_FILE_BYTES = 72,
    HEADER_SALT = 80,
    HEADER_PREDECESSOR_ID = 112,
    HEADER_PREDECESSOR_OFFSET = 120,
    HEADER_PREDECESSOR_TAG = 128,
    HEADER_CHECKSUM = WAL_SEGMENT_HEADER_SIZE - 4,

    FRAME_PAYLOAD_SIZE = 4,
    FRAME_SEGMENT_ID = 8,
    FRAME_ORDINAL = 16,
    FRAME_FLAGS = 20,
    FRAME_FIRST_VERSION = 24,
    FRAME_COMMIT_COUNT = 32,
    FRAME_MAGIC = 36,
    FRAME_PREVIOUS_TAG = 40,
    FRAME_SYNCED_OFFSET = 56,

    FRAME_MAGIC_VALUE = 0x4d524650, /* "PFRM" */

    NAME_DIGITS = 12,
};

_Static_assert(HEADER_SALT + AEAD_SALT_SIZE == HEADER_PREDECESSOR_ID, "segment header layout");
_Static_assert(HEADER_PREDECESSOR_TAG + AEAD_TAG_SIZE <= WAL_HEADER_TAG_OFFSET, "room for the tag");
_Static_assert(FRAME_PREVIOUS_TAG + AEAD_TAG_SIZE == FRAME_SYNCED_OFFSET, "frame header layout");
_Static_assert(FRAME_SYNCED_OFFSET + 8 == WAL_FRAME_HEADER_SIZE, "frame header layout");

static const uint8_t header_magic[HEADER_MAGIC_SIZE] = {'P', 'L', 'R', 'S', 'W', 'A', 'L', 'S'};

void wal_header_put(const struct wal_header *header, uint8_t block[WAL_SEGMENT_HEADER_SIZE])
{
    memset(block, 0, WAL_SEGMENT_HEADER_SIZE);
    memcpy(block, header_magic, HEADER_MAGIC_SIZE);
    put_u32_le(block + HEADER_FORMAT, WAL_FORMAT);
    put_u32_le(block + HEADER_KEY_ID, header->key_id);
    memcpy(block + HEADER_STORE_ID, header->store_id, STORE_ID_SIZE);
    memcpy(block + HEADER_HISTORY_ID, header->history_id, HISTORY_ID_SIZE);
    put_u64_le(block + HEADER_SEGMENT_ID, header->segment_id);
    put_u64_le(block + HEADER_TERM, header->term);
    put_u64_le(block + HEADER_FIRST_VERSION, header->first_version);
    put_u64_le(block + HEADER_FILE_BYTES, header->file_bytes);
    memcpy(block + HEADER_SALT, header->salt, AEAD_SALT_SIZE);
    put_u64_le(block + HEADER_PREDECESSOR_ID, header->predecessor.segment_id);
    put_u64_le(block + HEADER_PREDECESSOR_OFFSET, header->predecessor.offset);
    memcpy(block + HEADER_PREDECESSOR_TAG, header->predecessor.tag, AEAD_TAG_SIZE);
}

void wal_header_put_checksum(uint8_t block[WAL_SEGMENT_HEADER_SIZE])
{
    put_u32_le(block + HEADER_CHECKSUM, checksum_crc32c(0, block, HEADER_CHECKSUM));
}

enum polarys_code wal_header_take(const uint8_t block[WAL_SEGMENT_HEADER_SIZE],
                                  struct wal_header *header, struct polarys_error *err)
{
    if (memcmp(block, header_magic, HEADER_MAGIC_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "it does not begin as a log segment does");
    }
    if (get_u32_le(block + HEADER_CHECKSUM) != checksum_crc32c(0, block, HEADER_CHECKSUM)) {
        return polarys_fail(err, POLARYS_CORRUPT, "bad checksum of the segment header");
    }
    uint32_t format = get_u32_le(block + HEADER_FORMAT);
    if (format != WAL_FORMAT) {
        return polarys_fail(err, POLARYS_UNSUPPORTED_FORMAT,
                            "segment has format %" PRIu32 ", this program reads %d", format,
                            WAL_FORMAT);
    }
    header->key_id = get_u32_le(block + HEADER_KEY_ID);
    memcpy(header->store_id, block + HEADER_STORE_ID, STORE_ID_SIZE);
    memcpy(header->history_id, block + HEADER_HISTORY_ID, HISTORY_ID_SIZE);
    header->segment_id = get_u64_le(block + HEADER_SEGMENT_ID);
    header->term = get_u64_le(block + HEADER_TERM);
    header->first_version = get_u64_le(block + HEADER_FIRST_VERSION);
    header->file_bytes = get_u64_le(block + HEADER_FILE_BYTES);
    memcpy(header->salt, block + HEADER_SALT, AEAD_SALT_SIZE);
    header->predecessor.segment_id = get_u64_le(block + HEADER_PREDECESSOR_ID);
    header->predecessor.offset = get_u64_le(block + HEADER_PREDECESSOR_OFFSET);
    memcpy(header->predecessor.tag, block + HEADER_PREDECESSOR_TAG, AEAD_TAG_SIZE);
    memcpy(header->tag, block + WAL_HEADER_TAG_OFFSET, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

void wal_frame_header_put(const struct wal_frame_header *header, uint8_t *to)
{
    put_u32_le(to + FRAME_PAYLOAD_SIZE, header->payload_size);
    put_u64_le(to + FRAME_SEGMENT_ID, header->segment_id);
    put_u32_le(to + FRAME_ORDINAL, header->ordinal);
    put_u32_le(to + FRAME_FLAGS, header->flags);
    put_u64_le(to + FRAME_FIRST_VERSION, header->first_version);
    put_u32_le(to + FRAME_COMMIT_COUNT, header->commit_count);
    put_u32_le(to + FRAME_MAGIC, FRAME_MAGIC_VALUE);
    memcpy(to + FRAME_PREVIOUS_TAG, header->previous_tag, AEAD_TAG_SIZE);
    put_u64_le(to + FRAME_SYNCED_OFFSET, header->synced_offset);
}

void wal_frame_put_checksum(uint8_t *frame, size_t payload_size)
{
    put_u32_le(frame, checksum_crc32c(0, frame + 4, payload_size + WAL_FRAME_OVERHEAD - 4));
}

bool wal_frame_header_take(const uint8_t *from, uint64_t segment_id,
                           struct wal_frame_header *header)
{
    if (get_u32_le(from + FRAME_MAGIC) != FRAME_MAGIC_VALUE ||
        get_u64_le(from + FRAME_SEGMENT_ID) != segment_id) {
        return false;
    }
    header->crc = get_u32_le(from);
    header->payload_size = get_u32_le(from + FRAME_PAYLOAD_SIZE);
    header->segment_id = segment_id;
    header->ordinal = get_u32_le(from + FRAME_ORDINAL);
    header->flags = get_u32_le(from + FRAME_FLAGS);
    header->first_version = get_u64_le(from + FRAME_FIRST_VERSION);
    header->commit_count = get_u32_le(from + FRAME_COMMIT_COUNT);
    memcpy(header->previous_tag, from + FRAME_PREVIOUS_TAG, AEAD_TAG_SIZE);
    header->synced_offset = get_u64_le(from + FRAME_SYNCED_OFFSET);
    return header->payload_size <= WAL_FRAME_PAYLOAD_MAX;
}

bool wal_frame_checksum_matches(const uint8_t *frame, size_t payload_size)
{
    return get_u32_le(frame) ==
           checksum_crc32c(0, frame + 4, payload_size + WAL_FRAME_OVERHEAD - 4);
}

/* prefix, then exactly twelve digits, then suffix. */
static bool name_take(const char *name, const char *prefix, const char *suffix, uint64_t *number)
{
    size_t prefix_size = strlen(prefix);
    if (strlen(name) != prefix_size + NAME_DIGITS + strlen(suffix) ||
        memcmp(name, prefix, prefix_size) != 0 ||
        strcmp(name + prefix_size + NAME_DIGITS, suffix) != 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = prefix_size; i < prefix_size + NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    *number = value;
    return true;
}

static void name_put(char *name, const char *prefix, uint64_t number, const char *suffix)
{
    int size =
        snprintf(name, VFS_NAME_MAX, "%s%0*" PRIu64 "%s", prefix, NAME_DIGITS, number, suffix);
    POLARYS_ASSERT(size > 0 && size < VFS_NAME_MAX);
}

void wal_segment_name(uint64_t segment_id, char name[VFS_NAME_MAX])
{
    name_put(name, "", segment_id, ".wal");
}

bool wal_segment_name_take(const char *name, uint64_t *segment_id)
{
    return name_take(name, "", ".wal", segment_id) && *segment_id != 0;
}

void wal_spare_name(uint64_t spare_id, char name[VFS_NAME_MAX])
{
    name_put(name, "spare-", spare_id, ".tmp");
}

bool wal_spare_name_take(const char *name, uint64_t *spare_id)
{
    return name_take(name, "spare-", ".tmp", spare_id);
}

void wal_making_name(uint64_t spare_id, char name[VFS_NAME_MAX])
{
    name_put(name, "making-", spare_id, ".tmp");
}

bool wal_making_name_take(const char *name, uint64_t *spare_id)
{
    return name_take(name, "making-", ".tmp", spare_id);
}

enum polarys_code wal_segment_key(struct keyring *keyring, const struct wal_header *header,
                                  struct aead_key *key, struct polarys_error *err)
{
    return keyring_derive(keyring, header->key_id, header->salt,
                          slice_from_text("polarysdb wal segment"), key, err);
}
