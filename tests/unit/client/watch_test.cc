/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/polarys_watch.h"
#include "tests/unit/client/fake_transport.h"
#include "tests/unit/client/messages.h"

#define delete delete_call
#include "polarys/v1/watch.pb-c.h"
#undef delete

namespace {

/* One event of a script. */
struct Line {
    uint64_t version;
    std::string key;
    bool is_last = true;
    Polarys__V1__WatchEvent__KindCase kind = POLARYS__V1__WATCH_EVENT__KIND_PUT;
};

/* What one stream says: messages, then how it ends. */
struct Chapter {
    std::vector<std::vector<Line>> messages;
    FakeAnswer end;
};

std::string Encode(const std::vector<Line> &lines, uint64_t resume_version)
{
    Polarys__V1__WatchResponse response = POLARYS__V1__WATCH_RESPONSE__INIT;
    std::vector<Polarys__V1__WatchEvent> events(lines.size());
    std::vector<Polarys__V1__WatchPut> puts(lines.size());
    std::vector<Polarys__V1__WatchEvent *> pointers;
    Polarys__V1__WatchSnapshotEnd snapshot_end = POLARYS__V1__WATCH_SNAPSHOT_END__INIT;
    Polarys__V1__WatchProgress progress = POLARYS__V1__WATCH_PROGRESS__INIT;
    Polarys__V1__WatchTableDropped dropped = POLARYS__V1__WATCH_TABLE_DROPPED__INIT;
    for (size_t i = 0; i < lines.size(); i++) {
        polarys__v1__watch_event__init(&events[i]);
        polarys__v1__watch_put__init(&puts[i]);
        puts[i].key = Bytes(lines[i].key);
        events[i].version = lines[i].version;
        events[i].last_of_commit = lines[i].is_last;
        events[i].kind_case = lines[i].kind;
        events[i].put = &puts[i];
        if (lines[i].kind == POLARYS__V1__WATCH_EVENT__KIND_SNAPSHOT_END) {
            events[i].snapshot_end = &snapshot_end;
        } else if (lines[i].kind == POLARYS__V1__WATCH_EVENT__KIND_PROGRESS) {
            events[i].progress = &progress;
        } else if (lines[i].kind == POLARYS__V1__WATCH_EVENT__KIND_TABLE_DROPPED) {
            events[i].table_dropped = &dropped;
        }
        pointers.push_back(&events[i]);
    }
    response.n_events = pointers.size();
    response.events = pointers.data();
    response.resume_version = resume_version;
    return Pack(&response.base);
}

class ScriptedWatch : public FakeStream {
  public:
    ScriptedWatch(const Chapter &script, std::vector<std::string> *seen)
        : chapter(script), requests(seen)
    {
    }
    void OnMessage(const std::string &message) override
    {
        requests->push_back(message);
        answers.push_back(Encode({}, 10)); /* the head */
        for (const std::vector<Line> &lines : chapter.messages) {
            answers.push_back(Encode(lines, 0));
        }
        has_ended = true;
        end = chapter.end;
    }

