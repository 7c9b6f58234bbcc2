/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power loss at every input and output point of flush, compaction and the manifest's roll-over, under
 * every policy of the simulated disk.
 *
 * Oracle, outside the disk: what is read after recovery is exactly the state at the flushed version that
 * the tree reports; that version is not below any that was reported as flushed before; replaying the rest
 * gives the full state; opening twice gives the same.
 */
#include <gtest/gtest.h>

#include <map>

#include "engine/base/log.h"
#include "tests/unit/compaction/tree_world.h"

namespace {

struct Operation {
    uint64_t version;
    entry_kind kind;
    std::string key;
    std::string value;
};

enum { ROUNDS = 15, ROUND_OPERATIONS = 40, KEYS = 120 };

/* The same for a seed: puts, deletes and range deletes. */
std::vector<Operation> make_operations(uint64_t seed)
{
    sim_random random;
    sim_random_init(&random, seed);
    std::vector<Operation> operations;
    for (uint64_t version = 1; version <= ROUNDS * ROUND_OPERATIONS; version++) {
        uint64_t kind = sim_random_below(&random, 20);
        unsigned number = static_cast<unsigned>(sim_random_below(&random, KEYS));
        if (kind < 15) {
            operations.push_back({version, ENTRY_PUT, key_of(number),
                                  "secret" + std::to_string(version) +
                                      std::string(sim_random_below(&random, 150), 'x')});
        } else if (kind < 19) {
            operations.push_back({version, ENTRY_DELETE, key_of(number), ""});
        } else {
            operations.push_back(
                {version, ENTRY_RANGE_DELETE, key_of(number), key_of(number + 15)});
        }
    }
    return operations;
}

TreeWorld::Rows state_at(const std::vector<Operation> &operations, uint64_t version)
{
    std::map<std::string, std::string> state;
    for (const Operation &operation : operations) {
        if (operation.version > version) {
            break;
        }
        if (operation.kind == ENTRY_PUT) {
            state[operation.key] = operation.value;
        } else if (operation.kind == ENTRY_DELETE) {
            state.erase(operation.key);
        } else {
            state.erase(state.lower_bound(operation.key), state.lower_bound(operation.value));
        }
    }
    return TreeWorld::Rows(state.begin(), state.end());
}

/* Inserts what lies above `from`, flushing after every round; false at the first error. */
bool play(TreeWorld &world, const std::vector<Operation> &operations, uint64_t from, uint64_t to)
{
    for (const Operation &operation : operations) {
        if (operation.version <= from || operation.version > to) {
            continue;
        }
        if (world.insert(operation.version, operation.kind, operation.key, operation.value) !=
            POLARYS_OK) {
            return false;
        }
        if (operation.version % ROUND_OPERATIONS == 0 &&
            (world.flush() != POLARYS_OK ||
             (operation.version % (2 * ROUND_OPERATIONS) == 0 && world.idle() != POLARYS_OK))) {
            return false;
        }
    }
    return true;
}

/* Everything, with a clean reopen in the middle (the manifest rolls over) and a full compaction. */
bool run_workload(TreeWorld &world, const std::vector<Operation> &operations)
{
    uint64_t half = (ROUNDS / 2) * ROUND_OPERATIONS;
    if (world.open() != POLARYS_OK || !play(world, operations, 0, half)) {
        return false;
    }
    world.close();
    return world.open() == POLARYS_OK && play(world, operations, half, UINT64_MAX) &&
           world.compact_all() == POLARYS_OK && world.idle() == POLARYS_OK;
}

void make_small(TreeWorld &world)
{
    world.base_options.level1_bytes = 2 << 10;
    world.base_options.file_bytes = 2 << 10;
    polarys_log_level_set(POLARYS_LOG_OFF); /* failures are what is asked for */
}

/* A keyring that is durable already: its own crash tests are its module's. */
void prepare(TreeWorld &world)
{
    make_small(world);
    ASSERT_EQ(world.create_ring(), POLARYS_OK) << world.err.message;
    world.close();
    sim_disk_settle(world.disk);
}

void check_recovery(TreeWorld &world, const std::vector<Operation> &operations,
                    uint64_t flushed_before)
{
    ASSERT_EQ(world.open(), POLARYS_OK) << world.err.message;
    uint64_t flushed = tree_flushed_version(world.tree);
    ASSERT_GE(flushed, flushed_before);
    ASSERT_EQ(world.scan(VERSION_MAX, true), state_at(operations, flushed));
    ASSERT_EQ(world.code, POLARYS_OK) << world.err.message;

    world.close();
    ASSERT_EQ(world.open(), POLARYS_OK) << world.err.message;
    ASSERT_EQ(tree_flushed_version(world.tree), flushed);
    ASSERT_TRUE(play(world, operations, flushed, UINT64_MAX)) << world.err.message;
    ASSERT_EQ(world.idle(), POLARYS_OK) << world.err.message;
    ASSERT_EQ(world.scan(VERSION_MAX, false).size(), state_at(operations, UINT64_MAX).size());
    ASSERT_EQ(world.scan(VERSION_MAX, true), state_at(operations, UINT64_MAX));
}

uint64_t count_points(uint64_t seed, const std::vector<Operation> &operations)
{
    TreeWorld world(seed);
    prepare(world);
    uint64_t before = sim_disk_operation_count(world.disk);
    EXPECT_TRUE(run_workload(world, operations)) << world.err.message;
    uint64_t points = sim_disk_operation_count(world.disk) - before;
    EXPECT_EQ(world.scan(VERSION_MAX, true), state_at(operations, UINT64_MAX));
    EXPECT_GT(world.stats().compaction_count, 3u);
    return points;
}

/* One outcome of the power loss that `disk` (taken over) has just had: perhaps another one while
 * recovering, then the check. */
void check_outcome(uint64_t seed, sim_disk *take_disk, const std::vector<Operation> &operations,
                   uint64_t n, sim_crash_policy policy, uint64_t flushed)
{
    TreeWorld world(seed, take_disk);
    make_small(world);
    sim_disk_crash(world.disk, policy);
    if (n % 3 == 0) {
        sim_disk_crash_at(world.disk, 1 + n % 17);
        (void)run_workload(world, operations);
        world.close();
        flushed = std::max(flushed, world.flushed_version);
        sim_disk_crash(world.disk, policy);
    }
    check_recovery(world, operations, flushed);
}

/* Crashes at point `n`; where chance decides what is left, looks at several outcomes. */
void crash_at(uint64_t seed, const std::vector<Operation> &operations, uint64_t n,
              sim_crash_policy policy, bool is_stale)
{
    SCOPED_TRACE("seed " + std::to_string(seed) + " point " + std::to_string(n) + " policy " +
                 std::to_string(policy));
    TreeWorld world(seed);
    prepare(world);
    sim_disk_stale_set(world.disk, is_stale);
    sim_disk_crash_at(world.disk, n);
    (void)run_workload(world, operations);
    world.close();
    ASSERT_TRUE(sim_disk_is_dead(world.disk));
    bool is_chance = policy == SIM_CRASH_PREFIX || policy == SIM_CRASH_RANDOM;
    for (uint64_t outcome = 0; outcome < (is_chance ? 4u : 1u); outcome++) {
        check_outcome(seed, sim_disk_clone(world.disk, seed + 1000 * n + outcome), operations, n,
                      policy, world.flushed_version);
    }
}

} // namespace

