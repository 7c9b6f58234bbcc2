/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions of the embedded API: several reads and writes, in any tables of one database, that take
 * effect as one commit or not at all.
 *
 * A transaction reads its own writes. What it wrote is in memory only until its commit, which is validated
 * against every commit since (docs/transactions.md says what each isolation level allows). It costs memory
 * up to a limit, ends by itself when it idles or lasts too long, and is gone when its process dies.
 *
 * Threads: calls on one transaction may come from any thread and are done one after another. No call here
 * waits for a lock of another transaction but those that say so.
 */
#ifndef ENGINE_ENGINE_TXN_H
#define ENGINE_ENGINE_TXN_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_TXN_ID_SIZE = 16,
    POLARYS_TXN_IDLE_DEFAULT_MS = 10000,
    POLARYS_TXN_TIMEOUT_DEFAULT_MS = 60000,
    POLARYS_TXN_TIMEOUT_MAX_MS = 3600000,
    POLARYS_TXN_LOCK_TIMEOUT_DEFAULT_MS = 5000,
    POLARYS_TXNS_MAX = 10000,                /* open at once */
    POLARYS_TXN_READS_MAX = 1000000,         /* keys and ranges in one read set */
    POLARYS_TXN_BYTES_MAX = 64 << 20,        /* read set, locks and writes of one transaction */
    POLARYS_TXN_LOCKS_MAX = 200000,          /* held by one transaction */
    POLARYS_TXN_LOCK_RANGES_MAX = 1000,      /* of them ranges */
    POLARYS_TXN_REMEMBERED_MS = 60000,       /* how long an end that left no record is known */
    POLARYS_TRANSACT_OPERATIONS_MAX = 10000, /* of one single-shot transaction, both branches */
};

enum polarys_isolation {
    POLARYS_ISOLATION_DEFAULT = 0, /* SNAPSHOT */
    /* Each statement sees what was committed before it began. Lost updates are possible. */
    POLARYS_ISOLATION_READ_COMMITTED = 1,
    /* Every statement sees the state at one version; of two that write one key the first to commit wins.
     * Write skew is possible. */
    POLARYS_ISOLATION_SNAPSHOT = 2,
    /* As if committed transactions had run one after another: keys and ranges that were read are
     * validated too. */
    POLARYS_ISOLATION_SERIALIZABLE = 3,
};

enum polarys_txn_mode {
    POLARYS_TXN_OPTIMISTIC = 0, /* no locks; conflicts are found at commit */
    /* Keys written, keys read for update, and at SERIALIZABLE keys and ranges read are locked first, and
     * read as of when the lock was had. A deadlock is found when a wait begins; the victim is the
     * transaction of the cycle that has done least. */
    POLARYS_TXN_PESSIMISTIC = 1,
};

/* NULL stands for all zero: the defaults. Zero-initialise. */
struct polarys_txn_options {
    enum polarys_isolation isolation;
    enum polarys_txn_mode mode;
    bool is_read_only;        /* writes are refused with BAD_ARGUMENT */
    uint32_t lock_timeout_ms; /* of one wait; 0: the default */
    uint32_t idle_timeout_ms; /* between two calls; 0: the default */
    uint32_t timeout_ms;      /* of the whole; 0: the default */
    const char *principal;    /* whose it is; copied; NULL: "" */
};

struct polarys_txn;

/*
 * Begins a transaction on `database`. The caller holds a reference until polarys_txn_release.
 * Errors: BAD_NAME, DATABASE_NOT_FOUND, BAD_ARGUMENT, TOO_MANY_CALLS (POLARYS_TXNS_MAX), DRAINING, NO_MEMORY.
 */
POLARYS_API NODISCARD enum polarys_code polarys_txn_begin(struct polarys_db *db,
                                                          const char *database,
                                                          const struct polarys_txn_options *options,
                                                          struct polarys_txn **out,
                                                          struct polarys_error *err);
