/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log under power loss at every call to the disk, with every policy of what a loss leaves, and again
 * during the recovery from it.
 *
 * Oracle, kept outside the disk: which versions were appended, and which of those appends returned. What
 * recovery finds is a prefix of the former that holds all of the latter.
 */
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

/* What a run has promised. */
struct promises {
    uint64_t appended = 0;     /* the newest version whose append began */
    uint64_t acknowledged = 0; /* the newest version whose append returned */
    uint64_t flushed = 0;      /* versions that the log may have dropped */
};

size_t size_of(uint64_t version)
{
    static const size_t sizes[] = {10, 5000, 200000, 60000, 400000, 1, 4016, 4017, 1100000};
    return sizes[version % (sizeof(sizes) / sizeof(sizes[0]))];
}

/*
 * Recovers, appends, prunes and closes, several times over, until it is done or the power fails. Returns
 * false on anything that a power loss does not explain.
 */
bool run(world &w, promises &p, int rounds)
{
    struct polarys_error err = {};
    for (int round = 0; round < rounds; round++) {
        recovered r = w.recover(p.flushed);
        if (r.code != POLARYS_OK) {
            EXPECT_TRUE(sim_disk_is_dead(w.disk)) << r.err.message;
            return sim_disk_is_dead(w.disk);
        }
        struct wal *wal = nullptr;
        if (w.try_open(r.recovery.end, p.appended + 1, &wal, &err) != POLARYS_OK) {
            EXPECT_TRUE(sim_disk_is_dead(w.disk)) << err.message;
            return sim_disk_is_dead(w.disk);
        }
        for (int i = 0; i < 5; i++) {
            uint64_t version = p.appended + 1;
            p.appended = version;
            if (append(wal, version, payload_of(version, size_of(version)), &err) != POLARYS_OK) {
                break;
            }
            p.acknowledged = version;
            if (i % 2 == 0) {
                (void)sim_executor_run_one(w.executor);
            }
        }
        if (!sim_disk_is_dead(w.disk)) {
            uint64_t flushed = p.acknowledged - 2;
            (void)wal_prune(wal, flushed, &err);
            p.flushed = flushed;
        }
        wal_close(wal);
        if (sim_disk_is_dead(w.disk)) {
            return true;
        }
    }
    return true;
}

/* Holds what recovery finds against the promises; gives back what it found. */
recovered check(world &w, const promises &p, const std::string &where)
{
    recovered r = w.recover(p.flushed);
    EXPECT_EQ(POLARYS_OK, r.code) << where << ": " << r.err.message;
    uint64_t expected = p.flushed + 1;
    for (const seen_frame &frame : r.frames) {
        EXPECT_EQ(expected, frame.first_version) << where;
        EXPECT_EQ(payload_of(expected, size_of(expected)), frame.payload) << where;
        expected = frame.first_version + 1;
    }
    EXPECT_GE(expected - 1, p.acknowledged) << where << ": an acknowledged frame is lost";
    EXPECT_LE(expected - 1, p.appended) << where << ": a frame that nobody wrote";
    /* What is left of the log below that has no gaps either: segments go one after the other. */
    recovered whole = w.recover(0);
    EXPECT_EQ(POLARYS_OK, whole.code) << where << ": " << whole.err.message;
    return r;
}

/* A copy of the world at a moment of power loss, with one of its outcomes. */
std::unique_ptr<world> lose_power(const world &w, enum sim_crash_policy policy, bool is_stale,
                                  uint64_t seed)
{
    struct sim_disk *disk = sim_disk_clone(w.disk, seed);
    sim_disk_stale_set(disk, is_stale);
    sim_disk_crash(disk, policy);
    auto after = std::make_unique<world>(disk, seed);
    after->sync_mode = w.sync_mode;
    after->attach();
    return after;
}

class WalCrash : public ::testing::TestWithParam<enum wal_sync_mode> {
  protected:
    /* A fresh world whose power fails at the n-th call of the workload; false when it never does. */
    bool crash_at(uint64_t n, int rounds, std::unique_ptr<world> &w, promises &p)
    {
        w = std::make_unique<world>(sim_disk_create(seed + n), seed);
        w->create();
        w->sync_mode = GetParam();
        sim_disk_crash_at(w->disk, n);
        EXPECT_TRUE(run(*w, p, rounds));
        return sim_disk_is_dead(w->disk);
    }
    const uint64_t seed = sim_seed(20260101);
    /* `make test` takes a third of the second runs, `make test-long` all. */
    const uint64_t stride = getenv("POLARYS_TEST_LONG") == nullptr ? 3 : 1;
};

