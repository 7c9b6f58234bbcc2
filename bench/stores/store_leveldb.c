/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LevelDB with the same write buffer, cache, block size and filter. It knows no codec but Snappy, and
 * compacts on one thread; both are its own ways, not settings.
 */
#include <leveldb/c.h>
#include <stdlib.h>

#include "bench/stores/store.h"

struct bench_store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    const char *dir;
};

/* One thread's options and batch. */
struct worker {
    leveldb_t *db;
    leveldb_writeoptions_t *synced;
    leveldb_writeoptions_t *unsynced;
    leveldb_readoptions_t *reading;
    leveldb_writebatch_t *batch;
};

static void check(char *error)
{
    if (error != NULL) {
        bench_die("leveldb: %s", error);
    }
}

static struct bench_store *store_open(const struct bench_config *config)
{
    struct bench_store *store = calloc(1, sizeof(*store));
    char *error = NULL;

    store->dir = config->dir;
    store->options = leveldb_options_create();
    store->cache = leveldb_cache_create_lru(config->cache_bytes);
    store->filter = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_set_cache(store->options, store->cache);
    leveldb_options_set_filter_policy(store->options, store->filter);
    leveldb_options_set_block_size(store->options, 16 << 10);
    leveldb_options_set_create_if_missing(store->options, 1);
    leveldb_options_set_write_buffer_size(store->options, config->write_buffer_bytes);
    leveldb_options_set_compression(store->options, config->is_compressed
                                                        ? leveldb_snappy_compression
                                                        : leveldb_no_compression);
    store->db = leveldb_open(store->options, config->dir, &error);
    check(error);
    return store;
}

static void store_close(struct bench_store *store)
{
    leveldb_close(store->db);
    leveldb_options_destroy(store->options);
    leveldb_cache_destroy(store->cache);
    leveldb_filterpolicy_destroy(store->filter);
    free(store);
}

static void *worker_open(struct bench_store *store)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    worker->db = store->db;
    worker->synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(worker->synced, 1);
    worker->unsynced = leveldb_writeoptions_create();
    worker->reading = leveldb_readoptions_create();
    worker->batch = leveldb_writebatch_create();
    return worker;
}

static void worker_close(void *state)
{
    struct worker *worker = state;
    leveldb_writeoptions_destroy(worker->synced);
    leveldb_writeoptions_destroy(worker->unsynced);
    leveldb_readoptions_destroy(worker->reading);
    leveldb_writebatch_destroy(worker->batch);
    free(worker);
}

static void store_write(void *state, const struct bench_slice *keys,
                        const struct bench_slice *values, size_t count, bool is_synced)
{
    struct worker *worker = state;
    char *error = NULL;
    leveldb_writebatch_clear(worker->batch);
    for (size_t i = 0; i < count; i++) {
        leveldb_writebatch_put(worker->batch, keys[i].data, keys[i].size, values[i].data,
                               values[i].size);
    }
    leveldb_write(worker->db, is_synced ? worker->synced : worker->unsynced, worker->batch, &error);
    check(error);
}

static void store_remove(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    char *error = NULL;
    leveldb_delete(worker->db, worker->unsynced, key.data, key.size, &error);
    check(error);
}

static long store_read(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    char *error = NULL;
    size_t size = 0;
    char *value = leveldb_get(worker->db, worker->reading, key.data, key.size, &size, &error);
    check(error);
    if (value == NULL) {
        return -1;
    }
    leveldb_free(value);
    return (long)size;
}

static size_t store_walk(void *state, const struct bench_slice *start, bool is_reverse,
                         size_t count)
{
    struct worker *worker = state;
    leveldb_iterator_t *iterator = leveldb_create_iterator(worker->db, worker->reading);
    size_t seen = 0;
    size_t size;
    char *error = NULL;

    if (start != NULL) {
        leveldb_iter_seek(iterator, start->data, start->size);
    } else if (is_reverse) {
        leveldb_iter_seek_to_last(iterator);
    } else {
        leveldb_iter_seek_to_first(iterator);
    }
    while (seen < count && leveldb_iter_valid(iterator)) {
        (void)leveldb_iter_key(iterator, &size);
        (void)leveldb_iter_value(iterator, &size);
        seen++;
        if (is_reverse) {
            leveldb_iter_prev(iterator);
        } else {
            leveldb_iter_next(iterator);
        }
    }
    leveldb_iter_get_error(iterator, &error);
    check(error);
    leveldb_iter_destroy(iterator);
    return seen;
}

static void store_compact(struct bench_store *store)
{
    leveldb_compact_range(store->db, NULL, 0, NULL, 0);
}

static uint64_t store_table_bytes(struct bench_store *store)
{
    return bench_dir_bytes(store->dir, ".ldb");
}

const struct bench_store_kind bench_leveldb = {
    .name = "leveldb",
    .open = store_open,
    .close = store_close,
    .worker_open = worker_open,
    .worker_close = worker_close,
    .write = store_write,
    .remove = store_remove,
    .read = store_read,
    .walk = store_walk,
    .compact = store_compact,
    .table_bytes = store_table_bytes,
};
