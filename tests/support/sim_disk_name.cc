/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the calls on names of a simulated disk: opening, renaming, linking, removing, listing,
 * locking.
 */
#include <cerrno>

#include "engine/base/assert.h"
#include "tests/support/sim_disk_gate.h"

namespace sim {

struct sim_lock {
    std::string path;
    uint64_t epoch;
};

static sim_disk *disk_of(struct vfs *vfs)
{
    return static_cast<sim_disk *>(vfs);
}

static bool is_dir(const sim_disk &disk, const std::string &path)
{
    inode_ref file = name_find(disk, path);
    return path.empty() || (file != nullptr && file->is_dir);
}

static bool is_empty_dir(const sim_disk &disk, const std::string &path)
{
    std::string inside = path + "/";
    auto first = disk.names.lower_bound(inside);
    return first == disk.names.end() || first->first.compare(0, inside.size(), inside) != 0;
}

/* The gate for calls whose faults leave nothing behind: OK to go on; DEAD and FAULT fill `err`. */
static enum polarys_code simple_gate(sim_disk &disk, unsigned op, const char *what,
                                     const std::string &path, bool *is_interrupted,
                                     struct polarys_error *err)
{
    verdict verdict = gate(disk, op);
    *is_interrupted = verdict == verdict::INTERRUPTED;
    if (verdict == verdict::DEAD) {
        return fail_power(err, what, path);
    }
    if (verdict == verdict::FAULT) {
        int reason = disk.fault.kind == SIM_FAULT_ENOSPC ? ENOSPC : EIO;
        return polarys_fail_errno(err, reason, "%s %s", what, path.c_str());
    }
    return POLARYS_OK;
}

static enum polarys_code finish(bool is_interrupted, const char *what, const std::string &path,
                                struct polarys_error *err)
{
    return is_interrupted ? fail_power(err, what, path) : POLARYS_OK;
}

static void record(sim_disk &disk, const std::string &dir, const std::string &from,
                   const std::string &to, const inode_ref &file)
{
    disk.name_changes.push_back({++disk.sequence, dir, from, to, file});
}

static inode_ref file_make(sim_disk &disk, const std::string &path, bool is_directory)
{
    inode_ref file = std::make_shared<inode>();
    file->is_dir = is_directory;
    name_set(disk, path, file);
    record(disk, path_parent(path), "", path, file);
    return file;
}

/* The errno that open(2) would give, or 0. */
static int open_refusal(const sim_disk &disk, const std::string &path, unsigned flags)
{
    inode_ref file = name_find(disk, path);
    if (is_dir(disk, path)) {
        return EISDIR;
    }
    if (file != nullptr) {
        return (flags & VFS_EXCLUSIVE) != 0 ? EEXIST : 0;
    }
    bool may_make = (flags & VFS_CREATE) != 0 && is_dir(disk, path_parent(path));
    return may_make ? 0 : ENOENT;
}

static enum polarys_code name_open(struct vfs *vfs, const char *raw_path, unsigned flags,
                                   struct vfs_file **out, struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    bool is_new = (flags & VFS_CREATE) != 0 && name_find(disk, path) == nullptr;
    enum polarys_code code = simple_gate(disk, is_new ? OP_OPEN | OP_CREATE : OP_OPEN, "open", path,
                                         &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    int reason = open_refusal(disk, path, flags);
    if (reason != 0) {
        return polarys_fail_errno(err, reason, "open %s", path.c_str());
    }
    inode_ref file = is_new ? file_make(disk, path, false) : name_find(disk, path);
    if ((flags & VFS_TRUNCATE) != 0 && file->now.size() > 0) {
        bytes_truncate(disk, *file, 0);
    }
    if (is_interrupted) {
        return fail_power(err, "open", path);
    }
    auto handle = std::make_unique<sim_file>();
    handle->vtable = disk.vtable;
    handle->disk = &disk;
    handle->file = file;
    handle->path = path;
    handle->flags = flags;
    handle->epoch = disk.epoch;
    file->handle_count++;
    disk.handle_count++;
    *out = handle.release();
    return POLARYS_OK;
}

static enum polarys_code name_remove(struct vfs *vfs, const char *raw_path,
                                     struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code = simple_gate(disk, OP_REMOVE, "remove", path, &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    inode_ref file = name_find(disk, path);
    if (file == nullptr || (file->is_dir && !is_empty_dir(disk, path))) {
        return polarys_fail_errno(err, file == nullptr ? ENOENT : ENOTEMPTY, "remove %s",
                                  path.c_str());
    }
    name_drop(disk, path);
    record(disk, path_parent(path), path, "", file);
    return finish(is_interrupted, "remove", path, err);
}

/* Checks what rename and link have in common; the errno or 0. */
static int second_name_refusal(const sim_disk &disk, const std::string &from, const std::string &to)
{
    inode_ref file = name_find(disk, from);
    if (file == nullptr || !is_dir(disk, path_parent(to))) {
        return ENOENT;
    }
    return file->is_dir || is_dir(disk, to) ? EISDIR : 0;
}

static enum polarys_code name_rename(struct vfs *vfs, const char *raw_from, const char *raw_to,
                                     struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string from = path_normalise(raw_from);
    std::string to = path_normalise(raw_to);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code = simple_gate(disk, OP_NAME, "rename", from, &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    int reason = second_name_refusal(disk, from, to);
    if (reason != 0) {
        return polarys_fail_errno(err, reason, "rename %s to %s", from.c_str(), to.c_str());
    }
    inode_ref file = name_find(disk, from);
    if (name_find(disk, to) != file) {
        name_set(disk, to, file);
        name_drop(disk, from);
        std::string from_dir = path_parent(from);
        std::string to_dir = path_parent(to);
        if (from_dir == to_dir) {
            record(disk, to_dir, from, to, file);
        } else {
            record(disk, to_dir, "", to, file);
            record(disk, from_dir, from, "", file);
        }
    }
    return finish(is_interrupted, "rename", from, err);
}

static enum polarys_code name_link(struct vfs *vfs, const char *raw_from, const char *raw_to,
                                   struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string from = path_normalise(raw_from);
    std::string to = path_normalise(raw_to);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code = simple_gate(disk, OP_NAME, "link", from, &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    int reason = second_name_refusal(disk, from, to);
    reason = reason == 0 && name_find(disk, to) != nullptr ? EEXIST : reason;
    if (reason != 0) {
        return polarys_fail_errno(err, reason, "link %s to %s", from.c_str(), to.c_str());
    }
    inode_ref file = name_find(disk, from);
    name_set(disk, to, file);
    record(disk, path_parent(to), "", to, file);
    return finish(is_interrupted, "link", from, err);
}

static enum polarys_code name_make_dir(struct vfs *vfs, const char *raw_path,
                                       struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code =
        simple_gate(disk, OP_NAME, "make directory", path, &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!is_dir(disk, path)) {
        if (name_find(disk, path) != nullptr || !is_dir(disk, path_parent(path))) {
            int reason = name_find(disk, path) != nullptr ? EEXIST : ENOENT;
            return polarys_fail_errno(err, reason, "make directory %s", path.c_str());
        }
        (void)file_make(disk, path, true);
    }
    return finish(is_interrupted, "make directory", path, err);
}

static enum polarys_code name_list_dir(struct vfs *vfs, const char *raw_path,
                                       void (*each)(void *context, const char *name), void *context,
                                       struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::vector<std::string> names;
    {
        std::lock_guard<std::mutex> guard(disk.mutex);
        bool is_interrupted;
        enum polarys_code code =
            simple_gate(disk, OP_QUERY, "list directory", path, &is_interrupted, err);
        if (code != POLARYS_OK || is_interrupted) {
            return is_interrupted ? fail_power(err, "list directory", path) : code;
        }
        if (!is_dir(disk, path)) {
            return polarys_fail_errno(err, ENOENT, "list directory %s", path.c_str());
        }
        for (const auto &entry : disk.names) {
            if (path_parent(entry.first) == path) {
                names.push_back(entry.first.substr(path.size() + 1));
            }
        }
        /* In no order, as the contract has it. */
        for (size_t i = names.size(); i > 1; i--) {
            std::swap(names[i - 1], names[sim_random_below(&disk.random, i)]);
        }
    }
    for (const std::string &name : names) {
        each(context, name.c_str());
    }
    return POLARYS_OK;
}

static enum polarys_code name_sync_dir(struct vfs *vfs, const char *raw_path,
                                       struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code =
        simple_gate(disk, OP_SYNC, "sync directory", path, &is_interrupted, err);
    if (code != POLARYS_OK || is_interrupted) {
        return is_interrupted ? fail_power(err, "sync directory", path) : code;
    }
    if (!is_dir(disk, path)) {
        return polarys_fail_errno(err, ENOENT, "sync directory %s", path.c_str());
    }
    directory_settle(disk, path);
    return POLARYS_OK;
}

static enum polarys_code name_exists(struct vfs *vfs, const char *raw_path, bool *exists,
                                     struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code = simple_gate(disk, OP_QUERY, "look for", path, &is_interrupted, err);
    *exists = path.empty() || name_find(disk, path) != nullptr;
    return code == POLARYS_OK ? finish(is_interrupted, "look for", path, err) : code;
}

static enum polarys_code name_free_bytes(struct vfs *vfs, const char *raw_path,
                                         uint64_t *free_bytes, struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    const char *what = "ask for the free space of";
    enum polarys_code code = simple_gate(disk, OP_QUERY, what, path, &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint64_t used = disk.used_pages * PAGE_SIZE;
    /* A disk without a limit still gives a number that sums of sizes do not overflow. */
    uint64_t whole = disk.capacity == UINT64_MAX ? uint64_t{1} << 50 : disk.capacity;
    *free_bytes = whole > used ? whole - used : 0;
    return finish(is_interrupted, what, path, err);
}

static enum polarys_code name_lock(struct vfs *vfs, const char *raw_path, struct vfs_lock **out,
                                   struct polarys_error *err)
{
    sim_disk &disk = *disk_of(vfs);
    std::string path = path_normalise(raw_path);
    std::lock_guard<std::mutex> guard(disk.mutex);
    bool is_interrupted;
    enum polarys_code code = simple_gate(disk, OP_LOCK, "lock", path, &is_interrupted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (disk.locks.count(path) > 0) {
        code = polarys_fail(err, POLARYS_STORE_LOCKED, "lock %s: process 1 holds it", path.c_str());
        polarys_error_detail_set(err, "pid", "%d", 1);
        return code;
    }
    int reason = open_refusal(disk, path, VFS_CREATE);
    if (reason != 0) {
        return polarys_fail_errno(err, reason, "lock %s", path.c_str());
    }
    if (name_find(disk, path) == nullptr) {
        (void)file_make(disk, path, false);
    }
    if (is_interrupted) {
        return fail_power(err, "lock", path);
    }
    disk.locks.insert(path);
    disk.lock_count++;
    *out = reinterpret_cast<struct vfs_lock *>(new sim_lock{path, disk.epoch});
    return POLARYS_OK;
}

static void name_unlock(struct vfs *vfs, struct vfs_lock *lock)
{
    sim_disk &disk = *disk_of(vfs);
    std::unique_ptr<sim_lock> sim(reinterpret_cast<sim_lock *>(lock));
    std::lock_guard<std::mutex> guard(disk.mutex);
    POLARYS_ASSERT(disk.lock_count > 0);
    disk.lock_count--;
    if (sim->epoch == disk.epoch) {
        disk.locks.erase(sim->path);
    }
}

const struct vfs_vtable *disk_vtable()
{
    static const struct vfs_vtable vtable = {
        name_open,     name_remove, name_rename,     name_link,     name_make_dir, name_list_dir,
        name_sync_dir, name_exists, name_free_bytes, name_lock,     name_unlock,   file_read_at,
        file_write_at, file_sync,   file_size,       file_truncate, file_close,
    };
    return &vtable;
}

} // namespace sim
