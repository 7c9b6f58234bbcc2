/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a damaged log: see wal_salvage.h.
 *
 * Headers are read first, since a segment's end is what its successor says; then each segment from front to back, past
 * its bad places. Versions only grow along the log, so the frames around a place tell which commits it held.
 */
#include "engine/wal/wal_salvage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"
#include "engine/wal/wal_reader.h"

struct salvage_segment {
    uint64_t segment_id;
    struct wal_header header;
    bool has_header; /* it authenticates, and is that of this name */
};

struct log_walk {
    const struct wal_options *options;
    const struct wal_salvage_visitor *visitor;
    struct wal_salvaged *salvaged;
    struct salvage_segment *segments;
    size_t segment_count;
};

static enum polarys_code gap_tell(struct log_walk *walk, const struct wal_gap *gap)
{
    return gap->last_version < gap->first_version ? POLARYS_OK
                                                  : walk->visitor->gap(walk->visitor->context, gap);
}

/* ---- headers ---- */

/* A header counts when it authenticates: it says where the segment before it ends. */
static enum polarys_code header_load(struct log_walk *walk, struct salvage_segment *segment,
                                     struct polarys_error *err)
{
    struct wal_reader reader = {.is_lenient = true};
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    wal_segment_name(segment->segment_id, name);
    enum polarys_code code = vfs_path_join(path, walk->options->dir, name, err);
    if (code == POLARYS_OK) {
        code = wal_reader_open(&reader, walk->options->vfs, path, walk->options->keyring, err);
    }
    if (code == POLARYS_NO_MEMORY) {
        return code;
    }
    segment->has_header = code == POLARYS_OK && reader.header.segment_id == segment->segment_id;
    if (code == POLARYS_OK) {
        segment->header = reader.header;
        wal_reader_close(&reader);
    }
    polarys_error_clear(err);
    return POLARYS_OK;
}

static enum polarys_code headers_load(struct log_walk *walk, struct polarys_error *err)
{
    struct wal_listing listing = {0};
    enum polarys_code code =
        wal_listing_read(walk->options->vfs, walk->options->dir, &listing, err);
    if (code == POLARYS_FILE_NOT_FOUND) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    if (code == POLARYS_OK && listing.segment_count > 0) {
        walk->segments = calloc(listing.segment_count, sizeof(*walk->segments));
        if (walk->segments == NULL) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for segment headers");
        }
    }
    for (size_t i = 0; i < listing.segment_count && code == POLARYS_OK; i++) {
        walk->segments[i].segment_id = listing.segment_ids[i];
        code = header_load(walk, &walk->segments[i], err);
        walk->segment_count = i + 1;
    }
    wal_listing_deinit(&listing);
    return code;
}

/* The next segment whose header is good, or NULL. */
static const struct salvage_segment *next_known(const struct log_walk *walk, size_t index)
{
    for (size_t i = index + 1; i < walk->segment_count; i++) {
        if (walk->segments[i].has_header) {
            return &walk->segments[i];
        }
    }
    return NULL;
}

/* The newest commit that may have stood before the next segment that tells. */
static uint64_t version_limit(const struct log_walk *walk, size_t index)
{
    const struct salvage_segment *next = next_known(walk, index);
    return next == NULL ? UINT64_MAX : next->header.first_version - 1;
}

/* ---- frames ---- */

/* A place at which the walk could not go on, as it was before the search behind it. */
struct bad_place {
    uint64_t offset;
    uint64_t first_version;
    const char *cause;
};

static enum polarys_code place_tell(struct log_walk *walk, const struct wal_reader *reader,
                                    const struct bad_place *place, uint64_t last_version,
                                    bool is_tail)
{
    uint64_t bytes = is_tail                          ? 0
                     : reader->offset > place->offset ? reader->offset - place->offset
                                                      : (uint64_t)WAL_BLOCK_SIZE;
    struct wal_gap gap = {.segment_id = reader->header.segment_id,
                          .offset = place->offset,
                          .bytes = bytes,
                          .first_version = place->first_version,
                          .last_version = last_version,
                          .is_tail = is_tail,
                          .cause = place->cause};
    return gap_tell(walk, &gap);
}

