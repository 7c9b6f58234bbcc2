/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How calls are answered: all operations of a unary answer in one batch, which was measured a
 * quarter cheaper than three. An error goes out without a message, so that it travels as trailers
 * only and clients may retry.
 *
 * Whoever starts the last batch gives the call back to its worker: nothing here looks at it
 * afterwards.
 */
#include <grpc/slice_buffer.h>

#include "service/errors/error_details.h"
#include "service/errors/error_table.h"
#include "service/proto/utf8.h"
#include "service/replication/follower.h"
#include "service/rpc/response.h"
#include "service/server/call.h"
#include "service/server/check.h"
#include "service/server/handoff.h"
#include "service/server/server.h"

enum { OPERATIONS_MAX = 4 };

struct operations {
    grpc_op list[OPERATIONS_MAX];
    size_t count;
};

static grpc_op *operation_add(struct operations *operations, grpc_op_type type)
{
    SERVICE_ASSERT(operations->count < OPERATIONS_MAX);
    grpc_op *op = &operations->list[operations->count++];
    memset(op, 0, sizeof(*op));
    op->op = type;
    return op;
}

static void batch_start(struct call *call, const struct operations *operations,
                        struct call_event *event)
{
    __atomic_add_fetch(&call->pending, 1, __ATOMIC_RELAXED);
    grpc_call *handle = call->handle;
    handoff_release(event);
    grpc_call_error error =
        grpc_call_start_batch(handle, operations->list, operations->count, event, NULL);
    SERVICE_ASSERT(error == GRPC_CALL_OK);
}

static void event_ignore(struct call *call, bool is_ok)
{
    (void)call;
    (void)is_ok;
}

static void headers_add(struct call *call, struct operations *operations)
{
    if (!call->has_sent_headers) {
        (void)operation_add(operations, GRPC_OP_SEND_INITIAL_METADATA);
        call->has_sent_headers = true;
    }
}

/*
 * Adds the status, and what else ends a call; starts the batch. The call's own reference, which its
 * arrival took, goes with the tag.
 */
static void finish_start(struct call *call, struct operations *operations)
{
    SERVICE_ASSERT(!call->is_finishing);
    call->is_finishing = true;
    grpc_op *op = operation_add(operations, GRPC_OP_SEND_STATUS_FROM_SERVER);
    op->data.send_status_from_server.status = call->status;
    if (call->status != GRPC_STATUS_OK) {
        op->data.send_status_from_server.status_details = &call->status_text;
        if (GRPC_SLICE_LENGTH(call->status_details) > 0) {
            op->data.send_status_from_server.trailing_metadata_count = 1;
            op->data.send_status_from_server.trailing_metadata = call->trailing;
        }
    }
    if (!call->has_close_watch) {
        op = operation_add(operations, GRPC_OP_RECV_CLOSE_ON_SERVER);
        op->data.recv_close_on_server.cancelled = &call->close_flag;
    }
    call->on_finish.fire = event_ignore;
    if (call->is_write) {
        __atomic_sub_fetch(&call->server->writes_waiting, 1, __ATOMIC_RELAXED);
    }
    grpc_call *handle = call->handle;
    struct call_event *event = &call->on_finish;
    handoff_release(event);
    grpc_call_error error =
        grpc_call_start_batch(handle, operations->list, operations->count, event, NULL);
    SERVICE_ASSERT(error == GRPC_CALL_OK);
}

/* A message around one slice, on the stack: the core moves the slice out when the batch starts. */
static void message_init(grpc_byte_buffer *message, grpc_slice slice)
{
    memset(message, 0, sizeof(*message));
    message->type = GRPC_BB_RAW;
    message->data.raw.compression = GRPC_COMPRESS_NONE;
    grpc_slice_buffer_init(&message->data.raw.slice_buffer);
    grpc_slice_buffer_add(&message->data.raw.slice_buffer, slice);
}

void call_reply(struct call *call, grpc_slice take_message)
{
    if (call->quorum != CALL_QUORUM_NONE && call_quorum_hold(call, take_message)) {
        return;
    }
    struct operations operations = {.count = 0};
    grpc_byte_buffer message;
    message_init(&message, take_message);
    headers_add(call, &operations);
    grpc_op *op = operation_add(&operations, GRPC_OP_SEND_MESSAGE);
    op->data.send_message.send_message = &message;
    call->status = GRPC_STATUS_OK;
    finish_start(call, &operations);
    grpc_slice_buffer_destroy(&message.data.raw.slice_buffer);
}

void call_end(struct call *call)
{
    struct operations operations = {.count = 0};
    headers_add(call, &operations);
    call->status = GRPC_STATUS_OK;
    finish_start(call, &operations);
}

static void fail_with(struct call *call, grpc_status_code status, grpc_slice text,
                      grpc_slice details)
{
    static const char details_key[] = "grpc-status-details-bin";
    struct operations operations = {.count = 0};
    headers_add(call, &operations);
    call->status = status;
    call->status_text = text;
    call->status_details = details;
    memset(call->trailing, 0, sizeof(call->trailing));
    call->trailing[0].key = grpc_slice_from_static_buffer(details_key, sizeof(details_key) - 1);
    call->trailing[0].value = details;
    finish_start(call, &operations);
}

