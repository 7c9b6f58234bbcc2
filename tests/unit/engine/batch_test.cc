/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: reduction to the final effect, preconditions, updates, request ids, conflicts and turns.
 */
#include "tests/support/engine/test_store.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::world;

namespace {

class Batch : public ::testing::Test {
  protected:
    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    }
    /* Every key of "t" and its value in one string. */
    std::string all()
    {
        std::string text;
        for (const auto &[key, value] : db.contents("t")) {
            text += key + "=" + value + " ";
        }
        return text;
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

polarys_precondition field(const char *path, const char *expected)
{
    polarys_precondition precondition{};
    precondition.kind = POLARYS_PRECONDITION_FIELD_EQUALS;
    precondition.field = slice_from_text(path);
    precondition.expected = slice_from_text(expected);
    return precondition;
}

polarys_write_options with_id(char id)
{
    polarys_write_options options{};
    options.has_request_id = true;
    memset(options.request_id, id, sizeof(options.request_id));
    options.principal = "ann";
    return options;
}

/* The answer to a submitted batch. */
struct answer {
    bool is_done = false;
    polarys_code code = POLARYS_OK;
    polarys_write_result result{};
    std::string message;
};

void note(void *context, polarys_code code, const polarys_write_result *result,
          const polarys_error *err)
{
    auto *to = static_cast<answer *>(context);
    ASSERT_FALSE(to->is_done) << "done was called twice";
    *to = {true, code, *result, code == POLARYS_OK ? "" : err->message};
}

} // namespace

TEST_F(Batch, CommitsAllOperationsAtOneVersion)
{
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "c"));
    EXPECT_EQ(3u, polarys_batch_operation_count(b.handle));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ(3u, b.result.affected);
    auto found = db.scan("t");
    ASSERT_EQ(2u, found.size());
    EXPECT_EQ(found[0].version, found[1].version);
    EXPECT_EQ(b.result.version, found[0].version);
}

TEST_F(Batch, RefusesToCommitNothing)
{
    batch b(db);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, b.commit());
    answer a;
    polarys_batch_submit(b.handle, nullptr, note, &a);
    EXPECT_TRUE(a.is_done);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, a.code);
}

TEST_F(Batch, LastOperationOnAKeyWins)
{
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "a"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "2"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "b", "3"));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "b"));
    ASSERT_EQ(POLARYS_OK, b.commit());
    EXPECT_EQ("a=2 ", all());
}

TEST_F(Batch, RangeDeleteHidesEarlierButNotLaterOperations)
{
    for (const char *key : {"a", "b", "c", "d"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "0"));
    }
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "b1", "1"));
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "b", "d"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "c", "2"));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ("a=0 c=2 d=0 ", all());
    ASSERT_EQ(POLARYS_OK, b.reset());
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "", ""));
    ASSERT_EQ(POLARYS_OK, b.put("t", "z", "9"));
    ASSERT_EQ(POLARYS_OK, b.commit());
    EXPECT_EQ("z=9 ", all());
}

TEST_F(Batch, OverlappingRangesAreOne)
{
    for (char key = 'a'; key <= 'j'; key++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", std::string(1, key), "0"));
    }
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "h", ""));
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "b", "e"));
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "b", "c"));
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "d", "g"));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ("a=0 g=0 ", all());
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_EQ("a=0 g=0 ", all());
}

TEST_F(Batch, RangeDeleteStaysInItsTable)
{
    ASSERT_EQ(POLARYS_OK, db.create_table("u"));
    ASSERT_EQ(POLARYS_OK, db.put("u", "a", "1"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "", ""));
    ASSERT_EQ(POLARYS_OK, b.remove_range("u", "b", ""));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ(0u, db.contents("t").size());
    EXPECT_EQ(1u, db.contents("u").size());
}

TEST_F(Batch, ReducesLargeBatchesAsSmallOnes)
{
    std::mt19937_64 chance(7);
    std::map<std::string, std::string> expected;
    batch b(db);
    for (int i = 0; i < 5000; i++) {
        std::string key = "k" + std::to_string(chance() % 700);
        switch (chance() % 20) {
        case 0: {
            std::string end = key + "5";
            ASSERT_EQ(POLARYS_OK, i % 10 != 0 ? POLARYS_OK : b.remove_range("t", key, end));
            if (i % 10 == 0) {
                expected.erase(expected.lower_bound(key), expected.lower_bound(end));
            }
            break;
        }
        case 1:
        case 2:
            ASSERT_EQ(POLARYS_OK, b.remove("t", key));
            expected.erase(key);
            break;
        default:
            ASSERT_EQ(POLARYS_OK, b.put("t", key, std::to_string(i)));
            expected[key] = std::to_string(i);
        }
    }
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ(expected, db.contents("t"));
}

