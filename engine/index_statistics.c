/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of statistics, the cache of them, and the estimates that they allow.
 */
#include "engine/index_statistics.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/index_state.h"

enum { STATISTICS_FORMAT = 1 };

void index_statistics_unref(struct index_statistics *statistics)
{
    if (statistics != NULL && atomic_fetch_sub(&statistics->reference_count, 1) == 1) {
        buffer_deinit(&statistics->bounds);
        free(statistics);
    }
}

/* ---- records ---- */

enum polarys_code index_statistics_encode(const struct index_statistics *statistics,
                                          struct buffer *to)
{
    const uint64_t numbers[] = {statistics->version, statistics->entry_count,
                                statistics->distinct_count, statistics->stored_bytes,
                                statistics->bucket_count};
    enum polarys_code code = buffer_append_byte(to, STATISTICS_FORMAT);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && code == POLARYS_OK; i++) {
        code = buffer_append_varint(to, numbers[i]);
    }
    for (size_t i = 0; i < statistics->bucket_count && code == POLARYS_OK; i++) {
        code = buffer_append_varint(to, statistics->buckets[i].entries_before);
        if (code == POLARYS_OK) {
            code = buffer_append_sized(to, statistics->buckets[i].bound);
        }
    }
    return code;
}

/* False when the bytes are no record. `statistics->bounds` holds them. */
static bool record_parse(struct index_statistics *statistics)
{
    struct cursor from = cursor_make(buffer_slice(&statistics->bounds));
    uint64_t bucket_count;
    if (cursor_left(&from) == 0 || *from.at++ != STATISTICS_FORMAT ||
        !cursor_take_varint(&from, &statistics->version) ||
        !cursor_take_varint(&from, &statistics->entry_count) ||
        !cursor_take_varint(&from, &statistics->distinct_count) ||
        !cursor_take_varint(&from, &statistics->stored_bytes) ||
        !cursor_take_varint(&from, &bucket_count) || bucket_count > STATISTICS_BUCKETS_MAX) {
        return false;
    }
    uint64_t before = 0;
    for (size_t i = 0; i < bucket_count; i++) {
        struct statistics_bucket *bucket = &statistics->buckets[i];
        if (!cursor_take_varint(&from, &bucket->entries_before) ||
            bucket->entries_before < before || !cursor_take_sized(&from, &bucket->bound)) {
            return false;
        }
        before = bucket->entries_before;
    }
    statistics->bucket_count = (size_t)bucket_count;
    return cursor_left(&from) == 0;
}

enum polarys_code index_statistics_decode(uint32_t id, struct polarys_slice value,
                                          struct index_statistics **out)
{
    *out = NULL;
    struct index_statistics *statistics = calloc(1, sizeof(*statistics));
    if (statistics == NULL) {
        return POLARYS_NO_MEMORY;
    }
    atomic_init(&statistics->reference_count, 1);
    statistics->id = id;
    enum polarys_code code = buffer_append_slice(&statistics->bounds, value);
    if (code == POLARYS_OK && !record_parse(statistics)) {
        code = POLARYS_CORRUPT;
    }
    if (code != POLARYS_OK) {
        index_statistics_unref(statistics);
        return code;
    }
    *out = statistics;
    return POLARYS_OK;
}

/* ---- the cache ---- */

void statistics_cache_init(struct statistics_cache *cache)
{
    mutex_init(&cache->mutex, MUTEX_RANK_CATALOG);
}

/* REQUIRES: cache->mutex, or no other thread. */
static void cache_clear_locked(struct statistics_cache *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        index_statistics_unref(cache->list[i]);
    }
    cache->count = 0;
}

void statistics_cache_deinit(struct statistics_cache *cache)
{
    cache_clear_locked(cache);
    free(cache->list);
    mutex_deinit(&cache->mutex);
}

