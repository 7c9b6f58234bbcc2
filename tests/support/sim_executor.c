/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the simulated executor. The invariant is that the run is decided by the seed and by what
 * the engine does: no thread, no real clock. A task that waits runs others within its own call;
 * what is below it on the stack cannot go on meanwhile, so two tasks that wait for each other's
 * later half show as a deadlock.
 */
#include "tests/support/sim_executor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/task_heap.h"
#include "tests/support/sim_random.h"

struct sim_queue {
    struct task *first;
    uint64_t count;
};

struct sim_executor {
    struct executor base;
    struct sim_clock *clock;
    struct sim_random random;
    pthread_t thread;
    struct sim_queue queues[EXECUTOR_CLASS_COUNT];
    struct task *delayed; /* a task_heap */
    uint64_t delayed_count;
    unsigned depth;
};

static struct sim_executor *sim_executor_of(struct executor *executor)
{
    return (struct sim_executor *)executor;
}

static void queue_push(struct sim_queue *queue, struct task *task)
{
    task->next = queue->first;
    queue->first = task;
    queue->count++;
}

static struct task *queue_take(struct sim_queue *queue, uint64_t index)
{
    POLARYS_ASSERT(index < queue->count);
    struct task **link = &queue->first;
    for (; index > 0; index--) {
        link = &(*link)->next;
    }
    struct task *task = *link;
    *link = task->next;
    queue->count--;
    return task;
}

static void sim_submit(struct executor *executor, enum executor_class kind, struct task *task)
{
    struct sim_executor *sim = sim_executor_of(executor);
    POLARYS_ASSERT(pthread_equal(pthread_self(), sim->thread));
    POLARYS_ASSERT(task->run != NULL && kind < EXECUTOR_CLASS_COUNT);
    queue_push(&sim->queues[kind], task);
}

static void sim_submit_after(struct executor *executor, enum executor_class kind, struct task *task,
                             uint64_t delay_ns)
{
    struct sim_executor *sim = sim_executor_of(executor);
    POLARYS_ASSERT(pthread_equal(pthread_self(), sim->thread));
    POLARYS_ASSERT(task->run != NULL && kind < EXECUTOR_CLASS_COUNT);
    uint64_t now_ns = clock_monotonic_ns(&sim->clock->base);
    task->kind = kind;
    task->due_ns = delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns;
    task_heap_push(&sim->delayed, task);
    sim->delayed_count++;
}

static void delayed_promote(struct sim_executor *sim)
{
    struct task *task = task_heap_pop(&sim->delayed);
    sim->delayed_count--;
    queue_push(&sim->queues[task->kind], task);
}

static void due_promote(struct sim_executor *sim)
{
    uint64_t now_ns = clock_monotonic_ns(&sim->clock->base);
    while (sim->delayed != NULL && sim->delayed->due_ns <= now_ns) {
        delayed_promote(sim);
    }
}

/* Moves time to `at_ns`; it may be there already. */
static void time_move_to(struct sim_executor *sim, uint64_t at_ns)
{
    uint64_t now_ns = clock_monotonic_ns(&sim->clock->base);
    if (at_ns > now_ns) {
        sim_clock_advance(sim->clock, at_ns - now_ns);
    }
}

bool sim_executor_run_one(struct sim_executor *sim)
{
    due_promote(sim);
    for (unsigned kind = 0; kind < EXECUTOR_CLASS_COUNT; kind++) {
        struct sim_queue *queue = &sim->queues[kind];
        if (queue->count > 0) {
            POLARYS_ASSERT(sim->depth < SIM_EXECUTOR_DEPTH_MAX);
            struct task *task = queue_take(queue, sim_random_below(&sim->random, queue->count));
            sim->depth++;
            task->run(task);
            sim->depth--;
            return true;
        }
    }
    return false;
}

static void deadlock_report(const struct sim_executor *sim)
{
    (void)fprintf(stderr,
                  "simulated executor: deadlock: a wait without a timeout, at depth %u and %" PRIu64
                  " ns, but no task is queued or delayed\n",
                  sim->depth, sim->clock->monotonic_ns);
    polarys_assert_failed("some task can end the wait", __FILE__, __LINE__, __func__);
}

/* With nothing to run, time passes: to the next delayed task or to the deadline, whichever is
 * first. False at the deadline. */
static bool idle_until(struct sim_executor *sim, uint64_t deadline_ns)
{
    bool is_task_next = sim->delayed != NULL && sim->delayed->due_ns <= deadline_ns;
    time_move_to(sim, is_task_next ? sim->delayed->due_ns : deadline_ns);
    return is_task_next;
}

/* Not analysed: callers come through a function pointer, which carries no REQUIRES. */
NO_THREAD_SAFETY_ANALYSIS static bool sim_wait(struct executor *executor,
                                               struct condition *condition, struct mutex *mutex,
                                               uint64_t timeout_ns)
{
    struct sim_executor *sim = sim_executor_of(executor);
    (void)condition; /* callers look at their own predicate each time a task has run */
    POLARYS_ASSERT(pthread_equal(pthread_self(), sim->thread));
    POLARYS_ASSERT(mutex_is_held(mutex));
    uint64_t now_ns = clock_monotonic_ns(&sim->clock->base);
    bool is_bounded = timeout_ns != 0 && timeout_ns < UINT64_MAX - now_ns;
    uint64_t deadline_ns = is_bounded ? now_ns + timeout_ns : UINT64_MAX;
    mutex_unlock(mutex);
    bool is_run = sim_executor_run_one(sim);
    if (!is_run) {
        if (!is_bounded && sim->delayed == NULL) {
            deadlock_report(sim);
        }
        is_run = idle_until(sim, deadline_ns) && sim_executor_run_one(sim);
    }
    mutex_lock(mutex);
    return is_run;
}

struct sim_executor *sim_executor_create(uint64_t seed, struct sim_clock *clock)
{
    struct sim_executor *sim = calloc(1, sizeof(*sim));
    POLARYS_ASSERT(sim != NULL);
    sim->base = (struct executor){sim_submit, sim_submit_after, sim_wait, &clock->base};
    sim->clock = clock;
    sim->thread = pthread_self();
    sim_random_init(&sim->random, seed);
    return sim;
}

void sim_executor_destroy(struct sim_executor *sim)
{
    if (sim == NULL) {
        return;
    }
    POLARYS_ASSERT(sim->depth == 0);
    do {
        while (sim->delayed != NULL) {
            delayed_promote(sim);
        }
    } while (sim_executor_run_all(sim) > 0 || sim->delayed != NULL);
    free(sim);
}

struct executor *sim_executor_base(struct sim_executor *sim)
{
    return &sim->base;
}

uint64_t sim_executor_run_all(struct sim_executor *sim)
{
    uint64_t run_count = 0;
    while (sim_executor_run_one(sim)) {
        run_count++;
        POLARYS_ASSERT(run_count < SIM_EXECUTOR_RUN_MAX);
    }
    return run_count;
}

void sim_executor_run_for(struct sim_executor *sim, uint64_t duration_ns)
{
    uint64_t deadline_ns = clock_monotonic_ns(&sim->clock->base) + duration_ns;
    do {
        (void)sim_executor_run_all(sim);
    } while (idle_until(sim, deadline_ns));
}

uint64_t sim_executor_pending_count(const struct sim_executor *sim)
{
    uint64_t count = sim->delayed_count;
    for (unsigned kind = 0; kind < EXECUTOR_CLASS_COUNT; kind++) {
        count += sim->queues[kind].count;
    }
    return count;
}
