/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of the group as the log names them (engine_members.h), while this node is the primary: who follows joins,
 * a change counts once a quorum of the group as it was knows of it, and members that do not follow are told of the term.
 *
 * A change is one node at a time. Until it is settled the group as it was counts: so whoever seals enough of the members
 * that any list of the log names finds a node that knows the newer list.
 *
 * One thread makes the changes; everything here may be called from any.
 */
#ifndef SERVICE_REPLICATION_MEMBERS_H
#define SERVICE_REPLICATION_MEMBERS_H

#include "service/config/config.h"
#include "service/replication/group.h"
#include "service/replication/peer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MEMBERS_LOOK_MS = 200,  /* between two looks at who follows */
    MEMBERS_SETTLE_MS = 10, /* while a change is not settled */
    MEMBERS_TELL_MS = 2000, /* between two attempts to tell a member of the term */
    MEMBERS_TELL_AGAIN_MS = 10000,
    MEMBERS_TELL_TIMEOUT_MS = 500,
};

struct members_options {
    /* Borrowed for as long as the members live. */
    const struct config *config;
    struct polarys_db *db;
    struct group *group;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);
    /* Called from the thread of the members. */
    bool (*is_primary)(void *context);
    /* Another node has seen a higher term than this one's; `primary` is HOST:PORT, or "". */
    void (*saw_term)(void *context, uint64_t term, const char *primary);
    void *context;
};

struct members;

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code members_create(const struct members_options *options,
                                           struct members **out, struct polarys_error *err);
/* Tells the group who counts. Before the node takes writes as a primary. Errors: those of polarys_members_get. */
NODISCARD enum polarys_code members_load(struct members *members, struct polarys_error *err);
/* The first write of a new primary, before it takes others: the list, this node in it. It is the record of the term: what a
 * quorum has of an earlier term counts once a quorum has this. Errors: those of polarys_members_put, NO_MEMORY. */
NODISCARD enum polarys_code members_term_begin(struct members *members, struct polarys_error *err);
/* `port`: at which this node serves. Errors: IO. */
NODISCARD enum polarys_code members_start(struct members *members, uint16_t port,
                                          struct polarys_error *err);
/* Ends its thread; may be called again. Accepts NULL. */
void members_stop(struct members *members);
/* REQUIRES: stopped. Accepts NULL. */
void members_destroy(struct members *members);

/*
 * Takes a node out of the list and waits until that is settled, at most until `end_ns` (monotonic; 0: for ever). With
 * `allows_loss` it is settled at once. Errors: BAD_ARGUMENT (no member, this node, or it follows now), TOO_MANY_CALLS
 * (another change is under way), QUORUM_TIMEOUT, those of polarys_members_put.
 */
NODISCARD enum polarys_code members_remove(struct members *members, const char *name,
                                           bool allows_loss, uint64_t end_ns,
                                           struct polarys_error *err);

/* ---- for the election too ---- */

/* How a list is counted: as it was before the change that is under way, and as it will be. */
enum members_view { MEMBERS_BEFORE, MEMBERS_AFTER };
/* Whether a member counts in the view. */
bool members_counts(const struct polarys_member *member, enum members_view view);

#ifdef __cplusplus
}
#endif

#endif
