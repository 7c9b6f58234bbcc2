/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Point reads: newest source first, stopping at the first entry of the key.
 *
 * Range deletes met on the way down raise `covering`, the newest version up to the snapshot that hides
 * the key; an entry below it does not exist, and files that hold nothing newer are not looked at.
 */
#include "engine/compaction/tree_internal.h"

/* One read on its way down. */
struct get_walk {
    struct tree *tree;
    struct polarys_slice key;
    uint64_t snapshot;
    unsigned table_flags;
    bool is_memory_only;
    uint64_t covering;
    uint64_t probe_count;
    uint64_t miss_count;
    bool is_found;
    struct entry found;
    struct cached_block *block;
    struct memtable *memtable; /* borrowed from the version */
};

static bool look_in_memtables(struct get_walk *walk, const struct tree_version *version)
{
    for (size_t i = 0; i < version->memtable_count; i++) {
        struct memtable *memtable = version->memtables[i];
        uint64_t covering = memtable_range_delete_version(memtable, walk->key, walk->snapshot);
        if (covering > walk->covering) {
            walk->covering = covering;
        }
        if (memtable_get(memtable, walk->key, walk->snapshot, &walk->found)) {
            walk->is_found = true;
            walk->memtable = memtable;
            return true;
        }
    }
    return false;
}

/* Looks into one file. The walk ends when it found the key. */
static enum polarys_code look_in_file(struct get_walk *walk, struct tree_file *file,
                                      struct polarys_error *err)
{
    const struct table_meta *meta = &file->meta;
    if (walk->covering > meta->newest_version ||
        (meta->oldest_version > walk->snapshot && meta->range_delete_count == 0)) {
        return POLARYS_OK;
    }
    struct table *table;
    enum polarys_code code = tree_file_table(walk->tree, file, walk->is_memory_only, &table, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (meta->range_delete_count > 0) {
        uint64_t covering = table_range_delete_version(table, walk->key, walk->snapshot);
        if (covering > walk->covering) {
            walk->covering = covering;
        }
    }
    if (meta->entry_count == 0) {
        return POLARYS_OK;
    }
    walk->probe_count++;
    code = table_get(table, walk->key, walk->snapshot, walk->table_flags, &walk->is_found,
                     &walk->found, &walk->block, err);
    walk->miss_count += code == POLARYS_OK && !walk->is_found;
    return code;
}

static enum polarys_code look_in_levels(struct get_walk *walk, const struct tree_levels *levels,
                                        struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < levels->counts[0] && code == POLARYS_OK && !walk->is_found; i++) {
        struct tree_file *file = levels->files[0][i];
        if (tree_file_overlaps(file, walk->key, walk->key)) {
            code = look_in_file(walk, file, err);
        }
    }
    for (uint32_t level = 1; level < MANIFEST_LEVELS; level++) {
        if (code != POLARYS_OK || walk->is_found) {
            break;
        }
        struct tree_file *file =
            levels->counts[level] == 0 ? NULL : tree_levels_file_find(levels, level, walk->key);
        if (file != NULL) {
            code = look_in_file(walk, file, err);
        }
    }
    return code;
}

/* Hands out what was found, or says that it does not exist. */
static enum polarys_code finish(struct get_walk *walk, struct tree_value *value)
{
    if (!walk->is_found || walk->found.kind != ENTRY_PUT || walk->found.version < walk->covering) {
        cached_block_release(walk->block);
        return POLARYS_KEY_NOT_FOUND;
    }
    value->bytes = walk->found.value;
    value->version = walk->found.version;
    value->block = walk->block;
    value->memtable = walk->memtable == NULL ? NULL : memtable_ref(walk->memtable);
    return POLARYS_OK;
}

/* The slot's holder is the only one that writes; statistics read beside it. */
/* NOLINTNEXTLINE(readability-non-const-parameter): written through an atomic */
static void count(uint64_t *counter, uint64_t more)
{
    __atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

enum polarys_code tree_get(struct tree *tree, struct polarys_slice key, uint64_t snapshot,
                           unsigned flags, struct tree_value *value, struct polarys_error *err)
{
    struct get_walk walk = {
        .tree = tree,
        .key = key,
        .snapshot = snapshot,
        .is_memory_only = (flags & TREE_READ_MEMORY_ONLY) != 0,
    };
    struct tree_read_slot *slot;
    enum polarys_code code = POLARYS_OK;
    walk.table_flags = (walk.is_memory_only ? TABLE_READ_MEMORY_ONLY : 0u) |
                       ((flags & TREE_READ_NO_FILL) != 0 ? TABLE_READ_NO_FILL : 0u) |
                       ((flags & TREE_READ_AHEAD) != 0 ? TABLE_READ_AHEAD : 0u);
    memset(value, 0, sizeof(*value));
    struct tree_version *version = tree_read_begin(tree, &slot);
    if (!look_in_memtables(&walk, version)) {
        code = look_in_levels(&walk, version->levels, err);
    }
    if (code == POLARYS_OK) {
        code = finish(&walk, value);
    }
    count(&slot->get_count, 1);
    count(&slot->probe_count, walk.probe_count);
    count(&slot->miss_count, walk.miss_count);
    tree_read_end(tree, slot);
    if (code != POLARYS_OK && code != POLARYS_KEY_NOT_FOUND && code != POLARYS_WOULD_BLOCK) {
        return polarys_wrap(err, code, "get");
    }
    return code;
}

void tree_value_release(struct tree_value *value)
{
    cached_block_release(value->block);
    memtable_unref(value->memtable);
    memset(value, 0, sizeof(*value));
}
