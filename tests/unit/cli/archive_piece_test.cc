/* SPDX-License-Identifier: Apache-2.0 */
/* Names, heads and states of an archive, and places: what was stored is read back, and nothing else is taken. */
#include <sys/stat.h>

#include "client/cli/archive_read.h"
#include "client/cli/objects_internal.h"
#include "tests/unit/cli/backup_fixture.h"

namespace {

polarys_slice slice_of(const std::string &bytes)
{
    return slice_make(bytes.data(), bytes.size());
}

TEST(ArchiveNames, AreReadBackAndInTheOrderOfTheLog)
{
    char first[ARCHIVE_NAME_MAX];
    char second[ARCHIVE_NAME_MAX];
    archive_place place = {7, 2, 4096, 999999999};
    archive_place other = {};
    archive_name_make(&place, first);
    ASSERT_TRUE(archive_name_read(first, &other));
    EXPECT_EQ(0, memcmp(&place, &other, sizeof(place)));
    place = {10, 2, 0, 8192};
    archive_name_make(&place, second);
    EXPECT_LT(strcmp(first, second), 0);
    for (std::string bad : {"", "log/", "log/1-2-3-4", "keys/x"}) {
        EXPECT_FALSE(archive_name_read(bad.c_str(), &other)) << bad;
    }
    std::string name = first;
    EXPECT_FALSE(archive_name_read((name + "0").c_str(), &other));
    EXPECT_FALSE(archive_name_read(name.substr(0, name.size() - 1).c_str(), &other));
    place = {1, 1, 8192, 8192};
    archive_name_make(&place, second);
    EXPECT_FALSE(archive_name_read(second, &other)) << "an empty piece";
}

TEST(ArchivePiece, IsRefusedWhenItIsShortOrOfAnotherFormat)
{
    polarys_error err = {};
    archive_piece piece;
    archive_head head;
    std::string bytes(ARCHIVE_HEAD_SIZE + DIGEST_SIZE, '\0');
    EXPECT_EQ(POLARYS_CORRUPT, archive_piece_read(slice_of(bytes), &piece, &err));
    bytes.replace(0, 8, "PLRSARCP");
    bytes[8] = 2;
    EXPECT_EQ(POLARYS_UNSUPPORTED_FORMAT, archive_head_read(slice_of(bytes), &head, &err));
    bytes[8] = 1;
    EXPECT_EQ(POLARYS_CORRUPT, archive_head_read(slice_of(bytes), &head, &err)) << "no segment";
    for (size_t size = 0; size < bytes.size(); size += 7) {
        EXPECT_NE(POLARYS_OK, archive_piece_read(slice_of(bytes.substr(0, size)), &piece, &err));
    }
}

class ArchivePlace : public BackupTest {
  protected:
    void SetUp() override
    {
        BackupTest::SetUp();
        location = Path("place");
        objects_options options = {};
        options.location = location.c_str();
        ASSERT_EQ(POLARYS_OK, objects_open(&options, true, &place, &err)) << err.message;
    }
    void TearDown() override
    {
        objects_close(place);
        free(bytes.bytes);
        BackupTest::TearDown();
    }
    std::string Get(const char *name, uint64_t offset = 0, size_t size = 1000)
    {
        EXPECT_EQ(POLARYS_OK, objects_get(place, name, offset, size, &bytes, &err)) << err.message;
        return std::string(reinterpret_cast<char *>(bytes.bytes), bytes.size);
    }
    static polarys_code Add(void *context, const char *name, uint64_t size, polarys_error *)
    {
        *static_cast<std::string *>(context) +=
            std::string(name) + ":" + std::to_string(size) + " ";
        return POLARYS_OK;
    }

