/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the listener and the workers, and takes them down. The order of the way down is that of
 * server.h; the invariant is that nothing is freed while a call is alive.
 */
#include "service/server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <grpc/grpc_security.h>

#include "service/admin/backup_reports.h"
#include "service/replication/group.h"
#include "service/rpc/bulk_session.h"
#include "service/rpc/copy_store.h"
#include "service/rpc/reflection.h"
#include "service/server/check.h"
#include "service/server/handoff.h"
#include "service/server/timing.h"
#include "service/server/transactions.h"

enum {
    REQUEST_BYTES_LEAST = 4 << 20,
    REQUEST_BYTES_OVER_VALUE = 64 << 10,
    REQUEST_MEMORY_SHARE = 4, /* requests under way may hold memory_limit / this */
    HANDSHAKE_MS = 20000,
    KEEPALIVE_MS = 60000,
    KEEPALIVE_TIMEOUT_MS = 20000,
    PING_INTERVAL_MS = 10000,
    CHANNEL_ARGS_MAX = 16,
};

static grpc_arg integer_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};
    arg.value.integer = value;
    return arg;
}

static grpc_server *core_server_create(const struct server *server)
{
    grpc_arg list[CHANNEL_ARGS_MAX];
    size_t count = 0;
    /* With it on, a second server binds the same port in silence. */
    list[count++] = integer_arg(GRPC_ARG_ALLOW_REUSEPORT, 0);
    list[count++] =
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)server->request_bytes_max);
    list[count++] = integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
    list[count++] = integer_arg(GRPC_ARG_MAX_METADATA_SIZE, (int)server->config->header_bytes_max);
    list[count++] = integer_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                                (int)server->config->streams_per_connection_max);
    list[count++] = integer_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_MS);
    list[count++] = integer_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS);
    list[count++] = integer_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS);
    list[count++] =
        integer_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MS);
    list[count++] = integer_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    list[count++] = integer_arg(GRPC_ARG_ENABLE_CHANNELZ, 0);
    SERVICE_ASSERT(count <= CHANNEL_ARGS_MAX);
    grpc_channel_args args = {count, list};
    return grpc_server_create(&args, NULL);
}

static unsigned workers_choose(const struct config *config)
{
    if (config->workers != 0) {
        return (unsigned)config->workers;
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (processors <= 2) {
        return 1;
    }
    return processors / 2 > SERVER_WORKERS_MAX ? SERVER_WORKERS_MAX : (unsigned)(processors / 2);
}

static void limits_fill(struct server *server)
{
    const struct config *config = server->config;
    server->request_bytes_max = REQUEST_BYTES_LEAST;
    if (config->value_bytes_max + REQUEST_BYTES_OVER_VALUE > server->request_bytes_max) {
        server->request_bytes_max = config->value_bytes_max + REQUEST_BYTES_OVER_VALUE;
    }
    server->worker_count = workers_choose(config);
    server->calls_max = (config->calls_max + server->worker_count - 1) / server->worker_count;
    server->memory.limit = config->memory_limit / REQUEST_MEMORY_SHARE;
    server->start_ns = timing_now_ns();
    server->start_wall_ms = timing_wall_ms();
}

static enum polarys_code methods_register(struct server *server, struct polarys_error *err)
{
    size_t count;
    const struct method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        grpc_server_register_method_payload_handling handling =
            methods[i].kind == METHOD_BIDI ? GRPC_SRM_PAYLOAD_NONE
                                           : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER;
        server->registered[i] =
            grpc_server_register_method(server->handle, methods[i].path, NULL, handling, 0);
        if (server->registered[i] == NULL) {
            return polarys_fail(err, POLARYS_BUG, "register %s: refused by the transport",
                                methods[i].path);
        }
    }
    return POLARYS_OK;
}

static enum polarys_code listener_add(struct server *server, struct polarys_error *err)
{
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    const char *address = server->config->listen;
    char any[CONFIG_TEXT_MAX + 8];
    if (address[0] == ':') {
        (void)snprintf(any, sizeof(any), "[::]%s", address);
        address = any;
    }
    int port = grpc_server_add_http2_port(server->handle, address, credentials);
    grpc_server_credentials_release(credentials);
    if (port <= 0) {
        return polarys_fail(err, POLARYS_IO,
                            "listen on %s: the address is taken, or is not this machine's",
                            address);
    }
    server->port = (uint16_t)port;
    return POLARYS_OK;
}

