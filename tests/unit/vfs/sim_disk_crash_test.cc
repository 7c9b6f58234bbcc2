/* SPDX-License-Identifier: Apache-2.0 */
/* Power losses on the simulated disk: everything that the contract of struct vfs leaves open
 * does happen, and nothing that it rules out ever does. All crash tests stand on this. */
#include <gtest/gtest.h>

#include "tests/support/sim_disk.h"
#include "tests/unit/vfs/disk_fixture.h"

namespace {

constexpr uint64_t SEEDS = 300;

class SimDiskCrash : public disk_fixture {
  protected:
    /* A durable file whose bytes are all 'o', then a write of 'n' over it that is not synced. */
    std::string overwrite_and_crash(uint64_t seed, enum sim_crash_policy policy, size_t offset,
                                    size_t size)
    {
        restart(seed);
        put_synced("/f", std::string(32768, 'o'));
        sync_root();
        struct vfs_file *file = open("/f", VFS_WRITE);
        std::string bytes(size, 'n');
        EXPECT_EQ(vfs_write_at(file, offset, bytes.data(), size, &err), POLARYS_OK);
        close(file);
        sim_disk_crash(disk, policy);
        return get("/f");
    }
};

TEST_F(SimDiskCrash, AWriteThatIsNotSyncedCanBeLostKeptAndTorn)
{
    std::string old_bytes(32768, 'o');
    std::string new_bytes = old_bytes;
    new_bytes.replace(4096, 8192, 8192, 'n');
    unsigned lost = 0;
    unsigned kept = 0;
    unsigned torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        std::string after = overwrite_and_crash(seed, SIM_CRASH_RANDOM, 4096, 8192);
        lost += after == old_bytes ? 1 : 0;
        kept += after == new_bytes ? 1 : 0;
        torn += after != old_bytes && after != new_bytes ? 1 : 0;
    }
    EXPECT_GT(lost, SEEDS / 20);
    EXPECT_GT(kept, SEEDS / 20);
    EXPECT_GT(torn, SEEDS / 20);
    EXPECT_EQ(overwrite_and_crash(1, SIM_CRASH_DROP_ALL, 4096, 8192), old_bytes);
    EXPECT_EQ(overwrite_and_crash(1, SIM_CRASH_KEEP_ALL, 4096, 8192), new_bytes);
}

TEST_F(SimDiskCrash, TearingOccursAtSectorsAndNowhereElse)
{
    unsigned within_page = 0;
    unsigned at_pages = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        std::string after = overwrite_and_crash(seed, SIM_CRASH_RANDOM, 100, 20000);
        bool is_fine = false;
        bool is_torn = false;
        for (size_t i = 101; i < 20100; i++) {
            if (after[i] != after[i - 1]) {
                ASSERT_EQ(i % 512, 0u) << "a sector is written whole or not at all";
                is_torn = true;
                is_fine = is_fine || i % 4096 != 0;
            }
        }
        within_page += is_fine ? 1 : 0;
        at_pages += is_torn && !is_fine ? 1 : 0;
        ASSERT_EQ(after.substr(0, 100), std::string(100, 'o'));
        ASSERT_EQ(after.substr(20100), std::string(32768 - 20100, 'o'));
    }
    EXPECT_GT(within_page, 10u);
    EXPECT_GT(at_pages, 10u);
}

TEST_F(SimDiskCrash, ASyncedWriteIsNeverLost)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (int policy = 0; policy < SIM_CRASH_POLICY_COUNT; policy++) {
            restart(seed);
            struct vfs_file *file = open("/f", VFS_WRITE | VFS_CREATE);
            std::string bytes(10000, 's');
            ASSERT_EQ(vfs_write_at(file, 0, bytes.data(), bytes.size(), &err), POLARYS_OK);
            ASSERT_EQ(vfs_sync(file, &err), POLARYS_OK);
            sync_root();
            ASSERT_EQ(vfs_write_at(file, 10000, "tail", 4, &err), POLARYS_OK);
            close(file);
            sim_disk_crash(disk, static_cast<enum sim_crash_policy>(policy));
            ASSERT_EQ(get("/f").substr(0, 10000), bytes);
        }
    }
}

