/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What transactions lock, and how they wait for it: a thread that may wait sleeps on the transaction's
 * condition; polarys_txn_lock leaves a callback.
 *
 * Invariant: while it waits for a lock a call is inside, so nothing else of the transaction goes on but a
 * rollback, a timeout or the end of the store, and those end the wait first.
 */
#include <string.h>

#include "engine/txn_internal.h"

/* ---- waiting in the calling thread ---- */

struct sleeper {
    struct polarys_txn *txn;
    bool is_done; /* guarded by txn->mutex */
    enum polarys_code code;
    struct polarys_error *err; /* may be NULL */
};

static void sleeper_wake(void *context, enum polarys_code code, const struct polarys_error *err)
{
    struct sleeper *sleeper = context;
    struct polarys_txn *txn = sleeper->txn;
    /* Once is_done is seen the sleeper is gone: all of it under the mutex. */
    mutex_lock(&txn->mutex);
    sleeper->code = code;
    if (sleeper->err != NULL && code != POLARYS_OK) {
        *sleeper->err = *err;
    }
    sleeper->is_done = true;
    condition_broadcast(&txn->condition);
    mutex_unlock(&txn->mutex);
}

static enum polarys_code sleep_until_done(struct sleeper *sleeper, uint64_t deadline_ns)
{
    struct polarys_txn *txn = sleeper->txn;
    struct polarys_db *db = txn->db;
    mutex_lock(&txn->mutex);
    while (!sleeper->is_done) {
        uint64_t now_ns = clock_monotonic_ns(db->clock);
        uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;
        if (left_ns > 0) {
            (void)executor_wait(db->executor, &txn->condition, &txn->mutex,
                                left_ns < DB_TICK_NS ? left_ns : DB_TICK_NS);
            continue;
        }
        mutex_unlock(&txn->mutex);
        /* False: it ends by itself just now. */
        bool is_ended = lock_cancel(db->locks, &txn->lock_owner, POLARYS_LOCK_TIMEOUT);
        mutex_lock(&txn->mutex);
        deadline_ns = is_ended ? deadline_ns : now_ns + DB_TICK_NS;
    }
    mutex_unlock(&txn->mutex);
    return sleeper->code;
}

