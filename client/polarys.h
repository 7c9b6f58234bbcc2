/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpolarys: the C client of a PolarysDB server.
 *
 *     struct polarys_client_options options;
 *     struct polarys_client_error err;
 *     struct polarys_client *client;
 *     polarys_client_options_init(&options);
 *     if (!polarys_client_open(&options, &client, &err)) { ... err.message ... }
 *     polarys_client_put(client, &put, &result, &err);
 *
 * Every call blocks until its answer, its deadline, or the last retry. Calls that may be repeated without
 * harm are retried with back-off when the server says UNAVAILABLE or the connection breaks; writes carry a
 * request id for that, so that a retry never writes twice.
 *
 * Several endpoints are the nodes of one group: writes, transactions and STRONG reads go to the primary, other
 * reads where options.read_policy says, and every call goes on elsewhere, within its deadline, when the primary
 * has moved or a node cannot serve it (docs/client-c.md).
 *
 * A request that the server's transport would refuse for its size is refused here, as
 * INVALID_ARGUMENT/TOO_LARGE with the metadata `limit` and `size`: the server could not say so.
 *
 * Threads: a client may be used from any number of threads at once; a batch, a scan and a bulk writer
 * belong to one thread at a time. Never fork after polarys_client_open.
 *
 * Strings are NUL-terminated UTF-8; NULL or "" as `database` means "default". Bytes are (pointer, size)
 * pairs and borrowed for the call unless a comment says otherwise.
 */
#ifndef CLIENT_POLARYS_H
#define CLIENT_POLARYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define POLARYS_CLIENT_API __attribute__((visibility("default")))
#else
#define POLARYS_CLIENT_API
#endif

enum {
    POLARYS_CLIENT_REASON_MAX = 64,
    POLARYS_CLIENT_MESSAGE_MAX = 1024,
    POLARYS_CLIENT_METADATA_MAX = 8,
    POLARYS_CLIENT_REQUEST_ID_SIZE = 16,
};

/* The gRPC status codes (numbers as on the wire). Every function that can fail returns false then and fills
 * `err`, which may be NULL. */
enum polarys_client_status {
    POLARYS_CLIENT_OK = 0,
    POLARYS_CLIENT_CANCELLED = 1,
    POLARYS_CLIENT_UNKNOWN = 2,
    POLARYS_CLIENT_INVALID_ARGUMENT = 3,
    POLARYS_CLIENT_DEADLINE_EXCEEDED = 4,
    POLARYS_CLIENT_NOT_FOUND = 5,
    POLARYS_CLIENT_ALREADY_EXISTS = 6,
    POLARYS_CLIENT_PERMISSION_DENIED = 7,
    POLARYS_CLIENT_RESOURCE_EXHAUSTED = 8,
    POLARYS_CLIENT_FAILED_PRECONDITION = 9,
    POLARYS_CLIENT_ABORTED = 10,
    POLARYS_CLIENT_OUT_OF_RANGE = 11,
    POLARYS_CLIENT_UNIMPLEMENTED = 12,
    POLARYS_CLIENT_INTERNAL = 13,
    POLARYS_CLIENT_UNAVAILABLE = 14,
    POLARYS_CLIENT_DATA_LOSS = 15,
    POLARYS_CLIENT_UNAUTHENTICATED = 16,
};

struct polarys_client_metadata {
    char name[32];
    char value[256];
};

/* What went wrong: the status, and what the server's error details say. Plain data, no ownership. */
struct polarys_client_error {
    enum polarys_client_status status;
    char reason[POLARYS_CLIENT_REASON_MAX]; /* "KEY_NOT_FOUND"; "" when the transport failed */
    char message[POLARYS_CLIENT_MESSAGE_MAX];
    uint32_t retry_after_ms; /* 0: not given */
    uint32_t metadata_count;
    struct polarys_client_metadata metadata[POLARYS_CLIENT_METADATA_MAX];
    uint32_t attempts; /* calls made, retries included */
};

/* The value of a metadata entry ("limit", "offset", "version", ...), or NULL. */
POLARYS_CLIENT_API const char *polarys_client_error_metadata(const struct polarys_client_error *err,
                                                             const char *name);
/* "NOT_FOUND" for POLARYS_CLIENT_NOT_FOUND. Static storage. */
POLARYS_CLIENT_API const char *polarys_client_status_name(enum polarys_client_status status);

struct polarys_client;

