/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the log of a store and all that stands on it: recovery, the origin of what will be written, the feed, the
 * commit path; for a primary, which begins a segment of its own, and for a follower, which goes on in its
 * primary's.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/wal/wal_follow.h"
#include "engine/watch_hub.h"

void db_origin_publish(struct polarys_db *db, struct db_origin *take_origin)
{
    take_origin->previous = atomic_load_explicit(&db->origin, memory_order_relaxed);
    atomic_store_explicit(&db->origin, take_origin, memory_order_release);
}

enum polarys_code db_origin_set(struct polarys_db *db, uint64_t term,
                                const uint8_t history_id[HISTORY_ID_SIZE],
                                struct polarys_error *err)
{
    struct db_origin *origin = calloc(1, sizeof(*origin));
    if (origin == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a history id");
    }
    origin->term = term;
    memcpy(origin->history_id, history_id, HISTORY_ID_SIZE);
    db_origin_publish(db, origin);
    return POLARYS_OK;
}

void db_origins_free(struct polarys_db *db)
{
    struct db_origin *origin = atomic_load(&db->origin);
    while (origin != NULL) {
        struct db_origin *previous = origin->previous;
        free(origin);
        origin = previous;
    }
    atomic_store(&db->origin, NULL);
}

const uint8_t *polarys_db_history_id(const struct polarys_db *db)
{
    return atomic_load_explicit(&db->origin, memory_order_acquire)->history_id;
}

uint64_t polarys_db_term(const struct polarys_db *db)
{
    return atomic_load_explicit(&db->origin, memory_order_acquire)->term;
}

static void commit_published(void *context, uint64_t version, uint64_t time_unix_ms, uint64_t bytes)
{
    struct polarys_db *db = context;
    snapshots_note_commit(db->snapshots, version, time_unix_ms, bytes);
    atomic_store_explicit(&db->written_version, version, memory_order_release);
}

static void commit_durable(void *context, const struct commit_frame *frame)
{
    struct polarys_db *db = context;
    feed_publish(db->feed, frame);
}

static void commit_failed(void *context, const struct polarys_error *err)
{
    struct polarys_db *db = context;
    atomic_store(&db->is_log_failed, true);
    polarys_log(POLARYS_LOG_ERROR, "store", "the log failed, nothing more can be written: %s",
                err->message);
}

static struct wal_options wal_options_make(struct polarys_db *db)
{
    struct wal_options options = {.vfs = db->vfs,
                                  .dir = db->wal_dir,
                                  .keyring = db->keyring,
                                  .random = db->random,
                                  .executor = db->executor,
                                  .segment_bytes = db->settings.wal_segment_bytes,
                                  .sync_mode = db->settings.wal_sync,
                                  .keep_bytes = db->settings.wal_keep_bytes,
                                  .is_follower = db->settings.is_follower};
    return options;
}

/* After an unclean end, and at the first start: a new history id, durable before anything is written
 * under it. */
static enum polarys_code origin_make(struct polarys_db *db, struct db_log_end *end,
                                     const struct manifest_state *state, struct polarys_error *err)
{
    static const uint8_t no_history[HISTORY_ID_SIZE];
    bool has_history = memcmp(state->history_id, no_history, sizeof(no_history)) != 0;
    if (end->is_clean && has_history) {
        return db_origin_set(db, state->term, state->history_id, err);
    }
    if (end->last_version > 0) {
        end->last_version += DB_VERSION_JUMP;
    }
    struct manifest_edit edit = {.has_origin = true,
                                 .term = state->term == 0 ? 1 : state->term,
                                 .first_version = end->last_version + 1};
    enum polarys_code code = random_fill(db->random, edit.history_id, HISTORY_ID_SIZE, err);
    if (code == POLARYS_OK) {
        code = db_origin_set(db, edit.term, edit.history_id, err);
    }
    if (code == POLARYS_OK) {
        code = tree_manifest_append(db->tree, &edit, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "record the new history id");
}

static enum polarys_code version_check(const struct polarys_db *db, const struct db_log_end *end,
                                       struct polarys_error *err)
{
    if (end->last_version >= db->settings.min_version) {
        return POLARYS_OK;
    }
    return polarys_fail(err, POLARYS_TAMPERED,
                        "the store ends at version %" PRIu64 ", below min_version %" PRIu64
                        ": an older copy was put in its place",
                        end->last_version, db->settings.min_version);
}

static enum polarys_code log_and_commit_open(struct polarys_db *db,
                                             const struct wal_options *wal_options,
                                             const struct db_log_end *end,
                                             struct polarys_error *err)
{
    bool is_follower = wal_options->is_follower;
    enum polarys_code code =
        is_follower ? wal_follow_open(wal_options, &end->recovery, &db->wal, err)
                    : wal_open(wal_options, &end->position, end->last_version + 1,
                               polarys_db_term(db), polarys_db_history_id(db), &db->wal, err);
    if (code == POLARYS_OK && is_follower) {
        code = db_follow_create(db, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    db->opened_version = end->last_version;
    struct feed_options feed_options = {
        .wal = db->wal, .executor = db->executor, .last_version = end->last_version};
    code = feed_open(&feed_options, &db->feed, err);
    if (code == POLARYS_OK) {
        code = watch_hub_open(db, &db->watches, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct commit_options options = {
        .tree = db->tree,
        .wal = db->wal,
        .executor = db->executor,
        .role_policy = db->settings.log_role,
        .sync_interval_ns = db->settings.wal_sync_interval_ms * UINT64_C(1000000),
        .last_version = end->last_version,
        .last_time_ms = end->last_time_ms,
        .schema_version = end->last_version,
        .is_follower = is_follower,
        .published = commit_published,
        .durable = commit_durable,
        .failed = commit_failed,
        .context = db,
    };
    return commit_open(&options, &db->commit, err);
}

enum polarys_code db_log_open(struct polarys_db *db, const struct manifest_state *before,
                              struct polarys_error *err)
{
    struct wal_options wal_options = wal_options_make(db);
    struct db_log_end end;
    enum polarys_code code = db_recover(db, &wal_options, before, &end, err);
    if (code == POLARYS_OK) {
        code = version_check(db, &end, err);
    }
    if (code == POLARYS_OK && db->settings.is_follower) {
        /* The log says whose it is; before the first segment the manifest does. */
        bool has_log = end.recovery.segment_count > 0;
        code = db_origin_set(db, has_log ? end.recovery.term : before->term,
                             has_log ? end.recovery.history_id : before->history_id, err);
    } else if (code == POLARYS_OK) {
        code = origin_make(db, &end, before, err);
    }
    return code == POLARYS_OK ? log_and_commit_open(db, &wal_options, &end, err) : code;
}
