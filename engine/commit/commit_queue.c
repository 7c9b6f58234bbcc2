/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way in: admission and the queue that any thread pushes to without a lock.
 *
 * Invariant: `queue` counts every request that was admitted and not yet taken out by the sequencer, also
 * one that is not pushed yet. Admission and the draining mark are one atomic word, so after the mark is
 * set and the count has fallen to nothing, no request can come any more.
 */
#include "engine/commit/commit_internal.h"

/* The word: bit 63 draining, bits 40..62 commits, bits 0..39 bytes. */
#define QUEUE_DRAINING (UINT64_C(1) << 63)
#define QUEUE_COMMIT (UINT64_C(1) << 40)
#define QUEUE_BYTES_MASK (QUEUE_COMMIT - 1)

enum {
    /* What a retry is reckoned with when the tree sets no rate. */
    QUEUE_RATE_NOMINAL = 64 << 20,
    QUEUE_RETRY_AFTER_MS_MAX = 10000,
};

static uint64_t word_commits(uint64_t word)
{
    return (word & ~QUEUE_DRAINING) / QUEUE_COMMIT;
}

void commit_list_append(struct commit_request_list *list, struct commit_request *request)
{
    request->next = NULL;
    if (list->first == NULL) {
        list->first = request;
    } else {
        list->last->next = request;
    }
    list->last = request;
}

void commit_list_move(struct commit_request_list *to, struct commit_request_list *from)
{
    if (from->first == NULL) {
        return;
    }
    if (to->first == NULL) {
        to->first = from->first;
    } else {
        to->last->next = from->first;
    }
    to->last = from->last;
    from->first = NULL;
    from->last = NULL;
}

struct commit_request *commit_list_take_first(struct commit_request_list *list)
{
    struct commit_request *request = list->first;
    POLARYS_ASSERT(request != NULL);
    list->first = request->next;
    if (list->first == NULL) {
        list->last = NULL;
    }
    request->next = NULL;
    return request;
}

uint64_t commit_queue_commits(const struct commit_path *path)
{
    return word_commits(atomic_load(&path->queue));
}

uint64_t commit_queue_bytes(const struct commit_path *path)
{
    return atomic_load(&path->queue) & QUEUE_BYTES_MASK;
}

bool commit_queue_is_draining(const struct commit_path *path)
{
    return (atomic_load(&path->queue) & QUEUE_DRAINING) != 0;
}

void commit_queue_refuse_more(struct commit_path *path)
{
    atomic_fetch_or(&path->queue, QUEUE_DRAINING);
}

void commit_queue_accept(struct commit_path *path)
{
    atomic_fetch_and(&path->queue, ~QUEUE_DRAINING);
}

void commit_queue_release(struct commit_path *path, uint64_t commits, uint64_t bytes)
{
    if (commits != 0) {
        uint64_t old = atomic_fetch_sub(&path->queue, commits * QUEUE_COMMIT + bytes);
        POLARYS_ASSERT(word_commits(old) >= commits);
    }
}

static void refuse_stalled(struct commit_path *path, struct commit_request *request)
{
    uint64_t rate = tree_write_rate(path->options.tree);
    if (rate > QUEUE_RATE_NOMINAL) {
        rate = QUEUE_RATE_NOMINAL;
    }
    uint64_t bytes = commit_queue_bytes(path) & QUEUE_BYTES_MASK;
    uint64_t wait_ms = bytes * 1000 / (rate == 0 ? 1 : rate) + 1;
    request->code = polarys_fail(
        &request->error, POLARYS_WRITE_STALL, "commit queue is full: %llu commits, %llu bytes",
        (unsigned long long)commit_queue_commits(path), (unsigned long long)bytes);
    request->error.retry_after_ms =
        (uint32_t)(wait_ms < QUEUE_RETRY_AFTER_MS_MAX ? wait_ms : QUEUE_RETRY_AFTER_MS_MAX);
    atomic_fetch_add(&path->stall_count, 1);
}

/* The log's error, which the writer left behind. */
static void refuse_broken(struct commit_path *path, struct commit_request *request)
{
    mutex_lock(&path->mutex);
    request->error = path->broken_error;
    mutex_unlock(&path->mutex);
    request->code = request->error.code;
}

