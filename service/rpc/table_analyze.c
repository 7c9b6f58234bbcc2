/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TableService.AnalyzeTable, on an executor thread.
 */
#include "engine/engine_index.h"
#include "polarys/v1/table.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/response.h"

void table_analyze_table(struct call *call)
{
    enum polarys_code code =
        polarys_table_analyze(call->server->db, call->database, call->table, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__AnalyzeTableResponse response = POLARYS__V1__ANALYZE_TABLE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, polarys_db_version(call->server->db), token, &header);
    response.header = &header;
    call_reply(call, response_pack(&response.base));
}
