/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the store: defaults, limits, and what they come to. Every refusal names the option.
 */
#include <string.h>

#include "engine/engine_internal.h"

enum {
    MEMORY_LIMIT_MIN = 16 << 20,
    MEMORY_LIMIT_DEFAULT = 512 << 20,
    MEMTABLE_AUTO_MIN = 1 << 20,
    MEMTABLE_AUTO_MAX = 64 << 20,
    MEMTABLE_SHARE = 8, /* of the memory limit: one of so many parts */
    EXECUTOR_THREADS_MIN = 2,
    EXECUTOR_THREADS_MAX = 64,
    SYNC_INTERVAL_MS_MAX = 60000,
    REQUEST_IDS_DEFAULT_MAX = 1000000,
    REQUEST_ID_KEEP_DEFAULT_MS = 600000,
    REQUEST_ID_KEEP_MS_MAX = 86400000,
    RANGE_DELETE_DEFAULT_MAX = 10000,
    DISK_RESERVE_DEFAULT = 64 << 20,
    DISK_RESERVE_SMALL = 4 << 20,
    SMALL_STORE_MEMORY = 128 << 20, /* below this memory limit a store counts as small */
    HISTORY_KEEP_DEFAULT_MS = 600000,
    SLOT_IDLE_DEFAULT_MS = 86400000,
};

#define SLOT_BYTES_DEFAULT (UINT64_C(16) << 30)

void polarys_db_options_init(struct polarys_db_options *options)
{
    *options = (struct polarys_db_options){
        .create_if_missing = true,
        .memory_limit = MEMORY_LIMIT_DEFAULT,
        .wal_segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
        .wal_sync_interval_ms = 10,
        .wal_sync = POLARYS_LOG_SYNC_AUTO,
        .log_role = POLARYS_LOG_ROLE_AUTO,
        .executor_threads = EXECUTOR_THREADS_MIN,
        .block_bytes = TABLE_BLOCK_BYTES_DEFAULT,
        .is_compression_on = true,
        .history_keep_ms = HISTORY_KEEP_DEFAULT_MS,
        .history_keep_bytes = UINT64_C(1) << 30,
        .value_bytes_max = POLARYS_VALUE_BYTES_DEFAULT_MAX,
        .request_ids_max = REQUEST_IDS_DEFAULT_MAX,
        .request_id_keep_ms = REQUEST_ID_KEEP_DEFAULT_MS,
        .range_delete_max = RANGE_DELETE_DEFAULT_MAX,
        .disk_reserve_bytes = DISK_RESERVE_DEFAULT,
        .slot_bytes_max = SLOT_BYTES_DEFAULT,
        .slot_idle_timeout_ms = SLOT_IDLE_DEFAULT_MS,
    };
}

/* One numeric option and the range it has to lie in. */
struct option_range {
    const char *name;
    uint64_t value;
    uint64_t min;
    uint64_t max;
};

static enum polarys_code ranges_check(const struct polarys_db_options *options,
                                      struct polarys_error *err)
{
    const struct option_range ranges[] = {
        {"memory_limit", options->memory_limit, MEMORY_LIMIT_MIN, UINT64_C(1) << 46},
        {"wal_segment_bytes", options->wal_segment_bytes, WAL_SEGMENT_BYTES_MIN,
         WAL_SEGMENT_BYTES_MAX},
        {"wal_keep_bytes", options->wal_keep_bytes, 0, UINT64_C(1) << 50},
        {"wal_sync_interval_ms", options->wal_sync_interval_ms, 1, SYNC_INTERVAL_MS_MAX},
        {"executor_threads", options->executor_threads, EXECUTOR_THREADS_MIN, EXECUTOR_THREADS_MAX},
        {"block_bytes", options->block_bytes, TABLE_BLOCK_BYTES_MIN, TABLE_BLOCK_BYTES_MAX},
        {"value_bytes_max", options->value_bytes_max, 1, POLARYS_VALUE_BYTES_LIMIT},
        {"request_ids_max", options->request_ids_max, 1, UINT64_C(1) << 40},
        {"request_id_keep_ms", options->request_id_keep_ms, 1, REQUEST_ID_KEEP_MS_MAX},
        {"range_delete_max", options->range_delete_max, 1, POLARYS_BATCH_OPERATIONS_MAX},
        {"history_keep_ms", options->history_keep_ms, 0, UINT64_C(1) << 50},
        {"history_keep_bytes", options->history_keep_bytes, 0, UINT64_C(1) << 60},
        {"save_interval_ms", options->save_interval_ms, 0, UINT64_C(1) << 50},
        {"disk_reserve_bytes", options->disk_reserve_bytes, 0, UINT64_C(1) << 40},
        {"slot_bytes_max", options->slot_bytes_max, 1, UINT64_C(1) << 60},
        {"slot_idle_timeout_ms", options->slot_idle_timeout_ms, 0, UINT64_C(1) << 40},
        {"wal_sync", (uint64_t)options->wal_sync, 0, POLARYS_LOG_SYNC_DSYNC},
        {"log_role", (uint64_t)options->log_role, 0, POLARYS_LOG_ROLE_THREAD},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const struct option_range *range = &ranges[i];
        if (range->value < range->min || range->value > range->max) {
            enum polarys_code code =
                polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s is %llu; it has to be %llu to %llu",
                             range->name, (unsigned long long)range->value,
                             (unsigned long long)range->min, (unsigned long long)range->max);
            polarys_error_detail_set(err, "field", "%s", range->name);
            return code;
        }
    }
    return POLARYS_OK;
}

