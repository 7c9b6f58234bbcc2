/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block cache.
 *
 * A shard is a hash table of chained slots. Slots live in chunks that are never freed while the cache
 * lives, so a reader may look at any slot it reaches, whatever became of it. All of a slot's state is one
 * atomic word:
 *
 *     generation (32 bits) | is_visible (1) | clock (2) | pins (29)
 *
 * Why a hit is right without a lock. A reader loads the word, then the slot's key, then adds a pin with a
 * compare-and-swap on the word it loaded. The writer makes a slot a different block only while it is
 * invisible and unpinned, and raises the generation when it does. So when the swap succeeds, the
 * generation has not changed since the first load (2^32 reuses of one slot between two instructions
 * aside), the key that was compared is that of the pinned block, and the pin keeps its bytes from then on.
 * A pinned block is never freed: eviction swaps a word with no pins for an invisible one, so either it or
 * a new pin succeeds, never both.
 *
 * A chain may change under a reader: a slot that it stands on may be unlinked and linked into another
 * chain. The reader then follows the wrong chain and at worst misses a block that is there; it is read
 * again, and block_cache_insert, under the shard's lock, finds the cached one. Steps are counted, so a
 * reader never runs in circles.
 *
 * Chains, free lists and the clock hand are changed under the shard's lock only, which is held for neither
 * input nor output. `used` is of the whole cache, so one shard may hold more than another.
 */
#include "engine/sst/block_cache.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/mutex.h"

enum {
    SHARD_COUNT = 16, /* a power of two */
    CHUNK_SLOTS = 64,
    CHUNKS_MAX = 1 << 20, /* of a shard */
    BUCKETS_FIRST = 64,   /* a power of two */
    BUCKETS_MAX = 1 << 24,
    TABLES_MAX = 24,      /* bucket arrays of a shard: each twice the one before */
    CHAIN_STEPS_MAX = 64, /* of a reader without the lock */
    CLOCK_FULL = 3,
    CLOCK_NEW = 1,
};

#define PIN_ONE UINT64_C(1)
#define PIN_MASK ((UINT64_C(1) << 29) - 1)
#define CLOCK_ONE (UINT64_C(1) << 29)
#define CLOCK_MASK (UINT64_C(3) << 29)
#define VISIBLE (UINT64_C(1) << 31)
#define GENERATION_ONE (UINT64_C(1) << 32)

struct block_shard;

struct cached_block {
    _Atomic uint64_t state;
    /* Written under the shard's lock while the slot is invisible; read by readers at any time. */
    _Atomic uint64_t file_id;
    _Atomic uint64_t offset;
    _Atomic(struct cached_block *) next; /* in the chain, or in the free list */
    /* Stable while pinned. */
    uint8_t *bytes;
    size_t size;
    struct block_shard *shard; /* NULL for a block that is not cached */
};

/* A bucket array. Replaced ones stay until the cache goes: a reader may be in them. */
struct bucket_table {
    size_t mask;
    _Atomic(struct cached_block *) heads[];
};

struct block_shard {
    struct block_cache *cache;
    _Atomic(struct bucket_table *) table;
    atomic_uint_fast64_t hit_count;
    atomic_uint_fast64_t miss_count;

    /* Guarded by mutex. */
    struct mutex mutex;
    struct bucket_table *tables[TABLES_MAX];
    size_t table_count;
    struct cached_block **chunks;
    size_t chunk_count;
    size_t chunk_capacity;
    struct cached_block *free_slots;
    size_t block_count;
    size_t hand; /* of the clock: the slot it looks at next */
    uint64_t evicted_count;
} __attribute__((aligned(64)));

struct block_cache {
    atomic_size_t capacity;
    atomic_size_t used;
    struct block_shard shards[SHARD_COUNT];
};

/* What a block costs: its bytes, its slot, its bucket, and the allocator's own. */
static size_t charge_of(size_t size)
{
    return size + sizeof(struct cached_block) + 3 * sizeof(void *);
}

