/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of settings. Whatever else handles settings walks it; a new setting is one row here and
 * one field in struct config. The invariant: defaults parse, and lie within their own range (a test
 * walks it).
 */
#include "service/config/config.h"

#include "service/server/check.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define NUMBER_MAX INT64_MAX

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const wal_syncs[] = {"auto", "fdatasync", "dsync", NULL};
static const char *const log_roles[] = {"auto", "inline", "thread", NULL};

#define TEXT(key, field, value, dev, text)                                                         \
    {                                                                                              \
#key, CONFIG_TEXT, offsetof(struct config, field), value, dev, 0, 0, NULL, false, false,   \
            text                                                                                   \
    }
#define SWITCH(key, field, value, text)                                                            \
    {                                                                                              \
#key, CONFIG_SWITCH, offsetof(struct config, field), value, NULL, 0, 1, NULL, false, true, \
            text                                                                                   \
    }
#define NUMBER(key, kind, field, value, dev, least, most, text)                                    \
    {                                                                                              \
#key, kind, offsetof(struct config, field), value, dev, least, most, NULL, false, true,    \
            text                                                                                   \
    }
#define CHOICE(key, field, value, list, reloadable, text)                                          \
    {                                                                                              \
#key, CONFIG_CHOICE, offsetof(struct config, field), value, NULL, 0, 0, list, reloadable,  \
            false, text                                                                            \
    }

