/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of a tail: pieces are put together into segment headers and frames and given to the engine,
 * one sync serves all that was there to take, and then the follower says how far it is.
 *
 * The invariant: what is acknowledged as durable was synced here.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "service/replication/follower_internal.h"
#include "service/server/check.h"
#include "service/server/timing.h"

/* What one round of messages brought. */
struct tail_round {
    size_t bytes;
    bool has_log;
    bool has_end;
    bool has_ended; /* the other node ended the stream */
    uint64_t end_version;
    uint64_t behind_bytes;
};

static enum polarys_code local_error(struct follower *follower, enum polarys_code code)
{
    follower->is_local_error |= code != POLARYS_OK;
    return code;
}

/* ---- pieces ---- */

static enum polarys_code parts_add(struct follower *follower, const Polarys__V1__LogPiece *piece,
                                   struct polarys_error *err)
{
    struct frame_parts *parts = &follower->parts;
    size_t needed = parts->size + piece->data.len;
    if (parts->size > 0 && parts->segment_id != piece->segment_id) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "a frame goes on in another segment");
    }
    if (needed > FOLLOWER_FRAME_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "a frame of more than %d bytes",
                            FOLLOWER_FRAME_BYTES_MAX);
    }
    if (needed > parts->room) {
        size_t room = needed > parts->room * 2 ? needed : parts->room * 2;
        uint8_t *bytes = realloc(parts->bytes, room);
        if (bytes == NULL) {
            /* Nothing was taken in yet: another attempt may find memory. */
            return polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory for a frame of %zu bytes",
                                needed);
        }
        parts->bytes = bytes;
        parts->room = room;
    }
    memcpy(parts->bytes + parts->size, piece->data.data, piece->data.len);
    parts->size = needed;
    parts->segment_id = piece->segment_id;
    return POLARYS_OK;
}

static enum polarys_code header_take(struct follower *follower, const Polarys__V1__LogPiece *piece,
                                     struct polarys_error *err)
{
    if (piece->segment_id <= follower->header_segment_id) {
        return POLARYS_OK; /* the segment in which the tail began: its header is here already */
    }
    enum polarys_code code =
        polarys_replica_segment(follower->db, slice_make(piece->data.data, piece->data.len), err);
    if (code == POLARYS_OK) {
        follower->header_segment_id = piece->segment_id;
        return follower_term_note(follower, polarys_db_term(follower->db), err);
    }
    return local_error(follower, code);
}

static enum polarys_code piece_take(struct follower *follower, const Polarys__V1__LogPiece *piece,
                                    struct polarys_error *err)
{
    struct frame_parts *parts = &follower->parts;
    if (piece->data.len == 0) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "a piece of the log without bytes");
    }
    if (piece->offset == 0 && !piece->is_continued && parts->size == 0) {
        return header_take(follower, piece, err);
    }
    struct polarys_slice frame = slice_make(piece->data.data, piece->data.len);
    if (piece->is_continued || parts->size > 0) {
        enum polarys_code code = parts_add(follower, piece, err);
        if (code != POLARYS_OK || piece->is_continued) {
            return code;
        }
        frame = slice_make(parts->bytes, parts->size);
        parts->size = 0;
    }
    return local_error(follower, polarys_replica_frame(follower->db, frame, err));
}

/* ---- what else a message says ---- */

/* Takes the mark over once this node has all that the other one had then. */
static void freshness_note(struct follower *follower, uint64_t applied)
{
    struct freshness_mark *mark = &follower->mark;
    if (mark->is_set && applied >= mark->version) {
        __atomic_store_n(&follower->fresh_ns, mark->heard_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&follower->fresh_wall_ms, mark->sent_wall_ms, __ATOMIC_RELEASE);
        mark->is_set = false;
    }
}

static void end_take(struct follower *follower, const Polarys__V1__TailLogResponse *message,
                     struct tail_round *round)
{
    if (message->end == NULL) {
        return;
    }
    round->has_end = true;
    round->end_version = message->end->version;
    round->behind_bytes = message->behind_bytes;
    if (!follower->mark.is_set) {
        int64_t wall_ms =
            message->send_time == NULL
                ? (int64_t)timing_wall_ms()
                : message->send_time->seconds * 1000 + message->send_time->nanos / TIMING_NS_PER_MS;
        follower->mark = (struct freshness_mark){.is_set = true,
                                                 .version = message->end->version,
                                                 .sent_wall_ms = (uint64_t)wall_ms,
                                                 .heard_ns = timing_now_ns()};
    }
    if (message->stable_version != 0) {
        __atomic_store_n(&follower->stable_version, message->stable_version, __ATOMIC_RELAXED);
    }
}

