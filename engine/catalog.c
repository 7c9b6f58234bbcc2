/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building catalogues, finding names in them, and handing the published one to readers.
 *
 * A reader marks itself in one of a few counters before it takes the pointer and unmarks itself after. A
 * retired catalogue is freed once each counter was seen at zero after the pointer was replaced: whoever
 * came later got the new one.
 */
#include "engine/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"

enum { CATALOG_SLOTS_MIN = 16 };

struct catalog *catalog_create(void)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    if (catalog == NULL) {
        return NULL;
    }
    catalog->next_database_id = DEFAULT_DATABASE_ID + 1;
    catalog->next_table_id = 1;
    struct catalog_database database = {.id = DEFAULT_DATABASE_ID, .name = "default"};
    if (catalog_add_database(catalog, &database) != POLARYS_OK ||
        catalog_index(catalog) != POLARYS_OK) {
        catalog_destroy(catalog);
        return NULL;
    }
    return catalog;
}

void catalog_destroy(struct catalog *catalog)
{
    if (catalog != NULL) {
        free(catalog->databases);
        free(catalog->tables);
        for (size_t i = 0; i < catalog->index_count; i++) {
            index_definition_unref(catalog->indexes[i]);
        }
        free(catalog->indexes);
        free(catalog->slots);
        free(catalog);
    }
}

struct catalog *catalog_copy(const struct catalog *catalog)
{
    struct catalog *copy = calloc(1, sizeof(*copy));
    if (copy == NULL) {
        return NULL;
    }
    copy->version = catalog->version;
    copy->next_database_id = catalog->next_database_id;
    copy->next_table_id = catalog->next_table_id;
    copy->database_count = catalog->database_count;
    copy->table_count = catalog->table_count;
    copy->databases = malloc((catalog->database_count + 1) * sizeof(*copy->databases));
    copy->tables = malloc((catalog->table_count + 1) * sizeof(*copy->tables));
    copy->indexes = malloc((catalog->index_count + 1) * sizeof(*copy->indexes));
    if (copy->databases == NULL || copy->tables == NULL || copy->indexes == NULL) {
        catalog_destroy(copy);
        return NULL;
    }
    memcpy(copy->databases, catalog->databases, catalog->database_count * sizeof(*copy->databases));
    if (catalog->table_count > 0) {
        memcpy(copy->tables, catalog->tables, catalog->table_count * sizeof(*copy->tables));
    }
    for (size_t i = 0; i < catalog->index_count; i++) {
        copy->indexes[copy->index_count++] = index_definition_ref(catalog->indexes[i]);
    }
    return copy;
}

/* Grows in powers of two, so that loading n records copies O(n). `capacity_hint`: the count now. */
static bool array_make_room(void **array, size_t count, size_t item_size)
{
    if (*array != NULL && (count & (count - 1)) != 0) {
        return true;
    }
    size_t capacity = count < 8 ? 16 : 2 * count;
    void *grown = realloc(*array, capacity * item_size);
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    return true;
}

enum polarys_code catalog_add_database(struct catalog *catalog,
                                       const struct catalog_database *database)
{
    void *array = catalog->databases;
    if (!array_make_room(&array, catalog->database_count, sizeof(*database))) {
        return POLARYS_NO_MEMORY;
    }
    catalog->databases = array;
    catalog->databases[catalog->database_count++] = *database;
    return POLARYS_OK;
}

enum polarys_code catalog_add_table(struct catalog *catalog, const struct catalog_table *table)
{
    void *array = catalog->tables;
    if (!array_make_room(&array, catalog->table_count, sizeof(*table))) {
        return POLARYS_NO_MEMORY;
    }
    catalog->tables = array;
    catalog->tables[catalog->table_count++] = *table;
    return POLARYS_OK;
}

enum polarys_code catalog_add_index(struct catalog *catalog, struct index_definition *take_index)
{
    void *array = catalog->indexes;
    if (!array_make_room(&array, catalog->index_count, sizeof(*catalog->indexes))) {
        index_definition_unref(take_index);
        return POLARYS_NO_MEMORY;
    }
    catalog->indexes = array;
    catalog->indexes[catalog->index_count++] = take_index;
    return POLARYS_OK;
}

/* Those for which `is_gone` holds of the id. */
static void indexes_remove(struct catalog *catalog, uint32_t id,
                           bool (*is_gone)(const struct index_definition *index, uint32_t id))
{
    size_t kept = 0;
    for (size_t i = 0; i < catalog->index_count; i++) {
        if (is_gone(catalog->indexes[i], id)) {
            index_definition_unref(catalog->indexes[i]);
        } else {
            catalog->indexes[kept++] = catalog->indexes[i];
        }
    }
    catalog->index_count = kept;
}

