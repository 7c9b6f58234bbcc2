/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding and loading of catalogue records (docs/formats/catalog.md).
 *
 * Invariant: what a record does not say is what a new store has, so a store without records is a valid,
 * empty one. A record that this version cannot read makes the open fail; it is never skipped.
 */
#include "engine/catalog_records.h"

#include <string.h>

#include "engine/base/coding.h"

enum {
    RECORD_COUNTERS = 'c',
    RECORD_DATABASE = 'd',
    RECORD_TABLE = 't',
    RECORD_INDEX = 'x',
    RECORD_FORMAT = 1,
    RECORD_VALUE_SIZE = 1 + 4 + 8,
};

static void record_begin(struct catalog_record *record, uint8_t kind)
{
    tree_key_put_prefix(record->key, SYSTEM_DATABASE_ID, SYSTEM_TABLE_CATALOG);
    record->key[TREE_KEY_PREFIX_SIZE] = kind;
    record->key_size = TREE_KEY_PREFIX_SIZE + 1;
    record->value[0] = RECORD_FORMAT;
    record->value_size = 1;
}

static void record_key_append(struct catalog_record *record, const void *bytes, size_t size)
{
    POLARYS_ASSERT(record->key_size + size <= sizeof(record->key));
    memcpy(record->key + record->key_size, bytes, size);
    record->key_size += size;
}

static void record_value_set(struct catalog_record *record, uint32_t id, uint64_t created_ms)
{
    put_u32_le(record->value + 1, id);
    put_u64_le(record->value + 5, created_ms);
    record->value_size = RECORD_VALUE_SIZE;
}

void catalog_record_counters(struct catalog_record *record, uint32_t next_database_id,
                             uint32_t next_table_id)
{
    record_begin(record, RECORD_COUNTERS);
    put_u32_le(record->value + 1, next_database_id);
    put_u32_le(record->value + 5, next_table_id);
    record->value_size = 9;
}

void catalog_record_database(struct catalog_record *record, const struct catalog_database *database)
{
    record_begin(record, RECORD_DATABASE);
    record_key_append(record, database->name, strlen(database->name));
    record_value_set(record, database->id, database->created_ms);
}

void catalog_record_table(struct catalog_record *record, const struct catalog_table *table)
{
    uint8_t database_id[4];
    put_u32_be(database_id, table->database_id);
    record_begin(record, RECORD_TABLE);
    record_key_append(record, database_id, sizeof(database_id));
    record_key_append(record, table->name, strlen(table->name));
    record_value_set(record, table->id, table->created_ms);
}

void catalog_record_index_key(struct catalog_record *record, const struct index_definition *index)
{
    uint8_t ids[8];
    tree_key_put_prefix(ids, index->database_id, index->table_id);
    record_begin(record, RECORD_INDEX);
    record_key_append(record, ids, sizeof(ids));
    record_key_append(record, index->name, strlen(index->name));
    record->value_size = 0;
}

void table_bounds(uint32_t database_id, uint32_t table_id, uint8_t start[TREE_KEY_PREFIX_SIZE],
                  uint8_t end[TREE_KEY_PREFIX_SIZE])
{
    POLARYS_ASSERT(table_id < UINT32_MAX);
    tree_key_put_prefix(start, database_id, table_id);
    tree_key_put_prefix(end, database_id, table_id + 1);
}

static bool name_take(char name[POLARYS_NAME_BYTES_MAX + 1], struct polarys_slice bytes)
{
    if (!polarys_name_is_valid((const char *)bytes.data, bytes.size)) {
        return false;
    }
    memcpy(name, bytes.data, bytes.size);
    name[bytes.size] = '\0';
    return true;
}

static enum polarys_code load_database(struct catalog *catalog, struct polarys_slice name,
                                       const uint8_t *value, uint64_t version)
{
    struct catalog_database database = {.id = get_u32_le(value + 1),
                                        .created_version = version,
                                        .created_ms = get_u64_le(value + 5)};
    return name_take(database.name, name) ? catalog_add_database(catalog, &database)
                                          : POLARYS_CORRUPT;
}

