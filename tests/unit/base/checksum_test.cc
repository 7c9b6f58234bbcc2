/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums: published vectors, because files depend on them, and any split gives the same
 * result. */
#include "engine/base/checksum.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

namespace {

uint32_t crc_of(const std::vector<uint8_t> &bytes)
{
    return checksum_crc32c(0, bytes.data(), bytes.size());
}

TEST(Crc32c, MatchesTheVectorsOfRfc3720)
{
    std::vector<uint8_t> rising(32);
    std::iota(rising.begin(), rising.end(), 0);
    std::vector<uint8_t> falling(rising.rbegin(), rising.rend());
    EXPECT_EQ(crc_of(std::vector<uint8_t>(32, 0x00)), 0x8A9136AAu);
    EXPECT_EQ(crc_of(std::vector<uint8_t>(32, 0xff)), 0x62A8AB43u);
    EXPECT_EQ(crc_of(rising), 0x46DD794Eu);
    EXPECT_EQ(crc_of(falling), 0x113FDB5Cu);
    EXPECT_EQ(checksum_crc32c(0, "123456789", 9), 0xE3069283u);
}

TEST(Crc32c, OfNothingIsTheStart)
{
    EXPECT_EQ(checksum_crc32c(0, nullptr, 0), 0u);
    EXPECT_EQ(checksum_crc32c(0xE3069283u, "", 0), 0xE3069283u);
}

TEST(Crc32c, ContinuesAtAnySplit)
{
    std::string text(1000, '\0');
    for (size_t i = 0; i < text.size(); i++) {
        text[i] = static_cast<char>(i * 31 + i / 7);
    }
    uint32_t whole = checksum_crc32c(0, text.data(), text.size());
    for (size_t split = 0; split <= text.size(); split++) {
        uint32_t first = checksum_crc32c(0, text.data(), split);
        EXPECT_EQ(checksum_crc32c(first, text.data() + split, text.size() - split), whole);
    }
}

TEST(Crc32c, EveryFlippedBitShows)
{
    std::vector<uint8_t> bytes(100, 0x5a);
    uint32_t before = crc_of(bytes);
    for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
        bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        EXPECT_NE(crc_of(bytes), before);
        bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
}

TEST(Hash64, IsXxh3WithSeedZero)
{
    EXPECT_EQ(checksum_hash64(slice_make(nullptr, 0)), 0x2D06800538D394C2u);
    EXPECT_NE(checksum_hash64(slice_from_text("a")), checksum_hash64(slice_from_text("b")));
}

} // namespace
