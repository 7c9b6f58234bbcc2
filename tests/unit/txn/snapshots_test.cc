/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and the history window, on a clock that the test moves. */
#include "engine/txn/snapshots.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sim_clock.h"
#include <gtest/gtest.h>

namespace {

constexpr uint64_t MS = 1000000;

class Snapshots : public ::testing::Test {
  protected:
    struct sim_clock clock;
    struct snapshots_options options = {};
    struct snapshots *snapshots = nullptr;
    struct polarys_error err = {};
    uint64_t version = 0;
    std::vector<uint64_t> kept;
    uint64_t history_start = 0;

    void SetUp() override
    {
        sim_clock_init(&clock);
        options.clock = &clock.base;
        options.history_keep_ms = 10000;
        options.history_keep_bytes = 1 << 20;
    }

    void TearDown() override
    {
        snapshots_close(snapshots);
    }

    void open()
    {
        snapshots_close(snapshots);
        ASSERT_EQ(snapshots_open(&options, &snapshots, &err), POLARYS_OK);
    }

    void commit(uint64_t bytes = 10)
    {
        snapshots_note_commit(snapshots, ++version, clock_wall_ms(&clock.base), bytes);
    }

    /* A commit a step of 100 ms. */
    void commits(int count, uint64_t bytes = 10)
    {
        for (int i = 0; i < count; i++) {
            sim_clock_advance(&clock, 100 * MS);
            commit(bytes);
        }
    }

    void retain(size_t versions_max = SNAPSHOTS_MAX)
    {
        kept.assign(SNAPSHOTS_MAX, 0);
        kept.resize(snapshots_retention(snapshots, kept.data(), versions_max, &history_start));
    }

    uint64_t lease(uint64_t at, uint64_t lease_ms = 0)
    {
        uint64_t id = 0;
        EXPECT_EQ(snapshot_acquire(snapshots, at, lease_ms, &id, &err), POLARYS_OK) << err.message;
        EXPECT_NE(id, 0u);
        return id;
    }

    enum polarys_code try_lease(uint64_t at)
    {
        uint64_t id = 0;
        return snapshot_acquire(snapshots, at, 0, &id, &err);
    }
};

} // namespace

TEST_F(Snapshots, ListsLeasedVersionsAscendingAndOnce)
{
    open();
    commits(50);
    lease(30), lease(10), lease(30), lease(20);
    retain();
    EXPECT_EQ(kept, (std::vector<uint64_t>{10, 20, 30}));
}

TEST_F(Snapshots, ForgetsAReleasedLease)
{
    open();
    commits(5);
    uint64_t id = lease(3);
    snapshot_release(snapshots, id);
    snapshot_release(snapshots, id);
    snapshot_release(snapshots, 12345);
    retain();
    EXPECT_TRUE(kept.empty());
    EXPECT_EQ(snapshot_renew(snapshots, id, 0, &err), POLARYS_CURSOR_EXPIRED);
}

TEST_F(Snapshots, TellsAnOldIdFromTheLeaseThatTookItsPlace)
{
    open();
    commits(5);
    uint64_t old_id = lease(3);
    snapshot_release(snapshots, old_id);
    uint64_t new_id = lease(4);
    EXPECT_NE(old_id, new_id);
    snapshot_release(snapshots, old_id);
    retain();
    EXPECT_EQ(kept, (std::vector<uint64_t>{4}));
}

TEST_F(Snapshots, EndsALeaseThatIsNotRenewed)
{
    open();
    commits(5);
    uint64_t brief = lease(3, 1000);
    uint64_t renewed = lease(4, 1000);
    sim_clock_advance(&clock, 999 * MS);
    EXPECT_EQ(snapshot_renew(snapshots, renewed, 1000, &err), POLARYS_OK);
    sim_clock_advance(&clock, 1 * MS);
    EXPECT_EQ(snapshot_renew(snapshots, brief, 1000, &err), POLARYS_CURSOR_EXPIRED);
    retain();
    EXPECT_EQ(kept, (std::vector<uint64_t>{4}));
}

TEST_F(Snapshots, CutsALeaseAtTheLongestOne)
{
    open();
    commits(1);
    uint64_t id = lease(1, UINT64_MAX);
    sim_clock_advance(&clock, (SNAPSHOT_LEASE_MAX_MS - 1) * MS);
    EXPECT_EQ(snapshot_renew(snapshots, id, 0, &err), POLARYS_OK);
    sim_clock_advance(&clock, SNAPSHOT_LEASE_DEFAULT_MS * MS);
    EXPECT_EQ(snapshot_renew(snapshots, id, 0, &err), POLARYS_CURSOR_EXPIRED);
}

