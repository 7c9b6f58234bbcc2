/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BulkService.Write: the loop of one stream. Everything that happens (a message came, one was sent,
 * a commit is done, the client left, time passed) ends in bulk_pump, which does all that is
 * possible then.
 *
 * What is held for one client is bounded: by the window for batches, by BULK_ANSWERS_MAX for
 * answers. Past either, the stream stops reading and HTTP/2 holds the client back. At the durability
 * of a quorum an answer waits until the quorum has its batch, while the batches behind it are
 * committed.
 */
#include <stdlib.h>

#include "service/replication/standing.h"
#include "service/rpc/bulk_stream.h"
#include "service/rpc/handlers.h"
#include "service/server/check.h"
#include "service/server/server.h"

void bulk_fail(struct bulk_stream *stream, enum polarys_code code)
{
    SERVICE_ASSERT(stream->call->error.code == code);
    stream->phase = BULK_FAILED;
}

void bulk_answer_add(struct bulk_stream *stream, grpc_slice take_answer, uint64_t version)
{
    SERVICE_ASSERT(stream->answer_count < BULK_ANSWERS_MAX);
    size_t place = (stream->answer_first + stream->answer_count) % BULK_ANSWERS_MAX;
    stream->answers[place] = take_answer;
    stream->answer_versions[place] = stream->call->quorum == CALL_QUORUM_NONE ? 0 : version;
    stream->answer_count++;
}

static void answer_sent(struct call *call, bool is_ok)
{
    struct bulk_stream *stream = call->state;
    stream->is_sending = false;
    if (!is_ok) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    bulk_pump(stream);
}

static grpc_slice answer_take(struct bulk_stream *stream)
{
    SERVICE_ASSERT(stream->answer_count > 0);
    grpc_slice answer = stream->answers[stream->answer_first];
    stream->answer_first = (stream->answer_first + 1) % BULK_ANSWERS_MAX;
    stream->answer_count--;
    return answer;
}

static void quorum_woken(struct call *call, bool is_ok)
{
    (void)is_ok;
    call->is_waiting_quorum = false;
    bulk_pump(call->state);
}

/* Whether the oldest answer may go out; if not, the stream is woken when it may. */
static bool answer_is_due(struct bulk_stream *stream)
{
    struct call *call = stream->call;
    uint64_t version = stream->answer_versions[stream->answer_first];
    if (version == 0) {
        return true;
    }
    if (call->is_waiting_quorum || stream->phase == BULK_FAILED) {
        return false;
    }
    /* Where too many wait the next tick asks again. */
    return call_quorum_wait(call, version, quorum_woken) == GROUP_HAS;
}

static void answers_send(struct bulk_stream *stream)
{
    if (stream->is_sending || stream->answer_count == 0 || !answer_is_due(stream)) {
        return;
    }
    grpc_slice answer = answer_take(stream);
    stream->is_sending = true;
    /* More follows at once only where nothing is to be waited for. */
    bool has_more = stream->answer_count > 0 && stream->answer_versions[stream->answer_first] == 0;
    call_send(stream->call, answer, has_more, answer_sent);
}

/* A stream that failed acknowledges nothing any more that a quorum was to have. */
static void answers_drop(struct bulk_stream *stream)
{
    call_quorum_cancel(stream->call);
    while (stream->answer_count > 0 && !answer_is_due(stream)) {
        grpc_slice_unref(answer_take(stream));
    }
}

static void message_received(struct call *call, bool is_ok)
{
    struct bulk_stream *stream = call->state;
    stream->is_reading = false;
    if (!is_ok || call->received == NULL) {
        stream->has_input_ended = true;
    } else {
        SERVICE_ASSERT(stream->queue_count < BULK_QUEUE_MAX);
        size_t place = (stream->queue_first + stream->queue_count) % BULK_QUEUE_MAX;
        stream->queue[place] = call->received;
        stream->queue_bytes += grpc_byte_buffer_length(call->received);
        stream->queue_count++;
        call->received = NULL;
    }
    bulk_pump(stream);
}

static void input_read(struct bulk_stream *stream)
{
    bool has_room = stream->queue_count < BULK_QUEUE_MAX &&
                    (stream->queue_count == 0 ||
                     stream->queue_bytes < stream->call->server->config->bulk_window_bytes);
    if (!stream->is_reading && !stream->has_input_ended && has_room &&
        stream->phase != BULK_FAILED) {
        stream->is_reading = true;
        call_receive(stream->call, message_received);
    }
}

