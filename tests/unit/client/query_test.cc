/* SPDX-License-Identifier: Apache-2.0 */
#include "client/polarys_query.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/unit/client/client_fixture.h"

namespace {

using Reason = Polarys__V1__QueryEndReason;
const Reason unspecified = POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_UNSPECIFIED;
const Reason end_of_results = POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_END_OF_RESULTS;
const Reason limit_reached = POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_LIMIT_REACHED;
const Reason time_reached = POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_TIME_REACHED;

/* One message of a stream. */
struct Page {
    std::vector<std::string> keys;
    std::string cursor;
    Reason reason = unspecified;
};

/* One stream: its messages, then how it ends. */
struct Chapter {
    std::vector<Page> pages;
    enum polarys_client_status status = POLARYS_CLIENT_OK;
    bool hangs = false;
};

class ScriptedStream : public FakeStream {
  public:
    ScriptedStream(const Chapter &script, std::vector<std::string> *seen)
        : chapter(script), requests(seen)
    {
    }
    void OnMessage(const std::string &message) override
    {
        requests->push_back(message);
        for (const Page &page : chapter.pages) {
            answers.push_back(Encode(page));
        }
        has_ended = !chapter.hangs;
        end.status = chapter.status;
    }
    virtual std::string Encode(const Page &page)
    {
        Polarys__V1__QueryResponse response = POLARYS__V1__QUERY_RESPONSE__INIT;
        std::vector<Polarys__V1__Document> documents(page.keys.size());
        std::vector<Polarys__V1__Document *> pointers;
        for (size_t i = 0; i < documents.size(); i++) {
            polarys__v1__document__init(&documents[i]);
            documents[i].key = Bytes(page.keys[i]);
            pointers.push_back(&documents[i]);
        }
        response.version = 77;
        response.n_documents = pointers.size();
        response.documents = pointers.data();
        response.cursor = Bytes(page.cursor);
        response.end_reason = page.reason;
        return Pack(&response.base);
    }

