/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries by way of indexes: which are used, what explain tells, and what happens to cursors when an index
 * goes. That answers stay right is the model test's.
 */
#include "engine/engine_query.h"
#include "tests/support/engine/raw_write.h"
#include "tests/support/engine/test_index.h"

using test_store::bytes_of;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

class QueryIndexTest : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        for (int i = 0; i < 300; i++) {
            std::string n = std::to_string(i);
            ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(1000 + i),
                                         "{\"a\":" + n + ",\"b\":" + std::to_string(i % 10) +
                                             ",\"c\":\"x" + n + "\"}"));
        }
    }

    void make_index(const char *name, const std::vector<std::string> &fields,
                    polarys_index_kind kind = POLARYS_INDEX_ORDERED, bool must_wait = true)
    {
        if (must_wait) {
            test_index::create_ready(db, "t", {name, fields, kind});
        } else {
            ASSERT_EQ(POLARYS_OK, test_index::create(db, "t", {name, fields, kind}))
                << db.error.message;
        }
    }

    polarys_query_options options_of(const char *filter, const char *order)
    {
        polarys_query_options options{};
        options.table = "t";
        options.filter = slice_from_text(filter); /* a literal: it has to live on */
        options.order_by = slice_from_text(order);
        return options;
    }

    /* "filter > fetch > index_scan by_a", with the rows of each when it was run. */
    std::string plan_of(const polarys_query_options &options, bool run = false)
    {
        struct told {
            std::string text;
            bool run;
            size_t rejected;
        } told{"", run, 0};
        auto each = [](void *context, const polarys_plan *plan) {
            auto *to = static_cast<struct told *>(context);
            for (size_t i = 0; i < plan->step_count; i++) {
                const polarys_plan_step &step = plan->steps[i];
                to->text += (i == 0 ? "" : " > ") + std::string(step.operation);
                to->text += step.index[0] == '\0' ? "" : std::string(" ") + step.index;
                to->text += to->run ? ":" + std::to_string(step.actual_rows) : "";
            }
            EXPECT_EQ(to->run, plan->was_run);
            to->rejected = plan->rejected_count;
        };
        polarys_code code =
            polarys_query_explain(db.db, &options, run, nullptr, &told, each, &db.error);
        rejected = told.rejected;
        return code == POLARYS_OK ? told.text : polarys_code_name(code);
    }

    std::string keys(const polarys_query_options &options)
    {
        polarys_query *query = nullptr;
        polarys_code code = polarys_query_open(db.db, &options, &query, &db.error);
        std::string all;
        while (code == POLARYS_OK) {
            bool has_document;
            polarys_document document{};
            code = polarys_query_next(query, nullptr, nullptr, &has_document, &document, &db.error);
            if (code != POLARYS_OK || !has_document) {
                break;
            }
            all += (all.empty() ? "" : " ") + text_of(document.key);
        }
        polarys_slice place{};
        if (code == POLARYS_OK) {
            EXPECT_EQ(POLARYS_OK, polarys_query_cursor(query, &place, &db.error));
            cursor = text_of(place);
        }
        polarys_query_close(query);
        return code == POLARYS_OK ? all : polarys_code_name(code);
    }

    world w;
    store db{w};
    std::string cursor;
    size_t rejected = 0;
};

} // namespace

TEST_F(QueryIndexTest, LooksAtAFewDocumentsWhereAnIndexServes)
{
    make_index("by_a", {"a"});
    EXPECT_EQ("filter:1 > fetch:1 > index_scan by_a:1", plan_of(options_of("a = 77", ""), true));
    EXPECT_EQ(1u, rejected) << "the table: no set of keys is cheaper than one entry";
    EXPECT_EQ("filter:9 > fetch:9 > index_scan by_a:9",
              plan_of(options_of("a > 10 AND a < 20", ""), true));
    EXPECT_EQ(2u, rejected) << "the table, and a set of keys";
    EXPECT_EQ("filter:0 > fetch:1 > index_scan by_a:1",
              plan_of(options_of("a = 77 AND b = 1", ""), true));
    EXPECT_EQ("filter:30 > table_scan:300", plan_of(options_of("b = 7", ""), true));
}

