/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories of a data directory that is not open: made durable, moved and removed. What is
 * inside a store is the engine's; here it is only carried.
 */
#ifndef SERVICE_REPLICATION_FILES_H
#define SERVICE_REPLICATION_FILES_H

#include "service/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FILES_PATH_MAX = CONFIG_TEXT_MAX + 512,
    FILES_NAME_MAX = 255,
    FILES_DEPTH_MAX = 8,             /* directories below a data directory */
    FILES_READ_BYTES_MAX = 16 << 20, /* of a file that is read whole */
};

/* `path` has FILES_PATH_MAX bytes. Errors: BAD_ARGUMENT (too long). */
NODISCARD enum polarys_code files_join(char *path, const char *dir, const char *name,
                                       struct polarys_error *err);
/* Errors of all below: IO, DISK_LOW, FILE_NOT_FOUND, NO_MEMORY. */
NODISCARD enum polarys_code files_exists(const char *path, bool *exists, struct polarys_error *err);
NODISCARD enum polarys_code files_sync_dir(const char *dir, struct polarys_error *err);
/* Makes the directory unless it is there. */
NODISCARD enum polarys_code files_make_dir(const char *dir, struct polarys_error *err);
/* Makes the directories that lead to `path` below `dir`, which is there. `path` is relative. */
NODISCARD enum polarys_code files_make_parents(const char *dir, const char *path,
                                               struct polarys_error *err);
/* Makes every directory below `dir`, and itself, durable; its files are so already. */
NODISCARD enum polarys_code files_sync_tree(const char *dir, struct polarys_error *err);
/* Removes a file or a directory with all in it; missing is fine. */
NODISCARD enum polarys_code files_remove_tree(const char *path, struct polarys_error *err);
/* Replaces the file of that name, durably: all of it or none. */
NODISCARD enum polarys_code files_replace(const char *dir, const char *name,
                                          struct polarys_slice bytes, struct polarys_error *err);
/* All of a file, NUL-terminated; *bytes is freed by the caller. Errors: FILE_NOT_FOUND, CORRUPT (too
 * long). */
NODISCARD enum polarys_code files_read(const char *path, char **bytes, size_t *size,
                                       struct polarys_error *err);
/* Calls `each` with every name in `dir` but . and ..; the names were read before the first call. */
NODISCARD enum polarys_code files_list(const char *dir,
                                       enum polarys_code (*each)(void *context, const char *name,
                                                                 struct polarys_error *err),
                                       void *context, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
