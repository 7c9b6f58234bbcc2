/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tree says about itself.
 */
#include "engine/compaction/tree_internal.h"

uint64_t tree_flushed_version(struct tree *tree)
{
    return __atomic_load_n(&tree->flushed_version, __ATOMIC_ACQUIRE);
}

uint64_t tree_history_start(struct tree *tree)
{
    return __atomic_load_n(&tree->history_start, __ATOMIC_ACQUIRE);
}

static void add_levels(const struct tree_levels *levels, struct tree_stats *stats)
{
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        struct tree_level_stats *to = &stats->levels[level];
        to->file_count = levels->counts[level];
        to->bytes = levels->bytes[level];
        to->target_bytes = levels->targets[level];
        for (size_t i = 0; i < levels->counts[level]; i++) {
            to->raw_bytes += levels->files[level][i]->meta.raw_bytes;
            to->entry_count += levels->files[level][i]->meta.entry_count;
        }
    }
    stats->compaction_debt_bytes = levels->debt_bytes;
}

static void add_memtables(const struct tree_version *version, struct tree_stats *stats)
{
    stats->memtable_count = version->memtable_count;
    for (size_t i = 0; i < version->memtable_count; i++) {
        struct memtable_stats memtable;
        memtable_stats_get(version->memtables[i], &memtable);
        stats->memtable_bytes += memtable.used;
    }
}

/* Counters are changed without synchronisation by the slots' holders: a sum may be a little behind. */
static void add_slots(struct tree *tree, struct tree_stats *stats)
{
    for (size_t i = 0; i < TREE_READ_SLOTS; i++) {
        const struct tree_read_slot *slot = &tree->slots[i];
        stats->get_count += __atomic_load_n(&slot->get_count, __ATOMIC_RELAXED);
        stats->get_file_probe_count += __atomic_load_n(&slot->probe_count, __ATOMIC_RELAXED);
        stats->filter_negative_count += __atomic_load_n(&slot->miss_count, __ATOMIC_RELAXED);
    }
}

void tree_stats_get(struct tree *tree, struct tree_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    struct tree_version *version = tree_version_acquire(tree);
    add_levels(version->levels, stats);
    add_memtables(version, stats);
    tree_version_release(tree, version);
    add_slots(tree, stats);
    stats->table_memory_bytes = __atomic_load_n(&tree->table_memory_bytes, __ATOMIC_RELAXED);
    struct table_files_stats files;
    table_files_stats_get(tree->options.env.files, &files);
    stats->table_files_open = files.open_count;
    stats->table_files_reopened = files.reopened_count;

    mutex_lock(&tree->mutex);
    stats->flush_count = tree->flush_count;
    stats->flush_bytes_written = tree->flush_bytes_written;
    stats->compaction_count = tree->compaction_count;
    stats->compaction_bytes_read = tree->compaction_bytes_read;
    stats->compaction_bytes_written = tree->compaction_bytes_written;
    stats->stall_ns_total = tree->pressure.stall_ns_total;
    if (tree->pressure.is_bounded) {
        stats->stall_ns_total +=
            clock_monotonic_ns(tree->options.executor->clock) - tree->pressure.bounded_since_ns;
    }
    mutex_unlock(&tree->mutex);
}

/* The file's share of [start, end): all of it, or what its index says. */
static enum polarys_code file_range_bytes(struct tree *tree, struct tree_file *file,
                                          struct polarys_slice start, struct polarys_slice end,
                                          uint64_t *bytes, struct polarys_error *err)
{
    struct table *table;
    uint64_t within = 0;
    bool is_whole = slice_compare(start, tree_file_smallest(file)) <= 0 &&
                    (end.size == 0 || slice_compare(tree_file_largest(file), end) < 0);
    if (is_whole) {
        *bytes += file->meta.file_bytes;
        return POLARYS_OK;
    }
    enum polarys_code code = tree_file_table(tree, file, false, &table, err);
    if (code == POLARYS_OK) {
        /* Nothing of this file sorts after its largest key with one byte more. */
        uint8_t beyond[TREE_KEY_SIZE_MAX + 2];
        struct polarys_slice largest = tree_file_largest(file);
        if (end.size == 0) {
            POLARYS_ASSERT(largest.size < sizeof(beyond));
            memcpy(beyond, largest.data, largest.size);
            beyond[largest.size] = 0;
            end = slice_make(beyond, largest.size + 1);
        }
        code = table_range_bytes(table, start, end, &within, err);
        *bytes += within;
    }
    return code;
}

enum polarys_code tree_range_bytes(struct tree *tree, struct polarys_slice start,
                                   struct polarys_slice end, uint64_t *bytes,
                                   struct polarys_error *err)
{
    struct tree_version *version = tree_version_acquire(tree);
    const struct tree_levels *levels = version->levels;
    enum polarys_code code = POLARYS_OK;
    *bytes = 0;
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < levels->counts[level] && code == POLARYS_OK; i++) {
            struct tree_file *file = levels->files[level][i];
            if (slice_compare(tree_file_largest(file), start) >= 0 &&
                (end.size == 0 || slice_compare(tree_file_smallest(file), end) < 0)) {
                code = file_range_bytes(tree, file, start, end, bytes, err);
            }
        }
    }
    tree_version_release(tree, version);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "estimate a range");
}
