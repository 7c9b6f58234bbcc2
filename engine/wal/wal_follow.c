/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing what a primary sealed: see wal_follow.h.
 *
 * The order of effects is that of wal_append: a segment's header is durable under its name before a frame is
 * written, and the segment before it is durable before a header names its end. Frames are written without a
 * sync each, so that one sync serves as many as came together.
 */
#include "engine/wal/wal_follow.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/internal_key.h"
#include "engine/wal/wal_internal.h"

uint64_t wal_term(const struct wal *wal)
{
    return wal->term;
}

const uint8_t *wal_history_id(const struct wal *wal)
{
    return wal->history_id;
}

uint64_t wal_version_min(const struct wal *wal)
{
    return wal->version_min;
}

/* Opens the newest segment for writing, and takes over what its header says. */
static enum polarys_code newest_open(struct wal *wal, const struct wal_recovery *recovery,
                                     struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    struct wal_header header;
    uint64_t file_bytes = 0;
    enum polarys_code code = wal_header_read(wal->options.vfs, wal->dir, recovery->end.segment_id,
                                             &header, &file_bytes, err);
    if (code == POLARYS_OK) {
        code = wal_segment_key(wal->options.keyring, &header, &wal->key, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    wal_segment_name(header.segment_id, name);
    code = vfs_path_join(path, wal->dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_open(wal->options.vfs, path, VFS_WRITE, &wal->file, err);
    }
    wal->term = header.term;
    memcpy(wal->history_id, header.history_id, HISTORY_ID_SIZE);
    wal->ordinal_next = recovery->ordinal_next;
    wal->version_min = recovery->last_version < header.first_version ? header.first_version
                                                                     : recovery->last_version + 1;
    wal->end_file_bytes = header.file_bytes;
    return code;
}

enum polarys_code wal_follow_open(const struct wal_options *options,
                                  const struct wal_recovery *recovery, struct wal **out,
                                  struct polarys_error *err)
{
    struct wal *wal = NULL;
    *out = NULL;
    POLARYS_ASSERT(options->is_follower);
    enum polarys_code code = wal_alloc(options, &wal, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    wal->end = recovery->end;
    wal->sync_mode =
        WAL_SYNC_FDATASYNC; /* one sync for many frames; promotion looks at the option */
    code = wal_dir_make(wal, err);
    if (code == POLARYS_OK) {
        code = wal_state_load(wal, &recovery->end, err);
    }
    if (code == POLARYS_OK && recovery->end.segment_id != 0) {
        code = newest_open(wal, recovery, err);
    }
    if (code != POLARYS_OK) {
        goto fail;
    }
    *out = wal;
    return POLARYS_OK;

fail:
    wal_close(wal);
    return polarys_wrap(err, code, "open the log %s of a follower", options->dir);
}

/* A broken log takes nothing more. */
static enum polarys_code broken_check(struct wal *wal, struct polarys_error *err)
{
    mutex_lock(&wal->mutex);
    enum polarys_code code = POLARYS_OK;
    if (wal->is_broken) {
        *err = wal->broken_error;
        code = err->code;
    }
    mutex_unlock(&wal->mutex);
    return code;
}

static enum polarys_code fail_diverged(const struct wal_position *named, const char *what,
                                       struct polarys_error *err)
{
    (void)polarys_fail(err, POLARYS_HISTORY_DIVERGED, "%s", what);
    polarys_error_detail_set(err, "segment", "%" PRIu64, named->segment_id);
    polarys_error_detail_set(err, "offset", "%" PRIu64, named->offset);
    return POLARYS_HISTORY_DIVERGED;
}

/* Whether the header may come next. */
static enum polarys_code header_check(const struct wal *wal, const struct wal_header *header,
                                      struct polarys_error *err)
{
    const struct wal_position *named = &header->predecessor;
    if (memcmp(header->store_id, keyring_store_id(wal->options.keyring), STORE_ID_SIZE) != 0) {
        return polarys_fail(err, POLARYS_WRONG_STORE, "the segment belongs to another store");
    }
    if (named->segment_id != wal->end.segment_id || named->offset != wal->end.offset ||
        memcmp(named->tag, wal->end.tag, AEAD_TAG_SIZE) != 0 ||
        header->segment_id <= wal->end.segment_id) {
        return fail_diverged(named, "the segment does not follow where this log ends", err);
    }
    if (header->term < wal->term) {
        return fail_diverged(named, "the segment's term is below the one of this log", err);
    }
    if (header->file_bytes > (uint64_t)WAL_FILE_SIZE_MAX ||
        header->file_bytes < WAL_SEGMENT_HEADER_SIZE || header->file_bytes % WAL_BLOCK_SIZE != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "no log segment has %" PRIu64 " bytes",
                            header->file_bytes);
    }
    return POLARYS_OK;
}

static enum polarys_code header_open(struct wal *wal, const uint8_t *block,
                                     struct wal_header *header, struct aead_key *key,
                                     struct polarys_error *err)
{
    enum polarys_code code = wal_header_take(block, header, err);
    if (code == POLARYS_OK) {
        code = header_check(wal, header, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = wal_segment_key(wal->options.keyring, header, key, err);
    if (code == POLARYS_CORRUPT) {
        polarys_error_clear(err);
        code = polarys_fail(err, POLARYS_FOLLOWER_LACKS_KEY,
                            "data key %" PRIu32 " is not in the keyring", header->key_id);
        polarys_error_detail_set(err, "key_id", "%" PRIu32, header->key_id);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    return aead_open(key, WAL_ORDINAL_HEADER, wal_header_sealed(block), slice_make(NULL, 0),
                     header->tag, NULL, err);
}

/* The file that the header goes into; the frames of the segment before it are durable first. */
static enum polarys_code segment_put(struct wal *wal, const struct wal_header *header,
                                     const struct aead_key *key, bool *is_harmless,
                                     struct polarys_error *err)
{
    struct wal_raw_file raw;
    *is_harmless = true;
    enum polarys_code code = wal_raw_file_take(wal, header->file_bytes, &raw, err);
    if (code == POLARYS_OK && wal->file != NULL) {
        code = vfs_sync(wal->file, err);
        *is_harmless = code == POLARYS_OK;
    }
    if (code == POLARYS_OK) {
        code = wal_segment_place(wal, &raw, header, key, is_harmless, err);
    }
    return code;
}

enum polarys_code wal_follow_segment(struct wal *wal, struct polarys_slice block,
                                     struct polarys_error *err)
{
    struct wal_header header;
    struct aead_key key = {.identity = 0};
    bool is_harmless = true;
    enum polarys_code code = broken_check(wal, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (block.size != WAL_SEGMENT_HEADER_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "a segment header of %zu bytes", block.size);
    }
    code = header_open(wal, block.data, &header, &key, err);
    if (code == POLARYS_OK) {
        code = wal_buffer_reserve(wal, WAL_SEGMENT_HEADER_SIZE, err);
    }
    if (code == POLARYS_OK) {
        memcpy(wal->buffer, block.data, WAL_SEGMENT_HEADER_SIZE);
        code = segment_put(wal, &header, &key, &is_harmless, err);
    }
    aead_key_deinit(&key);
    if (code != POLARYS_OK) {
        code = is_harmless ? code : wal_break(wal, code, err);
        return polarys_wrap(err, code, "follow into another log segment");
    }
    wal->term = header.term;
    memcpy(wal->history_id, header.history_id, HISTORY_ID_SIZE);
    wal->version_min = header.first_version;
    wal_prepare_start(wal);
    return POLARYS_OK;
}

/* Whether the frame is whole and the one that comes next. */
static enum polarys_code frame_check(const struct wal *wal, struct polarys_slice bytes,
                                     struct wal_frame_header *header, struct polarys_error *err)
{
    if (bytes.size < WAL_FRAME_OVERHEAD ||
        !wal_frame_header_take(bytes.data, wal->end.segment_id, header)) {
        return polarys_fail(err, POLARYS_CORRUPT, "no frame of log segment %" PRIu64,
                            wal->end.segment_id);
    }
    if (bytes.size != (size_t)header->payload_size + WAL_FRAME_OVERHEAD ||
        !wal_frame_checksum_matches(bytes.data, header->payload_size)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a frame's length or checksum is wrong");
    }
    if (header->ordinal != wal->ordinal_next ||
        memcmp(header->previous_tag, wal->end.tag, AEAD_TAG_SIZE) != 0) {
        return fail_diverged(&wal->end, "the frame does not follow where this log ends", err);
    }
    if (header->commit_count == 0 || header->first_version < wal->version_min ||
        header->first_version > VERSION_MAX - header->commit_count ||
        wal->end.offset + wal_frame_stored_size(header->payload_size) > wal->end_file_bytes) {
        return polarys_fail(err, POLARYS_CORRUPT, "a frame's versions or place make no sense");
    }
    return POLARYS_OK;
}

static enum polarys_code payload_open(struct wal *wal, struct polarys_slice bytes,
                                      const struct wal_frame_header *header,
                                      struct polarys_error *err)
{
    const uint8_t *ciphertext = bytes.data + WAL_FRAME_HEADER_SIZE;
    if (header->payload_size > wal->payload_capacity) {
        uint8_t *payload = realloc(wal->payload, header->payload_size);
        if (payload == NULL) {
            return polarys_fail(err, POLARYS_NO_MEMORY,
                                "no memory for a frame of %" PRIu32 " bytes", header->payload_size);
        }
        wal->payload = payload;
        wal->payload_capacity = header->payload_size;
    }
    return aead_open(&wal->key, header->ordinal, wal_frame_sealed(bytes.data),
                     slice_make(ciphertext, header->payload_size),
                     ciphertext + header->payload_size, wal->payload, err);
}

/* Makes the frame the log's newest. */
static void frame_accept(struct wal *wal, const struct wal_frame_header *header, const uint8_t *tag,
                         struct wal_frame *frame)
{
    uint64_t stored_size = wal_frame_stored_size(header->payload_size);
    *frame = (struct wal_frame){.first_version = header->first_version,
                                .commit_count = header->commit_count,
                                .flags = header->flags,
                                .offset = wal->end.offset,
                                .payload = slice_make(wal->payload, header->payload_size)};
    mutex_lock(&wal->mutex);
    wal->end.offset += stored_size;
    memcpy(wal->end.tag, tag, AEAD_TAG_SIZE);
    wal->segments[wal->segment_count - 1].last_version =
        header->first_version + header->commit_count - 1;
    wal->stats.append_count++;
    wal->stats.payload_bytes += header->payload_size;
    wal->stats.written_bytes += stored_size;
    frame->position = wal->end;
    mutex_unlock(&wal->mutex);
    wal->ordinal_next++;
    wal->version_min = header->first_version + header->commit_count;
}

enum polarys_code wal_follow_frame(struct wal *wal, struct polarys_slice bytes,
                                   struct wal_frame *frame, struct polarys_error *err)
{
    struct wal_frame_header header;
    enum polarys_code code = broken_check(wal, err);
    if (code == POLARYS_OK) {
        code = frame_check(wal, bytes, &header, err);
    }
    if (code == POLARYS_OK) {
        code = payload_open(wal, bytes, &header, err);
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "follow the log");
    }
    size_t stored_size = (size_t)wal_frame_stored_size(header.payload_size);
    code = wal_buffer_reserve(wal, stored_size, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "follow the log");
    }
    memcpy(wal->buffer, bytes.data, bytes.size);
    memset(wal->buffer + bytes.size, 0, stored_size - bytes.size);
    code = vfs_write_at(wal->file, wal->end.offset, wal->buffer, stored_size, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, wal_break(wal, code, err), "follow log segment %" PRIu64,
                            wal->end.segment_id);
    }
    frame_accept(wal, &header, bytes.data + WAL_FRAME_HEADER_SIZE + header.payload_size, frame);
    return POLARYS_OK;
}

enum polarys_code wal_follow_peek(struct wal *wal, struct polarys_slice bytes,
                                  struct wal_frame *frame, struct polarys_error *err)
{
    struct wal_frame_header header;
    enum polarys_code code = broken_check(wal, err);
    if (code == POLARYS_OK) {
        code = frame_check(wal, bytes, &header, err);
    }
    if (code == POLARYS_OK) {
        code = payload_open(wal, bytes, &header, err);
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "look at the log's next frame");
    }
    *frame = (struct wal_frame){.first_version = header.first_version,
                                .commit_count = header.commit_count,
                                .flags = header.flags,
                                .offset = wal->end.offset,
                                .payload = slice_make(wal->payload, header.payload_size)};
    return POLARYS_OK;
}

enum polarys_code wal_follow_sync(struct wal *wal, struct polarys_error *err)
{
    enum polarys_code code = broken_check(wal, err);
    if (code != POLARYS_OK || wal->file == NULL) {
        return code;
    }
    struct clock *clock = wal->options.executor->clock;
    uint64_t start_ns = clock_monotonic_ns(clock);
    code = vfs_sync(wal->file, err);
    uint64_t duration_ns = clock_monotonic_ns(clock) - start_ns;
    mutex_lock(&wal->mutex);
    wal->stats.sync_ns_total += duration_ns;
    wal->stats.sync_ns_max =
        duration_ns > wal->stats.sync_ns_max ? duration_ns : wal->stats.sync_ns_max;
    mutex_unlock(&wal->mutex);
    return code == POLARYS_OK ? POLARYS_OK
                              : polarys_wrap(err, wal_break(wal, code, err), "sync the log");
}

enum polarys_code wal_follow_promote(struct wal *wal, uint64_t first_version, uint64_t term,
                                     const uint8_t history_id[HISTORY_ID_SIZE],
                                     struct polarys_error *err)
{
    struct wal_raw_file raw;
    bool is_harmless = false;
    if (term <= wal->term) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "term %" PRIu64 " is not above the log's, %" PRIu64, term, wal->term);
    }
    enum polarys_code code = wal_follow_sync(wal, err);
    if (code == POLARYS_OK) {
        code = wal_raw_file_take(wal, WAL_SEGMENT_BYTES_MIN, &raw, err);
    }
    if (code == POLARYS_OK) {
        wal->term = term;
        memcpy(wal->history_id, history_id, HISTORY_ID_SIZE);
        wal->sync_mode = wal->options.sync_mode;
        code = wal->sync_mode == WAL_SYNC_AUTO ? wal_probe(wal, &raw, err) : POLARYS_OK;
    }
    if (code == POLARYS_OK) {
        code = wal_segment_begin(wal, &raw, first_version, &is_harmless, err);
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, wal_break(wal, code, err), "make the log one to append to");
    }
    wal_prepare_start(wal);
    return POLARYS_OK;
}
