/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the group share: group.c (counting), group_wait.c (who waits for a version). */
#ifndef SERVICE_REPLICATION_GROUP_INTERNAL_H
#define SERVICE_REPLICATION_GROUP_INTERNAL_H

#include <pthread.h>

#include "service/replication/group.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A node that follows, or is a member. */
struct group_member {
    char name[POLARYS_NAME_BYTES_MAX + 1]; /* "": a free place */
    char address[POLARYS_MEMBER_ADDRESS_MAX];
    uint32_t tail_count;  /* under way, of those that may count */
    uint32_t acked_count; /* of them, those that have acknowledged */
    bool is_member;
    uint64_t durable_version;
    uint64_t applied_version;
};

struct group_tail {
    struct group_member *member; /* NULL: never counted */
    bool has_acked;
};

/* Those who wait for a version, the lowest first. */
struct group_queue {
    struct group_waiter *first;
    struct group_waiter *last;
};

struct group {
    struct polarys_db *db;

    /* Atomic; written with the mutex held. */
    uint64_t stable_version;
    uint64_t applied_version;
    uint32_t quorum;
    uint64_t settled_term; /* of which it is known that nothing stable is above stable_version */

    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    bool was_counted; /* once since the start */
    uint64_t floor_term;
    uint64_t floor_version; /* what was here when floor_term was first seen here */
    uint32_t tail_count;
    uint32_t node_count;
    size_t waiter_count;
    struct group_queue durable_waiters;
    struct group_queue applied_waiters;
    struct group_member members[GROUP_NODES_MAX]; /* never moved */
};

/* Ends the use of the mutex, then wakes those whose version has come. REQUIRES: the mutex. */
void group_unlock(struct group *group);

#ifdef __cplusplus
}
#endif

#endif
