/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back-pressure: how fast writers should go.
 *
 * Debt is a number from 0 (none) to 1 (as much as is tolerable): the largest of what level 0, waiting
 * memtables and the bytes that compaction owes come to. The rate is drain x ((1 - debt) / debt + 1/16),
 * where drain is the speed at which data has lately been taken in. So it comes down from infinity without
 * a step, passes the drain speed at half the tolerable debt, and never reaches zero.
 */
#include "engine/compaction/tree_internal.h"

#define PRESSURE_RATE_FLOOR (1.0 / 16)   /* of the drain speed, at full debt */
#define PRESSURE_RATE_MIN (256.0 * 1024) /* bytes a second, whatever the measurement says */
#define PRESSURE_SMOOTHING 0.3           /* weight of a new measurement */
#define PRESSURE_MEMTABLES_FREE 2.0      /* memtables that may be full without any debt */
#define PRESSURE_OWED_FREE 8.0           /* times level1_bytes that may be owed without any debt */
#define PRESSURE_OWED_MAX 64.0

static double clamp_unit(double value)
{
    return value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
}

static double level0_debt(const struct tree_levels *levels)
{
    double beyond = (double)levels->counts[0] - TREE_LEVEL0_SLOW_FILES;
    return beyond / (TREE_LEVEL0_STOP_FILES - TREE_LEVEL0_SLOW_FILES);
}

/* Memtables that are full, counting the active one by its share. */
static double memtable_debt(const struct tree *tree)
{
    size_t active = __atomic_load_n(&tree->active_bytes, __ATOMIC_RELAXED);
    double fill = clamp_unit((double)active / (double)tree->options.memtable_bytes);
    double full = (double)(tree->current->memtable_count - 1) + fill;
    return (full - PRESSURE_MEMTABLES_FREE) /
           (TREE_IMMUTABLE_MEMTABLES_MAX + 1 - PRESSURE_MEMTABLES_FREE);
}

static double owed_debt(const struct tree *tree, const struct tree_levels *levels)
{
    double owed = (double)levels->debt_bytes / (double)tree->shape.level1_bytes;
    return (owed - PRESSURE_OWED_FREE) / (PRESSURE_OWED_MAX - PRESSURE_OWED_FREE);
}

/* The rate at a debt; with level 0 beyond its stop the floor sinks further. */
static uint64_t rate_at(const struct tree *tree, double debt, double level0)
{
    if (debt <= 0.0) {
        return UINT64_MAX;
    }
    double within = clamp_unit(debt);
    double rate = tree->pressure.drain_bytes_per_s *
                  ((1.0 - within) / within + PRESSURE_RATE_FLOOR / (level0 > 1.0 ? level0 : 1.0));
    if (rate < PRESSURE_RATE_MIN) {
        rate = PRESSURE_RATE_MIN;
    }
    return rate >= (double)UINT64_MAX ? UINT64_MAX : (uint64_t)rate;
}

void tree_pressure_update_locked(struct tree *tree)
{
    struct tree_pressure *pressure = &tree->pressure;
    const struct tree_levels *levels = tree->current->levels;
    double debt = memtable_debt(tree);
    double level0 = 0.0;
    if (!tree->options.is_compaction_off) {
        level0 = level0_debt(levels);
        double owed = owed_debt(tree, levels);
        debt = level0 > debt ? level0 : debt;
        debt = owed > debt ? owed : debt;
    }
    uint64_t rate = rate_at(tree, debt, level0);
    bool is_bounded = rate != UINT64_MAX;
    if (is_bounded != pressure->is_bounded) {
        uint64_t now_ns = clock_monotonic_ns(tree->options.executor->clock);
        if (is_bounded) {
            pressure->bounded_since_ns = now_ns;
        } else {
            pressure->stall_ns_total += now_ns - pressure->bounded_since_ns;
        }
        pressure->is_bounded = is_bounded;
    }
    __atomic_store_n(&tree->write_rate, rate, __ATOMIC_RELAXED);
}

void tree_pressure_measure_locked(struct tree *tree, uint64_t bytes, uint64_t duration_ns)
{
    if (bytes == 0 || duration_ns == 0) {
        return;
    }
    double speed = (double)bytes * 1e9 / (double)duration_ns;
    tree->pressure.drain_bytes_per_s +=
        PRESSURE_SMOOTHING * (speed - tree->pressure.drain_bytes_per_s);
}

uint64_t tree_write_rate(struct tree *tree)
{
    return __atomic_load_n(&tree->write_rate, __ATOMIC_RELAXED);
}
