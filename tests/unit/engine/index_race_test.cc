/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes that fall between what an index's entries were worked out from and the commit that holds them: those
 * of another write of the same document, and those of a chunk of a build.
 *
 * A batch that is submitted is prepared and waits in the log's queue until somebody drives it. What is prepared
 * next goes by the same version and commits behind it: that is the window, hit exactly and without threads.
 */
#include <functional>

#include "tests/support/engine/test_index.h"

using test_index::asked;
using test_index::create;
using test_index::create_ready;
using test_index::expect_clean;
using test_index::list;
using test_index::wait;
using test_store::batch;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::world;

namespace {

using change = std::function<polarys_code(batch &, const std::string &table)>;

/* A batch that is prepared and not committed. */
class submitted {
  public:
    submitted(store &db, const std::string &table, const change &what) : writes(db)
    {
        EXPECT_EQ(POLARYS_OK, what(writes, table)) << writes.error.message;
        polarys_batch_submit(writes.handle, nullptr, note, this);
    }
    /* Also where the test has failed: a batch may not go before it is done. */
    ~submitted()
    {
        drive();
    }
    void drive()
    {
        for (int i = 0; i < 1000 && !is_done; i++) {
            (void)polarys_db_drive(writes.owner.db, 1);
            if (!is_done) {
                sim_executor_run_one(writes.owner.surroundings.executor);
            }
        }
    }
    static void note(void *context, polarys_code code, const polarys_write_result *result,
                     const polarys_error *err)
    {
        auto *to = static_cast<submitted *>(context);
        ASSERT_FALSE(to->is_done) << "done was called twice";
        to->is_done = true;
        to->code = code;
        to->version = result->version;
        to->message = code == POLARYS_OK ? "" : err->message;
    }
    batch writes;
    bool is_done = false;
    polarys_code code = POLARYS_OK;
    uint64_t version = 0;
    std::string message;
};

change put(const std::string &key, const std::string &json)
{
    return [=](batch &b, const std::string &table) { return b.put(table, key, json); };
}

change put_raw(const std::string &key)
{
    return [=](batch &b, const std::string &table) { return b.put(table, key, raw_of("bytes")); };
}

change update(const std::string &key, const std::string &patch)
{
    return [=](batch &b, const std::string &table) { return b.update(table, key, patch); };
}

change remove(const std::string &key)
{
    return [=](batch &b, const std::string &table) { return b.remove(table, key); };
}

change remove_range(const std::string &start, const std::string &end)
{
    return [=](batch &b, const std::string &table) { return b.remove_range(table, start, end); };
}

change both(const change &one, const change &other)
{
    return [=](batch &b, const std::string &table) {
        polarys_code code = one(b, table);
        return code == POLARYS_OK ? other(b, table) : code;
    };
}

std::string key_of(int i)
{
    std::string digits = std::to_string(i);
    return "k" + std::string(4 - digits.size(), '0') + digits;
}

std::string json_at(int i)
{
    std::string n = std::to_string(i);
    return R"({"n":)" + n + R"(,"s":"word)" + n + "\"}";
}

const std::vector<asked> kinds = {
    {"ordered", {"n"}},
    {"hash", {"n"}, POLARYS_INDEX_HASH},
    {"unique", {"n", "s"}, POLARYS_INDEX_ORDERED, true},
    {"text", {"s"}, POLARYS_INDEX_TEXT, false, "none"},
};

class IndexRace : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    }
    void table_of(const std::string &table, int count)
    {
        ASSERT_EQ(POLARYS_OK, db.create_table(table));
        batch many(db);
        for (int i = 0; i < count; i++) {
            ASSERT_EQ(POLARYS_OK, many.put(table, key_of(i), json_at(i)));
        }
        ASSERT_EQ(POLARYS_OK, many.commit()) << many.error.message;
    }
    void drive(const std::vector<submitted *> &all)
    {
        for (submitted *each : all) {
            each->drive();
            ASSERT_TRUE(each->is_done);
        }
    }
    /* What the indexes say, now and after an open. */
    void expect_clean_for_good(const std::string &table)
    {
        expect_clean(db, table);
        ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        expect_clean(db, table);
    }
    world w;
    store db{w};
};

/* ---- builds ---- */

/* The chunk reads while the change waits, and commits behind it. */
struct build_case {
    const char *name;
    change late;
    std::map<std::string, std::string> changes; /* "" when it is gone */
    uint64_t conflicts;
};

