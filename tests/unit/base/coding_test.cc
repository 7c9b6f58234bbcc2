/* SPDX-License-Identifier: Apache-2.0 */
/* Coding: round trips, exact bytes, and refusal of everything that is cut off or too long. */
#include "engine/base/coding.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/sim_random.h"

namespace {

std::vector<uint64_t> interesting()
{
    std::vector<uint64_t> values = {0, UINT64_MAX};
    for (unsigned bit = 0; bit < 64; bit++) {
        values.push_back(uint64_t{1} << bit);
        values.push_back((uint64_t{1} << bit) - 1);
        values.push_back((uint64_t{1} << bit) + 1);
    }
    return values;
}

TEST(Coding, FixedWidthsHaveTheirByteOrder)
{
    uint8_t bytes[8];
    put_u32_le(bytes, 0x01020304);
    EXPECT_EQ(bytes[0], 4);
    EXPECT_EQ(get_u32_le(bytes), 0x01020304u);
    put_u32_be(bytes, 0x01020304);
    EXPECT_EQ(bytes[0], 1);
    EXPECT_EQ(get_u32_be(bytes), 0x01020304u);
    put_u64_le(bytes, 0x0102030405060708);
    EXPECT_EQ(bytes[0], 8);
    EXPECT_EQ(get_u64_le(bytes), 0x0102030405060708u);
    put_u64_be(bytes, 0x0102030405060708);
    EXPECT_EQ(bytes[0], 1);
    EXPECT_EQ(get_u64_be(bytes), 0x0102030405060708u);
}

TEST(Coding, VarintsRoundTripInTheirStatedSize)
{
    for (uint64_t value : interesting()) {
        uint8_t bytes[VARINT64_SIZE_MAX];
        size_t size = put_varint(bytes, value);
        EXPECT_EQ(size, varint_size(value)) << value;
        struct cursor cursor = cursor_make(slice_make(bytes, size));
        uint64_t back = 0;
        ASSERT_TRUE(cursor_take_varint(&cursor, &back)) << value;
        EXPECT_EQ(back, value);
        EXPECT_EQ(cursor_left(&cursor), 0u);
    }
}

TEST(Coding, CutVarintsAreRefused)
{
    for (uint64_t value : interesting()) {
        uint8_t bytes[VARINT64_SIZE_MAX];
        size_t size = put_varint(bytes, value);
        for (size_t kept = 0; kept < size; kept++) {
            /* On the heap, so that the address sanitizer sees a read past the end. */
            std::vector<uint8_t> cut(bytes, bytes + kept);
            struct cursor cursor = cursor_make(slice_make(cut.data(), cut.size()));
            uint64_t back;
            EXPECT_FALSE(cursor_take_varint(&cursor, &back)) << value << " " << kept;
        }
    }
}

TEST(Coding, VarintsOver64BitsAreRefused)
{
    const uint8_t eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    const uint8_t bit64[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    uint64_t value;
    struct cursor cursor = cursor_make(slice_make(eleven, sizeof(eleven)));
    EXPECT_FALSE(cursor_take_varint(&cursor, &value));
    cursor = cursor_make(slice_make(bit64, sizeof(bit64)));
    EXPECT_FALSE(cursor_take_varint(&cursor, &value));
}

TEST(Coding, SizedBytesRoundTripAndNeverReachPastTheEnd)
{
    struct buffer buffer = {};
    ASSERT_EQ(buffer_append_sized(&buffer, slice_from_text("hello")), POLARYS_OK);
    ASSERT_EQ(buffer_append_sized(&buffer, slice_make(nullptr, 0)), POLARYS_OK);
    ASSERT_EQ(buffer_append_u32_le(&buffer, 7), POLARYS_OK);
    ASSERT_EQ(buffer_append_u64_le(&buffer, 8), POLARYS_OK);
    ASSERT_EQ(buffer_append_varint(&buffer, 300), POLARYS_OK);
    struct cursor cursor = cursor_make(buffer_slice(&buffer));
    struct polarys_slice bytes;
    uint32_t u32;
    uint64_t u64;
    uint64_t varint;
    ASSERT_TRUE(cursor_take_sized(&cursor, &bytes));
    EXPECT_TRUE(slice_equal(bytes, slice_from_text("hello")));
    ASSERT_TRUE(cursor_take_sized(&cursor, &bytes));
    EXPECT_EQ(bytes.size, 0u);
    ASSERT_TRUE(cursor_take_u32_le(&cursor, &u32) && cursor_take_u64_le(&cursor, &u64) &&
                cursor_take_varint(&cursor, &varint));
    EXPECT_EQ(u32, 7u);
    EXPECT_EQ(u64, 8u);
    EXPECT_EQ(varint, 300u);
    EXPECT_FALSE(cursor_take_bytes(&cursor, 1, &bytes));
    EXPECT_FALSE(cursor_take_u32_le(&cursor, &u32));
    buffer_deinit(&buffer);
}

TEST(Coding, SizesNearTheTopOf64BitsDoNotWrap)
{
    uint8_t bytes[VARINT64_SIZE_MAX + 4] = {};
    for (uint64_t size : {UINT64_MAX, UINT64_MAX - 5, uint64_t{5}}) {
        size_t length = put_varint(bytes, size);
        struct cursor cursor = cursor_make(slice_make(bytes, length + 4));
        struct polarys_slice taken;
        EXPECT_FALSE(cursor_take_sized(&cursor, &taken)) << size;
    }
}

TEST(Coding, RandomBytesNeverCrashADecoder)
{
    struct sim_random random;
    sim_random_init(&random, sim_seed(3));
    for (int round = 0; round < 20000; round++) {
        std::vector<uint8_t> bytes(sim_random_below(&random, 24));
        ASSERT_EQ(random_fill(&random.base, bytes.data(), bytes.size(), nullptr), POLARYS_OK);
        struct cursor cursor = cursor_make(slice_make(bytes.data(), bytes.size()));
        struct polarys_slice taken;
        uint64_t value;
        while (cursor_take_varint(&cursor, &value) && cursor_take_sized(&cursor, &taken)) {
            ASSERT_LE(taken.data + taken.size, bytes.data() + bytes.size());
        }
    }
}

TEST(Slice, OrderIsByBytesAndPrefixesComeFirst)
{
    EXPECT_LT(slice_compare(slice_from_text("a"), slice_from_text("ab")), 0);
    EXPECT_GT(slice_compare(slice_from_text("\xff"), slice_from_text("a")), 0);
    EXPECT_EQ(slice_compare(slice_make(nullptr, 0), slice_from_text("")), 0);
    EXPECT_TRUE(slice_starts_with(slice_from_text("abc"), slice_from_text("ab")));
    EXPECT_FALSE(slice_starts_with(slice_from_text("ab"), slice_from_text("abc")));
}

} // namespace
