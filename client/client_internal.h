/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the client share: the handle, one call with its retries, and small conversions
 * between its plain structs and the generated messages.
 */
#ifndef CLIENT_CLIENT_INTERNAL_H
#define CLIENT_CLIENT_INTERNAL_H

#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <string.h>

#include "client/error.h"
#include "client/polarys.h"
#include "client/route.h"
#include "client/transport.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "polarys/v1/common.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CLIENT_TOKEN_BYTES_MAX = 128 }; /* what a server's token may have */

/* The newest state that this client knows of. */
struct client_session {
    uint64_t term;
    uint64_t version;
    size_t token_size; /* 0: nothing was seen yet */
    uint8_t token[CLIENT_TOKEN_BYTES_MAX];
};

struct polarys_client {
    /* Immutable after open. */
    struct polarys_client_options options; /* strings owned */

    pthread_mutex_t mutex;   /* never held while a server is asked */
    pthread_cond_t searched; /* a search for the primary has ended */
    /* Guarded by mutex. */
    struct polarys_client_limits limits;
    bool has_limits;
    struct client_session session;
    struct client_route route;
};

/* An open transaction. */
struct polarys_client_txn {
    /* Immutable after begin. */
    struct polarys_client *client;
    char *database;
    uint64_t version;
    uint8_t id[16];
    /* Set by the thread that ends it. */
    bool is_over;
};

enum {
    /* Every server takes a request of so many bytes, whatever its settings. */
    CLIENT_REQUEST_BYTES_SURE = 4 << 20,
    CLIENT_DELAY_MS_MAX = 5000, /* between two attempts, whatever the server asks for */
};

struct client_consistency;

/* One call on the wire: a message out, a message of another kind back. */
struct client_call {
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
    enum client_repeat repeat;
    /* Of a read whose request points into it: says where it may go. NULL: to the primary. */
    struct client_consistency *consistency;
};

/* Makes the call, with retries until the client's timeout. The response is freed with
 * protobuf_c_message_free_unpacked(response, NULL); NULL fills `err`. */
ProtobufCMessage *client_invoke(struct polarys_client *client, const struct client_call *call,
                                struct polarys_client_error *err);

/* A call of encoded messages: where it may go and how often. */
struct client_errand {
    struct transport_request request; /* its deadline is set by each attempt */
    enum client_repeat repeat;
    enum client_place place;
};
/* The same on encoded messages. `*node` is who answered. */
bool client_invoke_bytes(struct polarys_client *client, const struct client_errand *errand,
                         struct transport_message *response, uint32_t *node,
                         struct polarys_client_error *err);

/* False with TOO_LARGE for a message that the server's transport would refuse without a word. Asks the
 * server for its limits if need be. */
bool client_request_check(struct polarys_client *client, size_t request_size,
                          struct polarys_client_error *err);

/* True when `err` may be answered by another attempt; *delay_ms is how long to wait before it. */
bool client_may_retry(const struct polarys_client *client, const struct polarys_client_error *err,
                      enum client_repeat repeat, uint32_t attempt, uint32_t *delay_ms);

/* Where no connection could be made, or time ran out without one: says in `err` (which may be NULL) that nobody
 * answers, and where, rather than that somebody is slow. `target`: of the last attempt. */
void client_error_judge_silence(const struct client_target *target,
                                struct polarys_client_error *err);
/* Says that; `cause` may be "". */
void client_error_nobody(const char *address, const char *cause, struct polarys_client_error *err);

/* ---- what this client has seen ---- */

/* Takes the header that an answer begins with (NULL: it has none): its token if it is newer, and its term. */
void client_session_note(struct polarys_client *client, uint32_t node,
                         const Polarys__V1__ResponseHeader *header);
/* The header of a decoded answer; NULL when messages of its kind have none. */
const Polarys__V1__ResponseHeader *client_header_find(const ProtobufCMessage *message);
/* Copies the newest token; returns its size, 0 when there is none. */
size_t client_session_token(struct polarys_client *client, uint8_t token[CLIENT_TOKEN_BYTES_MAX]);
/* Forgets it if it is still this one: what it stands for is no longer to be had anywhere. */
void client_session_forget(struct polarys_client *client, const void *token, size_t size);

/* The request id of a change: the caller's, a fresh one, or none. */
struct client_request_id {
    uint8_t bytes[POLARYS_CLIENT_REQUEST_ID_SIZE];
    bool is_set;
};
/* `given` (may be NULL), or a fresh one if the client's options say so. */
void client_request_id_choose(struct client_request_id *id, const struct polarys_client *client,
                              const uint8_t *given);
