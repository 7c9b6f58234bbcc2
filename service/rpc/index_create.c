/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TableService.CreateIndex. The commit is made on an executor thread; a call that waits until the
 * index is ready looks from its worker now and then, since a build needs those threads itself.
 */
#include <stdio.h>

#include "service/rpc/handlers.h"
#include "service/rpc/index_message.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/server/check.h"
#include "service/server/dispatch.h"
#include "service/server/timing.h"

enum { LOOK_MS = 20 /* between two looks at an index that is built */ };

/* In the call's arena; call->state. */
struct index_create {
    struct polarys_index_options options;
    const char *fields[POLARYS_INDEX_FIELDS_MAX];
    char wanted[POLARYS_NAME_BYTES_MAX + 1];
    char name[POLARYS_NAME_BYTES_MAX + 1];
    char language[POLARYS_NAME_BYTES_MAX + 1];
    struct polarys_write_result result;
    uint64_t look_ns; /* the next look */
    bool is_executed; /* what is below is set, by the executor */
    enum polarys_code code;
};

/* The text NUL-terminated, in the arena; NULL where there is no memory. */
static const char *text_take(struct call *call, ProtobufCBinaryData from)
{
    call->arena.budget += from.len + 1 + PROTO_ARENA_FIRST_BYTES;
    char *text = proto_arena_alloc(&call->arena, from.len + 1);
    if (text != NULL) {
        memcpy(text, from.data, from.len);
        text[from.len] = '\0';
    }
    return text;
}

static enum polarys_code fields_take(struct call *call, struct index_create *create)
{
    const Polarys__V1__CreateIndexRequest *request = call->request;
    struct polarys_error *err = &call->error;
    if (request->n_fields == 0 || request->n_fields > POLARYS_INDEX_FIELDS_MAX) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`fields` names %zu fields: 1 to %d",
                     request->n_fields, POLARYS_INDEX_FIELDS_MAX);
        polarys_error_detail_set(err, "field", "fields");
        return POLARYS_BAD_ARGUMENT;
    }
    for (size_t i = 0; i < request->n_fields; i++) {
        ProtobufCBinaryData from = request->fields[i];
        if (from.len == 0 || from.len > POLARYS_FIELD_PATH_BYTES_MAX ||
            memchr(from.data, '\0', from.len) != NULL) {
            return operation_bad(err, "fields", "a path has 1 to 1024 bytes, and no NUL");
        }
        create->fields[i] = text_take(call, from);
        if (create->fields[i] == NULL) {
            return polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory for an index's fields");
        }
    }
    create->options.fields = create->fields;
    create->options.field_count = request->n_fields;
    return POLARYS_OK;
}

static enum polarys_code kind_take(const Polarys__V1__CreateIndexRequest *request,
                                   struct polarys_index_options *options, struct polarys_error *err)
{
    switch ((int)request->kind) {
    case POLARYS__V1__INDEX_KIND__INDEX_KIND_HASH:
    case POLARYS__V1__INDEX_KIND__INDEX_KIND_ORDERED:
    case POLARYS__V1__INDEX_KIND__INDEX_KIND_TEXT:
        options->kind = (enum polarys_index_kind)request->kind;
        break;
    default:
        return operation_bad(err, "kind", "must be HASH, ORDERED or TEXT");
    }
    if (request->unique && options->kind == POLARYS_INDEX_TEXT) {
        return operation_bad(err, "unique", "is not for a text index");
    }
    if (request->language.len > 0 && options->kind != POLARYS_INDEX_TEXT) {
        return operation_bad(err, "language", "is for a text index only");
    }
    options->is_unique = request->unique;
    return POLARYS_OK;
}

static enum polarys_code options_take(struct call *call, struct index_create *create)
{
    const Polarys__V1__CreateIndexRequest *request = call->request;
    struct polarys_error *err = &call->error;
    enum polarys_code code = POLARYS_OK;
    if (request->index.len > 0) {
        code = dispatch_name_take(request->index, "index", create->wanted, err);
        create->options.name = create->wanted;
        call->part = create->wanted;
    }
    if (code == POLARYS_OK) {
        code = kind_take(request, &create->options, err);
    }
    if (code == POLARYS_OK) {
        code = fields_take(call, create);
    }
    if (code == POLARYS_OK && request->language.len > 0) {
        if (request->language.len > POLARYS_NAME_BYTES_MAX ||
            memchr(request->language.data, '\0', request->language.len) != NULL) {
            return operation_bad(err, "language", "is none that this server knows");
        }
        memcpy(create->language, request->language.data, request->language.len);
        create->options.language = create->language;
    }
    return code;
}

