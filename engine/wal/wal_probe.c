/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way of making a 4 KiB write durable is the fastest on this disk.
 *
 * The ways take turns in the body of a segment that is about to be used, a few writes each, within a
 * budget of time; the median decides. The order of the candidates decides ties, as with a clock that
 * does not move.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"

enum {
    PROBE_WRITES_MAX = 7,
    PROBE_WRITES_MIN = 1,
    PROBE_BUDGET_NS = 20 * 1000 * 1000,
    PROBE_MODES_MAX = 3,
};

struct probe_candidate {
    enum wal_sync_mode mode;
    struct vfs_file *file; /* NULL when the file system refuses the mode */
    uint64_t times_ns[PROBE_WRITES_MAX];
    uint32_t write_count;
};

static int time_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t candidate_median(struct probe_candidate *candidate)
{
    POLARYS_ASSERT(candidate->write_count > 0);
    qsort(candidate->times_ns, candidate->write_count, sizeof(candidate->times_ns[0]),
          time_compare);
    return candidate->times_ns[candidate->write_count / 2];
}

/* One timed write. A file system that refuses direct writes ends that candidate, not the probe. */
static enum polarys_code candidate_write(struct wal *wal, struct probe_candidate *candidate,
                                         uint64_t offset, struct polarys_error *err)
{
    struct clock *clock = wal->options.executor->clock;
    uint64_t start_ns = clock_monotonic_ns(clock);
    enum polarys_code code =
        vfs_write_at(candidate->file, offset, wal->buffer, WAL_BLOCK_SIZE, err);
    if (code != POLARYS_OK && candidate->mode == WAL_SYNC_DIRECT) {
        vfs_close(candidate->file, NULL);
        candidate->file = NULL;
        candidate->write_count = 0;
        return POLARYS_OK;
    }
    if (code == POLARYS_OK && candidate->mode == WAL_SYNC_FDATASYNC) {
        code = vfs_sync(candidate->file, err);
    }
    if (code == POLARYS_OK) {
        candidate->times_ns[candidate->write_count++] = clock_monotonic_ns(clock) - start_ns;
    }
    return code;
}

static enum polarys_code probe_run(struct wal *wal, struct probe_candidate *candidates,
                                   struct polarys_error *err)
{
    struct clock *clock = wal->options.executor->clock;
    uint64_t start_ns = clock_monotonic_ns(clock);
    uint64_t offset = WAL_SEGMENT_HEADER_SIZE;
    memset(wal->buffer, 0, WAL_BLOCK_SIZE);
    for (uint32_t round = 0; round < PROBE_WRITES_MAX; round++) {
        if (round >= PROBE_WRITES_MIN && clock_monotonic_ns(clock) - start_ns > PROBE_BUDGET_NS) {
            break;
        }
        for (uint32_t i = 0; i < PROBE_MODES_MAX; i++) {
            if (candidates[i].file == NULL) {
                continue;
            }
            enum polarys_code code = candidate_write(wal, &candidates[i], offset, err);
            if (code != POLARYS_OK) {
                return code;
            }
            offset += WAL_BLOCK_SIZE;
        }
    }
    return POLARYS_OK;
}

enum polarys_code wal_probe(struct wal *wal, const struct wal_raw_file *raw,
                            struct polarys_error *err)
{
    struct probe_candidate candidates[PROBE_MODES_MAX] = {
        {.mode = WAL_SYNC_DSYNC}, {.mode = WAL_SYNC_FDATASYNC}, {.mode = WAL_SYNC_DIRECT}};
    char path[VFS_PATH_MAX];
    POLARYS_ASSERT(raw->file_bytes >=
                   (uint64_t)WAL_BLOCK_SIZE * (1 + PROBE_MODES_MAX * PROBE_WRITES_MAX));
    enum polarys_code code = vfs_path_join(path, wal->dir, raw->name, err);
    if (code == POLARYS_OK) {
        code = wal_buffer_reserve(wal, WAL_BLOCK_SIZE, err);
    }
    for (uint32_t i = 0; i < PROBE_MODES_MAX && code == POLARYS_OK; i++) {
        code = vfs_open(wal->options.vfs, path, wal_sync_mode_flags(candidates[i].mode),
                        &candidates[i].file, err);
        if (code != POLARYS_OK && candidates[i].mode == WAL_SYNC_DIRECT) {
            candidates[i].file = NULL;
            code = POLARYS_OK;
        }
    }
    if (code == POLARYS_OK) {
        code = probe_run(wal, candidates, err);
    }
    wal->sync_mode = WAL_SYNC_DSYNC;
    wal->probed_sync_ns = UINT64_MAX;
    for (uint32_t i = 0; i < PROBE_MODES_MAX; i++) {
        vfs_close(candidates[i].file, NULL);
        if (code != POLARYS_OK || candidates[i].write_count == 0) {
            continue;
        }
        uint64_t median_ns = candidate_median(&candidates[i]);
        if (median_ns < wal->probed_sync_ns) {
            wal->sync_mode = candidates[i].mode;
            wal->probed_sync_ns = median_ns;
        }
    }
    if (code == POLARYS_OK) {
        polarys_error_clear(err);
    }
    return code == POLARYS_OK ? POLARYS_OK : polarys_wrap(err, code, "probe the log's disk");
}