const std::vector<build_case> build_cases = {
    {"another value", put("k0005", json_at(1005)), {{"k0005", json_at(1005)}}, 1},
    {"update", update("k0005", R"({"n":7000})"), {{"k0005", R"({"n":7000,"s":"word5"})"}}, 1},
    {"no value", put("k0005", "{}"), {{"k0005", "{}"}}, 1},
    {"not JSON", put_raw("k0005"), {{"k0005", "bytes"}}, 1},
    {"delete of the first", remove("k0000"), {{"k0000", ""}}, 1},
    {"delete of the last", remove("k0019"), {{"k0019", ""}}, 1},
    {"range delete", remove_range("k0017", "l"), {{"k0017", ""}, {"k0018", ""}, {"k0019", ""}}, 1},
    {"move", both(remove("k0005"), put("z", json_at(5))), {{"k0005", ""}, {"z", json_at(5)}}, 1},
    {"swap",
     both(put("k0005", json_at(6)), put("k0006", json_at(5))),
     {{"k0005", json_at(6)}, {"k0006", json_at(5)}},
     1},
    /* The build has not seen it, and need not: the write brings its entries along. */
    {"a new document", put("k0005a", json_at(1005)), {{"k0005a", json_at(1005)}}, 0},
};

TEST_F(IndexRace, AWriteBetweenAChunksReadingAndItsCommitLeavesNothingBehind)
{
    int number = 0;
    for (const asked &kind : kinds) {
        for (const build_case &each : build_cases) {
            SCOPED_TRACE(kind.name + ", " + each.name);
            std::string table = "t" + std::to_string(number++);
            table_of(table, 20);
            auto expected = db.contents(table);
            ASSERT_EQ(POLARYS_OK, create(db, table, kind)) << db.error.message;
            uint64_t version = db.status().version;
            uint64_t conflicts = db.status().conflict_count;
            submitted late(db, table, each.late);
            for (int i = 0; i < 100 && !late.is_done; i++) {
                ASSERT_TRUE(sim_executor_run_one(w.executor));
            }
            ASSERT_EQ(POLARYS_OK, late.code) << late.message;
            EXPECT_EQ(version + 1, late.version) << "the chunk came first";
            ASSERT_EQ(POLARYS_OK, wait(db, table, kind.name)) << db.error.message;
            EXPECT_EQ(conflicts + each.conflicts, db.status().conflict_count);
            expect_clean(db, table);
            for (const auto &[key, value] : each.changes) {
                expected.erase(key);
                if (!value.empty()) {
                    expected[key] = value;
                }
            }
            EXPECT_EQ(expected, db.contents(table));
        }
    }
    ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    while (number > 0) {
        expect_clean(db, "t" + std::to_string(--number));
    }
}

TEST_F(IndexRace, AWriteInTheWindowOfEveryChunkIsInTheIndexAndDoesNotKeepItFromItsEnd)
{
    constexpr int count = 2000;
    table_of("t", count);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"u", {"n"}, POLARYS_INDEX_ORDERED, true}));
    uint64_t conflicts = db.status().conflict_count;
    int step = 0;
    while (list(db, "t")[0].info.state == POLARYS_INDEX_STATE_BUILDING) {
        ASSERT_LT(++step, 10000);
        std::string key = key_of(step * 197 % count);
        std::string next = key_of((step * 197 + 500) % count);
        submitted late(
            db, "t", both(put(key, R"({"n":)" + std::to_string(count + step) + "}"), remove(next)));
        sim_executor_run_one(w.executor);
        drive({&late});
        ASSERT_EQ(POLARYS_OK, late.code) << late.message;
    }
    EXPECT_LT(conflicts, db.status().conflict_count);
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "u")) << db.error.message;
    expect_clean_for_good("t");
}

TEST_F(IndexRace, ADocumentThatIsRenewedWhileABuildDeletesItStays)
{
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of(R"({"n":1})", w.now_ms() + 100)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", R"({"n":1})"));
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"u", {"n"}, POLARYS_INDEX_ORDERED, true}));
    sim_clock_advance(&w.clock, UINT64_C(101000000));
    submitted late(db, "t", put("a", R"({"n":2})"));
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "u")) << db.error.message;
    drive({&late});
    ASSERT_EQ(POLARYS_OK, late.code) << late.message;
    EXPECT_EQ(R"({"n":2})", db.get("t", "a").value_or("gone"));
    EXPECT_EQ(2u, expect_clean(db, "t"));
}

/* ---- writes ---- */

/* Both are prepared by the same version; the one that is first commits first. */
struct write_case {
    const char *name;
    change first;
    change second;
    std::string left; /* of "k0005"; "" when it is gone */
    uint64_t conflicts;
};

const std::vector<write_case> write_cases = {
    {"put, put", put("k0005", json_at(105)), put("k0005", json_at(205)), json_at(205), 1},
    {"put, the old again", put("k0005", json_at(105)), put("k0005", json_at(5)), json_at(5), 1},
    {"put, update", put("k0005", json_at(105)), update("k0005", R"({"n":9000})"),
     R"({"n":9000,"s":"word105"})", 1},
    {"update, put", update("k0005", R"({"n":9000})"), put("k0005", json_at(205)), json_at(205), 1},
    {"put, delete", put("k0005", json_at(105)), remove("k0005"), "", 1},
    {"delete, put", remove("k0005"), put("k0005", json_at(5)), json_at(5), 1},
    {"delete, delete", remove("k0005"), remove("k0005"), "", 1},
    {"put, not JSON", put("k0005", json_at(105)), put_raw("k0005"), "bytes", 1},
    {"not JSON, put", put_raw("k0005"), put("k0005", json_at(5)), json_at(5), 1},
    {"put, range delete", put("k0005", json_at(105)), remove_range("k0005", "k0007"), "", 1},
    {"range delete, put", remove_range("k0005", "k0007"), put("k0005", json_at(5)), json_at(5), 1},
    {"a new one, range delete", put("k0005a", json_at(105)), remove_range("k0005", "k0007"), "", 1},
    {"others", put("k0004", json_at(105)), put("k0005", json_at(205)), json_at(205), 0},
};

