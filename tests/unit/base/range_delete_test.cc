// SPDX-License-Identifier: Apache-2.0
// The index over range deletes against a scan of the list.
#include "engine/base/range_delete.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/fault_alloc.h"
#include "tests/support/sim_random.h"

namespace {

struct Range {
    std::string start;
    std::string end;
    uint64_t version;
};

polarys_slice slice(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

polarys_slice slice(const char *text)
{
    return slice_from_text(text);
}

std::vector<range_delete> views(const std::vector<Range> &ranges)
{
    std::vector<range_delete> list;
    for (const Range &range : ranges) {
        list.push_back({slice(range.start), slice(range.end), range.version});
    }
    return list;
}

uint64_t scan(const std::vector<range_delete> &list, const std::string &key, uint64_t snapshot)
{
    uint64_t newest = 0;
    for (const range_delete &range : list) {
        if (range.version <= snapshot && range_delete_covers(&range, slice(key))) {
            newest = std::max(newest, range.version);
        }
    }
    return newest;
}

std::string random_key(sim_random *random)
{
    std::string key;
    for (uint64_t size = sim_random_below(random, 4); size > 0; size--) {
        key.push_back("\0ab\xff"[sim_random_below(random, 4)]);
    }
    return key;
}

TEST(RangeDeleteIndex, OfNothingCoversNothing)
{
    range_delete_index *index;
    ASSERT_EQ(POLARYS_OK, range_delete_index_create(nullptr, 0, &index));
    EXPECT_EQ(0u, range_delete_index_find(index, slice("a"), UINT64_MAX));
    range_delete_index_destroy(index);
    range_delete_index_destroy(nullptr);
}

TEST(RangeDeleteIndex, LeavesOutTheEndAndTakesInTheStart)
{
    std::vector<Range> ranges = {{"b", "d", 7}, {"d", "d", 9}, {"z", "a", 9}};
    std::vector<range_delete> list = views(ranges);
    range_delete_index *index;
    ASSERT_EQ(POLARYS_OK, range_delete_index_create(list.data(), list.size(), &index));
    EXPECT_EQ(0u, range_delete_index_find(index, slice("a"), 100));
    EXPECT_EQ(7u, range_delete_index_find(index, slice("b"), 100));
    EXPECT_EQ(7u, range_delete_index_find(index, slice("czz"), 7));
    EXPECT_EQ(0u, range_delete_index_find(index, slice("c"), 6));
    EXPECT_EQ(0u, range_delete_index_find(index, slice("d"), 100));
    EXPECT_EQ(0u, range_delete_index_find(index, slice("z"), 100));
    range_delete_index_destroy(index);
}

TEST(RangeDeleteIndex, SaysWhatAScanSays)
{
    sim_random random;
    sim_random_init(&random, sim_seed(2));
    for (int round = 0; round < 300; round++) {
        std::vector<Range> ranges(sim_random_below(&random, 40));
        for (Range &range : ranges) {
            range = {random_key(&random), random_key(&random), 1 + sim_random_below(&random, 30)};
        }
        std::vector<range_delete> list = views(ranges);
        range_delete_index *index;
        ASSERT_EQ(POLARYS_OK, range_delete_index_create(list.data(), list.size(), &index));
        for (int probe = 0; probe < 60; probe++) {
            std::string key = random_key(&random);
            uint64_t snapshot = sim_random_below(&random, 33);
            ASSERT_EQ(scan(list, key, snapshot),
                      range_delete_index_find(index, slice(key), snapshot))
                << "round " << round;
        }
        range_delete_index_destroy(index);
    }
}

TEST(RangeDeleteIndex, StaysSmallWhenRangesNest)
{
    std::vector<Range> ranges;
    for (int i = 0; i < 4000; i++) {
        char start[16];
        char end[16];
        snprintf(start, sizeof(start), "a%06d", i);
        snprintf(end, sizeof(end), "b%06d", 9999 - i);
        ranges.push_back({start, end, static_cast<uint64_t>(i + 1)});
    }
    std::vector<range_delete> list = views(ranges);
    range_delete_index *index;
    ASSERT_EQ(POLARYS_OK, range_delete_index_create(list.data(), list.size(), &index));
    EXPECT_LT(range_delete_index_bytes(index), 2u << 20);
    EXPECT_EQ(4000u, range_delete_index_find(index, slice("a999999"), UINT64_MAX));
    EXPECT_EQ(1234u, range_delete_index_find(index, slice("a999999"), 1234));
    range_delete_index_destroy(index);
}

TEST(RangeDeleteIndex, ReportsEachFailedAllocation)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    std::vector<Range> ranges = {{"a", "c", 1}, {"b", "d", 2}, {"c", "e", 3}};
    std::vector<range_delete> list = views(ranges);
    uint64_t failures = 0;
    for (uint64_t n = 1; n < 100; n++) {
        range_delete_index *index;
        fault_alloc_fail_at(n);
        enum polarys_code code = range_delete_index_create(list.data(), list.size(), &index);
        bool has_failed = fault_alloc_disarm() > 0;
        if (code == POLARYS_OK) {
            EXPECT_EQ(2u, range_delete_index_find(index, slice("b"), 2));
            range_delete_index_destroy(index);
            if (!has_failed) {
                break;
            }
            continue;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code);
        EXPECT_EQ(nullptr, index);
        failures++;
    }
    EXPECT_GE(failures, 5u);
}

} // namespace
