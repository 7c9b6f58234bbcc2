/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the chunks of a call's arena. The invariant: taken <= budget, every chunk but the kept one
 * is charged to the shared memory, and no allocation succeeds deeper in the stack than the bound.
 * It does not zero memory.
 */
#include "service/proto/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include "service/server/check.h"

struct proto_arena_chunk {
    struct proto_arena_chunk *next;
    size_t size; /* of bytes[] */
    alignas(16) uint8_t bytes[];
};

enum { ARENA_ALIGN = 16, ARENA_CHUNK_MAX = 1 << 20 };

uint64_t proto_memory_used(const struct proto_memory *memory)
{
    return __atomic_load_n(&memory->used, __ATOMIC_RELAXED);
}

/* False when the limit would be passed. */
static bool memory_charge(struct proto_memory *memory, size_t size)
{
    uint64_t used = __atomic_add_fetch(&memory->used, size, __ATOMIC_RELAXED);
    if (used > memory->limit) {
        (void)__atomic_sub_fetch(&memory->used, size, __ATOMIC_RELAXED);
        return false;
    }
    return true;
}

static void memory_discharge(struct proto_memory *memory, size_t size)
{
    uint64_t before = __atomic_fetch_sub(&memory->used, size, __ATOMIC_RELAXED);
    SERVICE_ASSERT(before >= size);
}

static void *allocator_alloc(void *data, size_t size)
{
    return proto_arena_alloc(data, size);
}

/* Memory goes back by reset only. */
static void allocator_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

void proto_arena_init(struct proto_arena *arena, struct proto_memory *memory)
{
    SERVICE_ASSERT(memory != NULL);
    *arena = (struct proto_arena){
        .allocator = {allocator_alloc, allocator_free, arena},
        .memory = memory,
        .budget = PROTO_ARENA_BUDGET_BASE,
    };
}

static void chunk_free(struct proto_arena *arena, struct proto_arena_chunk *chunk)
{
    memory_discharge(arena->memory, chunk->size);
    SERVICE_ASSERT(arena->taken >= chunk->size);
    arena->taken -= chunk->size;
    free(chunk);
}

void proto_arena_deinit(struct proto_arena *arena)
{
    while (arena->chunks != NULL) {
        struct proto_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        chunk_free(arena, chunk);
    }
    arena->at = NULL;
    arena->end = NULL;
}

void proto_arena_reset(struct proto_arena *arena)
{
    while (arena->chunks != NULL &&
           (arena->chunks->next != NULL || arena->chunks->size > PROTO_ARENA_FIRST_BYTES)) {
        struct proto_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        chunk_free(arena, chunk);
    }
    arena->at = arena->chunks == NULL ? NULL : arena->chunks->bytes;
    arena->end = arena->chunks == NULL ? NULL : arena->chunks->bytes + arena->chunks->size;
    arena->budget = PROTO_ARENA_BUDGET_BASE;
    arena->failure = PROTO_ARENA_FINE;
}

/* The size of the next chunk: twice what was taken, so that a large request takes few. */
static size_t chunk_size_next(const struct proto_arena *arena, size_t needed)
{
    size_t size = arena->taken < PROTO_ARENA_FIRST_BYTES ? PROTO_ARENA_FIRST_BYTES : arena->taken;
    size = size > ARENA_CHUNK_MAX ? ARENA_CHUNK_MAX : size;
    if (size > arena->budget - arena->taken) {
        size = arena->budget - arena->taken;
    }
    return size < needed ? needed : size;
}

