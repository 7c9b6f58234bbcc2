/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of filters: what it takes, how it binds, and where it says that it stopped.
 */
#include <string>
#include <vector>

#include "engine/query/filter.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

struct parsed {
    explicit parsed(const std::string &text)
    {
        polarys_error_clear(&error);
        code = filter_parse(bytes_of(text), &filter, &error);
    }
    ~parsed()
    {
        filter_destroy(filter);
    }
    parsed(const parsed &) = delete;
    parsed &operator=(const parsed &) = delete;

    std::string print(bool is_normal = false)
    {
        if (code != POLARYS_OK) {
            return std::string("error: ") + error.message;
        }
        filter_node *node = filter->root;
        if (is_normal) {
            EXPECT_EQ(POLARYS_OK, filter_normalise(filter, &node));
        }
        buffer to{};
        EXPECT_EQ(POLARYS_OK, filter_print(node, &to));
        std::string text(reinterpret_cast<const char *>(to.data), to.size);
        buffer_deinit(&to);
        return text;
    }

    std::string detail(const char *name)
    {
        const char *value = polarys_error_detail_find(&error, name);
        return value == nullptr ? "" : value;
    }

    struct filter *filter = nullptr;
    polarys_code code;
    polarys_error error;
};

struct pair_of_texts {
    const char *text;
    const char *expected;
};

} // namespace

TEST(FilterParser, TakesWhatTheGrammarAllows)
{
    const pair_of_texts cases[] = {
        {"", "everything"},
        {" \t\r\n ", "everything"},
        {"a=1", "a = 1"},
        {"  a\n=\t1  ", "a = 1"},
        {"a != 1", "a != 1"},
        {"a<1", "a < 1"},
        {"a<=-1.50e+10", "a <= -1.50e+10"},
        {"a>1", "a > 1"},
        {"a >=1", "a >= 1"},
        {"a=\"b\"", "a = \"b\""},
        {"a='b\"c'", "a = \"b\\\"c\""},
        {"a='it\\'s'", "a = \"it's\""},
        {"a = true OR a = FALSE or a = Null", "a = true OR a = false OR a = null"},
        {"a:\"b\"", "a:\"b\""},
        {"a : 5", "a:5"},
        {"a:*", "a:*"},
        {"a: *", "a:*"},
        {"a IN (1)", "a IN (1)"},
        {"a in(1,'x' , null)", "a IN (1, \"x\", null)"},
        {"a.b.c = 1", "a.b.c = 1"},
        {"`Installed-Size` >= 100", "`Installed-Size` >= 100"},
        {"a.`b c`.d = 1", "a.`b c`.d = 1"},
        {"_x9.8 = 1", "_x9.8 = 1"},
        {"android = 1", "android = 1"},
        {"notes = 1", "notes = 1"},
        {"orders = 1", "orders = 1"},
        {"NOT a = 1", "NOT a = 1"},
        {"-a = 1", "NOT a = 1"},
        {"- a = -1", "NOT a = -1"},
        {"not not a = 1", "NOT NOT a = 1"},
        {"a = \"x*\"", "a = \"x*\""},
        {"a = \"*x\"", "a = \"*x\""},
        {"a = \"*x*\"", "a = \"*x*\""},
        {"a = \"*\"", "a = \"**\""},
        {"a = \"x\\*\"", "a = \"x\\*\""},
        {"a = \"x*y\"", "a = \"x*y\""},
        {"a != \"x*\"", "a != \"x*\""},
        {"a = \"\\u00e4\\n\\t\"", "a = \"\xc3\xa4\\u000a\\u0009\""},
        {"a = \"\\ud83d\\ude00\"", "a = \"\xf0\x9f\x98\x80\""},
        {"a = 0", "a = 0"},
        {"a = -0", "a = -0"},
        {"a = 123456789012345678901234567890.5", "a = 123456789012345678901234567890.5"},
        {"a = \"\"", "a = \"\""},
    };
    for (const pair_of_texts &each : cases) {
        parsed p(each.text);
        EXPECT_EQ(each.expected, p.print()) << each.text;
    }
}

