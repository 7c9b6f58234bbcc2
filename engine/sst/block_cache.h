/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block cache: opened (decrypted, decompressed) blocks by (file id, offset), in shards, with CLOCK
 * eviction. A hit takes no lock. Its budget is part of memory_limit and may change at run time.
 */
#ifndef ENGINE_SST_BLOCK_CACHE_H
#define ENGINE_SST_BLOCK_CACHE_H

#include "engine/base/error.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

struct block_cache;
/* A pinned block. */
struct cached_block;

/* capacity: bytes, bookkeeping included; 0 caches nothing. Errors: NO_MEMORY. */
NODISCARD enum polarys_code block_cache_create(size_t capacity, struct block_cache **out,
                                               struct polarys_error *err);
/* REQUIRES: nothing is pinned. Accepts NULL. */
void block_cache_destroy(struct block_cache *cache);

/* Takes effect at once: evicts down to it. */
void block_cache_capacity_set(struct block_cache *cache, size_t capacity);

/* Pins and returns the block, or NULL. Never blocks. */
struct cached_block *block_cache_acquire(struct block_cache *cache, uint64_t file_id,
                                         uint64_t offset);

/*
 * Takes over `take_bytes` (malloc'd, `size` bytes) and pins it; if another thread was first its block is
 * returned and `take_bytes` freed. When the block does not fit the cache it is returned pinned and
 * uncached. NULL (and take_bytes freed) only for lack of memory.
 */
struct cached_block *block_cache_insert(struct block_cache *cache, uint64_t file_id,
                                        uint64_t offset, uint8_t *take_bytes, size_t size);

/* As block_cache_insert for a block that stays out of the cache. */
struct cached_block *cached_block_create(uint8_t *take_bytes, size_t size);

/* REQUIRES: the caller holds a pin. */
struct cached_block *cached_block_ref(struct cached_block *block);
void cached_block_release(struct cached_block *block); /* accepts NULL */
/* Borrowed: valid while pinned. */
struct polarys_slice cached_block_bytes(const struct cached_block *block);

/* Drops the blocks of a file that was removed; pinned ones go when released. */
void block_cache_forget_file(struct block_cache *cache, uint64_t file_id);

struct block_cache_stats {
    uint64_t capacity;
    uint64_t used; /* bytes */
    uint64_t block_count;
    uint64_t hit_count;
    uint64_t miss_count;
    uint64_t evicted_count;
};
void block_cache_stats_get(struct block_cache *cache, struct block_cache_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
