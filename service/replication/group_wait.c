/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for a version to be on a quorum: two lists, one for what is durable and one for what can be read, each in the
 * order of the versions. Versions come nearly in order, so a place is found from the end in a step or two.
 *
 * The invariant: a waiter is in a list, or its wake was called or is about to be; what takes it out of the list under the
 * mutex owns that decision. Nobody is woken with the mutex held.
 */
#include "service/replication/group.h"

#include "service/replication/group_internal.h"
#include "service/server/check.h"

static struct group_queue *queue_of(struct group *group, const struct group_waiter *waiter)
{
    return waiter->is_applied ? &group->applied_waiters : &group->durable_waiters;
}

static void queue_insert(struct group_queue *queue, struct group_waiter *waiter)
{
    struct group_waiter *before = queue->last;
    while (before != NULL && before->version > waiter->version) {
        before = before->previous;
    }
    waiter->previous = before;
    waiter->next = before == NULL ? queue->first : before->next;
    if (waiter->next == NULL) {
        queue->last = waiter;
    } else {
        waiter->next->previous = waiter;
    }
    if (before == NULL) {
        queue->first = waiter;
    } else {
        before->next = waiter;
    }
    waiter->is_queued = true;
}

static void queue_remove(struct group_queue *queue, struct group_waiter *waiter)
{
    SERVICE_ASSERT(waiter->is_queued);
    if (waiter->previous == NULL) {
        queue->first = waiter->next;
    } else {
        waiter->previous->next = waiter->next;
    }
    if (waiter->next == NULL) {
        queue->last = waiter->previous;
    } else {
        waiter->next->previous = waiter->previous;
    }
    waiter->is_queued = false;
}

/* The version that has come; all of them where there is nobody to ask. REQUIRES: the mutex. */
static uint64_t reached_version(const struct group *group, bool is_applied)
{
    if (group->quorum == 0) {
        return UINT64_MAX;
    }
    return is_applied ? group->applied_version : group->stable_version;
}

/* Moves those whose version has come to the front of `woken`. */
static struct group_waiter *queue_take(struct group *group, bool is_applied,
                                       struct group_waiter *woken)
{
    struct group_queue *queue = is_applied ? &group->applied_waiters : &group->durable_waiters;
    uint64_t reached = reached_version(group, is_applied);
    while (queue->first != NULL && queue->first->version <= reached) {
        struct group_waiter *waiter = queue->first;
        queue_remove(queue, waiter);
        SERVICE_ASSERT(group->waiter_count > 0);
        group->waiter_count--;
        waiter->next = woken;
        woken = waiter;
    }
    return woken;
}

void group_unlock(struct group *group)
{
    struct group_waiter *woken = queue_take(group, false, NULL);
    woken = queue_take(group, true, woken);
    (void)pthread_mutex_unlock(&group->mutex);
    while (woken != NULL) {
        struct group_waiter *next = woken->next;
        woken->wake(woken); /* it may be gone when this returns */
        woken = next;
    }
}

enum group_wait_state group_wait(struct group *group, struct group_waiter *waiter)
{
    enum group_wait_state state = GROUP_WAITS;
    SERVICE_ASSERT(waiter->wake != NULL && !waiter->is_queued);
    (void)pthread_mutex_lock(&group->mutex);
    if (reached_version(group, waiter->is_applied) >= waiter->version) {
        state = GROUP_HAS;
    } else if (group->waiter_count >= GROUP_WAITERS_MAX) {
        state = GROUP_IS_FULL;
    } else {
        queue_insert(queue_of(group, waiter), waiter);
        group->waiter_count++;
    }
    (void)pthread_mutex_unlock(&group->mutex);
    return state;
}

bool group_wait_cancel(struct group *group, struct group_waiter *waiter)
{
    (void)pthread_mutex_lock(&group->mutex);
    bool is_queued = waiter->is_queued;
    if (is_queued) {
        queue_remove(queue_of(group, waiter), waiter);
        group->waiter_count--;
    }
    (void)pthread_mutex_unlock(&group->mutex);
    return is_queued;
}
