/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a change of the levels take effect: table files are synced by now; then the directory is synced,
 * the edit appended to the manifest, the new version made current. What left is removed once no reader
 * looks at it.
 *
 * Invariant: everything that can fail comes before the edit is durable.
 */
#include "engine/compaction/tree_internal.h"

#include "engine/base/log.h"

#include <stdlib.h>

void tree_output_list_deinit(struct tree_output_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        table_meta_deinit(&list->items[i].meta);
    }
    free(list->items);
    memset(list, 0, sizeof(*list));
}

void tree_output_list_remove(struct tree *tree, const struct tree_output_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct polarys_error err = POLARYS_ERROR_INIT;
        char name[VFS_NAME_MAX];
        char path[VFS_PATH_MAX];
        table_file_name(name, list->items[i].meta.file_id);
        enum polarys_code code = vfs_path_join(path, tree->dir, name, &err);
        if (code == POLARYS_OK) {
            code = vfs_remove(tree->options.env.vfs, path, &err);
        }
        if (code != POLARYS_OK) {
            polarys_log(POLARYS_LOG_WARN, "compaction", "remove table %s: %s", name, err.message);
        }
    }
}

void tree_install_begin(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    while (tree->is_installing) {
        (void)executor_wait(tree->options.executor, &tree->changed, &tree->mutex, 0);
    }
    tree->is_installing = true;
    mutex_unlock(&tree->mutex);
}

void tree_install_end(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    POLARYS_ASSERT(tree->is_installing);
    tree->is_installing = false;
    condition_broadcast(&tree->changed);
    mutex_unlock(&tree->mutex);
}

/* The new state of things while it is being put together. */
struct installation {
    struct manifest_edit edit;
    struct tree_placed_file *placed; /* outputs, then moved files; a reference on each output */
    size_t placed_count;
    struct tree_levels *levels;
    struct tree_version *version;
};

static enum polarys_code place_outputs(const struct tree_install *install,
                                       struct installation *work)
{
    for (size_t i = 0; install->outputs != NULL && i < install->outputs->count; i++) {
        const struct tree_output *output = &install->outputs->items[i];
        struct tree_placed_file *placed = &work->placed[work->placed_count];
        placed->level = install->output_level;
        enum polarys_code code =
            tree_file_create(&output->meta, output->old_version_count, &placed->file);
        if (code != POLARYS_OK) {
            return code;
        }
        work->placed_count++;
    }
    for (size_t i = 0; i < install->moved_count; i++) {
        work->placed[work->placed_count].level = install->output_level;
        work->placed[work->placed_count].file = tree_file_ref(install->moved[i]);
        work->placed_count++;
    }
    return POLARYS_OK;
}

static enum polarys_code fill_edit(struct tree *tree, const struct tree_install *install,
                                   struct installation *work)
{
    struct manifest_edit *edit = &work->edit;
    edit->added = calloc(work->placed_count + 1, sizeof(edit->added[0]));
    edit->removed = calloc(install->removed_count + 1, sizeof(edit->removed[0]));
    if (edit->added == NULL || edit->removed == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (size_t i = 0; i < work->placed_count; i++) {
        struct manifest_added *added = &edit->added[edit->added_count];
        added->level = work->placed[i].level;
        enum polarys_code code = table_meta_copy(&added->meta, &work->placed[i].file->meta);
        if (code != POLARYS_OK) {
            return code;
        }
        edit->added_count++;
    }
    if (install->removed_count > 0) {
        memcpy(edit->removed, install->removed, install->removed_count * sizeof(edit->removed[0]));
    }
    edit->removed_count = install->removed_count;
    if (install->flushed_version > 0) {
        edit->has_flushed_version = true;
        edit->flushed_version = install->flushed_version;
        if (tree->options.version_time_ms != NULL) {
            edit->flushed_time.version = install->flushed_version;
            edit->flushed_time.time_unix_ms =
                tree->options.version_time_ms(tree->options.context, install->flushed_version);
        }
    }
    if (install->history_start > 0) {
        edit->has_history_start = true;
        edit->history_start = install->history_start;
    }
    return POLARYS_OK;
}

/* The levels of now. Only an installation replaces levels, so these stay current until ours are; the version
 * that names them may be replaced and freed by a switch of memtables as soon as the mutex is let go. REQUIRES:
 * tree_install_begin. */
static const struct tree_levels *levels_before(struct tree *tree)
{
    POLARYS_ASSERT(tree->is_installing);
    mutex_lock(&tree->mutex);
    const struct tree_levels *levels = tree->current->levels;
    mutex_unlock(&tree->mutex);
    return levels;
}

/* Everything that needs memory. REQUIRES: tree_install_begin. */
static enum polarys_code prepare(struct tree *tree, const struct tree_install *install,
                                 struct installation *work)
{
    size_t output_count = install->outputs == NULL ? 0 : install->outputs->count;
    work->placed = calloc(output_count + install->moved_count + 1, sizeof(work->placed[0]));
    work->version = tree_version_create();
    if (work->placed == NULL || work->version == NULL) {
        return POLARYS_NO_MEMORY; /* the caller frees what `work` holds */
    }
    enum polarys_code code = place_outputs(install, work);
    if (code == POLARYS_OK) {
        code = fill_edit(tree, install, work);
    }
    if (code == POLARYS_OK) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the caller frees what `work` holds */
        code = tree_levels_derive(levels_before(tree), install->removed, install->removed_count,
                                  work->placed, work->placed_count, &tree->shape, &work->levels);
    }
    return code;
}

