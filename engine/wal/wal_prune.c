/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention: which segments go, and pins that keep them.
 *
 * Segments go from the oldest on, one at a time, the directory synced after each, so that a crash never
 * leaves a gap among those that remain, and a file is not written on while its old name could come back.
 *
 * One that goes keeps its blocks and its bytes as a spare, where one is wanted. Its old frames cannot be
 * taken for new ones: they carry the old segment id, and do not authenticate under the new salt.
 */
#include <inttypes.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"

/* The lowest segment that a pin keeps; UINT64_MAX when there is none. */
static uint64_t pinned_lowest_locked(const struct wal *wal)
{
    uint64_t lowest = wal->shared_pin_count > 0 ? wal->shared_pin_segment_id : UINT64_MAX;
    for (size_t i = 0; i < WAL_KEEPERS; i++) {
        uint64_t kept_id = wal->keep_segment_ids[i];
        lowest = kept_id != 0 && kept_id < lowest ? kept_id : lowest;
    }
    for (size_t i = 0; i < WAL_PINS_MAX; i++) {
        if (wal->pins[i].pin_id != 0 && wal->pins[i].segment_id < lowest) {
            lowest = wal->pins[i].segment_id;
        }
    }
    return lowest;
}

/* True when the oldest segment may go and leaves `keep_bytes`; the current one never does. */
static bool victim_find_locked(const struct wal *wal, uint64_t version, uint64_t keep_bytes,
                               struct wal_segment *victim)
{
    if (wal->segment_count < 2) {
        return false;
    }
    const struct wal_segment *oldest = &wal->segments[0];
    uint64_t last_version =
        oldest->last_version != 0 ? oldest->last_version : wal->segments[1].first_version - 1;
    uint64_t total_bytes = 0;
    for (size_t i = 0; i < wal->segment_count; i++) {
        total_bytes += wal->segments[i].file_bytes;
    }
    *victim = *oldest;
    return last_version <= version && oldest->segment_id < pinned_lowest_locked(wal) &&
           total_bytes - oldest->file_bytes >= keep_bytes;
}

/*
 * Takes the victim out of the directory: as a spare where one is wanted. `*is_gone` when its name is no
 * longer there; a spare may only be used once that is durable.
 */
