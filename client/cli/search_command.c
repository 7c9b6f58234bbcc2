/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/field_path.h"
#include "client/cli/output.h"
#include "client/polarys_query.h"

enum { SEARCH_TIMEOUT_MS = 60000 };

struct search_print {
    struct output *output;
    FILE *to;
    bool has_highlights;
    bool is_coloured;
};

/* One row a hit; a person who asked for the places wants to read those, not whole documents. */
static bool hit_row(void *context, const struct polarys_client_hit *hit)
{
    const struct search_print *print = context;
    struct output_field fields[5];
    size_t count = 0;
    bool is_table = print->output->format == OUTPUT_TABLE;

    POLARYS_ASSERT(print->output != NULL);
    fields[count++] = field_real("score", hit->score);
    fields[count++] =
        (struct output_field){"key", FIELD_KEY, hit->document.key, hit->document.key_size, 0, 0};
    if (!is_table) {
        fields[count++] = field_number("version", hit->document.version);
    }
    if (!is_table || !print->has_highlights) {
        fields[count++] = field_value(&hit->document);
    }
    if (print->has_highlights) {
        fields[count++] =
            (struct output_field){"highlights",         FIELD_MARKED,       hit->highlights,
                                  hit->highlight_count, print->is_coloured, 0};
    }
    output_row(print->output, fields, count);
    return ferror(print->to) == 0;
}

static enum cli_status search_run(struct cli *cli,
                                  const struct polarys_client_search_options *options)
{
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, SEARCH_TIMEOUT_MS);
    struct search_print print = {client == NULL ? NULL : output_create(cli), cli->out,
                                 options->with_highlights, false};

    if (print.output == NULL) {
        return CLI_FAILED;
    }
    print.output->has_line_ends = true;
    print.is_coloured = isatty(fileno(cli->out)) != 0 && getenv("NO_COLOR") == NULL;
    if (!polarys_client_search(client, options, hit_row, &print, NULL, &err)) {
        /* What came before the failure is shown, then the failure. */
        enum cli_status status = output_finish(print.output, cli, CLI_DONE);
        return status != CLI_DONE ? status : cli_fail_call(cli, &err);
    }
    return output_finish(print.output, cli, CLI_DONE);
}

enum cli_status command_search(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_search_options options = {0};
    struct field_paths fields = {.count = 0};
    const char *const *words = arguments->positionals;

    POLARYS_ASSERT(arguments->positional_count == 3);
    options.database = cli->settings.database;
    options.table = words[0];
    options.text = words[2];
    options.filter = arguments->values[OPTION_FILTER];
    options.with_highlights = arguments_has(arguments, OPTION_HIGHLIGHTS);
    options.read = arguments_read(cli, arguments);
    if (!arguments_number(cli, arguments, OPTION_LIMIT, 1, UINT64_MAX, &options.limit) ||
        !arguments_number(cli, arguments, OPTION_OFFSET, 0, UINT64_MAX, &options.offset)) {
        return CLI_USAGE;
    }
    char *field = field_path_quote(words[1], strlen(words[1]));
    enum cli_status status =
        field == NULL ? cli_fail(cli, "NO_MEMORY", "no memory for a field") : CLI_DONE;
    options.field = field;
    if (status == CLI_DONE && arguments_has(arguments, OPTION_FIELDS)) {
        status = field_paths_read(cli, "--fields", arguments->values[OPTION_FIELDS], &fields);
    }
    if (status == CLI_DONE) {
        options.fields = fields.paths;
        options.field_count = fields.count;
        status = search_run(cli, &options);
    }
    field_paths_deinit(&fields);
    free(field);
    return status;
}