/* Counts the request in, or says in it why not. */
static bool queue_admit(struct commit_path *path, struct commit_request *request)
{
    uint64_t size = request->encoded.size;
    if (size > WAL_FRAME_PAYLOAD_MAX - LOG_BATCH_TIME_SIZE) {
        request->code =
            polarys_fail(&request->error, POLARYS_TOO_LARGE,
                         "commit of %llu bytes does not fit a log frame", (unsigned long long)size);
        return false;
    }
    if (atomic_load(&path->is_broken)) {
        refuse_broken(path, request);
        return false;
    }
    if (commit_is_follower(path)) {
        request->code = polarys_fail(&request->error, POLARYS_NOT_PRIMARY,
                                     "this is a follower: write to its primary");
        return false;
    }
    uint64_t old = atomic_fetch_add(&path->queue, QUEUE_COMMIT + size);
    if ((old & QUEUE_DRAINING) != 0) {
        commit_queue_release(path, 1, size);
        request->code =
            atomic_load(&path->is_stopped)
                ? polarys_fail(&request->error, POLARYS_NOT_PRIMARY, "this node takes no writes")
                : polarys_fail(&request->error, POLARYS_DRAINING, "store is closing");
        return false;
    }
    /* A commit above the limit on bytes gets in when it is the only one. */
    if (word_commits(old) >= COMMIT_QUEUE_COMMITS_MAX ||
        (word_commits(old) > 0 && (old & QUEUE_BYTES_MASK) + size > COMMIT_QUEUE_BYTES_MAX)) {
        refuse_stalled(path, request);
        commit_queue_release(path, 1, size);
        return false;
    }
    return true;
}

static void request_prepare(struct commit_request *request, enum commit_wait_state wait_state)
{
    request->code = POLARYS_OK;
    request->version = 0;
    request->time_unix_ms = 0;
    request->conflict_version = 0;
    request->waiter = NULL;
    request->wait_state = wait_state;
    /* What does not fit the buffer stays with its owner until the frame is written. */
    request->waits_for_frame = request->durability == COMMIT_LOCAL_SYNC ||
                               request->encoded.size > COMMIT_ASYNC_BUFFER_BYTES;
    request->entry_bytes = 0;
    request->range_delete_count = 0;
    for (size_t i = 0; i < request->operation_count; i++) {
        const struct entry *operation = &request->operations[i];
        request->entry_bytes +=
            memtable_entry_bytes_max(operation->key.size, operation->value.size);
        request->range_delete_count += operation->kind == ENTRY_RANGE_DELETE;
    }
}

bool commit_enqueue(struct commit_path *path, struct commit_request *request,
                    enum commit_wait_state wait_state)
{
    POLARYS_ASSERT(request->encoded.size > 0);
    request_prepare(request, wait_state);
    if (!queue_admit(path, request)) {
        return false;
    }
    struct commit_request *head = atomic_load_explicit(&path->incoming, memory_order_relaxed);
    do {
        request->next = head;
    } while (!atomic_compare_exchange_weak(&path->incoming, &head, request));
    /* The log thread marks itself asleep and then looks at `incoming`; here it is the other way round, so
     * one of the two sees the other's. */
    if (path->has_thread && wait_state == COMMIT_WAIT_NONE &&
        atomic_load(&path->is_thread_asleep)) {
        mutex_lock(&path->mutex);
        commit_thread_wake_locked(path);
        mutex_unlock(&path->mutex);
    }
    return true;
}

void commit_submit(struct commit_path *path, struct commit_request *request)
{
    POLARYS_ASSERT(request->done != NULL);
    if (!commit_enqueue(path, request, COMMIT_WAIT_NONE)) {
        request->done(request);
    }
}

void commit_queue_take(struct commit_path *path)
{
    if (atomic_load(&path->incoming) == NULL) {
        return;
    }
    struct commit_request *newest = atomic_exchange(&path->incoming, NULL);
    struct commit_request *last = newest;
    struct commit_request *first = NULL;
    while (newest != NULL) {
        struct commit_request *older = newest->next;
        newest->next = first;
        first = newest;
        newest = older;
    }
    struct commit_request_list taken = {first, last};
    commit_list_move(&path->pending, &taken);
}
