/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue's records in the tree (docs/formats/catalog.md), and keys of the other system tables.
 */
#ifndef ENGINE_CATALOG_RECORDS_H
#define ENGINE_CATALOG_RECORDS_H

#include "engine/catalog.h"
#include "engine/compaction/tree.h"

enum {
    SYSTEM_TABLE_CATALOG = 1,
    SYSTEM_TABLE_REQUEST_IDS = 2,
    SYSTEM_TABLE_EXPIRY = 3,
    SYSTEM_TABLE_INDEXES = 4, /* how far builds are, and statistics */
    SYSTEM_TABLE_GROUP = 5,   /* members of the group: engine_members.h */
    CATALOG_KEY_SIZE_MAX = TREE_KEY_PREFIX_SIZE + 1 + 8 + POLARYS_NAME_BYTES_MAX,
    CATALOG_VALUE_SIZE_MAX = 1 + 4 + 8,
};

/* A record's key and value, in its own memory. The value of an index's record is index_record_encode's. */
struct catalog_record {
    size_t key_size;
    size_t value_size;
    uint8_t key[CATALOG_KEY_SIZE_MAX];
    uint8_t value[CATALOG_VALUE_SIZE_MAX];
};

static inline struct polarys_slice catalog_record_key(const struct catalog_record *record)
{
    return slice_make(record->key, record->key_size);
}

static inline struct polarys_slice catalog_record_value(const struct catalog_record *record)
{
    return slice_make(record->value, record->value_size);
}

void catalog_record_counters(struct catalog_record *record, uint32_t next_database_id,
                             uint32_t next_table_id);
void catalog_record_database(struct catalog_record *record,
                             const struct catalog_database *database);
void catalog_record_table(struct catalog_record *record, const struct catalog_table *table);

/* The key of an index's record; its value is left empty. */
void catalog_record_index_key(struct catalog_record *record, const struct index_definition *index);

/* The bounds of a table's keyspace: [start, end). */
void table_bounds(uint32_t database_id, uint32_t table_id, uint8_t start[TREE_KEY_PREFIX_SIZE],
                  uint8_t end[TREE_KEY_PREFIX_SIZE]);

/* Reads every record as of `version`. Errors: CORRUPT for a record that makes no sense, those of the
 * tree. The caller destroys *out. */
NODISCARD enum polarys_code catalog_load(struct tree *tree, uint64_t version, struct catalog **out,
                                         struct polarys_error *err);

#endif
