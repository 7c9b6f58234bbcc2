/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrangements of files: derived from one another, measured once when made.
 *
 * Level sizes are dynamic: the last level holds what it holds, each level above it a part of that, the
 * same part from one to the next, a tenth at least; level 0 is compacted straight into the first of them
 * (the base level). So most of the data lie in the last level however large the store is.
 *
 * A level is put in between only when level 0 would otherwise be merged into more than BASE_FACTOR times
 * what it holds: a byte that goes down costs about 1 + (size of the level / what comes) at each step, so a
 * level that is not much larger than what comes into it costs more than it saves.
 */
#include "engine/compaction/tree_levels.h"

#include <stdlib.h>

enum {
    LEVEL_LAST = MANIFEST_LEVELS - 1,
    BASE_FACTOR = 4,     /* the base level is at most this many times batch_bytes, */
    BASE_FACTOR_MIN = 2, /* and at least this many where there are levels below it */
    /* Level 0 is compacted at TREE_LEVEL0_COMPACT_FILES if that is this part of the base level, */
    LEVEL0_WORTH_DIVISOR = 2,
    /* and at this many files in any case. */
    LEVEL0_COMPACT_FILES_MAX = 2 * TREE_LEVEL0_COMPACT_FILES,
    /* Bytes that moving one byte down rewrites, about. */
    DEBT_FACTOR = TREE_LEVEL_RATIO / 2 + 1,
};

enum polarys_code tree_file_create(const struct table_meta *meta, uint64_t old_version_count,
                                   struct tree_file **out)
{
    *out = NULL;
    struct tree_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return POLARYS_NO_MEMORY;
    }
    enum polarys_code code = table_meta_copy(&file->meta, meta);
    if (code != POLARYS_OK) {
        free(file);
        return code;
    }
    file->old_version_count = old_version_count;
    file->refs = 1;
    *out = file;
    return POLARYS_OK;
}

struct tree_file *tree_file_ref(struct tree_file *file)
{
    uint32_t before = __atomic_fetch_add(&file->refs, 1, __ATOMIC_RELAXED);
    POLARYS_ASSERT(before > 0);
    return file;
}

bool tree_file_unref(struct tree_file *file)
{
    /* Acquire and release: whoever disposes sees what all others did with the file. */
    uint32_t before = __atomic_fetch_sub(&file->refs, 1, __ATOMIC_ACQ_REL);
    POLARYS_ASSERT(before > 0);
    return before == 1;
}

void tree_file_destroy(struct tree_file *file)
{
    POLARYS_ASSERT(file->refs == 0);
    table_close(file->table);
    table_meta_deinit(&file->meta);
    free(file);
}

bool tree_file_is_garbage(const struct tree_file *file)
{
    uint64_t useless = file->meta.delete_count;
    if (file->old_version_count != TREE_OLD_VERSIONS_UNKNOWN) {
        useless += file->old_version_count;
    }
    return (useless > 0 && 2 * useless >= file->meta.entry_count) ||
           (file->meta.entry_count == 0 && file->meta.range_delete_count > 0);
}

struct tree_levels *tree_levels_ref(struct tree_levels *levels)
{
    uint32_t before = __atomic_fetch_add(&levels->refs, 1, __ATOMIC_RELAXED);
    POLARYS_ASSERT(before > 0);
    return levels;
}

bool tree_levels_unref(struct tree_levels *levels)
{
    uint32_t before = __atomic_fetch_sub(&levels->refs, 1, __ATOMIC_ACQ_REL);
    POLARYS_ASSERT(before > 0);
    return before == 1;
}

/* ---- measuring ---- */

/* How many levels there are between level 0 and a last one of `size` bytes, and the ratio of each to the
 * next: the largest that leaves the base level BASE_FACTOR_MIN batches. */
static uint32_t levels_between(uint64_t size, uint64_t batch_bytes, uint64_t *ratio)
{
    uint32_t count = 0;
    for (uint64_t left = size; count < LEVEL_LAST - 1 && left > BASE_FACTOR * batch_bytes;) {
        left /= TREE_LEVEL_RATIO;
        count++;
    }
    for (*ratio = TREE_LEVEL_RATIO; *ratio > 2; --*ratio) {
        uint64_t left = size;
        for (uint32_t i = 0; i < count; i++) {
            left /= *ratio;
        }
        if (left >= BASE_FACTOR_MIN * batch_bytes) {
            break;
        }
    }
    return count;
}

