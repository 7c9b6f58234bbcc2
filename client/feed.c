/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a broken stream is opened again: as often as a call is tried, or for as long as the caller said.
 */
#include "client/feed.h"

#include <stdlib.h>

#include "client/assert.h"

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
    bool is_ok =
        client_request_check(feed->client, packed.size, err) &&
        transport_stream_open(feed->client->transport, feed->method, 0, &feed->stream, err);
    if (is_ok && transport_stream_send(feed->stream, packed.bytes, packed.size)) {
        (void)transport_stream_half_close(feed->stream); /* a failure shows on the next receive */
    }
    free(packed.bytes);
    return is_ok;
}

/* Waits out the pause before another attempt if there may be one. */
static enum client_feed_event broken(struct client_feed *feed,
                                     const struct polarys_client_error *why,
                                     struct polarys_client_error *err)
{
    uint64_t now_ms = transport_now_ms();
    uint32_t delay_ms;

    POLARYS_ASSERT(feed->stream == NULL);
    POLARYS_ASSERT(why->status != POLARYS_CLIENT_OK);
    if (feed->attempts == 0) {
        feed->broken_since_ms = now_ms;
    }
    bool may_retry =
        client_may_retry(feed->client, why, CLIENT_REPEAT_ALWAYS, feed->attempts, &delay_ms);
    if (!may_retry && (why->status != POLARYS_CLIENT_UNAVAILABLE ||
                       now_ms + delay_ms >= feed->broken_since_ms + feed->reconnect_ms)) {
        if (err != NULL) {
            *err = *why;
            err->attempts = feed->attempts + 1;
            client_error_judge_silence(feed->client, err);
        }
        return CLIENT_FEED_FAILED;
    }
    feed->attempts++;
    transport_sleep_ms(delay_ms);
    return CLIENT_FEED_BROKEN;
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

enum client_feed_event client_feed_next(struct client_feed *feed, struct transport_message *message,
                                        struct polarys_client_error *err)
{
    uint32_t timeout_ms = feed->client->options.timeout_ms;

    POLARYS_ASSERT(feed->stream != NULL);
    POLARYS_ASSERT(message != NULL);
    switch (transport_stream_receive(feed->stream, timeout_ms == 0 ? UINT32_MAX : timeout_ms,
                                     message)) {
    case TRANSPORT_MESSAGE:
        return CLIENT_FEED_MESSAGE;
    case TRANSPORT_ENDED:
        return ended(feed, err);
    case TRANSPORT_IDLE:
        break;
    }
    client_error_set(err, POLARYS_CLIENT_DEADLINE_EXCEEDED,
                     "%s: nothing came from the server for %u ms", feed->method, timeout_ms);
    client_error_judge_silence(feed->client, err);
    return CLIENT_FEED_FAILED;
}

void client_feed_progress(struct client_feed *feed)
{
    feed->attempts = 0;
}

void client_feed_close(struct client_feed *feed)
{
    transport_stream_destroy(feed->stream);
    feed->stream = NULL;
}
