/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns who holds the two halves of the log role, and for how long: the loop that every driver runs, and
 * what a driver leaves to others.
 *
 * Invariant: a driver leaves only when, under path->mutex, there is nothing it could do; or when its own
 * business is done, and then it has handed on what could be done: to a thread that sleeps in commit_wait,
 * to the log thread or to the executor. (A caller of commit_drive that gets true has promised to call
 * again.) What becomes possible later is announced by a timer, by commit_wake, or by the holder of the
 * half that stood in the way.
 */
#include "engine/commit/commit_internal.h"

enum {
    /* Commits looked at for a thread to hand the role to. */
    HAND_ON_SCAN_MAX = 16,
    SYNC_AVERAGE_WEIGHT = 8,
};

static size_t log2_bucket(uint64_t value, size_t bucket_count)
{
    size_t bucket = 0;
    while (value > 1 && bucket + 1 < bucket_count) {
        value >>= 1;
        bucket++;
    }
    return bucket;
}

bool commit_is_quiet_locked(const struct commit_path *path)
{
    return !path->is_sequencing && !path->is_writing && path->gathering->commit_count == 0 &&
           path->in_flight->commit_count == 0;
}

void commit_progress_locked(struct commit_path *path)
{
    if (path->progress_waiter_count != 0) {
        condition_broadcast(&path->progress);
    }
}

/* ---- the stages ---- */

static void sequence_account_locked(struct commit_path *path, const struct commit_pass *pass,
                                    uint64_t wake_generation)
{
    path->stats.commit_count += pass->sequenced_count;
    path->stats.conflict_count += pass->conflict_count;
    path->sequence_not_before_ns = 0;
    if (pass->pace_ns != 0) {
        path->sequence_not_before_ns = pass->now_ns + pass->pace_ns;
    } else if (pass->is_blocked && wake_generation == path->wake_generation) {
        path->sequence_not_before_ns = pass->now_ns + COMMIT_BLOCKED_RETRY_NS;
    }
}

NO_THREAD_SAFETY_ANALYSIS static void stage_sequence_locked(struct commit_path *path,
                                                            const struct commit_plan *plan)
{
    struct commit_pass pass = {.may_take = commit_may_take_locked(path),
                               .is_disk_low = path->is_disk_low,
                               .in_flight_bytes = path->in_flight->payload_bytes};
    uint64_t generation = path->wake_generation;
    uint64_t sync_ns = path->sync_ns_average;
    uint32_t linger_target = plan->may_linger ? commit_linger_target_locked(path) : 0;
    bool came = false;
    path->is_sequencing = true;
    path->is_nudge_outstanding = false;
    mutex_unlock(&path->mutex);

    if (linger_target != 0) {
        came = commit_linger(path, linger_target, sync_ns);
    }
    pass.now_ns = clock_monotonic_ns(path->clock);
    commit_sequence(path, &pass);

    mutex_lock(&path->mutex);
    path->is_sequencing = false;
    if (linger_target != 0) {
        commit_linger_learn_locked(path, came);
    }
    if (pass.may_take) {
        sequence_account_locked(path, &pass, generation);
    }
    commit_progress_locked(path);
    commit_report_locked(path, &pass.finished, plan);
}

static void write_succeeded_locked(struct commit_path *path, uint64_t sync_ns,
                                   struct commit_request_list *finished)
{
    struct commit_group *group = path->in_flight;
    struct commit_stats *stats = &path->stats;
    stats->group_count++;
    stats->logged_bytes += group->payload_bytes;
    stats->sync_us_log2[log2_bucket(sync_ns / 1000, 24)]++;
    stats->group_size_log2[log2_bucket(group->commit_count, 16)]++;
    path->sync_ns_average =
        path->sync_ns_average == 0
            ? sync_ns
            : (path->sync_ns_average * (SYNC_AVERAGE_WEIGHT - 1) + sync_ns) / SYNC_AVERAGE_WEIGHT;
    path->linger_target = (uint32_t)(group->sync_count + commit_queue_commits(path));
    path->is_disk_low = false;
    path->disk_retry_count = 0;
    path->write_not_before_ns = 0;
    commit_list_move(finished, &group->requests);
    commit_group_reset(group);
}

static void write_failed_locked(struct commit_path *path, const struct polarys_error *err)
{
    bool is_last_try =
        commit_queue_is_draining(path) && path->disk_retry_count >= COMMIT_DRAIN_DISK_RETRIES_MAX;
    if (err->code == POLARYS_DISK_LOW && !is_last_try) {
        path->is_disk_low = true;
        path->disk_retry_count++;
        path->write_not_before_ns = clock_monotonic_ns(path->clock) + COMMIT_DISK_RETRY_NS;
        return;
    }
    path->broken_error = *err;
    atomic_store(&path->is_broken, true);
}

NO_THREAD_SAFETY_ANALYSIS static void stage_write_locked(struct commit_path *path,
                                                         const struct commit_plan *plan)
{
    if (path->in_flight->commit_count == 0) {
        struct commit_group *group = path->gathering;
        path->gathering = path->in_flight;
        path->in_flight = group;
        /* Seen by the sequencer's next pass, which begins after this under the mutex. */
        atomic_store_explicit(&path->is_in_flight_unpublished, group->requests.first != NULL,
                              memory_order_relaxed);
    }
    path->is_writing = true;
    path->is_nudge_outstanding = false;
    mutex_unlock(&path->mutex);

    struct polarys_error err = POLARYS_ERROR_INIT;
    uint64_t sync_ns;
    enum polarys_code code = commit_write(path, &sync_ns, &err);

    mutex_lock(&path->mutex);
    path->is_writing = false;
    struct commit_request_list finished = {NULL, NULL};
    if (code == POLARYS_OK) {
        write_succeeded_locked(path, sync_ns, &finished);
    } else {
        write_failed_locked(path, &err);
    }
    commit_progress_locked(path);
    commit_report_locked(path, &finished, plan);
}

