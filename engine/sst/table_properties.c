/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding and decoding of the properties block and of the range delete block.
 *
 * Properties repeat what the manifest knows, so that a manifest that was lost can be made again from the
 * files, and the verifier can compare the two.
 */
#include "engine/sst/table_properties.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/internal_key.h"

enum {
    PROPERTIES_VERSION = 1,
    RANGE_DELETE_SIZE_MIN = 3, /* two sizes and a version */
};

enum polarys_code table_properties_encode(const struct table_meta *meta,
                                          const struct table_builder_options *options,
                                          struct buffer *payload)
{
    const uint64_t fields[] = {
        PROPERTIES_VERSION,       meta->entry_count,    meta->delete_count,
        meta->range_delete_count, meta->oldest_version, meta->newest_version,
        meta->raw_bytes,          options->block_bytes, (uint64_t)(uint32_t)options->zstd_level,
        options->is_last_level,
    };
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && code == POLARYS_OK; i++) {
        code = buffer_append_varint(payload, fields[i]);
    }
    const struct polarys_slice texts[] = {
        buffer_slice(&meta->smallest_key),
        buffer_slice(&meta->largest_key),
        slice_from_text("polarysdb " POLARYS_VERSION),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && code == POLARYS_OK; i++) {
        code = buffer_append_sized(payload, texts[i]);
    }
    return code;
}

enum polarys_code table_properties_decode(struct polarys_slice payload, struct table_meta *meta)
{
    struct cursor cursor = cursor_make(payload);
    uint64_t fields[10];
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!cursor_take_varint(&cursor, &fields[i])) {
            return POLARYS_CORRUPT;
        }
    }
    struct polarys_slice smallest;
    struct polarys_slice largest;
    struct polarys_slice created_by;
    if (fields[0] != PROPERTIES_VERSION || !cursor_take_sized(&cursor, &smallest) ||
        !cursor_take_sized(&cursor, &largest) || !cursor_take_sized(&cursor, &created_by) ||
        cursor_left(&cursor) != 0 || smallest.size > TREE_KEY_SIZE_MAX ||
        largest.size > TREE_KEY_SIZE_MAX) {
        return POLARYS_CORRUPT;
    }
    meta->entry_count = fields[1];
    meta->delete_count = fields[2];
    meta->range_delete_count = fields[3];
    meta->oldest_version = fields[4];
    meta->newest_version = fields[5];
    meta->raw_bytes = fields[6];
    POLARYS_ASSERT(meta->smallest_key.size == 0 && meta->largest_key.size == 0);
    if (buffer_append_slice(&meta->smallest_key, smallest) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    return buffer_append_slice(&meta->largest_key, largest);
}

static int compare_range_deletes(const void *a, const void *b)
{
    const struct range_delete *x = a;
    const struct range_delete *y = b;
    return entry_compare(x->start, x->version, y->start, y->version);
}

enum polarys_code range_deletes_encode(struct range_delete *list, size_t count,
                                       struct buffer *payload)
{
    POLARYS_ASSERT(count <= RANGE_DELETE_INDEX_MAX);
    if (count > 1) {
        qsort(list, count, sizeof(*list), compare_range_deletes);
    }
    enum polarys_code code = buffer_append_varint(payload, count);
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        code = buffer_append_sized(payload, list[i].start);
        if (code == POLARYS_OK) {
            code = buffer_append_sized(payload, list[i].end);
        }
        if (code == POLARYS_OK) {
            code = buffer_append_varint(payload, list[i].version);
        }
    }
    return code;
}

static bool range_delete_take(struct cursor *cursor, struct range_delete *range)
{
    return cursor_take_sized(cursor, &range->start) && cursor_take_sized(cursor, &range->end) &&
           cursor_take_varint(cursor, &range->version) && range->start.size <= TREE_KEY_SIZE_MAX &&
           range->end.size <= TREE_KEY_SIZE_MAX;
}

enum polarys_code range_deletes_decode(struct polarys_slice payload, struct range_delete **list,
                                       size_t *count)
{
    *list = NULL;
    *count = 0;
    struct cursor cursor = cursor_make(payload);
    uint64_t wanted;
    if (!cursor_take_varint(&cursor, &wanted) || wanted > RANGE_DELETE_INDEX_MAX ||
        wanted > cursor_left(&cursor) / RANGE_DELETE_SIZE_MIN) {
        return POLARYS_CORRUPT;
    }
    struct range_delete *ranges = malloc(((size_t)wanted + 1) * sizeof(*ranges));
    if (ranges == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (size_t i = 0; i < wanted; i++) {
        if (!range_delete_take(&cursor, &ranges[i])) {
            free(ranges);
            return POLARYS_CORRUPT;
        }
    }
    if (cursor_left(&cursor) != 0) {
        free(ranges);
        return POLARYS_CORRUPT;
    }
    *list = ranges;
    *count = (size_t)wanted;
    return POLARYS_OK;
}
