/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers as bytes. Files use little-endian fixed widths and LEB128 varints; keys use big-endian, which
 * sorts as the numbers do. Decoders take a cursor and never read past its end.
 */
#ifndef ENGINE_BASE_CODING_H
#define ENGINE_BASE_CODING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/buffer.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VARINT64_SIZE_MAX = 10 };

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define CODING_LE32(x) (x)
#define CODING_LE64(x) (x)
#define CODING_BE32(x) __builtin_bswap32(x)
#define CODING_BE64(x) __builtin_bswap64(x)
#else
#define CODING_LE32(x) __builtin_bswap32(x)
#define CODING_LE64(x) __builtin_bswap64(x)
#define CODING_BE32(x) (x)
#define CODING_BE64(x) (x)
#endif

static inline void put_u32_le(uint8_t *to, uint32_t value)
{
    value = CODING_LE32(value);
    memcpy(to, &value, sizeof(value));
}

static inline void put_u64_le(uint8_t *to, uint64_t value)
{
    value = CODING_LE64(value);
    memcpy(to, &value, sizeof(value));
}

static inline uint32_t get_u32_le(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return CODING_LE32(value);
}

static inline uint64_t get_u64_le(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return CODING_LE64(value);
}

static inline void put_u32_be(uint8_t *to, uint32_t value)
{
    value = CODING_BE32(value);
    memcpy(to, &value, sizeof(value));
}

static inline void put_u64_be(uint8_t *to, uint64_t value)
{
    value = CODING_BE64(value);
    memcpy(to, &value, sizeof(value));
}

static inline uint32_t get_u32_be(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return CODING_BE32(value);
}

static inline uint64_t get_u64_be(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return CODING_BE64(value);
}

/* Bytes written to `to`, which has room for VARINT64_SIZE_MAX. */
static inline size_t put_varint(uint8_t *to, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        to[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[size++] = (uint8_t)value;
    return size;
}

static inline size_t varint_size(uint64_t value)
{
    return value == 0 ? 1 : (size_t)(63 - __builtin_clzll(value)) / 7 + 1;
}

/* A position in borrowed bytes; the take_ functions return false, and leave the position undefined, when
 * the bytes end too early or a varint is longer than 10 bytes. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct cursor cursor_make(struct polarys_slice slice)
{
    struct cursor cursor = {slice.data, slice.size == 0 ? slice.data : slice.data + slice.size};
    return cursor;
}

static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

bool cursor_take_varint_slow(struct cursor *cursor, uint64_t *value);

static inline bool cursor_take_varint(struct cursor *cursor, uint64_t *value)
{
    if (cursor->at < cursor->end && *cursor->at < 0x80) {
        *value = *cursor->at++;
        return true;
    }
    return cursor_take_varint_slow(cursor, value);
}

static inline bool cursor_take_bytes(struct cursor *cursor, size_t size,
                                     struct polarys_slice *bytes)
{
    if (cursor_left(cursor) < size) {
        return false;
    }
    *bytes = slice_make(cursor->at, size);
    cursor->at += size;
    return true;
}

/* A varint length, then that many bytes. */
static inline bool cursor_take_sized(struct cursor *cursor, struct polarys_slice *bytes)
{
    uint64_t size;
    return cursor_take_varint(cursor, &size) && size <= cursor_left(cursor) &&
           cursor_take_bytes(cursor, (size_t)size, bytes);
}

static inline bool cursor_take_u32_le(struct cursor *cursor, uint32_t *value)
{
    struct polarys_slice bytes;
    if (!cursor_take_bytes(cursor, sizeof(*value), &bytes)) {
        return false;
    }
    *value = get_u32_le(bytes.data);
    return true;
}

static inline bool cursor_take_u64_le(struct cursor *cursor, uint64_t *value)
{
    struct polarys_slice bytes;
    if (!cursor_take_bytes(cursor, sizeof(*value), &bytes)) {
        return false;
    }
    *value = get_u64_le(bytes.data);
    return true;
}

/* Errors of all: NO_MEMORY. */
NODISCARD enum polarys_code buffer_append_varint(struct buffer *buffer, uint64_t value);
NODISCARD enum polarys_code buffer_append_u32_le(struct buffer *buffer, uint32_t value);
NODISCARD enum polarys_code buffer_append_u64_le(struct buffer *buffer, uint64_t value);
NODISCARD enum polarys_code buffer_append_sized(struct buffer *buffer, struct polarys_slice bytes);

#ifdef __cplusplus
}
#endif

#endif
