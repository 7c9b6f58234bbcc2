/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a log that is being appended to: see wal_tail.h.
 *
 * Frames are authenticated against the chain as in recovery, from any place on: a place carries the tag and
 * the ordinal that the next frame has to continue.
 */
#include "engine/wal/wal_tail.h"

#include <inttypes.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"

static void place_at_start(struct wal_place *place, uint64_t segment_id)
{
    *place = (struct wal_place){.segment_id = segment_id};
}

enum polarys_code wal_place_find(struct wal *wal, uint64_t version, struct wal_place *place,
                                 struct polarys_error *err)
{
    mutex_lock(&wal->mutex);
    POLARYS_ASSERT(wal->segment_count > 0);
    uint64_t history_start = wal->segments[0].first_version - 1;
    bool is_kept = version >= history_start;
    size_t low = 0;
    size_t high = wal->segment_count;
    /* The last segment that begins at or below version + 1. */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (wal->segments[middle].first_version - 1 <= version) {
            low = middle;
        } else {
            high = middle;
        }
    }
    place_at_start(place, wal->segments[low].segment_id);
    mutex_unlock(&wal->mutex);
    if (is_kept) {
        return POLARYS_OK;
    }
    (void)polarys_fail(err, POLARYS_HISTORY_PRUNED,
                       "the log is kept from version %" PRIu64 " on, changes after %" PRIu64
                       " were asked for",
                       history_start, version);
    polarys_error_detail_set(err, "history_start", "%" PRIu64, history_start);
    return POLARYS_HISTORY_PRUNED;
}

void wal_place_newest(struct wal *wal, uint64_t version_min, struct wal_place *place)
{
    mutex_lock(&wal->mutex);
    POLARYS_ASSERT(wal->options.is_follower || wal->end.offset == WAL_SEGMENT_HEADER_SIZE);
    if (wal->end.offset == WAL_SEGMENT_HEADER_SIZE) {
        place_at_start(place, wal->end.segment_id);
    } else {
        /* A follower goes on in the middle of a segment. */
        *place = (struct wal_place){.segment_id = wal->end.segment_id,
                                    .offset = wal->end.offset,
                                    .ordinal = wal->ordinal_next};
        memcpy(place->tag, wal->end.tag, AEAD_TAG_SIZE);
    }
    place->version_min = version_min;
    mutex_unlock(&wal->mutex);
}

void wal_place_advance(struct wal_place *place, const struct wal_position *end,
                       uint64_t version_next)
{
    bool is_first = place->segment_id != end->segment_id || place->offset == 0;
    POLARYS_ASSERT(end->segment_id >= place->segment_id);
    place->ordinal = is_first ? WAL_ORDINAL_FIRST + 1 : place->ordinal + 1;
    place->segment_id = end->segment_id;
    place->offset = end->offset;
    place->version_min = version_next;
    memcpy(place->tag, end->tag, AEAD_TAG_SIZE);
}

void wal_tail_init(struct wal_tail *tail, struct wal *wal, const struct wal_place *place)
{
    memset(tail, 0, sizeof(*tail));
    tail->wal = wal;
    tail->place = *place;
}

void wal_tail_pause(struct wal_tail *tail)
{
    if (!tail->is_open) {
        return;
    }
    wal_reader_close(&tail->reader);
    wal_unpin(tail->wal, tail->pin_id);
    tail->is_open = false;
    tail->successor_id = 0;
}

bool wal_segment_find(struct wal *wal, uint64_t segment_id, uint64_t *successor_id)
{
    bool is_found = false;
    *successor_id = 0;
    mutex_lock(&wal->mutex);
    for (size_t i = wal->segment_count; i-- > 0 && !is_found;) {
        is_found = wal->segments[i].segment_id == segment_id;
        if (is_found && i + 1 < wal->segment_count) {
            *successor_id = wal->segments[i + 1].segment_id;
        }
    }
    mutex_unlock(&wal->mutex);
    return is_found;
}

static enum polarys_code fail_place(const struct wal_tail *tail, enum polarys_code code,
                                    struct polarys_error *err)
{
    if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED) {
        wal_error_place(err, tail->place.segment_id, tail->place.offset);
    }
    return code;
}

