/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that follows another: taking in its log, applying it, and becoming a primary.
 *
 * Order of effects for each frame: written → synced → its entries in the tree → the catalogue, where it
 * changes → the versions. So a reader never sees what a crash of this node could take back, nor a document of
 * a table that it cannot look up.
 *
 * Frames are kept in plain between the write and the sync; one sync serves all of them.
 */
#include "engine/engine_replica.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/wal/log_batch.h"
#include "engine/wal/wal_follow.h"

_Static_assert((int)POLARYS_LOG_TAG_SIZE == (int)AEAD_TAG_SIZE, "tags of positions");
_Static_assert((int)POLARYS_LOG_SEGMENT_HEADER_SIZE == (int)WAL_SEGMENT_HEADER_SIZE,
               "segment headers");
_Static_assert((int)POLARYS_LOG_FRAME_HEADER_SIZE == (int)WAL_FRAME_HEADER_SIZE, "frame headers");

#define FOLLOW_ROOM_WAIT_NS UINT64_C(100000000)

/* A frame that is written and not yet applied. */
struct follow_frame {
    struct follow_frame *next;
    uint64_t first_version;
    uint32_t commit_count;
    struct wal_position end;
    size_t payload_size;
    uint8_t payload[];
};

/* Of the thread that takes in the log. */
struct db_follow {
    struct follow_frame *first;
    struct follow_frame *last;
    size_t pending_bytes;
};

bool polarys_db_is_follower(const struct polarys_db *db)
{
    return commit_is_follower(db->commit);
}

enum polarys_code db_follow_create(struct polarys_db *db, struct polarys_error *err)
{
    db->follow = calloc(1, sizeof(*db->follow));
    return db->follow != NULL
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_NO_MEMORY, "no memory to follow another store");
}

void db_follow_destroy(struct polarys_db *db)
{
    while (db->follow != NULL && db->follow->first != NULL) {
        struct follow_frame *next = db->follow->first->next;
        free(db->follow->first);
        db->follow->first = next;
    }
    free(db->follow);
    db->follow = NULL;
}

static enum polarys_code follower_check(struct polarys_db *db, struct polarys_error *err)
{
    return db->follow != NULL && polarys_db_is_follower(db)
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_BAD_ARGUMENT, "the store is no follower");
}

void polarys_log_position_get(struct polarys_db *db, struct polarys_log_position *position)
{
    struct wal_position end;
    wal_position_get(db->wal, &end);
    *position = (struct polarys_log_position){.segment_id = end.segment_id,
                                              .offset = end.offset,
                                              .version = commit_published_version(db->commit)};
    memcpy(position->tag, end.tag, AEAD_TAG_SIZE);
    if (db->follow != NULL && db->follow->last != NULL) {
        const struct follow_frame *last = db->follow->last;
        position->version = last->first_version + last->commit_count - 1;
    }
}

enum polarys_code polarys_replica_segment(struct polarys_db *db, struct polarys_slice header,
                                          struct polarys_error *err)
{
    enum polarys_code code = follower_check(db, err);
    if (code == POLARYS_OK) {
        code = wal_follow_segment(db->wal, header, err);
    }
    if (code == POLARYS_OK &&
        (wal_term(db->wal) != polarys_db_term(db) ||
         memcmp(wal_history_id(db->wal), polarys_db_history_id(db), HISTORY_ID_SIZE) != 0)) {
        code = db_origin_set(db, wal_term(db->wal), wal_history_id(db->wal), err);
    }
    return code;
}

enum polarys_code db_follow_add(struct polarys_db *db, const struct wal_frame *frame,
                                struct polarys_error *err)
{
    struct db_follow *follow = db->follow;
    struct follow_frame *added = malloc(sizeof(*added) + frame->payload.size);
    if (added == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to keep a frame of %zu bytes",
                            frame->payload.size);
    }
    *added = (struct follow_frame){.first_version = frame->first_version,
                                   .commit_count = frame->commit_count,
                                   .end = frame->position,
                                   .payload_size = frame->payload.size};
    memcpy(added->payload, frame->payload.data, frame->payload.size);
    if (follow->last == NULL) {
        follow->first = added;
    } else {
        follow->last->next = added;
    }
    follow->last = added;
    follow->pending_bytes += frame->payload.size;
    return POLARYS_OK;
}

