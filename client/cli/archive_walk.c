/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a line in order. A frame is handed out only after its piece was read whole and checked, and after it was
 * seen to follow the one before.
 */
#include <inttypes.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_read.h"

/* A walk under way. */
struct walk {
    struct archive_reader *reader;
    const struct archive_index *index;
    const struct archive_sink *sink;
    struct polarys_log_position at; /* behind what was handed out, or was passed over as old */
    bool has_piece;                 /* digest is of the only piece that ends here */
    uint8_t digest[DIGEST_SIZE];    /* of the piece before */
    bool is_done;
};

static enum polarys_code missing(const struct walk *walk, uint64_t segment_id, uint64_t offset,
                                 struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_CORRUPT,
                        "a piece is missing: of segment %" PRIu64 ", from offset %" PRIu64
                        " to %" PRIu64 " (" ARCHIVE_LOG_PREFIX "%012" PRIu64 "-...-%010" PRIu64
                        "-...)",
                        segment_id, walk->at.offset, offset, segment_id, walk->at.offset);
}

/* The header of a segment, which has to name the end of what came before. */
static enum polarys_code segment_give(struct walk *walk, const struct archive_piece *piece,
                                      struct polarys_error *err)
{
    const struct polarys_log_position *named = &piece->segment.predecessor;
    if (walk->at.segment_id == piece->segment.segment_id) {
        return POLARYS_OK; /* the walk began behind it */
    }
    if (named->segment_id != walk->at.segment_id || named->offset != walk->at.offset ||
        memcmp(named->tag, walk->at.tag, POLARYS_LOG_TAG_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "segment %" PRIu64 " does not follow the log before it",
                            piece->segment.segment_id);
    }
    enum polarys_code code =
        walk->sink->segment(walk->sink->context, &piece->segment,
                            slice_make(piece->log.data, POLARYS_LOG_SEGMENT_HEADER_SIZE), err);
    walk->at = (struct polarys_log_position){.segment_id = piece->segment.segment_id,
                                             .offset = POLARYS_LOG_SEGMENT_HEADER_SIZE,
                                             .version = walk->at.version};
    memcpy(walk->at.tag, piece->segment.tag, POLARYS_LOG_TAG_SIZE);
    return code;
}

static enum polarys_code frame_give(struct walk *walk, const struct polarys_log_frame *frame,
                                    struct polarys_slice bytes, struct polarys_error *err)
{
    if (memcmp(frame->previous_tag, walk->at.tag, POLARYS_LOG_TAG_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "the frame at offset %" PRIu64 " of segment %" PRIu64
                            " is not chained to the log before it",
                            walk->at.offset, walk->at.segment_id);
    }
    enum polarys_code code = walk->sink->frame(
        walk->sink->context, frame, slice_make(bytes.data, frame->size), &walk->is_done, err);
    walk->at.offset += frame->stored_size;
    memcpy(walk->at.tag, frame->tag, POLARYS_LOG_TAG_SIZE);
    return code;
}

/* Hands out what of the piece lies between the place of the walk and `limit`. */
static enum polarys_code piece_give(struct walk *walk, const struct archive_piece *piece,
                                    uint64_t limit, struct polarys_error *err)
{
    uint64_t offset = piece->head.place.start;
    struct polarys_slice left = piece->log;
    enum polarys_code code = POLARYS_OK;
    if (piece->has_segment) {
        code = segment_give(walk, piece, err);
        offset = POLARYS_LOG_SEGMENT_HEADER_SIZE;
        left = slice_make(left.data + offset, left.size - offset);
    }
    while (code == POLARYS_OK && left.size > 0 && offset < limit && !walk->is_done) {
        struct polarys_log_frame frame = {.size = 0};
        code = polarys_log_frame_read(left, piece->head.place.segment_id, &frame, err);
        if (code == POLARYS_OK && offset >= walk->at.offset) {
            code = frame_give(walk, &frame, left, err);
        }
        offset += frame.stored_size;
        left = slice_make(left.data + frame.size, left.size - frame.size);
    }
    return code;
}

static enum polarys_code piece_walk(struct walk *walk, const struct archive_place *place,
                                    uint64_t limit, struct polarys_error *err)
{
    static const uint8_t none[DIGEST_SIZE];
    struct archive_piece piece;
    enum polarys_code code = archive_reader_piece(walk->reader, place, &piece, err);
    if (code == POLARYS_OK && walk->has_piece &&
        memcmp(piece.head.previous, none, DIGEST_SIZE) != 0 &&
        memcmp(piece.head.previous, walk->digest, DIGEST_SIZE) != 0) {
        char name[ARCHIVE_NAME_MAX];
        archive_name_make(place, name);
        code = polarys_fail(err, POLARYS_CORRUPT,
                            "piece %s names another piece before it than there is", name);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    walk->has_piece = true;
    memcpy(walk->digest, piece.digest, DIGEST_SIZE);
    return piece_give(walk, &piece, limit, err);
}

static enum polarys_code step_walk(struct walk *walk, const struct archive_step *step,
                                   struct polarys_error *err)
{
    uint64_t limit = step->has_limit ? step->limit.offset : UINT64_MAX;
    enum polarys_code code = POLARYS_OK;
    uint64_t segment_id = walk->index->entries[step->first].segment_id;
    for (size_t i = step->first; i < step->end && code == POLARYS_OK && !walk->is_done; i++) {
        const struct archive_place *place = &walk->index->entries[i];
        uint64_t reached = walk->at.segment_id == segment_id ? walk->at.offset : 0;
        if (place->end > reached && place->start > reached && place->start < limit) {
            return missing(walk, segment_id, place->start, err);
        }
        /*
         * A piece that an archiver had sent before it was killed may have been stored after the next one looked: the two
         * then hold some of the same log. Which of them the next piece names is not known; the frames' chain is enough.
         */
        walk->has_piece = walk->has_piece && place->start >= reached;
        if (place->end <= reached || place->start >= limit) {
            continue;
        }
        code = piece_walk(walk, place, limit, err);
    }
    if (code == POLARYS_OK && !walk->is_done && step->has_limit &&
        (walk->at.segment_id != segment_id || walk->at.offset < limit)) {
        code = missing(walk, segment_id, limit, err);
    }
    return code;
}

enum polarys_code archive_walk(struct archive_reader *reader, const struct archive_index *index,
                               const struct archive_line *line,
                               const struct polarys_log_position *from,
                               const struct archive_sink *sink, struct polarys_error *err)
{
    struct walk walk = {.reader = reader, .index = index, .sink = sink, .at = *from};
    enum polarys_code code = POLARYS_OK;
    POLARYS_ASSERT(from->segment_id != 0 || line->step_count == 0 || from->offset == 0);
    for (size_t i = 0; i < line->step_count && code == POLARYS_OK && !walk.is_done; i++) {
        code = step_walk(&walk, &line->steps[i], err);
    }
    return code;
}
