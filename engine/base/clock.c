/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the product's clock: the operating system's, without state of its own.
 */
#include "engine/base/clock.h"

#include <errno.h>
#include <time.h>

#include "engine/base/assert.h"

enum { NS_PER_S = 1000000000, NS_PER_MS = 1000000, MS_PER_S = 1000 };

static uint64_t system_wall_ms(struct clock *clock)
{
    (void)clock;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    POLARYS_ASSERT(result == 0);
    /* A machine whose clock was never set may show a time before the epoch. */
    return now.tv_sec < 0 ? 0
                          : (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)(now.tv_nsec / NS_PER_MS);
}

static uint64_t system_monotonic_ns(struct clock *clock)
{
    (void)clock;
    struct timespec now;
    int result = clock_gettime(CLOCK_BOOTTIME, &now);
    POLARYS_ASSERT(result == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void system_sleep_ns(struct clock *clock, uint64_t duration_ns)
{
    (void)clock;
    struct timespec left = {.tv_sec = (time_t)(duration_ns / NS_PER_S),
                            .tv_nsec = (long)(duration_ns % NS_PER_S)};
    int result;
    do {
        result = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
    } while (result == EINTR);
    POLARYS_ASSERT(result == 0);
}

struct clock *clock_system(void)
{
    static struct clock system = {system_wall_ms, system_monotonic_ns, system_sleep_ns};
    return &system;
}
