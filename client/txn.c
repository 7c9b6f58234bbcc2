/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions: their beginning and their end. Calls within are those of single documents, scans and queries
 * with the transaction's id in them.
 *
 * Invariant: what is said of a commit is what the server says, however often its answer was lost; where
 * nobody can be asked, the error is one that leaves it open.
 */
#include "client/polarys_txn.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "polarys/v1/transaction.pb-c.h"

enum {
    COMMITTING_POLL_MS = 100,  /* between two questions about a commit that is under way */
    COMMITTING_POLLS_MAX = 50, /* of them */
};

_Static_assert(sizeof(((struct polarys_client_txn *)NULL)->id) == POLARYS_CLIENT_TXN_ID_SIZE,
               "a transaction's id");

static Polarys__V1__Isolation isolation_field(enum polarys_client_isolation isolation)
{
    switch (isolation) {
    case POLARYS_CLIENT_READ_COMMITTED:
        return POLARYS__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    case POLARYS_CLIENT_SNAPSHOT_ISOLATION:
        return POLARYS__V1__ISOLATION__ISOLATION_SNAPSHOT;
    case POLARYS_CLIENT_SERIALIZABLE:
        return POLARYS__V1__ISOLATION__ISOLATION_SERIALIZABLE;
    case POLARYS_CLIENT_ISOLATION_DEFAULT:
        break;
    }
    return POLARYS__V1__ISOLATION__ISOLATION_UNSPECIFIED;
}

static enum polarys_client_isolation isolation_read(Polarys__V1__Isolation isolation)
{
    return (unsigned)isolation <= POLARYS__V1__ISOLATION__ISOLATION_SERIALIZABLE
               ? (enum polarys_client_isolation)isolation
               : POLARYS_CLIENT_ISOLATION_DEFAULT;
}

static Polarys__V1__TransactionMode mode_field(enum polarys_client_txn_mode mode)
{
    switch (mode) {
    case POLARYS_CLIENT_OPTIMISTIC:
        return POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_OPTIMISTIC;
    case POLARYS_CLIENT_PESSIMISTIC:
        return POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_PESSIMISTIC;
    case POLARYS_CLIENT_TXN_MODE_DEFAULT:
        break;
    }
    return POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_UNSPECIFIED;
}

static enum polarys_client_txn_mode mode_read(Polarys__V1__TransactionMode mode)
{
    return (unsigned)mode <= POLARYS__V1__TRANSACTION_MODE__TRANSACTION_MODE_PESSIMISTIC
               ? (enum polarys_client_txn_mode)mode
               : POLARYS_CLIENT_TXN_MODE_DEFAULT;
}

/* NULL for 0. */
static Google__Protobuf__Duration *duration_fill(Google__Protobuf__Duration *room,
                                                 uint32_t duration_ms)
{
    google__protobuf__duration__init(room);
    room->seconds = duration_ms / 1000;
    room->nanos = (int32_t)(duration_ms % 1000) * 1000000;
    return duration_ms == 0 ? NULL : room;
}

static Polarys__V1__BeginTransactionResponse *begin_invoke(
    struct polarys_client *client, const struct polarys_client_txn_options *options,
    struct polarys_client_error *err)
{
    Polarys__V1__BeginTransactionRequest request = POLARYS__V1__BEGIN_TRANSACTION_REQUEST__INIT;
    Google__Protobuf__Duration durations[3];

