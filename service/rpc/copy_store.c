/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of copies. One mutex guards it and is held for moments only; files are touched outside of it,
 * by whoever took a copy out of the registry first.
 *
 * Invariant: a copy that is in the registry is whole, and its directory is there until it was taken out with
 * nobody using it. As long as it is there, or is being made, the log goes on from where its own ends: a copy
 * whose log nobody has any more could not be followed from.
 */
#include "service/rpc/copy_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "engine/engine_log.h"
#include "service/server/check.h"
#include "service/server/timing.h"

#define COPIES_DIR_NAME "copies"

struct copy_store {
    /* Immutable. */
    struct polarys_db *db;
    char root[COPY_DIR_NAME_MAX];

    pthread_mutex_t mutex;
    pthread_cond_t swept;
    /* Guarded by mutex. */
    struct copy *copies[COPIES_MAX];
    size_t count;
    size_t making_count;
    uint64_t making_segment; /* of the log, when the oldest making began; 0: none is made */
    bool is_sweeping;
    uint64_t sweep_ns;       /* what the sweep under way takes for now */
    struct copy_files known; /* digests of the table files of the last copy */
};

/* Copies taken out of the registry, to be removed. */
struct copy_list {
    struct copy *list[COPIES_MAX];
    size_t count;
};

static void copy_free(struct copy *copy)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    SERVICE_ASSERT(copy->user_count == 0);
    if (copy_files_remove(copy->dir, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "copies", "%s; the next start tries again", err.message);
    }
    copy_files_deinit(&copy->files);
    free(copy);
}

static void copies_free(const struct copy_list *taken)
{
    for (size_t i = 0; i < taken->count; i++) {
        copy_free(taken->list[i]);
    }
}

/* Has the log kept from the end of the oldest copy on. REQUIRES: store->mutex, so that the last word is the newest. */
static void log_keep_locked(struct copy_store *store)
{
    uint64_t oldest = store->making_segment;
    for (size_t i = 0; i < store->count; i++) {
        uint64_t segment_id = store->copies[i]->end.segment_id;
        oldest = oldest == 0 || segment_id < oldest ? segment_id : oldest;
    }
    polarys_log_keep_from(store->db, oldest);
}

/* Takes the copy at `place` out of the registry. REQUIRES: store->mutex, nobody uses it. */
static void copy_take_locked(struct copy_store *store, size_t place, struct copy_list *taken)
{
    SERVICE_ASSERT(place < store->count && store->copies[place]->user_count == 0);
    taken->list[taken->count++] = store->copies[place];
    store->copies[place] = store->copies[--store->count];
    log_keep_locked(store);
}

static bool is_expired(const struct copy *copy, uint64_t now_ns)
{
    return copy->user_count == 0 && now_ns >= copy->used_ns &&
           now_ns - copy->used_ns >= (uint64_t)COPY_KEEP_MS * TIMING_NS_PER_MS;
}

static void expired_take_locked(struct copy_store *store, uint64_t now_ns, struct copy_list *taken)
{
    for (size_t i = store->count; i-- > 0;) {
        if (is_expired(store->copies[i], now_ns)) {
            copy_take_locked(store, i, taken);
        }
    }
}

/* The copy that was used the longest ago, of those that were sent to their end. */
static void sent_take_locked(struct copy_store *store, struct copy_list *taken)
{
    size_t oldest = store->count;
    for (size_t i = 0; i < store->count; i++) {
        const struct copy *copy = store->copies[i];
        if (copy->user_count == 0 && copy->is_sent &&
            (oldest == store->count || copy->used_ns < store->copies[oldest]->used_ns)) {
            oldest = i;
        }
    }
    if (oldest < store->count) {
        copy_take_locked(store, oldest, taken);
    }
}

enum polarys_code copy_store_create(struct polarys_db *db, const char *data_dir,
                                    struct copy_store **out, struct polarys_error *err)
{
    *out = NULL;
    struct copy_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the list of copies");
    }
    store->db = db;
    (void)pthread_mutex_init(&store->mutex, NULL);
    (void)pthread_cond_init(&store->swept, NULL);
    enum polarys_code code = POLARYS_OK;
    /* A copy's own directory and the longest name in it have to fit too. */
    int size = snprintf(store->root, sizeof(store->root), "%s/" COPIES_DIR_NAME, data_dir);
    if (size < 0 || (size_t)size + 2 * COPY_ID_SIZE + 2 + COPY_PATH_MAX > sizeof(store->root)) {
        code =
            polarys_fail(err, POLARYS_BAD_ARGUMENT, "the path of the data directory is too long");
    }
    if (code == POLARYS_OK) {
        code = copy_files_remove(store->root, err);
    }
    if (code != POLARYS_OK) {
        goto fail;
    }
    *out = store;
    return POLARYS_OK;

