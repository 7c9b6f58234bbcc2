/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before a promotion: the terms below the new one are sealed on enough members that whatever a quorum acknowledged is on one
 * of them, and this node takes over what the most advanced of them has. On the tail's thread, between two connections.
 *
 * With N members, the primary among them, a write that a quorum acknowledged is on the primary and N / 2 others. N - N / 2
 * sealed members are more than all the rest, so one of them has it; and none of them lets an older primary have another.
 * A list of members that is changing is counted both as it was and as it will be; the list is read again once
 * the log has been taken over, since that log may hold a newer one.
 *
 * First everybody is only asked, so that a promotion that can't succeed leaves the primary alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_log.h"
#include "service/replication/follower_internal.h"
#include "service/replication/members.h"
#include "service/server/check.h"

enum {
    ELECTION_ROUNDS_MAX = 5,
    ELECTION_TARGETS_MAX =
        POLARYS_MEMBERS_MAX + 2, /* whom it follows and the primary may be no members */
    ELECTION_CALL_MS = 3000,
    ELECTION_TEXT_MAX = 256,
};

/* A node that is asked. */
struct election_target {
    char address[CONFIG_TEXT_MAX];
    const struct polarys_member *member; /* NULL: of no list */
    bool has_answered;
    bool is_follower;
    uint64_t log_term;
    struct polarys_log_position end;
};

struct election {
    struct follower *follower;
    uint64_t term;          /* wanted, or found */
    uint64_t refused_below; /* a node has seen this term already; 0: none said so */
    struct polarys_members members;
    struct election_target targets[ELECTION_TARGETS_MAX];
    size_t target_count;
    char silent[ELECTION_TEXT_MAX]; /* who did not answer */
};

/* ---- who is asked ---- */

static void target_add(struct election *election, const char *address,
                       const struct polarys_member *member)
{
    for (size_t i = 0; i < election->target_count; i++) {
        if (strcmp(election->targets[i].address, address) == 0) {
            return;
        }
    }
    if (address[0] == '\0' || strcmp(address, election->follower->address) == 0) {
        return;
    }
    SERVICE_ASSERT(election->target_count < ELECTION_TARGETS_MAX);
    struct election_target *target = &election->targets[election->target_count++];
    *target = (struct election_target){.member = member};
    memcpy(target->address, address, strnlen(address, sizeof(target->address) - 1));
}

static enum polarys_code targets_gather(struct election *election, struct polarys_error *err)
{
    struct follower *follower = election->follower;
    enum polarys_code code = polarys_members_get(follower->db, &election->members, err);
    election->target_count = 0;
    for (size_t i = 0; i < election->members.count && code == POLARYS_OK; i++) {
        const struct polarys_member *member = &election->members.list[i];
        if (strcmp(member->name, follower->config->node_name) != 0) {
            target_add(election, member->address, member);
        }
    }
    if (code == POLARYS_OK) {
        char primary[CONFIG_TEXT_MAX];
        follower_primary_get(follower, primary);
        target_add(election, primary, NULL);
        target_add(election, follower->follows, NULL);
    }
    return code;
}

/* ---- asking ---- */

static void answer_take(struct election_target *target, const Polarys__V1__SealTermResponse *answer)
{
    target->has_answered = true;
    target->is_follower = answer->is_follower;
    target->log_term = answer->header == NULL ? 0 : answer->header->term;
    target->end = (struct polarys_log_position){.segment_id = 0};
    if (answer->end != NULL && answer->end->tag.len == POLARYS_LOG_TAG_SIZE) {
        target->end.segment_id = answer->end->segment_id;
        target->end.offset = answer->end->offset;
        target->end.version = answer->end->version;
        memcpy(target->end.tag, answer->end->tag.data, POLARYS_LOG_TAG_SIZE);
    }
}

static void silent_note(struct election *election, const struct election_target *target,
                        const struct polarys_error *why)
{
    size_t used = strlen(election->silent);
    (void)snprintf(election->silent + used, sizeof(election->silent) - used, "%s%.100s (%s)",
                   used == 0 ? "" : ", ",
                   target->member == NULL ? target->address : target->member->name,
                   polarys_code_name(why->code));
}

