/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps consistency levels to versions. On a primary that is its own quorum strong, local and any
 * staleness are the newest version, and stable is the newest durable one. A follower asks the primary
 * for strong, and where it does not know itself to be fresh enough; stable is what the primary told.
 *
 * A token is: one byte of format, the history id, the version (little-endian), one byte of check
 * sum. It guards against mistakes, not against malice: a forged one can only make its own caller
 * wait.
 */
#include "service/rpc/consistency.h"

#include "service/replication/follower.h"
#include "service/replication/group.h"
#include "service/replication/standing.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum {
    TOKEN_FORMAT = 1,
    TOKEN_HISTORY_AT = 1,
    TOKEN_VERSION_AT = TOKEN_HISTORY_AT + POLARYS_ID_SIZE,
    TOKEN_SUM_AT = TOKEN_VERSION_AT + 8,
    STALENESS_SECONDS_MAX = 315576000,
};

_Static_assert(TOKEN_SUM_AT + 1 == SERVER_TOKEN_SIZE, "the size that others reserve");

static uint8_t token_sum(const uint8_t *bytes)
{
    uint8_t sum = 0x5a;
    for (size_t i = 0; i < TOKEN_SUM_AT; i++) {
        sum = (uint8_t)(sum * 31 + bytes[i]);
    }
    return sum;
}

void consistency_token_encode(const struct consistency_token *token, uint8_t *bytes)
{
    bytes[0] = TOKEN_FORMAT;
    memcpy(bytes + TOKEN_HISTORY_AT, token->history_id, POLARYS_ID_SIZE);
    for (size_t i = 0; i < 8; i++) {
        bytes[TOKEN_VERSION_AT + i] = (uint8_t)(token->version >> (8 * i));
    }
    bytes[TOKEN_SUM_AT] = token_sum(bytes);
}

bool consistency_token_decode(struct polarys_slice bytes, struct consistency_token *token)
{
    if (bytes.size != SERVER_TOKEN_SIZE || bytes.data[0] != TOKEN_FORMAT ||
        bytes.data[TOKEN_SUM_AT] != token_sum(bytes.data)) {
        return false;
    }
    memcpy(token->history_id, bytes.data + TOKEN_HISTORY_AT, POLARYS_ID_SIZE);
    token->version = 0;
    for (size_t i = 0; i < 8; i++) {
        token->version |= (uint64_t)bytes.data[TOKEN_VERSION_AT + i] << (8 * i);
    }
    return true;
}

static enum polarys_code argument_bad(struct polarys_error *err, const char *field, const char *why)
{
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "`%s`: %s", field, why);
    polarys_error_detail_set(err, "field", "%s", field);
    return POLARYS_BAD_ARGUMENT;
}

static enum polarys_code token_diverged(const struct consistency_token *token,
                                        struct polarys_error *err)
{
    polarys_fail(err, POLARYS_HISTORY_DIVERGED,
                 "the token is of another history than this node is on: writes after its version "
                 "may be lost, so read again without the token");
    polarys_error_detail_set(err, "token_version", "%llu", (unsigned long long)token->version);
    return POLARYS_HISTORY_DIVERGED;
}

static enum polarys_code at_least_resolve(struct call *call, ProtobufCBinaryData bytes,
                                          struct polarys_error *err)
{
    struct consistency_token token;
    if (!consistency_token_decode(slice_make(bytes.data, bytes.len), &token)) {
        return argument_bad(err, "consistency.at_least",
                            "not a token; pass `header.token` of an answer unchanged");
    }
    struct polarys_db *db = call->server->db;
    call->at_least_version = token.version;
    if (memcmp(token.history_id, polarys_db_history_id(db), POLARYS_ID_SIZE) == 0) {
        return POLARYS_OK;
    }
    if (follower_is_following(call->server->follower) && token.version > polarys_db_version(db)) {
        call->is_token_foreign = true;
        return POLARYS_OK;
    }
    return token_diverged(&token, err);
}

static enum polarys_code snapshot_resolve(struct call *call, uint64_t version,
                                          struct polarys_error *err)
{
    if (version == 0) {
        return argument_bad(err, "consistency.snapshot", "there is no version 0");
    }
    uint64_t newest = polarys_db_version(call->server->db);
    if (version > newest) {
        polarys_fail(err, POLARYS_FUTURE_VERSION,
                     "version %llu is not reached yet: the newest is %llu",
                     (unsigned long long)version, (unsigned long long)newest);
        polarys_error_detail_set(err, "version", "%llu", (unsigned long long)newest);
        return POLARYS_FUTURE_VERSION;
    }
    call->read_version = version;
    return POLARYS_OK;
}

/* On a follower: waits for all that was committed before now. */
static enum polarys_code strong_resolve(struct call *call, struct polarys_error *err)
{
    struct follower *follower = call->server->follower;
    if (follower_is_following(follower)) {
        call->primary_ticket = follower_ask(follower);
    } else if (standing_is_fenced(call->server->standing)) {
        return standing_refuse(call->server->standing, err);
    }
    return POLARYS_OK;
}

/*
 * The version is set even where it is the newest one: by the time of the reading there may be newer ones, which no quorum
 * has. False while it is not known what a quorum holds.
 */
static bool stable_resolve(struct call *call)
{
    const struct server *server = call->server;
    bool is_following = follower_is_following(server->follower);
    if (!is_following && !group_is_settled(server->group)) {
        return false;
    }
    uint64_t version = polarys_db_version(server->db);
    uint64_t stable = is_following ? follower_stable_version(server->follower, version)
                                   : group_stable_version(server->group);
    if (is_following && stable == 0) {
        return false;
    }
    call->read_version = stable < version ? stable : version;
    return true;
}

