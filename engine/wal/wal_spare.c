/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spare segments: files written in full ahead of their use, because syncing into written blocks costs
 * about half of what syncing a growing file does.
 *
 * Most spares are old segments, recycled with their bytes by wal_prune. Zeros are written only when the
 * next segment would find no spare, and only once the current one is used to a part that leaves time for
 * it: a prune may come first. So a log that is pruned as fast as it grows writes no zeros at all.
 *
 * How many spares are kept follows from how many segments were begun between two prunes lately: that many
 * and one more. Fewer would be removed by one prune and missed after the next; more would be disk space
 * for nothing.
 *
 * Invariant: the name spare-N means whole and synced. A file is written under making-N, synced, and only
 * then renamed; a crash in between leaves a making-N, which the next open removes.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/wal/wal_internal.h"

enum { DISK_LOW_RETRY_NS = 200 * 1000 * 1000 };

/* Zeros in pages of their own: one piece of what is written over and over. */
static const uint8_t *zeros_get(void)
{
    static _Alignas(VFS_ALIGNMENT) const uint8_t zeros[WAL_PREPARE_CHUNK_BYTES];
    return zeros;
}

static bool is_closing(struct wal *wal)
{
    mutex_lock(&wal->mutex);
    bool closing = wal->is_closing;
    mutex_unlock(&wal->mutex);
    return closing;
}

static void zeroed_note(struct wal *wal, size_t size)
{
    mutex_lock(&wal->mutex);
    wal->stats.zeroed_bytes += size;
    mutex_unlock(&wal->mutex);
}

/* Stops early, with CANCELLED, when the log is being closed. */
static enum polarys_code zeros_fill(struct wal *wal, struct vfs_file *file, uint64_t bytes,
                                    struct polarys_error *err)
{
    uint64_t unsynced_bytes = 0;
    for (uint64_t at = 0; at < bytes;) {
        uint64_t left = bytes - at;
        size_t size = left < WAL_PREPARE_CHUNK_BYTES ? (size_t)left : WAL_PREPARE_CHUNK_BYTES;
        enum polarys_code code = vfs_write_at(file, at, zeros_get(), size, err);
        if (code != POLARYS_OK) {
            return code;
        }
        at += size;
        unsynced_bytes += size;
        zeroed_note(wal, size);
        if (is_closing(wal)) {
            return polarys_fail(err, POLARYS_CANCELLED, "the log is being closed");
        }
        if (unsynced_bytes >= WAL_PREPARE_SYNC_BYTES || at == bytes) {
            code = vfs_sync(file, err);
            if (code != POLARYS_OK) {
                return code;
            }
            unsynced_bytes = 0;
        }
    }
    return POLARYS_OK;
}

enum polarys_code wal_zeros_write(struct wal *wal, uint64_t spare_id, uint64_t bytes,
                                  struct polarys_error *err)
{
    struct vfs *vfs = wal->options.vfs;
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    struct vfs_file *file = NULL;
    wal_making_name(spare_id, name);
    enum polarys_code code = vfs_path_join(path, wal->dir, name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_open(vfs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, &file, err);
    if (code == POLARYS_OK) {
        code = zeros_fill(wal, file, bytes, err);
        enum polarys_code close_code = vfs_close(file, code == POLARYS_OK ? err : NULL);
        code = code == POLARYS_OK ? close_code : code;
        if (code != POLARYS_OK) {
            /* Best effort: the next open removes it too. */
            (void)!vfs_remove(vfs, path, NULL);
        }
    }
    return code == POLARYS_OK ? POLARYS_OK : polarys_wrap(err, code, "write zeros to %s", path);
}

void wal_spare_remove(struct wal *wal, uint64_t spare_id)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    struct polarys_error err = POLARYS_ERROR_INIT;
    wal_spare_name(spare_id, name);
    enum polarys_code code = vfs_path_join(path, wal->dir, name, &err);
    if (code == POLARYS_OK) {
        code = vfs_remove(wal->options.vfs, path, &err);
    }
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "wal", "a surplus log segment stays: %s", err.message);
    }
}

