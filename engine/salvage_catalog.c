/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue of a damaged store: the records that are left, and records made for what has none any more.
 *
 * A table whose record is lost shows only in its documents. An index whose record is lost looks like one, but for its
 * values: those of a document begin with flags (docs/formats/value.md), which hardly any index entry does. So an id
 * with a value that no document has is taken for an index, and what it holds is left out.
 *
 * Invariant: without damage that touches the catalogue, nothing is made up: entries without a record are then what a
 * drop has left behind.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/coding.h"
#include "engine/salvage_internal.h"

enum {
    RECORD_COUNTERS = 'c',
    RECORD_DATABASE = 'd',
    RECORD_TABLE = 't',
    RECORD_INDEX = 'x',
    RECORD_FORMAT = 1,
    RECORD_VALUE_SIZE = 1 + 4 + 8,
    COUNTERS_SIZE = 9,
    NAME_TRIES_MAX = 1000,
};

/* ---- reading ---- */

static bool name_take(char name[POLARYS_NAME_BYTES_MAX + 1], struct polarys_slice bytes)
{
    if (!polarys_name_is_valid((const char *)bytes.data, bytes.size)) {
        return false;
    }
    memcpy(name, bytes.data, bytes.size);
    name[bytes.size] = '\0';
    return true;
}

static enum polarys_code table_take(struct catalog *catalog, struct polarys_slice key,
                                    const struct entry *entry)
{
    if (key.size < 4) {
        return POLARYS_CORRUPT;
    }
    struct catalog_table table = {.database_id = get_u32_be(key.data),
                                  .id = get_u32_le(entry->value.data + 1),
                                  .created_version = entry->version,
                                  .created_ms = get_u64_le(entry->value.data + 5)};
    return name_take(table.name, slice_make(key.data + 4, key.size - 4))
               ? catalog_add_table(catalog, &table)
               : POLARYS_CORRUPT;
}

static enum polarys_code database_take(struct catalog *catalog, struct polarys_slice key,
                                       const struct entry *entry)
{
    struct catalog_database database = {.id = get_u32_le(entry->value.data + 1),
                                        .created_version = entry->version,
                                        .created_ms = get_u64_le(entry->value.data + 5)};
    return name_take(database.name, key) ? catalog_add_database(catalog, &database)
                                         : POLARYS_CORRUPT;
}

