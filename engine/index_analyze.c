/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathers statistics: one walk over an index, in its order, counts entries and different fields exactly and
 * takes bounds of buckets of equal depth; one over the table counts its documents.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/batch_internal.h"
#include "engine/index_internal.h"
#include "engine/index_state.h"
#include "engine/index_statistics.h"
#include "engine/search_request.h"

enum {
    ANALYZE_ATTEMPTS_MAX = 16,
    ANALYZE_CHANGE_BYTES_MIN = 1 << 20, /* smaller changes in size are no reason to walk again */
};

struct analyze {
    struct polarys_db *db;
    const struct index_definition *index; /* NULL: a table is walked */
    struct index_statistics *statistics;
    uint8_t bounds[2 * STATISTICS_BUCKETS_MAX][STATISTICS_BOUND_BYTES_MAX];
    uint8_t bound_sizes[2 * STATISTICS_BUCKETS_MAX];
    uint64_t counts[2 * STATISTICS_BUCKETS_MAX];
    size_t bucket_count;
    uint64_t depth; /* entries of one bucket */
    struct buffer last_fields;
};

/* A bucket ends here. When there are twice as many as wanted every other one goes. */
static void bucket_end(struct analyze *analyze, struct polarys_slice key)
{
    size_t at = analyze->bucket_count++;
    size_t size =
        key.size < STATISTICS_BOUND_BYTES_MAX ? key.size : (size_t)STATISTICS_BOUND_BYTES_MAX;
    memcpy(analyze->bounds[at], key.data, size);
    analyze->bound_sizes[at] = (uint8_t)size;
    analyze->counts[at] = analyze->statistics->entry_count;
    if (analyze->bucket_count < (size_t)2 * STATISTICS_BUCKETS_MAX) {
        return;
    }
    for (size_t i = 0; i < STATISTICS_BUCKETS_MAX; i++) {
        memcpy(analyze->bounds[i], analyze->bounds[2 * i + 1], STATISTICS_BOUND_BYTES_MAX);
        analyze->bound_sizes[i] = analyze->bound_sizes[2 * i + 1];
        analyze->counts[i] = analyze->counts[2 * i + 1];
    }
    analyze->bucket_count = STATISTICS_BUCKETS_MAX;
    analyze->depth *= 2;
}

static enum polarys_code entry_note(struct analyze *analyze, const struct entry *entry)
{
    struct index_statistics *statistics = analyze->statistics;
    if (analyze->index == NULL) {
        statistics->entry_count++;
        return POLARYS_OK;
    }
    struct index_entry_view view;
    bool is_decoded = index_entry_decode(analyze->index, entry->key, entry->value, &view);
    if (is_decoded && view.is_marker) {
        return POLARYS_OK;
    }
    statistics->entry_count++;
    if (statistics->entry_count % analyze->depth == 0) {
        bucket_end(analyze, slice_make(entry->key.data + TREE_KEY_PREFIX_SIZE,
                                       entry->key.size - TREE_KEY_PREFIX_SIZE));
    }
    if (is_decoded && (statistics->distinct_count == 0 ||
                       !slice_equal(view.fields, buffer_slice(&analyze->last_fields)))) {
        statistics->distinct_count++;
        buffer_clear(&analyze->last_fields);
        return buffer_append_slice(&analyze->last_fields, view.fields);
    }
    return POLARYS_OK;
}

/* Keeps at most STATISTICS_BUCKETS_MAX bounds. */
static enum polarys_code buckets_take(struct analyze *analyze)
{
    struct index_statistics *statistics = analyze->statistics;
    size_t step = analyze->bucket_count > STATISTICS_BUCKETS_MAX ? 2 : 1;
    enum polarys_code code =
        buffer_reserve(&statistics->bounds, analyze->bucket_count * STATISTICS_BOUND_BYTES_MAX);
    for (size_t i = step - 1; i < analyze->bucket_count && code == POLARYS_OK; i += step) {
        struct statistics_bucket *bucket = &statistics->buckets[statistics->bucket_count++];
        bucket->bound =
            slice_make(statistics->bounds.data + statistics->bounds.size, analyze->bound_sizes[i]);
        bucket->entries_before = analyze->counts[i];
        code = buffer_append(&statistics->bounds, analyze->bounds[i], analyze->bound_sizes[i]);
    }
    return code;
}

static enum polarys_code walk(struct analyze *analyze, struct polarys_slice start,
                              struct polarys_slice end, struct polarys_error *err)
{
    struct polarys_db *db = analyze->db;
    struct entry_iterator *iterator;
    enum polarys_code code =
        tree_range_bytes(db->tree, start, end, &analyze->statistics->stored_bytes, err);
    if (code == POLARYS_OK) {
        code = tree_iterator_create(db->tree, start, end, analyze->statistics->version,
                                    TREE_READ_NO_FILL | TREE_READ_AHEAD, &iterator, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid && code == POLARYS_OK) {
        if (atomic_load_explicit(&db->is_closing, memory_order_relaxed)) {
            code = polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
        } else if (entry_note(analyze, &iterator->entry) != POLARYS_OK) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for statistics");
        }
        entry_iterator_next(iterator);
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        *err = iterator->error;
    }
    entry_iterator_destroy(iterator);
    if (code == POLARYS_OK && buckets_take(analyze) != POLARYS_OK) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for statistics");
    }
    return code;
}

