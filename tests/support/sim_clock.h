/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clock that stands still until a test moves it. Sleeping moves it.
 */
#ifndef TESTS_SUPPORT_SIM_CLOCK_H
#define TESTS_SUPPORT_SIM_CLOCK_H

#include "engine/base/clock.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Embedded by its owner. Any thread may read and move it. */
struct sim_clock {
    struct clock base; /* give &clock->base to the engine */
    uint64_t monotonic_ns;
    int64_t wall_offset_ns; /* wall time - monotonic time */
};

/* The wall clock starts at 2030-01-01, the monotonic one at 1 s. */
void sim_clock_init(struct sim_clock *clock);

/* Moves both clocks on. */
void sim_clock_advance(struct sim_clock *clock, uint64_t duration_ns);

/* Steps the wall clock alone, back if negative, as an administrator or NTP does. */
void sim_clock_step_wall(struct sim_clock *clock, int64_t step_ms);

#ifdef __cplusplus
}
#endif

#endif
