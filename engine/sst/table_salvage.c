/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over what is left of a table file: top index, index partition, data block, as table_iterator.c, but a
 * block that is bad is told and left out.
 *
 * What a block held lies behind the separator before it and not behind its own, so the two bound what is lost.
 */
#include "engine/sst/table_salvage.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/sst/table_internal.h"

struct walk_level {
    struct block_cursor cursor;
    struct table_block block;
    struct table_handle handle; /* of the block */
    bool is_begun;              /* the cursor has been moved to its first entry */
};

struct salvage_walk {
    struct entry_iterator base;
    struct table *table;
    struct table_loss_visitor visitor;
    struct table_readahead ahead;
    struct walk_level top;   /* its block is the table's */
    struct walk_level index; /* block.bytes NULL: none is loaded */
    struct walk_level data;
    struct buffer passed; /* the separator before what is read next */
};

bool table_is_damage(enum polarys_code code)
{
    return code == POLARYS_CORRUPT || code == POLARYS_TAMPERED || code == POLARYS_IO ||
           code == POLARYS_FILE_NOT_FOUND;
}

static struct salvage_walk *from_base(struct entry_iterator *base)
{
    return (struct salvage_walk *)base;
}

static void level_release(struct walk_level *level)
{
    free(level->block.bytes);
    level->block = (struct table_block){0};
    level->is_begun = false;
}

/* Ends the walk. Always false. */
static bool walk_end(struct salvage_walk *walk, enum polarys_code code)
{
    walk->base.is_valid = false;
    walk->base.code = code;
    if (code == POLARYS_NO_MEMORY) {
        (void)polarys_fail(&walk->base.error, code, "table %s: out of memory", walk->table->name);
    }
    return false;
}

/* Tells the entries up to `end` as lost. False, with the walk ended, when the visitor wants no more. */
static bool tell_loss(struct salvage_walk *walk, const struct table_handle *handle,
                      struct polarys_slice end, const char *cause)
{
    struct table_loss loss = {.offset = handle->offset,
                              .bytes = handle->stored_size,
                              .start = buffer_slice(&walk->passed),
                              .end = end,
                              .cause = cause};
    enum polarys_code code = walk->visitor.loss(walk->visitor.context, &loss);
    return code == POLARYS_OK || walk_end(walk, code);
}

/* The keys up to and with the separator of a level's entry are behind the walk. */
static bool pass(struct salvage_walk *walk, const struct walk_level *parent)
{
    buffer_clear(&walk->passed);
    return buffer_append_slice(&walk->passed, parent->cursor.entry.key) == POLARYS_OK ||
           walk_end(walk, POLARYS_NO_MEMORY);
}

enum step { STEP_FOUND, STEP_END, STEP_STOP };

/* To the next entry of the level's block. What is bad of it is told, up to the parent's separator. */
static enum step level_step(struct salvage_walk *walk, struct walk_level *level,
                            struct polarys_slice end)
{
    enum block_result result =
        level->is_begun ? block_cursor_next(&level->cursor) : block_cursor_first(&level->cursor);
    level->is_begun = true;
    switch (result) {
    case BLOCK_FOUND:
        return STEP_FOUND;
    case BLOCK_END:
        return STEP_END;
    case BLOCK_NO_MEMORY:
        (void)walk_end(walk, POLARYS_NO_MEMORY);
        return STEP_STOP;
    case BLOCK_BAD:
        break;
    }
    return tell_loss(walk, &level->handle, end, "makes no sense although it authenticates")
               ? STEP_END
               : STEP_STOP;
}

/* Loads the block that the parent's entry leads to; level->block.bytes stays NULL where it was told as lost. */
static bool level_load(struct salvage_walk *walk, struct walk_level *level,
                       const struct walk_level *parent, enum table_block_kind kind,
                       const struct table_handle *handle)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct block_view view;
    level_release(level);
    level->handle = *handle;
    enum polarys_code code =
        table_block_read(walk->table, kind, handle, kind == TABLE_BLOCK_DATA ? &walk->ahead : NULL,
                         &level->block, &err);
    if (table_is_damage(code) && kind == TABLE_BLOCK_DATA) {
        /* What was read ahead may have failed over a later block. */
        walk->ahead.size = 0;
        polarys_error_clear(&err);
        code = table_block_read(walk->table, kind, handle, NULL, &level->block, &err);
    }
    if (code == POLARYS_OK &&
        !block_view_init(&view, slice_make(level->block.bytes, level->block.size))) {
        level_release(level);
        code = table_block_corrupt(walk->table, kind, handle->offset, &err);
    } else if (code == POLARYS_OK) {
        block_cursor_set(&level->cursor, &view);
        return true;
    }
    level->block = (struct table_block){0};
    if (!table_is_damage(code)) {
        return walk_end(walk, code);
    }
    return tell_loss(walk, handle, parent->cursor.entry.key, err.message);
}

