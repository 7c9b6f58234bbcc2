/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one part after the other; the transact keeps copies, so a part's room is given back at once.
 */
#include "client/cli/transact_parts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/member.h"
#include "client/cli/parse.h"
#include "client/polarys_query.h"

enum { PATH_BYTES_MAX = 1024, NUMBER_ROOM = 24, SHOWN_BYTES_MAX = 64 };

/* What is being built, and where its parts come from. */
struct transact_reader {
    struct cli *cli;
    struct polarys_client_transact *transact;
    char table[POLARYS_CLIENT_NAME_MAX + 1]; /* of parts that name none */
    const char *list;                        /* "compare", "then", "else"; NULL: outside of them */
    size_t part;                             /* in its list, counted from 0 */
};

/* One part: an object's text, and room for what it says. */
struct transact_part {
    struct polarys_slice text;
    struct polarys_client_write write;
    struct polarys_client_range range;
    char table[POLARYS_CLIENT_NAME_MAX + 1];
    char key[POLARYS_KEY_BYTES_MAX + 1];
    char from[POLARYS_KEY_BYTES_MAX + 1];
    char to[POLARYS_KEY_BYTES_MAX + 1];
    char path[PATH_BYTES_MAX + 1];
    char *json;   /* malloc'd */
    uint8_t *raw; /* malloc'd */
};

static enum cli_status part_wrong(const struct transact_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says what is wrong, and where. */
static enum cli_status part_wrong(const struct transact_reader *reader, const char *format, ...)
{
    char why[256];
    va_list args;

    POLARYS_ASSERT(reader->cli != NULL);
    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    if (reader->list == NULL) {
        return cli_fail(reader->cli, "INVALID_ARGUMENT/BAD_ARGUMENT", "%s", why);
    }
    return cli_fail(reader->cli, "INVALID_ARGUMENT/BAD_ARGUMENT", "%s[%zu]: %s", reader->list,
                    reader->part, why);
}

static enum cli_status part_kept(const struct transact_reader *reader, bool is_kept)
{
    return is_kept ? CLI_DONE : cli_fail(reader->cli, "NO_MEMORY", "no memory for a transaction");
}

/* That the object has no members but these. `names` ends with NULL. */
static enum cli_status members_check(const struct transact_reader *reader,
                                     struct polarys_slice text, const char *const *names)
{
    struct object_walk walk;
    struct object_member member;

    POLARYS_ASSERT(names[0] != NULL);
    if (!object_walk_init(&walk, (const char *)text.data, text.size)) {
        return part_wrong(reader, "is no object");
    }
    while (object_walk_next(&walk, &member)) {
        size_t i = 0;
        while (names[i] != NULL && !member_is(&member, names[i])) {
            i++;
        }
        if (names[i] == NULL) {
            int shown =
                (int)(member.name_size < SHOWN_BYTES_MAX ? member.name_size : SHOWN_BYTES_MAX);
            return part_wrong(reader, "\"%.*s\" has no meaning here", shown, member.name);
        }
    }
    return CLI_DONE;
}

/* A string or number member as text with a NUL; left as it is where there is none. */
static enum cli_status text_read(const struct transact_reader *reader, struct polarys_slice text,
                                 const char *name, char *to, size_t to_size, size_t *size)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct object_member member;

    POLARYS_ASSERT(to_size > 0);
    if (!member_find(text, name, &member)) {
        return CLI_DONE;
    }
    switch (polarys_json_member_text(text, name, to, to_size, size, &err)) {
    case POLARYS_OK:
        return CLI_DONE;
    case POLARYS_TOO_LARGE:
        return part_wrong(reader, "\"%s\" has more than %zu bytes", name, to_size - 1);
    default:
        return part_wrong(reader, "\"%s\" is no text", name);
    }
}

/* The table of a part: its own or that of all. */
static enum cli_status part_table_read(const struct transact_reader *reader,
                                       struct transact_part *part)
{
    size_t size = 0;
    enum cli_status status =
        text_read(reader, part->text, "table", part->table, sizeof(part->table), &size);