/* 16 random bytes. Borrowed: live as long as the reference. */
POLARYS_API const uint8_t *polarys_txn_id(const struct polarys_txn *txn);
/* As it was begun with. Borrowed, likewise. */
POLARYS_API const char *polarys_txn_principal(const struct polarys_txn *txn);
POLARYS_API const char *polarys_txn_database(const struct polarys_txn *txn);
/* The open transaction with this id; another reference to it. Counts as a call: idle time begins anew.
 * Errors: TXN_NOT_FOUND (never begun, over, or timed out). */
POLARYS_API NODISCARD enum polarys_code polarys_txn_find(struct polarys_db *db,
                                                         const uint8_t id[POLARYS_TXN_ID_SIZE],
                                                         struct polarys_txn **out,
                                                         struct polarys_error *err);
/* Gives a reference back. The last one rolls back what was neither committed nor rolled back if it was the
 * one that began it. Accepts NULL. */
POLARYS_API void polarys_txn_release(struct polarys_txn *txn);
/* Lets a transaction outlive the reference that began it: it then ends by commit, rollback or timeout. For
 * servers, whose clients name it by id. */
POLARYS_API void polarys_txn_detach(struct polarys_txn *txn);

/* ---- reading ---- */

/*
 * `flags` of this and of the writing functions: polarys_read_flags. Without POLARYS_READ_MEMORY_ONLY they wait
 * for files, for locks (up to the lock timeout) and for another call of the transaction that is under way;
 * with it they answer WOULD_BLOCK instead, having changed nothing: try again from a thread that may wait
 * (polarys_db_execute), or take the lock with polarys_txn_lock first.
 *
 * DEADLOCK ends the transaction and gives its locks back; so does TXN_CONFLICT, which tells early what the
 * commit would have told. After any other error it goes on as if the call had not been made.
 */

/*
 * As polarys_db_get, seen from within. `for_update` locks the key exclusively in pessimistic mode and puts
 * it in the read set at every level. What the transaction wrote itself has version 0 and borrows from the
 * transaction: it lives as long as the reference.
 * Errors: those of polarys_db_get; TXN_NOT_FOUND (it is over), LOCK_TIMEOUT, DEADLOCK (detail "cycle": the
 * ids in hex, in order, as many as fit), TXN_CONFLICT (pessimistic SNAPSHOT: changed since the snapshot),
 * TXN_TOO_OLD, TOO_LARGE (POLARYS_TXN_READS_MAX), MEMORY_LIMIT.
 */
POLARYS_API NODISCARD enum polarys_code polarys_txn_get(struct polarys_txn *txn, const char *table,
                                                        struct polarys_slice key, bool for_update,
                                                        unsigned flags,
                                                        struct polarys_document *document,
                                                        struct polarys_error *err);
/* The snapshot, or 0 before the first statement and where each statement has a version of its own. */
POLARYS_API uint64_t polarys_txn_version(struct polarys_txn *txn);
/* Scans and queries name the transaction in their options. */

/* ---- writing: kept until the commit ---- */

/* As the batch functions of the same names. Errors: also TXN_NOT_FOUND, LOCK_TIMEOUT, DEADLOCK, TXN_CONFLICT,
 * TOO_LARGE (POLARYS_TXN_BYTES_MAX), MEMORY_LIMIT; BAD_ARGUMENT in a read-only transaction. */
POLARYS_API NODISCARD enum polarys_code polarys_txn_put(struct polarys_txn *txn, const char *table,
                                                        struct polarys_slice key,
                                                        const struct polarys_value *value,
                                                        unsigned flags, struct polarys_error *err);
/* *existed (may be NULL: not looked at) tells whether the document was there, as the transaction sees it. */
POLARYS_API NODISCARD enum polarys_code polarys_txn_delete(struct polarys_txn *txn,
                                                           const char *table,
                                                           struct polarys_slice key, unsigned flags,
                                                           bool *existed,
                                                           struct polarys_error *err);
/* patch->bytes: the merge patch; patch->expires_at_ms: UINT64_MAX keeps what it was; its kind is ignored.
 * At READ_COMMITTED the patch is worked out again on what the commit finds. */
POLARYS_API NODISCARD enum polarys_code polarys_txn_update(
    struct polarys_txn *txn, const char *table, struct polarys_slice key,
    const struct polarys_value *patch, unsigned flags, struct polarys_error *err);
