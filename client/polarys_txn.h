/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions of libpolarys: several reads and writes, in any tables of one database, that take effect as
 * one commit or not at all.
 *
 *     static bool move(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err)
 *     {
 *         ... polarys_client_get with read.txn = txn, polarys_client_put with write.txn = txn ...
 *     }
 *     polarys_client_txn_run(client, NULL, move, context, &result, &err);
 *
 * The calls of polarys.h and polarys_query.h belong to a transaction when their `txn` is set: in a struct
 * polarys_client_read, polarys_client_write or polarys_client_range_write. The transaction's database
 * counts then; consistency, durability and request id do not, for a transaction has its own.
 *
 * Errors of every call within: NOT_FOUND/TXN_NOT_FOUND (over, idle or open for too long, or its server
 * has gone), ABORTED/DEADLOCK (it is over), ABORTED/LOCK_TIMEOUT, INVALID_ARGUMENT/TOO_LARGE.
 *
 * Threads: a transaction may be used from any number of threads, its calls are done one after another; it
 * is ended and closed by one of them, when no other uses it. A transact belongs to one thread at a time.
 */
#ifndef CLIENT_POLARYS_TXN_H
#define CLIENT_POLARYS_TXN_H

#include "client/polarys.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_CLIENT_TXN_ID_SIZE = 16,
    POLARYS_CLIENT_TXN_ATTEMPTS_DEFAULT = 10,
    POLARYS_CLIENT_TXN_DELAY_MS_MAX = 1000, /* between two attempts of polarys_client_txn_run */
};

/* What a transaction may see of others that run at the same time. */
enum polarys_client_isolation {
    POLARYS_CLIENT_ISOLATION_DEFAULT, /* SNAPSHOT */
    /* Each call sees what was committed before it began; of two that write one key the later wins. */
    POLARYS_CLIENT_READ_COMMITTED,
    /* Every call sees one version; of two that write one key the first to commit wins. */
    POLARYS_CLIENT_SNAPSHOT_ISOLATION,
    /* As if committed transactions had run one after another. */
    POLARYS_CLIENT_SERIALIZABLE,
};

enum polarys_client_txn_mode {
    POLARYS_CLIENT_TXN_MODE_DEFAULT, /* OPTIMISTIC */
    POLARYS_CLIENT_OPTIMISTIC,       /* no locks: conflicts are found at the commit */
    POLARYS_CLIENT_PESSIMISTIC,      /* locks first: others wait */
};

/* Zero-initialise; NULL stands for all zero. */
struct polarys_client_txn_options {
    const char *database;
    enum polarys_client_isolation isolation;
    enum polarys_client_txn_mode mode;
    bool is_read_only;
    uint32_t lock_timeout_ms; /* of one wait; 0: 5 s */
    uint32_t idle_timeout_ms; /* between two calls; 0: 10 s */
    uint32_t timeout_ms;      /* of the whole; 0: 60 s */

    /* Of polarys_client_txn_run only. */
    uint32_t attempts_max; /* 0: POLARYS_CLIENT_TXN_ATTEMPTS_DEFAULT */
    enum polarys_client_durability durability;
};

/*
 * Begins a transaction. `options` is borrowed for the call. The client must outlive it.
 * Errors: NOT_FOUND/DATABASE_NOT_FOUND, FAILED_PRECONDITION/NOT_PRIMARY, READ_ONLY unless it is read-only,
 * RESOURCE_EXHAUSTED/TOO_MANY_CALLS.
 */
POLARYS_CLIENT_API bool polarys_client_txn_begin(struct polarys_client *client,
                                                 const struct polarys_client_txn_options *options,
                                                 struct polarys_client_txn **out,
                                                 struct polarys_client_error *err);
/* Rolls back what was neither committed nor rolled back, then frees. Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_txn_close(struct polarys_client_txn *txn);

/* POLARYS_CLIENT_TXN_ID_SIZE bytes; borrowed: live as long as the transaction. */
POLARYS_CLIENT_API const uint8_t *polarys_client_txn_id(const struct polarys_client_txn *txn);
/* The version of the state that its first call sees. */
POLARYS_CLIENT_API uint64_t polarys_client_txn_version(const struct polarys_client_txn *txn);

/*
 * Makes everything that was written within take effect as one commit. The transaction is over afterwards,
 * also on failure; only close is left. Repeating a commit does no harm, so a lost answer is asked for again,
 * and in the end the server is asked what became of the transaction. `result` may be NULL; without a write
 * its version is the one that was read.
 * Errors: ABORTED/TXN_CONFLICT (metadata "table", "key": what another commit has changed),
 * ALREADY_EXISTS/UNIQUE_VIOLATION, NOT_FOUND/TXN_NOT_FOUND. UNAVAILABLE and DEADLINE_EXCEEDED leave open
 * whether it was committed: polarys_client_txn_status_get tells, once the server can be reached.
 */
POLARYS_CLIENT_API bool polarys_client_txn_commit(struct polarys_client_txn *txn,
                                                  enum polarys_client_durability durability,
                                                  struct polarys_client_result *result,
                                                  struct polarys_client_error *err);
/* Drops everything that was written within. The transaction is over afterwards, also on failure.
 * Errors: NOT_FOUND/TXN_NOT_FOUND: it was over before. */
POLARYS_CLIENT_API bool polarys_client_txn_rollback(struct polarys_client_txn *txn,
                                                    struct polarys_client_error *err);

/* Adds the operations of an atomic batch to the transaction. The batch, of the same client, is empty
 * afterwards when it returns true. Errors: as polarys_client_batch_commit. */
