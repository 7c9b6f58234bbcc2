/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the leases on old versions and the start of the history window.
 *
 * Invariant: history_start is raised here before compaction hears of it, under the same mutex under which
 * leases are taken. So a version that snapshot_acquire granted was either at or above every start that
 * compaction has been given, or named by a lease that compaction was told of; nothing that it needs can
 * have been dropped. The start never falls while the store is open. After a reopen it is what the
 * manifest has: compaction writes it there before it drops anything, so that everything from it on is
 * still there, even if this process had moved on before without compacting.
 */
#include "engine/txn/snapshots.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/mutex.h"
#include "engine/txn/version_times.h"

enum { NS_PER_MS = 1000000 };

struct lease {
    uint64_t id; /* 0: free */
    uint64_t version;
    uint64_t begun_ns;
    uint64_t expires_ns;
    uint32_t next_free; /* slot + 1; 0: none */
};

struct snapshots {
    /* Immutable after open. */
    struct clock *clock;
    uint64_t history_keep_ms;
    uint64_t history_keep_bytes;

    /* Synchronises itself. */
    atomic_uint_fast64_t history_start; /* raised with the mutex held, read by anyone */

    struct mutex mutex;

    /* Guarded by mutex. */
    struct version_times times;
    struct lease leases[SNAPSHOTS_MAX]; /* an id is generation * SNAPSHOTS_MAX + slot */
    uint32_t first_free;
    size_t lease_count;
    uint64_t generation;
};

static void leases_init(struct snapshots *snapshots)
{
    for (uint32_t slot = 0; slot < SNAPSHOTS_MAX; slot++) {
        snapshots->leases[slot].next_free = slot + 1 < SNAPSHOTS_MAX ? slot + 2 : 0;
    }
    snapshots->first_free = 1;
}

enum polarys_code snapshots_open(const struct snapshots_options *options, struct snapshots **out,
                                 struct polarys_error *err)
{
    *out = NULL;
    struct snapshots *snapshots = calloc(1, sizeof(*snapshots));
    if (snapshots == NULL || !version_times_init(&snapshots->times)) {
        free(snapshots);
        return polarys_fail(err, POLARYS_NO_MEMORY, "open the snapshots");
    }
    snapshots->clock = options->clock;
    snapshots->history_keep_ms = options->history_keep_ms;
    snapshots->history_keep_bytes = options->history_keep_bytes;
    atomic_init(&snapshots->history_start, options->history_start);
    mutex_init(&snapshots->mutex, MUTEX_RANK_SNAPSHOTS);
    leases_init(snapshots);
    for (size_t i = 0; i < options->time_count; i++) {
        version_times_add(&snapshots->times, options->times[i].version,
                          options->times[i].time_unix_ms, 0, 0);
    }
    *out = snapshots;
    return POLARYS_OK;
}

void snapshots_close(struct snapshots *snapshots)
{
    if (snapshots == NULL) {
        return;
    }
    mutex_deinit(&snapshots->mutex);
    version_times_deinit(&snapshots->times);
    free(snapshots);
}

void snapshots_note_commit(struct snapshots *snapshots, uint64_t version, uint64_t time_unix_ms,
                           uint64_t logged_bytes)
{
    mutex_lock(&snapshots->mutex);
    version_times_add(&snapshots->times, version, time_unix_ms, logged_bytes, VERSION_TIME_STEP_MS);
    mutex_unlock(&snapshots->mutex);
}

/* ---- leases ---- */

static enum polarys_code fail_pruned(uint64_t version, uint64_t history_start,
                                     struct polarys_error *err)
{
    (void)polarys_fail(err, POLARYS_HISTORY_PRUNED,
                       "version %llu is older than the history, which starts at %llu",
                       (unsigned long long)version, (unsigned long long)history_start);
    polarys_error_detail_set(err, "history_start", "%llu", (unsigned long long)history_start);
    return POLARYS_HISTORY_PRUNED;
}

static bool has_ended(const struct lease *lease, uint64_t now_ns)
{
    return now_ns >= lease->expires_ns;
}

static void lease_end_locked(struct snapshots *snapshots, struct lease *lease)
{
    POLARYS_ASSERT(lease->id != 0 && snapshots->lease_count > 0);
    lease->id = 0;
    lease->next_free = snapshots->first_free;
    snapshots->first_free = (uint32_t)(lease - snapshots->leases) + 1;
    snapshots->lease_count--;
}