/* A finaliser with full avalanche (the constants are Stafford's variant 13). */
static uint64_t block_hash(uint64_t file_id, uint64_t offset)
{
    uint64_t hash = (file_id << 40 | file_id >> 24) ^ offset;
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

static struct block_shard *shard_of(struct block_cache *cache, uint64_t hash)
{
    return &cache->shards[hash & (SHARD_COUNT - 1)];
}

static _Atomic(struct cached_block *) *bucket_of(struct bucket_table *table, uint64_t hash)
{
    return &table->heads[hash / SHARD_COUNT & table->mask];
}

static struct bucket_table *bucket_table_create(size_t size)
{
    struct bucket_table *table =
        calloc(1, sizeof(*table) + size * sizeof(_Atomic(struct cached_block *)));
    if (table != NULL) {
        table->mask = size - 1;
    }
    return table;
}

enum polarys_code block_cache_create(size_t capacity, struct block_cache **out,
                                     struct polarys_error *err)
{
    *out = NULL;
    struct block_cache *cache = aligned_alloc(64, sizeof(*cache));
    if (cache == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "block cache: out of memory");
    }
    memset(cache, 0, sizeof(*cache));
    atomic_init(&cache->capacity, capacity);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct block_shard *shard = &cache->shards[i];
        shard->cache = cache;
        mutex_init(&shard->mutex, MUTEX_RANK_BLOCK_CACHE);
    }
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct block_shard *shard = &cache->shards[i];
        shard->tables[0] = bucket_table_create(BUCKETS_FIRST);
        if (shard->tables[0] == NULL) {
            block_cache_destroy(cache);
            return polarys_fail(err, POLARYS_NO_MEMORY, "block cache: out of memory");
        }
        shard->table_count = 1;
        atomic_init(&shard->table, shard->tables[0]);
    }
    *out = cache;
    return POLARYS_OK;
}

static void shard_deinit(struct block_shard *shard)
{
    for (size_t i = 0; i < shard->chunk_count; i++) {
        for (size_t j = 0; j < CHUNK_SLOTS; j++) {
            struct cached_block *slot = &shard->chunks[i][j];
            POLARYS_ASSERT((atomic_load(&slot->state) & PIN_MASK) == 0);
            free(slot->bytes);
        }
        free(shard->chunks[i]);
    }
    free(shard->chunks);
    for (size_t i = 0; i < shard->table_count; i++) {
        free(shard->tables[i]);
    }
    mutex_deinit(&shard->mutex);
}

void block_cache_destroy(struct block_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        shard_deinit(&cache->shards[i]);
    }
    free(cache);
}

/*
 * Adds a pin if the slot still holds (file_id, offset), and winds its clock. The acquire of the swap pairs
 * with the release store that made the slot visible: its bytes are seen.
 */
static bool try_pin(struct cached_block *slot, uint64_t file_id, uint64_t offset)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    for (;;) {
        if ((state & VISIBLE) == 0 ||
            atomic_load_explicit(&slot->file_id, memory_order_acquire) != file_id ||
            atomic_load_explicit(&slot->offset, memory_order_acquire) != offset) {
            return false;
        }
        uint64_t pinned = (state + PIN_ONE) | CLOCK_MASK;
        if (atomic_compare_exchange_weak_explicit(&slot->state, &state, pinned,
                                                  memory_order_acquire, memory_order_acquire)) {
            POLARYS_ASSERT((pinned & PIN_MASK) != 0);
            return true;
        }
    }
}

/* Looks for the block along its chain; pinned when found. */
static struct cached_block *chain_find(struct bucket_table *table, uint64_t hash, uint64_t file_id,
                                       uint64_t offset, size_t steps_max)
{
    struct cached_block *slot = atomic_load_explicit(bucket_of(table, hash), memory_order_acquire);
    for (size_t steps = 0; slot != NULL && steps < steps_max; steps++) {
        if (atomic_load_explicit(&slot->offset, memory_order_relaxed) == offset &&
            try_pin(slot, file_id, offset)) {
            return slot;
        }
        slot = atomic_load_explicit(&slot->next, memory_order_acquire);
    }
    return NULL;
}

struct cached_block *block_cache_acquire(struct block_cache *cache, uint64_t file_id,
                                         uint64_t offset)
{
    uint64_t hash = block_hash(file_id, offset);
    struct block_shard *shard = shard_of(cache, hash);
    /* Pairs with the release store in grow_buckets. */
    struct bucket_table *table = atomic_load_explicit(&shard->table, memory_order_acquire);
    struct cached_block *slot = chain_find(table, hash, file_id, offset, CHAIN_STEPS_MAX);
    atomic_fetch_add_explicit(slot != NULL ? &shard->hit_count : &shard->miss_count, 1,
                              memory_order_relaxed);
    return slot;
}

