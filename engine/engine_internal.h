/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store layer share: the handle, and what one file does for another.
 *
 * The store ties the modules below together: it opens and recovers, keeps the catalogue, prepares
 * commits, reads, expires, watches memory and disk. It never writes to the tree itself but while it
 * replays the log: all else goes through the commit path.
 */
#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include <stdatomic.h>

#include "engine/catalog.h"
#include "engine/catalog_records.h"
#include "engine/commit/commit.h"
#include "engine/compaction/tree.h"
#include "engine/document/document.h"
#include "engine/engine.h"
#include "engine/feed/feed.h"
#include "engine/index_build.h"
#include "engine/index_statistics.h"
#include "engine/manifest/manifest.h"
#include "engine/turns.h"
#include "engine/txn/snapshots.h"
#include "engine/wal/wal.h"

enum {
    /* Versions skipped after an unclean end; unsynced commits are capped below it. */
    DB_VERSION_JUMP = 1 << 20,
    DB_CALL_THREADS = 4, /* for work that callers wait for; none of it is flush or compaction */
    DB_CLOSE_POLL_MS = 1,
    DB_EXPIRY_BATCH_MAX = 512, /* index entries in one commit of the sweeper */
    DB_RETRY_AFTER_MS = 1000,
    DB_SCAN_LEASE_MS = SNAPSHOT_LEASE_MAX_MS,
};

/* Versions skipped by a promotion: the old primary may go on numbering for a while. */
#define DB_VERSION_JUMP_PROMOTION (UINT64_C(1) << 32) /* for each term that is passed */
#define DB_TERMS_JUMPED_MAX                                                                        \
    (UINT64_C(1) << 16) /* so that no term given by hand uses up all versions */
#define DB_TICK_NS UINT64_C(250000000)
#define DB_DISK_CHECK_NS UINT64_C(1000000000)
#define DB_SWEEP_NS UINT64_C(1000000000)

/* What polarys_db_options come to. Immutable after open. */
struct db_settings {
    uint64_t memory_limit;
    size_t memtable_bytes;
    uint64_t wal_segment_bytes;
    uint64_t wal_keep_bytes;
    uint32_t wal_sync_interval_ms;
    enum wal_sync_mode wal_sync;
    enum commit_role_policy log_role;
    uint32_t executor_threads;
    uint32_t block_bytes;
    bool is_compression_on;
    bool is_compaction_off;
    uint64_t history_keep_ms;
    uint64_t history_keep_bytes;
    uint64_t save_interval_ms;
    uint32_t value_bytes_max;
    uint64_t request_ids_max;
    uint32_t request_id_keep_ms;
    uint32_t range_delete_max;
    uint64_t disk_reserve_bytes;
    uint64_t min_version;
    bool is_follower;
    uint64_t slot_bytes_max;
    uint64_t slot_idle_timeout_ms;
};

/* Where what is written comes from. Immutable; old ones live as long as the handle, for they are borrowed. */
struct db_origin {
    uint64_t term;
    uint8_t history_id[HISTORY_ID_SIZE];
    struct db_origin *previous;
};

struct db_follow;
struct slots;

struct polarys_db {
    /* Immutable after open. */
    struct db_settings settings;
    struct vfs *vfs;
    struct clock *clock;
    struct random_source *random;
    struct executor *executor;      /* flush, compaction, log preparation, cold reads */
    struct executor *call_executor; /* work that callers wait for, and the tick */
    bool owns_executors;
    char dir[VFS_PATH_MAX];
    char wal_dir[VFS_PATH_MAX];
    struct vfs_lock *lock;
    struct keyring *keyring;
    struct block_cache *cache;
    struct snapshots *snapshots;
    struct tree *tree;
    struct wal *wal;
    struct feed *feed;
    struct watch_hub *watches;
    struct slots *slots; /* slots.h */
    struct commit_path *commit;
    _Atomic(struct db_origin *) origin; /* replaced by promotions and by what is followed */
    struct db_follow *follow;           /* NULL: opened as a primary */
    uint64_t opened_version;            /* the last version before this open */
    struct txns *txns;                  /* open transactions (txn_internal.h) */
    struct lock_table *locks;
    bool has_catalog;

