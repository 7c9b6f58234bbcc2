/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What databases and tables there are, for callers.
 */
#include <string.h>

#include "engine/engine_internal.h"

static void info_fill(const char *database, const struct catalog_table *table,
                      struct polarys_table_info *info)
{
    *info = (struct polarys_table_info){
        .database_id = table->database_id,
        .table_id = table->id,
        .created_version = table->created_version,
        .created_time_unix_ms = table->created_ms,
    };
    memcpy(info->database, database, strlen(database) + 1);
    memcpy(info->table, table->name, strlen(table->name) + 1);
}

enum polarys_code polarys_table_get(struct polarys_db *db, const char *database, const char *table,
                                    struct polarys_table_info *info, struct polarys_error *err)
{
    uint32_t database_id;
    uint32_t table_id;
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(db, database_id, table, &table_id, NULL, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct catalog *catalog = catalog_acquire(&db->catalog);
    const struct catalog_table *found =
        catalog_find_table(catalog, database_id, slice_from_text(table));
    if (found != NULL) {
        info_fill(db_database_name(database), found, info);
    } else {
        /* Dropped between the two looks. */
        code = polarys_fail(err, POLARYS_TABLE_NOT_FOUND, "there is no table \"%s\"", table);
    }
    catalog_release(catalog);
    return code;
}

enum polarys_code polarys_table_list(struct polarys_db *db, const char *database,
                                     bool (*each)(void *context,
                                                  const struct polarys_table_info *info),
                                     void *context, struct polarys_error *err)
{
    uint32_t database_id;
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct catalog *catalog = catalog_acquire(&db->catalog);
    size_t first;
    size_t count = catalog_database_tables(catalog, database_id, &first);
    for (size_t i = first; i < first + count; i++) {
        struct polarys_table_info info;
        info_fill(db_database_name(database), &catalog->tables[i], &info);
        if (!each(context, &info)) {
            break;
        }
    }
    catalog_release(catalog);
    return POLARYS_OK;
}

enum polarys_code polarys_database_list(struct polarys_db *db,
                                        bool (*each)(void *context,
                                                     const struct polarys_database_info *info),
                                        void *context, struct polarys_error *err)
{
    (void)err;
    struct catalog *catalog = catalog_acquire(&db->catalog);
    for (size_t i = 0; i < catalog->database_count; i++) {
        const struct catalog_database *database = &catalog->databases[i];
        struct polarys_database_info info = {
            .database_id = database->id,
            .created_version = database->created_version,
            .created_time_unix_ms = database->created_ms,
        };
        memcpy(info.database, database->name, strlen(database->name) + 1);
        if (!each(context, &info)) {
            break;
        }
    }
    catalog_release(catalog);
    return POLARYS_OK;
}
