/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads at once, with both policies. Nothing sleeps: threads wait for each other or for commits. */
#include <thread>

#include "tests/unit/commit/commit_fixture.h"

namespace {

enum { STRESS_THREADS = 8, STRESS_COMMITS = 400 };

class CommitThreadsTest : public ::testing::TestWithParam<enum commit_role_policy> {
  protected:
    struct tree tree;
    struct wal wal;
    struct executor *pool = nullptr;
    struct commit_path *path = nullptr;
    struct commit_options options = {};
    std::atomic<uint64_t> last_published{0};
    std::atomic<uint64_t> published_bytes{0};
    std::atomic<int> publishers{0};
    std::atomic<int> failed_count{0};

    void SetUp() override
    {
        struct polarys_error err = {};
        ASSERT_EQ(executor_pool_create(2, clock_system(), &pool, &err), POLARYS_OK);
        wal.yields = 20;
        options.tree = &tree;
        options.wal = &wal;
        options.executor = pool;
        options.role_policy = GetParam();
        options.sync_interval_ns = 1000 * 1000;
        options.context = this;
        options.published = [](void *context, uint64_t version, uint64_t, uint64_t bytes) {
            auto *test = static_cast<CommitThreadsTest *>(context);
            EXPECT_EQ(test->publishers.fetch_add(1), 0);
            EXPECT_GT(version, test->last_published.load());
            EXPECT_EQ(test->failed_count.load(), 0);
            test->last_published = version;
            test->published_bytes += bytes;
            test->publishers.fetch_sub(1);
        };
        options.failed = [](void *context, const struct polarys_error *) {
            static_cast<CommitThreadsTest *>(context)->failed_count++;
        };
        ASSERT_EQ(commit_open(&options, &path, &err), POLARYS_OK);
    }

    void TearDown() override
    {
        commit_close(path);
        executor_pool_destroy(pool);
    }

    void in_threads(int count, const std::function<void(int)> &body)
    {
        std::vector<std::thread> threads;
        for (int i = 0; i < count; i++) {
            threads.emplace_back(body, i);
        }
        for (auto &thread : threads) {
            thread.join();
        }
    }
};

/* What is reported has to be in the log when it says so, and every version has to be logged once. */
void expect_log_is_whole(struct wal &wal, uint64_t last_version)
{
    uint64_t next = 1;
    for (const auto &frame : wal.frames) {
        EXPECT_EQ(frame.first_version, next);
        next += frame.commit_count;
    }
    EXPECT_EQ(next, last_version + 1);
}

} // namespace

TEST_P(CommitThreadsTest, CommitsFromManyBlockedThreads)
{
    in_threads(STRESS_THREADS, [&](int) {
        for (int i = 0; i < STRESS_COMMITS; i++) {
            TestCommit commit("x", COMMIT_LOCAL_SYNC);
            ASSERT_EQ(commit_wait(path, commit.prepare(path)), POLARYS_OK);
            ASSERT_GE(commit_durable_version(path), commit.request.version);
            ASSERT_GE(commit_published_version(path), commit.request.version);
        }
    });
    expect_log_is_whole(wal, STRESS_THREADS * STRESS_COMMITS);
}

TEST_P(CommitThreadsTest, CommitsWithoutSyncFromManyThreads)
{
    in_threads(STRESS_THREADS, [&](int) {
        for (int i = 0; i < STRESS_COMMITS; i++) {
            TestCommit commit("x", COMMIT_ASYNC);
            ASSERT_EQ(commit_wait(path, commit.prepare(path)), POLARYS_OK);
            ASSERT_GE(commit_published_version(path), commit.request.version);
        }
    });
    commit_drain(path);
    expect_log_is_whole(wal, STRESS_THREADS * STRESS_COMMITS);
}

