/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a memtable, its room and its point reads.
 *
 * The mapping is reserved at full capacity and the system gives memory as pages are touched. It holds
 * clear text, so it is left out of core dumps. Layout: 8 unused bytes (offset 0 is "none"), the head node,
 * the arena, the list of range deletes, the marks.
 */
#include "engine/memtable/memtable.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/memtable/memtable_internal.h"

enum {
    HEAD_OFFSET = MEMTABLE_HEAD_OFFSET,
    HEAD_SIZE = sizeof(struct memtable_node) + MEMTABLE_HEIGHT_MAX * sizeof(uint64_t),
    ARENA_OFFSET = HEAD_OFFSET + HEAD_SIZE,
    RANGES_SIZE = MEMTABLE_RANGE_DELETES_MAX * sizeof(struct memtable_range),
    /* From here on huge pages save more in page faults and address translation than they round up. */
    HUGE_PAGES_MIN = 4 << 20,
};

/* Maps the memory and lays it out. */
static enum polarys_code map_memory(struct memtable *memtable, size_t capacity)
{
    memtable->capacity = memtable_align_up(capacity);
    memtable->arena_end = ARENA_OFFSET + memtable->capacity;
    memtable->marks_max = memtable->capacity / MEMTABLE_MARK_BYTES + 1;
    size_t marks_size = memtable->marks_max * sizeof(struct memtable_mark);
    memtable->map_size = memtable->arena_end + RANGES_SIZE + marks_size;
    void *base = mmap(NULL, memtable->map_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return POLARYS_NO_MEMORY;
    }
    /* Both are wishes: a kernel without them serves as well. */
    (void)madvise(base, memtable->map_size, MADV_DONTDUMP);
    if (capacity >= HUGE_PAGES_MIN) {
        (void)madvise(base, memtable->map_size, MADV_HUGEPAGE);
    }
    memtable->base = base;
    memtable->ranges = (struct memtable_range *)(void *)(memtable->base + memtable->arena_end);
    memtable->marks = (struct memtable_mark *)(void *)((uint8_t *)memtable->ranges + RANGES_SIZE);
    return POLARYS_OK;
}

enum polarys_code memtable_create(size_t capacity, struct memtable **out, struct polarys_error *err)
{
    POLARYS_ASSERT(capacity >= MEMTABLE_BYTES_MIN && capacity <= MEMTABLE_BYTES_MAX);
    *out = NULL;
    struct memtable *memtable = calloc(1, sizeof(*memtable));
    if (memtable == NULL || map_memory(memtable, capacity) != POLARYS_OK) {
        free(memtable);
        return polarys_fail(err, POLARYS_NO_MEMORY, "memtable of %zu bytes: out of memory",
                            capacity);
    }
    memtable->head = HEAD_OFFSET;
    memtable_node_at(memtable, HEAD_OFFSET)->height = MEMTABLE_HEIGHT_MAX;
    memtable->height_seed = UINT64_C(0x9e3779b97f4a7c15);
    atomic_init(&memtable->reference_count, 1);
    atomic_init(&memtable->height, 1);
    atomic_init(&memtable->used, ARENA_OFFSET);
    *out = memtable;
    return POLARYS_OK;
}

struct memtable *memtable_ref(struct memtable *memtable)
{
    /* Relaxed: whoever calls this holds a reference already. */
    unsigned before =
        atomic_fetch_add_explicit(&memtable->reference_count, 1, memory_order_relaxed);
    POLARYS_ASSERT(before > 0);
    return memtable;
}

void memtable_unref(struct memtable *memtable)
{
    if (memtable == NULL) {
        return;
    }
    /* Release and acquire: the accesses of all who let go come before the unmapping by the last. */
    unsigned before =
        atomic_fetch_sub_explicit(&memtable->reference_count, 1, memory_order_acq_rel);
    POLARYS_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    memtable_ranges_deinit(memtable);
    (void)munmap(memtable->base, memtable->map_size);
    free(memtable);
}

size_t memtable_entry_bytes_max(size_t key_size, size_t value_size)
{
    return memtable_align_up(sizeof(struct memtable_node) + MEMTABLE_HEIGHT_MAX * sizeof(uint64_t) +
                             key_size + value_size);
}

bool memtable_has_room(const struct memtable *memtable, size_t entry_bytes, size_t range_deletes)
{
    size_t used = atomic_load_explicit(&memtable->used, memory_order_relaxed);
    size_t ranges = atomic_load_explicit(&memtable->range_count, memory_order_relaxed);
    return entry_bytes <= memtable->arena_end - used &&
           range_deletes <= MEMTABLE_RANGE_DELETES_MAX - ranges;
}

uint32_t memtable_arena_take(struct memtable *memtable, size_t size)
{
    size_t at = atomic_load_explicit(&memtable->used, memory_order_relaxed);
    size = memtable_align_up(size);
    POLARYS_ASSERT(size <= memtable->arena_end - at);
    atomic_store_explicit(&memtable->used, at + size, memory_order_relaxed);
    return (uint32_t)at;
}

bool memtable_get(const struct memtable *memtable, struct polarys_slice key, uint64_t snapshot,
                  struct entry *found)
{
    struct memtable_target target = {key, snapshot};
    bool same_key;
    uint32_t offset = memtable_find(memtable, &target, &same_key);
    if (!same_key) {
        return false;
    }
    memtable_node_entry(memtable_node_at(memtable, offset), found);
    return true;
}

uint64_t memtable_newest_version(const struct memtable *memtable, struct polarys_slice key)
{
    struct entry found;
    uint64_t newest = memtable_range_delete_version(memtable, key, UINT64_MAX);
    if (memtable_get(memtable, key, UINT64_MAX, &found) && found.version > newest) {
        newest = found.version;
    }
    return newest;
}

void memtable_stats_get(const struct memtable *memtable, struct memtable_stats *stats)
{
    /* Relaxed: figures to look at, each right on its own. */
    stats->capacity = memtable->capacity;
    stats->used = atomic_load_explicit(&memtable->used, memory_order_relaxed) - ARENA_OFFSET;
    stats->entry_count = atomic_load_explicit(&memtable->entry_count, memory_order_relaxed);
    stats->range_delete_count = atomic_load_explicit(&memtable->range_count, memory_order_relaxed);
    stats->oldest_version = atomic_load_explicit(&memtable->oldest_version, memory_order_relaxed);
    stats->newest_version = atomic_load_explicit(&memtable->newest_version, memory_order_relaxed);
}
