/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way to the medium itself: reading, altering and searching what a simulated disk holds
 * behind the back of whoever runs on it.
 */
#include <algorithm>
#include <cstring>

#include "engine/base/assert.h"
#include "tests/support/sim_disk_state.h"

using namespace sim;

/* REQUIRES: disk->mutex. */
static inode_ref durable_find(const struct sim_disk *disk, const char *path)
{
    auto found = disk->durable_names.find(path_normalise(path));
    bool is_file = found != disk->durable_names.end() && !found->second->is_dir;
    return is_file ? found->second : nullptr;
}

/* Runs `alter` on both contents of a file and keeps count of its pages. */
template <typename alteration>
static void alter_both(struct sim_disk *disk, inode &file, const alteration &alter)
{
    bool is_current = file.name_count > 0 || file.handle_count > 0;
    size_t before = file.now.page_count();
    alter(file.durable);
    alter(file.now);
    if (is_current) {
        disk->used_pages += file.now.page_count() - before;
    }
}

bool sim_disk_file_size(const struct sim_disk *disk, const char *path, uint64_t *size)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    inode_ref file = durable_find(disk, path);
    *size = file == nullptr ? 0 : file->durable.size();
    return file != nullptr;
}

bool sim_disk_file_read(const struct sim_disk *disk, const char *path, uint64_t offset, void *bytes,
                        size_t size, size_t *read_size)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    inode_ref file = durable_find(disk, path);
    *read_size = 0;
    if (file == nullptr) {
        return false;
    }
    if (offset < file->durable.size()) {
        *read_size = std::min<uint64_t>(size, file->durable.size() - offset);
        file->durable.read(offset, bytes, *read_size);
    }
    return true;
}

bool sim_disk_file_write(struct sim_disk *disk, const char *path, uint64_t offset,
                         const void *bytes, size_t size)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    inode_ref file = durable_find(disk, path);
    if (file == nullptr) {
        return false;
    }
    alter_both(disk, *file, [&](content &each) { each.write(offset, bytes, size); });
    return true;
}

bool sim_disk_file_flip(struct sim_disk *disk, const char *path, uint64_t offset, uint8_t mask)
{
    uint8_t byte;
    size_t read_size;
    if (!sim_disk_file_read(disk, path, offset, &byte, 1, &read_size) || read_size == 0) {
        return false;
    }
    byte ^= mask;
    return sim_disk_file_write(disk, path, offset, &byte, 1);
}

bool sim_disk_file_resize(struct sim_disk *disk, const char *path, uint64_t size)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    inode_ref file = durable_find(disk, path);
    if (file == nullptr) {
        return false;
    }
    alter_both(disk, *file, [&](content &each) { each.resize(size); });
    return true;
}

bool sim_disk_file_remove(struct sim_disk *disk, const char *path)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    inode_ref file = durable_find(disk, path);
    if (file == nullptr) {
        return false;
    }
    std::string name = path_normalise(path);
    disk->durable_names.erase(name);
    if (name_find(*disk, name) == file) {
        name_drop(*disk, name);
    }
    return true;
}

bool sim_disk_file_copy(struct sim_disk *disk, const char *from, const char *to)
{
    std::lock_guard<std::mutex> guard(disk->mutex);
    inode_ref file = durable_find(disk, from);
    std::string name = path_normalise(to);
    if (file == nullptr) {
        return false;
    }
    inode_ref copy = std::make_shared<inode>();
    copy->durable = file->durable;
    copy->now = file->durable;
    disk->used_pages += copy->now.page_count();
    disk->durable_names[name] = copy;
    name_set(*disk, name, copy);
    return true;
}

void sim_disk_list(const struct sim_disk *disk,
                   void (*each)(void *context, const char *path, uint64_t size), void *context)
{
    std::map<std::string, uint64_t> found;
    {
        std::lock_guard<std::mutex> guard(disk->mutex);
        for (const auto &entry : disk->durable_names) {
            if (!entry.second->is_dir) {
                found[entry.first] = entry.second->durable.size();
            }
        }
    }
    for (const auto &entry : found) {
        each(context, entry.first.c_str(), entry.second);
    }
}

static bool content_has(const content &content, struct polarys_slice text)
{
    std::vector<uint8_t> bytes(content.size());
    if (bytes.size() < text.size) {
        return false;
    }
    content.read(0, bytes.data(), bytes.size());
    return memmem(bytes.data(), bytes.size(), text.data, text.size) != nullptr;
}

static bool file_has(const inode &file, struct polarys_slice text)
{
    for (const change &each : file.changes) {
        if (!each.is_truncate && memmem(each.data->data() + each.data_start, each.size, text.data,
                                        text.size) != nullptr) {
            return true;
        }
    }
    return content_has(file.now, text) || content_has(file.durable, text);
}

static std::string file_name(const struct sim_disk *disk, const inode_ref &file)
{
    for (const auto *names : {&disk->names, &disk->durable_names}) {
        for (const auto &each : *names) {
            if (each.second == file) {
                return each.first;
            }
        }
    }
    return "(a file without a name)";
}

bool sim_disk_find(const struct sim_disk *disk, struct polarys_slice text, char *path)
{
    POLARYS_ASSERT(text.size > 0);
    std::lock_guard<std::mutex> guard(disk->mutex);
    for (const inode_ref &file : all_files(*disk)) {
        if (file_has(*file, text)) {
            if (path != nullptr) {
                (void)snprintf(path, VFS_PATH_MAX, "%s", file_name(disk, file).c_str());
            }
            return true;
        }
    }
    return false;
}
