/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated disk behind struct vfs: the ground that crash, fault and tamper tests stand on. A
 * seed and the sequence of calls decide everything it does.
 *
 * What a power loss may leave, by the contract of engine/vfs/vfs.h and no more than that:
 *  - Bytes that were synced (or written through a VFS_DSYNC handle) stay.
 *  - Every later write to a file is kept, lost or torn on its own: at 512 or 4,096 bytes, each
 *    part on its own. Of two writes to one place the older may be what stays, but never over a
 *    synced newer one.
 *  - A file's size may have grown although the bytes of the new part were lost; these read as
 *    zeros, or as stale bytes (of removed files, or random) when sim_disk_stale_set says so.
 *  - Every change of a directory since its sync_dir is kept or lost on its own; a rename within
 *    a directory is one change, between directories it is two.
 *
 * Paths: a leading slash is optional, doubled slashes count once; the root directory exists. A
 * file that is read or written while it is a name of nothing any more lives on until it is
 * closed. Any thread.
 */
#ifndef TESTS_SUPPORT_SIM_DISK_H
#define TESTS_SUPPORT_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "engine/vfs/vfs.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sim_disk;

/* What a power loss does with the changes that are not durable. */
enum sim_crash_policy {
    SIM_CRASH_KEEP_ALL,
    SIM_CRASH_DROP_ALL,
    SIM_CRASH_PREFIX, /* in order: all up to some point, one that may be torn, no more */
    SIM_CRASH_RANDOM, /* each on its own */
    SIM_CRASH_POLICY_COUNT
};

enum sim_fault_kind {
    SIM_FAULT_EIO,    /* any call fails; a write may have been done in part */
    SIM_FAULT_ENOSPC, /* a call that may need space fails; a write may have been done in part */
    SIM_FAULT_SHORT_WRITE, /* part of a write is done, then the power fails */
    SIM_FAULT_SYNC, /* sync, sync_dir or a VFS_DSYNC write fails; of a file, what was not durable
                              then is kept or lost for ever, while reads still show it */
    SIM_FAULT_BIT_FLIP,          /* a read succeeds with one bit wrong */
    SIM_FAULT_MISDIRECTED_WRITE, /* a write succeeds but lands elsewhere in the file */
    SIM_FAULT_LOST_WRITE,        /* a write succeeds but does nothing */
    SIM_FAULT_KIND_COUNT
};

/* An empty disk without a limit. Ends the process when there is no memory. */
struct sim_disk *sim_disk_create(uint64_t seed);
/* REQUIRES: every file of it is closed and every lock released, also after a crash. Accepts
 * NULL. */
void sim_disk_destroy(struct sim_disk *disk);
/* Borrowed: valid until destroy. */
struct vfs *sim_disk_vfs(struct sim_disk *disk);
/* The same disk, with its changes that are not durable, but without open files, locks and
 * faults; cheap: pages are shared until written. Crash clones to see several outcomes of one
 * moment. */
struct sim_disk *sim_disk_clone(const struct sim_disk *disk, uint64_t seed);

/* The power fails and comes back: files that are open stay unusable but have to be closed, locks
 * are gone, faults and crash_at are disarmed. */
void sim_disk_crash(struct sim_disk *disk, enum sim_crash_policy policy);
/* Makes everything durable, as if the system had had time; nothing is closed. */
void sim_disk_settle(struct sim_disk *disk);
/* Whether lost parts of grown files read as stale bytes after a crash (zeros otherwise, the
 * default). */
void sim_disk_stale_set(struct sim_disk *disk, bool is_stale);

/* Calls so far; closing and unlocking do not count. */
uint64_t sim_disk_operation_count(const struct sim_disk *disk);
/* The n-th call from now (1: the next) is cut off by a power loss and like all later ones fails
 * with IO, "simulated power loss"; what it was doing may be kept, torn or lost by
 * sim_disk_crash. 0 disarms. */
void sim_disk_crash_at(struct sim_disk *disk, uint64_t n);
/* True from that call until sim_disk_crash. */
bool sim_disk_is_dead(const struct sim_disk *disk);
/* The n-th call from now (1: the next) of those that the kind can befall shows the fault. 0
 * disarms. */
void sim_disk_fail_at(struct sim_disk *disk, uint64_t n, enum sim_fault_kind kind);
/* As fail_at, and so does every later one. */
void sim_disk_fail_from(struct sim_disk *disk, uint64_t n, enum sim_fault_kind kind);
/* How many calls have shown the fault since it was armed; 0 tells a loop over n that it is done. */
uint64_t sim_disk_fault_count(const struct sim_disk *disk);

/* Bytes that files may take, in pages of 4,096; UINT64_MAX for no limit. Lowering removes
 * nothing. */
void sim_disk_capacity_set(struct sim_disk *disk, uint64_t bytes);
uint64_t sim_disk_used_bytes(const struct sim_disk *disk);

/*
 * The medium itself, for tampering and inspection: durable names and durable bytes only, so
 * settle or crash first. Changes show in running programs too. All return false when the file is
 * not there.
 */
bool sim_disk_file_size(const struct sim_disk *disk, const char *path, uint64_t *size);
/* Up to `size` bytes at `offset`; *read_size tells how many there were. */
bool sim_disk_file_read(const struct sim_disk *disk, const char *path, uint64_t offset, void *bytes,
                        size_t size, size_t *read_size);
bool sim_disk_file_write(struct sim_disk *disk, const char *path, uint64_t offset,
                         const void *bytes, size_t size);
/* Inverts the bits of `mask` in one byte; false also past the end of the file. */
bool sim_disk_file_flip(struct sim_disk *disk, const char *path, uint64_t offset, uint8_t mask);
bool sim_disk_file_resize(struct sim_disk *disk, const char *path, uint64_t size);
/* Replaces or makes `to` with a copy of `from`. */
bool sim_disk_file_copy(struct sim_disk *disk, const char *from, const char *to);
bool sim_disk_file_remove(struct sim_disk *disk, const char *path);
/* Calls `each` for every durable file (no directories) in the order of their paths. `each` may
 * call the functions of this header. */
void sim_disk_list(const struct sim_disk *disk,
                   void (*each)(void *context, const char *path, uint64_t size), void *context);
/* Looks for `text` in all bytes of all files: durable, not yet durable and still open ones. On
 * success names the file in `path` (VFS_PATH_MAX bytes, may be NULL). */
bool sim_disk_find(const struct sim_disk *disk, struct polarys_slice text, char *path);

#ifdef __cplusplus
}
#endif

#endif
