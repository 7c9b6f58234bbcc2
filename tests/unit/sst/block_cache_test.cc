// SPDX-License-Identifier: Apache-2.0
// The block cache: what it keeps, what it lets go, and many threads at once.
#include "engine/sst/block_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "engine/base/coding.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/sim_random.h"

namespace {

// A block that says whose it is in every word.
uint8_t *make_bytes(uint64_t file_id, uint64_t offset, size_t size)
{
    auto *bytes = static_cast<uint8_t *>(malloc(size));
    for (size_t at = 0; at + 16 <= size; at += 16) {
        put_u64_le(bytes + at, file_id);
        put_u64_le(bytes + at + 8, offset);
    }
    return bytes;
}

bool is_right(const cached_block *block, uint64_t file_id, uint64_t offset)
{
    polarys_slice bytes = cached_block_bytes(block);
    for (size_t at = 0; at + 16 <= bytes.size; at += 16) {
        if (get_u64_le(bytes.data + at) != file_id || get_u64_le(bytes.data + at + 8) != offset) {
            return false;
        }
    }
    return true;
}

class BlockCacheTest : public ::testing::Test {
  protected:
    void create(size_t capacity)
    {
        ASSERT_EQ(POLARYS_OK, block_cache_create(capacity, &cache, nullptr));
    }

    void TearDown() override
    {
        block_cache_destroy(cache);
    }

    cached_block *insert(uint64_t file_id, uint64_t offset, size_t size = 1024)
    {
        return block_cache_insert(cache, file_id, offset, make_bytes(file_id, offset, size), size);
    }

    void put(uint64_t file_id, uint64_t offset, size_t size = 1024)
    {
        cached_block_release(insert(file_id, offset, size));
    }

    bool has(uint64_t file_id, uint64_t offset)
    {
        cached_block *block = block_cache_acquire(cache, file_id, offset);
        bool is_there = block != nullptr;
        EXPECT_TRUE(!is_there || is_right(block, file_id, offset));
        cached_block_release(block);
        return is_there;
    }

    block_cache_stats stats()
    {
        block_cache_stats stats;
        block_cache_stats_get(cache, &stats);
        return stats;
    }

