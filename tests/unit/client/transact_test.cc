/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/polarys_txn.h"
#include "tests/unit/client/client_fixture.h"

namespace {

struct polarys_client_write Write(const char *key, const char *value = "1")
{
    struct polarys_client_write write = {};
    write.table = "t";
    write.key = key;
    write.key_size = strlen(key);
    write.value = value;
    write.value_size = strlen(value);
    return write;
}

class ClientTransact : public ScriptedClient {
  protected:
    ClientTransact()
    {
        transact = polarys_client_transact_create(client, "shop");
    }
    ~ClientTransact() override
    {
        polarys_client_transact_outcome_free(&outcome);
        polarys_client_transact_destroy(transact);
    }
    bool Run()
    {
        return polarys_client_transact_run(transact, POLARYS_CLIENT_QUORUM, &outcome, &err);
    }
    struct polarys_client_transact *transact;
    struct polarys_client_transact_outcome outcome = {};
};

TEST_F(ClientTransact, TellsWhatTheAnswerHadNoRoomFor)
{
    Polarys__V1__TransactResponse response = POLARYS__V1__TRANSACT_RESPONSE__INIT;
    Polarys__V1__TransactResult result = POLARYS__V1__TRANSACT_RESULT__INIT;
    Polarys__V1__TransactResult *results[] = {&result};
    result.found = 1;
    result.left_out = 1;
    response.n_results = 1;
    response.results = results;
    scripts["Transact"] = {Answer(&response.base)};
    struct polarys_client_write get = Write("a");
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_THEN,
                                            POLARYS_CLIENT_OPERATION_GET, &get));
    ASSERT_TRUE(Run());
    ASSERT_EQ(outcome.item_count, 1u);
    EXPECT_TRUE(outcome.items[0].is_found);
    EXPECT_FALSE(outcome.items[0].has_document);
    EXPECT_TRUE(outcome.items[0].is_left_out);
}

TEST_F(ClientTransact, SendsComparisonsAndBothBranchesInOrder)
{
    Polarys__V1__TransactResponse response = POLARYS__V1__TRANSACT_RESPONSE__INIT;
    scripts["Transact"] = {Answer(&response.base)};
    struct polarys_client_write compare = Write("a");
    compare.precondition = POLARYS_CLIENT_FIELD_EQUALS;
    compare.precondition_field = "n";
    compare.precondition_json = "7";
    struct polarys_client_write put = Write("b", "{\"x\":1}");
    put.expires_at_ms = 5000;
    struct polarys_client_range range = {};
    range.prefix = "tmp";
    range.prefix_size = 3;
    ASSERT_TRUE(polarys_client_transact_compare(transact, &compare));
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_THEN,
                                            POLARYS_CLIENT_OPERATION_PUT, &put));
    put = Write("c", "{}");
    put.expires_at_ms = 6000;
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_THEN,
                                            POLARYS_CLIENT_OPERATION_UPDATE, &put));
    ASSERT_TRUE(polarys_client_transact_delete_range(transact, POLARYS_CLIENT_THEN, "t", &range));
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_ELSE,
                                            POLARYS_CLIENT_OPERATION_GET, &compare));
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_ELSE,
                                            POLARYS_CLIENT_OPERATION_DELETE, &compare));
    ASSERT_TRUE(Run());
    auto request = Request<Polarys__V1__TransactRequest>(
        "Transact", &polarys__v1__transact_request__descriptor);
    EXPECT_EQ(Text(request->database), "shop");
    EXPECT_EQ(request->request_id.len, 16u);
    EXPECT_EQ(request->durability, POLARYS__V1__DURABILITY__DURABILITY_QUORUM);
    ASSERT_EQ(request->n_compares, 1u);
    EXPECT_EQ(Text(request->compares[0]->precondition->field_equals->json_value), "7");
    ASSERT_EQ(request->n_then_operations, 3u);
    EXPECT_EQ(Text(request->then_operations[0]->put->value->json), "{\"x\":1}");
    EXPECT_EQ(request->then_operations[0]->put->expire_time->seconds, 5);
    EXPECT_EQ(request->then_operations[1]->update->expire_time->seconds, 6);
    EXPECT_EQ(Text(request->then_operations[2]->delete_range->range->prefix), "tmp");
    ASSERT_EQ(request->n_else_operations, 2u);
    EXPECT_EQ(Text(request->else_operations[0]->get->key), "a");
}

TEST_F(ClientTransact, GivesWhatEachOperationFound)
{
    Polarys__V1__TransactResponse response = POLARYS__V1__TRANSACT_RESPONSE__INIT;
    Polarys__V1__TransactResult first = POLARYS__V1__TRANSACT_RESULT__INIT;
    Polarys__V1__TransactResult second = POLARYS__V1__TRANSACT_RESULT__INIT;
    Polarys__V1__Document document = POLARYS__V1__DOCUMENT__INIT;
    Polarys__V1__TransactResult *results[] = {&first, &second};
    std::string key = "a";
    document.key = Bytes(key);
    document.version = 8;
    first.found = 1;
    first.document = &document;
    response.succeeded = 1;
    response.version = 9;
    response.n_results = 2;
    response.results = results;
    scripts["Transact"] = {Answer(&response.base)};
    ASSERT_TRUE(Run());
    EXPECT_TRUE(outcome.has_succeeded);
    EXPECT_FALSE(outcome.is_replayed);
    EXPECT_EQ(outcome.result.version, 9u);
    ASSERT_EQ(outcome.item_count, 2u);
    EXPECT_TRUE(outcome.items[0].has_document);
    EXPECT_EQ(outcome.items[0].document.version, 8u);
    EXPECT_FALSE(outcome.items[1].is_found);
}

TEST_F(ClientTransact, RepeatsUnderOneRequestId)
{
    Polarys__V1__TransactResponse response = POLARYS__V1__TRANSACT_RESPONSE__INIT;
    response.replayed = 1;
    scripts["Transact"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE), Answer(&response.base)};
    ASSERT_TRUE(Run());
    EXPECT_TRUE(outcome.is_replayed);
    EXPECT_EQ(network.requests[0], network.requests[1]);
}

TEST_F(ClientTransact, ZeroesTheOutcomeOnFailure)
{
    scripts["Transact"] = {Refusal(POLARYS_CLIENT_ABORTED, "TXN_CONFLICT")};
    outcome.has_succeeded = true;
    EXPECT_FALSE(Run());
    EXPECT_FALSE(outcome.has_succeeded);
    EXPECT_EQ(outcome.items, nullptr);
    EXPECT_STREQ(err.reason, "TXN_CONFLICT");
}

TEST_F(ClientTransact, AComparisonWithoutAConditionIsACallersMistake)
{
    struct polarys_client_write compare = Write("a");
    EXPECT_DEATH((void)polarys_client_transact_compare(transact, &compare), "precondition");
}

} // namespace
