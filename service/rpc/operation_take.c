/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes operations, conditions and ranges out of messages, as the engine wants them. It checks what
 * the engine can't see: fields that are not set, flags that are false, bounds that together leave
 * nothing. What is taken borrows from the request.
 */
#include "service/rpc/operation.h"

#include "service/rpc/response.h"

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

enum polarys_code operation_duration_take(const Google__Protobuf__Duration *from, const char *field,
                                          uint32_t ms_max, uint32_t *ms, struct polarys_error *err)
{
    *ms = 0;
    if (from == NULL) {
        return POLARYS_OK;
    }
    uint64_t found = 0;
    if (from->seconds >= 0 && from->nanos >= 0 && from->nanos <= 999999999 &&
        from->seconds <= (int64_t)(ms_max / 1000)) {
        found = (uint64_t)from->seconds * 1000 + (uint64_t)from->nanos / 1000000;
    }
    if (found == 0 || found > ms_max) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`%s`: must be within 1 and %u milliseconds", field,
                     ms_max);
        polarys_error_detail_set(err, "field", "%s", field);
        return POLARYS_BAD_ARGUMENT;
    }
    *ms = (uint32_t)found;
    return POLARYS_OK;
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

enum polarys_code operation_condition_take(const Polarys__V1__Precondition *from,
                                           struct polarys_precondition *condition,
                                           bool *has_condition, struct polarys_error *err)
{
    *condition = (struct polarys_precondition){.kind = POLARYS_PRECONDITION_MUST_EXIST};
    *has_condition = false;
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
        condition->kind = POLARYS_PRECONDITION_MUST_NOT_EXIST;
        break;
    case POLARYS__V1__PRECONDITION__CONDITION_VERSION_EQUALS:
        condition->kind = POLARYS_PRECONDITION_VERSION_EQUALS;
        condition->version = from->version_equals;
        break;
    case POLARYS__V1__PRECONDITION__CONDITION_FIELD_EQUALS:
        code = field_equals_take(from->field_equals, condition, err);
        break;
    default:
        return operation_bad(err, "precondition", "this server does not know this condition");
    }
    *has_condition = code == POLARYS_OK;
    return code;
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

enum polarys_code operation_put_take(const Polarys__V1__PutOperation *from,
                                     struct polarys_transact_operation *to,
                                     struct polarys_error *err)
{
    to->kind = POLARYS_TRANSACT_PUT;
    to->key = binary_slice(from->key);
    return operation_value_take(from->value, from->expire_time, &to->value, err);
}

enum polarys_code operation_update_take(const Polarys__V1__UpdateOperation *from,
                                        struct polarys_transact_operation *to,
                                        struct polarys_error *err)
{
    to->kind = POLARYS_TRANSACT_UPDATE;
    to->key = binary_slice(from->key);
    to->value.bytes = binary_slice(from->json_patch);
    to->update_expires_at_ms = UINT64_MAX;
    switch (from->expiry_case) {
    case POLARYS__V1__UPDATE_OPERATION__EXPIRY_EXPIRE_TIME:
        return response_time_take(from->expire_time, "expire_time", &to->update_expires_at_ms, err);
    case POLARYS__V1__UPDATE_OPERATION__EXPIRY_CLEAR_EXPIRE_TIME:
        if (!from->clear_expire_time) {
            return operation_bad(err, "clear_expire_time", "is only ever set to true");
        }
        to->update_expires_at_ms = 0;
        return POLARYS_OK;
    default:
        return POLARYS_OK;
    }
}

enum polarys_code operation_delete_range_take(const Polarys__V1__DeleteRangeOperation *from,
                                              struct operation_range *range,
                                              struct polarys_transact_operation *to,
                                              struct polarys_error *err)
{
    if (from->range == NULL) {
        return operation_bad(err, "delete_range.range",
                             "is not set; an empty one means the whole table");
    }
    to->kind = POLARYS_TRANSACT_DELETE_RANGE;
    enum polarys_code code = operation_range_take(from->range, range, err);
    to->key = range->start;
    to->end = range->end;
    return code;
}

enum polarys_code operation_write_take(const Polarys__V1__WriteOperation *from,
                                       struct operation_range *range,
                                       struct polarys_transact_operation *to,
                                       struct polarys_error *err)
{
    *to = (struct polarys_transact_operation){0};
    range->is_empty = false;
    switch (from->operation_case) {
    case POLARYS__V1__WRITE_OPERATION__OPERATION_PUT:
        return operation_put_take(from->put, to, err);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_UPDATE:
        return operation_update_take(from->update, to, err);
    case POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE:
        to->kind = POLARYS_TRANSACT_DELETE;
        to->key = binary_slice(from->delete_->key);
        return POLARYS_OK;
    case POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE_RANGE:
        return operation_delete_range_take(from->delete_range, range, to, err);
    default:
        return operation_bad(err, "operation",
                             "is not set: give put, update, delete or delete_range");
    }
}
