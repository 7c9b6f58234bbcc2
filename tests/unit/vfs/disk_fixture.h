/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated disk and short words for what tests do with it.
 */
#ifndef TESTS_UNIT_VFS_DISK_FIXTURE_H
#define TESTS_UNIT_VFS_DISK_FIXTURE_H

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "engine/base/buffer.h"
#include "engine/vfs/vfs.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_random.h"

class disk_fixture : public testing::Test {
  protected:
    disk_fixture() : disk(sim_disk_create(1)), vfs(sim_disk_vfs(disk))
    {
        polarys_error_clear(&err);
    }
    ~disk_fixture() override
    {
        sim_disk_destroy(disk);
    }
    void restart(uint64_t seed)
    {
        sim_disk_destroy(disk);
        disk = sim_disk_create(seed);
        vfs = sim_disk_vfs(disk);
    }
    struct vfs_file *open(const char *path, unsigned flags)
    {
        struct vfs_file *file = nullptr;
        EXPECT_EQ(vfs_open(vfs, path, flags, &file, &err), POLARYS_OK) << err.message;
        return file;
    }
    void close(struct vfs_file *file)
    {
        EXPECT_EQ(vfs_close(file, &err), POLARYS_OK) << err.message;
    }
    /* Writes from the start, without cutting what is behind. */
    void put_over(const char *path, const std::string &text, unsigned flags = 0)
    {
        struct vfs_file *file = open(path, VFS_WRITE | VFS_CREATE | flags);
        EXPECT_EQ(vfs_write_at(file, 0, text.data(), text.size(), &err), POLARYS_OK) << err.message;
        close(file);
    }
    void put(const char *path, const std::string &text)
    {
        put_over(path, text, VFS_TRUNCATE);
    }
    void put_synced(const char *path, const std::string &text)
    {
        struct vfs_file *file = open(path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE);
        EXPECT_EQ(vfs_write_at(file, 0, text.data(), text.size(), &err), POLARYS_OK) << err.message;
        EXPECT_EQ(vfs_sync(file, &err), POLARYS_OK) << err.message;
        close(file);
    }
    void sync_root()
    {
        EXPECT_EQ(vfs_sync_dir(vfs, "/", &err), POLARYS_OK) << err.message;
    }
    std::string read_all(struct vfs_file *file)
    {
        uint64_t size = 0;
        EXPECT_EQ(vfs_file_size(file, &size, &err), POLARYS_OK) << err.message;
        std::string text(size, '\0');
        EXPECT_EQ(vfs_read_exact(file, 0, text.data(), text.size(), &err), POLARYS_OK);
        return text;
    }
    std::string get(const char *path)
    {
        struct buffer bytes = {};
        EXPECT_EQ(vfs_read_file(vfs, path, SIZE_MAX, &bytes, &err), POLARYS_OK) << err.message;
        std::string text(reinterpret_cast<const char *>(bytes.data), bytes.size);
        buffer_deinit(&bytes);
        return text;
    }
    bool has(const char *path)
    {
        bool exists = false;
        EXPECT_EQ(vfs_exists(vfs, path, &exists, &err), POLARYS_OK) << err.message;
        return exists;
    }
    std::set<std::string> list(const char *path)
    {
        std::set<std::string> names;
        EXPECT_EQ(vfs_list_dir(
                      vfs, path,
                      [](void *context, const char *name) {
                          static_cast<std::set<std::string> *>(context)->insert(name);
                      },
                      &names, &err),
                  POLARYS_OK)
            << err.message;
        return names;
    }
    /* The durable bytes, behind the back of the file system; "" when the name is not durable. */
    std::string durable(const char *path)
    {
        uint64_t size = 0;
        size_t read_size = 0;
        (void)sim_disk_file_size(disk, path, &size);
        std::string text(size, '\0');
        (void)sim_disk_file_read(disk, path, 0, text.data(), text.size(), &read_size);
        return text;
    }

    struct sim_disk *disk;
    struct vfs *vfs;
    struct polarys_error err;
};

#endif
