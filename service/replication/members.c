/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the list of members while this node is the primary: see members.h.
 *
 * Order of a change: the record with the node JOINING or LEAVING is logged; the group goes on counting as before, until that
 * record is stable; then the group counts anew; then the record without a change is logged. A crash in between leaves a
 * record with a change, which is waited for again.
 */
#include "service/replication/members.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/replication/address.h"
#include "service/replication/members_internal.h"
#include "service/server/check.h"
#include "service/server/timing.h"

bool members_counts(const struct polarys_member *member, enum members_view view)
{
    return member->state == POLARYS_MEMBER_SETTLED ||
           member->state ==
               (view == MEMBERS_BEFORE ? POLARYS_MEMBER_LEAVING : POLARYS_MEMBER_JOINING);
}

static bool is_changing(const struct polarys_members *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->list[i].state != POLARYS_MEMBER_SETTLED) {
            return true;
        }
    }
    return false;
}

static void group_tell(struct members *members, const struct polarys_members *list,
                       enum members_view view)
{
    const char *names[POLARYS_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct polarys_member *member = &list->list[i];
        if (members_counts(member, view) && strcmp(member->name, members->config->node_name) != 0) {
            names[count++] = member->name;
        }
    }
    group_members_set(members->group, names, count);
}

enum polarys_code members_load(struct members *members, struct polarys_error *err)
{
    struct polarys_members *list = malloc(sizeof(*list));
    if (list == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the members of the group");
    }
    enum polarys_code code = polarys_members_get(members->db, list, err);
    if (code == POLARYS_OK) {
        group_tell(members, list, MEMBERS_BEFORE);
    }
    free(list);
    return code;
}

/* ---- changes of a list ---- */

static void list_remove(struct polarys_members *list, size_t at)
{
    SERVICE_ASSERT(at < list->count);
    memmove(&list->list[at], &list->list[at + 1], (list->count - at - 1) * sizeof(list->list[0]));
    list->count--;
}

static void text_copy(char *to, size_t room, const char *from)
{
    size_t size = strnlen(from, room - 1);
    memcpy(to, from, size);
    to[size] = '\0';
}

/* False when there are as many as there may be. */
static bool list_insert(struct polarys_members *list, const char *name, const char *address,
                        enum polarys_member_state state)
{
    bool is_there;
    size_t at = polarys_members_find(list, name, &is_there);
    SERVICE_ASSERT(!is_there);
    if (list->count == POLARYS_MEMBERS_MAX) {
        return false;
    }
    memmove(&list->list[at + 1], &list->list[at], (list->count - at) * sizeof(list->list[0]));
    list->count++;
    list->list[at] = (struct polarys_member){.state = state};
    text_copy(list->list[at].name, sizeof(list->list[at].name), name);
    text_copy(list->list[at].address, sizeof(list->list[at].address), address);
    return true;
}

/* The change under way is done. */
static void list_settle(struct polarys_members *list)
{
    for (size_t i = list->count; i-- > 0;) {
        if (list->list[i].state == POLARYS_MEMBER_LEAVING) {
            list_remove(list, i);
        } else {
            list->list[i].state = POLARYS_MEMBER_SETTLED;
        }
    }
}

/* Its address as it is told now; true when that is news. */
static bool address_update(struct polarys_members *list, const char *name, const char *address)
{
    bool is_there;
    size_t at = polarys_members_find(list, name, &is_there);
    if (!is_there || strcmp(list->list[at].address, address) == 0) {
        return false;
    }
    text_copy(list->list[at].address, sizeof(list->list[at].address), address);
    return true;
}

enum polarys_code members_term_begin(struct members *members, struct polarys_error *err)
{
    const char *self = members->config->node_name;
    bool is_there;
    struct polarys_members *list = malloc(sizeof(*list));
    if (list == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the members of the group");
    }
    enum polarys_code code = polarys_members_get(members->db, list, err);
    if (code == POLARYS_OK) {
        group_tell(members, list, MEMBERS_BEFORE);
        (void)polarys_members_find(list, self, &is_there);
        bool is_in = is_there || list_insert(list, self, members->address, POLARYS_MEMBER_SETTLED);
        (void)address_update(list, self, members->address);
        if (!is_in) {
            polarys_log(POLARYS_LOG_WARN, "group", "the group is full: this node is no member");
        }
        code = polarys_members_put(members->db, list, err);
    }
    if (code == POLARYS_OK) {
        group_term_begin(members->group, list->version);
        group_tell(members, list, MEMBERS_BEFORE);
    }
    free(list);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "begin a term");
}

