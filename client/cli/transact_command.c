/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transact: compare, then or else, as a file of JSON says:
 *
 *     {"table": "users",
 *      "compare": [{"key": "ann", "version": 7}],
 *      "then": [{"put": "ann", "value": {"age": 31}}, {"get": "bob"}],
 *      "else": [{"get": "ann"}]}
 *
 * A comparison has `version`, `exists` (true or false), or `field` with `equals`. Operations are `get`, `put`
 * with `value`, `update` with `patch`, `delete`; each may name its own `table`.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/input.h"
#include "client/cli/json_text.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"
#include "client/polarys_query.h"

enum { TRANSACT_TIMEOUT_MS = 60000, TRANSACT_PATH_BYTES_MAX = 1024 };

/* What is being built, and where its parts come from. */
struct transact_reader {
    struct cli *cli;
    struct polarys_client_transact *transact;
    char table[POLARYS_CLIENT_NAME_MAX + 1]; /* of parts that name none */
    size_t part;                             /* in its list, counted from 0 */
    const char *list;                        /* "compare", "then", "else" */
};

/* One part: an object's text, and room for what it says. */
struct transact_part {
    struct polarys_slice text;
    struct polarys_client_write write;
    char table[POLARYS_CLIENT_NAME_MAX + 1];
    char key[POLARYS_KEY_BYTES_MAX + 1];
    char path[TRANSACT_PATH_BYTES_MAX + 1];
    char *json; /* malloc'd */
};

static enum cli_status part_wrong(const struct transact_reader *reader, const char *why)
{
    return cli_fail(reader->cli, "INVALID_ARGUMENT/BAD_ARGUMENT", "%s[%zu]: %s", reader->list,
                    reader->part, why);
}

/* The member of this name; false when there is none. */
static bool member_find(struct polarys_slice text, const char *name, struct object_member *member)
{
    struct object_walk walk;

    POLARYS_ASSERT(name != NULL);
    if (!object_walk_init(&walk, (const char *)text.data, text.size)) {
        return false;
    }
    while (object_walk_next(&walk, member)) {
        if (member->name_size == strlen(name) &&
            memcmp(member->name, name, member->name_size) == 0) {
            return true;
        }
    }
    return false;
}

/* A string or number member as text with a NUL; false when it is missing or does not fit. */
static bool member_text(struct polarys_slice text, const char *name, char *to, size_t to_size,
                        size_t *size)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    POLARYS_ASSERT(to_size > 0);
    return polarys_json_member_text(text, name, to, to_size, size, &err) == POLARYS_OK;
}

/* The table of a part: its own or that of all. */
static void part_table_read(const struct transact_reader *reader, struct transact_part *part)
{
    size_t size;
    bool has_own = member_text(part->text, "table", part->table, sizeof(part->table), &size);
    part->write.table = has_own ? part->table : reader->table;
}

static bool part_key_read(struct transact_part *part, const char *name)
{
    part->write.key = part->key;
    return member_text(part->text, name, part->key, sizeof(part->key), &part->write.key_size);
}

/* The value of a comparison: NULL, or what is wrong. */
static const char *condition_read(struct transact_part *part)
{
    struct polarys_client_write *write = &part->write;
    struct object_member member;
    char number[24];
    size_t size;

    POLARYS_ASSERT(write->precondition == POLARYS_CLIENT_NO_PRECONDITION);
    if (member_text(part->text, "version", number, sizeof(number), &size)) {
        write->precondition = POLARYS_CLIENT_VERSION_EQUALS;
        return parse_number(number, &write->precondition_version) ? NULL
                                                                  : "\"version\" is no version";
    }
    if (member_find(part->text, "exists", &member)) {
        bool exists = member.value_size == 4 && memcmp(member.value, "true", 4) == 0;
        bool is_absent = member.value_size == 5 && memcmp(member.value, "false", 5) == 0;
        write->precondition = exists ? POLARYS_CLIENT_MUST_EXIST : POLARYS_CLIENT_MUST_NOT_EXIST;
        return exists || is_absent ? NULL : "\"exists\" is true or false";
    }
    if (!member_text(part->text, "field", part->path, sizeof(part->path), &size) ||
        !member_find(part->text, "equals", &member)) {
        return "says neither \"version\" nor \"exists\" nor \"field\" with \"equals\"";
    }
    part->json = strndup(member.value, member.value_size);
    write->precondition = POLARYS_CLIENT_FIELD_EQUALS;
    write->precondition_field = part->path;
    write->precondition_json = part->json;
    return part->json != NULL ? NULL : "no memory for it";
}

