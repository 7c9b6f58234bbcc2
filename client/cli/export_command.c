/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: a table at one version as JSON lines that import reads.
 *
 * Invariant: FILE is either the whole export or what it was before; what is being written has another
 * name until it is on stable storage.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"

enum { COUNT_TIMEOUT_MS = 60000 };

static enum cli_status documents_write(struct cli *cli, struct polarys_client_scan *scan, FILE *to,
                                       struct progress *progress)
{
    struct polarys_client_document document;
    struct polarys_client_error err;
    uint64_t documents = 0;
    uint64_t bytes = 0;
    bool has_document;

    POLARYS_ASSERT(to != NULL);
    for (;;) {
        if (!polarys_client_scan_next(scan, &has_document, &document, &err)) {
            progress_end(progress);
            return cli_fail_call(cli, &err);
        }
        if (!has_document) {
            break;
        }
        (void)putc('{', to);
        output_record_members(to, &document);
        (void)fputs("}\n", to);
        if (ferror(to) != 0) {
            progress_end(progress);
            return errno == EPIPE ? CLI_FAILED : cli_fail_errno(cli, "cannot write the export");
        }
        documents++;
        bytes += document.key_size + document.value_size;
        progress_update(progress, documents, documents, bytes);
    }
    progress_update(progress, documents, documents, bytes);
    progress_end(progress);
    return CLI_DONE;
}

/* How many documents there will be, for the bar alone: 0 when nobody watches or it cannot be told. */
static uint64_t total_find(struct cli *cli, struct polarys_client *client, const char *table)
{
    struct polarys_client_error err;
    uint64_t count = 0;

    if (isatty(fileno(cli->err)) == 0 ||
        !polarys_client_count(client, cli->settings.database, table, &cli->settings.read, &count,
                              &err)) {
        return 0;
    }
    return count;
}

static enum cli_status table_export(struct cli *cli, const char *table, uint32_t retry_ms, FILE *to,
                                    struct progress *progress)
{
    struct polarys_client_scan_options options = {0};
    struct polarys_client_scan *scan;
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, COUNT_TIMEOUT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    options.database = cli->settings.database;
    options.table = table;
    options.read = cli->settings.read;
    options.reconnect_ms = retry_ms;
    progress_begin(progress, cli, "exported", total_find(cli, client, table));
    if (!polarys_client_scan_open(client, &options, &scan, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = documents_write(cli, scan, to, progress);
    polarys_client_scan_close(scan);
    return status;
}

/* Closes the file and gives it its name. */
static enum cli_status file_keep(struct cli *cli, FILE *file, const char *partial, const char *name)
{
    bool is_safe = fflush(file) == 0 && fsync(fileno(file)) == 0;
    is_safe = fclose(file) == 0 && is_safe;
    if (!is_safe || rename(partial, name) != 0) {
        enum cli_status status = cli_fail_errno(cli, name);
        (void)unlink(partial);
        return status;
    }
    return CLI_DONE;
}

static enum cli_status file_export(struct cli *cli, const char *table, uint32_t retry_ms,
                                   const char *name, struct progress *progress)
{
    char *partial = NULL;
    if (asprintf(&partial, "%s.partial", name) < 0) {
        return cli_fail(cli, "NO_MEMORY", "no memory for a file name");
    }
    FILE *file = fopen(partial, "we");
    enum cli_status status;
    if (file == NULL) {
        status = cli_fail_errno(cli, partial);
    } else {
        status = table_export(cli, table, retry_ms, file, progress);
        if (status == CLI_DONE) {
            status = file_keep(cli, file, partial, name);
        } else {
            (void)fclose(file);
            (void)unlink(partial);
        }
    }
    free(partial);
    return status;
}

enum cli_status command_export(struct cli *cli, const struct arguments *arguments)
{
    struct progress progress;
    const char *table = arguments->positionals[0];
    const char *name = arguments->positional_count > 1 ? arguments->positionals[1] : "-";

    uint32_t retry_ms;
    enum cli_status status = arguments_retry_for(cli, arguments, &retry_ms);
    if (status != CLI_DONE) {
        return status;
    }
    if (strcmp(name, "-") == 0) {
        return table_export(cli, table, retry_ms, cli->out, &progress);
    }
    status = file_export(cli, table, retry_ms, name, &progress);
    if (status == CLI_DONE) {
        progress_summary_write(&progress, cli->out, cli->settings.format == OUTPUT_JSON);
    }
    return status;
}
