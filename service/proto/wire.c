/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads fields of an encoded message one by one. It never reads beyond the slice it was given and
 * allocates nothing; groups, which proto3 does not have, count as malformed.
 */
#include "service/proto/wire.h"

static bool varint_take(struct polarys_slice *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && rest->size > 0; shift += 7) {
        uint8_t byte = *rest->data;
        rest->data++;
        rest->size--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool fixed_take(struct polarys_slice *rest, size_t size, uint64_t *value)
{
    if (rest->size < size) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < size; i++) {
        *value |= (uint64_t)rest->data[i] << (8 * i);
    }
    rest->data += size;
    rest->size -= size;
    return true;
}

static bool value_take(struct polarys_slice *rest, struct wire_field *field)
{
    switch (field->type) {
    case WIRE_VARINT:
        return varint_take(rest, &field->value);
    case WIRE_FIXED64:
        return fixed_take(rest, 8, &field->value);
    case WIRE_FIXED32:
        return fixed_take(rest, 4, &field->value);
    case WIRE_BYTES:
        if (!varint_take(rest, &field->value) || field->value > rest->size) {
            return false;
        }
        field->bytes = slice_make(rest->data, (size_t)field->value);
        rest->data += field->bytes.size;
        rest->size -= field->bytes.size;
        return true;
    }
    return false;
}

bool wire_field_next(struct polarys_slice *rest, struct wire_field *field, bool *is_malformed)
{
    *is_malformed = false;
    if (rest->size == 0) {
        return false;
    }
    uint64_t tag;
    *field = (struct wire_field){0};
    if (!varint_take(rest, &tag) || tag >> 3 == 0 || tag >> 3 > (1U << 29)) {
        *is_malformed = true;
        return false;
    }
    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    *is_malformed = !value_take(rest, field);
    return !*is_malformed;
}

struct polarys_slice wire_bytes_find(struct polarys_slice message, uint32_t number)
{
    struct wire_field field;
    bool is_malformed;
    while (wire_field_next(&message, &field, &is_malformed)) {
        if (field.number == number && field.type == WIRE_BYTES) {
            return field.bytes;
        }
    }
    return slice_make(NULL, 0);
}
