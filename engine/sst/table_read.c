/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting at blocks: from the cache, or read, opened, decompressed and put there.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/sst/table_internal.h"

enum {
    READAHEAD_FIRST = 32 << 10,
    READAHEAD_MAX = 256 << 10,
};

enum polarys_code table_block_failed(const struct table *table, enum table_block_kind kind,
                                     uint64_t offset, enum polarys_code code,
                                     struct polarys_error *err)
{
    polarys_error_detail_set(err, "file", "%s", table->name);
    polarys_error_detail_set(err, "offset", "%" PRIu64, offset);
    return polarys_wrap(err, code, "table %s: %s block at byte %" PRIu64, table->name,
                        table_block_kind_name(kind), offset);
}

enum polarys_code table_block_corrupt(const struct table *table, enum table_block_kind kind,
                                      uint64_t offset, struct polarys_error *err)
{
    polarys_fail(err, POLARYS_CORRUPT, "makes no sense although it authenticates");
    return table_block_failed(table, kind, offset, POLARYS_CORRUPT, err);
}

static bool handle_is_inside(const struct table *table, const struct table_handle *handle)
{
    return handle->offset + handle->stored_size <= table->footer_offset;
}

bool table_partition_decode(const struct table *table, struct polarys_slice value,
                            struct table_partition *partition)
{
    struct cursor cursor = cursor_make(value);
    return table_handle_take(&cursor, &partition->index) &&
           table_handle_take(&cursor, &partition->filter) && cursor_left(&cursor) == 0 &&
           handle_is_inside(table, &partition->index) &&
           handle_is_inside(table, &partition->filter);
}

bool table_data_handle_decode(const struct table *table, struct polarys_slice value,
                              struct table_handle *handle)
{
    struct cursor cursor = cursor_make(value);
    return table_handle_take(&cursor, handle) && cursor_left(&cursor) == 0 &&
           handle_is_inside(table, handle);
}

/* Reads from the file, which stays open meanwhile. */
static enum polarys_code read_bytes(const struct table *table, uint64_t offset, uint8_t *to,
                                    size_t size, struct polarys_error *err)
{
    struct vfs_file *file = NULL;
    enum polarys_code code = table_file_pin(table, &file, err);
    if (code == POLARYS_OK) {
        code = vfs_read_exact(file, offset, to, size, err);
        table_file_unpin(table);
    }
    return code;
}

static bool readahead_has(const struct table_readahead *ahead, const struct table_handle *handle)
{
    return handle->offset >= ahead->offset &&
           handle->offset + handle->stored_size <= ahead->offset + ahead->size;
}

/* Reads the block's bytes, and as many after them as the window says. The window grows while the walk goes
 * straight on. */
static enum polarys_code readahead_fill(const struct table *table, struct table_readahead *ahead,
                                        const struct table_handle *handle,
                                        struct polarys_error *err)
{
    bool is_next = ahead->size != 0 && handle->offset > ahead->offset &&
                   handle->offset <= ahead->offset + ahead->size;
    size_t window = is_next ? 2 * ahead->window : READAHEAD_FIRST;
    ahead->window = window > READAHEAD_MAX ? READAHEAD_MAX : window;
    size_t size = handle->stored_size > ahead->window ? handle->stored_size : ahead->window;
    uint64_t left = table->footer_offset - handle->offset;
    size = size > left ? (size_t)left : size;
    ahead->size = 0;
    if (size > ahead->capacity) {
        free(ahead->bytes);
        ahead->capacity = size > READAHEAD_MAX ? size : READAHEAD_MAX;
        ahead->bytes = malloc(ahead->capacity);
        if (ahead->bytes == NULL) {
            ahead->capacity = 0;
            return polarys_fail(err, POLARYS_NO_MEMORY, "read ahead: out of memory");
        }
    }
    enum polarys_code code = read_bytes(table, handle->offset, ahead->bytes, size, err);
    if (code == POLARYS_OK) {
        ahead->offset = handle->offset;
        ahead->size = size;
    }
    return code;
}

void table_readahead_deinit(struct table_readahead *ahead)
{
    free(ahead->bytes);
    *ahead = (struct table_readahead){0};
}

/* The stored bytes of the block into `to`. */
static enum polarys_code read_stored(const struct table *table, const struct table_handle *handle,
                                     struct table_readahead *ahead, uint8_t *to,
                                     struct polarys_error *err)
{
    if (ahead == NULL) {
        return read_bytes(table, handle->offset, to, handle->stored_size, err);
    }
    if (!readahead_has(ahead, handle)) {
        enum polarys_code code = readahead_fill(table, ahead, handle, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    memcpy(to, ahead->bytes + (handle->offset - ahead->offset), handle->stored_size);
    return POLARYS_OK;
}

enum polarys_code table_block_read(const struct table *table, enum table_block_kind kind,
                                   const struct table_handle *handle, struct table_readahead *ahead,
                                   struct table_block *block, struct polarys_error *err)
{
    POLARYS_ASSERT(handle_is_inside(table, handle));
    uint8_t *stored = table_block_alloc(handle->stored_size);
    if (stored == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "table %s: block of %u bytes: out of memory",
                            table->name, handle->stored_size);
    }
    enum polarys_code code = read_stored(table, handle, ahead, stored, err);
    if (code == POLARYS_OK) {
        code = table_block_open(&table->sealer, kind, handle, stored, block, err);
    } else {
        free(stored);
    }
    return code == POLARYS_OK ? code : table_block_failed(table, kind, handle->offset, code, err);
}

/* Puts a block that was read where `flags` say, and pins it. Takes over its bytes. */
static enum polarys_code keep_block(struct table *table, const struct table_block *block,
                                    uint64_t offset, unsigned flags, struct cached_block **pin,
                                    struct polarys_error *err)
{
    *pin = (flags & TABLE_READ_NO_FILL) != 0
               ? cached_block_create(block->bytes, block->size)
               : block_cache_insert(table->env.cache, table->meta.file_id, offset, block->bytes,
                                    block->size);
    return *pin != NULL ? POLARYS_OK
                        : polarys_fail(err, POLARYS_NO_MEMORY, "block cache: out of memory");
}

enum polarys_code table_block_pin(struct table *table, enum table_block_kind kind,
                                  const struct table_handle *handle,
                                  const struct table_access *access, struct cached_block **pin,
                                  struct polarys_error *err)
{
    *pin = block_cache_acquire(table->env.cache, table->meta.file_id, handle->offset);
    if (*pin != NULL) {
        return POLARYS_OK;
    }
    if ((access->flags & TABLE_READ_MEMORY_ONLY) != 0) {
        return polarys_fail(err, POLARYS_WOULD_BLOCK, "block is not in memory");
    }
    struct table_block block;
    struct table_readahead *ahead = kind == TABLE_BLOCK_DATA ? access->ahead : NULL;
    enum polarys_code code = table_block_read(table, kind, handle, ahead, &block, err);
    return code == POLARYS_OK ? keep_block(table, &block, handle->offset, access->flags, pin, err)
                              : code;
}