class TreeCrash : public testing::TestWithParam<sim_crash_policy> {};

TEST_P(TreeCrash, LeavesTheStateOfTheFlushedVersionAtEveryPoint)
{
    uint64_t seed = sim_seed(7);
    std::vector<Operation> operations = make_operations(seed);
    uint64_t points = count_points(seed, operations);
    for (uint64_t n = 1; n <= points && !HasFatalFailure(); n++) {
        crash_at(seed, operations, n, GetParam(), n % 2 == 0);
    }
    RecordProperty("crash_points", static_cast<int>(points));
    printf("[          ] %llu crash points\n", static_cast<unsigned long long>(points));
}

INSTANTIATE_TEST_SUITE_P(Policies, TreeCrash,
                         testing::Values(SIM_CRASH_KEEP_ALL, SIM_CRASH_DROP_ALL, SIM_CRASH_PREFIX,
                                         SIM_CRASH_RANDOM));

TEST(TreeFault, LosesNothingWhenAnyCallFails)
{
    uint64_t seed = sim_seed(11);
    std::vector<Operation> operations = make_operations(seed);
    uint64_t points = count_points(seed, operations);
    for (sim_fault_kind kind : {SIM_FAULT_EIO, SIM_FAULT_SYNC}) {
        for (uint64_t n = 1; n <= points && !HasFatalFailure(); n++) {
            SCOPED_TRACE("fault " + std::to_string(kind) + " at " + std::to_string(n));
            TreeWorld world(seed);
            prepare(world);
            sim_disk_fail_at(world.disk, n, kind);
            (void)run_workload(world, operations);
            bool has_failed = sim_disk_fault_count(world.disk) > 0;
            sim_disk_fail_at(world.disk, 0, kind);
            world.close();
            uint64_t flushed = world.flushed_version;
            sim_disk_crash(world.disk, SIM_CRASH_RANDOM);
            check_recovery(world, operations, flushed);
            if (!has_failed) {
                break;
            }
        }
    }
}

TEST(TreeFault, GoesOnByItselfWhenSpaceReturns)
{
    uint64_t seed = sim_seed(13);
    std::vector<Operation> operations = make_operations(seed);
    uint64_t points = count_points(seed, operations);
    uint64_t refused = 0;
    for (uint64_t n = 1; n <= points && !HasFatalFailure(); n += 1) {
        SCOPED_TRACE("no space from call " + std::to_string(n));
        TreeWorld world(seed);
        prepare(world);
        ASSERT_EQ(world.open(), POLARYS_OK) << world.err.message;
        sim_disk_fail_from(world.disk, n, SIM_FAULT_ENOSPC);
        bool is_done = play(world, operations, 0, UINT64_MAX);
        if (is_done) {
            break;
        }
        refused++;
        ASSERT_EQ(world.err.code, POLARYS_DISK_LOW) << world.err.message;
        ASSERT_FALSE(world.failures.empty());
        /* What is there can still be read. */
        ASSERT_EQ(world.scan(VERSION_MAX, true), state_at(operations, world.last_version));
        sim_disk_fail_from(world.disk, 0, SIM_FAULT_ENOSPC);
        sim_executor_run_for(world.executor, 5000000000);
        uint64_t last = world.last_version;
        ASSERT_EQ(world.flush(), POLARYS_OK) << world.err.message;
        ASSERT_TRUE(play(world, operations, last, UINT64_MAX)) << world.err.message;
        ASSERT_EQ(world.idle(), POLARYS_OK) << world.err.message;
        ASSERT_EQ(world.scan(VERSION_MAX, true), state_at(operations, UINT64_MAX));
        uint64_t flushed = world.flushed_version;
        world.close();
        sim_disk_crash(world.disk, SIM_CRASH_DROP_ALL);
        check_recovery(world, operations, flushed);
    }
    EXPECT_GT(refused, 20u);
}
