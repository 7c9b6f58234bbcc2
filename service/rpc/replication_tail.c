/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReplicationService.TailLog: the loop of one stream. Everything that happens (a message came, one was sent, the log has
 * more, files were read, time passed) ends in tail_pump, which does all that is possible then.
 *
 * Data never waits for an acknowledgement and acknowledgements never for data: each is read as it comes, while what is
 * held for one follower is one message. A follower that does not take it lets go of its segment, so that without a slot
 * it holds nothing.
 */
#include "service/rpc/replication_tail.h"

#include <stdlib.h>

#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum {
    HEARTBEAT_MS_DEFAULT = 1000,
    HEARTBEAT_MS_MIN = 10,
    HEARTBEAT_MS_MAX = 3600000,
    STUCK_MS = 1000, /* a message that takes longer makes the tail let go of its segment */
};

static void tail_pump(struct tail_stream *stream);

static void tail_fail(struct tail_stream *stream, enum polarys_code code)
{
    SERVICE_ASSERT(stream->call->error.code == code && code != POLARYS_OK);
    stream->phase = TAIL_FAILED;
}

/* ---- what comes in ---- */

static enum polarys_code heartbeat_take(const Google__Protobuf__Duration *from,
                                        uint64_t *heartbeat_ns, struct polarys_error *err)
{
    uint32_t ms = 0;
    enum polarys_code code =
        operation_duration_take(from, "start.heartbeat_interval", HEARTBEAT_MS_MAX, &ms, err);
    if (code == POLARYS_OK && from != NULL && ms < HEARTBEAT_MS_MIN) {
        code = operation_bad(err, "start.heartbeat_interval", "must be from 10 ms to 1 h");
    }
    *heartbeat_ns = (from == NULL ? (uint64_t)HEARTBEAT_MS_DEFAULT : ms) * TIMING_NS_PER_MS;
    return code;
}

static enum polarys_code start_take(struct tail_stream *stream,
                                    const Polarys__V1__TailLogStart *start,
                                    struct polarys_error *err)
{
    const struct server *server = stream->call->server;
    if (start->node == NULL) {
        return operation_bad(err, "start.node", "must be set");
    }
    enum polarys_code code = replication_peer_take(server, start->node, &stream->peer, err);
    if (code == POLARYS_OK && start->slot.len != 0) {
        code = replication_name_take(&start->slot, "start.slot", stream->slot_name, err);
    }
    if (code == POLARYS_OK) {
        code = heartbeat_take(start->heartbeat_interval, &stream->heartbeat_ns, err);
    }
    stream->is_decoded = start->is_decoded != 0;
    stream->from_version = start->from_version;
    if (code == POLARYS_OK && !stream->is_decoded && start->from_version != 0) {
        code = operation_bad(err, "start.from_version", "is for decoded tails");
    }
    bool is_counted = !stream->is_decoded && stream->peer.kind == POLARYS_SLOT_REPLICA;
    return code == POLARYS_OK ? group_join(server->group, stream->peer.name, stream->peer.address,
                                           is_counted, &stream->tail, err)
                              : code;
}

/* The follower has what it says: it can only have what was sent. */
static enum polarys_code ack_take(struct tail_stream *stream, const Polarys__V1__TailLogAck *ack,
                                  struct polarys_error *err)
{
    struct polarys_log_position durable;
    struct polarys_log_position end;
    struct server *server = stream->call->server;
    enum polarys_code code = replication_position_take(ack->durable, "ack.durable", &durable, err);
    if (code != POLARYS_OK) {
        return code;
    }
    polarys_log_durable_position(server->db, &end);
    if (durable.segment_id > end.segment_id ||
        (durable.segment_id == end.segment_id && durable.offset > end.offset) ||
        durable.version > end.version || ack->applied_version > end.version) {
        return operation_bad(err, "ack.durable", "is beyond the end of this log");
    }
    if (ack->term == polarys_db_term(server->db)) {
        group_ack(server->group, stream->tail, durable.version, ack->applied_version);
    }
    return stream->slot == NULL || durable.segment_id == 0
               ? POLARYS_OK
               : polarys_slot_ack(stream->slot, &durable, ack->applied_version, err);
}

