/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a broken stream is opened again: as often as a call is tried, or for as long as the caller said.
 */
#include "client/feed.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

enum { STOP_SLICE_MS = 100 }; /* between two looks at whether the caller wants to end */

static bool must_stop(const struct client_feed *feed)
{
    return feed->stop != NULL && *feed->stop != 0;
}

/* Waits, but not beyond the caller's wish to end. */
static void feed_sleep(const struct client_feed *feed, uint32_t duration_ms)
{
    while (duration_ms > 0 && !must_stop(feed)) {
        uint32_t slice_ms =
            feed->stop != NULL && duration_ms > STOP_SLICE_MS ? STOP_SLICE_MS : duration_ms;
        transport_sleep_ms(slice_ms);
        duration_ms -= slice_ms;
    }
}

static enum client_feed_event stopped(struct client_feed *feed, struct polarys_client_error *err)
{
    client_feed_close(feed);
    if (err != NULL) {
        client_error_set(err, POLARYS_CLIENT_CANCELLED, "%s: the caller ended it", feed->method);
    }
    return CLIENT_FEED_FAILED;
}

void client_feed_init(struct client_feed *feed, struct polarys_client *client, const char *method,
                      enum client_place place, uint32_t reconnect_ms)
{
    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(method[0] == '/');
    feed->client = client;
    feed->method = method;
    feed->stream = NULL;
    feed->has_answered = false;
    feed->is_diverged = false;
    feed->stop = NULL;
    feed->has_history = false;
    feed->stable_version = 0;
    feed->target = (struct client_target){NULL, client->options.endpoint, 0};
    client_way_init(&feed->way, place, 0, reconnect_ms);
}

/* Waits out the pause before another attempt if there may be one. */
static enum client_feed_event broken(struct client_feed *feed,
                                     const struct polarys_client_error *why,
                                     struct polarys_client_error *err)
{
    uint32_t delay_ms;

    POLARYS_ASSERT(feed->stream == NULL);
    POLARYS_ASSERT(why->status != POLARYS_CLIENT_OK);
    enum client_step step =
        client_way_judge(feed->client, &feed->way, CLIENT_REPEAT_ALWAYS, why, &delay_ms);
    if (step == CLIENT_STEP_FAIL) {
        feed->is_diverged = strcmp(why->reason, "HISTORY_DIVERGED") == 0;
        if (err != NULL) {
            *err = *why;
            err->attempts = feed->way.attempts;
            client_error_judge_silence(&feed->target, err);
        }
        return CLIENT_FEED_FAILED;
    }
    if (step == CLIENT_STEP_PAUSE) {
        feed_sleep(feed, delay_ms);
    }
    return must_stop(feed) ? stopped(feed, err) : CLIENT_FEED_BROKEN;
}

/* Chooses a node and opens a stream there; where there is no node, waits for one. */
static bool stream_open(struct client_feed *feed, struct polarys_client_error *err)
{
    struct polarys_client_error why;

    feed->has_answered = false;
    client_error_clear(&why);
    while (!client_way_next(feed->client, &feed->way, &feed->target, &why)) {
        if (broken(feed, &why, err) == CLIENT_FEED_FAILED) {
            return false;
        }
    }
    return transport_stream_open(feed->target.transport, feed->method, 0, &feed->stream, err);
}

bool client_feed_open(struct client_feed *feed, const ProtobufCMessage *request,
                      struct polarys_client_error *err)
{
    struct transport_message packed;

    POLARYS_ASSERT(feed->stream == NULL);
    POLARYS_ASSERT(feed->method != NULL);
    if (!client_pack(request, &packed)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a request");
        return false;
    }
    bool is_ok = client_request_check(feed->client, packed.size, err) && stream_open(feed, err);
    if (is_ok && transport_stream_send(feed->stream, packed.bytes, packed.size)) {
        (void)transport_stream_half_close(feed->stream); /* a failure shows on the next receive */
    }
    free(packed.bytes);
    return is_ok;
}

enum client_feed_event client_feed_cut(struct client_feed *feed, struct polarys_client_error *err)
{
    struct polarys_client_error why;
    client_error_set(&why, POLARYS_CLIENT_UNAVAILABLE, "%s: the stream ended too early",
                     feed->method);
    return broken(feed, &why, err);
}

static enum client_feed_event ended(struct client_feed *feed, struct polarys_client_error *err)
{
    struct polarys_client_error why;

    client_error_clear(&why);
    bool is_ok = transport_stream_finish(feed->stream, &why);
    client_feed_close(feed);
    return is_ok ? CLIENT_FEED_ENDED : broken(feed, &why, err);
}

