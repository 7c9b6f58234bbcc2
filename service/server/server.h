/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC server: listener, workers, methods, and the way down.
 *
 * Life: server_create, server_start, then either state from any thread: server_drain_begin (health
 * says not serving), server_refuse (new calls get DRAINING), server_shutdown_begin (listener
 * closed, streams end), server_cancel (what is left is cancelled), server_is_idle, and at last
 * server_destroy.
 */
#ifndef SERVICE_SERVER_SERVER_H
#define SERVICE_SERVER_SERVER_H

#include <grpc/grpc.h>

#include "service/config/config.h"
#include "service/proto/arena.h"
#include "service/rpc/method.h"
#include "service/server/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SERVER_WORKERS_MAX = 64,
    SERVER_TOKEN_SIZE = 26, /* of ResponseHeader.token */
};

/* How far down the way the server is; only grows. */
enum server_phase {
    SERVER_STARTING,
    SERVER_SERVING,
    SERVER_LEAVING,  /* not ready, but serves */
    SERVER_REFUSING, /* new calls get DRAINING */
    SERVER_STOPPING, /* the listener is closed, streams end */
};

/* What the control loop does for calls. Functions may be called from any thread. */
struct server_control {
    void *context;
    /* AdminService.Drain: take the server out of use after `grace_ms`. */
    void (*drain)(void *context, uint64_t grace_ms);
    /* True when the peer of a call came after the limit of connections was reached. */
    bool (*is_over_limit)(void *context, grpc_call *handle);
};

struct backup_reports;
struct bulk_sessions;
struct copy_store;
struct follower;
struct group;
struct handover;
struct members;
struct standing;
struct reflection_index;

struct server {
    /* Immutable after start. */
    const struct config *config;
    struct polarys_db *db;
    struct server_control control;
    grpc_server *handle;
    void *registered[METHOD_COUNT_MAX];
    struct worker workers[SERVER_WORKERS_MAX];
    unsigned worker_count;
    uint64_t calls_max; /* of one worker */
    size_t request_bytes_max;
    uint64_t start_ns;
    uint64_t start_wall_ms;
    uint16_t port;
    struct bulk_sessions *bulk_sessions;
    struct copy_store *copies;
    struct backup_reports *backup_reports;
    struct follower *follower; /* NULL: the node never followed another since its start; borrowed */
    struct group *group;
    /* Of the control loop, set before the start; NULL where there is none. Borrowed. */
    struct members *members;
    struct standing *standing;
    struct handover *handover;
    struct reflection_index *reflection;

    /* Synchronise themselves; atomic. */
    int phase;                /* enum server_phase */
    int is_shut_down;         /* the tag of the shutdown came back */
    int has_connection_limit; /* more connections than allowed: look at each call's peer */
    uint64_t writes_waiting;
    uint64_t connection_count; /* as last counted */
    struct proto_memory memory;

    struct call shutdown_call; /* carries the tag of the shutdown */
};

/* REQUIRES: grpc_init. `config`, `db` and `control` outlive the server. Errors: IO (the address is
 * taken), BAD_ARGUMENT, NO_MEMORY. */
NODISCARD enum polarys_code server_create(const struct config *config, struct polarys_db *db,
                                          const struct server_control *control, struct server **out,
                                          struct polarys_error *err);
NODISCARD enum polarys_code server_start(struct server *server, struct polarys_error *err);

/* Any thread. */
enum server_phase server_phase_get(const struct server *server);
/* Goes on to `phase`; never back. SERVER_STOPPING closes the listener and begins the shutdown. */
void server_phase_set(struct server *server, enum server_phase phase);
/* Cancels every call under way. REQUIRES: SERVER_STOPPING. */
void server_cancel(struct server *server);
/* True when the shutdown is complete and no call is alive. */
bool server_is_idle(const struct server *server);
/* Calls under way now. */
uint64_t server_calls_under_way(const struct server *server);

/* Stops the workers and frees everything. REQUIRES: idle, and the engine not used by it any
 * more. */
void server_destroy(struct server *server);

#ifdef __cplusplus
}
#endif

#endif
