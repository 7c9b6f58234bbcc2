/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts calls. A worker is the only writer of its cells, so a plain load and store, both relaxed
 * atomics, is enough and costs next to nothing; a reader may see a call's count before its bucket,
 * never a torn number.
 */
#include "service/admin/metrics.h"

#include "service/server/check.h"
#include "service/server/server.h"
#include "service/server/timing.h"

static const uint64_t bounds_us[METRICS_BUCKETS - 1] = {
    50,    100,    200,    500,    1000,    2000,    5000,    10000,    20000,
    50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000,
};

uint64_t metrics_bucket_bound_ns(unsigned bucket)
{
    SERVICE_ASSERT(bucket < METRICS_BUCKETS);
    return bucket == METRICS_BUCKETS - 1 ? UINT64_MAX : bounds_us[bucket] * TIMING_NS_PER_US;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written through an atomic */
static void counter_add(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

static uint64_t counter_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void metrics_call_begin(struct metrics_worker *metrics, size_t method)
{
    SERVICE_ASSERT(method < METRICS_METHODS);
    counter_add(&metrics->active[method], 1);
}

static unsigned bucket_of(uint64_t duration_ns)
{
    unsigned bucket = 0;
    while (bucket < METRICS_BUCKETS - 1 && duration_ns > bounds_us[bucket] * TIMING_NS_PER_US) {
        bucket++;
    }
    return bucket;
}

void metrics_call_end(struct metrics_worker *metrics, size_t method, unsigned status,
                      uint64_t duration_ns, bool is_timed)
{
    SERVICE_ASSERT(method < METRICS_METHODS);
    struct metrics_cell *cell =
        &metrics->cells[method][status < METRICS_STATUS_COUNT ? status : GRPC_STATUS_UNKNOWN];
    counter_add(&metrics->active[method], UINT64_MAX); /* one less */
    counter_add(&cell->count, 1);
    if (is_timed) {
        counter_add(&cell->sum_ns, duration_ns);
        counter_add(&cell->buckets[bucket_of(duration_ns)], 1);
    }
}

void metrics_total_get(const struct server *server, size_t method, struct metrics_total *total)
{
    *total = (struct metrics_total){0};
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct metrics_worker *worker = server->workers[i].metrics;
        total->active += counter_get(&worker->active[method]);
        for (unsigned status = 0; status < METRICS_STATUS_COUNT; status++) {
            uint64_t count = counter_get(&worker->cells[method][status].count);
            if (status == GRPC_STATUS_OK) {
                total->succeeded += count;
            } else {
                total->failed += count;
            }
        }
    }
}

void metrics_cell_sum(const struct server *server, size_t method, unsigned status,
                      struct metrics_cell *sum)
{
    *sum = (struct metrics_cell){0};
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct metrics_cell *cell = &server->workers[i].metrics->cells[method][status];
        for (unsigned bucket = 0; bucket < METRICS_BUCKETS; bucket++) {
            sum->buckets[bucket] += counter_get(&cell->buckets[bucket]);
        }
        sum->count += counter_get(&cell->count);
        sum->sum_ns += counter_get(&cell->sum_ns);
    }
}
