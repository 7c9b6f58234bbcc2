// SPDX-License-Identifier: Apache-2.0
// Parts of the RPCs that need no server: tokens, ranges, descriptors, sessions.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "tests/unit/service/api_messages.h"

#include "service/rpc/bulk_session.h"
#include "service/rpc/consistency.h"
#include "service/rpc/operation.h"
#include "service/rpc/page_token.h"
#include "service/rpc/reflection.h"
#include "service/rpc/response.h"
#include "tests/unit/service/service_fixture.h"

namespace {

using service_test::ServiceTest;

TEST(ConsistencyToken, ComesBackAsItWas)
{
    consistency_token token = {};
    memset(token.history_id, 0xa5, sizeof(token.history_id));
    token.version = UINT64_C(0x0123456789abcdef);
    uint8_t bytes[SERVER_TOKEN_SIZE];
    consistency_token_encode(&token, bytes);
    consistency_token back = {};
    ASSERT_TRUE(consistency_token_decode(slice_make(bytes, sizeof(bytes)), &back));
    EXPECT_EQ(back.version, token.version);
    EXPECT_EQ(memcmp(back.history_id, token.history_id, sizeof(back.history_id)), 0);
}

TEST(ConsistencyToken, IsRefusedWhenAnyByteIsChanged)
{
    consistency_token token = {};
    token.version = 77;
    uint8_t bytes[SERVER_TOKEN_SIZE];
    consistency_token_encode(&token, bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] ^= 0x11;
        EXPECT_FALSE(consistency_token_decode(slice_make(bytes, sizeof(bytes)), &token)) << i;
        bytes[i] ^= 0x11;
    }
    EXPECT_FALSE(consistency_token_decode(slice_make(bytes, sizeof(bytes) - 1), &token));
    EXPECT_FALSE(consistency_token_decode(slice_make(nullptr, 0), &token));
}

ProtobufCBinaryData Bytes(const std::string &text)
{
    ProtobufCBinaryData data = {text.size(), (uint8_t *)(uintptr_t)text.data()};
    return data;
}

struct RangeCase {
    std::string start, end, prefix;
    std::string want_start, want_end;
    bool is_empty;
};

TEST(KeyRange, CombinesItsBounds)
{
    const RangeCase cases[] = {
        {"", "", "", "", "", false},
        {"b", "d", "", "b", "d", false},
        {"", "", "ab", "ab", "ac", false},
        {"aa", "", "ab", "ab", "ac", false},
        {"abc", "", "ab", "abc", "ac", false},
        {"", "abc", "ab", "ab", "abc", false},
        {"", "b", "ab", "ab", "ac", false},
        {"", "", "a\xff", "a\xff", "b", false},
        {"", "", "\xff\xff", "\xff\xff", "", false},
        {"d", "b", "", "d", "b", true},
        {"b", "b", "", "b", "b", true},
        {"b", "", "a", "b", "b", true},
        {"", "a", "b", "b", "a", true},
    };
    for (const RangeCase &one : cases) {
        Polarys__V1__KeyRange from = POLARYS__V1__KEY_RANGE__INIT;
        from.start_key = Bytes(one.start);
        from.end_key = Bytes(one.end);
        from.prefix = Bytes(one.prefix);
        operation_range range;
        polarys_error err = {};
        ASSERT_EQ(operation_range_take(&from, &range, &err), POLARYS_OK);
        EXPECT_EQ(std::string((const char *)range.start.data, range.start.size), one.want_start);
        EXPECT_EQ(std::string((const char *)range.end.data, range.end.size), one.want_end);
        EXPECT_EQ(range.is_empty, one.is_empty) << one.start << " " << one.end << " " << one.prefix;
    }
}

TEST(KeyRange, RefusesBoundsThatAreTooLong)
{
    std::string key(POLARYS_KEY_BYTES_MAX + 1, 'k');
    operation_range range;
    polarys_error err = {};
    Polarys__V1__KeyRange from = POLARYS__V1__KEY_RANGE__INIT;
    from.end_key = Bytes(key);
    EXPECT_EQ(operation_range_take(&from, &range, &err),
              POLARYS_OK); // the successor of a longest key
    from.start_key = Bytes(key);
    EXPECT_EQ(operation_range_take(&from, &range, &err), POLARYS_BAD_KEY);
    from.start_key = Bytes("");
    from.prefix = Bytes(key);
    EXPECT_EQ(operation_range_take(&from, &range, &err), POLARYS_BAD_KEY);
}

