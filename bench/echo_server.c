/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare echo server.
 *
 *     echo_server [--listen HOST:PORT] [--mode plain|log-thread|inline] [--log FILE]
 *                 [--get-bytes N] [--put-bytes N]
 *
 * It answers KvService.Get, Put and BulkService.Write as polarysd does, with canned bytes, so that the same load
 * client drives both. One queue, one thread, all operations of an answer in one batch, the channel arguments of
 * service/server/server.c. It prints `listening PORT` and runs until it is killed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>
#include <grpc/slice_buffer.h>

#include "bench/echo/echo.h"
#include "bench/support/bench.h"

enum {
    CALLS_REQUESTED = 64, /* of each method, as polarysd keeps for hot ones */
    EVENTS_MAX = 256,     /* between two rounds of the log, as in polarysd */
    ANSWER_BYTES_MAX = 4096,
    OPERATIONS = 4,
};

enum { METHOD_GET, METHOD_PUT, METHOD_CREATE, METHOD_WRITE, METHOD_COUNT };

struct echo_server {
    grpc_server *handle;
    grpc_completion_queue *queue;
    void *registered[METHOD_COUNT];
    struct echo_log *log;
    enum echo_mode mode;
    struct echo_call *pool;    /* of the queue's thread */
    struct echo_call *waiting; /* puts, for the inline log */
    uint64_t waiting_count;
};

static struct echo_method methods[METHOD_COUNT] = {
    {"/polarys.v1.KvService/Get", false, false, 280},
    {"/polarys.v1.KvService/Put", true, false, 100},
    {"/polarys.v1.TableService/CreateTable", false, false, 0},
    {"/polarys.v1.BulkService/Write", false, true, 0},
};
static uint8_t answer_bytes[ANSWER_BYTES_MAX];

static void call_request(struct echo_server *server, struct echo_call *call)
{
    size_t place = (size_t)(call->method - methods);
    call->is_answered = false;
    call->metadata.count = 0;
    if (grpc_server_request_registered_call(
            server->handle, server->registered[place], &call->handle, &call->deadline,
            &call->metadata, &call->payload, server->queue, server->queue, call) != GRPC_CALL_OK) {
        bench_die("a call could not be requested");
    }
}

static void call_make(struct echo_server *server, const struct echo_method *method)
{
    struct echo_call *call = server->pool;
    if (call != NULL) {
        server->pool = call->next;
    } else {
        call = calloc(1, sizeof(*call));
        if (call == NULL) {
            bench_die("no memory for a call");
        }
        grpc_metadata_array_init(&call->metadata);
    }
    call->server = server;
    call->method = method;
    call_request(server, call);
}

void echo_answer(struct echo_call *call)
{
    grpc_op ops[OPERATIONS];
    grpc_byte_buffer message;
    memset(ops, 0, sizeof(ops));
    memset(&message, 0, sizeof(message));
    message.type = GRPC_BB_RAW;
    grpc_slice_buffer_init(&message.data.raw.slice_buffer);
    grpc_slice_buffer_add(
        &message.data.raw.slice_buffer,
        grpc_slice_from_copied_buffer((const char *)answer_bytes, call->method->answer_size));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = &message;
    ops[2].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[3].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[3].data.recv_close_on_server.cancelled = &call->close_flag;
    call->is_answered = true;
    if (grpc_call_start_batch(call->handle, ops, OPERATIONS, call, NULL) != GRPC_CALL_OK) {
        bench_die("an answer could not be started");
    }
    grpc_slice_buffer_destroy(&message.data.raw.slice_buffer);
}

static void call_arrived(struct echo_server *server, struct echo_call *call)
{
    if (!call->method->is_put || server->mode == ECHO_PLAIN) {
        echo_answer(call);
    } else if (server->mode == ECHO_LOG_THREAD) {
        echo_log_add(server->log, call);
    } else {
        call->next = server->waiting;
        server->waiting = call;
        server->waiting_count++;
    }
}

static void call_done(struct echo_server *server, struct echo_call *call)
{
    grpc_call_unref(call->handle);
    if (call->payload != NULL) {
        grpc_byte_buffer_destroy(call->payload);
        call->payload = NULL;
    }
    call->next = server->pool;
    server->pool = call;
}

static void call_fire(struct echo_server *server, struct echo_call *call, bool is_ok)
{
    if (call->is_answered) {
        call_done(server, call);
        return;
    }
    if (is_ok) {
        call_make(server, call->method);
        call_arrived(server, call);
    }
}

