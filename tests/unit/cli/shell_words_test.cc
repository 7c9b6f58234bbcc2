/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/shell_words.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "client/cli/shell_input.h"

namespace {

struct Split {
    enum shell_split status;
    std::vector<std::string> words;
};

Split SplitStatement(const std::string &statement)
{
    struct shell_words words;
    Split split;
    split.status = shell_words_split(&words, statement.c_str());
    for (int i = 0; split.status == SHELL_SPLIT_DONE && i < words.count; i++) {
        split.words.push_back(words.words[i]);
    }
    shell_words_deinit(&words);
    return split;
}

using Words = std::vector<std::string>;

TEST(ShellWords, SplitsAtBlanks)
{
    EXPECT_EQ(SplitStatement("  get\tusers  ann ").words, (Words{"get", "users", "ann"}));
    EXPECT_EQ(SplitStatement("").words, Words{});
    EXPECT_EQ(SplitStatement("count users;").words, (Words{"count", "users"}));
    EXPECT_EQ(SplitStatement("count a;b ; ").words, (Words{"count", "a;b"}));
}

TEST(ShellWords, KeepsJsonAsItIs)
{
    EXPECT_EQ(SplitStatement("put t k {\"a\": \"b c;\", \"d\":\n [1, 2]};").words,
              (Words{"put", "t", "k", "{\"a\": \"b c;\", \"d\":\n [1, 2]}"}));
    EXPECT_EQ(SplitStatement("put t k [1, {\"x\": \"]\"}]").words,
              (Words{"put", "t", "k", "[1, {\"x\": \"]\"}]"}));
}

TEST(ShellWords, QuotesKeepBlanks)
{
    EXPECT_EQ(SplitStatement("get t 'a \"b\" c'").words, (Words{"get", "t", "a \"b\" c"}));
    EXPECT_EQ(SplitStatement("get t \"a \\\"b\\\" \\\\ \\n\"").words,
              (Words{"get", "t", "a \"b\" \\ \\n"}));
    EXPECT_EQ(SplitStatement("put t k '\"text\"' ''").words,
              (Words{"put", "t", "k", "\"text\"", ""}));
    EXPECT_EQ(SplitStatement("get t pre'a b'post").words, (Words{"get", "t", "prea bpost"}));
}

TEST(ShellWords, WantsMoreWhileSomethingIsOpen)
{
    for (const char *text :
         {"put t k {", "put t k {\"a\": \"", "put t k [1,", "get t 'a", "get t \"a\\"}) {
        EXPECT_EQ(SplitStatement(text).status, SHELL_SPLIT_INCOMPLETE) << text;
    }
}

TEST(ShellWords, LeavesCommentsOut)
{
    EXPECT_EQ(SplitStatement("# nothing").words, Words{});
    EXPECT_EQ(SplitStatement("count t # all").words, (Words{"count", "t"}));
    EXPECT_EQ(SplitStatement("get t a#b").words, (Words{"get", "t", "a#b"}));
}

TEST(ShellWords, HasALimit)
{
    std::string many;
    for (int i = 0; i < SHELL_WORDS_MAX; i++) {
        many += "''";
        many += " ";
    }
    EXPECT_EQ(SplitStatement(many).words.size(), (size_t)SHELL_WORDS_MAX);
    EXPECT_EQ(SplitStatement(many + "x").status, SHELL_SPLIT_TOO_MANY);
}

Words Complete(const std::string &line, const std::string &word)
{
    static const char *const tables[] = {"users", "user_log", "orders", nullptr};
    Words found;
    for (int i = 0; i < 100; i++) {
        char *candidate = shell_completion(line.c_str(), word.c_str(), i, tables);
        if (candidate == nullptr) {
            break;
        }
        found.push_back(candidate);
        free(candidate);
    }
    return found;
}

enum shell_wish Wish(const std::string &line, const std::string &word, std::string *table)
{
    char room[POLARYS_CLIENT_NAME_MAX + 1];
    enum shell_wish wish = shell_completion_wish(line.c_str(), word.c_str(), room);
    *table = room;
    return wish;
}

TEST(ShellCompletion, WishesForWhatBelongsThere)
{
    std::string table;
    EXPECT_EQ(Wish("get us", "us", &table), SHELL_WISH_TABLES);
    EXPECT_EQ(Wish("index create us", "us", &table), SHELL_WISH_TABLES);
    EXPECT_EQ(Wish("index create users na", "na", &table), SHELL_WISH_FIELDS);
    EXPECT_EQ(table, "users");
    EXPECT_EQ(Wish("index create --kind text users ", "", &table), SHELL_WISH_FIELDS);
    EXPECT_EQ(table, "users");
    EXPECT_EQ(Wish("search users ", "", &table), SHELL_WISH_FIELDS);
    EXPECT_EQ(Wish("index drop users by", "by", &table), SHELL_WISH_INDEXES);
    EXPECT_EQ(Wish("index check users ", "", &table), SHELL_WISH_INDEXES);
    EXPECT_EQ(Wish("query users 'a = 1' --order-by a", "a", &table), SHELL_WISH_FIELDS);
    EXPECT_EQ(Wish("query users --limit 3", "3", &table), SHELL_WISH_NONE);
    EXPECT_EQ(Wish("query users a", "a", &table), SHELL_WISH_NONE);
    EXPECT_EQ(Wish("query users --l", "--l", &table), SHELL_WISH_NONE);
    EXPECT_EQ(Wish("status ", "", &table), SHELL_WISH_NONE);
    EXPECT_EQ(Wish("get 'us", "us", &table), SHELL_WISH_NONE);
}

TEST(ShellCompletion, OffersTheNextOfAListAndTheValuesOfAnOption)
{
    EXPECT_EQ(Complete("index create t a,us", "a,us"), (Words{"a,users", "a,user_log"}));
    EXPECT_EQ(Complete("index create t a --kind ", ""), (Words{"ordered", "hash", "text"}));
    EXPECT_EQ(Complete("get t k -o j", "j"), Words{"json"});
    EXPECT_EQ(Complete("be", "be"), (Words{"begin", "bench"}));
    EXPECT_EQ(Complete("roll", "roll"), Words{"rollback"});
}

TEST(ShellCompletion, OffersCommandsThenTablesThenOptions)
{
    EXPECT_EQ(Complete("ta", "ta"), Words{"table"});
    EXPECT_EQ(Complete("table d", "d"), (Words{"describe", "drop"}));
    EXPECT_EQ(Complete("get us", "us"), (Words{"users", "user_log"}));
    EXPECT_EQ(Complete("table drop o", "o"), Words{"orders"});
    EXPECT_EQ(Complete("put users k 1 --if", "--if"),
              (Words{"--if-version", "--if-absent", "--if-present"}));
    EXPECT_EQ(Complete("get users x", "x"), Words{});
    EXPECT_EQ(Complete("frob x", "x"), Words{});
    EXPECT_EQ(Complete("put t {", "{"), Words{});
}

} // namespace