    request.database = client_text(options->database);
    request.isolation = isolation_field(options->isolation);
    request.mode = mode_field(options->mode);
    request.read_only = options->is_read_only;
    request.lock_timeout = duration_fill(&durations[0], options->lock_timeout_ms);
    request.idle_timeout = duration_fill(&durations[1], options->idle_timeout_ms);
    request.timeout = duration_fill(&durations[2], options->timeout_ms);
    /* One that was begun and whose answer was lost ends by idling. */
    struct client_call call = {"/polarys.v1.TransactionService/BeginTransaction", &request.base,
                               &polarys__v1__begin_transaction_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    return (Polarys__V1__BeginTransactionResponse *)client_invoke(client, &call, err);
}

bool polarys_client_txn_begin(struct polarys_client *client,
                              const struct polarys_client_txn_options *options,
                              struct polarys_client_txn **out, struct polarys_client_error *err)
{
    static const struct polarys_client_txn_options defaults;

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(out != NULL);
    *out = NULL;
    client_error_clear(err);
    options = options == NULL ? &defaults : options;
    struct polarys_client_txn *txn = calloc(1, sizeof(*txn));
    char *database = client_copy_text(options->database);
    if (txn == NULL || database == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a transaction");
        goto fail;
    }
    Polarys__V1__BeginTransactionResponse *response = begin_invoke(client, options, err);
    if (response == NULL) {
        goto fail;
    }
    bool has_id = response->transaction.len == sizeof(txn->id);
    if (has_id) {
        memcpy(txn->id, response->transaction.data, sizeof(txn->id));
    }
    txn->version = response->version;
    polarys__v1__begin_transaction_response__free_unpacked(response, NULL);
    if (!has_id) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "BeginTransaction: the answer has no id");
        goto fail;
    }
    txn->client = client;
    txn->database = database;
    *out = txn;
    return true;

fail:
    free(database);
    free(txn);
    return false;
}

void polarys_client_txn_close(struct polarys_client_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    if (!txn->is_over) {
        (void)polarys_client_txn_rollback(txn, NULL); /* if that fails it ends by idling */
    }
    free(txn->database);
    free(txn);
}

const uint8_t *polarys_client_txn_id(const struct polarys_client_txn *txn)
{
    POLARYS_ASSERT(txn != NULL);
    return txn->id;
}

uint64_t polarys_client_txn_version(const struct polarys_client_txn *txn)
{
    POLARYS_ASSERT(txn != NULL);
    return txn->version;
}

/* True when `err` leaves open whether the commit was done. */
static bool is_open(const struct polarys_client_error *err)
{
    return err->status == POLARYS_CLIENT_UNAVAILABLE ||
           err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED ||
           err->status == POLARYS_CLIENT_CANCELLED || err->status == POLARYS_CLIENT_UNKNOWN;
}

/*
 * Asks what became of a commit whose answer did not come. True: it was done, and `result` is filled. False:
 * it was not (`err` says so), or nobody knows (`err` is left as it was).
 */
static bool commit_ask(struct polarys_client_txn *txn, struct polarys_client_result *result,
                       struct polarys_client_error *err)
{
    struct polarys_client_txn_status status;
    struct polarys_client_error why;

    POLARYS_ASSERT(txn->is_over);
    for (int polls = 0; polls < COMMITTING_POLLS_MAX; polls++) {
        bool is_known =
            polarys_client_txn_status_get(txn->client, txn->database, txn->id, &status, &why);
        bool is_lost = !is_known && strcmp(why.reason, "TXN_NOT_FOUND") == 0;
        if (is_lost || (is_known && status.state == POLARYS_CLIENT_TXN_ABORTED)) {
            client_error_set(err, POLARYS_CLIENT_ABORTED,
                             "the transaction was not committed: its server gave it up");
            client_error_reason_set(err, "TXN_NOT_FOUND");
            return false;
        }
        if (is_known && status.state == POLARYS_CLIENT_TXN_COMMITTED) {
            client_error_clear(err);
            client_result_fill(result, NULL, status.commit_version);
            return true;
        }
        if (!is_known || status.state != POLARYS_CLIENT_TXN_COMMITTING) {
            return false;
        }
        transport_sleep_ms(COMMITTING_POLL_MS);
    }
    return false;
}

bool polarys_client_txn_commit(struct polarys_client_txn *txn,
                               enum polarys_client_durability durability,
                               struct polarys_client_result *result,
                               struct polarys_client_error *err)
{
    Polarys__V1__CommitRequest request = POLARYS__V1__COMMIT_REQUEST__INIT;
    struct polarys_client_error own;

