/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the messages of writes into calls of the engine's batch. It checks what the engine can't
 * see: fields that are not set, flags that are false, bounds that together leave nothing.
 */
#include "service/rpc/operation.h"

#include "service/rpc/response.h"
#include "service/server/server.h"

enum { FIELD_PATH_BYTES_MAX = 1024, EXPECTED_BYTES_MAX = 64 << 10 };

static struct polarys_slice binary_slice(ProtobufCBinaryData binary)
{
    return slice_make(binary.data, binary.len);
}

enum polarys_code operation_bad(struct polarys_error *err, const char *field, const char *why)
{
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "`%s`: %s", field, why);
    polarys_error_detail_set(err, "field", "%s", field);
    return POLARYS_BAD_ARGUMENT;
}

enum polarys_code operation_value_take(const Polarys__V1__Value *from,
                                       const Google__Protobuf__Timestamp *expire_time,
                                       struct polarys_value *value, struct polarys_error *err)
{
    *value = (struct polarys_value){0};
    if (from == NULL || from->kind_case == POLARYS__V1__VALUE__KIND__NOT_SET) {
        return operation_bad(err, "value", "is not set: give `json` or `raw`");
    }
    if (from->kind_case == POLARYS__V1__VALUE__KIND_JSON) {
        value->kind = POLARYS_VALUE_JSON;
        value->bytes = binary_slice(from->json);
    } else {
        value->kind = POLARYS_VALUE_RAW;
        value->bytes = binary_slice(from->raw);
    }
    return response_time_take(expire_time, "expire_time", &value->expires_at_ms, err);
}

static enum polarys_code field_equals_take(const Polarys__V1__FieldEquals *from,
                                           struct polarys_precondition *condition,
                                           struct polarys_error *err)
{
    if (from == NULL || from->path.len == 0 || from->path.len > FIELD_PATH_BYTES_MAX) {
        return operation_bad(err, "precondition.field_equals.path", "must have 1 to 1024 bytes");
    }
    if (from->json_value.len == 0 || from->json_value.len > EXPECTED_BYTES_MAX) {
        return operation_bad(err, "precondition.field_equals.json_value",
                             "must have 1 to 65536 bytes");
    }
    condition->kind = POLARYS_PRECONDITION_FIELD_EQUALS;
    condition->field = binary_slice(from->path);
    condition->expected = binary_slice(from->json_value);
    return POLARYS_OK;
}

enum polarys_code operation_require(struct polarys_batch *batch, const char *table,
                                    struct polarys_slice key, const Polarys__V1__Precondition *from,
                                    struct polarys_error *err)
{
    struct polarys_precondition condition = {.kind = POLARYS_PRECONDITION_MUST_EXIST};
    enum polarys_code code = POLARYS_OK;
    if (from == NULL) {
        return POLARYS_OK;
    }
    switch (from->condition_case) {
    case POLARYS__V1__PRECONDITION__CONDITION__NOT_SET:
        return POLARYS_OK;
    case POLARYS__V1__PRECONDITION__CONDITION_MUST_EXIST:
        if (!from->must_exist) {
            return operation_bad(err, "precondition.must_exist", "is only ever set to true");
        }
        break;
    case POLARYS__V1__PRECONDITION__CONDITION_MUST_NOT_EXIST:
        if (!from->must_not_exist) {
            return operation_bad(err, "precondition.must_not_exist", "is only ever set to true");
        }
        condition.kind = POLARYS_PRECONDITION_MUST_NOT_EXIST;
        break;
    case POLARYS__V1__PRECONDITION__CONDITION_VERSION_EQUALS:
        condition.kind = POLARYS_PRECONDITION_VERSION_EQUALS;
        condition.version = from->version_equals;
        break;
    case POLARYS__V1__PRECONDITION__CONDITION_FIELD_EQUALS:
        code = field_equals_take(from->field_equals, &condition, err);
        break;
    default:
        return operation_bad(err, "precondition", "this server does not know this condition");
    }
    return code == POLARYS_OK ? polarys_batch_require(batch, table, key, &condition, err) : code;
}

struct polarys_slice operation_key_after(struct polarys_slice prefix, uint8_t *bytes)
{
    size_t size = prefix.size;
    memcpy(bytes, prefix.data, size);
    while (size > 0 && bytes[size - 1] == 0xff) {
        size--;
    }
    if (size > 0) {
        bytes[size - 1]++;
    }
    return slice_make(bytes, size);
}

