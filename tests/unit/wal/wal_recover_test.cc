/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery tells a torn tail from damage, damage from tampering, and never hands out a wrong payload. */
#include <gtest/gtest.h>

#include "engine/base/checksum.h"
#include "engine/base/coding.h"
#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

const struct wal_position log_start = {};
constexpr uint64_t block = WAL_BLOCK_SIZE;

class WalRecover : public ::testing::Test {
  protected:
    WalRecover() : w(sim_disk_create(11))
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

    /* Makes the file as short as a checkpoint's copy, for tests that read it many times. */
    void shorten(uint64_t segment_id, uint64_t frame_count)
    {
        ASSERT_TRUE(sim_disk_file_resize(w.disk, segment_path(segment_id).c_str(),
                                         (1 + frame_count) * block));
    }

    std::string read(uint64_t segment_id, uint64_t offset, size_t size)
    {
        std::string bytes(size, '\0');
        size_t read_size = 0;
        EXPECT_TRUE(sim_disk_file_read(w.disk, segment_path(segment_id).c_str(), offset, &bytes[0],
                                       size, &read_size));
        EXPECT_EQ(size, read_size);
        return bytes;
    }

    void write(uint64_t segment_id, uint64_t offset, const std::string &bytes)
    {
        ASSERT_TRUE(sim_disk_file_write(w.disk, segment_path(segment_id).c_str(), offset,
                                        bytes.data(), bytes.size()));
    }

    void flip(uint64_t segment_id, uint64_t offset)
    {
        ASSERT_TRUE(sim_disk_file_flip(w.disk, segment_path(segment_id).c_str(), offset, 0x04));
    }

    void fix_frame_checksum(uint64_t segment_id, uint64_t offset)
    {
        std::string frame = read(segment_id, offset, block);
        auto *bytes = reinterpret_cast<uint8_t *>(&frame[0]);
        wal_frame_put_checksum(bytes, get_u32_le(bytes + 4));
        write(segment_id, offset, frame);
    }

    void fix_header_checksum(uint64_t segment_id)
    {
        std::string header = read(segment_id, 0, block);
        wal_header_put_checksum(reinterpret_cast<uint8_t *>(&header[0]));
        write(segment_id, 0, header);
    }

    static void expect_prefix(const recovered &r, uint64_t first, const std::string &where)
    {
        for (const seen_frame &frame : r.frames) {
            ASSERT_EQ(first, frame.first_version) << where;
            ASSERT_EQ(payload_of(first, 100 + first), frame.payload) << where;
            first++;
        }
    }

    struct polarys_error err = {};
    world w;
};

TEST_F(WalRecover, FindsNothingInAnEmptyDirectory)
{
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_OK, r.code);
    EXPECT_EQ(0u, r.recovery.segment_count);
    EXPECT_EQ(0u, r.recovery.last_version);
    EXPECT_EQ(0u, r.recovery.end.segment_id);
}

TEST_F(WalRecover, NeedsItsDirectory)
{
    struct wal_options options = w.settings();
    options.dir = "/nowhere";
    struct wal_visitor visitor = {frame_collect, nullptr};
    struct wal_recovery recovery;
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, wal_recover(&options, 0, &visitor, &recovery, &err));
}

TEST_F(WalRecover, ReadsTheSameTwiceAndWritesNothing)
{
    write_segment(1, 5);
    recovered first = w.recover();
    std::string before = read(1, 0, segment_bytes);
    recovered second = w.recover();
    EXPECT_TRUE(first.frames == second.frames);
    EXPECT_EQ(before, read(1, 0, segment_bytes));
}

TEST_F(WalRecover, DetectsEveryFlippedByte)
{
    write_segment(1, 3);
    shorten(1, 3);
    for (uint64_t at = 0; at < 4 * block; at++) {
        std::string where = "byte " + std::to_string(at);
        flip(1, at);
        recovered r = w.recover();
        expect_prefix(r, 1, where);
        uint64_t frame = at / block;
        uint64_t used = frame == 0 ? block : WAL_FRAME_OVERHEAD + 100 + frame;
        if (at % block >= used) {
            /* Padding is no part of a frame. */
            EXPECT_EQ(POLARYS_OK, r.code) << where << ": " << r.err.message;
            EXPECT_EQ(3u, r.frames.size()) << where;
        } else if (frame == 3) {
            EXPECT_EQ(2u, r.frames.size()) << where;
        } else {
            EXPECT_NE(POLARYS_OK, r.code) << where;
            EXPECT_EQ("000000000001.wal", r.detail("file")) << where;
            EXPECT_EQ(std::to_string(frame * block), r.detail("offset")) << where;
        }
        flip(1, at);
        ASSERT_FALSE(HasFailure()) << where;
    }
}

