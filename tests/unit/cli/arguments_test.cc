/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "client/cli/command.h"
#include "tests/unit/cli/cli_run.h"

namespace {

using testing::HasSubstr;

struct Parsed {
    enum cli_status status;
    struct arguments arguments;
    std::vector<std::string> words;
};

Parsed Parse(const std::vector<std::string> &words)
{
    static std::vector<std::string> kept;
    kept = words;
    Parsed parsed;
    struct cli cli;
    std::vector<const char *> pointers;
    FILE *nowhere = fopen("/dev/null", "r+");
    for (const std::string &word : kept) {
        pointers.push_back(word.c_str());
    }
    cli_init(&cli, nowhere, nowhere, nowhere);
    parsed.status = arguments_parse(&cli, (int)pointers.size(), pointers.data(), &parsed.arguments);
    cli_deinit(&cli);
    fclose(nowhere);
    return parsed;
}

TEST(Arguments, GlobalOptionsStandAnywhere)
{
    for (auto &words : {std::vector<std::string>{"-o", "json", "get", "t", "k"},
                        {"get", "-o", "json", "t", "k"},
                        {"get", "t", "k", "--output=json"}}) {
        Parsed parsed = Parse(words);
        ASSERT_EQ(parsed.status, CLI_DONE);
        EXPECT_STREQ(parsed.arguments.command->name, "get");
        EXPECT_STREQ(parsed.arguments.values[OPTION_OUTPUT], "json");
        EXPECT_EQ(parsed.arguments.positional_count, 2);
    }
}

TEST(Arguments, CommandsMayHaveTwoWordsWithOptionsBetween)
{
    Parsed parsed = Parse({"table", "--database", "shop", "create", "users"});
    ASSERT_EQ(parsed.status, CLI_DONE);
    EXPECT_STREQ(parsed.arguments.command->name, "table create");
    EXPECT_STREQ(parsed.arguments.values[OPTION_DATABASE], "shop");
    EXPECT_STREQ(parsed.arguments.positionals[0], "users");
}

TEST(Arguments, DashesAloneAreWords)
{
    Parsed parsed = Parse({"put", "t", "k", "-"});
    ASSERT_EQ(parsed.status, CLI_DONE);
    EXPECT_STREQ(parsed.arguments.positionals[2], "-");
    parsed = Parse({"get", "t", "--", "--key"});
    ASSERT_EQ(parsed.status, CLI_DONE);
    EXPECT_STREQ(parsed.arguments.positionals[1], "--key");
}

TEST(Arguments, OneNameMayMeanTwoOptionsOfTwoCommands)
{
    Parsed parsed = Parse({"log", "inspect", "f", "--keys"});
    ASSERT_EQ(parsed.status, CLI_DONE);
    EXPECT_TRUE(arguments_has(&parsed.arguments, OPTION_WITH_KEYS));
    parsed = Parse({"bench", "put", "--keys", "9"});
    ASSERT_EQ(parsed.status, CLI_DONE);
    EXPECT_STREQ(parsed.arguments.values[OPTION_KEY_COUNT], "9");
}

TEST(Arguments, BadUsageIsRefused)
{
    const std::vector<std::vector<std::string>> lines = {
        {"frob"},
        {"table"},
        {"table", "frob"},
        {"get", "t"},
        {"get", "t", "k", "more"},
        {"get", "t", "k", "--prefix", "a"},
        {"--limit", "3", "scan", "t"},
        {"get", "t", "k", "-o"},
        {"get", "t", "k", "-x"},
        {"get", "t", "k", "--raw=1"},
        {"put", "t", "k", "1", "--raw=1"},
        {"put", "t", "k", "1", "--raw", "--raw"},
        {"table", "list", "extra"},
    };
    for (auto &line : lines) {
        CliOutcome outcome = RunCli(line);
        EXPECT_EQ(outcome.status, CLI_USAGE) << line[0];
        EXPECT_THAT(outcome.err, HasSubstr("polarys: BAD_USAGE: "));
        EXPECT_EQ(outcome.out, "");
    }
}

TEST(Arguments, BadValuesOfOptionsAreRefusedBeforeAnyCall)
{
    const std::vector<std::vector<std::string>> lines = {
        {"get", "t", "k", "-o", "yaml"},
        {"get", "t", "k", "--timeout", "soon"},
        {"get", "t", "k", "--timeout", "0s"},
        {"get", "t", "k", "--consistency", "weak"},
        {"scan", "t", "--limit", "0"},
        {"scan", "t", "--limit", "ten"},
        {"put", "t", "k", "1", "--if-version", "x"},
        {"put", "t", "k", "1", "--if-absent", "--if-present"},
        {"put", "t", "k", "1", "--expires-in", "never"},
        {"put", "t", "k", "1", "--expires-in", "0s"},
        {"put", "t", "k", "1", "--durability", "often"},
        {"put", "t", "k", "1", "--request-id", "00"},
        {"delete-range", "t"},
        {"delete-range", "t", "--all", "--prefix", "a"},
        {"admin", "log-level", "loud"},
        {"admin", "compact", "--prefix", "a"},
        {"admin", "drain", "--grace", "x"},
        {"bench", "jump"},
        {"bench", "scan", "--rate", "5"},
        {"bench", "put", "--clients", "0"},
        {"bench", "put", "--clients", "1024", "--in-flight", "4096"},
        {"log", "inspect", "f", "--keys"},
        {"completion", "fish"},
        {"help", "frob"},
    };
    for (auto &line : lines) {
        CliOutcome outcome = RunCli(line);
        EXPECT_EQ(outcome.status, CLI_USAGE) << line[0] << " " << line[1];
        EXPECT_THAT(outcome.err, HasSubstr("polarys: BAD_USAGE: "));
    }
}

TEST(Arguments, WriteOptionsFillTheWrite)
{
    Parsed parsed =
        Parse({"put", "t", "k", "1", "--raw", "--durability", "async", "--if-version", "9",
               "--request-id", "000102030405060708090a0b0c0d0e0f", "--expires-in", "1h"});
    ASSERT_EQ(parsed.status, CLI_DONE);
    struct polarys_client_write write;
    memset(&write, 0, sizeof(write));
    ASSERT_EQ(arguments_write(nullptr, &parsed.arguments, &write), CLI_DONE);
    EXPECT_EQ(write.kind, POLARYS_CLIENT_RAW);
    EXPECT_EQ(write.durability, POLARYS_CLIENT_ASYNC);
    EXPECT_EQ(write.precondition, POLARYS_CLIENT_VERSION_EQUALS);
    EXPECT_EQ(write.precondition_version, 9u);
    EXPECT_TRUE(write.has_request_id);
    EXPECT_EQ(write.request_id[15], 15);
    EXPECT_GT(write.expires_at_ms, 3600000u);
}

TEST(CommandTable, EveryCommandCanBeFoundAndExplainsItself)
{
    std::set<std::string> names;
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        EXPECT_TRUE(names.insert(command->name).second) << command->name;
        EXPECT_EQ(command_find(command->name), command);
        EXPECT_LE(command->positionals_min, command->positionals_max) << command->name;
        EXPECT_LE(command->positionals_max, COMMAND_POSITIONALS_MAX) << command->name;
        EXPECT_THAT(command->example, HasSubstr(std::string("polarys ") + command->name));
        std::string help = Written([&](FILE *to) { help_print_command(to, command); });
        EXPECT_THAT(help, HasSubstr(command->summary));
        EXPECT_THAT(help, HasSubstr(command->example));
        EXPECT_THAT(help, HasSubstr("--endpoint"));
        EXPECT_THAT(RunCli({"help"}).out, HasSubstr(command->name));
    }
}

