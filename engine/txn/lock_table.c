/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests by key and by range, what conflicts with what, and locks that are had at once.
 *
 * A stripe holds whole tables, so a key and a range that cover each other always meet in one stripe. A lock
 * that nobody stands in the way of costs one mutex of one stripe.
 */
#include "engine/txn/lock_table.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/txn/lock_table_internal.h"

enum { BUCKETS_FIRST = 64 };

enum polarys_code lock_table_create(struct lock_table **out, struct polarys_error *err)
{
    *out = NULL;
    struct lock_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a lock table");
    }
    mutex_init(&table->wait_mutex, MUTEX_RANK_LOCK_WAITS);
    for (size_t i = 0; i < LOCK_STRIPES; i++) {
        mutex_init(&table->stripes[i].mutex, MUTEX_RANK_LOCK_STRIPE);
    }
    *out = table;
    return POLARYS_OK;
}

void lock_table_destroy(struct lock_table *table)
{
    if (table == NULL) {
        return;
    }
    POLARYS_ASSERT(atomic_load(&table->request_count) == 0);
    for (size_t i = 0; i < LOCK_STRIPES; i++) {
        mutex_deinit(&table->stripes[i].mutex);
        free(table->stripes[i].buckets);
    }
    mutex_deinit(&table->wait_mutex);
    free(table);
}

bool lock_table_is_used(const struct lock_table *table)
{
    /* Being late costs somebody a conflict, never a wrong commit. */
    return atomic_load_explicit(&table->request_count, memory_order_relaxed) != 0;
}

void lock_table_stats_get(struct lock_table *table, struct lock_table_stats *stats)
{
    size_t requests = atomic_load(&table->request_count);
    stats->waiting_count = atomic_load(&table->waiting_count);
    stats->held_count = requests > stats->waiting_count ? requests - stats->waiting_count : 0;
    stats->wait_count_total = atomic_load(&table->wait_count_total);
    stats->deadlock_count = atomic_load(&table->deadlock_count);
}

struct lock_stripe *lock_stripe_of(struct lock_table *table, struct polarys_slice tree_key)
{
    POLARYS_ASSERT(tree_key.size >= TREE_KEY_PREFIX_SIZE);
    uint64_t hash = checksum_hash64(slice_make(tree_key.data, TREE_KEY_PREFIX_SIZE));
    return &table->stripes[hash % LOCK_STRIPES];
}

/* ---- requests ---- */

static void push_front(struct lock_request **head, struct lock_request *request)
{
    request->next = *head;
    request->link = head;
    if (*head != NULL) {
        (*head)->link = &request->next;
    }
    *head = request;
}

/* Twice the buckets; without memory chains get longer and stay right. */
static void buckets_grow(struct lock_stripe *stripe)
{
    size_t count = stripe->bucket_count == 0 ? BUCKETS_FIRST : 2 * stripe->bucket_count;
    struct lock_request **buckets = calloc(count, sizeof(struct lock_request *));
    if (buckets == NULL) {
        return;
    }
    for (size_t i = 0; i < stripe->bucket_count; i++) {
        struct lock_request *request = stripe->buckets[i];
        while (request != NULL) {
            struct lock_request *next = request->next;
            push_front(&buckets[request->hash % count], request);
            request = next;
        }
    }
    free(stripe->buckets);
    stripe->buckets = buckets;
    stripe->bucket_count = count;
}

void lock_request_link(struct lock_stripe *stripe, struct lock_request *request)
{
    if (!request->is_key) {
        push_front(&stripe->ranges, request);
        return;
    }
    POLARYS_ASSERT(stripe->bucket_count > 0);
    push_front(&stripe->buckets[request->hash % stripe->bucket_count], request);
    stripe->key_count++;
}

void lock_request_unlink(struct lock_stripe *stripe, struct lock_request *request)
{
    POLARYS_ASSERT(*request->link == request);
    *request->link = request->next;
    if (request->next != NULL) {
        request->next->link = request->link;
    }
    if (request->is_key) {
        stripe->key_count--;
    }
}

static size_t request_size(const struct lock_request *request)
{
    return sizeof(*request) + request->range.start.size + request->range.end.size;
}

void lock_request_hold(struct lock_request *request)
{
    struct lock_owner *owner = request->owner;
    request->state = LOCK_HELD;
    request->owner_next = owner->held;
    owner->held = request;
    owner->range_count += request->is_key ? 0 : 1;
    /* One thread at a time changes them. */
    __atomic_store_n(&owner->lock_count, owner->lock_count + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&owner->bytes, owner->bytes + request_size(request), __ATOMIC_RELAXED);
}

