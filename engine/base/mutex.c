/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns mutexes and conditions, and in debug builds each thread's list of the mutexes it holds.
 * The invariant checked there: ranks in that list rise strictly, so no two threads can wait for
 * each other. It offers no recursive or shared locking.
 */
#include "engine/base/mutex.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "engine/base/assert.h"

enum { NS_PER_S = 1000000000 };

#if defined(POLARYS_DEBUG)

enum { MUTEX_HELD_MAX = 16 };

static _Thread_local const struct mutex *held[MUTEX_HELD_MAX];
static _Thread_local unsigned held_count;

/* Before taking it, so that a wrong order is reported and not waited for. */
static void held_check(const struct mutex *mutex)
{
    POLARYS_ASSERT(held_count < MUTEX_HELD_MAX);
    for (unsigned i = 0; i < held_count; i++) {
        POLARYS_ASSERT(held[i] != mutex);
        POLARYS_ASSERT(held[i]->rank < mutex->rank);
    }
}

static void held_add(const struct mutex *mutex)
{
    held[held_count++] = mutex;
}

static void held_remove(const struct mutex *mutex)
{
    unsigned i = held_count;
    while (i > 0 && held[i - 1] != mutex) {
        i--;
    }
    POLARYS_ASSERT(i > 0);
    for (; i < held_count; i++) {
        held[i - 1] = held[i];
    }
    held_count--;
}

bool mutex_is_held(const struct mutex *mutex)
{
    for (unsigned i = 0; i < held_count; i++) {
        if (held[i] == mutex) {
            return true;
        }
    }
    return false;
}

#else

static void held_check(const struct mutex *mutex)
{
    (void)mutex;
}

static void held_add(const struct mutex *mutex)
{
    (void)mutex;
}

static void held_remove(const struct mutex *mutex)
{
    (void)mutex;
}

bool mutex_is_held(const struct mutex *mutex)
{
    (void)mutex;
    return true;
}

#endif

void mutex_init(struct mutex *mutex, enum mutex_rank rank)
{
    int result = pthread_mutex_init(&mutex->handle, NULL);
    POLARYS_ASSERT(result == 0);
    mutex->rank = rank;
}

void mutex_deinit(struct mutex *mutex)
{
    int result = pthread_mutex_destroy(&mutex->handle);
    POLARYS_ASSERT(result == 0);
}

NO_THREAD_SAFETY_ANALYSIS void mutex_lock(struct mutex *mutex)
{
    held_check(mutex);
    int result = pthread_mutex_lock(&mutex->handle);
    POLARYS_ASSERT(result == 0);
    held_add(mutex);
}

NO_THREAD_SAFETY_ANALYSIS void mutex_unlock(struct mutex *mutex)
{
    held_remove(mutex);
    int result = pthread_mutex_unlock(&mutex->handle);
    POLARYS_ASSERT(result == 0);
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;
    int result = pthread_condattr_init(&attributes);
    POLARYS_ASSERT(result == 0);
    result = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    POLARYS_ASSERT(result == 0);
    result = pthread_cond_init(&condition->handle, &attributes);
    POLARYS_ASSERT(result == 0);
    result = pthread_condattr_destroy(&attributes);
    POLARYS_ASSERT(result == 0);
}

void condition_deinit(struct condition *condition)
{
    int result = pthread_cond_destroy(&condition->handle);
    POLARYS_ASSERT(result == 0);
}

void condition_signal(struct condition *condition)
{
    int result = pthread_cond_signal(&condition->handle);
    POLARYS_ASSERT(result == 0);
}

void condition_broadcast(struct condition *condition)
{
    int result = pthread_cond_broadcast(&condition->handle);
    POLARYS_ASSERT(result == 0);
}

/* The monotonic time `timeout_ns` from now; the longest timeout, 584 years, fits as well. */
static struct timespec deadline_after(uint64_t timeout_ns)
{
    struct timespec deadline;
    int result = clock_gettime(CLOCK_MONOTONIC, &deadline);
    POLARYS_ASSERT(result == 0);
    deadline.tv_sec += (time_t)(timeout_ns / NS_PER_S);
    deadline.tv_nsec += (long)(timeout_ns % NS_PER_S);
    if (deadline.tv_nsec >= NS_PER_S) {
        deadline.tv_nsec -= NS_PER_S;
        deadline.tv_sec++;
    }
    return deadline;
}

NO_THREAD_SAFETY_ANALYSIS bool condition_wait(struct condition *condition, struct mutex *mutex,
                                              uint64_t timeout_ns)
{
    POLARYS_ASSERT(mutex_is_held(mutex));
    held_remove(mutex);
    /* It is taken again at the end, so it has to be the innermost one here as well. */
    held_check(mutex);
    int result;
    if (timeout_ns == 0) {
        result = pthread_cond_wait(&condition->handle, &mutex->handle);
    } else {
        struct timespec deadline = deadline_after(timeout_ns);
        result = pthread_cond_timedwait(&condition->handle, &mutex->handle, &deadline);
    }
    POLARYS_ASSERT(result == 0 || result == ETIMEDOUT);
    held_add(mutex);
    return result == 0;
}
