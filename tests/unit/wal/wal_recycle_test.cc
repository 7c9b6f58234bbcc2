/* SPDX-License-Identifier: Apache-2.0 */
/* Old segments become new ones with their bytes in them: how many, and that the bytes stay dead. */
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

const struct wal_position log_start = {};
constexpr size_t frame_bytes = 240000; /* four to a segment */
constexpr uint64_t frames_a_segment = 4;

struct wal_stats stats_of(struct wal *wal)
{
    struct wal_stats stats;
    wal_stats_get(wal, &stats);
    return stats;
}

/* The names of a kind in the log's directory, as the disk holds them durably. */
std::vector<std::string> files_named(struct sim_disk *disk, const std::string &prefix)
{
    struct search {
        std::string prefix;
        std::vector<std::string> found;
    } search = {std::string(log_dir) + "/" + prefix, {}};
    sim_disk_list(
        disk,
        [](void *context, const char *path, uint64_t) {
            auto *s = static_cast<struct search *>(context);
            if (std::string(path).compare(0, s->prefix.size(), s->prefix) == 0) {
                s->found.push_back(path);
            }
        },
        &search);
    return search.found;
}

class WalRecycle : public ::testing::Test {
  protected:
    WalRecycle() : w(sim_disk_create(7))
    {
        w.create();
    }
    /* Appends whole segments' worth of frames. */
    void write(struct wal *wal, uint64_t segment_count)
    {
        for (uint64_t i = 0; i < segment_count * frames_a_segment; i++) {
            append_ok(wal, version++, frame_bytes);
            sim_executor_run_all(w.executor);
        }
    }
    void prune(struct wal *wal)
    {
        ASSERT_EQ(POLARYS_OK, wal_prune(wal, version - 1, &err)) << err.message;
        sim_executor_run_all(w.executor);
    }
    std::string bytes_of(const std::string &path, uint64_t offset, size_t size)
    {
        std::string bytes(size, '\0');
        size_t read_size = 0;
        EXPECT_TRUE(sim_disk_file_read(w.disk, path.c_str(), offset, &bytes[0], size, &read_size));
        EXPECT_EQ(size, read_size);
        return bytes;
    }
    struct polarys_error err = {};
    world w;
    uint64_t version = 1;
};

TEST_F(WalRecycle, KeepsTheBlocksAndTheBytesOfAFile)
{
    struct wal *wal = w.open(log_start, 1);
    write(wal, 2);
    sim_disk_settle(w.disk);
    std::string old = bytes_of(segment_path(1), 0, segment_bytes);
    prune(wal);
    sim_disk_settle(w.disk);
    std::vector<std::string> spares = files_named(w.disk, "spare-");
    EXPECT_EQ(2u, spares.size()) << "one of zeros, and then the recycled one";
    EXPECT_EQ(old, bytes_of(spares.back(), 0, segment_bytes));
    uint64_t used = sim_disk_used_bytes(w.disk);
    write(wal, 1);
    append_ok(wal, version++, frame_bytes);
    sim_disk_settle(w.disk);
    EXPECT_EQ(used, sim_disk_used_bytes(w.disk));
    size_t behind = segment_bytes / 2;
    EXPECT_EQ(old.substr(behind), bytes_of(segment_path(4), behind, segment_bytes - behind));
    EXPECT_NE(old.substr(0, WAL_SEGMENT_HEADER_SIZE),
              bytes_of(segment_path(4), 0, WAL_SEGMENT_HEADER_SIZE));
    wal_close(wal);
}

TEST_F(WalRecycle, WritesNoMoreZerosWhilePruningKeepsUp)
{
    struct wal *wal = w.open(log_start, 1);
    for (int i = 0; i < 3; i++) {
        write(wal, 2);
        prune(wal);
    }
    uint64_t zeroed = stats_of(wal).zeroed_bytes;
    EXPECT_LE(zeroed, 4 * segment_bytes);
    for (int i = 0; i < 30; i++) {
        write(wal, 2);
        prune(wal);
    }
    EXPECT_EQ(zeroed, stats_of(wal).zeroed_bytes);
    EXPECT_GE(stats_of(wal).recycled_count, 60u);
    wal_close(wal);
}

