/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open transactions of a server, all together: how many there are, and an end to waiting when
 * it stops.
 */
#ifndef SERVICE_SERVER_TRANSACTIONS_H
#define SERVICE_SERVER_TRANSACTIONS_H

#include "engine/engine_txn.h"

#ifdef __cplusplus
extern "C" {
#endif

struct transactions_totals {
    uint64_t open;
    uint64_t waiting; /* of these, for a lock */
    uint64_t locks;   /* that they hold */
    uint64_t bytes;   /* of memory that they take */
};

/* Any thread. Errors: NO_MEMORY. */
NODISCARD enum polarys_code transactions_totals_get(struct polarys_db *db,
                                                    struct transactions_totals *totals,
                                                    struct polarys_error *err);
/* Rolls back every transaction that waits for a lock, which ends the wait. What can't be, for lack
 * of memory, ends by its timeout. Any thread. */
void transactions_waits_end(struct polarys_db *db);

#ifdef __cplusplus
}
#endif

#endif
