/* SPDX-License-Identifier: Apache-2.0 */
/* Numbering, durability before visibility, groups and their limits. */
#include "tests/unit/commit/commit_fixture.h"

TEST_F(CommitTest, GivesEachCommitTheNextVersionInQueueOrder)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC), c("c", COMMIT_LOCAL_SYNC);
    submit(a), submit(b), submit(c);
    EXPECT_FALSE(commit_drive(path, 0));
    EXPECT_EQ(a.request.version, 101u);
    EXPECT_EQ(b.request.version, 102u);
    EXPECT_EQ(c.request.version, 103u);
    ASSERT_EQ(wal.frames.size(), 1u);
    EXPECT_EQ(wal.frames[0].payload, "abc");
    EXPECT_EQ(wal.frames[0].first_version, 101u);
    EXPECT_EQ(wal.frames[0].commit_count, 3u);
    EXPECT_EQ(commit_published_version(path), 103u);
    EXPECT_EQ(commit_durable_version(path), 103u);
    EXPECT_EQ(c.request.code, POLARYS_OK);
    EXPECT_EQ(tree.inserted_versions, (std::vector<uint64_t>{101, 102, 103}));
}

TEST_F(CommitTest, ReportsEachCommitOnce)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_ASYNC);
    submit(a), submit(b);
    drive();
    EXPECT_EQ(sync(), POLARYS_OK);
    EXPECT_EQ(a.done_count, 1);
    EXPECT_EQ(b.done_count, 1);
}

TEST_F(CommitTest, MakesALocalSyncCommitVisibleOnlyAfterItsFrameIsDurable)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC);
    uint64_t published_during_append = 0;
    int done_during_append = -1;
    wal.on_append = [&] {
        published_during_append = commit_published_version(path);
        done_during_append = a.done_count;
        EXPECT_EQ(tree.inserted_versions.size(), 1u);
    };
    submit(a);
    drive();
    EXPECT_EQ(published_during_append, 100u);
    EXPECT_EQ(done_during_append, 0);
    EXPECT_EQ(commit_published_version(path), 101u);
}

TEST_F(CommitTest, TellsPublishedBeforeDoneWithTimeAndBytes)
{
    open();
    TestCommit a("four", COMMIT_LOCAL_SYNC), b("byte", COMMIT_LOCAL_SYNC);
    a.on_done = [&](TestCommit *) { EXPECT_EQ(published.size(), 1u); };
    submit(a), submit(b);
    drive();
    ASSERT_EQ(published.size(), 1u);
    EXPECT_EQ(published[0].version, 102u);
    EXPECT_EQ(published[0].bytes, 8u);
    EXPECT_EQ(published[0].time_ms, fake.time.wall_ms);
    EXPECT_EQ(durable, (std::vector<uint64_t>{102}));
}

TEST_F(CommitTest, SubmitsAgainFromWithinDone)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC);
    a.on_done = [&](TestCommit *) { submit(b); };
    submit(a);
    EXPECT_FALSE(commit_drive(path, 0));
    EXPECT_TRUE(b.is_done());
    EXPECT_EQ(b.request.version, 102u);
}

TEST_F(CommitTest, StopsAfterAsManyGroupsAsAsked)
{
    open();
    std::string half(COMMIT_GROUP_BYTES_MAX / 2, 'x');
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < 3; i++) {
        commits.push_back(std::make_unique<TestCommit>(half, COMMIT_LOCAL_SYNC));
        submit(*commits.back());
    }
    EXPECT_TRUE(commit_drive(path, 1));
    EXPECT_EQ(wal.frames.size(), 1u);
    EXPECT_TRUE(commit_drive(path, 1));
    EXPECT_FALSE(commit_drive(path, 1));
    EXPECT_EQ(wal.frames.size(), 3u);
}

TEST_F(CommitTest, KeepsAGroupWithinItsBytes)
{
    open();
    std::string third(COMMIT_GROUP_BYTES_MAX / 3, 'x');
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < 7; i++) {
        commits.push_back(std::make_unique<TestCommit>(third, COMMIT_LOCAL_SYNC));
        submit(*commits.back());
    }
    drive();
    for (const auto &frame : wal.frames) {
        EXPECT_LE(frame.payload.size() + LOG_BATCH_TIME_SIZE, (size_t)COMMIT_GROUP_BYTES_MAX);
    }
    EXPECT_EQ(wal.last_version(), 107u);
}

TEST_F(CommitTest, GivesACommitLargerThanAGroupAFrameOfItsOwn)
{
    open();
    TestCommit small("small", COMMIT_LOCAL_SYNC), other("other", COMMIT_LOCAL_SYNC);
    TestCommit large(std::string(COMMIT_GROUP_BYTES_MAX + 1, 'x'), COMMIT_ASYNC);
    submit(small), submit(large), submit(other);
    drive();
    ASSERT_EQ(wal.frames.size(), 3u);
    EXPECT_EQ(wal.frames[1].commit_count, 1u);
    EXPECT_TRUE(other.is_done());
}

