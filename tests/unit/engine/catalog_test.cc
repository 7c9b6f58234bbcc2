/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases and tables: creating, dropping, listing, and that all of it survives.
 */
#include "tests/support/engine/test_store.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::world;

namespace {

class Catalog : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    }
    polarys_code create_database(const char *name)
    {
        return polarys_database_create(db.db, name, nullptr, &db.result, &db.error);
    }
    polarys_code drop_database(const char *name)
    {
        return polarys_database_drop(db.db, name, nullptr, &db.result, &db.error);
    }
    polarys_code create_table(const char *database, const char *name)
    {
        return polarys_table_create(db.db, database, name, nullptr, &db.result, &db.error);
    }
    polarys_code drop_table(const char *database, const char *name)
    {
        return polarys_table_drop(db.db, database, name, nullptr, &db.result, &db.error);
    }
    std::string tables(const char *database)
    {
        std::string names;
        EXPECT_EQ(POLARYS_OK, polarys_table_list(
                                  db.db, database,
                                  [](void *context, const polarys_table_info *info) {
                                      *static_cast<std::string *>(context) +=
                                          std::string(info->table) + " ";
                                      return true;
                                  },
                                  &names, &db.error))
            << db.error.message;
        return names;
    }
    std::string databases()
    {
        std::string names;
        EXPECT_EQ(POLARYS_OK, polarys_database_list(
                                  db.db,
                                  [](void *context, const polarys_database_info *info) {
                                      *static_cast<std::string *>(context) +=
                                          std::string(info->database) + " ";
                                      return true;
                                  },
                                  &names, &db.error));
        return names;
    }
    void reopen(bool is_clean)
    {
        if (is_clean) {
            ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
        } else {
            db.crash(SIM_CRASH_DROP_ALL);
        }
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    }
    world w;
    store db{w};
};

} // namespace

TEST_F(Catalog, AlwaysHasTheDatabaseDefault)
{
    EXPECT_EQ("default ", databases());
    EXPECT_EQ(POLARYS_DATABASE_EXISTS, create_database("default"));
    EXPECT_EQ(POLARYS_DATABASE_EXISTS, create_database(""));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, drop_database("default"));
    EXPECT_EQ(POLARYS_OK, create_table("default", "t"));
    EXPECT_EQ("t ", tables(nullptr));
}

TEST_F(Catalog, KeepsDatabasesAndTablesInNameOrderOverReopens)
{
    ASSERT_EQ(POLARYS_OK, create_database("shop"));
    ASSERT_EQ(POLARYS_OK, create_database("Archive"));
    for (const char *name : {"orders", "items", "Users", "a-1", "a.1", "a_1"}) {
        ASSERT_EQ(POLARYS_OK, create_table("shop", name)) << db.error.message;
    }
    ASSERT_EQ(POLARYS_OK, create_table(nullptr, "orders")) << "another database";
    for (int round = 0; round < 4; round++) {
        EXPECT_EQ("Archive default shop ", databases());
        EXPECT_EQ("Users a-1 a.1 a_1 items orders ", tables("shop"));
        EXPECT_EQ("orders ", tables(nullptr));
        EXPECT_EQ("", tables("Archive"));
        reopen(round % 2 == 0);
    }
}

TEST_F(Catalog, DescribesATable)
{
    ASSERT_EQ(POLARYS_OK, create_table(nullptr, "t"));
    uint64_t version = db.result.version;
    polarys_table_info info;
    for (bool is_clean : {true, false, true}) {
        ASSERT_EQ(POLARYS_OK, polarys_table_get(db.db, nullptr, "t", &info, &db.error));
        EXPECT_STREQ("default", info.database);
        EXPECT_STREQ("t", info.table);
        EXPECT_EQ(1u, info.database_id);
        EXPECT_EQ(version, info.created_version);
        EXPECT_GT(info.created_time_unix_ms, 1800000000000u);
        reopen(is_clean);
    }
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, polarys_table_get(db.db, nullptr, "u", &info, &db.error));
    EXPECT_EQ(POLARYS_DATABASE_NOT_FOUND, polarys_table_get(db.db, "x", "u", &info, &db.error));
}

