/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows by a set of keys: gathered from the entries of one or more indexes, united and intersected, sorted;
 * then the documents in key order.
 *
 * Invariant: the memory of all sets together never goes past the query's memory_max.
 */
#include <stdlib.h>

#include "engine/query_internal.h"

/* Where a key lies in `bytes`. */
struct key_place {
    size_t offset;
    uint32_t size;
};

/* Keys, ascending and each once when settled. Zero-initialise. */
struct key_set {
    struct buffer bytes;
    struct key_place *places;
    size_t count;
    size_t capacity;
};

struct keys_source {
    struct query_source base; /* first */
    struct polarys_query *query;
    struct key_set keys;
    size_t next;
    uint64_t memory; /* of sets that are being gathered */
};

static struct polarys_slice key_at(const struct key_set *set, size_t number)
{
    const struct key_place *place = &set->places[number];
    return slice_make(set->bytes.data + place->offset, place->size);
}

static void key_set_deinit(struct key_set *set)
{
    buffer_deinit(&set->bytes);
    free(set->places);
    *set = (struct key_set){0};
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
}

static enum polarys_code key_add(struct keys_source *source, struct key_set *set,
                                 struct polarys_slice key, struct polarys_error *err)
{
    uint64_t memory_max = source->query->memory_max;
    source->memory += key.size + sizeof(struct key_place);
    if (source->memory > memory_max) {
        polarys_fail(err, POLARYS_MEMORY_LIMIT,
                     "the keys that the indexes give take more than %llu bytes; an index on more "
                     "of the fields would give fewer",
                     (unsigned long long)memory_max);
        polarys_error_detail_set(err, "limit", "%llu", (unsigned long long)memory_max);
        return POLARYS_MEMORY_LIMIT;
    }
    if (set->count == set->capacity) {
        size_t capacity = set->capacity == 0 ? 64 : set->capacity * 2;
        struct key_place *places = realloc(set->places, capacity * sizeof(*places));
        if (places == NULL) {
            return fail_memory(err);
        }
        set->places = places;
        set->capacity = capacity;
    }
    set->places[set->count++] = (struct key_place){set->bytes.size, (uint32_t)key.size};
    return buffer_append_slice(&set->bytes, key) == POLARYS_OK ? POLARYS_OK : fail_memory(err);
}

static int place_order(const void *a, const void *b, void *context)
{
    const struct key_place *left = a;
    const struct key_place *right = b;
    const struct key_set *set = context;
    return slice_compare(slice_make(set->bytes.data + left->offset, left->size),
                         slice_make(set->bytes.data + right->offset, right->size));
}

/* Sorts, and drops repeats. */
static void key_set_settle(struct key_set *set)
{
    bool is_sorted = true;
    for (size_t i = 1; i < set->count && is_sorted; i++) {
        is_sorted = slice_compare(key_at(set, i - 1), key_at(set, i)) < 0;
    }
    if (is_sorted) {
        return; /* the entries of one value come in the order of the keys */
    }
    qsort_r(set->places, set->count, sizeof(*set->places), place_order, set);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++) {
        if (!slice_equal(key_at(set, kept - 1), key_at(set, i))) {
            set->places[kept++] = set->places[i];
        }
    }
    set->count = kept;
}

