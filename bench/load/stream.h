/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream: its call and the three kinds of events that come back from it. The owner embeds it, starts
 * operations with the functions below, and is told by `fire` on the thread that reads the queue.
 */
#ifndef BENCH_LOAD_STREAM_H
#define BENCH_LOAD_STREAM_H

#include "bench/load/load.h"

enum stream_event { STREAM_SENT, STREAM_RECEIVED, STREAM_ENDED, STREAM_EVENT_COUNT };

struct stream;

struct stream_tag {
    struct stream *stream;
    enum stream_event event;
};

struct stream {
    grpc_call *handle;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *received; /* NULL with STREAM_RECEIVED: there is no more */
    grpc_slice status_text;
    grpc_status_code status;
    bool has_asked_headers;
    struct stream_tag tags[STREAM_EVENT_COUNT];
};

void stream_open(struct stream *stream, struct load_target *target, uint32_t connection,
                 const char *method);
/* Sends `take_message`, and the end of what the client has to say when `is_last`. One at a time. */
void stream_send(struct stream *stream, grpc_slice take_message, bool is_first, bool is_last);
/* Receives one message. One at a time. */
void stream_receive(struct stream *stream);
/* The message as one slice, for the owner to unref; frees `received`. */
grpc_slice stream_message_take(struct stream *stream);
/* After STREAM_ENDED, when no other event is outstanding. */
void stream_close(struct stream *stream);

#endif