POLARYS_API NODISCARD enum polarys_code polarys_txn_delete_range(
    struct polarys_txn *txn, const char *table, struct polarys_slice start,
    struct polarys_slice end, unsigned flags, struct polarys_error *err);
/* Checks now, as the transaction sees it, and again at the commit. */
POLARYS_API NODISCARD enum polarys_code polarys_txn_require(
    struct polarys_txn *txn, const char *table, struct polarys_slice key,
    const struct polarys_precondition *precondition, unsigned flags, struct polarys_error *err);

/* ---- locks, for callers that must not wait ---- */

enum polarys_lock_mode {
    POLARYS_LOCK_SHARED,
    POLARYS_LOCK_EXCLUSIVE,
};

/* A range of one table's keys to lock: [start, end); is_key: the key `start` alone; both empty: the table. */
struct polarys_lock_wanted {
    const char *table;
    struct polarys_slice start;
    struct polarys_slice end;
    bool is_key;
    enum polarys_lock_mode mode;
};

/*
 * Takes the lock, waiting its turn without a thread: `done` is called once, from any thread and possibly
 * before this returns. At once, with OK, in optimistic mode. The slices are copied. deadline_ns: of
 * CLOCK_BOOTTIME, 0: the lock timeout alone. While it waits other calls of the transaction wait too, but
 * for rollback, which ends the wait. The reference must be held until `done`.
 * Codes: OK, LOCK_TIMEOUT, DEADLOCK, TXN_NOT_FOUND (also: rolled back meanwhile), WOULD_BLOCK (another call
 * of the transaction is under way), TABLE_NOT_FOUND, BAD_NAME, BAD_KEY, TOO_LARGE, NO_MEMORY, DRAINING.
 */
POLARYS_API void polarys_txn_lock(struct polarys_txn *txn, const struct polarys_lock_wanted *lock,
                                  uint64_t deadline_ns,
                                  void (*done)(void *context, enum polarys_code code,
                                               const struct polarys_error *err),
                                  void *context);

/* ---- the end ---- */

/*
 * Commits and waits; the transaction is over, also on failure. One without writes commits nothing and
 * gives the version it read. The commit is remembered under the transaction's id as a request id is.
 * Errors: TXN_CONFLICT (details "table", "key" as text or hex: what changed), UNIQUE_VIOLATION and the
 * others of polarys_batch_commit. A request id in `options` is remembered beside the transaction's own.
 */
POLARYS_API NODISCARD enum polarys_code polarys_txn_commit(
    struct polarys_txn *txn, const struct polarys_write_options *options,
    struct polarys_write_result *result, struct polarys_error *err);
/* The same without waiting, as polarys_batch_submit. The reference must be held until `done`. Errors: also
 * WOULD_BLOCK: another call of the transaction is under way, and this one has done nothing. */
POLARYS_API void polarys_txn_submit(struct polarys_txn *txn,
                                    const struct polarys_write_options *options,
                                    void (*done)(void *context, enum polarys_code code,
                                                 const struct polarys_write_result *result,
                                                 const struct polarys_error *err),
                                    void *context);
/* Undoes it; it is over. Errors: TXN_NOT_FOUND (it was over before). */
POLARYS_API NODISCARD enum polarys_code polarys_txn_rollback(struct polarys_txn *txn,
                                                             struct polarys_error *err);

enum polarys_txn_state {
    POLARYS_TXN_ACTIVE,
    POLARYS_TXN_COMMITTING,
    POLARYS_TXN_COMMITTED,
    POLARYS_TXN_ABORTED, /* rolled back, timed out, or failed to commit; known for a minute */
};

struct polarys_txn_status {
    uint8_t id[POLARYS_TXN_ID_SIZE];
    enum polarys_txn_state state;
    enum polarys_isolation isolation;
    enum polarys_txn_mode mode;
    char database[POLARYS_NAME_BYTES_MAX + 1];
    uint64_t read_version;   /* snapshot; 0: none yet */
    uint64_t commit_version; /* COMMITTED; 0: it wrote nothing */
    uint64_t age_ms;
    uint64_t idle_ms;
    uint64_t read_count;  /* keys and ranges in the read set */
    uint64_t write_count; /* operations */
    uint64_t lock_count;
    uint64_t bytes;
    bool is_waiting; /* for a lock */
};

