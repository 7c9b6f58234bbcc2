/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is judged before anything is written, and all that is wrong with names is told at once: nobody wants
 * to learn of one table after the other.
 */
#include "client/cli/polarysdb_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "engine/engine.h"

enum { LISTED_MAX = 8, SHOWN_BYTES_MAX = 128 };

static int shown(size_t size)
{
    return size < SHOWN_BYTES_MAX ? (int)size : SHOWN_BYTES_MAX;
}

bool polarysdb_rename_is_valid(const char *text)
{
    POLARYS_ASSERT(text != NULL);
    const char *equals = strrchr(text, '=');
    return equals != NULL && polarys_name_is_valid(equals + 1, strlen(equals + 1));
}

/* The target that a rename gives the table; NULL when none names it. */
static const char *rename_find(const struct polarysdb_table *table, const char *const *renames,
                               size_t count, size_t *which)
{
    for (size_t i = 0; i < count; i++) {
        const char *equals = strrchr(renames[i], '=');
        POLARYS_ASSERT(equals != NULL);
        if ((size_t)(equals - renames[i]) == table->name_size &&
            memcmp(renames[i], table->name, table->name_size) == 0) {
            *which = i;
            return equals + 1;
        }
    }
    return NULL;
}

/* Appends a table's name to the list of those that are no names here. */
static void list_append(char *list, size_t list_size, const struct polarysdb_table *table,
                        size_t number)
{
    size_t used = strlen(list);

    POLARYS_ASSERT(used < list_size);
    if (number < LISTED_MAX) {
        (void)snprintf(list + used, list_size - used, "%s\"%.*s\"", number == 0 ? "" : ", ",
                       shown(table->name_size), table->name);
    } else if (number == LISTED_MAX) {
        (void)snprintf(list + used, list_size - used, ", ...");
    }
}

static bool targets_set(struct polarysdb_store *store, const char *const *renames,
                        size_t rename_count, bool *is_used, struct polarysdb_fault *fault)
{
    char list[LISTED_MAX * (SHOWN_BYTES_MAX + 4) + 8] = "";
    size_t refused = 0;

    for (size_t i = 0; i < store->table_count; i++) {
        struct polarysdb_table *table = store->tables[i];
        size_t which = 0;
        const char *target = rename_find(table, renames, rename_count, &which);
        if (target != NULL) {
            is_used[which] = true;
        } else if (polarys_name_is_valid(table->name, table->name_size)) {
            target = table->name;
        } else {
            list_append(list, sizeof(list), table, refused++);
            continue;
        }
        (void)snprintf(table->target, sizeof(table->target), "%s", target);
    }
    return refused == 0 ||
           polarysdb_fault_set(fault, POLARYSDB_BAD_NAME,
                               "%zu tables have names that are none here (a letter, then up to 127 "
                               "letters, digits, '_', '.' and '-'): %s; give each another one: "
                               "--rename-table 'OLD=NEW'",
                               refused, list);
}

static int target_compare(const void *a, const void *b)
{
    const struct polarysdb_table *const *left = a;
    const struct polarysdb_table *const *right = b;
    return strcmp((*left)->target, (*right)->target);
}

/* Two tables into one would mix their keys. */
static bool targets_judge(const struct polarysdb_store *store, struct polarysdb_fault *fault)
{
    bool is_ok = true;

    struct polarysdb_table **sorted =
        calloc(store->table_count + 1, sizeof(struct polarysdb_table *));
    if (sorted == NULL) {
        return polarysdb_fault_memory(fault, "the tables' names");
    }
    for (size_t i = 0; i < store->table_count; i++) {
        sorted[i] = store->tables[i];
    }
    qsort(sorted, store->table_count, sizeof(struct polarysdb_table *), target_compare);
    for (size_t i = 1; i < store->table_count && is_ok; i++) {
        if (strcmp(sorted[i - 1]->target, sorted[i]->target) == 0) {
            is_ok = polarysdb_fault_set(
                fault, POLARYSDB_BAD_NAME,
                "the tables \"%.*s\" and \"%.*s\" would both become \"%s\"; give each a name of "
                "its own with --rename-table",
                shown(sorted[i - 1]->name_size), sorted[i - 1]->name, shown(sorted[i]->name_size),
                sorted[i]->name, sorted[i]->target);
        }
    }
    free(sorted);
    return is_ok;
}

bool polarysdb_names_resolve(struct polarysdb_store *store, const char *const *renames,
                             size_t rename_count, struct polarysdb_fault *fault)
{
    bool is_used[POLARYSDB_RENAMES_MAX] = {false};

    POLARYS_ASSERT(rename_count <= POLARYSDB_RENAMES_MAX);
    if (!targets_set(store, renames, rename_count, is_used, fault)) {
        return false;
    }
    for (size_t i = 0; i < rename_count; i++) {
        if (!is_used[i]) {
            return polarysdb_fault_set(fault, POLARYSDB_BAD_NAME,
                                       "--rename-table %s: there is no such table in the files, or "
                                       "another --rename-table names it",
                                       renames[i]);
        }
    }
    return targets_judge(store, fault);
}

bool polarysdb_names_keys_check(const struct polarysdb_store *store, struct polarysdb_fault *fault)
{
    for (size_t i = 0; i < store->change_count; i++) {
        const struct polarysdb_change *document = &store->changes[i];
        POLARYS_ASSERT(document->kind != POLARYSDB_DELETED);
        if (document->key_size == 0 || document->key_size > POLARYS_KEY_BYTES_MAX) {
            return polarysdb_fault_set(
                fault, POLARYSDB_BAD_KEY,
                "table \"%s\": a key of %zu bytes, \"%.*s\": it may have 1 to "
                "%d; write that document under another key first",
                store->tables[document->table]->name, document->key_size, shown(document->key_size),
                document->key, POLARYS_KEY_BYTES_MAX);
        }
    }
    return true;
}
