/* SPDX-License-Identifier: Apache-2.0 */
/* The thread pool: everything runs once, urgent work is never behind a compaction, delays hold. */
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <vector>

#include "engine/base/executor.h"
#include "engine/base/task_heap.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/sim_random.h"

namespace {

/* Counts runs under a mutex and lets a test wait for them. */
struct counter {
    struct mutex mutex;
    struct condition changed;
    uint64_t count = 0;
    bool is_open = false;
    counter()
    {
        mutex_init(&mutex, MUTEX_RANK_TREE);
        condition_init(&changed);
    }
    ~counter()
    {
        condition_deinit(&changed);
        mutex_deinit(&mutex);
    }
    void add()
    {
        mutex_lock(&mutex);
        count++;
        condition_broadcast(&changed);
        mutex_unlock(&mutex);
    }
    void wait_for(struct executor *executor, uint64_t wanted)
    {
        mutex_lock(&mutex);
        while (count < wanted) {
            (void)executor_wait(executor, &changed, &mutex, 0);
        }
        mutex_unlock(&mutex);
    }
    void open()
    {
        mutex_lock(&mutex);
        is_open = true;
        condition_broadcast(&changed);
        mutex_unlock(&mutex);
    }
    /* For a task: says that it is there and stays until the test opens. */
    void block()
    {
        mutex_lock(&mutex);
        count++;
        condition_broadcast(&changed);
        while (!is_open) {
            (void)condition_wait(&changed, &mutex, 0);
        }
        mutex_unlock(&mutex);
    }
};

struct counting_task : task {
    struct counter *counter;
    std::atomic<int> runs{0};
};

void count_run(struct task *base)
{
    counting_task *task = static_cast<counting_task *>(base);
    task->runs++;
    task->counter->add();
}

void block_run(struct task *base)
{
    static_cast<counting_task *>(base)->counter->block();
}

struct executor *pool_of(uint32_t threads)
{
    struct executor *pool = nullptr;
    EXPECT_EQ(executor_pool_create(threads, clock_system(), &pool, nullptr), POLARYS_OK);
    return pool;
}

TEST(ExecutorPool, RunsEveryTaskOnceWithAnyNumberOfThreads)
{
    for (uint32_t threads : {1u, 2u, 5u}) {
        counter counter;
        struct executor *pool = pool_of(threads);
        std::vector<counting_task> tasks(3000);
        for (size_t i = 0; i < tasks.size(); i++) {
            tasks[i].run = count_run;
            tasks[i].counter = &counter;
            executor_submit(pool, static_cast<enum executor_class>(i % 3), &tasks[i]);
        }
        counter.wait_for(pool, tasks.size());
        executor_pool_destroy(pool);
        for (const counting_task &task : tasks) {
            ASSERT_EQ(task.runs, 1);
        }
    }
}

TEST(ExecutorPool, DestroyRunsWhatIsQueuedAndDelayed)
{
    counter counter;
    struct executor *pool = pool_of(2);
    std::vector<counting_task> tasks(100);
    for (size_t i = 0; i < tasks.size(); i++) {
        tasks[i].run = count_run;
        tasks[i].counter = &counter;
        enum executor_class kind = static_cast<enum executor_class>(i % 3);
        if (i % 2 == 0) {
            executor_submit_after(pool, kind, &tasks[i], UINT64_MAX - i);
        } else {
            executor_submit(pool, kind, &tasks[i]);
        }
    }
    executor_pool_destroy(pool);
    EXPECT_EQ(counter.count, tasks.size());
    executor_pool_destroy(nullptr);
}

TEST(ExecutorPool, OneThreadStaysFreeOfCompactions)
{
    counter blocked;
    counter done;
    struct executor *pool = pool_of(3);
    std::vector<counting_task> compactions(5);
    for (counting_task &task : compactions) {
        task.run = block_run;
        task.counter = &blocked;
        executor_submit(pool, EXECUTOR_COMPACT, &task);
    }
    blocked.wait_for(pool, 2); /* both threads that may compact are stuck now */
    std::vector<counting_task> flushes(10);
    for (counting_task &task : flushes) {
        task.run = count_run;
        task.counter = &done;
        executor_submit(pool, EXECUTOR_FLUSH, &task);
    }
    done.wait_for(pool, flushes.size());
    EXPECT_EQ(blocked.count, 2u);
    blocked.open();
    executor_pool_destroy(pool);
    EXPECT_EQ(blocked.count, compactions.size());
}

TEST(ExecutorPool, UrgentWorkOvertakesWhatIsQueued)
{
    counter blocker;
    struct executor *pool = pool_of(1);
    counting_task stuck;
    stuck.run = block_run;
    stuck.counter = &blocker;
    executor_submit(pool, EXECUTOR_READ, &stuck);
    blocker.wait_for(pool, 1);

    struct ordered : task {
        std::vector<int> *order;
        int name;
    };
    std::vector<int> order; /* one thread only: guarded by the join in destroy */
    ordered tasks[3];
    for (int i = 0; i < 3; i++) {
        tasks[i].run = [](struct task *base) {
            ordered *self = static_cast<ordered *>(base);
            self->order->push_back(self->name);
        };
        tasks[i].order = &order;
        tasks[i].name = i;
    }
    executor_submit(pool, EXECUTOR_COMPACT, &tasks[EXECUTOR_COMPACT]);
    executor_submit(pool, EXECUTOR_FLUSH, &tasks[EXECUTOR_FLUSH]);
    executor_submit(pool, EXECUTOR_READ, &tasks[EXECUTOR_READ]);
    blocker.open();
    executor_pool_destroy(pool);
    EXPECT_EQ(order, (std::vector<int>{EXECUTOR_READ, EXECUTOR_FLUSH, EXECUTOR_COMPACT}));
}

TEST(ExecutorPool, DelayedTasksRunNotBeforeTheirTime)
{
    struct timed : counting_task {
        uint64_t due_at_ns;
        std::atomic<bool> is_early{false};
    };
    counter counter;
    struct executor *pool = pool_of(2);
    std::vector<timed> tasks(20);
    for (size_t i = 0; i < tasks.size(); i++) {
        tasks[i].counter = &counter;
        tasks[i].run = [](struct task *base) {
            timed *self = static_cast<timed *>(base);
            self->is_early = clock_monotonic_ns(clock_system()) < self->due_at_ns;
            self->counter->add();
        };
        uint64_t delay_ns = (tasks.size() - i) * 500000; /* each one earlier than those before */
        tasks[i].due_at_ns = clock_monotonic_ns(clock_system()) + delay_ns;
        executor_submit_after(pool, static_cast<enum executor_class>(i % 3), &tasks[i], delay_ns);
    }
    counter.wait_for(pool, tasks.size());
    executor_pool_destroy(pool);
    for (const timed &task : tasks) {
        EXPECT_FALSE(task.is_early);
    }
}

TEST(ExecutorPool, DelayedCompactionsRunAlthoughTheIdleThreadMayNotRunThem)
{
    counter counter;
    struct executor *pool = pool_of(2);
    for (int round = 0; round < 50; round++) {
        counting_task task;
        task.run = count_run;
        task.counter = &counter;
        executor_submit_after(pool, EXECUTOR_COMPACT, &task, 20000);
        counter.wait_for(pool, static_cast<uint64_t>(round) + 1);
        /* The task is over once it has counted, but for the unlock of the counter. */
    }
    executor_pool_destroy(pool);
}

TEST(ExecutorPool, TasksMaySubmitTasksUntilTheVeryEnd)
{
    struct chain : task {
        struct executor *pool;
        int left;
        std::atomic<int> *runs;
    };
    std::atomic<int> runs{0};
    struct executor *pool = pool_of(3);
    std::vector<chain> chains(20);
    for (chain &each : chains) {
        each.pool = pool;
        each.left = 50;
        each.runs = &runs;
        each.run = [](struct task *base) {
            chain *self = static_cast<chain *>(base);
            ++*self->runs;
            if (--self->left > 0) {
                enum executor_class kind = static_cast<enum executor_class>(self->left % 3);
                if (self->left % 2 == 0) {
                    executor_submit(self->pool, kind, self);
                } else {
                    executor_submit_after(self->pool, kind, self, 1000);
                }
            }
        };
        executor_submit(pool, EXECUTOR_COMPACT, &each);
    }
    executor_pool_destroy(pool);
    EXPECT_EQ(runs, 20 * 50);
}

TEST(ExecutorPool, ThreadsBlockAllSignals)
{
    struct signals : counting_task {
        sigset_t blocked;
    };
    counter counter;
    struct executor *pool = pool_of(1);
    signals task;
    task.counter = &counter;
    task.run = [](struct task *base) {
        signals *self = static_cast<signals *>(base);
        (void)pthread_sigmask(SIG_BLOCK, nullptr, &self->blocked);
        self->counter->add();
    };
    executor_submit(pool, EXECUTOR_READ, &task);
    counter.wait_for(pool, 1);
    executor_pool_destroy(pool);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE}) {
        EXPECT_EQ(sigismember(&task.blocked, number), 1) << number;
    }
    sigset_t own;
    (void)pthread_sigmask(SIG_BLOCK, nullptr, &own);
    EXPECT_EQ(sigismember(&own, SIGTERM), 0) << "the caller's mask is as it was";
}

