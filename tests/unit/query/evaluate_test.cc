/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What filters mean, one document at a time, and the order of sort keys.
 */
#include <string>

#include "engine/query/evaluate.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

/* A filter and an order that are right. */
class judge {
  public:
    explicit judge(const std::string &text, const std::string &order_by = "") : order_text(order_by)
    {
        polarys_error error{};
        EXPECT_EQ(POLARYS_OK, filter_parse(bytes_of(text), &filter_, &error)) << error.message;
        EXPECT_EQ(POLARYS_OK, order_parse(bytes_of(order_text), &order_, &error)) << error.message;
        EXPECT_EQ(POLARYS_OK, evaluator_create(filter_, &order_, &evaluator_, &error))
            << error.message;
        EXPECT_EQ(POLARYS_OK, evaluation_create(evaluator_, &evaluation_));
    }
    ~judge()
    {
        evaluation_destroy(evaluation_);
        evaluator_destroy(evaluator_);
        filter_destroy(filter_);
    }
    judge(const judge &) = delete;
    judge &operator=(const judge &) = delete;

    bool matches(const std::string &document, bool is_json = true)
    {
        bool is_match = false;
        EXPECT_EQ(POLARYS_OK, evaluation_run(evaluation_, is_json, bytes_of(document), &is_match));
        return is_match;
    }

    std::string sort_key(const std::string &document, bool is_json = true)
    {
        matches(document, is_json);
        buffer to{};
        EXPECT_EQ(POLARYS_OK, evaluation_sort_key(evaluation_, &to));
        std::string key(reinterpret_cast<const char *>(to.data), to.size);
        buffer_deinit(&to);
        return key;
    }

  private:
    std::string order_text;
    filter *filter_ = nullptr;
    order order_{};
    evaluator *evaluator_ = nullptr;
    evaluation *evaluation_ = nullptr;
};

struct question {
    const char *filter;
    const char *document;
    bool is_match;
};

void expect_all(const std::vector<question> &questions)
{
    for (const question &each : questions) {
        EXPECT_EQ(each.is_match, judge(each.filter).matches(each.document))
            << each.filter << " of " << each.document;
    }
}

} // namespace

TEST(Evaluation, ComparesValuesOfOneTypeOnly)
{
    expect_all({
        {"a = 1", "{\"a\":1}", true},
        {"a = 1", "{\"a\":1.0}", true},
        {"a = 1", "{\"a\":10e-1}", true},
        {"a = 1", "{\"a\":\"1\"}", false},
        {"a = \"1\"", "{\"a\":1}", false},
        {"a = \"ABC\"", "{\"a\":\"abc\"}", false},
        {"a = \"abc\"", "{\"a\":\"\\u0061bc\"}", true},
        {"a = \"\\u00e4\"", "{\"a\":\"\xc3\xa4\"}", true},
        {"a < 10", "{\"a\":9}", true},
        {"a < 10", "{\"a\":10}", false},
        {"a < 10", "{\"a\":\"9\"}", false},
        {"a > 10", "{\"a\":\"zz\"}", false},
        {"a > 10", "{\"a\":true}", false},
        {"a <= 10", "{\"a\":1e1}", true},
        {"a >= 10", "{\"a\":9.999999999999999999999}", false},
        {"a > 9007199254740992", "{\"a\":9007199254740993}", true},
        {"a = 123456789012345678901234567890", "{\"a\":123456789012345678901234567890}", true},
        {"a = 123456789012345678901234567890", "{\"a\":123456789012345678901234567891}", false},
        {"a = -0", "{\"a\":0}", true},
        {"a > -5", "{\"a\":-4.5}", true},
        {"a < \"b\"", "{\"a\":\"a\\n\"}", true},
        {"a < \"b\"", "{\"a\":\"b\"}", false},
        {"a > \"b\"", "{\"a\":\"ba\"}", true},
        {"a = true", "{\"a\":true}", true},
        {"a = true", "{\"a\":false}", false},
        {"a = null", "{\"a\":null}", true},
        {"a = null", "{}", false},
        {"a = null", "{\"a\":0}", false},
        {"a = 1", "{\"a\":{\"b\":1}}", false},
        {"a.b = 1", "{\"a\":{\"b\":1}}", true},
        {"a.b = 1", "{\"a.b\":1}", false},
        {"`a.b` = 1", "{\"a.b\":1}", true},
    });
}

