/* SPDX-License-Identifier: Apache-2.0 */
/* A follower shows what its primary committed, at the same versions, whatever interrupts it. */
#include <gtest/gtest.h>

#include "engine/base/coding.h"
#include "engine/engine_replica.h"
#include "engine/wal/wal_format.h"
#include "tests/support/engine/test_store.h"
#include "tests/unit/engine/watch_fixture.h"

namespace test_store {
namespace {

constexpr char primary_dir[] = "/store";
constexpr char follower_dir[] = "/copy";

/* A primary and the files that a follower is made of, on one disk. */
class Replica : public ::testing::Test {
  protected:
    Replica() : primary(w)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.create_table("t"));
        ASSERT_EQ(POLARYS_OK, primary.put("t", "before", "0"));
        uint64_t version = 0;
        ASSERT_EQ(POLARYS_OK,
                  polarys_db_checkpoint(primary.db, follower_dir, &version, &primary.error))
            << primary.error.message;
    }

    polarys_db_options follower_options()
    {
        polarys_db_options options = w.options();
        options.is_follower = true;
        return options;
    }

    std::unique_ptr<store> follow()
    {
        auto follower = std::make_unique<store>(w, follower_options());
        follower->dir = follower_dir;
        EXPECT_EQ(POLARYS_OK, follower->open()) << follower->error.message;
        return follower;
    }

    std::string read(uint64_t segment_id, const char *dir = primary_dir)
    {
        char name[VFS_NAME_MAX];
        wal_segment_name(segment_id, name);
        std::string path = std::string(dir) + "/wal/" + name;
        vfs_file *file = nullptr;
        uint64_t size = 0;
        std::string bytes;
        if (vfs_open(w.vfs(), path.c_str(), VFS_READ, &file, nullptr) == POLARYS_OK) {
            EXPECT_EQ(POLARYS_OK, vfs_file_size(file, &size, nullptr));
            bytes.resize(size);
            size_t read_size = 0;
            EXPECT_EQ(POLARYS_OK, vfs_read_at(file, 0, &bytes[0], size, &read_size, nullptr));
            vfs_close(file, nullptr);
        }
        return bytes;
    }

    /* Sends at most `count` pieces of the log that the follower has not got; how many there were. */
    int send(store &follower, int count = 1 << 30)
    {
        polarys_log_position end;
        polarys_log_position at;
        polarys_log_position_get(primary.db, &end);
        polarys_log_position_get(follower.db, &at);
        int sent = 0;
        for (uint64_t id = at.segment_id; id <= end.segment_id && sent < count; id++) {
            std::string bytes = read(id);
            if (bytes.empty()) {
                continue;
            }
            uint64_t offset = id == at.segment_id ? at.offset : 0;
            if (offset == 0) {
                code = polarys_replica_segment(follower.db, bytes_of(bytes.substr(0, 4096)),
                                               &follower.error);
                EXPECT_EQ(POLARYS_OK, code) << follower.error.message;
                offset = WAL_SEGMENT_HEADER_SIZE;
                sent++;
            }
            while (sent < count && (id < end.segment_id || offset < end.offset)) {
                wal_frame_header header;
                const auto *from = reinterpret_cast<const uint8_t *>(&bytes[offset]);
                if (offset >= bytes.size() || !wal_frame_header_take(from, id, &header)) {
                    break;
                }
                code = polarys_replica_frame(
                    follower.db, slice_make(from, header.payload_size + WAL_FRAME_OVERHEAD),
                    &follower.error);
                EXPECT_EQ(POLARYS_OK, code) << follower.error.message;
                offset += wal_frame_stored_size(header.payload_size);
                sent++;
            }
        }
        return sent;
    }

    polarys_log_position sync(store &follower)
    {
        polarys_log_position durable = {};
        code = polarys_replica_sync(follower.db, &durable, &follower.error);
        EXPECT_EQ(POLARYS_OK, code) << follower.error.message;
        return durable;
    }

    void expect_same(store &follower)
    {
        EXPECT_EQ(polarys_db_version(primary.db), polarys_db_version(follower.db));
        EXPECT_EQ(polarys_db_durable_version(primary.db), polarys_db_durable_version(follower.db));
        EXPECT_EQ(0, memcmp(polarys_db_history_id(primary.db), polarys_db_history_id(follower.db),
                            POLARYS_ID_SIZE));
        auto ours = follower.scan("t");
        auto theirs = primary.scan("t");
        ASSERT_EQ(theirs.size(), ours.size());
        for (size_t i = 0; i < ours.size(); i++) {
            EXPECT_EQ(theirs[i].key, ours[i].key);
            EXPECT_EQ(theirs[i].value, ours[i].value);
            EXPECT_EQ(theirs[i].version, ours[i].version);
        }
    }

