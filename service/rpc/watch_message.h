/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WatchResponse, filled event by event straight into the slice that goes out.
 *
 * Invariant: a commit of at most WATCH_COMMIT_BYTES lies in one message; a larger one in pieces.
 */
#ifndef SERVICE_RPC_WATCH_MESSAGE_H
#define SERVICE_RPC_WATCH_MESSAGE_H

#include <grpc/slice.h>

#include "engine/engine_watch.h"
#include "service/rpc/response.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WATCH_MESSAGE_FIRST_BYTES = 4 << 10,
    WATCH_MESSAGE_BYTES = 256 << 10, /* past it a message ends with the commit in hand */
    WATCH_COMMIT_BYTES = 1 << 20,
    WATCH_MESSAGE_BYTES_MAX =
        WATCH_MESSAGE_BYTES + WATCH_COMMIT_BYTES, /* but for one larger event */
};

/* Zero-initialise. */
struct watch_message {
    grpc_slice slice;
    uint8_t *at; /* end of what is in it; NULL: not begun */
    size_t event_count;
    bool has_commit_open; /* the last event was not its commit's last */
};

/* Begins it, with a header unless NULL. REQUIRES: not begun. */
void watch_message_begin(struct watch_message *message, const struct response_header *header);
/* False, and nothing is put, when the event has to go into the next message. Begins it if need be. */
bool watch_message_put(struct watch_message *message, const struct polarys_watch_event *event);
/* True when it is to be sent before more is put. */
bool watch_message_is_full(const struct watch_message *message);
/* The message with its resume version, taken out. REQUIRES: begun. */
grpc_slice watch_message_take(struct watch_message *message, uint64_t resume_version);
/* Drops what is there. */
void watch_message_deinit(struct watch_message *message);

#ifdef __cplusplus
}
#endif

#endif
