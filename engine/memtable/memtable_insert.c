/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inserting: one writer, which builds a node completely and only then links it, from the lowest level up.
 *
 * The writer remembers the splice of a key right after the last one it inserted. Keys that come in order
 * then need no search at all.
 */
#include "engine/memtable/memtable_internal.h"

/*
 * A height with a branching of 2: since most nodes are judged from the link alone, only steps forward load
 * memory, and there are fewest of those with many low levels. From a generator (Marsaglia's xorshift64)
 * that need not be secret: heights do not depend on the keys.
 */
static unsigned choose_height(struct memtable *memtable)
{
    uint64_t seed = memtable->height_seed;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    memtable->height_seed = seed;
    return 1 + (unsigned)__builtin_ctzll(seed | UINT64_C(1) << (MEMTABLE_HEIGHT_MAX - 1));
}

/*
 * Makes the kept splice that of the target, when the target belongs right after the last node. All that
 * lies between two nodes shares with the first the lesser of what the steps between them share, so
 * the counts of the levels above follow from one comparison.
 */
static bool splice_follow(struct memtable *memtable, const struct memtable_target *target,
                          unsigned height)
{
    struct memtable_splice *splice = &memtable->splice;
    if (memtable->last == 0) {
        return false;
    }
    const struct memtable_node *last = memtable_node_at(memtable, memtable->last);
    uint32_t shared;
    uint32_t next_shared = 0;
    if (memtable_node_compare(last, target, 0, &shared) >= 0) {
        return false;
    }
    uint64_t link = memtable_link_load(last, 0);
    if (link_offset(link) != 0 &&
        memtable_link_compare(memtable, link, target, shared, &next_shared) <= 0) {
        return false;
    }
    for (unsigned level = 0; level < MEMTABLE_HEIGHT_MAX; level++) {
        if (splice->previous_shared[level] > shared) {
            splice->previous_shared[level] = shared;
        }
    }
    for (unsigned level = 0; level < height; level++) {
        const struct memtable_node *previous = memtable_node_at(memtable, splice->previous[level]);
        splice->links[level] = memtable_link_load(previous, level);
        if (link_offset(splice->links[level]) != 0) {
            int order =
                memtable_link_compare(memtable, splice->links[level], target,
                                      splice->previous_shared[level], &splice->next_shared[level]);
            POLARYS_ASSERT(order > 0);
        }
    }
    return true;
}

/* The link from the new node to the node that it comes before. */
static uint64_t forward_link(const struct memtable *memtable, uint64_t old, uint32_t shared)
{
    if (link_offset(old) == 0 || link_shared(old) == shared) {
        return old;
    }
    struct polarys_slice key = memtable_node_key(memtable_node_at(memtable, link_offset(old)));
    return link_make(link_offset(old), shared, key_fragment(key, shared));
}

/* Sets a mark where the last one lies far enough behind. */
static void mark_set(struct memtable *memtable, uint32_t offset, uint64_t version)
{
    if (offset < memtable->mark_next) {
        return;
    }
    POLARYS_ASSERT(memtable->mark_count < memtable->marks_max);
    memtable->marks[memtable->mark_count++] = (struct memtable_mark){version, offset};
    memtable->mark_next = offset + MEMTABLE_MARK_BYTES;
}

uint32_t memtable_node_build(struct memtable *memtable, const struct entry *entry, unsigned height)
{
    size_t size = sizeof(struct memtable_node) + height * sizeof(uint64_t) + entry->key.size +
                  entry->value.size;
    uint32_t offset = memtable_arena_take(memtable, size);
    struct memtable_node *node = memtable_node_at(memtable, offset);
    mark_set(memtable, offset, entry->version);
    node->version = entry->version;
    node->value_size = (uint32_t)entry->value.size;
    node->key_size = (uint16_t)entry->key.size;
    node->kind = (uint8_t)entry->kind;
    node->height = (uint8_t)height;
    uint8_t *to = (uint8_t *)(node->links + height);
    memcpy(to, entry->key.data, entry->key.size);
    if (entry->value.size > 0) {
        memcpy(to + entry->key.size, entry->value.data, entry->value.size);
    }
    return offset;
}

/* Links the node into the levels below `height`, and makes the splice that of a key right after it. */
static void link_node(struct memtable *memtable, uint32_t offset, unsigned height,
                      struct polarys_slice key)
{
    struct memtable_splice *splice = &memtable->splice;
    struct memtable_node *node = memtable_node_at(memtable, offset);
    for (unsigned level = 0; level < height; level++) {
        uint64_t forward = forward_link(memtable, splice->links[level], splice->next_shared[level]);
        /* Relaxed: nobody can reach the node yet; the store that links it releases this one too. */
        atomic_store_explicit(&node->links[level], forward, memory_order_relaxed);
    }
    for (unsigned level = 0; level < height; level++) {
        uint32_t shared = splice->previous_shared[level];
        memtable_link_store(memtable_node_at(memtable, splice->previous[level]), level,
                            link_make(offset, shared, key_fragment(key, shared)));
        splice->previous[level] = offset;
        splice->previous_shared[level] = UINT32_MAX;
    }
    if (height > atomic_load_explicit(&memtable->height, memory_order_relaxed)) {
        atomic_store_explicit(&memtable->height, height, memory_order_relaxed);
    }
    memtable->last = offset;
}

static void count_entry(struct memtable *memtable, const struct entry *entry)
{
    uint64_t newest = atomic_load_explicit(&memtable->newest_version, memory_order_relaxed);
    POLARYS_ASSERT(entry->version >= newest);
    if (newest == 0) {
        atomic_store_explicit(&memtable->oldest_version, entry->version, memory_order_relaxed);
    }
    atomic_store_explicit(&memtable->newest_version, entry->version, memory_order_relaxed);
    if (entry->kind != ENTRY_RANGE_DELETE) {
        uint64_t count = atomic_load_explicit(&memtable->entry_count, memory_order_relaxed);
        atomic_store_explicit(&memtable->entry_count, count + 1, memory_order_relaxed);
    }
}

void memtable_insert(struct memtable *memtable, const struct entry *entry)
{
    POLARYS_ASSERT(entry->key.size <= TREE_KEY_SIZE_MAX && entry->version != 0);
    count_entry(memtable, entry);
    if (entry->kind == ENTRY_RANGE_DELETE) {
        memtable_range_append(memtable, entry);
        return;
    }
    POLARYS_ASSERT(entry->value.size <= MEMTABLE_BYTES_MAX);
    struct memtable_target target = {entry->key, entry->version};
    unsigned height = choose_height(memtable);
    uint32_t offset = memtable_node_build(memtable, entry, height);
    if (!splice_follow(memtable, &target, height)) {
        memtable_find_splice(memtable, &target, &memtable->splice);
    }
    link_node(memtable, offset, height, entry->key);
}
