/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a node follows another, as GetStatus tells it.
 */
#ifndef SERVICE_RPC_ADMIN_REPLICA_H
#define SERVICE_RPC_ADMIN_REPLICA_H

#include "polarys/v1/admin.pb-c.h"
#include "service/replication/follower.h"
#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The message and what it points to. */
struct admin_replica {
    struct follower_status status;
    Polarys__V1__ReplicaStatus message;
    Google__Protobuf__Duration behind;
};

/* NULL for a node that does not follow. */
Polarys__V1__ReplicaStatus *admin_replica_fill(const struct server *server,
                                               struct admin_replica *replica);

#ifdef __cplusplus
}
#endif

#endif
