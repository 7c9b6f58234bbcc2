/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a memtable and a table file cost by themselves: nanoseconds an operation, one thread, 16-byte user
 * keys and 100-byte values, half of it compressible. Usage: micro_table [entries] [directory].
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/crypto/keyring.h"
#include "engine/memtable/memtable.h"
#include "engine/sst/table.h"

enum {
    KEY_SIZE = TREE_KEY_PREFIX_SIZE + 16,
    VALUE_SIZE = 100,
    ENTRIES_DEFAULT = 1000000,
    ENTRIES_MAX = 100000000,
    CACHE_BYTES = 1 << 30,
};

struct bench {
    size_t count;
    uint8_t *keys;   /* KEY_SIZE each, sorted */
    uint8_t *values; /* a pool that values are cut from */
    struct table_env env;
    struct keyring *keyring;
    struct block_cache *cache;
};

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void must(enum polarys_code code, const struct polarys_error *err)
{
    if (code != POLARYS_OK) {
        fprintf(stderr, "micro_table: %s\n", err->message);
        exit(1);
    }
}

static void report(const char *what, double begin, size_t operations)
{
    double each = (now_ns() - begin) / (double)operations;
    printf("%-34s %9.1f ns  %10.0f /s\n", what, each, 1e9 / each);
}

static struct polarys_slice key_at(const struct bench *bench, size_t index)
{
    return slice_make(bench->keys + index * KEY_SIZE, KEY_SIZE);
}

static struct entry entry_at(const struct bench *bench, size_t index, uint64_t version)
{
    struct entry entry = {
        .key = key_at(bench, index),
        .value = slice_make(bench->values + mix(index) % (1 << 20), VALUE_SIZE),
        .version = version,
        .kind = ENTRY_PUT,
    };
    return entry;
}

static void prepare(struct bench *bench)
{
    bench->keys = malloc(bench->count * KEY_SIZE);
    bench->values = malloc((1 << 20) + VALUE_SIZE);
    if (bench->keys == NULL || bench->values == NULL) {
        fprintf(stderr, "micro_table: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < bench->count; i++) {
        char text[32];
        uint8_t *key = bench->keys + i * KEY_SIZE;
        tree_key_put_prefix(key, 1, 2);
        snprintf(text, sizeof(text), "%016zu", 2 * i);
        memcpy(key + TREE_KEY_PREFIX_SIZE, text, 16);
    }
    /* Runs of random bytes and of their repetitions, so that about half goes away. */
    for (size_t i = 0; i < (1 << 20) + VALUE_SIZE; i++) {
        bench->values[i] = i % 100 < 50 || i < 50 ? (uint8_t)mix(i) : bench->values[i - 50];
    }
}

static void bench_memtable(const struct bench *bench, bool in_order)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct memtable *memtable;
    must(memtable_create(MEMTABLE_BYTES_MAX, &memtable, &err), &err);
    double begin = now_ns();
    for (size_t i = 0; i < bench->count; i++) {
        struct entry entry = entry_at(bench, in_order ? i : mix(i) % bench->count, i + 1);
        memtable_insert(memtable, &entry);
    }
    report(in_order ? "memtable insert, in order" : "memtable insert, random", begin, bench->count);
    begin = now_ns();
    size_t found_count = 0;
    for (size_t i = 0; i < bench->count; i++) {
        struct entry found;
        found_count +=
            memtable_get(memtable, key_at(bench, mix(mix(i) % bench->count + 7) % bench->count),
                         VERSION_MAX, &found);
    }
    report("memtable get, random", begin, bench->count);
    struct entry_iterator *iterator;
    must(memtable_iterator_create(memtable, &iterator, &err), &err);
    begin = now_ns();
    size_t walked = 0;
    for (entry_iterator_seek_first(iterator); iterator->is_valid; entry_iterator_next(iterator)) {
        walked++;
    }
    report("memtable walk", begin, walked);
    begin = now_ns();
    for (entry_iterator_seek_last(iterator); iterator->is_valid;
         entry_iterator_previous(iterator)) {
        walked++;
    }
    report("memtable walk backwards", begin, walked / 2);
    struct memtable_stats stats;
    memtable_stats_get(memtable, &stats);
    printf("%-34s %9.1f bytes an entry (%zu found)\n", "memtable",
           (double)stats.used / (double)bench->count, found_count);
    entry_iterator_destroy(iterator);
    memtable_unref(memtable);
}

