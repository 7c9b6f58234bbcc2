/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of messages from the server that may break and be opened again: what scans, queries and searches
 * have in common. Where to go on is the caller's knowledge, when and how often is kept here.
 */
#ifndef CLIENT_FEED_H
#define CLIENT_FEED_H

#include <signal.h>

#include "client/client_internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Embedded in what is streamed; client_feed_init. */
struct client_feed {
    struct polarys_client *client;
    const char *method;
    struct client_way way; /* a stream stays at its node until it breaks */
    struct client_target target;

    struct transport_stream *stream; /* NULL after a break, until the next open */
    bool has_answered;               /* something came on this stream */
    /* Where it becomes other than 0 waiting ends within STOP_SLICE_MS: CANCELLED. NULL after client_feed_init. */
    const volatile sig_atomic_t *stop;
    bool is_diverged; /* it failed, for a token is of a history that is gone */

    /* Of the answers so far: the history that they are of, and what no failover takes back of it. */
    bool has_history;
    uint8_t history_id[16];
    uint64_t stable_version;
};

enum client_feed_event {
    CLIENT_FEED_MESSAGE,
    CLIENT_FEED_ENDED,  /* with status OK; the stream is gone */
    CLIENT_FEED_BROKEN, /* the pause is over: open it again */
    CLIENT_FEED_FAILED, /* `err` says why */
};

/* `reconnect_ms`: keeps trying a vanished server for so long; 0: as the client's calls do. */
void client_feed_init(struct client_feed *feed, struct polarys_client *client, const char *method,
                      enum client_place place, uint32_t reconnect_ms);
/* Begins a stream with its only request. REQUIRES: no stream is open. */
bool client_feed_open(struct client_feed *feed, const ProtobufCMessage *request,
                      struct polarys_client_error *err);
/* The next message, owned by the caller, or how the stream ended. What the first one's header tells of a
 * session is for the caller to note. REQUIRES: a stream is open. */
enum client_feed_event client_feed_next(struct client_feed *feed, struct transport_message *message,
                                        struct polarys_client_error *err);
/* The same judgement on a stream that ended with status OK where it should not have: BROKEN or FAILED.
 * Taking that for the end could leave something out. */
enum client_feed_event client_feed_cut(struct client_feed *feed, struct polarys_client_error *err);
/* Takes the header of a stream's first message (NULL: it has none), and the version that is read. False fills `err`: the
 * stream goes on in another history, of which it is not known whether it has that version as it was. */
bool client_feed_header_take(struct client_feed *feed, const Polarys__V1__ResponseHeader *header,
                             uint64_t version, struct polarys_client_error *err);
/* True when the stream failed because the client's own token is of a history that is gone: `read` is STRONG now, and to be
 * sent again. */
bool client_feed_read_reset(struct client_feed *feed, struct polarys_client_read *read);
/* Something new came: the next break is the first again. */
void client_feed_progress(struct client_feed *feed);
/* Cancels what is still running. */
void client_feed_close(struct client_feed *feed);

#ifdef __cplusplus
}
#endif

#endif
