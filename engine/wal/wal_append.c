/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending frames: seal into one aligned buffer, write it once, sync, publish the new end.
 *
 * Invariant: an ordinal is used at most once under a segment's key. It is used up when sealing begins;
 * from there on any failure breaks the log for good, because what reached the disk is unknown and a retry
 * would seal other bytes under the same nonce. Failures before that, while a segment is being found, leave
 * the log as it was when the disk is merely full.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"

enum polarys_code wal_break(struct wal *wal, enum polarys_code code, struct polarys_error *err)
{
    /* To the caller DISK_LOW means that nothing was written; here that is no longer known. */
    code = code == POLARYS_DISK_LOW ? POLARYS_IO : code;
    (void)polarys_wrap(err, code, "the log is broken until it is recovered");
    mutex_lock(&wal->mutex);
    wal->is_broken = true;
    wal->broken_error = *err;
    mutex_unlock(&wal->mutex);
    return code;
}

/* Ends the current segment and begins one that a frame of `stored_size` bytes fits in. */
static enum polarys_code wal_roll(struct wal *wal, uint64_t first_version, uint64_t stored_size,
                                  struct polarys_error *err)
{
    struct wal_raw_file raw;
    bool is_harmless = true;
    uint64_t bytes_min = WAL_SEGMENT_HEADER_SIZE + stored_size;
    enum polarys_code code = wal_raw_file_take(wal, bytes_min, &raw, err);
    if (code == POLARYS_OK) {
        code = wal_segment_begin(wal, &raw, first_version, &is_harmless, err);
    }
    if (code != POLARYS_OK && !(is_harmless && code == POLARYS_DISK_LOW)) {
        return wal_break(wal, code, err);
    }
    if (code == POLARYS_OK) {
        wal_prepare_start(wal);
    }
    return code;
}

