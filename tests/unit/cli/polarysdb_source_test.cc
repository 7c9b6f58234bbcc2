/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/polarysdb_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/polarysdb_files.h"

namespace {

using namespace go_files;
using testing::HasSubstr;

/* When the real 2.1.0 log's entries were written, in nanoseconds: the first and the last lie within. */
const int64_t kBeforeAll = INT64_C(1700000000) * 1000000000;
const int64_t kAfterAll = INT64_C(1900000000) * 1000000000;

/* A store's directory that a test may change. */
class Directory : public testing::Test {
  protected:
    std::string Path(const std::string &name = "") const
    {
        return std::string(scratch.path()) + "/" + name;
    }
    void Make(const std::string &version, int64_t snapshot_ns)
    {
        Put("state/state.rdb", Read(Real(version + "/state/state.rdb")));
        Put("polarysdb.wal", Read(Real(version + "/polarysdb.wal")));
        SetTime(Path("state/state.rdb"), snapshot_ns);
    }
    void Put(const std::string &name, const std::string &bytes)
    {
        if (name.rfind("state/", 0) == 0) {
            (void)mkdir(Path("state").c_str(), 0700);
        }
        Write(Path(name), bytes);
    }
    scoped_temp_dir scratch;
};

TEST(Source, ReadsTheSnapshotsOfBothVersions)
{
    Loaded old = Load(Real("v1.1.0/state/state.rdb"));
    ASSERT_TRUE(old.is_read) << old.message;
    EXPECT_EQ(old.tables, (std::map<std::string, Table>{{"t", Snapshot110()}}));
    Loaded last = Load(Real("v2.1.0/state/state.rdb"));
    ASSERT_TRUE(last.is_read) << last.message;
    EXPECT_EQ(last.tables, (std::map<std::string, Table>{{"empty", {}}, {"t", Snapshot210()}}));
}

TEST(Source, ReadsTheLogsOfBothVersions)
{
    Loaded old = Load(Real("v1.1.0/polarysdb.wal"));
    ASSERT_TRUE(old.is_read) << old.message;
    EXPECT_EQ(old.tables, (std::map<std::string, Table>{{"t", Log110()}}));
    EXPECT_EQ(old.entries, 9u);
    Loaded last = Load(Real("v2.1.0/polarysdb.wal"));
    ASSERT_TRUE(last.is_read) << last.message;
    EXPECT_EQ(last.tables, (std::map<std::string, Table>{{"empty", {}}, {"t", Log210()}}));
    EXPECT_EQ(last.entries, 18u);
}

TEST(Source, NeedsNoKeyForWhatIsNotEncrypted)
{
    EXPECT_EQ(Load(Real("v1.1.0/polarysdb.wal"), {}).tables["t"], Log110());
    EXPECT_EQ(Load(Real("v2.1.0/export.json"), {}).tables["t"], Snapshot210());
}

TEST(Source, ReadsBothExportsAsTheSnapshotThatTheyCameFrom)
{
    for (const char *name : {"v2.1.0/export.enc", "v2.1.0/export.json"}) {
        Loaded loaded = Load(Real(name));
        ASSERT_TRUE(loaded.is_read) << loaded.message;
        EXPECT_EQ(loaded.tables,
                  (std::map<std::string, Table>{{"empty", {}}, {"t", Snapshot210()}}));
    }
}

TEST(Source, ReadsABackupAndTheFileOfOlderPythonVersions)
{
    std::string sealed = Read(Real("v2.1.0/state/state.rdb"));
    EXPECT_EQ(LoadBytes(sealed, {kKeyHex}, "backup_20260102_030405.db").tables["t"], Snapshot210());
    EXPECT_EQ(LoadBytes(PythonFile(R"({"t":{"k":[1.50]}})")).tables["t"], (Table{{"k", "[1.50]"}}));
}

TEST(Source, ReadsALogUnderAnyName)
{
    EXPECT_EQ(LoadBytes(Read(Real("v2.1.0/polarysdb.wal"))).tables["t"], Log210());
    EXPECT_EQ(LoadBytes("", {}, "polarysdb.wal").is_read, true);
}

TEST_F(Directory, LeavesOutWhatIsNotNewerThanTheSnapshot)
{
    Make("v2.1.0", kAfterAll);
    Loaded loaded = Load(Path());
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables["t"], Snapshot210());
    EXPECT_EQ(loaded.left_out, 18u);
}

TEST_F(Directory, AppliesWhatIsNewerThanTheSnapshot)
{
    Make("v2.1.0", kBeforeAll);
    Loaded loaded = Load(Path());
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables["t"], Log210());
    EXPECT_EQ(loaded.left_out, 0u);
}

TEST_F(Directory, AppliesTheWholeLogWhenToldTo)
{
    Make("v1.1.0", kAfterAll);
    Loaded loaded = Load(Path(), {kKeyHex}, true);
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables["t"], Log110());
    EXPECT_EQ(loaded.left_out, 0u);
}

