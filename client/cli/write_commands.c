/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put, update, delete, delete-range.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/input.h"
#include "client/cli/output.h"

/* The value of a put: the third word, or standard input. *owned is to be freed. */
static enum cli_status value_take(struct cli *cli, const struct arguments *arguments,
                                  struct polarys_client_write *write, char **owned)
{
    const char *word = arguments->positional_count > 2 ? arguments->positionals[2] : "-";

    POLARYS_ASSERT(owned != NULL);
    *owned = NULL;
    if (strcmp(word, "-") != 0) {
        write->value = word;
        write->value_size = strlen(word);
        return CLI_DONE;
    }
    if (cli->is_shell || cli->txn != NULL) {
        return cli_usage(cli, "a value stands in the statement here");
    }
    enum cli_status status = input_read(cli, cli->in, "standard input", owned, &write->value_size);
    if (status != CLI_DONE) {
        return status;
    }
    write->value = *owned;
    /* The line break that ends a text file is no part of a JSON document. */
    const char *bytes = write->value;
    while (bytes != NULL && write->kind == POLARYS_CLIENT_JSON && write->value_size > 0 &&
           bytes[write->value_size - 1] != '\0' &&
           strchr(" \t\r\n", bytes[write->value_size - 1]) != NULL) {
        write->value_size--;
    }
    return CLI_DONE;
}

/* What the three commands have in common. */
static enum cli_status write_begin(struct cli *cli, const struct arguments *arguments,
                                   struct polarys_client_write *write)
{
    POLARYS_ASSERT(arguments->positional_count >= 2);
    memset(write, 0, sizeof(*write));
    write->database = cli->settings.database;
    write->txn = cli->txn;
    write->table = arguments->positionals[0];
    write->key = arguments->positionals[1];
    write->key_size = strlen(arguments->positionals[1]);
    return arguments_write(cli, arguments, write);
}

/* Within a transaction nothing is told: there is no version yet. */
static enum cli_status write_answer(struct cli *cli, const struct polarys_client_result *result)
{
    return cli->txn != NULL ? CLI_DONE : output_result(cli, result);
}

static enum cli_status write_run(struct cli *cli, const struct polarys_client_write *write,
                                 bool (*call)(struct polarys_client *client,
                                              const struct polarys_client_write *write,
                                              struct polarys_client_result *result,
                                              struct polarys_client_error *err))
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);

    POLARYS_ASSERT(write->key != NULL);
    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!call(client, write, &result, &err)) {
        return cli_fail_call(cli, &err);
    }
    return write_answer(cli, &result);
}

enum cli_status command_put(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_write write;
    char *owned = NULL;

    enum cli_status status = write_begin(cli, arguments, &write);
    if (status == CLI_DONE) {
        status = value_take(cli, arguments, &write, &owned);
    }
    if (status == CLI_DONE) {
        status = write_run(cli, &write, polarys_client_put);
    }
    free(owned);
    return status;
}

enum cli_status command_update(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_write write;

    enum cli_status status = write_begin(cli, arguments, &write);
    if (status != CLI_DONE) {
        return status;
    }
    write.value = arguments->positionals[2];
    write.value_size = strlen(arguments->positionals[2]);
    return write_run(cli, &write, polarys_client_update);
}

enum cli_status command_delete(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_write write;

    enum cli_status status = write_begin(cli, arguments, &write);
    return status != CLI_DONE ? status : write_run(cli, &write, polarys_client_delete);
}

enum cli_status command_delete_range(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_write options = {0};
    struct polarys_client_range_write write = {0};
    struct polarys_client_error err;
    struct polarys_client_result result;

    arguments_range(arguments, &write.range);
    bool has_range =
        write.range.prefix != NULL || write.range.start != NULL || write.range.end != NULL;
    if (has_range == arguments_has(arguments, OPTION_ALL)) {
        return cli_usage(cli, "say what to delete: --prefix, --from or --to, or else --all");
    }
    enum cli_status status = arguments_write(cli, arguments, &options);
    if (status != CLI_DONE) {
        return status;
    }
    write.database = cli->settings.database;
    write.txn = cli->txn;
    write.table = arguments->positionals[0];
    write.durability = options.durability;
    write.has_request_id = options.has_request_id;
    memcpy(write.request_id, options.request_id, sizeof(write.request_id));
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_delete_range(client, &write, &result, &err)) {
        return cli_fail_call(cli, &err);
    }
    return write_answer(cli, &result);
}
