/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: a stream that is opened again where it broke.
 *
 * Invariant: the resume version rises behind whole commits only. Of a commit that a break has cut, the events that
 * were given are counted, and left out when the server gives the commit again: the log does not change, so they
 * come in the same order.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/feed.h"
#include "client/polarys_watch.h"
#include "google/protobuf/duration.pb-c.h"
#include "polarys/v1/watch.pb-c.h"

struct polarys_client_watch {
    struct client_feed feed;
    struct polarys_client_watch_options options; /* strings and prefix owned */
    uint64_t resume_version;
    bool has_snapshot_open; /* part of a snapshot was given */
    bool is_done;

    /* The commit that was given in part. */
    uint64_t partial_version;
    uint64_t partial_count; /* events given */
    uint64_t skip_count;    /* of them still to come again */

    Polarys__V1__WatchResponse *message;
    size_t next; /* in message->events */
};

static bool options_copy(struct polarys_client_watch_options *to,
                         const struct polarys_client_watch_options *from)
{
    *to = *from;
    to->database = client_copy_text(from->database);
    to->table = client_copy_text(from->table);
    to->filter = client_copy_text(from->filter);
    to->prefix = client_copy(from->prefix, from->prefix_size);
    return to->database != NULL && to->table != NULL && to->filter != NULL && to->prefix != NULL;
}

/* Begins, or goes on behind the resume version. */
static bool watch_send(struct polarys_client_watch *watch, struct polarys_client_error *err)
{
    const struct polarys_client_watch_options *options = &watch->options;
    Polarys__V1__WatchRequest request = POLARYS__V1__WATCH_REQUEST__INIT;
    Google__Protobuf__Duration interval = GOOGLE__PROTOBUF__DURATION__INIT;

    POLARYS_ASSERT(!watch->has_snapshot_open); /* its rest cannot be asked for */
    request.database = client_text(options->database);
    request.table = client_text(options->table);
    request.prefix = client_bytes(options->prefix, options->prefix_size);
    request.filter = client_text(options->filter);
    request.from_version = watch->resume_version;
    request.with_snapshot = options->with_snapshot && watch->resume_version == 0;
    if (options->progress_interval_ms != 0) {
        interval.seconds = options->progress_interval_ms / 1000;
        interval.nanos = (int32_t)(options->progress_interval_ms % 1000 * 1000000);
        request.progress_interval = &interval;
    }
    watch->skip_count = watch->partial_count;
    return client_feed_open(&watch->feed, &request.base, err);
}

static void message_drop(struct polarys_client_watch *watch)
{
    if (watch->message != NULL) {
        polarys__v1__watch_response__free_unpacked(watch->message, NULL);
        watch->message = NULL;
    }
    watch->next = 0;
}

/* After a break or an end: goes on, or fills `err`. */
static bool stream_ended(struct polarys_client_watch *watch, enum client_feed_event event,
                         struct polarys_client_error *err)
{
    POLARYS_ASSERT(event != CLIENT_FEED_MESSAGE);
    if (event == CLIENT_FEED_ENDED) {
        event = client_feed_cut(&watch->feed, err); /* the last event says that the table is gone */
    }
    if (event == CLIENT_FEED_FAILED) {
        return false;
    }
    if (watch->has_snapshot_open) {
        client_error_set(err, POLARYS_CLIENT_UNAVAILABLE,
                         "watch: the connection broke in the middle of the snapshot: begin anew");
        return false;
    }
    return watch_send(watch, err);
}

/* Reads the next message of the stream. */
static bool message_take(struct polarys_client_watch *watch, struct polarys_client_error *err)
{
    struct transport_message bytes;

    POLARYS_ASSERT(!watch->is_done);
    message_drop(watch);
    enum client_feed_event event = client_feed_next(&watch->feed, &bytes, err);
    if (event != CLIENT_FEED_MESSAGE) {
        return stream_ended(watch, event, err);
    }
    watch->message = polarys__v1__watch_response__unpack(NULL, bytes.size, bytes.bytes);
    free(bytes.bytes);
    if (watch->message == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "watch: a message cannot be decoded");
        return false;
    }
    return true;
}

bool polarys_client_watch_open(struct polarys_client *client,
                               const struct polarys_client_watch_options *options,
                               struct polarys_client_watch **out, struct polarys_client_error *err)
{
    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options != NULL && out != NULL);
    struct polarys_client_watch *watch = calloc(1, sizeof(*watch));
    client_error_clear(err);
    *out = NULL;
    if (watch == NULL || !options_copy(&watch->options, options)) {
        polarys_client_watch_close(watch);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a watch");
        return false;
    }
    /* A watch from now on begins where the newest commits are; one from a version may begin anywhere. */
    client_feed_init(&watch->feed, client, "/polarys.v1.WatchService/Watch",
                     options->from_version == 0 ? CLIENT_PLACE_PRIMARY : CLIENT_PLACE_READ,
                     options->reconnect_ms);
    watch->resume_version = options->from_version;
    bool is_open = watch_send(watch, err);
    /* The first message comes at once, and says from where. */
    while (is_open && watch->message == NULL) {
        is_open = message_take(watch, err);
    }
    if (!is_open) {
        polarys_client_watch_close(watch);
        return false;
    }
    if (watch->message->resume_version > watch->resume_version) {
        watch->resume_version = watch->message->resume_version;
    }
    *out = watch;
    return true;
}

