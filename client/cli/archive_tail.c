/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of a tail: pieces of the log are put together into headers and frames, stored, and acknowledged.
 *
 * Invariant: what is acknowledged as durable is stored in the archive.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_internal.h"
#include "client/cli/progress.h"
#include "google/protobuf/duration.pb-c.h"

enum {
    SILENCE_MS = 30000, /* without a message although heartbeats were asked for */
    WAIT_MS = 100,      /* at a time, so that a signal is seen */
    STATE_INTERVAL_MS = 10000,
    LAST_WORD_MS = 2000, /* for the last acknowledgement to be heard */
};

/* A tail under way. */
struct tail {
    struct archiver *archiver;
    struct transport_stream *stream;
    uint64_t heard_ms;
    bool has_header; /* a message came: acknowledgements are taken */
    struct polarys_log_position end;
    bool has_end;
    bool is_acknowledged; /* all that is stored */
};

/* ---- what comes ---- */

static enum archive_result tail_bad(struct archiver *archiver, const char *what)
{
    (void)snprintf(archiver->why, sizeof(archiver->why), "the server's log makes no sense: %s",
                   what);
    return ARCHIVE_AGAIN;
}

/* Errors of the log that was sent: another session begins where the archive ends. */
static enum archive_result log_judge(struct archiver *archiver, const struct polarys_error *err)
{
    if (err->code == POLARYS_CORRUPT || err->code == POLARYS_HISTORY_DIVERGED ||
        err->code == POLARYS_NO_MEMORY) {
        (void)snprintf(archiver->why, sizeof(archiver->why), "%s", err->message);
        return ARCHIVE_AGAIN;
    }
    return archiver_fail_engine(archiver, err);
}

static enum archive_result header_take(struct archiver *archiver,
                                       const Polarys__V1__LogPiece *piece)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_log_position at;
    struct polarys_slice block = slice_make(piece->data.data, piece->data.len);
    archive_writer_taken(archiver->writer, &at);
    if (piece->segment_id <= at.segment_id) {
        return ARCHIVE_GOES_ON; /* of the segment in which the tail began */
    }
    enum archive_result result = archiver_store(archiver); /* a piece is of one segment */
    if (result != ARCHIVE_GOES_ON) {
        return result;
    }
    enum polarys_code code = archive_writer_segment(archiver->writer, block, &err);
    if (code == POLARYS_FOLLOWER_LACKS_KEY) {
        result = archiver_keyring_renew(archiver);
        if (result != ARCHIVE_GOES_ON) {
            return result;
        }
        polarys_error_clear(&err);
        code = archive_writer_segment(archiver->writer, block, &err);
    }
    return code == POLARYS_OK ? ARCHIVE_GOES_ON : log_judge(archiver, &err);
}

static enum archive_result part_add(struct archiver *archiver, const Polarys__V1__LogPiece *piece)
{
    struct objects_bytes *parts = &archiver->parts;
    if (parts->size > 0 && archiver->parts_segment != piece->segment_id) {
        return tail_bad(archiver, "a frame goes on in another segment");
    }
    if (parts->size + piece->data.len > ARCHIVE_FRAME_BYTES_MAX) {
        return tail_bad(archiver, "a frame that is too large");
    }
    if (!objects_bytes_reserve(parts, piece->data.len)) {
        return tail_bad(archiver, "no memory for a frame");
    }
    memcpy(parts->bytes + parts->size, piece->data.data, piece->data.len);
    parts->size += piece->data.len;
    archiver->parts_segment = piece->segment_id;
    return ARCHIVE_GOES_ON;
}

static enum archive_result frame_take(struct archiver *archiver, struct polarys_slice frame,
                                      uint64_t segment_id)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_log_position at;
    archive_writer_taken(archiver->writer, &at);
    if (segment_id != at.segment_id) {
        return tail_bad(archiver, "a frame of another segment");
    }
    if (!archive_writer_has_log(archiver->writer)) {
        archiver->taken_ms = progress_now_ms();
    }
    if (archive_writer_frame(archiver->writer, frame, &err) != POLARYS_OK) {
        return log_judge(archiver, &err);
    }
    return archive_writer_is_full(archiver->writer) ? archiver_store(archiver) : ARCHIVE_GOES_ON;
}