static void leases_expire_locked(struct snapshots *snapshots, uint64_t now_ns)
{
    for (size_t i = 0; i < SNAPSHOTS_MAX && snapshots->lease_count > 0; i++) {
        struct lease *lease = &snapshots->leases[i];
        if (lease->id != 0 && has_ended(lease, now_ns)) {
            lease_end_locked(snapshots, lease);
        }
    }
}

/* The lease with this id, NULL when it is not held any more. */
static struct lease *lease_find_locked(struct snapshots *snapshots, uint64_t lease_id)
{
    struct lease *lease = &snapshots->leases[lease_id % SNAPSHOTS_MAX];
    return lease_id != 0 && lease->id == lease_id ? lease : NULL;
}

/* True when a lease that has not ended keeps this very version. */
static bool is_leased_locked(const struct snapshots *snapshots, uint64_t version, uint64_t now_ns)
{
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
        const struct lease *lease = &snapshots->leases[i];
        if (lease->id != 0 && lease->version == version && !has_ended(lease, now_ns)) {
            return true;
        }
    }
    return false;
}

static uint64_t lease_duration_ns(uint64_t lease_ms)
{
    if (lease_ms == 0) {
        lease_ms = SNAPSHOT_LEASE_DEFAULT_MS;
    } else if (lease_ms > SNAPSHOT_LEASE_MAX_MS) {
        lease_ms = SNAPSHOT_LEASE_MAX_MS;
    }
    return lease_ms * NS_PER_MS;
}

static enum polarys_code fail_too_many(struct polarys_error *err)
{
    (void)polarys_fail(err, POLARYS_TOO_MANY_CALLS, "%d snapshots are held", SNAPSHOTS_MAX);
    polarys_error_detail_set(err, "limit", "%d", SNAPSHOTS_MAX);
    return POLARYS_TOO_MANY_CALLS;
}

enum polarys_code snapshot_acquire(struct snapshots *snapshots, uint64_t version, uint64_t lease_ms,
                                   uint64_t *lease_id, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    uint64_t now_ns = clock_monotonic_ns(snapshots->clock);
    *lease_id = 0;
    mutex_lock(&snapshots->mutex);
    uint64_t history_start = atomic_load(&snapshots->history_start);
    if (version < history_start && !is_leased_locked(snapshots, version, now_ns)) {
        code = fail_pruned(version, history_start, err);
        goto done;
    }
    if (snapshots->first_free == 0) {
        leases_expire_locked(snapshots, now_ns);
    }
    if (snapshots->first_free == 0) {
        code = fail_too_many(err);
        goto done;
    }
    uint32_t slot = snapshots->first_free - 1;
    struct lease *lease = &snapshots->leases[slot];
    snapshots->first_free = lease->next_free;
    snapshots->lease_count++;
    lease->id = ++snapshots->generation * SNAPSHOTS_MAX + slot;
    lease->version = version;
    lease->begun_ns = now_ns;
    lease->expires_ns = now_ns + lease_duration_ns(lease_ms);
    *lease_id = lease->id;

done:
    mutex_unlock(&snapshots->mutex);
    return code;
}

enum polarys_code snapshot_renew(struct snapshots *snapshots, uint64_t lease_id, uint64_t lease_ms,
                                 struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    uint64_t now_ns = clock_monotonic_ns(snapshots->clock);
    mutex_lock(&snapshots->mutex);
    struct lease *lease = lease_find_locked(snapshots, lease_id);
    if (lease == NULL || has_ended(lease, now_ns)) {
        code = polarys_fail(err, POLARYS_CURSOR_EXPIRED, "the lease on the snapshot has ended");
    } else {
        lease->expires_ns = now_ns + lease_duration_ns(lease_ms);
    }
    mutex_unlock(&snapshots->mutex);
    return code;
}

void snapshot_release(struct snapshots *snapshots, uint64_t lease_id)
{
    mutex_lock(&snapshots->mutex);
    struct lease *lease = lease_find_locked(snapshots, lease_id);
    if (lease != NULL) {
        lease_end_locked(snapshots, lease);
    }
    mutex_unlock(&snapshots->mutex);
}

/* ---- the window ---- */

enum polarys_code snapshots_check(struct snapshots *snapshots, uint64_t version,
                                  struct polarys_error *err)
{
    uint64_t history_start = atomic_load(&snapshots->history_start);
    return version >= history_start ? POLARYS_OK : fail_pruned(version, history_start, err);
}