/* One write and one sync for all puts that wait, then their answers. */
static void inline_log_run(struct echo_server *server)
{
    struct echo_call *calls = server->waiting;
    echo_log_write(server->log, server->waiting_count);
    server->waiting = NULL;
    server->waiting_count = 0;
    while (calls != NULL) {
        struct echo_call *call = calls;
        calls = call->next;
        echo_answer(call);
    }
}

static void queue_run(struct echo_server *server)
{
    unsigned events = 0;
    for (;;) {
        gpr_timespec deadline = server->waiting != NULL ? gpr_inf_past(GPR_CLOCK_MONOTONIC)
                                                        : gpr_inf_future(GPR_CLOCK_MONOTONIC);
        grpc_event event = grpc_completion_queue_next(server->queue, deadline, NULL);
        if (event.type == GRPC_OP_COMPLETE) {
            if (echo_stream_is_tag(event.tag)) {
                echo_stream_fire(event.tag, event.success != 0);
            } else {
                call_fire(server, event.tag, event.success != 0);
            }
            if (++events < EVENTS_MAX) {
                continue;
            }
        }
        events = 0;
        if (server->waiting != NULL) {
            inline_log_run(server);
        }
    }
}

static grpc_arg integer_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};
    arg.value.integer = value;
    return arg;
}

/* What service/server/server.c gives its server. */
static grpc_server *core_server_create(void)
{
    grpc_arg list[] = {
        integer_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 4 << 20),
        integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer_arg(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10),
        integer_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000),
        integer_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20000),
        integer_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 60000),
        integer_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000),
        integer_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000),
        integer_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
    };
    grpc_channel_args args = {sizeof(list) / sizeof(list[0]), list};
    return grpc_server_create(&args, NULL);
}

static void server_start(struct echo_server *server, const char *listen)
{
    server->handle = core_server_create();
    server->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server->handle, server->queue, NULL);
    for (int i = 0; i < METHOD_COUNT; i++) {
        server->registered[i] = grpc_server_register_method(
            server->handle, methods[i].path, NULL,
            methods[i].is_stream ? GRPC_SRM_PAYLOAD_NONE
                                 : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
            0);
    }
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    int port = grpc_server_add_http2_port(server->handle, listen, credentials);
    grpc_server_credentials_release(credentials);
    if (port <= 0) {
        bench_die("%s can't be listened on", listen);
    }
    grpc_server_start(server->handle);
    for (int i = 0; i < METHOD_COUNT; i++) {
        if (methods[i].is_stream) {
            echo_stream_request(server->handle, server->registered[i], server->queue);
            continue;
        }
        for (int k = 0; k < CALLS_REQUESTED; k++) {
            call_make(server, &methods[i]);
        }
    }
    printf("listening %d\n", port);
    fflush(stdout);
}

static enum echo_mode mode_parse(const char *text)
{
    const char *names[] = {"plain", "log-thread", "inline"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], text) == 0) {
            return (enum echo_mode)i;
        }
    }
    bench_die("there is no mode '%s'", text);
}

static size_t answer_size_parse(const char *option, const char *text)
{
    uint64_t size = bench_number_parse(option, text);
    if (size > ANSWER_BYTES_MAX) {
        bench_die("answers are at most %d bytes", ANSWER_BYTES_MAX);
    }
    return (size_t)size;
}

int main(int argc, char **argv)
{
    struct echo_server server;
    const char *listen = "127.0.0.1:0";
    const char *log = NULL;
    memset(&server, 0, sizeof(server));
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0) {
            listen = argv[i + 1];
        } else if (strcmp(argv[i], "--mode") == 0) {
            server.mode = mode_parse(argv[i + 1]);
        } else if (strcmp(argv[i], "--log") == 0) {
            log = argv[i + 1];
        } else if (strcmp(argv[i], "--get-bytes") == 0) {
            methods[METHOD_GET].answer_size = answer_size_parse(argv[i], argv[i + 1]);
        } else if (strcmp(argv[i], "--put-bytes") == 0) {
            methods[METHOD_PUT].answer_size = answer_size_parse(argv[i], argv[i + 1]);
        } else {
            bench_die("unknown option %s", argv[i]);
        }
    }
    if (server.mode != ECHO_PLAIN) {
        if (log == NULL) {
            bench_die("--mode %s needs --log",
                      server.mode == ECHO_INLINE ? "inline" : "log-thread");
        }
        server.log = echo_log_open(log);
        if (server.mode == ECHO_LOG_THREAD) {
            echo_log_thread_start(server.log);
        }
    }
    memset(answer_bytes, 'a', sizeof(answer_bytes));
    grpc_init();
    server_start(&server, listen);
    queue_run(&server);
    return 0;
}
