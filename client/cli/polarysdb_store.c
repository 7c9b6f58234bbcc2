/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables by name, changes in a growing array, and one sort at the end: no map of keys has to be kept while the
 * files are read.
 */
#include "client/cli/polarysdb_store.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

enum { BLOCK_BYTES = 1 << 20, CAPACITY_FIRST = 64 };

/* Memory that goes with the store: room of its own, or what was taken over. */
struct polarysdb_block {
    struct polarysdb_block *next;
    void *bytes;
};

static int name_compare(const void *a, const void *b)
{
    const struct polarysdb_table *left = a;
    const struct polarysdb_table *right = b;
    size_t common = left->name_size < right->name_size ? left->name_size : right->name_size;
    int order = memcmp(left->name, right->name, common);

    return order != 0 ? order
                      : (left->name_size > right->name_size) - (left->name_size < right->name_size);
}

static void table_forget(void *table)
{
    (void)table; /* the array owns it */
}

void polarysdb_store_deinit(struct polarysdb_store *store)
{
    tdestroy(store->tables_by_name, table_forget);
    for (size_t i = 0; i < store->table_count; i++) {
        free(store->tables[i]->name);
        free(store->tables[i]);
    }
    free(store->tables);
    free(store->changes);
    while (store->blocks != NULL) {
        struct polarysdb_block *block = store->blocks;
        store->blocks = block->next;
        free(block->bytes);
        free(block);
    }
    memset(store, 0, sizeof(*store));
}

/* The array with room for one element more, moved if need be; NULL: no memory, and it is as it was. */
static void *array_grow(void *array, size_t count, size_t *capacity, size_t element_size)
{
    POLARYS_ASSERT(count <= *capacity);
    if (count < *capacity) {
        return array;
    }
    size_t grown_capacity = *capacity == 0 ? CAPACITY_FIRST : *capacity * 2;
    void *grown = realloc(array, grown_capacity * element_size);
    if (grown != NULL) {
        *capacity = grown_capacity;
    }
    return grown;
}

static struct polarysdb_table *table_find(const struct polarysdb_store *store, const char *name,
                                          size_t size)
{
    struct polarysdb_table wanted = {.name = (char *)name, .name_size = size};
    struct polarysdb_table **found = tfind(&wanted, &store->tables_by_name, name_compare);

    return found == NULL ? NULL : *found;
}

bool polarysdb_store_has_table(const struct polarysdb_store *store, const char *name, size_t size)
{
    POLARYS_ASSERT(name != NULL);
    return table_find(store, name, size) != NULL;
}

/* A table that no list knows yet. NULL: no memory. */
static struct polarysdb_table *table_create(const char *name, size_t size)
{
    struct polarysdb_table *table = calloc(1, sizeof(*table));

    if (table == NULL) {
        return NULL;
    }
    table->name = malloc(size + 1);
    if (table->name == NULL) {
        free(table);
        return NULL;
    }
    memcpy(table->name, name, size);
    table->name[size] = '\0';
    table->name_size = size;
    return table;
}

bool polarysdb_store_table(struct polarysdb_store *store, const char *name, size_t size,
                           uint32_t *index, struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(name != NULL);
    struct polarysdb_table *table = table_find(store, name, size);
    if (table != NULL) {
        *index = table->index;
        return true;
    }
    if (store->table_count == POLARYSDB_TABLES_MAX) {
        return polarysdb_fault_set(fault, POLARYSDB_TOO_LARGE, "more than %d tables",
                                   POLARYSDB_TABLES_MAX);
    }
    struct polarysdb_table **tables = array_grow(store->tables, store->table_count,
                                                 &store->table_capacity, sizeof(*store->tables));
    if (tables == NULL) {
        return polarysdb_fault_memory(fault, "a table");
    }
    store->tables = tables;
    table = table_create(name, size);
    if (table == NULL) {
        return polarysdb_fault_memory(fault, "a table");
    }
    if (tsearch(table, &store->tables_by_name, name_compare) == NULL) {
        free(table->name);
        free(table);
        return polarysdb_fault_memory(fault, "a table");
    }
    table->index = (uint32_t)store->table_count;
    *index = table->index;
    store->tables[store->table_count++] = table;
    return true;
}