/* The oldest message out of the queue, unpacked into the arena; NULL after a failure. */
static const Polarys__V1__WriteRequest *message_take(struct bulk_stream *stream)
{
    struct call *call = stream->call;
    SERVICE_ASSERT(stream->queue_count > 0);
    grpc_byte_buffer *buffer = stream->queue[stream->queue_first];
    stream->queue_first = (stream->queue_first + 1) % BULK_QUEUE_MAX;
    stream->queue_count--;
    stream->queue_bytes -= grpc_byte_buffer_length(buffer);
    proto_arena_reset(&call->arena);
    struct polarys_slice bytes;
    const Polarys__V1__WriteRequest *request = NULL;
    enum polarys_code code = call_bytes_get(call, buffer, &bytes, &call->error);
    if (code == POLARYS_OK) {
        request = proto_arena_unpack(&call->arena, &polarys__v1__write_request__descriptor, bytes,
                                     &call->error);
    }
    grpc_byte_buffer_destroy(buffer);
    if (request == NULL) {
        bulk_fail(stream, call->error.code);
    }
    return request;
}

static void protocol_broken(struct bulk_stream *stream, const char *why)
{
    struct polarys_error *err = &stream->call->error;
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s", why);
    polarys_error_detail_set(err, "field", "message");
    bulk_fail(stream, POLARYS_BAD_ARGUMENT);
}

static void message_handle(struct bulk_stream *stream, const Polarys__V1__WriteRequest *request)
{
    bool is_first = stream->phase == BULK_EXPECTS_OPEN;
    switch (request->message_case) {
    case POLARYS__V1__WRITE_REQUEST__MESSAGE_OPEN:
        if (is_first) {
            bulk_open_begin(stream, request->open);
        } else {
            protocol_broken(stream, "`open` came again: it is the first message, and only that");
        }
        break;
    case POLARYS__V1__WRITE_REQUEST__MESSAGE_BATCH:
        if (is_first) {
            protocol_broken(stream, "the first message must be `open`");
        } else {
            bulk_batch_take(stream, request->batch);
        }
        break;
    case POLARYS__V1__WRITE_REQUEST__MESSAGE_CLOSE:
        if (is_first) {
            protocol_broken(stream, "the first message must be `open`");
        } else {
            stream->phase = BULK_CLOSES;
            stream->has_said_close = true;
        }
        break;
    default:
        protocol_broken(stream, "a message has nothing set: give `open`, `batch` or `close`");
        break;
    }
}

/* Takes what the commit under way has come to. */
static void commit_take(struct bulk_stream *stream)
{
    if (!stream->is_committing || __atomic_load_n(&stream->is_done, __ATOMIC_ACQUIRE) == 0) {
        return;
    }
    stream->is_committing = false;
    if (stream->code == POLARYS_OK) {
        stream->last_number = stream->number;
        stream->last_version = stream->version;
        bulk_answer_add(stream, bulk_answer_committed(stream->number, stream->version),
                        stream->version);
    } else {
        bulk_answer_add(stream, bulk_answer_refused(stream->number, &stream->commit_error), 0);
    }
}

/* The call's time is over. */
static enum polarys_code late_fail(const struct bulk_stream *stream, struct polarys_error *err)
{
    if (!stream->call->is_waiting_quorum) {
        return polarys_fail(err, POLARYS_WAIT_TIMEOUT,
                            "the call's time is over: resume the session after the last number "
                            "acknowledged");
    }
    uint64_t version = stream->answer_versions[stream->answer_first];
    (void)polarys_fail(err, POLARYS_QUORUM_TIMEOUT,
                       "version %llu is durable here, but not on a quorum yet: resume the session "
                       "after the last number acknowledged",
                       (unsigned long long)version);
    polarys_error_detail_set(err, "version", "%llu", (unsigned long long)version);
    return POLARYS_QUORUM_TIMEOUT;
}

