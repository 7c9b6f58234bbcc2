/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples of (version, commit time, bytes logged so far), by which versions and times are turned into each
 * other.
 *
 * Invariant: samples ascend in all three; each names the exact time of its version. Between two samples
 * the older one answers, so a time that is told for a version is never later than the true one, and a
 * version that is told for a time was committed at or before it.
 *
 * One thread at a time: the owner locks.
 */
#ifndef ENGINE_TXN_VERSION_TIMES_H
#define ENGINE_TXN_VERSION_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Above it the older half is thinned. Ten minutes at ten a second, and the manifest's, fit twice. */
    VERSION_TIMES_MAX = 16384,
};

struct version_sample {
    uint64_t version;
    uint64_t time_unix_ms;
    uint64_t bytes; /* logged up to and with this version, since the samples were begun */
};

/* Embedded by its owner. */
struct version_times {
    struct version_sample *samples; /* VERSION_TIMES_MAX */
    size_t count;
    struct version_sample newest; /* always exact, also between two samples; version 0: none */
};

/* False when there is no memory. */
bool version_times_init(struct version_times *times);
void version_times_deinit(struct version_times *times);

/* Notes the newest commit. What does not ascend is ignored. A sample is kept every `step_ms`. */
void version_times_add(struct version_times *times, uint64_t version, uint64_t time_unix_ms,
                       uint64_t more_bytes, uint64_t step_ms);

/* The newest known sample at or below the version; false when none is known. */
bool version_times_at_version(const struct version_times *times, uint64_t version,
                              struct version_sample *sample);
/* The newest known sample committed at or before the time. */
bool version_times_at_time(const struct version_times *times, uint64_t time_unix_ms,
                           struct version_sample *sample);
/* The oldest known sample with no more than `bytes_max` logged after it. */
bool version_times_within_bytes(const struct version_times *times, uint64_t bytes_max,
                                struct version_sample *sample);

#ifdef __cplusplus
}
#endif

#endif
