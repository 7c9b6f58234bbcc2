/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a backup that is being taken. A file under its own name is whole, checked and on stable
 * storage; one that is not has `.partial` behind its name and is gone on with where it ends.
 *
 * Invariant: nothing of an earlier backup is ever written on: what is taken over has the same name, length and
 * digest, and a link to it is only read.
 */
#include "client/cli/backup_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/files.h"

#define PARTIAL_SUFFIX ".partial"

void backup_store_deinit(struct backup_store *store)
{
    backup_store_file_leave(store);
    digest_deinit(&store->digest);
    backup_list_deinit(&store->list);
    backup_list_deinit(&store->base);
    free(store->is_present);
    store->is_present = NULL;
}

static enum cli_status path_of(struct backup_store *store, size_t file, const char *suffix,
                               char *path)
{
    POLARYS_ASSERT(file < store->list.file_count);
    return files_path_join(path, store->data_dir, store->list.files[file].path, suffix)
               ? CLI_DONE
               : cli_fail(store->cli, "INVALID_ARGUMENT", "the path of %s is too long",
                          store->data_dir);
}

static bool is_there(const char *path, uint64_t size)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size;
}

static enum cli_status present_make(struct backup_store *store)
{
    free(store->is_present);
    store->is_present = calloc(store->list.file_count + 1, sizeof(*store->is_present));
    return store->is_present != NULL
               ? CLI_DONE
               : cli_fail(store->cli, "NO_MEMORY", "no memory for the files of a backup");
}

enum cli_status backup_store_look(struct backup_store *store)
{
    char path[PATH_MAX];
    enum cli_status status = present_make(store);
    for (size_t i = 0; i < store->list.file_count && status == CLI_DONE; i++) {
        status = path_of(store, i, "", path);
        store->is_present[i] = status == CLI_DONE && is_there(path, store->list.files[i].size);
    }
    return status;
}

static const struct backup_file *same_find(const struct backup_list *list,
                                           const struct backup_file *file, size_t hint)
{
    long at =
        list->file_count == 0 ? -1 : backup_list_find(list, file->path, strlen(file->path), hint);
    if (at < 0 || list->files[at].size != file->size ||
        memcmp(list->files[at].sha256, file->sha256, DIGEST_SIZE) != 0) {
        return NULL;
    }
    return &list->files[at];
}

/* Removes what is there of a file that the new list does not have, or has otherwise. */
static enum cli_status old_remove(struct backup_store *store, size_t file, bool is_kept)
{
    char path[PATH_MAX];
    enum cli_status status = path_of(store, file, PARTIAL_SUFFIX, path);
    if (status == CLI_DONE && unlink(path) != 0 && errno != ENOENT) {
        status = cli_fail_errno(store->cli, path);
    }
    if (status == CLI_DONE && !is_kept) {
        status = path_of(store, file, "", path);
        if (status == CLI_DONE && unlink(path) != 0 && errno != ENOENT) {
            status = cli_fail_errno(store->cli, path);
        }
    }
    return status;
}

/* A link to the earlier backup's file, or a copy where there can be no link. */
static enum cli_status base_take(struct backup_store *store, const struct backup_file *file)
{
    char from[PATH_MAX];
    char to[PATH_MAX];
    uint8_t sum[DIGEST_SIZE];
    uint64_t size;
    if (!files_path_join(from, store->base_data_dir, file->path, "") ||
        !files_path_join(to, store->data_dir, file->path, "")) {
        return cli_fail(store->cli, "INVALID_ARGUMENT", "a path is too long");
    }
    enum cli_status status = files_make_parents(store->cli, store->data_dir, file->path);
    if (status != CLI_DONE || link(from, to) == 0) {
        return status;
    }
    if (errno != EXDEV && errno != EPERM && errno != EMLINK) {
        return cli_fail_errno(store->cli, to);
    }
    status = files_copy(store->cli, from, to, sum, &size);
    if (status == CLI_DONE && (size != file->size || memcmp(sum, file->sha256, DIGEST_SIZE) != 0)) {
        (void)unlink(to);
        status = cli_fail(store->cli, "DATA_LOSS/CORRUPT",
                          "%s of the earlier backup was altered: make a full backup", from);
    }
    return status;
}

enum cli_status backup_store_list_replace(struct backup_store *store, struct backup_list *take_list)
{
    enum cli_status status = CLI_DONE;
    POLARYS_ASSERT(!store->is_open);
    for (size_t i = 0; i < store->list.file_count && status == CLI_DONE; i++) {
        bool is_kept =
            store->is_present[i] && same_find(take_list, &store->list.files[i], i) != NULL;
        status = old_remove(store, i, is_kept);
    }
    backup_list_deinit(&store->list);
    store->list = *take_list;
    store->has_list = true;
    *take_list = (struct backup_list){0};
    if (status == CLI_DONE) {
        status = backup_store_look(store);
    }
    for (size_t i = 0; i < store->list.file_count && status == CLI_DONE; i++) {
        const struct backup_file *file = &store->list.files[i];
        if (!store->is_present[i] && store->base_data_dir[0] != '\0' &&
            same_find(&store->base, file, i) != NULL) {
            status = base_take(store, file);
            store->is_present[i] = status == CLI_DONE;
            store->outcome.shared_files += status == CLI_DONE;
        }
    }
    return status;
}

