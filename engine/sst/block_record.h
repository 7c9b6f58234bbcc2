/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding one key record of a block (block_builder.c says what it holds). For the block readers.
 */
#ifndef ENGINE_SST_BLOCK_RECORD_H
#define ENGINE_SST_BLOCK_RECORD_H

#include "engine/sst/block.h"

struct block_restart {
    uint32_t key_at;
    uint32_t value_at;
    uint64_t part;
};

struct block_record {
    size_t shared;
    size_t unshared;
    size_t value_size;
    uint64_t version;
    enum entry_kind kind;
    const uint8_t *key; /* the unshared bytes */
};

/* Where a scan is: between records. */
struct block_scan {
    struct cursor keys; /* ends with the group */
    size_t value_at;
    size_t key_size;  /* of the record before; 0 at a restart */
    uint64_t version; /* of the record before; 0 at a restart */
};

static inline uint64_t block_restart_part(const struct block_view *view, uint32_t index)
{
    return get_u64_le(view->restarts + (size_t)index * BLOCK_RESTART_SIZE + 8);
}

/* Begins a scan of group `index`. False when the restart array is bad. */
static inline bool block_scan_begin(const struct block_view *view, uint32_t index,
                                    struct block_scan *scan)
{
    POLARYS_ASSERT(index < view->restart_count);
    const uint8_t *restart = view->restarts + (size_t)index * BLOCK_RESTART_SIZE;
    size_t from = get_u32_le(restart);
    size_t to = index + 1 < view->restart_count ? get_u32_le(restart + BLOCK_RESTART_SIZE)
                                                : view->keys.size;
    if (from >= to || to > view->keys.size) {
        return false;
    }
    scan->keys.at = view->keys.data + from;
    scan->keys.end = view->keys.data + to;
    scan->value_at = get_u32_le(restart + 4);
    scan->key_size = 0;
    scan->version = 0;
    return true;
}

static inline uint64_t block_unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

/*
 * Takes the next record; `is_restart` says that it is the first of its group. On true, the value is within
 * the values area at scan->value_at - value_size.
 */
static inline bool block_scan_take(const struct block_view *view, struct block_scan *scan,
                                   bool is_restart, struct block_record *record)
{
    uint64_t shared;
    uint64_t unshared;
    uint64_t value_field;
    uint64_t version_field;
    if (!cursor_take_varint(&scan->keys, &shared) || !cursor_take_varint(&scan->keys, &unshared) ||
        !cursor_take_varint(&scan->keys, &value_field) ||
        !cursor_take_varint(&scan->keys, &version_field)) {
        return false;
    }
    uint64_t value_size = value_field >> 1;
    if (shared > scan->key_size || unshared > cursor_left(&scan->keys) || shared + unshared == 0 ||
        shared + unshared > TREE_KEY_SIZE_MAX || scan->value_at > view->values.size ||
        value_size > view->values.size - scan->value_at) {
        return false;
    }
    record->shared = (size_t)shared;
    record->unshared = (size_t)unshared;
    record->value_size = (size_t)value_size;
    record->kind = (value_field & 1) != 0 ? ENTRY_DELETE : ENTRY_PUT;
    record->version = is_restart ? version_field : scan->version + block_unzigzag(version_field);
    record->key = scan->keys.at;
    scan->keys.at += unshared;
    scan->key_size = (size_t)(shared + unshared);
    scan->version = record->version;
    scan->value_at += (size_t)value_size;
    return true;
}

/* Where a search ended: the record found, with the scan after it. */
struct block_position {
    struct block_scan scan;
    struct block_record record;
    uint32_t group;
    uint32_t in_group;
    bool is_same_key;
};

/* The first record at or after (key, version). The found key's first record.shared bytes are those of
 * `key`. */
NODISCARD enum block_result block_search(const struct block_view *view, struct polarys_slice key,
                                         uint64_t version, struct block_position *position);

static inline struct polarys_slice block_position_value(const struct block_view *view,
                                                        const struct block_scan *scan,
                                                        const struct block_record *record)
{
    return slice_make(view->values.data + scan->value_at - record->value_size, record->value_size);
}

#endif