    if (status == CLI_DONE && part->table[0] == '\0' && reader->table[0] == '\0') {
        return part_wrong(reader, "no \"table\", here or for all");
    }
    part->write.table = part->table[0] != '\0' ? part->table : reader->table;
    return status;
}

static enum cli_status part_key_read(const struct transact_reader *reader,
                                     struct transact_part *part, const char *name)
{
    part->write.key = part->key;
    enum cli_status status =
        text_read(reader, part->text, name, part->key, sizeof(part->key), &part->write.key_size);
    return status == CLI_DONE && part->write.key_size == 0
               ? part_wrong(reader, "no \"%s\", or an empty one", name)
               : status;
}

/* ---- comparisons ---- */

static enum cli_status version_read(const struct transact_reader *reader,
                                    struct transact_part *part)
{
    char number[NUMBER_ROOM] = "";
    size_t size;
    enum cli_status status =
        text_read(reader, part->text, "version", number, sizeof(number), &size);

    part->write.precondition = POLARYS_CLIENT_VERSION_EQUALS;
    if (status == CLI_DONE && !parse_number(number, &part->write.precondition_version)) {
        return part_wrong(reader, "\"version\" is no version");
    }
    return status;
}

static enum cli_status exists_read(const struct transact_reader *reader,
                                   const struct object_member *member, struct transact_part *part)
{
    bool exists = member->value_size == 4 && memcmp(member->value, "true", 4) == 0;
    bool is_absent = member->value_size == 5 && memcmp(member->value, "false", 5) == 0;

    POLARYS_ASSERT(!exists || !is_absent);
    part->write.precondition = exists ? POLARYS_CLIENT_MUST_EXIST : POLARYS_CLIENT_MUST_NOT_EXIST;
    return exists || is_absent ? CLI_DONE : part_wrong(reader, "\"exists\" is true or false");
}

static enum cli_status field_read(const struct transact_reader *reader, struct transact_part *part)
{
    struct object_member member;
    size_t size;
    enum cli_status status =
        text_read(reader, part->text, "field", part->path, sizeof(part->path), &size);

    if (status == CLI_DONE && !member_find(part->text, "equals", &member)) {
        return part_wrong(reader, "\"field\" goes with \"equals\"");
    }
    if (status == CLI_DONE) {
        part->json = malloc(member.value_size + 1);
        if (part->json != NULL) {
            memcpy(part->json, member.value, member.value_size);
            part->json[member.value_size] = '\0';
        }
        part->write.precondition = POLARYS_CLIENT_FIELD_EQUALS;
        part->write.precondition_field = part->path;
        part->write.precondition_json = part->json;
        status = part_kept(reader, part->json != NULL);
    }
    return status;
}

static enum cli_status condition_read(const struct transact_reader *reader,
                                      struct transact_part *part)
{
    struct object_member version;
    struct object_member exists;
    struct object_member field;
    bool has_version = member_find(part->text, "version", &version);
    bool has_exists = member_find(part->text, "exists", &exists);
    bool has_field = member_find(part->text, "field", &field);

    POLARYS_ASSERT(part->write.precondition == POLARYS_CLIENT_NO_PRECONDITION);
    if (has_version + has_exists + has_field != 1) {
        return part_wrong(reader,
                          "says not one of \"version\", \"exists\", \"field\" with \"equals\"");
    }
    if (has_version) {
        return version_read(reader, part);
    }
    return has_exists ? exists_read(reader, &exists, part) : field_read(reader, part);
}

static enum cli_status compare_read(const struct transact_reader *reader,
                                    struct transact_part *part)
{
    static const char *const names[] = {"table", "key",    "version", "exists",
                                        "field", "equals", NULL};
    enum cli_status status = members_check(reader, part->text, names);