enum polarys_code operation_range_take(const Polarys__V1__KeyRange *from,
                                       struct operation_range *range, struct polarys_error *err)
{
    range->start = slice_make(NULL, 0);
    range->end = slice_make(NULL, 0);
    range->is_empty = false;
    if (from == NULL) {
        return POLARYS_OK;
    }
    if (from->start_key.len > POLARYS_KEY_BYTES_MAX ||
        from->end_key.len > POLARYS_KEY_BYTES_MAX + 1 || from->prefix.len > POLARYS_KEY_BYTES_MAX) {
        polarys_fail(err, POLARYS_BAD_KEY,
                     "`range`: a bound is longer than a key of %d bytes can be",
                     POLARYS_KEY_BYTES_MAX);
        polarys_error_detail_set(err, "field", "range");
        return POLARYS_BAD_KEY;
    }
    range->start = binary_slice(from->start_key);
    range->end = binary_slice(from->end_key);
    if (range->end.size > POLARYS_KEY_BYTES_MAX) {
        /* Up to and with the longest key that it begins with: before the one after that. */
        range->end = operation_key_after(slice_make(range->end.data, POLARYS_KEY_BYTES_MAX),
                                         range->end_bytes);
    }
    if (from->prefix.len > 0) {
        struct polarys_slice prefix = binary_slice(from->prefix);
        struct polarys_slice after = operation_key_after(prefix, range->prefix_end);
        if (slice_compare(prefix, range->start) > 0) {
            range->start = prefix;
        }
        if (after.size > 0 && (range->end.size == 0 || slice_compare(after, range->end) < 0)) {
            range->end = after;
        }
    }
    range->is_empty = range->end.size > 0 && slice_compare(range->start, range->end) >= 0;
    return POLARYS_OK;
}

static enum polarys_code update_apply(struct polarys_batch *batch, const char *table,
                                      const Polarys__V1__UpdateOperation *update,
                                      struct polarys_error *err)
{
    struct polarys_slice key = binary_slice(update->key);
    uint64_t expires_at_ms = UINT64_MAX;
    if (update->expiry_case == POLARYS__V1__UPDATE_OPERATION__EXPIRY_EXPIRE_TIME) {
        enum polarys_code code =
            response_time_take(update->expire_time, "expire_time", &expires_at_ms, err);
        if (code != POLARYS_OK) {
            return code;
        }
    } else if (update->expiry_case == POLARYS__V1__UPDATE_OPERATION__EXPIRY_CLEAR_EXPIRE_TIME) {
        if (!update->clear_expire_time) {
            return operation_bad(err, "clear_expire_time", "is only ever set to true");
        }
        expires_at_ms = 0;
    }
    return polarys_batch_update(batch, table, key, binary_slice(update->json_patch), expires_at_ms,
                                err);
}

static enum polarys_code delete_range_apply(struct call *call, const char *table,
                                            const Polarys__V1__DeleteRangeOperation *operation,
                                            struct polarys_error *err)
{
    if (operation->range == NULL) {
        return operation_bad(err, "delete_range.range",
                             "is not set; an empty one means the whole table");
    }
    struct operation_range range;
    enum polarys_code code = operation_range_take(operation->range, &range, err);
    if (code == POLARYS_OK && range.is_empty) {
        struct polarys_table_info info;
        return polarys_table_get(call->server->db, call->database, table, &info, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    return polarys_batch_delete_range(call->batch, table, range.start, range.end, err);
}

/* The key that an operation is about; empty for a range. */
static struct polarys_slice operation_key(const Polarys__V1__WriteOperation *operation)
{
    switch (operation->operation_case) {
    case POLARYS__V1__WRITE_OPERATION__OPERATION_PUT:
        return binary_slice(operation->put->key);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_UPDATE:
        return binary_slice(operation->update->key);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE:
        return binary_slice(operation->delete_->key);
    default:
        return slice_make(NULL, 0);
    }
}

static enum polarys_code put_apply(struct polarys_batch *batch, const char *table,
                                   const Polarys__V1__PutOperation *put, struct polarys_error *err)
{
    struct polarys_value value;
    enum polarys_code code = operation_value_take(put->value, put->expire_time, &value, err);
    if (code != POLARYS_OK) {
        return code;
    }
    return polarys_batch_put(batch, table, binary_slice(put->key), &value, err);
}

enum polarys_code operation_apply(struct call *call, const char *table,
                                  const Polarys__V1__WriteOperation *operation,
                                  struct polarys_error *err)
{
    struct polarys_batch *batch = call->batch;
    struct polarys_slice key = operation_key(operation);
    bool has_condition =
        operation->precondition != NULL &&
        operation->precondition->condition_case != POLARYS__V1__PRECONDITION__CONDITION__NOT_SET;
    if (operation->operation_case == POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE_RANGE &&
        has_condition) {
        return operation_bad(err, "precondition", "must be unset on a range");
    }
    enum polarys_code code = POLARYS_OK;
    if (has_condition) {
        code = operation_require(batch, table, key, operation->precondition, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    switch (operation->operation_case) {
    case POLARYS__V1__WRITE_OPERATION__OPERATION_PUT:
        return put_apply(batch, table, operation->put, err);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_UPDATE:
        return update_apply(batch, table, operation->update, err);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE:
        return polarys_batch_delete(batch, table, key, false, err);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE_RANGE:
        return delete_range_apply(call, table, operation->delete_range, err);
    default:
        return operation_bad(err, "operation",
                             "is not set: give put, update, delete or delete_range");
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
