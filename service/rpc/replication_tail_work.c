/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tail of the log does on executor threads: opening it, and reading files into the next message.
 */
#include "service/rpc/replication_tail.h"

#include "service/replication/follower.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

static enum polarys_code tail_open(struct tail_stream *stream, struct polarys_error *err)
{
    struct polarys_db *db = stream->call->server->db;
    enum polarys_code code = POLARYS_OK;
    if (stream->is_decoded) {
        code = tail_commits_open(stream, err);
    } else {
        code = polarys_log_reader_open(db, &stream->peer.position, &stream->reader, err);
        if (code == POLARYS_OK) {
            polarys_log_reader_position(stream->reader, &stream->sent);
        }
    }
    if (code == POLARYS_OK && stream->slot_name[0] != '\0') {
        code = polarys_slot_attach(db, stream->slot_name, &stream->sent, &stream->slot, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct response_header header;
    response_header_make(stream->call->server, polarys_db_version(db), &header);
    tail_message_header(&stream->message, &header);
    return POLARYS_OK;
}

/* What the log has, as far as one message goes. */
static enum polarys_code parts_fill(struct tail_stream *stream, bool *is_at_end,
                                    struct polarys_error *err)
{
    bool has_part = true;
    while (has_part && tail_message_size(&stream->message) < TAIL_FILL_BYTES) {
        struct polarys_log_part part;
        enum polarys_code code = polarys_log_reader_next(stream->reader, &part, &has_part, err);
        if (code != POLARYS_OK) {
            return code;
        }
        if (has_part) {
            tail_message_part(&stream->message, &part);
        }
    }
    polarys_log_reader_position(stream->reader, &stream->sent);
    *is_at_end = !has_part;
    return POLARYS_OK;
}

/* Any thread. */
static void log_ready(void *context)
{
    struct tail_stream *stream = context;
    __atomic_store_n(&stream->is_woken, 1, __ATOMIC_RELEASE);
    call_post(stream->call);
}

static bool wait_begin(struct tail_stream *stream)
{
    return stream->is_decoded ? tail_commits_wait(stream->commits, log_ready, stream)
                              : polarys_log_reader_wait(stream->reader, log_ready, stream);
}

static enum polarys_code tail_fill(struct tail_stream *stream, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && stream->message.item_count == 0 && !stream->is_armed) {
        bool is_at_end = false;
        code = stream->is_decoded ? tail_commits_fill(stream, &is_at_end, err)
                                  : parts_fill(stream, &is_at_end, err);
        if (code == POLARYS_OK && is_at_end && stream->message.item_count == 0) {
            stream->is_armed = wait_begin(stream);
        }
    }
    /* What was read before a failure is sent first; the next turn finds the failure again. */
    if (code != POLARYS_OK && stream->message.item_count > 0) {
        polarys_error_clear(err);
        code = POLARYS_OK;
    }
    return code;
}

static void work_run(void *context)
{
    struct tail_stream *stream = context;
    struct call *call = stream->call;
    stream->is_armed = false;
    polarys_error_clear(&stream->error);
    /* Not by the phase: that is the worker's, and a stream that is given up may have failed before this runs. */
    bool is_open = stream->reader != NULL || stream->commits != NULL;
    stream->code = is_open ? tail_fill(stream, &stream->error) : tail_open(stream, &stream->error);
    __atomic_store_n(&stream->is_done, 1, __ATOMIC_RELEASE);
    call_post(call);
}

void tail_work_begin(struct tail_stream *stream)
{
    SERVICE_ASSERT(!stream->is_working && !stream->is_waiting);
    polarys_error_clear(&stream->error);
    stream->is_working = true;
    enum polarys_code code =
        polarys_db_execute(stream->call->server->db, work_run, stream, &stream->error);
    if (code != POLARYS_OK) {
        stream->code = code;
        __atomic_store_n(&stream->is_done, 1, __ATOMIC_RELEASE);
        call_post(stream->call);
    }
}

void tail_work_close(struct tail_stream *stream)
{
    SERVICE_ASSERT(!stream->is_working);
    polarys_log_reader_close(stream->reader);
    stream->reader = NULL;
    tail_commits_close(stream->commits);
    stream->commits = NULL;
    polarys_slot_detach(stream->slot);
    stream->slot = NULL;
    stream->is_waiting = false;
    tail_message_deinit(&stream->message);
}

void tail_end_make(const struct tail_stream *stream, struct tail_end *end)
{
    struct server *server = stream->call->server;
    *end = (struct tail_end){.send_unix_ms = timing_wall_ms(), .behind_bytes = 0};
    polarys_log_durable_position(server->db, &end->end);
    end->stable_version = follower_is_following(server->follower)
                              ? follower_stable_version(server->follower, end->end.version)
                              : group_stable_version(server->group);
    end->behind_bytes = polarys_log_bytes_between(server->db, &stream->sent, &end->end);
}
