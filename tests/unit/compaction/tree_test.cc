/* SPDX-License-Identifier: Apache-2.0 */
/* What the tree promises its owner, one promise a test. */
#include <gtest/gtest.h>

#include "engine/base/log.h"
#include "tests/support/fault_alloc.h"
#include "tests/unit/compaction/tree_world.h"

namespace {

std::string value_of(unsigned number, size_t size = 100)
{
    return "value" + std::to_string(number) + std::string(size, 'v');
}

} // namespace

class Tree : public testing::Test {
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
    std::vector<std::string> table_files(const char *dir = "/s")
    {
        std::vector<std::string> names;
        EXPECT_EQ(vfs_list_dir(
                      sim_disk_vfs(world.disk), dir,
                      [](void *context, const char *name) {
                          uint64_t file_id;
                          if (table_file_name_parse(name, &file_id)) {
                              static_cast<std::vector<std::string> *>(context)->push_back(name);
                          }
                      },
                      &names, &world.err),
                  POLARYS_OK);
        return names;
    }
    uint64_t file_count()
    {
        tree_stats stats = world.stats();
        uint64_t count = 0;
        for (const tree_level_stats &level : stats.levels) {
            count += level.file_count;
        }
        return count;
    }
    /* Makes the only table file's bytes wrong everywhere but in the first 128. */
    void damage_tables()
    {
        sim_disk_settle(world.disk);
        for (const std::string &name : table_files()) {
            std::string path = "/s/" + name;
            uint64_t size = 0;
            ASSERT_TRUE(sim_disk_file_size(world.disk, path.c_str(), &size));
            for (uint64_t at = 128; at < size; at += 16) {
                ASSERT_TRUE(sim_disk_file_flip(world.disk, path.c_str(), at, 0x40));
            }
        }
    }

    TreeWorld world{42};
};

TEST_F(Tree, FindsNothingWhenEmpty)
{
    EXPECT_EQ(world.get(key_of(1)), "<none>");
    EXPECT_TRUE(world.scan(VERSION_MAX, true).empty());
    EXPECT_TRUE(world.scan(VERSION_MAX, false).empty());
    EXPECT_EQ(tree_flushed_version(world.tree), 0u);
    EXPECT_EQ(world.flush(), POLARYS_OK);
    EXPECT_EQ(world.compact_all(), POLARYS_OK);
}

TEST_F(Tree, SeesVersionsAsOfTheSnapshotAcrossMemtableAndFile)
{
    world.history_start = 1;
    ASSERT_EQ(world.put(1, key_of(5), "one"), POLARYS_OK);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.remove(2, key_of(5)), POLARYS_OK);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.put(3, key_of(5), "three"), POLARYS_OK);
    EXPECT_EQ(world.get(key_of(5), 0), "<none>");
    EXPECT_EQ(world.get(key_of(5), 1), "one");
    EXPECT_EQ(world.get(key_of(5), 2), "<none>");
    EXPECT_EQ(world.get(key_of(5), 3), "three");
    EXPECT_EQ(world.get(key_of(5)), "three");
}

TEST_F(Tree, HidesWithARangeDeleteOnlyWhatIsOlder)
{
    world.history_start = 1;
    fill(0, 10);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.remove_range(20, key_of(2), key_of(5)), POLARYS_OK);
    ASSERT_EQ(world.put(20, key_of(4), "same commit"), POLARYS_OK);
    ASSERT_EQ(world.put(21, key_of(3), "later"), POLARYS_OK);
    for (int place = 0; place < 3; place++) { /* memtable, level 0, last level */
        EXPECT_EQ(world.get(key_of(1)), value_of(1));
        EXPECT_EQ(world.get(key_of(2)), "<none>");
        EXPECT_EQ(world.get(key_of(2), 19), value_of(2));
        EXPECT_EQ(world.get(key_of(3), 20), "<none>");
        EXPECT_EQ(world.get(key_of(3)), "later");
        EXPECT_EQ(world.get(key_of(4)), "same commit");
        EXPECT_EQ(world.get(key_of(5)), value_of(5));
        EXPECT_EQ(world.scan(VERSION_MAX, true).size(), 9u);
        EXPECT_EQ(world.scan(VERSION_MAX, false).size(), 9u);
        EXPECT_EQ(world.scan(19, true).size(), 10u);
        ASSERT_EQ(place == 0 ? world.flush() : world.compact_all(), POLARYS_OK);
    }
}

