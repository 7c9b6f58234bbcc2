/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for a version is woken once, in order, when a quorum has it, and never with the group locked. */
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "service/replication/group_internal.h"

namespace {

struct Waiter {
    group_waiter waiter;
    struct WaitersOf *all;
    int woken;
};

struct WaitersOf {
    group *of;
    std::vector<uint64_t> order;
};

void woken(group_waiter *waiter)
{
    auto *self = reinterpret_cast<Waiter *>(waiter);
    self->woken++;
    self->all->order.push_back(waiter->version);
    /* The group is not locked: this would hang. */
    EXPECT_FALSE(group_wait_cancel(self->all->of, waiter));
}

class GroupWait : public ::testing::Test {
  protected:
    GroupWait()
    {
        (void)pthread_mutex_init(&state.mutex, nullptr);
        state.quorum = 1;
        all.of = &state;
    }

    ~GroupWait() override
    {
        (void)pthread_mutex_destroy(&state.mutex);
    }

    Waiter make(uint64_t version, bool is_applied = false)
    {
        return Waiter{{version, is_applied, woken, nullptr, nullptr, false}, &all, 0};
    }

    void reach(uint64_t durable, uint64_t applied = 0)
    {
        (void)pthread_mutex_lock(&state.mutex);
        state.stable_version = durable;
        state.applied_version = applied;
        group_unlock(&state);
    }

    struct group state = {};
    WaitersOf all = {};
};

TEST_F(GroupWait, WakesThoseWhoseVersionHasComeAndNoOther)
{
    Waiter low = make(5);
    Waiter high = make(9);
    Waiter applied = make(5, true);
    EXPECT_EQ(GROUP_WAITS, group_wait(&state, &high.waiter));
    EXPECT_EQ(GROUP_WAITS, group_wait(&state, &low.waiter));
    EXPECT_EQ(GROUP_WAITS, group_wait(&state, &applied.waiter));
    reach(4);
    EXPECT_TRUE(all.order.empty());
    reach(8);
    EXPECT_EQ(1, low.woken);
    EXPECT_EQ(0, high.woken);
    EXPECT_EQ(0, applied.woken);
    reach(8, 5);
    EXPECT_EQ(1, applied.woken);
    reach(9, 9);
    EXPECT_EQ(1, high.woken);
    EXPECT_EQ(1, low.woken);
    EXPECT_EQ(0U, state.waiter_count);
}

TEST_F(GroupWait, DoesNotQueueWhoNeedNotWait)
{
    Waiter waiter = make(7);
    reach(7);
    EXPECT_EQ(GROUP_HAS, group_wait(&state, &waiter.waiter));
    Waiter beyond = make(8);
    EXPECT_EQ(GROUP_WAITS, group_wait(&state, &beyond.waiter));
    /* Nobody is left to ask. */
    (void)pthread_mutex_lock(&state.mutex);
    state.quorum = 0;
    group_unlock(&state);
    EXPECT_EQ(1, beyond.woken);
    Waiter alone = make(1000, true);
    EXPECT_EQ(GROUP_HAS, group_wait(&state, &alone.waiter));
}

TEST_F(GroupWait, ForgetsWhoGivesUp)
{
    Waiter first = make(1);
    Waiter middle = make(2);
    Waiter last = make(3);
    for (Waiter *each : {&first, &middle, &last}) {
        EXPECT_EQ(GROUP_WAITS, group_wait(&state, &each->waiter));
    }
    EXPECT_TRUE(group_wait_cancel(&state, &middle.waiter));
    EXPECT_FALSE(group_wait_cancel(&state, &middle.waiter));
    reach(3);
    EXPECT_EQ(0, middle.woken);
    EXPECT_EQ(1, first.woken);
    EXPECT_EQ(1, last.woken);
}

TEST_F(GroupWait, RefusesMoreThanItsLimit)
{
    state.waiter_count = GROUP_WAITERS_MAX;
    Waiter waiter = make(1);
    EXPECT_EQ(GROUP_IS_FULL, group_wait(&state, &waiter.waiter));
    state.waiter_count = 0;
    EXPECT_EQ(GROUP_WAITS, group_wait(&state, &waiter.waiter));
    EXPECT_TRUE(group_wait_cancel(&state, &waiter.waiter));
}

TEST_F(GroupWait, KeepsItsOrderWhateverComesAndGoes)
{
    std::mt19937 random(7);
    std::vector<Waiter> waiters(400);
    for (Waiter &each : waiters) {
        each = make(1 + random() % 1000, random() % 2 == 0);
        ASSERT_EQ(GROUP_WAITS, group_wait(&state, &each.waiter));
        if (random() % 4 == 0) {
            ASSERT_TRUE(group_wait_cancel(&state, &each.waiter));
            each.woken = -1;
        }
    }
    for (uint64_t version = 0; version <= 1000; version += 1 + random() % 50) {
        uint64_t applied = version / 2;
        reach(version, applied);
        for (const Waiter &each : waiters) {
            uint64_t reached = each.waiter.is_applied ? applied : version;
            if (each.woken >= 0) {
                ASSERT_EQ(each.waiter.version <= reached ? 1 : 0, each.woken);
            }
        }
    }
    reach(1000, 1000);
    EXPECT_EQ(0U, state.waiter_count);
    EXPECT_EQ(nullptr, state.durable_waiters.first);
    EXPECT_EQ(nullptr, state.applied_waiters.last);
    EXPECT_EQ(400, std::count_if(waiters.begin(), waiters.end(),
                                 [](const Waiter &each) { return each.woken != 0; }));
}

} // namespace
