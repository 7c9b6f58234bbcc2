/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the beginning and the end of a commit path: the choice of the policy, the log thread, draining.
 *
 * Invariant: after commit_drain every request that was admitted has been reported, and none will be
 * admitted any more; after commit_close no task or thread of the path runs.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commit/commit_internal.h"

enum {
    /* A sync up to here does not hold up a serving thread for long. */
    INLINE_SYNC_NS_MAX = 1000 * 1000,
    SYNC_INTERVAL_NS_DEFAULT = 10 * 1000 * 1000,
    /* A refused submitter counts itself in and out again without telling. */
    CLOSE_WAIT_NS = 1000 * 1000,
};

static bool wants_thread(const struct commit_options *options)
{
    if (options->role_policy != COMMIT_ROLE_AUTO) {
        return options->role_policy == COMMIT_ROLE_THREAD;
    }
    struct wal_stats stats;
    wal_stats_get(options->wal, &stats);
    return stats.probed_sync_ns > INLINE_SYNC_NS_MAX;
}

/* Starts the log thread with all signals blocked: they belong to the control loop. */
static enum polarys_code thread_start(struct commit_path *path, struct polarys_error *err)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    int result = pthread_sigmask(SIG_SETMASK, &all, &before);
    POLARYS_ASSERT(result == 0);
    int start_result = pthread_create(&path->thread, NULL, commit_thread_main, path);
    result = pthread_sigmask(SIG_SETMASK, &before, NULL);
    POLARYS_ASSERT(result == 0);
    if (start_result != 0) {
        return polarys_fail_errno(err, start_result, "start the log thread");
    }
    return POLARYS_OK;
}

static void path_init(struct commit_path *path, const struct commit_options *options)
{
    path->options = *options;
    if (path->options.sync_interval_ns == 0) {
        path->options.sync_interval_ns = SYNC_INTERVAL_NS_DEFAULT;
    }
    path->clock = options->executor->clock;
    path->is_real_time = path->clock == clock_system();
    atomic_init(&path->given_version, options->last_version);
    atomic_init(&path->published_version, options->last_version);
    atomic_init(&path->durable_version, options->last_version);
    atomic_init(&path->published_time_ms, options->last_time_ms);
    atomic_init(&path->schema_version, options->schema_version);
    atomic_init(&path->announced_schema_version, options->schema_version);
    path->sequenced_schema_version = options->schema_version;
    atomic_init(&path->is_follower, options->is_follower);
    atomic_init(&path->is_stopped, false);
    path->last_time_ms = options->last_time_ms;
    path->parked_version_min = UINT64_MAX;
    path->gathering = &path->groups[0];
    path->in_flight = &path->groups[1];
    mutex_init(&path->mutex, MUTEX_RANK_COMMIT_ROLE);
    condition_init(&path->progress);
    condition_init(&path->thread_condition);
    commit_timer_init(&path->handoff, path);
    commit_timer_init(&path->sync_timer, path);
    commit_timer_init(&path->retry_timer, path);
}

static void path_free(struct commit_path *path)
{
    commit_group_deinit(&path->groups[0]);
    commit_group_deinit(&path->groups[1]);
    commit_waiters_free(path);
    condition_deinit(&path->thread_condition);
    condition_deinit(&path->progress);
    mutex_deinit(&path->mutex);
    free(path);
}

enum polarys_code commit_open(const struct commit_options *options, struct commit_path **out,
                              struct polarys_error *err)
{
    enum polarys_code code;
    *out = NULL;
    struct commit_path *path = calloc(1, sizeof(*path));
    if (path == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "open the commit path");
    }
    path_init(path, options);
    bool has_first = commit_group_init(&path->groups[0]);
    bool has_second = commit_group_init(&path->groups[1]);
    if (!has_first || !has_second) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "open the commit path");
        goto fail;
    }
    path->has_thread = wants_thread(options);
    if (path->has_thread) {
        code = thread_start(path, err);
        if (code != POLARYS_OK) {
            goto fail;
        }
    }
    *out = path;
    return POLARYS_OK;

fail:
    path_free(path);
    return code;
}

enum commit_role_policy commit_role_policy_get(const struct commit_path *path)
{
    return path->has_thread ? COMMIT_ROLE_THREAD : COMMIT_ROLE_INLINE;
}

static bool is_drained_locked(const struct commit_path *path)
{
    return commit_queue_commits(path) == 0 && commit_is_quiet_locked(path) &&
           path->parked.first == NULL && path->pending.first == NULL &&
           path->reporting_count == 0 && !commit_may_fail_locked(path);
}

static void wait_a_moment_locked(struct commit_path *path)
{
    path->progress_waiter_count++;
    (void)executor_wait(path->options.executor, &path->progress, &path->mutex, CLOSE_WAIT_NS);
    path->progress_waiter_count--;
}

void commit_drain(struct commit_path *path)
{
    struct commit_plan plan = {.rounds_max = 1, .may_write = true};
    commit_queue_refuse_more(path);
    mutex_lock(&path->mutex);
    path->sequence_not_before_ns = 0;
    while (!is_drained_locked(path)) {
        if (path->has_thread) {
            commit_thread_wake_locked(path);
        } else if (commit_drive_locked(path, &plan)) {
            continue;
        } else {
            commit_schedule_locked(path);
        }
        wait_a_moment_locked(path);
    }
    mutex_unlock(&path->mutex);
}

void commit_stop(struct commit_path *path)
{
    atomic_store(&path->is_stopped, true);
    commit_drain(path);
}

void commit_resume(struct commit_path *path)
{
    POLARYS_ASSERT(atomic_load(&path->is_stopped));
    atomic_store(&path->is_stopped, false);
    commit_queue_accept(path);
}

bool commit_takes_writes(const struct commit_path *path)
{
    return !commit_is_follower(path) && !atomic_load(&path->is_stopped);
}

void commit_close(struct commit_path *path)
{
    if (path == NULL) {
        return;
    }
    commit_drain(path);
    if (path->has_thread) {
        mutex_lock(&path->mutex);
        path->is_stopping = true;
        commit_thread_wake_locked(path);
        mutex_unlock(&path->mutex);
        int result = pthread_join(path->thread, NULL);
        POLARYS_ASSERT(result == 0);
    }
    mutex_lock(&path->mutex);
    while (!commit_timers_are_idle_locked(path)) {
        wait_a_moment_locked(path);
    }
    mutex_unlock(&path->mutex);
    path_free(path);
}
