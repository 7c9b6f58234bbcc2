/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a table file: three cursors, one in the top index, one in an index partition, one in a data
 * block, each leading to the next. The lower two pin their blocks.
 *
 * A step that fails (a block is not in memory, or is bad) ends the walk with that error; a seek begins
 * anew.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/sst/table_internal.h"

/* A cursor with the block it walks. */
struct level {
    struct block_cursor cursor;
    struct cached_block *pin;
    uint64_t offset; /* of the block; 0 for none */
};

struct table_iterator {
    struct entry_iterator base;
    struct table *table;
    struct table_access access;
    struct table_readahead ahead;
    struct block_cursor top;
    struct level index;
    struct level data;
};

static struct table_iterator *from_base(struct entry_iterator *base)
{
    return (struct table_iterator *)base;
}

static void level_release(struct level *level)
{
    cached_block_release(level->pin);
    level->pin = NULL;
    level->offset = 0;
}

static bool end_with(struct table_iterator *iterator, enum polarys_code code)
{
    iterator->base.is_valid = false;
    iterator->base.code = code;
    return false;
}

/* Turns the result of a cursor's move into the walk's state; true when there is an entry. *is_end tells
 * the end of the block from an error. */
static bool check(struct table_iterator *iterator, enum block_result result,
                  enum table_block_kind kind, uint64_t offset, bool *is_end)
{
    struct polarys_error *err = &iterator->base.error;
    *is_end = result == BLOCK_END;
    switch (result) {
    case BLOCK_FOUND:
        return true;
    case BLOCK_END:
        return false;
    case BLOCK_NO_MEMORY:
        return end_with(iterator,
                        polarys_fail(err, POLARYS_NO_MEMORY, "table iterator: out of memory"));
    case BLOCK_BAD:
        break;
    }
    return end_with(iterator, table_block_corrupt(iterator->table, kind, offset, err));
}

/* Makes `level` stand nowhere in the block of `handle`. */
static bool load(struct table_iterator *iterator, struct level *level, enum table_block_kind kind,
                 const struct table_handle *handle)
{
    struct polarys_error *err = &iterator->base.error;
    if (level->offset == handle->offset) {
        return true;
    }
    level_release(level);
    enum polarys_code code =
        table_block_pin(iterator->table, kind, handle, &iterator->access, &level->pin, err);
    if (code != POLARYS_OK) {
        return end_with(iterator, code);
    }
    struct block_view view;
    if (!block_view_init(&view, cached_block_bytes(level->pin))) {
        level_release(level);
        return end_with(iterator, table_block_corrupt(iterator->table, kind, handle->offset, err));
    }
    block_cursor_set(&level->cursor, &view);
    level->offset = handle->offset;
    return true;
}

/* Loads the index partition that the top cursor stands on. */
static bool load_index(struct table_iterator *iterator)
{
    struct table_partition partition;
    const struct table *table = iterator->table;
    if (!table_partition_decode(table, iterator->top.entry.value, &partition)) {
        return end_with(iterator,
                        table_block_corrupt(table, TABLE_BLOCK_TOP_INDEX,
                                            table->footer.top_index.offset, &iterator->base.error));
    }
    return load(iterator, &iterator->index, TABLE_BLOCK_INDEX, &partition.index);
}

/* Loads the data block that the index cursor stands on. */
static bool load_data(struct table_iterator *iterator)
{
    struct table_handle handle;
    if (!table_data_handle_decode(iterator->table, iterator->index.cursor.entry.value, &handle)) {
        return end_with(iterator,
                        table_block_corrupt(iterator->table, TABLE_BLOCK_INDEX,
                                            iterator->index.offset, &iterator->base.error));
    }
    return load(iterator, &iterator->data, TABLE_BLOCK_DATA, &handle);
}

static bool check_top(struct table_iterator *iterator, enum block_result result, bool *is_end)
{
    return check(iterator, result, TABLE_BLOCK_TOP_INDEX, iterator->table->footer.top_index.offset,
                 is_end);
}

static bool check_index(struct table_iterator *iterator, enum block_result result, bool *is_end)
{
    return check(iterator, result, TABLE_BLOCK_INDEX, iterator->index.offset, is_end);
}

static bool check_data(struct table_iterator *iterator, enum block_result result, bool *is_end)
{
    return check(iterator, result, TABLE_BLOCK_DATA, iterator->data.offset, is_end);
}

/* From the index cursor's position on: the end of its partition leads to the first block of the next. */
static bool index_forward(struct table_iterator *iterator, enum block_result result)
{
    bool is_end;
    while (!check_index(iterator, result, &is_end)) {
        if (!is_end) {
            return false;
        }
        if (!check_top(iterator, block_cursor_next(&iterator->top), &is_end)) {
            return is_end ? end_with(iterator, POLARYS_OK) : false;
        }
        if (!load_index(iterator)) {
            return false;
        }
        result = block_cursor_first(&iterator->index.cursor);
    }
    return load_data(iterator);
}

