/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions, for the files that begin, read, write, lock, commit and end them.
 *
 * A transaction is a leased snapshot, a batch of operations with an overlay over it for its own reads, a
 * read set, and locks. A call enters it, works alone on it, and leaves. Who ends one (commit, rollback,
 * timeout) first takes its phase away from OPEN under its mutex, so only one does.
 *
 * Invariant: a commit is validated, whatever locks were held: read_version, own_read_keys and
 * own_read_ranges of the batch say what may not have changed.
 */
#ifndef ENGINE_TXN_INTERNAL_H
#define ENGINE_TXN_INTERNAL_H

#include "engine/batch_internal.h"
#include "engine/engine_txn.h"
#include "engine/txn/overlay.h"
#include "engine/txn/read_set.h"
#include "engine/txn_statement.h"

enum {
    TXN_BUCKETS = 4096,           /* of the table of open ones */
    TXN_ENDED_MAX = 16384,        /* ends without a record that are remembered at once */
    TXN_LEASE_MARGIN_MS = 10000,  /* a lease outlives its transaction by so much */
    TXN_CHARGE_STEP = 16 << 10,   /* bytes taken from the memory limit at once */
    TXN_OVERHEAD_BYTES = 8 << 10, /* charged for each */
    TXN_MEMORY_SHARE = 8,         /* of the memory limit: one of so many parts for all together */
    TXN_RANGE_LEASES_MAX = 16,    /* of one transaction, beside its snapshot */
};

/* Who ends transactions that did not end by themselves; each has links of its own. */
enum txn_ender {
    TXN_ENDER_SWEEP,
    TXN_ENDER_CLOSE,
    TXN_ENDER_COUNT,
};

enum txn_phase {
    TXN_OPEN,
    TXN_COMMITTING,
    TXN_ENDING,
    TXN_OVER,
};

struct polarys_txn {
    /* Immutable after begin. */
    struct polarys_db *db;
    uint8_t id[POLARYS_TXN_ID_SIZE];
    enum polarys_isolation isolation;
    bool is_pessimistic;
    bool is_read_only;
    bool reads_newest; /* each statement has a version of its own */
    bool notes_reads;  /* every read joins the read set, not only those for update */
    uint32_t database_id;
    uint64_t lock_timeout_ns;
    uint64_t idle_timeout_ns;
    uint64_t timeout_ns;
    uint64_t begun_ns;
    char principal[REQUEST_PRINCIPAL_BYTES_MAX + 1];

    /* Synchronise themselves. */
    atomic_uint reference_count;  /* of its memory */
    atomic_uint_fast64_t used_ns; /* end of the latest call */
    uint64_t work; /* __atomic builtins: reads and operations, for choosing victims */
    atomic_uint_fast64_t write_count; /* operations */
    atomic_uint_fast64_t bytes;       /* charged to the memory limit */
    struct lock_owner lock_owner;

    struct mutex mutex;
    struct condition condition; /* a call has left, or it is over */
    /* Guarded by mutex. */
    enum txn_phase phase;
    bool is_busy;
    bool is_rollback_wanted; /* nobody else enters any more; never taken back */
    bool is_detached;
    unsigned user_count; /* references of users */
    unsigned waiter_count;
    const char *end_reason;
    uint64_t snapshot; /* 0: not taken yet; changes only while busy */
    uint64_t lease_id;
    struct read_set reads;
    struct arena read_arena;
    uint64_t reads_charged; /* bytes */
    uint64_t range_leases[TXN_RANGE_LEASES_MAX];
    uint64_t range_lease_versions[TXN_RANGE_LEASES_MAX];
    size_t range_lease_count;

    /* The busy caller's. */
    uint64_t judged_ms; /* expiry, as of the snapshot */
    struct polarys_batch *batch;
    struct arena arena; /* of the overlay, and of merged documents */
    struct overlay overlay;
    uint64_t writes_charged; /* bytes, those of locks included */
    void (*lock_done)(void *context, enum polarys_code code, const struct polarys_error *err);
    void *lock_done_context;
    bool has_listed_reads; /* the batch has its own_read_keys */
    void (*done)(void *context, enum polarys_code code, const struct polarys_write_result *result,
                 const struct polarys_error *err);
    void *done_context;

    /* Guarded by the registry's mutex. */
    struct polarys_txn *bucket_next;
    struct polarys_txn *list_next;
    struct polarys_txn *list_previous;
    struct polarys_txn *due_next[TXN_ENDER_COUNT]; /* written there, followed by the ender alone */
};

/* ---- txn_registry.c ---- */

/* Lists it. Errors: TOO_MANY_CALLS, DRAINING. */
NODISCARD enum polarys_code txns_add(struct polarys_txn *txn, struct polarys_error *err);
/* Removes it; remembers the end unless a record of the tree does. */
void txns_remove(struct polarys_txn *txn, enum polarys_txn_state state, bool has_record);
/* Takes bytes from the share of all. Errors: MEMORY_LIMIT, TOO_LARGE. Any thread. */
NODISCARD enum polarys_code txns_charge(struct polarys_txn *txn, uint64_t bytes,
                                        struct polarys_error *err);
void txns_uncharge(struct polarys_txn *txn);

/* ---- txn_begin.c ---- */

void txn_ref(struct polarys_txn *txn);
void txn_unref(struct polarys_txn *txn);
/* Errors: TXN_NOT_FOUND with the reason. */
enum polarys_code txn_fail_over(const struct polarys_txn *txn, struct polarys_error *err);
/* Why it has to end by now; NULL when it has not. Static storage. */
const char *txn_due_reason(const struct polarys_txn *txn, uint64_t now_ns);
/* Begins a call. `flags`: polarys_read_flags. Errors: TXN_NOT_FOUND, WOULD_BLOCK. */
NODISCARD enum polarys_code txn_enter(struct polarys_txn *txn, unsigned flags,
                                      struct polarys_error *err);
