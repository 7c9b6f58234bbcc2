/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index maintenance: for each document that a batch writes, the entries of what it was and of what it will be;
 * what differs is written in the same commit.
 *
 * Invariant: every old document that entries were worked out from joined the validated read set, so the
 * difference is right when the commit is, or the batch is prepared again. An index that came or went meanwhile
 * shows in the schema version, which is validated too.
 */
#include "engine/batch_index_internal.h"

#include <stdlib.h>
#include <string.h>

static enum polarys_code fail_memory(struct index_work *work)
{
    return polarys_fail(work->err, POLARYS_NO_MEMORY, "no memory to maintain indexes");
}

bool index_work_table(struct index_work *work, struct polarys_slice tree_key)
{
    POLARYS_ASSERT(tree_key.size >= TREE_KEY_PREFIX_SIZE);
    if (work->has_prefix && memcmp(work->prefix, tree_key.data, TREE_KEY_PREFIX_SIZE) == 0) {
        return work->index_count > 0;
    }
    memcpy(work->prefix, tree_key.data, TREE_KEY_PREFIX_SIZE);
    work->has_prefix = true;
    work->indexes =
        catalog_table_indexes(work->catalog, get_u32_be(tree_key.data + 4), &work->index_count);
    /* The system's tables have ids of their own kind. */
    if (work->index_count > 0 && work->indexes[0]->database_id != get_u32_be(tree_key.data)) {
        work->index_count = 0;
    }
    bool has_maintained = false;
    for (size_t i = 0; i < work->index_count; i++) {
        has_maintained = has_maintained || work->indexes[i]->state != INDEX_FAILED;
    }
    work->index_count = has_maintained ? work->index_count : 0;
    return has_maintained;
}

enum polarys_code index_work_delete(struct index_work *work, struct polarys_slice tree_key)
{
    struct polarys_batch *batch = work->batch;
    struct batch_effect *effect = batch_array_next(&batch->effects, sizeof(*effect));
    struct polarys_slice copy = batch_made_copy(batch, tree_key.data, tree_key.size);
    if (effect == NULL || copy.data == NULL) {
        return copy.data == NULL ? batch_fail_arena(&batch->made, tree_key.size, work->err)
                                 : fail_memory(work);
    }
    *effect = (struct batch_effect){.kind = EFFECT_DELETE, .key = copy};
    batch->effects.count++;
    return POLARYS_OK;
}

static enum polarys_code change_add(struct index_work *work, const struct index_definition *index,
                                    const struct index_entry *entry, bool is_put,
                                    struct polarys_slice document)
{
    struct index_change *change = batch_array_next(&work->changes, sizeof(*change));
    if (change == NULL) {
        return fail_memory(work);
    }
    *change = (struct index_change){
        .key = batch_made_copy(work->batch, entry->key.data, entry->key.size),
        .document = document,
        .index = index,
        .is_put = is_put,
        .is_unique = entry->is_unique,
    };
    if (is_put && entry->value.size > 0) {
        change->value = batch_made_copy(work->batch, entry->value.data, entry->value.size);
    }
    if (change->key.data == NULL || (change->value.size > 0 && change->value.data == NULL)) {
        return batch_fail_arena(&work->batch->made, entry->key.size + entry->value.size, work->err);
    }
    work->changes.count++;
    return POLARYS_OK;
}

/* Both lists ascend: what is in one only, or has another value, is a change. */
static enum polarys_code changes_of_difference(struct index_work *work,
                                               const struct index_definition *index,
                                               struct polarys_slice document)
{
    const struct index_entries *before = &work->before;
    const struct index_entries *after = &work->after;
    size_t i = 0;
    size_t j = 0;
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && (i < before->count || j < after->count)) {
        int order = i == before->count  ? 1
                    : j == after->count ? -1
                                        : slice_compare(before->list[i].key, after->list[j].key);
        if (order < 0) {
            code = change_add(work, index, &before->list[i++], false, document);
        } else if (order > 0) {
            code = change_add(work, index, &after->list[j++], true, document);
        } else {
            if (!slice_equal(before->list[i].value, after->list[j].value)) {
                code = change_add(work, index, &after->list[j], true, document);
            }
            i++;
            j++;
        }
    }
    return code;
}

/* `old` is empty when there is no document yet. */
static enum polarys_code index_changes(struct index_work *work,
                                       const struct index_definition *index,
                                       const struct batch_effect *effect, struct polarys_slice old)
{
    struct polarys_slice key = slice_make(effect->key.data + TREE_KEY_PREFIX_SIZE,
                                          effect->key.size - TREE_KEY_PREFIX_SIZE);
    enum polarys_code code = POLARYS_OK;
    POLARYS_ASSERT(index->state != INDEX_FAILED); /* nobody maintains those */
    work->before.count = 0;
    work->after.count = 0;
    if (old.size > 0) {
        code = index_entries_make(index, key, old, &work->before, work->err);
        if (code == POLARYS_TOO_LARGE) {
            /* Written before there was the index, which it keeps from being built: it has no entries. */
            work->before.count = 0;
            code = POLARYS_OK;
        }
    }
    if (code == POLARYS_OK && effect->kind == EFFECT_PUT) {
        code = index_entries_make(index, key, effect->value, &work->after, work->err);
    }
    return code == POLARYS_OK ? changes_of_difference(work, index, effect->key) : code;
}

enum polarys_code index_work_effect(struct index_work *work, const struct batch_effect *effect)
{
    if (effect->kind == EFFECT_DROPPED || !index_work_table(work, effect->key)) {
        return POLARYS_OK;
    }
    struct polarys_batch *batch = work->batch;
    struct tree_value old = {0};
    /* As it is stored: also a document that has expired has entries until it is deleted. */
    enum polarys_code code = batch_read_key_add(batch, effect->key, work->err);
    if (code == POLARYS_OK) {
        code = tree_get(batch->db->tree, effect->key, batch->read_version, work->tree_flags, &old,
                        work->err);
        code = code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
    }
    for (size_t i = 0; i < work->index_count && code == POLARYS_OK; i++) {
        if (work->indexes[i]->state != INDEX_FAILED) {
            code = index_changes(work, work->indexes[i], effect, old.bytes);
        }
    }
    tree_value_release(&old);
    return code;
}

enum polarys_code batch_index(struct polarys_batch *batch, unsigned tree_flags,
                              struct polarys_error *err)
{
    POLARYS_ASSERT(batch->may_have_indexes && batch->index_changes.count == 0);
    POLARYS_ASSERT(batch->reduced_count == batch->effects.count);
    struct catalog *catalog = catalog_acquire(&batch->db->catalog);
    struct index_work work = {
        .batch = batch, .catalog = catalog, .tree_flags = tree_flags, .err = err};
    enum polarys_code code = index_work_ranges(&work);
    /* By index: the effects may move while they are looked at. */
    for (size_t i = 0; i < batch->effects.count && code == POLARYS_OK; i++) {
        struct batch_effect effect = batch_effects(batch)[i];
        code = index_work_effect(&work, &effect);
    }
    if (code == POLARYS_OK && work.changes.count > 0) {
        code = index_work_settle(&work);
    }
    index_entries_deinit(&work.before);
    index_entries_deinit(&work.after);
    if (work.changes.is_heap) {
        free(work.changes.items);
    }
    catalog_release(catalog);
    return code;
}
