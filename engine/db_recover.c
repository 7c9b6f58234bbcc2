/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log holds beyond the table files goes into the tree.
 *
 * Invariant: nothing is written but table files and manifest edits of ordinary flushes, so a crash at any
 * point leaves a store that recovers to the same state. A cleanly closed store reads no log at all.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/wal/log_batch.h"

/* How long recovery waits for room before it looks again. */
#define ROOM_WAIT_NS UINT64_C(10000000)

struct replay {
    struct polarys_db *db;
    uint64_t flushed_version; /* as of the start: nothing at or below it is replayed */
    uint64_t first_version;   /* of the frame in hand */
    uint64_t payload_bytes;   /* of the frame in hand; counted for its first commit */
    uint64_t last_time_ms;
    uint64_t commit_count;
};

static enum polarys_code reserve(struct replay *replay, const struct entry *operations,
                                 size_t count, struct polarys_error *err)
{
    size_t entry_bytes = 0;
    size_t range_deletes = 0;
    for (size_t i = 0; i < count; i++) {
        if (operations[i].kind == ENTRY_RANGE_DELETE) {
            range_deletes++;
        }
        entry_bytes += memtable_entry_bytes_max(operations[i].key.size, operations[i].value.size);
    }
    for (;;) {
        enum polarys_code code = tree_reserve(replay->db->tree, entry_bytes, range_deletes, err);
        if (code != POLARYS_WOULD_BLOCK) {
            return code;
        }
        db_event_wait(replay->db, ROOM_WAIT_NS);
    }
}

static enum polarys_code replay_commit(void *context, uint32_t index, uint64_t time_unix_ms,
                                       const struct entry *operations, size_t operation_count,
                                       struct polarys_error *err)
{
    struct replay *replay = context;
    uint64_t version = replay->first_version + index;
    replay->last_time_ms =
        time_unix_ms > replay->last_time_ms ? time_unix_ms : replay->last_time_ms;
    if (version <= replay->flushed_version) {
        return POLARYS_OK;
    }
    enum polarys_code code = reserve(replay, operations, operation_count, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "replay version %" PRIu64, version);
    }
    /* Before the entries: a flush of this memtable asks for the time of its newest version. */
    snapshots_note_commit(replay->db->snapshots, version, time_unix_ms, replay->payload_bytes);
    replay->payload_bytes = 0;
    for (size_t i = 0; i < operation_count; i++) {
        struct entry entry = operations[i];
        entry.version = version;
        tree_insert(replay->db->tree, &entry);
    }
    atomic_store(&replay->db->written_version, version);
    replay->commit_count++;
    return POLARYS_OK;
}

static enum polarys_code replay_frame(void *context, const struct wal_frame *frame,
                                      struct polarys_error *err)
{
    struct replay *replay = context;
    replay->first_version = frame->first_version;
    replay->payload_bytes = frame->payload.size;
    struct log_batch_visitor visitor = {.commit = replay_commit, .context = replay};
    return log_batch_decode(frame->payload, frame->commit_count, &visitor, err);
}

static uint64_t newest_known_time(const struct manifest_state *state)
{
    return state->time_count == 0 ? 0 : state->times[state->time_count - 1].time_unix_ms;
}

/* True when the store was closed cleanly and nothing has happened since. */
static enum polarys_code is_clean(const struct wal_options *wal_options,
                                  const struct manifest_state *state, bool *clean,
                                  struct polarys_error *err)
{
    *clean = false;
    if (!state->is_clean) {
        return POLARYS_OK;
    }
    return wal_ends_at(wal_options, &state->clean_position, clean, err);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/*
 * The last version that was left out before the log goes on, where no frame shows it. A promotion writes the origin into the
 * manifest before the log's first segment of the new term: where that was cut off, a follower is still where its log is.
 */
static uint64_t version_left_out(const struct wal_options *wal_options,
                                 const struct manifest_state *state,
                                 const struct wal_recovery *recovery)
{
    bool is_by_log = wal_options->is_follower && recovery->segment_count > 0;
    uint64_t next = is_by_log ? recovery->first_version : state->origin_version;
    return next == 0 ? 0 : next - 1;
}

enum polarys_code db_recover(struct polarys_db *db, const struct wal_options *wal_options,
                             const struct manifest_state *state, struct db_log_end *end,
                             struct polarys_error *err)
{
    *end = (struct db_log_end){0};
    end->last_time_ms = newest_known_time(state);
    /* A follower goes on in the middle of a segment, which has to be read for that. */
    enum polarys_code code =
        wal_options->is_follower ? POLARYS_OK : is_clean(wal_options, state, &end->is_clean, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "recover");
    }
    if (end->is_clean) {
        end->position = state->clean_position;
        end->last_version = state->clean_version;
        return POLARYS_OK;
    }
    /* The manifest moves on while memtables are flushed: look at it before. */
    uint64_t known = larger(state->flushed_version, state->clean_version);
    struct replay replay = {
        .db = db, .flushed_version = state->flushed_version, .last_time_ms = end->last_time_ms};
    struct wal_visitor visitor = {.frame = replay_frame, .context = &replay};
    struct wal_recovery recovery;
    code = wal_recover(wal_options, replay.flushed_version, &visitor, &recovery, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "recover the log");
    }
    known = larger(known, version_left_out(wal_options, state, &recovery));
    end->recovery = recovery;
    end->position = recovery.end;
    end->last_version = larger(known, recovery.last_version);
    end->last_time_ms = replay.last_time_ms;
    if (recovery.segment_count > 0) {
        polarys_log(POLARYS_LOG_INFO, "store",
                    "recovered: %" PRIu64 " commits of the log replayed, last version %" PRIu64,
                    replay.commit_count, recovery.last_version);
    }
    return POLARYS_OK;
}
