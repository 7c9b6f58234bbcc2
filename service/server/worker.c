/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a worker. It blocks in its queue only when it has nothing to drive: after writes were
 * submitted it takes what is already there, then drives one group of the log (whose answers start
 * from inside), and so on until nothing remains.
 */
#include "service/server/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/server/check.h"
#include "service/server/dispatch.h"
#include "service/server/handoff.h"
#include "service/server/server.h"
#include "service/server/timing.h"

struct call *worker_call_take(struct worker *worker)
{
    struct call *call = worker->pool;
    if (call != NULL) {
        worker->pool = call->next;
        call->next = NULL;
    } else {
        call = call_create(worker);
    }
    if (call != NULL) {
        __atomic_store_n(&worker->calls_alive, worker->calls_alive + 1, __ATOMIC_RELEASE);
    }
    return call;
}

void worker_call_give(struct worker *worker, struct call *call)
{
    SERVICE_ASSERT(call->handle == NULL);
    SERVICE_ASSERT(worker->calls_alive > 0);
    call->next = worker->pool;
    worker->pool = call;
    __atomic_store_n(&worker->calls_alive, worker->calls_alive - 1, __ATOMIC_RELEASE);
}

void worker_call_wait(struct worker *worker, struct call *call)
{
    if (worker->waiting_count >= WORKER_WAITING_MAX) {
        polarys_fail(&call->error, POLARYS_TOO_MANY_CALLS,
                     "%d calls wait already, for a version, an index or a transaction: try again "
                     "later",
                     WORKER_WAITING_MAX);
        polarys_error_detail_set(&call->error, "limit", "%d", WORKER_WAITING_MAX);
        call_fail_own(call, POLARYS_TOO_MANY_CALLS);
        return;
    }
    call->next = worker->waiting;
    worker->waiting = call;
    worker->waiting_count++;
}

void worker_stream_add(struct worker *worker, struct call *call)
{
    SERVICE_ASSERT(!call->is_stream_listed);
    call->stream_next = worker->streams;
    call->stream_previous = NULL;
    if (worker->streams != NULL) {
        worker->streams->stream_previous = call;
    }
    worker->streams = call;
    call->is_stream_listed = true;
}

void worker_stream_remove(struct worker *worker, struct call *call)
{
    SERVICE_ASSERT(call->is_stream_listed);
    if (call->stream_previous != NULL) {
        call->stream_previous->stream_next = call->stream_next;
    } else {
        SERVICE_ASSERT(worker->streams == call);
        worker->streams = call->stream_next;
    }
    if (call->stream_next != NULL) {
        call->stream_next->stream_previous = call->stream_previous;
    }
    call->is_stream_listed = false;
}

static void request_fired(struct call *call, bool is_ok)
{
    struct worker *worker = call->worker;
    if (!is_ok) {
        /* The server shuts down: this one will not come. */
        call->handle = NULL;
        worker_call_give(worker, call);
        return;
    }
    worker_request(worker, call->method);
    __atomic_store_n(&worker->calls_under_way, worker->calls_under_way + 1, __ATOMIC_RELAXED);
    call->id = ++worker->call_number;
    __atomic_store_n(&call->pending, 1, __ATOMIC_RELAXED);
    dispatch_begin(call);
}

void worker_request(struct worker *worker, const struct method *method)
{
    if (server_phase_get(worker->server) >= SERVER_STOPPING) {
        return;
    }
    struct call *call = worker_call_take(worker);
    if (call == NULL) {
        polarys_log(POLARYS_LOG_ERROR, "rpc", "no memory to take further calls of a method");
        return;
    }
    call->method = method;
    call->on_request.fire = request_fired;
    handoff_release(&call->on_request);
    grpc_call_error error;
    if (method == NULL) {
        error = grpc_server_request_call(worker->server->handle, &call->handle, &call->details,
                                         &call->metadata, worker->queue, worker->queue,
                                         &call->on_request);
    } else {
        size_t count;
        void *registered = worker->server->registered[method - method_table(&count)];
        error = grpc_server_request_registered_call(
            worker->server->handle, registered, &call->handle, &call->deadline, &call->metadata,
            method->kind == METHOD_BIDI ? NULL : &call->payload, worker->queue, worker->queue,
            &call->on_request);
    }
    SERVICE_ASSERT(error == GRPC_CALL_OK);
}

static void event_fire(struct call_event *event, bool is_ok)
{
    handoff_acquire(event);
    struct call *call = event->call;
    if (event == &call->on_request) {
        event->fire(call, is_ok);
        return;
    }
    if (event == &call->on_post) {
        __atomic_store_n(&call->is_posted, 0, __ATOMIC_RELEASE);
    }
    event->fire(call, is_ok);
    call_event_done(call);
}

/* Calls whose version has come, or whose time is over, go on. */
static void waiting_look(struct worker *worker)
{
    struct call *list = worker->waiting;
    worker->waiting = NULL;
    worker->waiting_count = 0;
    while (list != NULL) {
        struct call *call = list;
        list = call->next;
        call->next = NULL;
        dispatch_resume(call);
    }
}

