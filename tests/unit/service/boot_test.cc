// SPDX-License-Identifier: Apache-2.0
// From settings, role and other node to a directory that can be opened; and the copy that fills it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "service/replication/fetch.h"
#include "tests/unit/service/replica_fixture.h"

namespace {

namespace fs = std::filesystem;
using replica_test::FakeOpen;
using replica_test::Get;
using replica_test::Node;
using replica_test::Primary;

class BootTest : public ::testing::Test {
  protected:
    BootTest()
    {
        std::string pattern = ::testing::TempDir() + "polarys-boot-XXXXXX";
        directory_ = mkdtemp(pattern.data());
        primary_ = std::make_unique<Primary>(directory_);
        node_ = std::make_unique<Node>(directory_, primary_->key_file);
        replica_test::reachable = primary_.get();
    }
    ~BootTest() override
    {
        node_.reset();
        primary_.reset();
        replica_test::reachable = nullptr;
        std::error_code ignored;
        fs::remove_all(directory_, ignored);
    }
    void MakeStore()
    {
        primary_->Open();
        primary_->MakeTable("t");
        primary_->Put("a", "1");
        primary_->MakeCopy();
    }
    std::string Path(const std::string &name)
    {
        return std::string(node_->settings.data_dir) + "/" + name;
    }
    void WriteRole(const role &role)
    {
        polarys_error err = {};
        fs::create_directories(node_->settings.data_dir);
        ASSERT_EQ(role_write(node_->settings.data_dir, &role, &err), POLARYS_OK) << err.message;
    }
    role ReadRole()
    {
        role found = {};
        polarys_error err = {};
        EXPECT_EQ(role_read(node_->settings.data_dir, &found, &err), POLARYS_OK) << err.message;
        return found;
    }

