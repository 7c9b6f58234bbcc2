/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bulk writer's stream side: opening and resuming a session, the window, acknowledgements.
 *
 * Invariant: without progress for options.reconnect_ms of trouble the writer gives up, whether the server
 * cannot be reached, breaks every stream or refuses every batch.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/bulk_internal.h"

static bool request_send(struct polarys_client_bulk *bulk, const Polarys__V1__WriteRequest *request)
{
    struct transport_message packed;

    POLARYS_ASSERT(bulk->stream != NULL);
    if (!client_pack(&request->base, &packed)) {
        return false;
    }
    bool is_sent = transport_stream_send(bulk->stream, packed.bytes, packed.size);
    free(packed.bytes);
    return is_sent;
}

/* The next answer; NULL when the stream ended, or nothing came in time (*is_idle). */
static Polarys__V1__WriteResponse *answer_take(struct polarys_client_bulk *bulk,
                                               uint32_t timeout_ms, bool *is_idle)
{
    struct transport_message bytes;
    enum transport_event event = transport_stream_receive(bulk->stream, timeout_ms, &bytes);

    POLARYS_ASSERT(bulk->stream != NULL);
    *is_idle = event == TRANSPORT_IDLE;
    if (event != TRANSPORT_MESSAGE) {
        return NULL;
    }
    Polarys__V1__WriteResponse *answer =
        polarys__v1__write_response__unpack(NULL, bytes.size, bytes.bytes);
    free(bytes.bytes);
    return answer;
}

/* Drops the batches up to `number` as acknowledged. */
static void acked(struct polarys_client_bulk *bulk, uint64_t number)
{
    while (bulk->first != NULL && bulk->first->number <= number) {
        struct bulk_batch *batch = bulk->first;
        bulk->first = batch->next;
        if (bulk->first == NULL) {
            bulk->last = NULL;
        }
        if (batch->is_sent) {
            bulk->sent_bytes -= batch->size - batch->start;
        }
        bulk->trouble_since_ms = 0;
        client_way_progress(&bulk->way);
        bulk->acked_records += batch->record_count;
        bulk->acked_bytes += batch->record_bytes;
        bulk->acked_number = batch->number;
        free(batch->bytes);
        free(batch);
    }
    if (bulk->options.progress != NULL) {
        bulk->options.progress(bulk->options.context, bulk->acked_records, bulk->acked_bytes);
    }
}

static void stream_drop(struct polarys_client_bulk *bulk)
{
    transport_stream_destroy(bulk->stream);
    bulk->stream = NULL;
    bulk->sent_bytes = 0;
    for (struct bulk_batch *batch = bulk->first; batch != NULL; batch = batch->next) {
        batch->is_sent = false;
    }
}

/* Why the stream ended; drops it. */
static void stream_failure(struct polarys_client_bulk *bulk, struct polarys_client_error *err)
{
    POLARYS_ASSERT(bulk->stream != NULL);
    client_error_clear(err);
    transport_stream_cancel(bulk->stream);
    if (transport_stream_finish(bulk->stream, err)) {
        client_error_set(err, POLARYS_CLIENT_UNAVAILABLE,
                         "bulk write: the server ended the stream");
    }
    stream_drop(bulk);
}

static void answer_missing(struct polarys_client_error *err)
{
    client_error_set(err, POLARYS_CLIENT_UNAVAILABLE,
                     "bulk write: nothing came from the server for %d ms", BULK_ANSWER_MS);
}

/* One attempt to open or resume the session. */
static bool session_try(struct polarys_client_bulk *bulk, struct polarys_client_error *err)
{
    Polarys__V1__WriteRequest request;
    Polarys__V1__WriteOpen open = POLARYS__V1__WRITE_OPEN__INIT;
    bool is_idle = false;

    POLARYS_ASSERT(bulk->stream == NULL);
    if (!client_way_next(bulk->client, &bulk->way, &bulk->target, err) ||
        !transport_stream_open(bulk->target.transport, "/polarys.v1.BulkService/Write", 0,
                               &bulk->stream, err)) {
        return false;
    }
    polarys__v1__write_request__init(&request);
    open.database = client_text(bulk->options.database);
    open.table = client_text(bulk->options.table);
    open.session_id =
        client_bytes(bulk->session_id, bulk->has_session ? sizeof(bulk->session_id) : 0);
    open.last_acked_number = bulk->acked_number;
    open.durability = client_durability(NULL, bulk->options.durability);
    request.message_case = POLARYS__V1__WRITE_REQUEST__MESSAGE_OPEN;
    request.open = &open;
    Polarys__V1__WriteResponse *answer = NULL;
    if (request_send(bulk, &request)) {
        answer = answer_take(bulk, BULK_ANSWER_MS, &is_idle);
    }
    if (answer == NULL || answer->message_case != POLARYS__V1__WRITE_RESPONSE__MESSAGE_OPENED ||
        answer->opened->session_id.len != sizeof(bulk->session_id)) {
        if (answer != NULL) {
            polarys__v1__write_response__free_unpacked(answer, NULL);
        }
        stream_failure(bulk, err);
        if (is_idle) {
            answer_missing(err);
        }
        return false;
    }
    memcpy(bulk->session_id, answer->opened->session_id.data, sizeof(bulk->session_id));
    bulk->has_session = true;
    bulk->window_bytes = answer->opened->window_bytes;
    client_session_note(bulk->client, bulk->way.node, answer->opened->header);
    acked(bulk, answer->opened->last_number);
    polarys__v1__write_response__free_unpacked(answer, NULL);
    return true;
}