static enum polarys_code message_take(struct follower *follower,
                                      const Polarys__V1__TailLogResponse *message,
                                      struct tail_round *round, struct polarys_error *err)
{
    if (message->n_commits > 0) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "commits in plain, which were not asked for");
    }
    for (size_t i = 0; i < message->n_pieces; i++) {
        round->bytes += message->pieces[i]->data.len;
        round->has_log = true;
        enum polarys_code code = piece_take(follower, message->pieces[i], err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    end_take(follower, message, round);
    return POLARYS_OK;
}

/* Waits for a message, and takes as many more as are there already. */
static enum polarys_code round_take(struct follower *follower, struct peer_stream *stream,
                                    struct tail_round *round, struct polarys_error *err)
{
    uint32_t wait_ms = FOLLOWER_SILENCE_MS;
    while (round->bytes < FOLLOWER_GROUP_BYTES) {
        struct peer_received received;
        proto_arena_reset(&follower->arena);
        enum polarys_code code =
            peer_stream_receive(stream, wait_ms, &follower->arena, &received, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (received.event == PEER_IDLE && wait_ms != 0) {
            return polarys_fail(err, POLARYS_WAIT_TIMEOUT, "nothing was heard for %d s",
                                FOLLOWER_SILENCE_MS / 1000);
        }
        round->has_ended = received.event == PEER_ENDED;
        if (received.event != PEER_MESSAGE) {
            break;
        }
        code = message_take(follower, received.message, round, err);
        if (code != POLARYS_OK) {
            return code;
        }
        wait_ms = 0;
    }
    return POLARYS_OK;
}

static enum polarys_code acknowledge(struct peer_stream *stream,
                                     const struct polarys_log_position *durable, uint64_t applied,
                                     uint64_t term, struct polarys_error *err)
{
    Polarys__V1__LogPosition position;
    Polarys__V1__TailLogAck ack = POLARYS__V1__TAIL_LOG_ACK__INIT;
    Polarys__V1__TailLogRequest request = POLARYS__V1__TAIL_LOG_REQUEST__INIT;
    follower_position_fill(durable, &position);
    ack.durable = &position;
    ack.received_version = durable->version;
    ack.applied_version = applied;
    ack.term = term;
    request.kind_case = POLARYS__V1__TAIL_LOG_REQUEST__KIND_ACK;
    request.ack = &ack;
    return peer_stream_send(stream, &request.base, err);
}

static bool has_reached(const struct polarys_log_position *end,
                        const struct polarys_log_position *durable)
{
    return end != NULL &&
           (durable->segment_id != end->segment_id ? durable->segment_id > end->segment_id
                                                   : durable->offset >= end->offset);
}

static void round_note(struct follower *follower, const struct tail_round *round, uint64_t applied)
{
    freshness_note(follower, applied);
    (void)pthread_mutex_lock(&follower->mutex);
    follower->received_bytes += round->bytes;
    if (round->has_end) {
        follower->has_heard = true;
        follower->end_version = round->end_version;
        follower->behind_bytes = round->behind_bytes;
    }
    follower->error[0] = '\0';
    (void)pthread_mutex_unlock(&follower->mutex);
    if (round->has_end && applied >= round->end_version &&
        __atomic_exchange_n(&follower->has_caught_up, 1, __ATOMIC_RELEASE) == 0) {
        polarys_log(POLARYS_LOG_INFO, "replica", "caught up with %s at version %" PRIu64,
                    follower->follows, applied);
    }
}

enum polarys_code follower_tail_run(struct follower *follower, struct peer_stream *stream,
                                    struct polarys_error *err)
{
    follower->parts.size = 0;
    for (;;) {
        struct tail_round round = {0};
        struct polarys_log_position durable = {0};
        enum polarys_code code = round_take(follower, stream, &round, err);
        /* What came before an error is complete frames: they are taken in all the same. */
        struct polarys_error sync_error = POLARYS_ERROR_INIT;
        enum polarys_code sync_code = POLARYS_OK;
        if (!follower->is_local_error) {
            sync_code = polarys_replica_sync(follower->db, &durable, &sync_error);
        }
        if (sync_code != POLARYS_OK) {
            *err = sync_error;
            code = sync_code == POLARYS_IO || sync_code == POLARYS_WRONG_STORE
                       ? sync_code
                       : polarys_wrap(err, POLARYS_BUG, "%s", polarys_code_name(sync_code));
            return local_error(follower, code);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        follower->has_progress = true;
        follower_state_set(follower, FOLLOWER_TAILING);
        uint64_t applied = polarys_db_version(follower->db);
        round_note(follower, &round, applied);
        if (has_reached(follower->catch_up_to, &durable)) {
            return POLARYS_OK;
        }
        if (round.has_ended) {
            return polarys_fail(err, POLARYS_NO_PRIMARY, "%s ended the tail", follower->follows);
        }
        code = acknowledge(stream, &durable, applied, follower->session_term, err);
        if (code == POLARYS_NO_PRIMARY) {
            polarys_error_clear(err); /* receiving tells why */
        } else if (code != POLARYS_OK) {
            return code;
        }
    }
}
