/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/json_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

std::vector<std::pair<std::string, std::string>> Members(const std::string &text)
{
    std::vector<std::pair<std::string, std::string>> members;
    struct object_walk walk;
    struct object_member member;
    if (object_walk_init(&walk, text.data(), text.size())) {
        while (object_walk_next(&walk, &member)) {
            members.emplace_back(std::string(member.name, member.name_size),
                                 std::string(member.value, member.value_size));
        }
    }
    return members;
}

TEST(ObjectWalk, GivesMembersWordForWord)
{
    auto members = Members(
        " { \"a\" : 1.50 ,\"b\":\"x\\\"}\", \"c\":{\"d\":[1,{}]},\"e\":[\"]\"], \"f\":null} ");
    ASSERT_EQ(members.size(), 5u);
    EXPECT_EQ(members[0], std::make_pair(std::string("a"), std::string("1.50")));
    EXPECT_EQ(members[1].second, "\"x\\\"}\"");
    EXPECT_EQ(members[2].second, "{\"d\":[1,{}]}");
    EXPECT_EQ(members[3].second, "[\"]\"]");
    EXPECT_EQ(members[4].second, "null");
}

TEST(ObjectWalk, TakesObjectsOnly)
{
    struct object_walk walk;
    for (std::string text : {"", "[1]", "1", "\"{\"", "  "}) {
        EXPECT_FALSE(object_walk_init(&walk, text.data(), text.size())) << text;
    }
    EXPECT_TRUE(Members("{}").empty());
}

TEST(ObjectWalk, NeverRunsPastTheEndOfBadText)
{
    std::string text = "{\"a\":{\"b\":[1,\"c\\\"d\"]},\"e\":12,\"f\":\"g\"}";
    for (size_t size = 0; size <= text.size(); size++) {
        std::string cut(text.data(), size);
        cut.shrink_to_fit();
        std::vector<char> exact(cut.begin(), cut.end());
        struct object_walk walk;
        struct object_member member;
        if (!exact.empty() && object_walk_init(&walk, exact.data(), exact.size())) {
            while (object_walk_next(&walk, &member)) {
                EXPECT_LE(member.value + member.value_size, exact.data() + exact.size());
            }
        }
    }
}

TEST(JsonTextEnd, FindsTheClosingBracket)
{
    EXPECT_EQ(json_text_end("{\"a\":\"}\"} x", 12), 9u);
    EXPECT_EQ(json_text_end("[[1],[2]]", 9), 9u);
    EXPECT_EQ(json_text_end("{\"a\":", 5), 0u);
    EXPECT_EQ(json_text_end("{\"a", 3), 0u);
    EXPECT_EQ(json_text_end("\"a\\\"\"", 5), 5u);
    EXPECT_EQ(json_text_end("", 0), 0u);
}

TEST(ArrayWalk, GivesElementsWordForWord)
{
    const std::string text = " [ 1 ,{\"a\":[2,3]}, \"x,]\",null] ";
    struct object_walk walk;
    std::vector<std::string> found;
    const char *value;
    size_t size;
    ASSERT_TRUE(array_walk_init(&walk, text.data(), text.size()));
    while (array_walk_next(&walk, &value, &size)) {
        found.push_back(std::string(value, size));
    }
    EXPECT_EQ(found, (std::vector<std::string>{"1", "{\"a\":[2,3]}", "\"x,]\"", "null"}));
    EXPECT_FALSE(array_walk_init(&walk, "{}", 2));
    ASSERT_TRUE(array_walk_init(&walk, "[]", 2));
    EXPECT_FALSE(array_walk_next(&walk, &value, &size));
    ASSERT_TRUE(array_walk_init(&walk, "[1", 2));
    EXPECT_TRUE(array_walk_next(&walk, &value, &size));
    EXPECT_FALSE(array_walk_next(&walk, &value, &size));
}

} // namespace
