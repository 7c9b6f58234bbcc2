/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running one compaction: pick, merge or move, install. One at a time; flushes go on beside it.
 */
#include "engine/compaction/compaction_merge.h"
#include "engine/compaction/compaction_pick.h"

#include <stdlib.h>

/* One run of the compaction task. */
struct compaction_run {
    struct tree *tree;
    struct tree_version *version; /* the picked files live as long as this */
    struct compaction_wish wish;
    struct compaction_pick pick;
    struct tree_manual *manual; /* the request that the pick was made for, or NULL */
    uint64_t bytes_read;
    uint64_t bytes_written;
};

static void begin(struct compaction_run *run)
{
    struct tree *tree = run->tree;
    struct compaction_wish *wish = &run->wish;
    mutex_lock(&tree->mutex);
    POLARYS_ASSERT(tree->compact_state == TREE_TASK_QUEUED);
    tree->compact_state = TREE_TASK_RUNNING;
    run->manual = tree->manual;
    if (run->manual != NULL) {
        wish->is_manual = true;
        wish->start = run->manual->start;
        wish->end = run->manual->end;
        wish->first_id = run->manual->first_id;
    }
    mutex_unlock(&tree->mutex);
    run->version = tree_version_acquire(tree);
    wish->shape = &tree->shape;
    wish->cursors = tree->cursors; /* only this task changes them */
    wish->is_automatic_off = tree->options.is_compaction_off;
    wish->key_id = keyring_active_id(tree->options.env.keyring);
    if (run->version->levels->has_garbage) {
        wish->needed_version_min = compaction_needed_version_min(tree);
    }
}

/* ---- inputs ---- */

static enum polarys_code add_source(struct compaction_merge *merge, struct tree_file **files,
                                    size_t count, struct polarys_error *err)
{
    enum polarys_code code =
        level_iterator_create(merge->tree, files, count, TABLE_READ_NO_FILL | TABLE_READ_AHEAD,
                              &merge->sources[merge->source_count], err);
    if (code != POLARYS_OK) {
        return code;
    }
    merge->source_count++;
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        const struct table_meta *meta = &files[i]->meta;
        if (meta->newest_version > merge->newest_version) {
            merge->newest_version = meta->newest_version;
        }
        if (meta->range_delete_count == 0) {
            continue;
        }
        struct table *table;
        code = tree_file_table(merge->tree, files[i], false, &table, err);
        if (code == POLARYS_OK) {
            size_t before = merge->range_deletes.count;
            table_range_deletes_each(table, compaction_merge_note_range, merge);
            if (merge->range_deletes.count - before < meta->range_delete_count) {
                code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for range deletes");
            }
        }
    }
    return code;
}

static enum polarys_code add_sources(struct compaction_merge *merge,
                                     const struct compaction_pick *pick, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    merge->sources = calloc(pick->counts[0] + 1, sizeof(struct entry_iterator *));
    if (merge->sources == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a compaction");
    }
    if (pick->level == 0) { /* these may overlap: one source each */
        for (size_t i = 0; i < pick->counts[0] && code == POLARYS_OK; i++) {
            code = add_source(merge, &pick->inputs[0][i], 1, err);
        }
    } else {
        code = add_source(merge, pick->inputs[0], pick->counts[0], err);
    }
    if (code == POLARYS_OK && pick->counts[1] > 0) {
        code = add_source(merge, pick->inputs[1], pick->counts[1], err);
    }
    return code;
}

/* ---- effects ---- */

/* Every input leaves its level. */
static enum polarys_code fill_removed(const struct compaction_pick *pick,
                                      struct tree_install *install)
{
    install->removed = calloc(pick->counts[0] + pick->counts[1] + 1, sizeof(install->removed[0]));
    if (install->removed == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < pick->counts[which]; i++) {
            struct manifest_removed *removed = &install->removed[install->removed_count++];
            removed->level = which == 0 ? pick->level : pick->output_level;
            removed->file_id = pick->inputs[which][i]->meta.file_id;
        }
    }
    return POLARYS_OK;
}

static enum polarys_code install_outputs(struct compaction_run *run, struct compaction_merge *merge,
                                         struct polarys_error *err)
{
    struct tree_install install = {
        .outputs = &merge->outputs,
        .output_level = run->pick.output_level,
        .history_start = merge->history_start,
    };
    bool is_unknown = false;
    enum polarys_code code = fill_removed(&run->pick, &install);
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for a compaction");
    } else {
        code = tree_install_run(run->tree, &install, &is_unknown, err);
    }
    if (code != POLARYS_OK && !is_unknown) {
        tree_output_list_remove(run->tree, &merge->outputs);
    }
    free(install.removed);
    return code;
}

