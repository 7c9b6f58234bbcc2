/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TransactionService but Transact: interactive transactions begin, end and are described. The
 * engine owns them; what is here answers a Commit that was sent again after its answer was lost.
 */
#include "polarys/v1/transaction.pb-c.h"
#include "service/proto/wire.h"
#include "service/replication/follower.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/txn_call.h"
#include "service/rpc/writable.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum {
    COMMIT_HEADER = 1,
    COMMIT_VERSION = 2,
    COMMIT_TIME = 3,
    COMMIT_REPLAYED = 4,
};

/* ---- begin ---- */

static enum polarys_code kind_take(const Polarys__V1__BeginTransactionRequest *request,
                                   struct polarys_txn_options *options, struct polarys_error *err)
{
    switch ((int)request->isolation) {
    case POLARYS__V1__ISOLATION__ISOLATION_UNSPECIFIED:
    case POLARYS__V1__ISOLATION__ISOLATION_SNAPSHOT:
        options->isolation = POLARYS_ISOLATION_SNAPSHOT;
        break;
    case POLARYS__V1__ISOLATION__ISOLATION_READ_COMMITTED:
        options->isolation = POLARYS_ISOLATION_READ_COMMITTED;
        break;
    case POLARYS__V1__ISOLATION__ISOLATION_SERIALIZABLE:
        options->isolation = POLARYS_ISOLATION_SERIALIZABLE;
        break;
    default:
        return operation_bad(err, "isolation", "this server does not know this level");
    }
    switch ((int)request->mode) {
    case POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_UNSPECIFIED:
    case POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_OPTIMISTIC:
        options->mode = POLARYS_TXN_OPTIMISTIC;
        break;
    case POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_PESSIMISTIC:
        options->mode = POLARYS_TXN_PESSIMISTIC;
        break;
    default:
        return operation_bad(err, "mode", "this server does not know this mode");
    }
    options->is_read_only = request->read_only;
    return POLARYS_OK;
}

static enum polarys_code options_take(const struct call *call, struct polarys_txn_options *options,
                                      struct polarys_error *err)
{
    const Polarys__V1__BeginTransactionRequest *request = call->request;
    *options = (struct polarys_txn_options){.principal = call->write_options.principal};
    enum polarys_code code = kind_take(request, options, err);
    if (code == POLARYS_OK) {
        code = operation_duration_take(request->lock_timeout, "lock_timeout",
                                       POLARYS_TXN_TIMEOUT_MAX_MS, &options->lock_timeout_ms, err);
    }
    if (code == POLARYS_OK) {
        code = operation_duration_take(request->idle_timeout, "idle_timeout",
                                       POLARYS_TXN_TIMEOUT_MAX_MS, &options->idle_timeout_ms, err);
    }
    if (code == POLARYS_OK) {
        code = operation_duration_take(request->timeout, "timeout", POLARYS_TXN_TIMEOUT_MAX_MS,
                                       &options->timeout_ms, err);
    }
    return code;
}

