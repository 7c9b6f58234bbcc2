/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream, driven by one thread through a completion queue of its own. At most one send and one
 * receive are outstanding; what is received while a send waits is kept in a short list, so that neither
 * side can hold up the other.
 */
#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/error.h"
#include "client/transport.h"
#include "client/transport_internal.h"

enum {
    STREAM_HELD_MESSAGES_MAX = 64, /* received and not yet handed out; past it receiving pauses */
};

/* Completion tags: the addresses of these fields. */
struct stream_tags {
    char begin;
    char send;
    char close;
    char receive;
    char status;
};

struct transport_stream {
    grpc_completion_queue *queue;
    grpc_call *call;
    struct stream_tags tags;

    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice text;
    grpc_byte_buffer *receiving;
    grpc_byte_buffer *sending;

    int outstanding; /* batches that have not completed */
    bool is_begun;   /* initial metadata went out */
    bool is_sending;
    bool is_closing;
    bool is_receiving;
    bool has_status;
    bool has_ended; /* a receive came back empty */
    bool has_failed_send;
    bool is_out_of_memory;

    struct transport_message held[STREAM_HELD_MESSAGES_MAX];
    size_t held_first;
    size_t held_count;
};

static bool batch_start(struct transport_stream *stream, const grpc_op *ops, size_t count,
                        void *tag)
{
    POLARYS_ASSERT(count > 0);
    POLARYS_ASSERT(stream->outstanding >= 0);
    if (grpc_call_start_batch(stream->call, ops, count, tag, NULL) != GRPC_CALL_OK) {
        return false;
    }
    stream->outstanding++;
    return true;
}

static void receive_start(struct transport_stream *stream)
{
    grpc_op op;
    /* After the status a receive still completes, with what is left or with nothing. */
    if (stream->is_receiving || stream->has_ended ||
        stream->held_count == STREAM_HELD_MESSAGES_MAX) {
        return;
    }
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &stream->receiving;
    stream->is_receiving = batch_start(stream, &op, 1, &stream->tags.receive);
    stream->has_ended = !stream->is_receiving;
}

static void received(struct transport_stream *stream)
{
    POLARYS_ASSERT(stream->is_receiving);
    POLARYS_ASSERT(stream->held_count < STREAM_HELD_MESSAGES_MAX);
    stream->is_receiving = false;
    if (stream->receiving == NULL) {
        stream->has_ended = true;
        return;
    }
    size_t slot = (stream->held_first + stream->held_count) % STREAM_HELD_MESSAGES_MAX;
    if (transport_message_take(stream->receiving, &stream->held[slot])) {
        stream->held_count++;
    } else {
        stream->is_out_of_memory = true;
        grpc_call_cancel(stream->call, NULL);
    }
    grpc_byte_buffer_destroy(stream->receiving);
    stream->receiving = NULL;
    receive_start(stream);
}

/* Handles one completion; false when none came before the deadline. */
static bool completion_take(struct transport_stream *stream, gpr_timespec deadline)
{
    grpc_event event = grpc_completion_queue_next(stream->queue, deadline, NULL);
    if (event.type != GRPC_OP_COMPLETE) {
        return false;
    }
    stream->outstanding--;
    if (event.tag == &stream->tags.begin) {
        stream->is_begun = true;
    } else if (event.tag == &stream->tags.send) {
        stream->is_sending = false;
        stream->has_failed_send |= event.success == 0;
        grpc_byte_buffer_destroy(stream->sending);
        stream->sending = NULL;
    } else if (event.tag == &stream->tags.close) {
        stream->is_closing = false;
    } else if (event.tag == &stream->tags.receive) {
        received(stream);
    } else {
        stream->has_status = true;
    }
    return true;
}

static bool stream_begin(struct transport_stream *stream)
{
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    if (!batch_start(stream, ops, 2, &stream->tags.begin)) {
        return false;
    }
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &stream->trailing;
    ops[0].data.recv_status_on_client.status = &stream->status;
    ops[0].data.recv_status_on_client.status_details = &stream->text;
    if (!batch_start(stream, ops, 1, &stream->tags.status)) {
        return false;
    }
    receive_start(stream);
    return true;
}

bool transport_stream_open(struct transport *transport, const char *method, uint64_t deadline_ms,
                           struct transport_stream **out, struct polarys_client_error *err)
{
    struct transport_stream *stream = calloc(1, sizeof(*stream));