    void write_some(int from, int to, size_t size = 100)
    {
        for (int i = from; i < to; i++) {
            std::string key = "k" + std::to_string(i % 50);
            ASSERT_EQ(POLARYS_OK,
                      primary.put("t", key, "\"" + std::string(size, 'x') + key + "\""));
        }
        ASSERT_EQ(POLARYS_OK, primary.remove("t", "k" + std::to_string(from % 50)));
    }

    world w;
    store primary;
    polarys_code code = POLARYS_OK;
};

TEST_F(Replica, ShowsWhatThePrimaryCommitted)
{
    auto follower = follow();
    EXPECT_TRUE(polarys_db_is_follower(follower->db));
    EXPECT_FALSE(polarys_db_is_follower(primary.db));
    EXPECT_EQ("0", follower->get("t", "before"));
    write_some(0, 40);
    uint64_t middle = polarys_db_version(primary.db);
    write_some(40, 80);
    EXPECT_GT(send(*follower), 40);
    EXPECT_EQ(std::nullopt, follower->get("t", "k1")) << "not readable before it is durable here";
    polarys_log_position durable = sync(*follower);
    EXPECT_EQ(polarys_db_version(primary.db), durable.version);
    expect_same(*follower);
    EXPECT_EQ(primary.contents("t", middle), follower->contents("t", middle));
    EXPECT_EQ(POLARYS_FUTURE_VERSION,
              follower->get_code("t", "k1", polarys_db_version(primary.db) + 1));
}

TEST_F(Replica, FollowsTheCatalogue)
{
    auto follower = follow();
    ASSERT_EQ(POLARYS_OK, primary.create_table("later"));
    ASSERT_EQ(POLARYS_OK, primary.put("later", "a", "1"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, follower->get_code("later", "a"));
    send(*follower);
    sync(*follower);
    EXPECT_EQ("1", follower->get("later", "a"));
    ASSERT_EQ(POLARYS_OK, polarys_table_truncate(primary.db, nullptr, "later", nullptr, nullptr,
                                                 &primary.error));
    ASSERT_EQ(POLARYS_OK, primary.put("later", "b", "2"));
    send(*follower);
    sync(*follower);
    EXPECT_EQ(std::nullopt, follower->get("later", "a"));
    EXPECT_EQ("2", follower->get("later", "b"));
    ASSERT_EQ(POLARYS_OK,
              polarys_table_drop(primary.db, nullptr, "later", nullptr, nullptr, &primary.error));
    send(*follower);
    sync(*follower);
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, follower->get_code("later", "b"));
}

TEST_F(Replica, RefusesWritesButExpiresByItself)
{
    auto follower = follow();
    EXPECT_EQ(POLARYS_NOT_PRIMARY, follower->put("t", "mine", "1"));
    EXPECT_EQ(POLARYS_NOT_PRIMARY, follower->create_table("mine"));
    ASSERT_EQ(POLARYS_OK, primary.put("t", "short", json_of("1", w.now_ms() + 5000)));
    send(*follower);
    sync(*follower);
    EXPECT_EQ("1", follower->get("t", "short"));
    w.pass_ms(10000);
    EXPECT_EQ(std::nullopt, follower->get("t", "short")) << "reads judge by the clock";
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, polarys_replica_sync(primary.db, nullptr, &primary.error));
}

TEST_F(Replica, GoesOnAfterEveryCloseAndCrash)
{
    write_some(0, 30, 3000);
    for (int round = 0; round < 60; round++) {
        auto follower = follow();
        int sent = send(*follower, 1);
        if (round % 3 != 1) {
            sync(*follower);
        }
        if (round % 2 == 0) {
            ASSERT_EQ(POLARYS_OK, follower->close()) << follower->error.message;
        }
        if (sent == 0) {
            break;
        }
    }
    auto follower = follow();
    send(*follower);
    sync(*follower);
    expect_same(*follower);
}

TEST_F(Replica, KeepsUpThroughFlushesAndSegments)
{
    auto follower = follow();
    for (int round = 0; round < 8; round++) {
        write_some(round * 100, round * 100 + 100, 20000);
        if (round == 3) {
            ASSERT_EQ(POLARYS_OK, polarys_db_flush(primary.db, nullptr, &primary.error));
        }
        send(*follower);
        sync(*follower);
        expect_same(*follower);
    }
    EXPECT_GT(follower->status().flush_count, 0U);
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(follower->db, nullptr, nullptr, &follower->error));
    expect_same(*follower);
}

