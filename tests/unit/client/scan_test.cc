/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/polarys.h"
#include "tests/unit/client/fake_transport.h"
#include "tests/unit/client/messages.h"

namespace {

/* One stream's script: documents in one message, then how it ends. */
struct Chapter {
    std::vector<std::string> keys;
    Polarys__V1__ScanEndReason reason = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_UNSPECIFIED;
    enum polarys_client_status status = POLARYS_CLIENT_OK;
    bool hangs = false;
};

class ScriptedScan : public FakeStream {
  public:
    ScriptedScan(const Chapter &script, std::vector<std::string> *seen)
        : chapter(script), requests(seen)
    {
    }
    void OnMessage(const std::string &message) override
    {
        requests->push_back(message);
        Polarys__V1__ScanResponse response = POLARYS__V1__SCAN_RESPONSE__INIT;
        std::vector<Polarys__V1__Document> documents(chapter.keys.size());
        std::vector<Polarys__V1__Document *> pointers;
        for (size_t i = 0; i < documents.size(); i++) {
            polarys__v1__document__init(&documents[i]);
            documents[i].key = Bytes(chapter.keys[i]);
            pointers.push_back(&documents[i]);
        }
        response.version = 77;
        response.n_documents = pointers.size();
        response.documents = pointers.data();
        response.end_reason = chapter.reason;
        answers.push_back(Pack(&response.base));
        has_ended = !chapter.hangs;
        end.status = chapter.status;
    }

  private:
    Chapter chapter;
    std::vector<std::string> *requests;
};

class ClientScan : public testing::Test {
  protected:
    ClientScan()
    {
        fake_network = &network;
        network.on_stream = [this](const std::string &) {
            Chapter chapter = chapters.empty() ? Chapter{} : chapters.front();
            if (chapters.size() > 1) {
                chapters.pop_front();
            }
            return std::make_shared<ScriptedScan>(chapter, &requests);
        };
        polarys_client_options_init(&options);
        EXPECT_TRUE(polarys_client_open(&options, &client, &err));
        memset(&scan_options, 0, sizeof(scan_options));
        scan_options.table = "t";
    }
    ~ClientScan() override
    {
        polarys_client_close(client);
    }
    bool Run()
    {
        struct polarys_client_scan *scan;
        struct polarys_client_document document;
        bool has_document = true;
        bool is_ok = polarys_client_scan_open(client, &scan_options, &scan, &err);
        while (is_ok && has_document) {
            is_ok = polarys_client_scan_next(scan, &has_document, &document, &err);
            if (is_ok && has_document) {
                keys.push_back(std::string((char *)document.key, document.key_size));
            }
        }
        polarys_client_scan_close(scan);
        return is_ok;
    }
    std::unique_ptr<Polarys__V1__ScanRequest, MessageFree> Request(size_t index)
    {
        return Unpack<Polarys__V1__ScanRequest>(&polarys__v1__scan_request__descriptor,
                                                requests.at(index));
    }
    FakeNetwork network;
    std::deque<Chapter> chapters;
    std::vector<std::string> requests;
    std::vector<std::string> keys;
    struct polarys_client_options options;
    struct polarys_client_scan_options scan_options;
    struct polarys_client *client;
    struct polarys_client_error err;
};

const auto end_of_range = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_END_OF_RANGE;
const auto unspecified = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_UNSPECIFIED;
const auto time_reached = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_TIME_REACHED;

TEST_F(ClientScan, NeedsNoStatusBehindTheEnd)
{
    chapters = {{{"a", "b"}, end_of_range, POLARYS_CLIENT_UNAVAILABLE}};
    EXPECT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(requests.size(), 1u);
}

TEST_F(ClientScan, EndsWhereTheServerSaysSo)
{
    chapters = {{{"a", "b"}, end_of_range}};
    EXPECT_TRUE(Run());
    EXPECT_EQ(keys, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(network.stream_count, 1);
}

TEST_F(ClientScan, GoesOnBehindTheLastKeyAtTheSameVersion)
{
    chapters = {{{"a", "b"}, unspecified, POLARYS_CLIENT_UNAVAILABLE},
                {{"c"}, time_reached},
                {{"d"}, end_of_range}};
    scan_options.limit = 10;
    EXPECT_TRUE(Run());
    EXPECT_EQ(keys, (std::vector<std::string>{"a", "b", "c", "d"}));
    auto second = Request(1);
    EXPECT_EQ(Text(second->range->start_key), std::string("b\0", 2));
    EXPECT_EQ(second->consistency->snapshot, 77u);
    EXPECT_EQ(second->limit, 8u);
    EXPECT_EQ(Text(Request(2)->range->start_key), std::string("c\0", 2));
}

TEST_F(ClientScan, GoesOnInFrontOfTheLastKeyInReverse)
{
    chapters = {{{"d", "c"}, unspecified, POLARYS_CLIENT_UNAVAILABLE}, {{"b"}, end_of_range}};
    scan_options.is_reverse = true;
    EXPECT_TRUE(Run());
    EXPECT_EQ(Text(Request(1)->range->end_key), "c");
    EXPECT_EQ(Text(Request(1)->range->start_key), "");
}

TEST_F(ClientScan, DoesNotTakeAnEndWithoutReasonForTheEnd)
{
    chapters = {{{"a"}, unspecified, POLARYS_CLIENT_OK}, {{"b"}, end_of_range}};
    EXPECT_TRUE(Run());
    EXPECT_EQ(keys, (std::vector<std::string>{"a", "b"}));
}

TEST_F(ClientScan, GivesUpOnAServerThatOnlyBreaks)
{
    chapters = {{{}, unspecified, POLARYS_CLIENT_UNAVAILABLE}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_EQ(network.stream_count, 4);
}

TEST_F(ClientScan, TriesForAsLongAsItWasTold)
{
    chapters = {{{}, unspecified, POLARYS_CLIENT_UNAVAILABLE}};
    scan_options.reconnect_ms = 60000;
    EXPECT_FALSE(Run());
    EXPECT_GT(network.now_ms, 50000u);
    EXPECT_LT(network.now_ms, 62000u);
}

TEST_F(ClientScan, ReportsOtherErrorsAtOnce)
{
    chapters = {{{"a"}, unspecified, POLARYS_CLIENT_OUT_OF_RANGE}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_OUT_OF_RANGE);
    EXPECT_EQ(network.stream_count, 1);
}

TEST_F(ClientScan, EndsWhenNothingComes)
{
    chapters = {{{"a"}, unspecified, POLARYS_CLIENT_OK, true}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_DEADLINE_EXCEEDED);
    EXPECT_EQ(keys.size(), 1u);
}

TEST_F(ClientScan, StopsAtItsLimitWithoutAskingFurther)
{
    chapters = {{{"a", "b", "c"}, unspecified, POLARYS_CLIENT_OK, true}};
    scan_options.limit = 2;
    EXPECT_TRUE(Run());
    EXPECT_EQ(keys.size(), 2u);
}

} // namespace
