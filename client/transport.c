/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel, and unary calls on it. A call borrows one of a few completion queues, so that calls of
 * many threads do not wait for each other.
 */
#include "client/transport.h"

#include <errno.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/assert.h"
#include "client/error.h"
#include "client/transport_internal.h"

uint64_t transport_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void transport_sleep_ms(uint32_t duration_ms)
{
    struct timespec left = {duration_ms / 1000, (long)(duration_ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

gpr_timespec transport_deadline(uint64_t deadline_ms)
{
    if (deadline_ms == 0) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_from_millis((int64_t)deadline_ms, GPR_CLOCK_MONOTONIC);
}

grpc_byte_buffer *transport_buffer_create(const void *bytes, size_t size)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    grpc_slice slice = grpc_slice_from_copied_buffer(bytes, size);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

bool transport_message_take(grpc_byte_buffer *buffer, struct transport_message *message)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;
    size_t size = grpc_byte_buffer_length(buffer);

    POLARYS_ASSERT(buffer != NULL);
    message->size = 0;
    message->bytes = malloc(size + 1);
    if (message->bytes == NULL || !grpc_byte_buffer_reader_init(&reader, buffer)) {
        free(message->bytes);
        message->bytes = NULL;
        return false;
    }
    while (grpc_byte_buffer_reader_next(&reader, &slice)) {
        memcpy(message->bytes + message->size, GRPC_SLICE_START_PTR(slice),
               GRPC_SLICE_LENGTH(slice));
        message->size += GRPC_SLICE_LENGTH(slice);
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    message->bytes[message->size] = '\0';
    return true;
}

static grpc_arg integer_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)key};
    arg.value.integer = value;
    return arg;
}

bool transport_open(const struct polarys_client_options *options, struct transport **out,
                    struct polarys_client_error *err)
{
    struct transport *transport = calloc(1, sizeof(*transport));

    POLARYS_ASSERT(options->endpoint != NULL);
    POLARYS_ASSERT(out != NULL);
    *out = NULL;
    if (transport == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a client");
        return false;
    }
    grpc_init();
    grpc_arg args[] = {
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)options->message_bytes_max),
        integer_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options->is_channel_private ? 1 : 0),
        integer_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        integer_arg(GRPC_ARG_MINIMAL_STACK, 0),
        integer_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50),
        /* In spite of its name this is how long an attempt to connect may take. */
        integer_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, (int)options->connect_timeout_ms),
        integer_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000),
        /* gRPC's own limit is two minutes, in which a call would only wait for its deadline. */
        integer_arg(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, (int)options->connect_timeout_ms),
        integer_arg(GRPC_ARG_MAX_METADATA_SIZE, 64 * 1024),
    };
    grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    transport->channel = grpc_channel_create(options->endpoint, credentials, &channel_args);
    grpc_channel_credentials_release(credentials);
    pthread_mutex_init(&transport->mutex, NULL);
    if (transport->channel == NULL) {
        client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT, "endpoint '%s' is not HOST:PORT",
                         options->endpoint);
        transport_close(transport);
        return false;
    }
    *out = transport;
    return true;
}

static void queue_destroy(grpc_completion_queue *queue)
{
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
}

void transport_close(struct transport *transport)
{
    if (transport == NULL) {
        return;
    }
    for (size_t i = 0; i < transport->idle_queue_count; i++) {
        queue_destroy(transport->idle_queues[i]);
    }
    if (transport->channel != NULL) {
        grpc_channel_destroy(transport->channel);
    }
    pthread_mutex_destroy(&transport->mutex);
    free(transport);
    grpc_shutdown();
}

bool transport_is_connected(const struct transport *transport)
{
    POLARYS_ASSERT(transport->channel != NULL);
    return grpc_channel_check_connectivity_state(transport->channel, 0) == GRPC_CHANNEL_READY;
}