TEST_F(Replica, IsPromotedAndGoesOnUnderANewTerm)
{
    auto follower = follow();
    write_some(0, 20);
    send(*follower);
    uint64_t version = polarys_db_version(primary.db);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              polarys_replica_promote(follower->db, polarys_db_term(primary.db), &follower->error));
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(follower->db, 0, &follower->error))
        << follower->error.message;
    EXPECT_FALSE(polarys_db_is_follower(follower->db));
    EXPECT_EQ(polarys_db_term(primary.db) + 1, polarys_db_term(follower->db));
    EXPECT_NE(0, memcmp(polarys_db_history_id(primary.db), polarys_db_history_id(follower->db),
                        POLARYS_ID_SIZE));
    EXPECT_EQ(primary.contents("t"), follower->contents("t"));
    ASSERT_EQ(POLARYS_OK, follower->put("t", "mine", "1")) << follower->error.message;
    EXPECT_GT(follower->result.version, version + (UINT64_C(1) << 32));
    ASSERT_EQ(POLARYS_OK, follower->create_table("mine")) << follower->error.message;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, polarys_replica_promote(follower->db, 0, &follower->error));
    uint64_t last = polarys_db_version(follower->db);
    uint64_t term = polarys_db_term(follower->db);
    ASSERT_EQ(POLARYS_OK, follower->close()) << follower->error.message;

    store again(w);
    again.dir = follower_dir;
    ASSERT_EQ(POLARYS_OK, again.open()) << again.error.message;
    EXPECT_EQ(last, polarys_db_version(again.db));
    EXPECT_EQ(term, polarys_db_term(again.db));
    EXPECT_EQ("1", again.get("t", "mine"));
}

/* The power fails in each call of a promotion in turn: what is left is one of both, whole. */
TEST_F(Replica, IsWhereItsLogIsAfterAPromotionThatWasCutOff)
{
    uint64_t term = polarys_db_term(primary.db);
    write_some(0, 20);
    {
        auto follower = follow();
        send(*follower);
        sync(*follower);
        ASSERT_EQ(POLARYS_OK, follower->close()) << follower->error.message;
    }
    uint64_t version = polarys_db_version(primary.db);
    auto contents = primary.contents("t");
    ASSERT_EQ(POLARYS_OK, primary.close()) << primary.error.message;
    sim_disk_settle(w.disk);
    int old_count = 0;
    bool is_done = false;
    for (uint64_t n = 1; !is_done && n < 1000; n++) {
        for (int policy = 0; policy < SIM_CRASH_POLICY_COUNT; policy++) {
            world copy(n, sim_disk_clone(w.disk, n * 7 + 1));
            store before(copy, w.options());
            before.options = copy.options();
            before.options.is_follower = true;
            before.dir = follower_dir;
            ASSERT_EQ(POLARYS_OK, before.open()) << before.error.message;
            sim_disk_crash_at(copy.disk, n);
            polarys_code promoted = polarys_replica_promote(before.db, 0, &before.error);
            is_done = !sim_disk_is_dead(copy.disk);
            before.crash(static_cast<sim_crash_policy>(policy));

            store after(copy, before.options);
            after.dir = follower_dir;
            ASSERT_EQ(POLARYS_OK, after.open()) << after.error.message << ", call " << n;
            bool is_old = polarys_db_term(after.db) == term;
            EXPECT_TRUE(!is_old || promoted != POLARYS_OK) << "call " << n;
            EXPECT_EQ(is_old ? version : version + (UINT64_C(1) << 32),
                      polarys_db_version(after.db))
                << "call " << n << ", policy " << policy;
            EXPECT_EQ(contents, after.contents("t"));
            old_count += is_old && policy == SIM_CRASH_KEEP_ALL ? 1 : 0;
            EXPECT_EQ(POLARYS_OK, after.close()) << after.error.message;
        }
    }
    EXPECT_TRUE(is_done);
    EXPECT_GT(old_count, 1);
}

/* Each is promoted where the other can't be reached: what one of them wrote is set aside later, but was told to a client. */
TEST_F(Replica, TwoThatArePromotedFromOneLogGiveNoVersionTwice)
{
    uint64_t version = 0;
    ASSERT_EQ(POLARYS_OK, polarys_db_checkpoint(primary.db, "/other", &version, &primary.error));
    auto first = follow();
    store second(w, follower_options());
    second.dir = "/other";
    ASSERT_EQ(POLARYS_OK, second.open()) << second.error.message;
    uint64_t term = polarys_db_term(primary.db);
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(first->db, term + 1, &first->error));
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(second.db, term + 2, &second.error));
    ASSERT_EQ(POLARYS_OK, first->put("t", "mine", "1")) << first->error.message;
    ASSERT_EQ(POLARYS_OK, second.put("t", "mine", "2")) << second.error.message;
    EXPECT_EQ(first->result.version + (UINT64_C(1) << 32), second.result.version);
}

