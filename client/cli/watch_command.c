/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: a line a change, written at once, until it is interrupted or the table is dropped.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/text.h"
#include "client/polarys_watch.h"

enum { WATCH_RECONNECT_MS = 60000 };

static const char *kind_name(enum polarys_client_watch_kind kind)
{
    switch (kind) {
    case POLARYS_CLIENT_WATCH_PUT:
        return "put";
    case POLARYS_CLIENT_WATCH_DELETE:
        return "delete";
    case POLARYS_CLIENT_WATCH_DELETE_RANGE:
        return "delete_range";
    case POLARYS_CLIENT_WATCH_SNAPSHOT_PUT:
        return "snapshot_put";
    case POLARYS_CLIENT_WATCH_SNAPSHOT_END:
        return "snapshot_end";
    case POLARYS_CLIENT_WATCH_TABLE_DROPPED:
        return "table_dropped";
    case POLARYS_CLIENT_WATCH_PROGRESS:
    case POLARYS_CLIENT_WATCH_UNKNOWN:
        break;
    }
    return "unknown";
}

static bool has_value(enum polarys_client_watch_kind kind)
{
    return kind == POLARYS_CLIENT_WATCH_PUT || kind == POLARYS_CLIENT_WATCH_SNAPSHOT_PUT;
}

static bool has_key(enum polarys_client_watch_kind kind)
{
    return has_value(kind) || kind == POLARYS_CLIENT_WATCH_DELETE ||
           kind == POLARYS_CLIENT_WATCH_DELETE_RANGE;
}

/* "12 put ann {...}", "13 delete bob", "14 delete_range a b", "15 table_dropped". */
static void line_print(FILE *to, const struct polarys_client_watch_event *event)
{
    const struct polarys_client_document *document = &event->document;
    (void)fprintf(to, "%llu %s", (unsigned long long)document->version, kind_name(event->kind));
    if (has_key(event->kind)) {
        (void)putc(' ', to);
        text_printable_write(to, document->key, document->key_size);
    }
    if (event->kind == POLARYS_CLIENT_WATCH_DELETE_RANGE) {
        (void)putc(' ', to);
        text_printable_write(to, event->end_key, event->end_key_size);
    } else if (has_value(event->kind) && document->kind == POLARYS_CLIENT_JSON) {
        (void)putc(' ', to);
        text_json_line_write(to, document->value, document->value_size);
    } else if (has_value(event->kind)) {
        (void)putc(' ', to);
        text_printable_write(to, document->value, document->value_size);
    }
    (void)putc('\n', to);
}

static void json_print(FILE *to, const struct polarys_client_watch_event *event)
{
    struct output_field fields[OUTPUT_FIELDS_MAX];
    const struct polarys_client_document *document = &event->document;
    const char *kind = kind_name(event->kind);
    size_t count = 0;

    fields[count++] = field_text("event", kind, strlen(kind));
    fields[count++] = field_number("version", document->version);
    if (has_key(event->kind)) {
        fields[count] = field_text("key", document->key, document->key_size);
        fields[count++].kind = FIELD_KEY;
    }
    if (event->kind == POLARYS_CLIENT_WATCH_DELETE_RANGE) {
        fields[count] = field_text("end_key", event->end_key, event->end_key_size);
        fields[count++].kind = FIELD_KEY;
    }
    if (has_value(event->kind)) {
        fields[count++] = field_value(document);
        fields[count++] = field_time("expire_time", document->expires_at_ms);
    }
    fields[count++] = field_time("commit_time", document->commit_time_ms);
    fields[count++] = field_bool("last_of_commit", event->is_last_of_commit);
    output_json_line(to, fields, count);
}

static void event_print(struct cli *cli, const struct polarys_client_watch_event *event)
{
    if (cli->settings.format == OUTPUT_JSON) {
        json_print(cli->out, event);
    } else if (cli->settings.format == OUTPUT_TABLE) {
        line_print(cli->out, event);
    } else if (has_value(event->kind)) {
        (void)fwrite(event->document.value, 1, event->document.value_size, cli->out);
        (void)putc('\n', cli->out);
    }
    (void)fflush(cli->out);
}

static enum cli_status watch_print(struct cli *cli, struct polarys_client_watch *watch)
{
    struct polarys_client_watch_event event;
    struct polarys_client_error err;
    bool has_event = true;

    while (ferror(cli->out) == 0) {
        if (!polarys_client_watch_next(watch, &has_event, &event, &err)) {
            enum cli_status status = cli_fail_call(cli, &err);
            uint64_t version = polarys_client_watch_resume_version(watch);
            if (version != 0) {
                (void)fprintf(cli->err, "polarys: go on with --from-version %llu\n",
                              (unsigned long long)version);
            }
            return status;
        }
        if (!has_event) {
            return CLI_DONE;
        }
        if (event.kind != POLARYS_CLIENT_WATCH_PROGRESS) {
            event_print(cli, &event);
        }
    }
    return CLI_DONE; /* cli_run tells why nothing can be written, where that is news */
}

enum cli_status command_watch(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_watch_options options = {.reconnect_ms = WATCH_RECONNECT_MS};
    struct polarys_client_watch *watch;
    struct polarys_client_error err;
    const char *prefix = arguments->values[OPTION_PREFIX];

    if (!arguments_number(cli, arguments, OPTION_FROM_VERSION, 1, UINT64_MAX,
                          &options.from_version)) {
        return CLI_USAGE;
    }
    options.with_snapshot = arguments_has(arguments, OPTION_SNAPSHOT);
    if (options.with_snapshot && options.from_version != 0) {
        return cli_usage(cli, "--snapshot begins now: it goes without --from-version");
    }
    options.database = cli->settings.database;
    options.table = arguments->positionals[0];
    options.prefix = prefix;
    options.prefix_size = prefix == NULL ? 0 : strlen(prefix);
    options.filter = arguments->values[OPTION_FILTER];
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_watch_open(client, &options, &watch, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = watch_print(cli, watch);
    polarys_client_watch_close(watch);
    return status;
}
