/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the sequencer's half of the log role: from the queue to a gathered group.
 *
 * Invariant: a commit gets a version only when nothing but the log can still fail it: it was validated
 * against every numbered commit before it, the memtable has its room reserved, and the log said that the
 * frame fits. Versions follow each other without a gap.
 *
 * Who publishes: the writer, while its group holds anything unpublished; otherwise the sequencer, and then
 * only ASYNC commits with no LOCAL_SYNC commit before them in the gathered group.
 */
#include "engine/commit/commit_internal.h"

enum {
    NS_PER_S = 1000000000,
    PACE_BURST_DIVISOR = 50, /* unused tokens of 1/50 s are kept */
    PACE_BURST_BYTES_MIN = 64 << 10,
    PACE_DELAY_NS_MIN = 100 * 1000,
    PACE_DELAY_NS_MAX = 20 * 1000 * 1000,
};

static void sequence_finish(struct commit_pass *pass, struct commit_request *request)
{
    commit_list_append(&pass->finished, request);
}

/* ---- what was held back ---- */

static bool has_async_prefix(const struct commit_path *path)
{
    const struct commit_request *first = path->gathering->requests.first;
    /* Cleared by the writer after it published (release); pairs with this acquire. */
    return first != NULL && !first->waits_for_frame && !atomic_load(&path->is_broken) &&
           !atomic_load_explicit(&path->is_in_flight_unpublished, memory_order_acquire);
}

static bool has_ripe_conflict(const struct commit_path *path)
{
    return path->parked.first != NULL &&
           path->parked_version_min <= atomic_load(&path->published_version);
}

bool commit_sequence_has_releasable(const struct commit_path *path)
{
    return has_async_prefix(path) || has_ripe_conflict(path);
}

/* Publishes and finishes the ASYNC commits at the head of the group that nothing unsynced precedes. */
static void release_async(struct commit_path *path, struct commit_pass *pass)
{
    if (!has_async_prefix(path)) {
        return;
    }
    struct commit_request_list *requests = &path->gathering->requests;
    struct commit_request *last = NULL;
    struct commit_request_list released = {NULL, NULL};
    uint64_t bytes = 0;
    uint64_t schema_version = 0;
    while (requests->first != NULL && !requests->first->waits_for_frame) {
        last = commit_list_take_first(requests);
        bytes += last->encoded.size;
        schema_version = last->changes_schema ? last->version : schema_version;
        commit_list_append(&released, last);
    }
    commit_publish(path, last, bytes, schema_version);
    commit_list_move(&pass->finished, &released);
}

/* Finishes conflicts whose other side can be read now. */
static void release_parked(struct commit_path *path, struct commit_pass *pass)
{
    if (!has_ripe_conflict(path)) {
        return;
    }
    uint64_t published = atomic_load(&path->published_version);
    struct commit_request_list parked = path->parked;
    path->parked = (struct commit_request_list){NULL, NULL};
    path->parked_version_min = UINT64_MAX;
    while (parked.first != NULL) {
        struct commit_request *request = commit_list_take_first(&parked);
        if (request->conflict_version <= published) {
            sequence_finish(pass, request);
            continue;
        }
        commit_list_append(&path->parked, request);
        if (request->conflict_version < path->parked_version_min) {
            path->parked_version_min = request->conflict_version;
        }
    }
}

/* ---- pace ---- */

/* Adds what the tree's rate has earned since the last pass. */
static void tokens_refill(struct commit_path *path, uint64_t now_ns, uint64_t rate)
{
    uint64_t elapsed = now_ns - path->tokens_ns;
    path->tokens_ns = now_ns;
    if (elapsed > NS_PER_S) {
        elapsed = NS_PER_S;
    }
    int64_t burst = (int64_t)(rate / PACE_BURST_DIVISOR);
    if (burst < PACE_BURST_BYTES_MIN) {
        burst = PACE_BURST_BYTES_MIN;
    }
    int64_t earned = (int64_t)((double)rate * (double)elapsed / NS_PER_S);
    path->tokens = path->tokens > burst - earned ? burst : path->tokens + earned;
}

