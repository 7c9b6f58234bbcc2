/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encodes WatchResponse by hand: see watch_message.h. The sizes and the bytes of each event come
 * from the same description of its fields, and are asserted to agree.
 */
#include "service/rpc/watch_message.h"

#include "service/proto/wire.h"
#include "service/server/check.h"

enum {
    RESPONSE_HEADER = 1,
    RESPONSE_EVENTS = 2,
    RESPONSE_RESUME_VERSION = 3,

    EVENT_VERSION = 1,
    EVENT_COMMIT_TIME = 2,
    EVENT_LAST_OF_COMMIT = 3,
    EVENT_PUT = 4,
    EVENT_DELETE = 5,
    EVENT_DELETE_RANGE = 6,
    EVENT_SNAPSHOT_PUT = 7,
    EVENT_SNAPSHOT_END = 8,
    EVENT_PROGRESS = 9,
    EVENT_TABLE_DROPPED = 10,

    KIND_KEY = 1, /* of a put and a delete; the start of a range */
    KIND_VALUE = 2,
    KIND_END_KEY = 2,
    KIND_EXPIRE_TIME = 3,

    RESUME_BYTES_MAX = 16,
};

static uint32_t kind_field(enum polarys_watch_event_kind kind)
{
    switch (kind) {
    case POLARYS_WATCH_PUT:
        return EVENT_PUT;
    case POLARYS_WATCH_DELETE:
        return EVENT_DELETE;
    case POLARYS_WATCH_DELETE_RANGE:
        return EVENT_DELETE_RANGE;
    case POLARYS_WATCH_SNAPSHOT_PUT:
        return EVENT_SNAPSHOT_PUT;
    case POLARYS_WATCH_SNAPSHOT_END:
        return EVENT_SNAPSHOT_END;
    case POLARYS_WATCH_PROGRESS:
        return EVENT_PROGRESS;
    case POLARYS_WATCH_TABLE_DROPPED:
        break;
    }
    return EVENT_TABLE_DROPPED;
}

static bool has_document(enum polarys_watch_event_kind kind)
{
    return kind == POLARYS_WATCH_PUT || kind == POLARYS_WATCH_SNAPSHOT_PUT;
}

static bool has_key(enum polarys_watch_event_kind kind)
{
    return has_document(kind) || kind == POLARYS_WATCH_DELETE || kind == POLARYS_WATCH_DELETE_RANGE;
}

static size_t kind_size(const struct polarys_watch_event *event)
{
    size_t size = has_key(event->kind) ? wire_bytes_size(KIND_KEY, event->key.size) : 0;
    if (has_document(event->kind)) {
        size += response_value_size(KIND_VALUE, &event->value) +
                response_time_size(KIND_EXPIRE_TIME, event->value.expires_at_ms);
    } else if (event->kind == POLARYS_WATCH_DELETE_RANGE) {
        size += wire_bytes_size(KIND_END_KEY, event->end_key.size);
    }
    return size;
}

static uint8_t *kind_put(uint8_t *at, const struct polarys_watch_event *event)
{
    at = wire_block_open(at, kind_field(event->kind), kind_size(event));
    if (has_key(event->kind)) {
        at = wire_bytes_put(at, KIND_KEY, event->key);
    }
    if (has_document(event->kind)) {
        at = response_value_put(at, KIND_VALUE, &event->value);
        at = response_time_put(at, KIND_EXPIRE_TIME, event->value.expires_at_ms);
    } else if (event->kind == POLARYS_WATCH_DELETE_RANGE) {
        at = wire_bytes_put(at, KIND_END_KEY, event->end_key);
    }
    return at;
}

static size_t event_size(const struct polarys_watch_event *event)
{
    return wire_uint_size(EVENT_VERSION, event->version) +
           response_time_size(EVENT_COMMIT_TIME, event->time_unix_ms) +
           wire_uint_size(EVENT_LAST_OF_COMMIT, event->is_last_of_commit) +
           wire_block_size(kind_field(event->kind), kind_size(event));
}

static size_t used_of(const struct watch_message *message)
{
    return message->at == NULL ? 0 : (size_t)(message->at - GRPC_SLICE_START_PTR(message->slice));
}

/* Room for `size` bytes more, and for the resume version. */
static void room_make(struct watch_message *message, size_t size)
{
    size_t used = used_of(message);
    size_t wanted = used + size + RESUME_BYTES_MAX;
    if (message->at != NULL && wanted <= GRPC_SLICE_LENGTH(message->slice)) {
        return;
    }
    size_t capacity =
        2 * wanted > WATCH_MESSAGE_FIRST_BYTES ? 2 * wanted : WATCH_MESSAGE_FIRST_BYTES;
    grpc_slice larger = grpc_slice_malloc(capacity);
    if (message->at != NULL) {
        memcpy(GRPC_SLICE_START_PTR(larger), GRPC_SLICE_START_PTR(message->slice), used);
        grpc_slice_unref(message->slice);
    }
    message->slice = larger;
    message->at = GRPC_SLICE_START_PTR(larger) + used;
}

void watch_message_begin(struct watch_message *message, const struct response_header *header)
{
    SERVICE_ASSERT(message->at == NULL);
    message->event_count = 0;
    room_make(message, RESPONSE_HEADER_MAX);
    if (header != NULL) {
        message->at =
            wire_block_put(message->at, RESPONSE_HEADER, slice_make(header->bytes, header->size));
    }
}

bool watch_message_put(struct watch_message *message, const struct polarys_watch_event *event)
{
    size_t size = event_size(event);
    size_t stored = wire_block_size(RESPONSE_EVENTS, size);
    if (message->event_count > 0 && used_of(message) + stored > WATCH_MESSAGE_BYTES_MAX) {
        return false;
    }
    if (message->at == NULL) {
        watch_message_begin(message, NULL);
    }
    room_make(message, stored);
    uint8_t *at = wire_block_open(message->at, RESPONSE_EVENTS, size);
    uint8_t *end = at + size;
    at = wire_uint_put(at, EVENT_VERSION, event->version);
    at = response_time_put(at, EVENT_COMMIT_TIME, event->time_unix_ms);
    at = wire_uint_put(at, EVENT_LAST_OF_COMMIT, event->is_last_of_commit);
    at = kind_put(at, event);
    SERVICE_ASSERT(at == end);
    message->at = at;
    message->event_count++;
    message->has_commit_open = !event->is_last_of_commit;
    return true;
}

bool watch_message_is_full(const struct watch_message *message)
{
    return used_of(message) >= WATCH_MESSAGE_BYTES && !message->has_commit_open;
}

grpc_slice watch_message_take(struct watch_message *message, uint64_t resume_version)
{
    SERVICE_ASSERT(message->at != NULL);
    message->at = wire_uint_put(message->at, RESPONSE_RESUME_VERSION, resume_version);
    SERVICE_ASSERT(message->at <= GRPC_SLICE_END_PTR(message->slice));
    grpc_slice used = grpc_slice_sub(message->slice, 0, used_of(message));
    grpc_slice_unref(message->slice);
    message->at = NULL;
    message->event_count = 0;
    message->slice = grpc_empty_slice();
    return used;
}

void watch_message_deinit(struct watch_message *message)
{
    if (message->at != NULL) {
        grpc_slice_unref(message->slice);
        message->at = NULL;
    }
}
