/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where calls go in a group, and how they follow the primary.
 */
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/unit/client/group_fixture.h"

namespace {

TEST_F(Group, FindsThePrimaryWhereverItStandsInTheList)
{
    options.endpoint = "b:1,c:1,a:1";
    Open();
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["a:1"].writes, 1);
    EXPECT_EQ(Questions(), 3u);
    ASSERT_TRUE(Put());
    EXPECT_EQ(Questions(), 3u); /* it is known from then on */
}

TEST_F(Group, AsksNobodyWhereThereIsOneNode)
{
    options.endpoint = "a:1";
    Open();
    ASSERT_TRUE(Put());
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    EXPECT_EQ(Questions(), 0u);
    EXPECT_EQ(network.methods.size(), 2u);
}

TEST_F(Group, OpensAConnectionOnlyWhereItGoes)
{
    options.endpoint = "b:1";
    Open();
    EXPECT_EQ(network.transport_count, 1);
    ASSERT_TRUE(Put());
    EXPECT_EQ(network.transport_count, 2); /* b, and a, which b named; c never */
}

TEST_F(Group, FollowsAnAddressThatIsNotListed)
{
    options.endpoint = "b:1";
    Open();
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["a:1"].writes, 1);
    EXPECT_TRUE(network.sleeps_ms.empty());
    ASSERT_TRUE(Put());
    EXPECT_EQ(network.endpoints.back(), "a:1");
}

TEST_F(Group, APinnedClientStaysAndTellsWhereThePrimaryIs)
{
    options.endpoint = "b:1";
    options.is_pinned = true;
    Open();
    EXPECT_FALSE(Put());
    EXPECT_STREQ(err.reason, "NOT_PRIMARY");
    EXPECT_STREQ(polarys_client_error_metadata(&err, "primary"), "a:1");
    EXPECT_EQ(network.methods.size(), 1u);
}

TEST_F(Group, APinnedClientHasOneEndpoint)
{
    options.is_pinned = true;
    EXPECT_FALSE(polarys_client_open(&options, &client, &err));
    EXPECT_STREQ(err.reason, "BAD_ARGUMENT");
}

TEST_F(Group, GoesNowhereThatTheUserDoesNotAccept)
{
    options.endpoint = "b:1";
    options.accepts_endpoint = [](const char *endpoint) { return endpoint[0] != 'a'; };
    Open();
    EXPECT_FALSE(Put());
    EXPECT_STREQ(err.reason, "NOT_PRIMARY");
    EXPECT_EQ(nodes["a:1"].writes, 0);
    EXPECT_EQ(network.transport_count, 1);
}

TEST_F(Group, GoesNowhereThatIsNoEndpoint)
{
    options.endpoint = "b:1";
    for (const std::string &told : {std::string("nonsense"), std::string("a:0"), std::string(""),
                                    std::string(300, 'a') + ":1"}) {
        nodes["b:1"].primary = told;
        Open();
        EXPECT_FALSE(Put());
        EXPECT_STREQ(err.reason, "NOT_PRIMARY") << told;
        EXPECT_EQ(network.transport_count, 1);
    }
}

TEST_F(Group, NodesThatNameEachOtherAreNotAskedForEver)
{
    options.endpoint = "a:1,b:1";
    nodes["a:1"].is_primary = false;
    nodes["a:1"].primary = "b:1";
    nodes["b:1"].primary = "a:1";
    Open();
    EXPECT_FALSE(Put());
    EXPECT_STREQ(err.reason, "NO_PRIMARY");
    EXPECT_NE(strstr(err.message, "is a replica of"), nullptr) << err.message;
    EXPECT_LT(network.methods.size(), 200u);
    EXPECT_LE(network.now_ms, 1000u + options.timeout_ms);
}

TEST_F(Group, WritesGoOnAtTheNewPrimaryUnderTheSameRequestId)
{
    Open();
    ASSERT_TRUE(Put());
    Promote("a:1", "b:1");
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["a:1"].writes, 1);
    EXPECT_EQ(nodes["b:1"].writes, 1);
    EXPECT_EQ(err.attempts, 2u);
    EXPECT_EQ(network.requests[network.requests.size() - 1].size(), network.requests[3].size());
}

