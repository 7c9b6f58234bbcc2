/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: the log as one sequence of frames, and where it ends.
 *
 * A segment ends where its successor's header says; the newest one ends at the first place without a good
 * frame. Such a place is damage when evidence shows that the log had been durable there: a good frame
 * behind it that names a synced offset beyond it, a successor that names a later end, or a file shorter
 * than it was made. Otherwise it is the torn tail of an append that never returned, and is dropped.
 *
 * No crash leaves a bad segment header (wal_segment.c), so one is damage wherever it is needed.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/wal/wal_internal.h"
#include "engine/wal/wal_reader.h"

/* What wal_recover was asked for. */
struct wal_walk {
    const struct wal_options *options;
    uint64_t from_version;
    const struct wal_visitor *visitor;
    struct wal_recovery *recovery;
};

/* The segments of the directory, and the headers of those from `start` on. */
struct wal_chain {
    struct wal_listing listing;
    struct wal_header *headers; /* [i] belongs to listing.segment_ids[i] */
    size_t start;
};

static void chain_deinit(struct wal_chain *chain)
{
    wal_listing_deinit(&chain->listing);
    free(chain->headers);
}

/* Adds what to do to a refusal over damage. */
static enum polarys_code fail_damaged(struct polarys_error *err, enum polarys_code code,
                                      uint64_t segment_id, uint64_t offset)
{
    (void)polarys_wrap(err, code,
                       "the log is damaged, nothing was changed: put back a good copy, or take out "
                       "what can be read with `polarys salvage` (`polarys log inspect FILE` shows "
                       "how far a segment is good)");
    wal_error_place(err, segment_id, offset);
    return code;
}

/*
 * Reads headers from the newest back to the segment that holds the first version above `from_version`,
 * and checks that each names its predecessor.
 */
