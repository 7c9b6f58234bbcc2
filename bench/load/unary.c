/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unary calls. In a closed loop every call that ends begins another, on the thread that reads the queue. At
 * fixed times a second thread begins calls when they are due, whether others have ended or not, and a call's
 * latency counts from when it was due: a server that stops for a while cannot hide it by holding back its
 * clients.
 *
 * Invariant: a call belongs to the thread that begins it until its batch is started, then to the queue.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/slice_buffer.h>

#include "bench/load/load.h"

enum { OPERATIONS = 6, PACE_WAIT_NS = 50000 };

struct unary_run;

struct unary_call {
    grpc_call *handle;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *answer;
    grpc_slice status_text;
    grpc_status_code status;
    uint32_t connection;
    uint64_t begin_ns;
    uint64_t done; /* that counted */
    bool is_write;
    struct unary_call *next; /* in the list of free ones */
};

struct unary_run {
    struct load_target *target;
    const struct load_settings *settings;
    const struct load_unary *unary;
    struct load_result *result;
    struct load_clock clock;
    void *methods[2][LOAD_CONNECTIONS_MAX]; /* of reads, of writes */
    struct unary_call *calls;
    uint8_t *request;
    uint64_t random;
    uint64_t ended;

    /* Of the thread that begins calls; read by the other after it was joined, or atomically. */
    uint64_t begun;
    int is_over;   /* atomic */
    int is_pacing; /* atomic */

    pthread_mutex_t mutex;
    struct unary_call *free; /* guarded by mutex; at fixed times only */
};

static void message_init(grpc_byte_buffer *message, grpc_slice slice)
{
    memset(message, 0, sizeof(*message));
    message->type = GRPC_BB_RAW;
    grpc_slice_buffer_init(&message->data.raw.slice_buffer);
    grpc_slice_buffer_add(&message->data.raw.slice_buffer, slice);
}

static void batch_start(struct unary_call *call, grpc_byte_buffer *message)
{
    grpc_op ops[OPERATIONS];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = message;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &call->answer;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[5].data.recv_status_on_client.status = &call->status;
    ops[5].data.recv_status_on_client.status_details = &call->status_text;
    if (grpc_call_start_batch(call->handle, ops, OPERATIONS, call, NULL) != GRPC_CALL_OK) {
        bench_die("a call could not be started");
    }
}

