/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations by logarithm with 64 steps a power of two: any quantile within 1.6 %, in constant room.
 */
#ifndef CLIENT_CLI_BENCH_HISTOGRAM_H
#define CLIENT_CLI_BENCH_HISTOGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HISTOGRAM_STEP_BITS = 6,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS,
};

/* Zero-initialise. */
struct bench_histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

void bench_histogram_add(struct bench_histogram *histogram, uint64_t value);
void bench_histogram_merge(struct bench_histogram *to, const struct bench_histogram *from);
/* The value below or at which the share (0..1) of all values lies, never above the largest; 0 when there
 * are none. */
uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, double share);

#ifdef __cplusplus
}
#endif

#endif
