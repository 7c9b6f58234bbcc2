/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of slots, what log is kept for it, and when it is written down: see engine_slots.h.
 *
 * Invariant: the log is held from the lowest position of all that are not lost, and it is held before anybody is told
 * that a slot is there. A position in the file may be older than the one in memory, never newer.
 */
#include "engine/slots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/slots_internal.h"

static const char file_name[] = "slots";

#define SLOTS_SAVE_NS UINT64_C(1000000000)

struct slots {
    struct polarys_db *db;

    struct mutex mutex;
    struct condition saved; /* is_saving became false */
    /* Guarded by mutex. */
    struct slot_entry entries[POLARYS_SLOTS_MAX]; /* by name */
    size_t count;
    uint64_t next_id;
    bool is_dirty;
    bool is_saving;
    uint64_t saved_ns;
};

struct polarys_slot {
    struct slots *slots;
    uint64_t id;
    char name[POLARYS_NAME_BYTES_MAX + 1];
};

/* ---- the table; all with the mutex held ---- */

/* The place of the name, or where it belongs. */
static size_t entry_place(const struct slots *slots, const char *name, bool *is_found)
{
    size_t i = 0;
    while (i < slots->count && strcmp(slots->entries[i].name, name) < 0) {
        i++;
    }
    *is_found = i < slots->count && strcmp(slots->entries[i].name, name) == 0;
    return i;
}

static struct slot_entry *entry_of(struct slots *slots, uint64_t id)
{
    for (size_t i = 0; i < slots->count; i++) {
        if (slots->entries[i].id == id) {
            return &slots->entries[i];
        }
    }
    return NULL;
}

static struct slot_entry *entry_insert(struct slots *slots, size_t at, const char *name)
{
    POLARYS_ASSERT(slots->count < POLARYS_SLOTS_MAX && at <= slots->count);
    memmove(&slots->entries[at + 1], &slots->entries[at],
            (slots->count - at) * sizeof(slots->entries[0]));
    slots->count++;
    struct slot_entry *entry = &slots->entries[at];
    *entry = (struct slot_entry){.id = slots->next_id++};
    size_t size = strnlen(name, POLARYS_NAME_BYTES_MAX);
    memcpy(entry->name, name, size);
    return entry;
}

static void entry_remove(struct slots *slots, size_t at)
{
    POLARYS_ASSERT(at < slots->count);
    slots->count--;
    memmove(&slots->entries[at], &slots->entries[at + 1],
            (slots->count - at) * sizeof(slots->entries[0]));
}

static void entry_use(struct slots *slots, struct slot_entry *entry)
{
    entry->used_ns = clock_monotonic_ns(slots->db->clock);
    entry->active_unix_ms = clock_wall_ms(slots->db->clock);
    slots->is_dirty = true;
}

/* Tells the log what to keep; true when it may let something go. */
static void hold_locked(struct slots *slots)
{
    uint64_t lowest = 0;
    for (size_t i = 0; i < slots->count; i++) {
        const struct slot_entry *entry = &slots->entries[i];
        uint64_t id = entry->position.segment_id == 0 ? 1 : entry->position.segment_id;
        if (!entry->is_lost && (lowest == 0 || id < lowest)) {
            lowest = id;
        }
    }
    wal_keep_from(slots->db->wal, WAL_KEEPER_SLOTS, lowest);
}

static void info_fill(struct slots *slots, const struct slot_entry *entry,
                      struct polarys_slot_info *info)
{
    struct polarys_log_position end;
    polarys_log_durable_position(slots->db, &end);
    uint64_t needed = db_log_needed_segment(slots->db);
    uint64_t version = entry->position.version;
    *info = (struct polarys_slot_info){
        .kind = entry->kind,
        .state = entry->is_lost                         ? POLARYS_SLOT_LOST
                 : entry->position.segment_id >= needed ? POLARYS_SLOT_RESERVED
                                                        : POLARYS_SLOT_EXTENDED,
        .position = entry->position,
        .behind_bytes = polarys_log_bytes_between(slots->db, &entry->position, &end),
        .behind_versions = end.version > version ? end.version - version : 0,
        .applied_version = entry->applied_version,
        .is_active = entry->attached_count > 0,
        .active_time_unix_ms = entry->active_unix_ms,
        .bytes_max = entry->bytes_max,
    };
    memcpy(info->name, entry->name, sizeof(info->name));
}

