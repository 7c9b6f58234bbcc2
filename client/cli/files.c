/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing, syncing, naming and removing files. Nothing is given its name before its bytes are on stable
 * storage.
 */
#include "client/cli/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/assert.h"

bool files_path_join(char *to, const char *dir, const char *name, const char *suffix)
{
    int size = snprintf(to, PATH_MAX, "%s/%s%s", dir, name, suffix);
    return size > 0 && size < PATH_MAX;
}

static enum cli_status path_too_long(struct cli *cli, const char *dir)
{
    return cli_fail(cli, "INVALID_ARGUMENT", "a path below %s is too long", dir);
}

enum cli_status files_sync_dir(struct cli *cli, const char *dir)
{
    int descriptor = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum cli_status status = CLI_DONE;
    if (descriptor < 0) {
        return cli_fail_errno(cli, dir);
    }
    if (fsync(descriptor) != 0) {
        status = cli_fail_errno(cli, dir);
    }
    (void)close(descriptor);
    return status;
}

enum cli_status files_rename(struct cli *cli, const char *from, const char *to, const char *dir)
{
    return rename(from, to) == 0 ? files_sync_dir(cli, dir) : cli_fail_errno(cli, to);
}

enum cli_status files_keep(struct cli *cli, FILE *file, const char *partial, const char *dir,
                           const char *path)
{
    bool is_safe = fflush(file) == 0 && ferror(file) == 0 && fsync(fileno(file)) == 0;
    is_safe = fclose(file) == 0 && is_safe;
    if (!is_safe) {
        enum cli_status status = cli_fail_errno(cli, partial);
        (void)unlink(partial);
        return status;
    }
    return files_rename(cli, partial, path, dir);
}

enum cli_status files_make_dir(struct cli *cli, const char *dir)
{
    return mkdir(dir, 0700) == 0 || errno == EEXIST ? CLI_DONE : cli_fail_errno(cli, dir);
}

enum cli_status files_make_parents(struct cli *cli, const char *root, const char *name)
{
    char path[PATH_MAX];
    if (!files_path_join(path, root, name, "")) {
        return path_too_long(cli, root);
    }
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        enum cli_status status = files_make_dir(cli, path);
        *slash = '/';
        if (status != CLI_DONE) {
            return status;
        }
    }
    return CLI_DONE;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool files_dir_is_empty(const char *dir)
{
    DIR *opened = opendir(dir);
    const struct dirent *entry;
    bool is_empty = true;
    if (opened == NULL) {
        return errno == ENOENT;
    }
    while (is_empty && (entry = readdir(opened)) != NULL) {
        is_empty = is_dot(entry->d_name);
    }
    (void)closedir(opened);
    return is_empty;
}

/* Calls `each` with every directory right below. */
static enum cli_status dirs_each(struct cli *cli, const char *dir,
                                 enum cli_status (*each)(struct cli *cli, const char *path))
{
    char path[PATH_MAX];
    struct stat status;
    DIR *opened = opendir(dir);
    const struct dirent *entry;
    enum cli_status result = CLI_DONE;
    if (opened == NULL) {
        return cli_fail_errno(cli, dir);
    }
    while (result == CLI_DONE && (entry = readdir(opened)) != NULL) {
        if (is_dot(entry->d_name)) {
            continue;
        }
        if (!files_path_join(path, dir, entry->d_name, "")) {
            result = path_too_long(cli, dir);
        } else if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
            result = each(cli, path);
        }
    }
    (void)closedir(opened);
    return result;
}

enum cli_status files_sync_tree(struct cli *cli, const char *dir)
{
    enum cli_status status = dirs_each(cli, dir, files_sync_dir);
    return status == CLI_DONE ? files_sync_dir(cli, dir) : status;
}