TEST(ResponseTime, IsTakenToTheMillisecond)
{
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    polarys_error err = {};
    uint64_t ms = 1;
    EXPECT_EQ(response_time_take(nullptr, "f", &ms, &err), POLARYS_OK);
    EXPECT_EQ(ms, 0u);
    time.seconds = 12;
    time.nanos = 345999999;
    EXPECT_EQ(response_time_take(&time, "f", &ms, &err), POLARYS_OK);
    EXPECT_EQ(ms, 12345u);
    time.nanos = -1;
    EXPECT_EQ(response_time_take(&time, "f", &ms, &err), POLARYS_BAD_ARGUMENT);
    EXPECT_STREQ(polarys_error_detail_find(&err, "field"), "f");
    time.nanos = 1000000000;
    EXPECT_EQ(response_time_take(&time, "f", &ms, &err), POLARYS_BAD_ARGUMENT);
    time.nanos = 0;
    time.seconds = INT64_C(253402300800);
    EXPECT_EQ(response_time_take(&time, "f", &ms, &err), POLARYS_BAD_ARGUMENT);
    time.seconds = 0;
    EXPECT_EQ(response_time_take(&time, "f", &ms, &err),
              POLARYS_BAD_ARGUMENT); // would mean "never"
    time.seconds = -5;
    EXPECT_EQ(response_time_take(&time, "f", &ms, &err), POLARYS_BAD_ARGUMENT);
}

class IndexTest : public ::testing::Test {
  protected:
    IndexTest()
    {
        EXPECT_EQ(reflection_index_create(&index_, &err_), POLARYS_OK);
    }
    ~IndexTest() override
    {
        reflection_index_destroy(index_);
    }
    int Symbol(const char *name)
    {
        return reflection_symbol_find(index_, slice_from_text(name));
    }
    int File(const char *name)
    {
        return reflection_file_find(index_, slice_from_text(name));
    }
    reflection_index *index_ = nullptr;
    polarys_error err_ = {};
};

TEST_F(IndexTest, FindsSymbolsOfEveryKindInTheirFile)
{
    const int kv = File("polarys/v1/kv.proto");
    ASSERT_GE(kv, 0);
    EXPECT_EQ(Symbol("polarys.v1.KvService"), kv);
    EXPECT_EQ(Symbol("polarys.v1.KvService.Get"), kv);
    EXPECT_EQ(Symbol(".polarys.v1.GetRequest"), kv);
    EXPECT_EQ(Symbol("polarys.v1.GetRequest.key"), kv);
    EXPECT_EQ(Symbol("polarys.v1.ScanEndReason"), kv);
    EXPECT_EQ(Symbol("polarys.v1.SCAN_END_REASON_LIMIT_REACHED"), kv);
    EXPECT_EQ(Symbol("grpc.health.v1.HealthCheckResponse.ServingStatus"),
              File("grpc/health/v1/health.proto"));
}

TEST_F(IndexTest, FindsNothingElse)
{
    for (const char *name :
         {"", ".", "polarys", "polarys.v1", "polarys.v1.", "polarys.v1.Kv", "polarys.v1.KvService.",
          "polarys.v1.KvService.Get.x", "polarys.v1.GetRequest.nokey", "KvService"}) {
        EXPECT_EQ(Symbol(name), -1) << name;
    }
    EXPECT_EQ(File("polarys/v1/none.proto"), -1);
    EXPECT_FALSE(reflection_message_exists(index_, slice_from_text("polarys.v1.KvService")));
    EXPECT_TRUE(reflection_message_exists(index_, slice_from_text("polarys.v1.GetRequest")));
}

TEST_F(IndexTest, GivesAFileWithItsImportsOnce)
{
    polarys_slice files[REFLECTION_FILES_MAX];
    size_t count = reflection_files_get(index_, File("polarys/v1/kv.proto"), files);
    EXPECT_EQ(count, 4u); // itself, common, duration, timestamp
    std::set<const uint8_t *> distinct;
    for (size_t i = 0; i < count; i++) {
        distinct.insert(files[i].data);
    }
    EXPECT_EQ(distinct.size(), count);
}

class SessionTest : public ServiceTest {};

TEST_F(SessionTest, HasOneOwnerAtATime)
{
    Start();
    bulk_sessions *sessions = server_->bulk_sessions;
    polarys_error err = {};
    bulk_session *first = nullptr;
    bulk_session *second = nullptr;
    ASSERT_EQ(bulk_session_begin(sessions, &first, &err), POLARYS_OK);
    uint8_t id[BULK_SESSION_ID_SIZE];
    memcpy(id, bulk_session_id(first), sizeof(id));
    EXPECT_FALSE(bulk_session_is_wanted(first));
    ASSERT_EQ(bulk_session_claim(sessions, id, &second, &err), POLARYS_OK);
    EXPECT_EQ(second, nullptr);
    EXPECT_TRUE(bulk_session_is_wanted(first));
    bulk_session_release(sessions, first);
    ASSERT_EQ(bulk_session_claim(sessions, id, &second, &err), POLARYS_OK);
    ASSERT_NE(second, nullptr);
    EXPECT_FALSE(bulk_session_is_wanted(second));
    bulk_session_release(sessions, second);
    bulk_session_release(sessions, nullptr);
}

