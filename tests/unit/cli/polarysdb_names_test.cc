/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/polarysdb_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using testing::HasSubstr;

class GoNames : public testing::Test {
  protected:
    ~GoNames() override
    {
        polarysdb_store_deinit(&store);
    }
    uint32_t Table(const std::string &name)
    {
        uint32_t table = UINT32_MAX;
        EXPECT_TRUE(polarysdb_store_table(&store, name.data(), name.size(), &table, &fault));
        return table;
    }
    void Change(uint32_t table, const char *key, size_t key_size, const char *value,
                bool is_of_snapshot = false)
    {
        struct polarysdb_change change = {};
        change.table = table;
        change.kind = value == nullptr ? POLARYSDB_DELETED : POLARYSDB_JSON;
        change.is_of_snapshot = is_of_snapshot;
        change.key = key;
        change.key_size = key_size;
        change.value = value;
        change.value_size = value == nullptr ? 0 : strlen(value);
        ASSERT_TRUE(polarysdb_store_change(&store, &change, &fault));
    }
    bool Resolve(const std::vector<const char *> &renames = {})
    {
        return polarysdb_names_resolve(&store, renames.data(), renames.size(), &fault);
    }
    struct polarysdb_store store = {};
    struct polarysdb_fault fault = {};
};

TEST_F(GoNames, StayWhereTheyAreNamesHere)
{
    Table("users");
    Table("a.b-c_1");
    ASSERT_TRUE(Resolve()) << fault.message;
    EXPECT_STREQ(store.tables[0]->target, "users");
    EXPECT_STREQ(store.tables[1]->target, "a.b-c_1");
}

TEST_F(GoNames, ThatAreNoneHereAreAllNamedAtOnce)
{
    Table("fine");
    Table("my table");
    Table("1st");
    Table("");
    Table(std::string(129, 'x'));
    EXPECT_FALSE(Resolve({"my table=my_table"}));
    EXPECT_STREQ(fault.reason, "INVALID_ARGUMENT/BAD_NAME");
    EXPECT_THAT(fault.message, HasSubstr("3 tables have names that are none here"));
    EXPECT_THAT(fault.message, HasSubstr("\"1st\", \"\", \"xxx"));
    EXPECT_THAT(fault.message, HasSubstr("--rename-table 'OLD=NEW'"));
    EXPECT_FALSE(Resolve());
    EXPECT_THAT(fault.message, HasSubstr("\"my table\""));
}

TEST_F(GoNames, AreListedUpToALimit)
{
    for (int i = 0; i < 100; i++) {
        Table("bad name " + std::to_string(i) + std::string(200, 'x'));
    }
    EXPECT_FALSE(Resolve());
    EXPECT_THAT(fault.message, HasSubstr("100 tables"));
    EXPECT_THAT(fault.message, HasSubstr(", ...;"));
}

TEST_F(GoNames, AreChangedByRenames)
{
    Table("a=b");
    Table("users");
    Table("");
    ASSERT_TRUE(Resolve({"a=b=ab", "users=people", "=nameless"})) << fault.message;
    EXPECT_STREQ(store.tables[0]->target, "ab");
    EXPECT_STREQ(store.tables[1]->target, "people");
    EXPECT_STREQ(store.tables[2]->target, "nameless");
}

TEST_F(GoNames, RefuseRenamesOfNothingAndTwoOfOne)
{
    Table("users");
    EXPECT_FALSE(Resolve({"user=people"}));
    EXPECT_THAT(fault.message, HasSubstr("there is no such table in the files"));
    EXPECT_FALSE(Resolve({"users=a", "users=b"}));
}

TEST_F(GoNames, RefuseTwoTablesOfOneTarget)
{
    Table("users");
    Table("users 2");
    EXPECT_FALSE(Resolve({"users 2=users"}));
    EXPECT_THAT(fault.message, HasSubstr("would both become \"users\""));
    EXPECT_TRUE(Resolve({"users 2=users", "users=users2"})) << fault.message;
}

