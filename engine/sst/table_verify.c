/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a whole file, and estimating how much of it a key range takes.
 *
 * The check reads past the cache, so it sees what is on disk now. It goes on past a bad block to what can
 * still be reached; blocks behind a bad index partition are not counted one by one.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/sst/filter.h"
#include "engine/sst/table_internal.h"
#include "engine/sst/table_properties.h"

struct verify {
    const struct table *table;
    uint64_t bad_count;
    uint64_t entry_count;
    uint64_t data_block_count;
    /* The last entry met; empty before the first. */
    struct buffer last_key;
    uint64_t last_version;
};

/* Whether a read failed because of the bytes: then it is counted and the check goes on. */
static bool is_damage(enum polarys_code code)
{
    return code == POLARYS_CORRUPT || code == POLARYS_TAMPERED;
}

/* Reads a block; block->bytes is NULL when it is bad. */
static enum polarys_code read_counted(struct verify *verify, enum table_block_kind kind,
                                      const struct table_handle *handle, struct table_block *block,
                                      struct polarys_error *err)
{
    block->bytes = NULL;
    enum polarys_code code = table_block_read(verify->table, kind, handle, NULL, block, err);
    if (is_damage(code)) {
        verify->bad_count++;
        block->bytes = NULL;
        return POLARYS_OK;
    }
    return code;
}

/* Checks one entry against the one before, the separator and the filter. False when it is bad. */
static bool entry_is_good(struct verify *verify, const struct entry *entry,
                          const struct entry *separator, struct polarys_slice filter)
{
    struct polarys_slice last = buffer_slice(&verify->last_key);
    return (last.size == 0 ||
            entry_compare(last, verify->last_version, entry->key, entry->version) < 0) &&
           entry_compare(entry->key, entry->version, separator->key, separator->version) <= 0 &&
           (filter.size == 0 || filter_probe(filter, checksum_hash64(entry->key)) == FILTER_MAYBE);
}

/* Walks the entries of a data block. */
static enum polarys_code verify_entries(struct verify *verify, struct polarys_slice payload,
                                        const struct entry *separator, struct polarys_slice filter)
{
    struct block_view view;
    if (!block_view_init(&view, payload)) {
        verify->bad_count++;
        return POLARYS_OK;
    }
    struct block_cursor cursor = {0};
    block_cursor_set(&cursor, &view);
    enum polarys_code code = POLARYS_OK;
    uint64_t count = 0;
    enum block_result result = block_cursor_first(&cursor);
    while (result == BLOCK_FOUND && code == POLARYS_OK) {
        if (!entry_is_good(verify, &cursor.entry, separator, filter)) {
            result = BLOCK_BAD;
            break;
        }
        buffer_clear(&verify->last_key);
        code = buffer_append_slice(&verify->last_key, cursor.entry.key);
        verify->last_version = cursor.entry.version;
        count++;
        result = block_cursor_next(&cursor);
    }
    block_cursor_deinit(&cursor);
    if (result == BLOCK_NO_MEMORY) {
        code = POLARYS_NO_MEMORY;
    } else if (code == POLARYS_OK && (result == BLOCK_BAD || count != view.entry_count)) {
        verify->bad_count++;
    }
    verify->entry_count += count;
    return code;
}

/* Reads and checks the data block of one index entry. */
static enum polarys_code verify_data(struct verify *verify, const struct entry *separator,
                                     struct polarys_slice filter, struct polarys_error *err)
{
    struct table_handle handle;
    if (!table_data_handle_decode(verify->table, separator->value, &handle)) {
        verify->bad_count++;
        return POLARYS_OK;
    }
    verify->data_block_count++;
    struct table_block block;
    enum polarys_code code = read_counted(verify, TABLE_BLOCK_DATA, &handle, &block, err);
    if (code != POLARYS_OK || block.bytes == NULL) {
        return code;
    }
    code = verify_entries(verify, slice_make(block.bytes, block.size), separator, filter);
    free(block.bytes);
    return code == POLARYS_OK ? code : polarys_fail(err, code, "verify: out of memory");
}

/* Checks the data blocks that an index partition lists. */
static enum polarys_code verify_index(struct verify *verify, struct polarys_slice index,
                                      struct polarys_slice filter, struct polarys_error *err)
{
    struct block_view view;
    if (!block_view_init(&view, index)) {
        verify->bad_count++;
        return POLARYS_OK;
    }
    struct block_cursor cursor = {0};
    block_cursor_set(&cursor, &view);
    enum polarys_code code = POLARYS_OK;
    enum block_result result = block_cursor_first(&cursor);
    while (result == BLOCK_FOUND) {
        code = verify_data(verify, &cursor.entry, filter, err);
        if (code != POLARYS_OK) {
            break;
        }
        result = block_cursor_next(&cursor);
    }
    block_cursor_deinit(&cursor);
    if (result == BLOCK_BAD) {
        verify->bad_count++;
    }
    return result == BLOCK_NO_MEMORY ? polarys_fail(err, POLARYS_NO_MEMORY, "verify: out of memory")
                                     : code;
}

