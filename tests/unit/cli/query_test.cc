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

TEST(TransactCommand, NamesThePartThatIsWrong)
{
    struct {
        const char *text;
        enum cli_status status;
        const char *says;
    } cases[] = {
        {"{", CLI_FAILED, "BAD_JSON"},
        {"[]", CLI_FAILED, "is an object"},
        {"{\"then\":1}", CLI_FAILED, "\"then\" is no array"},
        {"{\"compare\":[{}]}", CLI_FAILED, "compare[0]: no \"key\""},
        {"{\"compare\":[{\"key\":\"a\"}]}", CLI_FAILED, "compare[0]: says neither"},
        {"{\"compare\":[{\"key\":\"a\",\"exists\":1}]}", CLI_FAILED, "true or false"},
        {"{\"compare\":[{\"key\":\"a\",\"version\":-1}]}", CLI_FAILED, "no version"},
        {"{\"then\":[{\"get\":\"a\"},{\"put\":\"a\"}]}", CLI_FAILED, "then[1]: put takes"},
        {"{\"then\":[{\"update\":\"a\"}]}", CLI_FAILED, "then[0]: update takes"},
        {"{\"else\":[{\"frob\":\"a\"}]}", CLI_FAILED, "else[0]: is neither"},
        {"{\"then\":[{\"get\":\"a\"}]}", CLI_FAILED, "UNAVAILABLE"},
    };
    for (auto &each : cases) {
        CliOutcome outcome = RunCli({"transact", "-"}, each.text);
        EXPECT_EQ(outcome.status, each.status) << each.text;
        EXPECT_THAT(outcome.err, HasSubstr(each.says)) << each.text;
    }
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
