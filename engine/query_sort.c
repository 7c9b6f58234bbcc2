/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting: sort keys and document keys only, the documents are fetched again when they are given. With a
 * limit a heap keeps the first so many, the last of them on top.
 *
 * Invariant: memory is counted row by row and never goes past memory_max.
 */
#include <stdlib.h>

#include "engine/query_internal.h"

/* One allocation: sort key, then document key. */
struct sort_row {
    size_t sort_key_size;
    size_t key_size;
    uint8_t bytes[];
};

struct query_sorter {
    uint64_t limit;
    uint64_t memory_max;
    uint64_t memory;
    bool is_key_descending;
    struct sort_row *
        *rows; /* a heap while rows come in and there is a limit, in order when finished */
    size_t count;
    size_t capacity;
    size_t given;
    struct sort_row *after; /* NULL: from the beginning */
};

static struct polarys_slice sort_key_of(const struct sort_row *row)
{
    return slice_make(row->bytes, row->sort_key_size);
}

static struct polarys_slice key_of(const struct sort_row *row)
{
    return slice_make(row->bytes + row->sort_key_size, row->key_size);
}

static int place_compare(const struct query_sorter *sorter, const struct sort_row *row,
                         struct polarys_slice sort_key, struct polarys_slice key)
{
    int order = slice_compare(sort_key_of(row), sort_key);
    if (order != 0) {
        return order;
    }
    order = slice_compare(key_of(row), key);
    return sorter->is_key_descending ? -order : order;
}

static int row_compare(const struct query_sorter *sorter, const struct sort_row *a,
                       const struct sort_row *b)
{
    return place_compare(sorter, a, sort_key_of(b), key_of(b));
}

static int compare_rows(const void *a, const void *b, void *sorter)
{
    const struct sort_row *const *left = a;
    const struct sort_row *const *right = b;
    return row_compare(sorter, *left, *right);
}

static struct sort_row *row_create(struct polarys_slice sort_key, struct polarys_slice key)
{
    struct sort_row *row = malloc(sizeof(*row) + sort_key.size + key.size);
    if (row != NULL) {
        row->sort_key_size = sort_key.size;
        row->key_size = key.size;
        if (sort_key.size > 0) {
            memcpy(row->bytes, sort_key.data, sort_key.size);
        }
        memcpy(row->bytes + sort_key.size, key.data, key.size);
    }
    return row;
}

static uint64_t row_memory(struct polarys_slice sort_key, struct polarys_slice key)
{
    enum { ALLOCATION_OVERHEAD = 16 };
    return sizeof(struct sort_row) + sizeof(struct sort_row *) + ALLOCATION_OVERHEAD +
           sort_key.size + key.size;
}

enum polarys_code query_sorter_create(uint64_t limit, uint64_t memory_max, bool is_key_descending,
                                      struct query_sorter **out)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return POLARYS_NO_MEMORY;
    }
    (*out)->limit = limit;
    (*out)->memory_max = memory_max;
    (*out)->is_key_descending = is_key_descending;
    return POLARYS_OK;
}

void query_sorter_destroy(struct query_sorter *sorter)
{
    if (sorter == NULL) {
        return;
    }
    for (size_t i = 0; i < sorter->count; i++) {
        free(sorter->rows[i]);
    }
    free((void *)sorter->rows);
    free(sorter->after);
    free(sorter);
}

enum polarys_code query_sorter_begin_after(struct query_sorter *sorter,
                                           struct polarys_slice sort_key, struct polarys_slice key)
{
    POLARYS_ASSERT(sorter->after == NULL);
    sorter->after = row_create(sort_key, key);
    return sorter->after == NULL ? POLARYS_NO_MEMORY : POLARYS_OK;
}

static void swap(struct query_sorter *sorter, size_t a, size_t b)
{
    struct sort_row *row = sorter->rows[a];
    sorter->rows[a] = sorter->rows[b];
    sorter->rows[b] = row;
}

static void heap_up(struct query_sorter *sorter, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (row_compare(sorter, sorter->rows[at], sorter->rows[parent]) <= 0) {
            return;
        }
        swap(sorter, at, parent);
        at = parent;
    }
}

static void heap_down(struct query_sorter *sorter)
{
    size_t at = 0;
    for (;;) {
        size_t largest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < sorter->count; child++) {
            if (row_compare(sorter, sorter->rows[child], sorter->rows[largest]) > 0) {
                largest = child;
            }
        }
        if (largest == at) {
            return;
        }
        swap(sorter, at, largest);
        at = largest;
    }
}

/* Room for one more pointer. */
static enum polarys_code rows_grow(struct query_sorter *sorter)
{
    if (sorter->count < sorter->capacity) {
        return POLARYS_OK;
    }
    size_t capacity = sorter->capacity == 0 ? 64 : sorter->capacity * 2;
    struct sort_row **rows = realloc((void *)sorter->rows, capacity * sizeof(*rows));
    if (rows == NULL) {
        return POLARYS_NO_MEMORY;
    }
    sorter->rows = rows;
    sorter->capacity = capacity;
    return POLARYS_OK;
}

/* Makes room for a row that comes before the last one kept. */
static void last_remove(struct query_sorter *sorter)
{
    struct sort_row *last = sorter->rows[0];
    sorter->memory -= row_memory(sort_key_of(last), key_of(last));
    free(last);
    sorter->rows[0] = sorter->rows[--sorter->count];
    heap_down(sorter);
}

enum polarys_code query_sorter_add(struct query_sorter *sorter, struct polarys_slice sort_key,
                                   struct polarys_slice key)
{
    if (sorter->limit == 0 ||
        (sorter->after != NULL && place_compare(sorter, sorter->after, sort_key, key) >= 0)) {
        return POLARYS_OK;
    }
    if (sorter->count == sorter->limit) {
        if (place_compare(sorter, sorter->rows[0], sort_key, key) <= 0) {
            return POLARYS_OK;
        }
        last_remove(sorter);
    }
    uint64_t memory = row_memory(sort_key, key);
    if (sorter->memory + memory > sorter->memory_max) {
        return POLARYS_MEMORY_LIMIT;
    }
    struct sort_row *row = row_create(sort_key, key);
    if (row == NULL || rows_grow(sorter) != POLARYS_OK) {
        free(row);
        return POLARYS_NO_MEMORY;
    }
    sorter->memory += memory;
    sorter->rows[sorter->count++] = row;
    if (sorter->limit != UINT64_MAX) {
        heap_up(sorter, sorter->count - 1);
    }
    return POLARYS_OK;
}

void query_sorter_finish(struct query_sorter *sorter)
{
    if (sorter->count > 1) {
        qsort_r((void *)sorter->rows, sorter->count, sizeof(*sorter->rows), compare_rows, sorter);
    }
}

bool query_sorter_next(struct query_sorter *sorter, struct polarys_slice *key)
{
    if (sorter->given == sorter->count) {
        return false;
    }
    *key = key_of(sorter->rows[sorter->given++]);
    return true;
}
