/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the life of a call: made, filled by the queue, emptied for the pool. The invariant: it goes
 * back to the pool only on its worker, when its status was sent and every tag has come back.
 */
#include "service/server/call.h"

#include <stdlib.h>

#include <grpc/byte_buffer_reader.h>

#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum { CALL_BATCH_KEPT_BYTES = 64 << 10 /* a batch that grew beyond it is not pooled */ };

struct call *call_create(struct worker *worker)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return NULL;
    }
    call->worker = worker;
    call->server = worker->server;
    struct call_event *events[] = {&call->on_request, &call->on_close,  &call->on_read,
                                   &call->on_write,   &call->on_finish, &call->on_post,
                                   &call->on_quorum};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        events[i]->call = call;
    }
    proto_arena_init(&call->arena, &worker->server->memory);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    call->status_text = grpc_empty_slice();
    call->status_details = grpc_empty_slice();
    return call;
}

void call_destroy(struct call *call)
{
    SERVICE_ASSERT(__atomic_load_n(&call->pending, __ATOMIC_ACQUIRE) == 0);
    SERVICE_ASSERT(call->handle == NULL);
    polarys_batch_destroy(call->batch);
    proto_arena_deinit(&call->arena);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    free(call);
}

static void received_drop(struct call *call)
{
    if (call->received != NULL) {
        grpc_byte_buffer_destroy(call->received);
        call->received = NULL;
    }
}

/* Lets go of all that belongs to the call that has ended. */
static void call_empty(struct call *call)
{
    received_drop(call);
    if (call->payload != NULL) {
        grpc_byte_buffer_destroy(call->payload);
        call->payload = NULL;
    }
    if (call->method == NULL) {
        grpc_slice_unref(call->details.method);
        grpc_slice_unref(call->details.host);
        grpc_call_details_init(&call->details);
    }
    grpc_slice_unref(call->status_text);
    grpc_slice_unref(call->status_details);
    call->status_text = grpc_empty_slice();
    call->status_details = grpc_empty_slice();
    grpc_call_unref(call->handle);
    call->handle = NULL;
    call->metadata.count = 0;
    if (call->batch != NULL && polarys_batch_bytes(call->batch) > CALL_BATCH_KEPT_BYTES) {
        polarys_batch_destroy(call->batch);
        call->batch = NULL;
    }
    proto_arena_reset(&call->arena);
}

static void call_fields_reset(struct call *call)
{
    call_quorum_release(call);
    call->request = NULL;
    call->database[0] = '\0';
    call->table[0] = '\0';
    call->read_version = POLARYS_VERSION_NEWEST;
    call->at_least_version = 0;
    call->primary_ticket = 0;
    call->is_token_foreign = false;
    call->is_stable_awaited = false;
    call->write_options = (struct polarys_write_options){0};
    call->key = slice_make(NULL, 0);
    call->field_hint = NULL;
    call->part = NULL;
    call->has_txn_id = false;
    call->is_txn_locking = false;
    call->is_txn_serializable = false;
    call->txn_step = NULL;
    call->resume = NULL;
    call->state = NULL;
    call->released = NULL;
    call->tick = NULL;
    call->status = GRPC_STATUS_OK;
    call->close_flag = 0;
    call->has_sent_headers = false;
    call->has_close_watch = false;
    call->is_finishing = false;
    call->is_write = false;
    call->is_cancelled = 0;
    call->is_posted = 0;
    if (call->error.code != POLARYS_OK) {
        polarys_error_clear(&call->error);
    }
}

/* The call has ended and its last tag is back. */
static void call_release(struct call *call)
{
    struct worker *worker = call->worker;
    SERVICE_ASSERT(call->is_finishing);
    size_t count;
    size_t place = call->method == NULL ? METRICS_METHOD_UNKNOWN
                                        : (size_t)(call->method - method_table(&count));
    bool is_timed = call->server->config->is_metrics_on;
    uint64_t duration = is_timed ? timing_now_ns() - call->start_ns : 0;
    metrics_call_end(worker->metrics, place, (unsigned)call->status, duration, is_timed);
    if (call->is_stream_listed) {
        worker_stream_remove(worker, call);
    }
    if (call->released != NULL) {
        call->released(call);
    }
    polarys_txn_release(call->txn);
    call->txn = NULL;
    if (polarys_log_level_get() == POLARYS_LOG_DEBUG) {
        polarys_log(POLARYS_LOG_DEBUG, "rpc", "call %u-%llu %s ended with status %d after %llu us",
                    worker->index, (unsigned long long)call->id,
                    call->method == NULL ? "(unknown)" : call->method->path, (int)call->status,
                    (unsigned long long)((timing_now_ns() - call->start_ns) / TIMING_NS_PER_US));
    }
    __atomic_store_n(&worker->calls_under_way, worker->calls_under_way - 1, __ATOMIC_RELAXED);
    call_empty(call);
    call_fields_reset(call);
    worker_call_give(worker, call);
}