/* ---- the file ---- */

/* One at a time; whoever comes meanwhile waits and then saves what is left. */
static enum polarys_code save(struct slots *slots, struct polarys_error *err)
{
    struct buffer bytes = {0};
    mutex_lock(&slots->mutex);
    while (slots->is_saving) {
        (void)executor_wait(slots->db->executor, &slots->saved, &slots->mutex, 0);
    }
    if (!slots->is_dirty) {
        mutex_unlock(&slots->mutex);
        return POLARYS_OK;
    }
    slots->is_saving = true;
    slots->is_dirty = false;
    enum polarys_code code = slots_file_encode(&bytes, slots->entries, slots->count, err);
    mutex_unlock(&slots->mutex);
    if (code == POLARYS_OK) {
        code =
            vfs_replace_file(slots->db->vfs, slots->db->dir, file_name, buffer_slice(&bytes), err);
    }
    buffer_deinit(&bytes);
    mutex_lock(&slots->mutex);
    slots->is_saving = false;
    slots->is_dirty = slots->is_dirty || code != POLARYS_OK;
    slots->saved_ns = clock_monotonic_ns(slots->db->clock);
    condition_broadcast(&slots->saved);
    mutex_unlock(&slots->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "write the slots");
}

void slots_save(struct slots *slots)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (save(slots, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "%s", err.message);
    }
}

