/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching a block: a binary search over the restart array, then a scan of one group.
 *
 * The scan puts no key together. It keeps how many bytes the target shares with the key before; a record
 * says how many bytes its key shares with that same key, and only where the two counts are equal do bytes
 * have to be compared. So the record found shares its first bytes with the target, too.
 */
#include "engine/base/assert.h"
#include "engine/sst/block_record.h"

bool block_view_init(struct block_view *view, struct polarys_slice payload)
{
    if (payload.size < BLOCK_HEADER_SIZE) {
        return false;
    }
    uint32_t restart_count = get_u32_le(payload.data);
    uint32_t entry_count = get_u32_le(payload.data + 4);
    uint32_t keys_size = get_u32_le(payload.data + 8);
    uint32_t prefix_size = get_u32_le(payload.data + 12);
    size_t left = payload.size - BLOCK_HEADER_SIZE;
    if (restart_count == 0 || restart_count > left / BLOCK_RESTART_SIZE ||
        entry_count < restart_count) {
        return false;
    }
    left -= (size_t)restart_count * BLOCK_RESTART_SIZE;
    if (prefix_size > left || keys_size > left - prefix_size || prefix_size > TREE_KEY_SIZE_MAX) {
        return false;
    }
    left -= prefix_size;
    const uint8_t *at = payload.data + BLOCK_HEADER_SIZE;
    view->restarts = at;
    at += (size_t)restart_count * BLOCK_RESTART_SIZE;
    view->restart_count = restart_count;
    view->entry_count = entry_count;
    view->prefix = slice_make(at, prefix_size);
    at += prefix_size;
    view->keys = slice_make(at, keys_size);
    view->values = slice_make(at + keys_size, left - keys_size);
    return true;
}

/* The bytes of `key` after the prefix as the restart array has them. */
static uint64_t key_part(struct polarys_slice key, size_t prefix_size)
{
    size_t left = key.size - prefix_size;
    if (left >= BLOCK_PART_SIZE) {
        return get_u64_be(key.data + prefix_size);
    }
    uint8_t part[BLOCK_PART_SIZE] = {0};
    memcpy(part, key.data + prefix_size, left);
    return get_u64_be(part);
}

/* Order of a restart's key against the target, where their parts are equal; *is_bad when the bytes are. */
static int compare_restart(const struct block_view *view, uint32_t index, struct polarys_slice key,
                           uint64_t version, bool *is_bad)
{
    struct block_scan scan;
    struct block_record record;
    if (!block_scan_begin(view, index, &scan) || !block_scan_take(view, &scan, true, &record)) {
        *is_bad = true;
        return 0;
    }
    return entry_compare(slice_make(record.key, record.unshared), record.version, key, version);
}

/* How many restarts' keys come before the target. The target starts with the prefix. */
static uint32_t restarts_before(const struct block_view *view, struct polarys_slice key,
                                uint64_t version, bool *is_bad)
{
    uint64_t part = key_part(key, view->prefix.size);
    uint32_t low = 0;
    uint32_t high = view->restart_count;
    while (low < high && !*is_bad) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t found = block_restart_part(view, middle);
        bool is_before = found < part;
        if (found == part) {
            is_before = compare_restart(view, middle, key, version, is_bad) < 0;
        }
        if (is_before) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How many more bytes are equal, from `at` on. */
static size_t match(const uint8_t *a, const uint8_t *b, size_t end)
{
    size_t at = 0;
    while (at < end && a[at] == b[at]) {
        at++;
    }
    return at;
}

/*
 * Order of a record's key against the target, given that the target shares *matched bytes with the key
 * before and sorts after it. *matched becomes what it shares with this one.
 */
static int compare_record(const struct block_record *record, struct polarys_slice key,
                          size_t *matched)
{
    if (record->shared != *matched) {
        return record->shared > *matched ? -1 : 1;
    }
    size_t left = key.size - *matched;
    size_t end = left < record->unshared ? left : record->unshared;
    size_t more = match(record->key, key.data + *matched, end);
    if (more < end) {
        int order = record->key[more] < key.data[*matched + more] ? -1 : 1;
        *matched += more;
        return order;
    }
    *matched += more;
    return (record->unshared > left) - (record->unshared < left);
}

/* Scans one group for the first record at or after the target. */
static enum block_result search_group(const struct block_view *view, struct polarys_slice key,
                                      uint64_t version, struct block_position *position)
{
    if (!block_scan_begin(view, position->group, &position->scan)) {
        return BLOCK_BAD;
    }
    size_t matched = 0;
    position->in_group = 0;
    for (;;) {
        struct block_record *record = &position->record;
        if (!block_scan_take(view, &position->scan, position->in_group == 0, record)) {
            return BLOCK_BAD;
        }
        int order = compare_record(record, key, &matched);
        if (order > 0 || (order == 0 && record->version <= version)) {
            position->is_same_key = order == 0;
            return BLOCK_FOUND;
        }
        position->in_group++;
        if (position->scan.keys.at == position->scan.keys.end) {
            return BLOCK_END;
        }
    }
}

/* The first record of a group, which is known to come after all that sorts before the target. */
static enum block_result take_group_first(const struct block_view *view, struct polarys_slice key,
                                          struct block_position *position)
{
    position->in_group = 0;
    if (!block_scan_begin(view, position->group, &position->scan) ||
        !block_scan_take(view, &position->scan, true, &position->record)) {
        return BLOCK_BAD;
    }
    position->is_same_key =
        slice_equal(slice_make(position->record.key, position->record.unshared), key);
    return BLOCK_FOUND;
}

enum block_result block_search(const struct block_view *view, struct polarys_slice key,
                               uint64_t version, struct block_position *position)
{
    struct polarys_slice start = key;
    start.size = key.size < view->prefix.size ? key.size : view->prefix.size;
    int order = slice_compare(start, view->prefix);
    if (order > 0) {
        return BLOCK_END;
    }
    position->group = 0;
    bool is_bad = false;
    uint32_t before = order < 0 ? 0 : restarts_before(view, key, version, &is_bad);
    if (is_bad) {
        return BLOCK_BAD;
    }
    if (before > 0) {
        position->group = before - 1;
        enum block_result result = search_group(view, key, version, position);
        if (result != BLOCK_END || before == view->restart_count) {
            return result;
        }
        position->group = before;
    }
    return take_group_first(view, key, position);
}

enum block_result block_find(const struct block_view *view, struct polarys_slice key,
                             uint64_t version, struct entry *found)
{
    struct block_position position;
    enum block_result result = block_search(view, key, version, &position);
    if (result == BLOCK_FOUND) {
        found->key = position.is_same_key ? key : slice_make(NULL, 0);
        found->value = block_position_value(view, &position.scan, &position.record);
        found->version = position.record.version;
        found->kind = position.record.kind;
    }
    return result;
}
