/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches of a whole store: which index, what is shown, what a filter leaves, what fails and how.
 */
/* In C a struct and a function may have one name. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "engine/engine_index.h"
#include "engine/engine_query.h"
#pragma GCC diagnostic pop
#include "tests/support/engine/raw_write.h"
#include "tests/support/engine/test_store.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

using Strings = std::vector<std::string>;

struct Found {
    polarys_code code = POLARYS_OK;
    Strings keys;
    Strings values;
    Strings highlights; /* of all hits; marks as < and > */
    std::vector<uint64_t> versions;
    uint64_t version = 0;
    uint64_t total = 0;
    size_t stop_after = SIZE_MAX;
    polarys_txn *txn = nullptr;
    polarys_error err{};
};

bool take(void *context, const polarys_search_hit *hit)
{
    auto *found = static_cast<Found *>(context);
    found->keys.push_back(text_of(hit->document.key));
    found->values.push_back(text_of(hit->document.value.bytes));
    found->versions.push_back(hit->document.version);
    EXPECT_GT(hit->score, 0.0);
    for (size_t i = 0; i < hit->highlight_count; i++) {
        std::string piece = hit->highlights[i];
        for (char &byte : piece) {
            byte = byte == 1 ? '<' : byte == 2 ? '>' : byte;
        }
        found->highlights.push_back(piece);
    }
    return found->keys.size() < found->stop_after;
}

class StoreSearch : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }

    void index(const char *name, std::vector<const char *> fields, const char *language = "english")
    {
        polarys_index_options options{};
        options.name = name;
        options.fields = fields.data();
        options.field_count = fields.size();
        options.kind = POLARYS_INDEX_TEXT;
        options.language = language;
        ASSERT_EQ(POLARYS_OK, polarys_index_create(db.db, nullptr, "t", &options, nullptr, nullptr,
                                                   nullptr, &err))
            << err.message;
        ASSERT_EQ(POLARYS_OK, polarys_index_wait(db.db, nullptr, "t", name, 10000, &err))
            << err.message;
    }

    polarys_search_options asked(const std::string &text)
    {
        polarys_search_options options{};
        options.table = "t";
        text_ = text;
        options.text = bytes_of(text_);
        return options;
    }

    Found search(const polarys_search_options &options, size_t stop_after = SIZE_MAX)
    {
        Found found;
        found.stop_after = stop_after;
        found.code = polarys_search(db.db, &options, nullptr, take, &found, &found.version,
                                    &found.total, &found.err);
        return found;
    }

    Found search(const std::string &text)
    {
        return search(asked(text));
    }

    world surroundings;
    store db{surroundings};
    polarys_error err{};

  private:
    std::string text_;
};

} // namespace

TEST_F(StoreSearch, FindsDocumentsWrittenBeforeAndAfterTheIndex)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "before", R"({"body": "a quick fox"})"));
    index("words", {"body"});
    ASSERT_EQ(POLARYS_OK, db.put("t", "after", R"({"body": "foxes", "tags": ["fox"]})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "other", R"({"body": "a dog", "note": "fox"})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "raw", raw_of("fox")));
    Found found = search("fox");
    EXPECT_EQ(found.keys, (Strings{"after", "before"}));
    EXPECT_EQ(found.total, 2u);
    EXPECT_EQ(found.version, polarys_db_version(db.db));
    EXPECT_EQ(found.values[1], R"({"body": "a quick fox"})");
    ASSERT_EQ(POLARYS_OK, db.put("t", "after", R"({"body": "cats"})"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "before"));
    EXPECT_EQ(search("fox").total, 0u);
    EXPECT_EQ(search("cat").keys, (Strings{"after"}));
}

TEST_F(StoreSearch, ReadsOlderVersions)
{
    index("words", {"body"});
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"body": "old"})"));
    uint64_t version = polarys_db_version(db.db);
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"body": "new"})"));
    polarys_search_options options = asked("old");
    EXPECT_EQ(search(options).total, 0u);
    options.version = version;
    Found found = search(options);
    EXPECT_EQ(found.keys, (Strings{"a"}));
    EXPECT_EQ(found.versions, (std::vector<uint64_t>{version}));
    EXPECT_EQ(found.version, version);
    options.version = polarys_db_version(db.db) + 1;
    EXPECT_EQ(search(options).code, POLARYS_FUTURE_VERSION);
}

TEST_F(StoreSearch, RefusesVersionsAtWhichTheIndexWasNotWhole)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"body": "fox"})"));
    polarys_search_options options = asked("fox");
    options.version = polarys_db_version(db.db);
    index("words", {"body"});
    EXPECT_EQ(search(options).code, POLARYS_INDEX_BUILDING);
    EXPECT_EQ(search("fox").total, 1u);
}

