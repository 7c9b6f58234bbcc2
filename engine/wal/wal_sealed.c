/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing out sealed bytes: see wal_sealed.h. Where a tail may begin is wal_sealed_open.c's.
 *
 * Only bytes below the limit, which is durable, are ever read, so a window needs no second look.
 */
#include "engine/wal/wal_sealed.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_sealed_internal.h"

void wal_sealed_pause(struct wal_sealed *sealed)
{
    if (sealed->file != NULL) {
        vfs_close(sealed->file, NULL);
        wal_unpin(sealed->wal, sealed->pin_id);
        sealed->file = NULL;
    }
    free(sealed->window);
    sealed->window = NULL;
    sealed->window_size = 0;
    sealed->successor_id = 0;
}

enum polarys_code wal_sealed_fail_pruned(struct wal_sealed *sealed, uint64_t segment_id,
                                         struct polarys_error *err)
{
    struct wal_stats stats;
    wal_stats_get(sealed->wal, &stats);
    (void)polarys_fail(err, POLARYS_LOG_PRUNED,
                       "log segment %" PRIu64 " is no longer kept, the oldest one is %" PRIu64,
                       segment_id, stats.oldest_segment_id);
    polarys_error_detail_set(err, "earliest_segment", "%" PRIu64, stats.oldest_segment_id);
    return POLARYS_LOG_PRUNED;
}

static enum polarys_code fail_corrupt(const struct wal_sealed *sealed, const char *what,
                                      struct polarys_error *err)
{
    (void)polarys_fail(err, POLARYS_CORRUPT, "log segment %" PRIu64 " at byte %" PRIu64 ": %s",
                       sealed->at.segment_id, sealed->at.offset, what);
    wal_error_place(err, sealed->at.segment_id, sealed->at.offset);
    return POLARYS_CORRUPT;
}

/* Makes [offset, offset + size) readable at *bytes. REQUIRES: it ends at or before `limit`, at most a part. */
static enum polarys_code window_get(struct wal_sealed *sealed, uint64_t offset, size_t size,
                                    uint64_t limit, const uint8_t **bytes,
                                    struct polarys_error *err)
{
    POLARYS_ASSERT(offset + size <= limit && size <= WAL_SEALED_PART_BYTES_MAX);
    bool is_there = offset >= sealed->window_start &&
                    offset + size <= sealed->window_start + sealed->window_size;
    if (!is_there) {
        uint64_t left = limit - offset;
        size_t wanted =
            left < WAL_SEALED_PART_BYTES_MAX ? (size_t)left : (size_t)WAL_SEALED_PART_BYTES_MAX;
        if (sealed->window == NULL) {
            sealed->window = malloc(WAL_SEALED_PART_BYTES_MAX);
        }
        if (sealed->window == NULL) {
            return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to read the log");
        }
        sealed->window_size = 0;
        enum polarys_code code = vfs_read_exact(sealed->file, offset, sealed->window, wanted, err);
        if (code != POLARYS_OK) {
            return code;
        }
        sealed->window_start = offset;
        sealed->window_size = wanted;
    }
    *bytes = sealed->window + (offset - sealed->window_start);
    return POLARYS_OK;
}

enum polarys_code wal_sealed_segment_open(struct wal_sealed *sealed, uint64_t segment_id,
                                          struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    uint8_t block[WAL_SEGMENT_HEADER_SIZE];
    struct wal *wal = sealed->wal;
    POLARYS_ASSERT(sealed->file == NULL);
    wal_pin(wal, segment_id, &sealed->pin_id);
    if (!wal_segment_find(wal, segment_id, &sealed->successor_id)) {
        wal_unpin(wal, sealed->pin_id);
        return wal_sealed_fail_pruned(sealed, segment_id, err);
    }
    sealed->successor_id = 0; /* until its header was read */
    wal_segment_name(segment_id, name);
    enum polarys_code code = vfs_path_join(path, wal->dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_open(wal->options.vfs, path, VFS_READ, &sealed->file, err);
    }
    if (code != POLARYS_OK) {
        wal_unpin(wal, sealed->pin_id);
        return code;
    }
    code = vfs_read_exact(sealed->file, 0, block, sizeof(block), err);
    if (code == POLARYS_OK) {
        code = wal_header_take(block, &sealed->header, err);
    }
    if (code == POLARYS_OK && sealed->header.segment_id != segment_id) {
        code = polarys_fail(err, POLARYS_CORRUPT, "it is segment %" PRIu64 " by its header",
                            sealed->header.segment_id);
    }
    if (code != POLARYS_OK) {
        wal_sealed_pause(sealed);
        (void)polarys_wrap(err, code, "log segment %s", path);
        wal_error_place(err, segment_id, 0);
    }
    return code;
}

