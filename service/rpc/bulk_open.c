/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bulk write begins: authorize, take the session over from a stream that still has it, read
 * what was committed. What may touch a file runs on an executor thread, which leaves its outcome
 * and posts.
 */
#include "service/rpc/bulk_stream.h"
#include "service/rpc/operation.h"
#include "service/rpc/writable.h"
#include "service/server/check.h"
#include "service/server/dispatch.h"
#include "service/server/server.h"

static enum polarys_code names_take(struct call *call, const Polarys__V1__WriteOpen *open,
                                    struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (open->database.len > 0) {
        code = dispatch_name_take(open->database, "open.database", call->database, err);
    }
    if (code == POLARYS_OK) {
        code = dispatch_name_take(open->table, "open.table", call->table, err);
    }
    if (code == POLARYS_OK) {
        struct authorize_resource resource = {call->database, call->table};
        code = authorize(call, AUTHORIZE_WRITE, &resource, err);
    }
    if (code == POLARYS_OK) {
        code = writable_check(call->server, err);
    }
    if (code == POLARYS_OK) {
        code = dispatch_durability_take(call, (int)open->durability, err);
    }
    return code;
}

/* On an executor thread: the table, and what the session has committed. */
static enum polarys_code open_from_files(struct bulk_stream *stream, struct polarys_error *err)
{
    struct call *call = stream->call;
    struct polarys_db *db = call->server->db;
    struct polarys_table_info info;
    enum polarys_code code = polarys_table_get(db, call->database, call->table, &info, err);
    if (code == POLARYS_OK) {
        code = bulk_record_prepare(db, call->database, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (!stream->has_wanted_id) {
        /* From now on a crash of the server does not end the session. */
        return bulk_record_begin(db, call->database, call->table, bulk_session_id(stream->session),
                                 call->server->config->bulk_session_keep_ms, err);
    }
    code =
        bulk_record_read(db, call->database, call->table, stream->wanted_id, &stream->record, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return polarys_fail(
            err, POLARYS_CURSOR_EXPIRED,
            "this session is not known any more: compare what was written, and begin "
            "another");
    }
    if (code == POLARYS_OK && stream->record.number < stream->last_acked_number) {
        polarys_fail(
            err, POLARYS_HISTORY_DIVERGED,
            "batch %llu was acknowledged, but this history has the session only up to %llu",
            (unsigned long long)stream->last_acked_number,
            (unsigned long long)stream->record.number);
        polarys_error_detail_set(err, "last_number", "%llu",
                                 (unsigned long long)stream->record.number);
        return POLARYS_HISTORY_DIVERGED;
    }
    return code;
}

static void open_run(void *context)
{
    struct call *call = context;
    struct bulk_stream *stream = call->state;
    stream->open_code = open_from_files(stream, &call->error);
    __atomic_store_n(&stream->is_opened, 1, __ATOMIC_RELEASE);
    call_post(call);
}

/* Claims the session; false while another stream has it. */
static bool session_claim(struct bulk_stream *stream)
{
    struct call *call = stream->call;
    struct bulk_sessions *sessions = call->server->bulk_sessions;
    enum polarys_code code;
    if (stream->has_wanted_id) {
        code = bulk_session_claim(sessions, stream->wanted_id, &stream->session, &call->error);
    } else {
        code = bulk_session_begin(sessions, &stream->session, &call->error);
    }
    if (code != POLARYS_OK) {
        bulk_fail(stream, code);
        return false;
    }
    return stream->session != NULL;
}

static void open_end(struct bulk_stream *stream)
{
    stream->is_opening_blocked = false;
    if (stream->open_code != POLARYS_OK) {
        bulk_fail(stream, stream->open_code);
        return;
    }
    stream->last_number = stream->record.number;
    stream->last_version = stream->record.version;
    if (stream->phase == BULK_OPENING) {
        stream->phase = BULK_RUNS;
    }
    /* It says what need not be sent again, so the quorum has to have that too. */
    bulk_answer_add(stream, bulk_answer_opened(stream), stream->last_version);
}

void bulk_open_continue(struct bulk_stream *stream)
{
    SERVICE_ASSERT(stream->phase == BULK_OPENING);
    if (__atomic_exchange_n(&stream->is_opened, 0, __ATOMIC_ACQUIRE) != 0) {
        open_end(stream);
        return;
    }
    if (stream->is_opening_blocked) {
        return;
    }
    if (stream->session == NULL && !session_claim(stream)) {
        return; /* tried again by the next tick */
    }
    struct polarys_error err = POLARYS_ERROR_INIT;
    stream->is_opening_blocked = true;
    if (polarys_db_execute(stream->call->server->db, open_run, stream->call, &err) != POLARYS_OK) {
        stream->is_opening_blocked = false;
        stream->call->error = err;
        bulk_fail(stream, err.code);
    }
}

void bulk_open_begin(struct bulk_stream *stream, const Polarys__V1__WriteOpen *open)
{
    struct call *call = stream->call;
    enum polarys_code code = names_take(call, open, &call->error);
    if (code == POLARYS_OK && open->session_id.len != 0 &&
        open->session_id.len != BULK_SESSION_ID_SIZE) {
        code = operation_bad(&call->error, "open.session_id", "must have 16 bytes, or none");
    }
    if (code == POLARYS_OK && open->session_id.len == 0 && open->last_acked_number != 0) {
        code = operation_bad(&call->error, "open.last_acked_number", "must be 0 in a new session");
    }
    if (code != POLARYS_OK) {
        bulk_fail(stream, code);
        return;
    }
    stream->has_wanted_id = open->session_id.len != 0;
    if (stream->has_wanted_id) {
        memcpy(stream->wanted_id, open->session_id.data, BULK_SESSION_ID_SIZE);
    }
    stream->last_acked_number = open->last_acked_number;
    stream->phase = BULK_OPENING;
    bulk_open_continue(stream);
}
