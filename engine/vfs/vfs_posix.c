/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns names on the operating system's file systems: directories, renames, links, and the
 * vtable. It keeps no state; vfs_posix_file.c has the files, vfs_posix_lock.c the locks.
 */
#include "engine/vfs/vfs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static enum polarys_code posix_remove(struct vfs *vfs, const char *path, struct polarys_error *err)
{
    (void)vfs;
    if (unlink(path) == 0 || (errno == EISDIR && rmdir(path) == 0)) {
        return POLARYS_OK;
    }
    return polarys_fail_errno(err, errno, "remove %s", path);
}

static enum polarys_code posix_rename(struct vfs *vfs, const char *from, const char *to,
                                      struct polarys_error *err)
{
    (void)vfs;
    return rename(from, to) == 0 ? POLARYS_OK
                                 : polarys_fail_errno(err, errno, "rename %s to %s", from, to);
}

static enum polarys_code posix_link(struct vfs *vfs, const char *from, const char *to,
                                    struct polarys_error *err)
{
    (void)vfs;
    return link(from, to) == 0 ? POLARYS_OK
                               : polarys_fail_errno(err, errno, "link %s to %s", from, to);
}

static enum polarys_code posix_make_dir(struct vfs *vfs, const char *path,
                                        struct polarys_error *err)
{
    (void)vfs;
    if (mkdir(path, 0700) == 0) {
        return POLARYS_OK;
    }
    int reason = errno;
    struct stat status;
    bool is_there = reason == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    return is_there ? POLARYS_OK : polarys_fail_errno(err, reason, "make directory %s", path);
}

static enum polarys_code posix_list_dir(struct vfs *vfs, const char *path,
                                        void (*each)(void *context, const char *name),
                                        void *context, struct polarys_error *err)
{
    (void)vfs;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return polarys_fail_errno(err, errno, "list directory %s", path);
    }
    int reason;
    struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(dir);
        reason = entry == NULL ? errno : 0;
        if (entry != NULL && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(context, entry->d_name);
        }
    } while (entry != NULL);
    (void)closedir(dir); /* it was only read */
    return reason == 0 ? POLARYS_OK : polarys_fail_errno(err, reason, "list directory %s", path);
}

static enum polarys_code posix_sync_dir(struct vfs *vfs, const char *path,
                                        struct polarys_error *err)
{
    (void)vfs;
    int fd = posix_open_fd(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return polarys_fail_errno(err, errno, "open directory %s", path);
    }
    int reason = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd); /* it was only read; fsync has told of errors */
    return reason == 0 ? POLARYS_OK : polarys_fail_errno(err, reason, "sync directory %s", path);
}

static enum polarys_code posix_exists(struct vfs *vfs, const char *path, bool *exists,
                                      struct polarys_error *err)
{
    (void)vfs;
    struct stat status;
    *exists = stat(path, &status) == 0;
    if (*exists || errno == ENOENT || errno == ENOTDIR) {
        return POLARYS_OK;
    }
    return polarys_fail_errno(err, errno, "look for %s", path);
}

static enum polarys_code posix_free_bytes(struct vfs *vfs, const char *path, uint64_t *free_bytes,
                                          struct polarys_error *err)
{
    (void)vfs;
    struct statvfs status;
    int result;
    do {
        result = statvfs(path, &status);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return polarys_fail_errno(err, errno, "ask for the free space of %s", path);
    }
    *free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return POLARYS_OK;
}

static const struct vfs_vtable posix_vtable = {
    .open = posix_open,
    .remove = posix_remove,
    .rename = posix_rename,
    .link = posix_link,
    .make_dir = posix_make_dir,
    .list_dir = posix_list_dir,
    .sync_dir = posix_sync_dir,
    .exists = posix_exists,
    .free_bytes = posix_free_bytes,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .sync = posix_sync,
    .size = posix_size,
    .truncate = posix_truncate,
    .close = posix_close,
};

struct vfs *vfs_posix(void)
{
    static struct vfs posix = {&posix_vtable};
    return &posix;
}
