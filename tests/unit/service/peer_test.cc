// SPDX-License-Identifier: Apache-2.0
// Another node as it is called: what its errors become, and that calls end when they have to.
#include <gtest/gtest.h>

#include <string>

#include "polarys/v1/admin.pb-c.h"
#include "polarys/v1/watch.pb-c.h"
#include "service/errors/error_details.h"
#include "service/errors/error_table.h"
#include "service/replication/backoff.h"
#include "service/replication/peer.h"
#include "service/replication/peer_internal.h"
#include "tests/unit/service/service_fixture.h"

namespace {

using service_test::ServiceTest;

polarys_error Travelled(const polarys_error &sent, std::string *details)
{
    uint8_t bytes[ERROR_DETAILS_BYTES_MAX];
    error_subject subject = {"db", "t", slice_make("k", 1), nullptr};
    size_t size = error_details_encode(&sent, &subject, bytes);
    details->assign(reinterpret_cast<char *>(bytes), size);
    polarys_error got = {};
    peer_error_fill(&got, error_rule_get(sent.code)->status, slice_from_text(sent.message),
                    slice_make(details->data(), details->size()));
    return got;
}

TEST(PeerError, IsTheCodeThatTheOtherNodeGave)
{
    for (unsigned i = 1; i < POLARYS_WOULD_BLOCK; i++) {
        polarys_error sent = {};
        std::string details;
        polarys_fail(&sent, static_cast<polarys_code>(i), "why it failed");
        polarys_error_detail_set(&sent, "common_version", "77");
        polarys_error got = Travelled(sent, &details);
        EXPECT_EQ(got.code, sent.code) << polarys_code_name(sent.code);
        EXPECT_STREQ(got.message, sent.message);
        ASSERT_NE(polarys_error_detail_find(&got, "common_version"), nullptr);
        EXPECT_STREQ(polarys_error_detail_find(&got, "common_version"), "77");
    }
}

TEST(PeerError, IsWhatTheStatusSaysWhereDetailsMakeNoSense)
{
    polarys_error sent = {};
    std::string details;
    polarys_fail(&sent, POLARYS_LOG_PRUNED, "gone");
    (void)Travelled(sent, &details);
    for (size_t size = 0; size < details.size(); size++) {
        polarys_error got = {};
        peer_error_fill(&got, GRPC_STATUS_UNAVAILABLE, slice_from_text("text"),
                        slice_make(details.data(), size));
        EXPECT_TRUE(got.code == POLARYS_NO_PRIMARY || got.code == POLARYS_LOG_PRUNED) << size;
    }
    polarys_error got = {};
    const std::string garbage = "\xff\xff\xff\xff garbage \x01";
    peer_error_fill(&got, GRPC_STATUS_DEADLINE_EXCEEDED, slice_make("a\xff", 2),
                    slice_make(garbage.data(), garbage.size()));
    EXPECT_EQ(got.code, POLARYS_WAIT_TIMEOUT);
    EXPECT_EQ(got.detail_count, 0u);
}

TEST(Backoff, DoublesToItsBoundWithJitterAndBeginsAnew)
{
    backoff waits;
    backoff_init(&waits);
    uint64_t step = BACKOFF_MS_MIN;
    for (int i = 0; i < 10; i++) {
        uint64_t ms = backoff_next_ms(&waits);
        EXPECT_GE(ms, step / 2);
        EXPECT_LE(ms, step);
        step = step * 2 > BACKOFF_MS_MAX ? static_cast<uint64_t>(BACKOFF_MS_MAX) : step * 2;
    }
    EXPECT_EQ(step, static_cast<uint64_t>(BACKOFF_MS_MAX));
    backoff_reset(&waits);
    EXPECT_LE(backoff_next_ms(&waits), static_cast<uint64_t>(BACKOFF_MS_MIN));
    backoff_wake(&waits);
    EXPECT_TRUE(backoff_wait(&waits)) << "woken, not stopped";
    backoff_stop(&waits);
    EXPECT_FALSE(backoff_wait(&waits));
    backoff_deinit(&waits);
}

class Peer : public ServiceTest {
  protected:
    void SetUp() override
    {
        Start();
        memory_.limit = 64 << 20;
        proto_arena_init(&arena_, &memory_);
        std::string address = "127.0.0.1:" + std::to_string(server_->port);
        ASSERT_EQ(peer_open(address.c_str(), &peer_, &error_), POLARYS_OK) << error_.message;
    }
    void TearDown() override
    {
        peer_close(peer_);
        proto_arena_deinit(&arena_);
    }
    polarys_code Status(void **response)
    {
        const peer_call call = {"/polarys.v1.AdminService/GetStatus", &status_.base,
                                &polarys__v1__get_status_response__descriptor, 10000, false};
        return peer_unary(peer_, &call, &arena_, response, &error_);
    }

