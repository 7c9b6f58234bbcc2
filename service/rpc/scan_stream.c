/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KvService.Scan and BulkService.Export: one message at a time, the next one filled when the
 * transport has taken the last, so that a slow reader holds one message and no more. From memory on
 * the worker, with yields; what needs files is filled on an executor thread, which then posts the
 * call back.
 */
#include "polarys/v1/bulk.pb-c.h"
#include "polarys/v1/kv.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/handlers.h"
#include "service/rpc/page_token.h"
#include "service/rpc/scan_reader.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum { SCAN_FIELD_END_REASON = 4, SCAN_FIELD_RESUME_TOKEN = 5 };

static void stream_step(struct call *call);

static bool is_scan(const struct call *call)
{
    return call->method->request == &polarys__v1__scan_request__descriptor;
}

static uint64_t scan_digest(const struct call *call)
{
    const Polarys__V1__ScanRequest *request = call->request;
    return page_token_digest(call, request->range, request->reverse, request->keys_only);
}

/* The last message of a Scan, with the reason and the token; and the status. */
static void scan_finish(struct call *call, Polarys__V1__ScanEndReason reason)
{
    struct scan_reader *reader = call->state;
    scan_reader_message_begin(call, reader);
    reader->at = wire_uint_put(reader->at, SCAN_FIELD_END_REASON, (uint64_t)reason);
    if (reason != POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_END_OF_RANGE) {
        const Polarys__V1__ScanRequest *request = call->request;
        struct page_token token = {
            .version = reader->version,
            .request_digest = scan_digest(call),
            .last_key = slice_make(reader->last_key, reader->last_key_size),
        };
        uint8_t bytes[PAGE_TOKEN_MAX];
        size_t size = page_token_encode(call, &token, bytes);
        if (reader->rows == 0 && request->resume_token.len > 0) {
            /* Not a document was sent: it goes on where this one began. */
            reader->at =
                wire_bytes_put(reader->at, SCAN_FIELD_RESUME_TOKEN,
                               slice_make(request->resume_token.data, request->resume_token.len));
        } else {
            reader->at =
                wire_bytes_put(reader->at, SCAN_FIELD_RESUME_TOKEN, slice_make(bytes, size));
        }
    }
    call_reply(call, scan_reader_message_take(reader));
}

static void export_finish(struct call *call)
{
    struct scan_reader *reader = call->state;
    if (!reader->has_sent_head) {
        scan_reader_message_begin(call, reader);
    }
    if (reader->at != NULL) {
        call_reply(call, scan_reader_message_take(reader));
    } else {
        call_end(call);
    }
}

