/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call with its attempts, wherever they go.
 *
 * Invariant: a call that may have been carried out is repeated only when repeating it is harmless: a
 * read, or a write that carries a request id. All its attempts send the same bytes and share one deadline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"

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

void client_error_nobody(const char *address, const char *cause, struct polarys_client_error *err)
{
    uint32_t attempts = err->attempts;

    POLARYS_ASSERT(address != NULL && cause != NULL);
    client_error_set(err, POLARYS_CLIENT_UNAVAILABLE, "nobody answers at %s%s%s", address,
                     cause[0] == '\0' ? "" : ": ", cause);
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

void client_error_judge_silence(const struct client_target *target,
                                struct polarys_client_error *err)
{
    char cause[64];

    POLARYS_ASSERT(err == NULL || err->status != POLARYS_CLIENT_OK);
    /* With a reason it is the server that has spoken. */
    if (err == NULL || err->reason[0] != '\0' || target->transport == NULL) {
        return;
    }
    if (err->status == POLARYS_CLIENT_UNAVAILABLE &&
        connect_cause(err->message, cause, sizeof(cause))) {
        client_error_nobody(target->address, cause, err);
    } else if (err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED &&
               !transport_is_connected(target->transport)) {
        client_error_nobody(target->address, "", err);
    }
}

/* All attempts of a call, whatever its size. */
static bool invoke_attempts(struct polarys_client *client, const struct client_errand *errand,
                            struct client_way *way, struct transport_message *response,
                            struct polarys_client_error *err)
{
    struct transport_request request = errand->request;
    struct client_target target = {NULL, client->options.endpoint, 0};
    uint32_t delay_ms;

    POLARYS_ASSERT(err != NULL);
    for (;;) {
        client_error_clear(err);
        bool is_ok = client_way_next(client, way, &target, err);
        request.deadline_ms = target.deadline_ms;
        is_ok = is_ok && transport_unary(target.transport, &request, response, err);
        err->attempts = way->attempts;
        if (is_ok) {
            return true;
        }
        enum client_step step = client_way_judge(client, way, errand->repeat, err, &delay_ms);
        if (step == CLIENT_STEP_FAIL) {
            client_error_judge_silence(&target, err);
            return false;
        }
        if (step == CLIENT_STEP_PAUSE) {
            transport_sleep_ms(delay_ms);
        }
    }
}

bool client_invoke_bytes(struct polarys_client *client, const struct client_errand *errand,
                         struct transport_message *response, uint32_t *node,
                         struct polarys_client_error *err)
{
    struct polarys_client_error own = {.status = POLARYS_CLIENT_OK};
    struct client_way way;

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(errand->request.method != NULL && errand->request.method[0] == '/');
    POLARYS_ASSERT(errand->request.deadline_ms == 0);
    err = err == NULL ? &own : err;
    response->bytes = NULL;
    response->size = 0;
    if (!client_request_check(client, errand->request.size, err)) {
        return false;
    }
    uint32_t timeout_ms = client->options.timeout_ms;
    client_way_init(&way, errand->place, timeout_ms == 0 ? 0 : transport_now_ms() + timeout_ms, 0);
    bool is_ok = invoke_attempts(client, errand, &way, response, err);
    *node = way.node;
    return is_ok;
}

/* Takes what an answer tells beside what was asked. */
static ProtobufCMessage *answer_take(struct polarys_client *client, const struct client_call *call,
                                     uint32_t node, const struct transport_message *response,
                                     struct polarys_client_error *err)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(call->response_type, NULL, response->size, response->bytes);
    if (message == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "%s: the answer cannot be decoded",
                         call->method);
        return NULL;
    }
    client_session_note(client, node, client_header_find(message));
    return message;
}

static ProtobufCMessage *invoke_once(struct polarys_client *client, const struct client_call *call,
                                     struct polarys_client_error *err)
{
    struct transport_message packed;
    struct transport_message response;
    ProtobufCMessage *message = NULL;
    uint32_t node;

    POLARYS_ASSERT(call->request != NULL);
    POLARYS_ASSERT(call->response_type != NULL);
    if (!client_pack(call->request, &packed)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a request");
        return NULL;
    }
    const struct client_errand errand = {{call->method, packed.bytes, packed.size, 0},
                                         call->repeat,
                                         call->consistency == NULL ? CLIENT_PLACE_PRIMARY
                                                                   : call->consistency->place};
    if (client_invoke_bytes(client, &errand, &response, &node, err)) {
        message = answer_take(client, call, node, &response, err);
        free(response.bytes);
    }
    free(packed.bytes);
    return message;
}

ProtobufCMessage *client_invoke(struct polarys_client *client, const struct client_call *call,
                                struct polarys_client_error *err)
{
    struct polarys_client_error own;

    POLARYS_ASSERT(client != NULL);
    err = err == NULL ? &own : err;
    client_error_clear(err);
    ProtobufCMessage *message = invoke_once(client, call, err);
    if (message == NULL && call->consistency != NULL && call->consistency->is_session &&
        strcmp(err->reason, "HISTORY_DIVERGED") == 0) {
        client_consistency_reset(call->consistency, client);
        message = invoke_once(client, call, err);
    }
    return message;
}
