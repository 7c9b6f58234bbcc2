/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fresh a read must be, and the token that carries freshness from an answer to a later request.
 */
#ifndef SERVICE_RPC_CONSISTENCY_H
#define SERVICE_RPC_CONSISTENCY_H

#include "polarys/v1/common.pb-c.h"
#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a token says. */
struct consistency_token {
    uint8_t history_id[POLARYS_ID_SIZE];
    uint64_t version;
};

/* SERVER_TOKEN_SIZE bytes. */
void consistency_token_encode(const struct consistency_token *token, uint8_t *bytes);
/* False when they are no token. */
bool consistency_token_decode(struct polarys_slice bytes, struct consistency_token *token);

/*
 * Sets call->read_version and what has to be waited for. `consistency` NULL: the default. Errors:
 * BAD_ARGUMENT, HISTORY_DIVERGED, HISTORY_PRUNED, FUTURE_VERSION.
 */
NODISCARD enum polarys_code consistency_resolve(struct call *call,
                                                const Polarys__V1__Consistency *consistency,
                                                struct polarys_error *err);

/* Whether all that the call has to wait for is there. Never blocks; on the worker. */
bool consistency_is_met(struct call *call);
/* To be called once when it is met: looks at what could not be judged before. Errors:
 * HISTORY_DIVERGED. */
NODISCARD enum polarys_code consistency_recheck(const struct call *call, struct polarys_error *err);
/* Fills `err` with what the call waited for in vain. */
enum polarys_code consistency_fail(const struct call *call, struct polarys_error *err);

/* The version that a read of the call sees: the one asked for, or the newest now. */
uint64_t consistency_version(const struct call *call);

#ifdef __cplusplus
}
#endif

#endif
