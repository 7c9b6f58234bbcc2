/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes follow every kind of write, in the same commit, and unique ones refuse what would break them.
 */
#include "tests/support/engine/raw_write.h"
#include "tests/support/engine/test_index.h"

using test_index::check;
using test_index::create;
using test_index::create_ready;
using test_index::drop;
using test_index::expect_clean;
using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::world;

namespace {

std::string detail(const polarys_error &error, const char *name)
{
    const char *value = polarys_error_detail_find(&error, name);
    return value == nullptr ? "" : value;
}

class IndexWrite : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }
    void TearDown() override
    {
        if (db.db != nullptr) {
            expect_clean(db, "t");
            ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
            ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
            expect_clean(db, "t");
        }
    }
    uint64_t entries(const char *index)
    {
        polarys_index_check_result result = check(db, "t", index);
        EXPECT_EQ(0u, result.missing_count + result.stray_count) << result.first_fault;
        return result.entry_count;
    }
    world w;
    store db{w};
};

TEST_F(IndexWrite, EveryWayToWriteMaintainsEveryIndex)
{
    create_ready(db, "t", {"by_a", {"a"}});
    create_ready(db, "t", {"by_hash", {"a", "b"}, POLARYS_INDEX_HASH});
    create_ready(db, "t", {"by_b", {"b", "a"}, POLARYS_INDEX_ORDERED, true});
    create_ready(db, "t", {"words", {"text"}, POLARYS_INDEX_TEXT});
    ASSERT_EQ(POLARYS_OK, db.put("t", "1", R"({"a":1,"b":"x","text":"one two"})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "2", R"({"a":[1,2,3],"b":"y"})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "3", raw_of("not json")));
    EXPECT_EQ(1u + 3 + 1 + 1, entries("by_a")); /* with the marker of a document with several */
    EXPECT_EQ(1u + 3 + 1, entries("by_hash"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "1", R"({"a":2,"b":null})"));
    EXPECT_EQ(6u, entries("by_b"));
    batch changes(db);
    ASSERT_EQ(POLARYS_OK, changes.update("t", "2", R"({"a":[3,4]})"));
    ASSERT_EQ(POLARYS_OK, changes.update("t", "2", R"({"b":"z"})"));
    ASSERT_EQ(POLARYS_OK, changes.remove("t", "3"));
    ASSERT_EQ(POLARYS_OK, changes.put("t", "4", "[1]"));
    ASSERT_EQ(POLARYS_OK, changes.put("t", "5", "{}"));
    ASSERT_EQ(POLARYS_OK, changes.remove("t", "5"));
    ASSERT_EQ(POLARYS_OK, changes.commit()) << changes.error.message;
    EXPECT_EQ(1u + 2 + 1 + 1, entries("by_a"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "1"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "nothing"));
    EXPECT_EQ(4u, entries("by_a"));
}

TEST_F(IndexWrite, AnUnchangedFieldWritesNoEntry)
{
    const std::vector<test_index::asked> kinds = {
        {"ordered", {"a"}},
        {"hash", {"a"}, POLARYS_INDEX_HASH},
        {"unique", {"a"}, POLARYS_INDEX_ORDERED, true},
        {"text", {"s"}, POLARYS_INDEX_TEXT, false, "none"},
    };
    for (const auto &kind : kinds) {
        create_ready(db, "t", kind);
    }
    auto versions = [this] {
        std::vector<uint64_t> all;
        for (const auto &each : test_index::list(db, "t")) {
            uint64_t version = 0;
            EXPECT_EQ(POLARYS_OK,
                      raw_newest_version(db.db, 1, each.info.index_id, &version, &db.error));
            all.push_back(version);
        }
        return all;
    };
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", R"({"a":1,"b":1,"s":"one"})"));
    const std::vector<uint64_t> made(kinds.size(), db.result.version);
    EXPECT_EQ(made, versions());
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", R"({"a":1.0,"b":2,"s":"one"})"));
    batch other(db);
    ASSERT_EQ(POLARYS_OK, other.update("t", "k", R"({"b":3})"));
    ASSERT_EQ(POLARYS_OK, other.commit()) << other.error.message;
    EXPECT_EQ(made, versions());
    EXPECT_EQ(1u, entries("ordered"));
    /* What does change is written. */
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", R"({"a":2,"b":2,"s":"two"})"));
    EXPECT_EQ(std::vector<uint64_t>(kinds.size(), db.result.version), versions());
}