/* Learns where the open segment ends. REQUIRES: it has a successor. */
static enum polarys_code successor_look(struct wal_sealed *sealed, struct polarys_error *err)
{
    struct wal_header header;
    uint64_t file_bytes;
    uint64_t successor_id;
    if (sealed->successor_id != 0) {
        return POLARYS_OK;
    }
    bool is_there = wal_segment_find(sealed->wal, sealed->header.segment_id, &successor_id);
    POLARYS_ASSERT(is_there && successor_id != 0); /* pinned, and the log is known to go on */
    enum polarys_code code = wal_header_read(sealed->wal->options.vfs, sealed->wal->dir,
                                             successor_id, &header, &file_bytes, err);
    if (code == POLARYS_OK && header.predecessor.segment_id != sealed->header.segment_id) {
        code = fail_corrupt(sealed, "its successor names another predecessor", err);
    }
    if (code == POLARYS_OK) {
        sealed->successor_id = successor_id;
        sealed->named = header.predecessor;
        sealed->version_behind = header.first_version - 1;
    }
    return code;
}

enum polarys_code wal_sealed_limit(struct wal_sealed *sealed, const struct wal_position *until,
                                   struct wal_position *limit, bool *goes_on,
                                   struct polarys_error *err)
{
    *goes_on = sealed->header.segment_id < until->segment_id;
    enum polarys_code code = *goes_on ? successor_look(sealed, err) : POLARYS_OK;
    if (code == POLARYS_OK) {
        *limit = *goes_on ? sealed->named : *until;
    }
    return code;
}

