/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of turns: a list in the order of asking. Granting walks it once, with the stripes of all that
 * stand before: a waiter is granted when nobody before it wants what it wants.
 */
#include "engine/turns.h"

#include "engine/base/assert.h"
#include "engine/base/checksum.h"

void turns_init(struct turns *turns)
{
    *turns = (struct turns){0};
    mutex_init(&turns->mutex, MUTEX_RANK_CATALOG);
    atomic_init(&turns->stripes_in_use, 0);
}

void turns_deinit(struct turns *turns)
{
    POLARYS_ASSERT(turns->first == NULL);
    POLARYS_ASSERT(turns->held == 0);
    mutex_deinit(&turns->mutex);
}

uint64_t turn_stripes_of(const struct polarys_slice *keys, size_t count)
{
    uint64_t stripes = 0;
    for (size_t i = 0; i < count && stripes != UINT64_MAX; i++) {
        stripes |= UINT64_C(1) << (checksum_hash64(keys[i]) % TURN_STRIPES);
    }
    return stripes;
}

static void publish_in_use(struct turns *turns)
{
    uint64_t in_use = turns->held;
    for (const struct turn *turn = turns->first; turn != NULL; turn = turn->next) {
        in_use |= turn->stripes;
    }
    atomic_store_explicit(&turns->stripes_in_use, in_use, memory_order_relaxed);
}

bool turns_take(struct turns *turns, struct turn *turn)
{
    POLARYS_ASSERT(turn->stripes != 0);
    POLARYS_ASSERT(!turn->is_held);
    mutex_lock(&turns->mutex);
    uint64_t wanted = turns->held;
    for (const struct turn *other = turns->first; other != NULL; other = other->next) {
        wanted |= other->stripes;
    }
    bool is_free = (wanted & turn->stripes) == 0;
    turn->next = NULL;
    if (is_free) {
        turn->is_held = true;
        turns->held |= turn->stripes;
    } else if (turns->last != NULL) {
        turns->last->next = turn;
        turns->last = turn;
    } else {
        turns->first = turn;
        turns->last = turn;
    }
    publish_in_use(turns);
    mutex_unlock(&turns->mutex);
    return is_free;
}

/* Takes every turn that may be granted out of the queue. REQUIRES: turns->mutex. */
static struct turn *grant_locked(struct turns *turns)
{
    struct turn *granted = NULL;
    struct turn **granted_end = &granted;
    struct turn *before = NULL;
    uint64_t wanted = turns->held;
    struct turn *turn = turns->first;
    while (turn != NULL && wanted != UINT64_MAX) {
        struct turn *next = turn->next;
        bool is_free = (wanted & turn->stripes) == 0;
        wanted |= turn->stripes;
        if (!is_free) {
            before = turn;
            turn = next;
            continue;
        }
        if (before == NULL) {
            turns->first = next;
        } else {
            before->next = next;
        }
        turns->last = turns->last == turn ? before : turns->last;
        turn->is_held = true;
        turn->next = NULL;
        turns->held |= turn->stripes;
        *granted_end = turn;
        granted_end = &turn->next;
        turn = next;
    }
    return granted;
}

void turns_give_back(struct turns *turns, struct turn *turn)
{
    if (!turn->is_held) {
        return;
    }
    mutex_lock(&turns->mutex);
    POLARYS_ASSERT((turns->held & turn->stripes) == turn->stripes);
    turn->is_held = false;
    turns->held &= ~turn->stripes;
    struct turn *granted = grant_locked(turns);
    publish_in_use(turns);
    mutex_unlock(&turns->mutex);
    while (granted != NULL) {
        struct turn *next = granted->next;
        granted->next = NULL;
        granted->granted(granted);
        granted = next;
    }
}
