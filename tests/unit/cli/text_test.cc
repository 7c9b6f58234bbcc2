/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/cli/cli_run.h"

namespace {

std::string JsonString(const std::string &bytes)
{
    return Written([&](FILE *to) { text_json_string_write(to, bytes.data(), bytes.size()); });
}

std::string JsonLine(const std::string &json)
{
    return Written([&](FILE *to) { text_json_line_write(to, json.data(), json.size()); });
}

std::string Printable(const std::string &bytes)
{
    return Written([&](FILE *to) { text_printable_write(to, bytes.data(), bytes.size()); });
}

std::string Base64(const std::string &bytes)
{
    return Written([&](FILE *to) { text_base64_write(to, bytes.data(), bytes.size()); });
}

bool Base64Decode(const std::string &text, std::string *bytes)
{
    std::vector<uint8_t> room(text_base64_room(text.size()));
    size_t size = 0;
    bool is_ok = text_base64_decode(text.data(), text.size(), room.data(), &size);
    bytes->assign((const char *)room.data(), size);
    return is_ok;
}

TEST(Text, Utf8IsShortestFormWithoutSurrogates)
{
    for (std::string good :
         {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xef\xbf\xbf"}) {
        EXPECT_TRUE(text_is_utf8(good.data(), good.size())) << good;
    }
    EXPECT_TRUE(text_is_utf8("a\0b", 3));
    for (std::string bad : {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82"}) {
        EXPECT_FALSE(text_is_utf8(bad.data(), bad.size()));
    }
}

TEST(Text, JsonStringsEscapeWhatMustBe)
{
    EXPECT_EQ(JsonString("a\"b\\c\n\r\t\x01\x7f"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\"");
    EXPECT_EQ(JsonString(std::string("\0", 1)), "\"\\u0000\"");
    EXPECT_EQ(JsonString("\xc3\xa4"), "\"\xc3\xa4\"");
    EXPECT_EQ(JsonString("\xff"), "\"\xef\xbf\xbd\"");
    EXPECT_EQ(JsonString(""), "\"\"");
}

TEST(Text, JsonStaysWordForWordUnlessItHasLineBreaks)
{
    EXPECT_EQ(JsonLine("{\"a\": 1.0,  \"b\":2}"), "{\"a\": 1.0,  \"b\":2}");
    EXPECT_EQ(JsonLine("{\n \"a b\": [1,\r\n\t2],\n \"c\\\" \": \"x  y\\\\\" }\n"),
              "{\"a b\":[1,2],\"c\\\" \":\"x  y\\\\\"}");
    EXPECT_EQ(JsonLine(""), "");
}

TEST(Text, PrintableObeysNoTerminal)
{
    EXPECT_EQ(Printable("a\x1b[31mb"), "a\\x1b[31mb");
    EXPECT_EQ(Printable("a\nb\tc\x7f"), "a\\nb\\tc\\x7f");
    EXPECT_EQ(Printable("\xc2\x9b"
                        "31m"),
              "\\xc2\\x9b31m");
    EXPECT_EQ(Printable("\xff\xc3\xa4"), "\\xff\xc3\xa4");
}

TEST(Text, Base64GoesBothWays)
{
    const std::pair<const char *, const char *> pairs[] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    std::string bytes;
    for (auto &pair : pairs) {
        EXPECT_EQ(Base64(pair.first), pair.second);
        EXPECT_TRUE(Base64Decode(pair.second, &bytes));
        EXPECT_EQ(bytes, pair.first);
    }
    std::string all;
    for (int i = 0; i < 256; i++) {
        all.push_back((char)i);
    }
    EXPECT_TRUE(Base64Decode(Base64(all), &bytes));
    EXPECT_EQ(bytes, all);
    for (const char *bad :
         {"Z", "Zg", "Zg=", "Zg=a", "====", "Zm9v!A==", "Zg==Zg==", "Z===", " Zg=="}) {
        EXPECT_FALSE(Base64Decode(bad, &bytes)) << bad;
    }
}

TEST(Text, TimesAndSizes)
{
    EXPECT_EQ(Written([](FILE *to) { text_time_write(to, 1767323045678u); }),
              "2026-01-02T03:04:05.678Z");
    char size[32];
    text_size_format(size, sizeof(size), 512);
    EXPECT_STREQ(size, "512 B");
    text_size_format(size, sizeof(size), 1536);
    EXPECT_STREQ(size, "1.5 KiB");
    EXPECT_EQ(text_columns("a\xc3\xa4z"), 3u);
}

} // namespace
