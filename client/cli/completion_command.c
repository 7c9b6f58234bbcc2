/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion: files for bash and zsh, generated from the command table.
 *
 * Both find the command in the words before the cursor, skipping global options and their values, and then
 * offer second words, options or the values of an option.
 */
#include <string.h>

#include "client/cli/command.h"

/* The first words of all commands, once each. */
static void first_words_write(FILE *to)
{
    const char *previous = "";
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        size_t size = strcspn(name, " ");
        if (strncmp(previous, name, size) != 0 || strcspn(previous, " ") != size) {
            (void)fprintf(to, "%s%.*s", i == 0 ? "" : " ", (int)size, name);
        }
        previous = name;
    }
}

/* The second words of a group. */
static void second_words_write(FILE *to, const char *group, size_t group_size)
{
    const char *separator = "";
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        if (strncmp(name, group, group_size) == 0 && name[group_size] == ' ') {
            (void)fprintf(to, "%s%s", separator, name + group_size + 1);
            separator = " ";
        }
    }
}

static void options_write(FILE *to, const struct command *command)
{
    const char *separator = "";
    for (int i = 0; i < OPTION_COUNT; i++) {
        bool is_global = i < OPTION_GLOBAL_COUNT;
        if (command == NULL ? is_global
                            : !is_global && command_has_option(command, (enum option_id)i)) {
            (void)fprintf(to, "%s--%s", separator, option_specs[i].name);
            separator = " ";
        }
    }
}

/* "--a|--b" of the global options with a value: what the search for the command has to skip. */
static void valued_options_write(FILE *to)
{
    (void)fputs("-o", to);
    for (int i = 0; i < OPTION_GLOBAL_COUNT; i++) {
        if (option_specs[i].value_name != NULL) {
            (void)fprintf(to, "|--%s", option_specs[i].name);
        }
    }
}

/* The lines of a case statement that sets `choices` by the word before the cursor. */
static void values_write(FILE *to)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_specs[i].choices != NULL) {
            (void)fprintf(to, "    %s--%s) choices=\"%s\" ;;\n", i == OPTION_OUTPUT ? "-o|" : "",
                          option_specs[i].name, option_specs[i].choices);
        }
    }
}

/* The lines of a case statement that sets `choices` by the command's name. */
static void commands_write(FILE *to)
{
    (void)fputs("    \"\") choices=\"", to);
    first_words_write(to);
    (void)fputs("\" ;;\n", to);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        size_t size = strcspn(command->name, " ");
        bool is_first_of_group =
            command->name[size] == ' ' &&
            (i == 0 || strncmp(command_table[i - 1].name, command->name, size + 1) != 0);
        if (is_first_of_group) {
            (void)fprintf(to, "    \"%.*s\") choices=\"", (int)size, command->name);
            second_words_write(to, command->name, size);
            (void)fputs("\" ;;\n", to);
        }
        (void)fprintf(to, "    \"%s\") choices=\"", command->name);
        options_write(to, command);
        (void)fputs("\" ;;\n", to);
    }
}

/* What both shells share; `count` and `word` name the words in the shell's own way. */
static void body_write(FILE *to, const char *first, const char *count)
{
    (void)fprintf(to,
                  "  local command=\"\" choices=\"\" word i\n"
                  "  for ((i = %s; i < %s; i++)); do\n"
                  "    word=${words[i]}\n"
                  "    case \"$word\" in\n"
                  "      ",
                  first, count);
    valued_options_write(to);
    (void)fputs(") ((i++)) ;;\n"
                "      -*) ;;\n"
                "      *)\n"
                "        if [[ -z $command ]]; then command=$word\n"
                "        else\n"
                "          case \"$command\" in\n            ",
                to);
    const char *separator = "";
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        size_t size = strcspn(name, " ");
        if (name[size] == ' ' &&
            (i == 0 || strncmp(command_table[i - 1].name, name, size + 1) != 0)) {
            (void)fprintf(to, "%s%.*s", separator, (int)size, name);
            separator = "|";
        }
    }
    (void)fputs(") command=\"$command $word\" ;;\n"
                "          esac\n"
                "          break\n"
                "        fi ;;\n"
                "    esac\n"
                "  done\n"
                "  case \"$command\" in\n",
                to);
    commands_write(to);
    (void)fputs("  esac\n"
                "  [[ $current == -* || -z $choices ]] && choices=\"$choices ",
                to);
    options_write(to, NULL);
    (void)fputs("\"\n"
                "  case \"$previous\" in\n",
                to);
    values_write(to);
    (void)fputs("  esac\n", to);
}

static void bash_write(FILE *to)
{
    (void)fputs("# bash completion for polarys\n"
                "_polarys() {\n"
                "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                "  local words=(\"${COMP_WORDS[@]}\")\n",
                to);
    body_write(to, "1", "COMP_CWORD");
    (void)fputs("  COMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
                "}\n"
                "complete -o default -F _polarys polarys\n",
                to);
}

static void zsh_write(FILE *to)
{
    (void)fputs("#compdef polarys\n"
                "_polarys() {\n"
                "  local current=${words[CURRENT]} previous=${words[CURRENT-1]}\n",
                to);
    body_write(to, "2", "CURRENT");
    (void)fputs("  compadd -- ${=choices} || _files\n"
                "}\n"
                "_polarys \"$@\"\n",
                to);
}

enum cli_status command_completion(struct cli *cli, const struct arguments *arguments)
{
    const char *shell = arguments->positionals[0];

    if (strcmp(shell, "bash") == 0) {
        bash_write(cli->out);
    } else if (strcmp(shell, "zsh") == 0) {
        zsh_write(cli->out);
    } else {
        return cli_usage(cli, "'%s' is not bash or zsh", shell);
    }
    return CLI_DONE;
}
