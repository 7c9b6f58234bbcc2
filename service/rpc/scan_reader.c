/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills messages from an engine scan. The invariant: a document that was taken from the scan is
 * either in the message or pending, so that none is lost or doubled when a message is full, the
 * thread changes, or the scan ends early.
 */
#include "service/rpc/scan_reader.h"

#include "service/proto/wire.h"
#include "service/rpc/response.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum { FIELD_HEADER = 1, FIELD_VERSION = 2, FIELD_DOCUMENTS = 3, HEAD_BYTES_MAX = 512 };

enum polarys_code scan_reader_create(struct call *call, struct scan_reader **out,
                                     struct polarys_error *err)
{
    struct scan_reader *reader = call->state; /* of an attempt before */
    if (reader == NULL) {
        reader = proto_arena_alloc(&call->arena, sizeof(*reader));
    }
    *out = reader;
    if (reader == NULL) {
        return polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory for a scan");
    }
    memset(reader, 0, sizeof(*reader));
    reader->has_values = true;
    reader->message_bytes = SCAN_MESSAGE_FIRST_BYTES;
    reader->message_bytes_max = SCAN_MESSAGE_BYTES;
    reader->end_ns = call->end_ns;
    call->state = reader;
    call->released = scan_reader_release;
    return POLARYS_OK;
}

void scan_reader_release(struct call *call)
{
    struct scan_reader *reader = call->state;
    polarys_scan_close(reader->scan);
    reader->scan = NULL;
    if (reader->at != NULL) {
        grpc_slice_unref(reader->message);
        reader->at = NULL;
    }
}

/* Narrows the range to what lies after `key` in the direction of reading. `successor` holds a
 * key. */
static void range_cut(struct operation_range *range, bool is_reverse, struct polarys_slice key,
                      uint8_t *successor)
{
    if (is_reverse) {
        if (range->end.size == 0 || slice_compare(key, range->end) < 0) {
            range->end = key;
        }
    } else {
        struct polarys_slice start;
        if (key.size < POLARYS_KEY_BYTES_MAX) {
            memcpy(successor, key.data, key.size);
            successor[key.size] = 0;
            start = slice_make(successor, key.size + 1);
        } else {
            start = operation_key_after(key, successor);
            range->is_empty |= start.size == 0;
        }
        if (slice_compare(start, range->start) > 0) {
            range->start = start;
        }
    }
    range->is_empty |= range->end.size > 0 && slice_compare(range->start, range->end) >= 0;
}

void scan_reader_lock(struct call *call, const Polarys__V1__KeyRange *range,
                      void (*next)(struct call *call))
{
    if (call->txn == NULL || !call->is_txn_locking) {
        next(call);
        return;
    }
    call->arena.budget += sizeof(struct operation_range) + PROTO_ARENA_FIRST_BYTES;
    struct operation_range *bounds = proto_arena_alloc(&call->arena, sizeof(*bounds));
    if (bounds == NULL) {
        polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory to lock a range");
        call_fail(call, &call->error);
        return;
    }
    struct polarys_error ignored = POLARYS_ERROR_INIT;
    if (operation_range_take(range, bounds, &ignored) != POLARYS_OK || bounds->is_empty) {
        next(call);
        return;
    }
    txn_call_lock_range(call, bounds->start, bounds->end, POLARYS_LOCK_SHARED, next);
}