/* The server no longer knows the session: what is unacknowledged becomes the start of a new one. */
static void session_forget(struct polarys_client_bulk *bulk)
{
    uint64_t number = 0;
    for (struct bulk_batch *batch = bulk->first; batch != NULL; batch = batch->next) {
        bulk_batch_number(batch, ++number);
    }
    bulk->last_number = number;
    bulk->acked_number = 0;
    bulk->has_session = false;
}

/* True when a new attempt could end better than this one did. */
static bool is_passing(const struct polarys_client_error *err, enum client_step step)
{
    return step != CLIENT_STEP_FAIL || err->status == POLARYS_CLIENT_UNAVAILABLE ||
           (err->status == POLARYS_CLIENT_RESOURCE_EXHAUSTED && err->retry_after_ms != 0);
}

/* Waits before another attempt. False: has_failed, for `err` does not pass or lasted too long. */
static bool trouble_wait(struct polarys_client_bulk *bulk, const struct polarys_client_error *err)
{
    uint64_t now_ms = transport_now_ms();
    uint32_t delay_ms = 0;

    POLARYS_ASSERT(err->status != POLARYS_CLIENT_OK);
    if (bulk->trouble_since_ms == 0) {
        bulk->trouble_since_ms = now_ms;
    }
    /* Where the next attempt goes is the route's to say; how long it is worth trying is the writer's. */
    enum client_step step =
        client_way_judge(bulk->client, &bulk->way, CLIENT_REPEAT_ALWAYS, err, &delay_ms);
    if (!is_passing(err, step) || now_ms - bulk->trouble_since_ms >= bulk->options.reconnect_ms) {
        return bulk_fail(bulk, err);
    }
    if (step == CLIENT_STEP_AGAIN) {
        return true;
    }
    delay_ms = err->retry_after_ms != 0 ? err->retry_after_ms : BULK_RECONNECT_PAUSE_MS;
    transport_sleep_ms(delay_ms < CLIENT_DELAY_MS_MAX ? delay_ms : CLIENT_DELAY_MS_MAX);
    return true;
}

static bool session_open(struct polarys_client_bulk *bulk)
{
    struct polarys_client_error err;

    for (;;) {
        client_error_clear(&err);
        if (session_try(bulk, &err)) {
            return true;
        }
        if (bulk->has_session && strcmp(err.reason, "CURSOR_EXPIRED") == 0) {
            session_forget(bulk);
        } else if (!trouble_wait(bulk, &err)) {
            return false;
        }
    }
}

static void text_take(char *to, size_t to_size, const ProtobufCBinaryData *from)
{
    size_t size = from->len < to_size - 1 ? from->len : to_size - 1;

    POLARYS_ASSERT(to_size > 0);
    if (size > 0) {
        memcpy(to, from->data, size);
    }
    to[size] = '\0';
}

static void refusal_read(const Polarys__V1__ErrorStatus *status, struct polarys_client_error *err)
{
    client_error_clear(err);
    bool is_known =
        status->code > POLARYS_CLIENT_OK && status->code <= POLARYS_CLIENT_UNAUTHENTICATED;
    err->status = is_known ? (enum polarys_client_status)status->code : POLARYS_CLIENT_UNKNOWN;
    text_take(err->reason, sizeof(err->reason), &status->reason);
    text_take(err->message, sizeof(err->message), &status->message);
    for (size_t i = 0; i < status->n_metadata; i++) {
        const Polarys__V1__ErrorMetadata *entry = status->metadata[i];
        client_error_metadata_add(err, entry->key.data, entry->key.len, entry->value.data,
                                  entry->value.len);
    }
    client_error_retry_set(err, status->retry_delay);
}

