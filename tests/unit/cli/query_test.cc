/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "client/cli/field_path.h"
#include "client/cli/output.h"
#include "client/cli/plan_output.h"
#include "client/cli/text.h"
#include "tests/unit/cli/cli_run.h"

namespace {

using testing::HasSubstr;

std::string Quoted(const std::string &field)
{
    char *path = field_path_quote(field.data(), field.size());
    std::string text = path;
    free(path);
    return text;
}

TEST(FieldPath, QuotesOnlyNamesThatNeedIt)
{
    EXPECT_EQ(Quoted("Section"), "Section");
    EXPECT_EQ(Quoted("a_1.b"), "a_1.b");
    EXPECT_EQ(Quoted("Installed-Size"), "`Installed-Size`");
    EXPECT_EQ(Quoted("a.Installed-Size.b"), "a.`Installed-Size`.b");
    EXPECT_EQ(Quoted("gr\xc3\xb6\xc3\x9f"
                     "e"),
              "`gr\xc3\xb6\xc3\x9f"
              "e`");
    EXPECT_EQ(Quoted("-.-.-"), "`-`.`-`.`-`");
}

TEST(FieldPath, LeavesWhatIsQuotedOrWrongAsItIs)
{
    EXPECT_EQ(Quoted("`a.b`.c-d"), "`a.b`.c-d");
    EXPECT_EQ(Quoted("a..b"), "a..b");
    EXPECT_EQ(Quoted("."), ".");
    EXPECT_EQ(Quoted(""), "");
}

/* Runs a reader with a cli that prints nowhere. */
template <typename Read> enum cli_status WithCli(Read read)
{
    struct cli cli;
    FILE *nowhere = fopen("/dev/null", "r+");
    cli_init(&cli, nowhere, nowhere, nowhere);
    enum cli_status status = read(&cli);
    cli_deinit(&cli);
    fclose(nowhere);
    return status;
}

std::vector<std::string> Paths(const std::string &text, enum cli_status *status)
{
    std::vector<std::string> found;
    struct field_paths paths = {};
    *status = WithCli(
        [&](struct cli *cli) { return field_paths_read(cli, "--fields", text.c_str(), &paths); });
    for (size_t i = 0; i < paths.count; i++) {
        found.push_back(paths.paths[i]);
    }
    field_paths_deinit(&paths);
    return found;
}

TEST(FieldPath, SplitsAtCommasOutsideBackticks)
{
    enum cli_status status;
    EXPECT_EQ(Paths("a, b-c ,`d,e`", &status), (std::vector<std::string>{"a", "`b-c`", "`d,e`"}));
    EXPECT_EQ(status, CLI_DONE);
    for (const char *text : {"", "a,,b", ",a", "a,"}) {
        (void)Paths(text, &status);
        EXPECT_EQ(status, CLI_USAGE) << text;
    }
    std::string many = "a";
    for (int i = 0; i < FIELD_PATHS_MAX; i++) {
        many += ",a";
    }
    (void)Paths(many, &status);
    EXPECT_EQ(status, CLI_USAGE);
}

std::string Order(const std::string &text, enum cli_status *status)
{
    char *order = nullptr;
    *status = WithCli([&](struct cli *cli) { return field_order_read(cli, text.c_str(), &order); });
    std::string found = order == nullptr ? "" : order;
    free(order);
    return found;
}

TEST(FieldPath, OrdersKeepTheirDirections)
{
    enum cli_status status;
    EXPECT_EQ(Order("Installed-Size desc,name", &status), "`Installed-Size` desc, name");
    EXPECT_EQ(Order(" a-b  ASC , `x y` desc", &status), "`a-b`  ASC, `x y` desc");
    EXPECT_EQ(Order("desc", &status), "desc");
    EXPECT_EQ(status, CLI_DONE);
    EXPECT_EQ(Order("`x y`", &status), "`x y`");
    EXPECT_EQ(status, CLI_DONE);
    for (const char *wrong : {"age sideways", "age descending", "a, b  down", "x y"}) {
        EXPECT_EQ(Order(wrong, &status), "") << wrong;
        EXPECT_EQ(status, CLI_USAGE) << wrong;
    }
    EXPECT_EQ(Order("a,,b", &status), "");
    EXPECT_EQ(status, CLI_USAGE);
}

TEST(QueryCommand, RefusesBadUsageBeforeItAsksTheServer)
{
    for (auto &words : std::vector<std::vector<std::string>>{
             {"query"},
             {"query", "t", "f", "x"},
             {"query", "t", "f", "--limit", "0"},
             {"query", "t", "f", "--fields", "a,,b"},
             {"query", "t", "f", "--order-by", ","},
             {"query", "t", "f", "--cursor", "xyz"},
             {"query", "t", "f", "--cursor", "00", "--explain"},
             {"query", "t", "f", "--offset", "1"},
             {"search", "t", "f"},
             {"search", "t", "f", "x", "--limit", "many"},
             {"search", "t", "f", "x", "--fields", ","},
             {"count", "t", "f", "x"},
             {"get", "t", "k", "--for-update"},
             {"index"},
             {"index", "create", "t"},
             {"index", "create", "t", "a,"},
             {"index", "create", "t", "a,b,c,d,e,f,g,h,i"},
             {"index", "create", "t", "a", "--kind", "tree"},
             {"index", "create", "t", "a", "--kind", "text", "--unique"},
             {"index", "create", "t", "a", "--language", "english"},
             {"index", "drop", "t"},
             {"txn", "x"},
             {"txn", "--isolation", "chaos"},
             {"txn", "--mode", "angry"},
             {"txn", "--idle-timeout", "0"},
             {"txn", "--txn-timeout", "soon"},
             {"txn", "--durability", "often"},
             {"transact"},
         }) {
        CliOutcome outcome = RunCli(words);
        EXPECT_EQ(outcome.status, CLI_USAGE) << words[0] << " " << words.back();
        EXPECT_THAT(outcome.err, HasSubstr("polarys: BAD_USAGE: "));
        EXPECT_EQ(outcome.out, "");
    }
}

TEST(QueryCommand, SaysThatNobodyIsThere)
{
    for (auto &words : std::vector<std::vector<std::string>>{
             {"query", "t"}, {"search", "t", "f", "x"}, {"index", "list", "t"}}) {
        CliOutcome outcome = RunCli(words);
        EXPECT_EQ(outcome.status, CLI_FAILED);
        EXPECT_THAT(outcome.err, HasSubstr("polarys: UNAVAILABLE: "));
    }
}

TEST(TxnCommand, DoesNothingWithoutStatements)
{
    CliOutcome outcome = RunCli({"txn"}, "\n# nothing\n  \n");
    EXPECT_EQ(outcome.status, CLI_DONE);
    EXPECT_EQ(outcome.out + outcome.err, "");
}

TEST(TxnCommand, RefusesAnEndWithoutABeginning)
{
    for (const char *text : {"commit\n", "rollback\n"}) {
        EXPECT_EQ(RunCli({"txn"}, text).status, CLI_USAGE);
    }
    EXPECT_EQ(RunCli({"txn"}, "put t k {\n").status, CLI_USAGE);
    EXPECT_EQ(RunCli({"txn"}, "put t k 1\n").status, CLI_FAILED);
    EXPECT_EQ(RunCli({"txn"}, "put t k 1\n", true).status, CLI_USAGE);
}

TEST(ShellTransactions, EndOnlyWhatIsOpen)
{
    for (const char *text : {"commit\n", "rollback\n", "commit now\n", "begin --mode x\n",
                             "begin --frob\n", "txn\n"}) {
        CliOutcome outcome = RunCli({"shell"}, text);
        EXPECT_EQ(outcome.status, CLI_USAGE) << text;
    }
    EXPECT_EQ(RunCli({"shell"}, "begin\n").status, CLI_FAILED);
    EXPECT_THAT(RunCli({"shell"}, "begin --help\n").out, HasSubstr("--isolation"));
}

struct TransactCase {
    const char *text;
    enum cli_status status;
    const char *says;
};

void ExpectTransact(const TransactCase &each)
{
    CliOutcome outcome = RunCli({"transact", "-"}, each.text);
    EXPECT_EQ(outcome.status, each.status) << each.text;
    EXPECT_THAT(outcome.err, HasSubstr(each.says)) << each.text;
}

TEST(TransactCommand, NamesTheComparisonThatIsWrong)
{
    const TransactCase cases[] = {
        {"{", CLI_FAILED, "BAD_JSON"},
        {"[]", CLI_FAILED, "is an object"},
        {"{\"then\":1}", CLI_FAILED, "\"then\" is no array"},
        {R"({"then":[{"get":"a"}]})", CLI_FAILED, R"(then[0]: no "table", here or for all)"},
        {R"({"els":[]})", CLI_FAILED, R"("els" has no meaning here)"},
        {R"({"table":["t"],"then":[]})", CLI_FAILED, R"("table" is no text)"},
        {R"({"table":"t","then":[1]})", CLI_FAILED, R"(then[0]: is none of)"},
        {R"({"compare":[{"table":"t"}]})", CLI_FAILED, R"(compare[0]: no "key")"},
        {R"({"compare":[{"table":{},"key":"a","exists":true}]})", CLI_FAILED,
         R"(compare[0]: "table" is no text)"},
        {R"({"table":"t","compare":[{"key":"a"}]})", CLI_FAILED, R"(compare[0]: says not one of)"},
        {R"({"table":"t","compare":[{"key":"a","exists":true,"version":1}]})", CLI_FAILED,
         R"(compare[0]: says not one of)"},
        {R"({"table":"t","compare":[{"key":"a","exists":1}]})", CLI_FAILED, R"(true or false)"},
        {R"({"table":"t","compare":[{"key":"a","version":-1}]})", CLI_FAILED, R"(no version)"},
        {R"({"table":"t","compare":[{"key":"a","version":"x"}]})", CLI_FAILED, R"(no version)"},
        {R"({"table":"t","compare":[{"key":"a","version":null}]})", CLI_FAILED,
         R"(compare[0]: "version" is no text)"},
        {R"({"table":"t","compare":[{"key":"a","field":"f"}]})", CLI_FAILED,
         R"(goes with "equals")"},
        {R"({"table":"t","compare":[{"key":"a","exists":true,"if":1}]})", CLI_FAILED,
         R"(compare[0]: "if" has no meaning here)"},
    };
    for (const TransactCase &each : cases) {
        ExpectTransact(each);
    }
}

TEST(TransactCommand, NamesTheOperationThatIsWrong)
{
    const TransactCase cases[] = {
        {R"({"table":"t","then":[{"get":"x"},{"put":"a"}]})", CLI_FAILED, R"(put takes a "value")"},
        {R"({"table":"t","then":[{"get":"x"},{"put":"a","value":1,"raw":"AA=="}]})", CLI_FAILED,
         R"(not both)"},
        {R"({"table":"t","then":[{"get":"x"},{"put":"a","raw":"?"}]})", CLI_FAILED, R"(no base64)"},
        {R"({"table":"t","then":[{"get":"x"},{"put":"","value":1}]})", CLI_FAILED,
         R"(no "put", or an empty one)"},
        {R"({"table":"t","then":[{"get":"x"},{"put":"a","vale":1}]})", CLI_FAILED,
         R"("vale" has no meaning here)"},
        {R"({"table":"t","then":[{"get":"x"},{"put":"a","value":1,"delete":"b"}]})", CLI_FAILED,
         R"("delete" has no meaning here)"},
        {R"({"table":"t","then":[{"get":"x"},{"put":"a","value":1,"expires_at":5}]})", CLI_FAILED,
         R"("expires_at" is '5', not a time)"},
        {R"({"table":"t","then":[{"get":"x"},{"get":"a","value":1}]})", CLI_FAILED,
         R"("value" has no meaning here)"},
        {R"({"table":"t","then":[{"get":"x"},{"update":"a"}]})", CLI_FAILED, R"(update takes)"},
        {R"({"table":"t","then":[{"get":"x"},{"update":"a","patch":{},"raw":""}]})", CLI_FAILED,
         R"("raw" has no meaning here)"},
        {R"({"table":"t","then":[{"get":"x"},{"delete_range":{}}]})", CLI_FAILED,
         R"(delete_range takes)"},
        {R"({"table":"t","then":[{"get":"x"},{"delete_range":{"all":false}}]})", CLI_FAILED,
         R"(delete_range takes)"},
        {R"({"table":"t","then":[{"get":"x"},{"delete_range":{"all":true,"from":"a"}}]})",
         CLI_FAILED, R"(delete_range takes)"},
        {R"({"table":"t","then":[{"get":"x"},{"delete_range":"a"}]})", CLI_FAILED,
         R"(is no object)"},
        {R"({"table":"t","then":[{"get":"x"},{"delete_range":{"until":"a"}}]})", CLI_FAILED,
         R"("until" has no meaning here)"},
        {R"({"table":"t","then":[{"get":"x"},{"frob":"a"}]})", CLI_FAILED,
         R"(is none of get, put)"},
        {R"({"table":"t","else":[{"frob":"a"}]})", CLI_FAILED, R"(else[0]: is none of)"},
        {R"({"table":"t","compare":[{"key":"a","field":"f","equals":1}],)"
         R"("then":[{"put":"a","raw":"AA==","expires_at":"2036-01-02T03:04:05Z"},)"
         R"({"delete_range":{"prefix":"a"}}],"else":[{"delete_range":{"all":true}}]})",
         CLI_FAILED, "UNAVAILABLE"},
    };
    for (const TransactCase &each : cases) {
        ExpectTransact(each);
    }
    CliOutcome outcome = RunCli({"transact", "-"}, R"({"table":"t","then":[{"get":")" +
                                                       std::string(5000, 'a') + R"("}]})");
    EXPECT_THAT(outcome.err, HasSubstr("then[0]: \"get\" has more than 4096 bytes"));
    EXPECT_THAT(RunCli({"transact", "/nowhere/at/all"}).err, HasSubstr("FILE_NOT_FOUND"));
}

