/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel to another node, and unary calls on it.
 *
 * The invariant: a call is in `calls` as long as its handle lives, so that peer_cancel, from another
 * thread, never touches one that is gone.
 */
#include "service/replication/peer.h"

#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>

#include "service/replication/peer_internal.h"
#include "service/server/check.h"

enum { UNARY_OPERATIONS = 6, CHANNEL_METADATA_MAX = 64 << 10, RECONNECT_MS_MAX = 1000 };

/* What one unary call receives. */
struct unary_reply {
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *message;
    grpc_status_code status;
    grpc_slice text;
};

grpc_byte_buffer *peer_message_pack(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(size);
    size_t packed = protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    SERVICE_ASSERT(packed == size);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

enum polarys_code peer_message_unpack(grpc_byte_buffer *buffer,
                                      const ProtobufCMessageDescriptor *descriptor,
                                      struct proto_arena *arena, void **message,
                                      struct polarys_error *err)
{
    grpc_byte_buffer_reader reader;
    *message = NULL;
    if (grpc_byte_buffer_reader_init(&reader, buffer) == 0) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "an answer can't be decompressed");
    }
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    struct polarys_slice bytes = slice_make(GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole));
    *message = proto_arena_unpack(arena, descriptor, bytes, err);
    grpc_slice_unref(whole);
    return *message != NULL ? POLARYS_OK : polarys_wrap(err, err->code, "answer");
}

/* ---- calls ---- */

enum polarys_code grpc_peer_call_begin(struct grpc_peer *peer, const char *method,
                                       uint32_t timeout_ms, grpc_completion_queue *queue,
                                       grpc_call **out, struct polarys_error *err)
{
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (timeout_ms != 0) {
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    }
    *out = NULL;
    (void)pthread_mutex_lock(&peer->mutex);
    if (!peer->is_cancelled) {
        grpc_slice path = grpc_slice_from_copied_string(method);
        *out = grpc_channel_create_call(peer->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, path,
                                        NULL, deadline, NULL);
        grpc_slice_unref(path);
        size_t place = peer->calls[0] == NULL ? 0 : 1;
        SERVICE_ASSERT(peer->calls[place] == NULL);
        peer->calls[place] = *out;
    }
    (void)pthread_mutex_unlock(&peer->mutex);
    return *out != NULL ? POLARYS_OK
                        : polarys_fail(err, POLARYS_CANCELLED, "the call was cancelled");
}

void grpc_peer_call_end(struct grpc_peer *peer, grpc_call *call)
{
    (void)pthread_mutex_lock(&peer->mutex);
    size_t place = peer->calls[0] == call ? 0 : 1;
    SERVICE_ASSERT(peer->calls[place] == call);
    peer->calls[place] = NULL;
    (void)pthread_mutex_unlock(&peer->mutex);
    grpc_call_unref(call);
}

static void cancel(struct peer *base)
{
    struct grpc_peer *peer = (struct grpc_peer *)base;
    (void)pthread_mutex_lock(&peer->mutex);
    peer->is_cancelled = true;
    for (size_t i = 0; i < PEER_CALLS_MAX; i++) {
        if (peer->calls[i] != NULL) {
            (void)grpc_call_cancel(peer->calls[i], NULL);
        }
    }
    (void)pthread_mutex_unlock(&peer->mutex);
}

static void unary_start(grpc_call *call, grpc_byte_buffer *request, struct unary_reply *reply)
{
    grpc_op ops[UNARY_OPERATIONS];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &reply->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &reply->message;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &reply->trailing;
    ops[5].data.recv_status_on_client.status = &reply->status;
    ops[5].data.recv_status_on_client.status_details = &reply->text;
    grpc_call_error error = grpc_call_start_batch(call, ops, UNARY_OPERATIONS, call, NULL);
    SERVICE_ASSERT(error == GRPC_CALL_OK);
}

static enum polarys_code unary_take(struct unary_reply *reply, const struct peer_call *call,
                                    struct proto_arena *arena, void **response,
                                    struct polarys_error *err)
{
    if (reply->status != GRPC_STATUS_OK) {
        return peer_error_take(err, reply->status, &reply->text, &reply->trailing);
    }
    if (reply->message == NULL) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "the answer has no message");
    }
    return peer_message_unpack(reply->message, call->response, arena, response, err);
}

static enum polarys_code unary(struct peer *base, const struct peer_call *call,
                               struct proto_arena *arena, void **response,
                               struct polarys_error *err)
{
    struct grpc_peer *peer = (struct grpc_peer *)base;
    struct unary_reply reply = {.status = GRPC_STATUS_UNKNOWN, .text = grpc_empty_slice()};
    grpc_call *handle;
    *response = NULL;
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    enum polarys_code code =
        grpc_peer_call_begin(peer, call->method, call->timeout_ms, queue, &handle, err);
    if (code == POLARYS_OK) {
        grpc_byte_buffer *request = peer_message_pack(call->request);
        grpc_metadata_array_init(&reply.initial);
        grpc_metadata_array_init(&reply.trailing);
        unary_start(handle, request, &reply);
        (void)grpc_completion_queue_pluck(queue, handle, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        code = unary_take(&reply, call, arena, response, err);
        grpc_metadata_array_destroy(&reply.initial);
        grpc_metadata_array_destroy(&reply.trailing);
        grpc_byte_buffer_destroy(reply.message);
        grpc_byte_buffer_destroy(request);
        grpc_slice_unref(reply.text);
        grpc_peer_call_end(peer, handle);
    }
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    return code == POLARYS_OK ? code
                              : polarys_wrap(err, code, "%s", strrchr(call->method, '/') + 1);
}

/* ---- the channel ---- */

static void channel_close(struct peer *base)
{
    struct grpc_peer *peer = (struct grpc_peer *)base;
    SERVICE_ASSERT(peer->calls[0] == NULL && peer->calls[1] == NULL);
    grpc_channel_destroy(peer->channel);
    (void)pthread_mutex_destroy(&peer->mutex);
    free(peer);
    grpc_shutdown();
}

static const struct peer_ops grpc_ops = {
    .unary = unary,
    .stream_open = grpc_stream_open,
    .stream_send = grpc_stream_send,
    .stream_receive = grpc_stream_receive,
    .stream_close = grpc_stream_close,
    .cancel = cancel,
    .close = channel_close,
};

static grpc_arg integer_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};
    arg.value.integer = value;
    return arg;
}

enum polarys_code peer_open(const char *address, struct peer **out, struct polarys_error *err)
{
    *out = NULL;
    struct grpc_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a connection to %s", address);
    }
    grpc_arg list[] = {
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, PEER_MESSAGE_BYTES_MAX),
        integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        integer_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        integer_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50),
        /* In spite of its name this is how long an attempt to connect may take. */
        integer_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, PEER_CONNECT_MS),
        integer_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MS_MAX),
        integer_arg(GRPC_ARG_MAX_METADATA_SIZE, CHANNEL_METADATA_MAX),
    };
    grpc_channel_args args = {sizeof(list) / sizeof(list[0]), list};
    grpc_init();
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    peer->base.ops = &grpc_ops;
    peer->channel = grpc_channel_create(address, credentials, &args);
    grpc_channel_credentials_release(credentials);
    if (peer->channel == NULL) {
        free(peer);
        grpc_shutdown();
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "\"%.200s\" is no address", address);
    }
    (void)pthread_mutex_init(&peer->mutex, NULL);
    *out = &peer->base;
    return POLARYS_OK;
}
