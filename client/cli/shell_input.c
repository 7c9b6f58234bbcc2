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

#include "client/cli/parse.h"
#include "client/cli/progress.h"

enum {
    HISTORY_STATEMENTS_MAX = 1000,
    HISTORY_STATEMENT_BYTES_MAX = 4096,
    TABLES_MAX = 1000,
    TABLES_TIMEOUT_MS = 1000,
    TABLES_KEEP_MS = 5000,
};

/* libedit's completion has no context, so what it needs is here. */
static struct {
    struct cli *cli;
    char *names[TABLES_MAX + 1];
    size_t count;
    uint64_t fetched_ms;
} tables;

static void tables_drop(void)
{
    for (size_t i = 0; i < tables.count; i++) {
        free(tables.names[i]);
        tables.names[i] = NULL;
    }
    tables.count = 0;
}

static bool table_keep(void *context, const struct polarys_client_table *table)
{
    (void)context;
    char *name = strdup(table->table);
    if (name != NULL) {
        tables.names[tables.count++] = name;
    }
    return name != NULL && tables.count < TABLES_MAX;
}

/* Asks on a connection of its own, that neither waits for long nor complains: completion is a help. */
static void tables_fetch(void)
{
    struct polarys_client_options options;
    struct polarys_client *client;
    const struct cli_settings *settings = &tables.cli->settings;
    uint64_t now_ms = progress_now_ms();

    if (tables.fetched_ms != 0 && now_ms - tables.fetched_ms < TABLES_KEEP_MS) {
        return;
    }
    tables_drop();
    tables.fetched_ms = now_ms;
    polarys_client_options_init(&options);
    options.endpoint = settings->endpoint;
    options.timeout_ms = TABLES_TIMEOUT_MS;
    options.retries_max = 0;
    if ((parse_endpoint_is_loopback(options.endpoint) || settings->is_plaintext) &&
        polarys_client_open(&options, &client, NULL)) {
        (void)polarys_client_table_list(client, settings->database, table_keep, NULL, NULL);
        polarys_client_close(client);
    }
}

/* libedit asks for one candidate after the other. */
static char *candidate_next(const char *word, int state)
{
    static int index;
    char line[1024];

    if (state == 0) {
        index = 0;
        tables_fetch();
    }
    (void)snprintf(line, sizeof(line), "%.*s", rl_point < 1000 ? rl_point : 1000, rl_line_buffer);
    return shell_completion(line, word, index++, (const char *const *)tables.names);
}

static char **candidates_find(const char *word, int start, int end)
{
    (void)start;
    (void)end;
    rl_attempted_completion_over = 1;
    return rl_completion_matches(word, candidate_next);
}

void shell_input_begin(struct shell_input *input, struct cli *cli)
{
    const char *home = getenv("HOME");

    memset(input, 0, sizeof(*input));
    input->cli = cli;
    input->is_terminal =
        cli->in == stdin && isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
    if (!input->is_terminal) {
        return;
    }
    tables.cli = cli;
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
    tables_drop();
    tables.fetched_ms = 0;
}

char *shell_input_line(struct shell_input *input, const char *prompt)
{
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
    if (size > 0 && line[size - 1] == '\n') {
        line[size - 1] = '\0';
    }
    return line;
}

void shell_input_remember(struct shell_input *input, const char *statement)
{
    if (input->is_terminal && strlen(statement) <= HISTORY_STATEMENT_BYTES_MAX) {
        (void)add_history(statement);
    }
}
