/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is JSON and what is not, with the exact place of each fault.
 */
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

#include "engine/document/document.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

/* "" when it is JSON, else the offset of the fault. */
std::string fault_of(const std::string &text)
{
    polarys_error err;
    polarys_error_clear(&err);
    polarys_code code = json_check(bytes_of(text), &err);
    if (code == POLARYS_OK) {
        return "";
    }
    EXPECT_EQ(POLARYS_BAD_JSON, code);
    const char *offset = polarys_error_detail_find(&err, "offset");
    return offset == nullptr ? "no offset" : offset;
}

std::string nested(size_t depth, const std::string &open, const std::string &close)
{
    std::string text;
    for (size_t i = 0; i < depth; i++) {
        text += open;
    }
    text += "1";
    for (size_t i = 0; i < depth; i++) {
        text += close;
    }
    return text;
}

} // namespace

TEST(JsonCheck, AcceptsEveryKindOfValue)
{
    for (const char *text :
         {"null",
          "true",
          "false",
          "0",
          "-0",
          "1",
          "-1",
          "12.5",
          "0.1e10",
          "1E+2",
          "1e-2",
          "\"\"",
          "\"a\"",
          "[]",
          "{}",
          " [ ] ",
          "\t\r\n{ \"a\" : [ 1 , { } ] } ",
          "[[],[[]],{}]",
          "\"\\u0041\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
          "{\"\":0}",
          "\"\\ud834\\udd1e\"",
          "123456789012345678901234567890.123456789012345678901234567890e+1234567890123"}) {
        EXPECT_EQ("", fault_of(text)) << text;
    }
    EXPECT_EQ("", fault_of("\"\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e\xef\xbf\xbf\""));
    EXPECT_EQ("",
              fault_of("\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xe0\xa0\x80\xf0\x90\x80\x80\""));
    EXPECT_EQ("", fault_of("\"\x7f\""));
}

TEST(JsonCheck, NamesTheByteThatIsWrong)
{
    struct {
        std::string text;
        const char *offset;
    } cases[] = {
        {"", "0"},
        {"   ", "3"},
        {"nul", "3"},
        {"nulL", "3"},
        {"truex", "4"},
        {"01", "1"},
        {"-", "1"},
        {"+1", "0"},
        {".5", "0"},
        {"1.", "2"},
        {"1.e1", "2"},
        {"1e", "2"},
        {"1e+", "3"},
        {"0x10", "1"},
        {"NaN", "0"},
        {"[1,]", "3"},
        {"[1 2]", "3"},
        {"[", "1"},
        {"[1", "2"},
        {"]", "0"},
        {"[}", "1"},
        {"{]", "1"},
        {"{\"a\"}", "4"},
        {"{\"a\":}", "5"},
        {"{\"a\":1,}", "7"},
        {"{\"a\":1", "6"},
        {"{a:1}", "1"},
        {"{1:1}", "1"},
        {"{,}", "1"},
        {"\"abc", "4"},
        {"\"a\\", "3"},
        {"\"\\x\"", "2"},
        {"\"\\u12g4\"", "5"},
        {"\"\\u12\"", "5"},
        {"\"a\nb\"", "2"},
        {"{} {}", "3"},
        {"1 //", "2"},
        {"'a'", "0"},
        {std::string("{}\0", 3), "2"},
        {std::string("\"\0\"", 3), "1"},
        {std::string("\0", 1), "0"},
        {"\v1", "0"},
        {"[1,\f2]", "3"},
        {"\xef\xbb\xbf{}", "0"},
    };
    for (const auto &each : cases) {
        EXPECT_EQ(each.offset, fault_of(each.text)) << each.text;
    }
}

TEST(JsonCheck, RefusesBadUtf8)
{
    for (const char *bytes : {"\x80",
                              "\xbf",
                              "\xc0\x80",
                              "\xc1\xbf",
                              "\xe0\x80\x80",
                              "\xe0\x9f\xbf",
                              "\xed\xa0\x80",
                              "\xed\xbf\xbf",
                              "\xf0\x80\x80\x80",
                              "\xf0\x8f\xbf\xbf",
                              "\xf4\x90\x80\x80",
                              "\xf5\x80\x80\x80",
                              "\xff",
                              "\xfe",
                              "\xc3",
                              "\xe2\x82",
                              "\xf0\x9d\x84",
                              "\xc3(",
                              "\xe2(\xa1",
                              "\xe2\x82(",
                              "\xf0\x9d(\x9e",
                              "\xf0\x9d\x84("}) {
        EXPECT_EQ("3", fault_of("\"ab" + std::string(bytes) + "\"")) << bytes;
        EXPECT_EQ("12", fault_of("\"12345678901" + std::string(bytes) + "4567890\"")) << bytes;
        EXPECT_EQ("2", fault_of("{\"" + std::string(bytes) + "\":1}")) << bytes;
    }
    EXPECT_EQ("0", fault_of("\xc3\xa4")) << "outside a string";
}

