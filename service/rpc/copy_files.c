/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a copy's directory, and reads every file once for its digest. Table files never change and keep their
 * name, so the digests of the last copy serve the next; all that is written on, the log above all, is read
 * again.
 *
 * Invariant: what the list says of a file was true of the very bytes that were digested: a file that has
 * another length at the end of the reading is an error.
 */
#include "service/rpc/copy_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "service/server/check.h"

enum { READ_BYTES = 1 << 20, LIST_FIRST = 64 };

#define KEYRING_NAME "keyring"
#define NS_PER_S INT64_C(1000000000)

void copy_files_deinit(struct copy_files *files)
{
    free(files->list);
    *files = (struct copy_files){0};
}

static int path_compare(const char *left, const char *right)
{
    int is_left_keyring = strcmp(left, KEYRING_NAME) == 0;
    int is_right_keyring = strcmp(right, KEYRING_NAME) == 0;
    return is_left_keyring != is_right_keyring ? is_left_keyring - is_right_keyring
                                               : strcmp(left, right);
}

static int file_compare(const void *left, const void *right)
{
    return path_compare(((const struct copy_file *)left)->path,
                        ((const struct copy_file *)right)->path);
}

static struct copy_file *file_add(struct copy_files *files)
{
    SERVICE_ASSERT(files->count <= files->room);
    if (files->count == files->room) {
        size_t room = files->room == 0 ? LIST_FIRST : 2 * files->room;
        void *list =
            room > COPY_FILES_MAX ? NULL : realloc(files->list, room * sizeof(*files->list));
        if (list == NULL) {
            return NULL;
        }
        files->list = list;
        files->room = room;
    }
    struct copy_file *file = &files->list[files->count++];
    memset(file, 0, sizeof(*file));
    return file;
}

/* A path in a path; false when it does not fit. */
static bool path_join(char *to, size_t size, const char *dir, const char *name)
{
    int length =
        dir[0] == '\0' ? snprintf(to, size, "%s", name) : snprintf(to, size, "%s/%s", dir, name);
    return length >= 0 && (size_t)length < size;
}

/* What is done with each entry below a directory. */
struct walk {
    const char *root;
    struct copy_files *files; /* NULL: everything is removed */
    struct polarys_error *err;
};

static enum polarys_code dir_walk(const struct walk *walk, const char *below, int depth);

static enum polarys_code entry_list(const struct walk *walk, const char *below,
                                    const struct stat *status)
{
    struct copy_file *file = file_add(walk->files);
    if (file == NULL) {
        return polarys_fail(walk->err, POLARYS_NO_MEMORY, "no memory for the files of a copy");
    }
    (void)snprintf(file->path, sizeof(file->path), "%s", below);
    file->size = (uint64_t)status->st_size;
    file->inode = (uint64_t)status->st_ino;
    file->modified_ns = status->st_mtim.tv_sec * NS_PER_S + status->st_mtim.tv_nsec;
    file->is_linked = status->st_nlink > 1;
    return POLARYS_OK;
}

static enum polarys_code entry_walk(const struct walk *walk, const char *below, int depth)
{
    char path[PATH_MAX];
    struct stat status;
    if (!path_join(path, sizeof(path), walk->root, below)) {
        return polarys_fail(walk->err, POLARYS_IO, "a path below %.200s is too long", walk->root);
    }
    if (lstat(path, &status) != 0) {
        return polarys_fail_errno(walk->err, errno, "look at %s", path);
    }
    if (S_ISDIR(status.st_mode)) {
        return dir_walk(walk, below, depth + 1);
    }
    if (walk->files == NULL) {
        return unlink(path) == 0 ? POLARYS_OK
                                 : polarys_fail_errno(walk->err, errno, "remove %s", path);
    }
    return S_ISREG(status.st_mode)
               ? entry_list(walk, below, &status)
               : polarys_fail(walk->err, POLARYS_IO, "%s is neither file nor directory", path);
}

/* A walk that removes ends with the directory itself. */
static enum polarys_code dir_walk(const struct walk *walk, const char *below, int depth)
{
    char path[PATH_MAX];
    char next[COPY_PATH_MAX];
    if (depth > COPY_DEPTH_MAX || !path_join(path, sizeof(path), walk->root, below)) {
        return polarys_fail(walk->err, POLARYS_IO, "directories below %.200s lie too deep",
                            walk->root);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return errno == ENOENT && walk->files == NULL
                   ? POLARYS_OK
                   : polarys_fail_errno(walk->err, errno, "open directory %s", path);
    }
    enum polarys_code code = POLARYS_OK;
    const struct dirent *entry;
    while (code == POLARYS_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        code = path_join(next, sizeof(next), below, entry->d_name)
                   ? entry_walk(walk, next, depth)
                   : polarys_fail(walk->err, POLARYS_IO, "a name below %.200s is too long", path);
    }
    (void)closedir(dir);
    if (code == POLARYS_OK && walk->files == NULL && rmdir(path) != 0) {
        code = polarys_fail_errno(walk->err, errno, "remove directory %s", path);
    }
    return code;
}

enum polarys_code copy_files_list(const char *dir, struct copy_files *files,
                                  struct polarys_error *err)
{
    struct walk walk = {.root = dir, .files = files, .err = err};
    SERVICE_ASSERT(files->count == 0);
    enum polarys_code code = dir_walk(&walk, "", 0);
    if (code != POLARYS_OK) {
        copy_files_deinit(files);
        return polarys_wrap(err, code, "list a copy");
    }
    if (files->count > 0) {
        qsort(files->list, files->count, sizeof(*files->list), file_compare);
    }
    return POLARYS_OK;
}

