/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks of the live keys: a merge of all sources, and above it the layer that shows each key once, as of
 * a snapshot, without what deletes and range deletes hide.
 *
 * Invariant, walking forward: the merge stands at the entry shown. Walking backward: the entry shown is a
 * copy, and the merge stands before all entries of its key.
 *
 * Sources are opened, and the range deletes gathered, at the first move, so making an iterator does no
 * input or output.
 */
#include "engine/compaction/range_cover.h"
#include "engine/compaction/tree_internal.h"

#include "engine/base/merge_iterator.h"

#include <stdlib.h>

enum {
    /* Hidden entries of one key that are stepped over before seeking past the rest. */
    ITERATOR_STEPS_MAX = 8,
};

enum direction {
    DIRECTION_NONE, /* nothing shown */
    DIRECTION_FORWARD,
    DIRECTION_BACKWARD,
};

struct tree_iterator {
    struct entry_iterator base;
    struct tree *tree;
    struct tree_version *version;
    struct entry_iterator *merge; /* NULL before the first move */
    struct range_cover cover;
    size_t cover_hint;
    uint64_t snapshot;
    unsigned table_flags;
    enum direction direction;
    struct buffer start;
    struct buffer end;   /* empty: no end */
    struct buffer key;   /* of the entry shown */
    struct buffer value; /* backward: of the entry shown */
};

static void fail(struct tree_iterator *iterator, enum polarys_code code)
{
    iterator->base.is_valid = false;
    iterator->base.code = code;
    iterator->direction = DIRECTION_NONE;
}

static void fail_memory(struct tree_iterator *iterator)
{
    fail(iterator,
         polarys_fail(&iterator->base.error, POLARYS_NO_MEMORY, "no memory for an iterator"));
}

/* Nothing more to show: the end, or the merge's error. */
static void stop(struct tree_iterator *iterator)
{
    iterator->base.is_valid = false;
    iterator->direction = DIRECTION_NONE;
    iterator->base.code = iterator->merge->code;
    if (iterator->merge->code != POLARYS_OK) {
        iterator->base.error = iterator->merge->error;
        polarys_wrap(&iterator->base.error, iterator->base.code, "walk the tree");
    }
}

/* ---- sources ---- */

struct source_list {
    struct entry_iterator **items;
    size_t count;
    struct range_list range_deletes;
    const struct tree_iterator *iterator;
    bool is_out_of_memory;
};

/* Keeps a range delete that the snapshot sees and that reaches into the bounds. */
static bool note_range_delete(void *context, const struct range_delete *range_delete)
{
    struct source_list *list = context;
    const struct tree_iterator *iterator = list->iterator;
    if (range_delete->version > iterator->snapshot ||
        slice_compare(range_delete->end, buffer_slice(&iterator->start)) <= 0 ||
        (iterator->end.size > 0 &&
         slice_compare(range_delete->start, buffer_slice(&iterator->end)) >= 0)) {
        return true;
    }
    if (range_list_add(&list->range_deletes, range_delete) != POLARYS_OK) {
        list->is_out_of_memory = true;
        return false;
    }
    return true;
}

static enum polarys_code add_memtables(struct tree_iterator *iterator, struct source_list *list)
{
    const struct tree_version *version = iterator->version;
    for (size_t i = 0; i < version->memtable_count; i++) {
        enum polarys_code code = memtable_iterator_create(
            version->memtables[i], &list->items[list->count], &iterator->base.error);
        if (code != POLARYS_OK) {
            return code;
        }
        list->count++;
        memtable_range_deletes_each(version->memtables[i], note_range_delete, list);
    }
    return POLARYS_OK;
}

/* Files that have range deletes are opened now: they are read at open and kept. */
static enum polarys_code add_range_deletes(struct tree_iterator *iterator, struct tree_file *file,
                                           struct source_list *list)
{
    struct table *table;
    if (file->meta.range_delete_count == 0) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        tree_file_table(iterator->tree, file, (iterator->table_flags & TABLE_READ_MEMORY_ONLY) != 0,
                        &table, &iterator->base.error);
    if (code == POLARYS_OK) {
        table_range_deletes_each(table, note_range_delete, list);
    }
    return code;
}

