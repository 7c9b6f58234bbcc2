/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing over: see handover.h. The invariant: writes are taken again only where the other node has not sealed this node's term;
 * whatever else fails, this node stays fenced, and a promotion can be asked for again.
 */
#include "service/replication/handover.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine_replica.h"
#include "polarys/v1/admin.pb-c.h"
#include "polarys/v1/replication.pb-c.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum { HANDOVER_ARENA_BYTES_MAX = 1 << 20, HANDOVER_POLL_NS = 1000000 };

struct handover {
    const struct config *config;
    struct polarys_db *db;
    struct group *group;
    struct standing *standing;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);
    void (*restart)(void *context);
    void *context;

    struct proto_memory memory; /* synchronises itself */
    int is_under_way;           /* atomic */
    pthread_mutex_t mutex;      /* held by the one that hands over */
};

enum polarys_code handover_create(const struct handover_options *options, struct handover **out,
                                  struct polarys_error *err)
{
    *out = NULL;
    struct handover *handover = calloc(1, sizeof(*handover));
    if (handover == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to hand over");
    }
    handover->config = options->config;
    handover->db = options->db;
    handover->group = options->group;
    handover->standing = options->standing;
    handover->open = options->open;
    handover->restart = options->restart;
    handover->context = options->context;
    handover->memory.limit = HANDOVER_ARENA_BYTES_MAX;
    (void)pthread_mutex_init(&handover->mutex, NULL);
    *out = handover;
    return POLARYS_OK;
}

void handover_destroy(struct handover *handover)
{
    if (handover != NULL) {
        SERVICE_ASSERT(!handover_is_under_way(handover));
        (void)pthread_mutex_destroy(&handover->mutex);
        free(handover);
    }
}

bool handover_is_under_way(const struct handover *handover)
{
    return handover != NULL && __atomic_load_n(&handover->is_under_way, __ATOMIC_ACQUIRE) != 0;
}

static ProtobufCBinaryData bytes_of(const void *data, size_t size)
{
    ProtobufCBinaryData bytes = {size, (uint8_t *)(uintptr_t)data};
    return bytes;
}

/* One call; the response is in the arena. */
static enum polarys_code ask(struct handover *handover, const char *address,
                             const struct peer_call *call, struct proto_arena *arena,
                             void **response, struct polarys_error *err)
{
    struct peer *peer = NULL;
    enum polarys_code code = handover->open(address, &peer, err);
    if (code == POLARYS_OK) {
        code = peer_unary(peer, call, arena, response, err);
    }
    peer_close(peer);
    return code;
}

/* ---- switchover ---- */

static enum polarys_code target_find(struct handover *handover, const char *name,
                                     struct group_node *node, struct polarys_error *err)
{
    const char *why = NULL;
    if (strcmp(name, handover->config->node_name) == 0) {
        why = "is this node";
    } else if (!group_node_get(handover->group, name, node) || !node->is_member) {
        why = "is no member of the group";
    } else if (!node->is_active) {
        why = "does not follow this node now";
    } else if (node->address[0] == '\0') {
        why = "has not told its address: set `advertise` there";
    }
    if (why == NULL) {
        return POLARYS_OK;
    }
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s %s", name, why);
    polarys_error_detail_set(err, "field", "name");
    return POLARYS_BAD_ARGUMENT;
}

static enum polarys_code target_wait(struct handover *handover, const char *name, uint64_t version,
                                     uint64_t end_ns, struct polarys_error *err)
{
    uint64_t last_ns = timing_now_ns() + (uint64_t)HANDOVER_CATCH_UP_MS * TIMING_NS_PER_MS;
    last_ns = end_ns != 0 && end_ns < last_ns ? end_ns : last_ns;
    for (;;) {
        struct group_node node;
        const struct timespec pause = {0, HANDOVER_POLL_NS};
        bool is_there = group_node_get(handover->group, name, &node) && node.is_active;
        if (is_there && node.durable_version >= version) {
            return POLARYS_OK;
        }
        if (!is_there || timing_now_ns() >= last_ns) {
            polarys_fail(err, POLARYS_WAIT_TIMEOUT,
                         is_there ? "%s did not catch up with version %" PRIu64 " in time"
                                  : "%s stopped following before it had version %" PRIu64,
                         name, version);
            return POLARYS_WAIT_TIMEOUT;
        }
        (void)nanosleep(&pause, NULL);
    }
}

static enum polarys_code target_promote(struct handover *handover, const char *address,
                                        struct handover_result *result, struct polarys_error *err)
{
    Polarys__V1__PromoteRequest request = POLARYS__V1__PROMOTE_REQUEST__INIT;
    Polarys__V1__PromoteResponse *response;
    struct proto_arena arena;
    const struct peer_call call = {.method = "/polarys.v1.AdminService/Promote",
                                   .request = &request.base,
                                   .response = &polarys__v1__promote_response__descriptor,
                                   .timeout_ms = HANDOVER_CALL_MS};
    proto_arena_init(&arena, &handover->memory);
    enum polarys_code code = ask(handover, address, &call, &arena, (void **)&response, err);
    if (code == POLARYS_OK) {
        result->term = response->term;
    }
    proto_arena_deinit(&arena);
    return code;
}

