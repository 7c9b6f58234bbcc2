/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log in plain: commits with the names of the tables that they changed.
 *
 * The log knows ids only. A name is looked up in the catalogue of now; an id that is not in it was dropped since, or is
 * an index: then in the catalogue as it was just before the commit, which lies in the history. One frame's changes are
 * decoded at once and kept until the next.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/engine_log.h"
#include "engine/wal/log_batch.h"
#include "engine/watch_internal.h"

/* A change, beside the item of the same place in the builder. */
struct change_name {
    char database[POLARYS_NAME_BYTES_MAX + 1];
    char table[POLARYS_NAME_BYTES_MAX + 1];
};

/* A commit of the frame; its changes are [first, first + count). */
struct change_commit {
    uint64_t version;
    uint64_t time_unix_ms;
    size_t first;
    size_t count;
};

struct polarys_log_changes {
    struct polarys_db *db;
    struct feed_reader *reader;
    uint64_t version; /* commits up to it are not wanted, or were given */

    struct feed_frame *frame; /* that could not be decoded, and will be tried again; NULL: none */

    /* The frame that was decoded last. */
    struct watch_builder builder; /* items and their bytes */
    struct buffer names;          /* size_t: place in `known` of each item's name */
    struct buffer commits;        /* struct change_commit */
    size_t next_commit;
    size_t first; /* of the commit that was given last */

    /* Names by id, of this frame. */
    struct buffer known;     /* struct change_name */
    struct buffer known_ids; /* uint64_t: database and table id, beside `known` */
    struct catalog *past;    /* as of past_version; NULL: none was loaded */
    uint64_t past_version;
};

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to decode the log");
}

/* What the feed calls pruned history is, to who follows the log, a pruned log. */
static enum polarys_code pruned_translate(struct polarys_db *db, enum polarys_code code,
                                          struct polarys_error *err)
{
    if (code != POLARYS_HISTORY_PRUNED) {
        return code;
    }
    polarys_error_clear(err);
    (void)polarys_fail(err, POLARYS_LOG_PRUNED, "the log is not kept from there on");
    polarys_error_detail_set(err, "earliest_segment", "%" PRIu64, polarys_log_earliest_segment(db));
    return POLARYS_LOG_PRUNED;
}

enum polarys_code polarys_log_changes_open(struct polarys_db *db, uint64_t version,
                                           struct polarys_log_changes **out,
                                           struct polarys_error *err)
{
    *out = NULL;
    if (atomic_load(&db->is_closing)) {
        return polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
    }
    struct polarys_log_changes *changes = calloc(1, sizeof(*changes));
    if (changes == NULL) {
        return fail_memory(err);
    }
    changes->db = db;
    changes->version = version;
    enum polarys_code code = feed_reader_open(db->feed, version, &changes->reader, err);
    if (code != POLARYS_OK) {
        polarys_log_changes_close(changes);
        return pruned_translate(db, code, err);
    }
    *out = changes;
    return POLARYS_OK;
}

void polarys_log_changes_close(struct polarys_log_changes *changes)
{
    if (changes == NULL) {
        return;
    }
    feed_reader_close(changes->reader);
    feed_frame_unref(changes->frame);
    watch_builder_deinit(&changes->builder);
    buffer_deinit(&changes->names);
    buffer_deinit(&changes->commits);
    buffer_deinit(&changes->known);
    buffer_deinit(&changes->known_ids);
    catalog_destroy(changes->past);
    free(changes);
}

void polarys_log_changes_pause(struct polarys_log_changes *changes)
{
    feed_reader_pause(changes->reader);
}

bool polarys_log_changes_wait(struct polarys_log_changes *changes, void (*ready)(void *context),
                              void *context)
{
    return changes->frame == NULL && feed_reader_wait(changes->reader, ready, context);
}

/* ---- names ---- */

static bool catalog_name(const struct catalog *catalog, uint64_t table_ref,
                         struct change_name *name)
{
    uint32_t database_id = (uint32_t)(table_ref >> 32);
    uint32_t table_id = (uint32_t)table_ref;
    for (size_t i = 0; i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (table->id != table_id || table->database_id != database_id) {
            continue;
        }
        memcpy(name->table, table->name, sizeof(name->table));
        for (size_t k = 0; k < catalog->database_count; k++) {
            if (catalog->databases[k].id == database_id) {
                memcpy(name->database, catalog->databases[k].name, sizeof(name->database));
                return true;
            }
        }
    }
    return false;
}

