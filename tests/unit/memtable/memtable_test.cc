// SPDX-License-Identifier: Apache-2.0
// The memtable against a sorted map, and under concurrent readers.
#include "engine/memtable/memtable.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fault_alloc.h"
#include "tests/support/sim_random.h"

namespace {

// (key, version downwards) -> (kind, value).
struct Position {
    std::string key;
    uint64_t version;

    bool operator<(const Position &other) const
    {
        return key != other.key ? key < other.key : version > other.version;
    }
};

struct Stored {
    entry_kind kind;
    std::string value;
};

using Model = std::map<Position, Stored>;

polarys_slice slice(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

polarys_slice slice(const char *text)
{
    return slice_from_text(text);
}

std::string text_of(polarys_slice bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

class MemtableTest : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, memtable_create(8 << 20, &memtable, nullptr));
    }

    void TearDown() override
    {
        memtable_unref(memtable);
    }

    void insert(const std::string &key, uint64_t version, entry_kind kind, const std::string &value)
    {
        entry each = {slice(key), slice(value), version, kind};
        ASSERT_TRUE(
            memtable_has_room(memtable, memtable_entry_bytes_max(key.size(), value.size()), 1));
        memtable_insert(memtable, &each);
        if (kind != ENTRY_RANGE_DELETE) {
            model[{key, version}] = {kind, value};
        } else {
            ranges.push_back({key, value, version});
        }
    }

    void expect_get(const std::string &key, uint64_t snapshot)
    {
        entry found;
        auto wanted = model.lower_bound({key, snapshot});
        bool is_there = wanted != model.end() && wanted->first.key == key;
        ASSERT_EQ(is_there, memtable_get(memtable, slice(key), snapshot, &found));
        if (is_there) {
            ASSERT_EQ(wanted->first.version, found.version);
            ASSERT_EQ(wanted->second.kind, found.kind);
            ASSERT_EQ(wanted->second.value, text_of(found.value));
            ASSERT_EQ(key, text_of(found.key));
        }
    }

    uint64_t covering(const std::string &key, uint64_t snapshot)
    {
        uint64_t newest = 0;
        for (const auto &[start, end, version] : ranges) {
            if (version <= snapshot && start <= key && key < end) {
                newest = std::max(newest, version);
            }
        }
        return newest;
    }

    uint64_t newest_in(const std::string &start, const std::string &end, uint64_t above = 0)
    {
        uint64_t newest = 0;
        for (const auto &[at, stored] : model) {
            if (start <= at.key && at.key < end) {
                newest = std::max(newest, at.version);
            }
        }
        for (const auto &[from, to, version] : ranges) {
            if (from < end && start < to && from < to) {
                newest = std::max(newest, version);
            }
        }
        return newest > above ? newest : 0;
    }

    void expect_at(entry_iterator *iterator, Model::const_iterator at, bool is_inside)
    {
        ASSERT_EQ(is_inside, iterator->is_valid);
        ASSERT_EQ(POLARYS_OK, iterator->code);
        if (is_inside) {
            ASSERT_EQ(at->first.key, text_of(iterator->entry.key));
            ASSERT_EQ(at->first.version, iterator->entry.version);
            ASSERT_EQ(at->second.value, text_of(iterator->entry.value));
            ASSERT_EQ(at->second.kind, iterator->entry.kind);
        }
    }

    void expect_walks()
    {
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(POLARYS_OK, memtable_iterator_create(memtable, &iterator, nullptr));
        entry_iterator_seek_first(iterator);
        for (auto at = model.cbegin(); at != model.cend(); ++at) {
            ASSERT_NO_FATAL_FAILURE(expect_at(iterator, at, true));
            entry_iterator_next(iterator);
        }
        EXPECT_FALSE(iterator->is_valid);
        entry_iterator_seek_last(iterator);
        for (auto at = model.cend(); at != model.cbegin();) {
            --at;
            ASSERT_NO_FATAL_FAILURE(expect_at(iterator, at, true));
            entry_iterator_previous(iterator);
        }
        EXPECT_FALSE(iterator->is_valid);
        entry_iterator_destroy(iterator);
    }

    struct memtable *memtable = nullptr;
    Model model;
    std::vector<std::tuple<std::string, std::string, uint64_t>> ranges;
};

