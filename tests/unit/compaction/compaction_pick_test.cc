/* SPDX-License-Identifier: Apache-2.0 */
/* Level targets, and which files are picked. */
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/compaction/compaction_pick.h"

namespace {

class Arrangement {
  public:
    ~Arrangement()
    {
        if (levels != nullptr && tree_levels_unref(levels)) {
            for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
                for (size_t i = 0; i < levels->counts[level]; i++) {
                    drop(levels->files[level][i]);
                }
                free(levels->files[level]);
            }
            free(levels);
        }
        for (tree_placed_file &placed : files) {
            drop(placed.file);
        }
        for (buffer &cursor : cursors) {
            buffer_deinit(&cursor);
        }
    }
    tree_file *add(uint32_t level, uint64_t id, const std::string &smallest,
                   const std::string &largest, uint64_t bytes = 100)
    {
        table_meta meta = {};
        meta.file_id = id;
        meta.file_bytes = bytes;
        meta.entry_count = 100;
        meta.oldest_version = 1;
        meta.newest_version = id;
        meta.key_id = 1;
        EXPECT_EQ(buffer_append(&meta.smallest_key, smallest.data(), smallest.size()), POLARYS_OK);
        EXPECT_EQ(buffer_append(&meta.largest_key, largest.data(), largest.size()), POLARYS_OK);
        tree_file *file = nullptr;
        EXPECT_EQ(tree_file_create(&meta, 0, &file), POLARYS_OK);
        table_meta_deinit(&meta);
        files.push_back({level, file});
        return file;
    }
    void build()
    {
        ASSERT_EQ(
            tree_levels_derive(nullptr, nullptr, 0, files.data(), files.size(), &shape, &levels),
            POLARYS_OK);
        wish.shape = &shape;
        wish.cursors = cursors;
        wish.needed_version_min = 1000;
        wish.key_id = 1;
    }
    /* Ids of the picked files, upper level first. */
    std::vector<uint64_t> pick()
    {
        std::vector<uint64_t> ids;
        EXPECT_EQ(compaction_pick_next(levels, &wish, &picked), POLARYS_OK);
        for (int which = 0; which < 2; which++) {
            for (size_t i = 0; i < picked.counts[which]; i++) {
                ids.push_back(picked.inputs[which][i]->meta.file_id);
            }
        }
        reason = picked.reason;
        output_level = picked.output_level;
        is_move = picked.is_move;
        compaction_pick_deinit(&picked);
        return ids;
    }

    tree_shape shape = {1000, 100, 250};
    std::vector<tree_placed_file> files;
    tree_levels *levels = nullptr;
    buffer cursors[MANIFEST_LEVELS] = {};
    compaction_wish wish = {};
    compaction_pick picked = {};
    compaction_reason reason = COMPACTION_NONE;
    uint32_t output_level = 0;
    bool is_move = false;

  private:
    static void drop(tree_file *file)
    {
        if (tree_file_unref(file)) {
            tree_file_destroy(file);
        }
    }
};

using Ids = std::vector<uint64_t>;

} // namespace

TEST(TreeLevels, StartsAtTheLastLevelAndAddsLevelsAboveAsItGrows)
{
    Arrangement empty;
    empty.build();
    EXPECT_EQ(empty.levels->base_level, 6u);
    Arrangement large;
    large.add(6, 1, "a", "m", 150000);
    large.build();
    EXPECT_EQ(large.levels->base_level, 3u);
    EXPECT_EQ(large.levels->targets[6], 150000u);
    EXPECT_EQ(large.levels->targets[5], 25000u);
    EXPECT_EQ(large.levels->targets[4], 4166u);
    EXPECT_EQ(large.levels->targets[3], 694u);
}

TEST(TreeLevels, AddsALevelOnlyWhenTheLastOneIsSeveralBatchesLarge)
{
    for (uint64_t size : {100u, 500u, 1000u}) {
        Arrangement a;
        a.add(6, 1, "a", "m", size);
        a.build();
        EXPECT_EQ(a.levels->base_level, 6u) << size;
    }
    Arrangement a;
    a.add(6, 1, "a", "m", 1001);
    a.build();
    EXPECT_EQ(a.levels->base_level, 5u);
    EXPECT_EQ(a.levels->targets[5], 500u) << "two batches at least, or it would not be worth it";
}