/* An export that can't be finished has no end reason: its status says so, and where to go on. */
static void export_stopped(struct call *call)
{
    if (server_phase_get(call->server) >= SERVER_STOPPING) {
        polarys_fail(&call->error, POLARYS_DRAINING,
                     "the server stops: resume the export after the last key received");
    } else {
        polarys_fail(&call->error, POLARYS_WAIT_TIMEOUT,
                     "the call's time is over: resume the export after the last key received");
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

/* On the executor: fills a message from files, then hands the call back. What came of it is found
 * again by the next fill on the worker, since the message keeps what it has. */
static void stream_fill_from_files(void *context)
{
    struct call *call = context;
    struct scan_reader *reader = call->state;
    reader->file_result = scan_reader_fill(call, reader);
    reader->has_file_result = true;
    call_post(call);
}

static void stream_finish(struct call *call, enum scan_result result)
{
    static const Polarys__V1__ScanEndReason reasons[] = {
        [SCAN_END_OF_RANGE] = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_END_OF_RANGE,
        [SCAN_LIMIT] = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_LIMIT_REACHED,
        [SCAN_BYTES] = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_BYTES_REACHED,
        [SCAN_TIME] = POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_TIME_REACHED,
    };
    if (is_scan(call)) {
        scan_finish(call, reasons[result]);
    } else if (result == SCAN_TIME) {
        export_stopped(call);
    } else {
        export_finish(call);
    }
}

static void stream_result(struct call *call, enum scan_result result)
{
    struct scan_reader *reader = call->state;
    switch (result) {
    case SCAN_MESSAGE_FULL:
        call_send(call, scan_reader_message_take(reader), false, message_sent);
        break;
    case SCAN_YIELD:
        call_post(call);
        break;
    case SCAN_BLOCKED:
        scan_reader_files_allow(reader, true);
        call_execute(call, stream_fill_from_files);
        break;
    case SCAN_CANCELLED:
        polarys_fail(&call->error, POLARYS_CANCELLED, "given up by the client");
        call_fail(call, &call->error);
        break;
    case SCAN_FAILED:
        call_fail(call, &call->error);
        break;
    case SCAN_END_OF_RANGE:
    case SCAN_LIMIT:
    case SCAN_BYTES:
    case SCAN_TIME:
        stream_finish(call, result);
        break;
    }
}

static void stream_step(struct call *call)
{
    struct scan_reader *reader = call->state;
    SERVICE_ASSERT(!call->is_finishing);
    if (reader->has_file_result) {
        reader->has_file_result = false;
        scan_reader_files_allow(reader, false);
        stream_result(call, reader->file_result);
        return;
    }
    stream_result(call, scan_reader_fill(call, reader));
}

static void stream_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    stream_step(call);
}

static void stream_begin(struct call *call, enum polarys_code code)
{
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_post_handler_set(call, stream_posted);
    stream_step(call);
}

/* Ends the scan at `max_time` if that is before the call's own end. */
static enum polarys_code max_time_take(const Google__Protobuf__Duration *time,
                                       struct scan_reader *reader, struct polarys_error *err)
{
    enum { SECONDS_MAX = 86400 * 365 };
    if (time == NULL) {
        return POLARYS_OK;
    }
    if (time->seconds < 0 || time->nanos < 0 || time->nanos > 999999999 ||
        time->seconds > SECONDS_MAX) {
        return operation_bad(err, "max_time", "must be a time of zero or more");
    }
    uint64_t end_ns =
        timing_now_ns() + (uint64_t)time->seconds * TIMING_NS_PER_S + (uint64_t)time->nanos;
    if (reader->end_ns == 0 || end_ns < reader->end_ns) {
        reader->end_ns = end_ns;
    }
    return POLARYS_OK;
}

static enum polarys_code scan_open(struct call *call, struct polarys_error *err)
{
    const Polarys__V1__ScanRequest *request = call->request;
    struct scan_reader *reader;
    enum polarys_code code = scan_reader_create(call, &reader, err);
    if (code == POLARYS_OK) {
        code = max_time_take(request->max_time, reader, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    reader->limit = request->limit;
    reader->bytes_max = request->max_bytes;
    reader->has_values = !request->keys_only;
    struct page_token token = {.request_digest = scan_digest(call)};
    if (request->resume_token.len > 0) {
        code = page_token_decode(call,
                                 slice_make(request->resume_token.data, request->resume_token.len),
                                 "resume_token", &token, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (call->txn == NULL) {
            call->read_version = token.version;
        }
    }
    code = scan_reader_open(call, reader, request->range, request->reverse, token.last_key, err);
    if (code == POLARYS_HISTORY_PRUNED && request->resume_token.len > 0) {
        return polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                            "version %llu of the scan to resume is not kept any more: begin again",
                            (unsigned long long)token.version);
    }
    return code;
}

static void scan_begin(struct call *call)
{
    enum polarys_code code = scan_open(call, &call->error);
    if (code == POLARYS_WOULD_BLOCK && call->txn != NULL) {
        polarys_error_clear(&call->error);
        txn_call_await(call, scan_begin);
        return;
    }
    stream_begin(call, code);
}

void kv_scan(struct call *call)
{
    const Polarys__V1__ScanRequest *request = call->request;
    scan_reader_lock(call, request->range, scan_begin);
}

static enum polarys_code export_open(struct call *call, struct polarys_error *err)
{
    const Polarys__V1__ExportRequest *request = call->request;
    struct scan_reader *reader;
    enum polarys_code code = scan_reader_create(call, &reader, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (request->resume_after_key.len > POLARYS_KEY_BYTES_MAX) {
        polarys_fail(err, POLARYS_BAD_KEY, "`resume_after_key` is longer than a key can be");
        polarys_error_detail_set(err, "field", "resume_after_key");
        return POLARYS_BAD_KEY;
    }
    return scan_reader_open(
        call, reader, request->range, false,
        slice_make(request->resume_after_key.data, request->resume_after_key.len), err);
}

void bulk_export(struct call *call)
{
    stream_begin(call, export_open(call, &call->error));
}
