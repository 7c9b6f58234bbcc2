// SPDX-License-Identifier: Apache-2.0
// Filters: never wrong about what is there, seldom about what is not.
#include "engine/sst/filter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/base/checksum.h"

namespace {

std::vector<uint64_t> hashes_of(const char *kind, size_t count)
{
    std::vector<uint64_t> hashes;
    for (size_t i = 0; i < count; i++) {
        std::string key = kind + std::to_string(i);
        hashes.push_back(checksum_hash64(slice_make(key.data(), key.size())));
    }
    return hashes;
}

TEST(Filter, KnowsAllItsKeysAndFewOthers)
{
    for (size_t count : {size_t{1}, size_t{10}, size_t{1000}, size_t{60000}}) {
        std::vector<uint64_t> inside = hashes_of("inside", count);
        buffer payload = {};
        ASSERT_EQ(POLARYS_OK, filter_build(inside.data(), count, 10, &payload));
        EXPECT_EQ(0u, (payload.size - FILTER_TRAILER_SIZE) % FILTER_LINE_SIZE);
        for (uint64_t hash : inside) {
            ASSERT_EQ(FILTER_MAYBE, filter_probe(buffer_slice(&payload), hash));
        }
        size_t wrong = 0;
        for (uint64_t hash : hashes_of("outside", 100000)) {
            wrong += filter_probe(buffer_slice(&payload), hash) == FILTER_MAYBE;
        }
        EXPECT_LT(wrong, 1300u) << "1.3 % with " << count << " keys";
        buffer_deinit(&payload);
    }
}

TEST(Filter, OfNothingKnowsNothing)
{
    buffer payload = {};
    ASSERT_EQ(POLARYS_OK, filter_build(nullptr, 0, 10, &payload));
    EXPECT_EQ(FILTER_ABSENT, filter_probe(buffer_slice(&payload), 12345));
    buffer_deinit(&payload);
}

TEST(Filter, RefusesBytesThatAreNone)
{
    std::vector<uint64_t> inside = hashes_of("inside", 100);
    buffer payload = {};
    ASSERT_EQ(POLARYS_OK, filter_build(inside.data(), inside.size(), 10, &payload));
    for (size_t size = 0; size < payload.size; size++) {
        polarys_slice cut = slice_make(payload.data + payload.size - size, size);
        EXPECT_EQ(FILTER_BAD, filter_probe(cut, inside[0])) << size;
    }
    for (size_t at = payload.size - FILTER_TRAILER_SIZE; at < payload.size; at++) {
        payload.data[at] ^= 0x80;
        // A number of probes that is possible is believed: the block was authenticated.
        EXPECT_EQ(FILTER_BAD, filter_probe(buffer_slice(&payload), inside[0])) << at;
        payload.data[at] ^= 0x80;
    }
    buffer_deinit(&payload);
}

TEST(Filter, IsTheSameOnEveryMachine)
{
    // The format: line by the upper half of the hash, bits by the lower. A change breaks old files.
    uint64_t hash = UINT64_C(0x80000000deadbeef);
    buffer payload = {};
    ASSERT_EQ(POLARYS_OK, filter_build(&hash, 1, 1024, &payload));
    ASSERT_EQ(2u * 64 + 8, payload.size);
    uint32_t bits = 0xdeadbeef;
    size_t expected = 0;
    for (int probe = 0; probe < 6; probe++) {
        bits *= 0x9e3779b9u;
        uint32_t bit = bits >> 23;
        EXPECT_NE(0, payload.data[64 + bit / 8] & 1 << bit % 8);
        expected++;
    }
    size_t set = 0;
    for (size_t i = 0; i < 128; i++) {
        set += static_cast<size_t>(__builtin_popcount(payload.data[i]));
    }
    EXPECT_LE(set, expected);
    buffer_deinit(&payload);
}

} // namespace