static enum polarys_code load_table(struct catalog *catalog, struct polarys_slice key,
                                    const uint8_t *value, uint64_t version)
{
    if (key.size < 4) {
        return POLARYS_CORRUPT;
    }
    struct catalog_table table = {.database_id = get_u32_be(key.data),
                                  .id = get_u32_le(value + 1),
                                  .created_version = version,
                                  .created_ms = get_u64_le(value + 5)};
    return name_take(table.name, slice_make(key.data + 4, key.size - 4))
               ? catalog_add_table(catalog, &table)
               : POLARYS_CORRUPT;
}

static enum polarys_code load_index(struct catalog *catalog, struct polarys_slice key,
                                    const struct entry *entry, struct polarys_error *err)
{
    if (key.size <= 8 || !polarys_name_is_valid((const char *)key.data + 8, key.size - 8)) {
        return POLARYS_CORRUPT;
    }
    struct index_definition *index;
    enum polarys_code code = index_record_decode(get_u32_be(key.data), get_u32_be(key.data + 4),
                                                 slice_make(key.data + 8, key.size - 8),
                                                 entry->value, entry->version, &index, err);
    return code == POLARYS_OK ? catalog_add_index(catalog, index) : code;
}

static enum polarys_code load_record(struct catalog *catalog, const struct entry *entry,
                                     struct polarys_error *err)
{
    struct polarys_slice key =
        slice_make(entry->key.data + TREE_KEY_PREFIX_SIZE, entry->key.size - TREE_KEY_PREFIX_SIZE);
    const uint8_t *value = entry->value.data;
    if (key.size == 0 || entry->value.size < 1 || value[0] != RECORD_FORMAT) {
        return POLARYS_CORRUPT;
    }
    struct polarys_slice rest = slice_make(key.data + 1, key.size - 1);
    if (key.data[0] == RECORD_INDEX) {
        return load_index(catalog, rest, entry, err);
    }
    if (key.data[0] == RECORD_COUNTERS && entry->value.size == 9) {
        catalog->next_database_id = get_u32_le(value + 1);
        catalog->next_table_id = get_u32_le(value + 5);
        return POLARYS_OK;
    }
    if (key.data[0] == RECORD_DATABASE && entry->value.size == RECORD_VALUE_SIZE) {
        return load_database(catalog, rest, value, entry->version);
    }
    if (key.data[0] == RECORD_TABLE && entry->value.size == RECORD_VALUE_SIZE) {
        return load_table(catalog, rest, value, entry->version);
    }
    return POLARYS_CORRUPT;
}

static enum polarys_code load_all(struct catalog *catalog, struct entry_iterator *iterator,
                                  struct polarys_error *err)
{
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid) {
        enum polarys_code code = load_record(catalog, &iterator->entry, err);
        if (code != POLARYS_OK) {
            return polarys_fail(err, code, "a record of the catalogue is not readable");
        }
        entry_iterator_next(iterator);
    }
    if (iterator->code != POLARYS_OK) {
        if (err != NULL) {
            *err = iterator->error;
        }
        return iterator->code;
    }
    return catalog_index(catalog) == POLARYS_OK
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the catalogue");
}

enum polarys_code catalog_load(struct tree *tree, uint64_t version, struct catalog **out,
                               struct polarys_error *err)
{
    *out = NULL;
    struct entry_iterator *iterator = NULL;
    struct catalog *catalog = catalog_create();
    enum polarys_code code = POLARYS_NO_MEMORY;
    if (catalog == NULL) {
        (void)polarys_fail(err, code, "no memory for the catalogue");
        goto fail;
    }
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(SYSTEM_DATABASE_ID, SYSTEM_TABLE_CATALOG, start, end);
    code = tree_iterator_create(tree, slice_make(start, sizeof(start)),
                                slice_make(end, sizeof(end)), version, 0, &iterator, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = load_all(catalog, iterator, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    entry_iterator_destroy(iterator);
    *out = catalog;
    return POLARYS_OK;

fail:
    entry_iterator_destroy(iterator);
    catalog_destroy(catalog);
    return polarys_wrap(err, code, "load the catalogue");
}
