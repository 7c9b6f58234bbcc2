/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flush: every memtable that waits becomes one sorted run in level 0.
 *
 * Nothing is flushed that the log does not hold durably. Order of effects: tables synced, directory synced, edit in the manifest, version installed, the owner
 * told, writers told.
 */
#include "engine/compaction/compaction_merge.h"

#include <stdlib.h>

enum {
    /* A run is cut into files of this many times file_bytes: level 0 wants few files. */
    FLUSH_FILE_FACTOR = 4,
};

/* One run of the flush task. */
struct flush_run {
    struct tree *tree;
    struct tree_version *version;
    struct memtable **memtables; /* of the version: the waiting ones, newest first */
    size_t memtable_count;
    uint64_t newest_version;
    uint64_t memtable_bytes;
    uint64_t bytes_written;
};

static void begin(struct flush_run *run)
{
    struct tree *tree = run->tree;
    mutex_lock(&tree->mutex);
    POLARYS_ASSERT(tree->flush_state == TREE_TASK_QUEUED);
    tree->flush_state = TREE_TASK_RUNNING;
    mutex_unlock(&tree->mutex);
    run->version = tree_version_acquire(tree);
    run->memtables = run->version->memtables + 1;
    run->memtable_count = run->version->memtable_count - 1;
    for (size_t i = 0; i < run->memtable_count; i++) {
        struct memtable_stats stats;
        memtable_stats_get(run->memtables[i], &stats);
        run->memtable_bytes += stats.used;
        if (stats.newest_version > run->newest_version) {
            run->newest_version = stats.newest_version;
        }
    }
}

static enum polarys_code add_sources(struct flush_run *run, struct compaction_merge *merge,
                                     struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    merge->sources = calloc(run->memtable_count + 1, sizeof(struct entry_iterator *));
    if (merge->sources == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a flush");
    }
    for (size_t i = 0; i < run->memtable_count && code == POLARYS_OK; i++) {
        struct memtable_stats stats;
        memtable_stats_get(run->memtables[i], &stats);
        code = memtable_iterator_create(run->memtables[i], &merge->sources[i], err);
        if (code != POLARYS_OK) {
            break;
        }
        merge->source_count++;
        size_t before = merge->range_deletes.count;
        memtable_range_deletes_each(run->memtables[i], compaction_merge_note_range, merge);
        if (merge->range_deletes.count - before < stats.range_delete_count) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for range deletes");
        }
    }
    return code;
}

static enum polarys_code install(struct flush_run *run, struct compaction_merge *merge,
                                 struct polarys_error *err)
{
    struct tree_install change = {
        .outputs = &merge->outputs,
        .output_level = 0,
        .flushed_memtables = run->memtable_count,
        .flushed_version = run->newest_version,
        .history_start = merge->history_start,
    };
    bool is_unknown;
    enum polarys_code code = tree_install_run(run->tree, &change, &is_unknown, err);
    if (code != POLARYS_OK && !is_unknown) {
        tree_output_list_remove(run->tree, &merge->outputs);
    }
    return code;
}

/* OK when the log holds durably what would be flushed. */
static enum polarys_code is_in_log(const struct flush_run *run, struct polarys_error *err)
{
    const struct tree_options *options = &run->tree->options;
    return options->durable == NULL ? POLARYS_OK
                                    : options->durable(options->context, run->newest_version, err);
}

static enum polarys_code flush(struct flush_run *run, struct polarys_error *err)
{
    struct tree *tree = run->tree;
    struct compaction_merge *merge = calloc(1, sizeof(*merge));
    if (merge == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a flush");
    }
    merge->tree = tree;
    merge->output_level = 0;
    merge->file_bytes_max = FLUSH_FILE_FACTOR * tree->shape.file_bytes;
    merge->zstd_level = tree->options.zstd_level_upper;
    merge->below = run->version->levels;
    merge->below_level = 0;
    merge->newest_version = run->newest_version;
    enum polarys_code code = add_sources(run, merge, err);
    if (code == POLARYS_OK) {
        code = compaction_merge_run(merge, err);
    }
    if (code == POLARYS_OK) {
        code = install(run, merge, err);
    }
    run->bytes_written = merge->output_bytes;
    compaction_merge_deinit(merge);
    free(merge);
    return code;
}

static void note_statistics(struct flush_run *run, uint64_t duration_ns)
{
    struct tree *tree = run->tree;
    mutex_lock(&tree->mutex);
    tree->flush_count++;
    tree->flush_bytes_written += run->bytes_written;
    tree_pressure_measure_locked(tree, run->memtable_bytes, duration_ns);
    tree_pressure_update_locked(tree);
    mutex_unlock(&tree->mutex);
}

void tree_flush_run(struct task *task)
{
    struct tree *tree = (struct tree *)((char *)task - offsetof(struct tree, flush_task));
    struct clock *clock = tree->options.executor->clock;
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct flush_run run = {.tree = tree};
    enum polarys_code code = POLARYS_OK;
    uint64_t started_ns = clock_monotonic_ns(clock);
    begin(&run);
    if (__atomic_load_n(&tree->is_stopping, __ATOMIC_RELAXED)) {
        code = polarys_fail(&err, POLARYS_CANCELLED, "the tree is closing");
    } else if (run.memtable_count > 0) {
        code = is_in_log(&run, &err);
        if (code == POLARYS_OK) {
            code = flush(&run, &err);
        }
    }
    if (code != POLARYS_OK && code != POLARYS_WOULD_BLOCK) {
        polarys_wrap(&err, code, "flush %zu memtables", run.memtable_count);
    } else if (code == POLARYS_OK && run.memtable_count > 0) {
        note_statistics(&run, clock_monotonic_ns(clock) - started_ns);
        if (tree->options.flushed != NULL) {
            tree->options.flushed(tree->options.context, run.newest_version);
        }
    }
    tree_version_release(tree, run.version);
    tree_flush_finish(tree, code, &err);
}
