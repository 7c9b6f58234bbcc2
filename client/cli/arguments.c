/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From words to a command with its options. An option that takes a value takes the next word or what
 * stands behind `=`; `--` ends the options; a single `-` is an operand.
 */
#include <string.h>
#include <time.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/parse.h"
#include "client/endpoint.h"

/* The words that are still to be read. */
struct word_reader {
    struct cli *cli;
    const char *const *words;
    int count;
    int next;
    bool are_options_over;
};

static bool option_find(const struct command *command, const char *name, size_t size,
                        enum option_id *id)
{
    POLARYS_ASSERT(id != NULL);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (command_has_option(command, (enum option_id)i) &&
            strncmp(option_specs[i].name, name, size) == 0 && option_specs[i].name[size] == '\0') {
            *id = (enum option_id)i;
            return true;
        }
    }
    return false;
}

/* Splits a word into the option's name and the value behind '='; short forms are given their name. */
static const char *option_name(const char *word, size_t *size, const char **value)
{
    *value = NULL;
    if (strcmp(word, "-o") == 0) {
        *size = strlen("output");
        return "output";
    }
    if (strcmp(word, "-h") == 0) {
        *size = strlen("help");
        return "help";
    }
    if (strncmp(word, "--", 2) != 0) {
        return NULL;
    }
    const char *equals = strchr(word, '=');
    *size = equals == NULL ? strlen(word + 2) : (size_t)(equals - word - 2);
    *value = equals == NULL ? NULL : equals + 1;
    return word + 2;
}

static enum cli_status repeated_add(struct word_reader *reader, enum option_id id,
                                    const char *value, struct arguments *arguments)
{
    POLARYS_ASSERT(value != NULL);
    if (arguments->repeated_count == ARGUMENTS_REPEATED_MAX) {
        return cli_usage(reader->cli, "--%s is given too often", option_specs[id].name);
    }
    arguments->repeated[arguments->repeated_count].id = id;
    arguments->repeated[arguments->repeated_count].value = value;
    arguments->repeated_count++;
    return CLI_DONE;
}

static enum cli_status option_take(struct word_reader *reader, const char *word,
                                   struct arguments *arguments)
{
    size_t size = 0;
    const char *value;
    const char *name = option_name(word, &size, &value);
    enum option_id id;

    POLARYS_ASSERT(reader->next <= reader->count);
    if (name == NULL || !option_find(arguments->command, name, size, &id)) {
        return arguments->command == NULL
                   ? cli_usage(reader->cli,
                               "no option %s here; a command's own options stand "
                               "behind its name",
                               word)
                   : cli_usage(reader->cli, "%s has no option %s; see: polarys help %s",
                               arguments->command->name, word, arguments->command->name);
    }
    if (arguments->values[id] != NULL && !option_specs[id].is_repeatable) {
        return cli_usage(reader->cli, "--%s is given twice", option_specs[id].name);
    }
    if (option_specs[id].value_name == NULL) {
        if (value != NULL) {
            return cli_usage(reader->cli, "--%s takes no value", option_specs[id].name);
        }
        value = "";
    } else if (value == NULL) {
        if (reader->next == reader->count) {
            return cli_usage(reader->cli, "--%s needs a value: %s", option_specs[id].name,
                             option_specs[id].value_name);
        }
        value = reader->words[reader->next++];
    }
    arguments->values[id] = value;
    return option_specs[id].is_repeatable ? repeated_add(reader, id, value, arguments) : CLI_DONE;
}

/* "archive" is a command, and the first word of others: the word behind it decides. */
static bool is_group_of_next(const struct word_reader *reader, const char *word)
{
    char name[64];
    if (reader->next >= reader->count) {
        return false;
    }
    (void)snprintf(name, sizeof(name), "%.20s %.40s", word, reader->words[reader->next]);
    return command_find(name) != NULL;
}

/* Takes a word of the command's name, or an operand. `group` keeps the first word of two. */
static enum cli_status operand_take(struct word_reader *reader, const char *word,
                                    const char **group, struct arguments *arguments)
{
    char name[64];

    POLARYS_ASSERT(word != NULL);
    if (arguments->command == NULL) {
        bool is_second = *group != NULL;
        (void)snprintf(name, sizeof(name), "%s%s%.40s", is_second ? *group : "",
                       is_second ? " " : "", word);
        arguments->command = is_group_of_next(reader, word) ? NULL : command_find(name);
        if (arguments->command != NULL) {
            return CLI_DONE;
        }
        if (is_second || !command_is_group(word)) {
            return cli_usage(reader->cli, "no command '%s'; see: polarys help", name);
        }
        *group = word;
        return CLI_DONE;
    }
    if (arguments->positional_count == arguments->command->positionals_max) {
        return cli_usage(reader->cli, "'%s' is one word too many for: polarys %s %s", word,
                         arguments->command->name, arguments->command->operands);
    }
    arguments->positionals[arguments->positional_count++] = word;
    return CLI_DONE;
}

