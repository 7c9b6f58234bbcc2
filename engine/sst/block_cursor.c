/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a block. Forwards, each record is decoded once and its key put together in the cursor's buffer.
 * Backwards, a group is decoded whole and kept, since its records can only be read forwards.
 */
#include "engine/base/assert.h"
#include "engine/sst/block_record.h"

void block_cursor_set(struct block_cursor *cursor, const struct block_view *view)
{
    cursor->view = *view;
    cursor->cached_group = 0;
    cursor->next_record = NULL;
}

void block_cursor_deinit(struct block_cursor *cursor)
{
    buffer_deinit(&cursor->key);
    buffer_deinit(&cursor->group_keys);
}

/* Replaces all but the first `shared` bytes of the cursor's key. */
static enum block_result put_key(struct block_cursor *cursor, size_t shared, const uint8_t *rest,
                                 size_t rest_size)
{
    POLARYS_ASSERT(shared <= cursor->key.size);
    cursor->key.size = shared;
    if (buffer_reserve(&cursor->key, rest_size) != POLARYS_OK) {
        return BLOCK_NO_MEMORY;
    }
    if (rest_size > 0) {
        memcpy(cursor->key.data + shared, rest, rest_size);
    }
    cursor->key.size = shared + rest_size;
    cursor->entry.key = buffer_slice(&cursor->key);
    return BLOCK_FOUND;
}

/* Stands after `record`, whose key's first bytes are in the cursor's key already. */
static inline enum block_result land(struct block_cursor *cursor, const struct block_scan *scan,
                                     const struct block_record *record)
{
    cursor->entry.value = block_position_value(&cursor->view, scan, record);
    cursor->entry.version = record->version;
    cursor->entry.kind = record->kind;
    cursor->next_record = scan->keys.at;
    cursor->group_end = scan->keys.end;
    cursor->next_value = scan->value_at;
    return put_key(cursor, record->shared, record->key, record->unshared);
}

enum block_result block_cursor_seek(struct block_cursor *cursor, struct polarys_slice key,
                                    uint64_t version)
{
    struct block_position position;
    enum block_result result = block_search(&cursor->view, key, version, &position);
    if (result != BLOCK_FOUND) {
        return result;
    }
    cursor->group = position.group;
    cursor->in_group = position.in_group;
    POLARYS_ASSERT(position.record.shared <= key.size);
    if (put_key(cursor, 0, key.data, position.record.shared) != BLOCK_FOUND) {
        return BLOCK_NO_MEMORY;
    }
    return land(cursor, &position.scan, &position.record);
}

static enum block_result group_first(struct block_cursor *cursor, uint32_t group)
{
    struct block_scan scan;
    struct block_record record;
    if (!block_scan_begin(&cursor->view, group, &scan) ||
        !block_scan_take(&cursor->view, &scan, true, &record)) {
        return BLOCK_BAD;
    }
    cursor->group = group;
    cursor->in_group = 0;
    return land(cursor, &scan, &record);
}

enum block_result block_cursor_first(struct block_cursor *cursor)
{
    return group_first(cursor, 0);
}

enum block_result block_cursor_next(struct block_cursor *cursor)
{
    POLARYS_ASSERT(cursor->next_record != NULL);
    if (cursor->next_record == cursor->group_end) {
        if (cursor->group + 1 == cursor->view.restart_count) {
            return BLOCK_END;
        }
        return group_first(cursor, cursor->group + 1);
    }
    struct block_scan scan = {
        .keys = {cursor->next_record, cursor->group_end},
        .value_at = cursor->next_value,
        .key_size = cursor->key.size,
        .version = cursor->entry.version,
    };
    struct block_record record;
    if (!block_scan_take(&cursor->view, &scan, false, &record)) {
        return BLOCK_BAD;
    }
    cursor->in_group++;
    return land(cursor, &scan, &record);
}

