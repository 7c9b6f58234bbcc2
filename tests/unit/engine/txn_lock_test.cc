/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pessimistic transactions: who waits for whom, deadlocks, timeouts, and plain writes beside locks.
 */
#include <chrono>

#include "tests/support/engine/test_txn.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::store;
using test_store::submitted;
using test_store::txn;
using test_store::txn_options;
using test_store::txn_status_of;
using test_store::world;

namespace {

class TxnLock : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }
    std::unique_ptr<txn> begin(polarys_isolation isolation = POLARYS_ISOLATION_SNAPSHOT)
    {
        return std::make_unique<txn>(db.db, isolation, POLARYS_TXN_PESSIMISTIC);
    }
    world w;
    store db{w};
};

/* Asks for the lock once more as soon as the first wait for it has ended. */
struct asker {
    explicit asker(txn *asking) : who(asking)
    {
    }
    void ask()
    {
        const std::string key = "a"; /* copied by the call */
        polarys_lock_wanted wanted{};
        wanted.table = "t";
        wanted.start = bytes_of(key);
        wanted.is_key = true;
        wanted.mode = POLARYS_LOCK_EXCLUSIVE;
        polarys_txn_lock(who->handle, &wanted, 0, ask_again, this);
    }
    static void ask_again(void *context, polarys_code code, const polarys_error *err)
    {
        auto *to = static_cast<asker *>(context);
        submitted::note_lock(&to->first, code, err);
        to->who->lock("a", POLARYS_LOCK_EXCLUSIVE, &to->second);
    }
    txn *who;
    submitted first;
    submitted second;
};

} // namespace

TEST_F(TxnLock, AWriterWaitsForTheLockAndThenHasIt)
{
    auto one = begin();
    auto two = begin();
    submitted answer;
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    two->lock("a", POLARYS_LOCK_EXCLUSIVE, &answer);
    EXPECT_EQ(0, answer.done_count);
    EXPECT_TRUE(two->status().is_waiting);
    EXPECT_EQ(1u, one->status().lock_count);
    ASSERT_EQ(POLARYS_OK, one->commit());
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_OK, answer.code);
    EXPECT_EQ(POLARYS_OK, two->put("a", "2", POLARYS_READ_MEMORY_ONLY));
    EXPECT_EQ(POLARYS_OK, two->commit()) << two->error.message;
    EXPECT_EQ("2", db.get("t", "a"));
}

TEST_F(TxnLock, AMemoryOnlyCallDoesNotWait)
{
    auto one = begin();
    auto two = begin();
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, two->put("a", "2", POLARYS_READ_MEMORY_ONLY));
    EXPECT_EQ("WOULD_BLOCK", two->get("a", true, POLARYS_READ_MEMORY_ONLY));
    EXPECT_EQ("-", two->get("a")) << "reading takes no lock here";
}

TEST_F(TxnLock, WhoWaitsInTheCallerIsTimedOut)
{
    polarys_txn_options options = txn_options(POLARYS_ISOLATION_SNAPSHOT, POLARYS_TXN_PESSIMISTIC);
    options.lock_timeout_ms = 100;
    txn one(db.db, &options);
    txn two(db.db, &options);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    EXPECT_EQ(POLARYS_LOCK_TIMEOUT, two.put("a", "2"));
    ASSERT_EQ(POLARYS_OK, two.put("b", "2")) << "it goes on";
    EXPECT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ(POLARYS_OK, two.commit());
}

TEST_F(TxnLock, WhoWaitsWithoutAThreadIsTimedOutToo)
{
    auto one = begin();
    auto two = begin();
    submitted answer;
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    two->lock("a", POLARYS_LOCK_EXCLUSIVE, &answer);
    w.pass_ms(4000);
    EXPECT_EQ(0, answer.done_count);
    w.pass_ms(1500);
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_LOCK_TIMEOUT, answer.code);
    EXPECT_EQ(POLARYS_OK, two->put("b", "1"));
}

TEST_F(TxnLock, RollbackEndsAWait)
{
    auto one = begin();
    auto two = begin();
    submitted answer;
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    two->lock("a", POLARYS_LOCK_EXCLUSIVE, &answer);
    EXPECT_EQ("WOULD_BLOCK", two->get("b", false, POLARYS_READ_MEMORY_ONLY));
    EXPECT_EQ(POLARYS_OK, two->rollback());
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, answer.code);
}

TEST_F(TxnLock, ClosingTheStoreEndsWaits)
{
    auto one = begin();
    auto two = begin();
    submitted answer;
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    two->lock("a", POLARYS_LOCK_EXCLUSIVE, &answer);
    ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
    ASSERT_EQ(1, answer.done_count);
    EXPECT_TRUE(answer.code == POLARYS_DRAINING || answer.code == POLARYS_OK);
}

