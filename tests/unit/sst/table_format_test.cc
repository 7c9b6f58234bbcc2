// SPDX-License-Identifier: Apache-2.0
// The bytes on disk, as docs/formats/table.md has them: a change here breaks files that exist.
#include "engine/sst/table_format.h"

#include "engine/base/checksum.h"
#include "engine/sst/block.h"
#include "engine/sst/table_properties.h"
#include "tests/unit/sst/table_fixture.h"

namespace sst_test {
namespace {

std::string hex(polarys_slice bytes)
{
    std::string text;
    for (size_t i = 0; i < bytes.size; i++) {
        char digits[3];
        snprintf(digits, sizeof(digits), "%02x", bytes.data[i]);
        text += digits;
    }
    return text;
}

TEST(TableFormat, SortedBlockIsAsWritten)
{
    block_builder builder = {};
    entry entries[] = {
        {slice_from_text("tablekey1"), slice_from_text("first"), 300, ENTRY_PUT},
        {slice_from_text("tablekey1"), slice_from_text(""), 299, ENTRY_DELETE},
        {slice_from_text("tablekey22"), slice_from_text("x"), 301, ENTRY_PUT},
    };
    for (const entry &each : entries) {
        ASSERT_EQ(POLARYS_OK, block_builder_add(&builder, &each));
    }
    buffer payload = {};
    ASSERT_EQ(POLARYS_OK, block_builder_finish(&builder, &payload));
    EXPECT_EQ("01000000" // groups
              "03000000" // entries
              "18000000" // bytes of key records
              "08000000" // bytes of the prefix
              "00000000"
              "00000000"
              "0000000000000031" // restart: "1" after the prefix
              "7461626c656b6579" // prefix
              "00"
              "09"
              "0a"
              "ac02"
              "7461626c656b657931"
              "09"
              "00"
              "01"
              "01"
              "08"
              "02"
              "02"
              "04"
              "3232"
              "6669727374"
              "78",
              hex(buffer_slice(&payload)));
    buffer_deinit(&payload);
    block_builder_deinit(&builder);
}

TEST(TableFormat, HandleIsAsWritten)
{
    table_handle handle = {300, 5, {0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xbb}};
    uint8_t bytes[TABLE_HANDLE_SIZE_MAX];
    size_t size = table_handle_put(bytes, &handle);
    EXPECT_EQ("ac0205aa0102030405060708090a0b0c0d0ebb", hex(slice_make(bytes, size)));
    table_handle back;
    cursor cursor = cursor_make(slice_make(bytes, size));
    ASSERT_TRUE(table_handle_take(&cursor, &back));
    EXPECT_EQ(handle.offset, back.offset);
    EXPECT_EQ(handle.stored_size, back.stored_size);
    for (size_t cut = 0; cut < size; cut++) {
        cursor = cursor_make(slice_make(bytes, cut));
        EXPECT_FALSE(table_handle_take(&cursor, &back)) << cut;
    }
}

TEST(TableFormat, HandlesOfImpossibleBlocksAreRefused)
{
    for (table_handle bad :
         {table_handle{0, 5, {}}, table_handle{127, 5, {}}, table_handle{200, 0, {}},
          table_handle{UINT64_MAX - 2, 5, {}}, table_handle{200, TABLE_STORED_BYTES_MAX + 1, {}}}) {
        uint8_t bytes[TABLE_HANDLE_SIZE_MAX];
        size_t size = table_handle_put(bytes, &bad);
        cursor cursor = cursor_make(slice_make(bytes, size));
        table_handle back;
        EXPECT_FALSE(table_handle_take(&cursor, &back)) << bad.offset << " " << bad.stored_size;
    }
}

TEST(TableFormat, HeaderIsAsWrittenAndChecked)
{
    table_header header = {{1, 2, 3}, 0x1122334455667788, 7, {9, 8, 7}};
    uint8_t bytes[TABLE_HEADER_SIZE];
    table_header_encode(&header, bytes);
    EXPECT_EQ("504c52535441420a"
              "01000000"
              "80000000",
              hex(slice_make(bytes, 16)));
    EXPECT_EQ("8877665544332211"
              "07000000"
              "00000000"
              "090807",
              hex(slice_make(bytes + 32, 19)));
    EXPECT_EQ(checksum_crc32c(0, bytes, 124), get_u32_le(bytes + 124));
    table_header back;
    ASSERT_EQ(POLARYS_OK, table_header_decode(bytes, &back, nullptr));
    EXPECT_EQ(0, memcmp(&header.salt, &back.salt, AEAD_SALT_SIZE));
    for (size_t at = 0; at < TABLE_HEADER_SIZE; at++) {
        bytes[at] ^= 4;
        EXPECT_EQ(POLARYS_CORRUPT, table_header_decode(bytes, &back, nullptr)) << at;
        bytes[at] ^= 4;
    }
    bytes[8] = 2;
    put_u32_le(bytes + 124, checksum_crc32c(0, bytes, 124));
    EXPECT_EQ(POLARYS_UNSUPPORTED_FORMAT, table_header_decode(bytes, &back, nullptr));
}

TEST(TableFormat, FooterIsAsWrittenAndChecked)
{
    table_footer footer = {};
    footer.data_block_count = 3;
    footer.partition_count = 1;
    footer.top_index = {1000, 50, {1}};
    footer.properties = {1050, 60, {2}};
    uint8_t bytes[TABLE_FOOTER_SIZE];
    table_footer_encode(&footer, bytes);
    EXPECT_EQ("01000000"
              "00000000"
              "0300000000000000"
              "0100000000000000"
              "e803000000000000"
              "32000000"
              "00000000"
              "01",
              hex(slice_make(bytes, 41)));
    table_footer back;
    polarys_slice all = slice_make(bytes, sizeof(bytes));
    EXPECT_TRUE(table_footer_decode(all, 1110, &back));
    EXPECT_FALSE(table_footer_decode(all, 1109, &back)) << "a block reaches into the footer";
    EXPECT_FALSE(table_footer_decode(slice_make(bytes, sizeof(bytes) - 1), 1110, &back));
    footer.properties.stored_size = 0;
    table_footer_encode(&footer, bytes);
    EXPECT_FALSE(table_footer_decode(all, 1110, &back)) << "no properties";
    footer.properties.stored_size = 60;
    footer.top_index.stored_size = 0;
    table_footer_encode(&footer, bytes);
    EXPECT_FALSE(table_footer_decode(all, 1110, &back)) << "data blocks and no index";
}

TEST(TableFormat, RangeDeletesAreSortedAndAsWritten)
{
    range_delete list[] = {{slice_from_text("c"), slice_from_text("d"), 5},
                           {slice_from_text("a"), slice_from_text("bb"), 6},
                           {slice_from_text("a"), slice_from_text("b"), 300}};
    buffer payload = {};
    ASSERT_EQ(POLARYS_OK, range_deletes_encode(list, 3, &payload));
    EXPECT_EQ("03"
              "0161"
              "0162"
              "ac02"
              "0161"
              "026262"
              "06"
              "0163"
              "0164"
              "05",
              hex(buffer_slice(&payload)));
    range_delete *back;
    size_t count;
    ASSERT_EQ(POLARYS_OK, range_deletes_decode(buffer_slice(&payload), &back, &count));
    ASSERT_EQ(3u, count);
    EXPECT_EQ("bb", text_of(back[1].end));
    free(back);
    for (size_t cut = 0; cut < payload.size; cut++) {
        EXPECT_EQ(POLARYS_CORRUPT,
                  range_deletes_decode(slice_make(payload.data, cut), &back, &count));
        EXPECT_EQ(nullptr, back);
    }
    EXPECT_EQ(POLARYS_OK, buffer_append_byte(&payload, 0));
    EXPECT_EQ(POLARYS_CORRUPT, range_deletes_decode(buffer_slice(&payload), &back, &count));
    buffer_deinit(&payload);
}

TEST(TableFormat, PropertiesComeBackAndNothingShorterDoes)
{
    Meta meta;
    meta.entry_count = 1000;
    meta.delete_count = 10;
    meta.range_delete_count = 2;
    meta.oldest_version = 5;
    meta.newest_version = UINT64_MAX - 1;
    meta.raw_bytes = 12345;
    ASSERT_EQ(POLARYS_OK, buffer_append(&meta.smallest_key, "aa", 2));
    ASSERT_EQ(POLARYS_OK, buffer_append(&meta.largest_key, "zz", 2));
    table_builder_options options = {1, 16384, 3, true};
    buffer payload = {};
    ASSERT_EQ(POLARYS_OK, table_properties_encode(&meta, &options, &payload));
    EXPECT_EQ("01e8070a0205feffffffffffffffff01b960808001030102616102"
              "7a7a",
              hex(slice_make(payload.data, 29)));
    Meta back;
    ASSERT_EQ(POLARYS_OK, table_properties_decode(buffer_slice(&payload), &back));
    EXPECT_EQ(meta.newest_version, back.newest_version);
    EXPECT_EQ(meta.raw_bytes, back.raw_bytes);
    EXPECT_EQ("zz", text_of(buffer_slice(&back.largest_key)));
    for (size_t cut = 0; cut < payload.size; cut++) {
        Meta other;
        EXPECT_EQ(POLARYS_CORRUPT, table_properties_decode(slice_make(payload.data, cut), &other));
    }
    buffer_deinit(&payload);
}

} // namespace
} // namespace sst_test
