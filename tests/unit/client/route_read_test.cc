/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads that any node may answer: which one does, and that none is older than what the client has seen.
 */
#include "tests/unit/client/group_fixture.h"

namespace {

TEST_F(Group, ReadsGoToThePrimaryUnlessToldOtherwise)
{
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["a:1"].reads, 2);
}

TEST_F(Group, ReplicasTakeTurns)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    for (int i = 0; i < 6; i++) {
        ASSERT_TRUE(Get()) << err.message;
    }
    EXPECT_EQ(nodes["a:1"].reads, 0);
    EXPECT_EQ(nodes["b:1"].reads, 3);
    EXPECT_EQ(nodes["c:1"].reads, 3);
}

TEST_F(Group, StrongReadsGoToThePrimary)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["a:1"].reads, 1);
}

TEST_F(Group, AReplicaThatIsDownIsLeftOutForAWhile)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    nodes["b:1"].is_up = false;
    for (int i = 0; i < 4; i++) {
        ASSERT_TRUE(Get()) << err.message;
    }
    EXPECT_EQ(nodes["a:1"].reads, 0);
    size_t tried = 0;
    for (size_t i = 0; i < network.endpoints.size(); i++) {
        tried += network.endpoints[i] == "b:1" && network.methods[i] == "/polarys.v1.KvService/Get";
    }
    EXPECT_LE(tried, 2u); /* once before, at most once since */
    nodes["b:1"].is_up = true;
    network.now_ms += CLIENT_AVOID_MS_MAX;
    int before = nodes["b:1"].reads;
    ASSERT_TRUE(Get());
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["b:1"].reads, before + 1);
}

TEST_F(Group, WithoutReplicasThePrimaryServes)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    nodes["b:1"].is_up = nodes["c:1"].is_up = false;
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get()) << err.message;
    EXPECT_EQ(nodes["a:1"].reads, 1);
}

TEST_F(Group, WithoutAPrimaryReplicasServe)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    nodes["a:1"].is_up = false;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get()) << err.message;
    nodes["b:1"].is_up = false;
    ASSERT_TRUE(Get()) << err.message;
    EXPECT_GE(nodes["c:1"].reads, 1);
}

TEST_F(Group, AReplicaThatIsNotReadyIsTheLastChoice)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    nodes["b:1"].is_ready = nodes["c:1"].is_ready = false;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["a:1"].reads, 1);
    nodes["a:1"].is_up = false;
    ASSERT_TRUE(Get()) << err.message;
    EXPECT_EQ(nodes["b:1"].reads + nodes["c:1"].reads, 1);
}

TEST_F(Group, NearestIsWhoAnswersSoonest)
{
    options.read_policy = POLARYS_CLIENT_READ_NEAREST;
    nodes["a:1"].took_ms = 20;
    nodes["b:1"].took_ms = 5;
    nodes["c:1"].took_ms = 30;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["b:1"].reads, 2);
    /* What is known of distances is looked up again after a while. */
    nodes["a:1"].took_ms = 1;
    network.now_ms += CLIENT_REFRESH_MS;
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["a:1"].reads, 1);
}

TEST_F(Group, EquallyNearNodesTakeTurns)
{
    options.read_policy = POLARYS_CLIENT_READ_NEAREST;
    nodes["c:1"].took_ms = 50;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    for (int i = 0; i < 4; i++) {
        ASSERT_TRUE(Get());
    }
    EXPECT_EQ(nodes["a:1"].reads, 2);
    EXPECT_EQ(nodes["b:1"].reads, 2);
}

TEST_F(Group, AReplicaLeavesHalfOfTheTimeToTheNextNode)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    options.timeout_ms = 8000;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    nodes["b:1"].refusal = nodes["c:1"].refusal = "WAIT_TIMEOUT";
    nodes["b:1"].refusal_status = nodes["c:1"].refusal_status = POLARYS_CLIENT_DEADLINE_EXCEEDED;
    network.deadlines_ms.clear();
    uint64_t now_ms = network.now_ms;
    ASSERT_TRUE(Get()) << err.message;
    ASSERT_EQ(network.deadlines_ms.size(), 3u);
    EXPECT_EQ(network.deadlines_ms[0], now_ms + 4000);
    EXPECT_EQ(network.deadlines_ms[2], now_ms + 8000); /* the primary has all that is left */
}