static enum polarys_code run_merge(struct compaction_run *run, struct polarys_error *err)
{
    const struct compaction_pick *pick = &run->pick;
    struct tree *tree = run->tree;
    bool is_last = pick->output_level == MANIFEST_LEVELS - 1;
    struct compaction_merge *merge =
        calloc(1, sizeof(*merge)); /* holds a whole key: not on a stack */
    if (merge == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a compaction");
    }
    merge->tree = tree;
    merge->output_level = pick->output_level;
    merge->file_bytes_max = tree->shape.file_bytes;
    merge->zstd_level = is_last ? tree->options.zstd_level_last : tree->options.zstd_level_upper;
    merge->grandparents = pick->grandparents;
    merge->grandparent_count = pick->grandparent_count;
    merge->below = run->version->levels;
    merge->below_level = pick->output_level + 1;
    enum polarys_code code = add_sources(merge, pick, err);
    if (code == POLARYS_OK) {
        code = compaction_merge_run(merge, err);
    }
    if (code == POLARYS_OK) {
        code = install_outputs(run, merge, err);
    }
    run->bytes_written = merge->output_bytes;
    compaction_merge_deinit(merge);
    free(merge);
    return code;
}

static enum polarys_code run_move(struct compaction_run *run, struct polarys_error *err)
{
    const struct compaction_pick *pick = &run->pick;
    struct tree_install install = {
        .output_level = pick->output_level,
        .moved = pick->inputs[0],
        .moved_count = pick->counts[0],
    };
    bool is_unknown;
    enum polarys_code code = fill_removed(pick, &install);
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for a compaction");
    } else {
        code = tree_install_run(run->tree, &install, &is_unknown, err);
    }
    free(install.removed);
    return code;
}

/* The next compaction of this level goes on behind the files of this one. */
static void note_cursor(struct compaction_run *run)
{
    const struct compaction_pick *pick = &run->pick;
    struct buffer *cursor = &run->tree->cursors[pick->level];
    if (pick->level == 0) {
        return;
    }
    buffer_clear(cursor);
    if (buffer_append_slice(cursor, tree_file_largest(pick->inputs[0][pick->counts[0] - 1])) !=
        POLARYS_OK) {
        buffer_clear(cursor); /* begins again at the first file: fair enough */
    }
}

static void note_statistics(struct compaction_run *run, uint64_t duration_ns)
{
    const struct compaction_pick *pick = &run->pick;
    struct tree *tree = run->tree;
    uint64_t upper_raw = 0;
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < pick->counts[which]; i++) {
            run->bytes_read += pick->inputs[which][i]->meta.file_bytes;
            upper_raw += which == 0 ? pick->inputs[which][i]->meta.raw_bytes : 0;
        }
    }
    mutex_lock(&tree->mutex);
    tree->compaction_count++;
    if (!pick->is_move) {
        tree->compaction_bytes_read += run->bytes_read;
        tree->compaction_bytes_written += run->bytes_written;
        if (pick->level == 0) {
            tree_pressure_measure_locked(tree, upper_raw, duration_ns);
        }
    }
    tree_pressure_update_locked(tree);
    mutex_unlock(&tree->mutex);
}

static enum polarys_code run_pick(struct compaction_run *run, struct polarys_error *err)
{
    struct clock *clock = run->tree->options.executor->clock;
    uint64_t started_ns = clock_monotonic_ns(clock);
    enum polarys_code code = run->pick.is_move ? run_move(run, err) : run_merge(run, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "compact level %u into level %u", run->pick.level,
                            run->pick.output_level);
    }
    note_cursor(run);
    note_statistics(run, clock_monotonic_ns(clock) - started_ns);
    return POLARYS_OK;
}

/* A request is done when nothing is left to pick for it. */
static void note_idle(struct compaction_run *run)
{
    struct tree *tree = run->tree;
    bool is_urgent = run->pick.reason == COMPACTION_SCORE && run->pick.level == 0;
    mutex_lock(&tree->mutex);
    if (run->manual != NULL && run->manual == tree->manual &&
        run->pick.reason != COMPACTION_MANUAL && !is_urgent) {
        run->manual->is_done = true;
        tree->manual = NULL;
    }
    if (run->pick.reason == COMPACTION_NONE) {
        tree->is_garbage_checked = true;
    }
    mutex_unlock(&tree->mutex);
}

void tree_compact_run(struct task *task)
{
    struct tree *tree = (struct tree *)((char *)task - offsetof(struct tree, compact_task));
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct compaction_run run = {.tree = tree};
    enum polarys_code code;
    begin(&run);
    if (__atomic_load_n(&tree->is_stopping, __ATOMIC_RELAXED)) {
        code = polarys_fail(&err, POLARYS_CANCELLED, "the tree is closing");
    } else {
        code = compaction_pick_next(run.version->levels, &run.wish, &run.pick);
        if (code != POLARYS_OK) {
            polarys_fail(&err, code, "no memory to pick a compaction");
        }
    }
    bool has_work = code == POLARYS_OK && run.pick.reason != COMPACTION_NONE;
    if (code == POLARYS_OK) {
        note_idle(&run);
    }
    if (has_work) {
        code = run_pick(&run, &err);
    }
    compaction_pick_deinit(&run.pick);
    tree_version_release(tree, run.version);
    tree_compact_finish(tree, code, has_work, &err);
}
