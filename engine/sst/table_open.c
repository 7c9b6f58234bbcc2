/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a table file: header, footer, top index and range deletes are read and checked; all else is
 * read when it is asked for.
 *
 * The chain of trust: the manifest's footer tag authenticates the footer under the file's key, which is
 * bound to the header; the footer has the tags of the blocks that are read here.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/sst/table_internal.h"
#include "engine/sst/table_properties.h"
#include "engine/sst/table_salvage.h"

/* A file of the wrong identity: it is whole, but it is not the one that was asked for. */
static enum polarys_code foreign(struct polarys_error *err, const char *what)
{
    return polarys_fail(err, POLARYS_TAMPERED, "header: %s is not the one expected", what);
}

/* Adds which file and where. */
static enum polarys_code open_failed(const struct table *table, uint64_t offset,
                                     enum polarys_code code, struct polarys_error *err)
{
    if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED) {
        polarys_error_detail_set(err, "file", "%s", table->name);
        polarys_error_detail_set(err, "offset", "%" PRIu64, offset);
    }
    return polarys_wrap(err, code, "open table %s", table->name);
}

/* Checks the file's size and reads the header. key_id 0 means any. */
static enum polarys_code read_header(struct table *table, struct vfs_file *file,
                                     struct polarys_error *err)
{
    uint64_t size;
    enum polarys_code code = vfs_file_size(file, &size, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (table->meta.file_bytes == 0) {
        table->meta.file_bytes = size;
    }
    if (size != table->meta.file_bytes || size < TABLE_HEADER_SIZE + TABLE_TAIL_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "file has %" PRIu64 " bytes, expected %" PRIu64,
                            size, table->meta.file_bytes);
    }
    uint8_t bytes[TABLE_HEADER_SIZE];
    code = vfs_read_exact(file, 0, bytes, sizeof(bytes), err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct table_header header;
    code = table_header_decode(bytes, &header, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (memcmp(header.store_id, keyring_store_id(table->env.keyring), STORE_ID_SIZE) != 0) {
        return foreign(err, "store id");
    }
    if (header.file_id != table->meta.file_id) {
        return foreign(err, "file id");
    }
    if (table->meta.key_id != 0 && header.key_id != table->meta.key_id) {
        return foreign(err, "key id");
    }
    table->meta.key_id = header.key_id;
    code = table_sealer_init(&table->sealer, table->env.keyring, &header, err);
    table->has_sealer = code == POLARYS_OK;
    return code;
}

/* `tag` is the manifest's, or NULL to take the file's own. */
static enum polarys_code read_footer(struct table *table, struct vfs_file *file, const uint8_t *tag,
                                     struct polarys_error *err)
{
    uint8_t bytes[TABLE_TAIL_SIZE];
    table->footer_offset = table->meta.file_bytes - TABLE_TAIL_SIZE;
    enum polarys_code code = vfs_read_exact(file, table->footer_offset, bytes, sizeof(bytes), err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (tag != NULL && memcmp(bytes + TABLE_FOOTER_SIZE, tag, AEAD_TAG_SIZE) != 0) {
        return polarys_fail(err, POLARYS_TAMPERED, "footer: not the one that the manifest names");
    }
    struct table_handle handle = {.offset = table->footer_offset, .stored_size = TABLE_FOOTER_SIZE};
    memcpy(handle.tag, bytes + TABLE_FOOTER_SIZE, AEAD_TAG_SIZE);
    memcpy(table->meta.footer_tag, handle.tag, AEAD_TAG_SIZE);
    code = table_open_sealed(&table->sealer, TABLE_BLOCK_FOOTER, &handle, bytes, bytes, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "footer");
    }
    if (!table_footer_decode(slice_make(bytes, TABLE_FOOTER_SIZE), table->footer_offset,
                             &table->footer)) {
        return polarys_fail(err, POLARYS_CORRUPT, "footer makes no sense");
    }
    return POLARYS_OK;
}

static enum polarys_code read_top_index(struct table *table, struct polarys_error *err)
{
    const struct table_handle *handle = &table->footer.top_index;
    if (handle->stored_size == 0) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        table_block_read(table, TABLE_BLOCK_TOP_INDEX, handle, NULL, &table->top_block, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!block_view_init(&table->top, slice_make(table->top_block.bytes, table->top_block.size))) {
        return table_block_corrupt(table, TABLE_BLOCK_TOP_INDEX, handle->offset, err);
    }
    return POLARYS_OK;
}

static enum polarys_code read_range_deletes(struct table *table, struct polarys_error *err)
{
    const struct table_handle *handle = &table->footer.range_deletes;
    if (handle->stored_size == 0) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        table_block_read(table, TABLE_BLOCK_RANGE_DELETES, handle, NULL, &table->range_block, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = range_deletes_decode(slice_make(table->range_block.bytes, table->range_block.size),
                                &table->ranges, &table->range_count);
    if (code == POLARYS_CORRUPT) {
        return table_block_corrupt(table, TABLE_BLOCK_RANGE_DELETES, handle->offset, err);
    }
    if (code == POLARYS_OK) {
        code = range_delete_index_create(table->ranges, table->range_count, &table->range_index);
    }
    return code == POLARYS_OK ? code : polarys_fail(err, code, "range delete index: out of memory");
}

/* The steps of opening; *offset is where the step that failed was. */
static enum polarys_code open_steps(struct table *table, const uint8_t *tag, uint64_t *offset,
                                    struct polarys_error *err)
{
    struct vfs_file *file = NULL;
    *offset = 0;
    enum polarys_code code = table_file_pin(table, &file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = read_header(table, file, err);
    if (code == POLARYS_OK) {
        *offset = table->meta.file_bytes - TABLE_TAIL_SIZE;
        code = read_footer(table, file, tag, err);
    }
    table_file_unpin(table);
    if (code != POLARYS_OK) {
        return code;
    }
    *offset = table->footer.top_index.offset;
    code = read_top_index(table, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *offset = table->footer.range_deletes.offset;
    return read_range_deletes(table, err);
}

static struct table *table_alloc(const struct table_env *env, uint64_t file_id)
{
    struct table *table = calloc(1, sizeof(*table));
    struct table_handle_slot *slot = calloc(1, sizeof(*slot));
    if (table == NULL || slot == NULL) {
        free(table);
        free(slot);
        return NULL;
    }
    table->slot = slot;
    table->env = *env;
    table->meta.file_id = file_id;
    table_file_name(table->name, file_id);
    return table;
}

enum polarys_code table_open(const struct table_env *env, const struct table_meta *meta,
                             struct table **out, struct polarys_error *err)
{
    *out = NULL;
    struct table *table = table_alloc(env, meta->file_id);
    if (table == NULL || table_meta_copy(&table->meta, meta) != POLARYS_OK) {
        table_close(table);
        return polarys_fail(err, POLARYS_NO_MEMORY, "open table: out of memory");
    }
    uint64_t offset;
    enum polarys_code code = open_steps(table, meta->footer_tag, &offset, err);
    if (code != POLARYS_OK) {
        code = open_failed(table, offset, code, err);
        table_close(table);
        return code;
    }
    *out = table;
    return POLARYS_OK;
}

static enum polarys_code read_properties(struct table *table, struct polarys_error *err)
{
    struct table_block block;
    const struct table_handle *handle = &table->footer.properties;
    enum polarys_code code =
        table_block_read(table, TABLE_BLOCK_PROPERTIES, handle, NULL, &block, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = table_properties_decode(slice_make(block.bytes, block.size), &table->meta);
    free(block.bytes);
    if (code == POLARYS_CORRUPT) {
        return table_block_corrupt(table, TABLE_BLOCK_PROPERTIES, handle->offset, err);
    }
    return code == POLARYS_OK ? code : polarys_fail(err, code, "properties: out of memory");
}

enum polarys_code table_meta_recover(const struct table_env *env, uint64_t file_id,
                                     struct table_meta *meta, struct polarys_error *err)
{
    *meta = (struct table_meta){0};
    struct table *table = table_alloc(env, file_id);
    if (table == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "open table: out of memory");
    }
    uint64_t offset;
    enum polarys_code code = open_steps(table, NULL, &offset, err);
    if (code == POLARYS_OK) {
        offset = table->footer.properties.offset;
        code = read_properties(table, err);
    }
    if (code == POLARYS_OK) {
        *meta = table->meta;
        table->meta = (struct table_meta){0};
    } else {
        code = open_failed(table, offset, code, err);
    }
    table_close(table);
    return code;
}

/* Tells that a block which opening reads is bad: all entries of the file, or its range deletes. */
static enum polarys_code salvage_tell(const struct table *table, const struct table_handle *handle,
                                      bool is_range_deletes,
                                      const struct table_loss_visitor *visitor, const char *cause)
{
    struct table_loss loss = {.is_range_deletes = is_range_deletes,
                              .offset = handle->offset,
                              .bytes = handle->stored_size,
                              .start = buffer_slice(&table->meta.smallest_key),
                              .end = buffer_slice(&table->meta.largest_key),
                              .cause = cause};
    return visitor->loss(visitor->context, &loss);
}

/* What stands behind the footer: each block that is bad is told and left out. */
static enum polarys_code salvage_blocks(struct table *table,
                                        const struct table_loss_visitor *visitor,
                                        struct polarys_error *err)
{
    struct polarys_error cause = POLARYS_ERROR_INIT;
    enum polarys_code code = read_top_index(table, &cause);
    if (table_is_damage(code)) {
        code = salvage_tell(table, &table->footer.top_index, false, visitor, cause.message);
        table->footer.top_index.stored_size = 0;
    }
    if (code == POLARYS_OK) {
        code = read_range_deletes(table, &cause);
        if (table_is_damage(code)) {
            code = salvage_tell(table, &table->footer.range_deletes, true, visitor, cause.message);
        }
    }
    return code == POLARYS_OK ? code
                              : polarys_fail(err, code, "out of memory, or ended by the caller");
}

enum polarys_code table_salvage_open(const struct table_env *env, uint64_t file_id,
                                     const struct table_meta *meta,
                                     const struct table_loss_visitor *visitor, struct table **out,
                                     struct polarys_error *err)
{
    *out = NULL;
    struct table *table = table_alloc(env, file_id);
    struct vfs_file *file = NULL;
    if (table == NULL || (meta != NULL && table_meta_copy(&table->meta, meta) != POLARYS_OK)) {
        table_close(table);
        return polarys_fail(err, POLARYS_NO_MEMORY, "open table: out of memory");
    }
    enum polarys_code code = table_file_pin(table, &file, err);
    if (code == POLARYS_OK) {
        code = read_header(table, file, err);
        if (code == POLARYS_OK) {
            code = read_footer(table, file, meta == NULL ? NULL : meta->footer_tag, err);
        }
        table_file_unpin(table);
    }
    if (code == POLARYS_OK && meta == NULL) {
        code = read_properties(table, err);
        /* Without them the file's keys and versions are unknown, and that is all. */
        if (table_is_damage(code)) {
            table_meta_deinit(&table->meta);
            code = POLARYS_OK;
        }
    }
    if (code == POLARYS_OK) {
        code = salvage_blocks(table, visitor, err);
    }
    if (code != POLARYS_OK) {
        code = open_failed(table, 0, code, err);
        table_close(table);
        return code;
    }
    polarys_error_clear(err);
    *out = table;
    return POLARYS_OK;
}

void table_close(struct table *table)
{
    if (table == NULL) {
        return;
    }
    table_file_close(table);
    free(table->slot);
    if (table->has_sealer) {
        table_sealer_deinit(&table->sealer);
    }
    range_delete_index_destroy(table->range_index);
    free(table->ranges);
    free(table->range_block.bytes);
    free(table->top_block.bytes);
    table_meta_deinit(&table->meta);
    free(table);
}

uint64_t table_range_delete_version(const struct table *table, struct polarys_slice key,
                                    uint64_t snapshot)
{
    return table->range_index == NULL ? 0
                                      : range_delete_index_find(table->range_index, key, snapshot);
}

void table_range_deletes_each(const struct table *table,
                              bool (*each)(void *context, const struct range_delete *range_delete),
                              void *context)
{
    for (size_t i = 0; i < table->range_count; i++) {
        if (!each(context, &table->ranges[i])) {
            return;
        }
    }
}

size_t table_memory_bytes(const struct table *table)
{
    size_t bytes = sizeof(*table) + sizeof(*table->slot) + table->top_block.size +
                   table->range_block.size + table->range_count * sizeof(*table->ranges) +
                   table->meta.smallest_key.capacity + table->meta.largest_key.capacity;
    if (table->range_index != NULL) {
        bytes += range_delete_index_bytes(table->range_index);
    }
    return bytes;
}
