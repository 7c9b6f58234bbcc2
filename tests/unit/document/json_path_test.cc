/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths, and the values that a set of them has in a document.
 */
#include <gtest/gtest.h>

#include <map>
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

std::string text_of(polarys_slice slice)
{
    return slice.size == 0 ? ""
                           : std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

class Paths {
  public:
    explicit Paths(const std::vector<std::string> &texts)
    {
        parsed_.resize(texts.size());
        for (size_t i = 0; i < texts.size(); i++) {
            polarys_error err;
            EXPECT_EQ(json_path_init(&parsed_[i], bytes_of(texts[i]), &err), POLARYS_OK)
                << texts[i];
        }
        EXPECT_EQ(json_paths_create(parsed_.data(), parsed_.size(), &set_, nullptr), POLARYS_OK);
        EXPECT_EQ(json_paths_count(set_), texts.size());
        for (auto &path : parsed_) {
            json_path_deinit(&path); /* the set keeps what it needs */
        }
    }
    ~Paths()
    {
        json_paths_destroy(set_);
    }
    Paths(const Paths &) = delete;
    Paths &operator=(const Paths &) = delete;

    /* "path index:value " in the order told, whole arrays in <>, missing as "-". `limit` matches. */
    std::string extract(const std::string &document, size_t limit = SIZE_MAX)
    {
        EXPECT_EQ(json_check(bytes_of(document), nullptr), POLARYS_OK) << document;
        /* Exactly as long, so that a sanitizer sees a read past the end. */
        std::vector<uint8_t> exact(document.begin(), document.end());
        Told told{"", limit};
        bool is_whole =
            json_paths_extract(set_, slice_make(exact.data(), exact.size()), tell, &told);
        EXPECT_EQ(is_whole, told.left > 0);
        return told.text;
    }

  private:
    struct Told {
        std::string text;
        size_t left;
    };
    static bool tell(void *context, size_t path, json_match_kind kind, json_value value)
    {
        Told *told = static_cast<Told *>(context);
        std::string text = value.type == JSON_MISSING ? "-" : text_of(value.text);
        if (value.type != JSON_MISSING) {
            EXPECT_EQ(value.type, json_value_make(value.text).type);
        }
        told->text += (told->text.empty() ? "" : " ") + std::to_string(path) + ":" +
                      (kind == JSON_MATCH_ARRAY ? "<" + text + ">" : text);
        return --told->left > 0;
    }
    std::vector<json_path> parsed_;
    json_paths *set_ = nullptr;
};

std::string extract(const std::vector<std::string> &paths, const std::string &document)
{
    return Paths(paths).extract(document);
}

TEST(JsonPath, NamesAreJoinedByDotsAndUnusualOnesStandInBackticks)
{
    json_path path;
    ASSERT_EQ(json_path_init(&path, slice_from_text("a.`x.y-z`.B_9.``.`\xc3\xa9`"), nullptr),
              POLARYS_OK);
    ASSERT_EQ(path.name_count, 5u);
    const char *names[] = {"a", "x.y-z", "B_9", "", "\xc3\xa9"};
    for (size_t i = 0; i < 5; i++) {
        EXPECT_EQ(text_of(path.names[i]), names[i]);
    }
    EXPECT_STREQ(path.text, "a.`x.y-z`.B_9.``.`\xc3\xa9`");
    json_path_deinit(&path);
}

TEST(JsonPath, WhatIsNoPathIsRefused)
{
    std::string deep = "a";
    for (int i = 1; i < JSON_PATH_NAMES_MAX; i++) {
        deep += ".a";
    }
    json_path path;
    polarys_error err;
    ASSERT_EQ(json_path_init(&path, bytes_of(deep), &err), POLARYS_OK);
    json_path_deinit(&path);
    std::string longest(JSON_PATH_BYTES_MAX, 'x');
    ASSERT_EQ(json_path_init(&path, bytes_of(longest), &err), POLARYS_OK);
    json_path_deinit(&path);
    const std::vector<std::string> bad = {"",
                                          ".",
                                          "a.",
                                          ".a",
                                          "a..b",
                                          "a b",
                                          "a-b",
                                          "`a",
                                          "`a`b",
                                          "a`b`",
                                          "`a`.",
                                          "\xc3\xa9",
                                          "`\xff`",
                                          deep + ".a",
                                          longest + "x",
                                          "a[0]",
                                          std::string("`a\0b`", 5)};
    for (const auto &text : bad) {
        EXPECT_EQ(json_path_init(&path, bytes_of(text), &err), POLARYS_BAD_ARGUMENT) << text;
        EXPECT_EQ(path.names, nullptr);
        EXPECT_NE(polarys_error_detail_find(&err, "field"), nullptr);
    }
}

TEST(JsonPath, ScanStopsWhereThePathDoes)
{
    const std::pair<std::string, size_t> cases[] = {
        {"price < 5", 5}, {"a.b=1", 3}, {"a.`b c`>1", 7}, {"a.(", 1}, {"", 0},
        {"<", 0},         {"`a", 0},    {"a.`b", 1},      {"a.b.", 3}};
    for (const auto &each : cases) {
        EXPECT_EQ(json_path_scan(bytes_of(each.first)), each.second) << each.first;
    }
}

TEST(JsonExtract, FollowsNamesThroughObjects)
{
    std::string document = R"( { "a" : { "b" : 1 , "c" : { "d" : "x" } } , "e" : null } )";
    EXPECT_EQ(extract({"a.b"}, document), "0:1");
    EXPECT_EQ(extract({"e", "a.c.d", "a.b"}, document), "2:1 1:\"x\" 0:null");
    EXPECT_EQ(extract({"a.c"}, document), "0:{ \"d\" : \"x\" }");
    EXPECT_EQ(extract({"a.x", "b", "a.b.c", "e.f"}, document), "0:- 1:- 2:- 3:-");
    /* A path on the way of another, and the same one twice. */
    EXPECT_EQ(extract({"a.c", "a.c.d", "a.c.d"}, document), "0:{ \"d\" : \"x\" } 2:\"x\" 1:\"x\"");
    EXPECT_EQ(extract({}, document), "");
}

TEST(JsonExtract, AnArrayYieldsItsElements)
{
    EXPECT_EQ(extract({"t"}, R"({"t":[1,"a",[2,3],{"x":4}]})"),
              R"(0:<[1,"a",[2,3],{"x":4}]> 0:1 0:"a" 0:[2,3] 0:{"x":4})");
    EXPECT_EQ(extract({"t.x"}, R"({"t":[1,{"x":2},[{"x":9}],{"y":3},{"x":[4,5]}]})"),
              "0:2 0:<[4,5]> 0:4 0:5");
    EXPECT_EQ(extract({"t", "t.x"}, R"({"t":[{"x":1},{"x":2}]})"),
              R"(0:<[{"x":1},{"x":2}]> 0:{"x":1} 0:{"x":2} 1:1 1:2)");
    EXPECT_EQ(extract({"x"}, R"([{"x":1},2,{"x":3}])"), "0:1 0:3");
    /* None at all: missing. */
    EXPECT_EQ(extract({"t", "t.x"}, R"({"t":[]})"), "0:<[]> 0:- 1:-");
    EXPECT_EQ(extract({"t.x"}, R"({"t":[1,[{"x":1}]]})"), "0:-");
    EXPECT_EQ(extract({"t.x", "u"}, R"({"t":[ {"x": [ ] } , {"x":1} ] , "u" : 2})"),
              "0:<[ ]> 0:1 1:2");
}

TEST(JsonExtract, OtherTopLevelValuesHaveNoMembers)
{
    for (const char *document : {"1", "\"a\"", "null", " true ", "[]", "{}", "[1]"}) {
        EXPECT_EQ(extract({"a", "b.c"}, document), "0:- 1:-") << document;
    }
}

TEST(JsonExtract, NamesAreComparedByTheirCharacters)
{
    EXPECT_EQ(extract({"ab"}, R"({"\u0061b":1})"), "0:1");
    EXPECT_EQ(extract({"`a\nb`"}, "{\"a\\nb\":1}"), "0:1");
    /* A backslash in the path is a character, not an escape. */
    EXPECT_EQ(extract({"`a\\nb`"}, "{\"a\\nb\":1}"), "0:-");
    EXPECT_EQ(extract({"`a\\nb`"}, "{\"a\\\\nb\":1}"), "0:1");
    EXPECT_EQ(extract({"`\xf0\x9f\x98\x80`"}, "{\"\\ud83d\\ude00\":1}"), "0:1");
    EXPECT_EQ(extract({"ab"}, R"({"\u0061":1,"b":{"b":2}})"), "0:-");
    EXPECT_EQ(extract({"``"}, R"({"":7})"), "0:7");
}

TEST(JsonExtract, SkipsWhatLooksLikeStructureInsideStrings)
{
    EXPECT_EQ(extract({"z"}, R"({"a":"}{][\",\\","b":["]",{"c":"\\\"}"}],"z":5})"), "0:5");
    EXPECT_EQ(extract({"z"}, R"({"a":"0123456789abcdef\\","z":"0123456\"89"})"),
              R"(0:"0123456\"89")");
}