static bool is_index(const struct index_definition *index, uint32_t id)
{
    return index->id == id;
}

static bool is_of_table(const struct index_definition *index, uint32_t id)
{
    return index->table_id == id;
}

static bool is_of_database(const struct index_definition *index, uint32_t id)
{
    return index->database_id == id;
}

void catalog_remove_index(struct catalog *catalog, uint32_t index_id)
{
    indexes_remove(catalog, index_id, is_index);
}

void catalog_remove_table(struct catalog *catalog, uint32_t table_id)
{
    indexes_remove(catalog, table_id, is_of_table);
    size_t kept = 0;
    for (size_t i = 0; i < catalog->table_count; i++) {
        if (catalog->tables[i].id != table_id) {
            catalog->tables[kept++] = catalog->tables[i];
        }
    }
    catalog->table_count = kept;
}

void catalog_remove_database(struct catalog *catalog, uint32_t database_id)
{
    indexes_remove(catalog, database_id, is_of_database);
    size_t kept = 0;
    for (size_t i = 0; i < catalog->table_count; i++) {
        if (catalog->tables[i].database_id != database_id) {
            catalog->tables[kept++] = catalog->tables[i];
        }
    }
    catalog->table_count = kept;
    kept = 0;
    for (size_t i = 0; i < catalog->database_count; i++) {
        if (catalog->databases[i].id != database_id) {
            catalog->databases[kept++] = catalog->databases[i];
        }
    }
    catalog->database_count = kept;
}

static int database_order(const void *a, const void *b)
{
    return strcmp(((const struct catalog_database *)a)->name,
                  ((const struct catalog_database *)b)->name);
}