// Keys that are hard on prefix tricks: few symbols, the lowest and highest bytes, prefixes of each other.
std::string hard_key(sim_random *random, size_t size_max)
{
    std::string key(sim_random_chance(random, 4) ? "\0\0\0\1\0\0\0\2" : "\0\0\0\1\0\0\0\3", 8);
    for (uint64_t size = sim_random_below(random, size_max + 1); size > 0; size--) {
        key.push_back("\0\1ab\xff"[sim_random_below(random, 5)]);
    }
    return key;
}

TEST_F(MemtableTest, IsEmptyAtFirst)
{
    entry found;
    EXPECT_FALSE(memtable_get(memtable, slice("a"), VERSION_MAX, &found));
    EXPECT_EQ(0u, memtable_newest_version(memtable, slice("a")));
    EXPECT_EQ(0u, memtable_newest_version_in_range(memtable, slice("a"), slice("b"), 0));
    expect_walks();
    memtable_stats stats;
    memtable_stats_get(memtable, &stats);
    EXPECT_EQ(0u, stats.used);
    EXPECT_EQ(0u, stats.entry_count);
    EXPECT_EQ(0u, stats.oldest_version);
    EXPECT_GE(stats.capacity, 8u << 20);
}

TEST_F(MemtableTest, GivesTheNewestVersionAtOrBelowTheSnapshot)
{
    insert("key", 10, ENTRY_PUT, "ten");
    insert("key", 20, ENTRY_DELETE, "");
    insert("key", 30, ENTRY_PUT, "thirty");
    insert("keyx", 31, ENTRY_PUT, "other");
    for (uint64_t snapshot : {uint64_t{9}, uint64_t{10}, uint64_t{19}, uint64_t{20}, uint64_t{29},
                              uint64_t{30}, VERSION_MAX}) {
        expect_get("key", snapshot);
        expect_get("ke", snapshot);
        expect_get("keyx", snapshot);
        expect_get("keyxx", snapshot);
    }
    EXPECT_EQ(30u, memtable_newest_version(memtable, slice("key")));
}

TEST_F(MemtableTest, HoldsWhatASortedMapHolds)
{
    sim_random random;
    sim_random_init(&random, sim_seed(3));
    uint64_t version = 0;
    for (int i = 0; i < 6000; i++) {
        std::string key = hard_key(&random, 1 + static_cast<size_t>(i) / 400);
        version += sim_random_below(&random, 2) + (model.count({key, version}) != 0);
        version += version == 0;
        insert(key, version, sim_random_chance(&random, 5) ? ENTRY_DELETE : ENTRY_PUT,
               std::string(sim_random_below(&random, 40), static_cast<char>('a' + i % 26)));
        ASSERT_NO_FATAL_FAILURE(
            expect_get(hard_key(&random, 1 + static_cast<size_t>(i) / 400), version));
        ASSERT_NO_FATAL_FAILURE(expect_get(key, sim_random_below(&random, version + 2)));
    }
    ASSERT_NO_FATAL_FAILURE(expect_walks());
    for (int i = 0; i < 300; i++) {
        std::string start = hard_key(&random, 6);
        std::string end = hard_key(&random, 6);
        ASSERT_EQ(newest_in(start, end),
                  memtable_newest_version_in_range(memtable, slice(start), slice(end), 0));
    }
}

TEST_F(MemtableTest, TellsWhatWasWrittenInARangeSinceAnyVersion)
{
    sim_random random;
    sim_random_init(&random, sim_seed(5));
    uint64_t version = 0;
    for (int i = 0; i < 2500; i++) {
        std::string key = hard_key(&random, 5);
        version += sim_random_below(&random, 2) + (model.count({key, version + 1}) != 0);
        version += version == 0 || model.count({key, version}) != 0;
        bool is_range = sim_random_chance(&random, 60);
        std::string end = hard_key(&random, 5);
        if (is_range && key < end) {
            insert(key, version, ENTRY_RANGE_DELETE, end);
        } else {
            /* Large values now and then: marks lie further apart than nodes. */
            size_t size = sim_random_below(&random, sim_random_chance(&random, 50) ? 20000 : 60);
            insert(key, version, ENTRY_PUT, std::string(size, 'v'));
        }
        std::string from = hard_key(&random, 5);
        std::string to = hard_key(&random, 5);
        uint64_t above = sim_random_chance(&random, 2)
                             ? sim_random_below(&random, version + 2)
                             : version - std::min<uint64_t>(version, sim_random_below(&random, 80));
        ASSERT_EQ(newest_in(from, to, above),
                  memtable_newest_version_in_range(memtable, slice(from), slice(to), above))
            << "above " << above << " of " << version;
    }
}

