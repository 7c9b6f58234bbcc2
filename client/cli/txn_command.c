/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn: statements from standard input. The first begins a transaction; `commit` or the end of the input
 * commits it, and a statement behind `commit` begins another one. The first statement that fails rolls the
 * open one back and ends the command with its exit status.
 */
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/shell_statement.h"
#include "client/cli/txn.h"

/* One statement. REQUIRES: it has words. */
static enum cli_status statement_run(struct cli *cli, const struct txn_settings *settings,
                                     const struct shell_words *words)
{
    bool is_commit = words->count == 1 && strcmp(words->words[0], "commit") == 0;
    bool is_rollback = words->count == 1 && strcmp(words->words[0], "rollback") == 0;

    POLARYS_ASSERT(words->count > 0);
    if ((is_commit || is_rollback) && cli->txn == NULL) {
        return cli_usage(cli, "%s: no statement stands in front of it", words->words[0]);
    }
    if (is_commit) {
        return txn_commit(cli, settings);
    }
    if (is_rollback) {
        txn_rollback(cli);
        return CLI_DONE;
    }
    enum cli_status status = cli->txn == NULL ? txn_begin(cli, settings) : CLI_DONE;
    return status != CLI_DONE ? status : cli_run(cli, words->count, words->words);
}

static enum cli_status statements_run(struct cli *cli, const struct txn_settings *settings)
{
    struct shell_input input;
    struct shell_statement statement;
    enum cli_status status = CLI_DONE;
    bool is_over = false;

    shell_input_begin_stream(&input, cli);
    while (status == CLI_DONE && !is_over) {
        status = shell_statement_read(&input, "", &statement, &is_over);
        if (status == CLI_DONE && !is_over && statement.words.count > 0) {
            status = statement_run(cli, settings, &statement.words);
        }
        shell_statement_deinit(&statement);
    }
    if (cli->txn != NULL && status == CLI_DONE) {
        return txn_commit(cli, settings);
    }
    if (status != CLI_DONE && cli->txn != NULL) {
        txn_rollback(cli);
        (void)cli_fail(cli, "ROLLED_BACK",
                       "the statement that ends in line %llu failed: nothing of its transaction "
                       "took effect",
                       (unsigned long long)input.line_count);
    }
    return status;
}

enum cli_status command_txn(struct cli *cli, const struct arguments *arguments)
{
    struct txn_settings settings;

    if (cli->is_shell) {
        return cli_usage(cli, "in the shell: begin, then statements, then commit or rollback");
    }
    enum cli_status status = txn_settings_read(cli, arguments, &settings);
    if (status != CLI_DONE) {
        return status;
    }
    cli->is_shell = true; /* standard input belongs to the statements */
    status = statements_run(cli, &settings);
    cli->is_shell = false;
    POLARYS_ASSERT(cli->txn == NULL);
    return status;
}
