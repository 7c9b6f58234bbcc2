/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BulkService.Write: one stream a connection, `in_flight` batches of each under way as far as the server's
 * window allows. The latency of a batch is from its sending to its acknowledgement.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/load/stream.h"

struct writer {
    struct stream stream;
    bool is_open;
    bool is_sending;
    bool is_closing;
    bool is_reading_done;
    bool has_ended;
    uint64_t sent; /* numbers of batches, from 1 */
    uint64_t acked;
    uint64_t window_bytes;
    uint64_t under_way_bytes;
    /* Of the batch with a number, at number % in_flight. */
    uint64_t *sizes;
    uint64_t *counts;
    uint64_t *begins_ns;
};

struct write_run {
    struct load_target *target;
    const struct load_settings *settings;
    struct load_result *result;
    struct load_clock clock;
    bool is_in_order;
    bool is_over;
    uint64_t key_next;
    uint64_t random;
    uint32_t live;
    struct writer *writers;
};

static void writer_open(struct write_run *run, struct writer *writer, uint32_t connection)
{
    uint8_t open[512];
    size_t room = run->settings->in_flight * sizeof(uint64_t);
    writer->sizes = malloc(room);
    writer->counts = malloc(room);
    writer->begins_ns = malloc(room);
    if (writer->sizes == NULL || writer->counts == NULL || writer->begins_ns == NULL) {
        bench_die("no memory for a stream");
    }
    size_t size = load_message_write_open(run->settings, open);
    stream_open(&writer->stream, run->target, connection, "/polarys.v1.BulkService/Write");
    stream_send(&writer->stream, grpc_slice_from_copied_buffer((const char *)open, size), true,
                false);
    stream_receive(&writer->stream);
    writer->is_sending = true;
}

static void batch_send(struct write_run *run, struct writer *writer, uint32_t count)
{
    const struct load_settings *settings = run->settings;
    grpc_slice slice = grpc_slice_malloc(load_message_write_batch_max(settings, count));
    uint64_t number = ++writer->sent;
    uint64_t slot = number % settings->in_flight;
    size_t size =
        load_message_write_batch(settings, number, count, run->key_next, !run->is_in_order,
                                 &run->random, GRPC_SLICE_START_PTR(slice));
    GRPC_SLICE_SET_LENGTH(slice, size);
    run->key_next += count;
    writer->sizes[slot] = size;
    writer->counts[slot] = count;
    writer->begins_ns[slot] = bench_now_ns();
    writer->under_way_bytes += size;
    writer->is_sending = true;
    stream_send(&writer->stream, slice, false, false);
}

static void close_send(struct writer *writer)
{
    uint8_t close[16];
    size_t size = load_message_write_close(close);
    writer->is_sending = true;
    writer->is_closing = true;
    stream_send(&writer->stream, grpc_slice_from_copied_buffer((const char *)close, size), false,
                true);
}

/* Sends what may be sent now. */
static void writer_push(struct write_run *run, struct writer *writer)
{
    const struct load_settings *settings = run->settings;
    if (writer->is_sending || !writer->is_open || writer->is_closing || writer->has_ended) {
        return;
    }
    uint64_t left = run->is_in_order ? settings->keys - run->key_next : settings->batch;
    if (run->is_over || left == 0) {
        if (writer->acked == writer->sent) {
            close_send(writer);
        }
        return;
    }
    uint32_t count = left < settings->batch ? (uint32_t)left : settings->batch;
    uint64_t size_max = load_message_write_batch_max(settings, count);
    bool is_window_open =
        writer->under_way_bytes == 0 || writer->under_way_bytes + size_max <= writer->window_bytes;
    if (writer->sent - writer->acked < settings->in_flight && is_window_open) {
        batch_send(run, writer, count);
    }
}

