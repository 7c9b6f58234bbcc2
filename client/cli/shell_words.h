/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A statement of the shell as words.
 *
 * Blanks separate words. A word that begins with { or [ is JSON and ends with its bracket, blanks, quotes
 * and line breaks included. 'text' is taken as it is; in "text" a backslash stands before " and \. A # at
 * the beginning of a word starts a comment, a ; at the end of a statement is left out.
 */
#ifndef CLIENT_CLI_SHELL_WORDS_H
#define CLIENT_CLI_SHELL_WORDS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SHELL_WORDS_MAX = 64 };

enum shell_split {
    SHELL_SPLIT_DONE,
    SHELL_SPLIT_INCOMPLETE, /* a bracket or quote is open: another line belongs to it */
    SHELL_SPLIT_TOO_MANY,
    SHELL_SPLIT_NO_MEMORY,
};

struct shell_words {
    char *storage; /* what the words point to */
    const char *words[SHELL_WORDS_MAX];
    int count;
};

/* Free with shell_words_deinit, whatever is returned. */
enum shell_split shell_words_split(struct shell_words *words, const char *statement);
void shell_words_deinit(struct shell_words *words);

#ifdef __cplusplus
}
#endif

#endif
