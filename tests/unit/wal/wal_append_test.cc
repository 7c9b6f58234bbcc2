/* SPDX-License-Identifier: Apache-2.0 */
/* What is appended comes back; what fails leaves the log in the state that the contract names. */
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

const struct wal_position log_start = {};

class WalAppend : public ::testing::Test {
  protected:
    WalAppend() : w(sim_disk_create(7))
    {
        w.create();
    }
    struct polarys_error err = {};
    world w;
};

TEST_F(WalAppend, BringsBackWhatWasAppended)
{
    struct wal *wal = w.open(log_start, 1);
    for (uint64_t version = 1; version <= 20; version++) {
        append_ok(wal, version, version * 997);
    }
    struct wal_position end;
    wal_position_get(wal, &end);
    wal_close(wal);

    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    ASSERT_EQ(20u, r.frames.size());
    for (uint64_t version = 1; version <= 20; version++) {
        EXPECT_EQ(payload_of(version, version * 997), r.frames[version - 1].payload);
        EXPECT_EQ(version, r.frames[version - 1].first_version);
    }
    EXPECT_EQ(20u, r.recovery.last_version);
    EXPECT_EQ(20u, r.recovery.frame_count);
    EXPECT_EQ(3u, r.recovery.term);
    EXPECT_EQ(0x11, r.recovery.history_id[5]);
    EXPECT_EQ(0u, r.recovery.torn_bytes);
    EXPECT_EQ(0, memcmp(&end, &r.recovery.end, sizeof(end)));
}

TEST_F(WalAppend, KeepsNoPlainTextOnDisk)
{
    struct wal *wal = w.open(log_start, 1);
    std::string secret = "a secret that nobody may read on the disk";
    ASSERT_EQ(POLARYS_OK, append(wal, 1, secret, &err));
    wal_close(wal);
    EXPECT_FALSE(sim_disk_find(w.disk, slice_make(secret.data(), 8), nullptr));
}

TEST_F(WalAppend, TakesAnEmptyPayloadAndManyCommits)
{
    struct wal *wal = w.open(log_start, 5);
    struct wal_position end;
    ASSERT_EQ(POLARYS_OK, wal_append(wal, 5, 1000, nullptr, 0, &end, &err)) << err.message;
    append_ok(wal, 1005, 3);
    wal_close(wal);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    ASSERT_EQ(2u, r.frames.size());
    EXPECT_EQ("", r.frames[0].payload);
    EXPECT_EQ(1000u, r.frames[0].commit_count);
    EXPECT_EQ(1005u, r.recovery.last_version);
}

TEST_F(WalAppend, BeginsAnotherSegmentWhenOneIsFull)
{
    struct wal *wal = w.open(log_start, 1);
    for (uint64_t version = 1; version <= 12; version++) {
        append_ok(wal, version, 300000);
        sim_executor_run_all(w.executor);
    }
    struct wal_stats stats;
    wal_stats_get(wal, &stats);
    EXPECT_EQ(4u, stats.segment_count);
    EXPECT_EQ(12u, stats.append_count);
    EXPECT_EQ(12u * 300000, stats.payload_bytes);
    EXPECT_EQ(1u, stats.spare_count) << "one is written ahead";
    wal_close(wal);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(12u, r.frames.size());
    EXPECT_EQ(4u, r.recovery.segment_count);
    EXPECT_EQ(4u, r.frames.back().segment_id);
}

TEST_F(WalAppend, GivesALargeFrameASegmentOfItsOwnSize)
{
    struct wal *wal = w.open(log_start, 1);
    append_ok(wal, 1, 100);
    append_ok(wal, 2, 5 << 20);
    append_ok(wal, 3, 100);
    wal_close(wal);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    ASSERT_EQ(3u, r.frames.size());
    EXPECT_EQ(payload_of(2, 5 << 20), r.frames[1].payload);
    EXPECT_EQ(3u, r.frames[2].segment_id);
}

TEST_F(WalAppend, FillsASegmentToItsLastByte)
{
    struct wal *wal = w.open(log_start, 1);
    append_ok(wal, 1, segment_bytes - WAL_SEGMENT_HEADER_SIZE - WAL_FRAME_OVERHEAD);
    append_ok(wal, 2, 1);
    wal_close(wal);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    ASSERT_EQ(2u, r.frames.size());
    EXPECT_EQ(1u, r.frames[0].segment_id);
    EXPECT_EQ(2u, r.frames[1].segment_id);
}

