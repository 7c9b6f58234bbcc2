/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching the skiplist (Pugh, "Skip lists", CACM 33(6), 1990), from the highest level down.
 *
 * Invariant of every step: `shared` is the number of symbols that the target shares with the node the
 * search stands on, so a link is judged without loading the node behind it wherever that is possible
 * (memtable_internal.h). Readers take no lock: a link is loaded with acquire, and what it leads to is
 * complete.
 */
#include "engine/memtable/memtable_internal.h"

/* How many bytes of a and b are equal from `at` on, up to `end`; returns the position of the first that
 * is not. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t at, size_t end)
{
    while (end - at >= sizeof(uint64_t)) {
        uint64_t difference = get_u64_le(a + at) ^ get_u64_le(b + at);
        if (difference != 0) {
            return at + (size_t)__builtin_ctzll(difference) / 8;
        }
        at += sizeof(uint64_t);
    }
    while (at < end && a[at] == b[at]) {
        at++;
    }
    return at;
}

int memtable_node_compare(const struct memtable_node *node, const struct memtable_target *target,
                          uint32_t shared, uint32_t *out_shared)
{
    struct polarys_slice key = memtable_node_key(node);
    size_t end = key.size < target->key.size ? key.size : target->key.size;
    size_t at = first_difference(key.data, target->key.data, shared < end ? shared : end, end);
    *out_shared = (uint32_t)at;
    if (at < end) {
        return key.data[at] < target->key.data[at] ? -1 : 1;
    }
    if (key.size != target->key.size) {
        return key.size < target->key.size ? -1 : 1;
    }
    *out_shared = (uint32_t)at + 1;
    return (node->version < target->version) - (node->version > target->version);
}

struct search {
    const struct memtable_node *node; /* the last before the target so far */
    uint32_t offset;                  /* of it */
    uint32_t shared;                  /* symbols it shares with the target */
    uint64_t link;                    /* that leaves it at the present level */
    uint32_t next_shared;             /* symbols of the target and the node behind the link */
};

static inline void search_begin(const struct memtable *memtable, struct search *search)
{
    search->offset = memtable->head;
    search->node = memtable_node_at(memtable, memtable->head);
    search->shared = 0;
    search->link = 0;
    search->next_shared = 0;
}

/* Goes on at `level` until the next node is at or after the target. */
static inline void search_level(const struct memtable *memtable,
                                const struct memtable_target *target, unsigned level,
                                struct search *search)
{
    uint32_t refused = link_offset(search->link);
    for (;;) {
        uint64_t link = memtable_link_load(search->node, level);
        search->link = link;
        if (link_offset(link) == refused) {
            /* The end, or the node that the level above stopped at. */
            return;
        }
        uint32_t next_shared;
        if (memtable_link_compare(memtable, link, target, search->shared, &next_shared) >= 0) {
            search->next_shared = next_shared;
            return;
        }
        search->offset = link_offset(link);
        search->node = memtable_node_at(memtable, search->offset);
        search->shared = next_shared;
    }
}

static void search_run(const struct memtable *memtable, const struct memtable_target *target,
                       struct search *search)
{
    search_begin(memtable, search);
    /* Relaxed: a height read too early only starts the search lower, and one read early enough to be ahead
     * of the head's links meets empty ones. */
    unsigned level = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    while (level-- > 0) {
        search_level(memtable, target, level, search);
    }
}

uint32_t memtable_find(const struct memtable *memtable, const struct memtable_target *target,
                       bool *same_key)
{
    struct search search;
    search_run(memtable, target, &search);
    uint32_t found = link_offset(search.link);
    *same_key = found != 0 && search.next_shared == target->key.size + 1;
    return found;
}

uint32_t memtable_find_before(const struct memtable *memtable, const struct memtable_target *target)
{
    struct search search;
    search_run(memtable, target, &search);
    return search.offset == memtable->head ? 0 : search.offset;
}

uint32_t memtable_find_last(const struct memtable *memtable)
{
    uint32_t offset = memtable->head;
    unsigned level = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    while (level-- > 0) {
        uint64_t link = memtable_link_load(memtable_node_at(memtable, offset), level);
        while (link_offset(link) != 0) {
            offset = link_offset(link);
            link = memtable_link_load(memtable_node_at(memtable, offset), level);
        }
    }
    return offset == memtable->head ? 0 : offset;
}

void memtable_find_splice(const struct memtable *memtable, const struct memtable_target *target,
                          struct memtable_splice *splice)
{
    struct search search;
    search_begin(memtable, &search);
    unsigned level = MEMTABLE_HEIGHT_MAX;
    unsigned height = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    while (level-- > 0) {
        if (level < height) {
            search_level(memtable, target, level, &search);
        }
        splice->previous[level] = search.offset;
        splice->previous_shared[level] = search.shared;
        splice->links[level] = search.link;
        splice->next_shared[level] = search.next_shared;
    }
}
