/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Becoming a primary. Who asks waits; the tail's thread, which alone takes in the log, does it between two
 * connections.
 *
 * Order: the terms before are sealed (follower_elect.c), the store is promoted, then the file of the role says so, then others
 * see it. A crash between the first two leaves a follower whose promotion nobody was told of.
 */
#include <inttypes.h>
#include <string.h>

#include "service/replication/follower_internal.h"
#include "service/server/check.h"
#include "service/server/timing.h"

bool follower_promotion_is_asked(struct follower *follower)
{
    (void)pthread_mutex_lock(&follower->mutex);
    bool is_asked = follower->is_promotion_asked && !follower->is_promotion_done;
    (void)pthread_mutex_unlock(&follower->mutex);
    return is_asked;
}

static void promotion_end(struct follower *follower, enum polarys_code code,
                          const struct polarys_error *err)
{
    (void)pthread_mutex_lock(&follower->mutex);
    if (follower->is_promotion_asked) {
        follower->promotion_code = code;
        follower->promotion_error = *err;
        follower->is_promotion_done = true;
        (void)pthread_cond_broadcast(&follower->changed);
    }
    (void)pthread_mutex_unlock(&follower->mutex);
}

void follower_promotion_refuse(struct follower *follower)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (follower_promotion_is_asked(follower)) {
        promotion_end(follower,
                      polarys_fail(&err, POLARYS_DRAINING, "the node has stopped following"), &err);
    }
}

static enum polarys_code role_promote(struct follower *follower, uint64_t term,
                                      struct polarys_error *err)
{
    follower->role.kind = ROLE_PRIMARY;
    /* By whom the setting names it is known, at the next start, whether that has changed since. */
    memcpy(follower->role.follows, follower->config->follow, sizeof(follower->role.follows));
    follower->role.is_told = false;
    follower->role.step = ROLE_FOLLOWING;
    follower->role.term = term;
    enum polarys_code code = role_write(follower->config->data_dir, &follower->role, err);
    return code == POLARYS_OK
               ? code
               : polarys_wrap(err, code,
                              "this node is the primary now, but after a restart it would follow "
                              "again");
}

static enum polarys_code store_promote(struct follower *follower, uint64_t term,
                                       struct polarys_error *err)
{
    struct follower_promotion promotion = {.last_version = polarys_db_version(follower->db)};
    enum polarys_code code = polarys_replica_promote(follower->db, term, err);
    if (code != POLARYS_OK) {
        follower->is_local_error = true;
        return code;
    }
    /* From the state on a higher term may fence this node, and writes the file too: it must not be overwritten. */
    code = role_promote(follower, term, err);
    if (follower->promoted != NULL) {
        follower->promoted(follower->context);
    }
    follower_state_set(follower, FOLLOWER_PROMOTED);
    promotion.term = term;
    (void)pthread_mutex_lock(&follower->mutex);
    promotion.lost_versions = follower->end_version > promotion.last_version
                                  ? follower->end_version - promotion.last_version
                                  : 0;
    follower->promotion = promotion;
    follower->highest_term = term;
    (void)pthread_mutex_unlock(&follower->mutex);
    polarys_log(POLARYS_LOG_WARN, "replica",
                "promoted on request: primary of term %" PRIu64 ", after version %" PRIu64 "%s",
                term, promotion.last_version,
                promotion.lost_versions > 0 ? "; commits of the old primary are lost" : "");
    return code;
}

bool follower_promotion_run(struct follower *follower)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (!follower_promotion_is_asked(follower)) {
        return false;
    }
    (void)pthread_mutex_lock(&follower->mutex);
    uint64_t term = follower->promotion_term;
    bool allows_loss = follower->promotion_allows_loss;
    (void)pthread_mutex_unlock(&follower->mutex);
    follower->is_local_error = false;
    enum polarys_code code = follower_elect(follower, allows_loss, &term, &err);
    if (code == POLARYS_OK) {
        code = store_promote(follower, term, &err);
    }
    bool is_promoted = !follower_is_following(follower);
    promotion_end(follower, code, &err);
    return is_promoted;
}

/* REQUIRES: the mutex. */
static enum polarys_code promotion_check_locked(const struct follower *follower,
                                                struct polarys_error *err)
{
    enum follower_state state =
        (enum follower_state)__atomic_load_n(&follower->state, __ATOMIC_ACQUIRE);
    if (state == FOLLOWER_ENDED || follower->is_stopping) {
        return polarys_fail(err, POLARYS_DRAINING, "the node has stopped following");
    }
    if (state == FOLLOWER_PROMOTED) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "this node was promoted already");
    }
    if (follower->is_promotion_asked) {
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "a promotion is under way already");
    }
    return POLARYS_OK;
}

/* REQUIRES: the mutex. */
static enum polarys_code promotion_wait_locked(struct follower *follower,
                                               struct follower_promotion *promotion,
                                               struct polarys_error *err)
{
    struct timespec end;
    int error = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += FOLLOWER_PROMOTE_MS / 1000;
    while (!follower->is_promotion_done && !follower->is_stopping && error == 0) {
        error = pthread_cond_timedwait(&follower->changed, &follower->mutex, &end);
    }
    if (!follower->is_promotion_done) {
        return polarys_fail(err, POLARYS_WAIT_TIMEOUT,
                            "the promotion is not done yet: look at the status of this node");
    }
    *promotion = follower->promotion;
    enum polarys_code code = follower->promotion_code;
    if (code != POLARYS_OK) {
        *err = follower->promotion_error;
    }
    follower->is_promotion_asked = false;
    follower->is_promotion_done = false;
    return code;
}

enum polarys_code follower_promote(struct follower *follower, uint64_t term, bool allows_loss,
                                   struct follower_promotion *promotion, struct polarys_error *err)
{
    *promotion = (struct follower_promotion){0};
    (void)pthread_mutex_lock(&follower->mutex);
    enum polarys_code code = promotion_check_locked(follower, err);
    if (code == POLARYS_OK) {
        follower->is_promotion_asked = true;
        follower->promotion_term = term;
        follower->promotion_allows_loss = allows_loss;
        if (follower->tail_peer != NULL) {
            peer_cancel(follower->tail_peer);
        }
        backoff_wake(&follower->backoff);
        code = promotion_wait_locked(follower, promotion, err);
    }
    (void)pthread_mutex_unlock(&follower->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "promote");
}