TEST_F(Snapshots, RefusesMoreLeasesThanItsLimit)
{
    open();
    commits(1);
    for (int i = 0; i < SNAPSHOTS_MAX; i++) {
        lease(1, 1000);
    }
    EXPECT_EQ(try_lease(1), POLARYS_TOO_MANY_CALLS);
    EXPECT_STREQ(polarys_error_detail_find(&err, "limit"), "4096");
    /* Ended ones make room without waiting for a compaction. */
    sim_clock_advance(&clock, 1000 * MS);
    EXPECT_EQ(try_lease(1), POLARYS_OK);
}

TEST_F(Snapshots, KeepsTheWindowOfTime)
{
    open();
    commits(300); /* 30 s; 10 s are kept */
    retain();
    EXPECT_EQ(history_start, 200u);
    EXPECT_EQ(snapshots_check(snapshots, 200, &err), POLARYS_OK);
    EXPECT_EQ(snapshots_check(snapshots, 199, &err), POLARYS_HISTORY_PRUNED);
    EXPECT_STREQ(polarys_error_detail_find(&err, "history_start"), "200");
    EXPECT_EQ(try_lease(199), POLARYS_HISTORY_PRUNED);
    /* What was current at the beginning of the window can be read, however old it is. */
    sim_clock_advance(&clock, 60000 * MS);
    retain();
    EXPECT_EQ(history_start, 300u);
    EXPECT_EQ(snapshots_check(snapshots, 300, &err), POLARYS_OK);
}

TEST_F(Snapshots, KeepsNoMoreBytesThanTheWindowHas)
{
    options.history_keep_bytes = 1000;
    open();
    commits(50, 100);
    retain();
    EXPECT_EQ(history_start, 40u);
    /* All at once, between two samples. */
    commit(100000);
    retain();
    EXPECT_EQ(history_start, version);
}

TEST_F(Snapshots, KeepsNoHistoryWhenToldSo)
{
    options.history_keep_ms = 0;
    open();
    commits(20);
    retain();
    EXPECT_EQ(history_start, 20u);
    EXPECT_EQ(snapshots_check(snapshots, 20, &err), POLARYS_OK);
    EXPECT_EQ(snapshots_check(snapshots, 19, &err), POLARYS_HISTORY_PRUNED);
}

TEST_F(Snapshots, MovesTheWindowOnlyWhenCompactionAsksAndOnlyForward)
{
    open();
    commits(300);
    EXPECT_EQ(snapshots_check(snapshots, 1, &err), POLARYS_OK);
    retain();
    uint64_t before = history_start;
    sim_clock_step_wall(&clock, -60000);
    retain();
    EXPECT_EQ(history_start, before);
    EXPECT_EQ(snapshots_check(snapshots, before, &err), POLARYS_OK);
}

TEST_F(Snapshots, LetsALeasedVersionBeLeasedAgainBelowTheWindow)
{
    open();
    commits(10);
    uint64_t id = lease(5, 3600000);
    commits(300);
    retain();
    EXPECT_GT(history_start, 5u);
    EXPECT_EQ(snapshots_check(snapshots, 5, &err), POLARYS_HISTORY_PRUNED);
    EXPECT_EQ(try_lease(5), POLARYS_OK);
    EXPECT_EQ(try_lease(6), POLARYS_HISTORY_PRUNED);
    snapshot_release(snapshots, id);
    retain();
    EXPECT_EQ(kept, (std::vector<uint64_t>{5}));
}

TEST_F(Snapshots, KeepsByTheWindowWhatItCannotList)
{
    options.history_keep_ms = 0;
    open();
    commits(100);
    for (uint64_t at : {100, 99, 98, 97}) {
        commits(0);
        lease(at);
    }
    commits(100);
    retain(2);
    EXPECT_EQ(kept, (std::vector<uint64_t>{97, 98}));
    EXPECT_EQ(history_start, 99u);
    struct snapshots_stats stats;
    snapshots_stats_get(snapshots, &stats);
    EXPECT_EQ(stats.history_start, 200u);
}

TEST_F(Snapshots, BeginsWithWhatTheManifestHas)
{
    struct version_time times[] = {{100, 1000}, {200, 2000}, {300, 3000}};
    options.times = times;
    options.time_count = 3;
    options.history_start = 150;
    open();
    EXPECT_EQ(snapshots_check(snapshots, 149, &err), POLARYS_HISTORY_PRUNED);
    EXPECT_EQ(snapshots_check(snapshots, 150, &err), POLARYS_OK);
    EXPECT_EQ(snapshots_time_of(snapshots, 250), 2000u);
    EXPECT_EQ(snapshots_time_of(snapshots, 99), 0u);
    EXPECT_EQ(snapshots_version_at(snapshots, 2999), 200u);
    EXPECT_EQ(snapshots_version_at(snapshots, 999), 0u);
    /* Replayed commits below the newest sample change nothing. */
    snapshots_note_commit(snapshots, 250, 2500, 10);
    EXPECT_EQ(snapshots_time_of(snapshots, 260), 2000u);
    snapshots_note_commit(snapshots, 301, 3050, 10); /* too soon for a sample of its own */
    EXPECT_EQ(snapshots_time_of(snapshots, 400), 3000u);
    snapshots_note_commit(snapshots, 302, 3150, 10);
    EXPECT_EQ(snapshots_time_of(snapshots, 400), 3150u);
}

