/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Salvage from its beginning to its end: see engine_salvage.h. The steps are those of salvage_internal.h.
 *
 * The new store is opened once before it is handed over, which builds its indexes and shows that it can be opened.
 */
#include <stdlib.h>

#include "engine/engine_index.h"
#include "engine/salvage_internal.h"

enum { CLOSE_TIMEOUT_MS = 600000 };

static enum polarys_code keyring_read(struct salvage *salvage, struct polarys_error *err)
{
    struct master_key key;
    enum polarys_code code =
        master_key_read_file(salvage->vfs, salvage->options->master_key_file, &key, err);
    if (code == POLARYS_OK) {
        struct keyring_options options = {.vfs = salvage->vfs,
                                          .dir = salvage->dir,
                                          .random = random_system(),
                                          .clock = clock_system(),
                                          .master_keys = &key,
                                          .master_key_count = 1};
        code = keyring_open(&options, &salvage->keyring, err);
        if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED || code == POLARYS_FILE_NOT_FOUND) {
            (void)polarys_wrap(err, code,
                               "without the keyring nothing can be read (each backup has a copy)");
            salvage->result->outcome = POLARYS_SALVAGE_NONE;
        }
    }
    master_key_wipe(&key);
    return code;
}

/* ---- directories ---- */

static void name_count(void *context, const char *name)
{
    (void)name;
    ++*(size_t *)context;
}

static enum polarys_code target_make(struct salvage *salvage, struct polarys_error *err)
{
    size_t count = 0;
    enum polarys_code code =
        vfs_path_join(salvage->scratch_dir, salvage->to, SALVAGE_SCRATCH_NAME, err);
    if (code == POLARYS_OK) {
        code = vfs_path_join(salvage->wal_dir, salvage->dir, "wal", err);
    }
    if (code == POLARYS_OK) {
        code = vfs_make_dir(salvage->vfs, salvage->to, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_list_dir(salvage->vfs, salvage->to, name_count, &count, err);
    }
    if (code == POLARYS_OK && count > 0) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s is not empty", salvage->to);
    }
    return code == POLARYS_OK ? vfs_make_dir(salvage->vfs, salvage->scratch_dir, err) : code;
}

/* The scratch files have served; their names are known. */
static enum polarys_code scratch_remove(struct salvage *salvage, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    for (uint64_t id = 1; id < salvage->scratch_id_next && code == POLARYS_OK; id++) {
        char name[VFS_NAME_MAX];
        char path[VFS_PATH_MAX];
        bool exists = false;
        table_file_name(name, id);
        code = vfs_path_join(path, salvage->scratch_dir, name, err);
        if (code == POLARYS_OK) {
            code = vfs_exists(salvage->vfs, path, &exists, err);
        }
        if (code == POLARYS_OK && exists) {
            code = vfs_remove(salvage->vfs, path, err);
        }
    }
    return code == POLARYS_OK ? vfs_remove(salvage->vfs, salvage->scratch_dir, err) : code;
}

static enum polarys_code begin(struct salvage *salvage, struct polarys_error *err)
{
    enum polarys_code code = keyring_read(salvage, err);
    if (code == POLARYS_OK) {
        code = target_make(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = table_files_create(SALVAGE_OPEN_FILES_MAX, &salvage->files, err);
    }
    struct table_env env = {.vfs = salvage->vfs,
                            .dir = salvage->dir,
                            .keyring = salvage->keyring,
                            .random = random_system(),
                            .files = salvage->files};
    salvage->env = env;
    env.dir = salvage->scratch_dir;
    salvage->scratch_env = env;
    env.dir = salvage->to;
    salvage->new_env = env;
    salvage->scratch_id_next = 1;
    salvage->file_id_next = 1;
    return code;
}

/* ---- the new store's first open ---- */

/* Waits for one table's indexes; one that cannot be built (its values are not unique any more) is FAILED, and told so
 * by whoever lists indexes. */
struct index_wait {
    struct polarys_db *db;
    const char *database;
    const char *table;
};

static bool index_wait_each(void *context, const struct polarys_index_info *info)
{
    struct index_wait *wait = context;
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (polarys_index_wait(wait->db, wait->database, wait->table, info->index,
                           SALVAGE_INDEX_WAIT_MS, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "salvage", "index %s of table %s: %s", info->index,
                    wait->table, err.message);
    }
    return true;
}

static enum polarys_code indexes_wait(struct salvage *salvage, struct polarys_db *db,
                                      struct polarys_error *err)
{
    const struct catalog *catalog = salvage->catalog;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < catalog->database_count; i++) {
        size_t first;
        size_t count = catalog_database_tables(catalog, catalog->databases[i].id, &first);
        for (size_t j = first; j < first + count && code == POLARYS_OK; j++) {
            size_t index_count = 0;
            (void)catalog_table_indexes(catalog, catalog->tables[j].id, &index_count);
            struct index_wait wait = {db, catalog->databases[i].name, catalog->tables[j].name};
            if (index_count > 0) {
                code =
                    polarys_index_list(db, wait.database, wait.table, index_wait_each, &wait, err);
            }
        }
    }
    return code;
}

