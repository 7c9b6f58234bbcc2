/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QueryService.Search. An executor thread searches and leaves messages of what was found, up to a
 * bound; the worker sends them one by one. Where there is more, the same version is searched again
 * from behind what was sent: so a slow reader holds no thread, and a large answer little memory.
 */
#include "polarys/v1/query.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/frame.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/query_request.h"
#include "service/rpc/response.h"
#include "service/rpc/stop.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"

enum {
    SEARCH_HEADER = 1,
    SEARCH_VERSION = 2,
    SEARCH_TOTAL = 3,
    SEARCH_HITS = 4,

    HIT_DOCUMENT = 1,
    HIT_SCORE = 2,
    HIT_HIGHLIGHTS = 3,

    MESSAGES_MAX = 16, /* found and not sent yet: about 4 MiB */
    LIMIT_DEFAULT = 100,
    WINDOW_MAX = 10000, /* offset and limit together */
};

/* In the call's arena; call->state. */
struct search_stream {
    struct polarys_search_options options;
    uint64_t wanted; /* hits, from the offset on */
    uint64_t found;  /* in messages */
    bool has_more;   /* the round ended because there were enough messages */
    bool is_begun;   /* a round was made */
    uint64_t version;
    uint64_t total;
    struct frame frame;
    grpc_slice messages[MESSAGES_MAX];
    size_t message_count;
    size_t message_next; /* to be sent */
    enum polarys_code code;
};

static void stream_release(struct call *call)
{
    struct search_stream *stream = call->state;
    frame_release(&stream->frame);
    while (stream->message_next < stream->message_count) {
        grpc_slice_unref(stream->messages[stream->message_next++]);
    }
}

/* ---- on the executor ---- */

static size_t hit_body_size(const struct polarys_search_hit *hit)
{
    size_t size = response_document_size(HIT_DOCUMENT, &hit->document, true) +
                  wire_tag_size(HIT_SCORE) + sizeof(uint64_t);
    for (size_t i = 0; i < hit->highlight_count; i++) {
        size += wire_block_size(HIT_HIGHLIGHTS, strlen(hit->highlights[i]));
    }
    return size;
}

static uint8_t *hit_put(uint8_t *at, const struct polarys_search_hit *hit)
{
    uint64_t score;
    memcpy(&score, &hit->score, sizeof(score));
    at = wire_block_open(at, SEARCH_HITS, hit_body_size(hit));
    at = response_document_put(at, HIT_DOCUMENT, &hit->document, true);
    at = wire_tag_put(at, HIT_SCORE, WIRE_FIXED64);
    for (size_t i = 0; i < sizeof(score); i++) {
        *at++ = (uint8_t)(score >> (8 * i));
    }
    for (size_t i = 0; i < hit->highlight_count; i++) {
        at = wire_block_put(at, HIT_HIGHLIGHTS, slice_from_text(hit->highlights[i]));
    }
    return at;
}

static bool hit_take(void *context, const struct polarys_search_hit *hit)
{
    const struct call *call = context;
    struct search_stream *stream = call->state;
    struct frame *frame = &stream->frame;
    size_t size = wire_block_size(SEARCH_HITS, hit_body_size(hit));
    SERVICE_ASSERT(stream->message_count < MESSAGES_MAX && stream->found < stream->wanted);
    if (!frame_room_get(frame, size)) {
        stream->messages[stream->message_count++] = frame_take(frame);
        if (stream->message_count == MESSAGES_MAX) {
            stream->has_more = true;
            return false;
        }
        bool has_room = frame_room_get(frame, size);
        SERVICE_ASSERT(has_room);
    }
    frame->at = hit_put(frame->at, hit);
    frame->records++;
    stream->found++;
    return true;
}

/* Another round: what was found before is left out. */
static void round_begin(struct search_stream *stream, uint64_t offset)
{
    SERVICE_ASSERT(stream->message_next == stream->message_count && stream->frame.at == NULL);
    SERVICE_ASSERT(stream->found < stream->wanted);
    stream->message_count = 0;
    stream->message_next = 0;
    stream->has_more = false;
    stream->options.offset = offset + stream->found;
    stream->options.limit = stream->wanted - stream->found;
    /* In a transaction too: at READ_COMMITTED another round would read another version. */
    if (stream->is_begun) {
        stream->options.version = stream->version;
    }
}

static void search_on_executor(void *context)
{
    struct call *call = context;
    const Polarys__V1__SearchRequest *request = call->request;
    struct search_stream *stream = call->state;
    uint64_t version = 0;
    uint64_t total = 0;
    round_begin(stream, request->offset);
    stream->code = polarys_search(call->server->db, &stream->options, stop_is_wanted, hit_take,
                                  call, &version, &total, &call->error);
    if (!stream->is_begun) {
        stream->version = version;
        stream->total = total;
        stream->is_begun = true;
    }
    call_post(call);
}

