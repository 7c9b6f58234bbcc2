/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell: statements are the commands of the command line without its first word.
 *
 * On a terminal a statement that fails is reported and the next one is read. From a stream the first one
 * that fails ends the shell with its exit status, so that a script does not run on past a mistake.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "client/cli/shell_statement.h"
#include "client/cli/txn.h"

struct shell {
    struct cli *cli;
    struct shell_input input;
    struct txn_settings txn; /* of the open transaction */
    bool is_timed;
    bool is_over;
};

static void shell_help(struct cli *cli)
{
    help_print(cli->out);
    (void)fputs(
        "\nIn the shell also:\n"
        "  begin      open a transaction; begin --isolation serializable, --mode pessimistic, ...\n"
        "  commit     make it take effect; rollback drops it\n"
        "  \\timing    show how long each statement took, or stop\n"
        "  \\x         show a field a line, or columns again\n"
        "  \\q         leave; so do quit, exit and the end of the input\n"
        "  help       this text; help COMMAND for one command\n"
        "A value may be JSON as it is, over several lines; 'quotes' keep blanks together.\n",
        cli->out);
}

/* What is the shell's own. False: it is a command. */
static bool own_statement_run(struct shell *shell, const struct shell_words *words)
{
    struct cli *cli = shell->cli;
    const char *word = words->words[0];

    if (words->count != 1) {
        return false;
    }
    if (strcmp(word, "\\q") == 0 || strcmp(word, "quit") == 0 || strcmp(word, "exit") == 0) {
        shell->is_over = true;
    } else if (strcmp(word, "\\x") == 0) {
        cli->is_expanded = !cli->is_expanded;
        (void)fprintf(cli->err, "A field a line is %s.\n", cli->is_expanded ? "on" : "off");
    } else if (strcmp(word, "\\timing") == 0) {
        shell->is_timed = !shell->is_timed;
        (void)fprintf(cli->err, "Timing is %s.\n", shell->is_timed ? "on" : "off");
    } else if (strcmp(word, "help") == 0 || strcmp(word, "\\?") == 0 || strcmp(word, "\\h") == 0) {
        shell_help(cli);
    } else {
        return false;
    }
    return true;
}

static enum cli_status begin_run(struct shell *shell, const struct shell_words *words)
{
    const char *own[SHELL_WORDS_MAX];
    struct cli *cli = shell->cli;
    struct cli_settings settings = cli->settings;
    struct arguments arguments;

    POLARYS_ASSERT(words->count > 0 && words->count <= SHELL_WORDS_MAX);
    if (cli->txn != NULL) {
        return cli_usage(cli, "a transaction is open: commit or rollback first");
    }
    /* What begin takes is what the command txn takes. */
    memcpy(own, words->words, (size_t)words->count * sizeof(own[0]));
    own[0] = "txn";
    enum cli_status status = arguments_parse(cli, words->count, own, &arguments);
    if (status == CLI_DONE && arguments_has(&arguments, OPTION_HELP)) {
        help_print_command(cli->out, arguments.command);
        return CLI_DONE;
    }
    if (status == CLI_DONE) {
        status = arguments_settings(cli, &arguments);
    }
    if (status == CLI_DONE) {
        status = txn_settings_read(cli, &arguments, &shell->txn);
    }
    if (status == CLI_DONE) {
        status = txn_begin(cli, &shell->txn);
    }
    cli->settings = settings;
    if (settings.read.token != NULL) {
        cli->settings.read.token = cli->settings.token; /* it lies within the settings */
    }
    if (status == CLI_DONE && shell->input.is_terminal) {
        (void)fprintf(cli->err,
                      "A transaction is open. It ends with commit or rollback; the server rolls it "
                      "back after %u s without a statement, or %u s in all.\n",
                      shell->txn.options.idle_timeout_ms / 1000,
                      shell->txn.options.timeout_ms / 1000);
    }
    return status;
}

/* begin, commit, rollback. False: it is another statement. */
static bool txn_statement_run(struct shell *shell, const struct shell_words *words,
                              enum cli_status *status)
{
    struct cli *cli = shell->cli;
    bool is_commit = strcmp(words->words[0], "commit") == 0;
    bool is_rollback = strcmp(words->words[0], "rollback") == 0;

