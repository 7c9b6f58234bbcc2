/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the life of a follower: its threads, and what an ended connection leads to. The invariant: of the
 * engine's functions that take in the log, only the tail's thread calls any.
 */
#include "service/replication/follower.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "service/replication/address.h"
#include "service/replication/boot.h"
#include "service/replication/follower_internal.h"
#include "service/server/check.h"

enum { ARENA_BYTES_MAX = 512 << 20, LOG_EVERY = 60 };

/* What is done about the end of a connection. */
enum outcome {
    OUTCOME_AGAIN,
    OUTCOME_BOOTSTRAP,
    OUTCOME_KEYRING,
    OUTCOME_REOPEN,
    OUTCOME_FATAL,
};

void follower_state_set(struct follower *follower, enum follower_state state)
{
    __atomic_store_n(&follower->state, (int)state, __ATOMIC_RELEASE);
}

static enum outcome outcome_local(enum polarys_code code)
{
    switch (code) {
    case POLARYS_HISTORY_DIVERGED:
        return OUTCOME_BOOTSTRAP;
    case POLARYS_FOLLOWER_LACKS_KEY:
        return OUTCOME_KEYRING;
    case POLARYS_WRONG_STORE:
    case POLARYS_UNSUPPORTED_FORMAT:
    case POLARYS_IO:
        return OUTCOME_FATAL;
    case POLARYS_CORRUPT:
    case POLARYS_TAMPERED:
    case POLARYS_BAD_MESSAGE:
    case POLARYS_DISK_LOW:
        return OUTCOME_AGAIN; /* refused before anything was changed */
    default:
        return OUTCOME_REOPEN; /* how much was taken in is not known */
    }
}

static enum outcome outcome_of(const struct follower *follower, enum polarys_code code)
{
    if (follower->is_local_error) {
        return outcome_local(code);
    }
    switch (code) {
    case POLARYS_LOG_PRUNED:
    case POLARYS_HISTORY_DIVERGED:
        return OUTCOME_BOOTSTRAP;
    case POLARYS_WRONG_STORE:
    case POLARYS_WRONG_MASTER_KEY:
    case POLARYS_UNSUPPORTED_FORMAT:
    case POLARYS_BAD_NAME:
        return OUTCOME_FATAL;
    default:
        return OUTCOME_AGAIN;
    }
}

static void end(struct follower *follower, enum follower_end why)
{
    follower_state_set(follower, FOLLOWER_ENDED);
    follower_promotion_refuse(follower);
    follower_seal_refuse(follower);
    follower->ended(follower->context, why);
}

/* The store can't go on: it is marked, so that the next start fetches a copy. */
static void bootstrap_begin(struct follower *follower, const struct polarys_error *why)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    const char *common = polarys_error_detail_find(why, "common_version");
    polarys_log(POLARYS_LOG_ERROR, "replica",
                "this store, at version %" PRIu64
                ", can't follow %s any more: %s: %s%s%s; it is set aside, and a copy is fetched",
                polarys_db_version(follower->db), follower->follows, polarys_code_name(why->code),
                why->message, common == NULL ? "" : "; last common version ",
                common == NULL ? "" : common);
    if (boot_store_reject(follower->config->data_dir, &follower->role, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "replica", "%s", err.message);
        end(follower, FOLLOWER_FATAL);
        return;
    }
    end(follower, FOLLOWER_REOPEN);
}

/* False: the follower has ended. */
static bool keyring_renew(struct follower *follower)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    bool is_new = false;
    enum polarys_code code = follower_keyring_install(follower, &is_new, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "replica", "fetch the keyring: %s", err.message);
        return true;
    }
    if (is_new) {
        polarys_log(POLARYS_LOG_INFO, "replica",
                    "the primary has a new data key: opening the store again with its keyring");
        end(follower, FOLLOWER_REOPEN);
    }
    return !is_new;
}

/* False: the follower has ended. */
static bool outcome_handle(struct follower *follower, const struct polarys_error *err)
{
    switch (outcome_of(follower, err->code)) {
    case OUTCOME_AGAIN:
        return true;
    case OUTCOME_KEYRING:
        return keyring_renew(follower);
    case OUTCOME_BOOTSTRAP:
        bootstrap_begin(follower, err);
        return false;
    case OUTCOME_REOPEN:
        polarys_log(POLARYS_LOG_ERROR, "replica", "opening the store again: %s: %s",
                    polarys_code_name(err->code), err->message);
        end(follower, FOLLOWER_REOPEN);
        return false;
    default:
        polarys_log(POLARYS_LOG_ERROR, "replica", "can't follow %s: %s: %s", follower->follows,
                    polarys_code_name(err->code), err->message);
        end(follower, FOLLOWER_FATAL);
        return false;
    }
}

static void error_note(struct follower *follower, const struct polarys_error *err)
{
    (void)pthread_mutex_lock(&follower->mutex);
    memcpy(follower->error, err->message, sizeof(follower->error));
    (void)pthread_mutex_unlock(&follower->mutex);
}

