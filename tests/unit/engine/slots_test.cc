/* SPDX-License-Identifier: Apache-2.0 */
/* Slots hold the log for who follows, no further than they may, and are there again after a crash. */
#include <gtest/gtest.h>

#include <random>

#include "engine/base/checksum.h"
#include "engine/base/coding.h"
#include "engine/engine_slots.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/fault_alloc.h"

namespace test_store {
namespace {

class Slots : public ::testing::Test {
  protected:
    Slots() : options(w.options()), primary(w, options)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.create_table("t"));
        polarys_error_clear(&err);
    }

    void TearDown() override
    {
        polarys_slot_detach(slot);
    }

    void reopen()
    {
        ASSERT_EQ(POLARYS_OK, primary.close()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    }

    polarys_log_position end()
    {
        polarys_log_position position{};
        polarys_log_durable_position(primary.db, &position);
        return position;
    }

    polarys_code create(const char *name, const polarys_log_position *position = nullptr,
                        uint64_t bytes_max = 0, polarys_slot_kind kind = POLARYS_SLOT_REPLICA)
    {
        polarys_error_clear(&err);
        return polarys_slot_create(primary.db, name, kind, bytes_max, position, &info, &err);
    }

    polarys_code attach(const char *name, const polarys_log_position &from)
    {
        polarys_slot_detach(slot);
        slot = nullptr;
        polarys_error_clear(&err);
        return polarys_slot_attach(primary.db, name, &from, &slot, &err);
    }

    std::vector<polarys_slot_info> list()
    {
        std::vector<polarys_slot_info> infos(POLARYS_SLOTS_MAX);
        infos.resize(polarys_slot_list(primary.db, infos.data()));
        return infos;
    }

    void tick(uint64_t ms = 1500)
    {
        w.pass_ms(ms);
        sim_executor_run_for(w.executor, 1);
    }

    /* Writes more than a segment, and lets go of all that may go. */
    void churn(int rounds = 1)
    {
        for (int i = 0; i < rounds; i++) {
            std::string value(100000, '\0');
            for (int k = 0; k < 15; k++) {
                for (char &c : value) {
                    c = static_cast<char>(random());
                }
                ASSERT_EQ(POLARYS_OK, primary.put("t", std::to_string(k), raw_of(value)))
                    << primary.error.message;
            }
            w.pass_ms(700000);
            ASSERT_EQ(POLARYS_OK, polarys_db_flush(primary.db, nullptr, &err)) << err.message;
            tick();
        }
    }

    uint64_t earliest()
    {
        return polarys_log_earliest_segment(primary.db);
    }

    world w;
    polarys_db_options options;
    store primary;
    polarys_error err;
    polarys_slot_info info{};
    polarys_slot *slot = nullptr;
    std::mt19937 random{3};
};

TEST_F(Slots, HoldTheLogUntilItIsAcknowledged)
{
    polarys_log_position from = end();
    ASSERT_EQ(POLARYS_OK, create("a")) << err.message;
    EXPECT_EQ(POLARYS_SLOT_RESERVED, info.state);
    EXPECT_EQ(0U, info.behind_bytes);
    churn(3);
    EXPECT_EQ(from.segment_id, earliest());
    info = list().at(0);
    EXPECT_EQ(POLARYS_SLOT_EXTENDED, info.state);
    polarys_log_position to = end();
    EXPECT_EQ(polarys_log_bytes_between(primary.db, &from, &to), info.behind_bytes);
    EXPECT_GT(info.behind_versions, 40U);
    ASSERT_EQ(POLARYS_OK, attach("a", from)) << err.message;
    EXPECT_TRUE(list().at(0).is_active);
    ASSERT_EQ(POLARYS_OK, polarys_slot_ack(slot, &to, 7, &err)) << err.message;
    EXPECT_EQ(7U, list().at(0).applied_version);
    EXPECT_EQ(0U, list().at(0).behind_bytes);
    EXPECT_EQ(from.segment_id, earliest()) << "not before it is written down";
    tick();
    tick();
    EXPECT_GT(earliest(), from.segment_id);
    EXPECT_EQ(POLARYS_SLOT_RESERVED, list().at(0).state);
}

TEST_F(Slots, NeverGoBack)
{
    polarys_log_position from = end();
    ASSERT_EQ(POLARYS_OK, create("a")) << err.message;
    ASSERT_EQ(POLARYS_OK, attach("a", from)) << err.message;
    ASSERT_EQ(POLARYS_OK, primary.put("t", "k", "1"));
    polarys_log_position later = end();
    ASSERT_EQ(POLARYS_OK, polarys_slot_ack(slot, &later, 9, &err));
    ASSERT_EQ(POLARYS_OK, polarys_slot_ack(slot, &from, 3, &err));
    EXPECT_EQ(later.offset, list().at(0).position.offset);
    EXPECT_EQ(9U, list().at(0).applied_version);
}

TEST_F(Slots, AreThereAgainAfterACloseAndACrash)
{
    polarys_log_position from = end();
    ASSERT_EQ(POLARYS_OK, create("b", nullptr, 12345678, POLARYS_SLOT_ARCHIVE));
    ASSERT_EQ(POLARYS_OK, create("a", nullptr, 0, POLARYS_SLOT_OBSERVER));
    ASSERT_EQ(POLARYS_OK, create("c"));
    ASSERT_EQ(POLARYS_OK, polarys_slot_drop(primary.db, "c", &err)) << err.message;
    primary.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    auto infos = list();
    ASSERT_EQ(2U, infos.size());
    EXPECT_STREQ("a", infos[0].name);
    EXPECT_EQ(POLARYS_SLOT_OBSERVER, infos[0].kind);
    EXPECT_EQ(UINT64_C(16) << 30, infos[0].bytes_max);
    EXPECT_STREQ("b", infos[1].name);
    EXPECT_EQ(POLARYS_SLOT_ARCHIVE, infos[1].kind);
    EXPECT_EQ(12345678U, infos[1].bytes_max);
    EXPECT_EQ(0, memcmp(&from, &infos[1].position, sizeof(from)));
    churn(3);
    EXPECT_EQ(from.segment_id, earliest());
    reopen();
    EXPECT_EQ(from.segment_id, earliest());
    ASSERT_EQ(POLARYS_OK, attach("b", from)) << err.message;
    polarys_log_position later = end();
    ASSERT_EQ(POLARYS_OK, polarys_slot_ack(slot, &later, 1, &err));
    polarys_slot_detach(slot);
    slot = nullptr;
    reopen();
    EXPECT_EQ(later.offset, list().at(1).position.offset) << "a close writes it down";
}

TEST_F(Slots, AreGivenBackAsTheyAre)
{
    polarys_log_position from = end();
    ASSERT_EQ(POLARYS_OK, create("a", nullptr, 1000000));
    ASSERT_EQ(POLARYS_OK, primary.put("t", "k", "1"));
    ASSERT_EQ(POLARYS_OK, create("a", nullptr, 5)) << err.message;
    EXPECT_EQ(1000000U, info.bytes_max);
    EXPECT_EQ(from.offset, info.position.offset);
    EXPECT_EQ(1U, list().size());
}

TEST_F(Slots, AreLostBeyondTheirCap)
{
    polarys_log_position from = end();
    ASSERT_EQ(POLARYS_OK, create("small", nullptr, 2 << 20));
    ASSERT_EQ(POLARYS_OK, attach("small", from)) << err.message;
    ASSERT_EQ(POLARYS_OK, polarys_slot_check(slot, &err));
    churn(3);
    EXPECT_EQ(POLARYS_SLOT_LOST, list().at(0).state);
    EXPECT_GT(earliest(), from.segment_id) << "it holds nothing";
    EXPECT_EQ(POLARYS_LOG_PRUNED, polarys_slot_check(slot, &err));
    EXPECT_EQ(POLARYS_LOG_PRUNED, polarys_slot_ack(slot, &from, 1, &err));
    ASSERT_NE(nullptr, polarys_error_detail_find(&err, "earliest_segment"));
    polarys_slot_detach(slot);
    slot = nullptr;
    reopen();
    EXPECT_EQ(POLARYS_SLOT_LOST, list().at(0).state);
    ASSERT_EQ(POLARYS_OK, create("small", nullptr, 3 << 20)) << "placed anew: " << err.message;
    EXPECT_EQ(POLARYS_SLOT_RESERVED, info.state);
    EXPECT_EQ(end().offset, info.position.offset);
    EXPECT_EQ(UINT64_C(3) << 20, info.bytes_max);
}

TEST_F(Slots, AreLostWhenNobodyUsesThem)
{
    ASSERT_EQ(POLARYS_OK, primary.close());
    primary.options.slot_idle_timeout_ms = 60000;
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    ASSERT_EQ(POLARYS_OK, create("used"));
    ASSERT_EQ(POLARYS_OK, create("unused"));
    polarys_log_position from = end();
    ASSERT_EQ(POLARYS_OK, attach("used", from)) << err.message;
    tick(59000);
    EXPECT_NE(POLARYS_SLOT_LOST, list().at(0).state);
    tick(3000);
    EXPECT_EQ(POLARYS_SLOT_LOST, list().at(0).state);
    EXPECT_STREQ("unused", list().at(0).name);
    EXPECT_NE(POLARYS_SLOT_LOST, list().at(1).state);
    ASSERT_EQ(POLARYS_OK, attach("unused", from)) << "its log is still there: " << err.message;
    EXPECT_NE(POLARYS_SLOT_LOST, list().at(0).state);
}

TEST_F(Slots, DoNotIdleWhileTheStoreIsClosed)
{
    ASSERT_EQ(POLARYS_OK, create("a"));
    ASSERT_EQ(POLARYS_OK, primary.close());
    w.pass_ms(100 * 3600000ULL);
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    tick();
    EXPECT_NE(POLARYS_SLOT_LOST, list().at(0).state);
}

TEST_F(Slots, AreOnlyMadeWhereTheLogIs)
{
    polarys_log_position from = end();
    polarys_log_position wrong = from;
    wrong.tag[0] ^= 1;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, create("a", &wrong));
    churn(3);
    EXPECT_EQ(POLARYS_LOG_PRUNED, create("a", &from));
    EXPECT_TRUE(list().empty());
    uint64_t before = earliest();
    churn(2);
    EXPECT_GT(earliest(), before) << "what was not made holds nothing";
}

