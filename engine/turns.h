/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fair turns on keys, for commits that keep conflicting. A turn covers a set of key stripes; it is granted
 * in the order of asking, as soon as no turn that is held or was asked for earlier shares a stripe.
 *
 * Invariant: nobody waits for ever: the oldest waiter only waits for turns that are held, and those who
 * hold one never wait for another.
 */
#ifndef ENGINE_TURNS_H
#define ENGINE_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/mutex.h"
#include "engine/base/slice.h"

enum { TURN_STRIPES = 64 };

/* One turn. Embedded by its owner; zero-initialise. */
struct turn {
    uint64_t stripes; /* one bit each */
    bool is_held;
    /* Called when a turn that had to wait is granted; from the thread that made it free, no lock held. */
    void (*granted)(struct turn *turn);
    struct turn *next;
};

/* Embedded. */
struct turns {
    struct mutex mutex;
    /* Guarded by mutex. */
    struct turn *first;
    struct turn *last;
    uint64_t held;
    /* How many are held or wait: lets everyone else pass without the mutex. */
    atomic_uint_fast64_t stripes_in_use;
};

void turns_init(struct turns *turns);
void turns_deinit(struct turns *turns); /* REQUIRES: no turn */

/* The stripes of `count` keys. */
uint64_t turn_stripes_of(const struct polarys_slice *keys, size_t count);

/* True: it is the caller's now. False: it waits, and `granted` will be called. REQUIRES: stripes is set
 * and not 0, the turn is not held. */
bool turns_take(struct turns *turns, struct turn *turn);
/* Gives it back and grants others. No-op when it is not held. */
void turns_give_back(struct turns *turns, struct turn *turn);

/* True when somebody holds or waits for a turn on one of `stripes`. No lock; a hint. */
static inline bool turns_are_wanted(const struct turns *turns, uint64_t stripes)
{
    /* Pairs with the stores under the mutex; being late only costs a conflict. */
    return (atomic_load_explicit(&turns->stripes_in_use, memory_order_relaxed) & stripes) != 0;
}

/* True when anybody holds or waits for any turn. */
static inline bool turns_exist(const struct turns *turns)
{
    return atomic_load_explicit(&turns->stripes_in_use, memory_order_relaxed) != 0;
}

#endif