  private:
    Chapter chapter;
    std::vector<std::string> *requests;
};

/* The same script as an answer to a search: page.cursor is the total. */
class ScriptedSearch : public ScriptedStream {
  public:
    using ScriptedStream::ScriptedStream;
    std::string Encode(const Page &page) override
    {
        Polarys__V1__SearchResponse response = POLARYS__V1__SEARCH_RESPONSE__INIT;
        std::vector<Polarys__V1__Document> documents(page.keys.size());
        std::vector<Polarys__V1__SearchHit> hits(page.keys.size());
        std::vector<Polarys__V1__SearchHit *> pointers;
        std::string text = "a \x01word\x02";
        ProtobufCBinaryData highlights[] = {Bytes(text)};
        for (size_t i = 0; i < hits.size(); i++) {
            polarys__v1__document__init(&documents[i]);
            polarys__v1__search_hit__init(&hits[i]);
            documents[i].key = Bytes(page.keys[i]);
            hits[i].document = &documents[i];
            hits[i].score = 1.5;
            hits[i].n_highlights = 1;
            hits[i].highlights = highlights;
            pointers.push_back(&hits[i]);
        }
        response.version = page.cursor.empty() ? 0 : 77;
        response.total = page.cursor.empty() ? 0 : (uint64_t)std::stoul(page.cursor);
        response.n_hits = pointers.size();
        response.hits = pointers.data();
        return Pack(&response.base);
    }
};

class ClientQuery : public ScriptedClient {
  protected:
    ClientQuery()
    {
        network.on_stream = [this](const std::string &method) -> std::shared_ptr<FakeStream> {
            Chapter chapter = chapters.empty() ? Chapter{} : chapters.front();
            if (chapters.size() > 1) {
                chapters.pop_front();
            }
            if (method == "/polarys.v1.QueryService/Search") {
                return std::make_shared<ScriptedSearch>(chapter, &requests);
            }
            EXPECT_EQ(method, "/polarys.v1.QueryService/Query");
            return std::make_shared<ScriptedStream>(chapter, &requests);
        };
        query_options.table = "t";
        query_options.filter = "n > 1";
        search_options.table = "t";
        search_options.text = "word";
    }
    bool Run()
    {
        struct polarys_client_query *query;
        struct polarys_client_document document;
        bool has_document = true;
        bool is_ok = polarys_client_query_open(client, &query_options, &query, &err);
        while (is_ok && has_document) {
            is_ok = polarys_client_query_next(query, &has_document, &document, &err);
            if (is_ok && has_document) {
                keys.push_back(std::string((char *)document.key, document.key_size));
            }
        }
        if (is_ok) {
            size_t size;
            const void *bytes = polarys_client_query_cursor(query, &size);
            cursor = std::string((const char *)bytes, size);
            version = polarys_client_query_version(query);
        }
        polarys_client_query_close(query);
        return is_ok;
    }
    bool Search(size_t stop_after = 1000)
    {
        struct Context {
            ClientQuery *test;
            size_t left;
        } context = {this, stop_after};
        auto each = [](void *pointer, const struct polarys_client_hit *hit) {
            Context *given = (Context *)pointer;
            given->test->keys.push_back(
                std::string((char *)hit->document.key, hit->document.key_size));
            EXPECT_EQ(hit->score, 1.5);
            EXPECT_EQ(hit->highlight_count, 1u);
            EXPECT_STREQ(hit->highlights[0], "a \x01word\x02");
            return --given->left > 0;
        };
        return polarys_client_search(client, &search_options, each, &context, &total, &err);
    }
    std::unique_ptr<Polarys__V1__QueryRequest, MessageFree> Sent(size_t index)
    {
        return Unpack<Polarys__V1__QueryRequest>(&polarys__v1__query_request__descriptor,
                                                 requests.at(index));
    }
    std::unique_ptr<Polarys__V1__SearchRequest, MessageFree> Searched(size_t index)
    {
        return Unpack<Polarys__V1__SearchRequest>(&polarys__v1__search_request__descriptor,
                                                  requests.at(index));
    }
    std::deque<Chapter> chapters;
    std::vector<std::string> requests;
    std::vector<std::string> keys;
    std::string cursor;
    uint64_t version = 0;
    uint64_t total = 0;
    struct polarys_client_query_options query_options = {};
    struct polarys_client_search_options search_options = {};
};

using Keys = std::vector<std::string>;

TEST_F(ClientQuery, SendsWhatItIsAskedWith)
{
    const char *fields[] = {"a", "`b-c`"};
    chapters = {{{{{"k"}, "", end_of_results}}}};
    query_options.database = "shop";
    query_options.order_by = "n desc";
    query_options.fields = fields;
    query_options.field_count = 2;
    query_options.limit = 5;
    query_options.read.consistency = POLARYS_CLIENT_STABLE;
    ASSERT_TRUE(Run()) << err.message;
    auto request = Sent(0);
    EXPECT_EQ(Text(request->database), "shop");
    EXPECT_EQ(Text(request->filter), "n > 1");
    EXPECT_EQ(Text(request->order_by), "n desc");
    ASSERT_EQ(request->n_read_mask, 2u);
    EXPECT_EQ(Text(request->read_mask[1]), "`b-c`");
    EXPECT_EQ(request->limit, 5u);
    EXPECT_TRUE(request->consistency->stable);
    EXPECT_EQ(version, 77u);
}

TEST_F(ClientQuery, EndsWhereTheServerSaysSo)
{
    chapters = {{{{{"a"}, "1"}, {{"b"}, "2"}, {{}, "", end_of_results}}}};
    ASSERT_TRUE(Run());
    EXPECT_EQ(keys, (Keys{"a", "b"}));
    EXPECT_EQ(cursor, "");
    EXPECT_EQ(network.stream_count, 1);
}

TEST_F(ClientQuery, GivesNothingTwiceWhenTheConnectionBreaksBehindTheEnd)
{
    chapters = {{{{{"a", "b"}, "", end_of_results}}, POLARYS_CLIENT_UNAVAILABLE},
                {{{{"a", "b"}, "", end_of_results}}}};
    ASSERT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (Keys{"a", "b"}));
    EXPECT_EQ(cursor, "");
    EXPECT_EQ(network.stream_count, 1);
}

TEST_F(ClientQuery, EndsWithoutWaitingForTheStatus)
{
    chapters = {{{{{"a"}, "", end_of_results}}, POLARYS_CLIENT_OK, true}};
    ASSERT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (Keys{"a"}));
}

TEST_F(ClientQuery, GoesOnWithTheCursorOfWhatWasHandedOut)
{
    chapters = {{{{{"a", "b"}, "behind b"}}, POLARYS_CLIENT_UNAVAILABLE},
                {{{{"c"}, "behind c", time_reached}}},
                {{{{"d"}, "", end_of_results}}}};
    query_options.limit = 9;
    query_options.read.consistency = POLARYS_CLIENT_STABLE;
    ASSERT_TRUE(Run()) << err.message;
    EXPECT_EQ(keys, (Keys{"a", "b", "c", "d"}));
    EXPECT_EQ(Text(Sent(1)->cursor), "behind b");
    EXPECT_EQ(Sent(1)->limit, 7u);
    EXPECT_EQ(Sent(1)->consistency, nullptr);
    EXPECT_EQ(Text(Sent(2)->cursor), "behind c");
}

