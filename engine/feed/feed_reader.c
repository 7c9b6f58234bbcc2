/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers: from memory where the ring reaches back far enough, from the segment files otherwise.
 *
 * Invariant: a reader's version only rises, by what it handed out, or to the durable end once a walk through
 * the files has shown that nothing lies between (versions that an unclean end skipped name no commit).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/feed/feed_internal.h"

enum { REPLACE_MAX = 4 }; /* segments that are pruned while one frame is looked for */

enum polarys_code feed_reader_open(struct feed *feed, uint64_t version, struct feed_reader **out,
                                   struct polarys_error *err)
{
    *out = NULL;
    struct feed_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to read the log");
    }
    reader->feed = feed;
    reader->version = version;
    mutex_lock(&feed->mutex);
    bool is_in_ring = version >= feed->ring_version;
    bool is_full = feed->reader_count == FEED_READERS_MAX;
    feed->reader_count += is_full ? 0 : 1;
    mutex_unlock(&feed->mutex);
    if (is_full) {
        free(reader);
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "%d readers of the log", FEED_READERS_MAX);
    }
    struct wal_place place;
    enum polarys_code code =
        is_in_ring ? POLARYS_OK : wal_place_find(feed->wal, version, &place, err);
    if (code != POLARYS_OK) {
        feed_reader_close(reader);
        return code;
    }
    *out = reader;
    return POLARYS_OK;
}

void feed_reader_close(struct feed_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    struct feed *feed = reader->feed;
    feed_reader_pause(reader);
    mutex_lock(&feed->mutex);
    struct feed_reader **link = &feed->first_waiter;
    while (reader->is_armed && *link != reader) {
        link = &(*link)->next_waiter;
    }
    if (reader->is_armed) {
        *link = reader->next_waiter;
        reader->is_armed = false;
    }
    while (feed->called == reader) {
        (void)executor_wait(feed->executor, &feed->idle, &feed->mutex, UINT64_C(1000000));
    }
    size_t *count = reader->is_watcher ? &feed->watcher_count : &feed->reader_count;
    POLARYS_ASSERT(*count > 0);
    --*count;
    if (feed->reader_count == 0) {
        feed_ring_clear_locked(feed);
    }
    mutex_unlock(&feed->mutex);
    free(reader);
}

void feed_reader_pause(struct feed_reader *reader)
{
    if (reader->has_tail) {
        wal_tail_pause(&reader->tail);
        reader->has_tail = false;
    }
}

uint64_t feed_reader_version(const struct feed_reader *reader)
{
    return reader->version;
}

bool feed_reader_wait(struct feed_reader *reader, void (*ready)(void *context), void *context)
{
    struct feed *feed = reader->feed;
    mutex_lock(&feed->mutex);
    POLARYS_ASSERT(!reader->is_armed);
    bool must_wait = reader->version >= atomic_load(&feed->durable_version);
    if (must_wait) {
        reader->is_armed = true;
        reader->ready = ready;
        reader->context = context;
        reader->next_waiter = feed->first_waiter;
        feed->first_waiter = reader;
    }
    mutex_unlock(&feed->mutex);
    return must_wait;
}

enum polarys_code feed_watcher_open(struct feed *feed, struct feed_reader **out,
                                    struct polarys_error *err)
{
    *out = NULL;
    struct feed_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to watch the log");
    }
    reader->feed = feed;
    reader->is_watcher = true;
    mutex_lock(&feed->mutex);
    bool is_full = feed->watcher_count == FEED_READERS_MAX;
    feed->watcher_count += is_full ? 0 : 1;
    mutex_unlock(&feed->mutex);
    if (is_full) {
        free(reader);
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "%d watchers of the log",
                            FEED_READERS_MAX);
    }
    *out = reader;
    return POLARYS_OK;
}

bool feed_watcher_wait(struct feed_reader *reader, uint64_t version, void (*ready)(void *context),
                       void *context)
{
    POLARYS_ASSERT(reader->is_watcher);
    reader->version = version;
    return feed_reader_wait(reader, ready, context);
}

/* ---- from files ---- */

/* What a walk through the files goes by; of one moment. */
struct feed_bounds {
    struct wal_position until;
    uint64_t version; /* everything up to it lies before `until` */
};

