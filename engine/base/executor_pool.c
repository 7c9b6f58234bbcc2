/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the product's threads for background work. Invariants: while a task is queued, no idle
 * worker that may run it is left asleep; while a task is delayed, one idle worker (the
 * timekeeper) sleeps no longer than until it is due, or a busy worker will look. Each worker has
 * its own condition, so one task wakes one thread. Tasks are linked through themselves, so
 * nothing here can fail after creation.
 *
 * Worker 0 never runs COMPACT work when there are other workers.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/executor.h"
#include "engine/base/task_heap.h"

enum { POOL_THREADS_MAX = 64 };

struct task_queue {
    struct task *first;
    struct task **last; /* where the next one is linked */
};

struct pool_worker {
    struct executor_pool *pool;
    pthread_t thread;
    struct condition wake;
    bool is_idle;     /* asleep and not yet told to wake; guarded by the pool's mutex */
    bool is_reserved; /* runs no COMPACT work unless the pool stops */
};

struct executor_pool {
    struct executor base;

    /* Immutable after creation. */
    uint32_t thread_count;

    /* Guarded by mutex. */
    struct mutex mutex;
    struct task_queue queues[EXECUTOR_CLASS_COUNT];
    struct task *delayed; /* a task_heap */
    struct pool_worker *timekeeper;
    bool is_stopping;

    struct pool_worker workers[];
};

static struct executor_pool *pool_of(struct executor *executor)
{
    return (struct executor_pool *)executor;
}

static void queue_push(struct task_queue *queue, struct task *task)
{
    task->next = NULL;
    *queue->last = task;
    queue->last = &task->next;
}

static struct task *queue_pop(struct task_queue *queue)
{
    struct task *task = queue->first;
    if (task != NULL) {
        queue->first = task->next;
        queue->last = queue->first == NULL ? &queue->first : queue->last;
        task->next = NULL;
    }
    return task;
}

static bool worker_may_run(const struct pool_worker *worker, enum executor_class kind)
{
    return !worker->is_reserved || kind != EXECUTOR_COMPACT || worker->pool->is_stopping;
}

static void worker_wake(struct pool_worker *worker)
{
    POLARYS_ASSERT(worker->is_idle);
    worker->is_idle = false;
    condition_signal(&worker->wake);
}

/* The reserved worker comes first in the array, so that urgent work leaves the others for
 * COMPACT. */
static struct pool_worker *pool_find_idle(struct executor_pool *pool, enum executor_class kind)
{
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        if (pool->workers[i].is_idle && worker_may_run(&pool->workers[i], kind)) {
            return &pool->workers[i];
        }
    }
    return NULL;
}

/* Wakes one worker for the most urgent queued task that an idle worker may run; it wakes the
 * next. */
static void pool_wake_for_queued(struct executor_pool *pool)
{
    for (unsigned kind = 0; kind < EXECUTOR_CLASS_COUNT; kind++) {
        struct pool_worker *worker = pool->queues[kind].first == NULL
                                         ? NULL
                                         : pool_find_idle(pool, (enum executor_class)kind);
        if (worker != NULL) {
            worker_wake(worker);
            return;
        }
    }
}

/* Sees to it that somebody watches the clock while tasks are delayed. */
static void pool_wake_timekeeper(struct executor_pool *pool)
{
    if (pool->delayed != NULL && pool->timekeeper == NULL) {
        struct pool_worker *worker = pool_find_idle(pool, EXECUTOR_READ);
        if (worker != NULL) {
            worker_wake(worker);
        }
    }
}

static void pool_submit(struct executor *executor, enum executor_class kind, struct task *task)
{
    POLARYS_ASSERT(kind < EXECUTOR_CLASS_COUNT);
    POLARYS_ASSERT(task->run != NULL);
    struct executor_pool *pool = pool_of(executor);
    mutex_lock(&pool->mutex);
    queue_push(&pool->queues[kind], task);
    struct pool_worker *worker = pool_find_idle(pool, kind);
    if (worker != NULL) {
        worker_wake(worker);
    }
    mutex_unlock(&pool->mutex);
}

static void pool_submit_after(struct executor *executor, enum executor_class kind,
                              struct task *task, uint64_t delay_ns)
{
    POLARYS_ASSERT(kind < EXECUTOR_CLASS_COUNT);
    POLARYS_ASSERT(task->run != NULL);
    struct executor_pool *pool = pool_of(executor);
    uint64_t now_ns = clock_monotonic_ns(executor->clock);
    task->kind = kind;
    task->due_ns = delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns;
    mutex_lock(&pool->mutex);
    task_heap_push(&pool->delayed, task);
    if (pool->timekeeper == NULL) {
        pool_wake_timekeeper(pool);
    } else if (pool->delayed == task && pool->timekeeper->is_idle) {
        worker_wake(pool->timekeeper); /* it sleeps for too long now */
    }
    mutex_unlock(&pool->mutex);
}

/* Moves the tasks that are due to their queues; all of them once the pool stops. */
static void pool_promote_due(struct executor_pool *pool)
{
    if (pool->delayed == NULL) {
        return;
    }
    uint64_t now_ns = clock_monotonic_ns(pool->base.clock);
    while (pool->delayed != NULL && (pool->is_stopping || pool->delayed->due_ns <= now_ns)) {
        struct task *task = task_heap_pop(&pool->delayed);
        queue_push(&pool->queues[task->kind], task);
    }
}

static struct task *worker_take(struct pool_worker *worker)
{
    struct executor_pool *pool = worker->pool;
    struct task *task = NULL;
    for (unsigned kind = 0; kind < EXECUTOR_CLASS_COUNT && task == NULL; kind++) {
        if (worker_may_run(worker, (enum executor_class)kind)) {
            task = queue_pop(&pool->queues[kind]);
        }
    }
    return task;
}

