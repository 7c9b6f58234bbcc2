/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock table by itself: who may, who waits, in what order, and circles; then at random against rules.
 */
#include "engine/txn/lock_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sim_random.h"

namespace {

std::string tree_key(const std::string &key)
{
    return std::string("\0\0\0\1\0\0\0\2", 8) + key;
}

struct owner {
    explicit owner(unsigned number)
    {
        id[0] = static_cast<uint8_t>(number >> 8);
        id[1] = static_cast<uint8_t>(number);
        handle.id = id;
        handle.work = &work;
    }
    static void note(void *context, polarys_code code, const polarys_error *err)
    {
        auto *to = static_cast<owner *>(context);
        to->error = *err;
        to->code = code;
        to->done_count++;
    }
    uint8_t id[LOCK_OWNER_ID_SIZE] = {};
    uint64_t work = 0;
    lock_owner handle{};
    std::atomic<int> done_count{0};
    polarys_code code = POLARYS_OK;
    polarys_error error{};
};

class LockTable : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, lock_table_create(&table, nullptr));
        for (unsigned i = 0; i < 12; i++) {
            owners.push_back(std::make_unique<owner>(i));
        }
    }
    void TearDown() override
    {
        for (auto &each : owners) {
            (void)lock_cancel(table, &each->handle, POLARYS_CANCELLED);
        }
        for (auto &each : owners) {
            lock_release_all(table, &each->handle);
        }
        EXPECT_FALSE(lock_table_is_used(table));
        lock_table_destroy(table);
    }
    polarys_code take(unsigned who, const std::string &key, lock_mode mode, bool waits = true,
                      uint64_t deadline_ns = 0, bool is_probe = false)
    {
        std::string bytes = tree_key(key);
        lock_wanted wanted{};
        wanted.range.start = slice_make(bytes.data(), bytes.size());
        wanted.is_key = true;
        return acquire(who, wanted, mode, waits, deadline_ns, is_probe);
    }
    polarys_code take_range(unsigned who, const std::string &start, const std::string &end,
                            lock_mode mode, bool waits = true, bool is_probe = false)
    {
        std::string from = tree_key(start);
        std::string to = tree_key(end);
        lock_wanted wanted{};
        wanted.range = {slice_make(from.data(), from.size()), slice_make(to.data(), to.size())};
        return acquire(who, wanted, mode, waits, 0, is_probe);
    }
    polarys_code acquire(unsigned who, lock_wanted wanted, lock_mode mode, bool waits,
                         uint64_t deadline_ns, bool is_probe)
    {
        wanted.mode = mode;
        wanted.is_probe = is_probe;
        wanted.deadline_ns = deadline_ns;
        wanted.done = waits ? owner::note : nullptr;
        wanted.context = owners[who].get();
        return lock_acquire(table, &owners[who]->handle, &wanted, nullptr);
    }
    void release(unsigned who)
    {
        lock_release_all(table, &owners[who]->handle);
    }
    int done(unsigned who)
    {
        return owners[who]->done_count;
    }

    struct lock_table *table = nullptr;
    std::vector<std::unique_ptr<owner>> owners;
};

} // namespace

TEST_F(LockTable, SharesWithReadersAndExcludesWriters)
{
    EXPECT_EQ(POLARYS_OK, take(0, "a", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_OK, take(1, "a", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(2, "a", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_OK, take(2, "b", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(0, "b", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(0, "a", LOCK_EXCLUSIVE, false));
    release(1);
    EXPECT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE, false)) << "an upgrade";
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "a", LOCK_SHARED, false));
}

TEST_F(LockTable, ALockHeldIsNotTakenTwice)
{
    EXPECT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_OK, take(0, "a", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(1u, owners[0]->handle.lock_count);
    EXPECT_EQ(POLARYS_OK, take_range(0, "m", "p", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_OK, take(0, "n", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_OK, take_range(0, "n", "o", LOCK_SHARED, false));
    EXPECT_EQ(2u, owners[0]->handle.lock_count);
}

TEST_F(LockTable, KeysAndRangesConflict)
{
    EXPECT_EQ(POLARYS_OK, take_range(0, "b", "d", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_OK, take(1, "a", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "b", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "c", LOCK_EXCLUSIVE, false));
    EXPECT_EQ(POLARYS_OK, take(1, "d", LOCK_EXCLUSIVE, false)) << "the end is not in it";
    EXPECT_EQ(POLARYS_OK, take(1, "c", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take_range(2, "c", "e", LOCK_SHARED, false)) << "over d";
    EXPECT_EQ(POLARYS_OK, take_range(2, "c", "d", LOCK_SHARED, false));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take_range(2, "a", "c", LOCK_EXCLUSIVE, false));
}

TEST_F(LockTable, GrantsInTheOrderOfAsking)
{
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "a", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(2, "a", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(3, "a", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(4, "a", LOCK_SHARED));
    release(0);
    EXPECT_EQ(1, done(1));
    EXPECT_EQ(1, done(2));
    EXPECT_EQ(0, done(3));
    EXPECT_EQ(0, done(4)) << "it stands behind a writer";
    release(1);
    EXPECT_EQ(0, done(3));
    release(2);
    EXPECT_EQ(1, done(3));
    EXPECT_EQ(0, done(4));
    release(3);
    EXPECT_EQ(1, done(4));
}

TEST_F(LockTable, AnUpgradePassesByThoseThatWaitForIt)
{
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "a", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE));
    release(0);
    EXPECT_EQ(1, done(1));
}

TEST_F(LockTable, AProbeIsToldAndHoldsNothing)
{
    EXPECT_EQ(POLARYS_OK, take(1, "a", LOCK_EXCLUSIVE, true, 0, true));
    EXPECT_FALSE(lock_table_is_used(table));
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "a", LOCK_EXCLUSIVE, true, 0, true));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(2, "a", LOCK_EXCLUSIVE));
    release(0);
    EXPECT_EQ(1, done(1));
    EXPECT_EQ(1, done(2));
    EXPECT_EQ(0u, owners[1]->handle.lock_count);
}

TEST_F(LockTable, EndsWaitsThatTakeTooLong)
{
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "a", LOCK_EXCLUSIVE, true, 100));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(2, "a", LOCK_SHARED, true, 200));
    lock_expire(table, 99);
    EXPECT_EQ(0, done(1));
    lock_expire(table, 100);
    EXPECT_EQ(1, done(1));
    EXPECT_EQ(POLARYS_LOCK_TIMEOUT, owners[1]->code);
    EXPECT_EQ(1, done(2)) << "it stood behind the writer only";
    EXPECT_EQ(POLARYS_OK, owners[2]->code);
}

