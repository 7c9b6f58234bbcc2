/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writes of KvService within an interactive transaction: done in its memory, under its locks,
 * and answered with version 0, since nothing is committed yet.
 */
#ifndef SERVICE_RPC_TXN_WRITE_H
#define SERVICE_RPC_TXN_WRITE_H

#include "polarys/v1/kv.pb-c.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Answers a call that writes one thing. `must_exist`: the key must be there, whatever the condition
 * says. REQUIRES: call->txn; on the worker.
 */
void txn_write_one(struct call *call, const Polarys__V1__WriteOperation *operation,
                   bool must_exist);
/* Answers KvService.BatchWrite. REQUIRES: as above. */
void txn_write_batch(struct call *call);

#ifdef __cplusplus
}
#endif

#endif