/* Which node answers reads that any node may answer: those with another consistency than STRONG, outside of
 * transactions. Everything else goes to the primary. */
enum polarys_client_read_policy {
    POLARYS_CLIENT_READ_PRIMARY,
    POLARYS_CLIENT_READ_REPLICA_PREFERRED, /* the replicas in turn, or else the primary */
    POLARYS_CLIENT_READ_NEAREST,           /* whichever node answers soonest, the primary too */
};

enum {
    POLARYS_CLIENT_ENDPOINTS_MAX = 16, /* in one list */
    POLARYS_CLIENT_NODES_MAX = 32,     /* listed or told of by a server */
};

/* Set by polarys_client_options_init. Strings are copied by open. */
struct polarys_client_options {
    /* HOST:PORT or "unix:/path"; NULL: "127.0.0.1:7480". Several with commas between are the nodes of one
     * group, in any order: the client finds out which is the primary, and follows it when that changes. */
    const char *endpoint;
    uint32_t timeout_ms;         /* of one call, retries included: 10,000; 0: none */
    uint32_t connect_timeout_ms; /* of one attempt to connect: 5,000 */
    uint32_t retries_max;        /* after the first attempt: 3 */
    uint32_t retry_delay_ms;     /* first back-off, doubled with jitter each time: 100 */
    uint32_t message_bytes_max;  /* receive limit: 20 MiB */
    bool is_channel_private;     /* a connection of its own instead of a shared one */
    /* Writes without a request id of the caller's get one, so that a retry after a lost answer never
     * writes twice: true. Without, blind puts and deletes are retried as they are. */
    bool makes_request_ids;
    enum polarys_client_read_policy read_policy;
    /* Calls go to the endpoint, whatever it is, and NOT_PRIMARY comes back as an error: for work on one node.
     * REQUIRES: one endpoint. Otherwise the client goes to the primary that the answer names. */
    bool is_pinned;
    /* Asked before a node that is not listed, but named by a server as the primary, is used. NULL: any is. May
     * be called from any thread that makes calls. */
    bool (*accepts_endpoint)(const char *endpoint);
};

POLARYS_CLIENT_API void polarys_client_options_init(struct polarys_client_options *options);

/* Connects lazily: that nobody is there shows on the first call. False fills `err`; *out is then NULL.
 * Errors: INVALID_ARGUMENT/BAD_ARGUMENT: the endpoint has no such form. */
POLARYS_CLIENT_API bool polarys_client_open(const struct polarys_client_options *options,
                                            struct polarys_client **out,
                                            struct polarys_client_error *err);
/* REQUIRES: nothing of it in use. Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_close(struct polarys_client *client);

/* Waits until a server answers its health check (SERVING), for at most timeout_ms: the primary if it is known, else
 * the listed ones in turn. Errors: UNAVAILABLE when nobody answered or who did was not serving. */
POLARYS_CLIENT_API bool polarys_client_wait_ready(struct polarys_client *client,
                                                  uint32_t timeout_ms,
                                                  struct polarys_client_error *err);

/* ---- single documents ---- */

enum polarys_client_value_kind {
    POLARYS_CLIENT_JSON,
    POLARYS_CLIENT_RAW,
};

enum polarys_client_durability {
    POLARYS_CLIENT_DURABILITY_DEFAULT,
    POLARYS_CLIENT_ASYNC,
    POLARYS_CLIENT_LOCAL_SYNC,
    POLARYS_CLIENT_QUORUM,
    POLARYS_CLIENT_QUORUM_APPLIED,
};

enum polarys_client_precondition {
    POLARYS_CLIENT_NO_PRECONDITION,
    POLARYS_CLIENT_MUST_EXIST,
    POLARYS_CLIENT_MUST_NOT_EXIST,
    POLARYS_CLIENT_VERSION_EQUALS,
    POLARYS_CLIENT_FIELD_EQUALS,
};

enum polarys_client_consistency {
    POLARYS_CLIENT_STRONG,
    POLARYS_CLIENT_STABLE,
    POLARYS_CLIENT_AT_LEAST,      /* token */
    POLARYS_CLIENT_SNAPSHOT,      /* version */
    POLARYS_CLIENT_MAX_STALENESS, /* staleness_ms */
    POLARYS_CLIENT_LOCAL,
    /* No older than anything that this client has read or written before, on whichever node: AT_LEAST with
     * the newest token that it was given. After a failover that lost what the token stands for: STRONG. */
    POLARYS_CLIENT_SESSION,
};

