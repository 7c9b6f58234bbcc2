/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order and sorting bytes of values: what compares lower has lower bytes, equal values have the same.
 */
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "engine/document/document.h"
#include "engine/document/json_value.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

json_value value_of(const std::string &text)
{
    if (text.empty()) {
        return json_value{JSON_MISSING, {nullptr, 0}};
    }
    polarys_error err;
    EXPECT_EQ(json_check(bytes_of(text), &err), POLARYS_OK) << text;
    return json_value_make(bytes_of(text));
}

std::string encode(const std::string &text)
{
    json_value value = value_of(text);
    buffer to{};
    EXPECT_EQ(json_value_encode(&value, &to), POLARYS_OK);
    std::string bytes(reinterpret_cast<const char *>(to.data), to.size);
    buffer_deinit(&to);
    return bytes;
}

int sign(int order)
{
    return (order > 0) - (order < 0);
}

int compare(const std::string &a, const std::string &b)
{
    json_value left = value_of(a);
    json_value right = value_of(b);
    int order = 99;
    EXPECT_EQ(json_value_compare(&left, &right, &order), POLARYS_OK);
    return sign(order);
}

/* Order by std::string's unsigned bytes, which is memcmp's with a prefix first. */
void expect_order(const std::string &a, const std::string &b, int expected)
{
    EXPECT_EQ(compare(a, b), expected) << a << " against " << b;
    EXPECT_EQ(compare(b, a), -expected) << b << " against " << a;
    std::string left = encode(a);
    std::string right = encode(b);
    EXPECT_EQ(sign(left.compare(right)), expected) << "bytes of " << a << " against " << b;
    if (expected != 0) {
        EXPECT_NE(left.compare(0, right.size(), right), 0) << b << " is a prefix of " << a;
        EXPECT_NE(right.compare(0, left.size(), left), 0) << a << " is a prefix of " << b;
    }
}

const std::vector<std::string> ascending = {
    "",
    "null",
    "false",
    "true",
    "-1e99999999999999999999999",
    "-1e99999999999999999999998",
    "-1e61",
    "-1e60",
    "-12345678901234567890123456789",
    "-101",
    "-100.5",
    "-100",
    "-99.99",
    "-1",
    "-0.5",
    "-0.05",
    "-1e-61",
    "-1e-400",
    "-1e-99999999999999999999998",
    "-1e-99999999999999999999999",
    "0",
    "1e-99999999999999999999999",
    "1e-99999999999999999999998",
    "1e-400",
    "1e-61",
    "1e-60",
    "0.05",
    "0.5",
    "0.51",
    "1",
    "9",
    "9.9999999999999999999999999999999999",
    "10",
    "11",
    "99",
    "100",
    "123456789012345678",
    "1234567890123456789",
    "12345678901234567890",
    "12345678901234567890.1",
    "1e59",
    "1e60",
    "1e61",
    "1e308",
    "1e1000",
    "1e99999999999999999",
    "1e999999999999999999",
    "1e99999999999999999999998",
    "1e99999999999999999999999",
    "\"\"",
    "\"\\u0000\"",
    "\"\\u0000\\u0000\"",
    "\"\\u0000a\"",
    "\"\\u0001\"",
    "\"\\u0001\\u0000\"",
    "\"\\u0002\"",
    "\"A\"",
    "\"ABC\"",
    "\"a\"",
    "\"a\\u0000\"",
    "\"a b\"",
    "\"aa\"",
    "\"b\"",
    "\"\\u00e9\"",
    "\"\\ud7ff\"",
    "\"\\ud800\"",
    "\"\\udfff\"",
    "\"\\uffff\"",
    "\"\\ud83d\\ude00\"",
    "[]",
    "[null]",
    "[1]",
    "[1,2]",
    "[1,[]]",
    "[2]",
    "[\"a\"]",
    "[[1]]",
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"b\":1}",
    "{\"a\":2}",
    "{\"b\":0}",
};

TEST(JsonValue, TypesComeInTheirOrderAndValuesWithinThem)
{
    for (size_t i = 0; i < ascending.size(); i++) {
        for (size_t j = i; j < ascending.size(); j++) {
            expect_order(ascending[i], ascending[j], i == j ? 0 : -1);
        }
    }
}

