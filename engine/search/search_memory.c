/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in memory as a view: what a transaction wrote and nobody else sees.
 *
 * Invariant: while an iterator lives, the entries are sorted, each key once, and do not move. They are
 * sorted when the first walk begins after a change; of equal keys the one put last stays.
 */
#include "engine/search/search_query.h"

#include <stdlib.h>

#include "engine/base/assert.h"

struct memory_entry {
    uint8_t *bytes; /* key, then value */
    size_t key_size;
    size_t value_size;
    size_t order; /* of putting */
};

struct search_memory {
    struct memory_entry *entries;
    size_t count;
    size_t capacity;
    bool is_sorted;
    size_t iterator_count;
};

struct memory_iterator {
    struct entry_iterator base;
    struct search_memory *memory;
    size_t first; /* the bounds are [first, end) */
    size_t end;
    size_t at;
};

/* ---- entries ---- */

enum polarys_code search_memory_create(struct search_memory **out, struct polarys_error *err)
{
    *out = calloc(1, sizeof(**out));
    return *out != NULL ? POLARYS_OK
                        : polarys_fail(err, POLARYS_NO_MEMORY, "no memory to search own writes");
}

void search_memory_destroy(struct search_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    POLARYS_ASSERT(memory->iterator_count == 0);
    for (size_t i = 0; i < memory->count; i++) {
        free(memory->entries[i].bytes);
    }
    free(memory->entries);
    free(memory);
}

enum polarys_code search_memory_put(void *memory_pointer, struct polarys_slice key,
                                    struct polarys_slice value)
{
    struct search_memory *memory = memory_pointer;
    POLARYS_ASSERT(memory->iterator_count == 0 && key.size > 0);
    if (memory->count == memory->capacity) {
        size_t capacity = memory->capacity == 0 ? 64 : memory->capacity * 2;
        struct memory_entry *entries = realloc(memory->entries, capacity * sizeof(*entries));
        if (entries == NULL) {
            return POLARYS_NO_MEMORY;
        }
        memory->entries = entries;
        memory->capacity = capacity;
    }
    uint8_t *bytes = malloc(key.size + value.size);
    if (bytes == NULL) {
        return POLARYS_NO_MEMORY;
    }
    memcpy(bytes, key.data, key.size);
    if (value.size > 0) {
        memcpy(bytes + key.size, value.data, value.size);
    }
    memory->entries[memory->count] = (struct memory_entry){
        .bytes = bytes, .key_size = key.size, .value_size = value.size, .order = memory->count};
    memory->count++;
    memory->is_sorted = false;
    return POLARYS_OK;
}

static struct polarys_slice entry_key(const struct memory_entry *entry)
{
    return slice_make(entry->bytes, entry->key_size);
}

/* By key; of equal ones the newest first. */
static int memory_order(const void *a, const void *b)
{
    const struct memory_entry *left = a;
    const struct memory_entry *right = b;
    int order = slice_compare(entry_key(left), entry_key(right));
    return order != 0 ? order : (left->order < right->order) - (left->order > right->order);
}

static void memory_sort(struct search_memory *memory)
{
    if (memory->is_sorted || memory->count == 0) {
        return;
    }
    size_t kept = 1;
    qsort(memory->entries, memory->count, sizeof(*memory->entries), memory_order);
    for (size_t i = 1; i < memory->count; i++) {
        if (slice_equal(entry_key(&memory->entries[kept - 1]), entry_key(&memory->entries[i]))) {
            free(memory->entries[i].bytes);
        } else {
            memory->entries[kept++] = memory->entries[i];
        }
    }
    memory->count = kept;
    memory->is_sorted = true;
    /* Orders stay unique: later ones are counted from here, above all that are left. */
    for (size_t i = 0; i < kept; i++) {
        memory->entries[i].order = i;
    }
}

/* The index of the first entry at or after `key`. */
static size_t memory_find(const struct search_memory *memory, struct polarys_slice key)
{
    size_t first = 0;
    size_t end = memory->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (slice_compare(entry_key(&memory->entries[middle]), key) < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first;
}

/* ---- walks ---- */

static void memory_show(struct memory_iterator *iterator, size_t at)
{
    iterator->at = at;
    iterator->base.is_valid = at >= iterator->first && at < iterator->end;
    if (iterator->base.is_valid) {
        const struct memory_entry *entry = &iterator->memory->entries[at];
        iterator->base.entry = (struct entry){
            .key = entry_key(entry),
            .value = slice_make(entry->bytes + entry->key_size, entry->value_size),
            .version = VERSION_MAX,
            .kind = ENTRY_PUT,
        };
    }
}

static void memory_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    struct memory_iterator *iterator = (struct memory_iterator *)base;
    (void)version; /* each key has one */
    size_t at = memory_find(iterator->memory, key);
    memory_show(iterator, at < iterator->first ? iterator->first : at);
}

static void memory_seek_first(struct entry_iterator *base)
{
    struct memory_iterator *iterator = (struct memory_iterator *)base;
    memory_show(iterator, iterator->first);
}

static void memory_seek_last(struct entry_iterator *base)
{
    struct memory_iterator *iterator = (struct memory_iterator *)base;
    memory_show(iterator, iterator->end - 1); /* wraps to no valid index when there is none */
}

static void memory_next(struct entry_iterator *base)
{
    struct memory_iterator *iterator = (struct memory_iterator *)base;
    memory_show(iterator, iterator->at + 1);
}

static void memory_previous(struct entry_iterator *base)
{
    struct memory_iterator *iterator = (struct memory_iterator *)base;
    memory_show(iterator, iterator->at - 1);
}

static void memory_iterator_destroy(struct entry_iterator *base)
{
    struct memory_iterator *iterator = (struct memory_iterator *)base;
    iterator->memory->iterator_count--;
    free(iterator);
}

static const struct entry_iterator_vtable memory_iterator_vtable = {
    .seek = memory_seek,
    .seek_first = memory_seek_first,
    .seek_last = memory_seek_last,
    .next = memory_next,
    .previous = memory_previous,
    .destroy = memory_iterator_destroy,
};

static enum polarys_code memory_iterate(void *context, struct polarys_slice start,
                                        struct polarys_slice end, struct entry_iterator **out,
                                        struct polarys_error *err)
{
    struct search_memory *memory = context;
    struct memory_iterator *iterator = calloc(1, sizeof(*iterator));
    *out = NULL;
    if (iterator == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to search own writes");
    }
    memory_sort(memory);
    memory->iterator_count++;
    iterator->base.vtable = &memory_iterator_vtable;
    iterator->memory = memory;
    iterator->first = memory_find(memory, start);
    iterator->end = memory_find(memory, end);
    iterator->end = iterator->end < iterator->first ? iterator->first : iterator->end;
    *out = &iterator->base;
    return POLARYS_OK;
}

struct search_view search_memory_view(struct search_memory *memory)
{
    struct search_view view = {.iterate = memory_iterate, .context = memory};
    return view;
}
