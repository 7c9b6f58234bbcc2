/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are added to a statement until it can be split into words.
 */
#include "client/cli/shell_statement.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

enum { STATEMENT_BYTES_MAX = 40 << 20 };

/* Appends a line to the statement. False: no memory, or too long; the statement is freed. */
static bool text_append(char **text, const char *line)
{
    size_t old_size = *text == NULL ? 0 : strlen(*text) + 1;
    size_t line_size = strlen(line);
    char *grown = old_size + line_size > STATEMENT_BYTES_MAX
                      ? NULL
                      : realloc(*text, old_size + line_size + 1);

    if (grown == NULL) {
        free(*text);
        *text = NULL;
        return false;
    }
    if (old_size > 0) {
        grown[old_size - 1] = '\n';
    }
    memcpy(grown + old_size, line, line_size + 1);
    *text = grown;
    return true;
}

enum cli_status shell_statement_read(struct shell_input *input, const char *prompt,
                                     struct shell_statement *statement, bool *is_over)
{
    struct cli *cli = input->cli;
    enum shell_split split = SHELL_SPLIT_INCOMPLETE;

    POLARYS_ASSERT(prompt != NULL);
    memset(statement, 0, sizeof(*statement));
    *is_over = false;
    while (split == SHELL_SPLIT_INCOMPLETE) {
        shell_words_deinit(&statement->words);
        char *line = shell_input_line(input, statement->text == NULL ? prompt : "    ...> ");
        if (line == NULL) {
            *is_over = true;
            return statement->text != NULL ? cli_usage(cli, "a bracket or quote is open at the end")
                                           : CLI_DONE;
        }
        bool is_kept = text_append(&statement->text, line);
        free(line);
        if (!is_kept) {
            return cli_usage(cli, "a statement has at most %d bytes", STATEMENT_BYTES_MAX);
        }
        split = shell_words_split(&statement->words, statement->text);
    }
    if (split == SHELL_SPLIT_TOO_MANY) {
        return cli_usage(cli, "a statement has at most %d words", SHELL_WORDS_MAX);
    }
    return split == SHELL_SPLIT_DONE ? CLI_DONE
                                     : cli_fail(cli, "NO_MEMORY", "no memory for a statement");
}

void shell_statement_deinit(struct shell_statement *statement)
{
    POLARYS_ASSERT(statement != NULL);
    shell_words_deinit(&statement->words);
    free(statement->text);
    statement->text = NULL;
}
