/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator: what is to be done, what one thread of it found, and the kinds of load.
 */
#ifndef CLIENT_CLI_BENCH_H
#define CLIENT_CLI_BENCH_H

#include "client/cli/bench_histogram.h"
#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

enum bench_kind {
    BENCH_PUT,
    BENCH_GET,
    BENCH_MIXED, /* 95 gets to 5 puts */
    BENCH_BULK,
    BENCH_SCAN,
    BENCH_KIND_COUNT,
};

enum {
    BENCH_CLIENTS_MAX = 1024,
    BENCH_IN_FLIGHT_MAX = 4096,
    BENCH_CALLS_MAX = 65536, /* clients times calls in flight */
    BENCH_THREADS = 2,       /* for calls; more would take the server's processors */
    BENCH_VALUE_BYTES_MIN = 32,
    BENCH_VALUE_BYTES_MAX = 1 << 20,
    BENCH_KEY_SIZE = 15, /* "key" and twelve digits */
    BENCH_BATCH_RECORDS = 500,
};

/* Immutable while threads run. */
struct bench_plan {
    enum bench_kind kind;
    struct polarys_client_options options; /* of a connection; strings borrowed */
    struct polarys_client_read read;
    const char *database;
    const char *table;
    uint32_t timeout_ms;
    enum polarys_client_durability durability;
    uint64_t client_count;
    uint64_t in_flight;
    uint64_t seconds;
    uint64_t value_size;
    uint64_t key_count;
    uint64_t rate; /* calls a second; 0: as many as there are answers */
};

/* What one thread did. */
struct bench_tally {
    uint64_t operations; /* that succeeded */
    uint64_t failures;
    uint64_t documents;
    uint64_t bytes;                   /* of keys and values */
    uint64_t start_ns;                /* once connected; 0: never was */
    uint64_t last_ns;                 /* of the last answer */
    struct bench_histogram latencies; /* nanoseconds */
    struct polarys_client_error first_failure;
};

/* One thread of the load. */
struct bench_worker {
    const struct bench_plan *plan;
    uint32_t index;
    uint32_t worker_count;
    uint64_t random; /* state of bench_random */
    uint64_t end_ns; /* no call starts later */
    struct bench_tally tally;
};

uint64_t bench_now_ns(void);
/* A fast generator for keys; no secret depends on it. */
uint64_t bench_random(uint64_t *state);
void bench_key_write(char key[BENCH_KEY_SIZE + 1], uint64_t number);
/* A JSON document of exactly plan->value_size bytes. */
void bench_value_write(char *value, const struct bench_plan *plan, uint64_t number,
                       uint64_t *random);
/* A connection of its own. NULL with the tally's first_failure. */
struct polarys_client *bench_client_open(struct bench_worker *worker);
void bench_failure_note(struct bench_tally *tally, const struct polarys_client_error *err);

/* Starts a worker's time. */
void bench_time_start(struct bench_worker *worker);

/* The kinds of load: each connects, then works for plan->seconds. */
void bench_calls_run(struct bench_worker *worker);
void bench_bulk_run(struct bench_worker *worker);
void bench_scan_run(struct bench_worker *worker);

/* Writes the keys 0..key_count, so that there is something to read. */
bool bench_fill(struct polarys_client *client, const struct bench_plan *plan,
                struct polarys_client_error *err);

#ifdef __cplusplus
}
#endif

#endif
