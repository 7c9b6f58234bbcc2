/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock table's requests and stripes. Only the files of the lock table include this.
 *
 * Two kinds of mutex. A stripe's guards the requests of its tables, held and waiting. The wait mutex, taken
 * before it, guards who waits: whoever begins, grants or ends a wait holds both. So while it is held no
 * waiting owner stops waiting, and what such owners hold stays: a cycle of them is real.
 */
#ifndef ENGINE_TXN_LOCK_TABLE_INTERNAL_H
#define ENGINE_TXN_LOCK_TABLE_INTERNAL_H

#include <stdatomic.h>

#include "engine/txn/lock_table.h"

enum lock_state {
    LOCK_HELD,
    LOCK_WAITING,
    LOCK_OVER,
};

struct lock_request {
    struct lock_owner *owner;
    struct commit_range range;
    struct lock_request *next; /* of its bucket, or of the stripe's ranges */
    struct lock_request **link;
    struct lock_request *owner_next; /* of what its owner holds */
    uint32_t hash;
    enum lock_state state;
    enum lock_mode mode;
    bool is_key;
    bool is_probe;

    /* Of a wait. */
    uint64_t sequence;
    uint64_t deadline_ns;
    struct lock_request *wait_next; /* of its stripe, in order */
    struct lock_request *wait_previous;
    struct lock_request *all_next; /* of the table */
    struct lock_request *all_previous;
    struct lock_request *finished_next;
    enum polarys_code code;
    uint8_t *cycle; /* ids of a deadlock */
    size_t cycle_count;
    void (*done)(void *context, enum polarys_code code, const struct polarys_error *err);
    void *context;

    uint8_t bytes[]; /* of the range */
};

struct lock_stripe {
    struct mutex mutex;
    /* Guarded by mutex. */
    struct lock_request **buckets; /* of requests on keys */
    size_t bucket_count;
    size_t key_count;
    struct lock_request *ranges;
    struct lock_request *wait_first; /* changes with the wait mutex held too */
    struct lock_request *wait_last;
};

struct lock_table {
    atomic_size_t request_count;
    atomic_size_t waiting_count;
    atomic_uint_fast64_t wait_count_total;
    atomic_uint_fast64_t deadlock_count;
    struct mutex wait_mutex;
    /* Guarded by wait_mutex. */
    struct lock_request *wait_first;
    uint64_t sequence;
    uint64_t search;
    struct lock_stripe stripes[LOCK_STRIPES];
};

/* Requests whose wait has ended, to be told of it when no mutex is held. */
struct lock_finished {
    struct lock_table *table;
    struct lock_request *first;
    struct lock_request **end;
};

struct lock_stripe *lock_stripe_of(struct lock_table *table, struct polarys_slice tree_key);

/* Calls `each` for every other request of another owner that conflicts with `request`, waiting ones
 * included; true from `each` stops and is returned. REQUIRES: the stripe's mutex. */
bool lock_conflicts_each(struct lock_stripe *stripe, const struct lock_request *request,
                         bool (*each)(void *context, struct lock_request *other), void *context);
/* True when `other`, which conflicts with `request`, has to go first. REQUIRES: the stripe's mutex. */
bool lock_goes_first(struct lock_stripe *stripe, const struct lock_request *request,
                     struct lock_request *other);
bool lock_is_blocked(struct lock_stripe *stripe, const struct lock_request *request);

/* ---- lock_wait.c ---- */

/* Begins the wait of a request that is blocked; grants it if it no longer is. */
void lock_wait_begin(struct lock_table *table, struct lock_request *request,
                     struct lock_finished *finished);
/* Ends a wait. REQUIRES: wait_mutex; it waits. */
void lock_wait_end_locked(struct lock_table *table, struct lock_request *request,
                          enum polarys_code code, struct lock_finished *finished);
/* Grants what is no longer blocked. REQUIRES: wait_mutex and the stripe's. */
void lock_grant_locked(struct lock_table *table, struct lock_stripe *stripe,
                       struct lock_finished *finished);
/* Tells them. REQUIRES: no mutex. */
void lock_finished_tell(struct lock_finished *finished);

/* ---- lock_cycle.c ---- */

/* Ends the wait of a victim of every cycle that `request` closes. REQUIRES: wait_mutex. */
void lock_cycles_break_locked(struct lock_table *table, struct lock_request *request,
                              struct lock_finished *finished);

/* ---- lock_table.c ---- */

void lock_request_link(struct lock_stripe *stripe, struct lock_request *request);
void lock_request_unlink(struct lock_stripe *stripe, struct lock_request *request);
/* It is its owner's. */
void lock_request_hold(struct lock_request *request);
void lock_request_free(struct lock_table *table, struct lock_request *request);

static inline void lock_finished_init(struct lock_finished *finished, struct lock_table *table)
{
    finished->table = table;
    finished->first = NULL;
    finished->end = &finished->first;
}

#endif