static enum cli_status tree_remove(struct cli *cli, const char *dir, int depth)
{
    char path[PATH_MAX];
    struct stat info;
    const struct dirent *entry;
    enum cli_status status = CLI_DONE;
    DIR *opened = opendir(dir);
    if (opened == NULL) {
        return errno == ENOENT ? CLI_DONE : cli_fail_errno(cli, dir);
    }
    while (status == CLI_DONE && (entry = readdir(opened)) != NULL) {
        if (is_dot(entry->d_name)) {
            continue;
        }
        if (depth > FILES_DEPTH_MAX || !files_path_join(path, dir, entry->d_name, "")) {
            status = path_too_long(cli, dir);
        } else if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
            status = tree_remove(cli, path, depth + 1);
        } else if (unlink(path) != 0) {
            status = cli_fail_errno(cli, path);
        }
    }
    (void)closedir(opened);
    if (status == CLI_DONE && rmdir(dir) != 0) {
        status = cli_fail_errno(cli, dir);
    }
    return status;
}

enum cli_status files_remove_tree(struct cli *cli, const char *dir)
{
    return tree_remove(cli, dir, 0);
}

enum cli_status files_lock(struct cli *cli, const char *dir, const char *doing, int *lock)
{
    char path[PATH_MAX];
    *lock = -1;
    if (!files_path_join(path, dir, FILES_LOCK_NAME, "")) {
        return path_too_long(cli, dir);
    }
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        return cli_fail_errno(cli, path);
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        enum cli_status status = errno == EWOULDBLOCK
                                     ? cli_fail(cli, "FAILED_PRECONDITION/STORE_LOCKED",
                                                "another process %s %s", doing, dir)
                                     : cli_fail_errno(cli, path);
        (void)close(descriptor);
        return status;
    }
    *lock = descriptor;
    return CLI_DONE;
}

bool files_write(int descriptor, const void *bytes, size_t size, uint64_t offset)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        ssize_t done = pwrite(descriptor, from, size, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        if (done > 0) {
            from += done;
            offset += (uint64_t)done;
            size -= (size_t)done;
        }
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Reads the file through; what is read goes into the digest and, unless `to` is -1, into the copy. */
static enum cli_status bytes_pass(struct cli *cli, int from, const char *path, int to,
                                  struct digest *digest, uint64_t *size)
{
    uint8_t *chunk = malloc(FILES_CHUNK_BYTES);
    enum cli_status status = CLI_DONE;
    ssize_t got = 1;
    *size = 0;
    if (chunk == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory to read %s", path);
    }
    while (status == CLI_DONE && got != 0) {
        got = pread(from, chunk, FILES_CHUNK_BYTES, (off_t)*size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            status = cli_fail_errno(cli, path);
            break;
        }
        digest_add(digest, chunk, (size_t)got);
        if (to >= 0 && !is_zero(chunk, (size_t)got) &&
            !files_write(to, chunk, (size_t)got, *size)) {
            status = cli_fail_errno(cli, path);
        }
        *size += (uint64_t)got;
    }
    free(chunk);
    return status;
}

enum cli_status files_digest(struct cli *cli, int descriptor, const char *path,
                             struct digest *digest, uint64_t *size)
{
    return bytes_pass(cli, descriptor, path, -1, digest, size);
}

enum cli_status files_copy(struct cli *cli, const char *from, const char *to,
                           uint8_t sum[DIGEST_SIZE], uint64_t *size)
{
    struct digest digest = {0};
    enum cli_status status = CLI_DONE;
    int source = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (source < 0) {
        return cli_fail_errno(cli, from);
    }
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (target < 0) {
        status = cli_fail_errno(cli, to);
        (void)close(source);
        return status;
    }
    digest_begin(&digest);
    status = bytes_pass(cli, source, from, target, &digest, size);
    if (status == CLI_DONE && (ftruncate(target, (off_t)*size) != 0 || fsync(target) != 0)) {
        status = cli_fail_errno(cli, to);
    }
    if (status == CLI_DONE && !digest_end(&digest, sum)) {
        status = cli_fail(cli, "INTERNAL", "SHA-256 failed");
    }
    digest_deinit(&digest);
    (void)close(source);
    if (close(target) != 0 && status == CLI_DONE) {
        status = cli_fail_errno(cli, to);
    }
    return status;
}