void call_event_done(struct call *call)
{
    int left = __atomic_sub_fetch(&call->pending, 1, __ATOMIC_ACQ_REL);
    SERVICE_ASSERT(left >= 0);
    if (left == 0) {
        call_release(call);
    }
}

bool call_is_cancelled(const struct call *call)
{
    return __atomic_load_n(&call->is_cancelled, __ATOMIC_RELAXED) != 0;
}

bool call_is_late(const struct call *call)
{
    return call->end_ns != 0 && timing_now_ns() >= call->end_ns;
}

void call_execute(struct call *call, void (*function)(void *call))
{
    /* The call's own error may be in use by the handler; this one is for the executor alone. */
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = polarys_db_execute(call->server->db, function, call, &err);
    if (code != POLARYS_OK) {
        call_fail(call, &err);
    }
}

/* Several slices, or a compressed message: put together in the arena. */
static enum polarys_code bytes_join(struct call *call, grpc_byte_buffer *buffer,
                                    struct polarys_slice *bytes, struct polarys_error *err)
{
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, buffer) == 0) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "the request can't be decompressed");
    }
    enum polarys_code code = POLARYS_OK;
    size_t size = grpc_byte_buffer_length(reader.buffer_out);
    call->arena.budget = call->arena.taken + size + PROTO_ARENA_BUDGET_BASE;
    uint8_t *joined = proto_arena_alloc(&call->arena, size);
    if (joined == NULL) {
        code =
            polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory for a request of %zu bytes", size);
        goto done;
    }
    size_t at = 0;
    grpc_slice *slice;
    while (grpc_byte_buffer_reader_peek(&reader, &slice) != 0) {
        size_t length = GRPC_SLICE_LENGTH(*slice);
        SERVICE_ASSERT(at + length <= size);
        memcpy(joined + at, GRPC_SLICE_START_PTR(*slice), length);
        at += length;
    }
    *bytes = slice_make(joined, at);

done:
    grpc_byte_buffer_reader_destroy(&reader);
    return code;
}

enum polarys_code call_bytes_get(struct call *call, grpc_byte_buffer *buffer,
                                 struct polarys_slice *bytes, struct polarys_error *err)
{
    *bytes = slice_make(NULL, 0);
    if (buffer == NULL) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "the call has no request message");
    }
    if (buffer->type == GRPC_BB_RAW && buffer->data.raw.compression == GRPC_COMPRESS_NONE &&
        buffer->data.raw.slice_buffer.count <= 1) {
        if (buffer->data.raw.slice_buffer.count == 1) {
            const grpc_slice *slice = &buffer->data.raw.slice_buffer.slices[0];
            *bytes = slice_make(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
        }
        return POLARYS_OK;
    }
    return bytes_join(call, buffer, bytes, err);
}

enum polarys_code call_batch_begin(struct call *call, struct polarys_error *err)
{
    if (call->batch != NULL) {
        return polarys_batch_reset(call->batch, call->database, err);
    }
    return polarys_batch_create(call->server->db, call->database, &call->batch, err);
}

void call_wait(struct call *call, void (*resume)(struct call *call))
{
    call->resume = resume;
    worker_call_wait(call->worker, call);
}

bool call_submit_begin(struct call *call)
{
    struct server *server = call->server;
    uint64_t waiting = __atomic_add_fetch(&server->writes_waiting, 1, __ATOMIC_RELAXED);
    call->is_write = true;
    if (waiting > server->config->buffer_size) {
        polarys_fail(&call->error, POLARYS_WRITE_STALL,
                     "%llu writes wait for the log already: slow down, and try again",
                     (unsigned long long)(waiting - 1));
        polarys_error_detail_set(&call->error, "limit", "buffer_size");
        call_fail_own(call, POLARYS_WRITE_STALL);
        return false;
    }
    call->write_options.deadline_ns = call->end_ns;
    call->worker->has_submitted = true;
    return true;
}

void call_submit(struct call *call, void (*done)(void *call, enum polarys_code code,
                                                 const struct polarys_write_result *result,
                                                 const struct polarys_error *err))
{
    if (call_submit_begin(call)) {
        polarys_batch_submit(call->batch, &call->write_options, done, call);
    }
}