    POLARYS_ASSERT(transport != NULL);
    POLARYS_ASSERT(out != NULL);
    *out = NULL;
    if (stream == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a stream");
        return false;
    }
    grpc_slice path = grpc_slice_from_copied_string(method);
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    stream->text = grpc_empty_slice();
    stream->status = GRPC_STATUS_UNKNOWN;
    stream->queue = grpc_completion_queue_create_for_next(NULL);
    stream->call =
        grpc_channel_create_call(transport->channel, NULL, GRPC_PROPAGATE_DEFAULTS, stream->queue,
                                 path, NULL, transport_deadline(deadline_ms), NULL);
    grpc_slice_unref(path);
    if (!stream_begin(stream)) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "%s: gRPC refused the stream", method);
        transport_stream_destroy(stream);
        return false;
    }
    *out = stream;
    return true;
}

static gpr_timespec wait_until(uint32_t timeout_ms)
{
    if (timeout_ms == UINT32_MAX) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

bool transport_stream_send(struct transport_stream *stream, const void *message, size_t size)
{
    grpc_op op;

    POLARYS_ASSERT(!stream->is_sending);
    if (stream->has_ended || stream->has_status || stream->has_failed_send) {
        return false;
    }
    memset(&op, 0, sizeof(op));
    stream->sending = transport_buffer_create(message, size);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = stream->sending;
    stream->is_sending = batch_start(stream, &op, 1, &stream->tags.send);
    if (!stream->is_sending) {
        grpc_byte_buffer_destroy(stream->sending);
        stream->sending = NULL;
        return false;
    }
    gpr_timespec deadline = wait_until(TRANSPORT_SEND_MS_MAX);
    while (stream->is_sending) {
        if (!completion_take(stream, deadline)) {
            /* A peer that reads nothing: the cancelled send completes at once. */
            grpc_call_cancel(stream->call, NULL);
            deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
        }
    }
    return !stream->has_failed_send;
}

bool transport_stream_half_close(struct transport_stream *stream)
{
    grpc_op op;

    POLARYS_ASSERT(!stream->is_closing);
    memset(&op, 0, sizeof(op));
    if (stream->has_ended || stream->has_failed_send) {
        return false;
    }
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    stream->is_closing = batch_start(stream, &op, 1, &stream->tags.close);
    return stream->is_closing;
}

enum transport_event transport_stream_receive(struct transport_stream *stream, uint32_t timeout_ms,
                                              struct transport_message *message)
{
    gpr_timespec deadline = wait_until(timeout_ms);

    POLARYS_ASSERT(message != NULL);
    message->bytes = NULL;
    message->size = 0;
    while (stream->held_count == 0 && !stream->has_ended) {
        receive_start(stream);
        if (!stream->has_ended && !completion_take(stream, deadline)) {
            return TRANSPORT_IDLE;
        }
    }
    if (stream->held_count == 0) {
        return TRANSPORT_ENDED;
    }
    *message = stream->held[stream->held_first];
    stream->held_first = (stream->held_first + 1) % STREAM_HELD_MESSAGES_MAX;
    stream->held_count--;
    receive_start(stream);
    return TRANSPORT_MESSAGE;
}

bool transport_stream_finish(struct transport_stream *stream, struct polarys_client_error *err)
{
    POLARYS_ASSERT(stream != NULL);
    while (!stream->has_status && stream->outstanding > 0) {
        (void)completion_take(stream, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    }
    if (stream->is_out_of_memory) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a message");
        return false;
    }
    if (stream->status == GRPC_STATUS_OK) {
        return true;
    }
    transport_error_fill(err, stream->status, &stream->text, &stream->trailing);
    return false;
}

void transport_stream_cancel(struct transport_stream *stream)
{
    grpc_call_cancel(stream->call, NULL);
}

void transport_stream_destroy(struct transport_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    grpc_call_cancel(stream->call, NULL);
    while (stream->outstanding > 0) {
        /* Ends the receiving: nothing starts a new batch once has_ended is set. */
        stream->has_ended = true;
        (void)completion_take(stream, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    }
    while (stream->held_count > 0) {
        free(stream->held[stream->held_first].bytes);
        stream->held_first = (stream->held_first + 1) % STREAM_HELD_MESSAGES_MAX;
        stream->held_count--;
    }
    grpc_byte_buffer_destroy(stream->sending);
    grpc_byte_buffer_destroy(stream->receiving);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->text);
    grpc_call_unref(stream->call);
    grpc_completion_queue_shutdown(stream->queue);
    while (
        grpc_completion_queue_next(stream->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
        GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(stream->queue);
    free(stream);
}