TEST_F(MemtableTest, LooksAtWhatIsNewOnlyHoweverLargeTheRange)
{
    char key[32];
    for (uint64_t i = 1; i <= 40000; i++) {
        (void)snprintf(key, sizeof(key), "\1\1\1\1\1\1\1\1%08llu", (unsigned long long)i);
        insert(key, i, ENTRY_PUT, "value");
    }
    auto begun = std::chrono::steady_clock::now();
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        sum += memtable_newest_version_in_range(memtable, slice("\1"), slice("\2"), 39990);
    }
    auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                  std::chrono::steady_clock::now() - begun)
                  .count() /
              1000;
    RecordProperty("ns_of_ten_since", std::to_string(ns));
    std::cout << "10 of 40,000 since: " << ns << " ns\n";
    EXPECT_EQ(40000u * 1000u, sum);
}

TEST_F(MemtableTest, KeepsOrderWhenKeysComeInOrderOrAlmost)
{
    sim_random random;
    sim_random_init(&random, sim_seed(4));
    char key[32];
    for (uint64_t i = 1; i < 3000; i++) {
        uint64_t number = sim_random_chance(&random, 20) ? sim_random_below(&random, 3000) : i;
        snprintf(key, sizeof(key), "prefix!!%08llu", static_cast<unsigned long long>(number));
        insert(key, i, ENTRY_PUT, "v");
        ASSERT_NO_FATAL_FAILURE(expect_get(key, VERSION_MAX));
    }
    expect_walks();
}

TEST_F(MemtableTest, WalksOnWhereAnySeekLands)
{
    sim_random random;
    sim_random_init(&random, sim_seed(5));
    for (uint64_t version = 1; version < 500; version++) {
        insert(hard_key(&random, 4), version, ENTRY_PUT, "v");
    }
    entry_iterator *iterator = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_iterator_create(memtable, &iterator, nullptr));
    for (int i = 0; i < 500; i++) {
        std::string key = hard_key(&random, 4);
        uint64_t snapshot = sim_random_below(&random, 501);
        entry_iterator_seek(iterator, slice(key), snapshot);
        auto at = model.lower_bound({key, snapshot});
        for (int step = 0; step < 12; step++) {
            ASSERT_NO_FATAL_FAILURE(expect_at(iterator, at, at != model.end()));
            if (!iterator->is_valid) {
                break;
            }
            if (sim_random_chance(&random, 2)) {
                entry_iterator_next(iterator);
                ++at;
                continue;
            }
            entry_iterator_previous(iterator);
            if (at == model.begin()) {
                ASSERT_FALSE(iterator->is_valid);
                break;
            }
            --at;
        }
    }
    entry_iterator_destroy(iterator);
}

TEST_F(MemtableTest, FindsTheRangeDeletesThatCoverAKeyFewOrMany)
{
    sim_random random;
    sim_random_init(&random, sim_seed(6));
    for (uint64_t i = 1; i <= 600; i++) {
        insert(hard_key(&random, 5), i / 2 + 1, ENTRY_RANGE_DELETE, hard_key(&random, 5));
        for (int probe = 0; probe < 4; probe++) {
            std::string key = hard_key(&random, 5);
            uint64_t snapshot = sim_random_below(&random, i + 2);
            ASSERT_EQ(covering(key, snapshot),
                      memtable_range_delete_version(memtable, slice(key), snapshot));
            ASSERT_EQ(covering(key, UINT64_MAX), memtable_newest_version(memtable, slice(key)));
        }
    }
    size_t count = 0;
    memtable_range_deletes_each(
        memtable,
        [](void *context, const range_delete *range) {
            EXPECT_NE(0u, range->version);
            return ++*static_cast<size_t *>(context) < 100;
        },
        &count);
    EXPECT_EQ(100u, count) << "false stops";
    memtable_stats stats;
    memtable_stats_get(memtable, &stats);
    EXPECT_EQ(600u, stats.range_delete_count);
    EXPECT_EQ(0u, stats.entry_count);
    EXPECT_EQ(1u, stats.oldest_version);
    EXPECT_EQ(301u, stats.newest_version);
}

