// SPDX-License-Identifier: Apache-2.0
// What lies in a schedule's directory: what counts as whole, what may be removed, and that nothing else is touched.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <string>
#include <vector>

#include "tests/unit/cli/place_fixture.h"

namespace {

class BackupPlace : public PlaceTest {
  protected:
    struct backup_place place_ = {};
    void TearDown() override
    {
        place_deinit(&place_);
        PlaceTest::TearDown();
    }
    enum cli_status Look()
    {
        return place_read(&cli_, Dir(), &place_);
    }
    std::string States()
    {
        std::string states;
        for (size_t i = 0; i < place_.count; i++) {
            states += std::string(place_.backups[i].name) + "wud"[place_.backups[i].state] + " ";
        }
        return states;
    }
};

TEST_F(BackupPlace, TellsItsOwnNamesFromOthers)
{
    for (const char *own : {"20260102T030405Z", "20260102T030405Z-1", "20260102T030405Z-999"}) {
        EXPECT_TRUE(place_name_is_own(own)) << own;
    }
    for (const char *other :
         {"", "monday", "20260102T030405", "20260102T030405Zx", "20260102T030405Z-",
          "20260102T030405Z-0", "20260102T030405Z-01", "20260102T030405Z-1000", "2026010aT030405Z",
          "20260102t030405Z", ".removing-20260102T030405Z", "20260102T030405Z-+1",
          "20260102T030405Z- 1", "20260102T030405Z/x"}) {
        EXPECT_FALSE(place_name_is_own(other)) << other;
    }
}

TEST_F(BackupPlace, NamesABackupAfterItsTimeAndTwoOfOneSecondApart)
{
    char name[PLACE_NAME_SIZE];
    ASSERT_TRUE(place_name_make(&place_, 1767323045678, name));
    EXPECT_STREQ(name, "20260102T030405Z");
    Whole("20260102T030405Z", 1, 0);
    Whole("20260102T030405Z-1", 1, 0);
    ASSERT_EQ(Look(), CLI_DONE) << Said();
    ASSERT_TRUE(place_name_make(&place_, 1767323045678, name));
    EXPECT_STREQ(name, "20260102T030405Z-2");
    std::filesystem::remove_all(Path("20260102T030405Z"));
    ASSERT_EQ(Look(), CLI_DONE) << Said();
    ASSERT_TRUE(place_name_make(&place_, 1767323045678, name));
    EXPECT_STREQ(name, "20260102T030405Z-2") << "a newer one would come before an older one";
    Whole("20260102T030405Z-999", 1, 0);
    ASSERT_EQ(Look(), CLI_DONE) << Said();
    EXPECT_FALSE(place_name_make(&place_, 1767323045678, name)) << "none is left in this second";
    EXPECT_FALSE(place_name_make(&place_, UINT64_MAX, name));
    EXPECT_FALSE(place_name_make(&place_, UINT64_C(253402300800000), name)) << "the year 10000";
}

TEST_F(BackupPlace, TellsWholeUnfinishedAndDamagedOnesApart)
{
    Whole("20260101T000000Z", 5, 100);
    Whole("20260102T000000Z", 6, 200);
    Write(Path("20260102T000000Z/data/000001.sst"), "short");
    Whole("20260103T000000Z", 7, 300);
    std::filesystem::remove(Path("20260103T000000Z/data/keyring"));
    Whole("20260104T000000Z", 8, 400);
    Write(Path("20260104T000000Z/backup.jsonl"), "{}\n");
    Whole("20260105T000000Z", 9, 500);
    std::filesystem::rename(Path("20260105T000000Z/backup.jsonl"),
                            Path("20260105T000000Z/backup.unfinished"));
    std::filesystem::create_directories(Path("20260106T000000Z/data"));
    Write(Path("20260107T000000Z/data/000001.sst"), "without a list");
    Write(Path("20260108T000000Z/backup.unfinished"), "{}\n");
    Whole("monday", 99, 900);
    Write(Path("20260109T000000Z"), "a file");
    std::filesystem::create_directory_symlink("monday", Path("20260110T000000Z"));
    ASSERT_EQ(Look(), CLI_DONE);
    EXPECT_EQ(States(), "20260101T000000Zw 20260102T000000Zd 20260103T000000Zd 20260104T000000Zd "
                        "20260105T000000Zu 20260106T000000Zu 20260107T000000Zd 20260108T000000Zd ");
    EXPECT_EQ(place_newest(&place_)->version, 5u);
    EXPECT_STREQ(place_unfinished(&place_)->name, "20260106T000000Z");
    std::string said = Said();
    EXPECT_NE(said.find("000001.sst is missing or of another size"), std::string::npos) << said;
    EXPECT_NE(said.find("keyring is missing"), std::string::npos) << said;
    EXPECT_NE(said.find("it has files and no list"), std::string::npos) << said;
}

TEST_F(BackupPlace, RemovesOnlyWhatIsWholeAndItsOwn)
{
    Whole("20260101T000000Z", 1, 100);
    Whole("20260102T000000Z", 2, 200);
    std::filesystem::remove(Path("20260102T000000Z/data/keyring"));
    Whole("20260103T000000Z", 3, 300);
    Whole("20260104T000000Z", 4, 400);
    std::filesystem::create_directories(Path("20260105T000000Z/data"));
    Whole("monday", 0, 50);
    ASSERT_EQ(Look(), CLI_DONE);
    rotation_policy policy = {{1, 0, 0, 0, 0}};
    size_t removed = 0;
    ASSERT_EQ(place_rotate(&cli_, Dir(), &place_, &policy, &removed), CLI_DONE) << Said();
    EXPECT_EQ(removed, 2u);
    EXPECT_EQ(Names(), (std::vector<std::string>{"20260102T000000Z", "20260104T000000Z",
                                                 "20260105T000000Z", "monday"}));
    EXPECT_EQ(States(), "20260102T000000Zd 20260104T000000Zw 20260105T000000Zu ");
}

TEST_F(BackupPlace, CountsADamagedNewestOneAsNone)
{
    Whole("20260101T000000Z", 1, 100);
    Whole("20260102T000000Z", 2, 200);
    Whole("20260103T000000Z", 3, 300);
    std::filesystem::remove(Path("20260103T000000Z/data/000001.sst"));
    ASSERT_EQ(Look(), CLI_DONE);
    rotation_policy policy = {{1, 0, 0, 0, 0}};
    size_t removed = 0;
    ASSERT_EQ(place_rotate(&cli_, Dir(), &place_, &policy, &removed), CLI_DONE) << Said();
    EXPECT_EQ(Names(), (std::vector<std::string>{"20260102T000000Z", "20260103T000000Z"}));
}

TEST_F(BackupPlace, RemovesNothingOfAnotherStore)
{
    Whole("20260101T000000Z", 90, 100, 2);
    Whole("20260102T000000Z", 91, 200, 2);
    Whole("20260103T000000Z", 92, 300, 1);
    Whole("20260104T000000Z", 93, 400, 1);
    ASSERT_EQ(Look(), CLI_DONE);
    rotation_policy policy = {{1, 0, 0, 0, 0}};
    size_t removed = 0;
    ASSERT_EQ(place_rotate(&cli_, Dir(), &place_, &policy, &removed), CLI_DONE) << Said();
    EXPECT_EQ(Names(), (std::vector<std::string>{"20260101T000000Z", "20260102T000000Z",
                                                 "20260104T000000Z"}));
}

TEST_F(BackupPlace, RemovesNothingWithoutAPolicy)
{
    Whole("20260101T000000Z", 1, 100);
    Whole("20260102T000000Z", 2, 200);
    ASSERT_EQ(Look(), CLI_DONE);
    rotation_policy policy = {};
    size_t removed = 9;
    ASSERT_EQ(place_rotate(&cli_, Dir(), &place_, &policy, &removed), CLI_DONE);
    EXPECT_EQ(removed, 0u);
    EXPECT_EQ(Names().size(), 2u);
}

TEST_F(BackupPlace, EndsRemovalsThatWereInterrupted)
{
    Whole("20260101T000000Z", 1, 100);
    std::filesystem::create_directories(Path(".removing-20251231T000000Z/data/wal"));
    Write(Path(".removing-20251231T000000Z/data/000001.sst"), "left");
    Write(Path(".removing-mine/data/file"), "not of a schedule");
    ASSERT_EQ(Look(), CLI_DONE);
    EXPECT_EQ(place_.count, 1u) << "what is being removed was taken for a backup";
    ASSERT_EQ(place_sweep(&cli_, Dir()), CLI_DONE) << Said();
    EXPECT_FALSE(std::filesystem::exists(Path(".removing-20251231T000000Z")));
    EXPECT_TRUE(std::filesystem::exists(Path(".removing-mine/data/file")));
    EXPECT_TRUE(std::filesystem::exists(Path("20260101T000000Z/backup.jsonl")));
}

TEST_F(BackupPlace, SaysSoWhenARemovalFailsAndKeepsTheNewer)
{
    Whole("20260101T000000Z", 1, 100);
    Whole("20260102T000000Z", 2, 200);
    Whole("20260103T000000Z", 3, 300);
    // A name that is taken: the rename fails for every user, also for root.
    Write(Path(".removing-20260101T000000Z/file"), "in the way");
    ASSERT_EQ(Look(), CLI_DONE);
    rotation_policy policy = {{1, 0, 0, 0, 0}};
    size_t removed = 9;
    EXPECT_EQ(place_rotate(&cli_, Dir(), &place_, &policy, &removed), CLI_FAILED);
    EXPECT_EQ(removed, 0u);
    EXPECT_NE(Said(), "");
    EXPECT_EQ(Names().size(), 3u);
}

TEST_F(BackupPlace, LooksAgainAtOneBackup)
{
    Whole("20260102T000000Z", 2, 200);
    ASSERT_EQ(Look(), CLI_DONE);
    Whole("20260101T000000Z", 3, 300);
    ASSERT_EQ(place_look(&cli_, Dir(), "20260101T000000Z", &place_), CLI_DONE);
    EXPECT_EQ(States(), "20260101T000000Zw 20260102T000000Zw ");
    EXPECT_EQ(place_newest(&place_)->version, 3u) << "the newest is that of the highest version";
    std::filesystem::remove(Path("20260101T000000Z/data/keyring"));
    ASSERT_EQ(place_look(&cli_, Dir(), "20260101T000000Z", &place_), CLI_DONE);
    EXPECT_EQ(States(), "20260101T000000Zd 20260102T000000Zw ");
}

TEST_F(BackupPlace, RemembersTheLastAttempt)
{
    struct place_attempt attempt = {true, false, "20260101T000000Z", 1767225600123,
                                    "UNAVAILABLE: \"no\" answer\n from \\ it"};
    ASSERT_EQ(place_attempt_write(&cli_, Dir(), &attempt), CLI_DONE) << Said();
    struct place_attempt again;
    place_attempt_read(Dir(), &again);
    EXPECT_TRUE(again.is_known);
    EXPECT_FALSE(again.is_done);
    EXPECT_STREQ(again.name, attempt.name);
    EXPECT_STREQ(again.why, attempt.why);
    EXPECT_EQ(again.begun_unix_ms, attempt.begun_unix_ms);
    std::string whole = Read(Path(".last-attempt"));
    for (size_t size = 0; size < whole.size(); size++) {
        Write(Path(".last-attempt"), whole.substr(0, size));
        place_attempt_read(Dir(), &again);
        EXPECT_FALSE(again.is_known) << size;
    }
    std::filesystem::remove(Path(".last-attempt"));
    place_attempt_read(Dir(), &again);
    EXPECT_FALSE(again.is_known);
    EXPECT_EQ(place_attempt_write(&cli_, Path("nowhere").c_str(), &attempt), CLI_FAILED);
}

TEST_F(BackupPlace, CannotReadADirectoryThatIsNotThere)
{
    EXPECT_EQ(place_read(&cli_, Path("nowhere").c_str(), &place_), CLI_FAILED);
    EXPECT_NE(Said().find("nowhere"), std::string::npos);
}

} // namespace
