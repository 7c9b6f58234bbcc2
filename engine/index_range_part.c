/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Range deletes of tables with indexes that are too large for one commit: a part of the range, from its front.
 */
#include <string.h>

#include "engine/batch_internal.h"
#include "engine/index_internal.h"

/* Where the part that holds `documents_max` documents ends: *end stays empty when the range has no more. */
/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing */
static enum polarys_code part_end(struct polarys_db *db, const struct db_indexes *found,
                                  const struct polarys_slice bounds[2], uint64_t documents_max,
                                  uint8_t *end, size_t *end_size, struct polarys_error *err)
{
    uint8_t first[TREE_KEY_SIZE_MAX];
    uint8_t beyond[TREE_KEY_SIZE_MAX];
    table_bounds(found->database_id, found->table_id, first, beyond);
    size_t first_size = TREE_KEY_PREFIX_SIZE + bounds[0].size;
    size_t beyond_size = TREE_KEY_PREFIX_SIZE + bounds[1].size;
    if (bounds[0].size > 0) {
        memcpy(first + TREE_KEY_PREFIX_SIZE, bounds[0].data, bounds[0].size);
    }
    if (bounds[1].size > 0) {
        memcpy(beyond, first, TREE_KEY_PREFIX_SIZE);
        memcpy(beyond + TREE_KEY_PREFIX_SIZE, bounds[1].data, bounds[1].size);
    }
    *end_size = 0;
    struct entry_iterator *iterator;
    enum polarys_code code = tree_iterator_create(
        db->tree, slice_make(first, first_size), slice_make(beyond, beyond_size),
        commit_published_version(db->commit), TREE_READ_NO_FILL, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    for (uint64_t i = 0; i < documents_max && iterator->is_valid; i++) {
        entry_iterator_next(iterator);
    }
    if (iterator->is_valid) {
        *end_size = iterator->entry.key.size - TREE_KEY_PREFIX_SIZE;
        memcpy(end, iterator->entry.key.data + TREE_KEY_PREFIX_SIZE, *end_size);
    } else if (iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (err != NULL) {
            *err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing */
static enum polarys_code part_delete(struct polarys_db *db, const char *database, const char *table,
                                     const struct polarys_slice bounds[2],
                                     const struct polarys_write_options *options,
                                     struct polarys_write_result *result, struct polarys_error *err)
{
    struct polarys_batch *batch;
    enum polarys_code code = polarys_batch_create(db, database, &batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = polarys_batch_delete_range(batch, table, bounds[0], bounds[1], err);
    if (code == POLARYS_OK) {
        code = polarys_batch_commit(batch, options, result, err);
    }
    polarys_batch_destroy(batch);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_table_delete_range_part(
    struct polarys_db *db, const char *database, const char *table, struct polarys_slice start,
    struct polarys_slice end, const struct polarys_write_options *options, uint8_t *resume,
    size_t *resume_size, struct polarys_write_result *result, struct polarys_error *err)
{
    struct db_indexes found;
    uint64_t documents_max = db->settings.range_delete_max;
    *resume_size = 0;
    if (start.size > POLARYS_KEY_BYTES_MAX || end.size > POLARYS_KEY_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_KEY, "a bound of a range has at most %d bytes",
                            POLARYS_KEY_BYTES_MAX);
    }
    if (end.size > 0 && slice_compare(start, end) >= 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the range ends before it starts");
    }
    enum polarys_code code = db_indexes_find(db, database, table, &found, err);
    if (code != POLARYS_OK) {
        return code;
    }
    for (;;) {
        struct polarys_slice bounds[2] = {start, end};
        if (found.count > 0) {
            code = part_end(db, &found, bounds, documents_max, resume, resume_size, err);
        }
        if (code == POLARYS_OK) {
            bounds[1] = *resume_size > 0 ? slice_make(resume, *resume_size) : end;
            code = part_delete(db, database, table, bounds, options, result, err);
        }
        /* More came into the part meanwhile: a smaller one then. */
        if (code != POLARYS_TOO_LARGE || documents_max == 1) {
            break;
        }
        documents_max /= 2;
        code = POLARYS_OK;
    }
    catalog_release(found.catalog);
    return code;
}
