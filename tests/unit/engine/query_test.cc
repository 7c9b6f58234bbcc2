/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries over a whole store: what is given, in which order, and where a cursor goes on.
 */
#include "engine/engine_index.h"
#include "engine/engine_query.h"
#include "tests/support/engine/test_store.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

/* What to ask. */
struct asked {
    explicit asked(std::string filter_ = "", std::string order_ = "", uint64_t limit_ = 0)
        : filter(std::move(filter_)), order_by(std::move(order_)), limit(limit_)
    {
    }
    asked masked(std::vector<const char *> with) const
    {
        asked what = *this;
        what.mask = std::move(with);
        return what;
    }
    asked from(std::string place) const
    {
        asked what = *this;
        what.cursor = std::move(place);
        return what;
    }

    std::string filter;
    std::string order_by;
    uint64_t limit = 0;
    std::vector<const char *> mask;
    std::string cursor;
    uint64_t version = 0;
    uint64_t memory_max = 0;
};

class QueryTest : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }

    polarys_query_options options_of(const asked &what)
    {
        polarys_query_options options{};
        options.table = "t";
        options.filter = bytes_of(what.filter);
        options.order_by = bytes_of(what.order_by);
        options.limit = what.limit;
        options.read_mask = what.mask.data();
        options.read_mask_count = what.mask.size();
        options.cursor = bytes_of(what.cursor);
        options.version = what.version;
        options.memory_max = what.memory_max;
        return options;
    }

    /* "k1 k2", or the code of what failed. Leaves a cursor in `cursor`. */
    std::string keys(const asked &what)
    {
        polarys_query_options options = options_of(what);
        polarys_query *query = nullptr;
        code = polarys_query_open(db.db, &options, &query, &db.error);
        std::string all;
        while (code == POLARYS_OK) {
            bool has_document;
            polarys_document document{};
            code = polarys_query_next(query, nullptr, nullptr, &has_document, &document, &db.error);
            if (code != POLARYS_OK || !has_document) {
                break;
            }
            all += (all.empty() ? "" : " ") + text_of(document.key);
            value = text_of(document.value.bytes);
        }
        if (code == POLARYS_OK) {
            polarys_slice place;
            EXPECT_EQ(POLARYS_OK, polarys_query_cursor(query, &place, &db.error));
            cursor = text_of(place);
            version = polarys_query_version(query);
        }
        polarys_query_close(query);
        return code == POLARYS_OK ? all : polarys_code_name(code);
    }

    uint64_t count(const std::string &filter)
    {
        asked what(filter);
        polarys_query_options options = options_of(what);
        uint64_t counted = 0;
        EXPECT_EQ(POLARYS_OK, polarys_query_count(db.db, &options, nullptr, nullptr, &version,
                                                  &counted, &db.error))
            << db.error.message;
        return counted;
    }

    void put(const std::string &key, const std::string &json)
    {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, json)) << db.error.message;
    }

    void put_people()
    {
        put("a", "{\"name\":\"Ada\",\"age\":36,\"tags\":[\"x\",\"y\"]}");
        put("b", "{\"name\":\"Bob\",\"age\":25,\"address\":{\"city\":\"Bonn\"}}");
        put("c", "{\"name\":\"Cyd\",\"age\":36}");
        put("d", "{\"name\":\"Dee\"}");
        ASSERT_EQ(POLARYS_OK, db.put("t", "e", raw_of("bytes")));
    }

    world w;
    store db{w};
    polarys_code code = POLARYS_OK;
    std::string cursor;
    std::string value;
    uint64_t version = 0;
};

} // namespace

TEST_F(QueryTest, GivesWhatMatches)
{
    put_people();
    EXPECT_EQ("a b c d e", keys(asked()));
    EXPECT_EQ("a c", keys(asked("age = 36")));
    EXPECT_EQ("a", keys(asked("tags:\"y\" AND age > 30")));
    EXPECT_EQ("b", keys(asked("address.city = \"Bonn\"")));
    EXPECT_EQ("b d", keys(asked("NOT age = 36")));
    EXPECT_EQ("", keys(asked("age > 100")));
    EXPECT_EQ(2u, count("age = 36"));
    EXPECT_EQ(5u, count(""));
}

TEST_F(QueryTest, SortsAndLimits)
{
    put_people();
    EXPECT_EQ("d e b a c", keys(asked("", "age")));
    EXPECT_EQ("c a b e d", keys(asked("", "age desc")));
    EXPECT_EQ("a c b e d", keys(asked("", "age desc, name")));
    EXPECT_EQ("c a", keys(asked("", "age desc", 2)));
    EXPECT_EQ("d e", keys(asked("", "age", 2)));
    EXPECT_EQ("a b", keys(asked("", "", 2)));
}

