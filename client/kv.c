/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single documents.
 */
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "polarys/v1/kv.pb-c.h"

/* Without an id only a blind write may be repeated: doing it twice leaves the same document. Within a
 * transaction that holds for a merge patch too, for nobody else gets in between. */
static enum client_repeat blind_repeat(const struct polarys_client_write *write)
{
    return write->precondition == POLARYS_CLIENT_NO_PRECONDITION ? CLIENT_REPEAT_ALWAYS
                                                                 : CLIENT_REPEAT_REFUSED;
}

static void write_id_choose(struct client_request_id *id, const struct polarys_client *client,
                            const struct polarys_client_write *write)
{
    POLARYS_ASSERT(write->key != NULL || write->key_size == 0);
    POLARYS_ASSERT(write->value != NULL || write->value_size == 0);
    id->is_set = false;
    if (write->txn == NULL) {
        client_request_id_choose(id, client, write->has_request_id ? write->request_id : NULL);
    }
}

bool polarys_client_put(struct polarys_client *client, const struct polarys_client_write *write,
                        struct polarys_client_result *result, struct polarys_client_error *err)
{
    Polarys__V1__PutRequest request = POLARYS__V1__PUT_REQUEST__INIT;
    Polarys__V1__Value value;
    Google__Protobuf__Timestamp expiry;
    struct client_precondition precondition;
    struct client_request_id id;

    write_id_choose(&id, client, write);
    client_value_fill(&value, write->kind, write->value, write->value_size);
    request.database = client_database_field(write->txn, write->database);
    request.transaction = client_txn_field(write->txn);
    request.table = client_text(write->table);
    request.key = client_bytes(write->key, write->key_size);
    request.value = &value;
    request.expire_time = client_time_fill(&expiry, write->expires_at_ms);
    request.durability = client_durability(write->txn, write->durability);
    request.precondition = client_precondition_fill(&precondition, write);

    struct client_change change = {{"/polarys.v1.KvService/Put", &request.base,
                                    &polarys__v1__put_response__descriptor, blind_repeat(write)},
                                   &id,
                                   &request.request_id};
    return client_change_invoke(client, &change, result, err);
}

bool polarys_client_update(struct polarys_client *client, const struct polarys_client_write *write,
                           struct polarys_client_result *result, struct polarys_client_error *err)
{
    Polarys__V1__UpdateRequest request = POLARYS__V1__UPDATE_REQUEST__INIT;
    Google__Protobuf__Timestamp expiry;
    struct client_precondition precondition;
    struct client_request_id id;

    write_id_choose(&id, client, write);
    request.database = client_database_field(write->txn, write->database);
    request.transaction = client_txn_field(write->txn);
    request.table = client_text(write->table);
    request.key = client_bytes(write->key, write->key_size);
    request.json_patch = client_bytes(write->value, write->value_size);
    if (write->expires_at_ms != 0) {
        request.expiry_case = POLARYS__V1__UPDATE_REQUEST__EXPIRY_EXPIRE_TIME;
        request.expire_time = client_time_fill(&expiry, write->expires_at_ms);
    }
    request.durability = client_durability(write->txn, write->durability);
    request.precondition = client_precondition_fill(&precondition, write);

    struct client_change change = {
        {"/polarys.v1.KvService/Update", &request.base, &polarys__v1__update_response__descriptor,
         write->txn == NULL ? CLIENT_REPEAT_REFUSED : blind_repeat(write)},
        &id,
        &request.request_id};
    return client_change_invoke(client, &change, result, err);
}

bool polarys_client_delete(struct polarys_client *client, const struct polarys_client_write *write,
                           struct polarys_client_result *result, struct polarys_client_error *err)
{
    Polarys__V1__DeleteRequest request = POLARYS__V1__DELETE_REQUEST__INIT;
    struct client_precondition precondition;
    struct client_request_id id;

    write_id_choose(&id, client, write);
    request.database = client_database_field(write->txn, write->database);
    request.transaction = client_txn_field(write->txn);
    request.table = client_text(write->table);
    request.key = client_bytes(write->key, write->key_size);
    request.durability = client_durability(write->txn, write->durability);
    request.precondition = client_precondition_fill(&precondition, write);

    struct client_change change = {{"/polarys.v1.KvService/Delete", &request.base,
                                    &polarys__v1__delete_response__descriptor, blind_repeat(write)},
                                   &id,
                                   &request.request_id};
    return client_change_invoke(client, &change, result, err);
}

bool polarys_client_delete_range(struct polarys_client *client,
                                 const struct polarys_client_range_write *write,
                                 struct polarys_client_result *result,
                                 struct polarys_client_error *err)
{
    Polarys__V1__DeleteRangeRequest request = POLARYS__V1__DELETE_RANGE_REQUEST__INIT;
    Polarys__V1__KeyRange range = POLARYS__V1__KEY_RANGE__INIT;
    struct client_request_id id;

    id.is_set = false;
    if (write->txn == NULL) {
        client_request_id_choose(&id, client, write->has_request_id ? write->request_id : NULL);
    }
    client_range_fill(&range, &write->range);
    request.database = client_database_field(write->txn, write->database);
    request.transaction = client_txn_field(write->txn);
    request.table = client_text(write->table);
    request.range = &range;
    request.durability = client_durability(write->txn, write->durability);

    struct client_change change = {
        {"/polarys.v1.KvService/DeleteRange", &request.base,
         &polarys__v1__delete_range_response__descriptor,
         write->txn == NULL ? CLIENT_REPEAT_REFUSED : CLIENT_REPEAT_ALWAYS},
        &id,
        &request.request_id};
    return client_change_invoke(client, &change, result, err);
}

bool polarys_client_get(struct polarys_client *client, const struct polarys_client_key *key,
                        const struct polarys_client_read *read,
                        struct polarys_client_document *document, struct polarys_client_error *err)
{
    Polarys__V1__GetRequest request = POLARYS__V1__GET_REQUEST__INIT;
    struct client_consistency consistency;

    POLARYS_ASSERT(key->key != NULL || key->key_size == 0);
    memset(document, 0, sizeof(*document));
    request.database = client_database_field(client_read_txn(read), key->database);
    request.transaction = client_txn_field(client_read_txn(read));
    request.for_update = read != NULL && read->txn != NULL && read->is_for_update;
    request.table = client_text(key->table);
    request.key = client_bytes(key->key, key->key_size);
    request.consistency = client_consistency_fill(&consistency, client, read);

    struct client_call call = {"/polarys.v1.KvService/Get", &request.base,
                               &polarys__v1__get_response__descriptor, CLIENT_REPEAT_ALWAYS,
                               &consistency};
    Polarys__V1__GetResponse *response =
        (Polarys__V1__GetResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    bool is_ok = client_document_copy(document, &response->key, response->value, response->version,
                                      response->expire_time, response->commit_time);
    if (!is_ok) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a document");
    }
    polarys__v1__get_response__free_unpacked(response, NULL);
    return is_ok;
}