TEST(JsonValue, EqualValuesHaveTheSameBytesHoweverTheyAreWritten)
{
    const std::vector<std::vector<std::string>> groups = {
        {"0", "-0", "0.0", "0e5", "-0.000E-9", "0e99999999999999999999999999"},
        {"1", "1.0", "10e-1", "0.1e1", "100E-2", "1e0", "1e-0", "0.001e+3"},
        {"-1200", "-1.2e3", "-12e2", "-0.0012e6"},
        {"1e100000000000000000", "10e99999999999999999", "0.1e100000000000000001"},
        {"1e-100000000000000000", "100e-100000000000000002"},
        {"\"a\"", "\"\\u0061\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        {"\"/\\n\"", "\"\\/\\u000a\""},
        {"{\"a\":1,\"b\":[2]}", "{ \"b\" : [ 2.0 ], \"\\u0061\" : 1e0 }"},
    };
    for (const auto &group : groups) {
        for (const auto &a : group) {
            for (const auto &b : group) {
                expect_order(a, b, 0);
            }
        }
    }
}

/* A number as digits and an exponent, and one of many ways to write it. */
struct Number {
    bool is_negative;
    std::string digits; /* first and last not '0'; empty: zero */
    long exponent;      /* 0.digits * 10^exponent */
};

int compare_numbers(const Number &a, const Number &b)
{
    int left = a.digits.empty() ? 0 : a.is_negative ? -1 : 1;
    int right = b.digits.empty() ? 0 : b.is_negative ? -1 : 1;
    if (left != right || left == 0) {
        return sign(left - right);
    }
    if (a.exponent != b.exponent) {
        return a.exponent < b.exponent ? -left : left;
    }
    return sign(a.digits.compare(b.digits)) * left;
}

class Numbers {
  public:
    explicit Numbers(unsigned seed) : random_(seed)
    {
    }

    Number make()
    {
        Number number{below(2) == 0, "", static_cast<long>(below(9)) - 4};
        if (below(8) == 0) {
            number.exponent = static_cast<long>(below(800)) - 400;
        }
        size_t count = below(6) == 0 ? 1 + below(60) : below(4);
        for (size_t i = 0; i < count; i++) {
            number.digits += static_cast<char>('0' + below(below(3) == 0 ? 10 : 2));
        }
        while (!number.digits.empty() && number.digits.back() == '0') {
            number.digits.pop_back();
        }
        while (!number.digits.empty() && number.digits.front() == '0') {
            number.digits.erase(0, 1);
        }
        return number;
    }

    std::string write(const Number &number)
    {
        std::string text = number.is_negative ? "-" : "";
        std::string zeros(below(4), '0');
        long exponent = number.exponent;
        switch (number.digits.empty() ? 3 : below(3)) {
        case 0: /* 12300e-5 */
            text += number.digits + zeros;
            exponent -= static_cast<long>(number.digits.size() + zeros.size());
            break;
        case 1: /* 0.00123e2 */
            text += "0." + zeros + number.digits;
            exponent += static_cast<long>(zeros.size());
            break;
        case 2: /* 1.2300e-1 */
            text += number.digits.substr(0, 1) + "." + number.digits.substr(1) + "0" + zeros;
            exponent -= 1;
            break;
        default:
            text += "0";
            break;
        }
        if (exponent != 0 || below(2) == 0) {
            text += below(2) == 0 ? "e" : "E";
            text += exponent >= 0 && below(2) == 0 ? "+" : "";
            text += std::to_string(exponent);
        }
        return text;
    }

    size_t below(size_t limit)
    {
        return random_() % limit;
    }

  private:
    std::mt19937 random_;
};

TEST(JsonValue, RandomNumbersSortByTheirValue)
{
    Numbers numbers(7);
    for (int i = 0; i < 20000; i++) {
        Number a = numbers.make();
        Number b = numbers.below(4) == 0 ? a : numbers.make();
        if (numbers.below(3) == 0) {
            b.exponent = a.exponent;
        }
        std::string left = numbers.write(a);
        std::string right = numbers.write(b);
        ASSERT_NO_FATAL_FAILURE(expect_order(left, right, compare_numbers(a, b)));
        if (HasFailure()) {
            return;
        }
    }
}

