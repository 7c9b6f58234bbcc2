/* SPDX-License-Identifier: Apache-2.0 */
/* Mutexes: exclusion, timed waits, and in debug builds an end to wrong orders before they can
 * deadlock. */
#include "engine/base/mutex.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/base/clock.h"

namespace {

struct pair_of_mutexes {
    struct mutex outer;
    struct mutex inner;
    pair_of_mutexes()
    {
        mutex_init(&outer, MUTEX_RANK_TREE);
        mutex_init(&inner, MUTEX_RANK_WAL);
    }
    ~pair_of_mutexes()
    {
        mutex_deinit(&outer);
        mutex_deinit(&inner);
    }
};

TEST(Mutex, ExcludesOtherThreads)
{
    struct mutex mutex;
    mutex_init(&mutex, MUTEX_RANK_TREE);
    uint64_t count = 0; /* not atomic: the thread sanitizer would tell */
    auto work = [&] {
        for (int i = 0; i < 20000; i++) {
            mutex_lock(&mutex);
            count++;
            mutex_unlock(&mutex);
        }
    };
    std::thread other(work);
    work();
    other.join();
    EXPECT_EQ(count, 40000u);
    mutex_deinit(&mutex);
}

TEST(Mutex, RisingRanksNestAndMayBeReleasedInAnyOrder)
{
    pair_of_mutexes both;
    for (int round = 0; round < 3; round++) {
        mutex_lock(&both.outer);
        mutex_lock(&both.inner);
        EXPECT_TRUE(mutex_is_held(&both.outer));
        EXPECT_TRUE(mutex_is_held(&both.inner));
        mutex_unlock(&both.outer);
        EXPECT_TRUE(mutex_is_held(&both.inner));
        mutex_unlock(&both.inner);
    }
}

TEST(Condition, TimedWaitEndsWithFalse)
{
    struct mutex mutex;
    struct condition condition;
    mutex_init(&mutex, MUTEX_RANK_TREE);
    condition_init(&condition);
    mutex_lock(&mutex);
    uint64_t before = clock_monotonic_ns(clock_system());
    while (condition_wait(&condition, &mutex, 2000000)) {
    }
    EXPECT_GE(clock_monotonic_ns(clock_system()), before + 2000000);
    EXPECT_TRUE(mutex_is_held(&mutex));
    mutex_unlock(&mutex);
    condition_deinit(&condition);
    mutex_deinit(&mutex);
}

TEST(Condition, WakesTheWaiterAlsoWithTheLongestTimeout)
{
    for (uint64_t timeout_ns : {uint64_t{0}, UINT64_MAX}) {
        struct mutex mutex;
        struct condition condition;
        mutex_init(&mutex, MUTEX_RANK_TREE);
        condition_init(&condition);
        bool is_set = false;
        std::thread other([&] {
            mutex_lock(&mutex);
            is_set = true;
            condition_broadcast(&condition);
            mutex_unlock(&mutex);
        });
        mutex_lock(&mutex);
        while (!is_set) {
            ASSERT_TRUE(condition_wait(&condition, &mutex, timeout_ns));
        }
        mutex_unlock(&mutex);
        other.join();
        condition_deinit(&condition);
        mutex_deinit(&mutex);
    }
}

#if defined(POLARYS_DEBUG)

TEST(MutexDeath, FallingRanksAreABug)
{
    pair_of_mutexes both;
    mutex_lock(&both.inner);
    EXPECT_DEATH(mutex_lock(&both.outer), "assertion failed: .*rank");
    mutex_unlock(&both.inner);
}

TEST(MutexDeath, EqualRanksAreABug)
{
    pair_of_mutexes both;
    pair_of_mutexes more;
    mutex_lock(&both.outer);
    EXPECT_DEATH(mutex_lock(&more.outer), "assertion failed: .*rank");
    mutex_unlock(&both.outer);
}

TEST(MutexDeath, TakingItTwiceIsABugAndNoDeadlock)
{
    pair_of_mutexes both;
    mutex_lock(&both.outer);
    EXPECT_DEATH(mutex_lock(&both.outer), "assertion failed");
    mutex_unlock(&both.outer);
}

TEST(MutexDeath, ReleasingWhatIsNotHeldIsABug)
{
    pair_of_mutexes both;
    EXPECT_FALSE(mutex_is_held(&both.outer));
    EXPECT_DEATH(mutex_unlock(&both.outer), "assertion failed");
}

TEST(MutexDeath, WaitingOnAnOuterMutexIsABug)
{
    pair_of_mutexes both;
    struct condition condition;
    condition_init(&condition);
    mutex_lock(&both.outer);
    mutex_lock(&both.inner);
    EXPECT_DEATH((void)condition_wait(&condition, &both.outer, 1), "assertion failed: .*rank");
    mutex_unlock(&both.inner);
    mutex_unlock(&both.outer);
    condition_deinit(&condition);
}

TEST(Mutex, HoldingIsOfOneThread)
{
    pair_of_mutexes both;
    mutex_lock(&both.inner);
    std::thread other([&] {
        EXPECT_FALSE(mutex_is_held(&both.inner));
        mutex_lock(&both.outer);
        mutex_unlock(&both.outer);
    });
    other.join();
    mutex_unlock(&both.inner);
}

#endif

} // namespace
