/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task that builds indexes. A chunk's commit holds its entries and how far the build is, so a crash resumes
 * behind the last chunk that is in the log. The last chunk is followed by a commit that makes the index READY.
 *
 * Conflicts with writers make chunks smaller, down to one document, which conflicts no more often than another
 * writer of it would. Where the tree slows writers down the task pauses between chunks.
 */
#include "engine/index_build.h"

#include <stdio.h>

#include "engine/catalog_change.h"
#include "engine/index_build_chunk.h"
#include "engine/index_state.h"

enum build_state { BUILD_IDLE, BUILD_RUNNING, BUILD_AGAIN };

/* What follows a step. */
struct build_next {
    bool is_idle;
    uint64_t delay_ns;
};

#define MILLISECOND_NS UINT64_C(1000000)
#define INDEX_STATISTICS_NS UINT64_C(60000000000)

/* The first one that is BUILDING behind the one that failed last, so that one alone never stops the others. */
static const struct index_definition *index_to_build(const struct catalog *catalog,
                                                     uint32_t failed_index_id)
{
    size_t from = 0;
    for (size_t i = 0; i < catalog->index_count; i++) {
        if (catalog->indexes[i]->id == failed_index_id) {
            from = i + 1;
        }
    }
    for (size_t i = 0; i < catalog->index_count; i++) {
        const struct index_definition *index = catalog->indexes[(from + i) % catalog->index_count];
        if (index->state == INDEX_BUILDING) {
            return index;
        }
    }
    return NULL;
}

/* ---- progress ---- */

static enum polarys_code progress_load(struct polarys_db *db, const struct index_definition *index,
                                       struct polarys_error *err)
{
    struct index_builder *builder = &db->builder;
    if (builder->index_id == index->id) {
        return POLARYS_OK;
    }
    uint8_t key[INDEX_STATE_KEY_SIZE];
    size_t size = index_state_key(key, index->id, INDEX_STATE_PROGRESS);
    struct tree_value value = {0};
    struct index_progress progress = {0};
    enum polarys_code code = tree_get(db->tree, slice_make(key, size), VERSION_MAX, 0, &value, err);
    if (code == POLARYS_OK && !index_progress_decode(value.bytes, &progress)) {
        code = polarys_fail(err, POLARYS_CORRUPT, "how far the index is built is not readable");
    }
    if (code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND) {
        buffer_clear(&builder->last_key);
        code = buffer_append_slice(&builder->last_key, progress.last_key) == POLARYS_OK
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_NO_MEMORY, "no memory to build an index");
    }
    tree_value_release(&value);
    if (code == POLARYS_OK) {
        builder->index_id = index->id;
        builder->document_count = progress.document_count;
        builder->chunk_documents = INDEX_BUILD_CHUNK_MAX / 4;
        atomic_store(&builder->shown_document_count, progress.document_count);
        atomic_store(&builder->shown_index_id, index->id);
    }
    return code;
}

static enum polarys_code progress_add(struct build_chunk *chunk, struct polarys_error *err)
{
    struct index_builder *builder = &chunk->db->builder;
    struct index_progress progress = {
        .document_count = builder->document_count + chunk->document_count,
        .last_key = buffer_slice(&chunk->last_key),
    };
    uint8_t key[INDEX_STATE_KEY_SIZE];
    size_t size = index_state_key(key, chunk->index->id, INDEX_STATE_PROGRESS);
    struct buffer value = {0};
    enum polarys_code code = index_progress_encode(&progress, &value);
    code = code == POLARYS_OK ? batch_add_system(chunk->batch, ENTRY_PUT, slice_make(key, size),
                                                 buffer_slice(&value), err)
                              : polarys_fail(err, code, "no memory to build an index");
    buffer_deinit(&value);
    return code;
}

static enum polarys_code progress_note(struct build_chunk *chunk, struct polarys_error *err)
{
    struct index_builder *builder = &chunk->db->builder;
    POLARYS_ASSERT(builder->index_id == chunk->index->id && chunk->last_key.size > 0);
    buffer_clear(&builder->last_key);
    if (buffer_append_slice(&builder->last_key, buffer_slice(&chunk->last_key)) != POLARYS_OK) {
        builder->index_id = 0; /* it is read again */
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to build an index");
    }
    builder->document_count += chunk->document_count;
    atomic_store(&builder->shown_document_count, builder->document_count);
    return POLARYS_OK;
}

/* ---- states ---- */