struct polarys_client_txn; /* client/polarys_txn.h */

/* Zero-initialise: STRONG. */
struct polarys_client_read {
    enum polarys_client_consistency consistency;
    const void *token;
    size_t token_size;
    uint64_t version;
    uint64_t staleness_ms;
    /* Reads within this transaction, as it sees things; nothing above counts then. */
    struct polarys_client_txn *txn;
    bool is_for_update; /* within a transaction, of a single document: it will be written */
};

/* Zero-initialise. */
struct polarys_client_write {
    const char *database;
    const char *table;
    const void *key;
    size_t key_size;
    enum polarys_client_value_kind kind;
    const void *value; /* put: the value; update: the JSON merge patch; delete: unused */
    size_t value_size;
    uint64_t expires_at_ms; /* Unix time; 0: never */
    enum polarys_client_durability durability;
    enum polarys_client_precondition precondition;
    uint64_t precondition_version;
    const char *precondition_field; /* FIELD_EQUALS: path */
    const char *precondition_json;  /* FIELD_EQUALS: value */
    bool has_request_id;            /* false: the client makes one up */
    uint8_t request_id[POLARYS_CLIENT_REQUEST_ID_SIZE];
    /* Writes within this transaction: takes effect with its commit. Neither database, durability nor
     * request id count then. */
    struct polarys_client_txn *txn;
};

/* What a write did. */
struct polarys_client_result {
    uint64_t version;  /* of the commit; 0 within a transaction */
    uint8_t token[64]; /* read-your-writes: pass to polarys_client_read */
    size_t token_size;
};

/* A document that the client owns; free with polarys_client_document_free. */
struct polarys_client_document {
    uint8_t *key;
    size_t key_size;
    enum polarys_client_value_kind kind;
    uint8_t *value; /* followed by a NUL that value_size does not count */
    size_t value_size;
    uint64_t version;
    uint64_t expires_at_ms;
    uint64_t commit_time_ms;
};
POLARYS_CLIENT_API void polarys_client_document_free(struct polarys_client_document *document);

/* Writes a whole document. `result` may be NULL, here and below. */
POLARYS_CLIENT_API bool polarys_client_put(struct polarys_client *client,
                                           const struct polarys_client_write *write,
                                           struct polarys_client_result *result,
                                           struct polarys_client_error *err);
/* Merges a JSON merge patch (RFC 7386) into a document that is there. */
POLARYS_CLIENT_API bool polarys_client_update(struct polarys_client *client,
                                              const struct polarys_client_write *write,
                                              struct polarys_client_result *result,
                                              struct polarys_client_error *err);
/* A key that is not there is no error, unless a precondition says so. */
POLARYS_CLIENT_API bool polarys_client_delete(struct polarys_client *client,
                                              const struct polarys_client_write *write,
                                              struct polarys_client_result *result,
                                              struct polarys_client_error *err);

/* Which document. Zero-initialise. */
struct polarys_client_key {
    const char *database;
    const char *table;
    const void *key;
    size_t key_size;
};
/* KEY_NOT_FOUND is an error like any other (status NOT_FOUND). `read` may be NULL: STRONG. The document is
 * zeroed on failure. */
POLARYS_CLIENT_API bool polarys_client_get(struct polarys_client *client,
                                           const struct polarys_client_key *key,
                                           const struct polarys_client_read *read,
                                           struct polarys_client_document *document,
                                           struct polarys_client_error *err);

/* Keys in [start, end) that begin with `prefix`; an empty end: to the end of the table. All empty: every
 * key. Zero-initialise. */
struct polarys_client_range {
    const void *start;
    size_t start_size;
    const void *end;
    size_t end_size;
    const void *prefix;
    size_t prefix_size;
};

/* Zero-initialise. */
struct polarys_client_range_write {
    const char *database;
    const char *table;
    struct polarys_client_range range;
    enum polarys_client_durability durability;
    bool has_request_id; /* false: the client makes one up */
    uint8_t request_id[POLARYS_CLIENT_REQUEST_ID_SIZE];
    struct polarys_client_txn *txn; /* as of polarys_client_write */
};
/* Deletes every document of a range in one commit, however many there are. */
POLARYS_CLIENT_API bool polarys_client_delete_range(struct polarys_client *client,
                                                    const struct polarys_client_range_write *write,
                                                    struct polarys_client_result *result,
                                                    struct polarys_client_error *err);

