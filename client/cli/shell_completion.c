/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shell offers on a tab: commands, their second words, options and their values, tables, indexes,
 * fields.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
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

/* What the shell has beside the commands. */
static void own_words_offer(struct candidate *candidate)
{
    static const char *const words[] = {"begin", "commit", "rollback"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && candidate->found == NULL; i++) {
        (void)candidate_offer(candidate, "", words[i], strlen(words[i]));
    }
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

/* Names, behind the part of the word that is a list already: "a,b" is completed at "b". */
static void names_offer(struct candidate *candidate, const char *const *names)
{
    char list[160];
    const char *comma = strrchr(candidate->word, ',');
    size_t size = comma == NULL ? 0 : (size_t)(comma + 1 - candidate->word);

    if (size >= sizeof(list)) {
        return;
    }
    memcpy(list, candidate->word, size);
    list[size] = '\0';
    for (; names != NULL && *names != NULL; names++) {
        if (candidate_offer(candidate, list, *names, strlen(*names))) {
            return;
        }
    }
}

/* The words that an option's value is one of. */
static void choices_offer(struct candidate *candidate, const char *choices)
{
    while (choices != NULL && *choices != '\0') {
        size_t size = strcspn(choices, " ");
        if (candidate_offer(candidate, "", choices, size)) {
            return;
        }
        choices += size + strspn(choices + size, " ");
    }
}

/* Where in a statement its unfinished word stands. */
struct place {
    const struct command *command; /* NULL: none yet */
    int before;                    /* words in front of it */
    int operand;                   /* which operand of the command it would be */
    int option;                    /* whose value it is; OPTION_COUNT: none */
    const char *table;             /* the first operand, or "" */
};

/* The option that a word names, with its dashes; OPTION_COUNT: none, or one without a value to come. */
static int valued_option(const struct command *command, const char *word)
{
    if (strcmp(word, "-o") == 0) {
        return OPTION_OUTPUT;
    }
    for (int i = 0; i < OPTION_COUNT && strncmp(word, "--", 2) == 0; i++) {
        if (command_has_option(command, (enum option_id)i) && option_specs[i].value_name != NULL &&
            strcmp(option_specs[i].name, word + 2) == 0) {
            return i;
        }
    }
    return OPTION_COUNT;
}

static void place_find(struct place *place, const struct shell_words *words, const char *word)
{
    char name[64];
    int at = 0;

    *place = (struct place){NULL, words->count - (*word != '\0' ? 1 : 0), 0, OPTION_COUNT, ""};
    POLARYS_ASSERT(place->before >= 0);
    if (place->before > 0) {
        (void)snprintf(name, sizeof(name), "%.30s", words->words[0]);
        place->command = command_find(name);
        at = 1;
    }
    if (place->command == NULL && place->before > 1) {
        (void)snprintf(name, sizeof(name), "%.30s %.30s", words->words[0], words->words[1]);
        place->command = command_find(name);
        at = 2;
    }
    for (; place->command != NULL && at < place->before; at++) {
        if (place->option != OPTION_COUNT) {
            place->option = OPTION_COUNT; /* this word was its value */
        } else if (words->words[at][0] == '-') {
            place->option = valued_option(place->command, words->words[at]);
        } else {
            place->table = place->operand == 0 ? words->words[at] : place->table;
            place->operand++;
        }
    }
}

static enum shell_wish place_wish(const struct place *place, const char *word)
{
    if (place->command == NULL || !place->command->first_is_table ||
        (word[0] == '-' && place->option == OPTION_COUNT)) {
        return SHELL_WISH_NONE;
    }
    const char *name = place->command->name;
    if (place->option != OPTION_COUNT) {
        bool is_field = place->option == OPTION_ORDER_BY || place->option == OPTION_FIELDS;
        return is_field ? SHELL_WISH_FIELDS : SHELL_WISH_NONE;
    }
    if (place->operand == 0) {
        return SHELL_WISH_TABLES;
    }
    if (place->operand == 1 &&
        (strcmp(name, "index drop") == 0 || strcmp(name, "index check") == 0)) {
        return SHELL_WISH_INDEXES;
    }
    return place->operand == 1 && (strcmp(name, "index create") == 0 || strcmp(name, "search") == 0)
               ? SHELL_WISH_FIELDS
               : SHELL_WISH_NONE;
}

enum shell_wish shell_completion_wish(const char *line, const char *word, char *table)
{
    struct shell_words words;
    struct place place;
    enum shell_wish wish = SHELL_WISH_NONE;

    POLARYS_ASSERT(table != NULL);
    table[0] = '\0';
    if (shell_words_split(&words, line) == SHELL_SPLIT_DONE) {
        place_find(&place, &words, word);
        wish = place_wish(&place, word);
        if (wish == SHELL_WISH_INDEXES || wish == SHELL_WISH_FIELDS) {
            (void)snprintf(table, POLARYS_CLIENT_NAME_MAX + 1, "%s", place.table);
        }
    }
    shell_words_deinit(&words);
    return wish;
}

char *shell_completion(const char *line, const char *word, int index, const char *const *names)
{
    struct candidate candidate = {word, index, NULL};
    struct shell_words words;
    struct place place;

    POLARYS_ASSERT(index >= 0);
    if (shell_words_split(&words, line) != SHELL_SPLIT_DONE) {
        shell_words_deinit(&words);
        return NULL;
    }
    place_find(&place, &words, word);
    if (place.before == 0) {
        own_words_offer(&candidate);
        if (candidate.found == NULL) {
            command_words_offer(&candidate, "", 0);
        }
    } else if (place_wish(&place, word) != SHELL_WISH_NONE) {
        names_offer(&candidate, names);
    } else if (place.option != OPTION_COUNT) {
        choices_offer(&candidate, option_specs[place.option].choices);
    } else if (word[0] == '-') {
        options_offer(&candidate, place.command);
    } else if (place.command == NULL && place.before == 1) {
        command_words_offer(&candidate, words.words[0], 1);
    }
    shell_words_deinit(&words);
    return candidate.found;
}