TEST_F(QueryTest, GoesOnFromACursorPageByPage)
{
    put_people();
    for (const char *order : {"", "age", "age desc", "name desc, age"}) {
        std::string whole = keys(asked("", order));
        for (uint64_t size = 1; size <= 5; size++) {
            std::string pages;
            asked what("", order, size);
            for (int page = 0; page < 7; page++) {
                std::string got = keys(what);
                ASSERT_EQ(POLARYS_OK, code) << db.error.message;
                pages += (pages.empty() || got.empty() ? "" : " ") + got;
                what.cursor = cursor;
            }
            EXPECT_EQ(whole, pages) << order << " in pages of " << size;
        }
    }
}

TEST_F(QueryTest, ReadsTheVersionOfTheCursorWhateverWasWrittenSince)
{
    put_people();
    EXPECT_EQ("a", keys(asked("", "", 1)));
    uint64_t first = version;
    put("aa", "{}");
    ASSERT_EQ(POLARYS_OK, db.remove("t", "b"));
    asked what = asked().from(cursor);
    EXPECT_EQ("b c d e", keys(what));
    EXPECT_EQ(first, version);
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    EXPECT_EQ("b c d e", keys(what)) << db.error.message;
}

TEST_F(QueryTest, RefusesCursorsOfOtherQueries)
{
    put_people();
    ASSERT_EQ("a", keys(asked("age = 36", "", 1)));
    std::string first = cursor;
    EXPECT_EQ("c", keys(asked("age = 36", "", 0).from(first)));
    EXPECT_EQ("BAD_PAGE_TOKEN", keys(asked("age = 37", "", 0).from(first)));
    EXPECT_EQ("BAD_PAGE_TOKEN", keys(asked("age = 36", "age", 0).from(first)));
    for (size_t i = 0; i < first.size(); i++) {
        std::string changed = first;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        EXPECT_EQ("BAD_PAGE_TOKEN", keys(asked("age = 36", "", 0).from(changed))) << i;
        EXPECT_EQ("BAD_PAGE_TOKEN",
                  keys(asked("age = 36", "", 0).from(first.substr(0, i + (i == 0)))));
    }
}

TEST_F(QueryTest, SaysWhenTheVersionOfACursorIsGone)
{
    polarys_db_options options = w.options();
    options.history_keep_ms = 0;
    ASSERT_EQ(POLARYS_OK, db.close());
    db.options = options;
    ASSERT_EQ(POLARYS_OK, db.open());
    put_people();
    ASSERT_EQ("a", keys(asked("", "", 1)));
    asked what = asked().from(cursor);
    put("b", "{}");
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, &db.error));
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error));
    EXPECT_EQ("b c d e", keys(what)) << "the lease is there";
    w.pass_ms(2 * POLARYS_QUERY_LEASE_MS);
    put("b", "{\"a\":1}");
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, &db.error));
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error));
    EXPECT_EQ("CURSOR_EXPIRED", keys(what));
}

TEST_F(QueryTest, HidesWhatHasExpiredAndGoesOnHidingIt)
{
    put_people();
    ASSERT_EQ(POLARYS_OK, db.put("t", "bb", json_of("{\"age\":1}", w.now_ms() + 1000)));
    EXPECT_EQ("a b", keys(asked("", "", 2)));
    asked what = asked().from(cursor);
    EXPECT_EQ("bb c d e", keys(what));
    w.pass_ms(2000);
    EXPECT_EQ("bb c d e", keys(what)) << "the moment of the first page counts";
    EXPECT_EQ("a b c d e", keys(asked()));
}

TEST_F(QueryTest, GivesTheMembersOfTheMask)
{
    put_people();
    EXPECT_EQ("b", keys(asked("name = \"Bob\"", "", 0).masked({"address.city", "age"})));
    EXPECT_EQ("{\"age\":25,\"address\":{\"city\":\"Bonn\"}}", value);
    EXPECT_EQ("a b c d e", keys(asked("", "", 0).masked({"age"})));
    EXPECT_EQ("", value) << "raw bytes have no members";
    EXPECT_EQ("BAD_ARGUMENT", keys(asked("", "", 0).masked({"a b"})));
}

