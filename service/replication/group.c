/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting: see group.h. The invariant: what is called stable was durable on a quorum of the members of that moment, so it
 * never falls, also when a member joins that has nothing yet.
 *
 * A member that is away keeps what it acknowledged, for what is durable there stays so.
 */
#include "service/replication/group.h"

#include <stdlib.h>
#include <string.h>

#include "service/replication/group_internal.h"
#include "service/server/check.h"

/* All that takes a group and is not in the header: with the mutex held. */

static bool is_free(const struct group_member *member)
{
    return member->tail_count == 0 && !member->is_member;
}

static struct group_member *member_find(struct group *group, const char *name)
{
    for (size_t i = 0; i < GROUP_NODES_MAX; i++) {
        if (strcmp(group->members[i].name, name) == 0) {
            return &group->members[i];
        }
    }
    return NULL;
}

/* The node of that name, or a place for it. There are more places than tails and members. */
static struct group_member *member_get(struct group *group, const char *name)
{
    struct group_member *place = member_find(group, name);
    for (size_t i = 0; place == NULL && i < GROUP_NODES_MAX; i++) {
        if (is_free(&group->members[i])) {
            place = &group->members[i];
            *place = (struct group_member){.tail_count = 0};
            memcpy(place->name, name, strnlen(name, POLARYS_NAME_BYTES_MAX));
        }
    }
    SERVICE_ASSERT(place != NULL);
    return place;
}

static int version_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is stored to, which the check does not see */
static void raise_to(uint64_t *version, uint64_t to)
{
    if (to > *version) {
        __atomic_store_n(version, to, __ATOMIC_RELEASE);
    }
}

/* What a quorum has, from what each member has. */
static void versions_count(struct group *group)
{
    uint64_t durable[POLARYS_MEMBERS_MAX];
    uint64_t applied[POLARYS_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < GROUP_NODES_MAX; i++) {
        if (group->members[i].is_member) {
            SERVICE_ASSERT(count < POLARYS_MEMBERS_MAX);
            durable[count] = group->members[i].durable_version;
            applied[count] = group->members[i].applied_version;
            count++;
        }
    }
    if (group->quorum == 0) {
        return;
    }
    SERVICE_ASSERT(group->quorum <= count);
    qsort(durable, count, sizeof(durable[0]), version_compare);
    qsort(applied, count, sizeof(applied[0]), version_compare);
    raise_to(&group->stable_version, durable[group->quorum - 1]);
    raise_to(&group->applied_version, applied[group->quorum - 1]);
}

enum polarys_code group_create(struct polarys_db *db, struct group **out, struct polarys_error *err)
{
    *out = NULL;
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a group of replicas");
    }
    group->db = db;
    group->node_count = 1;
    group->floor_term = polarys_db_term(db);
    group->floor_version = polarys_db_durable_version(db);
    (void)pthread_mutex_init(&group->mutex, NULL);
    *out = group;
    return POLARYS_OK;
}

void group_destroy(struct group *group)
{
    if (group == NULL) {
        return;
    }
    SERVICE_ASSERT(group->tail_count == 0 && group->waiter_count == 0);
    (void)pthread_mutex_destroy(&group->mutex);
    free(group);
}

void group_members_set(struct group *group, const char *const *names, size_t count)
{
    SERVICE_ASSERT(count <= POLARYS_MEMBERS_MAX);
    (void)pthread_mutex_lock(&group->mutex);
    for (size_t i = 0; i < GROUP_NODES_MAX; i++) {
        group->members[i].is_member = false;
    }
    /* First those that are known, so that none of them gives its place to one that is new. */
    for (size_t i = 0; i < count; i++) {
        struct group_member *member = member_find(group, names[i]);
        if (member != NULL) {
            member->is_member = true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        member_get(group, names[i])->is_member = true;
    }
    uint32_t quorum = (uint32_t)(count + 1) / 2;
    if (group->quorum == 0 && quorum > 0 && group->was_counted) {
        /* So far this node alone was the quorum. At the start it is not known what it was. */
        raise_to(&group->stable_version, polarys_db_durable_version(group->db));
        raise_to(&group->applied_version, polarys_db_durable_version(group->db));
    }
    group->was_counted = true;
    group->node_count = (uint32_t)count + 1;
    __atomic_store_n(&group->quorum, quorum, __ATOMIC_RELEASE);
    versions_count(group);
    group_unlock(group);
}

enum polarys_code group_join(struct group *group, const char *name, const char *address,
                             bool is_counted, struct group_tail **out, struct polarys_error *err)
{
    *out = NULL;
    struct group_tail *tail = calloc(1, sizeof(*tail));
    if (tail == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a tail of the log");
    }
    (void)pthread_mutex_lock(&group->mutex);
    bool is_full = group->tail_count == GROUP_TAILS_MAX;
    group->tail_count += is_full ? 0 : 1;
    if (!is_full && is_counted) {
        tail->member = member_get(group, name);
        tail->member->tail_count++;
        size_t size = strnlen(address, POLARYS_MEMBER_ADDRESS_MAX - 1);
        memcpy(tail->member->address, address, size);
        tail->member->address[size] = '\0';
    }
    group_unlock(group);
    if (is_full) {
        free(tail);
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "%d tails of the log are under way",
                            GROUP_TAILS_MAX);
    }
    *out = tail;
    return POLARYS_OK;
}