static void put_fill(struct polarys_client_watch_event *event, enum polarys_client_watch_kind kind,
                     const Polarys__V1__WatchPut *put)
{
    Polarys__V1__Document document = POLARYS__V1__DOCUMENT__INIT;
    document.key = put->key;
    document.value = put->value;
    document.expire_time = put->expire_time;
    client_document_borrow(&event->document, &document);
    event->kind = kind;
}

static void key_fill(struct polarys_client_watch_event *event, enum polarys_client_watch_kind kind,
                     const ProtobufCBinaryData *key)
{
    event->kind = kind;
    event->document.key = key->data;
    event->document.key_size = key->len;
}

static void event_fill(struct polarys_client_watch_event *event,
                       const Polarys__V1__WatchEvent *from)
{
    memset(event, 0, sizeof(*event));
    switch (from->kind_case) {
    case POLARYS__V1__WATCH_EVENT__KIND_PUT:
        put_fill(event, POLARYS_CLIENT_WATCH_PUT, from->put);
        break;
    case POLARYS__V1__WATCH_EVENT__KIND_SNAPSHOT_PUT:
        put_fill(event, POLARYS_CLIENT_WATCH_SNAPSHOT_PUT, from->snapshot_put);
        break;
    case POLARYS__V1__WATCH_EVENT__KIND_DELETE:
        key_fill(event, POLARYS_CLIENT_WATCH_DELETE, &from->delete_->key);
        break;
    case POLARYS__V1__WATCH_EVENT__KIND_DELETE_RANGE:
        key_fill(event, POLARYS_CLIENT_WATCH_DELETE_RANGE, &from->delete_range->start_key);
        event->end_key = from->delete_range->end_key.data;
        event->end_key_size = from->delete_range->end_key.len;
        break;
    case POLARYS__V1__WATCH_EVENT__KIND_SNAPSHOT_END:
        event->kind = POLARYS_CLIENT_WATCH_SNAPSHOT_END;
        break;
    case POLARYS__V1__WATCH_EVENT__KIND_PROGRESS:
        event->kind = POLARYS_CLIENT_WATCH_PROGRESS;
        break;
    case POLARYS__V1__WATCH_EVENT__KIND_TABLE_DROPPED:
        event->kind = POLARYS_CLIENT_WATCH_TABLE_DROPPED;
        break;
    default:
        event->kind = POLARYS_CLIENT_WATCH_UNKNOWN;
    }
    event->document.version = from->version;
    event->document.commit_time_ms = client_time_ms(from->commit_time);
    event->is_last_of_commit = from->last_of_commit;
}

/* Keeps the account of what was given. False: it was given before the connection broke. */
static bool event_note(struct polarys_client_watch *watch,
                       const struct polarys_client_watch_event *event)
{
    uint64_t version = event->document.version;
    POLARYS_ASSERT(watch->skip_count <= watch->partial_count);
    if (event->kind == POLARYS_CLIENT_WATCH_SNAPSHOT_PUT) {
        watch->has_snapshot_open = true;
        return true;
    }
    bool is_again = watch->skip_count > 0 && version == watch->partial_version;
    if (is_again) {
        watch->skip_count--;
    } else if (version == watch->partial_version) {
        watch->partial_count++;
    } else {
        watch->partial_version = version;
        watch->partial_count = 1;
        watch->skip_count = 0;
    }
    if (event->is_last_of_commit) {
        watch->resume_version = version;
        watch->partial_version = 0;
        watch->partial_count = 0;
        watch->skip_count = 0;
        watch->has_snapshot_open = false;
    }
    watch->is_done = event->kind == POLARYS_CLIENT_WATCH_TABLE_DROPPED;
    return !is_again;
}

bool polarys_client_watch_next(struct polarys_client_watch *watch, bool *has_event,
                               struct polarys_client_watch_event *event,
                               struct polarys_client_error *err)
{
    POLARYS_ASSERT(watch != NULL);
    POLARYS_ASSERT(has_event != NULL && event != NULL);
    client_error_clear(err);
    *has_event = false;
    while (!watch->is_done) {
        if (watch->message != NULL && watch->next < watch->message->n_events) {
            event_fill(event, watch->message->events[watch->next++]);
            client_feed_progress(&watch->feed);
            if (event_note(watch, event)) {
                *has_event = true;
                return true;
            }
            continue;
        }
        if (!message_take(watch, err)) {
            return false;
        }
    }
    return true;
}

uint64_t polarys_client_watch_resume_version(const struct polarys_client_watch *watch)
{
    POLARYS_ASSERT(watch != NULL);
    return watch->resume_version;
}

void polarys_client_watch_close(struct polarys_client_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    message_drop(watch);
    client_feed_close(&watch->feed);
    free((char *)watch->options.database);
    free((char *)watch->options.table);
    free((char *)watch->options.filter);
    free((void *)watch->options.prefix);
    free(watch);
}
