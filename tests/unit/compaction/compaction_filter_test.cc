/* SPDX-License-Identifier: Apache-2.0 */
/* Which versions are kept: by example, and against what readers must see. */
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/compaction/compaction_filter.h"
#include "tests/support/sim_random.h"

namespace {

struct Point {
    std::string key;
    uint64_t version;
    entry_kind kind;
};

struct Range {
    std::string start;
    std::string end;
    uint64_t version;
};

struct Kept {
    std::vector<Point> points;
    std::vector<Range> ranges;
    uint64_t dropped_count = 0;
    uint64_t old_version_count = 0;
};

bool always(void *context, polarys_slice, polarys_slice)
{
    return *static_cast<bool *>(context);
}

polarys_slice slice_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

/* Runs the filter over points in entry order. */
Kept run(const std::vector<Point> &points, const std::vector<Range> &ranges,
         const std::vector<uint64_t> &snapshots, uint64_t history_start, bool is_bottom)
{
    Kept kept;
    std::vector<range_delete> items;
    for (const Range &range : ranges) {
        items.push_back({slice_of(range.start), slice_of(range.end), range.version});
    }
    auto filter = std::make_unique<compaction_filter>();
    EXPECT_EQ(compaction_filter_init(filter.get(), snapshots.data(), snapshots.size(),
                                     history_start, items.data(), items.size()),
              POLARYS_OK);
    filter->is_bottom = always;
    filter->context = &is_bottom;
    range_list list = {};
    EXPECT_EQ(compaction_filter_range_deletes(filter.get(), items.data(), items.size(), &list),
              POLARYS_OK);
    for (size_t i = 0; i < list.count; i++) {
        const range_delete &item = list.items[i];
        kept.ranges.push_back(
            {std::string(reinterpret_cast<const char *>(item.start.data), item.start.size),
             std::string(reinterpret_cast<const char *>(item.end.data), item.end.size),
             item.version});
    }
    for (const Point &point : points) {
        entry entry = {slice_of(point.key), slice_make(nullptr, 0), point.version, point.kind};
        if (compaction_filter_keep(filter.get(), &entry)) {
            kept.points.push_back(point);
        }
    }
    kept.dropped_count = filter->dropped_count;
    kept.old_version_count = filter->old_version_count;
    range_list_deinit(&list);
    compaction_filter_deinit(filter.get());
    return kept;
}

std::vector<uint64_t> versions_of(const Kept &kept)
{
    std::vector<uint64_t> versions;
    for (const Point &point : kept.points) {
        versions.push_back(point.version);
    }
    return versions;
}

using Versions = std::vector<uint64_t>;

/* The version that a reader at `snapshot` sees of the key; 0 for none. */
uint64_t visible(const std::vector<Point> &points, const std::vector<Range> &ranges,
                 const std::string &key, uint64_t snapshot)
{
    const Point *best = nullptr;
    for (const Point &point : points) {
        if (point.key == key && point.version <= snapshot &&
            (best == nullptr || point.version > best->version)) {
            best = &point;
        }
    }
    if (best == nullptr || best->kind == ENTRY_DELETE) {
        return 0;
    }
    for (const Range &range : ranges) {
        if (range.version <= snapshot && range.version > best->version && range.start <= key &&
            key < range.end) {
            return 0;
        }
    }
    return best->version;
}

} // namespace

TEST(CompactionFilter, KeepsOnlyTheNewestWithoutHistory)
{
    Kept kept =
        run({{"k", 9, ENTRY_PUT}, {"k", 5, ENTRY_PUT}, {"k", 2, ENTRY_PUT}}, {}, {}, 9, false);
    EXPECT_EQ(versions_of(kept), (Versions{9}));
    EXPECT_EQ(kept.dropped_count, 2u);
    EXPECT_EQ(kept.old_version_count, 0u);
}

TEST(CompactionFilter, KeepsEverythingAboveHistoryStartAndTheNewestAtIt)
{
    Kept kept =
        run({{"k", 9, ENTRY_PUT}, {"k", 7, ENTRY_PUT}, {"k", 5, ENTRY_PUT}, {"k", 2, ENTRY_PUT}},
            {}, {}, 6, false);
    EXPECT_EQ(versions_of(kept), (Versions{9, 7, 5}));
    EXPECT_EQ(kept.old_version_count, 2u);
}

TEST(CompactionFilter, KeepsWhatEachSnapshotSees)
{
    Kept kept = run({{"k", 9, ENTRY_PUT},
                     {"k", 7, ENTRY_PUT},
                     {"k", 5, ENTRY_PUT},
                     {"k", 4, ENTRY_PUT},
                     {"k", 2, ENTRY_PUT}},
                    {}, {3, 5}, 10, false);
    EXPECT_EQ(versions_of(kept), (Versions{9, 5, 2}));
}