TEST(FilterParser, BindsAndTighterThanOrAndNotTightest)
{
    const pair_of_texts cases[] = {
        {"a=1 OR b=2 AND c=3", "a = 1 OR (b = 2 AND c = 3)"},
        {"a=1 AND b=2 OR c=3", "(a = 1 AND b = 2) OR c = 3"},
        {"(a=1 OR b=2) AND c=3", "(a = 1 OR b = 2) AND c = 3"},
        {"NOT a=1 AND b=2", "NOT a = 1 AND b = 2"},
        {"NOT (a=1 AND b=2)", "NOT (a = 1 AND b = 2)"},
        {"-a=1 or -(b=2 or c=3)", "NOT a = 1 OR NOT (b = 2 OR c = 3)"},
        {"a=1 AND b=2 AND c=3 OR d=4 OR e=5", "(a = 1 AND b = 2 AND c = 3) OR d = 4 OR e = 5"},
        {"((a=1))", "a = 1"},
    };
    for (const pair_of_texts &each : cases) {
        parsed p(each.text);
        EXPECT_EQ(each.expected, p.print()) << each.text;
    }
}

TEST(FilterParser, NamesPositionAndWhatItExpected)
{
    struct bad {
        const char *text;
        const char *position;
        const char *expected;
    };
    const bad cases[] = {
        {"price > 5 AND", "13", "a condition"},
        {"a AND", "2", "an operator"},
        {"a", "1", "an operator"},
        {"a =", "3", "a value"},
        {"a = b", "4", "a value"},
        {"a = 1 b = 2", "6", "AND, OR or the end"},
        {"(a = 1", "6", "AND, OR or )"},
        {"a = 1)", "5", "AND, OR or the end"},
        {"()", "1", "a condition"},
        {"NOT", "3", "a condition"},
        {"or = 1", "0", "a condition"},
        {"a = 1 OR AND", "9", "a condition"},
        {"AND a = 1", "0", "a condition"},
        {"a = \"x", "6", "a closing quote"},
        {"a = 'x\"", "7", "a closing quote"},
        {"a = \"\\q\"", "6", "an escape"},
        {"a = \"\\u12\"", "7", "four hexadecimal digits"},
        {"a = \"\\u0000\"", "11", "a character other than NUL"},
        {"a = \"\x01\"", "5", "an escape for a control character"},
        {"a = \"\xff\"", "5", "UTF-8"},
        {"a = \"\xed\xa0\x80\"", "5", "UTF-8"},
        {"a = 01", "4", "a value"},
        {"a = 1.", "4", "a value"},
        {"a = .5", "4", "a value"},
        {"a = 1e", "4", "a value"},
        {"a = 1x", "4", "a value"},
        {"a = +1", "4", "a value"},
        {"a IN", "4", "( and values"},
        {"a IN ()", "6", "a value"},
        {"a IN (1", "7", ", or )"},
        {"a IN (1,)", "8", "a value"},
        {"a. = 1", "2", "a field name"},
        {".a = 1", "0", "a condition"},
        {"a..b = 1", "2", "a field name"},
        {"`a = 1", "6", "a closing backtick"},
        {"`` = 1", "0", "a name between"},
        {"`\xff` = 1", "0", "a path"},
        {"Installed-Size > 1", "9", "an operator"},
        {"a == 1", "3", "a value"},
        {"a ! 1", "2", "an operator"},
        {"a < true", "4", "a number or a string"},
        {"a >= null", "5", "a number or a string"},
        {"\xc3\xa4 = 1", "0", "a condition"},
        {"a = 1;", "5", "AND, OR or the end"},
    };
    for (const bad &each : cases) {
        parsed p(each.text);
        EXPECT_EQ(POLARYS_BAD_FILTER, p.code) << each.text;
        EXPECT_EQ(nullptr, p.filter) << each.text;
        EXPECT_EQ(each.position, p.detail("position")) << each.text << ": " << p.error.message;
        EXPECT_EQ(0u, p.detail("expected").find(each.expected))
            << each.text << ": " << p.error.message;
    }
}

TEST(FilterParser, RefusesANulByte)
{
    EXPECT_EQ(POLARYS_BAD_FILTER, parsed(std::string("a = 1\0", 6)).code);
    EXPECT_EQ(POLARYS_BAD_FILTER, parsed(std::string("a = \"\0\"", 7)).code);
    EXPECT_EQ(POLARYS_BAD_FILTER, parsed(std::string("a = \"\\\0\"", 8)).code);
}

