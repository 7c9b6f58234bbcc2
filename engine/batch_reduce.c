/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From operations in order to their final effect: one effect a key, and the range deletes, which hide only
 * what is older than the commit. Updates are worked out here, on what the batch's earlier operations or
 * the store leave.
 *
 * Invariant: applying the ranges and then the effects to any state gives what applying the operations one
 * by one would give.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/checksum.h"
#include "engine/batch_internal.h"

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to prepare a batch");
}

static struct commit_range *batch_ranges(const struct polarys_batch *batch)
{
    return batch->ranges.items;
}

static bool is_in_range(const struct commit_range *range, struct polarys_slice key)
{
    return slice_compare(range->start, key) <= 0 && slice_compare(key, range->end) < 0;
}

static bool is_in_ranges(const struct polarys_batch *batch, struct polarys_slice key)
{
    for (size_t i = 0; i < batch->ranges.count; i++) {
        if (is_in_range(&batch_ranges(batch)[i], key)) {
            return true;
        }
    }
    return false;
}

/* A batch of many operations finds effects through a hash table; a small one looks through them. */
static enum polarys_code slots_make(struct polarys_batch *batch, struct polarys_error *err)
{
    batch->effect_slots = NULL;
    batch->effect_slot_count = 0;
    if (batch->operations.count <= BATCH_INLINE) {
        return POLARYS_OK;
    }
    size_t count = 64;
    while (count < 2 * batch->operations.count) {
        count *= 2;
    }
    batch->effect_slots = arena_alloc(&batch->made, count * sizeof(uint32_t));
    if (batch->effect_slots == NULL) {
        return fail_memory(err);
    }
    memset(batch->effect_slots, 0, count * sizeof(uint32_t));
    batch->effect_slot_count = count;
    return POLARYS_OK;
}

/* Where the effect on `key` stands or would stand. */
static uint32_t *slot_find(struct polarys_batch *batch, struct polarys_slice key)
{
    size_t slot = (size_t)checksum_hash64(key) & (batch->effect_slot_count - 1);
    while (batch->effect_slots[slot] != 0 &&
           !slice_equal(batch_effects(batch)[batch->effect_slots[slot] - 1].key, key)) {
        slot = (slot + 1) & (batch->effect_slot_count - 1);
    }
    return &batch->effect_slots[slot];
}

/* Among the first `count` effects. */
static struct batch_effect *effect_look(struct polarys_batch *batch, struct polarys_slice key,
                                        size_t count)
{
    struct batch_effect *effects = batch_effects(batch);
    if (batch->effect_slots != NULL) {
        uint32_t index = *slot_find(batch, key);
        return index == 0 ? NULL : &effects[index - 1];
    }
    for (size_t i = count; i > 0; i--) {
        if (slice_equal(effects[i - 1].key, key)) {
            return &effects[i - 1];
        }
    }
    return NULL;
}

static struct batch_effect *effect_find(struct polarys_batch *batch, struct polarys_slice key)
{
    return effect_look(batch, key, batch->effects.count);
}

struct batch_effect *batch_effect_find(struct polarys_batch *batch, struct polarys_slice key)
{
    return effect_look(batch, key, batch->reduced_count);
}

/* The effect on `key`, made when there is none. NULL for lack of memory. */
static struct batch_effect *effect_get(struct polarys_batch *batch, struct polarys_slice key)
{
    struct batch_effect *effect = effect_find(batch, key);
    if (effect != NULL) {
        return effect;
    }
    effect = batch_array_next(&batch->effects, sizeof(*effect));
    if (effect != NULL) {
        effect->key = key;
        batch->effects.count++;
        if (batch->effect_slots != NULL) {
            *slot_find(batch, key) = (uint32_t)batch->effects.count;
        }
    }
    return effect;
}

