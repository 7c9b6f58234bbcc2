/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memtable's memory: one mapping that holds the entries' arena, the head node and the list of range
 * deletes. Only the files of this module include this.
 *
 * A link between two nodes holds more than an offset. With `x -> y` it keeps how many symbols the keys of
 * x and y share, and the two symbols of y after those. A symbol is a byte plus one, or 0 past the end, so
 * that a key sorts before its extensions. A search that knows how many symbols its target shares with x
 * then mostly sees from the link alone on which side of y the target lies, and does not have to load y:
 * a load from memory costs more than all the rest of a step. (The idea is that of the LCP-aware string
 * structures: Grossi and Italiano, "Efficient techniques for maintaining multidimensional keys in linked
 * data structures", ICALP 1999.)
 */
#ifndef ENGINE_MEMTABLE_MEMTABLE_INTERNAL_H
#define ENGINE_MEMTABLE_MEMTABLE_INTERNAL_H

#include <stdatomic.h>

#include "engine/memtable/memtable.h"

enum {
    MEMTABLE_HEIGHT_MAX = 22, /* with a branching of 2 enough for 2^22 entries */
    MEMTABLE_NODE_ALIGNMENT = 8,
    MEMTABLE_MARK_BYTES = 4096,
    MEMTABLE_HEAD_OFFSET = MEMTABLE_NODE_ALIGNMENT,

    LINK_FRAGMENT_BITS = 18, /* two symbols of 9 bits */
    LINK_SHARED_BITS = 13,
    LINK_OFFSET_SHIFT = 32,
};

#define LINK_FRAGMENT_MASK ((UINT64_C(1) << LINK_FRAGMENT_BITS) - 1)
#define LINK_SHARED_MASK ((UINT64_C(1) << LINK_SHARED_BITS) - 1)

_Static_assert(TREE_KEY_SIZE_MAX + 1 < 1 << LINK_SHARED_BITS, "a link can hold any shared count");

/*
 * Followed by `height` links, the key and the value. Immutable once linked, but for the links. The arena is
 * nothing but nodes in the order of insertion: range deletes lie in it as nodes of height 0, which no link
 * leads to.
 */
struct memtable_node {
    uint64_t version;
    uint32_t value_size;
    uint16_t key_size;
    uint8_t kind;
    uint8_t height;
    _Atomic uint64_t links[];
};

_Static_assert(sizeof(struct memtable_node) == 16, "nodes are packed");

/* A range delete, its bounds in the arena. Immutable once counted. */
struct memtable_range {
    uint32_t start_at;
    uint32_t start_size;
    uint32_t end_at;
    uint32_t end_size;
    uint64_t version;
};

/* A place in the order of insertion: the node at `offset` has this version. */
struct memtable_mark {
    uint64_t version;
    uint32_t offset;
};

/* An index over the first `covered` range deletes. Replaced ones are kept until the memtable goes, since
 * a reader may be in them; their sizes grow geometrically. */
struct memtable_range_index {
    struct memtable_range_index *older;
    struct range_delete_index *index;
    size_t covered;
};

/* Where a key belongs: at each level the last node before it, with the symbols shared with that node, and
 * the link that leaves it, with the symbols shared with the node it leads to. The writer's. */
struct memtable_splice {
    uint32_t previous[MEMTABLE_HEIGHT_MAX];
    uint32_t previous_shared[MEMTABLE_HEIGHT_MAX];
    uint64_t links[MEMTABLE_HEIGHT_MAX];
    uint32_t next_shared[MEMTABLE_HEIGHT_MAX];
};

struct memtable {
    /* Immutable after create. */
    uint8_t *base; /* of the mapping; offset 0 is no node */
    size_t map_size;
    size_t capacity;
    size_t arena_end;              /* offset past the arena */
    struct memtable_range *ranges; /* MEMTABLE_RANGE_DELETES_MAX */
    struct memtable_mark *marks;   /* one for about MEMTABLE_MARK_BYTES of the arena */
    size_t marks_max;
    uint32_t head;

    /* Synchronises itself. Written by the writer only, but for the reference count. */
    atomic_uint reference_count;
    atomic_uint height; /* levels in use */
    atomic_size_t used; /* offset of the next free byte */
    atomic_size_t range_count;
    _Atomic(struct memtable_range_index *) range_index;
    atomic_uint_fast64_t entry_count;
    atomic_uint_fast64_t oldest_version;
    atomic_uint_fast64_t newest_version;

    /* The writer's. */
    uint64_t height_seed;
    uint32_t last; /* the node inserted last; 0 before the first */
    size_t mark_count;
    size_t mark_next;              /* offset from which on the next mark is set */
    struct memtable_splice splice; /* of a key right after `last` */
};

/* What is looked for. */
struct memtable_target {
    struct polarys_slice key;
    uint64_t version;
};

static inline struct memtable_node *memtable_node_at(const struct memtable *memtable,
                                                     uint32_t offset)
{
    return (struct memtable_node *)(void *)(memtable->base + offset);
}

static inline size_t memtable_align_up(size_t size)
{
    return (size + MEMTABLE_NODE_ALIGNMENT - 1) & ~(size_t)(MEMTABLE_NODE_ALIGNMENT - 1);
}

/* Arena bytes of the node; the next one lies behind them. */
static inline size_t memtable_node_size(const struct memtable_node *node)
{
    return memtable_align_up(sizeof(*node) + node->height * sizeof(uint64_t) + node->key_size +
                             node->value_size);
}

static inline const uint8_t *memtable_node_key_bytes(const struct memtable_node *node)
{
    return (const uint8_t *)(node->links + node->height);
}

static inline struct polarys_slice memtable_node_key(const struct memtable_node *node)
{
    return slice_make(memtable_node_key_bytes(node), node->key_size);
}

static inline void memtable_node_entry(const struct memtable_node *node, struct entry *entry)
{
    entry->key = memtable_node_key(node);
    entry->value = slice_make(entry->key.data + node->key_size, node->value_size);
    entry->version = node->version;
    entry->kind = (enum entry_kind)node->kind;
}

/* Pairs with the release store of memtable_link_store: what the writer put into the node is seen. */
static inline uint64_t memtable_link_load(const struct memtable_node *node, unsigned level)
{
    return atomic_load_explicit(&node->links[level], memory_order_acquire);
}

/* Pairs with the acquire load of memtable_link_load. */
static inline void memtable_link_store(struct memtable_node *node, unsigned level, uint64_t link)
{
    atomic_store_explicit(&node->links[level], link, memory_order_release);
}

static inline uint64_t link_make(uint32_t offset, uint32_t shared, uint32_t fragment)
{
    return (uint64_t)offset << LINK_OFFSET_SHIFT | (uint64_t)shared << LINK_FRAGMENT_BITS |
           fragment;
}

static inline uint32_t link_offset(uint64_t link)
{
    return (uint32_t)(link >> LINK_OFFSET_SHIFT);
}

static inline uint32_t link_shared(uint64_t link)
{
    return (uint32_t)(link >> LINK_FRAGMENT_BITS & LINK_SHARED_MASK);
}

static inline uint32_t key_symbol(struct polarys_slice key, size_t position)
{
    return position < key.size ? key.data[position] + 1u : 0;
}

/* The two symbols at `position`. */
static inline uint32_t key_fragment(struct polarys_slice key, size_t position)
{
    return key_symbol(key, position) << 9 | key_symbol(key, position + 1);
}

/*
 * Order of `node` against the target: negative when the node comes before it. `shared` symbols are known
 * to be equal; *out_shared becomes how many are (key size + 1 for the same key).
 */
int memtable_node_compare(const struct memtable_node *node, const struct memtable_target *target,
                          uint32_t shared, uint32_t *out_shared);

/*
 * As memtable_node_compare for the node that `link` leads to, given that the target shares `shared`
 * symbols with the node that the link leaves.
 */
static inline int memtable_link_compare(const struct memtable *memtable, uint64_t link,
                                        const struct memtable_target *target, uint32_t shared,
                                        uint32_t *out_shared)
{
    uint32_t kept = link_shared(link);
    if (kept != shared) {
        *out_shared = kept < shared ? kept : shared;
        return kept < shared ? 1 : -1;
    }
    uint32_t fragment = (uint32_t)(link & LINK_FRAGMENT_MASK);
    uint32_t wanted = key_fragment(target->key, shared);
    if (fragment != wanted) {
        *out_shared = shared + ((fragment ^ wanted) < 1u << 9);
        return fragment < wanted ? -1 : 1;
    }
    return memtable_node_compare(memtable_node_at(memtable, link_offset(link)), target, shared,
                                 out_shared);
}

/* The first node at or after the target; 0 when there is none. *same_key says whether it has its key. */
uint32_t memtable_find(const struct memtable *memtable, const struct memtable_target *target,
                       bool *same_key);
/* The last node before the target; 0 when there is none. */
uint32_t memtable_find_before(const struct memtable *memtable,
                              const struct memtable_target *target);
/* The last node of all; 0 when the memtable is empty. */
uint32_t memtable_find_last(const struct memtable *memtable);
/* Fills the splice of a target for every level. The writer's. */
void memtable_find_splice(const struct memtable *memtable, const struct memtable_target *target,
                          struct memtable_splice *splice);

/* Takes `size` bytes of the arena. REQUIRES: room. The writer's. */
uint32_t memtable_arena_take(struct memtable *memtable, size_t size);
/* A node of `height` links with the entry in it, linked to nothing. REQUIRES: room. The writer's. */
uint32_t memtable_node_build(struct memtable *memtable, const struct entry *entry, unsigned height);
void memtable_range_append(struct memtable *memtable, const struct entry *entry);
/* The newest version above `above` of a range delete that overlaps [start, end); 0 when none does. */
uint64_t memtable_range_overlap_version(const struct memtable *memtable, struct polarys_slice start,
                                        struct polarys_slice end, uint64_t above);
void memtable_ranges_deinit(struct memtable *memtable);

#endif