    if (strcmp(words->words[0], "begin") == 0) {
        *status = begin_run(shell, words);
        return true;
    }
    if (!is_commit && !is_rollback) {
        return false;
    }
    if (words->count > 1) {
        *status =
            cli_usage(cli, "%s takes no words; what there is belongs to begin", words->words[0]);
    } else if (cli->txn == NULL) {
        *status = cli_usage(cli, "no transaction is open; begin opens one");
    } else if (is_commit) {
        *status = txn_commit(cli, &shell->txn);
    } else {
        txn_rollback(cli);
        *status = CLI_DONE;
    }
    return true;
}

static enum cli_status statement_run(struct shell *shell, const struct shell_words *words)
{
    enum cli_status status = CLI_DONE;
    uint64_t start_ms = progress_now_ms();

    if (words->count == 0 || own_statement_run(shell, words)) {
        return CLI_DONE;
    }
    if (words->words[0][0] == '\\') {
        return cli_usage(shell->cli, "no %s here; see: help", words->words[0]);
    }
    if (strcmp(words->words[0], "shell") == 0) {
        return cli_usage(shell->cli, "this is the shell");
    }
    if (!txn_statement_run(shell, words, &status)) {
        status = cli_run(shell->cli, words->count, words->words);
    }
    if (shell->is_timed) {
        (void)fprintf(shell->cli->err, "Time: %llu ms\n",
                      (unsigned long long)(progress_now_ms() - start_ms));
    }
    return status;
}

/* Says that the server has ended the transaction, once a statement found out. */
static void loss_tell(struct shell *shell)
{
    struct cli *cli = shell->cli;

    if (cli->txn != NULL && cli->has_lost_txn) {
        txn_rollback(cli);
        (void)cli_fail(cli, "ROLLED_BACK",
                       "the transaction is over: nothing of it took effect. It may stand idle for "
                       "%u s and last %u s; begin --idle-timeout D --txn-timeout D gives more",
                       shell->txn.options.idle_timeout_ms / 1000,
                       shell->txn.options.timeout_ms / 1000);
    }
}

/* Reads and runs one statement. */
static enum cli_status statement_next(struct shell *shell)
{
    struct shell_statement statement;
    const char *prompt = shell->cli->txn == NULL ? "polarys> " : "polarys (txn)> ";

    enum cli_status status =
        shell_statement_read(&shell->input, prompt, &statement, &shell->is_over);
    if (status == CLI_DONE && !shell->is_over) {
        if (statement.words.count > 0) {
            shell_input_remember(&shell->input, statement.text);
        }
        status = statement_run(shell, &statement.words);
        loss_tell(shell);
    }
    shell_statement_deinit(&statement);
    return status;
}

enum cli_status command_shell(struct cli *cli, const struct arguments *arguments)
{
    struct shell *shell = calloc(1, sizeof(*shell));
    enum cli_status status = CLI_DONE;

    (void)arguments;
    if (shell == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for the shell");
    }
    shell->cli = cli;
    shell_input_begin(&shell->input, cli);
    cli->is_shell = true;
    if (shell->input.is_terminal) {
        (void)fprintf(cli->out, "polarys %s, %s. help tells more, \\q leaves.\n",
                      polarys_client_version_text(), cli->settings.endpoint);
    }
    while (!shell->is_over) {
        status = statement_next(shell);
        if (status != CLI_DONE && !shell->input.is_terminal) {
            break;
        }
    }
    if (shell->input.is_terminal) {
        (void)putc('\n', cli->out);
        status = CLI_DONE;
    }
    if (cli->txn != NULL) {
        txn_rollback(cli);
        (void)cli_fail(cli, "ROLLED_BACK", "the open transaction was rolled back");
        status = status == CLI_DONE && !shell->input.is_terminal ? CLI_FAILED : status;
    }
    shell_input_end(&shell->input);
    cli->is_shell = false;
    cli->is_expanded = false;
    free(shell);
    return status;
}