static void acked(struct write_run *run, struct writer *writer,
                  const struct load_write_answer *answer)
{
    uint64_t slot = answer->number % run->settings->in_flight;
    uint64_t now_ns = bench_now_ns();
    if (answer->is_refused) {
        bench_die("the server refused batch %llu", (unsigned long long)answer->number);
    }
    if (answer->number != writer->acked + 1 || answer->number > writer->sent) {
        bench_die("batch %llu was acknowledged after %llu", (unsigned long long)answer->number,
                  (unsigned long long)writer->acked);
    }
    writer->acked = answer->number;
    writer->under_way_bytes -= writer->sizes[slot];
    if (!run->is_over && run->clock.is_counting) {
        histogram_add(&run->result->latencies, now_ns - writer->begins_ns[slot]);
        run->result->done++;
        run->result->records += writer->counts[slot];
        run->result->bytes += writer->sizes[slot];
    }
}

static void received(struct write_run *run, struct writer *writer)
{
    if (writer->stream.received == NULL) {
        writer->is_reading_done = true;
        return;
    }
    struct load_write_answer answer;
    grpc_slice message = stream_message_take(&writer->stream);
    load_message_read_answer(GRPC_SLICE_START_PTR(message), GRPC_SLICE_LENGTH(message), &answer);
    grpc_slice_unref(message);
    if (answer.window_bytes != 0) {
        writer->window_bytes = answer.window_bytes;
    }
    if (answer.kind == LOAD_ANSWER_OPENED) {
        writer->is_open = true;
    } else if (answer.kind == LOAD_ANSWER_ACK) {
        acked(run, writer, &answer);
    }
    stream_receive(&writer->stream);
}

static void ended(struct write_run *run, struct writer *writer)
{
    writer->has_ended = true;
    if (writer->stream.status != GRPC_STATUS_OK || !writer->is_closing) {
        load_failure_add(run->result, writer->stream.status, writer->stream.status_text);
    }
}

static void fire(struct write_run *run, const struct stream_tag *tag)
{
    struct writer *writer = (struct writer *)(void *)tag->stream;
    switch (tag->event) {
    case STREAM_SENT:
        writer->is_sending = false;
        break;
    case STREAM_RECEIVED:
        received(run, writer);
        break;
    case STREAM_ENDED:
        ended(run, writer);
        break;
    case STREAM_EVENT_COUNT:
        bench_die("there is no such event");
    }
    writer_push(run, writer);
    if (writer->has_ended && writer->is_reading_done && !writer->is_sending) {
        stream_close(&writer->stream);
        free(writer->sizes);
        free(writer->counts);
        free(writer->begins_ns);
        run->live--;
    }
}

static void queue_read(struct write_run *run)
{
    while (run->live > 0) {
        grpc_event event = grpc_completion_queue_next(run->target->queue,
                                                      gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        fire(run, event.tag);
        bool is_timed_out = load_clock_is_over(&run->clock, bench_now_ns(), run->settings);
        if (is_timed_out && !run->is_in_order && !run->is_over) {
            load_clock_end(&run->clock, run->settings, run->result);
            run->is_over = true;
            for (uint32_t i = 0; i < run->settings->connections; i++) {
                writer_push(run, &run->writers[i]);
            }
        }
    }
}

void load_write_stream_run(struct load_target *target, bool is_in_order, struct load_result *result)
{
    const struct load_settings *settings = target->settings;
    struct write_run run = {.target = target,
                            .settings = settings,
                            .result = result,
                            .is_in_order = is_in_order,
                            .random = bench_now_ns(),
                            .live = settings->connections};
    run.writers = calloc(settings->connections, sizeof(*run.writers));
    if (run.writers == NULL) {
        bench_die("no memory for %u streams", settings->connections);
    }
    load_clock_begin(&run.clock, settings, !is_in_order);
    for (uint32_t i = 0; i < settings->connections; i++) {
        writer_open(&run, &run.writers[i], i);
    }
    queue_read(&run);
    if (is_in_order) {
        load_clock_end(&run.clock, settings, result);
    }
    free(run.writers);
}