static enum polarys_code load(struct slots *slots, struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    struct buffer bytes = {0};
    bool exists = false;
    struct polarys_db *db = slots->db;
    enum polarys_code code = vfs_path_join(path, db->dir, file_name, err);
    if (code == POLARYS_OK) {
        code = vfs_exists(db->vfs, path, &exists, err);
    }
    if (code != POLARYS_OK || !exists) {
        return code;
    }
    code = vfs_read_file(db->vfs, path, SLOTS_FILE_BYTES_MAX, &bytes, err);
    if (code == POLARYS_OK) {
        code = slots_file_decode(buffer_slice(&bytes), slots->entries, &slots->count, err);
    }
    buffer_deinit(&bytes);
    if (code == POLARYS_CORRUPT || code == POLARYS_UNSUPPORTED_FORMAT) {
        polarys_error_detail_set(err, "file", "%s", file_name);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read the slots %s", path);
}

enum polarys_code slots_open(struct polarys_db *db, struct slots **out, struct polarys_error *err)
{
    *out = NULL;
    struct slots *slots = calloc(1, sizeof(*slots));
    if (slots == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for slots");
    }
    slots->db = db;
    slots->next_id = 1;
    mutex_init(&slots->mutex, MUTEX_RANK_SLOTS);
    condition_init(&slots->saved);
    enum polarys_code code = load(slots, err);
    if (code != POLARYS_OK) {
        slots_close(slots);
        return code;
    }
    mutex_lock(&slots->mutex);
    for (size_t i = 0; i < slots->count; i++) {
        /* A node that was down for long does not hold that against its followers. */
        slots->entries[i].id = slots->next_id++;
        slots->entries[i].used_ns = clock_monotonic_ns(db->clock);
    }
    hold_locked(slots);
    mutex_unlock(&slots->mutex);
    *out = slots;
    return POLARYS_OK;
}

void slots_close(struct slots *slots)
{
    if (slots == NULL) {
        return;
    }
    for (size_t i = 0; i < slots->count; i++) {
        POLARYS_ASSERT(slots->entries[i].attached_count == 0);
    }
    condition_deinit(&slots->saved);
    mutex_deinit(&slots->mutex);
    free(slots);
}

/* ---- losing ---- */

/* Why the slot can't be kept, or NULL. */
static const char *reason_to_lose(struct slots *slots, const struct slot_entry *entry,
                                  const struct polarys_log_position *end, uint64_t now_ns)
{
    uint64_t idle_ns = slots->db->settings.slot_idle_timeout_ms * UINT64_C(1000000);
    if (entry->position.segment_id != 0 &&
        entry->position.segment_id < polarys_log_earliest_segment(slots->db)) {
        return "its log is gone";
    }
    if (polarys_log_bytes_between(slots->db, &entry->position, end) > entry->bytes_max) {
        return "it is further behind than slot_bytes_max allows";
    }
    /* It may have been used since the tick looked at the clock. */
    if (entry->attached_count == 0 && idle_ns != 0 && now_ns > entry->used_ns &&
        now_ns - entry->used_ns >= idle_ns) {
        return "nobody used it within slot_idle_timeout";
    }
    return NULL;
}

void slots_tick(struct slots *slots, uint64_t now_ns)
{
    struct polarys_log_position end;
    bool has_lost = false;
    polarys_log_durable_position(slots->db, &end);
    mutex_lock(&slots->mutex);
    for (size_t i = 0; i < slots->count; i++) {
        struct slot_entry *entry = &slots->entries[i];
        const char *reason = entry->is_lost ? NULL : reason_to_lose(slots, entry, &end, now_ns);
        if (reason != NULL) {
            polarys_log(POLARYS_LOG_WARN, "store", "slot %s is lost: %s", entry->name, reason);
            entry->is_lost = true;
            has_lost = true;
        }
    }
    slots->is_dirty = slots->is_dirty || has_lost;
    bool is_due = slots->is_dirty && (has_lost || now_ns >= slots->saved_ns + SLOTS_SAVE_NS);
    mutex_unlock(&slots->mutex);
    if (!is_due) {
        return;
    }
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = save(slots, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "%s", err.message);
    }
    /* What was acknowledged may go once that is written down. A slot is lost also where it can't be: the disk may be
     * full of its log. */
    if (code == POLARYS_OK || has_lost) {
        mutex_lock(&slots->mutex);
        hold_locked(slots);
        mutex_unlock(&slots->mutex);
        db_prune_want(slots->db);
    }
}

/* ---- for others ---- */

static enum polarys_code name_check(const char *name, struct polarys_error *err)
{
    if (polarys_name_is_valid(name, strnlen(name, POLARYS_NAME_BYTES_MAX + 1))) {
        return POLARYS_OK;
    }
    (void)polarys_fail(err, POLARYS_BAD_NAME,
                       "the name of a slot is a letter and up to 127 more letters, digits, '_', "
                       "'.' or '-'");
    polarys_error_detail_set(err, "field", "slot");
    return POLARYS_BAD_NAME;
}

static enum polarys_code fail_not_found(const char *name, struct polarys_error *err)
{
    (void)polarys_fail(err, POLARYS_SLOT_NOT_FOUND, "there is no slot %s", name);
    polarys_error_detail_set(err, "slot", "%s", name);
    return POLARYS_SLOT_NOT_FOUND;
}

static enum polarys_code fail_lost(struct slots *slots, const char *name, struct polarys_error *err)
{
    (void)polarys_fail(err, POLARYS_LOG_PRUNED, "slot %s is lost: its log is not kept any more",
                       name);
    polarys_error_detail_set(err, "earliest_segment", "%" PRIu64,
                             polarys_log_earliest_segment(slots->db));
    return POLARYS_LOG_PRUNED;
}

/* What polarys_slot_create wants. */
struct slot_wish {
    const char *name;
    enum polarys_slot_kind kind;
    uint64_t bytes_max;
    struct polarys_log_position position;
};