void lock_request_free(struct lock_table *table, struct lock_request *request)
{
    atomic_fetch_sub_explicit(&table->request_count, 1, memory_order_relaxed);
    free(request->cycle);
    free(request);
}

static struct lock_request *request_create(struct lock_table *table, struct lock_owner *owner,
                                           const struct lock_wanted *wanted)
{
    size_t start_size = wanted->range.start.size;
    size_t end_size = wanted->is_key ? 0 : wanted->range.end.size;
    struct lock_request *request = malloc(sizeof(*request) + start_size + end_size);
    if (request == NULL) {
        return NULL;
    }
    *request = (struct lock_request){
        .owner = owner,
        .mode = wanted->mode,
        .is_key = wanted->is_key,
        .is_probe = wanted->is_probe,
        .state = LOCK_OVER,
        .sequence = UINT64_MAX, /* comes after all that wait */
        .deadline_ns = wanted->deadline_ns,
        .done = wanted->done,
        .context = wanted->context,
    };
    memcpy(request->bytes, wanted->range.start.data, start_size);
    request->range.start = slice_make(request->bytes, start_size);
    if (end_size > 0) {
        memcpy(request->bytes + start_size, wanted->range.end.data, end_size);
    }
    request->range.end = slice_make(request->bytes + start_size, end_size);
    request->hash = (uint32_t)checksum_hash64(request->range.start);
    atomic_fetch_add_explicit(&table->request_count, 1, memory_order_relaxed);
    return request;
}

/* ---- conflicts ---- */

static bool holds_key(const struct commit_range *range, struct polarys_slice key)
{
    return slice_compare(range->start, key) <= 0 && slice_compare(key, range->end) < 0;
}

static bool overlaps(const struct lock_request *a, const struct lock_request *b)
{
    if (a->is_key && b->is_key) {
        return a->hash == b->hash && slice_equal(a->range.start, b->range.start);
    }
    if (a->is_key) {
        return holds_key(&b->range, a->range.start);
    }
    if (b->is_key) {
        return holds_key(&a->range, b->range.start);
    }
    return slice_compare(a->range.start, b->range.end) < 0 &&
           slice_compare(b->range.start, a->range.end) < 0;
}

static bool conflicts(const struct lock_request *a, const struct lock_request *b)
{
    return a->owner != b->owner && (a->mode == LOCK_EXCLUSIVE || b->mode == LOCK_EXCLUSIVE) &&
           overlaps(a, b);
}

/* True when `each` stopped. */
static bool list_each(struct lock_request *first, const struct lock_request *request,
                      bool (*each)(void *context, struct lock_request *other), void *context)
{
    for (struct lock_request *other = first; other != NULL; other = other->next) {
        if (conflicts(request, other) && each(context, other)) {
            return true;
        }
    }
    return false;
}

bool lock_conflicts_each(struct lock_stripe *stripe, const struct lock_request *request,
                         bool (*each)(void *context, struct lock_request *other), void *context)
{
    if (list_each(stripe->ranges, request, each, context)) {
        return true;
    }
    if (stripe->key_count == 0) {
        return false;
    }
    if (request->is_key) {
        struct lock_request *first = stripe->buckets[request->hash % stripe->bucket_count];
        return list_each(first, request, each, context);
    }
    for (size_t i = 0; i < stripe->bucket_count; i++) {
        if (list_each(stripe->buckets[i], request, each, context)) {
            return true;
        }
    }
    return false;
}

static bool is_held_by(void *context, struct lock_request *other)
{
    return other->state == LOCK_HELD && other->owner == context;
}

bool lock_goes_first(struct lock_stripe *stripe, const struct lock_request *request,
                     struct lock_request *other)
{
    if (other->state == LOCK_HELD) {
        return true;
    }
    if (other->sequence >= request->sequence) {
        return false;
    }
    /* To queue behind somebody who waits for us would be to wait for ourselves. */
    return !lock_conflicts_each(stripe, other, is_held_by, request->owner);
}

struct blocked_search {
    struct lock_stripe *stripe;
    const struct lock_request *request;
};

static bool goes_first(void *context, struct lock_request *other)
{
    const struct blocked_search *search = context;
    return lock_goes_first(search->stripe, search->request, other);
}

