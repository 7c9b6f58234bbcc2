/* SPDX-License-Identifier: Apache-2.0 */
/* The product's clock and random source, and their simulated twins. */
#include <gtest/gtest.h>

#include <ctime>
#include <set>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/random.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_random.h"

namespace {

TEST(SystemClock, WallTimeIsAfterThisWasWritten)
{
    EXPECT_GT(clock_wall_ms(clock_system()), UINT64_C(1700000000000));
}

TEST(SystemClock, MonotonicTimeNeverGoesBack)
{
    uint64_t last = clock_monotonic_ns(clock_system());
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_monotonic_ns(clock_system());
        ASSERT_GE(now, last);
        last = now;
    }
}

TEST(SystemClock, SleepLastsAtLeastItsTime)
{
    uint64_t before = clock_monotonic_ns(clock_system());
    clock_system()->sleep_ns(clock_system(), 1000);
    EXPECT_GE(clock_monotonic_ns(clock_system()), before + 1000);
}

TEST(SimClock, MovesOnlyWhenMoved)
{
    struct sim_clock clock;
    sim_clock_init(&clock);
    uint64_t mono = clock_monotonic_ns(&clock.base);
    uint64_t wall = clock_wall_ms(&clock.base);
    EXPECT_EQ(clock_monotonic_ns(&clock.base), mono);
    sim_clock_advance(&clock, 5000000);
    clock.base.sleep_ns(&clock.base, 1000000);
    EXPECT_EQ(clock_monotonic_ns(&clock.base), mono + 6000000);
    EXPECT_EQ(clock_wall_ms(&clock.base), wall + 6);
}

TEST(SimClock, WallTimeCanStepBackAlone)
{
    struct sim_clock clock;
    sim_clock_init(&clock);
    uint64_t mono = clock_monotonic_ns(&clock.base);
    uint64_t wall = clock_wall_ms(&clock.base);
    sim_clock_step_wall(&clock, -3600000);
    EXPECT_EQ(clock_wall_ms(&clock.base), wall - 3600000);
    EXPECT_EQ(clock_monotonic_ns(&clock.base), mono);
}

TEST(SystemRandom, FillsAllBytesOfAnySize)
{
    for (size_t size : {0, 1, 7, 256, 257, 100000}) {
        std::vector<uint8_t> bytes(size + 1, 0);
        ASSERT_EQ(random_fill(random_system(), bytes.data(), size, nullptr), POLARYS_OK);
        EXPECT_EQ(bytes[size], 0) << "not past the end";
    }
    /* Every byte of 64 changes at least once in 64 tries, but for once in 10^150 runs. */
    std::vector<uint8_t> seen(64, 0);
    for (int round = 0; round < 64; round++) {
        uint8_t bytes[64];
        ASSERT_EQ(random_fill(random_system(), bytes, sizeof(bytes), nullptr), POLARYS_OK);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seen[i] |= bytes[i];
        }
    }
    EXPECT_EQ(std::set<uint8_t>(seen.begin(), seen.end()).count(0), 0u);
}

TEST(SimRandom, TheSeedDecides)
{
    struct sim_random a;
    struct sim_random b;
    sim_random_init(&a, 9);
    sim_random_init(&b, 9);
    uint8_t a_bytes[100];
    uint8_t b_bytes[100];
    ASSERT_EQ(random_fill(&a.base, a_bytes, sizeof(a_bytes), nullptr), POLARYS_OK);
    ASSERT_EQ(random_fill(&b.base, b_bytes, sizeof(b_bytes), nullptr), POLARYS_OK);
    EXPECT_EQ(memcmp(a_bytes, b_bytes, sizeof(a_bytes)), 0);
    sim_random_init(&b, 10);
    EXPECT_NE(sim_random_next(&a), sim_random_next(&b));
}

TEST(SimRandom, CanBeMadeToFail)
{
    struct sim_random random;
    sim_random_init(&random, 1);
    random.fail_at = 2;
    uint8_t byte;
    EXPECT_EQ(random_fill(&random.base, &byte, 1, nullptr), POLARYS_OK);
    EXPECT_EQ(random_fill(&random.base, &byte, 1, nullptr), POLARYS_IO);
    EXPECT_EQ(random_fill(&random.base, &byte, 1, nullptr), POLARYS_OK);
}

} // namespace
