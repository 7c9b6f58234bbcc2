/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sealed bytes of the log and a wrapped keyring say without a key: see engine_restore.h.
 */
#include "engine/crypto/keyring.h"
#include "engine/engine_internal.h"
#include "engine/engine_restore.h"
#include "engine/wal/wal_format.h"

_Static_assert((int)POLARYS_ID_SIZE == (int)STORE_ID_SIZE, "ids of stores");
_Static_assert((int)POLARYS_ID_SIZE == (int)HISTORY_ID_SIZE, "ids of histories");

enum polarys_code polarys_log_segment_read(struct polarys_slice block,
                                           struct polarys_log_segment *segment,
                                           struct polarys_error *err)
{
    struct wal_header header;
    if (block.size != WAL_SEGMENT_HEADER_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "a header of a log segment of %zu bytes",
                            block.size);
    }
    enum polarys_code code = wal_header_take(block.data, &header, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *segment = (struct polarys_log_segment){.segment_id = header.segment_id,
                                            .term = header.term,
                                            .first_version = header.first_version,
                                            .key_id = header.key_id,
                                            .predecessor = {
                                                .segment_id = header.predecessor.segment_id,
                                                .offset = header.predecessor.offset,
                                            }};
    memcpy(segment->store_id, header.store_id, STORE_ID_SIZE);
    memcpy(segment->history_id, header.history_id, HISTORY_ID_SIZE);
    memcpy(segment->tag, header.tag, AEAD_TAG_SIZE);
    memcpy(segment->predecessor.tag, header.predecessor.tag, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

enum polarys_code polarys_log_frame_read(struct polarys_slice bytes, uint64_t segment_id,
                                         struct polarys_log_frame *frame, struct polarys_error *err)
{
    struct wal_frame_header header;
    if (bytes.size < WAL_FRAME_OVERHEAD ||
        !wal_frame_header_take(bytes.data, segment_id, &header) || header.commit_count == 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "no frame of the log segment");
    }
    size_t size = (size_t)header.payload_size + WAL_FRAME_OVERHEAD;
    if (size > bytes.size) {
        return polarys_fail(err, POLARYS_CORRUPT, "a frame of the log is cut off");
    }
    if (!wal_frame_checksum_matches(bytes.data, header.payload_size)) {
        return polarys_fail(err, POLARYS_CORRUPT, "bad checksum of a frame of the log");
    }
    *frame = (struct polarys_log_frame){.segment_id = segment_id,
                                        .first_version = header.first_version,
                                        .commit_count = header.commit_count,
                                        .size = size,
                                        .stored_size = wal_frame_stored_size(header.payload_size)};
    memcpy(frame->previous_tag, header.previous_tag, AEAD_TAG_SIZE);
    memcpy(frame->tag, bytes.data + size - AEAD_TAG_SIZE, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

enum polarys_code polarys_keyring_read(struct polarys_slice bytes,
                                       struct polarys_keyring_summary *summary,
                                       struct polarys_error *err)
{
    struct keyring_summary read;
    enum polarys_code code = keyring_summarize(bytes, &read, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(summary->store_id, read.store_id, STORE_ID_SIZE);
    memcpy(summary->master_key_id, read.master_id, sizeof(read.master_id));
    summary->generation = read.generation;
    summary->key_count = read.key_count;
    return POLARYS_OK;
}

bool polarys_keyring_has(struct polarys_slice bytes, uint32_t key_id)
{
    return keyring_image_has(bytes, key_id);
}

enum polarys_code polarys_master_key_id(const char *path, char id[POLARYS_MASTER_KEY_ID_SIZE],
                                        struct polarys_error *err)
{
    struct master_key key;
    enum polarys_code code = master_key_read_file(vfs_posix(), path, &key, err);
    if (code == POLARYS_OK) {
        master_key_id(&key, id);
    }
    master_key_wipe(&key);
    return code;
}
