/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time behind a vtable, so that a test can own it. Wall time is for expiry and for people; monotonic time
 * is for deadlines and intervals.
 */
#ifndef ENGINE_BASE_CLOCK_H
#define ENGINE_BASE_CLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct clock {
    /* Milliseconds since the Unix epoch; may step back. Any thread. */
    uint64_t (*wall_ms)(struct clock *clock);
    /* Nanoseconds from an arbitrary start, suspended time included; never goes back. Any thread. */
    uint64_t (*monotonic_ns)(struct clock *clock);
    /* Sleeps; only the executor's threads and tests call it. */
    void (*sleep_ns)(struct clock *clock, uint64_t duration_ns);
};

/* The operating system's clocks (CLOCK_REALTIME, CLOCK_BOOTTIME). Static storage. */
struct clock *clock_system(void);

static inline uint64_t clock_wall_ms(struct clock *clock)
{
    return clock->wall_ms(clock);
}

static inline uint64_t clock_monotonic_ns(struct clock *clock)
{
    return clock->monotonic_ns(clock);
}

#ifdef __cplusplus
}
#endif

#endif