/* Learns where the segment ends once it has a successor. */
static enum polarys_code successor_look(struct wal_tail *tail, struct polarys_error *err)
{
    struct wal_header header;
    uint64_t file_bytes;
    uint64_t successor_id;
    if (tail->successor_id != 0) {
        return POLARYS_OK;
    }
    bool is_there = wal_segment_find(tail->wal, tail->place.segment_id, &successor_id);
    POLARYS_ASSERT(is_there); /* pinned */
    if (successor_id == 0) {
        return POLARYS_OK;
    }
    enum polarys_code code = wal_header_read(tail->wal->options.vfs, tail->wal->dir, successor_id,
                                             &header, &file_bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (header.predecessor.segment_id != tail->place.segment_id) {
        (void)polarys_fail(err, POLARYS_CORRUPT,
                           "log segment %" PRIu64 " follows %" PRIu64 ", but names %" PRIu64
                           " as its predecessor",
                           successor_id, tail->place.segment_id, header.predecessor.segment_id);
        return fail_place(tail, POLARYS_CORRUPT, err);
    }
    tail->successor_id = successor_id;
    tail->named = header.predecessor;
    return POLARYS_OK;
}

/* Puts the reader where the tail was. */
static void reader_place(struct wal_tail *tail)
{
    struct wal_reader *reader = &tail->reader;
    const struct wal_place *place = &tail->place;
    if (place->offset == 0) {
        return; /* at the first frame, where opening has put it */
    }
    reader->offset = place->offset;
    reader->ordinal = place->ordinal;
    reader->version_min = place->version_min;
    memcpy(reader->tag, place->tag, AEAD_TAG_SIZE);
}

static enum polarys_code segment_open(struct wal_tail *tail, struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    uint64_t successor_id;
    struct wal *wal = tail->wal;
    wal_pin(wal, tail->place.segment_id, &tail->pin_id);
    if (!wal_segment_find(wal, tail->place.segment_id, &successor_id)) {
        wal_unpin(wal, tail->pin_id);
        return polarys_fail(err, POLARYS_HISTORY_PRUNED,
                            "log segment %" PRIu64 " was pruned while it was still to be read",
                            tail->place.segment_id);
    }
    wal_segment_name(tail->place.segment_id, name);
    enum polarys_code code = vfs_path_join(tail->path, wal->dir, name, err);
    if (code == POLARYS_OK) {
        code =
            wal_reader_open(&tail->reader, wal->options.vfs, tail->path, wal->options.keyring, err);
    }
    if (code == POLARYS_OK && tail->reader.header.segment_id != tail->place.segment_id) {
        wal_reader_close(&tail->reader);
        code = polarys_fail(err, POLARYS_CORRUPT, "log segment %s is another one by its header",
                            tail->path);
    }
    if (code != POLARYS_OK) {
        wal_unpin(wal, tail->pin_id);
        return fail_place(tail, code, err);
    }
    reader_place(tail);
    tail->is_open = true;
    tail->successor_id = 0;
    tail->window_limit = 0;
    return POLARYS_OK;
}

/* On to the successor, which has to continue what was read. */
static enum polarys_code segment_switch(struct wal_tail *tail, struct polarys_error *err)
{
    struct wal_position reached = {.segment_id = tail->place.segment_id,
                                   .offset = tail->reader.offset};
    memcpy(reached.tag, tail->reader.tag, AEAD_TAG_SIZE);
    struct wal_place before = tail->place;
    struct wal_place next;
    place_at_start(&next, tail->successor_id);
    wal_tail_pause(tail);
    tail->place = next;
    enum polarys_code code = segment_open(tail, err);
    if (code == POLARYS_OK) {
        const struct wal_position *named = &tail->reader.header.predecessor;
        if (named->segment_id != reached.segment_id || named->offset != reached.offset ||
            memcmp(named->tag, reached.tag, AEAD_TAG_SIZE) != 0) {
            code = polarys_fail(err, POLARYS_CORRUPT,
                                "log segment %" PRIu64 " was read to byte %" PRIu64
                                ", its successor says that it ends at byte %" PRIu64 "%s",
                                reached.segment_id, reached.offset, named->offset,
                                named->offset == reached.offset ? " with another tag" : "");
            wal_error_place(err, reached.segment_id, reached.offset);
            wal_tail_pause(tail);
        }
    }
    if (code != POLARYS_OK) {
        tail->place = before;
    }
    return code;
}

/* How far the open segment may be read, and whether the log goes on in the next one. */
static uint64_t limit_of(const struct wal_tail *tail, const struct wal_position *until,
                         bool *goes_on)
{
    *goes_on = tail->place.segment_id < until->segment_id;
    return *goes_on ? tail->named.offset : until->offset;
}

static enum polarys_code frame_take(struct wal_tail *tail, uint64_t limit, struct wal_frame *frame,
                                    struct polarys_error *err)
{
    bool has_frame = false;
    struct wal_reader *reader = &tail->reader;
    enum polarys_code code = wal_reader_next(reader, frame, &has_frame, err);
    if (code == POLARYS_OK && (!has_frame || reader->offset > limit)) {
        code = polarys_fail(err, POLARYS_CORRUPT,
                            "log segment %s has no good frame at byte %" PRIu64
                            ", but is known to go to byte %" PRIu64,
                            tail->path, has_frame ? frame->offset : reader->offset, limit);
    }
    if (code != POLARYS_OK) {
        (void)fail_place(tail, code, err);
        wal_tail_pause(tail);
        return code;
    }
    tail->place.offset = reader->offset;
    tail->place.ordinal = (uint32_t)reader->ordinal;
    tail->place.version_min = reader->version_min;
    memcpy(tail->place.tag, reader->tag, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

/* What lies behind an earlier limit may have been read before it was written: reads it again. */
static void window_renew(struct wal_tail *tail, uint64_t limit)
{
    if (tail->window_limit != 0 && limit > tail->window_limit) {
        tail->reader.window_size = 0;
    }
    tail->window_limit = limit;
}

enum polarys_code wal_tail_next(struct wal_tail *tail, const struct wal_position *until,
                                struct wal_frame *frame, bool *has_frame, struct polarys_error *err)
{
    *has_frame = false;
    for (;;) {
        bool goes_on;
        enum polarys_code code = POLARYS_OK;
        if (tail->place.segment_id > until->segment_id) {
            return POLARYS_OK;
        }
        if (!tail->is_open) {
            code = segment_open(tail, err);
        }
        if (code == POLARYS_OK && tail->place.segment_id < until->segment_id) {
            code = successor_look(tail, err);
        }
        if (code != POLARYS_OK) {
            return polarys_wrap(err, code, "read the log");
        }
        uint64_t limit = limit_of(tail, until, &goes_on);
        if (tail->reader.offset < limit) {
            window_renew(tail, limit);
            code = frame_take(tail, limit, frame, err);
            *has_frame = code == POLARYS_OK;
            return code == POLARYS_OK ? code : polarys_wrap(err, code, "read the log");
        }
        if (!goes_on) {
            return POLARYS_OK;
        }
        code = segment_switch(tail, err);
        if (code != POLARYS_OK) {
            return polarys_wrap(err, code, "read the log");
        }
    }
}
