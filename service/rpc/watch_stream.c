/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WatchService.Watch: one message at a time, the next one filled when the transport has taken the
 * last. A client that does not read fills its transport window; then events wait in the engine's
 * queue, which is bounded; then the watch is cut off, and the client is told where to go on once it
 * reads again.
 *
 * Invariant: the engine's watch is closed before the status goes out, because it posts to the call.
 */
#include "polarys/v1/watch.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/watch_message.h"
#include "service/server/check.h"
#include "service/server/server.h"

enum {
    PROGRESS_MS_MIN = 100,
    PROGRESS_MS_MAX = 3600000,
    FILL_EVENTS_MAX = 4096, /* of one turn on the worker */
};

/* One watch; in the call's arena. Of the worker. */
struct watch_stream {
    struct polarys_watch *watch; /* NULL once the call is ending */
    struct watch_message message;
    struct polarys_watch_event pending; /* did not fit into the last message */
    bool has_pending;
    bool is_sending;
    bool is_over;            /* the table was dropped */
    uint64_t resume_version; /* everything up to it is in the messages */
};

static void stream_step(struct call *call);

/* After this nothing posts to the call any more. */
static void stream_close(struct call *call)
{
    struct watch_stream *stream = call->state;
    SERVICE_ASSERT(!stream->is_sending); /* a message under way would come back to what is gone */
    polarys_watch_close(stream->watch);
    stream->watch = NULL;
    stream->has_pending = false;
    watch_message_deinit(&stream->message);
}

static void stream_fail(struct call *call, enum polarys_code code)
{
    stream_close(call);
    call_fail_own(call, code);
}

/* Ends the stream when there is a reason to. True then. */
static bool stream_stops(struct call *call)
{
    enum polarys_code code = POLARYS_OK;
    if (call_is_cancelled(call)) {
        code = polarys_fail(&call->error, POLARYS_CANCELLED, "given up by the client");
    } else if (server_phase_get(call->server) >= SERVER_STOPPING) {
        code = polarys_fail(&call->error, POLARYS_DRAINING,
                            "the server stops: watch again from the last resume version");
    } else if (call_is_late(call)) {
        code = polarys_fail(&call->error, POLARYS_WAIT_TIMEOUT,
                            "the call's time is over: watch again from the last resume version");
    }
    if (code != POLARYS_OK) {
        stream_fail(call, code);
    }
    return code != POLARYS_OK;
}

static void message_sent(struct call *call, bool is_ok)
{
    struct watch_stream *stream = call->state;
    SERVICE_ASSERT(stream->is_sending);
    stream->is_sending = false;
    if (!is_ok) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    stream_step(call);
}

/* An event is in the message: up to where everything is. */
static void event_note(struct watch_stream *stream)
{
    const struct polarys_watch_event *event = &stream->pending;
    SERVICE_ASSERT(stream->has_pending);
    if (event->is_last_of_commit && event->kind != POLARYS_WATCH_SNAPSHOT_PUT) {
        /* Going back would give a commit twice to whoever watches on from there. */
        SERVICE_ASSERT(event->version >= stream->resume_version);
        stream->resume_version = event->version;
    }
    stream->is_over = event->kind == POLARYS_WATCH_TABLE_DROPPED;
    stream->has_pending = false;
}

/* What filling a message came to. */
enum fill {
    FILL_SEND,
    FILL_AGAIN, /* it is other calls' turn */
    FILL_EMPTY, /* nothing is there: the engine will say when */
    FILL_FAILED,
};

static enum fill stream_fill(struct call *call)
{
    struct watch_stream *stream = call->state;
    struct watch_message *message = &stream->message;
    SERVICE_ASSERT(stream->watch != NULL && !stream->is_over);
    for (int i = 0; i < FILL_EVENTS_MAX; i++) {
        if (!stream->has_pending) {
            enum polarys_code code = polarys_watch_next(stream->watch, &stream->has_pending,
                                                        &stream->pending, &call->error);
            if (code != POLARYS_OK) {
                return message->event_count > 0 ? FILL_SEND : FILL_FAILED;
            }
        }
        if (!stream->has_pending) {
            if (polarys_watch_resume_version(stream->watch) > stream->resume_version) {
                stream->resume_version = polarys_watch_resume_version(stream->watch);
            }
            return message->event_count > 0 ? FILL_SEND : FILL_EMPTY;
        }
        if (!watch_message_put(message, &stream->pending)) {
            return FILL_SEND;
        }
        event_note(stream);
        if (stream->is_over || watch_message_is_full(message)) {
            return FILL_SEND;
        }
    }
    /* A commit that is being put together waits for its rest. */
    return message->has_commit_open ? FILL_AGAIN : FILL_SEND;
}

