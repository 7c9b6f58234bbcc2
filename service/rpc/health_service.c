/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc.health.v1: whether the server takes calls, for the whole ("") and for each service that it
 * has. A watch looks about every 100 ms and sends a change once.
 */
#include "grpc/health/v1/health.pb-c.h"
#include "service/replication/follower.h"
#include "service/rpc/handlers.h"
#include "service/rpc/response.h"
#include "service/server/server.h"

enum {
    UNKNOWN_SERVICE = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
    IS_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
    IS_NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
};

/* True when a method's path is "/" + service + "/" + anything. */
static bool path_is_of(const char *path, ProtobufCBinaryData service)
{
    return strlen(path) > service.len + 1 && memcmp(path + 1, service.data, service.len) == 0 &&
           path[service.len + 1] == '/';
}

static int status_of(const struct call *call)
{
    const Grpc__Health__V1__HealthCheckRequest *request = call->request;
    bool is_known = request->service.len == 0;
    size_t count;
    const struct method *methods = method_table(&count);
    for (size_t i = 0; i < count && !is_known; i++) {
        is_known = path_is_of(methods[i].path, request->service);
    }
    if (!is_known) {
        return UNKNOWN_SERVICE;
    }
    return server_phase_get(call->server) == SERVER_SERVING &&
                   follower_is_ready(call->server->follower)
               ? IS_SERVING
               : IS_NOT_SERVING;
}

static grpc_slice status_response(int status)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    return response_pack(&response.base);
}

void health_check(struct call *call)
{
    int status = status_of(call);
    if (status == UNKNOWN_SERVICE) {
        call_fail_status(call, GRPC_STATUS_NOT_FOUND, "this server has no such service");
        return;
    }
    call_reply(call, status_response(status));
}

/* One watch; in the call's arena. */
struct health_watch {
    int sent; /* the status sent last; -1 at first */
    bool is_sending;
};

static void watch_look(struct call *call);

static void watch_sent(struct call *call, bool is_ok)
{
    struct health_watch *watch = call->state;
    watch->is_sending = false;
    if (is_ok && !call->is_finishing) {
        watch_look(call);
    }
}

static void watch_look(struct call *call)
{
    struct health_watch *watch = call->state;
    int status = status_of(call);
    if (call->is_finishing || watch->is_sending) {
        return;
    }
    if (status != watch->sent) {
        watch->sent = status;
        watch->is_sending = true;
        call_send(call, status_response(status), false, watch_sent);
    } else if (call_is_cancelled(call)) {
        call_fail_status(call, GRPC_STATUS_CANCELLED, "given up by the client");
    } else if (server_phase_get(call->server) >= SERVER_STOPPING) {
        call_fail_status(call, GRPC_STATUS_UNAVAILABLE, "the server stops");
    }
}

static void watch_tick(struct call *call, uint64_t now_ns)
{
    (void)now_ns;
    watch_look(call);
}

void health_watch(struct call *call)
{
    struct health_watch *watch = proto_arena_alloc(&call->arena, sizeof(*watch));
    if (watch == NULL) {
        call_fail_status(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a watch");
        return;
    }
    *watch = (struct health_watch){.sent = -1};
    call->state = watch;
    call->tick = watch_tick;
    worker_stream_add(call->worker, call);
    watch_look(call);
}
