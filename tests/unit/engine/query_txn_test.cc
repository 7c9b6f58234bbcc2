/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries in transactions: what they show, and what a commit hears of them.
 */
#include "engine/engine_query.h"
#include "tests/support/engine/test_index.h"
#include "tests/support/engine/test_txn.h"

using test_store::bytes_of;
using test_store::store;
using test_store::text_of;
using test_store::txn;
using test_store::txn_options;
using test_store::world;

namespace {

class QueryTxnTest : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        for (const char *key : {"a", "b", "c", "d"}) {
            ASSERT_EQ(POLARYS_OK, db.put("t", key, "{\"n\":1,\"m\":1}"));
        }
    }

    void make_index()
    {
        test_index::create_ready(db, "t", {"by_n", {"n"}});
    }

    std::string keys(const txn &in, const std::string &filter, const std::string &order = "",
                     uint64_t limit = 0, const std::string &from = "")
    {
        polarys_query_options options{};
        options.table = "t";
        options.filter = bytes_of(filter);
        options.order_by = bytes_of(order);
        options.limit = limit;
        options.cursor = bytes_of(from);
        options.txn = in.handle;
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
};

} // namespace

TEST_F(QueryTxnTest, ShowsItsOwnWritesOnTopOfItsVersion)
{
    txn t(db.db);
    EXPECT_EQ("a b c d", keys(t, "n = 1"));
    ASSERT_EQ(POLARYS_OK, t.put("b", "{\"n\":2}"));
    ASSERT_EQ(POLARYS_OK, t.remove("c"));
    ASSERT_EQ(POLARYS_OK, t.put("e", "{\"n\":1}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "f", "{\"n\":1}"));
    EXPECT_EQ("a d e", keys(t, "n = 1"));
    EXPECT_EQ("b", keys(t, "n = 2"));
    EXPECT_EQ("b e d a", keys(t, "", "n desc"));
    EXPECT_EQ("b e", keys(t, "", "n desc", 2));
    ASSERT_EQ(POLARYS_OK, t.remove_range("a", "c"));
    EXPECT_EQ("d e", keys(t, ""));
}

TEST_F(QueryTxnTest, GoesOnBehindACursorIntoItsOwnWrites)
{
    txn t(db.db);
    ASSERT_EQ(POLARYS_OK, t.put("aa", "{}"));
    ASSERT_EQ(POLARYS_OK, t.put("e", "{}"));
    std::string pages;
    std::string place;
    for (int i = 0; i < 8; i++) {
        pages += keys(t, "", "", 1, place) + " ";
        place = cursor;
    }
    EXPECT_EQ("a b c d aa e   ", pages);
    EXPECT_EQ("a aa b c d e", keys(t, "", "none"));
}

TEST_F(QueryTxnTest, UsesIndexesAndLeavesOutWhatItTouched)
{
    make_index();
    txn t(db.db);
    ASSERT_EQ(POLARYS_OK, t.put("b", "{\"n\":2}"));
    ASSERT_EQ(POLARYS_OK, t.put("e", "{\"n\":1}"));
    EXPECT_EQ("a c d e", keys(t, "n = 1"));
    EXPECT_EQ("b", keys(t, "n = 2"));
    EXPECT_EQ("b e d c a", keys(t, "", "n desc"));
}

TEST_F(QueryTxnTest, ConflictsAtSerializableWithWhatWouldHaveMatched)
{
    for (bool has_index : {false, true}) {
        if (has_index) {
            make_index();
        }
        txn phantom(db.db, POLARYS_ISOLATION_SERIALIZABLE);
        EXPECT_EQ("", keys(phantom, has_index ? "n = 70" : "n = 7"));
        ASSERT_EQ(POLARYS_OK, phantom.put("own", "{}"));
        ASSERT_EQ(POLARYS_OK,
                  db.put("t", has_index ? "y" : "x", has_index ? "{\"n\":70}" : "{\"n\":7}"));
        EXPECT_EQ(POLARYS_TXN_CONFLICT, phantom.commit()) << has_index;

        txn changed(db.db, POLARYS_ISOLATION_SERIALIZABLE);
        EXPECT_EQ("d", keys(changed, "n = 1 AND m = 1").substr(6));
        ASSERT_EQ(POLARYS_OK, changed.put("own", "{}"));
        ASSERT_EQ(POLARYS_OK, db.put("t", "d", "{\"n\":1,\"m\":1,\"o\":1}"));
        EXPECT_EQ(POLARYS_TXN_CONFLICT, changed.commit()) << "its entry is the same";
    }
    txn apart(db.db, POLARYS_ISOLATION_SERIALIZABLE);
    EXPECT_EQ("", keys(apart, "n = 8"));
    ASSERT_EQ(POLARYS_OK, apart.put("own", "{}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "z", "{\"n\":9}"));
    EXPECT_EQ(POLARYS_OK, apart.commit()) << "by the index it looked elsewhere";
}

TEST_F(QueryTxnTest, ConflictsWithADocumentThatMatchesTheEndsOfARangeWithDifferentElements)
{
    make_index();
    txn phantom(db.db, POLARYS_ISOLATION_SERIALIZABLE);
    EXPECT_EQ("", keys(phantom, "n >= 20 AND n < 50"));
    ASSERT_EQ(POLARYS_OK, phantom.put("own", "{}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "x", "{\"n\":[10,90]}"));
    txn after(db.db, POLARYS_ISOLATION_SNAPSHOT);
    EXPECT_EQ("x", keys(after, "n >= 20 AND n < 50"));
    EXPECT_EQ(POLARYS_TXN_CONFLICT, phantom.commit());
}

TEST_F(QueryTxnTest, ConflictsWithAnEntryWhoseValueLooksLikeAnExpiredDocument)
{
    /* An entry's value is its document's key. */
    test_index::create_ready(db, "t", {"by_u", {"u"}, POLARYS_INDEX_ORDERED, true});
    for (const std::string &key :
         {std::string("plain"), std::string("\x02\x01\0\0\0\0\0\0\0", 9)}) {
        txn phantom(db.db, POLARYS_ISOLATION_SERIALIZABLE);
        EXPECT_EQ("", keys(phantom, key == "plain" ? "u = 7" : "u = 8"));
        ASSERT_EQ(POLARYS_OK, phantom.put("own", "{}"));
        ASSERT_EQ(POLARYS_OK, db.put("t", key, key == "plain" ? "{\"u\":7}" : "{\"u\":8}"));
        EXPECT_EQ(POLARYS_TXN_CONFLICT, phantom.commit()) << key.size();
    }
}

TEST_F(QueryTxnTest, RefusesATransactionThatIsOverOrElsewhere)
{
    txn t(db.db);
    ASSERT_EQ(POLARYS_OK, t.rollback());
    EXPECT_EQ("TXN_NOT_FOUND", keys(t, ""));
    ASSERT_EQ(POLARYS_OK, polarys_database_create(db.db, "other", nullptr, nullptr, &db.error));
    txn other(db.db, nullptr, "other");
    EXPECT_EQ("BAD_ARGUMENT", keys(other, ""));
}

TEST_F(QueryTxnTest, TakesNoCursorOfAVersionThatItDoesNotRead)
{
    txn early(db.db);
    EXPECT_EQ("a", keys(early, "", "", 1));
    std::string place = cursor;
    ASSERT_EQ(POLARYS_OK, db.put("t", "bb", "{}"));
    txn snapshot(db.db, POLARYS_ISOLATION_SNAPSHOT);
    EXPECT_EQ("CURSOR_EXPIRED", keys(snapshot, "", "", 0, place));
    EXPECT_EQ("a b bb c d", keys(snapshot, "")) << "it is still open";
    txn serializable(db.db, POLARYS_ISOLATION_SERIALIZABLE);
    EXPECT_EQ("CURSOR_EXPIRED", keys(serializable, "", "", 0, place));
    txn committed(db.db, POLARYS_ISOLATION_READ_COMMITTED);
    EXPECT_EQ("b c d", keys(committed, "", "", 0, place));
}

TEST(QueryTxn, ACursorKeepsItsVersionWhereStatementsHaveVersionsOfTheirOwn)
{
    world w;
    polarys_db_options no_history = w.options();
    no_history.history_keep_ms = 0;
    store db(w, no_history);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    for (const char *key : {"a", "b", "c"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "{}"));
    }
    txn in(db.db, POLARYS_ISOLATION_READ_COMMITTED);
    std::string place;
    std::string seen;
    for (int page = 0; page < 4; page++) {
        polarys_query_options options{};
        options.table = "t";
        options.limit = 1;
        options.txn = in.handle;
        options.cursor = bytes_of(place);
        polarys_query *query = nullptr;
        ASSERT_EQ(POLARYS_OK, polarys_query_open(db.db, &options, &query, &db.error))
            << db.error.message;
        bool has_document;
        polarys_document document{};
        ASSERT_EQ(POLARYS_OK,
                  polarys_query_next(query, nullptr, nullptr, &has_document, &document, &db.error));
        seen += has_document ? text_of(document.key) + " " : "-";
        polarys_slice bytes{};
        ASSERT_EQ(POLARYS_OK, polarys_query_cursor(query, &bytes, &db.error));
        place = text_of(bytes);
        polarys_query_close(query);
        /* Nothing but a lease keeps the version from here on. */
        ASSERT_EQ(POLARYS_OK, db.put("t", "b" + std::to_string(page), "{}"));
        ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error));
    }
    EXPECT_EQ("a b c -", seen);
    w.pass_ms(POLARYS_QUERY_LEASE_MS + 1000);
    EXPECT_EQ(0u, db.status().snapshot_count) << "and not for ever";
}

