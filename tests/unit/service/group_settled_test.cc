/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a primary knows what a quorum holds: after a start only once a member has what was there at the start.
 */
#include "service/replication/group.h"

#include <gtest/gtest.h>

#include "engine/engine_slots.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/service/replica_fixture.h"

namespace {

class GroupSettled : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_error err = {};
        primary_.Open();
        primary_.MakeTable("t");
        ASSERT_EQ(group_create(primary_.db, &group_, &err), POLARYS_OK) << err.message;
    }

    void TearDown() override
    {
        group_leave(group_, tail_);
        group_destroy(group_);
    }

    /* The primary and its group as they are after a restart. */
    void Restart()
    {
        polarys_error err = {};
        group_leave(group_, tail_);
        tail_ = nullptr;
        group_destroy(group_);
        primary_.Close();
        primary_.Open();
        ASSERT_EQ(group_create(primary_.db, &group_, &err), POLARYS_OK) << err.message;
    }

    void Join()
    {
        polarys_error err = {};
        ASSERT_EQ(group_join(group_, "b", true, &tail_, &err), POLARYS_OK) << err.message;
    }

    void SlotMake()
    {
        polarys_error err = {};
        ASSERT_EQ(
            polarys_slot_create(primary_.db, "b", POLARYS_SLOT_REPLICA, 0, nullptr, nullptr, &err),
            POLARYS_OK)
            << err.message;
        group_slots_changed(group_);
    }

    scoped_temp_dir directory_;
    replica_test::Primary primary_{directory_.path()};
    group *group_ = nullptr;
    group_tail *tail_ = nullptr;
};

TEST_F(GroupSettled, IsSoAtOnceWithoutMembers)
{
    EXPECT_TRUE(group_is_settled(group_));
    Restart();
    EXPECT_TRUE(group_is_settled(group_));
}

TEST_F(GroupSettled, StaysSoWhenAMemberFallsBehind)
{
    EXPECT_TRUE(group_is_settled(group_));
    Join();
    primary_.Put("a", "1");
    EXPECT_TRUE(group_is_settled(group_));
}

TEST_F(GroupSettled, AfterAStartWaitsForAMemberThatHasWhatWasThere)
{
    SlotMake();
    primary_.Put("a", "1");
    Restart();
    uint64_t at_start = primary_.Version();
    EXPECT_LT(group_stable_version(group_), at_start);
    EXPECT_FALSE(group_is_settled(group_));
    primary_.Put("a", "2");
    Join();
    group_ack(group_, tail_, at_start - 1, at_start - 1);
    EXPECT_FALSE(group_is_settled(group_));
    group_ack(group_, tail_, at_start, at_start);
    EXPECT_TRUE(group_is_settled(group_))
        << "what was written after the start was never called stable";
    EXPECT_EQ(group_stable_version(group_), at_start);
}

} // namespace
