/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions: how readers look at one without a lock, and how replaced ones are taken apart.
 *
 * A reader claims a read slot by writing the version's address into it, and then checks that the version
 * is still current. A version that was replaced is retired; the cleanup task gives up the tree's
 * reference once no slot names it. The claim and the check, and the replacement and the scan of the
 * slots, are sequentially consistent: either the reader sees the replacement, or the scan sees the claim
 * (hazard pointers, Michael 2004).
 */
#include "engine/compaction/tree_internal.h"

#include "engine/base/log.h"

#include <stdlib.h>

/* Threads start their search for a free slot in different places. */
static unsigned thread_slot_first(void)
{
    static unsigned thread_count;
    static _Thread_local unsigned first_plus_one;
    if (first_plus_one == 0) {
        first_plus_one =
            __atomic_fetch_add(&thread_count, 1, __ATOMIC_RELAXED) % TREE_READ_SLOTS + 1;
    }
    return first_plus_one - 1;
}

struct tree_version *tree_read_begin(struct tree *tree, struct tree_read_slot **out)
{
    unsigned index = thread_slot_first();
    struct tree_read_slot *slot = &tree->slots[index];
    struct tree_version *version = __atomic_load_n(&tree->current, __ATOMIC_ACQUIRE);
    struct tree_version *expected = NULL;
    while (!__atomic_compare_exchange_n(&slot->version, &expected, version, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
        index = (index + 1) % TREE_READ_SLOTS;
        slot = &tree->slots[index];
        expected = NULL;
    }
    struct tree_version *current = __atomic_load_n(&tree->current, __ATOMIC_SEQ_CST);
    while (current != version) {
        version = current;
        __atomic_store_n(&slot->version, version, __ATOMIC_SEQ_CST);
        current = __atomic_load_n(&tree->current, __ATOMIC_SEQ_CST);
    }
    *out = slot;
    return version;
}

void tree_read_end(struct tree *tree, struct tree_read_slot *slot)
{
    /* Only we change it while it is ours, but others try to take the slot. */
    struct tree_version *version = __atomic_load_n(&slot->version, __ATOMIC_RELAXED);
    /* Partner: the scan in collect_retired. */
    __atomic_store_n(&slot->version, NULL, __ATOMIC_RELEASE);
    /* Whoever held up a retired version sees to it. Missing the news here only delays the cleanup until
     * the next reader or the next change. */
    if (__atomic_load_n(&tree->current, __ATOMIC_RELAXED) != version) {
        mutex_lock(&tree->mutex);
        tree_cleanup_schedule_locked(tree);
        mutex_unlock(&tree->mutex);
    }
}

struct tree_version *tree_version_acquire(struct tree *tree)
{
    struct tree_read_slot *slot;
    struct tree_version *version = tree_read_begin(tree, &slot);
    __atomic_fetch_add(&version->refs, 1, __ATOMIC_RELAXED);
    tree_read_end(tree, slot);
    return version;
}

void tree_version_release(struct tree *tree, struct tree_version *version)
{
    uint32_t before = __atomic_fetch_sub(&version->refs, 1, __ATOMIC_ACQ_REL);
    POLARYS_ASSERT(before > 0);
    if (before == 1) {
        mutex_lock(&tree->mutex);
        tree_version_bury_locked(tree, version);
        mutex_unlock(&tree->mutex);
    }
}

struct tree_version *tree_version_create(void)
{
    struct tree_version *version = calloc(1, sizeof(*version));
    if (version != NULL) {
        version->refs = 1;
    }
    return version;
}

void tree_version_add_memtable(struct tree_version *version, struct memtable *memtable)
{
    POLARYS_ASSERT(version->memtable_count < TREE_MEMTABLES_MAX);
    version->memtables[version->memtable_count++] = memtable_ref(memtable);
}

void tree_version_publish_locked(struct tree *tree, struct tree_version *version)
{
    struct tree_version *before = __atomic_exchange_n(&tree->current, version, __ATOMIC_SEQ_CST);
    if (before != NULL) {
        before->next = tree->retired;
        tree->retired = before;
        __atomic_fetch_add(&tree->retired_count, 1, __ATOMIC_RELAXED);
    }
    tree_cleanup_schedule_locked(tree);
}

void tree_version_bury_locked(struct tree *tree, struct tree_version *version)
{
    POLARYS_ASSERT(version->refs == 0);
    version->next = tree->dead;
    tree->dead = version;
    tree_cleanup_schedule_locked(tree);
}

/* ---- cleanup ---- */

void tree_cleanup_schedule_locked(struct tree *tree)
{
    if (tree->cleanup_state != TREE_TASK_IDLE || (tree->retired == NULL && tree->dead == NULL)) {
        return;
    }
    if (__atomic_load_n(&tree->is_stopping, __ATOMIC_RELAXED)) {
        return; /* closing takes everything apart itself */
    }
    tree->cleanup_state = TREE_TASK_QUEUED;
    executor_submit(tree->options.executor, EXECUTOR_FLUSH, &tree->cleanup_task);
}

static bool is_announced(struct tree *tree, const struct tree_version *version)
{
    for (size_t i = 0; i < TREE_READ_SLOTS; i++) {
        if (__atomic_load_n(&tree->slots[i].version, __ATOMIC_SEQ_CST) == version) {
            return true;
        }
    }
    return false;
}

/* Takes the dead, and the retired that nobody looks at, off their lists. REQUIRES: mutex. */
static struct tree_version *collect_locked(struct tree *tree)
{
    struct tree_version *dead = tree->dead;
    struct tree_version **link = &tree->retired;
    tree->dead = NULL;
    while (*link != NULL) {
        struct tree_version *version = *link;
        if (is_announced(tree, version)) {
            link = &version->next;
            continue;
        }
        *link = version->next;
        __atomic_fetch_sub(&tree->retired_count, 1, __ATOMIC_RELAXED);
        if (__atomic_fetch_sub(&version->refs, 1, __ATOMIC_ACQ_REL) == 1) {
            version->next = dead;
            dead = version;
        }
    }
    return dead;
}

static void remove_file(struct tree *tree, uint64_t file_id)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    block_cache_forget_file(tree->options.env.cache, file_id);
    table_file_name(name, file_id);
    enum polarys_code code = vfs_path_join(path, tree->dir, name, &err);
    if (code == POLARYS_OK) {
        code = vfs_remove(tree->options.env.vfs, path, &err);
    }
    if (code != POLARYS_OK && code != POLARYS_FILE_NOT_FOUND) {
        /* The next open removes what the manifest does not name. */
        polarys_log(POLARYS_LOG_WARN, "compaction", "remove table %s: %s", name, err.message);
    }
}