TEST_F(QueryIndexTest, ReadsOneEndOfARangeOnceADocumentHasSeveralEntries)
{
    make_index("by_a", {"a"});
    polarys_query_options options = options_of("a > 10 AND a < 20", "");
    options.use_index = "by_a";
    EXPECT_EQ("filter:9 > fetch:9 > index_scan by_a:9", plan_of(options, true));
    ASSERT_EQ(POLARYS_OK, db.put("t", "z", "{\"a\":[5,500]}"));
    EXPECT_EQ("filter:10 > fetch:290 > index_scan by_a:290", plan_of(options, true));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "z"));
    EXPECT_EQ("filter:9 > fetch:9 > index_scan by_a:9", plan_of(options, true));
}

TEST_F(QueryIndexTest, GivesADocumentOnceAtAPointAndAtSeveral)
{
    make_index("by_a", {"a"});
    ASSERT_EQ(POLARYS_OK, db.put("t", "z", "{\"a\":[5000,5000,5001,5.0e3]}"));
    polarys_query_options options = options_of("a = 5000", "");
    options.use_index = "by_a";
    EXPECT_EQ("z", keys(options));
    options.filter = slice_from_text("a IN (5000, 5001)");
    EXPECT_EQ("z", keys(options));
}

TEST_F(QueryIndexTest, SortsOnlyWhereNoIndexGivesTheOrder)
{
    polarys_query_options options = options_of("", "a desc");
    options.limit = 2;
    EXPECT_EQ("limit:2 > sort:2 > table_scan:300", plan_of(options, true));
    make_index("by_a", {"a"});
    EXPECT_EQ("limit:2 > fetch:2 > index_scan by_a:2", plan_of(options, true));
    EXPECT_EQ("k1299 k1298", keys(options));
}

TEST_F(QueryIndexTest, UnitesTheBranchesOfAnOr)
{
    make_index("by_a", {"a"});
    make_index("by_c", {"c"}, POLARYS_INDEX_HASH);
    EXPECT_EQ("filter:2 > fetch:2 > union:0 > index_scan by_a:1 > index_scan by_c:1",
              plan_of(options_of("a = 1 OR c = \"x2\"", ""), true));
}

TEST_F(QueryIndexTest, KeepsToTheIndexThatItIsTold)
{
    make_index("by_a", {"a"});
    polarys_query_options options = options_of("a = 1", "");
    options.use_index = "";
    EXPECT_EQ("filter > table_scan", plan_of(options));
    options.use_index = "by_a";
    EXPECT_EQ("filter > fetch > index_scan by_a", plan_of(options));
    options = options_of("b = 1", "");
    options.use_index = "by_a";
    EXPECT_EQ("filter > fetch > index_scan by_a", plan_of(options));
    options.use_index = "none";
    EXPECT_EQ("INDEX_NOT_FOUND", keys(options));
    make_index("by_text", {"c"}, POLARYS_INDEX_TEXT);
    options.use_index = "by_text";
    EXPECT_EQ("BAD_ARGUMENT", keys(options));
    make_index("by_b", {"b"}, POLARYS_INDEX_ORDERED, false);
    options.use_index = "by_b";
    EXPECT_EQ("INDEX_BUILDING", keys(options));
}

TEST_F(QueryIndexTest, UsesAnIndexOnlyFromTheVersionAtWhichItWasReady)
{
    uint64_t before = polarys_db_version(db.db);
    make_index("by_a", {"a"});
    polarys_query_options options = options_of("a = 1", "");
    options.version = before;
    EXPECT_EQ("filter > table_scan", plan_of(options));
    EXPECT_EQ("k1001", keys(options));
    options.version = polarys_db_version(db.db);
    make_index("later", {"b"});
    EXPECT_EQ("filter > fetch > index_scan by_a", plan_of(options));
    options.version = before; /* what is known of the newer version says nothing of this one */
    EXPECT_EQ("filter > table_scan", plan_of(options));
    options.use_index = "by_a";
    EXPECT_EQ("INDEX_BUILDING", keys(options));
}

