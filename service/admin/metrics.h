/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server measures: calls by method and status code, with a histogram of their times. Each
 * worker counts on its own; only the reader adds up.
 */
#ifndef SERVICE_ADMIN_METRICS_H
#define SERVICE_ADMIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "service/rpc/method.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    METRICS_BUCKETS = 18,                      /* of a histogram, the last one without bound */
    METRICS_STATUS_COUNT = 17,                 /* gRPC codes */
    METRICS_METHOD_UNKNOWN = METHOD_COUNT_MAX, /* calls of no known method */
    METRICS_METHODS = METHOD_COUNT_MAX + 1,
};

/* Of one method and one status. Written by one worker, read by any; all fields atomic. */
struct metrics_cell {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t buckets[METRICS_BUCKETS]; /* not cumulative */
};

struct metrics_worker {
    struct metrics_cell cells[METRICS_METHODS][METRICS_STATUS_COUNT];
    uint64_t active[METRICS_METHODS];
};

struct server;

/* Upper bound of a bucket in nanoseconds; UINT64_MAX for the last. */
uint64_t metrics_bucket_bound_ns(unsigned bucket);

/* One call has begun. On the worker's thread. */
void metrics_call_begin(struct metrics_worker *metrics, size_t method);
/* One call has ended. `method` is its place in the table. On the worker's thread. */
void metrics_call_end(struct metrics_worker *metrics, size_t method, unsigned status,
                      uint64_t duration_ns, bool is_timed);

/* Sums over the workers. */
struct metrics_total {
    uint64_t succeeded;
    uint64_t failed;
    uint64_t active;
};
void metrics_total_get(const struct server *server, size_t method, struct metrics_total *total);

/* Of one method and status, over the workers. */
void metrics_cell_sum(const struct server *server, size_t method, unsigned status,
                      struct metrics_cell *sum);

/*
 * The whole of /metrics as Prometheus text, NUL-terminated in *text, to be freed by the caller.
 * Reads files of /proc. Errors: NO_MEMORY, and those of polarys_db_status_get.
 */
NODISCARD enum polarys_code metrics_render(const struct server *server, char **text, size_t *size,
                                           struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
