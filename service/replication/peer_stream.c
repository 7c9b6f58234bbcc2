/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream to another node, driven by one thread through a completion queue of its own. At most one send
 * and one receive are outstanding; a message that comes while a send waits is kept, so that neither side
 * can hold up the other. What is not taken stays in the transport, which holds the sender back.
 */
#include <stdlib.h>
#include <string.h>

#include "service/replication/peer_internal.h"
#include "service/server/check.h"

/* The addresses are the tags. */
struct stream_tags {
    char begin;
    char send;
    char close;
    char receive;
    char status;
};

struct grpc_stream {
    struct peer_stream base;
    struct grpc_peer *peer;
    const ProtobufCMessageDescriptor *response;
    grpc_completion_queue *queue;
    grpc_call *call;
    struct stream_tags tags;

    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice text;
    grpc_byte_buffer *receiving; /* where the transport puts the next message */
    grpc_byte_buffer *received;  /* one that waits to be taken */
    grpc_byte_buffer *sending;

    unsigned outstanding;
    bool is_sending;
    bool is_receiving;
    bool has_failed_send;
    bool has_ended; /* no further message */
    bool has_status;
};

static void batch_start(struct grpc_stream *stream, const grpc_op *ops, size_t count, void *tag)
{
    grpc_call_error error = grpc_call_start_batch(stream->call, ops, count, tag, NULL);
    SERVICE_ASSERT(error == GRPC_CALL_OK);
    stream->outstanding++;
}

static void receive_start(struct grpc_stream *stream)
{
    if (stream->is_receiving || stream->has_ended || stream->received != NULL) {
        return;
    }
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &stream->receiving;
    stream->is_receiving = true;
    batch_start(stream, &op, 1, &stream->tags.receive);
}

static void send_done(struct grpc_stream *stream, bool is_ok)
{
    stream->is_sending = false;
    stream->has_failed_send |= !is_ok;
    grpc_byte_buffer_destroy(stream->sending);
    stream->sending = NULL;
}

/* Handles one tag; false when none came before the deadline. */
static bool tag_take(struct grpc_stream *stream, gpr_timespec deadline)
{
    grpc_event event = grpc_completion_queue_next(stream->queue, deadline, NULL);
    if (event.type != GRPC_OP_COMPLETE) {
        return false;
    }
    SERVICE_ASSERT(stream->outstanding > 0);
    stream->outstanding--;
    if (event.tag == &stream->tags.send) {
        send_done(stream, event.success != 0);
    } else if (event.tag == &stream->tags.receive) {
        stream->is_receiving = false;
        stream->received = stream->receiving;
        stream->receiving = NULL;
        stream->has_ended |= stream->received == NULL;
    } else if (event.tag == &stream->tags.status) {
        stream->has_status = true;
    }
    return true;
}

static void stream_begin(struct grpc_stream *stream)
{
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    batch_start(stream, ops, 2, &stream->tags.begin);
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &stream->trailing;
    ops[0].data.recv_status_on_client.status = &stream->status;
    ops[0].data.recv_status_on_client.status_details = &stream->text;
    batch_start(stream, ops, 1, &stream->tags.status);
    receive_start(stream);
}

static gpr_timespec deadline_in(uint32_t timeout_ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

enum polarys_code grpc_stream_send(struct peer_stream *base, const ProtobufCMessage *message,
                                   struct polarys_error *err)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    grpc_op op;
    SERVICE_ASSERT(!stream->is_sending);
    if (stream->has_status || stream->has_failed_send) {
        return polarys_fail(err, POLARYS_NO_PRIMARY, "the stream has ended");
    }
    memset(&op, 0, sizeof(op));
    stream->sending = peer_message_pack(message);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = stream->sending;
    stream->is_sending = true;
    batch_start(stream, &op, 1, &stream->tags.send);
    gpr_timespec deadline = deadline_in(PEER_SEND_MS);
    while (stream->is_sending) {
        if (!tag_take(stream, deadline)) {
            /* A node that reads nothing: the cancelled send completes at once. */
            (void)grpc_call_cancel(stream->call, NULL);
            deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
        }
    }
    return stream->has_failed_send ? polarys_fail(err, POLARYS_NO_PRIMARY, "the stream has ended")
                                   : POLARYS_OK;
}

static void half_close(struct grpc_stream *stream)
{
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    batch_start(stream, &op, 1, &stream->tags.close);
}

enum polarys_code grpc_stream_open(struct peer *base, const struct peer_call *call,
                                   struct peer_stream **out, struct polarys_error *err)
{
    struct grpc_peer *peer = (struct grpc_peer *)base;
    *out = NULL;
    struct grpc_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a stream");
    }
    stream->base.ops = base->ops;
    stream->peer = peer;
    stream->response = call->response;
    stream->queue = grpc_completion_queue_create_for_next(NULL);
    stream->status = GRPC_STATUS_UNKNOWN;
    stream->text = grpc_empty_slice();
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    enum polarys_code code =
        grpc_peer_call_begin(peer, call->method, 0, stream->queue, &stream->call, err);
    if (code != POLARYS_OK) {
        grpc_stream_close(&stream->base);
        return code;
    }
    stream_begin(stream);
    /* What makes the first message fail is told when receiving. */
    struct polarys_error send_error = POLARYS_ERROR_INIT;
    if (grpc_stream_send(&stream->base, call->request, &send_error) == POLARYS_OK &&
        call->is_only_request) {
        half_close(stream);
    }
    *out = &stream->base;
    return POLARYS_OK;
}

/* All messages were taken: waits for the status. */
static enum polarys_code end_take(struct grpc_stream *stream, struct peer_received *received,
                                  struct polarys_error *err)
{
    while (!stream->has_status) {
        (void)tag_take(stream, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    }
    if (stream->status == GRPC_STATUS_OK) {
        received->event = PEER_ENDED;
        return POLARYS_OK;
    }
    return peer_error_take(err, stream->status, &stream->text, &stream->trailing);
}

enum polarys_code grpc_stream_receive(struct peer_stream *base, uint32_t timeout_ms,
                                      struct proto_arena *arena, struct peer_received *received,
                                      struct polarys_error *err)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    gpr_timespec deadline = deadline_in(timeout_ms);
    *received = (struct peer_received){.event = PEER_IDLE};
    while (stream->received == NULL && !stream->has_ended) {
        receive_start(stream);
        if (!tag_take(stream, deadline)) {
            return POLARYS_OK;
        }
    }
    if (stream->received == NULL) {
        return end_take(stream, received, err);
    }
    grpc_byte_buffer *buffer = stream->received;
    stream->received = NULL;
    receive_start(stream);
    received->event = PEER_MESSAGE;
    enum polarys_code code =
        peer_message_unpack(buffer, stream->response, arena, &received->message, err);
    grpc_byte_buffer_destroy(buffer);
    return code;
}

void grpc_stream_close(struct peer_stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    if (stream->call != NULL) {
        (void)grpc_call_cancel(stream->call, NULL);
    }
    while (stream->outstanding > 0) {
        (void)tag_take(stream, gpr_inf_future(GPR_CLOCK_MONOTONIC));
        if (stream->received != NULL) {
            grpc_byte_buffer_destroy(stream->received);
            stream->received = NULL;
        }
    }
    grpc_byte_buffer_destroy(stream->received);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->text);
    if (stream->call != NULL) {
        grpc_peer_call_end(stream->peer, stream->call);
    }
    grpc_completion_queue_shutdown(stream->queue);
    (void)grpc_completion_queue_next(stream->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(stream->queue);
    free(stream);
}
