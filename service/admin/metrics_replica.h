/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node measures of following another.
 */
#ifndef SERVICE_ADMIN_METRICS_REPLICA_H
#define SERVICE_ADMIN_METRICS_REPLICA_H

#include "service/admin/exposition.h"
#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

/* On a primary only that it is one. */
void metrics_replica_render(struct exposition *out, const struct server *server);

#ifdef __cplusplus
}
#endif

#endif
