/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uniqueness: all changes of a batch to one unique entry are looked at together, with the entry that is there.
 *
 * Invariant: the entry of a unique value is read and validated whenever one is put, so of two commits that put
 * it one conflicts. A document that has expired but was not swept yet holds no value against anybody: it is
 * deleted in the same commit, with all its entries.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/batch_index_internal.h"

static enum polarys_code fail_memory(struct index_work *work)
{
    return polarys_fail(work->err, POLARYS_NO_MEMORY, "no memory to maintain indexes");
}

static int change_order(const void *a, const void *b)
{
    const struct index_change *left = a;
    const struct index_change *right = b;
    int order = slice_compare(left->key, right->key);
    return order != 0 ? order : slice_compare(left->document, right->document);
}

void batch_key_show(struct polarys_slice key, char *text, size_t size)
{
    bool is_plain = key.size < size;
    for (size_t i = 0; i < key.size && is_plain; i++) {
        is_plain = key.data[i] >= 0x20 && key.data[i] < 0x7f;
    }
    if (is_plain) {
        if (key.size > 0) {
            memcpy(text, key.data, key.size);
        }
        text[key.size] = '\0';
        return;
    }
    static const char digits[] = "0123456789abcdef";
    size_t at = 2;
    memcpy(text, "0x", 2);
    for (size_t i = 0; i < key.size && at + 2 < size; i++) {
        text[at++] = digits[key.data[i] >> 4];
        text[at++] = digits[key.data[i] & 0xf];
    }
    text[at] = '\0';
}

static struct polarys_slice key_of(struct polarys_slice tree_key)
{
    return slice_make(tree_key.data + TREE_KEY_PREFIX_SIZE, tree_key.size - TREE_KEY_PREFIX_SIZE);
}

/* Which operation of the batch wrote the document last. */
static size_t operation_of(const struct polarys_batch *batch, struct polarys_slice tree_key)
{
    for (size_t i = batch->operations.count; i > 0; i--) {
        if (slice_equal(batch_operations(batch)[i - 1].key, tree_key)) {
            return i - 1;
        }
    }
    return 0;
}

static enum polarys_code fail_unique(struct index_work *work, const struct index_change *change,
                                     struct polarys_slice other)
{
    char existing[POLARYS_ERROR_DETAIL_VALUE_MAX];
    char written[POLARYS_ERROR_DETAIL_VALUE_MAX];
    batch_key_show(key_of(other), existing, sizeof(existing));
    batch_key_show(key_of(change->document), written, sizeof(written));
    enum polarys_code code =
        polarys_fail(work->err, POLARYS_UNIQUE_VIOLATION,
                     "unique index \"%s\": document \"%s\" has the values of \"%s\" already",
                     change->index->name, existing, written);
    polarys_error_detail_set(work->err, "index", "%s", change->index->name);
    polarys_error_detail_set(work->err, "key", "%s", existing);
    polarys_error_detail_set(work->err, "written_key", "%s", written);
    polarys_error_detail_set(work->err, "operation", "%zu",
                             operation_of(work->batch, change->document));
    return code;
}

/* All changes of one entry. */
struct index_group {
    const struct index_change *list;
    size_t count;
};

static bool group_deletes(const struct index_group *group, struct polarys_slice document)
{
    for (size_t i = 0; i < group->count; i++) {
        if (!group->list[i].is_put && slice_equal(group->list[i].document, document)) {
            return true;
        }
    }
    return false;
}