/* Puts the slot into the table, so that the log is held; *is_new when it was not there or was lost. */
static enum polarys_code wish_insert(struct slots *slots, const struct slot_wish *wish,
                                     bool *is_new, struct slot_entry *before,
                                     struct polarys_error *err)
{
    bool is_found;
    mutex_lock(&slots->mutex);
    size_t at = entry_place(slots, wish->name, &is_found);
    *is_new = !is_found || slots->entries[at].is_lost;
    *before = (struct slot_entry){.id = 0};
    if (!is_found && slots->count == POLARYS_SLOTS_MAX) {
        mutex_unlock(&slots->mutex);
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "there are %d slots already",
                            POLARYS_SLOTS_MAX);
    }
    if (*is_new) {
        struct slot_entry *entry = &slots->entries[at];
        if (is_found) {
            *before = *entry;
        } else {
            entry = entry_insert(slots, at, wish->name);
        }
        entry->kind = wish->kind;
        entry->is_lost = false;
        entry->position = wish->position;
        entry->bytes_max = wish->bytes_max;
        entry_use(slots, entry);
        hold_locked(slots);
    }
    mutex_unlock(&slots->mutex);
    return POLARYS_OK;
}

/* Takes back what wish_insert did. */
static void wish_remove(struct slots *slots, const char *name, const struct slot_entry *before)
{
    bool is_found;
    mutex_lock(&slots->mutex);
    size_t at = entry_place(slots, name, &is_found);
    if (is_found && before->id != 0) {
        slots->entries[at].is_lost = true;
        slots->entries[at].position = before->position;
    } else if (is_found) {
        entry_remove(slots, at);
    }
    slots->is_dirty = true;
    hold_locked(slots);
    mutex_unlock(&slots->mutex);
    db_prune_want(slots->db);
}

/* Whether the log is there, which is held by now. */
static enum polarys_code position_check(struct polarys_db *db,
                                        const struct polarys_log_position *position,
                                        struct polarys_error *err)
{
    struct polarys_log_reader *reader = NULL;
    enum polarys_code code = polarys_log_reader_open(db, position, &reader, err);
    polarys_log_reader_close(reader);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_slot_create(struct polarys_db *db, const char *name,
                                      enum polarys_slot_kind kind, uint64_t bytes_max,
                                      const struct polarys_log_position *position,
                                      struct polarys_slot_info *info, struct polarys_error *err)
{
    struct slots *slots = db->slots;
    struct slot_wish wish = {.name = name,
                             .kind = kind,
                             .bytes_max = bytes_max == 0 ? db->settings.slot_bytes_max : bytes_max};
    struct slot_entry before;
    bool is_new = false;
    bool is_found;
    enum polarys_code code = name_check(name, err);
    if (position != NULL) {
        wish.position = *position;
    } else {
        polarys_log_durable_position(db, &wish.position);
    }
    if (code == POLARYS_OK) {
        code = wish_insert(slots, &wish, &is_new, &before, err);
    }
    if (code == POLARYS_OK && is_new) {
        code = position_check(db, &wish.position, err);
        code = code == POLARYS_OK ? save(slots, err) : code;
        if (code != POLARYS_OK) {
            wish_remove(slots, name, &before);
        }
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "make slot %s", name);
    }
    mutex_lock(&slots->mutex);
    size_t at = entry_place(slots, name, &is_found);
    if (is_found && info != NULL) {
        info_fill(slots, &slots->entries[at], info);
    }
    mutex_unlock(&slots->mutex);
    return is_found ? POLARYS_OK : fail_not_found(name, err);
}