/* The header block of the segment that is open. */
static enum polarys_code header_give(struct wal_sealed *sealed, struct wal_sealed_part *part,
                                     struct polarys_error *err)
{
    const uint8_t *bytes = NULL;
    enum polarys_code code =
        window_get(sealed, 0, WAL_SEGMENT_HEADER_SIZE, WAL_SEGMENT_HEADER_SIZE, &bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    sealed->at = (struct wal_position){.segment_id = sealed->header.segment_id,
                                       .offset = WAL_SEGMENT_HEADER_SIZE};
    memcpy(sealed->at.tag, sealed->header.tag, AEAD_TAG_SIZE);
    *part = (struct wal_sealed_part){.segment_id = sealed->header.segment_id,
                                     .bytes = slice_make(bytes, WAL_SEGMENT_HEADER_SIZE)};
    return POLARYS_OK;
}

/* On to the segment, which has to continue what was handed out. */
static enum polarys_code segment_enter(struct wal_sealed *sealed, uint64_t segment_id,
                                       struct wal_sealed_part *part, struct polarys_error *err)
{
    wal_sealed_pause(sealed);
    enum polarys_code code = wal_sealed_segment_open(sealed, segment_id, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (memcmp(&sealed->header.predecessor, &sealed->at, sizeof(sealed->at)) != 0) {
        wal_sealed_pause(sealed);
        if (sealed->at.segment_id == 0) {
            return wal_sealed_fail_pruned(sealed, 0, err);
        }
        return fail_corrupt(sealed, "its successor names another end", err);
    }
    code = header_give(sealed, part, err);
    if (code != POLARYS_OK) {
        wal_sealed_pause(sealed);
    }
    return code;
}

/* Begins the frame at sealed->at. */
static enum polarys_code frame_begin(struct wal_sealed *sealed, uint64_t limit,
                                     struct polarys_error *err)
{
    struct wal_frame_header header;
    const uint8_t *bytes = NULL;
    uint64_t offset = sealed->at.offset;
    if (offset + WAL_FRAME_OVERHEAD > limit) {
        return fail_corrupt(sealed, "no room for a frame before the end", err);
    }
    enum polarys_code code = window_get(sealed, offset, WAL_FRAME_HEADER_SIZE, limit, &bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!wal_frame_header_take(bytes, sealed->at.segment_id, &header) || header.commit_count == 0 ||
        offset + wal_frame_stored_size(header.payload_size) > limit ||
        memcmp(header.previous_tag, sealed->at.tag, AEAD_TAG_SIZE) != 0) {
        return fail_corrupt(sealed, "no frame that follows the one before it", err);
    }
    struct wal_sealed_frame *frame = &sealed->frame;
    *frame =
        (struct wal_sealed_frame){.size = (uint64_t)header.payload_size + WAL_FRAME_OVERHEAD,
                                  .crc_named = header.crc,
                                  .last_version = header.first_version + header.commit_count - 1};
    uint64_t tag_offset = offset + frame->size - AEAD_TAG_SIZE;
    if (tag_offset + AEAD_TAG_SIZE <= sealed->window_start + sealed->window_size) {
        memcpy(frame->tag, sealed->window + (tag_offset - sealed->window_start), AEAD_TAG_SIZE);
        return POLARYS_OK;
    }
    code = vfs_read_exact(sealed->file, tag_offset, frame->tag, AEAD_TAG_SIZE, err);
    if (code != POLARYS_OK) {
        frame->size = 0;
    }
    return code;
}

/* The place moves behind the frame that is complete. */
static void frame_end(struct wal_sealed *sealed)
{
    struct wal_sealed_frame *frame = &sealed->frame;
    sealed->at.offset += wal_frame_stored_size(frame->size - WAL_FRAME_OVERHEAD);
    memcpy(sealed->at.tag, frame->tag, AEAD_TAG_SIZE);
    sealed->version = frame->last_version;
    *frame = (struct wal_sealed_frame){.size = 0};
}

/* The next part of the frame under way. */
static enum polarys_code frame_give(struct wal_sealed *sealed, uint64_t limit,
                                    struct wal_sealed_part *part, struct polarys_error *err)
{
    struct wal_sealed_frame *frame = &sealed->frame;
    const uint8_t *bytes = NULL;
    uint64_t left = frame->size - frame->done;
    size_t size =
        left < WAL_SEALED_PART_BYTES_MAX ? (size_t)left : (size_t)WAL_SEALED_PART_BYTES_MAX;
    enum polarys_code code =
        window_get(sealed, sealed->at.offset + frame->done, size, limit, &bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    size_t skipped = frame->done == 0 ? sizeof(frame->crc) : 0;
    uint32_t crc = checksum_crc32c(frame->crc, bytes + skipped, size - skipped);
    if (size == left && crc != frame->crc_named) {
        sealed->window_size = 0; /* it may have been the memory */
        return fail_corrupt(sealed, "the frame's checksum is wrong", err);
    }
    frame->crc = crc;
    frame->done += size;
    *part = (struct wal_sealed_part){.segment_id = sealed->at.segment_id,
                                     .offset = sealed->at.offset,
                                     .bytes = slice_make(bytes, size),
                                     .is_continued = size < left};
    if (!part->is_continued) {
        frame_end(sealed);
    }
    return POLARYS_OK;
}

static enum polarys_code part_next(struct wal_sealed *sealed, const struct wal_position *until,
                                   struct wal_sealed_part *part, bool *has_part,
                                   struct polarys_error *err)
{
    struct wal_position limit;
    bool goes_on;
    enum polarys_code code = POLARYS_OK;
    if (sealed->file == NULL) {
        code = wal_sealed_segment_open(sealed, sealed->at.segment_id, err);
    }
    if (code == POLARYS_OK) {
        code = wal_sealed_limit(sealed, until, &limit, &goes_on, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (sealed->at.offset >= limit.offset) {
        *has_part = goes_on;
        return goes_on ? segment_enter(sealed, sealed->successor_id, part, err) : POLARYS_OK;
    }
    *has_part = true;
    if (sealed->frame.size == 0) {
        code = frame_begin(sealed, limit.offset, err);
    }
    return code == POLARYS_OK ? frame_give(sealed, limit.offset, part, err) : code;
}

enum polarys_code wal_sealed_next(struct wal_sealed *sealed, const struct wal_position *until,
                                  struct wal_sealed_part *part, bool *has_part,
                                  struct polarys_error *err)
{
    *has_part = false;
    if (sealed->at.segment_id > until->segment_id ||
        (sealed->at.segment_id == until->segment_id && sealed->at.offset >= until->offset)) {
        return POLARYS_OK;
    }
    enum polarys_code code;
    if (sealed->at.segment_id == 0) {
        struct wal_stats stats;
        wal_stats_get(sealed->wal, &stats);
        *has_part = true;
        code = segment_enter(sealed, stats.oldest_segment_id, part, err);
    } else {
        code = part_next(sealed, until, part, has_part, err);
    }
    if (code == POLARYS_OK) {
        return POLARYS_OK;
    }
    *has_part = false;
    wal_sealed_pause(sealed);
    return polarys_wrap(err, code, "read the log");
}
