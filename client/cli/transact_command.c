/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transact: compare, then or else, as a file of JSON says. What the file may say is in transact_parts.h.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/input.h"
#include "client/cli/output.h"
#include "client/cli/transact_parts.h"

enum { TRANSACT_TIMEOUT_MS = 60000 };

/* What the answer does not hold and a reader would miss. */
static void outcome_lacks(struct cli *cli, const struct polarys_client_transact_outcome *outcome)
{
    size_t left_out = 0;

    POLARYS_ASSERT(outcome->items != NULL);
    for (size_t i = 0; i < outcome->item_count; i++) {
        left_out += outcome->items[i].is_left_out ? 1 : 0;
    }
    (void)fflush(cli->out);
    if (left_out > 0) {
        (void)fprintf(cli->err,
                      "%zu documents had no room in the answer: get them with --consistency "
                      "version=%llu\n",
                      left_out, (unsigned long long)outcome->result.version);
    }
    if (outcome->is_replayed) {
        (void)fputs("an attempt whose answer was lost had done it; what it read is not kept\n",
                    cli->err);
    }
}

/* One row for the whole; then, of each operation in JSON, or of each document that was got. */
static enum cli_status outcome_print(struct cli *cli,
                                     const struct polarys_client_transact_outcome *outcome)
{
    struct output *output = output_create(cli);
    enum cli_status status = CLI_FAILED;

    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_bool("succeeded", outcome->has_succeeded),
        field_number("version", outcome->result.version),
        {"token", FIELD_HEX, outcome->result.token, outcome->result.token_size, 0, 0},
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    status = output_finish(output, cli, CLI_DONE);
    output = status == CLI_DONE && outcome->item_count > 0 ? output_create(cli) : NULL;
    if (output == NULL) {
        return status;
    }
    output->has_line_ends = true;
    for (size_t i = 0; i < outcome->item_count; i++) {
        const struct polarys_client_transact_item *item = &outcome->items[i];
        const struct output_field found[] = {field_bool("found", item->is_found),
                                             field_bool("left_out", item->is_left_out)};
        if (item->has_document) {
            output_document(output, &item->document, false);
        } else if (output->format == OUTPUT_JSON) {
            output_row(output, found, item->is_left_out ? 2 : 1);
        }
    }
    return output_finish(output, cli, status);
}

static enum cli_status transact_run(struct cli *cli, struct polarys_client_transact *transact,
                                    enum polarys_client_durability durability)
{
    struct polarys_client_transact_outcome outcome;
    struct polarys_client_error err;

    if (!polarys_client_transact_run(transact, durability, &outcome, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = outcome_print(cli, &outcome);
    outcome_lacks(cli, &outcome);
    polarys_client_transact_outcome_free(&outcome);
    return status;
}

/* Builds the transact from checked JSON, and runs it. */
static enum cli_status transact_read(struct cli *cli, struct polarys_slice text,
                                     enum polarys_client_durability durability)
{
    struct polarys_client *client = cli_connect(cli, TRANSACT_TIMEOUT_MS);
    struct polarys_client_transact *transact;

    if (client == NULL) {
        return CLI_FAILED;
    }
    transact = polarys_client_transact_create(client, cli->settings.database);
    if (transact == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for a transaction");
    }
    enum cli_status status = transact_parts_read(cli, text, transact);
    if (status == CLI_DONE) {
        status = transact_run(cli, transact, durability);
    }
    polarys_client_transact_destroy(transact);
    return status;
}

/* All of the file, or of standard input for "-". */
static enum cli_status file_read(struct cli *cli, const char *name, char **bytes, size_t *size)
{
    if (strcmp(name, "-") == 0) {
        return cli->is_shell ? cli_usage(cli, "in the shell transact reads from a file")
                             : input_read(cli, cli->in, "standard input", bytes, size);
    }
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return cli_fail_errno(cli, name);
    }
    enum cli_status status = input_read(cli, file, name, bytes, size);
    (void)fclose(file);
    return status;
}

enum cli_status command_transact(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_write options = {0};
    struct polarys_error err = POLARYS_ERROR_INIT;
    char *bytes = NULL;
    size_t size = 0;

    enum cli_status status = arguments_write(cli, arguments, &options);
    if (status == CLI_DONE) {
        status = file_read(cli, arguments->positionals[0], &bytes, &size);
    }
    if (status == CLI_DONE) {
        const struct polarys_slice text = {(const uint8_t *)bytes, size};
        if (polarys_json_check(text, &err) != POLARYS_OK) {
            status = cli_fail_engine(cli, &err);
        } else {
            status = transact_read(cli, text, options.durability);
        }
    }
    free(bytes);
    return status;
}
