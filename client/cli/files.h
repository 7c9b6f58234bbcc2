/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that a command keeps: written so that after a crash they are there whole or not at all.
 */
#ifndef CLIENT_CLI_FILES_H
#define CLIENT_CLI_FILES_H

#include "client/cli/cli.h"
#include "client/cli/digest.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FILES_LOCK_NAME ".lock"

enum { FILES_CHUNK_BYTES = 1 << 20, FILES_DEPTH_MAX = 8 };

/* dir/name with `suffix` behind it, in PATH_MAX bytes. False: it does not fit. */
bool files_path_join(char *to, const char *dir, const char *name, const char *suffix);
/* Closes `file`, which is `partial`, and gives it its name `path` in `dir`; all on stable storage. */
enum cli_status files_keep(struct cli *cli, FILE *file, const char *partial, const char *dir,
                           const char *path);
/* The same for names alone. */
enum cli_status files_rename(struct cli *cli, const char *from, const char *to, const char *dir);
enum cli_status files_sync_dir(struct cli *cli, const char *dir);
/* Syncs `dir` and the directories right below it. */
enum cli_status files_sync_tree(struct cli *cli, const char *dir);
/* Makes a directory, mode 0700; one that is there is fine. */
enum cli_status files_make_dir(struct cli *cli, const char *dir);
/* Makes the directories between `root` and the file `name` below it. */
enum cli_status files_make_parents(struct cli *cli, const char *root, const char *name);
/* True when there is nothing in the directory, or no directory. */
bool files_dir_is_empty(const char *dir);
/* Removes `dir` with all in it. */
enum cli_status files_remove_tree(struct cli *cli, const char *dir);

/*
 * Locks `dir` for this process, by the file FILES_LOCK_NAME in it; closing *lock gives it back. `doing` is for the
 * complaint: "another process DOING DIR". -1 in *lock on failure. Errors: FAILED_PRECONDITION/STORE_LOCKED.
 */
enum cli_status files_lock(struct cli *cli, const char *dir, const char *doing, int *lock);

/* Adds what is in the open file, from its beginning, to the digest; *size is how much it was. */
enum cli_status files_digest(struct cli *cli, int descriptor, const char *path,
                             struct digest *digest, uint64_t *size);
/* Writes all bytes at the offset. False: errno says why. */
bool files_write(int descriptor, const void *bytes, size_t size, uint64_t offset);

/*
 * Copies a file, and tells its digest and size. Zeros become holes. The copy is on stable storage, its name is
 * not yet.
 */
enum cli_status files_copy(struct cli *cli, const char *from, const char *to,
                           uint8_t sum[DIGEST_SIZE], uint64_t *size);

#ifdef __cplusplus
}
#endif

#endif
