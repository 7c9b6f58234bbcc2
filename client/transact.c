/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare, then or else: comparisons and operations are encoded as they come, so running only sends them.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/polarys_txn.h"
#include "polarys/v1/transaction.pb-c.h"

/* Messages of one type, each a deep copy. */
struct message_list {
    ProtobufCMessage **messages;
    size_t count;
    size_t capacity;
};

struct polarys_client_transact {
    struct polarys_client *client;
    char *database;
    struct message_list compares;
    struct message_list branches[2]; /* by polarys_client_branch */
};

/* Keeps a copy, made by encoding and decoding. False: no memory. */
static bool list_append(struct message_list *list, const ProtobufCMessage *message)
{
    struct transport_message packed;

    POLARYS_ASSERT(list->count <= list->capacity);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        ProtobufCMessage **grown = realloc(list->messages, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        list->messages = grown;
        list->capacity = capacity;
    }
    if (!client_pack(message, &packed)) {
        return false;
    }
    ProtobufCMessage *copy =
        protobuf_c_message_unpack(message->descriptor, NULL, packed.size, packed.bytes);
    free(packed.bytes);
    if (copy != NULL) {
        list->messages[list->count++] = copy;
    }
    return copy != NULL;
}

static void list_deinit(struct message_list *list)
{
    POLARYS_ASSERT(list->count <= list->capacity);
    for (size_t i = 0; i < list->count; i++) {
        protobuf_c_message_free_unpacked(list->messages[i], NULL);
    }
    free(list->messages);
}

struct polarys_client_transact *polarys_client_transact_create(struct polarys_client *client,
                                                               const char *database)
{
    POLARYS_ASSERT(client != NULL);
    struct polarys_client_transact *transact = calloc(1, sizeof(*transact));
    if (transact == NULL) {
        return NULL;
    }
    transact->client = client;
    transact->database = client_copy_text(database);
    if (transact->database == NULL) {
        free(transact);
        return NULL;
    }
    return transact;
}

void polarys_client_transact_destroy(struct polarys_client_transact *transact)
{
    if (transact != NULL) {
        list_deinit(&transact->compares);
        list_deinit(&transact->branches[POLARYS_CLIENT_THEN]);
        list_deinit(&transact->branches[POLARYS_CLIENT_ELSE]);
        free(transact->database);
        free(transact);
    }
}

bool polarys_client_transact_compare(struct polarys_client_transact *transact,
                                     const struct polarys_client_write *write)
{
    Polarys__V1__Compare compare = POLARYS__V1__COMPARE__INIT;
    struct client_precondition precondition;

    POLARYS_ASSERT(transact != NULL);
    POLARYS_ASSERT(write->precondition != POLARYS_CLIENT_NO_PRECONDITION);
    compare.table = client_text(write->table);
    compare.key = client_bytes(write->key, write->key_size);
    compare.precondition = client_precondition_fill(&precondition, write);
    return list_append(&transact->compares, &compare.base);
}

bool polarys_client_transact_add(struct polarys_client_transact *transact,
                                 enum polarys_client_branch branch,
                                 enum polarys_client_operation operation,
                                 const struct polarys_client_write *write)
{
    Polarys__V1__TransactOperation message = POLARYS__V1__TRANSACT_OPERATION__INIT;
    Polarys__V1__GetOperation get = POLARYS__V1__GET_OPERATION__INIT;
    Polarys__V1__PutOperation put = POLARYS__V1__PUT_OPERATION__INIT;
    Polarys__V1__UpdateOperation update = POLARYS__V1__UPDATE_OPERATION__INIT;
    Polarys__V1__DeleteOperation removal = POLARYS__V1__DELETE_OPERATION__INIT;
    Polarys__V1__Value value;
    Google__Protobuf__Timestamp expiry;

    POLARYS_ASSERT(transact != NULL);
    POLARYS_ASSERT(branch == POLARYS_CLIENT_THEN || branch == POLARYS_CLIENT_ELSE);
    message.table = client_text(write->table);
    get.key = put.key = update.key = removal.key = client_bytes(write->key, write->key_size);
    switch (operation) {
    case POLARYS_CLIENT_OPERATION_GET:
        message.operation_case = POLARYS__V1__TRANSACT_OPERATION__OPERATION_GET;
        message.get = &get;
        break;
    case POLARYS_CLIENT_OPERATION_PUT:
        client_value_fill(&value, write->kind, write->value, write->value_size);
        put.value = &value;
        put.expire_time = client_time_fill(&expiry, write->expires_at_ms);
        message.operation_case = POLARYS__V1__TRANSACT_OPERATION__OPERATION_PUT;
        message.put = &put;
        break;
    case POLARYS_CLIENT_OPERATION_UPDATE:
        update.json_patch = client_bytes(write->value, write->value_size);
        if (write->expires_at_ms != 0) {
            update.expiry_case = POLARYS__V1__UPDATE_OPERATION__EXPIRY_EXPIRE_TIME;
            update.expire_time = client_time_fill(&expiry, write->expires_at_ms);
        }
        message.operation_case = POLARYS__V1__TRANSACT_OPERATION__OPERATION_UPDATE;
        message.update = &update;
        break;
    case POLARYS_CLIENT_OPERATION_DELETE:
        message.operation_case = POLARYS__V1__TRANSACT_OPERATION__OPERATION_DELETE;
        message.delete_ = &removal;
        break;
    }
    return list_append(&transact->branches[branch], &message.base);
}

