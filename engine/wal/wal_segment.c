/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth of a segment.
 *
 * Order of effects: the raw file is whole and synced → the header is written and synced under the raw
 * file's own name → renamed to the segment's name → the directory synced → frames. So a segment's name
 * never stands before a torn header, and no frame lies in a file whose name could still be lost.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"

unsigned wal_sync_mode_flags(enum wal_sync_mode mode)
{
    switch (mode) {
    case WAL_SYNC_DSYNC:
        return VFS_WRITE | VFS_DSYNC;
    case WAL_SYNC_DIRECT:
        return VFS_WRITE | VFS_DSYNC | VFS_DIRECT;
    case WAL_SYNC_AUTO:
    case WAL_SYNC_FDATASYNC:
        break;
    }
    return VFS_WRITE;
}

enum polarys_code wal_buffer_reserve(struct wal *wal, size_t size, struct polarys_error *err)
{
    if (size <= wal->buffer_size) {
        return POLARYS_OK;
    }
    size = (size + VFS_ALIGNMENT - 1) & ~(size_t)(VFS_ALIGNMENT - 1);
    if (size < WAL_BUFFER_KEEP_BYTES && size < 2 * wal->buffer_size) {
        size = 2 * wal->buffer_size;
    }
    uint8_t *buffer = aligned_alloc(VFS_ALIGNMENT, size);
    if (buffer == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a log frame of %zu bytes", size);
    }
    free(wal->buffer);
    wal->buffer = buffer;
    wal->buffer_size = size;
    return POLARYS_OK;
}

/* Takes the oldest spare; false when none is ready or it is too small. */
static bool spare_take(struct wal *wal, uint64_t bytes_min, struct wal_raw_file *raw)
{
    bool is_taken = false;
    mutex_lock(&wal->mutex);
    if (wal->spare_count > 0 && bytes_min <= wal->options.segment_bytes) {
        wal_spare_name(wal->spare_ids[0], raw->name);
        raw->file_bytes = wal->options.segment_bytes;
        wal->spare_count--;
        memmove(wal->spare_ids, wal->spare_ids + 1, wal->spare_count * sizeof(wal->spare_ids[0]));
        is_taken = true;
    }
    mutex_unlock(&wal->mutex);
    return is_taken;
}

enum polarys_code wal_raw_file_take(struct wal *wal, uint64_t bytes_min, struct wal_raw_file *raw,
                                    struct polarys_error *err)
{
    POLARYS_ASSERT(bytes_min % WAL_BLOCK_SIZE == 0);
    if (spare_take(wal, bytes_min, raw)) {
        return POLARYS_OK;
    }
    uint64_t quick_bytes = wal->options.segment_bytes < WAL_QUICK_BYTES ? wal->options.segment_bytes
                                                                        : (uint64_t)WAL_QUICK_BYTES;
    raw->file_bytes = bytes_min > quick_bytes ? bytes_min : quick_bytes;
    mutex_lock(&wal->mutex);
    uint64_t spare_id = wal->spare_id_next++;
    mutex_unlock(&wal->mutex);
    wal_making_name(spare_id, raw->name);
    enum polarys_code code = wal_zeros_write(wal, spare_id, raw->file_bytes, err);
    mutex_lock(&wal->mutex);
    wal->is_disk_low = code == POLARYS_DISK_LOW;
    wal->disk_low_at_ns = clock_monotonic_ns(wal->options.executor->clock);
    mutex_unlock(&wal->mutex);
    return code;
}