/* Bounds as a file sees them: an empty end is no end. */
static bool file_is_within(const struct tree_iterator *iterator, const struct tree_file *file)
{
    return slice_compare(tree_file_largest(file), buffer_slice(&iterator->start)) >= 0 &&
           (iterator->end.size == 0 ||
            slice_compare(tree_file_smallest(file), buffer_slice(&iterator->end)) < 0);
}

static enum polarys_code add_files(struct tree_iterator *iterator, struct tree_file **files,
                                   size_t count, struct source_list *list)
{
    enum polarys_code code =
        level_iterator_create(iterator->tree, files, count, iterator->table_flags,
                              &list->items[list->count], &iterator->base.error);
    if (code != POLARYS_OK) {
        return code;
    }
    list->count++;
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        code = add_range_deletes(iterator, files[i], list);
    }
    return code;
}

static enum polarys_code add_levels(struct tree_iterator *iterator, struct source_list *list)
{
    const struct tree_levels *levels = iterator->version->levels;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < levels->counts[0] && code == POLARYS_OK; i++) {
        if (file_is_within(iterator, levels->files[0][i])) {
            code = add_files(iterator, &levels->files[0][i], 1, list);
        }
    }
    for (uint32_t level = 1; level < MANIFEST_LEVELS && code == POLARYS_OK; level++) {
        size_t first = 0;
        size_t end = 0;
        if (levels->counts[level] > 0) {
            tree_levels_range(levels, level, buffer_slice(&iterator->start),
                              buffer_slice(&iterator->end), &first, &end);
        }
        if (first < end) {
            code = add_files(iterator, levels->files[level] + first, end - first, list);
        }
    }
    return code;
}

/* Opens the sources and builds the cover. False when that failed. */
static bool prepare(struct tree_iterator *iterator)
{
    struct source_list list = {.iterator = iterator};
    if (iterator->merge != NULL) {
        return true;
    }
    size_t count_max =
        iterator->version->memtable_count + iterator->version->levels->counts[0] + MANIFEST_LEVELS;
    list.items = calloc(count_max, sizeof(struct entry_iterator *));
    enum polarys_code code = POLARYS_NO_MEMORY;
    if (list.items == NULL) {
        fail_memory(iterator);
        goto done;
    }
    code = add_memtables(iterator, &list);
    if (code == POLARYS_OK) {
        code = add_levels(iterator, &list);
    }
    if (code == POLARYS_OK && list.is_out_of_memory) {
        code =
            polarys_fail(&iterator->base.error, POLARYS_NO_MEMORY, "no memory for range deletes");
    }
    if (code == POLARYS_OK) {
        code =
            range_cover_build(list.range_deletes.items, list.range_deletes.count, &iterator->cover);
    }
    if (code == POLARYS_OK) {
        code =
            merge_iterator_create(list.items, list.count, &iterator->merge, &iterator->base.error);
        list.count = 0; /* the merge took them over */
    }
    if (code != POLARYS_OK) {
        range_cover_deinit(&iterator->cover);
        fail(iterator, code);
    }

done:
    for (size_t i = 0; i < list.count; i++) {
        entry_iterator_destroy(list.items[i]);
    }
    free(list.items);
    range_list_deinit(&list.range_deletes);
    return code == POLARYS_OK;
}

/* ---- visibility ---- */

static bool is_past_end(const struct tree_iterator *iterator, struct polarys_slice key)
{
    return iterator->end.size > 0 && slice_compare(key, buffer_slice(&iterator->end)) >= 0;
}

static bool set_key(struct tree_iterator *iterator, struct polarys_slice key)
{
    buffer_clear(&iterator->key);
    if (buffer_append_slice(&iterator->key, key) != POLARYS_OK) {
        fail_memory(iterator);
        return false;
    }
    return true;
}

static bool is_live(struct tree_iterator *iterator, const struct entry *entry)
{
    return entry->kind == ENTRY_PUT &&
           (iterator->cover.count == 0 ||
            range_cover_version(&iterator->cover, entry->key, &iterator->cover_hint) <=
                entry->version);
}

/*
 * Passes by an entry that is newer than the snapshot; past all that are newer of its key once there have
 * been many. `*steps` counts those since iterator->key was set to a key of theirs. False without memory.
 */