/* REQUIRES: the pool's mutex, which clang cannot follow through `worker`. Sleeps until woken;
 * the first to fall asleep while tasks are delayed also wakes when one is due. */
NO_THREAD_SAFETY_ANALYSIS static void worker_sleep(struct pool_worker *worker)
{
    struct executor_pool *pool = worker->pool;
    uint64_t timeout_ns = 0;
    if (pool->delayed != NULL && pool->timekeeper == NULL) {
        uint64_t now_ns = clock_monotonic_ns(pool->base.clock);
        if (pool->delayed->due_ns <= now_ns) {
            return;
        }
        pool->timekeeper = worker;
        timeout_ns = pool->delayed->due_ns - now_ns;
    }
    worker->is_idle = true;
    /* Why it woke does not matter: worker_run looks at the queues and the clock in every round. */
    (void)condition_wait(&worker->wake, &pool->mutex, timeout_ns);
    worker->is_idle = false;
    if (pool->timekeeper == worker) {
        pool->timekeeper = NULL;
    }
}

static bool pool_is_drained(const struct executor_pool *pool)
{
    bool is_drained = pool->is_stopping && pool->delayed == NULL;
    for (unsigned kind = 0; kind < EXECUTOR_CLASS_COUNT; kind++) {
        is_drained = is_drained && pool->queues[kind].first == NULL;
    }
    return is_drained;
}

static void *worker_run(void *argument)
{
    struct pool_worker *worker = argument;
    struct executor_pool *pool = worker->pool;
    mutex_lock(&pool->mutex);
    while (!pool_is_drained(pool)) {
        pool_promote_due(pool);
        struct task *task = worker_take(worker);
        /* Another may take what is left, and the clock has to be watched while this one works. */
        pool_wake_for_queued(pool);
        if (task == NULL) {
            worker_sleep(worker);
            continue;
        }
        pool_wake_timekeeper(pool);
        mutex_unlock(&pool->mutex);
        task->run(task);
        mutex_lock(&pool->mutex);
    }
    mutex_unlock(&pool->mutex);
    return NULL;
}

/* Not analysed: callers come through a function pointer, which carries no REQUIRES. */
NO_THREAD_SAFETY_ANALYSIS static bool pool_wait(struct executor *executor,
                                                struct condition *condition, struct mutex *mutex,
                                                uint64_t timeout_ns)
{
    (void)executor;
    return condition_wait(condition, mutex, timeout_ns);
}

/* Starts the threads with all signals blocked, so that the host's own threads get them. */
static enum polarys_code pool_start(struct executor_pool *pool, uint32_t thread_count,
                                    struct polarys_error *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int result = pthread_sigmask(SIG_SETMASK, &all, &before);
    POLARYS_ASSERT(result == 0);
    /* Workers look at thread_count, so the mutex keeps them out until it is final. */
    mutex_lock(&pool->mutex);
    while (result == 0 && pool->thread_count < thread_count) {
        struct pool_worker *worker = &pool->workers[pool->thread_count];
        worker->pool = pool;
        worker->is_reserved = pool->thread_count == 0 && thread_count > 1;
        condition_init(&worker->wake);
        result = pthread_create(&worker->thread, NULL, worker_run, worker);
        if (result == 0) {
            char name[16];
            (void)snprintf(name, sizeof(name), "polarys-bg-%u", (unsigned)pool->thread_count);
            (void)pthread_setname_np(worker->thread, name);
            pool->thread_count++;
        } else {
            condition_deinit(&worker->wake);
        }
    }
    mutex_unlock(&pool->mutex);
    int restored = pthread_sigmask(SIG_SETMASK, &before, NULL);
    POLARYS_ASSERT(restored == 0);
    return result == 0 ? POLARYS_OK : polarys_fail_errno(err, result, "start a background thread");
}

enum polarys_code executor_pool_create(uint32_t thread_count, struct clock *clock,
                                       struct executor **out, struct polarys_error *err)
{
    POLARYS_ASSERT(thread_count >= 1 && thread_count <= POOL_THREADS_MAX);
    *out = NULL;
    struct executor_pool *pool =
        calloc(1, sizeof(*pool) + thread_count * sizeof(struct pool_worker));
    if (pool == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a thread pool");
    }
    pool->base = (struct executor){pool_submit, pool_submit_after, pool_wait, clock};
    mutex_init(&pool->mutex, MUTEX_RANK_EXECUTOR);
    for (unsigned kind = 0; kind < EXECUTOR_CLASS_COUNT; kind++) {
        pool->queues[kind].last = &pool->queues[kind].first;
    }
    enum polarys_code code = pool_start(pool, thread_count, err);
    if (code != POLARYS_OK) {
        executor_pool_destroy(&pool->base);
        return code;
    }
    *out = &pool->base;
    return POLARYS_OK;
}

void executor_pool_destroy(struct executor *executor)
{
    if (executor == NULL) {
        return;
    }
    struct executor_pool *pool = pool_of(executor);
    mutex_lock(&pool->mutex);
    pool->is_stopping = true;
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        if (pool->workers[i].is_idle) {
            worker_wake(&pool->workers[i]);
        }
    }
    mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        int result = pthread_join(pool->workers[i].thread, NULL);
        POLARYS_ASSERT(result == 0);
        condition_deinit(&pool->workers[i].wake);
    }
    POLARYS_ASSERT(pool->delayed == NULL);
    mutex_deinit(&pool->mutex);
    free(pool);
}
