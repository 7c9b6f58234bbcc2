/* SPDX-License-Identifier: Apache-2.0 */
#include "client/polarys_txn.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/unit/client/client_fixture.h"

namespace {

const std::string txn_id = "0123456789abcdef";

FakeAnswer Begun(const std::string &id = txn_id)
{
    Polarys__V1__BeginTransactionResponse response = POLARYS__V1__BEGIN_TRANSACTION_RESPONSE__INIT;
    response.version = 41;
    response.transaction = Bytes(id);
    return Answer(&response.base);
}

FakeAnswer Committed(uint64_t version)
{
    Polarys__V1__CommitResponse response = POLARYS__V1__COMMIT_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header = POLARYS__V1__RESPONSE_HEADER__INIT;
    std::string token = "token";
    header.token = Bytes(token);
    response.header = &header;
    response.version = version;
    return Answer(&response.base);
}

FakeAnswer RolledBack()
{
    Polarys__V1__RollbackResponse response = POLARYS__V1__ROLLBACK_RESPONSE__INIT;
    return Answer(&response.base);
}

FakeAnswer Status(Polarys__V1__TransactionState state, uint64_t commit_version = 0)
{
    Polarys__V1__GetTransactionResponse response = POLARYS__V1__GET_TRANSACTION_RESPONSE__INIT;
    Google__Protobuf__Duration age = GOOGLE__PROTOBUF__DURATION__INIT;
    age.seconds = 3;
    age.nanos = 5000000;
    response.state = state;
    response.commit_version = commit_version;
    response.age = &age;
    response.isolation = (Polarys__V1__Isolation)77;
    response.waiting = 1;
    return Answer(&response.base);
}

FakeAnswer PutDone()
{
    Polarys__V1__PutResponse response = POLARYS__V1__PUT_RESPONSE__INIT;
    return Answer(&response.base);
}

const auto committing = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_COMMITTING;
const auto committed = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_COMMITTED;
const auto aborted = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_ABORTED;

class ClientTxn : public ScriptedClient {
  protected:
    ClientTxn()
    {
        scripts["BeginTransaction"] = {Begun()};
        scripts["Rollback"] = {RolledBack()};
        scripts["Put"] = {PutDone()};
        memset(&write, 0, sizeof(write));
        write.database = "elsewhere";
        write.table = "t";
        write.key = "k";
        write.key_size = 1;
        write.value = "1";
        write.value_size = 1;
    }
    ~ClientTxn() override
    {
        polarys_client_txn_close(txn);
    }
    void Begin(const struct polarys_client_txn_options *txn_options = nullptr)
    {
        ASSERT_TRUE(polarys_client_txn_begin(client, txn_options, &txn, &err)) << err.message;
        write.txn = txn;
    }
    bool Commit()
    {
        return polarys_client_txn_commit(txn, POLARYS_CLIENT_DURABILITY_DEFAULT, &result, &err);
    }
    struct polarys_client_txn *txn = nullptr;
    struct polarys_client_write write;
    struct polarys_client_result result;
};

TEST_F(ClientTxn, BeginSendsItsOptions)
{
    struct polarys_client_txn_options txn_options = {};
    txn_options.database = "shop";
    txn_options.isolation = POLARYS_CLIENT_SERIALIZABLE;
    txn_options.mode = POLARYS_CLIENT_PESSIMISTIC;
    txn_options.is_read_only = true;
    txn_options.idle_timeout_ms = 1500;
    Begin(&txn_options);
    auto request = Request<Polarys__V1__BeginTransactionRequest>(
        "BeginTransaction", &polarys__v1__begin_transaction_request__descriptor);
    EXPECT_EQ(Text(request->database), "shop");
    EXPECT_EQ(request->isolation, POLARYS__V1__ISOLATION__ISOLATION_SERIALIZABLE);
    EXPECT_EQ(request->mode, POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_PESSIMISTIC);
    EXPECT_TRUE(request->read_only);
    EXPECT_EQ(request->idle_timeout->seconds, 1);
    EXPECT_EQ(request->idle_timeout->nanos, 500000000);
    EXPECT_EQ(request->timeout, nullptr);
    EXPECT_EQ(polarys_client_txn_version(txn), 41u);
    EXPECT_EQ(std::string((const char *)polarys_client_txn_id(txn), 16), txn_id);
}

TEST_F(ClientTxn, RefusesAnAnswerWithoutAnId)
{
    scripts["BeginTransaction"] = {Begun("short")};
    EXPECT_FALSE(polarys_client_txn_begin(client, nullptr, &txn, &err));
    EXPECT_EQ(txn, nullptr);
    EXPECT_EQ(err.status, POLARYS_CLIENT_INTERNAL);
}

TEST_F(ClientTxn, WritesWithinCarryItsIdAndDatabaseAndNoRequestId)
{
    struct polarys_client_txn_options txn_options = {};
    txn_options.database = "shop";
    Begin(&txn_options);
    write.durability = POLARYS_CLIENT_QUORUM;
    ASSERT_TRUE(polarys_client_put(client, &write, &result, &err));
    auto request = Request<Polarys__V1__PutRequest>("Put", &polarys__v1__put_request__descriptor);
    EXPECT_EQ(Text(request->transaction), txn_id);
    EXPECT_EQ(Text(request->database), "shop");
    EXPECT_EQ(request->request_id.len, 0u);
    EXPECT_EQ(request->durability, POLARYS__V1__DURABILITY__DURABILITY_UNSPECIFIED);
}

TEST_F(ClientTxn, ReadsWithinCarryItsIdAndNoConsistency)
{
    Polarys__V1__GetResponse got = POLARYS__V1__GET_RESPONSE__INIT;
    struct polarys_client_document document;
    struct polarys_client_read read = {};
    const struct polarys_client_key key = {"elsewhere", "t", "k", 1};
    scripts["Get"] = {Answer(&got.base)};
    Begin();
    read.consistency = POLARYS_CLIENT_LOCAL;
    read.txn = txn;
    read.is_for_update = true;
    ASSERT_TRUE(polarys_client_get(client, &key, &read, &document, &err));
    polarys_client_document_free(&document);
    auto request = Request<Polarys__V1__GetRequest>("Get", &polarys__v1__get_request__descriptor);
    EXPECT_EQ(Text(request->transaction), txn_id);
    EXPECT_EQ(Text(request->database), "");
    EXPECT_EQ(request->consistency, nullptr);
    EXPECT_TRUE(request->for_update);
}

TEST_F(ClientTxn, RepeatsOnlyBlindWritesWithin)
{
    Begin();
    scripts["Put"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE), PutDone()};
    EXPECT_TRUE(polarys_client_put(client, &write, nullptr, &err));
    EXPECT_EQ(Calls("Put"), 2u);
    scripts["Put"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE), PutDone()};
    write.precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
    EXPECT_FALSE(polarys_client_put(client, &write, nullptr, &err));
    EXPECT_EQ(Calls("Put"), 3u);
}

