/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions by themselves: reading one's own writes, commits, conflicts, ends, status, limits.
 */
#include "tests/support/engine/test_txn.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::submitted;
using test_store::text_of;
using test_store::txn;
using test_store::txn_options;
using test_store::txn_status_of;
using test_store::world;

namespace {

class Txn : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }
    std::string value(const std::string &key)
    {
        return db.get("t", key).value_or("-");
    }
    world w;
    store db{w};
};

polarys_precondition must(polarys_precondition_kind kind, uint64_t version = 0)
{
    polarys_precondition precondition{};
    precondition.kind = kind;
    precondition.version = version;
    return precondition;
}

} // namespace

TEST_F(Txn, SeesItsOwnWritesAndNobodyElseDoesBeforeTheCommit)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "1"));
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "2"));
    ASSERT_EQ(POLARYS_OK, one.remove("b"));
    ASSERT_EQ(POLARYS_OK, one.put("c", "2"));
    EXPECT_EQ("2", one.get("a"));
    EXPECT_EQ("-", one.get("b"));
    EXPECT_EQ("2", one.get("c"));
    EXPECT_EQ("1", value("a"));
    EXPECT_EQ("-", value("c"));
    ASSERT_EQ(POLARYS_OK, one.commit()) << one.error.message;
    EXPECT_GT(one.result.version, 0u);
    EXPECT_EQ("2", value("a"));
    EXPECT_EQ("-", value("b"));
    EXPECT_EQ("2", value("c"));
}

TEST_F(Txn, RollbackLeavesNothing)
{
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, one.rollback());
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, one.rollback());
    EXPECT_EQ("TXN_NOT_FOUND", one.get("a"));
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, one.put("a", "1"));
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, one.commit());
    EXPECT_EQ("-", value("a"));
}

TEST_F(Txn, LettingGoRollsBackUnlessItWasDetached)
{
    std::vector<uint8_t> id;
    {
        txn one(db.db);
        id = one.id();
    }
    polarys_txn *found = nullptr;
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, polarys_txn_find(db.db, id.data(), &found, nullptr));
    {
        txn one(db.db);
        id = one.id();
        ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
        polarys_txn_detach(one.handle);
    }
    ASSERT_EQ(POLARYS_OK, polarys_txn_find(db.db, id.data(), &found, nullptr));
    EXPECT_EQ(POLARYS_OK, polarys_txn_commit(found, nullptr, nullptr, nullptr));
    polarys_txn_release(found);
    EXPECT_EQ("1", value("a"));
}

TEST_F(Txn, FirstCommitterWinsAndTheLoserIsToldWhatChanged)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    txn one(db.db);
    ASSERT_EQ("1", one.get("a"));
    ASSERT_EQ(POLARYS_OK, one.put("a", "2"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "3"));
    EXPECT_EQ(POLARYS_TXN_CONFLICT, one.commit());
    EXPECT_STREQ("t", polarys_error_detail_find(&one.error, "table"));
    EXPECT_STREQ("a", polarys_error_detail_find(&one.error, "key"));
    EXPECT_EQ("3", value("a"));
    polarys_txn_status status;
    ASSERT_EQ(POLARYS_OK, txn_status_of(db.db, one.id(), &status));
    EXPECT_EQ(POLARYS_TXN_ABORTED, status.state);
}

TEST_F(Txn, AKeyOfOtherBytesIsNamedInHex)
{
    const std::string key("\x01\xff", 2);
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put(key, "2"));
    ASSERT_EQ(POLARYS_OK, db.put("t", key, "3"));
    EXPECT_EQ(POLARYS_TXN_CONFLICT, one.commit());
    EXPECT_STREQ("01ff", polarys_error_detail_find(&one.error, "key"));
}

TEST_F(Txn, WritesOfOthersElsewhereAreNoConflict)
{
    txn one(db.db);
    ASSERT_EQ("-", one.get("a"));
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "1"));
    EXPECT_EQ(POLARYS_OK, one.commit()) << one.error.message;
}