TEST_F(SimDiskCrash, ADurableWriteOutlivesOlderOnesToTheSamePlace)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        put_synced("/f", std::string(3000, 'o'));
        sync_root();
        struct vfs_file *lazy = open("/f", VFS_WRITE);
        struct vfs_file *dsync = open("/f", VFS_WRITE | VFS_DSYNC);
        std::string pending(3000, 'p');
        std::string durable_bytes(700, 'd');
        ASSERT_EQ(vfs_write_at(lazy, 0, pending.data(), 3000, &err), POLARYS_OK);
        ASSERT_EQ(vfs_write_at(dsync, 1000, durable_bytes.data(), 700, &err), POLARYS_OK);
        close(lazy);
        close(dsync);
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        std::string after = get("/f");
        ASSERT_EQ(after.substr(1000, 700), durable_bytes);
        ASSERT_EQ(after.size(), 3000u);
        ASSERT_EQ(after.find_first_not_of("opd"), std::string::npos);
    }
}

TEST_F(SimDiskCrash, OnlyTheDurableWriteThatIsCutOffMayTear)
{
    unsigned whole = 0;
    unsigned none = 0;
    unsigned torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        put_synced("/f", std::string(16384, 'o'));
        sync_root();
        struct vfs_file *file = open("/f", VFS_WRITE | VFS_DSYNC);
        std::string bytes(8192, 'n');
        ASSERT_EQ(vfs_write_at(file, 0, bytes.data(), 8192, &err), POLARYS_OK);
        sim_disk_crash_at(disk, 1);
        EXPECT_EQ(vfs_write_at(file, 8192, bytes.data(), 8192, &err), POLARYS_IO);
        EXPECT_NE(std::string(err.message).find("simulated power loss"), std::string::npos);
        EXPECT_EQ(vfs_close(file, &err), POLARYS_IO);
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        std::string after = get("/f");
        ASSERT_EQ(after.substr(0, 8192), bytes);
        std::string rest = after.substr(8192);
        whole += rest == bytes ? 1 : 0;
        none += rest == std::string(8192, 'o') ? 1 : 0;
        torn += rest != bytes && rest != std::string(8192, 'o') ? 1 : 0;
    }
    EXPECT_GT(whole, 10u);
    EXPECT_GT(none, 10u);
    EXPECT_GT(torn, 10u);
}

TEST_F(SimDiskCrash, ARenameWithoutSyncDirCanRevertAndOneWithItCannot)
{
    unsigned reverted = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool is_synced = seed % 2 == 0;
        restart(seed);
        put_synced("/a", "new");
        put_synced("/b", "old");
        sync_root();
        ASSERT_EQ(vfs_rename(vfs, "/a", "/b", &err), POLARYS_OK);
        if (is_synced) {
            sync_root();
        }
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        ASSERT_TRUE(has("/b")) << "replacing is atomic";
        bool is_reverted = has("/a");
        ASSERT_EQ(get("/b"), is_reverted ? "old" : "new");
        ASSERT_FALSE(is_reverted && is_synced);
        reverted += is_reverted ? 1 : 0;
    }
    EXPECT_GT(reverted, SEEDS / 20);
}

TEST_F(SimDiskCrash, ARenameCanBeDurableBeforeTheBytesAre)
{
    unsigned empty = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        put("/a", "new"); /* not synced: the classic mistake */
        ASSERT_EQ(vfs_rename(vfs, "/a", "/b", &err), POLARYS_OK);
        sync_root();
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        ASSERT_TRUE(has("/b"));
        empty += get("/b").empty() ? 1 : 0;
    }
    EXPECT_GT(empty, SEEDS / 20);
}

