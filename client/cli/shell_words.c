/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splitting by hand, one character after the other; words are copied behind each other into one block.
 */
#include "client/cli/shell_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/json_text.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* True when only blanks and semicolons follow. */
static bool is_statement_end(const char *at)
{
    while (*at == ';' || is_blank(*at)) {
        at++;
    }
    return *at == '\0';
}

/* Copies a quoted part. Returns what follows it, or NULL when the quote is open. */
static const char *quoted_copy(const char *at, char **to)
{
    POLARYS_ASSERT(*at == '\'' || *at == '"');
    char quote = *at++;
    while (*at != quote) {
        if (quote == '"' && *at == '\\' && (at[1] == '"' || at[1] == '\\')) {
            at++;
        }
        if (*at == '\0') {
            return NULL;
        }
        *(*to)++ = *at++;
    }
    return at + 1;
}

/* Copies one word. Returns what follows it, or NULL when it goes on in another line. */
static const char *word_copy(const char *at, char **to)
{
    POLARYS_ASSERT(!is_blank(*at));
    if (*at == '{' || *at == '[') {
        size_t size = json_text_end(at, strlen(at));
        if (size == 0) {
            return NULL;
        }
        memcpy(*to, at, size);
        *to += size;
        at += size;
    }
    while (*at != '\0' && !is_blank(*at)) {
        if (*at == ';' && is_statement_end(at)) {
            break;
        }
        if (*at == '\'' || *at == '"') {
            at = quoted_copy(at, to);
            if (at == NULL) {
                return NULL;
            }
        } else {
            *(*to)++ = *at++;
        }
    }
    return at;
}

enum shell_split shell_words_split(struct shell_words *words, const char *statement)
{
    const char *at = statement;
    char *to;

    POLARYS_ASSERT(statement != NULL);
    memset(words, 0, sizeof(*words));
    /* A word takes no more bytes than it has in the statement, and its end those of the blank behind it. */
    words->storage = malloc(strlen(statement) + SHELL_WORDS_MAX + 1);
    if (words->storage == NULL) {
        return SHELL_SPLIT_NO_MEMORY;
    }
    to = words->storage;
    for (;;) {
        while (is_blank(*at)) {
            at++;
        }
        if (*at == '#') {
            at += strcspn(at, "\n");
            continue;
        }
        if (*at == '\0' || (*at == ';' && is_statement_end(at))) {
            return SHELL_SPLIT_DONE;
        }
        if (words->count == SHELL_WORDS_MAX) {
            return SHELL_SPLIT_TOO_MANY;
        }
        words->words[words->count++] = to;
        at = word_copy(at, &to);
        if (at == NULL) {
            return SHELL_SPLIT_INCOMPLETE;
        }
        *to++ = '\0';
    }
}

void shell_words_deinit(struct shell_words *words)
{
    free(words->storage);
    words->storage = NULL;
    words->count = 0;
}
