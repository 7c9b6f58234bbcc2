/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the payload of a sorted block.
 *
 * A key record is: bytes shared with the key before (varint, 0 at a restart), bytes that follow (varint),
 * value size and kind (varint: size * 2 + is_delete), version (varint: as it is at a restart, else the
 * difference to the entry before, zigzag), the bytes that follow. Values come in the same order in
 * an area of their own.
 */
#include "engine/base/assert.h"
#include "engine/sst/block.h"

enum { RECORD_HEADER_SIZE_MAX = 4 * VARINT64_SIZE_MAX };

void block_builder_deinit(struct block_builder *builder)
{
    buffer_deinit(&builder->restarts);
    buffer_deinit(&builder->keys);
    buffer_deinit(&builder->values);
    buffer_deinit(&builder->first_key);
    buffer_deinit(&builder->last_key);
}

static size_t shared_size(struct polarys_slice a, struct polarys_slice b)
{
    size_t end = a.size < b.size ? a.size : b.size;
    size_t at = 0;
    while (end - at >= sizeof(uint64_t)) {
        uint64_t difference = get_u64_le(a.data + at) ^ get_u64_le(b.data + at);
        if (difference != 0) {
            return at + (size_t)__builtin_ctzll(difference) / 8;
        }
        at += sizeof(uint64_t);
    }
    while (at < end && a.data[at] == b.data[at]) {
        at++;
    }
    return at;
}

static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

/* Begins a group: notes where it is. The key's part is filled in when the block is finished. */
static enum polarys_code add_restart(struct block_builder *builder)
{
    uint8_t restart[BLOCK_RESTART_SIZE] = {0};
    put_u32_le(restart, (uint32_t)builder->keys.size);
    put_u32_le(restart + 4, (uint32_t)builder->values.size);
    return buffer_append(&builder->restarts, restart, sizeof(restart));
}

static enum polarys_code set_key(struct buffer *buffer, struct polarys_slice key)
{
    buffer_clear(buffer);
    return buffer_append_slice(buffer, key);
}

/* Appends the record; its key shares `shared` bytes with the one before. */
static enum polarys_code add_record(struct block_builder *builder, const struct entry *entry,
                                    size_t shared, uint64_t version_field)
{
    size_t unshared = entry->key.size - shared;
    enum polarys_code code = buffer_reserve(&builder->keys, RECORD_HEADER_SIZE_MAX + unshared);
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t *to = builder->keys.data + builder->keys.size;
    uint8_t *from = to;
    to += put_varint(to, shared);
    to += put_varint(to, unshared);
    to += put_varint(to, entry->value.size << 1 | (entry->kind == ENTRY_DELETE));
    to += put_varint(to, version_field);
    if (unshared > 0) {
        memcpy(to, entry->key.data + shared, unshared);
    }
    builder->keys.size += (size_t)(to - from) + unshared;
    return buffer_append_slice(&builder->values, entry->value);
}

enum polarys_code block_builder_add(struct block_builder *builder, const struct entry *entry)
{
    POLARYS_ASSERT(entry->kind == ENTRY_PUT || entry->kind == ENTRY_DELETE);
    POLARYS_ASSERT(entry->key.size > 0 && entry->key.size <= TREE_KEY_SIZE_MAX);
    enum polarys_code code = POLARYS_OK;
    size_t shared = 0;
    uint64_t version_field = entry->version;
    if (builder->entry_count % BLOCK_GROUP_ENTRIES == 0) {
        code = add_restart(builder);
    } else {
        shared = shared_size(buffer_slice(&builder->last_key), entry->key);
        version_field = zigzag(entry->version - builder->last_version);
    }
    if (code == POLARYS_OK && builder->entry_count == 0) {
        code = set_key(&builder->first_key, entry->key);
    }
    if (code == POLARYS_OK) {
        code = add_record(builder, entry, shared, version_field);
    }
    if (code == POLARYS_OK) {
        code = set_key(&builder->last_key, entry->key);
    }
    builder->last_version = entry->version;
    builder->entry_count++;
    return code;
}

size_t block_builder_size(const struct block_builder *builder)
{
    return BLOCK_HEADER_SIZE + builder->restarts.size + builder->keys.size + builder->values.size;
}

/* Fills the keys' parts into the restart array: BLOCK_PART_SIZE bytes after the common prefix, zeros past
 * the end, as a number that sorts as they do. */
static void fill_parts(struct block_builder *builder, size_t prefix_size)
{
    for (size_t at = 0; at < builder->restarts.size; at += BLOCK_RESTART_SIZE) {
        uint8_t *restart = builder->restarts.data + at;
        uint32_t key_at = get_u32_le(restart);
        struct cursor cursor = {builder->keys.data + key_at,
                                builder->keys.data + builder->keys.size};
        uint64_t fields[4];
        for (size_t i = 0; i < 4; i++) {
            bool is_whole = cursor_take_varint(&cursor, &fields[i]);
            POLARYS_ASSERT(is_whole);
        }
        POLARYS_ASSERT(fields[0] == 0 && fields[1] >= prefix_size);
        size_t left = (size_t)fields[1] - prefix_size;
        uint8_t part[BLOCK_PART_SIZE] = {0};
        memcpy(part, cursor.at + prefix_size, left < sizeof(part) ? left : sizeof(part));
        put_u64_le(restart + 8, get_u64_be(part));
    }
}

enum polarys_code block_builder_finish(struct block_builder *builder, struct buffer *payload)
{
    POLARYS_ASSERT(builder->entry_count > 0);
    struct polarys_slice prefix = buffer_slice(&builder->first_key);
    prefix.size = shared_size(prefix, buffer_slice(&builder->last_key));
    fill_parts(builder, prefix.size);
    buffer_clear(payload);
    enum polarys_code code = buffer_reserve(payload, block_builder_size(builder) + prefix.size);
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t header[BLOCK_HEADER_SIZE] = {0};
    put_u32_le(header, (uint32_t)(builder->restarts.size / BLOCK_RESTART_SIZE));
    put_u32_le(header + 4, builder->entry_count);
    put_u32_le(header + 8, (uint32_t)builder->keys.size);
    put_u32_le(header + 12, (uint32_t)prefix.size);
    const struct polarys_slice pieces[] = {
        slice_make(header, sizeof(header)), buffer_slice(&builder->restarts), prefix,
        buffer_slice(&builder->keys),       buffer_slice(&builder->values),
    };
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]) && code == POLARYS_OK; i++) {
        code = buffer_append_slice(payload, pieces[i]);
    }
    buffer_clear(&builder->restarts);
    buffer_clear(&builder->keys);
    buffer_clear(&builder->values);
    builder->entry_count = 0;
    return code;
}
