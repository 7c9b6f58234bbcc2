/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lag of a replica in versions, bytes and seconds, and how its connection does.
 */
#include "service/admin/metrics_replica.h"

#include "service/replication/standing.h"
#include "service/server/timing.h"

void metrics_replica_render(struct exposition *out, const struct server *server)
{
    struct follower_status status;
    bool is_following = follower_is_following(server->follower);
    exposition_gauge(out, "polarysdb_primary", "1 on a node that takes writes, 0 on a replica.",
                     is_following || standing_is_fenced(server->standing) ? 0 : 1);
    if (!is_following) {
        return;
    }
    follower_status_get(server->follower, &status);
    exposition_gauge(out, "polarysdb_replica_connected",
                     "1 while the log of the other node is being received.",
                     status.state == FOLLOWER_TAILING ? 1 : 0);
    exposition_gauge(out, "polarysdb_replica_caught_up",
                     "1 once the replica has had all that there was.",
                     status.has_caught_up ? 1 : 0);
    exposition_gauge(out, "polarysdb_replica_behind_versions",
                     "Versions that the other node had and this one has not.",
                     status.behind_versions);
    exposition_gauge(out, "polarysdb_replica_behind_bytes",
                     "Bytes of log that the other node had and had not sent.", status.behind_bytes);
    if (status.behind_ms != UINT64_MAX) {
        exposition_family(out, "polarysdb_replica_behind_seconds", "gauge",
                          "Time since the replica is known to have had all that there was.");
        exposition_seconds(out, "polarysdb_replica_behind_seconds", NULL,
                           status.behind_ms * TIMING_NS_PER_MS);
    }
    exposition_counter(out, "polarysdb_replica_connections_total", "Connections that were tried.",
                       status.connection_count);
    exposition_counter(out, "polarysdb_replica_received_bytes_total", "Bytes of log received.",
                       status.received_bytes);
}
