/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream of BulkService.Write: what has arrived, what is being committed, what is to be said.
 * All of it belongs to the call's worker but the result of the commit under way, which whoever
 * finished it leaves before it posts.
 */
#ifndef SERVICE_RPC_BULK_STREAM_H
#define SERVICE_RPC_BULK_STREAM_H

#include "polarys/v1/bulk.pb-c.h"
#include "service/rpc/bulk_session.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BULK_QUEUE_MAX = 256,  /* batches received and not begun */
    BULK_ANSWERS_MAX = 64, /* answers that wait for the quorum, or for the transport to take them */
};

enum bulk_phase {
    BULK_EXPECTS_OPEN,
    BULK_OPENING, /* on an executor thread, or waiting for the session */
    BULK_RUNS,
    BULK_CLOSES, /* the client sent `close`, or its last message */
    BULK_FAILED, /* ends with call->error as soon as nothing is under way */
};

struct bulk_stream {
    struct call *call;
    struct bulk_session *session; /* NULL until open */
    enum bulk_phase phase;
    bool has_said_close; /* `closed` is owed */
    bool has_input_ended;
    bool is_reading;
    bool is_sending;

    /* Opening. */
    uint8_t wanted_id[BULK_SESSION_ID_SIZE];
    bool has_wanted_id;
    bool is_opening_blocked; /* on the executor now */
    int is_opened;           /* atomic: the executor has left open_code and record */
    uint64_t last_acked_number;
    enum polarys_code open_code;
    struct bulk_record record;

    /* Encoded messages, oldest first. */
    grpc_byte_buffer *queue[BULK_QUEUE_MAX];
    size_t queue_first;
    size_t queue_count;
    size_t queue_bytes;

    /* The commit under way. */
    bool is_committing;
    uint64_t number; /* of it, or of the last */
    int is_done;     /* atomic: what follows is set */
    enum polarys_code code;
    uint64_t version;
    struct polarys_error commit_error;

    uint64_t last_number; /* committed */
    uint64_t last_version;

    grpc_slice answers[BULK_ANSWERS_MAX];       /* oldest first */
    uint64_t answer_versions[BULK_ANSWERS_MAX]; /* the quorum has to have it first; 0: none */
    size_t answer_first;
    size_t answer_count;
};

/* Encoded WriteResponse. */
grpc_slice bulk_answer_opened(const struct bulk_stream *stream);
grpc_slice bulk_answer_committed(uint64_t number, uint64_t version);
grpc_slice bulk_answer_refused(uint64_t number, const struct polarys_error *err);
grpc_slice bulk_answer_closed(const struct bulk_stream *stream);

/* Does all that can be done now. */
void bulk_pump(struct bulk_stream *stream);
/* Begins to open; the first message, in the call's arena. */
void bulk_open_begin(struct bulk_stream *stream, const Polarys__V1__WriteOpen *open);
/* Goes on to open after the executor or a wait. */
void bulk_open_continue(struct bulk_stream *stream);
/* Handles one batch that was unpacked into the call's arena. */
void bulk_batch_take(struct bulk_stream *stream, const Polarys__V1__WriteBatch *batch);
/* The stream will end with `err`. */
void bulk_fail(struct bulk_stream *stream, enum polarys_code code);
/* Answers go out in order; with `version` not 0 this one, where the stream's durability is that of a quorum, when the
 * quorum has the version. */
void bulk_answer_add(struct bulk_stream *stream, grpc_slice take_answer, uint64_t version);

#ifdef __cplusplus
}
#endif

#endif