static enum polarys_code chain_load(const struct wal_options *options, uint64_t from_version,
                                    struct wal_chain *chain, struct polarys_error *err)
{
    memset(chain, 0, sizeof(*chain));
    enum polarys_code code = wal_listing_read(options->vfs, options->dir, &chain->listing, err);
    if (code != POLARYS_OK || chain->listing.segment_count == 0) {
        return code;
    }
    const uint64_t *ids = chain->listing.segment_ids;
    size_t count = chain->listing.segment_count;
    chain->headers = calloc(count, sizeof(*chain->headers));
    if (chain->headers == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu segment headers", count);
    }
    for (size_t i = count; i-- > 0;) {
        struct wal_header *header = &chain->headers[i];
        uint64_t file_bytes;
        code = wal_header_read(options->vfs, options->dir, ids[i], header, &file_bytes, err);
        if (code == POLARYS_CORRUPT) {
            return fail_damaged(err, code, ids[i], 0);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        if (memcmp(header->store_id, keyring_store_id(options->keyring), STORE_ID_SIZE) != 0) {
            return polarys_fail(err, POLARYS_WRONG_STORE,
                                "log segment %" PRIu64 " belongs to another store", ids[i]);
        }
        if (i + 1 < count && chain->headers[i + 1].predecessor.segment_id != ids[i]) {
            (void)polarys_fail(
                err, POLARYS_CORRUPT,
                "log segment %" PRIu64 ", which comes before %" PRIu64 ", is missing in %s",
                chain->headers[i + 1].predecessor.segment_id, ids[i + 1], options->dir);
            return fail_damaged(err, POLARYS_CORRUPT, chain->headers[i + 1].predecessor.segment_id,
                                0);
        }
        chain->start = i;
        if (header->first_version <= from_version + 1 && from_version != UINT64_MAX) {
            break;
        }
    }
    return POLARYS_OK;
}

/* Hands the frames above `from_version` to the visitor, up to `limit` (0: to the end). */
static enum polarys_code frames_walk(struct wal_reader *reader, const struct wal_walk *walk,
                                     uint64_t limit, struct polarys_error *err)
{
    struct wal_recovery *recovery = walk->recovery;
    bool has_frame = true;
    while (limit == 0 || reader->offset < limit) {
        struct wal_frame frame;
        enum polarys_code code = wal_reader_next(reader, &frame, &has_frame, err);
        if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED) {
            return fail_damaged(err, code, reader->header.segment_id, reader->offset);
        }
        if (code != POLARYS_OK || !has_frame) {
            return code;
        }
        recovery->frame_count++;
        recovery->last_version = frame.first_version + frame.commit_count - 1;
        if (recovery->last_version > walk->from_version) {
            code = walk->visitor->frame(walk->visitor->context, &frame, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

/* An older segment has to end where its successor says. */
static enum polarys_code end_check_named(const struct wal_reader *reader,
                                         const struct wal_position *named,
                                         struct polarys_error *err)
{
    if (reader->offset == named->offset && memcmp(reader->tag, named->tag, AEAD_TAG_SIZE) == 0) {
        return POLARYS_OK;
    }
    (void)polarys_fail(err, POLARYS_CORRUPT,
                       "log segment %s is good up to byte %" PRIu64
                       ", but its successor says that it goes to byte %" PRIu64 "%s",
                       reader->path, reader->offset, named->offset,
                       reader->offset == named->offset ? " with another tag" : "");
    return fail_damaged(err, POLARYS_CORRUPT, reader->header.segment_id, reader->offset);
}

static bool position_is_before(const struct wal_reader *reader, const struct wal_position *position)
{
    uint64_t segment_id = reader->header.segment_id;
    return segment_id < position->segment_id ||
           (segment_id == position->segment_id && reader->offset < position->offset);
}

/* A follower fetches again what is not good, unless it has reported it as durable. */
static enum polarys_code end_check_follower(const struct wal_reader *reader,
                                            const struct wal_position *durable,
                                            struct wal_recovery *recovery,
                                            struct polarys_error *err)
{
    if (position_is_before(reader, durable)) {
        (void)polarys_fail(err, POLARYS_CORRUPT,
                           "log segment %s is good up to byte %" PRIu64 ", but segment %" PRIu64
                           " was durable up to byte %" PRIu64,
                           reader->path, reader->offset, durable->segment_id, durable->offset);
        return fail_damaged(err, POLARYS_CORRUPT, reader->header.segment_id, reader->offset);
    }
    recovery->torn_bytes = reader->torn_bytes;
    return POLARYS_OK;
}

/* The newest segment ends in a torn tail, or not at all by accident. */
static enum polarys_code end_check_newest(struct wal_reader *reader, struct wal_recovery *recovery,
                                          struct polarys_error *err)
{
    bool is_found = false;
    uint64_t found_offset = 0;
    enum polarys_code code = wal_reader_find_evidence(reader, &is_found, &found_offset, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (is_found) {
        (void)polarys_fail(err, POLARYS_CORRUPT,
                           "log segment %s: no good frame at byte %" PRIu64
                           ", but the one at byte %" PRIu64 " was written after it",
                           reader->path, reader->offset, found_offset);
        return fail_damaged(err, POLARYS_CORRUPT, reader->header.segment_id, reader->offset);
    }
    if (reader->torn_bytes > 0 && reader->file_bytes < reader->header.file_bytes) {
        (void)polarys_fail(err, POLARYS_CORRUPT,
                           "log segment %s: the frame at byte %" PRIu64
                           " is cut off; the file has %" PRIu64 " of its %" PRIu64 " bytes",
                           reader->path, reader->offset, reader->file_bytes,
                           reader->header.file_bytes);
        return fail_damaged(err, POLARYS_CORRUPT, reader->header.segment_id, reader->offset);
    }
    if (reader->torn_bytes > 0) {
        recovery->torn_bytes = reader->torn_bytes;
        polarys_log(POLARYS_LOG_WARN, "wal",
                    "dropped a torn tail of %" PRIu64 " bytes at byte %" PRIu64 " of %s",
                    reader->torn_bytes, reader->offset, reader->path);
    }
    return POLARYS_OK;
}

static enum polarys_code segment_recover(const struct wal_walk *walk, const struct wal_chain *chain,
                                         size_t index, struct polarys_error *err)
{
    struct wal_recovery *recovery = walk->recovery;
    struct wal_reader reader = {.file = NULL};
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    uint64_t segment_id = chain->listing.segment_ids[index];
    bool is_newest = index + 1 == chain->listing.segment_count;
    wal_segment_name(segment_id, name);
    enum polarys_code code = vfs_path_join(path, walk->options->dir, name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = wal_reader_open(&reader, walk->options->vfs, path, walk->options->keyring, err);
    if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED) {
        return fail_damaged(err, code, segment_id, 0);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    const struct wal_position *named = is_newest ? NULL : &chain->headers[index + 1].predecessor;
    if (reader.version_min <= recovery->last_version) {
        (void)polarys_fail(err, POLARYS_CORRUPT,
                           "log segment %s begins at version %" PRIu64 ", after version %" PRIu64,
                           path, reader.version_min, recovery->last_version);
        code = fail_damaged(err, POLARYS_CORRUPT, segment_id, 0);
    }
    if (code == POLARYS_OK) {
        code = frames_walk(&reader, walk, is_newest ? 0 : named->offset, err);
    }
    if (code == POLARYS_OK) {
        code = !is_newest ? end_check_named(&reader, named, err)
               : walk->options->is_follower
                   ? end_check_follower(&reader, &walk->options->follower_durable, recovery, err)
                   : end_check_newest(&reader, recovery, err);
    }
    if (code == POLARYS_OK && is_newest) {
        recovery->term = reader.header.term;
        recovery->first_version = reader.header.first_version;
        memcpy(recovery->history_id, reader.header.history_id, HISTORY_ID_SIZE);
        recovery->end.segment_id = segment_id;
        recovery->end.offset = reader.offset;
        recovery->ordinal_next = (uint32_t)reader.ordinal;
        memcpy(recovery->end.tag, reader.tag, AEAD_TAG_SIZE);
    }
    wal_reader_close(&reader);
    return code;
}

enum polarys_code wal_recover(const struct wal_options *options, uint64_t from_version,
                              const struct wal_visitor *visitor, struct wal_recovery *recovery,
                              struct polarys_error *err)
{
    struct wal_chain chain;
    struct wal_walk walk = {
        .options = options, .from_version = from_version, .visitor = visitor, .recovery = recovery};
    memset(recovery, 0, sizeof(*recovery));
    enum polarys_code code = chain_load(options, from_version, &chain, err);
    recovery->segment_count = chain.listing.segment_count;
    for (size_t i = chain.start; i < chain.listing.segment_count && code == POLARYS_OK; i++) {
        code = segment_recover(&walk, &chain, i, err);
    }
    chain_deinit(&chain);
    return code == POLARYS_OK ? POLARYS_OK
                              : polarys_wrap(err, code, "recover log %s", options->dir);
}

/* Whether a frame of the segment, good or torn, begins at the offset. */
static enum polarys_code frame_begins_at(const struct wal_options *options,
                                         const struct wal_position *position, bool *begins,
                                         struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    uint8_t bytes[WAL_FRAME_HEADER_SIZE];
    size_t size = 0;
    struct wal_frame_header header;
    struct vfs_file *file = NULL;
    wal_segment_name(position->segment_id, name);
    enum polarys_code code = vfs_path_join(path, options->dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_open(options->vfs, path, VFS_READ, &file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_read_at(file, position->offset, bytes, sizeof(bytes), &size, err);
        vfs_close(file, NULL);
    }
    *begins = code == POLARYS_OK && size == sizeof(bytes) &&
              wal_frame_header_take(bytes, position->segment_id, &header);
    return code;
}

enum polarys_code wal_ends_at(const struct wal_options *options,
                              const struct wal_position *position, bool *ends_here,
                              struct polarys_error *err)
{
    struct wal_listing listing;
    bool begins = false;
    *ends_here = false;
    enum polarys_code code = wal_listing_read(options->vfs, options->dir, &listing, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    uint64_t newest_id =
        listing.segment_count == 0 ? 0 : listing.segment_ids[listing.segment_count - 1];
    wal_listing_deinit(&listing);
    if (newest_id != position->segment_id || newest_id == 0) {
        *ends_here = newest_id == position->segment_id;
        return POLARYS_OK;
    }
    struct wal_header header;
    uint64_t file_bytes = 0;
    code = wal_header_read(options->vfs, options->dir, newest_id, &header, &file_bytes, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = frame_begins_at(options, position, &begins, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    *ends_here = !begins && position->offset <= file_bytes;
    return POLARYS_OK;

fail:
    return polarys_wrap(err, code, "find the end of log %s", options->dir);
}
