/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns open files of the operating system: a descriptor and the path for messages. Interrupted
 * calls are repeated and short reads and writes continued, so callers see whole transfers only.
 * A failed sync is never repeated: the kernel may have dropped the pages that it could not
 * write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/vfs/vfs_posix.h"

struct posix_file {
    struct vfs_file base;
    int fd;
    bool is_direct; /* input and output have to be aligned */
    char path[];
};

static struct posix_file *posix_file_of(struct vfs_file *file)
{
    return (struct posix_file *)file;
}

int posix_open_fd(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int open_flags(unsigned flags)
{
    int result = (flags & VFS_WRITE) == 0 ? O_RDONLY : (flags & VFS_READ) == 0 ? O_WRONLY : O_RDWR;
    result |= (flags & VFS_CREATE) != 0 ? O_CREAT : 0;
    result |= (flags & VFS_EXCLUSIVE) != 0 ? O_EXCL : 0;
    result |= (flags & VFS_TRUNCATE) != 0 ? O_TRUNC : 0;
    result |= (flags & VFS_DSYNC) != 0 ? O_DSYNC : 0;
    return result;
}

/* Set after opening: a file system that refuses O_DIRECT may do so with the new file already
 * made, and a second try would then find it there. False when the page cache stays in between. */
static bool direct_enable(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
}

enum polarys_code posix_open(struct vfs *vfs, const char *path, unsigned flags,
                             struct vfs_file **out, struct polarys_error *err)
{
    size_t path_size = strlen(path) + 1;
    struct posix_file *file = malloc(sizeof(*file) + path_size);
    if (file == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "open %s: no memory", path);
    }
    file->base.vtable = vfs->vtable;
    memcpy(file->path, path, path_size);
    file->fd = posix_open_fd(path, open_flags(flags));
    if (file->fd < 0) {
        int reason = errno;
        free(file);
        return polarys_fail_errno(err, reason, "open %s", path);
    }
    file->is_direct = (flags & VFS_DIRECT) != 0 && direct_enable(file->fd);
    *out = &file->base;
    return POLARYS_OK;
}

/* Bytes to ask for at `offset`: none past the last offset that a file can have. */
static size_t readable_size(uint64_t offset, size_t size)
{
    uint64_t left = offset < INT64_MAX ? INT64_MAX - offset : 0;
    return size < left ? size : (size_t)left;
}

int posix_read_all(int fd, bool is_direct, uint64_t offset, void *bytes, size_t size,
                   size_t *read_size)
{
    *read_size = 0;
    /* An offset that no file has lies past the end of this one; it may come from damaged data. */
    size = readable_size(offset, size);
    while (*read_size < size) {
        ssize_t got = pread(fd, (uint8_t *)bytes + *read_size, size - *read_size,
                            (off_t)(offset + *read_size));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno;
        }
        *read_size += (size_t)got;
        /* A direct read that ends within a block has met the end of the file, and could not go
         * on. */
        if (got == 0 || (is_direct && got % VFS_ALIGNMENT != 0)) {
            break;
        }
    }
    return 0;
}

int posix_write_all(int fd, uint64_t offset, const void *bytes, size_t size)
{
    if (offset > INT64_MAX || size > INT64_MAX - offset) {
        return EFBIG;
    }
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t put = pwrite(fd, at, size, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? errno : EIO; /* no progress and no reason: not to be tried for ever */
        }
        at += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return 0;
}

static bool is_aligned(const struct posix_file *file, uint64_t offset, const void *bytes,
                       size_t size)
{
    return !file->is_direct || ((offset | (uintptr_t)bytes | size) & (VFS_ALIGNMENT - 1)) == 0;
}

enum polarys_code posix_read_at(struct vfs_file *file, uint64_t offset, void *bytes, size_t size,
                                size_t *read_size, struct polarys_error *err)
{
    struct posix_file *posix = posix_file_of(file);
    POLARYS_ASSERT(is_aligned(posix, offset, bytes, size));
    int reason = posix_read_all(posix->fd, posix->is_direct, offset, bytes, size, read_size);
    if (reason != 0) {
        return polarys_fail_errno(err, reason, "read %s: %zu bytes at byte %llu", posix->path, size,
                                  (unsigned long long)offset);
    }
    return POLARYS_OK;
}

enum polarys_code posix_write_at(struct vfs_file *file, uint64_t offset, const void *bytes,
                                 size_t size, struct polarys_error *err)
{
    struct posix_file *posix = posix_file_of(file);
    POLARYS_ASSERT(is_aligned(posix, offset, bytes, size));
    int reason = posix_write_all(posix->fd, offset, bytes, size);
    if (reason != 0) {
        return polarys_fail_errno(err, reason, "write %s: %zu bytes at byte %llu", posix->path,
                                  size, (unsigned long long)offset);
    }
    return POLARYS_OK;
}

enum polarys_code posix_sync(struct vfs_file *file, struct polarys_error *err)
{
    struct posix_file *posix = posix_file_of(file);
    return fdatasync(posix->fd) == 0 ? POLARYS_OK
                                     : polarys_fail_errno(err, errno, "sync %s", posix->path);
}

enum polarys_code posix_size(struct vfs_file *file, uint64_t *size, struct polarys_error *err)
{
    struct posix_file *posix = posix_file_of(file);
    struct stat status;
    if (fstat(posix->fd, &status) != 0) {
        return polarys_fail_errno(err, errno, "ask for the size of %s", posix->path);
    }
    POLARYS_ASSERT(status.st_size >= 0);
    *size = (uint64_t)status.st_size;
    return POLARYS_OK;
}

enum polarys_code posix_truncate(struct vfs_file *file, uint64_t size, struct polarys_error *err)
{
    struct posix_file *posix = posix_file_of(file);
    int reason = size > INT64_MAX ? EFBIG : 0;
    if (reason == 0) {
        int result;
        do {
            result = ftruncate(posix->fd, (off_t)size);
        } while (result != 0 && errno == EINTR);
        reason = result == 0 ? 0 : errno;
    }
    return reason == 0 ? POLARYS_OK
                       : polarys_fail_errno(err, reason, "cut %s to %llu bytes", posix->path,
                                            (unsigned long long)size);
}

enum polarys_code posix_close(struct vfs_file *file, struct polarys_error *err)
{
    struct posix_file *posix = posix_file_of(file);
    /* Linux has released the descriptor even when close is interrupted; trying again could close
     * another thread's. */
    int reason = close(posix->fd) == 0 || errno == EINTR ? 0 : errno;
    enum polarys_code code =
        reason == 0 ? POLARYS_OK : polarys_fail_errno(err, reason, "close %s", posix->path);
    free(posix);
    return code;
}
