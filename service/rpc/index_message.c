/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes as messages, copied into the arena of their call, since the engine lends what it tells
 * for the time of a callback only.
 */
#include "service/rpc/index_message.h"

#include "service/server/check.h"

static ProtobufCBinaryData text_copy(struct proto_arena *arena, const char *text, bool *is_failed)
{
    ProtobufCBinaryData copy = {0, NULL};
    size_t size = text == NULL ? 0 : strlen(text);
    if (size == 0) {
        return copy;
    }
    copy.data = proto_arena_alloc(arena, size);
    if (copy.data == NULL) {
        *is_failed = true;
        return copy;
    }
    memcpy(copy.data, text, size);
    copy.len = size;
    return copy;
}

/* Bytes that the copy of an index takes at most, with what alignment costs. */
static size_t index_bytes(const struct polarys_index_info *info)
{
    enum { ALIGNMENT = 16 };
    size_t bytes = sizeof(Polarys__V1__Index) + 6 * (POLARYS_NAME_BYTES_MAX + ALIGNMENT);
    bytes += info->language == NULL ? 0 : strlen(info->language);
    bytes += info->failure == NULL ? 0 : strlen(info->failure);
    for (size_t i = 0; i < info->field_count; i++) {
        bytes += sizeof(ProtobufCBinaryData) + strlen(info->fields[i]) + ALIGNMENT;
    }
    return bytes;
}

Polarys__V1__Index *index_message_make(struct call *call, const struct polarys_index_info *info)
{
    struct proto_arena *arena = &call->arena;
    SERVICE_ASSERT(info->field_count >= 1 && info->field_count <= POLARYS_INDEX_FIELDS_MAX);
    SERVICE_ASSERT(call->table[0] != '\0');
    arena->budget += index_bytes(info) + PROTO_ARENA_FIRST_BYTES;
    Polarys__V1__Index *index = proto_arena_alloc(arena, sizeof(*index));
    ProtobufCBinaryData *fields =
        proto_arena_alloc(arena, (info->field_count + 1) * sizeof(*fields));
    if (index == NULL || fields == NULL) {
        return NULL;
    }
    bool is_failed = false;
    polarys__v1__index__init(index);
    const char *database = call->database[0] == '\0' ? "default" : call->database;
    index->database = text_copy(arena, database, &is_failed);
    index->table = text_copy(arena, call->table, &is_failed);
    index->index = text_copy(arena, info->index, &is_failed);
    index->index_id = info->index_id;
    index->kind = (Polarys__V1__IndexKind)info->kind;
    index->state = (Polarys__V1__IndexState)info->state;
    index->unique = info->is_unique;
    for (size_t i = 0; i < info->field_count; i++) {
        fields[i] = text_copy(arena, info->fields[i], &is_failed);
    }
    index->n_fields = info->field_count;
    index->fields = fields;
    index->language = text_copy(arena, info->language, &is_failed);
    index->failure = text_copy(arena, info->failure, &is_failed);
    index->create_version = info->created_version;
    index->documents_indexed = info->documents_indexed;
    index->documents_estimated = info->documents_estimated;
    index->entry_count = info->entry_count;
    index->distinct_count = info->distinct_count;
    return is_failed ? NULL : index;
}

_Static_assert(POLARYS_INDEX_HASH == (int)POLARYS__V1__INDEX_KIND__INDEX_KIND_HASH &&
                   POLARYS_INDEX_ORDERED == (int)POLARYS__V1__INDEX_KIND__INDEX_KIND_ORDERED &&
                   POLARYS_INDEX_TEXT == (int)POLARYS__V1__INDEX_KIND__INDEX_KIND_TEXT,
               "kinds are passed on");
_Static_assert(POLARYS_INDEX_STATE_BUILDING ==
                       (int)POLARYS__V1__INDEX_STATE__INDEX_STATE_BUILDING &&
                   POLARYS_INDEX_STATE_READY == (int)POLARYS__V1__INDEX_STATE__INDEX_STATE_READY &&
                   POLARYS_INDEX_FAILED == (int)POLARYS__V1__INDEX_STATE__INDEX_STATE_FAILED,
               "states are passed on");

/* ---- finding one ---- */

struct index_search {
    struct call *call;
    const char *name;
    Polarys__V1__Index *found;
    bool is_found;
};

static bool index_match(void *context, const struct polarys_index_info *info)
{
    struct index_search *search = context;
    if (strcmp(info->index, search->name) != 0) {
        return true;
    }
    search->is_found = true;
    search->found = index_message_make(search->call, info);
    return false;
}

struct state_search {
    const char *name;
    enum polarys_index_state state;
    bool is_found;
};

static bool state_match(void *context, const struct polarys_index_info *info)
{
    struct state_search *search = context;
    if (strcmp(info->index, search->name) != 0) {
        return true;
    }
    search->is_found = true;
    search->state = info->state;
    return false;
}

enum polarys_code index_state_find(struct call *call, const char *name,
                                   enum polarys_index_state *state)
{
    struct state_search search = {.name = name};
    enum polarys_code code = polarys_index_list(call->server->db, call->database, call->table,
                                                state_match, &search, &call->error);
    if (code == POLARYS_OK && !search.is_found) {
        code =
            polarys_fail(&call->error, POLARYS_INDEX_NOT_FOUND, "there is no index \"%s\"", name);
    }
    *state = search.state;
    return code;
}

enum polarys_code index_message_find(struct call *call, const char *name, Polarys__V1__Index **out)
{
    struct index_search search = {.call = call, .name = name};
    *out = NULL;
    enum polarys_code code = polarys_index_list(call->server->db, call->database, call->table,
                                                index_match, &search, &call->error);
    if (code == POLARYS_OK && search.is_found && search.found == NULL) {
        code = polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory to tell of an index");
    } else if (code == POLARYS_OK && !search.is_found) {
        code =
            polarys_fail(&call->error, POLARYS_INDEX_NOT_FOUND, "there is no index \"%s\"", name);
    }
    *out = search.found;
    return code;
}