/* Names the field as the request does, where the engine did not or could not. */
static void field_name(const struct call *call, struct polarys_error *err)
{
    const char *field = polarys_error_detail_find(err, "field");
    if (field != NULL && strcmp(field, "expires_at") == 0) {
        polarys_error_detail_set(err, "field", "expire_time");
    } else if (field == NULL && call->field_hint != NULL &&
               (err->code == POLARYS_BAD_ARGUMENT || err->code == POLARYS_BAD_JSON)) {
        polarys_error_detail_set(err, "field", "%s", call->field_hint);
    }
}

/* Where to go instead. */
static void primary_name(const struct call *call, struct polarys_error *err)
{
    char primary[CONFIG_TEXT_MAX];
    if (err->code == POLARYS_NOT_PRIMARY && call->server->follower != NULL &&
        polarys_error_detail_find(err, "primary") == NULL) {
        follower_primary_get(call->server->follower, primary);
        polarys_error_detail_set(err, "primary", "%s", primary);
    }
}

void call_fail(struct call *call, const struct polarys_error *err)
{
    struct polarys_error clean = *err;
    if (clean.code == POLARYS_OK || (unsigned)clean.code >= POLARYS_CODE_COUNT) {
        polarys_fail(&clean, POLARYS_BUG, "a call failed without an error");
    }
    field_name(call, &clean);
    primary_name(call, &clean);
    utf8_scrub(clean.message);
    for (uint32_t i = 0; i < clean.detail_count; i++) {
        utf8_scrub(clean.details[i].value);
    }
    if (clean.code == POLARYS_BUG || clean.code == POLARYS_IO || clean.code == POLARYS_CORRUPT ||
        clean.code == POLARYS_TAMPERED) {
        polarys_log(POLARYS_LOG_ERROR, "rpc", "%s: %s: %s",
                    call->method == NULL ? "(unknown)" : call->method->path,
                    polarys_code_name(clean.code), clean.message);
    }
    struct error_subject subject = {call->database, call->table, call->key, call->part};
    uint8_t details[ERROR_DETAILS_BYTES_MAX];
    size_t size = error_details_encode(&clean, &subject, details);
    fail_with(call, error_rule_get(clean.code)->status,
              grpc_slice_from_copied_string(clean.message),
              grpc_slice_from_copied_buffer((const char *)details, size));
}

void call_fail_own(struct call *call, enum polarys_code code)
{
    if (call->error.code != code) {
        polarys_fail(&call->error, code, "%s", polarys_code_name(code));
    }
    call_fail(call, &call->error);
}

void call_fail_status(struct call *call, grpc_status_code status, const char *text)
{
    fail_with(call, status, grpc_slice_from_static_string(text), grpc_empty_slice());
}

static void close_fired(struct call *call, bool is_ok)
{
    (void)is_ok;
    if (call->close_flag != 0) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
}

void call_watch_close(struct call *call, void (*fire)(struct call *call, bool is_ok))
{
    SERVICE_ASSERT(!call->has_close_watch);
    struct operations operations = {.count = 0};
    grpc_op *op = operation_add(&operations, GRPC_OP_RECV_CLOSE_ON_SERVER);
    op->data.recv_close_on_server.cancelled = &call->close_flag;
    call->has_close_watch = true;
    call->on_close.fire = fire == NULL ? close_fired : fire;
    batch_start(call, &operations, &call->on_close);
}

void call_send(struct call *call, grpc_slice take_message, bool has_more,
               void (*fire)(struct call *call, bool is_ok))
{
    SERVICE_ASSERT(!call->is_finishing);
    struct operations operations = {.count = 0};
    grpc_byte_buffer message;
    message_init(&message, take_message);
    headers_add(call, &operations);
    grpc_op *op = operation_add(&operations, GRPC_OP_SEND_MESSAGE);
    op->data.send_message.send_message = &message;
    op->flags = has_more ? GRPC_WRITE_BUFFER_HINT : 0;
    call->on_write.fire = fire;
    batch_start(call, &operations, &call->on_write);
    grpc_slice_buffer_destroy(&message.data.raw.slice_buffer);
}

void call_receive(struct call *call, void (*fire)(struct call *call, bool is_ok))
{
    if (call->received != NULL) {
        grpc_byte_buffer_destroy(call->received);
        call->received = NULL;
    }
    struct operations operations = {.count = 0};
    grpc_op *op = operation_add(&operations, GRPC_OP_RECV_MESSAGE);
    op->data.recv_message.recv_message = &call->received;
    call->on_read.fire = fire;
    batch_start(call, &operations, &call->on_read);
}

void call_post_handler_set(struct call *call, void (*fire)(struct call *call, bool is_ok))
{
    call->on_post.fire = fire;
}

void call_post(struct call *call)
{
    SERVICE_ASSERT(call->on_post.fire != NULL);
    if (__atomic_exchange_n(&call->is_posted, 1, __ATOMIC_ACQ_REL) == 0) {
        struct operations none = {.count = 0};
        batch_start(call, &none, &call->on_post);
    }
}

void call_event_post(struct call *call, struct call_event *event)
{
    grpc_call *handle = call->handle;
    handoff_release(event);
    grpc_call_error error = grpc_call_start_batch(handle, NULL, 0, event, NULL);
    SERVICE_ASSERT(error == GRPC_CALL_OK);
}

void call_submit_done(void *context, enum polarys_code code,
                      const struct polarys_write_result *result, const struct polarys_error *err)
{
    struct call *call = context;
    if (code != POLARYS_OK) {
        call_fail(call, err);
        return;
    }
    call->commit_version = result->version;
    call_reply(call, response_commit(call->server, result->version));
}