    std::string location;
    objects *place = nullptr;
    objects_bytes bytes = {};
    polarys_error err = {};
};

TEST_F(ArchivePlace, HoldsWhatWasPutAndListsItInOrder)
{
    for (const char *name : {"log/b", "log/a", "keys/k"}) {
        ASSERT_EQ(POLARYS_OK, objects_put(place, name, slice_of(name), &err)) << err.message;
    }
    ASSERT_EQ(POLARYS_OK, objects_put(place, "log/a", slice_of("other"), &err));
    EXPECT_EQ("other", Get("log/a"));
    EXPECT_EQ("he", Get("log/a", 2, 2));
    EXPECT_EQ("", Get("log/a", 99));
    std::string listed;
    const objects_visitor visitor = {Add, &listed};
    Write(location + "/log/.putting", "left by a kill");
    ASSERT_EQ(POLARYS_OK, objects_list(place, "log/", nullptr, &visitor, &err));
    EXPECT_EQ("log/a:5 log/b:5 ", listed);
    listed.clear();
    ASSERT_EQ(POLARYS_OK, objects_list(place, "log/", "log/a", &visitor, &err));
    EXPECT_EQ("log/b:5 ", listed);
    ASSERT_EQ(POLARYS_OK, objects_remove(place, "log/a", &err));
    ASSERT_EQ(POLARYS_OK, objects_remove(place, "log/a", &err)) << "it is gone already";
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, objects_get(place, "log/a", 0, 10, &bytes, &err));
}

TEST_F(ArchivePlace, TakesNoNameThatLeadsOutOfIt)
{
    for (const char *name : {"", "/a", "../a", "a/../b", "a//b", ".a", "a/", "a b", "a\n"}) {
        EXPECT_EQ(POLARYS_BAD_NAME, objects_put(place, name, slice_of("x"), &err)) << name;
    }
}

TEST_F(ArchivePlace, LeavesTheOldObjectWhereItCannotWrite)
{
    ASSERT_EQ(POLARYS_OK, objects_put(place, "log/a", slice_of("old"), &err));
    ASSERT_EQ(0, mkdir((location + "/log/.putting").c_str(), 0700));
    EXPECT_NE(POLARYS_OK, objects_put(place, "log/a", slice_of("new"), &err));
    EXPECT_EQ("old", Get("log/a"));
}

TEST_F(ArchivePlace, KeepsItsStateAndTakesADamagedOneForNone)
{
    archive_state state = {};
    ASSERT_EQ(POLARYS_OK, archive_state_load(place, &state, &err));
    EXPECT_FALSE(state.is_there);
    state.last = {3, 1, 0, 8192};
    state.version = 5;
    state.complete_unix_ms = 77;
    ASSERT_EQ(POLARYS_OK, archive_state_store(place, &state, &err));
    archive_state read = {};
    ASSERT_EQ(POLARYS_OK, archive_state_load(place, &read, &err));
    EXPECT_TRUE(read.is_there);
    EXPECT_EQ(77u, read.complete_unix_ms);
    EXPECT_EQ(8192u, read.last.end);
    std::string text = Get("state");
    for (size_t i = 0; i < text.size(); i++) {
        std::string bad = text;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        EXPECT_FALSE(archive_state_read(bad.data(), bad.size(), &read)) << i;
        EXPECT_FALSE(archive_state_read(text.data(), i, &read)) << i;
    }
}

TEST_F(ArchivePlace, OpensNoIndexOfNamesThatAreNone)
{
    archive_index index = {};
    ASSERT_EQ(POLARYS_OK, objects_put(place, "log/stray", slice_of("x"), &err));
    EXPECT_EQ(POLARYS_CORRUPT, archive_index_load(place, 0, &index, &err));
    archive_index_deinit(&index);
}