TEST_F(ClientQuery, BeginsAgainWhereNothingCame)
{
    chapters = {{{}, POLARYS_CLIENT_UNAVAILABLE}, {{{{"a"}, "", end_of_results}}}};
    query_options.cursor = "given";
    query_options.cursor_size = 5;
    ASSERT_TRUE(Run());
    EXPECT_EQ(Text(Sent(0)->cursor), "given");
    EXPECT_EQ(Text(Sent(1)->cursor), "given");
}

TEST_F(ClientQuery, DoesNotTakeAnEndWithoutReasonForTheEnd)
{
    chapters = {{{{{"a"}, "behind a"}}}, {{{{"b"}, "", end_of_results}}}};
    ASSERT_TRUE(Run());
    EXPECT_EQ(keys, (Keys{"a", "b"}));
}

TEST_F(ClientQuery, GivesTheCursorBehindItsLimit)
{
    chapters = {{{{{"a", "b"}, "behind b", limit_reached}}}};
    query_options.limit = 2;
    ASSERT_TRUE(Run());
    EXPECT_EQ(cursor, "behind b");
}

TEST_F(ClientQuery, GivesNoCursorInTheMiddleOfAMessage)
{
    struct polarys_client_query *query;
    struct polarys_client_document document;
    bool has_document;
    size_t size;
    chapters = {{{{{"a", "b"}, "behind b"}}, POLARYS_CLIENT_OK, true}};
    ASSERT_TRUE(polarys_client_query_open(client, &query_options, &query, &err));
    EXPECT_EQ(polarys_client_query_cursor(query, &size), nullptr);
    ASSERT_TRUE(polarys_client_query_next(query, &has_document, &document, &err));
    EXPECT_EQ(polarys_client_query_cursor(query, &size), nullptr);
    ASSERT_TRUE(polarys_client_query_next(query, &has_document, &document, &err));
    EXPECT_NE(polarys_client_query_cursor(query, &size), nullptr);
    EXPECT_EQ(size, 8u);
    polarys_client_query_close(query);
}

TEST_F(ClientQuery, GivesUpOnAServerThatOnlyBreaks)
{
    chapters = {{{}, POLARYS_CLIENT_UNAVAILABLE}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_EQ(network.stream_count, 3);
}

TEST_F(ClientQuery, ReportsOtherErrorsAtOnce)
{
    chapters = {{{}, POLARYS_CLIENT_INVALID_ARGUMENT}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_INVALID_ARGUMENT);
    EXPECT_EQ(network.stream_count, 1);
}

TEST_F(ClientQuery, EndsWhenNothingComes)
{
    chapters = {{{{{"a"}, "1"}}, POLARYS_CLIENT_OK, true}};
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_DEADLINE_EXCEEDED);
    EXPECT_EQ(keys, (Keys{"a"}));
}

TEST_F(ClientQuery, SaysThatNobodyAnswersRatherThanThatNothingCame)
{
    chapters = {{{}, POLARYS_CLIENT_OK, true}};
    network.is_connected = false;
    EXPECT_FALSE(Run());
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_STREQ(err.message, "nobody answers at 127.0.0.1:7480");
}

TEST_F(ClientQuery, RefusesMoreFieldsThanTheServerTakes)
{
    std::vector<const char *> fields(257, "a");
    query_options.fields = fields.data();
    query_options.field_count = fields.size();
    EXPECT_FALSE(Run());
    EXPECT_STREQ(err.reason, "BAD_ARGUMENT");
}

TEST_F(ClientQuery, CountsWithAFilter)
{
    Polarys__V1__CountResponse response = POLARYS__V1__COUNT_RESPONSE__INIT;
    uint64_t count = 0;
    response.count = 12;
    scripts["Count"] = {Answer(&response.base)};
    ASSERT_TRUE(polarys_client_query_count(client, &query_options, &count, &err));
    EXPECT_EQ(count, 12u);
    auto request =
        Request<Polarys__V1__CountRequest>("Count", &polarys__v1__count_request__descriptor);
    EXPECT_EQ(Text(request->filter), "n > 1");
}