TEST_F(QueryTxnTest, ValidatesWhatItReadByACursorAtTheCursorsVersion)
{
    for (bool has_changed : {false, true}) {
        txn early(db.db);
        EXPECT_EQ("a", keys(early, "", "", 1));
        std::string place = cursor;
        if (has_changed) {
            ASSERT_EQ(POLARYS_OK, db.put("t", "bb", "{}"));
        }
        txn late(db.db, POLARYS_ISOLATION_SERIALIZABLE, POLARYS_TXN_PESSIMISTIC);
        EXPECT_EQ("b c d", keys(late, "", "", 0, place));
        ASSERT_EQ(POLARYS_OK, late.put("a", "{}"));
        EXPECT_EQ(has_changed ? POLARYS_TXN_CONFLICT : POLARYS_OK, late.commit());
    }
}

TEST_F(QueryTxnTest, KeepsItsTransactionInUseAndItsVersionLeased)
{
    polarys_txn_options begin = txn_options(POLARYS_ISOLATION_SNAPSHOT);
    begin.idle_timeout_ms = 1000;
    for (bool is_scan : {false, true}) {
        txn t(db.db, &begin);
        polarys_query_options options{};
        polarys_scan_options scan_options{};
        options.table = scan_options.table = "t";
        options.txn = scan_options.txn = t.handle;
        polarys_query *query = nullptr;
        polarys_scan *scan = nullptr;
        ASSERT_EQ(POLARYS_OK, is_scan ? polarys_scan_open(db.db, &scan_options, &scan, &db.error)
                                      : polarys_query_open(db.db, &options, &query, &db.error));
        auto next = [&] {
            bool has_document;
            polarys_document document{};
            return is_scan ? polarys_scan_next(scan, &has_document, &document, &db.error)
                           : polarys_query_next(query, nullptr, nullptr, &has_document, &document,
                                                &db.error);
        };
        for (int i = 0; i < 3; i++) {
            w.pass_ms(600);
            ASSERT_EQ(POLARYS_OK, next()) << db.error.message;
        }
        ASSERT_EQ(POLARYS_OK, t.put("own", "{}")) << t.error.message;
        ASSERT_EQ(POLARYS_OK, t.rollback());
        polarys_db_status status{};
        ASSERT_EQ(POLARYS_OK, polarys_db_status_get(db.db, &status, &db.error));
        EXPECT_EQ(1u, status.snapshot_count) << "of the statement";
        EXPECT_EQ(POLARYS_TXN_NOT_FOUND, next());
        polarys_scan_close(scan);
        polarys_query_close(query);
        ASSERT_EQ(POLARYS_OK, polarys_db_status_get(db.db, &status, &db.error));
        EXPECT_EQ(0u, status.snapshot_count);
    }
}