bool polarysdb_store_change(struct polarysdb_store *store, const struct polarysdb_change *change,
                            struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(change->table < store->table_count);
    if (store->change_count == POLARYSDB_CHANGES_MAX) {
        return polarysdb_fault_set(fault, POLARYSDB_TOO_LARGE,
                                   "more than %d documents and log entries", POLARYSDB_CHANGES_MAX);
    }
    struct polarysdb_change *changes = array_grow(store->changes, store->change_count,
                                                  &store->change_capacity, sizeof(*store->changes));
    if (changes == NULL) {
        return polarysdb_fault_memory(fault, "what the files hold");
    }
    store->changes = changes;
    store->changes[store->change_count] = *change;
    store->changes[store->change_count].order = store->change_count;
    store->change_count++;
    return true;
}

/* Keeps malloc'd memory until the end; does not free it when that fails. */
static struct polarysdb_block *block_add(struct polarysdb_store *store, void *bytes)
{
    struct polarysdb_block *block = malloc(sizeof(*block));

    if (block != NULL) {
        block->bytes = bytes;
        block->next = store->blocks;
        store->blocks = block;
    }
    return block;
}

void *polarysdb_store_allocate(struct polarysdb_store *store, size_t size)
{
    bool is_alone = size > BLOCK_BYTES / 4;

    if (!is_alone && store->open_block != NULL && BLOCK_BYTES - store->open_used >= size) {
        void *room = (char *)store->open_block->bytes + store->open_used;
        store->open_used += size;
        return room;
    }
    void *bytes = malloc(is_alone ? size : (size_t)BLOCK_BYTES);
    if (bytes == NULL) {
        return NULL;
    }
    struct polarysdb_block *block = block_add(store, bytes);
    if (block == NULL) {
        free(bytes);
        return NULL;
    }
    if (!is_alone) {
        store->open_block = block;
        store->open_used = size;
    }
    return bytes;
}

bool polarysdb_store_adopt(struct polarysdb_store *store, void *take_bytes,
                           struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(take_bytes != NULL);
    if (block_add(store, take_bytes) == NULL) {
        free(take_bytes);
        return polarysdb_fault_memory(fault, "the content of a file");
    }
    return true;
}

static int key_compare(const struct polarysdb_change *a, const struct polarysdb_change *b)
{
    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    }
    size_t common = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = common == 0 ? 0 : memcmp(a->key, b->key, common);
    return order != 0 ? order : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

static int change_compare(const void *left, const void *right)
{
    const struct polarysdb_change *a = left;
    const struct polarysdb_change *b = right;
    int order = key_compare(a, b);

    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

static void document_count(struct polarysdb_store *store, size_t at)
{
    const struct polarysdb_change *document = &store->changes[at];
    struct polarysdb_table *table = store->tables[document->table];

    POLARYS_ASSERT(document->kind != POLARYSDB_DELETED);
    if (table->count == 0) {
        table->first = at;
    }
    table->count++;
    table->raw_count += document->kind == POLARYSDB_RAW;
    table->bytes += document->key_size + document->value_size;
    if (document->value_size > table->largest_value) {
        table->largest_value = document->value_size;
    }
}

bool polarysdb_store_merge(struct polarysdb_store *store, const char *path,
                           struct polarysdb_fault *fault)
{
    size_t kept = 0;

    if (store->change_count > 0) {
        qsort(store->changes, store->change_count, sizeof(*store->changes), change_compare);
    }
    for (size_t i = 0; i < store->change_count; i++) {
        const struct polarysdb_change *change = &store->changes[i];
        bool is_last = i + 1 == store->change_count || key_compare(change, change + 1) != 0;
        if (!is_last && change->is_of_snapshot && change[1].is_of_snapshot) {
            return polarysdb_fault_set(
                fault, POLARYSDB_BAD_JSON,
                "%s: the key \"%.*s\" stands twice in the table \"%s\": no PolarysDB wrote that; "
                "leave one of them",
                path, (int)(change->key_size < 256 ? change->key_size : 256), change->key,
                store->tables[change->table]->name);
        }
        if (is_last && change->kind != POLARYSDB_DELETED) {
            store->changes[kept] = *change;
            document_count(store, kept);
            kept++;
        }
    }
    store->change_count = kept;
    return true;
}