static bool is_index(const struct catalog *catalog, uint64_t table_ref)
{
    for (size_t i = 0; i < catalog->index_count; i++) {
        if (catalog->indexes[i]->id == (uint32_t)table_ref) {
            return true;
        }
    }
    return false;
}

/* True when the id is known now; an index's has no name. */
static bool now_name(struct polarys_db *db, uint64_t table_ref, struct change_name *name)
{
    struct catalog *catalog = catalog_acquire(&db->catalog);
    bool is_found = catalog_name(catalog, table_ref, name) || is_index(catalog, table_ref);
    catalog_release(catalog);
    return is_found;
}

/* The catalogue as it was at `version`, when the history has it. */
static enum polarys_code past_load(struct polarys_log_changes *changes, uint64_t version,
                                   struct polarys_error *err)
{
    uint64_t lease_id;
    uint64_t leased;
    if (changes->past != NULL && changes->past_version == version) {
        return POLARYS_OK;
    }
    catalog_destroy(changes->past);
    changes->past = NULL;
    enum polarys_code code =
        version == 0 ? POLARYS_HISTORY_PRUNED
                     : polarys_snapshot_acquire(changes->db, version, 0, &lease_id, &leased, err);
    if (code == POLARYS_HISTORY_PRUNED || code == POLARYS_FUTURE_VERSION) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = catalog_load(changes->db->tree, version, &changes->past, err);
    polarys_snapshot_release(changes->db, lease_id);
    changes->past_version = version;
    return code;
}

/* *place in `known`: without a name where it is not a table's, or of a table that nobody knows any more. */
static enum polarys_code name_find(struct polarys_log_changes *changes, uint64_t table_ref,
                                   uint64_t version, size_t *place, struct polarys_error *err)
{
    const uint64_t *ids = (const uint64_t *)(const void *)changes->known_ids.data;
    size_t count = changes->known_ids.size / sizeof(*ids);
    struct change_name name = {.table = ""};
    for (size_t i = count; i-- > 0;) {
        if (ids[i] == table_ref) {
            *place = i;
            return POLARYS_OK;
        }
    }
    *place = count;
    if (!now_name(changes->db, table_ref, &name)) {
        enum polarys_code code = past_load(changes, version - 1, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (changes->past != NULL) {
            (void)catalog_name(changes->past, table_ref, &name);
        }
    }
    if (buffer_append(&changes->known, &name, sizeof(name)) != POLARYS_OK ||
        buffer_append(&changes->known_ids, &table_ref, sizeof(table_ref)) != POLARYS_OK) {
        return fail_memory(err);
    }
    return POLARYS_OK;
}

/* ---- decoding ---- */

struct changes_decode {
    struct polarys_log_changes *changes;
    uint64_t first_version;
};

/* Indexes, what nobody knows any more, and tables of the server itself. */
static bool is_internal(const struct change_name *name)
{
    return !polarys_name_is_valid(name->table, strlen(name->table)) ||
           strncmp(name->table, "polarys.", strlen("polarys.")) == 0;
}

static enum polarys_code change_add(struct polarys_log_changes *changes, uint64_t version,
                                    uint64_t time_unix_ms, const struct entry *operation,
                                    bool is_drop, struct polarys_error *err)
{
    size_t place;
    if (operation->key.size < TREE_KEY_PREFIX_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "version %" PRIu64 " has a key without a table",
                            version);
    }
    uint64_t table_ref = get_u64_be(operation->key.data);
    if (table_ref >> 32 == SYSTEM_DATABASE_ID) {
        return POLARYS_OK;
    }
    enum polarys_code code = name_find(changes, table_ref, version, &place, err);
    if (code != POLARYS_OK ||
        is_internal(&((const struct change_name *)(const void *)changes->known.data)[place])) {
        return code;
    }
    if (buffer_append(&changes->names, &place, sizeof(place)) != POLARYS_OK) {
        return fail_memory(err);
    }
    return watch_builder_add(&changes->builder, version, time_unix_ms, operation, is_drop, err);
}