TEST_F(ClientTxn, AppliesABatch)
{
    Polarys__V1__BatchWriteResponse done = POLARYS__V1__BATCH_WRITE_RESPONSE__INIT;
    scripts["BatchWrite"] = {Answer(&done.base)};
    Begin();
    struct polarys_client_batch *batch = polarys_client_batch_create(client, "elsewhere");
    ASSERT_TRUE(polarys_client_batch_put(batch, &write));
    ASSERT_TRUE(polarys_client_txn_apply(txn, batch, &err));
    polarys_client_batch_destroy(batch);
    auto request = Request<Polarys__V1__BatchWriteRequest>(
        "BatchWrite", &polarys__v1__batch_write_request__descriptor);
    EXPECT_EQ(Text(request->transaction), txn_id);
    EXPECT_EQ(request->request_id.len, 0u);
    EXPECT_EQ(request->n_operations, 1u);
}

TEST_F(ClientTxn, CommitGivesVersionAndToken)
{
    Begin();
    scripts["Commit"] = {Committed(50)};
    ASSERT_TRUE(Commit());
    EXPECT_EQ(result.version, 50u);
    EXPECT_EQ(result.token_size, 5u);
    auto request =
        Request<Polarys__V1__CommitRequest>("Commit", &polarys__v1__commit_request__descriptor);
    EXPECT_EQ(Text(request->transaction), txn_id);
    polarys_client_txn_close(txn);
    txn = nullptr;
    EXPECT_EQ(Calls("Rollback"), 0u);
}

