/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QueryService.Query: one message at a time, the next one filled when the transport has taken the
 * last. A query that is answered from memory at once is answered on the worker; any other is run on
 * an executor thread, which leaves what came of it and posts.
 *
 * The invariant: a document that was taken from the query is in the message before the next is asked
 * for, so that the query's cursor names the place behind the message. It is asked for only where it
 * is sent: a version whose cursor was given out is kept for a while.
 */
#include "polarys/v1/query.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/frame.h"
#include "service/rpc/handlers.h"
#include "service/rpc/query_request.h"
#include "service/rpc/response.h"
#include "service/rpc/stop.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum {
    QUERY_HEADER = 1,
    QUERY_VERSION = 2,
    QUERY_DOCUMENTS = 3,
    QUERY_CURSOR = 4,
    QUERY_END_REASON = 5,

    WORKER_TIME_US = 300, /* that a query may take of a worker */
};

enum fill_result {
    FILL_NOTHING, /* not asked yet */
    FILL_MESSAGE, /* is full */
    FILL_END,
    FILL_LIMIT,
    FILL_STOPPED,   /* should_stop said so */
    FILL_ELSEWHERE, /* goes on on an executor thread */
    FILL_FAILED,    /* call->error says why */
};

/* In the call's arena; call->state. */
struct query_stream {
    struct polarys_query_options options;
    struct polarys_query *query; /* NULL: not open yet */
    struct frame frame;
    uint64_t limit;
    uint64_t rows;
    bool is_on_executor; /* for good */
    uint64_t worker_end_ns;
    enum fill_result result; /* of the executor */
};

static void stream_step(struct call *call);

static void stream_release(struct call *call)
{
    struct query_stream *stream = call->state;
    polarys_query_close(stream->query);
    stream->query = NULL;
    frame_release(&stream->frame);
}

/* ---- filling a message ---- */

static bool should_stop(void *context)
{
    const struct call *call = context;
    const struct query_stream *stream = call->state;
    return stop_is_wanted(context) ||
           (!stream->is_on_executor && timing_now_ns() >= stream->worker_end_ns);
}

/* Closes the message with the place to go on from. */
static enum polarys_code cursor_put(struct call *call, struct query_stream *stream)
{
    struct polarys_slice cursor;
    enum polarys_code code = polarys_query_cursor(stream->query, &cursor, &call->error);
    if (code == POLARYS_OK) {
        SERVICE_ASSERT(cursor.size <= POLARYS_CURSOR_BYTES_MAX);
        frame_room_make(&stream->frame, wire_bytes_size(QUERY_CURSOR, cursor.size));
        stream->frame.at = wire_bytes_put(stream->frame.at, QUERY_CURSOR, cursor);
    }
    return code;
}

static enum polarys_code query_open(struct call *call, struct query_stream *stream)
{
    stream->options.flags = stream->is_on_executor ? 0 : POLARYS_READ_MEMORY_ONLY;
    enum polarys_code code =
        polarys_query_open(call->server->db, &stream->options, &stream->query, &call->error);
    if (code != POLARYS_OK) {
        return code;
    }
    struct response_header header;
    uint64_t version = polarys_query_version(stream->query);
    response_header_make(call->server, version, &header);
    uint8_t *at = stream->frame.head;
    at = wire_block_put(at, QUERY_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, QUERY_VERSION, version);
    stream->frame.head_size = (size_t)(at - stream->frame.head);
    return POLARYS_OK;
}

static void document_put(struct query_stream *stream, const struct polarys_document *document)
{
    struct frame *frame = &stream->frame;
    SERVICE_ASSERT(stream->limit == 0 || stream->rows < stream->limit);
    frame_room_make(frame, response_document_size(QUERY_DOCUMENTS, document, true));
    frame->at = response_document_put(frame->at, QUERY_DOCUMENTS, document, true);
    frame->records++;
    stream->rows++;
}

static enum fill_result result_of(const struct call *call, enum polarys_code code)
{
    const struct query_stream *stream = call->state;
    if (code == POLARYS_WOULD_BLOCK) {
        return FILL_ELSEWHERE;
    }
    if (code != POLARYS_CANCELLED) {
        return FILL_FAILED;
    }
    return stream->is_on_executor || stop_is_wanted((void *)(uintptr_t)call) ? FILL_STOPPED
                                                                             : FILL_ELSEWHERE;
}

static enum fill_result message_fill(struct call *call)
{
    struct query_stream *stream = call->state;
    enum polarys_code code = stream->query == NULL ? query_open(call, stream) : POLARYS_OK;
    while (code == POLARYS_OK) {
        enum fill_result full = stream->limit != 0 && stream->rows == stream->limit ? FILL_LIMIT
                                : frame_is_full(&stream->frame)                     ? FILL_MESSAGE
                                                                                    : FILL_NOTHING;
        if (full != FILL_NOTHING) {
            code = cursor_put(call, stream);
            return code == POLARYS_OK ? full : FILL_FAILED;
        }
        struct polarys_document document;
        bool has_document = false;
        code = polarys_query_next(stream->query, should_stop, call, &has_document, &document,
                                  &call->error);
        if (code == POLARYS_OK && !has_document) {
            return FILL_END;
        }
        if (code == POLARYS_OK) {
            document_put(stream, &document);
        }
    }
    return result_of(call, code);
}

