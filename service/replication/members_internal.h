/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the members share: members.c (the list), members_tell.c (telling members of the term). */
#ifndef SERVICE_REPLICATION_MEMBERS_INTERNAL_H
#define SERVICE_REPLICATION_MEMBERS_INTERNAL_H

#include <pthread.h>

#include "service/replication/members.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MEMBERS_ARENA_BYTES_MAX = 1 << 20 };

/* When a member is told of the term next. */
struct members_told {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    uint64_t next_ns;
};

struct members {
    /* Immutable after start. */
    const struct config *config;
    struct polarys_db *db;
    struct group *group;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);
    bool (*is_primary)(void *context);
    void (*saw_term)(void *context, uint64_t term, const char *primary);
    void *context;
    char address[CONFIG_TEXT_MAX]; /* of this node; "" */
    pthread_t thread;
    bool has_thread;

    /* Synchronises itself. */
    struct proto_memory memory;

    /* Of the thread. */
    uint64_t told_version; /* of the list that the group counts by */
    struct group_node nodes[GROUP_NODES_MAX];
    struct members_told told[POLARYS_MEMBERS_MAX];

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    struct peer *peer; /* that is being told */
    bool is_stopping;
    bool is_kicked;
    uint64_t round;
};

/* Tells one of the members that do not follow, and whose turn it is, of this node's term. On the thread. */
void members_tell(struct members *members, const struct polarys_members *list);

#ifdef __cplusplus
}
#endif

#endif
