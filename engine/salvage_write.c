/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The new store: table files of the last level with the newest version of every document that came back, then the
 * manifest, and the keyring last, for a directory with files but without a keyring is never taken for a store.
 *
 * The files are sealed under the damaged store's data keys with salts of their own, so no nonce is used twice.
 */
#include <stdlib.h>

#include "engine/salvage_internal.h"

/* ---- files ---- */

enum polarys_code salvage_file_end(struct salvage *salvage, struct polarys_error *err)
{
    struct manifest_edit *edit = &salvage->edit;
    struct table_meta meta;
    if (salvage->builder == NULL) {
        return POLARYS_OK;
    }
    if (edit->added_count == MANIFEST_EDIT_FILES_MAX) {
        return polarys_fail(err, POLARYS_TOO_LARGE, "more than %d table files",
                            MANIFEST_EDIT_FILES_MAX);
    }
    if (edit->added_count == salvage->added_capacity) {
        size_t capacity = salvage->added_capacity == 0 ? 64 : 2 * salvage->added_capacity;
        struct manifest_added *added = realloc(edit->added, capacity * sizeof(*added));
        if (added == NULL) {
            return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for another table file");
        }
        edit->added = added;
        salvage->added_capacity = capacity;
    }
    enum polarys_code code = table_builder_finish(salvage->builder, &meta, err);
    table_builder_destroy(salvage->builder);
    salvage->builder = NULL;
    if (code == POLARYS_OK) {
        edit->added[edit->added_count++] =
            (struct manifest_added){.level = MANIFEST_LEVELS - 1, .meta = meta};
    }
    return code;
}

enum polarys_code salvage_put(struct salvage *salvage, const struct entry *entry,
                              struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (salvage->builder != NULL && table_builder_bytes(salvage->builder) >= SALVAGE_TABLE_BYTES) {
        code = salvage_file_end(salvage, err);
    }
    if (code == POLARYS_OK && salvage->builder == NULL) {
        struct table_builder_options options = {.file_id = salvage->file_id_next++,
                                                .block_bytes = TABLE_BLOCK_BYTES_DEFAULT,
                                                .zstd_level = 3,
                                                .is_last_level = true};
        code = table_builder_create(&salvage->new_env, &options, &salvage->builder, err);
    }
    return code == POLARYS_OK ? table_builder_add(salvage->builder, entry, err) : code;
}

/* ---- documents ---- */

/* The id that the walk is in, and what is done with its entries. */
struct place {
    uint64_t id;
    enum salvage_keep keep;
};

static enum polarys_code entry_write(struct salvage *salvage, const struct entry *entry,
                                     struct place *place, struct polarys_error *err)
{
    uint32_t database_id = get_u32_be(entry->key.data);
    uint32_t id = get_u32_be(entry->key.data + 4);
    uint64_t both = (uint64_t)database_id << 32 | id;
    if (both != place->id) {
        place->id = both;
        place->keep = salvage_catalog_judge(salvage, database_id, id);
        if (place->keep == SALVAGE_KEEP_DOCUMENT) {
            enum polarys_code code = salvage_catalog_adopt(salvage, database_id, id, err);
            if (code != POLARYS_OK) {
                return code;
            }
        }
    }
    if (place->keep == SALVAGE_DROP) {
        return POLARYS_OK;
    }
    if (place->keep == SALVAGE_KEEP_DOCUMENT) {
        if (salvage->is_cover_stale) {
            enum polarys_code code = salvage_cover_make(salvage, err);
            if (code != POLARYS_OK) {
                return code;
            }
        }
        salvage->result->document_count++;
        salvage->result->doubtful_count +=
            salvage_lost_version(salvage, entry->key) > entry->version;
    }
    return salvage_put(salvage, entry, err);
}

static enum polarys_code documents_write(struct salvage *salvage, struct polarys_error *err)
{
    struct entry_iterator *merge;
    struct buffer key = {0};
    struct place place = {.id = 0, .keep = SALVAGE_DROP};
    enum polarys_code code = salvage_merge_create(salvage, &merge, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(merge);
    while (salvage_merge_next(salvage, merge, &key, &code, err)) {
        code = entry_write(salvage, &merge->entry, &place, err);
        if (code != POLARYS_OK) {
            break;
        }
    }
    buffer_deinit(&key);
    entry_iterator_destroy(merge);
    return code == POLARYS_OK ? salvage_file_end(salvage, err) : code;
}

/* ---- the rest ---- */

/*
 * A bad last record of a manifest passes for one that was cut off, and is dropped; a bad first one is refused. So the
 * manifest is read back and rolled over, which makes all that it says its first record.
 */
static enum polarys_code manifest_settle(const struct manifest_options *options, uint64_t version,
                                         struct polarys_error *err)
{
    struct manifest *manifest;
    struct manifest_edit nothing = {0};
    enum polarys_code code = manifest_open(options, &manifest, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (manifest_state_get(manifest)->flushed_version != version) {
        code = polarys_fail(err, POLARYS_IO, "the manifest in %s does not read back", options->dir);
    }
    if (code == POLARYS_OK) {
        code = manifest_append(manifest, &nothing, err);
    }
    manifest_close(manifest);
    return code;
}

static enum polarys_code manifest_write(struct salvage *salvage, uint64_t version,
                                        struct polarys_error *err)
{
    struct manifest *manifest;
    struct manifest_options options = {.vfs = salvage->vfs,
                                       .dir = salvage->to,
                                       .keyring = salvage->keyring,
                                       .random = random_system()};
    struct manifest_edit *edit = &salvage->edit;
    uint64_t now_ms = clock_wall_ms(clock_system());
    edit->has_flushed_version = true;
    edit->flushed_version = version;
    edit->flushed_time = (struct version_time){
        version, now_ms > salvage->time_max_ms ? now_ms : salvage->time_max_ms};
    edit->has_history_start = true;
    edit->history_start = version;
    edit->has_origin = true;
    edit->term = salvage->term + 1;
    edit->first_version = version + 1;
    enum polarys_code code = random_fill(options.random, edit->history_id, HISTORY_ID_SIZE, err);
    if (code == POLARYS_OK) {
        code = manifest_create(&options, &manifest, err);
    }
    if (code == POLARYS_OK) {
        code = manifest_append(manifest, edit, err);
        manifest_close(manifest);
    }
    return code == POLARYS_OK ? manifest_settle(&options, version, err) : code;
}

enum polarys_code salvage_write(struct salvage *salvage, struct polarys_error *err)
{
    enum polarys_code code = documents_write(salvage, err);
    /* Behind every version that was read, and far enough from those that were lost. */
    uint64_t version = salvage->newest_version + DB_VERSION_JUMP_PROMOTION;
    if (code == POLARYS_OK) {
        code = salvage_catalog_write(salvage, version, err);
    }
    if (code == POLARYS_OK) {
        code = salvage_file_end(salvage, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_sync_dir(salvage->vfs, salvage->to, err);
    }
    if (code == POLARYS_OK) {
        code = manifest_write(salvage, version, err);
    }
    salvage->result->newest_version = salvage->newest_version;
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "write the new store");
}

enum polarys_code salvage_keyring_copy(struct salvage *salvage, struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    struct buffer bytes = {0};
    enum polarys_code code = vfs_path_join(path, salvage->dir, "keyring", err);
    if (code == POLARYS_OK) {
        code = vfs_read_file(salvage->vfs, path, SALVAGE_KEYRING_BYTES_MAX, &bytes, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_replace_file(salvage->vfs, salvage->to, "keyring", buffer_slice(&bytes), err);
    }
    buffer_deinit(&bytes);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "copy the keyring");
}