/* Puts the record. A schema that has changed means that the index may be gone: TXN_CONFLICT. */
static enum polarys_code record_commit(struct polarys_db *db, uint64_t schema_version,
                                       const struct index_statistics *statistics,
                                       struct polarys_error *err)
{
    uint8_t key[INDEX_STATE_KEY_SIZE];
    size_t size = index_state_key(key, statistics->id, INDEX_STATE_STATISTICS);
    struct buffer value = {0};
    struct polarys_batch *batch = NULL;
    enum polarys_code code = index_statistics_encode(statistics, &value);
    if (code != POLARYS_OK) {
        (void)polarys_fail(err, code, "no memory for statistics");
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_create(db, NULL, &batch, err);
    }
    if (code == POLARYS_OK) {
        code = batch_add_system(batch, ENTRY_PUT, slice_make(key, size), buffer_slice(&value), err);
    }
    if (code == POLARYS_OK) {
        batch->has_own_schema_version = true;
        batch->own_schema_version = schema_version;
        code = batch_commit_system(batch, commit_published_version(db->commit), err);
    }
    polarys_batch_destroy(batch);
    buffer_deinit(&value);
    return code;
}

/* Of the keyspace of `id`: an index, or a table when `index` is NULL. */
static enum polarys_code gather(struct polarys_db *db, uint64_t schema_version,
                                uint32_t database_id, uint32_t id,
                                const struct index_definition *index, struct polarys_error *err)
{
    struct analyze *analyze = calloc(1, sizeof(*analyze));
    struct index_statistics *statistics = calloc(1, sizeof(*statistics));
    if (analyze == NULL || statistics == NULL) {
        free(analyze);
        free(statistics);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for statistics");
    }
    *analyze = (struct analyze){.db = db, .index = index, .statistics = statistics, .depth = 1};
    atomic_init(&statistics->reference_count, 1);
    statistics->id = id;
    uint64_t lease_id;
    enum polarys_code code = polarys_snapshot_acquire(
        db, POLARYS_VERSION_NEWEST, SNAPSHOT_LEASE_MAX_MS, &lease_id, &statistics->version, err);
    if (code == POLARYS_OK) {
        uint8_t start[TREE_KEY_PREFIX_SIZE];
        uint8_t end[TREE_KEY_PREFIX_SIZE];
        table_bounds(database_id, id, start, end);
        code = walk(analyze, slice_make(start, sizeof(start)), slice_make(end, sizeof(end)), err);
        snapshot_release(db->snapshots, lease_id);
    }
    if (code == POLARYS_OK) {
        code = record_commit(db, schema_version, statistics, err);
    }
    buffer_deinit(&analyze->last_fields);
    free(analyze);
    if (code == POLARYS_OK) {
        db_statistics_put(db, statistics);
    } else {
        index_statistics_unref(statistics);
    }
    return code;
}

enum polarys_code index_statistics_gather(struct polarys_db *db, const struct catalog *catalog,
                                          const struct index_definition *index,
                                          struct polarys_error *err)
{
    enum polarys_code code =
        gather(db, catalog->version, index->database_id, index->table_id, NULL, err);
    return code == POLARYS_OK
               ? gather(db, catalog->version, index->database_id, index->id, index, err)
               : code;
}

enum polarys_code index_statistics_refresh(struct polarys_db *db, const struct catalog *catalog,
                                           const struct index_definition *index,
                                           struct polarys_error *err)
{
    if (index->kind == INDEX_TEXT) {
        return POLARYS_OK; /* searching keeps its own, and needs no others */
    }
    struct index_statistics *statistics = db_statistics_get(db, index->id);
    bool is_due = statistics == NULL;
    if (statistics != NULL) {
        uint8_t start[TREE_KEY_PREFIX_SIZE];
        uint8_t end[TREE_KEY_PREFIX_SIZE];
        uint64_t bytes;
        index_bounds(index->database_id, index->id, start, end);
        enum polarys_code code = tree_range_bytes(db->tree, slice_make(start, sizeof(start)),
                                                  slice_make(end, sizeof(end)), &bytes, err);
        uint64_t before = statistics->stored_bytes;
        index_statistics_unref(statistics);
        if (code != POLARYS_OK) {
            return code;
        }
        uint64_t change = bytes > before ? bytes - before : before - bytes;
        is_due = change > ANALYZE_CHANGE_BYTES_MIN && change > before / 4;
    }
    return is_due ? index_statistics_gather(db, catalog, index, err) : POLARYS_OK;
}

/* Once, under one catalogue. */
static enum polarys_code table_gather(struct polarys_db *db, const struct db_indexes *found,
                                      struct polarys_error *err)
{
    uint64_t version = found->catalog->version;
    enum polarys_code code = gather(db, version, found->database_id, found->table_id, NULL, err);
    for (size_t i = 0; i < found->count && code == POLARYS_OK; i++) {
        struct index_definition *index = found->list[i];
        if (index->state != INDEX_READY) {
            continue;
        }
        code = gather(db, version, found->database_id, index->id, index, err);
        if (code == POLARYS_OK && index->kind == INDEX_TEXT) {
            code = search_gather_now(db, index, err);
        }
    }
    return code;
}

enum polarys_code polarys_table_analyze(struct polarys_db *db, const char *database,
                                        const char *table, struct polarys_error *err)
{
    struct polarys_error own_err = POLARYS_ERROR_INIT;
    err = err == NULL ? &own_err : err;
    enum polarys_code code = POLARYS_TXN_CONFLICT;
    for (int i = 0; i < ANALYZE_ATTEMPTS_MAX && code == POLARYS_TXN_CONFLICT; i++) {
        struct db_indexes found;
        db_schema_wait(db);
        code = db_indexes_find(db, database, table, &found, err);
        if (code == POLARYS_OK) {
            code = table_gather(db, &found, err);
            catalog_release(found.catalog);
        }
    }
    return code == POLARYS_TXN_CONFLICT
               ? polarys_fail(err, code, "the schema kept changing while \"%s\" was analyzed",
                              table)
               : code;
}
