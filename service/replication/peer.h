/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another node, as this one calls it: unary calls and streams, with messages of protobuf-c.
 *
 * Errors of a call are the codes that the other node gave, with its message and details; where it gave
 * none: NO_PRIMARY (nobody answers there), WAIT_TIMEOUT, CANCELLED, UNIMPLEMENTED, BAD_MESSAGE (what came
 * is no such message), MEMORY_LIMIT, NO_MEMORY.
 *
 * Threads: a peer and its streams belong to one thread; peer_cancel may be called from any.
 */
#ifndef SERVICE_REPLICATION_PEER_H
#define SERVICE_REPLICATION_PEER_H

#include <protobuf-c/protobuf-c.h>

#include "service/proto/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PEER_MESSAGE_BYTES_MAX = 64 << 20, /* of one message that is received */
    PEER_CONNECT_MS = 3000,
    PEER_SEND_MS = 30000, /* for the transport to take a message */
};

struct peer_stream;

/* A method and its first, or only, request. Borrowed during the call. */
struct peer_call {
    const char *method; /* "/polarys.v1.ReplicationService/Handshake" */
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response; /* static storage */
    uint32_t timeout_ms;                        /* of unary calls */
    bool is_only_request;                       /* of streams: nothing is sent after it */
};

enum peer_event {
    PEER_MESSAGE, /* `message` is there */
    PEER_IDLE,    /* nothing came in time */
    PEER_ENDED,   /* the other node ended the stream, and well */
};

struct peer_received {
    enum peer_event event;
    void *message; /* in the arena */
};

struct peer;

/* How a peer is reached: over gRPC, or by a test. */
struct peer_ops {
    enum polarys_code (*unary)(struct peer *peer, const struct peer_call *call,
                               struct proto_arena *arena, void **response,
                               struct polarys_error *err);
    enum polarys_code (*stream_open)(struct peer *peer, const struct peer_call *call,
                                     struct peer_stream **out, struct polarys_error *err);
    enum polarys_code (*stream_send)(struct peer_stream *stream, const ProtobufCMessage *message,
                                     struct polarys_error *err);
    enum polarys_code (*stream_receive)(struct peer_stream *stream, uint32_t timeout_ms,
                                        struct proto_arena *arena, struct peer_received *received,
                                        struct polarys_error *err);
    void (*stream_close)(struct peer_stream *stream);
    void (*cancel)(struct peer *peer);
    void (*close)(struct peer *peer);
};

struct peer {
    const struct peer_ops *ops;
};

struct peer_stream {
    const struct peer_ops *ops;
};

/* Over gRPC; connects with the first call. `address`: HOST:PORT. REQUIRES: grpc_init. Errors:
 * NO_MEMORY, BAD_ARGUMENT. */
NODISCARD enum polarys_code peer_open(const char *address, struct peer **out,
                                      struct polarys_error *err);

/* The response is in the arena. */
static inline NODISCARD enum polarys_code peer_unary(struct peer *peer,
                                                     const struct peer_call *call,
                                                     struct proto_arena *arena, void **response,
                                                     struct polarys_error *err)
{
    return peer->ops->unary(peer, call, arena, response, err);
}

/* Opens and sends the first request. One stream at a time. The error of the other node shows when
 * receiving. */
static inline NODISCARD enum polarys_code peer_stream_open(struct peer *peer,
                                                           const struct peer_call *call,
                                                           struct peer_stream **out,
                                                           struct polarys_error *err)
{
    return peer->ops->stream_open(peer, call, out, err);
}

/* Waits until the transport has taken it, receiving meanwhile. NO_PRIMARY: the stream has ended, and
 * receiving tells why. */
static inline NODISCARD enum polarys_code peer_stream_send(struct peer_stream *stream,
                                                           const ProtobufCMessage *message,
                                                           struct polarys_error *err)
{
    return stream->ops->stream_send(stream, message, err);
}

/* timeout_ms 0 looks and does not wait. An error ends the stream. */
static inline NODISCARD enum polarys_code peer_stream_receive(struct peer_stream *stream,
                                                              uint32_t timeout_ms,
                                                              struct proto_arena *arena,
                                                              struct peer_received *received,
                                                              struct polarys_error *err)
{
    return stream->ops->stream_receive(stream, timeout_ms, arena, received, err);
}

/* Cancels what is under way. Accepts NULL. */
static inline void peer_stream_close(struct peer_stream *stream)
{
    if (stream != NULL) {
        stream->ops->stream_close(stream);
    }
}

/* Any thread: what waits ends with CANCELLED, and so does whatever comes later. */
static inline void peer_cancel(struct peer *peer)
{
    peer->ops->cancel(peer);
}

/* REQUIRES: its stream is closed. Accepts NULL. */
static inline void peer_close(struct peer *peer)
{
    if (peer != NULL) {
        peer->ops->close(peer);
    }
}

#ifdef __cplusplus
}
#endif

#endif
