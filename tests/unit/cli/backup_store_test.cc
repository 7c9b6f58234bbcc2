// SPDX-License-Identifier: Apache-2.0
// The files of a backup while they come: gone on with, linked, checked, and removed when another list comes.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <string>

#include "tests/unit/cli/backup_fixture.h"

#include "client/cli/backup_internal.h"
#include "client/cli/files.h"

namespace {

class BackupStore : public BackupTest {
  protected:
    void SetUp() override
    {
        BackupTest::SetUp();
        store_.cli = &cli_;
        snprintf(store_.data_dir, sizeof(store_.data_dir), "%s", Path("data").c_str());
        std::filesystem::create_directory(Path("data"));
    }
    void TearDown() override
    {
        backup_store_deinit(&store_);
        BackupTest::TearDown();
    }
    void Replace(std::initializer_list<std::pair<const char *, std::string>> files)
    {
        struct backup_list list = {};
        for (const auto &each : files) {
            Add(&list, each.first, each.second);
        }
        ASSERT_EQ(backup_store_list_replace(&store_, &list), CLI_DONE) << Said();
    }
    enum cli_status Put(size_t file, uint64_t offset, const std::string &bytes)
    {
        return backup_store_bytes_put(&store_, file, offset, bytes.data(), bytes.size());
    }