TEST_F(MemtableTest, NewestVersionCountsRangeDeletesAndEntries)
{
    insert("b", 1, ENTRY_PUT, "v");
    insert("a", 2, ENTRY_RANGE_DELETE, "c");
    EXPECT_EQ(2u, memtable_newest_version(memtable, slice("b")));
    insert("b", 3, ENTRY_DELETE, "");
    EXPECT_EQ(3u, memtable_newest_version(memtable, slice("b")));
    EXPECT_EQ(2u, memtable_newest_version(memtable, slice("a")));
    EXPECT_EQ(2u, memtable_newest_version_in_range(memtable, slice("bb"), slice("z"), 0));
    EXPECT_EQ(0u, memtable_newest_version_in_range(memtable, slice("c"), slice("z"), 0));
}

TEST(Memtable, FillsToItsCapacityAndNoFurther)
{
    struct memtable *memtable = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_create(MEMTABLE_BYTES_MIN, &memtable, nullptr));
    std::string value(1000, 'v');
    size_t each = memtable_entry_bytes_max(8, value.size());
    uint64_t count = 0;
    while (memtable_has_room(memtable, each, 0)) {
        char key[16];
        snprintf(key, sizeof(key), "%08llu", static_cast<unsigned long long>(++count));
        entry entry = {slice_make(key, 8), slice(value), count, ENTRY_PUT};
        memtable_insert(memtable, &entry);
    }
    EXPECT_GE(count, MEMTABLE_BYTES_MIN / each);
    memtable_stats stats;
    memtable_stats_get(memtable, &stats);
    EXPECT_EQ(count, stats.entry_count);
    EXPECT_LE(stats.used, stats.capacity);
    EXPECT_GT(stats.used + each, stats.capacity);
    memtable_unref(memtable);
}

TEST(Memtable, HasRoomForItsWholeCapacityWhenFresh)
{
    struct memtable *memtable = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_create(MEMTABLE_BYTES_MIN, &memtable, nullptr));
    EXPECT_TRUE(memtable_has_room(memtable, MEMTABLE_BYTES_MIN, MEMTABLE_RANGE_DELETES_MAX));
    EXPECT_FALSE(memtable_has_room(memtable, 0, MEMTABLE_RANGE_DELETES_MAX + 1));
    EXPECT_FALSE(memtable_has_room(memtable, SIZE_MAX, 0));
    memtable_unref(memtable);
}

TEST(Memtable, TakesKeysAndValuesOfAnySize)
{
    struct memtable *memtable = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_create(64 << 20, &memtable, nullptr));
    std::string long_key(TREE_KEY_SIZE_MAX, 'k');
    std::string longer_value(17 << 20, 'v');
    std::vector<std::string> keys = {"k", long_key.substr(1), long_key};
    uint64_t version = 0;
    for (const std::string &key : keys) {
        entry each = {slice(key), slice(longer_value), ++version, ENTRY_PUT};
        memtable_insert(memtable, &each);
    }
    for (const std::string &key : keys) {
        entry found;
        ASSERT_TRUE(memtable_get(memtable, slice(key), VERSION_MAX, &found));
        EXPECT_EQ(longer_value.size(), found.value.size);
    }
    memtable_unref(memtable);
}

TEST(Memtable, LivesAsLongAsAnIteratorHoldsIt)
{
    struct memtable *memtable = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_create(MEMTABLE_BYTES_MIN, &memtable, nullptr));
    entry each = {slice("key"), slice("value"), 1, ENTRY_PUT};
    memtable_insert(memtable, &each);
    entry_iterator *iterator = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_iterator_create(memtable, &iterator, nullptr));
    memtable_unref(memtable);
    entry_iterator_seek_first(iterator);
    ASSERT_TRUE(iterator->is_valid);
    EXPECT_EQ("value", text_of(iterator->entry.value));
    entry_iterator_destroy(iterator);
    memtable_unref(nullptr);
}

TEST(Memtable, ReportsFailedAllocations)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    polarys_error err = {};
    struct memtable *memtable = nullptr;
    fault_alloc_fail_at(1);
    EXPECT_EQ(POLARYS_NO_MEMORY, memtable_create(MEMTABLE_BYTES_MIN, &memtable, &err));
    EXPECT_EQ(1u, fault_alloc_disarm());
    EXPECT_EQ(nullptr, memtable);
    ASSERT_EQ(POLARYS_OK, memtable_create(MEMTABLE_BYTES_MIN, &memtable, &err));
    entry_iterator *iterator = nullptr;
    fault_alloc_fail_at(1);
    EXPECT_EQ(POLARYS_NO_MEMORY, memtable_iterator_create(memtable, &iterator, &err));
    EXPECT_EQ(1u, fault_alloc_disarm());
    EXPECT_EQ(nullptr, iterator);
    memtable_unref(memtable);
}

