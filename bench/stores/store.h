/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine benchmark asks of a store: PolarysDB, and each peer that is measured beside it in the
 * same run on the same data. Every function ends the program with a message when the store fails: a
 * benchmark that swallows errors measures nothing.
 */
#ifndef BENCH_STORES_STORE_H
#define BENCH_STORES_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/support/bench.h"

struct bench_config {
    const char *dir;           /* empty directory of the store's own */
    size_t write_buffer_bytes; /* one memtable */
    size_t cache_bytes;
    bool is_compressed; /* zstd where the store has it */
    bool has_history;   /* PolarysDB's default history window; peers have none */
};

struct bench_slice {
    const void *data;
    size_t size;
};

struct bench_store;

/* A store behind a table of functions. `worker` is one thread's own state, from worker_open. */
struct bench_store_kind {
    const char *name;
    bool is_write_serial; /* one writer at a time by design (LMDB) */
    struct bench_store *(*open)(const struct bench_config *config);
    void (*close)(struct bench_store *store);
    void *(*worker_open)(struct bench_store *store);
    void (*worker_close)(void *worker);
    /* Writes `count` records as one atomic commit; durable on return when `is_synced`. */
    void (*write)(void *worker, const struct bench_slice *keys, const struct bench_slice *values,
                  size_t count, bool is_synced);
    void (*remove)(void *worker, struct bench_slice key);
    /* The value's size, or -1 when the key is not there. The value is looked at, not copied out. */
    long (*read)(void *worker, struct bench_slice key);
    /* Walks from `start` (NULL: one end of the store) over `count` records; returns how many came. */
    size_t (*walk)(void *worker, const struct bench_slice *start, bool is_reverse, size_t count);
    /* Writes everything from memory to disk and compacts it fully. */
    void (*compact)(struct bench_store *store);
    /* Bytes of table files (log apart). */
    uint64_t (*table_bytes)(struct bench_store *store);
    /* Bytes written so far to the log and to tables; NULL where the store does not say. */
    void (*written)(struct bench_store *store, uint64_t *log_bytes, uint64_t *tables_bytes);
};

extern const struct bench_store_kind bench_polarys;
extern const struct bench_store_kind bench_rocksdb;
extern const struct bench_store_kind bench_leveldb;
extern const struct bench_store_kind bench_lmdb;
extern const struct bench_store_kind bench_sqlite;

/* Sum of the sizes of the files in `dir` whose names end in `suffix`. */
uint64_t bench_dir_bytes(const char *dir, const char *suffix);

#endif
