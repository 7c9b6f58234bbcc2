/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load of single calls: put, get, mixed. One thread keeps many calls under way.
 *
 * With a rate each call has a time at which it should start, and its duration counts from then, whether or
 * not there was a place for it: a server that stands still for a second cannot hide it.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench.h"
#include "client/client_internal.h"
#include "client/pipeline.h"
#include "polarys/v1/kv.pb-c.h"

enum { GETS_IN_HUNDRED = 95, REQUEST_BYTES_BESIDE_VALUE = 1024 };

/* A thread's state. */
struct calls {
    struct bench_worker *worker;
    struct polarys_client **clients;
    uint32_t client_count;
    struct client_pipeline *pipeline;
    uint32_t slot_count;
    uint32_t *free_slots;
    uint32_t free_count;
    uint64_t *started_ns;    /* by slot */
    uint64_t *payload_bytes; /* by slot: key and value sent */
    uint8_t *request;
    char *value;
    uint64_t due_ns;      /* with a rate: when the next call should start */
    uint64_t interval_ns; /* 0: no rate */
};

static Polarys__V1__Durability durability_of(enum polarys_client_durability durability)
{
    /* Both list the levels in the same order from the default on. */
    return (Polarys__V1__Durability)durability;
}

static size_t put_pack(struct calls *calls, const char *key, uint64_t number)
{
    const struct bench_plan *plan = calls->worker->plan;
    Polarys__V1__PutRequest request = POLARYS__V1__PUT_REQUEST__INIT;
    Polarys__V1__Value value = POLARYS__V1__VALUE__INIT;

    bench_value_write(calls->value, plan, number, &calls->worker->random);
    value.kind_case = POLARYS__V1__VALUE__KIND_JSON;
    value.json = (ProtobufCBinaryData){(size_t)plan->value_size, (uint8_t *)calls->value};
    request.database = (ProtobufCBinaryData){strlen(plan->database), (uint8_t *)plan->database};
    request.table = (ProtobufCBinaryData){strlen(plan->table), (uint8_t *)plan->table};
    request.key = (ProtobufCBinaryData){BENCH_KEY_SIZE, (uint8_t *)key};
    request.value = &value;
    request.durability = durability_of(plan->durability);
    return polarys__v1__put_request__pack(&request, calls->request);
}

static size_t get_pack(struct calls *calls, const char *key)
{
    const struct bench_plan *plan = calls->worker->plan;
    Polarys__V1__GetRequest request = POLARYS__V1__GET_REQUEST__INIT;
    struct client_consistency consistency;

    request.database = (ProtobufCBinaryData){strlen(plan->database), (uint8_t *)plan->database};
    request.table = (ProtobufCBinaryData){strlen(plan->table), (uint8_t *)plan->table};
    request.key = (ProtobufCBinaryData){BENCH_KEY_SIZE, (uint8_t *)key};
    request.consistency = client_consistency_fill(&consistency, calls->clients[0], &plan->read);
    return polarys__v1__get_request__pack(&request, calls->request);
}

static void call_start(struct calls *calls, uint64_t intended_ns)
{
    const struct bench_plan *plan = calls->worker->plan;
    uint64_t number = bench_random(&calls->worker->random) % plan->key_count;
    bool is_get =
        plan->kind == BENCH_GET ||
        (plan->kind == BENCH_MIXED && bench_random(&calls->worker->random) % 100 < GETS_IN_HUNDRED);
    uint32_t slot = calls->free_slots[--calls->free_count];
    char key[BENCH_KEY_SIZE + 1];
    struct polarys_client_rpc rpc = {0};
    struct polarys_client_error err = {0};

    bench_key_write(key, number);
    rpc.method = is_get ? "/polarys.v1.KvService/Get" : "/polarys.v1.KvService/Put";
    rpc.is_any_node = is_get && client_read_place(&plan->read) == CLIENT_PLACE_READ;
    rpc.request = calls->request;
    rpc.request_size = is_get ? get_pack(calls, key) : put_pack(calls, key, number);
    calls->started_ns[slot] = intended_ns;
    calls->payload_bytes[slot] = BENCH_KEY_SIZE + plan->value_size;
    if (!client_pipeline_start(calls->pipeline, slot, &rpc)) {
        err.status = POLARYS_CLIENT_INTERNAL;
        (void)snprintf(err.message, sizeof(err.message), "gRPC refused a call");
        bench_failure_note(&calls->worker->tally, &err);
        calls->free_slots[calls->free_count++] = slot;
    }
}

