/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of anomalies of docs/transactions.md: each is provoked at every level in both modes, and is
 * either seen or prevented, by a conflict, a wait or a deadlock, just as the table says.
 *
 * Two transactions take their steps in turn, in one thread. A step that would have to wait for a lock is
 * made with POLARYS_READ_MEMORY_ONLY: WOULD_BLOCK then means that the other's lock stands in the way, which
 * prevents the anomaly as well.
 */
#include "tests/support/engine/test_txn.h"

using test_store::store;
using test_store::txn;
using test_store::world;

namespace {

struct level_mode {
    polarys_isolation isolation;
    polarys_txn_mode mode;
};

std::string name_of(const level_mode &at)
{
    const char *levels[] = {"", "ReadCommitted", "Snapshot", "Serializable"};
    return std::string(levels[at.isolation]) +
           (at.mode == POLARYS_TXN_PESSIMISTIC ? "Pessimistic" : "Optimistic");
}

/* What became of an attempt to provoke an anomaly. */
enum outcome { ALLOWED, PREVENTED };

class Anomaly : public ::testing::TestWithParam<level_mode> {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        ASSERT_EQ(POLARYS_OK, db.put("t", "x", "1"));
        ASSERT_EQ(POLARYS_OK, db.put("t", "y", "1"));
    }
    void TearDown() override
    {
        one.reset();
        two.reset();
    }
    void begin()
    {
        one = std::make_unique<txn>(db.db, GetParam().isolation, GetParam().mode);
        two = std::make_unique<txn>(db.db, GetParam().isolation, GetParam().mode);
    }
    /* True when the step was done; a lock that stands in the way, or a conflict told early, is "not done". */
    static bool did(polarys_code code)
    {
        EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_WOULD_BLOCK ||
                    code == POLARYS_TXN_CONFLICT || code == POLARYS_TXN_NOT_FOUND)
            << polarys_code_name(code);
        return code == POLARYS_OK;
    }
    static bool put(txn &t, const std::string &key, const std::string &value)
    {
        return did(t.put(key, value, POLARYS_READ_MEMORY_ONLY));
    }
    static std::string get(txn &t, const std::string &key, bool for_update = false)
    {
        return t.get(key, for_update, POLARYS_READ_MEMORY_ONLY);
    }
    static bool blocked(const std::string &value)
    {
        return value == "WOULD_BLOCK" || value == "TXN_CONFLICT" || value == "TXN_NOT_FOUND";
    }
    bool is(polarys_isolation isolation)
    {
        return GetParam().isolation == isolation;
    }
    bool locks()
    {
        return GetParam().mode == POLARYS_TXN_PESSIMISTIC;
    }
    std::string now(const std::string &key)
    {
        return db.get("t", key).value_or("-");
    }

    world w;
    store db{w};
    std::unique_ptr<txn> one;
    std::unique_ptr<txn> two;
};

} // namespace

/* G0: two transactions' writes of two keys end up mixed. Prevented everywhere: a commit is one frame. */
TEST_P(Anomaly, DirtyWrite)
{
    begin();
    bool a = put(*one, "x", "10");
    bool b = put(*two, "x", "20");
    b = b && put(*two, "y", "20");
    bool second = b && two->commit() == POLARYS_OK;
    a = a && put(*one, "y", "10");
    bool first = a && one->commit() == POLARYS_OK;
    EXPECT_TRUE(first || second);
    EXPECT_EQ(now("x"), now("y"));
}

/* G1a: what was rolled back is seen. */
TEST_P(Anomaly, AbortedRead)
{
    begin();
    ASSERT_TRUE(put(*one, "x", "10"));
    std::string seen = get(*two, "x");
    EXPECT_TRUE(seen == "1" || blocked(seen)) << seen;
    ASSERT_EQ(POLARYS_OK, one->rollback());
    EXPECT_EQ("1", get(*two, "x"));
}

/* G1b: a state in the middle of a transaction is seen. */
TEST_P(Anomaly, IntermediateRead)
{
    begin();
    ASSERT_TRUE(put(*one, "x", "10"));
    std::string seen = get(*two, "x");
    EXPECT_NE("10", seen);
    ASSERT_TRUE(put(*one, "x", "11"));
    ASSERT_EQ(POLARYS_OK, one->commit());
    EXPECT_NE("10", get(*two, "x"));
}

