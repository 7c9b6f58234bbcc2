/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits: how they begin, are granted in order, time out and are cancelled.
 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/txn/lock_table_internal.h"

/* ---- telling ---- */

static void finish(struct lock_request *request, enum polarys_code code,
                   struct lock_finished *finished)
{
    request->code = code;
    request->finished_next = NULL;
    *finished->end = request;
    finished->end = &request->finished_next;
}

static void cycle_describe(const struct lock_request *request, struct polarys_error *err)
{
    static const char digits[] = "0123456789abcdef";
    char text[POLARYS_ERROR_DETAIL_VALUE_MAX];
    size_t size = 0;
    for (size_t i = 0; request->cycle != NULL && i < request->cycle_count; i++) {
        const uint8_t *id = request->cycle + i * LOCK_OWNER_ID_SIZE;
        if (i >= LOCK_CYCLE_MAX || size + 1 + 2 * (size_t)LOCK_OWNER_ID_SIZE >= sizeof(text)) {
            break;
        }
        if (i > 0) {
            text[size++] = ',';
        }
        for (size_t j = 0; j < LOCK_OWNER_ID_SIZE; j++) {
            text[size++] = digits[id[j] >> 4];
            text[size++] = digits[id[j] & 15];
        }
    }
    text[size] = '\0';
    polarys_error_detail_set(err, "cycle", "%s", text);
    polarys_error_detail_set(err, "cycle_size", "%zu", request->cycle_count);
}

static void error_fill(const struct lock_request *request, struct polarys_error *err)
{
    switch (request->code) {
    case POLARYS_OK:
        break;
    case POLARYS_DEADLOCK:
        (void)polarys_fail(err, POLARYS_DEADLOCK,
                           "%zu transactions wait for each other's locks: this one, which has done "
                           "least, gives way",
                           request->cycle_count);
        cycle_describe(request, err);
        break;
    case POLARYS_LOCK_TIMEOUT:
        (void)polarys_fail(err, POLARYS_LOCK_TIMEOUT, "the lock was not to be had in time");
        break;
    case POLARYS_DRAINING:
        (void)polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
        break;
    default:
        (void)polarys_fail(err, request->code, "the wait for a lock was given up");
        break;
    }
}

void lock_finished_tell(struct lock_finished *finished)
{
    while (finished->first != NULL) {
        struct lock_request *request = finished->first;
        struct polarys_error err = POLARYS_ERROR_INIT;
        finished->first = request->finished_next;
        error_fill(request, &err);
        enum polarys_code code = request->code;
        void (*done)(void *context, enum polarys_code code, const struct polarys_error *err) =
            request->done;
        void *context = request->context;
        if (request->state == LOCK_OVER) {
            lock_request_free(finished->table, request);
        }
        /* A held request is its owner's from here on: it may be given back within. */
        done(context, code, &err);
    }
}

/* ---- the lists of waits ---- */

static void waits_add_locked(struct lock_table *table, struct lock_stripe *stripe,
                             struct lock_request *request)
{
    request->state = LOCK_WAITING;
    request->sequence = ++table->sequence;
    request->owner->waiting = request;
    request->wait_next = NULL;
    request->wait_previous = stripe->wait_last;
    if (stripe->wait_last != NULL) {
        stripe->wait_last->wait_next = request;
    } else {
        stripe->wait_first = request;
    }
    stripe->wait_last = request;
    request->all_previous = NULL;
    request->all_next = table->wait_first;
    if (table->wait_first != NULL) {
        table->wait_first->all_previous = request;
    }
    table->wait_first = request;
    atomic_fetch_add_explicit(&table->waiting_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&table->wait_count_total, 1, memory_order_relaxed);
}

static void waits_remove_locked(struct lock_table *table, struct lock_stripe *stripe,
                                struct lock_request *request)
{
    POLARYS_ASSERT(request->state == LOCK_WAITING && request->owner->waiting == request);
    request->owner->waiting = NULL;
    if (request->wait_previous != NULL) {
        request->wait_previous->wait_next = request->wait_next;
    } else {
        stripe->wait_first = request->wait_next;
    }
    if (request->wait_next != NULL) {
        request->wait_next->wait_previous = request->wait_previous;
    } else {
        stripe->wait_last = request->wait_previous;
    }
    if (request->all_previous != NULL) {
        request->all_previous->all_next = request->all_next;
    } else {
        table->wait_first = request->all_next;
    }
    if (request->all_next != NULL) {
        request->all_next->all_previous = request->all_previous;
    }
    atomic_fetch_sub_explicit(&table->waiting_count, 1, memory_order_relaxed);
}