/* ---- on the thread ---- */

/* A change of the list by who follows: one who is new, or an address that is. True when there is one. */
static bool list_follow(struct members *members, struct polarys_members *list)
{
    const char *self = members->config->node_name;
    size_t count = group_nodes_get(members->group, members->nodes);
    bool has_changed = list->count > 0 && address_update(list, self, members->address);
    bool is_there;
    for (size_t i = 0; i < count; i++) {
        const struct group_node *node = &members->nodes[i];
        if (!node->is_active || strcmp(node->name, self) == 0) {
            continue;
        }
        (void)polarys_members_find(list, node->name, &is_there);
        if (is_there) {
            has_changed |= address_update(list, node->name, node->address);
            continue;
        }
        if (is_changing(list)) {
            continue; /* one at a time */
        }
        (void)polarys_members_find(list, self, &is_there);
        if (!is_there) {
            (void)list_insert(list, self, members->address, POLARYS_MEMBER_SETTLED);
        }
        bool has_room = list_insert(list, node->name, node->address, POLARYS_MEMBER_JOINING);
        has_changed |= has_room;
        polarys_log(has_room ? POLARYS_LOG_INFO : POLARYS_LOG_WARN, "group",
                    has_room ? "%s joins the group" : "%s can't join: the group is full",
                    node->name);
    }
    return has_changed;
}

/* True when another look is to follow soon. */
static bool list_work(struct members *members, struct polarys_members *list)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = polarys_members_get(members->db, list, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "group", "%s", err.message);
        return false;
    }
    if (list->version != members->told_version) {
        group_tell(members, list, MEMBERS_BEFORE);
        members->told_version = list->version;
    }
    bool is_due = false;
    if (is_changing(list) && group_stable_version(members->group) >= list->version) {
        /* From here on whoever is promoted knows of the change. */
        group_tell(members, list, MEMBERS_AFTER);
        list_settle(list);
        is_due = true;
    }
    is_due |= list_follow(members, list);
    if (is_due) {
        code = polarys_members_put(members->db, list, &err);
    }
    if (code == POLARYS_OK && is_due && !is_changing(list)) {
        members->told_version = list->version;
        group_tell(members, list, MEMBERS_BEFORE);
    } else if (code != POLARYS_OK && code != POLARYS_TXN_CONFLICT) {
        polarys_log(POLARYS_LOG_WARN, "group", "%s", err.message);
    }
    return code == POLARYS_OK && is_changing(list);
}

static void *members_run(void *context)
{
    struct members *members = context;
    struct polarys_members *list = malloc(sizeof(*list));
    SERVICE_ASSERT(list != NULL);
    (void)pthread_mutex_lock(&members->mutex);
    while (!members->is_stopping) {
        (void)pthread_mutex_unlock(&members->mutex);
        bool is_soon = false;
        if (members->is_primary(members->context)) {
            is_soon = list_work(members, list);
            members_tell(members, list);
        }
        (void)pthread_mutex_lock(&members->mutex);
        members->round++;
        (void)pthread_cond_broadcast(&members->changed);
        struct timespec end;
        timing_deadline(&end, is_soon ? MEMBERS_SETTLE_MS : MEMBERS_LOOK_MS);
        int error = 0;
        while (!members->is_stopping && !members->is_kicked && error == 0) {
            error = pthread_cond_timedwait(&members->changed, &members->mutex, &end);
        }
        members->is_kicked = false;
    }
    (void)pthread_mutex_unlock(&members->mutex);
    free(list);
    return NULL;
}

/* ---- taking out ---- */

static enum polarys_code remove_refuse(struct polarys_error *err, const char *name, const char *why)
{
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s %s", name, why);
    polarys_error_detail_set(err, "field", "name");
    return POLARYS_BAD_ARGUMENT;
}

static enum polarys_code remove_check(struct members *members, const struct polarys_members *list,
                                      const char *name, struct polarys_error *err)
{
    struct group_node node;
    bool is_there;
    size_t at = polarys_members_find(list, name, &is_there);
    if (strcmp(name, members->config->node_name) == 0) {
        return remove_refuse(err, name, "is this node: switch over to another one first");
    }
    if (!is_there) {
        return remove_refuse(err, name, "is no member of the group");
    }
    if (list->list[at].state == POLARYS_MEMBER_LEAVING) {
        return POLARYS_OK; /* asked again */
    }
    if (is_changing(list)) {
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS,
                            "another change of the group is under way: try again when a quorum "
                            "knows of it");
    }
    if (group_node_get(members->group, name, &node) && node.is_active) {
        return remove_refuse(err, name, "follows this node now: stop it first, or it joins again");
    }
    return POLARYS_OK;
}