static enum cli_status compare_read(struct transact_reader *reader, struct transact_part *part)
{
    if (!part_key_read(part, "key")) {
        return part_wrong(reader, "no \"key\", or one that is too long");
    }
    const char *why = condition_read(part);
    if (why != NULL) {
        return part_wrong(reader, why);
    }
    return polarys_client_transact_compare(reader->transact, &part->write)
               ? CLI_DONE
               : part_wrong(reader, "no memory for it");
}

static enum cli_status operation_read(struct transact_reader *reader, struct transact_part *part,
                                      enum polarys_client_branch branch)
{
    static const struct {
        const char *name;
        const char *value; /* NULL: it takes none */
        enum polarys_client_operation operation;
    } operations[] = {
        {"get", NULL, POLARYS_CLIENT_OPERATION_GET},
        {"put", "value", POLARYS_CLIENT_OPERATION_PUT},
        {"update", "patch", POLARYS_CLIENT_OPERATION_UPDATE},
        {"delete", NULL, POLARYS_CLIENT_OPERATION_DELETE},
    };
    struct object_member member;

    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (!part_key_read(part, operations[i].name)) {
            continue;
        }
        if (operations[i].value != NULL) {
            if (!member_find(part->text, operations[i].value, &member)) {
                return part_wrong(reader,
                                  i == 1 ? "put takes a \"value\"" : "update takes a \"patch\"");
            }
            part->write.value = member.value;
            part->write.value_size = member.value_size;
        }
        return polarys_client_transact_add(reader->transact, branch, operations[i].operation,
                                           &part->write)
                   ? CLI_DONE
                   : part_wrong(reader, "no memory for it");
    }
    return part_wrong(reader, "is neither a get, a put, an update nor a delete");
}

/* Reads one of the three lists; one that is missing is empty. */
static enum cli_status list_read(struct transact_reader *reader, struct polarys_slice text,
                                 const char *name)
{
    struct object_member member;
    struct object_walk walk;
    struct polarys_slice element = {NULL, 0};
    enum cli_status status = CLI_DONE;

    reader->list = name;
    reader->part = 0;
    if (!member_find(text, name, &member)) {
        return CLI_DONE;
    }
    if (!array_walk_init(&walk, member.value, member.value_size)) {
        return cli_fail(reader->cli, "INVALID_ARGUMENT/BAD_ARGUMENT", "\"%s\" is no array", name);
    }
    while (status == CLI_DONE &&
           array_walk_next(&walk, (const char **)&element.data, &element.size)) {
        struct transact_part *part = calloc(1, sizeof(*part));
        if (part == NULL) {
            return cli_fail(reader->cli, "NO_MEMORY", "no memory for an operation");
        }
        part->text = element;
        part_table_read(reader, part);
        status = strcmp(name, "compare") == 0
                     ? compare_read(reader, part)
                     : operation_read(reader, part,
                                      strcmp(name, "then") == 0 ? POLARYS_CLIENT_THEN
                                                                : POLARYS_CLIENT_ELSE);
        free(part->json);
        free(part);
        reader->part++;
    }
    return status;
}

