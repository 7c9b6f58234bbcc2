/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a tail of the log may begin: the position has to be one at which a frame of this very log ends.
 *
 * The tag decides: it is the authentication tag of the frame before the position, which the frame behind it
 * names. So a log that has the same length and other content is told apart without reading any of it.
 */
#include <inttypes.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_sealed_internal.h"

/* The beginning of the store: only where the oldest segment is its first. */
static enum polarys_code begin_at_zero(struct wal_sealed *sealed, struct polarys_error *err)
{
    struct wal_stats stats;
    wal_stats_get(sealed->wal, &stats);
    if (stats.oldest_segment_id == 0) {
        return POLARYS_OK; /* a follower without log */
    }
    enum polarys_code code = wal_sealed_segment_open(sealed, stats.oldest_segment_id, err);
    if (code == POLARYS_OK && sealed->header.predecessor.segment_id != 0) {
        code = wal_sealed_fail_pruned(sealed, 0, err);
    }
    wal_sealed_pause(sealed);
    return code;
}

/*
 * Walks the open segment from its first frame to `limit`. sealed->version becomes the last one before it, 0 when
 * the segment holds none. *is_passed: a frame ends at `offset`. Errors: CORRUPT, IO.
 */
static enum polarys_code segment_walk(struct wal_sealed *sealed, const struct wal_position *until,
                                      const struct wal_position *limit, uint64_t offset,
                                      bool *is_passed, struct polarys_error *err)
{
    struct wal_sealed walk = {.wal = sealed->wal};
    struct wal_sealed_part part;
    bool has_part = true;
    *is_passed = offset == WAL_SEGMENT_HEADER_SIZE;
    walk.at.segment_id = sealed->header.segment_id;
    walk.at.offset = WAL_SEGMENT_HEADER_SIZE;
    memcpy(walk.at.tag, sealed->header.tag, AEAD_TAG_SIZE);
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && has_part && walk.at.offset < limit->offset) {
        code = wal_sealed_next(&walk, until, &part, &has_part, err);
        *is_passed = *is_passed || walk.at.offset == offset;
    }
    wal_sealed_pause(&walk);
    sealed->version = walk.version;
    return code;
}

/* What to say of a position that does not fit. Damage, which looks the same, is told apart by reading. */
static enum polarys_code fail_diverged(struct wal_sealed *sealed, const struct wal_position *from,
                                       const struct wal_position *until,
                                       const struct wal_position *limit, struct polarys_error *err)
{
    bool is_passed = false;
    enum polarys_code code = segment_walk(sealed, until, limit, from->offset, &is_passed, err);
    if (code != POLARYS_OK) {
        return code;
    }
    (void)polarys_fail(
        err, POLARYS_HISTORY_DIVERGED,
        "byte %" PRIu64 " of log segment %" PRIu64 " is %s; the segment goes to byte "
        "%" PRIu64 " here",
        from->offset, from->segment_id,
        is_passed ? "the end of another frame" : "not the end of a frame", limit->offset);
    polarys_error_detail_set(err, "segment", "%" PRIu64, limit->segment_id);
    polarys_error_detail_set(err, "offset", "%" PRIu64, limit->offset);
    if (from->offset > limit->offset && sealed->version != 0) {
        polarys_error_detail_set(err, "common_version", "%" PRIu64, sealed->version);
    }
    return POLARYS_HISTORY_DIVERGED;
}

/* Whether the frame at the position chains to its tag; *version is the last one before it. */
static enum polarys_code frame_look(struct wal_sealed *sealed, const struct wal_position *from,
                                    bool *fits, uint64_t *version, struct polarys_error *err)
{
    uint8_t bytes[WAL_FRAME_HEADER_SIZE];
    struct wal_frame_header header;
    enum polarys_code code = vfs_read_exact(sealed->file, from->offset, bytes, sizeof(bytes), err);
    *fits = code == POLARYS_OK && wal_frame_header_take(bytes, from->segment_id, &header) &&
            memcmp(header.previous_tag, from->tag, AEAD_TAG_SIZE) == 0;
    *version = *fits ? header.first_version - 1 : 0;
    return code;
}

/* Holds the position against the segment that is open. */
static enum polarys_code position_check(struct wal_sealed *sealed, const struct wal_position *from,
                                        const struct wal_position *until, uint64_t until_version,
                                        struct polarys_error *err)
{
    struct wal_position limit;
    bool goes_on;
    bool fits = false;
    enum polarys_code code = wal_sealed_limit(sealed, until, &limit, &goes_on, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (from->offset == limit.offset) {
        fits = memcmp(from->tag, limit.tag, AEAD_TAG_SIZE) == 0;
        sealed->version = goes_on ? sealed->version_behind : until_version;
    } else if (from->offset < limit.offset && from->offset >= WAL_SEGMENT_HEADER_SIZE &&
               from->offset % WAL_BLOCK_SIZE == 0) {
        code = frame_look(sealed, from, &fits, &sealed->version, err);
    }
    return code != POLARYS_OK || fits ? code : fail_diverged(sealed, from, until, &limit, err);
}

enum polarys_code wal_sealed_open(struct wal_sealed *sealed, struct wal *wal,
                                  const struct wal_position *from, const struct wal_position *until,
                                  uint64_t until_version, struct polarys_error *err)
{
    struct wal_stats stats;
    enum polarys_code code;
    *sealed = (struct wal_sealed){.wal = wal, .at = *from};
    wal_stats_get(wal, &stats);
    if (from->segment_id == 0) {
        static const struct wal_position zero;
        sealed->at = zero;
        code = begin_at_zero(sealed, err);
    } else if (from->segment_id < stats.oldest_segment_id) {
        code = wal_sealed_fail_pruned(sealed, from->segment_id, err);
    } else if (from->segment_id > until->segment_id) {
        code = polarys_fail(err, POLARYS_HISTORY_DIVERGED,
                            "the log goes to segment %" PRIu64 ", not to %" PRIu64,
                            until->segment_id, from->segment_id);
        polarys_error_detail_set(err, "segment", "%" PRIu64, until->segment_id);
        polarys_error_detail_set(err, "offset", "%" PRIu64, until->offset);
    } else {
        code = wal_sealed_segment_open(sealed, from->segment_id, err);
        if (code == POLARYS_OK) {
            code = position_check(sealed, from, until, until_version, err);
        }
    }
    if (code != POLARYS_OK) {
        wal_sealed_pause(sealed);
        return polarys_wrap(err, code, "begin in the log");
    }
    return POLARYS_OK;
}
