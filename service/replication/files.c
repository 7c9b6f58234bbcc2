/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries files about. The invariant: a name that replaces another is durable with its contents before
 * the function returns, so the steps of an installation can be told apart after a crash.
 */
#include "service/replication/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/server/check.h"

enum { NAMES_MAX = 1 << 20 };

enum polarys_code files_join(char *path, const char *dir, const char *name,
                             struct polarys_error *err)
{
    int size = snprintf(path, FILES_PATH_MAX, "%s/%s", dir, name);
    return size > 0 && size < FILES_PATH_MAX
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_BAD_ARGUMENT, "a path in %.100s is too long", dir);
}

enum polarys_code files_exists(const char *path, bool *exists, struct polarys_error *err)
{
    struct stat status;
    *exists = lstat(path, &status) == 0;
    return *exists || errno == ENOENT ? POLARYS_OK
                                      : polarys_fail_errno(err, errno, "look at %s", path);
}

enum polarys_code files_sync_dir(const char *dir, struct polarys_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return polarys_fail_errno(err, errno, "open directory %s", dir);
    }
    int error = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return error == 0 ? POLARYS_OK : polarys_fail_errno(err, error, "sync directory %s", dir);
}

enum polarys_code files_make_dir(const char *dir, struct polarys_error *err)
{
    return mkdir(dir, 0700) == 0 || errno == EEXIST
               ? POLARYS_OK
               : polarys_fail_errno(err, errno, "make directory %s", dir);
}

enum polarys_code files_make_parents(const char *dir, const char *path, struct polarys_error *err)
{
    char whole[FILES_PATH_MAX];
    enum polarys_code code = files_join(whole, dir, path, err);
    if (code != POLARYS_OK) {
        return code;
    }
    for (char *at = strchr(whole + strlen(dir) + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        code = files_make_dir(whole, err);
        *at = '/';
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

/* ---- lists of names ---- */

struct names {
    char **list;
    size_t count;
};

static void names_deinit(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->list[i]);
    }
    free(names->list);
}

static bool names_add(struct names *names, const char *name)
{
    if ((names->count & (names->count - 1)) == 0) {
        size_t room = names->count == 0 ? 1 : names->count * 2;
        char **list = room > NAMES_MAX ? NULL : realloc(names->list, room * sizeof(*list));
        if (list == NULL) {
            return false;
        }
        names->list = list;
    }
    names->list[names->count] = strdup(name);
    return names->list[names->count] != NULL && ++names->count > 0;
}

static enum polarys_code names_read(const char *dir, struct names *names, struct polarys_error *err)
{
    DIR *directory = opendir(dir);
    if (directory == NULL) {
        return polarys_fail_errno(err, errno, "read directory %s", dir);
    }
    bool is_whole = true;
    for (struct dirent *entry = readdir(directory); entry != NULL && is_whole;
         entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            is_whole = names_add(names, entry->d_name);
        }
    }
    (void)closedir(directory);
    return is_whole ? POLARYS_OK
                    : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the names in %s", dir);
}

enum polarys_code files_list(const char *dir,
                             enum polarys_code (*each)(void *context, const char *name,
                                                       struct polarys_error *err),
                             void *context, struct polarys_error *err)
{
    struct names names = {0};
    enum polarys_code code = names_read(dir, &names, err);
    for (size_t i = 0; i < names.count && code == POLARYS_OK; i++) {
        code = each(context, names.list[i], err);
    }
    names_deinit(&names);
    return code;
}

/* ---- whole trees ---- */

struct tree_walk {
    const char *dir;
    unsigned depth;
};

static enum polarys_code tree_sync(const char *dir, unsigned depth, struct polarys_error *err);