/* ---- granting ---- */

static void grant(struct lock_table *table, struct lock_stripe *stripe,
                  struct lock_request *request, struct lock_finished *finished)
{
    waits_remove_locked(table, stripe, request);
    if (request->is_probe) {
        lock_request_unlink(stripe, request);
        request->state = LOCK_OVER;
    } else {
        lock_request_hold(request);
    }
    finish(request, POLARYS_OK, finished);
}

void lock_grant_locked(struct lock_table *table, struct lock_stripe *stripe,
                       struct lock_finished *finished)
{
    struct lock_request *request = stripe->wait_first;
    while (request != NULL) {
        struct lock_request *next = request->wait_next;
        if (!lock_is_blocked(stripe, request)) {
            grant(table, stripe, request, finished);
        }
        request = next;
    }
}

/* ---- beginning and ending ---- */

void lock_wait_begin(struct lock_table *table, struct lock_request *request,
                     struct lock_finished *finished)
{
    struct lock_stripe *stripe = lock_stripe_of(table, request->range.start);
    mutex_lock(&table->wait_mutex);
    POLARYS_ASSERT(request->owner->waiting == NULL);
    mutex_lock(&stripe->mutex);
    lock_request_link(stripe, request);
    waits_add_locked(table, stripe, request);
    bool is_blocked = lock_is_blocked(stripe, request);
    if (!is_blocked) {
        grant(table, stripe, request, finished); /* given back since it was tried */
    }
    mutex_unlock(&stripe->mutex);
    if (is_blocked && !request->is_probe) {
        lock_cycles_break_locked(table, request, finished);
    }
    mutex_unlock(&table->wait_mutex);
}

void lock_wait_end_locked(struct lock_table *table, struct lock_request *request,
                          enum polarys_code code, struct lock_finished *finished)
{
    struct lock_stripe *stripe = lock_stripe_of(table, request->range.start);
    mutex_lock(&stripe->mutex);
    waits_remove_locked(table, stripe, request);
    lock_request_unlink(stripe, request);
    request->state = LOCK_OVER;
    finish(request, code, finished);
    /* Others may have stood behind it only. */
    lock_grant_locked(table, stripe, finished);
    mutex_unlock(&stripe->mutex);
}

bool lock_cancel(struct lock_table *table, struct lock_owner *owner, enum polarys_code code)
{
    struct lock_finished finished;
    lock_finished_init(&finished, table);
    mutex_lock(&table->wait_mutex);
    bool is_waiting = owner->waiting != NULL;
    if (is_waiting) {
        lock_wait_end_locked(table, owner->waiting, code, &finished);
    }
    mutex_unlock(&table->wait_mutex);
    lock_finished_tell(&finished);
    return is_waiting;
}

bool lock_owner_waits(struct lock_table *table, const struct lock_owner *owner)
{
    mutex_lock(&table->wait_mutex);
    bool is_waiting = owner->waiting != NULL;
    mutex_unlock(&table->wait_mutex);
    return is_waiting;
}

void lock_expire(struct lock_table *table, uint64_t now_ns)
{
    if (atomic_load_explicit(&table->waiting_count, memory_order_relaxed) == 0) {
        return;
    }
    struct lock_finished finished;
    lock_finished_init(&finished, table);
    mutex_lock(&table->wait_mutex);
    struct lock_request *request = table->wait_first;
    while (request != NULL) {
        bool is_due = request->deadline_ns != 0 && request->deadline_ns <= now_ns;
        if (!is_due) {
            request = request->all_next;
            continue;
        }
        /* Ending it may grant, and so remove, any other: begin anew. */
        lock_wait_end_locked(table, request, POLARYS_LOCK_TIMEOUT, &finished);
        request = table->wait_first;
    }
    mutex_unlock(&table->wait_mutex);
    lock_finished_tell(&finished);
}
