/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Background work behind a vtable: a thread pool in the product, a seeded single-threaded
 * scheduler in tests. Every wait of the engine for other work goes through executor_wait, so
 * that the whole engine runs in one thread under the simulator.
 */
#ifndef ENGINE_BASE_EXECUTOR_H
#define ENGINE_BASE_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/mutex.h"

#ifdef __cplusplus
extern "C" {
#endif

enum executor_class {
    EXECUTOR_READ,    /* a caller waits: cold reads */
    EXECUTOR_FLUSH,   /* writers may wait: memtable flush, log preparation */
    EXECUTOR_COMPACT, /* nobody waits yet */
    EXECUTOR_CLASS_COUNT
};

/*
 * A piece of work. Embedded by its owner and left alone from submit until `run` is entered; from
 * then on it may be submitted again or freed. The owner sets `run`; the rest is the executor's
 * and needs no value: queues and the heap of delayed tasks are linked through the tasks, so that
 * submitting never allocates.
 */
struct task {
    void (*run)(struct task *task);
    struct task *next;
    struct task *child;
    uint64_t due_ns; /* monotonic */
    enum executor_class kind;
};

struct executor {
    /* Queues the task; it runs once, on another thread or later in this one, with no lock held.
     * Never blocks, never fails. */
    void (*submit)(struct executor *executor, enum executor_class kind, struct task *task);
    /* Queues the task to run not before `delay_ns` has passed. */
    void (*submit_after)(struct executor *executor, enum executor_class kind, struct task *task,
                         uint64_t delay_ns);
    /* Waits on `condition` with `mutex` held, as condition_wait; a simulator runs a task
     * instead. */
    bool (*wait)(struct executor *executor, struct condition *condition, struct mutex *mutex,
                 uint64_t timeout_ns);
    struct clock *clock;
};

/*
 * A pool of `thread_count` (1..64) threads. One of them is kept for READ and FLUSH work when
 * there are two or more, so a long compaction never holds up a flush. Threads block all signals.
 * Errors: NO_MEMORY, IO.
 */
NODISCARD enum polarys_code executor_pool_create(uint32_t thread_count, struct clock *clock,
                                                 struct executor **out, struct polarys_error *err);
/* Runs what is queued (delayed tasks at once, without their delay), and what those tasks submit,
 * and joins the threads; accepts NULL. A task that submits itself again has to stop doing so
 * first. */
void executor_pool_destroy(struct executor *executor);

static inline void executor_submit(struct executor *executor, enum executor_class kind,
                                   struct task *task)
{
    executor->submit(executor, kind, task);
}

static inline void executor_submit_after(struct executor *executor, enum executor_class kind,
                                         struct task *task, uint64_t delay_ns)
{
    executor->submit_after(executor, kind, task, delay_ns);
}

/* timeout_ns 0 waits for ever; false when the time ran out. Callers loop on their own predicate. */
static inline bool executor_wait(struct executor *executor, struct condition *condition,
                                 struct mutex *mutex, uint64_t timeout_ns)
{
    return executor->wait(executor, condition, mutex, timeout_ns);
}

#ifdef __cplusplus
}
#endif

#endif
