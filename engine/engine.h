/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpolarysdb: the PolarysDB engine, embedded. The one door to everything below: the server is built on
 * this header, and so is a C or C++ program that wants the store without a server.
 *
 *     struct polarys_db_options options;
 *     struct polarys_error err = POLARYS_ERROR_INIT;
 *     struct polarys_db *db;
 *     polarys_db_options_init(&options);
 *     options.master_key_file = "master.key";
 *     if (polarys_db_open("data", &options, &db, &err) != POLARYS_OK) { ... err.message ... }
 *     polarys_db_put(db, "users", key, value, NULL, &version, &err);
 *
 * Promises. A write that returned POLARYS_OK with POLARYS_DURABILITY_LOCAL_SYNC survives a crash of the
 * process and of the machine. Each commit has one version, never used for another. A read sees whole
 * commits, as of one version. Whatever lies on disk is encrypted and authenticated.
 *
 * Threads: every function may be called from any thread, on one handle at once, unless its comment says
 * otherwise; a batch and a scan belong to one thread at a time.
 *
 * Strings are NUL-terminated UTF-8. `database` may be NULL or "" for "default". Names of databases and
 * tables match [A-Za-z][A-Za-z0-9_.-]{0,127}; keys are 1 to 4,096 bytes; values up to value_bytes_max.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_KEY_BYTES_MAX = 4096,
    POLARYS_NAME_BYTES_MAX = 128,
    POLARYS_VALUE_BYTES_DEFAULT_MAX = 1 << 20,
    POLARYS_VALUE_BYTES_LIMIT = 16 << 20, /* value_bytes_max may be set up to this */
    POLARYS_BATCH_OPERATIONS_MAX = 100000,
    POLARYS_BATCH_BYTES_MAX = 48 << 20,
    POLARYS_REQUEST_ID_SIZE = 16,
    POLARYS_ID_SIZE = 16, /* store id, history id */
    POLARYS_LEVELS = 7,
};

/* "The newest version there is", where a read takes a version. */
#define POLARYS_VERSION_NEWEST UINT64_C(0)

struct polarys_db;

/* ---- options ---- */

enum polarys_log_role {
    POLARYS_LOG_ROLE_AUTO,
    POLARYS_LOG_ROLE_INLINE, /* the caller that finds the role free syncs for all that wait */
    POLARYS_LOG_ROLE_THREAD, /* a thread of its own: disks with slow syncs, many cores */
};

enum polarys_log_sync {
    POLARYS_LOG_SYNC_AUTO, /* the faster of the two, probed at open */
    POLARYS_LOG_SYNC_FDATASYNC,
    POLARYS_LOG_SYNC_DSYNC,
};

/* Set by polarys_db_options_init; change what you need. Strings are borrowed for the call of open. */
struct polarys_db_options {
    bool create_if_missing; /* true */

    /* One way to give the master key: a file (64 hex digits or 32 raw bytes), or a passphrase file. */
    const char *master_key_file;
    const char *master_passphrase_file;
    /* Further key files that may open the store while the master key is rotated; NULL-terminated. */
    const char *const *other_master_key_files;

    uint64_t memory_limit; /* bytes; memtables, cache, indexes, cursors. 512 MiB; at least 16 MiB */
    uint64_t memtable_bytes;       /* 0: an eighth of memory_limit, between 1 MiB and 64 MiB */
    uint64_t wal_segment_bytes;    /* 64 MiB; 1 MiB..1 GiB */
    uint64_t wal_keep_bytes;       /* log kept although flushed: 0 */
    uint32_t wal_sync_interval_ms; /* bound on the loss of ASYNC writes: 10 */
    enum polarys_log_sync wal_sync;
    enum polarys_log_role log_role;
    uint32_t executor_threads;   /* 2 */
    uint32_t block_bytes;        /* 16 KiB */
    bool is_compression_on;      /* true: zstd */
    uint64_t history_keep_ms;    /* 600,000 */
    uint64_t history_keep_bytes; /* 1 GiB */
    uint64_t save_interval_ms;   /* the longest a write stays in memory only; 0: no bound. 0 */
    uint32_t value_bytes_max;    /* 1 MiB; up to 16 MiB */
    uint64_t request_ids_max;    /* remembered at once: 1,000,000 */
    uint32_t request_id_keep_ms; /* 600,000 */
    uint32_t
        range_delete_max; /* documents of one atomic range delete on an indexed table: 10,000 */
    uint64_t disk_reserve_bytes;   /* ballast and low-water mark: 64 MiB, 4 MiB in small stores */
    uint64_t min_version;          /* refuse a store that ends below it (rollback check): 0 */
    bool is_follower;              /* open it to follow its primary: engine_replica.h */
    uint64_t slot_bytes_max;       /* log kept for one slot (engine_slots.h): 16 GiB */
    uint64_t slot_idle_timeout_ms; /* a slot that nobody uses is lost after; 0: never. 86,400,000 */

