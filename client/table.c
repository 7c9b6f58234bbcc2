/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases, tables and counts.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"
#include "polarys/v1/query.pb-c.h"
#include "polarys/v1/table.pb-c.h"

/* Schema changes carry an id, so that a repeated create does not fail over its own first attempt. */
struct schema_id {
    uint8_t bytes[POLARYS_CLIENT_REQUEST_ID_SIZE];
    enum client_repeat repeat;
    size_t size;
};

static void schema_id_make(struct schema_id *id)
{
    bool is_set = client_random(id->bytes, sizeof(id->bytes));
    id->size = is_set ? sizeof(id->bytes) : 0;
    id->repeat = is_set ? CLIENT_REPEAT_ALWAYS : CLIENT_REPEAT_REFUSED;
}

/* The head that the answers to all schema changes share: header, then version. */
struct schema_answer {
    ProtobufCMessage base;
    Polarys__V1__ResponseHeader *header;
    uint64_t version;
};
#define SCHEMA_ANSWER_CHECK(type)                                                                  \
    _Static_assert(offsetof(type, header) == offsetof(struct schema_answer, header) &&             \
                       offsetof(type, version) == offsetof(struct schema_answer, version),         \
                   "an answer of another shape")
SCHEMA_ANSWER_CHECK(Polarys__V1__CreateTableResponse);
SCHEMA_ANSWER_CHECK(Polarys__V1__DropTableResponse);
SCHEMA_ANSWER_CHECK(Polarys__V1__TruncateTableResponse);
SCHEMA_ANSWER_CHECK(Polarys__V1__CreateDatabaseResponse);
SCHEMA_ANSWER_CHECK(Polarys__V1__DropDatabaseResponse);

static bool schema_invoke(struct polarys_client *client, const struct client_call *call,
                          struct polarys_client_result *result, struct polarys_client_error *err)
{
    ProtobufCMessage *response = client_invoke(client, call, err);
    if (response == NULL) {
        return false;
    }
    const struct schema_answer *answer = (const struct schema_answer *)response;
    client_result_fill(result, answer->header, answer->version);
    protobuf_c_message_free_unpacked(response, NULL);
    return true;
}

bool polarys_client_table_create(struct polarys_client *client, const char *database,
                                 const char *table, struct polarys_client_result *result,
                                 struct polarys_client_error *err)
{
    Polarys__V1__CreateTableRequest request = POLARYS__V1__CREATE_TABLE_REQUEST__INIT;
    struct schema_id id;
    schema_id_make(&id);
    request.database = client_text(database);
    request.table = client_text(table);
    request.request_id = client_bytes(id.bytes, id.size);
    struct client_call call = {"/polarys.v1.TableService/CreateTable", &request.base,
                               &polarys__v1__create_table_response__descriptor, id.repeat};
    return schema_invoke(client, &call, result, err);
}

bool polarys_client_table_drop(struct polarys_client *client, const char *database,
                               const char *table, struct polarys_client_result *result,
                               struct polarys_client_error *err)
{
    Polarys__V1__DropTableRequest request = POLARYS__V1__DROP_TABLE_REQUEST__INIT;
    struct schema_id id;
    schema_id_make(&id);
    request.database = client_text(database);
    request.table = client_text(table);
    request.request_id = client_bytes(id.bytes, id.size);
    struct client_call call = {"/polarys.v1.TableService/DropTable", &request.base,
                               &polarys__v1__drop_table_response__descriptor, id.repeat};
    return schema_invoke(client, &call, result, err);
}

bool polarys_client_table_truncate(struct polarys_client *client, const char *database,
                                   const char *table, struct polarys_client_result *result,
                                   struct polarys_client_error *err)
{
    Polarys__V1__TruncateTableRequest request = POLARYS__V1__TRUNCATE_TABLE_REQUEST__INIT;
    struct schema_id id;
    schema_id_make(&id);
    request.database = client_text(database);
    request.table = client_text(table);
    request.request_id = client_bytes(id.bytes, id.size);
    struct client_call call = {"/polarys.v1.TableService/TruncateTable", &request.base,
                               &polarys__v1__truncate_table_response__descriptor, id.repeat};
    return schema_invoke(client, &call, result, err);
}

bool polarys_client_database_create(struct polarys_client *client, const char *database,
                                    struct polarys_client_result *result,
                                    struct polarys_client_error *err)
{
    Polarys__V1__CreateDatabaseRequest request = POLARYS__V1__CREATE_DATABASE_REQUEST__INIT;
    struct schema_id id;
    schema_id_make(&id);
    request.database = client_text(database);
    request.request_id = client_bytes(id.bytes, id.size);
    struct client_call call = {"/polarys.v1.TableService/CreateDatabase", &request.base,
                               &polarys__v1__create_database_response__descriptor, id.repeat};
    return schema_invoke(client, &call, result, err);
}

bool polarys_client_database_drop(struct polarys_client *client, const char *database,
                                  struct polarys_client_result *result,
                                  struct polarys_client_error *err)
{
    Polarys__V1__DropDatabaseRequest request = POLARYS__V1__DROP_DATABASE_REQUEST__INIT;
    struct schema_id id;
    schema_id_make(&id);
    request.database = client_text(database);
    request.request_id = client_bytes(id.bytes, id.size);
    struct client_call call = {"/polarys.v1.TableService/DropDatabase", &request.base,
                               &polarys__v1__drop_database_response__descriptor, id.repeat};
    return schema_invoke(client, &call, result, err);
}

