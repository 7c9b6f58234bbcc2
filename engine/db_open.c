/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a store: lock, keyring, manifest, tree, log, commit path, catalogue, in this order.
 *
 * Invariant: a directory that holds something else is never touched, and opening is safe to crash
 * anywhere: what was made is found, or made again, by the next open. The steps of making a store are
 * ordered so that the keyring is the first file that counts and CURRENT the last.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/slots.h"
#include "engine/watch_hub.h"

static const char lock_name[] = "LOCK";
static const char wal_name[] = "wal";
static const char keyring_name[] = "keyring";

/* What a directory without a keyring may hold nevertheless: what an open that crashed has left, and what
 * people or file systems put there. */
struct stranger_search {
    char name[VFS_NAME_MAX];
    bool has_table;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name);
    size_t suffix_size = strlen(suffix);
    return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static void stranger_each(void *context, const char *name)
{
    struct stranger_search *search = context;
    bool is_known = name[0] == '.' || strcmp(name, lock_name) == 0 || strcmp(name, wal_name) == 0 ||
                    strcmp(name, "lost+found") == 0 || strcmp(name, "master.key") == 0 ||
                    has_suffix(name, ".tmp");
    if (!is_known && search->name[0] == '\0') {
        size_t size = strnlen(name, VFS_NAME_MAX - 1);
        memcpy(search->name, name, size);
        search->name[size] = '\0';
    }
}

static enum polarys_code path_set(char path[VFS_PATH_MAX], const char *text,
                                  struct polarys_error *err)
{
    size_t size = strlen(text);
    /* Room for the names of files. */
    if (size == 0 || size >= VFS_PATH_MAX - 2 * (size_t)VFS_NAME_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the directory's path has %zu bytes", size);
    }
    memcpy(path, text, size + 1);
    return POLARYS_OK;
}

/* The directory that holds `dir`. */
static void parent_of(const char *dir, char parent[VFS_PATH_MAX])
{
    size_t size = strlen(dir);
    memcpy(parent, dir, size + 1);
    while (size > 1 && parent[size - 1] == '/') {
        size--;
    }
    while (size > 0 && parent[size - 1] != '/') {
        size--;
    }
    if (size == 0) {
        parent[0] = '.';
        size = 1;
    }
    parent[size] = '\0';
}

/* A follower is a copy: it is never made from nothing. */
static bool may_make(const struct polarys_db_options *options)
{
    return options->create_if_missing && !options->is_follower;
}

static enum polarys_code directory_make(struct polarys_db *db,
                                        const struct polarys_db_options *options,
                                        struct polarys_error *err)
{
    bool exists;
    enum polarys_code code = vfs_exists(db->vfs, db->dir, &exists, err);
    if (code != POLARYS_OK || exists) {
        return code;
    }
    if (!may_make(options)) {
        return polarys_fail(err, POLARYS_FILE_NOT_FOUND, "there is no store");
    }
    char parent[VFS_PATH_MAX];
    parent_of(db->dir, parent);
    code = vfs_make_dir(db->vfs, db->dir, err);
    return code == POLARYS_OK ? vfs_sync_dir(db->vfs, parent, err) : code;
}

