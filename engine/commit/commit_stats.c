/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what can be asked of a commit path while it runs. It changes nothing.
 */
#include "engine/commit/commit_internal.h"

uint64_t commit_published_version(const struct commit_path *path)
{
    return atomic_load(&path->published_version);
}

uint64_t commit_durable_version(const struct commit_path *path)
{
    return atomic_load(&path->durable_version);
}

uint64_t commit_schema_version(const struct commit_path *path)
{
    return atomic_load(&path->schema_version);
}

uint64_t commit_announced_schema_version(const struct commit_path *path)
{
    return atomic_load(&path->announced_schema_version);
}

uint64_t commit_published_time_ms(const struct commit_path *path)
{
    return atomic_load(&path->published_time_ms);
}

void commit_stats_get(struct commit_path *path, struct commit_stats *stats)
{
    mutex_lock(&path->mutex);
    *stats = path->stats;
    mutex_unlock(&path->mutex);
    stats->stall_count = atomic_load(&path->stall_count);
    stats->queue_commits = commit_queue_commits(path);
    stats->queue_bytes = commit_queue_bytes(path);
}
