/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps double from BACKOFF_MS_MIN to BACKOFF_MS_MAX; a wait is a random part of the upper half of its
 * step. The jitter needs no secret: it only has to differ between nodes.
 */
#include "service/replication/backoff.h"

#include <unistd.h>

#include "service/server/timing.h"

void backoff_init(struct backoff *backoff)
{
    pthread_condattr_t attributes;
    *backoff = (struct backoff){.ms = BACKOFF_MS_MIN};
    backoff->seed = timing_now_ns() ^ ((uint64_t)getpid() << 40) ^ (uintptr_t)backoff;
    (void)pthread_mutex_init(&backoff->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&backoff->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void backoff_deinit(struct backoff *backoff)
{
    (void)pthread_cond_destroy(&backoff->changed);
    (void)pthread_mutex_destroy(&backoff->mutex);
}

void backoff_reset(struct backoff *backoff)
{
    (void)pthread_mutex_lock(&backoff->mutex);
    backoff->ms = BACKOFF_MS_MIN;
    (void)pthread_mutex_unlock(&backoff->mutex);
}

/* REQUIRES: the mutex. */
static uint64_t next_ms_locked(struct backoff *backoff)
{
    uint64_t step = backoff->ms;
    backoff->ms = step * 2 > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : step * 2;
    backoff->seed = backoff->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return step / 2 + (backoff->seed >> 33) % (step / 2 + 1);
}

uint64_t backoff_next_ms(struct backoff *backoff)
{
    (void)pthread_mutex_lock(&backoff->mutex);
    uint64_t ms = next_ms_locked(backoff);
    (void)pthread_mutex_unlock(&backoff->mutex);
    return ms;
}

bool backoff_wait(struct backoff *backoff)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    (void)pthread_mutex_lock(&backoff->mutex);
    uint64_t ms = next_ms_locked(backoff);
    end.tv_nsec += (long)(ms % 1000) * TIMING_NS_PER_MS;
    end.tv_sec += (time_t)(ms / 1000) + end.tv_nsec / TIMING_NS_PER_S;
    end.tv_nsec %= TIMING_NS_PER_S;
    int error = 0;
    while (!backoff->is_stopped && !backoff->is_woken && error == 0) {
        error = pthread_cond_timedwait(&backoff->changed, &backoff->mutex, &end);
    }
    backoff->is_woken = false;
    bool goes_on = !backoff->is_stopped;
    (void)pthread_mutex_unlock(&backoff->mutex);
    return goes_on;
}

void backoff_wake(struct backoff *backoff)
{
    (void)pthread_mutex_lock(&backoff->mutex);
    backoff->is_woken = true;
    (void)pthread_cond_broadcast(&backoff->changed);
    (void)pthread_mutex_unlock(&backoff->mutex);
}

void backoff_stop(struct backoff *backoff)
{
    (void)pthread_mutex_lock(&backoff->mutex);
    backoff->is_stopped = true;
    (void)pthread_cond_broadcast(&backoff->changed);
    (void)pthread_mutex_unlock(&backoff->mutex);
}

bool backoff_is_stopped(struct backoff *backoff)
{
    (void)pthread_mutex_lock(&backoff->mutex);
    bool is_stopped = backoff->is_stopped;
    (void)pthread_mutex_unlock(&backoff->mutex);
    return is_stopped;
}