TEST(CommandTable, NoCommandHasTwoOptionsOfOneName)
{
    for (size_t i = 0; i < command_count; i++) {
        std::set<std::string> names;
        for (int id = 0; id < OPTION_COUNT; id++) {
            if (command_has_option(&command_table[i], (enum option_id)id)) {
                EXPECT_TRUE(names.insert(option_specs[id].name).second) << option_specs[id].name;
            }
        }
    }
}

TEST(CommandTable, ExamplesParse)
{
    for (size_t i = 0; i < command_count; i++) {
        std::vector<std::string> words;
        std::string example = command_table[i].example;
        example = example.substr(0, example.find(" >"));
        for (size_t at = strlen("polarys "); at < example.size();) {
            size_t end =
                example[at] == '\'' ? example.find('\'', at + 1) + 1 : example.find(' ', at);
            end = end == std::string::npos ? example.size() : end;
            words.push_back(example.substr(at, end - at));
            at = end + 1;
        }
        Parsed parsed = Parse(words);
        EXPECT_EQ(parsed.status, CLI_DONE) << command_table[i].example;
        EXPECT_EQ(parsed.arguments.command, &command_table[i]) << command_table[i].example;
    }
}

TEST(Help, WorksForGroupsAndFlags)
{
    EXPECT_THAT(RunCli({"help", "table"}).out, HasSubstr("table truncate"));
    EXPECT_THAT(RunCli({"help", "index"}).out,
                HasSubstr("  index create TABLE FIELD[,FIELD]...\n                        "));
    EXPECT_EQ(RunCli({"help", "table", "create"}).status, CLI_DONE);
    EXPECT_THAT(RunCli({"put", "--help"}).out, HasSubstr("--if-absent"));
    EXPECT_THAT(RunCli({"-h"}).out, HasSubstr("Exit status"));
    EXPECT_EQ(RunCli({"--version"}).out,
              std::string("polarys ") + polarys_client_version_text() + "\n");
}

