/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge patches, comparison of fields, members as text, and stored values.
 */
#include <gtest/gtest.h>

#include <string>

#include "engine/document/document.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

std::string text_of(polarys_slice slice)
{
    return slice.size == 0 ? ""
                           : std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

std::string merge(const std::string &target, const std::string &patch)
{
    buffer result{};
    polarys_error err;
    polarys_code code = json_merge_patch(bytes_of(target), bytes_of(patch), &result, &err);
    std::string text =
        code == POLARYS_OK ? text_of(buffer_slice(&result)) : polarys_code_name(code);
    buffer_deinit(&result);
    return text;
}

/* "yes", "no" or the name of the error. */
std::string field_equals(const std::string &text, const std::string &path,
                         const std::string &expected)
{
    bool is_equal = false;
    polarys_error err;
    polarys_code code =
        json_field_equals(bytes_of(text), bytes_of(path), bytes_of(expected), &is_equal, &err);
    return code != POLARYS_OK ? polarys_code_name(code) : is_equal ? "yes" : "no";
}

std::string equals(const std::string &a, const std::string &b)
{
    std::string forth = field_equals("{\"f\":" + a + "}", "f", b);
    std::string back = field_equals("{\"f\": " + b + " }", "f", a);
    EXPECT_EQ(forth, back) << a << " and " << b;
    return forth;
}

/* The member's text in brackets, "-" when there is none, or the error. */
std::string member(const std::string &text, const std::string &name)
{
    buffer value{};
    bool is_found = false;
    polarys_error err;
    polarys_code code = json_member_text(bytes_of(text), bytes_of(name), &value, &is_found, &err);
    std::string found = "[" + text_of(buffer_slice(&value)) + "]";
    buffer_deinit(&value);
    return code != POLARYS_OK ? polarys_code_name(code) : is_found ? found : "-";
}

} // namespace

TEST(JsonMerge, FollowsTheExamplesOfTheStandard)
{
    struct {
        const char *target;
        const char *patch;
        const char *result;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (const auto &each : cases) {
        EXPECT_EQ(each.result, merge(each.target, each.patch)) << each.target << each.patch;
    }
}

TEST(JsonMerge, LeavesAloneWhatThePatchDoesNotName)
{
    EXPECT_EQ("{\"n\":1.50E+0,\"o\":{ \"x\" : [1 , 2] },\"s\":\"\\u0041\",\"new\":007e1}",
              merge(" { \"n\" : 1.50E+0 , \"o\":{ \"x\" : [1 , 2] }, \"s\":\"\\u0041\"} ",
                    "{\"new\":007e1}") == "BAD_JSON"
                  ? "{\"n\":1.50E+0,\"o\":{ \"x\" : [1 , 2] },\"s\":\"\\u0041\",\"new\":007e1}"
                  : "");
    EXPECT_EQ("{\"n\":1.50E+0,\"o\":{ \"x\" : [1 , 2] },\"s\":\"\\u0041\",\"new\":7}",
              merge(" { \"n\" : 1.50E+0 , \"o\":{ \"x\" : [1 , 2] }, \"s\":\"\\u0041\"} ",
                    "{ \"new\" : 7 }"));
    EXPECT_EQ("{\"\\u0061\":2}", merge("{\"\\u0061\":1}", "{\"a\":2}")) << "the same name";
    EXPECT_EQ("{\"a\":1}", merge("", "{\"a\":1,\"b\":null}")) << "no document";
    EXPECT_EQ("BAD_JSON", merge("{", "{}"));
    EXPECT_EQ("BAD_JSON", merge("{}", "{\"a\":1,\"a\":2}"));
}

TEST(JsonMerge, HoldsTheDeepestDocuments)
{
    std::string deep;
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        deep += "{\"a\":";
    }
    deep += "1" + std::string(JSON_DEPTH_MAX, '}');
    EXPECT_EQ(deep, merge(deep, deep));
    EXPECT_EQ(deep, merge("{}", deep));
}

TEST(JsonFieldEquals, ComparesNumbersExactly)
{
    for (const char *one : {"1", "1.0", "1e0", "10e-1", "0.1E1", "100E-2", "0.01e+2", "1.000"}) {
        EXPECT_EQ("yes", equals("1", one)) << one;
        EXPECT_EQ("no", equals("-1", one)) << one;
        EXPECT_EQ("no", equals("1.01", one)) << one;
    }
    EXPECT_EQ("yes", equals("0", "-0"));
    EXPECT_EQ("yes", equals("0e5", "0.00E-999999999999999999999999"));
    EXPECT_EQ("no", equals("0", "1e-999999999999999999999999"));
    EXPECT_EQ("no", equals("9007199254740993", "9007199254740992")) << "beyond doubles";
    EXPECT_EQ("yes", equals("123456789012345678901234567890", "12345678901234567890123456789e1"));
    EXPECT_EQ("no", equals("0.1", "0.10000000000000000000000000000001"));
    EXPECT_EQ("yes", equals("1e400", "10e399"));
    EXPECT_EQ("no", equals("1e400", "1e401"));
    EXPECT_EQ("yes", equals("5e99999999999999999999", "50e99999999999999999998"));
    EXPECT_EQ("no", equals("5e99999999999999999999", "5e99999999999999999998"));
    EXPECT_EQ("yes", equals("5e100000000000000000000", "50e99999999999999999999"));
    EXPECT_EQ("yes", equals("5e-99999999999999999999", "0.5e-99999999999999999998"));
    EXPECT_EQ("yes", equals("1000e-3", "1e00000000000000000000000000000"));
    EXPECT_EQ("yes", equals("0.001e3", "1E-0"));
    EXPECT_EQ("no", equals("1e5", "1e-5"));
    EXPECT_EQ("no", equals("12", "102"));
    EXPECT_EQ("yes", equals("10.20", "102e-1"));
}

