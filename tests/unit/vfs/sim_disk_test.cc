/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated disk as a file system: what running programs see, its limits and its faults.
 * What power losses leave is in sim_disk_crash_test.cc. */
#include "tests/support/sim_disk.h"

#include <gtest/gtest.h>

#include "tests/unit/vfs/disk_fixture.h"

namespace {

class SimDisk : public disk_fixture {};

TEST_F(SimDisk, ReadsBackWhatWasWrittenAtAnyOffset)
{
    std::string model;
    struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE | VFS_CREATE);
    struct sim_random random;
    sim_random_init(&random, sim_seed(1));
    for (int i = 0; i < 500; i++) {
        size_t offset = sim_random_below(&random, 30000);
        std::string bytes(sim_random_below(&random, 9000), static_cast<char>(i));
        if (sim_random_chance(&random, 10)) {
            size_t size = sim_random_below(&random, 40000);
            ASSERT_EQ(vfs_truncate(file, size, &err), POLARYS_OK);
            model.resize(size, '\0');
            continue;
        }
        model.resize(std::max(model.size(), bytes.empty() ? 0 : offset + bytes.size()), '\0');
        model.replace(offset, bytes.size(), bytes);
        ASSERT_EQ(vfs_write_at(file, offset, bytes.data(), bytes.size(), &err), POLARYS_OK);
        if (sim_random_chance(&random, 20)) {
            ASSERT_EQ(vfs_sync(file, &err), POLARYS_OK);
            ASSERT_EQ(durable("/f"), "") << "its name is not durable";
        }
        ASSERT_EQ(read_all(file), model);
    }
    close(file);
    sim_disk_settle(disk);
    EXPECT_EQ(durable("/f"), model);
}

