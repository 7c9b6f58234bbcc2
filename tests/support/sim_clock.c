/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns virtual time. Fields are read and written atomically, so tests with real threads may use
 * it too.
 */
#include "tests/support/sim_clock.h"

#include "engine/base/assert.h"

#define NS_PER_MS UINT64_C(1000000)
#define MONOTONIC_START_NS UINT64_C(1000000000)
#define WALL_START_NS UINT64_C(1893456000000000000) /* 2030-01-01T00:00:00Z */

static struct sim_clock *sim_clock_of(struct clock *clock)
{
    return (struct sim_clock *)clock;
}

static uint64_t sim_monotonic_ns(struct clock *clock)
{
    return __atomic_load_n(&sim_clock_of(clock)->monotonic_ns, __ATOMIC_SEQ_CST);
}

static uint64_t sim_wall_ms(struct clock *clock)
{
    int64_t offset_ns = __atomic_load_n(&sim_clock_of(clock)->wall_offset_ns, __ATOMIC_SEQ_CST);
    return (sim_monotonic_ns(clock) + (uint64_t)offset_ns) / NS_PER_MS;
}

static void sim_sleep_ns(struct clock *clock, uint64_t duration_ns)
{
    sim_clock_advance(sim_clock_of(clock), duration_ns);
}

void sim_clock_init(struct sim_clock *clock)
{
    clock->base = (struct clock){sim_wall_ms, sim_monotonic_ns, sim_sleep_ns};
    clock->monotonic_ns = MONOTONIC_START_NS;
    clock->wall_offset_ns = (int64_t)(WALL_START_NS - MONOTONIC_START_NS);
}

void sim_clock_advance(struct sim_clock *clock, uint64_t duration_ns)
{
    uint64_t now_ns = __atomic_add_fetch(&clock->monotonic_ns, duration_ns, __ATOMIC_SEQ_CST);
    POLARYS_ASSERT(now_ns >= duration_ns);
}

void sim_clock_step_wall(struct sim_clock *clock, int64_t step_ms)
{
    (void)__atomic_add_fetch(&clock->wall_offset_ns, step_ms * (int64_t)NS_PER_MS,
                             __ATOMIC_SEQ_CST);
}
