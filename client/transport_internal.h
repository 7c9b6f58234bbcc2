/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the transport share.
 */
#ifndef CLIENT_TRANSPORT_INTERNAL_H
#define CLIENT_TRANSPORT_INTERNAL_H

#include <grpc/grpc.h>
#include <pthread.h>

#include "client/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TRANSPORT_IDLE_QUEUES_MAX = 64 };

struct transport {
    grpc_channel *channel;

    /* Completion queues that wait for their next unary call; making one costs more than a small call. */
    pthread_mutex_t mutex;
    grpc_completion_queue *idle_queues[TRANSPORT_IDLE_QUEUES_MAX];
    size_t idle_queue_count;
};

/* gRPC's form of a deadline on transport_now_ms's clock; 0: none. */
gpr_timespec transport_deadline(uint64_t deadline_ms);

/* A byte buffer with a copy of the bytes. */
grpc_byte_buffer *transport_buffer_create(const void *bytes, size_t size);

/* Copies a received byte buffer out. False: no memory. */
bool transport_message_take(grpc_byte_buffer *buffer, struct transport_message *message);

/* Fills `err` from a status, its text and its trailing metadata; decodes google.rpc.Status. */
void transport_error_fill(struct polarys_client_error *err, grpc_status_code status,
                          const grpc_slice *text, const grpc_metadata_array *trailing);

#ifdef __cplusplus
}
#endif

#endif