TEST_F(Directory, PartsTheLogAtTheSnapshotsTime)
{
    std::string log;
    Put("state/state.rdb", Seal(R"({"t":{"a":"snapshot","b":"snapshot"}})"));
    log += SealedEntry(Message(2, "t", "a", "\x02log", 1000));
    log += SealedEntry(Message(3, "t", "b", "", 1000));
    log += SealedEntry(Message(2, "t", "c", "\x02log", 1001));
    log += SealedEntry(Message(3, "u", "x", "", 1001));
    Put("polarysdb.wal", log);
    SetTime(Path("state/state.rdb"), 1000);
    Loaded loaded = Load(Path());
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables,
              (std::map<std::string, Table>{
                  {"t", {{"a", "\"snapshot\""}, {"b", "\"snapshot\""}, {"c", "\"log\""}}}}));
    EXPECT_EQ(loaded.left_out, 2u);
    EXPECT_EQ(Load(Path(), {kKeyHex}, true).tables["t"],
              (Table{{"a", "\"log\""}, {"c", "\"log\""}}));
}

TEST_F(Directory, AppliesAllOfALogWithoutASnapshot)
{
    Put("polarysdb.wal", Read(Real("v2.1.0/polarysdb.wal")));
    EXPECT_EQ(Load(Path()).tables["t"], Log210());
}

TEST_F(Directory, ReadsRotatedLogsInTheOrderOfTheirTimes)
{
    const std::string create = Entry(Message(1, "t", ""));
    Put("polarysdb.wal.1000000000.backup", Entry(Message(2, "t", "k", "\"third\"")));
    Put("polarysdb.wal.999999999.backup", Entry(Message(2, "t", "k", "\"second\"")));
    Put("polarysdb.wal.5.backup",
        create + Entry(Message(2, "t", "k", "\"first\"")) + Entry(Message(2, "t", "l", "1")));
    Put("polarysdb.wal.x.backup", "no log");
    Put("polarysdb.wal.05.backup", "no log");
    EXPECT_EQ(Load(Path()).tables["t"], (Table{{"k", "\"third\""}, {"l", "1"}}));
    Put("polarysdb.wal", Entry(Message(3, "t", "l")) + Entry(Message(2, "t", "k", "\"last\"")));
    EXPECT_EQ(Load(Path()).tables["t"], (Table{{"k", "\"last\""}}));
}

TEST_F(Directory, RefusesAPlainFileInPlaceOfTheSnapshot)
{
    Put("state/state.rdb", R"({"t":{"forged":true}})");
    EXPECT_EQ(Load(Path()).is_read, false);
    EXPECT_EQ(LoadBytes(R"({"t":{"forged":true}})", {kKeyHex}, "state.rdb").is_read, false);
    EXPECT_EQ(LoadBytes(R"({"t":{"forged":true}})", {kKeyHex}, "backup_1.db").is_read, false);
    EXPECT_EQ(LoadBytes(R"({"t":{"meant":true}})", {kKeyHex}, "export.json").is_read, true);
}

TEST_F(Directory, SaysWhatIsNotThere)
{
    Loaded loaded = Load(Path());
    EXPECT_FALSE(loaded.is_read);
    EXPECT_EQ(loaded.reason, "FILE_NOT_FOUND");
    EXPECT_THAT(loaded.message, HasSubstr("neither state/state.rdb nor polarysdb.wal"));
    EXPECT_EQ(Load(Path("missing")).reason, "FILE_NOT_FOUND");
    ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
    EXPECT_THAT(Load(Path("pipe")).message, HasSubstr("no regular file"));
}

TEST(Source, NamesTheFileAndTheOffsetWhenTheKeyIsAnother)
{
    Loaded snapshot = Load(Real("v2.1.0/state/state.rdb"), {kOtherHex});
    EXPECT_EQ(snapshot.reason, "DATA_LOSS/TAMPERED");
    EXPECT_THAT(snapshot.message, HasSubstr("v2.1.0/state/state.rdb: the 346 bytes from offset 0"));
    EXPECT_THAT(snapshot.message, HasSubstr("the key is another one"));
    Loaded log = Load(Real("v2.1.0/polarysdb.wal"), {kOtherHex});
    EXPECT_EQ(log.reason, "DATA_LOSS/TAMPERED");
    EXPECT_THAT(log.message, HasSubstr("v2.1.0/polarysdb.wal: the log entry at offset 0"));
    EXPECT_EQ(Load(Real("v1.1.0/state/state.rdb"), {kOtherHex}).is_read, false);
    EXPECT_EQ(Load(Real("v2.1.0/export.enc"), {kOtherHex}).is_read, false);
    EXPECT_THAT(Load(Real("v2.1.0/export.enc"), {}).message, HasSubstr("--key-hex"));
    EXPECT_THAT(Load(Real("v2.1.0/polarysdb.wal"), {}).message, HasSubstr("--key-hex"));
}

TEST(Source, TriesEachKey)
{
    EXPECT_EQ(Load(Real("v2.1.0/state/state.rdb"), {kOtherHex, kKeyHex}).tables["t"],
              Snapshot210());
    const std::string log = SealedEntry(Message(2, "t", "a",
                                                "\x03"
                                                "1"),
                                        kOtherHex) +
                            SealedEntry(Message(2, "t", "b",
                                                "\x03"
                                                "2"));
    EXPECT_EQ(LoadBytes(log, {kKeyHex, kOtherHex}).tables["t"], (Table{{"a", "1"}, {"b", "2"}}));
    Loaded half = LoadBytes(log, {kOtherHex});
    EXPECT_FALSE(half.is_read);
    EXPECT_THAT(half.message, HasSubstr("after a change of keys"));
}

} // namespace