TEST_F(WalAppend, RefusesAFrameAboveTheLimitAndGoesOn)
{
    struct wal *wal = w.open(log_start, 1);
    std::string large(WAL_FRAME_PAYLOAD_MAX + 1, 'x');
    EXPECT_EQ(POLARYS_BUG, append(wal, 1, large, &err));
    append_ok(wal, 1, 10);
    wal_close(wal);
    EXPECT_EQ(1u, w.recover().frames.size());
}

TEST_F(WalAppend, OpensANewSegmentAtEachOpenAndNamesItsPredecessor)
{
    struct wal_position end = log_start;
    for (uint64_t version = 1; version <= 5; version++) {
        struct wal *wal = w.open(end, version);
        if (version % 2 == 0) {
            append_ok(wal, version, 50);
        }
        wal_close(wal);
        recovered r = w.recover();
        ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
        EXPECT_EQ(version, r.recovery.segment_count);
        EXPECT_EQ(version / 2, r.frames.size());
        end = r.recovery.end;
    }
}

TEST_F(WalAppend, ReusesASparesOfAnEarlierRunAndRemovesWhatIsUseless)
{
    struct wal *wal = w.open(log_start, 1);
    append_ok(wal, 1, 600000);
    sim_executor_run_all(w.executor);
    wal_close(wal);
    sim_disk_settle(w.disk);
    ASSERT_TRUE(
        sim_disk_file_copy(w.disk, "/log/spare-000000000002.tmp", "/log/making-000000000009.tmp"));
    ASSERT_TRUE(
        sim_disk_file_copy(w.disk, "/log/spare-000000000002.tmp", "/log/spare-000000000003.tmp"));
    ASSERT_TRUE(
        sim_disk_file_copy(w.disk, "/log/spare-000000000002.tmp", "/log/spare-000000000001.tmp"));
    ASSERT_TRUE(sim_disk_file_resize(w.disk, "/log/spare-000000000001.tmp", 4096));
    ASSERT_TRUE(sim_disk_file_copy(w.disk, "/log/spare-000000000001.tmp", "/log/notes.txt"));

    uint64_t before = sim_disk_used_bytes(w.disk);
    wal = w.open(w.recover().recovery.end, 2);
    struct wal_stats stats;
    wal_stats_get(wal, &stats);
    EXPECT_EQ(1u, stats.spare_count);
    EXPECT_LT(sim_disk_used_bytes(w.disk), before);
    bool exists = true;
    ASSERT_EQ(POLARYS_OK, vfs_exists(w.vfs, "/log/making-000000000009.tmp", &exists, &err));
    EXPECT_FALSE(exists);
    ASSERT_EQ(POLARYS_OK, vfs_exists(w.vfs, "/log/spare-000000000001.tmp", &exists, &err));
    EXPECT_FALSE(exists);
    ASSERT_EQ(POLARYS_OK, vfs_exists(w.vfs, "/log/notes.txt", &exists, &err));
    EXPECT_TRUE(exists) << "a file that is not the log's was removed";
    wal_close(wal);
}

TEST_F(WalAppend, StaysBrokenAfterAFailedSync)
{
    struct wal *wal = w.open(log_start, 1);
    append_ok(wal, 1, 10);
    sim_disk_fail_at(w.disk, 1, SIM_FAULT_SYNC);
    EXPECT_EQ(POLARYS_IO, append(wal, 2, "lost?", &err));
    std::string first_message = err.message;
    uint64_t operations = sim_disk_operation_count(w.disk);
    polarys_error_clear(&err);
    EXPECT_EQ(POLARYS_IO, append(wal, 2, "again", &err));
    EXPECT_NE(std::string(""), err.message);
    EXPECT_EQ(operations, sim_disk_operation_count(w.disk)) << "a broken log touched the disk";
    EXPECT_NE(std::string::npos, first_message.find("broken")) << first_message;
    wal_close(wal);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_GE(r.frames.size(), 1u);
}