TEST(Evaluation, FindsNothingTrueOfAMissingField)
{
    for (const char *filter : {"a = 1", "a != 1", "a < 1", "a >= 1", "a:1", "a:*", "a IN (1)",
                               "a = \"x*\"", "a != \"x*\"", "a = null", "a != null"}) {
        EXPECT_FALSE(judge(filter).matches("{\"b\":1}")) << filter;
        EXPECT_TRUE(judge(std::string("NOT ") + filter).matches("{\"b\":1}")) << filter;
        EXPECT_FALSE(judge(std::string("b.") + filter).matches("{\"b\":1}")) << filter;
    }
}

TEST(Evaluation, TakesUnequalForThereAndNoElementEqual)
{
    expect_all({
        {"a != 1", "{\"a\":2}", true},
        {"a != 1", "{\"a\":\"1\"}", true},
        {"a != 1", "{\"a\":null}", true},
        {"a != null", "{\"a\":null}", false},
        {"a != 1", "{\"a\":[1,2]}", false},
        {"a != 1", "{\"a\":[2,3]}", true},
        {"a != 1", "{\"a\":[]}", true},
        {"a != \"x*\"", "{\"a\":\"xy\"}", false},
        {"a != \"x*\"", "{\"a\":\"yx\"}", true},
        {"a != \"x*\"", "{\"a\":1}", true},
    });
}

TEST(Evaluation, AsksEachElementOfAnArray)
{
    expect_all({
        {"a = 2", "{\"a\":[1,2]}", true},
        {"a > 1 AND a < 1", "{\"a\":[0,2]}", true},
        {"a = 2", "{\"a\":[[2]]}", false},
        {"a = 2", "{\"a\":[]}", false},
        {"NOT a = 2", "{\"a\":[1,2]}", false},
        {"a.b = 2", "{\"a\":[{\"b\":1},{\"b\":2},7]}", true},
        {"a.b = 2", "{\"a\":[{\"b\":[1,2]}]}", true},
        {"a.b = 2", "{\"a\":[[{\"b\":2}]]}", false},
        {"a:\"x\"", "{\"a\":[\"y\",\"x\"]}", true},
    });
}

TEST(Evaluation, AsksWhatIsThere)
{
    expect_all({
        {"a:*", "{\"a\":0}", true},
        {"a:*", "{\"a\":\"\"}", true},
        {"a:*", "{\"a\":false}", true},
        {"a:*", "{\"a\":null}", false},
        {"a:*", "{\"a\":[]}", true},
        {"a:*", "{\"a\":[null]}", true},
        {"a:*", "{\"a\":{}}", true},
        {"a.b:*", "{\"a\":[]}", false},
        {"a.b:*", "{\"a\":[{\"b\":null}]}", false},
        {"a:\"b\"", "{\"a\":{\"b\":null}}", true},
        {"a:\"b\"", "{\"a\":{\"b\":[]}}", true},
        {"a:\"b\"", "{\"a\":{\"c\":\"b\"}}", false},
        {"a:\"b c\"", "{\"a\":{\"b c\":1}}", true},
        {"a:\"b\"", "{\"a\":\"b\"}", true},
        {"a:1", "{\"a\":1.0}", true},
        {"a:\"b*\"", "{\"a\":\"bc\"}", false},
        {"a:\"b*\"", "{\"a\":\"b*\"}", true},
    });
}