void worker_tick_by(struct worker *worker, uint64_t at_ns)
{
    uint64_t soonest_ns = timing_now_ns() + (uint64_t)WORKER_WAIT_MS * TIMING_NS_PER_MS;
    uint64_t wanted_ns = at_ns > soonest_ns ? at_ns : soonest_ns;
    if (wanted_ns < worker->tick_ns) {
        worker->tick_ns = wanted_ns;
    }
}

static void tick(struct worker *worker, uint64_t now_ns)
{
    worker->tick_ns = now_ns + (uint64_t)WORKER_TICK_MS * TIMING_NS_PER_MS;
    for (struct call *call = worker->streams; call != NULL;) {
        struct call *next = call->stream_next;
        SERVICE_ASSERT(call->tick != NULL);
        call->tick(call, now_ns);
        call = next;
    }
    /* A write that an executor thread prepared may have been queued while we slept. */
    worker->has_submitted |= polarys_db_drive(worker->server->db, 1);
}

static gpr_timespec deadline_in(uint64_t ns)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos((int64_t)ns, GPR_TIMESPAN));
}

/* How long the worker may sleep. */
static gpr_timespec deadline_get(struct worker *worker)
{
    if (worker->has_submitted) {
        return gpr_inf_past(GPR_CLOCK_MONOTONIC);
    }
    worker->is_wait_timed = worker->waiting != NULL;
    if (worker->waiting != NULL) {
        return deadline_in((uint64_t)WORKER_WAIT_MS * TIMING_NS_PER_MS);
    }
    uint64_t now_ns = timing_now_ns();
    uint64_t most_ns = (uint64_t)WORKER_TICK_MS * TIMING_NS_PER_MS;
    uint64_t left_ns = worker->tick_ns > now_ns ? worker->tick_ns - now_ns : 0;
    return deadline_in(left_ns < most_ns ? left_ns : most_ns);
}

/*
 * The deadline once an event was handled. Only a call to the past finds out that the queue is empty; and a call that
 * began to wait is to be looked at soon, not at the next tick.
 */
static gpr_timespec deadline_after(struct worker *worker, gpr_timespec deadline)
{
    if (worker->has_submitted) {
        return gpr_inf_past(GPR_CLOCK_MONOTONIC);
    }
    if (worker->waiting == NULL || worker->is_wait_timed) {
        return deadline;
    }
    return gpr_time_min(deadline, deadline_get(worker));
}

static void between_events(struct worker *worker)
{
    if (worker->has_submitted) {
        worker->has_submitted = polarys_db_drive(worker->server->db, 1);
    }
    if (worker->waiting != NULL) {
        waiting_look(worker);
    }
    uint64_t now_ns = timing_now_ns();
    if (now_ns >= worker->tick_ns) {
        tick(worker, now_ns);
    }
}

static void *worker_run(void *context)
{
    struct worker *worker = context;
    unsigned events = 0;
    gpr_timespec deadline = deadline_get(worker);
    for (;;) {
        grpc_event event = grpc_completion_queue_next(worker->queue, deadline, NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            break;
        }
        if (event.type == GRPC_OP_COMPLETE) {
            event_fire(event.tag, event.success != 0);
            deadline = deadline_after(worker, deadline);
            if (++events < WORKER_EVENTS_MAX) {
                continue;
            }
        }
        events = 0;
        between_events(worker);
        deadline = deadline_get(worker);
    }
    return NULL;
}

enum polarys_code worker_init(struct worker *worker, struct server *server, unsigned index,
                              struct polarys_error *err)
{
    *worker = (struct worker){.server = server, .index = index};
    worker->metrics = calloc(1, sizeof(*worker->metrics));
    if (worker->metrics == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the counters of a worker");
    }
    worker->queue = grpc_completion_queue_create_for_next(NULL);
    return POLARYS_OK;
}

static void methods_request(struct worker *worker)
{
    size_t count;
    const struct method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        int wanted = (methods[i].flags & METHOD_HOT) != 0 ? WORKER_POSTED_HOT : WORKER_POSTED;
        for (int k = 0; k < wanted; k++) {
            worker_request(worker, &methods[i]);
        }
    }
    for (int k = 0; k < WORKER_POSTED; k++) {
        worker_request(worker, NULL);
    }
}

enum polarys_code worker_start(struct worker *worker, struct polarys_error *err)
{
    methods_request(worker);
    int error = pthread_create(&worker->thread, NULL, worker_run, worker);
    if (error != 0) {
        return polarys_fail_errno(err, error, "start worker thread %u", worker->index);
    }
    worker->is_started = true;
    char name[16];
    (void)snprintf(name, sizeof(name), "rpc-%u", worker->index);
    (void)pthread_setname_np(worker->thread, name);
    return POLARYS_OK;
}

void worker_stop(struct worker *worker)
{
    if (worker->queue == NULL) {
        return;
    }
    grpc_completion_queue_shutdown(worker->queue);
    if (worker->is_started) {
        (void)pthread_join(worker->thread, NULL);
    } else {
        while (grpc_completion_queue_next(worker->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
                   .type != GRPC_QUEUE_SHUTDOWN) {
        }
    }
    grpc_completion_queue_destroy(worker->queue);
    worker->queue = NULL;
}

void worker_deinit(struct worker *worker)
{
    while (worker->pool != NULL) {
        struct call *call = worker->pool;
        worker->pool = call->next;
        call_destroy(call);
    }
    free(worker->metrics);
    worker->metrics = NULL;
}