fail:
    copy_store_destroy(store);
    return polarys_wrap(err, code, "remove the copies of an earlier start");
}

void copy_store_destroy(struct copy_store *store)
{
    struct copy_list taken = {.count = 0};
    if (store == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&store->mutex);
    while (store->is_sweeping) {
        (void)pthread_cond_wait(&store->swept, &store->mutex);
    }
    SERVICE_ASSERT(store->making_count == 0);
    while (store->count > 0) {
        copy_take_locked(store, 0, &taken);
    }
    (void)pthread_mutex_unlock(&store->mutex);
    copies_free(&taken);
    copy_files_deinit(&store->known);
    (void)pthread_cond_destroy(&store->swept);
    (void)pthread_mutex_destroy(&store->mutex);
    free(store);
}

/* Makes room for one more, and counts it among those being made. */
static enum polarys_code place_take(struct copy_store *store, uint64_t now_ns,
                                    struct copy_files *known, struct polarys_error *err)
{
    struct copy_list taken = {.count = 0};
    enum polarys_code code = POLARYS_OK;
    (void)pthread_mutex_lock(&store->mutex);
    expired_take_locked(store, now_ns, &taken);
    if (store->count + store->making_count >= COPIES_MAX) {
        sent_take_locked(store, &taken);
    }
    if (store->count + store->making_count >= COPIES_MAX ||
        store->making_count >= COPIES_MAKING_MAX) {
        code = polarys_fail(err, POLARYS_TOO_MANY_CALLS,
                            "%zu copies are kept and %zu are being made: at most %d and %d",
                            store->count, store->making_count, COPIES_MAX, COPIES_MAKING_MAX);
    } else {
        if (store->making_count++ == 0) {
            struct polarys_log_position end;
            polarys_log_durable_position(store->db, &end);
            store->making_segment = end.segment_id;
            log_keep_locked(store);
        }
        *known = store->known;
        store->known = (struct copy_files){0};
    }
    (void)pthread_mutex_unlock(&store->mutex);
    copies_free(&taken);
    return code;
}

/* Ends the making: `copy` joins the registry unless NULL. `take_known` is for the next one. */
static void place_give(struct copy_store *store, struct copy *copy, struct copy_files *take_known)
{
    struct copy_files old = *take_known;
    (void)pthread_mutex_lock(&store->mutex);
    SERVICE_ASSERT(store->making_count > 0);
    store->making_count--;
    store->making_segment = store->making_count == 0 ? 0 : store->making_segment;
    if (copy != NULL) {
        SERVICE_ASSERT(store->count < COPIES_MAX);
        store->copies[store->count++] = copy;
    }
    log_keep_locked(store);
    if (take_known->count > 0) {
        old = store->known;
        store->known = *take_known;
    }
    (void)pthread_mutex_unlock(&store->mutex);
    copy_files_deinit(&old);
    *take_known = (struct copy_files){0};
}

static void id_format(const uint8_t id[COPY_ID_SIZE], char text[2 * COPY_ID_SIZE + 1])
{
    for (size_t i = 0; i < COPY_ID_SIZE; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
}

static enum polarys_code copy_create(const struct copy_store *store, struct copy **out,
                                     struct polarys_error *err)
{
    char text[2 * COPY_ID_SIZE + 1];
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a copy");
    }
    if (getrandom((*out)->id, COPY_ID_SIZE, 0) != COPY_ID_SIZE) {
        return polarys_fail_errno(err, errno, "get random bytes");
    }
    if (mkdir(store->root, 0700) != 0 && errno != EEXIST) {
        return polarys_fail_errno(err, errno, "make directory %s", store->root);
    }
    id_format((*out)->id, text);
    int size = snprintf((*out)->dir, sizeof((*out)->dir), "%s/%s", store->root, text);
    SERVICE_ASSERT(size > 0 && (size_t)size < sizeof((*out)->dir));
    return POLARYS_OK;
}

