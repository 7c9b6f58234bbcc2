// SPDX-License-Identifier: Apache-2.0
// The list of a backup's files: written, read again, and refused when it is not as it was written.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/cli/backup_fixture.h"

namespace {

class BackupList : public BackupTest {
  protected:
    void Make(struct backup_list *list)
    {
        memset(list->store_id, 1, sizeof(list->store_id));
        memset(list->history_id, 2, sizeof(list->history_id));
        memset(list->copy_id, 3, sizeof(list->copy_id));
        memset(list->log_tag, 0xfe, sizeof(list->log_tag));
        list->version = UINT64_MAX;
        list->created_unix_ms = 1700000000123;
        list->increments = 11;
        list->log_segment = 7;
        list->log_offset = 4096;
        Add(list, "000001.sst", "table");
        Add(list, "wal/000001.wal", "");
        Add(list, "keyring", std::string(1000, 'k'));
    }
    std::string Written()
    {
        struct backup_list list = {};
        Make(&list);
        EXPECT_EQ(backup_list_write(&cli_, directory_.path(), BACKUP_LIST_NAME, &list), CLI_DONE);
        backup_list_deinit(&list);
        return Read(Path(BACKUP_LIST_NAME));
    }
    enum cli_status ReadBack(const std::string &text, struct backup_list *list)
    {
        Write(Path(BACKUP_LIST_NAME), text);
        return backup_list_read(&cli_, directory_.path(), BACKUP_LIST_NAME, list);
    }
};

TEST_F(BackupList, IsReadAsItWasWritten)
{
    struct backup_list list = {};
    ASSERT_EQ(ReadBack(Written(), &list), CLI_DONE) << Said();
    struct backup_list same = {};
    Make(&same);
    EXPECT_EQ(memcmp(list.store_id, same.store_id, BACKUP_ID_SIZE), 0);
    EXPECT_EQ(memcmp(list.history_id, same.history_id, BACKUP_ID_SIZE), 0);
    EXPECT_EQ(memcmp(list.copy_id, same.copy_id, BACKUP_ID_SIZE), 0);
    EXPECT_EQ(memcmp(list.log_tag, same.log_tag, BACKUP_ID_SIZE), 0);
    EXPECT_EQ(list.version, same.version);
    EXPECT_EQ(list.created_unix_ms, same.created_unix_ms);
    EXPECT_EQ(list.increments, same.increments);
    EXPECT_EQ(list.log_segment, same.log_segment);
    EXPECT_EQ(list.log_offset, same.log_offset);
    ASSERT_EQ(list.file_count, same.file_count);
    for (size_t i = 0; i < same.file_count; i++) {
        EXPECT_STREQ(list.files[i].path, same.files[i].path);
        EXPECT_EQ(list.files[i].size, same.files[i].size);
        EXPECT_EQ(memcmp(list.files[i].sha256, same.files[i].sha256, DIGEST_SIZE), 0);
    }
    EXPECT_EQ(backup_list_bytes(&list), 1005u);
    EXPECT_EQ(backup_list_find(&list, "keyring", 7, 1), 2);
    EXPECT_EQ(backup_list_find(&list, "000001.sst", 10, 2), 0);
    EXPECT_EQ(backup_list_find(&list, "keyrin", 6, 0), -1);
    EXPECT_EQ(backup_list_find(&list, "keyring2", 8, 0), -1);
    backup_list_deinit(&list);
    backup_list_deinit(&same);
}

TEST_F(BackupList, IsReadWithoutAMemberThatOlderListsLack)
{
    std::string text = Written();
    size_t at = text.find("\"increments\":11,");
    ASSERT_NE(at, std::string::npos);
    text.erase(at, 16);
    text.erase(text.rfind("{\"sha256\""));
    char sum[DIGEST_TEXT_SIZE];
    digest_text(sum, reinterpret_cast<const uint8_t *>(Sum(text).data()), DIGEST_SIZE);
    struct backup_list list = {};
    ASSERT_EQ(ReadBack(text + "{\"sha256\":\"" + sum + "\"}\n", &list), CLI_DONE) << Said();
    EXPECT_EQ(list.increments, 0u);
    EXPECT_EQ(list.file_count, 3u);
    backup_list_deinit(&list);
}

TEST_F(BackupList, IsRefusedWhenAnyByteIsAltered)
{
    std::string text = Written();
    for (size_t i = 0; i < text.size(); i++) {
        std::string altered = text;
        altered[i] = static_cast<char>(altered[i] ^ 1);
        struct backup_list list = {};
        enum cli_status status = ReadBack(altered, &list);
        /* The case of a digit of the sum is no difference; nothing else is like it. */
        EXPECT_NE(status, CLI_DONE) << "byte " << i << ": " << altered;
        EXPECT_EQ(list.files, nullptr);
        backup_list_deinit(&list);
    }
    EXPECT_NE(Said().find("DATA_LOSS/CORRUPT"), std::string::npos);
}

TEST_F(BackupList, IsRefusedWhenItIsCutOffAnywhere)
{
    std::string text = Written();
    for (size_t size = 0; size < text.size(); size++) {
        struct backup_list list = {};
        EXPECT_NE(ReadBack(text.substr(0, size), &list), CLI_DONE) << size;
        backup_list_deinit(&list);
    }
    struct backup_list list = {};
    EXPECT_NE(ReadBack(text + "x", &list), CLI_DONE);
    backup_list_deinit(&list);
}

TEST_F(BackupList, OfALaterFormatIsNamedSo)
{
    std::string text = Written();
    text.replace(text.find("\"polarys_backup\":1"), 18, "\"polarys_backup\":2");
    struct backup_list list = {};
    EXPECT_NE(ReadBack(text, &list), CLI_DONE);
    EXPECT_NE(Said().find("UNSUPPORTED_FORMAT"), std::string::npos);
    std::filesystem::remove(Path(BACKUP_LIST_NAME));
    EXPECT_NE(backup_list_read(&cli_, directory_.path(), BACKUP_LIST_NAME, &list), CLI_DONE);
    EXPECT_NE(Said().find("FILE_NOT_FOUND"), std::string::npos);
}

TEST(BackupPath, LeadsNowhereElse)
{
    for (const char *path :
         {"a", "keyring", "wal/000001.wal", "MANIFEST-000001", "a/b/c", "a..b"}) {
        EXPECT_TRUE(backup_path_is_valid(path, strlen(path))) << path;
    }
    for (const char *path : {"", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", ".", "./a",
                             "a/", "a//b", "a b", "a\n", "a\"b", ".hidden", "wal/.x", "a\\b"}) {
        EXPECT_FALSE(backup_path_is_valid(path, strlen(path))) << path;
    }
    EXPECT_FALSE(backup_path_is_valid("a\0b", 3));
    std::string longest(BACKUP_PATH_MAX - 1, 'a');
    EXPECT_TRUE(backup_path_is_valid(longest.data(), longest.size()));
    longest += 'a';
    EXPECT_FALSE(backup_path_is_valid(longest.data(), longest.size()));
}

TEST(Digest, IsThatOfTheStandard)
{
    struct digest digest = {};
    uint8_t sum[DIGEST_SIZE];
    char text[DIGEST_TEXT_SIZE];
    digest_begin(&digest);
    digest_add(&digest, "a", 1);
    digest_add(&digest, "bc", 2);
    ASSERT_TRUE(digest_end(&digest, sum));
    digest_text(text, sum, sizeof(sum));
    EXPECT_STREQ(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /* Begun anew, and zeros are zeros however they are added. */
    std::string zeros(200000, '\0');
    uint8_t other[DIGEST_SIZE];
    digest_begin(&digest);
    digest_add(&digest, zeros.data(), zeros.size());
    ASSERT_TRUE(digest_end(&digest, sum));
    digest_begin(&digest);
    digest_add_zeros(&digest, zeros.size());
    ASSERT_TRUE(digest_end(&digest, other));
    EXPECT_EQ(memcmp(sum, other, sizeof(sum)), 0);
    digest_deinit(&digest);
}

} // namespace
