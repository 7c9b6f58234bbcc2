/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QueryService.Count: on an executor thread, until it is done, the client gives up or its time is
 * over. The streams have files of their own.
 */
#include "polarys/v1/query.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/query_request.h"
#include "service/rpc/response.h"
#include "service/rpc/stop.h"
#include "service/rpc/txn_call.h"

static void count_on_executor(void *context)
{
    struct call *call = context;
    const Polarys__V1__CountRequest *request = call->request;
    struct polarys_query_options options;
    uint64_t version = 0;
    uint64_t count = 0;
    query_request_begin(call, request->filter, &options);
    options.flags = POLARYS_READ_NO_FILL;
    enum polarys_code code = polarys_query_count(call->server->db, &options, stop_is_wanted, call,
                                                 &version, &count, &call->error);
    code = stop_explain(call, code, "the count");
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

static void count_locked(struct call *call)
{
    txn_call_execute(call, count_on_executor);
}

void query_count(struct call *call)
{
    query_table_lock(call, count_locked);
}