TEST_F(Txn, AFlushBetweenSnapshotAndCommitIsNoConflict)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    for (polarys_isolation level : {POLARYS_ISOLATION_SNAPSHOT, POLARYS_ISOLATION_SERIALIZABLE}) {
        txn one(db.db, level);
        txn two(db.db, level);
        ASSERT_NE("-", one.get("a"));
        ASSERT_NE("-", two.get("a"));
        ASSERT_EQ(POLARYS_OK, one.put("a", "2"));
        ASSERT_EQ(POLARYS_OK, one.put("new", "2"));
        ASSERT_EQ(POLARYS_OK, two.put("a", "3"));
        ASSERT_EQ(POLARYS_OK, db.put("t", "b", "1"));
        ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
        ASSERT_EQ(POLARYS_OK, one.commit()) << one.error.message;
        ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
        EXPECT_EQ(POLARYS_TXN_CONFLICT, two.commit());
        ASSERT_EQ(POLARYS_OK, db.remove("t", "new"));
    }
}

TEST_F(Txn, UpdatesMergeIntoWhatTheTransactionSees)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"x":1})"));
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.update("a", R"({"y":2})"));
    ASSERT_EQ(POLARYS_OK, one.update("a", R"({"x":null})"));
    ASSERT_EQ(POLARYS_OK, one.update("b", R"({"z":1})"));
    EXPECT_EQ(R"({"y":2})", one.get("a"));
    ASSERT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ(R"({"y":2})", value("a"));
    EXPECT_EQ(R"({"z":1})", value("b"));
}

TEST_F(Txn, ReadCommittedUpdatesMergeIntoWhatTheCommitFinds)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"x":1})"));
    txn one(db.db, POLARYS_ISOLATION_READ_COMMITTED);
    ASSERT_EQ(POLARYS_OK, one.update("a", R"({"y":2})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"x":5})"));
    ASSERT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ(R"({"x":5,"y":2})", value("a"));
}

TEST_F(Txn, RangeDeletesHideWhatWasThereAndWhatWasWrittenBefore)
{
    for (const char *key : {"a", "b", "c", "d"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "1"));
    }
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("bb", "2"));
    ASSERT_EQ(POLARYS_OK, one.remove_range("b", "d"));
    ASSERT_EQ(POLARYS_OK, one.put("c", "3"));
    EXPECT_EQ("1", one.get("a"));
    EXPECT_EQ("-", one.get("b"));
    EXPECT_EQ("-", one.get("bb"));
    EXPECT_EQ("3", one.get("c"));
    EXPECT_EQ("1", one.get("d"));
    ASSERT_EQ(POLARYS_OK, one.commit());
    std::map<std::string, std::string> wanted = {{"a", "1"}, {"c", "3"}, {"d", "1"}};
    EXPECT_EQ(wanted, db.contents("t"));
}

TEST_F(Txn, AnInsertIntoARangeThatIsDeletedIsAConflict)
{
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.remove_range("b", "d"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "c", "1"));
    EXPECT_EQ(POLARYS_TXN_CONFLICT, one.commit());
    EXPECT_STREQ("c", polarys_error_detail_find(&one.error, "key"));
}

TEST_F(Txn, DeleteTellsWhetherTheDocumentWasThere)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    txn one(db.db);
    bool existed = false;
    ASSERT_EQ(POLARYS_OK, one.remove("a", &existed));
    EXPECT_TRUE(existed);
    ASSERT_EQ(POLARYS_OK, one.remove("a", &existed));
    EXPECT_FALSE(existed);
    ASSERT_EQ(POLARYS_OK, one.remove("b", &existed));
    EXPECT_FALSE(existed);
    ASSERT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ("-", value("a"));
}

TEST_F(Txn, RequirementsAreCheckedNowAndAtTheCommit)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    txn one(db.db);
    EXPECT_EQ(POLARYS_KEY_EXISTS, one.require("a", must(POLARYS_PRECONDITION_MUST_NOT_EXIST)));
    EXPECT_EQ(POLARYS_OK, one.require("a", must(POLARYS_PRECONDITION_MUST_EXIST)));
    ASSERT_EQ(POLARYS_OK, one.put("b", "1"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "a"));
    polarys_code code = one.commit();
    EXPECT_TRUE(code == POLARYS_KEY_NOT_FOUND || code == POLARYS_TXN_CONFLICT)
        << polarys_code_name(code);
    EXPECT_EQ("-", value("b"));
}