static enum polarys_code copy_fill(const struct copy_store *store, struct copy *copy,
                                   const struct copy_files *known, const struct copy_stop *stop,
                                   struct polarys_error *err)
{
    enum polarys_code code = polarys_db_checkpoint_log(store->db, copy->dir, &copy->end, err);
    if (code == POLARYS_OK) {
        code = copy_files_list(copy->dir, &copy->files, err);
    }
    return code == POLARYS_OK ? copy_files_digest(copy->dir, &copy->files, known, stop, err) : code;
}

enum polarys_code copy_store_make(struct copy_store *store, uint64_t now_ns,
                                  const struct copy_stop *stop, struct copy **out,
                                  struct polarys_error *err)
{
    struct copy_files known = {0};
    struct copy *copy = NULL;
    *out = NULL;
    enum polarys_code code = place_take(store, now_ns, &known, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = copy_create(store, &copy, err);
    if (code == POLARYS_OK) {
        code = copy_fill(store, copy, &known, stop, err);
    }
    if (code != POLARYS_OK) {
        goto fail;
    }
    copy_files_deinit(&known);
    struct polarys_error ignored = POLARYS_ERROR_INIT;
    if (copy_files_keep(&copy->files, &known, &ignored) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "copies", "%s: the next copy reads all files",
                    ignored.message);
    }
    copy->user_count = 1;
    copy->used_ns = now_ns;
    place_give(store, copy, &known);
    *out = copy;
    return POLARYS_OK;

fail:
    if (copy != NULL) {
        copy_free(copy);
    }
    place_give(store, NULL, &known);
    return polarys_wrap(err, code, "make a copy of the store");
}

enum polarys_code copy_store_acquire(struct copy_store *store, struct polarys_slice id,
                                     struct copy **out, struct polarys_error *err)
{
    *out = NULL;
    (void)pthread_mutex_lock(&store->mutex);
    for (size_t i = 0; i < store->count && id.size == COPY_ID_SIZE; i++) {
        if (memcmp(store->copies[i]->id, id.data, COPY_ID_SIZE) == 0) {
            *out = store->copies[i];
            (*out)->user_count++;
            break;
        }
    }
    (void)pthread_mutex_unlock(&store->mutex);
    return *out != NULL ? POLARYS_OK
                        : polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                                       "the copy to go on with is not kept any more: begin again");
}

void copy_store_release(struct copy_store *store, struct copy *copy, bool is_sent, uint64_t now_ns)
{
    if (copy == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&store->mutex);
    SERVICE_ASSERT(copy->user_count > 0);
    copy->user_count--;
    copy->used_ns = now_ns;
    copy->is_sent = copy->is_sent || is_sent;
    (void)pthread_mutex_unlock(&store->mutex);
}

static void sweep_run(void *context)
{
    struct copy_store *store = context;
    struct copy_list taken = {.count = 0};
    (void)pthread_mutex_lock(&store->mutex);
    expired_take_locked(store, store->sweep_ns, &taken);
    (void)pthread_mutex_unlock(&store->mutex);
    copies_free(&taken);
    (void)pthread_mutex_lock(&store->mutex);
    store->is_sweeping = false;
    (void)pthread_cond_broadcast(&store->swept);
    (void)pthread_mutex_unlock(&store->mutex);
}

void copy_store_sweep(struct copy_store *store, uint64_t now_ns)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    bool has_expired = false;
    (void)pthread_mutex_lock(&store->mutex);
    for (size_t i = 0; i < store->count; i++) {
        has_expired = has_expired || is_expired(store->copies[i], now_ns);
    }
    bool is_due = has_expired && !store->is_sweeping;
    if (is_due) {
        store->is_sweeping = true;
        store->sweep_ns = now_ns;
    }
    (void)pthread_mutex_unlock(&store->mutex);
    if (is_due && polarys_db_execute(store->db, sweep_run, store, &err) != POLARYS_OK) {
        /* The executor takes nothing any more; the store is being closed, or the next sweep comes. */
        (void)pthread_mutex_lock(&store->mutex);
        store->is_sweeping = false;
        (void)pthread_cond_broadcast(&store->swept);
        (void)pthread_mutex_unlock(&store->mutex);
    }
}

size_t copy_store_count(struct copy_store *store)
{
    (void)pthread_mutex_lock(&store->mutex);
    size_t count = store->count;
    (void)pthread_mutex_unlock(&store->mutex);
    return count;
}
