/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing the tree.
 */
#include "engine/compaction/tree_internal.h"

#include "engine/base/log.h"

#include <stdlib.h>

enum {
    TREE_LEVEL1_BYTES_DEFAULT = 128 << 20,
    TREE_FILE_BYTES_DEFAULT = 32 << 20,
    TREE_DRAIN_BYTES_FIRST = 64 << 20, /* a second, before anything was measured */
};

/* ---- the directory ---- */

/* The table files that lie in the directory. */
struct file_list {
    uint64_t *ids;
    size_t count;
    size_t capacity;
    bool is_out_of_memory;
};

static void note_file(void *context, const char *name)
{
    struct file_list *list = context;
    uint64_t file_id;
    if (!table_file_name_parse(name, &file_id)) {
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        uint64_t *ids = realloc(list->ids, capacity * sizeof(ids[0]));
        if (ids == NULL) {
            list->is_out_of_memory = true;
            return;
        }
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = file_id;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The ids that the manifest names, ascending; NULL without memory. */
static uint64_t *named_ids(const struct manifest_state *state, size_t *count)
{
    size_t total = 0;
    for (size_t level = 0; level < MANIFEST_LEVELS; level++) {
        total += state->level_counts[level];
    }
    uint64_t *ids = malloc((total + 1) * sizeof(ids[0]));
    *count = 0;
    for (size_t level = 0; level < MANIFEST_LEVELS && ids != NULL; level++) {
        for (size_t i = 0; i < state->level_counts[level]; i++) {
            ids[(*count)++] = state->levels[level][i].file_id;
        }
    }
    if (ids != NULL) {
        qsort(ids, total, sizeof(ids[0]), compare_ids);
    }
    return ids;
}

static enum polarys_code remove_unnamed(struct tree *tree, uint64_t file_id,
                                        struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    table_file_name(name, file_id);
    enum polarys_code code = vfs_path_join(path, tree->dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_remove(tree->options.env.vfs, path, err);
    }
    return code == POLARYS_FILE_NOT_FOUND ? POLARYS_OK : code;
}

/* Every named file has to be there; every other goes. */
static enum polarys_code check_files(struct tree *tree, const uint64_t *named, size_t named_count,
                                     struct file_list *present, struct polarys_error *err)
{
    if (present->count > 1) {
        qsort(present->ids, present->count, sizeof(present->ids[0]), compare_ids);
    }
    size_t next = 0;
    for (size_t i = 0; i < present->count; i++) {
        if (next < named_count && named[next] < present->ids[i]) {
            break; /* the named file is missing */
        }
        if (next < named_count && named[next] == present->ids[i]) {
            next++;
            continue;
        }
        enum polarys_code code = remove_unnamed(tree, present->ids[i], err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (next < named_count) {
        char name[VFS_NAME_MAX];
        table_file_name(name, named[next]);
        polarys_fail(err, POLARYS_CORRUPT, "table %s is missing", name);
        polarys_error_detail_set(err, "file", "%s", name);
        return POLARYS_CORRUPT;
    }
    return POLARYS_OK;
}

static enum polarys_code tidy_dir(struct tree *tree, struct polarys_error *err)
{
    struct file_list present = {0};
    size_t named_count;
    uint64_t *named = named_ids(manifest_state_get(tree->options.manifest), &named_count);
    enum polarys_code code =
        vfs_list_dir(tree->options.env.vfs, tree->dir, note_file, &present, err);
    if (code == POLARYS_OK && (named == NULL || present.is_out_of_memory)) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a list of tables");
    }
    if (code == POLARYS_OK) {
        code = check_files(tree, named, named_count, &present, err);
    }
    free(named);
    free(present.ids);
    return code;
}

/* ---- opening ---- */

static enum polarys_code load_levels(struct tree *tree, struct tree_levels **out)
{
    const struct manifest_state *state = manifest_state_get(tree->options.manifest);
    size_t total = 0;
    size_t count = 0;
    enum polarys_code code = POLARYS_OK;
    for (size_t level = 0; level < MANIFEST_LEVELS; level++) {
        total += state->level_counts[level];
    }
    struct tree_placed_file *placed = calloc(total + 1, sizeof(placed[0]));
    *out = NULL;
    if (placed == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < state->level_counts[level] && code == POLARYS_OK; i++) {
            placed[count].level = level;
            code = tree_file_create(&state->levels[level][i], TREE_OLD_VERSIONS_UNKNOWN,
                                    &placed[count].file);
            count += code == POLARYS_OK;
        }
    }
    if (code == POLARYS_OK) {
        code = tree_levels_derive(NULL, NULL, 0, placed, count, &tree->shape, out);
    }
    for (size_t i = 0; i < count; i++) {
        if (tree_file_unref(placed[i].file)) {
            tree_file_destroy(placed[i].file);
        }
    }
    free(placed);
    return code;
}

/* The first version, with one empty memtable, and the writer's view of it. */
static enum polarys_code load_version(struct tree *tree, struct polarys_error *err)
{
    const struct manifest_state *state = manifest_state_get(tree->options.manifest);
    struct memtable *memtable = NULL;
    enum polarys_code code = memtable_create(tree->options.memtable_bytes, &memtable, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct tree_version *version = tree_version_create();
    tree->view = tree_version_create();
    tree->current = version;
    code = version == NULL || tree->view == NULL ? POLARYS_NO_MEMORY
                                                 : load_levels(tree, &version->levels);
    if (code == POLARYS_OK) {
        version->floor = state->flushed_version;
        tree_version_add_memtable(version, memtable);
        tree->view->floor = state->flushed_version;
        tree_version_add_memtable(tree->view, memtable);
        tree->flushed_version = state->flushed_version;
        tree->history_start = state->history_start;
    } else {
        polarys_fail(err, code, "no memory for a version");
    }
    memtable_unref(memtable);
    return code;
}

/* About what level 0 comes to when it is compacted: a memtable's arena gives half as much of a file. */
static uint64_t batch_bytes(const struct tree_options *options)
{
    uint64_t bytes = (uint64_t)TREE_LEVEL0_COMPACT_FILES * options->memtable_bytes / 2;
    bytes = bytes > options->file_bytes ? bytes : options->file_bytes;
    return bytes < options->level1_bytes ? bytes : options->level1_bytes;
}

static void set_defaults(struct tree *tree)
{
    struct tree_options *options = &tree->options;
    if (options->level1_bytes == 0) {
        options->level1_bytes = TREE_LEVEL1_BYTES_DEFAULT;
    }
    if (options->file_bytes == 0) {
        options->file_bytes = TREE_FILE_BYTES_DEFAULT;
    }
    if (options->block_bytes == 0) {
        options->block_bytes = TABLE_BLOCK_BYTES_DEFAULT;
    }
    if (options->memtable_bytes == 0) {
        options->memtable_bytes = MEMTABLE_BYTES_DEFAULT;
    }
    if (options->table_files_max == 0) {
        options->table_files_max = TREE_TABLE_FILES_DEFAULT;
    }
    tree->shape.level1_bytes = options->level1_bytes;
    tree->shape.file_bytes = options->file_bytes;
    tree->shape.batch_bytes = batch_bytes(options);
    tree->write_rate = UINT64_MAX;
    tree->pressure.drain_bytes_per_s = TREE_DRAIN_BYTES_FIRST;
    tree->flush_task.run = tree_flush_run;
    tree->compact_task.run = tree_compact_run;
    tree->cleanup_task.run = tree_cleanup_run;
}

enum polarys_code tree_open(const struct tree_options *options, struct tree **out,
                            struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    struct tree *tree = NULL;
    *out = NULL;
    if (posix_memalign((void **)&tree, TREE_CACHE_LINE_SIZE, sizeof(*tree)) != 0) {
        manifest_close(options->manifest);
        return polarys_fail(err, POLARYS_NO_MEMORY, "open tree: no memory");
    }
    memset(tree, 0, sizeof(*tree));
    tree->options = *options;
    mutex_init(&tree->mutex, MUTEX_RANK_TREE);
    condition_init(&tree->changed);
    set_defaults(tree);
    tree->options.env.files = NULL;
    tree->dir = strdup(options->env.dir);
    if (tree->dir == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a path");
        goto fail;
    }
    tree->options.env.dir = tree->dir;
    code = table_files_create(tree->options.table_files_max, &tree->options.env.files, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = load_version(tree, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = tidy_dir(tree, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    mutex_lock(&tree->mutex);
    tree_pressure_update_locked(tree);
    tree_compact_schedule_locked(tree);
    mutex_unlock(&tree->mutex);
    *out = tree;
    return POLARYS_OK;

fail:
    tree_close(tree);
    return polarys_wrap(err, code, "open tree");
}

/* ---- closing ---- */

static void wait_for_tasks(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    __atomic_store_n(&tree->is_stopping, true, __ATOMIC_SEQ_CST);
    while (tree->flush_state != TREE_TASK_IDLE || tree->compact_state != TREE_TASK_IDLE ||
           tree->cleanup_state != TREE_TASK_IDLE) {
        (void)executor_wait(tree->options.executor, &tree->changed, &tree->mutex, 0);
    }
    mutex_unlock(&tree->mutex);
}

/* Puts the writer's view and the current version on the list of the dead. */
static void bury_all(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    struct tree_version *last[] = {tree->view, tree->current};
    tree->view = NULL;
    tree->current = NULL;
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        if (last[i] != NULL) {
            POLARYS_ASSERT(last[i]->refs == 1); /* or an iterator is left */
            last[i]->refs = 0;
            tree_version_bury_locked(tree, last[i]);
        }
    }
    mutex_unlock(&tree->mutex);
}

void tree_close(struct tree *tree)
{
    if (tree == NULL) {
        return;
    }
    wait_for_tasks(tree);
    bury_all(tree);
    tree_cleanup(tree);
    POLARYS_ASSERT(tree->retired == NULL && tree->dead == NULL);
    table_files_destroy(tree->options.env.files);
    manifest_close(tree->options.manifest);
    for (size_t level = 0; level < MANIFEST_LEVELS; level++) {
        buffer_deinit(&tree->cursors[level]);
    }
    condition_deinit(&tree->changed);
    mutex_deinit(&tree->mutex);
    free(tree->dir);
    free(tree);
}

enum polarys_code tree_manifest_append(struct tree *tree, const struct manifest_edit *edit,
                                       struct polarys_error *err)
{
    tree_install_begin(tree);
    enum polarys_code code = manifest_append(tree->options.manifest, edit, err);
    tree_install_end(tree);
    return code;
}