TEST_F(WalAppend, StaysBrokenAfterADiskFullInTheMiddleOfAFrame)
{
    struct wal *wal = w.open(log_start, 1);
    sim_disk_fail_at(w.disk, 1, SIM_FAULT_ENOSPC);
    EXPECT_EQ(POLARYS_IO, append(wal, 1, "x", &err))
        << "DISK_LOW would promise that nothing was written";
    EXPECT_EQ(POLARYS_IO, append(wal, 1, "x", &err));
    wal_close(wal);
}

TEST_F(WalAppend, RecoversFromAFullDiskByItself)
{
    struct wal *wal = w.open(log_start, 1);
    uint64_t version = 1;
    for (; version <= 3; version++) {
        append_ok(wal, version, 200000);
    }
    sim_executor_run_all(w.executor);
    sim_disk_capacity_set(w.disk, sim_disk_used_bytes(w.disk));
    enum polarys_code code;
    while ((code = append(wal, version, payload_of(version, 200000), &err)) == POLARYS_OK) {
        version++;
        sim_executor_run_all(w.executor);
        ASSERT_LT(version, 1000u);
    }
    EXPECT_EQ(POLARYS_DISK_LOW, code) << err.message;
    EXPECT_GT(version, 10u) << "the spare was not used up";
    EXPECT_FALSE(wal_has_room(wal, 200000));
    EXPECT_TRUE(wal_has_room(wal, 10)) << "small frames still fit";
    append_ok(wal, version, 10);
    version++;

    sim_disk_capacity_set(w.disk, UINT64_MAX);
    EXPECT_FALSE(wal_has_room(wal, 200000)) << "nobody has asked for space again yet";
    sim_clock_advance(&w.clock, 1000000000);
    EXPECT_FALSE(wal_has_room(wal, 200000));
    sim_executor_run_all(w.executor);
    EXPECT_TRUE(wal_has_room(wal, 200000));
    append_ok(wal, version, 200000);
    wal_close(wal);
    recovered r = w.recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(version, r.frames.size());
}

TEST_F(WalAppend, FailsToOpenOnAFullDiskWithDiskLow)
{
    sim_disk_capacity_set(w.disk, sim_disk_used_bytes(w.disk) + 100000);
    struct wal *wal = nullptr;
    EXPECT_EQ(POLARYS_DISK_LOW, w.try_open(log_start, 1, &wal, &err));
    EXPECT_EQ(nullptr, wal);
    sim_disk_capacity_set(w.disk, UINT64_MAX);
    EXPECT_EQ(POLARYS_OK, w.try_open(log_start, 1, &wal, &err)) << err.message;
    wal_close(wal);
}

TEST_F(WalAppend, RefusesAnEndThatIsNotInTheNewestSegment)
{
    wal_close(w.open(log_start, 1));
    struct wal *wal = nullptr;
    EXPECT_EQ(POLARYS_BUG, w.try_open(log_start, 1, &wal, &err));
    EXPECT_EQ(nullptr, wal);
}

TEST_F(WalAppend, RefusesSegmentSizesOutOfRange)
{
    struct wal_options options = w.settings();
    uint8_t history_id[HISTORY_ID_SIZE] = {};
    for (uint64_t bytes :
         {uint64_t{0}, uint64_t{WAL_SEGMENT_BYTES_MIN} - 4096,
          uint64_t{WAL_SEGMENT_BYTES_MAX} + 4096, uint64_t{WAL_SEGMENT_BYTES_MIN} + 1}) {
        struct wal *wal = nullptr;
        options.segment_bytes = bytes;
        EXPECT_EQ(POLARYS_BAD_ARGUMENT,
                  wal_open(&options, &log_start, 1, 1, history_id, &wal, &err))
            << bytes;
    }
}

TEST_F(WalAppend, MakesItsDirectory)
{
    struct wal_options options = w.settings();
    options.dir = "/deeper";
    uint8_t history_id[HISTORY_ID_SIZE] = {};
    struct wal *wal = nullptr;
    ASSERT_EQ(POLARYS_OK, wal_open(&options, &log_start, 1, 1, history_id, &wal, &err))
        << err.message;
    struct wal_position end;
    struct polarys_slice piece = slice_from_text("kept");
    ASSERT_EQ(POLARYS_OK, wal_append(wal, 1, 1, &piece, 1, &end, &err));
    sim_disk_crash(w.disk, SIM_CRASH_DROP_ALL);
    wal_close(wal);
    std::vector<seen_frame> frames;
    struct wal_visitor visitor = {frame_collect, &frames};
    struct wal_recovery recovery;
    ASSERT_EQ(POLARYS_OK, wal_recover(&options, 0, &visitor, &recovery, &err)) << err.message;
    EXPECT_EQ(1u, frames.size());
}

