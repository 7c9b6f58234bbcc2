/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a transaction: beginning, calls that enter and leave, references, and the end.
 *
 * Invariant: the phase leaves OPEN once, under the mutex and while no call is inside; whoever moved it ends
 * the transaction. What a caller may still borrow (its own writes) is freed with the last reference only.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/txn_internal.h"

enum { NS_PER_MS = 1000000 };

/* ---- references ---- */

void txn_ref(struct polarys_txn *txn)
{
    /* Relaxed: whoever calls this holds a reference already. */
    unsigned before = atomic_fetch_add_explicit(&txn->reference_count, 1, memory_order_relaxed);
    POLARYS_ASSERT(before > 0);
}

static void txn_destroy(struct polarys_txn *txn)
{
    polarys_batch_destroy(txn->batch);
    read_set_deinit(&txn->reads);
    arena_deinit(&txn->read_arena);
    arena_deinit(&txn->arena);
    condition_deinit(&txn->condition);
    mutex_deinit(&txn->mutex);
    free(txn);
}

void txn_unref(struct polarys_txn *txn)
{
    /* Release and acquire: what all who let go have done comes before the freeing by the last. */
    unsigned before = atomic_fetch_sub_explicit(&txn->reference_count, 1, memory_order_acq_rel);
    POLARYS_ASSERT(before > 0);
    if (before == 1) {
        txn_destroy(txn);
    }
}

/* ---- beginning ---- */

static enum polarys_code check_options(const struct polarys_txn_options *options,
                                       struct polarys_error *err)
{
    if (options->isolation > POLARYS_ISOLATION_SERIALIZABLE) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown isolation level");
    }
    if (options->mode > POLARYS_TXN_PESSIMISTIC) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown mode of a transaction");
    }
    if (options->timeout_ms > POLARYS_TXN_TIMEOUT_MAX_MS ||
        options->idle_timeout_ms > POLARYS_TXN_TIMEOUT_MAX_MS ||
        options->lock_timeout_ms > POLARYS_TXN_TIMEOUT_MAX_MS) {
        enum polarys_code code =
            polarys_fail(err, POLARYS_BAD_ARGUMENT, "a timeout of a transaction is at most %d ms",
                         POLARYS_TXN_TIMEOUT_MAX_MS);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_TXN_TIMEOUT_MAX_MS);
        return code;
    }
    if (options->principal != NULL && strlen(options->principal) > REQUEST_PRINCIPAL_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "a principal has at most %d bytes",
                            REQUEST_PRINCIPAL_BYTES_MAX);
    }
    return POLARYS_OK;
}

static uint64_t timeout_ns(uint32_t timeout_ms, uint32_t default_ms)
{
    return (uint64_t)(timeout_ms == 0 ? default_ms : timeout_ms) * NS_PER_MS;
}

static void txn_init(struct polarys_txn *txn, struct polarys_db *db,
                     const struct polarys_txn_options *options)
{
    txn->db = db;
    txn->isolation = options->isolation == POLARYS_ISOLATION_DEFAULT ? POLARYS_ISOLATION_SNAPSHOT
                                                                     : options->isolation;
    txn->is_pessimistic = options->mode == POLARYS_TXN_PESSIMISTIC;
    txn->is_read_only = options->is_read_only;
    txn->notes_reads = txn->isolation == POLARYS_ISOLATION_SERIALIZABLE;
    txn->reads_newest = txn->isolation == POLARYS_ISOLATION_READ_COMMITTED ||
                        (txn->notes_reads && txn->is_pessimistic);
    txn->lock_timeout_ns =
        timeout_ns(options->lock_timeout_ms, POLARYS_TXN_LOCK_TIMEOUT_DEFAULT_MS);
    txn->idle_timeout_ns = timeout_ns(options->idle_timeout_ms, POLARYS_TXN_IDLE_DEFAULT_MS);
    txn->timeout_ns = timeout_ns(options->timeout_ms, POLARYS_TXN_TIMEOUT_DEFAULT_MS);
    txn->begun_ns = clock_monotonic_ns(db->clock);
    if (options->principal != NULL) {
        memcpy(txn->principal, options->principal, strlen(options->principal) + 1);
    }
    atomic_init(&txn->reference_count, 1);
    atomic_init(&txn->used_ns, txn->begun_ns);
    mutex_init(&txn->mutex, MUTEX_RANK_TXN);
    condition_init(&txn->condition);
    txn->user_count = 1;
    txn->lock_owner.id = txn->id;
    txn->lock_owner.work = &txn->work;
    arena_init(&txn->arena, 2 * (size_t)POLARYS_TXN_BYTES_MAX);
    arena_init(&txn->read_arena, 2 * (size_t)POLARYS_TXN_BYTES_MAX);
    read_set_init(&txn->reads, &txn->read_arena);
    overlay_init(&txn->overlay, &txn->arena);
}

