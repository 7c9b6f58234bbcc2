/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the follower share: follower.c (life), follower_status.c (what others ask),
 * follower_session.c (one connection), follower_tail.c (its messages), follower_ask.c (STRONG reads),
 * follower_seal.c, follower_elect.c (what goes before a promotion), follower_promote.c.
 */
#ifndef SERVICE_REPLICATION_FOLLOWER_INTERNAL_H
#define SERVICE_REPLICATION_FOLLOWER_INTERNAL_H

#include <pthread.h>

#include "polarys/v1/replication.pb-c.h"
#include "service/replication/backoff.h"
#include "service/replication/follower.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A frame that comes in parts. */
struct frame_parts {
    uint8_t *bytes;
    size_t size;
    size_t room;
    uint64_t segment_id;
};

/* When the other node had what: taken over once this one has it too. */
struct freshness_mark {
    bool is_set;
    uint64_t version;
    uint64_t sent_wall_ms; /* by the clock of the other node */
    uint64_t heard_ns;
};

struct follower {
    /* Immutable after start. */
    const struct config *config;
    struct polarys_db *db;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);
    void (*promoted)(void *context);
    void (*ended)(void *context, enum follower_end end);
    void *context;
    char address[CONFIG_TEXT_MAX]; /* at which clients reach this node; "" when they do not */
    pthread_t tail_thread;
    pthread_t ask_thread;
    bool has_tail_thread;
    bool has_ask_thread;

    /* Synchronise themselves. */
    struct backoff backoff; /* stopped: the follower ends */
    struct proto_memory memory;

    /* Of the tail's thread. */
    struct role role;
    struct proto_arena arena;
    struct frame_parts parts;
    struct freshness_mark mark;
    uint64_t session_term;      /* of the node that is followed, as its handshake said */
    bool is_of_primary;         /* the session is with the primary, not with another replica */
    uint64_t header_segment_id; /* of the last header that was taken in, or the log's own */
    bool is_local_error;        /* the last error is this node's, not the other one's */
    bool has_progress;          /* of the connection: it brought something */
    const struct polarys_log_position
        *catch_up_to; /* where the tail ends by itself; NULL: nowhere */

    /* Atomic. */
    int state; /* enum follower_state */
    int has_caught_up;
    uint64_t stable_version; /* 0: not told */
    uint64_t fresh_wall_ms;  /* 0: never */
    uint64_t fresh_ns;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    struct peer *tail_peer;
    struct peer *ask_peer;
    char primary[CONFIG_TEXT_MAX];
    bool has_heard;
    uint64_t end_version;
    uint64_t behind_bytes;
    uint64_t connection_count;
    uint64_t received_bytes;
    uint64_t highest_term;
    char error[POLARYS_ERROR_MESSAGE_MAX];
    bool is_stopping;
    uint64_t asked;    /* tickets given out */
    uint64_t answered; /* the newest that `answer` is for */
    uint64_t answer;

    bool is_promotion_asked;
    bool is_promotion_done;
    uint64_t promotion_term;
    bool promotion_allows_loss;
    enum polarys_code promotion_code;
    struct polarys_error promotion_error;
    struct follower_promotion promotion;

    char follows
        [CONFIG_TEXT_MAX]; /* HOST:PORT; written by the tail's thread, which reads it without the mutex */
    bool is_seal_asked;
    bool is_seal_done;
    const struct follower_seal *seal; /* of who waits */
    struct follower_seal_result seal_result;
    enum polarys_code seal_code;
    struct polarys_error seal_error;
};

/* One connection: until it ends, which it does with an error always. On the tail's thread. */
enum polarys_code follower_session_run(struct follower *follower, struct polarys_error *err);
/*
 * Takes over what another node has, up to `to`, although its term is over. On the tail's thread. Errors: those of a connection,
 * HISTORY_DIVERGED among them.
 */
enum polarys_code follower_session_catch_up(struct follower *follower, const char *address,
                                            const struct polarys_log_position *to,
                                            struct polarys_error *err);
/* One tail. Ends with an error always, but when it has caught up to `catch_up_to`. */
enum polarys_code follower_tail_run(struct follower *follower, struct peer_stream *stream,
                                    struct polarys_error *err);
/* What a node tells of itself; points into the follower and to `position`. */
void follower_node_fill(const struct follower *follower, const struct polarys_log_position *at,
                        Polarys__V1__LogPosition *position, Polarys__V1__HandshakeRequest *node);
void follower_position_fill(const struct polarys_log_position *at,
                            Polarys__V1__LogPosition *position);
/* The keyring of the other node has changed: writes it where the next open reads it. *is_new is false
 * when it is the one that is there. */
enum polarys_code follower_keyring_install(struct follower *follower, bool *is_new,
                                           struct polarys_error *err);
/* Notes a term that was seen, durably. */
enum polarys_code follower_term_note(struct follower *follower, uint64_t term,
                                     struct polarys_error *err);

/* Opens a peer and publishes it in *place, so that stopping cancels it. Errors: CANCELLED, those of
 * opening. */
enum polarys_code follower_peer_open(struct follower *follower, const char *address,
                                     struct peer **place, struct polarys_error *err);
void follower_peer_close(struct follower *follower, struct peer **place);

/*
 * Seals every term below *term (0: one is chosen) on this node and on enough members, and takes over what the most advanced of
 * them has. On the tail's thread. Errors: QUORUM_UNREACHABLE (details `version`, `end_version`), BAD_ARGUMENT (the term was
 * seen already), WAIT_TIMEOUT, CANCELLED, HISTORY_DIVERGED, NO_MEMORY, those of a connection, those of files.
 */
enum polarys_code follower_elect(struct follower *follower, bool allows_loss, uint64_t *term,
                                 struct polarys_error *err);

bool follower_promotion_is_asked(struct follower *follower);
/* On the tail's thread. True when it was promoted. */
bool follower_promotion_run(struct follower *follower);
/* Tells who waits for a promotion that none will be. */
void follower_promotion_refuse(struct follower *follower);

bool follower_seal_is_asked(struct follower *follower);
/* On the tail's thread, between two connections. True when a term was asked to be sealed. */
bool follower_seal_run(struct follower *follower);
/* Tells who waits for a seal that there will be none. */
void follower_seal_refuse(struct follower *follower);

void *follower_ask_run(void *context);
void follower_state_set(struct follower *follower, enum follower_state state);

#ifdef __cplusplus
}
#endif

#endif