TEST_F(LockTable, TheVictimHasDoneLeastAndTiesGoById)
{
    owners[0]->work = 5;
    owners[1]->work = 2;
    owners[2]->work = 2;
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE));
    ASSERT_EQ(POLARYS_OK, take(1, "b", LOCK_EXCLUSIVE));
    ASSERT_EQ(POLARYS_OK, take(2, "c", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(0, "b", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "c", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(2, "a", LOCK_SHARED));
    EXPECT_EQ(0, done(0));
    EXPECT_EQ(0, done(2));
    ASSERT_EQ(1, done(1));
    EXPECT_EQ(POLARYS_DEADLOCK, owners[1]->code);
    EXPECT_STREQ("3", polarys_error_detail_find(&owners[1]->error, "cycle_size"));
    const char *cycle = polarys_error_detail_find(&owners[1]->error, "cycle");
    ASSERT_NE(nullptr, cycle);
    EXPECT_EQ(32u * 3 + 2, strlen(cycle));
    release(1);
    EXPECT_EQ(1, done(0));
}

TEST_F(LockTable, WaitingBehindAWaiterCanCloseACircle)
{
    /* 2 waits for 0's lock and 1 stands behind 2: 0 waiting for 1 closes the circle over the queue. */
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_SHARED));
    ASSERT_EQ(POLARYS_OK, take(1, "b", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(2, "a", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "a", LOCK_SHARED));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(0, "b", LOCK_SHARED));
    EXPECT_EQ(1, done(0) + done(1) + done(2)) << "one of them gave way";
}

TEST_F(LockTable, AProbeInACircleGivesWayBeforeWhoHasDoneNothing)
{
    ASSERT_EQ(POLARYS_OK, take(0, "a", LOCK_EXCLUSIVE));
    ASSERT_EQ(POLARYS_OK, take(1, "x", LOCK_EXCLUSIVE));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take_range(2, "a", "c", LOCK_EXCLUSIVE, true, true));
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(1, "b", LOCK_EXCLUSIVE)) << "behind the probe";
    EXPECT_EQ(POLARYS_WOULD_BLOCK, take(0, "x", LOCK_EXCLUSIVE)) << "and so the circle is closed";
    ASSERT_EQ(1, done(2));
    EXPECT_EQ(POLARYS_DEADLOCK, owners[2]->code);
    ASSERT_EQ(1, done(1));
    EXPECT_EQ(POLARYS_OK, owners[1]->code);
    EXPECT_EQ(0, done(0)) << "it has the least id of the three, and waits on";
    lock_table_stats stats;
    lock_table_stats_get(table, &stats);
    EXPECT_EQ(0u, stats.deadlock_count);
}

/* A key (end == start) or a range that somebody holds or asks for. */
struct held {
    int start, end;
    lock_mode mode;

    bool conflicts(const held &other) const
    {
        int own_end = start == end ? start + 1 : end;
        int other_end = other.start == other.end ? other.start + 1 : other.end;
        return (mode == LOCK_EXCLUSIVE || other.mode == LOCK_EXCLUSIVE) && start < other_end &&
               other.start < own_end;
    }
};

