/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdminService.Promote, and the part of the status that is about following.
 */
#include "service/rpc/admin_replica.h"

#include "service/rpc/handlers.h"
#include "service/rpc/response.h"
#include "service/server/timing.h"

static ProtobufCBinaryData text_borrow(const char *text)
{
    ProtobufCBinaryData bytes = {strlen(text), (uint8_t *)(uintptr_t)text};
    return bytes;
}

Polarys__V1__ReplicaStatus *admin_replica_fill(const struct server *server,
                                               struct admin_replica *replica)
{
    Polarys__V1__ReplicaStatus *message = &replica->message;
    const struct follower_status *status = &replica->status;
    if (!follower_is_following(server->follower)) {
        return NULL;
    }
    follower_status_get(server->follower, &replica->status);
    polarys__v1__replica_status__init(message);
    message->follows = text_borrow(status->follows);
    message->primary = text_borrow(status->primary);
    message->connected = status->state == FOLLOWER_TAILING;
    message->caught_up = status->has_caught_up;
    message->end_version = status->end_version;
    message->behind_versions = status->behind_versions;
    message->behind_bytes = status->behind_bytes;
    message->connections = status->connection_count;
    message->received_bytes = status->received_bytes;
    message->highest_term = status->term;
    message->error = text_borrow(status->error);
    if (status->behind_ms <= (uint64_t)INT64_MAX / TIMING_NS_PER_MS) {
        response_duration_fill(status->behind_ms * TIMING_NS_PER_MS, &replica->behind);
        message->behind_time = &replica->behind;
    }
    return message;
}

/* A primary already: nothing to do unless another term is asked for. So a lost answer can be asked for again. */
static enum polarys_code primary_keep(const struct server *server, uint64_t term,
                                      struct follower_promotion *promotion,
                                      struct polarys_error *err)
{
    *promotion = (struct follower_promotion){.term = polarys_db_term(server->db),
                                             .last_version = polarys_db_version(server->db)};
    if (term == 0 || term == promotion->term) {
        return POLARYS_OK;
    }
    polarys_fail(err, POLARYS_BAD_ARGUMENT,
                 "this node is the primary of term %llu: only a replica gets another",
                 (unsigned long long)promotion->term);
    polarys_error_detail_set(err, "field", "term");
    return POLARYS_BAD_ARGUMENT;
}

void admin_promote(struct call *call)
{
    const Polarys__V1__PromoteRequest *request = call->request;
    struct server *server = call->server;
    struct follower_promotion promotion;
    enum polarys_code code =
        follower_is_following(server->follower)
            ? follower_promote(server->follower, request->term, request->allow_data_loss,
                               &promotion, &call->error)
            : primary_keep(server, request->term, &promotion, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__PromoteResponse response = POLARYS__V1__PROMOTE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    response.term = promotion.term;
    response.version = promotion.last_version;
    response.lost_versions = promotion.lost_versions;
    call_reply(call, response_pack(&response.base));
}
