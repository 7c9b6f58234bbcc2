/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and reading the files. The snapshot's time is that of its last change: the program writes a new file and
 * gives it its name, so every entry that it logged later is not in it.
 */
#include "client/cli/polarysdb_source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/assert.h"
#include "client/cli/parse.h"
#include "client/cli/polarysdb_container.h"
#include "client/cli/polarysdb_snapshot.h"

static const char log_name[] = "polarysdb.wal";
static const char rotated_tail[] = ".backup";
static const char snapshot_name[] = "state/state.rdb";

/* The rotated logs of a directory, by the second in which they were rotated. */
struct rotated {
    uint64_t seconds[POLARYSDB_LOG_FILES_MAX];
    size_t count;
};

void polarysdb_source_deinit(struct polarysdb_source *source)
{
    polarysdb_store_deinit(&source->store);
    polarysdb_keys_deinit(&source->keys);
}

/* The store keeps the file's bytes when entries borrow from them. */
static bool log_take(struct polarysdb_source *source, struct polarysdb_file *file,
                     struct polarysdb_fault *fault)
{
    uint8_t *bytes = file->bytes;

    source->log.keys = &source->keys;
    if (!polarysdb_store_adopt(&source->store, bytes, fault)) {
        file->bytes = NULL;
        return false;
    }
    bool is_read = polarysdb_log_read(&source->log, file, &source->store, fault);
    file->bytes = NULL;
    return is_read;
}

static bool snapshot_take(struct polarysdb_source *source, const struct polarysdb_file *file,
                          bool may_be_plain, struct polarysdb_fault *fault)
{
    struct polarysdb_text text;

    return polarysdb_container_open(file, &source->keys, may_be_plain, &text, fault) &&
           polarysdb_store_adopt(&source->store, text.bytes, fault) &&
           polarysdb_snapshot_read(&text, file->path, &source->store, fault);
}

/* Reads one of a directory's files. *is_found false: there is none of this name. */
static bool member_read(const char *directory, const char *name, struct polarysdb_file *file,
                        bool *is_found, struct polarysdb_fault *fault)
{
    char *path = NULL;

    POLARYS_ASSERT(name[0] != '\0');
    *is_found = false;
    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        return polarysdb_fault_memory(fault, "a file's name");
    }
    *is_found = polarysdb_file_read(file, path, fault);
    free(path);
    return *is_found || strcmp(fault->reason, POLARYSDB_NOT_FOUND) == 0;
}

/* Applies one of a directory's logs. */
static bool member_log_take(struct polarysdb_source *source, const char *directory,
                            const char *name, bool *is_found, struct polarysdb_fault *fault)
{
    struct polarysdb_file file = {0};

    if (!member_read(directory, name, &file, is_found, fault)) {
        return false;
    }
    bool is_taken = !*is_found || log_take(source, &file, fault);
    polarysdb_file_deinit(&file);
    return is_taken;
}

static bool member_snapshot_take(struct polarysdb_source *source, const char *directory,
                                 bool *is_found, struct polarysdb_fault *fault)
{
    struct polarysdb_file file = {0};

    if (!member_read(directory, snapshot_name, &file, is_found, fault)) {
        return false;
    }
    if (*is_found) {
        source->log.has_snapshot = !source->replays_all;
        source->log.snapshot_ns = file.modified_ns;
    }
    bool is_taken = !*is_found || snapshot_take(source, &file, false, fault);
    polarysdb_file_deinit(&file);
    return is_taken;
}

/* True for polarysdb.wal.SECONDS.backup. */
static bool rotated_name_read(const char *name, uint64_t *seconds)
{
    char digits[24];
    size_t head = sizeof(log_name) - 1;
    size_t tail = sizeof(rotated_tail) - 1;
    size_t size = strlen(name);

    if (size < head + 2 + tail || size - head - 1 - tail >= sizeof(digits) ||
        strncmp(name, log_name, head) != 0 || name[head] != '.' ||
        strcmp(name + size - tail, rotated_tail) != 0) {
        return false;
    }
    memcpy(digits, name + head + 1, size - head - 1 - tail);
    digits[size - head - 1 - tail] = '\0';
    /* Only as the program writes the number, so that the name can be made of it again. */
    return digits[0] != '0' && parse_number(digits, seconds);
}