static bool pass_newer(struct tree_iterator *iterator, unsigned *steps)
{
    struct entry_iterator *merge = iterator->merge;
    bool is_long = *steps >= ITERATOR_STEPS_MAX;
    if (is_long && slice_equal(merge->entry.key, buffer_slice(&iterator->key))) {
        *steps = 0;
        entry_iterator_seek(merge, buffer_slice(&iterator->key), iterator->snapshot);
        return true;
    }
    if (is_long || *steps == 0) {
        *steps = 0;
        if (!set_key(iterator, merge->entry.key)) {
            return false;
        }
    }
    ++*steps;
    entry_iterator_next(merge);
    return true;
}

/*
 * Shows the first live entry from where the merge stands. With `has_key`, entries of iterator->key are
 * passed by: that key has been dealt with.
 */
static void find_forward(struct tree_iterator *iterator, bool has_key)
{
    struct entry_iterator *merge = iterator->merge;
    unsigned steps = 0;
    unsigned newer_steps = 0;
    while (merge->is_valid) {
        const struct entry *entry = &merge->entry;
        if (has_key && slice_equal(entry->key, buffer_slice(&iterator->key))) {
            if (++steps > ITERATOR_STEPS_MAX) {
                steps = 0;
                entry_iterator_seek(merge, buffer_slice(&iterator->key), 0);
            } else {
                entry_iterator_next(merge);
            }
            continue;
        }
        if (is_past_end(iterator, entry->key)) {
            break;
        }
        if (entry->version > iterator->snapshot) {
            has_key = false; /* behind us: iterator->key is needed for the one that is passed by */
            if (!pass_newer(iterator, &newer_steps)) {
                return;
            }
            continue;
        }
        newer_steps = 0;
        steps = 0;
        if (!set_key(iterator, entry->key)) {
            return;
        }
        has_key = true;
        if (is_live(iterator, entry)) {
            iterator->base.entry = *entry;
            iterator->base.is_valid = true;
            iterator->base.code = POLARYS_OK;
            iterator->direction = DIRECTION_FORWARD;
            return;
        }
        entry_iterator_next(merge);
    }
    stop(iterator);
}

/* What has been seen of one key while walking backward, oldest version first. */
struct backward_key {
    bool has_key;
    bool is_live;
    uint64_t version;
};

/* Takes in one more entry of the key. False without memory. */
static bool note_backward(struct tree_iterator *iterator, struct backward_key *seen,
                          const struct entry *entry)
{
    if (entry->version > iterator->snapshot) {
        return true;
    }
    seen->is_live = is_live(iterator, entry);
    seen->version = entry->version;
    buffer_clear(&iterator->value);
    if (seen->is_live && buffer_append_slice(&iterator->value, entry->value) != POLARYS_OK) {
        fail_memory(iterator);
        return false;
    }
    return true;
}

/* Shows the last live key at or before where the merge stands. */
static void find_backward(struct tree_iterator *iterator)
{
    struct entry_iterator *merge = iterator->merge;
    struct backward_key seen = {0};
    for (;;) {
        bool is_within =
            merge->is_valid && slice_compare(merge->entry.key, buffer_slice(&iterator->start)) >= 0;
        if (seen.has_key &&
            (!is_within || !slice_equal(merge->entry.key, buffer_slice(&iterator->key)))) {
            if (merge->code != POLARYS_OK) {
                break; /* a newer version of the key may lie beyond the error */
            }
            if (seen.is_live) {
                iterator->base.entry.key = buffer_slice(&iterator->key);
                iterator->base.entry.value = buffer_slice(&iterator->value);
                iterator->base.entry.version = seen.version;
                iterator->base.entry.kind = ENTRY_PUT;
                iterator->base.is_valid = true;
                iterator->base.code = POLARYS_OK;
                iterator->direction = DIRECTION_BACKWARD;
                return;
            }
            seen.has_key = false;
        }
        if (!is_within) {
            break;
        }
        if (!seen.has_key) {
            if (!set_key(iterator, merge->entry.key)) {
                return;
            }
            memset(&seen, 0, sizeof(seen));
            seen.has_key = true;
        }
        if (!note_backward(iterator, &seen, &merge->entry)) {
            return;
        }
        entry_iterator_previous(merge);
    }
    stop(iterator);
}

/* ---- moves ---- */