static enum polarys_code remove_log(struct members *members, struct polarys_members *list,
                                    const char *name, bool allows_loss, struct polarys_error *err)
{
    bool is_there;
    enum polarys_code code = polarys_members_get(members->db, list, err);
    if (code == POLARYS_OK) {
        code = remove_check(members, list, name, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    size_t at = polarys_members_find(list, name, &is_there);
    if (allows_loss) {
        list_remove(list, at);
    } else if (list->list[at].state == POLARYS_MEMBER_LEAVING) {
        return POLARYS_OK;
    } else {
        list->list[at].state = POLARYS_MEMBER_LEAVING;
    }
    return polarys_members_put(members->db, list, err);
}

static enum polarys_code remove_wait(struct members *members, struct polarys_members *list,
                                     const char *name, uint64_t end_ns, struct polarys_error *err)
{
    for (;;) {
        bool is_there;
        (void)pthread_mutex_lock(&members->mutex);
        uint64_t round = members->round;
        members->is_kicked = true;
        (void)pthread_cond_broadcast(&members->changed);
        struct timespec end;
        timing_deadline(&end, MEMBERS_LOOK_MS);
        int error = 0;
        while (members->round == round && !members->is_stopping && error == 0) {
            error = pthread_cond_timedwait(&members->changed, &members->mutex, &end);
        }
        bool is_stopping = members->is_stopping;
        (void)pthread_mutex_unlock(&members->mutex);
        enum polarys_code code = polarys_members_get(members->db, list, err);
        (void)polarys_members_find(list, name, &is_there);
        if (code != POLARYS_OK || !is_there) {
            return code;
        }
        if (is_stopping || (end_ns != 0 && timing_now_ns() >= end_ns)) {
            polarys_fail(err, POLARYS_QUORUM_TIMEOUT,
                         "%s leaves the group, but a quorum does not know of it yet: it counts "
                         "until then",
                         name);
            polarys_error_detail_set(err, "version", "%llu", (unsigned long long)list->version);
            return POLARYS_QUORUM_TIMEOUT;
        }
    }
}

enum polarys_code members_remove(struct members *members, const char *name, bool allows_loss,
                                 uint64_t end_ns, struct polarys_error *err)
{
    struct polarys_members *list = malloc(sizeof(*list));
    if (list == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the members of the group");
    }
    enum polarys_code code = remove_log(members, list, name, allows_loss, err);
    if (code == POLARYS_OK) {
        code = remove_wait(members, list, name, end_ns, err);
    }
    free(list);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "remove a member");
}

/* ---- life ---- */

enum polarys_code members_create(const struct members_options *options, struct members **out,
                                 struct polarys_error *err)
{
    *out = NULL;
    struct members *members = calloc(1, sizeof(*members));
    if (members == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the members of the group");
    }
    members->config = options->config;
    members->db = options->db;
    members->group = options->group;
    members->open = options->open;
    members->is_primary = options->is_primary;
    members->saw_term = options->saw_term;
    members->context = options->context;
    members->memory.limit = MEMBERS_ARENA_BYTES_MAX;
    (void)pthread_mutex_init(&members->mutex, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&members->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    *out = members;
    return POLARYS_OK;
}

enum polarys_code members_start(struct members *members, uint16_t port, struct polarys_error *err)
{
    address_make(members->config, port, members->address);
    if (strlen(members->address) >= POLARYS_MEMBER_ADDRESS_MAX) {
        members->address[0] = '\0';
    }
    int error = pthread_create(&members->thread, NULL, members_run, members);
    if (error != 0) {
        return polarys_fail_errno(err, error, "start a thread");
    }
    members->has_thread = true;
    (void)pthread_setname_np(members->thread, "members");
    return POLARYS_OK;
}

void members_stop(struct members *members)
{
    if (members == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&members->mutex);
    members->is_stopping = true;
    if (members->peer != NULL) {
        peer_cancel(members->peer);
    }
    (void)pthread_cond_broadcast(&members->changed);
    (void)pthread_mutex_unlock(&members->mutex);
    if (members->has_thread) {
        (void)pthread_join(members->thread, NULL);
        members->has_thread = false;
    }
}

void members_destroy(struct members *members)
{
    if (members == NULL) {
        return;
    }
    SERVICE_ASSERT(!members->has_thread && members->peer == NULL);
    (void)pthread_cond_destroy(&members->changed);
    (void)pthread_mutex_destroy(&members->mutex);
    free(members);
}
