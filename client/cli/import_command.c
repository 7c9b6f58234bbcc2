/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import: the lines of a file through a bulk writer.
 *
 * Invariant: what was read before a line that is wrong is written, and nothing behind it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "client/cli/command.h"
#include "client/cli/import_line.h"
#include "client/cli/line_reader.h"
#include "client/cli/progress.h"

/* What one import works with. */
struct import {
    struct cli *cli;
    const char *file_name;
    struct line_reader reader;
    struct import_line line;
    struct polarys_client_bulk *bulk;
    struct progress progress;
    uint64_t sent_bytes; /* of the file, up to the last line queued */
    uint64_t acked_bytes;
    uint64_t acked_records;
};

/* The bulk writer's progress. */
static void acked(void *context, uint64_t records, uint64_t bytes)
{
    struct import *import = context;
    import->acked_records = records;
    import->acked_bytes = bytes;
    progress_update(&import->progress, import->sent_bytes, records, bytes);
}

static enum cli_status line_fault_report(struct import *import, const struct import_fault *fault)
{
    char offset[48] = "";
    if (fault->has_offset) {
        (void)snprintf(offset, sizeof(offset), ", offset %llu", (unsigned long long)fault->offset);
    }
    char reason[64];
    (void)snprintf(reason, sizeof(reason), "INVALID_ARGUMENT/%s", fault->reason);
    return cli_fail(import->cli, reason,
                    "%s: line %llu%s: %s; the %llu documents before it are "
                    "written",
                    import->file_name, (unsigned long long)import->reader.line_number, offset,
                    fault->message, (unsigned long long)import->acked_records);
}

static enum cli_status read_fault_report(struct import *import, enum line_event event)
{
    unsigned long long number = (unsigned long long)import->reader.line_number;
    switch (event) {
    case LINE_TOO_LONG:
        return cli_fail(import->cli, "INVALID_ARGUMENT/TOO_LARGE",
                        "%s: line %llu has more than %d bytes", import->file_name, number,
                        LINE_BYTES_MAX);
    case LINE_NO_MEMORY:
        return cli_fail(import->cli, "NO_MEMORY", "%s: no memory for a line after line %llu",
                        import->file_name, number);
    case LINE_IO:
    case LINE_READ:
    case LINE_END:
        break;
    }
    return cli_fail_errno(import->cli, import->file_name);
}

static enum cli_status call_fault_report(struct import *import, struct polarys_client_error *err)
{
    char message[sizeof(err->message)];
    (void)snprintf(message, sizeof(message), "%.900s; %llu documents are written", err->message,
                   (unsigned long long)import->acked_records);
    memcpy(err->message, message, sizeof(err->message));
    return cli_fail_call(import->cli, err);
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* Queues what a line says. */
static bool line_queue(struct import *import, struct polarys_client_error *err)
{
    const struct polarys_client_record *record = &import->line.record;
    import->sent_bytes = import->reader.read_bytes;
    return import->line.is_delete
               ? polarys_client_bulk_delete(import->bulk, record->key, record->key_size, err)
               : polarys_client_bulk_put(import->bulk, record, err);
}

/* All lines. The bulk writer is flushed, unless it failed. */
static enum cli_status lines_import(struct import *import)
{
    struct polarys_client_error err;
    struct import_fault fault;
    const char *line;
    size_t size;
    enum line_event event;

    for (;;) {
        event = line_reader_next(&import->reader, &line, &size);
        if (event != LINE_READ) {
            break;
        }
        if (is_blank(line, size)) {
            continue;
        }
        if (!import_line_read(&import->line, line, size, &fault)) {
            bool is_flushed = polarys_client_bulk_flush(import->bulk, &err);
            progress_end(&import->progress);
            return is_flushed ? line_fault_report(import, &fault) : call_fault_report(import, &err);
        }
        if (!line_queue(import, &err)) {
            progress_end(&import->progress);
            return call_fault_report(import, &err);
        }
    }
    int number = errno;
    bool is_flushed = polarys_client_bulk_flush(import->bulk, &err);
    progress_end(&import->progress);
    if (!is_flushed) {
        return call_fault_report(import, &err);
    }
    errno = number;
    return event == LINE_END ? CLI_DONE : read_fault_report(import, event);
}

/* Makes the table if it is missing, and learns what the server takes. */
static enum cli_status table_prepare(struct import *import, struct polarys_client *client,
                                     const char *table)
{
    struct polarys_client_error err;
    struct polarys_client_limits limits;
    struct timespec now;

    if (!polarys_client_table_create(client, import->cli->settings.database, table, NULL, &err) &&
        strcmp(err.reason, "TABLE_EXISTS") != 0) {
        return cli_fail_call(import->cli, &err);
    }
    if (!polarys_client_limits_get(client, &limits, &err)) {
        return cli_fail_call(import->cli, &err);
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    import->line.value_bytes_max = limits.value_bytes_max;
    import->line.now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return CLI_DONE;
}

static enum cli_status file_import(struct import *import, FILE *file,
                                   const struct polarys_client_bulk_options *options)
{
    struct polarys_client_error err;
    struct stat info;
    struct polarys_client *client = cli_connect(import->cli, CLI_TIMEOUT_DEFAULT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    enum cli_status status = table_prepare(import, client, options->table);
    if (status != CLI_DONE) {
        return status;
    }
    if (!polarys_client_bulk_open(client, options, &import->bulk, &err)) {
        return cli_fail_call(import->cli, &err);
    }
    bool has_size = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
    progress_begin(&import->progress, import->cli, "imported",
                   has_size ? (uint64_t)info.st_size : 0);
    line_reader_init(&import->reader, file);
    status = lines_import(import);
    bool is_closed = polarys_client_bulk_close(import->bulk, &err);
    if (status == CLI_DONE && !is_closed) {
        status = cli_fail_call(import->cli, &err);
    }
    line_reader_deinit(&import->reader);
    import_line_deinit(&import->line);
    return status;
}

enum cli_status command_import(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_bulk_options options = {0};
    struct polarys_client_write write = {0};
    const char *name = arguments->positionals[1];
    bool is_standard = strcmp(name, "-") == 0;

    enum cli_status status = arguments_write(cli, arguments, &write);
    if (status == CLI_DONE) {
        status = arguments_retry_for(cli, arguments, &options.reconnect_ms);
    }
    if (status != CLI_DONE) {
        return status;
    }
    if (is_standard && cli->is_shell) {
        return cli_usage(cli, "in the shell import needs a file");
    }
    FILE *file = is_standard ? cli->in : fopen(name, "re");
    if (file == NULL) {
        return cli_fail_errno(cli, name);
    }
    struct import *import = calloc(1, sizeof(*import));
    if (import == NULL) {
        status = cli_fail(cli, "NO_MEMORY", "no memory for an import");
    } else {
        import->cli = cli;
        import->file_name = is_standard ? "standard input" : name;
        import->line.key_field = arguments->values[OPTION_KEY_FIELD];
        options.database = cli->settings.database;
        options.table = arguments->positionals[0];
        options.durability = write.durability;
        options.progress = acked;
        options.context = import;
        status = file_import(import, file, &options);
        if (status == CLI_DONE) {
            progress_summary_write(&import->progress, cli->out,
                                   cli->settings.format == OUTPUT_JSON);
        }
        free(import);
    }
    if (!is_standard) {
        (void)fclose(file);
    }
    return status;
}
