/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An executor in one thread: tasks run where the engine waits, or when the test says so, in an
 * order that a seed decides within each class. Waiting for what nobody can bring about any more
 * ends the test.
 */
#ifndef TESTS_SUPPORT_SIM_EXECUTOR_H
#define TESTS_SUPPORT_SIM_EXECUTOR_H

#include "engine/base/executor.h"
#include "tests/support/sim_clock.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SIM_EXECUTOR_RUN_MAX = 1000000, /* tasks of one run_all; more means that tasks breed */
    SIM_EXECUTOR_DEPTH_MAX = 64,    /* waits within tasks within waits */
};

struct sim_executor;

/* All calls, and all calls of the executor it gives, from the creating thread. `clock` is
 * borrowed. */
struct sim_executor *sim_executor_create(uint64_t seed, struct sim_clock *clock);

/* Runs what is queued, delayed tasks at once and without moving the clock, as the thread pool does;
 * accepts NULL. */
void sim_executor_destroy(struct sim_executor *executor);

/* Borrowed: valid until destroy. */
struct executor *sim_executor_base(struct sim_executor *executor);

/* Runs one task that is ready now; false when there is none. */
bool sim_executor_run_one(struct sim_executor *executor);

/* Runs tasks until none is ready; delayed tasks count once they are due. Returns how many ran. */
uint64_t sim_executor_run_all(struct sim_executor *executor);

/* Lets `duration_ns` pass, running what is ready and what becomes due on the way. */
void sim_executor_run_for(struct sim_executor *executor, uint64_t duration_ns);

/* Tasks that were submitted and have not run, delayed ones included. */
uint64_t sim_executor_pending_count(const struct sim_executor *executor);

#ifdef __cplusplus
}
#endif

#endif