TEST_F(Tree, KeepsAValuePinnedWhileItsFileGoes)
{
    fill(0, 50);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    tree_value value = {};
    ASSERT_EQ(tree_get(world.tree, slice_of(key_of(7)), VERSION_MAX, 0, &value, &world.err),
              POLARYS_OK);
    ASSERT_EQ(world.remove_range(100, key_of(0), key_of(90)), POLARYS_OK);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    EXPECT_TRUE(table_files().empty());
    EXPECT_EQ(text_of(value.bytes), value_of(7));
    tree_value_release(&value);
    EXPECT_EQ(world.get(key_of(7)), "<none>");
}

TEST_F(Tree, KeepsFilesOnDiskForAnIteratorAndRemovesThemAfterIt)
{
    fill(0, 50);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    entry_iterator *iterator = nullptr;
    ASSERT_EQ(tree_iterator_create(world.tree, slice_make(nullptr, 0), slice_make(nullptr, 0), 50,
                                   0, &iterator, &world.err),
              POLARYS_OK);
    ASSERT_EQ(world.remove_range(100, key_of(0), key_of(90)), POLARYS_OK);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    EXPECT_FALSE(table_files().empty());
    unsigned count = 0;
    for (entry_iterator_seek_first(iterator); iterator->is_valid; entry_iterator_next(iterator)) {
        count++;
    }
    EXPECT_EQ(count, 50u);
    entry_iterator_destroy(iterator);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    EXPECT_TRUE(table_files().empty());
}

TEST_F(Tree, AnswersFromMemoryOnlyOrSaysItWouldBlock)
{
    fill(0, 50);
    EXPECT_EQ(world.get(key_of(7), VERSION_MAX, TREE_READ_MEMORY_ONLY), value_of(7));
    ASSERT_EQ(world.flush(), POLARYS_OK);
    EXPECT_EQ(world.get(key_of(7), VERSION_MAX, TREE_READ_MEMORY_ONLY), "<WOULD_BLOCK>");
    EXPECT_EQ(world.get(key_of(7)), value_of(7));
    EXPECT_EQ(world.get(key_of(7), VERSION_MAX, TREE_READ_MEMORY_ONLY), value_of(7));
    EXPECT_EQ(world.get(key_of(999), VERSION_MAX, TREE_READ_MEMORY_ONLY), "<none>")
        << "outside every file";
}

TEST_F(Tree, KeepsIteratorsWithinTheirBounds)
{
    fill(0, 100);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    fill(50, 100);
    EXPECT_EQ(world.scan(VERSION_MAX, true, key_of(40), key_of(60)).size(), 20u);
    EXPECT_EQ(world.scan(VERSION_MAX, false, key_of(40), key_of(60)).size(), 20u);
    EXPECT_EQ(world.scan(VERSION_MAX, false, key_of(40), key_of(60)).front().first, key_of(59));
    EXPECT_EQ(world.scan(VERSION_MAX, true, key_of(140)).size(), 10u);
    EXPECT_TRUE(world.scan(VERSION_MAX, true, key_of(60), key_of(60)).empty());
    entry_iterator *iterator = nullptr;
    std::string start = key_of(40);
    ASSERT_EQ(tree_iterator_create(world.tree, slice_of(start), slice_make(nullptr, 0), VERSION_MAX,
                                   0, &iterator, &world.err),
              POLARYS_OK);
    entry_iterator_seek(iterator, slice_of(key_of(3)), VERSION_MAX);
    ASSERT_TRUE(iterator->is_valid);
    EXPECT_EQ(text_of(iterator->entry.key), key_of(40));
    entry_iterator_previous(iterator);
    EXPECT_FALSE(iterator->is_valid);
    EXPECT_EQ(iterator->code, POLARYS_OK);
    entry_iterator_destroy(iterator);
}

/* ---- writing ---- */

TEST_F(Tree, SwitchesTheMemtableWhenItIsFullAndFlushesInTheBackground)
{
    fill(0, 4000);
    EXPECT_GT(tree_flushed_version(world.tree), 0u);
    EXPECT_EQ(world.flushed_version, tree_flushed_version(world.tree));
    EXPECT_GT(world.room_made_count, 0u);
    for (unsigned i = 0; i < 4000; i += 37) {
        ASSERT_EQ(world.get(key_of(i)), value_of(i));
    }
}