TEST_F(ClientQuery, ExplainsAndKeepsThePlan)
{
    Polarys__V1__ExplainResponse response = POLARYS__V1__EXPLAIN_RESPONSE__INIT;
    Polarys__V1__PlanStep step = POLARYS__V1__PLAN_STEP__INIT;
    Polarys__V1__RejectedPlan rejected = POLARYS__V1__REJECTED_PLAN__INIT;
    Polarys__V1__PlanStep *steps[] = {&step};
    Polarys__V1__RejectedPlan *rejects[] = {&rejected};
    Google__Protobuf__Duration time = GOOGLE__PROTOBUF__DURATION__INIT;
    std::string operation = "index_scan";
    struct polarys_client_plan plan;
    time.nanos = 1500000;
    step.depth = 2;
    step.operation = Bytes(operation);
    step.actual_time = &time;
    rejected.index = Bytes(operation);
    response.was_run = 1;
    response.actual_rows = 4;
    response.n_steps = 1;
    response.steps = steps;
    response.n_rejected = 1;
    response.rejected = rejects;
    scripts["Explain"] = {Answer(&response.base)};
    ASSERT_TRUE(polarys_client_query_explain(client, &query_options, true, &plan, &err));
    ASSERT_EQ(plan.step_count, 1u);
    EXPECT_EQ(plan.steps[0].depth, 2u);
    EXPECT_STREQ(plan.steps[0].operation, "index_scan");
    EXPECT_STREQ(plan.steps[0].detail, "");
    EXPECT_EQ(plan.steps[0].actual_us, 1500u);
    EXPECT_EQ(plan.rejected_count, 1u);
    EXPECT_EQ(plan.rows, 4u);
    EXPECT_TRUE(
        Request<Polarys__V1__ExplainRequest>("Explain", &polarys__v1__explain_request__descriptor)
            ->run);
    polarys_client_plan_free(&plan);
    scripts["Explain"] = {Refusal(POLARYS_CLIENT_INVALID_ARGUMENT, "BAD_FILTER")};
    EXPECT_FALSE(polarys_client_query_explain(client, &query_options, false, &plan, &err));
    EXPECT_EQ(plan.steps, nullptr);
}

TEST_F(ClientQuery, SearchGivesHitsAndTheTotal)
{
    chapters = {{{{{"a", "b"}, "20"}, {{"c"}, ""}}}};
    search_options.field = "text";
    search_options.filter = "n = 1";
    search_options.with_highlights = true;
    ASSERT_TRUE(Search()) << err.message;
    EXPECT_EQ(keys, (Keys{"a", "b", "c"}));
    EXPECT_EQ(total, 20u);
    auto request = Searched(0);
    EXPECT_EQ(Text(request->field), "text");
    EXPECT_EQ(Text(request->text), "word");
    EXPECT_EQ(Text(request->filter), "n = 1");
    EXPECT_TRUE(request->with_highlights);
    EXPECT_EQ(request->limit, 100u);
}

TEST_F(ClientQuery, SearchGoesOnBehindWhatWasSeenAtTheSameVersion)
{
    chapters = {{{{{"a", "b"}, "20"}}, POLARYS_CLIENT_UNAVAILABLE}, {{{{"c"}, "20"}}}};
    search_options.offset = 10;
    search_options.limit = 5;
    ASSERT_TRUE(Search());
    EXPECT_EQ(keys, (Keys{"a", "b", "c"}));
    EXPECT_EQ(Searched(1)->offset, 12u);
    EXPECT_EQ(Searched(1)->limit, 3u);
    EXPECT_EQ(Searched(1)->consistency->snapshot, 77u);
}

TEST_F(ClientQuery, SearchStopsWhenItsCallerHasEnough)
{
    chapters = {{{{{"a", "b", "c"}, "20"}}, POLARYS_CLIENT_OK, true}};
    ASSERT_TRUE(Search(2));
    EXPECT_EQ(keys, (Keys{"a", "b"}));
}

TEST_F(ClientQuery, SearchGivesNoMoreThanItsLimit)
{
    chapters = {{{{{"a", "b", "c"}, "20"}}, POLARYS_CLIENT_OK, true}};
    search_options.limit = 2;
    ASSERT_TRUE(Search());
    EXPECT_EQ(keys, (Keys{"a", "b"}));
}

TEST_F(ClientQuery, SearchReportsErrors)
{
    chapters = {{{}, POLARYS_CLIENT_NOT_FOUND}};
    EXPECT_FALSE(Search());
    EXPECT_EQ(err.status, POLARYS_CLIENT_NOT_FOUND);
}

} // namespace
