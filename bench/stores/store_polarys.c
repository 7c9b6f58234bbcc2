/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PolarysDB through its public header. `memory_limit` is the peers' cache plus the memtables that may wait,
 * for here one limit covers both; the store encrypts, as it always does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/stores/store.h"
#include "engine/engine.h"

#define TABLE "bench"

struct bench_store {
    struct polarys_db *db;
    char key_file[4096];
    const char *dir;
};

/* One thread's batch. */
struct worker {
    struct polarys_db *db;
    struct polarys_batch *batch;
};

static void check(enum polarys_code code, const struct polarys_error *err)
{
    if (code != POLARYS_OK) {
        bench_die("polarysdb: %s: %s", polarys_code_name(code), err->message);
    }
}

static struct bench_store *store_open(const struct bench_config *config)
{
    struct bench_store *store = calloc(1, sizeof(*store));
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db_options options;

    store->dir = config->dir;
    polarys_log_level_set(POLARYS_LOG_ERROR);
    (void)snprintf(store->key_file, sizeof(store->key_file), "%s.key", config->dir);
    if (access(store->key_file, F_OK) != 0) {
        check(polarys_master_key_generate(store->key_file, &err), &err);
    }
    polarys_db_options_init(&options);
    options.master_key_file = store->key_file;
    options.memtable_bytes = config->write_buffer_bytes;
    options.memory_limit = config->cache_bytes + 5 * config->write_buffer_bytes;
    options.is_compression_on = config->is_compressed;
    if (!config->has_history) {
        options.history_keep_ms = 0;
        options.history_keep_bytes = 0;
    }
    check(polarys_db_open(config->dir, &options, &store->db, &err), &err);
    enum polarys_code code = polarys_table_create(store->db, NULL, TABLE, NULL, NULL, &err);
    check(code == POLARYS_TABLE_EXISTS ? POLARYS_OK : code, &err);
    return store;
}

static void store_close(struct bench_store *store)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    check(polarys_db_close(store->db, 0, &err), &err);
    free(store);
}

static void *worker_open(struct bench_store *store)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    struct polarys_error err = POLARYS_ERROR_INIT;
    worker->db = store->db;
    check(polarys_batch_create(store->db, NULL, &worker->batch, &err), &err);
    return worker;
}

static void worker_close(void *state)
{
    struct worker *worker = state;
    polarys_batch_destroy(worker->batch);
    free(worker);
}

static struct polarys_slice slice_of(struct bench_slice from)
{
    struct polarys_slice slice = {from.data, from.size};
    return slice;
}

static void store_write(void *state, const struct bench_slice *keys,
                        const struct bench_slice *values, size_t count, bool is_synced)
{
    struct worker *worker = state;
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_write_options options = {.durability = is_synced ? POLARYS_DURABILITY_LOCAL_SYNC
                                                                    : POLARYS_DURABILITY_ASYNC};

    check(polarys_batch_reset(worker->batch, NULL, &err), &err);
    for (size_t i = 0; i < count; i++) {
        struct polarys_value value = {POLARYS_VALUE_RAW, 0, slice_of(values[i])};
        check(polarys_batch_put(worker->batch, TABLE, slice_of(keys[i]), &value, &err), &err);
    }
    check(polarys_batch_commit(worker->batch, &options, NULL, &err), &err);
}

static void store_remove(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_write_options options = {.durability = POLARYS_DURABILITY_ASYNC};
    check(polarys_db_delete(worker->db, NULL, TABLE, slice_of(key), &options, NULL, &err), &err);
}

static long store_read(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_document document;
    memset(&document, 0, sizeof(document));
    enum polarys_code code =
        polarys_db_get(worker->db, NULL, TABLE, slice_of(key), NULL, &document, &err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return -1;
    }
    check(code, &err);
    long size = (long)document.value.bytes.size;
    polarys_document_release(&document);
    return size;
}

static size_t store_walk(void *state, const struct bench_slice *start, bool is_reverse,
                         size_t count)
{
    struct worker *worker = state;
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_scan_options options;
    struct polarys_document document;
    struct polarys_scan *scan;
    size_t seen = 0;
    bool has_document = true;

    memset(&options, 0, sizeof(options));
    options.table = TABLE;
    options.is_reverse = is_reverse;
    if (start != NULL) {
        options.start = slice_of(*start);
    }
    check(polarys_scan_open(worker->db, &options, &scan, &err), &err);
    while (seen < count && has_document) {
        check(polarys_scan_next(scan, &has_document, &document, &err), &err);
        seen += has_document;
    }
    polarys_scan_close(scan);
    return seen;
}

static void store_compact(struct bench_store *store)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    check(polarys_db_flush(store->db, NULL, &err), &err);
    check(polarys_db_compact(store->db, NULL, NULL, &err), &err);
}

static uint64_t store_table_bytes(struct bench_store *store)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db_status *status = calloc(1, sizeof(*status));
    uint64_t bytes = 0;
    check(polarys_db_status_get(store->db, status, &err), &err);
    for (size_t i = 0; i < POLARYS_LEVELS; i++) {
        bytes += status->levels[i].bytes;
    }
    free(status);
    return bytes;
}

static void store_written(struct bench_store *store, uint64_t *log_bytes, uint64_t *tables_bytes)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db_status *status = calloc(1, sizeof(*status));
    check(polarys_db_status_get(store->db, status, &err), &err);
    *log_bytes = status->log_written_bytes;
    *tables_bytes = status->flush_bytes_written + status->compaction_bytes_written;
    free(status);
}

const struct bench_store_kind bench_polarys = {
    .name = "polarysdb",
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
    .written = store_written,
};
