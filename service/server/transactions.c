/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over all open transactions. The engine's list must not be left for another of its calls, so
 * what is to be rolled back is noted first.
 */
#include "service/server/transactions.h"

#include <string.h>

enum { WAITERS_MAX = 256 /* noted in one round */, ROUNDS_MAX = 64 };

static bool totals_add(void *context, const struct polarys_txn_status *status)
{
    struct transactions_totals *totals = context;
    totals->open++;
    totals->waiting += status->is_waiting ? 1 : 0;
    totals->locks += status->lock_count;
    totals->bytes += status->bytes;
    return true;
}

enum polarys_code transactions_totals_get(struct polarys_db *db, struct transactions_totals *totals,
                                          struct polarys_error *err)
{
    *totals = (struct transactions_totals){.open = 0};
    return polarys_txn_list(db, totals_add, totals, err);
}

struct waiters {
    uint8_t ids[WAITERS_MAX][POLARYS_TXN_ID_SIZE];
    size_t count;
};

static bool waiter_add(void *context, const struct polarys_txn_status *status)
{
    struct waiters *waiters = context;
    if (status->is_waiting) {
        memcpy(waiters->ids[waiters->count++], status->id, POLARYS_TXN_ID_SIZE);
    }
    return waiters->count < WAITERS_MAX;
}

static void waiter_end(struct polarys_db *db, const uint8_t *id)
{
    struct polarys_txn *txn;
    struct polarys_error ignored = POLARYS_ERROR_INIT;
    if (polarys_txn_find(db, id, &txn, &ignored) != POLARYS_OK) {
        return; /* it is over by now */
    }
    if (polarys_txn_rollback(txn, &ignored) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_DEBUG, "rpc", "a transaction ended by itself: %s", ignored.message);
    }
    polarys_txn_release(txn);
}

void transactions_waits_end(struct polarys_db *db)
{
    struct waiters waiters;
    struct polarys_error err = POLARYS_ERROR_INIT;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        waiters.count = 0;
        if (polarys_txn_list(db, waiter_add, &waiters, &err) != POLARYS_OK) {
            polarys_log(POLARYS_LOG_WARN, "rpc", "calls that wait for locks: %s", err.message);
            return;
        }
        for (size_t i = 0; i < waiters.count; i++) {
            waiter_end(db, waiters.ids[i]);
        }
        if (waiters.count < WAITERS_MAX) {
            return;
        }
    }
}
