/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beginning and ending the transaction of statements, and which of them may stand within.
 */
#include "client/cli/txn.h"

#include <string.h>

#include "client/assert.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"

enum {
    TXN_CALL_TIMEOUT_MS = 60000,
    TXN_IDLE_TIMEOUT_MS = 60000,
    TXN_TIMEOUT_MS = 300000,
    /* A person thinks between two statements. */
    TXN_SHELL_IDLE_TIMEOUT_MS = 300000,
    TXN_SHELL_TIMEOUT_MS = 1800000,
};

/* What reads and writes documents within a transaction. */
static const char *const commands_within[] = {"put",   "update", "get",    "delete",      "scan",
                                              "query", "count",  "search", "delete-range"};
/* What tells about the server and changes nothing. */
static const char *const commands_beside[] = {"help",       "status",       "server-info",
                                              "table list", "index list",   "table describe",
                                              "metrics",    "database list"};

static bool is_in(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum cli_status txn_arguments_check(struct cli *cli, const struct arguments *arguments)
{
    static const enum option_id options_of_txn[] = {
        OPTION_ENDPOINT,   OPTION_DATABASE,   OPTION_TIMEOUT, OPTION_CONSISTENCY, OPTION_PLAINTEXT,
        OPTION_DURABILITY, OPTION_REQUEST_ID, OPTION_ROUTE,   OPTION_READ_FROM,
    };
    const struct command *command = arguments->command;

    if (cli->txn == NULL) {
        return arguments_has(arguments, OPTION_FOR_UPDATE)
                   ? cli_usage(cli, "--for-update goes within a transaction")
                   : CLI_DONE;
    }
    if (command == NULL || is_in(command->name, commands_beside,
                                 sizeof(commands_beside) / sizeof(commands_beside[0]))) {
        return CLI_DONE;
    }
    if (!is_in(command->name, commands_within,
               sizeof(commands_within) / sizeof(commands_within[0]))) {
        return cli_usage(cli, "%s does not go within a transaction: commit or rollback first",
                         command->name);
    }
    for (size_t i = 0; i < sizeof(options_of_txn) / sizeof(options_of_txn[0]); i++) {
        if (arguments_has(arguments, options_of_txn[i])) {
            return cli_usage(cli, "--%s is settled when the transaction begins",
                             option_specs[options_of_txn[i]].name);
        }
    }
    return CLI_DONE;
}

static bool isolation_read(const char *text, enum polarys_client_isolation *isolation)
{
    static const char *const names[] = {"", "read-committed", "snapshot", "serializable"};
    for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *isolation = (enum polarys_client_isolation)i;
            return true;
        }
    }
    return false;
}

/* A duration within what fits, or `ms` as it was when the option is not given. */
static bool duration_read(struct cli *cli, const struct arguments *arguments, enum option_id id,
                          uint32_t *ms)
{
    const char *text = arguments->values[id];
    uint64_t duration_ms;

    POLARYS_ASSERT(option_specs[id].value_name != NULL);
    if (text == NULL) {
        return true;
    }
    if (!parse_duration_ms(text, &duration_ms) || duration_ms == 0 || duration_ms > UINT32_MAX) {
        (void)cli_usage(cli, "--%s is '%s', not a duration such as 30s or 5m",
                        option_specs[id].name, text);
        return false;
    }
    *ms = (uint32_t)duration_ms;
    return true;
}

enum cli_status txn_settings_read(struct cli *cli, const struct arguments *arguments,
                                  struct txn_settings *settings)
{
    struct polarys_client_txn_options *options = &settings->options;
    const char *const *values = arguments->values;

    memset(settings, 0, sizeof(*settings));
    options->database = cli->settings.database;
    options->is_read_only = arguments_has(arguments, OPTION_READ_ONLY);
    options->idle_timeout_ms = cli->is_shell ? TXN_SHELL_IDLE_TIMEOUT_MS : TXN_IDLE_TIMEOUT_MS;
    options->timeout_ms = cli->is_shell ? TXN_SHELL_TIMEOUT_MS : TXN_TIMEOUT_MS;
    if (values[OPTION_ISOLATION] != NULL &&
        !isolation_read(values[OPTION_ISOLATION], &options->isolation)) {
        return cli_usage(cli, "--isolation is '%s', not snapshot, read-committed or serializable",
                         values[OPTION_ISOLATION]);
    }
    if (values[OPTION_MODE] != NULL) {
        bool is_pessimistic = strcmp(values[OPTION_MODE], "pessimistic") == 0;
        if (!is_pessimistic && strcmp(values[OPTION_MODE], "optimistic") != 0) {
            return cli_usage(cli, "--mode is '%s', not optimistic or pessimistic",
                             values[OPTION_MODE]);
        }
        options->mode = is_pessimistic ? POLARYS_CLIENT_PESSIMISTIC : POLARYS_CLIENT_OPTIMISTIC;
    }
    if (values[OPTION_DURABILITY] != NULL &&
        !parse_durability(values[OPTION_DURABILITY], &settings->durability)) {
        return cli_usage(cli,
                         "--durability is '%s', not async, local-sync, quorum or quorum-applied",
                         values[OPTION_DURABILITY]);
    }
    bool is_ok = duration_read(cli, arguments, OPTION_IDLE_TIMEOUT, &options->idle_timeout_ms) &&
                 duration_read(cli, arguments, OPTION_TXN_TIMEOUT, &options->timeout_ms);
    return is_ok ? CLI_DONE : CLI_USAGE;
}

enum cli_status txn_begin(struct cli *cli, const struct txn_settings *settings)
{
    struct polarys_client_error err;
    struct polarys_client_txn *txn;

    POLARYS_ASSERT(cli->txn == NULL);
    struct polarys_client *client = cli_connect(cli, TXN_CALL_TIMEOUT_MS);
    if (client == NULL) {
        return CLI_FAILED;
    }
    if (!polarys_client_txn_begin(client, &settings->options, &txn, &err)) {
        return cli_fail_call(cli, &err);
    }
    cli->txn = txn;
    cli->has_lost_txn = false;
    return CLI_DONE;
}

enum cli_status txn_commit(struct cli *cli, const struct txn_settings *settings)
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    struct polarys_client_txn *txn = cli->txn;

    POLARYS_ASSERT(txn != NULL);
    bool is_ok = polarys_client_txn_commit(txn, settings->durability, &result, &err);
    cli->txn = NULL;
    polarys_client_txn_close(txn);
    return is_ok ? output_result(cli, &result) : cli_fail_call(cli, &err);
}

void txn_rollback(struct cli *cli)
{
    struct polarys_client_txn *txn = cli->txn;

    POLARYS_ASSERT(txn != NULL);
    cli->txn = NULL;
    polarys_client_txn_close(txn);
}
