/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging sources into new table files: what flush and compaction have in common.
 */
#ifndef ENGINE_COMPACTION_COMPACTION_MERGE_H
#define ENGINE_COMPACTION_COMPACTION_MERGE_H

#include "engine/compaction/compaction_filter.h"
#include "engine/compaction/tree_internal.h"

/* One merge. Fill in the first part; the rest belongs to the run. */
struct compaction_merge {
    struct tree *tree;
    uint32_t output_level;
    uint64_t file_bytes_max; /* of one output file; cut at the next key beyond it */
    int zstd_level;
    struct tree_file **grandparents;
    size_t grandparent_count;
    const struct tree_levels *below; /* where a key must not be for a delete of it to go */
    uint32_t below_level;            /* from this level on */
    struct entry_iterator **sources; /* malloc'd; taken over, newest first */
    size_t source_count;
    struct range_list range_deletes; /* of all sources; owned */
    uint64_t newest_version;         /* in any source */

    struct compaction_filter filter;
    struct range_list kept_ranges; /* in start order */
    struct table_builder *builder; /* of the file being written */
    struct buffer cut_key;         /* where it begins; empty: at the start of all keys */
    uint64_t builder_old_versions;
    size_t grandparent_index;
    uint64_t grandparent_bytes; /* overlapped by the file being written */
    struct tree_output_list outputs;
    uint64_t output_bytes;
    uint64_t history_start; /* 0: nothing was dropped */
};

/* Writes the outputs. On failure they are removed again. Errors: CANCELLED when the tree is closing; those
 * of the sources and of table_builder. */
NODISCARD enum polarys_code compaction_merge_run(struct compaction_merge *merge,
                                                 struct polarys_error *err);
void compaction_merge_deinit(struct compaction_merge *merge);
/* Adds to merge->range_deletes; a callback for table_range_deletes_each and its like. */
bool compaction_merge_note_range(void *context, const struct range_delete *range_delete);
/* The lowest version that a reader may still name, as retention says now. */
uint64_t compaction_needed_version_min(struct tree *tree);

#endif
