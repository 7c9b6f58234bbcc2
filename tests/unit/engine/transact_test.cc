/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single-shot transactions: compare, then or else.
 */
#include "tests/support/engine/test_txn.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::submitted;
using test_store::text_of;
using test_store::txn;
using test_store::world;

namespace {

/* One, and the answer to it. */
class shot {
  public:
    explicit shot(polarys_db *given) : db(given)
    {
        EXPECT_EQ(POLARYS_OK, polarys_transact_create(db, nullptr, &handle, &error))
            << error.message;
    }
    ~shot()
    {
        polarys_transact_destroy(handle);
    }
    shot(const shot &) = delete;
    shot &operator=(const shot &) = delete;

    polarys_code compare(const std::string &key, polarys_precondition_kind kind,
                         uint64_t version = 0)
    {
        polarys_precondition condition{};
        condition.kind = kind;
        condition.version = version;
        return polarys_transact_compare(handle, "t", bytes_of(key), &condition, &error);
    }
    polarys_code add(polarys_transact_branch branch, polarys_transact_kind kind,
                     const std::string &key, const std::string &value = "", const char *table = "t")
    {
        polarys_transact_operation operation{};
        operation.kind = kind;
        operation.table = table;
        operation.key = bytes_of(key);
        operation.end = bytes_of(value);
        operation.value = json_of(value);
        operation.update_expires_at_ms = UINT64_MAX;
        return polarys_transact_add(handle, branch, &operation, &error);
    }
    void submit(const polarys_write_options *options = nullptr)
    {
        done_count = 0;
        items.clear();
        polarys_transact_submit(handle, options, note, this);
    }
    /* Waits for the answer. */
    polarys_code run(world &w, const polarys_write_options *options = nullptr)
    {
        submit(options);
        for (int i = 0; i < 100 && done_count == 0; i++) {
            while (polarys_db_drive(db, 0)) {
            }
            w.pass_ms(1);
        }
        EXPECT_EQ(1, done_count);
        return code;
    }
    static void note(void *context, polarys_code code, const polarys_transact_result *result,
                     const polarys_error *err)
    {
        auto *to = static_cast<shot *>(context);
        to->done_count++;
        to->code = code;
        to->succeeded = result->succeeded;
        to->write = result->write;
        to->error = *err;
        for (size_t i = 0; i < result->item_count; i++) {
            const polarys_transact_item &item = result->items[i];
            to->items.push_back(item.document != nullptr ? text_of(item.document->value.bytes)
                                : item.is_found          ? "found"
                                                         : "-");
        }
    }

    polarys_db *db;
    polarys_transact *handle = nullptr;
    polarys_error error{};
    int done_count = 0;
    polarys_code code = POLARYS_OK;
    bool succeeded = false;
    polarys_write_result write{};
    std::vector<std::string> items;
};

class Transact : public ::testing::Test {
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

using Items = std::vector<std::string>;

} // namespace

TEST_F(Transact, DoesOneBranchOrTheOther)
{
    shot s(db.db);
    ASSERT_EQ(POLARYS_OK, s.compare("a", POLARYS_PRECONDITION_MUST_NOT_EXIST));
    ASSERT_EQ(POLARYS_OK, s.add(POLARYS_TRANSACT_THEN, POLARYS_TRANSACT_PUT, "a", "1"));
    ASSERT_EQ(POLARYS_OK, s.add(POLARYS_TRANSACT_ELSE, POLARYS_TRANSACT_GET, "a"));
    ASSERT_EQ(POLARYS_OK, s.run(w)) << s.error.message;
    EXPECT_TRUE(s.succeeded);
    EXPECT_EQ(Items{"-"}, s.items);
    EXPECT_EQ("1", value("a"));
    uint64_t version = s.write.version;
    ASSERT_EQ(POLARYS_OK, s.run(w)) << "it may be done again";
    EXPECT_FALSE(s.succeeded);
    EXPECT_EQ(Items{"1"}, s.items);
    EXPECT_EQ(version, s.write.version) << "the version read";
}

TEST_F(Transact, ReadsSeeTheWritesBeforeThem)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", R"({"n":1})"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "r1", "1"));
    shot s(db.db);
    auto then = POLARYS_TRANSACT_THEN;
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_GET, "a"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_UPDATE, "a", R"({"m":2})"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_GET, "a"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_DELETE, "a"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_DELETE, "a"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_GET, "a"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_DELETE_RANGE, "r", "s"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_GET, "r1"));
    ASSERT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_PUT, "r2", "2"));
    ASSERT_EQ(POLARYS_OK, s.run(w)) << s.error.message;
    EXPECT_EQ((Items{R"({"n":1})", "found", R"({"n":1,"m":2})", "found", "-", "-", "-", "-", "-"}),
              s.items);
    std::map<std::string, std::string> wanted = {{"r2", "2"}};
    EXPECT_EQ(wanted, db.contents("t"));
}