TEST_F(SimDiskCrash, CreatedLinkedAndRemovedNamesAreDurableOnlyAfterSyncDir)
{
    unsigned created = 0;
    unsigned linked = 0;
    unsigned removed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        put_synced("/old", "1");
        sync_root();
        put_synced("/new", "2"); /* syncing a file does not make its name durable */
        ASSERT_EQ(vfs_link(vfs, "/old", "/link", &err), POLARYS_OK);
        ASSERT_EQ(vfs_remove(vfs, "/old", &err), POLARYS_OK);
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        created += has("/new") ? 1 : 0;
        linked += has("/link") ? 1 : 0;
        removed += has("/old") ? 0 : 1;
        if (has("/new")) {
            ASSERT_EQ(get("/new"), "2");
        }
        if (has("/link")) {
            ASSERT_EQ(get("/link"), "1");
        }
    }
    for (unsigned count : {created, linked, removed}) {
        EXPECT_GT(count, SEEDS / 20);
        EXPECT_LT(count, SEEDS - SEEDS / 20);
    }
}

TEST_F(SimDiskCrash, ALostDirectoryTakesItsFilesAlong)
{
    ASSERT_EQ(vfs_make_dir(vfs, "/d", &err), POLARYS_OK);
    put_synced("/d/f", "x");
    ASSERT_EQ(vfs_sync_dir(vfs, "/d", &err), POLARYS_OK);
    struct sim_disk *clone = sim_disk_clone(disk, 1);
    sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
    EXPECT_FALSE(has("/d"));
    EXPECT_FALSE(has("/d/f"));
    EXPECT_EQ(sim_disk_used_bytes(disk), 0u);
    std::swap(disk, clone);
    vfs = sim_disk_vfs(disk);
    sync_root();
    sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
    EXPECT_EQ(get("/d/f"), "x");
    sim_disk_destroy(clone);
}

TEST_F(SimDiskCrash, ThePrefixPolicyKeepsTheOrderAcrossFiles)
{
    std::set<size_t> lengths;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        put_synced("/a", std::string(20, '.'));
        put_synced("/b", std::string(20, '.'));
        sync_root();
        struct vfs_file *files[] = {open("/a", VFS_WRITE), open("/b", VFS_WRITE)};
        for (uint64_t i = 0; i < 20; i++) {
            ASSERT_EQ(vfs_write_at(files[i % 2], i, "#", 1, &err), POLARYS_OK);
        }
        close(files[0]);
        close(files[1]);
        sim_disk_crash(disk, SIM_CRASH_PREFIX);
        std::string texts[] = {get("/a"), get("/b")};
        size_t length = 0;
        while (length < 20 && texts[length % 2][length] == '#') {
            length++;
        }
        for (size_t i = length; i < 20; i++) {
            ASSERT_EQ(texts[i % 2][i], '.') << "nothing after the first that is lost";
        }
        lengths.insert(length);
    }
    EXPECT_EQ(lengths.size(), 21u) << "every prefix is seen";
}

TEST_F(SimDiskCrash, GrownPartsReadAsZerosOrAsStaleBytes)
{
    unsigned zeros = 0;
    unsigned stale_of_a_removed_file = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool is_stale = seed % 2 == 1;
        restart(seed);
        sim_disk_stale_set(disk, is_stale);
        put_synced("/gone", std::string(8192, 'g'));
        put_synced("/f", "old");
        sync_root();
        ASSERT_EQ(vfs_remove(vfs, "/gone", &err), POLARYS_OK);
        sync_root();
        put_over("/f", "old" + std::string(6000, 'n'));
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        std::string after = get("/f");
        ASSERT_EQ(after.substr(0, 3), "old");
        if (!is_stale) {
            ASSERT_EQ(after.substr(3).find_first_not_of(std::string("n\0", 2)), std::string::npos);
            zeros += after.find('\0') != std::string::npos ? 1 : 0;
        } else {
            stale_of_a_removed_file += after.find("gg") != std::string::npos ? 1 : 0;
        }
    }
    EXPECT_GT(zeros, 5u);
    EXPECT_GT(stale_of_a_removed_file, 5u);
}

