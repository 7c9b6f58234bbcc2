/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node that follows another: it keeps a tail of the other node's log, writes and applies what comes, and
 * acknowledges it; it knows how far behind it is; and it can be promoted.
 *
 * Two threads: one takes in the log, one asks the primary for its version on behalf of STRONG reads. All
 * functions but create, start, stop and destroy may be called from any thread.
 */
#ifndef SERVICE_REPLICATION_FOLLOWER_H
#define SERVICE_REPLICATION_FOLLOWER_H

#include "engine/engine_replica.h"
#include "service/replication/peer.h"
#include "service/replication/role.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FOLLOWER_HEARTBEAT_MS = 1000,
    FOLLOWER_SILENCE_MS = 10000,    /* without a message, before the connection is given up */
    FOLLOWER_UNARY_MS = 5000,       /* of Handshake and CreateSlot */
    FOLLOWER_GROUP_BYTES = 4 << 20, /* taken in before a sync, while more is there to take */
    FOLLOWER_FRAME_BYTES_MAX = 64 << 20,
    FOLLOWER_ASK_MS = 2000, /* for the primary to tell its version */
    FOLLOWER_PROMOTE_MS = 60000,
    FOLLOWER_SEAL_MS = 20000,
};

/* Why a follower ended by itself. */
enum follower_end {
    FOLLOWER_REOPEN, /* the store has to be closed, and the way begun anew with boot_run */
    FOLLOWER_FATAL,  /* nothing this process can do helps */
};

enum follower_state {
    FOLLOWER_CONNECTING,
    FOLLOWER_TAILING,
    FOLLOWER_PROMOTED,
    FOLLOWER_ENDED,
};

struct follower_options {
    /* Borrowed for as long as the follower lives. */
    const struct config *config;
    struct polarys_db *db;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);
    struct role role;
    /* Called when it is the primary for the engine and nobody knows it yet; NULL: nothing is to be done. */
    void (*promoted)(void *context);
    /* Called once from a thread of the follower, which must not be stopped from inside. */
    void (*ended)(void *context, enum follower_end end);
    void *context;
};

struct follower_status {
    enum follower_state state;
    char follows[CONFIG_TEXT_MAX]; /* HOST:PORT of the node it follows */
    char primary[CONFIG_TEXT_MAX]; /* of the primary, as far as it is known */
    bool has_caught_up;            /* once, since the start */
    bool has_heard;                /* of the other node, since the start */
    uint64_t end_version;          /* durable at the other node, as last heard */
    uint64_t behind_versions;
    uint64_t behind_bytes;
    uint64_t
        behind_ms; /* age of the newest state known to be all that there was; UINT64_MAX: never */
    uint64_t connection_count;
    uint64_t received_bytes;
    uint64_t term;                         /* highest seen */
    char error[POLARYS_ERROR_MESSAGE_MAX]; /* of the last attempt; "" while all is well */
};

struct follower;

NODISCARD enum polarys_code follower_create(const struct follower_options *options,
                                            struct follower **out, struct polarys_error *err);
/* `port`: at which this node serves, for what it tells of itself. Errors: IO. */
NODISCARD enum polarys_code follower_start(struct follower *follower, uint16_t port,
                                           struct polarys_error *err);
/* Ends its threads; may be called again. Accepts NULL. */
void follower_stop(struct follower *follower);
/* REQUIRES: stopped, nobody uses it. Accepts NULL. */
void follower_destroy(struct follower *follower);

/* False once it was promoted. Cheap. Accepts NULL: false. */
bool follower_is_following(const struct follower *follower);
/* Whether reads are to be sent here: it has caught up once, or was promoted. Accepts NULL: true. */
bool follower_is_ready(const struct follower *follower);
/* Newest version that no failover takes back, as the primary told since this node's start; 0: not told yet. Never above
 * `applied`. Cheap. */
uint64_t follower_stable_version(const struct follower *follower, uint64_t applied);
/* Milliseconds since this node is known to have had all that the other node had; UINT64_MAX: never. */
uint64_t follower_behind_ms(const struct follower *follower);
/* HOST:PORT of the primary, in CONFIG_TEXT_MAX bytes. */
void follower_primary_get(struct follower *follower, char *address);
void follower_status_get(struct follower *follower, struct follower_status *status);

/* Asks the primary for its newest version; the ticket tells when the answer is one to this question. */
uint64_t follower_ask(struct follower *follower);
/* False while there is no answer. */
bool follower_answer_get(struct follower *follower, uint64_t ticket, uint64_t *version);

/* A term that is to be sealed: ReplicationService.SealTerm. */
struct follower_seal {
    uint64_t term; /* 0: only asks */
    bool is_candidate;
    char primary[CONFIG_TEXT_MAX]; /* to follow from now on; "": as before */
};

struct follower_seal_result {
    uint64_t highest_term;
    struct polarys_log_position end; /* durable here */
};

/*
 * From its return on this node takes in nothing of a term below seal->term, and acknowledges nothing more to a primary of
 * such a term. Waits. Errors: NOT_PRIMARY (a term as high was seen: details `term`, `primary`), TOO_MANY_CALLS (another seal
 * is under way), DRAINING (it does not follow any more), WAIT_TIMEOUT, IO.
 */
NODISCARD enum polarys_code follower_seal_term(struct follower *follower,
                                               const struct follower_seal *seal,
                                               struct follower_seal_result *result,
                                               struct polarys_error *err);

struct follower_promotion {
    uint64_t term;          /* of the new primary */
    uint64_t last_version;  /* of what was followed */
    uint64_t lost_versions; /* that the old primary is known to have had beyond it */
};

/*
 * Makes this node the primary of `term` (0: the next one) and ends following: seals the terms before on enough members, takes
 * over what the most advanced of them has, and begins the log of the term. Waits. Errors: QUORUM_UNREACHABLE without
 * `allows_loss` when too few members answer to know what a quorum has acknowledged (details `version`,
 * `end_version`); HISTORY_DIVERGED (what another has cannot be taken over: promote that one); BAD_ARGUMENT (not following, or
 * a term that is not above every one seen); TOO_MANY_CALLS (another promotion is under way); DRAINING; WAIT_TIMEOUT; IO.
 */
NODISCARD enum polarys_code follower_promote(struct follower *follower, uint64_t term,
                                             bool allows_loss, struct follower_promotion *promotion,
                                             struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