/* What can only be judged once every word was read. */
static enum cli_status arguments_judge(struct cli *cli, const char *group,
                                       const struct arguments *arguments)
{
    const struct command *command = arguments->command;

    if (arguments_has(arguments, OPTION_HELP) || arguments_has(arguments, OPTION_VERSION)) {
        return CLI_DONE;
    }
    if (command == NULL && group != NULL) {
        help_print_group(cli->err, group);
        return cli_usage(cli, "'%s' needs a second word", group);
    }
    if (command != NULL && arguments->positional_count < command->positionals_min) {
        return cli_usage(cli, "too few words: polarys %s %s", command->name, command->operands);
    }
    return CLI_DONE;
}

enum cli_status arguments_parse(struct cli *cli, int word_count, const char *const *words,
                                struct arguments *arguments)
{
    struct word_reader reader = {cli, words, word_count, 0, false};
    const char *group = NULL;

    POLARYS_ASSERT(word_count >= 0);
    memset(arguments, 0, sizeof(*arguments));
    while (reader.next < reader.count) {
        const char *word = words[reader.next++];
        enum cli_status status;
        if (!reader.are_options_over && strcmp(word, "--") == 0) {
            reader.are_options_over = true;
            continue;
        }
        if (!reader.are_options_over && word[0] == '-' && word[1] != '\0') {
            status = option_take(&reader, word, arguments);
        } else {
            status = operand_take(&reader, word, &group, arguments);
        }
        if (status != CLI_DONE) {
            return status;
        }
    }
    return arguments_judge(cli, group, arguments);
}

size_t arguments_repeated(const struct arguments *arguments, enum option_id id,
                          const char *values[ARGUMENTS_REPEATED_MAX])
{
    size_t count = 0;

    POLARYS_ASSERT(option_specs[id].is_repeatable);
    for (size_t i = 0; i < arguments->repeated_count; i++) {
        if (arguments->repeated[i].id == id) {
            values[count++] = arguments->repeated[i].value;
        }
    }
    return count;
}

bool arguments_number(struct cli *cli, const struct arguments *arguments, enum option_id id,
                      uint64_t min, uint64_t max, uint64_t *number)
{
    const char *text = arguments->values[id];

    POLARYS_ASSERT(min <= max && option_specs[id].value_name != NULL);
    if (text == NULL || parse_number_between(text, min, max, number)) {
        return true;
    }
    (void)cli_usage(cli, "--%s is '%s', not a number from %llu to %llu", option_specs[id].name,
                    text, (unsigned long long)min, (unsigned long long)max);
    return false;
}

enum cli_status arguments_settings(struct cli *cli, const struct arguments *arguments)
{
    struct cli_settings *settings = &cli->settings;
    const char *const *values = arguments->values;
    uint64_t timeout_ms;

    if (values[OPTION_ENDPOINT] != NULL) {
        settings->endpoint = values[OPTION_ENDPOINT];
        if (!client_endpoint_list_is_valid(settings->endpoint)) {
            return cli_usage(cli, "--endpoint is '%s', not " CLIENT_ENDPOINT_LIST_FORM,
                             settings->endpoint);
        }
    }
    settings->is_routed |= values[OPTION_ROUTE] != NULL;
    if (values[OPTION_READ_FROM] != NULL &&
        !parse_read_policy(values[OPTION_READ_FROM], &settings->read_policy)) {
        return cli_usage(cli, "--read-from is '%s', not primary, replica or nearest",
                         values[OPTION_READ_FROM]);
    }
    if (values[OPTION_ADMIN_ENDPOINT] != NULL) {
        settings->admin_endpoint = values[OPTION_ADMIN_ENDPOINT];
    }
    if (values[OPTION_DATABASE] != NULL) {
        settings->database = values[OPTION_DATABASE];
    }
    settings->is_plaintext |= values[OPTION_PLAINTEXT] != NULL;
    if (values[OPTION_OUTPUT] != NULL && !parse_format(values[OPTION_OUTPUT], &settings->format)) {
        return cli_usage(cli, "-o is '%s', not table, json or raw", values[OPTION_OUTPUT]);
    }
    if (values[OPTION_TIMEOUT] != NULL) {
        if (!parse_duration_ms(values[OPTION_TIMEOUT], &timeout_ms) || timeout_ms == 0 ||
            timeout_ms > UINT32_MAX / 2) {
            return cli_usage(cli, "--timeout is '%s', not a duration such as 500ms, 10s or 5m",
                             values[OPTION_TIMEOUT]);
        }
        settings->has_timeout = true;
        settings->timeout_ms = (uint32_t)timeout_ms;
    }
    if (values[OPTION_CONSISTENCY] != NULL &&
        !parse_consistency(values[OPTION_CONSISTENCY], settings)) {
        return cli_usage(cli,
                         "--consistency is '%s', not strong, stable, local, session, "
                         "at-least=TOKEN, version=N or max-staleness=DURATION",
                         values[OPTION_CONSISTENCY]);
    }
    return CLI_DONE;
}

