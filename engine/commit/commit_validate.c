/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the one validator: backward validation of what a commit read against what was committed since.
 *
 * Invariant: a commit passes only when no version above its read_version, published or only numbered,
 * wrote a key or a range that it read, and when the schema is still the one it was prepared for. The
 * memtables answer exactly for versions above the tree's floor; below it nobody looks, and the commit is
 * prepared again. No table file is ever read here.
 */
#include "engine/commit/commit_internal.h"

static void version_raise(uint64_t *version, uint64_t to)
{
    if (*version < to) {
        *version = to;
    }
}

/* The newest version of anything that the request read, as far as the memtables know; of ranges only what is
 * newer than it read. */
static uint64_t newest_of_reads(struct tree *tree, const struct commit_request *request)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < request->read_key_count; i++) {
        version_raise(&newest, tree_newest_version(tree, request->read_keys[i]));
    }
    for (size_t i = 0; i < request->read_range_count; i++) {
        const struct commit_range *range = &request->read_ranges[i];
        version_raise(&newest, tree_newest_version_in_range(tree, range->start, range->end,
                                                            request->read_version));
    }
    return newest;
}

bool commit_validate(struct commit_path *path, const struct commit_request *request,
                     uint64_t *conflict_version)
{
    uint64_t conflict = 0;
    if (request->schema_version != path->sequenced_schema_version) {
        version_raise(&conflict, path->sequenced_schema_version);
    }
    if (request->read_key_count != 0 || request->read_range_count != 0) {
        uint64_t newest = newest_of_reads(path->options.tree, request);
        if (newest > request->read_version) {
            version_raise(&conflict, newest);
        }
        /* Asked for last: a flush that ends meanwhile only raises it, so what was in the memtables above
         * this floor was there when they were searched. */
        uint64_t floor = tree_memtable_floor(path->options.tree);
        if (request->read_version < floor) {
            version_raise(&conflict, floor);
        }
    }
    *conflict_version = conflict;
    return conflict == 0 && request->schema_version == path->sequenced_schema_version;
}
