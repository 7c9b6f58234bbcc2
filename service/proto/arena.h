/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of one call: a bump arena that is also protobuf-c's allocator.
 *
 * protobuf-c knows no limits: unknown fields, tiny submessages and nesting turn a small request
 * into much memory or a deep stack. The arena gives out at most what its budget allows and nothing
 * while the stack is deeper than a bound; protobuf-c then fails cleanly, and the arena says why.
 */
#ifndef SERVICE_PROTO_ARENA_H
#define SERVICE_PROTO_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PROTO_ARENA_FIRST_BYTES = 4096,     /* kept from call to call */
    PROTO_ARENA_STACK_MAX = 128 << 10,  /* bytes of stack below the unpacking function */
    PROTO_ARENA_BUDGET_BASE = 64 << 10, /* bytes that any request may take */
    PROTO_ARENA_BUDGET_FACTOR = 48,     /* and for each byte of the request as many */
    PROTO_UNKNOWN_FIELDS_MAX = 1024,    /* of a message, passed over */
    PROTO_ARENA_BUDGET_MAX = 256 << 20, /* for one request in all */
};

/*
 * Memory that all calls share. With C++ headers in the way of <stdatomic.h>, the counter is reached
 * through the functions below only.
 */
struct proto_memory {
    uint64_t used;  /* atomic */
    uint64_t limit; /* immutable */
};

/* Bytes charged now. Any thread. */
uint64_t proto_memory_used(const struct proto_memory *memory);

enum proto_arena_failure {
    PROTO_ARENA_FINE,
    PROTO_ARENA_BUDGET, /* the request takes more memory than its size justifies */
    PROTO_ARENA_DEPTH,  /* nested too deep */
    PROTO_ARENA_MEMORY, /* what all calls share is used up, or the system has none */
};

struct proto_arena_chunk;

/* Belongs to one thread at a time. */
struct proto_arena {
    ProtobufCAllocator allocator;
    struct proto_memory *memory;
    struct proto_arena_chunk *chunks; /* newest first; the last one is kept by reset */
    uint8_t *at;
    uint8_t *end;
    size_t taken;         /* bytes in chunks */
    size_t budget;        /* of `taken` */
    uintptr_t stack_base; /* 0: depth is not watched */
    enum proto_arena_failure failure;
};

/* Takes no memory yet. `memory` outlives the arena. */
void proto_arena_init(struct proto_arena *arena, struct proto_memory *memory);
void proto_arena_deinit(struct proto_arena *arena);
/* Gives everything back but one small chunk. */
void proto_arena_reset(struct proto_arena *arena);
/* 16-byte aligned bytes that live until reset; NULL past a limit, and arena->failure says which. */
void *proto_arena_alloc(struct proto_arena *arena, size_t size);

/*
 * Unpacks `bytes` as a message. NULL and a filled `err` on failure. Errors: BAD_MESSAGE (malformed,
 * too deep, or blown up beyond its budget), MEMORY_LIMIT.
 */
void *proto_arena_unpack(struct proto_arena *arena, const ProtobufCMessageDescriptor *descriptor,
                         struct polarys_slice bytes, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
