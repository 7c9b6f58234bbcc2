/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import-polarysdb: the files of the Go program PolarysDB into a server, or with --dry-run a list of what is in
 * them.
 *
 * Invariant: every file is read and judged to its end before the server is asked for anything.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/polarysdb_names.h"
#include "client/cli/polarysdb_source.h"
#include "client/cli/polarysdb_write.h"
#include "client/cli/text.h"

static enum cli_status fault_report(struct cli *cli, const struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(fault->reason[0] != '\0');
    return cli_fail(cli, fault->reason, "%s", fault->message);
}

static enum cli_status keys_read(struct cli *cli, const struct arguments *arguments,
                                 struct polarysdb_keys *keys)
{
    const char *texts[ARGUMENTS_REPEATED_MAX];
    size_t count = arguments_repeated(arguments, OPTION_KEY_HEX, texts);

    for (size_t i = 0; i < count; i++) {
        if (keys->count == POLARYSDB_KEYS_MAX) {
            return cli_usage(cli, "more than %d keys", POLARYSDB_KEYS_MAX);
        }
        if (!polarysdb_keys_add(keys, texts[i])) {
            /* Not shown: it may be a key with one digit too many. */
            return cli_usage(cli,
                             "--key-hex is not 64 hexadecimal digits, the 32 bytes of the key");
        }
    }
    return CLI_DONE;
}

static enum cli_status renames_read(struct cli *cli, const struct arguments *arguments,
                                    const char **renames, size_t *count)
{
    *count = arguments_repeated(arguments, OPTION_RENAME_TABLE, renames);
    if (*count > POLARYSDB_RENAMES_MAX) {
        return cli_usage(cli, "--rename-table is given more than %d times", POLARYSDB_RENAMES_MAX);
    }
    for (size_t i = 0; i < *count; i++) {
        if (!polarysdb_rename_is_valid(renames[i])) {
            return cli_usage(cli,
                             "--rename-table is '%s', not OLD=NEW with a NEW of a letter and up to "
                             "127 letters, digits, '_', '.' and '-'",
                             renames[i]);
        }
    }
    return CLI_DONE;
}

/* Says what of the log is not in what is imported: with a copied file's time that would be wrong. */
static void left_out_note(struct cli *cli, const struct polarysdb_log *log)
{
    if (log->left_out == 0) {
        return;
    }
    (void)fprintf(cli->err,
                  "polarys: %llu of %llu log entries are left out: they are not newer than the "
                  "snapshot, which was written at ",
                  (unsigned long long)log->left_out, (unsigned long long)log->entries);
    text_time_write(cli->err, (uint64_t)(log->snapshot_ns > 0 ? log->snapshot_ns / 1000000 : 0));
    (void)fputs("; --replay-all applies them too\n", cli->err);
}

static enum cli_status tables_print(struct cli *cli, const struct polarysdb_store *store)
{
    struct output *output = output_create(cli);

    if (output == NULL) {
        return CLI_FAILED;
    }
    for (size_t i = 0; i < store->table_count; i++) {
        const struct polarysdb_table *table = store->tables[i];
        const struct output_field fields[] = {
            field_text("table", table->target, strlen(table->target)),
            field_text("from", table->name, table->name_size),
            field_number("documents", table->count),
            field_number("raw", table->raw_count),
            field_number("bytes", table->bytes),
            field_number("largest_value", table->largest_value),
        };
        output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    }
    return output_finish(output, cli, CLI_DONE);
}

static enum cli_status source_import(struct cli *cli, const struct arguments *arguments,
                                     const struct polarysdb_source *source)
{
    struct polarysdb_write_options options = {.replaces = arguments_has(arguments, OPTION_REPLACE)};
    struct polarys_client_write write = {0};
    struct progress progress;

    enum cli_status status = arguments_write(cli, arguments, &write);
    if (status == CLI_DONE) {
        status = arguments_retry_for(cli, arguments, &options.reconnect_ms);
    }
    if (status != CLI_DONE) {
        return status;
    }
    if (arguments_has(arguments, OPTION_DRY_RUN)) {
        left_out_note(cli, &source->log);
        return tables_print(cli, &source->store);
    }
    options.durability = write.durability;
    status = polarysdb_write(cli, &source->store, &options, &progress);
    if (status == CLI_DONE) {
        left_out_note(cli, &source->log);
        progress_summary_write(&progress, cli->out, cli->settings.format == OUTPUT_JSON);
    }
    return status;
}

static enum cli_status source_run(struct cli *cli, const struct arguments *arguments,
                                  struct polarysdb_source *source)
{
    const char *renames[ARGUMENTS_REPEATED_MAX];
    size_t rename_count;
    struct polarysdb_fault fault;

    enum cli_status status = keys_read(cli, arguments, &source->keys);
    if (status == CLI_DONE) {
        status = renames_read(cli, arguments, renames, &rename_count);
    }
    if (status != CLI_DONE) {
        return status;
    }
    source->replays_all = arguments_has(arguments, OPTION_REPLAY_ALL);
    if (!polarysdb_source_read(source, arguments->positionals[0], &fault) ||
        !polarysdb_names_resolve(&source->store, renames, rename_count, &fault) ||
        !polarysdb_names_keys_check(&source->store, &fault)) {
        return fault_report(cli, &fault);
    }
    return source_import(cli, arguments, source);
}

enum cli_status command_import_polarysdb(struct cli *cli, const struct arguments *arguments)
{
    struct polarysdb_source *source = calloc(1, sizeof(*source));

    if (source == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for an import");
    }
    enum cli_status status = source_run(cli, arguments, source);
    polarysdb_source_deinit(source);
    free(source);
    return status;
}