TEST_F(Tree, FlushesNothingThatTheLogDoesNotHold)
{
    fill(0, 10);
    world.durable_version = world.last_version - 1;
    ASSERT_EQ(tree_memtable_switch(world.tree, &world.err), POLARYS_OK) << world.err.message;
    for (int i = 0; i < 100; i++) {
        sim_executor_run_one(world.executor);
    }
    EXPECT_EQ(tree_flushed_version(world.tree), 0u);
    EXPECT_EQ(file_count(), 0u);
    world.durable_version = world.last_version;
    ASSERT_EQ(tree_flush_wait(world.tree, world.last_version, &world.err), POLARYS_OK)
        << world.err.message;
    EXPECT_EQ(file_count(), 1u);
    EXPECT_EQ(world.get(key_of(9)), value_of(9));
}

TEST_F(Tree, RefusesRoomWhileTooManyMemtablesWaitThenSaysThatThereIsRoom)
{
    tree_background_pause(world.tree);
    enum polarys_code code = POLARYS_OK;
    for (unsigned i = 0; i < 5000 && code == POLARYS_OK; i++) {
        std::string key = key_of(i);
        std::string value = value_of(i);
        code = tree_reserve(world.tree, memtable_entry_bytes_max(key.size(), value.size()), 0,
                            &world.err);
        if (code == POLARYS_OK) {
            entry entry = {slice_of(key), slice_of(value), i + 1, ENTRY_PUT};
            tree_insert(world.tree, &entry);
        }
    }
    EXPECT_EQ(code, POLARYS_WOULD_BLOCK);
    EXPECT_EQ(world.stats().memtable_count, 1u + TREE_IMMUTABLE_MEMTABLES_MAX);
    EXPECT_LT(tree_write_rate(world.tree), UINT64_MAX);
    EXPECT_GT(tree_write_rate(world.tree), 0u);
    EXPECT_EQ(world.room_made_count, 0u);
    tree_background_resume(world.tree);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    EXPECT_GT(world.room_made_count, 0u);
    EXPECT_EQ(tree_write_rate(world.tree), UINT64_MAX);
    EXPECT_EQ(tree_reserve(world.tree, 1000, 0, &world.err), POLARYS_OK);
    EXPECT_EQ(world.stats().memtable_count, 2u) << "the full one waits for a flush";
}

TEST_F(Tree, MakesAMemtableToMeasureForALargeBatch)
{
    fill(0, 10);
    std::string value(300 << 10, 'b');
    ASSERT_EQ(world.put(world.last_version + 1, key_of(1), value), POLARYS_OK) << world.err.message;
    EXPECT_EQ(world.get(key_of(1)), value);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    EXPECT_EQ(world.get(key_of(1)), value);
    EXPECT_EQ(tree_reserve(world.tree, static_cast<size_t>(3) << 30, 0, &world.err),
              POLARYS_TOO_LARGE);
    EXPECT_EQ(tree_reserve(world.tree, 100, MEMTABLE_RANGE_DELETES_MAX + 1, &world.err),
              POLARYS_TOO_LARGE);
}

TEST_F(Tree, TellsTheNewestVersionAboveItsFloor)
{
    fill(0, 10);
    EXPECT_EQ(tree_memtable_floor(world.tree), 0u);
    EXPECT_EQ(tree_newest_version(world.tree, slice_of(key_of(3))), 4u);
    EXPECT_EQ(tree_newest_version(world.tree, slice_of(key_of(77))), 0u);
    ASSERT_EQ(world.remove_range(20, key_of(2), key_of(4)), POLARYS_OK);
    EXPECT_EQ(tree_newest_version(world.tree, slice_of(key_of(3))), 20u);
    EXPECT_EQ(tree_newest_version_in_range(world.tree, slice_of(key_of(3)), slice_of(key_of(9)), 0),
              20u);
    EXPECT_EQ(
        tree_newest_version_in_range(world.tree, slice_of(key_of(3)), slice_of(key_of(9)), 20), 0u);
    EXPECT_EQ(tree_newest_version_in_range(world.tree, slice_of(key_of(4)), slice_of(key_of(6)), 0),
              6u);
    /* A flush beside the validator: what it was told stays true until it asks for the floor anew. */
    uint64_t floor = tree_memtable_floor(world.tree);
    ASSERT_EQ(tree_memtable_switch(world.tree, &world.err), POLARYS_OK);
    sim_executor_run_all(world.executor);
    ASSERT_EQ(tree_flushed_version(world.tree), 20u);
    EXPECT_EQ(floor, 0u);
    EXPECT_EQ(tree_newest_version(world.tree, slice_of(key_of(3))), 20u);
    EXPECT_EQ(tree_memtable_floor(world.tree), 20u);
    EXPECT_EQ(tree_newest_version(world.tree, slice_of(key_of(3))), 0u);
}