static uint64_t slot_hash(struct cached_block *slot)
{
    return block_hash(atomic_load_explicit(&slot->file_id, memory_order_relaxed),
                      atomic_load_explicit(&slot->offset, memory_order_relaxed));
}

/* Takes the slot out of its chain. */
static void unlink_slot(struct block_shard *shard, struct cached_block *slot)
{
    struct bucket_table *table = atomic_load_explicit(&shard->table, memory_order_relaxed);
    _Atomic(struct cached_block *) *from = bucket_of(table, slot_hash(slot));
    struct cached_block *at = atomic_load_explicit(from, memory_order_relaxed);
    while (at != slot) {
        POLARYS_ASSERT(at != NULL);
        from = &at->next;
        at = atomic_load_explicit(from, memory_order_relaxed);
    }
    atomic_store_explicit(from, atomic_load_explicit(&slot->next, memory_order_relaxed),
                          memory_order_release);
    shard->block_count--;
}

/* Frees the bytes of an invisible, unpinned, unlinked slot and makes it one for another block. */
static void recycle_slot(struct block_shard *shard, struct cached_block *slot)
{
    free(slot->bytes);
    atomic_fetch_sub_explicit(&shard->cache->used, charge_of(slot->size), memory_order_relaxed);
    slot->bytes = NULL;
    slot->size = 0;
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    POLARYS_ASSERT((state & (VISIBLE | PIN_MASK)) == 0);
    /* Release: a reader that sees the new generation in a failed swap sees nothing half done before it. */
    atomic_store_explicit(&slot->state, (state & ~CLOCK_MASK) + GENERATION_ONE,
                          memory_order_release);
    atomic_store_explicit(&slot->next, shard->free_slots, memory_order_release);
    shard->free_slots = slot;
}

void cached_block_release(struct cached_block *block)
{
    if (block == NULL) {
        return;
    }
    /* Release and acquire: the reads of all who held a pin come before the bytes are freed. */
    uint64_t before = atomic_fetch_sub_explicit(&block->state, PIN_ONE, memory_order_acq_rel);
    POLARYS_ASSERT((before & PIN_MASK) != 0);
    if ((before & VISIBLE) != 0 || (before & PIN_MASK) != 1) {
        return;
    }
    /* The last pin of a block that nobody can find any more. */
    struct block_shard *shard = block->shard;
    if (shard == NULL) {
        free(block->bytes);
        free(block);
        return;
    }
    mutex_lock(&shard->mutex);
    recycle_slot(shard, block);
    mutex_unlock(&shard->mutex);
}

struct cached_block *cached_block_ref(struct cached_block *block)
{
    /* Relaxed: the caller has a pin already. */
    uint64_t before = atomic_fetch_add_explicit(&block->state, PIN_ONE, memory_order_relaxed);
    POLARYS_ASSERT((before & PIN_MASK) != 0 && (before & PIN_MASK) != PIN_MASK);
    return block;
}

struct polarys_slice cached_block_bytes(const struct cached_block *block)
{
    return slice_make(block->bytes, block->size);
}

/* One step of the clock: winds the slot down, or evicts it. */
static void clock_step(struct block_shard *shard, struct cached_block *slot)
{
    /* Acquire: pairs with the release of the last pin, before the bytes are freed. */
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    while ((state & VISIBLE) != 0 && (state & PIN_MASK) == 0) {
        bool is_idle = (state & CLOCK_MASK) == 0;
        uint64_t wanted = is_idle ? state & ~VISIBLE : state - CLOCK_ONE;
        if (!atomic_compare_exchange_weak_explicit(&slot->state, &state, wanted,
                                                   memory_order_acq_rel, memory_order_acquire)) {
            continue;
        }
        if (is_idle) {
            unlink_slot(shard, slot);
            recycle_slot(shard, slot);
            shard->evicted_count++;
        }
        return;
    }
}

/* Evicts from one shard until `more` bytes fit into the whole cache, or the clock has gone round often
 * enough to meet every idle block. */