/* What became of a transaction: open ones, and committed ones as long as request ids are kept. `principal`
 * as it was begun with. May read a file. Of one that is over only id, state and commit_version are told.
 * Errors: TXN_NOT_FOUND: it was never begun, or never committed and forgotten; a
 * committed one is never answered so within request_id_keep_ms. */
POLARYS_API NODISCARD enum polarys_code polarys_txn_status_get(
    struct polarys_db *db, const char *database, const char *principal,
    const uint8_t id[POLARYS_TXN_ID_SIZE], struct polarys_txn_status *status,
    struct polarys_error *err);
/* Every open transaction; false from `each` stops. Errors: NO_MEMORY. */
POLARYS_API NODISCARD enum polarys_code polarys_txn_list(
    struct polarys_db *db, bool (*each)(void *context, const struct polarys_txn_status *status),
    void *context, struct polarys_error *err);

/* ---- single-shot transactions: compare, then or else ---- */

struct polarys_transact;

enum polarys_transact_branch {
    POLARYS_TRANSACT_THEN,
    POLARYS_TRANSACT_ELSE,
};

/*
 * Builds one: compares are preconditions, all of which have to hold for THEN to be done, else ELSE is. Each
 * branch is operations in order, its reads seeing the writes before them. All bytes are copied.
 * Errors: as the batch functions.
 */
POLARYS_API NODISCARD enum polarys_code polarys_transact_create(struct polarys_db *db,
                                                                const char *database,
                                                                struct polarys_transact **out,
                                                                struct polarys_error *err);
/* REQUIRES: not submitted, or done. Accepts NULL. */
POLARYS_API void polarys_transact_destroy(struct polarys_transact *transact);
POLARYS_API NODISCARD enum polarys_code polarys_transact_compare(
    struct polarys_transact *transact, const char *table, struct polarys_slice key,
    const struct polarys_precondition *precondition, struct polarys_error *err);

enum polarys_transact_kind {
    POLARYS_TRANSACT_GET,
    POLARYS_TRANSACT_PUT,
    POLARYS_TRANSACT_DELETE,
    POLARYS_TRANSACT_UPDATE,
    POLARYS_TRANSACT_DELETE_RANGE,
};

struct polarys_transact_operation {
    enum polarys_transact_kind kind;
    const char *table;
    struct polarys_slice key;      /* DELETE_RANGE: its start */
    struct polarys_slice end;      /* DELETE_RANGE */
    struct polarys_value value;    /* PUT; UPDATE: bytes is the patch */
    uint64_t update_expires_at_ms; /* UPDATE: UINT64_MAX keeps what it was */
};
POLARYS_API NODISCARD enum polarys_code polarys_transact_add(
    struct polarys_transact *transact, enum polarys_transact_branch branch,
    const struct polarys_transact_operation *operation, struct polarys_error *err);

/* The outcome of one operation of the branch that was done, in order. */
struct polarys_transact_item {
    bool is_found;                           /* GET, DELETE, UPDATE: the document was there */
    const struct polarys_document *document; /* GET, when found */
};
struct polarys_transact_result {
    bool succeeded; /* THEN was done */
    struct polarys_write_result
        write; /* version: of the commit, or that was read when nothing was written */
    const struct polarys_transact_item *items;
    size_t item_count;
};
/*
 * Does it, as SERIALIZABLE, again by itself when it conflicts, in fair turns. As polarys_batch_submit; the
 * result is borrowed for the call of `done`. A repeated request id gives `succeeded` and the version of the
 * first answer, and no items.
 */
POLARYS_API void polarys_transact_submit(struct polarys_transact *transact,
                                         const struct polarys_write_options *options,
                                         void (*done)(void *context, enum polarys_code code,
                                                      const struct polarys_transact_result *result,
                                                      const struct polarys_error *err),
                                         void *context);

#ifdef __cplusplus
}
#endif

#endif
