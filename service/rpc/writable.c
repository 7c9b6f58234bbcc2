/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a node takes writes: looked at before anything else can be wrong with one. The engine of a replica refuses too;
 * of a fenced primary nothing else does.
 */
#include "service/rpc/writable.h"

#include "service/replication/follower.h"
#include "service/replication/handover.h"

enum polarys_code writable_check(const struct server *server, struct polarys_error *err)
{
    if (follower_is_following(server->follower)) {
        return polarys_fail(err, POLARYS_NOT_PRIMARY,
                            "this node is a replica: write to its primary");
    }
    if (standing_is_fenced(server->standing)) {
        return standing_refuse(server->standing, err);
    }
    if (handover_is_under_way(server->handover)) {
        (void)polarys_fail(err, POLARYS_NO_PRIMARY,
                           "this node hands over to another one: try again in a moment");
        err->retry_after_ms = HANDOVER_RETRY_MS;
        return POLARYS_NO_PRIMARY;
    }
    return POLARYS_OK;
}
