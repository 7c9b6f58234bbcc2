/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers on the wire, by hand, for the answers that are sent often: sizes first, then
 * bytes straight into the message that is sent. And a small reader, for descriptors.
 *
 * As in proto3, a field that has its default is not written.
 */
#ifndef SERVICE_PROTO_WIRE_H
#define SERVICE_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
};

static inline size_t wire_varint_size(uint64_t value)
{
    return (size_t)((64 - __builtin_clzll(value | 1)) + 6) / 7;
}

/* REQUIRES: room for wire_varint_size(value) bytes. Returns the place after them, as all below. */
static inline uint8_t *wire_varint_put(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *wire_tag_put(uint8_t *at, uint32_t field, enum wire_type type)
{
    return wire_varint_put(at, ((uint64_t)field << 3) | (uint64_t)type);
}

static inline size_t wire_tag_size(uint32_t field)
{
    return wire_varint_size((uint64_t)field << 3);
}

/* A uint64, uint32, bool or enum field; nothing for 0. */
static inline size_t wire_uint_size(uint32_t field, uint64_t value)
{
    return value == 0 ? 0 : wire_tag_size(field) + wire_varint_size(value);
}

static inline uint8_t *wire_uint_put(uint8_t *at, uint32_t field, uint64_t value)
{
    if (value == 0) {
        return at;
    }
    return wire_varint_put(wire_tag_put(at, field, WIRE_VARINT), value);
}

/* A bytes, string or message field, written also when it is empty. */
static inline size_t wire_block_size(uint32_t field, size_t size)
{
    return wire_tag_size(field) + wire_varint_size(size) + size;
}

/* The head of a block whose bytes the caller writes next. */
static inline uint8_t *wire_block_open(uint8_t *at, uint32_t field, size_t size)
{
    return wire_varint_put(wire_tag_put(at, field, WIRE_BYTES), size);
}

static inline uint8_t *wire_block_put(uint8_t *at, uint32_t field, struct polarys_slice bytes)
{
    at = wire_block_open(at, field, bytes.size);
    if (bytes.size > 0) {
        memcpy(at, bytes.data, bytes.size);
    }
    return at + bytes.size;
}

/* A bytes or string field; nothing when it is empty. */
static inline size_t wire_bytes_size(uint32_t field, size_t size)
{
    return size == 0 ? 0 : wire_block_size(field, size);
}

static inline uint8_t *wire_bytes_put(uint8_t *at, uint32_t field, struct polarys_slice bytes)
{
    return bytes.size == 0 ? at : wire_block_put(at, field, bytes);
}

/* One field of a message that is read. */
struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;             /* varint and fixed */
    struct polarys_slice bytes; /* WIRE_BYTES; borrowed from the message */
};

/*
 * Takes the next field off the front of `rest`. False at the end, and where what is left is
 * malformed: then *is_malformed is set.
 */
bool wire_field_next(struct polarys_slice *rest, struct wire_field *field, bool *is_malformed);

/* The first bytes field `number` of a message; empty when there is none. */
struct polarys_slice wire_bytes_find(struct polarys_slice message, uint32_t number);

#ifdef __cplusplus
}
#endif

#endif
