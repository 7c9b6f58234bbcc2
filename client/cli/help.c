/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help, from the command table.
 */
#include <string.h>

#include "client/cli/command.h"

enum { HELP_COLUMN = 34 };

/* A name that is too long for its column has a line of its own. */
static void row_print(FILE *to, const char *name, const char *summary)
{
    if (strlen(name) >= HELP_COLUMN) {
        (void)fprintf(to, "  %s\n  %*s%s\n", name, HELP_COLUMN, "", summary);
    } else {
        (void)fprintf(to, "  %-*s%s\n", HELP_COLUMN, name, summary);
    }
}

static void option_print(FILE *to, enum option_id id)
{
    const struct option_spec *spec = &option_specs[id];
    char name[64];
    bool is_short = id == OPTION_OUTPUT || id == OPTION_HELP;

    (void)snprintf(name, sizeof(name), "%s--%s%s%s",
                   is_short ? (id == OPTION_OUTPUT ? "-o, " : "-h, ") : "", spec->name,
                   spec->value_name == NULL ? "" : " ",
                   spec->value_name == NULL ? "" : spec->value_name);
    row_print(to, name, spec->summary);
}

static void options_global_print(FILE *to)
{
    (void)fputs("\nOptions of every command, before or after its name:\n", to);
    for (int i = 0; i < OPTION_GLOBAL_COUNT; i++) {
        option_print(to, (enum option_id)i);
    }
}

static void command_line_print(FILE *to, const struct command *command)
{
    char name[96];
    (void)snprintf(name, sizeof(name), "%s %s", command->name, command->operands);
    row_print(to, name, command->summary);
}

void help_print(FILE *to)
{
    (void)fputs("polarys: the command line of PolarysDB\n\n"
                "Usage: polarys [OPTION]... COMMAND [WORD]...\n"
                "       polarys                     opens the shell\n\n"
                "Commands:\n",
                to);
    for (size_t i = 0; i < command_count; i++) {
        command_line_print(to, &command_table[i]);
    }
    options_global_print(to);
    (void)fputs(
        "\nExit status: 0 done, 1 failed, 2 bad usage, 3 not found; of salvage 4 some was lost, 5 all.\n"
        "How a command is used: polarys help COMMAND\n",
        to);
}

void help_print_group(FILE *to, const char *word)
{
    size_t size = strlen(word);
    (void)fprintf(to, "Commands of %s:\n", word);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        if (strncmp(command->name, word, size) == 0 && command->name[size] == ' ') {
            command_line_print(to, command);
        }
    }
}

void help_print_command(FILE *to, const struct command *command)
{
    (void)fprintf(to, "polarys %s: %s\n\nUsage: polarys %s%s%s%s\n", command->name,
                  command->summary, command->name, command->operands[0] == '\0' ? "" : " ",
                  command->operands, command->options == 0 ? "" : " [OPTION]...");
    if (command->options != 0) {
        (void)fputs("\nOptions:\n", to);
        for (int i = OPTION_GLOBAL_COUNT; i < OPTION_COUNT; i++) {
            if (command_has_option(command, (enum option_id)i)) {
                option_print(to, (enum option_id)i);
            }
        }
    }
    options_global_print(to);
    (void)fprintf(to, "\nExample:\n  %s\n", command->example);
}

enum cli_status command_help(struct cli *cli, const struct arguments *arguments)
{
    char name[64];
    const char *const *words = arguments->positionals;

    if (arguments->positional_count == 0) {
        help_print(cli->out);
        return CLI_DONE;
    }
    (void)snprintf(name, sizeof(name), "%.30s%s%.30s", words[0],
                   arguments->positional_count > 1 ? " " : "",
                   arguments->positional_count > 1 ? words[1] : "");
    const struct command *command = command_find(name);
    if (command != NULL) {
        help_print_command(cli->out, command);
    } else if (arguments->positional_count == 1 && command_is_group(name)) {
        help_print_group(cli->out, name);
    } else {
        return cli_usage(cli, "no command '%s'; see: polarys help", name);
    }
    return CLI_DONE;
}
