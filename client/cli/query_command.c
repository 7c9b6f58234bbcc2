/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query, count.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/field_path.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"
#include "client/cli/plan_output.h"
#include "client/cli/text.h"

enum { QUERY_TIMEOUT_MS = 60000 };

/* What a query is asked with; owns what it points to beside the words. */
struct query_words {
    struct polarys_client_query_options options;
    struct field_paths fields;
    char *order;
    uint8_t *cursor;
};

static void query_words_deinit(struct query_words *words)
{
    field_paths_deinit(&words->fields);
    free(words->order);
    free(words->cursor);
}

static enum cli_status cursor_read(struct cli *cli, const char *text, struct query_words *words)
{
    size_t size = strlen(text) / 2;

    words->cursor = malloc(size + 1);
    if (words->cursor == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for a cursor");
    }
    if (*text != '\0' && !parse_hex(text, words->cursor, &size)) {
        return cli_usage(cli, "--cursor is not what a query has given: hexadecimal digits");
    }
    words->options.cursor = words->cursor;
    words->options.cursor_size = size;
    return CLI_DONE;
}

static enum cli_status query_words_read(struct cli *cli, const struct arguments *arguments,
                                        struct query_words *words)
{
    const char *const *values = arguments->values;
    struct polarys_client_query_options *options = &words->options;
    enum cli_status status = CLI_DONE;

    POLARYS_ASSERT(arguments->positional_count >= 1);
    memset(words, 0, sizeof(*words));
    options->database = cli->settings.database;
    options->table = arguments->positionals[0];
    options->filter = arguments->positional_count > 1 ? arguments->positionals[1] : NULL;
    options->read = arguments_read(cli, arguments);
    if (!arguments_number(cli, arguments, OPTION_LIMIT, 1, UINT64_MAX, &options->limit)) {
        return CLI_USAGE;
    }
    if (values[OPTION_FIELDS] != NULL) {
        status = field_paths_read(cli, "--fields", values[OPTION_FIELDS], &words->fields);
        options->fields = words->fields.paths;
        options->field_count = words->fields.count;
    }
    if (status == CLI_DONE && values[OPTION_ORDER_BY] != NULL) {
        status = field_order_read(cli, values[OPTION_ORDER_BY], &words->order);
        options->order_by = words->order;
    }
    if (status == CLI_DONE && values[OPTION_CURSOR] != NULL) {
        status = cursor_read(cli, values[OPTION_CURSOR], words);
    }
    return status;
}

/* Says how to go on, to whoever asked for pieces. */
static void cursor_tell(struct cli *cli, const struct polarys_client_query *query)
{
    size_t size;
    const void *cursor = polarys_client_query_cursor(query, &size);

    if (cursor != NULL) {
        (void)fflush(cli->out);
        (void)fputs("there may be more: --cursor ", cli->err);
        text_hex_write(cli->err, cursor, size);
        (void)putc('\n', cli->err);
    }
}

static enum cli_status query_print(struct cli *cli, struct polarys_client_query *query)
{
    struct polarys_client_document document;
    struct polarys_client_error err;
    struct output *output = output_create(cli);
    bool has_document = true;

    if (output == NULL) {
        return CLI_FAILED;
    }
    output->has_line_ends = true;
    while (has_document && ferror(cli->out) == 0) {
        if (!polarys_client_query_next(query, &has_document, &document, &err)) {
            /* What came before the failure is shown, then the failure. */
            enum cli_status status = output_finish(output, cli, CLI_DONE);
            return status != CLI_DONE ? status : cli_fail_call(cli, &err);
        }
        if (has_document) {
            output_document(output, &document, false);
        }
    }
    return output_finish(output, cli, CLI_DONE);
}

static enum cli_status query_run(struct cli *cli, const struct arguments *arguments,
                                 struct polarys_client *client, const struct query_words *words)
{
    struct polarys_client_query *query;
    struct polarys_client_error err;

    if (!polarys_client_query_open(client, &words->options, &query, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = query_print(cli, query);
    if (status == CLI_DONE && words->options.limit != 0 &&
        arguments_has(arguments, OPTION_CURSOR)) {
        cursor_tell(cli, query);
    }
    polarys_client_query_close(query);
    return status;
}

static enum cli_status query_explain(struct cli *cli, struct polarys_client *client,
                                     const struct query_words *words, bool runs)
{
    struct polarys_client_plan plan;
    struct polarys_client_error err;

    if (!polarys_client_query_explain(client, &words->options, runs, &plan, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = plan_print(cli, &plan);
    polarys_client_plan_free(&plan);
    return status;
}

enum cli_status command_query(struct cli *cli, const struct arguments *arguments)
{
    struct query_words words;
    struct polarys_client *client = NULL;
    bool runs = arguments_has(arguments, OPTION_ANALYZE);
    bool is_explained = runs || arguments_has(arguments, OPTION_EXPLAIN);

    enum cli_status status = query_words_read(cli, arguments, &words);
    if (status == CLI_DONE && is_explained && words.cursor != NULL) {
        status = cli_usage(cli, "--explain and --analyze go without --cursor");
    }
    if (status == CLI_DONE) {
        client = cli_connect(cli, QUERY_TIMEOUT_MS);
        status = client == NULL ? CLI_FAILED : CLI_DONE;
    }
    if (status == CLI_DONE) {
        status = is_explained ? query_explain(cli, client, &words, runs)
                              : query_run(cli, arguments, client, &words);
    }
    query_words_deinit(&words);
    return status;
}

enum cli_status command_count_documents(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_error err;
    struct polarys_client_query_options options = {0};
    uint64_t count;
    struct polarys_client *client = cli_connect(cli, QUERY_TIMEOUT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    options.database = cli->settings.database;
    options.table = arguments->positionals[0];
    options.filter = arguments->positional_count > 1 ? arguments->positionals[1] : NULL;
    options.read = arguments_read(cli, arguments);
    if (!polarys_client_query_count(client, &options, &count, &err)) {
        return cli_fail_call(cli, &err);
    }
    (void)fprintf(cli->out, "%llu\n", (unsigned long long)count);
    return CLI_DONE;
}
