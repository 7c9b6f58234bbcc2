/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoders of a table file, fed with bytes that have passed authentication: payloads of sorted blocks,
 * filters, range deletes, properties, headers, footers, handles and compressed payloads. The first byte
 * chooses the decoder, the rest is its input.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/sst/block.h"
#include "engine/sst/filter.h"
#include "engine/sst/table_codec.h"
#include "engine/sst/table_properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte, so that the address sanitizer sees those outside. */
static uint64_t touch(struct polarys_slice bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        sum += bytes.data[i];
    }
    return sum;
}

static uint64_t fuzz_walks(const struct block_view *view, size_t size)
{
    struct block_cursor cursor = {0};
    block_cursor_set(&cursor, view);
    uint64_t sum = 0;
    size_t steps = 0;
    for (enum block_result result = block_cursor_first(&cursor); result == BLOCK_FOUND;
         result = block_cursor_next(&cursor)) {
        sum += touch(cursor.entry.key) + touch(cursor.entry.value);
        /* Groups never overlap, so every record has bytes of its own. */
        POLARYS_ASSERT(++steps <= size);
    }
    for (enum block_result result = block_cursor_last(&cursor); result == BLOCK_FOUND;
         result = block_cursor_previous(&cursor)) {
        sum += touch(cursor.entry.key);
    }
    block_cursor_deinit(&cursor);
    return sum;
}

static uint64_t fuzz_block(struct polarys_slice input)
{
    /* The first bytes are a key to look for. */
    struct polarys_slice key = slice_make(input.data, input.size < 12 ? input.size : 12);
    struct polarys_slice payload = slice_make(input.data + key.size, input.size - key.size);
    struct block_view view;
    if (payload.size > 4096 || !block_view_init(&view, payload)) {
        return 0;
    }
    uint64_t sum = fuzz_walks(&view, payload.size);
    struct entry found;
    if (block_find(&view, key, 100, &found) == BLOCK_FOUND) {
        sum += touch(found.value);
    }
    struct block_cursor cursor = {0};
    block_cursor_set(&cursor, &view);
    if (block_cursor_seek(&cursor, key, 100) == BLOCK_FOUND &&
        block_cursor_previous(&cursor) == BLOCK_FOUND &&
        block_cursor_next(&cursor) == BLOCK_FOUND) {
        sum += touch(cursor.entry.key);
    }
    block_cursor_deinit(&cursor);
    return sum;
}

static uint64_t fuzz_range_deletes(struct polarys_slice input)
{
    struct range_delete *list;
    size_t count;
    if (range_deletes_decode(input, &list, &count) != POLARYS_OK) {
        return 0;
    }
    uint64_t sum = 0;
    struct range_delete_index *index;
    if (range_delete_index_create(list, count, &index) == POLARYS_OK) {
        for (size_t i = 0; i < count; i++) {
            sum += range_delete_index_find(index, list[i].start, UINT64_MAX);
        }
        range_delete_index_destroy(index);
    }
    free(list);
    return sum;
}

static uint64_t fuzz_properties(struct polarys_slice input)
{
    struct table_meta meta = {0};
    uint64_t sum = 0;
    if (table_properties_decode(input, &meta) == POLARYS_OK) {
        sum = touch(buffer_slice(&meta.smallest_key)) + touch(buffer_slice(&meta.largest_key));
    }
    table_meta_deinit(&meta);
    return sum;
}

/* Header, footer and handles. What is decoded and encoded again is what it was. */
static uint64_t fuzz_fixed(struct polarys_slice input)
{
    struct table_handle handle;
    struct cursor cursor = cursor_make(input);
    while (table_handle_take(&cursor, &handle)) {
        POLARYS_ASSERT(handle.offset + handle.stored_size > handle.offset);
    }
    struct table_footer footer;
    uint64_t sum = table_footer_decode(input, 1 << 20, &footer);
    if (input.size >= TABLE_HEADER_SIZE) {
        struct table_header header;
        if (table_header_decode(input.data, &header, NULL) == POLARYS_OK) {
            sum += header.file_id;
        }
    }
    return sum;
}

static uint64_t fuzz_compressed(struct polarys_slice input)
{
    struct table_block block;
    /* A size that is allowed but large would only take time here. */
    if (input.size < 4 || get_u32_le(input.data) > 1 << 20 ||
        table_codec_decompress(input, &block, NULL) != POLARYS_OK) {
        return 0;
    }
    uint64_t sum = touch(slice_make(block.bytes, block.size));
    free(block.bytes);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t (*const decoders[])(struct polarys_slice) = {
        fuzz_block, fuzz_range_deletes, fuzz_properties, fuzz_fixed, fuzz_compressed,
    };
    enum { DECODER_COUNT = sizeof(decoders) / sizeof(decoders[0]) };
    if (size < 2) {
        return 0;
    }
    struct polarys_slice input = slice_make(data + 1, size - 1);
    static volatile uint64_t sink;
    if (data[0] % (DECODER_COUNT + 1) == DECODER_COUNT) {
        sink = filter_probe(input, UINT64_C(0x123456789abcdef0) ^ data[0]);
    } else {
        sink = decoders[data[0] % (DECODER_COUNT + 1)](input);
    }
    (void)sink;
    return 0;
}
