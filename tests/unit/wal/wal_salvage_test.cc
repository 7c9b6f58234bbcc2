/* SPDX-License-Identifier: Apache-2.0 */
/* Salvage gives every frame that authenticates, in order, and names the versions of the places between. */
#include "engine/wal/wal_salvage.h"

#include <gtest/gtest.h>

#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

constexpr uint64_t block = WAL_BLOCK_SIZE;
constexpr uint64_t unknown = UINT64_MAX;

struct told_gap {
    uint64_t segment_id;
    uint64_t offset;
    uint64_t first_version;
    uint64_t last_version;
    bool is_tail;

    bool operator==(const told_gap &other) const
    {
        return segment_id == other.segment_id && offset == other.offset &&
               first_version == other.first_version && last_version == other.last_version &&
               is_tail == other.is_tail;
    }
};

struct salvaged {
    std::vector<seen_frame> frames;
    std::vector<told_gap> gaps;
    struct wal_salvaged result;

    std::vector<uint64_t> versions() const
    {
        std::vector<uint64_t> list;
        for (const seen_frame &frame : frames) {
            list.push_back(frame.first_version);
        }
        return list;
    }
};

enum polarys_code take_frame(void *context, const struct wal_frame *frame,
                             struct polarys_error *err)
{
    return frame_collect(&static_cast<salvaged *>(context)->frames, frame, err);
}

enum polarys_code take_gap(void *context, const struct wal_gap *gap)
{
    static_cast<salvaged *>(context)->gaps.push_back(
        {gap->segment_id, gap->offset, gap->first_version, gap->last_version, gap->is_tail});
    return POLARYS_OK;
}

class WalSalvage : public ::testing::Test {
  protected:
    WalSalvage() : w(sim_disk_create(17))
    {
        w.create();
    }

    /* One segment with small frames of versions first..last; one block each. */
    void write_segment(uint64_t first, uint64_t last)
    {
        struct wal *wal = w.open(w.recover().recovery.end, first);
        for (uint64_t version = first; version <= last; version++) {
            append_ok(wal, version, 100 + version);
        }
        wal_close(wal);
        sim_disk_settle(w.disk);
    }

    void flip(uint64_t segment_id, uint64_t offset)
    {
        ASSERT_TRUE(sim_disk_file_flip(w.disk, segment_path(segment_id).c_str(), offset, 0x04));
    }

    salvaged salvage()
    {
        salvaged found;
        struct polarys_error err = {};
        struct wal_options options = w.settings();
        struct wal_salvage_visitor visitor = {take_frame, take_gap, &found};
        EXPECT_EQ(POLARYS_OK, wal_salvage(&options, &visitor, &found.result, &err)) << err.message;
        for (const seen_frame &frame : found.frames) {
            EXPECT_EQ(payload_of(frame.first_version, 100 + frame.first_version), frame.payload);
        }
        return found;
    }

    world w;
};

using versions = std::vector<uint64_t>;
using gaps = std::vector<told_gap>;

TEST_F(WalSalvage, GivesAllOfAGoodLogAndNoGap)
{
    write_segment(1, 4);
    write_segment(5, 6);
    salvaged found = salvage();
    EXPECT_EQ(versions({1, 2, 3, 4, 5, 6}), found.versions());
    EXPECT_TRUE(found.gaps.empty());
    EXPECT_EQ(6U, found.result.last_version);
    EXPECT_EQ(2U, found.result.segment_count);
}

TEST_F(WalSalvage, TakesAnEmptyOrMissingDirectoryForAnEmptyLog)
{
    salvaged found = salvage();
    EXPECT_TRUE(found.frames.empty());
    EXPECT_TRUE(found.gaps.empty());
}

TEST_F(WalSalvage, GoesOnBehindEachBadFrame)
{
    write_segment(1, 6);
    for (uint64_t bad = 1; bad < 6; bad++) {
        for (uint64_t at : {0, 8, 16, 24, 36, 40, 70, 150}) {
            flip(1, bad * block + at);
            salvaged found = salvage();
            versions expected;
            for (uint64_t version = 1; version <= 6; version++) {
                if (version != bad) {
                    expected.push_back(version);
                }
            }
            EXPECT_EQ(expected, found.versions()) << bad << " " << at;
            EXPECT_EQ(gaps({{1, bad * block, bad, bad, false}}), found.gaps) << bad << " " << at;
            flip(1, bad * block + at);
        }
    }
}

TEST_F(WalSalvage, NamesTheLastFrameWithoutAnEnd)
{
    write_segment(1, 3);
    flip(1, 3 * block + 70);
    salvaged found = salvage();
    EXPECT_EQ(versions({1, 2}), found.versions());
    EXPECT_EQ(gaps({{1, 3 * block, 3, unknown, true}}), found.gaps);
}

TEST_F(WalSalvage, KnowsFromTheSuccessorWhereASegmentEnds)
{
    write_segment(1, 3);
    write_segment(4, 5);
    flip(1, 3 * block + 70);
    salvaged found = salvage();
    EXPECT_EQ(versions({1, 2, 4, 5}), found.versions());
    EXPECT_EQ(gaps({{1, 3 * block, 3, 3, false}}), found.gaps);
}

