/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files behind a vtable. The engine reaches the disk through this and through nothing else, so that tests
 * can run it on a simulated disk that crashes, tears, fails and fills up.
 *
 * Durability contract: bytes written are durable after `sync` of that file (or when the write returns, on
 * a VFS_DSYNC handle); a created, renamed, linked or removed name is durable after `sync_dir` of its
 * directory. Nothing else may be relied on after a crash.
 */
#ifndef ENGINE_VFS_VFS_H
#define ENGINE_VFS_VFS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum vfs_open_flags {
    VFS_READ = 1 << 0,
    VFS_WRITE = 1 << 1,
    VFS_CREATE = 1 << 2,    /* with VFS_WRITE: make the file if it is missing, mode 0600 */
    VFS_EXCLUSIVE = 1 << 3, /* with VFS_CREATE: fail if it exists */
    VFS_TRUNCATE = 1 << 4,
    VFS_DSYNC = 1 << 5, /* each write is durable when it returns */
    VFS_DIRECT =
        1 << 6, /* bypass the page cache where that works; 4 KiB alignment is then required */
};

enum {
    VFS_NAME_MAX = 128, /* bytes of a file name within a directory, with NUL */
    VFS_PATH_MAX = 4096,
    VFS_ALIGNMENT = 4096, /* of direct input and output, and of frames in the log */
};

struct vfs;
struct vfs_file;
struct vfs_lock;

struct vfs_vtable {
    enum polarys_code (*open)(struct vfs *vfs, const char *path, unsigned flags,
                              struct vfs_file **out, struct polarys_error *err);
    enum polarys_code (*remove)(struct vfs *vfs, const char *path, struct polarys_error *err);
    enum polarys_code (*rename)(struct vfs *vfs, const char *from, const char *to,
                                struct polarys_error *err);
    enum polarys_code (*link)(struct vfs *vfs, const char *from, const char *to,
                              struct polarys_error *err);
    enum polarys_code (*make_dir)(struct vfs *vfs, const char *path, struct polarys_error *err);
    enum polarys_code (*list_dir)(struct vfs *vfs, const char *path,
                                  void (*each)(void *context, const char *name), void *context,
                                  struct polarys_error *err);
    enum polarys_code (*sync_dir)(struct vfs *vfs, const char *path, struct polarys_error *err);
    enum polarys_code (*exists)(struct vfs *vfs, const char *path, bool *exists,
                                struct polarys_error *err);
    enum polarys_code (*free_bytes)(struct vfs *vfs, const char *path, uint64_t *free_bytes,
                                    struct polarys_error *err);
    enum polarys_code (*lock)(struct vfs *vfs, const char *path, struct vfs_lock **out,
                              struct polarys_error *err);
    void (*unlock)(struct vfs *vfs, struct vfs_lock *lock);

    enum polarys_code (*read_at)(struct vfs_file *file, uint64_t offset, void *bytes, size_t size,
                                 size_t *read_size, struct polarys_error *err);
    enum polarys_code (*write_at)(struct vfs_file *file, uint64_t offset, const void *bytes,
                                  size_t size, struct polarys_error *err);
    enum polarys_code (*sync)(struct vfs_file *file, struct polarys_error *err);
    enum polarys_code (*size)(struct vfs_file *file, uint64_t *size, struct polarys_error *err);
    enum polarys_code (*truncate)(struct vfs_file *file, uint64_t size, struct polarys_error *err);
    enum polarys_code (*close)(struct vfs_file *file, struct polarys_error *err);
};

struct vfs {
    const struct vfs_vtable *vtable;
};

/* First member of every implementation's file. */
struct vfs_file {
    const struct vfs_vtable *vtable;
};

/* The operating system's files. Static storage. */
struct vfs *vfs_posix(void);

/* *out is NULL on failure. Errors: FILE_NOT_FOUND, DISK_LOW, IO, NO_MEMORY. */
NODISCARD enum polarys_code vfs_open(struct vfs *vfs, const char *path, unsigned flags,
                                     struct vfs_file **out, struct polarys_error *err);
/* A file, or a directory that is empty. Errors: FILE_NOT_FOUND, IO. */
NODISCARD enum polarys_code vfs_remove(struct vfs *vfs, const char *path,
                                       struct polarys_error *err);
