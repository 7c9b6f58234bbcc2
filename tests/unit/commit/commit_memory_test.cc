/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails once. */
#include <thread>

#include "tests/support/fault_alloc.h"
#include "tests/unit/commit/commit_fixture.h"

TEST_F(CommitTest, OpensOrFailsCleanlyWhateverAllocationFails)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    uint64_t failed_count = 0;
    for (uint64_t n = 1;; n++) {
        struct polarys_error err = {};
        fault_alloc_fail_at(n);
        enum polarys_code code = commit_open(&options, &path, &err);
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(code, POLARYS_OK);
            break;
        }
        failed_count++;
        EXPECT_EQ(code, POLARYS_NO_MEMORY);
        EXPECT_EQ(path, nullptr);
    }
    EXPECT_GE(failed_count, 5u);
}

TEST_F(CommitTest, WaitsWithoutMemoryToSleepOn)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    struct polarys_error err = {};
    struct executor *pool = nullptr;
    ASSERT_EQ(executor_pool_create(1, clock_system(), &pool, &err), POLARYS_OK);
    options.executor = pool;
    open();
    wal.block();
    TestCommit first("first", COMMIT_LOCAL_SYNC);
    std::thread leader([&] { EXPECT_EQ(commit_wait(path, first.prepare(path)), POLARYS_OK); });
    wal.wait_until_blocked();
    std::vector<std::unique_ptr<TestCommit>> commits;
    std::vector<std::thread> followers;
    fault_alloc_fail_from(1);
    for (int i = 0; i < 4; i++) {
        commits.push_back(std::make_unique<TestCommit>("x", COMMIT_LOCAL_SYNC));
        TestCommit *commit = commits.back().get();
        followers.emplace_back(
            [this, commit] { EXPECT_EQ(commit_wait(path, commit->prepare(path)), POLARYS_OK); });
    }
    struct commit_stats stats;
    do {
        commit_stats_get(path, &stats);
        std::this_thread::yield();
    } while (stats.commit_count < 5);
    wal.release();
    leader.join();
    for (auto &thread : followers) {
        thread.join();
    }
    fault_alloc_disarm();
    EXPECT_EQ(wal.last_version(), 105u);
    commit_close(path);
    path = nullptr;
    executor_pool_destroy(pool);
}