enum polarys_code polarys_replica_frame(struct polarys_db *db, struct polarys_slice frame,
                                        struct polarys_error *err)
{
    struct wal_frame taken;
    enum polarys_code code = follower_check(db, err);
    if (code == POLARYS_OK) {
        code = wal_follow_frame(db->wal, frame, &taken, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = db_follow_add(db, &taken, err);
    if (code != POLARYS_OK) {
        /* It is in the log but will not be applied: the order is lost until the store is opened again. */
        return polarys_wrap(err, code, "follow version %" PRIu64, taken.first_version);
    }
    return db->follow->pending_bytes < POLARYS_REPLICA_PENDING_BYTES
               ? POLARYS_OK
               : polarys_replica_sync(db, NULL, err);
}

/* ---- applying ---- */

/* One frame on its way into the tree; what is done stays done when room runs out in the middle. */
struct follow_apply {
    struct polarys_db *db;
    const struct follow_frame *frame;
    uint32_t applied_count;
    uint64_t time_unix_ms;
    uint64_t schema_version; /* of the last commit that changes the catalogue; 0: none */
};

static bool is_of_catalog(struct polarys_slice tree_key)
{
    return get_u32_be(tree_key.data) == SYSTEM_DATABASE_ID &&
           get_u32_be(tree_key.data + 4) == SYSTEM_TABLE_CATALOG;
}

static enum polarys_code commit_apply(void *context, uint32_t index, uint64_t time_unix_ms,
                                      const struct entry *operations, size_t operation_count,
                                      struct polarys_error *err)
{
    struct follow_apply *apply = context;
    struct tree *tree = apply->db->tree;
    if (index < apply->applied_count) {
        return POLARYS_OK;
    }
    uint64_t version = apply->frame->first_version + index;
    size_t entry_bytes = 0;
    size_t range_deletes = 0;
    for (size_t i = 0; i < operation_count; i++) {
        entry_bytes += memtable_entry_bytes_max(operations[i].key.size, operations[i].value.size);
        range_deletes += operations[i].kind == ENTRY_RANGE_DELETE;
        if (operations[i].key.size < TREE_KEY_PREFIX_SIZE) {
            return polarys_fail(err, POLARYS_CORRUPT,
                                "version %" PRIu64 " has a key without a table", version);
        }
    }
    enum polarys_code code = tree_reserve(tree, entry_bytes, range_deletes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    snapshots_note_commit(apply->db->snapshots, version, time_unix_ms, 0);
    for (size_t i = 0; i < operation_count; i++) {
        struct entry entry = operations[i];
        entry.version = version;
        tree_insert(tree, &entry);
        if (is_of_catalog(entry.key)) {
            apply->schema_version = version;
        }
    }
    apply->time_unix_ms = time_unix_ms;
    apply->applied_count = index + 1;
    return POLARYS_OK;
}

static enum polarys_code catalog_follow(struct polarys_db *db, uint64_t version,
                                        struct polarys_error *err)
{
    struct catalog *catalog;
    enum polarys_code code = catalog_load(db->tree, version, &catalog, err);
    if (code == POLARYS_OK) {
        catalog->version = version;
        catalog_holder_publish(&db->catalog, catalog);
    }
    return code;
}

/* In the log role. */
static enum polarys_code frame_apply(void *context, struct polarys_error *err)
{
    struct follow_apply *apply = context;
    const struct follow_frame *frame = apply->frame;
    struct polarys_slice payload = slice_make(frame->payload, frame->payload_size);
    struct log_batch_visitor visitor = {.commit = commit_apply, .context = apply};
    enum polarys_code code = log_batch_decode(payload, frame->commit_count, &visitor, err);
    if (code == POLARYS_OK && apply->schema_version != 0) {
        code = catalog_follow(apply->db, apply->schema_version, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct commit_frame durable = {.first_version = frame->first_version,
                                   .commit_count = frame->commit_count,
                                   .pieces = &payload,
                                   .piece_count = 1,
                                   .end = frame->end};
    commit_follow_publish(apply->db->commit, &durable, apply->time_unix_ms, apply->schema_version);
    return POLARYS_OK;
}

static enum polarys_code pending_apply(struct polarys_db *db, struct polarys_error *err)
{
    struct db_follow *follow = db->follow;
    while (follow->first != NULL) {
        struct follow_apply apply = {.db = db, .frame = follow->first};
        enum polarys_code code;
        for (;;) {
            code = commit_run_exclusive(db->commit, frame_apply, &apply, err);
            if (code != POLARYS_WOULD_BLOCK) {
                break;
            }
            polarys_error_clear(err);
            db_event_wait(db, FOLLOW_ROOM_WAIT_NS);
        }
        if (code != POLARYS_OK) {
            return polarys_wrap(err, code, "apply the log from version %" PRIu64,
                                follow->first->first_version);
        }
        struct follow_frame *done = follow->first;
        follow->first = done->next;
        follow->last = done->next == NULL ? NULL : follow->last;
        follow->pending_bytes -= done->payload_size;
        free(done);
    }
    return POLARYS_OK;
}

enum polarys_code polarys_replica_sync(struct polarys_db *db, struct polarys_log_position *durable,
                                       struct polarys_error *err)
{
    enum polarys_code code = follower_check(db, err);
    if (code == POLARYS_OK) {
        code = wal_follow_sync(db->wal, err);
    }
    if (code == POLARYS_OK) {
        code = pending_apply(db, err);
    }
    if (code == POLARYS_OK && durable != NULL) {
        polarys_log_position_get(db, durable);
    }
    return code;
}

/* ---- the end of a primary ---- */

enum polarys_code polarys_writes_stop(struct polarys_db *db, struct polarys_error *err)
{
    commit_stop(db->commit);
    enum polarys_code code = commit_sync(db->commit, err);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "make the last writes durable");
}

void polarys_writes_resume(struct polarys_db *db)
{
    commit_resume(db->commit);
}

/* ---- promotion ---- */

struct promotion {
    struct polarys_db *db;
    const struct db_promotion *order;
};

/*
 * How far the versions of a term are beyond the last of the term that the log is of. Two nodes that are promoted from one log,
 * neither of which knows of the other, have different terms, and so no version in common.
 */
static uint64_t version_jump(uint64_t log_term, uint64_t term)
{
    uint64_t terms = term > log_term ? term - log_term : 1;
    terms = terms < DB_TERMS_JUMPED_MAX ? terms : DB_TERMS_JUMPED_MAX;
    return terms * DB_VERSION_JUMP_PROMOTION;
}

/* In the log role: nobody reads the origin but through the pointer. */
static enum polarys_code promote_do(void *context, struct polarys_error *err)
{
    const struct promotion *promotion = context;
    struct polarys_db *db = promotion->db;
    uint64_t last_version = commit_published_version(db->commit);
    /* The log may end with a term in which nothing was written. */
    if (wal_version_min(db->wal) > last_version + 1) {
        last_version = wal_version_min(db->wal) - 1;
    }
    last_version += version_jump(polarys_db_term(db), promotion->order->term);
    struct db_origin *origin = calloc(1, sizeof(*origin));
    if (origin == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a promotion");
    }
    const struct db_promotion *order = promotion->order;
    enum polarys_code code = POLARYS_OK;
    origin->term = order->term;
    if (order->is_log_begun) {
        memcpy(origin->history_id, order->history_id, HISTORY_ID_SIZE);
    } else {
        code = random_fill(db->random, origin->history_id, HISTORY_ID_SIZE, err);
    }
    struct manifest_edit edit = {
        .has_origin = true, .term = origin->term, .first_version = last_version + 1};
    memcpy(edit.history_id, origin->history_id, HISTORY_ID_SIZE);
    if (code == POLARYS_OK) {
        code = tree_manifest_append(db->tree, &edit, err);
    }
    if (code == POLARYS_OK && !order->is_log_begun) {
        code = wal_follow_promote(db->wal, last_version + 1, origin->term, origin->history_id, err);
    }
    if (code != POLARYS_OK) {
        free(origin);
        return code;
    }
    db_origin_publish(db, origin);
    commit_follow_end(db->commit, last_version);
    return POLARYS_OK;
}

enum polarys_code db_follow_promote(struct polarys_db *db, const struct db_promotion *order,
                                    struct polarys_error *err)
{
    struct promotion promotion = {.db = db, .order = order};
    enum polarys_code code = commit_run_exclusive(db->commit, promote_do, &promotion, err);
    if (code == POLARYS_OK) {
        polarys_log(POLARYS_LOG_INFO, "store",
                    "promoted: primary of term %" PRIu64 " from version %" PRIu64, order->term,
                    commit_published_version(db->commit) + 1);
    }
    return code;
}

enum polarys_code polarys_replica_promote(struct polarys_db *db, uint64_t term,
                                          struct polarys_error *err)
{
    enum polarys_code code = polarys_replica_sync(db, NULL, err);
    uint64_t log_term = wal_term(db->wal);
    struct db_promotion order = {.term = term == 0 ? log_term + 1 : term};
    if (code == POLARYS_OK && order.term <= log_term) {
        code =
            polarys_fail(err, POLARYS_BAD_ARGUMENT,
                         "term %" PRIu64 " is not above the log's, %" PRIu64, order.term, log_term);
    }
    if (code == POLARYS_OK) {
        code = db_follow_promote(db, &order, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "promote");
}
