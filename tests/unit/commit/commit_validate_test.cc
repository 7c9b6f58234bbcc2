/* SPDX-License-Identifier: Apache-2.0 */
/* Conflicts: keys, ranges, phantoms, the memtable floor, the schema. */
#include "tests/unit/commit/commit_fixture.h"

TEST_F(CommitTest, RefusesACommitWhoseKeyWasWrittenSince)
{
    open();
    TestCommit first("first", COMMIT_LOCAL_SYNC), second("second", COMMIT_LOCAL_SYNC);
    first.put("k");
    submit(first);
    drive();
    second.put("k").reads(100, "k");
    submit(second);
    drive();
    EXPECT_EQ(second.request.code, POLARYS_TXN_CONFLICT);
    EXPECT_EQ(second.request.conflict_version, 101u);
    EXPECT_EQ(wal.frames.size(), 1u);
}

TEST_F(CommitTest, AcceptsACommitThatReadTheNewestVersion)
{
    open();
    TestCommit first("first", COMMIT_LOCAL_SYNC), second("second", COMMIT_LOCAL_SYNC);
    first.put("k");
    submit(first);
    drive();
    second.put("k").reads(101, "k");
    submit(second);
    drive();
    EXPECT_EQ(second.request.code, POLARYS_OK);
}

TEST_F(CommitTest, SeesConflictsWithinOneGroup)
{
    open();
    TestCommit first("first", COMMIT_LOCAL_SYNC), second("second", COMMIT_LOCAL_SYNC);
    TestCommit third("third", COMMIT_LOCAL_SYNC);
    first.put("k").reads(100, "k");
    second.put("k").reads(100, "k");
    third.put("other").reads(100, "other");
    submit(first), submit(second), submit(third);
    drive();
    EXPECT_EQ(first.request.code, POLARYS_OK);
    EXPECT_EQ(second.request.code, POLARYS_TXN_CONFLICT);
    EXPECT_EQ(third.request.version, 102u);
}

TEST_F(CommitTest, ReportsAConflictOnlyWhenItsOtherSideCanBeRead)
{
    open();
    TestCommit first("first", COMMIT_LOCAL_SYNC), second("second", COMMIT_LOCAL_SYNC);
    first.put("k");
    second.put("k").reads(100, "k");
    second.on_done = [&](TestCommit *commit) {
        EXPECT_GE(commit_published_version(path), commit->request.conflict_version);
    };
    submit(first), submit(second);
    wal.on_append = [&] { EXPECT_FALSE(second.is_done()); };
    drive();
    EXPECT_TRUE(second.is_done());
}

TEST_F(CommitTest, RefusesAPhantomInARangeRead)
{
    open();
    TestCommit writer("writer", COMMIT_LOCAL_SYNC), reader("reader", COMMIT_LOCAL_SYNC);
    TestCommit outside("outside", COMMIT_LOCAL_SYNC);
    writer.put("m5");
    reader.put("sum").reads_range(100, "m", "n");
    outside.put("sum2").reads_range(100, "m6", "n");
    submit(writer), submit(reader), submit(outside);
    drive();
    EXPECT_EQ(reader.request.code, POLARYS_TXN_CONFLICT);
    EXPECT_EQ(reader.request.conflict_version, 101u);
    EXPECT_EQ(outside.request.code, POLARYS_OK);
}

TEST_F(CommitTest, SeesARangeDeleteOverAKeyThatWasRead)
{
    open();
    TestCommit writer("writer", COMMIT_LOCAL_SYNC), reader("reader", COMMIT_LOCAL_SYNC);
    writer.erase_range("a", "n");
    reader.put("x").reads(100, "k");
    submit(writer), submit(reader);
    drive();
    EXPECT_EQ(reader.request.code, POLARYS_TXN_CONFLICT);
}

TEST_F(CommitTest, PreparesAgainWhatTheMemtablesCannotAnswerFor)
{
    open();
    tree.floor = 90;
    TestCommit below("below", COMMIT_LOCAL_SYNC), at("at", COMMIT_LOCAL_SYNC);
    TestCommit blind("blind", COMMIT_LOCAL_SYNC);
    below.put("k").reads(89, "k");
    at.put("k").reads(90, "k");
    blind.request.read_version = 1;
    submit(below), submit(at), submit(blind);
    drive();
    EXPECT_EQ(below.request.code, POLARYS_TXN_CONFLICT);
    EXPECT_EQ(below.request.conflict_version, 90u);
    EXPECT_EQ(at.request.code, POLARYS_OK);
    EXPECT_EQ(blind.request.code, POLARYS_OK);
}

TEST_F(CommitTest, NamesTheNewestOfAllConflicts)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC), c("c", COMMIT_LOCAL_SYNC);
    a.put("a"), b.put("b");
    c.put("c").reads(100, "a").reads(100, "b");
    submit(a), submit(b), submit(c);
    drive();
    EXPECT_EQ(c.request.conflict_version, 102u);
}

TEST_F(CommitTest, RefusesWhatWasPreparedForAnotherSchema)
{
    options.schema_version = 7;
    open();
    EXPECT_EQ(commit_schema_version(path), 7u);
    TestCommit change("change", COMMIT_LOCAL_SYNC), old("old", COMMIT_LOCAL_SYNC);
    change.request.changes_schema = true;
    submit(change), submit(old);
    uint64_t schema_during_append = 0;
    wal.on_append = [&] { schema_during_append = commit_schema_version(path); };
    drive();
    wal.on_append = nullptr; /* closing appends too, when the variable is gone */
    EXPECT_EQ(schema_during_append, 7u);
    EXPECT_EQ(commit_schema_version(path), 101u);
    EXPECT_EQ(old.request.code, POLARYS_TXN_CONFLICT);
    EXPECT_EQ(old.request.conflict_version, 101u);
    TestCommit again("again", COMMIT_ASYNC);
    submit(again);
    drive();
    EXPECT_EQ(again.request.code, POLARYS_OK);
}

TEST_F(CommitTest, RaisesTheSchemaVersionOfAnAsyncChangeToo)
{
    open();
    TestCommit change("change", COMMIT_ASYNC);
    change.request.changes_schema = true;
    submit(change);
    drive();
    EXPECT_EQ(commit_schema_version(path), 101u);
}

TEST_F(CommitTest, CountsConflicts)
{
    open();
    TestCommit a("a", COMMIT_LOCAL_SYNC), b("b", COMMIT_LOCAL_SYNC);
    a.put("k");
    b.put("k").reads(100, "k");
    submit(a), submit(b);
    drive();
    struct commit_stats stats;
    commit_stats_get(path, &stats);
    EXPECT_EQ(stats.conflict_count, 1u);
    EXPECT_EQ(stats.commit_count, 1u);
}
