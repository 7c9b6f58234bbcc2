/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KvService.Get and BatchGet. A read is tried on the worker from memory; where that would touch a
 * file, the executor does it again and answers from there. Nothing of a document outlives the call
 * that read it.
 */
#include "polarys/v1/kv.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/consistency.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

enum {
    GET_HEADER = 1,
    GET_VERSION = 2,
    GET_KEY = 3,
    GET_VALUE = 4,
    GET_EXPIRE_TIME = 5,
    GET_COMMIT_TIME = 6,

    BATCH_HEADER = 1,
    BATCH_VERSION = 2,
    BATCH_DOCUMENTS = 3,
    BATCH_MISSING_KEYS = 4,
    BATCH_UNREAD_KEYS = 5,

    BATCH_BYTES_MAX = 1 << 20, /* of documents in an answer, or one larger */
    BATCH_LEASE_MS = 60000,
};

static grpc_slice get_response(const struct call *call, const struct polarys_document *document)
{
    uint64_t seen = consistency_version(call);
    struct response_header header;
    response_header_make(call->server, seen, &header);
    size_t size = wire_block_size(GET_HEADER, header.size) +
                  wire_uint_size(GET_VERSION, document->version) +
                  wire_bytes_size(GET_KEY, call->key.size) +
                  response_value_size(GET_VALUE, &document->value) +
                  response_time_size(GET_EXPIRE_TIME, document->value.expires_at_ms) +
                  response_time_size(GET_COMMIT_TIME, document->commit_time_unix_ms);
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_put(at, GET_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, GET_VERSION, document->version);
    at = wire_bytes_put(at, GET_KEY, call->key);
    at = response_value_put(at, GET_VALUE, &document->value);
    at = response_time_put(at, GET_EXPIRE_TIME, document->value.expires_at_ms);
    at = response_time_put(at, GET_COMMIT_TIME, document->commit_time_unix_ms);
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

/* False when the answer needs a file and `flags` forbid it; otherwise the call is answered. */
static bool get_try(struct call *call, unsigned flags)
{
    struct polarys_read_options options = {.version = call->read_version, .flags = flags};
    struct polarys_document document = {0};
    const Polarys__V1__GetRequest *request = call->request;
    enum polarys_code code;
    if (call->txn != NULL) {
        code = polarys_txn_get(call->txn, call->table, call->key, request->for_update, flags,
                               &document, &call->error);
    } else {
        code = polarys_db_get(call->server->db, call->database, call->table, call->key, &options,
                              &document, &call->error);
    }
    if (code == POLARYS_WOULD_BLOCK) {
        polarys_error_clear(&call->error);
        return false;
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return true;
    }
    grpc_slice message = get_response(call, &document);
    polarys_document_release(&document);
    call_reply(call, message);
    return true;
}

static void get_from_files(void *context)
{
    bool is_answered = get_try(context, 0);
    SERVICE_ASSERT(is_answered);
}

static void get_locked(struct call *call)
{
    txn_call_run(call, get_try);
}

static enum polarys_lock_mode lock_mode(bool is_for_update)
{
    return is_for_update ? POLARYS_LOCK_EXCLUSIVE : POLARYS_LOCK_SHARED;
}

/* What is read for an update must be read within a transaction. */
static bool for_update_is_bad(struct call *call, bool is_for_update)
{
    if (!is_for_update || call->txn != NULL) {
        return false;
    }
    call_fail_own(call,
                  operation_bad(&call->error, "for_update", "is for calls within a transaction"));
    return true;
}

void kv_get(struct call *call)
{
    const Polarys__V1__GetRequest *request = call->request;
    if (for_update_is_bad(call, request->for_update)) {
        return;
    }
    if (call->txn != NULL) {
        txn_call_lock_key(call, call->key, lock_mode(request->for_update), get_locked);
        return;
    }
    if (!get_try(call, POLARYS_READ_MEMORY_ONLY)) {
        call_execute(call, get_from_files);
    }
}

/* What BatchGet has found so far; in the call's arena. */
struct batch_get {
    struct polarys_document *documents; /* as many as keys; those found are pinned */
    bool *is_found;
    size_t done;  /* keys looked at */
    size_t bytes; /* of documents found */
    uint64_t lease_id;
    uint64_t version;
    bool has_lease;
};

static void batch_get_release(struct call *call)
{
    struct batch_get *state = call->state;
    if (state == NULL) {
        return;
    }
    for (size_t i = 0; i < state->done; i++) {
        if (state->is_found[i]) {
            polarys_document_release(&state->documents[i]);
        }
    }
    state->done = 0;
    if (state->has_lease) { /* of no call within a transaction */
        polarys_snapshot_release(call->server->db, state->lease_id);
        state->has_lease = false;
    }
}

static size_t batch_keys_size(const Polarys__V1__BatchGetRequest *request,
                              const struct batch_get *state)
{
    size_t size = 0;
    for (size_t i = 0; i < request->n_keys; i++) {
        if (i >= state->done || !state->is_found[i]) {
            size += wire_block_size(i >= state->done ? BATCH_UNREAD_KEYS : BATCH_MISSING_KEYS,
                                    request->keys[i].len);
        }
    }
    return size;
}

static grpc_slice batch_get_response(const struct call *call)
{
    const Polarys__V1__BatchGetRequest *request = call->request;
    const struct batch_get *state = call->state;
    struct response_header header;
    uint64_t seen = state->version != 0 ? state->version : polarys_db_version(call->server->db);
    response_header_make(call->server, seen, &header);
    size_t size = wire_block_size(BATCH_HEADER, header.size) +
                  wire_uint_size(BATCH_VERSION, state->version) + batch_keys_size(request, state);
    for (size_t i = 0; i < state->done; i++) {
        size += state->is_found[i]
                    ? response_document_size(BATCH_DOCUMENTS, &state->documents[i], true)
                    : 0;
    }
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_put(at, BATCH_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, BATCH_VERSION, state->version);
    for (size_t i = 0; i < request->n_keys; i++) {
        struct polarys_slice key = slice_make(request->keys[i].data, request->keys[i].len);
        if (i >= state->done) {
            at = wire_block_put(at, BATCH_UNREAD_KEYS, key);
        } else if (state->is_found[i]) {
            at = response_document_put(at, BATCH_DOCUMENTS, &state->documents[i], true);
        } else {
            at = wire_block_put(at, BATCH_MISSING_KEYS, key);
        }
    }
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

static bool is_full(const struct batch_get *state)
{
    return state->bytes >= BATCH_BYTES_MAX;
}

/*
 * The engine shows a version as it was when it was committed. Who asks for the newest state asks
 * for it as of now.
 */
static bool has_expired(const struct call *call, const struct polarys_document *document)
{
    return call->txn == NULL && call->read_version == POLARYS_VERSION_NEWEST &&
           document->value.expires_at_ms != 0 && document->value.expires_at_ms <= timing_wall_ms();
}

/* Key `i` of the request, as of the state's version or as the transaction sees it. */
static enum polarys_code batch_key_get(struct call *call, size_t i, unsigned flags)
{
    const Polarys__V1__BatchGetRequest *request = call->request;
    struct batch_get *state = call->state;
    struct polarys_read_options options = {.version = state->version, .flags = flags};
    call->key = slice_make(request->keys[i].data, request->keys[i].len);
    if (call->txn != NULL) {
        return polarys_txn_get(call->txn, call->table, call->key, request->for_update, flags,
                               &state->documents[i], &call->error);
    }
    return polarys_db_get(call->server->db, call->database, call->table, call->key, &options,
                          &state->documents[i], &call->error);
}

/* Looks keys up until all are, the answer is full, or (false) a file would be needed. */
static bool batch_get_try(struct call *call, unsigned flags)
{
    const Polarys__V1__BatchGetRequest *request = call->request;
    struct batch_get *state = call->state;
    while (state->done < request->n_keys && !is_full(state)) {
        size_t i = state->done;
        enum polarys_code code = batch_key_get(call, i, flags);
        if (code == POLARYS_WOULD_BLOCK) {
            polarys_error_clear(&call->error);
            return false;
        }
        if (code != POLARYS_OK && code != POLARYS_KEY_NOT_FOUND) {
            polarys_error_detail_set(&call->error, "key_index", "%zu", i);
            batch_get_release(call);
            call_fail_own(call, code);
            return true;
        }
        state->is_found[i] = code == POLARYS_OK;
        if (state->is_found[i] && has_expired(call, &state->documents[i])) {
            polarys_document_release(&state->documents[i]);
            state->is_found[i] = false;
        }
        state->documents[i].key = call->key;
        size_t size = state->is_found[i]
                          ? response_document_size(BATCH_DOCUMENTS, &state->documents[i], true)
                          : 0;
        if (size > 0 && state->bytes > 0 && state->bytes + size > BATCH_BYTES_MAX) {
            polarys_document_release(&state->documents[i]);
            break;
        }
        state->bytes += size;
        state->done++;
    }
    polarys_error_clear(&call->error);
    if (call->txn != NULL) {
        state->version = polarys_txn_version(call->txn);
    }
    grpc_slice message = batch_get_response(call);
    batch_get_release(call);
    call_reply(call, message);
    return true;
}

static void batch_get_from_files(void *context)
{
    bool is_answered = batch_get_try(context, 0);
    SERVICE_ASSERT(is_answered);
}

static enum polarys_code batch_get_begin(struct call *call, struct polarys_error *err)
{
    const Polarys__V1__BatchGetRequest *request = call->request;
    uint64_t most = call->server->config->batch_keys_max;
    if (request->n_keys == 0 || request->n_keys > most) {
        polarys_fail(err, request->n_keys == 0 ? POLARYS_BAD_ARGUMENT : POLARYS_TOO_LARGE,
                     "`keys` has %zu keys: ask for 1 to %llu", request->n_keys,
                     (unsigned long long)most);
        polarys_error_detail_set(err, "field", "keys");
        polarys_error_detail_set(err, "limit", "batch_keys_max");
        return err->code;
    }
    size_t bytes = request->n_keys * (sizeof(struct polarys_document) + sizeof(bool));
    call->arena.budget += bytes + sizeof(struct batch_get) + PROTO_ARENA_FIRST_BYTES;
    struct batch_get *state = proto_arena_alloc(&call->arena, sizeof(*state));
    struct polarys_document *documents =
        proto_arena_alloc(&call->arena, request->n_keys * sizeof(*documents));
    bool *is_found = proto_arena_alloc(&call->arena, request->n_keys * sizeof(*is_found));
    if (state == NULL || documents == NULL || is_found == NULL) {
        return polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory to read %zu keys",
                            request->n_keys);
    }
    memset(documents, 0, request->n_keys * sizeof(*documents));
    *state = (struct batch_get){.documents = documents, .is_found = is_found};
    if (call->txn != NULL) {
        call->state = state;
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_snapshot_acquire(call->server->db, call->read_version, BATCH_LEASE_MS,
                                 &state->lease_id, &state->version, err);
    if (code == POLARYS_OK) {
        state->has_lease = true;
        call->state = state;
    }
    return code;
}

static void batch_get_locked(struct call *call)
{
    txn_call_run(call, batch_get_try);
}

/* Locks the keys in their order, where the transaction locks what it reads so. */
static void batch_get_within_transaction(struct call *call)
{
    const Polarys__V1__BatchGetRequest *request = call->request;
    size_t count = call->is_txn_locking && (request->for_update || call->is_txn_serializable)
                       ? request->n_keys
                       : 0;
    struct polarys_lock_wanted *locks = NULL;
    if (count > 0) {
        call->arena.budget += count * sizeof(*locks) + PROTO_ARENA_FIRST_BYTES;
        locks = proto_arena_alloc(&call->arena, count * sizeof(*locks));
        if (locks == NULL) {
            polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory to lock %zu keys", count);
            call_fail(call, &call->error);
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        locks[i] = (struct polarys_lock_wanted){
            .table = call->table,
            .start = slice_make(request->keys[i].data, request->keys[i].len),
            .is_key = true,
            .mode = lock_mode(request->for_update),
        };
    }
    txn_call_lock(call, locks, count, batch_get_locked);
}

void kv_batch_get(struct call *call)
{
    const Polarys__V1__BatchGetRequest *request = call->request;
    if (for_update_is_bad(call, request->for_update)) {
        return;
    }
    enum polarys_code code = batch_get_begin(call, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    if (call->txn != NULL) {
        batch_get_within_transaction(call);
        return;
    }
    if (!batch_get_try(call, POLARYS_READ_MEMORY_ONLY)) {
        call_execute(call, batch_get_from_files);
    }
}