TEST_F(WalRecover, DetectsEveryTruncation)
{
    write_segment(1, 2);
    struct wal *wal = w.open(w.recover().recovery.end, 3);
    append_ok(wal, 3, 9000);
    append_ok(wal, 4, 104);
    wal_close(wal);
    sim_disk_settle(w.disk);
    for (uint64_t segment_id : {1, 2}) {
        std::string whole = read(segment_id, 0, segment_bytes);
        for (uint64_t size = 0; size < 6 * block; size += 512) {
            std::string where =
                "segment " + std::to_string(segment_id) + " size " + std::to_string(size);
            ASSERT_TRUE(sim_disk_file_resize(w.disk, segment_path(segment_id).c_str(), size));
            recovered r = w.recover();
            if (segment_id == 1) {
                EXPECT_EQ(size >= 2 * block + 182 ? POLARYS_OK : POLARYS_CORRUPT, r.code)
                    << where << r.err.message;
            } else if (size < block) {
                EXPECT_EQ(POLARYS_CORRUPT, r.code) << where;
            } else {
                /* Cut between frames it looks like a copy of the valid prefix; cut within one it does not. */
                bool is_between = size == block || (size >= block + 9080 && size < 4 * block + 80);
                if (size >= 4 * block + 184 || is_between) {
                    EXPECT_EQ(POLARYS_OK, r.code) << where << r.err.message;
                } else {
                    EXPECT_TRUE(r.code == POLARYS_CORRUPT || r.frames.size() == 2) << where;
                }
            }
            ASSERT_TRUE(
                sim_disk_file_resize(w.disk, segment_path(segment_id).c_str(), segment_bytes));
            write(segment_id, 0, whole);
            ASSERT_FALSE(HasFailure()) << where;
        }
    }
    EXPECT_EQ(4u, w.recover().frames.size());
}

TEST_F(WalRecover, DropsADamagedLastFrameAsATornTail)
{
    write_segment(1, 3);
    flip(1, 3 * block + 70);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(2u, r.frames.size());
    EXPECT_EQ(block, r.recovery.torn_bytes);
    EXPECT_EQ(3 * block, r.recovery.end.offset);

    /* The next segment goes on from there, and the tail is history. */
    struct wal *wal = w.open(r.recovery.end, 1000);
    append_ok(wal, 1000, 1);
    wal_close(wal);
    r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    ASSERT_EQ(3u, r.frames.size());
    EXPECT_EQ(1000u, r.frames[2].first_version);
    EXPECT_EQ(0u, r.recovery.torn_bytes);
}

TEST_F(WalRecover, RefusesDamageThatALaterFrameShowsToHaveBeenSynced)
{
    write_segment(1, 4);
    flip(1, 2 * block + 70);
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_EQ("000000000001.wal", r.detail("file"));
    EXPECT_EQ(std::to_string(2 * block), r.detail("offset"));
    EXPECT_NE(nullptr, strstr(r.err.message, "polarys log inspect")) << r.err.message;
    EXPECT_EQ(1u, r.frames.size());
}

TEST_F(WalRecover, FindsEvidenceBehindSeveralBadFrames)
{
    write_segment(1, 8);
    for (uint64_t frame = 3; frame <= 7; frame++) {
        write(1, frame * block, std::string(block, '\0'));
    }
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_EQ(std::to_string(3 * block), r.detail("offset"));
}

TEST_F(WalRecover, RefusesDamageThatASuccessorShowsToHaveBeenSynced)
{
    write_segment(1, 3);
    write_segment(4, 5);
    flip(1, 3 * block + 70);
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_EQ("000000000001.wal", r.detail("file"));
    EXPECT_EQ(std::to_string(3 * block), r.detail("offset"));
    EXPECT_EQ(2u, r.frames.size());
}