/* Random code units, written plainly or escaped. */
std::string quote(const std::vector<int> &characters, Numbers &random)
{
    std::string text = "\"";
    for (int character : characters) {
        char escaped[8];
        bool is_plain = character >= 0x20 && character < 0x80 && character != '"' &&
                        character != '\\' && random.below(2) == 0;
        snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(character));
        text += is_plain ? std::string(1, static_cast<char>(character)) : escaped;
    }
    return text + "\"";
}

TEST(JsonValue, RandomStringsSortByTheirCharacters)
{
    Numbers random(11);
    for (int i = 0; i < 20000; i++) {
        std::vector<int> sides[2];
        for (auto &side : sides) {
            size_t count = random.below(6);
            for (size_t j = 0; j < count; j++) {
                /* Below the surrogates order by code unit is order by UTF-8 bytes. */
                const int alphabet[] = {0, 1, 2, 'a', 'b', 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff};
                side.push_back(alphabet[random.below(10)]);
            }
        }
        int expected = sides[0] < sides[1] ? -1 : sides[1] < sides[0] ? 1 : 0;
        expect_order(quote(sides[0], random), quote(sides[1], random), expected);
        if (HasFailure()) {
            return;
        }
    }
}

TEST(JsonValue, EncodingsFollowingOneAnotherAreTakenApart)
{
    const std::vector<std::string> texts = {"",
                                            "null",
                                            "false",
                                            "true",
                                            "0",
                                            "-12",
                                            "1e-7",
                                            "1e400",
                                            "-1e400",
                                            "-1e-4000000",
                                            "7.5",
                                            "\"\"",
                                            "[]",
                                            "{}",
                                            "\"a\\u0000b\\u0001\"",
                                            "[1,[2,{\"a\":\"\"}],\"x\"]",
                                            "{\"a\":{\"b\":[]}}"};
    std::string all;
    for (const auto &text : texts) {
        all += encode(text);
    }
    cursor from = cursor_make(bytes_of(all));
    for (const auto &text : texts) {
        polarys_slice encoded;
        ASSERT_TRUE(json_encoded_take(&from, &encoded)) << text;
        EXPECT_TRUE(slice_equal(encoded, bytes_of(encode(text)))) << text;
        json_type type;
        ASSERT_TRUE(json_encoded_type(encoded, &type));
        EXPECT_EQ(type, value_of(text).type) << text;
    }
    EXPECT_EQ(cursor_left(&from), 0u);
}

TEST(JsonValue, BytesThatAreNoEncodingAreRefused)
{
    /* Every cut of a good one, and random bytes: no reading past the end, never more than there is. */
    std::string good = encode("[1,\"ab\",{\"k\":-1e4000,\"l\":1e-4000}]");
    for (size_t size = 0; size < good.size(); size++) {
        std::vector<uint8_t> exact(good.begin(), good.begin() + static_cast<long>(size));
        cursor from = cursor_make(slice_make(exact.data(), exact.size()));
        polarys_slice encoded;
        EXPECT_FALSE(json_encoded_take(&from, &encoded)) << size;
    }
    Numbers random(3);
    for (int i = 0; i < 20000; i++) {
        const uint8_t heads[] = {0x20, 0x22, 0x30, 0x40, 0x44, 0xe0, 0x01, 0x00};
        std::vector<uint8_t> bytes(random.below(12));
        for (auto &byte : bytes) {
            byte = random.below(2) == 0 ? heads[random.below(8)]
                                        : static_cast<uint8_t>(random.below(256));
        }
        cursor from = cursor_make(slice_make(bytes.data(), bytes.size()));
        polarys_slice encoded;
        if (json_encoded_take(&from, &encoded)) {
            EXPECT_LE(encoded.size, bytes.size());
        }
    }
}

TEST(JsonValue, ArraysTooDeepForADocumentAreNoEncoding)
{
    std::string deep(JSON_DEPTH_MAX + 1, '\x40');
    deep += std::string(JSON_DEPTH_MAX + 1, '\x01');
    cursor from = cursor_make(bytes_of(deep));
    polarys_slice encoded;
    EXPECT_FALSE(json_encoded_take(&from, &encoded));
    std::string deepest = deep.substr(1, deep.size() - 2);
    from = cursor_make(bytes_of(deepest));
    EXPECT_TRUE(json_encoded_take(&from, &encoded));
}