TEST(Evaluation, MatchesWildcardsAtTheEnds)
{
    expect_all({
        {"a = \"x*\"", "{\"a\":\"xyz\"}", true},
        {"a = \"x*\"", "{\"a\":\"x\"}", true},
        {"a = \"x*\"", "{\"a\":\"yx\"}", false},
        {"a = \"*x\"", "{\"a\":\"yx\"}", true},
        {"a = \"*x\"", "{\"a\":\"xy\"}", false},
        {"a = \"*x*\"", "{\"a\":\"yxy\"}", true},
        {"a = \"*x*\"", "{\"a\":\"y\"}", false},
        {"a = \"*\"", "{\"a\":\"\"}", true},
        {"a = \"*\"", "{\"a\":1}", false},
        {"a = \"x\\*\"", "{\"a\":\"x*\"}", true},
        {"a = \"x\\*\"", "{\"a\":\"xy\"}", false},
        {"a = \"x*y\"", "{\"a\":\"x*y\"}", true},
        {"a = \"x*y\"", "{\"a\":\"xzy\"}", false},
        {"a = \"\xc3\xa4*\"", "{\"a\":\"\\u00e4b\"}", true},
        {"a = \"*b\"", "{\"a\":[\"xa\",\"xb\"]}", true},
    });
}

TEST(Evaluation, SearchesListsOfEveryType)
{
    const char *list = "a IN (3, \"b\", 1, null, \"a\", true, 2.50)";
    for (const char *value : {"1", "2.5", "3e0", "\"a\"", "\"b\"", "null", "true", "[9,1]"}) {
        EXPECT_TRUE(judge(list).matches(std::string("{\"a\":") + value + "}")) << value;
    }
    for (const char *value : {"0", "2", "4", "\"c\"", "\"\"", "false", "[]", "{}", "\"1\""}) {
        EXPECT_FALSE(judge(list).matches(std::string("{\"a\":") + value + "}")) << value;
    }
}

TEST(Evaluation, GivesRawValuesToTheEmptyFilterOnly)
{
    EXPECT_TRUE(judge("").matches("{\"a\":1}", false));
    EXPECT_FALSE(judge("a = 1").matches("{\"a\":1}", false));
    EXPECT_FALSE(judge("NOT a = 1").matches("bytes", false));
    EXPECT_FALSE(judge("NOT a = 1").matches("", false));
}

TEST(Evaluation, SeesFieldsInObjectsOnly)
{
    EXPECT_FALSE(judge("a = 1").matches("5"));
    EXPECT_TRUE(judge("NOT a = 1").matches("5"));
    EXPECT_TRUE(judge("").matches("[1]"));
    EXPECT_FALSE(judge("a = 1").matches("[1]"));
    EXPECT_TRUE(judge("a = 1").matches("[{\"a\":1}]"));
}

TEST(Evaluation, JoinsAndOrNot)
{
    judge j("a = 1 AND (b = 2 OR NOT c = 3)");
    EXPECT_TRUE(j.matches("{\"a\":1,\"b\":2,\"c\":3}"));
    EXPECT_TRUE(j.matches("{\"a\":1}"));
    EXPECT_FALSE(j.matches("{\"a\":1,\"c\":3}"));
    EXPECT_FALSE(j.matches("{\"b\":2}"));
}

TEST(Evaluation, SortsByTypesAndValues)
{
    judge up("", "a");
    judge down("", "a desc");
    const char *const ascending[] = {
        "{}",
        "{\"a\":null}",
        "{\"a\":false}",
        "{\"a\":true}",
        "{\"a\":-1e400}",
        "{\"a\":-2}",
        "{\"a\":0}",
        "{\"a\":0.5}",
        "{\"a\":1e30}",
        "{\"a\":\"\"}",
        "{\"a\":\"a\"}",
        "{\"a\":\"ab\"}",
        "{\"a\":\"b\"}",
        "{\"a\":{}}",
    };
    for (size_t i = 1; i < sizeof(ascending) / sizeof(ascending[0]); i++) {
        EXPECT_LT(up.sort_key(ascending[i - 1]), up.sort_key(ascending[i])) << ascending[i];
        EXPECT_GT(down.sort_key(ascending[i - 1]), down.sort_key(ascending[i])) << ascending[i];
    }
    EXPECT_EQ(up.sort_key("{\"a\":1}"), up.sort_key("{\"a\":1.0}"));
    EXPECT_EQ(up.sort_key("{}"), up.sort_key("raw", false));
}

