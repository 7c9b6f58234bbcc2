/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BulkService.Write without a database: every batch is acknowledged as soon as it has arrived. One send at a
 * time, the acknowledgements in order; reading goes on meanwhile until ACKS_MAX of them wait.
 */
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice_buffer.h>

#include "bench/echo/echo.h"
#include "bench/support/bench.h"

enum { ACKS_MAX = 1024, ANSWER_BYTES_MAX = 64, VARINT_SIZE_MAX = 10 };

/* The kinds of messages of a writer, as the fields of WriteRequest and WriteResponse are numbered. */
enum message_kind { MESSAGE_OPEN = 1, MESSAGE_BATCH = 2, MESSAGE_CLOSE = 3 };

enum event_kind { EVENT_REQUESTED, EVENT_RECEIVED, EVENT_SENT, EVENT_CLOSED, EVENT_COUNT };

struct event {
    struct echo_stream *stream;
    enum event_kind kind;
};

struct answer {
    enum message_kind kind;
    uint64_t number;
};

struct echo_stream {
    struct event events[EVENT_COUNT];
    grpc_server *server;
    void *registered;
    grpc_completion_queue *queue;
    grpc_call *handle;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *received;
    int close_flag;
    bool has_sent_headers;
    bool is_sending;
    bool is_reading;
    bool is_at_end;    /* the client has said all */
    bool is_finishing; /* the status is on its way, or the client is gone */
    int outstanding;
    uint64_t head; /* of the answers, by number since the stream began */
    uint64_t tail;
    struct answer answers[ACKS_MAX];
};

bool echo_stream_is_tag(const void *tag)
{
    return ((uintptr_t)tag & 1) != 0;
}

static void *tag_of(struct echo_stream *stream, enum event_kind kind)
{
    return (void *)((uintptr_t)&stream->events[kind] | 1);
}

void echo_stream_request(grpc_server *server, void *registered, grpc_completion_queue *queue)
{
    struct echo_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        bench_die("no memory for a stream");
    }
    stream->server = server;
    stream->registered = registered;
    stream->queue = queue;
    for (int kind = 0; kind < EVENT_COUNT; kind++) {
        stream->events[kind].stream = stream;
        stream->events[kind].kind = (enum event_kind)kind;
    }
    grpc_metadata_array_init(&stream->metadata);
    if (grpc_server_request_registered_call(server, registered, &stream->handle, &stream->deadline,
                                            &stream->metadata, NULL, queue, queue,
                                            tag_of(stream, EVENT_REQUESTED)) != GRPC_CALL_OK) {
        bench_die("a stream could not be requested");
    }
}

static void batch_start(struct echo_stream *stream, const grpc_op *ops, size_t count,
                        enum event_kind kind)
{
    stream->outstanding++;
    if (grpc_call_start_batch(stream->handle, ops, count, tag_of(stream, kind), NULL) !=
        GRPC_CALL_OK) {
        bench_die("an operation of a stream could not be started");
    }
}

static void receive(struct echo_stream *stream)
{
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &stream->received;
    stream->is_reading = true;
    batch_start(stream, &op, 1, EVENT_RECEIVED);
}

static uint8_t *varint_put(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        *to++ = (uint8_t)(value | 0x80);
    }
    *to++ = (uint8_t)value;
    return to;
}

/* WriteOpened, WriteAck and WriteClosed have the same kinds of fields at 1, 2 and 4. */
static size_t answer_write(const struct answer *answer, uint8_t *to)
{
    uint8_t body[ANSWER_BYTES_MAX / 2];
    uint8_t *end = body;
    if (answer->kind == MESSAGE_OPEN) {
        *end++ = 4 << 3;
        end = varint_put(end, 16 << 20);
    } else if (answer->kind == MESSAGE_BATCH) {
        *end++ = 1 << 3;
        end = varint_put(end, answer->number);
        *end++ = 2 << 3;
        end = varint_put(end, answer->number);
    }
    uint8_t *at = to;
    *at++ = (uint8_t)(answer->kind << 3 | 2);
    *at++ = (uint8_t)(end - body);
    memcpy(at, body, (size_t)(end - body));
    return (size_t)(at - to) + (size_t)(end - body);
}

static void finish(struct echo_stream *stream)
{
    grpc_op ops[2];
    size_t count = 0;
    memset(ops, 0, sizeof(ops));
    if (!stream->has_sent_headers) {
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    }
    ops[count++].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    stream->is_finishing = true;
    stream->is_sending = true;
    batch_start(stream, ops, count, EVENT_SENT);
}

