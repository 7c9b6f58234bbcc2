/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's side: room in the active memtable, insertion, and what the validator asks.
 *
 * The writer (holder of the log role) looks at the memtables through a view of its own, which changes only
 * when it asks: so what it is told about versions stays true while flushes go on.
 */
#include "engine/compaction/tree_internal.h"

#include <stdlib.h>

/* True when the memtable holds nothing at all. */
static bool is_empty(const struct memtable *memtable)
{
    struct memtable_stats stats;
    memtable_stats_get(memtable, &stats);
    return stats.entry_count == 0 && stats.range_delete_count == 0;
}

/* Makes a memtable of the usual size, or of one that fits the batch. */
static enum polarys_code create_memtable(struct tree *tree, size_t entry_bytes,
                                         size_t range_deletes, struct memtable **out,
                                         struct polarys_error *err)
{
    size_t capacity = tree->options.memtable_bytes;
    for (;;) {
        enum polarys_code code = memtable_create(capacity, out, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (memtable_has_room(*out, entry_bytes, range_deletes)) {
            return POLARYS_OK;
        }
        memtable_unref(*out);
        *out = NULL;
        if (capacity >= MEMTABLE_BYTES_MAX || range_deletes > MEMTABLE_RANGE_DELETES_MAX) {
            return polarys_fail(
                err, POLARYS_TOO_LARGE,
                "a batch of %zu bytes and %zu range deletes does not fit a memtable", entry_bytes,
                range_deletes);
        }
        size_t wanted = entry_bytes > capacity ? entry_bytes + entry_bytes / 8 : 2 * capacity;
        capacity = wanted < MEMTABLE_BYTES_MAX ? wanted : MEMTABLE_BYTES_MAX;
    }
}

/* Makes the writer look at the memtables of the current version. REQUIRES: mutex. */
static void refresh_view_locked(struct tree *tree, struct tree_version *view)
{
    struct tree_version *current = tree->current;
    for (size_t i = 0; i < current->memtable_count; i++) {
        tree_version_add_memtable(view, current->memtables[i]);
    }
    view->floor = current->floor;
    /* Read by tree_memtables_are_stale, which needs no more than some recent value. */
    __atomic_store_n(&tree->view_generation,
                     __atomic_load_n(&tree->memtables_generation, __ATOMIC_ACQUIRE),
                     __ATOMIC_RELAXED);
    struct tree_version *before = tree->view;
    tree->view = view;
    if (before != NULL) {
        before->refs = 0; /* the writer's alone */
        tree_version_bury_locked(tree, before);
    }
}

/* Puts `memtable` in front; an empty active memtable is replaced rather than kept. */
static void publish_memtable(struct tree *tree, struct memtable *memtable,
                             struct tree_version *version, struct tree_version *view)
{
    mutex_lock(&tree->mutex);
    struct tree_version *current = tree->current;
    size_t first = is_empty(current->memtables[0]) ? 1 : 0;
    tree_version_add_memtable(version, memtable);
    for (size_t i = first; i < current->memtable_count; i++) {
        tree_version_add_memtable(version, current->memtables[i]);
    }
    version->floor = current->floor;
    version->levels = tree_levels_ref(current->levels);
    __atomic_fetch_add(&tree->memtables_generation, 1, __ATOMIC_RELEASE);
    tree_version_publish_locked(tree, version);
    refresh_view_locked(tree, view);
    __atomic_store_n(&tree->active_bytes, 0, __ATOMIC_RELAXED);
    tree_pressure_update_locked(tree);
    tree_flush_schedule_locked(tree);
    mutex_unlock(&tree->mutex);
}

/* A new active memtable with room for the batch; `immutables_max` may wait behind it. */
static enum polarys_code switch_memtable(struct tree *tree, size_t entry_bytes,
                                         size_t range_deletes, size_t immutables_max,
                                         struct polarys_error *err)
{
    struct memtable *memtable = NULL;
    struct tree_version *version = NULL;
    struct tree_version *view = NULL;
    mutex_lock(&tree->mutex);
    bool is_full = tree->current->memtable_count > immutables_max; /* only we add to them */
    if (is_full) {
        tree_flush_schedule_locked(tree);
    }
    mutex_unlock(&tree->mutex);
    if (is_full) {
        return polarys_fail(err, POLARYS_WOULD_BLOCK, "%zu memtables wait to be flushed",
                            immutables_max);
    }
    enum polarys_code code = create_memtable(tree, entry_bytes, range_deletes, &memtable, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    version = tree_version_create();
    view = tree_version_create();
    if (version == NULL || view == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a version");
        goto fail;
    }
    publish_memtable(tree, memtable, version, view);
    memtable_unref(memtable); /* the versions hold it */
    return POLARYS_OK;

fail:
    memtable_unref(memtable);
    free(version);
    free(view);
    return polarys_wrap(err, code, "switch memtable");
}

bool tree_memtables_are_stale(struct tree *tree)
{
    return __atomic_load_n(&tree->memtables_generation, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&tree->view_generation, __ATOMIC_RELAXED);
}

void tree_memtables_release(struct tree *tree)
{
    if (!tree_memtables_are_stale(tree)) {
        return;
    }
    struct tree_version *view = tree_version_create();
    if (view != NULL) { /* without memory the older view is as true, only larger */
        mutex_lock(&tree->mutex);
        refresh_view_locked(tree, view);
        mutex_unlock(&tree->mutex);
    }
}

/* The background failure that stands, if it is one that refuses writes. `is_full`: no memtable has room. */
static enum polarys_code refusal_get(struct tree *tree, bool is_full, struct polarys_error *err)
{
    if (!__atomic_load_n(&tree->is_refusing, __ATOMIC_ACQUIRE)) {
        return POLARYS_OK;
    }
    mutex_lock(&tree->mutex);
    enum polarys_code code = tree_failure_get_locked(tree, err);
    mutex_unlock(&tree->mutex);
    if (code == POLARYS_DISK_LOW && !is_full) {
        /* Puts are refused above, where they are told from deletes; those go on while memory holds them. */
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "reserve memtable room");
}

enum polarys_code tree_reserve(struct tree *tree, size_t entry_bytes, size_t range_deletes,
                               struct polarys_error *err)
{
    enum polarys_code code = refusal_get(tree, false, err);
    if (code != POLARYS_OK) {
        return code;
    }
    tree_memtables_release(tree);
    if (!memtable_has_room(tree->view->memtables[0], entry_bytes, range_deletes)) {
        code = switch_memtable(tree, entry_bytes, range_deletes, TREE_IMMUTABLE_MEMTABLES_MAX, err);
    }
    if (code == POLARYS_WOULD_BLOCK) {
        enum polarys_code refusal = refusal_get(tree, true, err);
        code = refusal == POLARYS_OK ? code : refusal;
    }
    if (code != POLARYS_OK) {
        return code;
    }
    __atomic_store_n(&tree->active_bytes, tree->active_bytes + entry_bytes, __ATOMIC_RELAXED);
    if (tree->view->memtable_count > 2) {
        mutex_lock(&tree->mutex); /* the rate falls while the active memtable fills */
        tree_pressure_update_locked(tree);
        mutex_unlock(&tree->mutex);
    }
    return POLARYS_OK;
}

enum polarys_code tree_memtable_switch(struct tree *tree, struct polarys_error *err)
{
    if (is_empty(tree->view->memtables[0])) {
        return POLARYS_OK;
    }
    return switch_memtable(tree, 0, 0, TREE_MEMTABLES_MAX - 1, err);
}

void tree_insert(struct tree *tree, const struct entry *entry)
{
    memtable_insert(tree->view->memtables[0], entry);
}

uint64_t tree_newest_version(struct tree *tree, struct polarys_slice key)
{
    for (size_t i = 0; i < tree->view->memtable_count; i++) {
        uint64_t version = memtable_newest_version(tree->view->memtables[i], key);
        if (version > 0) {
            return version; /* whatever an older memtable has is older */
        }
    }
    return 0;
}

uint64_t tree_newest_version_in_range(struct tree *tree, struct polarys_slice start,
                                      struct polarys_slice end, uint64_t above)
{
    for (size_t i = 0; i < tree->view->memtable_count; i++) {
        uint64_t version =
            memtable_newest_version_in_range(tree->view->memtables[i], start, end, above);
        if (version > 0) {
            return version;
        }
    }
    return 0;
}

uint64_t tree_memtable_floor(struct tree *tree)
{
    tree_memtables_release(tree);
    return tree->view->floor;
}
