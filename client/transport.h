/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place in the client that knows gRPC: a channel, one unary attempt, and one stream.
 *
 * Everything above works on encoded messages and on struct polarys_client_error.
 */
#ifndef CLIENT_TRANSPORT_H
#define CLIENT_TRANSPORT_H

#include "client/polarys.h"

#ifdef __cplusplus
extern "C" {
#endif

struct transport;
struct transport_stream;

enum { TRANSPORT_SEND_MS_MAX = 30000 };

/* Encoded message; free with free(bytes). */
struct transport_message {
    uint8_t *bytes;
    size_t size;
};

/* False: no memory, or an endpoint that cannot be parsed. */
bool transport_open(const struct polarys_client_options *options, struct transport **out,
                    struct polarys_client_error *err);
void transport_close(struct transport *transport); /* accepts NULL */
/* True while there is a connection. Any thread. */
bool transport_is_connected(const struct transport *transport);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t transport_now_ms(void);
void transport_sleep_ms(uint32_t duration_ms);

/* A unary call. Borrows. */
struct transport_request {
    const char *method;
    const void *bytes;
    size_t size;
    uint64_t deadline_ms; /* on transport_now_ms's clock; 0: none */
};

/* One attempt. On success `response` holds the message, owned by the caller. */
bool transport_unary(struct transport *transport, const struct transport_request *request,
                     struct transport_message *response, struct polarys_client_error *err);

/* Begins a stream of either kind. Errors show on the first receive. False: no memory. */
bool transport_stream_open(struct transport *transport, const char *method, uint64_t deadline_ms,
                           struct transport_stream **out, struct polarys_client_error *err);
/* Sends one message and waits until the transport has taken it (receiving meanwhile, so neither side can
 * block the other), but no longer than TRANSPORT_SEND_MS_MAX: then the stream is cancelled. False when the
 * stream has ended: transport_stream_finish tells why. */
bool transport_stream_send(struct transport_stream *stream, const void *message, size_t size);
/* No more messages from here. False when the stream has ended. */
bool transport_stream_half_close(struct transport_stream *stream);

enum transport_event {
    TRANSPORT_MESSAGE, /* `message` is filled, owned by the caller */
    TRANSPORT_ENDED,   /* the server is done: transport_stream_finish tells how */
    TRANSPORT_IDLE,    /* nothing came within the time */
};
/* The next message that the server sent. timeout_ms: 0 looks and does not wait; UINT32_MAX waits. */
enum transport_event transport_stream_receive(struct transport_stream *stream, uint32_t timeout_ms,
                                              struct transport_message *message);
/* Waits for the status. True when it is OK. REQUIRES: TRANSPORT_ENDED was seen, or cancel was called. */
bool transport_stream_finish(struct transport_stream *stream, struct polarys_client_error *err);
void transport_stream_cancel(struct transport_stream *stream);
/* Cancels what is still running, then frees. Accepts NULL. */
void transport_stream_destroy(struct transport_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