static enum polarys_code staleness_check(const Google__Protobuf__Duration *staleness,
                                         struct polarys_error *err)
{
    if (staleness == NULL || staleness->seconds < 0 || staleness->nanos < 0 ||
        staleness->nanos > 999999999 || staleness->seconds > STALENESS_SECONDS_MAX) {
        return argument_bad(err, "consistency.max_staleness", "must be a time of zero or more");
    }
    return POLARYS_OK;
}

/* What can't be shown to be fresh enough is made so. */
static enum polarys_code staleness_resolve(struct call *call,
                                           const Google__Protobuf__Duration *staleness,
                                           struct polarys_error *err)
{
    enum polarys_code code = staleness_check(staleness, err);
    if (code != POLARYS_OK || !follower_is_following(call->server->follower)) {
        return code;
    }
    uint64_t allowed_ms =
        (uint64_t)staleness->seconds * 1000 + (uint64_t)staleness->nanos / TIMING_NS_PER_MS;
    return follower_behind_ms(call->server->follower) <= allowed_ms ? POLARYS_OK
                                                                    : strong_resolve(call, err);
}

enum polarys_code consistency_resolve(struct call *call,
                                      const Polarys__V1__Consistency *consistency,
                                      struct polarys_error *err)
{
    switch (consistency == NULL ? POLARYS__V1__CONSISTENCY__LEVEL__NOT_SET
                                : consistency->level_case) {
    case POLARYS__V1__CONSISTENCY__LEVEL__NOT_SET:
        return strong_resolve(call, err);
    case POLARYS__V1__CONSISTENCY__LEVEL_STRONG:
        return consistency->strong
                   ? strong_resolve(call, err)
                   : argument_bad(err, "consistency.strong", "is only ever set to true");
    case POLARYS__V1__CONSISTENCY__LEVEL_LOCAL:
        return consistency->local
                   ? POLARYS_OK
                   : argument_bad(err, "consistency.local", "is only ever set to true");
    case POLARYS__V1__CONSISTENCY__LEVEL_STABLE:
        if (!consistency->stable) {
            return argument_bad(err, "consistency.stable", "is only ever set to true");
        }
        call->is_stable_awaited = !stable_resolve(call);
        return POLARYS_OK;
    case POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST:
        return at_least_resolve(call, consistency->at_least, err);
    case POLARYS__V1__CONSISTENCY__LEVEL_SNAPSHOT:
        return snapshot_resolve(call, consistency->snapshot, err);
    case POLARYS__V1__CONSISTENCY__LEVEL_MAX_STALENESS:
        return staleness_resolve(call, consistency->max_staleness, err);
    default:
        return argument_bad(err, "consistency", "this server does not know this level");
    }
}

bool consistency_is_met(struct call *call)
{
    struct follower *follower = call->server->follower;
    if (call->is_stable_awaited) {
        call->is_stable_awaited = !stable_resolve(call);
        return !call->is_stable_awaited;
    }
    if (call->primary_ticket != 0) {
        uint64_t version = 0;
        /* Promoted meanwhile: what is here is all that there is. */
        if (follower_is_following(follower) &&
            !follower_answer_get(follower, call->primary_ticket, &version)) {
            return false;
        }
        call->primary_ticket = 0;
        call->at_least_version = version;
    }
    return polarys_db_version(call->server->db) >= call->at_least_version;
}

enum polarys_code consistency_recheck(const struct call *call, struct polarys_error *err)
{
    const struct polarys_db *db = call->server->db;
    struct consistency_token token;
    if (!call->is_token_foreign) {
        return POLARYS_OK;
    }
    const Polarys__V1__Consistency *consistency =
        *(Polarys__V1__Consistency *const *)((const char *)call->request +
                                             call->method->fields.consistency);
    SERVICE_ASSERT(consistency->level_case == POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST);
    bool is_token = consistency_token_decode(
        slice_make(consistency->at_least.data, consistency->at_least.len), &token);
    SERVICE_ASSERT(is_token);
    return memcmp(token.history_id, polarys_db_history_id(db), POLARYS_ID_SIZE) == 0
               ? POLARYS_OK
               : token_diverged(&token, err);
}

enum polarys_code consistency_fail(const struct call *call, struct polarys_error *err)
{
    uint64_t version = polarys_db_version(call->server->db);
    if (call->primary_ticket != 0) {
        char primary[CONFIG_TEXT_MAX];
        follower_primary_get(call->server->follower, primary);
        polarys_fail(
            err, POLARYS_NO_PRIMARY,
            "the primary, %.200s, does not tell its newest version: try again, or read with "
            "another consistency",
            primary);
        polarys_error_detail_set(err, "primary", "%s", primary);
        return POLARYS_NO_PRIMARY;
    }
    if (call->is_stable_awaited) {
        polarys_fail(err, POLARYS_REPLICA_BEHIND,
                     "since its start this node has not heard what a quorum holds: try again, or "
                     "another node");
        polarys_error_detail_set(err, "version", "%llu", (unsigned long long)version);
        return POLARYS_REPLICA_BEHIND;
    }
    polarys_fail(err, POLARYS_REPLICA_BEHIND,
                 "this node has version %llu and the read needs %llu: try again, or another node",
                 (unsigned long long)version, (unsigned long long)call->at_least_version);
    polarys_error_detail_set(err, "version", "%llu", (unsigned long long)version);
    return POLARYS_REPLICA_BEHIND;
}

uint64_t consistency_version(const struct call *call)
{
    if (call->read_version != POLARYS_VERSION_NEWEST) {
        return call->read_version;
    }
    return polarys_db_version(call->server->db);
}
