/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fencing: see standing.h. One seal at a time, across the write of the file: what is told as sealed is on disk.
 */
#include "service/replication/standing.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_log.h"
#include "engine/engine_replica.h"
#include "service/server/check.h"

struct standing {
    const struct config *config;
    struct polarys_db *db;
    char address[CONFIG_TEXT_MAX]; /* of this node */

    uint64_t fenced_term; /* atomic; 0: not fenced */

    pthread_mutex_t mutex; /* one seal at a time; guards what follows */
    char primary[CONFIG_TEXT_MAX];
    bool is_leaving; /* at the next start it is a follower, whatever is sealed until then */
};

/* So that the end of the log stays what it is told to be. What could not be made durable is not part of it. */
static void writes_end(struct standing *standing)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (polarys_writes_stop(standing->db, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "replica", "%s", err.message);
    }
}

enum polarys_code standing_create(const struct config *config, struct polarys_db *db,
                                  const struct role *role, struct standing **out,
                                  struct polarys_error *err)
{
    *out = NULL;
    struct standing *standing = calloc(1, sizeof(*standing));
    if (standing == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the standing of this node");
    }
    standing->config = config;
    standing->db = db;
    (void)pthread_mutex_init(&standing->mutex, NULL);
    if (role->kind == ROLE_FENCED) {
        standing->fenced_term = role->term;
        memcpy(standing->primary, role->follows, sizeof(standing->primary));
        polarys_log(POLARYS_LOG_WARN, "replica",
                    "term %" PRIu64 " has been seen: this node takes no writes; start it with "
                    "--follow HOST:PORT of the primary, or use `polarys replica demote`",
                    role->term);
        writes_end(standing);
    }
    *out = standing;
    return POLARYS_OK;
}

void standing_destroy(struct standing *standing)
{
    if (standing != NULL) {
        (void)pthread_mutex_destroy(&standing->mutex);
        free(standing);
    }
}

void standing_address_set(struct standing *standing, const char *address)
{
    memcpy(standing->address, address, strnlen(address, sizeof(standing->address) - 1));
}

bool standing_is_fenced(const struct standing *standing)
{
    return standing != NULL && __atomic_load_n(&standing->fenced_term, __ATOMIC_ACQUIRE) != 0;
}

enum polarys_code standing_refuse(struct standing *standing, struct polarys_error *err)
{
    uint64_t term = __atomic_load_n(&standing->fenced_term, __ATOMIC_ACQUIRE);
    polarys_fail(err, POLARYS_NOT_PRIMARY,
                 "this node was the primary of term %" PRIu64 ", and term %" PRIu64
                 " has begun: go to the new primary, and make this node follow it",
                 polarys_db_term(standing->db), term);
    polarys_error_detail_set(err, "term", "%" PRIu64, term);
    (void)pthread_mutex_lock(&standing->mutex);
    if (standing->primary[0] != '\0') {
        polarys_error_detail_set(err, "primary", "%s", standing->primary);
    }
    (void)pthread_mutex_unlock(&standing->mutex);
    return POLARYS_NOT_PRIMARY;
}

/* REQUIRES: the mutex. */
static enum polarys_code fence_locked(struct standing *standing, const struct follower_seal *seal,
                                      struct polarys_error *err)
{
    struct role role;
    enum polarys_code code = role_read(standing->config->data_dir, &role, err);
    if (code != POLARYS_OK) {
        return code;
    }
    role.kind = standing->is_leaving ? ROLE_FOLLOWER : ROLE_FENCED;
    role.step = ROLE_FOLLOWING;
    role.term = seal->term;
    if (!standing->is_leaving || seal->primary[0] != '\0') {
        memcpy(role.follows, seal->primary, sizeof(role.follows));
    }
    code = role_write(standing->config->data_dir, &role, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(standing->primary, seal->primary, sizeof(standing->primary));
    __atomic_store_n(&standing->fenced_term, seal->term, __ATOMIC_RELEASE);
    writes_end(standing);
    polarys_log(POLARYS_LOG_WARN, "replica",
                "term %" PRIu64 " has begun%s%s: this node, the primary of term %" PRIu64
                ", takes no writes any more",
                seal->term, seal->primary[0] == '\0' ? "" : " at ", seal->primary,
                polarys_db_term(standing->db));
    return POLARYS_OK;
}

/* REQUIRES: the mutex. */
static enum polarys_code seal_locked(struct standing *standing, const struct follower_seal *seal,
                                     struct follower_seal_result *result, struct polarys_error *err)
{
    uint64_t log_term = polarys_db_term(standing->db);
    uint64_t fenced = __atomic_load_n(&standing->fenced_term, __ATOMIC_ACQUIRE);
    uint64_t highest = fenced > log_term ? fenced : log_term;
    result->highest_term = highest;
    if (seal->term > highest) {
        result->highest_term = seal->term;
        return fence_locked(standing, seal, err);
    }
    if (seal->term == 0 || (!seal->is_candidate && seal->term == highest)) {
        if (seal->term != 0 && fenced != 0 && seal->primary[0] != '\0' &&
            strcmp(seal->primary, standing->primary) != 0) {
            return fence_locked(standing, seal, err); /* who it is was not known */
        }
        return POLARYS_OK;
    }
    polarys_fail(err, POLARYS_NOT_PRIMARY,
                 "term %" PRIu64 " has been seen here: term %" PRIu64 " is over", highest,
                 seal->term);
    polarys_error_detail_set(err, "term", "%" PRIu64, highest);
    polarys_error_detail_set(err, "primary", "%s",
                             fenced != 0 ? standing->primary : standing->address);
    return POLARYS_NOT_PRIMARY;
}

enum polarys_code standing_seal(struct standing *standing, const struct follower_seal *seal,
                                struct follower_seal_result *result, struct polarys_error *err)
{
    *result = (struct follower_seal_result){0};
    (void)pthread_mutex_lock(&standing->mutex);
    enum polarys_code code = seal_locked(standing, seal, result, err);
    (void)pthread_mutex_unlock(&standing->mutex);
    /* After the fence: what a quorum has acknowledged until then is not beyond it. */
    polarys_log_durable_position(standing->db, &result->end);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "seal a term");
}

void standing_writes_resume(struct standing *standing)
{
    (void)pthread_mutex_lock(&standing->mutex);
    if (!standing_is_fenced(standing)) {
        polarys_writes_resume(standing->db);
    }
    (void)pthread_mutex_unlock(&standing->mutex);
}

enum polarys_code standing_follow(struct standing *standing, const char *address,
                                  struct polarys_error *err)
{
    const struct config *config = standing->config;
    struct role role;
    size_t size = strlen(address);
    if (size >= sizeof(role.follows)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the address is too long");
    }
    (void)pthread_mutex_lock(&standing->mutex);
    enum polarys_code code = role_read(config->data_dir, &role, err);
    if (code == POLARYS_OK) {
        role.kind = ROLE_FOLLOWER;
        role.step = ROLE_FOLLOWING;
        role.is_told = true;
        memcpy(role.configured, config->follow, sizeof(role.configured));
        memcpy(role.follows, address, size + 1);
        code = role_write(config->data_dir, &role, err);
        standing->is_leaving = code == POLARYS_OK;
    }
    (void)pthread_mutex_unlock(&standing->mutex);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "make this node a replica");
}