TEST_F(WalRecover, RefusesABadHeaderWhereverItIsNeeded)
{
    write_segment(1, 3);
    write_segment(4, 5);
    for (uint64_t segment_id : {1, 2}) {
        flip(segment_id, 50);
        recovered r = w.recover();
        EXPECT_EQ(POLARYS_CORRUPT, r.code);
        EXPECT_EQ("0", r.detail("offset"));
        flip(segment_id, 50);
    }
    flip(1, 50);
    EXPECT_EQ(POLARYS_OK, w.recover(3).code) << "segment 1 is not needed from version 3 on";
}

TEST_F(WalRecover, RefusesAGapBetweenSegments)
{
    write_segment(1, 2);
    write_segment(3, 4);
    write_segment(5, 6);
    ASSERT_TRUE(sim_disk_file_remove(w.disk, segment_path(2).c_str()));
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_EQ("000000000002.wal", r.detail("file"));
    EXPECT_NE(nullptr, strstr(r.err.message, "missing")) << r.err.message;
    r = w.recover(4);
    EXPECT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(2u, r.frames.size());
}

TEST_F(WalRecover, RefusesASegmentUnderAnotherName)
{
    write_segment(1, 2);
    ASSERT_TRUE(sim_disk_file_copy(w.disk, segment_path(1).c_str(), segment_path(2).c_str()));
    EXPECT_EQ(POLARYS_CORRUPT, w.recover().code);
}

TEST_F(WalRecover, SkipsSegmentsBelowTheVersionWithoutReadingThem)
{
    write_segment(1, 3);
    write_segment(4, 6);
    flip(1, block + 70);
    EXPECT_EQ(POLARYS_CORRUPT, w.recover(0).code);
    EXPECT_EQ(POLARYS_CORRUPT, w.recover(2).code);
    recovered r = w.recover(3);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(3u, r.frames.size());
    r = w.recover(5);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    ASSERT_EQ(1u, r.frames.size());
    EXPECT_EQ(6u, r.frames[0].first_version);
    r = w.recover(100);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(0u, r.frames.size());
    EXPECT_EQ(6u, r.recovery.last_version);
}

TEST_F(WalRecover, RefusesSwappedFrames)
{
    write_segment(1, 4);
    std::string second = read(1, 2 * block, block);
    std::string third = read(1, 3 * block, block);
    write(1, 2 * block, third);
    write(1, 3 * block, second);
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_EQ(std::to_string(2 * block), r.detail("offset"));
    EXPECT_EQ(1u, r.frames.size());
}

TEST_F(WalRecover, RefusesARepeatedAndADroppedFrame)
{
    write_segment(1, 4);
    std::string whole = read(1, 0, 5 * block);
    write(1, 4 * block, whole.substr(3 * block, block));
    EXPECT_EQ(POLARYS_CORRUPT, w.recover().code) << "frame 3 stands twice";
    write(1, 3 * block, whole.substr(4 * block, block));
    EXPECT_EQ(POLARYS_CORRUPT, w.recover().code) << "frame 3 was dropped";
}

TEST_F(WalRecover, TakesAFrameOfAnotherSegmentForNoFrame)
{
    write_segment(1, 3);
    write_segment(4, 6);
    write(2, 2 * block, read(1, 2 * block, block));
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code) << "frame 3 of the segment is evidence";
    write(2, 3 * block, read(1, 3 * block, block));
    r = w.recover();
    EXPECT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(4u, r.frames.size());
    EXPECT_EQ(0u, r.recovery.torn_bytes);
}

TEST_F(WalRecover, NoticesAChangeThatFixesTheChecksum)
{
    write_segment(1, 2);
    std::string whole = read(1, 0, 3 * block);
    /* Payload, tag, first version, commit count and flags of the newest frame. */
    for (uint64_t at : {uint64_t{64}, uint64_t{170}, uint64_t{20}, uint64_t{59}}) {
        flip(1, 2 * block + at);
        fix_frame_checksum(1, 2 * block);
        recovered r = w.recover();
        if (at == 59) {
            /* A synced offset beyond the frame itself: no writer makes one. */
            EXPECT_TRUE(r.code == POLARYS_OK && r.frames.size() == 1) << r.err.message;
        } else {
            EXPECT_EQ(POLARYS_TAMPERED, r.code) << at << " " << r.err.message;
            EXPECT_EQ(std::to_string(2 * block), r.detail("offset")) << at;
        }
        write(1, 0, whole);
    }
}

