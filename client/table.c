/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases, tables and counts.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "polarys/v1/query.pb-c.h"
#include "polarys/v1/table.pb-c.h"

/* A change of the schema always carries an id, so that a repeated create does not fail over its own first
 * attempt. */
static bool schema_change(struct polarys_client *client, const struct client_call *call,
                          ProtobufCBinaryData *id_field, struct polarys_client_result *result,
                          struct polarys_client_error *err)
{
    struct client_request_id id;
    struct client_change change = {*call, &id, id_field};

    POLARYS_ASSERT(call->repeat == CLIENT_REPEAT_REFUSED);
    client_request_id_make(&id);
    return client_change_invoke(client, &change, result, err);
}

bool polarys_client_table_create(struct polarys_client *client, const char *database,
                                 const char *table, struct polarys_client_result *result,
                                 struct polarys_client_error *err)
{
    Polarys__V1__CreateTableRequest request = POLARYS__V1__CREATE_TABLE_REQUEST__INIT;
    request.database = client_text(database);
    request.table = client_text(table);
    const struct client_call call = {"/polarys.v1.TableService/CreateTable", &request.base,
                                     &polarys__v1__create_table_response__descriptor,
                                     CLIENT_REPEAT_REFUSED};
    return schema_change(client, &call, &request.request_id, result, err);
}

bool polarys_client_table_drop(struct polarys_client *client, const char *database,
                               const char *table, struct polarys_client_result *result,
                               struct polarys_client_error *err)
{
    Polarys__V1__DropTableRequest request = POLARYS__V1__DROP_TABLE_REQUEST__INIT;
    request.database = client_text(database);
    request.table = client_text(table);
    const struct client_call call = {"/polarys.v1.TableService/DropTable", &request.base,
                                     &polarys__v1__drop_table_response__descriptor,
                                     CLIENT_REPEAT_REFUSED};
    return schema_change(client, &call, &request.request_id, result, err);
}

bool polarys_client_table_truncate(struct polarys_client *client, const char *database,
                                   const char *table, struct polarys_client_result *result,
                                   struct polarys_client_error *err)
{
    Polarys__V1__TruncateTableRequest request = POLARYS__V1__TRUNCATE_TABLE_REQUEST__INIT;
    request.database = client_text(database);
    request.table = client_text(table);
    const struct client_call call = {"/polarys.v1.TableService/TruncateTable", &request.base,
                                     &polarys__v1__truncate_table_response__descriptor,
                                     CLIENT_REPEAT_REFUSED};
    return schema_change(client, &call, &request.request_id, result, err);
}

bool polarys_client_database_create(struct polarys_client *client, const char *database,
                                    struct polarys_client_result *result,
                                    struct polarys_client_error *err)
{
    Polarys__V1__CreateDatabaseRequest request = POLARYS__V1__CREATE_DATABASE_REQUEST__INIT;
    request.database = client_text(database);
    const struct client_call call = {"/polarys.v1.TableService/CreateDatabase", &request.base,
                                     &polarys__v1__create_database_response__descriptor,
                                     CLIENT_REPEAT_REFUSED};
    return schema_change(client, &call, &request.request_id, result, err);
}

bool polarys_client_database_drop(struct polarys_client *client, const char *database,
                                  struct polarys_client_result *result,
                                  struct polarys_client_error *err)
{
    Polarys__V1__DropDatabaseRequest request = POLARYS__V1__DROP_DATABASE_REQUEST__INIT;
    request.database = client_text(database);
    const struct client_call call = {"/polarys.v1.TableService/DropDatabase", &request.base,
                                     &polarys__v1__drop_database_response__descriptor,
                                     CLIENT_REPEAT_REFUSED};
    return schema_change(client, &call, &request.request_id, result, err);
}

static void name_copy(char to[129], const ProtobufCBinaryData *name)
{
    size_t size = name->len < 128 ? name->len : 128;
    POLARYS_ASSERT(name->data != NULL || name->len == 0);
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

    POLARYS_ASSERT(info != NULL);
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

/* Copies the token of the next page; *token stays NULL at the end. */
static bool token_take(char **token, const ProtobufCBinaryData *from,
                       struct polarys_client_error *err)
{
    POLARYS_ASSERT(*token == NULL);
    if (from->len == 0) {
        return true;
    }
    if (memchr(from->data, '\0', from->len) != NULL) {
        /* Cut short it would ask for another page, perhaps the first one for ever. */
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "the server gave a page token with a NUL");
        return false;
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

    POLARYS_ASSERT(each != NULL);
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

    POLARYS_ASSERT(each != NULL);
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

    POLARYS_ASSERT(count != NULL);
    request.database = client_database_field(client_read_txn(read), database);
    request.transaction = client_txn_field(client_read_txn(read));
    request.table = client_text(table);
    request.consistency = client_consistency_fill(&consistency, client, read);
    struct client_call call = {"/polarys.v1.QueryService/Count", &request.base,
                               &polarys__v1__count_response__descriptor, CLIENT_REPEAT_ALWAYS,
                               &consistency};
    Polarys__V1__CountResponse *response =
        (Polarys__V1__CountResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    *count = response->count;
    polarys__v1__count_response__free_unpacked(response, NULL);
    return true;
}