TEST_F(SimDisk, OpenFlagsMeanWhatTheySay)
{
    struct vfs_file *file;
    EXPECT_EQ(vfs_open(vfs, "/no", VFS_READ, &file, &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_open(vfs, "/no", VFS_READ | VFS_WRITE, &file, &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_open(vfs, "/no/f", VFS_WRITE | VFS_CREATE, &file, &err), POLARYS_FILE_NOT_FOUND);
    put("/f", "abc");
    EXPECT_EQ(vfs_open(vfs, "/f", VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, &file, &err), POLARYS_IO);
    EXPECT_EQ(file, nullptr);
    EXPECT_EQ(get("/f"), "abc");
    close(open("/f", VFS_WRITE | VFS_TRUNCATE));
    EXPECT_EQ(get("/f"), "");
    ASSERT_EQ(vfs_make_dir(vfs, "/d", &err), POLARYS_OK);
    EXPECT_EQ(vfs_open(vfs, "/d", VFS_READ, &file, &err), POLARYS_IO);
}

TEST_F(SimDisk, PathsAreTheSameHoweverTheyAreWritten)
{
    ASSERT_EQ(vfs_make_dir(vfs, "d/", &err), POLARYS_OK);
    put("d//f", "x");
    EXPECT_EQ(get("/d/f"), "x");
    EXPECT_EQ(get("./d/./f"), "x");
    EXPECT_EQ(list("d"), std::set<std::string>{"f"});
    EXPECT_EQ(list("/"), std::set<std::string>{"d"});
    put(".hidden", "y");
    EXPECT_EQ(get("/.hidden"), "y");
}

TEST_F(SimDisk, NamesBehaveAsOnARealFileSystem)
{
    put("/a", "1");
    put("/b", "2");
    ASSERT_EQ(vfs_rename(vfs, "/a", "/b", &err), POLARYS_OK);
    EXPECT_EQ(list("/"), std::set<std::string>{"b"});
    EXPECT_EQ(get("/b"), "1");
    ASSERT_EQ(vfs_link(vfs, "/b", "/c", &err), POLARYS_OK);
    EXPECT_EQ(vfs_link(vfs, "/b", "/c", &err), POLARYS_IO) << "a link replaces nothing";
    put_over("/b", "both");
    EXPECT_EQ(get("/c"), "both");
    ASSERT_EQ(vfs_remove(vfs, "/b", &err), POLARYS_OK);
    EXPECT_EQ(get("/c"), "both");
    EXPECT_EQ(vfs_remove(vfs, "/b", &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_rename(vfs, "/b", "/x", &err), POLARYS_FILE_NOT_FOUND);
    EXPECT_EQ(vfs_rename(vfs, "/c", "/no/x", &err), POLARYS_FILE_NOT_FOUND);
    bool exists;
    ASSERT_EQ(vfs_exists(vfs, "/b", &exists, &err), POLARYS_OK);
    EXPECT_FALSE(exists);
}

TEST_F(SimDisk, RemovesADirectoryOnlyWhenItIsEmpty)
{
    ASSERT_EQ(vfs_make_dir(vfs, "/d", &err), POLARYS_OK);
    ASSERT_EQ(vfs_make_dir(vfs, "/d-not-in-it", &err), POLARYS_OK);
    close(open("/d/f", VFS_WRITE | VFS_CREATE));
    EXPECT_EQ(vfs_remove(vfs, "/d", &err), POLARYS_IO);
    ASSERT_EQ(vfs_remove(vfs, "/d/f", &err), POLARYS_OK);
    ASSERT_EQ(vfs_remove(vfs, "/d", &err), POLARYS_OK) << err.message;
    EXPECT_EQ(vfs_remove(vfs, "/d", &err), POLARYS_FILE_NOT_FOUND);
}

TEST_F(SimDisk, ARemovedFileLivesUntilItIsClosed)
{
    struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE | VFS_CREATE);
    ASSERT_EQ(vfs_write_at(file, 0, "abc", 3, &err), POLARYS_OK);
    ASSERT_EQ(vfs_remove(vfs, "/f", &err), POLARYS_OK);
    EXPECT_EQ(read_all(file), "abc");
    EXPECT_EQ(sim_disk_used_bytes(disk), 4096u);
    close(file);
    EXPECT_EQ(sim_disk_used_bytes(disk), 0u);
}

TEST_F(SimDisk, LocksExcludeAndEndWithPowerLosses)
{
    struct vfs_lock *lock;
    struct vfs_lock *second;
    ASSERT_EQ(vfs_lock_acquire(vfs, "/LOCK", &lock, &err), POLARYS_OK);
    EXPECT_EQ(vfs_lock_acquire(vfs, "//LOCK", &second, &err), POLARYS_STORE_LOCKED);
    EXPECT_NE(polarys_error_detail_find(&err, "pid"), nullptr);
    vfs_lock_release(vfs, lock);
    ASSERT_EQ(vfs_lock_acquire(vfs, "/LOCK", &lock, &err), POLARYS_OK);
    sim_disk_crash(disk, SIM_CRASH_RANDOM);
    ASSERT_EQ(vfs_lock_acquire(vfs, "/LOCK", &second, &err), POLARYS_OK);
    vfs_lock_release(vfs, lock); /* the dead one takes nothing from the new one */
    EXPECT_EQ(vfs_lock_acquire(vfs, "/LOCK", &lock, &err), POLARYS_STORE_LOCKED);
    vfs_lock_release(vfs, second);
}

TEST_F(SimDisk, AFullDiskTakesNothingMoreUntilItGrows)
{
    sim_disk_capacity_set(disk, 3 * 4096);
    struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE | VFS_CREATE);
    std::string bytes(5 * 4096, 'x');
    uint64_t free_bytes;
    EXPECT_EQ(vfs_write_at(file, 0, bytes.data(), bytes.size(), &err), POLARYS_DISK_LOW);
    ASSERT_EQ(vfs_free_bytes(vfs, "/", &free_bytes, &err), POLARYS_OK);
    EXPECT_EQ(free_bytes, 0u);
    EXPECT_EQ(read_all(file), bytes.substr(0, 3 * 4096)) << "what fitted was written";
    EXPECT_EQ(vfs_write_at(file, 0, "over", 4, &err), POLARYS_OK) << "overwriting takes no space";
    sim_disk_capacity_set(disk, 6 * 4096);
    EXPECT_EQ(vfs_write_at(file, 0, bytes.data(), bytes.size(), &err), POLARYS_OK);
    close(file);
    ASSERT_EQ(vfs_remove(vfs, "/f", &err), POLARYS_OK);
    ASSERT_EQ(vfs_free_bytes(vfs, "/", &free_bytes, &err), POLARYS_OK);
    EXPECT_EQ(free_bytes, 6u * 4096);
}

TEST_F(SimDisk, EveryCallCanBeMadeToFailInTurn)
{
    uint64_t n = 1;
    for (;; n++) {
        ASSERT_LT(n, 100u);
        struct sim_disk *other = sim_disk_create(n);
        sim_disk_fail_at(other, n, SIM_FAULT_EIO);
        enum polarys_code code =
            vfs_replace_file(sim_disk_vfs(other), "/", "f", slice_from_text("text"), &err);
        uint64_t shown = sim_disk_fault_count(other);
        sim_disk_destroy(other);
        EXPECT_EQ(code, shown > 0 ? POLARYS_IO : POLARYS_OK) << n;
        if (shown == 0) {
            break;
        }
    }
    EXPECT_EQ(n, 6u) << "open, write, sync, rename, sync_dir can fail";
}

TEST_F(SimDisk, FaultsThatLastHitEveryLaterCall)
{
    put("/f", "abc");
    sim_disk_fail_from(disk, 2, SIM_FAULT_ENOSPC);
    struct vfs_file *file = open("/f", VFS_WRITE);
    EXPECT_EQ(vfs_write_at(file, 0, "x", 1, &err), POLARYS_OK);
    EXPECT_EQ(vfs_write_at(file, 0, "x", 1, &err), POLARYS_DISK_LOW);
    EXPECT_EQ(vfs_write_at(file, 0, "x", 1, &err), POLARYS_DISK_LOW);
    EXPECT_EQ(sim_disk_fault_count(disk), 2u);
    sim_disk_fail_at(disk, 0, SIM_FAULT_EIO);
    EXPECT_EQ(vfs_write_at(file, 0, "x", 1, &err), POLARYS_OK);
    close(file);
}

TEST_F(SimDisk, ABitFlipIsInTheReadAndNotOnTheDisk)
{
    std::string bytes(1000, 'b');
    put("/f", bytes);
    struct vfs_file *file = open("/f", VFS_READ);
    sim_disk_fail_at(disk, 1, SIM_FAULT_BIT_FLIP);
    std::string read(1000, '\0');
    ASSERT_EQ(vfs_read_exact(file, 0, read.data(), read.size(), &err), POLARYS_OK);
    int flipped = 0;
    for (size_t i = 0; i < read.size(); i++) {
        flipped += __builtin_popcount(static_cast<uint8_t>(read[i] ^ bytes[i]));
    }
    EXPECT_EQ(flipped, 1);
    EXPECT_EQ(read_all(file), bytes);
    close(file);
}

TEST_F(SimDisk, AMisdirectedWriteLandsElsewhere)
{
    std::string bytes(8 * 4096, 'o');
    put("/f", bytes);
    sim_disk_fail_at(disk, 1, SIM_FAULT_MISDIRECTED_WRITE);
    struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE);
    ASSERT_EQ(vfs_write_at(file, 4096, "NEW", 3, &err), POLARYS_OK);
    std::string after = read_all(file);
    close(file);
    EXPECT_EQ(after.substr(4096, 3), "ooo");
    EXPECT_EQ(after.find("NEW") % 4096, 0u);
    sim_disk_fail_at(disk, 1, SIM_FAULT_LOST_WRITE);
    put_over("/f", "LOST");
    EXPECT_EQ(get("/f").find("LOST"), std::string::npos);
}