static enum polarys_code frame_give(struct log_walk *walk, const struct wal_frame *frame,
                                    struct polarys_error *err)
{
    struct wal_salvaged *salvaged = walk->salvaged;
    salvaged->frame_count++;
    salvaged->commit_count += frame->commit_count;
    salvaged->last_version = frame->first_version + frame->commit_count - 1;
    return walk->visitor->frame(walk->visitor->context, frame, err);
}

/* How a segment ends. */
struct segment_end {
    uint64_t offset;  /* where its successor says that it ends; 0: nobody says */
    uint64_t version; /* no commit of it is newer */
};

/* Past the place where the reader stands. *is_over when nothing follows; `place` then waits to be told. */
static enum polarys_code place_pass(struct log_walk *walk, struct wal_reader *reader,
                                    const struct segment_end *end, struct bad_place *place,
                                    bool *is_over, struct polarys_error *err)
{
    bool is_found = false;
    bool has_frame = false;
    struct wal_frame frame;
    enum polarys_code code = wal_reader_resume(reader, end->offset, &is_found, err);
    *is_over = !is_found;
    if (code != POLARYS_OK || !is_found) {
        return code;
    }
    code = wal_reader_next(reader, &frame, &has_frame, err);
    if (code != POLARYS_OK || !has_frame || frame.first_version > end->version) {
        /* It was good a moment ago: the medium is failing. What may follow counts as lost, so there must be a cause. */
        *is_over = true;
        if (place->cause == NULL) {
            place->cause = "no whole frame stands there, and what follows could not be read twice";
        }
        return code == POLARYS_NO_MEMORY ? code : POLARYS_OK;
    }
    uint64_t behind = reader->offset;
    reader->offset = frame.offset;
    code = place_tell(walk, reader, place, frame.first_version - 1, false);
    reader->offset = behind;
    return code == POLARYS_OK ? frame_give(walk, &frame, err) : code;
}

/* The reader is at the end of what can be read. */
static enum polarys_code end_tell(struct log_walk *walk, const struct wal_reader *reader,
                                  const struct segment_end *end, const struct bad_place *place)
{
    if (end->offset != 0 && place->offset >= end->offset) {
        return POLARYS_OK;
    }
    bool is_tail = end->offset == 0;
    if (is_tail && reader->torn_bytes == 0 && place->cause == NULL && !reader->has_unread) {
        return POLARYS_OK; /* nothing of this segment stands there */
    }
    struct bad_place told = *place;
    told.cause = place->cause != NULL ? place->cause
                 : reader->has_unread ? "what stands there cannot be read"
                 : is_tail            ? "the last frame is torn or damaged"
                                      : "no whole frame stands there";
    return place_tell(walk, reader, &told, end->version, is_tail);
}

static enum polarys_code frames_walk(struct log_walk *walk, struct wal_reader *reader,
                                     const struct segment_end *end, struct polarys_error *err)
{
    bool is_over = false;
    enum polarys_code code = POLARYS_OK;
    while (!is_over && code == POLARYS_OK && (end->offset == 0 || reader->offset < end->offset)) {
        struct wal_frame frame;
        bool has_frame = false;
        struct polarys_error cause = POLARYS_ERROR_INIT;
        struct bad_place place = {.offset = reader->offset, .first_version = reader->version_min};
        code = wal_reader_next(reader, &frame, &has_frame, &cause);
        if (code == POLARYS_NO_MEMORY) {
            return polarys_fail(err, code, "%s", cause.message);
        }
        if (has_frame && frame.first_version <= end->version) {
            code = frame_give(walk, &frame, err);
            continue;
        }
        if (has_frame) {
            return POLARYS_OK; /* cut off: its successor goes on before it */
        }
        place.cause = code != POLARYS_OK       ? cause.message
                      : reader->torn_bytes > 0 ? "a frame is torn or damaged"
                                               : NULL;
        code = place_pass(walk, reader, end, &place, &is_over, err);
        if (code == POLARYS_OK && is_over) {
            code = end_tell(walk, reader, end, &place);
        }
    }
    return code;
}