TEST_F(Slots, TellWhoUsesOneThatIsDropped)
{
    polarys_log_position from = end();
    EXPECT_EQ(POLARYS_SLOT_NOT_FOUND, attach("a", from));
    EXPECT_EQ(POLARYS_SLOT_NOT_FOUND, polarys_slot_drop(primary.db, "a", &err));
    ASSERT_EQ(POLARYS_OK, create("a"));
    ASSERT_EQ(POLARYS_OK, attach("a", from)) << err.message;
    ASSERT_EQ(POLARYS_OK, polarys_slot_drop(primary.db, "a", &err)) << err.message;
    EXPECT_EQ(POLARYS_SLOT_NOT_FOUND, polarys_slot_check(slot, &err));
    ASSERT_EQ(POLARYS_OK, create("a"));
    EXPECT_EQ(POLARYS_SLOT_NOT_FOUND, polarys_slot_check(slot, &err)) << "it is another one";
    churn(2);
    EXPECT_EQ(POLARYS_BAD_NAME, create("1a"));
    EXPECT_EQ(POLARYS_BAD_NAME, create(std::string(129, 'a').c_str()));
    EXPECT_EQ(POLARYS_BAD_NAME, polarys_slot_drop(primary.db, "", &err));
}

TEST_F(Slots, AreLimitedInNumber)
{
    for (int i = 0; i < POLARYS_SLOTS_MAX; i++) {
        ASSERT_EQ(POLARYS_OK, create(("s" + std::to_string(i)).c_str())) << err.message;
    }
    EXPECT_EQ(POLARYS_TOO_MANY_CALLS, create("more"));
    EXPECT_EQ(POLARYS_OK, create("s7")) << "one that is there";
    reopen();
    auto infos = list();
    ASSERT_EQ(size_t{POLARYS_SLOTS_MAX}, infos.size());
    for (size_t i = 1; i < infos.size(); i++) {
        EXPECT_LT(std::string(infos[i - 1].name), infos[i].name);
    }
}