/* The base level, and how much each level from it on may hold. */
static void measure_targets(struct tree_levels *levels, const struct tree_shape *shape)
{
    uint64_t size = 1;
    uint32_t first_used = LEVEL_LAST;
    for (uint32_t level = LEVEL_LAST; level >= 1; level--) {
        if (levels->bytes[level] > size) {
            size = levels->bytes[level];
        }
        if (levels->counts[level] > 0) {
            first_used = level;
        }
    }
    uint64_t ratio;
    uint32_t base = LEVEL_LAST - levels_between(size, shape->batch_bytes, &ratio);
    levels->targets[LEVEL_LAST] = size;
    for (uint32_t level = LEVEL_LAST; level > base; level--) {
        levels->targets[level - 1] = levels->targets[level] / ratio;
    }
    /* What is left in a level above the base has to go down; level 0 must not pass it on the way. */
    for (uint32_t level = 1; level < base; level++) {
        levels->targets[level] = 1;
    }
    levels->base_level = first_used < base ? first_used : base;
    levels->targets[0] = 2 * shape->level1_bytes;
}

static void measure_scores(struct tree_levels *levels)
{
    bool is_worth_it = levels->bytes[0] >= levels->bytes[levels->base_level] / LEVEL0_WORTH_DIVISOR;
    double by_count = (double)levels->counts[0] /
                      (is_worth_it ? TREE_LEVEL0_COMPACT_FILES : LEVEL0_COMPACT_FILES_MAX);
    double by_bytes = (double)levels->bytes[0] / (double)levels->targets[0];
    /* A few large files are no reason by themselves: merging them with little below gains nothing. */
    levels->scores[0] = levels->counts[0] < 2 || by_count > by_bytes ? by_count : by_bytes;
    for (uint32_t level = 1; level < LEVEL_LAST; level++) {
        levels->scores[level] = (double)levels->bytes[level] / (double)levels->targets[level];
        if (levels->bytes[level] > levels->targets[level]) {
            levels->debt_bytes +=
                (levels->bytes[level] - levels->targets[level]) * (uint64_t)DEBT_FACTOR;
        }
    }
    if (levels->counts[0] > TREE_LEVEL0_COMPACT_FILES) {
        levels->debt_bytes += levels->bytes[0];
    }
}

static void measure(struct tree_levels *levels, const struct tree_shape *shape)
{
    levels->key_id_min = UINT32_MAX;
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < levels->counts[level]; i++) {
            const struct tree_file *file = levels->files[level][i];
            if (file->meta.key_id < levels->key_id_min) {
                levels->key_id_min = file->meta.key_id;
            }
            levels->bytes[level] += file->meta.file_bytes;
            levels->has_garbage |= level > 0 && tree_file_is_garbage(file);
        }
    }
    measure_targets(levels, shape);
    measure_scores(levels);
}

/* ---- deriving ---- */

static int compare_newest_first(const void *a, const void *b)
{
    const struct table_meta *left = &(*(struct tree_file *const *)a)->meta;
    const struct table_meta *right = &(*(struct tree_file *const *)b)->meta;
    if (left->newest_version != right->newest_version) {
        return left->newest_version < right->newest_version ? 1 : -1;
    }
    return (left->file_id < right->file_id) - (left->file_id > right->file_id);
}

static int compare_by_key(const void *a, const void *b)
{
    const struct tree_file *left = *(struct tree_file *const *)a;
    const struct tree_file *right = *(struct tree_file *const *)b;
    int order = slice_compare(tree_file_smallest(left), tree_file_smallest(right));
    return order != 0 ? order : slice_compare(tree_file_largest(left), tree_file_largest(right));
}

static bool is_removed(const struct manifest_removed *removed, size_t removed_count, uint32_t level,
                       uint64_t file_id)
{
    for (size_t i = 0; i < removed_count; i++) {
        if (removed[i].level == level && removed[i].file_id == file_id) {
            return true;
        }
    }
    return false;
}