/* How long until tokens are there again; 0: there are some. */
static uint64_t pace_delay_ns(const struct commit_path *path, uint64_t rate)
{
    if (path->tokens > 0) {
        return 0;
    }
    double delay = ((double)-path->tokens + 1) * NS_PER_S / (double)(rate == 0 ? 1 : rate);
    if (delay < PACE_DELAY_NS_MIN) {
        return PACE_DELAY_NS_MIN;
    }
    return delay > PACE_DELAY_NS_MAX ? PACE_DELAY_NS_MAX : (uint64_t)delay;
}

/* The rate that bounds this pass; UINT64_MAX when none does. Closing does not wait for compaction. */
static uint64_t pass_rate(struct commit_path *path, uint64_t now_ns)
{
    uint64_t rate = tree_write_rate(path->options.tree);
    if (rate >= INT64_MAX || commit_queue_is_draining(path)) {
        path->tokens = PACE_BURST_BYTES_MIN;
        path->tokens_ns = now_ns;
        return UINT64_MAX;
    }
    tokens_refill(path, now_ns, rate);
    return rate;
}

/* ---- one commit ---- */

static bool is_past_deadline(const struct commit_request *request, uint64_t now_ns)
{
    return request->deadline_ns != 0 && now_ns > request->deadline_ns;
}

static void fail_deadline(struct commit_request *request)
{
    request->code = polarys_fail(&request->error, POLARYS_WAIT_TIMEOUT,
                                 "deadline passed before the commit was taken");
}

static void fail_disk_low(struct commit_request *request)
{
    request->code =
        polarys_fail(&request->error, POLARYS_DISK_LOW, "the log has no room for %llu bytes",
                     (unsigned long long)request->encoded.size);
    request->error.retry_after_ms = COMMIT_DISK_LOW_RETRY_AFTER_MS;
}

/* Reports the conflict when its other side can be read, so that preparing again can succeed. */
static void park_conflict(struct commit_path *path, struct commit_pass *pass,
                          struct commit_request *request, uint64_t conflict_version)
{
    request->code = POLARYS_TXN_CONFLICT;
    request->conflict_version = conflict_version;
    pass->conflict_count++;
    if (conflict_version <= atomic_load(&path->published_version)) {
        sequence_finish(pass, request);
        return;
    }
    commit_list_append(&path->parked, request);
    if (conflict_version < path->parked_version_min) {
        path->parked_version_min = conflict_version;
    }
}

/* True when the log has room for the group with this commit, beside the group in flight. */
static bool has_log_room(struct commit_path *path, const struct commit_pass *pass,
                         const struct commit_request *request)
{
    struct commit_group *group = path->gathering;
    size_t needed = group->payload_bytes + request->encoded.size;
    if (needed <= group->room_bytes) {
        return true;
    }
    /* Asked for a whole group first, so that most commits need not ask. */
    size_t whole = needed > COMMIT_GROUP_BYTES_MAX ? needed : COMMIT_GROUP_BYTES_MAX;
    size_t sizes[] = {whole, needed};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        /* The writer's group was promised its own room before; what it takes comes on top. */
        size_t asked = sizes[i] + pass->in_flight_bytes;
        if (asked > WAL_FRAME_PAYLOAD_MAX) {
            asked = WAL_FRAME_PAYLOAD_MAX;
        }
        if (wal_has_room(path->options.wal, asked)) {
            group->room_bytes = sizes[i];
            return true;
        }
    }
    return false;
}

/* The commit's time: that of its group, which is never before the last one's. */
static uint64_t group_time_ms(struct commit_path *path)
{
    if (path->gathering->commit_count != 0) {
        return path->gathering->time_unix_ms;
    }
    uint64_t now_ms = clock_wall_ms(path->clock);
    if (now_ms < path->last_time_ms) {
        now_ms = path->last_time_ms;
    }
    path->last_time_ms = now_ms;
    return now_ms;
}

static void number_and_insert(struct commit_path *path, struct commit_pass *pass,
                              struct commit_request *request)
{
    uint64_t version = atomic_load_explicit(&path->given_version, memory_order_relaxed) + 1;
    POLARYS_ASSERT(version <= VERSION_MAX);
    request->version = version;
    request->time_unix_ms = group_time_ms(path);
    if (request->changes_schema) {
        path->sequenced_schema_version = version;
    }
    for (size_t i = 0; i < request->operation_count; i++) {
        struct entry entry = request->operations[i];
        entry.version = version;
        tree_insert(path->options.tree, &entry);
    }
    if (path->gathering->commit_count == 0) {
        path->gathering->first_ns = pass->now_ns;
    }
    commit_group_append(path->gathering, request);
    /* Waiters for durability read it: whoever knows a version of theirs sees at least that. */
    atomic_store_explicit(&path->given_version, version, memory_order_release);
    pass->sequenced_count++;
}

