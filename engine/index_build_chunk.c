/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One chunk of an index's build: documents in order of their keys, as of one version, and their entries.
 *
 * Invariant: each document read joins the validated reads of the chunk's commit, and so does each unique entry
 * looked at.
 */
#include "engine/index_build_chunk.h"

#include <stdlib.h>
#include <string.h>

/* A unique entry that the chunk puts. Borrows from the batch. */
struct chunk_unique {
    struct polarys_slice key;
    struct polarys_slice document_key;
};

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to build an index");
}

void build_chunk_deinit(struct build_chunk *chunk)
{
    polarys_batch_destroy(chunk->batch);
    index_entries_deinit(&chunk->entries);
    free(chunk->uniques);
    buffer_deinit(&chunk->last_key);
}

static enum polarys_code tree_key_make(const struct build_chunk *chunk, struct polarys_slice key,
                                       uint8_t tree_key[TREE_KEY_SIZE_MAX],
                                       struct polarys_slice *made, struct polarys_error *err)
{
    if (key.size == 0 || key.size > USER_KEY_SIZE_MAX) {
        return polarys_fail(err, POLARYS_CORRUPT, "an entry of index \"%s\" names no document",
                            chunk->index->name);
    }
    tree_key_put_prefix(tree_key, chunk->index->database_id, chunk->index->table_id);
    memcpy(tree_key + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    *made = slice_make(tree_key, TREE_KEY_PREFIX_SIZE + key.size);
    return POLARYS_OK;
}

/* Turns the chunk into the deletion of a document, when that has expired. */
static enum polarys_code expired_delete(struct build_chunk *chunk, struct polarys_slice key,
                                        struct polarys_error *err)
{
    uint8_t bytes[TREE_KEY_SIZE_MAX];
    struct polarys_slice tree_key;
    struct db_found found = {0};
    enum polarys_code code = tree_key_make(chunk, key, bytes, &tree_key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = db_read_document(chunk->db, tree_key, chunk->snapshot, true, TREE_READ_NO_FILL, &found,
                            err);
    bool is_expired = code == POLARYS_KEY_NOT_FOUND && found.value.version != 0;
    tree_value_release(&found.value);
    if (!is_expired) {
        return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
    }
    chunk->has_expired = true;
    batch_clear(chunk->batch);
    code = batch_add_system(chunk->batch, ENTRY_DELETE, tree_key, slice_make(NULL, 0), err);
    return code == POLARYS_OK ? batch_add_read_key(chunk->batch, tree_key, err) : code;
}

/* Two documents want one entry. */
static enum polarys_code resolve(struct build_chunk *chunk, struct polarys_slice one,
                                 struct polarys_slice other, struct polarys_error *err)
{
    enum { SHOWN_MAX = 64 };
    char keys[2][2 * SHOWN_MAX + 1];
    struct polarys_slice both[2] = {one, other};
    for (size_t i = 0; i < 2; i++) {
        enum polarys_code code = expired_delete(chunk, both[i], err);
        if (code != POLARYS_OK || chunk->has_expired) {
            return code;
        }
        batch_key_show(both[i], keys[i], sizeof(keys[i]));
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_UNIQUE_VIOLATION,
                     "documents \"%s\" and \"%s\" have the same values", keys[0], keys[1]);
    polarys_error_detail_set(err, "index", "%s", chunk->index->name);
    polarys_error_detail_set(err, "key", "%s", keys[1]);
    polarys_error_detail_set(err, "written_key", "%s", keys[0]);
    return code;
}

/* Looks at who holds a unique entry already. */
static enum polarys_code unique_check(struct build_chunk *chunk, struct polarys_slice document_key,
                                      const struct index_entry *entry, struct polarys_error *err)
{
    struct tree_value value = {0};
    enum polarys_code code = batch_add_read_key(chunk->batch, entry->key, err);
    if (code == POLARYS_OK) {
        code =
            tree_get(chunk->db->tree, entry->key, chunk->snapshot, TREE_READ_NO_FILL, &value, err);
    }
    if (code == POLARYS_OK && !slice_equal(value.bytes, document_key)) {
        code = resolve(chunk, document_key, value.bytes, err);
    }
    tree_value_release(&value);
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

static enum polarys_code unique_note(struct build_chunk *chunk, struct polarys_error *err)
{
    if (chunk->unique_count == chunk->unique_capacity) {
        size_t capacity = chunk->unique_capacity == 0 ? 64 : 2 * chunk->unique_capacity;
        struct chunk_unique *grown = realloc(chunk->uniques, capacity * sizeof(*grown));
        if (grown == NULL) {
            return fail_memory(err);
        }
        chunk->uniques = grown;
        chunk->unique_capacity = capacity;
    }
    const struct batch_operation *last =
        &batch_operations(chunk->batch)[chunk->batch->operations.count - 1];
    chunk->uniques[chunk->unique_count++] = (struct chunk_unique){last->key, last->value};
    return POLARYS_OK;
}

static enum polarys_code entry_put(struct build_chunk *chunk, struct polarys_slice document_key,
                                   const struct index_entry *entry, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (entry->is_unique) {
        code = unique_check(chunk, document_key, entry, err);
        if (code != POLARYS_OK || chunk->has_expired) {
            return code;
        }
    }
    code = batch_add_system(chunk->batch, ENTRY_PUT, entry->key, entry->value, err);
    chunk->entry_bytes += entry->key.size + entry->value.size;
    return code == POLARYS_OK && entry->is_unique ? unique_note(chunk, err) : code;
}

static enum polarys_code document_add(struct build_chunk *chunk, const struct entry *document,
                                      struct polarys_error *err)
{
    struct polarys_slice key = slice_make(document->key.data + TREE_KEY_PREFIX_SIZE,
                                          document->key.size - TREE_KEY_PREFIX_SIZE);
    enum polarys_code code = batch_add_read_key(chunk->batch, document->key, err);
    if (code == POLARYS_OK) {
        code = index_entries_make(chunk->index, key, document->value, &chunk->entries, err);
        if (code != POLARYS_OK) {
            char shown[POLARYS_ERROR_DETAIL_VALUE_MAX];
            batch_key_show(key, shown, sizeof(shown));
            return polarys_wrap(err, code, "document \"%s\"", shown);
        }
    }
    for (size_t i = 0; i < chunk->entries.count && code == POLARYS_OK && !chunk->has_expired; i++) {
        code = entry_put(chunk, key, &chunk->entries.list[i], err);
    }
    if (code != POLARYS_OK || chunk->has_expired) {
        return code;
    }
    chunk->document_count++;
    buffer_clear(&chunk->last_key);
    return buffer_append_slice(&chunk->last_key, key) == POLARYS_OK ? POLARYS_OK : fail_memory(err);
}

static int unique_order(const void *a, const void *b)
{
    return slice_compare(((const struct chunk_unique *)a)->key,
                         ((const struct chunk_unique *)b)->key);
}

/* Documents of this chunk against one another. */
static enum polarys_code uniques_compare(struct build_chunk *chunk, struct polarys_error *err)
{
    if (chunk->unique_count < 2) {
        return POLARYS_OK;
    }
    qsort(chunk->uniques, chunk->unique_count, sizeof(*chunk->uniques), unique_order);
    for (size_t i = 1; i < chunk->unique_count; i++) {
        const struct chunk_unique *pair = &chunk->uniques[i - 1];
        if (slice_equal(pair[0].key, pair[1].key)) {
            struct buffer one = {0};
            struct buffer other = {0};
            /* The batch may be emptied, which they borrow from. */
            enum polarys_code code =
                buffer_append_slice(&one, pair[0].document_key) == POLARYS_OK &&
                        buffer_append_slice(&other, pair[1].document_key) == POLARYS_OK
                    ? resolve(chunk, buffer_slice(&one), buffer_slice(&other), err)
                    : fail_memory(err);
            buffer_deinit(&one);
            buffer_deinit(&other);
            return code;
        }
    }
    return POLARYS_OK;
}

static bool has_room(const struct build_chunk *chunk)
{
    return chunk->document_count < chunk->documents_max &&
           chunk->entry_bytes < INDEX_BUILD_CHUNK_BYTES;
}

static enum polarys_code documents_walk(struct build_chunk *chunk, struct entry_iterator *iterator,
                                        struct polarys_error *err)
{
    entry_iterator_seek_first(iterator);
    size_t head = TREE_KEY_PREFIX_SIZE;
    if (iterator->is_valid && chunk->after.size > 0 &&
        slice_equal(slice_make(iterator->entry.key.data + head, iterator->entry.key.size - head),
                    chunk->after)) {
        entry_iterator_next(iterator);
    }
    while (iterator->is_valid && has_room(chunk)) {
        enum polarys_code code = document_add(chunk, &iterator->entry, err);
        if (code != POLARYS_OK || chunk->has_expired) {
            return code;
        }
        entry_iterator_next(iterator);
    }
    chunk->is_last = !iterator->is_valid;
    if (!iterator->is_valid && iterator->code != POLARYS_OK) {
        *err = iterator->error;
        return iterator->code;
    }
    return uniques_compare(chunk, err);
}

enum polarys_code build_chunk_gather(struct build_chunk *chunk, struct polarys_error *err)
{
    const struct index_definition *index = chunk->index;
    uint8_t start[TREE_KEY_SIZE_MAX];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(index->database_id, index->table_id, start, end);
    size_t start_size = TREE_KEY_PREFIX_SIZE + chunk->after.size;
    if (chunk->after.size > 0) {
        memcpy(start + TREE_KEY_PREFIX_SIZE, chunk->after.data, chunk->after.size);
    }
    struct entry_iterator *iterator;
    enum polarys_code code = polarys_batch_create(chunk->db, NULL, &chunk->batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    batch_clear(chunk->batch);
    code = tree_iterator_create(chunk->db->tree, slice_make(start, start_size),
                                slice_make(end, sizeof(end)), chunk->snapshot,
                                TREE_READ_NO_FILL | TREE_READ_AHEAD, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = documents_walk(chunk, iterator, err);
    entry_iterator_destroy(iterator);
    return code;
}