/* ---- segments ---- */

/* Where the log goes on without what comes before: files that are missing in between, or at its beginning. */
static enum polarys_code before_tell(struct log_walk *walk, size_t index)
{
    const struct salvage_segment *segment = &walk->segments[index];
    const struct wal_position *named = &segment->header.predecessor;
    uint64_t before = index == 0 ? 0 : walk->segments[index - 1].segment_id;
    if (named->segment_id == before) {
        return POLARYS_OK;
    }
    struct wal_gap gap = {.is_segment = true,
                          .is_beginning = index == 0,
                          .segment_id = named->segment_id,
                          .first_version = walk->salvaged->last_version + 1,
                          .last_version = segment->header.first_version - 1,
                          .cause = "the segment is missing"};
    return gap_tell(walk, &gap);
}

static enum polarys_code segment_lost(struct log_walk *walk, size_t index, const char *cause)
{
    struct wal_gap gap = {.is_segment = true,
                          .segment_id = walk->segments[index].segment_id,
                          .first_version = walk->salvaged->last_version + 1,
                          .last_version = version_limit(walk, index),
                          .cause = cause};
    return gap_tell(walk, &gap);
}

static enum polarys_code segment_walk(struct log_walk *walk, size_t index,
                                      struct polarys_error *err)
{
    struct wal_reader reader = {.is_lenient = true};
    struct polarys_error cause = POLARYS_ERROR_INIT;
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    uint64_t segment_id = walk->segments[index].segment_id;
    wal_segment_name(segment_id, name);
    enum polarys_code code = vfs_path_join(path, walk->options->dir, name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = wal_reader_open(&reader, walk->options->vfs, path, walk->options->keyring, &cause);
    if (code == POLARYS_NO_MEMORY) {
        return polarys_fail(err, code, "%s", cause.message);
    }
    if (code != POLARYS_OK || !walk->segments[index].has_header) {
        bool is_another = code == POLARYS_OK && reader.header.segment_id != segment_id;
        wal_reader_close(&reader);
        return segment_lost(walk, index,
                            code != POLARYS_OK ? cause.message
                            : is_another       ? "it is another segment's file"
                                               : "its header could not be read at first");
    }
    const struct salvage_segment *next = next_known(walk, index);
    bool is_named = next != NULL && next->header.predecessor.segment_id == segment_id;
    struct segment_end end = {.offset = is_named ? next->header.predecessor.offset : 0,
                              .version = version_limit(walk, index)};
    struct wal_salvaged *salvaged = walk->salvaged;
    salvaged->term_max =
        reader.header.term > salvaged->term_max ? reader.header.term : salvaged->term_max;
    salvaged->newest_first_version = reader.header.first_version;
    code = before_tell(walk, index);
    if (code == POLARYS_OK) {
        /* Segments that contradict one another are read as far as versions grow. */
        reader.version_min = reader.version_min > salvaged->last_version
                                 ? reader.version_min
                                 : salvaged->last_version + 1;
        code = frames_walk(walk, &reader, &end, err);
    }
    wal_reader_close(&reader);
    return code;
}

enum polarys_code wal_salvage(const struct wal_options *options,
                              const struct wal_salvage_visitor *visitor,
                              struct wal_salvaged *salvaged, struct polarys_error *err)
{
    struct log_walk walk = {.options = options, .visitor = visitor, .salvaged = salvaged};
    POLARYS_ASSERT(visitor->frame != NULL && visitor->gap != NULL);
    memset(salvaged, 0, sizeof(*salvaged));
    enum polarys_code code = headers_load(&walk, err);
    salvaged->segment_count = walk.segment_count;
    for (size_t i = 0; i < walk.segment_count && code == POLARYS_OK; i++) {
        salvaged->newest_segment_id = walk.segments[i].segment_id;
        code = segment_walk(&walk, i, err);
    }
    free(walk.segments);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read log %s", options->dir);
}