TEST_F(Batch, IsUnchangedByARefusedOperation)
{
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    size_t bytes = polarys_batch_bytes(b.handle);
    EXPECT_EQ(POLARYS_BAD_JSON, b.put("t", "b", "{"));
    EXPECT_EQ(POLARYS_BAD_KEY, b.put("t", "", "1"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, b.put("nope", "b", "1"));
    EXPECT_EQ(POLARYS_BAD_NAME, b.put("n pe", "b", "1"));
    EXPECT_EQ(POLARYS_BAD_JSON, b.update("t", "b", "[1,"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, b.remove_range("t", "b", "a"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, b.remove_range("t", "b", "b"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, b.require("t", "b", field("", "1")));
    EXPECT_EQ(POLARYS_BAD_JSON, b.require("t", "b", field("x", "oops")));
    EXPECT_EQ(1u, polarys_batch_operation_count(b.handle));
    EXPECT_EQ(bytes, polarys_batch_bytes(b.handle));
    ASSERT_EQ(POLARYS_OK, b.commit());
    EXPECT_EQ("a=1 ", all());
}

TEST_F(Batch, EnforcesItsLimits)
{
    batch b(db);
    for (int i = 0; i < 256; i++) {
        std::string start = "k" + std::to_string(1000 + i);
        ASSERT_EQ(POLARYS_OK, b.remove_range("t", start, start + "x"));
    }
    EXPECT_EQ(POLARYS_TOO_LARGE, b.remove_range("t", "a", "b"));
    EXPECT_STREQ("256", polarys_error_detail_find(&b.error, "limit"));
    ASSERT_EQ(POLARYS_OK, b.reset());
    for (int i = 0; i < POLARYS_BATCH_OPERATIONS_MAX; i++) {
        ASSERT_EQ(POLARYS_OK, b.remove("t", std::to_string(i)));
    }
    EXPECT_EQ(POLARYS_TOO_LARGE, b.remove("t", "one more"));
    ASSERT_EQ(POLARYS_OK, b.reset());
    std::string large = "\"" + std::string(1000000, 'x') + "\"";
    polarys_code code = POLARYS_OK;
    for (int i = 0; i < 60 && code == POLARYS_OK; i++) {
        code = b.put("t", std::to_string(i), large);
    }
    EXPECT_EQ(POLARYS_TOO_LARGE, code);
}

TEST_F(Batch, PreconditionsLookAtTheStateBeforeTheCommit)
{
    struct {
        const char *key;
        polarys_precondition precondition;
        polarys_code code;
    } cases[] = {
        {"a", must(POLARYS_PRECONDITION_MUST_EXIST), POLARYS_OK},
        {"b", must(POLARYS_PRECONDITION_MUST_EXIST), POLARYS_KEY_NOT_FOUND},
        {"a", must(POLARYS_PRECONDITION_MUST_NOT_EXIST), POLARYS_KEY_EXISTS},
        {"b", must(POLARYS_PRECONDITION_MUST_NOT_EXIST), POLARYS_OK},
        {"a", must(POLARYS_PRECONDITION_VERSION_EQUALS, 0), POLARYS_OK},
        {"a", must(POLARYS_PRECONDITION_VERSION_EQUALS, 1), POLARYS_VERSION_MISMATCH},
        {"b", must(POLARYS_PRECONDITION_VERSION_EQUALS, 5), POLARYS_VERSION_MISMATCH},
        {"b", must(POLARYS_PRECONDITION_VERSION_EQUALS, 0), POLARYS_OK},
        {"a", field("x.y", "15e-1"), POLARYS_OK},
        {"a", field("x.y", "\"1.5\""), POLARYS_FIELD_MISMATCH},
        {"a", field("x.z", "null"), POLARYS_FIELD_MISMATCH},
        {"b", field("x", "1"), POLARYS_FIELD_MISMATCH},
    };
    for (auto &each : cases) {
        batch b(db);
        ASSERT_EQ(POLARYS_OK, db.put("t", "a", "{\"x\":{\"y\":1.50}}"));
        uint64_t version = db.result.version;
        if (each.key[0] == 'a' && each.precondition.kind == POLARYS_PRECONDITION_VERSION_EQUALS) {
            each.precondition.version += version; /* the case says how far off */
        }
        /* The batch's own operation must not count. */
        ASSERT_EQ(POLARYS_OK, b.put("t", "b", "1"));
        ASSERT_EQ(POLARYS_OK, b.remove("t", "a"));
        ASSERT_EQ(POLARYS_OK, b.put("t", "a", "{\"x\":{\"y\":1.50}}"));
        ASSERT_EQ(POLARYS_OK, b.require("t", each.key, each.precondition));
        ASSERT_EQ(each.code, b.commit()) << each.key << " " << each.precondition.kind;
        if (each.code == POLARYS_VERSION_MISMATCH) {
            EXPECT_EQ(each.key[0] == 'a' ? std::to_string(version) : "0",
                      polarys_error_detail_find(&b.error, "version"));
        }
        if (each.code == POLARYS_OK) {
            ASSERT_EQ(POLARYS_OK, db.remove("t", "b"));
        }
        EXPECT_EQ(std::nullopt, db.get("t", "b")) << "a failed batch changes nothing";
    }
}

TEST_F(Batch, UpdatesMergeIntoWhatEarlierOperationsLeave)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "{\"x\":1,\"y\":2}"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.update("t", "a", "{\"y\":null,\"z\":3}"));
    ASSERT_EQ(POLARYS_OK, b.update("t", "a", "{\"w\":4}"));
    ASSERT_EQ(POLARYS_OK, b.update("t", "new", "{\"n\":{\"m\":1,\"l\":null}}"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "p", "{\"a\":1}"));
    ASSERT_EQ(POLARYS_OK, b.update("t", "p", "{\"b\":2}"));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ("{\"x\":1,\"z\":3,\"w\":4}", db.get("t", "a"));
    EXPECT_EQ("{\"n\":{\"m\":1}}", db.get("t", "new"));
    EXPECT_EQ("{\"a\":1,\"b\":2}", db.get("t", "p"));
    ASSERT_EQ(POLARYS_OK, b.reset());
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "a", "b"));
    ASSERT_EQ(POLARYS_OK, b.update("t", "a", "{\"only\":1}"));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "p"));
    ASSERT_EQ(POLARYS_OK, b.update("t", "p", "{\"only\":2}"));
    ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
    EXPECT_EQ("{\"only\":1}", db.get("t", "a"));
    EXPECT_EQ("{\"only\":2}", db.get("t", "p"));
}