TEST(GoRename, IsOldAndNewWithAnEqualsSignBetween)
{
    EXPECT_TRUE(polarysdb_rename_is_valid("a=b"));
    EXPECT_TRUE(polarysdb_rename_is_valid("=b"));
    EXPECT_TRUE(polarysdb_rename_is_valid("a=b=c"));
    EXPECT_FALSE(polarysdb_rename_is_valid("a"));
    EXPECT_FALSE(polarysdb_rename_is_valid("a="));
    EXPECT_FALSE(polarysdb_rename_is_valid("a=1st"));
    EXPECT_FALSE(polarysdb_rename_is_valid("a=b c"));
    EXPECT_FALSE(polarysdb_rename_is_valid(""));
}

TEST_F(GoNames, RefuseKeysThatTheServerDoesNotTake)
{
    static const std::string longest(4097, 'k');
    uint32_t table = Table("t");
    Change(table, longest.data(), 4096, "1");
    ASSERT_TRUE(polarysdb_store_merge(&store, "file", &fault));
    EXPECT_TRUE(polarysdb_names_keys_check(&store, &fault));
    Change(table, longest.data(), 4097, "1");
    EXPECT_FALSE(polarysdb_names_keys_check(&store, &fault));
    EXPECT_STREQ(fault.reason, "INVALID_ARGUMENT/BAD_KEY");
    EXPECT_THAT(fault.message, HasSubstr("a key of 4097 bytes"));
    store.change_count = 0;
    Change(table, "", 0, "1");
    EXPECT_FALSE(polarysdb_names_keys_check(&store, &fault));
}

/* ---- the store ---- */

TEST_F(GoNames, MergeLeavesTheLastOfEachKeyByTableAndKey)
{
    uint32_t second = Table("b");
    uint32_t first = Table("a");
    Change(second, "k", 1, "1", true);
    Change(first, "ab", 2, "2", true);
    Change(first, "a", 1, "3", true);
    Change(first, "", 0, "4", true);
    Change(second, "k", 1, "55");
    Change(first, "ab", 2, nullptr);
    Change(first, "gone", 4, "6");
    Change(first, "gone", 4, nullptr);
    Change(second, "back", 4, nullptr);
    Change(second, "back", 4, "7");
    ASSERT_TRUE(polarysdb_store_merge(&store, "file", &fault)) << fault.message;
    ASSERT_EQ(store.change_count, 4u);
    std::string order;
    for (size_t i = 0; i < store.change_count; i++) {
        order +=
            std::string((const char *)store.changes[i].value, store.changes[i].value_size) + " ";
    }
    EXPECT_EQ(order, "7 55 4 3 ");
    EXPECT_EQ(store.tables[second]->count, 2u);
    EXPECT_EQ(store.tables[second]->bytes, 8u);
    EXPECT_EQ(store.tables[second]->largest_value, 2u);
    EXPECT_EQ(store.tables[first]->first, 2u);
    EXPECT_EQ(store.tables[first]->count, 2u);
}

TEST_F(GoNames, StoreFindsAmongManyTables)
{
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQ(Table("t" + std::to_string(i)), (uint32_t)i);
    }
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQ(Table("t" + std::to_string(i)), (uint32_t)i);
    }
    EXPECT_TRUE(polarysdb_store_has_table(&store, "t7", 2));
    EXPECT_FALSE(polarysdb_store_has_table(&store, "t7", 1));
}

TEST_F(GoNames, StoreHasALimitOfTables)
{
    uint32_t table;
    for (int i = 0; i < POLARYSDB_TABLES_MAX; i++) {
        Table(std::to_string(i));
    }
    EXPECT_FALSE(polarysdb_store_table(&store, "x", 1, &table, &fault));
    EXPECT_THAT(fault.message, HasSubstr("more than 65536 tables"));
    EXPECT_TRUE(polarysdb_store_table(&store, "7", 1, &table, &fault));
}

TEST_F(GoNames, StoreGivesMemoryOfAnySize)
{
    std::vector<char *> rooms;
    for (size_t size : {1u, 1000u, 300000u, 200000u, 262144u, 262145u, 5000000u, 1u}) {
        char *room = (char *)polarysdb_store_allocate(&store, size);
        ASSERT_NE(room, nullptr);
        memset(room, (int)rooms.size(), size);
        rooms.push_back(room);
    }
    for (size_t i = 0; i < rooms.size(); i++) {
        EXPECT_EQ(rooms[i][0], (char)i);
    }
}

} // namespace
