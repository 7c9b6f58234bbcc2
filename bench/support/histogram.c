/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 32 buckets for each power of two from 32 ns on, one a nanosecond below. A duration beyond the last bucket
 * is counted in it; the largest one is kept exactly.
 */
#include "bench/support/histogram.h"

/* 32 buckets for each power of two. */
static uint32_t bucket_of(uint64_t duration_ns)
{
    if (duration_ns < 32) {
        return (uint32_t)duration_ns;
    }
    uint32_t power = 63 - (uint32_t)__builtin_clzll(duration_ns);
    uint32_t bucket = (power - 4) * 32 + (uint32_t)((duration_ns >> (power - 5)) & 31);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < 32) {
        return bucket;
    }
    uint32_t power = bucket / 32 + 4;
    return ((uint64_t)(bucket % 32 + 33) << (power - 5)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t duration_ns)
{
    histogram->counts[bucket_of(duration_ns)]++;
    histogram->count++;
    if (duration_ns > histogram->max_ns) {
        histogram->max_ns = duration_ns;
    }
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->counts[i] += from->counts[i];
    }
    to->count += from->count;
    if (from->max_ns > to->max_ns) {
        to->max_ns = from->max_ns;
    }
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)histogram->count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && histogram->count > 0; i++) {
        seen += histogram->counts[i];
        if (seen > wanted) {
            uint64_t end = bucket_end(i);
            return end < histogram->max_ns ? end : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}