TEST(Memtable, FindsRangeDeletesWithoutMemoryForAnIndex)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    struct memtable *memtable = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_create(1 << 20, &memtable, nullptr));
    fault_alloc_fail_from(1);
    for (uint64_t version = 1; version <= 200; version++) {
        std::string start = "k" + std::to_string(1000 + version);
        entry each = {slice(start), slice("l"), version, ENTRY_RANGE_DELETE};
        memtable_insert(memtable, &each);
    }
    EXPECT_EQ(150u, memtable_range_delete_version(memtable, slice("k1150"), VERSION_MAX));
    EXPECT_EQ(0u, memtable_range_delete_version(memtable, slice("k1000"), VERSION_MAX));
    EXPECT_GT(fault_alloc_disarm(), 0u);
    memtable_unref(memtable);
}

// How many of the next steps lead to an entry that does not sort after the one before it.
uint64_t disorder_ahead(entry_iterator *iterator, int steps)
{
    uint64_t wrong = 0;
    std::string last_key;
    uint64_t last_version = UINT64_MAX;
    for (int i = 0; i < steps && iterator->is_valid; i++) {
        std::string at = text_of(iterator->entry.key);
        wrong += at < last_key || (at == last_key && iterator->entry.version >= last_version);
        last_key = at;
        last_version = iterator->entry.version;
        entry_iterator_next(iterator);
    }
    return wrong;
}

// Readers run while the writer inserts: each sees every entry at or below what was published before it
// began, whole, and walks in order.
TEST(Memtable, IsReadWhileItIsWritten)
{
    struct memtable *memtable = nullptr;
    ASSERT_EQ(POLARYS_OK, memtable_create(32 << 20, &memtable, nullptr));
    constexpr uint64_t entries = 20000;
    auto key_of = [](uint64_t version) {
        char key[32];
        snprintf(key, sizeof(key), "prefix!!%06llu",
                 static_cast<unsigned long long>(version * 7919 % 5000));
        return std::string(key);
    };
    std::atomic<uint64_t> published{0};
    std::atomic<bool> is_done{false};
    std::atomic<uint64_t> wrong{0};
    auto read = [&](uint64_t seed) {
        sim_random random;
        sim_random_init(&random, seed);
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(POLARYS_OK, memtable_iterator_create(memtable, &iterator, nullptr));
        while (!is_done.load()) {
            uint64_t snapshot = published.load();
            if (snapshot == 0) {
                continue;
            }
            uint64_t version = 1 + sim_random_below(&random, snapshot);
            std::string key = key_of(version);
            entry found;
            bool is_found = memtable_get(memtable, slice(key), version, &found);
            wrong += !is_found || found.version != version ||
                     text_of(found.value) != std::to_string(version);
            (void)memtable_range_delete_version(memtable, slice(key), snapshot);
            entry_iterator_seek(iterator, slice(key), version);
            wrong += disorder_ahead(iterator, 20);
            if (iterator->is_valid) {
                entry_iterator_previous(iterator);
                wrong += !iterator->is_valid;
            }
        }
        entry_iterator_destroy(iterator);
    };
    std::vector<std::thread> readers;
    for (uint64_t i = 0; i < 3; i++) {
        readers.emplace_back(read, i + 1);
    }
    for (uint64_t version = 1; version <= entries; version++) {
        std::string key = key_of(version);
        std::string value = std::to_string(version);
        entry each = {slice(key), slice(value), version, ENTRY_PUT};
        memtable_insert(memtable, &each);
        if (version % 16 == 0) {
            std::string end = key + "~";
            entry range = {slice(key), slice(end), version, ENTRY_RANGE_DELETE};
            memtable_insert(memtable, &range);
        }
        published.store(version);
    }
    is_done.store(true);
    for (std::thread &reader : readers) {
        reader.join();
    }
    EXPECT_EQ(0u, wrong.load());
    memtable_unref(memtable);
}

} // namespace
