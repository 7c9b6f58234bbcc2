/* SPDX-License-Identifier: Apache-2.0 */
#include "client/error.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "tests/unit/client/messages.h"

namespace {

std::string Details(const std::string &reason, const std::string &value, int64_t seconds)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry *entries[12];
    std::string key = "limit";
    std::string domain = "polarysdb.io";
    info.reason = Bytes(reason);
    info.domain = Bytes(domain);
    entry.key = Bytes(key);
    entry.value = Bytes(value);
    for (auto &each : entries) {
        each = &entry;
    }
    info.n_metadata = 12;
    info.metadata = entries;
    std::string info_bytes = Pack(&info.base);

    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = seconds;
    delay.nanos = 5000000;
    retry.retry_delay = &delay;
    std::string retry_bytes = Pack(&retry.base);

    Google__Protobuf__Any first = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any second = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any third = GOOGLE__PROTOBUF__ANY__INIT;
    std::string info_type = "type.googleapis.com/google.rpc.ErrorInfo";
    std::string retry_type = "type.googleapis.com/google.rpc.RetryInfo";
    std::string other_type = "ErrorInfo";
    first.type_url = Bytes(info_type);
    first.value = Bytes(info_bytes);
    second.type_url = Bytes(retry_type);
    second.value = Bytes(retry_bytes);
    third.type_url = Bytes(other_type);
    Google__Protobuf__Any *details[] = {&third, &first, &second};
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.n_details = 3;
    status.details = details;
    return Pack(&status.base);
}

TEST(ClientError, ReadsReasonMetadataAndDelay)
{
    struct polarys_client_error err;
    client_error_set(&err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "disk %s", "low");
    std::string bytes = Details("DISK_LOW", "4096", 2);
    client_error_details_read(&err, bytes.data(), bytes.size());
    EXPECT_EQ(err.status, POLARYS_CLIENT_RESOURCE_EXHAUSTED);
    EXPECT_STREQ(err.message, "disk low");
    EXPECT_STREQ(err.reason, "DISK_LOW");
    EXPECT_EQ(err.retry_after_ms, 2005u);
    EXPECT_EQ(err.metadata_count, (uint32_t)POLARYS_CLIENT_METADATA_MAX);
    EXPECT_STREQ(polarys_client_error_metadata(&err, "limit"), "4096");
    EXPECT_EQ(polarys_client_error_metadata(&err, "offset"), nullptr);
}

TEST(ClientError, CutsWhatIsTooLong)
{
    struct polarys_client_error err;
    client_error_clear(&err);
    std::string bytes = Details(std::string(500, 'R'), std::string(5000, 'v'), 0);
    client_error_details_read(&err, bytes.data(), bytes.size());
    EXPECT_EQ(strlen(err.reason), (size_t)POLARYS_CLIENT_REASON_MAX - 1);
    EXPECT_EQ(strlen(err.metadata[0].value), sizeof(err.metadata[0].value) - 1);
    client_error_set(&err, POLARYS_CLIENT_INTERNAL, "%s", std::string(5000, 'm').c_str());
    EXPECT_EQ(strlen(err.message), (size_t)POLARYS_CLIENT_MESSAGE_MAX - 1);
}

TEST(ClientError, LeavesOutDelaysThatNobodyMeans)
{
    for (int64_t seconds : {INT64_C(-1), INT64_C(86400), INT64_MAX, INT64_MIN}) {
        struct polarys_client_error err;
        client_error_clear(&err);
        std::string bytes = Details("X", "", seconds);
        client_error_details_read(&err, bytes.data(), bytes.size());
        EXPECT_EQ(err.retry_after_ms, 0u) << seconds;
    }
}

TEST(ClientError, SurvivesAnyBytes)
{
    std::string good = Details("DISK_LOW", "4096", 2);
    std::mt19937 random(7);
    for (int i = 0; i < 2000; i++) {
        std::string bad = good.substr(0, random() % (good.size() + 1));
        for (int flips = 0; flips < 3 && !bad.empty(); flips++) {
            bad[random() % bad.size()] ^= (char)(1 << random() % 8);
        }
        struct polarys_client_error err;
        client_error_set(&err, POLARYS_CLIENT_ABORTED, "kept");
        client_error_details_read(&err, bad.data(), bad.size());
        EXPECT_EQ(err.status, POLARYS_CLIENT_ABORTED);
        EXPECT_STREQ(err.message, "kept");
        EXPECT_LT(strlen(err.reason), (size_t)POLARYS_CLIENT_REASON_MAX);
    }
}

TEST(ClientError, AcceptsNull)
{
    client_error_clear(nullptr);
    client_error_set(nullptr, POLARYS_CLIENT_INTERNAL, "x");
    client_error_reason_set(nullptr, "X");
    client_error_metadata_add(nullptr, "a", 1, "b", 1);
    client_error_details_read(nullptr, "a", 1);
    client_error_retry_set(nullptr, nullptr);
}

TEST(ClientError, NamesStatuses)
{
    EXPECT_STREQ(polarys_client_status_name(POLARYS_CLIENT_OK), "OK");
    EXPECT_STREQ(polarys_client_status_name(POLARYS_CLIENT_UNAUTHENTICATED), "UNAUTHENTICATED");
    EXPECT_STREQ(polarys_client_status_name((enum polarys_client_status)99), "UNKNOWN");
}

} // namespace
