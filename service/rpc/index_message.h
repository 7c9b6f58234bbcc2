/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes as messages.
 */
#ifndef SERVICE_RPC_INDEX_MESSAGE_H
#define SERVICE_RPC_INDEX_MESSAGE_H

#include "engine/engine_index.h"
#include "polarys/v1/table.pb-c.h"
#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the call's table, in the call's arena; NULL where there is no memory. */
Polarys__V1__Index *index_message_make(struct call *call, const struct polarys_index_info *info);

/* Only how far it is. Errors: as below. */
NODISCARD enum polarys_code index_state_find(struct call *call, const char *name,
                                             enum polarys_index_state *state);
/* The index of that name as it is now. Errors, in call->error: INDEX_NOT_FOUND, MEMORY_LIMIT, those
 * of polarys_index_list. */
NODISCARD enum polarys_code index_message_find(struct call *call, const char *name,
                                               Polarys__V1__Index **out);

#ifdef __cplusplus
}
#endif

#endif
