/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TransactionService.Transact: built on the worker, submitted like a Put, answered where it is
 * done. Once it is committed nothing may fail any more: an answer that would be too large leaves
 * documents out rather than the whole.
 */
#include "polarys/v1/transaction.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/server/check.h"
#include "service/server/dispatch.h"
#include "service/server/server.h"

enum {
    TRANSACT_HEADER = 1,
    TRANSACT_VERSION = 2,
    TRANSACT_SUCCEEDED = 3,
    TRANSACT_RESULTS = 4,
    TRANSACT_COMMIT_TIME = 5,
    TRANSACT_REPLAYED = 6,

    RESULT_FOUND = 1,
    RESULT_DOCUMENT = 2,
    RESULT_LEFT_OUT = 3,

    DOCUMENT_BYTES_MAX = 3 << 20, /* of one answer, or one larger */
};

static void transact_release(struct call *call)
{
    polarys_transact_destroy(call->state);
    call->state = NULL;
}

/* ---- the answer ---- */

/* One item as it is answered. */
struct answered {
    bool is_found;
    bool has_document;
    bool is_left_out;
    struct polarys_document document;
};

/* Item `i`; *bytes of documents stand before it. The engine leaves the key to whoever asked. */
static struct answered item_answer(const struct call *call,
                                   const struct polarys_transact_result *result, size_t i,
                                   size_t *bytes)
{
    const Polarys__V1__TransactRequest *request = call->request;
    const struct polarys_transact_item *item = &result->items[i];
    struct answered answered = {.is_found = item->is_found};
    if (!item->is_found || item->document == NULL) {
        return answered;
    }
    SERVICE_ASSERT(i <
                   (result->succeeded ? request->n_then_operations : request->n_else_operations));
    const Polarys__V1__TransactOperation *operation =
        result->succeeded ? request->then_operations[i] : request->else_operations[i];
    SERVICE_ASSERT(operation->operation_case == POLARYS__V1__TRANSACT_OPERATION__OPERATION_GET);
    answered.document = *item->document;
    answered.document.key = slice_make(operation->get->key.data, operation->get->key.len);
    size_t size = response_document_size(RESULT_DOCUMENT, &answered.document, true);
    answered.has_document = *bytes == 0 || *bytes + size <= DOCUMENT_BYTES_MAX;
    answered.is_left_out = !answered.has_document;
    *bytes += answered.has_document ? size : 0;
    return answered;
}

static size_t answered_size(const struct answered *answered)
{
    size_t document = answered->has_document
                          ? response_document_size(RESULT_DOCUMENT, &answered->document, true)
                          : 0;
    return wire_uint_size(RESULT_FOUND, answered->is_found) + document +
           wire_uint_size(RESULT_LEFT_OUT, answered->is_left_out);
}

static size_t items_size(const struct call *call, const struct polarys_transact_result *result)
{
    size_t size = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < result->item_count; i++) {
        struct answered answered = item_answer(call, result, i, &bytes);
        size += wire_block_size(TRANSACT_RESULTS, answered_size(&answered));
    }
    return size;
}

static uint8_t *items_put(uint8_t *at, const struct call *call,
                          const struct polarys_transact_result *result)
{
    size_t bytes = 0;
    for (size_t i = 0; i < result->item_count; i++) {
        struct answered answered = item_answer(call, result, i, &bytes);
        at = wire_block_open(at, TRANSACT_RESULTS, answered_size(&answered));
        at = wire_uint_put(at, RESULT_FOUND, answered.is_found);
        if (answered.has_document) {
            at = response_document_put(at, RESULT_DOCUMENT, &answered.document, true);
        }
        at = wire_uint_put(at, RESULT_LEFT_OUT, answered.is_left_out);
    }
    return at;
}

