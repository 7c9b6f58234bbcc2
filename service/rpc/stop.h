/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long work on an executor thread goes on: until the client gives up, nine tenths of its time
 * are over, or the server stops.
 */
#ifndef SERVICE_RPC_STOP_H
#define SERVICE_RPC_STOP_H

#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The engine's `should_stop`; `call` is a struct call. Any thread. */
bool stop_is_wanted(void *call);
/*
 * After the engine was stopped so: turns CANCELLED into why, in call->error: DRAINING, CANCELLED or
 * WAIT_TIMEOUT. Any other code is left as it is. `what` begins the message: "the count".
 */
NODISCARD enum polarys_code stop_explain(struct call *call, enum polarys_code code,
                                         const char *what);

#ifdef __cplusplus
}
#endif

#endif