static enum polarys_code server_build(struct server *server, struct polarys_error *err)
{
    enum polarys_code code = bulk_sessions_create(server, &server->bulk_sessions, err);
    if (code == POLARYS_OK) {
        code = copy_store_create(server->db, server->config->data_dir, &server->copies, err);
    }
    if (code == POLARYS_OK) {
        code = backup_reports_create(&server->backup_reports, err);
    }
    if (code == POLARYS_OK) {
        code = group_create(server->db, &server->group, err);
    }
    if (code == POLARYS_OK) {
        code = reflection_index_create(&server->reflection, err);
    }
    for (unsigned i = 0; code == POLARYS_OK && i < server->worker_count; i++) {
        code = worker_init(&server->workers[i], server, i, err);
        if (code == POLARYS_OK) {
            grpc_server_register_completion_queue(server->handle, server->workers[i].queue, NULL);
        }
    }
    if (code == POLARYS_OK) {
        code = methods_register(server, err);
    }
    return code == POLARYS_OK ? listener_add(server, err) : code;
}

enum polarys_code server_create(const struct config *config, struct polarys_db *db,
                                const struct server_control *control, struct server **out,
                                struct polarys_error *err)
{
    *out = NULL;
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the server");
    }
    server->config = config;
    server->db = db;
    server->control = *control;
    limits_fill(server);
    server->handle = core_server_create(server);
    enum polarys_code code = server_build(server, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    *out = server;
    return POLARYS_OK;

fail:
    server_phase_set(server, SERVER_STOPPING);
    server_destroy(server);
    return polarys_wrap(err, code, "start the gRPC server");
}

enum polarys_code server_start(struct server *server, struct polarys_error *err)
{
    grpc_server_start(server->handle);
    for (unsigned i = 0; i < server->worker_count; i++) {
        enum polarys_code code = worker_start(&server->workers[i], err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    server_phase_set(server, SERVER_SERVING);
    return POLARYS_OK;
}

enum server_phase server_phase_get(const struct server *server)
{
    return (enum server_phase)__atomic_load_n(&server->phase, __ATOMIC_RELAXED);
}

static void shutdown_fired(struct call *call, bool is_ok)
{
    (void)is_ok;
    __atomic_store_n(&call->server->is_shut_down, 1, __ATOMIC_RELEASE);
}

/* The tag of the shutdown is an event of a call that never arrived. */
static void shutdown_begin(struct server *server)
{
    struct worker *worker = &server->workers[0];
    if (server->handle == NULL || worker->queue == NULL) {
        __atomic_store_n(&server->is_shut_down, 1, __ATOMIC_RELEASE);
        return;
    }
    server->shutdown_call.server = server;
    server->shutdown_call.worker = worker;
    server->shutdown_call.on_request.call = &server->shutdown_call;
    server->shutdown_call.on_request.fire = shutdown_fired;
    handoff_release(&server->shutdown_call.on_request);
    grpc_server_shutdown_and_notify(server->handle, worker->queue,
                                    &server->shutdown_call.on_request);
}

void server_phase_set(struct server *server, enum server_phase phase)
{
    int before = __atomic_load_n(&server->phase, __ATOMIC_RELAXED);
    while (before < (int)phase &&
           !__atomic_compare_exchange_n(&server->phase, &before, (int)phase, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    if (before < (int)SERVER_STOPPING && phase == SERVER_STOPPING) {
        shutdown_begin(server);
        transactions_waits_end(server->db);
    }
}

void server_cancel(struct server *server)
{
    SERVICE_ASSERT(server_phase_get(server) == SERVER_STOPPING);
    grpc_server_cancel_all_calls(server->handle);
    /* Those that had begun to wait when the phase changed. */
    transactions_waits_end(server->db);
}

uint64_t server_calls_under_way(const struct server *server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < server->worker_count; i++) {
        sum += __atomic_load_n(&server->workers[i].calls_under_way, __ATOMIC_RELAXED);
    }
    return sum;
}

bool server_is_idle(const struct server *server)
{
    if (__atomic_load_n(&server->is_shut_down, __ATOMIC_ACQUIRE) == 0) {
        return false;
    }
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (__atomic_load_n(&server->workers[i].calls_alive, __ATOMIC_ACQUIRE) != 0) {
            return false;
        }
    }
    return true;
}

void server_destroy(struct server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->workers[0].queue != NULL && !server->workers[0].is_started) {
        /* Never started: the shutdown's tag waits in the queue that nobody reads. */
        (void)grpc_completion_queue_next(server->workers[0].queue,
                                         gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    }
    if (server->handle != NULL) {
        grpc_server_destroy(server->handle);
    }
    for (unsigned i = 0; i < server->worker_count; i++) {
        worker_stop(&server->workers[i]);
    }
    for (unsigned i = 0; i < server->worker_count; i++) {
        worker_deinit(&server->workers[i]);
    }
    reflection_index_destroy(server->reflection);
    bulk_sessions_destroy(server->bulk_sessions);
    copy_store_destroy(server->copies);
    backup_reports_destroy(server->backup_reports);
    group_destroy(server->group);
    free(server);
}
