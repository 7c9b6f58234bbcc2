/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the calls on open files of a simulated disk: what each does, and what it leaves when a
 * fault or a power loss strikes it.
 */
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/assert.h"
#include "tests/support/sim_disk_gate.h"

namespace sim {

static sim_file *file_of(struct vfs_file *base)
{
    return static_cast<sim_file *>(base);
}

/* A file that was open when the power failed stays unusable. */
static verdict file_gate(sim_file *file, unsigned op)
{
    return file->epoch == file->disk->epoch ? gate(*file->disk, op) : verdict::DEAD;
}

static void require_aligned(const sim_file *file, uint64_t offset, const void *bytes, size_t size)
{
    uint64_t all = offset | reinterpret_cast<uintptr_t>(bytes) | size;
    POLARYS_ASSERT((file->flags & VFS_DIRECT) == 0 || all % VFS_ALIGNMENT == 0);
}

enum polarys_code file_read_at(struct vfs_file *base, uint64_t offset, void *bytes, size_t size,
                               size_t *read_size, struct polarys_error *err)
{
    sim_file *file = file_of(base);
    POLARYS_ASSERT((file->flags & VFS_READ) != 0);
    require_aligned(file, offset, bytes, size);
    std::lock_guard<std::mutex> guard(file->disk->mutex);
    verdict verdict = file_gate(file, OP_READ);
    if (verdict == verdict::DEAD || verdict == verdict::INTERRUPTED) {
        return fail_power(err, "read", file->path);
    }
    bool is_flipped = verdict == verdict::FAULT && file->disk->fault.kind == SIM_FAULT_BIT_FLIP;
    if (verdict == verdict::FAULT && !is_flipped) {
        return polarys_fail_errno(err, EIO, "read %s", file->path.c_str());
    }
    const content &now = file->file->now;
    *read_size = offset >= now.size() ? 0 : std::min<uint64_t>(size, now.size() - offset);
    if (*read_size > 0) {
        now.read(offset, bytes, *read_size);
    }
    if (is_flipped && *read_size > 0) {
        uint64_t bit = sim_random_below(&file->disk->random, *read_size * 8);
        static_cast<uint8_t *>(bytes)[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
    return POLARYS_OK;
}

/* How much of a write there is room for. */
static size_t size_that_fits(const sim_disk &disk, const inode &file, uint64_t offset, size_t size)
{
    uint64_t capacity_pages = disk.capacity / PAGE_SIZE;
    uint64_t free_pages = capacity_pages > disk.used_pages ? capacity_pages - disk.used_pages : 0;
    if (file.now.missing_pages(offset, size) <= free_pages) {
        return size;
    }
    size_t fits = 0;
    while (fits < size) {
        size_t step = std::min<size_t>(size - fits, PAGE_SIZE - (offset + fits) % PAGE_SIZE);
        size_t needed = file.now.missing_pages(offset + fits, step);
        if (needed > free_pages) {
            break;
        }
        free_pages -= needed;
        fits += step;
    }
    return fits;
}

/* Some first part of a write, in whole sectors, less than all of it. */
static size_t part_of_write(sim_disk &disk, size_t size)
{
    return size == 0 ? 0 : sim_random_below(&disk.random, size) / SECTOR_SIZE * SECTOR_SIZE;
}

static void write_go(sim_file *file, uint64_t offset, const void *bytes, size_t size)
{
    if ((file->flags & VFS_DSYNC) != 0) {
        bytes_write_durable(*file->disk, *file->file, offset, bytes, size);
    } else {
        bytes_write(*file->disk, *file->file, offset, bytes, size);
    }
}

/* Elsewhere in the file at the same alignment, as a disk does that seeks to the wrong place. */
static uint64_t misdirect(sim_file *file, uint64_t offset)
{
    uint64_t pages = std::max<uint64_t>(file->file->now.size() / PAGE_SIZE, 1) + 1;
    uint64_t target = sim_random_below(&file->disk->random, pages);
    target = target == offset / PAGE_SIZE ? target + 1 : target;
    return target * PAGE_SIZE + offset % PAGE_SIZE;
}

static enum polarys_code write_faulty(sim_file *file, uint64_t offset, const void *bytes,
                                      size_t size, struct polarys_error *err)
{
    sim_disk &disk = *file->disk;
    const char *path = file->path.c_str();
    switch (disk.fault.kind) {
    case SIM_FAULT_LOST_WRITE:
        return POLARYS_OK;
    case SIM_FAULT_MISDIRECTED_WRITE:
        write_go(file, misdirect(file, offset), bytes, size);
        return POLARYS_OK;
    case SIM_FAULT_SHORT_WRITE:
        bytes_write(disk, *file->file, offset, bytes, part_of_write(disk, size));
        disk.is_dead = true;
        return fail_power(err, "write", file->path);
    case SIM_FAULT_SYNC:
        bytes_write(disk, *file->file, offset, bytes, size);
        file_sync_lose(disk, *file->file);
        return polarys_fail_errno(err, EIO, "write %s", path);
    default:
        bytes_write(disk, *file->file, offset, bytes, part_of_write(disk, size));
        return polarys_fail_errno(err, disk.fault.kind == SIM_FAULT_ENOSPC ? ENOSPC : EIO,
                                  "write %s", path);
    }
}

enum polarys_code file_write_at(struct vfs_file *base, uint64_t offset, const void *bytes,
                                size_t size, struct polarys_error *err)
{
    sim_file *file = file_of(base);
    POLARYS_ASSERT((file->flags & VFS_WRITE) != 0);
    require_aligned(file, offset, bytes, size);
    std::lock_guard<std::mutex> guard(file->disk->mutex);
    bool is_durable = (file->flags & VFS_DSYNC) != 0;
    verdict verdict = file_gate(file, is_durable ? OP_WRITE | OP_DSYNC : OP_WRITE);
    if (verdict == verdict::DEAD) {
        return fail_power(err, "write", file->path);
    }
    if (offset > FILE_SIZE_MAX || size > FILE_SIZE_MAX - offset) {
        return polarys_fail_errno(err, EFBIG, "write %s", file->path.c_str());
    }
    size_t fits = size_that_fits(*file->disk, *file->file, offset, size);
    if (verdict == verdict::INTERRUPTED) {
        bytes_write(*file->disk, *file->file, offset, bytes, fits);
        return fail_power(err, "write", file->path);
    }
    if (verdict == verdict::FAULT) {
        return write_faulty(file, offset, bytes, fits, err);
    }
    write_go(file, offset, bytes, fits);
    return fits == size ? POLARYS_OK
                        : polarys_fail_errno(err, ENOSPC, "write %s", file->path.c_str());
}

enum polarys_code file_sync(struct vfs_file *base, struct polarys_error *err)
{
    sim_file *file = file_of(base);
    std::lock_guard<std::mutex> guard(file->disk->mutex);
    verdict verdict = file_gate(file, OP_SYNC);
    if (verdict == verdict::DEAD || verdict == verdict::INTERRUPTED) {
        return fail_power(err, "sync", file->path);
    }
    if (verdict == verdict::FAULT) {
        file_sync_lose(*file->disk, *file->file);
        return polarys_fail_errno(err, EIO, "sync %s", file->path.c_str());
    }
    file_settle(*file->file);
    return POLARYS_OK;
}

enum polarys_code file_size(struct vfs_file *base, uint64_t *size, struct polarys_error *err)
{
    sim_file *file = file_of(base);
    std::lock_guard<std::mutex> guard(file->disk->mutex);
    verdict verdict = file_gate(file, OP_QUERY);
    if (verdict == verdict::DEAD || verdict == verdict::INTERRUPTED) {
        return fail_power(err, "ask for the size of", file->path);
    }
    if (verdict == verdict::FAULT) {
        return polarys_fail_errno(err, EIO, "ask for the size of %s", file->path.c_str());
    }
    *size = file->file->now.size();
    return POLARYS_OK;
}

enum polarys_code file_truncate(struct vfs_file *base, uint64_t size, struct polarys_error *err)
{
    sim_file *file = file_of(base);
    POLARYS_ASSERT((file->flags & VFS_WRITE) != 0);
    std::lock_guard<std::mutex> guard(file->disk->mutex);
    verdict verdict = file_gate(file, OP_TRUNCATE);
    if (verdict == verdict::DEAD) {
        return fail_power(err, "cut", file->path);
    }
    if (verdict == verdict::FAULT || size > FILE_SIZE_MAX) {
        int reason = verdict != verdict::FAULT                    ? EFBIG
                     : file->disk->fault.kind == SIM_FAULT_ENOSPC ? ENOSPC
                                                                  : EIO;
        return polarys_fail_errno(err, reason, "cut %s", file->path.c_str());
    }
    if (size != file->file->now.size()) {
        bytes_truncate(*file->disk, *file->file, size);
    }
    return verdict == verdict::INTERRUPTED ? fail_power(err, "cut", file->path) : POLARYS_OK;
}

enum polarys_code file_close(struct vfs_file *base, struct polarys_error *err)
{
    std::unique_ptr<sim_file> file(file_of(base));
    std::lock_guard<std::mutex> guard(file->disk->mutex);
    sim_disk &disk = *file->disk;
    POLARYS_ASSERT(disk.handle_count > 0);
    disk.handle_count--;
    if (file->epoch != disk.epoch || disk.is_dead) {
        file->file->handle_count -= file->epoch == disk.epoch ? 1 : 0;
        return fail_power(err, "close", file->path);
    }
    file->file->handle_count--;
    file_unused(disk, file->file);
    return POLARYS_OK;
}

} // namespace sim