TEST_F(SessionTest, RecordTellsWhatWasCommitted)
{
    Start();
    MakeTable("t");
    polarys_error err = {};
    const uint8_t id[BULK_SESSION_ID_SIZE] = {1, 2, 3};
    bulk_record record;
    ASSERT_EQ(bulk_record_prepare(db_, "", &err), POLARYS_OK) << err.message;
    ASSERT_EQ(bulk_record_prepare(db_, "", &err), POLARYS_OK) << err.message;
    EXPECT_EQ(bulk_record_read(db_, "", "t", id, &record, &err), POLARYS_KEY_NOT_FOUND);
    ASSERT_EQ(bulk_record_begin(db_, "", "t", id, 60000, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(bulk_record_read(db_, "", "t", id, &record, &err), POLARYS_OK) << err.message;
    EXPECT_EQ(record.number, 0u);
    EXPECT_EQ(record.version, 0u);
    polarys_batch *batch = nullptr;
    polarys_write_result result = {};
    ASSERT_EQ(polarys_batch_create(db_, "", &batch, &err), POLARYS_OK);
    ASSERT_EQ(bulk_record_put(batch, "t", id, UINT64_MAX, 60000, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(polarys_batch_commit(batch, nullptr, &result, &err), POLARYS_OK) << err.message;
    polarys_batch_destroy(batch);
    ASSERT_EQ(bulk_record_read(db_, "", "t", id, &record, &err), POLARYS_OK) << err.message;
    EXPECT_EQ(record.number, UINT64_MAX);
    EXPECT_EQ(record.version, result.version);
    EXPECT_EQ(bulk_record_read(db_, "", "other", id, &record, &err), POLARYS_BAD_ARGUMENT);
}

class PageTokenTest : public ServiceTest {
  protected:
    call *NewCall()
    {
        size_t count;
        call *made = call_create(&server_->workers[0]);
        made->method = &method_table(&count)[0];
        return made;
    }
};

TEST_F(PageTokenTest, IsBoundToItsRequestAndRefusesChanges)
{
    Start();
    call *one = NewCall();
    polarys_error err = {};
    page_token token = {};
    token.version = 99;
    token.request_digest = page_token_digest(one, nullptr, false, false);
    token.last_key = slice_from_text("last");
    uint8_t bytes[PAGE_TOKEN_MAX];
    size_t size = page_token_encode(one, &token, bytes);
    page_token back = {};
    back.request_digest = token.request_digest;
    ASSERT_EQ(page_token_decode(one, slice_make(bytes, size), "f", &back, &err), POLARYS_OK);
    EXPECT_EQ(back.version, 99u);
    EXPECT_TRUE(slice_equal(back.last_key, token.last_key));
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 1;
        EXPECT_NE(page_token_decode(one, slice_make(bytes, size), "f", &back, &err), POLARYS_OK)
            << i;
        bytes[i] ^= 1;
    }
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT_EQ(page_token_decode(one, slice_make(bytes, cut), "f", &back, &err),
                  POLARYS_BAD_PAGE_TOKEN);
    }
    back.request_digest = page_token_digest(one, nullptr, true, false);
    EXPECT_EQ(page_token_decode(one, slice_make(bytes, size), "f", &back, &err),
              POLARYS_BAD_PAGE_TOKEN);
    call_destroy(one);
}

TEST_F(PageTokenTest, DigestTellsNeighbouringFieldsApart)
{
    Start();
    call *one = NewCall();
    std::set<uint64_t> digests;
    const char *parts[][3] = {
        {"ab", "c", ""}, {"a", "bc", ""}, {"", "abc", ""}, {"", "", "abc"}, {"abc", "", ""}};
    for (auto &part : parts) {
        std::string start = part[0], end = part[1], prefix = part[2];
        Polarys__V1__KeyRange range = POLARYS__V1__KEY_RANGE__INIT;
        range.start_key = Bytes(start);
        range.end_key = Bytes(end);
        range.prefix = Bytes(prefix);
        digests.insert(page_token_digest(one, &range, false, false));
    }
    EXPECT_EQ(digests.size(), 5u);
    Polarys__V1__KeyRange none = POLARYS__V1__KEY_RANGE__INIT;
    EXPECT_EQ(page_token_digest(one, &none, false, false),
              page_token_digest(one, nullptr, false, false));
    call_destroy(one);
}

TEST(PageTokenText, ComesBackForEveryLength)
{
    std::string bytes;
    for (int size = 0; size < 40; size++) {
        char text[PAGE_TOKEN_TEXT_MAX];
        uint8_t back[PAGE_TOKEN_MAX];
        size_t back_size;
        size_t text_size = page_token_text_encode(slice_make(bytes.data(), bytes.size()), text);
        ASSERT_TRUE(page_token_text_decode(slice_make(text, text_size), back, &back_size));
        EXPECT_EQ(std::string((char *)back, back_size), bytes);
        bytes.push_back((char)(size * 37 + 200));
    }
    uint8_t back[PAGE_TOKEN_MAX];
    size_t size;
    EXPECT_FALSE(page_token_text_decode(slice_from_text("ab+c"), back, &size));
    EXPECT_FALSE(page_token_text_decode(slice_make("a\0b", 3), back, &size));
    std::string longest(PAGE_TOKEN_TEXT_MAX + 4, 'A');
    EXPECT_FALSE(page_token_text_decode(slice_make(longest.data(), longest.size()), back, &size));
}

} // namespace