static void shard_evict(struct block_shard *shard, size_t more)
{
    struct block_cache *cache = shard->cache;
    size_t slot_count = shard->chunk_count * CHUNK_SLOTS;
    size_t steps_max = slot_count * (CLOCK_FULL + 1);
    for (size_t steps = 0; steps < steps_max; steps++) {
        size_t used = atomic_load_explicit(&cache->used, memory_order_relaxed);
        if (used + more <= atomic_load_explicit(&cache->capacity, memory_order_relaxed)) {
            return;
        }
        shard->hand = shard->hand + 1 < slot_count ? shard->hand + 1 : 0;
        clock_step(shard, &shard->chunks[shard->hand / CHUNK_SLOTS][shard->hand % CHUNK_SLOTS]);
    }
}

/* Makes room for `more` bytes, from the shard `first` on. False when pinned blocks stand in the way. */
static bool make_room(struct block_cache *cache, size_t more, size_t first)
{
    for (size_t i = 0; i <= SHARD_COUNT; i++) {
        size_t used = atomic_load_explicit(&cache->used, memory_order_relaxed);
        if (used + more <= atomic_load_explicit(&cache->capacity, memory_order_relaxed)) {
            return true;
        }
        if (i < SHARD_COUNT) {
            struct block_shard *shard = &cache->shards[(first + i) & (SHARD_COUNT - 1)];
            mutex_lock(&shard->mutex);
            shard_evict(shard, more);
            mutex_unlock(&shard->mutex);
        }
    }
    return false;
}

void block_cache_capacity_set(struct block_cache *cache, size_t capacity)
{
    atomic_store_explicit(&cache->capacity, capacity, memory_order_relaxed);
    (void)make_room(cache, 0, 0);
}

/* Adds a chunk of free slots. */
static bool add_chunk(struct block_shard *shard)
{
    if (shard->chunk_count == shard->chunk_capacity) {
        size_t capacity = shard->chunk_capacity == 0 ? 16 : 2 * shard->chunk_capacity;
        struct cached_block **chunks =
            capacity > CHUNKS_MAX ? NULL : realloc(shard->chunks, capacity * sizeof(*chunks));
        if (chunks == NULL) {
            return false;
        }
        shard->chunks = chunks;
        shard->chunk_capacity = capacity;
    }
    struct cached_block *chunk = calloc(CHUNK_SLOTS, sizeof(*chunk));
    if (chunk == NULL) {
        return false;
    }
    for (size_t i = 0; i < CHUNK_SLOTS; i++) {
        chunk[i].shard = shard;
        atomic_init(&chunk[i].next, shard->free_slots);
        shard->free_slots = &chunk[i];
    }
    shard->chunks[shard->chunk_count++] = chunk;
    return true;
}

static void link_slot(struct bucket_table *table, struct cached_block *slot)
{
    _Atomic(struct cached_block *) *head = bucket_of(table, slot_hash(slot));
    atomic_store_explicit(&slot->next, atomic_load_explicit(head, memory_order_relaxed),
                          memory_order_release);
    /* Pairs with the acquire loads in chain_find. */
    atomic_store_explicit(head, slot, memory_order_release);
}

/* Doubles the buckets when chains get long; without memory for it they just get longer. */
static void grow_buckets(struct block_shard *shard)
{
    struct bucket_table *old = atomic_load_explicit(&shard->table, memory_order_relaxed);
    size_t size = 2 * (old->mask + 1);
    if (shard->block_count <= old->mask || shard->table_count == TABLES_MAX || size > BUCKETS_MAX) {
        return;
    }
    struct bucket_table *table = bucket_table_create(size);
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i <= old->mask; i++) {
        struct cached_block *slot = atomic_load_explicit(&old->heads[i], memory_order_relaxed);
        while (slot != NULL) {
            struct cached_block *next = atomic_load_explicit(&slot->next, memory_order_relaxed);
            link_slot(table, slot);
            slot = next;
        }
        atomic_store_explicit(&old->heads[i], NULL, memory_order_relaxed);
    }
    shard->tables[shard->table_count++] = table;
    atomic_store_explicit(&shard->table, table, memory_order_release);
}