TEST_F(Catalog, NeverReusesAnId)
{
    std::set<uint32_t> ids;
    for (int round = 0; round < 6; round++) {
        ASSERT_EQ(POLARYS_OK, create_table(nullptr, "t"));
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(round), "1"));
        EXPECT_EQ(1u, db.contents("t").size()) << "nothing of the table of the same name before";
        polarys_table_info info;
        ASSERT_EQ(POLARYS_OK, polarys_table_get(db.db, nullptr, "t", &info, nullptr));
        EXPECT_TRUE(ids.insert(info.table_id).second);
        ASSERT_EQ(POLARYS_OK, drop_table(nullptr, "t"));
        reopen(round % 2 == 0);
    }
    EXPECT_EQ("", tables(nullptr));
}

TEST_F(Catalog, DropsADatabaseWithAllItsTables)
{
    ASSERT_EQ(POLARYS_OK, create_database("shop"));
    for (int i = 0; i < 40; i++) {
        std::string name = "t" + std::to_string(i);
        ASSERT_EQ(POLARYS_OK, create_table("shop", name.c_str()));
        const std::string one = "1";
        polarys_value value = json_of(one);
        ASSERT_EQ(POLARYS_OK, polarys_db_put(db.db, "shop", name.c_str(), bytes_of("k"), &value,
                                             nullptr, nullptr, &db.error));
    }
    ASSERT_EQ(POLARYS_OK, drop_database("shop")) << db.error.message;
    EXPECT_EQ(POLARYS_DATABASE_NOT_FOUND, drop_database("shop"));
    EXPECT_EQ("default ", databases());
    EXPECT_EQ(0u, db.status().table_count);
    reopen(false);
    EXPECT_EQ("default ", databases());
    ASSERT_EQ(POLARYS_OK, create_database("shop"));
    EXPECT_EQ("", tables("shop"));
    ASSERT_EQ(POLARYS_OK, create_table("shop", "t0"));
    uint64_t count;
    ASSERT_EQ(POLARYS_OK,
              polarys_table_count(db.db, "shop", "t0", nullptr, nullptr, nullptr, &count, nullptr));
    EXPECT_EQ(0u, count);
}

TEST_F(Catalog, TruncatesATableAndNoOther)
{
    ASSERT_EQ(POLARYS_OK, create_table(nullptr, "t"));
    ASSERT_EQ(POLARYS_OK, create_table(nullptr, "u"));
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(i), "1"));
        ASSERT_EQ(POLARYS_OK, db.put("u", std::to_string(i), "1"));
    }
    uint64_t before = db.result.version;
    ASSERT_EQ(POLARYS_OK, polarys_table_truncate(db.db, nullptr, "t", nullptr, nullptr, &db.error))
        << db.error.message;
    EXPECT_EQ(0u, db.contents("t").size());
    EXPECT_EQ(100u, db.contents("u").size());
    EXPECT_EQ(100u, db.contents("t", before).size()) << "history still has it";
    ASSERT_EQ(POLARYS_OK, db.put("t", "new", "1"));
    EXPECT_EQ(1u, db.contents("t").size());
}

TEST_F(Catalog, HoldsThousandsOfTables)
{
    for (int i = 0; i < 2000; i++) {
        std::string name = "t" + std::to_string(i);
        ASSERT_EQ(POLARYS_OK, create_table(nullptr, name.c_str())) << i << db.error.message;
    }
    ASSERT_EQ(POLARYS_OK, db.put("t1999", "k", "1"));
    reopen(false);
    EXPECT_EQ(2000u, db.status().table_count);
    EXPECT_EQ("1", db.get("t1999", "k"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, db.get_code("t2000", "k"));
}