bool polarys_client_transact_delete_range(struct polarys_client_transact *transact,
                                          enum polarys_client_branch branch, const char *table,
                                          const struct polarys_client_range *range)
{
    Polarys__V1__TransactOperation message = POLARYS__V1__TRANSACT_OPERATION__INIT;
    Polarys__V1__DeleteRangeOperation removal = POLARYS__V1__DELETE_RANGE_OPERATION__INIT;
    Polarys__V1__KeyRange keys = POLARYS__V1__KEY_RANGE__INIT;

    POLARYS_ASSERT(transact != NULL);
    POLARYS_ASSERT(branch == POLARYS_CLIENT_THEN || branch == POLARYS_CLIENT_ELSE);
    client_range_fill(&keys, range);
    removal.range = &keys;
    message.table = client_text(table);
    message.operation_case = POLARYS__V1__TRANSACT_OPERATION__OPERATION_DELETE_RANGE;
    message.delete_range = &removal;
    return list_append(&transact->branches[branch], &message.base);
}

void polarys_client_transact_outcome_free(struct polarys_client_transact_outcome *outcome)
{
    POLARYS_ASSERT(outcome != NULL);
    for (size_t i = 0; i < outcome->item_count; i++) {
        polarys_client_document_free(&outcome->items[i].document);
    }
    free(outcome->items);
    memset(outcome, 0, sizeof(*outcome));
}

/* False: no memory; what is there is freed with the outcome. */
static bool outcome_fill(struct polarys_client_transact_outcome *outcome,
                         const Polarys__V1__TransactResponse *response)
{
    POLARYS_ASSERT(outcome->items == NULL && outcome->item_count == 0);
    outcome->has_succeeded = response->succeeded != 0;
    outcome->is_replayed = response->replayed != 0;
    client_result_fill(&outcome->result, response->header, response->version);
    outcome->items = calloc(response->n_results + 1, sizeof(*outcome->items));
    if (outcome->items == NULL) {
        return false;
    }
    for (; outcome->item_count < response->n_results; outcome->item_count++) {
        const Polarys__V1__TransactResult *result = response->results[outcome->item_count];
        const Polarys__V1__Document *document = result->document;
        struct polarys_client_transact_item *item = &outcome->items[outcome->item_count];
        item->is_found = result->found != 0;
        item->has_document = document != NULL;
        item->is_left_out = result->left_out != 0;
        if (document != NULL &&
            !client_document_copy(&item->document, &document->key, document->value,
                                  document->version, document->expire_time,
                                  document->commit_time)) {
            return false;
        }
    }
    return true;
}

bool polarys_client_transact_run(struct polarys_client_transact *transact,
                                 enum polarys_client_durability durability,
                                 struct polarys_client_transact_outcome *outcome,
                                 struct polarys_client_error *err)
{
    Polarys__V1__TransactRequest request = POLARYS__V1__TRANSACT_REQUEST__INIT;
    struct message_list *branches = transact->branches;
    struct client_request_id id;

    POLARYS_ASSERT(outcome != NULL);
    memset(outcome, 0, sizeof(*outcome));
    client_request_id_make(&id);
    request.database = client_text(transact->database);
    request.n_compares = transact->compares.count;
    request.compares = (Polarys__V1__Compare **)transact->compares.messages;
    request.n_then_operations = branches[POLARYS_CLIENT_THEN].count;
    request.then_operations =
        (Polarys__V1__TransactOperation **)branches[POLARYS_CLIENT_THEN].messages;
    request.n_else_operations = branches[POLARYS_CLIENT_ELSE].count;
    request.else_operations =
        (Polarys__V1__TransactOperation **)branches[POLARYS_CLIENT_ELSE].messages;
    request.durability = client_durability(NULL, durability);
    request.request_id = client_bytes(id.bytes, id.is_set ? sizeof(id.bytes) : 0);
    struct client_call call = {"/polarys.v1.TransactionService/Transact", &request.base,
                               &polarys__v1__transact_response__descriptor,
                               id.is_set ? CLIENT_REPEAT_ALWAYS : CLIENT_REPEAT_REFUSED};
    Polarys__V1__TransactResponse *response =
        (Polarys__V1__TransactResponse *)client_invoke(transact->client, &call, err);
    if (response == NULL) {
        return false;
    }
    bool is_ok = outcome_fill(outcome, response);
    polarys__v1__transact_response__free_unpacked(response, NULL);
    if (!is_ok) {
        polarys_client_transact_outcome_free(outcome);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for an answer");
    }
    return is_ok;
}
