/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans: bounds, directions, versions, going on in another thread; counting; expiry.
 */
#include "tests/support/engine/test_store.h"

using test_store::batch;
using test_store::json_of;
using test_store::scanned;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

class Scan : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        options.table = "t";
    }
    std::string keys()
    {
        std::string text;
        for (const scanned &each : db.scan(options)) {
            text += each.key + " ";
        }
        return text;
    }
    world w;
    store db{w};
    polarys_scan_options options{};
};

} // namespace

TEST_F(Scan, HonoursBoundsPrefixAndDirection)
{
    for (const char *key : {"a", "ab", "abc", "b", "b\xff", "b\xff\xff", "c"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "1"));
    }
    EXPECT_EQ("a ab abc b b\xff b\xff\xff c ", keys());
    options.is_reverse = true;
    EXPECT_EQ("c b\xff\xff b\xff b abc ab a ", keys());
    options.prefix = slice_from_text("b\xff");
    EXPECT_EQ("b\xff\xff b\xff ", keys());
    options.is_reverse = false;
    options.prefix = slice_from_text("ab");
    EXPECT_EQ("ab abc ", keys());
    options.start = slice_from_text("abb");
    EXPECT_EQ("abc ", keys());
    options.end = slice_from_text("abc");
    EXPECT_EQ("", keys());
    options.prefix = {};
    options.start = slice_from_text("ab");
    options.end = slice_from_text("b");
    EXPECT_EQ("ab abc ", keys());
    options.start = slice_from_text("x");
    EXPECT_EQ("", keys()) << "start behind end";
}

TEST_F(Scan, SeesOneVersionWhateverIsWrittenMeanwhile)
{
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(100 + i), "0"));
    }
    polarys_scan *scan;
    ASSERT_EQ(POLARYS_OK, polarys_scan_open(db.db, &options, &scan, &db.error));
    polarys_document document;
    bool has_document;
    int count = 0;
    for (;;) {
        ASSERT_EQ(POLARYS_OK, polarys_scan_next(scan, &has_document, &document, &db.error));
        if (!has_document) {
            break;
        }
        EXPECT_EQ("0", text_of(document.value.bytes));
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(300 - count), "1"));
        ASSERT_EQ(POLARYS_OK, db.remove("t", std::to_string(199 - count)));
        count++;
        if (count % 30 == 0) {
            ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error));
        }
    }
    EXPECT_EQ(100, count);
    polarys_scan_close(scan);
}

TEST_F(Scan, GoesOnWhereAThreadThatMustNotReadFilesStopped)
{
    batch b(db);
    for (int i = 0; i < 3000; i++) {
        ASSERT_EQ(POLARYS_OK,
                  b.put("t", std::to_string(10000 + i), "\"" + std::string(300, 'x') + "\""));
    }
    ASSERT_EQ(POLARYS_OK, b.commit());
    for (bool is_reverse : {false, true}) {
        ASSERT_EQ(POLARYS_OK, db.close());
        ASSERT_EQ(POLARYS_OK, db.open());
        options.flags = POLARYS_READ_MEMORY_ONLY;
        options.is_reverse = is_reverse;
        polarys_scan *scan;
        ASSERT_EQ(POLARYS_OK, polarys_scan_open(db.db, &options, &scan, &db.error));
        int blocked = 0;
        int count = 0;
        for (;;) {
            polarys_document document;
            bool has_document;
            polarys_code code = polarys_scan_next(scan, &has_document, &document, &db.error);
            if (code == POLARYS_WOULD_BLOCK) {
                blocked++;
                polarys_scan_flags_set(scan, 0);
                ASSERT_EQ(POLARYS_OK, polarys_scan_next(scan, &has_document, &document, &db.error));
                polarys_scan_flags_set(scan, POLARYS_READ_MEMORY_ONLY);
            } else {
                ASSERT_EQ(POLARYS_OK, code) << db.error.message;
            }
            if (!has_document) {
                break;
            }
            int expected = is_reverse ? 12999 - count : 10000 + count;
            if (code != POLARYS_WOULD_BLOCK) {
                ASSERT_EQ(std::to_string(expected), text_of(document.key));
            }
            count++;
        }
        EXPECT_EQ(3000, count);
        EXPECT_GT(blocked, 0);
        polarys_scan_close(scan);
    }
}