TEST_F(Transact, CountsRightWhenItConflicts)
{
    enum { SHOTS = 64 };
    ASSERT_EQ(POLARYS_OK, db.put("t", "n", R"({"v":0})"));
    std::vector<std::unique_ptr<shot>> all;
    for (int i = 0; i < SHOTS; i++) {
        /* A list that each makes longer by one member. */
        all.push_back(std::make_unique<shot>(db.db));
        ASSERT_EQ(POLARYS_OK, all[i]->add(POLARYS_TRANSACT_THEN, POLARYS_TRANSACT_UPDATE, "n",
                                          "{\"m" + std::to_string(i) + "\":1}"));
        all[i]->submit();
    }
    for (int i = 0; i < 2000; i++) {
        while (polarys_db_drive(db.db, 0)) {
        }
        w.pass_ms(1);
    }
    for (int i = 0; i < SHOTS; i++) {
        ASSERT_EQ(1, all[i]->done_count) << i;
        EXPECT_EQ(POLARYS_OK, all[i]->code) << all[i]->error.message;
        EXPECT_NE(std::string::npos, value("n").find("\"m" + std::to_string(i) + "\":1"));
    }
}

TEST_F(Transact, ARepeatedRequestGetsTheFirstAnswer)
{
    polarys_write_options options{};
    options.has_request_id = true;
    options.request_id[0] = 9;
    shot s(db.db);
    ASSERT_EQ(POLARYS_OK, s.compare("a", POLARYS_PRECONDITION_MUST_EXIST));
    ASSERT_EQ(POLARYS_OK, s.add(POLARYS_TRANSACT_ELSE, POLARYS_TRANSACT_PUT, "a", "1"));
    ASSERT_EQ(POLARYS_OK, s.run(w, &options)) << s.error.message;
    EXPECT_FALSE(s.succeeded);
    uint64_t version = s.write.version;
    ASSERT_EQ(POLARYS_OK, s.run(w, &options)) << s.error.message;
    EXPECT_TRUE(s.write.is_replayed);
    EXPECT_FALSE(s.succeeded) << "although the compare holds now";
    EXPECT_EQ(version, s.write.version);
    shot other(db.db);
    ASSERT_EQ(POLARYS_OK, other.add(POLARYS_TRANSACT_THEN, POLARYS_TRANSACT_GET, "a"));
    EXPECT_EQ(POLARYS_REQUEST_ID_REUSED, other.run(w, &options));
    shot deleter(db.db); /* a get and a delete of one key are not the same request */
    ASSERT_EQ(POLARYS_OK, deleter.add(POLARYS_TRANSACT_THEN, POLARYS_TRANSACT_DELETE, "a"));
    EXPECT_EQ(POLARYS_REQUEST_ID_REUSED, deleter.run(w, &options));
}

TEST_F(Transact, RefusesWhatABatchWould)
{
    shot s(db.db);
    auto then = POLARYS_TRANSACT_THEN;
    EXPECT_EQ(POLARYS_BAD_KEY, s.add(then, POLARYS_TRANSACT_GET, ""));
    EXPECT_EQ(POLARYS_BAD_JSON, s.add(then, POLARYS_TRANSACT_PUT, "a", "{"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, s.add(then, POLARYS_TRANSACT_GET, "a", "", "no"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, s.add(then, static_cast<polarys_transact_kind>(77), "a"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              s.add(static_cast<polarys_transact_branch>(7), POLARYS_TRANSACT_GET, "a"));
    EXPECT_EQ(POLARYS_BAD_KEY, s.compare("", POLARYS_PRECONDITION_MUST_EXIST));
    ASSERT_EQ(POLARYS_OK, s.run(w)) << "an empty one does nothing";
    EXPECT_TRUE(s.succeeded);
    EXPECT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_PUT, "a", "[1]"));
    EXPECT_EQ(POLARYS_OK, s.add(then, POLARYS_TRANSACT_UPDATE, "b", R"({"x":1})"));
    ASSERT_EQ(POLARYS_OK, s.run(w)) << s.error.message;
    EXPECT_EQ("[1]", value("a"));
    EXPECT_EQ(R"({"x":1})", value("b"));
}

TEST_F(Transact, ReadsFilesElsewhereThanInTheCaller)
{
    for (int i = 0; i < 2000; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(i), R"({"n":1})"));
    }
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    shot s(db.db);
    ASSERT_EQ(POLARYS_OK, s.add(POLARYS_TRANSACT_THEN, POLARYS_TRANSACT_GET, "k7"));
    ASSERT_EQ(POLARYS_OK,
              s.add(POLARYS_TRANSACT_THEN, POLARYS_TRANSACT_UPDATE, "k8", R"({"n":2})"));
    s.submit();
    EXPECT_EQ(0, s.done_count) << "nothing is in memory";
    w.pass_ms(10);
    while (polarys_db_drive(db.db, 0)) {
    }
    w.pass_ms(10);
    ASSERT_EQ(1, s.done_count);
    EXPECT_EQ(POLARYS_OK, s.code) << s.error.message;
    EXPECT_EQ((Items{R"({"n":1})", "found"}), s.items);
    EXPECT_EQ(R"({"n":2})", value("k8"));
}