TEST_F(CommitTest, KeepsAGroupWithinItsNumberOfCommits)
{
    open();
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < COMMIT_GROUP_COMMITS_MAX + 10; i++) {
        commits.push_back(std::make_unique<TestCommit>("x", COMMIT_LOCAL_SYNC));
        submit(*commits.back());
    }
    drive();
    ASSERT_EQ(wal.frames.size(), 2u);
    EXPECT_EQ(wal.frames[0].commit_count, (uint32_t)COMMIT_GROUP_COMMITS_MAX);
    EXPECT_EQ(wal.frames[1].commit_count, 10u);
}

TEST_F(CommitTest, RefusesACommitThatFitsNoFrame)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC);
    a.prepare(path);
    a.request.encoded.size = WAL_FRAME_PAYLOAD_MAX;
    commit_submit(path, &a.request);
    EXPECT_TRUE(a.is_done());
    EXPECT_EQ(a.request.code, POLARYS_TOO_LARGE);
}

TEST_F(CommitTest, NeverLetsTimeFall)
{
    options.last_time_ms = fake.time.wall_ms + 5000;
    open();
    EXPECT_EQ(commit_published_time_ms(path), options.last_time_ms);
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC);
    submit(a);
    drive();
    EXPECT_EQ(a.request.time_unix_ms, options.last_time_ms);
    EXPECT_EQ(wal.frames[0].time_ms, options.last_time_ms);
    fake.time.wall_ms += 9000;
    submit(b);
    drive();
    EXPECT_EQ(b.request.time_unix_ms, fake.time.wall_ms);
    EXPECT_EQ(commit_published_time_ms(path), fake.time.wall_ms);
}

TEST_F(CommitTest, DropsACommitPastItsDeadlineWithoutAVersion)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC), c("c", COMMIT_LOCAL_SYNC);
    a.request.deadline_ns = fake.time.now_ns + 1000;
    c.request.deadline_ns = fake.time.now_ns + 1000000;
    submit(a), submit(b), submit(c);
    fake.time.now_ns += 2000;
    drive();
    EXPECT_EQ(a.request.code, POLARYS_WAIT_TIMEOUT);
    EXPECT_EQ(b.request.version, 101u);
    EXPECT_EQ(c.request.version, 102u);
}

TEST_F(CommitTest, WaitsForTheCommitInTheCallersThread)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC);
    EXPECT_EQ(commit_wait(path, a.prepare(path)), POLARYS_OK);
    EXPECT_EQ(a.request.version, 101u);
    EXPECT_EQ(a.done_count, 0);
    EXPECT_EQ(wal.frames.size(), 1u);
    EXPECT_TRUE(fake.tasks.empty());
}

TEST_F(CommitTest, RefusesNewCommitsOnceDrained)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_ASYNC), late("late", COMMIT_LOCAL_SYNC);
    submit(a), submit(b);
    commit_drain(path);
    EXPECT_TRUE(a.is_done());
    EXPECT_TRUE(b.is_done());
    EXPECT_EQ(commit_durable_version(path), 102u);
    submit(late);
    EXPECT_EQ(late.request.code, POLARYS_DRAINING);
    EXPECT_EQ(commit_wait(path, late.prepare(path)), POLARYS_DRAINING);
    commit_drain(path);
}

TEST_F(CommitTest, ChoosesThePolicyByTheProbedSync)
{
    options.role_policy = COMMIT_ROLE_AUTO;
    wal.probed_sync_ns = 1000 * 1000;
    open();
    EXPECT_EQ(commit_role_policy_get(path), COMMIT_ROLE_INLINE);
    wal.probed_sync_ns = 1000 * 1000 + 1;
    commit_close(path);
    struct executor *pool = nullptr;
    struct polarys_error err = {};
    ASSERT_EQ(executor_pool_create(1, clock_system(), &pool, &err), POLARYS_OK);
    options.executor = pool;
    ASSERT_EQ(commit_open(&options, &path, &err), POLARYS_OK);
    EXPECT_EQ(commit_role_policy_get(path), COMMIT_ROLE_THREAD);
    EXPECT_FALSE(commit_drive(path, 0));
    commit_close(path);
    path = nullptr;
    executor_pool_destroy(pool);
}

TEST_F(CommitTest, CountsWhatItDid)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC);
    submit(a), submit(b);
    struct commit_stats stats;
    commit_stats_get(path, &stats);
    EXPECT_EQ(stats.queue_commits, 2u);
    EXPECT_EQ(stats.queue_bytes, 2u);
    wal.on_append = [&] { fake.time.now_ns += 100 * 1000; };
    drive();
    commit_stats_get(path, &stats);
    EXPECT_EQ(stats.queue_commits, 0u);
    EXPECT_EQ(stats.queue_bytes, 0u);
    EXPECT_EQ(stats.commit_count, 2u);
    EXPECT_EQ(stats.group_count, 1u);
    EXPECT_EQ(stats.logged_bytes, 2u + LOG_BATCH_TIME_SIZE);
    EXPECT_EQ(stats.sync_us_log2[6], 1u); /* 100 µs lies in [64, 128) */
    EXPECT_EQ(stats.group_size_log2[1], 1u);
}
