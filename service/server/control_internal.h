/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the control loop, for its own files: control.c (up), control_drain.c (down),
 * control_reload.c.
 */
#ifndef SERVICE_SERVER_CONTROL_INTERNAL_H
#define SERVICE_SERVER_CONTROL_INTERNAL_H

#include <ev.h>
#include <pthread.h>

#include "service/admin/connections.h"
#include "service/admin/http.h"
#include "service/replication/boot.h"
#include "service/replication/follower.h"
#include "service/replication/handover.h"
#include "service/replication/members.h"
#include "service/replication/standing.h"
#include "service/server/control.h"
#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CONTROL_STEP_MS = 20,     /* between two looks while going down */
    CONTROL_WATCH_MS = 500,   /* between two looks at the store and the connections */
    CONTROL_QUIET_MS = 300,   /* without a call, before idle connections are cut */
    CONTROL_CANCEL_MS = 5000, /* for calls to end once they are cancelled */
};

enum control_state {
    CONTROL_STARTING,
    CONTROL_RUNNING,
    CONTROL_DRAINED, /* out of use by a call, but the process stays */
    CONTROL_GRACE,
    CONTROL_WAITING,
    CONTROL_CANCELLED,
    CONTROL_ENDED,
};

struct control {
    const struct config *config;
    int argc;
    const char *const *argv;
    struct ev_loop *loop;
    struct http *http; /* NULL: no admin port */
    struct connections *connections;
    struct boot *boot; /* made before the starter, which runs it */

    /* Of the starter until it is joined. */
    pthread_t starter;
    bool has_starter;
    enum polarys_code start_code;
    struct polarys_error start_error;
    struct polarys_db *db;
    struct server *server;
    struct follower *follower; /* NULL: a primary */
    struct standing *standing;
    struct members *members;
    struct handover *handover;

    enum control_state state;
    bool is_leaving;  /* the process is to end */
    bool is_hastened; /* asked a second time */
    bool has_failed;
    bool is_restarting;    /* all is closed, and begun anew in this process */
    uint64_t busy_ns;      /* when a call was seen last, while going down */
    uint64_t state_end_ns; /* when the state is left at the latest */

    struct ev_signal on_term;
    struct ev_signal on_int;
    struct ev_signal on_hup;
    struct ev_async on_started;
    struct ev_async on_drain_asked;
    struct ev_async on_follow_ended;
    struct ev_timer step;
    struct ev_timer watch;
    uint64_t drain_asked_ms; /* atomic: the grace that AdminService.Drain asked for */
    int follow_end;          /* atomic: enum follower_end */
};

/* Begins to go down, or hastens. `leaves`: the process ends at last. */
void control_drain_begin(struct control *control, uint64_t grace_ms, bool leaves);
/* Goes on; what the timer `step` runs. */
void control_drain_step(struct control *control);
/* Opens the store as what this node is, a follower or not; on the starter's thread. Waits for a copy where
 * one is to be fetched. */
NODISCARD enum polarys_code control_store_open(struct control *control, struct polarys_error *err);
/* Makes what keeps the members of the group, and tells the group of them. REQUIRES: the server is created. */
NODISCARD enum polarys_code control_members_open(struct control *control,
                                                 struct polarys_error *err);
/* Follows, where this node does. REQUIRES: the server is started. */
NODISCARD enum polarys_code control_follow_start(struct control *control,
                                                 struct polarys_error *err);
/* On the loop: the follower has ended by itself. */
void control_follow_ended_fired(struct ev_loop *loop, struct ev_async *watcher, int events);
/* SIGHUP: reads the configuration again, takes over what can be, and names the rest. */
void control_reload(struct control *control);

#ifdef __cplusplus
}
#endif

#endif