void db_statistics_put(struct polarys_db *db, struct index_statistics *take_statistics)
{
    struct statistics_cache *cache = &db->statistics;
    struct index_statistics *old = take_statistics;
    mutex_lock(&cache->mutex);
    size_t at = 0;
    while (at < cache->count && cache->list[at]->id != take_statistics->id) {
        at++;
    }
    if (at == STATISTICS_CACHED_MAX) {
        /* They come back from their records as they are asked for. */
        cache_clear_locked(cache);
        at = 0;
    }
    if (at == cache->capacity) {
        size_t capacity = cache->capacity == 0 ? 16 : 2 * cache->capacity;
        struct index_statistics **grown = realloc(cache->list, capacity * sizeof(*grown));
        if (grown != NULL) {
            cache->list = grown;
            cache->capacity = capacity;
        }
    }
    if (at < cache->capacity) {
        old = at < cache->count ? cache->list[at] : NULL;
        cache->count += at == cache->count ? 1 : 0;
        cache->list[at] = take_statistics;
    }
    mutex_unlock(&cache->mutex);
    index_statistics_unref(old);
}

static struct index_statistics *cache_find(struct statistics_cache *cache, uint32_t id)
{
    struct index_statistics *found = NULL;
    mutex_lock(&cache->mutex);
    for (size_t i = 0; i < cache->count && found == NULL; i++) {
        if (cache->list[i]->id == id) {
            found = cache->list[i];
            atomic_fetch_add(&found->reference_count, 1);
        }
    }
    mutex_unlock(&cache->mutex);
    return found;
}

struct index_statistics *db_statistics_get(struct polarys_db *db, uint32_t id)
{
    struct index_statistics *statistics = cache_find(&db->statistics, id);
    if (statistics != NULL) {
        return statistics;
    }
    uint8_t key[INDEX_STATE_KEY_SIZE];
    size_t size = index_state_key(key, id, INDEX_STATE_STATISTICS);
    struct tree_value value = {0};
    enum polarys_code code =
        tree_get(db->tree, slice_make(key, size), VERSION_MAX, 0, &value, NULL);
    if (code == POLARYS_OK) {
        code = index_statistics_decode(id, value.bytes, &statistics);
    }
    tree_value_release(&value);
    if (code == POLARYS_CORRUPT) {
        polarys_log(POLARYS_LOG_WARN, "index", "statistics %u are not readable: gather them again",
                    id);
    }
    if (statistics != NULL) {
        atomic_fetch_add(&statistics->reference_count, 1);
        db_statistics_put(db, statistics);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the reference added above keeps it */
    return statistics;
}

/* ---- estimates ---- */

/* Entries before `key`, which is behind database and index id. */
static double entries_before(const struct index_statistics *statistics, struct polarys_slice key)
{
    size_t low = 0;
    size_t high = statistics->bucket_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(statistics->buckets[middle].bound, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    double before = low == 0 ? 0 : (double)statistics->buckets[low - 1].entries_before;
    double beyond = low == statistics->bucket_count
                        ? (double)statistics->entry_count
                        : (double)statistics->buckets[low].entries_before;
    /* Within a bucket nothing is known: the middle is wrong by half of it at most. */
    return (before + beyond) / 2;
}

static struct polarys_slice behind_prefix(struct polarys_slice key)
{
    return key.size <= TREE_KEY_PREFIX_SIZE
               ? slice_make(NULL, 0)
               : slice_make(key.data + TREE_KEY_PREFIX_SIZE, key.size - TREE_KEY_PREFIX_SIZE);
}

double index_statistics_range(const struct index_statistics *statistics, struct polarys_slice start,
                              struct polarys_slice end)
{
    if (slice_compare(start, end) >= 0 || statistics->entry_count == 0) {
        return 0;
    }
    struct polarys_slice first = behind_prefix(start);
    struct polarys_slice beyond = behind_prefix(end);
    double from = first.size == 0 ? 0 : entries_before(statistics, first);
    double to =
        beyond.size == 0 ? (double)statistics->entry_count : entries_before(statistics, beyond);
    /* Both in one bucket: at least one value, on average. */
    double least = index_statistics_equal(statistics);
    return to - from > least ? to - from : least;
}

double index_statistics_equal(const struct index_statistics *statistics)
{
    if (statistics->entry_count == 0) {
        return 0;
    }
    return statistics->distinct_count == 0
               ? 1
               : (double)statistics->entry_count / (double)statistics->distinct_count;
}
