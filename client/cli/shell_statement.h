/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements, one after the other, from a terminal or a stream: a line, or several where a bracket or quote
 * goes on.
 */
#ifndef CLIENT_CLI_SHELL_STATEMENT_H
#define CLIENT_CLI_SHELL_STATEMENT_H

#include "client/cli/cli.h"
#include "client/cli/shell_input.h"
#include "client/cli/shell_words.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Free with shell_statement_deinit. */
struct shell_statement {
    char *text;
    struct shell_words words;
};

/* Reads the next one; *is_over: there is none. CLI_USAGE or CLI_FAILED were reported: it cannot be split into
 * words. To be freed whatever is returned. */
enum cli_status shell_statement_read(struct shell_input *input, const char *prompt,
                                     struct shell_statement *statement, bool *is_over);
void shell_statement_deinit(struct shell_statement *statement);

#ifdef __cplusplus
}
#endif

#endif
