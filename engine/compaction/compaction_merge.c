/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge loop: sources in, kept entries out, files cut between keys.
 *
 * Invariant: all versions of a key go into one output file, and each range delete is cut at the file
 * bounds, so the files of the output level stay disjoint.
 */
#include "engine/compaction/compaction_merge.h"

#include "engine/base/merge_iterator.h"
#include "engine/compaction/compaction_pick.h"

#include <stdlib.h>

enum { MERGE_CHECK_INTERVAL = 1024 }; /* entries between looks at whether the tree is closing */

bool compaction_merge_note_range(void *context, const struct range_delete *range_delete)
{
    struct compaction_merge *merge = context;
    return range_list_add(&merge->range_deletes, range_delete) == POLARYS_OK;
}

void compaction_merge_deinit(struct compaction_merge *merge)
{
    for (size_t i = 0; i < merge->source_count; i++) {
        entry_iterator_destroy(merge->sources[i]);
    }
    free(merge->sources);
    table_builder_destroy(merge->builder);
    compaction_filter_deinit(&merge->filter);
    range_list_deinit(&merge->kept_ranges);
    range_list_deinit(&merge->range_deletes);
    buffer_deinit(&merge->cut_key);
    tree_output_list_deinit(&merge->outputs);
    memset(merge, 0, sizeof(*merge));
}

/* ---- retention ---- */

struct retention {
    uint64_t *versions;
    size_t count;
    uint64_t history_start;
};

static enum polarys_code retention_get(struct tree *tree, struct retention *retention,
                                       struct polarys_error *err)
{
    retention->history_start = VERSION_MAX;
    retention->count = 0;
    retention->versions = malloc(TREE_SNAPSHOTS_MAX * sizeof(retention->versions[0]));
    if (retention->versions == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the snapshots in use");
    }
    if (tree->options.retention != NULL) {
        retention->count = tree->options.retention(tree->options.context, retention->versions,
                                                   &retention->history_start);
        POLARYS_ASSERT(retention->count <= TREE_SNAPSHOTS_MAX);
    }
    return POLARYS_OK;
}

uint64_t compaction_needed_version_min(struct tree *tree)
{
    struct retention retention = {0};
    uint64_t lowest = 0; /* without memory to find out: everything is needed */
    if (retention_get(tree, &retention, NULL) == POLARYS_OK) {
        lowest = retention.history_start;
        if (retention.count > 0 && retention.versions[0] < lowest) {
            lowest = retention.versions[0];
        }
    }
    free(retention.versions);
    return lowest;
}

static bool is_bottom(void *context, struct polarys_slice start, struct polarys_slice end)
{
    const struct compaction_merge *merge = context;
    return !tree_levels_overlap(merge->below, merge->below_level, start, end);
}

static enum polarys_code init_filter(struct compaction_merge *merge, struct polarys_error *err)
{
    struct retention retention = {0};
    enum polarys_code code = retention_get(merge->tree, &retention, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = compaction_filter_init(&merge->filter, retention.versions, retention.count,
                                  retention.history_start, merge->range_deletes.items,
                                  merge->range_deletes.count);
    free(retention.versions);
    if (code == POLARYS_OK) {
        merge->filter.is_bottom = is_bottom;
        merge->filter.context = merge;
        code = compaction_filter_range_deletes(&merge->filter, merge->range_deletes.items,
                                               merge->range_deletes.count, &merge->kept_ranges);
    }
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for range deletes");
}

/* ---- output files ---- */

static enum polarys_code open_output(struct compaction_merge *merge, struct polarys_error *err)
{
    struct tree *tree = merge->tree;
    struct table_builder_options options = {
        .file_id = manifest_file_id_next(tree->options.manifest),
        .block_bytes = tree->options.block_bytes,
        .zstd_level = merge->zstd_level,
        .is_last_level = merge->output_level == MANIFEST_LEVELS - 1,
    };
    merge->builder_old_versions = 0;
    merge->grandparent_bytes = 0;
    return table_builder_create(&tree->options.env, &options, &merge->builder, err);
}

/* The kept range deletes within [cut_key, end), cut to fit; an empty `end` is no end. Pieces wholly before
 * `end` are not looked at again. */
static enum polarys_code add_ranges(struct compaction_merge *merge, struct polarys_slice end,
                                    struct polarys_error *err)
{
    struct polarys_slice begin = buffer_slice(&merge->cut_key);
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < merge->kept_ranges.count && code == POLARYS_OK; i++) {
        struct range_delete piece = merge->kept_ranges.items[i];
        if (end.size > 0 && slice_compare(piece.start, end) >= 0) {
            break;
        }
        if (slice_compare(piece.end, begin) <= 0) {
            continue;
        }
        if (slice_compare(piece.start, begin) < 0) {
            piece.start = begin;
        }
        if (end.size > 0 && slice_compare(piece.end, end) > 0) {
            piece.end = end;
        }
        code = table_builder_add_range_delete(merge->builder, &piece, err);
    }
    return code;
}