static void completion_note(struct calls *calls, const struct client_completion *completion)
{
    struct bench_tally *tally = &calls->worker->tally;
    uint32_t slot = completion->slot;
    struct polarys_client_error err = {0};

    calls->free_slots[calls->free_count++] = slot;
    tally->last_ns = bench_now_ns();
    if (completion->status != POLARYS_CLIENT_OK) {
        err.status = completion->status;
        (void)snprintf(err.reason, sizeof(err.reason), "%s", completion->reason);
        (void)snprintf(err.message, sizeof(err.message), "%s", completion->message);
        bench_failure_note(tally, &err);
        return;
    }
    tally->operations++;
    tally->documents++;
    tally->bytes += calls->payload_bytes[slot];
    bench_histogram_add(&tally->latencies, tally->last_ns - calls->started_ns[slot]);
}

/* Starts what is due and has a place. Returns when to look again. */
static uint64_t calls_start(struct calls *calls, uint64_t now_ns)
{
    uint64_t end_ns = calls->worker->end_ns;

    while (calls->free_count > 0 && now_ns < end_ns) {
        if (calls->interval_ns == 0) {
            call_start(calls, bench_now_ns());
        } else if (calls->due_ns <= now_ns) {
            call_start(calls, calls->due_ns);
            calls->due_ns += calls->interval_ns;
        } else {
            break;
        }
    }
    if (calls->interval_ns != 0 && calls->free_count > 0 && calls->due_ns < end_ns) {
        return calls->due_ns;
    }
    return end_ns;
}

static void calls_loop(struct calls *calls)
{
    struct client_completion completion;
    uint64_t now_ns = bench_now_ns();

    while (now_ns < calls->worker->end_ns) {
        uint64_t until_ns = calls_start(calls, now_ns);
        while (client_pipeline_next(calls->pipeline, until_ns, &completion)) {
            completion_note(calls, &completion);
            until_ns = 0; /* whatever else is ready, without waiting */
        }
        now_ns = bench_now_ns();
    }
    while (calls->free_count < calls->slot_count &&
           client_pipeline_next(calls->pipeline, UINT64_MAX, &completion)) {
        completion_note(calls, &completion);
    }
}

static bool calls_open(struct calls *calls)
{
    struct bench_worker *worker = calls->worker;
    const struct bench_plan *plan = worker->plan;
    struct polarys_client_error err = {0};
    uint32_t total = (uint32_t)plan->client_count;

    calls->client_count =
        total / worker->worker_count + (worker->index < total % worker->worker_count);
    calls->slot_count = calls->client_count * (uint32_t)plan->in_flight;
    calls->clients = calloc(calls->client_count, sizeof(*calls->clients));
    calls->free_slots = calloc(calls->slot_count, sizeof(*calls->free_slots));
    calls->started_ns = calloc(calls->slot_count, sizeof(*calls->started_ns));
    calls->payload_bytes = calloc(calls->slot_count, sizeof(*calls->payload_bytes));
    calls->request = malloc((size_t)plan->value_size + REQUEST_BYTES_BESIDE_VALUE);
    calls->value = malloc((size_t)plan->value_size);
    if (calls->clients == NULL || calls->free_slots == NULL || calls->started_ns == NULL ||
        calls->payload_bytes == NULL || calls->request == NULL || calls->value == NULL) {
        err.status = POLARYS_CLIENT_RESOURCE_EXHAUSTED;
        (void)snprintf(err.message, sizeof(err.message), "no memory for calls");
        bench_failure_note(&worker->tally, &err);
        return false;
    }
    for (uint32_t i = 0; i < calls->client_count; i++) {
        calls->clients[i] = bench_client_open(worker);
        if (calls->clients[i] == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < calls->slot_count; i++) {
        calls->free_slots[calls->free_count++] = i;
    }
    if (!client_pipeline_open(calls->clients, calls->client_count, calls->slot_count,
                              &calls->pipeline, &err)) {
        bench_failure_note(&worker->tally, &err);
        return false;
    }
    return true;
}

static void calls_close(struct calls *calls)
{
    client_pipeline_close(calls->pipeline);
    for (uint32_t i = 0; calls->clients != NULL && i < calls->client_count; i++) {
        polarys_client_close(calls->clients[i]);
    }
    free(calls->clients);
    free(calls->free_slots);
    free(calls->started_ns);
    free(calls->payload_bytes);
    free(calls->request);
    free(calls->value);
}

void bench_calls_run(struct bench_worker *worker)
{
    struct calls calls = {.worker = worker};

    if (calls_open(&calls)) {
        bench_time_start(worker);
        if (worker->plan->rate > 0) {
            calls.interval_ns = UINT64_C(1000000000) * worker->worker_count / worker->plan->rate;
            calls.due_ns =
                worker->tally.start_ns + calls.interval_ns * worker->index / worker->worker_count;
        }
        calls_loop(&calls);
    }
    calls_close(&calls);
}