/* A fresh one; none when the system has no randomness. */
void client_request_id_make(struct client_request_id *id);

/* A call whose answer begins with a header and a version. */
struct client_change {
    struct client_call call; /* `repeat` is what holds without a request id */
    struct client_request_id *id;
    ProtobufCBinaryData *id_field; /* of the request: where the id goes */
};
/* Makes the change under its request id and takes the answer's version and token. REQUIRES: the response
 * type is one of those that change.c lists. */
bool client_change_invoke(struct polarys_client *client, struct client_change *change,
                          struct polarys_client_result *result, struct polarys_client_error *err);

/* Half to the whole of the delay, so that clients that failed together do not come back together. */
uint32_t client_jitter(uint32_t delay_ms);

/* Random bytes for request ids. False when the system has none. */
bool client_random(void *bytes, size_t size);

/* Encodes a message into malloc'd bytes. False: no memory. */
bool client_pack(const ProtobufCMessage *message, struct transport_message *packed);

static inline ProtobufCBinaryData client_bytes(const void *data, size_t size)
{
    ProtobufCBinaryData bytes = {size, (uint8_t *)data};
    return bytes;
}

/* NULL counts as "". */
static inline ProtobufCBinaryData client_text(const char *text)
{
    return client_bytes(text, text == NULL ? 0 : strlen(text));
}

/* The field that names the transaction of a call; `txn` may be NULL. */
ProtobufCBinaryData client_txn_field(const struct polarys_client_txn *txn);
/* The database of a call: that of its transaction, or else `database`. */
ProtobufCBinaryData client_database_field(const struct polarys_client_txn *txn,
                                          const char *database);
/* Of a read, which may be NULL. */
static inline const struct polarys_client_txn *client_read_txn(
    const struct polarys_client_read *read)
{
    return read == NULL ? NULL : read->txn;
}

/* Fills a message that the caller owns; `value` borrows. */
void client_value_fill(Polarys__V1__Value *message, enum polarys_client_value_kind kind,
                       const void *value, size_t value_size);
void client_range_fill(Polarys__V1__KeyRange *message, const struct polarys_client_range *range);
/* The messages that a read's consistency needs; they live as long as the request. */
struct client_consistency {
    Polarys__V1__Consistency message;
    Google__Protobuf__Duration staleness;
    enum client_place place; /* who may answer the read */
    bool is_session;         /* the token is the client's own */
    uint8_t token[CLIENT_TOKEN_BYTES_MAX];
};
/* NULL for STRONG, which is what an unset field means, and within a transaction. */
Polarys__V1__Consistency *client_consistency_fill(struct client_consistency *room,
                                                  struct polarys_client *client,
                                                  const struct polarys_client_read *read);
/* What the token of the client's own stands for is lost: the read is a STRONG one from now on, and the token
 * forgotten. REQUIRES: room->is_session. */
void client_consistency_reset(struct client_consistency *room, struct polarys_client *client);
/* Who may answer it; `read` may be NULL. */
enum client_place client_read_place(const struct polarys_client_read *read);
struct client_precondition {
    Polarys__V1__Precondition message;
    Polarys__V1__FieldEquals field;
};
/* NULL when the write has none. */
Polarys__V1__Precondition *client_precondition_fill(struct client_precondition *room,
                                                    const struct polarys_client_write *write);
/* NULL for 0. */
Google__Protobuf__Timestamp *client_time_fill(Google__Protobuf__Timestamp *room, uint64_t unix_ms);
uint64_t client_time_ms(const Google__Protobuf__Timestamp *time);
/* Unspecified within a transaction. */
Polarys__V1__Durability client_durability(const struct polarys_client_txn *txn,
                                          enum polarys_client_durability durability);
void client_result_fill(struct polarys_client_result *result,
                        const Polarys__V1__ResponseHeader *header, uint64_t version);
/* Borrows the document out of a message. */
void client_document_borrow(struct polarys_client_document *to, const Polarys__V1__Document *from);
/* Copies size bytes and a NUL behind them. NULL: no memory. */
void *client_copy(const void *bytes, size_t size);
/* Copies a text; NULL counts as "". */
char *client_copy_text(const char *text);
/* Copies a document out. False: no memory (and nothing is left to free). */
bool client_document_copy(struct polarys_client_document *to, const ProtobufCBinaryData *key,
                          const Polarys__V1__Value *value, uint64_t version,
                          const Google__Protobuf__Timestamp *expire_time,
                          const Google__Protobuf__Timestamp *commit_time);

#ifdef __cplusplus
}
#endif

#endif