    /* For tests: replaces files, time, randomness and background threads. NULL: the system's. */
    struct vfs *vfs;
    struct clock *clock;
    struct random_source *random;
    struct executor *executor;
    bool is_compaction_off; /* tests and benchmarks */
};

POLARYS_API void polarys_db_options_init(struct polarys_db_options *options);

/* ---- opening and closing ---- */

/*
 * Opens the store in directory `dir`, making it when it is missing and options->create_if_missing.
 * Recovers the log. *out is NULL on failure. Errors: STORE_LOCKED (detail "pid"), WRONG_MASTER_KEY,
 * FILE_NOT_FOUND (no store, or a key file), CORRUPT / TAMPERED (details "file", "offset"),
 * UNSUPPORTED_FORMAT, BAD_ARGUMENT (names the option), DISK_LOW, IO, NO_MEMORY.
 */
POLARYS_API NODISCARD enum polarys_code polarys_db_open(const char *dir,
                                                        const struct polarys_db_options *options,
                                                        struct polarys_db **out,
                                                        struct polarys_error *err);

/*
 * Stops new work (DRAINING), writes what waits, flushes, marks the close clean and frees the handle, also
 * on failure. When flushing takes longer than `timeout_ms` (0: no limit) the mark is left out and the next
 * open replays the log: nothing is lost. REQUIRES: no call under way, and every scan, query and watch closed
 * and every reference to a transaction given back before. Accepts NULL.
 */
POLARYS_API enum polarys_code polarys_db_close(struct polarys_db *db, uint32_t timeout_ms,
                                               struct polarys_error *err);

/* ---- databases and tables ---- */

enum polarys_durability {
    POLARYS_DURABILITY_DEFAULT = 0, /* LOCAL_SYNC */
    POLARYS_DURABILITY_ASYNC =
        1, /* done when in the log buffer; lost in a crash within the interval */
    POLARYS_DURABILITY_LOCAL_SYNC = 2,
};

/* NULL stands for all zero: the defaults. Zero-initialise. */
struct polarys_write_options {
    enum polarys_durability durability;
    bool has_request_id; /* the same id within request_id_keep_ms replays the first answer */
    uint8_t request_id[POLARYS_REQUEST_ID_SIZE];
    const char *principal; /* whose request ids these are; NULL: "" */
    uint64_t deadline_ns;  /* CLOCK_BOOTTIME; 0: none. Past it: WAIT_TIMEOUT, nothing written */
};

/* What a write did. */
struct polarys_write_result {
    uint64_t version;      /* of the commit */
    uint64_t time_unix_ms; /* of the commit; 0 when replayed and no longer known */
    bool is_replayed;      /* the answer of an earlier request with the same id */
    uint64_t
        affected; /* deletes: documents that existed, where that was looked at; else operations */
};

struct polarys_database_info {
    char database[POLARYS_NAME_BYTES_MAX + 1];
    uint32_t database_id;          /* never reused */
    uint64_t created_version;      /* 0 for "default", which is there from the beginning */
    uint64_t created_time_unix_ms; /* likewise */
};

struct polarys_table_info {
    char database[POLARYS_NAME_BYTES_MAX + 1];
    char table[POLARYS_NAME_BYTES_MAX + 1];
    uint32_t database_id;
    uint32_t table_id; /* never reused */
    uint64_t created_version;
    uint64_t created_time_unix_ms;
};

