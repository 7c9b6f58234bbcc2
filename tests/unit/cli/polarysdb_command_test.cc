/* SPDX-License-Identifier: Apache-2.0 */
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/command.h"
#include "tests/unit/cli/cli_run.h"
#include "tests/unit/cli/polarysdb_files.h"

namespace {

using namespace go_files;
using testing::HasSubstr;
using testing::Not;

CliOutcome Import(std::vector<std::string> words)
{
    words.insert(words.begin(), "import-polarysdb");
    return RunCli(words);
}

TEST(ImportPolarysdb, TellsWithoutAServerWhatTheFilesHold)
{
    CliOutcome outcome =
        Import({Real("v2.1.0/polarysdb.wal"), "--key-hex", kKeyHex, "--dry-run", "-o", "json"});
    EXPECT_EQ(outcome.status, CLI_DONE) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(outcome.out,
              "{\"table\":\"t\",\"from\":\"t\",\"documents\":14,\"raw\":1,\"bytes\":237,"
              "\"largest_value\":46}\n"
              "{\"table\":\"empty\",\"from\":\"empty\",\"documents\":0,\"raw\":0,\"bytes\":0,"
              "\"largest_value\":0}\n");
}

TEST(ImportPolarysdb, SaysHowManyLogEntriesItLeavesOut)
{
    scoped_temp_dir scratch;
    std::string path = scratch.path();
    ASSERT_EQ(mkdir((path + "/state").c_str(), 0700), 0);
    Write(path + "/state/state.rdb", Read(Real("v2.1.0/state/state.rdb")));
    Write(path + "/polarysdb.wal", Read(Real("v2.1.0/polarysdb.wal")));
    SetTime(path + "/state/state.rdb", INT64_C(1900000000) * 1000000000);
    CliOutcome outcome = Import({path, "--key-hex", kKeyHex, "--dry-run"});
    EXPECT_EQ(outcome.status, CLI_DONE);
    EXPECT_THAT(outcome.err, HasSubstr("18 of 18 log entries are left out"));
    EXPECT_THAT(outcome.err, HasSubstr("2030-03-17T17:46:40.000Z; --replay-all"));
    EXPECT_EQ(Import({path, "--key-hex", kKeyHex, "--dry-run", "--replay-all"}).err, "");
}

TEST(ImportPolarysdb, RefusesKeysAndRenamesThatAreNone)
{
    const std::string file = Real("v2.1.0/state/state.rdb");
    CliOutcome outcome = Import({file, "--key-hex", "abcdef", "--dry-run"});
    EXPECT_EQ(outcome.status, CLI_USAGE);
    EXPECT_THAT(outcome.err, HasSubstr("64 hexadecimal digits"));
    EXPECT_THAT(outcome.err, Not(HasSubstr("abcdef")));
    outcome = Import({file, "--key-hex", kKeyHex, "--dry-run", "--rename-table", "t=1"});
    EXPECT_EQ(outcome.status, CLI_USAGE);
    EXPECT_THAT(outcome.err, HasSubstr("OLD=NEW"));
    EXPECT_EQ(Import({}).status, CLI_USAGE);
    EXPECT_EQ(Import({file, file}).status, CLI_USAGE);
    outcome = Import({file, "--key-hex", kKeyHex, "--dry-run", "--rename-table", "x=y"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("INVALID_ARGUMENT/BAD_NAME"));
}

TEST(ImportPolarysdb, TakesOptionsThatAreRepeated)
{
    const std::string file = Real("v2.1.0/state/state.rdb");
    CliOutcome outcome =
        Import({file, "--key-hex", kOtherHex, "--key-hex=" + std::string(kKeyHex), "--dry-run",
                "--rename-table", "t=tt", "--rename-table", "empty=e", "-o", "json"});
    EXPECT_EQ(outcome.status, CLI_DONE) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("{\"table\":\"e\",\"from\":\"empty\""));
    EXPECT_THAT(outcome.out, HasSubstr("{\"table\":\"tt\",\"from\":\"t\""));
    std::vector<std::string> words = {file};
    for (int i = 0; i < POLARYSDB_KEYS_MAX + 1; i++) {
        words.insert(words.end(), {"--key-hex", kKeyHex});
    }
    EXPECT_THAT(Import(words).err, HasSubstr("more than 8 keys"));
    for (int i = 0; i < ARGUMENTS_REPEATED_MAX; i++) {
        words.insert(words.end(), {"--key-hex", kKeyHex});
    }
    EXPECT_THAT(Import(words).err, HasSubstr("--key-hex is given too often"));
    EXPECT_THAT(Import({file, "--dry-run", "--dry-run"}).err, HasSubstr("given twice"));
}

TEST(ImportPolarysdb, JudgesEveryFileBeforeItAsksTheServer)
{
    /* Nothing listens there, and the message is about the file. */
    CliOutcome outcome = Import({Real("v2.1.0/state/state.rdb"), "--key-hex", kOtherHex});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("polarys: DATA_LOSS/TAMPERED: "));
    outcome = Import({Real("v2.1.0/missing")});
    EXPECT_THAT(outcome.err, HasSubstr("polarys: FILE_NOT_FOUND: "));
    outcome = Import({Real("v2.1.0/state/state.rdb"), "--key-hex", kKeyHex, "--timeout", "1s"});
    EXPECT_EQ(outcome.status, CLI_FAILED);
    EXPECT_THAT(outcome.err, HasSubstr("UNAVAILABLE"));
}

} // namespace