TEST_P(CommitThreadsTest, WritesAsyncCommitsWithoutAnyOtherCall)
{
    TestCommit commit("x", COMMIT_ASYNC);
    ASSERT_EQ(commit_wait(path, commit.prepare(path)), POLARYS_OK);
    std::unique_lock<std::mutex> lock(wal.mutex);
    wal.changed.wait(lock, [&] { return wal.append_count.load() == 1; });
}

TEST_P(CommitThreadsTest, LosesNoWakeUpOfDriversAndCallbacks)
{
    std::atomic<int> done{0};
    std::vector<std::vector<std::unique_ptr<TestCommit>>> commits(STRESS_THREADS);
    in_threads(STRESS_THREADS, [&](int thread) {
        for (int i = 0; i < STRESS_COMMITS; i++) {
            auto commit =
                std::make_unique<TestCommit>("x", i % 3 == 0 ? COMMIT_ASYNC : COMMIT_LOCAL_SYNC);
            commit->on_done = [&](TestCommit *) { done++; };
            commit_submit(path, commit->prepare(path));
            commits[thread].push_back(std::move(commit));
            while (commit_drive(path, 1)) {
            }
        }
    });
    /* Nobody drives any more; a lost wake-up would leave this waiting for ever. */
    while (done.load() < STRESS_THREADS * STRESS_COMMITS) {
        std::this_thread::yield();
    }
    commit_drain(path);
    expect_log_is_whole(wal, STRESS_THREADS * STRESS_COMMITS);
}

TEST_P(CommitThreadsTest, LetsNoTwoCommitsBuildOnTheSameState)
{
    enum { ROUNDS = 60 };
    std::mutex mutex;
    std::map<uint64_t, uint64_t> snapshot_of; /* version -> what it was built on */
    in_threads(STRESS_THREADS, [&](int thread) {
        for (int i = 0; i < ROUNDS;) {
            uint64_t snapshot = commit_published_version(path);
            TestCommit commit("x", thread % 2 == 0 ? COMMIT_LOCAL_SYNC : COMMIT_ASYNC);
            commit.put("counter").reads(snapshot, "counter");
            enum polarys_code code = commit_wait(path, commit.prepare(path));
            if (code == POLARYS_OK) {
                std::lock_guard<std::mutex> lock(mutex);
                snapshot_of[commit.request.version] = snapshot;
                i++;
                continue;
            }
            ASSERT_EQ(code, POLARYS_TXN_CONFLICT);
            ASSERT_GE(commit_published_version(path), commit.request.conflict_version);
        }
    });
    commit_drain(path);
    ASSERT_EQ(snapshot_of.size(), (size_t)STRESS_THREADS * ROUNDS);
    uint64_t before = 0;
    for (const auto &[version, snapshot] : snapshot_of) {
        EXPECT_GE(snapshot, before);
        before = version;
    }
    expect_log_is_whole(wal, STRESS_THREADS * ROUNDS);
}

