/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns power losses: which changes survive, in which parts, and what the disk is afterwards. The
 * invariant is that durable bytes and names are never lost, and that nothing appears that was
 * never written, but zeros and stale bytes in parts of a file that have grown.
 */
#include <algorithm>
#include <cstring>

#include "engine/base/assert.h"
#include "tests/support/sim_disk_state.h"

namespace sim {

/* Grows a durable content as file systems do whose sizes reach the disk before the bytes. */
static void durable_grow(sim_disk &disk, inode &file, uint64_t end)
{
    uint64_t offset = file.durable.size();
    file.durable.grow_to(end);
    while (disk.is_stale && offset < end) {
        uint64_t within = offset % PAGE_SIZE;
        uint64_t part = std::min<uint64_t>(end - offset, PAGE_SIZE - within);
        page stale;
        if (!disk.stale_pages.empty() && !sim_random_chance(&disk.random, 4)) {
            stale = *disk.stale_pages[sim_random_below(&disk.random, disk.stale_pages.size())];
        } else {
            for (uint8_t &byte : stale) {
                byte = static_cast<uint8_t>(sim_random_next(&disk.random));
            }
        }
        file.durable.write(offset, stale.data() + within, part);
        offset += part;
    }
}

void change_apply(sim_disk &disk, inode &file, const change &change)
{
    if (change.is_truncate && change.offset <= file.durable.size()) {
        file.durable.resize(change.offset);
        return;
    }
    if (change.offset > file.durable.size()) {
        durable_grow(disk, file, change.offset);
    }
    if (!change.is_truncate) {
        file.durable.write(change.offset, change.data->data() + change.data_start, change.size);
    }
}

void change_lose(sim_disk &disk, inode &file, const change &change)
{
    uint64_t end = change.offset + change.size;
    if (end > file.durable.size() && sim_random_chance(&disk.random, 4)) {
        durable_grow(disk, file, end);
    }
}

void change_tear(sim_disk &disk, inode &file, const change &change)
{
    if (change.is_truncate) {
        change_lose(disk, file, change);
        return;
    }
    uint64_t unit = sim_random_chance(&disk.random, 2) ? SECTOR_SIZE : PAGE_SIZE;
    uint64_t end = change.offset + change.size;
    uint64_t first = change.offset / unit;
    uint64_t count = (end + unit - 1) / unit - first;
    uint64_t shape = sim_random_below(&disk.random, 3); /* a prefix, a suffix, any parts */
    uint64_t cut = sim_random_below(&disk.random, count + 1);
    if (end > file.durable.size() && sim_random_chance(&disk.random, 2)) {
        durable_grow(disk, file, end);
    }
    for (uint64_t i = 0; i < count; i++) {
        bool is_kept = shape == 0   ? i < cut
                       : shape == 1 ? i >= cut
                                    : sim_random_chance(&disk.random, 2);
        uint64_t start = std::max(change.offset, (first + i) * unit);
        uint64_t stop = std::min(end, (first + i + 1) * unit);
        if (is_kept) {
            struct change part = change;
            part.data_start += start - change.offset;
            part.offset = start;
            part.size = stop - start;
            change_apply(disk, file, part);
        }
    }
}

/* One change of whatever kind, for the order among all. */
struct crash_item {
    uint64_t sequence;
    inode_ref file;
    const change *bytes; /* or */
    const name_change *name;
};

enum class fate { KEEP, LOSE, TEAR };

/* Chooses by policy; `rank` of `count` in the order in which the changes were made. */
class fates {
  public:
    fates(sim_disk &disk, enum sim_crash_policy policy, size_t count)
        : disk_(disk), policy_(policy), cut_(sim_random_below(&disk.random, count + 1)),
          /* Some crashes lose nearly nothing and some nearly all: both ends find bugs of their
           * own. */
          keep_of_8_(1 + sim_random_below(&disk.random, 7))
    {
    }