TEST_F(ClientTxn, RepeatsACommitWhoseAnswerWasLost)
{
    Begin();
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE), Committed(51)};
    ASSERT_TRUE(Commit());
    EXPECT_EQ(result.version, 51u);
    EXPECT_EQ(Calls("GetTransaction"), 0u);
}

TEST_F(ClientTxn, AsksWhatBecameOfACommitThatNobodyAnswered)
{
    Begin();
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_DEADLINE_EXCEEDED)};
    scripts["GetTransaction"] = {Status(committing), Status(committing), Status(committed, 52)};
    ASSERT_TRUE(Commit());
    EXPECT_EQ(result.version, 52u);
    EXPECT_EQ(Calls("GetTransaction"), 3u);
    EXPECT_EQ(err.status, POLARYS_CLIENT_OK);
}

TEST_F(ClientTxn, SaysSoWhenTheServerGaveItUp)
{
    for (const FakeAnswer &answer :
         {Status(aborted), Refusal(POLARYS_CLIENT_NOT_FOUND, "TXN_NOT_FOUND")}) {
        polarys_client_txn_close(txn);
        Begin();
        scripts["Commit"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE)};
        scripts["GetTransaction"] = {answer};
        EXPECT_FALSE(Commit());
        EXPECT_EQ(err.status, POLARYS_CLIENT_ABORTED);
        EXPECT_STREQ(err.reason, "TXN_NOT_FOUND");
    }
}

TEST_F(ClientTxn, LeavesOpenWhatNobodyCanTell)
{
    Begin();
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE)};
    scripts["GetTransaction"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE)};
    EXPECT_FALSE(Commit());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    polarys_client_txn_close(txn);
    Begin();
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_DEADLINE_EXCEEDED)};
    scripts["GetTransaction"] = {Status(committing)};
    EXPECT_FALSE(Commit());
    EXPECT_EQ(err.status, POLARYS_CLIENT_DEADLINE_EXCEEDED);
}

TEST_F(ClientTxn, DoesNotAskAfterARefusal)
{
    Begin();
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_ABORTED, "TXN_CONFLICT")};
    EXPECT_FALSE(Commit());
    EXPECT_STREQ(err.reason, "TXN_CONFLICT");
    EXPECT_EQ(Calls("Commit"), 1u);
    EXPECT_EQ(Calls("GetTransaction"), 0u);
}

TEST_F(ClientTxn, CloseRollsBackWhatIsOpen)
{
    Begin();
    polarys_client_txn_close(txn);
    txn = nullptr;
    EXPECT_EQ(Calls("Rollback"), 1u);
    polarys_client_txn_close(nullptr);
}

TEST_F(ClientTxn, StatusIsReadAndUnknownNumbersAreKept)
{
    struct polarys_client_txn_status status;
    scripts["GetTransaction"] = {Status((Polarys__V1__TransactionState)99, 7)};
    ASSERT_TRUE(polarys_client_txn_status_get(client, nullptr, (const uint8_t *)txn_id.data(),
                                              &status, &err));
    EXPECT_EQ(status.state, POLARYS_CLIENT_TXN_STATE_UNKNOWN);
    EXPECT_EQ(status.isolation, POLARYS_CLIENT_ISOLATION_DEFAULT);
    EXPECT_EQ(status.commit_version, 7u);
    EXPECT_EQ(status.age_ms, 3005u);
    EXPECT_TRUE(status.is_waiting);
}

TEST_F(ClientTxn, UseAfterItsEndIsACallersMistake)
{
    Begin();
    ASSERT_TRUE(polarys_client_txn_rollback(txn, &err));
    EXPECT_DEATH((void)polarys_client_put(client, &write, nullptr, &err), "is_over");
}