TEST_F(Slots, AreNotMadeWhereTheyCannotBeWrittenDown)
{
    for (uint64_t n = 1; n < 20; n++) {
        sim_disk_fail_at(w.disk, n, SIM_FAULT_EIO);
        polarys_code code = create("a");
        bool has_failed = sim_disk_fault_count(w.disk) > 0;
        sim_disk_fail_at(w.disk, 0, SIM_FAULT_EIO);
        if (code == POLARYS_OK) {
            EXPECT_EQ(1U, list().size());
            ASSERT_EQ(POLARYS_OK, polarys_slot_drop(primary.db, "a", &err)) << err.message;
        } else {
            EXPECT_EQ(POLARYS_IO, code) << err.message;
            EXPECT_TRUE(list().empty());
        }
        if (!has_failed) {
            return;
        }
    }
    FAIL() << "it reads and writes that much?";
}

TEST_F(Slots, SurviveLackOfMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    for (uint64_t n = 1; n < 20; n++) {
        fault_alloc_fail_at(n);
        polarys_code code = create("a");
        bool has_failed = fault_alloc_disarm() > 0;
        EXPECT_EQ(code == POLARYS_OK ? 1U : 0U, list().size());
        EXPECT_EQ(!has_failed, code == POLARYS_OK) << err.message;
        if (!has_failed) {
            return;
        }
    }
    FAIL() << "it allocates that much?";
}