/* Sends the next answer, or the status after the last. */
static void push(struct echo_stream *stream)
{
    if (stream->is_sending || stream->is_finishing) {
        return;
    }
    if (stream->head == stream->tail) {
        if (stream->is_at_end) {
            finish(stream);
        }
        return;
    }
    uint8_t bytes[ANSWER_BYTES_MAX];
    size_t size = answer_write(&stream->answers[stream->head++ % ACKS_MAX], bytes);
    grpc_byte_buffer message;
    grpc_op ops[2];
    size_t count = 0;
    memset(&message, 0, sizeof(message));
    memset(ops, 0, sizeof(ops));
    message.type = GRPC_BB_RAW;
    grpc_slice_buffer_init(&message.data.raw.slice_buffer);
    grpc_slice_buffer_add(&message.data.raw.slice_buffer,
                          grpc_slice_from_copied_buffer((const char *)bytes, size));
    if (!stream->has_sent_headers) {
        stream->has_sent_headers = true;
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    }
    ops[count].op = GRPC_OP_SEND_MESSAGE;
    ops[count].flags = stream->head != stream->tail ? GRPC_WRITE_BUFFER_HINT : 0;
    ops[count++].data.send_message.send_message = &message;
    stream->is_sending = true;
    batch_start(stream, ops, count, EVENT_SENT);
    grpc_slice_buffer_destroy(&message.data.raw.slice_buffer);
}

/* Looks only at the head of the message: its kind, and the number of a batch. */
static void message_look(struct echo_stream *stream)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *slice;
    uint8_t head[2 * VARINT_SIZE_MAX + 2];
    size_t have = 0;
    memset(head, 0, sizeof(head));
    if (grpc_byte_buffer_reader_init(&reader, stream->received) == 0) {
        bench_die("a message can't be read");
    }
    while (have < sizeof(head) && grpc_byte_buffer_reader_peek(&reader, &slice) != 0) {
        size_t size = GRPC_SLICE_LENGTH(*slice);
        size = size < sizeof(head) - have ? size : sizeof(head) - have;
        memcpy(head + have, GRPC_SLICE_START_PTR(*slice), size);
        have += size;
    }
    grpc_byte_buffer_reader_destroy(&reader);
    struct answer *answer = &stream->answers[stream->tail++ % ACKS_MAX];
    answer->kind = (enum message_kind)(head[0] >> 3);
    answer->number = 0;
    size_t at = 1;
    while (at < VARINT_SIZE_MAX && (head[at] & 0x80) != 0) {
        at++;
    }
    at += 2; /* the last byte of the length, and the tag of `number` */
    for (unsigned shift = 0; answer->kind == MESSAGE_BATCH && at < sizeof(head); shift += 7) {
        answer->number |= (uint64_t)(head[at] & 0x7f) << shift;
        if ((head[at++] & 0x80) == 0) {
            break;
        }
    }
    grpc_byte_buffer_destroy(stream->received);
    stream->received = NULL;
}

static void received(struct echo_stream *stream)
{
    stream->is_reading = false;
    if (stream->received == NULL) {
        stream->is_at_end = true;
        return;
    }
    message_look(stream);
}

static void requested(struct echo_stream *stream, bool is_ok)
{
    if (!is_ok) {
        return;
    }
    echo_stream_request(stream->server, stream->registered, stream->queue);
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &stream->close_flag;
    batch_start(stream, &op, 1, EVENT_CLOSED);
}

void echo_stream_fire(void *tag, bool is_ok)
{
    struct event *event = (struct event *)((uintptr_t)tag & ~(uintptr_t)1);
    struct echo_stream *stream = event->stream;
    if (event->kind == EVENT_REQUESTED) {
        requested(stream, is_ok);
    } else {
        stream->outstanding--;
    }
    if (event->kind == EVENT_RECEIVED) {
        received(stream);
    } else if (event->kind == EVENT_SENT) {
        stream->is_sending = false;
    } else if (event->kind == EVENT_CLOSED) {
        stream->is_finishing = true;
        stream->is_at_end = true;
    }
    push(stream);
    if (!stream->is_reading && !stream->is_at_end && stream->tail - stream->head < ACKS_MAX) {
        receive(stream);
    }
    if (stream->outstanding == 0) {
        grpc_metadata_array_destroy(&stream->metadata);
        grpc_call_unref(stream->handle);
        free(stream);
    }
}
