/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine benchmark is told, and what a workload is made of. A workload is a step that every lane, a
 * thread with a worker of the store, takes again and again.
 */
#ifndef BENCH_ENGINE_RUN_H
#define BENCH_ENGINE_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/stores/store.h"
#include "bench/support/histogram.h"

enum { BATCH_MAX = 1000, THREADS_MAX = 256 };

struct settings {
    struct bench_config config;
    const char *lines_path; /* of the documents for `lines` */
    uint64_t records;
    uint64_t ops;
    uint32_t threads;
    uint32_t value_size;
    uint32_t seconds;
};

struct workload;

/* One workload, one thread. */
struct lane {
    const struct bench_store_kind *kind;
    struct bench_store *store;
    const struct settings *settings;
    const struct workload *workload;
    uint32_t index;
    uint64_t state; /* of the random numbers */
    uint64_t done;  /* records */
    uint64_t missing;
    bool is_at_end; /* a step found nothing more to do */
    void *source;   /* the step's own, freed after the last one; NULL at first */
    struct histogram latencies;
    pthread_t thread;
};

enum workload_flag {
    WORKLOAD_SINGLE = 1,      /* one thread whatever --threads says */
    WORKLOAD_WITH_WRITER = 2, /* a further thread overwrites at full speed, not counted */
    WORKLOAD_WHOLE = 4,       /* goes on until all is done, whatever --seconds says */
    WORKLOAD_TIMED = 8,       /* goes on until the time is over, whatever --ops says */
};

struct workload {
    const char *name;
    /* One operation; returns the records it covered. */
    uint64_t (*step)(struct lane *lane, void *worker, uint64_t i);
    unsigned flags;
};

/* NULL when there is none. */
const struct workload *workload_find(const char *name);
/* The same among YCSB's. */
const struct workload *ycsb_find(const char *name);

/* Steps that several workloads are made of. */
uint64_t step_overwrite(struct lane *lane, void *worker, uint64_t i);
/* One line of settings->lines_path a record, keyed by its first string. */
uint64_t step_lines(struct lane *lane, void *worker, uint64_t i);
void record_read(struct lane *lane, void *worker, uint64_t number);
void record_write(struct lane *lane, void *worker, uint64_t number, bool is_synced);

#endif