/* `term` 0 only asks. Errors: CANCELLED (this node stops), those of a local fault. */
static enum polarys_code target_ask(struct election *election, struct election_target *target,
                                    uint64_t term, struct polarys_error *err)
{
    struct follower *follower = election->follower;
    Polarys__V1__SealTermRequest request = POLARYS__V1__SEAL_TERM_REQUEST__INIT;
    Polarys__V1__SealTermResponse *answer;
    struct polarys_error why = POLARYS_ERROR_INIT;
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/SealTerm",
                                   .request = &request.base,
                                   .response = &polarys__v1__seal_term_response__descriptor,
                                   .timeout_ms = ELECTION_CALL_MS};
    request.node.data = (uint8_t *)(uintptr_t)follower->config->node_name;
    request.node.len = strlen(follower->config->node_name);
    request.store_id.data = (uint8_t *)(uintptr_t)polarys_db_store_id(follower->db);
    request.store_id.len = POLARYS_ID_SIZE;
    request.term = term;
    request.is_candidate = term != 0;
    target->has_answered = false;
    enum polarys_code code =
        follower_peer_open(follower, target->address, &follower->tail_peer, &why);
    if (code == POLARYS_OK) {
        proto_arena_reset(&follower->arena);
        code = peer_unary(follower->tail_peer, &call, &follower->arena, (void **)&answer, &why);
        if (code == POLARYS_OK) {
            answer_take(target, answer);
        }
        follower_peer_close(follower, &follower->tail_peer);
        proto_arena_reset(&follower->arena);
    }
    if (backoff_is_stopped(&follower->backoff)) {
        return polarys_fail(err, POLARYS_CANCELLED, "the node stops");
    }
    if (code == POLARYS_NOT_PRIMARY) {
        const char *seen = polarys_error_detail_find(&why, "term");
        uint64_t refused = seen == NULL ? 0 : strtoull(seen, NULL, 10);
        election->refused_below =
            refused > election->refused_below ? refused : election->refused_below;
    }
    if (code != POLARYS_OK) {
        silent_note(election, target, &why);
    }
    return POLARYS_OK;
}

static enum polarys_code all_ask(struct election *election, uint64_t term,
                                 struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    election->silent[0] = '\0';
    election->refused_below = 0;
    for (size_t i = 0; i < election->target_count && code == POLARYS_OK; i++) {
        code = target_ask(election, &election->targets[i], term, err);
    }
    return code;
}

/* ---- counting ---- */

/* Whether enough of the members that count in the view have answered, this node among them. */
static bool view_is_enough(const struct election *election, enum members_view view)
{
    const char *self = election->follower->config->node_name;
    uint32_t node_count = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < election->members.count; i++) {
        const struct polarys_member *member = &election->members.list[i];
        if (!members_counts(member, view)) {
            continue;
        }
        node_count++;
        count += strcmp(member->name, self) == 0 ? 1 : 0;
        for (size_t t = 0; t < election->target_count; t++) {
            const struct election_target *target = &election->targets[t];
            count += target->member == member && target->has_answered ? 1 : 0;
        }
    }
    return count >= node_count - node_count / 2;
}

/* Where no node ever joined, the primary alone has what it acknowledged. */
static bool primary_has_answered(const struct election *election)
{
    for (size_t i = 0; i < election->target_count; i++) {
        if (election->targets[i].has_answered && !election->targets[i].is_follower) {
            return true;
        }
    }
    return false;
}

static bool is_enough(const struct election *election)
{
    return election->members.count == 0 ? primary_has_answered(election)
                                        : view_is_enough(election, MEMBERS_BEFORE) &&
                                              view_is_enough(election, MEMBERS_AFTER);
}

static bool is_member(const struct election *election)
{
    bool is_there = false;
    (void)polarys_members_find(&election->members, election->follower->config->node_name,
                               &is_there);
    return is_there || election->members.count == 0;
}

/* Of the later term, then the longer one: as in Raft (Ongaro and Ousterhout 2014, 5.4.1). */
static bool is_more_advanced(uint64_t term, const struct polarys_log_position *end,
                             uint64_t than_term, const struct polarys_log_position *than)
{
    if (term != than_term) {
        return term > than_term;
    }
    return end->segment_id != than->segment_id ? end->segment_id > than->segment_id
                                               : end->offset > than->offset;
}

/* NULL: it is this node. */
static const struct election_target *most_advanced(const struct election *election)
{
    const struct election_target *best = NULL;
    struct polarys_log_position end;
    uint64_t term = polarys_db_term(election->follower->db);
    polarys_log_position_get(election->follower->db, &end);
    for (size_t i = 0; i < election->target_count; i++) {
        const struct election_target *target = &election->targets[i];
        if (target->has_answered && is_more_advanced(target->log_term, &target->end, term, &end)) {
            best = target;
            term = target->log_term;
            end = target->end;
        }
    }
    return best;
}

