/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB with what PolarysDB has: the same buffers, cache, block size, filters, codec and levels, two
 * background threads, dynamic level sizes. Everything else is its default, which is what its own db_bench
 * measures: writers grouped, memtables written concurrently, writes not pipelined.
 */
#include <rocksdb/c.h>
#include <stdlib.h>

#include "bench/stores/store.h"

struct bench_store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table_options;
    rocksdb_cache_t *cache;
    rocksdb_filterpolicy_t *filter;
    const char *dir;
};

/* One thread's options and batch. */
struct worker {
    rocksdb_t *db;
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    rocksdb_readoptions_t *reading;
    rocksdb_writebatch_t *batch;
};

static void check(char *error)
{
    if (error != NULL) {
        bench_die("rocksdb: %s", error);
    }
}

static struct bench_store *store_open(const struct bench_config *config)
{
    struct bench_store *store = calloc(1, sizeof(*store));
    char *error = NULL;

    store->dir = config->dir;
    store->options = rocksdb_options_create();
    store->table_options = rocksdb_block_based_options_create();
    store->cache = rocksdb_cache_create_lru(config->cache_bytes);
    store->filter = rocksdb_filterpolicy_create_bloom_full(10);
    rocksdb_block_based_options_set_block_cache(store->table_options, store->cache);
    rocksdb_block_based_options_set_filter_policy(store->table_options, store->filter);
    rocksdb_block_based_options_set_block_size(store->table_options, 16 << 10);
    rocksdb_options_set_block_based_table_factory(store->options, store->table_options);
    rocksdb_options_set_create_if_missing(store->options, 1);
    rocksdb_options_set_write_buffer_size(store->options, config->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(store->options, 4);
    rocksdb_options_set_compression(store->options, config->is_compressed ? rocksdb_zstd_compression
                                                                          : rocksdb_no_compression);
    /* The levels that PolarysDB uses: 1 above the last level of the tree, 3 in it. */
    rocksdb_options_set_compression_options(store->options, -14, 1, 0, 0);
    if (config->is_compressed) {
        rocksdb_options_set_bottommost_compression(store->options, rocksdb_zstd_compression);
        rocksdb_options_set_bottommost_compression_options(store->options, -14, 3, 0, 0, 1);
    }
    rocksdb_options_increase_parallelism(store->options, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(store->options, 1);
    store->db = rocksdb_open(store->options, config->dir, &error);
    check(error);
    return store;
}

static void store_close(struct bench_store *store)
{
    rocksdb_close(store->db);
    rocksdb_options_destroy(store->options);
    rocksdb_block_based_options_destroy(store->table_options);
    rocksdb_cache_destroy(store->cache);
    free(store);
}

static void *worker_open(struct bench_store *store)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    worker->db = store->db;
    worker->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(worker->synced, 1);
    worker->unsynced = rocksdb_writeoptions_create();
    worker->reading = rocksdb_readoptions_create();
    worker->batch = rocksdb_writebatch_create();
    return worker;
}

static void worker_close(void *state)
{
    struct worker *worker = state;
    rocksdb_writeoptions_destroy(worker->synced);
    rocksdb_writeoptions_destroy(worker->unsynced);
    rocksdb_readoptions_destroy(worker->reading);
    rocksdb_writebatch_destroy(worker->batch);
    free(worker);
}

static void store_write(void *state, const struct bench_slice *keys,
                        const struct bench_slice *values, size_t count, bool is_synced)
{
    struct worker *worker = state;
    char *error = NULL;
    rocksdb_writebatch_clear(worker->batch);
    for (size_t i = 0; i < count; i++) {
        rocksdb_writebatch_put(worker->batch, keys[i].data, keys[i].size, values[i].data,
                               values[i].size);
    }
    rocksdb_write(worker->db, is_synced ? worker->synced : worker->unsynced, worker->batch, &error);
    check(error);
}

static void store_remove(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    char *error = NULL;
    rocksdb_delete(worker->db, worker->unsynced, key.data, key.size, &error);
    check(error);
}

static long store_read(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    char *error = NULL;
    rocksdb_pinnableslice_t *value =
        rocksdb_get_pinned(worker->db, worker->reading, key.data, key.size, &error);
    size_t size = 0;
    check(error);
    if (value == NULL) {
        return -1;
    }
    (void)rocksdb_pinnableslice_value(value, &size);
    rocksdb_pinnableslice_destroy(value);
    return (long)size;
}

static size_t store_walk(void *state, const struct bench_slice *start, bool is_reverse,
                         size_t count)
{
    struct worker *worker = state;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(worker->db, worker->reading);
    size_t seen = 0;
    size_t size;
    char *error = NULL;

    if (start != NULL) {
        rocksdb_iter_seek(iterator, start->data, start->size);
    } else if (is_reverse) {
        rocksdb_iter_seek_to_last(iterator);
    } else {
        rocksdb_iter_seek_to_first(iterator);
    }
    while (seen < count && rocksdb_iter_valid(iterator)) {
        (void)rocksdb_iter_key(iterator, &size);
        (void)rocksdb_iter_value(iterator, &size);
        seen++;
        if (is_reverse) {
            rocksdb_iter_prev(iterator);
        } else {
            rocksdb_iter_next(iterator);
        }
    }
    rocksdb_iter_get_error(iterator, &error);
    check(error);
    rocksdb_iter_destroy(iterator);
    return seen;
}

static void store_compact(struct bench_store *store)
{
    char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush(store->db, options, &error);
    check(error);
    rocksdb_flushoptions_destroy(options);
    rocksdb_compact_range(store->db, NULL, 0, NULL, 0);
}

static uint64_t store_table_bytes(struct bench_store *store)
{
    return bench_dir_bytes(store->dir, ".sst");
}

const struct bench_store_kind bench_rocksdb = {
    .name = "rocksdb",
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