    if (status == CLI_DONE) {
        status = part_key_read(reader, part, "key");
    }
    if (status == CLI_DONE) {
        status = condition_read(reader, part);
    }
    return status != CLI_DONE
               ? status
               : part_kept(reader, polarys_client_transact_compare(reader->transact, &part->write));
}

/* ---- operations ---- */

static enum cli_status expiry_read(const struct transact_reader *reader, struct transact_part *part)
{
    struct object_member member;
    char text[MEMBER_TIME_ROOM];

    if (!member_find(part->text, "expires_at", &member) ||
        member_time_take(&member, text, &part->write.expires_at_ms)) {
        return CLI_DONE;
    }
    return part_wrong(reader, "\"expires_at\" is '%s', not a time such as 2026-01-02T03:04:05Z",
                      text);
}

/* What a put writes, or with what an update patches. */
static enum cli_status value_read(const struct transact_reader *reader, const char *name,
                                  struct transact_part *part)
{
    struct object_member member;
    struct object_member raw;
    bool has_json = member_find(part->text, name, &member);
    bool has_raw = member_find(part->text, "raw", &raw);
    size_t capacity = 0;

    if (has_json && has_raw) {
        return part_wrong(reader, "\"value\" or \"raw\", not both");
    }
    if (!has_json && !has_raw) {
        return strcmp(name, "patch") == 0
                   ? part_wrong(reader, "update takes a \"patch\"")
                   : part_wrong(reader, "put takes a \"value\", or a \"raw\" one in base64");
    }
    part->write.kind = has_raw ? POLARYS_CLIENT_RAW : POLARYS_CLIENT_JSON;
    if (has_raw) {
        if (!member_base64_take(&raw, &part->raw, &capacity, &part->write.value_size)) {
            return part_wrong(reader, "\"raw\" is no base64 text");
        }
        part->write.value = part->raw;
    } else {
        part->write.value = member.value;
        part->write.value_size = member.value_size;
    }
    return expiry_read(reader, part);
}

static enum cli_status range_read(const struct transact_reader *reader,
                                  const struct object_member *member, struct transact_part *part)
{
    static const char *const names[] = {"prefix", "from", "to", "all", NULL};
    const struct polarys_slice text = {(const uint8_t *)member->value, member->value_size};
    struct polarys_client_range *range = &part->range;
    struct object_member all;

    enum cli_status status = members_check(reader, text, names);
    if (status == CLI_DONE) {
        status =
            text_read(reader, text, "prefix", part->key, sizeof(part->key), &range->prefix_size);
    }
    if (status == CLI_DONE) {
        status =
            text_read(reader, text, "from", part->from, sizeof(part->from), &range->start_size);
    }
    if (status == CLI_DONE) {
        status = text_read(reader, text, "to", part->to, sizeof(part->to), &range->end_size);
    }
    range->prefix = part->key;
    range->start = part->from;
    range->end = part->to;
    bool has_bound = range->prefix_size + range->start_size + range->end_size > 0;
    bool is_all =
        member_find(text, "all", &all) && all.value_size == 4 && memcmp(all.value, "true", 4) == 0;
    /* An empty bound is no bound: who means every document has to say so. */
    if (status == CLI_DONE && has_bound == is_all) {
        return part_wrong(reader, "delete_range takes \"prefix\", \"from\", \"to\", or else "
                                  "\"all\": true");
    }
    return status;
}

static enum cli_status operation_add(const struct transact_reader *reader,
                                     enum polarys_client_branch branch,
                                     enum polarys_client_operation operation, const char *value,
                                     struct transact_part *part)
{
    static const char *const names[] = {"get", "put", "update", "delete"};

    POLARYS_ASSERT((size_t)operation < sizeof(names) / sizeof(names[0]));
    const char *members[] = {names[operation],
                             "table",
                             value,
                             "expires_at",
                             operation == POLARYS_CLIENT_OPERATION_PUT ? "raw" : NULL,
                             NULL};
    enum cli_status status = members_check(reader, part->text, members);
    if (status == CLI_DONE) {
        status = part_key_read(reader, part, names[operation]);
    }
    if (status == CLI_DONE && value != NULL) {
        status = value_read(reader, value, part);
    }
    return status != CLI_DONE
               ? status
               : part_kept(reader, polarys_client_transact_add(reader->transact, branch, operation,
                                                               &part->write));
}

