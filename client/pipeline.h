/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many unary calls under way at once from one thread, for load generators: no call blocks, one place waits
 * for whichever ends next. Nothing is retried, but a call that failed since the primary has moved has the next ones
 * go to the new one. Not part of libpolarys's public face.
 */
#ifndef CLIENT_PIPELINE_H
#define CLIENT_PIPELINE_H

#include "client/polarys.h"

#ifdef __cplusplus
extern "C" {
#endif

struct client_pipeline;

enum {
    CLIENT_PIPELINE_SLOTS_MAX = 65536,
};

/* A call that ended. */
struct client_completion {
    uint32_t slot;
    enum polarys_client_status status;
    size_t response_size; /* bytes; the content is dropped */
    char reason[POLARYS_CLIENT_REASON_MAX];
    char message[256];
};

/*
 * A pipeline over `clients` (borrowed; they must outlive it) with `slot_count` places for calls; slot i
 * calls through client i % client_count. False: no memory, or a slot_count of 0 or past the maximum.
 */
bool client_pipeline_open(struct polarys_client *const *clients, uint32_t client_count,
                          uint32_t slot_count, struct client_pipeline **out,
                          struct polarys_client_error *err);
/* Cancels what is under way, then frees. Accepts NULL. */
void client_pipeline_close(struct client_pipeline *pipeline);

/* Starts a call in a free slot; the request is copied. REQUIRES: the slot has no call under way. False:
 * gRPC refused it. The client's timeout applies. */
bool client_pipeline_start(struct client_pipeline *pipeline, uint32_t slot,
                           const struct polarys_client_rpc *rpc);

/* The next call that ends, whichever slot it has. False: none ended before `until_ns` of CLOCK_MONOTONIC
 * (UINT64_MAX: waits without limit, REQUIRES: a call is under way). */
bool client_pipeline_next(struct client_pipeline *pipeline, uint64_t until_ns,
                          struct client_completion *completion);

#ifdef __cplusplus
}
#endif

#endif