TEST_F(TxnLock, RollbackIsNotHeldUpByWhoAsksAgain)
{
    auto one = begin();
    auto two = begin();
    asker asks(two.get());
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    asks.ask();
    ASSERT_EQ(0, asks.first.done_count);
    uint64_t before_ns = clock_monotonic_ns(&w.clock.base);
    EXPECT_EQ(POLARYS_OK, two->rollback());
    EXPECT_EQ(before_ns, clock_monotonic_ns(&w.clock.base)) << "it had nothing to wait for";
    EXPECT_EQ(1, asks.first.done_count);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, asks.first.code);
    EXPECT_EQ(1, asks.second.done_count);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, asks.second.code) << "it did not get in line again";
    EXPECT_EQ(POLARYS_OK, one->commit()) << one->error.message;
}

TEST_F(TxnLock, ClosingTheStoreEndsWhatAnotherEndLetsGoOn)
{
    auto one = begin();
    auto two = begin();
    auto three = begin();
    submitted answer;
    asker asks(three.get());
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    two->lock("a", POLARYS_LOCK_EXCLUSIVE, &answer);
    asks.ask();
    /* The end of one grants two, three asks again, and the end of two grants three. */
    ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
    EXPECT_EQ(1, answer.done_count);
    EXPECT_EQ(1, asks.first.done_count);
    EXPECT_EQ(1, asks.second.done_count);
    EXPECT_EQ(POLARYS_OK, asks.second.code);
}

/* Each holds its own key and asks for the next one's: the last wait closes the circle. */
TEST_F(TxnLock, BreaksCirclesOfTwoThreeAndTenQuickly)
{
    for (size_t size : {2u, 3u, 10u}) {
        std::vector<std::unique_ptr<txn>> circle;
        std::vector<submitted> answers(size);
        for (size_t i = 0; i < size; i++) {
            circle.push_back(begin(POLARYS_ISOLATION_SERIALIZABLE));
            ASSERT_EQ(POLARYS_OK, circle[i]->put("k" + std::to_string(i), "1"));
            /* All but the third have done more. */
            for (int j = 0; j < (i == std::min<size_t>(2, size - 1) ? 0 : 3); j++) {
                ASSERT_EQ("-", circle[i]->get("own" + std::to_string(i) + std::to_string(j)));
            }
        }
        for (size_t i = 0; i + 1 < size; i++) {
            circle[i]->lock("k" + std::to_string(i + 1), POLARYS_LOCK_EXCLUSIVE, &answers[i]);
            ASSERT_EQ(0, answers[i].done_count);
        }
        auto begun = std::chrono::steady_clock::now();
        circle[size - 1]->lock("k0", POLARYS_LOCK_SHARED, &answers[size - 1]);
        auto us = std::chrono::duration_cast<std::chrono::microseconds>(
                      std::chrono::steady_clock::now() - begun)
                      .count();
        std::cout << "circle of " << size << " broken in " << us << " us\n";
        EXPECT_LT(us, 10000);
        size_t victim = std::min<size_t>(2, size - 1);
        size_t before = (victim + size - 1) % size;
        for (size_t i = 0; i < size; i++) {
            /* The one before the victim gets what the victim held. */
            EXPECT_EQ(i == victim || i == before ? 1 : 0, answers[i].done_count) << i;
        }
        EXPECT_EQ(POLARYS_DEADLOCK, answers[victim].code);
        EXPECT_EQ(POLARYS_OK, answers[before].code);
        EXPECT_STREQ(std::to_string(size).c_str(),
                     polarys_error_detail_find(&answers[victim].error, "cycle_size"));
        EXPECT_NE(nullptr, polarys_error_detail_find(&answers[victim].error, "cycle"));
        EXPECT_EQ(POLARYS_TXN_NOT_FOUND, circle[victim]->put("z", "1")) << "it is over";
        /* The rest can all finish, one after the other. */
        for (size_t step = 1; step < size; step++) {
            size_t i = (victim + size - step) % size;
            EXPECT_EQ(POLARYS_OK, answers[i].code);
            EXPECT_EQ(POLARYS_OK, circle[i]->commit()) << circle[i]->error.message;
        }
    }
}

TEST_F(TxnLock, TwoThatUpgradeTheSameKeyAreADeadlock)
{
    auto one = begin(POLARYS_ISOLATION_SERIALIZABLE);
    auto two = begin(POLARYS_ISOLATION_SERIALIZABLE);
    submitted first;
    submitted second;
    ASSERT_EQ("-", one->get("a"));
    ASSERT_EQ("-", two->get("a"));
    ASSERT_EQ("-", one->get("b"));
    one->lock("a", POLARYS_LOCK_EXCLUSIVE, &first);
    two->lock("a", POLARYS_LOCK_EXCLUSIVE, &second);
    EXPECT_EQ(POLARYS_DEADLOCK, second.code) << "it has read less";
    EXPECT_EQ(1, first.done_count);
    EXPECT_EQ(POLARYS_OK, first.code);
}

