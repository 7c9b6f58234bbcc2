/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending a restore at any version: see engine_restore.h.
 *
 * A frame is sealed whole, so one of which only the first commits are wanted cannot be in the log as it is. They
 * go into the first frame of the segment that the promotion begins, with the versions that they had.
 */
#include <inttypes.h>

#include "engine/engine_internal.h"
#include "engine/engine_restore.h"
#include "engine/wal/log_batch.h"
#include "engine/wal/wal_follow.h"

enum polarys_code polarys_restore_time(struct polarys_db *db, struct polarys_slice frame,
                                       uint64_t *time_unix_ms, struct polarys_error *err)
{
    struct wal_frame next;
    size_t size;
    if (!polarys_db_is_follower(db)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the store is no follower");
    }
    enum polarys_code code = wal_follow_peek(db->wal, frame, &next, err);
    return code == POLARYS_OK ? log_batch_measure(next.payload, 0, time_unix_ms, &size, err) : code;
}

uint64_t polarys_restore_newest_time(struct polarys_db *db)
{
    return db_version_time_ms(db, polarys_db_version(db));
}

/* The beginning of a frame on its way into the log of the new term. */
struct restore_cut {
    struct polarys_db *db;
    struct db_promotion *order;
    struct wal_frame *frame; /* what is wanted of it */
};

/* In the log role. */
static enum polarys_code cut_write(void *context, struct polarys_error *err)
{
    const struct restore_cut *cut = context;
    struct wal *wal = cut->db->wal;
    struct wal_frame *frame = cut->frame;
    enum polarys_code code =
        random_fill(cut->db->random, cut->order->history_id, HISTORY_ID_SIZE, err);
    if (code == POLARYS_OK) {
        code = wal_follow_promote(wal, frame->first_version, cut->order->term,
                                  cut->order->history_id, err);
    }
    if (code == POLARYS_OK) {
        code = wal_append(wal, frame->first_version, frame->commit_count, &frame->payload, 1,
                          &frame->position, err);
    }
    cut->order->is_log_begun = code == POLARYS_OK;
    return code;
}

enum polarys_code polarys_restore_promote_within(struct polarys_db *db, struct polarys_slice frame,
                                                 uint64_t version, uint64_t term,
                                                 struct polarys_error *err)
{
    struct wal_frame next;
    struct db_promotion order = {.term = 0};
    struct restore_cut cut = {.db = db, .order = &order, .frame = &next};
    uint64_t time_unix_ms;
    enum polarys_code code = polarys_replica_sync(db, NULL, err);
    if (code == POLARYS_OK) {
        code = wal_follow_peek(db->wal, frame, &next, err);
    }
    if (code == POLARYS_OK &&
        (version < next.first_version || version - next.first_version >= next.commit_count)) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "version %" PRIu64 " is not in the frame of %" PRIu64, version,
                            next.first_version);
    }
    if (code == POLARYS_OK) {
        next.commit_count = (uint32_t)(version - next.first_version + 1);
        code = log_batch_measure(next.payload, next.commit_count, &time_unix_ms, &next.payload.size,
                                 err);
    }
    if (code == POLARYS_OK) {
        order.term = term == 0 ? wal_term(db->wal) + 1 : term;
        code = commit_run_exclusive(db->commit, cut_write, &cut, err);
    }
    if (code == POLARYS_OK) {
        code = db_follow_add(db, &next, err);
    }
    if (code == POLARYS_OK) {
        code = polarys_replica_sync(db, NULL, err);
    }
    if (code == POLARYS_OK) {
        code = db_follow_promote(db, &order, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "end at version %" PRIu64, version);
}