/* What the body of a run does, and how often it was called. */
struct Body {
    struct polarys_client *client;
    int calls = 0;
    int failures = 0;
    std::string reason;
};

bool RunBody(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err)
{
    Body *body = (Body *)context;
    struct polarys_client_write write = {};
    EXPECT_NE(err, nullptr);
    body->calls++;
    write.table = "t";
    write.key = "k";
    write.key_size = 1;
    write.value = "1";
    write.value_size = 1;
    write.txn = txn;
    if (body->failures > 0) {
        body->failures--;
        err->status = POLARYS_CLIENT_ABORTED;
        snprintf(err->reason, sizeof(err->reason), "%s", body->reason.c_str());
        return false;
    }
    return polarys_client_put(body->client, &write, nullptr, err);
}

TEST_F(ClientTxn, RunTriesAgainWhereOthersGotInBetween)
{
    Body body = {client, 0, 0, ""};
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_ABORTED, "TXN_CONFLICT"),
                         Refusal(POLARYS_CLIENT_ABORTED, "DEADLOCK"), Committed(60)};
    ASSERT_TRUE(polarys_client_txn_run(client, nullptr, RunBody, &body, &result, &err));
    EXPECT_EQ(body.calls, 3);
    EXPECT_EQ(result.version, 60u);
    EXPECT_EQ(err.attempts, 3u);
    ASSERT_EQ(network.sleeps_ms.size(), 2u);
    EXPECT_GE(network.sleeps_ms[0], 5u);
    EXPECT_LE(network.sleeps_ms[0], 10u);
    EXPECT_GE(network.sleeps_ms[1], 10u);
    EXPECT_LE(network.sleeps_ms[1], 20u);
}

TEST_F(ClientTxn, RunTriesAgainAfterADeadlockInTheBody)
{
    Body body = {client, 0, 1, "DEADLOCK"};
    scripts["Commit"] = {Committed(61)};
    ASSERT_TRUE(polarys_client_txn_run(client, nullptr, RunBody, &body, nullptr, &err));
    EXPECT_EQ(body.calls, 2);
    EXPECT_EQ(Calls("Rollback"), 1u);
}

TEST_F(ClientTxn, RunGivesUpAfterItsAttempts)
{
    Body body = {client, 0, 0, ""};
    struct polarys_client_txn_options txn_options = {};
    txn_options.attempts_max = 4;
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_ABORTED, "TXN_CONFLICT")};
    EXPECT_FALSE(polarys_client_txn_run(client, &txn_options, RunBody, &body, &result, &err));
    EXPECT_EQ(body.calls, 4);
    EXPECT_STREQ(err.reason, "TXN_CONFLICT");
}

TEST_F(ClientTxn, RunWaitsNoLongerThanItsMaximum)
{
    Body body = {client, 0, 0, ""};
    struct polarys_client_txn_options txn_options = {};
    txn_options.attempts_max = 40;
    scripts["Commit"] = {Refusal(POLARYS_CLIENT_ABORTED, "TXN_CONFLICT")};
    EXPECT_FALSE(polarys_client_txn_run(client, &txn_options, RunBody, &body, &result, &err));
    for (uint32_t sleep_ms : network.sleeps_ms) {
        EXPECT_LE(sleep_ms, (uint32_t)POLARYS_CLIENT_TXN_DELAY_MS_MAX);
    }
}

TEST_F(ClientTxn, RunReportsOtherFailuresOfTheBodyAtOnce)
{
    Body body = {client, 0, 9, "KEY_NOT_FOUND"};
    EXPECT_FALSE(polarys_client_txn_run(client, nullptr, RunBody, &body, &result, &err));
    EXPECT_EQ(body.calls, 1);
    EXPECT_STREQ(err.reason, "KEY_NOT_FOUND");
    EXPECT_EQ(Calls("Commit"), 0u);
    EXPECT_EQ(Calls("Rollback"), 1u);
}

} // namespace
