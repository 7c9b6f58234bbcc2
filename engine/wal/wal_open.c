/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the log for appending, closing it, and what it says about itself.
 *
 * An open never writes on in an old segment: it would seal other bytes under nonces that were used. It
 * syncs the newest segment before the new header names that segment's end, because recovery may have read
 * a frame that only the page cache held: written by a process that was killed before its sync.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/wal/wal_internal.h"

void wal_close(struct wal *wal)
{
    if (wal == NULL) {
        return;
    }
    wal_prepare_stop(wal);
    POLARYS_ASSERT(!wal->is_pruning);
    vfs_close(wal->file, NULL);
    aead_key_deinit(&wal->key);
    mutex_deinit(&wal->mutex);
    condition_deinit(&wal->prepared);
    condition_deinit(&wal->retired);
    free(wal->segments);
    free(wal->buffer);
    free(wal->payload);
    free(wal->dir);
    free(wal);
}

enum polarys_code wal_alloc(const struct wal_options *options, struct wal **out,
                            struct polarys_error *err)
{
    if (options->segment_bytes < WAL_SEGMENT_BYTES_MIN ||
        options->segment_bytes > WAL_SEGMENT_BYTES_MAX ||
        options->segment_bytes % WAL_BLOCK_SIZE != 0) {
        return polarys_fail(
            err, POLARYS_BAD_ARGUMENT,
            "log segments of %" PRIu64 " bytes: from %d to %d are allowed, in steps of %d",
            options->segment_bytes, WAL_SEGMENT_BYTES_MIN, WAL_SEGMENT_BYTES_MAX, WAL_BLOCK_SIZE);
    }
    struct wal *wal = calloc(1, sizeof(*wal));
    char *dir = strdup(options->dir);
    if (wal == NULL || dir == NULL) {
        free(wal);
        free(dir);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to open a log");
    }
    mutex_init(&wal->mutex, MUTEX_RANK_WAL);
    condition_init(&wal->prepared);
    condition_init(&wal->retired);
    wal->options = *options;
    wal->options.dir = dir;
    wal->dir = dir;
    wal->sync_mode = options->sync_mode;
    wal->pin_id_next = 1;
    *out = wal;
    return POLARYS_OK;
}

/* The directory, and its name in its parent. */
enum polarys_code wal_dir_make(struct wal *wal, struct polarys_error *err)
{
    bool exists = false;
    char parent[VFS_PATH_MAX];
    enum polarys_code code = vfs_exists(wal->options.vfs, wal->dir, &exists, err);
    if (code != POLARYS_OK || exists) {
        return code;
    }
    code = vfs_make_dir(wal->options.vfs, wal->dir, err);
    if (code != POLARYS_OK) {
        return code;
    }
    const char *slash = strrchr(wal->dir, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - wal->dir);
    if (size >= sizeof(parent)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the log's path is too long");
    }
    memcpy(parent, slash == NULL ? "." : wal->dir, slash == NULL ? 1 : size);
    parent[slash == NULL ? 1 : size] = '\0';
    return vfs_sync_dir(wal->options.vfs, slash == wal->dir ? "/" : parent, err);
}

/* Makes what recovery read of the newest segment as durable as the header that will name it. */
static enum polarys_code predecessor_sync(struct wal *wal, uint64_t segment_id,
                                          struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    struct vfs_file *file = NULL;
    wal_segment_name(segment_id, name);
    enum polarys_code code = vfs_path_join(path, wal->dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_open(wal->options.vfs, path, VFS_READ | VFS_WRITE, &file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_sync(file, err);
        vfs_close(file, NULL);
    }
    return code == POLARYS_OK ? POLARYS_OK : polarys_wrap(err, code, "sync log segment %s", path);
}

/*
 * Lists the segments that are there, for retention. One whose header cannot be read lies below what
 * recovery needed; it gets its successor's first version, which keeps its predecessor longer, never
 * shorter.
 */
static enum polarys_code segments_list(struct wal *wal, const struct wal_listing *listing,
                                       struct polarys_error *err)
{
    size_t capacity = listing->segment_count + 16;
    wal->segments = calloc(capacity, sizeof(*wal->segments));
    if (wal->segments == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to list %zu log segments",
                            listing->segment_count);
    }
    wal->segment_capacity = capacity;
    wal->segment_count = listing->segment_count;
    uint64_t first_version = UINT64_MAX;
    uint64_t valid_bytes = 0;
    for (size_t i = listing->segment_count; i-- > 0;) {
        struct wal_segment *segment = &wal->segments[i];
        struct wal_header header;
        struct polarys_error ignored = POLARYS_ERROR_INIT;
        segment->segment_id = listing->segment_ids[i];
        enum polarys_code code = wal_header_read(wal->options.vfs, wal->dir, segment->segment_id,
                                                 &header, &segment->file_bytes, &ignored);
        segment->valid_bytes = valid_bytes;
        if (code == POLARYS_OK) {
            first_version = header.first_version;
            valid_bytes = header.predecessor.offset;
        } else if (code == POLARYS_IO || code == POLARYS_NO_MEMORY) {
            *err = ignored;
            return code;
        }
        segment->first_version = first_version;
    }
    return POLARYS_OK;
}