  private:
    Chapter chapter;
    std::vector<std::string> *requests;
};

class ClientWatch : public testing::Test {
  protected:
    ClientWatch()
    {
        fake_network = &network;
        network.on_stream = [this](const std::string &) {
            Chapter chapter = chapters.front();
            if (chapters.size() > 1) {
                chapters.pop_front();
            }
            return std::make_shared<ScriptedWatch>(chapter, &requests);
        };
        polarys_client_options_init(&client_options);
        EXPECT_TRUE(polarys_client_open(&client_options, &client, &err));
        memset(&options, 0, sizeof(options));
        options.table = "t";
    }
    ~ClientWatch() override
    {
        polarys_client_close(client);
    }
    /* Takes everything; true when it ended well. */
    bool Run()
    {
        struct polarys_client_watch *watch;
        struct polarys_client_watch_event event;
        bool has_event = true;
        bool is_ok = polarys_client_watch_open(client, &options, &watch, &err);
        while (is_ok && has_event) {
            is_ok = polarys_client_watch_next(watch, &has_event, &event, &err);
            if (is_ok && has_event) {
                keys.push_back(
                    std::to_string(event.document.version) +
                    std::string((const char *)event.document.key, event.document.key_size));
                resume_versions.push_back(polarys_client_watch_resume_version(watch));
            }
        }
        polarys_client_watch_close(watch);
        return is_ok;
    }
    uint64_t AskedFrom(size_t index)
    {
        return Unpack<Polarys__V1__WatchRequest>(&polarys__v1__watch_request__descriptor,
                                                 requests.at(index))
            ->from_version;
    }
    FakeNetwork network;
    std::deque<Chapter> chapters;
    std::vector<std::string> requests;
    std::vector<std::string> keys;
    std::vector<uint64_t> resume_versions;
    struct polarys_client_options client_options;
    struct polarys_client_watch_options options;
    struct polarys_client *client;
    struct polarys_client_error err;
};

const auto snapshot_put = POLARYS__V1__WATCH_EVENT__KIND_SNAPSHOT_PUT;
const auto snapshot_end = POLARYS__V1__WATCH_EVENT__KIND_SNAPSHOT_END;
const auto progress = POLARYS__V1__WATCH_EVENT__KIND_PROGRESS;
const Line dropped = {99, "", true, POLARYS__V1__WATCH_EVENT__KIND_TABLE_DROPPED};
const FakeAnswer gone = {POLARYS_CLIENT_UNAVAILABLE, "", 0, ""};

TEST_F(ClientWatch, RaisesTheResumeVersionBehindWholeCommits)
{
    chapters = {
        {{{{11, "a", false}, {11, "b"}, {12, "c"}}, {{15, "", true, progress}, dropped}}, {}}};
    EXPECT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (std::vector<std::string>{"11a", "11b", "12c", "15", "99"}));
    EXPECT_EQ(resume_versions, (std::vector<uint64_t>{10, 11, 12, 15, 99}));
}

TEST_F(ClientWatch, GivesACommitThatABreakHasCutOnce)
{
    chapters = {{{{{11, "a"}, {12, "b", false}, {12, "c", false}}}, gone},
                {{{{12, "b", false}}}, gone},
                {{{{12, "b", false}, {12, "c", false}, {12, "d"}, {13, "e"}}, {dropped}}, {}}};
    EXPECT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (std::vector<std::string>{"11a", "12b", "12c", "12d", "13e", "99"}));
    EXPECT_EQ(AskedFrom(0), 0u);
    EXPECT_EQ(AskedFrom(1), 11u);
    EXPECT_EQ(AskedFrom(2), 11u);
}

TEST_F(ClientWatch, GoesOnFromWhereTheServerSaidThatItBegan)
{
    chapters = {{{}, gone}, {{{{11, "a"}, dropped}}, {}}};
    EXPECT_TRUE(Run()) << err.message;
    EXPECT_EQ(AskedFrom(1), 10u) << "what was written during the break is not missed";
}

TEST_F(ClientWatch, DoesNotGoOnWithASnapshot)
{
    options.with_snapshot = true;
    chapters = {{{{{3, "a", true, snapshot_put}}}, gone}, {{{dropped}}, {}}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
}

TEST_F(ClientWatch, GoesOnBehindASnapshot)
{
    options.with_snapshot = true;
    chapters = {{{{{3, "a", true, snapshot_put}, {20, "", true, snapshot_end}, {21, "b"}}}, gone},
                {{{{22, "c"}, dropped}}, {}}};
    EXPECT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (std::vector<std::string>{"3a", "20", "21b", "22c", "99"}));
    EXPECT_EQ(AskedFrom(1), 21u);
}

TEST_F(ClientWatch, ReportsThatItWasTooSlow)
{
    chapters = {{{{{11, "a"}}}, {POLARYS_CLIENT_RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW", 0, ""}}};
    EXPECT_FALSE(Run());
    EXPECT_STREQ(err.reason, "WATCH_TOO_SLOW");
    EXPECT_EQ(network.stream_count, 1) << "the caller decides";
}

TEST_F(ClientWatch, ReportsARefusalFromOpen)
{
    network.on_stream = [this](const std::string &) {
        auto stream = std::make_shared<ScriptedWatch>(Chapter{}, &requests);
        stream->has_ended = true;
        stream->end = {POLARYS_CLIENT_NOT_FOUND, "TABLE_NOT_FOUND", 0, ""};
        return stream;
    };
    chapters = {{{}, {POLARYS_CLIENT_NOT_FOUND, "TABLE_NOT_FOUND", 0, ""}}};
    EXPECT_FALSE(Run());
    EXPECT_STREQ(err.reason, "TABLE_NOT_FOUND");
}

} // namespace