void transaction_begin(struct call *call)
{
    struct polarys_txn_options options;
    enum polarys_code code = options_take(call, &options, &call->error);
    if (code == POLARYS_OK && !options.is_read_only &&
        follower_is_following(call->server->follower)) {
        code =
            polarys_fail(&call->error, POLARYS_NOT_PRIMARY,
                         "this node is a replica, where transactions only read: say `read_only`, "
                         "or go to its primary");
    }
    if (code == POLARYS_OK && !options.is_read_only) {
        code = writable_check(call->server, &call->error);
    }
    if (code == POLARYS_OK) {
        code =
            polarys_txn_begin(call->server->db, call->database, &options, &call->txn, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    polarys_txn_detach(call->txn);
    Polarys__V1__BeginTransactionResponse response = POLARYS__V1__BEGIN_TRANSACTION_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, polarys_db_version(call->server->db), token, &header);
    response.header = &header;
    response.version = polarys_txn_version(call->txn);
    memcpy(call->txn_id, polarys_txn_id(call->txn), POLARYS_TXN_ID_SIZE);
    response.transaction.data = call->txn_id;
    response.transaction.len = POLARYS_TXN_ID_SIZE;
    call_reply(call, response_pack(&response.base));
}

/* ---- commit ---- */

static void commit_reply(struct call *call, uint64_t version, uint64_t time_ms, bool is_replayed)
{
    struct response_header header;
    uint64_t seen = version != 0 ? version : polarys_db_version(call->server->db);
    response_header_make(call->server, seen, &header);
    size_t size =
        wire_block_size(COMMIT_HEADER, header.size) + wire_uint_size(COMMIT_VERSION, version) +
        response_time_size(COMMIT_TIME, time_ms) + wire_uint_size(COMMIT_REPLAYED, is_replayed);
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_put(at, COMMIT_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, COMMIT_VERSION, version);
    at = response_time_put(at, COMMIT_TIME, time_ms);
    at = wire_uint_put(at, COMMIT_REPLAYED, is_replayed);
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    call_reply(call, slice);
}

static void commit_look(struct call *call);

/* On the worker: another call is committing it; how that ends is this call's answer too. */
static void commit_await(struct call *call, bool is_ok)
{
    (void)is_ok;
    if (server_phase_get(call->server) >= SERVER_STOPPING) {
        polarys_fail(&call->error, POLARYS_DRAINING, "the server stops: ask GetTransaction");
        call_fail(call, &call->error);
    } else if (call_is_late(call)) {
        polarys_fail(&call->error, POLARYS_WAIT_TIMEOUT,
                     "the transaction is being committed by another call: ask GetTransaction");
        call_fail(call, &call->error);
    } else {
        call_wait(call, commit_look);
    }
}

/* On the executor: the transaction is not open; what became of it may be in a file. */
static void commit_status_read(void *context)
{
    struct call *call = context;
    struct polarys_txn_status status;
    polarys_error_clear(&call->error);
    enum polarys_code code =
        polarys_txn_status_get(call->server->db, call->database, call->write_options.principal,
                               call->txn_id, &status, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
    } else if (status.state == POLARYS_TXN_COMMITTED) {
        commit_reply(call, status.commit_version, 0, true);
    } else if (status.state == POLARYS_TXN_ABORTED) {
        polarys_fail(&call->error, POLARYS_TXN_NOT_FOUND,
                     "the transaction was rolled back, or ran out of time");
        call_fail(call, &call->error);
    } else {
        call_post_handler_set(call, commit_await);
        call_post(call);
    }
}

static void commit_look(struct call *call)
{
    call_execute(call, commit_status_read);
}

static void commit_submit(struct call *call);

/* On the worker: another call of the transaction is under way. */
static void commit_retry(struct call *call, bool is_ok)
{
    (void)is_ok;
    txn_call_await(call, commit_submit);
}

static void commit_done(void *context, enum polarys_code code,
                        const struct polarys_write_result *result, const struct polarys_error *err)
{
    struct call *call = context;
    if (code == POLARYS_WOULD_BLOCK) {
        call_post_handler_set(call, commit_retry);
        call_post(call);
    } else if (code == POLARYS_TXN_NOT_FOUND) {
        /* Another call ended it meanwhile, perhaps by committing it. */
        call_execute(call, commit_status_read);
    } else if (code != POLARYS_OK) {
        call_fail(call, err);
    } else {
        commit_reply(call, result->version, result->time_unix_ms, result->is_replayed);
    }
}

static void commit_submit(struct call *call)
{
    SERVICE_ASSERT(call->txn != NULL && call->is_write);
    call->worker->has_submitted = true;
    polarys_txn_submit(call->txn, &call->write_options, commit_done, call);
}

void transaction_commit(struct call *call)
{
    enum polarys_code code = txn_call_bind(call, &call->error);
    if (code == POLARYS_TXN_NOT_FOUND) {
        commit_look(call);
        return;
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    if (call_submit_begin(call)) {
        commit_submit(call);
    }
}

/* ---- rollback, and what became of one ---- */

void transaction_rollback(struct call *call)
{
    enum polarys_code code = txn_call_bind(call, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_txn_rollback(call->txn, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__RollbackResponse response = POLARYS__V1__ROLLBACK_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, polarys_db_version(call->server->db), token, &header);
    response.header = &header;
    call_reply(call, response_pack(&response.base));
}

static void status_reply(struct call *call, const struct polarys_txn_status *status)
{
    static const Polarys__V1__TransactionState states[] = {
        [POLARYS_TXN_ACTIVE] = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_ACTIVE,
        [POLARYS_TXN_COMMITTING] = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_COMMITTING,
        [POLARYS_TXN_COMMITTED] = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_COMMITTED,
        [POLARYS_TXN_ABORTED] = POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_ABORTED,
    };
    SERVICE_ASSERT((size_t)status->state < sizeof(states) / sizeof(states[0]));
    bool is_open = status->state == POLARYS_TXN_ACTIVE || status->state == POLARYS_TXN_COMMITTING;
    Polarys__V1__GetTransactionResponse response = POLARYS__V1__GET_TRANSACTION_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    Google__Protobuf__Duration age;
    Google__Protobuf__Duration idle;
    response_header_fill(call->server, polarys_db_version(call->server->db), token, &header);
    response.header = &header;
    response.state = states[status->state];
    response.version = status->read_version;
    response.commit_version = status->commit_version;
    if (is_open) {
        response_duration_fill(status->age_ms * TIMING_NS_PER_MS, &age);
        response_duration_fill(status->idle_ms * TIMING_NS_PER_MS, &idle);
        response.age = &age;
        response.idle_time = &idle;
        /* The engine's levels and modes have the numbers of the API's, or one less. */
        response.isolation = (Polarys__V1__Isolation)status->isolation;
        response.mode = (Polarys__V1__TransactionMode)(status->mode + 1);
        response.read_count = status->read_count;
        response.write_count = status->write_count;
        response.lock_count = status->lock_count;
        response.used_bytes = status->bytes;
        response.waiting = status->is_waiting;
    }
    call_reply(call, response_pack(&response.base));
}

_Static_assert(POLARYS_ISOLATION_READ_COMMITTED ==
                       (int)POLARYS__V1__ISOLATION__ISOLATION_READ_COMMITTED &&
                   POLARYS_ISOLATION_SERIALIZABLE ==
                       (int)POLARYS__V1__ISOLATION__ISOLATION_SERIALIZABLE &&
                   POLARYS_TXN_PESSIMISTIC + 1 ==
                       (int)POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_PESSIMISTIC,
               "numbers are passed on");

void transaction_get(struct call *call)
{
    struct polarys_txn_status status = {0};
    enum polarys_code code = POLARYS_OK;
    if (!call->has_txn_id) {
        code = operation_bad(&call->error, "transaction", "is empty: an id has 16 bytes");
    } else {
        call->part = txn_call_id_text(call);
        code =
            polarys_txn_status_get(call->server->db, call->database, call->write_options.principal,
                                   call->txn_id, &status, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    status_reply(call, &status);
}
