// SPDX-License-Identifier: Apache-2.0
// A stream that its caller gives up: waiting for a message and waiting to try again end soon, as CANCELLED.
#include "client/feed.h"

#include <string>

#include "polarys/v1/backup.pb-c.h"
#include "tests/unit/client/client_fixture.h"

namespace {

/* Says nothing, or ends at once. */
class Server : public FakeStream {
  public:
    explicit Server(bool ends)
    {
        has_ended = ends;
        end = Refusal(POLARYS_CLIENT_UNAVAILABLE);
    }
    void OnMessage(const std::string &) override
    {
    }
};

class Feed : public ScriptedClient {
  protected:
    ~Feed() override
    {
        client_feed_close(&feed_);
    }
    void Open(bool ends)
    {
        network.on_stream = [ends](const std::string &) { return std::make_shared<Server>(ends); };
        client_feed_init(&feed_, client, "/polarys.v1.BackupService/StreamBackup",
                         CLIENT_PLACE_PRIMARY, 600000);
        EXPECT_EQ(feed_.stop, nullptr);
        feed_.stop = &stop_;
        Polarys__V1__StreamBackupRequest request = POLARYS__V1__STREAM_BACKUP_REQUEST__INIT;
        ASSERT_TRUE(client_feed_open(&feed_, &request.base, &err));
    }
    void ExpectCancelled()
    {
        transport_message message;
        EXPECT_EQ(client_feed_next(&feed_, &message, &err), CLIENT_FEED_FAILED);
        EXPECT_EQ(err.status, POLARYS_CLIENT_CANCELLED);
        EXPECT_EQ(feed_.stream, nullptr);
    }

    client_feed feed_ = {};
    volatile sig_atomic_t stop_ = 0;
};

TEST_F(Feed, EndsBeforeItWaitsWhenItWasAlreadyGivenUp)
{
    Open(false);
    stop_ = 1;
    uint64_t begun_ms = network.now_ms;
    ExpectCancelled();
    EXPECT_EQ(network.now_ms, begun_ms);
}

TEST_F(Feed, StillFailsByItsTimeoutWhenNobodyGivesItUp)
{
    Open(false);
    transport_message message;
    uint64_t begun_ms = network.now_ms;
    EXPECT_EQ(client_feed_next(&feed_, &message, &err), CLIENT_FEED_FAILED);
    EXPECT_EQ(err.status, POLARYS_CLIENT_DEADLINE_EXCEEDED);
    EXPECT_EQ(network.now_ms - begun_ms, options.timeout_ms);
}

TEST_F(Feed, DoesNotSleepOnWhenItIsGivenUpBetweenTwoTries)
{
    Open(true);
    network.on_sleep = [this](uint32_t) {
        if (network.sleeps_ms.size() > 3) {
            stop_ = 1;
        }
    };
    Polarys__V1__StreamBackupRequest request = POLARYS__V1__STREAM_BACKUP_REQUEST__INIT;
    transport_message message;
    enum client_feed_event event = CLIENT_FEED_BROKEN;
    for (int i = 0; i < 20 && event == CLIENT_FEED_BROKEN; i++) {
        event = client_feed_next(&feed_, &message, &err);
        if (event == CLIENT_FEED_BROKEN) {
            ASSERT_TRUE(client_feed_open(&feed_, &request.base, &err));
        }
    }
    EXPECT_EQ(event, CLIENT_FEED_FAILED);
    EXPECT_EQ(err.status, POLARYS_CLIENT_CANCELLED);
    for (uint32_t sleep_ms : network.sleeps_ms) {
        EXPECT_LE(sleep_ms, 100u);
    }
}

} // namespace