TEST_F(WalAppend, ProbesWhenAskedTo)
{
    w.sync_mode = WAL_SYNC_AUTO;
    struct wal *wal = w.open(log_start, 1);
    struct wal_stats stats;
    wal_stats_get(wal, &stats);
    EXPECT_NE(WAL_SYNC_AUTO, stats.sync_mode);
    append_ok(wal, 1, 10000);
    wal_close(wal);
    EXPECT_EQ(1u, w.recover().frames.size());
}

TEST_F(WalAppend, IsDurableInEveryMode)
{
    struct wal_position end = log_start;
    uint64_t version = 1;
    for (enum wal_sync_mode mode : {WAL_SYNC_FDATASYNC, WAL_SYNC_DSYNC, WAL_SYNC_DIRECT}) {
        w.sync_mode = mode;
        struct wal *wal = w.open(end, version);
        append_ok(wal, version++, 5000);
        append_ok(wal, version++, 1 << 20);
        sim_disk_crash(w.disk, SIM_CRASH_DROP_ALL);
        wal_close(wal);
        recovered r = w.recover();
        ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
        EXPECT_EQ(version - 1, r.frames.size());
        end = r.recovery.end;
    }
}

/* Walks the stored bytes of every segment on the disk. */
void nonces_collect(void *context, const char *path, uint64_t size)
{
    auto *self =
        static_cast<std::pair<struct sim_disk *, std::map<std::string, std::string>> *>(context);
    uint64_t segment_id;
    const char *name = strrchr(path, '/') + 1;
    if (!wal_segment_name_take(name, &segment_id)) {
        return;
    }
    std::string bytes(size, '\0');
    size_t read_size = 0;
    ASSERT_TRUE(sim_disk_file_read(self->first, path, 0, &bytes[0], size, &read_size));
    struct wal_header header;
    const auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
    ASSERT_EQ(POLARYS_OK, wal_header_take(data, &header, nullptr));
    std::string salt(reinterpret_cast<char *>(header.salt), sizeof(header.salt));
    for (uint64_t at = WAL_SEGMENT_HEADER_SIZE; at + WAL_FRAME_OVERHEAD <= size; at += 4096) {
        struct wal_frame_header frame;
        if (wal_frame_header_take(data + at, segment_id, &frame)) {
            std::string nonce = salt + std::to_string(frame.ordinal);
            std::string stored = bytes.substr(at, frame.payload_size + WAL_FRAME_OVERHEAD);
            auto known = self->second.emplace(nonce, stored);
            EXPECT_TRUE(known.second || known.first->second == stored) << "a nonce was used twice";
        }
    }
}

TEST_F(WalAppend, NeverUsesANonceTwiceAcrossCrashesFailuresAndRecycling)
{
    std::pair<struct sim_disk *, std::map<std::string, std::string>> seen = {w.disk, {}};
    std::set<std::string> salts;
    uint64_t version = 1;
    struct wal_position end = log_start;
    for (uint64_t round = 0; round < 12; round++) {
        struct wal *wal = w.open(end, version);
        sim_executor_run_one(w.executor);
        for (int i = 0; i < 6; i++) {
            append_ok(wal, version++, 250000);
        }
        ASSERT_EQ(POLARYS_OK, wal_prune(wal, version / 2, &err)) << err.message;
        sim_disk_fail_at(w.disk, 1 + round % 3, round % 2 == 0 ? SIM_FAULT_SYNC : SIM_FAULT_EIO);
        if (append(wal, version, "a", &err) == POLARYS_OK) {
            version++;
        }
        (void)append(wal, version, "b", &err);
        sim_disk_list(w.disk, nonces_collect, &seen);
        sim_disk_crash(w.disk, static_cast<enum sim_crash_policy>(round % SIM_CRASH_POLICY_COUNT));
        wal_close(wal);
        sim_disk_list(w.disk, nonces_collect, &seen);
        recovered r = w.recover(version / 2);
        ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
        end = r.recovery.end;
        version += 1000;
    }
    EXPECT_GT(seen.second.size(), 40u);
}

} // namespace
} // namespace wal_test
