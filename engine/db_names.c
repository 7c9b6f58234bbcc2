/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and keys as users give them: checked, and found in the catalogue.
 */
#include <string.h>

#include "engine/engine_internal.h"

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

bool polarys_name_is_valid(const char *name, size_t size)
{
    if (size == 0 || size > POLARYS_NAME_BYTES_MAX || !is_letter(name[0])) {
        return false;
    }
    for (size_t i = 1; i < size; i++) {
        bool is_digit = name[i] >= '0' && name[i] <= '9';
        if (!is_letter(name[i]) && !is_digit && name[i] != '_' && name[i] != '.' &&
            name[i] != '-') {
            return false;
        }
    }
    return true;
}

static enum polarys_code name_check(const char *kind, const char *name, struct polarys_error *err)
{
    if (name != NULL && polarys_name_is_valid(name, strnlen(name, POLARYS_NAME_BYTES_MAX + 1))) {
        return POLARYS_OK;
    }
    return polarys_fail(err, POLARYS_BAD_NAME,
                        "the name of a %s is a letter and up to 127 more letters, digits, '_', "
                        "'.' or '-'",
                        kind);
}

const char *db_database_name(const char *database)
{
    return db_is_default_name(database) ? "default" : database;
}

enum polarys_code db_database_find(struct polarys_db *db, const char *database,
                                   uint32_t *database_id, struct polarys_error *err)
{
    if (db_is_default_name(database)) {
        *database_id = DEFAULT_DATABASE_ID;
        return POLARYS_OK;
    }
    unsigned stripe;
    const struct catalog *catalog = catalog_enter(&db->catalog, &stripe);
    const struct catalog_database *found =
        catalog_find_database(catalog, slice_from_text(database));
    *database_id = found == NULL ? 0 : found->id;
    catalog_leave(&db->catalog, stripe);
    if (*database_id != 0) {
        return POLARYS_OK;
    }
    enum polarys_code code = name_check("database", database, err);
    return code != POLARYS_OK ? code
                              : polarys_fail(err, POLARYS_DATABASE_NOT_FOUND,
                                             "there is no database \"%s\"", database);
}

enum polarys_code db_table_find(struct polarys_db *db, uint32_t database_id, const char *table,
                                uint32_t *table_id, uint64_t *catalog_version,
                                struct polarys_error *err)
{
    *table_id = 0;
    if (table == NULL) {
        return name_check("table", table, err);
    }
    unsigned stripe;
    const struct catalog *catalog = catalog_enter(&db->catalog, &stripe);
    const struct catalog_table *found =
        catalog_find_table(catalog, database_id, slice_from_text(table));
    if (found != NULL) {
        *table_id = found->id;
    }
    if (catalog_version != NULL) {
        *catalog_version = catalog->version;
    }
    catalog_leave(&db->catalog, stripe);
    if (*table_id != 0) {
        return POLARYS_OK;
    }
    enum polarys_code code = name_check("table", table, err);
    return code != POLARYS_OK
               ? code
               : polarys_fail(err, POLARYS_TABLE_NOT_FOUND, "there is no table \"%s\"", table);
}

enum polarys_code db_key_check(struct polarys_slice key, struct polarys_error *err)
{
    if (key.size >= 1 && key.size <= POLARYS_KEY_BYTES_MAX) {
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_fail(err, POLARYS_BAD_KEY, "a key has 1 to %d bytes, not %zu",
                                          POLARYS_KEY_BYTES_MAX, key.size);
    polarys_error_detail_set(err, "limit", "%d", POLARYS_KEY_BYTES_MAX);
    return code;
}

enum polarys_code polarys_json_check(struct polarys_slice text, struct polarys_error *err)
{
    return json_check(text, err);
}

enum polarys_code polarys_json_member_text(struct polarys_slice text, const char *name, char *value,
                                           size_t value_size, size_t *text_size,
                                           struct polarys_error *err)
{
    struct buffer found = {0};
    bool is_found;
    enum polarys_code code = json_member_text(text, slice_from_text(name), &found, &is_found, err);
    if (code == POLARYS_OK && !is_found) {
        code = polarys_fail(err, POLARYS_KEY_NOT_FOUND, "no string or number member \"%s\"", name);
    }
    if (code == POLARYS_OK && found.size >= value_size) {
        code =
            polarys_fail(err, POLARYS_TOO_LARGE, "member \"%s\" has %zu bytes", name, found.size);
        polarys_error_detail_set(err, "size", "%zu", found.size);
    }
    if (code == POLARYS_OK) {
        *text_size = found.size;
        if (found.size > 0) {
            memcpy(value, found.data, found.size);
        }
        value[found.size] = '\0';
    }
    buffer_deinit(&found);
    return code;
}

const char *polarys_version_text(void)
{
    return POLARYS_VERSION;
}
