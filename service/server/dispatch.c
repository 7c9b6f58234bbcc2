/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does for every method what none may forget. The order matters: cheap refusals first, then the
 * message, then names, then authorization, and only then anything that tells what the store holds.
 */
#include "service/server/dispatch.h"

#include "polarys/v1/common.pb-c.h"
#include "service/replication/follower.h"
#include "service/rpc/consistency.h"
#include "service/rpc/txn_call.h"
#include "service/rpc/writable.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum {
    WAIT_DEFAULT_MS = 10000, /* for a version, in a call without a deadline */
    NAME_SHOWN_MAX = 64,     /* bytes of a wrong name in a message */
};

static const void *field_at(const struct call *call, uint16_t offset)
{
    return (const char *)call->request + offset;
}

static ProtobufCBinaryData binary_at(const struct call *call, uint16_t offset)
{
    return *(const ProtobufCBinaryData *)field_at(call, offset);
}

static void deadline_take(struct call *call)
{
    call->end_ns = 0;
    if (gpr_time_cmp(call->deadline, gpr_inf_future(call->deadline.clock_type)) == 0) {
        return;
    }
    gpr_timespec left = gpr_time_sub(call->deadline, gpr_now(call->deadline.clock_type));
    int64_t left_ns = left.tv_sec > INT32_MAX
                          ? (int64_t)INT32_MAX * TIMING_NS_PER_S
                          : left.tv_sec * (int64_t)TIMING_NS_PER_S + left.tv_nsec;
    /* After all of it the client's own timer wins, and it sees a bare status without details. */
    call->end_ns = call->start_ns + (left_ns <= 0 ? 1 : (uint64_t)left_ns / 10 * 9);
}

static enum polarys_code limits_check(struct call *call, struct polarys_error *err)
{
    struct server *server = call->server;
    bool is_served_always =
        call->method != NULL && (call->method->flags & METHOD_WHILE_DRAINING) != 0;
    if (server_phase_get(server) >= SERVER_REFUSING && !is_served_always) {
        return polarys_fail(
            err, POLARYS_DRAINING,
            "this server is being taken out of use: connect again, or to another node");
    }
    if (call->worker->calls_under_way > server->calls_max && !is_served_always) {
        polarys_fail(err, POLARYS_TOO_MANY_CALLS,
                     "%llu calls are under way already: try again later",
                     (unsigned long long)server->calls_max);
        polarys_error_detail_set(err, "limit", "calls_max");
        return POLARYS_TOO_MANY_CALLS;
    }
    if (__atomic_load_n(&server->has_connection_limit, __ATOMIC_RELAXED) != 0 &&
        server->control.is_over_limit(server->control.context, call->handle)) {
        polarys_fail(
            err, POLARYS_TOO_MANY_CALLS,
            "%llu connections are open already: share connections, or raise max_connections",
            (unsigned long long)server->config->max_connections);
        polarys_error_detail_set(err, "limit", "max_connections");
        return POLARYS_TOO_MANY_CALLS;
    }
    return POLARYS_OK;
}

enum polarys_code dispatch_name_take(ProtobufCBinaryData from, const char *field, char *name,
                                     struct polarys_error *err)
{
    static const char reserved[] = "polarys.";
    if (!polarys_name_is_valid((const char *)from.data, from.len)) {
        polarys_fail(err, POLARYS_BAD_NAME,
                     "the name \"%.*s\" in `%s` does not match [A-Za-z][A-Za-z0-9_.-]{0,127}",
                     (int)(from.len < NAME_SHOWN_MAX ? from.len : NAME_SHOWN_MAX),
                     from.data == NULL ? "" : (const char *)from.data, field);
        polarys_error_detail_set(err, "field", "%s", field);
        return POLARYS_BAD_NAME;
    }
    SERVICE_ASSERT(from.len <= POLARYS_NAME_BYTES_MAX);
    memcpy(name, from.data, from.len);
    name[from.len] = '\0';
    if (strncmp(name, reserved, sizeof(reserved) - 1) == 0) {
        polarys_fail(err, POLARYS_BAD_NAME, "names that begin with \"%s\" belong to the server",
                     reserved);
        polarys_error_detail_set(err, "field", "%s", field);
        return POLARYS_BAD_NAME;
    }
    return POLARYS_OK;
}

static enum polarys_code names_take(struct call *call, struct polarys_error *err)
{
    const struct method *method = call->method;
    enum polarys_code code = POLARYS_OK;
    if (method->fields.database != 0) {
        ProtobufCBinaryData database = binary_at(call, method->fields.database);
        if (database.len > 0 || (method->flags & METHOD_DATABASE_REQUIRED) != 0) {
            code = dispatch_name_take(database, "database", call->database, err);
        }
    }
    if (code == POLARYS_OK && method->fields.table != 0) {
        ProtobufCBinaryData table = binary_at(call, method->fields.table);
        if (table.len > 0 || (method->flags & METHOD_TABLE_OPTIONAL) == 0) {
            code = dispatch_name_take(table, "table", call->table, err);
        }
    }
    if (method->fields.key != 0) {
        ProtobufCBinaryData key = binary_at(call, method->fields.key);
        call->key = slice_make(key.data, key.len);
    }
    return code;
}

