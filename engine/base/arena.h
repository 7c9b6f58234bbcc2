/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump allocator with a byte budget: memory of one call or one decode, freed all at once. Past the
 * budget it returns NULL, which is how hostile messages are kept from taking memory.
 */
#ifndef ENGINE_BASE_ARENA_H
#define ENGINE_BASE_ARENA_H

#include <stddef.h>

#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

struct arena_block;

/* Embedded by its owner; one thread at a time. */
struct arena {
    struct arena_block *newest;
    size_t used;       /* bytes handed out from newest */
    size_t total;      /* bytes of all blocks */
    size_t budget_max; /* bytes of all blocks that may be allocated */
};

/* budget_max: bytes; a first block is allocated only on first use. */
void arena_init(struct arena *arena, size_t budget_max);
void arena_deinit(struct arena *arena);

/* Frees everything handed out; keeps one block for reuse. */
void arena_reset(struct arena *arena);

/* 16-byte aligned memory, not zeroed; NULL past the budget or when malloc fails. Borrowed: valid until
 * reset or deinit. */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy of `slice` in the arena with a NUL after its end; NULL when there is no memory. */
char *arena_copy(struct arena *arena, struct polarys_slice slice);

#ifdef __cplusplus
}
#endif

#endif