TEST_F(IndexWrite, AUniqueIndexRefusesASecondDocumentAndNamesTheFirst)
{
    create_ready(db, "t", {"u", {"mail"}, POLARYS_INDEX_HASH, true});
    ASSERT_EQ(POLARYS_OK, db.put("t", "ann", R"({"mail":"a@x"})"));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, db.put("t", "bob", R"({"mail":"a@x"})"));
    EXPECT_EQ("u", detail(db.error, "index"));
    EXPECT_EQ("ann", detail(db.error, "key"));
    EXPECT_EQ("bob", detail(db.error, "written_key"));
    EXPECT_EQ("0", detail(db.error, "operation"));
    EXPECT_FALSE(db.get("t", "bob").has_value());
    /* The same document again, another value, then the freed one. */
    ASSERT_EQ(POLARYS_OK, db.put("t", "ann", R"({"mail":"a@x","n":2})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "ann", R"({"mail":"b@x"})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "bob", R"({"mail":"a@x"})"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "bob"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "cy", R"({"mail":"a@x"})"));
    /* Keys that cannot be shown are named in hex. */
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, db.put("t", std::string("\0\xff", 2), R"({"mail":"a@x"})"));
    EXPECT_EQ("0x00ff", detail(db.error, "written_key"));
}

TEST_F(IndexWrite, DocumentsThatLackAFieldAreExemptFromUniqueness)
{
    create_ready(db, "t", {"u", {"a", "b"}, POLARYS_INDEX_ORDERED, true});
    for (const char *json : {R"({"a":1})", R"({"a":1,"b":null})", "{}", "[]", "7"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::string("x") + json, json));
        ASSERT_EQ(POLARYS_OK, db.put("t", std::string("y") + json, json));
    }
    ASSERT_EQ(POLARYS_OK, db.put("t", "1", R"({"a":1,"b":[1,2]})"));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, db.put("t", "2", R"({"a":[0,1],"b":2})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "2", R"({"a":1,"b":"2"})"));
    EXPECT_EQ(10u + 2 + 1 + 1, entries("u"));
}

TEST_F(IndexWrite, ABatchMaySwapMoveAndFreeUniqueValues)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_ORDERED, true});
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"v":1})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", R"({"v":2})"));
    batch swap(db);
    ASSERT_EQ(POLARYS_OK, swap.put("t", "a", R"({"v":2})"));
    ASSERT_EQ(POLARYS_OK, swap.put("t", "b", R"({"v":1})"));
    ASSERT_EQ(POLARYS_OK, swap.commit()) << swap.error.message;
    expect_clean(db, "t");
    batch move(db);
    ASSERT_EQ(POLARYS_OK, move.put("t", "c", R"({"v":2})"));
    ASSERT_EQ(POLARYS_OK, move.remove("t", "a"));
    ASSERT_EQ(POLARYS_OK, move.commit()) << move.error.message;
    EXPECT_EQ(2u, entries("u"));
    batch twice(db);
    ASSERT_EQ(POLARYS_OK, twice.put("t", "d", R"({"v":9})"));
    ASSERT_EQ(POLARYS_OK, twice.put("t", "e", R"({"v":9})"));
    ASSERT_EQ(POLARYS_OK, twice.put("t", "d", R"({"v":8})"));
    ASSERT_EQ(POLARYS_OK, twice.commit()) << twice.error.message;
    /* Only what is left in the end counts. */
    EXPECT_EQ(4u, entries("u"));
}

