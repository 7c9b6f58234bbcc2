/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store says about itself: the sums of what its modules count.
 */
#include <string.h>

#include "engine/engine_internal.h"

_Static_assert((int)POLARYS_LEVELS == (int)MANIFEST_LEVELS,
               "every level has a place in the status");

static void tree_fill(struct polarys_db *db, struct polarys_db_status *status)
{
    struct tree_stats stats;
    tree_stats_get(db->tree, &stats);
    for (size_t i = 0; i < POLARYS_LEVELS; i++) {
        status->levels[i] = (struct polarys_level_status){
            .file_count = stats.levels[i].file_count,
            .bytes = stats.levels[i].bytes,
            .raw_bytes = stats.levels[i].raw_bytes,
            .entry_count = stats.levels[i].entry_count,
            .target_bytes = stats.levels[i].target_bytes,
        };
    }
    status->memtable_bytes = stats.memtable_bytes;
    status->memtable_count = stats.memtable_count;
    status->flush_count = stats.flush_count;
    status->flush_bytes_written = stats.flush_bytes_written;
    status->compaction_count = stats.compaction_count;
    status->compaction_bytes_read = stats.compaction_bytes_read;
    status->compaction_bytes_written = stats.compaction_bytes_written;
    status->compaction_debt_bytes = stats.compaction_debt_bytes;
    status->stall_ns_total = stats.stall_ns_total;
    status->write_rate = tree_write_rate(db->tree);
    status->flushed_version = tree_flushed_version(db->tree);
}

static void log_fill(struct polarys_db *db, struct polarys_db_status *status)
{
    struct wal_stats stats;
    wal_stats_get(db->wal, &stats);
    status->log_bytes = stats.bytes;
    status->log_segments = stats.segment_count;
    status->log_appends = stats.append_count;
    status->log_payload_bytes = stats.payload_bytes;
    status->log_written_bytes = stats.written_bytes;
    status->log_sync_ns_total = stats.sync_ns_total;
    status->log_sync_ns_max = stats.sync_ns_max;
    status->log_probed_sync_ns = stats.probed_sync_ns;
}

static void commit_fill(struct polarys_db *db, struct polarys_db_status *status)
{
    struct commit_stats stats;
    commit_stats_get(db->commit, &stats);
    _Static_assert(sizeof(status->log_sync_us_log2) == sizeof(stats.sync_us_log2), "same buckets");
    _Static_assert(sizeof(status->group_size_log2) == sizeof(stats.group_size_log2),
                   "same buckets");
    memcpy(status->log_sync_us_log2, stats.sync_us_log2, sizeof(stats.sync_us_log2));
    memcpy(status->group_size_log2, stats.group_size_log2, sizeof(stats.group_size_log2));
    status->commit_count = stats.commit_count;
    status->conflict_count = stats.conflict_count;
    status->queue_commits = stats.queue_commits;
    status->is_log_thread = polarys_db_has_log_thread(db);
}

static void snapshots_fill(struct polarys_db *db, struct polarys_db_status *status)
{
    struct snapshots_stats stats;
    snapshots_stats_get(db->snapshots, &stats);
    status->snapshot_count = stats.lease_count;
    status->snapshot_oldest_version = stats.oldest_lease_version;
    status->snapshot_oldest_age_ms = stats.oldest_lease_age_ms;
    status->history_start = stats.history_start;
}

static void memory_fill(struct polarys_db *db, struct polarys_db_status *status)
{
    struct block_cache_stats stats;
    block_cache_stats_get(db->cache, &stats);
    status->cache_capacity = stats.capacity;
    status->cache_used = stats.used;
    status->cache_hits = stats.hit_count;
    status->cache_misses = stats.miss_count;
    status->memory_limit = db->settings.memory_limit;
    status->memory_used = db_memory_charged(db) + stats.used;
}

enum polarys_code polarys_db_status_get(struct polarys_db *db, struct polarys_db_status *status,
                                        struct polarys_error *err)
{
    (void)err;
    *status = (struct polarys_db_status){
        .version = commit_published_version(db->commit),
        .durable_version = commit_durable_version(db->commit),
        .term = polarys_db_term(db),
        .request_id_count = atomic_load(&db->request_id_count),
        .expired_count = atomic_load(&db->expired_count),
        .disk_free_bytes = atomic_load(&db->disk_free_bytes),
        .disk_reserve_bytes = db->settings.disk_reserve_bytes,
        .is_disk_low = atomic_load(&db->is_disk_low),
        .is_failed = atomic_load(&db->is_log_failed),
        .active_key_id = keyring_active_id(db->keyring),
    };
    keyring_master_id(db->keyring, status->master_key_id);
    tree_fill(db, status);
    log_fill(db, status);
    commit_fill(db, status);
    snapshots_fill(db, status);
    memory_fill(db, status);
    struct catalog *catalog = catalog_acquire(&db->catalog);
    status->database_count = catalog->database_count;
    status->table_count = catalog->table_count;
    catalog_release(catalog);
    return POLARYS_OK;
}
