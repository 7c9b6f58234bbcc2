/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReplicationService's members and terms: who counts, who is taken out, and what is sealed. On executor threads.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "service/replication/members.h"
#include "service/replication/standing.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/replication_message.h"
#include "service/rpc/writable.h"
#include "service/server/server.h"

/* What ListMembers puts together; too much for a stack that may be small. */
struct member_list {
    struct polarys_members members;
    Polarys__V1__Member messages[POLARYS_MEMBERS_MAX];
    Polarys__V1__Member *pointers[POLARYS_MEMBERS_MAX];
};

static ProtobufCBinaryData text_borrow(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void member_fill(struct server *server, const struct polarys_member *member,
                        Polarys__V1__Member *message)
{
    static const Polarys__V1__MemberState states[] = {
        [POLARYS_MEMBER_SETTLED] = POLARYS__V1__MEMBER_STATE__MEMBER_STATE_UNSPECIFIED,
        [POLARYS_MEMBER_JOINING] = POLARYS__V1__MEMBER_STATE__MEMBER_STATE_JOINING,
        [POLARYS_MEMBER_LEAVING] = POLARYS__V1__MEMBER_STATE__MEMBER_STATE_LEAVING,
    };
    struct group_node node;
    polarys__v1__member__init(message);
    message->name = text_borrow(member->name);
    message->address = text_borrow(member->address);
    message->state = states[member->state];
    message->is_self = strcmp(member->name, server->config->node_name) == 0;
    if (message->is_self) {
        message->durable_version = polarys_db_durable_version(server->db);
        message->applied_version = polarys_db_version(server->db);
    } else if (group_node_get(server->group, member->name, &node)) {
        message->is_active = node.is_active;
        message->durable_version = node.durable_version;
        message->applied_version = node.applied_version;
    }
}

void replication_list_members(struct call *call)
{
    struct server *server = call->server;
    struct member_list *list = calloc(1, sizeof(*list));
    enum polarys_code code =
        list == NULL ? polarys_fail(&call->error, POLARYS_NO_MEMORY, "no memory for members")
                     : polarys_members_get(server->db, &list->members, &call->error);
    if (code != POLARYS_OK) {
        free(list);
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__ListMembersResponse response = POLARYS__V1__LIST_MEMBERS_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    uint32_t before = 0;
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    response.n_members = list->members.count;
    response.members = list->pointers;
    for (size_t i = 0; i < list->members.count; i++) {
        member_fill(server, &list->members.list[i], &list->messages[i]);
        list->pointers[i] = &list->messages[i];
        before += members_counts(&list->members.list[i], MEMBERS_BEFORE) ? 1 : 0;
    }
    response.node_count = before == 0 ? 1 : before;
    response.quorum = response.node_count / 2;
    grpc_slice packed = response_pack(&response.base);
    free(list);
    call_reply(call, packed);
}

void replication_remove_member(struct call *call)
{
    const Polarys__V1__RemoveMemberRequest *request = call->request;
    struct server *server = call->server;
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_code code = replication_name_take(&request->name, "name", name, &call->error);
    if (code == POLARYS_OK) {
        code = writable_check(server, &call->error);
    }
    if (code == POLARYS_OK) {
        code = members_remove(server->members, name, request->allow_data_loss, call->end_ns,
                              &call->error);
    }
    if (code == POLARYS_OK) {
        struct polarys_error none = POLARYS_ERROR_INIT;
        if (polarys_slot_drop(server->db, name, &none) == POLARYS_OK) {
            polarys_log(POLARYS_LOG_INFO, "group", "%s left the group; its slot is dropped", name);
        }
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__RemoveMemberResponse response = POLARYS__V1__REMOVE_MEMBER_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    call_reply(call, response_pack(&response.base));
}

/* ---- terms ---- */

static enum polarys_code seal_take(const struct server *server,
                                   const Polarys__V1__SealTermRequest *request,
                                   struct follower_seal *seal, struct polarys_error *err)
{
    char name[POLARYS_NAME_BYTES_MAX + 1];
    *seal = (struct follower_seal){.term = request->term, .is_candidate = request->is_candidate};
    enum polarys_code code = replication_name_take(&request->node, "node", name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (request->store_id.len != POLARYS_ID_SIZE) {
        return operation_bad(err, "store_id", "must have 16 bytes");
    }
    if (memcmp(request->store_id.data, polarys_db_store_id(server->db), POLARYS_ID_SIZE) != 0) {
        return polarys_fail(err, POLARYS_WRONG_STORE, "the node holds another store");
    }
    if (request->primary_address.len >= POLARYS_MEMBER_ADDRESS_MAX) {
        return operation_bad(err, "primary_address", "is longer than an address may be");
    }
    if (request->primary_address.len > 0) {
        memcpy(seal->primary, request->primary_address.data, request->primary_address.len);
    }
    return POLARYS_OK;
}

void replication_seal_term(struct call *call)
{
    struct server *server = call->server;
    struct follower_seal seal;
    struct follower_seal_result result;
    bool is_follower = follower_is_following(server->follower);
    enum polarys_code code = seal_take(server, call->request, &seal, &call->error);
    if (code == POLARYS_OK && !is_follower && server->standing == NULL) {
        code = polarys_fail(&call->error, POLARYS_DRAINING, "the node is starting");
    }
    if (code == POLARYS_OK) {
        code = is_follower ? follower_seal_term(server->follower, &seal, &result, &call->error)
                           : standing_seal(server->standing, &seal, &result, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__SealTermResponse response = POLARYS__V1__SEAL_TERM_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    Polarys__V1__LogPosition end;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    replication_position_fill(&result.end, &end);
    response.header = &header;
    response.highest_term = result.highest_term;
    response.end = &end;
    response.is_follower = is_follower;
    call_reply(call, response_pack(&response.base));
}

void replication_term_heed(struct server *server, const Polarys__V1__HandshakeRequest *from)
{
    struct follower_seal seal = {.term = from->highest_term};
    struct follower_seal_result result;
    struct polarys_error err = POLARYS_ERROR_INIT;
    /* Who holds no store, or another one, knows nothing of the terms of this one. */
    if (from->store_id.len != POLARYS_ID_SIZE || server->standing == NULL ||
        follower_is_following(server->follower) ||
        from->highest_term <= polarys_db_term(server->db)) {
        return;
    }
    if (standing_seal(server->standing, &seal, &result, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "replica", "%s", err.message);
    }
}