TEST_F(Batch, UpdateKeepsOrReplacesTheExpiry)
{
    uint64_t expiry = w.now_ms() + 10000;
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("{}", expiry)));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", json_of("{}", expiry)));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.update("t", "a", "{\"x\":1}"));
    ASSERT_EQ(POLARYS_OK, b.update("t", "b", "{\"x\":1}", 0));
    ASSERT_EQ(POLARYS_OK, b.commit());
    w.pass_ms(20000);
    EXPECT_EQ("b={\"x\":1} ", all());
}

TEST_F(Batch, RefusesToUpdateWhatIsNotJsonOrBecomesTooLarge)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "raw", raw_of("abc")));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.update("t", "raw", "{}"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, b.commit());
    std::string half = "\"" + std::string(600000, 'x') + "\"";
    ASSERT_EQ(POLARYS_OK, db.put("t", "big", "{\"a\":" + half + "}"));
    ASSERT_EQ(POLARYS_OK, b.reset());
    ASSERT_EQ(POLARYS_OK, b.update("t", "big", "{\"b\":" + half + "}"));
    EXPECT_EQ(POLARYS_TOO_LARGE, b.commit());
}

TEST_F(Batch, CountsDeletedDocumentsWhenItLooks)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.remove("t", "a", true));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "a", true));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "b", true));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "c", false));
    ASSERT_EQ(POLARYS_OK, b.commit());
    EXPECT_EQ(2u, b.result.affected);
}