/* ---- atomic batches ---- */

struct polarys_client_batch;
/* NULL: no memory. The client must outlive it. */
POLARYS_CLIENT_API struct polarys_client_batch *polarys_client_batch_create(
    struct polarys_client *client, const char *database);
/* Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_batch_destroy(struct polarys_client_batch *batch);
/* Copies what it is given; only table, key, value, kind, expiry and precondition of `write` count. False:
 * no memory. */
POLARYS_CLIENT_API bool polarys_client_batch_put(struct polarys_client_batch *batch,
                                                 const struct polarys_client_write *write);
POLARYS_CLIENT_API bool polarys_client_batch_delete(struct polarys_client_batch *batch,
                                                    const struct polarys_client_write *write);
/* Commits, all or nothing; the batch is empty afterwards when it returns true. */
POLARYS_CLIENT_API bool polarys_client_batch_commit(struct polarys_client_batch *batch,
                                                    enum polarys_client_durability durability,
                                                    struct polarys_client_result *result,
                                                    struct polarys_client_error *err);

/* ---- scans ---- */

/* Zero-initialise. */
struct polarys_client_scan_options {
    const char *database;
    const char *table;
    struct polarys_client_range range;
    bool is_reverse;
    bool is_keys_only;
    uint64_t limit; /* 0: none */
    struct polarys_client_read read;
    uint32_t
        reconnect_ms; /* keeps trying a vanished server for so long; 0: as the client's calls do */
};

struct polarys_client_scan;
/* The scan reads one version from beginning to end and resumes by itself after a broken connection. What
 * is wrong with the request shows on the first next. Copies what `options` points to. */
POLARYS_CLIENT_API bool polarys_client_scan_open(struct polarys_client *client,
                                                 const struct polarys_client_scan_options *options,
                                                 struct polarys_client_scan **out,
                                                 struct polarys_client_error *err);
/* True with *has_document false is the end. `document` borrows from the scan until its next call: not to
 * be freed. After false only close is left. */
POLARYS_CLIENT_API bool polarys_client_scan_next(struct polarys_client_scan *scan,
                                                 bool *has_document,
                                                 struct polarys_client_document *document,
                                                 struct polarys_client_error *err);
/* The version that is read; 0 before the first document. */
POLARYS_CLIENT_API uint64_t polarys_client_scan_version(const struct polarys_client_scan *scan);
/* Ends it early if need be. Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_scan_close(struct polarys_client_scan *scan);

/* ---- bulk writing: pipelined, resumable ---- */

/* Zero-initialise. */
struct polarys_client_bulk_options {
    const char *database;
    const char *table;
    enum polarys_client_durability durability;
    uint32_t batch_records_max; /* 0: 500 */
    uint32_t batch_bytes_max;   /* 0: 256 KiB; at most 1 MiB */
    uint32_t reconnect_ms;      /* the longest without progress before it gives up: 0: 10,000 */
    /* Called from put, flush and close with the number of records durable so far. May be NULL. */
    void (*progress)(void *context, uint64_t records_acked, uint64_t bytes_acked);
    void *context;
};

/* A record to write. Zero-initialise. */
struct polarys_client_record {
    const void *key;
    size_t key_size;
    enum polarys_client_value_kind kind;
    const void *value;
    size_t value_size;
    uint64_t expires_at_ms; /* Unix time; 0: never */
};

struct polarys_client_bulk;
/*
 * Connects with the first full batch. A session that breaks is resumed behind the last batch that the
 * server has; a server that has forgotten the session gets the batches that it never acknowledged once
 * more, which leaves the same documents.
 */
POLARYS_CLIENT_API bool polarys_client_bulk_open(struct polarys_client *client,
                                                 const struct polarys_client_bulk_options *options,
                                                 struct polarys_client_bulk **out,
                                                 struct polarys_client_error *err);
/* Queues one record (copied); blocks while the server's window is full. An error is about some earlier
 * batch and ends the writer: only close is left. */
POLARYS_CLIENT_API bool polarys_client_bulk_put(struct polarys_client_bulk *bulk,
                                                const struct polarys_client_record *record,
                                                struct polarys_client_error *err);
/* Queues the deletion of a key, whether it is there or not. */
POLARYS_CLIENT_API bool polarys_client_bulk_delete(struct polarys_client_bulk *bulk,
                                                   const void *key, size_t key_size,
                                                   struct polarys_client_error *err);