static enum polarys_code request_take(struct tail_stream *stream,
                                      const Polarys__V1__TailLogRequest *request,
                                      struct polarys_error *err)
{
    bool is_start = request->kind_case == POLARYS__V1__TAIL_LOG_REQUEST__KIND_START;
    if (stream->phase == TAIL_EXPECTS_START) {
        if (!is_start) {
            return operation_bad(err, "start", "must be in the first message");
        }
        enum polarys_code code = start_take(stream, request->start, err);
        if (code == POLARYS_OK) {
            stream->phase = TAIL_OPENS;
            tail_work_begin(stream);
        }
        return code;
    }
    if (request->kind_case != POLARYS__V1__TAIL_LOG_REQUEST__KIND_ACK) {
        return operation_bad(err, "ack", "must be in every message but the first");
    }
    return stream->phase == TAIL_RUNS
               ? ack_take(stream, request->ack, err)
               : operation_bad(err, "ack", "came before the log's first message");
}

static void message_take(struct tail_stream *stream)
{
    struct call *call = stream->call;
    struct polarys_slice bytes;
    const Polarys__V1__TailLogRequest *request = NULL;
    proto_arena_reset(&call->arena);
    enum polarys_code code = call_bytes_get(call, call->received, &bytes, &call->error);
    if (code == POLARYS_OK) {
        request = proto_arena_unpack(&call->arena, &polarys__v1__tail_log_request__descriptor,
                                     bytes, &call->error);
        code = request == NULL ? call->error.code : request_take(stream, request, &call->error);
    }
    if (code != POLARYS_OK) {
        tail_fail(stream, code);
    }
}

static void message_received(struct call *call, bool is_ok)
{
    struct tail_stream *stream = call->state;
    stream->is_reading = false;
    if (call->is_finishing) {
        return;
    }
    if (!is_ok || call->received == NULL) {
        stream->has_input_ended = true;
    } else if (stream->phase != TAIL_FAILED) {
        message_take(stream);
    }
    tail_pump(stream);
}

/* ---- what goes out ---- */

static void message_sent(struct call *call, bool is_ok)
{
    struct tail_stream *stream = call->state;
    stream->is_sending = false;
    if (!is_ok) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    tail_pump(stream);
}

static void message_send(struct tail_stream *stream)
{
    struct tail_end end;
    tail_end_make(stream, &end);
    stream->is_sending = true;
    stream->sent_ns = timing_now_ns();
    call_send(stream->call, tail_message_take(&stream->message, &end), false, message_sent);
}

/* ---- the loop ---- */

/* Takes what the executor has left. */
static void work_take(struct tail_stream *stream)
{
    if (!stream->is_working || __atomic_exchange_n(&stream->is_done, 0, __ATOMIC_ACQUIRE) == 0) {
        return;
    }
    stream->is_working = false;
    stream->is_waiting = stream->is_armed;
    stream->is_armed = false;
    if (stream->code != POLARYS_OK && stream->phase != TAIL_FAILED) {
        stream->call->error = stream->error;
        tail_fail(stream, stream->code);
    }
    if (stream->phase == TAIL_OPENS) {
        stream->phase = TAIL_RUNS;
    }
}

/* What ends the stream from outside. REQUIRES: not failed yet. */
static void surroundings_look(struct tail_stream *stream)
{
    struct call *call = stream->call;
    struct polarys_error *err = &call->error;
    enum polarys_code code = POLARYS_OK;
    if (call_is_cancelled(call)) {
        code = polarys_fail(err, POLARYS_CANCELLED, "given up by the follower");
    } else if (stream->has_input_ended && stream->phase == TAIL_EXPECTS_START) {
        code = operation_bad(err, "start", "must be in the first message");
    } else if (server_phase_get(call->server) >= SERVER_STOPPING) {
        code = polarys_fail(err, POLARYS_DRAINING,
                            "the server stops: tail again from the last position");
    } else if (call_is_late(call)) {
        code = polarys_fail(err, POLARYS_WAIT_TIMEOUT,
                            "the call's time is over: tail again from the last position");
    } else if (stream->slot != NULL && stream->phase == TAIL_RUNS) {
        code = polarys_slot_check(stream->slot, err);
    }
    if (code != POLARYS_OK) {
        tail_fail(stream, code);
    }
}

