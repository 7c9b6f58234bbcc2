/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlocks: a search through who waits for whom, breadth first, from the owner whose wait begins. An owner
 * waits for everybody who has to go first of what it wants, keys and ranges alike.
 *
 * Every cycle has a wait that closed it, so looking when a wait begins finds them all. Only owners that
 * wait are gone into: one that does not wait will give back by itself.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/txn/lock_table_internal.h"

/* One search. */
struct cycle_search {
    struct lock_stripe *stripe;         /* of the request gone into */
    const struct lock_request *request; /* gone into */
    struct lock_owner *origin;
    struct lock_owner **queue_end;
    struct lock_owner *closing; /* the last of the cycle: it waits for the origin */
    uint64_t mark;
};

/* Notes an owner that `search->request` waits for. True when the cycle is closed. */
static bool visit(void *context, struct lock_request *other)
{
    struct cycle_search *search = context;
    struct lock_owner *owner = other->owner;
    bool is_known = owner != search->origin && owner->visited == search->mark;
    if (is_known || owner->waiting == NULL ||
        !lock_goes_first(search->stripe, search->request, other)) {
        return false;
    }
    if (owner == search->origin) {
        search->closing = search->request->owner;
        return true;
    }
    owner->visited = search->mark;
    owner->parent = search->request->owner;
    owner->queue_next = NULL;
    *search->queue_end = owner;
    search->queue_end = &owner->queue_next;
    return false;
}

/* The last owner of a cycle through `origin`; NULL when there is none. */
static struct lock_owner *cycle_find(struct lock_table *table, struct lock_owner *origin)
{
    struct cycle_search search = {.origin = origin, .mark = ++table->search};
    origin->visited = search.mark;
    origin->parent = NULL;
    origin->queue_next = NULL;
    search.queue_end = &origin->queue_next;
    for (struct lock_owner *owner = origin; owner != NULL && search.closing == NULL;
         owner = owner->queue_next) {
        search.request = owner->waiting;
        search.stripe = lock_stripe_of(table, search.request->range.start);
        mutex_lock(&search.stripe->mutex);
        (void)lock_conflicts_each(search.stripe, search.request, visit, &search);
        mutex_unlock(&search.stripe->mutex);
    }
    return search.closing;
}

static uint64_t work_of(const struct lock_owner *owner)
{
    return owner->work == NULL ? 0 : __atomic_load_n(owner->work, __ATOMIC_RELAXED);
}

/* A probe gives way before all others: it loses nothing by it. REQUIRES: both wait. */
static bool gives_way_before(const struct lock_owner *a, const struct lock_owner *b)
{
    if (a->waiting->is_probe != b->waiting->is_probe) {
        return a->waiting->is_probe;
    }
    uint64_t a_work = work_of(a);
    uint64_t b_work = work_of(b);
    return a_work != b_work ? a_work < b_work : memcmp(a->id, b->id, LOCK_OWNER_ID_SIZE) < 0;
}

static struct lock_owner *victim_choose(struct lock_owner *closing)
{
    struct lock_owner *victim = closing;
    for (struct lock_owner *owner = closing->parent; owner != NULL; owner = owner->parent) {
        victim = gives_way_before(owner, victim) ? owner : victim;
    }
    return victim;
}

/* Who waits for whom, beginning with the victim's. Without memory the error names nobody. */
static void cycle_keep(struct lock_request *victim, const struct lock_owner *closing)
{
    size_t count = 0;
    for (const struct lock_owner *owner = closing; owner != NULL; owner = owner->parent) {
        count++;
    }
    victim->cycle_count = count;
    size_t kept = count < LOCK_CYCLE_MAX ? count : LOCK_CYCLE_MAX;
    victim->cycle = malloc(kept * LOCK_OWNER_ID_SIZE);
    if (victim->cycle == NULL) {
        return;
    }
    /* The path leads from the last to the origin: written from the back. */
    size_t at = count;
    for (const struct lock_owner *owner = closing; owner != NULL; owner = owner->parent) {
        at--;
        if (at < kept) {
            memcpy(victim->cycle + at * LOCK_OWNER_ID_SIZE, owner->id, LOCK_OWNER_ID_SIZE);
        }
    }
}

void lock_cycles_break_locked(struct lock_table *table, struct lock_request *request,
                              struct lock_finished *finished)
{
    struct lock_owner *origin = request->owner;
    while (origin->waiting == request) {
        struct lock_owner *closing = cycle_find(table, origin);
        if (closing == NULL) {
            return;
        }
        struct lock_request *victim = victim_choose(closing)->waiting;
        POLARYS_ASSERT(victim != NULL);
        cycle_keep(victim, closing);
        if (!victim->is_probe) { /* nobody's work is lost */
            atomic_fetch_add_explicit(&table->deadlock_count, 1, memory_order_relaxed);
        }
        lock_wait_end_locked(table, victim, POLARYS_DEADLOCK, finished);
    }
}