TEST(FilterParser, HoldsItsLimits)
{
    std::string deep(FILTER_DEPTH_MAX, '(');
    EXPECT_EQ(POLARYS_OK, parsed(deep + "a=1" + std::string(FILTER_DEPTH_MAX, ')')).code);
    EXPECT_EQ(POLARYS_BAD_FILTER,
              parsed("(" + deep + "a=1" + std::string(FILTER_DEPTH_MAX + 1, ')')).code);
    EXPECT_EQ(POLARYS_BAD_FILTER, parsed(std::string(60000, '-') + "a=1").code);

    std::string many = "a=0";
    for (int i = 1; i < FILTER_TERMS_MAX; i++) {
        many += " OR a=" + std::to_string(i);
    }
    EXPECT_EQ(POLARYS_OK, parsed(many).code);
    parsed more(many + " OR a=1");
    EXPECT_EQ(POLARYS_BAD_FILTER, more.code);

    std::string list = "a IN (0";
    for (int i = 1; i < FILTER_TERMS_MAX; i++) {
        list += "," + std::to_string(i);
    }
    EXPECT_EQ(POLARYS_OK, parsed(list + ")").code);
    EXPECT_EQ(POLARYS_BAD_FILTER, parsed(list + ",1)").code);

    std::string present = "a:*";
    for (int i = 1; i < FILTER_TERMS_MAX; i++) {
        present += " AND a:*";
    }
    EXPECT_EQ(POLARYS_OK, parsed(present).code);
    EXPECT_EQ(POLARYS_BAD_FILTER, parsed(present + " AND a:*").code);

    std::string name(FILTER_PATH_BYTES_MAX, 'n');
    EXPECT_EQ(POLARYS_OK, parsed(name + "=1").code);
    parsed long_name(name + "n=1");
    EXPECT_EQ(POLARYS_BAD_FILTER, long_name.code);
    EXPECT_EQ("0", long_name.detail("position"));

    EXPECT_EQ(POLARYS_OK, parsed("a=1" + std::string(FILTER_BYTES_MAX - 3, ' ')).code);
    parsed long_text("a=1" + std::string(FILTER_BYTES_MAX, ' '));
    EXPECT_EQ(POLARYS_BAD_FILTER, long_text.code);
    EXPECT_EQ("65536", long_text.detail("position"));
}

TEST(FilterParser, PrintsWhatParsesToTheSameAgain)
{
    const char *const texts[] = {
        "a = \"*\\*x\\**\" OR NOT (b:\"c\" AND `d e`.f IN (1, null, \"*\"))",
        "a = \"\\\\*\" AND b != \"\\\"\"",
    };
    for (const char *text : texts) {
        parsed first(text);
        std::string printed = first.print();
        parsed second(printed);
        EXPECT_EQ(printed, second.print()) << text;
    }
}

TEST(FilterNormaliser, PushesNegationDownAndFlattens)
{
    const pair_of_texts cases[] = {
        {"NOT (a=1 AND b=2)", "NOT a = 1 OR NOT b = 2"},
        {"NOT (a=1 OR NOT b=2)", "NOT a = 1 AND b = 2"},
        {"NOT NOT a = 1", "a = 1"},
        {"a=1 AND (b=2 AND (c=3 AND d=4))", "a = 1 AND b = 2 AND c = 3 AND d = 4"},
        {"a=1 AND NOT (b=2 OR (c=3 OR d=4))", "a = 1 AND NOT b = 2 AND NOT c = 3 AND NOT d = 4"},
        {"a=1 OR (b=2 AND (c=3 OR d=4))", "a = 1 OR (b = 2 AND (c = 3 OR d = 4))"},
        {"NOT a < 5", "NOT a < 5"},
        {"", "everything"},
    };
    for (const pair_of_texts &each : cases) {
        parsed p(each.text);
        EXPECT_EQ(each.expected, p.print(true)) << each.text;
    }
}

TEST(FilterParser, FailsCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    for (uint64_t at = 1; at < 50; at++) {
        fault_alloc_fail_at(at);
        struct filter *filter = nullptr;
        polarys_code code =
            filter_parse(slice_from_text("a = 1 AND (b IN (1, 2) OR c = \"x\")"), &filter, nullptr);
        uint64_t failed = fault_alloc_disarm();
        filter_destroy(filter);
        if (failed == 0) {
            EXPECT_EQ(POLARYS_OK, code);
            return;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code);
    }
    FAIL() << "never came to an end";
}