TEST_F(Group, AWriteWhoseAnswerWasLostIsNotMadeTwice)
{
    Open();
    ASSERT_TRUE(Put());
    /* The primary takes the write and dies before it answers; its log has reached the others. */
    on_call = [this](const std::string &endpoint, const std::string &method) {
        if (endpoint == "a:1" && method == "/polarys.v1.KvService/Put") {
            auto put = Unpack<Polarys__V1__PutRequest>(&polarys__v1__put_request__descriptor,
                                                       network.requests.back());
            request_ids.insert(Text(put->request_id));
            Promote("a:1", "c:1");
        }
    };
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["c:1"].writes, 0);
    EXPECT_EQ(replays.size(), 1u);
}

TEST_F(Group, WhatMayHaveBeenDoneIsNotRepeatedElsewhere)
{
    options.makes_request_ids = false;
    write.precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
    Open();
    ASSERT_TRUE(Put());
    Promote("a:1", "b:1");
    EXPECT_FALSE(Put());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_EQ(nodes["b:1"].writes, 0);
    ASSERT_TRUE(Put()); /* but the next call knows where to go */
    EXPECT_EQ(nodes["b:1"].writes, 1);
}

TEST_F(Group, WaitsForAPrimaryUntilTheDeadline)
{
    Open();
    ASSERT_TRUE(Put());
    nodes["a:1"].is_up = false;
    uint64_t begun_ms = network.now_ms;
    network.on_sleep = [&](uint32_t) {
        if (network.now_ms > begun_ms + 5000 && !nodes["c:1"].is_primary) {
            Promote("a:1", "c:1");
        }
    };
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["c:1"].writes, 1);
    EXPECT_GT(network.now_ms, begun_ms + 5000);
}

TEST_F(Group, GivesUpAtTheDeadlineAndSaysWhatItFound)
{
    Open();
    for (auto &[address, node] : nodes) {
        node.is_up = false;
    }
    uint64_t begun_ms = network.now_ms;
    EXPECT_FALSE(Put());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_STREQ(err.reason, "NO_PRIMARY");
    EXPECT_NE(strstr(err.message, "b:1 does not answer"), nullptr) << err.message;
    EXPECT_LE(network.now_ms, begun_ms + options.timeout_ms);
    EXPECT_GT(network.now_ms, begun_ms + options.timeout_ms / 2);
}

TEST_F(Group, WithoutADeadlineTheSearchEndsAllTheSame)
{
    options.timeout_ms = 0;
    Open();
    for (auto &[address, node] : nodes) {
        node.is_up = false;
    }
    EXPECT_FALSE(Put());
    EXPECT_LE(network.now_ms, 1000u + CLIENT_SEARCH_MS_MAX);
}

TEST_F(Group, WithoutRetriesItDoesNotWait)
{
    options.retries_max = 0;
    Open();
    nodes["a:1"].is_up = false;
    EXPECT_FALSE(Put());
    EXPECT_TRUE(network.sleeps_ms.empty());
}

TEST_F(Group, AnOldPrimaryThatCameBackIsNotTakenForOne)
{
    Promote("a:1", "b:1");
    nodes["a:1"].is_up = true; /* still of the old term, and sure of itself */
    Open();
    nodes["b:1"].is_up = false;
    EXPECT_FALSE(Put());
    EXPECT_STREQ(err.reason, "NO_PRIMARY");
    nodes["b:1"].is_up = true;
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["b:1"].writes, 1);
}

TEST_F(Group, AHigherTermAnywhereMakesItLookAgain)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    ASSERT_TRUE(Put());
    /* b was promoted while a is cut off from the others, though not from this client. */
    Promote("a:1", "b:1");
    nodes["a:1"].is_up = true;
    read.consistency = POLARYS_CLIENT_LOCAL;
    ASSERT_TRUE(Get());
    ASSERT_TRUE(Put());
    EXPECT_EQ(nodes["b:1"].writes, 1);
}

TEST_F(Group, ANodeThatDoesNotSayWhatItIsIsTriedAsThePrimary)
{
    options.endpoint = "b:1,d:1";
    nodes["b:1"].is_up = false;
    nodes["d:1"].is_primary = true;
    auto group = network.on_unary_at;
    network.on_unary_at = [&](const std::string &endpoint, const std::string &method,
                              const std::string &request) {
        if (endpoint == "d:1" && method == "/polarys.v1.AdminService/GetStatus") {
            return Refusal(POLARYS_CLIENT_PERMISSION_DENIED, "PERMISSION_DENIED");
        }
        return group(endpoint, method, request);
    };
    Open();
    ASSERT_TRUE(Put()) << err.message;
    EXPECT_EQ(nodes["d:1"].writes, 1);
}