static bool arena_grow(struct proto_arena *arena, size_t needed)
{
    if (needed > arena->budget - arena->taken) {
        arena->failure = PROTO_ARENA_BUDGET;
        return false;
    }
    size_t size = chunk_size_next(arena, needed);
    if (!memory_charge(arena->memory, size)) {
        arena->failure = PROTO_ARENA_MEMORY;
        return false;
    }
    struct proto_arena_chunk *chunk = malloc(sizeof(*chunk) + size);
    if (chunk == NULL) {
        memory_discharge(arena->memory, size);
        arena->failure = PROTO_ARENA_MEMORY;
        return false;
    }
    chunk->next = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    arena->taken += size;
    arena->at = chunk->bytes;
    arena->end = chunk->bytes + size;
    return true;
}

static bool stack_is_deep(const struct proto_arena *arena)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return arena->stack_base != 0 && arena->stack_base > here &&
           arena->stack_base - here > PROTO_ARENA_STACK_MAX;
}

void *proto_arena_alloc(struct proto_arena *arena, size_t size)
{
    SERVICE_ASSERT(arena->taken <= arena->budget || arena->chunks->next == NULL);
    if (stack_is_deep(arena)) {
        arena->failure = PROTO_ARENA_DEPTH;
        return NULL;
    }
    if (size > PROTO_ARENA_BUDGET_MAX) {
        arena->failure = PROTO_ARENA_BUDGET;
        return NULL;
    }
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded > (size_t)(arena->end - arena->at) && !arena_grow(arena, rounded)) {
        return NULL;
    }
    uint8_t *bytes = arena->at;
    arena->at += rounded;
    return bytes;
}

static void unpack_failure_set(const struct proto_arena *arena, struct polarys_error *err)
{
    switch (arena->failure) {
    case PROTO_ARENA_FINE:
        polarys_fail(
            err, POLARYS_BAD_MESSAGE,
            "the request is not a well-formed message: check that client and server use the "
            "same .proto files");
        break;
    case PROTO_ARENA_BUDGET:
        polarys_fail(
            err, POLARYS_BAD_MESSAGE,
            "the request takes more than %zu bytes of memory: it has too many small or unknown "
            "fields for its size",
            arena->budget);
        polarys_error_detail_set(err, "limit", "%zu", arena->budget);
        break;
    case PROTO_ARENA_DEPTH:
        polarys_fail(err, POLARYS_BAD_MESSAGE, "the request is nested too deep");
        break;
    case PROTO_ARENA_MEMORY:
        polarys_fail(err, POLARYS_MEMORY_LIMIT,
                     "requests under way hold %llu bytes, which is all that they may: try again",
                     (unsigned long long)proto_memory_used(arena->memory));
        err->retry_after_ms = 50;
        break;
    }
}

void *proto_arena_unpack(struct proto_arena *arena, const ProtobufCMessageDescriptor *descriptor,
                         struct polarys_slice bytes, struct polarys_error *err)
{
    size_t budget = PROTO_ARENA_BUDGET_MAX;
    if (bytes.size <
        (PROTO_ARENA_BUDGET_MAX - PROTO_ARENA_BUDGET_BASE) / PROTO_ARENA_BUDGET_FACTOR) {
        budget = PROTO_ARENA_BUDGET_BASE + bytes.size * PROTO_ARENA_BUDGET_FACTOR;
    }
    arena->budget = arena->taken + budget;
    arena->failure = PROTO_ARENA_FINE;
    arena->stack_base = (uintptr_t)__builtin_frame_address(0);
    static const uint8_t nothing[1];
    void *message = protobuf_c_message_unpack(descriptor, &arena->allocator, bytes.size,
                                              bytes.size == 0 ? nothing : bytes.data);
    arena->stack_base = 0;
    if (message == NULL) {
        unpack_failure_set(arena, err);
        return NULL;
    }
    const ProtobufCMessage *base = message;
    if (base->n_unknown_fields > PROTO_UNKNOWN_FIELDS_MAX) {
        polarys_fail(
            err, POLARYS_BAD_MESSAGE,
            "the request has %u fields that this server does not know: it passes over %d at most",
            base->n_unknown_fields, PROTO_UNKNOWN_FIELDS_MAX);
        return NULL;
    }
    return message;
}