static enum polarys_code restate(struct polarys_db *db, const struct index_definition *index,
                                 enum index_state state, const char *failure,
                                 struct polarys_error *err)
{
    struct change change = {
        .db = db,
        .kind = CHANGE_RESTATE_INDEX,
        .database = db_database_name(NULL),
        .restated = index,
        .state = state,
        .failure = failure,
    };
    enum polarys_code code = change_run(&change, NULL, NULL, err);
    if (code == POLARYS_INDEX_NOT_FOUND) {
        return POLARYS_OK; /* dropped meanwhile */
    }
    if (code == POLARYS_OK) {
        db->builder.index_id = 0;
        polarys_log(state == INDEX_READY ? POLARYS_LOG_INFO : POLARYS_LOG_WARN, "index",
                    "index \"%s\" is %s%s%s", index->name,
                    state == INDEX_READY ? "ready" : "not to be built", failure == NULL ? "" : ": ",
                    failure == NULL ? "" : failure);
        db_event_signal(db);
    }
    return code;
}

static bool is_for_good(enum polarys_code code)
{
    return code == POLARYS_UNIQUE_VIOLATION || code == POLARYS_TOO_LARGE ||
           code == POLARYS_CORRUPT || code == POLARYS_TAMPERED;
}

static enum polarys_code fail_index(struct polarys_db *db, const struct index_definition *index,
                                    enum polarys_code why, struct polarys_error *err)
{
    char failure[INDEX_FAILURE_BYTES_MAX + 1];
    (void)snprintf(failure, sizeof(failure), "%s: %.200s", polarys_code_name(why), err->message);
    return restate(db, index, INDEX_FAILED, failure, err);
}

/* ---- steps ---- */

/* Half as many documents after a conflict, twice as many after a success. */
static void chunk_adapt(struct index_builder *builder, bool has_conflicted)
{
    if (has_conflicted) {
        builder->chunk_documents = (builder->chunk_documents + 1) / 2;
    } else if (builder->chunk_documents < INDEX_BUILD_CHUNK_MAX) {
        builder->chunk_documents *= 2;
    }
}

static enum polarys_code chunk_commit(struct build_chunk *chunk, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (!chunk->has_expired) {
        if (chunk->document_count == 0) {
            return POLARYS_OK;
        }
        code = progress_add(chunk, err);
    }
    chunk->batch->has_own_schema_version = true;
    chunk->batch->own_schema_version = chunk->catalog->version;
    if (code == POLARYS_OK) {
        code = batch_commit_system(chunk->batch, chunk->snapshot, err);
    }
    if (code == POLARYS_TXN_CONFLICT) {
        chunk_adapt(&chunk->db->builder, true);
        chunk->is_last = false;
        return POLARYS_OK;
    }
    if (code != POLARYS_OK || chunk->has_expired) {
        chunk->is_last = false;
        return code;
    }
    chunk_adapt(&chunk->db->builder, false);
    return progress_note(chunk, err);
}

/* Entries cost writers what they cost the tree: where it slows them down this waits as long as they would. */
static uint64_t pause_ns(struct polarys_db *db, size_t bytes)
{
    uint64_t rate = tree_write_rate(db->tree);
    if (rate == UINT64_MAX || rate == 0) {
        return 0;
    }
    double seconds = (double)bytes / (double)rate;
    double limit = INDEX_BUILD_PAUSE_MS_MAX / 1000.0;
    return (uint64_t)((seconds < limit ? seconds : limit) * 1e9);
}