static grpc_slice transact_response(const struct call *call,
                                    const struct polarys_transact_result *result)
{
    const struct polarys_write_result *write = &result->write;
    struct response_header header;
    response_header_make(call->server, write->version, &header);
    size_t size = wire_block_size(TRANSACT_HEADER, header.size) +
                  wire_uint_size(TRANSACT_VERSION, write->version) +
                  wire_uint_size(TRANSACT_SUCCEEDED, result->succeeded) + items_size(call, result) +
                  response_time_size(TRANSACT_COMMIT_TIME, write->time_unix_ms) +
                  wire_uint_size(TRANSACT_REPLAYED, write->is_replayed);
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_put(at, TRANSACT_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, TRANSACT_VERSION, write->version);
    at = wire_uint_put(at, TRANSACT_SUCCEEDED, result->succeeded);
    at = items_put(at, call, result);
    at = response_time_put(at, TRANSACT_COMMIT_TIME, write->time_unix_ms);
    at = wire_uint_put(at, TRANSACT_REPLAYED, write->is_replayed);
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

static void transact_done(void *context, enum polarys_code code,
                          const struct polarys_transact_result *result,
                          const struct polarys_error *err)
{
    struct call *call = context;
    if (code != POLARYS_OK) {
        /* All else was checked before: only what a patch meets can be wrong of a field now. */
        call->field_hint = code == POLARYS_BAD_ARGUMENT ? "update.json_patch" : NULL;
        call_fail(call, err);
        return;
    }
    call_reply(call, transact_response(call, result));
}

/* ---- the request ---- */

/* A table that was named and is authorized; the last one is remembered, so that many operations on
 * one table cost one check. */
struct table_take {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    bool may_read;
    bool may_write;
};

static enum polarys_code table_take(struct call *call, ProtobufCBinaryData from, bool is_write,
                                    struct table_take *table)
{
    struct polarys_error *err = &call->error;
    char name[POLARYS_NAME_BYTES_MAX + 1];
    if (from.len > 0) {
        enum polarys_code code = dispatch_name_take(from, "table", name, err);
        if (code != POLARYS_OK) {
            return code;
        }
    } else if (call->table[0] == '\0') {
        return operation_bad(err, "table", "neither the call nor the operation names a table");
    } else {
        memcpy(name, call->table, sizeof(name));
    }
    if (strcmp(name, table->name) != 0) {
        *table = (struct table_take){.may_read = false};
        memcpy(table->name, name, sizeof(name));
    }
    bool *is_allowed = is_write ? &table->may_write : &table->may_read;
    if (*is_allowed) {
        return POLARYS_OK;
    }
    struct authorize_resource resource = {call->database, table->name};
    enum polarys_code code =
        authorize(call, is_write ? AUTHORIZE_WRITE : AUTHORIZE_READ, &resource, err);
    *is_allowed = code == POLARYS_OK;
    return code;
}

static enum polarys_code compare_add(struct call *call, const Polarys__V1__Compare *compare,
                                     struct table_take *table)
{
    struct polarys_error *err = &call->error;
    struct polarys_precondition condition;
    bool has_condition;
    enum polarys_code code = table_take(call, compare->table, false, table);
    if (code == POLARYS_OK) {
        code = operation_condition_take(compare->precondition, &condition, &has_condition, err);
    }
    if (code == POLARYS_OK && !has_condition) {
        code = operation_bad(err, "compares.precondition", "is not set");
    }
    if (code != POLARYS_OK) {
        return code;
    }
    call->key = slice_make(compare->key.data, compare->key.len);
    return polarys_transact_compare(call->state, table->name, call->key, &condition, err);
}

static enum polarys_code operation_take(const Polarys__V1__TransactOperation *from,
                                        struct operation_range *range,
                                        struct polarys_transact_operation *to,
                                        struct polarys_error *err)
{
    *to = (struct polarys_transact_operation){.kind = POLARYS_TRANSACT_GET};
    range->is_empty = false;
    switch (from->operation_case) {
    case POLARYS__V1__TRANSACT_OPERATION__OPERATION_GET:
        to->key = slice_make(from->get->key.data, from->get->key.len);
        return POLARYS_OK;
    case POLARYS__V1__TRANSACT_OPERATION__OPERATION_PUT:
        return operation_put_take(from->put, to, err);
    case POLARYS__V1__TRANSACT_OPERATION__OPERATION_UPDATE:
        return operation_update_take(from->update, to, err);
    case POLARYS__V1__TRANSACT_OPERATION__OPERATION_DELETE:
        to->kind = POLARYS_TRANSACT_DELETE;
        to->key = slice_make(from->delete_->key.data, from->delete_->key.len);
        return POLARYS_OK;
    case POLARYS__V1__TRANSACT_OPERATION__OPERATION_DELETE_RANGE:
        return operation_delete_range_take(from->delete_range, range, to, err);
    default:
        return operation_bad(err, "operation",
                             "is not set: give get, put, update, delete or delete_range");
    }
}

static enum polarys_code operation_add(struct call *call, enum polarys_transact_branch branch,
                                       const Polarys__V1__TransactOperation *from,
                                       struct table_take *table)
{
    struct polarys_error *err = &call->error;
    struct operation_range range;
    struct polarys_transact_operation operation;
    enum polarys_code code = operation_take(from, &range, &operation, err);
    if (code == POLARYS_OK) {
        code = table_take(call, from->table, operation.kind != POLARYS_TRANSACT_GET, table);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (range.is_empty) {
        /* No key can be in it: a range of the same shape that the engine takes. */
        operation.key = slice_make("\0", 1);
        operation.end = slice_make("\0", 1);
    }
    operation.table = table->name;
    call->key =
        operation.kind == POLARYS_TRANSACT_DELETE_RANGE ? slice_make(NULL, 0) : operation.key;
    return polarys_transact_add(call->state, branch, &operation, err);
}

static enum polarys_code operations_add(struct call *call, enum polarys_transact_branch branch,
                                        Polarys__V1__TransactOperation *const *operations,
                                        size_t count, struct table_take *table)
{
    const char *name = branch == POLARYS_TRANSACT_THEN ? "then" : "else";
    for (size_t i = 0; i < count; i++) {
        enum polarys_code code = operation_add(call, branch, operations[i], table);
        if (code != POLARYS_OK) {
            polarys_error_detail_set(&call->error, "operation", "%zu", i);
            polarys_error_detail_set(&call->error, "branch", "%s", name);
            return polarys_wrap(&call->error, code, "%s_operations[%zu]", name, i);
        }
    }
    return POLARYS_OK;
}

static enum polarys_code size_check(const Polarys__V1__TransactRequest *request,
                                    struct polarys_error *err)
{
    size_t operations = request->n_then_operations + request->n_else_operations;
    if (operations == 0) {
        return operation_bad(err, "then_operations", "both lists of operations are empty");
    }
    if (operations + request->n_compares > POLARYS_TRANSACT_OPERATIONS_MAX) {
        polarys_fail(err, POLARYS_TOO_LARGE, "%zu comparisons and operations: at most %d",
                     operations + request->n_compares, POLARYS_TRANSACT_OPERATIONS_MAX);
        polarys_error_detail_set(err, "limit", "transact_operations_max");
        return POLARYS_TOO_LARGE;
    }
    return POLARYS_OK;
}

static enum polarys_code transact_build(struct call *call)
{
    const Polarys__V1__TransactRequest *request = call->request;
    struct table_take table = {.may_read = false};
    struct polarys_transact *transact = NULL;
    enum polarys_code code = size_check(request, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_transact_create(call->server->db, call->database, &transact, &call->error);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    call->state = transact;
    call->released = transact_release;
    for (size_t i = 0; i < request->n_compares; i++) {
        code = compare_add(call, request->compares[i], &table);
        if (code != POLARYS_OK) {
            polarys_error_detail_set(&call->error, "compare", "%zu", i);
            return polarys_wrap(&call->error, code, "compares[%zu]", i);
        }
    }
    code = operations_add(call, POLARYS_TRANSACT_THEN, request->then_operations,
                          request->n_then_operations, &table);
    if (code == POLARYS_OK) {
        code = operations_add(call, POLARYS_TRANSACT_ELSE, request->else_operations,
                              request->n_else_operations, &table);
    }
    if (code == POLARYS_OK) {
        call->key = slice_make(NULL, 0);
    }
    return code;
}

void transaction_transact(struct call *call)
{
    enum polarys_code code = transact_build(call);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    if (call_submit_begin(call)) {
        polarys_transact_submit(call->state, &call->write_options, transact_done, call);
    }
}