TEST(ExecutorPool, WithoutMemoryThereIsAnError)
{
    ASSERT_TRUE(fault_alloc_is_linked()) << "link with --wrap: tests/support/fault_alloc.h";
    struct executor *pool = reinterpret_cast<struct executor *>(1);
    struct polarys_error err;
    polarys_error_clear(&err);
    fault_alloc_fail_at(1);
    EXPECT_EQ(executor_pool_create(2, clock_system(), &pool, &err), POLARYS_NO_MEMORY);
    EXPECT_EQ(fault_alloc_disarm(), 1u);
    EXPECT_EQ(pool, nullptr);
    EXPECT_STRNE(err.message, "");
}

TEST(TaskHeap, GivesTasksBackInTheOrderOfTheirTimes)
{
    struct sim_random random;
    sim_random_init(&random, sim_seed(5));
    for (int round = 0; round < 200; round++) {
        std::vector<struct task> tasks(1 + sim_random_below(&random, 60));
        std::multiset<uint64_t> expected;
        struct task *heap = nullptr;
        size_t pushed = 0;
        while (pushed < tasks.size() || heap != nullptr) {
            if (pushed < tasks.size() && (heap == nullptr || sim_random_chance(&random, 2))) {
                tasks[pushed].due_ns = sim_random_below(&random, 20);
                expected.insert(tasks[pushed].due_ns);
                task_heap_push(&heap, &tasks[pushed++]);
            } else {
                ASSERT_EQ(heap->due_ns, *expected.begin());
                ASSERT_EQ(task_heap_pop(&heap)->due_ns, *expected.begin());
                expected.erase(expected.begin());
            }
        }
        EXPECT_TRUE(expected.empty());
    }
}

} // namespace
