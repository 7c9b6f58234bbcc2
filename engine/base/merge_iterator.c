/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging: a binary heap of the children that stand on an entry.
 *
 * Invariant: forwards, every child but the one at the top stands on its first entry after the merge's
 * position; backwards on its last entry before it. Turning round therefore seeks every other child anew.
 * Children with equal entries count as ordered by their place, so that the order is total.
 */
#include "engine/base/merge_iterator.h"

#include <stdlib.h>

struct merge_child {
    struct entry_iterator *iterator;
    size_t place;
};

struct merge_iterator {
    struct entry_iterator base;
    size_t child_count;
    size_t heap_size;
    bool is_forward;
    struct merge_child *heap; /* those on an entry first, then the others in any order */
    struct merge_child children[];
};

static struct merge_iterator *from_base(struct entry_iterator *base)
{
    return (struct merge_iterator *)base;
}

/* Whether a comes before b in the direction of the walk. */
static bool comes_first(const struct merge_iterator *merge, const struct merge_child *a,
                        const struct merge_child *b)
{
    const struct entry *x = &a->iterator->entry;
    const struct entry *y = &b->iterator->entry;
    int order = entry_compare(x->key, x->version, y->key, y->version);
    if (order == 0) {
        order = a->place < b->place ? -1 : 1;
    }
    return merge->is_forward ? order < 0 : order > 0;
}

static void sift_down(struct merge_iterator *merge, size_t at)
{
    struct merge_child moving = merge->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= merge->heap_size) {
            break;
        }
        if (child + 1 < merge->heap_size &&
            comes_first(merge, &merge->heap[child + 1], &merge->heap[child])) {
            child++;
        }
        if (!comes_first(merge, &merge->heap[child], &moving)) {
            break;
        }
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = moving;
}

/* Ends the walk with the error of a child. */
static void stop_with(struct merge_iterator *merge, const struct entry_iterator *child)
{
    merge->base.is_valid = false;
    merge->base.code = child->code;
    merge->base.error = child->error;
}

/* Shows the entry at the top of the heap, or the end. */
static void show_top(struct merge_iterator *merge)
{
    merge->base.code = POLARYS_OK;
    merge->base.is_valid = merge->heap_size > 0;
    if (merge->base.is_valid) {
        merge->base.entry = merge->heap[0].iterator->entry;
    }
}

/* Builds the heap from where the children stand, unless one has failed. */
static void build(struct merge_iterator *merge, bool is_forward)
{
    merge->is_forward = is_forward;
    merge->heap_size = 0;
    for (size_t i = 0; i < merge->child_count; i++) {
        const struct entry_iterator *child = merge->children[i].iterator;
        if (child->is_valid) {
            merge->heap[merge->heap_size++] = merge->children[i];
        } else if (child->code != POLARYS_OK) {
            stop_with(merge, child);
            return;
        }
    }
    for (size_t at = merge->heap_size / 2; at-- > 0;) {
        sift_down(merge, at);
    }
    show_top(merge);
}

static void merge_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    struct merge_iterator *merge = from_base(base);
    for (size_t i = 0; i < merge->child_count; i++) {
        entry_iterator_seek(merge->children[i].iterator, key, version);
    }
    build(merge, true);
}

static void merge_seek_first(struct entry_iterator *base)
{
    struct merge_iterator *merge = from_base(base);
    for (size_t i = 0; i < merge->child_count; i++) {
        entry_iterator_seek_first(merge->children[i].iterator);
    }
    build(merge, true);
}

static void merge_seek_last(struct entry_iterator *base)
{
    struct merge_iterator *merge = from_base(base);
    for (size_t i = 0; i < merge->child_count; i++) {
        entry_iterator_seek_last(merge->children[i].iterator);
    }
    build(merge, false);
}