static grpc_completion_queue *queue_acquire(struct transport *transport)
{
    grpc_completion_queue *queue = NULL;
    pthread_mutex_lock(&transport->mutex);
    if (transport->idle_queue_count > 0) {
        queue = transport->idle_queues[--transport->idle_queue_count];
    }
    pthread_mutex_unlock(&transport->mutex);
    return queue != NULL ? queue : grpc_completion_queue_create_for_pluck(NULL);
}

static void queue_release(struct transport *transport, grpc_completion_queue *queue)
{
    POLARYS_ASSERT(queue != NULL);
    pthread_mutex_lock(&transport->mutex);
    if (transport->idle_queue_count < TRANSPORT_IDLE_QUEUES_MAX) {
        transport->idle_queues[transport->idle_queue_count++] = queue;
        queue = NULL;
    }
    pthread_mutex_unlock(&transport->mutex);
    if (queue != NULL) {
        queue_destroy(queue);
    }
}

/* What one unary call receives. */
struct unary_reply {
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *message;
    grpc_status_code status;
    grpc_slice text;
};

static void unary_reply_init(struct unary_reply *reply)
{
    memset(reply, 0, sizeof(*reply));
    grpc_metadata_array_init(&reply->initial);
    grpc_metadata_array_init(&reply->trailing);
    reply->status = GRPC_STATUS_UNKNOWN;
    reply->text = grpc_empty_slice();
}

static void unary_reply_deinit(struct unary_reply *reply)
{
    grpc_metadata_array_destroy(&reply->initial);
    grpc_metadata_array_destroy(&reply->trailing);
    grpc_byte_buffer_destroy(reply->message);
    grpc_slice_unref(reply->text);
}

static grpc_call_error unary_start(grpc_call *call, grpc_byte_buffer *request,
                                   struct unary_reply *reply)
{
    grpc_op ops[6];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &reply->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &reply->message;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &reply->trailing;
    ops[5].data.recv_status_on_client.status = &reply->status;
    ops[5].data.recv_status_on_client.status_details = &reply->text;
    return grpc_call_start_batch(call, ops, 6, call, NULL);
}

/* Takes the outcome of a call that has ended. */
static bool unary_reply_take(const struct transport_request *request, struct unary_reply *reply,
                             struct transport_message *response, struct polarys_client_error *err)
{
    if (reply->status != GRPC_STATUS_OK) {
        transport_error_fill(err, reply->status, &reply->text, &reply->trailing);
        return false;
    }
    if (reply->message == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "%s: the answer has no message",
                         request->method);
        return false;
    }
    if (!transport_message_take(reply->message, response)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for an answer");
        return false;
    }
    return true;
}

bool transport_unary(struct transport *transport, const struct transport_request *request,
                     struct transport_message *response, struct polarys_client_error *err)
{
    struct unary_reply reply;
    grpc_completion_queue *queue = queue_acquire(transport);
    grpc_slice path = grpc_slice_from_copied_string(request->method);
    grpc_call *call =
        grpc_channel_create_call(transport->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, path,
                                 NULL, transport_deadline(request->deadline_ms), NULL);
    grpc_byte_buffer *buffer = transport_buffer_create(request->bytes, request->size);
    bool is_ok = false;

    POLARYS_ASSERT(request->method != NULL);
    POLARYS_ASSERT(response != NULL);
    response->bytes = NULL;
    response->size = 0;
    unary_reply_init(&reply);
    if (unary_start(call, buffer, &reply) != GRPC_CALL_OK) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "%s: gRPC refused the call",
                         request->method);
    } else {
        (void)grpc_completion_queue_pluck(queue, call, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        is_ok = unary_reply_take(request, &reply, response, err);
    }
    unary_reply_deinit(&reply);
    grpc_byte_buffer_destroy(buffer);
    grpc_call_unref(call);
    grpc_slice_unref(path);
    queue_release(transport, queue);
    return is_ok;
}
