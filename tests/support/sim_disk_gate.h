/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate of a simulated disk's calls. For tests/support/sim_disk*.cc only.
 */
#ifndef TESTS_SUPPORT_SIM_DISK_GATE_H
#define TESTS_SUPPORT_SIM_DISK_GATE_H

#include <string>

#include "tests/support/sim_disk_state.h"

namespace sim {

/* An open file. */
struct sim_file : vfs_file {
    sim_disk *disk;
    inode_ref file;
    std::string path;
    unsigned flags;
    uint64_t epoch;
};

/* Counts the call, whose kinds are in `op`, and says what is to become of it. REQUIRES:
 * disk.mutex. */
verdict gate(sim_disk &disk, unsigned op);

enum polarys_code fail_power(struct polarys_error *err, const char *what, const std::string &path);

/* The members of struct vfs_vtable that work on open files; their contracts are there. */
enum polarys_code file_read_at(struct vfs_file *base, uint64_t offset, void *bytes, size_t size,
                               size_t *read_size, struct polarys_error *err);
enum polarys_code file_write_at(struct vfs_file *base, uint64_t offset, const void *bytes,
                                size_t size, struct polarys_error *err);
enum polarys_code file_sync(struct vfs_file *base, struct polarys_error *err);
enum polarys_code file_size(struct vfs_file *base, uint64_t *size, struct polarys_error *err);
enum polarys_code file_truncate(struct vfs_file *base, uint64_t size, struct polarys_error *err);
enum polarys_code file_close(struct vfs_file *base, struct polarys_error *err);

} // namespace sim

#endif
