/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomic batches: operations are encoded as they come, so a commit only sends them.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/polarys_txn.h"
#include "polarys/v1/kv.pb-c.h"

struct polarys_client_batch {
    struct polarys_client *client;
    char *database;
    Polarys__V1__WriteOperation **operations; /* each owned */
    size_t count;
    size_t capacity;
};

struct polarys_client_batch *polarys_client_batch_create(struct polarys_client *client,
                                                         const char *database)
{
    struct polarys_client_batch *batch = calloc(1, sizeof(*batch));

    POLARYS_ASSERT(client != NULL);
    if (batch == NULL) {
        return NULL;
    }
    batch->client = client;
    batch->database = strdup(database != NULL ? database : "");
    if (batch->database == NULL) {
        free(batch);
        return NULL;
    }
    return batch;
}

static void batch_clear(struct polarys_client_batch *batch)
{
    POLARYS_ASSERT(batch->count <= batch->capacity);
    for (size_t i = 0; i < batch->count; i++) {
        polarys__v1__write_operation__free_unpacked(batch->operations[i], NULL);
    }
    batch->count = 0;
}

void polarys_client_batch_destroy(struct polarys_client_batch *batch)
{
    if (batch != NULL) {
        batch_clear(batch);
        free(batch->operations);
        free(batch->database);
        free(batch);
    }
}

/* Keeps a deep copy, made by encoding and decoding. */
static bool batch_append(struct polarys_client_batch *batch,
                         const Polarys__V1__WriteOperation *operation)
{
    struct transport_message packed;

    POLARYS_ASSERT(batch->count <= batch->capacity);
    POLARYS_ASSERT(operation->operation_case != POLARYS__V1__WRITE_OPERATION__OPERATION__NOT_SET);
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity == 0 ? 16 : batch->capacity * 2;
        void *grown = realloc(batch->operations, capacity * sizeof(*batch->operations));
        if (grown == NULL) {
            return false;
        }
        batch->operations = grown;
        batch->capacity = capacity;
    }
    if (!client_pack(&operation->base, &packed)) {
        return false;
    }
    Polarys__V1__WriteOperation *copy =
        polarys__v1__write_operation__unpack(NULL, packed.size, packed.bytes);
    free(packed.bytes);
    if (copy == NULL) {
        return false;
    }
    batch->operations[batch->count++] = copy;
    return true;
}

bool polarys_client_batch_put(struct polarys_client_batch *batch,
                              const struct polarys_client_write *write)
{
    Polarys__V1__WriteOperation operation;
    Polarys__V1__PutOperation put = POLARYS__V1__PUT_OPERATION__INIT;
    Polarys__V1__Value value;
    Google__Protobuf__Timestamp expiry;
    struct client_precondition precondition;

    POLARYS_ASSERT(batch != NULL);
    POLARYS_ASSERT(write->key != NULL || write->key_size == 0);
    polarys__v1__write_operation__init(&operation);
    client_value_fill(&value, write->kind, write->value, write->value_size);
    put.key = client_bytes(write->key, write->key_size);
    put.value = &value;
    put.expire_time = client_time_fill(&expiry, write->expires_at_ms);
    operation.table = client_text(write->table);
    operation.precondition = client_precondition_fill(&precondition, write);
    operation.operation_case = POLARYS__V1__WRITE_OPERATION__OPERATION_PUT;
    operation.put = &put;
    return batch_append(batch, &operation);
}

bool polarys_client_batch_delete(struct polarys_client_batch *batch,
                                 const struct polarys_client_write *write)
{
    Polarys__V1__WriteOperation operation;
    Polarys__V1__DeleteOperation removal = POLARYS__V1__DELETE_OPERATION__INIT;
    struct client_precondition precondition;

    POLARYS_ASSERT(batch != NULL);
    POLARYS_ASSERT(write->key != NULL || write->key_size == 0);
    polarys__v1__write_operation__init(&operation);
    removal.key = client_bytes(write->key, write->key_size);
    operation.table = client_text(write->table);
    operation.precondition = client_precondition_fill(&precondition, write);
    operation.operation_case = POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE;
    operation.delete_ = &removal;
    return batch_append(batch, &operation);
}

/* Sends the operations, under a request id or within a transaction. */
static bool batch_send(struct polarys_client_batch *batch, struct polarys_client_txn *txn,
                       enum polarys_client_durability durability,
                       struct polarys_client_result *result, struct polarys_client_error *err)
{
    Polarys__V1__BatchWriteRequest request = POLARYS__V1__BATCH_WRITE_REQUEST__INIT;
    struct client_request_id id = {.is_set = false};

    POLARYS_ASSERT(batch != NULL);
    if (txn == NULL) {
        client_request_id_make(&id);
    }
    request.database = client_database_field(txn, batch->database);
    request.transaction = client_txn_field(txn);
    request.n_operations = batch->count;
    request.operations = batch->operations;
    request.durability = client_durability(txn, durability);

    /* Within a transaction an update and a deletion of one key cannot be done twice. */
    struct client_change change = {{"/polarys.v1.KvService/BatchWrite", &request.base,
                                    &polarys__v1__batch_write_response__descriptor,
                                    CLIENT_REPEAT_REFUSED},
                                   &id,
                                   &request.request_id};
    if (!client_change_invoke(batch->client, &change, result, err)) {
        return false;
    }
    batch_clear(batch);
    return true;
}

bool polarys_client_batch_commit(struct polarys_client_batch *batch,
                                 enum polarys_client_durability durability,
                                 struct polarys_client_result *result,
                                 struct polarys_client_error *err)
{
    return batch_send(batch, NULL, durability, result, err);
}

bool polarys_client_txn_apply(struct polarys_client_txn *txn, struct polarys_client_batch *batch,
                              struct polarys_client_error *err)
{
    POLARYS_ASSERT(txn != NULL);
    POLARYS_ASSERT(batch->client == txn->client);
    return batch_send(batch, txn, POLARYS_CLIENT_DURABILITY_DEFAULT, NULL, err);
}
