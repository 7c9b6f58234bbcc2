/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files first, each checked while it is copied; then the store, which checks what no digest can: that all of it
 * was sealed by the key, belongs together and reaches the version.
 *
 * The store is opened as a follower's, which goes on with the log as it is: whoever wants to write to it has to
 * promote it, and so begin a history of its own.
 */
#include "client/cli/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "client/assert.h"
#include "client/cli/files.h"
#include "client/cli/progress.h"

enum { CLOSE_TIMEOUT_MS = 60000 };

/* Names what is wrong with a file; the search goes on, so that all of them are named. */
static void file_bad(struct cli *cli, const struct backup_file *file, const char *what)
{
    (void)cli_fail(cli, "DATA_LOSS/CORRUPT", "%s %s", file->path, what);
}

/* *is_good is false where the file was named as bad. */
static enum cli_status file_restore(struct cli *cli, const char *data_dir,
                                    const struct backup_file *file, const char *to, bool *is_good)
{
    char from_path[PATH_MAX];
    char to_path[PATH_MAX];
    uint8_t sum[DIGEST_SIZE];
    uint64_t size = 0;
    struct stat status;
    *is_good = false;
    if (!files_path_join(from_path, data_dir, file->path, "") ||
        !files_path_join(to_path, to, file->path, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", file->path);
    }
    if (lstat(from_path, &status) != 0 && errno == ENOENT) {
        file_bad(cli, file, "is missing");
        return CLI_DONE;
    }
    enum cli_status result = files_make_parents(cli, to, file->path);
    if (result == CLI_DONE) {
        result = files_copy(cli, from_path, to_path, sum, &size);
    }
    if (result != CLI_DONE) {
        return result;
    }
    if (size != file->size) {
        file_bad(cli, file, size < file->size ? "was shortened" : "was made longer");
    } else if (memcmp(sum, file->sha256, sizeof(sum)) != 0) {
        file_bad(cli, file, "was altered: its digest is another");
    } else {
        *is_good = true;
    }
    return CLI_DONE;
}

enum cli_status restore_files(struct cli *cli, const char *dir, const struct backup_list *list,
                              const char *to)
{
    char data_dir[PATH_MAX];
    struct progress progress;
    uint64_t bytes = 0;
    uint64_t bad_count = 0;
    if (!files_path_join(data_dir, dir, BACKUP_DATA_NAME, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    progress_begin(&progress, cli, "copied", backup_list_bytes(list));
    progress.noun = "files";
    enum cli_status status = files_make_dir(cli, to);
    for (size_t i = 0; i < list->file_count && status == CLI_DONE; i++) {
        bool is_good;
        status = file_restore(cli, data_dir, &list->files[i], to, &is_good);
        bad_count += !is_good;
        bytes += list->files[i].size;
        progress_update(&progress, bytes, i + 1, bytes);
    }
    progress_end(&progress);
    if (status == CLI_DONE && bad_count > 0) {
        status = cli_fail(cli, "DATA_LOSS/CORRUPT",
                          "%" PRIu64 " of the %zu files of %s are not as they were backed up",
                          bad_count, list->file_count, dir);
    }
    return status == CLI_DONE ? files_sync_tree(cli, to) : status;
}

enum cli_status restore_open(struct cli *cli, const char *dir, const char *key_file,
                             const struct backup_list *list, struct polarys_db **db)
{
    struct polarys_db_options options;
    struct polarys_error err = POLARYS_ERROR_INIT;
    polarys_db_options_init(&options);
    options.create_if_missing = false;
    options.master_key_file = key_file;
    options.is_follower = true;
    polarys_log_level_set(POLARYS_LOG_ERROR);
    if (polarys_db_open(dir, &options, db, &err) != POLARYS_OK) {
        return cli_fail_engine(cli, &err);
    }
    enum cli_status status = CLI_DONE;
    if (memcmp(polarys_db_store_id(*db), list->store_id, BACKUP_ID_SIZE) != 0) {
        status = cli_fail(cli, "FAILED_PRECONDITION/WRONG_STORE",
                          "the files are another store's than the backup's list says");
    } else if (polarys_db_version(*db) != list->version) {
        status = cli_fail(cli, "DATA_LOSS/TAMPERED",
                          "the files hold version %" PRIu64 ", the backup's list says %" PRIu64,
                          polarys_db_version(*db), list->version);
    }
    if (status != CLI_DONE) {
        struct polarys_error ignored = POLARYS_ERROR_INIT;
        (void)polarys_db_close(*db, CLOSE_TIMEOUT_MS, &ignored);
        *db = NULL;
    }
    return status;
}
