/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others ask of a follower: whether it follows, how far behind it is, and whom it follows.
 */
#include <string.h>

#include "service/replication/follower_internal.h"
#include "service/server/timing.h"

bool follower_is_following(const struct follower *follower)
{
    return follower != NULL &&
           __atomic_load_n(&follower->state, __ATOMIC_ACQUIRE) != (int)FOLLOWER_PROMOTED;
}

bool follower_is_ready(const struct follower *follower)
{
    if (follower == NULL) {
        return true;
    }
    int state = __atomic_load_n(&follower->state, __ATOMIC_ACQUIRE);
    return state == (int)FOLLOWER_PROMOTED ||
           (state != (int)FOLLOWER_ENDED &&
            __atomic_load_n(&follower->has_caught_up, __ATOMIC_ACQUIRE) != 0);
}

uint64_t follower_stable_version(const struct follower *follower, uint64_t applied)
{
    uint64_t stable = __atomic_load_n(&follower->stable_version, __ATOMIC_RELAXED);
    return stable < applied ? stable : applied;
}

uint64_t follower_behind_ms(const struct follower *follower)
{
    uint64_t sent_ms = __atomic_load_n(&follower->fresh_wall_ms, __ATOMIC_ACQUIRE);
    uint64_t heard_ns = __atomic_load_n(&follower->fresh_ns, __ATOMIC_RELAXED);
    if (sent_ms == 0) {
        return UINT64_MAX;
    }
    /* The greater of two: a message may have been long on its way, or the clocks may differ. */
    uint64_t now_ms = timing_wall_ms();
    uint64_t by_clock = now_ms > sent_ms ? now_ms - sent_ms : 0;
    uint64_t by_hearing = (timing_now_ns() - heard_ns) / TIMING_NS_PER_MS;
    return by_clock > by_hearing ? by_clock : by_hearing;
}

void follower_primary_get(struct follower *follower, char *address)
{
    (void)pthread_mutex_lock(&follower->mutex);
    memcpy(address, follower->primary, sizeof(follower->primary));
    (void)pthread_mutex_unlock(&follower->mutex);
}

void follower_status_get(struct follower *follower, struct follower_status *status)
{
    uint64_t applied = polarys_db_version(follower->db);
    *status = (struct follower_status){0};
    status->state = (enum follower_state)__atomic_load_n(&follower->state, __ATOMIC_ACQUIRE);
    status->has_caught_up = __atomic_load_n(&follower->has_caught_up, __ATOMIC_ACQUIRE) != 0;
    status->behind_ms = follower_behind_ms(follower);
    memcpy(status->follows, follower->follows, sizeof(status->follows));
    (void)pthread_mutex_lock(&follower->mutex);
    memcpy(status->primary, follower->primary, sizeof(status->primary));
    memcpy(status->error, follower->error, sizeof(status->error));
    status->has_heard = follower->has_heard;
    status->end_version = follower->end_version;
    status->behind_versions = follower->end_version > applied ? follower->end_version - applied : 0;
    status->behind_bytes = follower->behind_bytes;
    status->connection_count = follower->connection_count;
    status->received_bytes = follower->received_bytes;
    status->term = follower->highest_term;
    (void)pthread_mutex_unlock(&follower->mutex);
}