static enum archive_result piece_take(struct archiver *archiver, const Polarys__V1__LogPiece *piece)
{
    struct polarys_slice frame = slice_make(piece->data.data, piece->data.len);
    if (piece->data.len == 0) {
        return tail_bad(archiver, "a piece without bytes");
    }
    if (piece->offset == 0 && !piece->is_continued && archiver->parts.size == 0) {
        return header_take(archiver, piece);
    }
    if (piece->is_continued || archiver->parts.size > 0) {
        enum archive_result result = part_add(archiver, piece);
        if (result != ARCHIVE_GOES_ON || piece->is_continued) {
            return result;
        }
        frame = slice_make(archiver->parts.bytes, archiver->parts.size);
        archiver->parts.size = 0;
    }
    return frame_take(archiver, frame, piece->segment_id);
}

static enum archive_result message_take(struct tail *tail, struct transport_message *bytes)
{
    struct archiver *archiver = tail->archiver;
    enum archive_result result = ARCHIVE_GOES_ON;
    Polarys__V1__TailLogResponse *message =
        polarys__v1__tail_log_response__unpack(NULL, bytes->size, bytes->bytes);
    free(bytes->bytes);
    if (message == NULL) {
        return tail_bad(archiver, "a message cannot be decoded");
    }
    if (message->send_time != NULL) {
        archiver->sent_unix_ms = client_time_ms(message->send_time);
    }
    for (size_t i = 0; i < message->n_pieces && result == ARCHIVE_GOES_ON; i++) {
        result = piece_take(archiver, message->pieces[i]);
    }
    tail->has_end |= archive_position_take(message->end, &tail->end);
    tail->has_header = true;
    tail->is_acknowledged = false; /* a heartbeat is answered too: the slot is in use */
    tail->heard_ms = progress_now_ms();
    polarys__v1__tail_log_response__free_unpacked(message, NULL);
    return result;
}

/* ---- what is answered ---- */

static bool request_send(struct transport_stream *stream, const ProtobufCMessage *request)
{
    struct transport_message packed;
    if (!client_pack(request, &packed)) {
        return false;
    }
    bool is_sent = transport_stream_send(stream, packed.bytes, packed.size);
    free(packed.bytes);
    return is_sent;
}

/* A failure shows on the next receive. */
static void acknowledge(struct tail *tail)
{
    struct polarys_log_position at;
    Polarys__V1__LogPosition position;
    Polarys__V1__TailLogAck ack = POLARYS__V1__TAIL_LOG_ACK__INIT;
    Polarys__V1__TailLogRequest request = POLARYS__V1__TAIL_LOG_REQUEST__INIT;
    archive_writer_durable(tail->archiver->writer, &at);
    if (!tail->has_header || tail->is_acknowledged || at.segment_id == 0) {
        return;
    }
    archive_position_fill(&at, &position);
    ack.durable = &position;
    ack.received_version = at.version;
    request.kind_case = POLARYS__V1__TAIL_LOG_REQUEST__KIND_ACK;
    request.ack = &ack;
    tail->is_acknowledged = request_send(tail->stream, &request.base);
}

static bool start_send(const struct archiver *archiver, struct transport_stream *stream)
{
    struct archive_node node = {.at = {.segment_id = 0}};
    Google__Protobuf__Duration heartbeat = GOOGLE__PROTOBUF__DURATION__INIT;
    Polarys__V1__TailLogStart start = POLARYS__V1__TAIL_LOG_START__INIT;
    Polarys__V1__TailLogRequest request = POLARYS__V1__TAIL_LOG_REQUEST__INIT;
    archive_node_fill(archiver, &node);
    heartbeat.seconds = 1;
    start.node = &node.request;
    start.slot = client_text(archiver->order->name);
    start.heartbeat_interval = &heartbeat;
    request.kind_case = POLARYS__V1__TAIL_LOG_REQUEST__KIND_START;
    request.start = &start;
    return request_send(stream, &request.base);
}

/* ---- the loop ---- */

static bool is_at_or_behind(const struct polarys_log_position *at,
                            const struct polarys_log_position *other)
{
    return at->segment_id > other->segment_id ||
           (at->segment_id == other->segment_id && at->offset >= other->offset);
}