/* Fills a free slot and makes it visible, with one pin. */
static struct cached_block *publish(struct block_shard *shard, uint64_t file_id, uint64_t offset,
                                    uint8_t *bytes, size_t size)
{
    struct cached_block *slot = shard->free_slots;
    shard->free_slots = atomic_load_explicit(&slot->next, memory_order_relaxed);
    atomic_store_explicit(&slot->file_id, file_id, memory_order_release);
    atomic_store_explicit(&slot->offset, offset, memory_order_release);
    slot->bytes = bytes;
    slot->size = size;
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    POLARYS_ASSERT((state & (VISIBLE | PIN_MASK)) == 0);
    /* Pairs with the acquire in try_pin. */
    atomic_store_explicit(&slot->state, state | VISIBLE | CLOCK_NEW * CLOCK_ONE | PIN_ONE,
                          memory_order_release);
    link_slot(atomic_load_explicit(&shard->table, memory_order_relaxed), slot);
    shard->block_count++;
    grow_buckets(shard);
    return slot;
}

struct cached_block *cached_block_create(uint8_t *take_bytes, size_t size)
{
    struct cached_block *block = calloc(1, sizeof(*block));
    if (block == NULL) {
        free(take_bytes);
        return NULL;
    }
    atomic_init(&block->state, PIN_ONE);
    block->bytes = take_bytes;
    block->size = size;
    return block;
}

struct cached_block *block_cache_insert(struct block_cache *cache, uint64_t file_id,
                                        uint64_t offset, uint8_t *take_bytes, size_t size)
{
    uint64_t hash = block_hash(file_id, offset);
    struct block_shard *shard = shard_of(cache, hash);
    size_t charge = charge_of(size);
    if (charge > atomic_load_explicit(&cache->capacity, memory_order_relaxed) ||
        !make_room(cache, charge, hash & (SHARD_COUNT - 1))) {
        return cached_block_create(take_bytes, size);
    }
    mutex_lock(&shard->mutex);
    struct bucket_table *table = atomic_load_explicit(&shard->table, memory_order_relaxed);
    struct cached_block *slot = chain_find(table, hash, file_id, offset, SIZE_MAX);
    bool is_ours = slot == NULL;
    if (is_ours && (shard->free_slots != NULL || add_chunk(shard))) {
        slot = publish(shard, file_id, offset, take_bytes, size);
        atomic_fetch_add_explicit(&cache->used, charge, memory_order_relaxed);
    }
    mutex_unlock(&shard->mutex);
    if (!is_ours) {
        free(take_bytes);
    } else if (slot == NULL) {
        return cached_block_create(take_bytes, size);
    }
    return slot;
}

/* Makes the slot invisible; frees it now, or leaves that to its last pin. */
static void forget_slot(struct block_shard *shard, struct cached_block *slot)
{
    /* Acquire: pairs with the release of the last pin, before the bytes are freed. */
    uint64_t before = atomic_fetch_and_explicit(&slot->state, ~VISIBLE, memory_order_acq_rel);
    unlink_slot(shard, slot);
    if ((before & PIN_MASK) == 0) {
        recycle_slot(shard, slot);
    }
}

void block_cache_forget_file(struct block_cache *cache, uint64_t file_id)
{
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct block_shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        for (size_t j = 0; j < shard->chunk_count * CHUNK_SLOTS; j++) {
            struct cached_block *slot = &shard->chunks[j / CHUNK_SLOTS][j % CHUNK_SLOTS];
            uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
            if ((state & VISIBLE) != 0 &&
                atomic_load_explicit(&slot->file_id, memory_order_relaxed) == file_id) {
                forget_slot(shard, slot);
            }
        }
        mutex_unlock(&shard->mutex);
    }
}

void block_cache_stats_get(struct block_cache *cache, struct block_cache_stats *stats)
{
    *stats = (struct block_cache_stats){
        .capacity = atomic_load_explicit(&cache->capacity, memory_order_relaxed),
        .used = atomic_load_explicit(&cache->used, memory_order_relaxed),
    };
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct block_shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        stats->block_count += shard->block_count;
        stats->evicted_count += shard->evicted_count;
        mutex_unlock(&shard->mutex);
        stats->hit_count += atomic_load_explicit(&shard->hit_count, memory_order_relaxed);
        stats->miss_count += atomic_load_explicit(&shard->miss_count, memory_order_relaxed);
    }
}
