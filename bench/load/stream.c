/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the operations of one stream and gives its messages out as one slice. Invariant: each kind of event has
 * one tag, so at most one operation of a kind is outstanding. What the messages say is the owner's business.
 */
#include "bench/load/stream.h"

#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice_buffer.h>

static void batch_start(struct stream *stream, const grpc_op *ops, size_t count,
                        enum stream_event event)
{
    if (grpc_call_start_batch(stream->handle, ops, count, &stream->tags[event], NULL) !=
        GRPC_CALL_OK) {
        bench_die("an operation of a stream could not be started");
    }
}

void stream_open(struct stream *stream, struct load_target *target, uint32_t connection,
                 const char *method)
{
    memset(stream, 0, sizeof(*stream));
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    for (int event = 0; event < STREAM_EVENT_COUNT; event++) {
        stream->tags[event].stream = stream;
        stream->tags[event].event = (enum stream_event)event;
    }
    stream->handle = grpc_channel_create_call(target->channels[connection], NULL, 0, target->queue,
                                              grpc_slice_from_static_string(method), NULL,
                                              gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    op.data.recv_status_on_client.trailing_metadata = &stream->trailing;
    op.data.recv_status_on_client.status = &stream->status;
    op.data.recv_status_on_client.status_details = &stream->status_text;
    batch_start(stream, &op, 1, STREAM_ENDED);
}

void stream_send(struct stream *stream, grpc_slice take_message, bool is_first, bool is_last)
{
    grpc_op ops[3];
    size_t count = 0;
    grpc_byte_buffer message;
    memset(ops, 0, sizeof(ops));
    memset(&message, 0, sizeof(message));
    message.type = GRPC_BB_RAW;
    grpc_slice_buffer_init(&message.data.raw.slice_buffer);
    grpc_slice_buffer_add(&message.data.raw.slice_buffer, take_message);
    if (is_first) {
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    }
    ops[count].op = GRPC_OP_SEND_MESSAGE;
    ops[count++].data.send_message.send_message = &message;
    if (is_last) {
        ops[count++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    }
    batch_start(stream, ops, count, STREAM_SENT);
    grpc_slice_buffer_destroy(&message.data.raw.slice_buffer);
}

void stream_receive(struct stream *stream)
{
    grpc_op ops[2];
    size_t count = 0;
    memset(ops, 0, sizeof(ops));
    if (!stream->has_asked_headers) {
        ops[count].op = GRPC_OP_RECV_INITIAL_METADATA;
        ops[count++].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
        stream->has_asked_headers = true;
    }
    ops[count].op = GRPC_OP_RECV_MESSAGE;
    ops[count++].data.recv_message.recv_message = &stream->received;
    batch_start(stream, ops, count, STREAM_RECEIVED);
}

grpc_slice stream_message_take(struct stream *stream)
{
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, stream->received) == 0) {
        bench_die("a message can't be read");
    }
    grpc_slice message = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(stream->received);
    stream->received = NULL;
    return message;
}

void stream_close(struct stream *stream)
{
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->status_text);
    grpc_call_unref(stream->handle);
    memset(stream, 0, sizeof(*stream));
}
