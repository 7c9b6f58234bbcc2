/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that change the catalogue share: one change on its way, and its steps.
 */
#ifndef ENGINE_CATALOG_CHANGE_H
#define ENGINE_CATALOG_CHANGE_H

#include "engine/batch_internal.h"
#include "engine/engine_index.h"

enum change_kind {
    CHANGE_CREATE_DATABASE = 1,
    CHANGE_DROP_DATABASE,
    CHANGE_CREATE_TABLE,
    CHANGE_DROP_TABLE,
    CHANGE_TRUNCATE_TABLE,
    CHANGE_CREATE_INDEX,
    CHANGE_DROP_INDEX,
    CHANGE_RESTATE_INDEX,
};

struct change {
    struct polarys_db *db;
    enum change_kind kind;
    const char *database;                              /* never empty */
    const char *table;                                 /* NULL for databases */
    const struct polarys_index_options *index_options; /* of CREATE_INDEX */
    const char *index;                                 /* of DROP_INDEX; CREATE_INDEX: once made */
    const struct index_definition *restated;           /* of RESTATE_INDEX: the definition before */
    enum index_state state;
    const char *failure;
    const struct catalog *before;
    struct catalog *after; /* NULL: the catalogue stays as it is */
    struct catalog_database made_database;
    struct catalog_table made_table;
    struct index_definition *made_index;         /* in `after` */
    char index_name[POLARYS_NAME_BYTES_MAX + 1]; /* of CREATE_INDEX: given or made from the rest */
    struct polarys_batch *batch;
};

/* ---- catalog_change.c ---- */

/* Runs a change of which kind and names are set, alone, to its end. */
NODISCARD enum polarys_code change_run(struct change *change,
                                       const struct polarys_write_options *options,
                                       struct polarys_write_result *result,
                                       struct polarys_error *err);

enum polarys_code change_fail_memory(struct polarys_error *err);
enum polarys_code change_fail_limit(const char *what, int limit, struct polarys_error *err);
NODISCARD enum polarys_code change_check_name(const char *kind, const char *name,
                                              struct polarys_error *err);
NODISCARD enum polarys_code change_find_table(const struct change *change,
                                              const struct catalog_table **table,
                                              struct polarys_error *err);
/* Makes `after`, a copy of `before`. */
NODISCARD enum polarys_code change_make_after(struct change *change, struct polarys_error *err);
NODISCARD enum polarys_code change_put_counters(struct change *change, struct polarys_error *err);
/* Range-deletes what lies under (database_id, id): a table's documents or an index's entries. */
NODISCARD enum polarys_code change_delete_keyspace(struct change *change, uint32_t database_id,
                                                   uint32_t id, struct polarys_error *err);

/* ---- catalog_change_index.c ---- */

NODISCARD enum polarys_code change_create_index(struct change *change, struct polarys_error *err);
NODISCARD enum polarys_code change_drop_index(struct change *change, struct polarys_error *err);
NODISCARD enum polarys_code change_restate_index(struct change *change, struct polarys_error *err);
/* Deletes records, entries and what else there is of all indexes of a table that goes. */
NODISCARD enum polarys_code change_drop_table_indexes(struct change *change, uint32_t table_id,
                                                      struct polarys_error *err);
/* Deletes the entries of all indexes of a table that is emptied. */
NODISCARD enum polarys_code change_empty_table_indexes(struct change *change, uint32_t table_id,
                                                       struct polarys_error *err);

#endif