/* Stores what has waited long enough, tells how far the archive is, and whether that is far enough. */
static enum archive_result tail_settle(struct tail *tail)
{
    struct archiver *archiver = tail->archiver;
    struct polarys_log_position taken;
    enum archive_result result = ARCHIVE_GOES_ON;
    uint64_t now_ms = progress_now_ms();
    archive_writer_taken(archiver->writer, &taken);
    bool is_done = archiver->order->until_caught_up && archiver->has_target && tail->has_header &&
                   is_at_or_behind(&taken, &archiver->target);
    bool is_time = archive_writer_has_log(archiver->writer) &&
                   now_ms - archiver->taken_ms >= archiver->order->interval_ms;
    is_done = is_done || archiver_must_stop(archiver);
    if (is_time || is_done) {
        result = archiver_store(archiver);
    }
    if (result != ARCHIVE_GOES_ON) {
        return result;
    }
    bool has_all = tail->has_end && !archive_writer_has_log(archiver->writer) &&
                   is_at_or_behind(&taken, &tail->end);
    if (has_all && (is_done || now_ms - archiver->state_ms >= STATE_INTERVAL_MS)) {
        archiver_state(archiver, archiver->sent_unix_ms);
    }
    if (!archive_writer_has_log(archiver->writer)) {
        acknowledge(tail);
    }
    return is_done ? ARCHIVE_DONE : ARCHIVE_GOES_ON;
}

/* How the stream ended. */
static enum archive_result stream_ended(struct tail *tail)
{
    struct archiver *archiver = tail->archiver;
    struct polarys_client_error err;
    client_error_clear(&err);
    if (transport_stream_finish(tail->stream, &err)) {
        return tail_bad(archiver, "the tail ended");
    }
    if (strcmp(err.reason, "LOG_PRUNED") == 0 || strcmp(err.reason, "SLOT_NOT_FOUND") == 0 ||
        strcmp(err.reason, "HISTORY_DIVERGED") == 0) {
        (void)snprintf(archiver->why, sizeof(archiver->why), "%s", err.message);
        return ARCHIVE_AGAIN; /* the next handshake judges where to go on */
    }
    return archiver_judge(archiver, &err);
}

static enum archive_result tail_run(struct tail *tail)
{
    enum archive_result result = ARCHIVE_GOES_ON;
    while (result == ARCHIVE_GOES_ON) {
        struct transport_message bytes;
        switch (transport_stream_receive(tail->stream, WAIT_MS, &bytes)) {
        case TRANSPORT_MESSAGE:
            result = message_take(tail, &bytes);
            break;
        case TRANSPORT_ENDED:
            result = stream_ended(tail);
            break;
        case TRANSPORT_IDLE:
            if (progress_now_ms() - tail->heard_ms >= SILENCE_MS) {
                result = tail_bad(tail->archiver, "nothing was heard for 30 s");
            }
            break;
        }
        if (result == ARCHIVE_GOES_ON) {
            result = tail_settle(tail);
        }
    }
    return result;
}

/* Gives the last acknowledgement the time to be heard: the answer to its half-closed stream. */
static void last_word(struct tail *tail)
{
    uint64_t end_ms = progress_now_ms() + LAST_WORD_MS;
    struct transport_message bytes;
    bool goes_on = tail->is_acknowledged;
    while (goes_on && progress_now_ms() < end_ms) {
        enum transport_event event = transport_stream_receive(tail->stream, WAIT_MS, &bytes);
        goes_on = event == TRANSPORT_IDLE;
        if (event == TRANSPORT_MESSAGE) {
            free(bytes.bytes);
        }
    }
}

enum archive_result archiver_tail(struct archiver *archiver)
{
    struct tail tail = {.archiver = archiver, .heard_ms = progress_now_ms()};
    struct polarys_client_error err;
    struct client_way way;
    struct client_target target;
    archiver->parts.size = 0;
    client_way_init(&way, CLIENT_PLACE_PRIMARY, 0, 0);
    if (!client_way_next(archiver->client, &way, &target, &err) ||
        !transport_stream_open(target.transport, "/polarys.v1.ReplicationService/TailLog", 0,
                               &tail.stream, &err)) {
        return archiver_judge(archiver, &err);
    }
    enum archive_result result =
        start_send(archiver, tail.stream) ? tail_run(&tail) : stream_ended(&tail);
    if (result == ARCHIVE_DONE) {
        last_word(&tail);
    } else if (result == ARCHIVE_AGAIN && archive_writer_has_log(archiver->writer)) {
        /* What came before the trouble is whole frames that follow: they are kept. */
        enum archive_result stored = archiver_store(archiver);
        result = stored == ARCHIVE_GOES_ON ? result : stored;
    }
    transport_stream_destroy(tail.stream);
    return result;
}