/* G1c: each sees what the other wrote and has not committed. */
TEST_P(Anomaly, CircularInformationFlow)
{
    begin();
    ASSERT_TRUE(put(*one, "x", "10"));
    ASSERT_TRUE(put(*two, "y", "20"));
    EXPECT_NE("20", get(*one, "y"));
    EXPECT_NE("10", get(*two, "x"));
}

/* P4: both read, both write what they worked out of it, both commit. */
TEST_P(Anomaly, LostUpdate)
{
    begin();
    bool a = !blocked(get(*one, "x"));
    bool b = !blocked(get(*two, "x"));
    ASSERT_TRUE(a && b);
    a = put(*one, "x", "11");
    b = put(*two, "x", "12");
    a = a && one->commit() == POLARYS_OK;
    b = b && two->commit() == POLARYS_OK;
    if (is(POLARYS_ISOLATION_READ_COMMITTED) && !locks()) {
        EXPECT_TRUE(a && b) << "allowed";
    } else {
        EXPECT_FALSE(a && b) << "prevented";
    }
}

/* The same in READ_COMMITTED where the write of the second comes after the commit of the first: with locks
 * too, for the read took none. */
TEST_P(Anomaly, LostUpdateOneAfterTheOther)
{
    begin();
    ASSERT_FALSE(blocked(get(*one, "x")));
    ASSERT_FALSE(blocked(get(*two, "x")));
    bool a = put(*one, "x", "11") && one->commit() == POLARYS_OK;
    bool b = put(*two, "x", "12") && two->commit() == POLARYS_OK;
    EXPECT_EQ(is(POLARYS_ISOLATION_READ_COMMITTED), a && b);
}

/* Reading for update prevents it at every level. */
TEST_P(Anomaly, LostUpdateOfWhatWasReadForUpdate)
{
    begin();
    bool a = !blocked(get(*one, "x", true));
    bool b = !blocked(get(*two, "x", true));
    a = a && put(*one, "x", "11") && one->commit() == POLARYS_OK;
    b = b && put(*two, "x", "12") && two->commit() == POLARYS_OK;
    EXPECT_TRUE(a);
    EXPECT_FALSE(a && b);
    EXPECT_EQ("11", now("x"));
}

/* P2: what was read once is another when it is read again. */
TEST_P(Anomaly, FuzzyRead)
{
    begin();
    ASSERT_EQ("1", get(*one, "x"));
    bool b = put(*two, "x", "20") && two->commit() == POLARYS_OK;
    std::string again = get(*one, "x");
    EXPECT_EQ(is(POLARYS_ISOLATION_READ_COMMITTED), b && again == "20");
}

/* A5A: two keys are seen as they never were together. */
TEST_P(Anomaly, ReadSkew)
{
    begin();
    ASSERT_EQ("1", get(*one, "x"));
    bool b = put(*two, "x", "20") && put(*two, "y", "20") && two->commit() == POLARYS_OK;
    std::string y = get(*one, "y");
    bool is_seen = b && y == "20" && one->commit() == POLARYS_OK;
    EXPECT_EQ(is(POLARYS_ISOLATION_READ_COMMITTED), is_seen);
}

/* G-single: read skew of one that then writes because of what it saw. */
TEST_P(Anomaly, SingleAntiDependencyCycle)
{
    begin();
    ASSERT_EQ("1", get(*one, "x"));
    bool b = put(*two, "x", "20") && put(*two, "y", "20") && two->commit() == POLARYS_OK;
    std::string y = get(*one, "y");
    bool is_seen = b && y == "20" && put(*one, "sum", "21") && one->commit() == POLARYS_OK;
    EXPECT_EQ(is(POLARYS_ISOLATION_READ_COMMITTED), is_seen);
}

/* A5B: each writes what the other has read. */
TEST_P(Anomaly, WriteSkew)
{
    begin();
    bool a = !blocked(get(*one, "x")) && !blocked(get(*one, "y"));
    bool b = !blocked(get(*two, "x")) && !blocked(get(*two, "y"));
    a = a && put(*one, "x", "0");
    b = b && put(*two, "y", "0");
    a = a && one->commit() == POLARYS_OK;
    b = b && two->commit() == POLARYS_OK;
    EXPECT_EQ(!is(POLARYS_ISOLATION_SERIALIZABLE), a && b);
}

