/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: a full queue, a tree without room, pace, a full disk, a broken log. */
#include "tests/unit/commit/commit_fixture.h"

TEST_F(CommitTest, StallsWhenTooManyCommitsWait)
{
    open();
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < COMMIT_QUEUE_COMMITS_MAX; i++) {
        commits.push_back(std::make_unique<TestCommit>("x", COMMIT_LOCAL_SYNC));
        submit(*commits.back());
        ASSERT_FALSE(commits.back()->is_done());
    }
    TestCommit late("late", COMMIT_LOCAL_SYNC);
    submit(late);
    EXPECT_EQ(late.request.code, POLARYS_WRITE_STALL);
    EXPECT_GT(late.request.error.retry_after_ms, 0u);
    struct commit_stats stats;
    commit_stats_get(path, &stats);
    EXPECT_EQ(stats.stall_count, 1u);
    EXPECT_EQ(stats.queue_commits, (uint64_t)COMMIT_QUEUE_COMMITS_MAX);
    drive();
    TestCommit again("again", COMMIT_LOCAL_SYNC);
    submit(again);
    drive();
    EXPECT_EQ(again.request.code, POLARYS_OK);
}

TEST_F(CommitTest, StallsWhenTooManyBytesWaitAndSaysWhenToRetry)
{
    tree.rate = 16 << 20;
    open();
    std::string large(24 << 20, 'x');
    std::vector<std::unique_ptr<TestCommit>> commits;
    int stalled = 0;
    for (int i = 0; i < 12; i++) {
        commits.push_back(std::make_unique<TestCommit>("x", COMMIT_LOCAL_SYNC));
        commits.back()->prepare(path);
        commits.back()->request.encoded = slice_make(large.data(), large.size());
        commit_submit(path, &commits.back()->request);
        if (commits.back()->is_done()) {
            stalled++;
            EXPECT_EQ(commits.back()->request.code, POLARYS_WRITE_STALL);
            EXPECT_GT(commits.back()->request.error.retry_after_ms, 1000u);
        }
    }
    EXPECT_EQ(stalled, 2);
    tree.rate = UINT64_MAX;
    drive();
}

TEST_F(CommitTest, LeavesTheRoleWhenTheTreeHasNoRoomAndGoesOnWhenWoken)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC);
    tree.reserve_code = POLARYS_WOULD_BLOCK;
    submit(a), submit(b);
    EXPECT_FALSE(commit_drive(path, 0));
    EXPECT_FALSE(a.is_done());
    EXPECT_TRUE(wal.frames.empty());
    tree.reserve_code = POLARYS_OK;
    commit_wake(path);
    fake.run_due();
    EXPECT_EQ(a.request.version, 101u);
    EXPECT_TRUE(b.is_done());
}

TEST_F(CommitTest, ForgetsNoWakeThatComesWhileItFindsNoRoom)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC);
    tree.reserve_code = POLARYS_WOULD_BLOCK;
    submit(a);
    commit_drive(path, 0);
    tree.reserve_code = POLARYS_OK;
    commit_wake(path);
    EXPECT_TRUE(commit_drive(path, 1) || a.is_done());
    drive();
    EXPECT_TRUE(a.is_done());
}

TEST_F(CommitTest, KeepsDeadlinesWhileTheTreeHasNoRoom)
{
    open();
    TestCommit head("head", COMMIT_LOCAL_SYNC), behind("behind", COMMIT_LOCAL_SYNC);
    behind.request.deadline_ns = fake.time.now_ns + 20 * 1000000;
    tree.reserve_code = POLARYS_WOULD_BLOCK;
    submit(head), submit(behind);
    commit_drive(path, 0);
    for (int i = 0; i < 30; i++) {
        fake.advance_ms(1);
    }
    EXPECT_TRUE(behind.is_done());
    EXPECT_EQ(behind.request.code, POLARYS_WAIT_TIMEOUT);
    EXPECT_FALSE(head.is_done());
    tree.reserve_code = POLARYS_OK;
    fake.advance_ms(10);
    EXPECT_TRUE(head.is_done());
}