static enum cli_status range_add(const struct transact_reader *reader,
                                 enum polarys_client_branch branch,
                                 const struct object_member *member, struct transact_part *part)
{
    static const char *const members[] = {"delete_range", "table", NULL};
    enum cli_status status = members_check(reader, part->text, members);

    if (status == CLI_DONE) {
        status = range_read(reader, member, part);
    }
    return status != CLI_DONE
               ? status
               : part_kept(reader, polarys_client_transact_delete_range(
                                       reader->transact, branch, part->write.table, &part->range));
}

static enum cli_status operation_read(const struct transact_reader *reader,
                                      enum polarys_client_branch branch, struct transact_part *part)
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

    POLARYS_ASSERT(branch == POLARYS_CLIENT_THEN || branch == POLARYS_CLIENT_ELSE);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (member_find(part->text, operations[i].name, &member)) {
            return operation_add(reader, branch, operations[i].operation, operations[i].value,
                                 part);
        }
    }
    return member_find(part->text, "delete_range", &member)
               ? range_add(reader, branch, &member, part)
               : part_wrong(reader, "is none of get, put, update, delete and delete_range");
}

/* ---- the lists ---- */

static enum cli_status part_read(const struct transact_reader *reader, struct polarys_slice text)
{
    struct transact_part *part = calloc(1, sizeof(*part));

    POLARYS_ASSERT(reader->list != NULL);
    if (part == NULL) {
        return part_kept(reader, false);
    }
    part->text = text;
    enum cli_status status = part_table_read(reader, part);
    if (status == CLI_DONE && strcmp(reader->list, "compare") == 0) {
        status = compare_read(reader, part);
    } else if (status == CLI_DONE) {
        status = operation_read(
            reader, strcmp(reader->list, "then") == 0 ? POLARYS_CLIENT_THEN : POLARYS_CLIENT_ELSE,
            part);
    }
    free(part->json);
    free(part->raw);
    free(part);
    return status;
}

/* Reads one of the three lists; one that is missing is empty. */
static enum cli_status list_read(struct transact_reader *reader, struct polarys_slice text,
                                 const char *name)
{
    struct object_member member;
    struct object_walk walk;
    struct polarys_slice element = {NULL, 0};
    enum cli_status status = CLI_DONE;

    reader->list = NULL;
    if (!member_find(text, name, &member)) {
        return CLI_DONE;
    }
    if (!array_walk_init(&walk, member.value, member.value_size)) {
        return part_wrong(reader, "\"%s\" is no array", name);
    }
    reader->list = name;
    reader->part = 0;
    while (status == CLI_DONE &&
           array_walk_next(&walk, (const char **)&element.data, &element.size)) {
        status = part_read(reader, element);
        reader->part++;
    }
    return status;
}

enum cli_status transact_parts_read(struct cli *cli, struct polarys_slice text,
                                    struct polarys_client_transact *transact)
{
    static const char *const lists[] = {"compare", "then", "else"};
    static const char *const names[] = {"table", "compare", "then", "else", NULL};
    struct transact_reader reader = {.cli = cli, .transact = transact};
    struct object_walk walk;
    size_t size;

    POLARYS_ASSERT(transact != NULL);
    if (!object_walk_init(&walk, (const char *)text.data, text.size)) {
        return part_wrong(&reader, "a transaction is an object");
    }
    enum cli_status status = members_check(&reader, text, names);
    if (status == CLI_DONE) {
        status = text_read(&reader, text, "table", reader.table, sizeof(reader.table), &size);
    }
    for (size_t i = 0; status == CLI_DONE && i < sizeof(lists) / sizeof(lists[0]); i++) {
        status = list_read(&reader, text, lists[i]);
    }
    return status;
}