/* Where the window begins by time and by bytes; whichever is later counts. */
static uint64_t window_start_locked(const struct snapshots *snapshots)
{
    struct version_sample sample;
    if (snapshots->history_keep_ms == 0) {
        return snapshots->times.newest.version;
    }
    uint64_t start = 0;
    uint64_t now_ms = clock_wall_ms(snapshots->clock);
    /* The version that was the newest one at the window's beginning can still be asked for. */
    if (now_ms > snapshots->history_keep_ms &&
        version_times_at_time(&snapshots->times, now_ms - snapshots->history_keep_ms, &sample)) {
        start = sample.version;
    }
    if (version_times_within_bytes(&snapshots->times, snapshots->history_keep_bytes, &sample) &&
        sample.version > start && snapshots->times.newest.bytes > snapshots->history_keep_bytes) {
        start = sample.version;
    }
    return start;
}

static int version_order(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* All versions that leases name, ascending, each once. `versions` has room for SNAPSHOTS_MAX. */
static size_t leased_versions_locked(const struct snapshots *snapshots, uint64_t *versions)
{
    size_t count = 0;
    size_t unique = 0;
    for (size_t i = 0; i < SNAPSHOTS_MAX && count < snapshots->lease_count; i++) {
        if (snapshots->leases[i].id != 0) {
            versions[count++] = snapshots->leases[i].version;
        }
    }
    qsort(versions, count, sizeof(*versions), version_order);
    for (size_t i = 0; i < count; i++) {
        if (unique == 0 || versions[unique - 1] != versions[i]) {
            versions[unique++] = versions[i];
        }
    }
    return unique;
}

size_t snapshots_retention(struct snapshots *snapshots, uint64_t *versions, size_t versions_max,
                           uint64_t *history_start)
{
    uint64_t leased[SNAPSHOTS_MAX];
    uint64_t now_ns = clock_monotonic_ns(snapshots->clock);
    mutex_lock(&snapshots->mutex);
    leases_expire_locked(snapshots, now_ns);
    uint64_t start = window_start_locked(snapshots);
    if (start > atomic_load(&snapshots->history_start)) {
        atomic_store(&snapshots->history_start, start);
    }
    *history_start = atomic_load(&snapshots->history_start);
    size_t count = leased_versions_locked(snapshots, leased);
    mutex_unlock(&snapshots->mutex);
    if (count > versions_max) {
        /* What cannot be listed is kept by keeping everything from it on. */
        *history_start =
            leased[versions_max] < *history_start ? leased[versions_max] : *history_start;
        count = versions_max;
    }
    for (size_t i = 0; i < count; i++) {
        versions[i] = leased[i];
    }
    return count;
}

/* ---- times ---- */

uint64_t snapshots_time_of(struct snapshots *snapshots, uint64_t version)
{
    struct version_sample sample;
    mutex_lock(&snapshots->mutex);
    bool is_known = version_times_at_version(&snapshots->times, version, &sample);
    mutex_unlock(&snapshots->mutex);
    return is_known ? sample.time_unix_ms : 0;
}

uint64_t snapshots_version_at(struct snapshots *snapshots, uint64_t time_unix_ms)
{
    struct version_sample sample;
    mutex_lock(&snapshots->mutex);
    bool is_known = version_times_at_time(&snapshots->times, time_unix_ms, &sample);
    mutex_unlock(&snapshots->mutex);
    return is_known ? sample.version : 0;
}

void snapshots_stats_get(struct snapshots *snapshots, struct snapshots_stats *stats)
{
    uint64_t now_ns = clock_monotonic_ns(snapshots->clock);
    *stats = (struct snapshots_stats){.history_start = atomic_load(&snapshots->history_start)};
    mutex_lock(&snapshots->mutex);
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
        const struct lease *lease = &snapshots->leases[i];
        if (lease->id == 0 || has_ended(lease, now_ns)) {
            continue;
        }
        stats->lease_count++;
        if (stats->oldest_lease_version == 0 || lease->version < stats->oldest_lease_version) {
            stats->oldest_lease_version = lease->version;
        }
        uint64_t age_ms = (now_ns - lease->begun_ns) / NS_PER_MS;
        if (age_ms > stats->oldest_lease_age_ms) {
            stats->oldest_lease_age_ms = age_ms;
        }
    }
    mutex_unlock(&snapshots->mutex);
}