    std::string directory_;
    std::unique_ptr<Primary> primary_;
    std::unique_ptr<Node> node_;
};

/* ---- the file of the role ---- */

TEST_F(BootTest, TheRoleIsReadAsItWasWritten)
{
    role written = {};
    written.kind = ROLE_FOLLOWER;
    written.step = ROLE_SET_ASIDE;
    written.term = UINT64_MAX;
    snprintf(written.follows, sizeof(written.follows), "[::1]:7480");
    snprintf(written.aside, sizeof(written.aside), "diverged-7");
    WriteRole(written);
    role found = ReadRole();
    EXPECT_EQ(found.kind, written.kind);
    EXPECT_EQ(found.step, written.step);
    EXPECT_EQ(found.term, written.term);
    EXPECT_STREQ(found.follows, written.follows);
    EXPECT_STREQ(found.aside, written.aside);
}

TEST_F(BootTest, ARoleThatWasCutOrEditedIsNotBelieved)
{
    role written = {};
    written.kind = ROLE_PRIMARY;
    written.term = 3;
    WriteRole(written);
    std::ifstream file(Path("role"), std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    ASSERT_GT(text.size(), 40u);
    for (size_t i = 0; i < text.size(); i++) {
        for (int way = 0; way < 2; way++) {
            std::string damaged = way == 0 ? text.substr(0, i) : text;
            if (way == 1) {
                damaged[i] ^= 1;
            }
            std::ofstream(Path("role"), std::ios::binary) << damaged;
            role found;
            polarys_error err = {};
            EXPECT_EQ(role_read(node_->settings.data_dir, &found, &err), POLARYS_CORRUPT) << i;
            EXPECT_EQ(found.kind, ROLE_NONE);
        }
    }
}

/* ---- the copy ---- */

TEST(CopyPath, LeadsNowhereElse)
{
    for (const char *good : {"keyring", "wal/000001.wal", "a/b/c", "000007.sst", "CURRENT"}) {
        EXPECT_TRUE(fetch_path_is_safe(good, strlen(good))) << good;
    }
    for (const char *bad : {"",
                            "/etc/passwd",
                            "../x",
                            "wal/../../x",
                            "wal//x",
                            "wal/",
                            "./x",
                            "wal/.",
                            ".hidden",
                            "wal/.x",
                            "a b",
                            "a\nb",
                            "a\\b",
                            "role",
                            "role.tmp",
                            "LOCK",
                            "master.key",
                            "diverged-1/x",
                            "bootstrap.lock",
                            "bootstrap.partial/x",
                            "a/b/c/d/e/f/g/h/i/j",
                            "\x80x"}) {
        EXPECT_FALSE(fetch_path_is_safe(bad, strlen(bad))) << bad;
    }
    EXPECT_FALSE(fetch_path_is_safe("a\0b", 3));
    std::string longest(FETCH_PATH_MAX, 'a');
    EXPECT_FALSE(fetch_path_is_safe(longest.data(), longest.size()));
}

class CopyTest : public BootTest {
  protected:
    CopyTest()
    {
        memory_.limit = 64 << 20;
        proto_arena_init(&arena_, &memory_);
        fs::create_directories(directory_ + "/to");
        to_ = directory_ + "/to";
        EXPECT_EQ(fetch_create(to_.c_str(), "node-b", &fetch_, &error_), POLARYS_OK);
    }
    ~CopyTest() override
    {
        fetch_destroy(fetch_);
        proto_arena_deinit(&arena_);
    }
    polarys_code Fetch()
    {
        peer *from = nullptr;
        EXPECT_EQ(FakeOpen("", &from, &error_), POLARYS_OK);
        polarys_error_clear(&error_);
        polarys_code code = fetch_run(fetch_, from, &arena_, &error_);
        peer_close(from);
        return code;
    }
    std::string Read(const std::string &name)
    {
        std::ifstream file(to_ + "/" + name, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }
    void ExpectWhole()
    {
        for (const auto &part : primary_->copy) {
            EXPECT_EQ(Read(part.path), part.bytes) << part.path;
        }
        fetch_progress progress = {};
        fetch_progress_get(fetch_, &progress);
        EXPECT_EQ(progress.files_done, primary_->copy.size());
        EXPECT_EQ(progress.bytes_done, progress.bytes);
    }

    proto_memory memory_ = {};
    proto_arena arena_ = {};
    fetch *fetch_ = nullptr;
    polarys_error error_ = {};
    std::string to_;
};

std::string Some(size_t size, char first)
{
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; i++) {
        bytes[i] = static_cast<char>(first + i * 7);
    }
    return bytes;
}

TEST_F(CopyTest, HasEveryByteOfEveryFile)
{
    primary_->copy = {{"empty", ""},
                      {"wal/one", Some(12345, 'a')},
                      {"zeros", std::string(200000, '\0'), 0},
                      {"tail", Some(700, 'b') + std::string(100000, '\0'), 700},
                      {"last", ""}};
    ASSERT_EQ(Fetch(), POLARYS_OK) << error_.message;
    ExpectWhole();
    EXPECT_EQ(Fetch(), POLARYS_OK) << "nothing is missing: nothing is asked";
    EXPECT_EQ(primary_->copy_requests.size(), 1u);
}

TEST_F(CopyTest, GoesOnWhereItBrokeOff)
{
    primary_->copy = {{"one", Some(9000, 'a')}, {"two", Some(20000, 'b')}, {"three", "x"}};
    for (int messages = 1; messages <= 6; messages++) {
        primary_->copy_break_after = messages;
        polarys_code code = Fetch();
        if (code == POLARYS_OK) {
            break;
        }
        ASSERT_EQ(code, POLARYS_NO_PRIMARY) << error_.message;
    }
    ASSERT_EQ(Fetch(), POLARYS_OK) << error_.message;
    ExpectWhole();
    EXPECT_EQ(primary_->copy_requests[0], "@0");
    EXPECT_EQ(primary_->copy_requests[1], "one@0");
    EXPECT_EQ(primary_->copy_requests[2], "one@5000");
}

TEST_F(CopyTest, IsRefusedWhenAFileIsNotWhatItsDigestSays)
{
    primary_->copy = {{"one", Some(100, 'a')}, {"two", Some(20000, 'b')}};
    /* What is sent is less than what the digest was made of, and not zeros. */
    primary_->copy[1].sent_size = 19999;
    EXPECT_EQ(Fetch(), POLARYS_CORRUPT);
    EXPECT_NE(std::string(error_.message).find("two"), std::string::npos) << error_.message;
}

TEST_F(CopyTest, IsRefusedWhenItEndsEarly)
{
    primary_->copy = {{"one", Some(100, 'a')}};
    primary_->copy_without_end = true;
    EXPECT_EQ(Fetch(), POLARYS_BAD_MESSAGE);
}

TEST_F(CopyTest, WritesNothingOutsideItsDirectory)
{
    for (const char *path : {"../evil", "/tmp/evil-of-boot-test", "wal/../../evil", "role"}) {
        fetch_destroy(fetch_);
        ASSERT_EQ(fetch_create(to_.c_str(), "node-b", &fetch_, &error_), POLARYS_OK);
        primary_->copy = {{"good", "x"}, {path, "evil"}};
        EXPECT_EQ(Fetch(), POLARYS_BAD_MESSAGE) << path;
        EXPECT_TRUE(fs::is_empty(to_)) << "the list is looked at before anything is written";
        EXPECT_FALSE(fs::exists(directory_ + "/evil"));
    }
}

TEST_F(CopyTest, IsRefusedWhenTwoFilesAreOne)
{
    primary_->copy = {{"one", Some(100, 'a')}, {"one", Some(100, 'b')}};
    EXPECT_NE(Fetch(), POLARYS_OK);
}

TEST_F(CopyTest, IsRefusedWhenAnotherCopyGoesOn)
{
    primary_->copy = {{"one", Some(9000, 'a')}};
    primary_->copy_break_after = 2;
    ASSERT_EQ(Fetch(), POLARYS_NO_PRIMARY);
    primary_->copy_id = "another";
    EXPECT_EQ(Fetch(), POLARYS_BAD_MESSAGE) << error_.message;
}

/* ---- deciding ---- */

TEST_F(BootTest, ANodeWithoutFollowIsAPrimary)
{
    node_->settings.follow[0] = '\0';
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    EXPECT_FALSE(node_->is_follower);
    EXPECT_FALSE(fs::exists(Path("role")));
}

TEST_F(BootTest, ANewFollowerCopiesTheStoreOverABrokenConnection)
{
    MakeStore();
    primary_->copy_break_after = 2;
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    EXPECT_TRUE(node_->is_follower);
    EXPECT_EQ(Get(node_->db, "t", "a"), "1");
    EXPECT_EQ(polarys_db_version(node_->db), primary_->Version());
    EXPECT_EQ(primary_->calls[0], "CreateSlot") << "the log behind the copy is kept from before it";
    EXPECT_EQ(primary_->calls[1], "Bootstrap");
    EXPECT_FALSE(fs::exists(Path("bootstrap.partial")));
    EXPECT_EQ(ReadRole().step, ROLE_FOLLOWING);
    EXPECT_STREQ(ReadRole().follows, "127.0.0.1:1");
    node_->Close();
    replica_test::reachable = nullptr;
    ASSERT_EQ(node_->Open(), POLARYS_OK) << "without the primary: the store is there";
    EXPECT_EQ(Get(node_->db, "t", "a"), "1");
}

TEST_F(BootTest, AFollowersDirectoryIsNotOpenedAsAPrimary)
{
    MakeStore();
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    node_->Close();
    node_->settings.follow[0] = '\0';
    EXPECT_EQ(node_->Open(), POLARYS_NOT_PRIMARY);
    EXPECT_NE(std::string(node_->error.message).find("promote"), std::string::npos);
    EXPECT_NE(std::string(node_->error.message).find("127.0.0.1:1"), std::string::npos);
}

TEST_F(BootTest, OneDirectoryIsFollowedInByOneProcess)
{
    MakeStore();
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    boot *second = nullptr;
    bool is_follower;
    role found;
    polarys_error err = {};
    ASSERT_EQ(boot_create(&node_->settings, FakeOpen, &second, &err), POLARYS_OK);
    EXPECT_EQ(boot_run(second, &is_follower, &found, &err), POLARYS_STORE_LOCKED) << err.message;
    boot_destroy(second);
}

TEST_F(BootTest, ADirectoryThatHoldsSomethingElseIsLeftAlone)
{
    MakeStore();
    fs::create_directories(node_->settings.data_dir);
    std::ofstream(Path("letters.txt")) << "dear";
    EXPECT_EQ(node_->Open(), POLARYS_FILE_NOT_FOUND);
    EXPECT_NE(std::string(node_->error.message).find("letters.txt"), std::string::npos);
    EXPECT_TRUE(fs::exists(Path("letters.txt")));
}

TEST_F(BootTest, ARejectedStoreIsKeptAsideAndCopiedAnew)
{
    MakeStore();
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    node_->Close();
    role found = ReadRole();
    polarys_error err = {};
    ASSERT_EQ(boot_store_reject(node_->settings.data_dir, &found, &err), POLARYS_OK);
    primary_->Put("b", "2");
    primary_->MakeCopy();
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    EXPECT_EQ(Get(node_->db, "t", "b"), "2");
    EXPECT_TRUE(fs::exists(Path(found.aside) + "/keyring"));
    EXPECT_TRUE(fs::exists(Path(found.aside) + "/wal"));
}

TEST_F(BootTest, EveryStepIsGoneOnWithAfterACrash)
{
    MakeStore();
    for (int moved = 0; moved < 3; moved++) {
        ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
        node_->Close();
        /* Some names were moved aside, then it crashed. */
        role found = ReadRole();
        found.step = ROLE_SET_ASIDE;
        snprintf(found.aside, sizeof(found.aside), "diverged-%d", moved);
        WriteRole(found);
        fs::create_directories(Path(found.aside));
        if (moved > 0) {
            fs::rename(Path("keyring"), Path(found.aside) + "/keyring");
        }
        if (moved > 1) {
            fs::rename(Path("wal"), Path(found.aside) + "/wal");
        }
        ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
        EXPECT_EQ(Get(node_->db, "t", "a"), "1");
        node_->Close();
        /* Some names were moved into place, then it crashed. */
        found = ReadRole();
        found.step = ROLE_INSTALLING;
        WriteRole(found);
        fs::create_directories(Path("bootstrap.partial"));
        if (moved > 0) {
            fs::rename(Path("wal"), Path("bootstrap.partial/wal"));
        }
        if (moved > 1) {
            fs::rename(Path("keyring"), Path("bootstrap.partial/keyring"));
        }
        ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
        EXPECT_EQ(Get(node_->db, "t", "a"), "1");
        node_->Close();
    }
}

TEST_F(BootTest, APromotedNodeFollowsOnlyOneThatWasPromotedAfterIt)
{
    MakeStore();
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    node_->Close();
    role found = ReadRole();
    found.kind = ROLE_PRIMARY;
    found.term = 5;
    WriteRole(found);
    ASSERT_EQ(node_->Open(), POLARYS_OK) << "its old primary is at term 1";
    EXPECT_FALSE(node_->is_follower);
    node_->Close();
    replica_test::reachable = nullptr;
    ASSERT_EQ(node_->Open(), POLARYS_OK) << "its old primary does not answer";
    EXPECT_FALSE(node_->is_follower);
    node_->Close();
    replica_test::reachable = primary_.get();
    primary_->header_term = 6;
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    EXPECT_TRUE(node_->is_follower);
    EXPECT_EQ(ReadRole().kind, ROLE_FOLLOWER);
    EXPECT_EQ(ReadRole().term, 5u) << "the highest term seen is not forgotten";
}

TEST_F(BootTest, EndsWhenItIsCancelledWhileNobodyAnswers)
{
    replica_test::reachable = nullptr;
    boot *booting = nullptr;
    bool is_follower;
    role found;
    polarys_error err = {};
    ASSERT_EQ(boot_create(&node_->settings, FakeOpen, &booting, &err), POLARYS_OK);
    boot_cancel(booting);
    EXPECT_EQ(boot_run(booting, &is_follower, &found, &err), POLARYS_CANCELLED) << err.message;
    boot_destroy(booting);
    EXPECT_EQ(ReadRole().step, ROLE_FETCHING);
}

TEST_F(BootTest, AnotherMasterKeyIsAClearError)
{
    MakeStore();
    polarys_error err = {};
    std::string other = directory_ + "/other";
    ASSERT_EQ(polarys_master_key_generate(other.c_str(), &err), POLARYS_OK);
    snprintf(node_->settings.master_key_file, sizeof(node_->settings.master_key_file), "%s",
             other.c_str());
    EXPECT_EQ(node_->Open(), POLARYS_WRONG_MASTER_KEY) << node_->error.message;
}

} // namespace