enum polarys_code polarys_slot_drop(struct polarys_db *db, const char *name,
                                    struct polarys_error *err)
{
    struct slots *slots = db->slots;
    bool is_found;
    enum polarys_code code = name_check(name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    mutex_lock(&slots->mutex);
    size_t at = entry_place(slots, name, &is_found);
    if (is_found) {
        entry_remove(slots, at);
        slots->is_dirty = true;
    }
    mutex_unlock(&slots->mutex);
    if (!is_found) {
        return fail_not_found(name, err);
    }
    code = save(slots, err);
    mutex_lock(&slots->mutex);
    hold_locked(slots);
    mutex_unlock(&slots->mutex);
    db_prune_want(db);
    return code;
}

size_t polarys_slot_list(struct polarys_db *db, struct polarys_slot_info *infos)
{
    struct slots *slots = db->slots;
    mutex_lock(&slots->mutex);
    size_t count = slots->count;
    for (size_t i = 0; i < count; i++) {
        info_fill(slots, &slots->entries[i], &infos[i]);
    }
    mutex_unlock(&slots->mutex);
    return count;
}

enum polarys_code polarys_slot_attach(struct polarys_db *db, const char *name,
                                      const struct polarys_log_position *from,
                                      struct polarys_slot **out, struct polarys_error *err)
{
    struct slots *slots = db->slots;
    struct polarys_log_position end;
    bool is_found;
    *out = NULL;
    struct polarys_slot *slot = malloc(sizeof(*slot));
    if (slot == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to use slot %s", name);
    }
    polarys_log_durable_position(db, &end);
    mutex_lock(&slots->mutex);
    size_t at = entry_place(slots, name, &is_found);
    struct slot_entry *entry = &slots->entries[at];
    bool fits = is_found && polarys_log_bytes_between(db, from, &end) <= entry->bytes_max;
    if (fits) {
        *slot = (struct polarys_slot){.slots = slots, .id = entry->id};
        memcpy(slot->name, entry->name, sizeof(slot->name));
        entry->attached_count++;
        entry->is_lost = false;
        entry->position = *from;
        entry_use(slots, entry);
        hold_locked(slots);
    }
    mutex_unlock(&slots->mutex);
    if (!fits) {
        free(slot);
        return is_found ? fail_lost(slots, name, err) : fail_not_found(name, err);
    }
    *out = slot;
    return POLARYS_OK;
}

void polarys_slot_detach(struct polarys_slot *slot)
{
    if (slot == NULL) {
        return;
    }
    struct slots *slots = slot->slots;
    mutex_lock(&slots->mutex);
    struct slot_entry *entry = entry_of(slots, slot->id);
    if (entry != NULL) {
        POLARYS_ASSERT(entry->attached_count > 0);
        entry->attached_count--;
        entry_use(slots, entry);
    }
    mutex_unlock(&slots->mutex);
    free(slot);
}

/* Whether one position lies before another. */
static bool is_before(const struct polarys_log_position *a, const struct polarys_log_position *b)
{
    return a->segment_id != b->segment_id ? a->segment_id < b->segment_id : a->offset < b->offset;
}

/* With `durable` NULL it only looks. */
static enum polarys_code slot_touch(struct polarys_slot *slot,
                                    const struct polarys_log_position *durable,
                                    uint64_t applied_version, struct polarys_error *err)
{
    struct slots *slots = slot->slots;
    mutex_lock(&slots->mutex);
    struct slot_entry *entry = entry_of(slots, slot->id);
    bool is_there = entry != NULL;
    bool is_lost = is_there && entry->is_lost;
    if (is_there && !is_lost && durable != NULL) {
        if (is_before(&entry->position, durable)) {
            entry->position = *durable;
        }
        if (applied_version > entry->applied_version) {
            entry->applied_version = applied_version;
        }
        entry_use(slots, entry);
    }
    mutex_unlock(&slots->mutex);
    if (!is_there) {
        return fail_not_found(slot->name, err);
    }
    return is_lost ? fail_lost(slots, slot->name, err) : POLARYS_OK;
}

enum polarys_code polarys_slot_ack(struct polarys_slot *slot,
                                   const struct polarys_log_position *durable,
                                   uint64_t applied_version, struct polarys_error *err)
{
    return slot_touch(slot, durable, applied_version, err);
}

enum polarys_code polarys_slot_check(struct polarys_slot *slot, struct polarys_error *err)
{
    return slot_touch(slot, NULL, 0, err);
}
