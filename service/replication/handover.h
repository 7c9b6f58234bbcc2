/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A primary that gives its place up: to a member that it names (switchover), or to one that has it already (demote). Either
 * way the node becomes a replica of the other one, in the same process.
 */
#ifndef SERVICE_REPLICATION_HANDOVER_H
#define SERVICE_REPLICATION_HANDOVER_H

#include "service/replication/group.h"
#include "service/replication/standing.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HANDOVER_CATCH_UP_MS = 10000, /* for the target to have all, while writes wait */
    HANDOVER_CALL_MS = 30000,
    HANDOVER_RETRY_MS = 50, /* that writers are told to wait */
};

struct handover_options {
    /* Borrowed for as long as the handover lives. */
    const struct config *config;
    struct polarys_db *db;
    struct group *group;
    struct standing *standing;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);
    /* Closes all and begins anew in this process; from any thread, and returns at once. */
    void (*restart)(void *context);
    void *context;
};

struct handover_result {
    uint64_t term;                            /* of the new primary */
    uint64_t version;                         /* newest of this node as a primary */
    char primary[POLARYS_MEMBER_ADDRESS_MAX]; /* HOST:PORT */
};

struct handover;

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code handover_create(const struct handover_options *options,
                                            struct handover **out, struct polarys_error *err);
/* Accepts NULL. */
void handover_destroy(struct handover *handover);

/* While true writes are to be tried again in HANDOVER_RETRY_MS. Any thread; cheap. Accepts NULL: false. */
bool handover_is_under_way(const struct handover *handover);

/*
 * Stops writing, waits until the member has all, and has it promoted. When that fails before the member has sealed this term,
 * writes go on. Waits. `end_ns`: monotonic; 0: none. Errors: BAD_ARGUMENT (it is no member that follows now, or its
 * address is not known), NOT_PRIMARY (this node is fenced), TOO_MANY_CALLS (another one is under way), WAIT_TIMEOUT,
 * NO_PRIMARY (the member does not answer), those of Promote, IO.
 */
NODISCARD enum polarys_code handover_switch(struct handover *handover, const char *name,
                                            uint64_t end_ns, struct handover_result *result,
                                            struct polarys_error *err);
/*
 * Becomes a replica of the node at `address`, which has to be a primary of a later term. Waits. Errors: BAD_ARGUMENT (it is
 * none), WRONG_STORE, TOO_MANY_CALLS, NO_PRIMARY (nobody answers there), IO.
 */
NODISCARD enum polarys_code handover_demote(struct handover *handover, const char *address,
                                            struct handover_result *result,
                                            struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
