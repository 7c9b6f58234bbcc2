/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of the system, which nobody checks, of one entry; walks of the tree.
 */
#include "tests/support/engine/raw_write.h"

#include <string.h>

#include "engine/batch_internal.h"

enum polarys_code raw_write(struct polarys_db *db, uint32_t database_id, uint32_t table_id,
                            struct polarys_slice key, struct polarys_slice value,
                            struct polarys_error *err)
{
    uint8_t tree_key[TREE_KEY_SIZE_MAX];
    struct polarys_batch *batch;
    tree_key_put_prefix(tree_key, database_id, table_id);
    memcpy(tree_key + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    enum polarys_code code = polarys_batch_create(db, NULL, &batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = batch_add_system(batch, value.data == NULL ? ENTRY_DELETE : ENTRY_PUT,
                            slice_make(tree_key, TREE_KEY_PREFIX_SIZE + key.size), value, err);
    if (code == POLARYS_OK) {
        code = batch_commit_system(batch, commit_published_version(db->commit), err);
    }
    polarys_batch_destroy(batch);
    return code;
}

enum polarys_code raw_fill(struct polarys_db *db, struct polarys_error *err)
{
    uint8_t key[TREE_KEY_SIZE_MAX] = {0};
    struct polarys_batch *batch;
    enum polarys_code code = polarys_batch_create(db, NULL, &batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    for (int i = 0; i < 2 * POLARYS_BATCH_OPERATIONS_MAX && code == POLARYS_OK; i++) {
        code = batch_add_read_key(batch, slice_make(key, sizeof(key)), err);
    }
    polarys_batch_destroy(batch);
    return code;
}

/* At the first entry of a table or an index, if it has one. The caller destroys *out. */
static enum polarys_code first_seek(struct polarys_db *db, uint32_t database_id, uint32_t table_id,
                                    struct entry_iterator **out, struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(database_id, table_id, start, end);
    enum polarys_code code = tree_iterator_create(
        db->tree, slice_make(start, sizeof(start)), slice_make(end, sizeof(end)),
        commit_published_version(db->commit), 0, out, err);
    if (code == POLARYS_OK) {
        entry_iterator_seek_first(*out);
    }
    return code;
}

enum polarys_code raw_delete_first(struct polarys_db *db, uint32_t database_id, uint32_t index_id,
                                   struct polarys_error *err)
{
    struct entry_iterator *iterator;
    enum polarys_code code = first_seek(db, database_id, index_id, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = POLARYS_KEY_NOT_FOUND;
    if (iterator->is_valid) {
        uint8_t key[TREE_KEY_SIZE_MAX];
        size_t size = iterator->entry.key.size - TREE_KEY_PREFIX_SIZE;
        memcpy(key, iterator->entry.key.data + TREE_KEY_PREFIX_SIZE, size);
        code =
            raw_write(db, database_id, index_id, slice_make(key, size), slice_make(NULL, 0), err);
    }
    entry_iterator_destroy(iterator);
    return code;
}

enum polarys_code raw_newest_version(struct polarys_db *db, uint32_t database_id, uint32_t table_id,
                                     uint64_t *version, struct polarys_error *err)
{
    struct entry_iterator *iterator;
    enum polarys_code code = first_seek(db, database_id, table_id, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *version = 0;
    for (; iterator->is_valid; entry_iterator_next(iterator)) {
        *version = *version > iterator->entry.version ? *version : iterator->entry.version;
    }
    code = iterator->code;
    if (code != POLARYS_OK && err != NULL) {
        *err = iterator->error;
    }
    entry_iterator_destroy(iterator);
    return code;
}

struct catalog *raw_catalog_keep(struct polarys_db *db)
{
    return catalog_acquire(&db->catalog);
}

void raw_catalog_release(struct catalog *catalog)
{
    catalog_release(catalog);
}

struct catalog *raw_catalog_swap(struct polarys_db *db, struct catalog *catalog)
{
    return atomic_exchange(&db->catalog.current, catalog);
}