enum polarys_code polarys_txn_begin(struct polarys_db *db, const char *database,
                                    const struct polarys_txn_options *options,
                                    struct polarys_txn **out, struct polarys_error *err)
{
    static const struct polarys_txn_options defaults;
    *out = NULL;
    options = options == NULL ? &defaults : options;
    enum polarys_code code = check_options(options, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct polarys_txn *txn = calloc(1, sizeof(*txn));
    if (txn == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a transaction");
    }
    txn_init(txn, db, options);
    code = random_fill(db->random, txn->id, sizeof(txn->id), err);
    if (code == POLARYS_OK) {
        code = polarys_batch_create(db, database, &txn->batch, err);
    }
    if (code == POLARYS_OK) {
        txn->database_id = txn->batch->database_id;
        code = txn_charge_more(txn, 0, err);
    }
    if (code == POLARYS_OK) {
        code = txns_add(txn, err);
    }
    if (code != POLARYS_OK) {
        txns_uncharge(txn);
        txn_unref(txn); /* accepts it half-built */
        return code;
    }
    *out = txn;
    return POLARYS_OK;
}

const uint8_t *polarys_txn_id(const struct polarys_txn *txn)
{
    return txn->id;
}

const char *polarys_txn_principal(const struct polarys_txn *txn)
{
    return txn->principal;
}

const char *polarys_txn_database(const struct polarys_txn *txn)
{
    return txn->batch->database;
}

/* ---- calls ---- */

enum polarys_code txn_fail_over(const struct polarys_txn *txn, struct polarys_error *err)
{
    const char *reason = txn->end_reason;
    return polarys_fail(err, POLARYS_TXN_NOT_FOUND, "the transaction is over: %s",
                        reason == NULL ? "it is being committed" : reason);
}

/* Waits until no call is inside, or the transaction is over or soon will be. REQUIRES: txn->mutex. */
static void wait_until_free(struct polarys_txn *txn)
{
    txn->waiter_count++;
    while (txn->is_busy && txn->phase == TXN_OPEN && !txn->is_rollback_wanted) {
        (void)executor_wait(txn->db->executor, &txn->condition, &txn->mutex, DB_TICK_NS);
    }
    txn->waiter_count--;
}

const char *txn_due_reason(const struct polarys_txn *txn, uint64_t now_ns)
{
    uint64_t used_ns = atomic_load_explicit(&txn->used_ns, memory_order_relaxed);
    if (now_ns > txn->begun_ns && now_ns - txn->begun_ns >= txn->timeout_ns) {
        return "it lasted longer than its timeout";
    }
    return now_ns > used_ns && now_ns - used_ns >= txn->idle_timeout_ns
               ? "it idled longer than its timeout"
               : NULL;
}

enum polarys_code txn_enter(struct polarys_txn *txn, unsigned flags, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&txn->mutex);
    if (txn->is_busy && txn->phase == TXN_OPEN && (flags & POLARYS_READ_MEMORY_ONLY) == 0) {
        wait_until_free(txn);
    }
    /* Its time may be over although nobody has swept it yet: its snapshot is not kept for ever. */
    const char *reason = txn_due_reason(txn, clock_monotonic_ns(txn->db->clock));
    if (txn->phase != TXN_OPEN) {
        code = txn_fail_over(txn, err);
    } else if (txn->is_rollback_wanted) {
        code = polarys_fail(err, POLARYS_TXN_NOT_FOUND,
                            "the transaction is over: it is being rolled back");
    } else if (txn->is_busy) {
        code = POLARYS_WOULD_BLOCK;
    } else if (reason != NULL) {
        code = polarys_fail(err, POLARYS_TXN_NOT_FOUND, "the transaction is over: %s", reason);
    } else {
        txn->is_busy = true;
    }
    mutex_unlock(&txn->mutex);
    return code;
}

void txn_leave(struct polarys_txn *txn)
{
    atomic_store_explicit(&txn->used_ns, clock_monotonic_ns(txn->db->clock), memory_order_relaxed);
    mutex_lock(&txn->mutex);
    POLARYS_ASSERT(txn->is_busy && txn->phase == TXN_OPEN);
    txn->is_busy = false;
    if (txn->waiter_count > 0) {
        condition_broadcast(&txn->condition);
    }
    mutex_unlock(&txn->mutex);
}