enum polarys_code scan_reader_open(struct call *call, struct scan_reader *reader,
                                   const Polarys__V1__KeyRange *range, bool is_reverse,
                                   struct polarys_slice after_key, struct polarys_error *err)
{
    struct operation_range bounds;
    uint8_t successor[POLARYS_KEY_BYTES_MAX];
    enum polarys_code code = operation_range_take(range, &bounds, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (after_key.size > 0) {
        range_cut(&bounds, is_reverse, after_key, successor);
    }
    /* Values are read even where only keys are sent: a document's times come with its value. */
    reader->flags = POLARYS_READ_MEMORY_ONLY;
    struct polarys_scan_options options = {
        .database = call->database,
        .table = call->table,
        .start = bounds.start,
        .end = bounds.end,
        .is_reverse = is_reverse,
        .version = call->read_version,
        .flags = reader->flags,
        .txn = call->txn,
    };
    if (bounds.is_empty) {
        /* Opened all the same, for the errors and the version: on bounds that no key can be
         * within. */
        options.start = slice_make("\0", 1);
        options.end = slice_make("\0", 1);
        reader->is_at_end = true;
    }
    reader->scan_flags = reader->flags;
    code = polarys_scan_open(call->server->db, &options, &reader->scan, err);
    if (code == POLARYS_OK) {
        reader->version = polarys_scan_version(reader->scan);
    }
    return code;
}

void scan_reader_files_allow(struct scan_reader *reader, bool is_allowed)
{
    if (is_allowed) {
        reader->flags &= ~(unsigned)POLARYS_READ_MEMORY_ONLY;
    } else {
        reader->flags |= POLARYS_READ_MEMORY_ONLY;
    }
}

/* A message for at least `size` bytes of documents. */
static void message_make(const struct call *call, struct scan_reader *reader, size_t size)
{
    size_t bytes = size > reader->message_bytes ? size : reader->message_bytes;
    reader->message = grpc_slice_malloc(bytes + HEAD_BYTES_MAX + SCAN_TAIL_BYTES);
    reader->at = GRPC_SLICE_START_PTR(reader->message);
    reader->documents_in_message = 0;
    if (!reader->has_sent_head) {
        struct response_header header;
        response_header_make(call->server, reader->version, &header);
        reader->at =
            wire_block_put(reader->at, FIELD_HEADER, slice_make(header.bytes, header.size));
        reader->at = wire_uint_put(reader->at, FIELD_VERSION, reader->version);
        reader->has_sent_head = true;
    }
    SERVICE_ASSERT(reader->at - GRPC_SLICE_START_PTR(reader->message) <= HEAD_BYTES_MAX);
}

void scan_reader_message_begin(const struct call *call, struct scan_reader *reader)
{
    if (reader->at == NULL) {
        message_make(call, reader, 0);
    }
}

grpc_slice scan_reader_message_take(struct scan_reader *reader)
{
    SERVICE_ASSERT(reader->at != NULL && reader->at <= GRPC_SLICE_END_PTR(reader->message));
    size_t size = (size_t)(reader->at - GRPC_SLICE_START_PTR(reader->message));
    grpc_slice whole = reader->message;
    grpc_slice used = grpc_slice_sub(whole, 0, size);
    grpc_slice_unref(whole);
    reader->at = NULL;
    reader->message = grpc_empty_slice();
    reader->message_bytes *= 4;
    if (reader->message_bytes > reader->message_bytes_max) {
        reader->message_bytes = reader->message_bytes_max;
    }
    return used;
}

/*
 * Room for `size` more bytes, where that is allowed: for one document that is larger than a message
 * and goes alone, and in a page, which is one message and begins small.
 */
static bool message_grow(struct scan_reader *reader, size_t size)
{
    size_t used = (size_t)(reader->at - GRPC_SLICE_START_PTR(reader->message));
    size_t wanted = used + size;
    if (reader->documents_in_message > 0) {
        if (!reader->is_page || wanted > SCAN_MESSAGE_BYTES_MAX) {
            return false;
        }
        wanted = wanted * 4 > SCAN_MESSAGE_BYTES_MAX ? SCAN_MESSAGE_BYTES_MAX : wanted * 4;
    }
    grpc_slice larger = grpc_slice_malloc(wanted + SCAN_TAIL_BYTES);
    memcpy(GRPC_SLICE_START_PTR(larger), GRPC_SLICE_START_PTR(reader->message), used);
    grpc_slice_unref(reader->message);
    reader->message = larger;
    reader->at = GRPC_SLICE_START_PTR(larger) + used;
    return true;
}

/* Puts the pending document into the message; false when it does not fit any more. */
static bool pending_put(const struct call *call, struct scan_reader *reader)
{
    size_t size = response_document_size(FIELD_DOCUMENTS, &reader->pending, reader->has_values);
    if (reader->at == NULL) {
        message_make(call, reader, size);
    }
    size_t room = (size_t)(GRPC_SLICE_END_PTR(reader->message) - reader->at) - SCAN_TAIL_BYTES;
    if (size > room && !message_grow(reader, size)) {
        return false;
    }
    reader->at =
        response_document_put(reader->at, FIELD_DOCUMENTS, &reader->pending, reader->has_values);
    reader->documents_in_message++;
    reader->rows++;
    reader->bytes += reader->pending.key.size + reader->pending.value.bytes.size;
    SERVICE_ASSERT(reader->pending.key.size <= sizeof(reader->last_key));
    memcpy(reader->last_key, reader->pending.key.data, reader->pending.key.size);
    reader->last_key_size = reader->pending.key.size;
    reader->has_pending = false;
    return true;
}

/* The next document into `pending`. SCAN_MESSAGE_FULL stands for "there is one". */
static enum scan_result pending_fetch(struct call *call, struct scan_reader *reader)
{
    if (reader->has_pending) {
        return SCAN_MESSAGE_FULL;
    }
    if (reader->is_at_end) {
        return SCAN_END_OF_RANGE;
    }
    if (reader->flags != reader->scan_flags) {
        /* Not earlier: a pending document lives until the scan's next call only. */
        polarys_scan_flags_set(reader->scan, reader->flags);
        reader->scan_flags = reader->flags;
    }
    bool has_document;
    enum polarys_code code =
        polarys_scan_next(reader->scan, &has_document, &reader->pending, &call->error);
    if (code == POLARYS_WOULD_BLOCK) {
        polarys_error_clear(&call->error);
        return SCAN_BLOCKED;
    }
    if (code != POLARYS_OK) {
        return SCAN_FAILED;
    }
    reader->has_pending = has_document;
    reader->is_at_end = !has_document;
    return has_document ? SCAN_MESSAGE_FULL : SCAN_END_OF_RANGE;
}

/* What the world says, looked at now and then: SCAN_MESSAGE_FULL stands for "go on". */
static enum scan_result surroundings_look(const struct call *call, const struct scan_reader *reader)
{
    if (call_is_cancelled(call)) {
        return SCAN_CANCELLED;
    }
    bool is_late = reader->end_ns != 0 && timing_now_ns() >= reader->end_ns;
    if (is_late || server_phase_get(call->server) >= SERVER_STOPPING) {
        return SCAN_TIME;
    }
    return SCAN_MESSAGE_FULL;
}

enum scan_result scan_reader_fill(struct call *call, struct scan_reader *reader)
{
    for (unsigned rows = 0;; rows++) {
        if (reader->limit != 0 && reader->rows >= reader->limit && !reader->is_page) {
            return SCAN_LIMIT;
        }
        if (rows % SCAN_LOOK_ROWS == 0) {
            enum scan_result seen = surroundings_look(call, reader);
            if (seen != SCAN_MESSAGE_FULL) {
                return seen;
            }
        }
        if (rows >= SCAN_YIELD_ROWS && (reader->flags & POLARYS_READ_MEMORY_ONLY) != 0) {
            return SCAN_YIELD;
        }
        enum scan_result fetched = pending_fetch(call, reader);
        if (fetched != SCAN_MESSAGE_FULL) {
            return fetched;
        }
        if (reader->limit != 0 && reader->rows >= reader->limit) {
            return SCAN_LIMIT;
        }
        uint64_t size = reader->pending.key.size + reader->pending.value.bytes.size;
        if (reader->bytes_max != 0 && reader->rows > 0 &&
            reader->bytes + size > reader->bytes_max) {
            return SCAN_BYTES;
        }
        if (!pending_put(call, reader)) {
            return SCAN_MESSAGE_FULL;
        }
    }
}
