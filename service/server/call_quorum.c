/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of writes that are to be durable on a quorum: held until enough members have acknowledged, or the call's time is
 * over. What is held is durable here whatever comes, and the answer says so.
 */
#include <inttypes.h>

#include "service/replication/group.h"
#include "service/server/call.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/worker.h"

static bool quorum_has(const struct call *call)
{
    struct group *group = call->server->group;
    uint64_t version = call->quorum == CALL_QUORUM_APPLIED ? group_applied_version(group)
                                                           : group_stable_version(group);
    return version >= call->commit_version;
}

static void held_drop(struct call *call)
{
    grpc_slice_unref(call->held);
    call->is_held = false;
}

void call_quorum_release(struct call *call)
{
    if (call->is_held) {
        held_drop(call);
    }
    call->quorum = CALL_QUORUM_NONE;
    call->commit_version = 0;
}

/* On the worker: looks again every few milliseconds. */
static void quorum_look(struct call *call)
{
    if (quorum_has(call)) {
        grpc_slice message = call->held;
        call->is_held = false;
        call->quorum = CALL_QUORUM_NONE;
        call_reply(call, message);
        return;
    }
    bool is_stopping = server_phase_get(call->server) >= SERVER_STOPPING;
    /* Where too many wait, call_wait would say that the call was refused; this write was made. */
    bool has_room = call->worker->waiting_count < WORKER_WAITING_MAX;
    if (has_room && !call_is_late(call) && !call_is_cancelled(call) && !is_stopping) {
        call_wait(call, quorum_look);
        return;
    }
    (void)polarys_fail(&call->error, POLARYS_QUORUM_TIMEOUT,
                       "version %" PRIu64 " is durable here, but not on a quorum yet",
                       call->commit_version);
    polarys_error_detail_set(&call->error, "version", "%" PRIu64, call->commit_version);
    held_drop(call);
    call_fail_own(call, POLARYS_QUORUM_TIMEOUT);
}

static void quorum_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    quorum_look(call);
}

bool call_quorum_hold(struct call *call, grpc_slice take_message)
{
    bool is_within = call->has_txn_id && (call->method->flags & METHOD_TXN_ITSELF) == 0;
    if (call->method->kind == METHOD_BIDI || is_within) {
        return false; /* the commit is what is waited for */
    }
    if (call->commit_version == 0) {
        /* What the answer is about is not above it. */
        call->commit_version = polarys_db_durable_version(call->server->db);
    }
    if (quorum_has(call)) {
        return false;
    }
    SERVICE_ASSERT(!call->is_held);
    call->held = take_message;
    call->is_held = true;
    call_post_handler_set(call, quorum_posted);
    call_post(call);
    return true;
}