static enum polarys_code chunk_run(struct polarys_db *db, const struct catalog *catalog,
                                   const struct index_definition *index, struct build_next *next,
                                   struct polarys_error *err)
{
    struct build_chunk chunk = {
        .db = db,
        .catalog = catalog,
        .index = index,
        .after = buffer_slice(&db->builder.last_key),
        .documents_max = db->builder.chunk_documents,
    };
    /* Without a lease compaction might drop what this version sees, and a document be passed by. */
    uint64_t lease_id;
    enum polarys_code code = polarys_snapshot_acquire(
        db, POLARYS_VERSION_NEWEST, INDEX_BUILD_LEASE_MS, &lease_id, &chunk.snapshot, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = build_chunk_gather(&chunk, err);
    if (code == POLARYS_OK) {
        code = chunk_commit(&chunk, err);
    }
    snapshot_release(db->snapshots, lease_id);
    if (code == POLARYS_OK && chunk.is_last) {
        code = restate(db, index, INDEX_READY, NULL, err);
    } else if (is_for_good(code)) {
        code = fail_index(db, index, code, err);
    }
    next->delay_ns = pause_ns(db, chunk.entry_bytes);
    build_chunk_deinit(&chunk);
    return code;
}

/* With nothing to build: gathers statistics that are out of date. */
static void statistics_step(struct polarys_db *db, const struct catalog *catalog)
{
    struct index_builder *builder = &db->builder;
    size_t looks = catalog->index_count < INDEX_STATISTICS_LOOKS ? catalog->index_count
                                                                 : (size_t)INDEX_STATISTICS_LOOKS;
    for (size_t i = 0; i < looks && !atomic_load(&db->is_closing); i++) {
        const struct index_definition *index =
            catalog->indexes[builder->looked_at++ % catalog->index_count];
        struct polarys_error err = POLARYS_ERROR_INIT;
        if (index->state != INDEX_READY) {
            continue;
        }
        enum polarys_code code = index_statistics_refresh(db, catalog, index, &err);
        if (code != POLARYS_OK && code != POLARYS_TXN_CONFLICT && code != POLARYS_DRAINING) {
            polarys_log(POLARYS_LOG_WARN, "index", "statistics of index \"%s\": %s", index->name,
                        err.message);
        }
    }
}

static void build_step(struct polarys_db *db, struct build_next *next)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct catalog *catalog = catalog_acquire(&db->catalog);
    const struct index_definition *index = index_to_build(catalog, db->builder.failed_index_id);
    *next = (struct build_next){.is_idle = index == NULL};
    if (index != NULL) {
        enum polarys_code code = progress_load(db, index, &err);
        if (code == POLARYS_OK) {
            code = chunk_run(db, catalog, index, next, &err);
        } else if (is_for_good(code)) {
            code = fail_index(db, index, code, &err);
        }
        if (code != POLARYS_OK) {
            next->delay_ns = INDEX_BUILD_RETRY_MS * MILLISECOND_NS;
            db->builder.failed_index_id = index->id;
            if (code != POLARYS_DRAINING) {
                polarys_log(POLARYS_LOG_WARN, "index", "build index \"%s\": %s", index->name,
                            err.message);
            }
        }
    }
    if (index == NULL) {
        statistics_step(db, catalog);
    }
    catalog_release(catalog);
}

static void build_run(struct task *task)
{
    struct index_builder *builder =
        (struct index_builder *)((char *)task - offsetof(struct index_builder, task));
    struct polarys_db *db =
        (struct polarys_db *)((char *)builder - offsetof(struct polarys_db, builder));
    struct build_next next = {.is_idle = true};
    atomic_store(&builder->state, BUILD_RUNNING);
    /* A follower gets indexes and statistics from its primary. */
    if (!atomic_load(&db->is_closing) && !atomic_load(&db->is_log_failed) &&
        commit_takes_writes(db->commit)) {
        build_step(db, &next);
    }
    if (next.is_idle || atomic_load(&db->is_closing)) {
        unsigned running = BUILD_RUNNING;
        if (atomic_load(&db->is_closing)) {
            atomic_store(&builder->state, BUILD_IDLE); /* nothing may follow */
            return;
        }
        if (atomic_compare_exchange_strong(&builder->state, &running, BUILD_IDLE)) {
            return;
        }
    }
    executor_submit_after(db->call_executor, EXECUTOR_COMPACT, &builder->task, next.delay_ns);
}

void index_build_kick(struct polarys_db *db)
{
    struct index_builder *builder = &db->builder;
    if (atomic_exchange(&builder->state, BUILD_AGAIN) == BUILD_IDLE) {
        builder->task.run = build_run;
        executor_submit(db->call_executor, EXECUTOR_COMPACT, &builder->task);
    }
}

void index_build_tick(struct polarys_db *db, uint64_t now_ns)
{
    if (now_ns - db->builder.ticked_ns >= INDEX_STATISTICS_NS) {
        db->builder.ticked_ns = now_ns;
        index_build_kick(db);
    }
}

void index_build_stop(struct polarys_db *db)
{
    POLARYS_ASSERT(atomic_load(&db->is_closing));
    while (atomic_load(&db->builder.state) != BUILD_IDLE) {
        db_event_wait(db, DB_CLOSE_POLL_MS * MILLISECOND_NS);
    }
}

void index_builder_deinit(struct index_builder *builder)
{
    buffer_deinit(&builder->last_key);
}