TEST_F(Txn, RequirementsOnOwnWritesAreMetForGood)
{
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    EXPECT_EQ(POLARYS_OK, one.require("a", must(POLARYS_PRECONDITION_MUST_EXIST)));
    EXPECT_EQ(POLARYS_KEY_EXISTS, one.require("a", must(POLARYS_PRECONDITION_MUST_NOT_EXIST)));
    EXPECT_EQ(POLARYS_OK, one.commit()) << one.error.message;
}

TEST_F(Txn, ReadOnlyOnesRefuseWrites)
{
    polarys_txn_options options{};
    options.is_read_only = true;
    txn one(db.db, &options);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, one.put("a", "1"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, one.remove("a"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, one.remove_range("a", "b"));
    EXPECT_EQ("-", one.get("a"));
    EXPECT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ(polarys_db_version(db.db), one.result.version);
}

TEST_F(Txn, AFailedWriteChangesNothing)
{
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    EXPECT_EQ(POLARYS_BAD_JSON, one.put("a", "{"));
    EXPECT_EQ(POLARYS_BAD_KEY, one.put("", "1"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, one.put("a", "1", 0, "no"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, one.remove_range("b", "a"));
    EXPECT_EQ(POLARYS_BAD_JSON, one.update("a", "{"));
    EXPECT_EQ(POLARYS_OK, one.update("a", R"({"x":1})"));
    EXPECT_EQ(2u, one.status().write_count);
    EXPECT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ(R"({"x":1})", value("a"));
}

TEST_F(Txn, ACommittedOneIsFoundByItsIdAlsoAfterACrash)
{
    polarys_txn_options options{};
    options.principal = "ann";
    std::vector<uint8_t> id;
    uint64_t version;
    polarys_txn_status status;
    {
        txn one(db.db, &options);
        id = one.id();
        EXPECT_EQ(POLARYS_TXN_ACTIVE, one.status().state);
        ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
        ASSERT_EQ(POLARYS_OK, one.commit());
        version = one.result.version;
    }
    ASSERT_EQ(POLARYS_OK, txn_status_of(db.db, id, &status, "ann"));
    EXPECT_EQ(POLARYS_TXN_COMMITTED, status.state);
    EXPECT_EQ(version, status.commit_version);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, txn_status_of(db.db, id, &status, "bob"));
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, txn_status_of(db.db, id, &status, "ann"));
    EXPECT_EQ(POLARYS_TXN_COMMITTED, status.state);
    EXPECT_EQ(version, status.commit_version);
    w.pass_ms(700000);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, txn_status_of(db.db, id, &status, "ann"));
}

TEST_F(Txn, AnAbortedOneIsRememberedForAMinute)
{
    polarys_txn_status status;
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.rollback());
    ASSERT_EQ(POLARYS_OK, txn_status_of(db.db, one.id(), &status));
    EXPECT_EQ(POLARYS_TXN_ABORTED, status.state);
    w.pass_ms(59000);
    EXPECT_EQ(POLARYS_OK, txn_status_of(db.db, one.id(), &status));
    w.pass_ms(2000);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, txn_status_of(db.db, one.id(), &status));
}

TEST_F(Txn, EndsWhenItIdlesOrLastsTooLong)
{
    polarys_txn_options options{};
    options.idle_timeout_ms = 1000;
    options.timeout_ms = 3000;
    txn idle(db.db, &options);
    txn busy(db.db, &options);
    for (int i = 0; i < 2; i++) {
        w.pass_ms(900);
        EXPECT_EQ("-", busy.get("a"));
    }
    EXPECT_EQ("TXN_NOT_FOUND", idle.get("a"));
    EXPECT_NE(nullptr, strstr(idle.error.message, "idled"));
    w.pass_ms(900);
    EXPECT_EQ("-", busy.get("a"));
    w.pass_ms(900);
    EXPECT_EQ("TXN_NOT_FOUND", busy.get("a"));
    EXPECT_NE(nullptr, strstr(busy.error.message, "lasted"));
    polarys_txn_status status;
    ASSERT_EQ(POLARYS_OK, txn_status_of(db.db, idle.id(), &status));
    EXPECT_EQ(POLARYS_TXN_ABORTED, status.state);
    EXPECT_EQ(0u, db.status().snapshot_count);
}

