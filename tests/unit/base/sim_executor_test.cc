/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated executor: decided by the seed, runs work where it is waited for, and finds
 * deadlocks. */
#include "tests/support/sim_executor.h"

#include <gtest/gtest.h>

#include <vector>

namespace {

constexpr uint64_t MS = 1000000;

struct noting_task : task {
    std::vector<int> *notes;
    int name;
};

void note_run(struct task *base)
{
    noting_task *task = static_cast<noting_task *>(base);
    task->notes->push_back(task->name);
}

class SimExecutor : public testing::Test {
  protected:
    SimExecutor()
    {
        sim_clock_init(&clock);
        sim = sim_executor_create(1, &clock);
        mutex_init(&mutex, MUTEX_RANK_TREE);
        condition_init(&condition);
    }
    ~SimExecutor() override
    {
        sim_executor_destroy(sim);
        condition_deinit(&condition);
        mutex_deinit(&mutex);
    }
    noting_task *task(int name)
    {
        tasks.emplace_back(new noting_task);
        tasks.back()->run = note_run;
        tasks.back()->notes = &notes;
        tasks.back()->name = name;
        return tasks.back().get();
    }
    struct executor *base()
    {
        return sim_executor_base(sim);
    }
    uint64_t now()
    {
        return clock_monotonic_ns(&clock.base);
    }

    struct sim_clock clock;
    struct sim_executor *sim;
    struct mutex mutex;
    struct condition condition;
    std::vector<int> notes;
    std::vector<std::unique_ptr<noting_task>> tasks;
};

TEST_F(SimExecutor, NothingRunsUntilItIsWaitedForOrAskedFor)
{
    executor_submit(base(), EXECUTOR_READ, task(1));
    EXPECT_TRUE(notes.empty());
    EXPECT_EQ(sim_executor_pending_count(sim), 1u);
    EXPECT_TRUE(sim_executor_run_one(sim));
    EXPECT_FALSE(sim_executor_run_one(sim));
    EXPECT_EQ(notes, std::vector<int>{1});
}

TEST_F(SimExecutor, WaitingRunsTheWorkWithTheMutexReleased)
{
    struct checking : noting_task {
        struct mutex *mutex;
    };
    checking checking;
    checking.notes = &notes;
    checking.mutex = &mutex;
    checking.run = [](struct task *base) {
        struct checking *self = static_cast<struct checking *>(base);
        mutex_lock(self->mutex); /* would hang or die if it were held */
        self->notes->push_back(1);
        mutex_unlock(self->mutex);
    };
    executor_submit(base(), EXECUTOR_FLUSH, &checking);
    mutex_lock(&mutex);
    while (notes.empty()) {
        ASSERT_TRUE(executor_wait(base(), &condition, &mutex, 0));
    }
    EXPECT_TRUE(mutex_is_held(&mutex));
    mutex_unlock(&mutex);
}

TEST_F(SimExecutor, ClassesComeInOrderAndTheSeedOrdersWithin)
{
    std::set<std::vector<int>> orders;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct sim_executor *other = sim_executor_create(seed, &clock);
        notes.clear();
        executor_submit(sim_executor_base(other), EXECUTOR_COMPACT, task(9));
        for (int i = 0; i < 3; i++) {
            executor_submit(sim_executor_base(other), EXECUTOR_READ, task(i));
        }
        EXPECT_EQ(sim_executor_run_all(other), 4u);
        EXPECT_EQ(notes.back(), 9);
        orders.insert(notes);
        sim_executor_destroy(other);
    }
    EXPECT_EQ(orders.size(), 6u);
}

TEST_F(SimExecutor, DelayedTasksMoveTheClockOnlyWhenNothingElseIsReady)
{
    uint64_t start = now();
    executor_submit_after(base(), EXECUTOR_READ, task(2), 10 * MS);
    executor_submit(base(), EXECUTOR_COMPACT, task(1));
    mutex_lock(&mutex);
    EXPECT_TRUE(executor_wait(base(), &condition, &mutex, 0));
    EXPECT_EQ(now(), start);
    EXPECT_TRUE(executor_wait(base(), &condition, &mutex, 0));
    EXPECT_EQ(now(), start + 10 * MS);
    mutex_unlock(&mutex);
    EXPECT_EQ(notes, (std::vector<int>{1, 2}));
}

TEST_F(SimExecutor, ATimeoutComesBeforeALaterTask)
{
    uint64_t start = now();
    executor_submit_after(base(), EXECUTOR_READ, task(1), 10 * MS);
    mutex_lock(&mutex);
    EXPECT_FALSE(executor_wait(base(), &condition, &mutex, 3 * MS));
    EXPECT_EQ(now(), start + 3 * MS);
    EXPECT_TRUE(notes.empty());
    EXPECT_TRUE(executor_wait(base(), &condition, &mutex, 7 * MS));
    mutex_unlock(&mutex);
    EXPECT_EQ(notes, std::vector<int>{1});
}

TEST_F(SimExecutor, RunForLetsExactlyThatTimePass)
{
    uint64_t start = now();
    for (int i = 1; i <= 5; i++) {
        executor_submit_after(base(), EXECUTOR_READ, task(i), static_cast<uint64_t>(i) * 10 * MS);
    }
    sim_executor_run_for(sim, 35 * MS);
    EXPECT_EQ(notes, (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(now(), start + 35 * MS);
}

TEST_F(SimExecutor, DestroyRunsWhatIsLeft)
{
    struct sim_executor *other = sim_executor_create(1, &clock);
    executor_submit(sim_executor_base(other), EXECUTOR_READ, task(1));
    executor_submit_after(sim_executor_base(other), EXECUTOR_READ, task(2), UINT64_MAX);
    sim_executor_destroy(other);
    EXPECT_EQ(notes.size(), 2u);
}

TEST_F(SimExecutor, WaitingForNothingIsADeadlock)
{
    mutex_lock(&mutex);
    EXPECT_DEATH((void)executor_wait(base(), &condition, &mutex, 0), "deadlock");
    EXPECT_FALSE(executor_wait(base(), &condition, &mutex, MS)) << "but not with a timeout";
    mutex_unlock(&mutex);
}

} // namespace
