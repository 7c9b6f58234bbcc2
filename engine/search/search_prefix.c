/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of all terms that begin with a prefix, as one list in id order.
 *
 * Invariant: a list has each document once; its memory is bounded, and with it what one prefix can cost.
 *
 * Postings come ordered by term first, so they are gathered, sorted by id, and those of one document
 * joined.
 */
#include "engine/search/search_internal.h"

#include <stdlib.h>

struct gathering {
    struct search_list *list;
    struct search_walk *walk;
    size_t capacity;
};

static enum polarys_code fail_limit(struct gathering *gathering)
{
    return polarys_fail(gathering->walk->err, POLARYS_MEMORY_LIMIT,
                        "a prefix in the search stands for too many words: give more letters");
}

static enum polarys_code copy_slice(struct gathering *gathering, struct polarys_slice *slice)
{
    if (slice->size == 0) {
        return POLARYS_OK;
    }
    uint8_t *copy = arena_alloc(&gathering->list->arena, slice->size);
    if (copy == NULL) {
        return fail_limit(gathering);
    }
    memcpy(copy, slice->data, slice->size);
    slice->data = copy;
    return POLARYS_OK;
}

static enum polarys_code gather(struct gathering *gathering, const struct entry *entry)
{
    struct search_list *list = gathering->list;
    struct search_posting posting;
    struct polarys_slice term;
    struct polarys_slice id;
    if (!search_posting_key_split(entry->key, &term, &id) ||
        !search_posting_decode(entry->value, &posting) ||
        search_id_is_hashed(id.size) != (posting.head.document_key.size > 0)) {
        return search_walk_fail_corrupt(gathering->walk);
    }
    if (list->count == gathering->capacity) {
        size_t capacity = gathering->capacity == 0 ? 256 : gathering->capacity * 2;
        if (capacity * sizeof(*list->items) > SEARCH_PREFIX_MEMORY_MAX) {
            return fail_limit(gathering);
        }
        struct search_listed *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL) {
            return search_walk_fail_memory(gathering->walk);
        }
        list->items = items;
        gathering->capacity = capacity;
    }
    struct search_listed *added = &list->items[list->count];
    *added = (struct search_listed){.id = id, .head = posting.head, .count = posting.count};
    enum polarys_code code = copy_slice(gathering, &added->id);
    if (code == POLARYS_OK) {
        code = copy_slice(gathering, &added->head.document_key);
    }
    list->count += code == POLARYS_OK ? 1 : 0;
    return code;
}

static int listed_order(const void *a, const void *b)
{
    const struct search_listed *left = a;
    const struct search_listed *right = b;
    return slice_compare(left->id, right->id);
}

/* Sorts, and makes one of those with one id. */
static void list_join(struct search_list *list)
{
    size_t kept = 0;
    if (list->count == 0) {
        return;
    }
    qsort(list->items, list->count, sizeof(*list->items), listed_order);
    for (size_t i = 1; i < list->count; i++) {
        if (slice_equal(list->items[kept].id, list->items[i].id)) {
            list->items[kept].count += list->items[i].count;
        } else {
            list->items[++kept] = list->items[i];
        }
    }
    list->count = kept + 1;
}

enum polarys_code search_list_init(struct search_list *list, struct search_walk *walk,
                                   struct polarys_slice prefix)
{
    struct gathering gathering = {.list = list, .walk = walk};
    struct entry_iterator *iterator;
    struct search_range range;
    *list = (struct search_list){0};
    arena_init(&list->arena, SEARCH_PREFIX_MEMORY_MAX);
    search_range_of_prefix(walk->options->database_id, walk->options->index_id, prefix, &range);
    enum polarys_code code = walk->view->iterate(walk->view->context, search_range_start(&range),
                                                 search_range_end(&range), &iterator, walk->err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid && code == POLARYS_OK) {
        code = gather(&gathering, &iterator->entry);
        if (code == POLARYS_OK) {
            code = search_walk_step(walk);
        }
        if (code == POLARYS_OK) {
            entry_iterator_next(iterator);
        }
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (walk->err != NULL) {
            *walk->err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    list_join(list);
    return code;
}

void search_list_deinit(struct search_list *list)
{
    free(list->items);
    arena_deinit(&list->arena);
    *list = (struct search_list){0};
}
