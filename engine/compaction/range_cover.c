/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds covers by painting: all bounds cut the key space into cells; range deletes paint cells newest
 * first, and a painted cell is skipped for ever after (union-find), so n range deletes cost O(n log n)
 * however they overlap.
 */
#include "engine/compaction/range_cover.h"

#include <stdlib.h>

enum { RANGE_LIST_CAPACITY_FIRST = 16 };

enum polarys_code range_list_add(struct range_list *list, const struct range_delete *range_delete)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? RANGE_LIST_CAPACITY_FIRST : 2 * list->capacity;
        struct range_delete *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL) {
            return POLARYS_NO_MEMORY;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *range_delete;
    return POLARYS_OK;
}

void range_list_deinit(struct range_list *list)
{
    free(list->items);
    memset(list, 0, sizeof(*list));
}

void range_cover_deinit(struct range_cover *cover)
{
    free(cover->pieces);
    memset(cover, 0, sizeof(*cover));
}

static int compare_slices(const void *a, const void *b)
{
    return slice_compare(*(const struct polarys_slice *)a, *(const struct polarys_slice *)b);
}

static int compare_newest_first(const void *a, const void *b)
{
    uint64_t left = ((const struct range_delete *)a)->version;
    uint64_t right = ((const struct range_delete *)b)->version;
    return (left < right) - (left > right);
}

/* The cells between `bounds` and who painted them. */
struct canvas {
    struct polarys_slice *bounds; /* count + 1 of them, ascending */
    uint64_t *versions;           /* of cell i, between bounds i and i + 1; 0 while unpainted */
    size_t *next;                 /* union-find: a cell not before i that may be unpainted */
    size_t cell_count;
};

static size_t canvas_bound_find(const struct canvas *canvas, struct polarys_slice key)
{
    size_t low = 0;
    size_t high = canvas->cell_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(canvas->bounds[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t canvas_unpainted(struct canvas *canvas, size_t cell)
{
    while (canvas->next[cell] != cell) {
        canvas->next[cell] = canvas->next[canvas->next[cell]];
        cell = canvas->next[cell];
    }
    return cell;
}

static void canvas_paint(struct canvas *canvas, const struct range_delete *item)
{
    size_t end = canvas_bound_find(canvas, item->end);
    size_t cell = canvas_unpainted(canvas, canvas_bound_find(canvas, item->start));
    while (cell < end) {
        canvas->versions[cell] = item->version;
        canvas->next[cell] = cell + 1;
        cell = canvas_unpainted(canvas, cell + 1);
    }
}

static bool canvas_init(struct canvas *canvas, const struct range_delete *items, size_t count)
{
    canvas->bounds = malloc(2 * count * sizeof(canvas->bounds[0]));
    canvas->versions = calloc(2 * count, sizeof(canvas->versions[0]));
    canvas->next = malloc((2 * count + 1) * sizeof(canvas->next[0]));
    if (canvas->bounds == NULL || canvas->versions == NULL || canvas->next == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        canvas->bounds[2 * i] = items[i].start;
        canvas->bounds[2 * i + 1] = items[i].end;
    }
    qsort(canvas->bounds, 2 * count, sizeof(canvas->bounds[0]), compare_slices);
    size_t unique = 1;
    for (size_t i = 1; i < 2 * count; i++) {
        if (!slice_equal(canvas->bounds[i], canvas->bounds[unique - 1])) {
            canvas->bounds[unique++] = canvas->bounds[i];
        }
    }
    canvas->cell_count = unique - 1;
    for (size_t i = 0; i <= canvas->cell_count; i++) {
        canvas->next[i] = i;
    }
    return true;
}

static void canvas_deinit(struct canvas *canvas)
{
    free(canvas->bounds);
    free(canvas->versions);
    free(canvas->next);
}

/* Joins painted cells into pieces. */
static void canvas_pieces(const struct canvas *canvas, struct range_cover *cover)
{
    for (size_t cell = 0; cell < canvas->cell_count; cell++) {
        if (canvas->versions[cell] == 0) {
            continue;
        }
        struct range_delete *last = cover->count == 0 ? NULL : &cover->pieces[cover->count - 1];
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): pieces below count are set */
        if (last != NULL && last->version == canvas->versions[cell] &&
            slice_equal(last->end, canvas->bounds[cell])) {
            last->end = canvas->bounds[cell + 1];
        } else {
            struct range_delete *piece = &cover->pieces[cover->count++];
            piece->start = canvas->bounds[cell];
            piece->end = canvas->bounds[cell + 1];
            piece->version = canvas->versions[cell];
        }
    }
}

enum polarys_code range_cover_build(struct range_delete *items, size_t count,
                                    struct range_cover *cover)
{
    struct canvas canvas = {0};
    enum polarys_code code = POLARYS_OK;
    memset(cover, 0, sizeof(*cover));
    if (count == 0) {
        return POLARYS_OK;
    }
    cover->pieces = malloc(2 * count * sizeof(cover->pieces[0]));
    if (cover->pieces == NULL || !canvas_init(&canvas, items, count)) {
        code = POLARYS_NO_MEMORY;
        range_cover_deinit(cover);
    } else {
        qsort(items, count, sizeof(items[0]), compare_newest_first);
        for (size_t i = 0; i < count; i++) {
            POLARYS_ASSERT(items[i].version > 0);
            canvas_paint(&canvas, &items[i]);
        }
        canvas_pieces(&canvas, cover);
    }
    canvas_deinit(&canvas);
    return code;
}

/* True when the piece holds the key. */
static bool piece_holds(const struct range_delete *piece, struct polarys_slice key)
{
    return slice_compare(piece->start, key) <= 0 && slice_compare(key, piece->end) < 0;
}

uint64_t range_cover_version(const struct range_cover *cover, struct polarys_slice key,
                             size_t *hint)
{
    if (cover->count == 0) {
        return 0;
    }
    if (*hint < cover->count && piece_holds(&cover->pieces[*hint], key)) {
        return cover->pieces[*hint].version;
    }
    size_t low = 0;
    size_t high = cover->count;
    while (low < high) { /* the first piece that starts after the key */
        size_t middle = (low + high) / 2;
        if (slice_compare(cover->pieces[middle].start, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return 0;
    }
    *hint = low - 1;
    return piece_holds(&cover->pieces[low - 1], key) ? cover->pieces[low - 1].version : 0;
}