TEST_F(Group, DamageOnOneNodeIsAnsweredByAnother)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    nodes["b:1"].refusal = "CORRUPT";
    nodes["b:1"].refusal_status = POLARYS_CLIENT_DATA_LOSS;
    ASSERT_TRUE(Get());
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["c:1"].reads, 2);
}

TEST_F(Group, WhatIsWrongWithTheCallIsNotTriedElsewhere)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    read.consistency = POLARYS_CLIENT_LOCAL;
    nodes["b:1"].refusal = nodes["c:1"].refusal = "BAD_KEY";
    nodes["b:1"].refusal_status = nodes["c:1"].refusal_status = POLARYS_CLIENT_INVALID_ARGUMENT;
    EXPECT_FALSE(Get());
    EXPECT_STREQ(err.reason, "BAD_KEY");
    EXPECT_EQ(err.attempts, 1u);
}

TEST_F(Group, ASessionReadsItsOwnWritesOnAnyNode)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    read.consistency = POLARYS_CLIENT_SESSION;
    ASSERT_TRUE(Get()); /* nothing was seen yet: any state will do */
    ASSERT_TRUE(Put());
    EXPECT_EQ(nodes["a:1"].version, 2u);
    ASSERT_TRUE(Get()) << err.message; /* both replicas are behind */
    EXPECT_EQ(nodes["a:1"].reads, 1);
    nodes["b:1"].version = nodes["c:1"].version = 2;
    network.now_ms += CLIENT_AVOID_MS_MAX;
    ASSERT_TRUE(Get());
    EXPECT_EQ(nodes["a:1"].reads, 1);
}

TEST_F(Group, ASessionNeverReadsBackwards)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    read.consistency = POLARYS_CLIENT_SESSION;
    nodes["a:1"].version = nodes["b:1"].version = 7;
    for (int i = 0; i < 4; i++) { /* c is behind: asked before 7 was seen or not at all */
        ASSERT_TRUE(Get());
        uint8_t token[CLIENT_TOKEN_BYTES_MAX];
        size_t size = client_session_token(client, token);
        std::string seen((const char *)token, size);
        if (nodes["b:1"].reads > 0) {
            EXPECT_EQ(seen, Token(7));
        }
    }
    EXPECT_LE(nodes["c:1"].reads, 1);
}

TEST_F(Group, ATokenOfALostHistoryMakesTheReadStrong)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    ASSERT_TRUE(Put());
    read.consistency = POLARYS_CLIENT_SESSION;
    std::vector<bool> had_token;
    auto group = network.on_unary_at;
    network.on_unary_at = [&](const std::string &endpoint, const std::string &method,
                              const std::string &request) {
        if (method != "/polarys.v1.KvService/Get") {
            return group(endpoint, method, request);
        }
        auto get = Unpack<Polarys__V1__GetRequest>(&polarys__v1__get_request__descriptor, request);
        bool has_token = get->consistency != nullptr &&
                         get->consistency->level_case == POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST;
        had_token.push_back(has_token);
        return has_token ? Refusal(POLARYS_CLIENT_FAILED_PRECONDITION, "HISTORY_DIVERGED")
                         : group(endpoint, method, request);
    };
    ASSERT_TRUE(Get()) << err.message;
    EXPECT_EQ(had_token.back(), false);
    EXPECT_EQ(network.endpoints.back(), "a:1");
    uint8_t token[CLIENT_TOKEN_BYTES_MAX];
    EXPECT_GT(client_session_token(client, token), 0u); /* that of the new answer */
}

TEST_F(Group, ATokenOfTheCallersOwnIsNotReplaced)
{
    Open();
    read.consistency = POLARYS_CLIENT_AT_LEAST;
    std::string token = Token(1);
    read.token = token.data();
    read.token_size = token.size();
    nodes["a:1"].refusal = "HISTORY_DIVERGED";
    nodes["a:1"].refusal_status = POLARYS_CLIENT_FAILED_PRECONDITION;
    EXPECT_FALSE(Get());
    EXPECT_STREQ(err.reason, "HISTORY_DIVERGED");
}

} // namespace