    block_cache *cache = nullptr;
};

TEST_F(BlockCacheTest, GivesBackWhatWasPutIn)
{
    create(1 << 20);
    EXPECT_FALSE(has(1, 100));
    cached_block *block = insert(1, 100);
    ASSERT_NE(nullptr, block);
    EXPECT_TRUE(is_right(block, 1, 100));
    EXPECT_TRUE(has(1, 100));
    EXPECT_FALSE(has(1, 101));
    EXPECT_FALSE(has(2, 100));
    cached_block_release(cached_block_ref(block));
    cached_block_release(block);
    EXPECT_TRUE(has(1, 100));
    EXPECT_EQ(1u, stats().block_count);
    EXPECT_GE(stats().used, 1024u);
    EXPECT_EQ(2u, stats().hit_count);
    EXPECT_EQ(3u, stats().miss_count);
    cached_block_release(nullptr);
}

TEST_F(BlockCacheTest, KeepsTheFirstOfTwoInserts)
{
    create(1 << 20);
    cached_block *first = insert(1, 100);
    cached_block *second = insert(1, 100);
    EXPECT_EQ(first, second);
    EXPECT_EQ(1u, stats().block_count);
    cached_block_release(first);
    cached_block_release(second);
}

TEST_F(BlockCacheTest, StaysWithinItsCapacity)
{
    create(256 << 10);
    for (uint64_t i = 0; i < 3000; i++) {
        put(1, i * 1024);
        ASSERT_LE(stats().used, 256u << 10);
    }
    EXPECT_GT(stats().block_count, 150u);
    EXPECT_EQ(3000u, stats().block_count + stats().evicted_count);
}

TEST_F(BlockCacheTest, KeepsWhatIsUsedOften)
{
    create(256 << 10);
    for (uint64_t i = 0; i < 20; i++) {
        put(7, i);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        put(1, i * 1024);
        if (i % 20 == 0) {
            for (uint64_t hot = 0; hot < 20; hot++) {
                EXPECT_TRUE(has(7, hot)) << i;
            }
        }
    }
}

TEST_F(BlockCacheTest, NeverEvictsWhatIsPinned)
{
    create(64 << 10);
    std::vector<cached_block *> pins;
    for (uint64_t i = 0; i < 40; i++) {
        pins.push_back(insert(1, i));
    }
    for (uint64_t i = 0; i < 500; i++) {
        put(2, i);
    }
    // More pinned than fits: those go outside the cache and still are right.
    for (uint64_t i = 0; i < 100; i++) {
        pins.push_back(insert(3, i));
    }
    EXPECT_LE(stats().used, 64u << 10);
    for (uint64_t i = 0; i < 40; i++) {
        EXPECT_TRUE(is_right(pins[i], 1, i));
        EXPECT_TRUE(has(1, i));
    }
    for (uint64_t i = 0; i < 100; i++) {
        EXPECT_TRUE(is_right(pins[40 + i], 3, i));
    }
    for (cached_block *pin : pins) {
        cached_block_release(pin);
    }
}

TEST_F(BlockCacheTest, OfNoCapacityCachesNothing)
{
    create(0);
    cached_block *block = insert(1, 1);
    ASSERT_NE(nullptr, block);
    EXPECT_TRUE(is_right(block, 1, 1));
    EXPECT_FALSE(has(1, 1));
    cached_block_release(block);
    EXPECT_EQ(0u, stats().used);
}

TEST_F(BlockCacheTest, ShrinksAndGrowsAtOnce)
{
    create(1 << 20);
    for (uint64_t i = 0; i < 500; i++) {
        put(1, i);
    }
    EXPECT_EQ(500u, stats().block_count);
    block_cache_capacity_set(cache, 100 << 10);
    EXPECT_LE(stats().used, 100u << 10);
    EXPECT_GT(stats().block_count, 50u);
    block_cache_capacity_set(cache, 0);
    EXPECT_EQ(0u, stats().used);
    EXPECT_EQ(0u, stats().block_count);
    block_cache_capacity_set(cache, 1 << 20);
    put(1, 1);
    EXPECT_TRUE(has(1, 1));
}

TEST_F(BlockCacheTest, ForgetsAFileAndFreesItsPinnedBlocksLater)
{
    create(1 << 20);
    for (uint64_t i = 0; i < 50; i++) {
        put(1, i);
        put(2, i);
    }
    cached_block *pinned = block_cache_acquire(cache, 1, 7);
    ASSERT_NE(nullptr, pinned);
    block_cache_forget_file(cache, 1);
    for (uint64_t i = 0; i < 50; i++) {
        EXPECT_FALSE(has(1, i));
        EXPECT_TRUE(has(2, i));
    }
    EXPECT_TRUE(is_right(pinned, 1, 7));
    uint64_t used = stats().used;
    cached_block *again = cached_block_ref(pinned);
    cached_block_release(pinned);
    EXPECT_EQ(used, stats().used);
    cached_block_release(again);
    EXPECT_LT(stats().used, used);
    put(1, 7);
    EXPECT_TRUE(has(1, 7));
}

TEST_F(BlockCacheTest, HoldsManySmallBlocks)
{
    create(64 << 20);
    for (uint64_t i = 0; i < 50000; i++) {
        put(i % 3, i, 16);
    }
    for (uint64_t i = 0; i < 50000; i++) {
        ASSERT_TRUE(has(i % 3, i));
    }
}

TEST_F(BlockCacheTest, ServesUncachedWithoutMemoryForASlot)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    create(1 << 20);
    // The first insert needs a list of chunks and a chunk; each in turn fails, then the block itself.
    for (uint64_t n = 1; n <= 2; n++) {
        uint8_t *bytes = make_bytes(1, n, 64);
        fault_alloc_fail_at(n);
        cached_block *block = block_cache_insert(cache, 1, n, bytes, 64);
        EXPECT_EQ(1u, fault_alloc_disarm());
        ASSERT_NE(nullptr, block);
        EXPECT_TRUE(is_right(block, 1, n));
        cached_block_release(block);
        EXPECT_FALSE(has(1, n));
    }
    uint8_t *bytes = make_bytes(1, 9, 64);
    fault_alloc_fail_from(1);
    EXPECT_EQ(nullptr, block_cache_insert(cache, 1, 9, bytes, 64));
    fault_alloc_disarm();
    block_cache *other = nullptr;
    for (uint64_t n = 1;; n++) {
        fault_alloc_fail_at(n);
        polarys_code code = block_cache_create(1 << 20, &other, nullptr);
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(POLARYS_OK, code);
            break;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code);
        EXPECT_EQ(nullptr, other);
    }
    block_cache_destroy(other);
}

// Threads acquire, insert, hold, forget and resize at random over few blocks, so that every race between
// pinning, eviction and reuse comes up; every block that is got must be the one asked for.
TEST_F(BlockCacheTest, IsRightUnderManyThreads)
{
    create(96 << 10);
    std::atomic<uint64_t> wrong{0};
    auto work = [&](uint64_t seed) {
        sim_random random;
        sim_random_init(&random, seed);
        std::vector<std::tuple<cached_block *, uint64_t, uint64_t>> held;
        for (int i = 0; i < 20000; i++) {
            uint64_t file_id = sim_random_below(&random, 3);
            uint64_t offset = sim_random_below(&random, 64);
            cached_block *block = block_cache_acquire(cache, file_id, offset);
            if (block == nullptr) {
                size_t size = 512 + sim_random_below(&random, 2048);
                block = block_cache_insert(cache, file_id, offset,
                                           make_bytes(file_id, offset, size), size);
            }
            wrong += !is_right(block, file_id, offset);
            held.emplace_back(block, file_id, offset);
            while (held.size() > 6 || (!held.empty() && sim_random_chance(&random, 2))) {
                auto [each, id, at] = held.back();
                wrong += !is_right(each, id, at);
                cached_block_release(each);
                held.pop_back();
            }
            if (sim_random_chance(&random, 500)) {
                block_cache_forget_file(cache, sim_random_below(&random, 3));
            }
            if (sim_random_chance(&random, 700)) {
                block_cache_capacity_set(cache, (32 << 10) + sim_random_below(&random, 128 << 10));
            }
        }
        for (auto &[block, id, at] : held) {
            wrong += !is_right(block, id, at);
            cached_block_release(block);
        }
    };
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; i++) {
        threads.emplace_back(work, sim_seed(31) + i);
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(0u, wrong.load());
    block_cache_capacity_set(cache, 0);
    EXPECT_EQ(0u, stats().used);
    EXPECT_EQ(0u, stats().block_count);
}

} // namespace