TEST_F(Batch, ReplaysTheAnswerOfARequestId)
{
    polarys_write_options options = with_id('1');
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "b"));
    ASSERT_EQ(POLARYS_OK, b.commit(&options)) << b.error.message;
    EXPECT_FALSE(b.result.is_replayed);
    uint64_t version = b.result.version;
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "2"));
    ASSERT_EQ(POLARYS_OK, b.commit(&options)) << b.error.message;
    EXPECT_TRUE(b.result.is_replayed);
    EXPECT_EQ(version, b.result.version);
    EXPECT_EQ(2u, b.result.affected);
    EXPECT_EQ("a=2 ", all()) << "nothing is done twice";
    EXPECT_EQ(1u, db.status().request_id_count);
    /* Another principal, another id: not the same request. */
    options.principal = "bob";
    ASSERT_EQ(POLARYS_OK, b.commit(&options));
    EXPECT_FALSE(b.result.is_replayed);
}

TEST_F(Batch, RefusesAnotherRequestUnderTheSameId)
{
    polarys_write_options options = with_id('1');
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1"), &options));
    EXPECT_EQ(POLARYS_REQUEST_ID_REUSED, db.put("t", "a", json_of("2"), &options));
    EXPECT_EQ(POLARYS_REQUEST_ID_REUSED, db.put("t", "b", json_of("1"), &options));
    EXPECT_EQ("a=1 ", all());
}

TEST_F(Batch, RequestIdsSurviveFlushAndCrashAndExpire)
{
    polarys_write_options options = with_id('1');
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1"), &options));
    uint64_t version = db.result.version;
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1"), &options));
    EXPECT_TRUE(db.result.is_replayed);
    EXPECT_EQ(version, db.result.version);
    w.pass_ms(1000);
    EXPECT_EQ(1u, db.status().request_id_count) << "counted after the open";
    w.pass_ms(700000);
    EXPECT_EQ(0u, db.status().request_id_count);
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("9"), &options)) << "the id is free again";
    EXPECT_FALSE(db.result.is_replayed);
}

TEST_F(Batch, AFailedRequestKeepsNoAnswer)
{
    polarys_write_options options = with_id('1');
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, b.require("t", "a", must(POLARYS_PRECONDITION_MUST_EXIST)));
    EXPECT_EQ(POLARYS_KEY_NOT_FOUND, b.commit(&options));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "0"));
    ASSERT_EQ(POLARYS_OK, b.commit(&options)) << b.error.message;
    EXPECT_FALSE(b.result.is_replayed);
}

TEST_F(Batch, RefusesRequestIdsPastTheirLimit)
{
    ASSERT_EQ(POLARYS_OK, db.close());
    db.options.request_ids_max = 2;
    ASSERT_EQ(POLARYS_OK, db.open());
    w.pass_ms(1000);
    for (char id : {'1', '2'}) {
        polarys_write_options options = with_id(id);
        ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1"), &options));
    }
    polarys_write_options options = with_id('3');
    EXPECT_EQ(POLARYS_MEMORY_LIMIT, db.put("t", "a", json_of("1"), &options));
    EXPECT_STREQ("2", polarys_error_detail_find(&db.error, "limit"));
    options = with_id('1');
    EXPECT_EQ(POLARYS_OK, db.put("t", "a", json_of("1"), &options)) << "known ones are answered";
    EXPECT_TRUE(db.result.is_replayed);
}

TEST_F(Batch, SchemaChangesReplayToo)
{
    polarys_write_options options = with_id('1');
    ASSERT_EQ(POLARYS_OK, polarys_table_create(db.db, nullptr, "u", &options, &db.result, nullptr));
    uint64_t version = db.result.version;
    EXPECT_EQ(POLARYS_OK, polarys_table_create(db.db, nullptr, "u", &options, &db.result, nullptr));
    EXPECT_TRUE(db.result.is_replayed);
    EXPECT_EQ(version, db.result.version);
    EXPECT_EQ(POLARYS_REQUEST_ID_REUSED,
              polarys_table_create(db.db, nullptr, "v", &options, &db.result, &db.error));
}

TEST_F(Batch, SubmittedBatchesAreDoneOnceDriven)
{
    std::vector<std::unique_ptr<batch>> batches;
    std::vector<answer> answers(50);
    for (size_t i = 0; i < answers.size(); i++) {
        batches.push_back(std::make_unique<batch>(db));
        ASSERT_EQ(POLARYS_OK, batches[i]->put("t", "k" + std::to_string(i), "1"));
        polarys_batch_submit(batches[i]->handle, nullptr, note, &answers[i]);
    }
    while (polarys_db_drive(db.db, 1)) {
    }
    for (const answer &each : answers) {
        ASSERT_TRUE(each.is_done);
        EXPECT_EQ(POLARYS_OK, each.code) << each.message;
    }
    EXPECT_EQ(50u, db.contents("t").size());
}

