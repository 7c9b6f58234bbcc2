/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: a second store in another directory that holds the state of one moment. Table files are
 * hard-linked, log segments are copied as far as they are valid: they are recycled in place, so a link
 * would change under the copy.
 *
 * Invariant: the keyring is written last, so a checkpoint that was not finished is refused by open. And
 * verification, which works on the links of a checkpoint of its own, so that no file can go away from
 * under it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/engine_replica.h"
#include "engine/wal/wal_tail.h"

enum {
    COPY_CHUNK_BYTES = 1 << 20,
    KEYRING_BYTES_MAX = 16 << 20,
    NAMES_MAX = 1 << 20,
    VERIFY_CACHE_BYTES = 1 << 20,
};

/* Where the log ends, asked while nothing is being written. */
struct log_end_job {
    struct polarys_db *db;
    struct wal_position end;
    uint64_t version;
};

static enum polarys_code log_end_get(void *context, struct polarys_error *err)
{
    struct log_end_job *job = context;
    (void)err;
    wal_position_get(job->db->wal, &job->end);
    job->version = commit_published_version(job->db->commit);
    return POLARYS_OK;
}

/* The names of a directory. */
struct name_list {
    char (*names)[VFS_NAME_MAX];
    size_t count;
    size_t capacity;
    bool is_cut;
};

static void name_each(void *context, const char *name)
{
    struct name_list *list = context;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        void *names = capacity > NAMES_MAX ? NULL : realloc(list->names, capacity * VFS_NAME_MAX);
        if (names == NULL) {
            list->is_cut = true;
            return;
        }
        list->names = names;
        list->capacity = capacity;
    }
    size_t size = strnlen(name, VFS_NAME_MAX - 1);
    memcpy(list->names[list->count], name, size);
    list->names[list->count][size] = '\0';
    list->count++;
}

static enum polarys_code names_read(struct vfs *vfs, const char *dir, struct name_list *list,
                                    struct polarys_error *err)
{
    enum polarys_code code = vfs_list_dir(vfs, dir, name_each, list, err);
    if (code == POLARYS_OK && list->is_cut) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the names in a directory");
    }
    return code;
}

static enum polarys_code copy_bytes(struct vfs_file *from, struct vfs_file *to, uint64_t size,
                                    struct polarys_error *err)
{
    uint8_t *chunk = malloc(COPY_CHUNK_BYTES);
    if (chunk == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to copy the log");
    }
    enum polarys_code code = POLARYS_OK;
    for (uint64_t at = 0; at < size && code == POLARYS_OK; at += COPY_CHUNK_BYTES) {
        uint64_t left = size - at;
        size_t part = left < COPY_CHUNK_BYTES ? (size_t)left : (size_t)COPY_CHUNK_BYTES;
        code = vfs_read_exact(from, at, chunk, part, err);
        if (code == POLARYS_OK) {
            code = vfs_write_at(to, at, chunk, part, err);
        }
    }
    free(chunk);
    return code;
}