TEST_F(StoreSearch, FindsNoIndexThatItsVersionSeesDroppedWhateverTheCatalogueSays)
{
    index("words", {"body"});
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"body": "fox"})"));
    struct catalog *before = raw_catalog_keep(db.db);
    ASSERT_EQ(POLARYS_OK, polarys_index_drop(db.db, nullptr, "t", "words", nullptr, nullptr, &err));
    struct catalog *after = raw_catalog_swap(db.db, before);
    EXPECT_EQ(search("fox").code, POLARYS_INDEX_NOT_FOUND);
    EXPECT_EQ(before, raw_catalog_swap(db.db, after));
    raw_catalog_release(before);
}

TEST_F(StoreSearch, TakesTheIndexOfTheField)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"x": "one", "y": {"z": "two"}})"));
    EXPECT_EQ(search("one").code, POLARYS_INDEX_NOT_FOUND);
    index("both", {"x", "y.z"});
    EXPECT_EQ(search("one two").total, 1u);
    polarys_search_options options = asked("one");
    options.field = "`y`.z";
    EXPECT_EQ(search(options).total, 1u);
    index("alone", {"y.z"});
    EXPECT_EQ(search(options).total, 0u);
    options.text = slice_from_text("two");
    EXPECT_EQ(search(options).total, 1u);
    options.field = nullptr;
    EXPECT_EQ(search(options).code, POLARYS_BAD_ARGUMENT);
    options.field = "other";
    EXPECT_EQ(search(options).code, POLARYS_INDEX_NOT_FOUND);
    options.field = "a..b";
    EXPECT_EQ(search(options).code, POLARYS_BAD_ARGUMENT);
    ASSERT_EQ(POLARYS_OK, polarys_index_drop(db.db, nullptr, "t", "alone", nullptr, nullptr, &err));
    ASSERT_EQ(POLARYS_OK, polarys_index_drop(db.db, nullptr, "t", "both", nullptr, nullptr, &err));
    EXPECT_EQ(search("one").code, POLARYS_INDEX_NOT_FOUND);
}

TEST_F(StoreSearch, LeavesOutWhatTheFilterRefuses)
{
    index("words", {"body"});
    for (int i = 0; i < 20; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(10 + i),
                                     "{\"body\": \"fox\", \"n\": " + std::to_string(i) + "}"));
    }
    polarys_search_options options = asked("fox");
    options.filter = slice_from_text("n >= 17");
    Found found = search(options);
    EXPECT_EQ(found.code, POLARYS_OK) << found.err.message;
    EXPECT_EQ(found.keys, (Strings{"k27", "k28", "k29"}));
    EXPECT_EQ(found.total, 3u);
    options.filter = slice_from_text("n >=");
    found = search(options);
    EXPECT_EQ(found.code, POLARYS_BAD_FILTER);
    EXPECT_NE(polarys_error_detail_find(&found.err, "position"), nullptr);
}

TEST_F(StoreSearch, ShowsMembersAndHighlights)
{
    index("words", {"body", "tags"});
    ASSERT_EQ(
        POLARYS_OK,
        db.put("t", "a",
               R"({"tags": ["red fox", 7, "dog"], "body": "The \"quick\" foxes\u0001", "n": 1})"));
    const char *mask[] = {"n"};
    polarys_search_options options = asked("fox");
    options.read_mask = mask;
    options.read_mask_count = 1;
    options.with_highlights = true;
    Found found = search(options);
    EXPECT_EQ(found.values, (Strings{R"({"n":1})"}));
    EXPECT_EQ(found.highlights, (Strings{"red <fox>", "The \"quick\" <foxes>"}));
    options.with_highlights = false;
    EXPECT_TRUE(search(options).highlights.empty());
}

TEST_F(StoreSearch, GivesPages)
{
    index("words", {"body"});
    Strings all;
    for (int i = 0; i < 250; i++) {
        all.push_back("k" + std::to_string(100 + i));
        ASSERT_EQ(POLARYS_OK, db.put("t", all.back(), R"({"body": "fox"})"));
    }
    polarys_search_options options = asked("fox");
    EXPECT_EQ(search(options).keys, Strings(all.begin(), all.begin() + 100));
    options.limit = 30;
    options.offset = 235;
    Found found = search(options);
    EXPECT_EQ(found.keys, Strings(all.begin() + 235, all.end()));
    EXPECT_EQ(found.total, 250u);
    options.offset = 300;
    EXPECT_TRUE(search(options).keys.empty());
    options.offset = 0;
    EXPECT_EQ(search(options, 7).keys.size(), 7u);
    options.limit = 10001;
    EXPECT_EQ(search(options).code, POLARYS_BAD_ARGUMENT);
    options.limit = 1;
    options.offset = 10000;
    EXPECT_EQ(search(options).code, POLARYS_BAD_ARGUMENT);
    options.offset = UINT64_MAX;
    EXPECT_EQ(search(options).code, POLARYS_BAD_ARGUMENT);
}

