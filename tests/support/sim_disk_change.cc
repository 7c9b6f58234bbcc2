/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns contents, names and their changes: the bookkeeping of what is current and what is
 * durable. It decides nothing about faults and crashes.
 */
#include <algorithm>
#include <cstring>

#include "engine/base/assert.h"
#include "tests/support/sim_disk_state.h"

namespace sim {

size_t content::missing_pages(uint64_t offset, uint64_t size) const
{
    size_t missing = 0;
    for (uint64_t i = offset / PAGE_SIZE; size > 0 && i <= (offset + size - 1) / PAGE_SIZE; i++) {
        missing += i >= pages_.size() || pages_[i] == nullptr ? 1 : 0;
    }
    return missing;
}

void content::read(uint64_t offset, void *bytes, size_t size) const
{
    POLARYS_ASSERT(offset <= size_ && size <= size_ - offset);
    uint8_t *to = static_cast<uint8_t *>(bytes);
    while (size > 0) {
        size_t index = offset / PAGE_SIZE;
        size_t within = offset % PAGE_SIZE;
        size_t part = std::min<size_t>(size, PAGE_SIZE - within);
        if (pages_[index] == nullptr) {
            memset(to, 0, part);
        } else {
            memcpy(to, pages_[index]->data() + within, part);
        }
        to += part;
        offset += part;
        size -= part;
    }
}

page &content::writable(size_t index)
{
    std::shared_ptr<page> &slot = pages_[index];
    if (slot == nullptr) {
        slot = std::make_shared<page>();
        slot->fill(0);
        allocated_++;
    } else if (slot.use_count() > 1) {
        slot = std::make_shared<page>(*slot);
    }
    return *slot;
}

void content::grow_to(uint64_t size)
{
    if (size > size_) {
        POLARYS_ASSERT(size <= FILE_SIZE_MAX);
        size_ = size;
        pages_.resize((size + PAGE_SIZE - 1) / PAGE_SIZE);
    }
}

void content::write(uint64_t offset, const void *bytes, size_t size)
{
    if (size == 0) {
        return;
    }
    grow_to(offset + size);
    const uint8_t *from = static_cast<const uint8_t *>(bytes);
    while (size > 0) {
        size_t within = offset % PAGE_SIZE;
        size_t part = std::min<size_t>(size, PAGE_SIZE - within);
        memcpy(writable(offset / PAGE_SIZE).data() + within, from, part);
        from += part;
        offset += part;
        size -= part;
    }
}

void content::resize(uint64_t size)
{
    if (size >= size_) {
        grow_to(size);
        return;
    }
    size_t count = (size + PAGE_SIZE - 1) / PAGE_SIZE;
    for (size_t i = count; i < pages_.size(); i++) {
        allocated_ -= pages_[i] != nullptr ? 1 : 0;
    }
    pages_.resize(count);
    size_ = size;
    /* What is cut off reads as zeros should the file grow again. */
    if (size % PAGE_SIZE != 0 && pages_[count - 1] != nullptr) {
        page &last = writable(count - 1);
        memset(last.data() + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
    }
}

bool content::shares_page(const content &other, size_t index) const
{
    const page *mine = index < pages_.size() ? pages_[index].get() : nullptr;
    const page *others = index < other.pages_.size() ? other.pages_[index].get() : nullptr;
    return mine == others;
}

void content::share_page(const content &from, size_t index)
{
    POLARYS_ASSERT(index < pages_.size() && index < from.pages_.size());
    allocated_ += (from.pages_[index] != nullptr ? 1 : 0) - (pages_[index] != nullptr ? 1 : 0);
    pages_[index] = from.pages_[index];
}

std::string path_normalise(const char *path)
{
    std::string result;
    for (const char *at = path; *at != '\0'; at++) {
        bool starts_part = result.empty() || result.back() == '/';
        if (starts_part && at[0] == '.' && (at[1] == '/' || at[1] == '\0')) {
            continue;
        }
        if (result.empty() && *at != '/') {
            result += '/';
        }
        if (*at != '/' || result.empty() || result.back() != '/') {
            result += *at;
        }
    }
    while (!result.empty() && result.back() == '/') {
        result.pop_back();
    }
    return result;
}

std::string path_parent(const std::string &path)
{
    size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

inode_ref name_find(const sim_disk &disk, const std::string &path)
{
    auto found = disk.names.find(path);
    return found == disk.names.end() ? nullptr : found->second;
}

void file_unused(sim_disk &disk, const inode_ref &file)
{
    if (file->name_count > 0) {
        return;
    }
    if (file->handle_count > 0) {
        disk.orphans.insert(file);
        return;
    }
    disk.orphans.erase(file);
    disk.used_pages -= file->now.page_count();
    for (const std::shared_ptr<page> &each : file->durable.pages()) {
        if (each != nullptr && disk.stale_pages.size() < STALE_PAGES_MAX) {
            disk.stale_pages.push_back(each);
        }
    }
}

void name_drop(sim_disk &disk, const std::string &path)
{
    auto found = disk.names.find(path);
    POLARYS_ASSERT(found != disk.names.end());
    inode_ref file = found->second;
    disk.names.erase(found);
    file->name_count--;
    file_unused(disk, file);
}

void name_set(sim_disk &disk, const std::string &path, const inode_ref &file)
{
    file->name_count++;
    if (disk.names.count(path) > 0) {
        name_drop(disk, path);
    }
    disk.names[path] = file;
}

void bytes_write(sim_disk &disk, inode &file, uint64_t offset, const void *bytes, size_t size)
{
    if (size == 0) {
        return;
    }
    const uint8_t *from = static_cast<const uint8_t *>(bytes);
    auto data = std::make_shared<const std::vector<uint8_t>>(from, from + size);
    size_t before = file.now.page_count();
    file.now.write(offset, bytes, size);
    disk.used_pages += file.now.page_count() - before;
    file.changes.push_back({++disk.sequence, false, offset, size, 0, data});
}

/* Takes [offset, end) out of the changes that are not durable: newer bytes are, and stay. */
static void changes_cut(inode &file, uint64_t offset, uint64_t end)
{
    std::vector<change> kept;
    for (const change &each : file.changes) {
        uint64_t each_end = each.offset + each.size;
        if (each_end <= offset || each.offset >= end) {
            kept.push_back(each);
            continue;
        }
        if (each.offset < offset) {
            change left = each;
            left.size = offset - each.offset;
            kept.push_back(left);
        }
        if (each_end > end) {
            change right = each;
            right.data_start += end - each.offset;
            right.offset = end;
            right.size = each_end - end;
            kept.push_back(right);
        }
    }
    file.changes.swap(kept);
}

void bytes_write_durable(sim_disk &disk, inode &file, uint64_t offset, const void *bytes,
                         size_t size)
{
    if (size == 0) {
        return;
    }
    /* With a change of size under way, the size that this write needs is durable only with all
     * of it. */
    bool is_cut = std::any_of(file.changes.begin(), file.changes.end(),
                              [](const change &each) { return each.is_truncate; });
    if (is_cut) {
        bytes_write(disk, file, offset, bytes, size);
        file_settle(file);
        return;
    }
    size_t first = offset / PAGE_SIZE;
    size_t last = (offset + size - 1) / PAGE_SIZE;
    std::vector<bool> was_shared;
    for (size_t i = first; i <= last; i++) {
        was_shared.push_back(file.durable.shares_page(file.now, i));
    }
    size_t before = file.now.page_count();
    file.now.write(offset, bytes, size);
    disk.used_pages += file.now.page_count() - before;
    file.durable.grow_to(offset + size);
    const uint8_t *from = static_cast<const uint8_t *>(bytes);
    for (size_t i = first; i <= last; i++) {
        uint64_t start = std::max<uint64_t>(offset, i * PAGE_SIZE);
        uint64_t end = std::min<uint64_t>(offset + size, (i + 1) * PAGE_SIZE);
        if (was_shared[i - first]) {
            file.durable.share_page(file.now, i);
        } else {
            file.durable.write(start, from + (start - offset), end - start);
        }
    }
    if (!file.changes.empty()) {
        changes_cut(file, offset, offset + size);
    }
}

void bytes_truncate(sim_disk &disk, inode &file, uint64_t size)
{
    size_t before = file.now.page_count();
    file.now.resize(size);
    disk.used_pages -= before - file.now.page_count();
    file.changes.push_back({++disk.sequence, true, size, 0, 0, nullptr});
}

/* The quick way when both contents are to be equal in the end. */
static void pages_settle(inode &file)
{
    bool is_cut = std::any_of(file.changes.begin(), file.changes.end(),
                              [](const change &each) { return each.is_truncate; });
    if (is_cut) {
        file.durable = file.now;
        return;
    }
    file.durable.grow_to(file.now.size());
    for (const change &each : file.changes) {
        uint64_t last = (each.offset + each.size - 1) / PAGE_SIZE;
        for (uint64_t i = each.offset / PAGE_SIZE; i <= last; i++) {
            file.durable.share_page(file.now, i);
        }
    }
}

void file_settle(inode &file)
{
    if (!file.has_lied) {
        pages_settle(file);
        file.changes.clear();
        return;
    }
    for (const change &each : file.changes) {
        if (each.is_truncate) {
            file.durable.resize(each.offset);
        } else {
            file.durable.write(each.offset, each.data->data() + each.data_start, each.size);
        }
    }
    file.changes.clear();
}

void durable_name_apply(sim_disk &disk, const name_change &change)
{
    if (!change.from.empty()) {
        auto found = disk.durable_names.find(change.from);
        /* Of a later file of the same name the removal is another change. */
        if (found != disk.durable_names.end() && found->second == change.file) {
            disk.durable_names.erase(found);
        }
    }
    if (!change.to.empty()) {
        disk.durable_names[change.to] = change.file;
    }
}

void directory_settle(sim_disk &disk, const std::string &dir)
{
    std::vector<name_change> kept;
    for (const name_change &each : disk.name_changes) {
        if (each.dir == dir) {
            durable_name_apply(disk, each);
        } else {
            kept.push_back(each);
        }
    }
    disk.name_changes.swap(kept);
}

std::set<inode_ref> all_files(const sim_disk &disk)
{
    std::set<inode_ref> files(disk.orphans);
    for (const auto &each : disk.names) {
        files.insert(each.second);
    }
    for (const auto &each : disk.durable_names) {
        files.insert(each.second);
    }
    for (const name_change &each : disk.name_changes) {
        files.insert(each.file);
    }
    return files;
}

void file_sync_lose(sim_disk &disk, inode &file)
{
    std::vector<change> changes;
    changes.swap(file.changes);
    file.has_lied = true;
    for (const change &each : changes) {
        if (sim_random_chance(&disk.random, 2)) {
            change_apply(disk, file, each);
        } else {
            change_lose(disk, file, each);
        }
    }
}

} // namespace sim