/* NOLINTNEXTLINE(readability-function-size): what goes, what comes, and the shape */
enum polarys_code tree_levels_derive(const struct tree_levels *from,
                                     const struct manifest_removed *removed, size_t removed_count,
                                     const struct tree_placed_file *added, size_t added_count,
                                     const struct tree_shape *shape, struct tree_levels **out)
{
    *out = NULL;
    struct tree_levels *levels = calloc(1, sizeof(*levels));
    if (levels == NULL) {
        return POLARYS_NO_MEMORY;
    }
    levels->refs = 1;
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        size_t old_count = from == NULL ? 0 : from->counts[level];
        struct tree_file **files =
            malloc((old_count + added_count + 1) * sizeof(struct tree_file *));
        if (files == NULL) {
            goto no_memory;
        }
        levels->files[level] = files;
        size_t count = 0;
        for (size_t i = 0; i < old_count; i++) {
            struct tree_file *file = from->files[level][i];
            if (!is_removed(removed, removed_count, level, file->meta.file_id)) {
                files[count++] = file;
            }
        }
        for (size_t i = 0; i < added_count; i++) {
            if (added[i].level == level) {
                files[count++] = added[i].file;
            }
        }
        qsort(files, count, sizeof(struct tree_file *),
              level == 0 ? compare_newest_first : compare_by_key);
        levels->counts[level] = count;
    }
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < levels->counts[level]; i++) {
            tree_file_ref(levels->files[level][i]);
        }
    }
    measure(levels, shape);
    *out = levels;
    return POLARYS_OK;

no_memory:
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        free(levels->files[level]);
    }
    free(levels);
    return POLARYS_NO_MEMORY;
}

/* ---- finding ---- */

/* The first file whose largest key is not below `key`. */
static size_t first_reaching(const struct tree_levels *levels, uint32_t level,
                             struct polarys_slice key)
{
    size_t low = 0;
    size_t high = levels->counts[level];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(tree_file_largest(levels->files[level][middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first file whose smallest key is above `key`. */
static size_t first_beyond(const struct tree_levels *levels, uint32_t level,
                           struct polarys_slice key)
{
    size_t low = 0;
    size_t high = levels->counts[level];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(tree_file_smallest(levels->files[level][middle]), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct tree_file *tree_levels_file_find(const struct tree_levels *levels, uint32_t level,
                                        struct polarys_slice key)
{
    POLARYS_ASSERT(level > 0 && level < MANIFEST_LEVELS);
    size_t beyond = first_beyond(levels, level, key);
    if (beyond == 0) {
        return NULL;
    }
    struct tree_file *file = levels->files[level][beyond - 1];
    return slice_compare(tree_file_largest(file), key) >= 0 ? file : NULL;
}

void tree_levels_range(const struct tree_levels *levels, uint32_t level, struct polarys_slice start,
                       struct polarys_slice stop, size_t *first, size_t *end)
{
    POLARYS_ASSERT(level > 0 && level < MANIFEST_LEVELS);
    *first = first_reaching(levels, level, start);
    *end = stop.size == 0 ? levels->counts[level] : first_beyond(levels, level, stop);
    if (*end < *first) {
        *end = *first;
    }
}

/* Whether a file of this level reaches into [start, end]. */
static bool level_overlaps(const struct tree_levels *levels, uint32_t level,
                           struct polarys_slice start, struct polarys_slice end)
{
    POLARYS_ASSERT(level < MANIFEST_LEVELS);
    if (level > 0) {
        size_t first = first_reaching(levels, level, start);
        /* cppcheck-suppress arrayIndexOutOfBoundsCond; asserted above */
        return first < levels->counts[level] &&
               slice_compare(tree_file_smallest(levels->files[level][first]), end) <= 0;
    }
    for (size_t i = 0; i < levels->counts[0]; i++) {
        if (tree_file_overlaps(levels->files[0][i], start, end)) {
            return true;
        }
    }
    return false;
}

bool tree_levels_overlap(const struct tree_levels *levels, uint32_t level,
                         struct polarys_slice start, struct polarys_slice end)
{
    for (; level < MANIFEST_LEVELS; level++) {
        if (level_overlaps(levels, level, start, end)) {
            return true;
        }
    }
    return false;
}