/* *is_new when there is no keyring and nothing that speaks against making a store here. */
static enum polarys_code directory_check(struct polarys_db *db,
                                         const struct polarys_db_options *options, bool *is_new,
                                         struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    bool exists;
    enum polarys_code code = vfs_path_join(path, db->dir, keyring_name, err);
    if (code == POLARYS_OK) {
        code = vfs_exists(db->vfs, path, &exists, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    *is_new = !exists;
    if (exists) {
        return POLARYS_OK;
    }
    struct stranger_search search = {0};
    code = vfs_list_dir(db->vfs, db->dir, stranger_each, &search, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (search.name[0] != '\0') {
        return polarys_fail(err, POLARYS_FILE_NOT_FOUND,
                            "the directory has no keyring but holds \"%s\": it is no store, and "
                            "none is made in it",
                            search.name);
    }
    return may_make(options) ? POLARYS_OK
                             : polarys_fail(err, POLARYS_FILE_NOT_FOUND, "there is no store");
}

static enum polarys_code lock_take(struct polarys_db *db, struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    enum polarys_code code = vfs_path_join(path, db->dir, lock_name, err);
    return code == POLARYS_OK ? vfs_lock_acquire(db->vfs, path, &db->lock, err) : code;
}

static enum polarys_code keyring_get(struct polarys_db *db,
                                     const struct polarys_db_options *options, bool is_new,
                                     struct polarys_error *err)
{
    struct master_key keys[MASTER_KEYS_MAX];
    size_t count;
    enum polarys_code code = db_master_keys_read(db->vfs, options, keys, &count, err);
    if (code == POLARYS_OK) {
        struct keyring_options keyring_options = {.vfs = db->vfs,
                                                  .dir = db->dir,
                                                  .random = db->random,
                                                  .clock = db->clock,
                                                  .master_keys = keys,
                                                  .master_key_count = count};
        code = is_new ? keyring_create(&keyring_options, &db->keyring, err)
                      : keyring_open(&keyring_options, &db->keyring, err);
    }
    db_master_keys_wipe(keys);
    return code;
}

static void find_table_each(void *context, const char *name)
{
    struct stranger_search *search = context;
    uint64_t file_id;
    search->has_table = search->has_table || table_file_name_parse(name, &file_id);
}

/* Opens the manifest, or makes it when the making of the store was cut off before. */
static enum polarys_code manifest_get(struct polarys_db *db, bool is_new,
                                      struct manifest **manifest, struct polarys_error *err)
{
    struct manifest_options options = {
        .vfs = db->vfs, .dir = db->dir, .keyring = db->keyring, .random = db->random};
    enum polarys_code code = POLARYS_FILE_NOT_FOUND;
    if (!is_new) {
        code = manifest_open(&options, manifest, err);
    }
    if (code != POLARYS_FILE_NOT_FOUND) {
        return code;
    }
    /* CURRENT is written before anything else can be: without it there must be no data. */
    struct stranger_search search = {0};
    struct polarys_error list_error = POLARYS_ERROR_INIT;
    code = vfs_list_dir(db->vfs, db->dir, find_table_each, &search, &list_error);
    if (code != POLARYS_OK || search.has_table) {
        return polarys_fail(err, code == POLARYS_OK ? POLARYS_CORRUPT : code,
                            "CURRENT is missing although there are table files");
    }
    return manifest_create(&options, manifest, err);
}

static enum polarys_code executors_make(struct polarys_db *db,
                                        const struct polarys_db_options *options,
                                        struct polarys_error *err)
{
    if (options->executor != NULL) {
        db->executor = options->executor;
        db->call_executor = options->executor;
        return POLARYS_OK;
    }
    db->owns_executors = true;
    enum polarys_code code =
        executor_pool_create(db->settings.executor_threads, db->clock, &db->executor, err);
    return code == POLARYS_OK
               ? executor_pool_create(DB_CALL_THREADS, db->clock, &db->call_executor, err)
               : code;
}

static size_t tree_retention(void *context, uint64_t *versions, uint64_t *history_start)
{
    struct polarys_db *db = context;
    return snapshots_retention(db->snapshots, versions, TREE_SNAPSHOTS_MAX, history_start);
}

static uint64_t tree_version_time(void *context, uint64_t version)
{
    struct polarys_db *db = context;
    return snapshots_time_of(db->snapshots, version);
}

static void tree_failed(void *context, const struct polarys_error *err)
{
    struct polarys_db *db = context;
    polarys_log(POLARYS_LOG_ERROR, "store", "background work failed: %s", err->message);
    if (err->code == POLARYS_DISK_LOW) {
        db_disk_note_low(db);
    }
    db_event_signal(db);
}

static enum polarys_code tree_get_open(struct polarys_db *db, struct manifest *take_manifest,
                                       struct polarys_error *err)
{
    const struct db_settings *settings = &db->settings;
    struct tree_options options = {
        .env = {.vfs = db->vfs,
                .dir = db->dir,
                .keyring = db->keyring,
                .random = db->random,
                .cache = db->cache},
        .manifest = take_manifest,
        .executor = db->executor,
        .memtable_bytes = settings->memtable_bytes,
        .block_bytes = settings->block_bytes,
        .level1_bytes = UINT64_C(128) << 20,
        .file_bytes = UINT64_C(32) << 20,
        .zstd_level_upper = settings->is_compression_on ? 1 : 0,
        .zstd_level_last = settings->is_compression_on ? 3 : 0,
        .is_compaction_off = settings->is_compaction_off,
        .retention = tree_retention,
        .durable = db_is_durable,
        .flushed = db_flushed,
        .room_made = db_room_made,
        .failed = tree_failed,
        .version_time_ms = tree_version_time,
        .context = db,
    };
    return tree_open(&options, &db->tree, err);
}

static enum polarys_code catalog_open(struct polarys_db *db, struct polarys_error *err)
{
    struct catalog *catalog;
    enum polarys_code code = catalog_load(db->tree, db->opened_version, &catalog, err);
    if (code == POLARYS_OK) {
        catalog->version = db->opened_version;
        catalog_holder_init(&db->catalog, catalog);
        db->has_catalog = true;
    }
    return code;
}

/* Everything above the keyring. */
static enum polarys_code store_open(struct polarys_db *db, struct manifest *take_manifest,
                                    struct polarys_error *err)
{
    const struct manifest_state *state = manifest_state_get(take_manifest);
    struct snapshots_options snapshots_options = {
        .clock = db->clock,
        .history_keep_ms = db->settings.history_keep_ms,
        .history_keep_bytes = db->settings.history_keep_bytes,
        .history_start = state->history_start,
        .times = state->times,
        .time_count = state->time_count,
    };
    enum polarys_code code = snapshots_open(&snapshots_options, &db->snapshots, err);
    if (code == POLARYS_OK) {
        code = block_cache_create(db_cache_bytes_initial(&db->settings), &db->cache, err);
    }
    /* The edits to come change the state: keep what recovery goes by. */
    struct manifest_state *before = malloc(sizeof(*before));
    if (code == POLARYS_OK && before == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to open the store");
    }
    if (code != POLARYS_OK) {
        manifest_close(take_manifest);
        free(before);
        return code;
    }
    *before = *state;
    code = tree_get_open(db, take_manifest, err);
    if (code == POLARYS_OK) {
        code = db_log_open(db, before, err);
    }
    if (code == POLARYS_OK) {
        code = slots_open(db, &db->slots, err);
    }
    free(before);
    return code == POLARYS_OK ? catalog_open(db, err) : code;
}

static struct polarys_db *db_create(const struct polarys_db_options *options)
{
    struct polarys_db *db = calloc(1, sizeof(*db));
    if (db == NULL) {
        return NULL;
    }
    db->vfs = options->vfs != NULL ? options->vfs : vfs_posix();
    db->clock = options->clock != NULL ? options->clock : clock_system();
    db->random = options->random != NULL ? options->random : random_system();
    atomic_init(&db->is_tick_over, true);
    mutex_init(&db->event_mutex, MUTEX_RANK_MEMORY);
    condition_init(&db->event_condition);
    mutex_init(&db->schema_mutex, MUTEX_RANK_STORE_OPEN);
    condition_init(&db->schema_condition);
    turns_init(&db->turns);
    statistics_cache_init(&db->statistics);
    db->prune_task.run = db_prune_run;
    return db;
}

static enum polarys_code open_steps(struct polarys_db *db, const char *dir,
                                    const struct polarys_db_options *options,
                                    struct polarys_error *err)
{
    bool is_new;
    struct manifest *manifest = NULL;
    enum polarys_code code = path_set(db->dir, dir, err);
    if (code == POLARYS_OK) {
        code = vfs_path_join(db->wal_dir, db->dir, wal_name, err);
    }
    if (code == POLARYS_OK) {
        code = directory_make(db, options, err);
    }
    if (code == POLARYS_OK) {
        code = directory_check(db, options, &is_new, err);
    }
    if (code == POLARYS_OK) {
        code = lock_take(db, err);
    }
    if (code == POLARYS_OK) {
        /* Again: another process may have made the store while this one waited for the lock. */
        code = directory_check(db, options, &is_new, err);
    }
    if (code == POLARYS_OK) {
        code = keyring_get(db, options, is_new, err);
    }
    if (code == POLARYS_OK) {
        code = executors_make(db, options, err);
    }
    if (code == POLARYS_OK) {
        code = manifest_get(db, is_new, &manifest, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_make_dir(db->vfs, db->wal_dir, err);
    if (code == POLARYS_OK) {
        code = vfs_sync_dir(db->vfs, db->dir, err);
    }
    if (code != POLARYS_OK) {
        manifest_close(manifest);
        return code;
    }
    return store_open(db, manifest, err);
}

enum polarys_code polarys_db_open(const char *dir, const struct polarys_db_options *options,
                                  struct polarys_db **out, struct polarys_error *err)
{
    *out = NULL;
    struct db_settings settings;
    enum polarys_code code = db_settings_make(options, &settings, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "open store");
    }
    struct polarys_db *db = db_create(options);
    if (db == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to open a store");
    }
    db->settings = settings;
    code = txns_open(db, err);
    if (code == POLARYS_OK) {
        code = open_steps(db, dir, options, err);
    }
    if (code != POLARYS_OK) {
        goto fail;
    }
    atomic_store(&db->is_log_open, true);
    /* Segments below what recovery flushed may go. */
    db_flushed(db, tree_flushed_version(db->tree));
    db_tick_start(db);
    index_build_kick(db);
    *out = db;
    return POLARYS_OK;

fail:
    atomic_store(&db->is_closing, true);
    db_destroy(db);
    return polarys_wrap(err, code, "open store %.200s", dir);
}