/* Lists the directory and checks that the log ends where the caller says. */
enum polarys_code wal_state_load(struct wal *wal, const struct wal_position *end,
                                 struct polarys_error *err)
{
    struct wal_listing listing;
    enum polarys_code code = wal_listing_read(wal->options.vfs, wal->dir, &listing, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint64_t newest_id =
        listing.segment_count == 0 ? 0 : listing.segment_ids[listing.segment_count - 1];
    if (newest_id != end->segment_id) {
        code = polarys_fail(err, POLARYS_BUG, "the newest log segment is %" PRIu64 ", not %" PRIu64,
                            newest_id, end->segment_id);
    }
    if (code == POLARYS_OK) {
        code = segments_list(wal, &listing, err);
    }
    if (code == POLARYS_OK) {
        code = wal_spares_adopt(wal, &listing, err);
    }
    if (code == POLARYS_OK && newest_id != 0) {
        code = predecessor_sync(wal, newest_id, err);
    }
    wal_listing_deinit(&listing);
    return code;
}

/* The first segment of this open, and the way it is written. */
static enum polarys_code segment_first(struct wal *wal, uint64_t first_version,
                                       struct polarys_error *err)
{
    struct wal_raw_file raw;
    bool is_harmless = false;
    enum polarys_code code = wal_raw_file_take(wal, WAL_SEGMENT_BYTES_MIN, &raw, err);
    if (code == POLARYS_OK && wal->sync_mode == WAL_SYNC_AUTO) {
        code = wal_probe(wal, &raw, err);
    }
    return code == POLARYS_OK ? wal_segment_begin(wal, &raw, first_version, &is_harmless, err)
                              : code;
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing. */
enum polarys_code wal_open(const struct wal_options *options, const struct wal_position *end,
                           uint64_t first_version, uint64_t term,
                           const uint8_t history_id[HISTORY_ID_SIZE], struct wal **out,
                           struct polarys_error *err)
{
    struct wal *wal = NULL;
    *out = NULL;
    enum polarys_code code = wal_alloc(options, &wal, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    wal->term = term;
    memcpy(wal->history_id, history_id, HISTORY_ID_SIZE);
    wal->end = *end;
    code = wal_dir_make(wal, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = wal_state_load(wal, end, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = segment_first(wal, first_version, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    wal_prepare_start(wal);
    *out = wal;
    return POLARYS_OK;

fail:
    wal_close(wal);
    return polarys_wrap(err, code, "open log %s", options->dir);
}

void wal_position_get(struct wal *wal, struct wal_position *end)
{
    mutex_lock(&wal->mutex);
    *end = wal->end;
    mutex_unlock(&wal->mutex);
}

bool wal_has_room(struct wal *wal, size_t payload_size)
{
    mutex_lock(&wal->mutex);
    bool has_space = !wal->is_disk_low;
    bool has_room =
        has_space || wal->end.offset + wal_frame_stored_size(payload_size) <= wal->end_file_bytes ||
        (wal->spare_count > 0 && WAL_SEGMENT_HEADER_SIZE + wal_frame_stored_size(payload_size) <=
                                     wal->options.segment_bytes);
    mutex_unlock(&wal->mutex);
    if (!has_space) {
        wal_prepare_start(wal);
    }
    return has_room;
}

void wal_stats_get(struct wal *wal, struct wal_stats *stats)
{
    mutex_lock(&wal->mutex);
    *stats = wal->stats;
    stats->segment_count = wal->segment_count;
    stats->bytes = 0;
    for (size_t i = 0; i < wal->segment_count; i++) {
        stats->bytes += wal->segments[i].file_bytes;
    }
    stats->spare_count = wal->spare_count;
    stats->oldest_segment_id = wal->segment_count == 0 ? 0 : wal->segments[0].segment_id;
    mutex_unlock(&wal->mutex);
    stats->sync_mode = wal->sync_mode;
    stats->probed_sync_ns = wal->probed_sync_ns;
}