static const struct config_setting settings[] = {
    TEXT(data_dir, data_dir, "polarysdb-data", NULL,
         "directory of the store; made if it is missing"),
    TEXT(backup_dir, backup_dir, "", NULL,
         "directory below which Checkpoint may make copies; empty: DATA_DIR/checkpoints"),
    TEXT(listen, listen, "127.0.0.1:7480", NULL,
         "address and port of gRPC; port 0 takes a free one"),
    TEXT(
        advertise, advertise, "", NULL,
        "HOST:PORT at which other nodes and clients reach this one; empty: listen, unless that is any address"),
    TEXT(admin_listen, admin_listen, "127.0.0.1:7481", NULL,
         "address and port of /livez, /readyz, /startupz and /metrics over HTTP; empty: none"),
    TEXT(node_name, node_name, "", NULL, "name of this node in answers; empty: the machine's name"),
    TEXT(master_key_file, master_key_file, "", NULL,
         "file with the master key: 64 hex digits or 32 raw bytes"),
    TEXT(master_passphrase_file, master_passphrase_file, "", NULL,
         "file with a passphrase that the master key is derived from"),
    {"dev", CONFIG_SWITCH, offsetof(struct config, is_dev), "false", NULL, 0, 1, NULL, false, false,
     "for trying out: loopback only, a generated master key in DATA_DIR/master.key, small log segments"},
    {"insecure", CONFIG_SWITCH, offsetof(struct config, is_insecure), "false", NULL, 0, 1, NULL,
     false, false, "allow plain text on addresses other than loopback"},
    NUMBER(min_version, CONFIG_COUNT, min_version, "0", NULL, 0, NUMBER_MAX,
           "refuse a store that ends below this version: it was rolled back"),
    TEXT(follow, follow, "", NULL,
         "HOST:PORT of the node whose store this one replicates; empty: it is a primary"),
    {"observer", CONFIG_SWITCH, offsetof(struct config, is_observer), "false", NULL, 0, 1, NULL,
     false, false, "with follow: never counted for a quorum"},

    {"debug", CONFIG_SWITCH, offsetof(struct config, is_debug), "false", NULL, 0, 1, NULL, true,
     true, "log all that helps to find a fault, calls included; as log_level: debug"},
    CHOICE(log_level, log_level, "info", log_levels, true, "log messages of this level and above"),
    SWITCH(metrics_enabled, is_metrics_on, "true", "measure calls and serve /metrics"),

    NUMBER(workers, CONFIG_COUNT, workers, "0", NULL, 0, 64,
           "threads that serve calls; 0: one up to two processors, then half of them"),
    NUMBER(max_connections, CONFIG_COUNT, max_connections, "1000", NULL, 1, 1000000,
           "connections of clients; calls on further ones get TOO_MANY_CALLS"),
    NUMBER(calls_max, CONFIG_COUNT, calls_max, "10000", NULL, 1, 1000000,
           "calls under way at once; further ones get TOO_MANY_CALLS"),
    NUMBER(
        streams_per_connection_max, CONFIG_COUNT, streams_per_connection_max, "2000", NULL, 1,
        1000000,
        "calls under way at once on one connection; the client's transport holds further ones back"),
    NUMBER(header_bytes_max, CONFIG_BYTES, header_bytes_max, "16KiB", NULL, 4 * KIB, MIB,
           "metadata of one request; beyond it the transport answers RESOURCE_EXHAUSTED"),
    NUMBER(batch_keys_max, CONFIG_COUNT, batch_keys_max, "10000", NULL, 1, 100000,
           "keys of one BatchGet"),
    NUMBER(page_size_max, CONFIG_COUNT, page_size_max, "1000", NULL, 1, 100000,
           "documents or names of one page of a list"),
    NUMBER(bulk_window_bytes, CONFIG_BYTES, bulk_window_bytes, "8MiB", NULL, 64 * KIB, 256 * MIB,
           "bytes of batches that one bulk write may have under way"),
    NUMBER(bulk_session_keep, CONFIG_MS, bulk_session_keep_ms, "10m", NULL, 1000, 86400000,
           "time after its last batch for which a bulk write can be resumed"),
    NUMBER(drain_grace, CONFIG_MS, drain_grace_ms, "2s", "0ms", 0, 600000,
           "time between reporting not ready and refusing calls, so that balancers notice"),
    NUMBER(drain_timeout, CONFIG_MS, drain_timeout_ms, "15s", NULL, 0, 3600000,
           "time for calls under way to finish when draining; then they are cancelled"),
    NUMBER(
        close_timeout, CONFIG_MS, close_timeout_ms, "20s", NULL, 0, 3600000,
        "time to flush memtables at the end; beyond it the next start replays the log. 0: no limit"),
    NUMBER(buffer_size, CONFIG_COUNT, buffer_size, "10000", NULL, 1, 65536,
           "writes waiting for the log at once; further ones get WRITE_STALL"),

    NUMBER(memory_limit, CONFIG_BYTES, memory_limit, "512MiB", NULL, 16 * MIB, 1024 * GIB,
           "memory of memtables, block cache, indexes and cursors"),
    NUMBER(memtable_bytes, CONFIG_BYTES, memtable_bytes, "0", NULL, 0, 4 * GIB,
           "size at which a memtable is flushed; 0: an eighth of memory_limit, 1 MiB to 64 MiB"),
    NUMBER(wal_segment_bytes, CONFIG_BYTES, wal_segment_bytes, "64MiB", "8MiB", MIB, GIB,
           "size of one segment of the log"),
    NUMBER(wal_keep_bytes, CONFIG_BYTES, wal_keep_bytes, "0", NULL, 0, 1024 * GIB,
           "log that is kept although it is flushed"),
    SWITCH(
        enable_wal, is_wal_on, "true",
        "false: writes that do not name a durability are ASYNC, lost in a crash within wal_sync_interval"),
    NUMBER(wal_sync_interval, CONFIG_MS, wal_sync_interval_ms, "10ms", NULL, 1, 60000,
           "the longest an ASYNC write waits for stable storage"),
    CHOICE(wal_sync, wal_sync, "auto", wal_syncs, false,
           "how the log reaches stable storage; auto measures at start"),
    CHOICE(
        log_role, log_role, "auto", log_roles, false,
        "who writes the log: the serving thread, a thread of its own, or as the disk's speed suggests"),
    NUMBER(executor_threads, CONFIG_COUNT, executor_threads, "2", NULL, 1, 64,
           "threads that read, flush and compact files"),
    NUMBER(block_bytes, CONFIG_BYTES, block_bytes, "16KiB", NULL, 4 * KIB, MIB,
           "block of a table file"),
    SWITCH(enable_compression, is_compression_on, "true",
           "compress blocks of table files with zstd"),
    NUMBER(history_keep, CONFIG_MS, history_keep_ms, "10m", NULL, 0, INT64_C(30) * 86400000,
           "time for which old versions can be read"),
    NUMBER(
        history_keep_bytes, CONFIG_BYTES, history_keep_bytes, "1GiB", NULL, 0, 1024 * GIB,
        "bytes of old versions that are kept at most, and of log kept for watches to go on from"),
    NUMBER(
        save_interval, CONFIG_MS, save_interval_ms, "0ms", NULL, 0, 86400000,
        "the longest that a write stays only in memory and log before it is flushed to a file; 0: no bound"),
    NUMBER(value_bytes_max, CONFIG_BYTES, value_bytes_max, "1MiB", NULL, KIB, 16 * MIB,
           "size of one value"),
    NUMBER(request_ids_max, CONFIG_COUNT, request_ids_max, "1000000", NULL, 1, 100000000,
           "request ids remembered at once"),
    NUMBER(request_id_keep, CONFIG_MS, request_id_keep_ms, "10m", NULL, 1000, 86400000,
           "time for which a request id is remembered"),
    NUMBER(range_delete_max, CONFIG_COUNT, range_delete_max, "10000", NULL, 1, 100000,
           "documents of one range delete on a table with indexes"),
    NUMBER(disk_reserve_bytes, CONFIG_BYTES, disk_reserve_bytes, "64MiB", "4MiB", 0, 1024 * GIB,
           "free disk space below which writes are refused"),
    NUMBER(slot_bytes_max, CONFIG_BYTES, slot_bytes_max, "16GiB", NULL, MIB, 1024 * GIB * 1024,
           "log that is kept for one slot of a follower; beyond it the slot is lost"),
    NUMBER(slot_idle_timeout, CONFIG_MS, slot_idle_timeout_ms, "24h", NULL, 0, 31536000000,
           "time after which a slot that nobody uses is lost; 0: never"),
};

_Static_assert(sizeof(settings) / sizeof(settings[0]) <= CONFIG_SETTINGS_MAX,
               "origins[] holds all");

const struct config_setting *config_settings(size_t *count)
{
    *count = sizeof(settings) / sizeof(settings[0]);
    return settings;
}

const struct config_setting *config_setting_find(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strlen(settings[i].name) == size && memcmp(settings[i].name, name, size) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

const char *config_unit(const struct config_setting *setting)
{
    if (setting->type == CONFIG_BYTES) {
        return "bytes";
    }
    return setting->type == CONFIG_MS ? "ms" : "count";
}

uint64_t config_number_get(const struct config *config, const struct config_setting *setting)
{
    SERVICE_ASSERT(setting->type != CONFIG_TEXT);
    const char *field = (const char *)config + setting->offset;
    if (setting->type == CONFIG_SWITCH) {
        return *(const bool *)field ? 1 : 0;
    }
    uint64_t number;
    memcpy(&number, field, sizeof(number));
    return number;
}