POLARYS_CLIENT_API bool polarys_client_txn_apply(struct polarys_client_txn *txn,
                                                 struct polarys_client_batch *batch,
                                                 struct polarys_client_error *err);

enum polarys_client_txn_state {
    POLARYS_CLIENT_TXN_STATE_UNKNOWN,
    POLARYS_CLIENT_TXN_ACTIVE,
    POLARYS_CLIENT_TXN_COMMITTING,
    POLARYS_CLIENT_TXN_COMMITTED,
    POLARYS_CLIENT_TXN_ABORTED,
};

/* How far a transaction is. Of one that is over only state and commit_version are sure to be there. */
struct polarys_client_txn_status {
    enum polarys_client_txn_state state;
    enum polarys_client_isolation isolation;
    enum polarys_client_txn_mode mode;
    uint64_t read_version;   /* 0: none of its own */
    uint64_t commit_version; /* COMMITTED */
    uint64_t age_ms;
    uint64_t idle_ms;
    uint64_t read_count;  /* keys and ranges that the commit will validate */
    uint64_t write_count; /* operations */
    uint64_t lock_count;
    uint64_t bytes;  /* of the server's memory */
    bool is_waiting; /* a call of it waits for a lock */
};

/* What became of a transaction, by its id; one that was committed is known as long as request ids are kept
 * (10 minutes). Errors: NOT_FOUND/TXN_NOT_FOUND: it was never committed. */
POLARYS_CLIENT_API bool polarys_client_txn_status_get(struct polarys_client *client,
                                                      const char *database,
                                                      const uint8_t id[POLARYS_CLIENT_TXN_ID_SIZE],
                                                      struct polarys_client_txn_status *status,
                                                      struct polarys_client_error *err);

/*
 * Begins a transaction, calls `body` in it and commits. TXN_CONFLICT and DEADLOCK, in the body or at the
 * commit, begin it anew after a pause, up to attempts_max times: `body` may be called several times and has
 * to leave nothing behind but what it wrote in `txn`. False from `body` rolls back; its `err` says why and
 * is never NULL. `body` neither ends nor closes `txn`. Errors: those of begin, body and commit.
 */
POLARYS_CLIENT_API bool polarys_client_txn_run(
    struct polarys_client *client, const struct polarys_client_txn_options *options,
    bool (*body)(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err),
    void *context, struct polarys_client_result *result, struct polarys_client_error *err);

/* ---- in one call: compare, then or else ---- */

struct polarys_client_transact;

enum polarys_client_branch {
    POLARYS_CLIENT_THEN, /* done if every comparison holds */
    POLARYS_CLIENT_ELSE,
};

enum polarys_client_operation {
    POLARYS_CLIENT_OPERATION_GET,
    POLARYS_CLIENT_OPERATION_PUT,
    POLARYS_CLIENT_OPERATION_UPDATE, /* a document that is not there is made */
    POLARYS_CLIENT_OPERATION_DELETE,
};

/* NULL: no memory. The client must outlive it. */
POLARYS_CLIENT_API struct polarys_client_transact *polarys_client_transact_create(
    struct polarys_client *client, const char *database);
/* Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_transact_destroy(struct polarys_client_transact *transact);

/* Adds a comparison: the precondition of `write`, on its table and key. False: no memory. Copies, like all
 * that follow. */
POLARYS_CLIENT_API bool polarys_client_transact_compare(struct polarys_client_transact *transact,
                                                        const struct polarys_client_write *write);
/* Adds an operation on one document: table, key, value, kind and expiry of `write` count. False: no memory. */
POLARYS_CLIENT_API bool polarys_client_transact_add(struct polarys_client_transact *transact,
                                                    enum polarys_client_branch branch,
                                                    enum polarys_client_operation operation,
                                                    const struct polarys_client_write *write);
/* Adds the deletion of a range of keys of `table`. False: no memory. */
POLARYS_CLIENT_API bool polarys_client_transact_delete_range(
    struct polarys_client_transact *transact, enum polarys_client_branch branch, const char *table,
    const struct polarys_client_range *range);

/* What one operation found. */
struct polarys_client_transact_item {
    bool is_found;     /* GET, UPDATE, DELETE: the document was there */
    bool has_document; /* GET, when found and not left out */
    /* GET: it was found, and the answer had no room for it: 3 MiB of documents, or one larger. It can be read
     * at the answer's version. */
    bool is_left_out;
    struct polarys_client_document document; /* freed with the outcome */
};
/* Free with polarys_client_transact_outcome_free. */
struct polarys_client_transact_outcome {
    bool has_succeeded; /* every comparison held: THEN was done */
    bool is_replayed;   /* the answer of an earlier attempt: what was read is not kept */
    struct polarys_client_result result;        /* version of the commit, or that was read */
    struct polarys_client_transact_item *items; /* of the branch that was done, in order */
    size_t item_count;
};
POLARYS_CLIENT_API void polarys_client_transact_outcome_free(
    struct polarys_client_transact_outcome *outcome);

/*
 * Does it, as one commit that waits for nobody; the server tries again by itself where others got in
 * between. The transact may be run again. A comparison that does not hold is no error. On failure the outcome
 * is zeroed.
 * Errors: ABORTED/TXN_CONFLICT, ALREADY_EXISTS/UNIQUE_VIOLATION, those of the operations, with metadata
 * "branch" and "operation" (counted from 0), or "compare".
 */
POLARYS_CLIENT_API bool polarys_client_transact_run(struct polarys_client_transact *transact,
                                                    enum polarys_client_durability durability,
                                                    struct polarys_client_transact_outcome *outcome,
                                                    struct polarys_client_error *err);

#ifdef __cplusplus
}
#endif

#endif
