/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Range deletes of tables that have indexes: the documents in the range are deleted one by one, so that their
 * entries go too. The range joins the validated reads: a document that comes into it meanwhile is seen.
 */
#include <string.h>

#include "engine/batch_index_internal.h"

static enum polarys_code fail_limit(const struct index_work *work)
{
    uint32_t limit = work->batch->db->settings.range_delete_max;
    enum polarys_code code = polarys_fail(
        work->err, POLARYS_TOO_LARGE,
        "the table has indexes: a range delete of it takes at most %u documents at once", limit);
    polarys_error_detail_set(work->err, "limit", "%u", limit);
    return code;
}

/* A document of the range: what the batch does with it otherwise stays, when that came later. */
static enum polarys_code range_document(struct index_work *work, struct polarys_slice tree_key,
                                        uint64_t *count)
{
    struct batch_effect *effect = batch_effect_find(work->batch, tree_key);
    if (effect != NULL && effect->kind != EFFECT_DROPPED) {
        return POLARYS_OK;
    }
    if (++*count > work->batch->db->settings.range_delete_max) {
        return fail_limit(work);
    }
    if (effect == NULL) {
        return index_work_delete(work, tree_key);
    }
    *effect = (struct batch_effect){.kind = EFFECT_DELETE, .key = effect->key};
    return POLARYS_OK;
}

static enum polarys_code range_expand(struct index_work *work, const struct commit_range *range,
                                      uint64_t *count)
{
    struct polarys_batch *batch = work->batch;
    POLARYS_ASSERT(slice_compare(range->start, range->end) < 0);
    struct commit_range *read = batch_array_next(&batch->read_ranges, sizeof(*read));
    if (read == NULL) {
        return polarys_fail(work->err, POLARYS_NO_MEMORY, "no memory to delete a range");
    }
    *read = *range;
    batch->read_ranges.count++;
    struct entry_iterator *iterator;
    enum polarys_code code =
        tree_iterator_create(batch->db->tree, range->start, range->end, batch->read_version,
                             work->tree_flags, &iterator, work->err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid && code == POLARYS_OK) {
        code = range_document(work, iterator->entry.key, count);
        entry_iterator_next(iterator);
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (work->err != NULL && code != POLARYS_WOULD_BLOCK) {
            *work->err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

enum polarys_code index_work_ranges(struct index_work *work)
{
    struct polarys_batch *batch = work->batch;
    struct commit_range *ranges = batch->ranges.items;
    /* Those of the system delete a table whole, and its indexes too. */
    if (batch->is_system) {
        return POLARYS_OK;
    }
    uint64_t count = 0;
    size_t kept = 0;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < batch->ranges.count && code == POLARYS_OK; i++) {
        if (index_work_table(work, ranges[i].start)) {
            code = range_expand(work, &ranges[i], &count);
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    batch->ranges.count = kept;
    return code;
}
