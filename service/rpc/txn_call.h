/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are part of an interactive transaction: the transaction is found, the locks that a
 * statement needs are waited for without a thread, and the statement is run from memory on the
 * worker, or else on an executor thread.
 */
#ifndef SERVICE_RPC_TXN_CALL_H
#define SERVICE_RPC_TXN_CALL_H

#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TXN_CALL_ID_TEXT = POLARYS_TXN_ID_SIZE * 2 + 1 };

/*
 * The open transaction with the call's txn_id, of the call's database and principal, as call->txn.
 * On the worker. Errors: TXN_NOT_FOUND, BAD_ARGUMENT (there is no id).
 */
NODISCARD enum polarys_code txn_call_bind(struct call *call, struct polarys_error *err);

/* The id in hex, as errors name it. In the call's arena; "" where there is no memory. */
const char *txn_call_id_text(struct call *call);

/*
 * On the worker: takes the locks, one after another, then calls `next` there. Calls it at once
 * where the transaction takes none. Where a lock can't be had the call is failed. `locks` live in
 * the call's arena.
 */
void txn_call_lock(struct call *call, const struct polarys_lock_wanted *locks, size_t count,
                   void (*next)(struct call *call));
/* The same with the lock of one key, of a range (both empty: the table), if the transaction takes
 * such locks: reads do where it is serializable. */
void txn_call_lock_key(struct call *call, struct polarys_slice key, enum polarys_lock_mode mode,
                       void (*next)(struct call *call));
void txn_call_lock_range(struct call *call, struct polarys_slice start, struct polarys_slice end,
                         enum polarys_lock_mode mode, void (*next)(struct call *call));

/* On the worker, after WOULD_BLOCK from another call of the transaction: calls `resume` there a
 * little later, or fails the call when its time is over. */
void txn_call_await(struct call *call, void (*resume)(struct call *call));

/*
 * On the worker: runs the statement with POLARYS_READ_MEMORY_ONLY, and where it returns false, that
 * is WOULD_BLOCK, with no flags on an executor thread. It answers the call when it returns true.
 */
void txn_call_run(struct call *call, bool (*run)(struct call *call, unsigned flags));

/*
 * On the worker: call_execute for a statement that enters the transaction on the executor thread. It
 * waits here until no other call of the transaction waits for a lock, since the thread would wait
 * with it. Without a transaction it is call_execute.
 */
void txn_call_execute(struct call *call, void (*function)(void *call));

#ifdef __cplusplus
}
#endif

#endif