    fate choose(size_t rank)
    {
        switch (policy_) {
        case SIM_CRASH_KEEP_ALL:
            return fate::KEEP;
        case SIM_CRASH_DROP_ALL:
            return fate::LOSE;
        case SIM_CRASH_PREFIX:
            return rank < cut_ ? fate::KEEP : rank == cut_ ? fate::TEAR : fate::LOSE;
        default:
            break;
        }
        POLARYS_ASSERT(policy_ == SIM_CRASH_RANDOM);
        if (sim_random_below(&disk_.random, 8) < keep_of_8_) {
            return fate::KEEP;
        }
        return sim_random_chance(&disk_.random, 2) ? fate::TEAR : fate::LOSE;
    }

  private:
    sim_disk &disk_;
    enum sim_crash_policy policy_;
    size_t cut_;
    uint64_t keep_of_8_;
};

static std::vector<crash_item> crash_items(const sim_disk &disk, const std::set<inode_ref> &files)
{
    std::vector<crash_item> items;
    for (const inode_ref &file : files) {
        for (const change &each : file->changes) {
            items.push_back({each.sequence, file, &each, nullptr});
        }
    }
    for (const name_change &each : disk.name_changes) {
        items.push_back({each.sequence, each.file, nullptr, &each});
    }
    /* Stable: parts of one write have one number. Files come in the order of their addresses
     * before, but no two of them have a number in common. */
    std::stable_sort(items.begin(), items.end(), [](const crash_item &a, const crash_item &b) {
        return a.sequence < b.sequence;
    });
    return items;
}

static void item_decide(sim_disk &disk, const crash_item &item, fate fate,
                        enum sim_crash_policy policy)
{
    if (item.name != nullptr) {
        if (fate == fate::KEEP) {
            durable_name_apply(disk, *item.name);
        }
    } else if (fate == fate::KEEP) {
        change_apply(disk, *item.file, *item.bytes);
    } else if (fate == fate::TEAR) {
        change_tear(disk, *item.file, *item.bytes);
    } else if (policy == SIM_CRASH_RANDOM) {
        change_lose(disk, *item.file, *item.bytes);
    }
}

/* Names whose directory was lost are lost with it. */
static void drop_unreachable(sim_disk &disk)
{
    auto each = disk.durable_names.begin(); /* parents sort before what is in them */
    while (each != disk.durable_names.end()) {
        std::string parent = path_parent(each->first);
        bool is_reachable = parent.empty() || disk.durable_names.count(parent) > 0;
        each = is_reachable ? std::next(each) : disk.durable_names.erase(each);
    }
}

/* The durable state becomes the current one. */
static void restart(sim_disk &disk)
{
    disk.name_changes.clear();
    disk.orphans.clear();
    disk.locks.clear();
    disk.epoch++;
    disk.is_dead = false;
    disk.crash_countdown = 0;
    disk.fault = {};
    disk.names = disk.durable_names;
    disk.used_pages = 0;
    for (const auto &each : disk.names) {
        each.second->name_count = 0;
        each.second->handle_count = 0;
    }
    for (const auto &each : disk.names) {
        if (each.second->name_count++ == 0) {
            each.second->now = each.second->durable;
            each.second->has_lied = false;
            disk.used_pages += each.second->now.page_count();
        }
    }
}

} // namespace sim

using namespace sim;

void sim_disk_crash(struct sim_disk *disk, enum sim_crash_policy policy)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    std::set<inode_ref> files = all_files(*disk);
    std::vector<crash_item> items = crash_items(*disk, files);
    fates fates(*disk, policy, items.size());
    for (size_t i = 0; i < items.size(); i++) {
        item_decide(*disk, items[i], fates.choose(i), policy);
    }
    for (const inode_ref &file : files) {
        file->changes.clear();
    }
    drop_unreachable(*disk);
    restart(*disk);
}

void sim_disk_settle(struct sim_disk *disk)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    for (const inode_ref &file : all_files(*disk)) {
        file_settle(*file);
    }
    for (const name_change &each : disk->name_changes) {
        durable_name_apply(*disk, each);
    }
    disk->name_changes.clear();
}
