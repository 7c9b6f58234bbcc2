/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup create, backup verify.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/backup_list.h"
#include "client/cli/backup_receive.h"
#include "client/cli/command.h"
#include "client/cli/content_digest.h"
#include "client/cli/files.h"
#include "client/cli/output.h"
#include "client/cli/restore.h"

enum { CLOSE_TIMEOUT_MS = 60000 };

enum cli_status command_backup_create(struct cli *cli, const struct arguments *arguments)
{
    struct backup_order order = {.dir = arguments->positionals[0],
                                 .base_dir = arguments->values[OPTION_INCREMENTAL_FROM]};
    struct backup_outcome outcome;
    enum cli_status status = arguments_retry_for(cli, arguments, &order.retry_ms);
    if (status == CLI_DONE) {
        status = backup_receive(cli, &order, &outcome);
    }
    if (status != CLI_DONE) {
        return status;
    }
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_text("backup", order.dir, strlen(order.dir)),
        field_number("version", outcome.version),
        field_number("files", outcome.file_count),
        field_number("bytes", outcome.bytes),
        field_number("received_files", outcome.received_files),
        field_number("received_bytes", outcome.received_bytes),
        field_number("shared_files", outcome.shared_files),
        field_bool("resumed", outcome.was_resumed),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

/* ---- verify ---- */

/* Every block of every table file, also those that no document leads to. */
static enum cli_status blocks_verify(struct cli *cli, struct polarys_db *db)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    uint64_t bad_blocks = 0;
    if (polarys_db_verify(db, &bad_blocks, &err) != POLARYS_OK) {
        return cli_fail_engine(cli, &err);
    }
    return bad_blocks == 0 ? CLI_DONE
                           : cli_fail(cli, "DATA_LOSS/CORRUPT", "%llu blocks are bad",
                                      (unsigned long long)bad_blocks);
}

static enum cli_status store_verify(struct cli *cli, const char *dir, const char *key_file,
                                    const struct backup_list *list, struct content_digest *content)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db *db;
    enum cli_status status = restore_open(cli, dir, key_file, list, &db);
    if (status != CLI_DONE) {
        return status;
    }
    status = blocks_verify(cli, db);
    if (status == CLI_DONE) {
        status = content_digest_store(cli, db, content);
    }
    if (polarys_db_close(db, CLOSE_TIMEOUT_MS, &err) != POLARYS_OK && status == CLI_DONE) {
        status = cli_fail_engine(cli, &err);
    }
    return status;
}

/* Restores beside the backup, where there is room for another of its size, and removes what was restored. */
static enum cli_status scratch_verify(struct cli *cli, const char *dir, const char *key_file,
                                      const struct backup_list *list,
                                      struct content_digest *content)
{
    char scratch[PATH_MAX];
    int size = snprintf(scratch, sizeof(scratch), "%s.verify-XXXXXX", dir);
    if (size < 0 || size >= (int)sizeof(scratch)) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    if (mkdtemp(scratch) == NULL) {
        return cli_fail_errno(cli, scratch);
    }
    enum cli_status status = restore_files(cli, dir, list, scratch);
    if (status == CLI_DONE) {
        status = store_verify(cli, scratch, key_file, list, content);
    }
    enum cli_status removed = files_remove_tree(cli, scratch);
    return status == CLI_DONE ? removed : status;
}

enum cli_status command_backup_verify(struct cli *cli, const struct arguments *arguments)
{
    char dir[PATH_MAX];
    char sum[DIGEST_TEXT_SIZE];
    const char *key_file = arguments->values[OPTION_MASTER_KEY_FILE];
    struct backup_list list = {0};
    struct content_digest content = {.version = 0};
    if (key_file == NULL) {
        return cli_usage(cli, "backup verify needs --master-key-file: all of it is encrypted");
    }
    if (realpath(arguments->positionals[0], dir) == NULL) {
        return cli_fail_errno(cli, arguments->positionals[0]);
    }
    enum cli_status status = backup_list_read(cli, dir, BACKUP_LIST_NAME, &list);
    if (status == CLI_DONE) {
        status = scratch_verify(cli, dir, key_file, &list, &content);
    }
    struct output *output = status == CLI_DONE ? output_create(cli) : NULL;
    if (output != NULL) {
        digest_text(sum, content.sha256, DIGEST_SIZE);
        const struct output_field fields[] = {
            field_text("backup", arguments->positionals[0], strlen(arguments->positionals[0])),
            field_number("version", content.version),
            field_number("files", list.file_count),
            field_number("tables", content.tables),
            field_number("documents", content.documents),
            field_number("bytes", content.bytes),
            field_text("digest", sum, strlen(sum)),
        };
        output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
        status = output_finish(output, cli, CLI_DONE);
    } else if (status == CLI_DONE) {
        status = CLI_FAILED;
    }
    backup_list_deinit(&list);
    return status;
}
