/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the peer over gRPC share.
 */
#ifndef SERVICE_REPLICATION_PEER_INTERNAL_H
#define SERVICE_REPLICATION_PEER_INTERNAL_H

#include <pthread.h>

#include <grpc/grpc.h>

#include "service/replication/peer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The calls of a peer that may be under way: a stream, and a unary call beside it. */
enum { PEER_CALLS_MAX = 2 };

struct grpc_peer {
    struct peer base;
    grpc_channel *channel;

    pthread_mutex_t mutex; /* guards all below */
    grpc_call *calls[PEER_CALLS_MAX];
    bool is_cancelled;
};

/* A call that peer_cancel reaches. Errors: CANCELLED. */
NODISCARD enum polarys_code grpc_peer_call_begin(struct grpc_peer *peer, const char *method,
                                                 uint32_t timeout_ms, grpc_completion_queue *queue,
                                                 grpc_call **out, struct polarys_error *err);
/* Lets go of the call. */
void grpc_peer_call_end(struct grpc_peer *peer, grpc_call *call);

/* Owned by the caller. */
grpc_byte_buffer *peer_message_pack(const ProtobufCMessage *message);
/* In the arena. Errors: BAD_MESSAGE, MEMORY_LIMIT. */
NODISCARD enum polarys_code peer_message_unpack(grpc_byte_buffer *buffer,
                                                const ProtobufCMessageDescriptor *descriptor,
                                                struct proto_arena *arena, void **message,
                                                struct polarys_error *err);

/* Fills `err` with what a failed call says of itself. REQUIRES: status is not OK. */
enum polarys_code peer_error_fill(struct polarys_error *err, grpc_status_code status,
                                  struct polarys_slice text, struct polarys_slice details);
/* The same from what the transport gave. */
enum polarys_code peer_error_take(struct polarys_error *err, grpc_status_code status,
                                  const grpc_slice *text, const grpc_metadata_array *trailing);

/* The operations of streams, for the table in peer.c. */
enum polarys_code grpc_stream_open(struct peer *peer, const struct peer_call *call,
                                   struct peer_stream **out, struct polarys_error *err);
enum polarys_code grpc_stream_send(struct peer_stream *stream, const ProtobufCMessage *message,
                                   struct polarys_error *err);
enum polarys_code grpc_stream_receive(struct peer_stream *stream, uint32_t timeout_ms,
                                      struct proto_arena *arena, struct peer_received *received,
                                      struct polarys_error *err);
void grpc_stream_close(struct peer_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
