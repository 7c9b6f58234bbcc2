/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: the table files of one moment under second names, and a manifest of their own.
 *
 * Invariant: the manifest is made last, so a checkpoint that was not finished cannot be opened.
 */
#include "engine/compaction/tree_internal.h"

static void count_name(void *context, const char *name)
{
    (void)name;
    ++*(size_t *)context;
}

static enum polarys_code prepare_dir(struct tree *tree, const char *dir, struct polarys_error *err)
{
    struct vfs *vfs = tree->options.env.vfs;
    size_t count = 0;
    enum polarys_code code = vfs_make_dir(vfs, dir, err);
    if (code == POLARYS_OK) {
        code = vfs_list_dir(vfs, dir, count_name, &count, err);
    }
    if (code == POLARYS_OK && count > 0) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "the directory is not empty");
    }
    return code;
}

/* A second name for every file of the version. */
static enum polarys_code link_files(struct tree *tree, const struct tree_levels *levels,
                                    const char *dir, struct polarys_error *err)
{
    struct vfs *vfs = tree->options.env.vfs;
    char name[VFS_NAME_MAX];
    char from[VFS_PATH_MAX];
    char to[VFS_PATH_MAX];
    enum polarys_code code = POLARYS_OK;
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < levels->counts[level] && code == POLARYS_OK; i++) {
            table_file_name(name, levels->files[level][i]->meta.file_id);
            code = vfs_path_join(from, tree->dir, name, err);
            if (code == POLARYS_OK) {
                code = vfs_path_join(to, dir, name, err);
            }
            if (code == POLARYS_OK) {
                code = vfs_link(vfs, from, to, err);
            }
        }
    }
    return code == POLARYS_OK ? vfs_sync_dir(vfs, dir, err) : code;
}

/* The version and the manifest's state of the same moment. */
static enum polarys_code freeze(struct tree *tree, struct tree_version **version,
                                struct buffer *snapshot, uint64_t *flushed_version,
                                struct polarys_error *err)
{
    tree_install_begin(tree);
    enum polarys_code code = manifest_snapshot_encode(tree->options.manifest, snapshot, err);
    if (code == POLARYS_OK) {
        *version = tree_version_acquire(tree);
        *flushed_version = manifest_state_get(tree->options.manifest)->flushed_version;
    }
    tree_install_end(tree);
    return code;
}

enum polarys_code tree_checkpoint(struct tree *tree, const char *dir, uint64_t *version,
                                  struct polarys_error *err)
{
    struct tree_version *frozen = NULL;
    struct manifest *manifest = NULL;
    struct buffer snapshot = {0};
    struct manifest_options options = {
        .vfs = tree->options.env.vfs,
        .dir = dir,
        .keyring = tree->options.env.keyring,
        .random = tree->options.env.random,
    };
    enum polarys_code code = prepare_dir(tree, dir, err);
    if (code != POLARYS_OK) {
        goto done;
    }
    code = freeze(tree, &frozen, &snapshot, version, err);
    if (code != POLARYS_OK) {
        goto done;
    }
    code = link_files(tree, frozen->levels, dir, err);
    if (code != POLARYS_OK) {
        goto done;
    }
    code = manifest_create_from(&options, buffer_slice(&snapshot), &manifest, err);

done:
    manifest_close(manifest);
    if (frozen != NULL) {
        tree_version_release(tree, frozen);
    }
    buffer_deinit(&snapshot);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "checkpoint into %s", dir);
}