static void bench_build(const struct bench *bench, int zstd_level, uint64_t file_id,
                        struct table_meta *meta)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct table_builder_options options = {
        .file_id = file_id, .block_bytes = TABLE_BLOCK_BYTES_DEFAULT, .zstd_level = zstd_level};
    struct table_builder *builder;
    double begin = now_ns();
    must(table_builder_create(&bench->env, &options, &builder, &err), &err);
    for (size_t i = 0; i < bench->count; i++) {
        struct entry entry = entry_at(bench, i, mix(i) % bench->count + 1);
        must(table_builder_add(builder, &entry, &err), &err);
    }
    must(table_builder_finish(builder, meta, &err), &err);
    char what[64];
    snprintf(what, sizeof(what), "table build, zstd %d", zstd_level);
    double seconds = (now_ns() - begin) / 1e9;
    report(what, begin, bench->count);
    printf("%-34s %9.1f MB/s raw, %.3f of raw size\n", what,
           (double)meta->raw_bytes / seconds / 1e6,
           (double)meta->file_bytes / (double)meta->raw_bytes);
    table_builder_destroy(builder);
}

static size_t get_all(const struct bench *bench, struct table *table, bool missing)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    size_t found_count = 0;
    uint8_t absent[KEY_SIZE];
    for (size_t i = 0; i < bench->count; i++) {
        struct polarys_slice key = key_at(bench, mix(i + 99) % bench->count);
        if (missing) {
            memcpy(absent, key.data, KEY_SIZE);
            absent[KEY_SIZE - 1]++;
            key.data = absent;
        }
        struct entry found;
        struct cached_block *pin;
        bool is_found;
        must(table_get(table, key, VERSION_MAX, 0, &is_found, &found, &pin, &err), &err);
        found_count += is_found;
        cached_block_release(pin);
    }
    return found_count;
}

static void bench_walk(const struct bench *bench, struct table *table)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct entry_iterator *iterator;
    must(table_iterator_create(table, TABLE_READ_AHEAD, &iterator, &err), &err);
    for (int round = 0; round < 2; round++) {
        double begin = now_ns();
        size_t walked = 0;
        for (entry_iterator_seek_first(iterator); iterator->is_valid;
             entry_iterator_next(iterator)) {
            walked++;
        }
        must(iterator->code, &iterator->error);
        report(round == 0 ? "table walk, not cached" : "table walk, cached", begin, walked);
    }
    double begin = now_ns();
    size_t walked = 0;
    for (entry_iterator_seek_last(iterator); iterator->is_valid;
         entry_iterator_previous(iterator)) {
        walked++;
    }
    report("table walk backwards, cached", begin, walked);
    begin = now_ns();
    for (size_t i = 0; i < bench->count / 10; i++) {
        entry_iterator_seek(iterator, key_at(bench, mix(i) % bench->count), VERSION_MAX);
        for (int j = 0; j < 10 && iterator->is_valid; j++) {
            entry_iterator_next(iterator);
        }
    }
    report("table seek and 10 next, cached", begin, bench->count / 10);
    entry_iterator_destroy(iterator);
}

static void bench_table(const struct bench *bench, int zstd_level, uint64_t file_id)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct table_meta meta;
    bench_build(bench, zstd_level, file_id, &meta);
    struct table *table;
    must(table_open(&bench->env, &meta, &table, &err), &err);
    bench_walk(bench, table);
    double begin = now_ns();
    size_t found_count = get_all(bench, table, false);
    report("table get, cached, random", begin, bench->count);
    begin = now_ns();
    size_t false_count = get_all(bench, table, true);
    report("table get, cached, missing", begin, bench->count);
    printf("%-34s %zu found, %zu found wrongly\n", "table", found_count, false_count);
    table_close(table);
    table_meta_deinit(&meta);
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    table_file_name(name, file_id);
    must(vfs_path_join(path, bench->env.dir, name, &err), &err);
    must(vfs_remove(bench->env.vfs, path, &err), &err);
}

int main(int argc, char **argv)
{
    struct bench bench = {.count = ENTRIES_DEFAULT};
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (argc > 1) {
        bench.count = strtoull(argv[1], NULL, 10);
    }
    if (bench.count < 10 || bench.count > ENTRIES_MAX) {
        fprintf(stderr, "usage: micro_table [entries 10..%d] [directory]\n", ENTRIES_MAX);
        return 2;
    }
    prepare(&bench);
    struct master_key master = {{1}};
    struct keyring_options options = {
        .vfs = vfs_posix(),
        .dir = argc > 2 ? argv[2] : ".",
        .random = random_system(),
        .clock = clock_system(),
        .master_keys = &master,
        .master_key_count = 1,
    };
    must(keyring_create(&options, &bench.keyring, &err), &err);
    must(block_cache_create(CACHE_BYTES, &bench.cache, &err), &err);
    bench.env =
        (struct table_env){options.vfs, options.dir, bench.keyring, options.random, bench.cache};
    bench_memtable(&bench, false);
    bench_memtable(&bench, true);
    bench_table(&bench, 0, 1);
    bench_table(&bench, 1, 2);
    block_cache_destroy(bench.cache);
    keyring_close(bench.keyring);
    free(bench.keys);
    free(bench.values);
    return 0;
}
