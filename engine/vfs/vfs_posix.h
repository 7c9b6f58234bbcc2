/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the POSIX implementation share. For engine/vfs/vfs_posix*.c only.
 */
#ifndef ENGINE_VFS_VFS_POSIX_H
#define ENGINE_VFS_VFS_POSIX_H

#include "engine/vfs/vfs.h"

/* All of these are members of struct vfs_vtable; their contracts are there. */
enum polarys_code posix_open(struct vfs *vfs, const char *path, unsigned flags,
                             struct vfs_file **out, struct polarys_error *err);
enum polarys_code posix_read_at(struct vfs_file *file, uint64_t offset, void *bytes, size_t size,
                                size_t *read_size, struct polarys_error *err);
enum polarys_code posix_write_at(struct vfs_file *file, uint64_t offset, const void *bytes,
                                 size_t size, struct polarys_error *err);
enum polarys_code posix_sync(struct vfs_file *file, struct polarys_error *err);
enum polarys_code posix_size(struct vfs_file *file, uint64_t *size, struct polarys_error *err);
enum polarys_code posix_truncate(struct vfs_file *file, uint64_t size, struct polarys_error *err);
enum polarys_code posix_close(struct vfs_file *file, struct polarys_error *err);
enum polarys_code posix_lock(struct vfs *vfs, const char *path, struct vfs_lock **out,
                             struct polarys_error *err);
void posix_unlock(struct vfs *vfs, struct vfs_lock *lock);

/* open(2) until it is not interrupted; -1 with errno set on failure. */
int posix_open_fd(const char *path, int flags);

/* Writes all of it, continuing short writes. Returns 0 or an errno. */
int posix_write_all(int fd, uint64_t offset, const void *bytes, size_t size);

/* Reads until `size` bytes or the end of the file. Returns 0 or an errno. */
int posix_read_all(int fd, bool is_direct, uint64_t offset, void *bytes, size_t size,
                   size_t *read_size);

#endif
