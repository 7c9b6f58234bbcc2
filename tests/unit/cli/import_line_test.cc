/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/import_line.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace {

using testing::HasSubstr;

class ImportLine : public testing::Test {
  protected:
    ImportLine()
    {
        memset(&line, 0, sizeof(line));
        memset(&fault, 0, sizeof(fault));
        line.value_bytes_max = 1000;
        line.now_ms = 1767323045678u;
    }
    ~ImportLine() override
    {
        import_line_deinit(&line);
    }
    bool Read(const std::string &text)
    {
        kept = text;
        return import_line_read(&line, kept.data(), kept.size(), &fault);
    }
    std::string Key() const
    {
        return std::string((const char *)line.record.key, line.record.key_size);
    }
    std::string Value() const
    {
        return std::string((const char *)line.record.value, line.record.value_size);
    }
    struct import_line line;
    struct import_fault fault;
    std::string kept;
};

TEST_F(ImportLine, TakesWhatExportWrites)
{
    ASSERT_TRUE(Read("{\"key\":\"a\\u00e4\",\"value\":{\"n\": 1.00}}"));
    EXPECT_EQ(Key(), "a\xc3\xa4");
    EXPECT_EQ(Value(), "{\"n\": 1.00}");
    EXPECT_EQ(line.record.kind, POLARYS_CLIENT_JSON);
    ASSERT_TRUE(Read("{\"raw\":\"AAH\\/\",\"key_base64\":\"/wA=\"}"));
    EXPECT_EQ(Key(), std::string("\xff\0", 2));
    EXPECT_EQ(Value(), std::string("\0\x01\xff", 3));
    EXPECT_EQ(line.record.kind, POLARYS_CLIENT_RAW);
}

TEST_F(ImportLine, TakesWhatScanPrints)
{
    ASSERT_TRUE(Read(
        "{\"key\":\"a\",\"version\":7,\"commit_time\":\"2026-01-01T00:00:00.000Z\",\"value\":null}"));
    EXPECT_EQ(Value(), "null");
}

TEST_F(ImportLine, KeepsExpiryAndDeletesWhatHasExpired)
{
    ASSERT_TRUE(Read("{\"key\":\"a\",\"value\":1,\"expires_at\":\"2026-01-02T03:04:06.000Z\"}"));
    EXPECT_EQ(line.record.expires_at_ms, 1767323046000u);
    EXPECT_FALSE(line.is_delete);
    ASSERT_TRUE(Read("{\"key\":\"a\",\"value\":1,\"expires_at\":\"2026-01-02T03:04:05.000Z\"}"));
    EXPECT_TRUE(line.is_delete);
    ASSERT_TRUE(Read("{\"key\":\"a\",\"value\":1}"));
    EXPECT_FALSE(line.is_delete);
    EXPECT_EQ(line.record.expires_at_ms, 0u);
}

TEST_F(ImportLine, TakesTheKeyFromTheDocument)
{
    line.key_field = "Package";
    ASSERT_TRUE(Read(" {\"Package\":\"vim\",\"Size\":5} \r"));
    EXPECT_EQ(Key(), "vim");
    EXPECT_EQ(Value(), "{\"Package\":\"vim\",\"Size\":5}");
    ASSERT_TRUE(Read("{\"Package\":12345678901234567890}"));
    EXPECT_EQ(Key(), "12345678901234567890");
}

TEST_F(ImportLine, SaysWhatIsWrong)
{
    const std::pair<const char *, const char *> bad[] = {
        {"{\"key\":\"a\"}", "BAD_ARGUMENT"},
        {"{\"value\":1}", "BAD_KEY"},
        {"{\"key\":\"\",\"value\":1}", "BAD_KEY"},
        {"{\"key\":[1],\"value\":1}", "BAD_KEY"},
        {"{\"key_base64\":\"!\",\"value\":1}", "BAD_KEY"},
        {"{\"key\":\"a\",\"raw\":1}", "BAD_ARGUMENT"},
        {"{\"key\":\"a\",\"raw\":\"A\"}", "BAD_ARGUMENT"},
        {"{\"key\":\"a\",\"value\":1,\"expires_at\":5}", "BAD_ARGUMENT"},
        {"{\"key\":\"a\",\"value\":1,\"expires_at\":\"soon\"}", "BAD_ARGUMENT"},
        {"{\"key\":\"a\",\"value\":1,\"Name\":1}", "BAD_ARGUMENT"},
        {"[1]", "BAD_ARGUMENT"},
        {"{\"key\":\"a\",\"value\":1", "BAD_JSON"},
        {"{\"key\":\"a\",\"value\":1} x", "BAD_JSON"},
        {"{\"key\":\"a\",\"key\":\"b\",\"value\":1}", "BAD_JSON"},
        {"{\"key\":\"\xff\",\"value\":1}", "BAD_JSON"},
        {"", "BAD_JSON"},
    };
    for (auto &each : bad) {
        EXPECT_FALSE(Read(each.first)) << each.first;
        EXPECT_STREQ(fault.reason, each.second) << each.first;
        EXPECT_NE(fault.message[0], '\0');
    }
}

TEST_F(ImportLine, NamesTheOffsetOfBadJson)
{
    ASSERT_FALSE(Read("{\"key\":\"a\",\"value\":tru}"));
    EXPECT_TRUE(fault.has_offset);
    EXPECT_GE(fault.offset, 19u);
    EXPECT_LE(fault.offset, 23u);
}

TEST_F(ImportLine, KeepsToTheLimits)
{
    EXPECT_TRUE(Read("{\"key\":\"" + std::string(4096, 'k') + "\",\"value\":1}"));
    EXPECT_EQ(line.record.key_size, 4096u);
    EXPECT_FALSE(Read("{\"key\":\"" + std::string(4097, 'k') + "\",\"value\":1}"));
    EXPECT_STREQ(fault.reason, "BAD_KEY");
    EXPECT_TRUE(Read("{\"key\":\"a\",\"value\":\"" + std::string(998, 'v') + "\"}"));
    EXPECT_FALSE(Read("{\"key\":\"a\",\"value\":\"" + std::string(999, 'v') + "\"}"));
    EXPECT_STREQ(fault.reason, "TOO_LARGE");
    EXPECT_FALSE(Read("{\"key_base64\":\"" + std::string(6000, 'A') + "\",\"value\":1}"));
    EXPECT_STREQ(fault.reason, "BAD_KEY");
}

TEST_F(ImportLine, NamesAMissingKeyField)
{
    line.key_field = "id";
    EXPECT_FALSE(Read("{\"name\":\"x\"}"));
    EXPECT_STREQ(fault.reason, "BAD_KEY");
    EXPECT_THAT(fault.message, HasSubstr("\"id\""));
    EXPECT_FALSE(Read("{\"id\":\"\"}"));
    EXPECT_STREQ(fault.reason, "BAD_KEY");
}

} // namespace