/* Nothing came in time: from a node that others may stand in for, that is a break. */
static enum client_feed_event silent(struct client_feed *feed, uint32_t timeout_ms,
                                     struct polarys_client_error *err)
{
    struct polarys_client_error why;

    client_error_set(&why, POLARYS_CLIENT_DEADLINE_EXCEEDED,
                     "%s: nothing came from the server for %u ms", feed->method, timeout_ms);
    if (!feed->has_answered && feed->way.place == CLIENT_PLACE_READ) {
        client_feed_close(feed);
        return broken(feed, &why, err);
    }
    client_error_judge_silence(&feed->target, &why);
    if (err != NULL) {
        *err = why;
    }
    return CLIENT_FEED_FAILED;
}

/* As transport_stream_receive; idle also when the caller wants to end. */
static enum transport_event feed_receive(struct client_feed *feed, uint32_t timeout_ms,
                                         struct transport_message *message)
{
    enum transport_event event = TRANSPORT_IDLE;
    uint32_t left_ms = timeout_ms == 0 ? UINT32_MAX : timeout_ms;
    if (feed->stop == NULL) {
        return transport_stream_receive(feed->stream, left_ms, message);
    }
    while (event == TRANSPORT_IDLE && left_ms > 0 && !must_stop(feed)) {
        uint32_t slice_ms = left_ms < STOP_SLICE_MS ? left_ms : STOP_SLICE_MS;
        event = transport_stream_receive(feed->stream, slice_ms, message);
        left_ms -= left_ms == UINT32_MAX ? 0 : slice_ms;
    }
    return event;
}

enum client_feed_event client_feed_next(struct client_feed *feed, struct transport_message *message,
                                        struct polarys_client_error *err)
{
    uint32_t timeout_ms = feed->client->options.timeout_ms;

    POLARYS_ASSERT(feed->stream != NULL);
    POLARYS_ASSERT(message != NULL);
    if (must_stop(feed)) {
        return stopped(feed, err);
    }
    switch (feed_receive(feed, timeout_ms, message)) {
    case TRANSPORT_MESSAGE:
        feed->has_answered = true;
        return CLIENT_FEED_MESSAGE;
    case TRANSPORT_ENDED:
        return ended(feed, err);
    case TRANSPORT_IDLE:
        break;
    }
    return must_stop(feed) ? stopped(feed, err) : silent(feed, timeout_ms, err);
}

bool client_feed_header_take(struct client_feed *feed, const Polarys__V1__ResponseHeader *header,
                             uint64_t version, struct polarys_client_error *err)
{
    if (header == NULL) {
        return true;
    }
    POLARYS_ASSERT(feed->way.node != CLIENT_NODE_NONE);
    client_session_note(feed->client, feed->way.node, header);
    if (header->history_id.len != sizeof(feed->history_id)) {
        return true;
    }
    bool is_same = !feed->has_history ||
                   memcmp(feed->history_id, header->history_id.data, sizeof(feed->history_id)) == 0;
    if (!is_same && version > feed->stable_version) {
        client_error_set(err, POLARYS_CLIENT_FAILED_PRECONDITION,
                         "%s: the primary has changed, and it is not known that version %llu "
                         "survived as it was: begin again",
                         feed->method, (unsigned long long)version);
        client_error_reason_set(err, "HISTORY_DIVERGED");
        return false;
    }
    memcpy(feed->history_id, header->history_id.data, sizeof(feed->history_id));
    feed->has_history = true;
    feed->stable_version = header->stable_version;
    return true;
}

bool client_feed_read_reset(struct client_feed *feed, struct polarys_client_read *read)
{
    uint8_t token[CLIENT_TOKEN_BYTES_MAX];

    POLARYS_ASSERT(!feed->is_diverged || feed->stream == NULL);
    if (!feed->is_diverged || read->consistency != POLARYS_CLIENT_SESSION || read->txn != NULL) {
        return false;
    }
    size_t size = client_session_token(feed->client, token);
    if (size > 0) {
        client_session_forget(feed->client, token, size);
    }
    read->consistency = POLARYS_CLIENT_STRONG;
    feed->way.place = CLIENT_PLACE_PRIMARY;
    feed->is_diverged = false;
    return true;
}

void client_feed_progress(struct client_feed *feed)
{
    client_way_progress(&feed->way);
}

void client_feed_close(struct client_feed *feed)
{
    transport_stream_destroy(feed->stream);
    feed->stream = NULL;
}
