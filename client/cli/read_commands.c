/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get, scan.
 */
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/output.h"

enum cli_status command_get(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_document document;
    struct polarys_client_error err;
    const struct polarys_client_key key = {cli->settings.database, arguments->positionals[0],
                                           arguments->positionals[1],
                                           strlen(arguments->positionals[1])};
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    const struct polarys_client_read read = arguments_read(cli, arguments);
    if (!polarys_client_get(client, &key, &read, &document, &err)) {
        return cli_fail_call(cli, &err);
    }
    struct output *output = output_create(cli);
    enum cli_status status = CLI_FAILED;
    if (output != NULL) {
        output_document(output, &document, false);
        status = output_finish(output, cli, CLI_DONE);
    }
    polarys_client_document_free(&document);
    return status;
}

static enum cli_status scan_print(struct cli *cli, struct polarys_client_scan *scan,
                                  bool is_keys_only)
{
    struct polarys_client_document document;
    struct polarys_client_error err;
    struct output *output = output_create(cli);
    bool has_document = true;

    POLARYS_ASSERT(scan != NULL);
    if (output == NULL) {
        return CLI_FAILED;
    }
    output->has_line_ends = true;
    while (has_document && ferror(cli->out) == 0) {
        if (!polarys_client_scan_next(scan, &has_document, &document, &err)) {
            /* What came before the failure is shown, then the failure. */
            enum cli_status status = output_finish(output, cli, CLI_DONE);
            return status != CLI_DONE ? status : cli_fail_call(cli, &err);
        }
        if (has_document) {
            output_document(output, &document, is_keys_only);
        }
    }
    return output_finish(output, cli, CLI_DONE);
}

enum cli_status command_scan(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_scan_options options = {0};
    struct polarys_client_scan *scan;
    struct polarys_client_error err;

    if (!arguments_number(cli, arguments, OPTION_LIMIT, 1, UINT64_MAX, &options.limit)) {
        return CLI_USAGE;
    }
    options.database = cli->settings.database;
    options.table = arguments->positionals[0];
    arguments_range(arguments, &options.range);
    options.is_reverse = arguments_has(arguments, OPTION_REVERSE);
    options.is_keys_only = arguments_has(arguments, OPTION_KEYS_ONLY);
    options.read = arguments_read(cli, arguments);
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_scan_open(client, &options, &scan, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = scan_print(cli, scan, options.is_keys_only);
    polarys_client_scan_close(scan);
    return status;
}