/* What everybody should hold, by what they were told. */
class LockTableRandom : public LockTable {
  protected:
    void SetUp() override
    {
        LockTable::SetUp();
        sim_random_init(&random, sim_seed(21));
        model.resize(owners.size());
        wish.resize(owners.size());
        told.resize(owners.size(), 0);
    }

    void ask(unsigned who)
    {
        held h{};
        h.start = static_cast<int>(sim_random_below(&random, 9));
        h.end = sim_random_chance(&random, 4)
                    ? h.start + 1 + static_cast<int>(sim_random_below(&random, 3))
                    : h.start;
        h.mode = sim_random_chance(&random, 2) ? LOCK_SHARED : LOCK_EXCLUSIVE;
        owners[who]->work++;
        wish[who] = h;
        told[who] = owners[who]->done_count;
        std::string start(1, static_cast<char>('a' + h.start));
        std::string end(1, static_cast<char>('a' + h.end));
        polarys_code code =
            h.start == h.end ? take(who, start, h.mode) : take_range(who, start, end, h.mode);
        if (code == POLARYS_OK) {
            model[who].push_back(h);
        }
    }

    /* Who was told of a grant holds it; who was told of a deadlock gives all back. True when there was news. */
    bool news_take()
    {
        bool has_news = false;
        for (unsigned j = 0; j < owners.size(); j++) {
            if (owners[j]->done_count == told[j] || owners[j]->handle.waiting != nullptr) {
                continue;
            }
            told[j] = owners[j]->done_count;
            has_news = true;
            if (owners[j]->code == POLARYS_OK) {
                model[j].push_back(wish[j]);
                continue;
            }
            EXPECT_EQ(POLARYS_DEADLOCK, owners[j]->code);
            deadlocks++;
            model[j].clear();
            release(j);
        }
        return has_news;
    }

    void check()
    {
        size_t waiting = 0;
        for (unsigned a = 0; a < owners.size(); a++) {
            waiting += owners[a]->handle.waiting != nullptr ? 1 : 0;
            for (unsigned b = a + 1; b < owners.size(); b++) {
                for (const held &x : model[a]) {
                    for (const held &y : model[b]) {
                        ASSERT_FALSE(x.conflicts(y)) << a << " and " << b;
                    }
                }
            }
        }
        ASSERT_LT(waiting, owners.size()) << "all wait: a circle was missed";
    }

    sim_random random;
    std::vector<std::vector<held>> model;
    std::vector<held> wish;
    std::vector<int> told;
    uint64_t deadlocks = 0;
};

/* Whatever is asked for in whatever order, no two conflicting locks are held, and all waits end. */
TEST_F(LockTableRandom, KeepsItsRules)
{
    for (int i = 0; i < 30000; i++) {
        auto who = static_cast<unsigned>(sim_random_below(&random, owners.size()));
        if (owners[who]->handle.waiting != nullptr) {
            continue;
        }
        if (sim_random_chance(&random, 5)) {
            model[who].clear();
            release(who);
        } else {
            ask(who);
        }
        while (news_take()) {
        }
        check();
        ASSERT_FALSE(HasFailure()) << "at step " << i;
    }
    EXPECT_GT(deadlocks, 10u);
    lock_table_stats stats;
    lock_table_stats_get(table, &stats);
    EXPECT_EQ(deadlocks, stats.deadlock_count);
}

/* Threads that each lock two of a few keys: no count is lost, and nobody hangs. */
TEST_F(LockTable, CountsRightUnderThreads)
{
    enum { THREADS = 4, ROUNDS = 400, KEYS = 3 };
    uint64_t counters[KEYS] = {}; /* guarded by the locks alone */
    std::atomic<int> finished{0};
    auto work = [&](unsigned who) {
        owner &me = *owners[who];
        sim_random random;
        sim_random_init(&random, who + 1);
        for (int round = 0; round < ROUNDS;) {
            unsigned keys[2] = {static_cast<unsigned>(sim_random_below(&random, KEYS)),
                                static_cast<unsigned>(sim_random_below(&random, KEYS))};
            bool has_all = true;
            for (unsigned key : keys) {
                int before = me.done_count;
                polarys_code code = take(who, std::to_string(key), LOCK_EXCLUSIVE);
                while (code == POLARYS_WOULD_BLOCK && me.done_count == before) {
                    std::this_thread::yield();
                }
                has_all = has_all && (code == POLARYS_OK || me.code == POLARYS_OK);
                if (!has_all) {
                    break;
                }
            }
            if (has_all) {
                counters[keys[0]]++;
                counters[keys[1]]++;
                round++;
            }
            release(who);
        }
        finished++;
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < THREADS; i++) {
        threads.emplace_back(work, i);
    }
    for (auto &each : threads) {
        each.join();
    }
    EXPECT_EQ(THREADS, finished);
    EXPECT_EQ(2u * THREADS * ROUNDS, counters[0] + counters[1] + counters[2]);
}