static void name_copy(char to[129], const ProtobufCBinaryData *name)
{
    size_t size = name->len < 128 ? name->len : 128;
    if (size > 0) {
        memcpy(to, name->data, size);
    }
    to[size] = '\0';
}

static void table_fill(struct polarys_client_table *info, const Polarys__V1__Table *table)
{
    name_copy(info->database, &table->database);
    name_copy(info->table, &table->table);
    info->created_version = table->create_version;
    info->created_time_ms = client_time_ms(table->create_time);
}

bool polarys_client_table_get(struct polarys_client *client, const char *database,
                              const char *table, struct polarys_client_table *info,
                              struct polarys_client_error *err)
{
    Polarys__V1__GetTableRequest request = POLARYS__V1__GET_TABLE_REQUEST__INIT;
    request.database = client_text(database);
    request.table = client_text(table);
    struct client_call call = {"/polarys.v1.TableService/GetTable", &request.base,
                               &polarys__v1__get_table_response__descriptor, CLIENT_REPEAT_ALWAYS};
    Polarys__V1__GetTableResponse *response =
        (Polarys__V1__GetTableResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    bool has_info = response->info != NULL;
    if (has_info) {
        table_fill(info, response->info);
    } else {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "GetTable: the answer has no table");
    }
    polarys__v1__get_table_response__free_unpacked(response, NULL);
    return has_info;
}

/* Copies the token of the next page; *token stays NULL at the end. False: no memory. */
static bool token_take(char **token, const ProtobufCBinaryData *from,
                       struct polarys_client_error *err)
{
    if (from->len == 0) {
        return true;
    }
    *token = malloc(from->len + 1);
    if (*token == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a page token");
        return false;
    }
    memcpy(*token, from->data, from->len);
    (*token)[from->len] = '\0';
    return true;
}

/* One page; `token` is replaced by the next page's (malloc'd, NULL at the end). */
static bool table_page(struct polarys_client *client, const char *database, char **token,
                       bool (*each)(void *context, const struct polarys_client_table *info),
                       void *context, struct polarys_client_error *err)
{
    Polarys__V1__ListTablesRequest request = POLARYS__V1__LIST_TABLES_REQUEST__INIT;
    struct polarys_client_table info;
    bool goes_on = true;

    request.database = client_text(database);
    request.page_token = client_text(*token);
    struct client_call call = {"/polarys.v1.TableService/ListTables", &request.base,
                               &polarys__v1__list_tables_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    Polarys__V1__ListTablesResponse *response =
        (Polarys__V1__ListTablesResponse *)client_invoke(client, &call, err);
    free(*token);
    *token = NULL;
    if (response == NULL) {
        return false;
    }
    for (size_t i = 0; i < response->n_tables && goes_on; i++) {
        table_fill(&info, response->tables[i]);
        goes_on = each(context, &info);
    }
    bool is_ok = !goes_on || token_take(token, &response->next_page_token, err);
    polarys__v1__list_tables_response__free_unpacked(response, NULL);
    return is_ok;
}

bool polarys_client_table_list(struct polarys_client *client, const char *database,
                               bool (*each)(void *context, const struct polarys_client_table *info),
                               void *context, struct polarys_client_error *err)
{
    char *token = NULL;
    do {
        if (!table_page(client, database, &token, each, context, err)) {
            return false;
        }
    } while (token != NULL);
    return true;
}

static bool database_page(struct polarys_client *client, char **token,
                          bool (*each)(void *context, const char *database,
                                       uint64_t created_version),
                          void *context, struct polarys_client_error *err)
{
    Polarys__V1__ListDatabasesRequest request = POLARYS__V1__LIST_DATABASES_REQUEST__INIT;
    char name[129];
    bool goes_on = true;

    request.page_token = client_text(*token);
    struct client_call call = {"/polarys.v1.TableService/ListDatabases", &request.base,
                               &polarys__v1__list_databases_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    Polarys__V1__ListDatabasesResponse *response =
        (Polarys__V1__ListDatabasesResponse *)client_invoke(client, &call, err);
    free(*token);
    *token = NULL;
    if (response == NULL) {
        return false;
    }
    for (size_t i = 0; i < response->n_databases && goes_on; i++) {
        name_copy(name, &response->databases[i]->database);
        goes_on = each(context, name, response->databases[i]->create_version);
    }
    bool is_ok = !goes_on || token_take(token, &response->next_page_token, err);
    polarys__v1__list_databases_response__free_unpacked(response, NULL);
    return is_ok;
}

bool polarys_client_database_list(struct polarys_client *client,
                                  bool (*each)(void *context, const char *database,
                                               uint64_t created_version),
                                  void *context, struct polarys_client_error *err)
{
    char *token = NULL;
    do {
        if (!database_page(client, &token, each, context, err)) {
            return false;
        }
    } while (token != NULL);
    return true;
}

bool polarys_client_count(struct polarys_client *client, const char *database, const char *table,
                          const struct polarys_client_read *read, uint64_t *count,
                          struct polarys_client_error *err)
{
    Polarys__V1__CountRequest request = POLARYS__V1__COUNT_REQUEST__INIT;
    struct client_consistency consistency;

    request.database = client_text(database);
    request.table = client_text(table);
    request.consistency = client_consistency_fill(&consistency, read);
    struct client_call call = {"/polarys.v1.QueryService/Count", &request.base,
                               &polarys__v1__count_response__descriptor, CLIENT_REPEAT_ALWAYS};
    Polarys__V1__CountResponse *response =
        (Polarys__V1__CountResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    *count = response->count;
    polarys__v1__count_response__free_unpacked(response, NULL);
    return true;
}