enum polarys_code txn_leave_with(struct polarys_txn *txn, enum polarys_code code)
{
    if (code != POLARYS_TXN_CONFLICT && code != POLARYS_DEADLOCK) {
        txn_leave(txn);
        return code;
    }
    mutex_lock(&txn->mutex);
    POLARYS_ASSERT(txn->is_busy && txn->phase == TXN_OPEN);
    txn->phase = TXN_ENDING;
    mutex_unlock(&txn->mutex);
    txn_end(txn, POLARYS_TXN_ABORTED, false,
            code == POLARYS_DEADLOCK ? "it was chosen to end a deadlock" : "it had a conflict");
    return code;
}

enum polarys_code txn_charge_more(struct polarys_txn *txn, size_t more, struct polarys_error *err)
{
    uint64_t used =
        TXN_OVERHEAD_BYTES + txn->batch->bytes + txn->overlay.bytes + txn_lock_bytes(txn) + more;
    if (used <= txn->writes_charged) {
        return POLARYS_OK;
    }
    uint64_t wanted = used + TXN_CHARGE_STEP - txn->writes_charged;
    enum polarys_code code = txns_charge(txn, wanted, err);
    txn->writes_charged += code == POLARYS_OK ? wanted : 0;
    return code;
}

/* ---- the end ---- */

static void leases_release(struct polarys_txn *txn)
{
    struct snapshots *snapshots = txn->db->snapshots;
    if (txn->lease_id != 0) {
        snapshot_release(snapshots, txn->lease_id);
        txn->lease_id = 0;
    }
    for (size_t i = 0; i < txn->range_lease_count; i++) {
        snapshot_release(snapshots, txn->range_leases[i]);
    }
    txn->range_lease_count = 0;
}

void txn_end(struct polarys_txn *txn, enum polarys_txn_state state, bool has_record,
             const char *reason)
{
    POLARYS_ASSERT(txn->phase == TXN_COMMITTING || txn->phase == TXN_ENDING);
    txn_locks_release(txn);
    leases_release(txn);
    txns_remove(txn, state, has_record);
    txns_uncharge(txn);
    mutex_lock(&txn->mutex);
    txn->phase = TXN_OVER;
    txn->end_reason = reason;
    txn->is_busy = false;
    condition_broadcast(&txn->condition);
    mutex_unlock(&txn->mutex);
}

/* Waits until the call that is inside has left; it does not wait for locks meanwhile. The cancelling is
 * repeated, for the call may have been just about to wait. REQUIRES: txn->mutex. */
static void wait_to_roll_back(struct polarys_txn *txn) REQUIRES(txn->mutex)
{
    txn->is_rollback_wanted = true;
    condition_broadcast(&txn->condition); /* who waits to enter is refused */
    txn->waiter_count++;
    while (txn->is_busy && txn->phase == TXN_OPEN) {
        mutex_unlock(&txn->mutex);
        txn_lock_cancel(txn, POLARYS_TXN_NOT_FOUND);
        mutex_lock(&txn->mutex);
        if (txn->is_busy && txn->phase == TXN_OPEN) {
            (void)executor_wait(txn->db->executor, &txn->condition, &txn->mutex, DB_TICK_NS);
        }
    }
    txn->waiter_count--;
}

enum polarys_code polarys_txn_rollback(struct polarys_txn *txn, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&txn->mutex);
    if (txn->is_busy && txn->phase == TXN_OPEN) {
        wait_to_roll_back(txn);
    }
    if (txn->phase == TXN_OPEN) {
        txn->phase = TXN_ENDING;
    } else {
        code = txn_fail_over(txn, err);
    }
    mutex_unlock(&txn->mutex);
    if (code == POLARYS_OK) {
        txn_end(txn, POLARYS_TXN_ABORTED, false, "it was rolled back");
    }
    return code;
}

void polarys_txn_detach(struct polarys_txn *txn)
{
    mutex_lock(&txn->mutex);
    txn->is_detached = true;
    mutex_unlock(&txn->mutex);
}

void polarys_txn_release(struct polarys_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    mutex_lock(&txn->mutex);
    POLARYS_ASSERT(txn->user_count > 0);
    txn->user_count--;
    bool ends = txn->user_count == 0 && !txn->is_detached && txn->phase == TXN_OPEN;
    if (ends) {
        POLARYS_ASSERT(!txn->is_busy);
        txn->phase = TXN_ENDING;
    }
    mutex_unlock(&txn->mutex);
    if (ends) {
        txn_end(txn, POLARYS_TXN_ABORTED, false, "it was let go");
    }
    txn_unref(txn);
}