/* Seals the pieces as the next frame into wal->buffer; `tag` gets its tag. */
static enum polarys_code frame_seal(struct wal *wal, struct wal_frame_header *header,
                                    const struct polarys_slice *pieces, size_t piece_count,
                                    uint8_t tag[AEAD_TAG_SIZE], struct polarys_error *err)
{
    uint8_t *frame = wal->buffer;
    size_t used = header->payload_size + WAL_FRAME_OVERHEAD;
    wal_frame_header_put(header, frame);
    enum polarys_code code = aead_seal(&wal->key, header->ordinal, wal_frame_sealed(frame), pieces,
                                       piece_count, frame + WAL_FRAME_HEADER_SIZE, tag, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(frame + WAL_FRAME_HEADER_SIZE + header->payload_size, tag, AEAD_TAG_SIZE);
    wal_frame_put_checksum(frame, header->payload_size);
    memset(frame + used, 0, wal_frame_stored_size(header->payload_size) - used);
    return POLARYS_OK;
}

static enum polarys_code frame_write(struct wal *wal, uint64_t offset, size_t stored_size,
                                     uint64_t *duration_ns, struct polarys_error *err)
{
    POLARYS_ASSERT(offset % WAL_BLOCK_SIZE == 0 && stored_size % WAL_BLOCK_SIZE == 0);
    struct clock *clock = wal->options.executor->clock;
    uint64_t start_ns = clock_monotonic_ns(clock);
    enum polarys_code code = vfs_write_at(wal->file, offset, wal->buffer, stored_size, err);
    if (code == POLARYS_OK && wal->sync_mode == WAL_SYNC_FDATASYNC) {
        code = vfs_sync(wal->file, err);
    }
    *duration_ns = clock_monotonic_ns(clock) - start_ns;
    return code;
}

/* Makes the frame part of the log for everyone. True when it is time to prepare the next segment. */
static bool frame_publish(struct wal *wal, const struct wal_frame_header *header,
                          const uint8_t tag[AEAD_TAG_SIZE], uint64_t duration_ns,
                          struct wal_position *end)
{
    uint64_t stored_size = wal_frame_stored_size(header->payload_size);
    mutex_lock(&wal->mutex);
    bool was_due = wal_prepare_is_due_locked(wal);
    wal->end.offset += stored_size;
    memcpy(wal->end.tag, tag, AEAD_TAG_SIZE);
    POLARYS_ASSERT(wal->end.offset <= wal->end_file_bytes);
    wal->segments[wal->segment_count - 1].last_version =
        header->first_version + header->commit_count - 1;
    wal->stats.append_count++;
    wal->stats.payload_bytes += header->payload_size;
    wal->stats.written_bytes += stored_size;
    wal->stats.sync_ns_total += duration_ns;
    if (duration_ns > wal->stats.sync_ns_max) {
        wal->stats.sync_ns_max = duration_ns;
    }
    *end = wal->end;
    /* Once a segment: a failure to prepare is not repeated with every frame. */
    bool is_due = !was_due && wal_prepare_is_due_locked(wal);
    mutex_unlock(&wal->mutex);
    return is_due;
}

static void buffer_shrink(struct wal *wal)
{
    if (wal->buffer_size > WAL_BUFFER_KEEP_BYTES) {
        free(wal->buffer);
        wal->buffer = NULL;
        wal->buffer_size = 0;
    }
}

/* What wal_append was asked for. */
struct append_request {
    uint64_t first_version;
    uint32_t commit_count;
    const struct polarys_slice *pieces;
    size_t piece_count;
    uint64_t payload_size;
};

/* Whether the log can take the frame at all, and whether the current segment has room for it. */
static enum polarys_code append_check(struct wal *wal, const struct append_request *request,
                                      bool *fits, struct polarys_error *err)
{
    mutex_lock(&wal->mutex);
    bool is_broken = wal->is_broken;
    if (is_broken) {
        *err = wal->broken_error;
    }
    *fits = wal->end.offset + wal_frame_stored_size(request->payload_size) <= wal->end_file_bytes;
    mutex_unlock(&wal->mutex);
    if (is_broken) {
        return err->code;
    }
    if (request->payload_size > WAL_FRAME_PAYLOAD_MAX || request->commit_count == 0) {
        return polarys_fail(err, POLARYS_BUG,
                            "a log frame of %" PRIu64 " bytes and %" PRIu32
                            " commits; the limit is %d bytes, and one commit at least",
                            request->payload_size, request->commit_count, WAL_FRAME_PAYLOAD_MAX);
    }
    return POLARYS_OK;
}

/* Seals, writes and syncs at wal->end. Any failure is final. */
static enum polarys_code frame_append(struct wal *wal, const struct append_request *request,
                                      struct wal_position *end, struct polarys_error *err)
{
    uint8_t tag[AEAD_TAG_SIZE];
    uint64_t duration_ns = 0;
    struct wal_frame_header header = {.payload_size = (uint32_t)request->payload_size,
                                      .segment_id = wal->end.segment_id,
                                      .ordinal = wal->ordinal_next,
                                      .first_version = request->first_version,
                                      .commit_count = request->commit_count,
                                      .synced_offset = wal->end.offset};
    memcpy(header.previous_tag, wal->end.tag, AEAD_TAG_SIZE);
    size_t stored_size = (size_t)wal_frame_stored_size(request->payload_size);
    enum polarys_code code = wal_buffer_reserve(wal, stored_size, err);
    if (code != POLARYS_OK) {
        return code;
    }
    wal->ordinal_next++;
    code = frame_seal(wal, &header, request->pieces, request->piece_count, tag, err);
    if (code == POLARYS_OK) {
        code = frame_write(wal, wal->end.offset, stored_size, &duration_ns, err);
    }
    if (code == POLARYS_OK && frame_publish(wal, &header, tag, duration_ns, end)) {
        wal_prepare_start(wal);
    }
    buffer_shrink(wal);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing. */
enum polarys_code wal_append(struct wal *wal, uint64_t first_version, uint32_t commit_count,
                             const struct polarys_slice *pieces, size_t piece_count,
                             struct wal_position *end, struct polarys_error *err)
{
    struct polarys_error local = POLARYS_ERROR_INIT;
    struct polarys_error *error = err == NULL ? &local : err;
    struct append_request request = {.first_version = first_version,
                                     .commit_count = commit_count,
                                     .pieces = pieces,
                                     .piece_count = piece_count};
    bool fits = false;
    for (size_t i = 0; i < piece_count; i++) {
        request.payload_size += pieces[i].size;
    }
    enum polarys_code code = append_check(wal, &request, &fits, error);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!fits) {
        code = wal_roll(wal, first_version, wal_frame_stored_size(request.payload_size), error);
        if (code != POLARYS_OK) {
            return polarys_wrap(error, code, "append to log");
        }
    }
    code = frame_append(wal, &request, end, error);
    if (code != POLARYS_OK) {
        code = wal_break(wal, code, error);
        return polarys_wrap(error, code, "append to log segment %" PRIu64, wal->end.segment_id);
    }
    return POLARYS_OK;
}
