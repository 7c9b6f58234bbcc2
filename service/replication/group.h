/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group of this node: who follows it directly, how far each is, and how far a quorum of its members is.
 *
 * The members are those that group_members_set names (members.h knows them from the log): N counts this node and them,
 * q is N / 2 rounded down. Somebody who follows and is no member is never counted; a member that is away still is. A
 * version is stable when it is durable here and on q members.
 */
#ifndef SERVICE_REPLICATION_GROUP_H
#define SERVICE_REPLICATION_GROUP_H

#include "engine/engine_members.h"
#include "engine/engine_slots.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    GROUP_TAILS_MAX = 256,                                   /* tails under way, of all kinds */
    GROUP_NODES_MAX = GROUP_TAILS_MAX + POLARYS_MEMBERS_MAX, /* that are remembered */
    GROUP_WAITERS_MAX = 65536,                               /* for a version, at once */
};

struct group;
struct group_tail;

/* Without members: this node alone is its quorum. `db` outlives it. Errors: NO_MEMORY. */
NODISCARD enum polarys_code group_create(struct polarys_db *db, struct group **out,
                                         struct polarys_error *err);
/* REQUIRES: no tail, nobody waits. Accepts NULL. */
void group_destroy(struct group *group);

/* Those that count beside this node, at most POLARYS_MEMBERS_MAX names; what they had acknowledged before holds. Any
 * thread. */
void group_members_set(struct group *group, const char *const *names, size_t count);

/* A tail begins; `is_counted`: it is a replica's, in sealed frames, so it counts when it is a member's. `address`:
 * HOST:PORT, or "". Any thread. Errors: TOO_MANY_CALLS, NO_MEMORY. */
NODISCARD enum polarys_code group_join(struct group *group, const char *name, const char *address,
                                       bool is_counted, struct group_tail **out,
                                       struct polarys_error *err);
/* Accepts NULL. Any thread. */
void group_leave(struct group *group, struct group_tail *tail);
/* What the follower has of this term; never falls. One thread at a time for a tail. */
void group_ack(struct group *group, struct group_tail *tail, uint64_t durable_version,
               uint64_t applied_version);

/* How far a node is that follows or is a member. */
struct group_node {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    char address[POLARYS_MEMBER_ADDRESS_MAX]; /* as it told last; "" */
    bool is_member;
    bool is_active; /* a tail that counts is under way, and it has acknowledged on it */
    uint64_t durable_version;
    uint64_t applied_version;
};
/* Fills at most GROUP_NODES_MAX of those that may count; returns how many. */
size_t group_nodes_get(struct group *group, struct group_node *nodes);
/* False when it is not known. */
bool group_node_get(struct group *group, const char *name, struct group_node *node);

/* The newest version that is durable here and on q members; never falls. Any thread; cheap. */
uint64_t group_stable_version(struct group *group);
/*
 * False while the count may be below what was stable before: after a start, and after a promotion, what is here then may have
 * been called stable, which is known again once q members have it. For a primary. Any thread; cheap.
 */
bool group_is_settled(struct group *group);
/* A term begins here, with the write of that version: nothing from before is stable until q members have that too. */
void group_term_begin(struct group *group, uint64_t version);
/* The same of what can be read on q members. */
uint64_t group_applied_version(struct group *group);

enum group_wait_state {
    GROUP_HAS,     /* the quorum has it: the waiter is not needed */
    GROUP_WAITS,   /* wake is called once, or the wait cancelled */
    GROUP_IS_FULL, /* GROUP_WAITERS_MAX wait already */
};

/* Who waits for a version; in the memory of who waits. */
struct group_waiter {
    uint64_t version;
    bool is_applied; /* readable there, not only durable */
    /* Called from the thread that brings the news, with nothing locked; must not block. */
    void (*wake)(struct group_waiter *waiter);

    /* Of the group. */
    struct group_waiter *next;
    struct group_waiter *previous;
    bool is_queued;
};

/* Waits for a version that is durable here. Any thread. */
enum group_wait_state group_wait(struct group *group, struct group_waiter *waiter);
/* True when it was waiting, and is not any more; false when wake was called or is about to be. Any thread. */
bool group_wait_cancel(struct group *group, struct group_waiter *waiter);

/* N and q as they are now. */
struct group_size {
    uint32_t node_count;
    uint32_t quorum;
};
void group_size_get(struct group *group, struct group_size *size);

#ifdef __cplusplus
}
#endif

#endif