static void *tail_run(void *context)
{
    struct follower *follower = context;
    enum polarys_code last = POLARYS_OK;
    unsigned repeated = 0;
    while (!backoff_is_stopped(&follower->backoff)) {
        struct polarys_error err = POLARYS_ERROR_INIT;
        follower->is_local_error = false;
        follower->has_progress = false;
        enum polarys_code code = follower_session_run(follower, &err);
        SERVICE_ASSERT(code != POLARYS_OK);
        follower_state_set(follower, FOLLOWER_CONNECTING);
        if (!follower->is_local_error && follower_seal_run(follower)) {
            continue;
        }
        if (backoff_is_stopped(&follower->backoff) || follower_promotion_run(follower)) {
            break;
        }
        error_note(follower, &err);
        repeated = code == last && !follower->has_progress ? repeated + 1 : 0;
        last = code;
        if (repeated % LOG_EVERY == 0) {
            polarys_log(POLARYS_LOG_WARN, "replica", "following %s: %s: %s; trying again",
                        follower->follows, polarys_code_name(code), err.message);
        }
        if (!outcome_handle(follower, &err)) {
            break;
        }
        if (follower->has_progress) {
            backoff_reset(&follower->backoff);
        }
        (void)backoff_wait(&follower->backoff);
        (void)follower_seal_run(follower);
        if (follower_promotion_run(follower)) {
            break;
        }
    }
    follower_promotion_refuse(follower);
    follower_seal_refuse(follower);
    return NULL;
}

/* ---- life ---- */

enum polarys_code follower_create(const struct follower_options *options, struct follower **out,
                                  struct polarys_error *err)
{
    *out = NULL;
    struct follower *follower = calloc(1, sizeof(*follower));
    if (follower == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to follow another node");
    }
    follower->config = options->config;
    follower->db = options->db;
    follower->open = options->open;
    follower->promoted = options->promoted;
    follower->ended = options->ended;
    follower->context = options->context;
    follower->role = options->role;
    follower->highest_term = options->role.term;
    memcpy(follower->follows, options->role.follows, sizeof(follower->follows));
    if (follower->follows[0] == '\0') {
        memcpy(follower->follows, options->config->follow, sizeof(follower->follows));
    }
    memcpy(follower->primary, follower->follows, sizeof(follower->primary));
    follower->memory.limit = ARENA_BYTES_MAX;
    proto_arena_init(&follower->arena, &follower->memory);
    backoff_init(&follower->backoff);
    (void)pthread_mutex_init(&follower->mutex, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&follower->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    *out = follower;
    return POLARYS_OK;
}

enum polarys_code follower_start(struct follower *follower, uint16_t port,
                                 struct polarys_error *err)
{
    address_make(follower->config, port, follower->address);
    int error = pthread_create(&follower->tail_thread, NULL, tail_run, follower);
    if (error != 0) {
        return polarys_fail_errno(err, error, "start a thread");
    }
    follower->has_tail_thread = true;
    (void)pthread_setname_np(follower->tail_thread, "replica");
    error = pthread_create(&follower->ask_thread, NULL, follower_ask_run, follower);
    if (error != 0) {
        follower_stop(follower);
        return polarys_fail_errno(err, error, "start a thread");
    }
    follower->has_ask_thread = true;
    (void)pthread_setname_np(follower->ask_thread, "replica-ask");
    return POLARYS_OK;
}

void follower_stop(struct follower *follower)
{
    if (follower == NULL) {
        return;
    }
    backoff_stop(&follower->backoff);
    (void)pthread_mutex_lock(&follower->mutex);
    follower->is_stopping = true;
    struct peer *peers[] = {follower->tail_peer, follower->ask_peer};
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        if (peers[i] != NULL) {
            peer_cancel(peers[i]);
        }
    }
    (void)pthread_cond_broadcast(&follower->changed);
    (void)pthread_mutex_unlock(&follower->mutex);
    if (follower->has_tail_thread) {
        (void)pthread_join(follower->tail_thread, NULL);
        follower->has_tail_thread = false;
    }
    if (follower->has_ask_thread) {
        (void)pthread_join(follower->ask_thread, NULL);
        follower->has_ask_thread = false;
    }
}

void follower_destroy(struct follower *follower)
{
    if (follower == NULL) {
        return;
    }
    SERVICE_ASSERT(!follower->has_tail_thread && !follower->has_ask_thread);
    SERVICE_ASSERT(follower->tail_peer == NULL && follower->ask_peer == NULL);
    free(follower->parts.bytes);
    proto_arena_deinit(&follower->arena);
    backoff_deinit(&follower->backoff);
    (void)pthread_cond_destroy(&follower->changed);
    (void)pthread_mutex_destroy(&follower->mutex);
    free(follower);
}

/* ---- the nodes that it calls ---- */

enum polarys_code follower_peer_open(struct follower *follower, const char *address,
                                     struct peer **place, struct polarys_error *err)
{
    struct peer *peer;
    enum polarys_code code = follower->open(address, &peer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    (void)pthread_mutex_lock(&follower->mutex);
    SERVICE_ASSERT(*place == NULL);
    bool is_stopping = follower->is_stopping;
    *place = is_stopping ? NULL : peer;
    (void)pthread_mutex_unlock(&follower->mutex);
    if (is_stopping) {
        peer_close(peer);
        return polarys_fail(err, POLARYS_CANCELLED, "the node is stopping");
    }
    return POLARYS_OK;
}

void follower_peer_close(struct follower *follower, struct peer **place)
{
    (void)pthread_mutex_lock(&follower->mutex);
    struct peer *peer = *place;
    *place = NULL;
    (void)pthread_mutex_unlock(&follower->mutex);
    peer_close(peer);
}
