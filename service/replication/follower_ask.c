/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STRONG reads on a follower: the primary is asked for its newest version, and the read waits until this
 * node has it. One question serves all reads that came before it was asked.
 *
 * The invariant: an answer counts for a ticket only when the question was sent after the ticket was given
 * out, so whatever was committed before the read began is in it.
 */
#include <string.h>

#include "polarys/v1/admin.pb-c.h"
#include "service/replication/follower_internal.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum { ASK_AGAIN_MS = 50 };

uint64_t follower_ask(struct follower *follower)
{
    (void)pthread_mutex_lock(&follower->mutex);
    uint64_t ticket = ++follower->asked;
    (void)pthread_cond_broadcast(&follower->changed);
    (void)pthread_mutex_unlock(&follower->mutex);
    return ticket;
}

bool follower_answer_get(struct follower *follower, uint64_t ticket, uint64_t *version)
{
    (void)pthread_mutex_lock(&follower->mutex);
    bool is_answered = follower->answered >= ticket;
    *version = follower->answer;
    (void)pthread_mutex_unlock(&follower->mutex);
    return is_answered;
}

/* Of a node that follows too: whom it takes for the primary. */
static void primary_learn(struct follower *follower, const Polarys__V1__GetStatusResponse *status)
{
    const Polarys__V1__ReplicaStatus *replica = status->replica;
    if (replica == NULL || replica->primary.len == 0 ||
        replica->primary.len >= sizeof(follower->primary)) {
        return;
    }
    (void)pthread_mutex_lock(&follower->mutex);
    memcpy(follower->primary, replica->primary.data, replica->primary.len);
    follower->primary[replica->primary.len] = '\0';
    (void)pthread_mutex_unlock(&follower->mutex);
}

/* False when the node that answered is not the primary of this store and term. */
static bool answer_take(struct follower *follower, const Polarys__V1__GetStatusResponse *status,
                        uint64_t ticket)
{
    const Polarys__V1__ResponseHeader *header = status->header;
    if (header == NULL || header->store_id.len != POLARYS_ID_SIZE ||
        memcmp(header->store_id.data, polarys_db_store_id(follower->db), POLARYS_ID_SIZE) != 0) {
        return false;
    }
    if (status->role != POLARYS__V1__NODE_ROLE__NODE_ROLE_PRIMARY) {
        primary_learn(follower, status);
        return false;
    }
    (void)pthread_mutex_lock(&follower->mutex);
    bool is_current = header->term >= follower->highest_term;
    if (is_current) {
        follower->answered = ticket;
        follower->answer = status->version;
    }
    (void)pthread_mutex_unlock(&follower->mutex);
    return is_current;
}

/* Keeps the connection in *address's peer, and makes another where the primary moved. */
static enum polarys_code peer_ensure(struct follower *follower, char *address,
                                     struct polarys_error *err)
{
    char primary[CONFIG_TEXT_MAX];
    follower_primary_get(follower, primary);
    if (follower->ask_peer != NULL && strcmp(primary, address) == 0) {
        return POLARYS_OK;
    }
    follower_peer_close(follower, &follower->ask_peer);
    memcpy(address, primary, CONFIG_TEXT_MAX);
    return follower_peer_open(follower, address, &follower->ask_peer, err);
}

static bool question_ask(struct follower *follower, char *address, struct proto_arena *arena,
                         uint64_t ticket)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    Polarys__V1__GetStatusRequest request = POLARYS__V1__GET_STATUS_REQUEST__INIT;
    void *response;
    const struct peer_call call = {.method = "/polarys.v1.AdminService/GetStatus",
                                   .request = &request.base,
                                   .response = &polarys__v1__get_status_response__descriptor,
                                   .timeout_ms = FOLLOWER_ASK_MS};
    enum polarys_code code = peer_ensure(follower, address, &err);
    if (code == POLARYS_OK) {
        proto_arena_reset(arena);
        code = peer_unary(follower->ask_peer, &call, arena, &response, &err);
    }
    if (code == POLARYS_OK) {
        return answer_take(follower, response, ticket);
    }
    polarys_log(POLARYS_LOG_DEBUG, "replica", "ask %s for its version: %s", address, err.message);
    follower_peer_close(follower, &follower->ask_peer);
    return false;
}

/* REQUIRES: the mutex. */
static void pause_locked(struct follower *follower)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)ASK_AGAIN_MS * TIMING_NS_PER_MS;
    end.tv_sec += end.tv_nsec / TIMING_NS_PER_S;
    end.tv_nsec %= TIMING_NS_PER_S;
    int error = 0;
    while (!follower->is_stopping && error == 0) {
        error = pthread_cond_timedwait(&follower->changed, &follower->mutex, &end);
    }
}

void *follower_ask_run(void *context)
{
    struct follower *follower = context;
    char address[CONFIG_TEXT_MAX] = "";
    struct proto_arena arena;
    proto_arena_init(&arena, &follower->memory);
    (void)pthread_mutex_lock(&follower->mutex);
    while (!follower->is_stopping) {
        if (follower->asked == follower->answered) {
            (void)pthread_cond_wait(&follower->changed, &follower->mutex);
            continue;
        }
        uint64_t ticket = follower->asked;
        (void)pthread_mutex_unlock(&follower->mutex);
        bool is_answered = question_ask(follower, address, &arena, ticket);
        (void)pthread_mutex_lock(&follower->mutex);
        if (!is_answered) {
            pause_locked(follower);
        }
    }
    (void)pthread_mutex_unlock(&follower->mutex);
    follower_peer_close(follower, &follower->ask_peer);
    proto_arena_deinit(&arena);
    return NULL;
}
