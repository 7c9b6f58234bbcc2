/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns when the log role has something to do, and who wakes up for it: executor tasks with the inline
 * policy, the log thread otherwise.
 *
 * Invariant: no driver sleeps. What cannot be done yet (a paced queue, a tree without room, ASYNC commits
 * that may still gather, a group that found no disk space) has a time at which it is looked at again, and
 * no timer is longer than COMMIT_TASK_DELAY_NS_MAX, so closing never waits long for one to end.
 */
#include "engine/commit/commit_internal.h"

/* ASYNC commits are given to the executor before the group is full, so that their callers go on. */
enum {
    BACKGROUND_BYTES_MIN = COMMIT_ASYNC_BUFFER_BYTES / 2,
    BACKGROUND_COMMITS_MIN = COMMIT_GROUP_COMMITS_MAX / 2,
    TIMER_OVERDUE_NS = 1000 * 1000,
};

_Static_assert(2 * COMMIT_GROUP_COMMITS_MAX <= COMMIT_UNSYNCED_VERSIONS_MAX,
               "two groups are all that can be unsynced");
_Static_assert((int)COMMIT_ASYNC_BUFFER_BYTES >= (int)COMMIT_GROUP_BYTES_MAX,
               "whatever a group may hold fits the buffer");

/* ---- what may be done ---- */

static bool is_due(const struct commit_path *path, uint64_t not_before_ns)
{
    return not_before_ns == 0 || clock_monotonic_ns(path->clock) >= not_before_ns;
}

static bool has_input(const struct commit_path *path)
{
    /* Looked at after the pusher could have seen a half taken: see commit_enqueue. */
    return path->pending.first != NULL || atomic_load(&path->incoming) != NULL;
}

/* REQUIRES: the sequencer's half is free. */
bool commit_may_take_locked(const struct commit_path *path)
{
    if (!has_input(path)) {
        return false;
    }
    if (path->is_disk_low) {
        return true;
    }
    return !path->gathering->is_full && is_due(path, path->sequence_not_before_ns);
}

bool commit_may_sequence_locked(const struct commit_path *path)
{
    if (path->is_sequencing || path->exclusive_count != 0 || atomic_load(&path->is_broken)) {
        return false;
    }
    return commit_may_take_locked(path) || commit_sequence_has_releasable(path);
}

bool commit_may_fail_locked(const struct commit_path *path)
{
    if (!atomic_load(&path->is_broken) || path->is_sequencing || path->is_writing) {
        return false;
    }
    return !path->is_failure_told || has_input(path);
}

static uint64_t async_due_ns(const struct commit_path *path)
{
    return path->gathering->first_ns + path->options.sync_interval_ns;
}

/* The group in flight, if there is one between two tries, else the gathered one. */
enum commit_urgency commit_write_urgency_locked(const struct commit_path *path)
{
    const struct commit_group *group = path->gathering;
    if (path->is_sequencing || atomic_load(&path->is_broken)) {
        return COMMIT_URGENCY_NONE;
    }
    if (path->in_flight->commit_count != 0) {
        return is_due(path, path->write_not_before_ns) ? COMMIT_URGENCY_NOW : COMMIT_URGENCY_NONE;
    }
    if (group->commit_count == 0) {
        return COMMIT_URGENCY_NONE;
    }
    if (group->sync_count != 0 || group->is_full || path->exclusive_count != 0 ||
        group->first_version <= path->sync_target_version || commit_queue_is_draining(path)) {
        return COMMIT_URGENCY_NOW;
    }
    if (group->payload_bytes >= BACKGROUND_BYTES_MIN ||
        group->commit_count >= BACKGROUND_COMMITS_MIN ||
        clock_monotonic_ns(path->clock) >= async_due_ns(path)) {
        return COMMIT_URGENCY_BACKGROUND;
    }
    return COMMIT_URGENCY_NONE;
}

/* ---- tasks ---- */

static void timer_run(struct task *task)
{
    struct commit_timer *timer =
        (struct commit_timer *)((char *)task - offsetof(struct commit_timer, task));
    struct commit_path *path = timer->path;
    struct commit_plan plan = {
        .rounds_max = COMMIT_TASK_ROUNDS_MAX, .may_write = true, .is_background = true};
    mutex_lock(&path->mutex);
    timer->is_armed = false;
    path->task_count++;
    (void)commit_drive_locked(path, &plan);
    commit_hand_on_locked(path);
    path->task_count--;
    commit_progress_locked(path);
    mutex_unlock(&path->mutex);
}

void commit_timer_init(struct commit_timer *timer, struct commit_path *path)
{
    timer->task.run = timer_run;
    timer->path = path;
    timer->is_armed = false;
}

