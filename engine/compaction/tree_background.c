/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When background work runs, what its failures lead to, and waiting for it.
 *
 * A lack of space or memory is retried after a delay until it works; meanwhile writes are refused. Any
 * other failure stays: reads go on, writes do not.
 */
#include "engine/compaction/tree_internal.h"

#include "engine/base/log.h"

static bool is_stopping(struct tree *tree)
{
    return __atomic_load_n(&tree->is_stopping, __ATOMIC_RELAXED);
}

void tree_flush_schedule_locked(struct tree *tree)
{
    if (tree->flush_state != TREE_TASK_IDLE || tree->pause_count > 0 || is_stopping(tree) ||
        tree->flush_failure.is_sticky || tree->compact_failure.is_sticky ||
        tree->current->memtable_count < 2) {
        return;
    }
    tree->flush_state = TREE_TASK_QUEUED;
    if (tree->is_flush_put_off) {
        tree->is_flush_put_off = false;
        executor_submit_after(tree->options.executor, EXECUTOR_FLUSH, &tree->flush_task,
                              UINT64_C(1000000) * TREE_PUT_OFF_MS);
    } else if (tree->flush_failure.error.code != POLARYS_OK) {
        executor_submit_after(tree->options.executor, EXECUTOR_FLUSH, &tree->flush_task,
                              (uint64_t)tree->flush_failure.retry_ms * 1000000);
    } else {
        executor_submit(tree->options.executor, EXECUTOR_FLUSH, &tree->flush_task);
    }
}

/* True when some level asks for compaction. REQUIRES: mutex. */
static bool wants_compaction(const struct tree *tree)
{
    const struct tree_levels *levels = tree->current->levels;
    if (tree->manual != NULL) {
        return true;
    }
    if (tree->options.is_compaction_off) {
        return false;
    }
    for (uint32_t level = 0; level < MANIFEST_LEVELS - 1; level++) {
        if (levels->scores[level] >= 1.0) {
            return true;
        }
    }
    return (levels->has_garbage && !tree->is_garbage_checked) ||
           levels->key_id_min < keyring_active_id(tree->options.env.keyring);
}

void tree_compact_schedule_locked(struct tree *tree)
{
    if (tree->compact_state != TREE_TASK_IDLE || tree->pause_count > 0 || is_stopping(tree) ||
        tree->flush_failure.is_sticky || tree->compact_failure.is_sticky ||
        !wants_compaction(tree)) {
        return;
    }
    tree->compact_state = TREE_TASK_QUEUED;
    if (tree->compact_failure.error.code != POLARYS_OK) {
        executor_submit_after(tree->options.executor, EXECUTOR_COMPACT, &tree->compact_task,
                              (uint64_t)tree->compact_failure.retry_ms * 1000000);
    } else {
        executor_submit(tree->options.executor, EXECUTOR_COMPACT, &tree->compact_task);
    }
}

/* Notes how a run ended; true when the owner is to be told. REQUIRES: mutex. */
static bool note_result_locked(struct tree *tree, struct tree_failure *failure,
                               enum polarys_code code, const struct polarys_error *err)
{
    bool was_failing = failure->error.code != POLARYS_OK;
    if (code == POLARYS_OK || code == POLARYS_CANCELLED) {
        if (code == POLARYS_OK && was_failing && !failure->is_sticky) {
            memset(failure, 0, sizeof(*failure));
        }
    } else {
        failure->error = *err;
        failure->error.code = code;
        failure->is_sticky = code != POLARYS_DISK_LOW && code != POLARYS_NO_MEMORY;
        failure->retry_ms = failure->retry_ms == 0 ? TREE_RETRY_MS_FIRST : 2 * failure->retry_ms;
        if (failure->retry_ms > TREE_RETRY_MS_MAX) {
            failure->retry_ms = TREE_RETRY_MS_MAX;
        }
        failure->error.retry_after_ms = failure->is_sticky ? 0 : failure->retry_ms;
    }
    __atomic_store_n(&tree->is_refusing,
                     tree->flush_failure.error.code != POLARYS_OK ||
                         tree->compact_failure.error.code != POLARYS_OK,
                     __ATOMIC_RELEASE);
    return (failure->error.code != POLARYS_OK) != was_failing;
}

/* Logs a failure or its end, and tells the owner of a failure. No lock held. */
static void tell(struct tree *tree, const char *what, enum polarys_code code,
                 const struct polarys_error *err)
{
    if (code == POLARYS_OK) {
        polarys_log(POLARYS_LOG_INFO, "compaction", "%s works again", what);
        return;
    }
    polarys_log(POLARYS_LOG_ERROR, "compaction", "%s failed: %s", what, err->message);
    if (tree->options.failed != NULL) {
        tree->options.failed(tree->options.context, err);
    }
}

static void tell_room_made(struct tree *tree)
{
    if (tree->options.room_made != NULL) {
        tree->options.room_made(tree->options.context);
    }
}

