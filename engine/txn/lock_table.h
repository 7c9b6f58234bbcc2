/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of pessimistic transactions on tree keys and on ranges of them, shared or exclusive.
 *
 * Invariant: of two requests that conflict, in mode and in what they cover, the earlier goes first; a
 * request passes by a waiter only where that waiter waits for the passer itself. So nobody waits for ever
 * but in a cycle, and a cycle is found as the wait that closes it begins. Its victim is a probe, or else the
 * owner of least work. An owner waits for one lock at a time.
 *
 * Nothing here blocks: who has to wait is called back. Correctness of commits rests on their validation,
 * never on this table.
 */
#ifndef ENGINE_TXN_LOCK_TABLE_H
#define ENGINE_TXN_LOCK_TABLE_H

#include "engine/base/error.h"
#include "engine/base/mutex.h"
#include "engine/commit/commit.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOCK_OWNER_ID_SIZE = 16,
    LOCK_STRIPES = 64,   /* by table */
    LOCK_CYCLE_MAX = 64, /* owners of one cycle that its error may name */
};

enum lock_mode {
    LOCK_SHARED,
    LOCK_EXCLUSIVE,
};

struct lock_table;
struct lock_request;

/* Who locks. Embedded; zero-initialise, set id and work. */
struct lock_owner {
    const uint8_t *id;    /* LOCK_OWNER_ID_SIZE; breaks ties */
    const uint64_t *work; /* done so far, read with __atomic_load_n; NULL: none */
    size_t lock_count;    /* held; read by anyone with lock_owner_count */
    size_t bytes;         /* that they take; likewise */
    /* The owner's, and of who grants while it waits. */
    struct lock_request *held;
    size_t range_count;
    /* Guarded by the table's wait mutex. */
    struct lock_request *waiting;
    struct lock_owner *parent; /* of a search for cycles */
    struct lock_owner *queue_next;
    uint64_t visited;
};

/* What is wanted. Slices are copied. */
struct lock_wanted {
    struct commit_range range; /* tree keys of one table; is_key: range.start alone */
    bool is_key;
    enum lock_mode mode;
    bool is_probe;        /* wants to know when it could be had, not to have it */
    uint64_t deadline_ns; /* monotonic; 0: none */
    /* NULL: does not wait. Called once when the wait ends, from any thread, no lock held: OK,
     * LOCK_TIMEOUT, DEADLOCK (detail "cycle"), or what it was cancelled with. */
    void (*done)(void *context, enum polarys_code code, const struct polarys_error *err);
    void *context;
};

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code lock_table_create(struct lock_table **out, struct polarys_error *err);
void lock_table_destroy(struct lock_table *table); /* REQUIRES: nothing held. Accepts NULL. */

/*
 * OK: it is the owner's (or, of a probe, free). WOULD_BLOCK: it waits and `done` will be called, or has
 * been; without `done`: it is not to be had now. Errors: NO_MEMORY. REQUIRES: the owner does not wait.
 */
NODISCARD enum polarys_code lock_acquire(struct lock_table *table, struct lock_owner *owner,
                                         const struct lock_wanted *wanted,
                                         struct polarys_error *err);
/* Gives everything back. REQUIRES: the owner does not wait. */
void lock_release_all(struct lock_table *table, struct lock_owner *owner);
/* Ends the owner's wait with `code`. False when it does not wait (any more). */
bool lock_cancel(struct lock_table *table, struct lock_owner *owner, enum polarys_code code);
/* Any thread. */
static inline size_t lock_owner_count(const struct lock_owner *owner)
{
    return __atomic_load_n(&owner->lock_count, __ATOMIC_RELAXED);
}
static inline size_t lock_owner_bytes(const struct lock_owner *owner)
{
    return __atomic_load_n(&owner->bytes, __ATOMIC_RELAXED);
}
bool lock_owner_waits(struct lock_table *table, const struct lock_owner *owner);
/* Ends the waits whose deadline has passed. */
void lock_expire(struct lock_table *table, uint64_t now_ns);

/* True when anybody holds or waits for any lock. No lock; a hint. */
bool lock_table_is_used(const struct lock_table *table);

struct lock_table_stats {
    uint64_t held_count;
    uint64_t waiting_count;
    uint64_t wait_count_total;
    uint64_t deadlock_count;
};
void lock_table_stats_get(struct lock_table *table, struct lock_table_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