static bool end_try(struct tail_stream *stream)
{
    struct call *call = stream->call;
    if (stream->phase != TAIL_FAILED || stream->is_working ||
        (stream->is_sending && !call_is_cancelled(call))) {
        return false;
    }
    tail_work_close(stream);
    group_leave(call->server->group, stream->tail);
    stream->tail = NULL;
    call_fail(call, &call->error);
    return true;
}

static void data_move(struct tail_stream *stream)
{
    if (stream->phase != TAIL_RUNS || stream->is_working || stream->is_sending) {
        return;
    }
    if (stream->message.at != NULL) {
        message_send(stream);
        return;
    }
    if (stream->is_waiting && __atomic_exchange_n(&stream->is_woken, 0, __ATOMIC_ACQUIRE) != 0) {
        stream->is_waiting = false;
    }
    if (!stream->is_waiting) {
        tail_work_begin(stream);
    } else if (timing_now_ns() - stream->sent_ns >= stream->heartbeat_ns) {
        message_send(stream);
    }
}

static void tail_pump(struct tail_stream *stream)
{
    struct call *call = stream->call;
    if (call->is_finishing) {
        return;
    }
    work_take(stream);
    if (stream->phase != TAIL_FAILED) {
        surroundings_look(stream);
    }
    if (end_try(stream)) {
        return;
    }
    data_move(stream);
    if (!stream->is_reading && !stream->has_input_ended && stream->phase != TAIL_FAILED) {
        stream->is_reading = true;
        call_receive(call, message_received);
    }
}

/* A follower that takes nothing holds no file, memory or segment. */
static void stuck_look(struct tail_stream *stream, uint64_t now_ns)
{
    if (!stream->is_sending || stream->is_working ||
        now_ns - stream->sent_ns < (uint64_t)STUCK_MS * TIMING_NS_PER_MS) {
        return;
    }
    if (stream->reader != NULL) {
        polarys_log_reader_pause(stream->reader);
    }
    if (stream->commits != NULL) {
        tail_commits_pause(stream->commits);
    }
}

static void stream_tick(struct call *call, uint64_t now_ns)
{
    struct tail_stream *stream = call->state;
    if (!call->is_finishing) {
        stuck_look(stream, now_ns);
    }
    tail_pump(stream);
}

static void stream_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    tail_pump(call->state);
}

static void stream_closed(struct call *call, bool is_ok)
{
    (void)is_ok;
    if (call->close_flag != 0) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    tail_pump(call->state);
}

static void stream_released(struct call *call)
{
    struct tail_stream *stream = call->state;
    SERVICE_ASSERT(!stream->is_working && stream->tail == NULL && stream->reader == NULL);
    free(stream);
}

void replication_tail_log(struct call *call)
{
    struct authorize_resource everything = {.database = NULL};
    enum polarys_code code = authorize(call, AUTHORIZE_REPLICATE, &everything, &call->error);
    struct tail_stream *stream = code == POLARYS_OK ? calloc(1, sizeof(*stream)) : NULL;
    if (stream == NULL) {
        code = code == POLARYS_OK
                   ? polarys_fail(&call->error, POLARYS_NO_MEMORY, "no memory for a tail")
                   : code;
        call_fail_own(call, code);
        return;
    }
    stream->call = call;
    call->state = stream;
    call->released = stream_released;
    call->tick = stream_tick;
    worker_stream_add(call->worker, call);
    call_post_handler_set(call, stream_posted);
    call_watch_close(call, stream_closed);
    tail_pump(stream);
}