/* Replaces `to` atomically. */
NODISCARD enum polarys_code vfs_rename(struct vfs *vfs, const char *from, const char *to,
                                       struct polarys_error *err);
/* A second name for the same file; falls back to nothing: a file system without links gives IO. */
NODISCARD enum polarys_code vfs_link(struct vfs *vfs, const char *from, const char *to,
                                     struct polarys_error *err);
/* Mode 0700; one that exists is fine. Parents must exist. */
NODISCARD enum polarys_code vfs_make_dir(struct vfs *vfs, const char *path,
                                         struct polarys_error *err);
/* Calls `each` for every name but . and .., in no order. */
NODISCARD enum polarys_code vfs_list_dir(struct vfs *vfs, const char *path,
                                         void (*each)(void *context, const char *name),
                                         void *context, struct polarys_error *err);
NODISCARD enum polarys_code vfs_sync_dir(struct vfs *vfs, const char *path,
                                         struct polarys_error *err);
NODISCARD enum polarys_code vfs_exists(struct vfs *vfs, const char *path, bool *exists,
                                       struct polarys_error *err);
/* Bytes an unprivileged writer may still use on the file system of `path`. */
NODISCARD enum polarys_code vfs_free_bytes(struct vfs *vfs, const char *path, uint64_t *free_bytes,
                                           struct polarys_error *err);
/*
 * Takes an exclusive lock on `path` (made if missing) and writes the process id into it. The lock binds
 * within this process too and dies with it. Errors: STORE_LOCKED (detail "pid": the holder), IO.
 */
NODISCARD enum polarys_code vfs_lock_acquire(struct vfs *vfs, const char *path,
                                             struct vfs_lock **out, struct polarys_error *err);
/* Accepts NULL. */
void vfs_lock_release(struct vfs *vfs, struct vfs_lock *lock);

/* Reads up to `size` bytes; *read_size < size only at the end of the file. Short reads are continued. */
NODISCARD enum polarys_code vfs_read_at(struct vfs_file *file, uint64_t offset, void *bytes,
                                        size_t size, size_t *read_size, struct polarys_error *err);
/* As vfs_read_at, but a short read is CORRUPT ("ends at byte N"). */
NODISCARD enum polarys_code vfs_read_exact(struct vfs_file *file, uint64_t offset, void *bytes,
                                           size_t size, struct polarys_error *err);
/* Writes all of it (short writes are continued). Errors: DISK_LOW, IO. */
NODISCARD enum polarys_code vfs_write_at(struct vfs_file *file, uint64_t offset, const void *bytes,
                                         size_t size, struct polarys_error *err);
/* Makes all bytes written to the file so far durable (fdatasync). After a failure what is on disk is
 * unknown and stays so: never retry. */
NODISCARD enum polarys_code vfs_sync(struct vfs_file *file, struct polarys_error *err);
NODISCARD enum polarys_code vfs_file_size(struct vfs_file *file, uint64_t *size,
                                          struct polarys_error *err);
NODISCARD enum polarys_code vfs_truncate(struct vfs_file *file, uint64_t size,
                                         struct polarys_error *err);
/* Closes and frees the file, on failure too; accepts NULL. */
enum polarys_code vfs_close(struct vfs_file *file, struct polarys_error *err);

/* dir ‖ "/" ‖ name into `path` (VFS_PATH_MAX bytes). Errors: BAD_ARGUMENT when too long. */
NODISCARD enum polarys_code vfs_path_join(char *path, const char *dir, const char *name,
                                          struct polarys_error *err);

/* Reads a whole file of at most `size_max` bytes into `bytes` (appended). Errors: CORRUPT when larger. */
struct buffer;
NODISCARD enum polarys_code vfs_read_file(struct vfs *vfs, const char *path, size_t size_max,
                                          struct buffer *bytes, struct polarys_error *err);
/* Replaces `dir/name` atomically and durably: temporary name, sync, rename, sync of the directory. */
NODISCARD enum polarys_code vfs_replace_file(struct vfs *vfs, const char *dir, const char *name,
                                             struct polarys_slice bytes, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
