/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the calls through the vtable, with the checks that hold for every implementation, and
 * what is built from them: exact reads, whole files, atomic replacement. Implementations name
 * the path in their messages.
 */
#include "engine/vfs/vfs.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/buffer.h"

enum polarys_code vfs_open(struct vfs *vfs, const char *path, unsigned flags, struct vfs_file **out,
                           struct polarys_error *err)
{
    POLARYS_ASSERT((flags & (VFS_READ | VFS_WRITE)) != 0);
    POLARYS_ASSERT((flags & VFS_WRITE) != 0 || (flags & (VFS_CREATE | VFS_TRUNCATE)) == 0);
    POLARYS_ASSERT((flags & VFS_CREATE) != 0 || (flags & VFS_EXCLUSIVE) == 0);
    *out = NULL;
    enum polarys_code code = vfs->vtable->open(vfs, path, flags, out, err);
    POLARYS_ASSERT((code == POLARYS_OK) == (*out != NULL));
    return code;
}

enum polarys_code vfs_remove(struct vfs *vfs, const char *path, struct polarys_error *err)
{
    return vfs->vtable->remove(vfs, path, err);
}

enum polarys_code vfs_rename(struct vfs *vfs, const char *from, const char *to,
                             struct polarys_error *err)
{
    return vfs->vtable->rename(vfs, from, to, err);
}

enum polarys_code vfs_link(struct vfs *vfs, const char *from, const char *to,
                           struct polarys_error *err)
{
    return vfs->vtable->link(vfs, from, to, err);
}

enum polarys_code vfs_make_dir(struct vfs *vfs, const char *path, struct polarys_error *err)
{
    return vfs->vtable->make_dir(vfs, path, err);
}

enum polarys_code vfs_list_dir(struct vfs *vfs, const char *path,
                               void (*each)(void *context, const char *name), void *context,
                               struct polarys_error *err)
{
    return vfs->vtable->list_dir(vfs, path, each, context, err);
}

enum polarys_code vfs_sync_dir(struct vfs *vfs, const char *path, struct polarys_error *err)
{
    return vfs->vtable->sync_dir(vfs, path, err);
}

enum polarys_code vfs_exists(struct vfs *vfs, const char *path, bool *exists,
                             struct polarys_error *err)
{
    *exists = false;
    return vfs->vtable->exists(vfs, path, exists, err);
}

enum polarys_code vfs_free_bytes(struct vfs *vfs, const char *path, uint64_t *free_bytes,
                                 struct polarys_error *err)
{
    *free_bytes = 0;
    return vfs->vtable->free_bytes(vfs, path, free_bytes, err);
}

enum polarys_code vfs_lock_acquire(struct vfs *vfs, const char *path, struct vfs_lock **out,
                                   struct polarys_error *err)
{
    *out = NULL;
    enum polarys_code code = vfs->vtable->lock(vfs, path, out, err);
    POLARYS_ASSERT((code == POLARYS_OK) == (*out != NULL));
    return code;
}

void vfs_lock_release(struct vfs *vfs, struct vfs_lock *lock)
{
    if (lock != NULL) {
        vfs->vtable->unlock(vfs, lock);
    }
}

enum polarys_code vfs_read_at(struct vfs_file *file, uint64_t offset, void *bytes, size_t size,
                              size_t *read_size, struct polarys_error *err)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    *read_size = 0;
    enum polarys_code code = file->vtable->read_at(file, offset, bytes, size, read_size, err);
    POLARYS_ASSERT(*read_size <= size);
    return code;
}

enum polarys_code vfs_read_exact(struct vfs_file *file, uint64_t offset, void *bytes, size_t size,
                                 struct polarys_error *err)
{
    size_t read_size;
    enum polarys_code code = vfs_read_at(file, offset, bytes, size, &read_size, err);
    if (code == POLARYS_OK && read_size < size) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "read %zu bytes at byte %llu: the file ends at byte %llu", size,
                            (unsigned long long)offset, (unsigned long long)(offset + read_size));
    }
    return code;
}

enum polarys_code vfs_write_at(struct vfs_file *file, uint64_t offset, const void *bytes,
                               size_t size, struct polarys_error *err)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    return file->vtable->write_at(file, offset, bytes, size, err);
}

