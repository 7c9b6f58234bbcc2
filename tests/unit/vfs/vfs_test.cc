/* SPDX-License-Identifier: Apache-2.0 */
/* What is built on the vtable: exact reads, whole files, and replacement that no power loss can
 * break. */
#include "engine/vfs/vfs.h"

#include <gtest/gtest.h>

#include "tests/support/fault_alloc.h"
#include "tests/unit/vfs/disk_fixture.h"

namespace {

class Vfs : public disk_fixture {};

TEST_F(Vfs, PathsJoinWithASlashAndHaveALimit)
{
    char path[VFS_PATH_MAX];
    ASSERT_EQ(vfs_path_join(path, "/store", "LOCK", &err), POLARYS_OK);
    EXPECT_STREQ(path, "/store/LOCK");
    std::string longest(VFS_PATH_MAX - 3, 'd');
    EXPECT_EQ(vfs_path_join(path, longest.c_str(), "f", &err), POLARYS_OK);
    EXPECT_EQ(vfs_path_join(path, longest.c_str(), "fg", &err), POLARYS_BAD_ARGUMENT);
    EXPECT_STREQ(path, "");
}

TEST_F(Vfs, ExactReadsSayWhereTheFileEnds)
{
    put("/f", "0123456789");
    struct vfs_file *file = open("/f", VFS_READ);
    char bytes[8];
    EXPECT_EQ(vfs_read_exact(file, 2, bytes, 8, &err), POLARYS_OK);
    EXPECT_EQ(vfs_read_exact(file, 3, bytes, 8, &err), POLARYS_CORRUPT);
    EXPECT_NE(std::string(err.message).find("ends at byte 10"), std::string::npos) << err.message;
    EXPECT_EQ(vfs_read_exact(file, UINT64_MAX, bytes, 8, &err), POLARYS_CORRUPT);
    size_t read_size = 1;
    EXPECT_EQ(vfs_read_at(file, 10, bytes, 8, &read_size, &err), POLARYS_OK);
    EXPECT_EQ(read_size, 0u);
    close(file);
}

TEST_F(Vfs, ReadingAFileAppendsAndBoundsItsSize)
{
    put("/f", "0123456789");
    struct buffer bytes = {};
    ASSERT_EQ(buffer_append(&bytes, "> ", 2), POLARYS_OK);
    ASSERT_EQ(vfs_read_file(vfs, "/f", 10, &bytes, &err), POLARYS_OK);
    EXPECT_TRUE(slice_equal(buffer_slice(&bytes), slice_from_text("> 0123456789")));
    EXPECT_EQ(vfs_read_file(vfs, "/f", 9, &bytes, &err), POLARYS_CORRUPT);
    EXPECT_NE(std::string(err.message).find("/f"), std::string::npos);
    EXPECT_EQ(vfs_read_file(vfs, "/no", 9, &bytes, &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(bytes.size, 12u) << "failures append nothing";
    buffer_deinit(&bytes);
}

TEST_F(Vfs, ReadingAFileFailsCleanlyAtEveryCall)
{
    put("/f", "0123456789");
    uint64_t n = 1;
    for (;; n++) {
        struct buffer bytes = {};
        sim_disk_fail_at(disk, n, SIM_FAULT_EIO);
        enum polarys_code code = vfs_read_file(vfs, "/f", 100, &bytes, &err);
        bool is_shown = sim_disk_fault_count(disk) > 0;
        EXPECT_EQ(code, is_shown ? POLARYS_IO : POLARYS_OK);
        EXPECT_EQ(bytes.size, is_shown ? 0u : 10u);
        buffer_deinit(&bytes);
        if (!is_shown) {
            break;
        }
    }
    EXPECT_EQ(n, 4u) << "open, size, read";
}

TEST_F(Vfs, ReadingAFileWithoutMemoryIsNoMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked()) << "link with --wrap: tests/support/fault_alloc.h";
    put("/f", "0123456789");
    struct buffer bytes = {};
    fault_alloc_fail_at(1);
    EXPECT_EQ(vfs_read_file(vfs, "/f", 100, &bytes, &err), POLARYS_NO_MEMORY);
    EXPECT_EQ(fault_alloc_disarm(), 1u);
    EXPECT_EQ(bytes.size, 0u);
}

TEST_F(Vfs, ReplacingIsAtomicAndDurableAtEveryCrashPoint)
{
    unsigned crashes = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        for (uint64_t n = 1;; n++) {
            restart(seed * 1000 + n);
            ASSERT_EQ(vfs_replace_file(vfs, "/", "f", slice_from_text("old bytes"), &err),
                      POLARYS_OK);
            sim_disk_crash_at(disk, n);
            enum polarys_code code =
                vfs_replace_file(vfs, "/", "f", slice_from_text("the new bytes"), &err);
            bool is_dead = sim_disk_is_dead(disk);
            ASSERT_EQ(code, is_dead ? POLARYS_IO : POLARYS_OK);
            sim_disk_crash(disk, static_cast<enum sim_crash_policy>(seed % 4));
            std::string after = get("/f");
            ASSERT_TRUE(after == "the new bytes" || (is_dead && after == "old bytes")) << after;
            crashes += is_dead ? 1 : 0;
            if (!is_dead) {
                break;
            }
        }
    }
    EXPECT_EQ(crashes, 40u * 5) << "open, write, sync, rename, sync_dir";
}

TEST_F(Vfs, AFailedReplacementLeavesTheOldFileAndNoOther)
{
    for (uint64_t n = 1; n <= 4; n++) {
        restart(n);
        ASSERT_EQ(vfs_replace_file(vfs, "/", "f", slice_from_text("old"), &err), POLARYS_OK);
        sim_disk_fail_at(disk, n, SIM_FAULT_EIO);
        EXPECT_EQ(vfs_replace_file(vfs, "/", "f", slice_from_text("new"), &err), POLARYS_IO);
        EXPECT_EQ(std::string(err.message).find("replace //f: "), 0u) << err.message;
        EXPECT_EQ(get("/f"), "old");
        EXPECT_EQ(list("/"), std::set<std::string>{"f"}) << n;
    }
}

TEST_F(Vfs, AReplacementThatFindsAnOldTemporaryFileStillWorks)
{
    put("/f.tmp", "left by a crash, and longer than what comes");
    ASSERT_EQ(vfs_replace_file(vfs, "/", "f", slice_from_text("new"), &err), POLARYS_OK);
    EXPECT_EQ(get("/f"), "new");
    EXPECT_EQ(list("/"), std::set<std::string>{"f"});
    std::string name(VFS_NAME_MAX - 4, 'n');
    EXPECT_EQ(vfs_replace_file(vfs, "/", name.c_str(), slice_from_text("x"), &err),
              POLARYS_BAD_ARGUMENT);
}

TEST_F(Vfs, ClosingAndReleasingAcceptNothing)
{
    EXPECT_EQ(vfs_close(nullptr, &err), POLARYS_OK);
    vfs_lock_release(vfs, nullptr);
}

TEST_F(Vfs, OpeningWithSenselessFlagsIsABug)
{
    for (unsigned flags : {unsigned{VFS_CREATE}, unsigned{VFS_READ | VFS_CREATE},
                           unsigned{VFS_WRITE | VFS_EXCLUSIVE}}) {
        EXPECT_DEATH(close(open("/f", flags)), "assertion failed: .flags") << flags;
    }
}

} // namespace
