/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index create, list, check, drop; table analyze.
 */
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/field_path.h"
#include "client/cli/output.h"
#include "client/polarys_query.h"

enum {
    INDEX_TIMEOUT_MS = 60000,
    INDEX_CHECK_TIMEOUT_MS = 3600000,
    INDEX_WAIT_MS = 3600000,
};

static const char *const kind_names[] = {"unknown", "hash", "ordered", "text"};
static const char *const state_names[] = {"unknown", "building", "ready", "failed"};

static bool kind_read(const char *text, enum polarys_client_index_kind *kind)
{
    for (size_t i = POLARYS_CLIENT_INDEX_HASH; i < sizeof(kind_names) / sizeof(kind_names[0]);
         i++) {
        if (strcmp(text, kind_names[i]) == 0) {
            *kind = (enum polarys_client_index_kind)i;
            return true;
        }
    }
    return false;
}

/* Reads the options of an index. CLI_USAGE was reported. */
static enum cli_status options_read(struct cli *cli, const struct arguments *arguments,
                                    struct polarys_client_index_options *options)
{
    const char *const *values = arguments->values;

    options->kind = POLARYS_CLIENT_INDEX_ORDERED;
    if (values[OPTION_KIND] != NULL && !kind_read(values[OPTION_KIND], &options->kind)) {
        return cli_usage(cli, "--kind is '%s', not ordered, hash or text", values[OPTION_KIND]);
    }
    options->is_unique = arguments_has(arguments, OPTION_UNIQUE);
    if (options->is_unique && options->kind == POLARYS_CLIENT_INDEX_TEXT) {
        return cli_usage(cli, "a text index cannot be --unique");
    }
    if (values[OPTION_LANGUAGE] != NULL && options->kind != POLARYS_CLIENT_INDEX_TEXT) {
        return cli_usage(cli, "--language goes with --kind text");
    }
    options->index = values[OPTION_NAME];
    options->language = values[OPTION_LANGUAGE];
    options->waits = arguments_has(arguments, OPTION_WAIT);
    options->wait_ms = cli->settings.has_timeout ? cli->settings.timeout_ms : INDEX_WAIT_MS;
    return CLI_DONE;
}

