// SPDX-License-Identifier: Apache-2.0
// Every code of the engine has a status and travels with its reason, within the bytes that a status may take.
#include "service/errors/error_table.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "service/errors/error_details.h"

namespace {

std::string Text(const ProtobufCBinaryData &data)
{
    return std::string(reinterpret_cast<const char *>(data.data), data.len);
}

// A status decoded again, with its details by type.
class Decoded {
  public:
    Decoded(const polarys_error &err, const error_subject &subject)
    {
        uint8_t bytes[ERROR_DETAILS_BYTES_MAX];
        size_ = error_details_encode(&err, &subject, bytes);
        status_ = google__rpc__status__unpack(nullptr, size_, bytes);
    }
    ~Decoded()
    {
        if (status_ != nullptr) {
            google__rpc__status__free_unpacked(status_, nullptr);
        }
    }
    Decoded(const Decoded &) = delete;

    const ProtobufCBinaryData *Find(const std::string &type) const
    {
        for (size_t i = 0; i < status_->n_details; i++) {
            if (Text(status_->details[i]->type_url) == "type.googleapis.com/google.rpc." + type) {
                return &status_->details[i]->value;
            }
        }
        return nullptr;
    }

    Google__Rpc__Status *status_;
    size_t size_;
};

polarys_error Longest(polarys_code code)
{
    polarys_error err = {};
    std::string message(2000, 'm');
    polarys_fail(&err, code, "%s", message.c_str());
    for (int i = 0; i < POLARYS_ERROR_DETAILS_MAX; i++) {
        std::string name = std::to_string(i) + std::string(POLARYS_ERROR_DETAIL_NAME_MAX - 2, 'n');
        std::string value(500, 'v');
        polarys_error_detail_set(&err, name.c_str(), "%s", value.c_str());
    }
    err.retry_after_ms = UINT32_MAX;
    return err;
}

TEST(ErrorTable, GivesEveryCodeAStatusOtherThanOk)
{
    for (int code = POLARYS_OK + 1; code < POLARYS_CODE_COUNT; code++) {
        const error_rule *rule = error_rule_get(static_cast<polarys_code>(code));
        EXPECT_NE(rule->status, GRPC_STATUS_OK)
            << polarys_code_name(static_cast<polarys_code>(code));
        EXPECT_EQ((rule->details & ERROR_DETAIL_RESOURCE) != 0, rule->resource_type != nullptr);
        EXPECT_EQ((rule->details & ERROR_DETAIL_RETRY) != 0, rule->retry_after_ms != 0);
    }
    EXPECT_EQ(error_rule_get(POLARYS_OK)->status, GRPC_STATUS_OK);
    EXPECT_EQ(error_rule_get(static_cast<polarys_code>(9999))->status, GRPC_STATUS_INTERNAL);
}

TEST(ErrorTable, NeverSaysUnavailableWhereTheOutcomeOfAWriteIsKnown)
{
    // Clients retry UNAVAILABLE by themselves.
    EXPECT_EQ(error_rule_get(POLARYS_QUORUM_TIMEOUT)->status, GRPC_STATUS_DEADLINE_EXCEEDED);
    EXPECT_EQ(error_rule_get(POLARYS_WAIT_TIMEOUT)->status, GRPC_STATUS_DEADLINE_EXCEEDED);
    EXPECT_EQ(error_rule_get(POLARYS_IO)->status, GRPC_STATUS_INTERNAL);
}

TEST(ErrorTable, IsTheDocumentedOne)
{
    const char *source = getenv("POLARYS_SOURCE");
    std::ifstream file(std::string(source == nullptr ? "." : source) + "/docs/errors.md");
    std::stringstream text;
    text << file.rdbuf();
    for (int code = POLARYS_OK + 1; code < POLARYS_CODE_COUNT; code++) {
        if (code == POLARYS_WOULD_BLOCK) {
            continue; // never sent
        }
        polarys_code each = static_cast<polarys_code>(code);
        std::string row = std::string("| ") + polarys_code_name(each) + " | " +
                          error_status_name(error_rule_get(each)->status) + " |";
        EXPECT_NE(text.str().find(row), std::string::npos) << row;
    }
}

TEST(ErrorDetails, CarryReasonAndDomainForEveryCode)
{
    for (int code = POLARYS_OK + 1; code < POLARYS_CODE_COUNT; code++) {
        polarys_error err = {};
        polarys_fail(&err, static_cast<polarys_code>(code), "what went wrong");
        polarys_error_detail_set(&err, "limit", "%d", 7);
        error_subject subject = {"shop", "orders", slice_from_text("k1"), nullptr};
        Decoded decoded(err, subject);
        ASSERT_NE(decoded.status_, nullptr);
        EXPECT_EQ(decoded.status_->code, error_rule_get(err.code)->status);
        EXPECT_EQ(Text(decoded.status_->message), "what went wrong");
        const ProtobufCBinaryData *bytes = decoded.Find("ErrorInfo");
        ASSERT_NE(bytes, nullptr);
        Google__Rpc__ErrorInfo *info =
            google__rpc__error_info__unpack(nullptr, bytes->len, bytes->data);
        ASSERT_NE(info, nullptr);
        EXPECT_EQ(Text(info->reason), polarys_code_name(err.code));
        EXPECT_EQ(Text(info->domain), "polarysdb.io");
        ASSERT_EQ(info->n_metadata, 1u);
        EXPECT_EQ(Text(info->metadata[0]->key), "limit");
        EXPECT_EQ(Text(info->metadata[0]->value), "7");
        google__rpc__error_info__free_unpacked(info, nullptr);
        EXPECT_EQ(decoded.Find("RetryInfo") != nullptr,
                  (error_rule_get(err.code)->details & ERROR_DETAIL_RETRY) != 0);
    }
}

TEST(ErrorDetails, StayBelowTheirLimitForTheLongestErrors)
{
    std::string name(POLARYS_NAME_BYTES_MAX, 'n');
    std::string key(POLARYS_KEY_BYTES_MAX, '\xff');
    error_subject subject = {name.c_str(), name.c_str(), slice_make(key.data(), key.size()),
                             name.c_str()};
    for (int code = POLARYS_OK + 1; code < POLARYS_CODE_COUNT; code++) {
        Decoded decoded(Longest(static_cast<polarys_code>(code)), subject);
        ASSERT_NE(decoded.status_, nullptr);
        EXPECT_LT(decoded.size_, static_cast<size_t>(ERROR_DETAILS_BYTES_MAX));
    }
}

TEST(ErrorDetails, NameTheFieldThatIsWrong)
{
    polarys_error err = {};
    polarys_fail(&err, POLARYS_BAD_ARGUMENT, "wrong");
    polarys_error_detail_set(&err, "field", "operations[3].put");
    error_subject subject = {nullptr, nullptr, slice_make(nullptr, 0), nullptr};
    Decoded decoded(err, subject);
    const ProtobufCBinaryData *bytes = decoded.Find("BadRequest");
    ASSERT_NE(bytes, nullptr);
    Google__Rpc__BadRequest *request =
        google__rpc__bad_request__unpack(nullptr, bytes->len, bytes->data);
    ASSERT_NE(request, nullptr);
    ASSERT_EQ(request->n_field_violations, 1u);
    EXPECT_EQ(Text(request->field_violations[0]->field), "operations[3].put");
    google__rpc__bad_request__free_unpacked(request, nullptr);
}

TEST(ErrorDetails, NameTheResourceThatIsMissing)
{
    polarys_error err = {};
    polarys_fail(&err, POLARYS_KEY_NOT_FOUND, "gone");
    error_subject subject = {"", "orders", slice_make("a\x01", 2), nullptr};
    Decoded decoded(err, subject);
    const ProtobufCBinaryData *bytes = decoded.Find("ResourceInfo");
    ASSERT_NE(bytes, nullptr);
    Google__Rpc__ResourceInfo *info =
        google__rpc__resource_info__unpack(nullptr, bytes->len, bytes->data);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(Text(info->resource_type), "document");
    EXPECT_EQ(Text(info->resource_name), "default/orders/a\\x01");
    google__rpc__resource_info__free_unpacked(info, nullptr);
}

// The name in ResourceInfo.
std::string ResourceOf(const polarys_error &err, const error_subject &subject)
{
    Decoded decoded(err, subject);
    const ProtobufCBinaryData *bytes = decoded.Find("ResourceInfo");
    if (bytes == nullptr) {
        return "";
    }
    Google__Rpc__ResourceInfo *info =
        google__rpc__resource_info__unpack(nullptr, bytes->len, bytes->data);
    std::string name = Text(info->resource_type) + " " + Text(info->resource_name);
    google__rpc__resource_info__free_unpacked(info, nullptr);
    return name;
}

TEST(ErrorDetails, NameIndexesAndTransactions)
{
    error_subject subject = {"shop", "orders", slice_from_text("mine"), "by_price"};
    polarys_error err = {};
    polarys_fail(&err, POLARYS_INDEX_NOT_FOUND, "gone");
    EXPECT_EQ(ResourceOf(err, subject), "index shop/orders/by_price");
    polarys_fail(&err, POLARYS_INDEX_BUILDING, "soon");
    polarys_error_detail_set(&err, "index", "by_date");
    EXPECT_EQ(ResourceOf(err, subject), "index shop/orders/by_date");
    polarys_fail(&err, POLARYS_TXN_NOT_FOUND, "over");
    subject.part = "00ff";
    EXPECT_EQ(ResourceOf(err, subject), "transaction shop/00ff");
}

TEST(ErrorDetails, NameTheOtherDocumentOfAUniqueViolation)
{
    error_subject subject = {"shop", "orders", slice_from_text("mine"), nullptr};
    polarys_error err = {};
    polarys_fail(&err, POLARYS_UNIQUE_VIOLATION, "twice");
    EXPECT_EQ(ResourceOf(err, subject), "document shop/orders/mine");
    polarys_error_detail_set(&err, "key", "theirs");
    EXPECT_EQ(ResourceOf(err, subject), "document shop/orders/theirs");
}

TEST(ErrorKey, IsShortenedAndPrintable)
{
    char text[ERROR_SUBJECT_BYTES_MAX];
    std::string key(100, 'k');
    error_key_show(slice_make(key.data(), key.size()), text);
    EXPECT_EQ(std::string(text), std::string(ERROR_SUBJECT_SHOWN, 'k') + "...");
    error_key_show(slice_make("\\\n", 2), text);
    EXPECT_STREQ(text, "\\x5c\\x0a");
    error_key_show(slice_make(nullptr, 0), text);
    EXPECT_STREQ(text, "");
}

TEST(ErrorStatusName, KnowsTheSeventeenCodes)
{
    EXPECT_STREQ(error_status_name(GRPC_STATUS_OK), "OK");
    EXPECT_STREQ(error_status_name(GRPC_STATUS_UNAUTHENTICATED), "UNAUTHENTICATED");
    EXPECT_STREQ(error_status_name(GRPC_STATUS_DATA_LOSS), "DATA_LOSS");
    EXPECT_STREQ(error_status_name(static_cast<grpc_status_code>(99)), "UNKNOWN");
}

} // namespace