TEST(Output, MarksStandOutInEveryFormat)
{
    const std::string text = "a \x01word\x02\nand \x1b";
    EXPECT_EQ(Written([&](FILE *to) { text_marked_write(to, text.c_str(), false); }),
              "a *word* and \\x1b");
    EXPECT_EQ(Written([&](FILE *to) { text_marked_write(to, text.c_str(), true); }),
              "a \033[1;31mword\033[0m and \\x1b");
    const char *texts[] = {"\x01"
                           "x\x02",
                           "y"};
    for (auto &expected : std::vector<std::pair<enum output_format, std::string>>{
             {OUTPUT_JSON, "{\"highlights\":[\"\\u0001x\\u0002\",\"y\"]}\n"},
             {OUTPUT_TABLE, "HIGHLIGHTS\n*x* ... y\n"}}) {
        EXPECT_EQ(Written([&](FILE *to) {
                      struct cli cli;
                      cli_init(&cli, to, to, to);
                      cli.settings.format = expected.first;
                      struct output *output = output_create(&cli);
                      const struct output_field field = {
                          "highlights", FIELD_MARKED, texts, 2, 0, 0};
                      output_row(output, &field, 1);
                      (void)output_finish(output, &cli, CLI_DONE);
                  }),
                  expected.second);
    }
}

