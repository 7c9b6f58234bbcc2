/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the commit path of a follower: it numbers nothing and refuses what is submitted; versions are
 * published as the primary numbered them.
 *
 * Invariant: all of this runs inside commit_run_exclusive, so the tree has one writer, and a version is published
 * only after every entry of it is in the tree and its frame is durable.
 */
#include "engine/commit/commit_internal.h"

bool commit_is_follower(const struct commit_path *path)
{
    return atomic_load_explicit(&path->is_follower, memory_order_acquire);
}

void commit_follow_publish(struct commit_path *path, const struct commit_frame *frame,
                           uint64_t time_unix_ms, uint64_t schema_version)
{
    uint64_t version = frame->first_version + frame->commit_count - 1;
    uint64_t bytes = 0;
    POLARYS_ASSERT(commit_is_follower(path));
    for (size_t i = 0; i < frame->piece_count; i++) {
        bytes += frame->pieces[i].size;
    }
    path->last_time_ms = time_unix_ms > path->last_time_ms ? time_unix_ms : path->last_time_ms;
    atomic_store(&path->given_version, version);
    atomic_store(&path->durable_version, version);
    struct commit_request last = {.version = version, .time_unix_ms = path->last_time_ms};
    commit_publish(path, &last, bytes, schema_version);
    if (schema_version != 0) {
        path->sequenced_schema_version = schema_version;
    }
    if (path->options.durable != NULL) {
        path->options.durable(path->options.context, frame);
    }
}

void commit_follow_end(struct commit_path *path, uint64_t last_version)
{
    POLARYS_ASSERT(commit_is_follower(path));
    POLARYS_ASSERT(last_version >= atomic_load(&path->published_version));
    atomic_store(&path->given_version, last_version);
    atomic_store(&path->durable_version, last_version);
    atomic_store(&path->published_version, last_version);
    atomic_store_explicit(&path->is_follower, false, memory_order_release);
}
