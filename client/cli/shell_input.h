/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the shell's lines come from: a terminal with editing, history and completion, or a stream.
 */
#ifndef CLIENT_CLI_SHELL_INPUT_H
#define CLIENT_CLI_SHELL_INPUT_H

#include "client/cli/cli.h"
#include "client/cli/shell_names.h"

#ifdef __cplusplus
extern "C" {
#endif

struct shell_input {
    struct cli *cli;
    bool is_terminal;
    uint64_t line_count;     /* lines read from a stream */
    char history_file[4096]; /* "": none */
};

/* One at a time: editing knows only one terminal. */
void shell_input_begin(struct shell_input *input, struct cli *cli);
/* Lines as they come, without editing even on a terminal; shell_input_end is not needed. */
void shell_input_begin_stream(struct shell_input *input, struct cli *cli);
void shell_input_end(struct shell_input *input);
/* The next line, malloc'd, without its line break; NULL at the end. */
char *shell_input_line(struct shell_input *input, const char *prompt);
/* Keeps a whole statement for later. */
void shell_input_remember(struct shell_input *input, const char *statement);

/* Which names of the server's could stand in place of the last, unfinished word of `line`; `table` (room for
 * POLARYS_CLIENT_NAME_MAX + 1 bytes) receives whose they are, "" where that does not matter. */
enum shell_wish shell_completion_wish(const char *line, const char *word, char *table);
/* What could stand there, one after the other from `index` 0, malloc'd; NULL when there are no more. `names`
 * (may be NULL, ends with NULL) are those that were wished for. */
char *shell_completion(const char *line, const char *word, int index, const char *const *names);

#ifdef __cplusplus
}
#endif

#endif