std::string Plan(enum output_format format, bool was_run)
{
    struct polarys_client_plan_step steps[2] = {};
    struct polarys_client_plan_step rejected = {};
    steps[0] = {0, "limit", "", "10", 10, 20, 10, 1500};
    steps[1] = {1, "index_scan", "by_a", "a = 1", 12.5, 18, 10, 1400};
    rejected.index = "table_scan";
    rejected.detail = "a\x1b";
    rejected.estimated_cost = 60000;
    struct polarys_client_plan plan = {steps, 2, &rejected, 1, was_run, 10, 1600};
    return Written([&](FILE *to) {
        struct cli cli;
        cli_init(&cli, to, to, to);
        cli.settings.format = format;
        EXPECT_EQ(plan_print(&cli, &plan), CLI_DONE);
    });
}

TEST(PlanOutput, IsATreeWithWhatWasExpected)
{
    EXPECT_EQ(Plan(OUTPUT_TABLE, false),
              "STEP               ESTIMATED ROWS  ESTIMATED COST  DETAIL\n"
              "limit              10.00           20.00           10\n"
              "  index_scan by_a  12.50           18.00           a = 1\n"
              "weighed, and costs more:\n"
              "  table_scan: cost 60000.00, a\\x1b\n");
}

TEST(PlanOutput, ShowsHowItWentWhenItWasRun)
{
    std::string text = Plan(OUTPUT_TABLE, true);
    EXPECT_THAT(text, HasSubstr("ROWS  MS    DETAIL"));
    EXPECT_THAT(text, HasSubstr("10 rows in 1.60 ms\n"));
}

TEST(PlanOutput, IsAnObjectAStepInJson)
{
    EXPECT_EQ(
        Plan(OUTPUT_JSON, true),
        "{\"depth\":0,\"operation\":\"limit\",\"index\":\"\",\"estimated_rows\":10.00,"
        "\"estimated_cost\":20.00,\"rows\":10,\"ms\":1.50,\"detail\":\"10\"}\n"
        "{\"depth\":1,\"operation\":\"index_scan\",\"index\":\"by_a\",\"estimated_rows\":12.50,"
        "\"estimated_cost\":18.00,\"rows\":10,\"ms\":1.40,\"detail\":\"a = 1\"}\n");
}

} // namespace