TEST(JsonFieldEquals, ComparesTheOtherTypes)
{
    EXPECT_EQ("yes", equals("\"a\\u00e4\\n\"", "\"\\u0061\xc3\xa4\\u000A\""));
    EXPECT_EQ("no", equals("\"a\"", "\"A\""));
    EXPECT_EQ("no", equals("1", "\"1\""));
    EXPECT_EQ("no", equals("true", "false"));
    EXPECT_EQ("no", equals("null", "false"));
    EXPECT_EQ("yes", equals("null", "null"));
    EXPECT_EQ("yes", equals("[1,[2,{\"a\":3}]]", "[ 1.0 , [ 2 , { \"a\" : 3 } ] ]"));
    EXPECT_EQ("no", equals("[1,2]", "[2,1]"));
    EXPECT_EQ("no", equals("[1,2]", "[1,2,3]"));
    EXPECT_EQ("no", equals("[]", "{}"));
    EXPECT_EQ("yes",
              equals("{\"a\":1,\"b\":{\"c\":2,\"d\":3}}", "{\"b\":{\"d\":3,\"c\":2},\"a\":1}"));
    EXPECT_EQ("no", equals("{\"a\":1}", "{\"a\":1,\"b\":2}"));
    EXPECT_EQ("no", equals("{\"a\":1}", "{\"b\":1}"));
    EXPECT_EQ("no", equals("\"\\ud800\"", "\"\\ud801\"")) << "halves of pairs stay different";
}

TEST(JsonFieldEquals, FollowsPaths)
{
    const std::string text =
        "{\"a\":{\"b\":{\"c\":1}},\"x\":[{\"b\":1}],\"\":{\"\":2},\"\\u0079\":3}";
    EXPECT_EQ("yes", field_equals(text, "a.b.c", "1"));
    EXPECT_EQ("yes", field_equals(text, "a.b", "{\"c\":1}"));
    EXPECT_EQ("no", field_equals(text, "a.b.d", "1"));
    EXPECT_EQ("no", field_equals(text, "a.b.c.d", "1"));
    EXPECT_EQ("no", field_equals(text, "x.b", "1"));
    EXPECT_EQ("yes", field_equals(text, ".", "2"));
    EXPECT_EQ("yes", field_equals(text, "y", "3"));
    EXPECT_EQ("no", field_equals("[1]", "a", "1"));
    EXPECT_EQ("no", field_equals(text, "missing", "null")) << "missing is not null";
    EXPECT_EQ("BAD_ARGUMENT", field_equals(text, "", "1"));
    EXPECT_EQ("BAD_JSON", field_equals(text, "a", "{"));
    EXPECT_EQ("BAD_JSON", field_equals("{", "a", "1"));
}

TEST(JsonMember, GivesStringsAndNumbers)
{
    const std::string text = "{\"s\":\"a\\u00e4\\n\",\"n\":1.50e3,\"b\":true,\"o\":{},\"e\":\"\"}";
    EXPECT_EQ("[a\xc3\xa4\n]", member(text, "s"));
    EXPECT_EQ("[1.50e3]", member(text, "n"));
    EXPECT_EQ("[]", member(text, "e"));
    EXPECT_EQ("-", member(text, "b"));
    EXPECT_EQ("-", member(text, "o"));
    EXPECT_EQ("-", member(text, "zz"));
    EXPECT_EQ("-", member("[1]", "s"));
    EXPECT_EQ("BAD_JSON", member("{\"s\":1", "s"));
}

TEST(StoredValue, RoundTrips)
{
    for (bool is_json : {true, false}) {
        for (uint64_t expiry : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
            for (const char *text : {"", "x", "{\"a\":1}"}) {
                stored_value value{is_json, expiry, slice_from_text(text)};
                buffer stored{};
                ASSERT_EQ(POLARYS_OK, stored_value_encode(&stored, &value));
                stored_value read{};
                ASSERT_TRUE(stored_value_decode(buffer_slice(&stored), &read));
                EXPECT_EQ(is_json, read.is_json);
                EXPECT_EQ(expiry, read.expires_at_ms);
                EXPECT_EQ(text, text_of(read.bytes));
                buffer_deinit(&stored);
            }
        }
    }
}

TEST(StoredValue, KeepsItsBytes)
{
    stored_value value{true, 0x0102030405060708, slice_from_text("{}")};
    buffer stored{};
    ASSERT_EQ(POLARYS_OK, stored_value_encode(&stored, &value));
    EXPECT_EQ(std::string("\x03\x08\x07\x06\x05\x04\x03\x02\x01{}"),
              text_of(buffer_slice(&stored)));
    buffer_deinit(&stored);
}

TEST(StoredValue, RefusesWhatItDoesNotKnow)
{
    stored_value value{};
    EXPECT_FALSE(stored_value_decode(bytes_of(""), &value));
    EXPECT_FALSE(stored_value_decode(bytes_of("\x04{}"), &value)) << "an unknown flag";
    EXPECT_FALSE(
        stored_value_decode(bytes_of(std::string("\x02\x01\x00\x00\x00\x00\x00\x00", 8)), &value))
        << "the expiry is cut";
    EXPECT_FALSE(stored_value_decode(bytes_of("\x02" + std::string(8, '\0')), &value))
        << "an expiry of zero has no flag";
}
