/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the life of a simulated disk, its knobs, and the gate that every call goes through, where
 * faults and power losses strike.
 */
#include "tests/support/sim_disk.h"

#include <unordered_map>

#include "engine/base/assert.h"
#include "tests/support/sim_disk_gate.h"

namespace sim {

static unsigned fault_targets(enum sim_fault_kind kind)
{
    switch (kind) {
    case SIM_FAULT_EIO:
        return ~0u;
    case SIM_FAULT_ENOSPC:
        return OP_CREATE | OP_NAME | OP_WRITE | OP_TRUNCATE | OP_LOCK;
    case SIM_FAULT_SHORT_WRITE:
    case SIM_FAULT_MISDIRECTED_WRITE:
    case SIM_FAULT_LOST_WRITE:
        return OP_WRITE;
    case SIM_FAULT_SYNC:
        return OP_SYNC | OP_DSYNC;
    case SIM_FAULT_BIT_FLIP:
        return OP_READ;
    default:
        break;
    }
    POLARYS_ASSERT(kind < SIM_FAULT_KIND_COUNT);
    return 0;
}

verdict gate(sim_disk &disk, unsigned op)
{
    disk.operation_count++;
    if (disk.is_dead) {
        return verdict::DEAD;
    }
    if (disk.crash_countdown > 0 && --disk.crash_countdown == 0) {
        disk.is_dead = true;
        return verdict::INTERRUPTED;
    }
    struct fault &fault = disk.fault;
    if (fault.countdown > 0 && (op & fault_targets(fault.kind)) != 0) {
        if (--fault.countdown == 0) {
            fault.countdown = fault.is_sticky ? 1 : 0;
            fault.shown_count++;
            return verdict::FAULT;
        }
    }
    return verdict::GO;
}

enum polarys_code fail_power(struct polarys_error *err, const char *what, const std::string &path)
{
    return polarys_fail(err, POLARYS_IO, "%s %s: simulated power loss", what, path.c_str());
}

} // namespace sim

using namespace sim;

struct sim_disk *sim_disk_create(uint64_t seed)
{
    struct sim_disk *disk = new sim_disk;
    disk->vtable = disk_vtable();
    sim_random_init(&disk->random, seed);
    return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    if (disk != nullptr) {
        POLARYS_ASSERT(disk->handle_count == 0); /* a file was not closed */
        POLARYS_ASSERT(disk->lock_count == 0);   /* a lock was not released */
        delete disk;
    }
}

struct vfs *sim_disk_vfs(struct sim_disk *disk)
{
    return disk;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *disk, uint64_t seed)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    struct sim_disk *clone = sim_disk_create(seed);
    std::unordered_map<const inode *, inode_ref> files;
    auto copy_of = [&files](const inode_ref &file) {
        inode_ref &copy = files[file.get()];
        if (copy == nullptr) {
            copy = std::make_shared<inode>(*file);
            copy->handle_count = 0;
        }
        return copy;
    };
    for (const auto &each : disk->names) {
        clone->names[each.first] = copy_of(each.second);
    }
    for (const auto &each : disk->durable_names) {
        clone->durable_names[each.first] = copy_of(each.second);
    }
    for (const name_change &each : disk->name_changes) {
        clone->name_changes.push_back(each);
        clone->name_changes.back().file = copy_of(each.file);
    }
    for (const auto &each : files) {
        clone->used_pages += each.second->name_count > 0 ? each.second->now.page_count() : 0;
    }
    clone->sequence = disk->sequence;
    clone->is_stale = disk->is_stale;
    clone->capacity = disk->capacity;
    clone->stale_pages = disk->stale_pages;
    return clone;
}

void sim_disk_stale_set(struct sim_disk *disk, bool is_stale)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    disk->is_stale = is_stale;
}

uint64_t sim_disk_operation_count(const struct sim_disk *disk)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    return disk->operation_count;
}

void sim_disk_crash_at(struct sim_disk *disk, uint64_t n)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    disk->crash_countdown = n;
}

bool sim_disk_is_dead(const struct sim_disk *disk)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    return disk->is_dead;
}

static void fault_arm(struct sim_disk *disk, uint64_t n, enum sim_fault_kind kind, bool is_sticky)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    POLARYS_ASSERT(kind < SIM_FAULT_KIND_COUNT);
    disk->fault.kind = kind;
    disk->fault.countdown = n;
    disk->fault.is_sticky = is_sticky;
    disk->fault.shown_count = 0;
}

void sim_disk_fail_at(struct sim_disk *disk, uint64_t n, enum sim_fault_kind kind)
{
    fault_arm(disk, n, kind, false);
}

void sim_disk_fail_from(struct sim_disk *disk, uint64_t n, enum sim_fault_kind kind)
{
    fault_arm(disk, n, kind, true);
}

uint64_t sim_disk_fault_count(const struct sim_disk *disk)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    return disk->fault.shown_count;
}

void sim_disk_capacity_set(struct sim_disk *disk, uint64_t bytes)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    disk->capacity = bytes;
}

uint64_t sim_disk_used_bytes(const struct sim_disk *disk)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    return disk->used_pages * PAGE_SIZE;
}
