/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writes of KvService. Each fills the call's batch and submits it; the answer starts where the
 * log finds the commit durable. A batch that can't be filled is refused whole.
 */
#include "polarys/v1/kv.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/txn_write.h"
#include "service/server/dispatch.h"
#include "service/server/server.h"

static void write_end(struct call *call, enum polarys_code code)
{
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_submit(call, call_submit_done);
}

static void put_within_transaction(struct call *call)
{
    const Polarys__V1__PutRequest *request = call->request;
    Polarys__V1__PutOperation put = POLARYS__V1__PUT_OPERATION__INIT;
    put.key = request->key;
    put.value = request->value;
    put.expire_time = request->expire_time;
    Polarys__V1__WriteOperation operation = POLARYS__V1__WRITE_OPERATION__INIT;
    operation.precondition = request->precondition;
    operation.operation_case = POLARYS__V1__WRITE_OPERATION__OPERATION_PUT;
    operation.put = &put;
    txn_write_one(call, &operation, false);
}

void kv_put(struct call *call)
{
    if (call->txn != NULL) {
        put_within_transaction(call);
        return;
    }
    const Polarys__V1__PutRequest *request = call->request;
    struct polarys_error *err = &call->error;
    struct polarys_value value;
    enum polarys_code code =
        operation_value_take(request->value, request->expire_time, &value, err);
    if (code == POLARYS_OK) {
        code = call_batch_begin(call, err);
    }
    if (code == POLARYS_OK && request->precondition != NULL) {
        code = operation_require(call->batch, call->table, call->key, request->precondition, err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_put(call->batch, call->table, call->key, &value, err);
    }
    write_end(call, code);
}

/* The expiry that an update asks for, as polarys_batch_update takes it. */
static enum polarys_code update_expiry_take(const Polarys__V1__UpdateRequest *request,
                                            uint64_t *expires_at_ms, struct polarys_error *err)
{
    *expires_at_ms = UINT64_MAX;
    switch (request->expiry_case) {
    case POLARYS__V1__UPDATE_REQUEST__EXPIRY_EXPIRE_TIME:
        return response_time_take(request->expire_time, "expire_time", expires_at_ms, err);
    case POLARYS__V1__UPDATE_REQUEST__EXPIRY_CLEAR_EXPIRE_TIME:
        if (!request->clear_expire_time) {
            return operation_bad(err, "clear_expire_time", "is only ever set to true");
        }
        *expires_at_ms = 0;
        return POLARYS_OK;
    default:
        return POLARYS_OK;
    }
}

/* The two messages have the same expiry under other names. */
static void update_within_transaction(struct call *call)
{
    const Polarys__V1__UpdateRequest *request = call->request;
    Polarys__V1__UpdateOperation update = POLARYS__V1__UPDATE_OPERATION__INIT;
    update.key = request->key;
    update.json_patch = request->json_patch;
    if (request->expiry_case == POLARYS__V1__UPDATE_REQUEST__EXPIRY_EXPIRE_TIME) {
        update.expiry_case = POLARYS__V1__UPDATE_OPERATION__EXPIRY_EXPIRE_TIME;
        update.expire_time = request->expire_time;
    } else if (request->expiry_case == POLARYS__V1__UPDATE_REQUEST__EXPIRY_CLEAR_EXPIRE_TIME) {
        update.expiry_case = POLARYS__V1__UPDATE_OPERATION__EXPIRY_CLEAR_EXPIRE_TIME;
        update.clear_expire_time = request->clear_expire_time;
    }
    Polarys__V1__WriteOperation operation = POLARYS__V1__WRITE_OPERATION__INIT;
    operation.precondition = request->precondition;
    operation.operation_case = POLARYS__V1__WRITE_OPERATION__OPERATION_UPDATE;
    operation.update = &update;
    call->field_hint = "json_patch";
    txn_write_one(call, &operation, true);
}

void kv_update(struct call *call)
{
    if (call->txn != NULL) {
        update_within_transaction(call);
        return;
    }
    static const struct polarys_precondition is_there = {.kind = POLARYS_PRECONDITION_MUST_EXIST};
    const Polarys__V1__UpdateRequest *request = call->request;
    struct polarys_error *err = &call->error;
    uint64_t expires_at_ms;
    call->field_hint = "json_patch";
    enum polarys_code code = update_expiry_take(request, &expires_at_ms, err);
    if (code == POLARYS_OK) {
        code = call_batch_begin(call, err);
    }
    if (code == POLARYS_OK && request->precondition != NULL) {
        code = operation_require(call->batch, call->table, call->key, request->precondition, err);
    }
    if (code == POLARYS_OK) {
        /* The engine takes a missing document for {}; this call does not. */
        code = polarys_batch_require(call->batch, call->table, call->key, &is_there, err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_update(call->batch, call->table, call->key,
                                    slice_make(request->json_patch.data, request->json_patch.len),
                                    expires_at_ms, err);
    }
    if (code == POLARYS_BAD_JSON) {
        polarys_error_detail_set(err, "field", "json_patch");
    }
    write_end(call, code);
}

static void delete_within_transaction(struct call *call)
{
    const Polarys__V1__DeleteRequest *request = call->request;
    Polarys__V1__DeleteOperation delete_one = POLARYS__V1__DELETE_OPERATION__INIT;
    delete_one.key = request->key;
    Polarys__V1__WriteOperation operation = POLARYS__V1__WRITE_OPERATION__INIT;
    operation.precondition = request->precondition;
    operation.operation_case = POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE;
    operation.delete_ = &delete_one;
    txn_write_one(call, &operation, false);
}

void kv_delete(struct call *call)
{
    if (call->txn != NULL) {
        delete_within_transaction(call);
        return;
    }
    const Polarys__V1__DeleteRequest *request = call->request;
    struct polarys_error *err = &call->error;
    enum polarys_code code = call_batch_begin(call, err);
    if (code == POLARYS_OK && request->precondition != NULL) {
        code = operation_require(call->batch, call->table, call->key, request->precondition, err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_delete(call->batch, call->table, call->key, false, err);
    }
    write_end(call, code);
}

/* The table of one operation, authorized when it is another than the call's. */
static enum polarys_code operation_table_take(struct call *call,
                                              const Polarys__V1__WriteOperation *operation,
                                              char *table, struct polarys_error *err)
{
    if (operation->table.len == 0) {
        if (call->table[0] == '\0') {
            return operation_bad(err, "table", "neither the batch nor the operation names a table");
        }
        memcpy(table, call->table, sizeof(call->table));
        return POLARYS_OK;
    }
    enum polarys_code code = dispatch_name_take(operation->table, "table", table, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct authorize_resource resource = {call->database, table};
    return authorize(call, AUTHORIZE_WRITE, &resource, err);
}

static enum polarys_code operations_apply(struct call *call, struct polarys_error *err)
{
    const Polarys__V1__BatchWriteRequest *request = call->request;
    char table[POLARYS_NAME_BYTES_MAX + 1];
    for (size_t i = 0; i < request->n_operations; i++) {
        enum polarys_code code = operation_table_take(call, request->operations[i], table, err);
        if (code == POLARYS_OK) {
            code = operation_apply(call, table, request->operations[i], err);
        }
        if (code != POLARYS_OK) {
            polarys_error_detail_set(err, "operation", "%zu", i);
            return polarys_wrap(err, code, "operation %zu", i);
        }
    }
    return POLARYS_OK;
}

/* Whether the operation has a condition that fails with `code`. */
static bool condition_fails_with(const Polarys__V1__WriteOperation *operation,
                                 enum polarys_code code)
{
    if (operation->precondition == NULL) {
        return false;
    }
    switch (operation->precondition->condition_case) {
    case POLARYS__V1__PRECONDITION__CONDITION_MUST_EXIST:
        return code == POLARYS_KEY_NOT_FOUND;
    case POLARYS__V1__PRECONDITION__CONDITION_MUST_NOT_EXIST:
        return code == POLARYS_KEY_EXISTS;
    case POLARYS__V1__PRECONDITION__CONDITION_VERSION_EQUALS:
        return code == POLARYS_VERSION_MISMATCH;
    case POLARYS__V1__PRECONDITION__CONDITION_FIELD_EQUALS:
        return code == POLARYS_FIELD_MISMATCH || code == POLARYS_KEY_NOT_FOUND;
    default:
        return false;
    }
}

/*
 * The commit does not tell which operation's condition failed. Where only one can have, the answer
 * says so.
 */
static void batch_write_done(void *context, enum polarys_code code,
                             const struct polarys_write_result *result,
                             const struct polarys_error *err)
{
    struct call *call = context;
    const Polarys__V1__BatchWriteRequest *request = call->request;
    size_t candidates = 0;
    size_t place = 0;
    for (size_t i = 0; code != POLARYS_OK && i < request->n_operations; i++) {
        if (condition_fails_with(request->operations[i], code)) {
            candidates++;
            place = i;
        }
    }
    if (candidates != 1) {
        call_submit_done(call, code, result, err);
        return;
    }
    call->error = *err;
    polarys_error_detail_set(&call->error, "operation", "%zu", place);
    call_fail(call, &call->error);
}

void kv_batch_write(struct call *call)
{
    const Polarys__V1__BatchWriteRequest *request = call->request;
    struct polarys_error *err = &call->error;
    enum polarys_code code = POLARYS_OK;
    if (request->n_operations == 0) {
        code = operation_bad(err, "operations", "is empty");
    } else if (request->n_operations > POLARYS_BATCH_OPERATIONS_MAX) {
        code = polarys_fail(err, POLARYS_TOO_LARGE, "%zu operations: a batch has %d at most",
                            request->n_operations, POLARYS_BATCH_OPERATIONS_MAX);
        polarys_error_detail_set(err, "limit", "batch_operations_max");
    }
    if (code == POLARYS_OK && call->txn != NULL) {
        txn_write_batch(call);
        return;
    }
    if (code == POLARYS_OK) {
        code = call_batch_begin(call, err);
    }
    if (code == POLARYS_OK) {
        code = operations_apply(call, err);
    }
    if (code == POLARYS_OK && polarys_batch_operation_count(call->batch) == 0) {
        /* Ranges that no key can be in: nothing to commit, and nothing wrong. */
        call_reply(call, response_commit(call->server, polarys_db_version(call->server->db)));
        return;
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_submit(call, batch_write_done);
}

static void delete_range_within_transaction(struct call *call)
{
    const Polarys__V1__DeleteRangeRequest *request = call->request;
    Polarys__V1__DeleteRangeOperation range = POLARYS__V1__DELETE_RANGE_OPERATION__INIT;
    range.range = request->range;
    Polarys__V1__WriteOperation operation = POLARYS__V1__WRITE_OPERATION__INIT;
    operation.operation_case = POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE_RANGE;
    operation.delete_range = &range;
    txn_write_one(call, &operation, false);
}

void kv_delete_range(struct call *call)
{
    const Polarys__V1__DeleteRangeRequest *request = call->request;
    struct polarys_error *err = &call->error;
    struct operation_range range;
    enum polarys_code code;
    if (request->range == NULL) {
        code = operation_bad(err, "range", "is not set; an empty one means the whole table");
        call_fail_own(call, code);
        return;
    }
    if (call->txn != NULL) {
        delete_range_within_transaction(call);
        return;
    }
    code = operation_range_take(request->range, &range, err);
    if (code == POLARYS_OK) {
        code = call_batch_begin(call, err);
    }
    if (code == POLARYS_OK && range.is_empty) {
        struct polarys_table_info info;
        code = polarys_table_get(call->server->db, call->database, call->table, &info, err);
        if (code == POLARYS_OK) {
            call_reply(call, response_commit(call->server, polarys_db_version(call->server->db)));
            return;
        }
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_delete_range(call->batch, call->table, range.start, range.end, err);
    }
    write_end(call, code);
}