/* An index comes back as one that has yet to be built. */
static enum polarys_code index_take(struct catalog *catalog, struct polarys_slice key,
                                    const struct entry *entry, struct polarys_error *err)
{
    struct index_definition *index;
    struct index_definition *restated;
    if (key.size <= 8 || !polarys_name_is_valid((const char *)key.data + 8, key.size - 8)) {
        return POLARYS_CORRUPT;
    }
    enum polarys_code code = index_record_decode(get_u32_be(key.data), get_u32_be(key.data + 4),
                                                 slice_make(key.data + 8, key.size - 8),
                                                 entry->value, entry->version, &index, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = index_definition_restate(index, INDEX_BUILDING, NULL, &restated, err);
    index_definition_unref(index);
    return code == POLARYS_OK ? catalog_add_index(catalog, restated) : code;
}

static enum polarys_code record_take(struct catalog *catalog, const struct entry *entry,
                                     struct polarys_error *err)
{
    struct polarys_slice key =
        slice_make(entry->key.data + TREE_KEY_PREFIX_SIZE, entry->key.size - TREE_KEY_PREFIX_SIZE);
    if (key.size == 0 || entry->value.size < 1 || entry->value.data[0] != RECORD_FORMAT) {
        return POLARYS_CORRUPT;
    }
    struct polarys_slice rest = slice_make(key.data + 1, key.size - 1);
    switch (key.data[0]) {
    case RECORD_INDEX:
        return index_take(catalog, rest, entry, err);
    case RECORD_COUNTERS:
        if (entry->value.size != COUNTERS_SIZE) {
            return POLARYS_CORRUPT;
        }
        catalog->next_database_id = get_u32_le(entry->value.data + 1);
        catalog->next_table_id = get_u32_le(entry->value.data + 5);
        return POLARYS_OK;
    case RECORD_DATABASE:
        return entry->value.size == RECORD_VALUE_SIZE ? database_take(catalog, rest, entry)
                                                      : POLARYS_CORRUPT;
    case RECORD_TABLE:
        return entry->value.size == RECORD_VALUE_SIZE ? table_take(catalog, rest, entry)
                                                      : POLARYS_CORRUPT;
    default:
        return POLARYS_CORRUPT;
    }
}

static enum polarys_code record_bad(struct salvage *salvage, struct polarys_slice key)
{
    struct salvage_loss loss = {.kind = POLARYS_SALVAGE_CATALOG,
                                .file = "",
                                .cause = "a record of the catalogue is not readable",
                                .first_version = 1,
                                .last_version = salvage->newest_version};
    salvage->is_catalog_doubtful = true;
    return salvage_loss_note(salvage, &loss, &key, &key);
}

static enum polarys_code records_read(struct salvage *salvage, struct entry_iterator *merge,
                                      struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    struct buffer key = {0};
    enum polarys_code code = POLARYS_OK;
    table_bounds(SYSTEM_DATABASE_ID, SYSTEM_TABLE_CATALOG, start, end);
    POLARYS_ASSERT(merge != NULL);
    entry_iterator_seek_first(merge);
    while (salvage_merge_next(salvage, merge, &key, &code, err)) {
        const struct entry *entry = &merge->entry;
        if (slice_compare(entry->key, slice_make(end, sizeof(end))) >= 0) {
            break;
        }
        if (slice_compare(entry->key, slice_make(start, sizeof(start))) < 0) {
            continue;
        }
        code = record_take(salvage->catalog, entry, err);
        if (code == POLARYS_CORRUPT) {
            code = record_bad(salvage, entry->key);
        }
        if (code != POLARYS_OK) {
            (void)polarys_fail(err, code, "no memory for the catalogue");
            break;
        }
    }
    buffer_deinit(&key);
    return code;
}

/* ---- what is missing of it ---- */

static bool has_database(const struct catalog *catalog, uint32_t database_id)
{
    for (size_t i = 0; i < catalog->database_count; i++) {
        if (catalog->databases[i].id == database_id) {
            return true;
        }
    }
    return false;
}

/* recovered_ID, with a number behind it where that is taken. The catalogue need not be indexed. */
static void name_make(const struct catalog *catalog, bool is_database, uint32_t database_id,
                      uint32_t id, char name[POLARYS_NAME_BYTES_MAX + 1])
{
    for (int try = 0; try < NAME_TRIES_MAX; try++) {
        bool is_taken = false;
        int size = snprintf(name, POLARYS_NAME_BYTES_MAX + 1, "recovered_%u", id);
        if (try > 0) {
            (void)snprintf(name + size, (size_t)(POLARYS_NAME_BYTES_MAX + 1 - size), "_%d", try);
        }
        for (size_t i = 0; is_database && i < catalog->database_count; i++) {
            is_taken |= strcmp(catalog->databases[i].name, name) == 0;
        }
        for (size_t i = 0; !is_database && i < catalog->table_count; i++) {
            is_taken |= catalog->tables[i].database_id == database_id &&
                        strcmp(catalog->tables[i].name, name) == 0;
        }
        if (!is_taken) {
            return;
        }
    }
}

static enum polarys_code database_make(struct catalog *catalog, uint32_t database_id)
{
    if (has_database(catalog, database_id)) {
        return POLARYS_OK;
    }
    struct catalog_database database = {.id = database_id};
    name_make(catalog, true, 0, database_id, database.name);
    return catalog_add_database(catalog, &database);
}

static enum polarys_code databases_complete(struct catalog *catalog)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < catalog->table_count && code == POLARYS_OK; i++) {
        code = database_make(catalog, catalog->tables[i].database_id);
    }
    return code;
}

enum polarys_code salvage_catalog_read(struct salvage *salvage, struct polarys_error *err)
{
    struct entry_iterator *merge = NULL;
    salvage->catalog = catalog_create();
    salvage->is_catalog_doubtful = salvage_catalog_is_lost(salvage);
    if (salvage->catalog == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the catalogue");
    }
    enum polarys_code code =
        range_delete_index_create(salvage->ranges, salvage->range_count, &salvage->range_index);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for range deletes");
    }
    code = salvage_merge_create(salvage, &merge, err);
    if (code == POLARYS_OK) {
        code = records_read(salvage, merge, err);
        /* The medium may have failed anew, under this very walk. */
        salvage->is_catalog_doubtful =
            salvage->is_catalog_doubtful || salvage_catalog_is_lost(salvage);
    }
    entry_iterator_destroy(merge);
    if (code == POLARYS_OK && databases_complete(salvage->catalog) != POLARYS_OK) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the catalogue");
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read the catalogue");
}