/* Seals the header into wal->buffer and keys wal->key. */
static enum polarys_code header_seal(struct wal *wal, struct wal_header *header,
                                     struct aead_key *key, struct polarys_error *err)
{
    memcpy(header->store_id, keyring_store_id(wal->options.keyring), STORE_ID_SIZE);
    memcpy(header->history_id, wal->history_id, HISTORY_ID_SIZE);
    header->term = wal->term;
    header->key_id = keyring_active_id(wal->options.keyring);
    enum polarys_code code =
        random_fill(wal->options.random, header->salt, sizeof(header->salt), err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = wal_segment_key(wal->options.keyring, header, key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    wal_header_put(header, wal->buffer);
    code = aead_seal(key, WAL_ORDINAL_HEADER, wal_header_sealed(wal->buffer), NULL, 0, NULL,
                     header->tag, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(wal->buffer + WAL_HEADER_TAG_OFFSET, header->tag, AEAD_TAG_SIZE);
    wal_header_put_checksum(wal->buffer);
    return POLARYS_OK;
}

/* A place in the list, so that the step that cannot be undone cannot fail for memory. */
static enum polarys_code segments_reserve(struct wal *wal, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&wal->mutex);
    if (wal->segment_count >= WAL_SEGMENTS_MAX) {
        code = POLARYS_DISK_LOW;
    } else if (wal->segment_count == wal->segment_capacity) {
        size_t capacity = wal->segment_capacity == 0 ? 16 : 2 * wal->segment_capacity;
        struct wal_segment *segments = realloc(wal->segments, capacity * sizeof(*segments));
        if (segments == NULL) {
            code = POLARYS_NO_MEMORY;
        } else {
            wal->segments = segments;
            wal->segment_capacity = capacity;
        }
    }
    mutex_unlock(&wal->mutex);
    if (code == POLARYS_DISK_LOW) {
        return polarys_fail(err, code, "the log has %d segments, the most there may be",
                            WAL_SEGMENTS_MAX);
    }
    return code == POLARYS_OK ? POLARYS_OK
                              : polarys_fail(err, code, "no memory to list another segment");
}

/* Writes the header in wal->buffer and gives the file its name, both durably. */
static enum polarys_code header_write(struct wal *wal, const char *raw_path,
                                      const char *segment_path, struct vfs_file **out,
                                      bool *is_harmless, struct polarys_error *err)
{
    struct vfs *vfs = wal->options.vfs;
    struct vfs_file *file = NULL;
    enum polarys_code code =
        vfs_open(vfs, raw_path, wal_sync_mode_flags(wal->sync_mode), &file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_write_at(file, 0, wal->buffer, WAL_SEGMENT_HEADER_SIZE, err);
    if (code == POLARYS_OK && wal->sync_mode == WAL_SYNC_FDATASYNC) {
        code = vfs_sync(file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_rename(vfs, raw_path, segment_path, err);
        *is_harmless = code != POLARYS_OK;
    }
    if (code == POLARYS_OK) {
        code = vfs_sync_dir(vfs, wal->dir, err);
    }
    if (code != POLARYS_OK) {
        vfs_close(file, NULL);
        return code;
    }
    *out = file;
    return POLARYS_OK;
}

/* Makes the new segment the one that is written; cannot fail. */
static void segment_install(struct wal *wal, const struct wal_header *header,
                            struct vfs_file *take_file, const struct aead_key *key)
{
    vfs_close(wal->file, NULL);
    wal->file = take_file;
    aead_key_deinit(&wal->key);
    wal->key = *key;
    wal->ordinal_next = WAL_ORDINAL_FIRST;
    mutex_lock(&wal->mutex);
    POLARYS_ASSERT(wal->segment_count < wal->segment_capacity);
    if (wal->segment_count > 0) {
        wal->segments[wal->segment_count - 1].valid_bytes = wal->end.offset;
    }
    struct wal_segment *segment = &wal->segments[wal->segment_count++];
    segment->segment_id = header->segment_id;
    segment->first_version = header->first_version;
    segment->last_version = 0;
    segment->file_bytes = header->file_bytes;
    segment->valid_bytes = 0;
    wal->end.segment_id = header->segment_id;
    wal->end.offset = WAL_SEGMENT_HEADER_SIZE;
    memcpy(wal->end.tag, header->tag, AEAD_TAG_SIZE);
    wal->end_file_bytes = header->file_bytes;
    wal->begun_count++;
    mutex_unlock(&wal->mutex);
}

enum polarys_code wal_segment_place(struct wal *wal, const struct wal_raw_file *raw,
                                    const struct wal_header *header, const struct aead_key *key,
                                    bool *is_harmless, struct polarys_error *err)
{
    char raw_path[VFS_PATH_MAX];
    char segment_path[VFS_PATH_MAX];
    char name[VFS_NAME_MAX];
    struct vfs_file *file = NULL;
    wal_segment_name(header->segment_id, name);
    *is_harmless = true;
    enum polarys_code code = vfs_path_join(raw_path, wal->dir, raw->name, err);
    if (code == POLARYS_OK) {
        code = vfs_path_join(segment_path, wal->dir, name, err);
    }
    if (code == POLARYS_OK) {
        code = segments_reserve(wal, err);
    }
    if (code == POLARYS_OK) {
        code = header_write(wal, raw_path, segment_path, &file, is_harmless, err);
    }
    if (code != POLARYS_OK) {
        if (*is_harmless) {
            /* Space is short or the disk is failing: the next open removes what stays behind. */
            (void)!vfs_remove(wal->options.vfs, raw_path, NULL);
        }
        return polarys_wrap(err, code, "begin log segment %s", name);
    }
    segment_install(wal, header, file, key);
    return POLARYS_OK;
}

enum polarys_code wal_segment_begin(struct wal *wal, const struct wal_raw_file *raw,
                                    uint64_t first_version, bool *is_harmless,
                                    struct polarys_error *err)
{
    struct aead_key key = {.identity = 0};
    struct wal_header header = {.segment_id = wal->end.segment_id + 1,
                                .first_version = first_version,
                                .predecessor = wal->end,
                                .file_bytes = raw->file_bytes};
    *is_harmless = true;
    enum polarys_code code = wal_buffer_reserve(wal, WAL_SEGMENT_HEADER_SIZE, err);
    if (code == POLARYS_OK) {
        code = header_seal(wal, &header, &key, err);
    }
    if (code == POLARYS_OK) {
        code = wal_segment_place(wal, raw, &header, &key, is_harmless, err);
    } else {
        code = polarys_wrap(err, code, "begin log segment %" PRIu64, header.segment_id);
    }
    aead_key_deinit(&key);
    return code;
}