TEST_F(Snapshots, NamesTheOldestLeaseInItsFigures)
{
    open();
    commits(10);
    lease(7);
    sim_clock_advance(&clock, 500 * MS);
    lease(4);
    sim_clock_advance(&clock, 500 * MS);
    struct snapshots_stats stats;
    snapshots_stats_get(snapshots, &stats);
    EXPECT_EQ(stats.lease_count, 2u);
    EXPECT_EQ(stats.oldest_lease_version, 4u);
    EXPECT_EQ(stats.oldest_lease_age_ms, 1000u);
}

/* A model of compaction, through reopenings: whatever is reported as readable has never been dropped. */
class SnapshotsModel : public Snapshots {
  protected:
    uint64_t random = 42;
    uint64_t dropped_below = 0;        /* every version below may be gone ... */
    std::set<uint64_t> spared;         /* ... but these, listed at each compaction since */
    std::map<uint64_t, uint64_t> held; /* lease -> version */

    uint64_t next(uint64_t below)
    {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return (random >> 33) % below;
    }

    uint64_t some_version()
    {
        return version - next(version / 2 + 1);
    }

    bool is_there(uint64_t at)
    {
        return at >= dropped_below || spared.count(at) != 0;
    }

    void acquire()
    {
        uint64_t at = some_version();
        uint64_t id = 0;
        if (at > 0 && snapshot_acquire(snapshots, at, 1 + next(3000), &id, &err) == POLARYS_OK) {
            ASSERT_TRUE(is_there(at)) << at;
            held[id] = at;
        }
    }

    void renew_all()
    {
        for (auto it = held.begin(); it != held.end();) {
            if (snapshot_renew(snapshots, it->first, 1 + next(3000), &err) != POLARYS_OK) {
                it = held.erase(it);
                continue;
            }
            ASSERT_TRUE(is_there(it->second)) << it->second;
            ++it;
        }
    }

    void compact()
    {
        retain();
        for (uint64_t at : kept) {
            ASSERT_TRUE(is_there(at)) << at;
        }
        spared = std::set<uint64_t>(kept.begin(), kept.end());
        dropped_below = std::max(dropped_below, history_start);
    }

    void check()
    {
        uint64_t at = some_version();
        if (snapshots_check(snapshots, at, &err) == POLARYS_OK) {
            ASSERT_GE(at, dropped_below);
        }
    }

    /* The manifest has the start of the last compaction that dropped anything, and one sample. */
    void reopen()
    {
        struct version_time newest = {version, clock_wall_ms(&clock.base)};
        options.history_start = dropped_below;
        options.times = &newest;
        options.time_count = version > 0 ? 1 : 0;
        held.clear();
        open();
    }
};

TEST_F(SnapshotsModel, ReportsNothingReadableThatCompactionCouldHaveDropped)
{
    options.history_keep_ms = 2000;
    options.history_keep_bytes = 400;
    open();
    for (int step = 0; step < 4000; step++) {
        sim_clock_advance(&clock, next(150) * MS);
        switch (next(8)) {
        case 0:
            acquire();
            break;
        case 1:
            renew_all();
            break;
        case 2:
            compact();
            break;
        case 3:
            check();
            break;
        case 4:
            if (next(20) == 0) {
                reopen();
            }
            break;
        default:
            commit(next(40));
        }
    }
    EXPECT_GT(dropped_below, 100u);
}

TEST_F(Snapshots, ServesManyThreads)
{
    open();
    commits(10);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&] {
            for (int i = 0; i < 500; i++) {
                struct polarys_error local = {};
                uint64_t id = 0;
                ASSERT_EQ(snapshot_acquire(snapshots, 10, 0, &id, &local), POLARYS_OK);
                ASSERT_EQ(snapshots_check(snapshots, 10, &local), POLARYS_OK);
                ASSERT_EQ(snapshot_renew(snapshots, id, 0, &local), POLARYS_OK);
                snapshot_release(snapshots, id);
            }
        });
    }
    std::vector<uint64_t> listed(SNAPSHOTS_MAX);
    for (int i = 0; i < 50; i++) {
        uint64_t start;
        EXPECT_LE(snapshots_retention(snapshots, listed.data(), listed.size(), &start), 1u);
    }
    for (auto &thread : threads) {
        thread.join();
    }
    retain();
    EXPECT_TRUE(kept.empty());
}
