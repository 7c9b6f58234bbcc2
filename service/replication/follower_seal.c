/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing a term on a node that follows. Who asks waits; the tail's thread, which alone takes in the log and acknowledges,
 * does it between two connections.
 *
 * The invariant: when it is answered, the term is on disk, the connection to the old primary is closed, and another to a
 * primary of a lower term is refused by the handshake. So what is told as the end stays the end for those terms.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/engine_log.h"
#include "service/replication/follower_internal.h"
#include "service/server/check.h"
#include "service/server/timing.h"

bool follower_seal_is_asked(struct follower *follower)
{
    (void)pthread_mutex_lock(&follower->mutex);
    bool is_asked = follower->is_seal_asked && !follower->is_seal_done;
    (void)pthread_mutex_unlock(&follower->mutex);
    return is_asked;
}

static void seal_end(struct follower *follower, enum polarys_code code,
                     const struct follower_seal_result *result, const struct polarys_error *err)
{
    (void)pthread_mutex_lock(&follower->mutex);
    if (follower->is_seal_asked) {
        follower->seal_code = code;
        follower->seal_error = *err;
        follower->seal_result = *result;
        follower->is_seal_done = true;
        (void)pthread_cond_broadcast(&follower->changed);
    }
    (void)pthread_mutex_unlock(&follower->mutex);
}

void follower_seal_refuse(struct follower *follower)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct follower_seal_result none = {0};
    if (follower_seal_is_asked(follower)) {
        seal_end(follower, polarys_fail(&err, POLARYS_DRAINING, "the node has stopped following"),
                 &none, &err);
    }
}

/* Whether the term may be sealed after `highest`. */
static enum polarys_code seal_check(const struct follower_seal *seal, uint64_t highest,
                                    const char *follows, struct polarys_error *err)
{
    bool is_above = seal->is_candidate ? seal->term > highest : seal->term >= highest;
    if (is_above) {
        return POLARYS_OK;
    }
    polarys_fail(err, POLARYS_NOT_PRIMARY,
                 "term %" PRIu64 " has been seen here: term %" PRIu64 " is over", highest,
                 seal->term);
    polarys_error_detail_set(err, "term", "%" PRIu64, highest);
    polarys_error_detail_set(err, "primary", "%s", follows);
    return POLARYS_NOT_PRIMARY;
}

/* On the tail's thread. */
static enum polarys_code seal_do(struct follower *follower, const struct follower_seal *seal,
                                 struct follower_seal_result *result, struct polarys_error *err)
{
    uint64_t log_term = polarys_db_term(follower->db);
    uint64_t highest = follower->role.term > log_term ? follower->role.term : log_term;
    enum polarys_code code = seal_check(seal, highest, follower->follows, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct role role = follower->role;
    /* A term has one primary: whoever claims to be another than the one that is heard is a copy of its store. A replica of a
     * replica hears none, and moves to it. */
    bool has_primary =
        follower->has_progress && follower->is_of_primary && follower->session_term == seal->term;
    bool moves =
        seal->primary[0] != '\0' && strcmp(seal->primary, follower->follows) != 0 && !has_primary;
    role.term = seal->term;
    if (moves) {
        memcpy(role.follows, seal->primary, sizeof(role.follows));
        role.is_told = true;
        memcpy(role.configured, follower->config->follow, sizeof(role.configured));
    }
    code = role_write(follower->config->data_dir, &role, err);
    if (code == POLARYS_OK) {
        code = polarys_replica_sync(follower->db, &result->end, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    follower->role = role;
    result->highest_term = seal->term;
    (void)pthread_mutex_lock(&follower->mutex);
    follower->highest_term = seal->term;
    if (moves) {
        memcpy(follower->follows, seal->primary, sizeof(follower->follows));
        memcpy(follower->primary, seal->primary, sizeof(follower->primary));
    }
    (void)pthread_mutex_unlock(&follower->mutex);
    polarys_log(POLARYS_LOG_INFO, "replica", "sealed all terms below %" PRIu64 "%s%s", seal->term,
                moves ? ", following " : "", moves ? seal->primary : "");
    return POLARYS_OK;
}

bool follower_seal_run(struct follower *follower)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct follower_seal_result result = {0};
    struct follower_seal seal;
    (void)pthread_mutex_lock(&follower->mutex);
    bool is_asked = follower->is_seal_asked && !follower->is_seal_done;
    if (is_asked) {
        seal = *follower->seal;
    }
    (void)pthread_mutex_unlock(&follower->mutex);
    if (!is_asked) {
        return false;
    }
    enum polarys_code code = seal_do(follower, &seal, &result, &err);
    seal_end(follower, code, &result, &err);
    backoff_reset(&follower->backoff);
    return true;
}

/* REQUIRES: the mutex. *is_done: nothing is to be changed. */
static enum polarys_code ask_locked(struct follower *follower, const struct follower_seal *seal,
                                    struct follower_seal_result *result, bool *is_done,
                                    struct polarys_error *err)
{
    uint64_t log_term = polarys_db_term(follower->db);
    enum follower_state state =
        (enum follower_state)__atomic_load_n(&follower->state, __ATOMIC_ACQUIRE);
    result->highest_term = follower->highest_term > log_term ? follower->highest_term : log_term;
    polarys_log_durable_position(follower->db, &result->end);
    bool is_here = seal->primary[0] == '\0' || strcmp(seal->primary, follower->follows) == 0;
    *is_done =
        seal->term == 0 || (!seal->is_candidate && seal->term == result->highest_term && is_here);
    if (*is_done) {
        return POLARYS_OK;
    }
    if (state == FOLLOWER_ENDED || state == FOLLOWER_PROMOTED || follower->is_stopping) {
        return polarys_fail(err, POLARYS_DRAINING, "the node has stopped following");
    }
    if (follower->is_seal_asked) {
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "another seal is under way");
    }
    return seal_check(seal, result->highest_term, follower->follows, err);
}

/* REQUIRES: the mutex. */
static enum polarys_code wait_locked(struct follower *follower, struct follower_seal_result *result,
                                     struct polarys_error *err)
{
    struct timespec end;
    int error = 0;
    timing_deadline(&end, FOLLOWER_SEAL_MS);
    while (!follower->is_seal_done && !follower->is_stopping && error == 0) {
        error = pthread_cond_timedwait(&follower->changed, &follower->mutex, &end);
    }
    enum polarys_code code = follower->seal_code;
    if (!follower->is_seal_done) {
        code = polarys_fail(err, POLARYS_WAIT_TIMEOUT, "the term is not sealed yet: try again");
    } else if (code != POLARYS_OK) {
        *err = follower->seal_error;
    } else {
        *result = follower->seal_result;
    }
    follower->is_seal_asked = false;
    follower->is_seal_done = false;
    follower->seal = NULL;
    return code;
}

enum polarys_code follower_seal_term(struct follower *follower, const struct follower_seal *seal,
                                     struct follower_seal_result *result, struct polarys_error *err)
{
    bool is_done;
    *result = (struct follower_seal_result){0};
    (void)pthread_mutex_lock(&follower->mutex);
    enum polarys_code code = ask_locked(follower, seal, result, &is_done, err);
    if (code == POLARYS_OK && !is_done) {
        follower->is_seal_asked = true;
        follower->is_seal_done = false;
        follower->seal = seal;
        if (follower->tail_peer != NULL) {
            peer_cancel(follower->tail_peer);
        }
        backoff_wake(&follower->backoff);
        code = wait_locked(follower, result, err);
    }
    (void)pthread_mutex_unlock(&follower->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "seal a term");
}
