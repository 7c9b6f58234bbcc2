/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which node a call goes to: the nodes that are known, which of them is the primary, and what an answer means for the
 * next attempt.
 *
 * Invariant: a node stays where it is until the client is closed, so its transport may be used without the lock;
 * everything else here is guarded by the client's mutex, which is never held while anybody is asked.
 *
 * With one node, until its answers name another, all of this stands aside: no question is asked, and attempts are
 * counted as ever.
 */
#ifndef CLIENT_ROUTE_H
#define CLIENT_ROUTE_H

#include "client/endpoint.h"
#include "client/error.h"
#include "client/polarys.h"
#include "client/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CLIENT_ASK_MS = 1000, /* the longest that one node is asked what it is */
    CLIENT_ASK_PAUSE_MS =
        100,              /* between two rounds of asking, where a thread must not stand still */
    CLIENT_MOVES_MAX = 4, /* attempts at nodes that answers name, without a pause */
    CLIENT_SEARCH_MS_MAX = 30000,      /* of a call without a deadline, for a primary */
    CLIENT_SEARCH_PAUSE_MS_MAX = 1000, /* between two attempts while there is none */
    CLIENT_AVOID_MS_MIN = 250,         /* a node that failed is the last choice for so long, */
    CLIENT_AVOID_MS_MAX = 8000,        /* doubled with each failure in a row */
    CLIENT_REFRESH_MS = 30000,         /* how old the knowledge may be that reads go by */
    CLIENT_NEAR_MS = 1,                /* nodes whose answers differ by no more are equally near */
    CLIENT_NODE_NONE = UINT32_MAX,
};

/* How a failed attempt may be repeated. */
enum client_repeat {
    CLIENT_REPEAT_NEVER,
    CLIENT_REPEAT_ALWAYS, /* reads, writes with a request id */
    /* Only when the server said that it did nothing. */
    CLIENT_REPEAT_REFUSED,
};

/* Who may carry out a call. */
enum client_place {
    CLIENT_PLACE_PRIMARY,
    CLIENT_PLACE_READ, /* any node: options.read_policy chooses */
};

/* A node of the group. */
struct client_node {
    char *address;               /* immutable */
    struct transport *transport; /* NULL until it is first needed, then immutable */
    bool is_listed;              /* by the user; otherwise a server named it */
    bool is_replica;             /* as it last said */
    bool is_ready;               /* a replica that is connected and has caught up */
    uint32_t answer_ms;          /* how long its last answer to a question took */
    uint32_t avoid_ms;           /* 0: it did not fail since its last answer */
    uint64_t avoid_until_ms;
};

struct client_route {
    struct client_node nodes[POLARYS_CLIENT_NODES_MAX];
    uint32_t node_count;
    uint32_t primary;        /* index; CLIENT_NODE_NONE: not known */
    uint64_t term;           /* of that primary, as far as it is known */
    uint32_t turn;           /* whose turn it is among equals */
    bool is_searching;       /* one thread asks for all */
    uint64_t searched_at_ms; /* 0: never */
    char trouble[256];       /* what the last search found, where it found no primary */
};

/* The way of one call, or of one stream with its reopenings, through the nodes. Zero-initialise, then client_way_init. */
struct client_way {
    enum client_place place;
    uint64_t deadline_ms; /* of the whole; 0: none */
    uint32_t
        reconnect_ms; /* of a stream: the longest without progress that is borne; 0: as a call's */
    uint64_t trouble_ms; /* when it began; 0: there is none */
    uint32_t attempts;   /* on the wire, since the last progress */
    uint32_t pauses;
    uint32_t moves;  /* attempts elsewhere since the last pause */
    uint32_t node;   /* of the present attempt; CLIENT_NODE_NONE: there was nowhere to go */
    uint32_t failed; /* nodes that failed since the last pause, a bit each */
};

/* Where an attempt goes. Borrowed from the client. */
struct client_target {
    struct transport *transport;
    const char *address;
    uint64_t deadline_ms; /* of this attempt; 0: none */
};

enum client_step {
    CLIENT_STEP_FAIL,  /* the error is the call's */
    CLIENT_STEP_AGAIN, /* at once, elsewhere */
    CLIENT_STEP_PAUSE, /* after a pause */
};

/* Takes the list of endpoints. REQUIRES: it is valid. False: no memory. */
bool client_route_init(struct polarys_client *client);
/* Closes every connection. */
void client_route_deinit(struct polarys_client *client);

/* True when there is more than one node to go to. */
bool client_route_is_group(struct polarys_client *client);

void client_way_init(struct client_way *way, enum client_place place, uint64_t deadline_ms,
                     uint32_t reconnect_ms);
/* Chooses the node of the next attempt, asking the nodes first if need be. False: there is none; way->node tells
 * (`err`: UNAVAILABLE/NO_PRIMARY, or no memory), and client_way_judge what then. */
bool client_way_next(struct polarys_client *client, struct client_way *way,
                     struct client_target *target, struct polarys_client_error *err);
/* What follows from a failed attempt, for this call and for those after it. `*delay_ms` is set for a pause, which
 * ends before the call's deadline. */
enum client_step client_way_judge(struct polarys_client *client, struct client_way *way,
                                  enum client_repeat repeat, const struct polarys_client_error *err,
                                  uint32_t *delay_ms);
/* The stream brought something new: the next trouble is the first. */
void client_way_progress(struct client_way *way);

/* Chooses without asking anybody, for callers that must not stand still: the best node that is known, or the first
 * one. False: no memory. */
bool client_route_guess(struct polarys_client *client, enum client_place place, uint32_t *node,
                        struct client_target *target);
/* Takes what the failure of such a call means; asks the nodes when the primary is lost, at most every
 * CLIENT_ASK_PAUSE_MS. */
void client_route_told(struct polarys_client *client, uint32_t node,
                       const struct polarys_client_error *err);

/* The node has answered, under this term: one higher than the known primary's means that there is another. */
void client_route_heard(struct polarys_client *client, uint32_t node, uint64_t term);

/* ---- between the files of the route ---- */

/* Opens the node's transport if need be. NULL with `err`: no memory. */
struct transport *client_node_transport(struct polarys_client *client, uint32_t node,
                                        struct polarys_client_error *err);
/* The node of this address, made if there is room. CLIENT_NODE_NONE: no room or no memory, or the address is none
 * or not accepted. Takes the mutex. */
uint32_t client_node_told(struct polarys_client *client, const char *address);
/* The node failed: it is the last choice for a while. REQUIRES: the mutex. */
void client_node_avoid_locked(struct client_node *node, uint64_t now_ms);
/* Asks every node what it is, or waits while another thread does, until `deadline_ms` (0: none) at the longest.
 * Afterwards the primary may be known. */
void client_route_search(struct polarys_client *client, uint64_t deadline_ms);

#ifdef __cplusplus
}
#endif

#endif