/* ---- compaction ---- */

TEST_F(Tree, MovesLoadsInOrderDownWithoutRewritingThem)
{
    fill(0, 6000);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    tree_stats stats = world.stats();
    EXPECT_GT(stats.compaction_count, 0u);
    EXPECT_EQ(stats.compaction_bytes_written, 0u);
    EXPECT_LT(stats.levels[0].file_count, 12u);
    EXPECT_EQ(world.scan(VERSION_MAX, true).size(), 6000u);
}

TEST_F(Tree, KeepsLevelsWithinTheirTargets)
{
    world.base_options.zstd_level_last = 0; /* these values would shrink to nothing */
    ASSERT_EQ(world.open(), POLARYS_OK);
    sim_random random;
    sim_random_init(&random, 3);
    for (unsigned i = 0; i < 12000; i++) {
        unsigned number = static_cast<unsigned>(sim_random_below(&random, 4000));
        ASSERT_EQ(world.put(world.last_version + 1, key_of(number), value_of(i)), POLARYS_OK);
        if (i % 500 == 0) {
            ASSERT_EQ(world.idle(), POLARYS_OK);
        }
    }
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    tree_stats stats = world.stats();
    EXPECT_LT(stats.levels[0].file_count, static_cast<uint64_t>(TREE_LEVEL0_COMPACT_FILES));
    unsigned used = 0;
    for (uint32_t level = 1; level < MANIFEST_LEVELS; level++) {
        used += stats.levels[level].file_count > 0;
        if (level + 1 < MANIFEST_LEVELS) {
            EXPECT_LE(stats.levels[level].bytes, stats.levels[level].target_bytes) << level;
        }
    }
    EXPECT_GE(used, 2u);
    EXPECT_EQ(stats.compaction_debt_bytes, 0u);
}

TEST_F(Tree, LetsGoOfWhatNoReaderCanName)
{
    world.history_start = 1; /* keep all */
    for (unsigned round = 0; round < 5; round++) {
        fill(0, 100);
        ASSERT_EQ(world.flush(), POLARYS_OK);
    }
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    EXPECT_EQ(world.stats().levels[6].entry_count, 500u);
    EXPECT_EQ(tree_history_start(world.tree), 0u);
    world.snapshots = {150};
    world.history_start = 450;
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    /* Keys 0-49: as of 150, of 450, and what came after. Keys 50-99: the same. */
    EXPECT_EQ(world.stats().levels[6].entry_count, 250u);
    EXPECT_EQ(tree_history_start(world.tree), 450u);
    world.close();
    ASSERT_EQ(world.open(), POLARYS_OK);
    EXPECT_EQ(tree_history_start(world.tree), 450u);
    world.snapshots.clear();
    world.history_start = 500;
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    EXPECT_EQ(world.stats().levels[6].entry_count, 100u);
}

TEST_F(Tree, RemovesFilesOfDeletesByItself)
{
    world.history_start = VERSION_MAX;
    fill(0, 1500);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    for (unsigned i = 0; i < 1500; i++) {
        ASSERT_EQ(world.remove(world.last_version + 1, key_of(i)), POLARYS_OK);
        if (i % 300 == 299) {
            ASSERT_EQ(world.flush(), POLARYS_OK);
        }
    }
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    EXPECT_TRUE(world.scan(VERSION_MAX, true).empty());
    EXPECT_LE(world.stats().levels[6].entry_count, 300u);
}