    struct backup_store store_ = {};
};

TEST_F(BackupStore, GivesAFileItsNameWhenItIsWhole)
{
    std::string zeros = "abc" + std::string(100000, '\0');
    Replace({{"wal/1.wal", zeros}, {"empty", ""}, {"keyring", "k"}});
    size_t missing = 9;
    ASSERT_TRUE(backup_store_missing_find(&store_, &missing));
    EXPECT_EQ(missing, 0u);
    ASSERT_EQ(Put(0, 0, "ab"), CLI_DONE) << Said();
    EXPECT_FALSE(std::filesystem::exists(Path("data/wal/1.wal")));
    EXPECT_EQ(Read(Path("data/wal/1.wal.partial")), "ab");
    ASSERT_EQ(Put(0, 2, "c"), CLI_DONE);
    ASSERT_EQ(Put(1, 0, ""), CLI_DONE) << Said(); /* another file: the first one is done */
    EXPECT_EQ(Read(Path("data/wal/1.wal")), zeros);
    ASSERT_EQ(Put(2, 0, "k"), CLI_DONE);
    ASSERT_EQ(backup_store_file_finish(&store_), CLI_DONE) << Said();
    EXPECT_FALSE(backup_store_missing_find(&store_, &missing));
    EXPECT_TRUE(std::filesystem::exists(Path("data/empty")));
    EXPECT_EQ(store_.outcome.received_bytes, 4u);
    EXPECT_EQ(store_.outcome.received_files, 3u);
}

TEST_F(BackupStore, GoesOnWithWhatIsThere)
{
    Replace({{"a", "0123456789"}});
    ASSERT_EQ(Put(0, 0, "01234"), CLI_DONE);
    backup_store_file_leave(&store_);
    ASSERT_EQ(backup_store_file_open(&store_, 0), CLI_DONE) << Said();
    EXPECT_EQ(store_.offset, 5u);
    ASSERT_EQ(Put(0, 5, "56789"), CLI_DONE);
    ASSERT_EQ(backup_store_file_finish(&store_), CLI_DONE) << Said();
    EXPECT_EQ(Read(Path("data/a")), "0123456789");
    ASSERT_EQ(Put(0, 0, "again"), CLI_DONE) << "it is there: sent for nothing";
    EXPECT_EQ(Read(Path("data/a")), "0123456789");
}

TEST_F(BackupStore, BeginsAgainWhereMoreIsThereThanCanBe)
{
    Replace({{"a", "0123"}});
    Write(Path("data/a.partial"), "0123456789");
    ASSERT_EQ(backup_store_file_open(&store_, 0), CLI_DONE) << Said();
    EXPECT_EQ(store_.offset, 0u);
    ASSERT_EQ(Put(0, 0, "0123"), CLI_DONE);
    EXPECT_EQ(backup_store_file_finish(&store_), CLI_DONE) << Said();
}

TEST_F(BackupStore, RefusesBytesThatDoNotFollowOrAreTooMany)
{
    Replace({{"a", "0123456789"}});
    EXPECT_EQ(Put(0, 1, "1"), CLI_FAILED);
    EXPECT_EQ(Put(0, 0, "01234567890"), CLI_FAILED);
    ASSERT_EQ(Put(0, 0, "012"), CLI_DONE);
    EXPECT_EQ(Put(0, 2, "2"), CLI_FAILED);
    EXPECT_EQ(Put(0, 4, "4"), CLI_FAILED);
    EXPECT_NE(Said().find("byte 4 where 3 is next"), std::string::npos);
}

TEST_F(BackupStore, RemovesWhatArrivedAltered)
{
    Replace({{"a", "0123456789"}});
    ASSERT_EQ(Put(0, 0, "0123x56789"), CLI_DONE);
    EXPECT_EQ(backup_store_file_finish(&store_), CLI_FAILED);
    EXPECT_NE(Said().find("DATA_LOSS/CORRUPT: a did not arrive"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(Path("data/a")));
    EXPECT_FALSE(std::filesystem::exists(Path("data/a.partial")))
        << "else it would be kept for good";
    size_t missing;
    EXPECT_TRUE(backup_store_missing_find(&store_, &missing));
}

TEST_F(BackupStore, KeepsWhatTheNextListHasAndRemovesTheRest)
{
    Replace({{"a", "same"}, {"b", "old"}, {"c", "gone"}, {"d", "half"}});
    for (size_t i = 0; i < 3; i++) {
        const char *texts[] = {"same", "old", "gone"};
        ASSERT_EQ(Put(i, 0, texts[i]), CLI_DONE);
    }
    ASSERT_EQ(Put(3, 0, "ha"), CLI_DONE);
    backup_store_file_leave(&store_);
    Replace({{"a", "same"}, {"b", "new"}, {"d", "half"}});
    size_t missing = 9;
    ASSERT_TRUE(backup_store_missing_find(&store_, &missing));
    EXPECT_EQ(missing, 1u);
    EXPECT_TRUE(std::filesystem::exists(Path("data/a")));
    for (const char *name : {"data/b", "data/c", "data/d", "data/d.partial"}) {
        EXPECT_FALSE(std::filesystem::exists(Path(name))) << name;
    }
}

TEST_F(BackupStore, LinksWhatTheEarlierBackupHas)
{
    snprintf(store_.base_data_dir, sizeof(store_.base_data_dir), "%s", Path("base").c_str());
    Write(Path("base/t/1.sst"), "table");
    Write(Path("base/keyring"), "old key");
    Add(&store_.base, "t/1.sst", "table");
    Add(&store_.base, "keyring", "old key");
    Replace({{"keyring", "new key"}, {"t/1.sst", "table"}});
    EXPECT_FALSE(store_.is_present[0]);
    EXPECT_TRUE(store_.is_present[1]);
    EXPECT_EQ(store_.outcome.shared_files, 1u);
    struct stat one = {};
    struct stat other = {};
    ASSERT_EQ(stat(Path("base/t/1.sst").c_str(), &one), 0);
    ASSERT_EQ(stat(Path("data/t/1.sst").c_str(), &other), 0);
    EXPECT_EQ(one.st_ino, other.st_ino);
}

TEST_F(BackupStore, TakesAFileForThereOnlyWithItsLength)
{
    Replace({{"a", "0123"}, {"b", "0123"}, {"c", "0123"}});
    Write(Path("data/a"), "0123");
    Write(Path("data/b"), "012");
    std::filesystem::create_symlink(Path("data/a"), Path("data/c"));
    ASSERT_EQ(backup_store_look(&store_), CLI_DONE);
    EXPECT_TRUE(store_.is_present[0]);
    EXPECT_FALSE(store_.is_present[1]);
    EXPECT_FALSE(store_.is_present[2]) << "a link could lead anywhere";
}

class Files : public BackupTest {};

TEST_F(Files, CopiesWithItsDigestAndKeepsHoles)
{
    std::string bytes = "head" + std::string(3 << 20, '\0') + "tail" + std::string(2 << 20, '\0');
    uint8_t sum[DIGEST_SIZE];
    uint64_t size = 0;
    Write(Path("from"), bytes);
    ASSERT_EQ(files_copy(&cli_, Path("from").c_str(), Path("to").c_str(), sum, &size), CLI_DONE)
        << Said();
    EXPECT_EQ(size, bytes.size());
    EXPECT_EQ(std::string(reinterpret_cast<char *>(sum), sizeof(sum)), Sum(bytes));
    EXPECT_EQ(Read(Path("to")), bytes);
    EXPECT_EQ(files_copy(&cli_, Path("from").c_str(), Path("to").c_str(), sum, &size), CLI_FAILED)
        << "what is there is not written over";
    EXPECT_EQ(files_copy(&cli_, Path("none").c_str(), Path("x").c_str(), sum, &size), CLI_FAILED);
}

TEST_F(Files, RemovesATreeButNothingBehindALink)
{
    Write(Path("kept/file"), "x");
    Write(Path("tree/a/b/file"), "x");
    std::filesystem::create_directory_symlink(Path("kept"), Path("tree/a/link"));
    ASSERT_EQ(files_remove_tree(&cli_, Path("tree").c_str()), CLI_DONE) << Said();
    EXPECT_FALSE(std::filesystem::exists(Path("tree")));
    EXPECT_TRUE(std::filesystem::exists(Path("kept/file")));
    EXPECT_EQ(files_remove_tree(&cli_, Path("tree").c_str()), CLI_DONE) << "it is gone already";
}

TEST_F(Files, MakesOnlyTheDirectoriesAboveAFile)
{
    ASSERT_EQ(files_make_parents(&cli_, directory_.path(), "x/y/file"), CLI_DONE) << Said();
    EXPECT_TRUE(std::filesystem::is_directory(Path("x/y")));
    EXPECT_FALSE(std::filesystem::exists(Path("x/y/file")));
    EXPECT_TRUE(files_dir_is_empty(Path("x/y").c_str()));
    EXPECT_FALSE(files_dir_is_empty(Path("x").c_str()));
    EXPECT_TRUE(files_dir_is_empty(Path("none").c_str()));
    EXPECT_EQ(files_sync_tree(&cli_, Path("x").c_str()), CLI_DONE) << Said();
}

} // namespace