/* Copies the first `size_max` bytes; the copy is as long as the original, which recovery insists on. */
static enum polarys_code copy_segment(struct polarys_db *db, const char *to_dir, const char *name,
                                      uint64_t size_max, struct polarys_error *err)
{
    char from_path[VFS_PATH_MAX];
    char to_path[VFS_PATH_MAX];
    struct vfs_file *from = NULL;
    struct vfs_file *to = NULL;
    uint64_t size = 0;
    enum polarys_code code = vfs_path_join(from_path, db->wal_dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_path_join(to_path, to_dir, name, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_open(db->vfs, from_path, VFS_READ, &from, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_file_size(from, &size, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_open(db->vfs, to_path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, &to, err);
    }
    if (code == POLARYS_OK) {
        code = copy_bytes(from, to, size < size_max ? size : size_max, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_truncate(to, size, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_sync(to, err);
    }
    (void)vfs_close(from, NULL);
    enum polarys_code close_code = vfs_close(to, code == POLARYS_OK ? err : NULL);
    return code == POLARYS_OK ? close_code : code;
}

/* A segment's name is its number and ".wal"; 0 for other names. */
static uint64_t segment_id_of(const char *name)
{
    char *end;
    unsigned long long id = strtoull(name, &end, 10);
    bool is_segment = name[0] >= '0' && name[0] <= '9' && strcmp(end, ".wal") == 0;
    return is_segment ? id : 0;
}

/* The first segment that a store with these tables replays; older ones are kept for watches only. */
static uint64_t segment_first_needed(struct polarys_db *db, uint64_t tables_version)
{
    struct wal_place place;
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = wal_place_find(db->wal, tables_version, &place, &err);
    return code == POLARYS_OK ? place.segment_id : 0;
}

static enum polarys_code copy_log(struct polarys_db *db, const char *dir, uint64_t first_id,
                                  const struct wal_position *end, struct polarys_error *err)
{
    char to_dir[VFS_PATH_MAX];
    struct name_list list = {0};
    enum polarys_code code = vfs_path_join(to_dir, dir, "wal", err);
    if (code == POLARYS_OK) {
        code = vfs_make_dir(db->vfs, to_dir, err);
    }
    if (code == POLARYS_OK) {
        code = names_read(db->vfs, db->wal_dir, &list, err);
    }
    for (size_t i = 0; i < list.count && code == POLARYS_OK; i++) {
        uint64_t id = segment_id_of(list.names[i]);
        if (id != 0 && id >= first_id && id <= end->segment_id) {
            uint64_t size_max = id == end->segment_id ? end->offset : UINT64_MAX;
            code = copy_segment(db, to_dir, list.names[i], size_max, err);
        }
    }
    free(list.names);
    return code == POLARYS_OK ? vfs_sync_dir(db->vfs, to_dir, err) : code;
}

static enum polarys_code copy_keyring(struct polarys_db *db, const char *dir,
                                      struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    struct buffer bytes = {0};
    enum polarys_code code = vfs_path_join(path, db->dir, "keyring", err);
    if (code == POLARYS_OK) {
        code = vfs_read_file(db->vfs, path, KEYRING_BYTES_MAX, &bytes, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_replace_file(db->vfs, dir, "keyring", buffer_slice(&bytes), err);
    }
    buffer_deinit(&bytes);
    return code;
}

enum polarys_code polarys_db_checkpoint_log(struct polarys_db *db, const char *dir,
                                            struct polarys_log_position *end,
                                            struct polarys_error *err)
{
    struct log_end_job job = {.db = db};
    uint64_t tables_version = 0;
    uint64_t pin_id;
    *end = (struct polarys_log_position){0};
    if (strlen(dir) == 0 || strlen(dir) >= VFS_PATH_MAX - 2 * (size_t)VFS_NAME_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "checkpoint: the path is empty or too long");
    }
    /* A copy takes space, at the latest when compaction replaces what it is linked to. */
    enum polarys_code code = db_disk_allow_put(db, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "checkpoint");
    }
    /* The log that goes with the tables must not be recycled before it has been copied. */
    wal_pin(db->wal, 0, &pin_id);
    code = tree_checkpoint(db->tree, dir, &tables_version, err);
    if (code == POLARYS_OK) {
        code = commit_run_exclusive(db->commit, log_end_get, &job, err);
    }
    if (code == POLARYS_OK) {
        code = copy_log(db, dir, segment_first_needed(db, tables_version), &job.end, err);
    }
    if (code == POLARYS_OK) {
        code = copy_keyring(db, dir, err);
    }
    wal_unpin(db->wal, pin_id);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "checkpoint");
    }
    *end = (struct polarys_log_position){.segment_id = job.end.segment_id,
                                         .offset = job.end.offset,
                                         .version = job.version > tables_version ? job.version
                                                                                 : tables_version};
    memcpy(end->tag, job.end.tag, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

enum polarys_code polarys_db_checkpoint(struct polarys_db *db, const char *dir, uint64_t *version,
                                        struct polarys_error *err)
{
    struct polarys_log_position end;
    enum polarys_code code = polarys_db_checkpoint_log(db, dir, &end, err);
    if (code == POLARYS_OK && version != NULL) {
        *version = end.version;
    }
    return code;
}

/* ---- verify ---- */

static enum polarys_code files_remove(struct vfs *vfs, const char *dir, struct polarys_error *err)
{
    struct name_list list = {0};
    enum polarys_code code = names_read(vfs, dir, &list, err);
    for (size_t i = 0; i < list.count && code == POLARYS_OK; i++) {
        char path[VFS_PATH_MAX];
        code = vfs_path_join(path, dir, list.names[i], err);
        if (code == POLARYS_OK) {
            code = vfs_remove(vfs, path, err);
        }
    }
    free(list.names);
    return code;
}

/* The directory with what is in it. Its files go durably before it does: no crash leaves them without it. */
static enum polarys_code dir_remove(struct polarys_db *db, const char *dir,
                                    struct polarys_error *err)
{
    enum polarys_code code = files_remove(db->vfs, dir, err);
    if (code == POLARYS_OK) {
        code = vfs_sync_dir(db->vfs, dir, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_remove(db->vfs, dir, err);
    }
    return code == POLARYS_OK ? vfs_sync_dir(db->vfs, db->dir, err) : code;
}

static enum polarys_code verify_table(const struct table_env *env, const struct table_meta *meta,
                                      uint64_t *bad_blocks)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct table *table;
    uint64_t bad_count = 0;
    enum polarys_code code = table_open(env, meta, &table, &err);
    if (code == POLARYS_OK) {
        code = table_verify(table, &bad_count, &err);
        table_close(table);
    }
    if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED || code == POLARYS_FILE_NOT_FOUND) {
        /* Not even its frame is good. */
        polarys_log(POLARYS_LOG_ERROR, "store", "verify: %s", err.message);
        bad_count = bad_count == 0 ? 1 : bad_count;
        code = POLARYS_OK;
    }
    *bad_blocks += bad_count;
    return code;
}

static enum polarys_code verify_all(struct polarys_db *db, const char *dir, uint64_t *bad_blocks,
                                    struct polarys_error *err)
{
    struct manifest_options options = {
        .vfs = db->vfs, .dir = dir, .keyring = db->keyring, .random = db->random};
    struct table_env env = {
        .vfs = db->vfs, .dir = dir, .keyring = db->keyring, .random = db->random};
    struct manifest *manifest = NULL;
    enum polarys_code code = block_cache_create(VERIFY_CACHE_BYTES, &env.cache, err);
    if (code == POLARYS_OK) {
        code = manifest_open(&options, &manifest, err);
    }
    if (code == POLARYS_OK) {
        const struct manifest_state *state = manifest_state_get(manifest);
        for (size_t level = 0; level < MANIFEST_LEVELS && code == POLARYS_OK; level++) {
            for (size_t i = 0; i < state->level_counts[level] && code == POLARYS_OK; i++) {
                code = verify_table(&env, &state->levels[level][i], bad_blocks);
            }
        }
        if (code != POLARYS_OK) {
            (void)polarys_fail(err, code, "a table file could not be read");
        }
    }
    manifest_close(manifest);
    block_cache_destroy(env.cache);
    return code;
}

enum polarys_code polarys_db_verify(struct polarys_db *db, uint64_t *bad_blocks,
                                    struct polarys_error *err)
{
    char dir[VFS_PATH_MAX];
    uint64_t version;
    bool exists = false;
    *bad_blocks = 0;
    if (atomic_exchange(&db->is_verifying, true)) {
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "a verification is under way");
    }
    enum polarys_code code = vfs_path_join(dir, db->dir, "verify", err);
    if (code == POLARYS_OK) {
        code = vfs_exists(db->vfs, dir, &exists, err);
    }
    if (code == POLARYS_OK && exists) {
        /* What a verification that was cut off has left. */
        code = dir_remove(db, dir, err);
    }
    if (code == POLARYS_OK) {
        code = tree_checkpoint(db->tree, dir, &version, err);
    }
    if (code == POLARYS_OK) {
        code = verify_all(db, dir, bad_blocks, err);
        enum polarys_code remove_code = dir_remove(db, dir, code == POLARYS_OK ? err : NULL);
        code = code == POLARYS_OK ? remove_code : code;
    }
    atomic_store(&db->is_verifying, false);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "verify");
}