static int table_order(const void *a, const void *b)
{
    const struct catalog_table *left = a;
    const struct catalog_table *right = b;
    if (left->database_id != right->database_id) {
        return left->database_id < right->database_id ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

static int index_order(const void *a, const void *b)
{
    const struct index_definition *left = *(struct index_definition *const *)a;
    const struct index_definition *right = *(struct index_definition *const *)b;
    if (left->table_id != right->table_id) {
        return left->table_id < right->table_id ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

static size_t table_slot(const struct catalog *catalog, uint32_t database_id,
                         struct polarys_slice name)
{
    uint64_t hash = checksum_hash64(name) + database_id * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(hash ^ hash >> 32) & (catalog->slot_count - 1);
}

enum polarys_code catalog_index(struct catalog *catalog)
{
    size_t slot_count = CATALOG_SLOTS_MIN;
    while (slot_count < 2 * catalog->table_count) {
        slot_count *= 2;
    }
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    if (slots == NULL) {
        return POLARYS_NO_MEMORY;
    }
    free(catalog->slots);
    catalog->slots = slots;
    catalog->slot_count = slot_count;
    qsort(catalog->databases, catalog->database_count, sizeof(*catalog->databases), database_order);
    if (catalog->table_count > 0) {
        qsort(catalog->tables, catalog->table_count, sizeof(*catalog->tables), table_order);
    }
    if (catalog->index_count > 0) {
        qsort(catalog->indexes, catalog->index_count, sizeof(*catalog->indexes), index_order);
    }
    for (size_t i = 0; i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        size_t slot = table_slot(catalog, table->database_id, slice_from_text(table->name));
        while (slots[slot] != 0) {
            slot = (slot + 1) & (slot_count - 1);
        }
        slots[slot] = (uint32_t)i + 1;
    }
    return POLARYS_OK;
}

static bool name_equals(const char *name, struct polarys_slice wanted)
{
    POLARYS_ASSERT(wanted.size <= POLARYS_NAME_BYTES_MAX);
    return memcmp(name, wanted.data, wanted.size) == 0 && name[wanted.size] == '\0';
}

const struct catalog_database *catalog_find_database(const struct catalog *catalog,
                                                     struct polarys_slice name)
{
    size_t low = 0;
    size_t high = catalog->database_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(slice_from_text(catalog->databases[middle].name), name);
        if (order == 0) {
            return &catalog->databases[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct catalog_table *catalog_find_table(const struct catalog *catalog, uint32_t database_id,
                                               struct polarys_slice name)
{
    if (name.size > POLARYS_NAME_BYTES_MAX) {
        return NULL;
    }
    size_t slot = table_slot(catalog, database_id, name);
    while (catalog->slots[slot] != 0) {
        const struct catalog_table *table = &catalog->tables[catalog->slots[slot] - 1];
        if (table->database_id == database_id && name_equals(table->name, name)) {
            return table;
        }
        slot = (slot + 1) & (catalog->slot_count - 1);
    }
    return NULL;
}

size_t catalog_database_tables(const struct catalog *catalog, uint32_t database_id, size_t *first)
{
    size_t low = 0;
    size_t high = catalog->table_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (catalog->tables[middle].database_id < database_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *first = low;
    size_t count = 0;
    while (low + count < catalog->table_count &&
           catalog->tables[low + count].database_id == database_id) {
        count++;
    }
    return count;
}

struct index_definition *const *catalog_table_indexes(const struct catalog *catalog,
                                                      uint32_t table_id, size_t *count)
{
    size_t low = 0;
    size_t high = catalog->index_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (catalog->indexes[middle]->table_id < table_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    size_t end = low;
    while (end < catalog->index_count && catalog->indexes[end]->table_id == table_id) {
        end++;
    }
    *count = end - low;
    return catalog->indexes + low;
}

struct index_definition *catalog_find_index(const struct catalog *catalog, uint32_t table_id,
                                            struct polarys_slice name)
{
    size_t count;
    struct index_definition *const *indexes = catalog_table_indexes(catalog, table_id, &count);
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(slice_from_text(indexes[i]->name), name)) {
            return indexes[i];
        }
    }
    return NULL;
}

void catalog_holder_init(struct catalog_holder *holder, struct catalog *take_first)
{
    POLARYS_ASSERT(take_first != NULL);
    atomic_init(&holder->current, take_first);
    for (size_t i = 0; i < CATALOG_STRIPES; i++) {
        atomic_init(&holder->stripes[i].reader_count, 0);
    }
    mutex_init(&holder->mutex, MUTEX_RANK_CATALOG);
    holder->retired = NULL;
}

void catalog_holder_deinit(struct catalog_holder *holder)
{
    struct catalog *retired = holder->retired;
    while (retired != NULL) {
        struct catalog *next = retired->next_retired;
        POLARYS_ASSERT(atomic_load(&retired->reference_count) == 0);
        catalog_destroy(retired);
        retired = next;
    }
    catalog_destroy(atomic_load(&holder->current));
    mutex_deinit(&holder->mutex);
}

/* REQUIRES: holder->mutex. */
static void reclaim_locked(struct catalog_holder *holder)
{
    const unsigned all = (1u << CATALOG_STRIPES) - 1;
    unsigned empty = 0;
    for (unsigned i = 0; i < CATALOG_STRIPES; i++) {
        empty |= atomic_load(&holder->stripes[i].reader_count) == 0 ? 1u << i : 0;
    }
    struct catalog **link = &holder->retired;
    while (*link != NULL) {
        struct catalog *catalog = *link;
        catalog->drained_stripes |= empty;
        /* A long reader took its reference while it stood in a stripe, so it is seen here. */
        if (catalog->drained_stripes == all && atomic_load(&catalog->reference_count) == 0) {
            *link = catalog->next_retired;
            catalog_destroy(catalog);
        } else {
            link = &catalog->next_retired;
        }
    }
}

void catalog_holder_publish(struct catalog_holder *holder, struct catalog *take_next)
{
    mutex_lock(&holder->mutex);
    struct catalog *old = atomic_exchange(&holder->current, take_next);
    old->drained_stripes = 0;
    old->next_retired = holder->retired;
    holder->retired = old;
    reclaim_locked(holder);
    mutex_unlock(&holder->mutex);
}

void catalog_holder_reclaim(struct catalog_holder *holder)
{
    mutex_lock(&holder->mutex);
    reclaim_locked(holder);
    mutex_unlock(&holder->mutex);
}

const struct catalog *catalog_enter(struct catalog_holder *holder, unsigned *stripe)
{
    static atomic_uint next_stripe;
    static _Thread_local unsigned own_stripe; /* plus one; 0: none yet */
    if (own_stripe == 0) {
        own_stripe = atomic_fetch_add(&next_stripe, 1) % CATALOG_STRIPES + 1;
    }
    *stripe = own_stripe - 1;
    /* Both sequentially consistent: the mark has to be there before the pointer is read. */
    atomic_fetch_add(&holder->stripes[*stripe].reader_count, 1);
    return atomic_load(&holder->current);
}

void catalog_leave(struct catalog_holder *holder, unsigned stripe)
{
    unsigned before =
        atomic_fetch_sub_explicit(&holder->stripes[stripe].reader_count, 1, memory_order_release);
    POLARYS_ASSERT(before > 0);
}

struct catalog *catalog_acquire(struct catalog_holder *holder)
{
    unsigned stripe;
    struct catalog *catalog = (struct catalog *)catalog_enter(holder, &stripe);
    atomic_fetch_add(&catalog->reference_count, 1);
    catalog_leave(holder, stripe);
    return catalog;
}

void catalog_release(struct catalog *catalog)
{
    if (catalog != NULL) {
        unsigned before = atomic_fetch_sub(&catalog->reference_count, 1);
        POLARYS_ASSERT(before > 0);
    }
}
