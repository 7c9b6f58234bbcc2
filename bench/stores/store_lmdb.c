/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB as it comes: a B+ tree in a memory map without a log. It has neither write buffer nor cache of its
 * own (the page cache serves it) and does not compress.
 */
#include <lmdb.h>
#include <stdlib.h>

#include "bench/stores/store.h"

struct bench_store {
    MDB_env *env;
    MDB_dbi dbi;
    const char *dir;
};

static void check(int code)
{
    if (code != MDB_SUCCESS) {
        bench_die("lmdb: %s", mdb_strerror(code));
    }
}

static struct bench_store *store_open(const struct bench_config *config)
{
    struct bench_store *store = calloc(1, sizeof(*store));
    MDB_txn *txn;

    store->dir = config->dir;
    check(mdb_env_create(&store->env));
    check(mdb_env_set_mapsize(store->env, (size_t)16 << 30));
    check(mdb_env_set_maxreaders(store->env, 512));
    /* Each commit says by the flag whether it waits for the disk (store_write). */
    check(mdb_env_open(store->env, config->dir, MDB_NOSYNC | MDB_NOTLS, 0600));
    check(mdb_txn_begin(store->env, NULL, 0, &txn));
    check(mdb_dbi_open(txn, NULL, MDB_CREATE, &store->dbi));
    check(mdb_txn_commit(txn));
    return store;
}

static void store_close(struct bench_store *store)
{
    mdb_env_close(store->env);
    free(store);
}

static void *worker_open(struct bench_store *store)
{
    return store;
}

static void worker_close(void *state)
{
    (void)state;
}

static void store_write(void *state, const struct bench_slice *keys,
                        const struct bench_slice *values, size_t count, bool is_synced)
{
    struct bench_store *store = state;
    MDB_txn *txn;
    check(mdb_txn_begin(store->env, NULL, 0, &txn));
    /* The transaction holds the writers' lock, so the flag is ours until the commit. */
    check(mdb_env_set_flags(store->env, MDB_NOSYNC, !is_synced));
    for (size_t i = 0; i < count; i++) {
        MDB_val key = {keys[i].size, (void *)keys[i].data};
        MDB_val value = {values[i].size, (void *)values[i].data};
        check(mdb_put(txn, store->dbi, &key, &value, 0));
    }
    check(mdb_txn_commit(txn));
}

static void store_remove(void *state, struct bench_slice key)
{
    struct bench_store *store = state;
    MDB_txn *txn;
    MDB_val name = {key.size, (void *)key.data};
    check(mdb_txn_begin(store->env, NULL, 0, &txn));
    int code = mdb_del(txn, store->dbi, &name, NULL);
    check(code == MDB_NOTFOUND ? MDB_SUCCESS : code);
    check(mdb_txn_commit(txn));
}

static long store_read(void *state, struct bench_slice key)
{
    struct bench_store *store = state;
    MDB_txn *txn;
    MDB_val name = {key.size, (void *)key.data};
    MDB_val value;
    check(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
    int code = mdb_get(txn, store->dbi, &name, &value);
    mdb_txn_abort(txn);
    if (code == MDB_NOTFOUND) {
        return -1;
    }
    check(code);
    return (long)value.mv_size;
}

static size_t store_walk(void *state, const struct bench_slice *start, bool is_reverse,
                         size_t count)
{
    struct bench_store *store = state;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key = {0, NULL};
    MDB_val value;
    size_t seen = 0;

    check(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
    check(mdb_cursor_open(txn, store->dbi, &cursor));
    MDB_cursor_op op = is_reverse ? MDB_LAST : MDB_FIRST;
    if (start != NULL) {
        key.mv_size = start->size;
        key.mv_data = (void *)start->data;
        op = MDB_SET_RANGE;
    }
    int code = mdb_cursor_get(cursor, &key, &value, op);
    while (code == MDB_SUCCESS && ++seen < count) {
        code = mdb_cursor_get(cursor, &key, &value, is_reverse ? MDB_PREV : MDB_NEXT);
    }
    check(code == MDB_NOTFOUND ? MDB_SUCCESS : code);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return seen;
}

static void store_compact(struct bench_store *store)
{
    check(mdb_env_sync(store->env, 1));
}

static uint64_t store_table_bytes(struct bench_store *store)
{
    return bench_dir_bytes(store->dir, ".mdb");
}

const struct bench_store_kind bench_lmdb = {
    .name = "lmdb",
    .is_write_serial = true,
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
