/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QueryService.Count: walks the table on an executor thread and stops when the client gives up or
 * its time is over.
 */
#include "polarys/v1/query.pb-c.h"
#include "service/rpc/consistency.h"
#include "service/rpc/handlers.h"
#include "service/rpc/response.h"
#include "service/server/server.h"

static bool count_should_stop(void *context)
{
    const struct call *call = context;
    return call_is_cancelled(call) || call_is_late(call) ||
           server_phase_get(call->server) >= SERVER_STOPPING;
}

static void count_stopped(struct call *call)
{
    enum polarys_code code = POLARYS_CANCELLED;
    if (server_phase_get(call->server) >= SERVER_STOPPING) {
        code =
            polarys_fail(&call->error, POLARYS_DRAINING, "the server stops: count again elsewhere");
    } else if (!call_is_cancelled(call)) {
        code = polarys_fail(&call->error, POLARYS_WAIT_TIMEOUT,
                            "counting takes longer than the call may: give it a later deadline");
    }
    call_fail_own(call, code);
}

void query_count(struct call *call)
{
    uint64_t version = consistency_version(call);
    struct polarys_read_options options = {.version = call->read_version};
    uint64_t count = 0;
    enum polarys_code code =
        polarys_table_count(call->server->db, call->database, call->table, &options,
                            count_should_stop, call, &count, &call->error);
    if (code == POLARYS_CANCELLED) {
        count_stopped(call);
        return;
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__CountResponse response = POLARYS__V1__COUNT_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, version, token, &header);
    response.header = &header;
    response.version = version;
    response.count = count;
    call_reply(call, response_pack(&response.base));
}
