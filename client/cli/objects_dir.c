/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects as files of a directory: written under another name, synced, renamed, the directory synced.
 *
 * Invariant: one process writes to a place at a time, so the name under which a file is made is always the same and
 * what a killed process left there is overwritten.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/objects_internal.h"

enum { COPY_BYTES = 1 << 20, DEPTH_MAX = 8 };

#define PUTTING_NAME ".putting" /* begins with a dot: no object has it */

struct objects_dir {
    struct objects base;
    char dir[OBJECTS_LOCATION_MAX];
};

static enum polarys_code path_make(const struct objects_dir *place, const char *name, char *path,
                                   struct polarys_error *err)
{
    int size = snprintf(path, PATH_MAX, "%s/%s", place->dir, name);
    return size > 0 && size < PATH_MAX
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_BAD_ARGUMENT, "a path below %.200s is too long",
                              place->dir);
}

static enum polarys_code dir_sync(const char *dir, struct polarys_error *err)
{
    int descriptor = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return polarys_fail_errno(err, errno, "open %s", dir);
    }
    enum polarys_code code =
        fsync(descriptor) == 0 ? POLARYS_OK : polarys_fail_errno(err, errno, "sync %s", dir);
    (void)close(descriptor);
    return code;
}

/* Makes a directory, durably. */
static enum polarys_code dir_make(const char *dir, struct polarys_error *err)
{
    char parent[PATH_MAX];
    if (mkdir(dir, 0700) != 0) {
        return errno == EEXIST ? POLARYS_OK : polarys_fail_errno(err, errno, "make %s", dir);
    }
    (void)snprintf(parent, sizeof(parent), "%s", dir);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        return dir_sync(".", err);
    }
    slash[slash == parent ? 1 : 0] = '\0';
    return dir_sync(parent, err);
}

/* Makes the directories of `name`; `dir` is the innermost of them. */
static enum polarys_code parents_make(const struct objects_dir *place, const char *name, char *dir,
                                      struct polarys_error *err)
{
    enum polarys_code code = path_make(place, name, dir, err);
    char *last = NULL;
    if (code != POLARYS_OK) {
        return code;
    }
    for (char *slash = dir + strlen(place->dir) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        code = dir_make(dir, err);
        *slash = '/';
        last = slash;
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (last == NULL) {
        (void)snprintf(dir, PATH_MAX, "%s", place->dir);
    } else {
        *last = '\0';
    }
    return POLARYS_OK;
}

static enum polarys_code bytes_write(int descriptor, const char *path, struct polarys_slice bytes,
                                     struct polarys_error *err)
{
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t written = write(descriptor, bytes.data + done, bytes.size - done);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return polarys_fail_errno(err, errno, "write %s", path);
        }
        done += (size_t)written;
    }
    return POLARYS_OK;
}

/* Where the bytes of an object come from: memory, or a file. */
struct put_source {
    struct polarys_slice bytes;
    const char *path; /* NULL: bytes */
};

static enum polarys_code file_copy(int to, const char *to_path, const char *from_path,
                                   struct polarys_error *err)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    uint8_t *buffer = malloc(COPY_BYTES);
    enum polarys_code code = POLARYS_OK;
    if (from < 0) {
        code = polarys_fail_errno(err, errno, "open %s", from_path);
    } else if (buffer == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to copy %s", from_path);
    }
    while (code == POLARYS_OK) {
        ssize_t got = read(from, buffer, COPY_BYTES);
        if (got == 0) {
            break;
        }
        if (got < 0) {
            code =
                errno == EINTR ? POLARYS_OK : polarys_fail_errno(err, errno, "read %s", from_path);
            continue;
        }
        code = bytes_write(to, to_path, slice_make(buffer, (size_t)got), err);
    }
    free(buffer);
    if (from >= 0) {
        (void)close(from);
    }
    return code;
}

