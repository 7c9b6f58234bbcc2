/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stripes, and what they let go of. See compaction_filter.h.
 *
 * A delete has done its work when it is in the oldest stripe (no reader can name a version before it) and
 * nothing that it hides can lie below. The same holds for a range delete.
 */
#include "engine/compaction/compaction_filter.h"

#include <stdlib.h>

/* The stripe of a version: the index of the oldest snapshot that sees it; snapshot_count above them all. */
static size_t stripe_of(const struct compaction_filter *filter, uint64_t version)
{
    size_t low = 0;
    size_t high = filter->snapshot_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (filter->snapshots[middle] < version) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int compare_oldest_first(const void *a, const void *b)
{
    uint64_t left = ((const struct range_delete *)a)->version;
    uint64_t right = ((const struct range_delete *)b)->version;
    return (left > right) - (left < right);
}

/* One cover for each stripe that has range deletes. */
static enum polarys_code build_covers(struct compaction_filter *filter, struct range_delete *items,
                                      size_t item_count)
{
    qsort(items, item_count, sizeof(items[0]), compare_oldest_first);
    size_t first = 0;
    while (first < item_count) {
        size_t stripe = stripe_of(filter, items[first].version);
        size_t end = first + 1;
        while (end < item_count && stripe_of(filter, items[end].version) == stripe) {
            end++;
        }
        if (stripe == filter->snapshot_count) {
            break; /* above history_start: they hide nothing that could be dropped */
        }
        struct filter_cover *covers =
            realloc(filter->covers, (filter->cover_count + 1) * sizeof(*covers));
        if (covers == NULL) {
            return POLARYS_NO_MEMORY;
        }
        filter->covers = covers;
        struct filter_cover *cover = &covers[filter->cover_count];
        memset(cover, 0, sizeof(*cover));
        cover->stripe = stripe;
        enum polarys_code code = range_cover_build(items + first, end - first, &cover->cover);
        if (code != POLARYS_OK) {
            return code;
        }
        filter->cover_count++;
        first = end;
    }
    return POLARYS_OK;
}

enum polarys_code compaction_filter_init(struct compaction_filter *filter, const uint64_t *versions,
                                         size_t version_count, uint64_t history_start,
                                         struct range_delete *items, size_t item_count)
{
    memset(filter, 0, sizeof(*filter));
    filter->snapshots = malloc((version_count + 1) * sizeof(filter->snapshots[0]));
    if (filter->snapshots == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (size_t i = 0; i < version_count; i++) {
        uint64_t last =
            filter->snapshot_count == 0 ? 0 : filter->snapshots[filter->snapshot_count - 1];
        if (versions[i] > last && versions[i] < history_start) {
            filter->snapshots[filter->snapshot_count++] = versions[i];
        }
    }
    filter->snapshots[filter->snapshot_count++] = history_start;
    enum polarys_code code = item_count == 0 ? POLARYS_OK : build_covers(filter, items, item_count);
    if (code != POLARYS_OK) {
        compaction_filter_deinit(filter);
    }
    return code;
}

void compaction_filter_deinit(struct compaction_filter *filter)
{
    for (size_t i = 0; i < filter->cover_count; i++) {
        range_cover_deinit(&filter->covers[i].cover);
    }
    free(filter->covers);
    free(filter->snapshots);
    memset(filter, 0, sizeof(*filter));
}

/* The newest range delete of the stripe over the key; 0 when there is none. */
static uint64_t cover_version(struct compaction_filter *filter, size_t stripe,
                              struct polarys_slice key)
{
    for (size_t i = 0; i < filter->cover_count; i++) {
        struct filter_cover *cover = &filter->covers[i];
        if (cover->stripe == stripe) {
            return range_cover_version(&cover->cover, key, &cover->hint);
        }
        if (cover->stripe > stripe) {
            break;
        }
    }
    return 0;
}

static void note_key(struct compaction_filter *filter, struct polarys_slice key)
{
    struct polarys_slice last = slice_make(filter->key, filter->key_size);
    filter->is_new_key = !filter->has_key || !slice_equal(last, key);
    if (filter->is_new_key) {
        POLARYS_ASSERT(key.size <= TREE_KEY_SIZE_MAX);
        memcpy(filter->key, key.data, key.size);
        filter->key_size = key.size;
        filter->has_key = true;
        filter->has_stripe = false;
        filter->is_kept_before = false;
    }
}

static bool is_needed(struct compaction_filter *filter, const struct entry *entry)
{
    size_t stripe = stripe_of(filter, entry->version);
    if (stripe == filter->snapshot_count) {
        return true;
    }
    if (filter->has_stripe && filter->last_stripe == stripe) {
        return false; /* a newer entry of the key looks the same to every reader */
    }
    filter->has_stripe = true;
    filter->last_stripe = stripe;
    if (filter->cover_count > 0 && cover_version(filter, stripe, entry->key) > entry->version) {
        return false;
    }
    return entry->kind != ENTRY_DELETE || stripe != 0 ||
           !filter->is_bottom(filter->context, entry->key, entry->key);
}

bool compaction_filter_keep(struct compaction_filter *filter, const struct entry *entry)
{
    note_key(filter, entry->key);
    if (!is_needed(filter, entry)) {
        filter->dropped_count++;
        return false;
    }
    filter->old_version_count += filter->is_kept_before;
    filter->is_kept_before = true;
    return true;
}

static int compare_start_then_newest(const void *a, const void *b)
{
    const struct range_delete *left = a;
    const struct range_delete *right = b;
    int order = slice_compare(left->start, right->start);
    return order != 0 ? order : (left->version < right->version) - (left->version > right->version);
}

static int compare_version_then_start(const void *a, const void *b)
{
    const struct range_delete *left = a;
    const struct range_delete *right = b;
    if (left->version != right->version) {
        return left->version < right->version ? -1 : 1;
    }
    return slice_compare(left->start, right->start);
}

/* Those above history_start are all kept; pieces of one that an earlier cut made are joined again. */
static enum polarys_code keep_recent(struct compaction_filter *filter, struct range_delete *items,
                                     size_t item_count, struct range_list *kept)
{
    size_t first_kept = kept->count;
    qsort(items, item_count, sizeof(items[0]), compare_version_then_start);
    for (size_t i = 0; i < item_count; i++) {
        if (stripe_of(filter, items[i].version) != filter->snapshot_count) {
            continue;
        }
        struct range_delete *last =
            kept->count == first_kept ? NULL : &kept->items[kept->count - 1];
        if (last != NULL && last->version == items[i].version &&
            slice_compare(items[i].start, last->end) <= 0) {
            if (slice_compare(last->end, items[i].end) < 0) {
                last->end = items[i].end;
            }
            continue;
        }
        enum polarys_code code = range_list_add(kept, &items[i]);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

enum polarys_code compaction_filter_range_deletes(struct compaction_filter *filter,
                                                  struct range_delete *items, size_t item_count,
                                                  struct range_list *kept)
{
    enum polarys_code code =
        item_count == 0 ? POLARYS_OK : keep_recent(filter, items, item_count, kept);
    for (size_t i = 0; i < filter->cover_count; i++) {
        const struct filter_cover *cover = &filter->covers[i];
        for (size_t j = 0; j < cover->cover.count && code == POLARYS_OK; j++) {
            const struct range_delete *piece = &cover->cover.pieces[j];
            if (cover->stripe == 0 &&
                filter->is_bottom(filter->context, piece->start, piece->end)) {
                filter->dropped_count++;
            } else {
                code = range_list_add(kept, piece);
            }
        }
    }
    if (code == POLARYS_OK && kept->count > 0) {
        qsort(kept->items, kept->count, sizeof(kept->items[0]), compare_start_then_newest);
    }
    return code;
}
