/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a simulated disk. For tests/support/sim_disk*.cc only.
 *
 * Contents are pages that are shared until written, so a durable and a current content of one
 * file, and all clones of a disk, cost one copy. A missing page is zeros.
 */
#ifndef TESTS_SUPPORT_SIM_DISK_STATE_H
#define TESTS_SUPPORT_SIM_DISK_STATE_H

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/sim_disk.h"
#include "tests/support/sim_random.h"

namespace sim {

enum : uint64_t {
    PAGE_SIZE = 4096,
    SECTOR_SIZE = 512,
    FILE_SIZE_MAX = uint64_t{1} << 32,
    STALE_PAGES_MAX = 64,
};

using page = std::array<uint8_t, PAGE_SIZE>;

/* The bytes of a file. */
class content {
  public:
    uint64_t size() const
    {
        return size_;
    }
    size_t page_count() const
    {
        return allocated_;
    }
    /* Pages that writing this range would add. */
    size_t missing_pages(uint64_t offset, uint64_t size) const;
    /* REQUIRES: the range lies within the size. */
    void read(uint64_t offset, void *bytes, size_t size) const;
    /* Grows the file where needed; a gap reads as zeros. */
    void write(uint64_t offset, const void *bytes, size_t size);
    void resize(uint64_t size);
    bool shares_page(const content &other, size_t index) const;
    void share_page(const content &from, size_t index);
    void grow_to(uint64_t size);
    const std::vector<std::shared_ptr<page>> &pages() const
    {
        return pages_;
    }

  private:
    page &writable(size_t index);

    std::vector<std::shared_ptr<page>> pages_;
    uint64_t size_ = 0;
    size_t allocated_ = 0;
};

/* A change of a file's bytes that is not durable. */
struct change {
    uint64_t sequence;
    bool is_truncate;
    uint64_t offset; /* of a write; the new size of a truncate */
    uint64_t size;
    uint64_t data_start; /* where in `data` the write's bytes begin */
    std::shared_ptr<const std::vector<uint8_t>> data;
};

/* A file or directory. */
struct inode {
    bool is_dir = false;
    content now;
    content durable;
    std::vector<change> changes; /* by sequence; now = durable + changes, unless has_lied */
    bool has_lied = false;   /* a fault has made `now` differ from what the disk will ever hold */
    unsigned name_count = 0; /* current names */
    unsigned handle_count = 0;
};

using inode_ref = std::shared_ptr<inode>;

/* A change of a directory that is not durable: `from`, if any, is gone; `to`, if any, names
 * `file`. */
struct name_change {
    uint64_t sequence;
    std::string dir;
    std::string from;
    std::string to;
    inode_ref file;
};

/* What a call of the vtable is, for faults. */
enum op : unsigned {
    OP_OPEN = 1 << 0,
    OP_CREATE = 1 << 1, /* as well as OPEN, when it may make a file */
    OP_NAME = 1 << 2,   /* rename, link, make_dir */
    OP_REMOVE = 1 << 3,
    OP_QUERY = 1 << 4,
    OP_READ = 1 << 5,
    OP_WRITE = 1 << 6,
    OP_DSYNC = 1 << 7, /* as well as WRITE */
    OP_SYNC = 1 << 8,
    OP_TRUNCATE = 1 << 9,
    OP_LOCK = 1 << 10,
};

/* What is to become of a call. */
enum class verdict {
    GO,
    DEAD,        /* the power is off */
    INTERRUPTED, /* the power fails during this call */
    FAULT,       /* the armed fault shows */
};

struct fault {
    enum sim_fault_kind kind = SIM_FAULT_EIO;
    uint64_t countdown = 0; /* 0: disarmed */
    bool is_sticky = false;
    uint64_t shown_count = 0;
};

/* "/a/b" for "a//b/". */
std::string path_normalise(const char *path);
std::string path_parent(const std::string &path);

} // namespace sim

struct sim_disk : vfs {
    mutable std::mutex mutex;
    struct sim_random random;
    uint64_t epoch = 1; /* power cycles */
    uint64_t sequence = 0;
    uint64_t operation_count = 0;
    uint64_t crash_countdown = 0;
    bool is_dead = false;
    bool is_stale = false;
    uint64_t capacity = UINT64_MAX;
    uint64_t used_pages = 0;
    unsigned handle_count = 0; /* of all epochs */
    unsigned lock_count = 0;
    struct sim::fault fault;
    std::map<std::string, sim::inode_ref> names;
    std::map<std::string, sim::inode_ref> durable_names;
    std::vector<sim::name_change> name_changes;
    std::set<sim::inode_ref> orphans; /* open files without a current name */
    std::set<std::string> locks;
    std::vector<std::shared_ptr<sim::page>> stale_pages;
};

namespace sim {

/* Functions of sim_disk_change.cc. REQUIRES of all: disk.mutex. */
inode_ref name_find(const sim_disk &disk, const std::string &path);
void name_set(sim_disk &disk, const std::string &path, const inode_ref &file);
void name_drop(sim_disk &disk, const std::string &path);
void file_unused(sim_disk &disk, const inode_ref &file);
void bytes_write(sim_disk &disk, inode &file, uint64_t offset, const void *bytes, size_t size);
void bytes_write_durable(sim_disk &disk, inode &file, uint64_t offset, const void *bytes,
                         size_t size);
void bytes_truncate(sim_disk &disk, inode &file, uint64_t size);
void file_settle(inode &file);
void directory_settle(sim_disk &disk, const std::string &dir);
void durable_name_apply(sim_disk &disk, const name_change &change);
/* Every inode that a name, a change of names or a handle leads to. */
std::set<inode_ref> all_files(const sim_disk &disk);
/* Of what a crash may do to one file's changes: the outcome of a failed sync. */
void file_sync_lose(sim_disk &disk, inode &file);

/* Functions of sim_disk_crash.cc. */
void change_apply(sim_disk &disk, inode &file, const change &change);
void change_tear(sim_disk &disk, inode &file, const change &change);
void change_lose(sim_disk &disk, inode &file, const change &change);

const struct vfs_vtable *disk_vtable();

} // namespace sim

#endif
