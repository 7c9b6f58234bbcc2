/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pieces lead from a position to the newest log. Each segment names where its predecessor ends, so the way is found
 * backwards, from the newest segment of the highest term; what an old primary had beyond that end is on no way.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_read.h"

/* The pieces of one segment under one term. */
struct group {
    size_t first;
    size_t end;
    bool has_header;                         /* the piece with the segment's header is there */
    struct polarys_log_position predecessor; /* where has_header */
    bool is_dead;                            /* does not lead to the position */
};

/* A search under way. */
struct finder {
    struct archive_reader *reader;
    const struct archive_index *index;
    const struct polarys_log_position *from;
    struct group *groups;
    size_t group_count;
    size_t *way; /* groups, the newest first */
    size_t way_count;
};

static const struct archive_place *first_of(const struct finder *finder, const struct group *group)
{
    return &finder->index->entries[group->first];
}

static enum polarys_code groups_make(struct finder *finder, struct polarys_error *err)
{
    const struct archive_index *index = finder->index;
    finder->groups = calloc(index->entry_count + 1, sizeof(*finder->groups));
    finder->way = calloc(index->entry_count + 1, sizeof(*finder->way));
    if (finder->groups == NULL || finder->way == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu pieces", index->entry_count);
    }
    for (size_t i = 0; i < index->entry_count; i = archive_group_end(index, i)) {
        struct group *group = &finder->groups[finder->group_count++];
        *group = (struct group){.first = i, .end = archive_group_end(index, i)};
        group->has_header = index->entries[i].start == 0;
    }
    return POLARYS_OK;
}

/* Whether a frame, or the header, ends at the position with its tag, or the log goes on there behind a hole (`may_begin`). */
static enum polarys_code group_holds(const struct finder *finder, const struct group *group,
                                     const struct polarys_log_position *at, bool may_begin,
                                     bool *holds, struct polarys_error *err)
{
    *holds = false;
    for (size_t i = group->first; i < group->end; i++) {
        const struct archive_place *place = &finder->index->entries[i];
        struct archive_piece piece;
        if (at->offset < place->start || at->offset > place->end ||
            (at->offset == place->start && i > group->first && !may_begin)) {
            continue;
        }
        enum polarys_code code = archive_reader_piece(finder->reader, place, &piece, err);
        if (code != POLARYS_OK) {
            return code;
        }
        uint64_t offset = place->start;
        const uint8_t *tag = piece.head.tag_before;
        struct polarys_slice left = piece.log;
        struct polarys_log_frame frame;
        if (piece.has_segment) {
            offset = POLARYS_LOG_SEGMENT_HEADER_SIZE;
            tag = piece.segment.tag;
            left = slice_make(left.data + offset, left.size - offset);
        }
        while (offset < at->offset && left.size > 0) {
            code = polarys_log_frame_read(left, place->segment_id, &frame, err);
            if (code != POLARYS_OK) {
                return code;
            }
            offset += frame.stored_size;
            tag = frame.tag;
            left = slice_make(left.data + frame.size, left.size - frame.size);
        }
        *holds = offset == at->offset && memcmp(tag, at->tag, POLARYS_LOG_TAG_SIZE) == 0;
        return POLARYS_OK;
    }
    return POLARYS_OK;
}