    /* Synchronise themselves. */
    struct catalog_holder catalog; /* when has_catalog */
    struct turns turns;            /* of commits that keep conflicting */
    atomic_bool is_closing;
    atomic_bool is_log_failed;
    atomic_bool is_log_open;    /* callbacks of the tree may use wal and commit */
    atomic_uint callback_count; /* callbacks of the tree under way */
    atomic_bool is_disk_low;
    atomic_uint_fast64_t written_version;  /* of the last commit in the tree; 0: none since open */
    atomic_uint_fast64_t pending_count;    /* submitted batches whose `done` was not called */
    atomic_uint_fast64_t in_flight_bytes;  /* of all batches between prepare and done */
    atomic_uint_fast64_t request_id_count; /* valid once counted */
    atomic_bool is_request_id_counted;
    atomic_uint_fast64_t expired_count;
    atomic_uint_fast64_t disk_free_bytes;
    atomic_uint_fast64_t last_flush_ns;
    atomic_uint_fast64_t search_gathered_ns; /* statistics of a text index; 0: not since open */
    atomic_bool is_search_gathering;

    /* One task of the call executor, submitted again by itself. */
    struct task tick_task;
    atomic_bool is_tick_over;
    uint64_t disk_checked_ns;
    uint64_t swept_ns;
    bool has_ballast;
    /* Prunes the log after a flush. */
    struct task prune_task;
    atomic_uint prune_state; /* enum prune_state in db_maintain.c */

    struct mutex event_mutex; /* for event_condition only: flushes, room, ends of tasks */
    struct condition event_condition;

    atomic_bool is_verifying;
    struct index_builder builder;
    struct statistics_cache statistics;

    struct mutex schema_mutex;
    struct condition schema_condition;
    /* Guarded by schema_mutex. */
    bool is_schema_changing;
    struct polarys_batch *schema_waiters; /* wait for the change to end; linked by next_waiter */
};

/* ---- db_options.c ---- */

NODISCARD enum polarys_code db_settings_make(const struct polarys_db_options *options,
                                             struct db_settings *settings,
                                             struct polarys_error *err);

/* ---- db_keys.c ---- */

/* The master keys that the options name, the first first. Wipe with db_master_keys_wipe. */
NODISCARD enum polarys_code db_master_keys_read(struct vfs *vfs,
                                                const struct polarys_db_options *options,
                                                struct master_key keys[MASTER_KEYS_MAX],
                                                size_t *count, struct polarys_error *err);
void db_master_keys_wipe(struct master_key keys[MASTER_KEYS_MAX]);

/* ---- db_recover.c ---- */

/* What the log holds beyond the table files, put into the tree. */
struct db_log_end {
    struct wal_position position; /* all zero: there is no log yet */
    uint64_t last_version;        /* given out before; 0: nothing was ever written */
    uint64_t last_time_ms;
    bool is_clean;
    struct wal_recovery recovery; /* not where is_clean */
};

NODISCARD enum polarys_code db_recover(struct polarys_db *db, const struct wal_options *wal_options,
                                       const struct manifest_state *state, struct db_log_end *end,
                                       struct polarys_error *err);

/* ---- db_log.c ---- */

/* Recovers the log and opens it, with all that stands on it. `before`: the manifest's state as it was found. */
NODISCARD enum polarys_code db_log_open(struct polarys_db *db, const struct manifest_state *before,
                                        struct polarys_error *err);