void group_leave(struct group *group, struct group_tail *tail)
{
    if (tail == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&group->mutex);
    SERVICE_ASSERT(group->tail_count > 0);
    group->tail_count--;
    if (tail->member != NULL) {
        SERVICE_ASSERT(tail->member->tail_count > 0);
        tail->member->tail_count--;
        tail->member->acked_count -= tail->has_acked ? 1 : 0;
        if (is_free(tail->member)) {
            tail->member->name[0] = '\0';
        }
    }
    group_unlock(group);
    free(tail);
}

void group_ack(struct group *group, struct group_tail *tail, uint64_t durable_version,
               uint64_t applied_version)
{
    if (tail->member == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&group->mutex);
    struct group_member *member = tail->member;
    bool is_news =
        durable_version > member->durable_version || applied_version > member->applied_version;
    raise_to(&member->durable_version, durable_version);
    raise_to(&member->applied_version, applied_version);
    member->acked_count += tail->has_acked ? 0 : 1;
    tail->has_acked = true;
    if (is_news && member->is_member) {
        versions_count(group);
    }
    group_unlock(group);
}

static void node_fill(const struct group_member *member, struct group_node *node)
{
    *node = (struct group_node){.is_member = member->is_member,
                                .is_active = member->acked_count > 0,
                                .durable_version = member->durable_version,
                                .applied_version = member->applied_version};
    memcpy(node->name, member->name, sizeof(node->name));
    memcpy(node->address, member->address, sizeof(node->address));
}

size_t group_nodes_get(struct group *group, struct group_node *nodes)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&group->mutex);
    for (size_t i = 0; i < GROUP_NODES_MAX; i++) {
        if (!is_free(&group->members[i])) {
            node_fill(&group->members[i], &nodes[count++]);
        }
    }
    (void)pthread_mutex_unlock(&group->mutex);
    return count;
}

bool group_node_get(struct group *group, const char *name, struct group_node *node)
{
    (void)pthread_mutex_lock(&group->mutex);
    const struct group_member *member = name[0] == '\0' ? NULL : member_find(group, name);
    bool is_there = member != NULL && !is_free(member);
    if (is_there) {
        node_fill(member, node);
    }
    (void)pthread_mutex_unlock(&group->mutex);
    return is_there;
}

/* With nobody to ask, what is durable here is what a quorum has. */
static uint64_t version_of(struct group *group, const uint64_t *version)
{
    uint64_t durable = polarys_db_durable_version(group->db);
    if (__atomic_load_n(&group->quorum, __ATOMIC_ACQUIRE) == 0) {
        return durable;
    }
    uint64_t counted = __atomic_load_n(version, __ATOMIC_ACQUIRE);
    return counted < durable ? counted : durable;
}

uint64_t group_stable_version(struct group *group)
{
    return version_of(group, &group->stable_version);
}

bool group_is_settled(struct group *group)
{
    uint64_t term = polarys_db_term(group->db);
    if (__atomic_load_n(&group->settled_term, __ATOMIC_ACQUIRE) == term) {
        return true;
    }
    (void)pthread_mutex_lock(&group->mutex);
    if (group->floor_term != term) {
        group->floor_term = term;
        group->floor_version = polarys_db_durable_version(group->db);
    }
    bool is_settled = group_stable_version(group) >= group->floor_version;
    if (is_settled) {
        __atomic_store_n(&group->settled_term, term, __ATOMIC_RELEASE);
    }
    (void)pthread_mutex_unlock(&group->mutex);
    return is_settled;
}

void group_term_begin(struct group *group, uint64_t version)
{
    (void)pthread_mutex_lock(&group->mutex);
    group->floor_term = polarys_db_term(group->db);
    group->floor_version = version;
    __atomic_store_n(&group->settled_term, 0, __ATOMIC_RELEASE);
    (void)pthread_mutex_unlock(&group->mutex);
}

uint64_t group_applied_version(struct group *group)
{
    return version_of(group, &group->applied_version);
}

void group_size_get(struct group *group, struct group_size *size)
{
    (void)pthread_mutex_lock(&group->mutex);
    size->node_count = group->node_count;
    size->quorum = group->quorum;
    (void)pthread_mutex_unlock(&group->mutex);
}
