/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making indexes over documents that are there: states, failures, resuming, checking, statistics.
 */
#include "tests/support/engine/raw_write.h"
#include "tests/support/engine/test_index.h"

using test_index::asked;
using test_index::check;
using test_index::create;
using test_index::create_ready;
using test_index::drop;
using test_index::expect_clean;
using test_index::list;
using test_index::wait;
using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::world;

namespace {

class IndexBuild : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }
    void fill(int count)
    {
        batch many(db);
        for (int i = 0; i < count; i++) {
            std::string n = std::to_string(i);
            ASSERT_EQ(POLARYS_OK, many.put("t", "k" + n,
                                           R"({"n":)" + n + R"(,"m":)" + std::to_string(i % 7) +
                                               R"(,"s":"word)" + n + "\"}"));
        }
        ASSERT_EQ(POLARYS_OK, many.commit()) << many.error.message;
    }
    world w;
    store db{w};
};

TEST_F(IndexBuild, CoversWhatWasThereBefore)
{
    fill(3000);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"", {"n", "a.b"}}));
    auto indexes = list(db, "t");
    ASSERT_EQ(1u, indexes.size());
    EXPECT_STREQ("t_n_a.b_ordered", indexes[0].info.index);
    EXPECT_EQ(POLARYS_INDEX_STATE_BUILDING, indexes[0].info.state);
    EXPECT_EQ((std::vector<std::string>{"n", "a.b"}), indexes[0].fields);
    polarys_index_check_result result{};
    EXPECT_EQ(POLARYS_INDEX_BUILDING, polarys_index_check(db.db, nullptr, "t", "t_n_a.b_ordered",
                                                          nullptr, nullptr, &result, &db.error));
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "t_n_a.b_ordered")) << db.error.message;
    EXPECT_EQ(POLARYS_INDEX_STATE_READY, list(db, "t")[0].info.state);
    EXPECT_EQ(3000u, expect_clean(db, "t"));
    create_ready(db, "t", {"h", {"m"}, POLARYS_INDEX_HASH});
    create_ready(db, "t", {"u", {"n"}, POLARYS_INDEX_HASH, true});
    create_ready(db, "t", {"x", {"s", "n"}, POLARYS_INDEX_TEXT, false, "none"});
    expect_clean(db, "t");
}

TEST_F(IndexBuild, RefusesWhatMakesNoSense)
{
    fill(1);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"i", {"n"}}));
    EXPECT_EQ(POLARYS_INDEX_EXISTS, create(db, "t", {"i", {"m"}}));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, create(db, "none", {"i", {"n"}}));
    EXPECT_EQ(POLARYS_BAD_NAME, create(db, "t", {"1 2", {"n"}}));
    EXPECT_EQ(POLARYS_BAD_NAME,
              create(db, "t", {std::string(POLARYS_NAME_BYTES_MAX + 1, 'x'), {"n"}}));
    const std::vector<asked> bad = {
        {"", {}},
        {"", {"n", "n"}},
        {"", {"a", "b", "c", "d", "e", "f", "g", "h", "i"}},
        {"", {"a b"}},
        {"", {""}},
        {"", {"n"}, static_cast<polarys_index_kind>(0)},
        {"", {"n"}, POLARYS_INDEX_TEXT, true},
        {"", {"n"}, POLARYS_INDEX_TEXT, false, "klingon"},
        {"", {"n"}, POLARYS_INDEX_HASH, false, "english"},
    };
    for (const auto &each : bad) {
        EXPECT_EQ(POLARYS_BAD_ARGUMENT, create(db, "t", each)) << db.error.message;
    }
    for (int i = 1; i < POLARYS_INDEXES_PER_TABLE_MAX; i++) {
        ASSERT_EQ(POLARYS_OK, create(db, "t", {"i" + std::to_string(i), {"n"}}));
    }
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, create(db, "t", {"one_more", {"n"}}));
    EXPECT_EQ(POLARYS_INDEX_NOT_FOUND, wait(db, "t", "nothing"));
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "i63"));
}

TEST_F(IndexBuild, AUniqueIndexOverDuplicatesFailsAndSaysWhy)
{
    fill(600);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"u", {"m"}, POLARYS_INDEX_HASH, true}));
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, wait(db, "t", "u"));
    auto indexes = list(db, "t");
    ASSERT_EQ(1u, indexes.size());
    EXPECT_EQ(POLARYS_INDEX_FAILED, indexes[0].info.state);
    EXPECT_NE(std::string::npos, indexes[0].failure.find("UNIQUE_VIOLATION")) << indexes[0].failure;
    EXPECT_NE(std::string::npos, indexes[0].failure.find("documents \"k")) << indexes[0].failure;
    /* It is in nobody's way, survives, and can be dropped. */
    ASSERT_EQ(POLARYS_OK, db.put("t", "x", R"({"m":1})"));
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    EXPECT_EQ(POLARYS_UNIQUE_VIOLATION, wait(db, "t", "u"));
    ASSERT_EQ(POLARYS_OK, drop(db, "t", "u"));
    create_ready(db, "t", {"u", {"n"}, POLARYS_INDEX_HASH, true});
    expect_clean(db, "t");
}