static enum polarys_code memtable_bytes_make(const struct polarys_db_options *options,
                                             size_t *memtable_bytes, struct polarys_error *err)
{
    uint64_t bytes = options->memtable_bytes;
    if (bytes == 0) {
        bytes = options->memory_limit / MEMTABLE_SHARE;
        bytes = bytes < MEMTABLE_AUTO_MIN ? MEMTABLE_AUTO_MIN : bytes;
        bytes = bytes > MEMTABLE_AUTO_MAX ? MEMTABLE_AUTO_MAX : bytes;
    }
    /* The active one and those that wait to be flushed leave at least a quarter to all else. */
    uint64_t bytes_max = options->memory_limit * 3 / (4 * (1 + TREE_IMMUTABLE_MEMTABLES_MAX));
    bytes_max = bytes_max > MEMTABLE_BYTES_MAX ? MEMTABLE_BYTES_MAX : bytes_max;
    if (bytes < MEMTABLE_BYTES_MIN || bytes > bytes_max) {
        enum polarys_code code = polarys_fail(
            err, POLARYS_BAD_ARGUMENT,
            "memtable_bytes is %llu; with this memory_limit it has to be %d to %llu",
            (unsigned long long)bytes, MEMTABLE_BYTES_MIN, (unsigned long long)bytes_max);
        polarys_error_detail_set(err, "field", "memtable_bytes");
        return code;
    }
    *memtable_bytes = (size_t)bytes;
    return POLARYS_OK;
}

static uint64_t disk_reserve_make(const struct polarys_db_options *options)
{
    bool is_default = options->disk_reserve_bytes == DISK_RESERVE_DEFAULT;
    bool is_small = options->memory_limit < SMALL_STORE_MEMORY;
    return is_default && is_small ? DISK_RESERVE_SMALL : options->disk_reserve_bytes;
}

static enum commit_role_policy log_role_make(enum polarys_log_role role)
{
    switch (role) {
    case POLARYS_LOG_ROLE_INLINE:
        return COMMIT_ROLE_INLINE;
    case POLARYS_LOG_ROLE_THREAD:
        return COMMIT_ROLE_THREAD;
    default:
        return COMMIT_ROLE_AUTO;
    }
}

static enum wal_sync_mode log_sync_make(enum polarys_log_sync sync)
{
    switch (sync) {
    case POLARYS_LOG_SYNC_FDATASYNC:
        return WAL_SYNC_FDATASYNC;
    case POLARYS_LOG_SYNC_DSYNC:
        return WAL_SYNC_DSYNC;
    default:
        return WAL_SYNC_AUTO;
    }
}

enum polarys_code db_settings_make(const struct polarys_db_options *options,
                                   struct db_settings *settings, struct polarys_error *err)
{
    enum polarys_code code = ranges_check(options, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *settings = (struct db_settings){
        .memory_limit = options->memory_limit,
        .wal_segment_bytes = options->wal_segment_bytes,
        .wal_keep_bytes = options->wal_keep_bytes,
        .wal_sync_interval_ms = options->wal_sync_interval_ms,
        .wal_sync = log_sync_make(options->wal_sync),
        .log_role = log_role_make(options->log_role),
        .executor_threads = options->executor_threads,
        .block_bytes = options->block_bytes,
        .is_compression_on = options->is_compression_on,
        .is_compaction_off = options->is_compaction_off,
        .history_keep_ms = options->history_keep_ms,
        .history_keep_bytes = options->history_keep_bytes,
        .save_interval_ms = options->save_interval_ms,
        .value_bytes_max = options->value_bytes_max,
        .request_ids_max = options->request_ids_max,
        .request_id_keep_ms = options->request_id_keep_ms,
        .range_delete_max = options->range_delete_max,
        .disk_reserve_bytes = disk_reserve_make(options),
        .min_version = options->min_version,
        .is_follower = options->is_follower,
        .slot_bytes_max = options->slot_bytes_max,
        .slot_idle_timeout_ms = options->slot_idle_timeout_ms,
    };
    return memtable_bytes_make(options, &settings->memtable_bytes, err);
}
