/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state that the edits add up to, and what one edit does to it.
 *
 * Invariant: a change is worked out in full (and its memory taken) before the edit is written, so an edit
 * that is durable is always applied. Level 0 is ordered by file id, deeper levels by smallest key, and
 * there neighbours do not overlap (they may touch: a largest key can be the exclusive end of a range
 * delete).
 */
#include "engine/manifest/manifest_internal.h"

#include <stdlib.h>

void manifest_state_deinit(struct manifest_state *state)
{
    for (size_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < state->level_counts[level]; i++) {
            table_meta_deinit(&state->levels[level][i]);
        }
        free(state->levels[level]);
        state->levels[level] = NULL;
        state->level_counts[level] = 0;
    }
}

static int compare_by_id(const void *a, const void *b)
{
    const struct table_meta *left = a;
    const struct table_meta *right = b;
    return (left->file_id > right->file_id) - (left->file_id < right->file_id);
}

static int compare_by_key(const void *a, const void *b)
{
    const struct table_meta *left = a;
    const struct table_meta *right = b;
    int order =
        slice_compare(buffer_slice(&left->smallest_key), buffer_slice(&right->smallest_key));
    if (order == 0) {
        order = slice_compare(buffer_slice(&left->largest_key), buffer_slice(&right->largest_key));
    }
    return order != 0 ? order : compare_by_id(a, b);
}

static bool edit_removes(const struct manifest_edit *edit, uint32_t level, uint64_t file_id)
{
    for (size_t i = 0; i < edit->removed_count; i++) {
        if (edit->removed[i].level == level && edit->removed[i].file_id == file_id) {
            return true;
        }
    }
    return false;
}

static size_t count_removed(const struct manifest_edit *edit, uint32_t level)
{
    size_t count = 0;
    for (size_t i = 0; i < edit->removed_count; i++) {
        count += edit->removed[i].level == level;
    }
    return count;
}

static size_t count_added(const struct manifest_edit *edit, uint32_t level)
{
    size_t count = 0;
    for (size_t i = 0; i < edit->added_count; i++) {
        count += edit->added[i].level == level;
    }
    return count;
}

static enum polarys_code check_level(const struct table_meta *files, size_t count, uint32_t level,
                                     struct polarys_error *err)
{
    for (size_t i = 1; i < count; i++) {
        if (level == 0 && files[i - 1].file_id == files[i].file_id) {
            return polarys_fail(err, POLARYS_BUG, "file %012llx is in level 0 twice",
                                (unsigned long long)files[i].file_id);
        }
        if (level > 0 && slice_compare(buffer_slice(&files[i - 1].largest_key),
                                       buffer_slice(&files[i].smallest_key)) > 0) {
            return polarys_fail(err, POLARYS_BUG, "files %012llx and %012llx overlap in level %u",
                                (unsigned long long)files[i - 1].file_id,
                                (unsigned long long)files[i].file_id, level);
        }
    }
    return POLARYS_OK;
}

/* Works out one level's new array. */
static enum polarys_code prepare_level(const struct manifest_state *state,
                                       const struct manifest_edit *edit, uint32_t level,
                                       struct manifest_change *change, struct polarys_error *err)
{
    size_t old_count = state->level_counts[level];
    size_t removed = count_removed(edit, level);
    size_t added = count_added(edit, level);
    if (removed == 0 && added == 0) {
        return POLARYS_OK;
    }
    struct table_meta *files = calloc(old_count + added + 1, sizeof(*files));
    if (files == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for level %u", level);
    }
    change->levels[level] = files;
    change->is_touched[level] = true;
    size_t count = 0;
    size_t dropped = 0;
    for (size_t i = 0; i < old_count; i++) {
        const struct table_meta *meta = &state->levels[level][i];
        if (removed > 0 && edit_removes(edit, level, meta->file_id)) {
            change->dropped[change->dropped_count++] = *meta;
            dropped++;
        } else {
            files[count++] = *meta;
        }
    }
    if (dropped != removed) {
        return polarys_fail(err, POLARYS_BUG, "%zu of %zu files to remove are not in level %u",
                            removed - dropped, removed, level);
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i].level == level) {
            files[count++] = change->added[i];
        }
    }
    qsort(files, count, sizeof(*files), level == 0 ? compare_by_id : compare_by_key);
    change->level_counts[level] = count;
    return check_level(files, count, level, err);
}