enum sequence_step {
    STEP_TAKEN,
    STEP_FULL,
    STEP_BLOCKED,
};

/* Deals with the oldest commit that waits. REQUIRES: the log works, and tokens are there. */
static enum sequence_step sequence_one(struct commit_path *path, struct commit_pass *pass,
                                       struct commit_request *request)
{
    uint64_t conflict_version;
    if (is_past_deadline(request, pass->now_ns)) {
        fail_deadline(request);
    } else if (!commit_group_fits(path->gathering, request)) {
        path->gathering->is_full = true;
        return STEP_FULL;
    } else if (!commit_validate(path, request, &conflict_version)) {
        commit_list_take_first(&path->pending);
        park_conflict(path, pass, request, conflict_version);
        return STEP_TAKEN;
    } else if (!has_log_room(path, pass, request)) {
        fail_disk_low(request);
    } else {
        request->code = tree_reserve(path->options.tree, request->entry_bytes,
                                     request->range_delete_count, &request->error);
        if (request->code == POLARYS_WOULD_BLOCK) {
            return STEP_BLOCKED;
        }
        if (request->code == POLARYS_OK) {
            commit_list_take_first(&path->pending);
            number_and_insert(path, pass, request);
            return STEP_TAKEN;
        }
        (void)polarys_wrap(&request->error, request->code, "reserve memtable room");
    }
    commit_list_take_first(&path->pending);
    sequence_finish(pass, request);
    return STEP_TAKEN;
}

/* While the head of the queue has to stay, those behind it still keep their deadlines. */
static void expire_pending(struct commit_path *path, struct commit_pass *pass)
{
    struct commit_request_list waiting = path->pending;
    path->pending = (struct commit_request_list){NULL, NULL};
    while (waiting.first != NULL) {
        struct commit_request *request = commit_list_take_first(&waiting);
        if (!is_past_deadline(request, pass->now_ns)) {
            commit_list_append(&path->pending, request);
            continue;
        }
        fail_deadline(request);
        pass->taken_commits++;
        pass->taken_bytes += request->encoded.size;
        sequence_finish(pass, request);
    }
}

static void sequence_pending(struct commit_path *path, struct commit_pass *pass)
{
    uint64_t rate = pass_rate(path, pass->now_ns);
    while (path->pending.first != NULL) {
        struct commit_request *request = path->pending.first;
        uint64_t size = request->encoded.size;
        if (rate != UINT64_MAX) {
            pass->pace_ns = pace_delay_ns(path, rate);
            if (pass->pace_ns != 0) {
                break;
            }
        }
        enum sequence_step step = sequence_one(path, pass, request);
        if (step != STEP_TAKEN) {
            pass->is_blocked = step == STEP_BLOCKED;
            break;
        }
        pass->taken_commits++;
        pass->taken_bytes += size;
        path->tokens -= rate == UINT64_MAX ? 0 : (int64_t)size;
    }
    if (path->pending.first != NULL && (pass->is_blocked || pass->pace_ns != 0)) {
        expire_pending(path, pass);
    }
}

/* A numbered group waits for disk space: nothing new is let in until it has been written. */
static void refuse_pending(struct commit_path *path, struct commit_pass *pass)
{
    while (path->pending.first != NULL) {
        struct commit_request *request = commit_list_take_first(&path->pending);
        fail_disk_low(request);
        pass->taken_commits++;
        pass->taken_bytes += request->encoded.size;
        sequence_finish(pass, request);
    }
}

void commit_sequence(struct commit_path *path, struct commit_pass *pass)
{
    release_async(path, pass);
    if (pass->may_take) {
        commit_queue_take(path);
        if (pass->is_disk_low) {
            refuse_pending(path, pass);
        } else {
            sequence_pending(path, pass);
        }
        commit_queue_release(path, pass->taken_commits, pass->taken_bytes);
        release_async(path, pass);
    }
    release_parked(path, pass);
}
