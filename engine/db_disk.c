/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk space: a low-water mark, and a ballast file that is given up when the mark is reached, so that
 * deletes and compaction still have room.
 *
 * Invariant: while the disk is low, commits with puts are refused before they are queued; reads and
 * deletes go on. Normal service comes back by itself once the ballast could be made again.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"

enum { BALLAST_CHUNK_BYTES = 1 << 20 };

static const char ballast_name[] = "ballast";

static enum polarys_code ballast_path(const struct polarys_db *db, char *path,
                                      struct polarys_error *err)
{
    return vfs_path_join(path, db->dir, ballast_name, err);
}

static enum polarys_code ballast_fill(struct vfs_file *file, uint64_t from, uint64_t size,
                                      struct polarys_error *err)
{
    /* Not zeros: a file system that compresses would keep nothing free with them. */
    uint8_t *chunk = malloc(BALLAST_CHUNK_BYTES);
    if (chunk == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to write the ballast");
    }
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < BALLAST_CHUNK_BYTES; i += sizeof(state)) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(chunk + i, &state, sizeof(state));
    }
    enum polarys_code code = POLARYS_OK;
    for (uint64_t at = from; at < size && code == POLARYS_OK; at += BALLAST_CHUNK_BYTES) {
        uint64_t left = size - at;
        size_t part = left < BALLAST_CHUNK_BYTES ? (size_t)left : (size_t)BALLAST_CHUNK_BYTES;
        code = vfs_write_at(file, at, chunk, part, err);
    }
    free(chunk);
    return code == POLARYS_OK ? vfs_sync(file, err) : code;
}

/* Makes the file unless it is there in full size. */
static enum polarys_code ballast_make(struct polarys_db *db, struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    struct vfs_file *file = NULL;
    uint64_t size = 0;
    enum polarys_code code = ballast_path(db, path, err);
    if (code == POLARYS_OK) {
        code = vfs_open(db->vfs, path, VFS_READ | VFS_WRITE | VFS_CREATE, &file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_file_size(file, &size, err);
    }
    if (code == POLARYS_OK && size > db->settings.disk_reserve_bytes) {
        code = vfs_truncate(file, db->settings.disk_reserve_bytes, err);
    } else if (code == POLARYS_OK && size < db->settings.disk_reserve_bytes) {
        code = ballast_fill(file, size, db->settings.disk_reserve_bytes, err);
    }
    enum polarys_code close_code = vfs_close(file, code == POLARYS_OK ? err : NULL);
    code = code == POLARYS_OK ? close_code : code;
    db->has_ballast = code == POLARYS_OK;
    return code;
}

static void ballast_release(struct polarys_db *db)
{
    char path[VFS_PATH_MAX];
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = ballast_path(db, path, &err);
    if (code == POLARYS_OK) {
        code = vfs_remove(db->vfs, path, &err);
    }
    if (code != POLARYS_OK && code != POLARYS_FILE_NOT_FOUND) {
        polarys_log(POLARYS_LOG_WARN, "store", "release the ballast: %s", err.message);
    }
    db->has_ballast = false;
}

static void become_low(struct polarys_db *db, uint64_t free_bytes)
{
    if (!atomic_exchange(&db->is_disk_low, true)) {
        polarys_log(POLARYS_LOG_WARN, "store",
                    "the disk is low (%llu bytes free): puts are refused until space returns",
                    (unsigned long long)free_bytes);
    }
    /* Every time, not only the first: a ballast that was being made may be half there. */
    ballast_release(db);
}

static void try_recover(struct polarys_db *db)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (ballast_make(db, &err) != POLARYS_OK) {
        ballast_release(db);
        return;
    }
    atomic_store(&db->is_disk_low, false);
    polarys_log(POLARYS_LOG_INFO, "store", "space has returned: puts are served again");
    commit_wake(db->commit);
}

void db_disk_check(struct polarys_db *db)
{
    uint64_t reserve = db->settings.disk_reserve_bytes;
    struct polarys_error err = POLARYS_ERROR_INIT;
    uint64_t free_bytes;
    enum polarys_code code = vfs_free_bytes(db->vfs, db->dir, &free_bytes, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "ask for free space: %s", err.message);
        return;
    }
    atomic_store(&db->disk_free_bytes, free_bytes);
    bool is_low = atomic_load(&db->is_disk_low);
    if (reserve == 0) {
        /* No mark to watch: believe that space is back, and be told again if not. */
        atomic_store(&db->is_disk_low, false);
        return;
    }
    if (is_low) {
        /* Half a reserve more than the mark, or service would flap. */
        if (free_bytes >= reserve * 2 + reserve / 2) {
            try_recover(db);
        } else if (db->has_ballast) {
            ballast_release(db);
        }
        return;
    }
    if (free_bytes < reserve) {
        become_low(db, free_bytes);
    } else if (!db->has_ballast && ballast_make(db, &err) != POLARYS_OK) {
        become_low(db, free_bytes);
    }
}

void db_disk_note_low(struct polarys_db *db)
{
    /* The next check releases the ballast: this may be called from the log role. */
    if (!atomic_exchange(&db->is_disk_low, true)) {
        polarys_log(POLARYS_LOG_WARN, "store",
                    "a write found the disk full: puts are refused "
                    "until space returns");
    }
}

enum polarys_code db_disk_allow_put(struct polarys_db *db, struct polarys_error *err)
{
    if (!atomic_load_explicit(&db->is_disk_low, memory_order_relaxed)) {
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_fail(
        err, POLARYS_DISK_LOW, "the disk is low: %llu bytes free, %llu are kept in reserve",
        (unsigned long long)atomic_load(&db->disk_free_bytes),
        (unsigned long long)db->settings.disk_reserve_bytes);
    if (err != NULL) {
        err->retry_after_ms = DB_RETRY_AFTER_MS;
    }
    return code;
}
