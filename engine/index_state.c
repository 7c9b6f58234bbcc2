/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and records of system table 4 (docs/formats/catalog.md).
 */
#include "engine/index_state.h"

enum { PROGRESS_FORMAT = 1 };

size_t index_state_key(uint8_t key[INDEX_STATE_KEY_SIZE], uint32_t id, uint8_t kind)
{
    tree_key_put_prefix(key, SYSTEM_DATABASE_ID, SYSTEM_TABLE_INDEXES);
    put_u32_be(key + TREE_KEY_PREFIX_SIZE, id);
    key[TREE_KEY_PREFIX_SIZE + 4] = kind;
    return INDEX_STATE_KEY_SIZE;
}

size_t index_state_bounds(uint32_t id, uint8_t start[INDEX_STATE_KEY_SIZE],
                          uint8_t end[INDEX_STATE_KEY_SIZE])
{
    POLARYS_ASSERT(id < UINT32_MAX);
    (void)index_state_key(start, id, 0);
    (void)index_state_key(end, id + 1, 0);
    return TREE_KEY_PREFIX_SIZE + 4;
}

enum polarys_code index_progress_encode(const struct index_progress *progress, struct buffer *to)
{
    uint8_t head[INDEX_STATE_PROGRESS_SIZE];
    head[0] = PROGRESS_FORMAT;
    put_u64_le(head + 1, progress->document_count);
    enum polarys_code code = buffer_append(to, head, sizeof(head));
    return code == POLARYS_OK ? buffer_append_slice(to, progress->last_key) : code;
}

bool index_progress_decode(struct polarys_slice value, struct index_progress *progress)
{
    if (value.size < INDEX_STATE_PROGRESS_SIZE || value.data[0] != PROGRESS_FORMAT ||
        value.size > INDEX_STATE_PROGRESS_SIZE + USER_KEY_SIZE_MAX) {
        return false;
    }
    progress->document_count = get_u64_le(value.data + 1);
    progress->last_key =
        slice_make(value.data + INDEX_STATE_PROGRESS_SIZE, value.size - INDEX_STATE_PROGRESS_SIZE);
    return true;
}