void txn_leave(struct polarys_txn *txn);
/* Leaves, ending the transaction where `code` is one that does. Returns `code`. */
enum polarys_code txn_leave_with(struct polarys_txn *txn, enum polarys_code code);
/* The end. REQUIRES: the caller has set the phase to COMMITTING or ENDING and is alone. */
void txn_end(struct polarys_txn *txn, enum polarys_txn_state state, bool has_record,
             const char *reason);
/* Brings the charge to what writes and locks take now and `more` bytes. Errors: TOO_LARGE, MEMORY_LIMIT.
 * REQUIRES: busy. */
NODISCARD enum polarys_code txn_charge_more(struct polarys_txn *txn, size_t more,
                                            struct polarys_error *err);

/* ---- txn_read.c ---- */

/* A key of a table of the transaction's database, into `bytes`. Errors: BAD_NAME, TABLE_NOT_FOUND, BAD_KEY. */
NODISCARD enum polarys_code txn_key_make(struct polarys_txn *txn, const char *table,
                                         struct polarys_slice key, uint8_t bytes[TREE_KEY_SIZE_MAX],
                                         struct polarys_slice *tree_key, struct polarys_error *err);
/* Takes the snapshot if the transaction reads one and has none. Errors: TOO_MANY_CALLS. REQUIRES: busy. */
NODISCARD enum polarys_code txn_snapshot_take(struct polarys_txn *txn, struct polarys_error *err);

/* What a read within sees. Zero-initialise; release with txn_seen_release. */
struct txn_seen {
    bool is_found;
    bool
        is_own; /* written by the transaction: found.value is empty, found.stored borrows from it */
    struct db_found found;
};
void txn_seen_release(struct txn_seen *seen);
/* Looks through the overlay into the store and notes what the level or `is_required` wants noted. Not
 * found is no error. Errors: those of the tree, TOO_LARGE, MEMORY_LIMIT, NO_MEMORY. REQUIRES: busy. */
NODISCARD enum polarys_code txn_look(struct polarys_txn *txn, struct polarys_slice tree_key,
                                     bool is_required, unsigned flags, struct txn_seen *seen,
                                     struct polarys_error *err);
/* Joins the read set. Any thread, not for long. Errors: TXN_NOT_FOUND, TOO_LARGE, MEMORY_LIMIT, NO_MEMORY. */
NODISCARD enum polarys_code txn_note_key(struct polarys_txn *txn, struct polarys_slice tree_key,
                                         uint64_t version, uint64_t read_version,
                                         struct polarys_error *err);
NODISCARD enum polarys_code txn_note_range(struct polarys_txn *txn, struct commit_range range,
                                           uint64_t read_version, struct polarys_error *err);

/* ---- txn_verify.c ---- */

/* Whether anything that the commit validates is another at `version` than the transaction saw. Errors:
 * TXN_CONFLICT (details "table", "key"), WOULD_BLOCK, those of the tree. */
NODISCARD enum polarys_code txn_verify(struct polarys_txn *txn, uint64_t version,
                                       unsigned tree_flags, struct polarys_error *err);
/* TXN_CONFLICT about a key. */
enum polarys_code txn_fail_conflict(struct polarys_db *db, struct polarys_slice tree_key,
                                    struct polarys_error *err);
/* The same about a key that is written and was not read: against the snapshot. */
NODISCARD enum polarys_code txn_verify_written(struct polarys_txn *txn,
                                               struct polarys_slice tree_key, uint64_t version,
                                               unsigned tree_flags, struct polarys_error *err);

/* ---- txn_lock.c ---- */

/* What the mode and level want locked before a read or a write; nothing in optimistic mode. A key that is
 * to be written is checked against the snapshot as the lock is had. Errors: LOCK_TIMEOUT, DEADLOCK,
 * TXN_CONFLICT, WOULD_BLOCK, TXN_NOT_FOUND, TOO_LARGE, NO_MEMORY. REQUIRES: busy. */
NODISCARD enum polarys_code txn_lock_for_read(struct polarys_txn *txn,
                                              struct polarys_slice tree_key, bool for_update,
                                              unsigned flags, struct polarys_error *err);
NODISCARD enum polarys_code txn_lock_for_write(struct polarys_txn *txn,
                                               struct polarys_slice tree_key, unsigned flags,
                                               struct polarys_error *err);
NODISCARD enum polarys_code txn_lock_range_for_read(struct polarys_txn *txn,
                                                    struct commit_range range, unsigned flags,
                                                    struct polarys_error *err);
NODISCARD enum polarys_code txn_lock_range_for_write(struct polarys_txn *txn,
                                                     struct commit_range range, unsigned flags,
                                                     struct polarys_error *err);
void txn_locks_release(struct polarys_txn *txn);
/* Ends its wait for a lock, if there is one, with `code`. Any thread. */
void txn_lock_cancel(struct polarys_txn *txn, enum polarys_code code);
uint64_t txn_lock_bytes(const struct polarys_txn *txn);
void txn_lock_status(struct polarys_txn *txn, uint64_t *lock_count, bool *is_waiting);

/* True when the written keys are validated although they were not read. */
static inline bool txn_validates_writes(const struct polarys_txn *txn)
{
    return !txn->reads_newest;
}

static inline bool txn_has_writes(const struct polarys_txn *txn)
{
    return txn->batch->operations.count > 0;
}

#endif