/* The log is broken: everything that waits is failed, and the owner told once. */
NO_THREAD_SAFETY_ANALYSIS static void stage_fail_locked(struct commit_path *path,
                                                        const struct commit_plan *plan)
{
    struct commit_request_list finished = {NULL, NULL};
    bool is_told = path->is_failure_told;
    path->is_sequencing = true;
    path->is_writing = true;
    path->is_nudge_outstanding = false;
    mutex_unlock(&path->mutex);

    commit_fail_all(path, &finished);
    if (!is_told && path->options.failed != NULL) {
        path->options.failed(path->options.context, &path->broken_error);
    }

    mutex_lock(&path->mutex);
    path->is_sequencing = false;
    path->is_writing = false;
    path->is_failure_told = true;
    path->is_disk_low = false;
    commit_progress_locked(path);
    commit_report_locked(path, &finished, plan);
}

/* ---- the loop ---- */

static bool is_own_done(const struct commit_plan *plan)
{
    return plan->own != NULL && plan->own->wait_state == COMMIT_WAIT_DONE;
}

static bool may_write_locked(const struct commit_path *path, const struct commit_plan *plan)
{
    if (!plan->may_write || path->is_writing) {
        return false;
    }
    enum commit_urgency urgency = commit_write_urgency_locked(path);
    return urgency == COMMIT_URGENCY_NOW ||
           (urgency == COMMIT_URGENCY_BACKGROUND && plan->is_background);
}

bool commit_drive_locked(struct commit_path *path, const struct commit_plan *plan)
{
    bool did_anything = false;
    for (uint32_t round = 0; plan->rounds_max == 0 || round < plan->rounds_max; round++) {
        bool progressed = false;
        if (!is_own_done(plan) && commit_may_sequence_locked(path)) {
            stage_sequence_locked(path, plan);
            progressed = true;
        }
        if (!is_own_done(plan) && may_write_locked(path, plan)) {
            stage_write_locked(path, plan);
            progressed = true;
        }
        if (commit_may_fail_locked(path)) {
            stage_fail_locked(path, plan);
            progressed = true;
        }
        did_anything = did_anything || progressed;
        if (!progressed || is_own_done(plan)) {
            break;
        }
    }
    return did_anything;
}

/* ---- handing on ---- */

static bool is_work_left_locked(const struct commit_path *path)
{
    if (commit_may_fail_locked(path) || commit_may_sequence_locked(path)) {
        return true;
    }
    return !path->is_writing && commit_write_urgency_locked(path) != COMMIT_URGENCY_NONE;
}

enum successor {
    SUCCESSOR_NONE,
    SUCCESSOR_AWAKE, /* on its way to the role already */
    SUCCESSOR_ASLEEP,
};

/* A thread in commit_wait whose commit is not done. */
static enum successor find_successor(const struct commit_request_list *list,
                                     struct commit_waiter **waiter)
{
    const struct commit_request *request = list->first;
    for (int i = 0; i < HAND_ON_SCAN_MAX && request != NULL; i++, request = request->next) {
        if (request->wait_state == COMMIT_WAIT_PENDING) {
            *waiter = request->waiter;
            return request->waiter == NULL ? SUCCESSOR_AWAKE : SUCCESSOR_ASLEEP;
        }
    }
    return SUCCESSOR_NONE;
}

void commit_hand_on_locked(struct commit_path *path)
{
    commit_schedule_locked(path);
    if (path->is_nudge_outstanding || path->handoff.is_armed || !is_work_left_locked(path)) {
        return;
    }
    if (path->has_thread) {
        commit_thread_wake_locked(path);
        return;
    }
    enum successor successor = SUCCESSOR_NONE;
    struct commit_waiter *waiter = NULL;
    if (!path->is_sequencing && commit_write_urgency_locked(path) != COMMIT_URGENCY_BACKGROUND) {
        commit_queue_take(path);
        successor = find_successor(&path->gathering->requests, &waiter);
        if (successor == SUCCESSOR_NONE) {
            successor = find_successor(&path->pending, &waiter);
        }
    }
    if (successor == SUCCESSOR_ASLEEP) {
        path->is_nudge_outstanding = true;
        commit_waiter_nudge(waiter);
    } else if (successor == SUCCESSOR_AWAKE) {
        /* Or it found no memory for a waiter, and sleeps with others. */
        commit_progress_locked(path);
    } else if (successor == SUCCESSOR_NONE) {
        commit_timer_arm_locked(path, &path->handoff, 0);
    }
}

bool commit_drive(struct commit_path *path, uint32_t rounds_max)
{
    if (path->has_thread) {
        return false;
    }
    struct commit_plan plan = {.rounds_max = rounds_max, .may_write = true};
    mutex_lock(&path->mutex);
    (void)commit_drive_locked(path, &plan);
    /* What is left for a driver like this one; ASYNC frames that nobody waits for go to the executor. */
    bool is_left = commit_may_fail_locked(path) || commit_may_sequence_locked(path) ||
                   may_write_locked(path, &plan);
    if (!is_left) {
        commit_hand_on_locked(path);
    } else {
        commit_schedule_locked(path);
    }
    mutex_unlock(&path->mutex);
    return is_left;
}

void commit_wake(struct commit_path *path)
{
    mutex_lock(&path->mutex);
    path->wake_generation++;
    path->sequence_not_before_ns = 0;
    path->write_not_before_ns = 0;
    commit_hand_on_locked(path);
    mutex_unlock(&path->mutex);
}