TEST_F(Scan, KeysOnlyLeavesValuesOut)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    options.flags = POLARYS_READ_KEYS_ONLY;
    auto found = db.scan(options);
    ASSERT_EQ(1u, found.size());
    EXPECT_EQ("", found[0].value);
    EXPECT_EQ(db.result.version, found[0].version);
}

TEST_F(Scan, LastsLongerThanAnyLease)
{
    for (int i = 0; i < 10; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::to_string(i), "1"));
    }
    polarys_scan *scan;
    ASSERT_EQ(POLARYS_OK, polarys_scan_open(db.db, &options, &scan, &db.error));
    EXPECT_EQ(1u, db.status().snapshot_count);
    for (int i = 0; i < 10; i++) {
        polarys_document document;
        bool has_document;
        ASSERT_EQ(POLARYS_OK, polarys_scan_next(scan, &has_document, &document, &db.error));
        ASSERT_TRUE(has_document);
        w.pass_ms(900000);
    }
    polarys_scan_close(scan);
    EXPECT_EQ(0u, db.status().snapshot_count);
}

TEST_F(Scan, CountsAndStops)
{
    batch b(db);
    for (int i = 0; i < 5000; i++) {
        ASSERT_EQ(POLARYS_OK, b.put("t", std::to_string(i), "1"));
    }
    ASSERT_EQ(POLARYS_OK, b.commit());
    uint64_t count;
    ASSERT_EQ(POLARYS_OK,
              polarys_table_count(db.db, nullptr, "t", nullptr, nullptr, nullptr, &count, nullptr));
    EXPECT_EQ(5000u, count);
    EXPECT_EQ(POLARYS_CANCELLED, polarys_table_count(
                                     db.db, nullptr, "t", nullptr, [](void *) { return true; },
                                     nullptr, &count, &db.error));
    EXPECT_LT(count, 5000u);
}

TEST_F(Scan, HidesWhatHasExpiredAndTheSweeperDeletesIt)
{
    uint64_t expiry = w.now_ms() + 5000;
    std::string long_key(4096, 'k');
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1", expiry)));
    ASSERT_EQ(POLARYS_OK, db.put("t", long_key, json_of("2", expiry)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "c", json_of("3", expiry)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "d", json_of("4", expiry + 100000)));
    /* Overwritten: its index entry is stale. */
    ASSERT_EQ(POLARYS_OK, db.put("t", "c", "5"));
    uint64_t version = db.result.version;
    EXPECT_EQ(4u, db.scan(options).size());
    /* The clock alone hides it, before anything is deleted. */
    sim_clock_advance(&w.clock, 5000000000);
    EXPECT_EQ("c d ", keys());
    EXPECT_EQ(std::nullopt, db.get("t", "a"));
    EXPECT_EQ("1", db.get("t", "a", version)) << "it was there at that version";
    EXPECT_EQ(0u, db.status().expired_count);
    w.pass_ms(3000);
    EXPECT_EQ(2u, db.status().expired_count);
    EXPECT_EQ("c d ", keys());
    EXPECT_EQ("5", db.get("t", "c"));
    w.pass_ms(200000);
    EXPECT_EQ("c ", keys());
    EXPECT_EQ(3u, db.status().expired_count);
}

TEST_F(Scan, ExpiredDocumentsCountAsAbsentForPreconditions)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("{\"x\":1}", w.now_ms() + 1000)));
    sim_clock_advance(&w.clock, 2000000000);
    batch b(db);
    polarys_precondition absent{};
    absent.kind = POLARYS_PRECONDITION_MUST_NOT_EXIST;
    ASSERT_EQ(POLARYS_OK, b.require("t", "a", absent));
    ASSERT_EQ(POLARYS_OK, b.update("t", "a", "{\"y\":2}"));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ("{\"y\":2}", db.get("t", "a"));
    w.pass_ms(5000);
    EXPECT_EQ("{\"y\":2}", db.get("t", "a")) << "the sweeper leaves the new document alone";
}

TEST_F(Scan, SweepsBurstsThatExpireTogether)
{
    uint64_t expiry = w.now_ms() + 1000;
    batch b(db);
    for (int i = 0; i < 3000; i++) {
        ASSERT_EQ(POLARYS_OK, b.put("t", std::to_string(i), json_of("1", expiry)));
    }
    ASSERT_EQ(POLARYS_OK, b.commit());
    ASSERT_EQ(POLARYS_OK, db.put("t", "stays", "1"));
    w.pass_ms(4000);
    EXPECT_EQ(3000u, db.status().expired_count);
    EXPECT_EQ("stays ", keys());
}