/* Keeps one decoded record of the group; its key's first bytes are those of the record before. */
static enum block_result cache_record(struct block_cursor *cursor, const struct block_scan *scan,
                                      const struct block_record *record)
{
    if (cursor->cached_count == BLOCK_GROUP_ENTRIES) {
        return BLOCK_BAD;
    }
    struct block_group_entry *kept = &cursor->group_entries[cursor->cached_count];
    size_t before_at = cursor->cached_count == 0 ? 0 : kept[-1].key_at;
    kept->key_at = cursor->group_keys.size;
    if (buffer_reserve(&cursor->group_keys, record->shared + record->unshared) != POLARYS_OK) {
        return BLOCK_NO_MEMORY;
    }
    uint8_t *to = cursor->group_keys.data + kept->key_at;
    memcpy(to, cursor->group_keys.data + before_at, record->shared);
    memcpy(to + record->shared, record->key, record->unshared);
    cursor->group_keys.size += record->shared + record->unshared;
    kept->entry.key = slice_make(NULL, record->shared + record->unshared);
    kept->entry.value = block_position_value(&cursor->view, scan, record);
    kept->entry.version = record->version;
    kept->entry.kind = record->kind;
    kept->next_record = scan->keys.at;
    kept->next_value = scan->value_at;
    cursor->cached_count++;
    return BLOCK_FOUND;
}

/* Decodes a whole group into the cache. */
static enum block_result cache_group(struct block_cursor *cursor, uint32_t group)
{
    struct block_scan scan;
    if (!block_scan_begin(&cursor->view, group, &scan)) {
        return BLOCK_BAD;
    }
    cursor->cached_group = 0;
    cursor->cached_count = 0;
    buffer_clear(&cursor->group_keys);
    while (scan.keys.at < scan.keys.end) {
        struct block_record record;
        if (!block_scan_take(&cursor->view, &scan, cursor->cached_count == 0, &record)) {
            return BLOCK_BAD;
        }
        enum block_result result = cache_record(cursor, &scan, &record);
        if (result != BLOCK_FOUND) {
            return result;
        }
    }
    cursor->cached_group = group + 1;
    cursor->group_end = scan.keys.end;
    return BLOCK_FOUND;
}

/* Stands on an entry of the group in the cache. */
static enum block_result land_cached(struct block_cursor *cursor, uint32_t in_group)
{
    POLARYS_ASSERT(cursor->cached_group != 0 && in_group < cursor->cached_count);
    const struct block_group_entry *kept = &cursor->group_entries[in_group];
    cursor->group = cursor->cached_group - 1;
    cursor->in_group = in_group;
    cursor->entry = kept->entry;
    cursor->next_record = kept->next_record;
    cursor->next_value = kept->next_value;
    return put_key(cursor, 0, cursor->group_keys.data + kept->key_at, kept->entry.key.size);
}

/* Decodes a group and stands on its last entry. */
static enum block_result group_last(struct block_cursor *cursor, uint32_t group)
{
    enum block_result result = cache_group(cursor, group);
    return result == BLOCK_FOUND ? land_cached(cursor, cursor->cached_count - 1) : result;
}

enum block_result block_cursor_last(struct block_cursor *cursor)
{
    return group_last(cursor, cursor->view.restart_count - 1);
}

enum block_result block_cursor_previous(struct block_cursor *cursor)
{
    POLARYS_ASSERT(cursor->next_record != NULL);
    if (cursor->in_group == 0) {
        return cursor->group == 0 ? BLOCK_END : group_last(cursor, cursor->group - 1);
    }
    uint32_t wanted = cursor->in_group - 1;
    if (cursor->cached_group != cursor->group + 1) {
        enum block_result result = cache_group(cursor, cursor->group);
        if (result != BLOCK_FOUND) {
            return result;
        }
    }
    if (wanted >= cursor->cached_count) {
        return BLOCK_BAD;
    }
    return land_cached(cursor, wanted);
}