TEST(JsonValue, PrefixFormIsThatOfTheStringsThatBeginSo)
{
    buffer to{};
    ASSERT_EQ(json_string_encode_prefix(slice_make("a\0", 2), &to), POLARYS_OK);
    std::string prefix(reinterpret_cast<const char *>(to.data), to.size);
    buffer_deinit(&to);
    EXPECT_EQ(encode("\"a\\u0000\"").compare(0, prefix.size(), prefix), 0);
    EXPECT_EQ(encode("\"a\\u0000b\"").compare(0, prefix.size(), prefix), 0);
    EXPECT_NE(encode("\"a\"").compare(0, prefix.size(), prefix), 0);
    EXPECT_NE(encode("\"a\\u0001\"").compare(0, prefix.size(), prefix), 0);
}

TEST(JsonValue, StringsStartWithCharactersNotWithTheirEscapes)
{
    std::string plain = "\"abc\"";
    std::string escaped = "\"\\u0061\\u0062c\"";
    for (const auto &text : {plain, escaped}) {
        json_value value = value_of(text);
        EXPECT_TRUE(json_string_starts_with(&value, slice_from_text("")));
        EXPECT_TRUE(json_string_starts_with(&value, slice_from_text("ab")));
        EXPECT_TRUE(json_string_starts_with(&value, slice_from_text("abc")));
        EXPECT_FALSE(json_string_starts_with(&value, slice_from_text("abcd")));
        EXPECT_FALSE(json_string_starts_with(&value, slice_from_text("b")));
        EXPECT_FALSE(json_string_starts_with(&value, slice_from_text("\\u")));
        buffer scratch{};
        polarys_slice characters;
        ASSERT_EQ(json_string_text(&value, &scratch, &characters), POLARYS_OK);
        EXPECT_TRUE(slice_equal(characters, slice_from_text("abc")));
        buffer_deinit(&scratch);
    }
    json_value number = value_of("12");
    EXPECT_FALSE(json_string_starts_with(&number, slice_from_text("1")));
}

TEST(JsonValue, ApproximatesNumbersOfAnyLength)
{
    struct {
        std::string text;
        double expected;
    } cases[] = {
        {"0", 0},
        {"-12.5", -12.5},
        {"1e308", 1e308},
        {"1" + std::string(99, '0'), 1e99},
        {"-0." + std::string(99, '0') + "25", -2.5e-100},
        {"1e99999999999999999999999999999999999999999999999999999999999999999", INFINITY},
        {"1e-99999999999999999999999999999999999999999999999999999999999999999", 0},
        {"0e99999999999999999999999999999999999999999999999999999999999999999", 0},
    };
    for (const auto &each : cases) {
        json_value value = value_of(each.text);
        double got = json_number_approximate(&value);
        if (std::isinf(each.expected)) {
            EXPECT_EQ(got, each.expected) << each.text;
        } else {
            EXPECT_NEAR(got, each.expected, std::abs(each.expected) * 1e-14) << each.text;
        }
    }
}

TEST(JsonValue, LackOfMemoryIsAnErrorAndLeaksNothing)
{
    const std::string texts[] = {"{\"b\":[1e99999999999999999999],\"\\u0061\":\"\\u0000\"}",
                                 "[\"a\\u0020\", -1e400]"};
    for (const auto &text : texts) {
        json_value value = value_of(text);
        bool was_whole = false;
        for (uint64_t nth = 1; nth < 200 && !was_whole; nth++) {
            buffer to{};
            fault_alloc_fail_at(nth);
            polarys_code code = json_value_encode(&value, &to);
            was_whole = fault_alloc_disarm() == 0;
            EXPECT_EQ(code, was_whole ? POLARYS_OK : POLARYS_NO_MEMORY) << nth;
            EXPECT_TRUE(nth > 1 || !was_whole);
            buffer_deinit(&to);
        }
        EXPECT_TRUE(was_whole);
    }
}

} // namespace
