/* SPDX-License-Identifier: Apache-2.0 */
/* What the tree does where the disk, or the number of open files, sets a limit. */
#include <gtest/gtest.h>

#include "engine/base/log.h"
#include "tests/unit/compaction/tree_world.h"

namespace {

std::string value_of(unsigned number)
{
    return "value" + std::to_string(number) + std::string(100, 'v');
}

class TreeLimits : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_log_level_set(POLARYS_LOG_OFF);
        ASSERT_EQ(world.open(), POLARYS_OK) << world.err.message;
    }
    /* `count` puts of keys first.. at versions that follow the last one. */
    void fill(unsigned first, unsigned count)
    {
        for (unsigned i = first; i < first + count; i++) {
            ASSERT_EQ(world.put(world.last_version + 1, key_of(i), value_of(i)), POLARYS_OK)
                << world.err.message;
        }
    }
    TreeWorld world{1};
};

/* Deletes come this way: the store tells them from puts and refuses those. */
TEST_F(TreeLimits, TakesWritesWhileTheDiskIsFullAsLongAsMemtablesHoldThem)
{
    fill(0, 100);
    sim_disk_fail_from(world.disk, 1, SIM_FAULT_ENOSPC);
    ASSERT_EQ(tree_memtable_switch(world.tree, &world.err), POLARYS_OK);
    EXPECT_EQ(tree_flush_wait(world.tree, 100, &world.err), POLARYS_DISK_LOW);
    ASSERT_EQ(world.remove(101, key_of(5)), POLARYS_OK) << world.err.message;
    EXPECT_EQ(world.get(key_of(5)), "<none>");
    std::string large(MEMTABLE_BYTES_MIN / 4, 'x');
    unsigned taken = 0;
    enum polarys_code code = POLARYS_OK;
    for (; code == POLARYS_OK && taken < 100; taken++) {
        code = world.put(102 + taken, key_of(1000 + taken), large);
    }
    EXPECT_EQ(code, POLARYS_DISK_LOW) << "not WOULD_BLOCK: no room will be made soon";
    EXPECT_GT(world.err.retry_after_ms, 0u);
    EXPECT_GT(taken, 8u);
    tree_stats stats;
    tree_stats_get(world.tree, &stats);
    EXPECT_LE(stats.memtable_count, TREE_IMMUTABLE_MEMTABLES_MAX + 1u);
    sim_disk_fail_from(world.disk, 0, SIM_FAULT_ENOSPC);
    sim_executor_run_for(world.executor, 3000000000);
    EXPECT_EQ(world.put(500, key_of(6), "new"), POLARYS_OK) << world.err.message;
    EXPECT_EQ(world.get(key_of(5)), "<none>");
    EXPECT_GE(tree_flushed_version(world.tree), 101u);
}

TEST_F(TreeLimits, AnOldSnapshotSeesItsOwnVersionsBehindManyNewerOnes)
{
    world.history_start = 1;
    fill(0, 20);
    uint64_t snapshot = world.last_version;
    for (unsigned round = 0; round < 60; round++) {
        fill(0, 10);           /* much newer than the snapshot; keys 10 to 19 are not touched */
        fill(1000 + round, 1); /* keys that the snapshot has not got, one version each */
    }
    ASSERT_EQ(world.remove(world.last_version + 1, key_of(3)), POLARYS_OK);
    for (bool is_flushed : {false, true}) {
        if (is_flushed) {
            ASSERT_EQ(world.flush(), POLARYS_OK);
        }
        auto then = world.scan(snapshot, true);
        ASSERT_EQ(then.size(), 20u);
        for (unsigned i = 0; i < 20; i++) {
            EXPECT_EQ(then[i].first, key_of(i));
            EXPECT_EQ(then[i].second, value_of(i));
        }
        EXPECT_EQ(world.scan(snapshot, false).size(), 20u);
        EXPECT_EQ(world.scan(VERSION_MAX, true).size(), 79u);
    }
}

TEST_F(TreeLimits, KeepsTheNumberOfOpenFilesBoundedAndReadsThemAll)
{
    world.close();
    world.base_options.table_files_max = 3;
    ASSERT_EQ(world.open(), POLARYS_OK);
    for (unsigned i = 0; i < 20; i++) {
        fill(100 * i, 100);
        ASSERT_EQ(world.flush(), POLARYS_OK);
    }
    ASSERT_EQ(world.idle(), POLARYS_OK);
    tree_stats stats;
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2000; i += 7) {
            ASSERT_EQ(world.get(key_of(i)), value_of(i));
            tree_stats_get(world.tree, &stats);
            ASSERT_LE(stats.table_files_open, 3u);
        }
        EXPECT_EQ(world.scan(VERSION_MAX, true).size(), 2000u);
    }
    uint64_t file_count = 0;
    for (const tree_level_stats &level : stats.levels) {
        file_count += level.file_count;
    }
    EXPECT_GT(file_count, 10u) << "or there was nothing to bound";
    EXPECT_GT(stats.table_files_open, 0u);
}

} // namespace
