/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of polarys.log.v1.LogBatch.
 *
 * Each commit is gone through twice: once to check it and to measure what its tree keys need, once to fill
 * in entries whose keys lie in one piece of memory that does not move any more. Values point into the
 * payload, or into the decompressed operations. What a newer format may have added is refused: passing
 * over it would change what a commit means.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <zstd.h>

#include "engine/wal/log_batch_internal.h"

/* Reused from commit to commit. */
struct decoder {
    struct buffer plain; /* decompressed operations */
    struct buffer keys;  /* tree keys, and tree keys of range ends */
    struct entry *entries;
    size_t entry_capacity;
};

struct operation_view {
    uint64_t kind;
    uint64_t database_id;
    uint64_t table_id;
    struct polarys_slice key;
    struct polarys_slice value;
};

static void decoder_deinit(struct decoder *decoder)
{
    buffer_deinit(&decoder->plain);
    buffer_deinit(&decoder->keys);
    free(decoder->entries);
}

/* The next field's tag; false at the end. Every tag of the format is one byte. */
static bool tag_take(struct cursor *cursor, uint8_t *tag)
{
    if (cursor_left(cursor) == 0) {
        return false;
    }
    *tag = *cursor->at++;
    return true;
}

static bool operation_view_take(struct polarys_slice bytes, struct operation_view *view)
{
    struct cursor cursor = cursor_make(bytes);
    uint8_t tag;
    bool is_good = true;
    memset(view, 0, sizeof(*view));
    while (is_good && tag_take(&cursor, &tag)) {
        switch (tag) {
        case TAG_OPERATION_KIND:
            is_good = cursor_take_varint(&cursor, &view->kind);
            break;
        case TAG_OPERATION_DATABASE_ID:
            is_good = cursor_take_varint(&cursor, &view->database_id);
            break;
        case TAG_OPERATION_TABLE_ID:
            is_good = cursor_take_varint(&cursor, &view->table_id);
            break;
        case TAG_OPERATION_KEY:
            is_good = cursor_take_sized(&cursor, &view->key);
            break;
        case TAG_OPERATION_VALUE:
            is_good = cursor_take_sized(&cursor, &view->value);
            break;
        default:
            is_good = false;
        }
    }
    return is_good && view->kind >= ENTRY_PUT && view->kind <= ENTRY_RANGE_DELETE &&
           view->database_id <= UINT32_MAX && view->table_id <= UINT32_MAX &&
           view->key.size <= USER_KEY_SIZE_MAX &&
           (view->kind != ENTRY_DELETE || view->value.size == 0) &&
           (view->kind != ENTRY_RANGE_DELETE || view->value.size <= USER_KEY_SIZE_MAX);
}

/* A Commit's bytes, taken apart. */
struct commit_view {
    struct polarys_slice compressed;
    uint64_t uncompressed_size;
    size_t operation_count;
    size_t key_bytes; /* memory that the tree keys need */
};

static enum polarys_code fail_malformed(struct polarys_error *err, const char *what)
{
    return polarys_fail(err, POLARYS_CORRUPT,
                        "the log holds a %s that this program cannot read (made by a newer one?)",
                        what);
}

