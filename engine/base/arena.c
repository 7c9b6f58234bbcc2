/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the blocks of arenas: a list, newest first, of which only the newest is handed out from.
 * The invariant is total <= budget_max, block headers included, so the budget is a bound on real
 * memory. It never moves or frees a single allocation.
 */
#include "engine/base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

enum {
    ARENA_ALIGNMENT = 16,
    ARENA_BLOCK_SIZE_MIN = 1008,       /* what malloc gives and takes back without a search */
    ARENA_BLOCK_SIZE_MAX = 256 * 1024, /* of a block that no single allocation asks for */
};

struct arena_block {
    struct arena_block *older;
    size_t size; /* bytes, with this header */
};

_Static_assert(sizeof(struct arena_block) % ARENA_ALIGNMENT == 0, "memory after it is aligned");

void arena_init(struct arena *arena, size_t budget_max)
{
    *arena = (struct arena){.budget_max = budget_max};
}

static void blocks_free(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
}

void arena_deinit(struct arena *arena)
{
    blocks_free(arena->newest);
    arena_init(arena, arena->budget_max);
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = arena->newest;
    if (kept != NULL) {
        blocks_free(kept->older);
        kept->older = NULL;
        arena->used = 0;
        arena->total = kept->size;
    }
}

/* A new newest block with room for `size` bytes; false when there is no memory or no budget. */
static bool arena_grow(struct arena *arena, size_t size)
{
    POLARYS_ASSERT(arena->total <= arena->budget_max);
    size_t left = arena->budget_max - arena->total;
    if (left < sizeof(struct arena_block) || size > left - sizeof(struct arena_block)) {
        return false;
    }
    size_t wanted = size + sizeof(struct arena_block);
    /* As much again as there is, so that n bytes take O(log n) blocks, but never past the
     * budget. */
    size_t block_size =
        arena->total < ARENA_BLOCK_SIZE_MIN ? (size_t)ARENA_BLOCK_SIZE_MIN : arena->total;
    block_size = block_size > ARENA_BLOCK_SIZE_MAX ? (size_t)ARENA_BLOCK_SIZE_MAX : block_size;
    block_size = block_size < wanted ? wanted : block_size;
    block_size = block_size > left ? left : block_size;
    struct arena_block *block = malloc(block_size);
    if (block == NULL) {
        return false;
    }
    block->older = arena->newest;
    block->size = block_size;
    arena->newest = block;
    arena->used = 0;
    arena->total += block_size;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGNMENT) {
        return NULL;
    }
    /* An empty allocation takes a place too, so that its address is nobody else's. */
    size_t rounded =
        size == 0 ? ARENA_ALIGNMENT : (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    size_t room =
        arena->newest == NULL ? 0 : arena->newest->size - sizeof(struct arena_block) - arena->used;
    if (rounded > room && !arena_grow(arena, rounded)) {
        return NULL;
    }
    POLARYS_ASSERT(arena->newest != NULL);
    void *memory = (uint8_t *)(arena->newest + 1) + arena->used;
    arena->used += rounded;
    POLARYS_ASSERT(arena->used + sizeof(struct arena_block) <= arena->newest->size);
    return memory;
}

char *arena_copy(struct arena *arena, struct polarys_slice slice)
{
    char *copy = slice.size < SIZE_MAX ? arena_alloc(arena, slice.size + 1) : NULL;
    if (copy != NULL) {
        if (slice.size > 0) {
            memcpy(copy, slice.data, slice.size);
        }
        copy[slice.size] = '\0';
    }
    return copy;
}