TEST_F(IndexBuild, DocumentsThatDoNotFitMakeItFail)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "big", R"({"n":")" + std::string(3000, 'x') + "\"}"));
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"o", {"n"}}));
    EXPECT_EQ(POLARYS_TOO_LARGE, wait(db, "t", "o"));
    EXPECT_NE(std::string::npos, list(db, "t")[0].failure.find("big"));
}

TEST_F(IndexBuild, EntriesThatNoBatchHoldsAreTooLargeForGood)
{
    EXPECT_EQ(POLARYS_TOO_LARGE, raw_fill(db.db, &db.error)) << db.error.message;
}

TEST_F(IndexBuild, AProgressRecordThatIsNotReadableMakesItFailAndStopsNoOther)
{
    fill(100);
    create_ready(db, "t", {"first", {"n"}});
    uint32_t id = list(db, "t")[0].info.index_id + 1;
    ASSERT_LT(id, 256u);
    std::string key = std::string("\0\0\0", 3) + static_cast<char>(id) + "p";
    ASSERT_EQ(POLARYS_OK, raw_write(db.db, 0, 4, bytes_of(key), bytes_of("\x09no"), &db.error));
    polarys_log_level_set(POLARYS_LOG_OFF);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"m_bad", {"m"}}));
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"n_good", {"s"}}));
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"a_good", {"s"}}));
    w.pass_ms(5000);
    polarys_log_level_set(POLARYS_LOG_INFO);
    for (const auto &index : list(db, "t")) {
        bool is_bad = index.info.index_id == id;
        EXPECT_EQ(is_bad ? POLARYS_INDEX_FAILED : POLARYS_INDEX_STATE_READY, index.info.state)
            << index.info.index;
        EXPECT_EQ(is_bad, index.failure.find("CORRUPT") != std::string::npos) << index.failure;
    }
    EXPECT_EQ(POLARYS_CORRUPT, wait(db, "t", "m_bad"));
    ASSERT_EQ(POLARYS_OK, drop(db, "t", "m_bad"));
    create_ready(db, "t", {"m_bad", {"m"}});
    EXPECT_EQ(400u, expect_clean(db, "t"));
}

TEST_F(IndexBuild, ADocumentThatHasExpiredIsNotInTheWay)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of(R"({"n":1,"m":1})", w.now_ms() + 100)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", R"({"n":1,"m":2})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "c", json_of(R"({"n":1,"m":2})", w.now_ms() + 100)));
    sim_clock_advance(&w.clock, UINT64_C(200000000));
    create_ready(db, "t", {"u", {"n"}, POLARYS_INDEX_ORDERED, true});
    EXPECT_EQ(1u, expect_clean(db, "t"));
    w.pass_ms(5000);
    EXPECT_EQ(1u, expect_clean(db, "t"));
}

TEST_F(IndexBuild, GoesOnWhereItWasAfterAnOpen)
{
    fill(5000);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"o", {"n"}}));
    /* A few steps, and away. */
    for (int i = 0; i < 6; i++) {
        sim_executor_run_one(w.executor);
    }
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    EXPECT_EQ(POLARYS_INDEX_STATE_BUILDING, list(db, "t")[0].info.state);
    ASSERT_EQ(POLARYS_OK, db.put("t", "k4", R"({"n":"changed"})"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "k4999"));
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "o")) << db.error.message;
    EXPECT_EQ(4999u, expect_clean(db, "t"));
}

TEST_F(IndexBuild, WritesBetweenChunksAreInIt)
{
    fill(4000);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"u", {"n"}, POLARYS_INDEX_ORDERED, true}));
    int step = 0;
    while (list(db, "t")[0].info.state == POLARYS_INDEX_STATE_BUILDING) {
        std::string n = std::to_string(step * 97 % 4000);
        batch change(db);
        ASSERT_EQ(POLARYS_OK, change.remove("t", "k" + n));
        ASSERT_EQ(POLARYS_OK, change.put("t", "z" + n, R"({"n":)" + n + "}"));
        ASSERT_EQ(POLARYS_OK, change.update("t", "k1", R"({"other":)" + n + "}"));
        ASSERT_EQ(POLARYS_OK, change.commit()) << change.error.message;
        sim_executor_run_one(w.executor);
        ASSERT_LT(++step, 10000);
    }
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "u")) << db.error.message;
    expect_clean(db, "t");
}