enum polarys_code dispatch_durability_take(struct call *call, int durability,
                                           struct polarys_error *err)
{
    switch (durability) {
    case POLARYS__V1__DURABILITY__DURABILITY_UNSPECIFIED:
        call->write_options.durability = call->server->config->is_wal_on
                                             ? POLARYS_DURABILITY_LOCAL_SYNC
                                             : POLARYS_DURABILITY_ASYNC;
        return POLARYS_OK;
    case POLARYS__V1__DURABILITY__DURABILITY_ASYNC:
        call->write_options.durability = POLARYS_DURABILITY_ASYNC;
        return POLARYS_OK;
    case POLARYS__V1__DURABILITY__DURABILITY_QUORUM:
    case POLARYS__V1__DURABILITY__DURABILITY_QUORUM_APPLIED:
        /* Durable here first; the answer waits for the others. */
        call->quorum = durability == POLARYS__V1__DURABILITY__DURABILITY_QUORUM
                           ? CALL_QUORUM_DURABLE
                           : CALL_QUORUM_APPLIED;
        call->write_options.durability = POLARYS_DURABILITY_LOCAL_SYNC;
        return POLARYS_OK;
    case POLARYS__V1__DURABILITY__DURABILITY_LOCAL_SYNC:
        call->write_options.durability = POLARYS_DURABILITY_LOCAL_SYNC;
        return POLARYS_OK;
    default:
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`durability`: %d is none that this server knows",
                     durability);
        polarys_error_detail_set(err, "field", "durability");
        return POLARYS_BAD_ARGUMENT;
    }
}

static enum polarys_code request_id_take(struct call *call, struct polarys_error *err)
{
    ProtobufCBinaryData id = binary_at(call, call->method->fields.request_id);
    if (id.len == 0) {
        return POLARYS_OK;
    }
    if (id.len != POLARYS_REQUEST_ID_SIZE) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT,
                     "`request_id` has %zu bytes: it must have 16, or none", id.len);
        polarys_error_detail_set(err, "field", "request_id");
        return POLARYS_BAD_ARGUMENT;
    }
    call->write_options.has_request_id = true;
    memcpy(call->write_options.request_id, id.data, POLARYS_REQUEST_ID_SIZE);
    return POLARYS_OK;
}

static enum polarys_code within_transaction_bad(const char *field, struct polarys_error *err)
{
    polarys_fail(err, POLARYS_BAD_ARGUMENT,
                 "`%s`: must be unset within a transaction, which has one of its own", field);
    polarys_error_detail_set(err, "field", "%s", field);
    return POLARYS_BAD_ARGUMENT;
}

/* The id, and that nothing is said that only the transaction as a whole has. */
static enum polarys_code transaction_take(struct call *call, struct polarys_error *err)
{
    const struct method_fields *fields = &call->method->fields;
    ProtobufCBinaryData id = binary_at(call, fields->transaction);
    if (id.len == 0) {
        return POLARYS_OK;
    }
    if (id.len != POLARYS_TXN_ID_SIZE) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`transaction` has %zu bytes: an id has 16",
                     id.len);
        polarys_error_detail_set(err, "field", "transaction");
        return POLARYS_BAD_ARGUMENT;
    }
    memcpy(call->txn_id, id.data, POLARYS_TXN_ID_SIZE);
    call->has_txn_id = true;
    if ((call->method->flags & METHOD_TXN_ITSELF) != 0) {
        return POLARYS_OK;
    }
    if (fields->consistency != 0) {
        const Polarys__V1__Consistency *consistency =
            *(Polarys__V1__Consistency *const *)field_at(call, fields->consistency);
        if (consistency != NULL &&
            consistency->level_case != POLARYS__V1__CONSISTENCY__LEVEL__NOT_SET) {
            return within_transaction_bad("consistency", err);
        }
    }
    if (fields->durability != 0 &&
        *(const Polarys__V1__Durability *)field_at(call, fields->durability) !=
            POLARYS__V1__DURABILITY__DURABILITY_UNSPECIFIED) {
        return within_transaction_bad("durability", err);
    }
    if (fields->request_id != 0 && binary_at(call, fields->request_id).len > 0) {
        return within_transaction_bad("request_id", err);
    }
    return POLARYS_OK;
}

