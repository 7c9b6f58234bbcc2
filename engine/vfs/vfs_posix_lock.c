/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns locks between processes, and between stores within one: a lock belongs to one open file
 * description, so a second open of the same path conflicts no matter whose it is. It ends with
 * the descriptor, hence with the process. The file itself stays: removing it would let two
 * holders lock two different files of one name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/vfs/vfs_posix.h"

enum {
    LOCK_TEXT_SIZE = 16,  /* the process id, padded: overwriting it never needs more disk space */
    LOCK_TRIES_MAX = 100, /* of a file that is removed each time between opening and locking it */
};

struct vfs_lock {
    int fd;
};

/* Takes the lock or says why not: 0, EWOULDBLOCK when it is held, or another errno. */
static int lock_try(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0) {
        return 0;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return EWOULDBLOCK;
    }
    /* File systems that do not know this kind of lock know the older one, which binds alike. */
    if (errno != EINVAL && errno != ENOTSUP && errno != ENOLCK) {
        return errno;
    }
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

/* Whether `path` still names the open file, so that others who open it meet this lock. */
static bool lock_is_current(int fd, const char *path)
{
    struct stat opened;
    struct stat named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

static int lock_write_pid(int fd)
{
    char text[LOCK_TEXT_SIZE + 1];
    int size = snprintf(text, sizeof(text), "%-15ld\n", (long)getpid());
    POLARYS_ASSERT(size == LOCK_TEXT_SIZE);
    int reason = posix_write_all(fd, 0, text, LOCK_TEXT_SIZE);
    return reason != 0 || ftruncate(fd, LOCK_TEXT_SIZE) == 0 ? reason : errno;
}

/* The error names the holder as far as the file tells; it may be just about to write its id. */
static enum polarys_code fail_locked(int fd, const char *path, struct polarys_error *err)
{
    char text[LOCK_TEXT_SIZE + 1] = "";
    size_t size = 0;
    long pid = 0;
    if (posix_read_all(fd, false, 0, text, LOCK_TEXT_SIZE, &size) == 0) {
        text[size] = '\0';
        pid = strtol(text, NULL, 10);
    }
    if (pid <= 0) {
        return polarys_fail(err, POLARYS_STORE_LOCKED, "lock %s: another process holds it", path);
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_STORE_LOCKED, "lock %s: process %ld holds it", path, pid);
    polarys_error_detail_set(err, "pid", "%ld", pid);
    return code;
}

/* One try: *fd is the locked file, or -1 when the file was replaced meanwhile. */
static enum polarys_code lock_open(const char *path, int *out, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    *out = -1;
    int fd = posix_open_fd(path, O_RDWR | O_CREAT);
    if (fd < 0) {
        return polarys_fail_errno(err, errno, "open lock file %s", path);
    }
    int reason = lock_try(fd);
    if (reason == EWOULDBLOCK) {
        code = fail_locked(fd, path, err);
        goto done;
    }
    if (reason == 0) {
        if (!lock_is_current(fd, path)) {
            goto done;
        }
        reason = lock_write_pid(fd);
    }
    if (reason != 0) {
        code = polarys_fail_errno(err, reason, "lock %s", path);
        goto done;
    }
    *out = fd;
    return POLARYS_OK;

done:
    (void)close(fd); /* nothing was written that matters */
    return code;
}

enum polarys_code posix_lock(struct vfs *vfs, const char *path, struct vfs_lock **out,
                             struct polarys_error *err)
{
    (void)vfs;
    struct vfs_lock *lock = malloc(sizeof(*lock));
    if (lock == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "lock %s: no memory", path);
    }
    int fd = -1;
    enum polarys_code code = POLARYS_OK;
    for (int i = 0; i < LOCK_TRIES_MAX && fd < 0 && code == POLARYS_OK; i++) {
        code = lock_open(path, &fd, err);
    }
    if (code == POLARYS_OK && fd < 0) {
        code = polarys_fail(err, POLARYS_IO, "lock %s: the file keeps being replaced", path);
    }
    if (code != POLARYS_OK) {
        free(lock);
        return code;
    }
    lock->fd = fd;
    *out = lock;
    return POLARYS_OK;
}

void posix_unlock(struct vfs *vfs, struct vfs_lock *lock)
{
    (void)vfs;
    /* The id stays in the file: it is shown only to those who meet a held lock. */
    (void)close(lock->fd);
    free(lock);
}