/* Errors of all: BAD_NAME, DATABASE_NOT_FOUND, TABLE_NOT_FOUND, ..._EXISTS, and those of a commit:
 * DISK_LOW, WRITE_STALL, WAIT_TIMEOUT, DRAINING, REQUEST_ID_REUSED, IO. The database "default" always
 * exists and cannot be dropped. A drop removes every table of the database. `result` may be NULL. */
POLARYS_API NODISCARD enum polarys_code polarys_database_create(
    struct polarys_db *db, const char *database, const struct polarys_write_options *options,
    struct polarys_write_result *result, struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_database_drop(
    struct polarys_db *db, const char *database, const struct polarys_write_options *options,
    struct polarys_write_result *result, struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_table_create(
    struct polarys_db *db, const char *database, const char *table,
    const struct polarys_write_options *options, struct polarys_write_result *result,
    struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_table_drop(
    struct polarys_db *db, const char *database, const char *table,
    const struct polarys_write_options *options, struct polarys_write_result *result,
    struct polarys_error *err);
/* Deletes every document at once. */
POLARYS_API NODISCARD enum polarys_code polarys_table_truncate(
    struct polarys_db *db, const char *database, const char *table,
    const struct polarys_write_options *options, struct polarys_write_result *result,
    struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_table_get(struct polarys_db *db,
                                                          const char *database, const char *table,
                                                          struct polarys_table_info *info,
                                                          struct polarys_error *err);
/* False from `each` stops. In name order, as of now. Infos live during the call. */
POLARYS_API NODISCARD enum polarys_code polarys_table_list(
    struct polarys_db *db, const char *database,
    bool (*each)(void *context, const struct polarys_table_info *info), void *context,
    struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_database_list(
    struct polarys_db *db, bool (*each)(void *context, const struct polarys_database_info *info),
    void *context, struct polarys_error *err);

/* ---- documents ---- */

enum polarys_value_kind {
    POLARYS_VALUE_JSON, /* checked; stored word for word */
    POLARYS_VALUE_RAW,
};

struct polarys_value {
    enum polarys_value_kind kind;
    uint64_t expires_at_ms; /* Unix time; 0: never. In the past: BAD_ARGUMENT */
    struct polarys_slice bytes;
};

/* A document found. Zero-initialise; release with polarys_document_release. */
struct polarys_document {
    struct polarys_slice key; /* of scans; a get leaves it as the caller's */
    struct polarys_value value;
    uint64_t version; /* of the commit that wrote it */
    uint64_t
        commit_time_unix_ms; /* sampled: at most 100 ms early within the history window; 0: unknown */
    void *pins[2];           /* private */
};

/* Lets go of what `document` borrows; accepts a zeroed one. */
POLARYS_API void polarys_document_release(struct polarys_document *document);

enum polarys_read_flags {
    /* Answer from memory or return POLARYS_WOULD_BLOCK; for threads that must not touch a file. */
    POLARYS_READ_MEMORY_ONLY = 1 << 0,
    POLARYS_READ_NO_FILL = 1 << 1, /* do not let this read displace others in the cache */
    POLARYS_READ_KEYS_ONLY = 1 << 2,
};

/* NULL stands for all zero: newest version. */
struct polarys_read_options {
    uint64_t version; /* POLARYS_VERSION_NEWEST, or a version within history or under a lease */
    unsigned flags;
};

/*
 * Reads one document. `document` borrows from the store until released.
 * Errors: KEY_NOT_FOUND, TABLE_NOT_FOUND, DATABASE_NOT_FOUND, BAD_KEY, HISTORY_PRUNED (detail
 * "history_start"), FUTURE_VERSION (detail "version": the newest), WOULD_BLOCK, CORRUPT, TAMPERED, IO.
 */
POLARYS_API NODISCARD enum polarys_code polarys_db_get(struct polarys_db *db, const char *database,
                                                       const char *table, struct polarys_slice key,
                                                       const struct polarys_read_options *options,
                                                       struct polarys_document *document,
                                                       struct polarys_error *err);

/* One-operation commits; see the batch functions for their errors. */
POLARYS_API NODISCARD enum polarys_code polarys_db_put(struct polarys_db *db, const char *database,
                                                       const char *table, struct polarys_slice key,
                                                       const struct polarys_value *value,
                                                       const struct polarys_write_options *options,
                                                       struct polarys_write_result *result,
                                                       struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_db_delete(
    struct polarys_db *db, const char *database, const char *table, struct polarys_slice key,
    const struct polarys_write_options *options, struct polarys_write_result *result,
    struct polarys_error *err);

/* ---- batches: one commit of many operations ---- */

struct polarys_batch;

enum polarys_precondition_kind {
    POLARYS_PRECONDITION_MUST_EXIST,
    POLARYS_PRECONDITION_MUST_NOT_EXIST,
    POLARYS_PRECONDITION_VERSION_EQUALS,
    POLARYS_PRECONDITION_FIELD_EQUALS,
};

struct polarys_precondition {
    enum polarys_precondition_kind kind;
    uint64_t version;              /* VERSION_EQUALS */
    struct polarys_slice field;    /* FIELD_EQUALS: names joined by '.', `any name` in backticks */
    struct polarys_slice expected; /* FIELD_EQUALS: JSON text */
};

/* An empty batch; may be reset and used again and again. Errors: NO_MEMORY. */
POLARYS_API NODISCARD enum polarys_code polarys_batch_create(struct polarys_db *db,
                                                             const char *database,
                                                             struct polarys_batch **out,
                                                             struct polarys_error *err);
/* REQUIRES: not submitted, or done. Accepts NULL. */
POLARYS_API void polarys_batch_destroy(struct polarys_batch *batch);
/* Empties it and binds it to `database`. Errors: DATABASE_NOT_FOUND, BAD_NAME. */
POLARYS_API NODISCARD enum polarys_code polarys_batch_reset(struct polarys_batch *batch,
                                                            const char *database,
                                                            struct polarys_error *err);

/*
 * Operations, applied in order; all bytes are copied. Errors: BAD_NAME, TABLE_NOT_FOUND, BAD_KEY, BAD_JSON
 * (detail "offset"), TOO_LARGE (details "limit", "size"), BAD_ARGUMENT, NO_MEMORY. After an error the batch
 * is unchanged.
 */
POLARYS_API NODISCARD enum polarys_code polarys_batch_put(struct polarys_batch *batch,
                                                          const char *table,
                                                          struct polarys_slice key,
                                                          const struct polarys_value *value,
                                                          struct polarys_error *err);
/* must_look: count in `affected` whether the document was there (costs a read). */
POLARYS_API NODISCARD enum polarys_code polarys_batch_delete(struct polarys_batch *batch,
                                                             const char *table,
                                                             struct polarys_slice key,
                                                             bool must_look,
                                                             struct polarys_error *err);
/* JSON merge patch (RFC 7386) on the document as the batch's earlier operations leave it; a missing one
 * counts as {}. expires_at_ms: as in polarys_value, UINT64_MAX keeps what it was. */
POLARYS_API NODISCARD enum polarys_code polarys_batch_update(
    struct polarys_batch *batch, const char *table, struct polarys_slice key,
    struct polarys_slice json_patch, uint64_t expires_at_ms, struct polarys_error *err);
/* Deletes the keys in [start, end); an empty end: to the end of the table. */
POLARYS_API NODISCARD enum polarys_code polarys_batch_delete_range(struct polarys_batch *batch,
                                                                   const char *table,
                                                                   struct polarys_slice start,
                                                                   struct polarys_slice end,
                                                                   struct polarys_error *err);
/* Checked against the state just before the commit; one that fails fails the batch, which then changes
 * nothing: KEY_NOT_FOUND, KEY_EXISTS, VERSION_MISMATCH (detail "version": the current one, 0 when absent),
 * FIELD_MISMATCH. */
POLARYS_API NODISCARD enum polarys_code polarys_batch_require(
    struct polarys_batch *batch, const char *table, struct polarys_slice key,
    const struct polarys_precondition *precondition, struct polarys_error *err);

POLARYS_API size_t polarys_batch_operation_count(const struct polarys_batch *batch);
POLARYS_API size_t polarys_batch_bytes(const struct polarys_batch *batch);

/*
 * Commits and waits. Errors: those of preconditions; REQUEST_ID_REUSED; TABLE_NOT_FOUND (dropped
 * meanwhile); DISK_LOW, WRITE_STALL (retry_after_ms), WAIT_TIMEOUT, DRAINING, MEMORY_LIMIT, IO. An empty
 * batch is BAD_ARGUMENT. Nothing is written unless it returns OK; after IO the outcome is unknown until
 * the store is opened again.
 */
POLARYS_API NODISCARD enum polarys_code polarys_batch_commit(
    struct polarys_batch *batch, const struct polarys_write_options *options,
    struct polarys_write_result *result, struct polarys_error *err);

/*
 * The same without waiting: `done` is called once, from any thread and possibly before this returns, with
 * the batch's result and error, borrowed for the call. The batch belongs to the store until then. Never
 * reads a file in the caller: where the operations need a document that is not in memory, an executor
 * thread prepares them. `options` are copied. Callers drive the log with polarys_db_drive.
 */
POLARYS_API void polarys_batch_submit(struct polarys_batch *batch,
                                      const struct polarys_write_options *options,
                                      void (*done)(void *context, enum polarys_code code,
                                                   const struct polarys_write_result *result,
                                                   const struct polarys_error *err),
                                      void *context);

/* Takes the log role if it is free and writes what waits, `rounds_max` groups at most (0: all). True when
 * work may remain. For event loops that submit; see docs/threads.md. */
POLARYS_API bool polarys_db_drive(struct polarys_db *db, uint32_t rounds_max);
/* True when the log has a thread of its own and polarys_db_drive does nothing. */
POLARYS_API bool polarys_db_has_log_thread(const struct polarys_db *db);

/* Runs function(context) once on an executor thread: for work that may block on a file. */
POLARYS_API NODISCARD enum polarys_code polarys_db_execute(struct polarys_db *db,
                                                           void (*function)(void *context),
                                                           void *context,
                                                           struct polarys_error *err);

/* ---- scans ---- */

struct polarys_scan;
struct polarys_txn; /* engine_txn.h */

/* Zero-initialise. Slices are copied. */
struct polarys_scan_options {
    const char *database;
    const char *table;
    struct polarys_slice start;  /* inclusive; empty: from the first key; up to a key's size + 1 */
    struct polarys_slice end;    /* exclusive; empty: to the last; likewise */
    struct polarys_slice prefix; /* only keys that begin with it; empty: all */
    bool is_reverse;
    uint64_t version; /* as polarys_read_options; not beside txn */
    unsigned flags;   /* polarys_read_flags */
    /* NULL: none. Else the scan sees what the transaction sees as it is opened, in the transaction's
     * database, and what it walks over joins the read set; it holds a reference. */
    struct polarys_txn *txn;
};

/* Pins its version with a lease until closed. Errors: as polarys_db_get, TOO_MANY_CALLS. */
POLARYS_API NODISCARD enum polarys_code polarys_scan_open(
    struct polarys_db *db, const struct polarys_scan_options *options, struct polarys_scan **out,
    struct polarys_error *err);
/* Accepts NULL. */
POLARYS_API void polarys_scan_close(struct polarys_scan *scan);
/*
 * The next document in order; *has_document is false at the end. `document` borrows from the scan until
 * its next call: not to be released. After WOULD_BLOCK (MEMORY_ONLY scans) the same document is tried
 * again by the next call; polarys_scan_flags_set lets an executor thread go on with the same scan.
 */
POLARYS_API NODISCARD enum polarys_code polarys_scan_next(struct polarys_scan *scan,
                                                          bool *has_document,
                                                          struct polarys_document *document,
                                                          struct polarys_error *err);
POLARYS_API void polarys_scan_flags_set(struct polarys_scan *scan, unsigned flags);
/* The version that the scan reads. */
POLARYS_API uint64_t polarys_scan_version(const struct polarys_scan *scan);

/* Documents of a table, counted one by one as of `options->version`; `should_stop` (may be NULL) is asked
 * now and then and ends it with CANCELLED. */
POLARYS_API NODISCARD enum polarys_code polarys_table_count(
    struct polarys_db *db, const char *database, const char *table,
    const struct polarys_read_options *options, bool (*should_stop)(void *context), void *context,
    uint64_t *count, struct polarys_error *err);

/* ---- snapshots ---- */

/* Keeps `version` (NEWEST: the current one) readable for lease_ms (0: one minute). Errors: HISTORY_PRUNED,
 * FUTURE_VERSION, TOO_MANY_CALLS. */
POLARYS_API NODISCARD enum polarys_code polarys_snapshot_acquire(
    struct polarys_db *db, uint64_t version, uint64_t lease_ms, uint64_t *lease_id,
    uint64_t *leased_version, struct polarys_error *err);
/* Errors: CURSOR_EXPIRED. */
POLARYS_API NODISCARD enum polarys_code polarys_snapshot_renew(struct polarys_db *db,
                                                               uint64_t lease_id, uint64_t lease_ms,
                                                               struct polarys_error *err);
POLARYS_API void polarys_snapshot_release(struct polarys_db *db, uint64_t lease_id);

/* The newest version that reads see, and the newest that is on stable storage. Cheap. */
POLARYS_API uint64_t polarys_db_version(const struct polarys_db *db);
POLARYS_API uint64_t polarys_db_durable_version(const struct polarys_db *db);
/* POLARYS_ID_SIZE bytes each. Borrowed: valid until close. */
POLARYS_API const uint8_t *polarys_db_store_id(const struct polarys_db *db);
POLARYS_API const uint8_t *polarys_db_history_id(const struct polarys_db *db);
POLARYS_API uint64_t polarys_db_term(const struct polarys_db *db);

/* ---- maintenance ---- */

/* Makes every write so far durable (ASYNC ones too). */
POLARYS_API NODISCARD enum polarys_code polarys_db_sync(struct polarys_db *db,
                                                        struct polarys_error *err);
/* Writes the memtables to table files and waits; *flushed_version may be NULL. */
POLARYS_API NODISCARD enum polarys_code polarys_db_flush(struct polarys_db *db,
                                                         uint64_t *flushed_version,
                                                         struct polarys_error *err);
/* Compacts a table with its indexes (NULL: everything) down to its last level and waits. */
POLARYS_API NODISCARD enum polarys_code polarys_db_compact(struct polarys_db *db,
                                                           const char *database, const char *table,
                                                           struct polarys_error *err);
/* The same for the keys in [start, end) of a table; an empty end: to its last key; its indexes only where both
 * are empty. Files that reach into the range are rewritten whole. Errors: also BAD_KEY. */
POLARYS_API NODISCARD enum polarys_code polarys_db_compact_range(
    struct polarys_db *db, const char *database, const char *table, struct polarys_slice start,
    struct polarys_slice end, struct polarys_error *err);
/*
 * Makes a copy of the store that can be opened, in directory `dir` (made; must be empty or missing, on the
 * same file system): table files are hard-linked, the log copied. Needs the same master key.
 * *version is the version it holds. Errors: BAD_ARGUMENT, DISK_LOW, IO.
 */
POLARYS_API NODISCARD enum polarys_code polarys_db_checkpoint(struct polarys_db *db,
                                                              const char *dir, uint64_t *version,
                                                              struct polarys_error *err);
/* Reads and checks every block of every table file. *bad_blocks counts the bad ones, each logged with its
 * file and offset. */
POLARYS_API NODISCARD enum polarys_code polarys_db_verify(struct polarys_db *db,
                                                          uint64_t *bad_blocks,
                                                          struct polarys_error *err);

struct polarys_level_status {
    uint64_t file_count;
    uint64_t bytes;
    uint64_t raw_bytes;
    uint64_t entry_count;
    uint64_t target_bytes;
};

/* Counters run from open. */
struct polarys_db_status {
    uint64_t version;
    uint64_t durable_version;
    uint64_t flushed_version;
    uint64_t history_start;
    uint64_t term;
    uint64_t database_count;
    uint64_t table_count;

    struct polarys_level_status levels[POLARYS_LEVELS];
    uint64_t memory_limit;
    uint64_t memory_used; /* what is charged to it */
    uint64_t memtable_bytes;
    uint64_t memtable_count;
    uint64_t cache_capacity;
    uint64_t cache_used;
    uint64_t cache_hits;
    uint64_t cache_misses;

    uint64_t log_bytes;
    uint64_t log_segments;
    uint64_t log_appends;
    uint64_t log_payload_bytes;
    uint64_t log_written_bytes;
    uint64_t log_sync_ns_total;
    uint64_t log_sync_ns_max;
    uint64_t log_probed_sync_ns;
    uint64_t log_sync_us_log2[24]; /* bucket i: syncs of [2^i, 2^(i+1)) µs */
    uint64_t group_size_log2[16];  /* bucket i: groups of [2^i, 2^(i+1)) commits */
    uint64_t commit_count;
    uint64_t conflict_count;
    uint64_t write_rate;     /* bytes a second writers are held to; UINT64_MAX: not held */
    uint64_t stall_ns_total; /* time during which they were */
    uint64_t queue_commits;

    uint64_t flush_count;
    uint64_t flush_bytes_written;
    uint64_t compaction_count;
    uint64_t compaction_bytes_read;
    uint64_t compaction_bytes_written;
    uint64_t compaction_debt_bytes;

    uint64_t snapshot_count;
    uint64_t snapshot_oldest_version;
    uint64_t snapshot_oldest_age_ms;
    uint64_t request_id_count;
    uint64_t expired_count; /* documents deleted because their time had come */

    uint64_t disk_free_bytes;
    uint64_t disk_reserve_bytes;
    bool is_disk_low; /* writes are refused until space returns */
    bool is_log_thread;
    bool is_failed; /* the log broke: only a new open helps */
    uint32_t active_key_id;
    char master_key_id[17];
};

POLARYS_API NODISCARD enum polarys_code polarys_db_status_get(struct polarys_db *db,
                                                              struct polarys_db_status *status,
                                                              struct polarys_error *err);

/* ---- offline ---- */

/*
 * Walks the frames of one log segment file for people. With `master_key_file` NULL only what is readable
 * without a key is shown. `each` gets one line of JSON per frame (NUL-terminated); false stops.
 * `with_keys` shows the keys of the operations, never values.
 */
POLARYS_API NODISCARD enum polarys_code polarys_log_inspect(
    const char *path, const char *master_key_file, bool with_keys,
    bool (*each)(void *context, const char *line), void *context, struct polarys_error *err);

/* A new random master key, as 64 hex digits and a newline, in a new file of mode 0600. Errors: IO (it
 * exists already). */
POLARYS_API NODISCARD enum polarys_code polarys_master_key_generate(const char *path,
                                                                    struct polarys_error *err);

/* True when `name` may name a database or table. */
POLARYS_API bool polarys_name_is_valid(const char *name, size_t size);
/* JSON as polarys_batch_put checks it. Errors: BAD_JSON. */
POLARYS_API NODISCARD enum polarys_code polarys_json_check(struct polarys_slice text,
                                                           struct polarys_error *err);
/* The text of the top-level string or number member `name`, appended NUL-terminated to `value`
 * (`value_size` bytes). Errors: BAD_JSON, KEY_NOT_FOUND (no such member), TOO_LARGE. */
POLARYS_API NODISCARD enum polarys_code polarys_json_member_text(struct polarys_slice text,
                                                                 const char *name, char *value,
                                                                 size_t value_size,
                                                                 size_t *text_size,
                                                                 struct polarys_error *err);
/* A format of files, as docs/formats/ describes them. */
struct polarys_format {
    const char *name;
    uint32_t version; /* that is written */
    uint32_t oldest_readable_version;
};
/* Every format; returns how many. Static storage. */
POLARYS_API size_t polarys_format_list(const struct polarys_format **formats);

/* "0.1.0". Static storage. */
POLARYS_API const char *polarys_version_text(void);

#ifdef __cplusplus
}
#endif

#endif
