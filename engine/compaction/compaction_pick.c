/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Picking: the level by score, the file within it that drags the least along, then whatever it overlaps.
 */
#include "engine/compaction/compaction_pick.h"

#include <stdlib.h>

enum { LEVEL_LAST = MANIFEST_LEVELS - 1 };

void compaction_pick_deinit(struct compaction_pick *pick)
{
    free(pick->inputs[0]);
    free(pick->inputs[1]);
    memset(pick, 0, sizeof(*pick));
}

/* A copy of files [first, end) in inputs[which]. */
static enum polarys_code take_files(struct compaction_pick *pick, int which,
                                    struct tree_file **files, size_t count)
{
    free(pick->inputs[which]);
    pick->inputs[which] = malloc((count + 1) * sizeof(struct tree_file *));
    if (pick->inputs[which] == NULL) {
        pick->counts[which] = 0;
        return POLARYS_NO_MEMORY;
    }
    if (count > 0) {
        memcpy(pick->inputs[which], files, count * sizeof(struct tree_file *));
    }
    pick->counts[which] = count;
    return POLARYS_OK;
}

/* The smallest and largest key of inputs [0, which]. */
static void input_bounds(const struct compaction_pick *pick, int which,
                         struct polarys_slice *smallest, struct polarys_slice *largest)
{
    bool is_first = true;
    for (int i = 0; i <= which; i++) {
        for (size_t j = 0; j < pick->counts[i]; j++) {
            struct polarys_slice from = tree_file_smallest(pick->inputs[i][j]);
            struct polarys_slice to = tree_file_largest(pick->inputs[i][j]);
            if (is_first || slice_compare(from, *smallest) < 0) {
                *smallest = from;
            }
            if (is_first || slice_compare(to, *largest) > 0) {
                *largest = to;
            }
            is_first = false;
        }
    }
}

static uint64_t input_bytes(struct tree_file *const *files, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += files[i]->meta.file_bytes;
    }
    return bytes;
}

/* Takes more files of the upper level where that adds none of the output level. */
static enum polarys_code expand(const struct tree_levels *levels, const struct tree_shape *shape,
                                struct compaction_pick *pick)
{
    struct polarys_slice smallest = {0};
    struct polarys_slice largest = {0};
    size_t first;
    size_t end;
    if (pick->level == 0 || pick->counts[1] == 0) {
        return POLARYS_OK;
    }
    input_bounds(pick, 1, &smallest, &largest);
    tree_levels_range(levels, pick->level, smallest, largest, &first, &end);
    struct tree_file **files = levels->files[pick->level] + first;
    if (end - first <= pick->counts[0] ||
        input_bytes(files, end - first) + input_bytes(pick->inputs[1], pick->counts[1]) >
            (uint64_t)COMPACTION_EXPAND_FACTOR * shape->file_bytes) {
        return POLARYS_OK;
    }
    smallest = tree_file_smallest(files[0]);
    largest = tree_file_largest(files[end - first - 1]);
    size_t below_first;
    size_t below_end;
    tree_levels_range(levels, pick->output_level, smallest, largest, &below_first, &below_end);
    if (below_end - below_first != pick->counts[1]) {
        return POLARYS_OK;
    }
    return take_files(pick, 0, files, end - first);
}

/* True when the files of the upper level share no key with one another. */
static bool are_disjoint(const struct compaction_pick *pick)
{
    for (size_t i = 0; i < pick->counts[0]; i++) {
        for (size_t j = i + 1; j < pick->counts[0]; j++) {
            const struct tree_file *other = pick->inputs[0][j];
            if (tree_file_overlaps(pick->inputs[0][i], tree_file_smallest(other),
                                   tree_file_largest(other))) {
                return false;
            }
        }
    }
    return true;
}