/* Writes the file under the name that none has, durably. */
static enum polarys_code putting_write(const char *path, const struct put_source *source,
                                       struct polarys_error *err)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
        return polarys_fail_errno(err, errno, "make %s", path);
    }
    enum polarys_code code = source->path == NULL
                                 ? bytes_write(descriptor, path, source->bytes, err)
                                 : file_copy(descriptor, path, source->path, err);
    if (code == POLARYS_OK && fsync(descriptor) != 0) {
        code = polarys_fail_errno(err, errno, "sync %s", path);
    }
    if (close(descriptor) != 0 && code == POLARYS_OK) {
        code = polarys_fail_errno(err, errno, "close %s", path);
    }
    return code;
}

static enum polarys_code source_put(struct objects_dir *place, const char *name,
                                    const struct put_source *source, struct polarys_error *err)
{
    char dir[PATH_MAX];
    char path[PATH_MAX];
    char putting[PATH_MAX + sizeof(PUTTING_NAME)];
    enum polarys_code code = parents_make(place, name, dir, err);
    if (code == POLARYS_OK) {
        code = path_make(place, name, path, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    (void)snprintf(putting, sizeof(putting), "%s/" PUTTING_NAME, dir);
    code = putting_write(putting, source, err);
    if (code == POLARYS_OK && rename(putting, path) != 0) {
        code = polarys_fail_errno(err, errno, "name %s", path);
    }
    if (code != POLARYS_OK) {
        (void)unlink(putting); /* what it took of a full disk */
        return code;
    }
    return dir_sync(dir, err);
}

static enum polarys_code dir_put(struct objects *objects, const char *name,
                                 struct polarys_slice bytes, struct polarys_error *err)
{
    const struct put_source source = {.bytes = bytes};
    return source_put((struct objects_dir *)objects, name, &source, err);
}

static enum polarys_code dir_put_file(struct objects *objects, const char *name, const char *path,
                                      struct polarys_error *err)
{
    const struct put_source source = {.path = path};
    return source_put((struct objects_dir *)objects, name, &source, err);
}

static enum polarys_code descriptor_get(int descriptor, const char *path, uint64_t offset,
                                        size_t size_max, struct objects_bytes *out,
                                        struct polarys_error *err)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return polarys_fail_errno(err, errno, "look at %s", path);
    }
    uint64_t left = (uint64_t)status.st_size > offset ? (uint64_t)status.st_size - offset : 0;
    size_t wanted = left < size_max ? (size_t)left : size_max;
    if (!objects_bytes_reserve(out, wanted + 1)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu bytes", wanted);
    }
    while (out->size < wanted) {
        ssize_t got = pread(descriptor, out->bytes + out->size, wanted - out->size,
                            (off_t)(offset + out->size));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return polarys_fail_errno(err, errno, "read %s", path);
        }
        if (got == 0) {
            break;
        }
        out->size += (size_t)got;
    }
    return POLARYS_OK;
}

static enum polarys_code dir_get(struct objects *objects, const char *name, uint64_t offset,
                                 size_t size_max, struct objects_bytes *out,
                                 struct polarys_error *err)
{
    char path[PATH_MAX];
    enum polarys_code code = path_make((struct objects_dir *)objects, name, path, err);
    if (code != POLARYS_OK) {
        return code;
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return errno == ENOENT ? polarys_fail(err, POLARYS_FILE_NOT_FOUND, "%s is missing", path)
                               : polarys_fail_errno(err, errno, "open %s", path);
    }
    code = descriptor_get(descriptor, path, offset, size_max, out, err);
    (void)close(descriptor);
    return code;
}

/* ---- listing ---- */