bool lock_is_blocked(struct lock_stripe *stripe, const struct lock_request *request)
{
    struct blocked_search search = {stripe, request};
    return lock_conflicts_each(stripe, request, goes_first, &search);
}

/* True when what the owner holds already covers the request. */
static bool covers(const struct lock_request *held, const struct lock_request *request)
{
    if (held->owner != request->owner || held->state != LOCK_HELD || held->mode < request->mode) {
        return false;
    }
    if (request->is_key) {
        return overlaps(held, request);
    }
    return !held->is_key && slice_compare(held->range.start, request->range.start) <= 0 &&
           slice_compare(request->range.end, held->range.end) <= 0;
}

static bool is_covered(struct lock_stripe *stripe, const struct lock_request *request)
{
    for (struct lock_request *held = stripe->ranges; held != NULL; held = held->next) {
        if (covers(held, request)) {
            return true;
        }
    }
    if (!request->is_key || stripe->key_count == 0) {
        return false;
    }
    struct lock_request *held = stripe->buckets[request->hash % stripe->bucket_count];
    while (held != NULL && !covers(held, request)) {
        held = held->next;
    }
    return held != NULL;
}

/* ---- taking and giving back ---- */

/* Tries without the wait mutex. OK: it is had, or covered and the request not needed (*is_used false). */
static enum polarys_code try_at_once(struct lock_stripe *stripe, struct lock_request *request,
                                     bool *is_used)
{
    enum polarys_code code = POLARYS_OK;
    *is_used = false;
    mutex_lock(&stripe->mutex);
    if (stripe->key_count >= stripe->bucket_count) {
        buckets_grow(stripe);
    }
    if (request->is_key && stripe->bucket_count == 0) {
        code = POLARYS_NO_MEMORY;
    } else if (is_covered(stripe, request)) {
        code = POLARYS_OK;
    } else if (lock_is_blocked(stripe, request)) {
        code = POLARYS_WOULD_BLOCK;
    } else if (!request->is_probe) {
        lock_request_link(stripe, request);
        lock_request_hold(request);
        *is_used = true;
    }
    mutex_unlock(&stripe->mutex);
    return code;
}

enum polarys_code lock_acquire(struct lock_table *table, struct lock_owner *owner,
                               const struct lock_wanted *wanted, struct polarys_error *err)
{
    bool is_used = false;
    struct lock_request *request = request_create(table, owner, wanted);
    enum polarys_code code =
        request == NULL
            ? POLARYS_NO_MEMORY
            : try_at_once(lock_stripe_of(table, wanted->range.start), request, &is_used);
    if (code == POLARYS_WOULD_BLOCK && wanted->done != NULL) {
        struct lock_finished finished;
        lock_finished_init(&finished, table);
        lock_wait_begin(table, request, &finished);
        lock_finished_tell(&finished);
        return POLARYS_WOULD_BLOCK;
    }
    if (request != NULL && !is_used) {
        lock_request_free(table, request);
    }
    return code != POLARYS_NO_MEMORY ? code : polarys_fail(err, code, "no memory to take a lock");
}

/* Takes it out of its stripe, and grants what waited for it. */
static void give_back(struct lock_table *table, struct lock_request *request)
{
    struct lock_stripe *stripe = lock_stripe_of(table, request->range.start);
    mutex_lock(&stripe->mutex);
    bool has_waiters = stripe->wait_first != NULL;
    if (!has_waiters) {
        lock_request_unlink(stripe, request);
    }
    mutex_unlock(&stripe->mutex);
    if (!has_waiters) {
        return;
    }
    struct lock_finished finished;
    lock_finished_init(&finished, table);
    mutex_lock(&table->wait_mutex);
    mutex_lock(&stripe->mutex);
    lock_request_unlink(stripe, request);
    lock_grant_locked(table, stripe, &finished);
    mutex_unlock(&stripe->mutex);
    mutex_unlock(&table->wait_mutex);
    lock_finished_tell(&finished);
}

void lock_release_all(struct lock_table *table, struct lock_owner *owner)
{
    while (owner->held != NULL) {
        struct lock_request *request = owner->held;
        owner->held = request->owner_next;
        give_back(table, request);
        lock_request_free(table, request);
    }
    owner->range_count = 0;
    __atomic_store_n(&owner->lock_count, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&owner->bytes, 0, __ATOMIC_RELAXED);
}