/* A new origin from now on. One thread at a time. */
void db_origin_publish(struct polarys_db *db, struct db_origin *take_origin);
NODISCARD enum polarys_code db_origin_set(struct polarys_db *db, uint64_t term,
                                          const uint8_t history_id[HISTORY_ID_SIZE],
                                          struct polarys_error *err);
void db_origins_free(struct polarys_db *db);

/* ---- db_follow.c ---- */

NODISCARD enum polarys_code db_follow_create(struct polarys_db *db, struct polarys_error *err);
void db_follow_destroy(struct polarys_db *db);
/* Keeps the frame, which is in the log, to be applied by the next polarys_replica_sync. Errors: NO_MEMORY. */
NODISCARD enum polarys_code db_follow_add(struct polarys_db *db, const struct wal_frame *frame,
                                          struct polarys_error *err);
struct db_promotion {
    uint64_t term;
    bool is_log_begun; /* there is a segment of the term and of this history already */
    uint8_t history_id[HISTORY_ID_SIZE];
};
/* The last step of a promotion. REQUIRES: all that was taken in is applied. Errors: those of polarys_replica_promote. */
NODISCARD enum polarys_code db_follow_promote(struct polarys_db *db,
                                              const struct db_promotion *order,
                                              struct polarys_error *err);

/* ---- txn_registry.c ---- */

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code txns_open(struct polarys_db *db, struct polarys_error *err);
/* REQUIRES: no transaction is open. Accepts a store without. */
void txns_close(struct polarys_db *db);
/* Ends what idled or lasted too long, and lock waits past their time; forgets old ends. For the tick. */
void txns_sweep(struct polarys_db *db);
/* Ends every one that is open; lock waits end with DRAINING. REQUIRES: is_closing. */
void txns_end_all(struct polarys_db *db);
/* Bytes charged by all. */
uint64_t txns_bytes(struct polarys_db *db);

/* ---- db_close.c ---- */

/* Frees everything, half-built too. */
void db_destroy(struct polarys_db *db);

/* ---- db_tick.c ---- */

void db_tick_start(struct polarys_db *db);
/* Waits until the tick will not run again. REQUIRES: is_closing. */
void db_tick_stop(struct polarys_db *db);

/* ---- db_memory.c ---- */

/* Bytes charged to the memory limit, the cache apart. */
uint64_t db_memory_charged(struct polarys_db *db);
/* Gives the cache what is left of the limit. */
void db_memory_balance(struct polarys_db *db);
/* Gives free heap back to the system when there is much of it. */
void db_memory_trim(struct polarys_db *db);
size_t db_cache_bytes_initial(const struct db_settings *settings);
/* Errors: MEMORY_LIMIT when commits in flight would take more than their share. */
NODISCARD enum polarys_code db_memory_take(struct polarys_db *db, uint64_t bytes,
                                           struct polarys_error *err);
void db_memory_give_back(struct polarys_db *db, uint64_t bytes);

/* ---- db_disk.c ---- */

/* Looks at the free space; makes or releases the ballast. Runs input and output. */
void db_disk_check(struct polarys_db *db);
/* Something found the disk full. */
void db_disk_note_low(struct polarys_db *db);
/* Errors: DISK_LOW with retry_after_ms while the disk is low. */
NODISCARD enum polarys_code db_disk_allow_put(struct polarys_db *db, struct polarys_error *err);

/* ---- db_maintain.c ---- */

/* tree_options.durable, .flushed and .room_made. */
enum polarys_code db_is_durable(void *context, uint64_t version, struct polarys_error *err);
void db_flushed(void *context, uint64_t flushed_version);
void db_room_made(void *context);
/* The oldest segment that is kept but for slots and pins; 0 in a follower without log. */
uint64_t db_log_needed_segment(struct polarys_db *db);
/* Prunes the log soon, in the background. Any thread. */
void db_prune_want(struct polarys_db *db);
/* Runs the prune task. */
void db_prune_run(struct task *task);
/* From now on no callback of the tree touches log or commit path; waits for those under way and for the
 * prune task. */
