/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A completion queue shared by all slots. A slot's buffers live from its start to its completion.
 */
#include "client/pipeline.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/transport_internal.h"

struct pipeline_slot {
    grpc_call *call; /* NULL when free */
    uint32_t node;   /* of its client, that it goes to */
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *request;
    grpc_byte_buffer *response;
    grpc_status_code status;
    grpc_slice text;
};

struct client_pipeline {
    /* Immutable after open. */
    struct polarys_client *const *clients;
    uint32_t client_count;
    uint32_t slot_count;
    grpc_completion_queue *queue;

    uint32_t active_count;
    struct pipeline_slot slots[];
};

bool client_pipeline_open(struct polarys_client *const *clients, uint32_t client_count,
                          uint32_t slot_count, struct client_pipeline **out,
                          struct polarys_client_error *err)
{
    struct client_pipeline *pipeline = NULL;

    POLARYS_ASSERT(clients != NULL);
    POLARYS_ASSERT(out != NULL);
    *out = NULL;
    if (slot_count == 0 || slot_count > CLIENT_PIPELINE_SLOTS_MAX || client_count == 0) {
        client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT,
                         "a pipeline has 1 to %d slots and a client", CLIENT_PIPELINE_SLOTS_MAX);
        return false;
    }
    pipeline = calloc(1, sizeof(*pipeline) + slot_count * sizeof(pipeline->slots[0]));
    if (pipeline == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a pipeline");
        return false;
    }
    grpc_init();
    pipeline->clients = clients;
    pipeline->client_count = client_count;
    pipeline->slot_count = slot_count;
    pipeline->queue = grpc_completion_queue_create_for_next(NULL);
    *out = pipeline;
    return true;
}

static void slot_release(struct client_pipeline *pipeline, struct pipeline_slot *slot)
{
    POLARYS_ASSERT(slot->call != NULL);
    POLARYS_ASSERT(pipeline->active_count > 0);
    grpc_metadata_array_destroy(&slot->initial);
    grpc_metadata_array_destroy(&slot->trailing);
    grpc_byte_buffer_destroy(slot->request);
    grpc_byte_buffer_destroy(slot->response);
    grpc_slice_unref(slot->text);
    grpc_call_unref(slot->call);
    memset(slot, 0, sizeof(*slot));
    pipeline->active_count--;
}

static bool slot_batch_start(struct pipeline_slot *slot)
{
    grpc_op ops[6];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = slot->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &slot->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &slot->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &slot->trailing;
    ops[5].data.recv_status_on_client.status = &slot->status;
    ops[5].data.recv_status_on_client.status_details = &slot->text;
    return grpc_call_start_batch(slot->call, ops, 6, slot, NULL) == GRPC_CALL_OK;
}

bool client_pipeline_start(struct client_pipeline *pipeline, uint32_t index,
                           const struct polarys_client_rpc *rpc)
{
    struct pipeline_slot *slot = &pipeline->slots[index];
    struct polarys_client *client = pipeline->clients[index % pipeline->client_count];
    uint64_t deadline_ms =
        client->options.timeout_ms == 0 ? 0 : transport_now_ms() + client->options.timeout_ms;
    struct client_target target;

    POLARYS_ASSERT(index < pipeline->slot_count);
    POLARYS_ASSERT(pipeline->slots[index].call == NULL);
    if (!client_route_guess(client, rpc->is_any_node ? CLIENT_PLACE_READ : CLIENT_PLACE_PRIMARY,
                            &slot->node, &target)) {
        return false;
    }
    grpc_slice path = grpc_slice_from_copied_string(rpc->method);
    slot->call = grpc_channel_create_call(target.transport->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                          pipeline->queue, path, NULL,
                                          transport_deadline(deadline_ms), NULL);
    grpc_slice_unref(path);
    grpc_metadata_array_init(&slot->initial);
    grpc_metadata_array_init(&slot->trailing);
    slot->text = grpc_empty_slice();
    slot->status = GRPC_STATUS_UNKNOWN;
    slot->request = transport_buffer_create(rpc->request, rpc->request_size);
    pipeline->active_count++;
    if (!slot_batch_start(slot)) {
        slot_release(pipeline, slot);
        return false;
    }
    return true;
}

static void completion_fill(struct client_completion *completion, const struct pipeline_slot *slot,
                            struct polarys_client *client)
{
    struct polarys_client_error err;

    client_error_clear(&err);
    completion->response_size =
        slot->response != NULL ? grpc_byte_buffer_length(slot->response) : 0;
    completion->reason[0] = '\0';
    completion->message[0] = '\0';
    if (slot->status == GRPC_STATUS_OK) {
        completion->status = POLARYS_CLIENT_OK;
        return;
    }
    transport_error_fill(&err, slot->status, &slot->text, &slot->trailing);
    client_route_told(client, slot->node,
                      &err); /* the next calls go where the primary is by then */
    completion->status = err.status;
    (void)snprintf(completion->reason, sizeof(completion->reason), "%s", err.reason);
    (void)snprintf(completion->message, sizeof(completion->message), "%.200s", err.message);
}

static gpr_timespec until(uint64_t until_ns)
{
    gpr_timespec time = {(int64_t)(until_ns / 1000000000), (int32_t)(until_ns % 1000000000),
                         GPR_CLOCK_MONOTONIC};
    return until_ns == UINT64_MAX ? gpr_inf_future(GPR_CLOCK_MONOTONIC) : time;
}

bool client_pipeline_next(struct client_pipeline *pipeline, uint64_t until_ns,
                          struct client_completion *completion)
{
    POLARYS_ASSERT(completion != NULL);
    POLARYS_ASSERT(pipeline->active_count > 0 || until_ns != UINT64_MAX);
    grpc_event event = grpc_completion_queue_next(pipeline->queue, until(until_ns), NULL);
    if (event.type != GRPC_OP_COMPLETE) {
        return false;
    }
    struct pipeline_slot *slot = event.tag;
    completion->slot = (uint32_t)(slot - pipeline->slots);
    completion_fill(completion, slot, pipeline->clients[completion->slot % pipeline->client_count]);
    slot_release(pipeline, slot);
    return true;
}

void client_pipeline_close(struct client_pipeline *pipeline)
{
    struct client_completion completion;

    if (pipeline == NULL) {
        return;
    }
    for (uint32_t i = 0; i < pipeline->slot_count; i++) {
        if (pipeline->slots[i].call != NULL) {
            grpc_call_cancel(pipeline->slots[i].call, NULL);
        }
    }
    while (pipeline->active_count > 0) {
        (void)client_pipeline_next(pipeline, UINT64_MAX, &completion);
    }
    grpc_completion_queue_shutdown(pipeline->queue);
    while (grpc_completion_queue_next(pipeline->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
               .type != GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(pipeline->queue);
    free(pipeline);
    grpc_shutdown();
}