TEST_F(Txn, ARequestIdOfTheCommitServesBesideTheTransactionsOwn)
{
    polarys_write_options options{};
    options.has_request_id = true;
    memset(options.request_id, 7, sizeof(options.request_id));
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, one.commit(&options));
    polarys_txn_status status;
    ASSERT_EQ(POLARYS_OK, txn_status_of(db.db, one.id(), &status));
    EXPECT_EQ(POLARYS_TXN_COMMITTED, status.state);
    txn again(db.db);
    ASSERT_EQ(POLARYS_OK, again.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, again.commit(&options));
    EXPECT_TRUE(again.result.is_replayed);
    EXPECT_EQ(one.result.version, again.result.version);
}

TEST_F(Txn, SubmittedCommitsAreAnsweredOnce)
{
    submitted answer;
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    polarys_txn_submit(one.handle, nullptr, submitted::note, &answer);
    while (polarys_db_drive(db.db, 0)) {
    }
    w.pass_ms(10);
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_OK, answer.code);
    EXPECT_EQ("1", value("a"));
    polarys_txn_submit(one.handle, nullptr, submitted::note, &answer);
    EXPECT_EQ(2, answer.done_count);
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, answer.code);
}

TEST_F(Txn, ASubmittedConflictIsFoundOut)
{
    submitted answer;
    txn one(db.db, POLARYS_ISOLATION_SERIALIZABLE);
    ASSERT_EQ("-", one.get("x"));
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "x", "1"));
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    polarys_txn_submit(one.handle, nullptr, submitted::note, &answer);
    while (polarys_db_drive(db.db, 0)) {
    }
    w.pass_ms(10);
    ASSERT_EQ(1, answer.done_count);
    EXPECT_EQ(POLARYS_TXN_CONFLICT, answer.code);
    EXPECT_STREQ("x", polarys_error_detail_find(&answer.error, "key"));
}

TEST_F(Txn, TakesNoMoreMemoryThanItsShare)
{
    /* 16 MiB in all: an eighth for transactions. */
    const std::string large = "\"" + std::string(900 << 10, 'x') + "\"";
    txn one(db.db);
    txn two(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", large));
    ASSERT_EQ(POLARYS_OK, two.put("b", large));
    EXPECT_EQ(POLARYS_MEMORY_LIMIT, two.put("c", large));
    EXPECT_GT(two.error.retry_after_ms, 0u);
    EXPECT_EQ("-", two.get("c"));
    ASSERT_EQ(POLARYS_OK, one.rollback());
    EXPECT_EQ(POLARYS_OK, two.put("c", large));
    EXPECT_EQ(POLARYS_OK, two.commit()) << two.error.message;
}

TEST_F(Txn, IsListedWhileItIsOpen)
{
    auto count = [](void *context, const polarys_txn_status *status) {
        static_cast<std::vector<polarys_txn_status> *>(context)->push_back(*status);
        return true;
    };
    std::vector<polarys_txn_status> list;
    txn one(db.db, POLARYS_ISOLATION_SERIALIZABLE);
    txn two(db.db, POLARYS_ISOLATION_READ_COMMITTED);
    ASSERT_EQ("-", one.get("a"));
    ASSERT_EQ(POLARYS_OK, one.put("b", "1"));
    ASSERT_EQ(POLARYS_OK, two.rollback());
    ASSERT_EQ(POLARYS_OK, polarys_txn_list(db.db, count, &list, nullptr));
    ASSERT_EQ(1u, list.size());
    EXPECT_EQ(POLARYS_ISOLATION_SERIALIZABLE, list[0].isolation);
    EXPECT_EQ(1u, list[0].read_count);
    EXPECT_EQ(1u, list[0].write_count);
    EXPECT_EQ(polarys_txn_version(one.handle), list[0].read_version);
    EXPECT_STREQ("default", list[0].database);
    EXPECT_GT(list[0].bytes, 0u);
}

TEST_F(Txn, RefusesWhatItDoesNotKnow)
{
    polarys_txn *out = nullptr;
    polarys_error err;
    polarys_error_clear(&err);
    polarys_txn_options options{};
    options.isolation = static_cast<polarys_isolation>(9);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, polarys_txn_begin(db.db, nullptr, &options, &out, &err));
    options = {};
    options.timeout_ms = POLARYS_TXN_TIMEOUT_MAX_MS + 1;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, polarys_txn_begin(db.db, nullptr, &options, &out, &err));
    EXPECT_EQ(POLARYS_DATABASE_NOT_FOUND, polarys_txn_begin(db.db, "no", nullptr, &out, &err));
    EXPECT_EQ(nullptr, out);
    uint8_t id[POLARYS_TXN_ID_SIZE] = {1};
    EXPECT_EQ(POLARYS_TXN_NOT_FOUND, polarys_txn_find(db.db, id, &out, &err));
}