/* The keys of one range. */
static enum polarys_code range_gather(struct keys_source *source, struct plan_scan *scan,
                                      const struct index_range *range, struct key_set *set,
                                      struct polarys_error *err)
{
    struct entry_iterator *iterator = NULL;
    enum polarys_code code = query_range_open(source->query, buffer_slice(&range->start),
                                              buffer_slice(&range->end), false, &iterator, err);
    while (code == POLARYS_OK && iterator->is_valid) {
        struct index_entry_view view;
        if (!index_entry_decode(scan->index->definition, iterator->entry.key, iterator->entry.value,
                                &view)) {
            code = polarys_fail(err, POLARYS_CORRUPT, "an entry of index \"%s\" makes no sense",
                                scan->index->definition->name);
            break;
        }
        scan->read++;
        code = key_add(source, set, view.document_key, err);
        code = code == POLARYS_OK ? query_stop_ask(source->query, err) : code;
        if (code == POLARYS_OK) {
            entry_iterator_next(iterator);
        }
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (err != NULL) {
            *err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

/* Keeps the keys that are in both. */
static void key_set_intersect(struct key_set *set, const struct key_set *other)
{
    size_t kept = 0;
    size_t at = 0;
    for (size_t i = 0; i < set->count && at < other->count; i++) {
        struct polarys_slice key = key_at(set, i);
        while (at < other->count && slice_compare(key_at(other, at), key) < 0) {
            at++;
        }
        if (at < other->count && slice_equal(key_at(other, at), key)) {
            set->places[kept++] = set->places[i];
        }
    }
    set->count = kept;
}

static enum polarys_code keys_gather(struct keys_source *source, const struct plan_keys *keys,
                                     struct key_set *set, struct polarys_error *err);

/* A union: everything into one set. */
static enum polarys_code union_gather(struct keys_source *source, const struct plan_keys *keys,
                                      struct key_set *set, struct polarys_error *err)
{
    for (const struct plan_keys *each = keys->first; each != NULL; each = each->next) {
        struct key_set part = {0};
        enum polarys_code code = keys_gather(source, each, &part, err);
        for (size_t i = 0; i < part.count && code == POLARYS_OK; i++) {
            code = key_add(source, set, key_at(&part, i), err);
        }
        source->memory -= part.bytes.size + part.count * sizeof(struct key_place);
        key_set_deinit(&part);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

static enum polarys_code intersection_gather(struct keys_source *source,
                                             const struct plan_keys *keys, struct key_set *set,
                                             struct polarys_error *err)
{
    enum polarys_code code = keys_gather(source, keys->first, set, err);
    for (const struct plan_keys *each = keys->first->next; each != NULL && code == POLARYS_OK;
         each = each->next) {
        struct key_set part = {0};
        code = keys_gather(source, each, &part, err);
        if (code == POLARYS_OK) {
            key_set_intersect(set, &part);
        }
        key_set_deinit(&part);
    }
    return code;
}

static enum polarys_code keys_gather(struct keys_source *source, const struct plan_keys *keys,
                                     struct key_set *set, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    switch (keys->kind) {
    case PLAN_KEYS_SCAN:
        for (size_t i = 0; i < keys->scan->range_count && code == POLARYS_OK; i++) {
            code = range_gather(source, keys->scan, &keys->scan->ranges[i], set, err);
        }
        break;
    case PLAN_KEYS_AND:
        code = intersection_gather(source, keys, set, err);
        break;
    default:
        code = union_gather(source, keys, set, err);
        break;
    }
    if (code == POLARYS_OK) {
        key_set_settle(set);
    }
    return code;
}

static enum polarys_code keys_next(struct query_source *base, struct query_row *row, bool *has_row,
                                   struct polarys_error *err)
{
    struct keys_source *source = (struct keys_source *)base;
    *has_row = false;
    if (source->next == source->keys.count) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        query_fetch(source->query, key_at(&source->keys, source->next), row, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "an index has an entry of a document that is not there");
    }
    source->next++;
    *has_row = code == POLARYS_OK;
    return code;
}

static void keys_destroy(struct query_source *base)
{
    struct keys_source *source = (struct keys_source *)base;
    key_set_deinit(&source->keys);
    free(source);
}

/* The first key behind `after`. */
static size_t first_behind(const struct key_set *set, struct polarys_slice after)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(key_at(set, middle), after) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum polarys_code query_keys_source_open(struct polarys_query *query, struct polarys_slice after,
                                         struct query_source **out, struct polarys_error *err)
{
    static const struct query_source_vtable vtable = {keys_next, keys_destroy};
    *out = NULL;
    struct keys_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        return fail_memory(err);
    }
    source->base.vtable = &vtable;
    source->query = query;
    enum polarys_code code = keys_gather(source, query->plan.keys, &source->keys, err);
    if (code != POLARYS_OK) {
        keys_destroy(&source->base);
        return code;
    }
    source->next = after.size > 0 ? first_behind(&source->keys, after) : 0;
    *out = &source->base;
    return POLARYS_OK;
}
