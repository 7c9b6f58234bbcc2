/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the samples. Memory is bounded: when they are too many, every second one of the older half goes, so
 * that old times become coarser and recent ones stay fine.
 */
#include "engine/txn/version_times.h"

#include <stdlib.h>

#include "engine/base/assert.h"

bool version_times_init(struct version_times *times)
{
    *times = (struct version_times){.samples = NULL};
    /* Touched as it fills. */
    times->samples = malloc(VERSION_TIMES_MAX * sizeof(*times->samples));
    return times->samples != NULL;
}

void version_times_deinit(struct version_times *times)
{
    free(times->samples);
    times->samples = NULL;
    times->count = 0;
}

static void samples_thin(struct version_times *times)
{
    size_t half = times->count / 2;
    size_t kept = 0;
    for (size_t i = 0; i < times->count; i++) {
        if (i >= half || i % 2 == 0) {
            times->samples[kept++] = times->samples[i];
        }
    }
    POLARYS_ASSERT(kept < times->count);
    times->count = kept;
}

void version_times_add(struct version_times *times, uint64_t version, uint64_t time_unix_ms,
                       uint64_t more_bytes, uint64_t step_ms)
{
    struct version_sample *newest = &times->newest;
    if (version <= newest->version || time_unix_ms < newest->time_unix_ms) {
        return;
    }
    newest->version = version;
    newest->time_unix_ms = time_unix_ms;
    newest->bytes += more_bytes;
    if (times->count > 0 &&
        time_unix_ms - times->samples[times->count - 1].time_unix_ms < step_ms) {
        return;
    }
    if (times->count == VERSION_TIMES_MAX) {
        samples_thin(times);
    }
    times->samples[times->count++] = *newest;
}

/* The number of samples that come before the first one for which `is_past` holds. */
static size_t samples_before(const struct version_times *times,
                             bool (*is_past)(const struct version_sample *sample, uint64_t bound),
                             uint64_t bound)
{
    size_t low = 0;
    size_t high = times->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_past(&times->samples[middle], bound)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool is_version_past(const struct version_sample *sample, uint64_t version)
{
    return sample->version > version;
}

static bool is_time_past(const struct version_sample *sample, uint64_t time_unix_ms)
{
    return sample->time_unix_ms > time_unix_ms;
}

static bool has_bytes(const struct version_sample *sample, uint64_t bytes)
{
    return sample->bytes >= bytes;
}

/* The last sample that is not past the bound. */
static bool newest_within(const struct version_times *times,
                          bool (*is_past)(const struct version_sample *sample, uint64_t bound),
                          uint64_t bound, struct version_sample *sample)
{
    if (times->newest.version != 0 && !is_past(&times->newest, bound)) {
        *sample = times->newest;
        return true;
    }
    size_t before = samples_before(times, is_past, bound);
    if (before == 0) {
        return false;
    }
    *sample = times->samples[before - 1];
    return true;
}

bool version_times_at_version(const struct version_times *times, uint64_t version,
                              struct version_sample *sample)
{
    /* Of the kept samples only: the newest one moves, and the time of a version must not. */
    size_t before = samples_before(times, is_version_past, version);
    if (before == 0) {
        return false;
    }
    *sample = times->samples[before - 1];
    return true;
}

bool version_times_at_time(const struct version_times *times, uint64_t time_unix_ms,
                           struct version_sample *sample)
{
    return newest_within(times, is_time_past, time_unix_ms, sample);
}

bool version_times_within_bytes(const struct version_times *times, uint64_t bytes_max,
                                struct version_sample *sample)
{
    if (times->newest.version == 0) {
        return false;
    }
    uint64_t total = times->newest.bytes;
    uint64_t bytes_min = total > bytes_max ? total - bytes_max : 0;
    size_t before = samples_before(times, has_bytes, bytes_min);
    *sample = before < times->count ? times->samples[before] : times->newest;
    return true;
}
