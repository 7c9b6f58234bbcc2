/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was written in a range above a version: two walks that go on in turns, one over the range in key
 * order and one over what was inserted since, in the order of insertion. The first to end has the answer,
 * so a large range costs little when little was written since, and much written since costs little when the
 * range is small.
 *
 * The arena is nodes one behind the other and versions never decrease along it. Marks say where to begin.
 */
#include "engine/memtable/memtable_internal.h"

enum {
    /* So many insertions are walked over before the range is looked for at all. */
    SINCE_ALONE = 32,
};

struct since_walk {
    const struct memtable *memtable;
    struct polarys_slice start;
    struct polarys_slice end;
    uint64_t above;
    uint64_t newest; /* found so far */
    size_t offset;   /* of the next node in the order of insertion */
    size_t used;
    uint32_t ordered; /* the next node in key order; 0: the range is at its end */
};

/* The last mark at or below the version; the beginning of the arena where there is none. */
static size_t since_begin(const struct memtable *memtable, uint64_t above)
{
    size_t low = 0;
    size_t high = memtable->mark_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memtable->marks[middle].version <= above) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* The first mark is the first node. */
    return memtable->marks[low == 0 ? 0 : low - 1].offset;
}

static void since_note(struct since_walk *walk, const struct memtable_node *node)
{
    if (node->version > walk->above && node->version > walk->newest) {
        walk->newest = node->version;
    }
}

/* One insertion further. False at the end. */
static bool inserted_next(struct since_walk *walk)
{
    if (walk->offset >= walk->used) {
        return false;
    }
    const struct memtable_node *node = memtable_node_at(walk->memtable, (uint32_t)walk->offset);
    struct polarys_slice key = memtable_node_key(node);
    if (node->version > walk->above && node->kind != ENTRY_RANGE_DELETE &&
        slice_compare(walk->start, key) <= 0 && slice_compare(key, walk->end) < 0) {
        since_note(walk, node);
    }
    walk->offset += memtable_node_size(node);
    return true;
}

/* One key further. False at the end. */
static bool ordered_next(struct since_walk *walk)
{
    if (walk->ordered == 0) {
        return false;
    }
    const struct memtable_node *node = memtable_node_at(walk->memtable, walk->ordered);
    if (slice_compare(memtable_node_key(node), walk->end) >= 0) {
        return false;
    }
    since_note(walk, node);
    walk->ordered = link_offset(memtable_link_load(node, 0));
    return true;
}

/* True when the first insertions were all. */
static bool inserted_first(struct since_walk *walk)
{
    for (unsigned i = 0; i < SINCE_ALONE; i++) {
        if (!inserted_next(walk)) {
            return true;
        }
    }
    return walk->offset >= walk->used;
}

static uint64_t newest_of_entries(struct since_walk *walk)
{
    if (inserted_first(walk)) {
        return walk->newest;
    }
    struct memtable_target target = {walk->start, UINT64_MAX};
    bool same_key;
    walk->ordered = memtable_find(walk->memtable, &target, &same_key);
    /* Each walk alone sees everything that counts, and both only ever note what is there. */
    while (ordered_next(walk) && inserted_next(walk)) {
    }
    return walk->newest;
}

uint64_t memtable_newest_version_in_range(const struct memtable *memtable,
                                          struct polarys_slice start, struct polarys_slice end,
                                          uint64_t above)
{
    /* Relaxed: REQUIRES says that nobody inserts. */
    if (atomic_load_explicit(&memtable->newest_version, memory_order_relaxed) <= above) {
        return 0;
    }
    struct since_walk walk = {
        .memtable = memtable,
        .start = start,
        .end = end,
        .above = above,
        .offset = since_begin(memtable, above),
        .used = atomic_load_explicit(&memtable->used, memory_order_relaxed),
    };
    uint64_t of_entries = newest_of_entries(&walk);
    uint64_t of_ranges = memtable_range_overlap_version(memtable, start, end, above);
    return of_entries > of_ranges ? of_entries : of_ranges;
}