enum polarys_code manifest_change_prepare(const struct manifest_state *state,
                                          const struct manifest_edit *edit,
                                          struct manifest_change *change, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    memset(change, 0, sizeof(*change));
    if (edit->added_count > MANIFEST_EDIT_FILES_MAX ||
        edit->removed_count > MANIFEST_EDIT_FILES_MAX) {
        return polarys_fail(err, POLARYS_BUG, "an edit of more than %d files",
                            MANIFEST_EDIT_FILES_MAX);
    }
    change->added = calloc(edit->added_count + 1, sizeof(change->added[0]));
    change->dropped = calloc(edit->removed_count + 1, sizeof(change->dropped[0]));
    if (change->added == NULL || change->dropped == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for an edit");
        goto fail;
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        code = table_meta_copy(&change->added[i], &edit->added[i].meta);
        if (code != POLARYS_OK) {
            polarys_fail(err, code, "no memory for an edit");
            goto fail;
        }
        change->added_count++;
    }
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        code = prepare_level(state, edit, level, change, err);
        if (code != POLARYS_OK) {
            goto fail;
        }
    }
    return POLARYS_OK;

fail:
    manifest_change_deinit(change);
    return code;
}

void manifest_change_deinit(struct manifest_change *change)
{
    for (size_t i = 0; i < change->added_count; i++) {
        table_meta_deinit(&change->added[i]);
    }
    for (size_t level = 0; level < MANIFEST_LEVELS; level++) {
        free(change->levels[level]);
    }
    free(change->added);
    free(change->dropped);
    memset(change, 0, sizeof(*change));
}

/* Samples get sparser with age: a full array gives up every second one of its older half. */
static void add_time(struct manifest_state *state, struct version_time time)
{
    if (time.version == 0 ||
        (state->time_count > 0 && state->times[state->time_count - 1].version >= time.version)) {
        return;
    }
    if (state->time_count == MANIFEST_TIMES_MAX) {
        size_t half = MANIFEST_TIMES_MAX / 2;
        for (size_t i = 0; i < half / 2; i++) {
            state->times[i] = state->times[2 * i];
        }
        memmove(state->times + half / 2, state->times + half, half * sizeof(state->times[0]));
        state->time_count -= half / 2;
    }
    POLARYS_ASSERT(state->time_count < MANIFEST_TIMES_MAX);
    state->times[state->time_count++] = time;
}

static void commit_scalars(struct manifest_state *state, const struct manifest_edit *edit)
{
    if (edit->has_flushed_version && edit->flushed_version > state->flushed_version) {
        state->flushed_version = edit->flushed_version;
    }
    if (edit->has_flushed_version) {
        add_time(state, edit->flushed_time);
    }
    if (edit->has_history_start && edit->history_start > state->history_start) {
        state->history_start = edit->history_start;
    }
    if (edit->has_origin) {
        memcpy(state->history_id, edit->history_id, HISTORY_ID_SIZE);
        state->term = edit->term;
        state->origin_version = edit->first_version;
    }
    state->is_clean = edit->has_clean;
    if (edit->has_clean) {
        state->clean_position = edit->clean_position;
        state->clean_version = edit->clean_version;
    }
}

void manifest_change_commit(struct manifest_state *state, const struct manifest_edit *edit,
                            struct manifest_change *change)
{
    for (size_t level = 0; level < MANIFEST_LEVELS; level++) {
        if (change->is_touched[level]) {
            free(state->levels[level]);
            state->levels[level] = change->levels[level];
            state->level_counts[level] = change->level_counts[level];
            change->levels[level] = NULL;
        }
    }
    for (size_t i = 0; i < change->added_count; i++) {
        if (change->added[i].file_id >= state->next_file_id) {
            state->next_file_id = change->added[i].file_id + 1;
        }
    }
    for (size_t i = 0; i < change->dropped_count; i++) {
        table_meta_deinit(&change->dropped[i]);
    }
    change->added_count = 0; /* they are the state's now */
    change->dropped_count = 0;
    commit_scalars(state, edit);
}

enum polarys_code manifest_state_apply(struct manifest_state *state,
                                       const struct manifest_record *record,
                                       struct polarys_error *err)
{
    struct manifest_change change;
    enum polarys_code code = manifest_change_prepare(state, &record->edit, &change, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code == POLARYS_BUG ? POLARYS_CORRUPT : code,
                            "apply manifest record");
    }
    manifest_change_commit(state, &record->edit, &change);
    manifest_change_deinit(&change);
    if (record->next_file_id > state->next_file_id) {
        state->next_file_id = record->next_file_id;
    }
    for (size_t i = 0; i < record->time_count; i++) {
        add_time(state, record->times[i]);
    }
    return POLARYS_OK;
}
