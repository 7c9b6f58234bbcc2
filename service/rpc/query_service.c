/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QueryService.Count: walks the table on an executor thread and stops when the client gives up or
 * its time is over.
 */
#include "polarys/v1/query.pb-c.h"

#include "service/rpc/handlers.h"
#include "service/rpc/response.h"
#include "service/server/server.h"

enum { COUNT_LOOK_ROWS = 1024 /* between two looks at clock and client */ };

static bool count_should_stop(const struct call *call)
{
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

/* Counts by walking, so that the version that was counted is known. */
static enum polarys_code table_count(struct call *call, uint64_t *version, uint64_t *count)
{
    struct polarys_scan_options options = {
        .database = call->database,
        .table = call->table,
        .version = call->read_version,
        .flags = POLARYS_READ_KEYS_ONLY | POLARYS_READ_NO_FILL,
    };
    struct polarys_scan *scan = NULL;
    enum polarys_code code = polarys_scan_open(call->server->db, &options, &scan, &call->error);
    if (code == POLARYS_OK) {
        *version = polarys_scan_version(scan);
    }
    bool has_document = code == POLARYS_OK;
    for (*count = 0; code == POLARYS_OK && has_document; *count += has_document ? 1 : 0) {
        if (*count % COUNT_LOOK_ROWS == 0 && count_should_stop(call)) {
            code = POLARYS_CANCELLED;
            break;
        }
        struct polarys_document document;
        code = polarys_scan_next(scan, &has_document, &document, &call->error);
    }
    polarys_scan_close(scan);
    return code;
}

void query_count(struct call *call)
{
    uint64_t version = 0;
    uint64_t count;
    enum polarys_code code = table_count(call, &version, &count);
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