/* ---- what belongs to it ---- */

static const struct catalog_table *table_find(const struct catalog *catalog, uint32_t database_id,
                                              uint32_t id)
{
    for (size_t i = 0; i < catalog->table_count; i++) {
        if (catalog->tables[i].id == id && catalog->tables[i].database_id == database_id) {
            return &catalog->tables[i];
        }
    }
    return NULL;
}

static bool is_table(const struct catalog *catalog, uint32_t database_id, uint32_t id)
{
    return table_find(catalog, database_id, id) != NULL;
}

/* A table that the server keeps for itself: it comes back, but nobody asked for it, and no listing shows it. */
static bool is_of_server(const struct catalog_table *table)
{
    static const char prefix[] = "polarys.";
    return strncmp(table->name, prefix, sizeof(prefix) - 1) == 0;
}

static bool is_index(const struct catalog *catalog, uint32_t id)
{
    for (size_t i = 0; i < catalog->index_count; i++) {
        if (catalog->indexes[i]->id == id) {
            return true;
        }
    }
    return false;
}

enum salvage_keep salvage_catalog_judge(struct salvage *salvage, uint32_t database_id, uint32_t id)
{
    if (database_id == SYSTEM_DATABASE_ID) {
        return id == SYSTEM_TABLE_EXPIRY ? SALVAGE_KEEP_RECORD : SALVAGE_DROP;
    }
    const struct catalog_table *table = table_find(salvage->catalog, database_id, id);
    if (table != NULL) {
        return is_of_server(table) ? SALVAGE_KEEP_RECORD : SALVAGE_KEEP_DOCUMENT;
    }
    if (is_index(salvage->catalog, id) || !salvage->is_catalog_doubtful) {
        return SALVAGE_DROP;
    }
    const struct salvage_id *met = salvage_id_find(salvage, database_id, id);
    return met != NULL && met->strange_count == 0 ? SALVAGE_KEEP_DOCUMENT : SALVAGE_DROP;
}

enum polarys_code salvage_catalog_adopt(struct salvage *salvage, uint32_t database_id, uint32_t id,
                                        struct polarys_error *err)
{
    struct catalog *catalog = salvage->catalog;
    if (is_table(catalog, database_id, id)) {
        return POLARYS_OK;
    }
    struct catalog_table table = {.database_id = database_id, .id = id};
    enum polarys_code code = database_make(catalog, database_id);
    if (code == POLARYS_OK) {
        name_make(catalog, false, database_id, id, table.name);
        code = catalog_add_table(catalog, &table);
    }
    salvage->result->renamed_table_count++;
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for the catalogue");
}

/* ---- writing ---- */

/* An index without its table is of no use; what is left is counted. */
static void indexes_settle(struct salvage *salvage)
{
    struct catalog *catalog = salvage->catalog;
    size_t kept = 0;
    for (size_t i = 0; i < catalog->index_count; i++) {
        struct index_definition *index = catalog->indexes[i];
        if (is_table(catalog, index->database_id, index->table_id)) {
            catalog->indexes[kept++] = index;
        } else {
            index_definition_unref(index);
        }
    }
    catalog->index_count = kept;
}

/* Past every id that was met anywhere, so that none is given out again. */
static void counters_settle(struct salvage *salvage)
{
    struct catalog *catalog = salvage->catalog;
    for (size_t i = 0; i < salvage->ids.count; i++) {
        const struct salvage_id *met = &salvage->ids.list[i];
        if (met->database_id == SYSTEM_DATABASE_ID) {
            continue;
        }
        if (met->database_id >= catalog->next_database_id) {
            catalog->next_database_id = met->database_id + 1;
        }
        if (met->id >= catalog->next_table_id) {
            catalog->next_table_id = met->id + 1;
        }
    }
    for (size_t i = 0; i < catalog->database_count; i++) {
        if (catalog->databases[i].id >= catalog->next_database_id) {
            catalog->next_database_id = catalog->databases[i].id + 1;
        }
    }
    for (size_t i = 0; i < catalog->table_count; i++) {
        if (catalog->tables[i].id >= catalog->next_table_id) {
            catalog->next_table_id = catalog->tables[i].id + 1;
        }
    }
    for (size_t i = 0; i < catalog->index_count; i++) {
        if (catalog->indexes[i]->id >= catalog->next_table_id) {
            catalog->next_table_id = catalog->indexes[i]->id + 1;
        }
    }
}

