/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/client_internal.h"
#include "tests/unit/client/fake_transport.h"
#include "tests/unit/client/messages.h"

namespace {

FakeAnswer Failure(enum polarys_client_status status, const std::string &reason = "",
                   uint32_t retry_after_ms = 0)
{
    FakeAnswer answer;
    answer.status = status;
    answer.reason = reason;
    answer.retry_after_ms = retry_after_ms;
    return answer;
}

FakeAnswer PutAnswer(uint64_t version)
{
    Polarys__V1__PutResponse response = POLARYS__V1__PUT_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header = POLARYS__V1__RESPONSE_HEADER__INIT;
    std::string token = "token";
    header.token = Bytes(token);
    response.header = &header;
    response.version = version;
    FakeAnswer answer;
    answer.message = Pack(&response.base);
    return answer;
}

class Client : public testing::Test {
  protected:
    Client()
    {
        fake_network = &network;
        polarys_client_options_init(&options);
        options.retry_delay_ms = 100;
        Open();
        memset(&write, 0, sizeof(write));
        write.table = "t";
        write.key = "k";
        write.key_size = 1;
        write.value = "1";
        write.value_size = 1;
    }
    ~Client() override
    {
        polarys_client_close(client);
    }
    void Open()
    {
        polarys_client_close(client);
        ASSERT_TRUE(polarys_client_open(&options, &client, &err));
    }
    FakeNetwork network;
    struct polarys_client_options options;
    struct polarys_client *client = nullptr;
    struct polarys_client_write write;
    struct polarys_client_result result;
    struct polarys_client_error err;
};

TEST_F(Client, PutFillsResult)
{
    network.on_unary = [](const std::string &, const std::string &) { return PutAnswer(9); };
    ASSERT_TRUE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(result.version, 9u);
    EXPECT_EQ(std::string((char *)result.token, result.token_size), "token");
    EXPECT_EQ(network.methods[0], "/polarys.v1.KvService/Put");
    auto request =
        Unpack<Polarys__V1__PutRequest>(&polarys__v1__put_request__descriptor, network.requests[0]);
    EXPECT_EQ(Text(request->table), "t");
    EXPECT_EQ(Text(request->value->json), "1");
    EXPECT_EQ(request->request_id.len, 16u);
    EXPECT_EQ(network.deadlines_ms[0], 1000u + 10000u);
}

TEST_F(Client, RetriesUnderOneRequestIdAndOneDeadline)
{
    int calls = 0;
    network.on_unary = [&](const std::string &, const std::string &) {
        return ++calls < 3 ? Failure(POLARYS_CLIENT_UNAVAILABLE) : PutAnswer(1);
    };
    ASSERT_TRUE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(err.attempts, 3u);
    EXPECT_EQ(network.requests[0], network.requests[2]);
    EXPECT_EQ(network.deadlines_ms[0], network.deadlines_ms[2]);
    ASSERT_EQ(network.sleeps_ms.size(), 2u);
    EXPECT_GE(network.sleeps_ms[0], 50u);
    EXPECT_LE(network.sleeps_ms[0], 100u);
    EXPECT_GE(network.sleeps_ms[1], 100u);
    EXPECT_LE(network.sleeps_ms[1], 200u);
}

TEST_F(Client, GivesUpAfterItsRetries)
{
    network.on_unary = [](const std::string &, const std::string &) {
        return Failure(POLARYS_CLIENT_UNAVAILABLE);
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(network.methods.size(), 4u);
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
}

TEST_F(Client, DoesNotRepeatWhatMayHaveBeenDone)
{
    options.makes_request_ids = false;
    Open();
    write.precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
    network.on_unary = [](const std::string &, const std::string &) {
        return Failure(POLARYS_CLIENT_UNAVAILABLE);
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(network.methods.size(), 1u);
    network.on_unary = [](const std::string &, const std::string &) {
        return Failure(POLARYS_CLIENT_UNAVAILABLE, "DRAINING");
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(network.methods.size(), 5u);
}

TEST_F(Client, DoesNotRetryOtherErrors)
{
    for (auto status :
         {POLARYS_CLIENT_DEADLINE_EXCEEDED, POLARYS_CLIENT_ABORTED, POLARYS_CLIENT_INTERNAL,
          POLARYS_CLIENT_NOT_FOUND, POLARYS_CLIENT_RESOURCE_EXHAUSTED}) {
        network.methods.clear();
        network.on_unary = [&](const std::string &, const std::string &) {
            return Failure(status, "X");
        };
        EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
        EXPECT_EQ(network.methods.size(), 1u) << status;
        EXPECT_STREQ(err.reason, "X");
    }
}

TEST_F(Client, TellsSilenceFromSlowness)
{
    network.on_unary = [&](const std::string &, const std::string &) {
        return Failure(POLARYS_CLIENT_DEADLINE_EXCEEDED);
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_DEADLINE_EXCEEDED);
    network.is_connected = false;
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_STREQ(err.message, "nobody answers at 127.0.0.1:7480");
    EXPECT_EQ(err.attempts, 1u);
    EXPECT_FALSE(polarys_client_put(client, &write, &result, nullptr));
}

TEST_F(Client, SaysWhereNoConnectionCouldBeMade)
{
    FakeAnswer answer = Failure(POLARYS_CLIENT_UNAVAILABLE);
    network.on_unary = [&](const std::string &, const std::string &) { return answer; };
    answer.text = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
                  "Failed to connect to remote host: Connection refused";
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_STREQ(err.message, "nobody answers at 127.0.0.1:7480: Connection refused");
    EXPECT_EQ(err.attempts, 4u);
    answer.text = "failed to connect";
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_STREQ(err.message, "nobody answers at 127.0.0.1:7480");
    answer.text = "Socket closed";
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_STREQ(err.message, "Socket closed");
    answer.reason = "DRAINING";
    answer.text = "failed to connect: said by the server";
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_STREQ(err.message, "failed to connect: said by the server");
}

TEST_F(Client, LeavesADeadlineThatTheServerTellsOf)
{
    network.is_connected = false;
    network.on_unary = [&](const std::string &, const std::string &) {
        return Failure(POLARYS_CLIENT_DEADLINE_EXCEEDED, "WAIT_TIMEOUT");
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_DEADLINE_EXCEEDED);
    EXPECT_STREQ(err.reason, "WAIT_TIMEOUT");
}

TEST_F(Client, WaitsAsLongAsTheServerAsksButNotForEver)
{
    int calls = 0;
    network.on_unary = [&](const std::string &, const std::string &) {
        calls++;
        return calls == 1   ? Failure(POLARYS_CLIENT_RESOURCE_EXHAUSTED, "WRITE_STALL", 700)
               : calls == 2 ? Failure(POLARYS_CLIENT_RESOURCE_EXHAUSTED, "WRITE_STALL", 3600000)
                            : PutAnswer(1);
    };
    ASSERT_TRUE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(network.sleeps_ms, (std::vector<uint32_t>{700, CLIENT_DELAY_MS_MAX}));
}

TEST_F(Client, StopsWhenTheNextAttemptWouldBeTooLate)
{
    options.timeout_ms = 120;
    Open();
    network.on_unary = [](const std::string &, const std::string &) {
        return Failure(POLARYS_CLIENT_UNAVAILABLE);
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_LE(network.now_ms, 1120u);
    EXPECT_LE(network.methods.size(), 2u);
}

TEST_F(Client, RefusesAnswersThatCannotBeDecoded)
{
    network.on_unary = [](const std::string &, const std::string &) {
        FakeAnswer answer;
        answer.message = "\x0a\xff";
        return answer;
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_INTERNAL);
}

FakeAnswer InfoAnswer(const std::string &name, uint64_t value)
{
    Polarys__V1__GetServerInfoResponse info = POLARYS__V1__GET_SERVER_INFO_RESPONSE__INIT;
    Polarys__V1__Limit limit = POLARYS__V1__LIMIT__INIT;
    Polarys__V1__Limit *limits[] = {&limit};
    limit.name = Bytes(name);
    limit.value = value;
    info.n_limits = 1;
    info.limits = limits;
    FakeAnswer answer;
    answer.message = Pack(&info.base);
    return answer;
}

TEST_F(Client, ChecksLargeRequestsBeforeSendingThem)
{
    std::string value(5 << 20, 'v');
    write.value = value.data();
    write.value_size = value.size();
    uint64_t value_bytes_max = 1 << 20;
    network.on_unary = [&](const std::string &method, const std::string &) {
        return method == "/polarys.v1.KvService/Put"
                   ? PutAnswer(3)
                   : InfoAnswer("value_bytes_max", value_bytes_max);
    };
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_INVALID_ARGUMENT);
    EXPECT_STREQ(err.reason, "TOO_LARGE");
    EXPECT_STREQ(polarys_client_error_metadata(&err, "limit"), "4194304");
    EXPECT_FALSE(polarys_client_put(client, &write, &result, &err));
    EXPECT_EQ(network.methods, std::vector<std::string>{"/polarys.v1.AdminService/GetServerInfo"});

    value_bytes_max = 16 << 20;
    Open();
    EXPECT_TRUE(polarys_client_put(client, &write, &result, &err));
}

TEST_F(Client, NeedsALimitInTheServersAnswer)
{
    struct polarys_client_limits limits;
    network.on_unary = [](const std::string &, const std::string &) {
        return InfoAnswer("other", 5);
    };
    EXPECT_FALSE(polarys_client_limits_get(client, &limits, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_INTERNAL);
}

TEST_F(Client, GetCopiesTheDocument)
{
    network.on_unary = [](const std::string &, const std::string &) {
        Polarys__V1__GetResponse response = POLARYS__V1__GET_RESPONSE__INIT;
        Polarys__V1__Value value;
        polarys__v1__value__init(&value);
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        std::string raw("\0\xff", 2);
        std::string key = "k";
        time.seconds = 5;
        time.nanos = 6000000;
        value.kind_case = POLARYS__V1__VALUE__KIND_RAW;
        value.raw = Bytes(raw);
        response.key = Bytes(key);
        response.value = &value;
        response.version = 4;
        response.expire_time = &time;
        FakeAnswer answer;
        answer.message = Pack(&response.base);
        return answer;
    };
    struct polarys_client_document document;
    struct polarys_client_read read = {};
    const struct polarys_client_key key = {"db", "t", "k", 1};
    read.consistency = POLARYS_CLIENT_MAX_STALENESS;
    read.staleness_ms = 1500;
    ASSERT_TRUE(polarys_client_get(client, &key, &read, &document, &err));
    EXPECT_EQ(document.kind, POLARYS_CLIENT_RAW);
    EXPECT_EQ(std::string((char *)document.value, document.value_size), std::string("\0\xff", 2));
    EXPECT_EQ(document.expires_at_ms, 5006u);
    EXPECT_EQ(document.version, 4u);
    polarys_client_document_free(&document);
    auto request =
        Unpack<Polarys__V1__GetRequest>(&polarys__v1__get_request__descriptor, network.requests[0]);
    EXPECT_EQ(request->consistency->max_staleness->nanos, 500000000);
    EXPECT_EQ(Text(request->database), "db");
}

TEST_F(Client, BatchKeepsItsOperationsUntilTheyAreCommitted)
{
    struct polarys_client_batch *batch = polarys_client_batch_create(client, nullptr);
    bool fails = true;
    network.on_unary = [&](const std::string &, const std::string &) {
        Polarys__V1__BatchWriteResponse response = POLARYS__V1__BATCH_WRITE_RESPONSE__INIT;
        response.version = 6;
        FakeAnswer answer;
        answer.message = Pack(&response.base);
        return fails ? Failure(POLARYS_CLIENT_ABORTED, "VERSION_MISMATCH") : answer;
    };
    ASSERT_TRUE(polarys_client_batch_put(batch, &write));
    write.precondition = POLARYS_CLIENT_VERSION_EQUALS;
    write.precondition_version = 8;
    ASSERT_TRUE(polarys_client_batch_delete(batch, &write));
    EXPECT_FALSE(polarys_client_batch_commit(batch, POLARYS_CLIENT_ASYNC, &result, &err));
    fails = false;
    EXPECT_TRUE(polarys_client_batch_commit(batch, POLARYS_CLIENT_ASYNC, &result, &err));
    EXPECT_EQ(result.version, 6u);
    EXPECT_TRUE(polarys_client_batch_commit(batch, POLARYS_CLIENT_ASYNC, &result, &err));
    auto full = Unpack<Polarys__V1__BatchWriteRequest>(
        &polarys__v1__batch_write_request__descriptor, network.requests[1]);
    ASSERT_EQ(full->n_operations, 2u);
    EXPECT_EQ(Text(full->operations[0]->put->value->json), "1");
    EXPECT_EQ(full->operations[1]->precondition->version_equals, 8u);
    auto empty = Unpack<Polarys__V1__BatchWriteRequest>(
        &polarys__v1__batch_write_request__descriptor, network.requests[2]);
    EXPECT_EQ(empty->n_operations, 0u);
    polarys_client_batch_destroy(batch);
}

TEST_F(Client, SaysWhichContractItsCallerBroke)
{
    write.key = nullptr;
    EXPECT_DEATH((void)polarys_client_put(client, &write, &result, &err), "write->key != NULL");
    EXPECT_DEATH((void)polarys_client_open(nullptr, &client, &err), "options != NULL");
}

} // namespace
