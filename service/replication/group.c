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

enum polarys_code group_create(struct polarys_db *db, struct group **out, struct polarys_error *err)
{
    *out = NULL;
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a group of replicas");
    }
    group->db = db;
    (void)pthread_mutex_init(&group->mutex, NULL);
    group->floor_term = polarys_db_term(db);
    group->floor_version = polarys_db_durable_version(db);
    group_slots_changed(group);
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

/* All below but the public functions: with the mutex held. */

static bool is_member(const struct group_member *member)
{
    return member->tail_count > 0 || member->has_slot;
}

/* The member of that name, or a place for it; NULL when there is none. */
static struct group_member *member_get(struct group *group, const char *name)
{
    struct group_member *place = NULL;
    for (size_t i = 0; i < GROUP_MEMBERS_MAX; i++) {
        struct group_member *member = &group->members[i];
        if (strcmp(member->name, name) == 0) {
            return member;
        }
        if (place == NULL && !is_member(member)) {
            place = member;
        }
    }
    if (place != NULL) {
        *place = (struct group_member){.tail_count = 0};
        size_t size = strnlen(name, POLARYS_NAME_BYTES_MAX);
        memcpy(place->name, name, size);
    }
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
    uint64_t durable[GROUP_MEMBERS_MAX];
    uint64_t applied[GROUP_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < GROUP_MEMBERS_MAX; i++) {
        if (is_member(&group->members[i])) {
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

/* How many there are; called whenever somebody comes or goes. */
static void members_count(struct group *group)
{
    uint32_t count = 0;
    for (size_t i = 0; i < GROUP_MEMBERS_MAX; i++) {
        count += is_member(&group->members[i]) ? 1 : 0;
    }
    uint32_t quorum = (count + 1) / 2;
    if (group->quorum == 0 && quorum > 0 && group->was_counted) {
        /* So far this node alone was the quorum. At the start it is not known what it was. */
        raise_to(&group->stable_version, polarys_db_durable_version(group->db));
        raise_to(&group->applied_version, polarys_db_durable_version(group->db));
    }
    group->was_counted = true;
    group->node_count = count + 1;
    __atomic_store_n(&group->quorum, quorum, __ATOMIC_RELEASE);
    versions_count(group);
}

enum polarys_code group_join(struct group *group, const char *name, bool is_counted,
                             struct group_tail **out, struct polarys_error *err)
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
        SERVICE_ASSERT(tail->member != NULL); /* more places than tails and slots */
        tail->member->tail_count++;
        members_count(group);
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
        members_count(group);
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
    if (is_news) {
        versions_count(group);
    }
    group_unlock(group);
}

static bool has_replica_slot(const struct polarys_slot_info *infos, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (infos[i].kind == POLARYS_SLOT_REPLICA && strcmp(infos[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void group_slots_changed(struct group *group)
{
    struct polarys_slot_info infos[POLARYS_SLOTS_MAX];
    (void)pthread_mutex_lock(&group->mutex);
    size_t count = polarys_slot_list(group->db, infos);
    /* First those that stay, so that none of them gives its place to one that is new. */
    for (size_t i = 0; i < GROUP_MEMBERS_MAX; i++) {
        group->members[i].has_slot = has_replica_slot(infos, count, group->members[i].name);
    }
    for (size_t i = 0; i < count; i++) {
        if (infos[i].kind == POLARYS_SLOT_REPLICA) {
            struct group_member *member = member_get(group, infos[i].name);
            SERVICE_ASSERT(member != NULL);
            member->has_slot = true;
            raise_to(&member->durable_version, infos[i].position.version);
        }
    }
    members_count(group);
    group_unlock(group);
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
