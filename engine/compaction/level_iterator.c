/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the files of one level, one after the other, as one. A file is opened when the walk reaches it,
 * and only one is open at a time.
 */
#include "engine/compaction/tree_internal.h"

#include <stdlib.h>

struct level_iterator {
    struct entry_iterator base;
    struct tree *tree;
    struct tree_file **files; /* borrowed */
    size_t count;
    size_t index; /* of the file that `inner` walks */
    unsigned flags;
    struct entry_iterator *inner; /* NULL before the first move */
};

static void fail(struct level_iterator *iterator, enum polarys_code code)
{
    iterator->base.is_valid = false;
    iterator->base.code = code;
}

/* Makes `inner` walk file `index`. */
static bool open_file(struct level_iterator *iterator, size_t index)
{
    if (iterator->inner != NULL && iterator->index == index &&
        iterator->inner->code == POLARYS_OK) {
        return true;
    }
    entry_iterator_destroy(iterator->inner);
    iterator->inner = NULL;
    iterator->index = index;
    struct table *table;
    enum polarys_code code = tree_file_table(iterator->tree, iterator->files[index],
                                             (iterator->flags & TABLE_READ_MEMORY_ONLY) != 0,
                                             &table, &iterator->base.error);
    if (code == POLARYS_OK) {
        code =
            table_iterator_create(table, iterator->flags, &iterator->inner, &iterator->base.error);
    }
    if (code != POLARYS_OK) {
        fail(iterator, code);
    }
    return code == POLARYS_OK;
}

/* Takes over where `inner` stands, after moving on through files that have nothing there. */
static void settle(struct level_iterator *iterator, bool is_forward)
{
    struct entry_iterator *base = &iterator->base;
    base->is_valid = false;
    base->code = POLARYS_OK;
    while (!iterator->inner->is_valid) {
        if (iterator->inner->code != POLARYS_OK) {
            base->error = iterator->inner->error;
            fail(iterator, iterator->inner->code);
            return;
        }
        if (is_forward ? iterator->index + 1 >= iterator->count : iterator->index == 0) {
            return;
        }
        if (!open_file(iterator, is_forward ? iterator->index + 1 : iterator->index - 1)) {
            return;
        }
        if (is_forward) {
            entry_iterator_seek_first(iterator->inner);
        } else {
            entry_iterator_seek_last(iterator->inner);
        }
    }
    base->entry = iterator->inner->entry;
    base->is_valid = true;
}

static void level_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    struct level_iterator *iterator = (struct level_iterator *)base;
    size_t low = 0;
    size_t high = iterator->count;
    while (low < high) { /* the first file that begins after the key */
        size_t middle = (low + high) / 2;
        if (slice_compare(tree_file_smallest(iterator->files[middle]), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* Of two files that touch at the key, the later one has its entries: the earlier one only ends there. */
    if (low > 0 && slice_compare(tree_file_largest(iterator->files[low - 1]), key) >= 0) {
        low--;
    }
    base->is_valid = false;
    base->code = POLARYS_OK;
    if (low < iterator->count && open_file(iterator, low)) {
        entry_iterator_seek(iterator->inner, key, version);
        settle(iterator, true);
    }
}

static void level_seek_first(struct entry_iterator *base)
{
    struct level_iterator *iterator = (struct level_iterator *)base;
    base->is_valid = false;
    base->code = POLARYS_OK;
    if (iterator->count > 0 && open_file(iterator, 0)) {
        entry_iterator_seek_first(iterator->inner);
        settle(iterator, true);
    }
}

static void level_seek_last(struct entry_iterator *base)
{
    struct level_iterator *iterator = (struct level_iterator *)base;
    base->is_valid = false;
    base->code = POLARYS_OK;
    if (iterator->count > 0 && open_file(iterator, iterator->count - 1)) {
        entry_iterator_seek_last(iterator->inner);
        settle(iterator, false);
    }
}

static void level_next(struct entry_iterator *base)
{
    struct level_iterator *iterator = (struct level_iterator *)base;
    entry_iterator_next(iterator->inner);
    if (__builtin_expect(iterator->inner->is_valid, 1)) {
        base->entry = iterator->inner->entry;
        return;
    }
    settle(iterator, true);
}

static void level_previous(struct entry_iterator *base)
{
    struct level_iterator *iterator = (struct level_iterator *)base;
    entry_iterator_previous(iterator->inner);
    if (__builtin_expect(iterator->inner->is_valid, 1)) {
        base->entry = iterator->inner->entry;
        return;
    }
    settle(iterator, false);
}

static void level_destroy(struct entry_iterator *base)
{
    struct level_iterator *iterator = (struct level_iterator *)base;
    entry_iterator_destroy(iterator->inner);
    free(iterator);
}

static const struct entry_iterator_vtable level_iterator_vtable = {
    .seek = level_seek,
    .seek_first = level_seek_first,
    .seek_last = level_seek_last,
    .next = level_next,
    .previous = level_previous,
    .destroy = level_destroy,
};

enum polarys_code level_iterator_create(struct tree *tree, struct tree_file **files, size_t count,
                                        unsigned flags, struct entry_iterator **out,
                                        struct polarys_error *err)
{
    *out = NULL;
    struct level_iterator *iterator = calloc(1, sizeof(*iterator));
    if (iterator == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for an iterator");
    }
    iterator->base.vtable = &level_iterator_vtable;
    iterator->tree = tree;
    iterator->files = files;
    iterator->count = count;
    iterator->flags = flags;
    *out = &iterator->base;
    return POLARYS_OK;
}
