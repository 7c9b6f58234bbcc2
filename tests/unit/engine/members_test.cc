/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a group are in the log: they survive, they are never half written, and a stale change is refused. */
#include <gtest/gtest.h>

#include "engine/engine_members.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/fault_alloc.h"

namespace test_store {
namespace {

class Members : public ::testing::Test {
  protected:
    Members() : options(w.options()), primary(w, options)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.create_table("t"));
        polarys_error_clear(&err);
    }

    polarys_code get(polarys_members *list)
    {
        polarys_error_clear(&err);
        return polarys_members_get(primary.db, list, &err);
    }

    polarys_code put(polarys_members *list)
    {
        polarys_error_clear(&err);
        return polarys_members_put(primary.db, list, &err);
    }

    static void add(polarys_members *list, const char *name, const char *address,
                    polarys_member_state state = POLARYS_MEMBER_SETTLED)
    {
        polarys_member &member = list->list[list->count++];
        member = {};
        (void)snprintf(member.name, sizeof(member.name), "%s", name);
        (void)snprintf(member.address, sizeof(member.address), "%s", address);
        member.state = state;
    }

    world w;
    polarys_db_options options;
    store primary;
    polarys_error err{};
    polarys_members members{};
};

TEST_F(Members, AreNoneAtFirstAndSurviveACrash)
{
    ASSERT_EQ(POLARYS_OK, get(&members));
    EXPECT_EQ(0U, members.count);
    EXPECT_EQ(0U, members.version);
    add(&members, "a", "127.0.0.1:1");
    add(&members, "b", "", POLARYS_MEMBER_JOINING);
    ASSERT_EQ(POLARYS_OK, put(&members)) << err.message;
    EXPECT_NE(0U, members.version);
    primary.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    polarys_members again{};
    ASSERT_EQ(POLARYS_OK, get(&again)) << err.message;
    ASSERT_EQ(2U, again.count);
    EXPECT_STREQ("a", again.list[0].name);
    EXPECT_STREQ("127.0.0.1:1", again.list[0].address);
    EXPECT_STREQ("b", again.list[1].name);
    EXPECT_EQ(POLARYS_MEMBER_JOINING, again.list[1].state);
    EXPECT_EQ(members.version, again.version);
}

TEST_F(Members, RefuseAChangeOfWhatHasChanged)
{
    add(&members, "a", "");
    ASSERT_EQ(POLARYS_OK, put(&members)) << err.message;
    polarys_members stale = members;
    add(&members, "b", "");
    ASSERT_EQ(POLARYS_OK, put(&members)) << err.message;
    add(&stale, "c", "");
    EXPECT_EQ(POLARYS_TXN_CONFLICT, put(&stale));
    polarys_members now{};
    ASSERT_EQ(POLARYS_OK, get(&now));
    bool is_there = false;
    EXPECT_EQ(1U, polarys_members_find(&now, "b", &is_there));
    EXPECT_TRUE(is_there);
    EXPECT_EQ(2U, polarys_members_find(&now, "c", &is_there));
    EXPECT_FALSE(is_there);
}

TEST_F(Members, RefuseNamesThatAreNoneOrOutOfOrder)
{
    add(&members, "b", "");
    add(&members, "a", "");
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, put(&members));
    members.count = 0;
    add(&members, "no name", "");
    EXPECT_EQ(POLARYS_BAD_NAME, put(&members));
    members.count = 0;
    add(&members, "a", "");
    add(&members, "a", "");
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, put(&members));
    ASSERT_EQ(POLARYS_OK, get(&members));
    EXPECT_EQ(0U, members.version);
}

TEST_F(Members, HoldAsManyAsThereMayBe)
{
    std::string address(POLARYS_MEMBER_ADDRESS_MAX - 1, 'x');
    for (int i = 0; i < POLARYS_MEMBERS_MAX; i++) {
        std::string name = std::string(POLARYS_NAME_BYTES_MAX - 3, 'n') + std::to_string(100 + i);
        add(&members, name.c_str(), address.c_str());
    }
    ASSERT_EQ(POLARYS_OK, put(&members)) << err.message;
    polarys_members again{};
    ASSERT_EQ(POLARYS_OK, get(&again)) << err.message;
    ASSERT_EQ(static_cast<size_t>(POLARYS_MEMBERS_MAX), again.count);
    EXPECT_EQ(address, again.list[31].address);
    EXPECT_STREQ(members.list[31].name, again.list[31].name);
}

TEST_F(Members, FailWithoutMemoryAndChangeNothing)
{
    add(&members, "a", "");
    ASSERT_TRUE(fault_alloc_is_linked());
    for (uint64_t n = 1; n < 100; n++) {
        polarys_members attempt = members;
        fault_alloc_fail_at(n);
        polarys_code code = put(&attempt);
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(POLARYS_OK, code) << err.message;
            return;
        }
        polarys_members now{};
        ASSERT_EQ(POLARYS_OK, get(&now));
        if (code == POLARYS_OK) {
            return; /* what failed was not needed */
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code) << err.message;
        EXPECT_EQ(0U, now.version);
    }
    FAIL() << "never succeeded";
}

} // namespace
} // namespace test_store
