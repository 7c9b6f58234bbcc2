/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the writer's half of the log role: a gathered group becomes a durable frame, and then visible. Also
 * publication, and what happens when the log breaks.
 *
 * Invariant: published versions rise, and a LOCAL_SYNC commit is published only after wal_append returned
 * for its frame. After the log broke nothing is published any more.
 */
#include "engine/commit/commit_internal.h"

void commit_publish(struct commit_path *path, const struct commit_request *last, uint64_t bytes,
                    uint64_t schema_version)
{
    uint64_t version = last->version;
    uint64_t time_ms = last->time_unix_ms;
    POLARYS_ASSERT(version > atomic_load_explicit(&path->published_version, memory_order_relaxed));
    atomic_store(&path->published_time_ms, time_ms);
    /* Before the version: who has a snapshot of a change of the schema knows that there is one. */
    if (schema_version != 0) {
        atomic_store(&path->announced_schema_version, schema_version);
    }
    atomic_store(&path->published_version, version);
    /* After the version: who reads the schema version first and then takes a snapshot has a catalogue that
     * is at least as new, never an old one under a new number. */
    if (schema_version != 0) {
        atomic_store(&path->schema_version, schema_version);
    }
    if (path->options.published != NULL) {
        path->options.published(path->options.context, version, time_ms, bytes);
    }
}

/* Publishes the requests of a durable group that were waiting for it. */
static void publish_group(struct commit_path *path, const struct commit_group *group)
{
    uint64_t bytes = 0;
    uint64_t schema_version = 0;
    const struct commit_request *last = group->requests.first;
    for (const struct commit_request *request = last; request != NULL; request = request->next) {
        bytes += request->encoded.size;
        schema_version = request->changes_schema ? request->version : schema_version;
        last = request;
    }
    if (last != NULL) {
        commit_publish(path, last, bytes, schema_version);
    }
}

enum polarys_code commit_write(struct commit_path *path, uint64_t *sync_ns,
                               struct polarys_error *err)
{
    struct commit_group *group = path->in_flight;
    POLARYS_ASSERT(group->commit_count > 0);
    uint64_t start_ns = clock_monotonic_ns(path->clock);
    struct wal_position end;
    enum polarys_code code =
        wal_append(path->options.wal, group->first_version, group->commit_count, group->pieces,
                   group->piece_count, &end, err);
    *sync_ns = clock_monotonic_ns(path->clock) - start_ns;
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "commit versions %llu to %llu",
                            (unsigned long long)group->first_version,
                            (unsigned long long)(group->first_version + group->commit_count - 1));
    }
    uint64_t version = group->first_version + group->commit_count - 1;
    POLARYS_ASSERT(version > atomic_load_explicit(&path->durable_version, memory_order_relaxed));
    atomic_store(&path->durable_version, version);
    publish_group(path, group);
    /* From here on the sequencer may publish; pairs with its acquire. */
    atomic_store_explicit(&path->is_in_flight_unpublished, false, memory_order_release);
    if (path->options.durable != NULL) {
        struct commit_frame frame = {.first_version = group->first_version,
                                     .commit_count = group->commit_count,
                                     .pieces = group->pieces,
                                     .piece_count = group->piece_count,
                                     .end = end};
        path->options.durable(path->options.context, &frame);
    }
    return POLARYS_OK;
}

static void fail_list(struct commit_path *path, struct commit_request_list *list,
                      struct commit_request_list *finished)
{
    for (struct commit_request *request = list->first; request != NULL; request = request->next) {
        request->error = path->broken_error;
        request->code = path->broken_error.code;
        request->version = 0;
    }
    commit_list_move(finished, list);
}

void commit_fail_all(struct commit_path *path, struct commit_request_list *finished)
{
    struct commit_group *groups[] = {path->in_flight, path->gathering};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        fail_list(path, &groups[i]->requests, finished);
        commit_group_reset(groups[i]);
    }
    fail_list(path, &path->parked, finished);
    commit_queue_take(path);
    uint64_t commits = 0;
    uint64_t bytes = 0;
    for (struct commit_request *request = path->pending.first; request != NULL;
         request = request->next) {
        commits++;
        bytes += request->encoded.size;
    }
    fail_list(path, &path->pending, finished);
    commit_queue_release(path, commits, bytes);
}
