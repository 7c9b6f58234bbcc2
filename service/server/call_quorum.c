/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of writes that are to be durable on a quorum: held until enough members have acknowledged, or the call's time is
 * over. What is held is durable here whatever comes, and the answer says so.
 *
 * A call that waits counts the tag of on_quorum as outstanding, so it lives until the group has woken it. The group wakes
 * it from the thread that brings the news; the worker's tick looks at its time.
 */
#include <inttypes.h>
#include <stddef.h>

#include "service/replication/group.h"
#include "service/replication/standing.h"
#include "service/server/call.h"
#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/worker.h"

static void waiter_woken(struct group_waiter *waiter)
{
    struct call *call = (struct call *)(void *)((char *)waiter - offsetof(struct call, waiter));
    call_event_post(call, &call->on_quorum);
}

enum group_wait_state call_quorum_wait(struct call *call, uint64_t version,
                                       void (*fire)(struct call *call, bool is_ok))
{
    SERVICE_ASSERT(call->quorum != CALL_QUORUM_NONE && !call->is_waiting_quorum);
    call->on_quorum.fire = fire;
    call->waiter = (struct group_waiter){.version = version,
                                         .is_applied = call->quorum == CALL_QUORUM_APPLIED,
                                         .wake = waiter_woken};
    call->is_waiting_quorum = true;
    __atomic_add_fetch(&call->pending, 1, __ATOMIC_RELAXED);
    enum group_wait_state state = group_wait(call->server->group, &call->waiter);
    if (state != GROUP_WAITS) {
        call->is_waiting_quorum = false;
        call_event_done(call);
    } else if (call->end_ns != 0) {
        worker_tick_by(call->worker, call->end_ns);
    }
    return state;
}

void call_quorum_cancel(struct call *call)
{
    if (call->is_waiting_quorum && group_wait_cancel(call->server->group, &call->waiter)) {
        call->is_waiting_quorum = false;
        call_event_done(call);
    }
}

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
    SERVICE_ASSERT(!call->is_waiting_quorum);
    if (call->is_held) {
        held_drop(call);
    }
    call->quorum = CALL_QUORUM_NONE;
    call->commit_version = 0;
}

static void held_send(struct call *call)
{
    grpc_slice message = call->held;
    call->is_held = false;
    call->quorum = CALL_QUORUM_NONE;
    call_reply(call, message);
}

static void held_fail(struct call *call)
{
    (void)polarys_fail(&call->error, POLARYS_QUORUM_TIMEOUT,
                       "version %" PRIu64 " is durable here, but not on a quorum yet",
                       call->commit_version);
    polarys_error_detail_set(&call->error, "version", "%" PRIu64, call->commit_version);
    held_drop(call);
    call_fail_own(call, POLARYS_QUORUM_TIMEOUT);
}

/* The quorum has it; a node that is fenced acknowledges nothing all the same. */
static void held_end(struct call *call)
{
    if (standing_is_fenced(call->server->standing)) {
        held_fail(call);
    } else {
        held_send(call);
    }
}

static void quorum_woken(struct call *call, bool is_ok)
{
    (void)is_ok;
    call->is_waiting_quorum = false;
    if (!call->is_finishing) {
        held_end(call);
    }
}

/* Whether there is a reason to wait no longer. */
static bool is_over(const struct call *call)
{
    return call_is_late(call) || call_is_cancelled(call) ||
           server_phase_get(call->server) >= SERVER_STOPPING ||
           standing_is_fenced(call->server->standing);
}

static void held_closed(struct call *call, bool is_ok)
{
    (void)is_ok;
    if (call->close_flag != 0) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
}

static void held_tick(struct call *call, uint64_t now_ns)
{
    (void)now_ns;
    if (call->is_finishing || !call->is_waiting_quorum) {
        return;
    }
    if (is_over(call)) {
        call_quorum_cancel(call);
        if (!call->is_waiting_quorum) {
            held_fail(call);
        }
        return;
    }
    if (call->end_ns != 0) {
        worker_tick_by(call->worker, call->end_ns);
    }
    if (!call->has_close_watch) {
        call_watch_close(call, held_closed); /* it waits for long: learn of a client that leaves */
    }
}

/* On the worker. */
static void held_begin(struct call *call)
{
    enum group_wait_state state =
        is_over(call) ? GROUP_IS_FULL : call_quorum_wait(call, call->commit_version, quorum_woken);
    if (state == GROUP_HAS) {
        held_end(call);
    } else if (state == GROUP_IS_FULL) {
        /* Never that the call was refused: this write was made. */
        held_fail(call);
    } else if (!call->is_stream_listed) {
        call->tick = held_tick;
        worker_stream_add(call->worker, call);
    }
}

static void quorum_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    if (!call->is_finishing) {
        held_begin(call);
    }
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
    if (quorum_has(call) && !standing_is_fenced(call->server->standing)) {
        return false;
    }
    SERVICE_ASSERT(!call->is_held);
    call->held = take_message;
    call->is_held = true;
    call_post_handler_set(call, quorum_posted);
    call_post(call);
    return true;
}
