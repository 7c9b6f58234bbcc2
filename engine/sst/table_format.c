/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header, footer and handles of table files: their encoding and the checks on what is decoded.
 */
#include "engine/sst/table_format.h"

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/sst/table.h"

/* Offsets of the header's fields; docs/formats/table.md has the table. */
enum {
    HEADER_MAGIC = 0,
    HEADER_FORMAT = 8,
    HEADER_SIZE_FIELD = 12,
    HEADER_STORE_ID = 16,
    HEADER_FILE_ID = 32,
    HEADER_KEY_ID = 40,
    HEADER_SALT = 48,
    HEADER_CRC = TABLE_HEADER_SIZE - 4,
};

/* Offsets of the footer's fields. */
enum {
    FOOTER_FORMAT = 0,
    FOOTER_DATA_BLOCKS = 8,
    FOOTER_PARTITIONS = 16,
    FOOTER_TOP_INDEX = 24,
    FOOTER_RANGE_DELETES = 56,
    FOOTER_PROPERTIES = 88,
    FIXED_HANDLE_STORED = 8,
    FIXED_HANDLE_TAG = 16,
};

_Static_assert(HEADER_SALT + AEAD_SALT_SIZE <= HEADER_CRC, "the header has room for its fields");
_Static_assert(FOOTER_PROPERTIES + FIXED_HANDLE_TAG + AEAD_TAG_SIZE <= TABLE_FOOTER_SIZE,
               "the footer has room for its fields");

static const uint8_t table_magic[8] = {'P', 'L', 'R', 'S', 'T', 'A', 'B', '\n'};

const char *table_block_kind_name(enum table_block_kind kind)
{
    static const char *const names[] = {
        [TABLE_BLOCK_DATA] = "data",
        [TABLE_BLOCK_INDEX] = "index",
        [TABLE_BLOCK_FILTER] = "filter",
        [TABLE_BLOCK_TOP_INDEX] = "top index",
        [TABLE_BLOCK_RANGE_DELETES] = "range delete",
        [TABLE_BLOCK_PROPERTIES] = "properties",
        [TABLE_BLOCK_FOOTER] = "footer",
    };
    POLARYS_ASSERT(kind >= TABLE_BLOCK_DATA && kind <= TABLE_BLOCK_FOOTER);
    return names[kind];
}

/* What holds of every handle that this program writes. */
static bool handle_is_sane(const struct table_handle *handle)
{
    return handle->stored_size > 0 && handle->stored_size <= TABLE_STORED_BYTES_MAX &&
           handle->offset >= TABLE_HEADER_SIZE &&
           handle->offset <= UINT64_MAX - handle->stored_size;
}

size_t table_handle_put(uint8_t *to, const struct table_handle *handle)
{
    size_t size = put_varint(to, handle->offset);
    size += put_varint(to + size, handle->stored_size);
    memcpy(to + size, handle->tag, AEAD_TAG_SIZE);
    return size + AEAD_TAG_SIZE;
}

bool table_handle_take(struct cursor *cursor, struct table_handle *handle)
{
    uint64_t stored_size;
    struct polarys_slice tag;
    if (!cursor_take_varint(cursor, &handle->offset) || !cursor_take_varint(cursor, &stored_size) ||
        stored_size > TABLE_STORED_BYTES_MAX || !cursor_take_bytes(cursor, AEAD_TAG_SIZE, &tag)) {
        return false;
    }
    handle->stored_size = (uint32_t)stored_size;
    memcpy(handle->tag, tag.data, AEAD_TAG_SIZE);
    return handle_is_sane(handle);
}

void table_header_encode(const struct table_header *header, uint8_t bytes[TABLE_HEADER_SIZE])
{
    memset(bytes, 0, TABLE_HEADER_SIZE);
    memcpy(bytes + HEADER_MAGIC, table_magic, sizeof(table_magic));
    put_u32_le(bytes + HEADER_FORMAT, TABLE_FORMAT_VERSION);
    put_u32_le(bytes + HEADER_SIZE_FIELD, TABLE_HEADER_SIZE);
    memcpy(bytes + HEADER_STORE_ID, header->store_id, STORE_ID_SIZE);
    put_u64_le(bytes + HEADER_FILE_ID, header->file_id);
    put_u32_le(bytes + HEADER_KEY_ID, header->key_id);
    memcpy(bytes + HEADER_SALT, header->salt, AEAD_SALT_SIZE);
    put_u32_le(bytes + HEADER_CRC, checksum_crc32c(0, bytes, HEADER_CRC));
}