static enum polarys_code common_fields_take(struct call *call, struct polarys_error *err)
{
    const struct method_fields *fields = &call->method->fields;
    enum polarys_code code = names_take(call, err);
    if (code == POLARYS_OK && fields->transaction != 0) {
        code = transaction_take(call, err);
    }
    if (code == POLARYS_OK && fields->durability != 0) {
        code = dispatch_durability_take(
            call, (int)*(const Polarys__V1__Durability *)field_at(call, fields->durability), err);
    }
    if (code == POLARYS_OK && fields->request_id != 0) {
        code = request_id_take(call, err);
    }
    return code;
}

static enum polarys_code consistency_take(struct call *call, struct polarys_error *err)
{
    if (call->method->fields.consistency == 0) {
        return POLARYS_OK;
    }
    const Polarys__V1__Consistency *consistency =
        *(Polarys__V1__Consistency *const *)field_at(call, call->method->fields.consistency);
    if (call->has_txn_id) {
        return POLARYS_OK; /* it reads at the transaction's version */
    }
    return consistency_resolve(call, consistency, err);
}

/* Where a request may but need not write, the engine of a follower refuses, and a fenced primary here. */
static enum polarys_code write_check(const struct call *call, struct polarys_error *err)
{
    enum authorize_action action = call->method->action;
    bool is_write = action == AUTHORIZE_WRITE || action == AUTHORIZE_SCHEMA;
    bool is_within = call->has_txn_id && follower_is_following(call->server->follower);
    return is_write && !is_within ? writable_check(call->server, err) : POLARYS_OK;
}

/* All that can be said before the handler; call->request is there afterwards. */
static enum polarys_code call_prepare(struct call *call, struct polarys_error *err)
{
    const struct method *method = call->method;
    enum polarys_code code = limits_check(call, err);
    if (code != POLARYS_OK || method->kind == METHOD_BIDI) {
        return code;
    }
    struct polarys_slice bytes;
    code = call_bytes_get(call, call->payload, &bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    call->request = proto_arena_unpack(&call->arena, method->request, bytes, err);
    if (call->request == NULL) {
        return err->code;
    }
    code = common_fields_take(call, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct authorize_resource resource = {call->database, call->table};
    code = authorize(call, method->action, &resource, err);
    if (code == POLARYS_OK) {
        code = write_check(call, err);
    }
    if (code == POLARYS_OK) {
        code = consistency_take(call, err);
    }
    if (code == POLARYS_OK && call->has_txn_id && (method->flags & METHOD_TXN_ITSELF) == 0) {
        code = txn_call_bind(call, err);
    }
    return code;
}

static void handle_blocking(void *context)
{
    struct call *call = context;
    call->method->handle(call);
}

static void handler_run(struct call *call)
{
    unsigned flags = call->method->flags;
    bool is_watched = call->method->kind == METHOD_STREAM ? (flags & METHOD_CLOSE_LATER) == 0
                                                          : (flags & METHOD_WATCH_CLOSE) != 0;
    if (is_watched && !call->has_close_watch) {
        call_watch_close(call, NULL);
    }
    if (call->method->kind == METHOD_BLOCKING) {
        call_execute(call, handle_blocking);
    } else {
        call->method->handle(call);
    }
}

void dispatch_resume(struct call *call)
{
    if (call->resume != NULL) {
        void (*resume)(struct call * waited) = call->resume;
        call->resume = NULL;
        resume(call);
        return;
    }
    if (consistency_is_met(call)) {
        enum polarys_code code = consistency_recheck(call, &call->error);
        if (code == POLARYS_OK) {
            handler_run(call);
        } else {
            call_fail_own(call, code);
        }
        return;
    }
    bool is_stopping = server_phase_get(call->server) >= SERVER_STOPPING;
    if (call_is_cancelled(call) || is_stopping || call_is_late(call)) {
        call_fail_own(call, consistency_fail(call, &call->error));
        return;
    }
    worker_call_wait(call->worker, call);
}

void dispatch_begin(struct call *call)
{
    if (call->method == NULL) {
        call->start_ns = timing_now_ns();
        call->deadline = call->details.deadline;
        metrics_call_begin(call->worker->metrics, METRICS_METHOD_UNKNOWN);
        call_fail_status(call, GRPC_STATUS_UNIMPLEMENTED, "this server has no such method");
        return;
    }
    call->start_ns = timing_now_ns();
    deadline_take(call);
    size_t count;
    metrics_call_begin(call->worker->metrics, (size_t)(call->method - method_table(&count)));
    enum polarys_code code = call_prepare(call, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    if (!consistency_is_met(call)) {
        if (call->end_ns == 0) {
            call->end_ns = call->start_ns + (uint64_t)WAIT_DEFAULT_MS * TIMING_NS_PER_MS;
        }
        call_watch_close(call, NULL);
        dispatch_resume(call);
        return;
    }
    handler_run(call);
}