TEST(TreeLevels, KeepsTheBaseBetweenTwoAndFourBatchesAndTheRatioAtTenAtMost)
{
    for (uint64_t size = 1001; size < uint64_t{1} << 40; size += size / 7) {
        Arrangement a;
        a.add(6, 1, "a", "m", size);
        a.build();
        const tree_levels *levels = a.levels;
        uint64_t base = levels->targets[levels->base_level];
        if (levels->base_level > 1) {
            EXPECT_LE(base, 1000u) << size;
        }
        EXPECT_GE(base, 250u) << size;
        for (uint32_t level = levels->base_level; level < 6; level++) {
            EXPECT_LE(levels->targets[level + 1], 10 * levels->targets[level] + 10) << size;
            EXPECT_GE(levels->targets[level + 1], 2 * levels->targets[level]) << size;
        }
    }
}

TEST(TreeLevels, WaitsWithLevelZeroWhileLittleWouldGoIntoMuch)
{
    Arrangement little;
    Arrangement enough;
    little.add(6, 1, "a", "z", 900);
    enough.add(6, 1, "a", "z", 900);
    for (uint64_t id = 10; id < 14; id++) {
        little.add(0, id, "c", "h", 100);
        enough.add(0, id, "c", "h", 120);
    }
    little.build();
    enough.build();
    EXPECT_EQ(little.pick(), Ids{});
    EXPECT_EQ(enough.pick(), (Ids{13, 12, 11, 10, 1}));
    Arrangement many;
    many.add(6, 1, "a", "z", 900);
    for (uint64_t id = 10; id < 18; id++) {
        many.add(0, id, "c", "h", 1);
    }
    many.build();
    EXPECT_EQ(many.pick().size(), 9u) << "eight files are enough whatever they hold";
}

TEST(TreeLevels, NeverPassesByALevelThatStillHasFiles)
{
    Arrangement shrunk;
    shrunk.add(4, 1, "a", "b", 10);
    shrunk.add(6, 2, "a", "m", 100);
    shrunk.build();
    EXPECT_EQ(shrunk.levels->base_level, 4u);
    EXPECT_GE(shrunk.levels->scores[4], 1.0) << "what is left above the base has to go down";
    EXPECT_EQ(shrunk.pick(), (Ids{1}));
    EXPECT_EQ(shrunk.output_level, 5u) << "level by level";
}

TEST(TreeLevels, OrdersLevelZeroNewestFirstAndFindsFilesByKey)
{
    Arrangement a;
    a.add(0, 3, "a", "z");
    a.add(0, 9, "a", "z");
    a.add(0, 5, "a", "z");
    tree_file *low = a.add(2, 20, "c", "f");
    tree_file *high = a.add(2, 21, "f", "k");
    a.build();
    EXPECT_EQ(a.levels->files[0][0]->meta.file_id, 9u);
    EXPECT_EQ(a.levels->files[0][2]->meta.file_id, 3u);
    auto find = [&](const char *key) {
        return tree_levels_file_find(a.levels, 2, slice_from_text(key));
    };
    EXPECT_EQ(find("b"), nullptr);
    EXPECT_EQ(find("c"), low);
    EXPECT_EQ(find("e"), low);
    EXPECT_EQ(find("f"), high) << "where files touch the later one has the key";
    EXPECT_EQ(find("k"), high);
    EXPECT_EQ(find("l"), nullptr);
    EXPECT_TRUE(tree_levels_overlap(a.levels, 1, slice_from_text("a"), slice_from_text("c")));
    EXPECT_FALSE(tree_levels_overlap(a.levels, 1, slice_from_text("a"), slice_from_text("b")));
    EXPECT_FALSE(tree_levels_overlap(a.levels, 3, slice_from_text("a"), slice_from_text("z")));
}

TEST(CompactionPick, PicksNothingWhenNothingIsDue)
{
    Arrangement a;
    a.add(0, 1, "a", "z", 10);
    a.add(6, 2, "a", "z", 100);
    a.build();
    EXPECT_EQ(a.pick(), Ids{});
    EXPECT_EQ(a.reason, COMPACTION_NONE);
}

TEST(CompactionPick, TakesAllOfLevelZeroWithWhatItOverlaps)
{
    Arrangement a;
    for (uint64_t id = 10; id < 14; id++) {
        a.add(0, id, "c", "h", 60);
    }
    a.add(6, 1, "a", "b");
    a.add(6, 2, "b5", "d");
    a.add(6, 3, "g", "k");
    a.add(6, 4, "l", "z");
    a.build();
    EXPECT_EQ(a.pick(), (Ids{13, 12, 11, 10, 2, 3}));
    EXPECT_EQ(a.reason, COMPACTION_SCORE);
    EXPECT_EQ(a.output_level, 6u);
    EXPECT_FALSE(a.is_move);
}

