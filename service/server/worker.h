/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with one completion queue. It keeps calls requested, serves what arrives,
 * and, when writes were submitted and nothing else waits in its queue, drives the log.
 */
#ifndef SERVICE_SERVER_WORKER_H
#define SERVICE_SERVER_WORKER_H

#include <pthread.h>

#include <grpc/grpc.h>

#include "service/admin/metrics.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WORKER_POSTED_HOT = 64,  /* calls kept requested of a hot method */
    WORKER_POSTED = 4,       /* of any other */
    WORKER_EVENTS_MAX = 256, /* between two rounds of the log */
    WORKER_TICK_MS = 100,
    WORKER_WAIT_MS = 2,         /* how often calls that wait for a version look */
    WORKER_WAITING_MAX = 10000, /* calls that look again and again: call_wait */
};

struct worker {
    /* Immutable after start. */
    struct server *server;
    grpc_completion_queue *queue;
    pthread_t thread;
    unsigned index;
    bool is_started;

    /* Of the worker's thread. */
    struct call *pool;
    struct call *waiting; /* for a version */
    struct call *streams; /* with a tick */
    size_t waiting_count;
    bool has_submitted;
    bool is_wait_timed; /* the worker's sleep is short for the sake of those that wait */
    uint64_t call_number;
    uint64_t tick_ns;

    /* Written by the worker's thread, read by any; atomic. */
    uint64_t calls_under_way;
    uint64_t calls_alive; /* requested ones too */

    struct metrics_worker *metrics;
};

NODISCARD enum polarys_code worker_init(struct worker *worker, struct server *server,
                                        unsigned index, struct polarys_error *err);
/* Requests calls of every method and starts the thread. After grpc_server_start. */
NODISCARD enum polarys_code worker_start(struct worker *worker, struct polarys_error *err);
/* Shuts the queue down and joins the thread. REQUIRES: the server is shut down, no call alive. */
void worker_stop(struct worker *worker);
void worker_deinit(struct worker *worker);

/* ---- on the worker's thread ---- */

/* A call out of the pool, or a new one; NULL when there is no memory. */
struct call *worker_call_take(struct worker *worker);
/* Back into the pool. */
void worker_call_give(struct worker *worker, struct call *call);
/* Has the call dispatched again when its at_least_version is readable, or its time is over. */
void worker_call_wait(struct worker *worker, struct call *call);
/* Streams that want a tick. */
void worker_stream_add(struct worker *worker, struct call *call);
void worker_stream_remove(struct worker *worker, struct call *call);
/* Has the streams ticked at `at_ns` already, should that be earlier; never twice within WORKER_WAIT_MS. */
void worker_tick_by(struct worker *worker, uint64_t at_ns);
/* Keeps one more call of the method requested. */
void worker_request(struct worker *worker, const struct method *method);

#ifdef __cplusplus
}
#endif

#endif
