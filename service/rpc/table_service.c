/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes of TableService, on executor threads: the engine's calls wait for their commit. Lists
 * are in table_list.c.
 */
#include "polarys/v1/table.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/response.h"
#include "service/rpc/table_message.h"
#include "service/server/server.h"

static struct polarys_write_options *options_of(struct call *call)
{
    call->write_options.deadline_ns = call->end_ns;
    return &call->write_options;
}

/* Answers with the header and the version. */
static void change_end(struct call *call, enum polarys_code code,
                       const struct polarys_write_result *result)
{
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_reply(call, response_commit(call->server, result->version));
}

struct database_search {
    const char *database;
    struct table_database *found;
    bool is_found;
};

static bool database_match(void *context, const char *database, uint64_t created_version)
{
    struct database_search *search = context;
    if (strcmp(database, search->database) != 0) {
        return true;
    }
    table_database_make(database, created_version, search->found);
    search->is_found = true;
    return false;
}

void table_create_database(struct call *call)
{
    struct polarys_db *db = call->server->db;
    struct polarys_write_result result = {0};
    enum polarys_code code =
        polarys_database_create(db, call->database, options_of(call), &result, &call->error);
    struct table_database made;
    struct database_search search = {call->database, &made, false};
    if (code == POLARYS_OK) {
        code = polarys_database_list(db, database_match, &search, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__CreateDatabaseResponse response = POLARYS__V1__CREATE_DATABASE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, result.version, token, &header);
    response.header = &header;
    response.version = result.version;
    if (search.is_found) {
        if (result.time_unix_ms != 0) {
            response_time_fill(result.time_unix_ms, &made.time);
            made.message.create_time = &made.time;
        }
        response.info = &made.message;
    }
    call_reply(call, response_pack(&response.base));
}

void table_drop_database(struct call *call)
{
    struct polarys_write_result result = {0};
    enum polarys_code code = polarys_database_drop(call->server->db, call->database,
                                                   options_of(call), &result, &call->error);
    change_end(call, code, &result);
}

void table_create_table(struct call *call)
{
    struct polarys_db *db = call->server->db;
    struct polarys_write_result result = {0};
    struct polarys_table_info info;
    enum polarys_code code = polarys_table_create(db, call->database, call->table, options_of(call),
                                                  &result, &call->error);
    if (code == POLARYS_OK) {
        /* Another call may have dropped it already; then that is what the caller should know. */
        code = polarys_table_get(db, call->database, call->table, &info, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    struct table_table made;
    table_table_make(&info, &made);
    Polarys__V1__CreateTableResponse response = POLARYS__V1__CREATE_TABLE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, result.version, token, &header);
    response.header = &header;
    response.version = result.version;
    response.info = &made.message;
    call_reply(call, response_pack(&response.base));
}

void table_get_table(struct call *call)
{
    struct polarys_db *db = call->server->db;
    struct polarys_table_info info;
    uint64_t version = polarys_db_version(db);
    enum polarys_code code =
        polarys_table_get(db, call->database, call->table, &info, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    struct table_table found;
    table_table_make(&info, &found);
    Polarys__V1__GetTableResponse response = POLARYS__V1__GET_TABLE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, version, token, &header);
    response.header = &header;
    response.version = version;
    response.info = &found.message;
    call_reply(call, response_pack(&response.base));
}

void table_drop_table(struct call *call)
{
    struct polarys_write_result result = {0};
    enum polarys_code code = polarys_table_drop(call->server->db, call->database, call->table,
                                                options_of(call), &result, &call->error);
    change_end(call, code, &result);
}

void table_truncate_table(struct call *call)
{
    struct polarys_write_result result = {0};
    enum polarys_code code = polarys_table_truncate(call->server->db, call->database, call->table,
                                                    options_of(call), &result, &call->error);
    change_end(call, code, &result);
}
