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

    tree_shape shape = {1000, 100};
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
    EXPECT_EQ(large.levels->targets[5], 15000u);
    EXPECT_EQ(large.levels->targets[4], 1500u);
    EXPECT_EQ(large.levels->targets[3], 1000u);
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
        a.add(0, id, "c", "h", 10);
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
    a.add(6, 1, "a", "z", 30000); /* targets: 30000, 3000, 1000 */
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