static void message_send(struct call *call)
{
    struct watch_stream *stream = call->state;
    SERVICE_ASSERT(!stream->is_sending && !call->is_finishing);
    stream->is_sending = true;
    call_send(call, watch_message_take(&stream->message, stream->resume_version), false,
              message_sent);
}

static void stream_step(struct call *call)
{
    struct watch_stream *stream = call->state;
    if (call->is_finishing || stream->is_sending || stream_stops(call)) {
        return;
    }
    if (stream->is_over) {
        stream_close(call);
        call_end(call);
        return;
    }
    switch (stream_fill(call)) {
    case FILL_SEND:
        message_send(call);
        break;
    case FILL_AGAIN:
        call_post(call);
        break;
    case FILL_EMPTY:
        break;
    case FILL_FAILED:
        stream_fail(call, call->error.code);
        break;
    }
}

static void stream_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    stream_step(call);
}

static void stream_tick(struct call *call, uint64_t now_ns)
{
    struct watch_stream *stream = call->state;
    (void)now_ns;
    if (!call->is_finishing && !stream->is_sending) {
        (void)stream_stops(call);
    }
}

/* Any thread. */
static void stream_ready(void *context)
{
    call_post(context);
}

static enum polarys_code progress_take(const Google__Protobuf__Duration *interval,
                                       uint64_t *interval_ms, struct polarys_error *err)
{
    *interval_ms = 0;
    if (interval == NULL) {
        return POLARYS_OK;
    }
    if (interval->seconds >= 0 && interval->seconds <= PROGRESS_MS_MAX / 1000 &&
        interval->nanos >= 0 && interval->nanos <= 999999999) {
        *interval_ms = (uint64_t)interval->seconds * 1000 + (uint64_t)interval->nanos / 1000000;
    }
    return *interval_ms >= PROGRESS_MS_MIN && *interval_ms <= PROGRESS_MS_MAX
               ? POLARYS_OK
               : operation_bad(err, "progress_interval", "must be from 100 ms to 1 h");
}

static enum polarys_code stream_open(struct call *call, struct watch_stream *stream,
                                     struct polarys_error *err)
{
    const Polarys__V1__WatchRequest *request = call->request;
    struct polarys_watch_options options = {
        .database = call->database,
        .table = call->table,
        .prefix = slice_make(request->prefix.data, request->prefix.len),
        .filter = slice_make(request->filter.data, request->filter.len),
        .from_version = request->from_version,
        .with_snapshot = request->with_snapshot != 0,
    };
    call->field_hint = "from_version"; /* what the engine finds wrong of a field is this */
    enum polarys_code code =
        progress_take(request->progress_interval, &options.progress_interval_ms, err);
    return code == POLARYS_OK ? polarys_watch_open(call->server->db, &options, stream_ready, call,
                                                   &stream->watch, err)
                              : code;
}

void watch_watch(struct call *call)
{
    struct watch_stream *stream = proto_arena_alloc(&call->arena, sizeof(*stream));
    if (stream == NULL) {
        polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for a watch");
        call_fail_own(call, POLARYS_MEMORY_LIMIT);
        return;
    }
    *stream = (struct watch_stream){.watch = NULL};
    call->state = stream;
    call_post_handler_set(call, stream_posted);
    enum polarys_code code = stream_open(call, stream, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call->tick = stream_tick;
    worker_stream_add(call->worker, call);
    /* Tells the client at once that the watch stands, and from which version on. */
    struct response_header header;
    stream->resume_version = polarys_watch_resume_version(stream->watch);
    response_header_make(call->server, stream->resume_version, &header);
    watch_message_begin(&stream->message, &header);
    message_send(call);
}
