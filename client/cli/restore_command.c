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
#include "client/cli/restore_archive.h"
#include "client/cli/rpc.h"
#include "engine/engine_members.h"
#include "engine/engine_replica.h"
#include "polarys/v1/admin.pb-c.h"

enum { CLOSE_TIMEOUT_MS = 600000, STATUS_TIMEOUT_MS = 10000 };

#define RESTORING_SUFFIX ".restoring"

/* What is to be restored, and what came of it. */
struct restoring {
    const char *dir; /* of the backup */
    const char *key_file;
    struct backup_list list;
    bool has_archive;
    struct restore_archive archive;
    struct restore_target target;

    uint64_t restored_version; /* that was wanted, or the newest */
    uint64_t version;          /* of the first write that it will take, less one */
    uint64_t term;
};

/* Opens, goes on through the archive, promotes and closes, so that what has its name can be served. */
static enum cli_status store_promote(struct cli *cli, const char *dir, struct restoring *restoring)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db *db;
    enum cli_status status = restore_open(cli, dir, restoring->key_file, &restoring->list, &db);
    if (status != CLI_DONE) {
        return status;
    }
    restoring->restored_version = restoring->list.version;
    if (restoring->has_archive) {
        status = restore_archive_apply(cli, &restoring->archive, &restoring->target, db,
                                       &restoring->restored_version);
    } else if (polarys_replica_promote(db, 0, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
    }
    /* It is of no group: what calls itself a member of the group that was backed up must not be told of its term. */
    if (status == CLI_DONE && polarys_members_clear(db, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
    }
    restoring->version = polarys_db_version(db);
    restoring->term = polarys_db_term(db);
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

static enum cli_status list_restore(struct cli *cli, const char *target,
                                    struct restoring *restoring)
{
    char partial[PATH_MAX + sizeof(RESTORING_SUFFIX)];
    char parent[PATH_MAX];
    (void)snprintf(partial, sizeof(partial), "%s" RESTORING_SUFFIX, target);
    /* What a restore left that was ended in the middle. */
    enum cli_status status = files_remove_tree(cli, partial);
    if (status == CLI_DONE) {
        status = restore_files(cli, restoring->dir, &restoring->list, partial);
    }
    if (status == CLI_DONE && restoring->has_archive) {
        status = restore_archive_keyring(cli, &restoring->archive, restoring->key_file, partial);
    }
    if (status == CLI_DONE) {
        status = store_promote(cli, partial, restoring);
    }
    if (status != CLI_DONE) {
        (void)files_remove_tree(cli, partial);
        return status;
    }
    parent_of(target, parent);
    return files_rename(cli, partial, target, parent);
}

/* Reads --to-version and --to-time. */
static enum cli_status target_take(struct cli *cli, const struct arguments *arguments,
                                   struct restore_target *target)
{
    const char *version = arguments->values[OPTION_TO_VERSION];
    const char *time = arguments->values[OPTION_TO_TIME];
    target->has_version = version != NULL;
    target->has_time = time != NULL;
    if (version != NULL && !parse_number(version, &target->version)) {
        return cli_usage(cli, "--to-version is '%s', not a version", version);
    }
    if (time != NULL && !parse_time_ms(time, &target->unix_ms)) {
        return cli_usage(cli, "--to-time is '%s', not a time such as 2026-01-02T03:04:05Z", time);
    }
    if (version != NULL && time != NULL) {
        return cli_usage(cli, "--to-version and --to-time do not go together");
    }
    if (time != NULL && !arguments_has(arguments, OPTION_ARCHIVE)) {
        return cli_usage(cli, "--to-time needs --archive");
    }
    return CLI_DONE;
}

/* A backup alone holds one version. */
static enum cli_status version_check(struct cli *cli, const struct restoring *restoring)
{
    const struct restore_target *target = &restoring->target;
    if (restoring->has_archive || !target->has_version ||
        target->version == restoring->list.version) {
        return CLI_DONE;
    }
    return cli_fail(cli, "FAILED_PRECONDITION",
                    "the backup holds version %" PRIu64 " and no other; any other version "
                    "needs an archive of the log: --archive",
                    restoring->list.version);
}

static enum cli_status archive_open(struct cli *cli, const struct arguments *arguments,
                                    struct restoring *restoring)
{
    const struct objects_options options = {.location = arguments->values[OPTION_ARCHIVE],
                                            .s3_endpoint = arguments->values[OPTION_S3_ENDPOINT]};
    restoring->has_archive = options.location != NULL;
    return restoring->has_archive ? restore_archive_open(cli, &options, restoring->list.log_segment,
                                                         &restoring->archive)
                                  : CLI_DONE;
}

static enum cli_status restored_print(struct cli *cli, const char *target,
                                      const struct restoring *restoring)
{
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_text("data_dir", target, strlen(target)),
        field_number("backup_version", restoring->list.version),
        field_number("restored_version", restoring->restored_version),
        field_number("files", restoring->list.file_count),
        field_number("bytes", backup_list_bytes(&restoring->list)),
        field_number("version", restoring->version),
        field_number("term", restoring->term),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

enum cli_status command_restore(struct cli *cli, const struct arguments *arguments)
{
    const char *target = arguments->values[OPTION_DATA_DIR];
    struct restoring restoring = {.dir = arguments->positionals[0],
                                  .key_file = arguments->values[OPTION_MASTER_KEY_FILE]};
    if (target == NULL || restoring.key_file == NULL) {
        return cli_usage(cli, "restore needs --data-dir and --master-key-file");
    }
    enum cli_status status = target_take(cli, arguments, &restoring.target);
    if (status == CLI_DONE) {
        status = target_check(cli, target);
    }
    if (status == CLI_DONE) {
        status = backup_list_read(cli, restoring.dir, BACKUP_LIST_NAME, &restoring.list);
    }
    if (status == CLI_DONE) {
        status = archive_open(cli, arguments, &restoring);
    }
    if (status == CLI_DONE) {
        status = version_check(cli, &restoring);
    }
    if (status == CLI_DONE) {
        status = list_restore(cli, target, &restoring);
    }
    if (status == CLI_DONE) {
        status = restored_print(cli, target, &restoring);
    }
    restore_archive_close(&restoring.archive);
    backup_list_deinit(&restoring.list);
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
