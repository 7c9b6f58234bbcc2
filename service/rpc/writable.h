/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a node takes writes now. */
#ifndef SERVICE_RPC_WRITABLE_H
#define SERVICE_RPC_WRITABLE_H

#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Refuses where writes are to go elsewhere, or are to be tried again in a moment. Any thread; cheap. Errors: NOT_PRIMARY
 * (a replica, or a primary that is fenced), NO_PRIMARY (the node is being handed over). */
NODISCARD enum polarys_code writable_check(const struct server *server, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