static enum polarys_code check_count(const struct polarys_txn *txn, bool is_key,
                                     struct polarys_error *err)
{
    size_t count = lock_owner_count(&txn->lock_owner);
    int limit = POLARYS_TXN_LOCKS_MAX;
    if (!is_key && txn->lock_owner.range_count >= POLARYS_TXN_LOCK_RANGES_MAX) {
        limit = POLARYS_TXN_LOCK_RANGES_MAX;
    } else if (count < POLARYS_TXN_LOCKS_MAX) {
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_fail(err, POLARYS_TOO_LARGE,
                                          "a transaction holds at most %d of these locks", limit);
    polarys_error_detail_set(err, "limit", "%d", limit);
    return code;
}

static uint64_t lock_deadline(const struct polarys_txn *txn, uint64_t deadline_ns)
{
    uint64_t now_ns = clock_monotonic_ns(txn->db->clock);
    uint64_t own_ns = now_ns + txn->lock_timeout_ns;
    uint64_t end_ns = txn->begun_ns + txn->timeout_ns;
    own_ns = end_ns < own_ns ? end_ns : own_ns;
    return deadline_ns != 0 && deadline_ns < own_ns ? deadline_ns : own_ns;
}

/* Takes a lock, waiting where `flags` allow it. */
static enum polarys_code lock_take(struct polarys_txn *txn, struct commit_range range, bool is_key,
                                   enum lock_mode mode, unsigned flags, struct polarys_error *err)
{
    struct sleeper sleeper = {.txn = txn, .err = err};
    struct lock_wanted wanted = {.range = range, .is_key = is_key, .mode = mode};
    enum polarys_code code = check_count(txn, is_key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if ((flags & POLARYS_READ_MEMORY_ONLY) == 0) {
        wanted.deadline_ns = lock_deadline(txn, 0);
        wanted.done = sleeper_wake;
        wanted.context = &sleeper;
    }
    code = lock_acquire(txn->db->locks, &txn->lock_owner, &wanted, err);
    return code == POLARYS_WOULD_BLOCK && wanted.done != NULL
               ? sleep_until_done(&sleeper, wanted.deadline_ns)
               : code;
}

/* ---- what is locked ---- */

/* First committer wins, as early as it can be told: whoever changed the key since the snapshot held no lock
 * any more when this one was had. */
static enum polarys_code check_unchanged(struct polarys_txn *txn, struct polarys_slice tree_key,
                                         unsigned flags, struct polarys_error *err)
{
    struct polarys_slice own;
    if (txn->reads_newest || txn->snapshot == 0 ||
        overlay_find(&txn->overlay, tree_key, &own) != OVERLAY_UNTOUCHED ||
        read_set_find(&txn->reads, tree_key) != NULL) {
        return POLARYS_OK;
    }
    uint64_t version = commit_published_version(txn->db->commit);
    return txn_verify_written(txn, tree_key, version, db_tree_flags(flags), err);
}

enum polarys_code txn_lock_for_write(struct polarys_txn *txn, struct polarys_slice tree_key,
                                     unsigned flags, struct polarys_error *err)
{
    if (!txn->is_pessimistic) {
        return POLARYS_OK;
    }
    struct commit_range range = {.start = tree_key};
    enum polarys_code code = lock_take(txn, range, true, LOCK_EXCLUSIVE, flags, err);
    return code == POLARYS_OK ? check_unchanged(txn, tree_key, flags, err) : code;
}

enum polarys_code txn_lock_for_read(struct polarys_txn *txn, struct polarys_slice tree_key,
                                    bool for_update, unsigned flags, struct polarys_error *err)
{
    if (for_update) {
        return txn_lock_for_write(txn, tree_key, flags, err);
    }
    if (!txn->is_pessimistic || !txn->notes_reads) {
        return POLARYS_OK;
    }
    struct commit_range range = {.start = tree_key};
    return lock_take(txn, range, true, LOCK_SHARED, flags, err);
}

enum polarys_code txn_lock_range_for_read(struct polarys_txn *txn, struct commit_range range,
                                          unsigned flags, struct polarys_error *err)
{
    if (!txn->is_pessimistic || !txn->notes_reads || slice_compare(range.start, range.end) >= 0) {
        return POLARYS_OK;
    }
    return lock_take(txn, range, false, LOCK_SHARED, flags, err);
}

enum polarys_code txn_lock_range_for_write(struct polarys_txn *txn, struct commit_range range,
                                           unsigned flags, struct polarys_error *err)
{
    if (!txn->is_pessimistic || slice_compare(range.start, range.end) >= 0) {
        return POLARYS_OK;
    }
    return lock_take(txn, range, false, LOCK_EXCLUSIVE, flags, err);
}

void txn_locks_release(struct polarys_txn *txn)
{
    if (txn->is_pessimistic) {
        lock_release_all(txn->db->locks, &txn->lock_owner);
    }
}

void txn_lock_cancel(struct polarys_txn *txn, enum polarys_code code)
{
    if (txn->is_pessimistic) {
        (void)lock_cancel(txn->db->locks, &txn->lock_owner, code);
    }
}

uint64_t txn_lock_bytes(const struct polarys_txn *txn)
{
    return lock_owner_bytes(&txn->lock_owner);
}

void txn_lock_status(struct polarys_txn *txn, uint64_t *lock_count, bool *is_waiting)
{
    *lock_count = lock_owner_count(&txn->lock_owner);
    *is_waiting = txn->is_pessimistic && lock_owner_waits(txn->db->locks, &txn->lock_owner);
}

/* ---- waiting without a thread ---- */

/* The tree keys that are meant, in `start` and `end`. */
static enum polarys_code range_make(struct polarys_txn *txn, const struct polarys_lock_wanted *lock,
                                    uint8_t start[TREE_KEY_SIZE_MAX],
                                    uint8_t end[TREE_KEY_SIZE_MAX], struct commit_range *range,
                                    struct polarys_error *err)
{
    uint32_t table_id;
    if (lock->is_key) {
        return txn_key_make(txn, lock->table, lock->start, start, &range->start, err);
    }
    enum polarys_code code =
        db_table_find(txn->db, txn->database_id, lock->table, &table_id, NULL, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (lock->start.size > POLARYS_KEY_BYTES_MAX || lock->end.size > POLARYS_KEY_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_KEY, "a bound of a range has at most %d bytes",
                            POLARYS_KEY_BYTES_MAX);
    }
    if (lock->end.size > 0 && slice_compare(lock->start, lock->end) >= 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the range ends before it starts");
    }
    table_bounds(txn->database_id, table_id, start, end);
    if (lock->end.size > 0) {
        memcpy(end, start, TREE_KEY_PREFIX_SIZE);
        memcpy(end + TREE_KEY_PREFIX_SIZE, lock->end.data, lock->end.size);
    }
    if (lock->start.size > 0) {
        memcpy(start + TREE_KEY_PREFIX_SIZE, lock->start.data, lock->start.size);
    }
    range->start = slice_make(start, TREE_KEY_PREFIX_SIZE + lock->start.size);
    range->end = slice_make(end, TREE_KEY_PREFIX_SIZE + lock->end.size);
    return POLARYS_OK;
}

/* The end of a lock that was waited for without a thread. */
static void async_done(void *context, enum polarys_code code, const struct polarys_error *err)
{
    struct polarys_txn *txn = context;
    struct polarys_db *db = txn->db;
    void (*done)(void *context, enum polarys_code code, const struct polarys_error *err) =
        txn->lock_done;
    void *done_context = txn->lock_done_context;
    code = txn_leave_with(txn, code);
    done(done_context, code, err);
    /* The closer polls this and then frees the store: nothing may follow. */
    atomic_fetch_sub(&db->pending_count, 1);
}

/* REQUIRES: the call is inside. True when async_done will be called, or was. */
static bool lock_begin(struct polarys_txn *txn, const struct polarys_lock_wanted *lock,
                       uint64_t deadline_ns, enum polarys_code *code, struct polarys_error *err)
{
    uint8_t start[TREE_KEY_SIZE_MAX];
    uint8_t end[TREE_KEY_SIZE_MAX];
    struct commit_range range = {{NULL, 0}, {NULL, 0}};
    *code = range_make(txn, lock, start, end, &range, err);
    if (*code == POLARYS_OK) {
        *code = check_count(txn, lock->is_key, err);
    }
    if (*code != POLARYS_OK || !txn->is_pessimistic) {
        return false;
    }
    struct lock_wanted wanted = {
        .range = range,
        .is_key = lock->is_key,
        .mode = lock->mode == POLARYS_LOCK_EXCLUSIVE ? LOCK_EXCLUSIVE : LOCK_SHARED,
        .deadline_ns = lock_deadline(txn, deadline_ns),
        .done = async_done,
        .context = txn,
    };
    *code = lock_acquire(txn->db->locks, &txn->lock_owner, &wanted, err);
    return *code == POLARYS_WOULD_BLOCK;
}

void polarys_txn_lock(struct polarys_txn *txn, const struct polarys_lock_wanted *lock,
                      uint64_t deadline_ns,
                      void (*done)(void *context, enum polarys_code code,
                                   const struct polarys_error *err),
                      void *context)
{
    struct polarys_db *db = txn->db;
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = txn_enter(txn, POLARYS_READ_MEMORY_ONLY, &err);
    if (code == POLARYS_WOULD_BLOCK) {
        code = polarys_fail(&err, code, "another call of the transaction is under way");
    }
    if (code != POLARYS_OK) {
        done(context, code, &err);
        return;
    }
    txn->lock_done = done;
    txn->lock_done_context = context;
    atomic_fetch_add(&db->pending_count, 1);
    if (!lock_begin(txn, lock, deadline_ns, &code, &err)) {
        async_done(txn, code, &err);
    }
}