TEST_F(WalRecover, NoticesAChangedHeaderThatFixesTheChecksum)
{
    write_segment(1, 2);
    std::string whole = read(1, 0, block);
    /* History id, term, first version, salt, predecessor, tag. */
    for (uint64_t at : {32, 56, 66, 80, 120, 130, 160}) {
        flip(1, at);
        fix_header_checksum(1);
        recovered r = w.recover();
        EXPECT_EQ(POLARYS_TAMPERED, r.code) << at << " " << r.err.message;
        EXPECT_EQ(0u, r.frames.size());
        write(1, 0, whole);
    }
    flip(1, 16);
    fix_header_checksum(1);
    EXPECT_EQ(POLARYS_WRONG_STORE, w.recover().code);
    write(1, 0, whole);
    flip(1, 8);
    fix_header_checksum(1);
    EXPECT_EQ(POLARYS_UNSUPPORTED_FORMAT, w.recover().code);
    write(1, 0, whole);
    flip(1, 12);
    fix_header_checksum(1);
    recovered r = w.recover();
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_NE(nullptr, strstr(r.err.message, "key id 5 is not in the keyring")) << r.err.message;
}

TEST_F(WalRecover, RefusesALogOfAnotherStore)
{
    write_segment(1, 2);
    ASSERT_TRUE(sim_disk_file_remove(w.disk, "/keyring"));
    keyring_close(w.keyring);
    w.keyring = nullptr;
    struct keyring_options keys = w.keyring_settings();
    ASSERT_EQ(POLARYS_OK, keyring_create(&keys, &w.keyring, &err)) << err.message;
    EXPECT_EQ(POLARYS_WRONG_STORE, w.recover().code);
}

TEST_F(WalRecover, ReadsSegmentsOfSeveralDataKeys)
{
    write_segment(1, 2);
    uint32_t key_id = 0;
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(w.keyring, &key_id, &err)) << err.message;
    write_segment(3, 4);
    EXPECT_EQ(4u, w.recover().frames.size());
    ASSERT_EQ(POLARYS_OK, keyring_forget_data(w.keyring, 1, &err)) << err.message;
    EXPECT_EQ(POLARYS_CORRUPT, w.recover().code);
    EXPECT_EQ(POLARYS_OK, w.recover(2).code);
}

TEST_F(WalRecover, NeverTakesStaleFramesOfARecycledSegment)
{
    struct wal *wal = w.open(log_start, 1);
    uint64_t version = 1;
    for (; version <= 16; version++) {
        append_ok(wal, version, 240000);
    }
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, version, &err)) << err.message;
    struct wal_stats stats;
    wal_stats_get(wal, &stats);
    ASSERT_EQ(3u, stats.spare_count);
    ASSERT_EQ(1u, stats.segment_count);
    /* Frames of the same size: each ends where a stale one begins. */
    for (int i = 0; i < 5; i++, version++) {
        append_ok(wal, version, 240000);
        sim_disk_settle(w.disk);
        recovered r = w.recover();
        ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
        EXPECT_EQ(version, r.recovery.last_version);
        EXPECT_EQ(0u, r.recovery.torn_bytes);
    }
    wal_close(wal);
}

TEST_F(WalRecover, PassesOnWhatTheVisitorSays)
{
    write_segment(1, 3);
    int calls = 0;
    struct wal_visitor visitor = {
        [](void *context, const struct wal_frame *, struct polarys_error *e) {
            return ++*static_cast<int *>(context) == 2
                       ? polarys_fail(e, POLARYS_MEMORY_LIMIT, "enough")
                       : POLARYS_OK;
        },
        &calls};
    struct wal_options options = w.settings();
    struct wal_recovery recovery;
    EXPECT_EQ(POLARYS_MEMORY_LIMIT, wal_recover(&options, 0, &visitor, &recovery, &err));
    EXPECT_EQ(2, calls);
}

