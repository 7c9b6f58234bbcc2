/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the landmarks: known places in the log, so that a reader which begins in the middle of a segment need
 * not authenticate its way there from the segment's beginning. A thousand readers that come back after a
 * restart walk a segment once between them.
 *
 * A landmark whose segment was pruned is harmless: wal_place_find gives a later place then.
 */
#include <string.h>

#include "engine/feed/feed_internal.h"

/* The first landmark above the version. */
static size_t landmark_above_locked(const struct feed *feed, uint64_t version)
{
    size_t low = 0;
    size_t high = feed->landmark_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (feed->landmarks[middle].version <= version) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* True when the places are so near that one of them is enough. */
static bool is_near(const struct wal_place *before, const struct wal_place *behind)
{
    return before->segment_id == behind->segment_id &&
           behind->offset - before->offset < FEED_LANDMARK_BYTES;
}

/* Makes room: of any two landmarks the later one goes. */
static void landmarks_thin_locked(struct feed *feed)
{
    size_t kept = 0;
    for (size_t i = 0; i < feed->landmark_count; i += 2) {
        feed->landmarks[kept++] = feed->landmarks[i];
    }
    feed->landmark_count = kept;
}

void feed_landmark_add_locked(struct feed *feed, uint64_t version, const struct wal_place *place)
{
    POLARYS_ASSERT(place->offset != 0);
    if (place->offset < FEED_LANDMARK_BYTES) {
        return; /* near the segment's beginning, which is known anyway */
    }
    size_t at = landmark_above_locked(feed, version);
    if ((at > 0 && is_near(&feed->landmarks[at - 1].place, place)) ||
        (at < feed->landmark_count && is_near(place, &feed->landmarks[at].place))) {
        return;
    }
    if (feed->landmark_count == FEED_LANDMARKS_MAX) {
        landmarks_thin_locked(feed);
        at = landmark_above_locked(feed, version);
    }
    memmove(&feed->landmarks[at + 1], &feed->landmarks[at],
            (feed->landmark_count - at) * sizeof(feed->landmarks[0]));
    feed->landmarks[at].version = version;
    feed->landmarks[at].place = *place;
    feed->landmark_count++;
}

void feed_landmark_use_locked(const struct feed *feed, uint64_t version, struct wal_place *place)
{
    size_t at = landmark_above_locked(feed, version);
    if (at > 0 && feed->landmarks[at - 1].place.segment_id == place->segment_id &&
        feed->landmarks[at - 1].place.offset > place->offset) {
        *place = feed->landmarks[at - 1].place;
    }
}
