/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what waits for the log role as a whole: making everything durable, and running something while
 * nothing is under way.
 *
 * Invariant: nobody here waits for disk space. A numbered group that finds none can stay for as long as
 * the disk is full, and whoever waits here may be the one who would make space; so they get DISK_LOW.
 */
#include "engine/commit/commit_internal.h"

/* True when waiting has to end without success. */
static bool is_stuck_locked(const struct commit_path *path)
{
    return atomic_load(&path->is_broken) || path->is_disk_low;
}

static enum polarys_code stuck_error_locked(const struct commit_path *path,
                                            struct polarys_error *err)
{
    if (atomic_load(&path->is_broken)) {
        if (err != NULL) {
            *err = path->broken_error;
        }
        return path->broken_error.code;
    }
    (void)polarys_fail(err, POLARYS_DISK_LOW, "commits wait for room in the log");
    if (err != NULL) {
        err->retry_after_ms = COMMIT_DISK_LOW_RETRY_AFTER_MS;
    }
    return POLARYS_DISK_LOW;
}

/* Does some of what is waited for, or waits until somebody else has. */
static void advance_locked(struct commit_path *path)
{
    if (path->has_thread) {
        commit_thread_wake_locked(path);
    } else {
        struct commit_plan plan = {.rounds_max = 1, .may_write = true};
        if (commit_drive_locked(path, &plan)) {
            return;
        }
    }
    path->progress_waiter_count++;
    (void)executor_wait(path->options.executor, &path->progress, &path->mutex, 0);
    path->progress_waiter_count--;
}

enum polarys_code commit_sync(struct commit_path *path, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&path->mutex);
    /* Pairs with the sequencer's release: every version that the caller knows of is covered. */
    uint64_t target = atomic_load_explicit(&path->given_version, memory_order_acquire);
    if (path->sync_target_version < target) {
        path->sync_target_version = target;
    }
    while (atomic_load(&path->durable_version) < target && !is_stuck_locked(path)) {
        advance_locked(path);
    }
    if (atomic_load(&path->durable_version) < target) {
        code = stuck_error_locked(path, err);
    }
    commit_hand_on_locked(path);
    mutex_unlock(&path->mutex);
    return code;
}

enum polarys_code commit_run_exclusive(struct commit_path *path,
                                       enum polarys_code (*function)(void *context,
                                                                     struct polarys_error *err),
                                       void *context, struct polarys_error *err)
{
    enum polarys_code code;
    mutex_lock(&path->mutex);
    path->exclusive_count++;
    while (!commit_is_quiet_locked(path) && !is_stuck_locked(path)) {
        advance_locked(path);
    }
    if (is_stuck_locked(path)) {
        code = stuck_error_locked(path, err);
    } else {
        path->is_sequencing = true;
        path->is_writing = true;
        mutex_unlock(&path->mutex);
        code = function(context, err);
        mutex_lock(&path->mutex);
        path->is_sequencing = false;
        path->is_writing = false;
    }
    POLARYS_ASSERT(path->exclusive_count > 0);
    path->exclusive_count--;
    commit_progress_locked(path);
    commit_hand_on_locked(path);
    mutex_unlock(&path->mutex);
    return code;
}
