/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys lie in an array in the order of reading, found through a hash table once there are more than a few.
 * Bounds of ranges lie in buffers, since a walk moves them with every step.
 */
#include "engine/txn/read_set.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"

enum {
    RANGES_FIRST = 4,
    RANGES_LOOKED_AT = 8, /* the latest, which a new one may join */
};

void read_set_init(struct read_set *set, struct arena *arena)
{
    *set = (struct read_set){
        .arena = arena,
        .key_capacity = READ_SET_INLINE,
        .oldest_version = UINT64_MAX,
    };
    set->keys = set->keys_inline;
}

void read_set_deinit(struct read_set *set)
{
    for (size_t i = 0; i < set->range_count; i++) {
        buffer_deinit(&set->ranges[i].start);
        buffer_deinit(&set->ranges[i].end);
    }
    free(set->ranges);
    if (set->keys != set->keys_inline) {
        free(set->keys);
    }
    free(set->slots);
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for what a transaction reads");
}

/* The slot that holds `key` or would. REQUIRES: there are slots. */
static uint32_t *slot_find(const struct read_set *set, struct polarys_slice key)
{
    /* NOLINTBEGIN(clang-analyzer-core.CallAndMessage): a slot names a key that is there */
    size_t slot = (size_t)checksum_hash64(key) & (set->slot_count - 1);
    while (set->slots[slot] != 0 && !slice_equal(set->keys[set->slots[slot] - 1].key, key)) {
        slot = (slot + 1) & (set->slot_count - 1);
    }
    /* NOLINTEND(clang-analyzer-core.CallAndMessage) */
    return &set->slots[slot];
}

const struct read_key *read_set_find(const struct read_set *set, struct polarys_slice key)
{
    if (set->slots != NULL) {
        uint32_t index = *slot_find(set, key);
        return index == 0 ? NULL : &set->keys[index - 1];
    }
    for (size_t i = 0; i < set->key_count; i++) {
        if (slice_equal(set->keys[i].key, key)) {
            return &set->keys[i];
        }
    }
    return NULL;
}

/* Twice the keys, and four slots a key. False for lack of memory: then nothing has changed. */
static bool keys_grow(struct read_set *set)
{
    size_t capacity = 2 * set->key_capacity;
    size_t slot_count = 4 * capacity;
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    bool is_inline = set->keys == set->keys_inline;
    struct read_key *keys = realloc(is_inline ? NULL : set->keys, capacity * sizeof(*keys));
    if (keys != NULL && is_inline) {
        memcpy(keys, set->keys_inline, sizeof(set->keys_inline));
    }
    if (keys != NULL) {
        set->keys = keys; /* the old one is gone, whatever becomes of the slots */
    }
    if (keys == NULL || slots == NULL) {
        free(slots);
        return false;
    }
    set->bytes += (capacity - set->key_capacity) * (sizeof(*keys) + 4 * sizeof(*slots));
    free(set->slots);
    set->key_capacity = capacity;
    set->slots = slots;
    set->slot_count = slot_count;
    for (size_t i = 0; i < set->key_count; i++) {
        *slot_find(set, keys[i].key) = (uint32_t)i + 1;
    }
    return true;
}

static void note_version(struct read_set *set, uint64_t read_version)
{
    POLARYS_ASSERT(read_version > 0);
    if (read_version < set->oldest_version) {
        set->oldest_version = read_version;
    }
}

enum polarys_code read_set_note_key(struct read_set *set, struct polarys_slice key,
                                    uint64_t version, uint64_t read_version,
                                    struct polarys_error *err)
{
    if (read_set_find(set, key) != NULL) {
        return POLARYS_OK;
    }
    if (set->key_count == set->key_capacity && !keys_grow(set)) {
        return fail_memory(err);
    }
    char *copy = arena_copy(set->arena, key);
    if (copy == NULL) {
        return fail_memory(err);
    }
    POLARYS_ASSERT(set->keys != NULL && set->key_count < set->key_capacity);
    struct read_key *noted = &set->keys[set->key_count];
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference,clang-analyzer-unix.Malloc): there is room */
    *noted = (struct read_key){slice_make(copy, key.size), version};
    if (set->slots != NULL) {
        *slot_find(set, noted->key) = (uint32_t)set->key_count + 1;
    }
    set->key_count++;
    set->bytes += key.size + sizeof(*noted);
    note_version(set, read_version);
    return POLARYS_OK;
}

/* Replaces the bound. */
static enum polarys_code bound_set(struct read_set *set, struct buffer *bound,
                                   struct polarys_slice key)
{
    size_t before = bound->capacity;
    if (key.size > bound->size && buffer_reserve(bound, key.size - bound->size) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    set->bytes += bound->capacity - before;
    buffer_clear(bound);
    return buffer_append_slice(bound, key);
}

/* Makes `to` cover `range` too, which touches it. Grown at one end only, it stays right without memory. */
static enum polarys_code range_join(struct read_set *set, struct read_range *to,
                                    struct commit_range range)
{
    enum polarys_code code = POLARYS_OK;
    if (slice_compare(range.start, buffer_slice(&to->start)) < 0) {
        code = bound_set(set, &to->start, range.start);
    }
    if (code == POLARYS_OK && slice_compare(range.end, buffer_slice(&to->end)) > 0) {
        code = bound_set(set, &to->end, range.end);
    }
    return code;
}

static bool touches(const struct read_range *to, const struct commit_range *range,
                    uint64_t read_version)
{
    return to->version == read_version &&
           slice_compare(range->start, buffer_slice(&to->end)) <= 0 &&
           slice_compare(buffer_slice(&to->start), range->end) <= 0;
}

static enum polarys_code range_add(struct read_set *set, struct commit_range range,
                                   uint64_t read_version)
{
    if (set->range_count == set->range_capacity) {
        size_t capacity = set->range_capacity == 0 ? RANGES_FIRST : 2 * set->range_capacity;
        struct read_range *grown = realloc(set->ranges, capacity * sizeof(*grown));
        if (grown == NULL) {
            return POLARYS_NO_MEMORY;
        }
        set->bytes += (capacity - set->range_capacity) * sizeof(*grown);
        set->ranges = grown;
        set->range_capacity = capacity;
    }
    struct read_range *to = &set->ranges[set->range_count];
    *to = (struct read_range){.version = read_version};
    if (bound_set(set, &to->start, range.start) != POLARYS_OK ||
        bound_set(set, &to->end, range.end) != POLARYS_OK) {
        buffer_deinit(&to->start);
        buffer_deinit(&to->end);
        return POLARYS_NO_MEMORY;
    }
    set->range_count++;
    return POLARYS_OK;
}

enum polarys_code read_set_note_range(struct read_set *set, struct commit_range range,
                                      uint64_t read_version, struct polarys_error *err)
{
    if (slice_compare(range.start, range.end) >= 0) {
        return POLARYS_OK;
    }
    enum polarys_code code = POLARYS_OK;
    size_t first = set->range_count > RANGES_LOOKED_AT ? set->range_count - RANGES_LOOKED_AT : 0;
    size_t at = set->range_count;
    while (at > first && !touches(&set->ranges[at - 1], &range, read_version)) {
        at--;
    }
    code = at > first ? range_join(set, &set->ranges[at - 1], range)
                      : range_add(set, range, read_version);
    if (code != POLARYS_OK) {
        return fail_memory(err);
    }
    note_version(set, read_version);
    return POLARYS_OK;
}