static enum polarys_code commit_view_take(struct polarys_slice bytes, struct commit_view *view,
                                          struct polarys_error *err)
{
    struct cursor cursor = cursor_make(bytes);
    struct operation_view operation;
    struct polarys_slice field;
    uint8_t tag;
    bool is_good = true;
    memset(view, 0, sizeof(*view));
    while (is_good && tag_take(&cursor, &tag)) {
        switch (tag) {
        case TAG_COMMIT_OPERATION:
            is_good = cursor_take_sized(&cursor, &field) && operation_view_take(field, &operation);
            if (is_good) {
                view->operation_count++;
                view->key_bytes += TREE_KEY_PREFIX_SIZE + operation.key.size;
                view->key_bytes += operation.kind == ENTRY_RANGE_DELETE
                                       ? TREE_KEY_PREFIX_SIZE + operation.value.size
                                       : 0;
            }
            break;
        case TAG_COMMIT_COMPRESSED:
            /* At most once, and never written empty. */
            is_good = view->compressed.size == 0 && cursor_take_sized(&cursor, &view->compressed) &&
                      view->compressed.size != 0;
            break;
        case TAG_COMMIT_UNCOMPRESSED_SIZE:
            is_good = view->uncompressed_size == 0 &&
                      cursor_take_varint(&cursor, &view->uncompressed_size) &&
                      view->uncompressed_size != 0;
            break;
        default:
            is_good = false;
        }
    }
    bool is_compressed = view->compressed.size != 0;
    if (!is_good || (is_compressed && view->operation_count != 0) ||
        is_compressed != (view->uncompressed_size != 0)) {
        return fail_malformed(err, "commit");
    }
    return POLARYS_OK;
}

/* Decompresses into decoder->plain and takes that apart in turn. */
static enum polarys_code commit_decompress(struct decoder *decoder, struct commit_view *view,
                                           struct polarys_error *err)
{
    if (view->uncompressed_size > LOG_COMMIT_BYTES_MAX) {
        return fail_malformed(err, "commit above the limit");
    }
    size_t plain_size = (size_t)view->uncompressed_size;
    buffer_clear(&decoder->plain);
    enum polarys_code code = buffer_reserve(&decoder->plain, plain_size);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory to decompress %zu bytes", plain_size);
    }
    size_t size = ZSTD_decompress(decoder->plain.data, plain_size, view->compressed.data,
                                  view->compressed.size);
    if (ZSTD_isError(size) || size != plain_size) {
        return fail_malformed(err, "compressed commit");
    }
    decoder->plain.size = plain_size;
    code = commit_view_take(buffer_slice(&decoder->plain), view, err);
    if (code == POLARYS_OK && view->compressed.size != 0) {
        code = fail_malformed(err, "commit compressed twice");
    }
    return code;
}

static enum polarys_code decoder_reserve(struct decoder *decoder, const struct commit_view *view,
                                         struct polarys_error *err)
{
    buffer_clear(&decoder->keys);
    enum polarys_code code = buffer_reserve(&decoder->keys, view->key_bytes);
    if (code == POLARYS_OK && view->operation_count > decoder->entry_capacity) {
        struct entry *entries = realloc(decoder->entries, view->operation_count * sizeof(*entries));
        if (entries == NULL) {
            code = POLARYS_NO_MEMORY;
        } else {
            decoder->entries = entries;
            decoder->entry_capacity = view->operation_count;
        }
    }
    return code == POLARYS_OK ? POLARYS_OK
                              : polarys_fail(err, code, "no memory for %zu operations of the log",
                                             view->operation_count);
}

/* Puts prefix ‖ user key behind the keys that are there. REQUIRES: room for it. */
static struct polarys_slice tree_key_add(struct buffer *keys, const uint8_t *prefix,
                                         struct polarys_slice user_key)
{
    uint8_t *key = keys->data + keys->size;
    POLARYS_ASSERT(keys->capacity - keys->size >= TREE_KEY_PREFIX_SIZE + user_key.size);
    memcpy(key, prefix, TREE_KEY_PREFIX_SIZE);
    if (user_key.size != 0) {
        memcpy(key + TREE_KEY_PREFIX_SIZE, user_key.data, user_key.size);
    }
    keys->size += TREE_KEY_PREFIX_SIZE + user_key.size;
    return slice_make(key, TREE_KEY_PREFIX_SIZE + user_key.size);
}