/* ---- on the worker ---- */

/* The first message goes out when version and total are known: what is filled has no head. */
static grpc_slice head_make(struct call *call)
{
    const struct search_stream *stream = call->state;
    SERVICE_ASSERT(stream->is_begun && !call->has_sent_headers);
    struct response_header header;
    response_header_make(call->server, stream->version, &header);
    size_t size = wire_block_size(SEARCH_HEADER, header.size) +
                  wire_uint_size(SEARCH_VERSION, stream->version) +
                  wire_uint_size(SEARCH_TOTAL, stream->total);
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_put(at, SEARCH_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, SEARCH_VERSION, stream->version);
    at = wire_uint_put(at, SEARCH_TOTAL, stream->total);
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

static void stream_step(struct call *call);

static void message_sent(struct call *call, bool is_ok)
{
    if (!is_ok) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    stream_step(call);
}

static void stream_step(struct call *call)
{
    struct search_stream *stream = call->state;
    if (stop_is_wanted(call)) {
        call_fail_own(call, stop_explain(call, POLARYS_CANCELLED, "the search"));
    } else if (stream->message_next < stream->message_count) {
        grpc_slice message = stream->messages[stream->message_next++];
        bool has_more = stream->message_next < stream->message_count || stream->has_more ||
                        stream->frame.at != NULL;
        if (has_more) {
            call_send(call, message, false, message_sent);
        } else {
            call_reply(call, message);
        }
    } else if (stream->has_more) {
        txn_call_execute(call, search_on_executor);
    } else if (stream->frame.at != NULL) {
        call_reply(call, frame_take(&stream->frame));
    } else {
        call_end(call);
    }
}

/* BAD_FILTER is said of the text and of the filter; errors of the filter name it. */
static void filter_field_name(struct call *call)
{
    const Polarys__V1__SearchRequest *request = call->request;
    if (call->error.code == POLARYS_BAD_FILTER) {
        bool is_of_filter =
            request->filter.len > 0 && strstr(call->error.message, "filter:") != NULL;
        polarys_error_detail_set(&call->error, "field", is_of_filter ? "filter" : "text");
    }
}

static void executor_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    struct search_stream *stream = call->state;
    enum polarys_code code = stop_explain(call, stream->code, "the search");
    if (code != POLARYS_OK) {
        filter_field_name(call);
        call_fail_own(call, code);
        return;
    }
    if (call->has_sent_headers) {
        stream_step(call);
        return;
    }
    grpc_slice head = head_make(call);
    if (stream->message_count == 0 && stream->frame.at == NULL) {
        call_reply(call, head); /* nothing was found */
    } else {
        call_send(call, head, false, message_sent);
    }
}

static void stream_locked(struct call *call)
{
    call_post_handler_set(call, executor_posted);
    txn_call_execute(call, search_on_executor);
}

/* ---- the request ---- */

static enum polarys_code window_check(const Polarys__V1__SearchRequest *request,
                                      struct polarys_error *err)
{
    uint64_t limit = request->limit == 0 ? LIMIT_DEFAULT : request->limit;
    if (limit > WINDOW_MAX || request->offset > WINDOW_MAX - limit) {
        return operation_bad(err, limit > WINDOW_MAX ? "limit" : "offset",
                             "`offset` and `limit` together are at most 10000");
    }
    return POLARYS_OK;
}

static enum polarys_code request_take(struct call *call)
{
    const Polarys__V1__SearchRequest *request = call->request;
    call->arena.budget += sizeof(struct search_stream) + PROTO_ARENA_FIRST_BYTES;
    struct search_stream *stream = proto_arena_alloc(&call->arena, sizeof(*stream));
    if (stream == NULL) {
        return polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for a search");
    }
    memset(stream, 0, sizeof(*stream));
    call->state = stream;
    call->released = stream_release;
    stream->wanted = request->limit == 0 ? LIMIT_DEFAULT : request->limit;
    stream->options = (struct polarys_search_options){
        .database = call->database,
        .table = call->table,
        .text = slice_make(request->text.data, request->text.len),
        .filter = slice_make(request->filter.data, request->filter.len),
        .read_mask_count = request->n_read_mask,
        .with_highlights = request->with_highlights,
        .version = call->txn == NULL ? call->read_version : POLARYS_VERSION_NEWEST,
        .txn = call->txn,
    };
    enum polarys_code code = window_check(request, &call->error);
    if (code == POLARYS_OK && request->field.len > 0) {
        code = query_path_take(call, request->field, "field", &stream->options.field);
    }
    if (code == POLARYS_OK) {
        code = query_mask_take(call, request->read_mask, request->n_read_mask,
                               &stream->options.read_mask);
    }
    return code;
}

void query_search(struct call *call)
{
    enum polarys_code code = request_take(call);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    query_table_lock(call, stream_locked);
}