/* Handles one answer. A refusal that passes (disk low, stall) breaks the stream, so that the session is
 * resumed with the same numbers; any other ends the writer. */
static bool answer_handle(struct polarys_client_bulk *bulk,
                          const Polarys__V1__WriteResponse *answer)
{
    struct polarys_client_error err;
    if (answer->message_case != POLARYS__V1__WRITE_RESPONSE__MESSAGE_ACK) {
        client_error_set(&err, POLARYS_CLIENT_INTERNAL, "bulk write: an answer out of its order");
        return bulk_fail(bulk, &err);
    }
    const Polarys__V1__WriteAck *ack = answer->ack;
    if (ack->window_bytes != 0) {
        bulk->window_bytes = ack->window_bytes;
    }
    if (ack->result_case != POLARYS__V1__WRITE_ACK__RESULT_ERROR) {
        acked(bulk, ack->number);
        return true;
    }
    refusal_read(ack->error, &err);
    if (!trouble_wait(bulk, &err)) {
        return false;
    }
    stream_drop(bulk);
    return true;
}

/* Takes answers: those that are there, and one more if `must_wait`. False: has_failed. On true the stream
 * may be gone. */
static bool answers_handle(struct polarys_client_bulk *bulk, bool must_wait)
{
    struct polarys_client_error err;
    bool is_idle;
    while (bulk->stream != NULL) {
        Polarys__V1__WriteResponse *answer =
            answer_take(bulk, must_wait ? BULK_ANSWER_MS : 0, &is_idle);
        if (answer == NULL && is_idle && !must_wait) {
            return true;
        }
        if (answer == NULL) {
            stream_failure(bulk, &err);
            if (is_idle) {
                answer_missing(&err);
            }
            return trouble_wait(bulk, &err);
        }
        must_wait = false;
        bool is_ok = answer_handle(bulk, answer);
        polarys__v1__write_response__free_unpacked(answer, NULL);
        if (!is_ok) {
            return false;
        }
    }
    return true;
}

static struct bulk_batch *unsent_first(const struct polarys_client_bulk *bulk)
{
    struct bulk_batch *batch = bulk->first;
    while (batch != NULL && batch->is_sent) {
        batch = batch->next;
    }
    return batch;
}

bool bulk_pump(struct polarys_client_bulk *bulk, bool until_idle)
{
    for (;;) {
        struct bulk_batch *batch = unsent_first(bulk);
        if (batch == NULL && (bulk->first == NULL || !until_idle)) {
            return bulk->stream == NULL || answers_handle(bulk, false);
        }
        if (bulk->stream == NULL) {
            if (!session_open(bulk)) {
                return false;
            }
            continue;
        }
        size_t size = batch == NULL ? 0 : batch->size - batch->start;
        bool fits = batch != NULL &&
                    (bulk->sent_bytes == 0 || bulk->sent_bytes + size <= bulk->window_bytes);
        if (!fits) {
            if (!answers_handle(bulk, true)) {
                return false;
            }
            continue;
        }
        batch->is_sent = true;
        bulk->sent_bytes += size;
        if (!transport_stream_send(bulk->stream, batch->bytes + batch->start, size) &&
            !answers_handle(bulk, true)) {
            return false;
        }
    }
}

void bulk_session_close(struct polarys_client_bulk *bulk)
{
    Polarys__V1__WriteRequest request;
    Polarys__V1__WriteClose close = POLARYS__V1__WRITE_CLOSE__INIT;
    bool is_idle = false;

    POLARYS_ASSERT(bulk->stream != NULL);
    POLARYS_ASSERT(bulk->first == NULL);
    polarys__v1__write_request__init(&request);
    request.message_case = POLARYS__V1__WRITE_REQUEST__MESSAGE_CLOSE;
    request.close = &close;
    if (request_send(bulk, &request) && transport_stream_half_close(bulk->stream)) {
        Polarys__V1__WriteResponse *answer = answer_take(bulk, BULK_ANSWER_MS, &is_idle);
        if (answer != NULL && answer->message_case == POLARYS__V1__WRITE_RESPONSE__MESSAGE_CLOSED) {
            client_session_note(bulk->client, bulk->way.node, answer->closed->header);
        }
        if (answer != NULL) {
            polarys__v1__write_response__free_unpacked(answer, NULL);
        }
    }
    /* Every batch is acknowledged by now: a lost farewell loses nothing. */
}