/* Loads the data block that the index stands on. */
static bool data_load(struct salvage_walk *walk)
{
    struct table_handle handle;
    if (!table_data_handle_decode(walk->table, walk->index.cursor.entry.value, &handle)) {
        return tell_loss(walk, &walk->index.handle, walk->index.cursor.entry.key,
                         "an index entry makes no sense although it authenticates");
    }
    return level_load(walk, &walk->data, &walk->index, TABLE_BLOCK_DATA, &handle);
}

/* Loads the partition of the index that the top index stands on. */
static bool index_load(struct salvage_walk *walk)
{
    struct table_partition partition;
    if (!table_partition_decode(walk->table, walk->top.cursor.entry.value, &partition)) {
        return tell_loss(walk, &walk->top.handle, walk->top.cursor.entry.key,
                         "an entry of the top index makes no sense although it authenticates");
    }
    return level_load(walk, &walk->index, &walk->top, TABLE_BLOCK_INDEX, &partition.index);
}

/* To the next partition, or the end of the file. */
static bool top_move(struct salvage_walk *walk)
{
    if (walk->top.is_begun && !pass(walk, &walk->top)) {
        return false;
    }
    enum step step = level_step(walk, &walk->top, buffer_slice(&walk->table->meta.largest_key));
    if (step != STEP_FOUND) {
        return step == STEP_END ? walk_end(walk, POLARYS_OK) : false;
    }
    return index_load(walk);
}

/* To the next data block of the partition, or beyond the partition. */
static bool index_move(struct salvage_walk *walk)
{
    if (walk->index.is_begun && !pass(walk, &walk->index)) {
        return false;
    }
    enum step step = level_step(walk, &walk->index, walk->top.cursor.entry.key);
    if (step == STEP_FOUND) {
        return data_load(walk);
    }
    level_release(&walk->index);
    return step == STEP_END;
}

/* One step towards the next entry. False when the walk has ended; walk->base.is_valid when it is there. */
static bool walk_step(struct salvage_walk *walk)
{
    if (walk->data.block.bytes != NULL) {
        enum step step = level_step(walk, &walk->data, walk->index.cursor.entry.key);
        if (step == STEP_FOUND) {
            walk->base.entry = walk->data.cursor.entry;
            walk->base.is_valid = true;
            return true;
        }
        level_release(&walk->data);
        return step == STEP_END;
    }
    return walk->index.block.bytes != NULL ? index_move(walk) : top_move(walk);
}

static void walk_next(struct entry_iterator *base)
{
    struct salvage_walk *walk = from_base(base);
    base->is_valid = false;
    while (!base->is_valid && walk_step(walk)) {
    }
}

static void walk_seek_first(struct entry_iterator *base)
{
    struct salvage_walk *walk = from_base(base);
    const struct table *table = walk->table;
    base->is_valid = false;
    base->code = POLARYS_OK;
    level_release(&walk->index);
    level_release(&walk->data);
    walk->top.is_begun = false;
    buffer_clear(&walk->passed);
    if (table->footer.top_index.stored_size == 0) {
        return;
    }
    if (buffer_append_slice(&walk->passed, buffer_slice(&table->meta.smallest_key)) != POLARYS_OK) {
        (void)walk_end(walk, POLARYS_NO_MEMORY);
        return;
    }
    walk->top.handle = table->footer.top_index;
    block_cursor_set(&walk->top.cursor, &table->top);
    walk_next(base);
}

static void walk_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    walk_seek_first(base);
    while (base->is_valid &&
           entry_compare(base->entry.key, base->entry.version, key, version) < 0) {
        walk_next(base);
    }
}

static void walk_backward(struct entry_iterator *base)
{
    base->is_valid = false;
    base->code = polarys_fail(&base->error, POLARYS_BUG, "a salvage walk goes forward only");
}

static void walk_destroy(struct entry_iterator *base)
{
    struct salvage_walk *walk = from_base(base);
    level_release(&walk->index);
    level_release(&walk->data);
    block_cursor_deinit(&walk->top.cursor);
    block_cursor_deinit(&walk->index.cursor);
    block_cursor_deinit(&walk->data.cursor);
    table_readahead_deinit(&walk->ahead);
    buffer_deinit(&walk->passed);
    free(walk);
}

static const struct entry_iterator_vtable walk_vtable = {
    .seek = walk_seek,
    .seek_first = walk_seek_first,
    .seek_last = walk_backward,
    .next = walk_next,
    .previous = walk_backward,
    .destroy = walk_destroy,
};

enum polarys_code table_salvage_iterator_create(struct table *table,
                                                const struct table_loss_visitor *visitor,
                                                struct entry_iterator **out,
                                                struct polarys_error *err)
{
    POLARYS_ASSERT(visitor->loss != NULL);
    struct salvage_walk *walk = calloc(1, sizeof(*walk));
    *out = NULL;
    if (walk == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to walk table %s", table->name);
    }
    walk->base.vtable = &walk_vtable;
    walk->table = table;
    walk->visitor = *visitor;
    *out = &walk->base;
    return POLARYS_OK;
}

const struct table_meta *table_salvage_meta(const struct table *table)
{
    return &table->meta;
}