/* Moving is enough when nothing overlaps and nothing in the files could be dropped. */
static bool is_move(const struct compaction_pick *pick, const struct tree_shape *shape)
{
    if (pick->reason != COMPACTION_SCORE || pick->counts[1] > 0 || !are_disjoint(pick)) {
        return false;
    }
    for (size_t i = 0; i < pick->counts[0]; i++) {
        const struct tree_file *file = pick->inputs[0][i];
        if (file->meta.delete_count > 0 || file->meta.range_delete_count > 0 ||
            file->old_version_count > 0) {
            return false;
        }
    }
    return input_bytes(pick->grandparents, pick->grandparent_count) <=
           (uint64_t)COMPACTION_GRANDPARENT_FACTOR * shape->file_bytes;
}

/* Adds what inputs[0] overlaps in the output level, and the grandparents. */
static enum polarys_code complete(const struct tree_levels *levels, const struct tree_shape *shape,
                                  struct compaction_pick *pick)
{
    struct polarys_slice smallest = {0};
    struct polarys_slice largest = {0};
    size_t first = 0;
    size_t end = 0;
    enum polarys_code code = POLARYS_OK;
    POLARYS_ASSERT(pick->counts[0] > 0);
    if (pick->output_level > pick->level) {
        input_bounds(pick, 0, &smallest, &largest);
        tree_levels_range(levels, pick->output_level, smallest, largest, &first, &end);
        code = take_files(pick, 1, levels->files[pick->output_level] + first, end - first);
        if (code == POLARYS_OK) {
            code = expand(levels, shape, pick);
        }
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (pick->output_level < LEVEL_LAST) {
        input_bounds(pick, 1, &smallest, &largest);
        tree_levels_range(levels, pick->output_level + 1, smallest, largest, &first, &end);
        pick->grandparents = levels->files[pick->output_level + 1] + first;
        pick->grandparent_count = end - first;
    }
    pick->is_move = is_move(pick, shape);
    return POLARYS_OK;
}

/* Starts a pick with one file, or with all of level 0. */
static enum polarys_code start(const struct tree_levels *levels, const struct tree_shape *shape,
                               enum compaction_reason reason, uint32_t level, size_t index,
                               struct compaction_pick *pick)
{
    enum polarys_code code;
    pick->reason = reason;
    pick->level = level;
    if (level == 0) {
        pick->output_level = levels->base_level;
        code = take_files(pick, 0, levels->files[0], levels->counts[0]);
    } else {
        pick->output_level = level == LEVEL_LAST ? LEVEL_LAST : level + 1;
        code = take_files(pick, 0, levels->files[level] + index, 1);
    }
    if (code == POLARYS_OK) {
        code = complete(levels, shape, pick);
    }
    if (code != POLARYS_OK) {
        compaction_pick_deinit(pick);
    }
    return code;
}

/* The file after the one that was compacted last. */
static size_t file_in_turn(const struct tree_levels *levels, uint32_t level,
                           const struct buffer *cursor)
{
    for (size_t i = 0; cursor->size > 0 && i < levels->counts[level]; i++) {
        if (slice_compare(tree_file_smallest(levels->files[level][i]), buffer_slice(cursor)) > 0) {
            return i;
        }
    }
    return 0;
}

/* Bytes of the next level that have to be rewritten for each byte of the file that goes down. */
static double file_cost(const struct tree_levels *levels, uint32_t level, size_t index)
{
    const struct tree_file *file = levels->files[level][index];
    size_t first;
    size_t end;
    tree_levels_range(levels, level + 1, tree_file_smallest(file), tree_file_largest(file), &first,
                      &end);
    return (double)input_bytes(levels->files[level + 1] + first, end - first) /
           (double)(file->meta.file_bytes + 1);
}

/* The file that is cheapest to take down; of equal ones the next in turn, so that all of them get theirs. */
static size_t file_cheapest(const struct tree_levels *levels, uint32_t level,
                            const struct buffer *cursor)
{
    size_t turn = file_in_turn(levels, level, cursor);
    size_t best = turn;
    double best_cost = file_cost(levels, level, turn);
    for (size_t i = 1; i < levels->counts[level] && best_cost > 0.0; i++) {
        size_t index = (turn + i) % levels->counts[level];
        double cost = file_cost(levels, level, index);
        if (cost < best_cost) {
            best = index;
            best_cost = cost;
        }
    }
    return best;
}

static enum polarys_code pick_by_score(const struct tree_levels *levels,
                                       const struct compaction_wish *wish,
                                       struct compaction_pick *pick)
{
    uint32_t best = 0;
    for (uint32_t level = 1; level < LEVEL_LAST; level++) {
        if (levels->scores[level] > levels->scores[best]) {
            best = level;
        }
    }
    if (levels->scores[best] < 1.0 || levels->counts[best] == 0) {
        return POLARYS_OK;
    }
    size_t index = best == 0 ? 0 : file_cheapest(levels, best, &wish->cursors[best]);
    return start(levels, wish->shape, COMPACTION_SCORE, best, index, pick);
}

/* In the last level a file is rewritten only when everything in it is old enough to be let go of; else
 * the same file would be rewritten again and again for nothing. */
static bool is_worth_rewriting(const struct tree_file *file, uint32_t level,
                               const struct compaction_wish *wish)
{
    return tree_file_is_garbage(file) &&
           (level < LEVEL_LAST || file->meta.newest_version <= wish->needed_version_min);
}

static enum polarys_code pick_garbage(const struct tree_levels *levels,
                                      const struct compaction_wish *wish,
                                      struct compaction_pick *pick)
{
    for (uint32_t level = 1; level < MANIFEST_LEVELS && levels->has_garbage; level++) {
        for (size_t i = 0; i < levels->counts[level]; i++) {
            if (is_worth_rewriting(levels->files[level][i], level, wish)) {
                return start(levels, wish->shape, COMPACTION_GARBAGE, level, i, pick);
            }
        }
    }
    return POLARYS_OK;
}

static enum polarys_code pick_retired_key(const struct tree_levels *levels,
                                          const struct compaction_wish *wish,
                                          struct compaction_pick *pick)
{
    bool is_any = levels->key_id_min < wish->key_id;
    for (uint32_t level = 0; level < MANIFEST_LEVELS && is_any; level++) {
        for (size_t i = 0; i < levels->counts[level]; i++) {
            if (levels->files[level][i]->meta.key_id < wish->key_id) {
                return start(levels, wish->shape, COMPACTION_KEY, level, i, pick);
            }
        }
    }
    return POLARYS_OK;
}

static bool is_asked_for(const struct tree_file *file, const struct compaction_wish *wish)
{
    return slice_compare(tree_file_largest(file), wish->start) >= 0 &&
           (wish->end.size == 0 || slice_compare(tree_file_smallest(file), wish->end) < 0);
}

/* What is asked for goes down level by level; what already lies in the last one is rewritten once. Files
 * of level 0, and of the last level, that are younger than the request are left alone. */
static enum polarys_code pick_asked(const struct tree_levels *levels,
                                    const struct compaction_wish *wish,
                                    struct compaction_pick *pick)
{
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < levels->counts[level]; i++) {
            const struct tree_file *file = levels->files[level][i];
            bool is_old = file->meta.file_id < wish->first_id;
            if (is_asked_for(file, wish) && (is_old || (level > 0 && level < LEVEL_LAST))) {
                return start(levels, wish->shape, COMPACTION_MANUAL, level, i, pick);
            }
        }
    }
    return POLARYS_OK;
}

enum polarys_code compaction_pick_next(const struct tree_levels *levels,
                                       const struct compaction_wish *wish,
                                       struct compaction_pick *pick)
{
    enum polarys_code code = POLARYS_OK;
    memset(pick, 0, sizeof(*pick));
    bool is_urgent = levels->counts[0] >= TREE_LEVEL0_SLOW_FILES && !wish->is_automatic_off;
    if (wish->is_manual && !is_urgent) {
        code = pick_asked(levels, wish, pick);
    }
    if (wish->is_automatic_off) {
        return code;
    }
    if (code == POLARYS_OK && pick->reason == COMPACTION_NONE) {
        code = pick_by_score(levels, wish, pick);
    }
    if (code == POLARYS_OK && pick->reason == COMPACTION_NONE) {
        code = pick_garbage(levels, wish, pick);
    }
    if (code == POLARYS_OK && pick->reason == COMPACTION_NONE) {
        code = pick_retired_key(levels, wish, pick);
    }
    return code;
}
