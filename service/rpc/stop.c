/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why long work ends early. It keeps nothing: all is asked of the call and the server.
 */
#include "service/rpc/stop.h"

#include "service/server/server.h"

bool stop_is_wanted(void *context)
{
    const struct call *call = context;
    return call_is_cancelled(call) || call_is_late(call) ||
           server_phase_get(call->server) >= SERVER_STOPPING;
}

enum polarys_code stop_explain(struct call *call, enum polarys_code code, const char *what)
{
    if (code != POLARYS_CANCELLED) {
        return code;
    }
    if (server_phase_get(call->server) >= SERVER_STOPPING) {
        return polarys_fail(&call->error, POLARYS_DRAINING,
                            "%s was broken off, since the server stops: ask elsewhere", what);
    }
    if (call_is_cancelled(call)) {
        return polarys_fail(&call->error, POLARYS_CANCELLED, "given up by the client");
    }
    return polarys_fail(&call->error, POLARYS_WAIT_TIMEOUT,
                        "%s takes longer than the call may: give it a later deadline", what);
}
