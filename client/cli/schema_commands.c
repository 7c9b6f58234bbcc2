/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table create, list, describe, drop, truncate; database create, list, drop.
 */
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/output.h"

enum { SCHEMA_TIMEOUT_MS = 60000 };

/* A change of the table that the command line names. */
static enum cli_status table_change(struct cli *cli, const struct arguments *arguments,
                                    bool (*change)(struct polarys_client *client,
                                                   const char *database, const char *table,
                                                   struct polarys_client_result *result,
                                                   struct polarys_client_error *err))
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    struct polarys_client *client = cli_connect(cli, SCHEMA_TIMEOUT_MS);

    POLARYS_ASSERT(arguments->positional_count == 1);
    if (client == NULL) {
        return CLI_FAILED;
    }
    return change(client, cli->settings.database, arguments->positionals[0], &result, &err)
               ? output_result(cli, &result)
               : cli_fail_call(cli, &err);
}

enum cli_status command_table_create(struct cli *cli, const struct arguments *arguments)
{
    return table_change(cli, arguments, polarys_client_table_create);
}

enum cli_status command_table_drop(struct cli *cli, const struct arguments *arguments)
{
    return table_change(cli, arguments, polarys_client_table_drop);
}

enum cli_status command_table_truncate(struct cli *cli, const struct arguments *arguments)
{
    return table_change(cli, arguments, polarys_client_table_truncate);
}

static enum cli_status database_change(struct cli *cli, const struct arguments *arguments,
                                       bool (*change)(struct polarys_client *client,
                                                      const char *database,
                                                      struct polarys_client_result *result,
                                                      struct polarys_client_error *err))
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    struct polarys_client *client = cli_connect(cli, SCHEMA_TIMEOUT_MS);

    POLARYS_ASSERT(arguments->positional_count == 1);
    if (client == NULL) {
        return CLI_FAILED;
    }
    return change(client, arguments->positionals[0], &result, &err) ? output_result(cli, &result)
                                                                    : cli_fail_call(cli, &err);
}

enum cli_status command_database_create(struct cli *cli, const struct arguments *arguments)
{
    return database_change(cli, arguments, polarys_client_database_create);
}

enum cli_status command_database_drop(struct cli *cli, const struct arguments *arguments)
{
    return database_change(cli, arguments, polarys_client_database_drop);
}

/* One row a table; an output_row for polarys_client_table_list. */
static bool table_row(void *context, const struct polarys_client_table *table)
{
    const struct output_field fields[] = {
        field_text("table", table->table, strlen(table->table)),
        field_text("database", table->database, strlen(table->database)),
        field_number("created_version", table->created_version),
        field_time("created", table->created_time_ms),
    };
    output_row(context, fields, sizeof(fields) / sizeof(fields[0]));
    return true;
}

enum cli_status command_table_list(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    struct output *output = client == NULL ? NULL : output_create(cli);
    enum cli_status status = CLI_DONE;

    (void)arguments;
    if (output == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_table_list(client, cli->settings.database, table_row, output, &err)) {
        status = cli_fail_call(cli, &err);
    }
    return output_finish(output, cli, status);
}

enum cli_status command_table_describe(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_error err;
    struct polarys_client_table table;
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    struct output *output = client == NULL ? NULL : output_create(cli);
    enum cli_status status = CLI_DONE;

    if (output == NULL) {
        return CLI_FAILED;
    }
    if (polarys_client_table_get(client, cli->settings.database, arguments->positionals[0], &table,
                                 &err)) {
        (void)table_row(output, &table);
    } else {
        status = cli_fail_call(cli, &err);
    }
    return output_finish(output, cli, status);
}

static bool database_row(void *context, const char *database, uint64_t created_version)
{
    const struct output_field fields[] = {
        field_text("database", database, strlen(database)),
        field_number("created_version", created_version),
    };
    output_row(context, fields, sizeof(fields) / sizeof(fields[0]));
    return true;
}

enum cli_status command_database_list(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, CLI_TIMEOUT_DEFAULT_MS);
    struct output *output = client == NULL ? NULL : output_create(cli);
    enum cli_status status = CLI_DONE;

    (void)arguments;
    if (output == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_database_list(client, database_row, output, &err)) {
        status = cli_fail_call(cli, &err);
    }
    return output_finish(output, cli, status);
}