enum polarys_code copy_files_remove(const char *dir, struct polarys_error *err)
{
    struct walk walk = {.root = dir, .files = NULL, .err = err};
    enum polarys_code code = dir_walk(&walk, "", 0);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "remove a copy");
}

long copy_files_find(const struct copy_files *files, struct polarys_slice path)
{
    struct copy_file wanted = {.size = 0};
    if (path.size == 0 || path.size >= sizeof(wanted.path) || files->count == 0 ||
        memchr(path.data, '\0', path.size) != NULL) {
        return -1;
    }
    memcpy(wanted.path, path.data, path.size);
    wanted.path[path.size] = '\0';
    const struct copy_file *found =
        bsearch(&wanted, files->list, files->count, sizeof(*files->list), file_compare);
    return found == NULL ? -1 : (long)(found - files->list);
}

enum polarys_code copy_files_keep(const struct copy_files *files, struct copy_files *known,
                                  struct polarys_error *err)
{
    SERVICE_ASSERT(known->count == 0);
    for (size_t i = 0; i < files->count; i++) {
        if (!files->list[i].is_linked) {
            continue;
        }
        struct copy_file *kept = file_add(known);
        if (kept == NULL) {
            copy_files_deinit(known);
            return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to remember digests");
        }
        *kept = files->list[i];
    }
    return POLARYS_OK;
}

/* ---- digests ---- */

/* What reading a file needs, made once for all of them. */
struct digester {
    EVP_MD_CTX *context;
    uint8_t *bytes;
    const struct copy_stop *stop;
};

/* How many of the bytes are left when zeros are taken off the end. */
static size_t size_without_zeros(const uint8_t *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    return size;
}

static enum polarys_code bytes_digest(struct digester *digester, int descriptor,
                                      struct copy_file *file, struct polarys_error *err)
{
    uint64_t at = 0;
    file->data_size = 0;
    for (;;) {
        if (digester->stop != NULL && digester->stop->is_wanted(digester->stop->context)) {
            return polarys_fail(err, POLARYS_CANCELLED, "the copy is not wanted any more");
        }
        ssize_t got = pread(descriptor, digester->bytes, READ_BYTES, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return polarys_fail_errno(err, errno, "read");
        }
        if (got == 0) {
            break;
        }
        size_t used = size_without_zeros(digester->bytes, (size_t)got);
        file->data_size = used > 0 ? at + used : file->data_size;
        if (EVP_DigestUpdate(digester->context, digester->bytes, (size_t)got) != 1) {
            return polarys_fail(err, POLARYS_BUG, "SHA-256 refused its input");
        }
        at += (uint64_t)got;
    }
    return at == file->size ? POLARYS_OK
                            : polarys_fail(err, POLARYS_CORRUPT, "the length changed to %llu bytes",
                                           (unsigned long long)at);
}

static enum polarys_code file_digest(struct digester *digester, const char *dir,
                                     struct copy_file *file, struct polarys_error *err)
{
    char path[PATH_MAX];
    unsigned size = 0;
    if (!path_join(path, sizeof(path), dir, file->path)) {
        return polarys_fail(err, POLARYS_IO, "the path of %s is too long", file->path);
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) {
        return polarys_fail_errno(err, errno, "open %s", path);
    }
    enum polarys_code code = POLARYS_OK;
    if (EVP_DigestInit_ex(digester->context, EVP_sha256(), NULL) != 1) {
        code = polarys_fail(err, POLARYS_BUG, "SHA-256 is not there");
    }
    if (code == POLARYS_OK) {
        code = bytes_digest(digester, descriptor, file, err);
    }
    if (code == POLARYS_OK && EVP_DigestFinal_ex(digester->context, file->sha256, &size) != 1) {
        code = polarys_fail(err, POLARYS_BUG, "SHA-256 gave no digest");
    }
    (void)close(descriptor);
    SERVICE_ASSERT(code != POLARYS_OK || size == COPY_DIGEST_SIZE);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "digest of %s", file->path);
}

/* True when `known` holds this very file; its digest is taken over then. */
static bool digest_take(struct copy_file *file, const struct copy_files *known)
{
    long at = known == NULL || !file->is_linked
                  ? -1
                  : copy_files_find(known, slice_make(file->path, strlen(file->path)));
    if (at < 0) {
        return false;
    }
    const struct copy_file *same = &known->list[at];
    if (same->inode != file->inode || same->size != file->size ||
        same->modified_ns != file->modified_ns) {
        return false;
    }
    file->data_size = same->data_size;
    memcpy(file->sha256, same->sha256, sizeof(file->sha256));
    return true;
}

enum polarys_code copy_files_digest(const char *dir, struct copy_files *files,
                                    const struct copy_files *known, const struct copy_stop *stop,
                                    struct polarys_error *err)
{
    struct digester digester = {
        .context = EVP_MD_CTX_new(), .bytes = malloc(READ_BYTES), .stop = stop};
    enum polarys_code code = POLARYS_OK;
    if (digester.context == NULL || digester.bytes == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to read a copy");
    }
    for (size_t i = 0; i < files->count && code == POLARYS_OK; i++) {
        if (!digest_take(&files->list[i], known)) {
            code = file_digest(&digester, dir, &files->list[i], err);
        }
    }
    free(digester.bytes);
    EVP_MD_CTX_free(digester.context);
    return code;
}