TEST_F(QueryTest, RefusesWhatIsWrong)
{
    EXPECT_EQ("BAD_FILTER", keys(asked("a =")));
    EXPECT_STREQ("3", polarys_error_detail_find(&db.error, "position"));
    EXPECT_EQ("BAD_ARGUMENT", keys(asked("", "a b")));
    asked future;
    future.version = UINT64_MAX / 2;
    EXPECT_EQ("FUTURE_VERSION", keys(future));
    polarys_query_options options{};
    polarys_query *query = nullptr;
    options.table = "none";
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, polarys_query_open(db.db, &options, &query, &db.error));
    EXPECT_EQ(nullptr, query);
    options.table = "t";
    /* An order may take files to make, and a cursor's document has to be looked up. */
    options.flags = POLARYS_READ_MEMORY_ONLY;
    options.order_by = slice_from_text("a");
    EXPECT_EQ(POLARYS_WOULD_BLOCK, polarys_query_open(db.db, &options, &query, &db.error));
}

TEST_F(QueryTest, GoesOnWhereAThreadThatMustNotReadFilesStopped)
{
    const int documents = 3000;
    const char *fields[] = {"a"};
    polarys_index_options index{};
    index.name = "by_a";
    index.fields = fields;
    index.field_count = 1;
    index.kind = POLARYS_INDEX_ORDERED;
    for (int i = 0; i < documents; i++) {
        put(std::to_string(10000 + i),
            "{\"a\":" + std::to_string(i) + ",\"pad\":\"" + std::string(300, 'x') + "\"}");
    }
    ASSERT_EQ(POLARYS_OK, polarys_index_create(db.db, nullptr, "t", &index, nullptr, nullptr,
                                               nullptr, &db.error));
    sim_executor_run_all(w.executor);
    ASSERT_EQ(POLARYS_OK, polarys_index_wait(db.db, nullptr, "t", "by_a", 0, &db.error));
    for (const char *use_index : {"", "by_a"}) {
        ASSERT_EQ(POLARYS_OK, db.close());
        ASSERT_EQ(POLARYS_OK, db.open());
        asked what("a >= 100");
        polarys_query_options options = options_of(what);
        options.use_index = use_index;
        options.flags = 0;
        polarys_query *query = nullptr;
        ASSERT_EQ(POLARYS_OK, polarys_query_open(db.db, &options, &query, &db.error));
        polarys_query_flags_set(query, POLARYS_READ_MEMORY_ONLY);
        int blocked = 0;
        for (int expected = 10100;;) {
            polarys_document document{};
            bool has_document = false;
            polarys_query_flags_set(query, POLARYS_READ_MEMORY_ONLY);
            code = polarys_query_next(query, nullptr, nullptr, &has_document, &document, &db.error);
            if (code == POLARYS_WOULD_BLOCK) {
                blocked++;
                polarys_query_flags_set(query, 0);
                code = polarys_query_next(query, nullptr, nullptr, &has_document, &document,
                                          &db.error);
            }
            ASSERT_EQ(POLARYS_OK, code) << db.error.message;
            if (!has_document) {
                EXPECT_EQ(10000 + documents, expected) << use_index;
                break;
            }
            ASSERT_EQ(std::to_string(expected), text_of(document.key)) << use_index;
            expected++;
        }
        EXPECT_GT(blocked, 0) << use_index;
        polarys_query_close(query);
    }
}

TEST_F(QueryTest, StopsASortAtItsMemory)
{
    for (int i = 0; i < 100; i++) {
        put("k" + std::to_string(i), "{\"a\":" + std::to_string(i) + "}");
    }
    asked what("", "a");
    what.memory_max = 2000;
    EXPECT_EQ("MEMORY_LIMIT", keys(what));
    EXPECT_NE(std::string::npos, std::string(db.error.message).find("index")) << db.error.message;
    what.limit = 3;
    EXPECT_EQ("k0 k1 k2", keys(what));
}

TEST_F(QueryTest, StopsWhenAsked)
{
    for (int i = 0; i < 200; i++) {
        put("k" + std::to_string(i), "{}");
    }
    asked what("a = 1");
    polarys_query_options options = options_of(what);
    polarys_query *query = nullptr;
    ASSERT_EQ(POLARYS_OK, polarys_query_open(db.db, &options, &query, &db.error));
    auto stop = [](void *) { return true; };
    bool has_document;
    polarys_document document{};
    EXPECT_EQ(POLARYS_CANCELLED,
              polarys_query_next(query, stop, nullptr, &has_document, &document, &db.error));
    polarys_query_close(query);
    uint64_t counted;
    EXPECT_EQ(POLARYS_CANCELLED,
              polarys_query_count(db.db, &options, stop, nullptr, nullptr, &counted, &db.error));
}
