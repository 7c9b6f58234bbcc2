/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A skiplist (Pugh, "Skip lists", CACM 33(6), 1990) of effects in an arena, and a list of ranges.
 */
#include "engine/txn/overlay.h"

#include "engine/base/assert.h"

enum { RANGES_FIRST = 4 };

void overlay_init(struct overlay *overlay, struct arena *arena)
{
    *overlay = (struct overlay){.arena = arena, .seed = 0x9e3779b9u};
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for what a transaction writes");
}

/* Branching 4; from a generator (Marsaglia's xorshift32) that need not be secret. */
static uint8_t choose_height(struct overlay *overlay)
{
    uint32_t seed = overlay->seed;
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    overlay->seed = seed;
    uint8_t height = 1;
    while (height < OVERLAY_HEIGHT_MAX && (seed & 3) == 0) {
        seed >>= 2;
        height++;
    }
    return height;
}

/* The links that lead to the first entry at or after `key`, at each level. */
static void find_links(struct overlay *overlay, struct polarys_slice key,
                       struct overlay_entry **links[OVERLAY_HEIGHT_MAX])
{
    struct overlay_entry **next = overlay->heads;
    for (unsigned level = OVERLAY_HEIGHT_MAX; level-- > 0;) {
        while (next[level] != NULL && slice_compare(next[level]->key, key) < 0) {
            next = next[level]->next;
        }
        links[level] = &next[level];
    }
}

/* The entry of `key`, made when there is none. NULL for lack of memory. */
static struct overlay_entry *entry_get(struct overlay *overlay, struct polarys_slice key)
{
    struct overlay_entry **links[OVERLAY_HEIGHT_MAX];
    find_links(overlay, key, links);
    struct overlay_entry *found = *links[0];
    if (found != NULL && slice_equal(found->key, key)) {
        return found;
    }
    uint8_t height = choose_height(overlay);
    size_t size = sizeof(*found) + height * sizeof(found->next[0]);
    struct overlay_entry *entry = arena_alloc(overlay->arena, size);
    if (entry == NULL) {
        return NULL;
    }
    entry->key = key;
    entry->height = height;
    for (unsigned level = 0; level < height; level++) {
        entry->next[level] = *links[level];
        *links[level] = entry;
    }
    overlay->entry_count++;
    overlay->bytes += size;
    return entry;
}

enum polarys_code overlay_put(struct overlay *overlay, struct polarys_slice key,
                              struct polarys_slice value, struct polarys_error *err)
{
    struct overlay_entry *entry = entry_get(overlay, key);
    if (entry == NULL) {
        return fail_memory(err);
    }
    entry->value = value;
    entry->is_delete = false;
    return POLARYS_OK;
}

enum polarys_code overlay_delete(struct overlay *overlay, struct polarys_slice key,
                                 struct polarys_error *err)
{
    struct overlay_entry *entry = entry_get(overlay, key);
    if (entry == NULL) {
        return fail_memory(err);
    }
    entry->value = slice_make(NULL, 0);
    entry->is_delete = true;
    return POLARYS_OK;
}

static bool ranges_reserve(struct overlay *overlay)
{
    if (overlay->range_count < overlay->range_capacity) {
        return true;
    }
    size_t capacity = overlay->range_capacity == 0 ? RANGES_FIRST : 2 * overlay->range_capacity;
    struct commit_range *grown = arena_alloc(overlay->arena, capacity * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    if (overlay->range_count > 0) {
        memcpy(grown, overlay->ranges, overlay->range_count * sizeof(*grown));
    }
    overlay->ranges = grown;
    overlay->range_capacity = capacity;
    overlay->bytes += capacity * sizeof(*grown);
    return true;
}

enum polarys_code overlay_delete_range(struct overlay *overlay, struct commit_range range,
                                       struct polarys_error *err)
{
    if (!ranges_reserve(overlay)) {
        return fail_memory(err);
    }
    overlay->ranges[overlay->range_count++] = range;
    struct overlay_entry **links[OVERLAY_HEIGHT_MAX];
    find_links(overlay, range.start, links);
    for (struct overlay_entry *entry = *links[0];
         entry != NULL && slice_compare(entry->key, range.end) < 0; entry = entry->next[0]) {
        POLARYS_ASSERT(commit_range_holds(&range, entry->key));
        entry->value = slice_make(NULL, 0);
        entry->is_delete = true;
    }
    return POLARYS_OK;
}

const struct overlay_entry *overlay_seek(const struct overlay *overlay, struct polarys_slice key)
{
    struct overlay_entry *const *next = overlay->heads;
    for (unsigned level = OVERLAY_HEIGHT_MAX; level-- > 0;) {
        while (next[level] != NULL && slice_compare(next[level]->key, key) < 0) {
            next = next[level]->next;
        }
    }
    return next[0];
}

enum overlay_answer overlay_find(const struct overlay *overlay, struct polarys_slice key,
                                 struct polarys_slice *value)
{
    *value = slice_make(NULL, 0);
    if (overlay->entry_count > 0) {
        const struct overlay_entry *entry = overlay_seek(overlay, key);
        if (entry != NULL && slice_equal(entry->key, key)) {
            *value = entry->value;
            return entry->is_delete ? OVERLAY_DELETED : OVERLAY_PUT;
        }
    }
    for (size_t i = 0; i < overlay->range_count; i++) {
        if (commit_range_holds(&overlay->ranges[i], key)) {
            return OVERLAY_DELETED;
        }
    }
    return OVERLAY_UNTOUCHED;
}