TEST_F(CommitTest, FailsACommitThatTheTreeRefusesAndGoesOn)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC);
    tree.reserve_code = POLARYS_NO_MEMORY;
    submit(a);
    drive();
    EXPECT_EQ(a.request.code, POLARYS_NO_MEMORY);
    EXPECT_STRNE(a.request.error.message, "");
    tree.reserve_code = POLARYS_OK;
    submit(b);
    drive();
    EXPECT_EQ(b.request.version, 101u);
}

TEST_F(CommitTest, KeepsToTheTreesRate)
{
    tree.rate = 10 << 20;
    open();
    std::string part(64 << 10, 'x');
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < 160; i++) { /* 10 MiB, a second's worth */
        commits.push_back(std::make_unique<TestCommit>(part, COMMIT_LOCAL_SYNC));
        submit(*commits.back());
    }
    commit_drive(path, 0);
    int elapsed_ms = 0;
    while (!commits.back()->is_done() && elapsed_ms < 5000) {
        fake.advance_ms(1);
        elapsed_ms++;
    }
    EXPECT_GT(elapsed_ms, 850);
    EXPECT_LT(elapsed_ms, 1100);
}

TEST_F(CommitTest, DoesNotPaceADrain)
{
    tree.rate = 1;
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC), c("c", COMMIT_LOCAL_SYNC);
    submit(a), submit(b), submit(c);
    commit_drive(path, 0);
    uint64_t before_ns = fake.time.now_ns;
    commit_drain(path);
    EXPECT_TRUE(c.is_done());
    EXPECT_LT(fake.time.now_ns - before_ns, 100u * 1000000);
}

TEST_F(CommitTest, RefusesWhatTheLogHasNoRoomForBeforeNumbering)
{
    wal.room = 1000;
    open();
    TestCommit large(std::string(2000, 'x'), COMMIT_LOCAL_SYNC), small("small", COMMIT_LOCAL_SYNC);
    submit(large), submit(small);
    drive();
    EXPECT_EQ(large.request.code, POLARYS_DISK_LOW);
    EXPECT_GT(large.request.error.retry_after_ms, 0u);
    EXPECT_EQ(large.request.version, 0u);
    EXPECT_EQ(small.request.code, POLARYS_OK);
    EXPECT_EQ(small.request.version, 101u);
    wal.room = SIZE_MAX;
    TestCommit again(std::string(2000, 'x'), COMMIT_LOCAL_SYNC);
    submit(again);
    drive();
    EXPECT_EQ(again.request.version, 102u);
}

TEST_F(CommitTest, AsksTheLogForRoomOnceAGroup)
{
    open();
    std::vector<std::unique_ptr<TestCommit>> commits;
    for (int i = 0; i < 100; i++) {
        commits.push_back(std::make_unique<TestCommit>("x", COMMIT_LOCAL_SYNC));
        submit(*commits.back());
    }
    drive();
    EXPECT_EQ(wal.room_count, 1);
}

TEST_F(CommitTest, KeepsANumberedGroupUntilTheDiskHasSpaceAgain)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), refused("refused", COMMIT_LOCAL_SYNC);
    wal.append_code = POLARYS_DISK_LOW;
    submit(a);
    commit_drive(path, 0);
    EXPECT_FALSE(a.is_done());
    EXPECT_EQ(commit_published_version(path), 100u);
    submit(refused);
    commit_drive(path, 0);
    EXPECT_EQ(refused.request.code, POLARYS_DISK_LOW);
    fake.advance_ms(200);
    EXPECT_FALSE(a.is_done());
    EXPECT_EQ(sync(), POLARYS_DISK_LOW);
    struct polarys_error err = {};
    auto never = [](void *, struct polarys_error *) {
        ADD_FAILURE();
        return POLARYS_OK;
    };
    EXPECT_EQ(commit_run_exclusive(path, never, nullptr, &err), POLARYS_DISK_LOW);
    EXPECT_TRUE(failures.empty());
    wal.append_code = POLARYS_OK;
    fake.advance_ms(50);
    EXPECT_EQ(a.request.code, POLARYS_OK);
    EXPECT_EQ(commit_published_version(path), 101u);
    TestCommit next("next", COMMIT_LOCAL_SYNC);
    submit(next);
    drive();
    EXPECT_EQ(next.request.version, 102u);
}

