/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plainest source of rows, a walk over the table in key order, and the look-up of one document.
 */
#include <stdlib.h>

#include "engine/query_internal.h"

struct table_source {
    struct query_source base; /* first */
    struct entry_iterator *iterator;
    bool is_at_row;
};

static enum polarys_code table_next(struct query_source *base, struct query_row *row, bool *has_row,
                                    struct polarys_error *err)
{
    struct table_source *source = (struct table_source *)base;
    if (source->is_at_row) {
        entry_iterator_next(source->iterator);
    }
    source->is_at_row = source->iterator->is_valid;
    *has_row = source->iterator->is_valid;
    if (!source->iterator->is_valid) {
        if (source->iterator->code != POLARYS_OK && err != NULL) {
            *err = source->iterator->error;
        }
        return source->iterator->code;
    }
    const struct entry *entry = &source->iterator->entry;
    *row = (struct query_row){
        .key = slice_make(entry->key.data + TREE_KEY_PREFIX_SIZE,
                          entry->key.size - TREE_KEY_PREFIX_SIZE),
        .stored = entry->value,
        .version = entry->version,
    };
    if (!stored_value_decode(row->stored, &row->value)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
    }
    return POLARYS_OK;
}

static void table_destroy(struct query_source *base)
{
    struct table_source *source = (struct table_source *)base;
    entry_iterator_destroy(source->iterator);
    free(source);
}

enum polarys_code query_table_source_open(struct polarys_query *query, struct polarys_slice after,
                                          struct query_source **out, struct polarys_error *err)
{
    static const struct query_source_vtable vtable = {table_next, table_destroy};
    static const uint8_t zero[1] = {0};
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    *out = NULL;
    table_bounds(query->database_id, query->table_id, start, end);
    struct table_source *source = calloc(1, sizeof(*source));
    buffer_clear(&query->tree_key);
    enum polarys_code code = buffer_append(&query->tree_key, start, sizeof(start));
    if (code == POLARYS_OK && after.size > 0) {
        code = buffer_append_slice(&query->tree_key, after);
        /* The first key behind it. */
        code = code == POLARYS_OK ? buffer_append(&query->tree_key, zero, 1) : code;
    }
    if (source == NULL || code != POLARYS_OK) {
        free(source);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    source->base.vtable = &vtable;
    code = tree_iterator_create(
        query->db->tree, buffer_slice(&query->tree_key), slice_make(end, sizeof(end)),
        query->snapshot, db_tree_flags(query->flags) | TREE_READ_AHEAD, &source->iterator, err);
    if (code != POLARYS_OK) {
        free(source);
        return code;
    }
    entry_iterator_seek_first(source->iterator);
    *out = &source->base;
    return POLARYS_OK;
}

enum polarys_code query_fetch(struct polarys_query *query, struct polarys_slice key,
                              struct query_row *row, struct polarys_error *err)
{
    tree_value_release(&query->fetched);
    query->fetched = (struct tree_value){0};
    uint8_t tree_key[TREE_KEY_SIZE_MAX];
    POLARYS_ASSERT(key.size <= USER_KEY_SIZE_MAX);
    query->figures.fetched++;
    memcpy(tree_key, query->prefix, TREE_KEY_PREFIX_SIZE);
    memcpy(tree_key + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    enum polarys_code code =
        tree_get(query->db->tree, slice_make(tree_key, TREE_KEY_PREFIX_SIZE + key.size),
                 query->snapshot, db_tree_flags(query->flags), &query->fetched, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *row = (struct query_row){
        .key = key,
        .stored = query->fetched.bytes,
        .version = query->fetched.version,
    };
    if (!stored_value_decode(row->stored, &row->value)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
    }
    return POLARYS_OK;
}