static enum polarys_code record_put(struct salvage *salvage, const struct catalog_record *record,
                                    uint64_t version, struct polarys_error *err)
{
    struct entry entry = {.key = catalog_record_key(record),
                          .value = catalog_record_value(record),
                          .version = version,
                          .kind = ENTRY_PUT};
    return salvage_put(salvage, &entry, err);
}

static enum polarys_code indexes_write(struct salvage *salvage, uint64_t version,
                                       struct polarys_error *err)
{
    const struct catalog *catalog = salvage->catalog;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < catalog->index_count && code == POLARYS_OK; i++) {
        struct catalog_record record;
        struct buffer value = {0};
        catalog_record_index_key(&record, catalog->indexes[i]);
        code = index_record_encode(catalog->indexes[i], &value);
        if (code == POLARYS_OK) {
            struct entry entry = {.key = catalog_record_key(&record),
                                  .value = buffer_slice(&value),
                                  .version = version,
                                  .kind = ENTRY_PUT};
            code = salvage_put(salvage, &entry, err);
        } else {
            (void)polarys_fail(err, code, "no memory for an index");
        }
        buffer_deinit(&value);
    }
    return code;
}

static uint32_t order_key(const struct index_definition *index, bool is_database)
{
    return is_database ? index->database_id : index->table_id;
}

/* In the order of the records' keys. */
static int index_compare(const void *a, const void *b)
{
    const struct index_definition *left = *(struct index_definition *const *)a;
    const struct index_definition *right = *(struct index_definition *const *)b;
    for (int is_database = 1; is_database >= 0; is_database--) {
        uint32_t left_id = order_key(left, is_database != 0);
        uint32_t right_id = order_key(right, is_database != 0);
        if (left_id != right_id) {
            return left_id < right_id ? -1 : 1;
        }
    }
    return strcmp(left->name, right->name);
}

static enum polarys_code tables_write(struct salvage *salvage, uint64_t version,
                                      struct polarys_error *err)
{
    const struct catalog *catalog = salvage->catalog;
    enum polarys_code code = POLARYS_OK;
    struct catalog_record record;
    for (size_t i = 0; i < catalog->database_count && code == POLARYS_OK; i++) {
        const struct catalog_database *database = &catalog->databases[i];
        if (database->id == DEFAULT_DATABASE_ID) {
            continue; /* every store has it */
        }
        catalog_record_database(&record, database);
        code =
            record_put(salvage, &record,
                       database->created_version == 0 ? version : database->created_version, err);
    }
    for (size_t i = 0; i < catalog->table_count && code == POLARYS_OK; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        catalog_record_table(&record, table);
        code = record_put(salvage, &record,
                          table->created_version == 0 ? version : table->created_version, err);
    }
    return code;
}

enum polarys_code salvage_catalog_write(struct salvage *salvage, uint64_t version,
                                        struct polarys_error *err)
{
    struct catalog_record record;
    struct catalog *catalog = salvage->catalog;
    indexes_settle(salvage);
    counters_settle(salvage);
    enum polarys_code code =
        catalog_index(catalog) == POLARYS_OK
            ? POLARYS_OK
            : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the catalogue");
    if (code == POLARYS_OK) {
        catalog_record_counters(&record, catalog->next_database_id, catalog->next_table_id);
        code = record_put(salvage, &record, version, err);
    }
    if (code == POLARYS_OK) {
        code = tables_write(salvage, version, err);
    }
    if (code == POLARYS_OK) {
        if (catalog->index_count > 0) {
            qsort(catalog->indexes, catalog->index_count, sizeof(struct index_definition *),
                  index_compare);
        }
        code = indexes_write(salvage, version, err);
    }
    salvage->result->database_count = catalog->database_count;
    for (size_t i = 0; i < catalog->table_count; i++) {
        salvage->result->table_count += !is_of_server(&catalog->tables[i]);
    }
    salvage->result->index_count = catalog->index_count;
    return code;
}