enum polarys_code vfs_sync(struct vfs_file *file, struct polarys_error *err)
{
    return file->vtable->sync(file, err);
}

enum polarys_code vfs_file_size(struct vfs_file *file, uint64_t *size, struct polarys_error *err)
{
    *size = 0;
    return file->vtable->size(file, size, err);
}

enum polarys_code vfs_truncate(struct vfs_file *file, uint64_t size, struct polarys_error *err)
{
    return file->vtable->truncate(file, size, err);
}

enum polarys_code vfs_close(struct vfs_file *file, struct polarys_error *err)
{
    return file == NULL ? POLARYS_OK : file->vtable->close(file, err);
}

enum polarys_code vfs_path_join(char *path, const char *dir, const char *name,
                                struct polarys_error *err)
{
    int size = snprintf(path, VFS_PATH_MAX, "%s/%s", dir, name);
    if (size < 0 || size >= VFS_PATH_MAX) {
        path[0] = '\0';
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "the path of %.64s in %.128s... is longer than %d bytes", name, dir,
                            VFS_PATH_MAX - 1);
    }
    return POLARYS_OK;
}

static enum polarys_code file_read_whole(struct vfs_file *file, size_t size_max,
                                         struct buffer *bytes, struct polarys_error *err)
{
    uint64_t size;
    enum polarys_code code = vfs_file_size(file, &size, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (size > size_max) {
        return polarys_fail(err, POLARYS_CORRUPT, "%llu bytes long where at most %zu are expected",
                            (unsigned long long)size, size_max);
    }
    code = buffer_reserve(bytes, (size_t)size);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for %llu bytes", (unsigned long long)size);
    }
    if (size > 0) {
        code = vfs_read_exact(file, 0, bytes->data + bytes->size, (size_t)size, err);
        bytes->size += code == POLARYS_OK ? (size_t)size : 0;
    }
    return code;
}

enum polarys_code vfs_read_file(struct vfs *vfs, const char *path, size_t size_max,
                                struct buffer *bytes, struct polarys_error *err)
{
    struct vfs_file *file;
    enum polarys_code code = vfs_open(vfs, path, VFS_READ, &file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = file_read_whole(file, size_max, bytes, err);
    if (code != POLARYS_OK) {
        (void)vfs_close(file, NULL); /* the first failure is the one to report */
        return polarys_wrap(err, code, "read %s", path);
    }
    return vfs_close(file, err);
}

/* A new file at `path` that holds `bytes` durably; its name is not durable yet. */
static enum polarys_code file_write_whole(struct vfs *vfs, const char *path,
                                          struct polarys_slice bytes, struct polarys_error *err)
{
    struct vfs_file *file;
    enum polarys_code code = vfs_open(vfs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, &file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_write_at(file, 0, bytes.data, bytes.size, err);
    if (code == POLARYS_OK) {
        code = vfs_sync(file, err);
    }
    if (code != POLARYS_OK) {
        (void)vfs_close(file, NULL); /* the first failure is the one to report */
        return code;
    }
    return vfs_close(file, err);
}

enum polarys_code vfs_replace_file(struct vfs *vfs, const char *dir, const char *name,
                                   struct polarys_slice bytes, struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    char temporary[VFS_PATH_MAX];
    char temporary_name[VFS_NAME_MAX];
    int size = snprintf(temporary_name, sizeof(temporary_name), "%s.tmp", name);
    if (size < 0 || (size_t)size >= sizeof(temporary_name)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the file name %.64s... is too long", name);
    }
    enum polarys_code code = vfs_path_join(path, dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_path_join(temporary, dir, temporary_name, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = file_write_whole(vfs, temporary, bytes, err);
    if (code == POLARYS_OK) {
        code = vfs_rename(vfs, temporary, path, err);
    }
    if (code != POLARYS_OK) {
        /* What cannot be removed now is overwritten by the next replacement. */
        enum polarys_code removed = vfs_remove(vfs, temporary, NULL);
        (void)removed;
        return polarys_wrap(err, code, "replace %s", path);
    }
    code = vfs_sync_dir(vfs, dir, err);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "replace %s", path);
}
