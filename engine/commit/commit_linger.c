/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a leader's decision to wait a moment before it takes the queue.
 *
 * The callers of the group that has just been written are awake now and most will commit again at once. A
 * leader that does not wait syncs the first one or two of them alone, and the others wait for two syncs.
 * It waits for as many as there were, by yielding the processor to them, for a fraction of a sync; when
 * they do not come it waits less often.
 */
#include <sched.h>

#include "engine/commit/commit_internal.h"

enum {
    LINGER_SKIP_MAX = 64,
    LINGER_NS_MAX = 120 * 1000,
    /* Waking and sleeping of more than these takes a sync's time and overlaps with it better. */
    LINGER_COMMITS_MAX = 24,
    LINGER_YIELDS_MAX = 4096,
};

uint32_t commit_linger_target_locked(struct commit_path *path)
{
    if (!path->is_real_time || path->linger_target < 2) {
        return 0;
    }
    if (path->linger_skip_count > 0) {
        path->linger_skip_count--;
        return 0;
    }
    return path->linger_target < LINGER_COMMITS_MAX ? path->linger_target : LINGER_COMMITS_MAX;
}

bool commit_linger(struct commit_path *path, uint32_t target, uint64_t limit_ns)
{
    if (limit_ns > LINGER_NS_MAX) {
        limit_ns = LINGER_NS_MAX;
    }
    uint64_t start_ns = clock_monotonic_ns(path->clock);
    for (int i = 0; i < LINGER_YIELDS_MAX; i++) {
        if (commit_queue_commits(path) >= target) {
            return true;
        }
        if (clock_monotonic_ns(path->clock) - start_ns >= limit_ns) {
            break;
        }
        (void)sched_yield();
    }
    return false;
}

void commit_linger_learn_locked(struct commit_path *path, bool came)
{
    if (came) {
        path->linger_backoff = 0;
        return;
    }
    path->linger_backoff = path->linger_backoff * 2 + 1;
    if (path->linger_backoff > LINGER_SKIP_MAX) {
        path->linger_backoff = LINGER_SKIP_MAX;
    }
    path->linger_skip_count = path->linger_backoff;
}