static void dispose_levels(struct tree *tree, struct tree_levels *levels)
{
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < levels->counts[level]; i++) {
            struct tree_file *file = levels->files[level][i];
            if (!tree_file_unref(file)) {
                continue;
            }
            uint64_t file_id = file->meta.file_id;
            bool is_obsolete = file->is_obsolete;
            if (file->table != NULL) {
                __atomic_fetch_sub(&tree->table_memory_bytes, table_memory_bytes(file->table),
                                   __ATOMIC_RELAXED);
            }
            tree_file_destroy(file);
            if (is_obsolete) {
                remove_file(tree, file_id);
            }
        }
        free(levels->files[level]);
    }
    free(levels);
}

static void dispose_version(struct tree *tree, struct tree_version *version)
{
    for (size_t i = 0; i < version->memtable_count; i++) {
        memtable_unref(version->memtables[i]);
    }
    if (version->levels != NULL && tree_levels_unref(version->levels)) {
        dispose_levels(tree, version->levels);
    }
    free(version);
}

void tree_cleanup(struct tree *tree)
{
    mutex_lock(&tree->mutex);
    struct tree_version *dead = collect_locked(tree);
    mutex_unlock(&tree->mutex);
    while (dead != NULL) {
        struct tree_version *next = dead->next;
        dispose_version(tree, dead);
        dead = next;
    }
}

void tree_cleanup_run(struct task *task)
{
    struct tree *tree = (struct tree *)((char *)task - offsetof(struct tree, cleanup_task));
    mutex_lock(&tree->mutex);
    POLARYS_ASSERT(tree->cleanup_state == TREE_TASK_QUEUED);
    tree->cleanup_state = TREE_TASK_RUNNING;
    mutex_unlock(&tree->mutex);
    tree_cleanup(tree);
    mutex_lock(&tree->mutex);
    tree->cleanup_state = TREE_TASK_IDLE;
    if (tree->dead != NULL) {
        tree_cleanup_schedule_locked(tree);
    }
    condition_broadcast(&tree->changed);
    mutex_unlock(&tree->mutex);
}

/* ---- tables ---- */

enum polarys_code tree_file_table(struct tree *tree, struct tree_file *file, bool is_memory_only,
                                  struct table **out, struct polarys_error *err)
{
    /* Partner: the exchange below. */
    struct table *table = __atomic_load_n(&file->table, __ATOMIC_ACQUIRE);
    *out = table;
    if (table != NULL) {
        return POLARYS_OK;
    }
    if (is_memory_only) {
        return POLARYS_WOULD_BLOCK;
    }
    enum polarys_code code = table_open(&tree->options.env, &file->meta, &table, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct table *first = NULL;
    if (__atomic_compare_exchange_n(&file->table, &first, table, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&tree->table_memory_bytes, table_memory_bytes(table), __ATOMIC_RELAXED);
        *out = table;
    } else {
        table_close(table); /* another reader was first */
        *out = first;
    }
    return POLARYS_OK;
}