static enum polarys_code new_store_open(struct salvage *salvage, struct polarys_error *err)
{
    struct polarys_db_options options;
    struct polarys_db *db;
    polarys_db_options_init(&options);
    options.create_if_missing = false;
    options.master_key_file = salvage->options->master_key_file;
    options.vfs = salvage->options->vfs;
    enum polarys_code code = polarys_db_open(salvage->to, &options, &db, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "open the new store");
    }
    salvage->result->version = polarys_db_version(db);
    salvage->result->term = polarys_db_term(db);
    code = indexes_wait(salvage, db, err);
    struct polarys_error close_error = POLARYS_ERROR_INIT;
    enum polarys_code close_code = polarys_db_close(db, CLOSE_TIMEOUT_MS, &close_error);
    if (code == POLARYS_OK && close_code != POLARYS_OK) {
        code = polarys_fail(err, close_code, "close the new store: %s", close_error.message);
    }
    return code;
}

/* ---- all of it ---- */

static enum polarys_code steps(struct salvage *salvage, struct polarys_error *err)
{
    enum polarys_code code = begin(salvage, err);
    if (code == POLARYS_OK) {
        code = salvage_tables_read(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = salvage_log_read(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = salvage_catalog_read(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = salvage_write(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = scratch_remove(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = salvage_keyring_copy(salvage, err);
    }
    return code == POLARYS_OK ? new_store_open(salvage, err) : code;
}

static void salvage_deinit(struct salvage *salvage)
{
    table_builder_destroy(salvage->builder);
    manifest_edit_deinit(&salvage->edit);
    memtable_unref(salvage->memtable);
    salvage_sources_deinit(salvage);
    salvage_losses_deinit(salvage);
    if (salvage->catalog != NULL) {
        catalog_destroy(salvage->catalog);
    }
    table_files_destroy(salvage->files);
    keyring_close(salvage->keyring);
}

static enum polarys_salvage_outcome outcome_of(const struct polarys_salvage_result *result)
{
    if (result->loss_count == 0) {
        return POLARYS_SALVAGE_WHOLE;
    }
    return result->document_count > 0 || result->table_count > 0 ? POLARYS_SALVAGE_PART
                                                                 : POLARYS_SALVAGE_NONE;
}

enum polarys_code polarys_salvage(const char *dir, const char *to,
                                  const struct polarys_salvage_options *options,
                                  struct polarys_salvage_result *result, struct polarys_error *err)
{
    struct salvage salvage = {
        .options = options,
        .result = result,
        .vfs = options->vfs == NULL ? vfs_posix() : options->vfs,
        .dir = dir,
        .to = to,
    };
    POLARYS_ASSERT(result != NULL);
    *result = (struct polarys_salvage_result){.outcome = POLARYS_SALVAGE_UNFINISHED};
    if (options->master_key_file == NULL) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "salvage needs the store's master key");
    }
    enum polarys_code code = steps(&salvage, err);
    if (code == POLARYS_OK) {
        salvage_losses_report(&salvage);
        result->outcome = outcome_of(result);
    }
    salvage_deinit(&salvage);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "salvage %.200s", dir);
}
