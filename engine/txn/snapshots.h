/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which old versions may be read, and for how long: leased snapshots, the history window, and the commit
 * times of versions.
 *
 * Invariant: a version that a live lease names, or that lies within the history window, stays readable:
 * compaction asks snapshots_retention before it drops anything, and the window only moves forward.
 */
#ifndef ENGINE_TXN_SNAPSHOTS_H
#define ENGINE_TXN_SNAPSHOTS_H

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/manifest/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SNAPSHOTS_MAX = 4096, /* live leases */
    SNAPSHOT_LEASE_DEFAULT_MS = 60000,
    SNAPSHOT_LEASE_MAX_MS = 3600000,
    VERSION_TIME_STEP_MS = 100, /* a sample is kept at most this often */
};

struct snapshots_options {
    struct clock *clock;
    uint64_t history_keep_ms;         /* 0 keeps no history */
    uint64_t history_keep_bytes;      /* of logged commits; whichever ends first */
    uint64_t history_start;           /* as the manifest has it */
    const struct version_time *times; /* samples known from the manifest, ascending */
    size_t time_count;
};

struct snapshots;

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code snapshots_open(const struct snapshots_options *options,
                                           struct snapshots **out, struct polarys_error *err);
void snapshots_close(struct snapshots *snapshots); /* accepts NULL */

/* A commit was published (in version order; the log role only, or recovery). */
void snapshots_note_commit(struct snapshots *snapshots, uint64_t version, uint64_t time_unix_ms,
                           uint64_t logged_bytes);

/*
 * Leases `version` for `lease_ms` (0: the default). REQUIRES: version is published or 0 < version is old.
 * Errors: HISTORY_PRUNED (detail "history_start"), TOO_MANY_CALLS (limit SNAPSHOTS_MAX).
 */
NODISCARD enum polarys_code snapshot_acquire(struct snapshots *snapshots, uint64_t version,
                                             uint64_t lease_ms, uint64_t *lease_id,
                                             struct polarys_error *err);
/* Errors: CURSOR_EXPIRED when the lease has ended. */
NODISCARD enum polarys_code snapshot_renew(struct snapshots *snapshots, uint64_t lease_id,
                                           uint64_t lease_ms, struct polarys_error *err);
/* Unknown ids are fine: the lease may have ended. */
void snapshot_release(struct snapshots *snapshots, uint64_t lease_id);

/* HISTORY_PRUNED when `version` can no longer be read without a lease. Any thread, cheap. */
NODISCARD enum polarys_code snapshots_check(struct snapshots *snapshots, uint64_t version,
                                            struct polarys_error *err);

/* For tree_options.retention: ends expired leases, moves the window, and lists what has to be kept. */
size_t snapshots_retention(struct snapshots *snapshots, uint64_t *versions, size_t versions_max,
                           uint64_t *history_start);

/* The commit time of the newest known sample at or below `version`; 0 when none is known. */
uint64_t snapshots_time_of(struct snapshots *snapshots, uint64_t version);
/* The newest version whose commit time is at or below `time_unix_ms`, as far as samples tell; 0: none. */
uint64_t snapshots_version_at(struct snapshots *snapshots, uint64_t time_unix_ms);

struct snapshots_stats {
    uint64_t lease_count;
    uint64_t oldest_lease_version; /* 0 when there is none */
    uint64_t oldest_lease_age_ms;
    uint64_t history_start;
};
void snapshots_stats_get(struct snapshots *snapshots, struct snapshots_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