TEST_F(SimDisk, AFailedSyncLosesForEverButReadsGoOn)
{
    unsigned lost = 0;
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        restart(seed);
        struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE | VFS_CREATE);
        ASSERT_EQ(vfs_sync_dir(vfs, "/", &err), POLARYS_OK);
        ASSERT_EQ(vfs_write_at(file, 0, "abc", 3, &err), POLARYS_OK);
        sim_disk_fail_at(disk, 1, SIM_FAULT_SYNC);
        EXPECT_EQ(vfs_sync(file, &err), POLARYS_IO);
        EXPECT_EQ(vfs_sync(file, &err), POLARYS_OK) << "as Linux has it";
        EXPECT_EQ(read_all(file), "abc");
        close(file);
        sim_disk_crash(disk, SIM_CRASH_KEEP_ALL);
        std::string after = get("/f");
        lost += after != "abc" ? 1 : 0;
        kept += after == "abc" ? 1 : 0;
    }
    EXPECT_GT(lost, 5u);
    EXPECT_GT(kept, 5u);
}

TEST_F(SimDisk, TheMediumCanBeReadAlteredAndSearched)
{
    put("/f", std::string(4094, 'x') + "secret" + std::string(100, 'y'));
    EXPECT_TRUE(sim_disk_find(disk, slice_from_text("secret"), nullptr)) << "not durable yet";
    sim_disk_settle(disk);
    char path[VFS_PATH_MAX];
    EXPECT_TRUE(sim_disk_find(disk, slice_from_text("secret"), path)) << "across pages";
    EXPECT_STREQ(path, "/f");
    EXPECT_FALSE(sim_disk_find(disk, slice_from_text("secrets"), path));
    ASSERT_TRUE(sim_disk_file_flip(disk, "/f", 4094, 1));
    EXPECT_FALSE(sim_disk_file_flip(disk, "/f", 4200, 1));
    EXPECT_FALSE(sim_disk_find(disk, slice_from_text("secret"), path));
    EXPECT_EQ(get("/f").substr(4094, 6), "recret") << "running programs see it too";
    ASSERT_TRUE(sim_disk_file_copy(disk, "/f", "/g"));
    ASSERT_TRUE(sim_disk_file_resize(disk, "/f", 10));
    ASSERT_TRUE(sim_disk_file_write(disk, "/f", 12, "z", 1));
    EXPECT_EQ(get("/f"), std::string(10, 'x') + std::string(2, '\0') + "z");
    EXPECT_EQ(get("/g").size(), 4200u);
    ASSERT_TRUE(sim_disk_file_remove(disk, "/g"));
    EXPECT_FALSE(sim_disk_file_remove(disk, "/g"));
    std::string listed;
    sim_disk_list(
        disk,
        [](void *context, const char *name, uint64_t size) {
            *static_cast<std::string *>(context) += name + std::to_string(size);
        },
        &listed);
    EXPECT_EQ(listed, "/f13");
    sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
    EXPECT_EQ(get("/f").size(), 13u) << "alterations are durable";
    EXPECT_EQ(sim_disk_used_bytes(disk), 4096u);
}

