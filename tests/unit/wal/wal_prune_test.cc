/* SPDX-License-Identifier: Apache-2.0 */
/* Retention keeps what is needed, pinned or asked to be kept, and lets go of the rest in order. */
#include <gtest/gtest.h>

#include "tests/support/fault_alloc.h"
#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

const struct wal_position log_start = {};

class WalPrune : public ::testing::Test {
  protected:
    WalPrune() : w(sim_disk_create(5))
    {
        w.create();
    }
    /* Segments of four versions each: 1-4, 5-8, and so on. */
    struct wal *write(uint64_t segment_count)
    {
        struct wal *wal = w.open(log_start, 1);
        for (uint64_t version = 1; version <= 4 * segment_count; version++) {
            append_ok(wal, version, 250000);
        }
        return wal;
    }
    struct wal_stats stats(struct wal *wal)
    {
        struct wal_stats s;
        wal_stats_get(wal, &s);
        return s;
    }
    struct polarys_error err = {};
    world w;
};

TEST_F(WalPrune, RemovesOnlySegmentsWhollyBelowTheVersion)
{
    struct wal *wal = write(5);
    EXPECT_EQ(5u, stats(wal).segment_count);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, 3, &err));
    EXPECT_EQ(1u, stats(wal).oldest_segment_id);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, 4, &err));
    EXPECT_EQ(2u, stats(wal).oldest_segment_id);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, 15, &err));
    EXPECT_EQ(4u, stats(wal).oldest_segment_id);
    wal_close(wal);
    recovered r = w.recover(15);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(2u, r.recovery.segment_count);
    EXPECT_EQ(5u, r.frames.size());
}

TEST_F(WalPrune, NeverRemovesTheSegmentInUse)
{
    struct wal *wal = write(3);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(1u, stats(wal).segment_count);
    append_ok(wal, 13, 10);
    wal_close(wal);
    recovered r = w.recover(8);
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(13u, r.recovery.last_version);
}

TEST_F(WalPrune, KeepsPinnedSegments)
{
    struct wal *wal = write(5);
    uint64_t low = 0;
    uint64_t high = 0;
    wal_pin(wal, 2, &low);
    wal_pin(wal, 4, &high);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(2u, stats(wal).oldest_segment_id);
    wal_unpin(wal, low);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(4u, stats(wal).oldest_segment_id);
    wal_unpin(wal, high);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(5u, stats(wal).oldest_segment_id);
    wal_close(wal);
}

TEST_F(WalPrune, KeepsSegmentsOfMorePinsThanItCanCountOneByOne)
{
    struct wal *wal = write(4);
    std::vector<uint64_t> pins(WAL_PINS_MAX + 2);
    for (size_t i = 0; i < pins.size(); i++) {
        wal_pin(wal, i < WAL_PINS_MAX ? 4 : 2 + i % 2, &pins[i]);
    }
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(2u, stats(wal).oldest_segment_id);
    wal_unpin(wal, pins[WAL_PINS_MAX]);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(2u, stats(wal).oldest_segment_id);
    wal_unpin(wal, pins[WAL_PINS_MAX + 1]);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(4u, stats(wal).oldest_segment_id);
    wal_close(wal);
}

TEST_F(WalPrune, KeepsTheBytesItIsToldTo)
{
    w.keep_bytes = 3 * segment_bytes;
    struct wal *wal = write(6);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, UINT64_MAX, &err));
    EXPECT_EQ(3u, stats(wal).segment_count);
    EXPECT_GE(stats(wal).bytes, 3 * segment_bytes);
    wal_close(wal);
}

TEST_F(WalPrune, PrunesSegmentsOfEarlierOpensByTheirSuccessors)
{
    wal_close(write(3));
    struct wal *wal = w.open(w.recover().recovery.end, 100);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, 12, &err));
    EXPECT_EQ(3u, stats(wal).oldest_segment_id) << "its last version is not known";
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, 99, &err));
    EXPECT_EQ(4u, stats(wal).oldest_segment_id);
    wal_close(wal);
}

TEST_F(WalPrune, CanBeTriedAgainAfterEveryFault)
{
    for (enum sim_fault_kind kind : {SIM_FAULT_EIO, SIM_FAULT_SYNC}) {
        for (uint64_t n = 1; n < 8; n++) {
            world fresh(sim_disk_create(n));
            fresh.create();
            struct wal *wal = fresh.open(log_start, 1);
            for (uint64_t version = 1; version <= 20; version++) {
                append_ok(wal, version, 250000);
            }
            sim_disk_fail_at(fresh.disk, n, kind);
            (void)wal_prune(wal, 16, &err);
            sim_disk_fail_at(fresh.disk, 0, kind);
            ASSERT_EQ(POLARYS_OK, wal_prune(wal, 16, &err)) << n << " " << err.message;
            EXPECT_EQ(5u, stats(wal).oldest_segment_id);
            append_ok(wal, 21, 500000);
            wal_close(wal);
            recovered r = fresh.recover(16);
            ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
            EXPECT_EQ(5u, r.frames.size());
        }
    }
}

TEST_F(WalPrune, LeavesAUsableLogWhereverMemoryRunsOut)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    struct wal_position end = log_start;
    uint64_t version = 1;
    for (uint64_t n = 1;; n++) {
        struct wal *wal = nullptr;
        fault_alloc_fail_at(n);
        enum polarys_code code = w.try_open(end, version, &wal, &err);
        if (code == POLARYS_OK) {
            code = append(wal, version, payload_of(version, 300000), &err);
        }
        uint64_t failed = fault_alloc_disarm();
        EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_NO_MEMORY) << n << " " << err.message;
        wal_close(wal);
        recovered r = w.recover(version - 1);
        ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
        EXPECT_EQ(code == POLARYS_OK ? 1u : 0u, r.frames.size());
        version += r.frames.size();
        end = r.recovery.end;
        if (failed == 0) {
            break;
        }
    }
    for (uint64_t n = 1;; n++) {
        fault_alloc_fail_at(n);
        recovered r = w.recover();
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(POLARYS_OK, r.code);
            break;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, r.code) << n << r.err.message;
    }
}

} // namespace
} // namespace wal_test