/* A walk through the directories, deepest first, in the order of whole names. */
struct dir_walk {
    const struct objects_dir *place;
    const char *after;
    const struct objects_visitor *visitor;
};

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* By bytes, as a bucket lists: strcmp, not the collation of the environment. */
static int entries_compare(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static enum polarys_code dir_walk_in(const struct dir_walk *walk, const char *prefix, int depth,
                                     struct polarys_error *err);

static enum polarys_code entry_visit(const struct dir_walk *walk, const char *prefix,
                                     const char *entry, int depth, struct polarys_error *err)
{
    char name[OBJECTS_NAME_MAX + 1];
    char path[PATH_MAX];
    struct stat status;
    int size = snprintf(name, sizeof(name), "%s%s", prefix, entry);
    if (size < 0 || size >= OBJECTS_NAME_MAX || !objects_name_is_valid(name)) {
        return POLARYS_OK; /* nobody's object */
    }
    enum polarys_code code = path_make(walk->place, name, path, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (lstat(path, &status) != 0) {
        return errno == ENOENT ? POLARYS_OK : polarys_fail_errno(err, errno, "look at %s", path);
    }
    if (S_ISDIR(status.st_mode)) {
        name[size] = '/';
        name[size + 1] = '\0';
        return dir_walk_in(walk, name, depth + 1, err);
    }
    if (!S_ISREG(status.st_mode) || (walk->after != NULL && strcmp(name, walk->after) <= 0)) {
        return POLARYS_OK;
    }
    return walk->visitor->each(walk->visitor->context, name, (uint64_t)status.st_size, err);
}

static enum polarys_code dir_walk_in(const struct dir_walk *walk, const char *prefix, int depth,
                                     struct polarys_error *err)
{
    char path[PATH_MAX];
    struct dirent **entries;
    enum polarys_code code = path_make(walk->place, prefix, path, err);
    if (code == POLARYS_OK && depth > DEPTH_MAX) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s is too deep", path);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    int count = scandir(path, &entries, is_shown, entries_compare);
    if (count < 0) {
        return errno == ENOENT ? POLARYS_OK : polarys_fail_errno(err, errno, "list %s", path);
    }
    for (int i = 0; i < count; i++) {
        if (code == POLARYS_OK) {
            code = entry_visit(walk, prefix, entries[i]->d_name, depth, err);
        }
        free(entries[i]);
    }
    free(entries);
    return code;
}

static enum polarys_code dir_list(struct objects *objects, const char *prefix, const char *after,
                                  const struct objects_visitor *visitor, struct polarys_error *err)
{
    const struct dir_walk walk = {(struct objects_dir *)objects, after, visitor};
    return dir_walk_in(&walk, prefix, 0, err);
}

static enum polarys_code dir_remove(struct objects *objects, const char *name,
                                    struct polarys_error *err)
{
    char path[PATH_MAX];
    enum polarys_code code = path_make((struct objects_dir *)objects, name, path, err);
    if (code == POLARYS_OK && unlink(path) != 0 && errno != ENOENT) {
        code = polarys_fail_errno(err, errno, "remove %s", path);
    }
    return code;
}

static void dir_close(struct objects *objects)
{
    free(objects);
}

enum polarys_code objects_dir_open(const char *dir, bool may_make, struct objects **out,
                                   struct polarys_error *err)
{
    static const struct objects_driver driver = {
        .put = dir_put,
        .put_file = dir_put_file,
        .get = dir_get,
        .list = dir_list,
        .remove = dir_remove,
        .close = dir_close,
    };
    struct stat status;
    enum polarys_code code = may_make ? dir_make(dir, err) : POLARYS_OK;
    if (code != POLARYS_OK) {
        return code;
    }
    if (stat(dir, &status) != 0) {
        return errno == ENOENT
                   ? polarys_fail(err, POLARYS_FILE_NOT_FOUND, "there is no directory %s", dir)
                   : polarys_fail_errno(err, errno, "look at %s", dir);
    }
    if (!S_ISDIR(status.st_mode)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s is no directory", dir);
    }
    struct objects_dir *place = calloc(1, sizeof(*place));
    if (place == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a place");
    }
    place->base.driver = &driver;
    (void)snprintf(place->dir, sizeof(place->dir), "%s", dir);
    *out = &place->base;
    return POLARYS_OK;
}
