/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function in a transaction, tried again where others got in between.
 */
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/polarys_txn.h"

enum { RUN_DELAY_FIRST_MS = 10 };

/* True for what a new attempt may end better than. Where the primary has moved, the new one knows of no transaction that
 * was open on the old one, and that it does not know of one says that it was not committed. */
static bool is_conflict(struct polarys_client *client, const struct polarys_client_error *err)
{
    return strcmp(err->reason, "TXN_CONFLICT") == 0 || strcmp(err->reason, "DEADLOCK") == 0 ||
           (strcmp(err->reason, "TXN_NOT_FOUND") == 0 && client_route_is_group(client));
}

/* One attempt: begin, body, commit. */
static bool run_once(
    struct polarys_client *client, const struct polarys_client_txn_options *options,
    bool (*body)(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err),
    void *context, struct polarys_client_result *result, struct polarys_client_error *err)
{
    struct polarys_client_txn *txn;

    if (!polarys_client_txn_begin(client, options, &txn, err)) {
        return false;
    }
    client_error_clear(err);
    bool is_ok = body(context, txn, err);
    POLARYS_ASSERT(!txn->is_over); /* the body neither commits nor rolls back */
    is_ok = is_ok && polarys_client_txn_commit(txn, options->durability, result, err);
    polarys_client_txn_close(txn);
    return is_ok;
}

bool polarys_client_txn_run(
    struct polarys_client *client, const struct polarys_client_txn_options *options,
    bool (*body)(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err),
    void *context, struct polarys_client_result *result, struct polarys_client_error *err)
{
    static const struct polarys_client_txn_options defaults;
    struct polarys_client_error own;
    uint32_t delay_ms = RUN_DELAY_FIRST_MS;

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(body != NULL);
    options = options == NULL ? &defaults : options;
    err = err == NULL ? &own : err;
    uint32_t attempts_max =
        options->attempts_max == 0 ? POLARYS_CLIENT_TXN_ATTEMPTS_DEFAULT : options->attempts_max;
    for (uint32_t attempt = 1;; attempt++) {
        bool is_ok = run_once(client, options, body, context, result, err);
        err->attempts = attempt;
        if (is_ok || attempt >= attempts_max || !is_conflict(client, err)) {
            return is_ok;
        }
        transport_sleep_ms(client_jitter(delay_ms));
        delay_ms = delay_ms * 2 < POLARYS_CLIENT_TXN_DELAY_MS_MAX ? delay_ms * 2
                                                                  : POLARYS_CLIENT_TXN_DELAY_MS_MAX;
    }
}
