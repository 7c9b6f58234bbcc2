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

static enum polarys_code directory_make(struct polarys_db *db,
                                        const struct polarys_db_options *options,
                                        struct polarys_error *err)
{
    bool exists;
    enum polarys_code code = vfs_exists(db->vfs, db->dir, &exists, err);
    if (code != POLARYS_OK || exists) {
        return code;
    }
    if (!options->create_if_missing) {
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
    return options->create_if_missing
               ? POLARYS_OK
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

static void commit_published(void *context, uint64_t version, uint64_t time_unix_ms, uint64_t bytes)
{
    struct polarys_db *db = context;
    snapshots_note_commit(db->snapshots, version, time_unix_ms, bytes);
    atomic_store_explicit(&db->written_version, version, memory_order_release);
}

static void commit_durable(void *context, const struct commit_frame *frame)
{
    struct polarys_db *db = context;
    feed_publish(db->feed, frame);
}

static void commit_failed(void *context, const struct polarys_error *err)
{
    struct polarys_db *db = context;
    atomic_store(&db->is_log_failed, true);
    polarys_log(POLARYS_LOG_ERROR, "store", "the log failed, nothing more can be written: %s",
                err->message);
}

static struct wal_options wal_options_make(struct polarys_db *db)
{
    struct wal_options options = {.vfs = db->vfs,
                                  .dir = db->wal_dir,
                                  .keyring = db->keyring,
                                  .random = db->random,
                                  .executor = db->executor,
                                  .segment_bytes = db->settings.wal_segment_bytes,
                                  .sync_mode = db->settings.wal_sync,
                                  .keep_bytes = db->settings.wal_keep_bytes};
    return options;
}

/* After an unclean end, and at the first start: a new history id, durable before anything is written
 * under it. */
static enum polarys_code origin_make(struct polarys_db *db, struct db_log_end *end,
                                     const struct manifest_state *state, struct polarys_error *err)
{
    static const uint8_t no_history[HISTORY_ID_SIZE];
    bool has_history = memcmp(state->history_id, no_history, sizeof(no_history)) != 0;
    if (end->is_clean && has_history) {
        memcpy(db->history_id, state->history_id, HISTORY_ID_SIZE);
        db->term = state->term;
        return POLARYS_OK;
    }
    if (end->last_version > 0) {
        end->last_version += DB_VERSION_JUMP;
    }
    db->term = state->term == 0 ? 1 : state->term;
    enum polarys_code code = random_fill(db->random, db->history_id, HISTORY_ID_SIZE, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct manifest_edit edit = {
        .has_origin = true, .term = db->term, .first_version = end->last_version + 1};
    memcpy(edit.history_id, db->history_id, HISTORY_ID_SIZE);
    code = tree_manifest_append(db->tree, &edit, err);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "record the new history id");
}

static enum polarys_code version_check(const struct polarys_db *db, const struct db_log_end *end,
                                       struct polarys_error *err)
{
    if (end->last_version >= db->settings.min_version) {
        return POLARYS_OK;
    }
    return polarys_fail(err, POLARYS_TAMPERED,
                        "the store ends at version %" PRIu64 ", below min_version %" PRIu64
                        ": an older copy was put in its place",
                        end->last_version, db->settings.min_version);
}

static enum polarys_code log_and_commit_open(struct polarys_db *db,
                                             const struct wal_options *wal_options,
                                             const struct db_log_end *end,
                                             struct polarys_error *err)
{
    enum polarys_code code = wal_open(wal_options, &end->position, end->last_version + 1, db->term,
                                      db->history_id, &db->wal, err);
    if (code != POLARYS_OK) {
        return code;
    }
    db->opened_version = end->last_version;
    struct feed_options feed_options = {
        .wal = db->wal, .executor = db->executor, .last_version = end->last_version};
    code = feed_open(&feed_options, &db->feed, err);
    if (code == POLARYS_OK) {
        code = watch_hub_open(db, &db->watches, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct commit_options options = {
        .tree = db->tree,
        .wal = db->wal,
        .executor = db->executor,
        .role_policy = db->settings.log_role,
        .sync_interval_ns = db->settings.wal_sync_interval_ms * UINT64_C(1000000),
        .last_version = end->last_version,
        .last_time_ms = end->last_time_ms,
        .schema_version = end->last_version,
        .published = commit_published,
        .durable = commit_durable,
        .failed = commit_failed,
        .context = db,
    };
    return commit_open(&options, &db->commit, err);
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
    struct wal_options wal_options = wal_options_make(db);
    struct db_log_end end;
    if (code == POLARYS_OK) {
        code = db_recover(db, &wal_options, before, &end, err);
    }
    if (code == POLARYS_OK) {
        code = version_check(db, &end, err);
    }
    if (code == POLARYS_OK) {
        code = origin_make(db, &end, before, err);
    }
    if (code == POLARYS_OK) {
        code = log_and_commit_open(db, &wal_options, &end, err);
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
    code = open_steps(db, dir, options, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    atomic_store(&db->is_log_open, true);
    /* Segments below what recovery flushed may go. */
    db_flushed(db, tree_flushed_version(db->tree));
    db_tick_start(db);
    *out = db;
    return POLARYS_OK;

fail:
    atomic_store(&db->is_closing, true);
    db_destroy(db);
    return polarys_wrap(err, code, "open store %.200s", dir);
}