/* The group of the segment that ends, or goes on, as `at` says; NULL when there is none. */
static enum polarys_code parent_find(const struct finder *finder,
                                     const struct polarys_log_position *at, uint64_t term_max,
                                     struct group **parent, struct polarys_error *err)
{
    *parent = NULL;
    for (size_t i = finder->group_count; i > 0; i--) {
        struct group *group = &finder->groups[i - 1];
        const struct archive_place *place = first_of(finder, group);
        bool holds = false;
        if (place->segment_id < at->segment_id) {
            break;
        }
        if (place->segment_id != at->segment_id || place->term > term_max) {
            continue;
        }
        enum polarys_code code = group_holds(finder, group, at, false, &holds, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (holds) {
            *parent = group;
            return POLARYS_OK;
        }
    }
    return POLARYS_OK;
}

static enum polarys_code header_load(const struct finder *finder, struct group *group,
                                     struct polarys_error *err)
{
    struct archive_piece piece;
    enum polarys_code code =
        archive_reader_head(finder->reader, first_of(finder, group), &piece, err);
    if (code == POLARYS_OK) {
        group->predecessor = piece.segment.predecessor;
    }
    return code;
}

static bool is_same_place(const struct polarys_log_position *left,
                          const struct polarys_log_position *right)
{
    return left->segment_id == right->segment_id && left->offset == right->offset &&
           memcmp(left->tag, right->tag, POLARYS_LOG_TAG_SIZE) == 0;
}

static void gap_tell(const struct finder *finder, const struct group *group,
                     struct archive_line *line)
{
    const struct archive_place *place = first_of(finder, group);
    if (line->has_gap) {
        return; /* the newest is what matters */
    }
    line->has_gap = true;
    if (place->segment_id == finder->from->segment_id) {
        (void)snprintf(line->gap, sizeof(line->gap),
                       "the log of segment %" PRIu64 " (term %" PRIu64 ") at offset %" PRIu64
                       ", from which to go on, is missing, or is not the same",
                       place->segment_id, place->term, finder->from->offset);
    } else if (group->has_header) {
        (void)snprintf(line->gap, sizeof(line->gap),
                       "the log of segment %" PRIu64 " up to offset %" PRIu64
                       ", which segment %" PRIu64 " of term %" PRIu64 " follows, is missing",
                       group->predecessor.segment_id, group->predecessor.offset, place->segment_id,
                       place->term);
    } else {
        (void)snprintf(line->gap, sizeof(line->gap),
                       "the log before offset %" PRIu64 " of segment %" PRIu64 " (term %" PRIu64
                       ") is missing",
                       place->start, place->segment_id, place->term);
    }
}

/* Follows the predecessors of a group to the position. */
static enum polarys_code way_try(struct finder *finder, size_t newest, bool *reaches,
                                 struct archive_line *line, struct polarys_error *err)
{
    struct group *group = &finder->groups[newest];
    *reaches = false;
    finder->way_count = 0;
    while (!group->is_dead) {
        enum polarys_code code = POLARYS_OK;
        const struct archive_place *place = first_of(finder, group);
        finder->way[finder->way_count++] = (size_t)(group - finder->groups);
        if (place->segment_id == finder->from->segment_id) {
            code = group_holds(finder, group, finder->from, true, reaches, err);
            if (*reaches || code != POLARYS_OK) {
                return code;
            }
        }
        if (place->segment_id <= finder->from->segment_id) {
            break;
        }
        if (group->has_header) {
            code = header_load(finder, group, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        *reaches = group->has_header && is_same_place(&group->predecessor, finder->from);
        if (*reaches) {
            return POLARYS_OK;
        }
        struct group *parent = NULL;
        if (group->has_header) {
            code = parent_find(finder, &group->predecessor, place->term, &parent, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        if (parent == NULL) {
            break;
        }
        group = parent;
    }
    if (!group->is_dead) {
        gap_tell(finder, group, line);
    }
    for (size_t i = 0; i < finder->way_count; i++) {
        finder->groups[finder->way[i]].is_dead = true;
    }
    return POLARYS_OK;
}

/* The living group of the highest term and, within it, the highest segment; false when there is none. */
static bool newest_find(const struct finder *finder, size_t *newest)
{
    bool has_one = false;
    for (size_t i = 0; i < finder->group_count; i++) {
        const struct group *group = &finder->groups[i];
        if (group->is_dead) {
            continue;
        }
        if (!has_one ||
            first_of(finder, group)->term >= first_of(finder, &finder->groups[*newest])->term) {
            *newest = i;
            has_one = true;
        }
    }
    return has_one;
}

static enum polarys_code steps_make(const struct finder *finder, struct archive_line *line,
                                    struct polarys_error *err)
{
    line->steps = calloc(finder->way_count, sizeof(*line->steps));
    if (line->steps == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu segments",
                            finder->way_count);
    }
    for (size_t i = finder->way_count; i > 0; i--) {
        const struct group *group = &finder->groups[finder->way[i - 1]];
        struct archive_step *step = &line->steps[line->step_count++];
        *step = (struct archive_step){.first = group->first, .end = group->end};
        if (i > 1) {
            step->has_limit = true;
            step->limit = finder->groups[finder->way[i - 2]].predecessor;
        }
    }
    return POLARYS_OK;
}

enum polarys_code archive_line_find(struct archive_reader *reader,
                                    const struct archive_index *index,
                                    const struct polarys_log_position *from,
                                    struct archive_line *line, struct polarys_error *err)
{
    struct finder finder = {.reader = reader, .index = index, .from = from};
    size_t newest = 0;
    bool reaches = false;
    enum polarys_code code = groups_make(&finder, err);
    while (code == POLARYS_OK && !reaches && newest_find(&finder, &newest)) {
        code = way_try(&finder, newest, &reaches, line, err);
    }
    if (code == POLARYS_OK && reaches) {
        code = steps_make(&finder, line, err);
    }
    free(finder.groups);
    free(finder.way);
    return code;
}

void archive_line_deinit(struct archive_line *line)
{
    free(line->steps);
    *line = (struct archive_line){.steps = NULL};
}