TEST_F(SimDisk, ClonesGoTheirOwnWays)
{
    put("/f", "shared");
    sim_disk_settle(disk);
    put_over("/f", "before");
    struct sim_disk *clone = sim_disk_clone(disk, 2);
    put_over("/f", "after!");
    sim_disk_crash(clone, SIM_CRASH_KEEP_ALL);
    sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
    EXPECT_EQ(get("/f"), "shared");
    EXPECT_EQ(sim_disk_used_bytes(clone), 4096u);
    std::swap(disk, clone);
    vfs = sim_disk_vfs(disk);
    EXPECT_EQ(get("/f"), "before");
    sim_disk_destroy(clone);
}

TEST_F(SimDisk, TheSeedDecidesEverything)
{
    std::string first;
    for (int round = 0; round < 2; round++) {
        restart(77);
        struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE | VFS_CREATE);
        ASSERT_EQ(vfs_sync_dir(vfs, "/", &err), POLARYS_OK);
        for (int i = 0; i < 50; i++) {
            std::string bytes(3000, static_cast<char>('a' + i % 26));
            ASSERT_EQ(vfs_write_at(file, static_cast<uint64_t>(i) * 700, bytes.data(), bytes.size(),
                                   &err),
                      POLARYS_OK);
        }
        close(file);
        sim_disk_stale_set(disk, true);
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        first = round == 0 ? get("/f") : first;
        EXPECT_EQ(get("/f"), first);
    }
}

TEST_F(SimDisk, DestroyingItWithOpenFilesIsABug)
{
    struct vfs_file *file = open("/f", VFS_WRITE | VFS_CREATE);
    EXPECT_DEATH(sim_disk_destroy(disk), "handle_count");
    close(file);
}

} // namespace
