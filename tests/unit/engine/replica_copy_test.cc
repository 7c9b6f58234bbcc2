/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint says where its log ends, and whoever follows from it is exactly there. */
#include <gtest/gtest.h>

#include "engine/engine_replica.h"
#include "tests/support/engine/test_store.h"

namespace test_store {
namespace {

constexpr char copy_dir[] = "/copy";
constexpr char second_dir[] = "/second";

class ReplicaCopy : public ::testing::Test {
  protected:
    ReplicaCopy() : primary(w)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.create_table("t"));
    }

    std::unique_ptr<store> follow(const char *dir)
    {
        polarys_db_options options = w.options();
        options.is_follower = true;
        auto follower = std::make_unique<store>(w, options);
        follower->dir = dir;
        EXPECT_EQ(POLARYS_OK, follower->open()) << follower->error.message;
        return follower;
    }

    polarys_log_position copy(store &from, const char *dir)
    {
        polarys_log_position end = {};
        code = polarys_db_checkpoint_log(from.db, dir, &end, &from.error);
        EXPECT_EQ(POLARYS_OK, code) << from.error.message;
        return end;
    }

    static void expect_at(const polarys_log_position &end, store &follower)
    {
        polarys_log_position at = {};
        polarys_log_position_get(follower.db, &at);
        EXPECT_EQ(end.segment_id, at.segment_id);
        EXPECT_EQ(end.offset, at.offset);
        EXPECT_EQ(0, memcmp(end.tag, at.tag, sizeof(end.tag)));
        EXPECT_EQ(end.version, polarys_db_version(follower.db));
    }

    world w;
    store primary;
    polarys_code code = POLARYS_OK;
};

TEST_F(ReplicaCopy, EndsWhereAFollowerOfItGoesOn)
{
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(POLARYS_OK, primary.put("t", "k" + std::to_string(i), "1"));
    }
    uint64_t version = polarys_db_version(primary.db);
    polarys_log_position end = copy(primary, copy_dir);
    ASSERT_EQ(POLARYS_OK, primary.put("t", "later", "1"));
    EXPECT_EQ(version, end.version);
    auto follower = follow(copy_dir);
    expect_at(end, *follower);
    EXPECT_EQ(100u, follower->scan("t").size());
}

TEST_F(ReplicaCopy, EndsThereWithEverythingInTableFilesToo)
{
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(POLARYS_OK, primary.put("t", "k" + std::to_string(i), "1"));
    }
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(primary.db, nullptr, &primary.error));
    polarys_log_position end = copy(primary, copy_dir);
    auto follower = follow(copy_dir);
    expect_at(end, *follower);
    EXPECT_EQ(100u, follower->scan("t").size());
}

TEST_F(ReplicaCopy, EndsThereBeforeTheFirstFrameOfASegment)
{
    ASSERT_EQ(POLARYS_OK, primary.put("t", "a", "1"));
    primary.close();
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    polarys_log_position end = copy(primary, copy_dir);
    auto follower = follow(copy_dir);
    expect_at(end, *follower);
    EXPECT_EQ(1u, follower->scan("t").size());
}

TEST_F(ReplicaCopy, CanBeMadeOfAFollower)
{
    ASSERT_EQ(POLARYS_OK, primary.put("t", "a", "1"));
    polarys_log_position first_end = copy(primary, copy_dir);
    auto follower = follow(copy_dir);
    polarys_log_position end = copy(*follower, second_dir);
    EXPECT_EQ(first_end.segment_id, end.segment_id);
    EXPECT_EQ(first_end.offset, end.offset);
    EXPECT_EQ(0, memcmp(first_end.tag, end.tag, sizeof(end.tag)));
    EXPECT_EQ(first_end.version, end.version);
    auto second = follow(second_dir);
    expect_at(end, *second);
    EXPECT_EQ(1u, second->scan("t").size());
}

TEST_F(ReplicaCopy, OfAPromotedFollowerBelongsToItsTerm)
{
    ASSERT_EQ(POLARYS_OK, primary.put("t", "a", "1"));
    copy(primary, copy_dir);
    auto follower = follow(copy_dir);
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(follower->db, 0, &follower->error))
        << follower->error.message;
    ASSERT_EQ(POLARYS_OK, follower->put("t", "b", "1"));
    polarys_log_position end = copy(*follower, second_dir);
    auto second = follow(second_dir);
    expect_at(end, *second);
    EXPECT_EQ(2u, polarys_db_term(second->db));
    EXPECT_EQ(2u, second->scan("t").size());
}

TEST(ReplicaCopyDisk, IsRefusedWhileTheDiskIsLow)
{
    world w;
    polarys_db_options options = w.options();
    options.disk_reserve_bytes = 4 << 20;
    store db(w, options);
    polarys_log_position end = {};
    sim_disk_capacity_set(w.disk, 64 << 20);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    w.pass_ms(2000);
    sim_disk_capacity_set(w.disk, sim_disk_used_bytes(w.disk) + (1 << 20));
    w.pass_ms(2000);
    ASSERT_TRUE(db.status().is_disk_low);
    EXPECT_EQ(POLARYS_DISK_LOW, polarys_db_checkpoint_log(db.db, copy_dir, &end, &db.error));
    EXPECT_GT(db.error.retry_after_ms, 0u);
    sim_disk_capacity_set(w.disk, 64 << 20);
    w.pass_ms(2000);
    EXPECT_EQ(POLARYS_OK, polarys_db_checkpoint_log(db.db, copy_dir, &end, &db.error))
        << db.error.message;
}

TEST_F(ReplicaCopy, RefusesAPathThatIsNone)
{
    polarys_log_position end = {1, 2, {3}, 4};
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              polarys_db_checkpoint_log(primary.db, "", &end, &primary.error));
    EXPECT_EQ(0u, end.segment_id) << "no position without a copy";
    EXPECT_EQ(0u, end.version);
    std::string path(VFS_PATH_MAX, 'a');
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              polarys_db_checkpoint_log(primary.db, path.c_str(), &end, &primary.error));
}

} // namespace
} // namespace test_store
