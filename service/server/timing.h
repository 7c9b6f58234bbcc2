/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's clock: nanoseconds of CLOCK_BOOTTIME, the clock in which the engine takes
 * deadlines.
 */
#ifndef SERVICE_SERVER_TIMING_H
#define SERVICE_SERVER_TIMING_H

#include <stdint.h>
#include <time.h>

enum {
    TIMING_NS_PER_US = 1000,
    TIMING_NS_PER_MS = 1000000,
    TIMING_NS_PER_S = 1000000000,
};

/* Never goes back; counts time while the machine is suspended. Any thread. */
static inline uint64_t timing_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail for this clock on Linux */
    return (uint64_t)now.tv_sec * TIMING_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The time in `ms` from now, by CLOCK_MONOTONIC, for waits on a condition of that clock. */
static inline void timing_deadline(struct timespec *end, uint64_t ms)
{
    (void)clock_gettime(CLOCK_MONOTONIC, end);
    end->tv_sec += (time_t)(ms / 1000);
    end->tv_nsec += (long)(ms % 1000) * TIMING_NS_PER_MS;
    if (end->tv_nsec >= TIMING_NS_PER_S) {
        end->tv_sec++;
        end->tv_nsec -= TIMING_NS_PER_S;
    }
}

/* Milliseconds since the Unix epoch; may step back. Any thread. */
static inline uint64_t timing_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / TIMING_NS_PER_MS;
}

#endif