/* One row for the whole; then, of each operation in JSON, or of each document that was got. */
static enum cli_status outcome_print(struct cli *cli,
                                     const struct polarys_client_transact_outcome *outcome)
{
    struct output *output = output_create(cli);
    enum cli_status status = CLI_FAILED;

    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_bool("succeeded", outcome->has_succeeded),
        field_number("version", outcome->result.version),
        {"token", FIELD_HEX, outcome->result.token, outcome->result.token_size, 0, 0},
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    status = output_finish(output, cli, CLI_DONE);
    output = status == CLI_DONE && outcome->item_count > 0 ? output_create(cli) : NULL;
    if (output == NULL) {
        return status;
    }
    output->has_line_ends = true;
    for (size_t i = 0; i < outcome->item_count; i++) {
        const struct polarys_client_transact_item *item = &outcome->items[i];
        const struct output_field found = field_bool("found", item->is_found);
        if (item->has_document) {
            output_document(output, &item->document, false);
        } else if (output->format == OUTPUT_JSON) {
            output_row(output, &found, 1);
        }
    }
    return output_finish(output, cli, status);
}

static enum cli_status transact_run(struct cli *cli, struct polarys_client_transact *transact,
                                    enum polarys_client_durability durability)
{
    struct polarys_client_transact_outcome outcome;
    struct polarys_client_error err;

    if (!polarys_client_transact_run(transact, durability, &outcome, &err)) {
        return cli_fail_call(cli, &err);
    }
    enum cli_status status = outcome_print(cli, &outcome);
    polarys_client_transact_outcome_free(&outcome);
    return status;
}

/* Builds the transact from checked JSON, and runs it. */
static enum cli_status transact_read(struct cli *cli, struct polarys_slice text,
                                     enum polarys_client_durability durability)
{
    struct transact_reader reader = {.cli = cli};
    struct polarys_client *client = cli_connect(cli, TRANSACT_TIMEOUT_MS);
    size_t size;

    if (client == NULL) {
        return CLI_FAILED;
    }
    (void)member_text(text, "table", reader.table, sizeof(reader.table),
                      &size); /* may be missing */
    reader.transact = polarys_client_transact_create(client, cli->settings.database);
    if (reader.transact == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for a transaction");
    }
    enum cli_status status = list_read(&reader, text, "compare");
    if (status == CLI_DONE) {
        status = list_read(&reader, text, "then");
    }
    if (status == CLI_DONE) {
        status = list_read(&reader, text, "else");
    }
    if (status == CLI_DONE) {
        status = transact_run(cli, reader.transact, durability);
    }
    polarys_client_transact_destroy(reader.transact);
    return status;
}

/* All of the file, or of standard input for "-". */
static enum cli_status file_read(struct cli *cli, const char *name, char **bytes, size_t *size)
{
    if (strcmp(name, "-") == 0) {
        return cli->is_shell ? cli_usage(cli, "in the shell transact reads from a file")
                             : input_read(cli, cli->in, "standard input", bytes, size);
    }
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return cli_fail_errno(cli, name);
    }
    enum cli_status status = input_read(cli, file, name, bytes, size);
    (void)fclose(file);
    return status;
}

enum cli_status command_transact(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_client_write options = {0};
    struct polarys_error err = POLARYS_ERROR_INIT;
    char *bytes = NULL;
    size_t size = 0;

    enum cli_status status = arguments_write(cli, arguments, &options);
    if (status == CLI_DONE) {
        status = file_read(cli, arguments->positionals[0], &bytes, &size);
    }
    if (status == CLI_DONE) {
        const struct polarys_slice text = {(const uint8_t *)bytes, size};
        struct object_walk walk;
        if (polarys_json_check(text, &err) != POLARYS_OK) {
            status = cli_fail_engine(cli, &err);
        } else if (!object_walk_init(&walk, bytes, size)) {
            status = cli_fail(cli, "INVALID_ARGUMENT/BAD_ARGUMENT", "a transaction is an object");
        } else {
            status = transact_read(cli, text, options.durability);
        }
    }
    free(bytes);
    return status;
}
