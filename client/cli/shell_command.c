/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell: statements are the commands of the command line without its first word.
 *
 * On a terminal a statement that fails is reported and the next one is read. From a stream the first one
 * that fails ends the shell with its exit status, so that a script does not run on past a mistake.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "client/cli/shell_input.h"
#include "client/cli/shell_words.h"

enum { STATEMENT_BYTES_MAX = 40 << 20 };

struct shell {
    struct cli *cli;
    struct shell_input input;
    bool is_timed;
    bool is_over;
};

static void shell_help(struct cli *cli)
{
    help_print(cli->out);
    (void)fputs(
        "\nIn the shell also:\n"
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
    status = cli_run(shell->cli, words->count, words->words);
    if (shell->is_timed) {
        (void)fprintf(shell->cli->err, "Time: %llu ms\n",
                      (unsigned long long)(progress_now_ms() - start_ms));
    }
    return status;
}

/* Appends a line to the statement. False: no memory, or too long; the statement is freed. */
static bool statement_append(char **statement, const char *line)
{
    size_t old_size = *statement == NULL ? 0 : strlen(*statement) + 1;
    size_t line_size = strlen(line);
    char *grown = old_size + line_size > STATEMENT_BYTES_MAX
                      ? NULL
                      : realloc(*statement, old_size + line_size + 1);

    if (grown == NULL) {
        free(*statement);
        *statement = NULL;
        return false;
    }
    if (old_size > 0) {
        grown[old_size - 1] = '\n';
    }
    memcpy(grown + old_size, line, line_size + 1);
    *statement = grown;
    return true;
}

/* Reads and runs one statement. */
static enum cli_status statement_next(struct shell *shell)
{
    struct shell_words words = {0};
    char *statement = NULL;
    enum shell_split split = SHELL_SPLIT_INCOMPLETE;
    enum cli_status status = CLI_DONE;

    while (split == SHELL_SPLIT_INCOMPLETE) {
        shell_words_deinit(&words);
        char *line = shell_input_line(&shell->input, statement == NULL ? "polarys> " : "    ...> ");
        if (line == NULL) {
            shell->is_over = true;
            bool is_cut = statement != NULL;
            free(statement);
            return is_cut ? cli_usage(shell->cli, "a bracket or quote is open at the end")
                          : CLI_DONE;
        }
        bool is_kept = statement_append(&statement, line);
        free(line);
        if (!is_kept) {
            return cli_usage(shell->cli, "a statement has at most %d bytes", STATEMENT_BYTES_MAX);
        }
        split = shell_words_split(&words, statement);
    }
    if (split == SHELL_SPLIT_DONE) {
        if (words.count > 0) {
            shell_input_remember(&shell->input, statement);
        }
        status = statement_run(shell, &words);
    } else if (split == SHELL_SPLIT_TOO_MANY) {
        status = cli_usage(shell->cli, "a statement has at most %d words", SHELL_WORDS_MAX);
    } else {
        status = cli_fail(shell->cli, "NO_MEMORY", "no memory for a statement");
    }
    shell_words_deinit(&words);
    free(statement);
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
    shell_input_end(&shell->input);
    cli->is_shell = false;
    cli->is_expanded = false;
    free(shell);
    return status;
}