static enum polarys_code tree_sync_each(void *context, const char *name, struct polarys_error *err)
{
    const struct tree_walk *walk = context;
    char path[FILES_PATH_MAX];
    struct stat status;
    enum polarys_code code = files_join(path, walk->dir, name, err);
    if (code == POLARYS_OK && lstat(path, &status) != 0) {
        code = polarys_fail_errno(err, errno, "look at %s", path);
    }
    return code == POLARYS_OK && S_ISDIR(status.st_mode) ? tree_sync(path, walk->depth + 1, err)
                                                         : code;
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than FILES_DEPTH_MAX */
static enum polarys_code tree_sync(const char *dir, unsigned depth, struct polarys_error *err)
{
    struct tree_walk walk = {dir, depth};
    if (depth > FILES_DEPTH_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: too many directories deep", dir);
    }
    enum polarys_code code = files_list(dir, tree_sync_each, &walk, err);
    return code == POLARYS_OK ? files_sync_dir(dir, err) : code;
}

enum polarys_code files_sync_tree(const char *dir, struct polarys_error *err)
{
    return tree_sync(dir, 0, err);
}

static enum polarys_code tree_remove(const char *path, unsigned depth, struct polarys_error *err);

static enum polarys_code tree_remove_each(void *context, const char *name,
                                          struct polarys_error *err)
{
    const struct tree_walk *walk = context;
    char path[FILES_PATH_MAX];
    enum polarys_code code = files_join(path, walk->dir, name, err);
    return code == POLARYS_OK ? tree_remove(path, walk->depth + 1, err) : code;
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than FILES_DEPTH_MAX */
static enum polarys_code tree_remove(const char *path, unsigned depth, struct polarys_error *err)
{
    struct tree_walk walk = {path, depth};
    if (depth > FILES_DEPTH_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: too many directories deep", path);
    }
    if (unlink(path) == 0 || errno == ENOENT) {
        return POLARYS_OK;
    }
    if (errno != EISDIR && errno != EPERM) {
        return polarys_fail_errno(err, errno, "remove %s", path);
    }
    enum polarys_code code = files_list(path, tree_remove_each, &walk, err);
    if (code == POLARYS_OK && rmdir(path) != 0) {
        code = polarys_fail_errno(err, errno, "remove directory %s", path);
    }
    return code;
}

enum polarys_code files_remove_tree(const char *path, struct polarys_error *err)
{
    return tree_remove(path, 0, err);
}

/* ---- one file ---- */

static enum polarys_code bytes_write(const char *path, struct polarys_slice bytes,
                                     struct polarys_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return polarys_fail_errno(err, errno, "make %s", path);
    }
    int error = 0;
    size_t at = 0;
    while (at < bytes.size && error == 0) {
        ssize_t written = write(fd, bytes.data + at, bytes.size - at);
        if (written >= 0) {
            at += (size_t)written;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    if (error == 0 && fsync(fd) != 0) {
        error = errno;
    }
    if (close(fd) != 0 && error == 0) {
        error = errno;
    }
    return error == 0 ? POLARYS_OK : polarys_fail_errno(err, error, "write %s", path);
}

enum polarys_code files_replace(const char *dir, const char *name, struct polarys_slice bytes,
                                struct polarys_error *err)
{
    char path[FILES_PATH_MAX];
    char made[FILES_PATH_MAX];
    char made_name[FILES_NAME_MAX + 1];
    int size = snprintf(made_name, sizeof(made_name), "%s.tmp", name);
    SERVICE_ASSERT(size > 0 && (size_t)size < sizeof(made_name));
    enum polarys_code code = files_join(path, dir, name, err);
    if (code == POLARYS_OK) {
        code = files_join(made, dir, made_name, err);
    }
    if (code == POLARYS_OK) {
        code = bytes_write(made, bytes, err);
    }
    if (code == POLARYS_OK && rename(made, path) != 0) {
        code = polarys_fail_errno(err, errno, "rename %s", made);
    }
    return code == POLARYS_OK ? files_sync_dir(dir, err) : code;
}

static enum polarys_code file_read(FILE *file, const char *path, char **bytes, size_t *size,
                                   struct polarys_error *err)
{
    struct stat status;
    if (fstat(fileno(file), &status) != 0) {
        return polarys_fail_errno(err, errno, "look at %s", path);
    }
    if (status.st_size > FILES_READ_BYTES_MAX) {
        return polarys_fail(err, POLARYS_CORRUPT, "%s is too long", path);
    }
    *bytes = malloc((size_t)status.st_size + 1);
    if (*bytes == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to read %s", path);
    }
    *size = fread(*bytes, 1, (size_t)status.st_size, file);
    (*bytes)[*size] = '\0';
    return ferror(file) == 0 ? POLARYS_OK : polarys_fail(err, POLARYS_IO, "read %s", path);
}

enum polarys_code files_read(const char *path, char **bytes, size_t *size,
                             struct polarys_error *err)
{
    *bytes = NULL;
    *size = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return polarys_fail_errno(err, errno, "open %s", path);
    }
    enum polarys_code code = file_read(file, path, bytes, size, err);
    (void)fclose(file);
    if (code != POLARYS_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return code;
}
