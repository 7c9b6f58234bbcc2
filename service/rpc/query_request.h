/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the requests of QueryService have in common, as the engine wants it.
 */
#ifndef SERVICE_RPC_QUERY_REQUEST_H
#define SERVICE_RPC_QUERY_REQUEST_H

#include "engine/engine_query.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Database, table, version and transaction of the call, and the filter. */
void query_request_begin(struct call *call, ProtobufCBinaryData filter,
                         struct polarys_query_options *options);

/*
 * The paths of a read mask, NUL-terminated, in the call's arena; NULL where there are none. Errors:
 * BAD_ARGUMENT, MEMORY_LIMIT.
 */
NODISCARD enum polarys_code query_mask_take(struct call *call, const ProtobufCBinaryData *paths,
                                            size_t count, const char *const **mask);

/* Text NUL-terminated, in the call's arena. Errors: BAD_ARGUMENT of `field` (empty, too long or
 * with a NUL), MEMORY_LIMIT. */
NODISCARD enum polarys_code query_path_take(struct call *call, ProtobufCBinaryData from,
                                            const char *field, const char **path);

/*
 * On the worker: locks the table for the call's transaction, if it locks what it reads, then calls
 * `next` there.
 */
void query_table_lock(struct call *call, void (*next)(struct call *call));

#ifdef __cplusplus
}
#endif

#endif
