/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: what is appended stays, and what cannot be appended changes nothing. */
#include "engine/base/buffer.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/base/coding.h"
#include "tests/support/fault_alloc.h"

namespace {

std::string text_of(const struct buffer &buffer)
{
    return std::string(reinterpret_cast<const char *>(buffer.data), buffer.size);
}

TEST(Buffer, KeepsWhatIsAppendedThroughGrowth)
{
    struct buffer buffer = {};
    std::string expected;
    for (int i = 0; i < 10000; i++) {
        std::string part = std::to_string(i);
        ASSERT_EQ(buffer_append(&buffer, part.data(), part.size()), POLARYS_OK);
        expected += part;
    }
    ASSERT_EQ(buffer_append_zeros(&buffer, 3), POLARYS_OK);
    ASSERT_EQ(buffer_append_byte(&buffer, 'x'), POLARYS_OK);
    EXPECT_EQ(text_of(buffer), expected + std::string(3, '\0') + "x");
    buffer_deinit(&buffer);
    EXPECT_EQ(buffer.data, nullptr);
    EXPECT_EQ(buffer.capacity, 0u);
}

TEST(Buffer, AppendingNothingToAnEmptyBufferIsFine)
{
    struct buffer buffer = {};
    EXPECT_EQ(buffer_append(&buffer, nullptr, 0), POLARYS_OK);
    EXPECT_EQ(buffer_append_zeros(&buffer, 0), POLARYS_OK);
    EXPECT_EQ(buffer.size, 0u);
    buffer_deinit(&buffer);
}

TEST(Buffer, GrowthIsGeometric)
{
    struct buffer buffer = {};
    unsigned moves = 0;
    size_t capacity = 0;
    for (int i = 0; i < 1 << 20; i++) {
        ASSERT_EQ(buffer_append_byte(&buffer, 1), POLARYS_OK);
        moves += buffer.capacity != capacity ? 1 : 0;
        capacity = buffer.capacity;
    }
    EXPECT_LE(moves, 20u);
    buffer_deinit(&buffer);
}

TEST(Buffer, SizesThatOverflowAreNoMemory)
{
    struct buffer buffer = {};
    ASSERT_EQ(buffer_append(&buffer, "abc", 3), POLARYS_OK);
    EXPECT_EQ(buffer_reserve(&buffer, SIZE_MAX), POLARYS_NO_MEMORY);
    EXPECT_EQ(buffer_reserve(&buffer, SIZE_MAX - 2), POLARYS_NO_MEMORY);
    EXPECT_EQ(buffer_append_zeros(&buffer, SIZE_MAX / 2), POLARYS_NO_MEMORY);
    EXPECT_EQ(text_of(buffer), "abc");
    buffer_deinit(&buffer);
}

TEST(Buffer, FailedAppendsLeaveItAsItWas)
{
    ASSERT_TRUE(fault_alloc_is_linked()) << "link with --wrap: tests/support/fault_alloc.h";
    struct buffer buffer = {};
    std::string most(60, 'm');
    ASSERT_EQ(buffer_append(&buffer, most.data(), most.size()), POLARYS_OK);
    fault_alloc_fail_from(1);
    EXPECT_EQ(buffer_append(&buffer, "12345", 5), POLARYS_NO_MEMORY);
    EXPECT_EQ(buffer_append_zeros(&buffer, 5), POLARYS_NO_MEMORY);
    EXPECT_EQ(buffer_append_u64_le(&buffer, 5), POLARYS_NO_MEMORY);
    /* The length alone would fit. */
    EXPECT_EQ(buffer_append_sized(&buffer, slice_from_text("1234")), POLARYS_NO_MEMORY);
    EXPECT_EQ(buffer_append(&buffer, "1234", 4), POLARYS_OK);
    EXPECT_EQ(buffer_append_byte(&buffer, 5), POLARYS_NO_MEMORY);
    EXPECT_EQ(fault_alloc_disarm(), 5u);
    EXPECT_EQ(text_of(buffer), most + "1234");
    buffer_deinit(&buffer);
}

TEST(Buffer, SecretsAcceptEmptyAndClearedBuffers)
{
    struct buffer buffer = {};
    buffer_deinit_secret(&buffer);
    ASSERT_EQ(buffer_append(&buffer, "secret", 6), POLARYS_OK);
    buffer_clear(&buffer);
    buffer_deinit_secret(&buffer);
    EXPECT_EQ(buffer.data, nullptr);
}

} // namespace