TEST_F(Group, KnowsNoMoreNodesThanItHasRoomFor)
{
    options.endpoint = "a:1,b:1";
    nodes["a:1"].is_primary = false;
    int told = 0;
    auto name = [&] { return "n" + std::to_string(++told) + ":1"; };
    on_call = [&](const std::string &endpoint, const std::string &) {
        nodes[endpoint].primary = name(); /* always another */
    };
    Open();
    EXPECT_FALSE(Put());
    EXPECT_LE(network.transport_count, (int)POLARYS_CLIENT_NODES_MAX);
    EXPECT_LE(network.now_ms, 1000u + options.timeout_ms);
}

TEST_F(Group, AListIsJudgedWhenItIsGiven)
{
    std::string many = "a:1";
    for (int i = 0; i < POLARYS_CLIENT_ENDPOINTS_MAX; i++) {
        many += ",a" + std::to_string(i) + ":1";
    }
    for (const std::string &list :
         {std::string("a:1,"), std::string(",a:1"), std::string("a:1,,b:1"),
          std::string("a:1, b:1"), std::string("a:1,b"), std::string(600, 'a') + ":1", many}) {
        options.endpoint = list.c_str();
        EXPECT_FALSE(polarys_client_open(&options, &client, &err)) << list;
        EXPECT_STREQ(err.reason, "BAD_ARGUMENT");
    }
    options.endpoint = "a:1,a:1"; /* one node, named twice */
    Open();
    ASSERT_TRUE(Put());
    EXPECT_EQ(Questions(), 0u);
}

TEST_F(Group, ManyThreadsFollowAMoveTogether)
{
    enum { THREADS = 8, WRITES = 50 };
    /* A thread that waits for another's search waits by the real clock: one that a test's clock of 1,000 ms sets has
     * passed before it begins. */
    network.now_ms = (uint64_t)std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::steady_clock::now().time_since_epoch())
                         .count();
    options.read_policy = POLARYS_CLIENT_READ_NEAREST;
    Open();
    int calls = 0;
    on_call = [&](const std::string &, const std::string &method) {
        if (method == "/polarys.v1.KvService/Put" && ++calls == THREADS * WRITES / 2) {
            nodes["b:1"].version = nodes["a:1"].version; /* its log has reached the others */
            Promote("a:1", "b:1");
        }
    };
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < THREADS; t++) {
        threads.emplace_back([&] {
            struct polarys_client_read session = {};
            const struct polarys_client_key key = {nullptr, "t", "k", 1};
            struct polarys_client_document document;
            struct polarys_client_error why;
            session.consistency = POLARYS_CLIENT_SESSION;
            for (int i = 0; i < WRITES; i++) {
                failures += !polarys_client_put(client, &write, nullptr, &why);
                EXPECT_EQ(why.status, POLARYS_CLIENT_OK) << why.message;
                failures += !polarys_client_get(client, &key, &session, &document, &why);
                EXPECT_EQ(why.status, POLARYS_CLIENT_OK) << why.message;
                polarys_client_document_free(&document);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(request_ids.size(), (size_t)(THREADS * WRITES));
    EXPECT_EQ(nodes["a:1"].writes + nodes["b:1"].writes, (int)(THREADS * WRITES));
}

TEST_F(Group, WaitReadyFindsThePrimary)
{
    options.endpoint = "b:1,a:1";
    auto group = network.on_unary_at;
    network.on_unary_at = [&](const std::string &endpoint, const std::string &method,
                              const std::string &request) {
        std::string serving("\x08\x01");
        FakeAnswer answer;
        answer.message = serving;
        bool is_check = method == "/grpc.health.v1.Health/Check";
        return is_check && nodes[endpoint].is_up ? answer : group(endpoint, method, request);
    };
    Open();
    ASSERT_TRUE(polarys_client_wait_ready(client, 1000, &err)) << err.message;
    EXPECT_EQ(network.endpoints.back(), "a:1");
    nodes["a:1"].is_up = false;
    EXPECT_FALSE(polarys_client_wait_ready(client, 1000, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
}

} // namespace