/* One whole spare, under its final name. */
static enum polarys_code spare_make(struct wal *wal, uint64_t spare_id, struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char from[VFS_PATH_MAX];
    char to[VFS_PATH_MAX];
    enum polarys_code code = wal_zeros_write(wal, spare_id, wal->options.segment_bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    wal_making_name(spare_id, name);
    code = vfs_path_join(from, wal->dir, name, err);
    if (code == POLARYS_OK) {
        wal_spare_name(spare_id, name);
        code = vfs_path_join(to, wal->dir, name, err);
    }
    return code == POLARYS_OK ? vfs_rename(wal->options.vfs, from, to, err) : code;
}

bool wal_prepare_is_due_locked(const struct wal *wal)
{
    bool is_far = wal->end_file_bytes < wal->options.segment_bytes ||
                  wal->end.offset >= wal->end_file_bytes / WAL_PREPARE_DIVISOR;
    return wal->spare_count == 0 && is_far;
}

uint32_t wal_spares_kept_locked(const struct wal *wal)
{
    uint32_t wanted = wal->burst_count + 1;
    wanted = wanted > WAL_SPARE_SEGMENTS_MIN ? wanted : WAL_SPARE_SEGMENTS_MIN;
    return wanted < WAL_SPARE_SEGMENTS_MAX ? wanted : WAL_SPARE_SEGMENTS_MAX;
}

void wal_spares_measure_locked(struct wal *wal)
{
    if (wal->begun_count >= wal->burst_count) {
        wal->burst_count = wal->begun_count;
        wal->calm_count = 0;
    } else if (++wal->calm_count == WAL_CALM_PRUNES) {
        wal->burst_count--;
        wal->calm_count = 0;
    }
    wal->begun_count = 0;
}

void wal_spares_trim(struct wal *wal)
{
    for (;;) {
        mutex_lock(&wal->mutex);
        bool is_surplus = wal->spare_count > wal_spares_kept_locked(wal);
        uint64_t spare_id = is_surplus ? wal->spare_ids[--wal->spare_count] : 0;
        mutex_unlock(&wal->mutex);
        if (!is_surplus) {
            return;
        }
        wal_spare_remove(wal, spare_id);
    }
}

/* The id of a spare to make; false when none is needed or the log is being closed. */
static bool prepare_next(struct wal *wal, uint64_t *spare_id)
{
    mutex_lock(&wal->mutex);
    bool is_wanted = !wal->is_closing && wal_prepare_is_due_locked(wal);
    if (is_wanted) {
        *spare_id = wal->spare_id_next++;
    } else {
        wal->is_preparing = false;
        condition_broadcast(&wal->prepared);
    }
    mutex_unlock(&wal->mutex);
    return is_wanted;
}

/* Records how making a spare ended; true when the next one may be tried. */
static bool prepare_note(struct wal *wal, uint64_t spare_id, enum polarys_code code)
{
    bool is_surplus = false;
    mutex_lock(&wal->mutex);
    wal->is_disk_low = code == POLARYS_DISK_LOW;
    wal->disk_low_at_ns = clock_monotonic_ns(wal->options.executor->clock);
    if (code != POLARYS_OK) {
        wal->is_preparing = false;
        condition_broadcast(&wal->prepared);
    } else if (wal->spare_count < WAL_SPARE_SEGMENTS_MAX) {
        wal->spare_ids[wal->spare_count++] = spare_id;
    } else {
        is_surplus = true;
    }
    mutex_unlock(&wal->mutex);
    if (is_surplus) {
        wal_spare_remove(wal, spare_id);
    }
    return code == POLARYS_OK;
}

static void prepare_run(struct task *task)
{
    struct wal *wal = (struct wal *)((char *)task - offsetof(struct wal, prepare_task));
    uint64_t spare_id;
    while (prepare_next(wal, &spare_id)) {
        struct polarys_error err = POLARYS_ERROR_INIT;
        enum polarys_code code = spare_make(wal, spare_id, &err);
        if (code != POLARYS_OK && code != POLARYS_CANCELLED) {
            polarys_log(POLARYS_LOG_WARN, "wal", "no spare log segment: %s", err.message);
        }
        /* After a failure the log may be closed, and freed, as soon as that is noted. */
        if (!prepare_note(wal, spare_id, code)) {
            return;
        }
    }
}

void wal_prepare_start(struct wal *wal)
{
    mutex_lock(&wal->mutex);
    bool is_starting = !wal->is_preparing && !wal->is_closing && wal_prepare_is_due_locked(wal);
    if (is_starting && wal->is_disk_low) {
        uint64_t now_ns = clock_monotonic_ns(wal->options.executor->clock);
        is_starting = now_ns - wal->disk_low_at_ns >= DISK_LOW_RETRY_NS;
    }
    if (is_starting) {
        wal->is_preparing = true;
        wal->prepare_task.run = prepare_run;
    }
    mutex_unlock(&wal->mutex);
    if (is_starting) {
        executor_submit(wal->options.executor, EXECUTOR_FLUSH, &wal->prepare_task);
    }
}

void wal_prepare_stop(struct wal *wal)
{
    mutex_lock(&wal->mutex);
    wal->is_closing = true;
    while (wal->is_preparing) {
        (void)executor_wait(wal->options.executor, &wal->prepared, &wal->mutex, 0);
    }
    mutex_unlock(&wal->mutex);
}

/* Whether the spare is one to keep: whole, by its size. */
static enum polarys_code spare_check(struct wal *wal, const char *path, bool *is_whole,
                                     struct polarys_error *err)
{
    struct vfs_file *file = NULL;
    uint64_t file_bytes = 0;
    enum polarys_code code = vfs_open(wal->options.vfs, path, VFS_READ, &file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_file_size(file, &file_bytes, err);
    vfs_close(file, NULL);
    *is_whole = file_bytes == wal->options.segment_bytes;
    return code;
}

static enum polarys_code spare_adopt(struct wal *wal, uint64_t spare_id, struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    bool is_whole = false;
    wal_spare_name(spare_id, name);
    enum polarys_code code = vfs_path_join(path, wal->dir, name, err);
    if (code == POLARYS_OK) {
        code = spare_check(wal, path, &is_whole, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (!is_whole || wal->spare_count == WAL_SPARE_SEGMENTS_MAX) {
        return vfs_remove(wal->options.vfs, path, err);
    }
    wal->spare_ids[wal->spare_count++] = spare_id;
    return POLARYS_OK;
}

enum polarys_code wal_spares_adopt(struct wal *wal, const struct wal_listing *listing,
                                   struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    wal->spare_id_next = 1;
    for (size_t i = 0; i < listing->making_count && code == POLARYS_OK; i++) {
        char name[VFS_NAME_MAX];
        char path[VFS_PATH_MAX];
        wal_making_name(listing->making_ids[i], name);
        code = vfs_path_join(path, wal->dir, name, err);
        if (code == POLARYS_OK) {
            code = vfs_remove(wal->options.vfs, path, err);
        }
        wal->spare_id_next = listing->making_ids[i] + 1;
    }
    for (size_t i = 0; i < listing->spare_count && code == POLARYS_OK; i++) {
        code = spare_adopt(wal, listing->spare_ids[i], err);
        if (wal->spare_id_next <= listing->spare_ids[i]) {
            wal->spare_id_next = listing->spare_ids[i] + 1;
        }
    }
    if (code == POLARYS_OK && wal->spare_count > 0) {
        /* A segment may have been renamed to a spare by a process that was killed before its sync. */
        code = vfs_sync_dir(wal->options.vfs, wal->dir, err);
    }
    return code;
}