TEST_F(StoreSearch, HidesWhatHasExpired)
{
    index("words", {"body"});
    uint64_t now_ms = surroundings.now_ms();
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of(R"({"body": "fox"})", now_ms + 5)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", json_of(R"({"body": "fox"})")));
    EXPECT_EQ(search("fox").total, 2u);
    uint64_t version = polarys_db_version(db.db);
    surroundings.pass_ms(10);
    EXPECT_EQ(search("fox").keys, (Strings{"b"}));
    polarys_search_options options = asked("fox");
    options.version = version;
    EXPECT_EQ(search(options).total, 2u);
}

TEST_F(StoreSearch, StopsWhenAsked)
{
    index("words", {"body"});
    for (int i = 0; i < 5000; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(i), R"({"body": "fox"})"));
    }
    polarys_search_options options = asked("fox");
    Found found;
    EXPECT_EQ(
        polarys_search(
            db.db, &options, [](void *) { return true; }, take, &found, nullptr, nullptr, &err),
        POLARYS_CANCELLED);
    EXPECT_TRUE(found.keys.empty());
}

TEST_F(StoreSearch, GathersStatisticsThatChangeNoAnswer)
{
    index("words", {"body"});
    for (int i = 0; i < 2500; i++) {
        ASSERT_EQ(POLARYS_OK,
                  db.put("t", "k" + std::to_string(i),
                         i % 3 == 0 ? R"({"body": "fox den"})" : R"({"body": "a fox or two"})"));
    }
    uint64_t version = polarys_db_version(db.db);
    Found before = search("fox den");
    surroundings.pass_ms(1000);
    EXPECT_EQ(polarys_db_version(db.db), version + 1) << "one commit with the statistics";
    Found after = search("fox den");
    EXPECT_EQ(after.keys, before.keys);
    surroundings.pass_ms(60000);
    search("fox");
    surroundings.pass_ms(1000);
    EXPECT_EQ(polarys_db_version(db.db), version + 1) << "they are not old";
    polarys_index_check_result check{};
    ASSERT_EQ(POLARYS_OK,
              polarys_index_check(db.db, nullptr, "t", "words", nullptr, nullptr, &check, &err))
        << err.message;
    EXPECT_EQ(check.stray_count, 0u) << check.first_fault;
    EXPECT_EQ(check.missing_count, 0u);
}

TEST_F(StoreSearch, AnalyzingGathersItsStatisticsToo)
{
    index("words", {"body"});
    for (int i = 0; i < 10; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(i), R"({"body": "fox den"})"));
    }
    uint64_t version = polarys_db_version(db.db);
    Found before = search("fox");
    /* Twice: the second finds the first one's. */
    for (uint64_t i = 1; i <= 2; i++) {
        ASSERT_EQ(POLARYS_OK, polarys_table_analyze(db.db, nullptr, "t", &err)) << err.message;
        EXPECT_EQ(polarys_db_version(db.db), version + 3 * i)
            << "table, index, and what scores need";
        EXPECT_EQ(search("fox").keys, before.keys);
    }
    polarys_index_check_result check{};
    ASSERT_EQ(POLARYS_OK,
              polarys_index_check(db.db, nullptr, "t", "words", nullptr, nullptr, &check, &err))
        << err.message;
    EXPECT_EQ(check.stray_count + check.missing_count, 0u) << check.first_fault;
}

TEST_F(StoreSearch, SeesWhatItsTransactionWrote)
{
    index("words", {"body"});
    for (const char *key : {"a", "b", "c"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, R"({"body": "fox"})"));
    }
    polarys_txn *txn;
    ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db.db, nullptr, nullptr, &txn, &err)) << err.message;
    polarys_search_options options = asked("fox");
    options.txn = txn;
    EXPECT_EQ(search(options).keys, (Strings{"a", "b", "c"}));
    const std::string cat_text = R"({"body": "cat", "n": 1})";
    const std::string fox_text = R"({"body": "fox fox", "n": 1})";
    polarys_value cat = json_of(cat_text);
    polarys_value fox = json_of(fox_text);
    ASSERT_EQ(POLARYS_OK, polarys_txn_put(txn, "t", bytes_of("a"), &cat, 0, &err));
    ASSERT_EQ(POLARYS_OK, polarys_txn_delete(txn, "t", bytes_of("b"), 0, nullptr, &err));
    ASSERT_EQ(POLARYS_OK, polarys_txn_put(txn, "t", bytes_of("d"), &fox, 0, &err));
    Found found = search(options);
    EXPECT_EQ(found.keys, (Strings{"d", "c"})) << found.err.message;
    EXPECT_EQ(found.values[0], R"({"body": "fox fox", "n": 1})");
    EXPECT_EQ(found.total, 2u);
    options.filter = slice_from_text("n = 1");
    EXPECT_EQ(search(options).keys, (Strings{"d"}));
    EXPECT_EQ(search("fox").keys, (Strings{"a", "b", "c"})) << "nobody else sees it";
    ASSERT_EQ(POLARYS_OK, polarys_txn_commit(txn, nullptr, nullptr, &err)) << err.message;
    polarys_txn_release(txn);
    EXPECT_EQ(search("fox").keys, (Strings{"d", "c"}));
}

