/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shell offers on a tab: commands, their second words, options, tables.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/shell_input.h"
#include "client/cli/shell_words.h"

/* Counts candidates down to the one that is wanted. */
struct candidate {
    const char *word;
    int left;
    char *found;
};

/* True when this one was it. */
static bool candidate_offer(struct candidate *candidate, const char *prefix, const char *text,
                            size_t size)
{
    char whole[160];
    int length = snprintf(whole, sizeof(whole), "%s%.*s", prefix, (int)size, text);

    if (length < 0 || strncmp(whole, candidate->word, strlen(candidate->word)) != 0 ||
        candidate->left-- > 0) {
        return false;
    }
    candidate->found = strdup(whole);
    return true;
}

/* Words of commands at position `at` (0 or 1), each once. */
static void command_words_offer(struct candidate *candidate, const char *group, int at)
{
    const char *previous = "";
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        size_t size = strcspn(name, " ");
        if (at == 0 && (strncmp(previous, name, size) != 0 || strcspn(previous, " ") != size) &&
            candidate_offer(candidate, "", name, size)) {
            return;
        }
        if (at == 1 && strlen(group) == size && strncmp(name, group, size) == 0 &&
            name[size] == ' ' &&
            candidate_offer(candidate, "", name + size + 1, strlen(name + size + 1))) {
            return;
        }
        previous = name;
    }
}

static void options_offer(struct candidate *candidate, const struct command *command)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const char *name = option_specs[i].name;
        if (command_has_option(command, (enum option_id)i) &&
            candidate_offer(candidate, "--", name, strlen(name))) {
            return;
        }
    }
}

static void tables_offer(struct candidate *candidate, const char *const *table_names)
{
    for (; table_names != NULL && *table_names != NULL; table_names++) {
        if (candidate_offer(candidate, "", *table_names, strlen(*table_names))) {
            return;
        }
    }
}

char *shell_completion(const char *line, const char *word, int index,
                       const char *const *table_names)
{
    struct candidate candidate = {word, index, NULL};
    struct shell_words words;
    char name[64];
    const struct command *command = NULL;

    if (shell_words_split(&words, line) != SHELL_SPLIT_DONE) {
        shell_words_deinit(&words);
        return NULL;
    }
    /* Words in front of the unfinished one. */
    int before = words.count - (*word != '\0' ? 1 : 0);
    int name_words = 0;
    if (before > 0) {
        (void)snprintf(name, sizeof(name), "%.30s", words.words[0]);
        command = command_find(name);
        name_words = 1;
    }
    if (command == NULL && before > 1) {
        (void)snprintf(name, sizeof(name), "%.30s %.30s", words.words[0], words.words[1]);
        command = command_find(name);
        name_words = 2;
    }
    if (before == 0) {
        command_words_offer(&candidate, "", 0);
    } else if (word[0] == '-') {
        options_offer(&candidate, command);
    } else if (command == NULL && before == 1) {
        command_words_offer(&candidate, words.words[0], 1);
    } else if (command != NULL && command->first_is_table && before == name_words) {
        tables_offer(&candidate, table_names);
    }
    shell_words_deinit(&words);
    return candidate.found;
}