enum polarys_code table_header_decode(const uint8_t bytes[TABLE_HEADER_SIZE],
                                      struct table_header *header, struct polarys_error *err)
{
    if (memcmp(bytes + HEADER_MAGIC, table_magic, sizeof(table_magic)) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "header: not a table file");
    }
    if (get_u32_le(bytes + HEADER_CRC) != checksum_crc32c(0, bytes, HEADER_CRC)) {
        return polarys_fail(err, POLARYS_CORRUPT, "header: bad checksum");
    }
    uint32_t format = get_u32_le(bytes + HEADER_FORMAT);
    if (format != TABLE_FORMAT_VERSION ||
        get_u32_le(bytes + HEADER_SIZE_FIELD) != TABLE_HEADER_SIZE) {
        return polarys_fail(err, POLARYS_UNSUPPORTED_FORMAT,
                            "header: format %u, this program reads %d", format,
                            TABLE_FORMAT_VERSION);
    }
    memcpy(header->store_id, bytes + HEADER_STORE_ID, STORE_ID_SIZE);
    header->file_id = get_u64_le(bytes + HEADER_FILE_ID);
    header->key_id = get_u32_le(bytes + HEADER_KEY_ID);
    memcpy(header->salt, bytes + HEADER_SALT, AEAD_SALT_SIZE);
    return POLARYS_OK;
}

static void put_fixed_handle(uint8_t *to, const struct table_handle *handle)
{
    put_u64_le(to, handle->offset);
    put_u32_le(to + FIXED_HANDLE_STORED, handle->stored_size);
    memcpy(to + FIXED_HANDLE_TAG, handle->tag, AEAD_TAG_SIZE);
}

/* A handle of a block that ends at or before `end`, or of none. */
static bool get_fixed_handle(const uint8_t *from, uint64_t end, struct table_handle *handle)
{
    handle->offset = get_u64_le(from);
    handle->stored_size = get_u32_le(from + FIXED_HANDLE_STORED);
    memcpy(handle->tag, from + FIXED_HANDLE_TAG, AEAD_TAG_SIZE);
    return handle->stored_size == 0 ||
           (handle_is_sane(handle) && handle->offset + handle->stored_size <= end);
}

void table_footer_encode(const struct table_footer *footer, uint8_t bytes[TABLE_FOOTER_SIZE])
{
    memset(bytes, 0, TABLE_FOOTER_SIZE);
    put_u32_le(bytes + FOOTER_FORMAT, TABLE_FORMAT_VERSION);
    put_u64_le(bytes + FOOTER_DATA_BLOCKS, footer->data_block_count);
    put_u64_le(bytes + FOOTER_PARTITIONS, footer->partition_count);
    put_fixed_handle(bytes + FOOTER_TOP_INDEX, &footer->top_index);
    put_fixed_handle(bytes + FOOTER_RANGE_DELETES, &footer->range_deletes);
    put_fixed_handle(bytes + FOOTER_PROPERTIES, &footer->properties);
}

bool table_footer_decode(struct polarys_slice bytes, uint64_t footer_offset,
                         struct table_footer *footer)
{
    if (bytes.size != TABLE_FOOTER_SIZE ||
        get_u32_le(bytes.data + FOOTER_FORMAT) != TABLE_FORMAT_VERSION) {
        return false;
    }
    footer->data_block_count = get_u64_le(bytes.data + FOOTER_DATA_BLOCKS);
    footer->partition_count = get_u64_le(bytes.data + FOOTER_PARTITIONS);
    return get_fixed_handle(bytes.data + FOOTER_TOP_INDEX, footer_offset, &footer->top_index) &&
           get_fixed_handle(bytes.data + FOOTER_RANGE_DELETES, footer_offset,
                            &footer->range_deletes) &&
           get_fixed_handle(bytes.data + FOOTER_PROPERTIES, footer_offset, &footer->properties) &&
           footer->properties.stored_size != 0 &&
           (footer->top_index.stored_size != 0) == (footer->data_block_count != 0);
}
