/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: aligned, apart from each other, and never past the budget. */
#include "engine/base/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/support/fault_alloc.h"
#include "tests/support/sim_random.h"

namespace {

TEST(Arena, AllocationsAreAlignedAndDoNotOverlap)
{
    struct arena arena;
    arena_init(&arena, 64 << 20);
    struct sim_random random;
    sim_random_init(&random, 1);
    struct part {
        uint8_t *at;
        size_t size;
        uint8_t mark;
    };
    std::vector<part> parts;
    for (int i = 0; i < 3000; i++) {
        size_t size = sim_random_below(&random, sim_random_chance(&random, 50) ? 100000 : 200);
        uint8_t *at = static_cast<uint8_t *>(arena_alloc(&arena, size));
        ASSERT_NE(at, nullptr);
        ASSERT_EQ(reinterpret_cast<uintptr_t>(at) % 16, 0u);
        memset(at, i & 0xff, size);
        parts.push_back({at, size, static_cast<uint8_t>(i & 0xff)});
    }
    for (const part &each : parts) {
        for (size_t i = 0; i < each.size; i++) {
            ASSERT_EQ(each.at[i], each.mark);
        }
    }
    arena_deinit(&arena);
}

TEST(Arena, EmptyAllocationsHaveAddressesOfTheirOwn)
{
    struct arena arena;
    arena_init(&arena, 4096);
    void *first = arena_alloc(&arena, 0);
    void *second = arena_alloc(&arena, 0);
    EXPECT_NE(first, nullptr);
    EXPECT_NE(first, second);
    arena_deinit(&arena);
}

TEST(Arena, AnUnusedArenaTakesNoMemory)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    EXPECT_EQ(arena.total, 0u);
    arena_reset(&arena);
    arena_deinit(&arena);
}

TEST(Arena, BudgetBoundsRealMemory)
{
    for (size_t budget : {0, 1, 15, 16, 31, 32, 33, 100, 4096, 5000, 100000}) {
        struct arena arena;
        arena_init(&arena, budget);
        size_t given = 0;
        while (void *memory = arena_alloc(&arena, 16)) {
            memset(memory, 1, 16);
            given += 16;
            ASSERT_LE(arena.total, budget);
        }
        EXPECT_LE(given, budget);
        /* The headers of the blocks and alignment are all that is lost. */
        EXPECT_GE(given + 320, budget);
        arena_deinit(&arena);
    }
}

TEST(Arena, HugeSizesAreRefusedWithoutOverflow)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    EXPECT_EQ(arena_alloc(&arena, SIZE_MAX), nullptr);
    EXPECT_EQ(arena_alloc(&arena, SIZE_MAX - 15), nullptr);
    EXPECT_EQ(arena_copy(&arena, slice_make("x", SIZE_MAX)), nullptr);
    arena_deinit(&arena);
    arena_init(&arena, 4096);
    EXPECT_EQ(arena_alloc(&arena, SIZE_MAX - 100), nullptr);
    EXPECT_NE(arena_alloc(&arena, 100), nullptr) << "a refused allocation costs nothing";
    arena_deinit(&arena);
}

TEST(Arena, ResetGivesTheBudgetBack)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 100; round++) {
        ASSERT_NE(arena_alloc(&arena, 300000), nullptr) << round;
        ASSERT_NE(arena_alloc(&arena, 300000), nullptr) << round;
        arena_reset(&arena);
    }
    EXPECT_GT(arena.total, 0u) << "one block is kept";
    arena_deinit(&arena);
    EXPECT_EQ(arena.total, 0u);
}

TEST(Arena, CopiesEndInNul)
{
    struct arena arena;
    arena_init(&arena, 4096);
    EXPECT_STREQ(arena_copy(&arena, slice_make("hello world", 5)), "hello");
    EXPECT_STREQ(arena_copy(&arena, slice_make(nullptr, 0)), "");
    arena_deinit(&arena);
}

TEST(Arena, FailingMallocIsNullAndLeavesItUsable)
{
    ASSERT_TRUE(fault_alloc_is_linked()) << "link with --wrap: tests/support/fault_alloc.h";
    struct arena arena;
    arena_init(&arena, 1 << 20);
    fault_alloc_fail_at(1);
    EXPECT_EQ(arena_alloc(&arena, 10), nullptr);
    EXPECT_EQ(fault_alloc_disarm(), 1u);
    EXPECT_EQ(arena.total, 0u);
    EXPECT_NE(arena_alloc(&arena, 10), nullptr);
    arena_deinit(&arena);
}

} // namespace