void tree_flush_finish(struct tree *tree, enum polarys_code code, const struct polarys_error *err)
{
    mutex_lock(&tree->mutex);
    tree->is_flush_put_off = code == POLARYS_WOULD_BLOCK;
    bool is_news =
        code != POLARYS_WOULD_BLOCK && note_result_locked(tree, &tree->flush_failure, code, err);
    mutex_unlock(&tree->mutex);
    if (is_news) {
        tell(tree, "flush", code, err);
    }
    if (code == POLARYS_OK) {
        tell_room_made(tree);
    }
    mutex_lock(&tree->mutex);
    tree->flush_state = TREE_TASK_IDLE;
    tree_flush_schedule_locked(tree);
    tree_compact_schedule_locked(tree);
    condition_broadcast(&tree->changed);
    mutex_unlock(&tree->mutex);
}

void tree_compact_finish(struct tree *tree, enum polarys_code code, bool has_progress,
                         const struct polarys_error *err)
{
    mutex_lock(&tree->mutex);
    bool is_news = note_result_locked(tree, &tree->compact_failure, code, err);
    mutex_unlock(&tree->mutex);
    if (is_news) {
        tell(tree, "compaction", code, err);
    }
    if (is_news && code == POLARYS_OK) {
        tell_room_made(tree);
    }
    mutex_lock(&tree->mutex);
    tree->compact_state = TREE_TASK_IDLE;
    if (has_progress || (code != POLARYS_OK && code != POLARYS_CANCELLED) || tree->manual != NULL) {
        tree_compact_schedule_locked(tree);
    }
    condition_broadcast(&tree->changed);
    mutex_unlock(&tree->mutex);
}

enum polarys_code tree_failure_get_locked(struct tree *tree, struct polarys_error *err)
{
    const struct tree_failure *failure = &tree->flush_failure;
    if (failure->error.code == POLARYS_OK ||
        (!failure->is_sticky && tree->compact_failure.is_sticky)) {
        failure = &tree->compact_failure;
    }
    if (failure->error.code != POLARYS_OK && err != NULL) {
        *err = failure->error;
    }
    return failure->error.code;
}

/* ---- waiting ---- */

void tree_background_pause(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    tree->pause_count++;
    mutex_unlock(&tree->mutex);
}

void tree_background_resume(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    POLARYS_ASSERT(tree->pause_count > 0);
    tree->pause_count--;
    tree_flush_schedule_locked(tree);
    tree_compact_schedule_locked(tree);
    mutex_unlock(&tree->mutex);
}

/* True when a memtable waits to be flushed that holds versions up to `version`. REQUIRES: mutex. */
static bool is_flush_due(const struct tree *tree, uint64_t version)
{
    const struct tree_version *current = tree->current;
    if (current->memtable_count < 2) {
        return false;
    }
    struct memtable_stats stats;
    memtable_stats_get(current->memtables[current->memtable_count - 1], &stats);
    return stats.oldest_version <= version;
}

enum polarys_code tree_flush_wait(struct tree *tree, uint64_t version, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&tree->mutex);
    tree_flush_schedule_locked(tree);
    while (tree->flushed_version < version && is_flush_due(tree, version)) {
        code = tree_failure_get_locked(tree, err);
        if (code != POLARYS_OK) {
            break;
        }
        (void)executor_wait(tree->options.executor, &tree->changed, &tree->mutex, 0);
    }
    mutex_unlock(&tree->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "wait for a flush");
}

enum polarys_code tree_wait_idle(struct tree *tree, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&tree->mutex);
    tree_flush_schedule_locked(tree);
    tree_compact_schedule_locked(tree);
    tree_cleanup_schedule_locked(tree);
    while (tree->flush_state != TREE_TASK_IDLE || tree->compact_state != TREE_TASK_IDLE ||
           tree->cleanup_state != TREE_TASK_IDLE) {
        code = tree_failure_get_locked(tree, err);
        if (code != POLARYS_OK) {
            break;
        }
        (void)executor_wait(tree->options.executor, &tree->changed, &tree->mutex, 0);
    }
    code = tree_failure_get_locked(tree, err);
    mutex_unlock(&tree->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "wait for background work");
}

enum polarys_code tree_compact_range(struct tree *tree, struct polarys_slice start,
                                     struct polarys_slice end, struct polarys_error *err)
{
    struct tree_manual manual = {.start = start, .end = end};
    enum polarys_code code = tree_flush_wait(tree, VERSION_MAX, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "compact range");
    }
    mutex_lock(&tree->mutex);
    while (tree->manual != NULL) {
        (void)executor_wait(tree->options.executor, &tree->changed, &tree->mutex, 0);
    }
    /* cppcheck-suppress autoVariables; taken out again before this function returns */
    tree->manual = &manual;
    manual.first_id = manifest_file_id_next(tree->options.manifest);
    tree_compact_schedule_locked(tree);
    while (!manual.is_done) {
        code = tree_failure_get_locked(tree, err);
        if (code != POLARYS_OK && tree->compact_state != TREE_TASK_RUNNING) {
            break;
        }
        (void)executor_wait(tree->options.executor, &tree->changed, &tree->mutex, 0);
    }
    code = manual.is_done ? POLARYS_OK : code;
    tree->manual = NULL;
    condition_broadcast(&tree->changed);
    mutex_unlock(&tree->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "compact range");
}
