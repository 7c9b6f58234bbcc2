/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns callers that block until their commit is done, and reporting.
 *
 * With the inline policy they are leader and followers: who finds the role free leads one group that holds
 * its own commit, then wakes one other that still waits and goes back to its caller. Each sleeper has a
 * condition of its own, so nobody is woken for nothing.
 *
 * Invariant: a request is not touched any more once it is marked done under path->mutex: its owner may be
 * on the way out. What is woken then is the waiter, which outlives it.
 */
#include <stdlib.h>

#include "engine/commit/commit_internal.h"

/* ---- waiters ---- */

/* A free waiter, a new one if there is none; NULL without memory. REQUIRES: path->mutex. */
static struct commit_waiter *waiter_take_locked(struct commit_path *path)
{
    struct commit_waiter *waiter = atomic_load(&path->free_waiters);
    /* Only one thread pops at a time, so what was read as the head can only have been pushed upon. */
    while (waiter != NULL &&
           !atomic_compare_exchange_weak(&path->free_waiters, &waiter, waiter->next)) {
    }
    if (waiter != NULL) {
        return waiter;
    }
    waiter = calloc(1, sizeof(*waiter));
    if (waiter != NULL) {
        mutex_init(&waiter->mutex, MUTEX_RANK_COMMIT_QUEUE);
        condition_init(&waiter->condition);
        waiter->next_made = path->waiters_made;
        path->waiters_made = waiter;
    }
    return waiter;
}

static void waiter_give_back(struct commit_path *path, struct commit_waiter *waiter)
{
    struct commit_waiter *head = atomic_load_explicit(&path->free_waiters, memory_order_relaxed);
    do {
        waiter->next = head;
    } while (!atomic_compare_exchange_weak(&path->free_waiters, &head, waiter));
}

void commit_waiters_free(struct commit_path *path)
{
    struct commit_waiter *waiter = path->waiters_made;
    while (waiter != NULL) {
        struct commit_waiter *next = waiter->next_made;
        condition_deinit(&waiter->condition);
        mutex_deinit(&waiter->mutex);
        free(waiter);
        waiter = next;
    }
}

static void waiter_signal(struct commit_waiter *waiter, bool is_done)
{
    mutex_lock(&waiter->mutex);
    if (is_done) {
        waiter->is_done = true;
    } else {
        waiter->is_nudged = true;
    }
    mutex_unlock(&waiter->mutex);
    condition_signal(&waiter->condition);
}

void commit_waiter_nudge(struct commit_waiter *waiter)
{
    waiter_signal(waiter, false);
}

static void wake_all(struct commit_waiter *waiter)
{
    while (waiter != NULL) {
        struct commit_waiter *next = waiter->next;
        waiter_signal(waiter, true);
        waiter = next;
    }
}

static void call_back_all(struct commit_request_list *list)
{
    while (list->first != NULL) {
        struct commit_request *request = commit_list_take_first(list);
        request->done(request);
    }
}

NO_THREAD_SAFETY_ANALYSIS void commit_report_locked(struct commit_path *path,
                                                    struct commit_request_list *finished,
                                                    const struct commit_plan *plan)
{
    struct commit_request_list callbacks = {NULL, NULL};
    struct commit_waiter *wakes = NULL;
    struct commit_waiter **wakes_end = &wakes;
    bool is_own_done = false;
    while (finished->first != NULL) {
        struct commit_request *request = commit_list_take_first(finished);
        if (request->wait_state == COMMIT_WAIT_NONE) {
            commit_list_append(&callbacks, request);
            continue;
        }
        is_own_done = is_own_done || request == plan->own;
        request->wait_state = COMMIT_WAIT_DONE;
        if (request->waiter != NULL) {
            request->waiter->next = NULL;
            *wakes_end = request->waiter;
            wakes_end = &request->waiter->next;
        }
    }
    commit_progress_locked(path);
    if (wakes == NULL && callbacks.first == NULL) {
        return;
    }
    if (is_own_done) {
        /* The next leader first: it can begin while the others are woken. */
        commit_hand_on_locked(path);
    }
    path->reporting_count++;
    mutex_unlock(&path->mutex);
    wake_all(wakes);
    call_back_all(&callbacks);
    mutex_lock(&path->mutex);
    path->reporting_count--;
    commit_progress_locked(path);
}

/* Sleeps until woken; true when the request is done. */
static bool waiter_sleep(struct executor *executor, struct commit_waiter *waiter)
{
    mutex_lock(&waiter->mutex);
    while (!waiter->is_done && !waiter->is_nudged) {
        (void)executor_wait(executor, &waiter->condition, &waiter->mutex, 0);
    }
    bool is_done = waiter->is_done;
    waiter->is_nudged = false;
    waiter->is_done = false;
    mutex_unlock(&waiter->mutex);
    return is_done;
}

static void drive_own_locked(struct commit_path *path, const struct commit_plan *plan)
{
    if (plan->own->wait_state != COMMIT_WAIT_DONE) {
        (void)commit_drive_locked(path, plan);
    }
    commit_hand_on_locked(path);
}

/* Without memory for a waiter: with all others that wait for any progress. */
static void wait_with_others_locked(struct commit_path *path, const struct commit_plan *plan)
{
    while (plan->own->wait_state != COMMIT_WAIT_DONE) {
        path->progress_waiter_count++;
        (void)executor_wait(path->options.executor, &path->progress, &path->mutex, 0);
        path->progress_waiter_count--;
        drive_own_locked(path, plan);
    }
}

/* REQUIRES: path->mutex, which is released; the request is not done. */
NO_THREAD_SAFETY_ANALYSIS static void sleep_until_done(struct commit_path *path,
                                                       struct commit_request *request,
                                                       const struct commit_plan *plan)
{
    struct commit_waiter *waiter = waiter_take_locked(path);
    if (waiter == NULL) {
        wait_with_others_locked(path, plan);
        mutex_unlock(&path->mutex);
        return;
    }
    request->waiter = waiter;
    mutex_unlock(&path->mutex);
    while (!waiter_sleep(path->options.executor, waiter)) {
        mutex_lock(&path->mutex);
        path->is_nudge_outstanding = false;
        drive_own_locked(path, plan);
        mutex_unlock(&path->mutex);
    }
    waiter_give_back(path, waiter);
}

NO_THREAD_SAFETY_ANALYSIS enum polarys_code commit_wait(struct commit_path *path,
                                                        struct commit_request *request)
{
    if (!commit_enqueue(path, request, COMMIT_WAIT_PENDING)) {
        return request->code;
    }
    struct commit_plan plan = {.own = request,
                               .may_write = !path->has_thread,
                               .may_linger = !path->has_thread && request->waits_for_frame};
    mutex_lock(&path->mutex);
    drive_own_locked(path, &plan);
    if (request->wait_state == COMMIT_WAIT_DONE) {
        mutex_unlock(&path->mutex);
    } else {
        sleep_until_done(path, request, &plan);
    }
    return request->code;
}