static bool is_moved(const struct tree_install *install, const struct tree_file *file)
{
    for (size_t i = 0; i < install->moved_count; i++) {
        if (install->moved[i] == file) {
            return true;
        }
    }
    return false;
}

/* Files that left the levels go from the disk with their last reference. REQUIRES: mutex. */
static void mark_obsolete_locked(const struct tree_levels *levels,
                                 const struct tree_install *install)
{
    for (size_t i = 0; i < install->removed_count; i++) {
        uint32_t level = install->removed[i].level;
        for (size_t j = 0; j < levels->counts[level]; j++) {
            struct tree_file *file = levels->files[level][j];
            if (file->meta.file_id == install->removed[i].file_id && !is_moved(install, file)) {
                file->is_obsolete = true;
            }
        }
    }
}

static void publish(struct tree *tree, const struct tree_install *install,
                    struct installation *work)
{
    struct tree_version *version = work->version;
    mutex_lock(&tree->mutex);
    struct tree_version *current = __atomic_load_n(&tree->current, __ATOMIC_ACQUIRE);
    POLARYS_ASSERT(install->flushed_memtables < current->memtable_count);
    size_t memtable_count = current->memtable_count - install->flushed_memtables;
    for (size_t i = 0; i < memtable_count; i++) {
        tree_version_add_memtable(version, current->memtables[i]);
    }
    version->floor = current->floor;
    if (install->flushed_memtables > 0) {
        version->floor = install->flushed_version;
        __atomic_fetch_add(&tree->memtables_generation, 1, __ATOMIC_RELEASE);
    }
    version->levels = work->levels;
    mark_obsolete_locked(current->levels, install);
    if (install->history_start > tree->history_start) {
        /* Before the version: whoever finds something gone in that has to find the history shortened too. */
        __atomic_store_n(&tree->history_start, install->history_start, __ATOMIC_RELEASE);
    }
    tree_version_publish_locked(tree, version);
    if (install->flushed_version > tree->flushed_version) {
        __atomic_store_n(&tree->flushed_version, install->flushed_version, __ATOMIC_RELEASE);
    }
    tree->is_garbage_checked = false;
    tree_pressure_update_locked(tree);
    condition_broadcast(&tree->changed);
    mutex_unlock(&tree->mutex);
    work->version = NULL;
    work->levels = NULL;
}

/* Gives up what an installation holds, whether it took effect or not. */
static void installation_deinit(struct installation *work)
{
    if (work->levels != NULL) {
        for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
            for (size_t i = 0; i < work->levels->counts[level]; i++) {
                bool is_last = tree_file_unref(work->levels->files[level][i]);
                POLARYS_ASSERT(!is_last);
            }
            free(work->levels->files[level]);
        }
        free(work->levels);
    }
    for (size_t i = 0; i < work->placed_count; i++) {
        if (tree_file_unref(work->placed[i].file)) {
            tree_file_destroy(work->placed[i].file);
        }
    }
    free(work->placed);
    free(work->version);
    manifest_edit_deinit(&work->edit);
}

enum polarys_code tree_install_run(struct tree *tree, const struct tree_install *install,
                                   bool *is_unknown, struct polarys_error *err)
{
    struct installation work = {0};
    enum polarys_code code = POLARYS_OK;
    *is_unknown = false;
    if (install->outputs != NULL && install->outputs->count > 0) {
        code = vfs_sync_dir(tree->options.env.vfs, tree->dir, err);
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "install tables");
    }
    tree_install_begin(tree);
    code = prepare(tree, install, &work);
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for an edit");
    } else {
        code = manifest_append(tree->options.manifest, &work.edit, err);
        *is_unknown = code == POLARYS_IO;
    }
    if (code == POLARYS_OK) {
        publish(tree, install, &work);
    }
    tree_install_end(tree);
    installation_deinit(&work);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "install tables");
}