/* Of that term only the header of a segment is known, from the one that was promoted to it and wrote nothing before it was asked. */
TEST_F(Replica, GoesOnBeyondATermInWhichNothingWasWritten)
{
    uint64_t version = 0;
    ASSERT_EQ(POLARYS_OK, polarys_db_checkpoint(primary.db, "/other", &version, &primary.error));
    auto first = follow();
    store second(w, follower_options());
    second.dir = "/other";
    ASSERT_EQ(POLARYS_OK, second.open()) << second.error.message;
    uint64_t term = polarys_db_term(primary.db);
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(first->db, term + 5, &first->error));
    polarys_log_position at;
    polarys_log_position_get(first->db, &at);
    ASSERT_EQ(uint64_t{WAL_SEGMENT_HEADER_SIZE}, at.offset);
    std::string header = read(at.segment_id, follower_dir).substr(0, WAL_SEGMENT_HEADER_SIZE);
    ASSERT_EQ(POLARYS_OK, polarys_replica_segment(second.db, bytes_of(header), &second.error))
        << second.error.message;
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(second.db, 0, &second.error));
    ASSERT_EQ(POLARYS_OK, first->put("t", "mine", "1")) << first->error.message;
    ASSERT_EQ(POLARYS_OK, second.put("t", "mine", "2")) << second.error.message;
    EXPECT_EQ(first->result.version + (UINT64_C(1) << 32), second.result.version);
}

TEST_F(Replica, ShowsNoOlderVersionAfterAPromotionThatWasCutOff)
{
    uint64_t shown;
    write_some(0, 20);
    {
        auto follower = follow();
        send(*follower);
        sim_disk_settle(w.disk);
        ASSERT_EQ(POLARYS_OK, polarys_replica_promote(follower->db, 0, &follower->error));
        shown = polarys_db_version(follower->db);
        follower->crash(SIM_CRASH_DROP_ALL);
    }
    ASSERT_EQ(POLARYS_IO, primary.close()) << "the disk is the same";
    for (int i = 0; i < 2; i++) {
        /* Nobody was told of the promotion: it goes on as a follower, and is to be promoted again. */
        auto follower = follow();
        EXPECT_EQ(shown, polarys_db_version(follower->db));
        sim_disk_crash_at(w.disk, 5);
        EXPECT_EQ(POLARYS_IO, polarys_replica_promote(follower->db, 0, &follower->error));
        follower->crash(SIM_CRASH_KEEP_ALL);
    }
}

TEST_F(Replica, ATermFarAwayLeavesVersionsForOthers)
{
    auto follower = follow();
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(follower->db, UINT64_MAX, &follower->error));
    ASSERT_EQ(POLARYS_OK, follower->put("t", "mine", "1")) << follower->error.message;
    EXPECT_LT(follower->result.version, UINT64_C(1) << 49);
}

TEST_F(Replica, WatchesComeToRestAfterAPromotion)
{
    auto follower = follow();
    write_some(0, 20);
    send(*follower);
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(follower->db, 0, &follower->error))
        << follower->error.message;
    uint64_t promoted = polarys_db_version(follower->db);
    watch_test::watcher first(*follower);
    watch_test::watcher second(*follower);
    watch_test::watcher third(*follower);
    first.options.from_version = promoted;
    second.options.from_version = promoted - 1;
    third.options.with_snapshot = true;
    ASSERT_EQ(POLARYS_OK, first.open()) << first.error.message;
    ASSERT_EQ(POLARYS_OK, second.open()) << second.error.message;
    ASSERT_EQ(POLARYS_OK, third.open()) << third.error.message;
    int steps = 0;
    while (steps < 1000 && sim_executor_run_one(w.executor)) {
        steps++;
    }
    ASSERT_LT(steps, 1000) << "they try to join for ever";
    EXPECT_FALSE(third.all().empty());
    ASSERT_EQ(POLARYS_OK, follower->put("t", "mine", "1")) << follower->error.message;
    for (watch_test::watcher *watch : {&first, &second, &third}) {
        auto events = watch->all();
        ASSERT_EQ(1u, events.size());
        EXPECT_EQ(std::to_string(follower->result.version) + " put mine=1.", events[0]);
    }
}

TEST_F(Replica, IsNeverMadeFromNothing)
{
    store empty(w, follower_options());
    empty.dir = "/nowhere";
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, empty.open());
}

} // namespace
} // namespace test_store