TEST_F(Batch, WritersOfOneKeyAllGetThrough)
{
    constexpr size_t writer_count = 64;
    constexpr int rounds = 20;
    ASSERT_EQ(POLARYS_OK, db.put("t", "n", "{}"));
    std::vector<std::unique_ptr<batch>> batches;
    for (size_t i = 0; i < writer_count; i++) {
        batches.push_back(std::make_unique<batch>(db));
    }
    for (int round = 0; round < rounds; round++) {
        std::vector<answer> answers(writer_count);
        for (size_t i = 0; i < writer_count; i++) {
            ASSERT_EQ(POLARYS_OK, batches[i]->reset());
            std::string name = "w" + std::to_string(i);
            ASSERT_EQ(
                POLARYS_OK,
                batches[i]->update("t", "n", "{\"" + name + "\":" + std::to_string(round) + "}"));
            polarys_batch_submit(batches[i]->handle, nullptr, note, &answers[i]);
        }
        for (int step = 0; step < 100000; step++) {
            bool has_work = polarys_db_drive(db.db, 1);
            if (!sim_executor_run_one(w.executor) && !has_work) {
                break;
            }
        }
        for (size_t i = 0; i < writer_count; i++) {
            ASSERT_TRUE(answers[i].is_done) << "writer " << i << " starves in round " << round;
            ASSERT_EQ(POLARYS_OK, answers[i].code) << answers[i].message;
        }
    }
    std::string value = *db.get("t", "n");
    for (size_t i = 0; i < writer_count; i++) {
        std::string member = "\"w" + std::to_string(i) + "\":" + std::to_string(rounds - 1);
        EXPECT_NE(std::string::npos, value.find(member)) << member;
    }
}

TEST_F(Batch, ReadsColdDocumentsOnTheExecutor)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "{\"x\":1}"));
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    batch b(db);
    answer a;
    ASSERT_EQ(POLARYS_OK, b.update("t", "a", "{\"y\":2}"));
    polarys_batch_submit(b.handle, nullptr, note, &a);
    (void)polarys_db_drive(db.db, 0);
    EXPECT_FALSE(a.is_done) << "it has to read a file first";
    w.pass_ms(1);
    ASSERT_TRUE(a.is_done);
    EXPECT_EQ(POLARYS_OK, a.code) << a.message;
    EXPECT_EQ("{\"x\":1,\"y\":2}", db.get("t", "a"));
}

TEST_F(Batch, RefusesPastItsDeadline)
{
    polarys_write_options options{};
    options.deadline_ns = clock_monotonic_ns(&w.clock.base) - 1;
    EXPECT_EQ(POLARYS_WAIT_TIMEOUT, db.put("t", "a", json_of("1"), &options)) << db.error.message;
    EXPECT_EQ(std::nullopt, db.get("t", "a"));
}

TEST_F(Batch, AsyncWritesAreSeenAtOnceAndDurableSoon)
{
    polarys_write_options options{};
    options.durability = POLARYS_DURABILITY_ASYNC;
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1"), &options));
    EXPECT_EQ("1", db.get("t", "a"));
    w.pass_ms(50);
    EXPECT_EQ(db.result.version, polarys_db_durable_version(db.db));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", json_of("1"), &options));
    ASSERT_EQ(POLARYS_OK, polarys_db_sync(db.db, nullptr));
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open());
    EXPECT_EQ("a=1 b=1 ", all());
}

TEST_F(Batch, FindsOutThatItsTableWasDropped)
{
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, polarys_table_drop(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, b.commit());
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, b.commit()) << "the new table is another one";
    EXPECT_EQ(0u, db.contents("t").size());
}

TEST_F(Batch, PreparedBeforeASchemaChangeIsPreparedAgain)
{
    batch b(db);
    answer a;
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    polarys_batch_submit(b.handle, nullptr, note, &a);
    ASSERT_EQ(POLARYS_OK, db.create_table("u"));
    while (polarys_db_drive(db.db, 1) || sim_executor_run_one(w.executor)) {
        if (a.is_done) {
            break;
        }
    }
    ASSERT_TRUE(a.is_done);
    EXPECT_EQ(POLARYS_OK, a.code) << a.message;
    EXPECT_EQ("a=1 ", all());
}