TEST_F(CommitTest, TriesAtOnceWhenWokenWithNewSpace)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC);
    wal.append_code = POLARYS_DISK_LOW;
    submit(a);
    commit_drive(path, 0);
    wal.append_code = POLARYS_OK;
    commit_wake(path);
    fake.run_due();
    EXPECT_TRUE(a.is_done());
}

TEST_F(CommitTest, GivesAGroupUpThatFindsNoSpaceWhileClosing)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC);
    wal.append_code = POLARYS_DISK_LOW;
    submit(a);
    commit_drain(path);
    EXPECT_EQ(a.request.code, POLARYS_DISK_LOW);
    EXPECT_EQ(failures, (std::vector<enum polarys_code>{POLARYS_DISK_LOW}));
    EXPECT_EQ(commit_published_version(path), 100u);
}

TEST_F(CommitTest, FailsEverythingThatWaitsWhenTheLogBreaks)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), gathered("g", COMMIT_LOCAL_SYNC);
    TestCommit parked("p", COMMIT_LOCAL_SYNC), queued("q", COMMIT_LOCAL_SYNC);
    a.put("k");
    parked.put("k").reads(100, "k");
    wal.append_code = POLARYS_IO;
    wal.on_append = [&] {
        wal.on_append = nullptr;
        submit(gathered), submit(parked);
        commit_drive(path, 0);
        submit(queued);
    };
    submit(a);
    drive();
    EXPECT_EQ(a.request.code, POLARYS_IO);
    EXPECT_EQ(gathered.request.code, POLARYS_IO);
    EXPECT_EQ(parked.request.code, POLARYS_IO);
    EXPECT_EQ(queued.request.code, POLARYS_IO);
    EXPECT_EQ(a.done_count + gathered.done_count + parked.done_count + queued.done_count, 4);
    EXPECT_EQ(failures, (std::vector<enum polarys_code>{POLARYS_IO}));
    EXPECT_TRUE(published.empty());

    TestCommit late("late", COMMIT_ASYNC);
    submit(late);
    EXPECT_EQ(late.request.code, POLARYS_IO);
    EXPECT_EQ(commit_wait(path, late.prepare(path)), POLARYS_IO);
    TestCommit more("more", COMMIT_ASYNC);
    commit_drive(path, 0);
    EXPECT_EQ(failures.size(), 1u);
    EXPECT_EQ(wal.append_count, 1);
}

TEST_F(CommitTest, TellsASyncOfTheBrokenLog)
{
    open();
    TestCommit a("a", COMMIT_ASYNC);
    commit_wait(path, a.prepare(path));
    wal.append_code = POLARYS_IO;
    EXPECT_EQ(sync(), POLARYS_IO);
    struct polarys_error err = {};
    auto never = [](void *, struct polarys_error *) {
        ADD_FAILURE();
        return POLARYS_OK;
    };
    EXPECT_EQ(commit_run_exclusive(path, never, nullptr, &err), POLARYS_IO);
    EXPECT_STRNE(err.message, "");
    EXPECT_EQ(failures.size(), 1u);
}

TEST_F(CommitTest, RunsExclusivelyWithNothingUnsynced)
{
    open();
    TestCommit a("a", COMMIT_ASYNC), waiting("w", COMMIT_LOCAL_SYNC);
    commit_wait(path, a.prepare(path));
    submit(waiting);
    struct State {
        CommitTest *test;
        struct commit_path *path;
        TestCommit *waiting;
        int runs;
    } state = {this, path, &waiting, 0};
    auto function = [](void *context, struct polarys_error *err) {
        auto *s = static_cast<State *>(context);
        s->runs++;
        EXPECT_EQ(commit_durable_version(s->path), commit_published_version(s->path));
        /* A driver that comes now finds both halves taken. */
        EXPECT_FALSE(commit_drive(s->path, 0));
        EXPECT_FALSE(s->waiting->is_done());
        return polarys_fail(err, POLARYS_IO, "from within");
    };
    struct polarys_error err = {};
    EXPECT_EQ(commit_run_exclusive(path, function, &state, &err), POLARYS_IO);
    EXPECT_STREQ(err.message, "from within");
    EXPECT_EQ(state.runs, 1);
    fake.run_due();
    drive();
    EXPECT_TRUE(waiting.is_done());
    EXPECT_TRUE(failures.empty());
}