static enum polarys_code victim_retire(struct wal *wal, const struct wal_segment *victim,
                                       uint64_t *spare_id, bool *is_gone, struct polarys_error *err)
{
    struct vfs *vfs = wal->options.vfs;
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    char spare_path[VFS_PATH_MAX];
    *is_gone = false;
    wal_segment_name(victim->segment_id, name);
    enum polarys_code code = vfs_path_join(path, wal->dir, name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    mutex_lock(&wal->mutex);
    bool is_wanted = victim->file_bytes == wal->options.segment_bytes &&
                     wal->spare_count < wal_spares_kept_locked(wal);
    *spare_id = is_wanted ? wal->spare_id_next++ : 0;
    mutex_unlock(&wal->mutex);
    if (is_wanted) {
        wal_spare_name(*spare_id, name);
        code = vfs_path_join(spare_path, wal->dir, name, err);
        if (code == POLARYS_OK) {
            code = vfs_rename(vfs, path, spare_path, err);
        }
    } else {
        code = vfs_remove(vfs, path, err);
    }
    *is_gone = code == POLARYS_OK;
    if (code == POLARYS_OK) {
        code = vfs_sync_dir(vfs, wal->dir, err);
    }
    return code == POLARYS_OK ? POLARYS_OK : polarys_wrap(err, code, "prune log segment %s", path);
}

/* Drops the oldest segment from the list; true when its spare is one too many by now. */
static bool victim_forget_locked(struct wal *wal, const struct wal_segment *victim,
                                 uint64_t spare_id)
{
    POLARYS_ASSERT(wal->segment_count >= 2);
    POLARYS_ASSERT(wal->segments[0].segment_id == victim->segment_id);
    wal->segment_count--;
    memmove(wal->segments, wal->segments + 1, wal->segment_count * sizeof(wal->segments[0]));
    wal->is_disk_low = false;
    if (spare_id != 0 && wal->spare_count < WAL_SPARE_SEGMENTS_MAX) {
        wal->spare_ids[wal->spare_count++] = spare_id;
        wal->stats.recycled_count++;
        return false;
    }
    return spare_id != 0;
}

/* Retires one segment. REQUIRES: is_pruning and retiring_segment_id are the caller's. */
static enum polarys_code victim_prune(struct wal *wal, const struct wal_segment *victim,
                                      struct polarys_error *err)
{
    uint64_t spare_id = 0;
    bool is_gone = false;
    bool is_surplus = false;
    enum polarys_code code = victim_retire(wal, victim, &spare_id, &is_gone, err);
    if (is_gone) {
        mutex_lock(&wal->mutex);
        is_surplus = victim_forget_locked(wal, victim, code == POLARYS_OK ? spare_id : 0);
        mutex_unlock(&wal->mutex);
    }
    if (is_surplus) {
        wal_spare_remove(wal, spare_id);
    }
    return code;
}

enum polarys_code wal_prune(struct wal *wal, uint64_t version, struct polarys_error *err)
{
    return wal_prune_beyond(wal, version, 0, err);
}

enum polarys_code wal_prune_beyond(struct wal *wal, uint64_t version, uint64_t keep_bytes,
                                   struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    keep_bytes = keep_bytes > wal->options.keep_bytes ? keep_bytes : wal->options.keep_bytes;
    struct wal_segment victim;
    mutex_lock(&wal->mutex);
    bool is_mine = !wal->is_pruning;
    wal->is_pruning = true;
    bool has_victim = is_mine && victim_find_locked(wal, version, keep_bytes, &victim);
    if (has_victim) {
        wal_spares_measure_locked(wal);
    }
    while (has_victim && code == POLARYS_OK) {
        wal->retiring_segment_id = victim.segment_id;
        mutex_unlock(&wal->mutex);
        code = victim_prune(wal, &victim, err);
        mutex_lock(&wal->mutex);
        wal->retiring_segment_id = 0;
        condition_broadcast(&wal->retired);
        has_victim = victim_find_locked(wal, version, keep_bytes, &victim);
    }
    mutex_unlock(&wal->mutex);
    if (is_mine) {
        wal_spares_trim(wal);
        mutex_lock(&wal->mutex);
        wal->is_pruning = false;
        mutex_unlock(&wal->mutex);
    }
    wal_prepare_start(wal);
    return code;
}

void wal_keep_from(struct wal *wal, enum wal_keeper keeper, uint64_t segment_id)
{
    mutex_lock(&wal->mutex);
    wal->keep_segment_ids[keeper] = segment_id;
    mutex_unlock(&wal->mutex);
}

/* Bytes of the segment in which the log lies. */
static uint64_t segment_bytes_locked(const struct wal *wal, const struct wal_segment *segment)
{
    bool is_newest = segment->segment_id == wal->end.segment_id;
    return is_newest ? wal->end.offset : segment->valid_bytes;
}

uint64_t wal_bytes_between(struct wal *wal, const struct wal_position *from,
                           const struct wal_position *to)
{
    uint64_t bytes = 0;
    mutex_lock(&wal->mutex);
    for (size_t i = 0; i < wal->segment_count; i++) {
        const struct wal_segment *segment = &wal->segments[i];
        if (segment->segment_id >= from->segment_id && segment->segment_id <= to->segment_id) {
            uint64_t end = segment->segment_id == to->segment_id
                               ? to->offset
                               : segment_bytes_locked(wal, segment);
            uint64_t start = segment->segment_id == from->segment_id ? from->offset : 0;
            bytes += end > start ? end - start : 0;
        }
    }
    mutex_unlock(&wal->mutex);
    return bytes;
}

void wal_pin(struct wal *wal, uint64_t segment_id, uint64_t *pin_id)
{
    *pin_id = 0;
    mutex_lock(&wal->mutex);
    for (size_t i = 0; i < WAL_PINS_MAX && *pin_id == 0; i++) {
        if (wal->pins[i].pin_id == 0) {
            *pin_id = wal->pin_id_next++;
            wal->pins[i].pin_id = *pin_id;
            wal->pins[i].segment_id = segment_id;
        }
    }
    if (*pin_id == 0) {
        if (wal->shared_pin_count == 0 || segment_id < wal->shared_pin_segment_id) {
            wal->shared_pin_segment_id = segment_id;
        }
        wal->shared_pin_count++;
    }
    /* One that is on its way out is still listed: the pin comes too late for it, and may not seem not to. */
    while (wal->retiring_segment_id >= segment_id && wal->retiring_segment_id != 0) {
        (void)executor_wait(wal->options.executor, &wal->retired, &wal->mutex, 0);
    }
    mutex_unlock(&wal->mutex);
}

void wal_unpin(struct wal *wal, uint64_t pin_id)
{
    bool is_found = false;
    mutex_lock(&wal->mutex);
    if (pin_id == 0) {
        is_found = wal->shared_pin_count > 0;
        wal->shared_pin_count -= is_found ? 1 : 0;
    }
    for (size_t i = 0; i < WAL_PINS_MAX && !is_found; i++) {
        if (wal->pins[i].pin_id == pin_id) {
            wal->pins[i].pin_id = 0;
            is_found = true;
        }
    }
    mutex_unlock(&wal->mutex);
    POLARYS_ASSERT(is_found);
}