TEST(S3List, ReadsAPageAndRefusesOneThatIsCutOff)
{
    polarys_error err = {};
    s3_page page = {};
    char key[64];
    uint64_t size = 0;
    bool has_object = false;
    const std::string text = "<?xml?><ListBucketResult><IsTruncated>true</IsTruncated>"
                             "<NextContinuationToken>a&amp;b</NextContinuationToken>"
                             "<Contents><Key>p/&lt;x</Key><Size>12</Size></Contents>"
                             "</ListBucketResult>";
    ASSERT_EQ(POLARYS_OK, s3_page_begin(&page, text.data(), text.size(), &err)) << err.message;
    EXPECT_TRUE(page.is_truncated);
    EXPECT_STREQ("a&b", page.token);
    ASSERT_EQ(POLARYS_OK, s3_page_next(&page, key, sizeof(key), &size, &has_object, &err));
    EXPECT_TRUE(has_object);
    EXPECT_STREQ("p/<x", key);
    EXPECT_EQ(12u, size);
    ASSERT_EQ(POLARYS_OK, s3_page_next(&page, key, sizeof(key), &size, &has_object, &err));
    EXPECT_FALSE(has_object);
    for (size_t cut = 0; cut < text.size(); cut++) {
        EXPECT_EQ(POLARYS_CORRUPT, s3_page_begin(&page, text.data(), cut, &err)) << cut;
    }
    page = {};
    ASSERT_EQ(POLARYS_OK, s3_page_begin(&page, text.data(), text.size(), &err));
    EXPECT_EQ(POLARYS_CORRUPT, s3_page_next(&page, key, 4, &size, &has_object, &err))
        << "a name that does not fit is not cut";
}

/* A page with these objects; `more`: the word for whether there are further ones. */
std::string page_text(const std::vector<std::string> &keys, const std::string &more)
{
    std::string text = "<ListBucketResult><IsTruncated>" + more +
                       "</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    for (const std::string &key : keys) {
        text += "<Contents><Key>" + key + "</Key><Size>1</Size></Contents>";
    }
    return text + "</ListBucketResult>";
}

/* Reads a whole page; the keys behind `seen`. */
polarys_code page_read(s3_page *page, const std::string &text, std::string *seen)
{
    char key[64];
    uint64_t size = 0;
    bool has_object = true;
    polarys_error err = {};
    polarys_code code = s3_page_begin(page, text.data(), text.size(), &err);
    while (code == POLARYS_OK && has_object) {
        code = s3_page_next(page, key, sizeof(key), &size, &has_object, &err);
        *seen += code == POLARYS_OK && has_object ? std::string(key) + " " : "";
    }
    return code;
}

TEST(S3List, GoesOnOverItsPagesInOneOrder)
{
    s3_page page = {};
    std::string seen;
    EXPECT_EQ(POLARYS_OK, page_read(&page, page_text({"a", "b"}, "true"), &seen));
    EXPECT_EQ(POLARYS_OK, page_read(&page, page_text({}, "true"), &seen));
    EXPECT_EQ(POLARYS_OK, page_read(&page, page_text({"b1", "c"}, "true"), &seen));
    EXPECT_EQ("a b b1 c ", seen);
    EXPECT_EQ(POLARYS_CORRUPT, page_read(&page, page_text({"c", "d"}, "false"), &seen))
        << "a page that begins with what was told";
    page = {};
    EXPECT_EQ(POLARYS_CORRUPT, page_read(&page, page_text({"b", "a"}, "false"), &seen))
        << "an order of its own";
}

TEST(S3List, MustSayWhetherItGoesOn)
{
    std::string seen;
    for (const char *word : {"", "TRUE", "1", "yes"}) {
        s3_page page = {};
        EXPECT_EQ(POLARYS_CORRUPT, page_read(&page, page_text({"a"}, word), &seen)) << word;
    }
}

TEST(S3List, MustEnd)
{
    s3_page page = {};
    std::string seen;
    const std::string text = page_text({}, "true");
    int count = 0;
    while (count < 2 * S3_EMPTY_PAGES_MAX && page_read(&page, text, &seen) == POLARYS_OK) {
        count++;
    }
    EXPECT_EQ(S3_EMPTY_PAGES_MAX, count);
}

} // namespace
