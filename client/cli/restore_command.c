/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore and digest.
 *
 * Invariant: the data directory has its name only when it is whole, opened once, and on a term of its own, so
 * that a restored store and the one it was copied from can never take each other for the same history.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "client/cli/backup_list.h"
#include "client/cli/command.h"
#include "client/cli/content_digest.h"
#include "client/cli/files.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"
#include "client/cli/restore.h"
#include "client/cli/rpc.h"
#include "engine/engine_replica.h"
#include "polarys/v1/admin.pb-c.h"

enum { CLOSE_TIMEOUT_MS = 600000, STATUS_TIMEOUT_MS = 10000 };

#define RESTORING_SUFFIX ".restoring"

/* What came of a restore. */
struct restored {
    uint64_t version; /* of the first write that it will take, less one */
    uint64_t term;
};

/* Opens, promotes and closes, so that what has its name can be served. */
static enum cli_status store_promote(struct cli *cli, const char *dir, const char *key_file,
                                     const struct backup_list *list, struct restored *restored)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db *db;
    enum cli_status status = restore_open(cli, dir, key_file, list, &db);
    if (status != CLI_DONE) {
        return status;
    }
    if (polarys_replica_promote(db, 0, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
    }
    restored->version = polarys_db_version(db);
    restored->term = polarys_db_term(db);
    if (polarys_db_close(db, CLOSE_TIMEOUT_MS, &err) != POLARYS_OK && status == CLI_DONE) {
        status = cli_fail_engine(cli, &err);
    }
    return status;
}

/* The directory above `path`; "." where none is named. */
static void parent_of(const char *path, char *parent)
{
    (void)snprintf(parent, PATH_MAX, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        (void)snprintf(parent, PATH_MAX, ".");
    } else {
        slash[slash == parent ? 1 : 0] = '\0';
    }
}

static enum cli_status target_check(struct cli *cli, const char *target)
{
    size_t size = strlen(target);
    struct stat status;
    if (size == 0 || target[size - 1] == '/' || size + sizeof(RESTORING_SUFFIX) > PATH_MAX) {
        return cli_usage(cli, "--data-dir '%.200s' must end in the name of a new directory",
                         target);
    }
    return lstat(target, &status) != 0 && errno == ENOENT
               ? CLI_DONE
               : cli_fail(cli, "ALREADY_EXISTS",
                          "%s is there already: a restore goes into a new directory", target);
}

static enum cli_status list_restore(struct cli *cli, const char *dir, const char *target,
                                    const char *key_file, const struct backup_list *list,
                                    struct restored *restored)
{
    char partial[PATH_MAX + sizeof(RESTORING_SUFFIX)];
    char parent[PATH_MAX];
    (void)snprintf(partial, sizeof(partial), "%s" RESTORING_SUFFIX, target);
    /* What a restore left that was ended in the middle. */
    enum cli_status status = files_remove_tree(cli, partial);
    if (status == CLI_DONE) {
        status = restore_files(cli, dir, list, partial);
    }
    if (status == CLI_DONE) {
        status = store_promote(cli, partial, key_file, list, restored);
    }
    if (status != CLI_DONE) {
        (void)files_remove_tree(cli, partial);
        return status;
    }
    parent_of(target, parent);
    return files_rename(cli, partial, target, parent);
}

static enum cli_status version_check(struct cli *cli, const struct arguments *arguments,
                                     const struct backup_list *list)
{
    const char *text = arguments->values[OPTION_TO_VERSION];
    uint64_t version;
    if (text == NULL) {
        return CLI_DONE;
    }
    if (!parse_number(text, &version)) {
        return cli_usage(cli, "--to-version is '%s', not a version", text);
    }
    return version == list->version
               ? CLI_DONE
               : cli_fail(cli, "FAILED_PRECONDITION",
                          "the backup holds version %" PRIu64 " and no other; any other version "
                          "needs an archive of the log",
                          list->version);
}

enum cli_status command_restore(struct cli *cli, const struct arguments *arguments)
{
    const char *dir = arguments->positionals[0];
    const char *target = arguments->values[OPTION_DATA_DIR];
    const char *key_file = arguments->values[OPTION_MASTER_KEY_FILE];
    struct backup_list list = {0};
    struct restored restored = {0};
    if (target == NULL || key_file == NULL) {
        return cli_usage(cli, "restore needs --data-dir and --master-key-file");
    }
    enum cli_status status = target_check(cli, target);
    if (status == CLI_DONE) {
        status = backup_list_read(cli, dir, BACKUP_LIST_NAME, &list);
    }
    if (status == CLI_DONE) {
        status = version_check(cli, arguments, &list);
    }
    if (status == CLI_DONE) {
        status = list_restore(cli, dir, target, key_file, &list, &restored);
    }
    struct output *output = status == CLI_DONE ? output_create(cli) : NULL;
    if (output != NULL) {
        const struct output_field fields[] = {
            field_text("data_dir", target, strlen(target)),
            field_number("backup_version", list.version),
            field_number("files", list.file_count),
            field_number("bytes", backup_list_bytes(&list)),
            field_number("version", restored.version),
            field_number("term", restored.term),
        };
        output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
        status = output_finish(output, cli, CLI_DONE);
    } else if (status == CLI_DONE) {
        status = CLI_FAILED;
    }
    backup_list_deinit(&list);
    return status;
}

/* ---- digest ---- */

static enum cli_status newest_version_get(struct cli *cli, uint64_t *version)
{
    Polarys__V1__GetStatusRequest request = POLARYS__V1__GET_STATUS_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/GetStatus", &request.base,
                            &polarys__v1__get_status_response__descriptor, STATUS_TIMEOUT_MS, true};
    enum cli_status status;
    Polarys__V1__GetStatusResponse *response =
        (Polarys__V1__GetStatusResponse *)rpc_invoke(cli, &rpc, &status);
    if (response != NULL) {
        *version = response->version;
        polarys__v1__get_status_response__free_unpacked(response, NULL);
    }
    return status;
}

enum cli_status command_digest(struct cli *cli, const struct arguments *arguments)
{
    char sum[DIGEST_TEXT_SIZE];
    struct content_digest content;
    uint64_t version = 0;
    if (!arguments_number(cli, arguments, OPTION_AT_VERSION, 1, UINT64_MAX, &version)) {
        return CLI_USAGE;
    }
    enum cli_status status = version == 0 ? newest_version_get(cli, &version) : CLI_DONE;
    if (status == CLI_DONE) {
        status = content_digest_server(cli, version, &content);
    }
    if (status != CLI_DONE) {
        return status;
    }
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    digest_text(sum, content.sha256, DIGEST_SIZE);
    const struct output_field fields[] = {
        field_number("version", content.version),     field_number("tables", content.tables),
        field_number("documents", content.documents), field_number("bytes", content.bytes),
        field_text("digest", sum, strlen(sum)),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}
