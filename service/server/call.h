/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call on the server: what arrived, what it works with, and how it is answered.
 *
 * A call belongs to one thread at a time. The worker that took it hands it to the executor or to
 * the log by calling call_execute or call_submit, and does not look at it again; whoever holds it
 * answers, which hands it back to the worker. A stream stays on its worker always: others only post
 * to it (call_post).
 *
 * Calls are pooled: the arena, the batch and the struct itself serve the next call.
 */
#ifndef SERVICE_SERVER_CALL_H
#define SERVICE_SERVER_CALL_H

#include <grpc/grpc.h>

#include "engine/engine.h"
#include "engine/engine_txn.h"
#include "service/proto/arena.h"
#include "service/replication/group.h"
#include "service/rpc/method.h"

#ifdef __cplusplus
extern "C" {
#endif

struct worker;
struct server;
struct call;

/* Whom a write waits for beside this node. */
enum call_quorum { CALL_QUORUM_NONE, CALL_QUORUM_DURABLE, CALL_QUORUM_APPLIED };

/* A tag of the completion queue. */
struct call_event {
    void (*fire)(struct call *call, bool is_ok);
    struct call *call;
};

struct call {
    /* Immutable while the call lives. */
    struct worker *worker;
    struct server *server;
    const struct method *method; /* NULL: no such method */
    grpc_call *handle;
    uint64_t id; /* for log lines */
    uint64_t start_ns;
    uint64_t end_ns; /* when 90 % of the time left have passed; 0: no deadline */

    /* What arrived. */
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_call_details details; /* of unknown methods only */
    grpc_byte_buffer *payload;
    void *request; /* unpacked, in the arena; NULL on streams of requests */

    /* Filled by the dispatcher from the request's common fields. */
    char database[POLARYS_NAME_BYTES_MAX + 1]; /* "" for default */
    char table[POLARYS_NAME_BYTES_MAX + 1];
    uint64_t read_version;     /* for polarys_read_options */
    uint64_t at_least_version; /* wait until it is readable; 0: none */
    uint64_t primary_ticket; /* of a question to the primary, whose answer is waited for; 0: none */
    bool is_token_foreign;   /* at_least is of a history that this follower may still come to */
    bool is_stable_awaited;  /* what a quorum holds is not known yet */
    struct polarys_write_options write_options;
    enum call_quorum quorum;
    uint64_t commit_version;    /* of the write, for the quorum; 0: not known */
    grpc_slice held;            /* the answer, when is_held */
    bool is_held;               /* until the quorum has it */
    struct group_waiter waiter; /* for the quorum */
    bool is_waiting_quorum;     /* of the worker: on_quorum is still to come */
    const char *field_hint;     /* the field that an error of the engine is about; may be NULL */
    struct polarys_slice key;   /* for messages; may be empty */
    const char *part;           /* the same: an index or a transaction's id; may be NULL */

    /* The transaction that it is part of. Filled by the dispatcher, but where the method does it. */
    struct polarys_txn *txn; /* NULL: none; a reference, given back when the call is pooled */
    uint8_t txn_id[POLARYS_TXN_ID_SIZE];
    bool has_txn_id;
    bool is_txn_locking; /* pessimistic */
    bool is_txn_serializable;
    void *txn_step; /* of txn_call.c */

    /* What it works with. */
    struct proto_arena arena;
    struct polarys_batch *batch; /* NULL until first used */
    struct polarys_error error;
    void *state; /* the handler's; freed by its own `released` */
    void (*released)(
        struct call *call); /* called on the worker before the call is pooled; may be NULL */
    void (*tick)(struct call *call, uint64_t now_ns); /* streams: about every 100 ms; may be NULL */
    void (*resume)(struct call *call);                /* of call_wait */

    /* How it is answered. */
    struct call_event on_request;
    struct call_event on_close;
    struct call_event on_read;
    struct call_event on_write;
    struct call_event on_finish;
    struct call_event on_post;
    struct call_event on_quorum;
    grpc_byte_buffer *received; /* by call_receive */
    grpc_slice status_text;
    grpc_slice status_details;
    grpc_metadata trailing[1];
    grpc_status_code status;
    int close_flag; /* of RECV_CLOSE: not 0 when the client gave up */
    bool has_sent_headers;
    bool has_close_watch; /* RECV_CLOSE was started early */
    bool is_finishing;    /* the status is on its way */
    bool is_counted;      /* in the worker's calls under way */
    bool is_write;        /* counted among the writes that wait for the log */
    int pending;          /* tags that have not come back; atomic */
    int is_cancelled;     /* atomic */
    int is_posted;        /* atomic: on_post is in the queue already */

    /* Lists of the worker. */
    struct call *next; /* pool, or calls that wait */
    struct call *stream_next;
    struct call *stream_previous;
    bool is_stream_listed;
};

/* NULL when there is no memory. `server` outlives the call. */
struct call *call_create(struct worker *worker);
/* REQUIRES: no tag outstanding. */
void call_destroy(struct call *call);

/* ---- answering a unary call; also how a stream ends ---- */

/* Sends `take_message` and status OK, for call->quorum when enough have the write. The caller does not touch the call
 * afterwards. */
void call_reply(struct call *call, grpc_slice take_message);
/* Ends the call with the status that `err` maps to, with details. As above. */
void call_fail(struct call *call, const struct polarys_error *err);
/* The same with call->error, and with a code checked against it. */
void call_fail_own(struct call *call, enum polarys_code code);
/* Ends with a bare status, for the standard services. `text`: static storage. */
void call_fail_status(struct call *call, grpc_status_code status, const char *text);
/* Ends a stream with status OK. */
void call_end(struct call *call);

/* True when the client gave up, as far as is known (call_watch_close). Any thread. */
bool call_is_cancelled(const struct call *call);
/* True when the call's own deadline (90 % of the time left) has passed. */
bool call_is_late(const struct call *call);

/* ---- streams: on the worker only ---- */

/* Learns of the client giving up: on_close.fire is called once, at the latest when the call
 * ends. */
void call_watch_close(struct call *call, void (*fire)(struct call *call, bool is_ok));
/* Sends one message; one at a time. `fire` when the transport has taken it. */
void call_send(struct call *call, grpc_slice take_message, bool has_more,
               void (*fire)(struct call *call, bool is_ok));
/* Receives one message into call->received, NULL at the end; one at a time. */
void call_receive(struct call *call, void (*fire)(struct call *call, bool is_ok));
/* Any thread: makes `fire` run on the worker soon. Posts that overlap become one. */
void call_post(struct call *call);
/* What call_post runs. */
void call_post_handler_set(struct call *call, void (*fire)(struct call *call, bool is_ok));

/* ---- handing over ---- */

/*
 * Runs `function` with the call on an executor thread. It answers the call or posts. When the
 * executor refuses, the call is failed here.
 */
void call_execute(struct call *call, void (*function)(void *call));

/*
 * On the worker: calls `resume` there after a short while, and again by each call of this. Who
 * waits looks at call_is_late and call_is_cancelled itself. The call is failed here when too many
 * wait.
 */
void call_wait(struct call *call, void (*resume)(struct call *call));

/*
 * The payload's bytes, borrowed while the payload lives or until the arena is reset. Errors:
 * BAD_MESSAGE, MEMORY_LIMIT.
 */
NODISCARD enum polarys_code call_bytes_get(struct call *call, grpc_byte_buffer *buffer,
                                           struct polarys_slice *bytes, struct polarys_error *err);

/* call->batch, empty and bound to call->database. Errors: as polarys_batch_reset; NO_MEMORY. */
NODISCARD enum polarys_code call_batch_begin(struct call *call, struct polarys_error *err);
/* Counts a write that will wait for the log; whoever submits does this first. False when too many
 * wait: the call was failed with WRITE_STALL. */
bool call_submit_begin(struct call *call);
/* Submits call->batch; `done` gets the call. Refuses with WRITE_STALL when too many wait. */
void call_submit(struct call *call, void (*done)(void *call, enum polarys_code code,
                                                 const struct polarys_write_result *result,
                                                 const struct polarys_error *err));
/* `done` of calls whose answer is the header and the version. */
void call_submit_done(void *call, enum polarys_code code, const struct polarys_write_result *result,
                      const struct polarys_error *err);

/* call_quorum.c, for call_reply: true when the answer is held and will be sent or dropped. */
bool call_quorum_hold(struct call *call, grpc_slice take_message);
/* Forgets it; before the call is pooled. */
void call_quorum_release(struct call *call);
/* On the worker: with GROUP_WAITS `fire` runs there once, when the quorum that call->quorum names has `version`; the call
 * stays alive until then, or until it is cancelled. REQUIRES: it does not wait already. */
enum group_wait_state call_quorum_wait(struct call *call, uint64_t version,
                                       void (*fire)(struct call *call, bool is_ok));
/* On the worker: waits no longer; `fire` may come all the same when it was on its way. */
void call_quorum_cancel(struct call *call);
/* Any thread: puts the tag of an event, which `pending` counts already, into the worker's queue. */
void call_event_post(struct call *call, struct call_event *event);

/* Of the queue: `pending` counts tags that have not come back. For the worker. */
void call_event_done(struct call *call);

#ifdef __cplusplus
}
#endif

#endif