TEST(JsonCheck, EveryPrefixOfADocumentIsRefusedAtItsEnd)
{
    const std::string text = "{\"a\":[1.5e3,true,null,{\"b\\u0041\":\"\xc3\xa4\"}],\"c\":false}";
    ASSERT_EQ("", fault_of(text));
    for (size_t size = 0; size < text.size(); size++) {
        std::string offset = fault_of(text.substr(0, size));
        ASSERT_NE("", offset) << size;
        EXPECT_LE(std::stoul(offset), size);
        EXPECT_GE(std::stoul(offset) + 1, size) << "a cut character counts from its first byte";
    }
}

TEST(JsonCheck, BoundsTheDepth)
{
    EXPECT_EQ("", fault_of(nested(JSON_DEPTH_MAX, "[", "]")));
    EXPECT_EQ("", fault_of(nested(JSON_DEPTH_MAX, "{\"a\":", "}")));
    EXPECT_EQ(std::to_string(JSON_DEPTH_MAX), fault_of(nested(JSON_DEPTH_MAX + 1, "[", "]")));
    EXPECT_EQ(std::to_string(5 * JSON_DEPTH_MAX),
              fault_of(nested(JSON_DEPTH_MAX + 1, "{\"a\":", "}")));
    EXPECT_EQ(std::to_string(JSON_DEPTH_MAX), fault_of(std::string(1000000, '[')));
}

TEST(JsonCheck, RefusesDuplicateNamesOfOneObject)
{
    EXPECT_EQ("7", fault_of("{\"a\":1,\"a\":2}"));
    EXPECT_EQ("", fault_of("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}"));
    EXPECT_EQ("15", fault_of("{\"a\":{\"b\":1   ,\"b\":2},\"c\":1}"));
    EXPECT_EQ("13", fault_of("{\"a\":{\"x\":1},\"a\":1}"));
    EXPECT_EQ("7", fault_of("{\"a\":1,\"\\u0061\":2}")) << "escapes do not make another name";
    EXPECT_EQ("", fault_of("{\"a\":1,\"A\":2,\"\":3,\" \":4,\"a \":5}"));
    EXPECT_EQ("6", fault_of("{\"\":1,\"\":2}"));
    EXPECT_EQ("18", fault_of("{\"\\ud834\\udd1e\":1,\"\xf0\x9d\x84\x9e\":2}"));
    EXPECT_EQ("", fault_of("[{\"a\":1},{\"a\":1}]"));
    EXPECT_EQ("15", fault_of("{\"abcdefghi\":1,\"abcdefghi\":2}"));
    EXPECT_EQ("", fault_of("{\"abcdefghi\":1,\"abcdefghj\":2}"));
    EXPECT_EQ("", fault_of("{\"a\\u0000\":1,\"a\":2}"));
}

TEST(JsonCheck, FindsDuplicatesAmongManyNames)
{
    for (size_t count : {63, 64, 65, 66, 200, 5000}) {
        for (size_t second : {size_t{1}, count / 2, count - 1}) {
            std::string text = "{";
            size_t offset = 0;
            for (size_t i = 0; i < count; i++) {
                text += i == 0 ? "" : ",";
                if (i == second) {
                    offset = text.size();
                }
                size_t number = i == second ? i / 2 : i;
                std::string name = i % 3 == 0 ? "\\u006eame" : "name";
                text += "\"" + name + std::to_string(number) + "\":{\"in\":1}";
            }
            text += "}";
            EXPECT_EQ(std::to_string(offset), fault_of(text)) << count << " " << second;
        }
    }
}

TEST(JsonCheck, StaysQuickWhateverTheText)
{
    /* Names that share a long head, and objects just too large for comparing one by one. */
    std::string text = "{";
    for (int i = 0; i < 30000; i++) {
        text += (i == 0 ? "\"" : ",\"") + std::string(20, 'x') + std::to_string(i) + "\":[]";
    }
    text += "}";
    auto start = std::chrono::steady_clock::now();
    EXPECT_EQ("", fault_of(text));
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 5.0);
}

TEST(JsonCheck, NeverReadsPastTheEnd)
{
    /* Of exact size on the heap, so that the address sanitizer sees a byte too many. */
    std::mt19937_64 chance(3);
    const std::string letters = "{}[]\",:\\u0aA1-+.eE tfn\xc3\xa4\xf0\x9d\x84\x9e";
    for (int i = 0; i < 200000; i++) {
        size_t size = chance() % 24;
        std::unique_ptr<char[]> text(new char[size]);
        for (size_t at = 0; at < size; at++) {
            text[at] = letters[chance() % letters.size()];
        }
        polarys_error err;
        polarys_code code = json_check(slice_make(text.get(), size), &err);
        ASSERT_TRUE(code == POLARYS_OK || code == POLARYS_BAD_JSON);
    }
}
