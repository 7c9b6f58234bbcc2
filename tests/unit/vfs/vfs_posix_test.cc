/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the operating system: the same behaviour as on the simulated disk, and locks that
 * hold between processes as well as within one. */
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <string>

#include "engine/base/buffer.h"
#include "engine/vfs/vfs.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/temp_dir.h"

namespace {

class VfsPosix : public testing::Test {
  protected:
    VfsPosix()
    {
        polarys_error_clear(&err);
    }
    std::string at(const std::string &name) const
    {
        return std::string(dir.path()) + "/" + name;
    }
    struct vfs_file *open(const std::string &name, unsigned flags)
    {
        struct vfs_file *file = nullptr;
        EXPECT_EQ(vfs_open(vfs, at(name).c_str(), flags, &file, &err), POLARYS_OK) << err.message;
        return file;
    }
    void put(const std::string &name, const std::string &text)
    {
        struct vfs_file *file = open(name, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE);
        EXPECT_EQ(vfs_write_at(file, 0, text.data(), text.size(), &err), POLARYS_OK);
        EXPECT_EQ(vfs_close(file, &err), POLARYS_OK);
    }
    std::string get(const std::string &name)
    {
        struct buffer bytes = {};
        EXPECT_EQ(vfs_read_file(vfs, at(name).c_str(), 1 << 20, &bytes, &err), POLARYS_OK)
            << err.message;
        std::string text(reinterpret_cast<const char *>(bytes.data), bytes.size);
        buffer_deinit(&bytes);
        return text;
    }