TEST_F(IndexWrite, OneViolationInABatchOfAThousandWritesNothing)
{
    create_ready(db, "t", {"u", {"n"}, POLARYS_INDEX_ORDERED, true});
    create_ready(db, "t", {"o", {"n"}});
    ASSERT_EQ(POLARYS_OK, db.put("t", "there", R"({"n":500})"));
    batch many(db);
    for (int i = 0; i < 1000; i++) {
        std::string n = std::to_string(i);
        ASSERT_EQ(POLARYS_OK, many.put("t", "k" + n, R"({"n":)" + n + "}"));
    }
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, many.commit());
    EXPECT_EQ("there", detail(many.error, "key"));
    EXPECT_EQ("k500", detail(many.error, "written_key"));
    EXPECT_EQ("500", detail(many.error, "operation"));
    EXPECT_EQ(1u, db.contents("t").size());
    EXPECT_EQ(1u, entries("u"));
    /* Within the batch: the later of two. */
    ASSERT_EQ(POLARYS_OK, many.put("t", "there", R"({"n":1000})"));
    ASSERT_EQ(POLARYS_OK, many.put("t", "k1000", R"({"n":77})"));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, many.commit());
    EXPECT_EQ("k77", detail(many.error, "key"));
    EXPECT_EQ("k1000", detail(many.error, "written_key"));
    EXPECT_EQ("1001", detail(many.error, "operation"));
    EXPECT_EQ(1u, db.contents("t").size());
    ASSERT_EQ(POLARYS_OK, many.remove("t", "k77"));
    ASSERT_EQ(POLARYS_OK, many.commit()) << many.error.message;
    EXPECT_EQ(1001u, entries("u"));
    EXPECT_EQ(1001u, entries("o"));
}

TEST_F(IndexWrite, ValuesOfDifferentTypesAreDifferent)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_HASH, true});
    int key = 0;
    for (const char *value : {"1", "\"1\"", "true", "false", "\"true\"", "[[1]]", "{}", "\"\"",
                              "\"null\"", "\"ABC\"", "\"abc\"", "0"}) {
        ASSERT_EQ(POLARYS_OK,
                  db.put("t", std::to_string(key++), std::string(R"({"v":)") + value + "}"))
            << value << db.error.message;
    }
    for (const char *value : {"1.0", "10e-1", "\"\\u0031\"", "[[1.0]]", "-0", "[0,7]"}) {
        EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, db.put("t", "x", std::string(R"({"v":)") + value + "}"))
            << value;
    }
}

TEST_F(IndexWrite, AnExpiredDocumentHoldsNoUniqueValueAndGoesInTheSameCommit)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_ORDERED, true});
    create_ready(db, "t", {"o", {"w"}});
    uint64_t soon = w.now_ms() + 500;
    ASSERT_EQ(POLARYS_OK, db.put("t", "old", json_of(R"({"v":[1,2],"w":1})", soon)));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, db.put("t", "new", R"({"v":1})"));
    sim_clock_advance(&w.clock, 600 * UINT64_C(1000000)); /* nothing runs: the sweeper neither */
    EXPECT_FALSE(db.get("t", "old").has_value());
    ASSERT_EQ(POLARYS_OK, db.put("t", "new", R"({"v":1})")) << db.error.message;
    EXPECT_EQ(1u, entries("u"));
    EXPECT_EQ(1u, entries("o"));
    /* The sweeper finds nothing left of it, and takes nothing from the new one. */
    w.pass_ms(5000);
    EXPECT_EQ(1u, entries("u"));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, db.put("t", "newer", R"({"v":1})"));
}

TEST_F(IndexWrite, TwoValuesHeldByOneExpiredDocumentAreBothFree)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_ORDERED, true});
    ASSERT_EQ(POLARYS_OK, db.put("t", "old", json_of(R"({"v":[1,2,3]})", w.now_ms() + 500)));
    sim_clock_advance(&w.clock, 600 * UINT64_C(1000000));
    batch two(db);
    ASSERT_EQ(POLARYS_OK, two.put("t", "a", R"({"v":1})"));
    ASSERT_EQ(POLARYS_OK, two.put("t", "b", R"({"v":2})"));
    ASSERT_EQ(POLARYS_OK, two.commit()) << two.error.message;
    EXPECT_EQ(2u, entries("u"));
    /* Put again in the same batch it counts. */
    ASSERT_EQ(POLARYS_OK, db.put("t", "old", json_of(R"({"v":5})", w.now_ms() + 500)));
    sim_clock_advance(&w.clock, 600 * UINT64_C(1000000));
    batch again(db);
    ASSERT_EQ(POLARYS_OK, again.put("t", "old", R"({"v":5})"));
    ASSERT_EQ(POLARYS_OK, again.put("t", "c", R"({"v":5})"));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, again.commit());
}