    POLARYS_ASSERT(txn != NULL);
    err = err == NULL ? &own : err;
    client_error_clear(err);
    request.database = client_text(txn->database);
    request.transaction = client_txn_field(txn);
    request.durability = client_durability(NULL, durability);
    txn->is_over = true;
    /* The transaction's id serves as the request's. */
    struct client_call call = {"/polarys.v1.TransactionService/Commit", &request.base,
                               &polarys__v1__commit_response__descriptor, CLIENT_REPEAT_ALWAYS};
    Polarys__V1__CommitResponse *response =
        (Polarys__V1__CommitResponse *)client_invoke(txn->client, &call, err);
    if (response == NULL) {
        return is_open(err) && commit_ask(txn, result, err);
    }
    client_result_fill(result, response->header, response->version);
    polarys__v1__commit_response__free_unpacked(response, NULL);
    return true;
}

bool polarys_client_txn_rollback(struct polarys_client_txn *txn, struct polarys_client_error *err)
{
    Polarys__V1__RollbackRequest request = POLARYS__V1__ROLLBACK_REQUEST__INIT;

    POLARYS_ASSERT(txn != NULL);
    request.database = client_text(txn->database);
    request.transaction = client_txn_field(txn);
    txn->is_over = true;
    struct client_call call = {"/polarys.v1.TransactionService/Rollback", &request.base,
                               &polarys__v1__rollback_response__descriptor, CLIENT_REPEAT_REFUSED};
    ProtobufCMessage *response = client_invoke(txn->client, &call, err);
    if (response == NULL) {
        return false;
    }
    protobuf_c_message_free_unpacked(response, NULL);
    return true;
}

static uint64_t duration_ms(const Google__Protobuf__Duration *duration)
{
    if (duration == NULL || duration->seconds < 0 || duration->nanos < 0) {
        return 0;
    }
    return (uint64_t)duration->seconds * 1000 + (uint64_t)(duration->nanos / 1000000);
}

static void status_fill(struct polarys_client_txn_status *status,
                        const Polarys__V1__GetTransactionResponse *response)
{
    memset(status, 0, sizeof(*status));
    status->state =
        (unsigned)response->state <= POLARYS__V1__TRANSACTION_STATE__TRANSACTION_STATE_ABORTED
            ? (enum polarys_client_txn_state)response->state
            : POLARYS_CLIENT_TXN_STATE_UNKNOWN;
    status->isolation = isolation_read(response->isolation);
    status->mode = mode_read(response->mode);
    status->read_version = response->version;
    status->commit_version = response->commit_version;
    status->age_ms = duration_ms(response->age);
    status->idle_ms = duration_ms(response->idle_time);
    status->read_count = response->read_count;
    status->write_count = response->write_count;
    status->lock_count = response->lock_count;
    status->bytes = response->used_bytes;
    status->is_waiting = response->waiting != 0;
}

bool polarys_client_txn_status_get(struct polarys_client *client, const char *database,
                                   const uint8_t id[POLARYS_CLIENT_TXN_ID_SIZE],
                                   struct polarys_client_txn_status *status,
                                   struct polarys_client_error *err)
{
    Polarys__V1__GetTransactionRequest request = POLARYS__V1__GET_TRANSACTION_REQUEST__INIT;

    POLARYS_ASSERT(id != NULL);
    POLARYS_ASSERT(status != NULL);
    request.database = client_text(database);
    request.transaction = client_bytes(id, POLARYS_CLIENT_TXN_ID_SIZE);
    struct client_call call = {"/polarys.v1.TransactionService/GetTransaction", &request.base,
                               &polarys__v1__get_transaction_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    Polarys__V1__GetTransactionResponse *response =
        (Polarys__V1__GetTransactionResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    status_fill(status, response);
    polarys__v1__get_transaction_response__free_unpacked(response, NULL);
    return true;
}