/* What ends the stream from outside; REQUIRES: not failed yet. */
static void surroundings_look(struct bulk_stream *stream)
{
    struct call *call = stream->call;
    struct polarys_error *err = &call->error;
    if (stream->is_opening_blocked) {
        return; /* the executor writes to the call's error */
    }
    if (call_is_cancelled(call)) {
        bulk_fail(stream, polarys_fail(err, POLARYS_CANCELLED, "given up by the client"));
    } else if (stream->session != NULL && bulk_session_is_wanted(stream->session)) {
        bulk_fail(stream, polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                                       "the session was resumed on another stream"));
    } else if (standing_is_fenced(call->server->standing)) {
        bulk_fail(stream, standing_refuse(call->server->standing, err));
    } else if (server_phase_get(call->server) >= SERVER_STOPPING) {
        bulk_fail(stream, polarys_fail(err, POLARYS_DRAINING,
                                       "the server stops: resume the session after the last number "
                                       "acknowledged"));
    } else if (call_is_late(call)) {
        bulk_fail(stream, late_fail(stream, err));
    }
}

/* Ends the stream when it is time; true when it has ended. */
static bool end_try(struct bulk_stream *stream)
{
    struct call *call = stream->call;
    if (stream->is_committing || stream->is_opening_blocked) {
        return false;
    }
    bool is_gone = call_is_cancelled(call);
    bool has_more_to_say = stream->answer_count > 0 || stream->is_sending;
    if (stream->phase == BULK_FAILED && (is_gone || !has_more_to_say)) {
        call_fail(call, &call->error);
        return true;
    }
    if (stream->phase == BULK_CLOSES && !has_more_to_say) {
        if (stream->has_said_close) {
            call_reply(call, bulk_answer_closed(stream));
        } else {
            call_end(call);
        }
        return true;
    }
    return false;
}

static void messages_handle(struct bulk_stream *stream)
{
    while (stream->queue_count > 0 && !stream->is_committing &&
           stream->answer_count < BULK_ANSWERS_MAX - 1 &&
           (stream->phase == BULK_EXPECTS_OPEN || stream->phase == BULK_RUNS)) {
        const Polarys__V1__WriteRequest *request = message_take(stream);
        if (request != NULL) {
            message_handle(stream, request);
        }
    }
    bool is_waiting = stream->phase == BULK_RUNS || stream->phase == BULK_EXPECTS_OPEN;
    if (stream->has_input_ended && stream->queue_count == 0 && is_waiting) {
        stream->phase = BULK_CLOSES; /* a client that ends without `close` gets no `closed` */
    }
}

void bulk_pump(struct bulk_stream *stream)
{
    if (stream->call->is_finishing) {
        return;
    }
    commit_take(stream);
    if (stream->phase != BULK_FAILED) {
        surroundings_look(stream);
    }
    if (stream->phase == BULK_OPENING) {
        bulk_open_continue(stream);
    }
    messages_handle(stream);
    if (stream->phase == BULK_FAILED) {
        answers_drop(stream);
    }
    if (end_try(stream)) {
        return;
    }
    answers_send(stream);
    input_read(stream);
}

static void stream_tick(struct call *call, uint64_t now_ns)
{
    (void)now_ns;
    if (call->is_waiting_quorum && call->end_ns != 0) {
        worker_tick_by(call->worker, call->end_ns);
    }
    bulk_pump(call->state);
}

static void stream_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    bulk_pump(call->state);
}

static void stream_closed(struct call *call, bool is_ok)
{
    (void)is_ok;
    if (call->close_flag != 0) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    bulk_pump(call->state);
}

static void stream_released(struct call *call)
{
    struct bulk_stream *stream = call->state;
    SERVICE_ASSERT(!stream->is_committing && !stream->is_opening_blocked);
    bulk_session_release(call->server->bulk_sessions, stream->session);
    for (; stream->queue_count > 0; stream->queue_count--) {
        grpc_byte_buffer_destroy(stream->queue[stream->queue_first]);
        stream->queue_first = (stream->queue_first + 1) % BULK_QUEUE_MAX;
    }
    while (stream->answer_count > 0) {
        grpc_slice_unref(answer_take(stream));
    }
    free(stream);
}

void bulk_write(struct call *call)
{
    struct bulk_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        polarys_fail(&call->error, POLARYS_NO_MEMORY, "no memory for a stream");
        call_fail(call, &call->error);
        return;
    }
    stream->call = call;
    call->state = stream;
    call->released = stream_released;
    call->tick = stream_tick;
    worker_stream_add(call->worker, call);
    call_post_handler_set(call, stream_posted);
    call_watch_close(call, stream_closed);
    bulk_pump(stream);
}