TEST_F(Tree, CompactsARangeAndLeavesTheRest)
{
    fill(0, 3000);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    std::vector<std::string> before = table_files();
    std::sort(before.begin(), before.end());
    ASSERT_EQ(
        tree_compact_range(world.tree, slice_of(key_of(10)), slice_of(key_of(20)), &world.err),
        POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    std::vector<std::string> after = table_files();
    std::sort(after.begin(), after.end());
    std::vector<std::string> kept;
    std::set_intersection(before.begin(), before.end(), after.begin(), after.end(),
                          std::back_inserter(kept));
    EXPECT_EQ(kept.size() + 1, before.size());
}

TEST_F(Tree, EstimatesTheBytesOfARange)
{
    fill(0, 3000);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    uint64_t all = 0;
    uint64_t part = 0;
    ASSERT_EQ(tree_range_bytes(world.tree, slice_make(nullptr, 0), slice_make(nullptr, 0), &all,
                               &world.err),
              POLARYS_OK);
    ASSERT_EQ(tree_range_bytes(world.tree, slice_of(key_of(1000)), slice_of(key_of(1300)), &part,
                               &world.err),
              POLARYS_OK)
        << world.err.message;
    EXPECT_EQ(all, world.stats().levels[6].bytes);
    EXPECT_GT(part, all / 20);
    EXPECT_LT(part, all / 5);
}

/* ---- opening, checkpoints ---- */

TEST_F(Tree, RemovesTablesThatTheManifestDoesNotNameAtOpen)
{
    fill(0, 100);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    sim_disk_settle(world.disk);
    std::vector<std::string> before = table_files();
    world.close();
    ASSERT_TRUE(sim_disk_file_copy(world.disk, ("/s/" + before[0]).c_str(), "/s/0000000000ff.sst"));
    ASSERT_EQ(world.open(), POLARYS_OK);
    EXPECT_EQ(table_files(), before);
}

TEST_F(Tree, RefusesToOpenWithoutATableThatTheManifestNames)
{
    fill(0, 100);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    sim_disk_settle(world.disk);
    std::string name = table_files()[0];
    world.close();
    ASSERT_TRUE(sim_disk_file_remove(world.disk, ("/s/" + name).c_str()));
    EXPECT_EQ(world.open(), POLARYS_CORRUPT);
    EXPECT_STREQ(polarys_error_detail_find(&world.err, "file"), name.c_str());
}

TEST_F(Tree, MakesACheckpointThatStaysAsItWas)
{
    fill(0, 500);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    uint64_t version = 0;
    ASSERT_EQ(tree_checkpoint(world.tree, "/copy", &version, &world.err), POLARYS_OK)
        << world.err.message;
    EXPECT_EQ(version, 500u);
    EXPECT_EQ(tree_checkpoint(world.tree, "/copy", &version, &world.err), POLARYS_BAD_ARGUMENT);
    ASSERT_EQ(world.remove_range(1000, key_of(0), key_of(500)), POLARYS_OK);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    ASSERT_EQ(world.compact_all(), POLARYS_OK);
    ASSERT_EQ(world.idle(), POLARYS_OK);
    EXPECT_TRUE(table_files().empty());

    manifest_options options = {};
    options.vfs = sim_disk_vfs(world.disk);
    options.dir = "/copy";
    options.keyring = world.keyring;
    options.random = &world.random.base;
    struct manifest *manifest = nullptr;
    ASSERT_EQ(manifest_open(&options, &manifest, &world.err), POLARYS_OK) << world.err.message;
    tree_options tree_opts = TreeWorld::small_options();
    tree_opts.env = {options.vfs, "/copy", options.keyring, options.random, nullptr, nullptr};
    ASSERT_EQ(block_cache_create(1 << 20, &tree_opts.env.cache, &world.err), POLARYS_OK);
    tree_opts.manifest = manifest;
    tree_opts.executor = sim_executor_base(world.executor);
    struct tree *copy = nullptr;
    ASSERT_EQ(tree_open(&tree_opts, &copy, &world.err), POLARYS_OK) << world.err.message;
    std::swap(copy, world.tree);
    EXPECT_EQ(world.scan(VERSION_MAX, true).size(), 500u);
    EXPECT_EQ(world.get(key_of(123)), value_of(123));
    std::swap(copy, world.tree);
    tree_close(copy);
    block_cache_destroy(tree_opts.env.cache);
}

TEST_F(Tree, KeepsTheOwnersEditsAndTheTimesOfFlushes)
{
    manifest_edit edit = {};
    edit.has_origin = true;
    edit.term = 9;
    ASSERT_EQ(tree_manifest_append(world.tree, &edit, &world.err), POLARYS_OK);
    fill(0, 10);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    const manifest_state *state = manifest_state_get(world.manifest);
    EXPECT_EQ(state->term, 9u);
    ASSERT_EQ(state->time_count, 1u);
    EXPECT_EQ(state->times[0].version, 10u);
    EXPECT_EQ(state->times[0].time_unix_ms, 1010u);
}

/* ---- failures ---- */

TEST_F(Tree, ReportsDamageWithTheFileAndServesNothingFromIt)
{
    fill(0, 300);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    world.close();
    damage_tables();
    ASSERT_EQ(world.open(), POLARYS_OK) << "tables are opened on first use";
    std::string found = world.get(key_of(7));
    EXPECT_TRUE(found == "<CORRUPT>" || found == "<TAMPERED>") << found;
    EXPECT_NE(polarys_error_detail_find(&world.err, "file"), nullptr);
    EXPECT_TRUE(world.scan(VERSION_MAX, true).empty());
    EXPECT_NE(world.code, POLARYS_OK);
}

TEST_F(Tree, StopsWritesForGoodWhenCompactionMeetsDamage)
{
    fill(0, 300);
    ASSERT_EQ(world.flush(), POLARYS_OK);
    world.close();
    damage_tables();
    ASSERT_EQ(world.open(), POLARYS_OK);
    EXPECT_NE(world.compact_all(), POLARYS_OK);
    ASSERT_EQ(world.failures.size(), 1u);
    EXPECT_NE(tree_reserve(world.tree, 100, 0, &world.err), POLARYS_OK);
    EXPECT_NE(world.idle(), POLARYS_OK);
    EXPECT_EQ(world.get(key_of(999)), "<none>") << "reads go on";
}

TEST_F(Tree, GoesOnByItselfAfterTheDiskWasFull)
{
    fill(0, 100);
    sim_disk_fail_from(world.disk, 1, SIM_FAULT_ENOSPC);
    ASSERT_EQ(tree_memtable_switch(world.tree, &world.err), POLARYS_OK);
    EXPECT_EQ(tree_flush_wait(world.tree, 100, &world.err), POLARYS_DISK_LOW);
    EXPECT_GT(world.err.retry_after_ms, 0u);
    sim_executor_run_for(world.executor, 3000000000);
    EXPECT_EQ(world.failures, std::vector<enum polarys_code>{POLARYS_DISK_LOW}) << "told once";
    EXPECT_EQ(world.get(key_of(5)), value_of(5));
    uint64_t room_before = world.room_made_count;
    sim_disk_fail_from(world.disk, 0, SIM_FAULT_ENOSPC);
    sim_executor_run_for(world.executor, 3000000000);
    EXPECT_GT(world.room_made_count, room_before);
    EXPECT_EQ(tree_reserve(world.tree, 100, 0, &world.err), POLARYS_OK) << world.err.message;
    EXPECT_EQ(tree_flushed_version(world.tree), 100u);
}

TEST_F(Tree, ClosesWhileWorkIsQueued)
{
    fill(0, 3000);
    ASSERT_EQ(tree_memtable_switch(world.tree, &world.err), POLARYS_OK);
    world.close();
    ASSERT_EQ(world.open(), POLARYS_OK);
    uint64_t flushed = tree_flushed_version(world.tree);
    EXPECT_EQ(world.scan(VERSION_MAX, true).size(), flushed);
}

TEST_F(Tree, RecoversFromAnyAllocationFailing)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    uint64_t failed = 1;
    for (uint64_t n = 1; failed > 0; n++) {
        SCOPED_TRACE(n);
        TreeWorld fresh(n);
        ASSERT_EQ(fresh.open(), POLARYS_OK);
        for (unsigned i = 0; i < 60; i++) {
            ASSERT_EQ(fresh.put(i + 1, key_of(i), value_of(i)), POLARYS_OK);
        }
        ASSERT_EQ(fresh.remove_range(61, key_of(10), key_of(20)), POLARYS_OK);
        fault_alloc_fail_at(n);
        enum polarys_code code = fresh.flush();
        if (code == POLARYS_OK) {
            code = fresh.compact_all();
        }
        if (code == POLARYS_OK) {
            (void)fresh.scan(VERSION_MAX, true);
            code = fresh.code;
        }
        failed = fault_alloc_disarm();
        ASSERT_TRUE(code == POLARYS_OK || code == POLARYS_NO_MEMORY) << fresh.err.message;
        sim_executor_run_for(fresh.executor, 3000000000);
        ASSERT_EQ(fresh.flush(), POLARYS_OK) << fresh.err.message;
        ASSERT_EQ(fresh.compact_all(), POLARYS_OK) << fresh.err.message;
        ASSERT_EQ(fresh.scan(VERSION_MAX, true).size(), 50u) << fresh.err.message;
        ASSERT_EQ(fresh.code, POLARYS_OK);
        ASSERT_LT(n, 2000u);
    }
}
