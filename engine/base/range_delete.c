/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index over range deletes: a segment tree (de Berg et al., Computational Geometry, chapter 10) in
 * arrays.
 *
 * The bounds of all ranges, sorted, cut the key space into elementary intervals, which are the leaves.
 * Each range is noted at the O(log n) tree nodes that together make it up, so n ranges take O(n log n)
 * memory however they overlap. A key lies in one leaf; the ranges that cover it are those noted on the
 * way from that leaf to the root. Each node's versions are sorted downwards.
 */
#include "engine/base/range_delete.h"

#include <stdlib.h>

#include "engine/base/assert.h"

struct range_delete_index {
    struct polarys_slice *bounds; /* sorted, distinct */
    size_t bound_count;
    size_t leaf_count; /* bound_count - 1, or 0 */
    uint32_t *first;   /* per node, 2 * leaf_count + 1: where its versions begin */
    uint64_t *versions;
    size_t bytes;
};

/* A range in terms of leaves: [start, end). */
struct leaf_range {
    uint32_t start;
    uint32_t end;
    uint64_t version;
};

static int compare_bounds(const void *a, const void *b)
{
    return slice_compare(*(const struct polarys_slice *)a, *(const struct polarys_slice *)b);
}

static int compare_versions_down(const void *a, const void *b)
{
    uint64_t first = ((const struct leaf_range *)a)->version;
    uint64_t second = ((const struct leaf_range *)b)->version;
    return (first < second) - (first > second);
}

/* Collects and sorts the distinct bounds of all ranges that are not empty. */
static enum polarys_code collect_bounds(struct range_delete_index *index,
                                        const struct range_delete *list, size_t count)
{
    index->bounds = malloc(2 * count * sizeof(*index->bounds));
    if (index->bounds == NULL) {
        return POLARYS_NO_MEMORY;
    }
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (slice_compare(list[i].start, list[i].end) < 0) {
            index->bounds[total++] = list[i].start;
            index->bounds[total++] = list[i].end;
        }
    }
    qsort(index->bounds, total, sizeof(*index->bounds), compare_bounds);
    size_t kept = 0;
    for (size_t i = 0; i < total; i++) {
        if (kept == 0 || !slice_equal(index->bounds[kept - 1], index->bounds[i])) {
            index->bounds[kept++] = index->bounds[i];
        }
    }
    index->bound_count = kept;
    index->leaf_count = kept == 0 ? 0 : kept - 1;
    return POLARYS_OK;
}

/* How many bounds are at or before `key`. */
static size_t bounds_up_to(const struct range_delete_index *index, struct polarys_slice key)
{
    size_t low = 0;
    size_t high = index->bound_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(index->bounds[middle], key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Ranges by leaf numbers, newest first. Returns how many are not empty. */
static size_t to_leaf_ranges(const struct range_delete_index *index,
                             const struct range_delete *list, size_t count,
                             struct leaf_range *ranges)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (slice_compare(list[i].start, list[i].end) < 0) {
            ranges[kept].start = (uint32_t)(bounds_up_to(index, list[i].start) - 1);
            ranges[kept].end = (uint32_t)(bounds_up_to(index, list[i].end) - 1);
            ranges[kept].version = list[i].version;
            kept++;
        }
    }
    qsort(ranges, kept, sizeof(*ranges), compare_versions_down);
    return kept;
}

/* Calls for every tree node of which `range` is made up: counts it, or notes the version there. */
static void note_range(struct range_delete_index *index, const struct leaf_range *range,
                       uint32_t *fill)
{
    size_t low = range->start + index->leaf_count;
    size_t high = range->end + index->leaf_count;
    while (low < high) {
        size_t nodes[2];
        size_t node_count = 0;
        if (low & 1) {
            nodes[node_count++] = low++;
        }
        if (high & 1) {
            nodes[node_count++] = --high;
        }
        for (size_t i = 0; i < node_count; i++) {
            if (fill == NULL) {
                index->first[nodes[i] + 1]++;
            } else {
                index->versions[fill[nodes[i]]++] = range->version;
            }
        }
        low >>= 1;
        high >>= 1;
    }
}

static enum polarys_code fill_nodes(struct range_delete_index *index,
                                    const struct leaf_range *ranges, size_t count)
{
    size_t node_count = 2 * index->leaf_count;
    index->first = calloc(node_count + 1, sizeof(*index->first));
    if (index->first == NULL) {
        return POLARYS_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        note_range(index, &ranges[i], NULL);
    }
    for (size_t i = 0; i < node_count; i++) {
        index->first[i + 1] += index->first[i];
    }
    size_t total = index->first[node_count];
    index->versions = malloc((total + 1) * sizeof(*index->versions));
    uint32_t *fill = malloc((node_count + 1) * sizeof(*fill));
    if (index->versions == NULL || fill == NULL) {
        free(fill);
        return POLARYS_NO_MEMORY;
    }
    memcpy(fill, index->first, (node_count + 1) * sizeof(*fill));
    for (size_t i = 0; i < count; i++) {
        note_range(index, &ranges[i], fill);
    }
    free(fill);
    index->bytes = sizeof(*index) + index->bound_count * sizeof(*index->bounds) +
                   (node_count + 1) * sizeof(*index->first) + total * sizeof(*index->versions);
    return POLARYS_OK;
}

enum polarys_code range_delete_index_create(const struct range_delete *list, size_t count,
                                            struct range_delete_index **out)
{
    POLARYS_ASSERT(count <= RANGE_DELETE_INDEX_MAX);
    *out = NULL;
    struct leaf_range *ranges = NULL;
    struct range_delete_index *index = calloc(1, sizeof(*index));
    if (index == NULL) {
        return POLARYS_NO_MEMORY;
    }
    index->bytes = sizeof(*index);
    if (count == 0) {
        *out = index;
        return POLARYS_OK;
    }
    enum polarys_code code = collect_bounds(index, list, count);
    if (code != POLARYS_OK) {
        goto fail;
    }
    ranges = malloc(count * sizeof(*ranges));
    if (ranges == NULL) {
        code = POLARYS_NO_MEMORY;
        goto fail;
    }
    code = fill_nodes(index, ranges, to_leaf_ranges(index, list, count, ranges));
    if (code != POLARYS_OK) {
        goto fail;
    }
    free(ranges);
    *out = index;
    return POLARYS_OK;

fail:
    free(ranges);
    range_delete_index_destroy(index);
    return code;
}

void range_delete_index_destroy(struct range_delete_index *index)
{
    if (index == NULL) {
        return;
    }
    free(index->bounds);
    free(index->first);
    free(index->versions);
    free(index);
}

/* The highest version at or below `snapshot` that is noted at `node`; 0 when there is none. */
static uint64_t node_find(const struct range_delete_index *index, size_t node, uint64_t snapshot)
{
    size_t low = index->first[node];
    size_t end = index->first[node + 1];
    size_t high = end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->versions[middle] > snapshot) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < end ? index->versions[low] : 0;
}

uint64_t range_delete_index_find(const struct range_delete_index *index, struct polarys_slice key,
                                 uint64_t snapshot)
{
    size_t before = bounds_up_to(index, key);
    if (before == 0 || before > index->leaf_count) {
        return 0;
    }
    uint64_t newest = 0;
    for (size_t node = before - 1 + index->leaf_count; node >= 1; node >>= 1) {
        uint64_t version = node_find(index, node, snapshot);
        newest = version > newest ? version : newest;
    }
    return newest;
}

size_t range_delete_index_bytes(const struct range_delete_index *index)
{
    return index->bytes;
}