TEST(Evaluation, SortsArraysByTheirEndInThatDirection)
{
    judge up("", "a");
    judge down("", "a desc");
    EXPECT_EQ(up.sort_key("{\"a\":1}"), up.sort_key("{\"a\":[5,1,3]}"));
    EXPECT_EQ(down.sort_key("{\"a\":5}"), down.sort_key("{\"a\":[1,5,3]}"));
    EXPECT_EQ(up.sort_key("{}"), up.sort_key("{\"a\":[]}"));
}

TEST(Evaluation, SortsBySeveralFields)
{
    judge j("", "a desc, b.c ASC");
    EXPECT_LT(j.sort_key("{\"a\":2,\"b\":{\"c\":9}}"), j.sort_key("{\"a\":1}"));
    EXPECT_LT(j.sort_key("{\"a\":2}"), j.sort_key("{\"a\":2,\"b\":{\"c\":9}}"));
}

TEST(OrderParser, SaysWhereItStopped)
{
    struct bad {
        const char *text;
        const char *position;
    };
    const bad cases[] = {{"a,", "2"},          {"a b", "2"}, {",", "0"},
                         {"a desc desc", "7"}, {"-a", "0"},  {"a,b,c,d,e,f,g,h,i", "16"},
                         {"a.", "2"}};
    for (const bad &each : cases) {
        struct order order;
        polarys_error error{};
        EXPECT_EQ(POLARYS_BAD_ARGUMENT, order_parse(slice_from_text(each.text), &order, &error))
            << each.text;
        EXPECT_STREQ(each.position, polarys_error_detail_find(&error, "position")) << each.text;
    }
    struct order order;
    EXPECT_EQ(POLARYS_OK,
              order_parse(slice_from_text("desc desc, `a b`.c, asc ASC"), &order, nullptr));
    EXPECT_EQ(3u, order.count);
    EXPECT_TRUE(order.fields[0].is_descending);
    EXPECT_FALSE(order.fields[2].is_descending);
}

TEST(Evaluation, FailsCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    struct filter *filter = nullptr;
    struct order order;
    ASSERT_EQ(POLARYS_OK, filter_parse(slice_from_text("a:\"b\" OR b.c IN (1, 2) OR a = \"x*\""),
                                       &filter, nullptr));
    ASSERT_EQ(POLARYS_OK, order_parse(slice_from_text("c, d"), &order, nullptr));
    bool is_over = false;
    for (uint64_t at = 1; at < 200 && !is_over; at++) {
        fault_alloc_fail_at(at);
        struct evaluator *evaluator = nullptr;
        struct evaluation *evaluation = nullptr;
        bool is_match;
        polarys_code code = evaluator_create(filter, &order, &evaluator, nullptr);
        if (code == POLARYS_OK) {
            code = evaluation_create(evaluator, &evaluation);
        }
        if (code == POLARYS_OK) {
            code =
                evaluation_run(evaluation, true, slice_from_text("{\"a\":\"\\u0078\"}"), &is_match);
        }
        is_over = fault_alloc_disarm() == 0;
        EXPECT_EQ(is_over ? POLARYS_OK : POLARYS_NO_MEMORY, code) << at;
        evaluation_destroy(evaluation);
        evaluator_destroy(evaluator);
    }
    EXPECT_TRUE(is_over);
    filter_destroy(filter);
}
