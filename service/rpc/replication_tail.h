/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream of ReplicationService.TailLog. All of it belongs to the call's worker but what is under "work", which
 * belongs to the executor thread between tail_work_begin and its post.
 */
#ifndef SERVICE_RPC_REPLICATION_TAIL_H
#define SERVICE_RPC_REPLICATION_TAIL_H

#include "service/replication/group.h"
#include "service/rpc/replication_message.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tail_phase {
    TAIL_EXPECTS_START,
    TAIL_OPENS, /* on an executor thread */
    TAIL_RUNS,
    TAIL_FAILED, /* ends with call->error as soon as nothing is under way */
};

struct tail_commits; /* replication_commits.c */

struct tail_stream {
    struct call *call;
    enum tail_phase phase;
    bool has_input_ended;
    bool is_reading;
    bool is_sending;
    bool is_waiting;  /* the log says when there is more */
    int is_woken;     /* atomic: it has */
    uint64_t sent_ns; /* when the last message was begun */
    uint64_t heartbeat_ns;

    /* What was asked for. */
    struct replication_peer peer;
    char slot_name[POLARYS_NAME_BYTES_MAX + 1]; /* empty: none */
    bool is_decoded;
    uint64_t from_version;

    /* Work. */
    struct polarys_log_reader *reader;
    struct polarys_slot *slot;
    struct tail_commits *commits; /* decoded */
    struct tail_message message;
    enum polarys_code code;
    struct polarys_error error;
    bool is_armed; /* it ended waiting for the log */
    bool is_working;
    int is_done; /* atomic: what is above is set */

    struct group_tail *tail;
    struct polarys_log_position sent; /* behind what is in messages */
};

/* ---- replication_tail_work.c: on executor threads ---- */

/* Opens, or fills the next message and where there is nothing waits for the log; posts to the call when done. */
void tail_work_begin(struct tail_stream *stream);
/* Closes what was opened. REQUIRES: no work under way. On the worker. */
void tail_work_close(struct tail_stream *stream);
/* The end of a message that is sent now. */
void tail_end_make(const struct tail_stream *stream, struct tail_end *end);

/* ---- replication_commits.c: decoded tails ---- */

NODISCARD enum polarys_code tail_commits_open(struct tail_stream *stream,
                                              struct polarys_error *err);
void tail_commits_close(struct tail_commits *commits);
/* Fills the message; *is_at_end when the durable end is reached. */
NODISCARD enum polarys_code tail_commits_fill(struct tail_stream *stream, bool *is_at_end,
                                              struct polarys_error *err);
/* As polarys_log_reader_wait. */
bool tail_commits_wait(struct tail_commits *commits, void (*ready)(void *context), void *context);
void tail_commits_pause(struct tail_commits *commits);

#ifdef __cplusplus
}
#endif

#endif