bool backup_store_missing_find(const struct backup_store *store, size_t *file)
{
    for (size_t i = 0; i < store->list.file_count; i++) {
        if (!store->is_present[i]) {
            *file = i;
            return true;
        }
    }
    return false;
}

/* ---- the file that is being received ---- */

void backup_store_file_leave(struct backup_store *store)
{
    if (store->is_open) {
        (void)close(store->descriptor);
        store->is_open = false;
    }
}

enum cli_status backup_store_file_open(struct backup_store *store, size_t file)
{
    POLARYS_ASSERT(!store->is_open);
    const struct backup_file *listed = &store->list.files[file];
    enum cli_status status = path_of(store, file, PARTIAL_SUFFIX, store->partial_path);
    if (status == CLI_DONE) {
        status = files_make_parents(store->cli, store->data_dir, listed->path);
    }
    if (status != CLI_DONE) {
        return status;
    }
    store->descriptor = open(store->partial_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->descriptor < 0) {
        return cli_fail_errno(store->cli, store->partial_path);
    }
    store->is_open = true;
    store->file = file;
    digest_begin(&store->digest);
    status = files_digest(store->cli, store->descriptor, store->partial_path, &store->digest,
                          &store->offset);
    if (status == CLI_DONE && store->offset > listed->size) {
        /* Of another copy: nothing of it can be told to be right. */
        digest_begin(&store->digest);
        store->offset = 0;
        status = ftruncate(store->descriptor, 0) == 0
                     ? CLI_DONE
                     : cli_fail_errno(store->cli, store->partial_path);
    }
    if (status != CLI_DONE) {
        backup_store_file_leave(store);
    }
    return status;
}

enum cli_status backup_store_bytes_put(struct backup_store *store, size_t file, uint64_t offset,
                                       const void *bytes, size_t size)
{
    const struct backup_file *listed = &store->list.files[file];
    enum cli_status status = CLI_DONE;
    if (store->is_present[file]) {
        return CLI_DONE; /* sent although it is here: there were too many files to name */
    }
    if (store->is_open && store->file != file) {
        status = backup_store_file_finish(store);
    }
    if (status == CLI_DONE && !store->is_open) {
        status = backup_store_file_open(store, file);
    }
    if (status != CLI_DONE) {
        return status;
    }
    if (offset != store->offset || size > listed->size - offset) {
        return cli_fail(store->cli, "INTERNAL", "%s: the server sends byte %llu where %llu is next",
                        listed->path, (unsigned long long)offset,
                        (unsigned long long)store->offset);
    }
    if (!files_write(store->descriptor, bytes, size, offset)) {
        return cli_fail_errno(store->cli, store->partial_path);
    }
    digest_add(&store->digest, bytes, size);
    store->offset += size;
    store->outcome.received_bytes += size;
    return CLI_DONE;
}

enum cli_status backup_store_file_finish(struct backup_store *store)
{
    POLARYS_ASSERT(store->is_open);
    const struct backup_file *listed = &store->list.files[store->file];
    uint8_t sum[DIGEST_SIZE];
    char path[PATH_MAX];
    enum cli_status status = path_of(store, store->file, "", path);
    digest_add_zeros(&store->digest, listed->size - store->offset);
    if (status == CLI_DONE && !digest_end(&store->digest, sum)) {
        status = cli_fail(store->cli, "INTERNAL", "SHA-256 failed");
    }
    if (status == CLI_DONE && memcmp(sum, listed->sha256, DIGEST_SIZE) != 0) {
        (void)unlink(store->partial_path);
        status = cli_fail(store->cli, "DATA_LOSS/CORRUPT",
                          "%s did not arrive as it was sent: begin the command again to fetch it "
                          "once more",
                          listed->path);
    }
    if (status == CLI_DONE &&
        (ftruncate(store->descriptor, (off_t)listed->size) != 0 || fsync(store->descriptor) != 0)) {
        status = cli_fail_errno(store->cli, store->partial_path);
    }
    if (status == CLI_DONE && rename(store->partial_path, path) != 0) {
        status = cli_fail_errno(store->cli, path);
    }
    backup_store_file_leave(store);
    store->is_present[store->file] = status == CLI_DONE;
    store->outcome.received_files += status == CLI_DONE;
    return status;
}