void commit_timer_arm_locked(struct commit_path *path, struct commit_timer *timer,
                             uint64_t delay_ns)
{
    if (timer->is_armed) {
        return;
    }
    timer->is_armed = true;
    if (delay_ns == 0) {
        executor_submit(path->options.executor, EXECUTOR_FLUSH, &timer->task);
        return;
    }
    if (delay_ns > COMMIT_TASK_DELAY_NS_MAX) {
        delay_ns = COMMIT_TASK_DELAY_NS_MAX;
    }
    executor_submit_after(path->options.executor, EXECUTOR_FLUSH, &timer->task, delay_ns);
}

bool commit_timers_are_idle_locked(const struct commit_path *path)
{
    return path->task_count == 0 && !path->handoff.is_armed && !path->sync_timer.is_armed &&
           !path->retry_timer.is_armed;
}

/* The earlier of two times, of which 0 is none. */
static uint64_t earlier_ns(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return a + b;
    }
    return a < b ? a : b;
}

/* When the gathered group has to be written although nobody waits for it; 0: it has not. */
static uint64_t sync_due_ns_locked(const struct commit_path *path)
{
    /* Whoever holds a half now, or tries the group before this one again, schedules afterwards. */
    if (path->is_sequencing || path->is_writing || path->in_flight->commit_count != 0 ||
        path->gathering->commit_count == 0 || atomic_load(&path->is_broken)) {
        return 0;
    }
    return async_due_ns(path);
}

/* When something that was put off may be tried again; 0: nothing was. */
static uint64_t retry_due_ns_locked(const struct commit_path *path)
{
    uint64_t sequence_ns = 0;
    uint64_t write_ns = 0;
    if (path->is_sequencing || atomic_load(&path->is_broken)) {
        return 0;
    }
    if (path->exclusive_count == 0 && has_input(path)) {
        sequence_ns = path->sequence_not_before_ns;
    }
    if (!path->is_writing && path->in_flight->commit_count != 0) {
        write_ns = path->write_not_before_ns;
    }
    return earlier_ns(sequence_ns, write_ns);
}

static uint64_t delay_until(const struct commit_path *path, uint64_t due_ns)
{
    uint64_t now_ns = clock_monotonic_ns(path->clock);
    /* What is due already was not yet a moment ago, or stands behind something else: look again soon. */
    return due_ns > now_ns ? due_ns - now_ns : TIMER_OVERDUE_NS;
}

void commit_schedule_locked(struct commit_path *path)
{
    uint64_t sync_ns = sync_due_ns_locked(path);
    uint64_t retry_ns = retry_due_ns_locked(path);
    if (path->has_thread) {
        uint64_t due_ns = earlier_ns(sync_ns, retry_ns);
        if (due_ns != 0 && (path->thread_due_ns == 0 || due_ns < path->thread_due_ns)) {
            commit_thread_wake_locked(path);
        }
        return;
    }
    if (sync_ns != 0 && !path->sync_timer.is_armed) {
        commit_timer_arm_locked(path, &path->sync_timer, delay_until(path, sync_ns));
    }
    if (retry_ns != 0 && !path->retry_timer.is_armed) {
        commit_timer_arm_locked(path, &path->retry_timer, delay_until(path, retry_ns));
    }
}

/* ---- the log thread ---- */

void commit_thread_wake_locked(struct commit_path *path)
{
    if (atomic_exchange(&path->is_thread_asleep, false)) {
        condition_signal(&path->thread_condition);
    }
}

NO_THREAD_SAFETY_ANALYSIS static void thread_sleep_locked(struct commit_path *path)
{
    uint64_t due_ns = earlier_ns(sync_due_ns_locked(path), retry_due_ns_locked(path));
    uint64_t wait_ns = 0;
    if (due_ns != 0) {
        wait_ns = delay_until(path, due_ns);
        wait_ns = wait_ns < COMMIT_TASK_DELAY_NS_MAX ? wait_ns : COMMIT_TASK_DELAY_NS_MAX;
    }
    path->thread_due_ns = due_ns;
    atomic_store(&path->is_thread_asleep, true);
    /* A pusher that did not see the mark has pushed before this. While another thread sequences, what is
     * there is that thread's. */
    if (!path->is_sequencing && commit_may_sequence_locked(path)) {
        atomic_store(&path->is_thread_asleep, false);
        return;
    }
    (void)condition_wait(&path->thread_condition, &path->mutex, wait_ns);
    atomic_store(&path->is_thread_asleep, false);
}

void *commit_thread_main(void *context)
{
    struct commit_path *path = context;
    struct commit_plan plan = {.may_write = true, .is_background = true};
    mutex_lock(&path->mutex);
    while (!path->is_stopping) {
        if (!commit_drive_locked(path, &plan)) {
            thread_sleep_locked(path);
        }
    }
    mutex_unlock(&path->mutex);
    return NULL;
}