static void tree_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    struct tree_iterator *iterator = (struct tree_iterator *)base;
    (void)version; /* each key is shown once, as of the snapshot */
    if (!prepare(iterator)) {
        return;
    }
    if (slice_compare(key, buffer_slice(&iterator->start)) < 0) {
        key = buffer_slice(&iterator->start);
    }
    entry_iterator_seek(iterator->merge, key, iterator->snapshot);
    find_forward(iterator, false);
}

static void tree_seek_first(struct entry_iterator *base)
{
    struct tree_iterator *iterator = (struct tree_iterator *)base;
    tree_seek(base, buffer_slice(&iterator->start), VERSION_MAX);
}

static void tree_seek_last(struct entry_iterator *base)
{
    struct tree_iterator *iterator = (struct tree_iterator *)base;
    if (!prepare(iterator)) {
        return;
    }
    struct entry_iterator *merge = iterator->merge;
    if (iterator->end.size == 0) {
        entry_iterator_seek_last(merge);
    } else {
        /* UINT64_MAX is above every version, so this is before all entries of the end's own key. */
        entry_iterator_seek(merge, buffer_slice(&iterator->end), UINT64_MAX);
        if (merge->is_valid) {
            entry_iterator_previous(merge);
        } else if (merge->code == POLARYS_OK) {
            entry_iterator_seek_last(merge);
        }
    }
    find_backward(iterator);
}

static void tree_next(struct entry_iterator *base)
{
    struct tree_iterator *iterator = (struct tree_iterator *)base;
    if (iterator->direction == DIRECTION_BACKWARD) {
        /* Past every version of the key shown; there is no version 0. */
        entry_iterator_seek(iterator->merge, buffer_slice(&iterator->key), 0);
    } else {
        entry_iterator_next(iterator->merge);
    }
    find_forward(iterator, true);
}

static void tree_previous(struct entry_iterator *base)
{
    struct tree_iterator *iterator = (struct tree_iterator *)base;
    struct entry_iterator *merge = iterator->merge;
    if (iterator->direction == DIRECTION_FORWARD) {
        while (merge->is_valid && slice_equal(merge->entry.key, buffer_slice(&iterator->key))) {
            entry_iterator_previous(merge);
        }
    }
    find_backward(iterator);
}

static void tree_destroy(struct entry_iterator *base)
{
    struct tree_iterator *iterator = (struct tree_iterator *)base;
    entry_iterator_destroy(iterator->merge);
    range_cover_deinit(&iterator->cover);
    buffer_deinit(&iterator->start);
    buffer_deinit(&iterator->end);
    buffer_deinit(&iterator->key);
    buffer_deinit(&iterator->value);
    if (iterator->version != NULL) {
        tree_version_release(iterator->tree, iterator->version);
    }
    free(iterator);
}

static const struct entry_iterator_vtable tree_iterator_vtable = {
    .seek = tree_seek,
    .seek_first = tree_seek_first,
    .seek_last = tree_seek_last,
    .next = tree_next,
    .previous = tree_previous,
    .destroy = tree_destroy,
};

/* NOLINTNEXTLINE(readability-function-size): bounds, version and flags make up one walk */
enum polarys_code tree_iterator_create(struct tree *tree, struct polarys_slice start,
                                       struct polarys_slice end, uint64_t snapshot, unsigned flags,
                                       struct entry_iterator **out, struct polarys_error *err)
{
    *out = NULL;
    struct tree_iterator *iterator = calloc(1, sizeof(*iterator));
    if (iterator == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for an iterator");
    }
    iterator->base.vtable = &tree_iterator_vtable;
    iterator->tree = tree;
    iterator->snapshot = snapshot;
    iterator->table_flags = ((flags & TREE_READ_MEMORY_ONLY) != 0 ? TABLE_READ_MEMORY_ONLY : 0u) |
                            ((flags & TREE_READ_NO_FILL) != 0 ? TABLE_READ_NO_FILL : 0u) |
                            ((flags & TREE_READ_AHEAD) != 0 ? TABLE_READ_AHEAD : 0u);
    if (buffer_append_slice(&iterator->start, start) != POLARYS_OK ||
        buffer_append_slice(&iterator->end, end) != POLARYS_OK) {
        tree_destroy(&iterator->base);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for an iterator");
    }
    iterator->version = tree_version_acquire(tree);
    *out = &iterator->base;
    return POLARYS_OK;
}