TEST_F(TxnLock, ARangeAndAKeyInItAreADeadlockToo)
{
    auto one = begin(POLARYS_ISOLATION_SERIALIZABLE);
    auto two = begin(POLARYS_ISOLATION_SERIALIZABLE);
    submitted first;
    submitted second;
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    ASSERT_EQ(POLARYS_OK, one->put("aa", "1"));
    two->lock_range("m", "p", POLARYS_LOCK_SHARED, &second);
    ASSERT_EQ(POLARYS_OK, second.code);
    one->lock("n", POLARYS_LOCK_EXCLUSIVE, &first);
    EXPECT_EQ(0, first.done_count);
    two->lock_range("", "b", POLARYS_LOCK_SHARED, &second);
    EXPECT_EQ(POLARYS_DEADLOCK, second.code);
    EXPECT_EQ(POLARYS_OK, first.code);
}

TEST_F(TxnLock, APlainWriteWaitsForTheLock)
{
    auto one = begin();
    submitted answer;
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "2"));
    polarys_batch_submit(b.handle, nullptr, submitted::note, &answer);
    while (polarys_db_drive(db.db, 0)) {
    }
    EXPECT_EQ(0, answer.done_count);
    ASSERT_EQ(POLARYS_OK, one->commit()) << one->error.message;
    w.pass_ms(10);
    while (polarys_db_drive(db.db, 0)) {
    }
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_OK, answer.code);
    EXPECT_EQ("2", db.get("t", "a"));
}

TEST_F(TxnLock, APlainWriteDoesNotWaitForEver)
{
    auto one = begin();
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    EXPECT_EQ(POLARYS_LOCK_TIMEOUT, db.put("t", "a", test_store::json_of("2")));
    EXPECT_EQ(POLARYS_OK, db.put("t", "b", test_store::json_of("2")));
    EXPECT_EQ(POLARYS_OK, one->commit()) << one->error.message;
}

/* two stands behind a plain range delete, which waits for one, which waits for two. */
TEST_F(TxnLock, APlainWriteInACircleGivesWayAndIsDone)
{
    auto one = begin();
    auto two = begin();
    submitted answer;
    submitted first;
    submitted second;
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "1"));
    one->lock("a", POLARYS_LOCK_EXCLUSIVE, &first);
    ASSERT_EQ(POLARYS_OK, two->put("x", "1"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "a", "c"));
    polarys_batch_submit(b.handle, nullptr, submitted::note, &answer);
    while (polarys_db_drive(db.db, 0)) {
    }
    ASSERT_EQ(0, answer.done_count);
    two->lock("b", POLARYS_LOCK_EXCLUSIVE, &second);
    ASSERT_EQ(0, second.done_count);
    one->lock("x", POLARYS_LOCK_EXCLUSIVE, &first);
    EXPECT_EQ(1, second.done_count) << "nobody stands before it any more";
    EXPECT_EQ(POLARYS_OK, second.code);
    w.pass_ms(10);
    while (polarys_db_drive(db.db, 0)) {
    }
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_OK, answer.code) << answer.error.message;
    EXPECT_EQ(std::nullopt, db.get("t", "b")) << "the range delete is done";
    EXPECT_EQ(POLARYS_OK, two->commit()) << two->error.message;
    EXPECT_EQ(POLARYS_OK, first.code);
    EXPECT_EQ(POLARYS_OK, one->commit()) << one->error.message;
}

TEST_F(TxnLock, AChangeSinceTheSnapshotIsToldAsTheLockIsHad)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    auto one = begin();
    ASSERT_EQ("1", one->get("a"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "2"));
    EXPECT_EQ(POLARYS_TXN_CONFLICT, one->put("a", "3"));
    EXPECT_STREQ("a", polarys_error_detail_find(&one->error, "key"));
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, one->put("b", "3"));
}

TEST_F(TxnLock, OptimisticOnesAreGivenLocksForTheAsking)
{
    auto one = begin();
    ASSERT_EQ(POLARYS_OK, one->put("a", "1"));
    txn two(db.db);
    submitted answer;
    two.lock("a", POLARYS_LOCK_EXCLUSIVE, &answer);
    EXPECT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_OK, answer.code);
    EXPECT_EQ(0u, two.status().lock_count);
}

TEST_F(TxnLock, WaitersAreServedInOrder)
{
    enum { WAITERS = 64 };
    std::vector<std::unique_ptr<txn>> all;
    std::vector<submitted> answers(WAITERS);
    auto holder = begin();
    ASSERT_EQ(POLARYS_OK, holder->put("a", "1"));
    for (size_t i = 0; i < WAITERS; i++) {
        all.push_back(begin());
        all[i]->lock("a", POLARYS_LOCK_EXCLUSIVE, &answers[i]);
    }
    ASSERT_EQ(POLARYS_OK, holder->commit());
    for (size_t i = 0; i < WAITERS; i++) {
        ASSERT_EQ(1, answers[i].done_count) << i;
        if (i + 1 < WAITERS) {
            ASSERT_EQ(0, answers[i + 1].done_count);
        }
        ASSERT_EQ(POLARYS_OK, all[i]->put("a", std::to_string(i)));
        ASSERT_EQ(POLARYS_OK, all[i]->commit()) << all[i]->error.message;
    }
}
