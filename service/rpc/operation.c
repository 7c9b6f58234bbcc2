/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the operations of requests into the engine's batch. How they are taken out of their messages
 * is in operation_take.c.
 */
#include "service/rpc/operation.h"

#include "service/server/server.h"

static struct polarys_slice binary_slice(ProtobufCBinaryData binary)
{
    return slice_make(binary.data, binary.len);
}

enum polarys_code operation_require(struct polarys_batch *batch, const char *table,
                                    struct polarys_slice key, const Polarys__V1__Precondition *from,
                                    struct polarys_error *err)
{
    struct polarys_precondition condition;
    bool has_condition;
    enum polarys_code code = operation_condition_take(from, &condition, &has_condition, err);
    if (code != POLARYS_OK || !has_condition) {
        return code;
    }
    return polarys_batch_require(batch, table, key, &condition, err);
}

/* A range that no key can be in: nothing to do, but the table must be there. */
static enum polarys_code empty_range_apply(struct call *call, const char *table,
                                           struct polarys_error *err)
{
    struct polarys_table_info info;
    return polarys_table_get(call->server->db, call->database, table, &info, err);
}

enum polarys_code operation_apply(struct call *call, const char *table,
                                  const Polarys__V1__WriteOperation *from,
                                  struct polarys_error *err)
{
    struct polarys_batch *batch = call->batch;
    struct operation_range range;
    struct polarys_transact_operation operation;
    struct polarys_precondition condition;
    bool has_condition = false;
    enum polarys_code code = operation_write_take(from, &range, &operation, err);
    if (code == POLARYS_OK) {
        code = operation_condition_take(from->precondition, &condition, &has_condition, err);
    }
    if (code == POLARYS_OK && has_condition && operation.kind == POLARYS_TRANSACT_DELETE_RANGE) {
        code = operation_bad(err, "precondition", "must be unset on a range");
    }
    if (code == POLARYS_OK && has_condition) {
        code = polarys_batch_require(batch, table, operation.key, &condition, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    switch (operation.kind) {
    case POLARYS_TRANSACT_PUT:
        return polarys_batch_put(batch, table, operation.key, &operation.value, err);
    case POLARYS_TRANSACT_UPDATE:
        return polarys_batch_update(batch, table, operation.key, operation.value.bytes,
                                    operation.update_expires_at_ms, err);
    case POLARYS_TRANSACT_DELETE:
        return polarys_batch_delete(batch, table, operation.key, false, err);
    default:
        if (range.is_empty) {
            return empty_range_apply(call, table, err);
        }
        return polarys_batch_delete_range(batch, table, range.start, range.end, err);
    }
}

enum polarys_code operation_record_apply(struct polarys_batch *batch, const char *table,
                                         const Polarys__V1__BulkRecord *record,
                                         struct polarys_error *err)
{
    struct polarys_slice key = binary_slice(record->key);
    if (record->delete_) {
        if (record->value != NULL) {
            return operation_bad(err, "value", "must be unset with `delete`");
        }
        return polarys_batch_delete(batch, table, key, false, err);
    }
    struct polarys_value value;
    enum polarys_code code = operation_value_take(record->value, record->expire_time, &value, err);
    if (code != POLARYS_OK) {
        return code;
    }
    return polarys_batch_put(batch, table, key, &value, err);
}
