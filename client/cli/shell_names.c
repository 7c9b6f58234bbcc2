/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever goes wrong while asking leaves fewer names, or none.
 */
#include "client/cli/shell_names.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/json_text.h"
#include "client/cli/parse.h"
#include "client/cli/progress.h"

enum {
    NAMES_TIMEOUT_MS = 1000,
    NAMES_KEEP_MS = 5000,
    FIELDS_OF_DOCUMENTS = 20, /* whose members are looked at */
};

void shell_names_drop(struct shell_names *names)
{
    POLARYS_ASSERT(names->count <= SHELL_NAMES_MAX);
    for (size_t i = 0; i < names->count; i++) {
        free(names->names[i]);
        names->names[i] = NULL;
    }
    names->count = 0;
    names->fetched_ms = 0;
}

/* Keeps a name once. False: there is no room for more. */
static bool name_keep(struct shell_names *names, const char *name, size_t size)
{
    POLARYS_ASSERT(names->count < SHELL_NAMES_MAX);
    for (size_t i = 0; i < names->count; i++) {
        if (strlen(names->names[i]) == size && memcmp(names->names[i], name, size) == 0) {
            return true;
        }
    }
    char *copy = malloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, name, size);
        copy[size] = '\0';
        names->names[names->count++] = copy;
    }
    return copy != NULL && names->count < SHELL_NAMES_MAX;
}

static bool table_keep(void *context, const struct polarys_client_table *table)
{
    return name_keep(context, table->table, strlen(table->table));
}

static bool index_keep(void *context, const struct polarys_client_index *index)
{
    return name_keep(context, index->index, strlen(index->index));
}

/* Names with an escape or a blank in them would need quotes of their own: they are left out. */
static bool members_keep(struct shell_names *names, const struct polarys_client_document *document)
{
    struct object_walk walk;
    struct object_member member;
    bool has_room = true;

    if (document->kind != POLARYS_CLIENT_JSON ||
        !object_walk_init(&walk, (const char *)document->value, document->value_size)) {
        return true;
    }
    while (has_room && object_walk_next(&walk, &member)) {
        if (memchr(member.name, '\\', member.name_size) == NULL &&
            memchr(member.name, ' ', member.name_size) == NULL) {
            has_room = name_keep(names, member.name, member.name_size);
        }
    }
    return has_room;
}

static void fields_fetch(struct shell_names *names, struct polarys_client *client,
                         const char *database, const char *table)
{
    const struct polarys_client_scan_options options = {
        .database = database, .table = table, .limit = FIELDS_OF_DOCUMENTS};
    struct polarys_client_scan *scan;
    struct polarys_client_document document;
    bool has_document = true;

    if (!polarys_client_scan_open(client, &options, &scan, NULL)) {
        return;
    }
    while (polarys_client_scan_next(scan, &has_document, &document, NULL) && has_document) {
        if (!members_keep(names, &document)) {
            break;
        }
    }
    polarys_client_scan_close(scan);
}

static void names_ask(struct shell_names *names, const struct cli_settings *settings)
{
    struct polarys_client_options options;
    struct polarys_client *client;

    bool is_allowed = cli_client_options(settings, &options);
    options.timeout_ms = NAMES_TIMEOUT_MS;
    options.retries_max = 0;
    if (!is_allowed || !polarys_client_open(&options, &client, NULL)) {
        return;
    }
    switch (names->wish) {
    case SHELL_WISH_TABLES:
        (void)polarys_client_table_list(client, settings->database, table_keep, names, NULL);
        break;
    case SHELL_WISH_INDEXES:
        (void)polarys_client_index_list(client, settings->database, names->table, index_keep, names,
                                        NULL);
        break;
    case SHELL_WISH_FIELDS:
        fields_fetch(names, client, settings->database, names->table);
        break;
    case SHELL_WISH_NONE:
        break;
    }
    polarys_client_close(client);
}

void shell_names_fetch(struct shell_names *names, const struct cli_settings *settings,
                       enum shell_wish wish, const char *table)
{
    uint64_t now_ms = progress_now_ms();

    POLARYS_ASSERT(settings != NULL);
    if (names->fetched_ms != 0 && now_ms - names->fetched_ms < NAMES_KEEP_MS &&
        names->wish == wish && strcmp(names->table, table) == 0) {
        return;
    }
    shell_names_drop(names);
    names->wish = wish;
    (void)snprintf(names->table, sizeof(names->table), "%s", table);
    names->fetched_ms = now_ms;
    if (wish != SHELL_WISH_NONE) {
        names_ask(names, settings);
    }
}
