/* SPDX-License-Identifier: Apache-2.0 */
/* Covers against the plain definition: the newest range delete that holds the key. */
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/compaction/range_cover.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/sim_random.h"

namespace {

struct Ranges {
    std::vector<std::string> texts;
    std::vector<range_delete> items;

    explicit Ranges(size_t count)
    {
        texts.reserve(2 * count); /* slices point into the strings */
    }
    void add(const std::string &start, const std::string &end, uint64_t version)
    {
        texts.push_back(start);
        texts.push_back(end);
        const std::string &from = texts[texts.size() - 2];
        const std::string &to = texts[texts.size() - 1];
        items.push_back(
            {slice_make(from.data(), from.size()), slice_make(to.data(), to.size()), version});
    }
};

std::string key_text(uint64_t number)
{
    char text[8];
    snprintf(text, sizeof(text), "%03u", static_cast<unsigned>(number));
    return text;
}

uint64_t version_at(const range_cover &cover, const std::string &key)
{
    size_t hint = 0;
    return range_cover_version(&cover, slice_make(key.data(), key.size()), &hint);
}

} // namespace

TEST(RangeCover, OfNothingCoversNothing)
{
    range_cover cover = {};
    ASSERT_EQ(range_cover_build(nullptr, 0, &cover), POLARYS_OK);
    EXPECT_EQ(version_at(cover, "a"), 0u);
    range_cover_deinit(&cover);
}

TEST(RangeCover, ShowsTheNewestOfThoseThatOverlap)
{
    Ranges ranges(3);
    ranges.add("b", "f", 5);
    ranges.add("d", "h", 9);
    ranges.add("e", "e5", 2);
    range_cover cover;
    ASSERT_EQ(range_cover_build(ranges.items.data(), 3, &cover), POLARYS_OK);
    EXPECT_EQ(version_at(cover, "a"), 0u);
    EXPECT_EQ(version_at(cover, "b"), 5u);
    EXPECT_EQ(version_at(cover, "czz"), 5u);
    EXPECT_EQ(version_at(cover, "d"), 9u);
    EXPECT_EQ(version_at(cover, "e1"), 9u);
    EXPECT_EQ(version_at(cover, "g"), 9u);
    EXPECT_EQ(version_at(cover, "h"), 0u);
    EXPECT_EQ(cover.count, 2u);
    range_cover_deinit(&cover);
}

TEST(RangeCover, JoinsNeighboursOfOneVersion)
{
    Ranges ranges(3);
    ranges.add("m", "z", 7);
    ranges.add("a", "g", 7);
    ranges.add("g", "m", 7);
    range_cover cover;
    ASSERT_EQ(range_cover_build(ranges.items.data(), 3, &cover), POLARYS_OK);
    ASSERT_EQ(cover.count, 1u);
    EXPECT_EQ(version_at(cover, "a"), 7u);
    EXPECT_EQ(version_at(cover, "y"), 7u);
    range_cover_deinit(&cover);
}

TEST(RangeCover, AgreesWithTheDefinitionOnRandomRanges)
{
    sim_random random;
    sim_random_init(&random, sim_seed(5));
    for (int round = 0; round < 200; round++) {
        size_t count = 1 + sim_random_below(&random, 40);
        Ranges ranges(count);
        for (size_t i = 0; i < count; i++) {
            uint64_t start = sim_random_below(&random, 200);
            ranges.add(key_text(start), key_text(start + 1 + sim_random_below(&random, 60)),
                       1 + sim_random_below(&random, 30));
        }
        std::vector<range_delete> original = ranges.items;
        range_cover cover;
        ASSERT_EQ(range_cover_build(ranges.items.data(), count, &cover), POLARYS_OK);
        size_t hint = 0;
        for (uint64_t number = 0; number < 270; number++) {
            std::string key = key_text(number);
            polarys_slice slice = slice_make(key.data(), key.size());
            uint64_t expected = 0;
            for (const range_delete &item : original) {
                if (range_delete_covers(&item, slice)) {
                    expected = std::max(expected, item.version);
                }
            }
            ASSERT_EQ(range_cover_version(&cover, slice, &hint), expected) << key;
        }
        range_cover_deinit(&cover);
    }
}

TEST(RangeCover, LeaksNothingWhenMemoryRunsOut)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    Ranges ranges(2);
    ranges.add("b", "f", 5);
    ranges.add("d", "h", 9);
    for (uint64_t n = 1;; n++) {
        range_cover cover;
        fault_alloc_fail_at(n);
        polarys_code code = range_cover_build(ranges.items.data(), 2, &cover);
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(code, POLARYS_OK);
            range_cover_deinit(&cover);
            break;
        }
        EXPECT_EQ(code, POLARYS_NO_MEMORY);
        EXPECT_EQ(cover.pieces, nullptr);
    }
}