/* `due_ns`: what its latency counts from; 0: from now. */
static void call_begin(struct unary_run *run, struct unary_call *call, uint64_t due_ns)
{
    const struct load_unary *unary = run->unary;
    uint64_t key =
        unary->is_in_order ? run->begun : bench_random_next(&run->random) % run->settings->keys;
    call->is_write = bench_random_next(&run->random) % 100 >= unary->read_share;
    size_t size = load_message_write(call->is_write ? unary->write : unary->read, run->settings,
                                     key, &run->random, run->request);
    grpc_byte_buffer message;
    message_init(&message, grpc_slice_from_copied_buffer((const char *)run->request, size));
    call->connection = (uint32_t)(run->begun % run->settings->connections);
    call->handle = grpc_channel_create_registered_call(
        run->target->channels[call->connection], NULL, 0, run->target->queue,
        run->methods[call->is_write][call->connection], gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    call->begin_ns = due_ns == 0 ? bench_now_ns() : due_ns;
    __atomic_store_n(&run->begun, run->begun + 1, __ATOMIC_RELEASE);
    batch_start(call, &message);
    grpc_slice_buffer_destroy(&message.data.raw.slice_buffer);
}

static void call_end(struct unary_run *run, struct unary_call *call, uint64_t now_ns)
{
    struct load_result *result = run->result;
    run->ended++;
    if (call->status != GRPC_STATUS_OK) {
        load_failure_add(result, call->status, call->status_text);
    } else if (run->clock.is_counting && call->begin_ns >= run->clock.begin_ns &&
               (run->unary->is_in_order || now_ns <= run->clock.end_ns)) {
        histogram_add(call->is_write && run->unary->read_share > 0 ? &result->latencies_more
                                                                   : &result->latencies,
                      now_ns - call->begin_ns);
        call->done++;
        result->done++;
        result->records++;
        result->bytes += grpc_byte_buffer_length(call->answer);
    }
    if (call->answer != NULL) {
        grpc_byte_buffer_destroy(call->answer);
        call->answer = NULL;
    }
    grpc_slice_unref(call->status_text);
    grpc_call_unref(call->handle);
    call->initial.count = 0;
    call->trailing.count = 0;
}

static struct unary_call *free_take(struct unary_run *run)
{
    pthread_mutex_lock(&run->mutex);
    struct unary_call *call = run->free;
    if (call != NULL) {
        run->free = call->next;
    }
    pthread_mutex_unlock(&run->mutex);
    return call;
}

static void free_give(struct unary_run *run, struct unary_call *call)
{
    pthread_mutex_lock(&run->mutex);
    call->next = run->free;
    run->free = call;
    pthread_mutex_unlock(&run->mutex);
}

static void sleep_until(uint64_t when_ns)
{
    struct timespec when = {(time_t)(when_ns / 1000000000), (long)(when_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0) {
    }
}

/* Begins calls when they are due. */
static void *pace(void *context)
{
    struct unary_run *run = context;
    uint64_t begin_ns = bench_now_ns();
    for (uint64_t i = 0; __atomic_load_n(&run->is_over, __ATOMIC_ACQUIRE) == 0; i++) {
        uint64_t due_ns = begin_ns + (uint64_t)((double)i * 1e9 / (double)run->settings->rate);
        if (due_ns > bench_now_ns()) {
            sleep_until(due_ns);
        }
        struct unary_call *call = free_take(run);
        while (call == NULL && __atomic_load_n(&run->is_over, __ATOMIC_ACQUIRE) == 0) {
            sleep_until(bench_now_ns() + PACE_WAIT_NS);
            call = free_take(run);
        }
        if (call == NULL) {
            break;
        }
        call_begin(run, call, due_ns);
    }
    __atomic_store_n(&run->is_pacing, 0, __ATOMIC_RELEASE);
    return NULL;
}

static bool is_over_now(struct unary_run *run, uint64_t now_ns)
{
    uint64_t ops_max = run->unary->is_in_order ? run->settings->keys : run->settings->ops_max;
    bool is_timed_out = load_clock_is_over(&run->clock, now_ns, run->settings);
    if ((is_timed_out && !run->unary->is_in_order) || (ops_max != 0 && run->begun >= ops_max)) {
        __atomic_store_n(&run->is_over, 1, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&run->is_over, __ATOMIC_RELAXED) != 0;
}

static void queue_read(struct unary_run *run)
{
    bool is_clock_stopped = false;
    for (;;) {
        grpc_event event = grpc_completion_queue_next(run->target->queue,
                                                      gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct unary_call *call = event.tag;
        uint64_t now_ns = bench_now_ns();
        call_end(run, call, now_ns);
        bool is_over = is_over_now(run, now_ns);
        if (is_over && !is_clock_stopped) {
            is_clock_stopped = !run->unary->is_in_order;
            load_clock_end(&run->clock, run->settings, run->result);
        }
        if (run->settings->rate != 0) {
            free_give(run, call);
        } else if (!is_over) {
            call_begin(run, call, 0);
        }
        if (is_over && __atomic_load_n(&run->is_pacing, __ATOMIC_ACQUIRE) == 0 &&
            run->ended == __atomic_load_n(&run->begun, __ATOMIC_ACQUIRE)) {
            break;
        }
    }
}

static void run_init(struct unary_run *run, struct load_target *target)
{
    const struct load_settings *settings = target->settings;
    run->target = target;
    run->settings = settings;
    run->random = bench_now_ns();
    run->request = malloc(LOAD_REQUEST_BYTES_MAX);
    run->calls = calloc(settings->in_flight, sizeof(*run->calls));
    if (run->request == NULL || run->calls == NULL || pthread_mutex_init(&run->mutex, NULL) != 0) {
        bench_die("no memory for %u calls", settings->in_flight);
    }
    for (uint32_t i = 0; i < settings->connections; i++) {
        run->methods[0][i] = grpc_channel_register_call(
            target->channels[i], load_message_method(run->unary->read), NULL, NULL);
        run->methods[1][i] = grpc_channel_register_call(
            target->channels[i], load_message_method(run->unary->write), NULL, NULL);
    }
    for (uint32_t i = 0; i < settings->in_flight; i++) {
        grpc_metadata_array_init(&run->calls[i].initial);
        grpc_metadata_array_init(&run->calls[i].trailing);
    }
}

static void run_deinit(struct unary_run *run)
{
    for (uint32_t i = 0; i < run->settings->in_flight; i++) {
        grpc_metadata_array_destroy(&run->calls[i].initial);
        grpc_metadata_array_destroy(&run->calls[i].trailing);
    }
    pthread_mutex_destroy(&run->mutex);
    free(run->calls);
    free(run->request);
    free(run);
}

static void paced_run(struct unary_run *run)
{
    pthread_t pacer;
    for (uint32_t i = 0; i < run->settings->in_flight; i++) {
        free_give(run, &run->calls[i]);
    }
    run->is_pacing = 1;
    if (pthread_create(&pacer, NULL, pace, run) != 0) {
        bench_die("the pacing thread could not be started");
    }
    queue_read(run);
    pthread_join(pacer, NULL);
}

/* How even the calls in flight got on. */
static void writers_compare(struct unary_run *run)
{
    struct load_result *result = run->result;
    result->writer_done_min = run->calls[0].done;
    for (uint32_t i = 0; i < run->settings->in_flight; i++) {
        uint64_t done = run->calls[i].done;
        result->writer_done_min = done < result->writer_done_min ? done : result->writer_done_min;
        result->writer_done_max = done > result->writer_done_max ? done : result->writer_done_max;
    }
}

void load_unary_run(struct load_target *target, const struct load_unary *unary,
                    struct load_result *result)
{
    struct unary_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        bench_die("no memory");
    }
    run->unary = unary;
    run->result = result;
    run_init(run, target);
    load_clock_begin(&run->clock, run->settings, !unary->is_in_order);
    if (run->settings->rate != 0) {
        paced_run(run);
    } else {
        for (uint32_t i = 0; i < run->settings->in_flight; i++) {
            if (!unary->is_in_order || i < run->settings->keys) {
                call_begin(run, &run->calls[i], 0);
            }
        }
        queue_read(run);
    }
    writers_compare(run);
    run_deinit(run);
}
