/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memtable's range deletes: a list that only grows, read without a lock, and an index over most of it
 * once it is long.
 *
 * Invariant: versions never decrease along the list, so a scan from its end meets the newest first, and
 * whatever the index does not cover yet is newer than what it covers.
 */
#include <stdlib.h>

#include "engine/memtable/memtable_internal.h"

enum {
    /* Fewer than this many are scanned faster than searched. */
    RANGE_SCAN_MAX = 32,
};

static struct range_delete range_view(const struct memtable *memtable, size_t index)
{
    const struct memtable_range *range = &memtable->ranges[index];
    struct range_delete view = {
        .start = slice_make(memtable->base + range->start_at, range->start_size),
        .end = slice_make(memtable->base + range->end_at, range->end_size),
        .version = range->version,
    };
    return view;
}

/* Pairs with the release store in memtable_range_append: the range deletes counted are complete. */
static size_t range_count(const struct memtable *memtable)
{
    return atomic_load_explicit(&memtable->range_count, memory_order_acquire);
}

/*
 * Indexes the first `count` range deletes. Without memory for it readers go on scanning, which is slower
 * and as right.
 */
static void rebuild_index(struct memtable *memtable, size_t count)
{
    struct memtable_range_index *holder = calloc(1, sizeof(*holder));
    struct range_delete *list = malloc(count * sizeof(*list));
    if (holder == NULL || list == NULL) {
        free(holder);
        free(list);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = range_view(memtable, i);
    }
    enum polarys_code code = range_delete_index_create(list, count, &holder->index);
    free(list);
    if (code != POLARYS_OK) {
        free(holder);
        return;
    }
    holder->covered = count;
    holder->older = atomic_load_explicit(&memtable->range_index, memory_order_relaxed);
    /* Pairs with the acquire load in memtable_range_delete_version. */
    atomic_store_explicit(&memtable->range_index, holder, memory_order_release);
}

void memtable_range_append(struct memtable *memtable, const struct entry *entry)
{
    size_t count = atomic_load_explicit(&memtable->range_count, memory_order_relaxed);
    POLARYS_ASSERT(count < MEMTABLE_RANGE_DELETES_MAX);
    POLARYS_ASSERT(entry->value.size <= TREE_KEY_SIZE_MAX);
    uint32_t at = memtable_node_build(memtable, entry, 0) + (uint32_t)sizeof(struct memtable_node);
    memtable->ranges[count] = (struct memtable_range){
        .start_at = at,
        .start_size = (uint32_t)entry->key.size,
        .end_at = at + (uint32_t)entry->key.size,
        .end_size = (uint32_t)entry->value.size,
        .version = entry->version,
    };
    count++;
    atomic_store_explicit(&memtable->range_count, count, memory_order_release);
    struct memtable_range_index *holder =
        atomic_load_explicit(&memtable->range_index, memory_order_relaxed);
    size_t covered = holder == NULL ? 0 : holder->covered;
    if (count - covered > RANGE_SCAN_MAX + covered / 2) {
        rebuild_index(memtable, count);
    }
}

uint64_t memtable_range_delete_version(const struct memtable *memtable, struct polarys_slice key,
                                       uint64_t snapshot)
{
    size_t count = range_count(memtable);
    if (count == 0) {
        return 0;
    }
    /* Pairs with the release store in rebuild_index. */
    const struct memtable_range_index *holder =
        atomic_load_explicit(&memtable->range_index, memory_order_acquire);
    size_t covered = holder == NULL ? 0 : holder->covered;
    while (count-- > covered) {
        struct range_delete range = range_view(memtable, count);
        if (range.version <= snapshot && range_delete_covers(&range, key)) {
            return range.version;
        }
    }
    return holder == NULL ? 0 : range_delete_index_find(holder->index, key, snapshot);
}

void memtable_range_deletes_each(const struct memtable *memtable,
                                 bool (*each)(void *context,
                                              const struct range_delete *range_delete),
                                 void *context)
{
    size_t count = range_count(memtable);
    for (size_t i = 0; i < count; i++) {
        struct range_delete range = range_view(memtable, i);
        if (!each(context, &range)) {
            return;
        }
    }
}

uint64_t memtable_range_overlap_version(const struct memtable *memtable, struct polarys_slice start,
                                        struct polarys_slice end, uint64_t above)
{
    size_t count = range_count(memtable);
    while (count-- > 0) {
        struct range_delete range = range_view(memtable, count);
        if (range.version <= above) {
            return 0;
        }
        if (slice_compare(range.start, end) < 0 && slice_compare(start, range.end) < 0 &&
            slice_compare(range.start, range.end) < 0) {
            return range.version;
        }
    }
    return 0;
}

void memtable_ranges_deinit(struct memtable *memtable)
{
    struct memtable_range_index *holder =
        atomic_load_explicit(&memtable->range_index, memory_order_relaxed);
    while (holder != NULL) {
        struct memtable_range_index *older = holder->older;
        range_delete_index_destroy(holder->index);
        free(holder);
        holder = older;
    }
}