TEST_F(IndexWrite, TheSweeperTakesEntriesAlong)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_HASH, true});
    create_ready(db, "t", {"words", {"s"}, POLARYS_INDEX_TEXT});
    for (int i = 0; i < 20; i++) {
        std::string n = std::to_string(i);
        ASSERT_EQ(POLARYS_OK,
                  db.put("t", n, json_of(R"({"v":)" + n + R"(,"s":"a b c"})", w.now_ms() + 1000)));
    }
    ASSERT_EQ(POLARYS_OK, db.put("t", "stays", R"({"v":99,"s":"a"})"));
    w.pass_ms(10000);
    EXPECT_EQ(1u, entries("u"));
    expect_clean(db, "t");
    EXPECT_EQ(1u, db.contents("t").size());
}

TEST_F(IndexWrite, TruncateEmptiesIndexesAndDropsTakeThemAlong)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_HASH, true});
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"v":1})"));
    ASSERT_EQ(POLARYS_OK, polarys_table_truncate(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    EXPECT_EQ(0u, entries("u"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", R"({"v":1})"));
    EXPECT_EQ(1u, entries("u"));
    ASSERT_EQ(POLARYS_OK, polarys_table_drop(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    EXPECT_EQ(0u, test_index::list(db, "t").size());
    ASSERT_EQ(POLARYS_OK, db.put("t", "c", R"({"v":1})"));
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_HASH, true});
    EXPECT_EQ(1u, entries("u"));
    ASSERT_EQ(POLARYS_OK, drop(db, "t", "u"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "d", R"({"v":1})"));
    EXPECT_EQ(POLARYS_INDEX_NOT_FOUND, drop(db, "t", "u"));
}

TEST_F(IndexWrite, ARangeDeleteTakesEntriesAlong)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_ORDERED, true});
    for (int i = 0; i < 50; i++) {
        std::string n = std::to_string(10 + i);
        ASSERT_EQ(POLARYS_OK, db.put("t", n, R"({"v":)" + n + "}"));
    }
    batch range(db);
    ASSERT_EQ(POLARYS_OK, range.put("t", "25", R"({"v":"dropped again"})"));
    ASSERT_EQ(POLARYS_OK, range.put("t", "2x", R"({"v":"never there"})"));
    ASSERT_EQ(POLARYS_OK, range.remove_range("t", "20", "30"));
    ASSERT_EQ(POLARYS_OK, range.put("t", "27", R"({"v":20})"));
    ASSERT_EQ(POLARYS_OK, range.remove_range("t", "50", ""));
    ASSERT_EQ(POLARYS_OK, range.commit()) << range.error.message;
    EXPECT_EQ(50u - 10 + 1 - 10, entries("u"));
    EXPECT_EQ(31u, db.contents("t").size());
    EXPECT_EQ(R"({"v":20})", db.get("t", "27").value_or(""));
}