    Polarys__V1__GetStatusRequest status_ = POLARYS__V1__GET_STATUS_REQUEST__INIT;
    proto_memory memory_ = {};
    proto_arena arena_ = {};
    peer *peer_ = nullptr;
    polarys_error error_ = {};
};

TEST_F(Peer, AnswersAUnaryCall)
{
    MakeTable("t");
    Polarys__V1__GetStatusResponse *response = nullptr;
    ASSERT_EQ(Status(reinterpret_cast<void **>(&response)), POLARYS_OK) << error_.message;
    EXPECT_EQ(response->version, polarys_db_version(db_));
    EXPECT_EQ(response->role, POLARYS__V1__NODE_ROLE__NODE_ROLE_PRIMARY);
    EXPECT_EQ(response->replica, nullptr);
    EXPECT_EQ(memcmp(response->header->store_id.data, polarys_db_store_id(db_), POLARYS_ID_SIZE),
              0);
}

TEST_F(Peer, GivesTheErrorOfTheOtherNodeWithItsDetails)
{
    Polarys__V1__CompactRequest request = POLARYS__V1__COMPACT_REQUEST__INIT;
    request.table.data = reinterpret_cast<uint8_t *>(const_cast<char *>("nosuch"));
    request.table.len = 6;
    const peer_call call = {"/polarys.v1.AdminService/Compact", &request.base,
                            &polarys__v1__compact_response__descriptor, 10000, false};
    void *response = nullptr;
    EXPECT_EQ(peer_unary(peer_, &call, &arena_, &response, &error_), POLARYS_TABLE_NOT_FOUND);
    EXPECT_EQ(response, nullptr);
    EXPECT_NE(std::string(error_.message).find("nosuch"), std::string::npos) << error_.message;
    const peer_call unknown = {"/polarys.v1.AdminService/Nonsense", &request.base,
                               &polarys__v1__compact_response__descriptor, 10000, false};
    EXPECT_EQ(peer_unary(peer_, &unknown, &arena_, &response, &error_), POLARYS_UNIMPLEMENTED);
}

TEST_F(Peer, StreamsUntilItIsClosed)
{
    MakeTable("t");
    Polarys__V1__WatchRequest request = POLARYS__V1__WATCH_REQUEST__INIT;
    Google__Protobuf__Duration interval = GOOGLE__PROTOBUF__DURATION__INIT;
    interval.nanos = 100000000;
    request.table.data = reinterpret_cast<uint8_t *>(const_cast<char *>("t"));
    request.table.len = 1;
    request.progress_interval = &interval;
    const peer_call call = {"/polarys.v1.WatchService/Watch", &request.base,
                            &polarys__v1__watch_response__descriptor, 0, true};
    peer_stream *stream = nullptr;
    ASSERT_EQ(peer_stream_open(peer_, &call, &stream, &error_), POLARYS_OK) << error_.message;
    for (int i = 0; i < 3; i++) {
        peer_received received = {};
        ASSERT_EQ(peer_stream_receive(stream, 20000, &arena_, &received, &error_), POLARYS_OK)
            << error_.message;
        ASSERT_EQ(received.event, PEER_MESSAGE);
        ASSERT_NE(received.message, nullptr);
    }
    peer_cancel(peer_);
    polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK) {
        peer_received received = {};
        code = peer_stream_receive(stream, 20000, &arena_, &received, &error_);
        ASSERT_NE(received.event, PEER_ENDED);
    }
    EXPECT_EQ(code, POLARYS_CANCELLED) << error_.message;
    peer_stream_close(stream);
    void *response;
    EXPECT_EQ(Status(&response), POLARYS_CANCELLED) << "whatever comes after cancelling";
}

TEST_F(Peer, SaysThatNobodyAnswers)
{
    peer_close(peer_);
    ASSERT_EQ(peer_open("127.0.0.1:1", &peer_, &error_), POLARYS_OK);
    void *response;
    EXPECT_EQ(Status(&response), POLARYS_NO_PRIMARY) << error_.message;
}

} // namespace
