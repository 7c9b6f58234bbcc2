/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single faults under a whole store: the n-th call to the disk fails, the n-th allocation returns nothing,
 * until the workload gets through. What was acknowledged is there when the disk works again, and nothing
 * else but whole commits.
 */
#include "tests/support/engine/workload.h"
#include "tests/support/fault_alloc.h"

using test_store::compact;
using test_store::contents;
using test_store::flush;
using test_store::oracle;
using test_store::put;
using test_store::remove_range;
using test_store::reopen;
using test_store::replace_many;
using test_store::step;
using test_store::store;
using test_store::value_of;
using test_store::world;

namespace {

std::vector<step> workload()
{
    return {put("a", value_of("a")),
            replace_many(20, 300),
            flush(),
            put("b", value_of("b")),
            remove_range("many1", "many3"),
            reopen(),
            put("c", value_of("c", 9000)),
            compact(),
            put("a", value_of("d"))};
}

void check(sim_disk *disk, uint64_t seed, const oracle &expected)
{
    std::optional<contents> found = test_store::read_back(disk, seed, expected.has_table);
    ASSERT_TRUE(found);
    EXPECT_TRUE(expected.allows(*found))
        << found->size()
        << " documents; acknowledged: " << expected.states[expected.durable].size();
}

/* One call fails, or that call and all later ones. */
void fail_everywhere(sim_fault_kind kind, bool is_lasting)
{
    uint64_t points = 0;
    polarys_log_level_set(POLARYS_LOG_OFF);
    for (uint64_t at = 1;; at++) {
        SCOPED_TRACE("fault at call " + std::to_string(at));
        world w(5);
        store db(w);
        oracle expected;
        is_lasting ? sim_disk_fail_from(w.disk, at, kind) : sim_disk_fail_at(w.disk, at, kind);
        test_store::run(db, workload(), expected);
        if (db.db != nullptr) {
            (void)db.close();
        }
        bool has_shown = sim_disk_fault_count(w.disk) > 0;
        sim_disk_fail_at(w.disk, 0, kind);
        check(w.disk, at, expected);
        points++;
        if (!has_shown || ::testing::Test::HasFailure()) {
            break;
        }
    }
    polarys_log_level_set(POLARYS_LOG_INFO);
    std::cout << "fault points: " << points << "\n";
}

} // namespace

TEST(StoreFault, SurvivesOneFailedCall)
{
    fail_everywhere(SIM_FAULT_EIO, false);
}

TEST(StoreFault, SurvivesADiskThatFailsForGood)
{
    fail_everywhere(SIM_FAULT_EIO, true);
}

TEST(StoreFault, SurvivesAFailedSync)
{
    fail_everywhere(SIM_FAULT_SYNC, false);
}

TEST(StoreFault, SurvivesAFullDisk)
{
    fail_everywhere(SIM_FAULT_ENOSPC, true);
}

TEST(StoreFault, SurvivesAMomentWithoutSpace)
{
    fail_everywhere(SIM_FAULT_ENOSPC, false);
}

TEST(StoreFault, NeverServesAFlippedBit)
{
    uint64_t points = 0;
    polarys_log_level_set(POLARYS_LOG_OFF);
    for (uint64_t at = 1;; at++) {
        SCOPED_TRACE("bit flipped in read " + std::to_string(at));
        world w(5);
        oracle expected;
        {
            store db(w);
            test_store::run(db, workload(), expected);
            ASSERT_EQ(POLARYS_OK, db.close());
        }
        const contents &right = expected.states.back();
        store db(w);
        sim_disk_fail_at(w.disk, at, SIM_FAULT_BIT_FLIP);
        if (db.open() == POLARYS_OK) {
            for (const auto &[key, value] : right) {
                polarys_document document{};
                polarys_code code = polarys_db_get(db.db, nullptr, "t", test_store::bytes_of(key),
                                                   nullptr, &document, &db.error);
                EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_CORRUPT ||
                            code == POLARYS_TAMPERED)
                    << key << ": " << db.error.message;
                if (code == POLARYS_OK) {
                    EXPECT_EQ(value, test_store::text_of(document.value.bytes)) << key;
                }
                polarys_document_release(&document);
            }
            (void)db.close();
        } else {
            EXPECT_TRUE(db.error.code == POLARYS_CORRUPT || db.error.code == POLARYS_TAMPERED ||
                        db.error.code == POLARYS_UNSUPPORTED_FORMAT ||
                        db.error.code == POLARYS_WRONG_MASTER_KEY ||
                        db.error.code == POLARYS_BAD_ARGUMENT)
                << polarys_code_name(db.error.code) << ": " << db.error.message;
        }
        points++;
        if (sim_disk_fault_count(w.disk) == 0 || ::testing::Test::HasFailure()) {
            break;
        }
    }
    polarys_log_level_set(POLARYS_LOG_INFO);
    std::cout << "flipped reads: " << points << "\n";
}

TEST(StoreFault, SurvivesEveryFailedAllocation)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    uint64_t points = 0;
    polarys_log_level_set(POLARYS_LOG_OFF);
    for (uint64_t at = 1;; at++) {
        SCOPED_TRACE("allocation " + std::to_string(at));
        world w(5);
        store db(w);
        oracle expected;
        fault_alloc_fail_at(at);
        test_store::run(db, workload(), expected);
        if (db.db != nullptr) {
            (void)db.close();
        }
        bool has_failed = fault_alloc_disarm() > 0;
        check(w.disk, at, expected);
        points++;
        if (!has_failed || ::testing::Test::HasFailure()) {
            break;
        }
    }
    polarys_log_level_set(POLARYS_LOG_INFO);
    std::cout << "failed allocations: " << points << "\n";
}
