/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a log's directory: segments, spares, and files that were being made. Names that are none
 * of these are left alone. Reads only.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/wal/wal_internal.h"

enum { LISTING_NAMES_MAX = WAL_SEGMENTS_MAX };

struct id_list {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};

struct lister {
    struct id_list segments;
    struct id_list spares;
    struct id_list makings;
    enum polarys_code code;
};

static enum polarys_code id_list_add(struct id_list *list, uint64_t id)
{
    if (list->count == LISTING_NAMES_MAX) {
        return POLARYS_TOO_LARGE;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        uint64_t *ids = realloc(list->ids, capacity * sizeof(*ids));
        if (ids == NULL) {
            return POLARYS_NO_MEMORY;
        }
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return POLARYS_OK;
}

static void lister_each(void *context, const char *name)
{
    struct lister *lister = context;
    uint64_t id;
    enum polarys_code code = POLARYS_OK;
    if (wal_segment_name_take(name, &id)) {
        code = id_list_add(&lister->segments, id);
    } else if (wal_spare_name_take(name, &id)) {
        code = id_list_add(&lister->spares, id);
    } else if (wal_making_name_take(name, &id)) {
        code = id_list_add(&lister->makings, id);
    }
    if (code != POLARYS_OK && lister->code == POLARYS_OK) {
        lister->code = code;
    }
}

static int id_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void id_list_sort(struct id_list *list)
{
    if (list->count > 1) {
        qsort(list->ids, list->count, sizeof(list->ids[0]), id_compare);
    }
}

enum polarys_code wal_listing_read(struct vfs *vfs, const char *dir, struct wal_listing *listing,
                                   struct polarys_error *err)
{
    struct lister lister = {.code = POLARYS_OK};
    memset(listing, 0, sizeof(*listing));
    enum polarys_code code = vfs_list_dir(vfs, dir, lister_each, &lister, err);
    if (code == POLARYS_OK && lister.code != POLARYS_OK) {
        code = polarys_fail(err, lister.code,
                            lister.code == POLARYS_NO_MEMORY
                                ? "no memory to list the log in %s"
                                : "more than the allowed number of files in the log %s",
                            dir);
    }
    if (code != POLARYS_OK) {
        free(lister.segments.ids);
        free(lister.spares.ids);
        free(lister.makings.ids);
        return code;
    }
    id_list_sort(&lister.segments);
    id_list_sort(&lister.spares);
    id_list_sort(&lister.makings);
    listing->segment_ids = lister.segments.ids;
    listing->segment_count = lister.segments.count;
    listing->spare_ids = lister.spares.ids;
    listing->spare_count = lister.spares.count;
    listing->making_ids = lister.makings.ids;
    listing->making_count = lister.makings.count;
    return POLARYS_OK;
}

void wal_listing_deinit(struct wal_listing *listing)
{
    free(listing->segment_ids);
    free(listing->spare_ids);
    free(listing->making_ids);
    memset(listing, 0, sizeof(*listing));
}

void wal_error_place(struct polarys_error *err, uint64_t segment_id, uint64_t offset)
{
    char name[VFS_NAME_MAX];
    wal_segment_name(segment_id, name);
    polarys_error_detail_set(err, "file", "%s", name);
    polarys_error_detail_set(err, "offset", "%" PRIu64, offset);
}

enum polarys_code wal_header_read(struct vfs *vfs, const char *dir, uint64_t segment_id,
                                  struct wal_header *header, uint64_t *file_bytes,
                                  struct polarys_error *err)
{
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    uint8_t block[WAL_SEGMENT_HEADER_SIZE];
    struct vfs_file *file = NULL;
    wal_segment_name(segment_id, name);
    enum polarys_code code = vfs_path_join(path, dir, name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_open(vfs, path, VFS_READ, &file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = vfs_file_size(file, file_bytes, err);
    if (code == POLARYS_OK) {
        code = vfs_read_exact(file, 0, block, sizeof(block), err);
    }
    vfs_close(file, NULL);
    if (code == POLARYS_OK) {
        code = wal_header_take(block, header, err);
    }
    if (code == POLARYS_OK && header->segment_id != segment_id) {
        code = polarys_fail(err, POLARYS_CORRUPT, "it is segment %" PRIu64 " under another name",
                            header->segment_id);
    }
    if (code != POLARYS_OK) {
        (void)polarys_wrap(err, code, "log segment %s", path);
        wal_error_place(err, segment_id, 0);
    }
    return code;
}
