/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's handle, and one call with its retries.
 *
 * Invariant: a call that may have been carried out is repeated only when repeating it is harmless: a
 * read, or a write that carries a request id.
 */
#include <errno.h>
#include <stdio.h>
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
    if (!client_endpoint_is_valid(endpoint)) {
        client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT, "the endpoint '%s' is not %s",
                         endpoint, CLIENT_ENDPOINT_FORM);
        client_error_reason_set(err, "BAD_ARGUMENT");
        goto fail;
    }
    pthread_mutex_init(&client->mutex, NULL);
    client->options = *options;
    client->options.endpoint = endpoint;
    if (!transport_open(&client->options, &client->transport, err)) {
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
        transport_close(client->transport);
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

bool client_may_retry(const struct polarys_client *client, const struct polarys_client_error *err,
                      enum client_repeat repeat, uint32_t attempt, uint32_t *delay_ms)
{
    uint64_t delay = (uint64_t)client->options.retry_delay_ms << (attempt < 6 ? attempt : 6);
    bool was_refused = err->reason[0] != '\0';

    POLARYS_ASSERT(err != NULL);
    POLARYS_ASSERT(delay_ms != NULL);
    delay = err->retry_after_ms != 0 ? err->retry_after_ms : delay;
    *delay_ms = delay < CLIENT_DELAY_MS_MAX ? (uint32_t)delay : CLIENT_DELAY_MS_MAX;
    if (err->retry_after_ms == 0) {
        *delay_ms = client_jitter(*delay_ms);
    }
    if (attempt >= client->options.retries_max || repeat == CLIENT_REPEAT_NEVER) {
        return false;
    }
    if (err->status == POLARYS_CLIENT_UNAVAILABLE) {
        return was_refused || repeat == CLIENT_REPEAT_ALWAYS;
    }
    return err->status == POLARYS_CLIENT_RESOURCE_EXHAUSTED && was_refused &&
           err->retry_after_ms != 0;
}

/* `cause` may be "". */
static void nobody_answers(const struct polarys_client *client, const char *cause,
                           struct polarys_client_error *err)
{
    uint32_t attempts = err->attempts;

    POLARYS_ASSERT(client->options.endpoint != NULL);
    client_error_set(err, POLARYS_CLIENT_UNAVAILABLE, "nobody answers at %s%s%s",
                     client->options.endpoint, cause[0] == '\0' ? "" : ": ", cause);
    err->attempts = attempts;
}

/* What gRPC's message about a connection that could not be made ends with; false for any other message. */
static bool connect_cause(const char *message, char *cause, size_t cause_size)
{
    static const char start[] = "failed to connect";
    const char *last = strrchr(message, ':');

    POLARYS_ASSERT(cause_size > 0);
    if (strncmp(message, start, sizeof(start) - 1) != 0) {
        return false;
    }
    (void)snprintf(cause, cause_size, "%s", last == NULL ? "" : last + 1 + strspn(last + 1, " "));
    return true;
}

void client_error_judge_silence(const struct polarys_client *client,
                                struct polarys_client_error *err)
{
    char cause[64];

    POLARYS_ASSERT(err == NULL || err->status != POLARYS_CLIENT_OK);
    /* With a reason it is the server that has spoken. */
    if (err == NULL || err->reason[0] != '\0') {
        return;
    }
    if (err->status == POLARYS_CLIENT_UNAVAILABLE &&
        connect_cause(err->message, cause, sizeof(cause))) {
        nobody_answers(client, cause, err);
    } else if (err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED &&
               !transport_is_connected(client->transport)) {
        nobody_answers(client, "", err);
    }
}

/* All attempts of a call, whatever its size. */
static bool invoke_attempts(struct polarys_client *client, struct transport_request request,
                            enum client_repeat repeat, struct transport_message *response,
                            struct polarys_client_error *err)
{
    uint32_t delay_ms;

    POLARYS_ASSERT(request.deadline_ms == 0);
    POLARYS_ASSERT(err != NULL);
    if (client->options.timeout_ms != 0) {
        request.deadline_ms = transport_now_ms() + client->options.timeout_ms;
    }
    for (uint32_t attempt = 0;; attempt++) {
        client_error_clear(err);
        bool is_ok = transport_unary(client->transport, &request, response, err);
        err->attempts = attempt + 1;
        if (is_ok || !client_may_retry(client, err, repeat, attempt, &delay_ms)) {
            return is_ok;
        }
        if (request.deadline_ms != 0 && transport_now_ms() + delay_ms >= request.deadline_ms) {
            return false;
        }
        transport_sleep_ms(delay_ms);
    }
}

bool client_invoke_bytes(struct polarys_client *client, struct transport_request request,
                         enum client_repeat repeat, struct transport_message *response,
                         struct polarys_client_error *err)
{
    struct polarys_client_error own = {.status = POLARYS_CLIENT_OK};

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(request.method != NULL && request.method[0] == '/');
    if (err == NULL) {
        client_error_clear(&own);
        err = &own;
    }
    response->bytes = NULL;
    response->size = 0;
    bool is_ok = client_request_check(client, request.size, err) &&
                 invoke_attempts(client, request, repeat, response, err);
    if (!is_ok) {
        client_error_judge_silence(client, err);
    }
    return is_ok;
}

ProtobufCMessage *client_invoke(struct polarys_client *client, const struct client_call *call,
                                struct polarys_client_error *err)
{
    struct transport_message packed;
    struct transport_message response;
    ProtobufCMessage *message = NULL;

    POLARYS_ASSERT(call->request != NULL);
    POLARYS_ASSERT(call->response_type != NULL);
    if (!client_pack(call->request, &packed)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a request");
        return NULL;
    }
    struct transport_request request = {call->method, packed.bytes, packed.size, 0};
    if (client_invoke_bytes(client, request, call->repeat, &response, err)) {
        message =
            protobuf_c_message_unpack(call->response_type, NULL, response.size, response.bytes);
        free(response.bytes);
        if (message == NULL) {
            client_error_set(err, POLARYS_CLIENT_INTERNAL, "%s: the answer cannot be decoded",
                             call->method);
        }
    }
    free(packed.bytes);
    return message;
}

bool polarys_client_call(struct polarys_client *client, const struct polarys_client_rpc *rpc,
                         uint8_t **response, size_t *response_size,
                         struct polarys_client_error *err)
{
    struct transport_message message;
    struct transport_request request = {rpc->method, rpc->request, rpc->request_size, 0};
    bool is_ok = client_invoke_bytes(
        client, request, rpc->is_repeatable ? CLIENT_REPEAT_ALWAYS : CLIENT_REPEAT_REFUSED,
        &message, err);

    POLARYS_ASSERT(rpc->request != NULL || rpc->request_size == 0);
    POLARYS_ASSERT(response != NULL && response_size != NULL);
    *response = is_ok ? message.bytes : NULL;
    *response_size = is_ok ? message.size : 0;
    return is_ok;
}

/* One health check; `err` says why not. */
static bool is_serving(struct polarys_client *client, uint64_t deadline_ms,
                       struct polarys_client_error *err)
{
    struct transport_message response;
    bool serves = false;

    struct transport_request request = {"/grpc.health.v1.Health/Check", "", 0, deadline_ms};
    if (!transport_unary(client->transport, &request, &response, err)) {
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

bool polarys_client_wait_ready(struct polarys_client *client, uint32_t timeout_ms,
                               struct polarys_client_error *err)
{
    uint64_t end_ms = transport_now_ms() + timeout_ms;

    POLARYS_ASSERT(client != NULL);
    for (;;) {
        uint64_t attempt_end_ms = transport_now_ms() + READY_ATTEMPT_MS;
        if (is_serving(client, attempt_end_ms < end_ms ? attempt_end_ms : end_ms, err)) {
            client_error_clear(err);
            return true;
        }
        if (transport_now_ms() + READY_POLL_MS >= end_ms) {
            /* The deadline is of the last attempt: no news to a caller who waited for longer. */
            if (err != NULL && err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED) {
                nobody_answers(client, "", err);
            } else {
                client_error_judge_silence(client, err);
            }
            return false;
        }
        transport_sleep_ms(READY_POLL_MS);
    }
}
