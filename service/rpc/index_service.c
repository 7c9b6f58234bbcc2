/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TableService does with indexes that are there: drop, list, check. On executor threads.
 */
#include "service/rpc/consistency.h"
#include "service/rpc/handlers.h"
#include "service/rpc/index_message.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/stop.h"
#include "service/server/dispatch.h"

void table_drop_index(struct call *call)
{
    const Polarys__V1__DropIndexRequest *request = call->request;
    struct polarys_write_result result = {0};
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_code code = dispatch_name_take(request->index, "index", name, &call->error);
    if (code == POLARYS_OK) {
        call->part = name;
        call->write_options.deadline_ns = call->end_ns;
        code = polarys_index_drop(call->server->db, call->database, call->table, name,
                                  &call->write_options, &result, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_reply(call, response_commit(call->server, result.version));
}

struct index_list {
    struct call *call;
    uint64_t version; /* indexes made later are not there yet */
    Polarys__V1__Index *indexes[POLARYS_INDEXES_PER_TABLE_MAX];
    size_t count;
    bool is_out_of_memory;
};

static bool index_add(void *context, const struct polarys_index_info *info)
{
    struct index_list *list = context;
    if (info->created_version > list->version) {
        return true;
    }
    Polarys__V1__Index *index =
        list->count < POLARYS_INDEXES_PER_TABLE_MAX ? index_message_make(list->call, info) : NULL;
    if (index == NULL) {
        list->is_out_of_memory = true;
        return false;
    }
    list->indexes[list->count++] = index;
    return true;
}

void table_list_indexes(struct call *call)
{
    uint64_t version = consistency_version(call);
    struct index_list list = {.call = call, .version = version};
    enum polarys_code code = polarys_index_list(call->server->db, call->database, call->table,
                                                index_add, &list, &call->error);
    if (code == POLARYS_OK && list.is_out_of_memory) {
        code = polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory to list the indexes");
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__ListIndexesResponse response = POLARYS__V1__LIST_INDEXES_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, version, token, &header);
    response.header = &header;
    response.version = version;
    response.n_indexes = list.count;
    response.indexes = list.indexes;
    call_reply(call, response_pack(&response.base));
}

void table_check_index(struct call *call)
{
    const Polarys__V1__CheckIndexRequest *request = call->request;
    struct polarys_index_check_result check = {0};
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_code code = POLARYS_OK;
    if (request->index.len > 0) {
        code = dispatch_name_take(request->index, "index", name, &call->error);
        call->part = name;
    }
    if (code == POLARYS_OK) {
        code = polarys_index_check(call->server->db, call->database, call->table,
                                   request->index.len > 0 ? name : NULL, stop_is_wanted, call,
                                   &check, &call->error);
        code = stop_explain(call, code, "the check");
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__CheckIndexResponse response = POLARYS__V1__CHECK_INDEX_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, polarys_db_version(call->server->db), token, &header);
    response.header = &header;
    response.document_count = check.document_count;
    response.entry_count = check.entry_count;
    response.missing_count = check.missing_count;
    response.stray_count = check.stray_count;
    response.first_fault.data = (uint8_t *)check.first_fault;
    response.first_fault.len = strlen(check.first_fault);
    call_reply(call, response_pack(&response.base));
}