static enum polarys_code add_output(struct compaction_merge *merge, struct polarys_error *err)
{
    struct tree_output_list *outputs = &merge->outputs;
    struct tree_output *items =
        realloc(outputs->items, (outputs->count + 1) * sizeof(outputs->items[0]));
    if (items == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a list of tables");
    }
    outputs->items = items;
    struct tree_output *output = &items[outputs->count];
    memset(output, 0, sizeof(*output));
    enum polarys_code code = table_builder_finish(merge->builder, &output->meta, err);
    if (code == POLARYS_OK) {
        output->old_version_count = merge->builder_old_versions;
        merge->output_bytes += output->meta.file_bytes;
        outputs->count++;
    }
    return code;
}

/* Finishes the file being written; the next one begins at `end` (empty: there is none). */
static enum polarys_code finish_output(struct compaction_merge *merge, struct polarys_slice end,
                                       struct polarys_error *err)
{
    enum polarys_code code = add_ranges(merge, end, err);
    if (code == POLARYS_OK) {
        code = add_output(merge, err);
    }
    table_builder_destroy(merge->builder);
    merge->builder = NULL;
    if (code != POLARYS_OK) {
        return code;
    }
    buffer_clear(&merge->cut_key);
    code = buffer_append_slice(&merge->cut_key, end);
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for a key");
}

/* True when the file being written is to end before `key`. */
static bool wants_cut(struct compaction_merge *merge, struct polarys_slice key)
{
    bool is_boundary = false; /* `key` lies beyond a file that what came before did not pass */
    while (merge->grandparent_index < merge->grandparent_count &&
           slice_compare(tree_file_largest(merge->grandparents[merge->grandparent_index]), key) <
               0) {
        merge->grandparent_bytes += merge->grandparents[merge->grandparent_index]->meta.file_bytes;
        merge->grandparent_index++;
        is_boundary = true;
    }
    /* Overlap alone cuts only what is worth a file. One that ends where a file of the next level does will
     * drag one file fewer along when it goes down. */
    uint64_t bytes = table_builder_bytes(merge->builder);
    return bytes >= merge->file_bytes_max || (is_boundary && bytes >= merge->file_bytes_max / 2) ||
           (merge->grandparent_bytes > COMPACTION_GRANDPARENT_FACTOR * merge->file_bytes_max &&
            bytes >= merge->file_bytes_max / 16);
}

static enum polarys_code write_entry(struct compaction_merge *merge, const struct entry *entry,
                                     bool is_first_of_key, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (merge->builder != NULL && is_first_of_key && wants_cut(merge, entry->key)) {
        code = finish_output(merge, entry->key, err);
    }
    if (code == POLARYS_OK && merge->builder == NULL) {
        code = open_output(merge, err);
    }
    return code == POLARYS_OK ? table_builder_add(merge->builder, entry, err) : code;
}

/* ---- the loop ---- */

static enum polarys_code merge_entries(struct compaction_merge *merge,
                                       struct entry_iterator *source, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    uint64_t count = 0;
    entry_iterator_seek_first(source);
    while (source->is_valid && code == POLARYS_OK) {
        uint64_t old_before = merge->filter.old_version_count;
        if (compaction_filter_keep(&merge->filter, &source->entry)) {
            bool is_old = merge->filter.old_version_count > old_before;
            code = write_entry(merge, &source->entry, !is_old, err);
            merge->builder_old_versions += is_old;
        }
        if (++count % MERGE_CHECK_INTERVAL == 0 &&
            __atomic_load_n(&merge->tree->is_stopping, __ATOMIC_RELAXED)) {
            return polarys_fail(err, POLARYS_CANCELLED, "the tree is closing");
        }
        if (code == POLARYS_OK) {
            entry_iterator_next(source);
        }
    }
    if (code == POLARYS_OK && source->code != POLARYS_OK) {
        code = source->code;
        if (err != NULL) {
            *err = source->error;
        }
    }
    return code;
}

/* The last file, with the range deletes that are left; it may hold nothing else. */
static enum polarys_code finish_last(struct compaction_merge *merge, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    bool has_ranges = false;
    for (size_t i = 0; i < merge->kept_ranges.count && !has_ranges; i++) {
        has_ranges =
            slice_compare(merge->kept_ranges.items[i].end, buffer_slice(&merge->cut_key)) > 0;
    }
    if (merge->builder == NULL && has_ranges) {
        code = open_output(merge, err);
    }
    if (code == POLARYS_OK && merge->builder != NULL) {
        code = finish_output(merge, slice_make(NULL, 0), err);
    }
    return code;
}

/* What history starts at after this merge: nothing was dropped that a read at a newer version sees. */
static void note_history(struct compaction_merge *merge)
{
    if (merge->filter.dropped_count == 0) {
        return;
    }
    uint64_t start = merge->filter.snapshots[merge->filter.snapshot_count - 1];
    merge->history_start = start < merge->newest_version ? start : merge->newest_version;
}

enum polarys_code compaction_merge_run(struct compaction_merge *merge, struct polarys_error *err)
{
    struct entry_iterator *source = NULL;
    size_t source_count = merge->source_count;
    enum polarys_code code = init_filter(merge, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    merge->source_count = 0; /* the merge iterator takes them over, on failure too */
    code = merge_iterator_create(merge->sources, source_count, &source, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = merge_entries(merge, source, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = finish_last(merge, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    entry_iterator_destroy(source);
    note_history(merge);
    return POLARYS_OK;

fail:
    entry_iterator_destroy(source);
    table_builder_destroy(merge->builder);
    merge->builder = NULL;
    tree_output_list_remove(merge->tree, &merge->outputs);
    return code;
}
