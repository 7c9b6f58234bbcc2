/* SPDX-License-Identifier: Apache-2.0 */
/* ASYNC commits: told and visible at once, written later. */
#include "tests/unit/commit/commit_fixture.h"

TEST_F(CommitTest, TellsAnAsyncCommitBeforeItsFrame)
{
    open();
    TestCommit a("a", COMMIT_ASYNC);
    EXPECT_EQ(commit_wait(path, a.prepare(path)), POLARYS_OK);
    EXPECT_EQ(a.request.version, 101u);
    EXPECT_EQ(commit_published_version(path), 101u);
    EXPECT_EQ(commit_durable_version(path), 100u);
    EXPECT_TRUE(wal.frames.empty());
    ASSERT_EQ(published.size(), 1u);
}

TEST_F(CommitTest, KeepsItsOwnCopyOfAnAsyncCommit)
{
    open();
    {
        TestCommit gone("gone", COMMIT_ASYNC);
        ASSERT_EQ(commit_wait(path, gone.prepare(path)), POLARYS_OK);
        std::fill(gone.strings[0].begin(), gone.strings[0].end(), '?');
    }
    TestCommit next("next", COMMIT_ASYNC);
    ASSERT_EQ(commit_wait(path, next.prepare(path)), POLARYS_OK);
    EXPECT_EQ(sync(), POLARYS_OK);
    ASSERT_EQ(wal.frames.size(), 1u);
    EXPECT_EQ(wal.frames[0].payload, "gonenext");
}