TEST_F(WalRecycle, KeepsAsManyAsABurstUsed)
{
    struct wal *wal = w.open(log_start, 1);
    for (int i = 0; i < 2; i++) {
        write(wal, 6);
        prune(wal);
    }
    uint64_t zeroed = stats_of(wal).zeroed_bytes;
    for (int i = 0; i < 5; i++) {
        write(wal, 6);
        prune(wal);
    }
    EXPECT_EQ(zeroed, stats_of(wal).zeroed_bytes);
    EXPECT_GE(stats_of(wal).spare_count, 5u);
    wal_close(wal);
}

TEST_F(WalRecycle, DropsSparesThatAreNotNeededForLong)
{
    struct wal *wal = w.open(log_start, 1);
    write(wal, 6);
    prune(wal);
    EXPECT_GT(stats_of(wal).spare_count, static_cast<uint64_t>(WAL_SPARE_SEGMENTS_MIN));
    for (int i = 0; i < 100; i++) {
        write(wal, 1);
        prune(wal);
    }
    sim_disk_settle(w.disk);
    EXPECT_EQ(static_cast<uint64_t>(WAL_SPARE_SEGMENTS_MIN), stats_of(wal).spare_count);
    EXPECT_EQ(static_cast<size_t>(WAL_SPARE_SEGMENTS_MIN), files_named(w.disk, "spare-").size());
    wal_close(wal);
}

TEST_F(WalRecycle, NeverKeepsMoreThanTheLimit)
{
    struct wal *wal = w.open(log_start, 1);
    write(wal, 20);
    uint64_t before = sim_disk_used_bytes(w.disk);
    uint64_t recycled = WAL_SPARE_SEGMENTS_MAX - stats_of(wal).spare_count;
    prune(wal);
    EXPECT_EQ(recycled, stats_of(wal).recycled_count);
    EXPECT_EQ(static_cast<uint64_t>(WAL_SPARE_SEGMENTS_MAX), stats_of(wal).spare_count);
    EXPECT_EQ(before - (19 - recycled) * segment_bytes, sim_disk_used_bytes(w.disk));
    wal_close(wal);
}

TEST_F(WalRecycle, DoesNotRecycleFilesOfAnotherSize)
{
    struct wal *wal = w.open(log_start, 1);
    append_ok(wal, version++, 3 * segment_bytes);
    append_ok(wal, version++, 10);
    prune(wal);
    sim_disk_settle(w.disk);
    for (const std::string &path : files_named(w.disk, "spare-")) {
        uint64_t size = 0;
        ASSERT_TRUE(sim_disk_file_size(w.disk, path.c_str(), &size));
        EXPECT_EQ(segment_bytes, size);
    }
    wal_close(wal);
}

TEST_F(WalRecycle, DoesNotRecycleWhatIsPinnedOrKept)
{
    w.keep_bytes = 2 * segment_bytes;
    struct wal *wal = w.open(log_start, 1);
    write(wal, 4);
    uint64_t pin = 0;
    wal_pin(wal, 2, &pin);
    prune(wal);
    EXPECT_EQ(2u, stats_of(wal).oldest_segment_id);
    EXPECT_EQ(1u, stats_of(wal).recycled_count);
    wal_unpin(wal, pin);
    prune(wal);
    EXPECT_EQ(3u, stats_of(wal).oldest_segment_id);
    EXPECT_EQ(2u, stats_of(wal).recycled_count);
    wal_close(wal);
    recovered r = w.recover(2 * frames_a_segment);
    EXPECT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(2 * frames_a_segment, r.frames.size());
}

/* What a file of two lives looks like to recovery. */
class WalTwoLives : public WalRecycle {
  protected:
    /* A segment with three frames in its new life, over four of its old one. */
    void live_twice()
    {
        struct wal *wal = w.open(log_start, 1);
        write(wal, 2);
        sim_disk_settle(w.disk);
        old = bytes_of(segment_path(1), 0, segment_bytes);
        prune(wal);
        write(wal, 1); /* into the spare of zeros */
        first = version;
        for (int i = 0; i < 3; i++) {
            append_ok(wal, version++, frame_bytes);
        }
        wal_close(wal);
        sim_disk_settle(w.disk);
        path = segment_path(4);
        ASSERT_EQ(old.substr(frame_offset(3)),
                  bytes_of(path, frame_offset(3), segment_bytes - frame_offset(3)));
    }
    uint64_t frame_offset(uint64_t index)
    {
        return WAL_SEGMENT_HEADER_SIZE + index * wal_frame_stored_size(frame_bytes);
    }
    std::string path;
    std::string old;    /* the file in its old life */
    uint64_t first = 0; /* version in its new one */
};