TEST_F(StoreSearch, LeavesNoPhantomsToSerializableTransactions)
{
    index("words", {"body"});
    for (const char *other : {R"({"body": "dog"})", R"({"body": "a fox"})"}) {
        polarys_txn *txn;
        polarys_txn_options begin{};
        begin.isolation = POLARYS_ISOLATION_SERIALIZABLE;
        ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db.db, nullptr, &begin, &txn, &err));
        polarys_search_options options = asked("fox");
        options.txn = txn;
        EXPECT_EQ(search(options).total, 0u);
        ASSERT_EQ(POLARYS_OK, db.put("t", "other", other));
        const std::string nothing = "{}";
        polarys_value value = json_of(nothing);
        ASSERT_EQ(POLARYS_OK, polarys_txn_put(txn, "t", bytes_of("mine"), &value, 0, &err));
        bool is_found = strstr(other, "fox") != nullptr;
        EXPECT_EQ(polarys_txn_commit(txn, nullptr, nullptr, &err),
                  is_found ? POLARYS_TXN_CONFLICT : POLARYS_OK)
            << other << ": " << err.message;
        polarys_txn_release(txn);
    }
}

TEST_F(StoreSearch, GoesOnInATransactionAtTheVersionThatItHasRead)
{
    index("words", {"body"});
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"body": "fox"})"));
    for (polarys_isolation level : {POLARYS_ISOLATION_READ_COMMITTED, POLARYS_ISOLATION_SNAPSHOT}) {
        polarys_txn *txn;
        polarys_txn_options begin{};
        begin.isolation = level;
        ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db.db, nullptr, &begin, &txn, &err));
        polarys_search_options options = asked("fox");
        uint64_t before = polarys_db_version(db.db);
        options.txn = txn;
        Found first = search(options);
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(level), R"({"body": "fox"})"));
        options.version = first.version;
        EXPECT_EQ(search(options).keys, first.keys) << level;
        options.version = before - 1;
        EXPECT_EQ(search(options).code,
                  level == POLARYS_ISOLATION_SNAPSHOT ? POLARYS_CURSOR_EXPIRED : POLARYS_OK);
        options.version = polarys_db_version(db.db) + 1;
        EXPECT_EQ(search(options).code, POLARYS_CURSOR_EXPIRED);
        polarys_txn_release(txn);
    }
}

TEST_F(StoreSearch, EndsWithItsTransaction)
{
    index("words", {"body"});
    for (int i = 0; i < 20000; i++) {
        std::string key = "k" + std::to_string(i);
        ASSERT_EQ(POLARYS_OK, db.put("t", key, R"({"body": "fox"})"));
    }
    polarys_txn *txn;
    ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db.db, nullptr, nullptr, &txn, &err));
    polarys_search_options options = asked("fox");
    options.txn = txn;
    auto roll_back = [](void *context) {
        Found *found = static_cast<Found *>(context);
        if (found->total == 0) {
            found->total = 1;
            EXPECT_EQ(POLARYS_OK, polarys_txn_rollback(found->txn, nullptr));
        }
        return false;
    };
    Found found;
    found.txn = txn;
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, polarys_search(db.db, &options, roll_back, take, &found,
                                                    nullptr, nullptr, &found.err));
    EXPECT_EQ(0u, found.keys.size());
    polarys_txn_release(txn);
}

TEST_F(StoreSearch, RefusesTransactionsOfOtherDatabases)
{
    index("words", {"body"});
    ASSERT_EQ(POLARYS_OK, polarys_database_create(db.db, "other", nullptr, nullptr, &err));
    polarys_txn *txn;
    ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db.db, "other", nullptr, &txn, &err));
    polarys_search_options options = asked("fox");
    options.txn = txn;
    EXPECT_EQ(search(options).code, POLARYS_BAD_ARGUMENT);
    polarys_txn_release(txn);
}

TEST_F(StoreSearch, NamesWhatIsNotThere)
{
    polarys_search_options options = asked("fox");
    options.table = "none";
    EXPECT_EQ(search(options).code, POLARYS_TABLE_NOT_FOUND);
    options.database = "none";
    EXPECT_EQ(search(options).code, POLARYS_DATABASE_NOT_FOUND);
    index("words", {"body"});
    EXPECT_EQ(search("\"fox").code, POLARYS_BAD_FILTER);
}