/* ---- the answer ---- */

static void create_reply(struct call *call, Polarys__V1__Index *info)
{
    const struct index_create *create = call->state;
    Polarys__V1__CreateIndexResponse response = POLARYS__V1__CREATE_INDEX_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, create->result.version, token, &header);
    response.header = &header;
    response.version = create->result.version;
    response.info = info;
    call_reply(call, response_pack(&response.base));
}

/* On the executor: why an index could not be built, as the wait for it tells. It does not wait any
 * more. */
static void create_failed(void *context)
{
    struct call *call = context;
    const struct index_create *create = call->state;
    SERVICE_ASSERT(create->is_executed && create->code == POLARYS_OK);
    enum polarys_code code = polarys_index_wait(call->server->db, call->database, call->table,
                                                create->name, 1, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_fail(&call->error, POLARYS_BUG, "an index that failed is ready");
    }
    call_fail_own(call, code);
}

static bool is_time_over(struct call *call)
{
    if (server_phase_get(call->server) >= SERVER_STOPPING) {
        polarys_fail(&call->error, POLARYS_DRAINING, "the server stops: the index is built later");
    } else if (call_is_cancelled(call)) {
        polarys_fail(&call->error, POLARYS_CANCELLED, "given up by the client: the index is built");
    } else if (call_is_late(call)) {
        polarys_fail(&call->error, POLARYS_WAIT_TIMEOUT,
                     "the index is not ready in time: it is built on, ask ListIndexes");
    } else {
        return false;
    }
    call_fail(call, &call->error);
    return true;
}

/* The index is there: answers with how it is. */
static void create_end(struct call *call)
{
    const struct index_create *create = call->state;
    Polarys__V1__Index *info;
    enum polarys_code code = index_message_find(call, create->name, &info);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    create_reply(call, info);
}

/* On the worker: the index is ready, has failed, or is still being built. */
static void create_look(struct call *call)
{
    struct index_create *create = call->state;
    uint64_t now_ns = timing_now_ns();
    if (now_ns < create->look_ns) {
        call_wait(call, create_look);
        return;
    }
    create->look_ns = now_ns + (uint64_t)LOOK_MS * TIMING_NS_PER_MS;
    enum polarys_index_state state;
    enum polarys_code code = index_state_find(call, create->name, &state);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
    } else if (state == POLARYS_INDEX_STATE_READY) {
        create_end(call);
    } else if (state == POLARYS_INDEX_FAILED) {
        call_execute(call, create_failed);
    } else if (!is_time_over(call)) {
        call_wait(call, create_look);
    }
}

/* The engine names the path that is wrong; the request has it in `fields`. */
static void field_name(struct polarys_error *err)
{
    const char *field = polarys_error_detail_find(err, "field");
    if (err->code == POLARYS_BAD_ARGUMENT && (field == NULL || strcmp(field, "language") != 0)) {
        polarys_error_detail_set(err, "field", "fields");
    }
}

static void create_executed(struct call *call, bool is_ok)
{
    (void)is_ok;
    const Polarys__V1__CreateIndexRequest *request = call->request;
    const struct index_create *create = call->state;
    SERVICE_ASSERT(create->is_executed);
    if (create->code != POLARYS_OK) {
        field_name(&call->error);
        call_fail_own(call, create->code);
        return;
    }
    call->part = create->name;
    if (request->wait) {
        create_look(call);
    } else {
        create_end(call);
    }
}

static void create_execute(void *context)
{
    struct call *call = context;
    struct index_create *create = call->state;
    SERVICE_ASSERT(!create->is_executed && create->options.field_count > 0);
    call->write_options.deadline_ns = call->end_ns;
    create->code =
        polarys_index_create(call->server->db, call->database, call->table, &create->options,
                             &call->write_options, create->name, &create->result, &call->error);
    create->is_executed = true;
    call_post(call);
}

void table_create_index(struct call *call)
{
    call->arena.budget += sizeof(struct index_create) + PROTO_ARENA_FIRST_BYTES;
    struct index_create *create = proto_arena_alloc(&call->arena, sizeof(*create));
    if (create == NULL) {
        polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory to make an index");
        call_fail(call, &call->error);
        return;
    }
    memset(create, 0, sizeof(*create));
    call->state = create;
    enum polarys_code code = options_take(call, create);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_post_handler_set(call, create_executed);
    call_execute(call, create_execute);
}