/* False when a range goes to the end of the last table there can be. */
static bool entry_fill(struct decoder *decoder, const struct operation_view *view,
                       struct entry *entry)
{
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    uint32_t database_id = (uint32_t)view->database_id;
    uint32_t table_id = (uint32_t)view->table_id;
    tree_key_put_prefix(prefix, database_id, table_id);
    entry->kind = (enum entry_kind)view->kind;
    entry->version = 0;
    entry->key = tree_key_add(&decoder->keys, prefix, view->key);
    entry->value = view->value;
    if (entry->kind == ENTRY_RANGE_DELETE) {
        if (view->value.size == 0 && !tree_key_next_table(prefix, database_id, table_id)) {
            return false;
        }
        entry->value = tree_key_add(&decoder->keys, prefix, view->value);
    }
    return true;
}

/* Fills decoder->entries from a Commit that commit_view_take found good. */
static enum polarys_code operations_fill(struct decoder *decoder, struct polarys_slice bytes,
                                         struct polarys_error *err)
{
    struct cursor cursor = cursor_make(bytes);
    struct polarys_slice field;
    struct operation_view view;
    uint8_t tag;
    size_t index = 0;
    while (tag_take(&cursor, &tag)) {
        POLARYS_ASSERT(tag == TAG_COMMIT_OPERATION);
        bool is_good = cursor_take_sized(&cursor, &field) && operation_view_take(field, &view);
        POLARYS_ASSERT(is_good); /* gone through before */
        POLARYS_ASSERT(index < decoder->entry_capacity);
        if (!entry_fill(decoder, &view, &decoder->entries[index])) {
            return fail_malformed(err, "range without an end");
        }
        index++;
    }
    return POLARYS_OK;
}

static enum polarys_code commit_decode(struct decoder *decoder, struct polarys_slice bytes,
                                       size_t *operation_count, struct polarys_error *err)
{
    struct commit_view view;
    enum polarys_code code = commit_view_take(bytes, &view, err);
    if (code == POLARYS_OK && view.compressed.size != 0) {
        code = commit_decompress(decoder, &view, err);
        bytes = buffer_slice(&decoder->plain);
    }
    if (code == POLARYS_OK) {
        code = decoder_reserve(decoder, &view, err);
    }
    if (code == POLARYS_OK) {
        code = operations_fill(decoder, bytes, err);
    }
    *operation_count = view.operation_count;
    return code;
}

static enum polarys_code batch_decode(struct decoder *decoder, struct cursor *cursor,
                                      uint32_t commit_count,
                                      const struct log_batch_visitor *visitor,
                                      struct polarys_error *err)
{
    uint8_t tag;
    uint64_t time_unix_ms = 0;
    if (!tag_take(cursor, &tag) || tag != TAG_BATCH_TIME ||
        !cursor_take_u64_le(cursor, &time_unix_ms)) {
        return fail_malformed(err, "group of commits without a time");
    }
    uint32_t index = 0;
    for (; tag_take(cursor, &tag); index++) {
        struct polarys_slice bytes;
        size_t operation_count;
        if (index == commit_count || tag != TAG_BATCH_COMMIT ||
            !cursor_take_sized(cursor, &bytes)) {
            return fail_malformed(err, "group of commits");
        }
        enum polarys_code code = commit_decode(decoder, bytes, &operation_count, err);
        if (code == POLARYS_OK) {
            code = visitor->commit(visitor->context, index, time_unix_ms, decoder->entries,
                                   operation_count, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (index != commit_count) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "a frame of the log holds %" PRIu32
                            " commits, its header says %" PRIu32,
                            index, commit_count);
    }
    return POLARYS_OK;
}

enum polarys_code log_batch_decode(struct polarys_slice payload, uint32_t commit_count,
                                   const struct log_batch_visitor *visitor,
                                   struct polarys_error *err)
{
    struct decoder decoder = {.entries = NULL};
    struct cursor cursor = cursor_make(payload);
    enum polarys_code code = batch_decode(&decoder, &cursor, commit_count, visitor, err);
    decoder_deinit(&decoder);
    return code;
}
