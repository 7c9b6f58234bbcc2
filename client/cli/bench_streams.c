/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load of streams, a thread a client: bulk writes and scans of the whole table.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench.h"

enum { MARKS_MAX = 4096 };

/* When every BENCH_BATCH_RECORDS-th record was queued, to tell how long its acknowledgement took. */
struct bulk_marks {
    struct bench_worker *worker;
    uint64_t records[MARKS_MAX];
    uint64_t queued_ns[MARKS_MAX];
    size_t first;
    size_t count;
};

/* The bulk writer's progress. */
static void acked(void *context, uint64_t records, uint64_t bytes)
{
    struct bulk_marks *marks = context;
    struct bench_tally *tally = &marks->worker->tally;
    uint64_t now_ns = bench_now_ns();

    while (marks->count > 0 && marks->records[marks->first] <= records) {
        bench_histogram_add(&tally->latencies, now_ns - marks->queued_ns[marks->first]);
        marks->first = (marks->first + 1) % MARKS_MAX;
        marks->count--;
        tally->operations++;
    }
    tally->documents = records;
    tally->bytes = bytes;
    tally->last_ns = now_ns;
}

static void mark_add(struct bulk_marks *marks, uint64_t records)
{
    size_t at = (marks->first + marks->count) % MARKS_MAX;
    if (marks->count < MARKS_MAX) {
        marks->records[at] = records;
        marks->queued_ns[at] = bench_now_ns();
        marks->count++;
    }
}

static bool bulk_loop(struct bench_worker *worker, struct polarys_client_bulk *bulk,
                      struct bulk_marks *marks, struct polarys_client_error *err)
{
    const struct bench_plan *plan = worker->plan;
    char key[BENCH_KEY_SIZE + 1];
    char *value = malloc((size_t)plan->value_size);
    struct polarys_client_record record = {key,   BENCH_KEY_SIZE,           POLARYS_CLIENT_JSON,
                                           value, (size_t)plan->value_size, 0};
    bool is_ok = value != NULL;

    for (uint64_t i = 1; is_ok && bench_now_ns() < worker->end_ns; i++) {
        uint64_t number = bench_random(&worker->random) % plan->key_count;
        bench_key_write(key, number);
        bench_value_write(value, plan, number, &worker->random);
        is_ok = polarys_client_bulk_put(bulk, &record, err);
        if (i % BENCH_BATCH_RECORDS == 0) {
            mark_add(marks, i);
        }
    }
    free(value);
    return is_ok;
}

void bench_bulk_run(struct bench_worker *worker)
{
    struct polarys_client_bulk_options options = {0};
    struct polarys_client_bulk *bulk;
    struct polarys_client_error err = {0};
    struct bulk_marks *marks = calloc(1, sizeof(*marks));
    struct polarys_client *client = bench_client_open(worker);

    if (client == NULL || marks == NULL) {
        free(marks);
        polarys_client_close(client);
        return;
    }
    marks->worker = worker;
    options.database = worker->plan->database;
    options.table = worker->plan->table;
    options.durability = worker->plan->durability;
    options.batch_records_max = BENCH_BATCH_RECORDS;
    options.progress = acked;
    options.context = marks;
    if (!polarys_client_bulk_open(client, &options, &bulk, &err)) {
        bench_failure_note(&worker->tally, &err);
    } else {
        bench_time_start(worker);
        bool is_ok = bulk_loop(worker, bulk, marks, &err);
        if (!polarys_client_bulk_close(bulk, &err) || !is_ok) {
            bench_failure_note(&worker->tally, &err);
        }
    }
    polarys_client_close(client);
    free(marks);
}

/* One scan from beginning to end, or to the end of the time. */
static bool scan_once(struct bench_worker *worker, struct polarys_client *client,
                      struct polarys_client_error *err)
{
    const struct bench_plan *plan = worker->plan;
    struct bench_tally *tally = &worker->tally;
    struct polarys_client_scan_options options = {0};
    struct polarys_client_document document;
    struct polarys_client_scan *scan;
    uint64_t start_ns = bench_now_ns();
    bool has_document = true;
    bool is_ok = true;

    options.database = plan->database;
    options.table = plan->table;
    options.read = plan->read;
    if (!polarys_client_scan_open(client, &options, &scan, err)) {
        return false;
    }
    for (uint64_t i = 0; is_ok && has_document; i++) {
        if (i % 1024 == 0 && bench_now_ns() >= worker->end_ns) {
            break;
        }
        is_ok = polarys_client_scan_next(scan, &has_document, &document, err);
        if (is_ok && has_document) {
            tally->documents++;
            tally->bytes += document.key_size + document.value_size;
        }
    }
    polarys_client_scan_close(scan);
    tally->last_ns = bench_now_ns();
    if (is_ok && !has_document) {
        tally->operations++;
        bench_histogram_add(&tally->latencies, tally->last_ns - start_ns);
    }
    return is_ok;
}

void bench_scan_run(struct bench_worker *worker)
{
    struct polarys_client_error err = {0};
    struct polarys_client *client = bench_client_open(worker);

    bench_time_start(worker);
    while (client != NULL && bench_now_ns() < worker->end_ns) {
        if (!scan_once(worker, client, &err)) {
            bench_failure_note(&worker->tally, &err);
            break;
        }
    }
    polarys_client_close(client);
}