static enum cli_status create_run(struct cli *cli,
                                  const struct polarys_client_index_options *options)
{
    char name[POLARYS_CLIENT_NAME_MAX + 1];
    struct polarys_client_result result;
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, INDEX_TIMEOUT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_index_create(client, options, name, &result, &err)) {
        return cli_fail_call(cli, &err);
    }
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const char *state =
        state_names[options->waits ? POLARYS_CLIENT_INDEX_READY : POLARYS_CLIENT_INDEX_BUILDING];
    const struct output_field fields[] = {
        field_text("index", name, strlen(name)),
        field_text("state", state, strlen(state)),
        field_number("version", result.version),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

enum cli_status command_index_create(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_index_options options = {0};
    struct field_paths fields = {.count = 0};

    POLARYS_ASSERT(arguments->positional_count == 2);
    enum cli_status status = options_read(cli, arguments, &options);
    if (status == CLI_DONE) {
        status = field_paths_read(cli, "FIELD", arguments->positionals[1], &fields);
    }
    if (status == CLI_DONE && fields.count > POLARYS_CLIENT_INDEX_FIELDS_MAX) {
        status = cli_usage(cli, "an index has at most %d fields", POLARYS_CLIENT_INDEX_FIELDS_MAX);
    }
    if (status == CLI_DONE) {
        options.database = cli->settings.database;
        options.table = arguments->positionals[0];
        options.fields = fields.paths;
        options.field_count = fields.count;
        status = create_run(cli, &options);
    }
    field_paths_deinit(&fields);
    return status;
}

/* "Section, `Installed-Size`", cut where it does not fit. */
static void fields_format(char *to, size_t to_size, const struct polarys_client_index *info)
{
    size_t used = 0;

    POLARYS_ASSERT(to_size > 0);
    to[0] = '\0';
    for (size_t i = 0; i < info->field_count && used < to_size - 1; i++) {
        int size = snprintf(to + used, to_size - used, "%s%s", i == 0 ? "" : ", ", info->fields[i]);
        used += size > 0 ? (size_t)size : 0;
    }
}

/* "building (1200 of 60000)". */
static void state_format(char *to, size_t to_size, const struct polarys_client_index *info)
{
    const char *name = state_names[info->state];

    POLARYS_ASSERT((size_t)info->state < sizeof(state_names) / sizeof(state_names[0]));
    if (info->state == POLARYS_CLIENT_INDEX_BUILDING && info->documents_estimated > 0) {
        (void)snprintf(to, to_size, "%s (%llu of %llu)", name,
                       (unsigned long long)info->documents_indexed,
                       (unsigned long long)info->documents_estimated);
    } else if (info->state == POLARYS_CLIENT_INDEX_FAILED) {
        (void)snprintf(to, to_size, "%s: %.400s", name, info->failure);
    } else {
        (void)snprintf(to, to_size, "%s", name);
    }
}

/* One row an index; more members in JSON and with a field a line. */
static bool index_row(void *context, const struct polarys_client_index *info)
{
    struct output *output = context;
    struct output_field fields[12];
    size_t count = 0;
    char names[1024];
    char state[512];
    const char *kind = kind_names[info->kind];
    bool is_full = output->format == OUTPUT_JSON || output->is_expanded;

    POLARYS_ASSERT((size_t)info->kind < sizeof(kind_names) / sizeof(kind_names[0]));
    fields_format(names, sizeof(names), info);
    state_format(state, sizeof(state), info);
    const char *shown_state = is_full ? state_names[info->state] : state;
    fields[count++] = field_text("index", info->index, strlen(info->index));
    if (output->format == OUTPUT_JSON) {
        fields[count++] =
            (struct output_field){"fields", FIELD_MARKED, info->fields, info->field_count, 0, 0};
    } else {
        fields[count++] = field_text("fields", names, strlen(names));
    }
    fields[count++] = field_text("kind", kind, strlen(kind));
    fields[count++] = field_bool("unique", info->is_unique);
    fields[count++] = field_text("state", shown_state, strlen(shown_state));
    if (is_full) {
        fields[count++] = field_text("language", info->language, strlen(info->language));
        fields[count++] = field_text("failure", info->failure, strlen(info->failure));
        fields[count++] = field_number("documents_indexed", info->documents_indexed);
        fields[count++] = field_number("documents_estimated", info->documents_estimated);
        fields[count++] = field_number("entries", info->entry_count);
        fields[count++] = field_number("distinct", info->distinct_count);
        fields[count++] = field_number("created_version", info->created_version);
    }
    POLARYS_ASSERT(count <= sizeof(fields) / sizeof(fields[0]));
    output_row(output, fields, count);
    return true;
}

/* What analyze has found. */
static bool statistics_row(void *context, const struct polarys_client_index *info)
{
    const struct output_field fields[] = {
        field_text("index", info->index, strlen(info->index)),
        field_number("entries", info->entry_count),
        field_number("distinct", info->distinct_count),
    };
    output_row(context, fields, sizeof(fields) / sizeof(fields[0]));
    return true;
}

static enum cli_status list_print(struct cli *cli, struct polarys_client *client, const char *table,
                                  bool (*row)(void *context,
                                              const struct polarys_client_index *info))
{
    struct polarys_client_error err;
    struct output *output = output_create(cli);
    enum cli_status status = CLI_DONE;

    if (output == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_index_list(client, cli->settings.database, table, row, output, &err)) {
        status = cli_fail_call(cli, &err);
    }
    return output_finish(output, cli, status);
}

enum cli_status command_index_list(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    return client == NULL ? CLI_FAILED
                          : list_print(cli, client, arguments->positionals[0], index_row);
}

enum cli_status command_table_analyze(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, INDEX_CHECK_TIMEOUT_MS);
    const char *table = arguments->positionals[0];

    if (client == NULL) {
        return CLI_FAILED;
    }
    return polarys_client_table_analyze(client, cli->settings.database, table, &err)
               ? list_print(cli, client, table, statistics_row)
               : cli_fail_call(cli, &err);
}

enum cli_status command_index_check(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_index_report check;
    struct polarys_client_error err;
    const char *index = arguments->positional_count > 1 ? arguments->positionals[1] : NULL;
    struct polarys_client *client = cli_connect(cli, INDEX_CHECK_TIMEOUT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_index_check(client, cli->settings.database, arguments->positionals[0],
                                    index, &check, &err)) {
        return cli_fail_call(cli, &err);
    }
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_number("documents", check.document_count),
        field_number("entries", check.entry_count),
        field_number("missing", check.missing_count),
        field_number("stray", check.stray_count),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    enum cli_status status = output_finish(output, cli, CLI_DONE);
    if (status == CLI_DONE && (check.missing_count > 0 || check.stray_count > 0)) {
        return cli_fail(cli, "INDEX_WRONG", "drop the index and make it anew; the first fault: %s",
                        check.first_fault);
    }
    return status;
}

enum cli_status command_index_drop(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    struct polarys_client *client = cli_connect(cli, INDEX_TIMEOUT_MS);
    const char *const *words = arguments->positionals;

    if (client == NULL) {
        return CLI_FAILED;
    }
    return polarys_client_index_drop(client, cli->settings.database, words[0], words[1], &result,
                                     &err)
               ? output_result(cli, &result)
               : cli_fail_call(cli, &err);
}
