/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes of TableService, on executor threads: the engine's calls wait for their commit. Lists
 * are in table_list.c.
 */
#include <stdio.h>

#include "polarys/v1/table.pb-c.h"
#include "service/rpc/consistency.h"
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

static bool database_match(void *context, const struct polarys_database_info *info)
{
    struct database_search *search = context;
    if (strcmp(info->database, search->database) != 0) {
        return true;
    }
    table_database_make(info, search->found);
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
        response.info = &made.message;
    }
    call_reply(call, response_pack(&response.base));
}

void table_drop_database(struct call *call)
{
    struct polarys_write_result result = {0};
    call->field_hint = "database";
    enum polarys_code code = polarys_database_drop(call->server->db, call->database,
                                                   options_of(call), &result, &call->error);
    change_end(call, code, &result);
}

/* The table just made. A replayed request may be about one that was dropped since. */
static enum polarys_code made_table_get(struct call *call,
                                        const struct polarys_write_result *result,
                                        struct polarys_table_info *info)
{
    enum polarys_code code =
        polarys_table_get(call->server->db, call->database, call->table, info, &call->error);
    if (code == POLARYS_OK && info->created_version == result->version) {
        return POLARYS_OK;
    }
    if (code != POLARYS_OK && code != POLARYS_TABLE_NOT_FOUND &&
        code != POLARYS_DATABASE_NOT_FOUND) {
        return code;
    }
    polarys_error_clear(&call->error);
    *info = (struct polarys_table_info){.created_version = result->version,
                                        .created_time_unix_ms = result->time_unix_ms};
    (void)snprintf(info->database, sizeof(info->database), "%s",
                   call->database[0] == '\0' ? "default" : call->database);
    (void)snprintf(info->table, sizeof(info->table), "%s", call->table);
    return POLARYS_OK;
}

void table_create_table(struct call *call)
{
    struct polarys_db *db = call->server->db;
    struct polarys_write_result result = {0};
    struct polarys_table_info info;
    enum polarys_code code = polarys_table_create(db, call->database, call->table, options_of(call),
                                                  &result, &call->error);
    if (code == POLARYS_OK) {
        code = made_table_get(call, &result, &info);
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
    uint64_t version = consistency_version(call);
    enum polarys_code code =
        polarys_table_get(db, call->database, call->table, &info, &call->error);
    if (code == POLARYS_OK && info.created_version > version) {
        code = polarys_fail(&call->error, POLARYS_TABLE_NOT_FOUND,
                            "there was no table \"%s\" at version %llu", call->table,
                            (unsigned long long)version);
    }
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
