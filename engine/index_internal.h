/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding indexes by name, for the files of the store layer.
 */
#ifndef ENGINE_INDEX_INTERNAL_H
#define ENGINE_INDEX_INTERNAL_H

#include "engine/engine_index.h"
#include "engine/engine_internal.h"

/* The indexes of a table, in name order, in a catalogue that the caller releases. */
struct db_indexes {
    struct catalog *catalog;
    uint32_t database_id;
    uint32_t table_id;
    struct index_definition *const *list;
    size_t count;
};
/* Errors: BAD_NAME, DATABASE_NOT_FOUND, TABLE_NOT_FOUND. */
NODISCARD enum polarys_code db_indexes_find(struct polarys_db *db, const char *database,
                                            const char *table, struct db_indexes *found,
                                            struct polarys_error *err);
/* A reference of the caller's. Errors: also INDEX_NOT_FOUND. */
NODISCARD enum polarys_code db_index_find(struct polarys_db *db, const char *database,
                                          const char *table, const char *index,
                                          struct index_definition **out, struct polarys_error *err);
/*
 * Whether the index was READY at the version, by its record as of then. A catalogue does not tell: a commit
 * that drops an index is seen by snapshots before the catalogue without the index is published. REQUIRES:
 * the version is leased. `tree_flags`: tree_read_flags. Errors: those of reads.
 */
NODISCARD enum polarys_code db_index_was_ready(struct polarys_db *db,
                                               const struct index_definition *index,
                                               uint64_t version, unsigned tree_flags,
                                               bool *is_ready, struct polarys_error *err);

/*
 * The same of an index of `catalog`, which was taken after the snapshot of `version`: true where it is known without
 * reading, false where db_index_was_ready has to be asked. Cheap.
 */
bool db_index_is_known_ready(struct polarys_db *db, const struct catalog *catalog,
                             const struct index_definition *index, uint64_t version);

#endif