static enum polarys_code verify_partition(struct verify *verify, struct polarys_slice value,
                                          struct polarys_error *err)
{
    struct table_partition partition;
    if (!table_partition_decode(verify->table, value, &partition)) {
        verify->bad_count++;
        return POLARYS_OK;
    }
    struct table_block filter = {0};
    struct table_block index = {0};
    enum polarys_code code =
        read_counted(verify, TABLE_BLOCK_FILTER, &partition.filter, &filter, err);
    if (code == POLARYS_OK) {
        code = read_counted(verify, TABLE_BLOCK_INDEX, &partition.index, &index, err);
    }
    struct polarys_slice filter_bytes =
        slice_make(filter.bytes, filter.bytes == NULL ? 0 : filter.size);
    if (code == POLARYS_OK && filter_bytes.size != 0 &&
        filter_probe(filter_bytes, 0) == FILTER_BAD) {
        verify->bad_count++;
        filter_bytes.size = 0;
    }
    if (code == POLARYS_OK && index.bytes != NULL) {
        code = verify_index(verify, slice_make(index.bytes, index.size), filter_bytes, err);
    }
    free(filter.bytes);
    free(index.bytes);
    return code;
}

static enum polarys_code verify_partitions(struct verify *verify, struct polarys_error *err)
{
    if (verify->table->footer.top_index.stored_size == 0) {
        return POLARYS_OK;
    }
    struct block_cursor cursor = {0};
    block_cursor_set(&cursor, &verify->table->top);
    enum polarys_code code = POLARYS_OK;
    enum block_result result = block_cursor_first(&cursor);
    while (result == BLOCK_FOUND) {
        code = verify_partition(verify, cursor.entry.value, err);
        if (code != POLARYS_OK) {
            break;
        }
        result = block_cursor_next(&cursor);
    }
    block_cursor_deinit(&cursor);
    if (result == BLOCK_BAD) {
        verify->bad_count++;
    }
    return result == BLOCK_NO_MEMORY ? polarys_fail(err, POLARYS_NO_MEMORY, "verify: out of memory")
                                     : code;
}

/* Reads again what table_open read, from the disk as it is now, and the properties. */
static enum polarys_code verify_others(struct verify *verify, struct polarys_error *err)
{
    const struct table_footer *footer = &verify->table->footer;
    const struct table_handle *handles[] = {&footer->top_index, &footer->range_deletes,
                                            &footer->properties};
    const enum table_block_kind kinds[] = {TABLE_BLOCK_TOP_INDEX, TABLE_BLOCK_RANGE_DELETES,
                                           TABLE_BLOCK_PROPERTIES};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (handles[i]->stored_size == 0) {
            continue;
        }
        struct table_block block;
        enum polarys_code code = read_counted(verify, kinds[i], handles[i], &block, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (block.bytes != NULL && kinds[i] == TABLE_BLOCK_PROPERTIES) {
            struct table_meta meta = {0};
            code = table_properties_decode(slice_make(block.bytes, block.size), &meta);
            verify->bad_count +=
                code == POLARYS_CORRUPT ||
                (code == POLARYS_OK && meta.entry_count != verify->table->meta.entry_count);
            table_meta_deinit(&meta);
        }
        free(block.bytes);
        if (code == POLARYS_NO_MEMORY) {
            return polarys_fail(err, code, "verify: out of memory");
        }
    }
    return POLARYS_OK;
}

enum polarys_code table_verify(struct table *table, uint64_t *bad_count, struct polarys_error *err)
{
    struct verify verify = {.table = table};
    enum polarys_code code = verify_others(&verify, err);
    if (code == POLARYS_OK) {
        code = verify_partitions(&verify, err);
    }
    buffer_deinit(&verify.last_key);
    *bad_count = verify.bad_count;
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "verify table %s", table->name);
    }
    bool is_whole = verify.entry_count == table->meta.entry_count &&
                    verify.data_block_count == table->footer.data_block_count;
    if (verify.bad_count == 0 && !is_whole) {
        *bad_count = 1;
    }
    polarys_error_clear(err);
    return POLARYS_OK;
}

/* The offset of the data block that (key, VERSION_MAX) falls into; the end of the data when there is
 * none. */
static enum polarys_code offset_of(struct table *table, struct polarys_slice key, uint64_t *offset,
                                   struct polarys_error *err)
{
    struct entry found;
    struct table_partition partition;
    enum block_result result = block_find(&table->top, key, VERSION_MAX, &found);
    *offset = table->footer.top_index.offset;
    if (result == BLOCK_END) {
        return POLARYS_OK;
    }
    if (result != BLOCK_FOUND || !table_partition_decode(table, found.value, &partition)) {
        return table_block_corrupt(table, TABLE_BLOCK_TOP_INDEX, *offset, err);
    }
    struct cached_block *pin;
    const struct table_access access = {0, NULL};
    enum polarys_code code =
        table_block_pin(table, TABLE_BLOCK_INDEX, &partition.index, &access, &pin, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct block_view view;
    struct table_handle handle;
    bool is_good = block_view_init(&view, cached_block_bytes(pin)) &&
                   block_find(&view, key, VERSION_MAX, &found) == BLOCK_FOUND &&
                   table_data_handle_decode(table, found.value, &handle);
    cached_block_release(pin);
    if (!is_good) {
        return table_block_corrupt(table, TABLE_BLOCK_INDEX, partition.index.offset, err);
    }
    *offset = handle.offset;
    return POLARYS_OK;
}

enum polarys_code table_range_bytes(struct table *table, struct polarys_slice start,
                                    struct polarys_slice end, uint64_t *bytes,
                                    struct polarys_error *err)
{
    *bytes = 0;
    if (table->footer.top_index.stored_size == 0 || slice_compare(start, end) >= 0) {
        return POLARYS_OK;
    }
    uint64_t from;
    uint64_t to;
    enum polarys_code code = offset_of(table, start, &from, err);
    if (code == POLARYS_OK) {
        code = offset_of(table, end, &to, err);
    }
    if (code == POLARYS_OK) {
        *bytes = to > from ? to - from : 0;
    }
    return code;
}