TEST_F(IndexWrite, ARangeDeleteOfTooManyDocumentsIsRefused)
{
    ASSERT_EQ(POLARYS_OK, db.close());
    db.options.range_delete_max = 5;
    ASSERT_EQ(POLARYS_OK, db.open());
    create_ready(db, "t", {"o", {"v"}});
    for (int i = 0; i < 6; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(i), R"({"v":1})"));
    }
    batch range(db);
    ASSERT_EQ(POLARYS_OK, range.remove_range("t", "", ""));
    EXPECT_EQ(POLARYS_TOO_LARGE, range.commit());
    EXPECT_EQ("5", detail(range.error, "limit"));
    EXPECT_EQ(6u, db.contents("t").size());
    ASSERT_EQ(POLARYS_OK, db.remove("t", "3"));
    ASSERT_EQ(POLARYS_OK, range.commit());
    EXPECT_EQ(0u, entries("o"));
    /* In parts it goes whatever its size. */
    for (int i = 0; i < 13; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(10 + i), R"({"v":1})"));
    }
    std::string start = "11";
    std::string ends;
    for (int parts = 0; !start.empty(); parts++) {
        ASSERT_LT(parts, 3);
        uint8_t resume[POLARYS_KEY_BYTES_MAX];
        size_t size = 0;
        ASSERT_EQ(POLARYS_OK, polarys_table_delete_range_part(db.db, nullptr, "t", bytes_of(start),
                                                              bytes_of("22"), nullptr, resume,
                                                              &size, &db.result, &db.error))
            << db.error.message;
        start = std::string(reinterpret_cast<char *>(resume), size);
        ends += start + ".";
    }
    EXPECT_EQ("16.21..", ends);
    EXPECT_EQ(2u, entries("o"));
}

TEST_F(IndexWrite, ARepeatedRequestIsAnsweredNotDone)
{
    create_ready(db, "t", {"u", {"v"}, POLARYS_INDEX_HASH, true});
    polarys_write_options id{};
    id.has_request_id = true;
    memset(id.request_id, 7, sizeof(id.request_id));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of(R"({"v":1})"), &id));
    uint64_t version = db.result.version;
    ASSERT_EQ(POLARYS_OK, db.remove("t", "a"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", R"({"v":1})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of(R"({"v":1})"), &id)) << db.error.message;
    EXPECT_TRUE(db.result.is_replayed);
    EXPECT_EQ(version, db.result.version);
    EXPECT_EQ(1u, entries("u"));
    id.request_id[0] = 8;
    std::string name;
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"", {"w"}}, &name, &id));
    EXPECT_EQ("t_w_ordered", name);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"", {"w"}}, &name, &id));
    EXPECT_TRUE(db.result.is_replayed);
    EXPECT_EQ("t_w_ordered", name);
    EXPECT_EQ(POLARYS_REQUEST_ID_REUSED, create(db, "t", {"", {"x"}}, &name, &id));
    ASSERT_EQ(POLARYS_OK, test_index::wait(db, "t", "t_w_ordered"));
}

TEST_F(IndexWrite, WhatDoesNotFitAnIndexIsRefusedByName)
{
    create_ready(db, "t", {"o", {"v"}});
    std::string longest(POLARYS_INDEX_KEY_BYTES_MAX - 2, 'x');
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"v":")" + longest + "\"}")) << db.error.message;
    EXPECT_EQ(POLARYS_TOO_LARGE, db.put("t", "b", R"({"v":"x)" + longest + "\"}"));
    EXPECT_EQ("o", detail(db.error, "index"));
    EXPECT_EQ("2048", detail(db.error, "limit"));
    EXPECT_EQ("2049", detail(db.error, "size"));
    std::string many = R"({"v":[0)";
    for (int i = 1; i <= POLARYS_INDEX_ENTRIES_MAX; i++) {
        many += "," + std::to_string(i);
    }
    EXPECT_EQ(POLARYS_TOO_LARGE, db.put("t", "b", many + "]}"));
    EXPECT_EQ("10000", detail(db.error, "limit"));
    ASSERT_EQ(POLARYS_OK, drop(db, "t", "o"));
    create_ready(db, "t", {"h", {"v"}, POLARYS_INDEX_HASH});
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", R"({"v":"x)" + longest + "\"}"));
    /* The longest keys there are. */
    create_ready(db, "t", {"o2", {"w"}});
    for (char last : {'1', '2'}) {
        std::string key(POLARYS_KEY_BYTES_MAX - 1, 'k');
        ASSERT_EQ(POLARYS_OK, db.put("t", key + last, R"({"w":")" + longest + "\"}"));
    }
    EXPECT_EQ(4u, entries("o2"));
}

} // namespace