TEST(CompactionPick, MovesFilesThatOverlapNothing)
{
    Arrangement a;
    a.add(0, 10, "a", "b", 10);
    a.add(0, 11, "c", "d", 10);
    a.add(0, 12, "e", "f", 10);
    a.add(0, 13, "g", "h", 10);
    a.build();
    EXPECT_EQ(a.pick().size(), 4u);
    EXPECT_TRUE(a.is_move);
    a.files[2].file->meta.delete_count = 1;
    EXPECT_EQ(a.pick().size(), 4u);
    EXPECT_FALSE(a.is_move) << "a delete at the bottom can be dropped";
    a.files[2].file->meta.delete_count = 0;
    a.files[2].file->old_version_count = TREE_OLD_VERSIONS_UNKNOWN;
    EXPECT_EQ(a.pick().size(), 4u);
    EXPECT_FALSE(a.is_move);
}

TEST(CompactionPick, TakesFilesOfALevelInTurn)
{
    Arrangement a;
    a.add(6, 1, "a", "z", 9000); /* targets: 9000, 900 */
    a.add(5, 2, "b", "c", 2000);
    a.add(5, 3, "d", "e", 2000);
    a.add(5, 4, "f", "g", 2000);
    a.build();
    EXPECT_EQ(a.pick(), (Ids{2, 1}));
    ASSERT_EQ(buffer_append(&a.cursors[5], "c", 1), POLARYS_OK);
    EXPECT_EQ(a.pick(), (Ids{3, 1}));
    buffer_clear(&a.cursors[5]);
    ASSERT_EQ(buffer_append(&a.cursors[5], "g", 1), POLARYS_OK);
    EXPECT_EQ(a.pick(), (Ids{2, 1})) << "and begins again";
}

TEST(CompactionPick, TakesTheFileThatDragsTheLeastAlong)
{
    Arrangement a;
    a.add(6, 1, "a", "c", 3000); /* targets: 9000, 900 */
    a.add(6, 2, "d", "f", 2000);
    a.add(6, 3, "f5", "z", 4000);
    a.add(5, 4, "b", "c", 1000);
    a.add(5, 5, "d", "e", 1000);
    a.add(5, 6, "g", "h", 1000);
    a.build();
    EXPECT_EQ(a.pick(), (Ids{5, 2}));
    ASSERT_EQ(buffer_append(&a.cursors[5], "e", 1), POLARYS_OK);
    EXPECT_EQ(a.pick(), (Ids{5, 2})) << "whosever turn it is";
}

TEST(CompactionPick, PrefersAFileThatNeedsOnlyBeMoved)
{
    Arrangement a;
    a.add(6, 1, "a", "c", 9000);
    a.add(5, 4, "b", "c", 1000);
    a.add(5, 5, "d", "e", 10);
    a.build();
    EXPECT_EQ(a.pick(), (Ids{5}));
    EXPECT_TRUE(a.is_move);
}

TEST(CompactionPick, RewritesGarbageInTheLastLevelOnlyOnceItCanGo)
{
    Arrangement a;
    tree_file *file = a.add(6, 7, "a", "m");
    file->meta.delete_count = 60;
    a.build();
    a.wish.needed_version_min = 6;
    EXPECT_EQ(a.pick(), Ids{});
    a.wish.needed_version_min = 7;
    EXPECT_EQ(a.pick(), (Ids{7}));
    EXPECT_EQ(a.reason, COMPACTION_GARBAGE);
    EXPECT_EQ(a.output_level, 6u);
}

TEST(CompactionPick, RewritesFilesUnderARetiredKey)
{
    Arrangement a;
    a.add(6, 7, "a", "m");
    a.build();
    a.wish.key_id = 2;
    EXPECT_EQ(a.pick(), (Ids{7}));
    EXPECT_EQ(a.reason, COMPACTION_KEY);
}

TEST(CompactionPick, TakesWhatWasAskedForAndLeavesYoungerFilesAlone)
{
    Arrangement a;
    a.add(6, 7, "a", "c");
    a.add(6, 8, "d", "f");
    a.add(6, 20, "g", "k");
    a.build();
    a.wish.is_manual = true;
    a.wish.first_id = 15;
    a.wish.start = slice_from_text("d");
    EXPECT_EQ(a.pick(), (Ids{8}));
    EXPECT_EQ(a.reason, COMPACTION_MANUAL);
    a.wish.start = slice_from_text("g");
    EXPECT_EQ(a.pick(), Ids{});
    a.wish.start = slice_make(nullptr, 0);
    a.wish.end = slice_from_text("a");
    EXPECT_EQ(a.pick(), Ids{}) << "the end is exclusive";
}