TEST_F(Slots, AreRefusedWhenTheirFileIsDamaged)
{
    ASSERT_EQ(POLARYS_OK, create("a"));
    ASSERT_EQ(POLARYS_OK, primary.close());
    sim_disk_settle(w.disk);
    const char *path = "/store/slots";
    uint64_t size = 0;
    ASSERT_TRUE(sim_disk_file_size(w.disk, path, &size));
    EXPECT_EQ(16U + 192 + 4, size);
    for (uint64_t at = 0; at < size; at += 3) {
        ASSERT_TRUE(sim_disk_file_flip(w.disk, path, at, 1));
        EXPECT_EQ(POLARYS_CORRUPT, primary.open()) << at;
        EXPECT_STREQ("slots", polarys_error_detail_find(&primary.error, "file"));
        ASSERT_TRUE(sim_disk_file_flip(w.disk, path, at, 1));
    }
    /* Whole by its checksum, and yet senseless. */
    std::vector<uint8_t> good(size);
    size_t read_size = 0;
    ASSERT_TRUE(sim_disk_file_read(w.disk, path, 0, good.data(), size, &read_size));
    struct {
        size_t at;
        uint8_t value;
        polarys_code code;
    } changes[] = {{8, 2, POLARYS_UNSUPPORTED_FORMAT}, {12, 2, POLARYS_CORRUPT},
                   {12, 0, POLARYS_CORRUPT},           {16, 3, POLARYS_CORRUPT},
                   {17, 2, POLARYS_CORRUPT},           {18, 0, POLARYS_CORRUPT},
                   {18, 200, POLARYS_CORRUPT},         {80, '1', POLARYS_CORRUPT}};
    for (const auto &change : changes) {
        std::vector<uint8_t> bad = good;
        bad[change.at] = change.value;
        put_u32_le(&bad[size - 4], checksum_crc32c(0, bad.data(), size - 4));
        ASSERT_TRUE(sim_disk_file_write(w.disk, path, 0, bad.data(), size));
        EXPECT_EQ(change.code, primary.open()) << change.at << ": " << primary.error.message;
    }
    ASSERT_TRUE(sim_disk_file_write(w.disk, path, 0, good.data(), size));
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
}

TEST_F(Slots, AreNotInACheckpoint)
{
    ASSERT_EQ(POLARYS_OK, create("a"));
    uint64_t version = 0;
    ASSERT_EQ(POLARYS_OK, polarys_db_checkpoint(primary.db, "/copy", &version, &err));
    ASSERT_EQ(POLARYS_OK, primary.close());
    primary.dir = "/copy";
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    EXPECT_TRUE(list().empty());
}

} // namespace
} // namespace test_store
