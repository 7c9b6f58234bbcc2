/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/polarysdb_value.h"

#include <gtest/gtest.h>

#include "tests/unit/cli/polarysdb_files.h"

namespace {

using go_files::Shown;

class GoValue : public testing::Test {
  protected:
    ~GoValue() override
    {
        polarysdb_store_deinit(&store);
    }
    /* The value as text; why it is bad in parentheses. */
    std::string Tagged(const std::string &bytes)
    {
        struct polarysdb_change change = {};
        const char *why = "";
        kept.push_back(bytes);
        enum polarysdb_value_result result = polarysdb_value_read_tagged(
            &store, (const uint8_t *)kept.back().data(), bytes.size(), &change, &why);
        return result == POLARYSDB_VALUE_TAKEN ? Shown(change) : "(" + std::string(why) + ")";
    }
    std::string Untagged(const std::string &bytes)
    {
        struct polarysdb_change change = {};
        kept.push_back(bytes);
        EXPECT_EQ(polarysdb_value_read_untagged(&store, (const uint8_t *)kept.back().data(),
                                                bytes.size(), &change),
                  POLARYSDB_VALUE_TAKEN);
        return Shown(change);
    }
    bool IsBad(const std::string &bytes)
    {
        std::string shown = Tagged(bytes);
        return shown.size() > 2 && shown.front() == '(';
    }
    struct polarysdb_store store = {};
    std::list<std::string> kept;
};

std::string With(char tag, const std::string &text)
{
    return tag + text;
}

TEST_F(GoValue, TakesEveryType)
{
    EXPECT_EQ(Tagged(""), "null");
    EXPECT_EQ(Tagged(std::string(1, '\0')), "null");
    EXPECT_EQ(Tagged(With(1, std::string("\0\xff", 2))), std::string("<\0\xff>", 4));
    EXPECT_EQ(Tagged(With(1, "")), "<>");
    EXPECT_EQ(Tagged(With(2, "")), "\"\"");
    EXPECT_EQ(Tagged(With(2, "123")), "\"123\"");
    EXPECT_EQ(Tagged(With(3, "-9223372036854775808")), "-9223372036854775808");
    EXPECT_EQ(Tagged(With(4, "18446744073709551615")), "18446744073709551615");
    EXPECT_EQ(Tagged(With(5, "0.000001")), "0.000001");
    EXPECT_EQ(Tagged(With(5, "1e+21")), "1e+21");
    EXPECT_EQ(Tagged(With(5, "-0")), "-0");
    EXPECT_EQ(Tagged(With(6, "\x01")), "true");
    EXPECT_EQ(Tagged(With(6, std::string(1, '\0'))), "false");
    EXPECT_EQ(Tagged(With(7, R"({"a":[1.50, 123456789012345678901234567890]})")),
              R"({"a":[1.50, 123456789012345678901234567890]})");
}

TEST_F(GoValue, MakesTextAJsonString)
{
    EXPECT_EQ(Tagged(With(2, "a\"b\\c\n\t\x01")), "\"a\\\"b\\\\c\\n\\t\\u0001\"");
    EXPECT_EQ(Tagged(With(2, std::string("a\0b", 3))), "\"a\\u0000b\"");
    EXPECT_EQ(Tagged(With(2, "\xf0\x9f\x98\x80")), "\"\xf0\x9f\x98\x80\"");
}

TEST_F(GoValue, KeepsTextThatIsNoUtf8AsBytes)
{
    EXPECT_EQ(Tagged(With(2, "a\xff")), "<a\xff>");
    EXPECT_EQ(Untagged("\xed\xa0\x80"), "<\xed\xa0\x80>");
}

TEST_F(GoValue, RefusesWhatIsNoneOfItsType)
{
    for (const std::string &bytes : {With(0, "x"),
                                     With(3, ""),
                                     With(3, "1.5"),
                                     With(3, "+1"),
                                     With(3, "01"),
                                     With(3, "1 "),
                                     With(3, " 1"),
                                     With(3, "-"),
                                     With(4, "-1"),
                                     With(4, "1e3"),
                                     With(5, "NaN"),
                                     With(5, "+Inf"),
                                     With(5, "1."),
                                     With(5, ".5"),
                                     With(5, "0x1"),
                                     With(5, "true0"),
                                     With(6, ""),
                                     With(6, "\x02"),
                                     With(6, "\x01\x01"),
                                     With(7, ""),
                                     With(7, "{"),
                                     With(7, "1 2"),
                                     With(7, "{\"a\":1,\"a\":2}"),
                                     With(8, "x"),
                                     With('"', "x\"")}) {
        EXPECT_TRUE(IsBad(bytes)) << testing::PrintToString(bytes);
    }
}

TEST_F(GoValue, ReadsUntypedValuesAsJsonOrElseText)
{
    EXPECT_EQ(Untagged(""), "null");
    EXPECT_EQ(Untagged("123"), "123");
    EXPECT_EQ(Untagged("true"), "true");
    EXPECT_EQ(Untagged("[1, 2.50]"), "[1, 2.50]");
    EXPECT_EQ(Untagged("hello"), "\"hello\"");
    EXPECT_EQ(Untagged("+Inf"), "\"+Inf\"");
    EXPECT_EQ(Untagged("{\"a\":1,\"a\":2}"), "\"{\\\"a\\\":1,\\\"a\\\":2}\"");
    EXPECT_EQ(Untagged("\x03"
                       "7"),
              "\"\\u00037\"");
}

} // namespace
