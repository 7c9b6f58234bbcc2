/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare server: what gRPC itself costs, and what gRPC with a synced log costs, when there is no database.
 * It is the floor that polarysd is measured against, so it takes calls, queues and channel arguments as
 * service/server does, and nothing else.
 */
#ifndef BENCH_ECHO_ECHO_H
#define BENCH_ECHO_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/grpc.h>

enum echo_mode {
    ECHO_PLAIN,      /* a put is answered at once */
    ECHO_LOG_THREAD, /* a put is answered by a thread that wrote and synced the group it is in */
    ECHO_INLINE,     /* the queue's own thread writes and syncs for all puts that wait */
};

struct echo_server;

/* A unary call; its tag is the call itself. */
struct echo_call {
    struct echo_server *server;
    const struct echo_method *method;
    grpc_call *handle;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int close_flag;
    bool is_answered;
    struct echo_call *next; /* among those that wait for the log */
};

struct echo_method {
    const char *path;
    bool is_put;
    bool is_stream;
    size_t answer_size;
};

/* ---- the log ---- */

struct echo_log;

/* Makes `path`, wholly written once, so that no write changes its size or its extents. */
struct echo_log *echo_log_open(const char *path);
/* Writes what `count` puts would and waits until the disk has it. */
void echo_log_write(struct echo_log *log, uint64_t count);
/* Starts the thread that serves echo_log_add. */
void echo_log_thread_start(struct echo_log *log);
/* The call is answered by the thread. Any thread. */
void echo_log_add(struct echo_log *log, struct echo_call *call);

/* ---- answering ---- */

/* Sends the canned answer; any thread. */
void echo_answer(struct echo_call *call);

/* ---- write streams ---- */

struct echo_stream;

/* A write stream that waits for its client. Answers every batch at once, whatever the mode. */
void echo_stream_request(grpc_server *server, void *registered, grpc_completion_queue *queue);
/* An event of a stream came back. `tag` is what is_stream_tag accepted. */
void echo_stream_fire(void *tag, bool is_ok);
/* Streams and calls share the queue; the tags of streams have their lowest bit set. */
bool echo_stream_is_tag(const void *tag);

#endif