/* Waits until every record so far is acknowledged. */
POLARYS_CLIENT_API bool polarys_client_bulk_flush(struct polarys_client_bulk *bulk,
                                                  struct polarys_client_error *err);
/* Records acknowledged so far. */
POLARYS_CLIENT_API uint64_t polarys_client_bulk_acked(const struct polarys_client_bulk *bulk);
/* Flushes and frees, on failure too. */
POLARYS_CLIENT_API bool polarys_client_bulk_close(struct polarys_client_bulk *bulk,
                                                  struct polarys_client_error *err);

/* ---- tables ---- */

struct polarys_client_table {
    char database[129];
    char table[129];
    uint64_t created_version;
    uint64_t created_time_ms;
};

/* Errors: ALREADY_EXISTS/TABLE_EXISTS, NOT_FOUND/DATABASE_NOT_FOUND. */
POLARYS_CLIENT_API bool polarys_client_table_create(struct polarys_client *client,
                                                    const char *database, const char *table,
                                                    struct polarys_client_result *result,
                                                    struct polarys_client_error *err);
/* Drops the table with its documents. */
POLARYS_CLIENT_API bool polarys_client_table_drop(struct polarys_client *client,
                                                  const char *database, const char *table,
                                                  struct polarys_client_result *result,
                                                  struct polarys_client_error *err);
/* Deletes every document in one commit; the table stays. */
POLARYS_CLIENT_API bool polarys_client_table_truncate(struct polarys_client *client,
                                                      const char *database, const char *table,
                                                      struct polarys_client_result *result,
                                                      struct polarys_client_error *err);
POLARYS_CLIENT_API bool polarys_client_table_get(struct polarys_client *client,
                                                 const char *database, const char *table,
                                                 struct polarys_client_table *info,
                                                 struct polarys_client_error *err);
/* By name; `each` returns false to stop. */
POLARYS_CLIENT_API bool polarys_client_table_list(
    struct polarys_client *client, const char *database,
    bool (*each)(void *context, const struct polarys_client_table *info), void *context,
    struct polarys_client_error *err);
POLARYS_CLIENT_API bool polarys_client_database_create(struct polarys_client *client,
                                                       const char *database,
                                                       struct polarys_client_result *result,
                                                       struct polarys_client_error *err);
/* Drops the database with its tables; "default" cannot be dropped. */
POLARYS_CLIENT_API bool polarys_client_database_drop(struct polarys_client *client,
                                                     const char *database,
                                                     struct polarys_client_result *result,
                                                     struct polarys_client_error *err);
POLARYS_CLIENT_API bool polarys_client_database_list(
    struct polarys_client *client,
    bool (*each)(void *context, const char *database, uint64_t created_version), void *context,
    struct polarys_client_error *err);
/* How many documents the table has, exactly. `read` may be NULL: STRONG. */
POLARYS_CLIENT_API bool polarys_client_count(struct polarys_client *client, const char *database,
                                             const char *table,
                                             const struct polarys_client_read *read,
                                             uint64_t *count, struct polarys_client_error *err);

/* ---- any RPC ---- */

/* A unary call with an encoded request message. Zero-initialise. */
struct polarys_client_rpc {
    const char *method; /* "/polarys.v1.AdminService/GetStatus" */
    const void *request;
    size_t request_size;
    bool
        is_repeatable; /* retried like a read; otherwise only when the server says it did nothing */
    bool is_any_node;  /* goes where options.read_policy says; otherwise to the primary */
};

/*
 * Makes the call, for the RPCs that have no function of their own here. The encoded response is malloc'd
 * into *response (free it with free), NULL on failure.
 */
POLARYS_CLIENT_API bool polarys_client_call(struct polarys_client *client,
                                            const struct polarys_client_rpc *rpc,
                                            uint8_t **response, size_t *response_size,
                                            struct polarys_client_error *err);

/* What the server publishes in GetServerInfo and a writer has to keep to. */
struct polarys_client_limits {
    uint64_t value_bytes_max;
    uint64_t request_bytes_max; /* of one message */
};

/* Asks the server once and remembers its answer. */
POLARYS_CLIENT_API bool polarys_client_limits_get(struct polarys_client *client,
                                                  struct polarys_client_limits *limits,
                                                  struct polarys_client_error *err);

/* "0.1.0". Static storage. */
POLARYS_CLIENT_API const char *polarys_client_version_text(void);

#ifdef __cplusplus
}
#endif

#endif
