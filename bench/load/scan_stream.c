/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KvService.Scan of a whole table, again and again; one scan a connection at a time. A message's documents are
 * counted by walking its fields, which is what the lightest client has to do. Its latency is from asking for
 * a message to having it.
 */
#include <stdlib.h>

#include "bench/load/stream.h"

struct scanner {
    struct stream stream;
    uint32_t connection;
    uint64_t asked_ns;
    bool is_sending;
    bool is_reading_done;
    bool has_ended;
};

struct scan_run {
    struct load_target *target;
    struct load_result *result;
    struct load_clock clock;
    bool is_over;
    uint32_t live;
};

static void ask(struct scanner *scanner)
{
    scanner->asked_ns = bench_now_ns();
    stream_receive(&scanner->stream);
}

static void scan_open(struct scan_run *run, struct scanner *scanner)
{
    uint8_t request[512];
    size_t size = load_message_scan(run->target->settings, request);
    scanner->is_sending = true;
    scanner->is_reading_done = false;
    scanner->has_ended = false;
    stream_open(&scanner->stream, run->target, scanner->connection, "/polarys.v1.KvService/Scan");
    stream_send(&scanner->stream, grpc_slice_from_copied_buffer((const char *)request, size), true,
                true);
    ask(scanner);
}

static void received(struct scan_run *run, struct scanner *scanner)
{
    if (scanner->stream.received == NULL) {
        scanner->is_reading_done = true;
        return;
    }
    grpc_slice message = stream_message_take(&scanner->stream);
    if (run->clock.is_counting && !run->is_over) {
        run->result->records +=
            load_message_count_documents(GRPC_SLICE_START_PTR(message), GRPC_SLICE_LENGTH(message));
        run->result->bytes += GRPC_SLICE_LENGTH(message);
        run->result->done++;
        histogram_add(&run->result->latencies, bench_now_ns() - scanner->asked_ns);
    }
    grpc_slice_unref(message);
    ask(scanner);
}

static void fire(struct scan_run *run, const struct stream_tag *tag)
{
    struct scanner *scanner = (struct scanner *)(void *)tag->stream;
    if (tag->event == STREAM_SENT) {
        scanner->is_sending = false;
    } else if (tag->event == STREAM_RECEIVED) {
        received(run, scanner);
    } else {
        scanner->has_ended = true;
        if (scanner->stream.status != GRPC_STATUS_OK && !run->is_over) {
            load_failure_add(run->result, scanner->stream.status, scanner->stream.status_text);
            run->is_over = true;
        }
    }
    if (!scanner->has_ended || !scanner->is_reading_done || scanner->is_sending) {
        return;
    }
    stream_close(&scanner->stream);
    if (run->is_over) {
        run->live--;
    } else {
        scan_open(run, scanner);
    }
}

void load_scan_stream_run(struct load_target *target, struct load_result *result)
{
    const struct load_settings *settings = target->settings;
    struct scan_run run = {.target = target, .result = result, .live = settings->connections};
    struct scanner *scanners = calloc(settings->connections, sizeof(*scanners));
    if (scanners == NULL) {
        bench_die("no memory for %u streams", settings->connections);
    }
    load_clock_begin(&run.clock, settings, true);
    for (uint32_t i = 0; i < settings->connections; i++) {
        scanners[i].connection = i;
        scan_open(&run, &scanners[i]);
    }
    while (run.live > 0) {
        grpc_event event =
            grpc_completion_queue_next(target->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        fire(&run, event.tag);
        if (!run.is_over && load_clock_is_over(&run.clock, bench_now_ns(), settings)) {
            load_clock_end(&run.clock, settings, result);
            run.is_over = true;
            for (uint32_t i = 0; i < settings->connections; i++) {
                if (scanners[i].stream.handle != NULL) {
                    (void)grpc_call_cancel(scanners[i].stream.handle, NULL);
                }
            }
        }
    }
    free(scanners);
}