static enum polarys_code unreachable(const struct election *election, struct polarys_error *err)
{
    struct follower *follower = election->follower;
    uint64_t version = polarys_db_version(follower->db);
    (void)pthread_mutex_lock(&follower->mutex);
    bool has_heard = follower->has_heard;
    uint64_t end_version = follower->end_version;
    (void)pthread_mutex_unlock(&follower->mutex);
    if (!is_member(election)) {
        polarys_fail(err, POLARYS_QUORUM_UNREACHABLE,
                     "this node is no member of the group: an observer, or it has not joined yet");
    } else {
        polarys_fail(err, POLARYS_QUORUM_UNREACHABLE,
                     "too few members can be reached to know what a quorum has acknowledged; "
                     "without an answer: %s",
                     election->silent[0] == '\0' ? "nobody, but no address of the others is known"
                                                 : election->silent);
    }
    polarys_error_detail_set(err, "version", "%" PRIu64, version);
    if (has_heard) {
        polarys_error_detail_set(err, "end_version", "%" PRIu64, end_version);
    }
    return POLARYS_QUORUM_UNREACHABLE;
}

/* ---- the rounds ---- */

/* The log of the most advanced, up to what it had when it was sealed. */
static enum polarys_code catch_up(struct election *election, bool allows_loss,
                                  struct polarys_error *err)
{
    const struct election_target *best = most_advanced(election);
    if (best == NULL) {
        return POLARYS_OK;
    }
    polarys_log(POLARYS_LOG_INFO, "replica",
                "before the promotion: taking over the log of %s up to version %" PRIu64,
                best->address, best->end.version);
    enum polarys_code code =
        follower_session_catch_up(election->follower, best->address, &best->end, err);
    if (code == POLARYS_OK) {
        return code;
    }
    if (allows_loss && !backoff_is_stopped(&election->follower->backoff)) {
        election->follower->is_local_error = false;
        polarys_log(POLARYS_LOG_WARN, "replica", "%s has more than this node, and it is lost: %s",
                    best->address, err->message);
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    polarys_error_detail_set(err, "end_version", "%" PRIu64, best->end.version);
    return polarys_wrap(err, code, "take over what %s has", best->address);
}

static enum polarys_code term_choose(struct election *election, uint64_t wanted,
                                     struct polarys_error *err)
{
    struct follower *follower = election->follower;
    uint64_t log_term = polarys_db_term(follower->db);
    uint64_t highest = follower->role.term > log_term ? follower->role.term : log_term;
    highest = election->refused_below > highest ? election->refused_below : highest;
    if (wanted != 0 && wanted <= highest) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT,
                     "term %" PRIu64 " is not above the highest that was seen, %" PRIu64, wanted,
                     highest);
        polarys_error_detail_set(err, "field", "term");
        return POLARYS_BAD_ARGUMENT;
    }
    election->term = wanted == 0 ? highest + 1 : wanted;
    return POLARYS_OK;
}

/* *is_done is false when another round is needed: a node has seen a higher term, or the list has changed. */
static enum polarys_code round_run(struct election *election, uint64_t wanted, bool allows_loss,
                                   bool *is_done, struct polarys_error *err)
{
    struct follower *follower = election->follower;
    *is_done = false;
    enum polarys_code code = term_choose(election, wanted, err);
    if (code == POLARYS_OK) {
        /* This node is the first to seal. */
        code = follower_term_note(follower, election->term, err);
    }
    if (code == POLARYS_OK) {
        code = all_ask(election, election->term, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (election->refused_below >= election->term) {
        return wanted == 0 ? POLARYS_OK : term_choose(election, wanted, err);
    }
    if (!allows_loss && !is_enough(election)) {
        return unreachable(election, err);
    }
    uint64_t version = election->members.version;
    code = catch_up(election, allows_loss, err);
    if (code == POLARYS_OK) {
        code = targets_gather(election, err);
    }
    *is_done = election->members.version == version || allows_loss;
    return code;
}

static enum polarys_code rounds_run(struct election *election, uint64_t wanted, bool allows_loss,
                                    struct polarys_error *err)
{
    enum polarys_code code = targets_gather(election, err);
    if (code == POLARYS_OK) {
        code = term_choose(election, wanted, err);
    }
    if (code == POLARYS_OK) {
        code = all_ask(election, 0, err);
    }
    if (code == POLARYS_OK && !allows_loss && (!is_member(election) || !is_enough(election))) {
        code = unreachable(election, err);
    }
    bool is_done = false;
    for (int i = 0; code == POLARYS_OK && !is_done; i++) {
        if (i == ELECTION_ROUNDS_MAX) {
            return polarys_fail(err, POLARYS_WAIT_TIMEOUT,
                                "others seal terms too: try again when they are done");
        }
        code = round_run(election, wanted, allows_loss, &is_done, err);
    }
    return code;
}

enum polarys_code follower_elect(struct follower *follower, bool allows_loss, uint64_t *term,
                                 struct polarys_error *err)
{
    struct election *election = calloc(1, sizeof(*election));
    if (election == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for an election");
    }
    election->follower = follower;
    enum polarys_code code = rounds_run(election, *term, allows_loss, err);
    *term = election->term;
    free(election);
    return code;
}