TEST_P(WalCrash, KeepsWhatWasAcknowledgedAtEveryPoint)
{
    uint64_t outcomes = 0;
    std::unique_ptr<world> w;
    uint64_t n = 1;
    for (;; n++) {
        promises p;
        if (!crash_at(n, 3, w, p) || HasFailure()) {
            break;
        }
        for (int policy = 0; policy < SIM_CRASH_POLICY_COUNT; policy++) {
            for (bool is_stale : {false, true}) {
                std::string where = "seed " + std::to_string(seed) + " point " + std::to_string(n) +
                                    " policy " + std::to_string(policy) +
                                    (is_stale ? " stale" : "");
                auto after = lose_power(*w, static_cast<enum sim_crash_policy>(policy), is_stale,
                                        seed * 31 + n);
                recovered r = check(*after, p, where);
                outcomes++;
                if (outcomes % stride != 0) {
                    ASSERT_FALSE(HasFailure()) << where;
                    continue;
                }
                /* The next run goes on from there, and what it finds is the same once more. */
                promises next = p;
                next.appended =
                    r.recovery.last_version > p.flushed ? r.recovery.last_version : p.flushed;
                next.acknowledged = next.appended;
                ASSERT_TRUE(run(*after, next, 1)) << where;
                check(*after, next, where + " continued");
                ASSERT_FALSE(HasFailure()) << where;
            }
        }
    }
    RecordProperty("crash_points", static_cast<int>(n - 1));
    RecordProperty("outcomes", static_cast<int>(outcomes));
    printf("%llu crash points, %llu outcomes\n", static_cast<unsigned long long>(n - 1),
           static_cast<unsigned long long>(outcomes));
    EXPECT_GT(n, 60u);
}

TEST_P(WalCrash, SurvivesCrashesDuringRecoveryInARow)
{
    uint64_t outcomes = 0;
    std::unique_ptr<world> w;
    for (uint64_t n = 3;; n += 5 * stride) {
        promises p;
        if (!crash_at(n, 2, w, p) || HasFailure()) {
            break;
        }
        for (uint64_t m = 1;; m += 2) {
            std::string where = "seed " + std::to_string(seed) + " points " + std::to_string(n) +
                                ", " + std::to_string(m);
            auto after = lose_power(*w, SIM_CRASH_RANDOM, m % 4 == 1, seed + n * 1000 + m);
            promises next = p;
            recovered r = check(*after, p, where);
            next.appended =
                r.recovery.last_version > p.flushed ? r.recovery.last_version : p.flushed;
            next.acknowledged = next.appended;
            sim_disk_crash_at(after->disk, m);
            ASSERT_TRUE(run(*after, next, 1)) << where;
            if (!sim_disk_is_dead(after->disk)) {
                break;
            }
            auto third = lose_power(*after, SIM_CRASH_RANDOM, m % 4 == 3, seed + n + m);
            check(*third, next, where);
            ASSERT_FALSE(HasFailure()) << where;
            outcomes++;
        }
    }
    printf("%llu outcomes\n", static_cast<unsigned long long>(outcomes));
    EXPECT_GT(outcomes, 60u);
}

/* A process that is killed leaves its writes in the page cache: they are read, and lost later. */
TEST_P(WalCrash, KeepsFramesThatARecoveryHasReadFromTheCacheOnly)
{
    std::unique_ptr<world> w;
    for (uint64_t n = 1;; n++) {
        promises p;
        if (!crash_at(n, 2, w, p) || HasFailure()) {
            break;
        }
        /* The clone keeps what is pending: the process is gone, the machine is not. */
        struct sim_disk *disk = sim_disk_clone(w->disk, seed + n);
        world after(disk, seed + n);
        after.sync_mode = GetParam();
        after.attach();
        std::string where = "seed " + std::to_string(seed) + " point " + std::to_string(n);
        recovered r = check(after, p, where);
        struct wal *wal = after.open(r.recovery.end, p.appended + 1);
        ASSERT_NE(nullptr, wal);
        sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
        wal_close(wal);
        promises next = p;
        next.acknowledged =
            r.recovery.last_version > p.flushed ? r.recovery.last_version : p.flushed;
        check(after, next, where);
        ASSERT_FALSE(HasFailure()) << where;
    }
}

/* To the disk O_DIRECT is O_DSYNC. */
INSTANTIATE_TEST_SUITE_P(Modes, WalCrash, ::testing::Values(WAL_SYNC_FDATASYNC, WAL_SYNC_DSYNC));

} // namespace
} // namespace wal_test
