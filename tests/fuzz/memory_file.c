/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See memory_file.h. Calls that have no meaning for one read-only file are left out of the vtable: a
 * target that made one would crash, and be found wrong.
 */
#include "tests/fuzz/memory_file.h"

#include <stdlib.h>

struct memory_file {
    struct vfs_file base;
    struct polarys_slice contents;
};

static enum polarys_code memory_file_read_at(struct vfs_file *base, uint64_t offset, void *bytes,
                                             size_t size, size_t *read_size,
                                             struct polarys_error *err)
{
    const struct memory_file *file = (const struct memory_file *)base;
    (void)err;
    *read_size = 0;
    if (offset < file->contents.size) {
        uint64_t left = file->contents.size - offset;
        *read_size = size < left ? size : (size_t)left;
        memcpy(bytes, file->contents.data + offset, *read_size);
    }
    return POLARYS_OK;
}

static enum polarys_code memory_file_size(struct vfs_file *base, uint64_t *size,
                                          struct polarys_error *err)
{
    (void)err;
    *size = ((const struct memory_file *)base)->contents.size;
    return POLARYS_OK;
}

static enum polarys_code memory_file_close(struct vfs_file *base, struct polarys_error *err)
{
    (void)err;
    free(base);
    return POLARYS_OK;
}

static enum polarys_code memory_file_open(struct vfs *base, const char *path, unsigned flags,
                                          struct vfs_file **out, struct polarys_error *err)
{
    (void)path;
    if (flags != VFS_READ) {
        return polarys_fail(err, POLARYS_IO, "the file is read-only");
    }
    struct memory_file *file = malloc(sizeof(*file));
    if (file == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a file");
    }
    file->base.vtable = base->vtable;
    file->contents = ((const struct memory_file_vfs *)base)->contents;
    *out = &file->base;
    return POLARYS_OK;
}

void memory_file_init(struct memory_file_vfs *vfs, struct polarys_slice contents)
{
    static const struct vfs_vtable vtable = {.open = memory_file_open,
                                             .read_at = memory_file_read_at,
                                             .size = memory_file_size,
                                             .close = memory_file_close};
    vfs->base.vtable = &vtable;
    vfs->contents = contents;
}