TEST_P(CommitThreadsTest, MixesEverythingAndDrains)
{
    std::atomic<bool> is_inside{false};
    std::atomic<uint64_t> ok_count{0};
    std::atomic<int> refused{0};
    struct Exclusive {
        struct commit_path *path;
        std::atomic<bool> *is_inside;
    } exclusive = {path, &is_inside};
    auto function = [](void *context, struct polarys_error *) {
        auto *e = static_cast<Exclusive *>(context);
        EXPECT_FALSE(e->is_inside->exchange(true));
        EXPECT_EQ(commit_durable_version(e->path), commit_published_version(e->path));
        e->is_inside->store(false);
        return POLARYS_OK;
    };
    wal.on_append = [&] { EXPECT_FALSE(is_inside.load()); };
    in_threads(STRESS_THREADS, [&](int thread) {
        for (int i = 0; i < STRESS_COMMITS; i++) {
            struct polarys_error err = {};
            TestCommit commit("x", (thread + i) % 2 == 0 ? COMMIT_ASYNC : COMMIT_LOCAL_SYNC);
            if (i % 5 == 0) {
                commit.put("hot").reads(commit_published_version(path), "hot");
            }
            enum polarys_code code = commit_wait(path, commit.prepare(path));
            ok_count += code == POLARYS_OK;
            refused += code == POLARYS_DRAINING;
            ASSERT_TRUE(code == POLARYS_OK || code == POLARYS_TXN_CONFLICT ||
                        code == POLARYS_DRAINING);
            if (i % 16 == thread) {
                ASSERT_EQ(commit_sync(path, &err), POLARYS_OK);
                ASSERT_GE(commit_durable_version(path), commit.request.version);
            }
            if (i % 32 == thread) {
                ASSERT_EQ(commit_run_exclusive(path, function, &exclusive, &err), POLARYS_OK);
            }
            if (i % 8 == 1) {
                commit_wake(path);
            }
            if (thread == 0 && i == STRESS_COMMITS - 50) {
                commit_drain(path);
                EXPECT_EQ(commit_durable_version(path), commit_published_version(path));
            }
        }
    });
    EXPECT_GT(refused.load(), 0);
    EXPECT_EQ(commit_durable_version(path), ok_count.load());
    expect_log_is_whole(wal, ok_count.load());
}

TEST_P(CommitThreadsTest, SequencesWhileAnotherGroupIsSynced)
{
    TestCommit first("first", COMMIT_LOCAL_SYNC);
    wal.block();
    std::thread one([&] { EXPECT_EQ(commit_wait(path, first.prepare(path)), POLARYS_OK); });
    wal.wait_until_blocked();
    TestCommit second("second", COMMIT_LOCAL_SYNC), behind("behind", COMMIT_ASYNC);
    std::thread two([&] { EXPECT_EQ(commit_wait(path, second.prepare(path)), POLARYS_OK); });
    struct commit_stats stats;
    do {
        commit_stats_get(path, &stats);
        std::this_thread::yield();
    } while (stats.commit_count < 2); /* numbered and inserted while the first one is in the log */
    EXPECT_EQ(commit_published_version(path), 0u);
    EXPECT_EQ(wal.frame_count(), 0u);
    wal.release();
    one.join();
    two.join();
    EXPECT_EQ(wal.frames.size(), 2u);
}

TEST_P(CommitThreadsTest, FailsEveryThreadWhenTheLogBreaks)
{
    in_threads(STRESS_THREADS, [&](int thread) {
        enum polarys_code code = POLARYS_OK;
        for (int i = 0; code == POLARYS_OK; i++) {
            TestCommit commit("x", i % 2 == 0 ? COMMIT_LOCAL_SYNC : COMMIT_ASYNC);
            if (thread == 3 && i == STRESS_COMMITS / 2) {
                wal.append_code = POLARYS_IO;
            }
            code = commit_wait(path, commit.prepare(path));
        }
        EXPECT_EQ(code, POLARYS_IO);
    });
    commit_drain(path);
    EXPECT_EQ(failed_count.load(), 1);
}

TEST_P(CommitThreadsTest, GoesOnWhenTheTreeHasRoomAgain)
{
    tree.reserve_code = POLARYS_WOULD_BLOCK;
    std::thread waker([&] {
        while (tree.reserve_count.load() < 1) {
            std::this_thread::yield();
        }
        tree.reserve_code = POLARYS_OK;
        commit_wake(path);
    });
    in_threads(STRESS_THREADS, [&](int) {
        TestCommit commit("x", COMMIT_LOCAL_SYNC);
        ASSERT_EQ(commit_wait(path, commit.prepare(path)), POLARYS_OK);
    });
    waker.join();
}

INSTANTIATE_TEST_SUITE_P(Policies, CommitThreadsTest,
                         ::testing::Values(COMMIT_ROLE_INLINE, COMMIT_ROLE_THREAD),
                         [](const auto &policy) {
                             return policy.param == COMMIT_ROLE_INLINE ? "Inline" : "Thread";
                         });