    scoped_temp_dir dir;
    struct vfs *vfs = vfs_posix();
    struct polarys_error err;
};

TEST_F(VfsPosix, WritesAndReadsBackAtOffsets)
{
    struct vfs_file *file = open("f", VFS_READ | VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE);
    std::string bytes(100000, 'x');
    ASSERT_EQ(vfs_write_at(file, 5, bytes.data(), bytes.size(), &err), POLARYS_OK);
    ASSERT_EQ(vfs_write_at(file, 50, "abc", 3, &err), POLARYS_OK);
    ASSERT_EQ(vfs_sync(file, &err), POLARYS_OK);
    uint64_t size;
    ASSERT_EQ(vfs_file_size(file, &size, &err), POLARYS_OK);
    EXPECT_EQ(size, 100005u);
    char text[8];
    ASSERT_EQ(vfs_read_exact(file, 49, text, 5, &err), POLARYS_OK);
    EXPECT_EQ(std::string(text, 5), "xabcx");
    size_t read_size;
    ASSERT_EQ(vfs_read_at(file, 100000, text, 8, &read_size, &err), POLARYS_OK);
    EXPECT_EQ(read_size, 5u);
    ASSERT_EQ(vfs_truncate(file, 52, &err), POLARYS_OK);
    EXPECT_EQ(vfs_read_exact(file, 49, text, 5, &err), POLARYS_CORRUPT);
    EXPECT_EQ(vfs_close(file, &err), POLARYS_OK);
    struct stat status;
    ASSERT_EQ(stat(at("f").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(VfsPosix, OffsetsThatNoFileHasAreErrorsAndNotBugs)
{
    put("f", "abc");
    struct vfs_file *file = open("f", VFS_READ | VFS_WRITE);
    char text[8];
    size_t read_size = 1;
    for (uint64_t offset : {UINT64_MAX, UINT64_MAX - 4, uint64_t{INT64_MAX}, uint64_t{1} << 63}) {
        EXPECT_EQ(vfs_read_at(file, offset, text, 8, &read_size, &err), POLARYS_OK) << offset;
        EXPECT_EQ(read_size, 0u);
        EXPECT_EQ(vfs_write_at(file, offset, text, 8, &err), POLARYS_IO) << offset;
    }
    EXPECT_EQ(vfs_truncate(file, UINT64_MAX, &err), POLARYS_IO);
    EXPECT_EQ(vfs_close(file, &err), POLARYS_OK);
}

TEST_F(VfsPosix, ErrorsNameThePathAndTheReason)
{
    struct vfs_file *file;
    EXPECT_EQ(vfs_open(vfs, at("no").c_str(), VFS_READ, &file, &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(err.message, "open " + at("no") + ": No such file or directory");
    EXPECT_EQ(file, nullptr);
    put("f", "x");
    EXPECT_EQ(vfs_open(vfs, at("f").c_str(), VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, &file, &err),
              POLARYS_IO);
    EXPECT_EQ(vfs_remove(vfs, at("no").c_str(), &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_rename(vfs, at("no").c_str(), at("f").c_str(), &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_link(vfs, at("f").c_str(), at("f").c_str(), &err), POLARYS_IO);
    EXPECT_EQ(vfs_make_dir(vfs, at("f").c_str(), &err), POLARYS_IO) << "a file is in the way";
    EXPECT_EQ(vfs_sync_dir(vfs, at("no").c_str(), &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_list_dir(
                  vfs, at("no").c_str(), [](void *, const char *) {}, nullptr, &err),
              POLARYS_FILE_NOT_FOUND);
    uint64_t free_bytes;
    EXPECT_EQ(vfs_free_bytes(vfs, at("no").c_str(), &free_bytes, &err), POLARYS_FILE_NOT_FOUND);
    bool exists = true;
    EXPECT_EQ(vfs_exists(vfs, at("f/g").c_str(), &exists, &err), POLARYS_OK) << "below a file";
    EXPECT_FALSE(exists);
}

TEST_F(VfsPosix, NamesAreMadeListedRenamedLinkedAndRemoved)
{
    ASSERT_EQ(vfs_make_dir(vfs, at("d").c_str(), &err), POLARYS_OK);
    ASSERT_EQ(vfs_make_dir(vfs, at("d").c_str(), &err), POLARYS_OK) << "one that exists is fine";
    put("d/a", "1");
    put("d/b", "2");
    ASSERT_EQ(vfs_rename(vfs, at("d/a").c_str(), at("d/b").c_str(), &err), POLARYS_OK);
    ASSERT_EQ(vfs_link(vfs, at("d/b").c_str(), at("d/c").c_str(), &err), POLARYS_OK);
    ASSERT_EQ(vfs_sync_dir(vfs, at("d").c_str(), &err), POLARYS_OK);
    std::set<std::string> names;
    auto each = [](void *context, const char *name) {
        static_cast<std::set<std::string> *>(context)->insert(name);
    };
    ASSERT_EQ(vfs_list_dir(vfs, at("d").c_str(), each, &names, &err), POLARYS_OK);
    EXPECT_EQ(names, (std::set<std::string>{"b", "c"}));
    ASSERT_EQ(vfs_remove(vfs, at("d/b").c_str(), &err), POLARYS_OK);
    EXPECT_EQ(get("d/c"), "1");
    EXPECT_EQ(vfs_remove(vfs, at("d").c_str(), &err), POLARYS_IO) << "it is not empty";
    EXPECT_EQ(get("d/c"), "1");
    ASSERT_EQ(vfs_remove(vfs, at("d/c").c_str(), &err), POLARYS_OK);
    bool is_there = true;
    EXPECT_EQ(vfs_remove(vfs, at("d").c_str(), &err), POLARYS_OK) << err.message;
    ASSERT_EQ(vfs_exists(vfs, at("d").c_str(), &is_there, &err), POLARYS_OK);
    EXPECT_FALSE(is_there);
    bool exists;
    ASSERT_EQ(vfs_exists(vfs, at("d/b").c_str(), &exists, &err), POLARYS_OK);
    EXPECT_FALSE(exists);
    uint64_t free_bytes = 0;
    ASSERT_EQ(vfs_free_bytes(vfs, dir.path(), &free_bytes, &err), POLARYS_OK);
    EXPECT_GT(free_bytes, 0u);
}

TEST_F(VfsPosix, DirectFilesTakeAlignedTransfersAndEndAnywhere)
{
    struct vfs_file *file =
        open("f", VFS_READ | VFS_WRITE | VFS_CREATE | VFS_DIRECT | VFS_DSYNC | VFS_EXCLUSIVE);
    uint8_t *bytes = static_cast<uint8_t *>(aligned_alloc(VFS_ALIGNMENT, 8 * VFS_ALIGNMENT));
    memset(bytes, 'd', 8 * VFS_ALIGNMENT);
    ASSERT_EQ(vfs_write_at(file, 0, bytes, 8 * VFS_ALIGNMENT, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(vfs_truncate(file, 5000, &err), POLARYS_OK);
    size_t read_size = 0;
    memset(bytes, 0, 8 * VFS_ALIGNMENT);
    ASSERT_EQ(vfs_read_at(file, 0, bytes, 8 * VFS_ALIGNMENT, &read_size, &err), POLARYS_OK);
    EXPECT_EQ(read_size, 5000u);
    EXPECT_EQ(bytes[4999], 'd');
    ASSERT_EQ(vfs_read_at(file, 8192, bytes, VFS_ALIGNMENT, &read_size, &err), POLARYS_OK);
    EXPECT_EQ(read_size, 0u);
    free(bytes);
    EXPECT_EQ(vfs_close(file, &err), POLARYS_OK);
}

TEST_F(VfsPosix, AFullDiskIsDiskLow)
{
    if (access("/dev/full", W_OK) != 0) {
        GTEST_SKIP() << "this machine has no /dev/full";
    }
    struct vfs_file *file;
    ASSERT_EQ(vfs_open(vfs, "/dev/full", VFS_WRITE, &file, &err), POLARYS_OK) << err.message;
    EXPECT_EQ(vfs_write_at(file, 0, "x", 1, &err), POLARYS_DISK_LOW);
    EXPECT_EQ(vfs_close(file, &err), POLARYS_OK);
}

TEST_F(VfsPosix, ShortWritesAreContinuedUntilTheError)
{
    /* With a limit on the size of files the kernel writes up to it and then refuses. */
    struct rlimit before;
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {10000, before.rlim_max};
    struct vfs_file *file = open("f", VFS_WRITE | VFS_CREATE);
    std::string bytes(20000, 'x');
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum polarys_code code = vfs_write_at(file, 0, bytes.data(), bytes.size(), &err);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    EXPECT_EQ(code, POLARYS_IO);
    EXPECT_EQ(vfs_close(file, nullptr), POLARYS_OK);
    EXPECT_EQ(get("f").size(), 10000u);
}

TEST_F(VfsPosix, WithoutMemoryNothingIsLeftOpen)
{
    ASSERT_TRUE(fault_alloc_is_linked()) << "link with --wrap: tests/support/fault_alloc.h";
    struct vfs_file *file;
    struct vfs_lock *lock;
    fault_alloc_fail_at(1);
    EXPECT_EQ(vfs_open(vfs, at("f").c_str(), VFS_WRITE | VFS_CREATE, &file, &err),
              POLARYS_NO_MEMORY);
    fault_alloc_fail_at(1);
    EXPECT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, &err), POLARYS_NO_MEMORY);
    EXPECT_EQ(fault_alloc_disarm(), 1u);
    EXPECT_EQ(lock, nullptr);
}

TEST_F(VfsPosix, ALockBindsWithinTheProcessAndNamesTheHolder)
{
    struct vfs_lock *lock;
    struct vfs_lock *second;
    ASSERT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, &err), POLARYS_OK) << err.message;
    EXPECT_EQ(get("LOCK").substr(0, get("LOCK").find(' ')), std::to_string(getpid()));
    EXPECT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &second, &err), POLARYS_STORE_LOCKED);
    EXPECT_EQ(second, nullptr);
    EXPECT_EQ(polarys_error_detail_find(&err, "pid"), std::to_string(getpid()));
    vfs_lock_release(vfs, lock);
    ASSERT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, &err), POLARYS_OK);
    vfs_lock_release(vfs, lock);
}

TEST_F(VfsPosix, ALockBindsOtherProcessesAndDiesWithItsOwn)
{
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        struct vfs_lock *lock;
        bool is_locked = vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, nullptr) == POLARYS_OK;
        ssize_t told = write(ready[1], is_locked ? "y" : "n", 1);
        (void)told;
        pause();
        _exit(0);
    }
    char answer = '?';
    ASSERT_EQ(read(ready[0], &answer, 1), 1);
    ASSERT_EQ(answer, 'y');
    struct vfs_lock *lock;
    EXPECT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, &err), POLARYS_STORE_LOCKED);
    EXPECT_EQ(polarys_error_detail_find(&err, "pid"), std::to_string(child));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, &err), POLARYS_OK) << err.message;
    vfs_lock_release(vfs, lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

TEST_F(VfsPosix, ALockFileWithRubbishInItIsTakenAndNamesNobodyWhenHeld)
{
    put("LOCK", std::string(5000, 'z'));
    struct vfs_lock *lock;
    ASSERT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &lock, &err), POLARYS_OK);
    EXPECT_EQ(get("LOCK").size(), 16u);
    put("LOCK", "rubbish");
    struct vfs_lock *second;
    EXPECT_EQ(vfs_lock_acquire(vfs, at("LOCK").c_str(), &second, &err), POLARYS_STORE_LOCKED);
    EXPECT_EQ(polarys_error_detail_find(&err, "pid"), nullptr);
    vfs_lock_release(vfs, lock);
}

TEST_F(VfsPosix, ReplacingLeavesOneFile)
{
    ASSERT_EQ(vfs_replace_file(vfs, dir.path(), "CURRENT", slice_from_text("1"), &err), POLARYS_OK);
    ASSERT_EQ(vfs_replace_file(vfs, dir.path(), "CURRENT", slice_from_text("22"), &err),
              POLARYS_OK);
    EXPECT_EQ(get("CURRENT"), "22");
    bool exists;
    ASSERT_EQ(vfs_exists(vfs, at("CURRENT.tmp").c_str(), &exists, &err), POLARYS_OK);
    EXPECT_FALSE(exists);
}

} // namespace