TEST(Cli, RefusesToTalkInPlainTextBeyondLoopback)
{
    CliOutcome outcome = RunCli({"get", "t", "k", "--endpoint", "db.example.org:7480"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("polarys: TLS_REQUIRED: "));
}

TEST(Cli, SaysWhenNobodyIsThere)
{
    CliOutcome outcome = RunCli({"get", "t", "k", "--timeout", "300ms"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("polarys: UNAVAILABLE: "));
    outcome = RunCli({"metrics", "--timeout", "300ms"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("polarys: UNAVAILABLE: "));
    EXPECT_EQ(RunCli({"metrics", "--admin-endpoint", "nowhere"}).status, CLI_USAGE);
}

TEST(Cli, RefusesAnEndpointThatIsNone)
{
    for (const char *endpoint :
         {"nonsense:endpoint:", "localhost", "127.0.0.1:0", "", "127.0.0.1:1,", "127.0.0.1:1,b"}) {
        CliOutcome outcome = RunCli({"get", "t", "k", "--endpoint", endpoint});
        EXPECT_EQ(outcome.status, CLI_USAGE) << endpoint;
        EXPECT_EQ(outcome.err, "polarys: BAD_USAGE: --endpoint is '" + std::string(endpoint) +
                                   "', not HOST:PORT, [IPV6]:PORT or unix:/path, or several with "
                                   "commas between\n");
    }
}

TEST(Cli, EveryNodeOfAListIsOnLoopbackOrSaidToBePlain)
{
    CliOutcome outcome =
        RunCli({"get", "t", "k", "--endpoint", "127.0.0.1:7480,db.example.org:7480"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("TLS_REQUIRED"));
}

TEST(Cli, OneNodeIsPromoted)
{
    CliOutcome outcome =
        RunCli({"replica", "promote", "--endpoint", "127.0.0.1:7480,127.0.0.1:7490"});
    EXPECT_EQ(outcome.status, CLI_USAGE);
    EXPECT_THAT(outcome.err, HasSubstr("give the one to promote"));
}

TEST(Cli, RefusesAReadPolicyThatIsNone)
{
    CliOutcome outcome = RunCli({"get", "t", "k", "--read-from", "elsewhere"});
    EXPECT_EQ(outcome.status, CLI_USAGE);
    EXPECT_THAT(outcome.err, HasSubstr("not primary, replica or nearest"));
}

TEST(Cli, OfflineCommandsNameWhatIsMissing)
{
    CliOutcome outcome = RunCli({"log", "inspect", "/nonexistent/000001.log"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("FILE_NOT_FOUND"));
    EXPECT_EQ(RunCli({"keys", "generate", "/nonexistent/master.key"}).status, CLI_FAILED);
    outcome = RunCli({"import", "t", "/nonexistent/file.jsonl"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("polarys: FILE_NOT_FOUND: "));
}

} // namespace