TEST_F(CommitTest, WritesAsyncCommitsWhenTheIntervalHasPassed)
{
    options.sync_interval_ns = 10 * 1000 * 1000;
    open();
    TestCommit a("a", COMMIT_ASYNC), b("b", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    fake.advance_ms(9);
    EXPECT_TRUE(wal.frames.empty());
    commit_wait(path, b.prepare(path));
    fake.advance_ms(1);
    ASSERT_EQ(wal.frames.size(), 1u);
    EXPECT_EQ(wal.frames[0].commit_count, 2u);
    EXPECT_EQ(durable, (std::vector<uint64_t>{102}));
    EXPECT_EQ(published.size(), 2u);
    fake.advance_ms(100);
    EXPECT_TRUE(fake.tasks.empty());
}

TEST_F(CommitTest, CountsTheIntervalFromTheFirstCommitOfEachGroup)
{
    open();
    TestCommit a("a", COMMIT_ASYNC), b("b", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    EXPECT_EQ(sync(), POLARYS_OK);
    fake.advance_ms(6);
    commit_wait(path, b.prepare(path));
    fake.advance_ms(6); /* the timer that was set for a */
    EXPECT_EQ(wal.frames.size(), 1u);
    fake.advance_ms(4);
    EXPECT_EQ(wal.frames.size(), 2u);
}

TEST_F(CommitTest, WaitsForALongIntervalInShortSteps)
{
    options.sync_interval_ns = 1000 * 1000 * 1000;
    open();
    TestCommit a("a", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    for (int i = 0; i < 19; i++) {
        fake.advance_ms(50);
    }
    EXPECT_TRUE(wal.frames.empty());
    fake.advance_ms(50);
    EXPECT_EQ(wal.frames.size(), 1u);
}

TEST_F(CommitTest, WritesAsyncCommitsAlongWithALocalSyncOne)
{
    open();
    TestCommit a("a", COMMIT_ASYNC), b("b", COMMIT_LOCAL_SYNC), c("c", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    submit(b), submit(c);
    wal.on_append = [&] {
        EXPECT_TRUE(published.size() == 1 && published[0].version == 101);
        EXPECT_FALSE(c.is_done());
    };
    drive();
    ASSERT_EQ(wal.frames.size(), 1u);
    EXPECT_EQ(wal.frames[0].payload, "abc");
    EXPECT_TRUE(c.is_done());
    EXPECT_EQ(commit_published_version(path), 103u);
}

TEST_F(CommitTest, TellsAsyncCommitsThatStoodBehindASyncWhenItEnds)
{
    open();
    TestCommit sync_one("s", COMMIT_LOCAL_SYNC), behind("behind", COMMIT_ASYNC);
    /* Another driver sequences while the first one syncs. */
    wal.on_append = [&] {
        wal.on_append = nullptr;
        submit(behind);
        commit_drive(path, 0);
        EXPECT_EQ(behind.request.version, 102u);
        EXPECT_FALSE(behind.is_done());
        EXPECT_EQ(commit_published_version(path), 100u);
    };
    submit(sync_one);
    drive();
    EXPECT_TRUE(behind.is_done());
    EXPECT_EQ(commit_published_version(path), 102u);
    EXPECT_EQ(commit_durable_version(path), 101u);
    EXPECT_EQ(wal.frames.size(), 1u);
}

TEST_F(CommitTest, PublishesAsyncCommitsWhileAnAsyncFrameIsWritten)
{
    open();
    TestCommit a("a", COMMIT_ASYNC), b("b", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    wal.on_append = [&] {
        wal.on_append = nullptr;
        EXPECT_EQ(commit_wait(path, b.prepare(path)), POLARYS_OK);
        EXPECT_EQ(commit_published_version(path), 102u);
    };
    EXPECT_EQ(sync(), POLARYS_OK);
    EXPECT_EQ(commit_durable_version(path), 101u);
}

TEST_F(CommitTest, GivesHalfABufferToTheExecutor)
{
    open();
    std::string part(COMMIT_ASYNC_BUFFER_BYTES / 4, 'x');
    TestCommit a(part, COMMIT_ASYNC), b(part, COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    EXPECT_FALSE(fake.run_due());
    commit_wait(path, b.prepare(path));
    EXPECT_TRUE(wal.frames.empty());
    EXPECT_TRUE(fake.run_due());
    ASSERT_EQ(wal.frames.size(), 1u);
    EXPECT_EQ(wal.frames[0].commit_count, 2u);
}

TEST_F(CommitTest, WritesAFullBufferItselfWhenTheExecutorIsLate)
{
    open();
    std::string part(COMMIT_ASYNC_BUFFER_BYTES / 4, 'x');
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < 5; i++) {
        commits.push_back(std::make_unique<TestCommit>(part, COMMIT_ASYNC));
        EXPECT_EQ(commit_wait(path, commits.back()->prepare(path)), POLARYS_OK);
    }
    ASSERT_EQ(wal.frames.size(), 1u);
    EXPECT_EQ(wal.frames[0].commit_count, 3u);
    EXPECT_EQ(sync(), POLARYS_OK);
    EXPECT_EQ(wal.last_version(), 105u);
}

TEST_F(CommitTest, KeepsUnsyncedVersionsFarBelowWhatAnUncleanOpenSkips)
{
    open();
    for (int i = 0; i < 5 * COMMIT_GROUP_COMMITS_MAX; i++) {
        TestCommit a("a", COMMIT_ASYNC);
        ASSERT_EQ(commit_wait(path, a.prepare(path)), POLARYS_OK);
        ASSERT_LE(commit_published_version(path) - commit_durable_version(path),
                  (uint64_t)COMMIT_UNSYNCED_VERSIONS_MAX);
    }
    EXPECT_GE(wal.frames.size(), 4u);
}

TEST_F(CommitTest, SyncsNothingWhenEverythingIsDurable)
{
    open();
    EXPECT_EQ(sync(), POLARYS_OK);
    EXPECT_EQ(wal.append_count, 0);
}

TEST_F(CommitTest, WritesTheFrameWithTheTimeThatAsyncCommitsWereTold)
{
    open();
    TestCommit a("a", COMMIT_ASYNC), b("b", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    fake.time.wall_ms += 5;
    commit_wait(path, b.prepare(path));
    EXPECT_EQ(sync(), POLARYS_OK);
    EXPECT_EQ(a.request.time_unix_ms, wal.frames[0].time_ms);
    EXPECT_EQ(b.request.time_unix_ms, wal.frames[0].time_ms);
}
