/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libedit on a terminal, getline elsewhere.
 */
#include "client/cli/shell_input.h"

/* The header has declarations without prototypes. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <editline/readline.h>
#pragma GCC diagnostic pop
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/assert.h"

enum {
    HISTORY_STATEMENTS_MAX = 1000,
    HISTORY_STATEMENT_BYTES_MAX = 4096,
};

/* libedit's completion has no context, so what it needs is here. */
static struct {
    struct cli *cli;
    struct shell_names names;
} completion;

/* libedit asks for one candidate after the other. */
static char *candidate_next(const char *word, int state)
{
    POLARYS_ASSERT(completion.cli != NULL);
    static int index;
    char line[1024];
    char table[POLARYS_CLIENT_NAME_MAX + 1];

    (void)snprintf(line, sizeof(line), "%.*s", rl_point < 1000 ? rl_point : 1000, rl_line_buffer);
    if (state == 0) {
        index = 0;
        enum shell_wish wish = shell_completion_wish(line, word, table);
        shell_names_fetch(&completion.names, &completion.cli->settings, wish, table);
    }
    return shell_completion(line, word, index++, (const char *const *)completion.names.names);
}

static char **candidates_find(const char *word, int start, int end)
{
    (void)start;
    (void)end;
    rl_attempted_completion_over = 1;
    return rl_completion_matches(word, candidate_next);
}

void shell_input_begin_stream(struct shell_input *input, struct cli *cli)
{
    memset(input, 0, sizeof(*input));
    input->cli = cli;
}

void shell_input_begin(struct shell_input *input, struct cli *cli)
{
    const char *home = getenv("HOME");

    POLARYS_ASSERT(cli->in != NULL);
    memset(input, 0, sizeof(*input));
    input->cli = cli;
    input->is_terminal =
        cli->in == stdin && isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
    if (!input->is_terminal) {
        return;
    }
    completion.cli = cli;
    rl_readline_name = "polarys";
    rl_attempted_completion_function = candidates_find;
    using_history();
    stifle_history(HISTORY_STATEMENTS_MAX);
    if (home != NULL && *home != '\0') {
        (void)snprintf(input->history_file, sizeof(input->history_file), "%s/.polarys_history",
                       home);
        (void)read_history(input->history_file); /* there is none the first time */
    }
}

void shell_input_end(struct shell_input *input)
{
    if (input->is_terminal && input->history_file[0] != '\0') {
        /* Statements hold users' data: only they may read them. */
        mode_t mask = umask(077);
        if (write_history(input->history_file) != 0) {
            (void)cli_fail(input->cli, "IO", "cannot write the history to %s", input->history_file);
        }
        (void)umask(mask);
    }
    shell_names_drop(&completion.names);
}

char *shell_input_line(struct shell_input *input, const char *prompt)
{
    POLARYS_ASSERT(prompt != NULL);
    if (input->is_terminal) {
        return readline(prompt);
    }
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = getline(&line, &capacity, input->cli->in);
    if (size < 0) {
        free(line);
        return NULL;
    }
    input->line_count++;
    if (size > 0 && line[size - 1] == '\n') {
        line[size - 1] = '\0';
    }
    return line;
}

void shell_input_remember(struct shell_input *input, const char *statement)
{
    POLARYS_ASSERT(statement != NULL);
    if (input->is_terminal && strlen(statement) <= HISTORY_STATEMENT_BYTES_MAX) {
        (void)add_history(statement);
    }
}