TEST_F(IndexBuild, DroppedOrEmptiedWhileItIsBuilt)
{
    fill(3000);
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"o", {"n"}}));
    sim_executor_run_one(w.executor);
    ASSERT_EQ(POLARYS_OK, drop(db, "t", "o"));
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"p", {"n"}}));
    sim_executor_run_one(w.executor);
    ASSERT_EQ(POLARYS_OK, polarys_table_truncate(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"n":1})"));
    ASSERT_EQ(POLARYS_OK, wait(db, "t", "p")) << db.error.message;
    EXPECT_EQ(1u, expect_clean(db, "t"));
    ASSERT_EQ(POLARYS_OK, create(db, "t", {"q", {"n"}}));
    ASSERT_EQ(POLARYS_OK, polarys_table_drop(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    w.pass_ms(1000);
}

TEST_F(IndexBuild, CheckFindsWhatIsMissingAndWhatIsStray)
{
    fill(20);
    create_ready(db, "t", {"o", {"n"}});
    uint32_t id = list(db, "t")[0].info.index_id;
    ASSERT_EQ(POLARYS_OK, raw_delete_first(db.db, 1, id, &db.error)) << db.error.message;
    polarys_index_check_result result = check(db, "t", "o");
    EXPECT_EQ(1u, result.missing_count);
    EXPECT_EQ(0u, result.stray_count);
    EXPECT_NE(nullptr, strstr(result.first_fault, "k0")) << result.first_fault;
    ASSERT_EQ(POLARYS_OK, db.put("t", "k0", "{}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k0", R"({"n":0})"));
    expect_clean(db, "t");
    /* An entry of a document that says something else: "null" and a key. */
    ASSERT_EQ(POLARYS_OK, raw_write(db.db, 1, id, bytes_of("\x14k3"), polarys_slice{}, &db.error));
    result = check(db, "t");
    EXPECT_EQ(0u, result.missing_count);
    EXPECT_EQ(0u, result.stray_count) << "deleting what is not there changes nothing";
    ASSERT_EQ(POLARYS_OK, raw_write(db.db, 1, id, bytes_of("\x14"), bytes_of("k3"), &db.error));
    result = check(db, "t");
    EXPECT_EQ(1u, result.stray_count);
    EXPECT_NE(nullptr, strstr(result.first_fault, "k3")) << result.first_fault;
    auto stop = [](void *) { return true; };
    EXPECT_EQ(POLARYS_OK,
              polarys_index_check(db.db, nullptr, "t", nullptr, stop, nullptr, &result, &db.error));
    fill(600);
    EXPECT_EQ(POLARYS_CANCELLED,
              polarys_index_check(db.db, nullptr, "t", nullptr, stop, nullptr, &result, &db.error));
}

TEST_F(IndexBuild, CheckLeavesAloneWhatItsVersionSeesDropped)
{
    fill(20);
    create_ready(db, "t", {"o", {"n"}});
    struct catalog *before = raw_catalog_keep(db.db);
    ASSERT_EQ(POLARYS_OK, drop(db, "t", "o"));
    struct catalog *after = raw_catalog_swap(db.db, before);
    polarys_index_check_result result{};
    EXPECT_EQ(POLARYS_OK, polarys_index_check(db.db, nullptr, "t", nullptr, nullptr, nullptr,
                                              &result, &db.error));
    EXPECT_EQ(0u, result.missing_count) << result.first_fault;
    EXPECT_EQ(POLARYS_INDEX_BUILDING,
              polarys_index_check(db.db, nullptr, "t", "o", nullptr, nullptr, &result, &db.error));
    EXPECT_EQ(before, raw_catalog_swap(db.db, after));
    raw_catalog_release(before);
}

TEST_F(IndexBuild, ARecordThatIsNotReadableMakesTheOpenFail)
{
    create_ready(db, "t", {"o", {"n"}});
    std::string key = "x";
    key += std::string("\0\0\0\1", 4) + std::string("\0\0\0\1", 4) + "broken";
    ASSERT_EQ(POLARYS_OK,
              raw_write(db.db, 0, 1, bytes_of(key), bytes_of("\x01garbage"), &db.error));
    ASSERT_EQ(POLARYS_OK, db.close());
    EXPECT_EQ(POLARYS_CORRUPT, db.open()) << db.error.message;
    EXPECT_EQ(nullptr, db.db);
}

TEST_F(IndexBuild, StatisticsCountEntriesAndDifferentValues)
{
    fill(2000);
    create_ready(db, "t", {"m", {"m"}});
    create_ready(db, "t", {"n", {"n"}, POLARYS_INDEX_HASH});
    ASSERT_EQ(POLARYS_OK, polarys_table_analyze(db.db, nullptr, "t", &db.error))
        << db.error.message;
    auto indexes = list(db, "t");
    ASSERT_EQ(2u, indexes.size());
    EXPECT_EQ(2000u, indexes[0].info.entry_count);
    EXPECT_EQ(7u, indexes[0].info.distinct_count);
    EXPECT_EQ(2000u, indexes[1].info.entry_count);
    EXPECT_EQ(2000u, indexes[1].info.distinct_count);
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    EXPECT_EQ(7u, list(db, "t")[0].info.distinct_count);
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, polarys_table_analyze(db.db, nullptr, "no", &db.error));
}

TEST_F(IndexBuild, StatisticsAreGatheredByThemselvesOnceItIsBuilt)
{
    fill(100);
    create_ready(db, "t", {"m", {"m"}});
    w.pass_ms(1000);
    EXPECT_EQ(100u, list(db, "t")[0].info.entry_count);
}

} // namespace
