/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets: values below HISTOGRAM_STEPS have one each; above, the exponent and the next six bits choose.
 */
#include "client/cli/bench_histogram.h"

#include "client/assert.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return (shift + 1) * HISTOGRAM_STEPS + (unsigned)(value >> shift) - HISTOGRAM_STEPS;
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    POLARYS_ASSERT(bucket < HISTOGRAM_BUCKETS);
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t start = (uint64_t)(bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
    return start + ((UINT64_C(1) << shift) - 1);
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t value)
{
    POLARYS_ASSERT(bucket_of(value) < HISTOGRAM_BUCKETS);
    histogram->counts[bucket_of(value)]++;
    histogram->count++;
    histogram->max = value > histogram->max ? value : histogram->max;
}

void bench_histogram_merge(struct bench_histogram *to, const struct bench_histogram *from)
{
    POLARYS_ASSERT(to != from);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->counts[i] += from->counts[i];
    }
    to->count += from->count;
    to->max = from->max > to->max ? from->max : to->max;
}

uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count + 0.999999);
    uint64_t seen = 0;

    POLARYS_ASSERT(share >= 0 && share <= 1);
    wanted = wanted == 0 ? 1 : wanted;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->count > 0; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}
