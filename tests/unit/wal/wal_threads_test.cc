/* SPDX-License-Identifier: Apache-2.0 */
/* The log on real files with the real thread pool: appends beside pruning, pinning and asking. */
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/temp_dir.h"
#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

class WalThreads : public ::testing::TestWithParam<enum wal_sync_mode> {
  protected:
    WalThreads()
    {
        struct polarys_error err = {};
        memset(master.bytes, 0x21, sizeof(master.bytes));
        struct keyring_options keys = {};
        keys.vfs = vfs_posix();
        keys.dir = dir.path();
        keys.random = random_system();
        keys.clock = clock_system();
        keys.master_keys = &master;
        keys.master_key_count = 1;
        EXPECT_EQ(POLARYS_OK, keyring_create(&keys, &keyring, &err)) << err.message;
        EXPECT_EQ(POLARYS_OK, executor_pool_create(2, clock_system(), &executor, &err));
        log = std::string(dir.path()) + "/log";
        options.vfs = vfs_posix();
        options.dir = log.c_str();
        options.keyring = keyring;
        options.random = random_system();
        options.executor = executor;
        options.segment_bytes = segment_bytes;
        options.sync_mode = GetParam();
    }
    ~WalThreads() override
    {
        executor_pool_destroy(executor);
        keyring_close(keyring);
    }
    scoped_temp_dir dir;
    std::string log;
    struct master_key master;
    struct keyring *keyring = nullptr;
    struct executor *executor = nullptr;
    struct wal_options options = {};
};

TEST_P(WalThreads, AppendsWhileOthersPrunePinAndAsk)
{
    struct polarys_error err = {};
    struct wal_position end = {};
    struct wal *wal = nullptr;
    uint8_t history_id[HISTORY_ID_SIZE] = {};
    ASSERT_EQ(POLARYS_OK, wal_open(&options, &end, 1, 1, history_id, &wal, &err)) << err.message;
    std::atomic<uint64_t> appended{0};
    std::atomic<bool> is_done{false};
    std::thread pruner([&] {
        while (!is_done) {
            struct polarys_error e = {};
            uint64_t version = appended;
            EXPECT_EQ(POLARYS_OK, wal_prune(wal, version > 20 ? version - 20 : 0, &e)) << e.message;
            std::this_thread::yield();
        }
    });
    std::thread asker([&] {
        uint64_t last_offset = 0;
        uint64_t last_segment = 0;
        while (!is_done) {
            uint64_t pin = 0;
            struct wal_position at;
            struct wal_stats stats;
            wal_position_get(wal, &at);
            wal_pin(wal, at.segment_id, &pin);
            wal_stats_get(wal, &stats);
            EXPECT_LE(stats.oldest_segment_id, at.segment_id);
            wal_unpin(wal, pin);
            /* Whatever is listed once the pin is set can be read, also beside a prune under way. */
            wal_pin(wal, 0, &pin);
            wal_stats_get(wal, &stats);
            struct wal_segment_info info;
            std::vector<seen_frame> frames;
            struct wal_visitor visitor = {frame_collect, &frames};
            struct polarys_error e = {};
            EXPECT_EQ(POLARYS_OK,
                      wal_inspect_file(options.vfs,
                                       (log + "/" + segment_name(stats.oldest_segment_id)).c_str(),
                                       keyring, &visitor, &info, &e))
                << e.message;
            EXPECT_EQ(stats.oldest_segment_id, info.segment_id);
            EXPECT_TRUE(wal_has_room(wal, 100));
            EXPECT_TRUE(at.segment_id > last_segment ||
                        (at.segment_id == last_segment && at.offset >= last_offset));
            last_segment = at.segment_id;
            last_offset = at.offset;
            wal_unpin(wal, pin);
            std::this_thread::yield();
        }
    });
    for (uint64_t version = 1; version <= 150; version++) {
        ASSERT_EQ(POLARYS_OK, append(wal, version, payload_of(version, 90000), &err))
            << err.message;
        appended = version;
    }
    is_done = true;
    pruner.join();
    asker.join();
    wal_close(wal);

    std::vector<seen_frame> frames;
    struct wal_visitor visitor = {frame_collect, &frames};
    struct wal_recovery recovery;
    ASSERT_EQ(POLARYS_OK, wal_recover(&options, 130, &visitor, &recovery, &err)) << err.message;
    ASSERT_EQ(20u, frames.size());
    for (const seen_frame &frame : frames) {
        EXPECT_EQ(payload_of(frame.first_version, 90000), frame.payload);
    }
}

TEST_P(WalThreads, OpensAndClosesWhileSparesAreBeingWritten)
{
    struct polarys_error err = {};
    struct wal_position end = {};
    uint8_t history_id[HISTORY_ID_SIZE] = {};
    options.segment_bytes = 8 << 20;
    for (uint64_t version = 1; version <= 8; version++) {
        struct wal *wal = nullptr;
        ASSERT_EQ(POLARYS_OK, wal_open(&options, &end, version, 1, history_id, &wal, &err))
            << err.message;
        ASSERT_EQ(POLARYS_OK, append(wal, version, payload_of(version, 100), &err));
        wal_position_get(wal, &end);
        wal_close(wal);
        bool ends_here = false;
        ASSERT_EQ(POLARYS_OK, wal_ends_at(&options, &end, &ends_here, &err));
        EXPECT_TRUE(ends_here);
    }
    std::vector<seen_frame> frames;
    struct wal_visitor visitor = {frame_collect, &frames};
    struct wal_recovery recovery;
    ASSERT_EQ(POLARYS_OK, wal_recover(&options, 0, &visitor, &recovery, &err)) << err.message;
    EXPECT_EQ(8u, frames.size());
}

INSTANTIATE_TEST_SUITE_P(Modes, WalThreads,
                         ::testing::Values(WAL_SYNC_AUTO, WAL_SYNC_FDATASYNC, WAL_SYNC_DIRECT));

} // namespace
} // namespace wal_test