TEST_F(WalTwoLives, StaleFramesBehindTheEndAreNoFrames)
{
    live_twice();
    recovered r = w.recover(first - 1);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(3u, r.frames.size());
    EXPECT_EQ(0u, r.recovery.torn_bytes);
    EXPECT_EQ(frame_offset(3), r.recovery.end.offset);
}

TEST_F(WalTwoLives, StaleFramesAreNoEvidenceAgainstATornTail)
{
    live_twice();
    /* Frame 4 of the old life, whole, names a synced offset beyond the place. */
    ASSERT_TRUE(sim_disk_file_flip(w.disk, path.c_str(), frame_offset(2) + 500, 0x10));
    recovered r = w.recover(first - 1);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(2u, r.frames.size());
    EXPECT_EQ(wal_frame_stored_size(frame_bytes), r.recovery.torn_bytes);
}

TEST_F(WalTwoLives, EvidenceOfTheNewLifeStillCounts)
{
    live_twice();
    ASSERT_TRUE(sim_disk_file_flip(w.disk, path.c_str(), frame_offset(1) + 500, 0x10));
    recovered r = w.recover(first - 1);
    EXPECT_EQ(POLARYS_CORRUPT, r.code);
    EXPECT_EQ(std::to_string(frame_offset(1)), r.detail("offset"));
}

/* As if the disk had lost a write for good, so that the old life shows again. */
TEST_F(WalTwoLives, AStaleFrameInThePlaceOfALostOneIsATornTailOrDamage)
{
    live_twice();
    size_t stored = wal_frame_stored_size(frame_bytes);
    std::string last = bytes_of(path, frame_offset(2), stored);
    ASSERT_TRUE(sim_disk_file_write(w.disk, path.c_str(), frame_offset(2),
                                    old.data() + frame_offset(2), stored));
    recovered r = w.recover(first - 1);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(2u, r.frames.size());
    ASSERT_TRUE(sim_disk_file_write(w.disk, path.c_str(), frame_offset(2), last.data(), stored));
    ASSERT_TRUE(sim_disk_file_write(w.disk, path.c_str(), frame_offset(0),
                                    old.data() + frame_offset(0), stored));
    r = w.recover(first - 1);
    EXPECT_EQ(POLARYS_CORRUPT, r.code) << "a later frame says that the place had been synced";
    EXPECT_EQ(0u, r.frames.size());
}

/*
 * Segment ids come once in the life of a log. Should one come twice all the same, after a log was cut
 * back, the salt keeps the lives apart.
 */
TEST_F(WalTwoLives, TheSaltKeepsLivesWithTheSameIdApart)
{
    struct wal *wal = w.open(log_start, 1);
    write(wal, 1);
    struct wal_position end;
    wal_position_get(wal, &end);
    write(wal, 1);
    wal_close(wal);
    sim_disk_settle(w.disk);
    old = bytes_of(segment_path(2), 0, segment_bytes);
    ASSERT_TRUE(sim_disk_file_remove(w.disk, segment_path(2).c_str()));
    wal = w.open(end, frames_a_segment + 1);
    version = frames_a_segment + 1;
    append_ok(wal, version++, frame_bytes);
    append_ok(wal, version++, frame_bytes);
    wal_close(wal);
    sim_disk_settle(w.disk);
    for (uint64_t from : {2u, 1u}) {
        ASSERT_TRUE(sim_disk_file_write(w.disk, segment_path(2).c_str(), frame_offset(from),
                                        old.data() + frame_offset(from),
                                        segment_bytes - frame_offset(from)));
        if (from == 2) {
            /* A torn second frame, before stale ones that name its place as synced. */
            ASSERT_TRUE(
                sim_disk_file_flip(w.disk, segment_path(2).c_str(), frame_offset(1) + 500, 0x10));
        }
        recovered r = w.recover(frames_a_segment);
        ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
        EXPECT_EQ(1u, r.frames.size());
    }
}

/*
 * Fills segments, prunes them into spares, and writes on into those. `acknowledged` follows; returns at the
 * first failure, which a power loss brings about.
 */