static bool index_backward(struct table_iterator *iterator, enum block_result result)
{
    bool is_end;
    while (!check_index(iterator, result, &is_end)) {
        if (!is_end) {
            return false;
        }
        if (!check_top(iterator, block_cursor_previous(&iterator->top), &is_end)) {
            return is_end ? end_with(iterator, POLARYS_OK) : false;
        }
        if (!load_index(iterator)) {
            return false;
        }
        result = block_cursor_last(&iterator->index.cursor);
    }
    return load_data(iterator);
}

static void show(struct table_iterator *iterator)
{
    iterator->base.is_valid = true;
    iterator->base.code = POLARYS_OK;
    iterator->base.entry = iterator->data.cursor.entry;
}

/* Shows where the data cursor is, going on to later blocks as long as it is at an end. */
static void settle_forward(struct table_iterator *iterator, enum block_result result)
{
    bool is_end;
    while (!check_data(iterator, result, &is_end)) {
        if (!is_end || !index_forward(iterator, block_cursor_next(&iterator->index.cursor))) {
            return;
        }
        result = block_cursor_first(&iterator->data.cursor);
    }
    show(iterator);
}

static void settle_backward(struct table_iterator *iterator, enum block_result result)
{
    bool is_end;
    while (!check_data(iterator, result, &is_end)) {
        if (!is_end || !index_backward(iterator, block_cursor_previous(&iterator->index.cursor))) {
            return;
        }
        result = block_cursor_last(&iterator->data.cursor);
    }
    show(iterator);
}

/* Brings the top cursor to a partition. False when the walk is over. */
static bool begin(struct table_iterator *iterator, enum block_result result)
{
    bool is_end;
    if (!check_top(iterator, result, &is_end)) {
        return is_end ? end_with(iterator, POLARYS_OK) : false;
    }
    return load_index(iterator);
}

static bool is_empty(struct table_iterator *iterator)
{
    if (iterator->table->footer.top_index.stored_size != 0) {
        return false;
    }
    end_with(iterator, POLARYS_OK);
    return true;
}

static void iterator_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    struct table_iterator *iterator = from_base(base);
    if (is_empty(iterator) || !begin(iterator, block_cursor_seek(&iterator->top, key, version)) ||
        !index_forward(iterator, block_cursor_seek(&iterator->index.cursor, key, version))) {
        return;
    }
    settle_forward(iterator, block_cursor_seek(&iterator->data.cursor, key, version));
}

static void iterator_seek_first(struct entry_iterator *base)
{
    struct table_iterator *iterator = from_base(base);
    if (is_empty(iterator) || !begin(iterator, block_cursor_first(&iterator->top)) ||
        !index_forward(iterator, block_cursor_first(&iterator->index.cursor))) {
        return;
    }
    settle_forward(iterator, block_cursor_first(&iterator->data.cursor));
}

static void iterator_seek_last(struct entry_iterator *base)
{
    struct table_iterator *iterator = from_base(base);
    if (is_empty(iterator) || !begin(iterator, block_cursor_last(&iterator->top)) ||
        !index_backward(iterator, block_cursor_last(&iterator->index.cursor))) {
        return;
    }
    settle_backward(iterator, block_cursor_last(&iterator->data.cursor));
}

static void iterator_next(struct entry_iterator *base)
{
    struct table_iterator *iterator = from_base(base);
    POLARYS_ASSERT(iterator->data.pin != NULL);
    enum block_result result = block_cursor_next(&iterator->data.cursor);
    if (result == BLOCK_FOUND) {
        iterator->base.entry = iterator->data.cursor.entry;
        return;
    }
    settle_forward(iterator, result);
}

static void iterator_previous(struct entry_iterator *base)
{
    struct table_iterator *iterator = from_base(base);
    POLARYS_ASSERT(iterator->data.pin != NULL);
    settle_backward(iterator, block_cursor_previous(&iterator->data.cursor));
}

static void iterator_destroy(struct entry_iterator *base)
{
    struct table_iterator *iterator = from_base(base);
    level_release(&iterator->index);
    level_release(&iterator->data);
    block_cursor_deinit(&iterator->top);
    block_cursor_deinit(&iterator->index.cursor);
    block_cursor_deinit(&iterator->data.cursor);
    table_readahead_deinit(&iterator->ahead);
    free(iterator);
}

static const struct entry_iterator_vtable table_iterator_vtable = {
    .seek = iterator_seek,
    .seek_first = iterator_seek_first,
    .seek_last = iterator_seek_last,
    .next = iterator_next,
    .previous = iterator_previous,
    .destroy = iterator_destroy,
};

enum polarys_code table_iterator_create(struct table *table, unsigned flags,
                                        struct entry_iterator **out, struct polarys_error *err)
{
    *out = NULL;
    struct table_iterator *iterator = calloc(1, sizeof(*iterator));
    if (iterator == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "table iterator: out of memory");
    }
    iterator->base.vtable = &table_iterator_vtable;
    iterator->table = table;
    iterator->access.flags = flags;
    iterator->access.ahead = (flags & TABLE_READ_AHEAD) != 0 ? &iterator->ahead : NULL;
    if (table->footer.top_index.stored_size != 0) {
        block_cursor_set(&iterator->top, &table->top);
    }
    *out = &iterator->base;
    return POLARYS_OK;
}