/* Begins to read files behind what was handed out. */
static enum polarys_code tail_begin(struct feed_reader *reader, struct polarys_error *err)
{
    struct feed *feed = reader->feed;
    if (!reader->has_place) {
        enum polarys_code code = wal_place_find(feed->wal, reader->version, &reader->place, err);
        if (code != POLARYS_OK) {
            return code;
        }
        mutex_lock(&feed->mutex);
        feed_landmark_use_locked(feed, reader->version, &reader->place);
        mutex_unlock(&feed->mutex);
        reader->has_place = true;
    }
    wal_tail_init(&reader->tail, feed->wal, &reader->place);
    reader->has_tail = true;
    return POLARYS_OK;
}

/* The next frame of the files, whatever its versions. */
static enum polarys_code tail_next(struct feed_reader *reader, const struct feed_bounds *bounds,
                                   struct wal_frame *frame, bool *has_frame,
                                   struct polarys_error *err)
{
    for (int i = 1;; i++) {
        enum polarys_code code = POLARYS_OK;
        if (!reader->has_tail) {
            code = tail_begin(reader, err);
        }
        if (code == POLARYS_OK) {
            code = wal_tail_next(&reader->tail, &bounds->until, frame, has_frame, err);
        }
        if (code != POLARYS_HISTORY_PRUNED || !reader->has_place || i == REPLACE_MAX) {
            return code;
        }
        /* The segment is gone; but all that was in it may have been handed out. */
        feed_reader_pause(reader);
        reader->has_place = false;
    }
}

/* Makes a frame of what the tail has just given. */
static enum polarys_code frame_take(struct feed_reader *reader, const struct wal_frame *from,
                                    struct feed_frame **frame, struct polarys_error *err)
{
    *frame = feed_frame_make(from->first_version, from->commit_count, &from->payload, 1);
    if (*frame == NULL) {
        feed_reader_pause(reader); /* reader->place is still before the frame */
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu bytes of the log",
                            from->payload.size);
    }
    (*frame)->behind = reader->tail.place;
    return POLARYS_OK;
}

/* The tail's place becomes the reader's. */
static void place_keep(struct feed_reader *reader, uint64_t last_version)
{
    struct feed *feed = reader->feed;
    reader->place = reader->tail.place;
    mutex_lock(&feed->mutex);
    feed_landmark_add_locked(feed, last_version, &reader->place);
    mutex_unlock(&feed->mutex);
}

static enum polarys_code file_next(struct feed_reader *reader, const struct feed_bounds *bounds,
                                   struct feed_frame **frame, struct polarys_error *err)
{
    for (;;) {
        struct wal_frame found;
        bool has_frame = false;
        enum polarys_code code = tail_next(reader, bounds, &found, &has_frame, err);
        if (code != POLARYS_OK) {
            feed_reader_pause(reader);
            return code;
        }
        if (!has_frame) {
            reader->place = reader->tail.place;
            reader->version = bounds->version;
            return POLARYS_OK;
        }
        uint64_t last_version = found.first_version + found.commit_count - 1;
        if (last_version > reader->version) {
            code = frame_take(reader, &found, frame, err);
            if (code == POLARYS_OK) {
                place_keep(reader, last_version);
                reader->version = last_version;
            }
            return code;
        }
        place_keep(reader, last_version);
    }
}

enum polarys_code feed_reader_next(struct feed_reader *reader, struct feed_frame **frame,
                                   struct polarys_error *err)
{
    struct feed *feed = reader->feed;
    *frame = NULL;
    for (;;) {
        mutex_lock(&feed->mutex);
        POLARYS_ASSERT(!reader->is_armed);
        struct feed_bounds bounds = {.until = feed->durable_end,
                                     .version = atomic_load(&feed->durable_version)};
        bool is_in_ring = reader->version >= feed->ring_version;
        if (is_in_ring) {
            *frame = feed_ring_find_locked(feed, reader->version);
        }
        mutex_unlock(&feed->mutex);
        if (is_in_ring) {
            feed_reader_pause(reader);
            if (*frame != NULL) {
                reader->version = (*frame)->last_version;
                reader->place = (*frame)->behind;
                reader->has_place = true;
            }
            return POLARYS_OK;
        }
        enum polarys_code code = file_next(reader, &bounds, frame, err);
        if (code != POLARYS_OK || *frame != NULL) {
            return code;
        }
    }
}
