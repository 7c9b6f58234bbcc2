/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound on open table files: see table_files.h.
 *
 * Files that are open and not being read from form a list, the one read last in front. Opening and closing
 * happen outside the mutex; of two threads that open the same file at once, the second one closes its own
 * again.
 */
#include "engine/sst/table_files.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/mutex.h"
#include "engine/sst/table_internal.h"

struct table_files {
    /* Immutable. */
    size_t open_max;

    struct mutex mutex;
    /* Guarded by mutex. */
    size_t open_count;
    struct table_handle_slot idle; /* head of the ring; idle.next was read from last */
    uint64_t reopened_count;
};

enum polarys_code table_files_create(size_t open_max, struct table_files **out,
                                     struct polarys_error *err)
{
    POLARYS_ASSERT(open_max > 0);
    *out = NULL;
    struct table_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to keep count of open tables");
    }
    files->open_max = open_max;
    files->idle.next = &files->idle;
    files->idle.previous = &files->idle;
    mutex_init(&files->mutex, MUTEX_RANK_TABLE_CACHE);
    *out = files;
    return POLARYS_OK;
}

void table_files_destroy(struct table_files *files)
{
    if (files == NULL) {
        return;
    }
    POLARYS_ASSERT(files->open_count == 0);
    mutex_deinit(&files->mutex);
    free(files);
}

void table_files_stats_get(struct table_files *files, struct table_files_stats *stats)
{
    mutex_lock(&files->mutex);
    stats->open_count = files->open_count;
    stats->reopened_count = files->reopened_count;
    mutex_unlock(&files->mutex);
}

static void idle_remove_locked(struct table_handle_slot *slot)
{
    slot->next->previous = slot->previous;
    slot->previous->next = slot->next;
    slot->next = NULL;
    slot->previous = NULL;
}

static void idle_add_locked(struct table_files *files, struct table_handle_slot *slot)
{
    POLARYS_ASSERT(slot->pin_count == 0 && slot->next == NULL);
    slot->next = files->idle.next;
    slot->previous = &files->idle;
    files->idle.next->previous = slot;
    files->idle.next = slot;
}

/* The open file, pinned, or NULL. */
static struct vfs_file *pin_locked(struct table_handle_slot *slot)
{
    if (slot->file != NULL && slot->pin_count++ == 0) {
        idle_remove_locked(slot);
    }
    return slot->file;
}

/* The file that was idle for the longest time when there are too many, taken off its table; or NULL. */
static struct vfs_file *surplus_take_locked(struct table_files *files)
{
    struct table_handle_slot *oldest = files->idle.previous;
    if (files->open_count <= files->open_max || oldest == &files->idle) {
        return NULL;
    }
    struct vfs_file *file = oldest->file;
    idle_remove_locked(oldest);
    oldest->file = NULL;
    oldest->was_closed = true;
    files->open_count--;
    return file;
}

/* Closes what is too much. No lock held. */
static void trim(struct table_files *files)
{
    struct vfs_file *surplus = NULL;
    do {
        mutex_lock(&files->mutex);
        surplus = surplus_take_locked(files);
        mutex_unlock(&files->mutex);
        /* Nothing was written, so nothing is lost whatever the system says on closing. */
        (void)vfs_close(surplus, NULL);
    } while (surplus != NULL);
}

static enum polarys_code file_open(const struct table *table, struct vfs_file **out,
                                   struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    enum polarys_code code = vfs_path_join(path, table->env.dir, table->name, err);
    return code == POLARYS_OK ? vfs_open(table->env.vfs, path, VFS_READ, out, err) : code;
}

/* Gives the slot the file that was opened for it, unless another thread was first; pinned either way. */
static struct vfs_file *install(struct table_files *files, struct table_handle_slot *slot,
                                struct vfs_file *take_file)
{
    mutex_lock(&files->mutex);
    struct vfs_file *file = pin_locked(slot);
    if (file == NULL) {
        files->open_count++;
        files->reopened_count += slot->was_closed;
        slot->was_closed = false;
        slot->file = take_file;
        slot->pin_count = 1;
        file = take_file;
        take_file = NULL;
    }
    mutex_unlock(&files->mutex);
    (void)vfs_close(take_file, NULL);
    return file;
}

enum polarys_code table_file_pin(const struct table *table, struct vfs_file **file,
                                 struct polarys_error *err)
{
    struct table_files *files = table->env.files;
    struct table_handle_slot *slot = table->slot;
    if (files == NULL) {
        enum polarys_code code =
            slot->file != NULL ? POLARYS_OK : file_open(table, &slot->file, err);
        *file = slot->file;
        return code;
    }
    mutex_lock(&files->mutex);
    *file = pin_locked(slot);
    mutex_unlock(&files->mutex);
    if (*file != NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = file_open(table, file, err);
    if (code != POLARYS_OK) {
        return code;
    }
    *file = install(files, slot, *file);
    trim(files);
    return POLARYS_OK;
}

void table_file_unpin(const struct table *table)
{
    struct table_files *files = table->env.files;
    struct table_handle_slot *slot = table->slot;
    if (files == NULL) {
        return;
    }
    mutex_lock(&files->mutex);
    POLARYS_ASSERT(slot->pin_count > 0 && slot->file != NULL);
    if (--slot->pin_count == 0) {
        idle_add_locked(files, slot);
    }
    bool is_surplus = files->open_count > files->open_max;
    mutex_unlock(&files->mutex);
    if (is_surplus) {
        trim(files);
    }
}

void table_file_close(const struct table *table)
{
    struct table_files *files = table->env.files;
    struct table_handle_slot *slot = table->slot;
    POLARYS_ASSERT(slot->pin_count == 0);
    if (files != NULL) {
        mutex_lock(&files->mutex);
        if (slot->file != NULL) {
            idle_remove_locked(slot);
            files->open_count--;
        }
        mutex_unlock(&files->mutex);
    }
    (void)vfs_close(slot->file, NULL);
    slot->file = NULL;
}