/* P3: a range that was read has another document when it is read again. */
TEST_P(Anomaly, Phantom)
{
    begin();
    ASSERT_EQ("x=1 y=1 ", one->scan());
    bool b = put(*two, "xx", "1") && two->commit() == POLARYS_OK;
    bool is_seen = b && one->scan().find("xx") != std::string::npos;
    EXPECT_EQ(is(POLARYS_ISOLATION_READ_COMMITTED), is_seen);
}

/* Write skew on ranges: each counts, each adds. */
TEST_P(Anomaly, PhantomWriteSkew)
{
    begin();
    ASSERT_EQ("x=1 y=1 ", one->scan());
    ASSERT_EQ("x=1 y=1 ", two->scan());
    bool a = put(*one, "k1", "1");
    bool b = put(*two, "k2", "1");
    a = a && one->commit() == POLARYS_OK;
    b = b && two->commit() == POLARYS_OK;
    EXPECT_EQ(!is(POLARYS_ISOLATION_SERIALIZABLE), a && b);
}

/* The same with a flush in between: the memtables know no more, the tree does. */
TEST_P(Anomaly, PhantomWriteSkewAcrossAFlush)
{
    begin();
    ASSERT_EQ("x=1 y=1 ", one->scan());
    ASSERT_EQ("x=1 y=1 ", two->scan());
    bool a = put(*one, "k1", "1");
    bool b = put(*two, "k2", "1");
    a = a && one->commit() == POLARYS_OK;
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    b = b && two->commit() == POLARYS_OK;
    EXPECT_EQ(!is(POLARYS_ISOLATION_SERIALIZABLE), a && b);
}

/* What only reads never fails at an optimistic level that has a snapshot, whatever others do. */
TEST_P(Anomaly, ReadersOfASnapshotAlwaysCommit)
{
    begin();
    if (is(POLARYS_ISOLATION_READ_COMMITTED) || locks()) {
        GTEST_SKIP() << "no snapshot, or locks instead";
    }
    ASSERT_EQ("1", get(*one, "x"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "x", "5"));
    ASSERT_EQ("x=1 y=1 ", one->scan());
    EXPECT_EQ(POLARYS_OK, one->commit()) << one->error.message;
}

INSTANTIATE_TEST_SUITE_P(
    Levels, Anomaly,
    ::testing::Values(level_mode{POLARYS_ISOLATION_READ_COMMITTED, POLARYS_TXN_OPTIMISTIC},
                      level_mode{POLARYS_ISOLATION_SNAPSHOT, POLARYS_TXN_OPTIMISTIC},
                      level_mode{POLARYS_ISOLATION_SERIALIZABLE, POLARYS_TXN_OPTIMISTIC},
                      level_mode{POLARYS_ISOLATION_READ_COMMITTED, POLARYS_TXN_PESSIMISTIC},
                      level_mode{POLARYS_ISOLATION_SNAPSHOT, POLARYS_TXN_PESSIMISTIC},
                      level_mode{POLARYS_ISOLATION_SERIALIZABLE, POLARYS_TXN_PESSIMISTIC}),
    [](const auto &at) { return name_of(at.param); });

TEST(TxnExpiry, WritesOverWhatHadExpiredWhetherItWasSweptMeanwhileOrNot)
{
    test_store::world w;
    test_store::store db{w};
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    for (bool is_swept : {false, true}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "a", test_store::json_of("1", w.now_ms() + 10)));
        sim_clock_advance(&w.clock, UINT64_C(20000000));
        test_store::txn one(db.db);
        ASSERT_EQ("-", one.get("b"));
        uint64_t version = polarys_db_version(db.db);
        if (is_swept) {
            w.pass_ms(3000);
        } else {
            ASSERT_EQ(POLARYS_OK, db.put("t", "c", "1"));
        }
        ASSERT_GT(polarys_db_version(db.db), version);
        ASSERT_EQ(POLARYS_OK, one.put("a", "2"));
        EXPECT_EQ(POLARYS_OK, one.commit()) << is_swept << one.error.message;
        EXPECT_EQ("2", db.get("t", "a").value_or("-"));
    }
    test_store::txn one(db.db);
    ASSERT_EQ("-", one.get("b"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "3"));
    ASSERT_EQ(POLARYS_OK, one.put("a", "4"));
    EXPECT_EQ(POLARYS_TXN_CONFLICT, one.commit());
}