enum cli_status arguments_retry_for(struct cli *cli, const struct arguments *arguments,
                                    uint32_t *retry_ms)
{
    const char *text = arguments->values[OPTION_RETRY_FOR];
    uint64_t duration_ms = RETRY_FOR_DEFAULT_MS;
    if (text != NULL && (!parse_duration_ms(text, &duration_ms) || duration_ms == 0 ||
                         duration_ms > UINT32_MAX / 2)) {
        return cli_usage(cli, "--retry-for is '%s', not a duration such as 10s or 5m", text);
    }
    *retry_ms = (uint32_t)duration_ms;
    return CLI_DONE;
}

/* At most one of the three conditions. */
static enum cli_status precondition_read(struct cli *cli, const struct arguments *arguments,
                                         struct polarys_client_write *write)
{
    int given = arguments_has(arguments, OPTION_IF_VERSION) +
                arguments_has(arguments, OPTION_IF_ABSENT) +
                arguments_has(arguments, OPTION_IF_PRESENT);
    if (given > 1) {
        return cli_usage(cli, "give one of --if-version, --if-absent and --if-present");
    }
    if (arguments_has(arguments, OPTION_IF_VERSION)) {
        write->precondition = POLARYS_CLIENT_VERSION_EQUALS;
        if (!arguments_number(cli, arguments, OPTION_IF_VERSION, 1, UINT64_MAX,
                              &write->precondition_version)) {
            return CLI_USAGE;
        }
    } else if (arguments_has(arguments, OPTION_IF_ABSENT)) {
        write->precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
    } else if (arguments_has(arguments, OPTION_IF_PRESENT)) {
        write->precondition = POLARYS_CLIENT_MUST_EXIST;
    }
    return CLI_DONE;
}

enum cli_status arguments_write(struct cli *cli, const struct arguments *arguments,
                                struct polarys_client_write *write)
{
    const char *const *values = arguments->values;
    size_t id_size = sizeof(write->request_id);
    uint64_t expires_in_ms;
    struct timespec now;

    if (values[OPTION_EXPIRES_IN] != NULL) {
        if (!parse_duration_ms(values[OPTION_EXPIRES_IN], &expires_in_ms) || expires_in_ms == 0) {
            return cli_usage(cli, "--expires-in is '%s', not a duration such as 90s, 5m or 7d",
                             values[OPTION_EXPIRES_IN]);
        }
        (void)clock_gettime(CLOCK_REALTIME, &now);
        write->expires_at_ms =
            (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + expires_in_ms;
    }
    if (values[OPTION_DURABILITY] != NULL &&
        !parse_durability(values[OPTION_DURABILITY], &write->durability)) {
        return cli_usage(cli,
                         "--durability is '%s', not async, local-sync, quorum or quorum-applied",
                         values[OPTION_DURABILITY]);
    }
    if (values[OPTION_REQUEST_ID] != NULL) {
        write->has_request_id = true;
        if (!parse_hex(values[OPTION_REQUEST_ID], write->request_id, &id_size) ||
            id_size != sizeof(write->request_id)) {
            return cli_usage(cli, "--request-id is '%s', not 32 hexadecimal digits",
                             values[OPTION_REQUEST_ID]);
        }
    }
    write->kind = arguments_has(arguments, OPTION_RAW) ? POLARYS_CLIENT_RAW : POLARYS_CLIENT_JSON;
    return precondition_read(cli, arguments, write);
}

struct polarys_client_read arguments_read(const struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_read read = cli->settings.read;

    POLARYS_ASSERT(read.txn == NULL);
    read.txn = cli->txn;
    read.is_for_update = arguments_has(arguments, OPTION_FOR_UPDATE);
    return read;
}

void arguments_range(const struct arguments *arguments, struct polarys_client_range *range)
{
    const char *const *values = arguments->values;

    POLARYS_ASSERT(range != NULL);
    memset(range, 0, sizeof(*range));
    if (values[OPTION_PREFIX] != NULL) {
        range->prefix = values[OPTION_PREFIX];
        range->prefix_size = strlen(values[OPTION_PREFIX]);
    }
    if (values[OPTION_FROM] != NULL) {
        range->start = values[OPTION_FROM];
        range->start_size = strlen(values[OPTION_FROM]);
    }
    if (values[OPTION_TO] != NULL) {
        range->end = values[OPTION_TO];
        range->end_size = strlen(values[OPTION_TO]);
    }
}