static enum polarys_code reduce_put(struct polarys_batch *batch,
                                    const struct batch_operation *operation,
                                    struct polarys_error *err)
{
    struct batch_effect *effect = effect_get(batch, operation->key);
    if (effect == NULL) {
        return fail_memory(err);
    }
    effect->kind = EFFECT_PUT;
    effect->value = operation->value;
    effect->expires_at_ms = operation->expires_at_ms;
    batch->affected++;
    return POLARYS_OK;
}

/* Whether the document is there before this operation. */
static enum polarys_code look_if_there(struct polarys_batch *batch, struct polarys_slice key,
                                       unsigned tree_flags, bool *is_there,
                                       struct polarys_error *err)
{
    const struct batch_effect *effect = effect_find(batch, key);
    *is_there = effect != NULL && effect->kind == EFFECT_PUT;
    if (effect != NULL || is_in_ranges(batch, key)) {
        return POLARYS_OK;
    }
    struct db_found found = {0};
    enum polarys_code code = batch_look(batch, key, tree_flags, &found, err);
    tree_value_release(&found.value);
    *is_there = code == POLARYS_OK;
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

static enum polarys_code reduce_delete(struct polarys_batch *batch,
                                       const struct batch_operation *operation, unsigned tree_flags,
                                       struct polarys_error *err)
{
    bool is_there = true;
    if (operation->must_look) {
        enum polarys_code code = look_if_there(batch, operation->key, tree_flags, &is_there, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    struct batch_effect *effect = effect_get(batch, operation->key);
    if (effect == NULL) {
        return fail_memory(err);
    }
    effect->kind = EFFECT_DELETE;
    effect->value = slice_make(NULL, 0);
    effect->expires_at_ms = 0;
    batch->affected += is_there ? 1 : 0;
    return POLARYS_OK;
}

enum polarys_code batch_merge(const struct batch_operation *update, const struct stored_value *base,
                              size_t value_bytes_max, struct arena *arena,
                              struct batch_merged *merged, struct polarys_error *err)
{
    static const char empty_object[] = "{}";
    struct polarys_slice target = base == NULL ? slice_from_text(empty_object) : base->bytes;
    struct buffer text = {0};
    enum polarys_code code = POLARYS_OK;
    if (base != NULL && !base->is_json) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "the document to update is not JSON");
    }
    if (code == POLARYS_OK) {
        code = json_merge_patch(target, update->value, &text, err);
    }
    if (code == POLARYS_OK && text.size > value_bytes_max) {
        code =
            polarys_fail(err, POLARYS_TOO_LARGE, "the updated document has %zu bytes", text.size);
        polarys_error_detail_set(err, "limit", "%zu", value_bytes_max);
        polarys_error_detail_set(err, "size", "%zu", text.size);
    }
    uint64_t kept_expiry = base == NULL ? 0 : base->expires_at_ms;
    struct stored_value stored = {
        .is_json = true,
        .expires_at_ms = update->expires_at_ms == UINT64_MAX ? kept_expiry : update->expires_at_ms,
        .bytes = buffer_slice(&text),
    };
    struct buffer to = {.capacity = STORED_VALUE_HEADER_MAX + text.size};
    if (code == POLARYS_OK) {
        to.data = arena_alloc(arena, to.capacity);
        if (to.data == NULL) {
            code = batch_fail_arena(arena, to.capacity, err);
        } else if (stored_value_encode(&to, &stored) != POLARYS_OK) {
            code = fail_memory(err);
        }
    }
    *merged = (struct batch_merged){buffer_slice(&to), stored.expires_at_ms};
    buffer_deinit(&text);
    return code;
}

/* Makes what the update comes to the effect's value. */
static enum polarys_code update_apply(struct polarys_batch *batch,
                                      const struct batch_operation *operation,
                                      const struct stored_value *base, struct polarys_error *err)
{
    struct batch_merged merged;
    enum polarys_code code = batch_merge(operation, base, batch->db->settings.value_bytes_max,
                                         &batch->made, &merged, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct batch_effect *effect = effect_get(batch, operation->key);
    if (effect == NULL) {
        return fail_memory(err);
    }
    effect->kind = EFFECT_PUT;
    effect->value = merged.value;
    effect->expires_at_ms = merged.expires_at_ms;
    batch->affected++;
    return POLARYS_OK;
}

static enum polarys_code reduce_update(struct polarys_batch *batch,
                                       const struct batch_operation *operation, unsigned tree_flags,
                                       struct polarys_error *err)
{
    const struct batch_effect *effect = effect_find(batch, operation->key);
    if (effect != NULL && effect->kind == EFFECT_PUT) {
        struct stored_value base;
        bool is_readable = stored_value_decode(effect->value, &base);
        POLARYS_ASSERT(is_readable);
        return update_apply(batch, operation, &base, err);
    }
    if (effect != NULL || is_in_ranges(batch, operation->key)) {
        return update_apply(batch, operation, NULL, err);
    }
    struct db_found found = {0};
    enum polarys_code code = batch_look(batch, operation->key, tree_flags, &found, err);
    if (code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND) {
        code = update_apply(batch, operation, code == POLARYS_OK ? &found.stored : NULL, err);
    }
    tree_value_release(&found.value);
    return code;
}

static enum polarys_code reduce_range(struct polarys_batch *batch,
                                      const struct batch_operation *operation,
                                      struct polarys_error *err)
{
    struct commit_range *range = batch_array_next(&batch->ranges, sizeof(*range));
    if (range == NULL) {
        return fail_memory(err);
    }
    range->start = operation->key;
    range->end = operation->value;
    batch->ranges.count++;
    batch->affected++;
    struct batch_effect *effects = batch_effects(batch);
    for (size_t i = 0; i < batch->effects.count; i++) {
        if (is_in_range(range, effects[i].key)) {
            effects[i].kind = EFFECT_DROPPED;
        }
    }
    return POLARYS_OK;
}

static int range_order(const void *a, const void *b)
{
    return slice_compare(((const struct commit_range *)a)->start,
                         ((const struct commit_range *)b)->start);
}

static bool is_same_table(struct polarys_slice a, struct polarys_slice b)
{
    return memcmp(a.data, b.data, TREE_KEY_PREFIX_SIZE) == 0;
}

/* Sorts the ranges and joins those that overlap or touch, within a table: a commit holds at most one
 * entry of a key, and a range delete of the log stays in its table. */
static void ranges_merge(struct polarys_batch *batch)
{
    struct commit_range *ranges = batch_ranges(batch);
    if (batch->ranges.count < 2) {
        return;
    }
    qsort(ranges, batch->ranges.count, sizeof(*ranges), range_order);
    size_t kept = 0;
    for (size_t i = 1; i < batch->ranges.count; i++) {
        struct commit_range *last = &ranges[kept];
        if (slice_compare(ranges[i].start, last->end) <= 0 &&
            is_same_table(ranges[i].start, last->start)) {
            if (slice_compare(ranges[i].end, last->end) > 0) {
                last->end = ranges[i].end;
            }
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    batch->ranges.count = kept + 1;
}

enum polarys_code batch_reduce(struct polarys_batch *batch, unsigned tree_flags,
                               struct polarys_error *err)
{
    batch->effects.count = 0;
    batch->ranges.count = 0;
    batch->affected = 0;
    enum polarys_code code = slots_make(batch, err);
    for (size_t i = 0; i < batch->operations.count && code == POLARYS_OK; i++) {
        const struct batch_operation *operation = &batch_operations(batch)[i];
        switch (operation->kind) {
        case BATCH_PUT:
            code = reduce_put(batch, operation, err);
            break;
        case BATCH_DELETE:
            code = reduce_delete(batch, operation, tree_flags, err);
            break;
        case BATCH_UPDATE:
            code = reduce_update(batch, operation, tree_flags, err);
            break;
        case BATCH_DELETE_RANGE:
            code = reduce_range(batch, operation, err);
            break;
        }
    }
    batch->reduced_count = batch->effects.count;
    if (code == POLARYS_OK) {
        ranges_merge(batch);
    }
    return code;
}