TEST(JsonExtract, EndsWhenToldTo)
{
    Paths paths({"t", "a"});
    EXPECT_EQ(paths.extract(R"({"t":[1,2,3],"a":4})", 1), "0:<[1,2,3]>");
    EXPECT_EQ(paths.extract(R"({"t":[1,2,3],"a":4})", 3), "0:<[1,2,3]> 0:1 0:2");
    EXPECT_EQ(paths.extract(R"({"x":0})", 1), "0:-");
}

TEST(JsonExtract, TooManyPathsAndLackOfMemoryAreErrors)
{
    json_path path;
    ASSERT_EQ(json_path_init(&path, slice_from_text("a.b"), nullptr), POLARYS_OK);
    std::vector<json_path> many(JSON_PATHS_MAX + 1, path);
    json_paths *set;
    polarys_error err;
    EXPECT_EQ(json_paths_create(many.data(), many.size(), &set, &err), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(set, nullptr);
    ASSERT_EQ(json_paths_create(many.data(), JSON_PATHS_MAX, &set, &err), POLARYS_OK);
    size_t told = 0;
    auto count = [](void *context, size_t, json_match_kind, json_value) {
        ++*static_cast<size_t *>(context);
        return true;
    };
    EXPECT_TRUE(json_paths_extract(set, slice_from_text("{\"a\":{\"b\":1}}"), count, &told));
    EXPECT_EQ(told, static_cast<size_t>(JSON_PATHS_MAX));
    json_paths_destroy(set);
    for (uint64_t nth = 1; nth < 10; nth++) {
        fault_alloc_fail_at(nth);
        polarys_code code = json_paths_create(&path, 1, &set, &err);
        bool fired = fault_alloc_disarm() > 0;
        EXPECT_EQ(code, fired ? POLARYS_NO_MEMORY : POLARYS_OK);
        EXPECT_TRUE(fired || nth > 4);
        json_paths_destroy(set);
        json_path second;
        fault_alloc_fail_at(nth);
        code = json_path_init(&second, slice_from_text("x.y"), &err);
        fired = fault_alloc_disarm() > 0;
        EXPECT_EQ(code, fired ? POLARYS_NO_MEMORY : POLARYS_OK);
        json_path_deinit(&second);
    }
    json_path_deinit(&path);
}

/* A document tree to compare with: the definition of extraction, written the slow way. */
struct Node {
    char kind; /* 'n' number, 'o', 'a' */
    int number;
    std::vector<std::pair<std::string, Node>> members; /* names empty for arrays */
};

std::string write(const Node &node)
{
    if (node.kind == 'n') {
        return std::to_string(node.number);
    }
    std::string text(1, node.kind == 'o' ? '{' : '[');
    for (size_t i = 0; i < node.members.size(); i++) {
        text += i == 0 ? "" : ",";
        text += node.kind == 'o' ? "\"" + node.members[i].first + "\":" : "";
        text += write(node.members[i].second);
    }
    return text + (node.kind == 'o' ? "}" : "]");
}

void find(const Node &node, const std::vector<std::string> &names, size_t at,
          std::vector<std::string> *found)
{
    if (at == names.size()) {
        if (node.kind != 'a') {
            found->push_back(write(node));
            return;
        }
        for (const auto &element : node.members) {
            found->push_back(write(element.second));
        }
        return;
    }
    if (node.kind == 'o') {
        for (const auto &member : node.members) {
            if (member.first == names[at]) {
                find(member.second, names, at + 1, found);
            }
        }
    } else if (node.kind == 'a') {
        for (const auto &element : node.members) {
            if (element.second.kind == 'o') {
                find(element.second, names, at, found);
            }
        }
    }
}

Node make_node(std::mt19937 &random, int depth)
{
    Node node{'n', static_cast<int>(random() % 100), {}};
    unsigned kind = random() % 5;
    if (depth == 0 || kind == 0) {
        return node;
    }
    node.kind = kind < 4 ? 'o' : 'a';
    for (const char *name : {"a", "b", "c"}) {
        if (random() % 3 != 0) {
            node.members.emplace_back(node.kind == 'o' ? name : "", make_node(random, depth - 1));
        }
    }
    return node;
}

TEST(JsonExtract, RandomDocumentsGiveWhatTheDefinitionSays)
{
    std::mt19937 random(5);
    for (int round = 0; round < 3000; round++) {
        Node root = make_node(random, 4);
        std::vector<std::string> paths;
        std::vector<std::vector<std::string>> names;
        for (unsigned i = 0; i < 1 + random() % 4; i++) {
            std::vector<std::string> path;
            std::string text;
            for (unsigned j = 0; j < 1 + random() % 3; j++) {
                path.emplace_back(1, static_cast<char>('a' + random() % 3));
                text += (j == 0 ? "" : ".") + path.back();
            }
            names.push_back(path);
            paths.push_back(text);
        }
        std::string document = write(root);
        std::string got = " " + Paths(paths).extract(document) + " ";
        for (size_t i = 0; i < paths.size(); i++) {
            std::vector<std::string> found;
            find(root, names[i], 0, &found);
            std::string expected;
            for (const auto &value : found) {
                expected += (expected.empty() ? "" : " ") + value;
            }
            expected = found.empty() ? "-" : expected;
            std::string values;
            std::string key = " " + std::to_string(i) + ":";
            for (size_t at = got.find(key); at != std::string::npos; at = got.find(key, at + 1)) {
                size_t end = got.find(' ', at + 1);
                std::string value = got.substr(at + key.size(), end - at - key.size());
                values += value[0] == '<' ? "" : (values.empty() ? "" : " ") + value;
            }
            ASSERT_EQ(values, expected) << paths[i] << " in " << document;
        }
    }
}

} // namespace
