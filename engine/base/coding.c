/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the parts of integer coding that are too long to be inline. A decoder here reads bytes
 * from disk or wire, so it refuses instead of asserting.
 */
#include "engine/base/coding.h"

#include "engine/base/assert.h"

bool cursor_take_varint_slow(struct cursor *cursor, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 7 * VARINT64_SIZE_MAX && cursor->at < cursor->end;
         shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift == 63 && byte > 1) {
            return false; /* a tenth byte holds the one bit that is left, and ends the number */
        }
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

enum polarys_code buffer_append_varint(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[VARINT64_SIZE_MAX];
    size_t size = put_varint(bytes, value);
    POLARYS_ASSERT(size <= sizeof(bytes));
    return buffer_append(buffer, bytes, size);
}

enum polarys_code buffer_append_u32_le(struct buffer *buffer, uint32_t value)
{
    uint8_t bytes[sizeof(value)];
    put_u32_le(bytes, value);
    return buffer_append(buffer, bytes, sizeof(bytes));
}

enum polarys_code buffer_append_u64_le(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[sizeof(value)];
    put_u64_le(bytes, value);
    return buffer_append(buffer, bytes, sizeof(bytes));
}

enum polarys_code buffer_append_sized(struct buffer *buffer, struct polarys_slice bytes)
{
    /* Room for both first: a failed append must leave the buffer as it was. */
    if (bytes.size > SIZE_MAX - VARINT64_SIZE_MAX ||
        buffer_reserve(buffer, bytes.size + VARINT64_SIZE_MAX) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    buffer->size += put_varint(buffer->data + buffer->size, bytes.size);
    return buffer_append_slice(buffer, bytes);
}