static void message_fill_on_executor(void *context)
{
    struct call *call = context;
    struct query_stream *stream = call->state;
    SERVICE_ASSERT(stream->is_on_executor);
    polarys_error_clear(&call->error);
    if (stream->query != NULL) {
        polarys_query_flags_set(stream->query, 0);
    }
    stream->result = message_fill(call);
    call_post(call);
}

/* ---- sending it ---- */

static void stream_finish(struct call *call, Polarys__V1__QueryEndReason reason)
{
    struct query_stream *stream = call->state;
    SERVICE_ASSERT(stream->query != NULL); /* the first message has a version */
    frame_room_make(&stream->frame, wire_uint_size(QUERY_END_REASON, (uint64_t)reason));
    stream->frame.at = wire_uint_put(stream->frame.at, QUERY_END_REASON, (uint64_t)reason);
    call_reply(call, frame_take(&stream->frame));
}

/* Time is over: what was given can be gone on from; where nothing was, that is an error. */
static void stream_stopped(struct call *call)
{
    struct query_stream *stream = call->state;
    if (stream->rows > 0 && !call_is_cancelled(call)) {
        if (cursor_put(call, stream) == POLARYS_OK) {
            stream_finish(call, POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_TIME_REACHED);
        } else {
            call_fail(call, &call->error);
        }
        return;
    }
    call_fail_own(call, stop_explain(call, POLARYS_CANCELLED, "the query"));
}

static void stream_failed(struct call *call)
{
    if (call->error.code == POLARYS_BAD_PAGE_TOKEN || call->error.code == POLARYS_CURSOR_EXPIRED) {
        polarys_error_detail_set(&call->error, "field", "cursor");
    }
    call_fail(call, &call->error);
}

static void message_sent(struct call *call, bool is_ok)
{
    if (!is_ok) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    stream_step(call);
}

/* What is answered at once has nobody to hear that the client gave up: that costs a batch of its own. */
static void close_watch(struct call *call)
{
    if (!call->has_close_watch) {
        call_watch_close(call, NULL);
    }
}

static void stream_result(struct call *call, enum fill_result result)
{
    struct query_stream *stream = call->state;
    switch (result) {
    case FILL_MESSAGE:
        close_watch(call);
        call_send(call, frame_take(&stream->frame), false, message_sent);
        break;
    case FILL_END:
        stream_finish(call, POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_END_OF_RESULTS);
        break;
    case FILL_LIMIT:
        stream_finish(call, POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_LIMIT_REACHED);
        break;
    case FILL_STOPPED:
        stream_stopped(call);
        break;
    case FILL_ELSEWHERE:
        SERVICE_ASSERT(!stream->is_on_executor);
        stream->is_on_executor = true;
        close_watch(call);
        txn_call_execute(call, message_fill_on_executor);
        break;
    case FILL_NOTHING:
    case FILL_FAILED:
        stream_failed(call);
        break;
    }
}

static void stream_step(struct call *call)
{
    struct query_stream *stream = call->state;
    if (stop_is_wanted(call)) {
        stream_stopped(call);
    } else if (stream->is_on_executor) {
        call_execute(call, message_fill_on_executor);
    } else {
        stream->worker_end_ns = timing_now_ns() + (uint64_t)WORKER_TIME_US * TIMING_NS_PER_US;
        enum fill_result result = message_fill(call);
        if (result == FILL_ELSEWHERE) {
            polarys_error_clear(&call->error);
        }
        stream_result(call, result);
    }
}

static void executor_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    const struct query_stream *stream = call->state;
    SERVICE_ASSERT(stream->is_on_executor && stream->result != FILL_NOTHING);
    stream_result(call, stream->result);
}

/* ---- the request ---- */

static void stream_locked(struct call *call)
{
    call_post_handler_set(call, executor_posted);
    stream_step(call);
}

static enum polarys_code request_take(struct call *call)
{
    const Polarys__V1__QueryRequest *request = call->request;
    call->arena.budget += sizeof(struct query_stream) + PROTO_ARENA_FIRST_BYTES;
    struct query_stream *stream = proto_arena_alloc(&call->arena, sizeof(*stream));
    if (stream == NULL) {
        return polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for a query");
    }
    memset(stream, 0, sizeof(*stream));
    call->state = stream;
    call->released = stream_release;
    stream->limit = request->limit;
    query_request_begin(call, request->filter, &stream->options);
    stream->options.order_by = slice_make(request->order_by.data, request->order_by.len);
    stream->options.limit = request->limit;
    stream->options.cursor = slice_make(request->cursor.data, request->cursor.len);
    stream->options.read_mask_count = request->n_read_mask;
    return query_mask_take(call, request->read_mask, request->n_read_mask,
                           &stream->options.read_mask);
}

void query_query(struct call *call)
{
    enum polarys_code code = request_take(call);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    if (call->txn != NULL) {
        close_watch(call); /* a lock may be waited for */
    }
    query_table_lock(call, stream_locked);
}