static enum polarys_code commit_decode(void *context, uint32_t index, uint64_t time_unix_ms,
                                       const struct entry *operations, size_t operation_count,
                                       struct polarys_error *err)
{
    struct changes_decode *decode = context;
    struct polarys_log_changes *changes = decode->changes;
    struct change_commit commit = {.version = decode->first_version + index,
                                   .time_unix_ms = time_unix_ms,
                                   .first = changes->names.size / sizeof(size_t)};
    if (commit.version <= changes->version) {
        return POLARYS_OK;
    }
    bool is_drop = watch_commit_drops(operations, operation_count);
    for (size_t i = 0; i < operation_count; i++) {
        enum polarys_code code =
            change_add(changes, commit.version, time_unix_ms, &operations[i], is_drop, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    commit.count = changes->names.size / sizeof(size_t) - commit.first;
    return buffer_append(&changes->commits, &commit, sizeof(commit)) == POLARYS_OK
               ? POLARYS_OK
               : fail_memory(err);
}

static void frame_forget(struct polarys_log_changes *changes)
{
    watch_builder_deinit(&changes->builder);
    changes->builder = (struct watch_builder){.table_ref = 0};
    buffer_clear(&changes->names);
    buffer_clear(&changes->commits);
    buffer_clear(&changes->known);
    buffer_clear(&changes->known_ids);
    changes->next_commit = 0;
}

/* The next frame, or once more the one that could not be decoded; false at the durable end. */
static enum polarys_code frame_next(struct polarys_log_changes *changes, bool *has_frame,
                                    struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    frame_forget(changes);
    if (changes->frame == NULL) {
        code = feed_reader_next(changes->reader, &changes->frame, err);
    }
    *has_frame = code == POLARYS_OK && changes->frame != NULL;
    if (!*has_frame) {
        return pruned_translate(changes->db, code, err);
    }
    const struct feed_frame *frame = changes->frame;
    struct changes_decode decode = {.changes = changes, .first_version = frame->first_version};
    struct log_batch_visitor visitor = {.commit = commit_decode, .context = &decode};
    code = log_batch_decode(frame->payload, frame->commit_count, &visitor, err);
    if (code != POLARYS_OK) {
        frame_forget(changes); /* a commit that is decoded in part must not be given */
        return code;
    }
    feed_frame_unref(changes->frame);
    changes->frame = NULL;
    return POLARYS_OK;
}

enum polarys_code polarys_log_changes_next(struct polarys_log_changes *changes,
                                           struct polarys_log_commit *commit, bool *has_commit,
                                           struct polarys_error *err)
{
    *has_commit = true;
    while (*has_commit &&
           changes->next_commit * sizeof(struct change_commit) == changes->commits.size) {
        enum polarys_code code = frame_next(changes, has_commit, err);
        if (code != POLARYS_OK) {
            *has_commit = false;
            return polarys_wrap(err, code, "decode the log");
        }
    }
    if (!*has_commit) {
        return POLARYS_OK;
    }
    const struct change_commit *found =
        &((const struct change_commit *)(const void *)changes->commits.data)[changes->next_commit];
    changes->next_commit++;
    changes->first = found->first;
    changes->version = found->version;
    *commit = (struct polarys_log_commit){.version = found->version,
                                          .time_unix_ms = found->time_unix_ms,
                                          .change_count = found->count};
    return POLARYS_OK;
}

void polarys_log_changes_get(const struct polarys_log_changes *changes, size_t index,
                             struct polarys_log_change *change)
{
    const size_t *places = (const size_t *)(const void *)changes->names.data;
    const struct change_name *names = (const struct change_name *)(const void *)changes->known.data;
    const struct watch_item *items =
        (const struct watch_item *)(const void *)changes->builder.items.data;
    size_t at = changes->first + index;
    POLARYS_ASSERT(at < changes->names.size / sizeof(*places));
    const struct watch_item *item = &items[at];
    const uint8_t *data = changes->builder.data.data;
    struct polarys_slice value = slice_make(data + item->value_at, item->value_size);
    *change = (struct polarys_log_change){.database = names[places[at]].database,
                                          .table = names[places[at]].table,
                                          .kind = item->kind,
                                          .key = slice_make(data + item->key_at, item->key_size)};
    if (item->kind == POLARYS_WATCH_PUT) {
        change->value =
            (struct polarys_value){.kind = item->is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW,
                                   .expires_at_ms = item->expires_at_ms,
                                   .bytes = value};
    } else if (item->kind == POLARYS_WATCH_DELETE_RANGE) {
        change->end_key = value;
    }
}