TEST_F(SimDiskCrash, CuttingAFileIsDurableOnlyAfterSync)
{
    unsigned cut = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        put_synced("/f", std::string(5000, 'o'));
        sync_root();
        struct vfs_file *file = open("/f", VFS_WRITE);
        ASSERT_EQ(vfs_truncate(file, 100, &err), POLARYS_OK);
        if (seed % 3 == 0) {
            ASSERT_EQ(vfs_sync(file, &err), POLARYS_OK);
        }
        close(file);
        sim_disk_crash(disk, SIM_CRASH_RANDOM);
        size_t size = get("/f").size();
        ASSERT_TRUE(size == 100 || (size == 5000 && seed % 3 != 0)) << size;
        cut += size == 100 && seed % 3 != 0 ? 1 : 0;
    }
    EXPECT_GT(cut, 10u);
    EXPECT_LT(cut, SEEDS * 2 / 3 - 10);
}

TEST_F(SimDiskCrash, AfterThePowerLossAllCallsFailUntilTheRestart)
{
    put_synced("/f", "abc");
    sync_root();
    struct vfs_file *file = open("/f", VFS_READ | VFS_WRITE);
    sim_disk_crash_at(disk, 2);
    char byte;
    size_t read_size;
    EXPECT_EQ(vfs_read_at(file, 0, &byte, 1, &read_size, &err), POLARYS_OK);
    EXPECT_FALSE(sim_disk_is_dead(disk));
    EXPECT_EQ(vfs_sync(file, &err), POLARYS_IO);
    EXPECT_TRUE(sim_disk_is_dead(disk));
    uint64_t size;
    bool exists;
    struct vfs_file *other;
    EXPECT_EQ(vfs_read_at(file, 0, &byte, 1, &read_size, &err), POLARYS_IO);
    EXPECT_EQ(vfs_write_at(file, 0, "x", 1, &err), POLARYS_IO);
    EXPECT_EQ(vfs_truncate(file, 0, &err), POLARYS_IO);
    EXPECT_EQ(vfs_file_size(file, &size, &err), POLARYS_IO);
    EXPECT_EQ(vfs_open(vfs, "/f", VFS_READ, &other, &err), POLARYS_IO);
    EXPECT_EQ(vfs_exists(vfs, "/f", &exists, &err), POLARYS_IO);
    EXPECT_EQ(vfs_remove(vfs, "/f", &err), POLARYS_IO);
    EXPECT_EQ(vfs_sync_dir(vfs, "/", &err), POLARYS_IO);
    sim_disk_crash(disk, SIM_CRASH_KEEP_ALL);
    EXPECT_EQ(get("/f"), "abc");
    EXPECT_EQ(vfs_read_at(file, 0, &byte, 1, &read_size, &err), POLARYS_IO) << "an old handle";
    EXPECT_EQ(vfs_close(file, &err), POLARYS_IO);
}

TEST_F(SimDiskCrash, AShortWriteIsAPartAndThenThePowerFails)
{
    std::set<size_t> sizes;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restart(seed);
        struct vfs_file *file = open("/f", VFS_WRITE | VFS_CREATE);
        sync_root();
        sim_disk_fail_at(disk, 1, SIM_FAULT_SHORT_WRITE);
        std::string bytes(4096, 'n');
        EXPECT_EQ(vfs_write_at(file, 0, bytes.data(), bytes.size(), &err), POLARYS_IO);
        EXPECT_TRUE(sim_disk_is_dead(disk));
        (void)vfs_close(file, nullptr);
        sim_disk_crash(disk, SIM_CRASH_KEEP_ALL);
        std::string after = get("/f");
        ASSERT_LT(after.size(), 4096u);
        ASSERT_EQ(after.find_first_not_of('n'), std::string::npos);
        sizes.insert(after.size());
    }
    EXPECT_EQ(sizes.size(), 8u) << "every number of sectors but all";
}

} // namespace
