/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer. Appending may fail for lack of memory; a failed append leaves the buffer as it
 * was. Growth doubles, so appending n bytes costs O(n) in all.
 */
#ifndef ENGINE_BASE_BUFFER_H
#define ENGINE_BASE_BUFFER_H

#include "engine/base/error.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Plain data; zero-initialised is a valid empty buffer. */
struct buffer {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

/* Frees the memory and makes the buffer empty. */
void buffer_deinit(struct buffer *buffer);

/* Wipes the memory in use (for secrets), then frees it. */
void buffer_deinit_secret(struct buffer *buffer);

/* Keeps the memory, forgets the bytes. */
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}

/* Makes room for `more` bytes beyond size. Errors: NO_MEMORY. */
NODISCARD enum polarys_code buffer_reserve(struct buffer *buffer, size_t more);

/* Appends `size` bytes. Errors: NO_MEMORY. */
NODISCARD enum polarys_code buffer_append(struct buffer *buffer, const void *data, size_t size);

static inline NODISCARD enum polarys_code buffer_append_slice(struct buffer *buffer,
                                                              struct polarys_slice slice)
{
    return buffer_append(buffer, slice.data, slice.size);
}

/* Appends `size` zero bytes. Errors: NO_MEMORY. */
NODISCARD enum polarys_code buffer_append_zeros(struct buffer *buffer, size_t size);

NODISCARD enum polarys_code buffer_append_byte(struct buffer *buffer, uint8_t byte);

/* Borrowed: valid until the buffer changes. */
static inline struct polarys_slice buffer_slice(const struct buffer *buffer)
{
    return slice_make(buffer->data, buffer->size);
}

#ifdef __cplusplus
}
#endif

#endif