TEST_F(QueryIndexTest, UsesNoIndexThatItsVersionSeesDroppedWhateverTheCatalogueSays)
{
    make_index("by_a", {"a"});
    EXPECT_EQ("filter > fetch > index_scan by_a", plan_of(options_of("a = 1", "")))
        << "known to be ready";
    struct catalog *before = raw_catalog_keep(db.db);
    ASSERT_EQ(POLARYS_OK,
              polarys_index_drop(db.db, nullptr, "t", "by_a", nullptr, nullptr, &db.error));
    struct catalog *after = raw_catalog_swap(db.db, before);
    polarys_query_options options = options_of("a = 1", "");
    EXPECT_EQ("filter > table_scan", plan_of(options));
    EXPECT_EQ("k1001", keys(options));
    options.use_index = "by_a";
    EXPECT_EQ("INDEX_BUILDING", keys(options));
    EXPECT_EQ(before, raw_catalog_swap(db.db, after));
    raw_catalog_release(before);
}

TEST_F(QueryIndexTest, FindsDocumentsOfSeveralEntriesByEqualityToo)
{
    make_index("by_b_a", {"b", "a"});
    ASSERT_EQ(POLARYS_OK, db.put("t", "several", "{\"a\": [1, 1, 2], \"b\": [-7, -8]}"));
    EXPECT_EQ("several", keys(options_of("b = -7 AND a = 1", "")));
    EXPECT_EQ("several", keys(options_of("b = -7", ""))) << "one of two fields: a range";
    EXPECT_EQ("several", keys(options_of("b < -1 AND a = 2", "")));
}

TEST_F(QueryIndexTest, EndsACursorWhoseIndexWasDropped)
{
    make_index("by_a", {"a"});
    polarys_query_options options = options_of("a > 290", "");
    options.limit = 2;
    options.use_index = "by_a";
    EXPECT_EQ("k1291 k1292", keys(options));
    std::string place = cursor;
    options.cursor = bytes_of(place);
    options.use_index = nullptr;
    EXPECT_EQ("k1293 k1294", keys(options));
    ASSERT_EQ(POLARYS_OK,
              polarys_index_drop(db.db, nullptr, "t", "by_a", nullptr, nullptr, &db.error));
    EXPECT_EQ("CURSOR_EXPIRED", keys(options));
}

TEST_F(QueryIndexTest, GoesOnInAnOrderWhateverPlanGivesIt)
{
    polarys_query_options options = options_of("", "b desc, a desc");
    options.limit = 3;
    EXPECT_EQ("k1299 k1289 k1279", keys(options));
    std::string place = cursor;
    make_index("by_ba", {"b", "a"});
    options.cursor = bytes_of(place);
    EXPECT_EQ("k1269 k1259 k1249", keys(options));
    options = options_of("", "b desc, a desc");
    options.limit = 3;
    EXPECT_EQ("limit > fetch > index_scan by_ba", plan_of(options));
    EXPECT_EQ("k1299 k1289 k1279", keys(options));
    place = cursor;
    options.cursor = bytes_of(place);
    options.use_index = "";
    EXPECT_EQ("k1269 k1259 k1249", keys(options));
}

TEST_F(QueryIndexTest, CountsWithoutReadingMoreThanItMust)
{
    make_index("by_a", {"a"});
    polarys_query_options options = options_of("a >= 100 AND a < 200", "");
    uint64_t count = 0;
    ASSERT_EQ(POLARYS_OK,
              polarys_query_count(db.db, &options, nullptr, nullptr, nullptr, &count, &db.error));
    EXPECT_EQ(100u, count);
}

TEST_F(QueryIndexTest, StopsGatheringKeysAtItsMemory)
{
    make_index("by_a", {"a"});
    polarys_query_options options =
        options_of("a = 3 OR a IN (5, 6, 7, 8, 9, 10, 11, 12, 13, 14)", "");
    options.memory_max = 100;
    EXPECT_EQ("filter > fetch > union > index_scan by_a > index_scan by_a", plan_of(options));
    EXPECT_EQ("MEMORY_LIMIT", keys(options));
}
