/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YCSB's core workloads A to F (Cooper and others, 2010). Keys are chosen by a scrambled Zipf distribution with
 * the constant 0.99, drawn as Gray and others (1994) do; `latest` counts back from the newest record.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/run.h"
#include "bench/support/bench.h"

#define ZIPF_THETA 0.99

enum { SCAN_RECORDS_MAX = 100 };

/* Shared by the lanes: computed once for a number of records. */
struct zipf {
    uint64_t records;
    double zeta;
    double alpha;
    double eta;
};

static struct zipf zipf;
static pthread_mutex_t zipf_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t inserted; /* atomic; records beyond those that were loaded */

static double zeta_of(uint64_t count)
{
    double sum = 0;
    for (uint64_t i = 1; i <= count; i++) {
        sum += 1 / pow((double)i, ZIPF_THETA);
    }
    return sum;
}

static void zipf_prepare(struct lane *lane)
{
    if (lane->source != NULL) {
        return;
    }
    lane->source = malloc(1); /* this lane has looked */
    pthread_mutex_lock(&zipf_mutex);
    if (zipf.records != lane->settings->records) {
        double count = (double)lane->settings->records;
        zipf.zeta = zeta_of(lane->settings->records);
        zipf.alpha = 1 / (1 - ZIPF_THETA);
        zipf.eta = (1 - pow(2 / count, 1 - ZIPF_THETA)) / (1 - zeta_of(2) / zipf.zeta);
        zipf.records = lane->settings->records;
    }
    pthread_mutex_unlock(&zipf_mutex);
}

/* 0 is the most frequent. */
static uint64_t zipf_rank(struct lane *lane)
{
    zipf_prepare(lane);
    double u = (double)(bench_random_next(&lane->state) >> 11) / (double)(UINT64_C(1) << 53);
    double uz = u * zipf.zeta;
    if (uz < 1) {
        return 0;
    }
    if (uz < 1 + pow(0.5, ZIPF_THETA)) {
        return 1;
    }
    uint64_t rank = (uint64_t)((double)zipf.records * pow(zipf.eta * u - zipf.eta + 1, zipf.alpha));
    return rank < zipf.records ? rank : zipf.records - 1;
}

/* Frequent records lie all over the key space. */
static uint64_t zipf_record(struct lane *lane)
{
    uint64_t rank = zipf_rank(lane);
    return bench_random_next(&rank) % lane->settings->records;
}

static bool is_chance(struct lane *lane, uint32_t percent)
{
    return bench_random_next(&lane->state) % 100 < percent;
}

static void record_insert(struct lane *lane, void *worker)
{
    uint64_t more = __atomic_fetch_add(&inserted, 1, __ATOMIC_RELAXED);
    record_write(lane, worker, lane->settings->records + more, false);
}

static uint64_t read_or_update(struct lane *lane, void *worker, uint32_t read_percent)
{
    uint64_t number = zipf_record(lane);
    if (is_chance(lane, read_percent)) {
        record_read(lane, worker, number);
    } else {
        record_write(lane, worker, number, false);
    }
    return 1;
}

static uint64_t step_a(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return read_or_update(lane, worker, 50);
}

static uint64_t step_b(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return read_or_update(lane, worker, 95);
}

static uint64_t step_c(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return read_or_update(lane, worker, 100);
}

static uint64_t step_d(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    if (!is_chance(lane, 95)) {
        record_insert(lane, worker);
        return 1;
    }
    uint64_t newest = lane->settings->records + __atomic_load_n(&inserted, __ATOMIC_RELAXED);
    record_read(lane, worker, newest - 1 - zipf_rank(lane));
    return 1;
}

static uint64_t step_e(struct lane *lane, void *worker, uint64_t i)
{
    char room[BENCH_KEY_SIZE];
    struct bench_slice start = {room, BENCH_KEY_SIZE};
    (void)i;
    if (!is_chance(lane, 95)) {
        record_insert(lane, worker);
        return 1;
    }
    bench_key_write(room, zipf_record(lane));
    (void)lane->kind->walk(worker, &start, false,
                           1 + bench_random_next(&lane->state) % SCAN_RECORDS_MAX);
    return 1;
}

static uint64_t step_f(struct lane *lane, void *worker, uint64_t i)
{
    uint64_t number = zipf_record(lane);
    (void)i;
    record_read(lane, worker, number);
    if (!is_chance(lane, 50)) {
        record_write(lane, worker, number, false);
    }
    return 1;
}

const struct workload *ycsb_find(const char *name)
{
    static const struct workload workloads[] = {
        {"ycsb-a", step_a, WORKLOAD_TIMED}, {"ycsb-b", step_b, WORKLOAD_TIMED},
        {"ycsb-c", step_c, WORKLOAD_TIMED}, {"ycsb-d", step_d, WORKLOAD_TIMED},
        {"ycsb-e", step_e, WORKLOAD_TIMED}, {"ycsb-f", step_f, WORKLOAD_TIMED},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}
