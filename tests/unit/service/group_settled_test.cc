/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a primary knows what a quorum holds: after a start only once a member has what was there at the start.
 */
#include "service/replication/group.h"

#include <gtest/gtest.h>

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
        ASSERT_EQ(group_join(group_, "b", "", true, &tail_, &err), POLARYS_OK) << err.message;
    }

    void MemberAdd()
    {
        const char *const names[] = {"b"};
        group_members_set(group_, names, 1);
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
    group_members_set(group_, nullptr, 0);
    EXPECT_TRUE(group_is_settled(group_));
    MemberAdd();
    Join();
    primary_.Put("a", "1");
    EXPECT_TRUE(group_is_settled(group_));
}

TEST_F(GroupSettled, AfterAStartWaitsForAMemberThatHasWhatWasThere)
{
    MemberAdd();
    primary_.Put("a", "1");
    Restart();
    MemberAdd();
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

TEST_F(GroupSettled, ATermIsSettledByItsOwnFirstWrite)
{
    group_members_set(group_, nullptr, 0);
    primary_.Put("a", "1");
    uint64_t before = primary_.Version();
    MemberAdd();
    primary_.Put("a", "2");
    Join();
    group_term_begin(group_, primary_.Version());
    group_ack(group_, tail_, before, before);
    EXPECT_FALSE(group_is_settled(group_))
        << "what is of an earlier term alone can still be replaced";
    group_ack(group_, tail_, before + 1, before + 1);
    EXPECT_TRUE(group_is_settled(group_));
}

TEST_F(GroupSettled, WhoIsNoMemberIsNeverCounted)
{
    MemberAdd();
    polarys_error err = {};
    group_tail *stranger = nullptr;
    ASSERT_EQ(group_join(group_, "x", "", true, &stranger, &err), POLARYS_OK) << err.message;
    primary_.Put("a", "1");
    group_ack(group_, stranger, primary_.Version(), primary_.Version());
    EXPECT_LT(group_stable_version(group_), primary_.Version());
    Join();
    group_ack(group_, tail_, primary_.Version(), primary_.Version());
    EXPECT_EQ(group_stable_version(group_), primary_.Version());
    group_leave(group_, stranger);
}

TEST_F(GroupSettled, WhatWasAcknowledgedBeforeANodeJoinedCounts)
{
    Join();
    primary_.Put("a", "1");
    group_ack(group_, tail_, primary_.Version(), primary_.Version());
    MemberAdd();
    group_size size;
    group_size_get(group_, &size);
    EXPECT_EQ(size.node_count, 2u);
    EXPECT_EQ(size.quorum, 1u);
    EXPECT_EQ(group_stable_version(group_), primary_.Version());
}

} // namespace
