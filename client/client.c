/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's handle, calls of encoded messages, and the wait for a server.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/endpoint.h"
#include "grpc/health/v1/health.pb-c.h"

#define ENDPOINT_DEFAULT "127.0.0.1:7480"

enum {
    READY_POLL_MS = 50,
    READY_ATTEMPT_MS = 1000,
};

const char *polarys_client_version_text(void)
{
    return POLARYS_VERSION;
}

void polarys_client_options_init(struct polarys_client_options *options)
{
    POLARYS_ASSERT(options != NULL);
    memset(options, 0, sizeof(*options));
    options->endpoint = ENDPOINT_DEFAULT;
    options->timeout_ms = 10000;
    options->connect_timeout_ms = 5000;
    options->retries_max = 3;
    options->retry_delay_ms = 100;
    options->message_bytes_max = 20 << 20;
    options->makes_request_ids = true;
}

static bool endpoint_check(const struct polarys_client_options *options, const char *endpoint,
                           struct polarys_client_error *err)
{
    bool is_list = strchr(endpoint, ',') != NULL;

    POLARYS_ASSERT(endpoint != NULL);
    if (client_endpoint_list_is_valid(endpoint) && !(is_list && options->is_pinned)) {
        return true;
    }
    client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT, "the endpoint '%s' is not %s", endpoint,
                     options->is_pinned ? CLIENT_ENDPOINT_FORM : CLIENT_ENDPOINT_LIST_FORM);
    client_error_reason_set(err, "BAD_ARGUMENT");
    return false;
}

static void client_init(struct polarys_client *client, const struct polarys_client_options *options,
                        const char *take_endpoint)
{
    pthread_condattr_t attributes;

    client->options = *options;
    client->options.endpoint = take_endpoint;
    pthread_mutex_init(&client->mutex, NULL);
    /* Deadlines are of the clock that nobody sets. */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&client->searched, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool polarys_client_open(const struct polarys_client_options *options, struct polarys_client **out,
                         struct polarys_client_error *err)
{
    POLARYS_ASSERT(options != NULL);
    POLARYS_ASSERT(out != NULL);
    struct polarys_client *client = calloc(1, sizeof(*client));
    char *endpoint = strdup(options->endpoint != NULL ? options->endpoint : ENDPOINT_DEFAULT);

    client_error_clear(err);
    *out = NULL;
    if (client == NULL || endpoint == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a client");
        goto fail;
    }
    if (!endpoint_check(options, endpoint, err)) {
        goto fail;
    }
    client_init(client, options, endpoint);
    if (!client_route_init(client) ||
        (client->route.node_count == 1 && client_node_transport(client, 0, err) == NULL)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a client");
        polarys_client_close(client);
        return false;
    }
    *out = client;
    return true;

fail:
    free(client);
    free(endpoint);
    return false;
}

void polarys_client_close(struct polarys_client *client)
{
    if (client != NULL) {
        client_route_deinit(client);
        pthread_cond_destroy(&client->searched);
        pthread_mutex_destroy(&client->mutex);
        free((char *)client->options.endpoint);
        free(client);
    }
}

bool client_random(void *bytes, size_t size)
{
    uint8_t *at = bytes;

    POLARYS_ASSERT(bytes != NULL || size == 0);
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        size -= (size_t)got;
    }
    return true;
}

bool client_pack(const ProtobufCMessage *message, struct transport_message *packed)
{
    POLARYS_ASSERT(message != NULL);
    POLARYS_ASSERT(message->descriptor != NULL);
    packed->size = protobuf_c_message_get_packed_size(message);
    packed->bytes = malloc(packed->size + 1);
    if (packed->bytes == NULL) {
        return false;
    }
    (void)protobuf_c_message_pack(message, packed->bytes);
    return true;
}

uint32_t client_jitter(uint32_t delay_ms)
{
    uint32_t bits = 0;
    (void)client_random(&bits, sizeof(bits)); /* without randomness the delay is merely its half */
    return delay_ms / 2 + (delay_ms == 0 ? 0 : bits % (delay_ms / 2 + 1));
}

bool polarys_client_call(struct polarys_client *client, const struct polarys_client_rpc *rpc,
                         uint8_t **response, size_t *response_size,
                         struct polarys_client_error *err)
{
    struct transport_message message;
    uint32_t node;
    const struct client_errand errand = {
        {rpc->method, rpc->request, rpc->request_size, 0},
        rpc->is_repeatable ? CLIENT_REPEAT_ALWAYS : CLIENT_REPEAT_REFUSED,
        rpc->is_any_node ? CLIENT_PLACE_READ : CLIENT_PLACE_PRIMARY};
    bool is_ok = client_invoke_bytes(client, &errand, &message, &node, err);

    POLARYS_ASSERT(rpc->request != NULL || rpc->request_size == 0);
    POLARYS_ASSERT(response != NULL && response_size != NULL);
    *response = is_ok ? message.bytes : NULL;
    *response_size = is_ok ? message.size : 0;
    return is_ok;
}

/* One health check; `err` says why not. */
static bool is_serving(const struct client_target *target, uint64_t deadline_ms,
                       struct polarys_client_error *err)
{
    struct transport_message response;
    bool serves = false;

    struct transport_request request = {"/grpc.health.v1.Health/Check", "", 0, deadline_ms};
    if (!transport_unary(target->transport, &request, &response, err)) {
        return false;
    }
    Grpc__Health__V1__HealthCheckResponse *check =
        grpc__health__v1__health_check_response__unpack(NULL, response.size, response.bytes);
    if (check != NULL) {
        serves = check->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        grpc__health__v1__health_check_response__free_unpacked(check, NULL);
    }
    free(response.bytes);
    if (!serves) {
        client_error_set(err, POLARYS_CLIENT_UNAVAILABLE, "the server is not serving");
    }
    return serves;
}

/* One attempt at whoever the primary is by now; where that is not to be found out, `err` says so. */
static bool is_primary_serving(struct polarys_client *client, uint64_t deadline_ms,
                               struct client_target *target, struct polarys_client_error *err)
{
    struct client_way way;

    client_way_init(&way, CLIENT_PLACE_PRIMARY, deadline_ms, 0);
    if (!client_way_next(client, &way, target, err)) {
        return false;
    }
    bool serves = is_serving(target, deadline_ms, err);
    if (!serves) {
        client_route_told(client, way.node, err);
    }
    return serves;
}

bool polarys_client_wait_ready(struct polarys_client *client, uint32_t timeout_ms,
                               struct polarys_client_error *err)
{
    uint64_t end_ms = transport_now_ms() + timeout_ms;
    struct polarys_client_error own;

    POLARYS_ASSERT(client != NULL);
    err = err == NULL ? &own : err;
    for (;;) {
        uint64_t attempt_end_ms = transport_now_ms() + READY_ATTEMPT_MS;
        struct client_target target = {NULL, client->options.endpoint, 0};
        client_error_clear(err);
        if (is_primary_serving(client, attempt_end_ms < end_ms ? attempt_end_ms : end_ms, &target,
                               err)) {
            client_error_clear(err);
            return true;
        }
        if (transport_now_ms() + READY_POLL_MS >= end_ms) {
            /* The deadline is of the last attempt: no news to a caller who waited for longer. */
            if (err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED) {
                client_error_nobody(target.address, "", err);
            } else {
                client_error_judge_silence(&target, err);
            }
            return false;
        }
        transport_sleep_ms(READY_POLL_MS);
    }
}