/* With writes stopped. */
static enum polarys_code switch_do(struct handover *handover, const struct group_node *node,
                                   uint64_t end_ns, struct handover_result *result,
                                   struct polarys_error *err)
{
    result->version = polarys_db_durable_version(handover->db);
    memcpy(result->primary, node->address, sizeof(result->primary));
    enum polarys_code code = target_wait(handover, node->name, result->version, end_ns, err);
    if (code == POLARYS_OK) {
        code = target_promote(handover, node->address, result, err);
    }
    return code == POLARYS_OK ? standing_follow(handover->standing, node->address, err) : code;
}

/* REQUIRES: the mutex. */
static enum polarys_code switch_locked(struct handover *handover, const char *name, uint64_t end_ns,
                                       struct handover_result *result, struct polarys_error *err)
{
    struct group_node node;
    if (standing_is_fenced(handover->standing)) {
        return standing_refuse(handover->standing, err);
    }
    enum polarys_code code = target_find(handover, name, &node, err);
    if (code != POLARYS_OK) {
        return code;
    }
    __atomic_store_n(&handover->is_under_way, 1, __ATOMIC_RELEASE);
    code = polarys_writes_stop(handover->db, err);
    if (code == POLARYS_OK) {
        code = switch_do(handover, &node, end_ns, result, err);
    }
    if (code != POLARYS_OK) {
        standing_writes_resume(handover->standing);
    }
    __atomic_store_n(&handover->is_under_way, 0, __ATOMIC_RELEASE);
    return code;
}

static enum polarys_code handover_begin(struct handover *handover, struct polarys_error *err)
{
    return pthread_mutex_trylock(&handover->mutex) == 0
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_TOO_MANY_CALLS, "this node hands over already");
}

enum polarys_code handover_switch(struct handover *handover, const char *name, uint64_t end_ns,
                                  struct handover_result *result, struct polarys_error *err)
{
    *result = (struct handover_result){0};
    enum polarys_code code = handover_begin(handover, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = switch_locked(handover, name, end_ns, result, err);
    (void)pthread_mutex_unlock(&handover->mutex);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "switch over to %s", name);
    }
    polarys_log(POLARYS_LOG_WARN, "replica",
                "switched over to %s at %s, the primary of term %" PRIu64
                ": this node follows it now",
                name, result->primary, result->term);
    handover->restart(handover->context);
    return POLARYS_OK;
}

/* ---- demotion ---- */

/* The node has to be the primary of a later term: it would otherwise lack what is here. */
static enum polarys_code primary_check(struct handover *handover, const char *address,
                                       uint64_t *term, struct polarys_error *err)
{
    Polarys__V1__SealTermRequest request = POLARYS__V1__SEAL_TERM_REQUEST__INIT;
    Polarys__V1__SealTermResponse *response;
    struct proto_arena arena;
    const char *name = handover->config->node_name;
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/SealTerm",
                                   .request = &request.base,
                                   .response = &polarys__v1__seal_term_response__descriptor,
                                   .timeout_ms = HANDOVER_CALL_MS};
    request.node = bytes_of(name, strlen(name));
    request.store_id = bytes_of(polarys_db_store_id(handover->db), POLARYS_ID_SIZE);
    proto_arena_init(&arena, &handover->memory);
    enum polarys_code code = ask(handover, address, &call, &arena, (void **)&response, err);
    if (code == POLARYS_OK) {
        *term = response->header == NULL ? 0 : response->header->term;
        if (response->is_follower || response->highest_term != *term ||
            *term <= polarys_db_term(handover->db)) {
            polarys_fail(err, POLARYS_BAD_ARGUMENT,
                         "%s is no primary of a later term than %" PRIu64
                         ": promote it first, or switch over",
                         address, polarys_db_term(handover->db));
            polarys_error_detail_set(err, "field", "address");
            code = POLARYS_BAD_ARGUMENT;
        }
    }
    proto_arena_deinit(&arena);
    return code;
}

static enum polarys_code demote_locked(struct handover *handover, const char *address,
                                       struct handover_result *result, struct polarys_error *err)
{
    struct follower_seal seal = {.term = 0};
    struct follower_seal_result sealed;
    enum polarys_code code = primary_check(handover, address, &result->term, err);
    if (code != POLARYS_OK) {
        return code;
    }
    seal.term = result->term;
    memcpy(seal.primary, address, strlen(address) + 1);
    memcpy(result->primary, address, strlen(address) + 1);
    code = standing_seal(handover->standing, &seal, &sealed, err);
    result->version = polarys_db_durable_version(handover->db);
    return code == POLARYS_OK ? standing_follow(handover->standing, address, err) : code;
}

enum polarys_code handover_demote(struct handover *handover, const char *address,
                                  struct handover_result *result, struct polarys_error *err)
{
    *result = (struct handover_result){0};
    SERVICE_ASSERT(strlen(address) < sizeof(result->primary));
    enum polarys_code code = handover_begin(handover, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = demote_locked(handover, address, result, err);
    (void)pthread_mutex_unlock(&handover->mutex);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "become a replica of %s", address);
    }
    polarys_log(POLARYS_LOG_WARN, "replica", "asked to follow %s, the primary of term %" PRIu64,
                address, result->term);
    handover->restart(handover->context);
    return POLARYS_OK;
}
