/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One memory limit for memtables, open tables, commits in flight and the block cache.
 *
 * Invariant: the cache gets what the others leave, never less than its floor; commits in flight are
 * refused past their share, except that one is always let through, whatever its size.
 */
#include <malloc.h>

#include "engine/engine_internal.h"
#include "engine/watch_hub.h"

enum {
    CACHE_FLOOR_SHARE = 16, /* of the limit: one of so many parts */
    IN_FLIGHT_SHARE = 8,    /* likewise */
    OVERHEAD_SHARE = 8,     /* kept for what nobody counts: calls, threads, buffers of merges */
    /* Of what is left the cache gets three quarters: blocks of many sizes leave holes between them. */
    CACHE_PARTS = 3,
    CACHE_PARTS_OF = 4,
    TRIM_SHARE = 32,  /* free heap beyond this share is given back to the system */
    BATCH_COPIES = 2, /* a batch holds its operations and their encoding */
};

static uint64_t cache_floor(const struct db_settings *settings)
{
    return settings->memory_limit / CACHE_FLOOR_SHARE;
}

size_t db_cache_bytes_initial(const struct db_settings *settings)
{
    uint64_t rest = settings->memory_limit - settings->memory_limit / OVERHEAD_SHARE;
    return (size_t)((rest - settings->memtable_bytes) / CACHE_PARTS_OF * CACHE_PARTS);
}

/* Events that wait for watches, and the frames that are kept for them. */
static uint64_t watches_bytes(struct polarys_db *db)
{
    return watch_hub_memory_bytes(db->watches) + feed_memory_bytes(db->feed);
}

uint64_t db_memory_charged(struct polarys_db *db)
{
    struct tree_stats stats;
    tree_stats_get(db->tree, &stats);
    return stats.memtable_bytes + stats.table_memory_bytes + atomic_load(&db->in_flight_bytes) +
           watches_bytes(db) + txns_bytes(db);
}

void db_memory_balance(struct polarys_db *db)
{
    uint64_t limit = db->settings.memory_limit;
    struct tree_stats stats;
    tree_stats_get(db->tree, &stats);
    /* The active memtable is going to fill up: count it whole, or the cache would have to shrink while
     * writers wait. */
    uint64_t memtables = stats.memtable_bytes > db->settings.memtable_bytes
                             ? stats.memtable_bytes
                             : db->settings.memtable_bytes;
    uint64_t used = memtables + stats.table_memory_bytes + limit / OVERHEAD_SHARE +
                    atomic_load(&db->in_flight_bytes) + watches_bytes(db) + txns_bytes(db);
    uint64_t capacity = used < limit ? (limit - used) / CACHE_PARTS_OF * CACHE_PARTS : 0;
    uint64_t floor = cache_floor(&db->settings);
    block_cache_capacity_set(db->cache, (size_t)(capacity < floor ? floor : capacity));
}

static enum polarys_code release_memtables(void *context, struct polarys_error *err)
{
    struct polarys_db *db = context;
    (void)err;
    tree_memtables_release(db->tree);
    return POLARYS_OK;
}

void db_memory_trim(struct polarys_db *db)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    /* Where nobody writes any more, nobody else would look. */
    if (tree_memtables_are_stale(db->tree) &&
        commit_run_exclusive(db->commit, release_memtables, db, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_DEBUG, "store", "release memtables: %s", err.message);
    }
    /* The cache's blocks come and go in many sizes: holes between them stay resident until asked for. */
    struct mallinfo2 info = mallinfo2();
    if (info.fordblks > db->settings.memory_limit / TRIM_SHARE) {
        (void)malloc_trim(0);
    }
}

enum polarys_code db_memory_take(struct polarys_db *db, uint64_t bytes, struct polarys_error *err)
{
    uint64_t limit = db->settings.memory_limit / IN_FLIGHT_SHARE;
    uint64_t before = atomic_fetch_add(&db->in_flight_bytes, bytes * BATCH_COPIES);
    if (before == 0 || before + bytes * BATCH_COPIES <= limit) {
        return POLARYS_OK;
    }
    db_memory_give_back(db, bytes);
    enum polarys_code code =
        polarys_fail(err, POLARYS_MEMORY_LIMIT, "commits that wait already take %llu of %llu bytes",
                     (unsigned long long)before, (unsigned long long)limit);
    polarys_error_detail_set(err, "limit", "%llu", (unsigned long long)limit);
    if (err != NULL) {
        err->retry_after_ms = DB_RETRY_AFTER_MS / 10;
    }
    return code;
}

void db_memory_give_back(struct polarys_db *db, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub(&db->in_flight_bytes, bytes * BATCH_COPIES);
    POLARYS_ASSERT(before >= bytes * BATCH_COPIES);
}
