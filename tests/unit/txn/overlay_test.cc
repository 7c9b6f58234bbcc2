/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay against a map, and read sets.
 */
#include "engine/txn/overlay.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/txn/read_set.h"
#include "tests/support/sim_random.h"

namespace {

polarys_slice slice(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

std::string text_of(polarys_slice bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

class Overlay : public ::testing::Test {
  protected:
    void SetUp() override
    {
        arena_init(&memory, 64 << 20);
        overlay_init(&over, &memory);
    }
    void TearDown() override
    {
        arena_deinit(&memory);
    }
    polarys_slice kept(const std::string &text)
    {
        return slice_make(arena_copy(&memory, slice(text)), text.size());
    }
    std::string find(const std::string &key)
    {
        polarys_slice value;
        switch (overlay_find(&over, slice(key), &value)) {
        case OVERLAY_PUT:
            return text_of(value);
        case OVERLAY_DELETED:
            return "deleted";
        default:
            return "untouched";
        }
    }
    struct arena memory;
    struct overlay over;
};

class ReadSet : public Overlay {
  protected:
    void SetUp() override
    {
        Overlay::SetUp();
        read_set_init(&set, &memory);
    }
    void TearDown() override
    {
        read_set_deinit(&set);
        Overlay::TearDown();
    }
    void range(const std::string &start, const std::string &end, uint64_t version)
    {
        struct commit_range range = {slice(start), slice(end)};
        ASSERT_EQ(POLARYS_OK, read_set_note_range(&set, range, version, nullptr));
    }
    std::string ranges()
    {
        std::string text;
        for (size_t i = 0; i < set.range_count; i++) {
            text += text_of(buffer_slice(&set.ranges[i].start)) + "-" +
                    text_of(buffer_slice(&set.ranges[i].end)) + "@" +
                    std::to_string(set.ranges[i].version) + " ";
        }
        return text;
    }
    struct read_set set;
};

} // namespace

TEST_F(Overlay, KnowsNothingAtFirst)
{
    EXPECT_EQ("untouched", find("a"));
    EXPECT_TRUE(overlay_is_empty(&over));
    EXPECT_EQ(nullptr, overlay_first(&over));
}

TEST_F(Overlay, AgreesWithAMapWhateverIsDone)
{
    sim_random random;
    sim_random_init(&random, sim_seed(11));
    std::map<std::string, std::string> model; /* "deleted" for a delete */
    std::vector<std::pair<std::string, std::string>> ranges;
    auto key = [&] { return "k" + std::to_string(sim_random_below(&random, 300)); };
    for (int i = 0; i < 6000; i++) {
        std::string at = key();
        uint64_t dice = sim_random_below(&random, 100);
        if (dice < 60) {
            std::string value = std::to_string(i);
            ASSERT_EQ(POLARYS_OK, overlay_put(&over, kept(at), kept(value), nullptr));
            model[at] = value;
        } else if (dice < 90) {
            ASSERT_EQ(POLARYS_OK, overlay_delete(&over, kept(at), nullptr));
            model[at] = "deleted";
        } else if (dice == 99 && ranges.size() < 20) {
            std::string end = key();
            if (at < end) {
                struct commit_range range = {kept(at), kept(end)};
                ASSERT_EQ(POLARYS_OK, overlay_delete_range(&over, range, nullptr));
                ranges.emplace_back(at, end);
                for (auto it = model.lower_bound(at); it != model.end() && it->first < end; ++it) {
                    it->second = "deleted";
                }
            }
        }
        std::string asked = key();
        std::string wanted = "untouched";
        for (const auto &[start, end] : ranges) {
            wanted = start <= asked && asked < end ? "deleted" : wanted;
        }
        wanted = model.count(asked) != 0 ? model[asked] : wanted;
        ASSERT_EQ(wanted, find(asked)) << asked << " after " << i;
    }
    const overlay_entry *entry = overlay_first(&over);
    for (const auto &[at, value] : model) {
        ASSERT_NE(nullptr, entry);
        EXPECT_EQ(at, text_of(entry->key));
        EXPECT_EQ(value == "deleted", entry->is_delete);
        entry = entry->next[0];
    }
    EXPECT_EQ(nullptr, entry);
    EXPECT_EQ(model.size(), over.entry_count);
}

TEST_F(Overlay, ChangesNothingWithoutMemory)
{
    struct arena none;
    arena_init(&none, 0);
    overlay_init(&over, &none);
    EXPECT_EQ(POLARYS_NO_MEMORY, overlay_put(&over, slice("a"), slice("1"), nullptr));
    EXPECT_EQ(POLARYS_NO_MEMORY, overlay_delete(&over, slice("a"), nullptr));
    struct commit_range range = {slice("a"), slice("b")};
    EXPECT_EQ(POLARYS_NO_MEMORY, overlay_delete_range(&over, range, nullptr));
    EXPECT_TRUE(overlay_is_empty(&over));
    arena_deinit(&none);
}

TEST_F(ReadSet, KeepsWhatWasSeenFirst)
{
    ASSERT_EQ(POLARYS_OK, read_set_note_key(&set, slice("a"), 5, 9, nullptr));
    ASSERT_EQ(POLARYS_OK, read_set_note_key(&set, slice("a"), 7, 8, nullptr));
    ASSERT_NE(nullptr, read_set_find(&set, slice("a")));
    EXPECT_EQ(5u, read_set_find(&set, slice("a"))->version);
    EXPECT_EQ(1u, set.key_count);
    EXPECT_EQ(9u, set.oldest_version);
    ASSERT_EQ(POLARYS_OK, read_set_note_key(&set, slice("b"), 0, 8, nullptr));
    EXPECT_EQ(8u, set.oldest_version);
    EXPECT_EQ(nullptr, read_set_find(&set, slice("c")));
}

TEST_F(ReadSet, FindsEachOfMany)
{
    for (int i = 0; i < 5000; i++) {
        ASSERT_EQ(POLARYS_OK, read_set_note_key(&set, slice("k" + std::to_string(i)),
                                                static_cast<uint64_t>(i), 1, nullptr));
    }
    for (int i = 0; i < 5000; i++) {
        const read_key *found = read_set_find(&set, slice("k" + std::to_string(i)));
        ASSERT_NE(nullptr, found);
        EXPECT_EQ(static_cast<uint64_t>(i), found->version);
    }
    EXPECT_EQ(nullptr, read_set_find(&set, slice("k5000")));
    EXPECT_GT(set.bytes, 5000u * sizeof(read_key));
}

TEST_F(ReadSet, JoinsRangesOfOneVersionThatTouch)
{
    range("d", "f", 3);
    range("f", "h", 3);
    range("b", "d", 3);
    EXPECT_EQ("b-h@3 ", ranges());
    range("c", "e", 3);
    EXPECT_EQ("b-h@3 ", ranges());
    range("k", "m", 3);
    range("h", "i", 4);
    EXPECT_EQ("b-h@3 k-m@3 h-i@4 ", ranges());
    range("m", "m", 3);
    range("z", "a", 3);
    EXPECT_EQ("b-h@3 k-m@3 h-i@4 ", ranges()) << "an empty range is none";
}

TEST_F(ReadSet, AWalkTakesRoomForItsBoundsOnly)
{
    for (int i = 10000; i < 60000; i++) {
        range("a", "k" + std::to_string(i), 3);
    }
    EXPECT_EQ(1u, set.range_count);
    EXPECT_LT(set.bytes, 1000u);
}
