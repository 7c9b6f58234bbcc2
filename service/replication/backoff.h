/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting between attempts: longer each time, with jitter so that nodes that lost the same primary do not
 * come back all at once, and ended at once from another thread.
 */
#ifndef SERVICE_REPLICATION_BACKOFF_H
#define SERVICE_REPLICATION_BACKOFF_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BACKOFF_MS_MIN = 100, BACKOFF_MS_MAX = 5000 };

struct backoff {
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    uint64_t ms;
    uint64_t seed;
    bool is_stopped;
    bool is_woken;
};

void backoff_init(struct backoff *backoff);
void backoff_deinit(struct backoff *backoff);
/* The next wait is the shortest again. */
void backoff_reset(struct backoff *backoff);
/* How long the next wait is, between half of its step and the whole: for backoff_wait and for tests. */
uint64_t backoff_next_ms(struct backoff *backoff);
/* Waits for backoff_next_ms. False when it was stopped. */
bool backoff_wait(struct backoff *backoff);
/* Any thread: ends the wait under way, or the next one. */
void backoff_wake(struct backoff *backoff);
/* Any thread: ends every wait from now on. */
void backoff_stop(struct backoff *backoff);
bool backoff_is_stopped(struct backoff *backoff);

#ifdef __cplusplus
}
#endif

#endif