/* Puts the top child, which has moved, where it belongs. */
static void top_moved(struct merge_iterator *merge)
{
    const struct entry_iterator *top = merge->heap[0].iterator;
    if (!top->is_valid) {
        if (top->code != POLARYS_OK) {
            stop_with(merge, top);
            return;
        }
        merge->heap[0] = merge->heap[--merge->heap_size];
    }
    if (merge->heap_size > 1) {
        sift_down(merge, 0);
    }
    show_top(merge);
}

/*
 * Moves `child` to its nearest entry on the far side of `at`, the entry of the child at `top_place`.
 * An equal entry lies before it in an earlier child and after it in a later one.
 */
static void turn_child(struct merge_child *child, const struct entry *at, size_t top_place,
                       bool to_forward)
{
    struct entry_iterator *iterator = child->iterator;
    entry_iterator_seek(iterator, at->key, at->version);
    if (!iterator->is_valid) {
        if (iterator->code == POLARYS_OK && !to_forward) {
            entry_iterator_seek_last(iterator);
        }
        return;
    }
    bool is_equal =
        entry_compare(iterator->entry.key, iterator->entry.version, at->key, at->version) == 0;
    bool is_earlier = child->place < top_place;
    if (to_forward && is_equal && is_earlier) {
        entry_iterator_next(iterator);
    } else if (!to_forward && !(is_equal && is_earlier)) {
        entry_iterator_previous(iterator);
    }
}

/* Turns the walk round: every child but the top goes to the far side, then the top makes its step. */
static void turn(struct merge_iterator *merge, bool to_forward)
{
    struct merge_child top = merge->heap[0];
    for (size_t i = 0; i < merge->child_count; i++) {
        if (merge->children[i].place != top.place) {
            /* The top's entry is borrowed from the top, which has not moved yet. */
            turn_child(&merge->children[i], &top.iterator->entry, top.place, to_forward);
        }
    }
    if (to_forward) {
        entry_iterator_next(top.iterator);
    } else {
        entry_iterator_previous(top.iterator);
    }
    build(merge, to_forward);
}

static void merge_next(struct entry_iterator *base)
{
    struct merge_iterator *merge = from_base(base);
    if (!merge->is_forward) {
        turn(merge, true);
        return;
    }
    entry_iterator_next(merge->heap[0].iterator);
    top_moved(merge);
}

static void merge_previous(struct entry_iterator *base)
{
    struct merge_iterator *merge = from_base(base);
    if (merge->is_forward) {
        turn(merge, false);
        return;
    }
    entry_iterator_previous(merge->heap[0].iterator);
    top_moved(merge);
}

static void merge_destroy(struct entry_iterator *base)
{
    struct merge_iterator *merge = from_base(base);
    for (size_t i = 0; i < merge->child_count; i++) {
        entry_iterator_destroy(merge->children[i].iterator);
    }
    free(merge);
}

static const struct entry_iterator_vtable merge_iterator_vtable = {
    .seek = merge_seek,
    .seek_first = merge_seek_first,
    .seek_last = merge_seek_last,
    .next = merge_next,
    .previous = merge_previous,
    .destroy = merge_destroy,
};

enum polarys_code merge_iterator_create(struct entry_iterator **take_children, size_t count,
                                        struct entry_iterator **out, struct polarys_error *err)
{
    POLARYS_ASSERT(count <= MERGE_ITERATOR_CHILDREN_MAX);
    *out = NULL;
    struct merge_iterator *merge =
        calloc(1, sizeof(*merge) + 2 * count * sizeof(struct merge_child));
    if (merge == NULL) {
        for (size_t i = 0; i < count; i++) {
            entry_iterator_destroy(take_children[i]);
        }
        return polarys_fail(err, POLARYS_NO_MEMORY, "merge of %zu iterators: out of memory", count);
    }
    merge->base.vtable = &merge_iterator_vtable;
    merge->child_count = count;
    merge->is_forward = true;
    merge->heap = merge->children + count;
    for (size_t i = 0; i < count; i++) {
        merge->children[i] = (struct merge_child){take_children[i], i};
    }
    *out = &merge->base;
    return POLARYS_OK;
}