TEST_F(Txn, ClosingTheStoreEndsOpenOnes)
{
    txn one(db.db);
    ASSERT_EQ("-", one.get("a"));
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
}

TEST_F(Txn, ADroppedTableFailsTheCommit)
{
    txn one(db.db);
    ASSERT_EQ(POLARYS_OK, one.put("a", "1"));
    ASSERT_EQ(POLARYS_OK, polarys_table_drop(db.db, nullptr, "t", nullptr, nullptr, nullptr));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, one.commit());
}

TEST_F(Txn, AScanSeesWhatTheTransactionWroteInBothDirections)
{
    for (const char *key : {"b", "d", "f", "h"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "1"));
    }
    for (polarys_isolation level : {POLARYS_ISOLATION_READ_COMMITTED, POLARYS_ISOLATION_SNAPSHOT,
                                    POLARYS_ISOLATION_SERIALIZABLE}) {
        txn one(db.db, level);
        EXPECT_EQ("b=1 d=1 f=1 h=1 ", one.scan());
        ASSERT_EQ(POLARYS_OK, one.put("a", "2"));
        ASSERT_EQ(POLARYS_OK, one.put("d", "2"));
        ASSERT_EQ(POLARYS_OK, one.remove("f"));
        ASSERT_EQ(POLARYS_OK, one.put("g", "2"));
        ASSERT_EQ(POLARYS_OK, one.put("z", "2"));
        EXPECT_EQ("a=2 b=1 d=2 g=2 h=1 z=2 ", one.scan());
        EXPECT_EQ("z=2 h=1 g=2 d=2 b=1 a=2 ", one.scan("", "", true));
        EXPECT_EQ("b=1 d=2 g=2 ", one.scan("b", "h"));
        EXPECT_EQ("g=2 d=2 b=1 ", one.scan("b", "h", true));
        EXPECT_EQ("", one.scan("i", "k"));
        ASSERT_EQ(POLARYS_OK, one.remove_range("b", "h"));
        ASSERT_EQ(POLARYS_OK, one.put("c", "3"));
        EXPECT_EQ("a=2 c=3 h=1 z=2 ", one.scan());
        EXPECT_EQ("z=2 h=1 c=3 a=2 ", one.scan("", "", true));
    }
}

TEST_F(Txn, AScanIsAsOfItsOpening)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "1"));
    txn one(db.db);
    polarys_scan_options options{};
    options.table = "t";
    options.txn = one.handle;
    polarys_scan *scan = nullptr;
    ASSERT_EQ(POLARYS_OK, one.put("c", "2"));
    ASSERT_EQ(POLARYS_OK, polarys_scan_open(db.db, &options, &scan, nullptr));
    ASSERT_EQ(POLARYS_OK, one.put("d", "2"));
    std::string keys;
    bool has_document = true;
    while (has_document) {
        polarys_document document{};
        ASSERT_EQ(POLARYS_OK, polarys_scan_next(scan, &has_document, &document, nullptr));
        keys += has_document ? text_of(document.key) : "";
    }
    EXPECT_EQ("bc", keys);
    polarys_scan_close(scan);
    options.version = 1;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, polarys_scan_open(db.db, &options, &scan, nullptr));
}