/* The document that holds the entry now, as a tree key in made memory; empty when the entry is not there. */
static enum polarys_code holder_read(struct index_work *work, const struct index_change *change,
                                     struct polarys_slice *holder)
{
    struct polarys_batch *batch = work->batch;
    struct tree_value value = {0};
    POLARYS_ASSERT(change->is_unique); /* the value is a document's key there, and nowhere else */
    *holder = slice_make(NULL, 0);
    enum polarys_code code = batch_read_key_add(batch, change->key, work->err);
    if (code == POLARYS_OK) {
        code = tree_get(batch->db->tree, change->key, batch->read_version, work->tree_flags, &value,
                        work->err);
    }
    if (code == POLARYS_OK) {
        uint8_t *key = arena_alloc(&batch->made, TREE_KEY_PREFIX_SIZE + value.bytes.size);
        if (key == NULL) {
            code =
                batch_fail_arena(&batch->made, TREE_KEY_PREFIX_SIZE + value.bytes.size, work->err);
        } else {
            memcpy(key, change->document.data, TREE_KEY_PREFIX_SIZE);
            memcpy(key + TREE_KEY_PREFIX_SIZE, value.bytes.data, value.bytes.size);
            *holder = slice_make(key, TREE_KEY_PREFIX_SIZE + value.bytes.size);
        }
    }
    tree_value_release(&value);
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

/* What the batch does with a document, NULL when nothing; deletes that were added here included. */
static const struct batch_effect *effect_on(const struct index_work *work,
                                            struct polarys_slice tree_key)
{
    struct polarys_batch *batch = work->batch;
    for (size_t i = batch->effects.count; i > batch->reduced_count; i--) {
        if (slice_equal(batch_effects(batch)[i - 1].key, tree_key)) {
            return &batch_effects(batch)[i - 1];
        }
    }
    return batch_effect_find(batch, tree_key);
}

/* Whether the document that holds an entry counts: one that has expired and that the batch does not put again
 * does not. *must_delete: then it has to be deleted first. */
static enum polarys_code holder_counts(struct index_work *work, struct polarys_slice holder,
                                       bool *counts, bool *must_delete)
{
    const struct batch_effect *effect = effect_on(work, holder);
    *counts = effect != NULL && effect->kind == EFFECT_PUT;
    *must_delete = false;
    if (effect != NULL) {
        return POLARYS_OK;
    }
    struct db_found found = {0};
    enum polarys_code code = batch_look(work->batch, holder, work->tree_flags, &found, work->err);
    *counts = code == POLARYS_OK;
    *must_delete = code == POLARYS_KEY_NOT_FOUND && found.value.version != 0;
    tree_value_release(&found.value);
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

/* Looks at who holds the entry that `put` wants. *has_added: a document has to be deleted first. */
static enum polarys_code put_check(struct index_work *work, const struct index_group *group,
                                   const struct index_change *put, bool *has_added)
{
    struct polarys_slice holder;
    enum polarys_code code = holder_read(work, put, &holder);
    if (code != POLARYS_OK || holder.size == 0 || slice_equal(holder, put->document) ||
        group_deletes(group, holder)) {
        return code;
    }
    bool counts;
    bool must_delete;
    code = holder_counts(work, holder, &counts, &must_delete);
    if (code != POLARYS_OK) {
        return code;
    }
    if (counts) {
        return fail_unique(work, put, holder);
    }
    if (must_delete) {
        *has_added = true;
        code = index_work_delete(work, holder);
    }
    return code;
}

static enum polarys_code change_list(struct index_work *work, const struct index_change *change)
{
    struct entry *entry = batch_array_next(&work->batch->index_changes, sizeof(*entry));
    if (entry == NULL) {
        return fail_memory(work);
    }
    *entry = (struct entry){.key = change->key,
                            .value = change->value,
                            .kind = change->is_put ? ENTRY_PUT : ENTRY_DELETE};
    work->batch->index_changes.count++;
    return POLARYS_OK;
}

/* While an index is built two documents may want one entry: only its holder may delete it. */
static enum polarys_code delete_list(struct index_work *work, const struct index_change *change)
{
    if (change->is_unique && change->index->state == INDEX_BUILDING) {
        struct polarys_slice holder;
        enum polarys_code code = holder_read(work, change, &holder);
        if (code != POLARYS_OK || !slice_equal(holder, change->document)) {
            return code;
        }
    }
    return change_list(work, change);
}

static enum polarys_code group_settle(struct index_work *work, const struct index_group *group,
                                      bool *has_added)
{
    const struct index_change *put = NULL;
    POLARYS_ASSERT(group->count > 0);
    for (size_t i = 0; i < group->count; i++) {
        if (!group->list[i].is_put) {
            continue;
        }
        if (put != NULL && !slice_equal(put->document, group->list[i].document)) {
            /* The later operation is the one that has to give way. */
            bool is_later = operation_of(work->batch, put->document) >
                            operation_of(work->batch, group->list[i].document);
            return is_later ? fail_unique(work, put, group->list[i].document)
                            : fail_unique(work, &group->list[i], put->document);
        }
        put = &group->list[i];
    }
    if (put == NULL) {
        /* One holds it, so one deletes it; while it is built, see delete_list. */
        enum polarys_code code = POLARYS_OK;
        size_t listed = work->batch->index_changes.count;
        for (size_t i = 0; i < group->count && code == POLARYS_OK; i++) {
            if (work->batch->index_changes.count == listed) {
                code = delete_list(work, &group->list[i]);
            }
        }
        return code;
    }
    if (put->is_unique) {
        enum polarys_code code = put_check(work, group, put, has_added);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return change_list(work, put);
}

/* One pass over all groups. */
static enum polarys_code settle_once(struct index_work *work, bool *has_added)
{
    struct index_change *changes = work->changes.items;
    size_t count = work->changes.count;
    qsort(changes, count, sizeof(*changes), change_order);
    work->batch->index_changes.count = 0;
    for (size_t i = 0; i < count;) {
        struct index_group group = {&changes[i], 1};
        while (i + group.count < count &&
               slice_equal(changes[i + group.count].key, changes[i].key)) {
            group.count++;
        }
        enum polarys_code code = group_settle(work, &group, has_added);
        if (code != POLARYS_OK) {
            return code;
        }
        i += group.count;
    }
    return POLARYS_OK;
}

enum polarys_code index_work_settle(struct index_work *work)
{
    struct polarys_batch *batch = work->batch;
    POLARYS_ASSERT(work->changes.count > 0);
    /* Each pass but the last adds the deletion of at least one document that was there before. */
    for (;;) {
        bool has_added = false;
        size_t from = batch->effects.count;
        enum polarys_code code = settle_once(work, &has_added);
        for (size_t i = from; i < batch->effects.count && code == POLARYS_OK; i++) {
            struct batch_effect effect = batch_effects(batch)[i];
            code = index_work_effect(work, &effect);
        }
        if (code != POLARYS_OK || !has_added) {
            return code;
        }
    }
}