TEST_F(WalRecover, FailsCleanlyOnEveryReadError)
{
    write_segment(1, 3);
    write_segment(4, 6);
    for (enum sim_fault_kind kind : {SIM_FAULT_EIO, SIM_FAULT_BIT_FLIP}) {
        for (uint64_t n = 1;; n++) {
            sim_disk_fail_at(w.disk, n, kind);
            recovered r = w.recover();
            uint64_t shown = sim_disk_fault_count(w.disk);
            sim_disk_fail_at(w.disk, 0, kind);
            expect_prefix(r, 1, "call " + std::to_string(n));
            if (shown == 0) {
                EXPECT_EQ(6u, r.frames.size());
                break;
            }
            if (kind == SIM_FAULT_EIO) {
                EXPECT_EQ(POLARYS_IO, r.code) << "call " << n;
            }
        }
    }
}

TEST_F(WalRecover, TellsWhetherTheLogEndsAtAPosition)
{
    struct wal_options options = w.settings();
    bool ends_here = false;
    ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &log_start, &ends_here, &err));
    EXPECT_TRUE(ends_here);

    write_segment(1, 3);
    struct wal_position end = w.recover().recovery.end;
    ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &end, &ends_here, &err)) << err.message;
    EXPECT_TRUE(ends_here);
    ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &log_start, &ends_here, &err));
    EXPECT_FALSE(ends_here);
    struct wal_position earlier = end;
    earlier.offset -= block;
    ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &earlier, &ends_here, &err));
    EXPECT_FALSE(ends_here) << "a frame follows";
    struct wal_position later = end;
    later.segment_id++;
    ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &later, &ends_here, &err));
    EXPECT_FALSE(ends_here) << "the segment is gone";

    wal_close(w.open(end, 4));
    ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &end, &ends_here, &err));
    EXPECT_FALSE(ends_here) << "a segment follows";
}

TEST_F(WalRecover, InspectsOneFileWithAndWithoutTheKeys)
{
    write_segment(1, 3);
    for (struct keyring *keyring : {w.keyring, static_cast<struct keyring *>(nullptr)}) {
        std::vector<seen_frame> frames;
        struct wal_visitor visitor = {frame_collect, &frames};
        struct wal_segment_info info;
        ASSERT_EQ(POLARYS_OK,
                  wal_inspect_file(w.vfs, segment_path(1).c_str(), keyring, &visitor, &info, &err))
            << err.message;
        EXPECT_EQ(3u, frames.size());
        EXPECT_EQ(4 * block, info.valid_bytes);
        EXPECT_EQ(1u, info.segment_id);
        EXPECT_EQ(1u, info.first_version);
        EXPECT_EQ(3u, info.term);
        EXPECT_EQ(1u, info.key_id);
        EXPECT_EQ(0x11, info.history_id[0]);
        EXPECT_EQ(keyring == nullptr ? "" : payload_of(2, 102), frames[1].payload);
    }
    flip(1, 2 * block + 64);
    std::vector<seen_frame> frames;
    struct wal_visitor visitor = {frame_collect, &frames};
    struct wal_segment_info info;
    ASSERT_EQ(POLARYS_OK,
              wal_inspect_file(w.vfs, segment_path(1).c_str(), nullptr, &visitor, &info, &err));
    EXPECT_EQ(2 * block, info.valid_bytes);
    flip(1, 9);
    EXPECT_EQ(POLARYS_CORRUPT,
              wal_inspect_file(w.vfs, segment_path(1).c_str(), nullptr, &visitor, &info, &err));
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND,
              wal_inspect_file(w.vfs, "/log/none", nullptr, &visitor, &info, &err));
}

TEST_F(WalRecover, ChecksTheChainWithoutTheKeys)
{
    write_segment(1, 3);
    flip(1, 2 * block + WAL_FRAME_HEADER_SIZE + 102); /* the tag of frame 2 */
    fix_frame_checksum(1, 2 * block);
    std::vector<seen_frame> frames;
    struct wal_visitor visitor = {frame_collect, &frames};
    struct wal_segment_info info;
    EXPECT_EQ(POLARYS_CORRUPT,
              wal_inspect_file(w.vfs, segment_path(1).c_str(), nullptr, &visitor, &info, &err));
    EXPECT_EQ(2u, frames.size()) << "frame 3 names another tag";
}

} // namespace
} // namespace wal_test