TEST_F(IndexRace, TwoWritesOfOneDocumentThatOverlapLeaveNothingBehind)
{
    table_of("t", 10);
    for (const asked &kind : kinds) {
        create_ready(db, "t", kind);
    }
    for (const write_case &each : write_cases) {
        SCOPED_TRACE(each.name);
        ASSERT_EQ(POLARYS_OK, db.put("t", "k0005", json_at(5))) << db.error.message;
        uint64_t conflicts = db.status().conflict_count;
        submitted first(db, "t", each.first);
        submitted second(db, "t", each.second);
        ASSERT_FALSE(first.is_done || second.is_done);
        drive({&first, &second});
        ASSERT_EQ(POLARYS_OK, first.code) << first.message;
        ASSERT_EQ(POLARYS_OK, second.code) << second.message;
        EXPECT_EQ(first.version + 1, second.version);
        EXPECT_EQ(conflicts + each.conflicts, db.status().conflict_count);
        EXPECT_EQ(each.left, db.get("t", "k0005").value_or(""));
        expect_clean(db, "t");
    }
    expect_clean_for_good("t");
}

TEST_F(IndexRace, ADocumentThatTwoMakeAtOnceHasTheEntriesOfTheSecond)
{
    table_of("t", 1);
    create_ready(db, "t", {"o", {"n"}});
    submitted first(db, "t", put("new", R"({"n":[1,2,3]})"));
    submitted second(db, "t", put("new", R"({"n":[3,4]})"));
    drive({&first, &second});
    EXPECT_EQ(POLARYS_OK, first.code) << first.message;
    EXPECT_EQ(POLARYS_OK, second.code) << second.message;
    EXPECT_EQ(1u + 2 + 1, expect_clean(db, "t")); /* with the marker of a document with several */
}

TEST_F(IndexRace, AWriteThatIsWaitedForLooksAgainWhereAnotherWasFirst)
{
    table_of("t", 10);
    create_ready(db, "t", {"o", {"n"}});
    uint64_t conflicts = db.status().conflict_count;
    submitted first(db, "t", put("k0005", json_at(105)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k0005", json_at(205))) << db.error.message;
    ASSERT_TRUE(first.is_done);
    EXPECT_LT(first.version, db.result.version);
    EXPECT_EQ(conflicts + 1, db.status().conflict_count);
    EXPECT_EQ(10u, expect_clean(db, "t"));
    submitted third(db, "t", put("k0005", json_at(305)));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "k0005")) << db.error.message;
    EXPECT_TRUE(third.is_done);
    EXPECT_EQ(9u, expect_clean(db, "t"));
}

TEST_F(IndexRace, OfTwoDocumentsThatTakeOneUniqueValueAtOnceOneIsRefused)
{
    table_of("t", 2);
    create_ready(db, "t", {"u", {"n"}, POLARYS_INDEX_HASH, true});
    submitted first(db, "t", put("a", R"({"n":50})"));
    submitted second(db, "t", put("b", R"({"n":50})"));
    drive({&first, &second});
    EXPECT_EQ(POLARYS_OK, first.code) << first.message;
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, second.code);
    EXPECT_FALSE(db.get("t", "b").has_value());
    /* One that gives the value up while another still sees it held. */
    submitted freed(db, "t", remove("a"));
    submitted taken(db, "t", both(remove("k0000"), put("a", R"({"n":51})")));
    drive({&freed, &taken});
    EXPECT_EQ(POLARYS_OK, taken.code) << taken.message;
    EXPECT_EQ(2u, expect_clean(db, "t"));
}

TEST_F(IndexRace, ManyWritersOfOneDocumentLeaveTheEntriesOfTheLast)
{
    table_of("t", 1);
    create_ready(db, "t", {"o", {"n"}});
    create_ready(db, "t", {"words", {"s"}, POLARYS_INDEX_TEXT, false, "none"});
    std::vector<std::unique_ptr<submitted>> all;
    for (int i = 0; i < 20; i++) {
        change what = i % 5 == 4 ? remove("k0000") : put("k0000", json_at(100 + i));
        all.push_back(std::make_unique<submitted>(db, "t", what));
    }
    for (const auto &each : all) {
        drive({each.get()});
        ASSERT_EQ(POLARYS_OK, each->code) << each->message;
    }
    expect_clean_for_good("t");
}

} // namespace