TEST_F(WalSalvage, NamesTheVersionsOfASegmentWithoutItsHeader)
{
    write_segment(1, 2);
    write_segment(3, 5);
    write_segment(6, 7);
    flip(2, 90);
    salvaged found = salvage();
    EXPECT_EQ(versions({1, 2, 6, 7}), found.versions());
    EXPECT_EQ(gaps({{2, 0, 3, 5, false}}), found.gaps);
}

TEST_F(WalSalvage, NamesTheVersionsOfASegmentThatIsMissing)
{
    struct polarys_error err = {};
    write_segment(1, 2);
    write_segment(3, 5);
    write_segment(6, 7);
    ASSERT_EQ(POLARYS_OK, vfs_remove(w.vfs, segment_path(2).c_str(), &err));
    EXPECT_EQ(gaps({{2, 0, 3, 5, false}}), salvage().gaps);
    ASSERT_EQ(POLARYS_OK, vfs_remove(w.vfs, segment_path(1).c_str(), &err));
    EXPECT_EQ(gaps({{2, 0, 1, 5, false}}), salvage().gaps);
}

TEST_F(WalSalvage, TakesNoFrameTwiceWhenFramesChangePlaces)
{
    write_segment(1, 5);
    std::string first(block, '\0');
    std::string second(block, '\0');
    const std::string path = segment_path(1);
    size_t size = 0;
    ASSERT_TRUE(sim_disk_file_read(w.disk, path.c_str(), 2 * block, &first[0], block, &size));
    ASSERT_TRUE(sim_disk_file_read(w.disk, path.c_str(), 3 * block, &second[0], block, &size));
    ASSERT_TRUE(sim_disk_file_write(w.disk, path.c_str(), 2 * block, second.data(), block));
    ASSERT_TRUE(sim_disk_file_write(w.disk, path.c_str(), 3 * block, first.data(), block));
    salvaged found = salvage();
    EXPECT_EQ(versions({1, 2, 4, 5}), found.versions());
    EXPECT_EQ(gaps({{1, 4 * block, 3, 3, false}}), found.gaps);
}

TEST_F(WalSalvage, TakesNothingFromACopyOfAFrame)
{
    write_segment(1, 3);
    std::string frame(block, '\0');
    const std::string path = segment_path(1);
    size_t size = 0;
    ASSERT_TRUE(sim_disk_file_read(w.disk, path.c_str(), block, &frame[0], block, &size));
    ASSERT_TRUE(sim_disk_file_write(w.disk, path.c_str(), 2 * block, frame.data(), block));
    salvaged found = salvage();
    EXPECT_EQ(versions({1, 3}), found.versions());
    EXPECT_EQ(gaps({{1, 2 * block, 2, 2, false}}), found.gaps);
}

/* Whether the version was given, or lies in a place that was told. */
bool is_accounted(const salvaged &found, uint64_t version)
{
    for (const seen_frame &frame : found.frames) {
        if (frame.first_version == version) {
            return true;
        }
    }
    for (const told_gap &gap : found.gaps) {
        if (gap.first_version <= version && version <= gap.last_version) {
            return true;
        }
    }
    return false;
}

TEST_F(WalSalvage, AccountsForEveryVersionWhicheverReadFails)
{
    const std::string zeros(block, '\0');
    write_segment(1, 4);
    write_segment(5, 8);
    for (uint64_t bad : {0, 2, 3}) { /* 0: none; in both segments */
        for (int way = 0; way < 3; way++) {
            sim_fault_kind kind = way == 0 ? SIM_FAULT_BIT_FLIP : SIM_FAULT_EIO;
            uint64_t shown = 1;
            for (uint64_t n = 1; shown > 0 && !HasFailure(); n++) {
                SCOPED_TRACE("read " + std::to_string(n) + ", bad frame " + std::to_string(bad));
                salvaged found;
                struct polarys_error err = {};
                struct wal_options options = w.settings();
                struct wal_salvage_visitor visitor = {take_frame, take_gap, &found};
                way == 2 ? sim_disk_fail_from(w.disk, n, kind) : sim_disk_fail_at(w.disk, n, kind);
                enum polarys_code code = wal_salvage(&options, &visitor, &found.result, &err);
                shown = sim_disk_fault_count(w.disk);
                sim_disk_fail_at(w.disk, 0, kind);
                EXPECT_TRUE(code == POLARYS_OK || (code == POLARYS_IO && shown > 0)) << err.message;
                for (uint64_t version = 1; version <= 8 && code == POLARYS_OK; version++) {
                    EXPECT_TRUE(is_accounted(found, version)) << version;
                }
            }
        }
        for (uint64_t segment_id : {1, 2}) { /* no frame stands there, and no part of one */
            ASSERT_TRUE(sim_disk_file_write(w.disk, segment_path(segment_id).c_str(),
                                            (bad == 0 ? 2 : 3) * block, zeros.data(), block));
        }
    }
}

} // namespace
} // namespace wal_test