void db_callbacks_end(struct polarys_db *db);
/* Wakes who waits in db_event_wait. */
void db_event_signal(struct polarys_db *db);
/* Waits for the next event, at most timeout_ns. */
void db_event_wait(struct polarys_db *db, uint64_t timeout_ns);
/* Switches the memtable and waits until everything written is in table files. deadline_ns 0: no limit.
 * Errors: WAIT_TIMEOUT, those of the tree. */
NODISCARD enum polarys_code db_flush_all(struct polarys_db *db, uint64_t deadline_ns,
                                         struct polarys_error *err);

/* ---- db_names.c ---- */

/* The id of `database` (NULL or "": default). Errors: BAD_NAME, DATABASE_NOT_FOUND. */
NODISCARD enum polarys_code db_database_find(struct polarys_db *db, const char *database,
                                             uint32_t *database_id, struct polarys_error *err);
/* *catalog_version: that of the catalogue asked; may be NULL. Errors: also TABLE_NOT_FOUND. */
NODISCARD enum polarys_code db_table_find(struct polarys_db *db, uint32_t database_id,
                                          const char *table, uint32_t *table_id,
                                          uint64_t *catalog_version, struct polarys_error *err);
NODISCARD enum polarys_code db_key_check(struct polarys_slice key, struct polarys_error *err);
static inline bool db_is_default_name(const char *database)
{
    return database == NULL || database[0] == '\0';
}
const char *db_database_name(const char *database);

/* ---- expiry.c ---- */

/* Milliseconds at which newest reads judge expiry: the later of the last commit's time and now. */
uint64_t db_now_ms(struct polarys_db *db);
/* At which reads of an old version judge it. */
uint64_t db_version_time_ms(struct polarys_db *db, uint64_t version);

enum { EXPIRY_KEY_SIZE_MAX = TREE_KEY_SIZE_MAX };

/* The index entry of a document that expires: key into `to`, which has room for EXPIRY_KEY_SIZE_MAX;
 * returns its size. *value is empty, or the tree key where it does not fit the entry's. */
size_t expiry_entry_make(uint8_t *to, uint64_t expires_at_ms, struct polarys_slice tree_key,
                         struct polarys_slice *value);
/* Deletes documents whose time has come. Runs input and output. */
void expiry_sweep(struct polarys_db *db);

/* ---- db_read.c ---- */

/* What a read sees of one document. Zero-initialise; release the value. */
struct db_found {
    struct tree_value value;
    struct stored_value stored;
};

/* The document of `tree_key` as of `snapshot`; expired ones are KEY_NOT_FOUND. is_newest: judge expiry by
 * the clock too. Errors: KEY_NOT_FOUND without a message, those of the tree. */
NODISCARD enum polarys_code db_read_document(struct polarys_db *db, struct polarys_slice tree_key,
                                             uint64_t snapshot, bool is_newest, unsigned tree_flags,
                                             struct db_found *found, struct polarys_error *err);
unsigned db_tree_flags(unsigned read_flags);
/* As db_read_document at the newest version, which *snapshot becomes. */
NODISCARD enum polarys_code db_read_newest(struct polarys_db *db, struct polarys_slice tree_key,
                                           unsigned tree_flags, uint64_t *snapshot,
                                           struct db_found *found, struct polarys_error *err);
/* Hands what was found over to `document`. */
void db_document_fill(struct polarys_db *db, const struct db_found *found,
                      struct polarys_document *document);
/* KEY_NOT_FOUND with its message. */
enum polarys_code db_fail_not_found(struct polarys_error *err);

/* ---- catalog_change.c ---- */

/* True when `batch` was put among those that wait for the schema change under way. */
bool db_schema_park(struct polarys_db *db, struct polarys_batch *batch);
/* Waits for it in the calling thread. */
void db_schema_wait(struct polarys_db *db);

#endif
