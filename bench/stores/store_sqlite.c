/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite with a write-ahead log, one connection and prepared statements a thread, a table without row ids.
 * A commit is synced at synchronous=FULL, and not at NORMAL; nothing is compressed.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/stores/store.h"

struct bench_store {
    char path[4096];
    const char *dir;
};

/* One thread's connection. */
struct worker {
    sqlite3 *db;
    sqlite3_stmt *begin;
    sqlite3_stmt *commit;
    sqlite3_stmt *put;
    sqlite3_stmt *remove;
    sqlite3_stmt *get;
    bool is_synced;
};

static void run(sqlite3 *db, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        bench_die("sqlite: %s: %s", sql, error);
    }
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        bench_die("sqlite: %s: %s", sql, sqlite3_errmsg(db));
    }
    return statement;
}

static int step(sqlite3 *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        bench_die("sqlite: %s", sqlite3_errmsg(db));
    }
    return code;
}

static void *worker_open(struct bench_store *store)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (sqlite3_open(store->path, &worker->db) != SQLITE_OK) {
        bench_die("sqlite: %s", sqlite3_errmsg(worker->db));
    }
    sqlite3_busy_timeout(worker->db, 60000);
    run(worker->db, "PRAGMA journal_mode=WAL");
    run(worker->db, "PRAGMA synchronous=NORMAL");
    run(worker->db, "PRAGMA cache_size=-262144");
    run(worker->db, "CREATE TABLE IF NOT EXISTS t (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID");
    worker->begin = prepare(worker->db, "BEGIN IMMEDIATE");
    worker->commit = prepare(worker->db, "COMMIT");
    worker->put = prepare(worker->db, "INSERT OR REPLACE INTO t VALUES (?, ?)");
    worker->remove = prepare(worker->db, "DELETE FROM t WHERE k = ?");
    worker->get = prepare(worker->db, "SELECT v FROM t WHERE k = ?");
    return worker;
}

static void worker_close(void *state)
{
    struct worker *worker = state;
    sqlite3_finalize(worker->begin);
    sqlite3_finalize(worker->commit);
    sqlite3_finalize(worker->put);
    sqlite3_finalize(worker->remove);
    sqlite3_finalize(worker->get);
    sqlite3_close(worker->db);
    free(worker);
}

static struct bench_store *store_open(const struct bench_config *config)
{
    struct bench_store *store = calloc(1, sizeof(*store));
    store->dir = config->dir;
    (void)snprintf(store->path, sizeof(store->path), "%s/bench.db", config->dir);
    worker_close(worker_open(store)); /* makes the table before threads race for it */
    return store;
}

static void store_close(struct bench_store *store)
{
    free(store);
}

static void step_reset(struct worker *worker, sqlite3_stmt *statement)
{
    (void)step(worker->db, statement);
    sqlite3_reset(statement);
}

static void store_write(void *state, const struct bench_slice *keys,
                        const struct bench_slice *values, size_t count, bool is_synced)
{
    struct worker *worker = state;
    if (is_synced != worker->is_synced) {
        run(worker->db, is_synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
        worker->is_synced = is_synced;
    }
    step_reset(worker, worker->begin);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_blob(worker->put, 1, keys[i].data, (int)keys[i].size, SQLITE_STATIC);
        sqlite3_bind_blob(worker->put, 2, values[i].data, (int)values[i].size, SQLITE_STATIC);
        step_reset(worker, worker->put);
    }
    step_reset(worker, worker->commit);
}

static void store_remove(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    sqlite3_bind_blob(worker->remove, 1, key.data, (int)key.size, SQLITE_STATIC);
    step_reset(worker, worker->remove);
}

static long store_read(void *state, struct bench_slice key)
{
    struct worker *worker = state;
    long size = -1;
    sqlite3_bind_blob(worker->get, 1, key.data, (int)key.size, SQLITE_STATIC);
    if (step(worker->db, worker->get) == SQLITE_ROW) {
        size = sqlite3_column_bytes(worker->get, 0);
    }
    sqlite3_reset(worker->get);
    return size;
}

static size_t store_walk(void *state, const struct bench_slice *start, bool is_reverse,
                         size_t count)
{
    struct worker *worker = state;
    sqlite3_stmt *statement =
        prepare(worker->db, is_reverse      ? "SELECT k, v FROM t ORDER BY k DESC LIMIT ?2"
                            : start != NULL ? "SELECT k, v FROM t WHERE k >= ?1 ORDER BY k LIMIT ?2"
                                            : "SELECT k, v FROM t ORDER BY k LIMIT ?2");
    size_t seen = 0;
    if (start != NULL) {
        sqlite3_bind_blob(statement, 1, start->data, (int)start->size, SQLITE_STATIC);
    }
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)count);
    while (step(worker->db, statement) == SQLITE_ROW) {
        (void)sqlite3_column_blob(statement, 1);
        seen++;
    }
    sqlite3_finalize(statement);
    return seen;
}

static void store_compact(struct bench_store *store)
{
    struct worker *worker = worker_open(store);
    run(worker->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    run(worker->db, "VACUUM");
    worker_close(worker);
}

static uint64_t store_table_bytes(struct bench_store *store)
{
    return bench_dir_bytes(store->dir, ".db");
}

const struct bench_store_kind bench_sqlite = {
    .name = "sqlite",
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