TEST(CompactionFilter, DropsADeleteOnlyAtTheBottomAndWithoutAnOlderReader)
{
    std::vector<Point> points = {{"k", 5, ENTRY_DELETE}, {"k", 2, ENTRY_PUT}};
    EXPECT_EQ(versions_of(run(points, {}, {}, 9, true)), (Versions{}));
    EXPECT_EQ(versions_of(run(points, {}, {}, 9, false)), (Versions{5}));
    EXPECT_EQ(versions_of(run(points, {}, {3}, 9, true)), (Versions{5, 2}));
    EXPECT_EQ(versions_of(run(points, {}, {}, 4, true)), (Versions{5, 2}));
}

TEST(CompactionFilter, DropsWhatARangeDeleteHidesFromEveryReader)
{
    std::vector<Point> points = {
        {"b", 7, ENTRY_PUT}, {"b", 5, ENTRY_PUT}, {"c", 2, ENTRY_PUT}, {"x", 2, ENTRY_PUT}};
    std::vector<Range> ranges = {{"a", "m", 6}};
    Kept kept = run(points, ranges, {}, 9, true);
    EXPECT_EQ(versions_of(kept), (Versions{7, 2}));
    EXPECT_EQ(kept.points[1].key, "x");
    EXPECT_TRUE(kept.ranges.empty());
    kept = run(points, ranges, {}, 9, false);
    ASSERT_EQ(kept.ranges.size(), 1u);
    kept = run(points, ranges, {3}, 9, true); /* a reader at 3 sees c */
    EXPECT_EQ(versions_of(kept), (Versions{7, 2, 2}));
    ASSERT_EQ(kept.ranges.size(), 1u);
    EXPECT_EQ(kept.ranges[0].version, 6u);
}

TEST(CompactionFilter, KeepsAnEntryOfTheRangeDeletesOwnVersion)
{
    Kept kept = run({{"b", 6, ENTRY_PUT}, {"b", 5, ENTRY_PUT}}, {{"a", "m", 6}}, {}, 9, false);
    EXPECT_EQ(versions_of(kept), (Versions{6}));
}

TEST(CompactionFilter, JoinsPiecesOfARecentRangeDelete)
{
    Kept kept = run({}, {{"f", "m", 6}, {"a", "f", 6}, {"b", "c", 8}}, {}, 5, false);
    ASSERT_EQ(kept.ranges.size(), 2u);
    EXPECT_EQ(kept.ranges[0].start, "a");
    EXPECT_EQ(kept.ranges[0].end, "m");
    EXPECT_EQ(kept.ranges[1].version, 8u);
}

TEST(CompactionFilter, ChangesNothingThatAReaderMaySee)
{
    sim_random random;
    sim_random_init(&random, sim_seed(17));
    for (int round = 0; round < 2000; round++) {
        SCOPED_TRACE(round);
        std::map<std::pair<std::string, uint64_t>, entry_kind> made;
        std::vector<Range> ranges;
        for (int i = 0; i < 14; i++) {
            std::string key(1, static_cast<char>('a' + sim_random_below(&random, 4)));
            made[{key, 1 + sim_random_below(&random, 30)}] =
                sim_random_chance(&random, 3) ? ENTRY_DELETE : ENTRY_PUT;
        }
        for (uint64_t i = sim_random_below(&random, 5); i > 0; i--) {
            char start = static_cast<char>('a' + sim_random_below(&random, 4));
            char end = static_cast<char>(start + 1 + sim_random_below(&random, 3));
            ranges.push_back(
                {std::string(1, start), std::string(1, end), 1 + sim_random_below(&random, 30)});
        }
        std::vector<Point> points;
        for (const auto &[at, kind] : made) {
            points.push_back({at.first, at.second, kind});
        }
        std::sort(points.begin(), points.end(), [](const Point &a, const Point &b) {
            return a.key != b.key ? a.key < b.key : a.version > b.version;
        });
        uint64_t history_start = 1 + sim_random_below(&random, 32);
        std::vector<uint64_t> snapshots;
        for (uint64_t version = 1; version < history_start; version++) {
            if (sim_random_chance(&random, 8)) {
                snapshots.push_back(version);
            }
        }
        Kept kept = run(points, ranges, snapshots, history_start, sim_random_chance(&random, 2));
        std::vector<uint64_t> named = snapshots;
        for (uint64_t version = history_start; version <= 33; version++) {
            named.push_back(version);
        }
        for (uint64_t snapshot : named) {
            for (char key = 'a'; key <= 'd'; key++) {
                ASSERT_EQ(visible(kept.points, kept.ranges, std::string(1, key), snapshot),
                          visible(points, ranges, std::string(1, key), snapshot))
                    << key << " at " << snapshot << ", history from " << history_start;
            }
        }
    }
}