TEST_F(Txn, OnlyWhatAScanHasWalkedOverIsValidated)
{
    for (const char *key : {"b", "d", "f", "h"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "1"));
    }
    struct {
        bool is_reverse;
        const char *written;
        polarys_code code;
    } cases[] = {
        {false, "a", POLARYS_TXN_CONFLICT}, {false, "c", POLARYS_TXN_CONFLICT},
        {false, "d", POLARYS_TXN_CONFLICT}, {false, "e", POLARYS_OK},
        {true, "i", POLARYS_TXN_CONFLICT},  {true, "f", POLARYS_TXN_CONFLICT},
        {true, "g", POLARYS_TXN_CONFLICT},  {true, "e", POLARYS_OK},
    };
    for (const auto &each : cases) {
        for (bool is_flushed : {false, true}) {
            txn one(db.db, POLARYS_ISOLATION_SERIALIZABLE);
            ASSERT_EQ(each.is_reverse ? "h=1 f=1 " : "b=1 d=1 ",
                      one.scan("", "", each.is_reverse, 2));
            ASSERT_EQ(POLARYS_OK, one.put("result", "1"));
            ASSERT_EQ(POLARYS_OK, db.put("t", each.written, "1"));
            if (is_flushed) {
                ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
            }
            EXPECT_EQ(each.code, one.commit()) << each.written << one.error.message;
            ASSERT_EQ(POLARYS_OK, db.remove("t", "result"));
            if (std::string("bdfh").find(each.written) == std::string::npos) {
                ASSERT_EQ(POLARYS_OK, db.remove("t", each.written));
            }
        }
    }
}

TEST_F(Txn, AScanThatMayNotReadFilesLosesNothing)
{
    for (int i = 0; i < 3000; i++) {
        std::string key = std::to_string(10000 + i);
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "\"" + std::string(100, 'x') + "\""));
    }
    for (bool is_reverse : {false, true}) {
        ASSERT_EQ(POLARYS_OK, db.close());
        ASSERT_EQ(POLARYS_OK, db.open());
        txn one(db.db);
        for (int i = 0; i < 3000; i += 7) {
            ASSERT_EQ(POLARYS_OK, one.put(std::to_string(10000 + i) + "a", "1"));
        }
        polarys_scan_options options{};
        options.table = "t";
        options.txn = one.handle;
        options.is_reverse = is_reverse;
        options.flags = POLARYS_READ_MEMORY_ONLY;
        polarys_scan *scan = nullptr;
        ASSERT_EQ(POLARYS_OK, polarys_scan_open(db.db, &options, &scan, nullptr));
        std::vector<std::string> keys;
        bool has_document = true;
        int blocked = 0;
        while (has_document) {
            polarys_document document{};
            polarys_code code = polarys_scan_next(scan, &has_document, &document, nullptr);
            if (code == POLARYS_WOULD_BLOCK) {
                blocked++;
                polarys_scan_flags_set(scan, 0);
                has_document = true;
                continue;
            }
            ASSERT_EQ(POLARYS_OK, code);
            if (has_document) {
                keys.push_back(text_of(document.key));
            }
            /* Back and forth, also where an entry was met and not handed out. */
            polarys_scan_flags_set(scan, keys.size() % 3 == 0 ? POLARYS_READ_MEMORY_ONLY : 0);
        }
        polarys_scan_close(scan);
        EXPECT_GT(blocked, 0);
        EXPECT_EQ(3000u + 429u, keys.size());
        if (is_reverse) {
            std::reverse(keys.begin(), keys.end());
        }
        EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
        EXPECT_TRUE(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
    }
}
