/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the growth of byte buffers. The invariant is size <= capacity, and data is NULL only when
 * capacity is 0. It does not wipe what realloc leaves behind: reserve a secret's whole size
 * before filling it in.
 */
#include "engine/base/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

enum { BUFFER_CAPACITY_MIN = 64 };

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_deinit_secret(struct buffer *buffer)
{
    /* All of the capacity: a cleared buffer still holds what was in it. */
    if (buffer->data != NULL) {
        explicit_bzero(buffer->data, buffer->capacity);
    }
    buffer_deinit(buffer);
}

enum polarys_code buffer_reserve(struct buffer *buffer, size_t more)
{
    POLARYS_ASSERT(buffer->size <= buffer->capacity);
    if (more <= buffer->capacity - buffer->size) {
        return POLARYS_OK;
    }
    if (more > SIZE_MAX / 2 - buffer->size) {
        return POLARYS_NO_MEMORY;
    }
    size_t wanted = buffer->size + more;
    size_t capacity =
        buffer->capacity < BUFFER_CAPACITY_MIN ? (size_t)BUFFER_CAPACITY_MIN : buffer->capacity * 2;
    capacity = capacity < wanted ? wanted : capacity;
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        return POLARYS_NO_MEMORY;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return POLARYS_OK;
}

enum polarys_code buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    POLARYS_ASSERT(data != NULL || size == 0);
    enum polarys_code code = buffer_reserve(buffer, size);
    if (code == POLARYS_OK && size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
    return code;
}

enum polarys_code buffer_append_zeros(struct buffer *buffer, size_t size)
{
    enum polarys_code code = buffer_reserve(buffer, size);
    if (code == POLARYS_OK && size > 0) {
        memset(buffer->data + buffer->size, 0, size);
        buffer->size += size;
    }
    return code;
}

enum polarys_code buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    enum polarys_code code = buffer_reserve(buffer, 1);
    if (code == POLARYS_OK) {
        buffer->data[buffer->size++] = byte;
    }
    return code;
}
