/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents with so many entries in an index that a few of them fill a commit: what is done to several at once
 * says so or takes fewer.
 */
#include "tests/support/engine/test_index.h"

using test_index::create_ready;
using test_index::expect_clean;
using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::world;

namespace {

/* Entries of one document take 20 MB: 10,000 of 2,000 bytes. */
class IndexLimits : public ::testing::Test {
  protected:
    void SetUp() override
    {
        db.options.memory_limit = 1 << 30;
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        create_ready(db, "t", {"wide", {"a", "b"}});
    }

    static std::string wide_document()
    {
        std::string values;
        for (int i = 0; i < 100; i++) {
            values +=
                (i == 0 ? "\"" : ",\"") + std::to_string(1000 + i) + std::string(985, 'x') + "\"";
        }
        return "{\"a\":[" + values + "],\"b\":[" + values + "]}";
    }

    void fill(int count, uint64_t expires_at_ms = 0)
    {
        std::string document = wide_document();
        for (int i = 0; i < count; i++) {
            ASSERT_EQ(POLARYS_OK,
                      db.put("t", "k" + std::to_string(i), json_of(document, expires_at_ms)))
                << db.error.message;
        }
    }

    world w;
    store db{w};
};

} // namespace

TEST_F(IndexLimits, ARangeDeleteOfTooManyEntriesSaysSoAndGoesPartByPart)
{
    fill(6); /* more than all that a batch may copy */
    batch whole(db);
    ASSERT_EQ(POLARYS_OK, whole.remove_range("t", "", ""));
    EXPECT_EQ(POLARYS_TOO_LARGE, whole.commit()) << whole.error.message;
    std::string from;
    int parts = 0;
    do {
        uint8_t resume[POLARYS_KEY_BYTES_MAX];
        size_t resume_size;
        ASSERT_EQ(POLARYS_OK, polarys_table_delete_range_part(
                                  db.db, nullptr, "t", bytes_of(from), slice_make(nullptr, 0),
                                  nullptr, resume, &resume_size, &db.result, &db.error))
            << db.error.message;
        from.assign(reinterpret_cast<char *>(resume), resume_size);
        parts++;
    } while (!from.empty());
    EXPECT_GT(parts, 1);
    EXPECT_EQ(0u, expect_clean(db, "t"));
    EXPECT_TRUE(db.contents("t").empty());
}

TEST_F(IndexLimits, TheSweeperTakesFewerWhereTheirEntriesFillACommit)
{
    fill(3, w.now_ms() + 60000);
    ASSERT_GT(expect_clean(db, "t"), 30000u);
    w.pass_ms(65000);
    EXPECT_EQ(0u, expect_clean(db, "t")) << "swept, and not only hidden";
    EXPECT_EQ(3u, db.status().expired_count);
}

TEST_F(IndexLimits, CompactingATableCompactsItsIndexes)
{
    fill(1);
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error));
    /* Files of the last level that are older than the request are rewritten. */
    auto compactions = [&](const char *start) {
        uint64_t before = db.status().compaction_count;
        EXPECT_EQ(POLARYS_OK, polarys_db_compact_range(db.db, nullptr, "t", slice_from_text(start),
                                                       slice_make(nullptr, 0), &db.error))
            << db.error.message;
        return db.status().compaction_count - before;
    };
    uint64_t of_documents = compactions("k");
    EXPECT_GT(of_documents, 0u);
    EXPECT_GT(compactions(""), of_documents);
    EXPECT_EQ(10001u, expect_clean(db, "t"));
}
