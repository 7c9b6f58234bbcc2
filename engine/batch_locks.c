/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits that hold no locks and meet those of pessimistic transactions: they wait until what they write is
 * free, a few times, and then go ahead. Waiting is a courtesy, which spares the holder a conflict; whatever
 * happens, commits are validated.
 */
#include <string.h>

#include "engine/batch_internal.h"
#include "engine/engine_txn.h"

enum { BATCH_LOCK_WAITS_MAX = 4 };

#define NS_PER_MS UINT64_C(1000000)

static uint64_t wait_deadline(const struct polarys_batch *batch)
{
    uint64_t own_ns =
        clock_monotonic_ns(batch->db->clock) + POLARYS_TXN_LOCK_TIMEOUT_DEFAULT_MS * NS_PER_MS;
    uint64_t given_ns = batch->options.deadline_ns;
    return given_ns != 0 && given_ns < own_ns ? given_ns : own_ns;
}

enum polarys_code batch_locks_waited(struct polarys_batch *batch, enum polarys_code code)
{
    if (code != POLARYS_DEADLOCK) {
        return code;
    }
    batch->lock_wait_count = BATCH_LOCK_WAITS_MAX;
    return POLARYS_OK;
}

/* Asks for one key or range. WOULD_BLOCK: `done` will be called, or was. */
static enum polarys_code probe(struct polarys_batch *batch, struct lock_wanted *wanted,
                               struct polarys_error *err)
{
    wanted->mode = LOCK_EXCLUSIVE;
    wanted->is_probe = true;
    return lock_acquire(batch->db->locks, &batch->lock_owner, wanted, err);
}

enum polarys_code batch_locks_wait(struct polarys_batch *batch,
                                   void (*done)(void *context, enum polarys_code code,
                                                const struct polarys_error *err),
                                   struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (!lock_table_is_used(batch->db->locks) || batch->is_system || batch->holds_locks ||
        batch->lock_wait_count >= BATCH_LOCK_WAITS_MAX) {
        return POLARYS_OK;
    }
    struct lock_wanted wanted = {
        .done = done, .context = batch, .deadline_ns = wait_deadline(batch)};
    batch->lock_wait_count++;
    const struct commit_range *ranges = batch->ranges.items;
    /* Once it waits the batch may be on its way in another thread: nothing of it is looked at then. */
    for (size_t i = 0; code == POLARYS_OK && i < batch->ranges.count; i++) {
        wanted.range = ranges[i];
        code = probe(batch, &wanted, err);
    }
    wanted.is_key = true;
    for (size_t i = 0; code == POLARYS_OK && i < batch->effects.count; i++) {
        wanted.range.start = batch_effects(batch)[i].key;
        code = probe(batch, &wanted, err);
    }
    if (code == POLARYS_OK) {
        batch->lock_wait_count--;
    }
    return code;
}