void life(world &w, struct wal *wal, uint64_t last, uint64_t *acknowledged, uint64_t *pruned)
{
    struct polarys_error err = {};
    for (uint64_t version = *acknowledged + 1; version <= last; version++) {
        size_t size = version % 5 == 0 ? 3 * frame_bytes : frame_bytes;
        if (append(wal, version, payload_of(version, size), &err) != POLARYS_OK) {
            return;
        }
        *acknowledged = version;
        sim_executor_run_all(w.executor);
        if (version % 6 == 0) {
            *pruned = version - 2;
            if (wal_prune(wal, *pruned, &err) != POLARYS_OK) {
                return;
            }
        }
    }
}

/* Recovers, checks that exactly what may be there is, and returns the end. */
struct wal_position check_recovered(world &w, uint64_t acknowledged, uint64_t pruned,
                                    const std::string &where)
{
    recovered r = w.recover(pruned);
    EXPECT_EQ(POLARYS_OK, r.code) << where << r.err.message;
    EXPECT_GE(r.recovery.last_version, acknowledged) << where;
    EXPECT_LE(r.recovery.last_version, acknowledged + 1) << where;
    uint64_t expected = pruned + 1;
    for (const seen_frame &frame : r.frames) {
        EXPECT_EQ(expected, frame.first_version) << where;
        size_t size = expected % 5 == 0 ? 3 * frame_bytes : frame_bytes;
        EXPECT_EQ(payload_of(expected, size), frame.payload) << where;
        expected++;
    }
    EXPECT_EQ(expected, r.recovery.last_version + 1) << where;
    return r.recovery.end;
}

/* No gap among the segments, and behind each name the header of that segment. */
void check_names(world &w, const std::string &where)
{
    struct polarys_error err = {};
    uint64_t last = 0;
    for (const std::string &path : files_named(w.disk, "0")) {
        struct wal_segment_info info = {};
        std::vector<seen_frame> frames;
        struct wal_visitor visitor = {frame_collect, &frames};
        EXPECT_EQ(POLARYS_OK,
                  wal_inspect_file(w.vfs, path.c_str(), w.keyring, &visitor, &info, &err))
            << where << err.message;
        EXPECT_EQ(path, segment_path(info.segment_id)) << where;
        EXPECT_TRUE(last == 0 || info.segment_id == last + 1) << where << ": a gap before " << path;
        last = info.segment_id;
    }
}

class WalRecycleCrash : public ::testing::TestWithParam<enum wal_sync_mode> {};

TEST_P(WalRecycleCrash, SurvivesAPowerLossAtEveryCall)
{
    uint64_t recycled_max = 0;
    bool was_cut = true;
    for (uint64_t n = 1; was_cut; n++) {
        world w(sim_disk_create(n));
        w.sync_mode = GetParam();
        w.create();
        uint64_t acknowledged = 0;
        uint64_t pruned = 0;
        struct wal *wal = w.open(log_start, 1);
        sim_disk_settle(w.disk);
        sim_disk_crash_at(w.disk, n);
        life(w, wal, 26, &acknowledged, &pruned);
        was_cut = sim_disk_is_dead(w.disk);
        recycled_max = std::max(recycled_max, stats_of(wal).recycled_count);
        for (int i = 0; i < 2 && was_cut; i++) {
            int policy = static_cast<int>((n + i) % SIM_CRASH_POLICY_COUNT);
            world after(sim_disk_clone(w.disk, n * 7 + policy), n + 1000);
            std::string where = "call " + std::to_string(n) + ", policy " + std::to_string(policy);
            after.sync_mode = GetParam();
            sim_disk_stale_set(after.disk, n / 4 % 2 == 0);
            sim_disk_crash(after.disk, static_cast<enum sim_crash_policy>(policy));
            after.attach();
            check_names(after, where);
            struct wal_position end = check_recovered(after, acknowledged, pruned, where);
            recovered r = after.recover(pruned);
            /* And the next life of the log is as good, over whatever spares were left. */
            uint64_t more = r.recovery.last_version == 0 ? pruned : r.recovery.last_version;
            struct wal *again = after.open(end, more + 1);
            uint64_t pruned_then = pruned;
            life(after, again, more + 7, &more, &pruned_then);
            wal_close(again);
            check_recovered(after, more, pruned_then, where + ", again");
            ASSERT_FALSE(testing::Test::HasFailure()) << where;
        }
        wal_close(wal);
    }
    EXPECT_GE(recycled_max, 3u) << "recycling was not what was cut off";
}

INSTANTIATE_TEST_SUITE_P(Modes, WalRecycleCrash,
                         ::testing::Values(WAL_SYNC_FDATASYNC, WAL_SYNC_DSYNC));

} // namespace
} // namespace wal_test
