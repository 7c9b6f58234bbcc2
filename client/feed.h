/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of messages from the server that may break and be opened again: what scans, queries and searches
 * have in common. Where to go on is the caller's knowledge, when and how often is kept here.
 */
#ifndef CLIENT_FEED_H
#define CLIENT_FEED_H

#include "client/client_internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Embedded in what is streamed; zero-initialise, then set the first three. */
struct client_feed {
    struct polarys_client *client;
    const char *method;
    uint32_t
        reconnect_ms; /* keeps trying a vanished server for so long; 0: as the client's calls do */

    struct transport_stream *stream; /* NULL after a break, until the next open */
    uint32_t attempts;               /* breaks in a row without progress */
    uint64_t broken_since_ms;
};

enum client_feed_event {
    CLIENT_FEED_MESSAGE,
    CLIENT_FEED_ENDED,  /* with status OK; the stream is gone */
    CLIENT_FEED_BROKEN, /* the pause is over: open it again */
    CLIENT_FEED_FAILED, /* `err` says why */
};

/* Begins a stream with its only request. REQUIRES: no stream is open. */
bool client_feed_open(struct client_feed *feed, const ProtobufCMessage *request,
                      struct polarys_client_error *err);
/* The next message, owned by the caller, or how the stream ended. REQUIRES: a stream is open. */
enum client_feed_event client_feed_next(struct client_feed *feed, struct transport_message *message,
                                        struct polarys_client_error *err);
/* The same judgement on a stream that ended with status OK where it should not have: BROKEN or FAILED.
 * Taking that for the end could leave something out. */
enum client_feed_event client_feed_cut(struct client_feed *feed, struct polarys_client_error *err);
/* Something new came: the next break is the first again. */
void client_feed_progress(struct client_feed *feed);
/* Cancels what is still running. */
void client_feed_close(struct client_feed *feed);

#ifdef __cplusplus
}
#endif

#endif
