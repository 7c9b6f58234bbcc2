/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the fields of queries into the engine's options. What they mean the engine checks; here
 * only what its strings can't carry.
 */
#include "service/rpc/query_request.h"

#include "engine/engine_index.h"
#include "service/rpc/operation.h"
#include "service/rpc/txn_call.h"

void query_request_begin(struct call *call, ProtobufCBinaryData filter,
                         struct polarys_query_options *options)
{
    *options = (struct polarys_query_options){
        .database = call->database,
        .table = call->table,
        .filter = slice_make(filter.data, filter.len),
        .version = call->read_version,
        .txn = call->txn,
    };
}

static void *room_get(struct call *call, size_t size)
{
    call->arena.budget += size + PROTO_ARENA_FIRST_BYTES;
    void *room = proto_arena_alloc(&call->arena, size);
    if (room == NULL) {
        polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for a query");
    }
    return room;
}

enum polarys_code query_path_take(struct call *call, ProtobufCBinaryData from, const char *field,
                                  const char **path)
{
    *path = NULL;
    if (from.len == 0 || from.len > POLARYS_FIELD_PATH_BYTES_MAX ||
        memchr(from.data, '\0', from.len) != NULL) {
        return operation_bad(&call->error, field, "a path has 1 to 1024 bytes, and no NUL");
    }
    char *text = room_get(call, from.len + 1);
    if (text == NULL) {
        return POLARYS_MEMORY_LIMIT;
    }
    memcpy(text, from.data, from.len);
    text[from.len] = '\0';
    *path = text;
    return POLARYS_OK;
}

enum polarys_code query_mask_take(struct call *call, const ProtobufCBinaryData *paths, size_t count,
                                  const char *const **mask)
{
    *mask = NULL;
    if (count == 0) {
        return POLARYS_OK;
    }
    if (count > POLARYS_MASK_FIELDS_MAX) {
        return operation_bad(&call->error, "read_mask", "names more than 256 paths");
    }
    const char **list = room_get(call, count * sizeof(*list));
    if (list == NULL) {
        return POLARYS_MEMORY_LIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        enum polarys_code code = query_path_take(call, paths[i], "read_mask", &list[i]);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    *mask = list;
    call->field_hint = "read_mask";
    return POLARYS_OK;
}

void query_table_lock(struct call *call, void (*next)(struct call *call))
{
    struct polarys_slice none = slice_make(NULL, 0);
    txn_call_lock_range(call, none, none, POLARYS_LOCK_SHARED, next);
}
