/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Point reads: top index, filter partition, index partition, data block.
 *
 * Each separator is at or after its block's last entry and before the next block's first (table_builder.c).
 * So the newest entry of a key at or below a snapshot, if the file has one, is in the one block
 * whose separator is the first at or after (key, snapshot), even where the key's versions span blocks.
 */
#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/sst/filter.h"
#include "engine/sst/table_internal.h"

/* A lookup on its way down. */
struct lookup {
    struct table *table;
    struct polarys_slice key;
    uint64_t snapshot;
    struct table_access access;
};

/* Whether the partition may have the key. */
static enum polarys_code check_filter(const struct lookup *lookup,
                                      const struct table_handle *handle, bool *is_absent,
                                      struct polarys_error *err)
{
    struct cached_block *pin;
    enum polarys_code code =
        table_block_pin(lookup->table, TABLE_BLOCK_FILTER, handle, &lookup->access, &pin, err);
    if (code != POLARYS_OK) {
        return code;
    }
    enum filter_result result = filter_probe(cached_block_bytes(pin), checksum_hash64(lookup->key));
    cached_block_release(pin);
    *is_absent = result == FILTER_ABSENT;
    return result == FILTER_BAD
               ? table_block_corrupt(lookup->table, TABLE_BLOCK_FILTER, handle->offset, err)
               : POLARYS_OK;
}

/* Pins a sorted block and finds the first entry at or after the target in it. *pin is NULL when the block
 * holds none. */
static enum polarys_code find_in_block(const struct lookup *lookup, enum table_block_kind kind,
                                       const struct table_handle *handle, struct entry *found,
                                       struct cached_block **pin, struct polarys_error *err)
{
    enum polarys_code code =
        table_block_pin(lookup->table, kind, handle, &lookup->access, pin, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct block_view view;
    enum block_result result = BLOCK_BAD;
    if (block_view_init(&view, cached_block_bytes(*pin))) {
        result = block_find(&view, lookup->key, lookup->snapshot, found);
    }
    if (result == BLOCK_FOUND) {
        return POLARYS_OK;
    }
    cached_block_release(*pin);
    *pin = NULL;
    return result == BLOCK_END ? POLARYS_OK
                               : table_block_corrupt(lookup->table, kind, handle->offset, err);
}

/* The data block that the key would be in; *is_there is false when the file cannot have the key. */
static enum polarys_code find_data_block(const struct lookup *lookup, struct table_handle *data,
                                         bool *is_there, struct polarys_error *err)
{
    struct table *table = lookup->table;
    struct entry found;
    struct table_partition partition;
    *is_there = false;
    enum block_result result = block_find(&table->top, lookup->key, lookup->snapshot, &found);
    if (result == BLOCK_END) {
        return POLARYS_OK;
    }
    if (result != BLOCK_FOUND || !table_partition_decode(table, found.value, &partition)) {
        return table_block_corrupt(table, TABLE_BLOCK_TOP_INDEX, table->footer.top_index.offset,
                                   err);
    }
    bool is_absent;
    enum polarys_code code = check_filter(lookup, &partition.filter, &is_absent, err);
    if (code != POLARYS_OK || is_absent) {
        return code;
    }
    struct cached_block *pin;
    code = find_in_block(lookup, TABLE_BLOCK_INDEX, &partition.index, &found, &pin, err);
    if (code != POLARYS_OK) {
        return code;
    }
    /* The top index's separator is the partition's last, so the partition has an entry for the target. */
    bool is_good = pin != NULL && table_data_handle_decode(table, found.value, data);
    cached_block_release(pin);
    *is_there = is_good;
    return is_good ? POLARYS_OK
                   : table_block_corrupt(table, TABLE_BLOCK_INDEX, partition.index.offset, err);
}

/* NOLINTNEXTLINE(readability-function-size): one look-up with all that it depends on */
enum polarys_code table_get(struct table *table, struct polarys_slice key, uint64_t snapshot,
                            unsigned flags, bool *is_found, struct entry *found,
                            struct cached_block **pin, struct polarys_error *err)
{
    *is_found = false;
    *pin = NULL;
    if (table->footer.top_index.stored_size == 0) {
        return POLARYS_OK;
    }
    struct lookup lookup = {table, key, snapshot, {flags, NULL}};
    struct table_handle data;
    bool is_there;
    enum polarys_code code = find_data_block(&lookup, &data, &is_there, err);
    if (code != POLARYS_OK || !is_there) {
        return code;
    }
    code = find_in_block(&lookup, TABLE_BLOCK_DATA, &data, found, pin, err);
    if (code != POLARYS_OK || *pin == NULL) {
        return code;
    }
    if (found->key.size == 0) {
        /* An entry of a later key. */
        cached_block_release(*pin);
        *pin = NULL;
        return POLARYS_OK;
    }
    POLARYS_ASSERT(found->key.data == key.data && found->version <= snapshot);
    *is_found = true;
    return POLARYS_OK;
}
