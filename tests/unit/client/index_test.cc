/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/polarys_query.h"
#include "tests/unit/client/client_fixture.h"

namespace {

using State = Polarys__V1__IndexState;
const State building = POLARYS__V1__INDEX_STATE__INDEX_STATE_BUILDING;
const State ready = POLARYS__V1__INDEX_STATE__INDEX_STATE_READY;
const State failed = POLARYS__V1__INDEX_STATE__INDEX_STATE_FAILED;

/* An answer of ListIndexes with one index, or CreateIndex with it. */
FakeAnswer Index(bool is_list, State state, size_t field_count = 2)
{
    static std::string name = "by_a";
    static std::string failure = "two documents have 7";
    static std::string language = "";
    std::vector<std::string> fields(field_count, "`a-b`");
    std::vector<ProtobufCBinaryData> field_bytes;
    Polarys__V1__Index index = POLARYS__V1__INDEX__INIT;
    for (const std::string &field : fields) {
        field_bytes.push_back(Bytes(field));
    }
    index.index = Bytes(name);
    index.kind = POLARYS__V1__INDEX_KIND__INDEX_KIND_HASH;
    index.state = state;
    index.unique = 1;
    index.failure = Bytes(failure);
    index.language = Bytes(language);
    index.n_fields = field_bytes.size();
    index.fields = field_bytes.data();
    index.documents_indexed = 3;
    index.documents_estimated = 9;
    if (!is_list) {
        Polarys__V1__CreateIndexResponse response = POLARYS__V1__CREATE_INDEX_RESPONSE__INIT;
        response.version = 12;
        response.info = &index;
        return Answer(&response.base);
    }
    Polarys__V1__ListIndexesResponse response = POLARYS__V1__LIST_INDEXES_RESPONSE__INIT;
    Polarys__V1__Index *indexes[] = {&index};
    response.n_indexes = 1;
    response.indexes = indexes;
    return Answer(&response.base);
}

class ClientIndex : public ScriptedClient {
  protected:
    ClientIndex()
    {
        index_options.table = "t";
        index_options.fields = fields;
        index_options.field_count = 2;
    }
    bool Create()
    {
        return polarys_client_index_create(client, &index_options, name, &result, &err);
    }
    const char *fields[2] = {"a", "`b-c`"};
    struct polarys_client_index_options index_options = {};
    struct polarys_client_result result = {};
    char name[POLARYS_CLIENT_NAME_MAX + 1];
};

TEST_F(ClientIndex, CreateSendsItsOptionsAndGivesTheName)
{
    scripts["CreateIndex"] = {Index(false, building)};
    index_options.kind = POLARYS_CLIENT_INDEX_TEXT;
    index_options.language = "none";
    index_options.is_unique = true;
    ASSERT_TRUE(Create());
    EXPECT_STREQ(name, "by_a");
    EXPECT_EQ(result.version, 12u);
    auto request = Request<Polarys__V1__CreateIndexRequest>(
        "CreateIndex", &polarys__v1__create_index_request__descriptor);
    EXPECT_EQ(request->kind, POLARYS__V1__INDEX_KIND__INDEX_KIND_TEXT);
    EXPECT_EQ(Text(request->language), "none");
    EXPECT_TRUE(request->unique);
    EXPECT_FALSE(request->wait);
    ASSERT_EQ(request->n_fields, 2u);
    EXPECT_EQ(Text(request->fields[1]), "`b-c`");
    EXPECT_EQ(request->request_id.len, 16u);
}

TEST_F(ClientIndex, IsOrderedUnlessSaidOtherwise)
{
    scripts["CreateIndex"] = {Index(false, building)};
    ASSERT_TRUE(Create());
    auto request = Request<Polarys__V1__CreateIndexRequest>(
        "CreateIndex", &polarys__v1__create_index_request__descriptor);
    EXPECT_EQ(request->kind, POLARYS__V1__INDEX_KIND__INDEX_KIND_ORDERED);
}

TEST_F(ClientIndex, RefusesMoreFieldsThanAnIndexHas)
{
    const char *many[9] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    index_options.fields = many;
    index_options.field_count = 9;
    EXPECT_FALSE(Create());
    EXPECT_STREQ(err.reason, "BAD_ARGUMENT");
    EXPECT_TRUE(network.methods.empty());
}

TEST_F(ClientIndex, WaitsUntilItIsReady)
{
    scripts["CreateIndex"] = {Index(false, building)};
    scripts["ListIndexes"] = {Index(true, building), Index(true, building), Index(true, ready)};
    index_options.waits = true;
    ASSERT_TRUE(Create());
    EXPECT_EQ(network.sleeps_ms, (std::vector<uint32_t>{20, 40}));
}

TEST_F(ClientIndex, SaysWhyABuildFailed)
{
    scripts["ListIndexes"] = {Index(true, failed)};
    EXPECT_FALSE(polarys_client_index_wait(client, nullptr, "t", "by_a", 0, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_FAILED_PRECONDITION);
    EXPECT_STREQ(err.reason, "INDEX_FAILED");
    EXPECT_NE(strstr(err.message, "two documents have 7"), nullptr);
}

TEST_F(ClientIndex, StopsWaitingAndSaysHowFarItIs)
{
    scripts["ListIndexes"] = {Index(true, building)};
    EXPECT_FALSE(polarys_client_index_wait(client, nullptr, "t", "by_a", 2000, &err));
    EXPECT_STREQ(err.reason, "WAIT_TIMEOUT");
    EXPECT_NE(strstr(err.message, "3 of about 9"), nullptr);
    EXPECT_LE(network.now_ms, 3000u);
    EXPECT_GE(network.now_ms, 2500u);
}

TEST_F(ClientIndex, DoesNotWaitForWhatIsNotThere)
{
    scripts["ListIndexes"] = {Index(true, ready)};
    EXPECT_FALSE(polarys_client_index_wait(client, nullptr, "t", "other", 0, nullptr));
    EXPECT_FALSE(polarys_client_index_wait(client, nullptr, "t", "other", 0, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_NOT_FOUND);
    EXPECT_STREQ(err.reason, "INDEX_NOT_FOUND");
}

TEST_F(ClientIndex, ListsWhatTheServerSays)
{
    scripts["ListIndexes"] = {Index(true, (State)55, 100)};
    int count = 0;
    auto each = [](void *context, const struct polarys_client_index *info) {
        ++*(int *)context;
        EXPECT_STREQ(info->index, "by_a");
        EXPECT_EQ(info->kind, POLARYS_CLIENT_INDEX_HASH);
        EXPECT_EQ(info->state, POLARYS_CLIENT_INDEX_STATE_UNKNOWN);
        EXPECT_EQ(info->field_count, (size_t)POLARYS_CLIENT_INDEX_FIELDS_MAX);
        EXPECT_STREQ(info->fields[7], "`a-b`");
        EXPECT_STREQ(info->failure, "two documents have 7");
        return true;
    };
    ASSERT_TRUE(polarys_client_index_list(client, nullptr, "t", each, &count, &err));
    EXPECT_EQ(count, 1);
}

TEST_F(ClientIndex, ChecksAndCutsALongFault)
{
    Polarys__V1__CheckIndexResponse response = POLARYS__V1__CHECK_INDEX_RESPONSE__INIT;
    std::string fault(5000, 'x');
    struct polarys_client_index_report report;
    response.missing_count = 2;
    response.first_fault = Bytes(fault);
    scripts["CheckIndex"] = {Answer(&response.base)};
    ASSERT_TRUE(polarys_client_index_check(client, nullptr, "t", nullptr, &report, &err));
    EXPECT_EQ(report.missing_count, 2u);
    EXPECT_EQ(strlen(report.first_fault), sizeof(report.first_fault) - 1);
}

TEST_F(ClientIndex, DropsUnderARequestId)
{
    Polarys__V1__DropIndexResponse response = POLARYS__V1__DROP_INDEX_RESPONSE__INIT;
    response.version = 3;
    scripts["DropIndex"] = {Refusal(POLARYS_CLIENT_UNAVAILABLE), Answer(&response.base)};
    ASSERT_TRUE(polarys_client_index_drop(client, nullptr, "t", "by_a", &result, &err));
    EXPECT_EQ(result.version, 3u);
    EXPECT_EQ(network.requests[0], network.requests[1]);
    scripts["AnalyzeTable"] = {Refusal(POLARYS_CLIENT_NOT_FOUND, "TABLE_NOT_FOUND")};
    EXPECT_FALSE(polarys_client_table_analyze(client, nullptr, "t", &err));
}

} // namespace
