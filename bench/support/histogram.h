/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies in buckets of at most 3 % width, from 100 ns to minutes: quantiles of any number of samples in
 * fixed memory. One thread fills a histogram; merging adds several up.
 */
#ifndef BENCH_SUPPORT_HISTOGRAM_H
#define BENCH_SUPPORT_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 40 * 32 };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_ns;
};

void histogram_add(struct histogram *histogram, uint64_t duration_ns);
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The upper end, in nanoseconds, of the bucket that holds the quantile (0..1); 0 without samples. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