static int seconds_compare(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

static bool rotated_list(const char *directory, struct rotated *rotated,
                         struct polarysdb_fault *fault)
{
    const struct dirent *entry;
    uint64_t seconds;
    bool is_ok = true;

    DIR *listing = opendir(directory);
    if (listing == NULL) {
        return polarysdb_fault_errno(fault, directory);
    }
    errno = 0;
    while (is_ok && (entry = readdir(listing)) != NULL) {
        if (!rotated_name_read(entry->d_name, &seconds)) {
            continue;
        }
        if (rotated->count == POLARYSDB_LOG_FILES_MAX) {
            is_ok = polarysdb_fault_set(fault, POLARYSDB_TOO_LARGE, "%s: more than %d rotated logs",
                                        directory, POLARYSDB_LOG_FILES_MAX);
        } else {
            rotated->seconds[rotated->count++] = seconds;
        }
    }
    if (is_ok && errno != 0) {
        is_ok = polarysdb_fault_errno(fault, directory);
    }
    (void)closedir(listing);
    qsort(rotated->seconds, rotated->count, sizeof(rotated->seconds[0]), seconds_compare);
    return is_ok;
}

/* The log's files, oldest first. */
static bool logs_take(struct polarysdb_source *source, const char *directory, bool *is_found,
                      struct polarysdb_fault *fault)
{
    struct rotated rotated = {.count = 0};
    char name[64];
    bool is_there = false;

    if (!rotated_list(directory, &rotated, fault)) {
        return false;
    }
    *is_found = rotated.count > 0;
    for (size_t i = 0; i < rotated.count; i++) {
        (void)snprintf(name, sizeof(name), "%s.%llu%s", log_name,
                       (unsigned long long)rotated.seconds[i], rotated_tail);
        if (!member_log_take(source, directory, name, &is_there, fault)) {
            return false;
        }
        if (!is_there) {
            /* The program removes a rotated log half a minute later. */
            return polarysdb_fault_set(fault, POLARYSDB_NOT_FOUND,
                                       "%s/%s: vanishes; stop the program that writes here",
                                       directory, name);
        }
    }
    if (!member_log_take(source, directory, log_name, &is_there, fault)) {
        return false;
    }
    *is_found |= is_there;
    return true;
}

static bool directory_read(struct polarysdb_source *source, const char *path,
                           struct polarysdb_fault *fault)
{
    bool has_snapshot = false;
    bool has_log = false;

    if (!member_snapshot_take(source, path, &has_snapshot, fault) ||
        !logs_take(source, path, &has_log, fault)) {
        return false;
    }
    if (!has_snapshot && !has_log) {
        return polarysdb_fault_set(fault, POLARYSDB_NOT_FOUND,
                                   "%s: has neither %s nor %s: name the directory that the program "
                                   "was opened with, or one file",
                                   path, snapshot_name, log_name);
    }
    return true;
}

/* The last part of a path. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool file_read(struct polarysdb_source *source, const char *path,
                      struct polarysdb_fault *fault)
{
    struct polarysdb_file file = {0};
    const char *name = base_name(path);

    if (!polarysdb_file_read(&file, path, fault)) {
        return false;
    }
    /* By its name first, so that a damaged file is called what it is. */
    bool is_log = strncmp(name, log_name, sizeof(log_name) - 1) == 0;
    bool is_sealed = strcmp(name, "state.rdb") == 0 || strncmp(name, "backup_", 7) == 0;
    bool is_read = is_log || (!is_sealed && polarysdb_log_is_log(&file))
                       ? log_take(source, &file, fault)
                       : snapshot_take(source, &file, !is_sealed, fault);
    polarysdb_file_deinit(&file);
    return is_read;
}

bool polarysdb_source_read(struct polarysdb_source *source, const char *path,
                           struct polarysdb_fault *fault)
{
    struct stat info;

    POLARYS_ASSERT(source->store.table_count == 0);
    if (stat(path, &info) != 0) {
        return polarysdb_fault_errno(fault, path);
    }
    bool is_read = S_ISDIR(info.st_mode) ? directory_read(source, path, fault)
                                         : file_read(source, path, fault);
    return is_read && polarysdb_store_merge(&source->store, path, fault);
}
