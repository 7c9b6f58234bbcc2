/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which versions a flush or compaction keeps.
 *
 * The versions that reads may still name are the live snapshots, history_start, and everything above it.
 * Snapshots cut the versions up to history_start into stripes: all versions in one stripe look the same
 * to every reader, so only the newest entry of a key in each stripe is kept.
 *
 * Invariant: for every version that a reader may name, the newest visible entry of every key is the same
 * before and after.
 */
#ifndef ENGINE_COMPACTION_COMPACTION_FILTER_H
#define ENGINE_COMPACTION_COMPACTION_FILTER_H

#include "engine/compaction/range_cover.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The cover of the range deletes of one stripe. */
struct filter_cover {
    size_t stripe;
    struct range_cover cover;
    size_t hint;
};

struct compaction_filter {
    /* Ascending, the last one history_start. Owned. */
    uint64_t *snapshots;
    size_t snapshot_count;
    struct filter_cover *covers; /* by stripe, ascending; only stripes with range deletes */
    size_t cover_count;

    /* True when no entry of a key within [start, end] can lie below the output. */
    bool (*is_bottom)(void *context, struct polarys_slice start, struct polarys_slice end);
    void *context;

    /* The key that is passing by. */
    uint8_t key[TREE_KEY_SIZE_MAX];
    size_t key_size;
    bool has_key;
    bool is_new_key;    /* the last entry shown began a new key */
    size_t last_stripe; /* of the last entry of this key at or below history_start */
    bool has_stripe;
    bool is_kept_before; /* an entry of this key was kept already */

    uint64_t dropped_count;
    uint64_t old_version_count; /* kept entries that are not the newest of their key */
};

/*
 * `versions` as tree_options.retention filled them (ascending, not above history_start). `items` are all
 * range deletes of the inputs; they are put into another order and must outlive the filter. Errors:
 * NO_MEMORY.
 */
NODISCARD enum polarys_code compaction_filter_init(struct compaction_filter *filter,
                                                   const uint64_t *versions, size_t version_count,
                                                   uint64_t history_start,
                                                   struct range_delete *items, size_t item_count);
void compaction_filter_deinit(struct compaction_filter *filter);

/* To be shown every point entry of the inputs in entry order. True to keep it. */
bool compaction_filter_keep(struct compaction_filter *filter, const struct entry *entry);

/* The range deletes to write, in start order: appended to `kept`. Errors: NO_MEMORY. */
NODISCARD enum polarys_code compaction_filter_range_deletes(struct compaction_filter *filter,
                                                            struct range_delete *items,
                                                            size_t item_count,
                                                            struct range_list *kept);

#ifdef __cplusplus
}
#endif

#endif
